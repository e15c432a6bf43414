/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xhci_port.c - the root hub: ports, and what is plugged into them for good (4.19, 5.4.8).
 *
 *     reset of the controller --> connected, disabled (link: polling) --port reset--> enabled (U0) <--> suspended (U3)
 *                                          ^---- disabled by the driver ----'
 */
#include "device/usb/xhci_int.h"

#define SC 0x0 /* PORTSC; the others, of power management, remember nothing */
#define SC_CONNECTED (1u << 0)
#define SC_ENABLED (1u << 1)
#define SC_RESET (1u << 4)
#define SC_LINK(state) ((state) << 5)
#define SC_LINK_OF(sc) ((sc) >> 5 & 15)
#define SC_POWER (1u << 9)
#define SC_SPEED(n) ((n) << 10)
#define SC_LINK_WRITE (1u << 16)
#define SC_CONNECT_CHANGED (1u << 17)
#define SC_RESET_CHANGED (1u << 21)
#define SC_LINK_CHANGED (1u << 22)
#define SC_CHANGES (0x7fu << 17)
#define SC_KEPT ((7u << 25) | (3u << 14)) /* wake on events; indicator */
#define SC_WARM_RESET (1u << 31)

enum { U0 = 0, U3 = 3, RX_DETECT = 5, POLLING = 7, RESUME = 15 };
#define FULL_SPEED 1u

static void change(struct xhci *x, struct xhci_port *p, u32 bits)
{
	if (!(p->sc & bits))
		p->tell = true;
	p->sc |= bits;
	x->status |= XHCI_STS_PORT;
}

void xhci_ports_reset(struct xhci *x)
{
	for (unsigned i = 0; i < XHCI_PORTS; i++) {
		struct xhci_port *p = &x->port[i];

		p->tell = false;
		p->sc = SC_POWER | SC_LINK((u32)RX_DETECT);
		if (!p->device)
			continue;
		usb_hid_reset(p->device);
		p->sc = SC_POWER | SC_LINK((u32)POLLING) | SC_SPEED(FULL_SPEED) | SC_CONNECTED;
		change(x, p, SC_CONNECT_CHANGED);
	}
}

u32 xhci_port_read(const struct xhci *x, unsigned port, unsigned reg)
{
	return reg == SC ? x->port[port].sc : 0;
}

static void reset(struct xhci *x, struct xhci_port *p)
{
	if (!p->device)
		return;
	usb_hid_reset(p->device);
	p->sc = (p->sc & ~SC_LINK(15u)) | SC_ENABLED;
	change(x, p, SC_RESET_CHANGED);
}

/* Only what is enabled has a link whose state can be asked for (USB 2: 4.15.1). */
static void set_link(struct xhci *x, struct xhci_port *p, unsigned state)
{
	if (!(p->sc & SC_ENABLED) || (state != U0 && state != U3 && state != RESUME))
		return;
	unsigned was = SC_LINK_OF(p->sc);
	if (state == RESUME && was != U3)
		return;
	p->sc = (p->sc & ~SC_LINK(15u)) | SC_LINK((u32)state);
	if (was == RESUME && state == U0)
		change(x, p, SC_LINK_CHANGED);
}

/* What is driven by a write is one of a few things; the rest is kept, or cleared where a one is written. */
void xhci_port_write(struct xhci *x, unsigned port, unsigned reg, u32 val)
{
	struct xhci_port *p = &x->port[port];

	if (reg != SC)
		return;
	p->sc = (p->sc & ~(val & SC_CHANGES) & ~SC_KEPT) | (val & SC_KEPT);
	if (val & (SC_RESET | (port < XHCI_USB2_PORTS ? 0 : SC_WARM_RESET))) {
		reset(x, p);
		return;
	}
	if (val & SC_ENABLED && p->sc & SC_ENABLED) /* a one disables it */
		p->sc = (p->sc & ~(SC_ENABLED | SC_LINK(15u))) | SC_LINK((u32)POLLING);
	else if (val & SC_LINK_WRITE)
		set_link(x, p, SC_LINK_OF(val));
}

void xhci_ports_run(struct xhci *x)
{
	for (unsigned i = 0; i < XHCI_PORTS; i++) {
		struct xhci_port *p = &x->port[i];

		if (!p->tell || !xhci_event_room(x, 1))
			continue;
		p->tell = false;
		xhci_event(x, (u64)(i + 1) << 24, (u32)CC_SUCCESS << 24, TRB_OF_TYPE(TRB_PORT_EVENT), false);
	}
}

struct usb_hid *xhci_device(const struct xhci *x, unsigned port)
{
	if (port < 1 || port > XHCI_PORTS)
		return NULL;
	const struct xhci_port *p = &x->port[port - 1];
	return p->sc & SC_ENABLED && SC_LINK_OF(p->sc) == U0 ? p->device : NULL;
}
