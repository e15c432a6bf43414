/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fpu.c - the FPU's own state: which instructions may run, the hand-over between the host's and the
 * guest's x87, and the instructions that store and load the state as a whole (the
 * x87 environment's are in fpu_env.c).
 *
 * Theory of operation: between soft_fpu_enter() and soft_fpu_leave() the x87 registers, control,
 * status and tag words and MXCSR in this thread's host FPU are the guest's. XMM and YMM are not:
 * they are in c->vec. The pointers to the last x87 instruction and operand are neither: the host's
 * would be addresses of ours, so c->fip, c->fdp, c->fop, c->fcs, c->fds hold the guest's, and every
 * image written to the guest is patched with them, and every image loaded into the host has zeros.
 */
#include "cpu/soft/vector/vec.h"

/* Bits of MXCSR the guest may set; DAZ where the host has it. Not AMD's misaligned-SSE bit. */
#define MXCSR_KNOWN 0xffffu
#define MXCSR_INIT 0x1f80u
#define FCW_INIT 0x037fu

/* FXSAVE image (SDM 1 table 10-2) */
enum {
	FX_FCW = 0,
	FX_FSW = 2,
	FX_FTW = 4,
	FX_FOP = 6,
	FX_FIP = 8,
	FX_FCS = 12,
	FX_FDP = 16,
	FX_FDS = 20,
	FX_MXCSR = 24,
	FX_MASK = 28,
	FX_ST = 32,
	FX_XMM = 160,
	FX_XMM_END = 416,
	XS_HEADER = 512,
	XS_AVX = 576,
	XS_END = 832,
};
#define XF_X87 1u
#define XF_SSE 2u
#define XF_AVX 4u

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

static u32 get_mxcsr(void)
{
	u32 v;

	__asm__ volatile("stmxcsr %0" : "=m"(v));
	return v;
}

static void set_mxcsr(u32 v)
{
	__asm__ volatile("ldmxcsr %0" ::"m"(v));
}

static u32 mxcsr_mask(void)
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
	c->host_mxcsr = get_mxcsr();
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
	set_mxcsr(c->host_mxcsr);
	c->fpu_loaded = false;
	vec_current = NULL;
}

/* The guest's x87 and MXCSR as an image for the host: pointers zero, XMM unspecified. */
static void save(struct soft_cpu *c, struct fpu_image *f)
{
	if (c->fpu_loaded)
		fpu_host_save(f);
	else
		memcpy(f, c->fxsave_area, sizeof(*f));
	memset(f->b + FX_FOP, 0, FX_MXCSR - FX_FOP);
}

static void restore(struct soft_cpu *c, struct fpu_image *f)
{
	f->b[FX_FTW + 1] = 0;
	memset(f->b + FX_FOP, 0, FX_MXCSR - FX_FOP);
	st_le32(f->b + FX_MXCSR, ld_le32(f->b + FX_MXCSR) & mxcsr_mask());
	if (c->fpu_loaded)
		fpu_host_load(f);
	else
		memcpy(c->fxsave_area, f, sizeof(*f));
}

static void init_x87(struct fpu_image *f)
{
	memset(f->b, 0, FX_MXCSR);
	memset(f->b + FX_ST, 0, FX_XMM - FX_ST);
	st_le16(f->b + FX_FCW, FCW_INIT);
}

/* Put the guest's pointers into an FXSAVE image. wide: the REX.W form. */
static void put_pointers(const struct soft_cpu *c, u8 *b, bool wide)
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

static void take_pointers(struct soft_cpu *c, const u8 *b, bool wide)
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
	restore(c, &f);
	c->mxcsr = MXCSR_INIT;
	memset(c->vec, 0, sizeof(c->vec));
	fpu_clear_pointers(c);
}

/* ---- state across the waist ---- */

void soft_fpu_get(struct soft_cpu *c, u8 area[1024])
{
	struct fpu_image f;

	memset(area, 0, 1024);
	save(c, &f);
	memcpy(area, f.b, FX_XMM);
	put_pointers(c, area, true);
	st_le32(area + FX_MASK, mxcsr_mask());
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
	if (ld_le32(area + FX_MXCSR) & ~mxcsr_mask())
		return -EINVAL;
	init_x87(&f);
	fpu_clear_pointers(c);
	if (bv & XF_X87) {
		memcpy(f.b, area, FX_XMM);
		take_pointers(c, area, true);
	}
	st_le32(f.b + FX_MXCSR, ld_le32(area + FX_MXCSR));
	c->mxcsr = ld_le32(area + FX_MXCSR);
	restore(c, &f);
	for (unsigned i = 0; i < 16; i++) {
		memset(c->vec[i], 0, 32);
		if (bv & XF_SSE)
			memcpy(c->vec[i], area + FX_XMM + i * 16, 16);
		if (bv & XF_AVX)
			memcpy(c->vec[i] + 16, area + XS_AVX + i * 16, 16);
	}
	return 0;
}

/* ---- FXSAVE, XSAVE and back ---- */

static unsigned xmm_count(const struct soft_cpu *c)
{
	return soft_code64(c) ? 16 : 8;
}

/* The legacy region, all but the bytes that are software's. */
static void compose(struct soft_cpu *c, struct fpu_image *f, bool wide)
{
	save(c, f);
	put_pointers(c, f->b, wide);
	st_le32(f->b + FX_MASK, mxcsr_mask());
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
DEF_HANDLER(fxsave)

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
	if (ld_le32(f.b + FX_MXCSR) & ~mxcsr_mask())
		soft_gp(c, 0);
	take_pointers(c, f.b, op->aux);
	for (unsigned i = 0; i < xmm_count(c); i++)
		memcpy(c->vec[i], f.b + FX_XMM + i * 16, 16);
	restore(c, &f);
}
DEF_HANDLER(fxrstor)

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

	init_x87(&init);
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
	save(c, &f);
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
DEF_HANDLER(xsave)

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
	if ((rfbm & (XF_SSE | XF_AVX)) && (ld_le32(f.b + FX_MXCSR) & ~mxcsr_mask()))
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
		u32 mxcsr = (rfbm & (XF_SSE | XF_AVX)) ? ld_le32(f.b + FX_MXCSR) : get_mxcsr();

		if (bv & XF_X87) {
			take_pointers(c, f.b, op->aux & 1);
		} else {
			init_x87(&f);
			fpu_clear_pointers(c);
		}
		st_le32(f.b + FX_MXCSR, mxcsr);
		/* Often it is what is there already; FXRSTOR is dear. */
		save(c, &now);
		if (memcmp(f.b, now.b, FX_FTW + 1) || memcmp(f.b + FX_ST, now.b + FX_ST, FX_XMM - FX_ST))
			restore(c, &f);
		else
			set_mxcsr(mxcsr);
	} else if (rfbm & (XF_SSE | XF_AVX)) {
		set_mxcsr(ld_le32(f.b + FX_MXCSR));
	}
}
DEF_HANDLER(xrstor)

/* ---- MXCSR ---- */

/* op->aux: the VEC_OK bit of the encoding */
static void ldmxcsr(struct soft_cpu *c, const struct uop *op)
{
	u32 v;

	VEC_CHECK(c, op, op->aux);
	SOFT_ENTER(c, op);
	v = soft_ld32(c, soft_ea(c, op, 4, false));
	if (v & ~mxcsr_mask())
		soft_gp(c, 0);
	set_mxcsr(v);
	NEXT(c, op);
}

static void stmxcsr(struct soft_cpu *c, const struct uop *op)
{
	VEC_CHECK(c, op, op->aux);
	SOFT_ENTER(c, op);
	soft_st32(c, soft_ea(c, op, 4, true), get_mxcsr());
	NEXT(c, op);
}

/* ---- decoding ---- */

bool fpu_take_mem(struct decode *d, uop_fn *fn, unsigned aux)
{
	for (unsigned i = 0; i < d->insn->operand_count; i++)
		if (d->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			decode_mem(d, &d->u[0], &d->ops[i]);
			d->u[0].fn = fn;
			d->u[0].aux = (u8)aux;
			d->nu = 1;
			return true;
		}
	return false;
}

bool vec_decode_fpu(struct decode *d)
{
	unsigned ok = d->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? VEC_OK_AVX : VEC_OK_SSE;

	switch (d->insn->mnemonic) {
	case ZYDIS_MNEMONIC_FXSAVE:
		return fpu_take_mem(d, fxsave, 0);
	case ZYDIS_MNEMONIC_FXSAVE64:
		return fpu_take_mem(d, fxsave, 1);
	case ZYDIS_MNEMONIC_FXRSTOR:
		return fpu_take_mem(d, fxrstor, 0);
	case ZYDIS_MNEMONIC_FXRSTOR64:
		return fpu_take_mem(d, fxrstor, 1);
	case ZYDIS_MNEMONIC_XSAVE:
		return fpu_take_mem(d, xsave, 0);
	case ZYDIS_MNEMONIC_XSAVE64:
		return fpu_take_mem(d, xsave, 1);
	case ZYDIS_MNEMONIC_XSAVEOPT:
		return fpu_take_mem(d, xsave, 2);
	case ZYDIS_MNEMONIC_XSAVEOPT64:
		return fpu_take_mem(d, xsave, 3);
	case ZYDIS_MNEMONIC_XRSTOR:
		return fpu_take_mem(d, xrstor, 0);
	case ZYDIS_MNEMONIC_XRSTOR64:
		return fpu_take_mem(d, xrstor, 1);
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		return fpu_take_mem(d, ldmxcsr, ok);
	case ZYDIS_MNEMONIC_STMXCSR:
	case ZYDIS_MNEMONIC_VSTMXCSR:
		return fpu_take_mem(d, stmxcsr, ok);
	default:
		return false;
	}
}
