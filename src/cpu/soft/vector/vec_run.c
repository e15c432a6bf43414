/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec_run.c - the handlers that run a stub: bring the memory operand to a host address, call it with the registers'
 * places. #AC is not raised for vector operands.
 */
#include "cpu/soft/vector/vec.h"
#include "cpu/soft/vector/vec_operand.h"

/* What an x87 instruction leaves for FNSTENV and FXSAVE; op->r0, r1: its opcode bits. */
static inline void note_x87(struct soft_cpu *c, const struct uop *op, bool mem, u64 offset)
{
	c->fip = c->rip;
	c->fcs = c->seg[SEG_CS].sel;
	c->fop = vec_x87_opcode(op);
	if (mem) {
		c->fdp = offset;
		c->fds = c->seg[op->seg].sel;
	}
}

/*
 * An unmasked x87 exception in a store to the bounce buffer: was the operand written? Only
 * precision is reported after the fact (SDM 1 8.4, 8.5).
 */
static bool x87_not_stored(u32 fsw)
{
	u16 fcw;

	if (likely(!(fsw & 0x80)))
		return false;
	__asm__ volatile("fnstcw %0" : "=m"(fcw));
	return fsw & ~fcw & 0x1f;
}

/* A memory operand that the TLB does not serve: through a buffer, or a pointer from soft_rmw_ptr(). */
static __attribute__((noinline)) u32 run_slow(struct soft_cpu *c, const struct vec_desc *d, vec_fn *fn, gva_t lin,
					      void *rm, void *reg, void *vvvv, void *is4)
{
	u8 bounce[32] __attribute__((aligned(16)));
	unsigned n = d->mem_bytes;
	void *p;
	u32 ret;

	/* The access may fault, and #MF comes before that. */
	if (d->cls & VC_WAITS)
		c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c);
	if (d->mem == VM_LOAD) {
		soft_ld_bytes(c, lin, bounce, n);
		return fn(bounce, rm, reg, vvvv, is4, c);
	}
	/* An x87 store may pop the stack, so whatever may abandon the instruction must happen before the stub runs. */
	if (d->cls & VC_X87_STORE) {
		p = soft_rmw_ptr(c, lin, n);
		if (p)
			return fn(p, rm, reg, vvvv, is4, c);
	}
	soft_probe(c, lin, n, true);
	ret = fn(bounce, rm, reg, vvvv, is4, c);
	if (!((d->cls & VC_X87_STORE) && x87_not_stored(ret)))
		soft_st_bytes(c, lin, bounce, n);
	return ret;
}

static inline __attribute__((always_inline)) gva_t run_mem(struct soft_cpu *c, const struct uop *op,
							   const struct vec_desc *d, vec_fn *fn, void *rm, void *reg,
							   void *vvvv, void *is4)
{
	unsigned n = d->mem_bytes;
	gva_t lin;
	void *p;

	if (unlikely(op->ea) && (d->cls & VC_WAITS))
		c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c);
	lin = vec_ea(c, op, n, d->mem & VM_STORE);
	if (unlikely(lin & d->align)) {
		if (d->cls & VC_WAITS)
			c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c);
		soft_gp(c, 0);
	}
	p = (d->mem & VM_STORE) ? vec_wptr(c, lin, n) : vec_rptr(c, lin, n);
	if (likely(p != NULL))
		fn(p, rm, reg, vvvv, is4, c);
	else
		run_slow(c, d, fn, lin, rm, reg, vvvv, is4);
	return lin;
}

static inline __attribute__((always_inline)) void run(struct soft_cpu *c, const struct uop *op,
						      const struct vec_desc *d, vec_fn *fn)
{
	void *rm = (d->kind & VK_GPR_RM) ? (void *)&c->gpr[op->r1 & 15] : c->vec[op->r1 & 15];
	void *reg = (d->kind & VK_GPR_REG) ? (void *)&c->gpr[op->r0 & 15] : c->vec[op->r0 & 15];
	void *vvvv = c->vec[op->aux & 15], *is4 = c->vec[op->aux >> 4];

	VEC_CHECK(c, op, d->cls);
	SOFT_ENTER(c, op);
	if (d->mem)
		run_mem(c, op, d, fn, rm, reg, vvvv, is4);
	else
		fn(NULL, rm, reg, vvvv, is4, c);
}

static void vec_any(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;

	run(c, op, &s->d, s->fn);
	NEXT(c, op);
}

static void x87_mem(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;
	gva_t lin;

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	lin = run_mem(c, op, &s->d, s->fn, NULL, NULL, NULL, NULL);
	note_x87(c, op, true, op->ea ? soft_ea_offset(c, op) : lin - c->eff_base[op->seg]);
	NEXT(c, op);
}

static void x87_reg(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	s->fn(NULL, NULL, NULL, NULL, NULL, c);
	note_x87(c, op, false, 0);
	NEXT(c, op);
}

/* A load; all other operands are vector registers. */
static void vec_rm(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;

	VEC_CHECK(c, op, s->d.cls);
	SOFT_ENTER(c, op);
	run_mem(c, op, &s->d, s->fn, NULL, c->vec[op->r0 & 15], c->vec[op->aux & 15], c->vec[op->aux >> 4]);
	NEXT(c, op);
}

/* Vector registers only. */
static void vec_rr(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;

	VEC_CHECK(c, op, s->d.cls);
	SOFT_ENTER(c, op);
	s->fn(NULL, c->vec[op->r1], c->vec[op->r0], c->vec[op->aux & 15], c->vec[op->aux >> 4], c);
	NEXT(c, op);
}

/* There was no room for a stub: its description lies in the next uop's place. */
struct overflow {
	uop_fn *fn;
	struct vec_desc d;
	u64 unused;
};
static_assert(sizeof(struct overflow) == sizeof(struct uop), "a description rides in a uop's place");

static void vec_overflow(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_desc *d = &((const struct overflow *)(const void *)(op + 1))->d;

	run(c, op, d, vec_scratch_fn(c, d));
	if (d->cls & VC_X87_PTR)
		note_x87(c, op, d->mem, soft_ea_offset(c, op));
	NEXT(c, op + 1);
}

static void never(struct soft_cpu *c, const struct uop *op)
{
	must(!"a description was run");
}

/* ---- which of them ---- */

static uop_fn *handler(const struct vec_desc *d)
{
	if (d->cls & VC_X87_PTR)
		return d->mem ? x87_mem : x87_reg;
	if (d->kind & (VK_GPR_REG | VK_GPR_RM))
		return vec_any;
	if (d->mem)
		return d->mem == VM_LOAD ? vec_rm : vec_any;
	return vec_rr;
}

bool vec_is_description(const struct uop *u)
{
	return u->fn == never;
}

const struct vec_desc *vec_desc_of(const struct uop *u)
{
	if (u->fn == vec_overflow)
		return &((const struct overflow *)(const void *)(u + 1))->d;
	if (u->fn == vec_any || u->fn == vec_rm || u->fn == vec_rr || u->fn == x87_mem || u->fn == x87_reg)
		return &((const struct vec_stub *)u->ptr)->d;
	return NULL;
}

unsigned vec_uop(struct vec_stubs *v, const struct vec_desc *desc, struct uop *u)
{
	const struct vec_stub *s = vec_stub_get(v, desc);

	u->osize = desc->mem_bytes;
	if (s) {
		u->fn = handler(desc);
		u->ptr = (void *)(uintptr_t)s;
		return 1;
	}
	struct overflow *o = (struct overflow *)(void *)&u[1];
	u->fn = vec_overflow;
	o->fn = never;
	o->d = *desc;
	o->unused = 0;
	return 2;
}
