/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_string.c - MOVS STOS LODS SCAS CMPS, with and without REP, in every mode.
 *
 * REP forms work in runs: as many elements as lie in the pages at hand are done at once, registers
 * are brought up to date, and the next run begins; so a fault in the middle leaves the architectural
 * state of an interrupted REP (SDM 2: REP), and pending work is looked at between runs.
 */
#include "cpu/soft/interp/exec.h"

struct str {
	unsigned n; /* element bytes */
	u64 mask;   /* of the address size */
	unsigned a; /* address bytes */
	s64 step;
};

static struct str str_of(const struct soft_cpu *c, const struct uop *op)
{
	struct str s = { .n = op->osize };

	s.a = op->ea & EA_A16 ? 2 : op->ea & EA_A32 ? 4 : 8;
	s.mask = s.a == 8 ? ~0ull : s.a == 4 ? 0xffffffffull : 0xffffull;
	s.step = c->sysflags & FL_DF ? -(s64)s.n : (s64)s.n;
	return s;
}

/* Add to SI, DI or CX at the address size. */
static void adj(struct soft_cpu *c, unsigned r, const struct str *s, s64 by)
{
	reg_wr(c, r, s->a, (c->gpr[r] + (u64)by) & s->mask);
}

static gva_t at(struct soft_cpu *c, unsigned seg, unsigned r, const struct str *s, bool write)
{
	return soft_seg_lin(c, seg, c->gpr[r] & s->mask, s->n, write);
}

/* Where RDI is, for an instruction that reads at `from` first: a fault there comes before the segment's here. */
static gva_t at_second(struct soft_cpu *c, const struct str *s, gva_t from, bool write)
{
	if (unlikely(!(c->mode & MODE_CODE64) && (c->gpr[GPR_RDI] & s->mask) + s->n > c->seg_end[write][SEG_ES]))
		soft_probe(c, from, s->n, false);
	return at(c, SEG_ES, GPR_RDI, s, write);
}

/*
 * How many elements, of at most cnt, can be done as one run that begins at offset `off` (linear lin) and goes up, or
 * down with DF: inside the page, inside the address size and what the segment allows for certain. 0: do one the slow
 * way.
 */
static u64 run_of(const struct soft_cpu *c, unsigned seg, bool write, gva_t lin, u64 off, u64 cnt, const struct str *s)
{
	if ((c->stepping && dr7_any(c->dr7)) || c->tlb == c->tlbs[TLB_USER_ALIGN])
		return 0;
	u64 n = (PAGE_BYTES - (lin & (PAGE_BYTES - 1))) / s->n;
	if (s->step < 0) {
		/* The first element is the highest; segments that go up from 0 allow all below it. */
		if (!n || (!(c->mode & MODE_CODE64) &&
			   (off >= c->seg_end[write][seg] || c->seg_end[write][seg] - off < s->n)))
			return 0;
		n = MIN(lin & (PAGE_BYTES - 1), off) / s->n + 1;
		return MIN(n, cnt);
	}
	if (!(c->mode & MODE_CODE64)) {
		if (off >= c->seg_end[write][seg])
			return 0;
		n = MIN(n, (c->seg_end[write][seg] - off) / s->n);
	}
	if (s->a != 8)
		n = MIN(n, (s->mask - off) / s->n);
	return MIN(n, cnt);
}

static bool repeats(const struct uop *op)
{
	return op->aux & (AUX_REP | AUX_REPNE);
}

/* Asked between runs. True: leave the instruction, with RIP still at it. */
static bool interrupted(struct soft_cpu *c)
{
	return atomic_load_explicit(&c->pending, memory_order_relaxed);
}

/* memmove in the order MOVS has: upwards, element by element (an overlap repeats a pattern). */
static void move_up(u8 *d, const u8 *s, u64 bytes, unsigned n)
{
	if (d <= s || d >= s + bytes) {
		memmove(d, s, bytes);
		return;
	}
	if ((u64)(d - s) >= n && n == 8) {
		for (u64 i = 0; i < bytes; i += 8) {
			u64 v;
			memcpy(&v, s + i, 8);
			memcpy(d + i, &v, 8);
		}
		return;
	}
	for (u64 i = 0; i < bytes; i += n) {
		u8 t[8];
		memcpy(t, s + i, n);
		memcpy(d + i, t, n);
	}
}

/* The same downwards; d and s are the lowest element's. */
static void move_down(u8 *d, const u8 *s, u64 bytes, unsigned n)
{
	if (s <= d || s >= d + bytes) {
		memmove(d, s, bytes);
		return;
	}
	for (u64 i = bytes; i; i -= n) {
		u8 t[8];
		memcpy(t, s + i - n, n);
		memcpy(d + i - n, t, n);
	}
}

/* Bytes from a run's lowest element to the one it begins with. */
static u64 below(const struct str *s, u64 n)
{
	return s->step < 0 ? (n - 1) * s->n : 0;
}

/* Host pointers for a run; NULL when it cannot be one (MMIO, code on the page...). */
static u8 *run_ptr(struct soft_cpu *c, gva_t lin, bool write)
{
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];

	if ((write ? e->wtag : e->rtag) == (lin & PAGE_MASK))
		return (u8 *)(uintptr_t)(lin + e->addend);
	soft_probe(c, lin, 1, write);
	if ((write ? e->wtag : e->rtag) == (lin & PAGE_MASK))
		return (u8 *)(uintptr_t)(lin + e->addend);
	return NULL;
}

/* One turn of MOVS; returns elements done. */
static u64 movs_run(struct soft_cpu *c, const struct uop *op, const struct str *s, u64 cnt)
{
	gva_t src = at(c, op->seg, GPR_RSI, s, false), dst = at_second(c, s, src, true);
	u64 n = MIN(run_of(c, op->seg, false, src, c->gpr[GPR_RSI] & s->mask, cnt, s),
		    run_of(c, SEG_ES, true, dst, c->gpr[GPR_RDI] & s->mask, cnt, s));

	if (n > 1) {
		u8 *p = run_ptr(c, src, false), *d = p ? run_ptr(c, dst, true) : NULL;
		/* Both entries may share a slot: look at the source again. */
		if (d && run_ptr(c, src, false) == p && run_ptr(c, dst, true) == d) {
			u64 low = below(s, n);
			if (low)
				move_down(d - low, p - low, n * s->n, s->n);
			else
				move_up(d, p, n * s->n, s->n);
		} else if (p) {
			/* The destination page holds code; most likely it is being reused. Copy through a buffer, so
			 * that its blocks are dropped once for each piece and not for each element. */
			u8 buf[512];
			n = MIN(n, sizeof(buf) / s->n);
			if ((s->step < 0 ? src - dst : dst - src) < n * s->n)
				n = 1;
			u64 low = below(s, n);
			soft_ld_bytes(c, src - low, buf, (unsigned)(n * s->n));
			soft_st_bytes(c, dst - low, buf, (unsigned)(n * s->n));
		} else {
			n = 1;
			soft_st(c, dst, s->n, soft_ld(c, src, s->n));
		}
	} else {
		n = 1;
		soft_st(c, dst, s->n, soft_ld(c, src, s->n));
	}
	adj(c, GPR_RSI, s, s->step * (s64)n);
	adj(c, GPR_RDI, s, s->step * (s64)n);
	return n;
}

static void fill(u8 *d, u64 v, unsigned n, u64 count)
{
	switch (n) {
	case 1:
		memset(d, (u8)v, count);
		break;
	case 2:
		for (u64 i = 0; i < count; i++)
			st_le16(d + 2 * i, (u16)v);
		break;
	case 4:
		for (u64 i = 0; i < count; i++)
			st_le32(d + 4 * i, (u32)v);
		break;
	default:
		if (!v)
			memset(d, 0, 8 * count);
		else
			for (u64 i = 0; i < count; i++)
				st_le64(d + 8 * i, v);
	}
}

static u64 stos_run(struct soft_cpu *c, const struct uop *op, const struct str *s, u64 cnt)
{
	gva_t dst = at(c, SEG_ES, GPR_RDI, s, true);
	u64 n = run_of(c, SEG_ES, true, dst, c->gpr[GPR_RDI] & s->mask, cnt, s);

	(void)op;
	if (n > 1) {
		u8 *d = run_ptr(c, dst, true);
		if (d) {
			fill(d - below(s, n), c->gpr[GPR_RAX], s->n, n);
		} else {
			u8 buf[512];
			n = MIN(n, sizeof(buf) / s->n);
			fill(buf, c->gpr[GPR_RAX], s->n, n);
			soft_st_bytes(c, dst - below(s, n), buf, (unsigned)(n * s->n));
		}
	} else {
		n = 1;
		soft_st(c, dst, s->n, c->gpr[GPR_RAX]);
	}
	adj(c, GPR_RDI, s, s->step * (s64)n);
	return n;
}

static u64 lods_run(struct soft_cpu *c, const struct uop *op, const struct str *s, u64 cnt)
{
	(void)cnt;
	u64 v = soft_ld(c, at(c, op->seg, GPR_RSI, s, false), s->n);
	reg_wr(c, GPR_RAX, s->n, v);
	adj(c, GPR_RSI, s, s->step);
	return 1;
}

#define DEF_CMPF(bits) \
	static inline void cmpf##bits(struct soft_cpu *c, u##bits a, u##bits b) \
	{ \
		u32 f; \
		__asm__("cmp %2, %1\n\tlahf\n\tseto %%al" : "=&a"(f) : "q"(a), "q"(b) : "cc"); \
		set_fl(c, f); \
	}
DEF_CMPF(8)
DEF_CMPF(16)
DEF_CMPF(32)
DEF_CMPF(64)
static void cmp_flags(struct soft_cpu *c, u64 a, u64 b, unsigned n)
{
	if (n == 1)
		cmpf8(c, (u8)a, (u8)b);
	else if (n == 2)
		cmpf16(c, (u16)a, (u16)b);
	else if (n == 4)
		cmpf32(c, (u32)a, (u32)b);
	else
		cmpf64(c, a, b);
}

/* How many of the n elements at b and on by `step` to skip, each like a value (a_step 0) or the one beside it at a, or
 * each unlike: to the one that ends a REPE or REPNE, or to the last. */
#define DEF_SKIP(bits) \
	static u64 skip##bits(const u8 *a, s64 a_step, const u8 *b, s64 step, u64 n, bool like) \
	{ \
		u64 i = 0; \
		for (; i < n - 1; i++, a += a_step, b += step) \
			if ((*(const guest_u##bits *)a == *(const guest_u##bits *)b) != like) \
				break; \
		return i; \
	}
DEF_SKIP(8)
DEF_SKIP(16)
DEF_SKIP(32)
DEF_SKIP(64)
static u64 skip(const u8 *a, s64 a_step, const u8 *b, u64 n, const struct str *s, bool like)
{
	return (s->n == 1 ? skip8 : s->n == 2 ? skip16 : s->n == 4 ? skip32 : skip64)(a, a_step, b, s->step, n, like);
}

static u64 scas_run(struct soft_cpu *c, const struct uop *op, const struct str *s, u64 cnt)
{
	gva_t lin = at(c, SEG_ES, GPR_RDI, s, false);
	u64 n = run_of(c, SEG_ES, false, lin, c->gpr[GPR_RDI] & s->mask, cnt, s), done = 0;
	const u8 *p = n > 1 ? run_ptr(c, lin, false) : NULL;

	/* Up to the one that ends it, which is done as if it were alone. */
	if (p)
		done = skip((const u8 *)&c->gpr[GPR_RAX], 0, p, n, s, op->aux & AUX_REP);
	u64 v = soft_ld(c, lin + done * (u64)s->step, s->n);
	cmp_flags(c, c->gpr[GPR_RAX], v, s->n);
	adj(c, GPR_RDI, s, s->step * (s64)(done + 1));
	return done + 1;
}

static u64 cmps_run(struct soft_cpu *c, const struct uop *op, const struct str *s, u64 cnt)
{
	gva_t from = at(c, op->seg, GPR_RSI, s, false), to = at_second(c, s, from, false);
	u64 n = MIN(run_of(c, op->seg, false, from, c->gpr[GPR_RSI] & s->mask, cnt, s),
		    run_of(c, SEG_ES, false, to, c->gpr[GPR_RDI] & s->mask, cnt, s));
	u64 done = 0;

	if (n > 1) {
		const u8 *p = run_ptr(c, from, false), *q = p ? run_ptr(c, to, false) : NULL;
		/* Both entries may share a slot: look at the first again. */
		if (q && run_ptr(c, from, false) == p && run_ptr(c, to, false) == q)
			done = skip(p, s->step, q, n, s, op->aux & AUX_REP);
	}
	u64 a = soft_ld(c, from + done * (u64)s->step, s->n);
	u64 b = soft_ld(c, to + done * (u64)s->step, s->n);
	cmp_flags(c, a, b, s->n);
	adj(c, GPR_RSI, s, s->step * (s64)(done + 1));
	adj(c, GPR_RDI, s, s->step * (s64)(done + 1));
	return done + 1;
}

typedef u64 run_fn(struct soft_cpu *c, const struct uop *op, const struct str *s, u64 cnt);

/* The whole instruction; false: left in the middle with c->rip at itself. */
static inline __attribute__((always_inline)) bool string_op(struct soft_cpu *c, const struct uop *op, run_fn *run,
							    bool compares)
{
	struct str s = str_of(c, op);

	SOFT_ENTER(c, op);
	if (!repeats(op)) {
		run(c, op, &s, 1);
		return true;
	}
	for (;;) {
		u64 cnt = c->gpr[GPR_RCX] & s.mask;
		if (!cnt)
			return true;
		/* Debug traps come after each round (SDM 3B 17.3.1.4). */
		if (unlikely((c->sysflags & FL_TF) || (c->stepping && dr7_any(c->dr7))))
			cnt = 1;
		adj(c, GPR_RCX, &s, -(s64)run(c, op, &s, cnt));
		if (compares && !!(c->fl & 0x4000) != !!(op->aux & AUX_REP))
			return true;
		if (unlikely(interrupted(c)))
			return !(c->gpr[GPR_RCX] & s.mask);
	}
}

#define DEF_STRING(name, compares) \
	static __attribute__((noinline)) bool name##_all(struct soft_cpu *c, const struct uop *op) \
	{ \
		return string_op(c, op, name##_run, compares); \
	} \
	void op_##name(struct soft_cpu *c, const struct uop *op) \
	{ \
		if (name##_all(c, op)) \
			NEXT(c, op); \
	}
DEF_STRING(movs, false)
DEF_STRING(stos, false)
DEF_STRING(lods, false)
DEF_STRING(scas, true)
DEF_STRING(cmps, true)
