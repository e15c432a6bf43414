/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vcpu.h - a vCPU of the software engine: its structure, and what everybody asks of it. Nobody above cpu.h includes it.
 *
 * Theory of operation
 *
 *   guest bytes --Zydis--> instructions --decode/--> uops, a block --interp/--> state
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
#ifndef MICA_SOFT_VCPU_H
#define MICA_SOFT_VCPU_H

#include "cpu/cpu.h"
#include "cpu/soft/block.h"
#include "cpu/soft/direct_state.h"
#include "cpu/soft/halt_poll.h"
#include "cpu/soft/x86.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

struct soft_hooks;
struct soft_vm;

/* ---- the mode word: what decoding and address forming depend on ---- */
#define MODE_CODE64 1u /* 64-bit code; else CS.D picks: */
#define MODE_CODE32 2u /* 32-bit code (neither: 16-bit) */
#define MODE_SS32 4u   /* SS.B: legacy stacks use ESP */
#define MODE_PE 8u     /* protected mode */
#define MODE_VM86 16u
#define MODE_LMA 32u /* long mode active (64-bit or compatibility) */
/* Not of 64-bit code: */
#define MODE_FLAT 64u    /* 32-bit code, and ES CS SS DS are all of the 4 GiB from 0, to be read and (not CS) written */
#define MODE_NARROW 128u /* CS ends before what an IP of the code's size can reach */

/* ---- register file indices ---- */
#define GPR_ZERO 16 /* always reads 0: "no base", "no index" */
#define GPR_BLK 17  /* RIP of the running block's first instruction */
#define GPR_SLOTS 18

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
	    single_steps, flush_code, ping, space_switch, space_flush, polls, polls_found;
	u64 run_ns, idle_ns;             /* inside of cpu_run(), and of that in HLT: until the last ... */
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
	/* By [write][segment]: an access that ends there or below (offset and bytes) is certainly allowed; 0: ask
	 * soft_seg_lin(). Not kept up in 64-bit code. */
	u64 seg_end[2][8];
	struct jc_entry *jc; /* the table in use */
	const struct soft_hooks *hooks;
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
	/* An instruction that stores to its own block is run again alone; memory/access.c, core_redo_stepped(). */
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
	u64 remaps;               /* of vm->remaps: changes of guest memory that are known here */
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

	struct halt_poll halt_poll;
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

static inline void soft_set_status(struct soft_cpu *c, u32 rfl)
{
	c->fl = ((rfl & (FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)) | 2u) << 8 | ((rfl & FL_OF) ? 1u : 0u);
}
static inline u32 soft_get_status(const struct soft_cpu *c)
{
	return ((c->fl >> 8) & (FL_SF | FL_ZF | FL_AF | FL_PF | FL_CF)) | ((c->fl & 1u) ? FL_OF : 0u);
}

static inline bool soft_real_mode(const struct soft_cpu *c)
{
	return !(c->mode & MODE_PE);
}
static inline bool soft_code64(const struct soft_cpu *c)
{
	return c->mode & MODE_CODE64;
}
/* What the blocks are keyed by that can be executed now: what their bytes mean, and what a translation relies on. */
static inline u8 soft_code_key(const struct soft_cpu *c)
{
	return (u8)(c->mode & MODE_CODE64 ? MODE_CODE64
					  : c->mode & (MODE_CODE32 | MODE_SS32 | MODE_FLAT | MODE_NARROW));
}
/*
 * The key in what is found by linear addresses, which all those blocks share. That of 64-bit code is 0; others have bit
 * 62 and not bit 63, as no canonical address has.
 */
#define SOFT_SALTS (0x7full << 56)
static inline u64 soft_key_salt(u8 key)
{
	return key & MODE_CODE64
		   ? 0
		   : 1ull << 62 | (key & MODE_CODE32 ? 1ull << 61 : 0) | (key & MODE_SS32 ? 1ull << 60 : 0) |
			 (key & MODE_FLAT ? 1ull << 59 : 0) | (key & MODE_NARROW ? 1ull << 58 : 0);
}
static inline u64 soft_salted_lin(u64 key)
{
	return key >> 62 == 1 ? (u32)key : key;
}
/* Index in soft_vm.decoder[] for code of that mode or key. */
static inline unsigned soft_decoder(u32 mode)
{
	return mode & MODE_CODE64 ? 0 : mode & MODE_CODE32 ? 1 : 2;
}
/* Where c->rip is. */
static inline u64 soft_lin_rip(const struct soft_cpu *c)
{
	return c->mode & MODE_CODE64 ? c->rip : (u32)(c->eff_base[SEG_CS] + c->rip);
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

/* Guest operands where they lie in the host: at any address, and anything else may be at the same place. */
typedef u8 guest_u8 __attribute__((may_alias));
typedef u16 guest_u16 __attribute__((aligned(1), may_alias));
typedef u32 guest_u32 __attribute__((aligned(1), may_alias));
typedef u64 guest_u64 __attribute__((aligned(1), may_alias));

/* Set PEND_* bits, and wake the vCPU where it sleeps. Any thread. */
void core_request(struct soft_cpu *c, u32 bits);

#endif
