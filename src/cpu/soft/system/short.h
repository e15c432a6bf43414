/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * short.h - short ways between the rings.
 *
 * SYSCALL, SYSRET, IRETQ and the delivery of events each have one in 64-bit code, SYSENTER and SYSEXIT in protected
 * mode, POPF at CPL 0 in both: for flat segments, with everything in the TLB and nothing to trap. It looks at all that
 * the long way looks at. Where any of it is out of the ordinary it has changed nothing, and the long way is taken.
 */
#ifndef MICA_SOFT_SYS_SHORT_H
#define MICA_SOFT_SYS_SHORT_H

#include "cpu/soft/system/desc.h"

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
/* soft_mode_changed() where 64-bit code goes on as 64-bit code with the same bases, or flat 32-bit code as flat 32-bit
 * code: CPL, SS or AC changed. */
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
bool sys_sysenter_short(struct soft_cpu *c);
bool sys_sysexit_short(struct soft_cpu *c);
/* next: RIP behind the POPF, which takes `bytes` off the stack. */
bool sys_popf_short(struct soft_cpu *c, unsigned bytes, u64 next);

#endif
