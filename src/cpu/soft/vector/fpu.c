/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fpu.c - the FPU's own state: which instructions may run, the hand-over between the host's and the
 * guest's x87. The instructions that store and load the state are in fpu_save.c and fpu_env.c.
 *
 * Theory of operation: between soft_fpu_enter() and soft_fpu_leave() the x87 registers, control,
 * status and tag words and MXCSR in this thread's host FPU are the guest's. XMM and YMM are not:
 * they are in c->vec. Nor are the pointers to the last x87 instruction and operand: the host's are addresses of ours.
 * The guest's are in c->fip, c->fdp, c->fop, c->fcs, c->fds. Every image written to the guest is patched with them, and
 * every image loaded into the host has zeros there.
 */
#include "cpu/soft/vector/fpu.h"
#include "cpu/soft/vector/fpu_image.h"
#include "cpu/soft/vector/vec_operand.h"
#include "cpu/soft/vector/vec_sig.h"

/* ---- which instructions may run ---- */

/* SDM 3A 13.1.4, 2.5 and the exception tables of SDM 2A 2.4, 2.5. */
void vec_refuse(struct soft_cpu *c, const struct uop *op, unsigned cls)
{
	bool em = c->cr0 & CR0_EM;

	SOFT_ENTER(c, op);
	switch (cls & VC_OK) {
	case VEC_OK_SSE:
		if (em || !(c->cr4 & CR4_OSFXSR))
			soft_ud(c);
		break;
	case VEC_OK_AVX:
		if (!(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & 6) != 6 || !(c->cr0 & CR0_PE) || (c->sysflags & FL_VM))
			soft_ud(c);
		break;
	case VEC_OK_X87:
		if ((cls & VC_MMX) && em)
			soft_ud(c);
		break;
	default:
		break;
	}
	soft_raise(c, EXC_NM, EXC_NO_ERROR);
}

/* ---- the host FPU ---- */

u32 fpu_get_mxcsr(void)
{
	u32 v;

	__asm__ volatile("stmxcsr %0" : "=m"(v));
	return v;
}

void fpu_set_mxcsr(u32 v)
{
	__asm__ volatile("ldmxcsr %0" ::"m"(v));
}

u32 fpu_mxcsr_mask(void)
{
	static _Atomic u32 known;
	u32 m = known;

	if (!m) {
		struct fpu_image f = { 0 };

		fpu_host_save(&f);
		m = ld_le32(f.b + FX_MASK);
		m = (m ? m : 0xffbf) & MXCSR_KNOWN;
		known = m;
	}
	return m;
}

void soft_fpu_enter(struct soft_cpu *c)
{
	if (c->fpu_loaded)
		return;
	vec_current = c;
	__asm__ volatile("fnstcw %0" : "=m"(c->host_fcw));
	c->host_mxcsr = fpu_get_mxcsr();
	fpu_host_load((const struct fpu_image *)(const void *)c->fxsave_area);
	c->fpu_loaded = true;
}

void soft_fpu_leave(struct soft_cpu *c)
{
	if (!c->fpu_loaded)
		return;
	fpu_host_save((struct fpu_image *)(void *)c->fxsave_area);
	memset(c->fxsave_area + FX_FOP, 0, FX_MXCSR - FX_FOP);
	c->mxcsr = ld_le32(c->fxsave_area + FX_MXCSR);
	__asm__ volatile("fninit; fldcw %0" ::"m"(c->host_fcw));
	fpu_set_mxcsr(c->host_mxcsr);
	c->fpu_loaded = false;
	vec_current = NULL;
}

void fpu_save(struct soft_cpu *c, struct fpu_image *f)
{
	if (c->fpu_loaded)
		fpu_host_save(f);
	else
		memcpy(f, c->fxsave_area, sizeof(*f));
	memset(f->b + FX_FOP, 0, FX_MXCSR - FX_FOP);
}

void fpu_restore(struct soft_cpu *c, struct fpu_image *f)
{
	f->b[FX_FTW + 1] = 0;
	memset(f->b + FX_FOP, 0, FX_MXCSR - FX_FOP);
	st_le32(f->b + FX_MXCSR, ld_le32(f->b + FX_MXCSR) & fpu_mxcsr_mask());
	if (c->fpu_loaded)
		fpu_host_load(f);
	else
		memcpy(c->fxsave_area, f, sizeof(*f));
}

void fpu_init_image(struct fpu_image *f)
{
	memset(f->b, 0, FX_MXCSR);
	memset(f->b + FX_ST, 0, FX_XMM - FX_ST);
	st_le16(f->b + FX_FCW, FCW_INIT);
}

void fpu_put_pointers(const struct soft_cpu *c, u8 *b, bool wide)
{
	st_le16(b + FX_FOP, c->fop);
	if (wide) {
		st_le64(b + FX_FIP, c->fip);
		st_le64(b + FX_FDP, c->fdp);
	} else {
		st_le32(b + FX_FIP, (u32)c->fip);
		st_le32(b + FX_FCS, c->fcs);
		st_le32(b + FX_FDP, (u32)c->fdp);
		st_le32(b + FX_FDS, c->fds);
	}
}

void fpu_take_pointers(struct soft_cpu *c, const u8 *b, bool wide)
{
	c->fop = ld_le16(b + FX_FOP) & 0x7ff;
	c->fip = wide ? ld_le64(b + FX_FIP) : ld_le32(b + FX_FIP);
	c->fdp = wide ? ld_le64(b + FX_FDP) : ld_le32(b + FX_FDP);
	c->fcs = wide ? 0 : ld_le16(b + FX_FCS);
	c->fds = wide ? 0 : ld_le16(b + FX_FDS);
}

/* SDM 3A table 9-1. INIT keeps all of it. */
void soft_fpu_reset(struct soft_cpu *c, bool init)
{
	struct fpu_image f = { 0 };

	if (init)
		return;
	st_le16(f.b + FX_FCW, 0x0040);
	f.b[FX_FTW] = 0xff; /* eight zeros: FTW is 5555H */
	st_le32(f.b + FX_MXCSR, MXCSR_INIT);
	fpu_restore(c, &f);
	c->mxcsr = MXCSR_INIT;
	memset(c->vec, 0, sizeof(c->vec));
	fpu_clear_pointers(c);
}

/* ---- state across the waist ---- */

void soft_fpu_get(struct soft_cpu *c, u8 area[1024])
{
	struct fpu_image f;

	memset(area, 0, 1024);
	fpu_save(c, &f);
	memcpy(area, f.b, FX_XMM);
	fpu_put_pointers(c, area, true);
	st_le32(area + FX_MASK, fpu_mxcsr_mask());
	for (unsigned i = 0; i < 16; i++) {
		memcpy(area + FX_XMM + i * 16, c->vec[i], 16);
		memcpy(area + XS_AVX + i * 16, c->vec[i] + 16, 16);
	}
	st_le64(area + XS_HEADER, XF_X87 | XF_SSE | XF_AVX);
}

int soft_fpu_set(struct soft_cpu *c, const u8 area[1024])
{
	u64 bv = ld_le64(area + XS_HEADER);
	struct fpu_image f = { 0 };

	if ((bv & ~(u64)(XF_X87 | XF_SSE | XF_AVX)) || ld_le64(area + XS_HEADER + 8))
		return -EINVAL;
	if (ld_le32(area + FX_MXCSR) & ~fpu_mxcsr_mask())
		return -EINVAL;
	fpu_init_image(&f);
	fpu_clear_pointers(c);
	if (bv & XF_X87) {
		memcpy(f.b, area, FX_XMM);
		fpu_take_pointers(c, area, true);
	}
	st_le32(f.b + FX_MXCSR, ld_le32(area + FX_MXCSR));
	c->mxcsr = ld_le32(area + FX_MXCSR);
	fpu_restore(c, &f);
	for (unsigned i = 0; i < 16; i++) {
		memset(c->vec[i], 0, 32);
		if (bv & XF_SSE)
			memcpy(c->vec[i], area + FX_XMM + i * 16, 16);
		if (bv & XF_AVX)
			memcpy(c->vec[i] + 16, area + XS_AVX + i * 16, 16);
	}
	return 0;
}
