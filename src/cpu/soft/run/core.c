/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * core.c - the software engine's run loop: modes, from block to block, single steps, interrupts.
 *
 * Theory of operation
 *
 * run() is where a vCPU stands when it is not inside a block. Each turn: look at c->pending (requests
 * of other threads, or our own wish to single-step); wait if halted (halt.c); take an interrupt if one can be
 * taken; then run_leave() into the chain of blocks, which returns when something is pending again.
 * Exceptions come back to run() by longjmp with c->exc filled, and are delivered from there.
 *
 * Single steps: TF, the instruction after STI or MOV SS, instructions on a page with an instruction breakpoint, one
 * that meets a data breakpoint, and one that stores into its own block are run alone: decoded into c->step_block, never
 * cached.
 */
#include "base/clock.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/system/sys.h"
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/run/fetch.h"
#include "cpu/soft/run/halt.h"
#include "cpu/soft/run/hooks.h"
#include "cpu/soft/vector/fpu.h"
#include "cpu/soft/handler.h"

#include <inttypes.h>

/* ---- from block to block ---- */

void run_leave(struct soft_cpu *c, const struct uop *op)
{
	(void)op;
	if (unlikely(c->jit.in_uop))
		return;
	if (unlikely(atomic_load_explicit(&c->pending, memory_order_relaxed)) ||
	    unlikely(atomic_load_explicit(&c->intr_line, memory_order_relaxed) && (c->sysflags & FL_IF)))
		return;
	gva_t lin = soft_lin_rip(c);
	struct jc_entry *e = &c->jc[jc_hash(lin)];
	struct block *b = e->block;

	if (unlikely(e->key != (lin ^ c->jc_salt) || b->dead)) {
		if (unlikely(dr7_any(c->dr7)) && mmu_breakpoint_on_page(c, lin, ACC_X)) {
			c->one_step = true;
			soft_step_changed(c);
			return;
		}
		b = fetch_block(c, lin);
		jc_set(c, e, lin, b);
	}
	if (unlikely(!(c->mode & MODE_CODE64)) && c->rip + b->bytes - 1 > c->seg[SEG_CS].limit) {
		/* The block, or this instruction, crosses the segment's limit. */
		c->one_step = true;
		soft_step_changed(c);
		return;
	}
	c->gpr[GPR_BLK] = c->rip;
	GOTO_UOP(c, b->op);
}

#ifdef SOFT_TRAMPOLINE
static void burn(struct soft_cpu *c)
{
	if (c->fuel && !--c->fuel)
		atomic_fetch_or(&c->pending, PEND_STOP);
}
#endif

static void enter_chain(struct soft_cpu *c)
{
#ifdef SOFT_TRAMPOLINE
	c->next_op = NULL;
	burn(c); /* also where no uop is reached: faults of the fetch, over and over */
	run_leave(c, NULL);
	while (c->next_op) {
		const struct uop *o = c->next_op;
		c->next_op = NULL;
		burn(c);
		o->fn(c, o);
	}
#else
	run_leave(c, NULL);
#endif
}

static void run_uops(struct soft_cpu *c, const struct uop *o)
{
#ifdef SOFT_TRAMPOLINE
	do {
		c->next_op = NULL;
		burn(c);
		o->fn(c, o);
		o = c->next_op;
	} while (o);
#else
	o->fn(c, o);
#endif
}

static cold_ void trace_insn(struct soft_cpu *c, const u8 *bytes, unsigned n)
{
	static ZydisFormatter fmt;
	static _Atomic bool ready;
	char text[128];
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!ready) {
		ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
		ready = true;
	}
	const ZydisDecoder *d = &c->vm->decoder[soft_decoder(c->mode)];
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(d, bytes, n, &in, ops)) ||
	    ZYAN_FAILED(ZydisFormatterFormatInstruction(&fmt, &in, ops, in.operand_count_visible, text, sizeof(text),
							c->rip, NULL)))
		snprintf(text, sizeof(text), "(bad)");
	fprintf(stderr,
		"cpu%u %016" PRIx64 " %-40s ax=%" PRIx64 " cx=%" PRIx64 " dx=%" PRIx64 " bx=%" PRIx64 " sp=%" PRIx64
		" bp=%" PRIx64 " si=%" PRIx64 " di=%" PRIx64 " fl=%" PRIx64 "\n",
		c->index, c->rip, text, c->gpr[0], c->gpr[1], c->gpr[2], c->gpr[3], c->gpr[4], c->gpr[5], c->gpr[6],
		c->gpr[7], soft_get_rflags(c));
}

static inline void end_exclusive(struct soft_cpu *c)
{
	if (unlikely(c->exclusive)) {
		c->exclusive = false;
		cache_exclusive_end(c->vm, c);
	}
}

/* Fetch up to 15 bytes at rip; fewer when the next page is not there (the decode tells). */
static void step(struct soft_cpu *c)
{
	bool tf = c->sysflags & FL_TF;
	gva_t lin = soft_lin_rip(c);
	gpa_t gpa;
	u8 bytes[16];
	enum tlb_index idx = c->cpl == 3 ? TLB_USER : TLB_SUPER;
	unsigned room = (unsigned)MIN(15, PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
	struct block *b = c->step_block;

	c->st.single_steps++;
	c->op = NULL;
	soft_step_before(c);
	if (!(c->mode & MODE_CODE64) && c->rip > c->seg[SEG_CS].limit)
		soft_gp(c, 0);
	const u8 *p = mmu_translate(c, idx, lin, ACC_X, &gpa);
	memcpy(bytes, p, room);
	memset(b, 0, sizeof(*b));
	b->phys2 = UINT64_MAX;
	b->mode = soft_code_key(c);
	if (!decode_block(c, b, bytes, room, 1, true)) {
		gva_t lin2 = (lin | (PAGE_BYTES - 1)) + 1;
		p = mmu_translate(c, idx, c->mode & MODE_CODE64 ? lin2 : (u32)lin2, ACC_X, &gpa);
		memcpy(bytes + room, p, 15 - room);
		room = 15;
		must(decode_block(c, b, bytes, 15, 1, true));
	}
	if (!(c->mode & MODE_CODE64) && c->rip + b->bytes - 1 > c->seg[SEG_CS].limit)
		soft_gp(c, 0);
	if (unlikely(c->trace & TRACE_EXEC))
		trace_insn(c, bytes, room);

	/* Run it. Its last uop, or a handler that ends the block, comes back because PEND_STEP is set. */
	c->was_shadow = c->shadow;
	c->was_shadow_ss = c->shadow_ss;
	c->shadow = c->shadow_ss = false;
	c->one_step = false;
	atomic_fetch_or_explicit(&c->pending, PEND_STEP, memory_order_relaxed);
	c->gpr[GPR_BLK] = c->rip;
	u32 rf = c->sysflags & FL_RF;
	c->stepping = true;
	run_uops(c, b->op);
	c->stepping = false;
	end_exclusive(c);
	if (rf && c->rip != c->gpr[GPR_BLK])
		c->sysflags &= ~FL_RF;
	c->redo_step = false;
	if (c->redo_bytes) {
		atomic_thread_fence(memory_order_seq_cst);
		cache_invalidate_ram(c->vm, c->redo_off, c->redo_bytes);
		c->redo_bytes = 0;
	}
	soft_step_changed(c);
	soft_step_after(c, tf);
}

/* ---- the loop ---- */

static void trace_exc(struct soft_cpu *c)
{
	fprintf(stderr, "cpu%u exception %u error %x cr2 %" PRIx64 " at %04x:%" PRIx64 " cpl %u sp %" PRIx64 "\n",
		c->index, c->exc.vec, c->exc.has_error ? c->exc.error : 0, c->exc.vec == EXC_PF ? c->exc.cr2 : 0,
		c->seg[SEG_CS].sel, c->rip, c->cpl, c->gpr[GPR_RSP]);
}

static bool take_interrupt(struct soft_cpu *c)
{
	if (!atomic_load(&c->intr_line) || !(c->sysflags & FL_IF) || c->shadow)
		return false;
	int vec = c->bus->intr_ack(c->bus->opaque, c->index);
	if (vec < 0)
		return false;
	c->st.intr++;
	c->halted = false;
	if (unlikely(c->trace & TRACE_INTR))
		fprintf(stderr, "cpu%u interrupt %d at %" PRIx64 "\n", c->index, vec, c->rip);
	direct_interrupt(c);
	c->redo_step = true;
	soft_deliver_intr(c, (u8)vec);
	c->redo_step = false;
	return true;
}

/* What cannot wait for the run loop; false: stop here. */
static cold_ bool between_exceptions(struct soft_cpu *c)
{
#ifdef SOFT_TRAMPOLINE
	burn(c);
#endif
	u32 p = atomic_load(&c->pending);

	if (p & PEND_QUIESCE) {
		atomic_fetch_and(&c->pending, ~PEND_QUIESCE);
		cache_leave_guest(c);
		cache_enter_guest(c);
	}
	if (p & PEND_STOP)
		atomic_fetch_and(&c->pending, ~PEND_STOP);
	return !(p & PEND_STOP);
}

enum cpu_exit core_run(struct soft_cpu *c)
{
	int how = _setjmp(c->jb);

	c->was_alone = c->stepping;
	c->stepping = false;
	c->jit.in_uop = false;
	end_exclusive(c);
	switch (how) {
	case 0:
		if (likely(!c->exc_waits))
			break;
		c->exc_waits = false;
		cache_enter_guest(c);
		goto deliver;
	case 2: /* core_redo_stepped() */
		c->redo_step = true;
		c->dr6_pending = 0; /* it will meet its breakpoints again */
		if (c->was_alone) { /* and still is what a shadow covers */
			c->shadow = c->was_shadow;
			c->shadow_ss = c->was_shadow_ss;
		}
		c->one_step = true;
		soft_step_changed(c);
		break;
	default:
		/* Delivering an exception may raise another one, and that the first again (#AC on the stack of an
		 * #AC handler, #DB on that of a #DB handler): a guest can do this for ever. */
		if (unlikely(c->exc_delivering >= 0) && !between_exceptions(c)) {
			c->exc_waits = true;
			cache_leave_guest(c);
			return CPU_EXIT_STOP;
		}
	deliver:
		c->redo_bytes = 0;
		if (c->one_step) {
			c->one_step = false;
			soft_step_changed(c);
		}
		c->st.exc[c->exc.vec & 31]++;
		if (unlikely(c->trace & TRACE_EXC))
			trace_exc(c);
		c->halted = false;
		/* Delivery is not an instruction that could be run again: its stores just go through. */
		c->redo_step = true;
		c->op = NULL;
		if (!soft_deliver_exc(c)) {
			c->redo_step = false;
			cache_leave_guest(c);
			return CPU_EXIT_SHUTDOWN;
		}
		c->redo_step = false;
	}
	if (!atomic_load_explicit(&c->in_guest, memory_order_relaxed))
		cache_enter_guest(c);
	if (unlikely(c->intr_waits >= 0)) {
		u8 vec = (u8)c->intr_waits;
		c->intr_waits = -1;
		c->halted = false;
		c->op = NULL;
		c->redo_step = true;
		soft_deliver_intr(c, vec);
		c->redo_step = false;
	}
	for (;;) {
		u32 p = atomic_load(&c->pending);

		if (unlikely(p & ~PEND_STEP)) {
			if (p & PEND_QUIESCE) {
				atomic_fetch_and(&c->pending, ~PEND_QUIESCE);
				cache_leave_guest(c);
				cache_enter_guest(c);
			}
			/* What MOV SS holds back is not part of the state: one more instruction. */
			if ((p & PEND_STOP) && !c->dr6_held) {
				atomic_fetch_and(&c->pending, ~PEND_STOP);
				cache_leave_guest(c);
				return CPU_EXIT_STOP;
			}
			if (p & PEND_INIT) {
				atomic_fetch_and(&c->pending, ~(PEND_INIT | PEND_NMI)); /* a SIPI after it stays */
				soft_reset_state(c, true);
				c->wait_sipi = c->index != 0;
				continue;
			}
			if (p & PEND_SIPI) {
				atomic_fetch_and(&c->pending, ~PEND_SIPI);
				if (c->wait_sipi) {
					c->wait_sipi = false;
					c->halted = false;
					c->seg[SEG_CS].sel = (u16)(c->sipi_vector << 8);
					c->seg[SEG_CS].base = (u64)c->sipi_vector << 12;
					c->rip = 0;
					soft_mode_changed(c);
				}
				continue;
			}
			if (p & PEND_KICK) {
				atomic_fetch_and(&c->pending, ~PEND_KICK);
				c->kicked = true;
			}
			if ((p & PEND_NMI) && !c->nmi_masked && !c->shadow && !c->wait_sipi) {
				atomic_fetch_and(&c->pending, ~PEND_NMI);
				c->nmi_masked = true;
				c->halted = false;
				c->op = NULL;
				c->redo_step = true;
				soft_deliver_intr(c, EXC_NMI);
				c->redo_step = false;
				continue;
			}
			/* Cannot be taken now: IRET, STI and POPF look at intr_line, IRET at NMIs. */
			if (p & PEND_INTR)
				atomic_fetch_and(&c->pending, ~PEND_INTR);
			if ((p & PEND_NMI) && c->nmi_masked)
				atomic_fetch_and(&c->pending, ~PEND_NMI), c->nmi_latched = true;
		}
		if (c->nmi_latched && !c->nmi_masked) {
			c->nmi_latched = false;
			atomic_fetch_or(&c->pending, PEND_NMI);
			continue;
		}
		c->op = NULL;
		if (unlikely(c->dr6_pending))
			soft_step_delivered(c);
		if (take_interrupt(c))
			continue;
		if (c->halted && c->kicked)
			c->halted = c->kicked = false;
		if (unlikely(c->halted || c->wait_sipi)) {
			cache_leave_guest(c);
			halt_wait(c);
			cache_enter_guest(c);
			continue;
		}
		p = atomic_load_explicit(&c->pending, memory_order_relaxed);
		if (unlikely(p & PEND_DIRECT)) {
			atomic_fetch_and(&c->pending, ~PEND_DIRECT);
			if (c->cpl == 3 && !(p & PEND_STEP) && direct_run(c))
				continue;
			p &= ~PEND_DIRECT;
		}
		if (unlikely(p & PEND_STEP))
			step(c);
		else
			enter_chain(c);
	}
}
