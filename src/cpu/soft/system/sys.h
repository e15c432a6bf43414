/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sys.h - what the files of system/ share: faults, questions about the mode, events, task switches. Descriptors are in
 * desc.h, stacks in stack.h, the handlers' names in sys_ops.h.
 *
 * One rule holds for all: every access and check that can fault comes before the first change of state,
 * so that a fault leaves the instruction restartable. The one exception is the task switch, whose
 * late faults belong to the new task by definition (SDM 3A 7.3).
 */
#ifndef MICA_SOFT_SYS_H
#define MICA_SOFT_SYS_H

#include "cpu/soft/ea.h"
#include "cpu/soft/handler.h"
#include "cpu/soft/memory/access.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/system/sys_ops.h"
#include "cpu/soft/system/system.h"

/* Handlers leave by tail calls and so have no locals of their own whose address is taken: those live in
 * functions that must not be inlined into them. */
#define outline_ __attribute__((noinline))
/* The handler sys_name() around do_name(). */
#define DEF_SYS(name) \
	void sys_##name(struct soft_cpu *c, const struct uop *op) \
	{ \
		SOFT_ENTER(c, op); \
		do_##name(c, op); \
		NEXT(c, op); \
	}
/* Last thing of a handler after which the run loop must look at everything: a new mode, paging, interruptibility. */
static inline void sys_leave_loop(struct soft_cpu *c, const struct uop *op)
{
	c->rip = SOFT_NEXT_RIP(c, op);
	soft_exit(c);
}

/* ---- the event being delivered ---- */
/* c->exc_delivering: -1, an exception's vector, or this bit and an interrupt's vector. */
#define DELIVERING_INTR 0x100

/* Bit EXT of an error code: the fault happened while an event was delivered that the program did not ask for. */
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
/* Not in real or virtual-8086 mode: #UD. */
static inline void sys_need_prot(struct soft_cpu *c)
{
	if (!sys_prot(c))
		soft_ud(c);
}

struct sys_desc;

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

/* The guest's time-stamp counter. */
u64 sys_tsc(const struct soft_cpu *c);

/* msr_fixed.c. False: there is none, or #GP. */
bool sys_msr_fixed_read(const struct soft_cpu *c, u32 msr, u64 *v);
bool sys_msr_fixed_write(const struct soft_cpu *c, u32 msr, u64 v);

/* What the model promises, asked at run time by rarely used handlers. */
bool sys_vendor_amd(const struct soft_cpu *c);

#endif
