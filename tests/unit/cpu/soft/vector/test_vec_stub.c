/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_vec_stub.c - the engine's vector and x87 instructions against the host's own execution.
 *
 * Walks the opcode maps, decodes each candidate, runs it through decode_vec() and natively on the
 * same random state, and compares vector registers, general registers, flags, memory, x87 and
 * MXCSR. The engine's core is replaced by a few lines here: guest linear addresses are host
 * addresses, and the TLB either serves every page or none.
 */
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/decode/decode_vec.h"
#include "cpu/soft/ea.h"
#include "cpu/soft/memory/access.h"
#include "cpu/soft/raise.h"
#include "cpu/soft/vector/fpu.h"
#include "cpu/soft/vector/fpu_image.h"
#include "cpu/soft/vector/vec.h"
#include "cpu/soft/hooks.h"
#include "cpu/soft/system/system.h"

#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <cmocka.h>

/* ---- the engine's surroundings ---- */

static struct {
	int vec;
	s64 error;
} raised;
static jmp_buf escape;
static gva_t bad_page = 1; /* accesses to this page fault */
static u64 slow_loads, slow_stores;

noreturn_ void soft_raise(struct soft_cpu *c, enum soft_exc vec, s64 error)
{
	raised.vec = vec;
	raised.error = error;
	longjmp(escape, 1);
}
static bool fault_landing(struct soft_cpu *c, u64 *rip, u64 rflags, unsigned vec)
{
	return false; /* nothing is translated here */
}
static const struct soft_hooks hooks = { .fault_landing = fault_landing };
static void touch(struct soft_cpu *c, gva_t lin, unsigned n)
{
	if ((lin & PAGE_MASK) == bad_page || ((lin + n - 1) & PAGE_MASK) == bad_page)
		soft_raise(c, EXC_PF, 0);
}
u64 soft_ea_offset(struct soft_cpu *c, const struct uop *op)
{
	return c->gpr[op->base] + (c->gpr[op->index] << op->scale) + (u64)(s64)op->disp;
}
gva_t soft_seg_lin(struct soft_cpu *c, unsigned seg, u64 off, unsigned bytes, bool write)
{
	return off + c->eff_base[seg];
}
gva_t soft_ea(struct soft_cpu *c, const struct uop *op, unsigned bytes, bool write)
{
	return soft_seg_lin(c, op->seg, soft_ea_offset(c, op), bytes, write);
}
void soft_ld_bytes(struct soft_cpu *c, gva_t lin, void *buf, unsigned n)
{
	slow_loads++;
	touch(c, lin, n);
	memcpy(buf, (void *)lin, n);
}
void soft_st_bytes(struct soft_cpu *c, gva_t lin, const void *buf, unsigned n)
{
	slow_stores++;
	touch(c, lin, n);
	memcpy((void *)lin, buf, n);
}
void soft_probe(struct soft_cpu *c, gva_t lin, unsigned n, bool write)
{
	touch(c, lin, n);
}
void soft_check_align(struct soft_cpu *c, gva_t lin, unsigned bytes, unsigned align, bool write)
{
	(void)c;
	(void)lin;
	(void)bytes;
	(void)align;
	(void)write;
}
void soft_ld_bytes_any(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes)
{
	soft_ld_bytes(c, lin, buf, bytes);
}
void soft_st_bytes_any(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes)
{
	soft_st_bytes(c, lin, buf, bytes);
}
void *soft_rmw_ptr(struct soft_cpu *c, gva_t lin, unsigned n)
{
	touch(c, lin, n);
	return NULL;
}
u32 soft_ld32(struct soft_cpu *c, gva_t lin)
{
	u32 v;
	soft_ld_bytes(c, lin, &v, 4);
	return v;
}
u64 soft_ld64(struct soft_cpu *c, gva_t lin)
{
	u64 v;
	soft_ld_bytes(c, lin, &v, 8);
	return v;
}
void soft_st8(struct soft_cpu *c, gva_t lin, u8 v)
{
	soft_st_bytes(c, lin, &v, 1);
}
void soft_st32(struct soft_cpu *c, gva_t lin, u32 v)
{
	soft_st_bytes(c, lin, &v, 4);
}
void soft_st64(struct soft_cpu *c, gva_t lin, u64 v)
{
	soft_st_bytes(c, lin, &v, 8);
}
static u8 gpr_or_zero(ZydisRegister r)
{
	return r == ZYDIS_REGISTER_NONE ? GPR_ZERO : (u8)ZydisRegisterGetId(r);
}
void decode_mem(struct decode *d, struct uop *u, const ZydisDecodedOperand *o)
{
	u->base = gpr_or_zero(o->mem.base);
	u->index = gpr_or_zero(o->mem.index);
	u->scale = o->mem.scale ? (u8)__builtin_ctz(o->mem.scale) : 0;
	u->seg = SEG_DS;
	u->disp = (s32)o->mem.disp.value;
}
static void ud(struct soft_cpu *c, const struct uop *op)
{
	soft_raise(c, EXC_UD, EXC_NO_ERROR);
}
void decode_ud(struct decode *d)
{
	d->u[0].fn = ud;
	d->nu = 1;
}
/* The guest is offered what the host has, but what the engine never offers. */
struct cpuid_regs cpu_model_cpuid(const struct cpu_model *m, unsigned cpu, u32 leaf, u32 sub)
{
	struct cpuid_regs r;

	__cpuid_count(leaf, sub, r.eax, r.ebx, r.ecx, r.edx);
	return r;
}

/* ---- the native side ---- */

struct native {
	u8 fx[512] __attribute__((aligned(64)));
	u8 vec[16][32];
	u64 gpr[16];
	u64 fl;
};
static u8 *tramp;
static unsigned tn;
static void t(unsigned n, ...)
{
	va_list ap;

	va_start(ap, n);
	while (n--)
		tramp[tn++] = (u8)va_arg(ap, int);
	va_end(ap);
}
static void t32(size_t v)
{
	st_le32(tramp + tn, (u32)v);
	tn += 4;
}
static void t_gprs(bool write)
{
	for (unsigned r = 0; r < 15; r++)
		if (r != GPR_RSP) {
			t(3, 0x49 | (r >= 8 ? 4 : 0), write ? 0x89 : 0x8b, 0x87 | (r & 7) << 3);
			t32(offsetof(struct native, gpr) + r * 8);
		}
}
static void t_vecs(bool write)
{
	for (unsigned r = 0; r < 16; r++) {
		t(5, 0xc4, 0x41 | (r < 8 ? 0x80 : 0), 0x7e, write ? 0x7f : 0x6f, 0x87 | (r & 7) << 3);
		t32(offsetof(struct native, vec) + r * 32);
	}
}
/* Run `bytes` natively; r15 points to the state, so r15 and rsp are not the instruction's to use. */
static void run_native(struct native *s, const u8 *bytes, unsigned len)
{
	tn = 0;
	t(10, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push */
	t(3, 0x49, 0x89, 0xff);                                            /* mov r15, rdi */
	t(4, 0x49, 0x0f, 0xae, 0x8f);                                      /* fxrstor64 [r15 + fx] */
	t32(offsetof(struct native, fx));
	t_vecs(false);
	t(3, 0x41, 0xff, 0xb7); /* push [r15 + fl]; popfq */
	t32(offsetof(struct native, fl));
	t(1, 0x9d);
	t_gprs(false);
	for (unsigned i = 0; i < len; i++)
		t(1, bytes[i]);
	t_gprs(true);
	t(4, 0x9c, 0x41, 0x8f, 0x87); /* pushfq; pop [r15 + fl] */
	t32(offsetof(struct native, fl));
	t_vecs(true);
	t(4, 0x49, 0x0f, 0xae, 0x87); /* fxsave64 */
	t32(offsetof(struct native, fx));
	t(5, 0xdb, 0xe3, 0xc5, 0xf8, 0x77);                                      /* fninit; vzeroupper */
	t(11, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3); /* pop; ret */
	__asm__ volatile("cpuid" ::"a"(0), "c"(0) : "ebx", "edx", "memory");
	((void (*)(struct native *))(uintptr_t)tramp)(s);
	__asm__ volatile("ldmxcsr %0" ::"m"((u32){ 0x1f80 }));
}

/* ---- the harness ---- */

static struct soft_cpu *cpu;
static struct soft_vm vm;
static struct soft_cpu *cpus[1];
static struct tlb_entry tlb_served[TLB_SIZE];
static ZydisDecoder dec64;
static u8 *mem; /* two pages; the operand is in the middle of the first */
static u64 seed = 88172645463325252ull;
#define OPERAND 512
#define MEM_BYTES 2048

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Random bytes in which floats of interest turn up. */
static void fill(u8 *p, unsigned n)
{
	static const double interesting[] = { 0, -0.0, 1, -1, 0.5, 3.25e10, -7e-300, 1e300, 2147483648.0, -5e-324 };

	for (unsigned i = 0; i < n; i += 8) {
		u64 v = rnd();

		switch (rnd() % 4) {
		case 0:
			memcpy(&v, &interesting[rnd() % ARRAY_LEN(interesting)], 8);
			break;
		case 1: {
			float f[2] = { (float)(s32)rnd() / 1024, (float)(s8)rnd() };
			memcpy(&v, f, 8);
			break;
		}
		default:
			break;
		}
		memcpy(p + i, &v, MIN(8u, n - i));
	}
}

static void tlb(bool serve)
{
	for (unsigned i = 0; i < TLB_SIZE; i++)
		tlb_drop(cpu->tlb, i);
	for (unsigned p = 0; serve && p < 2; p++) {
		u64 lin = (uintptr_t)mem + p * PAGE_BYTES;
		struct tlb_entry *e = &cpu->tlb[tlb_hash(lin)];

		e->rtag = e->wtag = lin;
		e->addend = 0;
	}
}

/* cmocka takes the signals of failing tests, SIGFPE among them. */
static struct sigaction engine_sigfpe;

static int setup(void **state)
{
	struct err e;

	decode_vec_init();
	cpu = aligned_alloc(64, ROUND_UP(sizeof(*cpu), 64));
	memset(cpu, 0, sizeof(*cpu));
	cpus[0] = cpu;
	vm.ncpus = 1;
	vm.cpu = cpus;
	cpu->vm = &vm;
	cpu->tlb = tlb_served;
	cpu->mode = MODE_CODE64 | MODE_PE | MODE_LMA;
	cpu->cr0 = CR0_PE | CR0_PG | CR0_MP | CR0_NE;
	cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	cpu->xcr0 = 7;
	cpu->hooks = &hooks;
	soft_vec_changed(cpu);
	soft_fpu_reset(cpu, false);
	assert_int_equal(soft_vec_init(&vm, &e), 0);
	sigaction(SIGFPE, NULL, &engine_sigfpe);
	ZydisDecoderInit(&dec64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	mem = mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	tramp = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(mem != MAP_FAILED && tramp != MAP_FAILED);
	return 0;
}

static int teardown(void **state)
{
	soft_vec_fini(&vm);
	free(cpu);
	return 0;
}

static void stop(struct soft_cpu *c, const struct uop *op)
{
}

static struct uop uops[4];
static ZydisDecodedInstruction insn;
static ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

static void dump_fail(const u8 *bytes, unsigned len, const char *what)
{
	char text[128] = "";
	ZydisFormatter f;

	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&f, &insn, ops, insn.operand_count_visible, text, sizeof(text), 0, NULL);
	fprintf(stderr, "%s differs:", what);
	for (unsigned i = 0; i < len; i++)
		fprintf(stderr, " %02x", bytes[i]);
	fprintf(stderr, "  %s\n", text);
	fail();
}

/* Offered with SSE, decoded with the integer instructions. */
static bool others(void)
{
	switch (insn.mnemonic) {
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_MOVNTI:
		return true;
	default:
		return false;
	}
}

/* Decode into uops[]; false: not an instruction, or not decode_vec()'s. */
static bool decode(const u8 *bytes, unsigned len, const ZydisDecoder *dec)
{
	struct decode d = { .c = cpu, .mode = cpu->mode, .insn = &insn, .ops = ops, .bytes = bytes, .u = uops };

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(dec, bytes, len, &insn, ops)))
		return false;
	memset(uops, 0, sizeof(uops));
	uops[0].base = uops[0].index = GPR_ZERO;
	uops[0].len = insn.length;
	if (!decode_vec(&d)) {
		if (vec_features(&insn) && !others())
			dump_fail(bytes, insn.length, "nobody's: what is taken");
		return false;
	}
	assert_in_range(d.nu, 1, 3);
	assert_false(d.end);
	uops[d.nu].fn = stop;
	return true;
}

/* Returns the exception, or -1. */
static int run(void)
{
	raised.vec = -1;
	sigaction(SIGFPE, &engine_sigfpe, NULL);
	soft_fpu_enter(cpu);
	if (!setjmp(escape))
		uops[0].fn(cpu, uops);
	soft_fpu_leave(cpu);
	return raised.vec;
}

static void random_x87(u8 *fx)
{
	memset(fx, 0, 512);
	st_le16(fx + 0, 0x007f | (u16)(rnd() & 0x0f00) | 0x40);
	st_le16(fx + 2, (u16)(rnd() & 0x7f3f & ~0x40));
	fx[4] = (u8)rnd();
	if (rnd() % 2)
		fx[4] = 0xff;
	st_le32(fx + 24, 0x1f80 | (u32)(rnd() & 0xe07f));
	for (unsigned i = 0; i < 8; i++) {
		st_le64(fx + 32 + i * 16, rnd() | (rnd() % 8 ? 1ull << 63 : 0));
		st_le16(fx + 40 + i * 16, rnd() % 8 ? 0x3fff - 70 + (u16)(rnd() % 140) : (u16)rnd());
	}
}

static unsigned n_run;

static void compare_once(const u8 *bytes, unsigned len, bool small_indices)
{
	static u8 before[MEM_BYTES], after[MEM_BYTES];
	static struct native s;
	u32 status;

	random_x87(s.fx);
	fill(s.vec[0], sizeof(s.vec));
	for (unsigned i = 0; i < 16; i++)
		s.gpr[i] = rnd();
	s.gpr[GPR_RBX] = (uintptr_t)mem + OPERAND;
	s.gpr[GPR_RDI] = (uintptr_t)mem + OPERAND + 64;
	if (small_indices) {
		for (unsigned i = 0; i < 64; i++)
			st_le64(s.vec[0] + i * 8, rnd() % 13 | (u64)(rnd() % 2) << 63);
		/* index register 9: also right as dwords */
		for (unsigned i = 0; i < 8; i++)
			st_le32(s.vec[9] + i * 4, i % 2 && insn.opcode % 2 ? 0 : (u32)(rnd() % 13));
	}
	if (rnd() % 4 == 0) /* lengths for PCMPESTRI */
		s.gpr[GPR_RAX] = rnd() % 17, s.gpr[GPR_RDX] = rnd() % 17;
	s.fl = 2 | (rnd() & FL_STATUS);
	status = (u32)s.fl & FL_STATUS;
	fill(before, MEM_BYTES);

	memcpy(cpu->vec, s.vec, sizeof(s.vec));
	memcpy(cpu->gpr, s.gpr, sizeof(s.gpr));
	memcpy(cpu->fxsave_area, s.fx, 512);
	soft_set_status(cpu, status);

	memcpy(mem, before, MEM_BYTES);
	run_native(&s, bytes, len);
	memcpy(after, mem, MEM_BYTES);

	memcpy(mem, before, MEM_BYTES);
	if (run() != -1)
		dump_fail(bytes, len, "exception");
	n_run++;
	if (memcmp(cpu->vec, s.vec, sizeof(s.vec)))
		dump_fail(bytes, len, "vectors");
	if (memcmp(cpu->gpr, s.gpr, sizeof(s.gpr)))
		dump_fail(bytes, len, "general registers");
	if (soft_get_status(cpu) != (s.fl & FL_STATUS))
		dump_fail(bytes, len, "flags");
	if (memcmp(mem, after, MEM_BYTES))
		dump_fail(bytes, len, "memory");
	if (memcmp(cpu->fxsave_area, s.fx, 5) || memcmp(cpu->fxsave_area + 32, s.fx + 32, 128))
		dump_fail(bytes, len, "x87");
	if (ld_le32(cpu->fxsave_area + 24) != ld_le32(s.fx + 24))
		dump_fail(bytes, len, "MXCSR");
}

/* These have tests of their own. */
static bool skipped(void)
{
	switch (insn.mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
		return true;
	default:
		return false;
	}
}

/*
 * A handler must end in a tail call, or a guest's loop would eat the host's stack (INV-CHAIN-1): the same
 * uops many times over must end at the depth at which they end once.
 */
static void *depth;
static void note_depth(struct soft_cpu *c, const struct uop *op)
{
	depth = __builtin_frame_address(0);
}

static void check_depth(const u8 *bytes, unsigned len)
{
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
	enum { COPIES = 16 };
	static uop_fn *seen[512];
	static unsigned nseen;
	static struct uop chain[4 * COPIES + 1];
	unsigned nu = 0;
	void *once;

	for (unsigned i = 0; i < nseen; i++)
		if (seen[i] == uops[0].fn)
			return;
	must(nseen < ARRAY_LEN(seen));
	seen[nseen++] = uops[0].fn;
	while (uops[nu].fn != stop)
		nu++;
	memset(cpu->vec, 0, sizeof(cpu->vec));
	for (unsigned copies = 1; copies <= COPIES; copies += COPIES - 1) {
		for (unsigned i = 0; i < copies; i++)
			memcpy(chain + i * nu, uops, nu * sizeof(*uops));
		chain[copies * nu].fn = note_depth;
		once = depth;
		depth = NULL;
		soft_fpu_enter(cpu);
		if (!setjmp(escape))
			chain[0].fn(cpu, chain);
		soft_fpu_leave(cpu);
	}
	if (!depth || once != depth)
		dump_fail(bytes, len, "stack depth");
#endif
}

static void try(const u8 *bytes, unsigned len, unsigned times)
{
	bool vsib = false;

	if (!decode(bytes, len, &dec64) || uops[0].fn == ud || skipped())
		return;
	for (unsigned i = 0; i < insn.operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ops[i].mem.type == ZYDIS_MEMOP_TYPE_VSIB)
			vsib = true;
	for (unsigned i = 0; i < times; i++) {
		bool serve = i % 2 == 0;

		tlb(serve);
		compare_once(bytes, insn.length, vsib);
	}
	cpu->gpr[GPR_RBX] = (uintptr_t)mem + OPERAND;
	cpu->gpr[GPR_RDI] = (uintptr_t)mem + OPERAND + 64;
	check_depth(bytes, insn.length);
}

/* reg, rm below 16, neither 4 (rsp) nor 15 (the native side's own); mod 0: [rbx], 3: registers. */
static void candidate(unsigned map, unsigned pfx, unsigned w, int vexl, unsigned opcode, unsigned mod, unsigned reg,
		      unsigned rm, unsigned vvvv, u8 imm, unsigned times)
{
	static const u8 legacy[4] = { 0, 0x66, 0xf3, 0xf2 };
	u8 b[16];
	unsigned n = 0;
	bool vsib = vexl >= 0 && map == 2 && opcode >= 0x90 && opcode <= 0x93;

	if (vexl < 0 && map == 1 && (opcode == 0x38 || opcode == 0x3a))
		return; /* the other maps' escapes */
	if (vexl < 0) {
		u8 rex = (u8)(0x40 | w << 3 | (reg >> 3) << 2 | (mod == 3 ? rm >> 3 : 0));

		if (pfx)
			b[n++] = legacy[pfx];
		if (rex != 0x40)
			b[n++] = rex;
		b[n++] = 0x0f;
		if (map > 1)
			b[n++] = map == 2 ? 0x38 : 0x3a;
	} else {
		b[n++] = 0xc4;
		b[n++] = (u8)(((reg >> 3) ^ 1) << 7 | (vsib ? 0 : 1) << 6 | (mod == 3 ? (rm >> 3) ^ 1 : 1) << 5 | map);
		b[n++] = (u8)(w << 7 | (~vvvv & 15) << 3 | vexl << 2 | pfx);
	}
	b[n++] = (u8)opcode;
	if (vsib) {
		b[n++] = (u8)(mod << 6 | (reg & 7) << 3 | 4);
		b[n++] = 2 << 6 | (9 & 7) << 3 | GPR_RBX;
	} else {
		b[n++] = (u8)(mod << 6 | (reg & 7) << 3 | (mod == 3 ? rm & 7 : GPR_RBX));
	}
	b[n++] = imm;
	memset(b + n, 0x90, sizeof(b) - n);
	try(b, sizeof(b), times);
}

static void walk(bool vex, unsigned times)
{
	static const u8 regs[][3] = {
		{ 1, 2, 3 }, { 9, 5, 12 }, { 0, 14, 13 }, { 6, 6, 6 }, { 7, 0, 10 }, { 3, 11, 0 }
	};

	for (unsigned map = 1; map <= 3; map++)
		for (unsigned pfx = 0; pfx < 4; pfx++)
			for (unsigned w = 0; w < 2; w++)
				for (int l = vex ? 0 : -1; l < (vex ? 2 : 0); l++)
					for (unsigned op = 0; op < 256; op++) {
						bool group = map == 1 && ((op >= 0x71 && op <= 0x73) || op == 0xae);
						for (unsigned i = 0; i < ARRAY_LEN(regs); i++)
							for (unsigned v = 0; v < (vex ? 2u : 1u); v++) {
								/* vvvv unused must be 1111 */
								unsigned vvvv = v ? 0 : regs[i][2];
								u8 imm = (u8)rnd();

								candidate(map, pfx, w, l, op, 3, regs[i][0], regs[i][1],
									  vvvv, imm, times);
								candidate(map, pfx, w, l, op, 0, regs[i][0], 3, vvvv,
									  imm, times);
							}
						for (unsigned g = 0; group && g < 8; g++) {
							candidate(map, pfx, w, l, op, 3, g, 5, 12, (u8)rnd(), times);
							candidate(map, pfx, w, l, op, 0, g, 5, 0, (u8)rnd(), times);
						}
					}
}

static void legacy_simd(void **state)
{
	n_run = 0;
	walk(false, 4);
	print_message("%u runs\n", n_run);
	assert_true(n_run > 10000);
}

static void vex_simd(void **state)
{
	if (!__builtin_cpu_supports("avx"))
		skip();
	n_run = 0;
	walk(true, 4);
	print_message("%u runs\n", n_run);
	assert_true(n_run > 10000);
}

static void x87(void **state)
{
	n_run = 0;
	for (unsigned op = 0xd8; op <= 0xdf; op++)
		for (unsigned modrm = 0; modrm < 256; modrm++) {
			u8 b[3] = { (u8)op, (u8)modrm, 0x90 };

			if (modrm < 0xc0 && (modrm & 7) != GPR_RBX)
				continue;
			if (modrm >= 0x40 && modrm < 0xc0)
				continue;
			try(b, sizeof(b), 40);
		}
	print_message("%u runs\n", n_run);
	assert_true(n_run > 10000);
}

/* With no room for stubs everything runs from the scratch page. */
static void overflow(void **state)
{
	struct soft_vm other = vm, keep = vm;
	struct err e;

	assert_int_equal(soft_vec_init(&other, &e), 0);
	other.stubs->limit = other.stubs->nstubs;
	vm = other;
	n_run = 0;
	for (unsigned op = 0; op < 256; op++) {
		candidate(1, 1, 0, -1, op, 3, 9, 2, 0, (u8)rnd(), 2);
		candidate(1, 0, 0, -1, op, 0, 9, 2, 0, (u8)rnd(), 2);
	}
	for (unsigned modrm = 0xc0; modrm < 256; modrm++)
		try((const u8[]){ 0xd8, (u8)modrm, 0x90 }, 3, 2);
	for (unsigned reg = 0; reg < 4; reg++)
		try((const u8[]){ 0xdd, (u8)(reg << 3 | GPR_RBX), 0x90 }, 3, 2);
	soft_vec_fini(&vm);
	vm = keep;
	cpu->vec_scratch_rw = vm.stubs->rw + VEC_CODE_BYTES;
	cpu->vec_scratch_rx = vm.stubs->rx + VEC_CODE_BYTES;
	assert_true(n_run > 200);
}

/* ---- faults ---- */

#define DECODE(...) \
	assert_true(decode((const u8[]){ __VA_ARGS__, 0x90, 0x90 }, sizeof((u8[]){ __VA_ARGS__ }) + 2, &dec64))

static void clean(void)
{
	soft_fpu_reset(cpu, false);
	st_le16(cpu->fxsave_area, 0x037f);
	cpu->fxsave_area[4] = 0;
	cpu->gpr[GPR_RBX] = (uintptr_t)mem + OPERAND;
	cpu->gpr[GPR_RDI] = (uintptr_t)mem + OPERAND + 64;
	tlb(true);
}

static void control_bits(void **state)
{
	u64 cr0 = cpu->cr0, cr4 = cpu->cr4;

	clean();
	cpu->cr0 = cr0 | CR0_TS;
	soft_vec_changed(cpu);
	DECODE(0x0f, 0x58, 0xc1); /* addps */
	assert_int_equal(run(), EXC_NM);
	DECODE(0x0f, 0x28, 0xc1); /* movaps */
	assert_int_equal(run(), EXC_NM);
	DECODE(0xd9, 0xe8); /* fld1 */
	assert_int_equal(run(), EXC_NM);
	DECODE(0x0f, 0xfe, 0xc1); /* paddd mm */
	assert_int_equal(run(), EXC_NM);
	DECODE(0x9b); /* fwait, MP is set */
	assert_int_equal(run(), EXC_NM);
	cpu->cr0 = (cr0 | CR0_TS) & ~CR0_MP;
	soft_vec_changed(cpu);
	assert_int_equal(run(), -1);
	cpu->cr0 = cr0 | CR0_EM;
	soft_vec_changed(cpu);
	DECODE(0x0f, 0x58, 0xc1);
	assert_int_equal(run(), EXC_UD);
	DECODE(0x0f, 0xfe, 0xc1);
	assert_int_equal(run(), EXC_UD);
	DECODE(0xd9, 0xe8);
	assert_int_equal(run(), EXC_NM);
	cpu->cr0 = cr0;
	cpu->cr4 = cr4 & ~CR4_OSFXSR;
	soft_vec_changed(cpu);
	DECODE(0x0f, 0x58, 0xc1);
	assert_int_equal(run(), EXC_UD);
	DECODE(0x0f, 0xfe, 0xc1);
	assert_int_equal(run(), -1);
	cpu->cr4 = cr4 & ~CR4_OSXSAVE;
	soft_vec_changed(cpu);
	DECODE(0x0f, 0xae, 0x23); /* xsave */
	assert_int_equal(run(), EXC_UD);
	if (vm.stubs->feat & VF_AVX) {
		DECODE(0xc5, 0xf8, 0x58, 0xc1);
		assert_int_equal(run(), EXC_UD);
		DECODE(0xc5, 0xf8, 0x77);
		assert_int_equal(run(), EXC_UD);
	}
	cpu->cr4 = cr4;
	soft_vec_changed(cpu);
}

static void alignment(void **state)
{
	clean();
	cpu->gpr[GPR_RBX] += 4;
	DECODE(0x0f, 0x58, 0x03); /* addps [rbx] */
	assert_int_equal(run(), EXC_GP);
	DECODE(0x0f, 0x28, 0x03); /* movaps */
	assert_int_equal(run(), EXC_GP);
	DECODE(0x0f, 0x10, 0x03); /* movups */
	assert_int_equal(run(), -1);
	DECODE(0x66, 0x0f, 0xef, 0x03); /* pxor */
	assert_int_equal(run(), EXC_GP);
	DECODE(0x66, 0x0f, 0x3a, 0x63, 0x03, 0x00); /* pcmpistri */
	assert_int_equal(run(), -1);
	if (vm.stubs->feat & VF_AVX) {
		DECODE(0xc5, 0xf8, 0x58, 0x03); /* vaddps */
		assert_int_equal(run(), -1);
		DECODE(0xc5, 0xfc, 0x29, 0x03); /* vmovaps [rbx], ymm0 */
		assert_int_equal(run(), EXC_GP);
	}
}

/* A fault leaves everything as it was. */
static void page_faults(void **state)
{
	u8 vec[16][32];

	clean();
	fill(cpu->vec[0], sizeof(cpu->vec));
	memcpy(vec, cpu->vec, sizeof(vec));
	bad_page = (uintptr_t)mem & PAGE_MASK;
	tlb(false);
	DECODE(0x0f, 0x10, 0x03);
	assert_int_equal(run(), EXC_PF);
	DECODE(0xf2, 0x0f, 0x58, 0x03);
	assert_int_equal(run(), EXC_PF);
	assert_memory_equal(vec, cpu->vec, sizeof(vec));
	cpu->fxsave_area[4] = 0xff;
	DECODE(0xdd, 0x1b); /* fstp qword [rbx]: nothing popped */
	assert_int_equal(run(), EXC_PF);
	assert_int_equal(cpu->fxsave_area[4], 0xff);
	bad_page = 1;
	assert_int_equal(run(), -1);
	assert_int_equal(cpu->fxsave_area[4], 0xfe);
}

static void gather_goes_on(void **state)
{
	if (!(vm.stubs->feat & VF_AVX2))
		skip();
	clean();
	memset(cpu->vec[1], 0, 32);
	memset(cpu->vec[2], 0xff, 32);
	cpu->gpr[GPR_RBX] = (uintptr_t)mem + PAGE_BYTES - 8;
	for (unsigned i = 0; i < 8; i++)
		st_le32(cpu->vec[9] + i * 4, i);
	for (unsigned i = 0; i < 10; i++)
		st_le32(mem + PAGE_BYTES - 8 + i * 4, 100 + i);
	tlb(false);
	bad_page = ((uintptr_t)mem + PAGE_BYTES) & PAGE_MASK;
	DECODE(0xc4, 0xa2, 0x6d, 0x90, 0x0c, 0x8b); /* vpgatherdd ymm1, [rbx + ymm9*4], ymm2 */
	assert_int_equal(run(), EXC_PF);
	assert_int_equal(ld_le32(cpu->vec[1]), 100);
	assert_int_equal(ld_le32(cpu->vec[1] + 4), 101);
	assert_int_equal(ld_le32(cpu->vec[2] + 4), 0);
	assert_int_equal(ld_le32(cpu->vec[2] + 8), 0xffffffff);
	bad_page = 1;
	assert_int_equal(run(), -1);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(ld_le32(cpu->vec[1] + i * 4), 100 + i);
		assert_int_equal(ld_le32(cpu->vec[2] + i * 4), 0);
	}
}

/* Unmasked exceptions become #XM and #MF, and the status is there for the handler to see. */
static void unmasked(void **state)
{
	double one = 1;

	clean();
	memcpy(cpu->vec[0], &one, 8);
	memset(cpu->vec[1], 0, 16);
	st_le32(cpu->fxsave_area + 24, 0x1f80 & ~0x200); /* ZM clear */
	DECODE(0xf2, 0x0f, 0x5e, 0xc1);                  /* divsd */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(run(), EXC_XM);
		assert_int_equal(cpu->mxcsr & 4, 4);
		assert_memory_equal(cpu->vec[0], &one, 8);
	}
	cpu->cr4 &= ~CR4_OSXMMEXCPT;
	assert_int_equal(run(), EXC_UD);
	cpu->cr4 |= CR4_OSXMMEXCPT;

	clean();
	st_le16(cpu->fxsave_area, 0x037f & ~4);
	DECODE(0xd9, 0xe8); /* fld1; fldz; fdivp; then fwait */
	assert_int_equal(run(), -1);
	DECODE(0xd9, 0xee);
	assert_int_equal(run(), -1);
	DECODE(0xde, 0xf9);
	assert_int_equal(run(), -1);
	assert_int_equal(ld_le16(cpu->fxsave_area + 2) & 0x8084, 0x8084);
	DECODE(0x9b);
	assert_int_equal(run(), EXC_MF);
	assert_int_equal(ld_le16(cpu->fxsave_area + 2) & 0x8084, 0x8084);
	DECODE(0x0f, 0xfe, 0xc1); /* MMX waits too */
	assert_int_equal(run(), EXC_MF);
	tlb(false);
	bad_page = (uintptr_t)mem & PAGE_MASK;
	DECODE(0xd9, 0x03); /* #MF goes before #PF */
	assert_int_equal(run(), EXC_MF);
	DECODE(0xd9, 0x3b); /* fnstcw does not wait */
	assert_int_equal(run(), EXC_PF);
	bad_page = 1;
	DECODE(0xdf, 0xe0); /* nor fnstsw */
	assert_int_equal(run(), -1);
	assert_int_equal(cpu->gpr[GPR_RAX] & 0x84, 0x84);
	DECODE(0xdb, 0xe2); /* fnclex */
	assert_int_equal(run(), -1);
	DECODE(0x9b);
	assert_int_equal(run(), -1);
}

/* An unmasked invalid store leaves memory alone, with or without the bounce buffer. */
static void x87_store_kept(void **state)
{
	for (unsigned serve = 0; serve < 2; serve++) {
		clean();
		tlb(serve);
		st_le16(cpu->fxsave_area, 0x037e);
		memset(mem + OPERAND, 0x5a, 8);
		DECODE(0xdd, 0x1b); /* fstp qword [rbx], stack empty */
		assert_int_equal(run(), -1);
		assert_int_equal(mem[OPERAND], 0x5a);
		DECODE(0x9b);
		assert_int_equal(run(), EXC_MF);
	}
}

/* ---- state images ---- */

static void environment(void **state)
{
	clean();
	cpu->gpr[GPR_BLK] = 0x401000;
	cpu->seg[SEG_CS].sel = 0x33;
	memset(mem + OPERAND, 0, 128);
	DECODE(0xd9, 0x03); /* fld dword [rbx] */
	assert_int_equal(run(), -1);
	assert_int_equal(cpu->fop, 0x103);
	assert_int_equal(cpu->fip, 0x401000);
	assert_int_equal(cpu->fdp, cpu->gpr[GPR_RBX]);
	DECODE(0xd9, 0x37); /* fnstenv [rdi] */
	cpu->gpr[GPR_BLK] = 0x402000;
	assert_int_equal(run(), -1);
	assert_int_equal(ld_le32(mem + OPERAND + 64), 0xffff037f);
	assert_int_equal(ld_le32(mem + OPERAND + 64 + 12), 0x401000);
	assert_int_equal(ld_le32(mem + OPERAND + 64 + 16), 0x1030033);
	assert_int_equal(ld_le32(mem + OPERAND + 64 + 20), (u32)cpu->gpr[GPR_RBX]);
	DECODE(0xdd, 0x37); /* fnsave [rdi] */
	assert_int_equal(run(), -1);
	assert_int_equal(ld_le16(cpu->fxsave_area), 0x37f);
	assert_int_equal(cpu->fxsave_area[4], 0);
	assert_int_equal(cpu->fip, 0);
	DECODE(0xdd, 0x27); /* frstor [rdi] */
	assert_int_equal(run(), -1);
	assert_int_equal(cpu->fip, 0x401000);
	assert_int_equal(cpu->fop, 0x103);
	assert_int_equal(cpu->fxsave_area[4], 0x80);
	DECODE(0x66, 0xd9, 0x37); /* fnstenv16 */
	memset(mem + OPERAND + 64, 0xee, 32);
	assert_int_equal(run(), -1);
	assert_int_equal(ld_le16(mem + OPERAND + 64 + 6), 0x1000);
	assert_int_equal(mem[OPERAND + 64 + 14], 0xee);
	DECODE(0xdb, 0xe3); /* fninit */
	assert_int_equal(run(), -1);
	DECODE(0xd9, 0x23);
	memcpy(mem + OPERAND, (u32[7]){ 0x27f, 0x3800, 0xffff, 0x1234, 0x7ff0008, 0x5678, 0x10 }, 28);
	assert_int_equal(run(), -1);
	assert_int_equal(cpu->fip, 0x1234);
	assert_int_equal(cpu->fdp, 0x5678);
	assert_int_equal(cpu->fop, 0x7ff);
	assert_int_equal(ld_le16(cpu->fxsave_area), 0x27f);
	assert_int_equal(ld_le16(cpu->fxsave_area + 2), 0x3800);
}

/* Real mode has linear addresses and the opcode in its images. */
static void environment_real(void **state)
{
	static const u8 st32[] = { 0x66, 0xd9, 0x37, 0x90 }, st16[] = { 0xd9, 0x37, 0x90 },
			ld32[] = { 0x66, 0xd9, 0x27 }, ld16[] = { 0xd9, 0x27, 0x90 };
	ZydisDecoder dec16;
	u8 *p = mem + OPERAND;

	clean();
	ZydisDecoderInit(&dec16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	cpu->mode = 0;
	cpu->fip = 0x5678;
	cpu->fcs = 0x1000;
	cpu->fdp = 0x1234;
	cpu->fds = 0xa000;
	cpu->fop = 0x2a5;
	memset(p, 0xee, 64);
	assert_true(decode(st32, sizeof(st32), &dec16));
	assert_int_equal(run(), -1);
	assert_int_equal(ld_le16(p + 12), 0x5678);
	assert_int_equal(ld_le32(p + 16), 0x1 << 12 | 0x2a5);
	assert_int_equal(ld_le16(p + 20), 0x1234);
	assert_int_equal(ld_le32(p + 24), 0xa << 12);
	assert_int_equal(p[28], 0xee);
	assert_true(decode(ld32, sizeof(ld32), &dec16));
	assert_int_equal(run(), -1);
	assert_int_equal(cpu->fip, 0x15678);
	assert_int_equal(cpu->fdp, 0xa1234);
	assert_int_equal(cpu->fop, 0x2a5);
	memset(p, 0xee, 64);
	assert_true(decode(st16, sizeof(st16), &dec16));
	assert_int_equal(run(), -1);
	assert_int_equal(ld_le16(p), 0x37f);
	assert_int_equal(ld_le16(p + 6), 0x5678);
	assert_int_equal(ld_le16(p + 8), 0x12a5);
	assert_int_equal(ld_le16(p + 10), 0x1234);
	assert_int_equal(ld_le16(p + 12), 0xa000);
	assert_int_equal(p[14], 0xee);
	fpu_clear_pointers(cpu);
	assert_true(decode(ld16, sizeof(ld16), &dec16));
	assert_int_equal(run(), -1);
	assert_int_equal(cpu->fip, 0x15678);
	assert_int_equal(cpu->fop, 0x2a5);
	cpu->mode = MODE_CODE64 | MODE_PE | MODE_LMA;
}

/* Outside of 64-bit code there are eight registers, and the others are left alone. */
static void eight_registers(void **state)
{
	static const u8 save[] = { 0x0f, 0xae, 0x03, 0x90 }, load[] = { 0x0f, 0xae, 0x0b, 0x90 },
			zero[] = { 0xc5, 0xfc, 0x77, 0x90 };
	ZydisDecoder dec32;
	u8 vec[16][32];

	clean();
	ZydisDecoderInit(&dec32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	cpu->mode = MODE_CODE32 | MODE_PE | MODE_SS32;
	fill(cpu->vec[0], sizeof(cpu->vec));
	memcpy(vec, cpu->vec, sizeof(vec));
	memset(mem, 0xcc, MEM_BYTES);
	assert_true(decode(save, sizeof(save), &dec32));
	assert_int_equal(run(), -1);
	assert_memory_equal(mem + OPERAND + 160 + 7 * 16, vec[7], 16);
	assert_int_equal(mem[OPERAND + 160 + 8 * 16], 0xcc);
	memset(cpu->vec, 0, sizeof(vec) / 2);
	assert_true(decode(load, sizeof(load), &dec32));
	assert_int_equal(run(), -1);
	assert_memory_equal(cpu->vec[7], vec[7], 16);
	assert_memory_equal(cpu->vec[8], vec[8], 32 * 8);
	if (vm.stubs->feat & VF_AVX) {
		assert_true(decode(zero, sizeof(zero), &dec32));
		assert_int_equal(run(), -1);
		assert_int_equal(ld_le64(cpu->vec[7]), 0);
		assert_memory_equal(cpu->vec[8], vec[8], 32 * 8);
	}
	cpu->mode = MODE_CODE64 | MODE_PE | MODE_LMA;
}

static void fxsave_round(void **state)
{
	static const u8 save[2][4] = { { 0x0f, 0xae, 0x03, 0x90 }, { 0x48, 0x0f, 0xae, 0x03 } };
	static const u8 load[2][4] = { { 0x0f, 0xae, 0x0b, 0x90 }, { 0x48, 0x0f, 0xae, 0x0b } };
	u8 vec[16][32], st[160];

	for (unsigned w = 0; w < 2; w++) {
		clean();
		random_x87(cpu->fxsave_area);
		fill(cpu->vec[0], sizeof(cpu->vec));
		memcpy(vec, cpu->vec, sizeof(vec));
		memcpy(st, cpu->fxsave_area, 160);
		cpu->fip = 0x1122334455667788;
		cpu->fdp = 0x99aabbcc;
		cpu->fop = 0x321;
		cpu->fcs = 0x33;
		memset(mem, 0xcc, MEM_BYTES);
		assert_true(decode(save[w], 4, &dec64));
		assert_int_equal(run(), -1);
		assert_int_equal(ld_le16(mem + OPERAND + 6), 0x321);
		if (w)
			assert_true(ld_le64(mem + OPERAND + 8) == 0x1122334455667788);
		else
			assert_true(ld_le64(mem + OPERAND + 8) == 0x3355667788ull);
		assert_memory_equal(mem + OPERAND + 160 + 15 * 16, vec[15], 16);
		assert_int_equal(mem[OPERAND + 464], 0xcc);
		assert_int_equal(mem[OPERAND - 1], 0xcc);
		memset(cpu->vec, 0, sizeof(vec));
		memset(cpu->fxsave_area, 0, 24);
		cpu->fip = cpu->fdp = cpu->fop = 0;
		assert_true(decode(load[w], 4, &dec64));
		assert_int_equal(run(), -1);
		assert_memory_equal(cpu->fxsave_area, st, 5);
		assert_memory_equal(cpu->fxsave_area + 32, st + 32, 128);
		assert_true(cpu->fip == (w ? 0x1122334455667788 : 0x55667788));
		for (unsigned i = 0; i < 16; i++)
			assert_memory_equal(cpu->vec[i], vec[i], 16);
		st_le32(mem + OPERAND + 24, 0x80000000);
		assert_int_equal(run(), EXC_GP);
		cpu->gpr[GPR_RBX] += 8;
		assert_int_equal(run(), EXC_GP);
	}
}

static void xsave_round(void **state)
{
	u8 vec[16][32], *a = mem + OPERAND;

	clean();
	memset(mem, 0xcc, MEM_BYTES);
	memset(a + 512, 0, 64);
	cpu->gpr[GPR_RAX] = 0xffffffff;
	cpu->gpr[GPR_RDX] = 0xffffffff;
	if (!(vm.stubs->feat & VF_XSAVE))
		skip();
	/* Everything in its initial state: XSAVEOPT writes none of it. */
	DECODE(0x48, 0x0f, 0xae, 0x33);
	if (vm.stubs->feat & VF_XSAVEOPT) {
		assert_int_equal(run(), -1);
		assert_int_equal(ld_le64(a + 512), 0);
		assert_int_equal(a[0], 0xcc);
		assert_int_equal(ld_le32(a + 24), 0x1f80);
		assert_int_equal(a[160], 0xcc);
	}
	random_x87(cpu->fxsave_area);
	fill(cpu->vec[0], sizeof(cpu->vec));
	memcpy(vec, cpu->vec, sizeof(vec));
	DECODE(0x48, 0x0f, 0xae, 0x23); /* xsave64 */
	assert_int_equal(run(), -1);
	assert_int_equal(ld_le64(a + 512), 7);
	for (unsigned i = 0; i < 16; i++) {
		assert_memory_equal(a + 160 + i * 16, vec[i], 16);
		assert_memory_equal(a + 576 + i * 16, vec[i] + 16, 16);
	}
	assert_int_equal(a[832], 0xcc);
	DECODE(0x48, 0x0f, 0xae, 0x2b); /* xrstor64 */
	memset(cpu->vec, 0, sizeof(vec));
	assert_int_equal(run(), -1);
	assert_memory_equal(cpu->vec, vec, sizeof(vec));
	a[512] = 3; /* AVX to its initial state, by request */
	cpu->gpr[GPR_RAX] = 4;
	assert_int_equal(run(), -1);
	for (unsigned i = 0; i < 16; i++) {
		assert_memory_equal(cpu->vec[i], vec[i], 16);
		assert_int_equal(ld_le64(cpu->vec[i] + 24), 0);
	}
	a[512] = 8;
	assert_int_equal(run(), EXC_GP);
	a[512] = 7;
	a[520 + 7] = 0x80; /* compacted */
	assert_int_equal(run(), EXC_GP);
	a[520 + 7] = 0;
	a[512 + 20] = 1;
	assert_int_equal(run(), EXC_GP);
	a[512 + 20] = 0;
	st_le32(a + 24, 0x20000);
	assert_int_equal(run(), EXC_GP);
	st_le32(a + 24, 0x1f80);
	assert_int_equal(run(), -1);
	cpu->gpr[GPR_RBX] += 16;
	assert_int_equal(run(), EXC_GP);
}

static void state_in_out(void **state)
{
	static u8 area[1024], again[1024];

	clean();
	random_x87(cpu->fxsave_area);
	fill(cpu->vec[0], sizeof(cpu->vec));
	cpu->fip = 0x123456789a;
	soft_fpu_get(cpu, area);
	soft_fpu_reset(cpu, false);
	assert_int_equal(soft_fpu_set(cpu, area), 0);
	soft_fpu_get(cpu, again);
	assert_memory_equal(area, again, 1024);
	st_le32(area + 24, 0xffff0000);
	assert_int_equal(soft_fpu_set(cpu, area), -EINVAL);
}

/* In 32-bit code W has no say over general registers: they are 32 bits wide. */
static void vex_w_in_32_bit_code(void **state)
{
	static const u8 b[] = { 0xc4, 0xe1, 0xf9, 0x6e, 0xc3, 0x90 }; /* vmovd xmm0, ebx with W1 */
	ZydisDecoder dec32;

	if (!(vm.stubs->feat & VF_AVX))
		skip();
	clean();
	ZydisDecoderInit(&dec32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	cpu->mode = MODE_CODE32 | MODE_PE | MODE_SS32;
	memset(cpu->vec[0], 0xff, 32);
	cpu->gpr[GPR_RBX] = 0x1111111122222222;
	assert_true(decode(b, sizeof(b), &dec32));
	assert_int_equal(run(), -1);
	assert_int_equal(ld_le64(cpu->vec[0]), 0x22222222);
	assert_int_equal(ld_le64(cpu->vec[0] + 24), 0);
	cpu->mode = MODE_CODE64 | MODE_PE | MODE_LMA;
}

static void not_offered(void **state)
{
	u32 feat = vm.stubs->feat;

	clean();
	vm.stubs->feat = feat & ~(u32)(VF_SSE41 | VF_AVX);
	DECODE(0x66, 0x0f, 0x38, 0x17, 0xc1); /* ptest */
	assert_int_equal(run(), EXC_UD);
	DECODE(0xc5, 0xf8, 0x58, 0xc1);
	assert_int_equal(run(), EXC_UD);
	DECODE(0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1); /* EVEX vaddps */
	assert_int_equal(run(), EXC_UD);
	vm.stubs->feat = feat;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legacy_simd),
		cmocka_unit_test(vex_simd),
		cmocka_unit_test(x87),
		cmocka_unit_test(overflow),
		cmocka_unit_test(control_bits),
		cmocka_unit_test(alignment),
		cmocka_unit_test(page_faults),
		cmocka_unit_test(gather_goes_on),
		cmocka_unit_test(unmasked),
		cmocka_unit_test(x87_store_kept),
		cmocka_unit_test(environment),
		cmocka_unit_test(environment_real),
		cmocka_unit_test(eight_registers),
		cmocka_unit_test(fxsave_round),
		cmocka_unit_test(xsave_round),
		cmocka_unit_test(state_in_out),
		cmocka_unit_test(vex_w_in_32_bit_code),
		cmocka_unit_test(not_offered),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
