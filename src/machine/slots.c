/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slots.c - see slots.h. */
#include "machine/slots.h"

#include "machine/layout.h"

#include <pthread.h>

struct slots {
	void (*pin)(void *opaque, unsigned gsi, bool level);
	void *opaque;
	unsigned taken;
	pthread_mutex_t lock; /* guards levels */
	u64 levels;           /* of slots, a bit each */
};

_Static_assert(LAYOUT_SLOTS_MAX <= 64, "a bit for each slot");
_Static_assert(LAYOUT_GSI_PCI + LAYOUT_SLOT_PINS <= LAYOUT_GSI_COUNT, "pins of the I/O APIC");

/* Slots n, n + PINS, n + 2 * PINS, ... share a pin. */
static u64 sharing(unsigned n)
{
	u64 m = 0;

	for (unsigned i = n % LAYOUT_SLOT_PINS; i < LAYOUT_SLOTS_MAX; i += LAYOUT_SLOT_PINS)
		m |= 1ull << i;
	return m;
}

/* A slot's wire; its "GSI" is the slot's number. */
static void set(void *opaque, unsigned n, bool level)
{
	struct slots *s = opaque;

	pthread_mutex_lock(&s->lock);
	u64 was = s->levels & sharing(n);
	s->levels = level ? s->levels | 1ull << n : s->levels & ~(1ull << n);
	u64 now = s->levels & sharing(n);
	if (!was != !now)
		s->pin(s->opaque, LAYOUT_GSI_PCI + n % LAYOUT_SLOT_PINS, now != 0);
	pthread_mutex_unlock(&s->lock);
}

struct slots *slots_new(void (*pin)(void *opaque, unsigned gsi, bool level), void *opaque)
{
	struct slots *s = xcalloc(1, sizeof(*s));

	s->pin = pin;
	s->opaque = opaque;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void slots_free(struct slots *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int slots_take(struct slots *s, struct slot *out)
{
	unsigned n = s->taken;

	if (n == LAYOUT_SLOTS_MAX)
		return -ENOSPC;
	s->taken++;
	out->number = n;
	out->at = LAYOUT_SLOTS + n * (gpa_t)LAYOUT_SLOT_BYTES;
	out->irq = (struct irq_line){ .set = set, .opaque = s, .gsi = n };
	return 0;
}

unsigned slots_taken(const struct slots *s)
{
	return s->taken;
}
