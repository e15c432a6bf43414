/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * model.c - CPU models: what CPUID promises a guest.
 *
 * Theory of operation
 *
 * A feature is run either by the engine (paging, system registers, paravirtual interfaces) or by
 * the host's own units (everything that computes). The first kind can be promised on any host; the
 * second only where the host's CPUID has it, as the engine re-emits the guest's instruction. Each
 * feature is one line of `features`: which level promises it, and who runs it. A level that needs
 * what the host lacks is refused; extras beyond the level's definition are dropped silently. PCID and INVPCID are
 * the engine's, yet extras: KVM can only have them where the host has, and a guest that uses them must be able to
 * move between the engines of a host.
 *
 * The vendor is the host's, so that what differs between vendors in unprivileged code (and cannot be
 * hidden when guest code runs natively) differs as the guest expects. Family and model are of a
 * common server part. All known speculation flaws are reported as absent, as far as CPUID can: guest
 * code runs under the engine's translation, where the usual mitigations (page-table isolation, RSB
 * stuffing, retpolines) cost much and guard nothing; what guards the host is the process border.
 */
#include "cpu/cpu.h"
#include "base/i18n.h"

#include <cpuid.h>

/*
 * Enough for all memory that a VM can have, and its devices; and not more: UEFI firmware maps all of it at the start,
 * in 2 MiB pages, which took 256 MiB of memory with 46 bits. Every host has at least these, or nearly.
 */
#define PHYS_BITS 40
#define VIRT_BITS 48
#define APIC_BUS_KHZ 1000000
#define TSC_LEAF_HZ 1000000000u /* leaf 0x15's crystal: the APIC timer's clock */

enum reg { EAX, EBX, ECX, EDX };
enum level { V2 = 1, V3 = 2, HOST = 3 };
enum runs { ENGINE, NEED, EXTRA }; /* by the engine; on the host, part of the level; on the host, extra */

struct feature {
	u32 leaf;
	u8 reg, bit;
	u8 level; /* from this level on */
	u8 runs;
	const char *name;
};

#define F(leaf, reg, bit, level, runs, name) \
	{ \
		leaf, reg, bit, level, runs, name \
	}
static const struct feature features[] = {
	F(1, EDX, 0, V2, NEED, "fpu"),
	F(1, EDX, 1, V2, ENGINE, "vme"),
	F(1, EDX, 2, V2, ENGINE, "de"),
	F(1, EDX, 3, V2, ENGINE, "pse"),
	F(1, EDX, 4, V2, ENGINE, "tsc"),
	F(1, EDX, 5, V2, ENGINE, "msr"),
	F(1, EDX, 6, V2, ENGINE, "pae"),
	F(1, EDX, 7, V2, ENGINE, "mce"),
	F(1, EDX, 8, V2, NEED, "cx8"),
	F(1, EDX, 9, V2, ENGINE, "apic"),
	F(1, EDX, 11, V2, ENGINE, "sep"),
	F(1, EDX, 12, V2, ENGINE, "mtrr"),
	F(1, EDX, 13, V2, ENGINE, "pge"),
	F(1, EDX, 14, V2, ENGINE, "mca"),
	F(1, EDX, 15, V2, NEED, "cmov"),
	F(1, EDX, 16, V2, ENGINE, "pat"),
	F(1, EDX, 17, V2, ENGINE, "pse36"),
	F(1, EDX, 19, V2, NEED, "clflush"),
	F(1, EDX, 23, V2, NEED, "mmx"),
	F(1, EDX, 24, V2, NEED, "fxsr"),
	F(1, EDX, 25, V2, NEED, "sse"),
	F(1, EDX, 26, V2, NEED, "sse2"),
	F(1, ECX, 0, V2, NEED, "sse3"),
	F(1, ECX, 1, V2, EXTRA, "pclmulqdq"),
	F(1, ECX, 9, V2, NEED, "ssse3"),
	F(1, ECX, 12, V3, NEED, "fma"),
	F(1, ECX, 13, V2, NEED, "cx16"),
	F(1, ECX, 17, V2, EXTRA, "pcid"),
	F(1, ECX, 19, V2, NEED, "sse4_1"),
	F(1, ECX, 20, V2, NEED, "sse4_2"),
	F(1, ECX, 21, V2, ENGINE, "x2apic"),
	F(1, ECX, 22, V3, NEED, "movbe"),
	F(1, ECX, 23, V2, NEED, "popcnt"),
	F(1, ECX, 24, V2, ENGINE, "tsc_deadline"),
	F(1, ECX, 25, V2, EXTRA, "aes"),
	F(1, ECX, 26, V2, EXTRA, "xsave"),
	F(1, ECX, 28, V3, NEED, "avx"),
	F(1, ECX, 29, V3, NEED, "f16c"),
	F(1, ECX, 30, V2, EXTRA, "rdrand"),
	F(1, ECX, 31, V2, ENGINE, "hypervisor"),
	F(6, EAX, 2, V2, ENGINE, "arat"),
	F(7, EBX, 0, V2, ENGINE, "fsgsbase"),
	F(7, EBX, 1, V2, ENGINE, "tsc_adjust"),
	F(7, EBX, 3, V3, NEED, "bmi1"),
	F(7, EBX, 5, V3, NEED, "avx2"),
	F(7, EBX, 7, V2, ENGINE, "smep"),
	F(7, EBX, 8, V3, NEED, "bmi2"),
	F(7, EBX, 9, V2, ENGINE, "erms"), /* REP MOVSB and STOSB go by whole pages here */
	F(7, EBX, 10, V2, EXTRA, "invpcid"),
	F(7, EBX, 18, HOST, EXTRA, "rdseed"),
	F(7, EBX, 20, V2, ENGINE, "smap"),
	F(7, ECX, 2, V2, ENGINE, "umip"),
	F(7, ECX, 22, HOST, ENGINE, "rdpid"),
	F(7, EDX, 4, V2, ENGINE, "fsrm"),
	F(0xd, EAX, 0, V2, EXTRA, "xsaveopt"), /* subleaf 1 */
	F(0x80000001, ECX, 0, V2, NEED, "lahf_lm"),
	F(0x80000001, ECX, 5, V3, NEED, "lzcnt"),
	F(0x80000001, ECX, 8, V2, ENGINE, "prefetchw"), /* 0F 0D does nothing, at worst, on any 64-bit processor */
	F(0x80000001, EDX, 11, V2, ENGINE, "syscall"),
	F(0x80000001, EDX, 20, V2, ENGINE, "nx"),
	F(0x80000001, EDX, 26, V2, ENGINE, "pdpe1gb"),
	F(0x80000001, EDX, 27, V2, ENGINE, "rdtscp"),
	F(0x80000001, EDX, 29, V2, ENGINE, "lm"),
	F(0x80000007, EDX, 8, V2, ENGINE, "invariant_tsc"),
};
#undef F

struct cpu_model {
	enum level level;
	bool amd;
	unsigned ncpus, apic_bits;
	u32 l1_ecx, l1_edx, l6_eax, l7_ebx, l7_ecx, l7_edx, ld1_eax, e1_ecx, e1_edx, e7_edx;
	u32 pv_eax, e8_ebx, e21_eax, e21_ecx;
	bool limited; /* by an engine whose guests have the processor's own flaws */
	u64 xcr0, arch_cap;
	char vendor[12];
	char name[16];
	char brand[48];
};

static u32 *feature_word(struct cpu_model *m, const struct feature *f)
{
	switch (f->leaf) {
	case 1:
		return f->reg == ECX ? &m->l1_ecx : &m->l1_edx;
	case 6:
		return &m->l6_eax;
	case 7:
		return f->reg == EBX ? &m->l7_ebx : f->reg == ECX ? &m->l7_ecx : &m->l7_edx;
	case 0xd:
		return &m->ld1_eax;
	case 0x80000001:
		return f->reg == ECX ? &m->e1_ecx : &m->e1_edx;
	case 0x80000007:
		return &m->e7_edx;
	default:
		must(!"a leaf without a word");
	}
}

/* The leaf asked for last is kept: on a host that is a virtual machine itself, CPUID costs microseconds. */
struct host_leaf {
	u32 leaf, r[4];
};

static bool host_has(struct host_leaf *last, const struct feature *f)
{
	if (last->leaf != f->leaf) {
		*last = (struct host_leaf){ .leaf = f->leaf };
		if ((u32)__get_cpuid_max(f->leaf & 0x80000000, NULL) >= f->leaf)
			__cpuid_count(f->leaf, f->leaf == 0xd ? 1 : 0, last->r[0], last->r[1], last->r[2], last->r[3]);
	}
	return last->r[f->reg] >> f->bit & 1;
}

/* Whether the host's kernel lets AVX registers be used (XCR0 bits 1 and 2). */
static bool host_ymm(void)
{
	u32 a, b, c, d, lo, hi;

	__cpuid(1, a, b, c, d);
	if (!(c >> 27 & 1))
		return false;
	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & 6) == 6;
}

static bool needs_ymm(const struct feature *f)
{
	return (f->leaf == 1 && f->reg == ECX && (f->bit == 12 || f->bit == 28 || f->bit == 29)) ||
	       (f->leaf == 7 && f->reg == EBX && f->bit == 5);
}

/* What one feature needs of another. */
static void hang_together(struct cpu_model *m)
{
	if (!(m->l1_ecx >> 26 & 1)) {
		m->l1_ecx &= ~(1u << 12 | 1u << 28 | 1u << 29);
		m->ld1_eax = 0;
	}
	if (!(m->l1_ecx >> 28 & 1)) {
		m->l1_ecx &= ~(1u << 12 | 1u << 29);
		m->l7_ebx &= ~(1u << 5);
	}
}

static int choose_features(struct cpu_model *m, const char *name, struct err *e)
{
	struct host_leaf last = { 0 };
	bool ymm = host_ymm();

	for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
		const struct feature *f = &features[i];
		bool ok = f->runs == ENGINE || (host_has(&last, f) && (ymm || !needs_ymm(f)));

		if (f->level > m->level)
			continue;
		if (ok) {
			*feature_word(m, f) |= 1u << f->bit;
			continue;
		}
		/* "host" is whatever the host has, but never less than the lowest level. */
		if (f->runs == NEED && (m->level != HOST || f->level == V2))
			return err_set(e, ENOTSUP,
				       f->level == V3
					   ? N_("CPU model %s needs %s, which this host's CPU lacks; use --cpu mica-v2")
					   : N_("CPU model %s needs %s, which this host's CPU lacks"),
				       name, f->name);
	}
	hang_together(m);
	m->xcr0 = 3 | (m->l1_ecx >> 28 & 1 ? 4 : 0);
	return 0;
}

/* IA32_ARCH_CAPABILITIES (SDM 4): every "not affected" bit. */
#define ARCH_CAP_NOT_AFFECTED \
	(1ull << 0 /* RDCL */ | 1ull << 1 /* IBRS_ALL */ | 1ull << 3 /* SKIP_L1DFL */ | 1ull << 4 /* SSB */ | \
	 1ull << 5 /* MDS */ | 1ull << 6 /* PSCHANGE_MC */ | 1ull << 8 /* TAA */ | 1ull << 13 /* SBDR_SSDP */ | \
	 1ull << 14 /* FBSDP */ | 1ull << 15 /* PSDP */ | 1ull << 20 /* BHI */ | 1ull << 24 /* PBRSB */ | \
	 1ull << 26 /* GDS */ | 1ull << 27 /* RFDS */ | 1ull << 62 /* ITS */)

static void choose_vendor(struct cpu_model *m)
{
	u32 a, b, c, d;

	__cpuid(0, a, b, c, d);
	memcpy(m->vendor, &b, 4);
	memcpy(m->vendor + 4, &d, 4);
	memcpy(m->vendor + 8, &c, 4);
	m->amd = !memcmp(m->vendor, "AuthenticAMD", 12) || !memcmp(m->vendor, "HygonGenuine", 12);
	memcpy(m->vendor, m->amd ? "AuthenticAMD" : "GenuineIntel", 12);
	if (!m->amd) {
		m->l7_edx |= 1u << 26 | 1u << 29; /* SPEC_CTRL, ARCH_CAPABILITIES */
		m->arch_cap = ARCH_CAP_NOT_AFFECTED;
	}
}

/* list: ",-vme,-aes", "" for none. For a VM that shall move to hosts which lack them. */
static int leave_out(struct cpu_model *m, const char *list, struct err *e)
{
	while (*list) {
		const char *name = list + 2, *end = strchrnul(list + 1, ',');
		size_t len = list[1] == '-' ? (size_t)(end - name) : 0;
		bool known = false;

		for (unsigned i = 0; i < ARRAY_LEN(features) && len; i++)
			if (strlen(features[i].name) == len && !strncmp(features[i].name, name, len)) {
				*feature_word(m, &features[i]) &= ~(1u << features[i].bit);
				known = true;
			}
		if (!known)
			return err_set(e, EINVAL, "no feature \"%.*s\" that could be left out; write -FEATURE",
				       (int)(end - list - 1), list + 1);
		list = end;
	}
	hang_together(m);
	if (!(m->l1_ecx >> 28 & 1))
		m->xcr0 &= ~4ull;
	return 0;
}

/* NOP_IO_DELAY, CLOCKSOURCE2, STEAL_TIME, PV_UNHALT, PV_SEND_IPI, PV_SCHED_YIELD, CLOCKSOURCE_STABLE */
#define PV_STEAL_TIME (1u << 5)
#define PV_FEATURES (1u << 1 | 1u << 3 | PV_STEAL_TIME | 1u << 7 | 1u << 11 | 1u << 13 | 1u << 24)

int cpu_model_new(struct cpu_model **out, const char *name, unsigned ncpus, struct err *e)
{
	enum level level;
	int r;

	const char *without = strchrnul(name, ',');
	auto_free char *base = xasprintf("%.*s", (int)(without - name), name);

	if (!strcmp(base, "mica-v2"))
		level = V2;
	else if (!strcmp(base, "mica-v3"))
		level = V3;
	else if (!strcmp(base, "host"))
		level = HOST;
	else
		return err_set(e, EINVAL, "no CPU model \"%s\"; there are mica-v2, mica-v3 and host", base);
	if (ncpus < 1 || ncpus > CPU_MAX)
		return err_set(e, EINVAL, "%u vCPUs: 1 to %u are possible", ncpus, CPU_MAX);

	struct cpu_model *m = xcalloc(1, sizeof(*m));
	m->level = level;
	m->ncpus = ncpus;
	while ((1u << m->apic_bits) < ncpus)
		m->apic_bits++;
	choose_vendor(m);
	r = choose_features(m, base, e);
	if (r == 0)
		r = leave_out(m, without, e);
	if (r < 0) {
		free(m);
		return r;
	}
	if (ncpus > 1) {
		m->l1_edx |= 1u << 28; /* HTT: leaf 1's count is valid */
		if (m->amd)
			m->e1_ecx |= 1u << 1; /* CMP_LEGACY */
	}
	m->pv_eax = PV_FEATURES;
	if (m->amd) {
		m->e1_edx |= (m->l1_edx & 0x0183f3ffu) | 1u << 22; /* the mirror, MMXEXT */
		m->e8_ebx = 1u << 26 | 1u << 29;                   /* SSB_NO, BTC_NO */
		/* LFENCE serializing, null selector clears base, automatic IBRS, SRSO_NO */
		m->e21_eax = 1u << 2 | 1u << 6 | 1u << 8 | 1u << 29;
		m->e21_ecx = 1u << 1 | 1u << 2; /* TSA_SQ_NO, TSA_L1_NO */
	}
	snprintf(m->name, sizeof(m->name), "%s", base);
	snprintf(m->brand, sizeof(m->brand), "Mica virtual CPU (%s)", base);
	*out = m;
	return 0;
}

void cpu_model_free(struct cpu_model *m)
{
	free(m);
}

u64 cpu_model_xcr0(const struct cpu_model *m)
{
	return m->l1_ecx >> 26 & 1 ? m->xcr0 : 0;
}
bool cpu_model_is_amd(const struct cpu_model *m)
{
	return m->amd;
}
u64 cpu_model_arch_capabilities(const struct cpu_model *m)
{
	return m->arch_cap;
}

/* ---- what a saved VM was promised ---- */

const struct cpu_word_place cpu_word_places[CPU_MODEL_WORDS] = {
	[CW_1_ECX] = { 1, 0, ECX },
	[CW_1_EDX] = { 1, 0, EDX },
	[CW_6_EAX] = { 6, 0, EAX },
	[CW_7_EBX] = { 7, 0, EBX },
	[CW_7_ECX] = { 7, 0, ECX },
	[CW_7_EDX] = { 7, 0, EDX },
	[CW_D1_EAX] = { 0xd, 1, EAX },
	[CW_E1_ECX] = { 0x80000001, 0, ECX },
	[CW_E1_EDX] = { 0x80000001, 0, EDX },
	[CW_E7_EDX] = { 0x80000007, 0, EDX },
	[CW_PV_EAX] = { 0x40000001, 0, EAX },
	[CW_E8_EBX] = { 0x80000008, 0, EBX },
	[CW_E21_EAX] = { 0x80000021, 0, EAX },
	[CW_E21_ECX] = { 0x80000021, 0, ECX },
};

/* Means against speculation flaws: MSRs which a guest that was told of them uses. The software engine takes them all
 * and has nothing to do for them (cpu_state.spec_msrs). */
static const u32 means[CPU_MODEL_WORDS] = {
	/* MD_CLEAR, IBRS and IBPB, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD */
	[CW_7_EDX] = 1u << 10 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29 | 1u << 31,
	/* IBPB, IBRS, STIBP, SSBD, VIRT_SSBD */
	[CW_E8_EBX] = 1u << 12 | 1u << 14 | 1u << 15 | 1u << 24 | 1u << 25,
	/* SBPB, IBPB_BRTYPE */
	[CW_E21_EAX] = 1u << 27 | 1u << 28,
};

/* What is told of the processor's nature, not of what it can do. Automatic IBRS: used or not, EFER tells. */
static const u32 claims[CPU_MODEL_WORDS] = {
	[CW_1_EDX] = 1u << 28, /* HTT: there are several CPUs */
	/* CMP_LEGACY: the same; PREFETCHW is a hint, and does nothing where it is not known */
	[CW_E1_ECX] = 1u << 1 | 1u << 8,
	/* SSB_NO, BTC_NO */
	[CW_E8_EBX] = 1u << 26 | 1u << 29,
	/* LFENCE serializing, null selector clears base, automatic IBRS, SRSO_NO */
	[CW_E21_EAX] = 1u << 2 | 1u << 6 | 1u << 8 | 1u << 29,
	[CW_E21_ECX] = ~0u,
};

static void words(struct cpu_model *m, u32 *w[CPU_MODEL_WORDS])
{
	u32 *all[CPU_MODEL_WORDS] = {
		[CW_1_ECX] = &m->l1_ecx,    [CW_1_EDX] = &m->l1_edx,    [CW_6_EAX] = &m->l6_eax,
		[CW_7_EBX] = &m->l7_ebx,    [CW_7_ECX] = &m->l7_ecx,    [CW_7_EDX] = &m->l7_edx,
		[CW_D1_EAX] = &m->ld1_eax,  [CW_E1_ECX] = &m->e1_ecx,   [CW_E1_EDX] = &m->e1_edx,
		[CW_E7_EDX] = &m->e7_edx,   [CW_PV_EAX] = &m->pv_eax,   [CW_E8_EBX] = &m->e8_ebx,
		[CW_E21_EAX] = &m->e21_eax, [CW_E21_ECX] = &m->e21_ecx,
	};

	memcpy(w, all, sizeof(all));
}

void cpu_model_limit(struct cpu_model *m, const u32 has[CPU_MODEL_WORDS], const u32 add[CPU_MODEL_WORDS], u64 xcr0)
{
	u32 *w[CPU_MODEL_WORDS];

	words(m, w);
	for (unsigned i = 0; i < CPU_MODEL_WORDS; i++)
		*w[i] = (*w[i] & has[i]) | add[i];
	if ((xcr0 & 6) != 6)
		m->l1_ecx &= ~(1u << 28);
	hang_together(m);
	m->xcr0 &= xcr0;
	m->limited = true;
}

void cpu_model_promise(const struct cpu_model *m, struct cpu_model_promise *p)
{
	struct cpu_model copy = *m;
	u32 *w[CPU_MODEL_WORDS];

	words(&copy, w);
	*p = (struct cpu_model_promise){
		.xcr0 = m->xcr0,
		.arch_capabilities = m->arch_cap,
		.ncpus = m->ncpus,
		.words = CPU_MODEL_WORDS,
		.limited = m->limited,
	};
	memcpy(p->name, m->name, sizeof(p->name));
	memcpy(p->vendor, m->vendor, sizeof(p->vendor));
	for (unsigned i = 0; i < CPU_MODEL_WORDS; i++)
		p->word[i] = *w[i];
}

/* Names of the bits in `lacks`, as /proc/cpuinfo has them. */
static void name_features(unsigned word, u32 lacks, char *buf, size_t bytes)
{
	const struct cpu_word_place *p = &cpu_word_places[word];
	size_t at = strlen(buf);

	for (unsigned i = 0; i < ARRAY_LEN(features) && at < bytes; i++)
		if (features[i].leaf == p->leaf && features[i].reg == p->reg && lacks >> features[i].bit & 1) {
			at += (size_t)snprintf(buf + at, bytes - at, "%s%s", at ? ", " : "", features[i].name);
			lacks &= ~(1u << features[i].bit);
		}
	static const char *const regs[] = { "EAX", "EBX", "ECX", "EDX" };
	if (lacks && at < bytes)
		snprintf(buf + at, bytes - at, "%sbits %#x of CPUID leaf %#x %s", at ? ", " : "", lacks, p->leaf,
			 regs[p->reg]);
}

int cpu_promise_fits(const struct cpu_model_promise *host, const struct cpu_model_promise *p, struct err *e)
{
	char lacks[256] = "";

	if (memcmp(p->vendor, host->vendor, sizeof(p->vendor)))
		return err_set(
		    e, ENOTSUP,
		    "the VM was saved on a host whose CPU is %.12s, and this one's is %.12s: guests tell them "
		    "apart; resume it on a host of the same make",
		    p->vendor, host->vendor);
	for (unsigned i = 0; i < p->words; i++) {
		u32 missing = p->word[i] & ~host->word[i] & ~claims[i] & ~(host->limited ? 0 : means[i]);
		if (missing)
			name_features(i, missing, lacks, sizeof(lacks));
	}
	if (!lacks[0] && (p->xcr0 & ~host->xcr0))
		snprintf(lacks, sizeof(lacks), "XCR0 bits %#llx", (unsigned long long)(p->xcr0 & ~host->xcr0));
	if (lacks[0])
		return err_set(e, ENOTSUP,
			       "the saved VM's CPU model %.16s has what this host's CPU or engine lacks: %s", p->name,
			       lacks);
	return 0;
}

int cpu_model_keep(struct cpu_model *m, const struct cpu_model_promise *p, struct err *e)
{
	struct cpu_model_promise mine;
	u32 *w[CPU_MODEL_WORDS];

	cpu_model_promise(m, &mine);
	int r = cpu_promise_fits(&mine, p, e);
	if (r < 0)
		return r;
	if (p->ncpus != m->ncpus)
		return err_set(e, EINVAL, "the VM was saved with %u CPUs, not %u", p->ncpus, m->ncpus);
	words(m, w);
	for (unsigned i = 0; i < p->words; i++)
		*w[i] = m->limited ? p->word[i] & *w[i] : p->word[i];
	if (p->words <= CW_PV_EAX)
		m->pv_eax &= ~PV_STEAL_TIME; /* nobody had it then */
	m->xcr0 = p->xcr0;
	m->arch_cap = p->arch_capabilities;
	return 0;
}

/* ---- the leaves ---- */
#define MAX_AMD 0xd
#define MAX_INTEL 0x16
#define MAX_EXT 0x80000021u
#define KVM_BASE 0x40000000u

/* Deterministic cache parameters, Intel's leaf 4 (SDM 2, CPUID). */
static struct cpuid_regs intel_cache(const struct cpu_model *m, u32 sub)
{
	static const struct {
		u8 type, level;
		u16 ways, sets;
		bool shared;
	} caches[] = {
		{ 1, 1, 8, 64, false }, { 2, 1, 8, 64, false }, { 3, 2, 8, 1024, false }, { 3, 3, 16, 16384, true }
	};

	if (sub >= ARRAY_LEN(caches))
		return (struct cpuid_regs){ 0 };
	return (struct cpuid_regs){
		.eax = caches[sub].type | (u32)caches[sub].level << 5 | 1 << 8 |
		       (caches[sub].shared ? (1u << m->apic_bits) - 1 : 0) << 14 | ((1u << m->apic_bits) - 1) << 26,
		.ebx = 63 | (caches[sub].ways - 1u) << 22,
		.ecx = caches[sub].sets - 1u,
	};
}

static struct cpuid_regs xsave_leaf(const struct cpu_model *m, u32 sub)
{
	u64 xcr0 = cpu_model_xcr0(m);

	if (!xcr0)
		return (struct cpuid_regs){ 0 };
	if (sub == 0)
		return (struct cpuid_regs){ .eax = (u32)xcr0, .ebx = 576, .ecx = xcr0 & 4 ? 832 : 576 };
	if (sub == 1)
		return (struct cpuid_regs){ .eax = m->ld1_eax };
	if (sub == 2 && xcr0 & 4)
		return (struct cpuid_regs){ .eax = 256, .ebx = 576 };
	return (struct cpuid_regs){ 0 };
}

/* One socket of ncpus one-thread cores. */
static struct cpuid_regs topology(const struct cpu_model *m, unsigned cpu, u32 sub)
{
	struct cpuid_regs r = { .ecx = sub & 0xff, .edx = cpu };

	if (sub == 0) {
		r.ebx = 1;
		r.ecx |= 1 << 8; /* threads */
	} else if (sub == 1) {
		r.eax = m->apic_bits;
		r.ebx = m->ncpus;
		r.ecx |= 2 << 8; /* cores */
	}
	return r;
}

static struct cpuid_regs basic(const struct cpu_model *m, unsigned cpu, u32 leaf, u32 sub)
{
	struct cpuid_regs r = { 0 };

	switch (leaf) {
	case 0:
		r.eax = m->amd ? MAX_AMD : MAX_INTEL;
		memcpy(&r.ebx, m->vendor, 4);
		memcpy(&r.edx, m->vendor + 4, 4);
		memcpy(&r.ecx, m->vendor + 8, 4);
		break;
	case 1:
		/* AMD family 19h model 01h; Intel family 6 model 8fh. */
		r.eax = m->amd ? 0x00a00f11 : 0x000806f8;
		r.ebx = cpu << 24 | m->ncpus << 16 | 8 << 8; /* CLFLUSH: 64 bytes */
		r.ecx = m->l1_ecx;
		r.edx = m->l1_edx;
		break;
	case 2:
		if (!m->amd)
			r.eax = 0x00feff01; /* TLBs: leaf 18h; caches: leaf 4 */
		break;
	case 4:
		if (!m->amd)
			return intel_cache(m, sub);
		break;
	case 6:
		r.eax = m->l6_eax;
		break;
	case 7:
		if (sub == 0) {
			r.ebx = m->l7_ebx;
			r.ecx = m->l7_ecx;
			r.edx = m->l7_edx;
		}
		break;
	case 0xb:
		return topology(m, cpu, sub);
	case 0xd:
		return xsave_leaf(m, sub);
	case 0x15:
		if (!m->amd)
			r.ecx = TSC_LEAF_HZ; /* the engine fills in the ratio */
		break;
	case 0x16:
		if (!m->amd)
			r.eax = r.ebx = 2000, r.ecx = 100; /* the engine puts in the true MHz */
		break;
	default:
		break;
	}
	return r;
}

/* KVM's paravirtual interface (Linux Documentation/virt/kvm/x86/cpuid). */
static struct cpuid_regs paravirt(const struct cpu_model *m, u32 leaf)
{
	struct cpuid_regs r = { 0 };

	switch (leaf) {
	case KVM_BASE:
		r.eax = KVM_BASE + 0x10;
		memcpy(&r.ebx, "KVMK", 4);
		memcpy(&r.ecx, "VMKV", 4);
		memcpy(&r.edx, "M\0\0\0", 4);
		break;
	case KVM_BASE + 1:
		r.eax = m->pv_eax;
		break;
	case KVM_BASE + 0x10:
		r.ebx = APIC_BUS_KHZ; /* eax: the TSC's kHz, from the engine */
		break;
	default:
		break;
	}
	return r;
}

static struct cpuid_regs extended(const struct cpu_model *m, u32 leaf)
{
	struct cpuid_regs r = { 0 };

	switch (leaf) {
	case 0x80000000:
		r.eax = MAX_EXT;
		if (m->amd) {
			memcpy(&r.ebx, m->vendor, 4);
			memcpy(&r.edx, m->vendor + 4, 4);
			memcpy(&r.ecx, m->vendor + 8, 4);
		}
		break;
	case 0x80000001:
		r.eax = m->amd ? 0x00a00f11 : 0;
		r.ecx = m->e1_ecx;
		r.edx = m->e1_edx;
		break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		memcpy(&r, m->brand + 16 * (leaf - 0x80000002), 16);
		break;
	case 0x80000005: /* AMD: L1 TLBs and caches, 32 KiB, 8 ways, 64-byte lines */
		if (m->amd)
			r = (struct cpuid_regs){ 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140 };
		break;
	case 0x80000006: /* L2 512 KiB 8 ways, L3 16 MiB 16 ways */
		if (m->amd)
			r = (struct cpuid_regs){ 0x48002200, 0x68004200, 0x02006140, 0x00808140 };
		else
			r.ecx = 0x02006040;
		break;
	case 0x80000007:
		r.edx = m->e7_edx;
		break;
	case 0x80000008:
		r.eax = PHYS_BITS | VIRT_BITS << 8;
		r.ebx = m->e8_ebx;
		if (m->amd)
			r.ecx = (m->ncpus - 1) | m->apic_bits << 12;
		break;
	case 0x80000021:
		r.eax = m->e21_eax;
		r.ecx = m->e21_ecx;
		break;
	default:
		break;
	}
	return r;
}

struct cpuid_regs cpu_model_cpuid(const struct cpu_model *m, unsigned cpu, u32 leaf, u32 subleaf)
{
	if (leaf >= 0x80000000)
		return extended(m, leaf);
	if (leaf >= KVM_BASE)
		return paravirt(m, leaf);
	return basic(m, cpu, leaf, subleaf);
}
