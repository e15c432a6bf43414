/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_board.c - what the kernel holds of the board: local APICs and the paravirtual clock, to and from struct
 * board_state. The I/O APIC, the 8259s and the PIT are the board's own under this engine too, or in kvm_chips.c.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cpu/board_state.h"
#include "cpu/kvm/kvm.h"

#include <sys/ioctl.h>

#define MSR_TSC 0x10
#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define APIC_BASE_RESET 0xfee00800u
#define APIC_BASE_BSP (1u << 8)
#define APIC_BASE_X2APIC (1u << 10)

/* Offsets in the APIC's page (SDM 3A table 11-1) */
enum reg {
	R_ID = 0x20,
	R_VERSION = 0x30,
	R_TPR = 0x80,
	R_LDR = 0xd0,
	R_DFR = 0xe0,
	R_SVR = 0xf0,
	R_ISR = 0x100,
	R_TMR = 0x180,
	R_IRR = 0x200,
	R_ESR = 0x280,
	R_CMCI = 0x2f0,
	R_ICR = 0x300,
	R_ICR_HIGH = 0x310,
	R_LVT = 0x320, /* timer, thermal, performance, LINT0, LINT1, error */
	R_INIT_COUNT = 0x380,
	R_COUNT = 0x390,
	R_DIVIDE = 0x3e0,
};
#define VERSION 0x00050014u
#define LVT_MASKED (1u << 16)
#define LINT0 3
#define LINT1 4

static u32 reg(const struct kvm_lapic_state *k, unsigned r)
{
	return ld_le32(k->regs + r);
}

static void put(struct kvm_lapic_state *k, unsigned r, u32 v)
{
	st_le32(k->regs + r, v);
}

/* The divide configuration register's value as a divisor (11.5.4). */
static u32 divisor(u32 dcr)
{
	return 1u << ((((dcr & 3) | (dcr >> 1 & 4)) + 1) & 7);
}

u32 kvm_lvt_lint1(struct kvm_cpu *c)
{
	struct kvm_lapic_state k;

	must(ioctl(c->fd, KVM_GET_LAPIC, &k) == 0);
	return reg(&k, R_LVT + 16 * LINT1);
}

static void get_lapic(struct kvm_cpu *c, struct lapic_state *s)
{
	struct kvm_lapic_state k;

	must(ioctl(c->fd, KVM_GET_LAPIC, &k) == 0);
	*s = (struct lapic_state){
		.tpr = reg(&k, R_TPR),
		.ldr = reg(&k, R_LDR),
		.dfr = reg(&k, R_DFR),
		.svr = reg(&k, R_SVR),
		.icr_lo = reg(&k, R_ICR),
		.icr_hi = reg(&k, R_ICR_HIGH),
		.esr = reg(&k, R_ESR),
		.timer_init = reg(&k, R_INIT_COUNT),
		.timer_divide = reg(&k, R_DIVIDE),
	};
	for (unsigned i = 0; i < BOARD_LVTS; i++)
		s->lvt[i] = reg(&k, R_LVT + 16 * i);
	for (unsigned i = 0; i < 8; i++) {
		s->isr[i] = reg(&k, R_ISR + 16 * i);
		s->tmr[i] = reg(&k, R_TMR + 16 * i);
		s->irr[i] = reg(&k, R_IRR + 16 * i);
	}
	u32 left = reg(&k, R_COUNT);
	s->timer_left_ns = left ? (u64)left * divisor(s->timer_divide) : BOARD_NEVER;
	kvm_get_msr(c, MSR_APIC_BASE, &s->base);
	kvm_get_msr(c, MSR_TSC_DEADLINE, &s->tsc_deadline);
}

static int set_lapic(struct kvm_cpu *c, const struct lapic_state *s, struct err *e)
{
	struct kvm_lapic_state k = { 0 };
	struct kvm_sregs sr;

	/* By way of the special registers: the MSR refuses what a running processor could not do (11.12.5). */
	must(ioctl(c->fd, KVM_GET_SREGS, &sr) == 0);
	sr.apic_base = s->base;
	memset(sr.interrupt_bitmap, 0, sizeof(sr.interrupt_bitmap));
	if (ioctl(c->fd, KVM_SET_SREGS, &sr) < 0)
		return err_sys(e, errno, "vCPU %u: KVM refuses the local APIC's base", c->index);
	put(&k, R_ID, c->index << 24);
	put(&k, R_VERSION, VERSION);
	put(&k, R_TPR, s->tpr);
	put(&k, R_LDR, s->ldr);
	put(&k, R_DFR, s->dfr);
	put(&k, R_SVR, s->svr);
	put(&k, R_ICR, s->icr_lo);
	put(&k, R_ICR_HIGH, s->icr_hi);
	put(&k, R_ESR, s->esr | s->esr_new);
	put(&k, R_CMCI, LVT_MASKED);
	for (unsigned i = 0; i < BOARD_LVTS; i++)
		put(&k, R_LVT + 16 * i, s->lvt[i]);
	for (unsigned i = 0; i < 8; i++) {
		put(&k, R_ISR + 16 * i, s->isr[i]);
		put(&k, R_TMR + 16 * i, s->tmr[i]);
		put(&k, R_IRR + 16 * i, s->irr[i]);
	}
	put(&k, R_INIT_COUNT, s->timer_init);
	put(&k, R_DIVIDE, s->timer_divide);
	if (s->timer_left_ns != BOARD_NEVER)
		put(&k, R_COUNT, (u32)MIN(s->timer_left_ns / divisor(s->timer_divide), UINT32_MAX));
	if (ioctl(c->fd, KVM_SET_LAPIC, &k) < 0)
		return err_sys(e, errno, "vCPU %u: KVM refuses the local APIC's registers", c->index);
	if (s->tsc_deadline && kvm_set_msr(c, MSR_TSC_DEADLINE, s->tsc_deadline) < 0)
		return err_set(e, ENOTSUP, "vCPU %u: KVM refuses the timer's deadline", c->index);
	return 0;
}

/* Power-on (11.4.7.1). */
void kvm_reset_lapic(struct kvm_cpu *c)
{
	struct lapic_state s = {
		.base = APIC_BASE_RESET, .dfr = UINT32_MAX, .svr = 0xff, .timer_left_ns = BOARD_NEVER
	};
	struct err e;

	for (unsigned i = 0; i < BOARD_LVTS; i++)
		s.lvt[i] = LVT_MASKED;
	/* The boot processor starts in virtual-wire mode, as firmware would leave it. */
	if (c->index == 0) {
		s.base |= APIC_BASE_BSP;
		s.lvt[LINT0] = 7 << 8;
	}
	if (set_lapic(c, &s, &e) < 0)
		must_fail(__FILE__, __LINE__, e.msg);
	kvm_set_msr(c, MSR_TSC_DEADLINE, 0);
}

/* ---- the clock ---- */

static void get_clock(struct kvm_vm *vm, struct pvclock_state *s)
{
	struct kvm_clock_data d = { 0 };
	u64 after;

	kvm_get_msr(vm->cpu[0], MSR_TSC, &s->tsc);
	if (ioctl(vm->fd, KVM_GET_CLOCK, &d) < 0)
		log_warn("KVM does not tell the guest's clock: %s", strerror(errno));
	kvm_get_msr(vm->cpu[0], MSR_TSC, &after);
	s->tsc += (after - s->tsc) / 2;
	s->clock_ns = d.clock;
	s->tsc_khz = vm->tsc_khz;
	kvm_get_msr(vm->cpu[0], MSR_KVM_WALL_CLOCK, &s->wall_clock);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		kvm_get_msr(vm->cpu[i], MSR_KVM_SYSTEM_TIME, &s->system_time[i]);
		kvm_get_msr(vm->cpu[i], MSR_KVM_STEAL_TIME, &s->steal_time[i]);
	}
}

/* The guest has measured its TSC: give it the same rate, where the processor can scale. */
static int set_rate(struct kvm_vm *vm, u32 khz, struct err *e)
{
	u64 diff = khz > vm->tsc_khz ? khz - vm->tsc_khz : vm->tsc_khz - khz;

	if (!khz || diff * 4000 <= khz) /* 250 ppm: what clock synchronization in the guest takes up */
		return 0;
	if (!vm->tsc_control)
		return err_set(
		    e, ENOTSUP,
		    "the saved VM's TSC runs at %u kHz, this host's at %u, and this processor cannot scale it", khz,
		    vm->tsc_khz);
	for (unsigned i = 0; i < vm->ncpus; i++)
		if (ioctl(vm->cpu[i]->fd, KVM_SET_TSC_KHZ, (unsigned long)khz) < 0)
			return err_sys(e, errno, "KVM refuses a TSC of %u kHz", khz);
	vm->tsc_khz = khz;
	return 0;
}

static int set_clock(struct kvm_vm *vm, const struct pvclock_state *s, struct err *e)
{
	struct kvm_clock_data d = { 0 };
	u64 tsc;
	int r = set_rate(vm, s->tsc_khz, e);

	if (r < 0)
		return r;
	kvm_get_msr(vm->cpu[0], MSR_TSC, &tsc);
	d.clock = s->clock_ns + (tsc > s->tsc ? mul_div(tsc - s->tsc, 1000000, vm->tsc_khz) : 0);
	if (ioctl(vm->fd, KVM_SET_CLOCK, &d) < 0)
		return err_sys(e, errno, "KVM refuses the guest's clock");
	for (unsigned i = 0; i < vm->ncpus; i++) {
		if (kvm_set_msr(vm->cpu[i], MSR_KVM_SYSTEM_TIME, s->system_time[i]) < 0)
			return err_set(e, EINVAL, "vCPU %u: KVM refuses the place of its clock", i);
		if (kvm_set_msr(vm->cpu[i], MSR_KVM_STEAL_TIME, s->steal_time[i]) < 0 && s->steal_time[i])
			return err_set(e, EINVAL, "vCPU %u: KVM refuses the place of its stolen time", i);
	}
	/* KVM writes the time of day anew: the guest looks at it once, at boot. */
	if (kvm_set_msr(vm->cpu[0], MSR_KVM_WALL_CLOCK, s->wall_clock) < 0)
		return err_set(e, EINVAL, "KVM refuses the place of the wall clock");
	return 0;
}

/* ---- all of it ---- */

void kvm_get_board(struct cpu_vm *v, struct board_state *b)
{
	struct kvm_vm *vm = kvm_vm(v);

	kvm_irq_settle(vm);
	b->ncpus = vm->ncpus;
	if (vm->chips)
		kvm_chips_get(vm, b);
	for (unsigned i = 0; i < vm->ncpus; i++)
		get_lapic(vm->cpu[i], &b->lapic[i]);
	get_clock(vm, &b->pv);
}

int kvm_set_board(struct cpu_vm *v, const struct board_state *b, struct err *e)
{
	struct kvm_vm *vm = kvm_vm(v);
	int r = vm->chips ? kvm_chips_set(vm, b, e) : 0;

	for (unsigned i = 0; r == 0 && i < vm->ncpus; i++)
		r = set_lapic(vm->cpu[i], &b->lapic[i], e);
	return r < 0 ? r : set_clock(vm, &b->pv, e);
}
