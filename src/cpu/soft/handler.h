/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handler.h - what a handler of a uop is made of, and what it keeps to.
 */
#ifndef MICA_SOFT_HANDLER_H
#define MICA_SOFT_HANDLER_H

#include "cpu/soft/hooks.h"
#include "cpu/soft/raise.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
#define SOFT_TRAMPOLINE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SOFT_TRAMPOLINE 1
#endif
#endif

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
#if defined(__clang__) && !defined(SOFT_TRAMPOLINE)
#define TAIL(fn, c, op) __attribute__((musttail)) return fn((c), (op))
#else
#define TAIL(fn, c, op) return fn((c), (op))
#endif
#define noinline_ __attribute__((noinline))
/*
 * Last thing of a handler that ends its block (the decoder must have been told: dec->end = true)
 * because control flow, mode, paging or interruptibility changed: set c->rip to where to go on,
 * then this. soft_leave() goes on with the next block where nothing is pending; soft_exit()
 * returns to the run loop, which looks at everything (after STI, CR writes, mode changes...).
 */
static inline void soft_leave(struct soft_cpu *c, const struct uop *op)
{
	TAIL(c->hooks->leave, c, op);
}
static inline void soft_exit(struct soft_cpu *c)
{
	(void)c; /* returning from the chain is the exit */
}

#endif
