/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vec.h - stubs: how vector and x87 instructions are described and run.
 *
 * Theory of operation: guest and host are the same architecture, so a vector instruction runs on
 * the host's own unit. A handler brings the memory operand to a host address, and calls a *stub*:
 * a few generated instructions that load the operands from c->vec[] and c->gpr[] into fixed host
 * registers, the guest's instruction re-encoded for those registers and for memory at [rdi], and
 * stores of the results. A stub knows no guest register number, so there is one per opcode, form
 * and immediate; it is described by struct vec_desc, which is also the key it is found by.
 *
 * SSE state is in memory between instructions, so only the low 16 bytes of a register are touched
 * by legacy SSE, and bits 255:128 are kept by not touching them. VEX stubs store all 32 bytes, and
 * leave the host's upper halves clean, so that legacy SSE code pays no transition.
 */
#ifndef MICA_SOFT_VEC_H
#define MICA_SOFT_VEC_H

#include "cpu/soft/vm.h"
#include "cpu/soft/vector/vec_class.h"

#include <assert.h>

/* What the guest's CPUID must offer for an instruction. */
enum vec_feat {
	VF_FPU = 1u << 0,
	VF_CMOV = 1u << 1,
	VF_MMX = 1u << 2,
	VF_FXSR = 1u << 3,
	VF_SSE = 1u << 4,
	VF_SSE2 = 1u << 5,
	VF_SSE3 = 1u << 6,
	VF_SSSE3 = 1u << 7,
	VF_SSE41 = 1u << 8,
	VF_SSE42 = 1u << 9,
	VF_AES = 1u << 10,
	VF_PCLMUL = 1u << 11,
	VF_SHA = 1u << 12,
	VF_AVX = 1u << 13,
	VF_AVX2 = 1u << 14,
	VF_FMA = 1u << 15,
	VF_F16C = 1u << 16,
	VF_XSAVE = 1u << 17,
	VF_XSAVEOPT = 1u << 18,
};

/* Operand places, for the ld and st masks. */
#define VO_REG 0x01u  /* ModRM.reg: host xmm1 or eax; guest number in op->r0 */
#define VO_RM 0x02u   /* ModRM.rm: host xmm2 or eax; op->r1 */
#define VO_VVVV 0x04u /* VEX.vvvv: host xmm3; low half of op->aux */
#define VO_IS4 0x08u  /* imm8[7:4]: host xmm4; high half of op->aux */
#define VO_XMM0 0x10u /* implied */
/* kind */
#define VK_GPR_REG 0x01u /* VO_REG is a general register */
#define VK_GPR_RM 0x02u
#define VK_YMM 0x04u
#define VK_VEX 0x08u
#define VK_FLAGS_R 0x10u
#define VK_FLAGS_W 0x20u
#define VK_ESTR 0x40u /* EAX and EDX are read (PCMPESTRx) */
#define VK_ECX 0x80u  /* ECX is written (PCMPxSTRI) */
/* mem */
#define VM_LOAD 1u
#define VM_STORE 2u

/* A normalised instruction. No padding: compared and hashed as bytes. */
struct vec_desc {
	u8 enc[8]; /* the instruction for the stub's registers */
	u8 len;
	u8 ld, st; /* VO_* read and written in the register file */
	u8 kind;
	u8 mem;
	u8 mem_bytes;
	u8 align; /* alignment the memory operand must have, less one */
	u8 cls;
};
static_assert(sizeof(struct vec_desc) == 16, "vec_desc is a hash key");

/* Arguments: memory operand, then where VO_RM, VO_REG, VO_VVVV, VO_IS4 live. */
typedef u32 vec_fn(void *mem, void *rm, void *reg, void *vvvv, void *is4, struct soft_cpu *c);

struct vec_stub {
	vec_fn *fn;
	struct vec_desc d;
	struct vec_stub *next;
};

#define VEC_HASH 4096u
#define VEC_STUBS_MAX 12288u
#define VEC_CODE_BYTES (1u << 20)
#define VEC_STUB_MAX 128u

/* Per VM; everything but feat and the mappings is under lock. */
struct vec_stubs {
	u32 feat;    /* enum vec_feat the guest's CPUID offers */
	u8 *rw, *rx; /* the same memory: for writing, for execution */
	size_t bytes;
	vec_fn *fldenv, *frstor; /* of a 32-bit protected-mode image at [rdi] */
	vec_fn *fwait;
	vec_fn *mm_store[8]; /* MOVQ [rdi], mmN */

	pthread_mutex_t lock;
	size_t used; /* of VEC_CODE_BYTES; the vCPUs' scratch pages follow */
	unsigned nstubs;
	unsigned limit; /* VEC_STUBS_MAX, less in tests */
	struct vec_stub *hash[VEC_HASH];
	struct vec_stub *pool;
};

/* vec_stub.c */
/* The stub of d, made if need be; NULL when there is no room left: see vec_scratch_fn(). */
const struct vec_stub *vec_stub_get(struct vec_stubs *v, const struct vec_desc *d);
/* The stub of d, made anew in this vCPU's own scratch page. */
vec_fn *vec_scratch_fn(struct soft_cpu *c, const struct vec_desc *d);
/* Is the host's rip inside generated code? Async-signal-safe. */
bool vec_stub_contains(const struct soft_cpu *c, u64 rip);

/* vec_run.c */
/* Make u (and u[1] where there is no room for a stub) run d's stub: fn, ptr, osize. Returns how many uops. */
unsigned vec_uop(struct vec_stubs *v, const struct vec_desc *d, struct uop *u);
/* What the stub that u runs does; NULL: it runs none. */
const struct vec_desc *vec_desc_of(const struct uop *u);
/* FOP of an x87 instruction that has VC_X87_PTR. */
static inline u16 vec_x87_opcode(const struct uop *u)
{
	return (u16)(u->r0 | (u->r1 & 7) << 8);
}
/* Not to be executed: it belongs to the uop before it. */
bool vec_is_description(const struct uop *u);

#endif
