/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * desc.h - descriptors and segment registers (SDM 3A 3.4.5, 3.5).
 */
#ifndef MICA_SOFT_SYS_DESC_H
#define MICA_SOFT_SYS_DESC_H

#include "cpu/soft/system/sys.h"

#define SEL_RPL 3u
#define SEL_TI 4u
static inline bool sel_null(u16 sel)
{
	return !(sel & ~SEL_RPL);
}

/* The selector that is an operand: memory where aux is set, or register r0. */
static inline u16 sys_ld_sel(struct soft_cpu *c, const struct uop *op)
{
	return op->aux ? soft_ld16(c, soft_ea(c, op, 2, false)) : (u16)c->gpr[op->r0];
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

#endif
