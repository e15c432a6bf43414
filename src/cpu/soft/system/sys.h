/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys.h - what the system half of the software engine shares among its files: descriptors, stacks
 * other than the current one, control transfers, task switches.
 *
 * Rule of all of it: every access and check that can fault comes before the first change of state,
 * so that a fault leaves the instruction restartable. The one exception is the task switch, whose
 * late faults belong to the new task by definition (SDM 3A 7.3).
 */
#ifndef MICA_SOFT_SYS_H
#define MICA_SOFT_SYS_H

#include "cpu/soft/ea.h"
#include "cpu/soft/handler.h"
#include "cpu/soft/memory/access.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/system/system.h"

/* Handlers leave by tail calls and so have no locals of their own whose address is taken: those live in
 * functions that must not be inlined into them. */
#define outline_ __attribute__((noinline))

/* ---- the event being delivered ---- */
/* c->exc_delivering: -1, an exception's vector, or this bit and an interrupt's vector. */
#define DELIVERING_INTR 0x100

/* EXT of an error code: the fault comes from delivering something the program did not ask for. */
static inline u32 sys_ext(const struct soft_cpu *c)
{
	return c->exc_delivering >= 0;
}
noreturn_ cold_ void sys_fault_sel(struct soft_cpu *c, enum soft_exc vec, u16 sel);
noreturn_ cold_ void sys_fault_0(struct soft_cpu *c, enum soft_exc vec);

/* ---- mode questions ---- */
static inline bool sys_lma(const struct soft_cpu *c)
{
	return c->mode & MODE_LMA;
}
static inline bool sys_vm86(const struct soft_cpu *c)
{
	return c->mode & MODE_VM86;
}
/* Protected mode proper: neither real nor virtual-8086. */
static inline bool sys_prot(const struct soft_cpu *c)
{
	return (c->mode & (MODE_PE | MODE_VM86)) == MODE_PE;
}
static inline unsigned sys_iopl(const struct soft_cpu *c)
{
	return c->sysflags >> 12 & 3;
}
/* A linear address as the mode forms it. */
static inline gva_t sys_lin(const struct soft_cpu *c, u64 lin)
{
	return sys_lma(c) ? lin : (u32)lin;
}
static inline void sys_need_cpl0(struct soft_cpu *c)
{
	if (unlikely(c->cpl))
		sys_fault_0(c, EXC_GP);
}

/* ---- descriptors (SDM 3A 3.4.5, 3.5) ---- */
#define SEL_RPL 3u
#define SEL_TI 4u
static inline bool sel_null(u16 sel)
{
	return !(sel & ~SEL_RPL);
}

struct sys_desc {
	u64 raw;
	gva_t lin; /* where it lies */
	u64 base;
	u32 limit;
	u32 ar;
};
static inline struct cpu_seg sys_seg_of_raw(u64 raw, u16 sel)
{
	struct cpu_seg s = { .sel = sel,
			     .ar = (u32)(raw >> 40) & 0xf0ff,
			     .limit = (u32)(raw & 0xffff) | ((u32)(raw >> 48 & 0xf) << 16),
			     .base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24 };

	if (s.ar & SEG_AR_G)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}
static inline unsigned desc_dpl(const struct sys_desc *d)
{
	return d->ar >> 5 & 3;
}
static inline bool desc_present(const struct sys_desc *d)
{
	return d->ar & SEG_AR_P;
}
static inline bool desc_is_code(const struct sys_desc *d)
{
	return (d->ar & (SEG_AR_S | 8)) == (SEG_AR_S | 8);
}
static inline bool desc_is_conforming(const struct sys_desc *d)
{
	return (d->ar & (SEG_AR_S | 0xc)) == (SEG_AR_S | 0xc);
}
static inline bool desc_is_writable_data(const struct sys_desc *d)
{
	return (d->ar & (SEG_AR_S | 0xa)) == (SEG_AR_S | 2);
}
static inline bool desc_is_readable(const struct sys_desc *d)
{
	return (d->ar & SEG_AR_S) && (!(d->ar & 8) || (d->ar & 2));
}
/* Type of a system descriptor (S = 0), or 0x10 for code and data. */
static inline unsigned desc_sys_type(const struct sys_desc *d)
{
	return d->ar & (SEG_AR_S | SEG_AR_TYPE) & (d->ar & SEG_AR_S ? SEG_AR_S : 0x1f);
}
enum sys_type {
	SYS_TSS16 = 1,
	SYS_LDT = 2,
	SYS_TSS16_BUSY = 3,
	SYS_CALL16 = 4,
	SYS_TASK_GATE = 5,
	SYS_INT16 = 6,
	SYS_TRAP16 = 7,
	SYS_TSS32 = 9,
	SYS_TSS32_BUSY = 0xb,
	SYS_CALL32 = 0xc,
	SYS_INT32 = 0xe,
	SYS_TRAP32 = 0xf,
};

/* The descriptor `sel` names, read with supervisor rights; false: beyond its table's limit (a null
 * selector too), nothing raised but page faults. sys_desc_get_sys reads the 16 bytes a system
 * descriptor has in long mode. */
bool sys_desc_get(struct soft_cpu *c, u16 sel, struct sys_desc *d);
bool sys_desc_get_sys(struct soft_cpu *c, u16 sel, struct sys_desc *d);
/* Upper 8 bytes of a 16-byte descriptor; false when the table ends before. */
bool sys_desc_upper(struct soft_cpu *c, u16 sel, u64 *upper);
/* Set the accessed bit in memory where it is clear. */
void sys_desc_accessed(struct soft_cpu *c, struct sys_desc *d);
void sys_desc_busy(struct soft_cpu *c, const struct sys_desc *d, bool busy);
static inline struct cpu_seg sys_seg_of(const struct sys_desc *d, u16 sel)
{
	return (struct cpu_seg){ .sel = sel, .ar = d->ar, .limit = d->limit, .base = d->base };
}

/* ---- segment registers ---- */
/* As a MOV to ES, SS, DS, FS, GS does, in any mode: checks, faults, commits. */
void sys_load_seg(struct soft_cpu *c, unsigned seg, u16 sel);
/* Real and virtual-8086 style. Only the fields; the caller says soft_mode_changed() for CS and SS. */
void sys_set_seg_real(struct soft_cpu *c, unsigned seg, u16 sel);
void sys_set_seg_vm86(struct soft_cpu *c, unsigned seg, u16 sel);
void sys_set_seg_null(struct soft_cpu *c, unsigned seg, u16 sel);
/* Set a data segment's cache and eff_base. */
void sys_set_seg(struct soft_cpu *c, unsigned seg, const struct cpu_seg *s);
/* Flat segment caches of SYSCALL and friends. */
static inline void sys_set_cs_flat(struct soft_cpu *c, u16 sel, unsigned dpl, bool l, bool d)
{
	c->seg[SEG_CS] = (struct cpu_seg){
		.sel = sel,
		.ar = SEG_AR_G | SEG_AR_P | SEG_AR_S | 0xb | dpl << 5 | (l ? SEG_AR_L : 0) | (d ? SEG_AR_DB : 0),
		.limit = 0xffffffff,
	};
}
static inline void sys_set_ss_flat(struct soft_cpu *c, u16 sel, unsigned dpl)
{
	c->seg[SEG_SS] = (struct cpu_seg){ .sel = sel,
					   .ar = SEG_AR_G | SEG_AR_DB | SEG_AR_P | SEG_AR_S | 3 | dpl << 5,
					   .limit = 0xffffffff };
}

/*
 * Check a code segment as the target of a transfer: `vec` faults with selectors.
 * SYS_CS_JUMP: far JMP and CALL without a gate (CPL stays). SYS_CS_RETURN: RET, IRET (RPL is the new CPL).
 */
enum sys_cs_how { SYS_CS_JUMP, SYS_CS_RETURN };
void sys_check_cs(struct soft_cpu *c, u16 sel, const struct sys_desc *d, enum sys_cs_how how);
/* Whether code of this segment is 64-bit code now. */
static inline bool sys_desc_code64(const struct soft_cpu *c, const struct sys_desc *d)
{
	return sys_lma(c) && (d->ar & SEG_AR_L);
}
/* The target offset is within the code segment, or canonical; else #GP(0). */
void sys_check_target(struct soft_cpu *c, const struct sys_desc *cs, u64 rip);
/* Load CS and set RIP; CPL becomes `cpl`. soft_mode_changed() is the caller's. */
void sys_commit_cs(struct soft_cpu *c, struct sys_desc *d, u16 sel, unsigned cpl);
/* After a return to an outer ring: drop data segments the new CPL may not use (SDM 2, RET). */
void sys_drop_inner_segs(struct soft_cpu *c);

/* ---- stacks ---- */
struct sys_stack {
	u64 base, sp;
	u32 limit, ar;
	bool flat64; /* 64-bit stack: no limits, canonical addresses */
	bool b32;    /* SP is ESP, else SP */
	bool cur;    /* the current one, accessed as ordinary code does */
	bool user;
	u32 err; /* of #SS */
};
void sys_stack_current(const struct soft_cpu *c, struct sys_stack *s);
/* Another stack: 64-bit, or by a checked SS descriptor. */
void sys_stack_64(struct sys_stack *s, u64 rsp, unsigned cpl);
void sys_stack_desc(struct sys_stack *s, const struct sys_desc *d, u16 sel, u64 sp, unsigned cpl);
void sys_push(struct soft_cpu *c, struct sys_stack *s, unsigned bytes, u64 v);
u64 sys_pop(struct soft_cpu *c, struct sys_stack *s, unsigned bytes);
void sys_stack_skip(struct sys_stack *s, u64 bytes);
/* Write s->sp to RSP with the width of the stack. */
void sys_stack_commit(struct soft_cpu *c, const struct sys_stack *s);

/* SS and stack pointer for `ring` from the TSS (SDM 3A 6.12.1, 7.7): checks, #TS. In long mode the
 * stack is 64-bit and *ss_sel is a null selector with RPL = ring. */
void sys_tss_stack(struct soft_cpu *c, unsigned ring, unsigned ist, struct sys_stack *s, struct sys_desc *ss,
		   u16 *ss_sel);

/*
 * ---- short ways between the rings of a 64-bit kernel ----
 * SYSCALL, SYSRET, IRETQ and the delivery of events each have one: for flat segments, with everything in the TLB and
 * nothing to trap. They look at all that the long way looks at, and where any of it is out of the ordinary they have
 * changed nothing and the long way is taken.
 */
/* Neither TF nor RF is set, and no breakpoint: the step mode is off and stays off. */
static inline bool sys_plain(const struct soft_cpu *c)
{
	return !(c->sysflags & (FL_TF | FL_RF | FL_VM)) && !(c->dr7 & 0xff);
}
/* soft_set_rflags() for flags without TF, where sys_plain() was true. */
static inline void sys_set_plain_flags(struct soft_cpu *c, u64 fl)
{
	soft_set_status(c, (u32)fl);
	c->sysflags = ((u32)fl & (FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_VIF | FL_VIP | FL_ID)) | 2;
}
/* soft_mode_changed() where 64-bit code goes on as 64-bit code with the same bases: CPL, SS or AC changed. */
static inline void sys_ring_changed(struct soft_cpu *c)
{
	c->mode = (c->mode & ~MODE_SS32) | (c->seg[SEG_SS].ar & SEG_AR_DB ? MODE_SS32 : 0);
	c->tlb = c->tlbs[mmu_index(c)];
	c->jc = c->jcs[c->cpl == 3];
}
/* CPL 3 was reached from another one: see direct.h. */
static inline void sys_to_user(struct soft_cpu *c)
{
	if (unlikely(--c->direct.spare < 0))
		atomic_fetch_or_explicit(&c->pending, PEND_DIRECT, memory_order_relaxed);
}
/* Where `bytes` at lin lie when this table has them, within one page; else NULL. */
static inline volatile guest_u64 *sys_hit(const struct tlb_entry *table, gva_t lin, unsigned bytes, bool write)
{
	const struct tlb_entry *e = &table[tlb_hash(lin)];

	if (unlikely(((lin + bytes - 1) & PAGE_MASK) != (write ? e->wtag : e->rtag)))
		return NULL;
	return (volatile guest_u64 *)(uintptr_t)(lin + e->addend);
}
/* The descriptor of ring dpl that `sel` names in the GDT, if it is of this kind: its bits 40-47, and L and D of code
 * (64-bit). false: it is not, or not in the TLB. */
#define SYS_KIND_CODE64 0x009bu /* present, not conforming, accessed */
#define SYS_KIND_DATA 0x0093u   /* present, writable, accessed */
static inline bool sys_gdt_hit(const struct soft_cpu *c, u16 sel, unsigned kind, unsigned dpl, u64 *raw)
{
	if (sel_null(sel) || (sel & SEL_TI) || (sel | 7u) > c->gdt_limit)
		return false;
	volatile guest_u64 *p = sys_hit(c->tlbs[TLB_SUPER], c->gdt_base + (sel & ~7u), 8, false);
	if (unlikely(!p))
		return false;
	*raw = *p;
	if (kind == SYS_KIND_CODE64 && (*raw >> 53 & 3) != 1)
		return false;
	return (*raw >> 40 & 0xff) == (kind | dpl << 5);
}

/* short.c: true: done, c->rip is where to go on. next: RIP behind the SYSCALL. */
bool sys_syscall_short(struct soft_cpu *c, u64 next);
bool sys_sysret_short(struct soft_cpu *c); /* to 64-bit code */
bool sys_iret_short(struct soft_cpu *c);   /* NMIs are the caller's */

/* ---- control transfers ---- */
enum sys_event {
	EV_EXC,   /* an exception */
	EV_INTR,  /* external interrupt, NMI */
	EV_SOFT,  /* INT n, INT3, INTO: gate DPL counts */
	EV_ICEBP, /* INT1 */
};
/* Through the IDT or IVT; ret_rip: what is saved. error: EXC_NO_ERROR or a code. Raises on faults,
 * sets everything up to c->rip otherwise. */
void sys_deliver(struct soft_cpu *c, u8 vec, enum sys_event ev, s64 error, u64 ret_rip);

/* INT1, and what MOV SS before it held back. */
void sys_icebp(struct soft_cpu *c, u64 ret_rip);

/* INT n in virtual-8086 mode with CR4.VME: done through the task's own IVT if its map says so. */
bool sys_vme_int(struct soft_cpu *c, u8 vec, u64 ret_rip);

enum sys_switch { SWITCH_JMP, SWITCH_CALL, SWITCH_IRET, SWITCH_INT };
/* To the task of TSS descriptor *d (read by sys_desc_get, type and P checked), saving next_rip in
 * the old TSS. error: pushed on the new stack unless EXC_NO_ERROR. */
void sys_task_switch(struct soft_cpu *c, u16 tss_sel, struct sys_desc *d, enum sys_switch why, u64 next_rip, s64 error);

#define DR6_BD (1ull << 13)
#define DR6_BS (1ull << 14)
#define DR6_BT (1ull << 15)
/* Note an I/O access for DR7 breakpoints of that kind (CR4.DE). */
void sys_io_breakpoint(struct soft_cpu *c, u16 port, unsigned bytes);

/* ---- handlers, by file; decode_sys.c names them ---- */
uop_fn sys_iret;
uop_fn sys_jmp_far_ptr, sys_jmp_far_mem, sys_call_far_ptr, sys_call_far_mem, sys_ret_far;
uop_fn sys_mov_from_sreg, sys_mov_to_sreg, sys_push_sreg, sys_pop_sreg, sys_lxs, sys_lldt, sys_ltr, sys_sldt, sys_str,
    sys_lgdt, sys_lidt, sys_sgdt, sys_sidt, sys_lar, sys_lsl, sys_verr, sys_verw, sys_arpl;
uop_fn sys_mov_from_cr, sys_mov_to_cr, sys_clts, sys_lmsw, sys_smsw, sys_mov_from_dr, sys_mov_to_dr, sys_invlpg,
    sys_invpcid, sys_wbinvd, sys_swapgs, sys_rdbase, sys_wrbase, sys_rdpid, sys_stac, sys_clac, sys_xgetbv, sys_xsetbv;
uop_fn sys_hlt, sys_cli, sys_sti, sys_pushf, sys_popf, sys_cpuid, sys_rdtsc, sys_rdtscp, sys_rdpmc, sys_rdmsr,
    sys_wrmsr, sys_hypercall;
uop_fn sys_syscall, sys_sysret, sys_sysenter, sys_sysexit;
uop_fn sys_int, sys_int3, sys_into, sys_int1, sys_bound, sys_enter;
uop_fn sys_in, sys_out, sys_ins, sys_outs;

/* msr_fixed.c. False: there is none, or #GP. */
bool sys_msr_fixed_read(const struct soft_cpu *c, u32 msr, u64 *v);
bool sys_msr_fixed_write(const struct soft_cpu *c, u32 msr, u64 v);

/* What the model promises, asked at run time by rarely used handlers. */
bool sys_vendor_amd(const struct soft_cpu *c);

#endif
