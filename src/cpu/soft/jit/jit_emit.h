/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_emit.h - what jit_*.c share while a block is being translated: the translation in progress,
 * and an assembler as small as it can be.
 */
#ifndef MICA_SOFT_JIT_EMIT_H
#define MICA_SOFT_JIT_EMIT_H

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/jit/jit.h"
#include "cpu/soft/decode/memo.h"

/* Host registers by their numbers in encodings. */
enum {
	H_RAX,
	H_RCX,
	H_RDX,
	H_RBX,
	H_RSP,
	H_RBP,
	H_RSI,
	H_RDI,
	H_R8,
	H_R9,
	H_R10,
	H_R11,
	H_R12,
	H_R13,
	H_R14,
	H_R15,
	H_NONE
};

/* Guest register -> host register, H_NONE: in c->gpr[]. */
extern const u8 jit_hreg[16];

#define JIT_INSNS BLOCK_INSNS_MAX
#define JIT_BUF 49152u
#define JIT_STUBS 400u
#define JIT_FAULTS (4u * JIT_INSNS) /* two an instruction, in two versions */

/* Offset of a field from rsp. */
#define C_OFF(field) ((s32)offsetof(struct soft_cpu, field))

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
struct jinsn {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 bytes[MEMO_BYTES];
	u16 off;
	u8 uop, nuops;
	bool end;
	enum jkind kind;
	bool (*emit)(struct jit *j, struct jinsn *i); /* JK_SPECIAL; false: give up the block */
	struct jflags fl;
	u16 live_in, live_out, live_target;
	bool mem;   /* accesses memory through the TLB */
	bool stack; /* a push or pop of 8 bytes, a call or return */
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
enum jstub_kind { JS_SLOW, JS_GROUP, JS_LINK, JS_JUMP, JS_EXIT_UOP, JS_PENDING, JS_UOP, JS_NEED_VEC };
#define JIT_MORE 4u
struct jstub {
	enum jstub_kind kind;
	u32 from;           /* offset in buf of the rel32 that goes here */
	u32 more[JIT_MORE]; /* JS_UOP: others, or 0 */
	u32 from2;          /* JS_GROUP: a misaligned one, which takes each access by itself; or 0 */
	u32 resume;         /* JS_SLOW: offset in buf to return to with the host address */
	u32 next;           /* JS_SLOW, JS_UOP: offset in buf after the instruction */
	struct jinsn *i;
	u8 addr; /* JS_SLOW: JA_* */
	u8 bytes;
	u8 how;
	bool load_flags; /* JS_SLOW, JS_UOP: after the handler executed the instruction, RFLAGS must hold its flags */
	u8 mode;         /* way of looking there */
	bool fl_reg, fl_mem;                             /* where the flags are when it is entered */
	s64 rel;                                         /* JS_LINK, JS_JUMP: RIP less vpage */
	bool far;                                        /* JS_LINK: to E_FAR */
	bool save;                                       /* JS_LINK: RFLAGS are to be saved before */
	void (*address)(struct jit *j, struct jinsn *i); /* JS_SLOW: as jm_address(), or NULL */
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
	struct jstub none; /* what a follower's check returns */
	struct jstub stub[JIT_STUBS];
};

/* ---- bytes ---- */
static inline void e8(struct jit *j, unsigned v)
{
	if (j->n < JIT_BUF)
		j->buf[j->n++] = (u8)v;
	else
		j->fail = true;
}
static inline void e32(struct jit *j, u32 v)
{
	for (unsigned i = 0; i < 4; i++, v >>= 8)
		e8(j, v & 0xff);
}
static inline void e64(struct jit *j, u64 v)
{
	e32(j, (u32)v);
	e32(j, (u32)(v >> 32));
}
static inline void eb(struct jit *j, const void *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		e8(j, ((const u8 *)p)[i]);
}
#define EB(j, ...) eb(j, (const u8[]){ __VA_ARGS__ }, sizeof((u8[]){ __VA_ARGS__ }))

static inline void patch32(struct jit *j, u32 at, u32 v)
{
	if (at + 4 <= JIT_BUF)
		st_le32(j->buf + at, v);
}
/* The rel32 at `at` shall go to offset `to`. */
static inline void patch_to(struct jit *j, u32 at, u32 to)
{
	patch32(j, at, to - (at + 4));
}

static inline void rex(struct jit *j, bool w, unsigned reg, unsigned index, unsigned base)
{
	unsigned v = 0x40 | w << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;

	if (v != 0x40)
		e8(j, v);
}

/* modrm for register reg, and memory at [base + disp]. */
static inline void modrm_disp(struct jit *j, unsigned reg, unsigned base, s32 disp)
{
	unsigned mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (s8)disp ? 1 : 2;

	e8(j, mod << 6 | (reg & 7) << 3 | (base & 7));
	if ((base & 7) == 4)
		e8(j, 0x24);
	if (mod == 1)
		e8(j, (u8)disp);
	else if (mod == 2)
		e32(j, (u32)disp);
}

/* op reg, [base + disp], of 8 or 4 bytes */
static inline void op_rm(struct jit *j, bool w, unsigned op, unsigned reg, unsigned base, s32 disp)
{
	rex(j, w, reg, 0, base);
	e8(j, op);
	modrm_disp(j, reg, base, disp);
}
static inline void op_rr(struct jit *j, bool w, unsigned op, unsigned reg, unsigned rm)
{
	rex(j, w, reg, 0, rm);
	e8(j, op);
	e8(j, 0xc0 | (reg & 7) << 3 | (rm & 7));
}
static inline void e_mov(struct jit *j, unsigned dst, unsigned src)
{
	if (dst != src)
		op_rr(j, true, 0x8b, dst, src);
}
static inline void e_mov32(struct jit *j, unsigned dst, unsigned src)
{
	op_rr(j, false, 0x8b, dst, src);
}
static inline void e_ld(struct jit *j, unsigned dst, s32 off)
{
	op_rm(j, true, 0x8b, dst, H_RSP, off);
}
static inline void e_st(struct jit *j, unsigned src, s32 off)
{
	op_rm(j, true, 0x89, src, H_RSP, off);
}
static inline void e_lea(struct jit *j, unsigned dst, unsigned base, s32 disp)
{
	if (!disp)
		e_mov(j, dst, base);
	else
		op_rm(j, true, 0x8d, dst, base, disp);
}
static inline void e_movi(struct jit *j, unsigned dst, u64 v)
{
	if (v == (u32)v) {
		rex(j, false, 0, 0, dst);
		e8(j, 0xb8 | (dst & 7));
		e32(j, (u32)v);
	} else if ((u64)(s64)(s32)v == v) {
		rex(j, true, 0, 0, dst);
		e8(j, 0xc7);
		e8(j, 0xc0 | (dst & 7));
		e32(j, (u32)v);
	} else {
		rex(j, true, 0, 0, dst);
		e8(j, 0xb8 | (dst & 7));
		e64(j, v);
	}
}
/* ALU group 1 with an immediate: op as in /op */
static inline void e_alui(struct jit *j, bool w, unsigned op, unsigned dst, s32 v)
{
	rex(j, w, 0, 0, dst);
	if (v == (s8)v) {
		e8(j, 0x83);
		e8(j, 0xc0 | op << 3 | (dst & 7));
		e8(j, (u8)v);
	} else {
		e8(j, 0x81);
		e8(j, 0xc0 | op << 3 | (dst & 7));
		e32(j, (u32)v);
	}
}
/* Jumps with a rel32 to be patched: where that is. */
static inline u32 e_jmp(struct jit *j)
{
	e8(j, 0xe9);
	e32(j, 0);
	return j->n - 4;
}
static inline u32 e_jcc(struct jit *j, unsigned cc)
{
	e8(j, 0x0f);
	e8(j, 0x80 | cc);
	e32(j, 0);
	return j->n - 4;
}
/* Absolute target in the code memory. */
static inline void e_call_to(struct jit *j, const u8 *to)
{
	e8(j, 0xe8);
	e32(j, (u32)((u64)(uintptr_t)to - (j->pc0 + j->n + 4)));
}
static inline void e_jmp_to(struct jit *j, const u8 *to)
{
	e8(j, 0xe9);
	e32(j, (u32)((u64)(uintptr_t)to - (j->pc0 + j->n + 4)));
}
void e_nops(struct jit *j, unsigned n);

#define CC_B 2u
#define CC_Z 4u
#define CC_AE 3u
#define CC_NZ 5u
#define CC_A 7u

/* ---- jit_code.c: routines in the code memory ---- */
#define JIT_UNGROUPED 4096u
static inline unsigned jit_ungrouped_hash(u64 phys)
{
	return (unsigned)(phys * 0x9e3779b97f4a7c15ull >> 52);
}
struct jit_code {
	u8 *rw, *rx;
	size_t bytes;
	u32 used, used0;      /* after the routines */
	pthread_mutex_t lock; /* translating */
	bool rorx;
	bool avx;
	bool exact;
	u32 heat; /* executions before a block is translated */
	u8 *r_enter, *r_slow, *r_uop, *r_exit_uop, *r_end, *r_exit_group, *r_exit_rip, *r_dead_far, *r_dead_near,
	    *r_link, *r_lookup, *r_vec_save, *r_vec_load, *r_vec_load_low, *r_need_vec, *r_fault;
	struct jit *scratch;
	struct jindex {
		u32 at, block;        /* offset of the code; reference */
	} * index;                    /* in the order of their code */
	u32 ungrouped[JIT_UNGROUPED]; /* by hash: blocks (RAM offset) whose groups failed too often */
	u32 nindex, index_max;
	u64 translations, refused, unlinked;
	int perf_fd;
};

/* Was a block at RAM offset phys translated, and dropped because its groups failed? */
static inline bool jit_was_hot(const struct soft_vm *vm, u64 phys)
{
	return vm->jit->ungrouped[jit_ungrouped_hash(phys)] == (u32)(phys >> 2) + 1;
}
/* The block whose code contains pc; async-signal-safe. */
struct block *jit_block_of(const struct soft_vm *vm, u64 pc);

/* ---- jit_flags.c ---- */
struct jflags jit_flags_of(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops);
void jit_liveness(struct jit *j);
/* RFLAGS -> c->fl (spoils rax), and back (spoils rax). */
void e_flags_save(struct jit *j);
void e_flags_load(struct jit *j);
/* Make c->fl or RFLAGS valid, if any flag of `mask` is wanted. */
void j_need_mem(struct jit *j, u16 mask);
void j_need_reg(struct jit *j, u16 mask);
/* RFLAGS are spoilt. */
static inline void j_spoil(struct jit *j)
{
	j->fl_reg = false;
}

/* Flags that must be in RFLAGS when the instruction executes. */
static inline u16 j_flags_in(const struct jinsn *i)
{
	return i->fl.read | (i->fl.writes ? i->live_out & (u16)~i->fl.kill : 0);
}
static inline void j_wrote_flags(struct jit *j, const struct jinsn *i)
{
	if (i->fl.writes) {
		j->fl_reg = true;
		j->fl_mem = false;
	}
}

/* ---- jit_mem.c ---- */
enum { JA_RAX, JA_RAX_RCX, JA_RCX };
/* Is there no check, because the leader's covers it? */
static inline bool jm_follows(const struct jit *j, const struct jinsn *i)
{
	return !j->plain && i->group == JG_FOLLOWER;
}
/* Here a failed leader comes in; flags are in c->fl. */
static inline void jm_plain_entry(const struct jit *j, struct jinsn *i)
{
	if (j->plain && i->group == JG_LEADER)
		i->plain = j->n;
}
/* The check of i's group, if i is its leader. False: too many stubs. */
bool jm_lead(struct jit *j, struct jinsn *i);
/* The group's addend into a host register. */
void jm_addend(struct jit *j, const struct jinsn *i, unsigned h);
/* ... into rcx, unless it is still there; jm_lead() leaves it there. */
void jm_addend_rcx(struct jit *j, const struct jinsn *i);
void jm_emit_group(struct jit *j, struct jstub *s);
void jit_group(struct jit *j);
/* The memory operand's linear address into rax (may use rcx). */
void jm_address(struct jit *j, struct jinsn *i, const ZydisDecodedOperand *o);
/* After jm_address: check; leaves a host address as addr says. Flags are spoilt. Returns the stub to complete with
 * jm_done(), or NULL (too many). */
struct jstub *jm_check(struct jit *j, struct jinsn *i, unsigned bytes, bool write, unsigned addr);
/* ... align: low bits that must be zero, else the handler executes (and raises) it. */
struct jstub *jm_check_aligned(struct jit *j, struct jinsn *i, unsigned bytes, unsigned align, bool write,
			       unsigned addr);
/* The same for [base + disp] of the guest's stack, base a guest register. */
struct jstub *jm_stack(struct jit *j, struct jinsn *i, u8 base, s32 disp, unsigned bytes, bool write, unsigned addr);
static inline void jm_done(struct jit *j, struct jstub *s, bool load_flags)
{
	if (s) {
		s->next = j->n;
		s->load_flags = load_flags;
	}
}
bool jm_lea(struct jit *j, struct jinsn *i);
const ZydisDecodedOperand *jm_operand(const struct jinsn *i);
void jm_emit_slow(struct jit *j, struct jstub *s);

/* ---- jit_insn.c ---- */
/* Fill kind, emit, mem. */
void ji_classify(struct jit *j, struct jinsn *i);
bool ji_native(struct jit *j, struct jinsn *i);
/* Guest register into a host register of ours (or where it is), and back. */
unsigned j_reg(struct jit *j, unsigned g, unsigned scratch);
void j_set_reg(struct jit *j, unsigned g, unsigned h);

/* ---- jit_flow.c ---- */
bool jit_flow_classify(struct jit *j, struct jinsn *i);
/* Go on at page offset `off`; live: flags wanted there. */
void jf_fall(struct jit *j, s64 off, u16 live);
void jf_emit_link(struct jit *j, struct jstub *s);
void jf_emit_jump(struct jit *j, struct jstub *s);
/* Is the instruction a branch; where to, from the block's page: */
bool jf_target(struct jit *j, const struct jinsn *i, s64 *rel);

/* ---- jit_translate.c ---- */
struct jstub *j_stub(struct jit *j, enum jstub_kind k);
bool j_keeps_rcx(const struct jit *j, const struct jinsn *i);
void j_call_uop(struct jit *j, struct jinsn *i);
void j_exit_uop(struct jit *j, struct jinsn *i);

/* ---- jit_perf.c ---- */
int jit_perf_open(struct jit_code *k, struct err *e);
/* Name code for perf, where that is wished. */
void jit_perf_name(struct jit_code *k, const u8 *code, u32 bytes, const char *name, ...);

/* ---- jit_vec.c ---- */
bool jit_vec_classify(struct jit *j, struct jinsn *i);
/* Here is an instruction that may raise on the host what the guest's raises (#DE, #MF, #XM): call it just before. */
void jit_fault_site(struct jit *j, const struct jinsn *i);
/* Before anything that could look at c->fip and its like. Keeps RFLAGS, spoils rax. */
void jv_note_x87(struct jit *j);

#endif
