/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_check.c - the lock-step check (cpu/soft/jit/jit_check.c) finds a translation that is wrong: one is made so, by
 * changing a constant, a register or the address of a store in the host code, and the report names it.
 */
#include "harness.h"
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/run/core.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/mman.h>

#define OFF 64u
#define NO_ERROR 3u
#define ENGINE_ERROR (100u + CPU_EXIT_ERROR)

/* mov ecx, 20; L: mov edx, 0x5eed1234; mov [rdi + 0x40], rdx; add rsi, 0x11223344; dec ecx; jnz L */
static const u8 code[] = { 0xb9, 20,   0,    0,    0,    0xba, 0x34, 0x12, 0xed, 0x5e, 0x48, 0x89, 0x57,
			   0x40, 0x48, 0x81, 0xc6, 0x44, 0x33, 0x22, 0x11, 0xff, 0xc9, 0x75, 0xec };

static struct hx_state in, out;
static char text[65536];

static struct soft_vm *vm(void)
{
	return soft_cpu_of(hx_cpu())->vm;
}

static u64 counter(const char *name)
{
	char *s = NULL;
	size_t n;
	FILE *f = open_memstream(&s, &n);

	hx_stats(f);
	fclose(f);
	const char *p = strstr(s, name);
	assert_non_null(p);
	u64 v = strtoull(p + strlen(name), NULL, 10);
	free(s);
	return v;
}

static unsigned run(bool again)
{
	int keep = dup(2), fd = memfd_create("stderr", 0);

	assert_true(keep >= 0 && fd >= 0 && dup2(fd, 2) == 2);
	if (again)
		hx_engine_again(OFF, &in, &out);
	else
		hx_engine(code, sizeof(code), OFF, &in, &out);
	assert_int_equal(dup2(keep, 2), 2);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	text[MAX(n, 0)] = '\0';
	close(fd);
	close(keep);
	return out.vec;
}

/* In all translations; the routines before them stay. */
static unsigned change(const void *from, const void *to, unsigned bytes)
{
	struct jit_code *k = vm()->jit;
	unsigned n = 0;

	for (u8 *p = k->rw + k->used0; p + bytes <= k->rw + k->used; p++)
		if (!memcmp(p, from, bytes)) {
			memcpy(p, to, bytes);
			n++;
		}
	return n;
}

static void test_right(void **state)
{
	assert_int_equal(run(false), NO_ERROR);
	assert_string_equal(text, "");
	assert_int_equal(out.gpr[GPR_RDX], 0x5eed1234);
	assert_int_equal(run(true), NO_ERROR);
	assert_true(counter("cpu0_check_compared ") >= 4);
	assert_int_equal(counter("cpu0_check_differed "), 0);
}

static void test_register(void **state)
{
	assert_int_equal(run(false), NO_ERROR);
	u64 before = counter("cpu0_check_differed ");
	assert_true(change("\x44\x33\x22\x11", "\x45\x33\x22\x11", 4) >= 1);
	assert_int_equal(run(true), ENGINE_ERROR);
	assert_int_equal(counter("cpu0_check_differed "), before + 1);
	assert_non_null(strstr(text, "  rsi            interpreter "));
	assert_null(strstr(text, "  rdx            interpreter"));
	assert_non_null(strstr(text, "add rsi, 0x11223344"));
	assert_non_null(strstr(text, "0x11223345"));
	assert_non_null(strstr(text, "after the interpreter"));
}

static void test_memory(void **state)
{
	assert_int_equal(run(false), NO_ERROR);
	assert_true(change("\x34\x12\xed\x5e", "\x34\x12\xed\x5f", 4) >= 1);
	assert_int_equal(run(true), ENGINE_ERROR);
	assert_non_null(strstr(text, "  rdx            interpreter 000000005eed1234  translated 000000005fed1234"));
	assert_non_null(strstr(text, "interpreter 000000005eed1234  translated 000000005fed1234\n  ram"));
	assert_non_null(strstr(text, "mov edx, 0x5EED1234"));
}

/* More instructions than a block has: it goes on to the next one by a link. */
static void test_long(void **state)
{
	u8 many[100];
	unsigned n = 0;

	memcpy(many, "\xb9\x14\0\0\0", 5); /* mov ecx, 20 */
	for (n = 5; n < 92; n += 3)
		memcpy(many + n, "\x48\xff\xc6", 3); /* inc rsi */
	static_assert((92 - 5) / 3 + 4 < BLOCK_INSNS_MAX, "so it is done twice");
	for (unsigned twice = 0; twice < 2; twice++) {
		u8 all[256];
		unsigned len = 0;
		memcpy(all, many, n);
		len = n;
		memcpy(all + len, many + 5, n - 5);
		len += n - 5;
		memcpy(all + len, "\xff\xc9\x0f\x85", 4); /* dec ecx; jnz */
		len += 4;
		st_le32(all + len, (u32)(5 - (s32)len - 4));
		len += 4;
		hx_engine(all, len, OFF, &in, &out);
		assert_int_equal(out.vec, NO_ERROR);
		assert_int_equal(out.gpr[GPR_RSI], in.gpr[GPR_RSI] + 20 * 2 * (n - 5) / 3);
	}
	assert_int_equal(counter("cpu0_check_differed "), 0);
	assert_true(counter("cpu0_check_compared ") >= 10);
}

static int setup(void **state)
{
	soft_cpu_of(hx_cpu())->jit.check = (jit_check_free(soft_cpu_of(hx_cpu())->jit.check), jit_check_new());
	return 0;
}

int main(void)
{
	const struct soft_options o = { .heat = 3, .check = SOFT_CHECK_ALL };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_right, setup),
		cmocka_unit_test_setup(test_long, setup),
		cmocka_unit_test_setup(test_register, setup),
		cmocka_unit_test_setup(test_memory, setup),
	};

#ifdef SOFT_TRAMPOLINE
	return 77; /* nothing is translated */
#endif
	hx_init(&o);
	in.gpr[GPR_RSP] = HX_DATA + 1024;
	in.gpr[GPR_RDI] = in.gpr[GPR_RSI] = HX_DATA + 2048;
	in.rflags = 0x202;
	st_le16(in.fx, 0x37f);
	st_le32(in.fx + 24, 0x1f80);
	st_le32(in.fx + 28, 0xffff);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
