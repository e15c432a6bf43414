/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_state.h - what the translator (jit/jit.h) keeps in each vCPU and each block. It is on the ground floor because
 * translated code addresses it from the vCPU, which rsp points to; only jit/ gives it its meaning. Others read
 * in_uop, vec_live and ref of struct jit_cpu, and far, mode, peek_lo, peek_hi of struct jit_block.
 */
#ifndef MICA_SOFT_JIT_STATE_H
#define MICA_SOFT_JIT_STATE_H

#include "base/base.h"

struct block;
struct jit_check;
struct uop;

/* ---- first-level TLB of translated code ---- */
#define JTLB_BITS 10
#define JTLB_SIZE (1u << JTLB_BITS)
#define JTLB_MODES 3 /* TLB_USER, TLB_SUPER, TLB_SUPER_AC */
/* In arrays of their own, so that the slot's number scaled by 8 finds each. */
struct jtlb {
	u64 tag[JTLB_SIZE];    /* page address; for an empty slot a page that belongs to another slot */
	u64 host[JTLB_SIZE];   /* where the page is */
	u64 addend[JTLB_SIZE]; /* host less tag */
};
/* The page of the stack, for accesses of up to 8 bytes; it may be read and written. */
struct jtlb_stack {
	u64 tag, host, addend;
	/* Offsets below it are served, of 8, 64 and JTLB_GROUP_MAX bytes; 0: empty. [3..5]: to groups of 32-bit code.
	 * [6], [7]: of 2 and 4 bytes, for stacks that end where their page does. */
	u64 limit[8];
};
#define JTLB_GROUP_MAX 256u
/* Where groups of 32-bit code may be: so far from both ends of 4 GiB that no address of theirs wraps, see jit_group.c.
 */
#define JTLB_GROUP32_START 4096u
#define JTLB_GROUP32_SPAN ((1ull << 32) - 2 * JTLB_GROUP32_START)
static inline unsigned jtlb_slot(u64 lin)
{
	return (unsigned)(lin >> 12 ^ (lin >> 20 & 0xff)) & (JTLB_SIZE - 1); /* buffers 8 MiB apart do not meet */
}
/* A page that has another slot, whichever of two bits of its number are changed by its upper bits. */
static inline u64 jtlb_none(unsigned slot)
{
	return (u64)(slot ^ 16) << 12;
}

/* ---- jump cache of translated code: RIP to E_FAR ---- */
#define JJ_SIZE 65536u
#define JJ_RUN 32u /* slots of a table that are emptied together */
#define JJ_PAGES 4096u
#define JIT_SPACES 8                                                       /* SPACE_COUNT */
enum { JJ_SUPER_AC, JJ_USER, JJ_SUPER = JJ_USER + JIT_SPACES, JJ_TABLES }; /* JJ_USER: one for each address space */
struct jj_table {
	struct jj_entry {
		u64 rip, code;
	} e[JJ_SIZE];
};
static inline unsigned jj_slot(u64 rip)
{
	return (unsigned)(rip ^ (rip >> 12)) >> 1 &
	       (JJ_SIZE - 1); /* bit 0: so that no shift is needed, see jump_to_rax() */
}
/*
 * For an empty slot: a RIP that belongs to another one. Guests may branch to any, ~0 and non-canonical ones too. Nearly
 * always 0, so that tables that are not used take no memory.
 */
static inline u64 jj_none(unsigned slot)
{
	return slot ? 0 : 2;
}

/* Why translated code was left. */
enum jit_exit {
	JX_PENDING, /* something waits: an interrupt, a stop, a step */
	JX_DEAD,    /* the block was dropped */
	JX_COLD,    /* what comes next is not translated (yet) */
	JX_SYSTEM,  /* an instruction that is the interpreter's, or what it led to: by mnemonic in ends[] */
	JX_MEMORY,  /* a branch whose memory operand or stack is not in the TLB and cannot be */
	JX_VECTOR,  /* vector registers may not be used now */
	JX_COUNT,
};
/* Counters; the vCPU's thread writes them, anyone reads. None is touched on a hot path. */
struct jit_counts {
	u64 exit[JX_COUNT];
	u64 walks; /* of jit_cpu.slow: not in the second level either */
	u64 crossings, mmio,
	    others; /* of jit_cpu.slow_uop: over a page's end, no RAM, and a page with code on it or watched */
	u64 insns;  /* translated */
	u64 translate_ns;
	u32 *handlers, *ends; /* by ZydisMnemonic: executed by a handler from within translated code; left for */
};

#define JIT_RUN_UOPS 2
#define JIT_GROUPS 8u

/* Per vCPU; part of struct soft_cpu, and addressed from rsp by translated code. */
struct jit_cpu {
	u64 vpage;    /* RIP where the running block's page begins */
	u64 host_rsp; /* the C stack, below jit_enter's frame */
	u64 ret;      /* where the routine in use goes back to */
	u64 tmp;      /* of one instruction */
	struct {
		u32 block;
		u8 uop, how, vec;
	} fault;                      /* for jit_fault() */
	u32 vec_live;                 /* JIT_VEC_*: xmm/ymm registers are the guest's, and what may run; else 0 */
	bool in_uop;                  /* a handler runs on behalf of translated code: soft_leave() returns to it */
	bool ran;                     /* ... and came to its end */
	const struct block *in_block; /* ... of this block */
	struct jtlb_stack stack[JTLB_MODES];
	/* Of a page with code on it a piece without, where stores need not go to C; one vCPU. See INV-JIT-5. */
	struct {
		const void *tlb; /* c->tlb it is for */
		u64 start, len;  /* linear addresses; len: less what the longest access needs; 0: none */
		u64 addend;
	} beside;
	u64 group[JIT_GROUPS]; /* addends of jit_group.c; [0] the stack's */
	u64 group32_span;      /* JTLB_GROUP32_SPAN: an operand in memory is shorter than two instructions */
	struct jtlb rd[JTLB_MODES], wr[JTLB_MODES];
	u64 jj_bias; /* from jj[JJ_USER] to the table of the address space in use, in eights of bytes */
	struct jj_table jj[JJ_TABLES];
	/* What may be there, so that forgetting costs no more than learning did. */
	u64 filled[JTLB_MODES][JTLB_SIZE / 64];
	u64 jj_filled[JJ_TABLES][JJ_SIZE / JJ_RUN / 64]; /* a bit for each run */
	u64 jj_pages[JJ_TABLES][JJ_PAGES / 64];          /* by hash of the page */
	u8 jj_halves[JJ_TABLES];                         /* 1: of user code, 2: of kernel code */
	struct uop *run;                                 /* JIT_RUN_UOPS + 1 */
	const struct uop *exit_uop;                      /* JSLOW_LEFT */
	struct block *refused; /* to be interpreted once: it may not use vector registers now */
	u64 slow, slow_uop, uops, lookups, links, entries, translated; /* statistics */
	struct jit_counts n;
	struct jit_check *check; /* jit_check.c; NULL: no comparing */
	struct jit_check *ref;   /* ... and the reference is being executed */
};

#define JIT_VEC_SSE 1u
#define JIT_VEC_AVX 2u
#define JIT_VEC_X87 4u
#define JIT_VEC_BOTH 8u /* SSE and AVX */

/* ---- translated code of a block ---- */
struct jit_block {
	u8 *near;  /* as far */
	u32 start; /* of the code: offset in the code memory */
	u32 bytes;
	u32 in;               /* links that go here: offset of the first one's jlink, 0 none */
	u16 nfaults;          /* struct jfault, at the end of the code */
	u16 peek_lo, peek_hi; /* page offsets of bytes after branches that the translation relies on */
	u8 mode;              /* enum tlb_index it was translated for */
	u8 misses;            /* of groups */
	u8 end_uop;           /* that is always left to the interpreter, and the last; 0: none */
	u8 check;             /* jit_check.c */
	u32 runs;
	u8 *far; /* entries (rx); NULL: not translated */
};

#endif
