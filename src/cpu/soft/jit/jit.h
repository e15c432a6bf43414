/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit.h - the translator: hot blocks become host code. Inside of the software engine.
 *
 * Theory of operation
 *
 *     cold block ──(interpreted, counted)──▶ hot block ──jit_translate()──▶ host code
 *     uops, exec*.c                          op[0] = op_jit_heat            op[0] = op_jit_enter
 *
 * Guest and host are the same architecture, so an instruction is translated by encoding it again with
 * other registers. Only memory operands (software TLB), control flow and privileged instructions change.
 *
 * Registers in translated code:
 *   rsp        the vCPU, struct soft_cpu; the memory below it is spare room (signals, calls of ours)
 *   rax, rcx   scratch
 *   others     guest registers, jit_hreg[]; guest R10, R11 and R15 stay in c->gpr[]
 *   xmm/ymm    the guest's while c->jit.vec_live, else they are in c->vec
 *   x87, MXCSR the guest's, as everywhere inside soft_run()
 *
 * RIP: translations are position independent. c->jit.vpage is RIP at the start of the page that the running block
 * begins in (its linear address, less CS's base outside of 64-bit code); RIP is vpage plus an offset known at
 * translation. It changes only where control goes to another page.
 *
 * Other code than 64-bit: a block's key (soft_code_key()) says what its translation may rely on: the size of code and
 * of the stack, and whether the segments are flat. With flat segments nothing is added to an address or compared, but
 * for FS and GS. Otherwise the base is added, and the access compared with what the segment allows for certain
 * (c->seg_end[]); what that does not allow is the handler's, which knows all the rules. The upper half of a register
 * that 32 bits were written to is zero, as in the interpreter. The jump cache has keys instead of RIP: linear address
 * and soft_key_salt(). Whoever loads a segment leaves the block if the key is another one then (jit_execute()).
 *
 * Entries: a translation can be entered in two ways. At E_NEAR the six status flags are in RFLAGS: branches inside the
 * page go there. At E_FAR they are in c->fl, and c->pending is looked at: everything else goes there.
 *
 * Flags: a TLB check changes RFLAGS, so the translator finds out which flags are still needed and saves (LAHF, SETO)
 * and loads only those. Flags that are overwritten before anything reads them are not kept: an exception or interrupt
 * in between shows other values than hardware would (INV-JIT-3). With translate=exact every access keeps them, so that
 * tests can compare.
 *
 * Memory: a load is
 *     lea  rax, [address]
 *     rorx rcx, rax, 12; xor cl, ch; and ecx, 1023     slot of the page
 *     sub  rax, [rsp + rcx*8 + tags]         offset in the page, if the tag is the page's
 *     cmp  rax, 4096 - bytes; ja slow        misses, and accesses that cross the page
 *     mov  rcx, [rsp + rcx*8 + hosts]
 *     mov  reg, [rax + rcx]
 * There is a first-level TLB (struct jtlb) for each of user, supervisor, and supervisor with EFLAGS.AC; it is filled
 * from the interpreter's TLB. An access that it does not serve goes to jit_slow(), which either fills the TLB and
 * returns a host address, or has the interpreter's handler execute the instruction. So the interpreter does MMIO,
 * faults, accesses across pages, and self-modifying code.
 *
 * Control flow: a direct branch inside the page is a host jump once its target is translated (struct jlink).
 * Everything else goes through the jump cache c->jit.jj, RIP to host code. So does what follows SYSCALL, IRETQ, MOV CR3
 * and their like (jit_end()): translated code calls their handler, and goes on in the other ring.
 *
 * INV-JIT-1: translated code leaves at the next E_FAR or backward branch when c->pending is set.
 * INV-JIT-2: the code of a dead block leaves at its entries: they are overwritten, as a whole and atomically,
 *            with a call that leaves. Memory is reused only with the whole arena (INV-CACHE-3).
 * INV-JIT-3: see Flags.
 * INV-JIT-4: code is written through `rw` and executed through `rx`; no page is ever both.
 * INV-JIT-5: no block that is alive or running has bytes in jit_cpu.beside. That range is emptied when anything is
 *            decoded, when a translation comes to rely on bytes, and with the TLB.
 * INV-JIT-6: see jit_group.c.
 *
 * Files. The code memory: jit_code.c, with the routines in it, jit_routines.c. A translation: jit_translate.c a block,
 * jit_rows.c which way an instruction goes, jit_insn.c that it goes it. Its emitters: jit_native.c with jit_encode.c
 * for what is encoded again, jit_constant.c for what of that the guest patches, jit_insn.c, jit_muldiv.c, jit_bits.c,
 * jit_string.c, jit_sysi.c, jit_vec.c, jit_flow.c (branches), jit_legacy.c (branches and the stack outside of 64-bit
 * code); jit_mem.c the operand in memory, jit_group.c operands near each other, jit_flags.c what reads and writes
 * flags; jit_asm.h and host_opcodes.h the assembler. While translated code runs: jit_run.c what it calls, jit_next.c
 * where it goes on, jit_follow.c its caches. jit_check.c the self-check.
 */
#ifndef MICA_SOFT_JIT_H
#define MICA_SOFT_JIT_H

#include "cpu/soft/jit/jit_check.h"
#include "cpu/soft/vm.h"

/* Data behind a call of a routine, in the code. */
struct jsite_slow {
	u32 block; /* arena reference */
	u8 uop, nuops;
	u8 bytes;
	u8 how; /* JSLOW_* */
} __attribute__((packed));
#define JSLOW_WRITE 1u
#define JSLOW_STACK 2u
#define JSLOW_END 4u             /* the handler ends the block: leave to it */
#define JSLOW_GROUP 64u          /* only bring the page in; 0: it cannot serve the group */
#define JSLOW_LEADER_WRITES 128u /* with JSLOW_GROUP: the access itself, not only a later one */
#define JSLOW_RUN 128u   /* without: the first of several stores, up to the page's end, which must have no code */
#define JSLOW_ALIGNED 8u /* misaligned: the handler raises #GP */
#define JSLOW_WAITS 16u  /* #MF comes before what the access raises: the handler knows */
#define JSLOW_X87 32u    /* c->fip lags behind: see x87_settle() */
/* What jit_slow() returns besides a host address. */
enum jslow_result {
	JSLOW_DONE, /* the instruction was executed: on with the next one */
	JSLOW_LEFT, /* leave: at c->jit.exit_uop */
};

struct jsite_uop {
	u32 block;
	u8 uop, nuops;
	union {
		u16 mnemonic; /* ZydisMnemonic, for statistics: r_uop, r_exit_uop, r_end */
		struct {
			u8 how; /* JSLOW_*, of the group's leader */
		} group;        /* r_exit_group */
		struct {
			u8 need; /* JIT_VEC_*: what must be live */
		} vec;           /* r_need_vec */
		struct {
			u8 undo; /* what the branch has added to RSP */
		} jump;          /* r_lookup */
	};
} __attribute__((packed));

_Static_assert(sizeof(struct jsite_uop) == 8, "the routines step over it");

/* A place in a block's code where the host may raise what the guest's instruction raises. */
struct jfault {
	u16 at; /* offset from the block's code */
	u8 uop;
	u8 how; /* JFAULT_* */
};
#define JFAULT_RFLAGS 1u /* the flags are in RFLAGS, not in c->fl */
#define JFAULT_X87 2u    /* as JSLOW_X87 */

struct jlink {
	u32 block;  /* that the jump is in */
	u32 imm;    /* offset in the code memory of the jump's rel32 */
	u32 next;   /* in the list of its target */
	u16 target; /* page offset */
	u8 far;     /* to E_FAR: flags are in c->fl, or c->pending must be looked at */
	u8 head;    /* bytes from the stub's start to here */
} __attribute__((packed));

#define JIT_LIST_END (~0u) /* as jlink.next: linked, and the last */

struct jit_code;

/* ---- jit_code.c ---- */
/* Maps code memory; before seccomp. Leaves vm->jit NULL where translating is off. */
int jit_init(struct soft_vm *vm, struct err *e);
void jit_fini(struct soft_vm *vm);
/* All code is dropped; in an exclusive section. */
void jit_reset(struct soft_vm *vm);
/* After a reset, in the same exclusive section: the host gets the memory back. */
void jit_give_back(struct soft_vm *vm);
/* What translations take. */
size_t jit_bytes(const struct soft_vm *vm);
/*
 * Outside of 64-bit code translations take RIP to be the page's, c->jit.vpage, plus an offset. Where CS has a base that
 * may be wrong at the segment's ends: blocks there are interpreted. In 16-bit code pages that begin below the base are
 * all right, but for what is below it: E_FAR looks.
 */
#define JIT_PAGE16_MAX 0xf000 /* so that no instruction goes on beyond IP 0xffff */
static inline bool jit_may_run_at(const struct block *b, u64 rip)
{
	s64 page = (s64)(rip - (b->phys & ~PAGE_MASK));

	if (likely(b->mode & (MODE_CODE64 | MODE_FLAT)))
		return true;
	return b->mode & MODE_CODE32 ? page >= 0 : page <= JIT_PAGE16_MAX;
}
/* Runs b's code until it leaves: the uop to go on with in the interpreter, or NULL: at c->rip. */
const struct uop *jit_enter(struct soft_cpu *c, struct block *b);
/* The block died: cache->lock held. */
void jit_kill(struct soft_vm *vm, struct block *b);
/* Guest vector registers between the host's and c->vec. */
void jit_vec_save(struct soft_cpu *c);
void jit_vec_load(struct soft_cpu *c);
/* What is called next may use vector registers. */
void jit_vec_out(struct soft_cpu *c);

/* The host's instruction at *rip raised `vec`. If it is the guest's doing: where to go on, in *rip. rflags: at
 * the fault. Async-signal-safe, on c's thread. */
bool jit_fault_landing(struct soft_cpu *c, u64 *rip, u64 rflags, unsigned vec);

/* ---- jit_translate.c ---- */
/* Translates b for c's way of looking; false: it stays interpreted. */
bool jit_translate(struct soft_cpu *c, struct block *b);

/* ---- jit_run.c: c's caches of translated code follow those of the interpreter ---- */
void jit_cpu_init(struct soft_cpu *c);
void jit_flush(struct soft_cpu *c, unsigned mode); /* all that was learnt for a way of looking; not the user's jumps */
void jit_forget_space(struct soft_cpu *c, unsigned space); /* the user's jumps of an address space */
void jit_switch(struct soft_cpu *c);                       /* c->space is another one */
void jit_flush_page(struct soft_cpu *c, unsigned space, unsigned mode, u64 lin, unsigned shift);
/* The supervisor's jumps with EFLAGS.AC, where the page of their code is larger than jit_flush_page() was told. */
void jit_flush_ac_jumps(struct soft_cpu *c, u64 lin, unsigned shift);
/* Any thread, under c->tlb_lock: no entry may serve stores to the page at host (0: to any). */
void jit_protect(struct soft_cpu *c, u64 host);
void jit_forget_jumps(struct soft_cpu *c);
/* The same, and the host gets their memory back. */
void jit_give_back_jumps(struct soft_cpu *c);

/* Executions of a block before it is translated. */
#define JIT_HEAT 200u
#define JIT_MISSES 12u  /* of groups, after which a block is translated without */
#define JIT_HEAT_OUT 5u /* counted for one that is come to from translated code */

#endif
