/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec_stub.c - generated code that runs one vector or x87 instruction on the host.
 *
 * Theory of operation: stubs are added to the code memory (code_memory.h), and never freed: there
 * are about 3,000 forms, but those with an immediate have 256 variants each, and a guest could ask
 * for all of them. When the table or the memory is full, an instruction runs from its vCPU's
 * scratch page, generated anew each time: slow, right, bounded.
 *
 * Host registers in a stub (System V argument order): rdi memory operand, rsi, rdx, rcx, r8 where
 * the rm, reg, vvvv, is4 operands live, r9 the vCPU. xmm0-xmm4 as in vec.h.
 */
#include "cpu/soft/vector/vec.h"
#include "cpu/soft/code_memory.h"
#include "cpu/soft/host_opcodes.h"
#include "cpu/soft/vector/fpu.h"
#include "cpu/soft/vector/vec_sig.h"

struct emit {
	u8 b[VEC_STUB_MAX];
	unsigned n;
};

static void put(struct emit *e, unsigned n, const u8 *p)
{
	must(e->n + n <= sizeof(e->b));
	memcpy(e->b + e->n, p, n);
	e->n += n;
}
#define PUT(e, ...) put(e, sizeof((u8[]){ __VA_ARGS__ }), (const u8[]){ __VA_ARGS__ })

static void put_disp32(struct emit *e, size_t off)
{
	u8 d[4];

	st_le32(d, (u32)off);
	put(e, 4, d);
}

/* ModRM for register reg, and memory at [base], or [base + off] when off is not negative. */
static void put_place(struct emit *e, unsigned reg, unsigned base, long off)
{
	PUT(e, X_MODRM(off >= 0 ? 2 : 0, reg, base));
	if (off >= 0)
		put_disp32(e, (size_t)off);
}

/* op between general register reg and there. w: of 64 bits */
static void put_op(struct emit *e, bool w, unsigned op, unsigned reg, unsigned base, long off)
{
	u8 rex = (u8)(X_REX | w << 3 | base >> 3);

	if (rex != X_REX)
		PUT(e, rex);
	PUT(e, (u8)op);
	put_place(e, reg, base, off);
}

enum { H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI, H_R8, H_R9 };

/* MOVUPS between host vector register x and [base], or [base + off] when off is not negative. */
static void emit_vmov(struct emit *e, unsigned kind, bool ymm, unsigned x, unsigned base, long off, bool store)
{
	if (kind & VK_VEX)
		PUT(e, X_VEX3, X_VEX_RB(1, 0, base >> 3), X_VEX_WVL(0, 0u, ymm, 0));
	else if (base >= 8)
		PUT(e, X_REX | 1, X_0F);
	else
		PUT(e, X_0F);
	PUT(e, (u8)(X0F_MOVUPS | store));
	put_place(e, x, base, off);
}

static const struct {
	u8 bit, xmm, base;
} places[] = {
	{ VO_REG, 1, H_RDX },
	{ VO_RM, 2, H_RSI },
	{ VO_VVVV, 3, H_RCX },
	{ VO_IS4, 4, H_R8 },
};

static void emit_stub(struct emit *e, const struct vec_desc *d)
{
	unsigned gpr = ((d->kind & VK_GPR_REG) ? VO_REG : 0) | ((d->kind & VK_GPR_RM) ? VO_RM : 0);
	bool ymm = d->kind & VK_YMM;
	long gpr0 = (long)offsetof(struct soft_cpu, gpr), fl = (long)offsetof(struct soft_cpu, fl);
	long vec0 = (long)offsetof(struct soft_cpu, vec);

	e->n = 0;
	for (unsigned i = 0; i < ARRAY_LEN(places); i++)
		if (d->ld & ~gpr & places[i].bit)
			emit_vmov(e, d->kind, ymm, places[i].xmm, places[i].base, -1, false);
	if (d->ld & VO_XMM0)
		emit_vmov(e, d->kind, ymm, 0, H_R9, vec0, false);
	if (d->kind & VK_FLAGS_R) {
		put_op(e, false, X_MOV_R_M, H_RAX, H_R9, fl);
		PUT(e, X_ADD_AL_I8, X_SETS_OF, X_SAHF);
	}
	if (d->ld & gpr & VO_RM)
		put_op(e, true, X_MOV_R_M, H_RAX, H_RSI, -1);
	if (d->ld & gpr & VO_REG)
		put_op(e, true, X_MOV_R_M, H_RAX, H_RDX, -1);
	if (d->kind & VK_ESTR) {
		put_op(e, true, X_MOV_R_M, H_RAX, H_R9, gpr0 + 8 * GPR_RAX);
		put_op(e, true, X_MOV_R_M, H_RDX, H_R9, gpr0 + 8 * GPR_RDX);
	}

	put(e, d->len, d->enc);

	if (d->st & gpr & VO_RM)
		put_op(e, true, X_MOV_M_R, H_RAX, H_RSI, -1);
	if (d->st & gpr & VO_REG)
		put_op(e, true, X_MOV_M_R, H_RAX, H_RDX, -1);
	/* VEX.128 has zeroed the upper half: storing all 256 bits makes that the guest's. */
	for (unsigned i = 0; i < ARRAY_LEN(places); i++)
		if (d->st & ~gpr & places[i].bit)
			emit_vmov(e, d->kind, true, places[i].xmm, places[i].base, -1, true);
	if (d->st & VO_XMM0)
		emit_vmov(e, d->kind, true, 0, H_R9, vec0, true);
	if (d->kind & VK_ECX)
		put_op(e, true, X_MOV_M_R, H_RCX, H_R9, gpr0 + 8 * GPR_RCX);
	if (d->kind & VK_FLAGS_W) {
		PUT(e, X_LAHF, X_0F, X0F_SETCC, X_REGS(0, H_RAX), X_0F, X0F_MOVZX16,
		    X_REGS(H_RAX, H_RAX)); /* lahf; seto al; movzx eax, ax */
		put_op(e, false, X_MOV_M_R, H_RAX, H_R9, fl);
	}
	if (d->cls & VC_X87_STORE)
		PUT(e, X_X87_DF, X_REGS(XG_FNSTSW, 0), X_0F, X0F_MOVZX16,
		    X_REGS(H_RAX, H_RAX)); /* fnstsw ax; movzx eax, ax */
	if (ymm)
		PUT(e, X_VEX2, X_VEX_RVL(0, 0u, 0, 0), X0F_VZEROUPPER);
	PUT(e, X_RET);
}

static u32 hash_desc(const struct vec_desc *d)
{
	u64 a, b;

	memcpy(&a, d, 8);
	memcpy(&b, (const u8 *)d + 8, 8);
	a = (a ^ (b * 0x9e3779b97f4a7c15ull)) * 0xff51afd7ed558ccdull;
	return (u32)(a >> 40) % VEC_HASH;
}

const struct vec_stub *vec_stub_get(struct vec_stubs *v, const struct vec_desc *d)
{
	struct vec_stub **head = &v->hash[hash_desc(d)];
	struct vec_stub *s;
	struct emit e;

	pthread_mutex_lock(&v->lock);
	for (s = *head; s; s = s->next)
		if (!memcmp(&s->d, d, sizeof(*d)))
			goto out;
	if (v->nstubs >= v->limit)
		goto out;
	emit_stub(&e, d);
	if (v->used + e.n > VEC_CODE_BYTES)
		goto out;
	s = &v->pool[v->nstubs++];
	memcpy(v->rw + v->used, e.b, e.n);
	s->d = *d;
	s->fn = (vec_fn *)(uintptr_t)(v->rx + v->used);
	v->used = ROUND_UP(v->used + e.n, 16);
	s->next = *head;
	*head = s;
out:
	pthread_mutex_unlock(&v->lock);
	return s;
}

/*
 * Code written through one linear address and fetched through another needs a serializing
 * instruction in between (SDM 3A 8.1.3); IRET is the one that neither traps to a hypervisor nor
 * asks for privilege.
 */
static void serialize(void)
{
	u64 sp, tmp;

	__asm__ volatile("mov %%rsp, %0\n\t"
			 "sub $128, %%rsp\n\t" /* past the red zone */
			 "and $-16, %%rsp\n\t"
			 "mov %%ss, %k1\n\t"
			 "push %1\n\t"
			 "push %0\n\t"
			 "pushfq\n\t"
			 "mov %%cs, %k1\n\t"
			 "push %1\n\t"
			 "lea 1f(%%rip), %1\n\t"
			 "push %1\n\t"
			 "iretq\n"
			 "1:"
			 : "=&r"(sp), "=&r"(tmp)
			 :
			 : "memory", "cc");
}

vec_fn *vec_scratch_fn(struct soft_cpu *c, const struct vec_desc *d)
{
	struct emit e;

	emit_stub(&e, d);
	memcpy(c->vec_scratch_rw, e.b, e.n);
	serialize();
	return (vec_fn *)(uintptr_t)c->vec_scratch_rx;
}

bool vec_stub_contains(const struct soft_cpu *c, u64 rip)
{
	const struct vec_stubs *v = c->vm->stubs;

	return rip - (uintptr_t)v->rx < v->bytes;
}

static u32 features(const struct cpu_model *m)
{
	static const struct {
		u32 leaf, sub;
		u8 reg, bit; /* eax ebx ecx edx */
		u32 feat;
	} map[] = {
		{ 1, 0, 3, 0, VF_FPU },       { 1, 0, 3, 15, VF_CMOV },  { 1, 0, 3, 23, VF_MMX },
		{ 1, 0, 3, 24, VF_FXSR },     { 1, 0, 3, 25, VF_SSE },   { 1, 0, 3, 26, VF_SSE2 },
		{ 1, 0, 2, 0, VF_SSE3 },      { 1, 0, 2, 1, VF_PCLMUL }, { 1, 0, 2, 9, VF_SSSE3 },
		{ 1, 0, 2, 12, VF_FMA },      { 1, 0, 2, 19, VF_SSE41 }, { 1, 0, 2, 20, VF_SSE42 },
		{ 1, 0, 2, 25, VF_AES },      { 1, 0, 2, 26, VF_XSAVE }, { 1, 0, 2, 28, VF_AVX },
		{ 1, 0, 2, 29, VF_F16C },     { 7, 0, 1, 5, VF_AVX2 },   { 7, 0, 1, 29, VF_SHA },
		{ 13, 1, 0, 0, VF_XSAVEOPT },
	};
	u32 feat = 0;

	for (unsigned i = 0; i < ARRAY_LEN(map); i++) {
		struct cpuid_regs r = cpu_model_cpuid(m, 0, map[i].leaf, map[i].sub);
		u32 v[4] = { r.eax, r.ebx, r.ecx, r.edx };

		if (v[map[i].reg] >> map[i].bit & 1)
			feat |= map[i].feat;
	}
	return feat;
}

static vec_fn *fixed_stub(struct vec_stubs *v, u8 b0, u8 b1, u8 b2)
{
	struct vec_desc d = { .enc = { b0, b1, b2 }, .len = b2 ? 3 : 2, .cls = VEC_OK_X87 };

	return vec_stub_get(v, &d)->fn;
}

int soft_vec_init(struct soft_vm *vm, struct err *e)
{
	struct vec_stubs *v = xcalloc(1, sizeof(*v));
	int r;

	v->bytes = VEC_CODE_BYTES + (size_t)vm->ncpus * PAGE_BYTES;
	r = code_memory_map("mica-vec", v->bytes, &v->rw, &v->rx, e);
	if (r < 0) {
		free(v);
		return r;
	}
	pthread_mutex_init(&v->lock, NULL);
	v->limit = VEC_STUBS_MAX;
	v->pool = xcalloc(VEC_STUBS_MAX, sizeof(*v->pool));
	v->feat = features(vm->model);
	v->fldenv = fixed_stub(v, X_X87_D9, X_MODRM(0, XG_FLDENV, H_RDI), 0);
	v->frstor = fixed_stub(v, X_X87_DD, X_MODRM(0, XG_FRSTOR, H_RDI), 0);
	v->fwait = fixed_stub(v, X_FWAIT, X_NOP, 0);
	for (unsigned i = 0; i < 8; i++)
		v->mm_store[i] = fixed_stub(v, X_0F, X0F_MOVQ_M_MM, X_MODRM(0, i, H_RDI));
	for (unsigned i = 0; i < vm->ncpus; i++) {
		vm->cpu[i]->vec_scratch_rw = v->rw + VEC_CODE_BYTES + (size_t)i * PAGE_BYTES;
		vm->cpu[i]->vec_scratch_rx = v->rx + VEC_CODE_BYTES + (size_t)i * PAGE_BYTES;
	}
	vm->stubs = v;
	soft_vec_signal_init();
	return 0;
}

void soft_vec_fini(struct soft_vm *vm)
{
	struct vec_stubs *v = vm->stubs;

	if (!v)
		return;
	code_memory_unmap(v->bytes, v->rw, v->rx);
	pthread_mutex_destroy(&v->lock);
	free(v->pool);
	free(v);
	vm->stubs = NULL;
}
