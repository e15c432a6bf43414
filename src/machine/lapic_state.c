/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lapic_state.c - the local APIC to and from struct lapic_state. */
#include "cpu/board_state.h"
#include "machine/lapic_int.h"

#include "base/clock.h"

#include <assert.h>

static_assert(BOARD_LVTS == LVT_COUNT, "the LVT registers of this APIC");

static void split(u32 out[8], const u64 in[4])
{
	for (unsigned i = 0; i < 8; i++)
		out[i] = (u32)(in[i / 2] >> (32 * (i % 2)));
}

static void join(u64 out[4], const u32 in[8])
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = in[2 * i] | (u64)in[2 * i + 1] << 32;
}

void lapic_get_state(struct lapics *b, unsigned cpu, struct lapic_state *st)
{
	struct lapic *l = &b->l[cpu];

	must(cpu < b->n);
	pthread_mutex_lock(&l->lock);
	lapic_timer_poll_locked(l);
	*st = (struct lapic_state){
		.base = l->base,
		.tpr = l->tpr,
		.ldr = l->ldr,
		.dfr = l->dfr,
		.svr = l->svr,
		.icr_lo = l->icr_lo,
		.icr_hi = l->icr_hi,
		.esr = l->esr,
		.esr_new = l->esr_new,
		.timer_init = l->init_count,
		.timer_divide = l->divide,
		.timer_left_ns = BOARD_NEVER,
		.tsc_deadline = l->tsc_deadline,
	};
	memcpy(st->lvt, l->lvt, sizeof(st->lvt));
	split(st->irr, l->irr);
	split(st->isr, l->isr);
	split(st->tmr, l->tmr);
	if (l->deadline_ns != UINT64_MAX && lapic_timer_mode(l) != TIMER_TSC_DEADLINE) {
		u64 now = clock_mono_ns();
		st->timer_left_ns = l->deadline_ns > now ? l->deadline_ns - now : 0;
	}
	pthread_mutex_unlock(&l->lock);
}

void lapic_set_state(struct lapics *b, unsigned cpu, const struct lapic_state *st)
{
	struct lapic *l = &b->l[cpu];
	u64 mode = st->base & (APIC_BASE_EN | APIC_BASE_EXTD);

	must(cpu < b->n);
	if (mode == APIC_BASE_EXTD)
		mode = 0;
	pthread_mutex_lock(&l->lock);
	SHARED_SET(l->base, (st->base & APIC_BASE_PAGE) | mode | (l->index == 0 ? APIC_BASE_BSP : 0));
	l->tpr = st->tpr & 0xff;
	SHARED_SET(l->ldr, lapic_x2apic(l) ? lapic_x2apic_ldr(l) : st->ldr & 0xff000000);
	SHARED_SET(l->dfr, st->dfr | 0x0fffffff);
	SHARED_SET(l->svr, st->svr & 0x1ff);
	l->icr_lo = st->icr_lo & 0xcdfff;
	l->icr_hi = st->icr_hi;
	l->esr = st->esr & 0xff;
	l->esr_new = st->esr_new & 0xff;
	lapic_timer_stop_locked(l);
	for (enum lvt i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = lapic_lvt_sane(i, st->lvt[i]);
	join(l->irr, st->irr);
	join(l->isr, st->isr);
	join(l->tmr, st->tmr);
	l->irr[0] &= ~0xffffull; /* vectors below 16 are never taken (SDM 3A 11.5.2) */
	l->isr[0] &= ~0xffffull;
	l->parked = false;
	lapic_timer_resume_locked(l, st);
	l->up = false;
	if (l->cpu && !b->engine)
		cpu_set_intr(l->cpu, false);
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
}
