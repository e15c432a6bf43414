/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * core.c - the software engine's run loop, and cpu.h for it.
 *
 * Theory of operation
 *
 * run() is where a vCPU stands when it is not inside a block. Each turn: look at c->pending (requests
 * of other threads, or our own wish to single-step); sleep if halted; take an interrupt if one can be
 * taken; then soft_leave() into the chain of blocks, which returns when something is pending again.
 * Exceptions come back to run() by longjmp with c->exc filled, and are delivered from there.
 *
 * Single steps: TF, instruction breakpoints, the instruction after STI or MOV SS, and an instruction
 * that stores into its own block are run alone: decoded into c->step_block, never cached.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cpu/engine.h"
#include "cpu/soft/cache.h"

#include <inttypes.h>
#include <linux/futex.h>
#include <sys/syscall.h>

/* The arena of decoded blocks; with everything else the VMM stays below 64 MiB beside guest RAM. */
#define CODE_CACHE_BYTES (32 * MIB)

struct one {
	struct cpu head;
	struct soft_cpu s __attribute__((aligned(64)));
};
struct all {
	struct cpu_vm head;
	struct soft_vm s;
};

static struct soft_cpu *soft(struct cpu *c)
{
	return &container_of(c, struct one, head)->s;
}

struct soft_cpu *soft_cpu_of(struct cpu *c)
{
	return soft(c);
}

static struct soft_vm *soft_vm(struct cpu_vm *v)
{
	return &container_of(v, struct all, head)->s;
}

/* ---- raising ---- */

void soft_raise(struct soft_cpu *c, enum soft_exc vec, s64 error)
{
	c->exc.vec = (u8)vec;
	c->exc.has_error = error != EXC_NO_ERROR;
	c->exc.error = (u32)error;
	c->exc.is_trap = false;
	_longjmp(c->jb, 1);
}

void soft_raise_pf(struct soft_cpu *c, gva_t cr2, u32 error)
{
	c->exc.cr2 = cr2;
	soft_raise(c, EXC_PF, error);
}

void soft_raise_db(struct soft_cpu *c, u64 dr6, bool trap)
{
	c->exc.vec = EXC_DB;
	c->exc.has_error = false;
	c->exc.dr6 = dr6;
	c->exc.is_trap = trap;
	_longjmp(c->jb, 1);
}

void core_redo_stepped(struct soft_cpu *c)
{
	_longjmp(c->jb, 2);
}

/* ---- flags, modes ---- */

u64 soft_get_rflags(struct soft_cpu *c)
{
	return c->sysflags | soft_get_status(c) | 2;
}

void soft_set_rflags(struct soft_cpu *c, u64 v)
{
	u32 old = c->sysflags;

	soft_set_status(c, (u32)v);
	c->sysflags =
	    ((u32)v & (FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)) | 2;
	if (!(c->dr7 & 0xff))
		c->sysflags &= ~FL_RF; /* only instruction breakpoints would ever look at it */
	u32 diff = old ^ c->sysflags;
	if (diff & FL_VM)
		soft_mode_changed(c);
	else if (diff & FL_AC)
		c->tlb = c->tlbs[mmu_index(c)];
	if ((diff | c->sysflags) & (FL_TF | FL_RF))
		soft_step_changed(c);
}

void soft_mode_changed(struct soft_cpu *c)
{
	const struct cpu_seg *cs = &c->seg[SEG_CS];
	u32 mode = 0;

	if (c->cr0 & CR0_PE) {
		mode |= MODE_PE;
		if (c->sysflags & FL_VM)
			mode |= MODE_VM86;
	}
	if (c->efer & EFER_LMA)
		mode |= MODE_LMA;
	if ((mode & MODE_LMA) && (cs->ar & SEG_AR_L))
		mode |= MODE_CODE64;
	else if (cs->ar & SEG_AR_DB)
		mode |= MODE_CODE32;
	if (c->seg[SEG_SS].ar & SEG_AR_DB)
		mode |= MODE_SS32;
	if ((c->mode ^ mode) & (MODE_PE | MODE_VM86))
		soft_vec_changed(c);
	c->mode = mode;

	if (!(mode & MODE_PE))
		c->cpl = 0;
	else if (mode & MODE_VM86)
		c->cpl = 3;

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		c->eff_base[i] = (mode & MODE_CODE64) && i < SEG_FS ? 0 : c->seg[i].base;
	c->tlb = c->tlbs[mmu_index(c)];
	c->jc = c->jcs[c->cpl == 3];
	c->jc_salt = mode & MODE_CODE64 ? 0 : mode & MODE_CODE32 ? 1ull << 62 : 1ull << 61;
}

void soft_step_changed(struct soft_cpu *c)
{
	/* An instruction being run alone may change all of the reasons; it still must come back. */
	bool step = c->stepping || (c->sysflags & (FL_TF | FL_RF)) || c->shadow || c->one_step || (c->dr7 & 0xff) ||
		    (c->trace & TRACE_EXEC);

	if (step)
		atomic_fetch_or_explicit(&c->pending, PEND_STEP, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&c->pending, ~PEND_STEP, memory_order_relaxed);
}

/* ---- from block to block ---- */

static inline gva_t lin_rip(const struct soft_cpu *c)
{
	return c->mode & MODE_CODE64 ? c->rip : (u32)(c->eff_base[SEG_CS] + c->rip);
}

void soft_leave(struct soft_cpu *c, const struct uop *op)
{
	(void)op;
	if (unlikely(atomic_load_explicit(&c->pending, memory_order_relaxed)) ||
	    unlikely(atomic_load_explicit(&c->intr_line, memory_order_relaxed) && (c->sysflags & FL_IF)))
		return;
	gva_t lin = lin_rip(c);
	struct jc_entry *e = &c->jc[jc_hash(lin)];
	struct block *b = e->block;

	if (unlikely(e->key != (lin ^ c->jc_salt) || b->dead)) {
		b = cache_get(c, lin);
		e->key = lin ^ c->jc_salt;
		e->block = b;
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
	soft_leave(c, NULL);
	while (c->next_op) {
		const struct uop *o = c->next_op;
		c->next_op = NULL;
		burn(c);
		o->fn(c, o);
	}
#else
	soft_leave(c, NULL);
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
	const ZydisDecoder *d = &c->vm->decoder[c->mode & MODE_CODE64 ? 0 : c->mode & MODE_CODE32 ? 1 : 2];
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
	gva_t lin = lin_rip(c);
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
	if (!p)
		soft_gp(c, 0);
	memcpy(bytes, p, room);
	memset(b, 0, sizeof(*b));
	b->phys2 = UINT64_MAX;
	b->mode = c->mode & MODE_CODE_MASK;
	if (!decode_block(c, b, bytes, room, 1)) {
		gva_t lin2 = (lin | (PAGE_BYTES - 1)) + 1;
		p = mmu_translate(c, idx, c->mode & MODE_CODE64 ? lin2 : (u32)lin2, ACC_X, &gpa);
		if (!p)
			soft_gp(c, 0);
		memcpy(bytes + room, p, 15 - room);
		room = 15;
		must(decode_block(c, b, bytes, 15, 1));
	}
	if (!(c->mode & MODE_CODE64) && c->rip + b->bytes - 1 > c->seg[SEG_CS].limit)
		soft_gp(c, 0);
	if (unlikely(c->trace & TRACE_EXEC))
		trace_insn(c, bytes, room);

	/* Run it. Its last uop, or a handler that ends the block, comes back because PEND_STEP is set. */
	bool was_shadow = c->shadow;
	c->shadow = c->shadow_ss = false;
	c->one_step = false;
	atomic_fetch_or_explicit(&c->pending, PEND_STEP, memory_order_relaxed);
	c->gpr[GPR_BLK] = c->rip;
	(void)was_shadow;
	u32 rf = c->sysflags & FL_RF;
	c->stepping = true;
	run_uops(c, b->op);
	c->stepping = false;
	end_exclusive(c);
	if (rf && c->rip != c->gpr[GPR_BLK])
		c->sysflags &= ~FL_RF;
	c->redo_step = false;
	if (c->redo_bytes) {
		cache_invalidate(c->vm, c->redo_gpa, c->redo_bytes);
		c->redo_bytes = 0;
	}
	soft_step_changed(c);
	soft_step_after(c, tf);
}

/* ---- sleeping and waking ---- */

static void wake(struct soft_cpu *c)
{
	atomic_fetch_add(&c->wake_seq, 1);
	if (atomic_load(&c->sleeping))
		syscall(SYS_futex, &c->wake_seq, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

static void request(struct soft_cpu *c, u32 bits)
{
	atomic_fetch_or(&c->pending, bits);
	wake(c);
}

static bool awake(struct soft_cpu *c)
{
	u32 p = atomic_load(&c->pending);

	if (p & (PEND_STOP | PEND_INIT))
		return true;
	if (c->wait_sipi)
		return p & PEND_SIPI;
	if ((p & PEND_NMI) && !c->nmi_masked)
		return true;
	return (p & PEND_KICK) || (atomic_load(&c->intr_line) && (c->sysflags & FL_IF));
}

static void sleep_halted(struct soft_cpu *c)
{
	c->st.halts++;
	u64 deadline = c->bus->park(c->bus->opaque, c->index);
	atomic_store(&c->sleeping, true);
	while (!awake(c)) {
		u32 seq = atomic_load(&c->wake_seq);
		struct timespec ts, *tsp = NULL;
		if (awake(c))
			break;
		if (deadline != UINT64_MAX) {
			if (clock_mono_ns() >= deadline)
				break;
			ts.tv_sec = (time_t)(deadline / NSEC_PER_SEC);
			ts.tv_nsec = (long)(deadline % NSEC_PER_SEC);
			tsp = &ts;
		}
		/* WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. */
		syscall(SYS_futex, &c->wake_seq, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seq, tsp, NULL,
			FUTEX_BITSET_MATCH_ANY);
	}
	atomic_store(&c->sleeping, false);
	c->bus->unpark(c->bus->opaque, c->index);
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

static enum cpu_exit run(struct soft_cpu *c)
{
	int how = _setjmp(c->jb);

	c->stepping = false;
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
			if (p & PEND_STOP) {
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
		if (take_interrupt(c))
			continue;
		if (c->halted && c->kicked)
			c->halted = c->kicked = false;
		if (unlikely(c->halted || c->wait_sipi)) {
			cache_leave_guest(c);
			sleep_halted(c);
			cache_enter_guest(c);
			continue;
		}
		if (unlikely(atomic_load_explicit(&c->pending, memory_order_relaxed) & PEND_STEP))
			step(c);
		else
			enter_chain(c);
	}
}

static enum cpu_exit engine_run(struct cpu *cpu, struct err *e)
{
	struct soft_cpu *c = soft(cpu);

	(void)e;
	soft_fpu_enter(c);
	c->next_op = NULL;
	enum cpu_exit r = run(c);
	soft_fpu_leave(c);
	return r;
}

static void engine_stop(struct cpu *c)
{
	request(soft(c), PEND_STOP);
}
static void set_intr(struct cpu *cpu, bool up)
{
	struct soft_cpu *c = soft(cpu);

	atomic_store(&c->intr_line, up);
	if (up)
		request(c, PEND_INTR);
}
static void raise_nmi(struct cpu *c)
{
	request(soft(c), PEND_NMI);
}
static void raise_init(struct cpu *c)
{
	atomic_fetch_and(&soft(c)->pending, ~PEND_SIPI); /* one from before it is forgotten */
	request(soft(c), PEND_INIT);
}
static void raise_sipi(struct cpu *c, u8 vector)
{
	soft(c)->sipi_vector = vector;
	request(soft(c), PEND_SIPI);
}
static void kick_halted(struct cpu *c)
{
	request(soft(c), PEND_KICK);
}
static u64 engine_tsc(struct cpu *c)
{
	return clock_tsc() + soft(c)->tsc_offset;
}

/* ---- state ---- */

static void engine_reset(struct cpu *cpu)
{
	struct soft_cpu *c = soft(cpu);

	atomic_store(&c->pending, 0);
	atomic_store(&c->intr_line, false);
	soft_reset_state(c, false);
	soft_fpu_reset(c, false);
	c->wait_sipi = c->index != 0;
	c->halted = c->kicked = c->shadow = c->shadow_ss = c->nmi_masked = c->nmi_latched = false;
	c->one_step = c->redo_step = false;
	c->exc_delivering = -1;
	c->exc_waits = false;
	c->intr_waits = -1;
	c->gpr[GPR_ZERO] = 0;
	soft_mode_changed(c);
	soft_tlb_flush(c, true);
	soft_vec_changed(c);
	soft_step_changed(c);
}

static void get_state(struct cpu *cpu, struct cpu_state *s)
{
	struct soft_cpu *c = soft(cpu);

	*s = (struct cpu_state){ 0 };
	memcpy(s->gpr, c->gpr, sizeof(s->gpr));
	s->rip = c->rip;
	s->rflags = soft_get_rflags(c);
	memcpy(s->seg, c->seg, sizeof(s->seg));
	s->gdt_base = c->gdt_base;
	s->gdt_limit = c->gdt_limit;
	s->idt_base = c->idt_base;
	s->idt_limit = c->idt_limit;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->cr8 = c->bus->tpr_get(c->bus->opaque, c->index);
	s->xcr0 = c->xcr0;
	memcpy(s->dr, c->dr, sizeof(s->dr));
	s->dr6 = c->dr6;
	s->dr7 = c->dr7;
	s->efer = c->efer;
	s->star = c->star;
	s->lstar = c->lstar;
	s->cstar = c->cstar;
	s->fmask = c->fmask;
	s->kernel_gs_base = c->kernel_gs_base;
	s->sysenter_cs = c->sysenter_cs;
	s->sysenter_esp = c->sysenter_esp;
	s->sysenter_eip = c->sysenter_eip;
	s->pat = c->pat;
	s->tsc_aux = c->tsc_aux;
	s->tsc = engine_tsc(cpu);
	s->misc_enable = c->misc_enable;
	s->spec_ctrl = c->spec_ctrl;
	s->tsc_adjust = c->tsc_adjust;
	s->mtrr_def_type = c->mtrr_def_type;
	memcpy(s->mtrr_var, c->mtrr_var, sizeof(s->mtrr_var));
	memcpy(s->mtrr_fix, c->mtrr_fix, sizeof(s->mtrr_fix));
	soft_fpu_get(c, s->xsave);
	/* XSTATE_BV: no component that the model has not. */
	st_le64(s->xsave + 512, ld_le64(s->xsave + 512) & (cpu_model_xcr0(c->model) | 3));
	s->run_state = c->wait_sipi ? CPU_WAIT_SIPI : c->halted ? CPU_HALTED : CPU_RUNNING;
	s->intr_shadow = c->shadow;
	s->shadow_ss = c->shadow_ss;
	s->nmi_masked = c->nmi_masked;
	u32 p = atomic_load(&c->pending);
	s->nmi_pending = c->nmi_latched || (p & PEND_NMI);
	s->kicked = c->kicked || (p & PEND_KICK);
	s->init_pending = p & PEND_INIT;
	s->sipi_pending = p & PEND_SIPI;
	s->sipi_vector = c->sipi_vector;
	s->exc.valid = c->exc_waits;
	if (c->exc_waits) {
		s->exc.vector = c->exc.vec;
		s->exc.has_error = c->exc.has_error;
		s->exc.error = c->exc.error;
		s->exc.payload = c->exc.vec == EXC_PF ? c->exc.cr2 : c->exc.vec == EXC_DB ? c->exc.dr6 : 0;
		s->exc.has_payload = true;
	}
	s->intr.valid = c->intr_waits >= 0;
	s->intr.vector = c->intr_waits >= 0 ? (u8)c->intr_waits : 0;
}

/* What came with the state and is not part of any register. */
static void set_events(struct soft_cpu *c, const struct cpu_state *s)
{
	c->exc_delivering = -1;
	c->exc_waits = s->exc.valid;
	if (s->exc.valid) {
		c->exc.vec = s->exc.vector;
		c->exc.has_error = s->exc.has_error;
		c->exc.error = s->exc.error;
		c->exc.cr2 = s->exc.has_payload ? s->exc.payload : s->cr2;
		c->exc.dr6 = s->exc.has_payload ? s->exc.payload : 0;
		c->exc.is_trap = s->exc.vector == EXC_DB;
	}
	c->intr_waits = s->intr.valid && !s->intr.soft ? s->intr.vector : -1;
	c->kicked = s->kicked;
	c->sipi_vector = s->sipi_vector;
	atomic_fetch_and(&c->pending, ~(PEND_INIT | PEND_SIPI | PEND_NMI | PEND_KICK));
	atomic_fetch_or(&c->pending, (s->init_pending ? PEND_INIT : 0) | (s->sipi_pending ? PEND_SIPI : 0));
}

static int set_state(struct cpu *cpu, const struct cpu_state *s, struct err *e)
{
	struct soft_cpu *c = soft(cpu);

	if (soft_fpu_set(c, s->xsave) < 0)
		return err_set(e, EINVAL, "vCPU %u: the saved XSAVE area is not valid for this CPU model", c->index);
	memcpy(c->gpr, s->gpr, sizeof(s->gpr));
	c->rip = s->rip;
	memcpy(c->seg, s->seg, sizeof(s->seg));
	c->gdt_base = s->gdt_base;
	c->gdt_limit = s->gdt_limit;
	c->idt_base = s->idt_base;
	c->idt_limit = s->idt_limit;
	c->cr0 = s->cr0;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->xcr0 = s->xcr0;
	memcpy(c->dr, s->dr, sizeof(s->dr));
	c->dr6 = s->dr6;
	c->dr7 = s->dr7;
	c->efer = s->efer;
	c->star = s->star;
	c->lstar = s->lstar;
	c->cstar = s->cstar;
	c->fmask = s->fmask;
	c->kernel_gs_base = s->kernel_gs_base;
	c->sysenter_cs = s->sysenter_cs;
	c->sysenter_esp = s->sysenter_esp;
	c->sysenter_eip = s->sysenter_eip;
	c->pat = s->pat;
	c->tsc_aux = s->tsc_aux;
	if (s->tsc)
		c->tsc_offset = s->tsc - clock_tsc();
	c->misc_enable = s->misc_enable;
	c->spec_ctrl = s->spec_ctrl;
	c->tsc_adjust = s->tsc_adjust;
	c->mtrr_def_type = s->mtrr_def_type;
	memcpy(c->mtrr_var, s->mtrr_var, sizeof(c->mtrr_var));
	memcpy(c->mtrr_fix, s->mtrr_fix, sizeof(c->mtrr_fix));
	c->wait_sipi = s->run_state == CPU_WAIT_SIPI;
	c->halted = s->run_state == CPU_HALTED;
	c->shadow = s->intr_shadow;
	c->shadow_ss = s->intr_shadow && s->shadow_ss;
	c->nmi_masked = s->nmi_masked;
	c->nmi_latched = s->nmi_pending;
	set_events(c, s);
	c->sysflags = 2;
	soft_set_rflags(c, s->rflags);
	/* CPL is SS.DPL (SDM 3A 5.5); real mode and VM86 are soft_mode_changed()'s. */
	c->cpl = (s->seg[SEG_SS].ar >> 5) & 3;
	c->bus->tpr_set(c->bus->opaque, c->index, (u8)s->cr8);
	soft_mode_changed(c);
	soft_tlb_flush(c, true);
	soft_vec_changed(c);
	soft_step_changed(c);
	return 0;
}

/* ---- the VM ---- */

static void on_ram_write(void *opaque, gpa_t gpa, u64 bytes)
{
	cache_invalidate(opaque, gpa, bytes);
}

static void find_isa(struct soft_vm *vm)
{
	struct cpuid_regs l1 = cpu_model_cpuid(vm->model, 0, 1, 0), l7 = cpu_model_cpuid(vm->model, 0, 7, 0),
			  x1 = cpu_model_cpuid(vm->model, 0, 0x80000001u, 0);

	vm->isa = (l7.ebx >> 3 & 1 ? ISA_BMI1 : 0) | (l7.ebx >> 8 & 1 ? ISA_BMI2 : 0) |
		  (x1.ecx >> 5 & 1 ? ISA_LZCNT : 0) | (l7.ebx >> 19 & 1 ? ISA_ADX : 0) |
		  (l1.ecx >> 22 & 1 ? ISA_MOVBE : 0) | (l1.ecx >> 30 & 1 ? ISA_RDRAND : 0) |
		  (l7.ebx >> 18 & 1 ? ISA_RDSEED : 0) | (l7.ebx >> 23 & 1 ? ISA_CLFLUSHOPT : 0) |
		  (l7.ebx >> 24 & 1 ? ISA_CLWB : 0) |
		  (cpu_model_cpuid(vm->model, 0, 0, 0).ebx != 0x756e6547u ? ISA_AMD_BRANCHES : 0); /* not "Genu" */
}

static void vm_free(struct cpu_vm *v)
{
	struct soft_vm *vm = soft_vm(v);
	vm->ram->on_write = NULL;
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *c = vm->cpu[i];
		if (!c)
			continue;
		pthread_mutex_destroy(&c->tlb_lock);
		free(c->step_block);
		free(container_of(c, struct one, s));
	}
	soft_vec_fini(vm);
	cache_free(vm);
	free(vm->cpu);
	free(container_of(v, struct all, head));
}

static struct cpu *vm_cpu(struct cpu_vm *v, unsigned index)
{
	struct soft_vm *vm = soft_vm(v);

	must(index < vm->ncpus);
	return &container_of(vm->cpu[index], struct one, s)->head;
}

static int vm_new(struct cpu_vm **out, const struct cpu_bus *bus, struct ram *ram, const struct cpu_model *model,
		  unsigned ncpus, struct err *e)
{
	must(ncpus >= 1 && ncpus <= CPU_MAX);
	struct all *v = xcalloc(1, sizeof(*v));
	struct soft_vm *vm = &v->s;
	int r;

	v->head.engine = &cpu_engine_soft;
	vm->ram = ram;
	vm->bus = bus;
	vm->model = model;
	vm->ncpus = ncpus;
	vm->tsc_khz = clock_tsc_khz();
	vm->cpu = xcalloc(ncpus, sizeof(*vm->cpu));
	find_isa(vm);
	decode_init(vm);
	u64 tsc0 = clock_tsc();
	for (unsigned i = 0; i < ncpus; i++) {
		struct one *cpu = aligned_alloc(64, ROUND_UP(sizeof(*cpu), 64));
		must(cpu);
		memset(cpu, 0, sizeof(*cpu));
		cpu->head.engine = &cpu_engine_soft;
		struct soft_cpu *c = &cpu->s;
		c->vm = vm;
		c->bus = bus;
		c->model = model;
		c->ram = ram;
		c->index = i;
		c->tsc_offset = 0 - tsc0; /* the guest's TSC starts at 0, the same on all */
		pthread_mutex_init(&c->tlb_lock, NULL);
		c->step_block = xcalloc(1, sizeof(struct block) + BLOCK_UOPS_MAX * sizeof(struct uop));
		vm->cpu[i] = c;
	}
	if ((r = cache_new(vm, CODE_CACHE_BYTES, e)) < 0 || (r = soft_vec_init(vm, e)) < 0) {
		vm_free(&v->head);
		return r;
	}
	for (unsigned i = 0; i < ncpus; i++)
		engine_reset(vm_cpu(&v->head, i));
	ram->on_write_opaque = vm;
	ram->on_write = on_ram_write;
	*out = &v->head;
	return 0;
}

static void vm_get_board(struct cpu_vm *v, struct board_state *b)
{
	(void)v, (void)b; /* no chip is in here */
}

static int vm_set_board(struct cpu_vm *v, const struct board_state *b, struct err *e)
{
	(void)v, (void)b, (void)e;
	return 0;
}

static void vm_stats(struct cpu_vm *v, FILE *f)
{
	struct soft_vm *vm = soft_vm(v);

	fprintf(f, "cache_bytes %zu\ncache_resets %" PRIu64 "\nblocks_invalidated %" PRIu64 "\n", vm->cache->used,
		vm->cache->resets, vm->cache->invalidated);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		const struct soft_stats *s = &vm->cpu[i]->st;
		fprintf(f,
			"cpu%u_blocks_decoded %" PRIu64 "\ncpu%u_uops_decoded %" PRIu64 "\ncpu%u_block_lookups %" PRIu64
			"\ncpu%u_tlb_fills %" PRIu64 "\ncpu%u_page_walks %" PRIu64 "\ncpu%u_mmio %" PRIu64
			"\ncpu%u_pio %" PRIu64 "\ncpu%u_interrupts %" PRIu64 "\ncpu%u_halts %" PRIu64
			"\ncpu%u_single_steps %" PRIu64 "\ncpu%u_code_page_stops %" PRIu64 "\n",
			i, s->blocks_decoded, i, s->uops_decoded, i, s->blocks_run_slow, i, s->tlb_fill, i,
			s->page_walk, i, s->mmio, i, s->pio, i, s->intr, i, s->halts, i, s->single_steps, i, s->ping);
		for (unsigned k = 0; k < 32; k++)
			if (s->exc[k])
				fprintf(f, "cpu%u_exception_%u %" PRIu64 "\n", i, k, s->exc[k]);
	}
}

static void vm_trace(struct cpu_vm *v, unsigned mask)
{
	struct soft_vm *vm = soft_vm(v);

	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *c = vm->cpu[i];
		c->trace = mask;
		if (mask & TRACE_EXEC)
			request(c, PEND_STEP);
	}
}

const struct cpu_engine cpu_engine_soft = {
	.name = "soft",
	.vm_new = vm_new,
	.vm_free = vm_free,
	.vm_cpu = vm_cpu,
	.vm_get_board = vm_get_board,
	.vm_set_board = vm_set_board,
	.vm_stats = vm_stats,
	.vm_trace = vm_trace,
	.run = engine_run,
	.stop = engine_stop,
	.get_state = get_state,
	.set_state = set_state,
	.reset = engine_reset,
	.set_intr = set_intr,
	.raise_nmi = raise_nmi,
	.raise_init = raise_init,
	.raise_sipi = raise_sipi,
	.kick_halted = kick_halted,
	.tsc = engine_tsc,
};
