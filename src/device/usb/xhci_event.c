/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xhci_event.c - the event ring (4.9.4), its interrupter (4.17).
 *
 * The ring is made of segments that a table lists. The next event goes to `event_index` of segment `event_segment`; the
 * ring is full when the place behind it is where the driver reads (ERDP). Where a segment is, is read when the ring
 * comes to it.
 *
 * An interrupt is raised for an event, and the next one only after the driver has said by EHB that it has seen it.
 * Moderation (IMOD) is remembered and not done: what raises interrupts here are keys.
 */
#include "device/usb/xhci_int.h"

#define IMAN_PENDING 1u
#define IMAN_ENABLE 2u
#define ERDP_BUSY 8u
#define ERDP_FLAGS 15u
#define SEGMENT_LEAST 16u /* TRBs (6.5) */
#define SEGMENT_MOST 4096u
#define ENTRY_BYTES 16u

/* Where segment i is. False: the table or what it says is none. */
static bool segment(struct xhci *x, u32 i, u64 *base, u32 *entries)
{
	u8 e[ENTRY_BYTES];

	if (ram_get(x->ram, x->erst + (u64)i * ENTRY_BYTES, e, sizeof(e)) < 0)
		return false;
	*base = ld_le64(e) & ~63ull;
	*entries = ld_le32(e + 8) & 0xffff;
	return *entries >= SEGMENT_LEAST && *entries <= SEGMENT_MOST;
}

void xhci_event_ring_moved(struct xhci *x)
{
	x->event_ready = false;
}

/* True: there is a ring. */
static bool ready(struct xhci *x)
{
	if (x->event_ready)
		return true;
	if (!x->erst_size || x->erst_size > XHCI_ERST_MAX || !segment(x, 0, &x->event_base, &x->event_entries))
		return false;
	x->event_segment = x->event_index = 0;
	x->event_cycle = true;
	return x->event_ready = true;
}

static u64 place(const struct xhci *x)
{
	return x->event_base + (u64)x->event_index * XHCI_TRB_BYTES;
}

/* The ring's next place. False: the table says none. */
static bool advance(struct xhci *x)
{
	if (++x->event_index < x->event_entries)
		return true;
	x->event_index = 0;
	if (++x->event_segment >= x->erst_size) {
		x->event_segment = 0;
		x->event_cycle = !x->event_cycle;
	}
	return segment(x, x->event_segment, &x->event_base, &x->event_entries);
}

bool xhci_event_room(struct xhci *x, unsigned n)
{
	struct {
		bool cycle;
		u32 segment, index, entries;
		u64 base;
	} was;
	bool room = ready(x);

	if (!room)
		return false;
	was.cycle = x->event_cycle;
	was.segment = x->event_segment;
	was.index = x->event_index;
	was.entries = x->event_entries;
	was.base = x->event_base;
	while (room && n--)
		room = advance(x) && place(x) != (x->erdp & ~(u64)ERDP_FLAGS);
	x->event_cycle = was.cycle;
	x->event_segment = was.segment;
	x->event_index = was.index;
	x->event_entries = was.entries;
	x->event_base = was.base;
	return room;
}

void xhci_event(struct xhci *x, u64 parameter, u32 status, u32 control, bool quiet)
{
	u8 trb[XHCI_TRB_BYTES];

	st_le64(trb, parameter);
	st_le32(trb + 8, status);
	st_le32(trb + 12, control | (x->event_cycle ? TRB_CYCLE : 0));
	/* The cycle bit says that the rest is there. */
	if (ram_put(x->ram, place(x), trb, 12) < 0 || ram_put(x->ram, place(x) + 12, trb + 12, 4) < 0 || !advance(x)) {
		x->event_ready = false;
		xhci_fail(x);
		return;
	}
	x->event_raised |= !quiet;
}

void xhci_events_taken(struct xhci *x, u64 erdp)
{
	x->erdp = (erdp & ~(u64)ERDP_BUSY) | (x->erdp & ~erdp & ERDP_BUSY);
	if (x->event_ready && !(x->erdp & ERDP_BUSY) && place(x) != (x->erdp & ~(u64)ERDP_FLAGS))
		x->event_raised = true;
}

void xhci_interrupt(struct xhci *x)
{
	bool enabled = x->command & XHCI_CMD_INTERRUPTS && x->iman & IMAN_ENABLE;

	if (x->event_raised && !(x->erdp & ERDP_BUSY)) {
		x->event_raised = false;
		x->status |= XHCI_STS_EVENT;
		x->erdp |= ERDP_BUSY;
		x->iman |= IMAN_PENDING;
		/* A message takes the pending bit with it (5.5.2.1). */
		if (enabled && pci_msix_enabled(&x->pci) && pci_msix_send(&x->pci, 0))
			x->iman &= ~IMAN_PENDING;
	}
	pci_intx(&x->pci, enabled && x->iman & IMAN_PENDING && !pci_msix_enabled(&x->pci));
}
