/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu_image.h - the x87 and MXCSR state as an FXSAVE image, on the host and in guest memory; for fpu*.c. */
#ifndef MICA_SOFT_FPU_IMAGE_H
#define MICA_SOFT_FPU_IMAGE_H

#include "cpu/soft/vm.h"

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

struct fpu_image {
	u8 b[512] __attribute__((aligned(64)));
};
static inline void fpu_host_save(struct fpu_image *f)
{
	__asm__ volatile("fxsave64 %0" : "=m"(*f));
}
/* Also overwrites the host's XMM registers. That is harmless: the guest's are in c->vec. */
static inline void fpu_host_load(const struct fpu_image *f)
{
	__asm__ volatile("fxrstor64 %0" ::"m"(*f)
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
			   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
static inline void fpu_clear_pointers(struct soft_cpu *c)
{
	c->fip = c->fdp = 0;
	c->fop = c->fcs = c->fds = 0;
}

u32 fpu_get_mxcsr(void);
void fpu_set_mxcsr(u32 v);
u32 fpu_mxcsr_mask(void);
/* The guest's x87 and MXCSR as an image for the host: pointers zero, XMM unspecified; and back. */
void fpu_save(struct soft_cpu *c, struct fpu_image *f);
void fpu_restore(struct soft_cpu *c, struct fpu_image *f);
/* As after FNINIT. */
void fpu_init_image(struct fpu_image *f);
/* The guest's pointers to the last x87 instruction, into an FXSAVE image and out of it. wide: the REX.W form. */
void fpu_put_pointers(const struct soft_cpu *c, u8 *b, bool wide);
void fpu_take_pointers(struct soft_cpu *c, const u8 *b, bool wide);

#endif
