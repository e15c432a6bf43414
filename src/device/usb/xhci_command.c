/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xhci_command.c - the command ring (4.6): slots, their contexts (6.2), endpoints' states (4.8).
 *
 * What a context says is read once, when a command names it, and kept in the slot; what changes is written back to the
 * device context, for the driver to read.
 */
#include "device/usb/xhci_int.h"

/* ---- contexts (6.2): the input control context, the slot's, then the endpoints' ---- */

#define INPUT_SLOT XHCI_CONTEXT_BYTES
#define INPUT_EP(dci) (XHCI_CONTEXT_BYTES * ((dci) + 1))
#define DEVICE_EP(dci) (XHCI_CONTEXT_BYTES * (dci))
#define SLOT_ROUTE 0x000fffffu /* of dword 0 */
#define SLOT_ENTRIES(n) ((n) << 27)
#define SLOT_STATE(n) ((n) << 27) /* of dword 3 */
#define BLOCK_SET_ADDRESS (1u << 9)
#define DECONFIGURE (1u << 9)

struct input {
	u32 drop, add;
	u8 slot[XHCI_CONTEXT_BYTES];
};

static int read_input(struct xhci *x, const struct xhci_trb *t, struct input *in)
{
	u8 control[8];
	gpa_t at = t->parameter & ~15ull;

	if (ram_get(x->ram, at, control, sizeof(control)) < 0 ||
	    ram_get(x->ram, at + INPUT_SLOT, in->slot, sizeof(in->slot)) < 0)
		return CC_TRB;
	in->drop = ld_le32(control);
	in->add = ld_le32(control + 4);
	return CC_SUCCESS;
}

static void write_slot(struct xhci *x, struct xhci_slot *s, const u8 slot[XHCI_CONTEXT_BYTES], unsigned number)
{
	u8 c[XHCI_CONTEXT_BYTES];
	u32 address = s->state >= SLOT_ADDRESSED ? number : 0;

	memcpy(c, slot, sizeof(c));
	st_le32(c + 12, address | SLOT_STATE((u32)s->state));
	if (ram_put(x->ram, s->context, c, sizeof(c)) < 0)
		xhci_fail(x);
}

void xhci_ep_tell(struct xhci *x, const struct xhci_slot *s, unsigned dci)
{
	const struct xhci_ep *ep = &s->ep[dci];
	u8 first, deq[8];
	gpa_t at = s->context + DEVICE_EP(dci);

	st_le64(deq, ep->ring.at | ep->ring.cycle);
	if (ram_get(x->ram, at, &first, 1) < 0)
		goto bad;
	first = (u8)((first & ~7u) | ep->state);
	if (ram_put(x->ram, at, &first, 1) < 0 || ram_put(x->ram, at + 8, deq, sizeof(deq)) < 0)
		goto bad;
	return;
bad:
	xhci_fail(x);
}

/* Begin with an endpoint as its input context says (4.6.6). */
static int begin_ep(struct xhci *x, struct xhci_slot *s, const struct xhci_trb *t, unsigned dci)
{
	struct xhci_ep *ep = &s->ep[dci];
	u8 c[XHCI_CONTEXT_BYTES];

	if (ram_get(x->ram, (t->parameter & ~15ull) + INPUT_EP(dci), c, sizeof(c)) < 0)
		return CC_TRB;
	memset(ep, 0, sizeof(*ep));
	ep->state = EP_RUNNING;
	ep->type = c[4] >> 3 & 7;
	ep->ring.at = ld_le64(c + 8) & ~15ull;
	ep->ring.cycle = c[8] & 1;
	c[0] = (u8)((c[0] & ~7u) | EP_RUNNING);
	if (ram_put(x->ram, s->context + DEVICE_EP(dci), c, sizeof(c)) < 0)
		xhci_fail(x);
	s->rung &= ~(1u << dci);
	return ep->type && (dci == 1) == (ep->type == EP_CONTROL) ? CC_SUCCESS : CC_PARAMETER;
}

static void end_ep(struct xhci *x, struct xhci_slot *s, unsigned dci)
{
	if (s->ep[dci].state == EP_DISABLED)
		return;
	s->ep[dci].state = EP_DISABLED;
	s->rung &= ~(1u << dci);
	xhci_ep_tell(x, s, dci);
}

/* ---- slots ---- */

static int enable_slot(struct xhci *x, unsigned *number)
{
	for (unsigned i = 1; i <= MIN(x->config & 0xff, XHCI_SLOTS); i++)
		if (!x->slot[i].enabled) {
			memset(&x->slot[i], 0, sizeof(x->slot[i]));
			x->slot[i].enabled = true;
			*number = i;
			return CC_SUCCESS;
		}
	return CC_NO_SLOTS;
}

static int address_device(struct xhci *x, struct xhci_slot *s, unsigned number, const struct xhci_trb *t)
{
	bool blocked = t->control & BLOCK_SET_ADDRESS;
	struct input in;
	u8 entry[8];
	int cc = read_input(x, t, &in);

	if (cc != CC_SUCCESS)
		return cc;
	if ((in.add & 3) != 3)
		return CC_PARAMETER;
	if (s->state >= SLOT_ADDRESSED || (blocked && s->state == SLOT_DEFAULT))
		return CC_CONTEXT_STATE;
	if (ram_get(x->ram, x->dcbaap + 8ull * number, entry, sizeof(entry)) < 0)
		return CC_TRB;
	/* Nobody is at the other end: no hub, an empty port, one that was not reset. */
	if (ld_le32(in.slot) & SLOT_ROUTE || !xhci_device(x, in.slot[6]))
		return CC_TRANSACTION;
	s->context = ld_le64(entry) & ~63ull;
	cc = begin_ep(x, s, t, 1);
	if (cc != CC_SUCCESS)
		return cc;
	s->port = in.slot[6];
	s->state = blocked ? SLOT_DEFAULT : SLOT_ADDRESSED;
	write_slot(x, s, in.slot, number);
	return CC_SUCCESS;
}

/* How many contexts of the device there are now goes into its slot's. */
static void write_entries(struct xhci *x, struct xhci_slot *s, unsigned number)
{
	u8 c[XHCI_CONTEXT_BYTES];
	u32 last = 1;

	for (unsigned dci = 2; dci < XHCI_ENDPOINTS; dci++)
		if (s->ep[dci].state != EP_DISABLED)
			last = dci;
	if (ram_get(x->ram, s->context, c, sizeof(c)) < 0) {
		xhci_fail(x);
		return;
	}
	st_le32(c, (ld_le32(c) & 0x07ffffff) | SLOT_ENTRIES(last));
	write_slot(x, s, c, number);
}

static int configure(struct xhci *x, struct xhci_slot *s, unsigned number, const struct xhci_trb *t)
{
	struct input in = { .drop = ~3u };
	int cc = CC_SUCCESS;
	bool any = false;

	if (s->state < SLOT_ADDRESSED)
		return CC_CONTEXT_STATE;
	if (!(t->control & DECONFIGURE)) {
		cc = read_input(x, t, &in);
		if (cc != CC_SUCCESS)
			return cc;
		if (in.drop & 3 || in.add & 2)
			return CC_PARAMETER;
	}
	for (unsigned dci = 2; dci < XHCI_ENDPOINTS; dci++)
		if (in.drop >> dci & 1)
			end_ep(x, s, dci);
	for (unsigned dci = 2; dci < XHCI_ENDPOINTS && cc == CC_SUCCESS; dci++)
		if (in.add >> dci & 1) {
			cc = begin_ep(x, s, t, dci);
			if (cc != CC_SUCCESS)
				end_ep(x, s, dci);
		}
	for (unsigned dci = 2; dci < XHCI_ENDPOINTS; dci++)
		any |= s->ep[dci].state != EP_DISABLED;
	s->state = any ? SLOT_CONFIGURED : SLOT_ADDRESSED;
	write_entries(x, s, number);
	return cc;
}

/* What may change (4.6.7): the slot's exit latency and interrupter, endpoint 0's largest packet; it matters here to
 * nobody but who reads it again. */
static int evaluate(struct xhci *x, struct xhci_slot *s, const struct xhci_trb *t)
{
	gpa_t from = t->parameter & ~15ull;
	struct input in;
	int cc = read_input(x, t, &in);
	u8 v[2];

	if (cc != CC_SUCCESS)
		return cc;
	if (s->state < SLOT_DEFAULT)
		return CC_CONTEXT_STATE;
	if (in.add & 1 && ram_put(x->ram, s->context + 4, in.slot + 4, 2) < 0)
		return CC_TRB;
	if (in.add & 2 && (ram_get(x->ram, from + INPUT_EP(1) + 6, v, 2) < 0 ||
			   ram_put(x->ram, s->context + DEVICE_EP(1) + 6, v, 2) < 0))
		return CC_TRB;
	return CC_SUCCESS;
}

static int reset_device(struct xhci *x, struct xhci_slot *s, unsigned number)
{
	if (s->state < SLOT_ADDRESSED)
		return CC_CONTEXT_STATE;
	for (unsigned dci = 2; dci < XHCI_ENDPOINTS; dci++)
		end_ep(x, s, dci);
	xhci_transfer_forget(&s->ep[1]);
	s->state = SLOT_DEFAULT;
	write_entries(x, s, number);
	return CC_SUCCESS;
}

/* ---- endpoints ---- */

static int reset_ep(struct xhci *x, struct xhci_slot *s, unsigned dci)
{
	if (s->ep[dci].state != EP_HALTED)
		return CC_CONTEXT_STATE;
	s->ep[dci].state = EP_STOPPED;
	xhci_transfer_forget(&s->ep[dci]);
	xhci_ep_tell(x, s, dci);
	return CC_SUCCESS;
}

static int stop_ep(struct xhci *x, struct xhci_slot *s, unsigned number, unsigned dci)
{
	if (s->ep[dci].state != EP_RUNNING)
		return CC_CONTEXT_STATE;
	xhci_transfer_stop(x, number, dci);
	s->ep[dci].state = EP_STOPPED;
	s->rung &= ~(1u << dci);
	xhci_ep_tell(x, s, dci);
	return CC_SUCCESS;
}

static int set_dequeue(struct xhci *x, struct xhci_slot *s, unsigned dci, const struct xhci_trb *t)
{
	struct xhci_ep *ep = &s->ep[dci];

	if (ep->state != EP_STOPPED && ep->state != EP_ERROR)
		return CC_CONTEXT_STATE;
	ep->ring.at = t->parameter & ~15ull;
	ep->ring.cycle = t->parameter & 1;
	ep->state = EP_STOPPED;
	xhci_transfer_forget(ep);
	xhci_ep_tell(x, s, dci);
	return CC_SUCCESS;
}

/* ---- the ring ---- */

static int of_endpoint(struct xhci *x, struct xhci_slot *s, unsigned number, const struct xhci_trb *t)
{
	unsigned dci = TRB_ENDPOINT_OF(t->control);

	if (!dci)
		return CC_TRB;
	if (s->ep[dci].state == EP_DISABLED)
		return CC_ENDPOINT_NOT_ENABLED;
	switch (xhci_type(t)) {
	case TRB_RESET_ENDPOINT:
		return reset_ep(x, s, dci);
	case TRB_STOP_ENDPOINT:
		return stop_ep(x, s, number, dci);
	default:
		return set_dequeue(x, s, dci, t);
	}
}

static int of_slot(struct xhci *x, unsigned number, const struct xhci_trb *t)
{
	if (number < 1 || number > XHCI_SLOTS)
		return CC_TRB;
	struct xhci_slot *s = &x->slot[number];
	if (!s->enabled)
		return CC_SLOT_NOT_ENABLED;
	switch (xhci_type(t)) {
	case TRB_DISABLE_SLOT:
		s->enabled = false;
		s->rung = 0;
		return CC_SUCCESS;
	case TRB_ADDRESS_DEVICE:
		return address_device(x, s, number, t);
	case TRB_CONFIGURE_ENDPOINT:
		return configure(x, s, number, t);
	case TRB_EVALUATE_CONTEXT:
		return evaluate(x, s, t);
	case TRB_RESET_DEVICE:
		return reset_device(x, s, number);
	case TRB_RESET_ENDPOINT:
	case TRB_STOP_ENDPOINT:
	case TRB_SET_DEQUEUE:
		return of_endpoint(x, s, number, t);
	default:
		return CC_TRB;
	}
}

static void tell(struct xhci *x, gpa_t at, int cc, unsigned slot)
{
	xhci_event(x, at, (u32)cc << 24, TRB_OF_TYPE(TRB_COMMAND_EVENT) | slot << 24, false);
}

static void one(struct xhci *x, const struct xhci_trb *t)
{
	unsigned number = TRB_SLOT_OF(t->control);
	int cc;

	switch (xhci_type(t)) {
	case TRB_NO_OP_COMMAND:
		cc = CC_SUCCESS;
		break;
	case TRB_ENABLE_SLOT:
		number = 0;
		cc = enable_slot(x, &number);
		break;
	default:
		cc = of_slot(x, number, t);
	}
	tell(x, t->at, cc, number);
}

void xhci_commands_run(struct xhci *x)
{
	struct xhci_trb t;

	/* One command may tell of a transfer that it stopped, too (INV-XHCI-2). */
	while (x->command_rung && xhci_running(x) && xhci_event_room(x, 2)) {
		int r = xhci_fetch(x, &x->commands, &t);
		if (r < 0) {
			x->status |= XHCI_STS_CONTROLLER_ERROR;
			return;
		}
		if (r == 0) {
			x->command_rung &= !x->budget;
			return;
		}
		x->budget -= MIN(x->budget, XHCI_COMMAND_COST);
		one(x, &t);
	}
}

void xhci_commands_stop(struct xhci *x)
{
	if (x->command_runs && xhci_running(x) && xhci_event_room(x, 1))
		tell(x, x->commands.at, CC_RING_STOPPED, 0);
	x->command_runs = x->command_rung = false;
}
