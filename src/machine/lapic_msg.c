/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic_msg.c - interrupt messages: who is meant (SDM 3A 11.6.2), IPIs (11.6.1), MSIs (11.11).
 *
 * Destinations are chosen from registers read without their locks: a message that races with a guest
 * rewriting its own logical id goes by either value, as on a real bus.
 */
#include "machine/lapic_int.h"

/* Does a logical destination name this APIC? */
static bool logical_match(const struct lapic *l, u32 dest)
{
	u32 ldr = SHARED_GET(l->ldr);

	if (lapic_x2apic(l))
		return (ldr >> 16) == (dest >> 16) && (ldr & dest & 0xffff);
	if (dest > 0xff)
		return false;
	ldr >>= 24;
	if ((SHARED_GET(l->dfr) >> 28) == 0xf)
		return ldr & dest;
	return (ldr >> 4) == (dest >> 4) && (ldr & dest & 0xf);
}

static bool takes(const struct lapic *l, const struct lapic_msg *m)
{
	if (!l->cpu || !lapic_hw_enabled(l))
		return false;
	if (m->broadcast)
		return true;
	return m->logical ? logical_match(l, m->dest) : m->dest == l->index;
}

static bool give(struct lapic *l, const struct lapic_msg *m)
{
	bool taken = true;

	switch (m->mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		pthread_mutex_lock(&l->lock);
		taken = lapic_hw_enabled(l) && (l->svr & SVR_ENABLE);
		if (taken && m->vector < 16)
			lapic_error_locked(l, ESR_RECV_ILLEGAL);
		else if (taken)
			lapic_accept_locked(l, m->vector, m->level);
		pthread_mutex_unlock(&l->lock);
		return taken;
	case LAPIC_NMI:
		cpu_raise_nmi(l->cpu);
		return true;
	case LAPIC_INIT:
		pthread_mutex_lock(&l->lock);
		lapic_power_on_locked(l, true);
		pthread_mutex_unlock(&l->lock);
		cpu_raise_init(l->cpu);
		return true;
	case LAPIC_SIPI:
		cpu_raise_sipi(l->cpu, m->vector);
		return true;
	case LAPIC_SMI:    /* no SMM on this board */
	case LAPIC_EXTINT: /* the 8259s are wired to LINT0 */
	case LAPIC_RESERVED:
		break;
	}
	return false;
}

/* Of those meant, the one that does the least important thing; ties go round. */
static unsigned deliver_lowest(struct lapics *b, const struct lapic_msg *m)
{
	unsigned start = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED);
	struct lapic *best = NULL;

	for (unsigned i = 0; i < b->n; i++) {
		struct lapic *l = &b->l[(start + i) % b->n];

		if (!takes(l, m) || !(SHARED_GET(l->svr) & SVR_ENABLE))
			continue;
		if (!best || SHARED_GET(l->ppr) < SHARED_GET(best->ppr))
			best = l;
	}
	return best && give(best, m);
}

/* The message in the form of a bus write (11.11.1, 11.11.2). */
static u64 msi_addr(const struct lapic_msg *m)
{
	return 0xfee00000 | (u64)(m->dest & 0xff) << 12 | (m->mode == LAPIC_LOWEST ? 8 : 0) | (m->logical ? 4 : 0);
}

static u32 msi_data(const struct lapic_msg *m)
{
	return m->vector | (u32)m->mode << 8 | (m->level ? 1u << 14 | 1u << 15 : 0);
}

void lapic_set_pin(struct lapics *b, unsigned pin, const struct lapic_msg *m, bool used)
{
	if (b->engine)
		cpu_vm_set_pin(b->engine, pin, msi_addr(m), msi_data(m), used);
}

unsigned lapic_deliver(struct lapics *b, const struct lapic_msg *m)
{
	unsigned taken = 0;

	if (b->engine) {
		if (m->mode != LAPIC_EXTINT) /* as give() has it */
			cpu_vm_msi(b->engine, msi_addr(m), msi_data(m));
		return 1;
	}
	if (m->mode == LAPIC_LOWEST)
		return deliver_lowest(b, m);
	if (!m->logical && !m->broadcast) {
		if (m->dest < b->n && takes(&b->l[m->dest], m))
			return give(&b->l[m->dest], m);
		return 0;
	}
	for (unsigned i = 0; i < b->n; i++) {
		if (takes(&b->l[i], m))
			taken += give(&b->l[i], m);
	}
	return taken;
}

void lapic_send_ipi(struct lapic *from, u32 icr_lo, u32 dest)
{
	struct lapics *b = from->bank;
	bool x2 = lapic_x2apic(from);
	struct lapic_msg m = {
		.dest = dest,
		.logical = icr_lo & (1u << 11),
		.mode = LVT_MODE(icr_lo),
		.vector = (u8)icr_lo,
		.broadcast = dest == (x2 ? UINT32_MAX : 0xff),
	};

	/* INIT level de-assert: only synchronized arbitration ids, which nobody has any more. */
	if (m.mode == LAPIC_INIT && !(icr_lo & (1u << 14)) && (icr_lo & (1u << 15)))
		return;
	if ((m.mode == LAPIC_FIXED || m.mode == LAPIC_LOWEST) && m.vector < 16) {
		pthread_mutex_lock(&from->lock);
		lapic_error_locked(from, ESR_SEND_ILLEGAL);
		pthread_mutex_unlock(&from->lock);
		return;
	}
	switch ((icr_lo >> 18) & 3) {
	case 0:
		lapic_deliver(b, &m);
		break;
	case 1: /* self: fixed only (11.6.1) */
		if (m.mode == LAPIC_FIXED)
			give(from, &m);
		break;
	case 2: /* all */
	case 3: /* all but self */
		for (unsigned i = 0; i < b->n; i++) {
			struct lapic *l = &b->l[i];

			if ((l != from || ((icr_lo >> 18) & 1) == 0) && l->cpu && lapic_hw_enabled(l))
				give(l, &m);
		}
		break;
	}
}

void lapic_msi_send(void *opaque, u64 addr, u32 data)
{
	struct lapics *b = opaque;

	if ((addr & ~0xfffffull) != 0xfee00000)
		return;
	if (b->engine) {
		cpu_vm_msi(b->engine, addr, data);
		return;
	}
	u32 dest = (addr >> 12) & 0xff;
	struct lapic_msg m = {
		.dest = dest,
		.broadcast = dest == 0xff,
		.logical = addr & 4,
		.level = data & (1u << 15),
		.mode = LVT_MODE(data),
		.vector = (u8)data,
	};
	/* The redirection hint lets the message go to one of those meant. */
	if (m.mode == LAPIC_FIXED && (addr & 8) && m.logical)
		m.mode = LAPIC_LOWEST;
	/* The de-assert message of a level-triggered source (data bit 14 clear) carries no interrupt. */
	if (m.level && !(data & (1u << 14)))
		return;
	lapic_deliver(b, &m);
}
