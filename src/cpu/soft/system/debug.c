/* SPDX-License-Identifier: GPL-2.0-or-later */
/* debug.c - debug registers, breakpoints, single steps (SDM 3B 17). */
#include "cpu/soft/system/debug.h"

/* ---- MOV to and from debug registers. r0: gpr, r1: number ---- */
#define DR7_GD (1ull << 13)

static unsigned dr_check(struct soft_cpu *c, unsigned n)
{
	if (n == 4 || n == 5) {
		if (c->cr4 & CR4_DE)
			soft_ud(c);
		n += 2;
	}
	sys_need_cpl0(c);
	if (c->dr7 & DR7_GD)
		soft_raise_db(c, DR6_BD, false);
	return n;
}

void sys_mov_from_dr(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = dr_check(c, op->r1);
	u64 v = n < 4 ? c->dr[n] : n == 6 ? c->dr6 : c->dr7;

	c->gpr[op->r0] = soft_code64(c) ? v : (u32)v;
	NEXT(c, op);
}

void sys_mov_to_dr(struct soft_cpu *c, const struct uop *op)
{
	SOFT_ENTER(c, op);
	unsigned n = dr_check(c, op->r1);
	u64 v = soft_code64(c) ? c->gpr[op->r0] : (u32)c->gpr[op->r0];
	u64 old_dr7 = c->dr7;

	if (n >= 6 && v >> 32)
		sys_fault_0(c, EXC_GP);
	if (n < 4) {
		if (!soft_canonical(v))
			sys_fault_0(c, EXC_GP);
		c->dr[n] = v;
	} else if (n == 6) {
		c->dr6 = (v & 0xe00f) | 0xffff0ff0;
	} else {
		c->dr7 = (v & 0xffff2bff) | 0x400;
	}
	/* Pages with breakpoints on them are in no cache, see memory/access.c. */
	if ((n == 7 && ((old_dr7 ^ c->dr7) & 0xffff00ff)) || (n < 4 && dr7_any(c->dr7)))
		soft_tlb_flush(c, true);
	sys_leave_loop(c, op);
}

/* ---- breakpoints and steps ---- */
void soft_step_before(struct soft_cpu *c)
{
	u64 hits = 0;

	c->no_step_trap = false;
	/* The run loop takes RF away when the instruction is done. */
	if ((c->sysflags & FL_RF) || c->shadow_ss || !(c->dr7 & 0xff))
		return;
	gva_t lin = sys_lin(c, c->eff_base[SEG_CS] + c->rip);
	for (unsigned i = 0; i < 4; i++)
		if (dr7_enabled(c->dr7, i) && dr7_kind(c->dr7, i) == DR7_EXEC && c->dr[i] == lin)
			hits |= 1u << i;
	if (hits)
		soft_raise_db(c, hits, false);
}

void sys_io_breakpoint(struct soft_cpu *c, u16 port, unsigned bytes)
{
	for (unsigned i = 0; i < 4; i++) {
		u64 len = dr7_bytes(c->dr7, i), at = c->dr[i] & ~(len - 1);

		if (dr7_enabled(c->dr7, i) && dr7_kind(c->dr7, i) == DR7_IO && port < at + len && at < port + bytes)
			c->dr6_pending |= 1u << i;
	}
}

/*
 * MOV SS and POP SS hold data breakpoints back until after the next instruction, and lose the single step (3A 6.8.3).
 * Processors of both vendors do this with held breakpoints when the next instruction is special:
 *
 *   INT n, INT3, INTO, SYSCALL, SYSENTER: the trap comes in the kernel, before the handler's first instruction
 *   INT1: one #DB for both, after INT1. Two would nest without end
 *   a fault: they are lost
 *   an instruction breakpoint on that instruction: it is missed (soft_step_before())
 */
void soft_step_after(struct soft_cpu *c, bool tf_was_set)
{
	u64 hits = c->dr6_pending | c->dr6_held;

	c->dr6_pending = c->dr6_held = 0;
	if (c->shadow_ss) {
		c->dr6_held = hits;
		return;
	}
	if (tf_was_set && !c->no_step_trap)
		hits |= DR6_BS;
	if (hits)
		soft_raise_db(c, hits, true);
}

void soft_step_delivered(struct soft_cpu *c)
{
	u64 hits = c->dr6_pending;

	c->dr6_pending = 0;
	soft_raise_db(c, hits, true);
}
