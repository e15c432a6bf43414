/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xhci.c - a USB host controller's life and its class; see xhci.h. */
#include "device/usb/xhci.h"

#include "base/state.h"
#include "device/class.h"
#include "device/usb/xhci_int.h"
#include "machine/machine.h"

#define VENDOR 0x1b36
#define DEVICE 0x00fd
#define CLASS_REV (0x0c0330u << 8 | 1)
#define CFG_SBRN 0x60 /* USB 3.0 (5.2.3) */
#define MSIX_BAR 2

/* ---- work ---- */

static bool work_left(const struct xhci *x)
{
	u32 rung = 0;

	for (unsigned i = 1; i <= XHCI_SLOTS; i++)
		rung |= x->slot[i].enabled ? x->slot[i].rung : 0;
	return !x->budget && xhci_running(x) && (x->command_rung || rung);
}

void xhci_run(struct xhci *x)
{
	x->budget = XHCI_VISIT;
	if (xhci_running(x)) {
		xhci_ports_run(x);
		xhci_commands_run(x);
		xhci_transfers_run(x);
	}
	xhci_interrupt(x);
	if (work_left(x))
		loop_timer_arm(&x->again, 0);
}

static void on_again(void *opaque)
{
	struct xhci *x = opaque;

	fair_lock(&x->lock);
	xhci_run(x);
	fair_unlock(&x->lock);
}

void xhci_fail(struct xhci *x)
{
	x->command &= ~XHCI_CMD_RUN;
	x->status |= XHCI_STS_HALTED | XHCI_STS_HOST_ERROR;
}

void xhci_power_on(struct xhci *x)
{
	x->command = x->notify = x->config = 0;
	x->status = XHCI_STS_HALTED;
	x->dcbaap = 0;
	x->commands = (struct xhci_ring){ 0 };
	x->command_runs = x->command_rung = false;
	x->iman = x->erst_size = 0;
	x->imod = 4000;
	x->erst = x->erdp = 0;
	x->event_ready = x->event_raised = false;
	memset(x->slot, 0, sizeof(x->slot));
	xhci_ports_reset(x);
}

/* ---- what happens at its devices ---- */

static struct xhci *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct xhci, pci);
}

/* Endpoint 1 of the device at this port has something to say. */
static void wake(struct xhci *x, unsigned port)
{
	for (unsigned i = 1; i <= XHCI_SLOTS; i++) {
		struct xhci_slot *s = &x->slot[i];

		if (!s->enabled || s->port != port || s->ep[3].state != EP_RUNNING)
			continue;
		s->ep[3].ring.leave = XHCI_LEAVE;
		s->rung |= 1u << 3;
	}
	xhci_run(x);
}

/* The port of such a device that takes part; 0: there is none. */
static unsigned find(const struct xhci *x, bool tablet)
{
	for (unsigned port = 1; port <= XHCI_PORTS && x->command & XHCI_CMD_RUN; port++) {
		const struct usb_hid *h = xhci_device(x, port);
		if (h && h->tablet == tablet)
			return port;
	}
	return 0;
}

int xhci_keys(struct device *d, const u16 *events, unsigned n)
{
	struct xhci *x = of(d);

	fair_lock(&x->lock);
	unsigned port = find(x, false);
	int r = port ? usb_hid_keys(x->port[port - 1].device, events, n) : -EAGAIN;
	if (r == 0)
		wake(x, port);
	fair_unlock(&x->lock);
	return r;
}

int xhci_point(struct device *d, unsigned px, unsigned py, int wheel, unsigned buttons)
{
	struct xhci *x = of(d);

	fair_lock(&x->lock);
	unsigned port = find(x, true);
	int r = port ? usb_hid_point(x->port[port - 1].device, px, py, wheel, buttons) : -EAGAIN;
	if (r == 0)
		wake(x, port);
	fair_unlock(&x->lock);
	return r;
}

/* ---- life ---- */

static void life_reset(struct device *d)
{
	struct xhci *x = of(d);

	fair_lock(&x->lock);
	xhci_power_on(x);
	xhci_interrupt(x);
	fair_unlock(&x->lock);
}

static bool life_quiesce(struct device *d)
{
	struct xhci *x = of(d);

	fair_lock(&x->lock);
	x->quiesced = true;
	fair_unlock(&x->lock);
	return true;
}

static void life_resume(struct device *d)
{
	struct xhci *x = of(d);

	fair_lock(&x->lock);
	x->quiesced = false;
	xhci_run(x);
	fair_unlock(&x->lock);
}

static void ring_state(struct xhci_ring *r, struct state_file *s)
{
	state_u64(s, &r->at);
	state_bool(s, &r->cycle);
	state_u32(s, &r->leave);
	r->at &= ~15ull;
	r->leave = MIN(r->leave, XHCI_LEAVE);
}

static void ep_state(struct xhci_ep *ep, struct state_file *s)
{
	unsigned state = ep->state;

	state_uint(s, &state, EP_ERROR);
	ep->state = (u8)state;
	if (state == EP_DISABLED)
		return;
	state_u8(s, &ep->type);
	ring_state(&ep->ring, s);
	state_bool(s, &ep->begun);
	state_bool(s, &ep->ended);
	state_bool(s, &ep->stalls);
	state_bytes(s, ep->setup, sizeof(ep->setup));
	state_uint(s, &ep->bytes, USB_CONTROL_MAX);
	state_uint(s, &ep->at, ep->bytes);
	state_bytes(s, ep->data, ep->bytes);
	state_u32(s, &ep->moved);
}

static void slot_state(struct xhci_slot *slot, struct state_file *s)
{
	unsigned state = slot->state;

	state_bool(s, &slot->enabled);
	state_uint(s, &state, SLOT_CONFIGURED);
	slot->state = (u8)state;
	state_u8(s, &slot->port);
	state_u64(s, &slot->context);
	state_u32(s, &slot->rung);
	for (unsigned dci = 1; dci < XHCI_ENDPOINTS && slot->enabled; dci++)
		ep_state(&slot->ep[dci], s);
	slot->rung &= ~1u;
}

static void event_state(struct xhci *x, struct state_file *s)
{
	state_u32(s, &x->iman);
	state_u32(s, &x->imod);
	state_u32(s, &x->erst_size);
	state_u64(s, &x->erst);
	state_u64(s, &x->erdp);
	state_bool(s, &x->event_ready);
	state_bool(s, &x->event_cycle);
	state_bool(s, &x->event_raised);
	state_u32(s, &x->event_segment);
	state_u32(s, &x->event_index);
	state_u32(s, &x->event_entries);
	state_u64(s, &x->event_base);
	if (x->event_ready && (!x->erst_size || x->erst_size > XHCI_ERST_MAX || x->event_segment >= x->erst_size ||
			       x->event_entries > 4096 || x->event_index >= x->event_entries))
		state_bad(s, "a USB controller's event ring is in a state that cannot be");
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct xhci *x = of(d);
	int r = state_section(s, "xhci", x->pci.devfn, 1, e);

	if (r < 0)
		return r;
	fair_lock(&x->lock);
	state_u32(s, &x->command);
	state_u32(s, &x->status);
	state_u32(s, &x->notify);
	state_u32(s, &x->config);
	state_u64(s, &x->dcbaap);
	ring_state(&x->commands, s);
	state_bool(s, &x->command_runs);
	state_bool(s, &x->command_rung);
	event_state(x, s);
	for (unsigned i = 0; i < XHCI_PORTS; i++) {
		struct usb_hid *h = x->port[i].device;
		state_same(s, h ? 1 + h->tablet : 0, "other USB devices are plugged in");
		state_u32(s, &x->port[i].sc);
		state_bool(s, &x->port[i].tell);
		if (h)
			usb_hid_state(h, s);
	}
	for (unsigned i = 1; i <= XHCI_SLOTS; i++)
		slot_state(&x->slot[i], s);
	fair_unlock(&x->lock);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct xhci *x = of(d);

	loop_timer_fini(&x->again);
	pci_dev_fini(&x->pci);
	fair_lock_fini(&x->lock);
	free(x);
}

static const struct pci_dev_ops ops = {
	.life = {
		.reset = life_reset,
		.quiesce = life_quiesce,
		.resume = life_resume,
		.state = life_state,
		.free = life_free,
	},
};

/* ---- making one ---- */

int xhci_new(struct device **out, struct pci_bus *bus, struct ram *ram, struct loop *loop, unsigned which, int slot,
	     struct err *e)
{
	struct xhci *x = xcalloc(1, sizeof(*x));
	unsigned n = 0;

	x->ram = ram;
	fair_lock_init(&x->lock);
	loop_timer_init(loop, &x->again, on_again, x);
	for (unsigned tablet = 0; tablet < XHCI_DEVICES; tablet++)
		if (which & (tablet ? XHCI_TABLET : XHCI_KEYBOARD)) {
			x->device[n].tablet = tablet;
			x->port[n].device = &x->device[n];
			n++;
		}
	pci_dev_init(&x->pci, &ops, "xhci", VENDOR, DEVICE, CLASS_REV);
	st_le16(x->pci.cfg + 0x2c, VENDOR);
	st_le16(x->pci.cfg + 0x2e, DEVICE);
	x->pci.cfg[CFG_SBRN] = 0x30;
	pci_add_bar(&x->pci, 0, XHCI_BAR_BYTES, true, &xhci_ops, x);
	pci_add_msix(&x->pci, MSIX_BAR, 1);
	xhci_power_on(x);
	int r = pci_register(bus, &x->pci, slot);
	if (r < 0) {
		life_free(&x->pci.dev);
		return err_sys(e, -r, "cannot put %s on the PCI bus (slot %d)", "xhci", slot);
	}
	*out = &x->pci.dev;
	return 0;
}

static int new_xhci(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	unsigned which = (device_switch(a, "keyboard", true) ? XHCI_KEYBOARD : 0) |
			 (device_switch(a, "tablet", true) ? XHCI_TABLET : 0);

	return xhci_new(out, machine_pci(m), machine_ram(m), machine_loop(m), which, a->slot, e);
}

static const struct device_param params[] = {
	{ "keyboard", "on|off", N_("a USB keyboard is plugged in"), DEVICE_SWITCH, 0, 0 },
	{ "tablet", "on|off", N_("a USB tablet is plugged in: a pointer that is where the VNC client's is"),
	  DEVICE_SWITCH, 0, 0 },
	{ NULL },
};

const struct device_class xhci_device_class = {
	.pci = true,
	.name = "xhci",
	.help = N_("USB 3 controller with a keyboard and a tablet, for systems without virtio drivers"),
	.params = params,
	.new = new_xhci,
	.keys = xhci_keys,
	.point = xhci_point,
};
