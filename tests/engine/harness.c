/* SPDX-License-Identifier: GPL-2.0-or-later */
/* harness.c - see harness.h. */
#include "harness.h"
#include "../fake_bus.h"
#include "native.h"
#include "cpu/soft/vm.h"
#include "cpu/soft/run/core.h"

#include <cpuid.h>

/* ---- engine ---- */

/*
 * Guest memory: 0x1000.. page tables, GDT, IDT, TSS; 0x100000 code; 0x200000 data. Every IDT gate is an
 * interrupt gate through IST1 to a HLT of its own, so that the vector is known from where it stopped.
 */
#define G_PML4 0x1000u
#define G_PDPT 0x2000u
#define G_PD0 0x3000u
#define G_PT0 0x4000u
#define G_PTC 0x5000u
#define G_PTD 0x6000u
#define G_GDT 0x7000u
#define G_IDT 0x8000u
#define G_TSS 0x9000u
#define G_STUBS 0xa000u
#define G_STACK 0xc000u             /* top of IST1 */
#define G_IRETQ (G_STUBS + 32 * 16) /* and what it takes from its stack, G_FRAME */
#define G_FRAME 0xb000u
#define G_LDT 0xd000u
#define G_CODE 0x100000u
#define G_DATA 0x200000u

static struct ram *ram;
static struct cpu_vm *vm;
static struct cpu *cpu;
static struct cpu_model *model;
static bool by_kernel; /* direct execution begins at returns to CPL 3 */
static const char *model_name = "host";

static u64 on_park(void *o, unsigned c)
{
	(void)o, (void)c;
	cpu_stop(cpu); /* HLT: the test is over */
	return UINT64_MAX;
}
static const struct cpu_bus bus = { FAKE_BUS, .park = on_park };

static void put64(u32 gpa, unsigned i, u64 v)
{
	must(ram_put(ram, gpa + 8 * i, &v, 8) == 0);
}

/* A 16-bit segment of 64 KiB. */
static u64 seg_desc(u64 base, u64 type)
{
	return 0xffffull | (base & 0xffffff) << 16 | type << 40 | (base >> 24 & 0xff) << 56;
}

bool hx_offers(u32 leaf, char reg, unsigned bit)
{
	struct cpuid_regs r = cpu_model_cpuid(model, 0, leaf, leaf == 0xd);
	u32 v = reg == 'a' ? r.eax : reg == 'b' ? r.ebx : reg == 'c' ? r.ecx : r.edx;

	return v >> bit & 1;
}

bool hx_amd(void)
{
	return cpu_model_is_amd(model);
}

void hx_model(const char *name)
{
	model_name = name;
}

static void engine_init(const struct soft_options *o)
{
	struct err e = { 0 };

	must(ram_new(&ram, 16 * MIB, &e) == 0);
	if (cpu_model_new(&model, model_name, 1, &e) < 0 || cpu_vm_new_soft(&vm, &bus, ram, model, 1, o, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	cpu_vm_ready(vm);
	by_kernel = o && o->direct == SOFT_DIRECT_ALWAYS;
	cpu = cpu_vm_cpu(vm, 0);
	put64(G_PML4, 0, G_PDPT | 7);
	put64(G_PDPT, 0, G_PD0 | 7);
	put64(G_PD0, 0, G_PT0 | 3);
	for (unsigned i = 1; i < 16; i++)
		put64(G_PT0, i, (u64)i << 12 | 3);
	put64(G_PD0, HX_CODE >> 21, G_PTC | 7);
	for (unsigned i = 0; i < HX_CODE_BYTES / 4096; i++)
		put64(G_PTC, i, (G_CODE + i * 4096) | 7);
	put64(G_PD0, HX_DATA >> 21, G_PTD | 7);
	for (unsigned i = 0; i < HX_DATA_BYTES / 4096; i++)
		put64(G_PTD, i, (G_DATA + i * 4096) | (i * 4096 < HX_DATA_RW ? 7 : 5) | 1ull << 63);
	put64(G_GDT, 1, 0x00af9b000000ffffull); /* 08: code 0 */
	put64(G_GDT, 2, 0x00cf93000000ffffull); /* 10: data 0 */
	/* The selectors Linux gives its user code, so that what stores one gets the same. */
	put64(G_GDT, 4, 0x00cffb000000ffffull); /* 20: 32-bit code 3 */
	put64(G_GDT, 5, 0x00cff3000000ffffull); /* 28: data 3 */
	put64(G_GDT, 6, 0x00affb000000ffffull); /* 30: code 3 */
	put64(G_GDT, 8, 0x00008b0000000067ull | (u64)G_TSS << 16);
	put64(G_GDT, 10, 0x0000820000000017ull | (u64)G_LDT << 16);
	put64(G_LDT, 0, seg_desc(HX_CODE, 0xfb));
	put64(G_LDT, 1, seg_desc(HX_DATA, 0xf3));
	put64(G_LDT, 2, seg_desc(HX_DATA, 0xf3));
	u8 int3[HX_CODE_BYTES];
	memset(int3, 0xcc, sizeof(int3));
	must(ram_put(ram, G_CODE, int3, sizeof(int3)) == 0);
	u64 ist = G_STACK;
	must(ram_put(ram, G_TSS + 4, &ist, 8) == 0);
	must(ram_put(ram, G_TSS + 36, &ist, 8) == 0);
	u16 no_io_map = 0x68;
	must(ram_put(ram, G_TSS + 102, &no_io_map, 2) == 0);
	for (unsigned v = 0; v < 32; v++) {
		u64 h = G_STUBS + v * 16, dpl = v == 3 || v == 4 ? 3 : 0;
		put64(G_IDT, 2 * v,
		      (h & 0xffff) | 0x08ull << 16 | 1ull << 32 | (0x8eull | dpl << 5) << 40 | (h >> 16) << 48);
		put64(G_IDT, 2 * v + 1, 0);
		static const u8 stub[2] = { 0xf4, 0xf4 }; /* HLT */
		must(ram_put(ram, (gpa_t)h, stub, 2) == 0);
	}
	static const u8 iretq[2] = { 0x48, 0xcf };
	must(ram_put(ram, G_IRETQ, iretq, 2) == 0);
}

void hx_engine(const u8 *code, unsigned n, unsigned off, const struct hx_state *in, struct hx_state *out)
{
	static u8 page[HX_CODE_BYTES]; /* as it is to be */
	static unsigned from, to;      /* what of it is not INT3 */
	const u8 *is = ram_ptr(ram, G_CODE, sizeof(page));

	if (!to || memcmp(is, page, sizeof(page))) { /* the last one may have written there */
		memset(page, 0xcc, sizeof(page));
		must(ram_put(ram, G_CODE, page, sizeof(page)) == 0);
	} else {
		memset(page + from, 0xcc, to - from);
		must(ram_put(ram, G_CODE + from, page + from, to - from) == 0);
	}
	memcpy(page + off, code, n);
	must(ram_put(ram, G_CODE + off, code, n) == 0);
	from = off;
	to = off + n;
	hx_engine_again(off, in, out);
}

static struct cpu_seg flat(u16 sel, u16 ar)
{
	return (struct cpu_seg){ .sel = sel, .ar = ar, .limit = ~0u };
}

static struct cpu_seg small(u16 sel, u16 ar, u64 base)
{
	return (struct cpu_seg){ .sel = sel, .ar = ar, .limit = 0xffff, .base = base };
}

static void segments(struct cpu_state *s, unsigned bits)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s->seg[i] = (struct cpu_seg){ .ar = SEG_AR_UNUSABLE };
	s->seg[SEG_SS] = flat(HX_SEL_DATA, 0xc0f3);
	if (bits == 64) {
		s->seg[SEG_CS] = flat(HX_SEL64_CODE, 0xa0fb);
	} else if (bits == 32) {
		s->seg[SEG_CS] = flat(HX_SEL32_CODE, 0xc0fb);
		s->seg[SEG_DS] = s->seg[SEG_ES] = flat(HX_SEL_DATA, 0xc0f3);
	} else {
		s->seg[SEG_CS] = small(HX_SEL16_CODE, 0xfb, HX_CODE);
		s->seg[SEG_DS] = s->seg[SEG_ES] = small(HX_SEL16_DATA, 0xf3, HX_DATA);
		s->seg[SEG_SS] = small(HX_SEL16_STACK, 0xf3, HX_DATA);
	}
	s->seg[SEG_FS].base = HX_FS_BASE;
	s->seg[SEG_GS].base = HX_GS_BASE;
	s->seg[SEG_LDTR] = (struct cpu_seg){ .sel = 0x50, .ar = 0x82, .limit = 0x17, .base = G_LDT };
	s->seg[SEG_TR] = (struct cpu_seg){ .sel = 0x40, .ar = 0x8b, .limit = 0x67, .base = G_TSS };
}

void hx_engine_again(unsigned off, const struct hx_state *in, struct hx_state *out)
{
	static struct cpu_state s;
	struct err e = { 0 };
	unsigned bits = in->bits ? in->bits : 64;
	bool have_avx = hx_have_avx() && (cpu_model_xcr0(model) & 4);

	must(ram_put(ram, G_DATA, in->data, HX_DATA_BYTES) == 0);
	memset(&s, 0, sizeof(s));
	memcpy(s.gpr, in->gpr, sizeof(s.gpr));
	s.rip = bits == 16 ? off : HX_CODE + off;
	s.rflags = in->rflags | 2;
	segments(&s, bits);
	s.gdt_base = G_GDT;
	s.gdt_limit = 127;
	s.idt_base = G_IDT;
	s.idt_limit = 32 * 16 - 1;
	s.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
	s.cr3 = G_PML4;
	s.cr4 = 0x50620 | 0x80; /* OSXSAVE OSXMMEXCPT OSFXSR PGE PAE */
	if (!cpu_model_xcr0(model))
		s.cr4 &= ~0x40000ull;
	s.xcr0 = have_avx ? 7 : 3;
	s.efer = 0xd01; /* NXE LMA LME SCE */
	s.dr6 = 0xffff0ff0;
	s.dr[0] = in->dr0;
	s.dr[1] = in->dr1;
	s.dr[2] = in->dr2;
	s.dr[3] = in->dr3;
	s.dr7 = in->dr7 | 0x400;
	s.pat = 0x0007040600070406ull;
	memcpy(s.xsave, in->fx, 512);
	memset(s.xsave + 512, 0, 64);
	st_le64(s.xsave + 512, have_avx ? 7 : 3);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(s.xsave + 160 + 16 * i, in->ymm[i], 16);
		memcpy(s.xsave + 576 + 16 * i, in->ymm[i] + 16, 16);
	}
	if (by_kernel) {
		u64 f[5] = { s.rip, s.seg[SEG_CS].sel, s.rflags, s.gpr[GPR_RSP], s.seg[SEG_SS].sel };
		must(ram_put(ram, G_FRAME, f, sizeof(f)) == 0);
		s.seg[SEG_SS] = (struct cpu_seg){ .sel = 0x10, .ar = 0xc093, .limit = ~0u };
		s.seg[SEG_CS] = (struct cpu_seg){ .sel = 0x08, .ar = 0xa09b, .limit = ~0u };
		s.rip = G_IRETQ;
		s.rflags = 2;
		s.gpr[GPR_RSP] = G_FRAME;
	}
	if (cpu_set_state(cpu, &s, &e) < 0) {
		fprintf(stderr, "set_state: %s\n", e.msg);
		exit(1);
	}
	enum cpu_exit x = cpu_run(cpu, &e);
	cpu_get_state(cpu, &s);
	memcpy(out->gpr, s.gpr, sizeof(out->gpr));
	for (unsigned i = 0; i < ARRAY_LEN(out->sel); i++)
		out->sel[i] = s.seg[i].sel;
	if (x != CPU_EXIT_STOP) {
		out->vec = 100 + (unsigned)x;
		out->rip = s.rip;
	} else {
		out->vec = (unsigned)(s.rip - G_STUBS) / 16;
		u64 sp = s.gpr[GPR_RSP], f[6] = { 0 };
		bool has_error = out->vec == 8 || (out->vec >= 10 && out->vec <= 14) || out->vec == 17;
		must(ram_get(ram, sp, f, has_error ? 48 : 40) == 0);
		u64 *q = f;
		out->error = has_error ? *q++ : 0;
		out->rip = q[0];
		out->sel[SEG_CS] = (u16)q[1];
		out->sel[SEG_SS] = (u16)q[4];
		out->rflags = q[2];
		out->gpr[GPR_RSP] = q[3];
	}
	out->cr2 = s.cr2;
	memcpy(out->fx, s.xsave, 512);
	for (unsigned i = 0; i < 16; i++) {
		memcpy(out->ymm[i], s.xsave + 160 + 16 * i, 16);
		memcpy(out->ymm[i] + 16, s.xsave + 576 + 16 * i, 16);
	}
	must(ram_get(ram, G_DATA, out->data, HX_DATA_BYTES) == 0);
}

/* ---- both ---- */

void hx_decoder_bits(ZydisDecoder *d, unsigned bits)
{
	static unsigned vendor; /* asked once: CPUID may trap, which is slow */
	unsigned a, c, x;

	if (!vendor)
		__cpuid(0, a, vendor, c, x);
	must(ZYAN_SUCCESS(ZydisDecoderInit(d,
					   bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
					   : bits == 32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
							: ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
					   bits == 64   ? ZYDIS_STACK_WIDTH_64
					   : bits == 32 ? ZYDIS_STACK_WIDTH_32
							: ZYDIS_STACK_WIDTH_16)));
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_AMD_BRANCHES, vendor != 0x756e6547u ? ZYAN_TRUE : ZYAN_FALSE);
}

void hx_decoder(ZydisDecoder *d)
{
	hx_decoder_bits(d, 64);
}

void hx_init(const struct soft_options *o)
{
	hx_native_map();
	engine_init(o);
	hx_native_signals();
}

static const char *const sets[] = { "I86",       "I186",        "I286REAL",     "I386",          "I486REAL",
				    "I486",      "PENTIUMREAL", "PENTIUMMMX",   "PPRO",          "CMOV",
				    "LONGMODE",  "FAT_NOP",     "PREFETCH_NOP", "PPRO_UD0_LONG", "LAHF",
				    "X87",       "FCMOV",       "FCOMI",        "SSE3X87",       "MMX",
				    "SSE",       "SSEMXCSR",    "SSE2",         "SSE2MMX",       "SSE3",
				    "SSSE3",     "SSSE3MMX",    "SSE4",         "SSE42",         "POPCNT",
				    "BMI1",      "BMI2",        "LZCNT",        "MOVBE",         "AES",
				    "PCLMULQDQ", "AVX",         "AVX2",         "AVX2GATHER",    "AVXAES",
				    "FMA",       "F16C",        "CMPXCHG16B",   "SSE_PREFETCH",  "CET",
				    "PAUSE",     "CLDEMOTE",    "PREFETCHWT1",  "I286PROTECTED", "CLFSH" };

bool hx_wanted(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	const char *set = ZydisISASetGetString(in->meta.isa_set);
	bool ok = false;

	static s8 known[ZYDIS_ISA_SET_MAX_VALUE + 1]; /* 0: not asked yet */
	s8 *k = &known[in->meta.isa_set];

	if (!*k) {
		for (unsigned i = 0; i < ARRAY_LEN(sets) && !ok; i++)
			ok = set && !strcmp(set, sets[i]);
		*k = ok ? 1 : -1;
	}
	ok = *k > 0;
	if (!ok)
		return false;
	/* What is loaded into a segment register does not last: an interrupt's IRET makes null selectors 0. */
	for (unsigned i = 0; i < in->operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_SEGMENT &&
		    (ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			return false;
	if (in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (in->mnemonic == ZYDIS_MNEMONIC_MOVSXD && in->operand_width == 16)
		return false; /* reads two bytes on Intel, four on AMD */
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MASKMOVQ: /* CR2: the operand's start or its first enabled byte, as models differ */
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_INT: /* system calls, and whatever else the kernel, or the hypervisor under it, has there */
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_SYSEXIT:
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_RSM:
	case ZYDIS_MNEMONIC_FXSAVE: /* instruction pointers of both sides differ: tested on their own */
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FLDCW: /* unmasked exceptions come at the harness's own x87 use */
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_WBINVD:
	case ZYDIS_MNEMONIC_INVD:
	case ZYDIS_MNEMONIC_HLT:
		return false;
	default:
		return true;
	}
}

void hx_disasm(FILE *f, const u8 *code, unsigned n, u64 rip)
{
	hx_disasm_bits(f, code, n, rip, 64);
}

void hx_disasm_bits(FILE *f, const u8 *code, unsigned n, u64 rip, unsigned bits)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoder dec;
	ZydisFormatter fmt;
	unsigned off = 0;
	char text[128];

	hx_decoder_bits(&dec, bits);
	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	while (off < n && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code + off, n - off, &in, ops))) {
		ZydisFormatterFormatInstruction(&fmt, &in, ops, in.operand_count_visible, text, sizeof(text), rip + off,
						NULL);
		fprintf(f, "  %-48s ; ", text);
		for (unsigned i = 0; i < in.length; i++)
			fprintf(f, " %02x", code[off + i]);
		fputc('\n', f);
		off += in.length;
	}
}

const char *hx_no_direct(void)
{
	const struct direct *d = &soft_cpu_of(cpu)->vm->direct;

	return d->n ? NULL : d->why ? d->why : "it is off";
}

struct cpu *hx_cpu(void)
{
	return cpu;
}

void hx_stats(FILE *f)
{
	cpu_vm_stats(vm, f);
}
