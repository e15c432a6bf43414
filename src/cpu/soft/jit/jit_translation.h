/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_translation.h - a block while it is being translated: its instructions, the out-of-line pieces that are still to
 * be emitted, and the buffer that the code comes into. Inside of jit/.
 */
#ifndef MICA_SOFT_JIT_TRANSLATION_H
#define MICA_SOFT_JIT_TRANSLATION_H

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/decode/memo.h"
#include "cpu/soft/jit/jit.h"
#include "cpu/soft/vm.h"

#define JIT_INSNS BLOCK_INSNS_MAX
#define JIT_BUF 49152u
#define JIT_STUBS 400u
#define JIT_FAULTS (4u * JIT_INSNS) /* two an instruction, in two versions */

/* ---- flags ---- */
#define JF_ALL FL_STATUS

struct jflags {
	u16 read; /* or kept from before where the instruction writes others */
	u16 kill; /* written whatever they were */
	bool writes;
};

enum jkind {
	JK_UOP,     /* by the interpreter's handler */
	JK_NATIVE,  /* by the generic re-encoder */
	JK_SPECIAL, /* by an emitter of its own */
	JK_END,     /* the interpreter's handler, which ends the block */
};

struct jit;
struct jit_row;
struct jinsn {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 bytes[MEMO_BYTES];
	u16 off;
	u8 uop, nuops;
	bool end;
	const struct jit_row *row; /* NULL: it has none */
	enum jkind kind;
	bool (*emit)(struct jit *j, struct jinsn *i); /* JK_SPECIAL; false: give up the block */
	struct jflags fl;
	u16 live_in, live_out, live_target;
	bool mem;   /* accesses memory through the TLB */
	bool stack; /* a push or pop of a register or a constant, a call or return */
	u8 how;     /* JSLOW_WAITS, or 0 */
	u8 align;   /* low bits that its operand's address must not have, if jit_vec.c's */
	/* jit_group.c */
	enum { JG_NONE, JG_LEADER, JG_FOLLOWER } group;
	u8 group_slot, group_class, group_base, group_align;
	bool group_write, group_lead_writes;
	s32 group_lo; /* of a leader's range, from its base register */
	/* Of a leader: where the plain version takes over, and what holds there. */
	u32 plain;
	u8 mode;
	const struct jinsn *x87;
	bool traps; /* may raise on the host: has a jfault */
	bool vec;   /* jit_vec.c's: what is to be noted of x87 instructions before may wait */
};

/* Out-of-line pieces, emitted after the block's body. */
enum jstub_kind { JS_SLOW, JS_GROUP, JS_LINK, JS_JUMP, JS_EXIT_UOP, JS_PENDING, JS_UOP, JS_NEED_VEC, JS_RARE };
#define JIT_MORE 4u
struct jstub {
	enum jstub_kind kind;
	u32 from;           /* offset in buf of the rel32 that goes here */
	u32 more[JIT_MORE]; /* JS_UOP: others, or 0; JS_GROUP: [0]: it is where 32-bit addresses may wrap */
	u32 from2;          /* JS_GROUP: a misaligned one, which takes each access by itself; or 0 */
	u32 resume;         /* JS_SLOW: offset in buf to return to with the host address */
	u32 next;           /* JS_SLOW, JS_UOP, JS_RARE: offset in buf after the instruction */
	struct jinsn *i;
	u8 addr; /* JS_SLOW: JA_* */
	u8 bytes;
	u8 how;
	bool load_flags; /* JS_SLOW, JS_UOP: after the handler executed the instruction, RFLAGS must hold its flags */
	u8 mode;         /* way of looking there */
	bool fl_reg, fl_mem; /* where the flags are when it is entered */
	s64 rel;             /* JS_LINK, JS_JUMP: RIP less vpage */
	bool far;            /* JS_LINK: to E_FAR */
	bool save;           /* JS_LINK: RFLAGS are to be saved before */
	bool falls;          /* JS_JUMP: not a branch, so that IP is not cut to its size */
	u32 limit;           /* JS_SLOW: as from, where a segment does not reach so far; or 0 */
	void (*address)(struct jit *j, struct jinsn *i); /* JS_SLOW: as jm_address(), or NULL */
	bool (*emit)(struct jit *j, struct jstub *s);    /* JS_RARE: the code, which does not return; false: no room */
	bool explicit_lin; /* JS_SLOW: the address is lin_base + lin_disp, not the memory operand's */
	u8 lin_base;
	s32 lin_disp;
};

struct jit {
	struct soft_cpu *c;
	struct soft_vm *vm;
	struct jit_code *code;
	struct block *b;
	u32 ref;           /* of b */
	u8 mode;           /* enum tlb_index */
	u8 key;            /* of b: MODE_* */
	unsigned page_off; /* of the block's start */
	const u8 *page;    /* guest bytes of the page */
	u8 *buf;
	u32 n;
	u64 pc0;  /* where buf[0] will be executed */
	u32 off0; /* ... as an offset in the code memory */
	bool fail;
	bool exact;
	bool fl_reg, fl_mem;
	u32 near, far;
	bool both;  /* groups failed often here: a version without them follows in the code */
	bool plain; /* ... and is being emitted */
	unsigned ninsns, nstubs;
	u8 end_uop;              /* see struct jit_block */
	u16 peek_lo, peek_hi;    /* struct jit_block */
	u8 peek[PAGE_BYTES];     /* the page as it was when that was looked at; peek_hi 0: not yet */
	bool blind;              /* it changed meanwhile: do without */
	u8 vec_need;             /* JIT_VEC_*: what must be live */
	const struct jinsn *x87; /* whose place is not in c->fip yet */
	u8 addend;               /* 1 + the group whose addend is in rcx, between vector instructions; 0: none */
	unsigned nfaults;
	struct jfault fault[JIT_FAULTS];
	struct jinsn insn[JIT_INSNS];
	struct jinsn *constant; /* jit_constant.h; NULL: none */
	struct jstub none;      /* what a follower's check returns */
	struct jstub stub[JIT_STUBS];
};

/* ---- what code is translated ---- */
static inline bool j_code64(const struct jit *j)
{
	return j->key & MODE_CODE64;
}
static inline bool j_code16(const struct jit *j)
{
	return !(j->key & (MODE_CODE64 | MODE_CODE32));
}
/* Has the segment a base that may not be 0? */
static inline bool j_has_base(const struct jit *j, unsigned seg)
{
	return seg == SEG_FS || seg == SEG_GS || !(j->key & (MODE_CODE64 | MODE_FLAT));
}

#endif
