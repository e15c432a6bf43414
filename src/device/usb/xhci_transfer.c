/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xhci_transfer.c - transfer rings (4.11): control requests, reports, and the events that tell of them.
 *
 * A control transfer is a Setup TRB, perhaps Data TRBs, a Status TRB. The request is done when it was read, or at its
 * end where data comes with it; a stall is told where the device would say it. A report's TD is one or more Normal
 * TRBs; where the device has none, the ring rests at the first of them.
 */
#include "device/usb/xhci_int.h"

#define LENGTH(t) ((t)->status & 0x1ffff)
#define EVENT_DATA 4u /* of a transfer event: its parameter is the driver's own */
#define LENGTH_MAX 0xffffffu

int xhci_fetch(struct xhci *x, struct xhci_ring *r, struct xhci_trb *t)
{
	u8 b[XHCI_TRB_BYTES];

	while (x->budget && r->leave) {
		x->budget--;
		r->leave--;
		if (ram_get(x->ram, r->at, b, sizeof(b)) < 0)
			return -EFAULT;
		*t = (struct xhci_trb){
			.parameter = ld_le64(b), .status = ld_le32(b + 8), .control = ld_le32(b + 12), .at = r->at
		};
		if ((t->control & TRB_CYCLE) != r->cycle)
			return 0;
		if (xhci_type(t) != TRB_LINK) {
			r->at += XHCI_TRB_BYTES;
			return 1;
		}
		r->at = t->parameter & ~15ull;
		if (t->control & TRB_TOGGLE)
			r->cycle = !r->cycle;
	}
	return 0;
}

/* ---- what is told ---- */

struct td {
	struct xhci *x;
	struct xhci_slot *s;
	struct xhci_ep *ep;
	unsigned slot, dci;
	const struct xhci_trb *t;
};

static u32 whose(const struct td *d)
{
	return TRB_OF_TYPE(TRB_TRANSFER_EVENT) | d->dci << 16 | d->slot << 24;
}

static void tell(const struct td *d, u32 cc, u32 left)
{
	xhci_event(d->x, d->t->at, cc << 24 | left, whose(d), d->t->control & TRB_BLOCK_INTERRUPT);
}

/* The endpoint stops at this TRB; the driver has to see to it (4.8.3). */
static bool fail(const struct td *d, unsigned state, u32 cc)
{
	d->ep->state = (u8)state;
	d->ep->ring.at = d->t->at;
	d->s->rung &= ~(1u << d->dci);
	xhci_ep_tell(d->x, d->s, d->dci);
	tell(d, cc, LENGTH(d->t));
	return false;
}

static bool done(const struct td *d)
{
	if (d->t->control & TRB_IOC)
		tell(d, CC_SUCCESS, 0);
	return true;
}

static bool event_data(const struct td *d)
{
	if (d->t->control & TRB_IOC)
		xhci_event(d->x, d->t->parameter,
			   (u32)(d->ep->ended ? CC_SHORT_PACKET : CC_SUCCESS) << 24 | MIN(d->ep->moved, LENGTH_MAX),
			   whose(d) | EVENT_DATA, d->t->control & TRB_BLOCK_INTERRUPT);
	d->ep->moved = 0;
	return true;
}

void xhci_transfer_forget(struct xhci_ep *ep)
{
	ep->begun = ep->ended = ep->stalls = false;
	ep->bytes = ep->at = 0;
	ep->moved = 0;
}

/* ---- data ---- */

static bool to_guest(const struct td *d)
{
	struct xhci_ep *ep = d->ep;
	u32 length = LENGTH(d->t), n = ep->ended ? 0 : MIN(length, ep->bytes - ep->at);

	if (n && ram_put(d->x->ram, d->t->parameter, ep->data + ep->at, n) < 0)
		return fail(d, EP_ERROR, CC_TRB);
	ep->at += n;
	ep->moved += n;
	if (ep->ended) /* only its Event Data TRB tells (4.10.1.1) */
		return true;
	if (n == length)
		return done(d);
	ep->ended = true;
	if (d->t->control & (TRB_ISP | TRB_IOC))
		tell(d, CC_SHORT_PACKET, length - n);
	return true;
}

/* What is more than a request of ours can have is read by nobody. */
static bool from_guest(const struct td *d)
{
	struct xhci_ep *ep = d->ep;
	u32 length = LENGTH(d->t), n = MIN(length, USB_CONTROL_MAX - ep->bytes);
	u8 immediate[8];

	if (d->t->control & TRB_IMMEDIATE) {
		n = MIN(n, sizeof(immediate));
		st_le64(immediate, d->t->parameter);
		memcpy(ep->data + ep->bytes, immediate, n);
	} else if (n && ram_get(d->x->ram, d->t->parameter, ep->data + ep->bytes, n) < 0) {
		return fail(d, EP_ERROR, CC_TRB);
	}
	ep->bytes += n;
	ep->moved += length;
	return done(d);
}

/* ---- endpoint 0 ---- */

static bool setup(const struct td *d, struct usb_hid *device)
{
	struct xhci_ep *ep = d->ep;

	if (!(d->t->control & TRB_IMMEDIATE) || LENGTH(d->t) != USB_SETUP_BYTES)
		return fail(d, EP_ERROR, CC_TRB);
	xhci_transfer_forget(ep);
	st_le64(ep->setup, d->t->parameter);
	ep->begun = true;
	u32 length = ld_le16(ep->setup + 6);
	if (ep->setup[0] & USB_IN || !length) {
		int r = usb_hid_control(device, ep->setup, ep->data, 0);
		ep->stalls = r < 0;
		ep->bytes = r > 0 ? MIN((u32)r, length) : 0;
	}
	return done(d);
}

static bool data_stage(const struct td *d)
{
	if (!d->ep->begun)
		return fail(d, EP_ERROR, CC_TRB);
	if (d->ep->stalls)
		return fail(d, EP_HALTED, CC_STALL);
	return d->ep->setup[0] & USB_IN ? to_guest(d) : from_guest(d);
}

static bool status_stage(const struct td *d, struct usb_hid *device)
{
	struct xhci_ep *ep = d->ep;

	if (!ep->begun)
		return fail(d, EP_ERROR, CC_TRB);
	if (!(ep->setup[0] & USB_IN) && ld_le16(ep->setup + 6))
		ep->stalls = usb_hid_control(device, ep->setup, ep->data, ep->bytes) < 0;
	ep->begun = ep->ended = false;
	return ep->stalls ? fail(d, EP_HALTED, CC_STALL) : done(d);
}

/* ---- reports; false: the ring rests here ---- */

static bool report(const struct td *d, struct usb_hid *device)
{
	struct xhci_ep *ep = d->ep;

	if (d->dci != 3 || ep->type != EP_INTERRUPT_IN)
		return fail(d, EP_HALTED, CC_TRANSACTION);
	if (!ep->begun) {
		int r = usb_hid_report(device, ep->data);
		if (r == 0) {
			ep->ring.at = d->t->at;
			d->s->rung &= ~(1u << d->dci);
			return false;
		}
		if (r < 0)
			return fail(d, EP_HALTED, CC_STALL);
		xhci_transfer_forget(ep);
		ep->bytes = (unsigned)r;
		ep->begun = true;
	}
	bool more = to_guest(d);
	ep->begun = d->t->control & TRB_CHAIN;
	return more;
}

static bool one(const struct td *d)
{
	struct usb_hid *device = xhci_device(d->x, d->s->port);

	switch (xhci_type(d->t)) {
	case TRB_NO_OP:
		return done(d);
	case TRB_EVENT_DATA:
		if (d->dci != 1)
			d->ep->begun = d->t->control & TRB_CHAIN;
		return event_data(d);
	default:
		break;
	}
	if (!device)
		return fail(d, EP_HALTED, CC_TRANSACTION);
	switch (xhci_type(d->t)) {
	case TRB_SETUP:
		return d->dci == 1 ? setup(d, device) : fail(d, EP_ERROR, CC_TRB);
	case TRB_STATUS:
		return d->dci == 1 ? status_stage(d, device) : fail(d, EP_ERROR, CC_TRB);
	case TRB_DATA:
		return d->dci == 1 ? data_stage(d) : fail(d, EP_ERROR, CC_TRB);
	case TRB_NORMAL:
		return d->dci == 1 ? data_stage(d) : report(d, device);
	default:
		return fail(d, EP_ERROR, CC_TRB);
	}
}

/* ---- rings ---- */

static void run(struct xhci *x, unsigned slot, unsigned dci)
{
	struct xhci_slot *s = &x->slot[slot];
	struct xhci_ep *ep = &s->ep[dci];
	struct xhci_trb t;
	struct td d = { .x = x, .s = s, .ep = ep, .slot = slot, .dci = dci, .t = &t };

	if (ep->state != EP_RUNNING)
		s->rung &= ~(1u << dci);
	while (s->rung >> dci & 1 && xhci_running(x) && xhci_event_room(x, 1)) {
		int r = xhci_fetch(x, &ep->ring, &t);
		if (r < 0) {
			t = (struct xhci_trb){ .at = ep->ring.at };
			fail(&d, EP_ERROR, CC_TRB);
		} else if (r == 0) {
			if (x->budget)
				s->rung &= ~(1u << dci);
			return;
		} else if (!one(&d)) {
			return;
		}
	}
}

void xhci_transfers_run(struct xhci *x)
{
	for (unsigned i = 1; i <= XHCI_SLOTS; i++) {
		u32 todo = x->slot[i].enabled ? x->slot[i].rung : 0;
		while (todo && xhci_running(x)) {
			unsigned dci = (unsigned)__builtin_ctz(todo);
			todo &= todo - 1;
			run(x, i, dci);
		}
	}
}

void xhci_transfer_stop(struct xhci *x, unsigned slot, unsigned dci)
{
	struct xhci_ep *ep = &x->slot[slot].ep[dci];
	struct xhci_trb t = { .at = ep->ring.at };
	struct td d = { .x = x, .s = &x->slot[slot], .ep = ep, .slot = slot, .dci = dci, .t = &t };
	u8 b[XHCI_TRB_BYTES];

	if (ram_get(x->ram, t.at, b, sizeof(b)) < 0)
		return;
	t.status = ld_le32(b + 8);
	t.control = ld_le32(b + 12);
	if ((t.control & TRB_CYCLE) == ep->ring.cycle && xhci_type(&t) != TRB_LINK)
		tell(&d, CC_STOPPED, LENGTH(&t));
}
