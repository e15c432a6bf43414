/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu_save.c - FXSAVE, XSAVE and back, LDMXCSR, STMXCSR. */
#include "cpu/soft/vector/fpu_image.h"
#include "cpu/soft/vector/vec_operand.h"
#include "cpu/soft/vector/vec_ops.h"

static unsigned xmm_count(const struct soft_cpu *c)
{
	return soft_code64(c) ? 16 : 8;
}

/* The legacy region, without the bytes that are reserved for software. */
static void compose(struct soft_cpu *c, struct fpu_image *f, bool wide)
{
	fpu_save(c, f);
	fpu_put_pointers(c, f->b, wide);
	st_le32(f->b + FX_MASK, fpu_mxcsr_mask());
	for (unsigned i = 0; i < xmm_count(c); i++)
		memcpy(f->b + FX_XMM + i * 16, c->vec[i], 16);
}

/* op->aux: the REX.W form */
static noinline_ void do_fxsave(struct soft_cpu *c, const struct uop *op)
{
	struct fpu_image f;
	gva_t lin;

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	lin = soft_ea(c, op, 512, true);
	soft_check_align(c, lin, FX_XMM_END, 4, true);
	if (lin & 15)
		soft_gp(c, 0);
	compose(c, &f, op->aux);
	soft_probe(c, lin, 512, true);
	soft_st_bytes(c, lin, f.b, FX_XMM + xmm_count(c) * 16);
}
DEF_VEC(fpu_, fxsave)

static noinline_ void do_fxrstor(struct soft_cpu *c, const struct uop *op)
{
	struct fpu_image f = { 0 };
	gva_t lin;

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	lin = soft_ea(c, op, 512, false);
	soft_check_align(c, lin, FX_XMM_END, 4, false);
	if (lin & 15)
		soft_gp(c, 0);
	soft_ld_bytes(c, lin, f.b, FX_XMM_END);
	if (ld_le32(f.b + FX_MXCSR) & ~fpu_mxcsr_mask())
		soft_gp(c, 0);
	fpu_take_pointers(c, f.b, op->aux);
	for (unsigned i = 0; i < xmm_count(c); i++)
		memcpy(c->vec[i], f.b + FX_XMM + i * 16, 16);
	fpu_restore(c, &f);
}
DEF_VEC(fpu_, fxrstor)

static void xsave_check(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	if (!(c->cr4 & CR4_OSXSAVE))
		soft_ud(c);
	if (c->cr0 & CR0_TS)
		soft_raise(c, EXC_NM, EXC_NO_ERROR);
}

static u64 requested(const struct soft_cpu *c)
{
	return ((c->gpr[GPR_RDX] << 32) | (u32)c->gpr[GPR_RAX]) & c->xcr0;
}

/* XINUSE (SDM 1 13.6). f: the x87 image with the guest's pointers not in it. */
static u64 in_use(const struct soft_cpu *c, const struct fpu_image *f)
{
	u64 use = 0, lo = 0, hi = 0;
	struct fpu_image init;

	fpu_init_image(&init);
	for (unsigned i = 0; i < 8; i++)
		if (ld_le64(f->b + FX_ST + i * 16) || ld_le16(f->b + FX_ST + i * 16 + 8))
			use |= XF_X87;
	if (memcmp(f->b, init.b, FX_FTW + 1) || c->fip || c->fdp || c->fop || c->fcs || c->fds)
		use |= XF_X87;
	for (unsigned i = 0; i < 16; i++) {
		lo |= ld_le64(c->vec[i]) | ld_le64(c->vec[i] + 8);
		hi |= ld_le64(c->vec[i] + 16) | ld_le64(c->vec[i] + 24);
	}
	return use | (lo ? XF_SSE : 0) | (hi ? XF_AVX : 0);
}

/* op->aux bit 0: the REX.W form; bit 1: XSAVEOPT. No modified-optimisation. */
static noinline_ void do_xsave(struct soft_cpu *c, const struct uop *op)
{
	unsigned nx = xmm_count(c);
	u64 rfbm, use, bv, put;
	u8 avx[256];
	struct fpu_image f;
	gva_t lin;

	xsave_check(c, op);
	rfbm = requested(c);
	lin = soft_ea(c, op, (rfbm & XF_AVX) ? XS_END : XS_AVX, true);
	if (lin & 63)
		soft_gp(c, 0);
	soft_probe(c, lin, (rfbm & XF_AVX) ? XS_END : XS_AVX, true);
	bv = soft_ld64(c, lin + XS_HEADER);
	fpu_save(c, &f);
	use = in_use(c, &f);
	compose(c, &f, op->aux & 1);
	put = (op->aux & 2) ? rfbm & use : rfbm;
	if (put & XF_X87) {
		soft_st_bytes(c, lin, f.b, FX_MXCSR);
		soft_st_bytes(c, lin + FX_ST, f.b + FX_ST, FX_XMM - FX_ST);
	}
	if (rfbm & (XF_SSE | XF_AVX))
		soft_st_bytes(c, lin + FX_MXCSR, f.b + FX_MXCSR, 8);
	if (put & XF_SSE)
		soft_st_bytes(c, lin + FX_XMM, f.b + FX_XMM, nx * 16);
	if (put & XF_AVX) {
		for (unsigned i = 0; i < nx; i++)
			memcpy(avx + i * 16, c->vec[i] + 16, 16);
		soft_st_bytes(c, lin + XS_AVX, avx, nx * 16);
	}
	soft_st64(c, lin + XS_HEADER, (bv & ~rfbm) | (rfbm & use));
}
DEF_VEC(fpu_, xsave)

/* SDM 1 13.8. The compacted form belongs to XSAVEC, which is not offered: #GP. */
static noinline_ void do_xrstor(struct soft_cpu *c, const struct uop *op)
{
	unsigned nx = xmm_count(c);
	u64 rfbm, bv;
	u8 avx[256], head[24];
	struct fpu_image f, now;
	gva_t lin;

	xsave_check(c, op);
	rfbm = requested(c);
	lin = soft_ea(c, op, (rfbm & XF_AVX) ? XS_END : XS_AVX, false);
	if (lin & 63)
		soft_gp(c, 0);
	soft_ld_bytes(c, lin + XS_HEADER, head, sizeof(head));
	bv = ld_le64(head);
	if (ld_le64(head + 8) || ld_le64(head + 16) || (bv & ~c->xcr0))
		soft_gp(c, 0);
	if (rfbm & (XF_X87 | XF_SSE | XF_AVX))
		soft_ld_bytes(c, lin, f.b, FX_XMM_END);
	if (rfbm & bv & XF_AVX)
		soft_ld_bytes(c, lin + XS_AVX, avx, nx * 16);
	if ((rfbm & (XF_SSE | XF_AVX)) && (ld_le32(f.b + FX_MXCSR) & ~fpu_mxcsr_mask()))
		soft_gp(c, 0);

	if (rfbm & XF_SSE)
		for (unsigned i = 0; i < nx; i++) {
			if (bv & XF_SSE)
				memcpy(c->vec[i], f.b + FX_XMM + i * 16, 16);
			else
				memset(c->vec[i], 0, 16);
		}
	if (rfbm & XF_AVX)
		for (unsigned i = 0; i < nx; i++) {
			if (bv & XF_AVX)
				memcpy(c->vec[i] + 16, avx + i * 16, 16);
			else
				memset(c->vec[i] + 16, 0, 16);
		}
	if (rfbm & XF_X87) {
		u32 mxcsr = (rfbm & (XF_SSE | XF_AVX)) ? ld_le32(f.b + FX_MXCSR) : fpu_get_mxcsr();

		if (bv & XF_X87) {
			fpu_take_pointers(c, f.b, op->aux & 1);
		} else {
			fpu_init_image(&f);
			fpu_clear_pointers(c);
		}
		st_le32(f.b + FX_MXCSR, mxcsr);
		/* Often it is what is there already; FXRSTOR is dear. */
		fpu_save(c, &now);
		if (memcmp(f.b, now.b, FX_FTW + 1) || memcmp(f.b + FX_ST, now.b + FX_ST, FX_XMM - FX_ST))
			fpu_restore(c, &f);
		else
			fpu_set_mxcsr(mxcsr);
	} else if (rfbm & (XF_SSE | XF_AVX)) {
		fpu_set_mxcsr(ld_le32(f.b + FX_MXCSR));
	}
}
DEF_VEC(fpu_, xrstor)

/* ---- MXCSR ---- */

/* op->aux: the VEC_OK bit of the encoding */
void fpu_ldmxcsr(struct soft_cpu *c, const struct uop *op)
{
	u32 v;

	VEC_CHECK(c, op, op->aux);
	SOFT_ENTER(c, op);
	v = soft_ld32(c, soft_ea(c, op, 4, false));
	if (v & ~fpu_mxcsr_mask())
		soft_gp(c, 0);
	fpu_set_mxcsr(v);
	NEXT(c, op);
}

void fpu_stmxcsr(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, op->aux);
	SOFT_ENTER(c, op);
	soft_st32(c, soft_ea(c, op, 4, true), fpu_get_mxcsr());
	NEXT(c, op);
}
