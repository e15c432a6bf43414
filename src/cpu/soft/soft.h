/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * soft.h - inside of the software engine; nobody above cpu.h includes it.
 *
 * Theory of operation
 *
 *   guest bytes --Zydis--> instructions --decode.c--> uops, a block --exec--> state
 *
 * A block is a straight run of guest instructions, decoded once into an array of uops, each a
 * pointer to a handler and its operands. A handler does its work and tail-calls the next one
 * (NEXT), so that running a block is a chain of indirect jumps with `c` and `op` in registers.
 * Blocks are keyed by *physical* address and code size and hold no virtual address, so they are
 * shared by every address space and every vCPU. The last uop of a block finds the next block and
 * jumps to it, or returns to the run loop when c->pending asks for attention.
 *
 * State in flight: while a block runs, gpr[GPR_BLK] holds the guest RIP of the block's first
 * instruction and the current instruction's RIP is gpr[GPR_BLK] + op->rip_off. c->rip is only
 * valid outside of blocks, and inside a handler after SOFT_ENTER().
 *
 * Faults are precise: a handler makes every access that can fault before it changes registers.
 * soft_raise() leaves by longjmp to the run loop; nothing that needs freeing may be held.
 *
 * Flags: the six status flags live in c->fl in the form LAHF/SETO gives them: bits 15..8 are
 * SF ZF 0 AF 0 PF 1 CF, bit 0 is OF. All other RFLAGS bits live in c->sysflags.
 *
 * Vector and x87 state: XMM/YMM live in c->vec. The x87 (and MMX) registers, control and status
 * words, and MXCSR are *live in the host FPU* of the vCPU's thread while it is inside
 * soft_run(); no C code of ours uses x87, and MXCSR only matters to floating point, which the
 * engine's C code does not use either. fpu.c owns them.
 */
#ifndef MICA_SOFT_H
#define MICA_SOFT_H

#include "cpu/cpu.h"
#include "cpu/dirty.h"
#include "cpu/soft_options.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/jit/jit.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
#define SOFT_TRAMPOLINE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SOFT_TRAMPOLINE 1
#endif
#endif

#include <Zydis/Zydis.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

struct soft_cpu;
struct soft_vm;
struct uop;

/* ---- exceptions ---- */
enum soft_exc {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19,
};
#define EXC_NO_ERROR (-1)

/* ---- RFLAGS ---- */
#define FL_CF 0x0001u
#define FL_PF 0x0004u
#define FL_AF 0x0010u
#define FL_ZF 0x0040u
#define FL_SF 0x0080u
#define FL_TF 0x0100u
#define FL_IF 0x0200u
#define FL_DF 0x0400u
#define FL_OF 0x0800u
#define FL_IOPL 0x3000u
#define FL_NT 0x4000u
#define FL_RF 0x10000u
#define FL_VM 0x20000u
#define FL_AC 0x40000u
#define FL_VIF 0x80000u
#define FL_VIP 0x100000u
#define FL_ID 0x200000u
#define FL_STATUS (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* ---- control registers, EFER ---- */
#define CR0_PE 0x1ull
#define CR0_MP 0x2ull
#define CR0_EM 0x4ull
#define CR0_TS 0x8ull
#define CR0_ET 0x10ull
#define CR0_NE 0x20ull
#define CR0_WP 0x10000ull
#define CR0_AM 0x40000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull
#define CR3_NO_FLUSH 0x8000000000000000ull
#define CR4_VME 0x1ull
#define CR4_PVI 0x2ull
#define CR4_TSD 0x4ull
#define CR4_DE 0x8ull
#define CR4_PSE 0x10ull
#define CR4_PAE 0x20ull
#define CR4_MCE 0x40ull
#define CR4_PGE 0x80ull
#define CR4_PCE 0x100ull
#define CR4_OSFXSR 0x200ull
#define CR4_OSXMMEXCPT 0x400ull
#define CR4_UMIP 0x800ull
#define CR4_FSGSBASE 0x10000ull
#define CR4_PCIDE 0x20000ull
#define CR4_OSXSAVE 0x40000ull
#define CR4_SMEP 0x100000ull
#define CR4_SMAP 0x200000ull
#define EFER_SCE 0x1ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define EFER_NXE 0x800ull

/* ---- the mode word: what decoding and address forming depend on ---- */
#define MODE_CODE64 1u /* 64-bit code; else CS.D picks: */
#define MODE_CODE32 2u /* 32-bit code (neither: 16-bit) */
#define MODE_SS32 4u   /* SS.B: legacy stacks use ESP */
#define MODE_PE 8u     /* protected mode */
#define MODE_VM86 16u
#define MODE_LMA 32u                               /* long mode active (64-bit or compatibility) */
#define MODE_CODE_MASK (MODE_CODE64 | MODE_CODE32) /* what a block is keyed by */

/* ---- register file indices ---- */
#define GPR_ZERO 16 /* always reads 0: "no base", "no index" */
#define GPR_BLK 17  /* RIP of the running block's first instruction */
#define GPR_SLOTS 18

/* ---- software TLB ---- */
#define TLB_BITS 12
#define TLB_SIZE (1u << TLB_BITS)
/* An entry serves linear page L for an access when the tag for that access equals L (page
 * aligned). TLB_NONE never equals a page. host = (u8 *)(lin + addend) */
#define TLB_NONE 1ull
/* In wtag beside the page: it may be written, but has code on it, so that the slow path is to look. */
#define TLB_CODE 2ull
struct tlb_entry {
	u64 rtag, wtag, xtag;
	u64 addend;
};
/*
 * A table, and what makes forgetting cheap: emptying it costs as much as was filled, not as much as it could hold.
 * An INVLPG drops a large page whole, of which an entry is a piece of 4 KiB: the table keeps marks (by hash, so
 * that a mark may stand for several pages) of the large pages that it may hold pieces of.
 */
#define TLB_LIST 256u
#define TLB_LARGE_MARKS 2048
struct tlb_table {
	struct tlb_entry e[TLB_SIZE]; /* first: c->tlb points here */
	u32 nfilled;                  /* entries outside of filled[] are empty; above TLB_LIST: any may be full */
	bool any_large;
	u16 filled[TLB_LIST];
	u64 large[TLB_LARGE_MARKS / 64]; /* pages of 2 MiB (4 MiB without PAE) */
	u64 huge;                        /* of 1 GiB */
};
/* One table per way of looking: user, supervisor, supervisor with EFLAGS.AC (SMAP off), user with
 * alignment checks (CR0.AM and EFLAGS.AC), whose data accesses all take the slow path. */
enum tlb_index { TLB_USER, TLB_SUPER, TLB_SUPER_AC, TLB_USER_ALIGN, TLB_COUNT };
static inline unsigned tlb_hash(u64 lin)
{
	u64 p = lin >> PAGE_SHIFT;
	/* A sum, not an exclusive or: neighbours must never share an entry, or an access that crosses
	 * their border would find its last page's entry under its first page's index. */
	return (unsigned)(p + (p >> TLB_BITS)) & (TLB_SIZE - 1);
}

/* ---- blocks ---- */
typedef void uop_fn(struct soft_cpu *c, const struct uop *op);

/* One decoded instruction (some take two). 32 bytes. */
struct uop {
	uop_fn *fn;
	u8 r0, r1;      /* register operands: gpr index; for 8-bit registers the byte offset into gpr[] */
	u8 base, index; /* memory operand: gpr index, GPR_ZERO for none, GPR_BLK for rip-relative */
	u8 scale;       /* shift of index, 0-3 */
	u8 seg;         /* enum cpu_seg_name */
	u8 ea;          /* EA_* */
	u8 osize;       /* operand bytes where the handler is not specialised: 1 2 4 8 (also 16, 32, ...) */
	s32 disp;
	u16 rip_off; /* of this instruction from the block's start */
	u8 len;      /* instruction bytes; 0 on the second uop of an instruction */
	u8 aux;      /* the handler's own */
	union {
		u64 imm;
		void *ptr;
	};
};
/* How the effective address is formed. 0: 64-bit, seg base from eff_base[], no checks but
 * canonicality by the page walk. Otherwise soft_ea() does it with limits and wrapping. */
#define EA_SLOW 0x80  /* use soft_ea() */
#define EA_A32 0x01   /* 32-bit address size */
#define EA_A16 0x02   /* 16-bit address size */
#define EA_MOFFS 0x08 /* the offset is op->imm */
#define EA_RIP 0x10   /* rip-relative: add rip_off + len (did not fit in disp) */

/* What is looked at whenever a block is come to lies together: from jit.far on to op[0]. */
struct block {
	struct jit_block jit;
	u64 phys;            /* of the first byte: offset into guest RAM */
	u64 phys2;           /* of the first byte past the page border, UINT64_MAX: none */
	u32 next_on_page[2]; /* arena offset / 16 of the next block that touches phys, phys2 */
	u16 bytes;
	u16 nops;
	u8 mode;          /* MODE_CODE_MASK bits */
	bool whole;       /* goes on behind branches that may not be taken */
	_Atomic u16 dead; /* invalidated: find another */
	struct uop op[];
};

/* Virtual jump cache: RIP -> block, per vCPU; [0] supervisor, [1] CPL 3. */
#define JC_BITS 16
#define JC_SIZE (1u << JC_BITS)
/* All blocks of one page lie in one run of slots, so that INVLPG can drop them. */
#define JC_PAGE_SLOTS 512
#define JC_RUN 32 /* slots that are emptied together */
static inline unsigned jc_page_slot(u64 lin)
{
	u64 p = lin >> PAGE_SHIFT;
	return (unsigned)(p ^ (p >> 7)) % (JC_SIZE / JC_PAGE_SLOTS) * JC_PAGE_SLOTS;
}
static inline unsigned jc_hash(u64 lin)
{
	return jc_page_slot(lin) + ((unsigned)(lin ^ (lin >> 9)) & (JC_PAGE_SLOTS - 1));
}
/* An empty one has a key that is asked for elsewhere only: 0, and 1 in slot 0. So what is not used takes no memory. */
#define JC_NONE(slot) ((slot) ? 0ull : 1ull)
struct jc_entry {
	u64 key; /* linear address of the block ^ mode salt */
	struct block *block;
};
struct jc_table {
	struct jc_entry e[JC_SIZE];      /* first: c->jc points here */
	u64 used[JC_SIZE / JC_RUN / 64]; /* by run: may hold something */
	u8 halves;                       /* 1: ... of the lower half of addresses, 2: of the upper */
};

/*
 * Address spaces (mmu.c): what is only true for one PCID (SDM 3A 4.10.1). Without CR4.PCIDE all is PCID 0.
 * TLB_SUPER and the supervisor's jump cache belong to all: nearly all kernels map themselves by global pages.
 */
#define SPACE_COUNT JIT_SPACES /* Linux uses six PCIDs on a processor, and 0 */
struct space {
	u16 pcid;
	bool used;  /* ... of that PCID */
	bool ready; /* the tables were emptied once, and hold no zeroes */
	u64 stamp;  /* of the last switch to it */
};
/* Away from struct soft_cpu, so that what is not used costs no memory. */
struct soft_tables {
	struct tlb_table super, align;
	struct {
		struct tlb_table user, super_ac;
	} space[SPACE_COUNT];
	struct jc_table jc_super, jc_user[SPACE_COUNT];
};

/* What soft_vec_changed() keeps in vec_ok. */
#define VEC_OK_X87 0x01u  /* CR0.EM = CR0.TS = 0: x87 (else #NM), MMX (else #UD, #NM) */
#define VEC_OK_WAIT 0x02u /* not both CR0.MP and CR0.TS: FWAIT */
#define VEC_OK_SSE 0x04u  /* ... and CR4.OSFXSR: SSE */
#define VEC_OK_AVX 0x08u  /* CR4.OSXSAVE, XCR0[2:1] = 3, CR0.TS = 0, protected mode: VEX */

/* Reasons to leave translated code at the next block border (c->pending). */
#define PEND_INTR 0x01u /* the APIC's INTR line is up (level; set and cleared by cpu_set_intr) */
#define PEND_NMI 0x02u
#define PEND_INIT 0x04u
#define PEND_SIPI 0x08u
#define PEND_STOP 0x10u
#define PEND_QUIESCE 0x20u /* another vCPU wants us at a safe point */
#define PEND_KICK 0x40u    /* wake if halted */
#define PEND_DIRECT 0x100u /* own: at CPL 3 of an address space that is executed directly */
#define PEND_STEP 0x80u    /* own: TF, breakpoints, or interrupt shadow: one instruction at a time */

struct soft_stats {
	u64 blocks_run_slow, blocks_decoded, uops_decoded, tlb_fill, page_walk, mmio, pio, exc[32], intr, halts,
	    single_steps, flush_code, ping, space_switch, space_flush;
	u64 run_ns, idle_ns;             /* inside of cpu_run(), and of that asleep in HLT: until the last ... */
	u64 run_since_ns, idle_since_ns; /* ... and since when now, 0: not now */
};

/* Everything of one vCPU. The order is the hot path's; nothing here is another thread's but the
 * fields that say so. */
struct soft_cpu {
	u64 gpr[GPR_SLOTS];
	u32 fl;                /* status flags, LAHF/SETO form */
	u32 sysflags;          /* RFLAGS without the status flags, bit 1 set */
	_Atomic u32 pending;   /* any thread: PEND_* */
	u32 mode;              /* MODE_* */
	struct tlb_entry *tlb; /* the table in use */
	u64 eff_base[8];       /* by segment: base to add (0 for ES CS SS DS in 64-bit code) */
	struct jc_entry *jc;   /* the table in use */
	u64 rip;
	const struct uop *op;      /* of the instruction being executed, see SOFT_ENTER */
	const struct uop *next_op; /* SOFT_TRAMPOLINE */
	u64 fuel;                  /* SOFT_TRAMPOLINE: uops until cpu_stop(), so that tests end alike; 0: no end */
	u8 cpl;
	u8 vec_ok;      /* VEC_OK_*: which vector and x87 instructions may run now; soft_vec_changed() */
	bool shadow;    /* interrupts blocked until after the next instruction (STI, MOV SS) */
	bool shadow_ss; /* ... and debug traps (MOV SS) */
	bool was_shadow, was_shadow_ss; /* those of the instruction being run alone */
	bool super_nonglobal;           /* TLB_SUPER holds pages that are not global */
	/* An instruction that stores to its own block is run again alone; mmu.c, core_redo_stepped(). */
	bool redo_step; /* it is being run alone */
	bool exclusive; /* ... and all other vCPUs wait: a read-modify-write across pages */
	u32 pauses;
	bool one_step;  /* run the next instruction alone */
	bool stepping;  /* running one alone now: PEND_STEP stays */
	bool was_alone; /* ... when it was left in the middle */
	u64 redo_off;   /* into RAM: what it writes of a page with code */
	u32 redo_bytes;
	u64 jc_salt;

	/* The tables by enum tlb_index, and the jump caches ([1]: CPL 3), of the address space in use. */
	struct tlb_entry *tlbs[TLB_COUNT];
	struct jc_entry *jcs[2];
	/* Changes whenever what TLB_USER, TLB_SUPER_AC or the user's jump cache said may not hold any more: another
	 * address space, or it was flushed. Pages that INVLPG drops do not count, nor what mmu_protect_code() takes
	 * back. */
	u64 tlb_epoch;
	u32 space; /* index of the one in use */
	struct space spaces[SPACE_COUNT];
	u64 space_clock;
	u64 globals[SPACE_COUNT]; /* what of each may be global, see mmu_note_global() */
	u64 any_global;           /* ... and of any, or once was */

	/* YMM registers, 32 bytes each: xmm in the low 16. */
	u8 vec[16][32] __attribute__((aligned(64)));

	/* Architectural state away from the hot path. */
	struct cpu_seg seg[SEG_COUNT];
	u64 gdt_base, idt_base;
	u16 gdt_limit, idt_limit;
	u64 cr0, cr2, cr3, cr4, xcr0;
	u64 dr[4], dr6, dr7;
	u64 efer, star, lstar, cstar, fmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat, tsc_aux, misc_enable, spec_ctrl, mtrr_def_type;
	u64 mtrr_var[16], mtrr_fix[11]; /* kept for firmware and OS; RAM is always write-back */
	bool no_step_trap;              /* the running instruction ended single-stepping itself */
	u64 dr6_pending; /* data breakpoints met by the running instruction, or by the delivery of an event */
	u64 dr6_held;    /* ... by MOV SS: they wait for the end of the next instruction */
	u64 tsc_offset, tsc_adjust;
	/* FPU words not live in the host: fpu.c. Guest addresses of the last x87 instruction. */
	u64 fip, fdp;
	u16 fop, fcs, fds;
	u32 mxcsr;      /* saved copy while outside soft_run() */
	u32 host_mxcsr; /* the thread's own, while loaded */
	u16 host_fcw;
	bool fpu_loaded;                                  /* x87/MXCSR state is live in this thread's host FPU */
	u8 fxsave_area[512] __attribute__((aligned(64))); /* x87+MXCSR while not loaded */

	bool nmi_masked;
	bool nmi_latched; /* one came while masked */
	bool halted;
	bool kicked; /* ends this HLT, or the next: KVM_HC_KICK_CPU may come just before it */
	bool wait_sipi;
	u8 sipi_vector;

	/* A fault on its way: set by soft_raise(), consumed by the run loop. */
	struct {
		u8 vec;
		bool has_error;
		u32 error;
		u64 cr2;      /* #PF */
		u64 dr6;      /* #DB: bits to set */
		bool is_trap; /* rip already past the instruction */
	} exc;
	int exc_delivering; /* vector being delivered, -1 none: for double faults */
	/* Events that a state which was set brought along, to be delivered before the next instruction: */
	bool exc_waits; /* exc is filled */
	s16 intr_waits; /* vector, -1: none */
	bool spec_msrs; /* it came from where the MSRs against speculation flaws were: they are taken, and do nothing */
	jmp_buf jb;     /* of the run loop */

	struct soft_vm *vm;
	const struct cpu_bus *bus;
	const struct cpu_model *model;
	struct ram *ram;
	unsigned index;

	/* Other threads: */
	_Atomic int in_guest;     /* running translated code; else at a safe point */
	pthread_mutex_t tlb_lock; /* fills by the owner against resets of wtag by others */
	_Atomic u32 wake_seq;     /* futex: bumped with every change of pending */
	_Atomic bool intr_line;   /* INTR level; PEND_INTR may be off while IF is 0 */
	_Atomic bool sleeping;
	unsigned trace;

	struct direct_cpu direct;
	struct jit_cpu jit;
	struct soft_stats st;
	struct soft_tables *tables;
	struct decode_memo *memo; /* memo.c */
	struct block *step_block; /* scratch for single instructions */
	u8 *vec_scratch_rw;       /* vec_stub.c: this vCPU's own page for stubs that found no room, */
	u8 *vec_scratch_rx;       /* ... the same page for execution */
	u8 vec_buf[32]
	    __attribute__((aligned(32))); /* a load that the TLB does not serve; not on the stack: INV-CHAIN-1 */
};

/* The table that an ordinary access goes by now. */
static inline enum tlb_index mmu_index(const struct soft_cpu *c)
{
	if (c->cpl == 3)
		return unlikely((c->sysflags & FL_AC) && (c->cr0 & CR0_AM)) ? TLB_USER_ALIGN : TLB_USER;
	return (c->cr4 & CR4_SMAP) && (c->sysflags & FL_AC) ? TLB_SUPER_AC : TLB_SUPER;
}

/* stats.c: counters as "name value" lines; and for a person. */
void soft_stats(const struct soft_vm *vm, FILE *f);
void soft_report(const struct soft_vm *vm, FILE *f);

/* For tests: the inside of a vCPU of this engine. */
struct soft_cpu *soft_cpu_of(struct cpu *c);

/* ---- leaving: exceptions (never return) ---- */
/* c->rip must be the faulting instruction's (SOFT_ENTER did that). error: EXC_NO_ERROR or a code. */
noreturn_ cold_ void soft_raise(struct soft_cpu *c, enum soft_exc vec, s64 error);
noreturn_ cold_ void soft_raise_pf(struct soft_cpu *c, gva_t cr2, u32 error);
/* A #DB; dr6: the DR6 bits it reports. trap: c->rip is already the next instruction's. */
noreturn_ cold_ void soft_raise_db(struct soft_cpu *c, u64 dr6, bool trap);
#define soft_ud(c) soft_raise(c, EXC_UD, EXC_NO_ERROR)
#define soft_gp(c, err) soft_raise(c, EXC_GP, err)

/* ---- writing handlers ---- */
/* First thing in a handler that is not one of the fast ones of the exec_*.c files: makes the instruction's state
 * exact, so that everything below may be called. */
#define SOFT_ENTER(c, o) ((c)->op = (o), (c)->rip = (c)->gpr[GPR_BLK] + (o)->rip_off)
/* RIP of the next instruction (before wrapping to the code size). */
#define SOFT_NEXT_RIP(c, o) ((c)->gpr[GPR_BLK] + (o)->rip_off + (o)->len)
/* Last thing: on to the next uop of this block. */
#ifdef SOFT_TRAMPOLINE /* sanitizer and -O0 builds: the compiler does not make these tail calls */
#define GOTO_UOP(c, o) \
	do { \
		(c)->next_op = (o); \
		return; \
	} while (0)
#elif defined(__clang__)
#define GOTO_UOP(c, o) \
	do { \
		const struct uop *o_ = (o); \
		__attribute__((musttail)) return o_->fn((c), o_); \
	} while (0)
#else
#define GOTO_UOP(c, o) \
	do { \
		const struct uop *o_ = (o); \
		return o_->fn((c), o_); \
	} while (0)
#endif
/* INV-CHAIN-1: these are tail calls, else the host stack grows with every guest instruction. A handler
 * may therefore have no local whose address is taken: that goes into a noinline function of its own.
 * tests/engine/check_tailcalls.py looks at the object code. */
#define NEXT(c, op) GOTO_UOP(c, (op) + 1)
/* The handler `name` around do_name(), whose locals may be pointed to. */
#define DEF_HANDLER(name) \
	static void name(struct soft_cpu *c, const struct uop *op) \
	{ \
		do_##name(c, op); \
		NEXT(c, op); \
	}
#define noinline_ __attribute__((noinline))
/*
 * Last thing of a handler that ends its block (the decoder must have been told: dec->end = true)
 * because control flow, mode, paging or interruptibility changed: set c->rip to where to go on,
 * then this. soft_leave() goes on with the next block where nothing is pending; soft_exit()
 * returns to the run loop, which looks at everything (after STI, CR writes, mode changes...).
 */
void soft_leave(struct soft_cpu *c, const struct uop *op);
static inline void soft_exit(struct soft_cpu *c)
{
	(void)c; /* returning from the chain is the exit */
}

/* ---- guest memory, with the current privilege unless said; may raise ---- */
/* Linear address of op's memory operand for an access of `bytes`, with all segment checks. */
gva_t soft_ea(struct soft_cpu *c, const struct uop *op, unsigned bytes, bool write);
/* The offset part alone (LEA; string and bit-string forms add to it). */
u64 soft_ea_offset(struct soft_cpu *c, const struct uop *op);
/* Segment check and base for an explicit offset: seg is enum cpu_seg_name. */
gva_t soft_seg_lin(struct soft_cpu *c, unsigned seg, u64 off, unsigned bytes, bool write);

u8 soft_ld8(struct soft_cpu *c, gva_t lin);
u16 soft_ld16(struct soft_cpu *c, gva_t lin);
u32 soft_ld32(struct soft_cpu *c, gva_t lin);
u64 soft_ld64(struct soft_cpu *c, gva_t lin);
void soft_st8(struct soft_cpu *c, gva_t lin, u8 v);
void soft_st16(struct soft_cpu *c, gva_t lin, u16 v);
void soft_st32(struct soft_cpu *c, gva_t lin, u32 v);
void soft_st64(struct soft_cpu *c, gva_t lin, u64 v);
/* By size (1 2 4 8), zero-extended. */
u64 soft_ld(struct soft_cpu *c, gva_t lin, unsigned bytes);
void soft_st(struct soft_cpu *c, gva_t lin, unsigned bytes, u64 v);
/* Any length up to a page; all pages are checked before the first byte is written. */
void soft_ld_bytes(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes);
void soft_st_bytes(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes);
/* ... at any alignment: elements under a mask. */
void soft_ld_bytes_any(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes);
void soft_st_bytes_any(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes);
/* #AC, where it is on and lin is not a multiple of align (a power of two). */
void soft_check_align(struct soft_cpu *c, gva_t lin, unsigned bytes, unsigned align, bool write);
/* Raise now whatever an access would raise. */
void soft_probe(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write);
/* Implicit supervisor accesses: descriptor tables, TSS, and stacks of an inner ring being pushed
 * to (SDM 3A 4.6.1). user: check as CPL 3 instead. */
u64 soft_ld_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, bool user);
void soft_st_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, u64 v, bool user);
void soft_probe_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write, bool user);
/* Host pointer for a locked or plain read-modify-write of an aligned or unaligned `bytes` at lin
 * (write permission checked, dirty set, code on the page invalidated), or NULL where it is MMIO or
 * crosses pages: then load, compute, and soft_st(). */
void *soft_rmw_ptr(struct soft_cpu *c, gva_t lin, unsigned bytes);

/* Guest operands where they lie in the host: at any address, and anything else may be at the same place. */
typedef u8 guest_u8 __attribute__((may_alias));
typedef u16 guest_u16 __attribute__((aligned(1), may_alias));
typedef u32 guest_u32 __attribute__((aligned(1), may_alias));
typedef u64 guest_u64 __attribute__((aligned(1), may_alias));

/* ---- flags ---- */
u64 soft_get_rflags(struct soft_cpu *c);
/* Set all of RFLAGS from v (the caller has applied privilege and reserved-bit rules); refreshes what
 * depends on TF, AC, VM. A handler that may change TF, IF or AC must end its block. */
void soft_set_rflags(struct soft_cpu *c, u64 v);
static inline void soft_set_status(struct soft_cpu *c, u32 rfl)
{
	c->fl = ((rfl & (FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)) | 2u) << 8 | ((rfl & FL_OF) ? 1u : 0u);
}
static inline u32 soft_get_status(const struct soft_cpu *c)
{
	return ((c->fl >> 8) & (FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)) | ((c->fl & 1u) ? FL_OF : 0u);
}

/* ---- what must be said after a change ---- */
/* After CS, SS, CR0, EFER, EFLAGS.VM, any segment base, or CPL changed: recomputes mode,
 * eff_base, the tables in use. */
void soft_mode_changed(struct soft_cpu *c);
/* Forget translations of linear addresses: those of the PCID in CR3; global: all of every PCID, also global pages.
 * Jump caches too. Then the address space in use is that of CR3. */
void soft_tlb_flush(struct soft_cpu *c, bool global);
void soft_tlb_flush_page(struct soft_cpu *c, gva_t lin); /* INVLPG */
/* CR3 names another address space, whose translations stay (CR3 bit 63). */
void soft_tlb_switch(struct soft_cpu *c);
/* INVPCID: one page or all of the pages of another PCID or the present one; all PCIDs, but not global pages. */
void soft_tlb_flush_pcid_page(struct soft_cpu *c, unsigned pcid, gva_t lin);
void soft_tlb_flush_pcid(struct soft_cpu *c, unsigned pcid);
void soft_tlb_flush_pcids(struct soft_cpu *c);
/* The vCPU's tables, empty. */
void soft_tlb_init(struct soft_cpu *c);
void soft_tlb_fini(struct soft_cpu *c);
/* PAE paging: are the four entries at cr3 free of reserved bits? What loads them raises #GP else (SDM 3A 4.4.1).
 * They are not kept: walks read them where they lie, as AMD's processors do. */
bool mmu_pdptes_ok(const struct soft_cpu *c, u64 cr3);
/* PEND_STEP from TF, DR7, shadow. */
void soft_step_changed(struct soft_cpu *c);

static inline bool soft_real_mode(const struct soft_cpu *c)
{
	return !(c->mode & MODE_PE);
}
static inline bool soft_code64(const struct soft_cpu *c)
{
	return c->mode & MODE_CODE64;
}
static inline bool soft_canonical(u64 a)
{
	return (u64)((s64)(a << 16) >> 16) == a;
}
/* Bytes a stack push of default size uses as pointer: 8, 4, 2. */
static inline unsigned soft_stack_bytes(const struct soft_cpu *c)
{
	return c->mode & MODE_CODE64 ? 8 : c->mode & MODE_SS32 ? 4 : 2;
}

/* ---- decoding ---- */
#define DECODE_NO_PAGE (~0u)
struct decode {
	const struct soft_cpu *c; /* mode bits only; never other state */
	u32 mode;
	const ZydisDecodedInstruction *insn;
	const ZydisDecodedOperand *ops;
	const u8 *bytes; /* of this instruction */
	unsigned rip_off;
	unsigned page_off; /* of the block's first byte in its page, or DECODE_NO_PAGE: do not link */
	struct uop *u;     /* to fill: up to 3, zeroed but for rip_off and len */
	unsigned nu;       /* out: how many were filled (0: not mine) */
	bool end;          /* out: the block ends here */
};
/* Fill u's memory-operand fields (base, index, scale, seg, ea, disp) from operand o. */
void decode_mem(struct decode *d, struct uop *u, const ZydisDecodedOperand *o);
/* gpr index of a general register (any width); decode_reg8 gives the byte offset (AH = 1). */
u8 decode_gpr(ZydisRegister r);
u8 decode_reg8(ZydisRegister r);
/* Bytes of an instruction that is not defined, of which n are at p; more than n: it goes on. code: vm->decoder[]'s
 * index. *bare: it is one without operands that Zydis gives some. */
unsigned decode_undefined_length(const u8 *p, unsigned n, unsigned code, bool amd, bool *bare);
/* Emit a #UD. */
void decode_ud(struct decode *d);
/* Before decode_int() and the others: what u starts from. */
void decode_begin(struct decode *d);

/* Each returns true when it took the instruction (d->nu, d->end filled). Tried in this order. */
bool decode_int(struct decode *d); /* decode_int.c: integer, control flow in 64-bit and legacy */
bool decode_sys(struct decode *d); /* decode_sys.c: system, segments, far, stack frames, I/O */
bool decode_vec(struct decode *d); /* decode_vec.c: x87, MMX, SSE, AVX, FXSAVE/XSAVE */

/* ---- what is system: exc.c, far.c, iret.c, task.c, seg.c, syscall.c, control_reg.c, debug.c, msr.c ---- */
/* The run loop's: deliver c->exc (may raise again; the loop handles #DF and triple fault).
 * Returns false on a triple fault (shutdown). */
bool soft_deliver_exc(struct soft_cpu *c);
/* An external interrupt or NMI with c->rip the return address. */
void soft_deliver_intr(struct soft_cpu *c, u8 vec);
/* Before each instruction in step mode: DR7 instruction breakpoints (raises unless RF), and after
 * it: TF and data breakpoints. Called by the run loop with c->rip exact. */
void soft_step_before(struct soft_cpu *c);
void soft_step_after(struct soft_cpu *c, bool tf_was_set);
/* Raises what the delivery of an event met: before the handler's first instruction. */
void soft_step_delivered(struct soft_cpu *c);
/* Note a data access for DR7 data breakpoints; only called when DR7 enables one. */
void soft_data_breakpoint(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write);
void soft_reset_state(struct soft_cpu *c, bool init); /* SDM 3A 9.1.1 table; init: INIT, not power-on */
struct cpuid_regs soft_cpuid(struct soft_cpu *c, u32 leaf, u32 subleaf);

/* ---- fpu.c, vec_stub.c ---- */
/* Take the host FPU for the guest on this thread, and give it back. Around soft_run(). */
void soft_fpu_enter(struct soft_cpu *c);
void soft_fpu_leave(struct soft_cpu *c);
void soft_fpu_reset(struct soft_cpu *c, bool init);
/* To and from the standard XSAVE form, only while not entered. */
void soft_fpu_get(struct soft_cpu *c, u8 area[1024]);
int soft_fpu_set(struct soft_cpu *c, const u8 area[1024]);
/* Call after CR0, CR4, XCR0 or EFLAGS.VM changed (soft_mode_changed() does for CR0 and VM):
 * recomputes c->vec_ok. */
void soft_vec_changed(struct soft_cpu *c);
/* Per-VM tables (code stubs); also installs the process's SIGFPE handler. Before seccomp: all
 * executable memory the engine's vector part ever needs is mapped here. After vm->cpu[] is filled. */
int soft_vec_init(struct soft_vm *vm, struct err *e);
void soft_vec_fini(struct soft_vm *vm);

/* What the CPU model lets integer instructions be (soft_vm.isa). */
#define ISA_BMI1 1u
#define ISA_BMI2 2u
#define ISA_LZCNT 4u
#define ISA_ADX 8u
#define ISA_MOVBE 16u
#define ISA_RDRAND 32u
#define ISA_RDSEED 64u
#define ISA_CLFLUSHOPT 128u
#define ISA_CLWB 256u
#define ISA_AMD \
	512u /* not what CPUID says, but how AMD's differ: 66 on near branches, far pointers, F2 LOOPE, 0F 0D \
	      */

/* ---- the VM ---- */
struct soft_vm {
	struct ram *ram;
	const struct cpu_bus *bus;
	const struct cpu_model *model;
	unsigned ncpus;
	struct soft_cpu **cpu;
	ZydisDecoder decoder[3];  /* 64, 32, 16-bit code */
	u32 isa;                  /* ISA_*: what decode_int may accept */
	struct code_cache *cache; /* cache.c */
	struct soft_options options;
	struct jit_code *jit;    /* jit_code.c; NULL: everything is interpreted */
	struct vec_stubs *stubs; /* vec_stub.c */
	struct direct direct;
	u64 tsc_khz;
	unsigned phys_bits; /* MAXPHYADDR */
	struct dirty dirty; /* pages written; wtags are only held for pages that are in it */
};

#endif
