/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_emit.h - what the emitters do for each other while a block is being translated (jit_translation.h). Inside of
 * jit/.
 */
#ifndef MICA_SOFT_JIT_EMIT_H
#define MICA_SOFT_JIT_EMIT_H

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/jit/jit.h"
#include "cpu/soft/jit/jit_asm.h"
#include "cpu/soft/jit/jit_code.h"

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
/* What i, which has i->stack, moves RSP by: up, or down. */
unsigned jit_stack_bytes(const struct jit *j, const struct jinsn *i);
/* The memory operand's linear address into rax (may use rcx). */
void jm_address(struct jit *j, struct jinsn *i, const ZydisDecodedOperand *o);
/* After jm_address: check; leaves a host address as addr says. Flags are spoilt. Returns the stub to complete with
 * jm_done(), or NULL (too many). */
struct jstub *jm_check(struct jit *j, struct jinsn *i, unsigned bytes, bool write, unsigned addr);
/* ... align: low bits that must be zero, else the handler executes (and raises) it. */
struct jstub *jm_check_aligned(struct jit *j, struct jinsn *i, unsigned bytes, unsigned align, bool write,
			       unsigned addr);
/* ... where rax is in a segment that is not the memory operand's. */
struct jstub *jm_check_seg(struct jit *j, struct jinsn *i, unsigned bytes, bool write, unsigned addr, unsigned seg);
/* enum cpu_seg_name of a segment register. */
unsigned jm_seg(ZydisRegister r);
/* rax: an offset, of which the upper half is zero: the linear address. Not of 64-bit code. */
void jm_add_base(struct jit *j, unsigned seg);
/* The same for [base + disp] of the guest's stack, base a guest register. */
struct jstub *jm_stack(struct jit *j, struct jinsn *i, u8 base, s32 disp, unsigned bytes, bool write, unsigned addr);
static inline void jm_done(struct jit *j, struct jstub *s, bool load_flags)
{
	if (s) {
		s->next = j->n;
		s->load_flags = load_flags;
	}
}
const ZydisDecodedOperand *jm_operand(const struct jinsn *i);
void jm_emit_slow(struct jit *j, struct jstub *s);

/* ---- jit_insn.c ---- */
/* By i->row: fill kind, emit, mem, stack, and what is of vector instructions. */
void ji_classify(struct jit *j, struct jinsn *i);
/* Guest register into a host register of ours (or where it is), and back. */
unsigned j_reg(struct jit *j, unsigned g, unsigned scratch);
void j_set_reg(struct jit *j, unsigned g, unsigned h);

/* ---- jit_sysi.c ---- */
/* What PUSHF pushes, from memory into rcx. RFLAGS are spoilt. */
void js_pushed_rflags(struct jit *j);

/* ---- jit_flow.c ---- */
/* Go on at page offset `off`; live: flags wanted there. */
void jf_fall(struct jit *j, s64 off, u16 live);
/* ... by a branch; always, on condition cc, or to RIP rax with flags in c->fl. False: too many stubs. */
void jf_go(struct jit *j, s64 off, u16 live);
bool jf_go_if(struct jit *j, struct jinsn *i, s64 off, u16 live, unsigned cc);
void jf_go_rax(struct jit *j, const struct jinsn *i, unsigned undo);
void jf_emit_link(struct jit *j, struct jstub *s);
void jf_emit_jump(struct jit *j, struct jstub *s);
/* Is the instruction a branch; where to, from the block's page: */
bool jf_target(struct jit *j, const struct jinsn *i, s64 *rel);

/* ---- jit_translate.c ---- */
static inline const struct uop *j_uop(const struct jit *j, const struct jinsn *i)
{
	return &j->b->op[i->uop];
}
struct jstub *j_stub(struct jit *j, enum jstub_kind k);
bool j_keeps_rcx(const struct jit *j, const struct jinsn *i);
void j_call_uop(struct jit *j, struct jinsn *i);

/* ---- jit_vec.c ---- */
/* An instruction that no row tells of: take it if it is a vector or x87 instruction. */
void jit_vec_classify(struct jit *j, struct jinsn *i);
/* It is one, and VEC_OK_* of it must be allowed to run. */
void jv_take(struct jit *j, struct jinsn *i, unsigned ok);
/* Here is an instruction that may raise on the host what the guest's raises (#DE, #MF, #XM): call it just before. */
void jit_fault_site(struct jit *j, const struct jinsn *i);
/* Before anything that could look at c->fip and its like. Keeps RFLAGS, spoils rax. */
void jv_note_x87(struct jit *j);

#endif
