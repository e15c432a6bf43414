/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic.c - the local APIC: priorities, acknowledge, EOI, local pins, power-on state.
 *
 * Theory of operation: an interrupt travels IRR -> (intr_ack) ISR -> (EOI) gone. The INTR line to the
 * vCPU is up exactly while the highest IRR vector's class is above PPR's, or the 8259s ask through
 * LINT0 in ExtINT mode (or with the APIC off). lapic_update_locked() recomputes it after every change.
 * cpu_set_intr() is called under the APIC's lock, so that the vCPU sees ups and downs in their order.
 */
#include "machine/lapic_int.h"

#include "machine/layout.h"

/* ---- 256-bit registers ---- */

static int highest(const u64 w[4])
{
	for (int i = 3; i >= 0; i--) {
		if (w[i])
			return i * 64 + 63 - __builtin_clzll(w[i]);
	}
	return -1;
}

static void bit_set(u64 w[4], u8 v)
{
	w[v / 64] |= 1ull << (v % 64);
}

static void bit_clear(u64 w[4], u8 v)
{
	w[v / 64] &= ~(1ull << (v % 64));
}

static bool bit_get(const u64 w[4], u8 v)
{
	return (w[v / 64] >> (v % 64)) & 1;
}

/* ---- the interrupt line ---- */

static bool extint(const struct lapic *l)
{
	if (l->index != 0 || !SHARED_GET(l->bank->lint0))
		return false;
	if (!lapic_hw_enabled(l))
		return true;
	return !(l->lvt[LVT_LINT0] & LVT_MASKED) && LVT_MODE(l->lvt[LVT_LINT0]) == LAPIC_EXTINT;
}

/* The vector to take next, or -1. */
static int deliverable(const struct lapic *l)
{
	int v = lapic_hw_enabled(l) ? highest(l->irr) : -1;

	return v >= 0 && (v & 0xf0) > (int)(l->ppr & 0xf0) ? v : -1;
}

void lapic_update_locked(struct lapic *l)
{
	int isr = highest(l->isr);
	u32 in_service = isr < 0 ? 0 : (u32)isr & 0xf0;

	SHARED_SET(l->ppr, (l->tpr & 0xf0) >= in_service ? l->tpr : in_service); /* SDM 3A 11.8.3.1 */
	bool up = deliverable(l) >= 0 || extint(l);
	if (up != l->up && l->cpu && !l->bank->engine) {
		l->up = up;
		cpu_set_intr(l->cpu, up);
	}
}

void lapic_accept_locked(struct lapic *l, u8 vector, bool level)
{
	if (vector < 16)
		return;
	if (level)
		bit_set(l->tmr, vector);
	else
		bit_clear(l->tmr, vector);
	bit_set(l->irr, vector);
	lapic_update_locked(l);
}

void lapic_error_locked(struct lapic *l, u32 esr_bit)
{
	bool was = l->esr_new & esr_bit;

	l->esr_new |= esr_bit;
	if (!was && !(l->lvt[LVT_ERROR] & LVT_MASKED))
		lapic_accept_locked(l, (u8)l->lvt[LVT_ERROR], false);
}

int lapic_intr_ack(struct lapics *b, unsigned cpu)
{
	struct lapic *l = &b->l[cpu];

	if (b->engine) /* it asks for the 8259s' vector only */
		return b->hooks.pic_ack(b->hooks.opaque);
	pthread_mutex_lock(&l->lock);
	if (extint(l)) {
		pthread_mutex_unlock(&l->lock);
		int v = b->hooks.pic_ack(b->hooks.opaque);
		if (v >= 0)
			return v;
		pthread_mutex_lock(&l->lock);
	}
	int v = deliverable(l);
	if (v >= 0) {
		bit_clear(l->irr, (u8)v);
		bit_set(l->isr, (u8)v);
	}
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
	return v;
}

int lapic_eoi_locked(struct lapic *l)
{
	int v = highest(l->isr);

	if (v < 0)
		return -1;
	bit_clear(l->isr, (u8)v);
	lapic_update_locked(l);
	return bit_get(l->tmr, (u8)v) ? v : -1;
}

u8 lapic_tpr_get(struct lapics *b, unsigned cpu)
{
	struct lapic *l = &b->l[cpu];

	pthread_mutex_lock(&l->lock);
	u8 v = (u8)(l->tpr >> 4);
	pthread_mutex_unlock(&l->lock);
	return v;
}

void lapic_tpr_set(struct lapics *b, unsigned cpu, u8 cr8)
{
	struct lapic *l = &b->l[cpu];

	pthread_mutex_lock(&l->lock);
	l->tpr = (u32)(cr8 & 0xf) << 4;
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
}

/* ---- wires ---- */

/* A local pin went up: what its LVT entry makes of it. */
static void pin_edge_locked(struct lapic *l, enum lvt pin)
{
	u32 lvt = l->lvt[pin];

	if (!lapic_hw_enabled(l) || (lvt & LVT_MASKED))
		return;
	if (LVT_MODE(lvt) == LAPIC_FIXED)
		lapic_accept_locked(l, (u8)lvt, false);
	else if (LVT_MODE(lvt) == LAPIC_NMI && l->cpu)
		cpu_raise_nmi(l->cpu);
}

void lapic_lint0(struct lapics *b, bool level)
{
	struct lapic *l = &b->l[0];

	if (b->engine) {
		cpu_set_intr(l->cpu, level);
		return;
	}
	pthread_mutex_lock(&l->lock);
	bool rose = level && !b->lint0;
	SHARED_SET(b->lint0, level);
	if (rose)
		pin_edge_locked(l, LVT_LINT0);
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void lapic_lint1(struct lapics *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (b->engine) {
			cpu_lint1(b->l[i].cpu);
			continue;
		}
		pthread_mutex_lock(&b->l[i].lock);
		pin_edge_locked(&b->l[i], LVT_LINT1);
		pthread_mutex_unlock(&b->l[i].lock);
	}
}

/* ---- life ---- */

/* SDM 3A 11.4.7.1; INIT keeps IA32_APIC_BASE and the id (11.4.7.3). */
void lapic_power_on_locked(struct lapic *l, bool init)
{
	if (!init) {
		SHARED_SET(l->base, LAYOUT_LAPIC | APIC_BASE_EN | (l->index == 0 ? APIC_BASE_BSP : 0));
		l->parked = false;
	}
	memset(l->irr, 0, sizeof(l->irr));
	memset(l->isr, 0, sizeof(l->isr));
	memset(l->tmr, 0, sizeof(l->tmr));
	l->tpr = 0;
	SHARED_SET(l->ldr, lapic_x2apic(l) ? lapic_x2apic_ldr(l) : 0);
	SHARED_SET(l->dfr, UINT32_MAX);
	SHARED_SET(l->svr, 0xff);
	l->icr_lo = l->icr_hi = 0;
	l->esr = l->esr_new = 0;
	for (enum lvt i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	/* No firmware runs before the kernel: the boot processor starts in virtual-wire mode, as
	 * firmware would leave it (MultiProcessor Specification 3.6.2.2). */
	if (l->index == 0)
		l->lvt[LVT_LINT0] = LAPIC_EXTINT << 8;
	l->divide = 0;
	lapic_timer_stop_locked(l);
	lapic_timer_program_locked(l);
	lapic_update_locked(l);
}

void lapic_reset(struct lapics *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct lapic *l = &b->l[i];

		pthread_mutex_lock(&l->lock);
		lapic_power_on_locked(l, false);
		if (l->cpu && !b->engine)
			cpu_set_intr(l->cpu, l->up); /* whatever cpu_reset() made of it */
		pthread_mutex_unlock(&l->lock);
	}
}

struct lapics *lapic_new(struct loop *loop, unsigned ncpus, const struct lapic_hooks *hooks)
{
	struct lapics *b = xcalloc(1, sizeof(*b));

	must(ncpus >= 1 && ncpus <= CPU_MAX);
	b->hooks = *hooks;
	b->loop = loop;
	b->n = ncpus;
	for (unsigned i = 0; i < ncpus; i++) {
		struct lapic *l = &b->l[i];

		pthread_mutex_init(&l->lock, NULL);
		l->bank = b;
		l->index = i;
		loop_timer_init(loop, &l->timer, lapic_timer_fired, l);
	}
	lapic_reset(b);
	return b;
}

void lapic_attach(struct lapics *b, unsigned cpu, struct cpu *c)
{
	struct lapic *l = &b->l[cpu];

	must(cpu < b->n);
	pthread_mutex_lock(&l->lock);
	l->cpu = c;
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void lapic_use_engine(struct lapics *b, struct cpu_vm *vm)
{
	b->engine = vm;
}

bool lapic_in_engine(const struct lapics *b)
{
	return b->engine;
}

void lapic_free(struct lapics *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		loop_timer_fini(&b->l[i].timer);
		pthread_mutex_destroy(&b->l[i].lock);
	}
	free(b);
}
