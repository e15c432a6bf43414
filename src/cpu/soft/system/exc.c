/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exc.c - exceptions and interrupts: what is delivered, and what two exceptions at once become (SDM 3A 6).
 *
 * Theory of operation
 *
 *   soft_raise() -> longjmp -> run loop -> soft_deliver_exc() -> sys_deliver()
 *
 * While an exception is delivered c->exc_delivering holds its vector; a fault inside of delivery
 * longjmps to the run loop, which calls soft_deliver_exc() again, and that combines the two by
 * their classes (3A table 6-5): serially, into #DF, or into a shutdown. An interrupt's vector is
 * there with DELIVERING_INTR: a benign first event, whose only trace is EXT in error codes.
 * Nothing of the state is touched until all of a delivery's accesses are done, so what the
 * second event saves is what the first would have.
 */
#include "cpu/soft/system/debug.h"

/* ---- exceptions on exceptions (3A table 6-5) ---- */
static bool contributory(unsigned vec)
{
	return vec == EXC_DE || (vec >= EXC_TS && vec <= EXC_GP);
}
static bool makes_double(unsigned first, unsigned second)
{
	if (contributory(first))
		return contributory(second);
	return first == EXC_PF && (contributory(second) || second == EXC_PF);
}

bool soft_deliver_exc(struct soft_cpu *c)
{
	u8 vec = c->exc.vec;
	s64 error = c->exc.has_error ? (s64)c->exc.error : EXC_NO_ERROR;
	int first = c->exc_delivering;

	if (!c->exc.is_trap)
		c->dr6_pending = 0; /* the instruction will run again, and meet its breakpoints again */
	/* The instruction after MOV SS faulted: breakpoints that MOV SS met are lost, and its shadow ends. */
	c->dr6_held = 0;
	if (unlikely(c->shadow)) {
		c->shadow = c->shadow_ss = false;
		soft_step_changed(c);
	}
	if (vec == EXC_PF)
		c->cr2 = c->exc.cr2;
	if (first >= 0 && first < DELIVERING_INTR) {
		if (first == EXC_DF) {
			c->exc_delivering = -1;
			return false;
		}
		if (makes_double((unsigned)first, vec)) {
			vec = EXC_DF;
			error = 0;
			c->exc.is_trap = false;
		}
	}
	if (vec == EXC_DB) {
		/* B0-B3 show the conditions met now; the others accumulate (3B 17.2.3). GD goes off so
		 * that the handler may use the registers. */
		c->dr6 = ((c->dr6 & ~0xfull) | c->exc.dr6 | 0xffff0ff0ull) & ~(1ull << 12);
		c->dr7 &= ~(1ull << 13);
		soft_step_changed(c);
	}
	c->exc_delivering = vec;
	sys_deliver(c, vec, EV_EXC, error, c->rip);
	c->exc_delivering = -1;
	return true;
}

void soft_deliver_intr(struct soft_cpu *c, u8 vec)
{
	c->exc_delivering = DELIVERING_INTR | vec;
	sys_deliver(c, vec, EV_INTR, EXC_NO_ERROR, c->rip);
	c->exc_delivering = -1;
}

void sys_icebp(struct soft_cpu *c, u64 ret_rip)
{
	u64 hits = c->dr6_held;

	c->exc_delivering = DELIVERING_INTR | EXC_DB;
	sys_deliver(c, EXC_DB, EV_ICEBP, EXC_NO_ERROR, ret_rip);
	c->exc_delivering = -1;
	/* INT1 itself sets nothing. */
	c->dr6 |= hits;
	c->dr6_held = 0;
}
