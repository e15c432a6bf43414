/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvm_run.c - a vCPU's loop around KVM_RUN: what it stops for, and how others stop it (kvm.h). */
#include "base/clock.h"
#include "base/log.h"
#include "cpu/kvm/kvm.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

const char *const kvm_count_names[KC_COUNT] = {
	[KC_PIO_IN] = "pio_in", [KC_PIO_OUT] = "pio_out", [KC_MMIO_READ] = "mmio_read", [KC_MMIO_WRITE] = "mmio_write",
	[KC_EOI] = "eoi",       [KC_WINDOW] = "window",   [KC_RING] = "dirty_ring",     [KC_HLT] = "hlt",
	[KC_SIGNAL] = "signal", [KC_OTHER] = "other",
};

#define KICK_SIGNAL SIGRTMIN

static void count(struct kvm_cpu *c, enum kvm_count what)
{
	/* One writer: the vCPU's thread. */
	atomic_store_explicit(&c->count[what], atomic_load_explicit(&c->count[what], memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/* ---- from other threads ---- */

static void on_kick(int sig)
{
}

static void install(void)
{
	struct sigaction sa = { .sa_handler = on_kick }; /* no SA_RESTART: KVM_RUN shall return */

	sigemptyset(&sa.sa_mask);
	must(sigaction(KICK_SIGNAL, &sa, NULL) == 0);
}

void kvm_run_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}

void kvm_request(struct kvm_cpu *c, u32 what)
{
	atomic_fetch_or(&c->requests, what);
	__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	int tid = atomic_load(&c->tid);
	if (tid && tid != (int)syscall(SYS_gettid))
		syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

/* ---- the exits ---- */

static void do_pio(struct kvm_cpu *c)
{
	const struct cpu_bus *b = c->vm->bus;
	struct kvm_run *r = c->run;
	u8 *p = (u8 *)r + r->io.data_offset;
	unsigned n = r->io.size;

	count(c, r->io.direction == KVM_EXIT_IO_IN ? KC_PIO_IN : KC_PIO_OUT);
	for (u32 i = 0; i < r->io.count; i++, p += n) {
		u32 v = 0;

		if (r->io.direction == KVM_EXIT_IO_IN) {
			v = b->pio_read(b->opaque, c->index, r->io.port, n);
			memcpy(p, &v, n);
		} else {
			memcpy(&v, p, n);
			b->pio_write(b->opaque, c->index, r->io.port, n, v);
		}
	}
}

/* The kernel hands over 1 to 8 bytes; an instruction of another width comes in parts. */
static void do_mmio(struct kvm_cpu *c)
{
	const struct cpu_bus *b = c->vm->bus;
	struct kvm_run *r = c->run;
	unsigned len = r->mmio.len;

	count(c, r->mmio.is_write ? KC_MMIO_WRITE : KC_MMIO_READ);
	for (unsigned at = 0; at < len;) {
		unsigned left = len - at, n = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
		u64 v = 0;

		if (r->mmio.is_write) {
			memcpy(&v, r->mmio.data + at, n);
			b->mmio_write(b->opaque, c->index, r->mmio.phys_addr + at, n, v);
		} else {
			v = b->mmio_read(b->opaque, c->index, r->mmio.phys_addr + at, n);
			memcpy(r->mmio.data + at, &v, n);
		}
		at += n;
	}
}

/* ---- what cannot go on ---- */

static void dump(struct kvm_cpu *c)
{
	static const char *const seg_names[SEG_COUNT] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };
	struct cpu_state *s = aligned_alloc(64, ROUND_UP(sizeof(*s), 64));

	must(s);
	kvm_get_state(&c->head, s);
	for (unsigned i = 0; i < 16; i += 4)
		log_msg(LOG_LVL_ERROR, "vCPU %u: r%-2u %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64,
			c->index, i, s->gpr[i], s->gpr[i + 1], s->gpr[i + 2], s->gpr[i + 3]);
	log_msg(LOG_LVL_ERROR,
		"vCPU %u: rip %016" PRIx64 " rflags %08" PRIx64 " cr0 %08" PRIx64 " cr2 %016" PRIx64 " cr3 %016" PRIx64
		" cr4 %08" PRIx64 " efer %04" PRIx64,
		c->index, s->rip, s->rflags, s->cr0, s->cr2, s->cr3, s->cr4, s->efer);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		log_msg(LOG_LVL_ERROR, "vCPU %u: %-4s %04x base %016" PRIx64 " limit %08x attributes %05x", c->index,
			seg_names[i], s->seg[i].sel, s->seg[i].base, s->seg[i].limit, s->seg[i].ar);
	log_msg(LOG_LVL_ERROR, "vCPU %u: gdt %016" PRIx64 "/%04x idt %016" PRIx64 "/%04x", c->index, s->gdt_base,
		s->gdt_limit, s->idt_base, s->idt_limit);
	free(s);
}

static bool no_memory_at(struct kvm_cpu *c, u64 linear)
{
	struct kvm_translation t = { .linear_address = linear };
	bool readonly;

	return ioctl(c->fd, KVM_TRANSLATE, &t) == 0 && t.valid &&
	       !ram_find(c->vm->ram, t.physical_address, 1, &readonly);
}

/*
 * KVM executes nothing outside of memory: it makes a #UD pending, which is what hardware's all ones are, but at CPL 0
 * it leaves to us what becomes of that. True: it was so, also for an instruction that begins in memory, and the guest
 * is to go on with it.
 */
static bool fetched_nothing(struct kvm_cpu *c)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (c->run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || ioctl(c->fd, KVM_GET_REGS, &r) < 0 ||
	    ioctl(c->fd, KVM_GET_SREGS, &s) < 0)
		return false;
	u64 at = s.cs.l ? r.rip : (u32)(s.cs.base + r.rip), last = s.cs.l ? at + 14 : (u32)(at + 14);
	return no_memory_at(c, at) || no_memory_at(c, last);
}

static int internal_error(struct kvm_cpu *c, struct err *e)
{
	struct kvm_run *r = c->run;
	char hex[3 * 15 + 1] = "";

	dump(c);
	if (r->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
		return err_set(e, EIO, "vCPU %u: KVM gave up (internal error %u); see the registers above", c->index,
			       r->internal.suberror);
	if (r->emulation_failure.ndata >= 4 &&
	    (r->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		for (unsigned i = 0; i < MIN(r->emulation_failure.insn_size, 15); i++)
			snprintf(hex + 3 * i, 4, "%02x ", r->emulation_failure.insn_bytes[i]);
	return err_set(e, EIO, "vCPU %u: KVM cannot emulate the instruction at the address above%s%s", c->index,
		       hex[0] ? ": " : "", hex);
}

/* ---- before the guest ---- */

static void serve_requests(struct kvm_cpu *c, u32 req)
{
	if (req & REQ_LINT1) {
		u32 lvt = kvm_lvt_lint1(c);

		if (!(lvt & 1u << 16) && (lvt >> 8 & 7) == 4) /* not masked, delivered as NMI */
			req |= REQ_NMI;
	}
	if (req & REQ_NMI)
		ioctl(c->fd, KVM_NMI);
}

/* The 8259s ask through LINT0. The kernel says whether the guest would take it, else calls when it will. */
static void offer_extint(struct kvm_cpu *c)
{
	if (atomic_load(&c->intr) && c->run->ready_for_interrupt_injection) {
		int v = c->vm->bus->intr_ack(c->vm->bus->opaque, c->index);
		struct kvm_interrupt irq = { .irq = (u32)v };

		if (v >= 0) {
			ioctl(c->fd, KVM_INTERRUPT, &irq);
			c->run->ready_for_interrupt_injection = 0;
		}
	}
	c->run->request_interrupt_window = atomic_load(&c->intr);
}

static bool exit_reason(struct kvm_cpu *c, enum cpu_exit *out, struct err *e)
{
	const struct cpu_bus *b = c->vm->bus;
	struct kvm_run *r = c->run;

	c->io_pending = false;
	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		do_pio(c);
		c->io_pending = true;
		return false;
	case KVM_EXIT_MMIO:
		do_mmio(c);
		c->io_pending = true;
		return false;
	case KVM_EXIT_IOAPIC_EOI:
		count(c, KC_EOI);
		b->eoi(b->opaque, r->eoi.vector);
		return false;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		count(c, KC_WINDOW);
		return false;
	case KVM_EXIT_DIRTY_RING_FULL:
		count(c, KC_RING);
		kvm_ring_full(c->vm);
		return false;
	case KVM_EXIT_INTR:
		count(c, KC_SIGNAL);
		return false;
	case KVM_EXIT_HLT:
		count(c, KC_HLT);
		return false;
	case KVM_EXIT_SHUTDOWN:
		*out = CPU_EXIT_SHUTDOWN;
		return true;
	case KVM_EXIT_FAIL_ENTRY:
		dump(c);
		err_set(e, EIO, "vCPU %u: the processor refuses to enter the guest (reason %#llx)", c->index,
			(unsigned long long)r->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		if (fetched_nothing(c))
			return false;
		internal_error(c, e);
		break;
	default:
		dump(c);
		err_set(e, EIO, "vCPU %u: KVM stopped for reason %u, which is not known here", c->index,
			r->exit_reason);
		break;
	}
	*out = CPU_EXIT_ERROR;
	return true;
}

static int enter(struct kvm_cpu *c)
{
	u32 laps = atomic_load_explicit(&c->laps, memory_order_relaxed);

	atomic_store(&c->laps, laps + 1);
	/* Either kvm_commit() sees that we are going in, or we see that nobody may. */
	while (unlikely(atomic_load(&c->vm->hold))) {
		laps += 2;
		atomic_store(&c->laps, laps);
		kvm_held(c->vm);
		atomic_store(&c->laps, laps + 1);
	}
	int r = ioctl(c->fd, KVM_RUN, 0), code = errno;
	atomic_store_explicit(&c->laps, laps + 2, memory_order_release);
	kvm_latch_drain(c);
	errno = code;
	return r;
}

static enum cpu_exit run(struct kvm_cpu *c, struct err *e)
{
	enum cpu_exit out;

	for (;;) {
		/* What the last access asked for (base/ram.h). */
		if (unlikely(ram_edited(c->vm->ram)) && kvm_commit(&c->vm->head, e) < 0)
			return CPU_EXIT_ERROR;
		/* Down before the requests are looked at: what is asked after this ends the KVM_RUN below. */
		__atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		u32 req = atomic_exchange(&c->requests, 0);
		bool stop = req & REQ_STOP;

		if (stop && !c->io_pending) {
			atomic_fetch_or(&c->requests, req & ~REQ_STOP);
			return CPU_EXIT_STOP;
		}
		if (req & ~REQ_STOP)
			serve_requests(c, req);
		if (stop) {
			/* Finish the instruction whose port or register was served, and run no other. */
			atomic_fetch_or(&c->requests, REQ_STOP);
			__atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		} else {
			offer_extint(c);
		}
		if (enter(c) < 0) {
			if (errno == EINTR) {
				count(c, KC_SIGNAL);
				c->io_pending = false;
				continue;
			}
			if (errno == EAGAIN) { /* out of wait-for-SIPI */
				c->io_pending = false;
				continue;
			}
			int code = errno;
			dump(c);
			err_sys(e, code, "vCPU %u: KVM_RUN failed", c->index);
			return CPU_EXIT_ERROR;
		}
		if (exit_reason(c, &out, e))
			return out;
	}
}

enum cpu_exit kvm_run(struct cpu *cpu, struct err *e)
{
	struct kvm_cpu *c = kvm_cpu(cpu);

	atomic_store(&c->tid, (int)syscall(SYS_gettid));
	enum cpu_exit out = run(c, e);
	atomic_store(&c->tid, 0);
	return out;
}
