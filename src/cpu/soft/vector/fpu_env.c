/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fpu_env.c - the x87 environment: FNSTENV, FNSAVE and back, and the other control instructions.
 *
 * The host's own instruction stores the environment. Its pointers would be addresses of ours, so the guest's (see
 * fpu.c) replace them, in the format of the guest's mode (SDM 1 8.1.10).
 */
#include "cpu/soft/vector/fpu_image.h"
#include "cpu/soft/vector/vec.h"
#include "cpu/soft/vector/vec_operand.h"
#include "cpu/soft/vector/vec_ops.h"

/* The host's 32-bit protected-mode image: seven dwords, then (FNSAVE) 80 bytes of registers. */
struct env32 {
	u32 w[7];
	u8 st[80];
};

static bool real_format(const struct soft_cpu *c)
{
	return !(c->mode & MODE_PE) || (c->mode & MODE_VM86);
}

/* To the guest's format; returns its bytes. */
static unsigned env_to_guest(const struct soft_cpu *c, const struct env32 *e, u8 *out, bool op16)
{
	if (op16) {
		for (unsigned i = 0; i < 3; i++)
			st_le16(out + i * 2, (u16)e->w[i]);
		if (real_format(c)) {
			u32 ip = (u32)(c->fip + ((u32)c->fcs << 4)), dp = (u32)(c->fdp + ((u32)c->fds << 4));

			st_le16(out + 6, (u16)ip);
			st_le16(out + 8, (u16)((ip >> 16 & 15) << 12 | c->fop));
			st_le16(out + 10, (u16)dp);
			st_le16(out + 12, (u16)((dp >> 16 & 15) << 12));
		} else {
			st_le16(out + 6, (u16)c->fip);
			st_le16(out + 8, c->fcs);
			st_le16(out + 10, (u16)c->fdp);
			st_le16(out + 12, c->fds);
		}
		return 14;
	}
	for (unsigned i = 0; i < 3; i++)
		st_le32(out + i * 4, e->w[i] | 0xffff0000u);
	if (real_format(c)) {
		u32 ip = (u32)(c->fip + ((u32)c->fcs << 4)), dp = (u32)(c->fdp + ((u32)c->fds << 4));

		st_le32(out + 12, 0xffff0000u | (ip & 0xffff));
		st_le32(out + 16, (ip >> 16) << 12 | c->fop);
		st_le32(out + 20, 0xffff0000u | (dp & 0xffff));
		st_le32(out + 24, (dp >> 16) << 12);
	} else {
		st_le32(out + 12, (u32)c->fip);
		st_le32(out + 16, (u32)c->fop << 16 | c->fcs);
		st_le32(out + 20, (u32)c->fdp);
		st_le32(out + 24, 0xffff0000u | c->fds);
	}
	return 28;
}

struct pointers {
	u64 ip, dp;
	u16 op, cs, ds;
};

static unsigned env_from_guest(const struct soft_cpu *c, struct env32 *e, struct pointers *p, const u8 *in, bool op16)
{
	memset(e, 0, sizeof(*e));
	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < 3; i++)
		e->w[i] = 0xffff0000u | ld_le16(in + i * (op16 ? 2 : 4));
	if (op16) {
		u16 hi = ld_le16(in + 8);

		p->ip = ld_le16(in + 6);
		p->dp = ld_le16(in + 10);
		if (real_format(c)) {
			p->ip |= (u32)(hi >> 12) << 16;
			p->dp |= (u32)(ld_le16(in + 12) >> 12) << 16;
			p->op = hi & 0x7ff;
		} else {
			p->cs = hi;
			p->ds = ld_le16(in + 12);
		}
		return 14;
	}
	if (real_format(c)) {
		p->ip = ld_le16(in + 12) | (ld_le32(in + 16) >> 12 & 0xffff) << 16;
		p->dp = ld_le16(in + 20) | (ld_le32(in + 24) >> 12 & 0xffff) << 16;
		p->op = ld_le16(in + 16) & 0x7ff;
	} else {
		p->ip = ld_le32(in + 12);
		p->cs = ld_le16(in + 16);
		p->op = ld_le16(in + 18) & 0x7ff;
		p->dp = ld_le32(in + 20);
		p->ds = ld_le16(in + 24);
	}
	return 28;
}

/*
 * op->aux: 16-bit operand size. These two do not wait: pending exceptions stay pending. Both change the FPU's state.
 * But the store to guest memory may be abandoned and done again (memory/access.c), so the state is restored first and
 * changed only after the store.
 */
static noinline_ void do_fnstenv(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = op->aux ? 14 : 28;
	struct env32 e;
	struct fpu_image f;
	u8 out[28];
	gva_t lin;

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	lin = soft_ea(c, op, n, true);
	soft_probe(c, lin, n, true);
	fpu_host_save(&f);
	__asm__ volatile("fnstenv %0" : "=m"(e.w)); /* and masks all exceptions */
	fpu_host_load(&f);
	env_to_guest(c, &e, out, op->aux);
	soft_st_bytes(c, lin, out, n);
	__asm__ volatile("fnstenv %0" : "=m"(e.w));
}
DEF_VEC(fpu_, fnstenv)

static noinline_ void do_fnsave(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = op->aux ? 14 : 28;
	struct env32 e;
	struct fpu_image f;
	u8 out[108];
	gva_t lin;

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	lin = soft_ea(c, op, n + 80, true);
	soft_probe(c, lin, n + 80, true);
	fpu_host_save(&f);
	__asm__ volatile("fnsave %0" : "=m"(e)); /* and initializes */
	fpu_host_load(&f);
	env_to_guest(c, &e, out, op->aux);
	memcpy(out + n, e.st, 80);
	soft_st_bytes(c, lin, out, n + 80);
	__asm__ volatile("fninit");
	fpu_clear_pointers(c);
}
DEF_VEC(fpu_, fnsave)

static void take_env(struct soft_cpu *c, const struct pointers *p)
{
	c->fip = p->ip;
	c->fdp = p->dp;
	c->fop = p->op;
	c->fcs = p->cs;
	c->fds = p->ds;
}

/* These do wait, so they run in stubs. */
static noinline_ void do_fldenv(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = op->aux ? 14 : 28;
	struct pointers p;
	struct env32 e;
	u8 in[28];

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c); /* #MF before #PF */
	soft_ld_bytes(c, soft_ea(c, op, n, false), in, n);
	env_from_guest(c, &e, &p, in, op->aux);
	c->vm->stubs->fldenv(&e, NULL, NULL, NULL, NULL, c);
	take_env(c, &p);
}
DEF_VEC(fpu_, fldenv)

static noinline_ void do_frstor(struct soft_cpu *c, const struct uop *op)
{
	unsigned n = op->aux ? 14 : 28;
	struct pointers p;
	struct env32 e;
	u8 in[108];

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c); /* #MF before #PF */
	soft_ld_bytes(c, soft_ea(c, op, n + 80, false), in, n + 80);
	env_from_guest(c, &e, &p, in, op->aux);
	memcpy(e.st, in + n, 80);
	c->vm->stubs->frstor(&e, NULL, NULL, NULL, NULL, c);
	take_env(c, &p);
}
DEF_VEC(fpu_, frstor)

void fpu_fninit(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_X87);
	__asm__ volatile("fninit");
	fpu_clear_pointers(c);
	NEXT(c, op);
}

void fpu_fnclex(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_X87);
	__asm__ volatile("fnclex");
	NEXT(c, op);
}

/* FNENI, FNDISI, FNSETPM: instructions of the 8087 and 80287; later processors ignore them. */
void fpu_fnnop(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_X87);
	NEXT(c, op);
}

void fpu_fnstsw_ax(struct soft_cpu *c, const struct uop *op)
{
	u16 sw;

	VEC_CHECK(c, op, VEC_OK_X87);
	__asm__ volatile("fnstsw %0" : "=a"(sw));
	c->gpr[GPR_RAX] = (c->gpr[GPR_RAX] & ~0xffffull) | sw;
	NEXT(c, op);
}

/* FWAIT, in a stub as it may raise #MF. */
void fpu_fwait(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, VEC_OK_WAIT);
	SOFT_ENTER(c, op);
	c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c);
	NEXT(c, op);
}
