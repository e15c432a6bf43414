/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_cpu_model.c - CPUID models: never more than the host runs, and consistent in themselves. */
#include "cpu/cpu.h"

#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const names[] = { "mica-v2", "mica-v3", "host" };

/* A model, or NULL where this host cannot run it (then the message must say so). */
static struct cpu_model *open_model(const char *name, unsigned ncpus)
{
	struct cpu_model *m = NULL;
	struct err e = { 0 };

	if (cpu_model_new(&m, name, ncpus, &e) < 0) {
		assert_string_equal(name, "mica-v3");
		assert_non_null(strstr(e.msg, "lacks"));
		return NULL;
	}
	return m;
}

/* Feature words whose bits are instructions the host's units run; the mask leaves out what the engine does, but for
 * PCID and INVPCID, which KVM could not have elsewhere. */
static const struct {
	u32 leaf, subleaf;
	unsigned reg;
	u32 mask;
} host_run[] = {
	{ 1, 0, 2, ~(1u << 21 | 1u << 24 | 1u << 27 | 1u << 31) },
	{ 1, 0, 3, 1u | 1u << 8 | 1u << 15 | 1u << 19 | 1u << 23 | 1u << 24 | 1u << 25 | 1u << 26 },
	{ 7, 0, 1, ~(1u | 1u << 1 | 1u << 7 | 1u << 9 | 1u << 20) },
	{ 7, 0, 2, ~(1u << 2 | 1u << 22) },
	{ 7, 0, 3, ~(1u << 4 | 1u << 26 | 1u << 29) },
	{ 0xd, 1, 0, ~0u },
	{ 0x80000001, 0, 2, ~(1u << 1) },
	{ 0x80000001, 0, 3, 1u << 30 | 1u << 31 },
};

static void never_more_than_host(void **state)
{
	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(names); n++) {
		struct cpu_model *m = open_model(names[n], 2);
		if (!m)
			continue;
		for (unsigned i = 0; i < ARRAY_LEN(host_run); i++) {
			u32 h[4];
			__cpuid_count(host_run[i].leaf, host_run[i].subleaf, h[0], h[1], h[2], h[3]);
			struct cpuid_regs r = cpu_model_cpuid(m, 0, host_run[i].leaf, host_run[i].subleaf);
			u32 g[4] = { r.eax, r.ebx, r.ecx, r.edx };
			u32 extra = g[host_run[i].reg] & ~h[host_run[i].reg] & host_run[i].mask;
			if (extra)
				fail_msg("%s: leaf %x register %u promises %#x beyond the host", names[n],
					 host_run[i].leaf, host_run[i].reg, extra);
		}
		/* No AVX-512, no MPX, no protection keys, no virtualization. */
		struct cpuid_regs l7 = cpu_model_cpuid(m, 0, 7, 0);
		assert_int_equal(l7.ebx & (1u << 16 | 1u << 14), 0);
		assert_int_equal(l7.ecx & (1u << 3 | 1u << 4), 0);
		assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).ecx & (1u << 5 | 1u << 3), 0);
		assert_int_equal(cpu_model_cpuid(m, 0, 0x80000001, 0).ecx & (1u << 2), 0);
		cpu_model_free(m);
	}
}

static void levels_are_whole(void **state)
{
	(void)state;
	struct cpu_model *m = open_model("mica-v2", 1);
	assert_non_null(m);
	struct cpuid_regs l1 = cpu_model_cpuid(m, 0, 1, 0);
	u32 v2_ecx = 1u | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;
	assert_int_equal(l1.ecx & v2_ecx, v2_ecx);
	assert_int_equal(l1.ecx & (1u << 28 | 1u << 12 | 1u << 22), 0); /* nothing of v3 */
	assert_int_equal(cpu_model_cpuid(m, 0, 7, 0).ebx & (1u << 3 | 1u << 5 | 1u << 8), 0);
	assert_int_equal(cpu_model_cpuid(m, 0, 0x80000001, 0).ecx & 1, 1);
	assert_int_equal(cpu_model_xcr0(m) & ~3ull, 0);
	cpu_model_free(m);

	m = open_model("mica-v3", 1);
	if (m) {
		u32 v3 = 1u << 12 | 1u << 22 | 1u << 26 | 1u << 28 | 1u << 29, b3 = 1u << 3 | 1u << 5 | 1u << 8;
		assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).ecx & v3, v3);
		assert_int_equal(cpu_model_cpuid(m, 0, 7, 0).ebx & b3, b3);
		assert_int_equal(cpu_model_cpuid(m, 0, 0x80000001, 0).ecx >> 5 & 1, 1);
		assert_int_equal(cpu_model_xcr0(m), 7);
		cpu_model_free(m);
	}
}

static void xsave_sizes(void **state)
{
	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(names); n++) {
		struct cpu_model *m = open_model(names[n], 1);
		if (!m)
			continue;
		u64 xcr0 = cpu_model_xcr0(m);
		struct cpuid_regs r = cpu_model_cpuid(m, 0, 0xd, 0);
		assert_int_equal(r.eax, (u32)xcr0);
		if (xcr0)
			assert_int_equal(r.ecx, xcr0 & 4 ? 832 : 576);
		r = cpu_model_cpuid(m, 0, 0xd, 2);
		assert_int_equal(r.eax, xcr0 & 4 ? 256 : 0);
		assert_int_equal(cpu_model_cpuid(m, 0, 0xd, 1).eax & ~1u, 0); /* no XSAVEC, XSAVES, XGETBV1 */
		cpu_model_free(m);
	}
}

static void topology(void **state)
{
	(void)state;
	for (unsigned ncpus = 1; ncpus <= CPU_MAX; ncpus = ncpus * 2 + 1) {
		struct cpu_model *m = open_model("mica-v2", ncpus);
		assert_non_null(m);
		for (unsigned cpu = 0; cpu < ncpus; cpu++) {
			struct cpuid_regs l1 = cpu_model_cpuid(m, cpu, 1, 0);
			struct cpuid_regs core = cpu_model_cpuid(m, cpu, 0xb, 1);
			assert_int_equal(l1.ebx >> 24, cpu);
			assert_int_equal(l1.ebx >> 16 & 0xff, ncpus);
			assert_int_equal(core.edx, cpu);
			assert_int_equal(core.ebx, ncpus);
			assert_int_equal(cpu >> core.eax, 0); /* all in one package */
			assert_int_equal(core.ecx >> 8, 2);
			assert_int_equal(cpu_model_cpuid(m, cpu, 0xb, 0).eax, 0);
			assert_int_equal(cpu_model_cpuid(m, cpu, 0xb, 2).ecx >> 8, 0);
		}
		assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).edx >> 28 & 1, ncpus > 1);
		cpu_model_free(m);
	}
}

static void identity(void **state)
{
	(void)state;
	struct cpu_model *m = open_model("mica-v2", 1);
	struct cpuid_regs r = cpu_model_cpuid(m, 0, 0x40000000, 0);
	char sig[13] = { 0 };
	memcpy(sig, &r.ebx, 4);
	memcpy(sig + 4, &r.ecx, 4);
	memcpy(sig + 8, &r.edx, 4);
	assert_string_equal(sig, "KVMKVMKVM");
	assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).ecx >> 31, 1);

	char brand[49] = { 0 };
	for (u32 i = 0; i < 3; i++) {
		r = cpu_model_cpuid(m, 0, 0x80000002 + i, 0);
		memcpy(brand + 16 * i, &r, 16);
	}
	assert_string_equal(brand, "Mica virtual CPU (mica-v2)");

	u32 a, b, c, d;
	__cpuid(0, a, b, c, d);
	bool amd = b == 0x68747541 || b == 0x6f677948;
	assert_int_equal(cpu_model_is_amd(m), amd);
	r = cpu_model_cpuid(m, 0, 0, 0);
	assert_int_equal(r.ebx, amd ? 0x68747541 : 0x756e6547);
	/* Beyond the last leaf of each range: nothing. */
	r = cpu_model_cpuid(m, 0, 0x7fffffff, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = cpu_model_cpuid(m, 0, 0xffffffff, 0);
	assert_int_equal(r.eax | r.ebx | r.ecx | r.edx, 0);
	cpu_model_free(m);
}

static void left_out(void **state)
{
	struct cpu_model *m = open_model("mica-v2,-vme,-aes", 1);
	struct err e = { 0 };

	assert_non_null(m);
	assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).edx & 2, 0);
	assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).ecx & 1u << 25, 0);
	assert_int_equal(cpu_model_cpuid(m, 0, 0x80000001, 0).edx & 2, 0); /* AMD's mirror */
	assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).edx & 1, 1);
	cpu_model_free(m);
	m = open_model("host,-xsave", 1);
	assert_int_equal(cpu_model_xcr0(m), 0);
	assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).ecx & 1u << 28, 0);
	cpu_model_free(m);
	m = NULL;
	assert_int_equal(cpu_model_new(&m, "mica-v2,-flux", 1, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "-flux"));
	assert_int_equal(cpu_model_new(&m, "mica-v2,aes", 1, &e), -EINVAL);
	assert_int_equal(cpu_model_new(&m, "mica-v2,", 1, &e), -EINVAL);
	assert_null(m);
}

static void bad_names(void **state)
{
	(void)state;
	struct cpu_model *m = NULL;
	struct err e = { 0 };

	assert_int_equal(cpu_model_new(&m, "pentium", 1, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "pentium"));
	assert_int_equal(cpu_model_new(&m, "host", 0, &e), -EINVAL);
	assert_int_equal(cpu_model_new(&m, "host", CPU_MAX + 1, &e), -EINVAL);
	assert_null(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_more_than_host),
		cmocka_unit_test(levels_are_whole),
		cmocka_unit_test(xsave_sizes),
		cmocka_unit_test(topology),
		cmocka_unit_test(identity),
		cmocka_unit_test(left_out),
		cmocka_unit_test(bad_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
