/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xhci_regs.c - an xHCI controller's registers (chapter 5): capabilities, operational registers, ports, the
 * interrupter, doorbells. Dwords; a qword is two, the lower first. What is narrower or not aligned is lost.
 */
#include "device/usb/xhci_int.h"

/* ---- where they are ---- */

#define CAP_BYTES 0x40u
#define OPERATIONAL CAP_BYTES
#define PORTS (OPERATIONAL + 0x400u)
#define RUNTIME 0x1000u
#define INTERRUPTER (RUNTIME + 0x20u)
#define DOORBELLS 0x2000u

/* ---- capabilities (5.3, 7.2) ---- */

#define VERSION 0x0110u
#define PROTOCOLS 0x20u /* the extended capabilities: what which ports speak */
#define PROTOCOL(major, minor, next) ((u32)(major) << 24 | (minor) << 16 | (next) << 8 | 2)
#define NAME_USB 0x20425355u
#define PORT_RANGE(first, n) ((first) | (n) << 8)

static const u32 capabilities[CAP_BYTES / 4] = {
	[0x00 / 4] = CAP_BYTES | VERSION << 16,
	[0x04 / 4] = XHCI_SLOTS | 1u << 8 | XHCI_PORTS << 24, /* one interrupter */
	[0x08 / 4] = 3u << 4,                                 /* 2^3 segments of an event ring */
	[0x10 / 4] = 1u | PROTOCOLS / 4 << 16,                /* addresses of 64 bits */
	[0x14 / 4] = DOORBELLS,
	[0x18 / 4] = RUNTIME,
	[0x20 / 4] = PROTOCOL(2, 0, 4),
	[0x24 / 4] = NAME_USB,
	[0x28 / 4] = PORT_RANGE(1, XHCI_USB2_PORTS),
	[0x30 / 4] = PROTOCOL(3, 0, 0),
	[0x34 / 4] = NAME_USB,
	[0x38 / 4] = PORT_RANGE(XHCI_USB2_PORTS + 1, XHCI_PORTS - XHCI_USB2_PORTS),
};
_Static_assert(XHCI_ERST_MAX == 1u << 3, "as it says");

/* ---- operational registers (5.4) ---- */

#define CRCR_CYCLE 1u
#define CRCR_STOP 2u
#define CRCR_ABORT 4u
#define CRCR_RUNNING 8u
#define CMD_WRITABLE 0xc0du /* run, interrupts, host system error enable, wrap event, MFINDEX */
#define CMD_RESTORE (1u << 9)
#define STS_CLEARED (XHCI_STS_HOST_ERROR | XHCI_STS_EVENT | XHCI_STS_PORT | XHCI_STS_RESTORE_ERROR)
#define PAGE_4K 1u

static void set_low(u64 *v, u32 low)
{
	*v = (*v & ~0xffffffffull) | low;
}

static void set_high(u64 *v, u32 high)
{
	*v = (u32)*v | (u64)high << 32;
}

static void write_command(struct xhci *x, u32 val)
{
	if (val & XHCI_CMD_RESET) {
		xhci_power_on(x);
		return;
	}
	if (val & CMD_RESTORE) /* nothing was saved: the driver begins anew (4.23.2) */
		x->status |= XHCI_STS_RESTORE_ERROR;
	if (x->command & XHCI_CMD_RUN && !(val & XHCI_CMD_RUN))
		x->command_runs = x->command_rung = false;
	x->command = val & CMD_WRITABLE;
	if (val & XHCI_CMD_RUN)
		x->status &= ~XHCI_STS_HALTED;
	else
		x->status |= XHCI_STS_HALTED;
}

/* Where the ring is, may only be said while it rests (5.4.5). */
static void write_crcr(struct xhci *x, u32 val)
{
	if (val & (CRCR_STOP | CRCR_ABORT))
		xhci_commands_stop(x);
	if (x->command_runs)
		return;
	set_low(&x->commands.at, val & ~63u);
	x->commands.cycle = val & CRCR_CYCLE;
}

static u32 operational_read(const struct xhci *x, unsigned off)
{
	switch (off) {
	case 0x00:
		return x->command;
	case 0x04:
		return x->status;
	case 0x08:
		return PAGE_4K;
	case 0x14:
		return x->notify;
	case 0x18: /* where it is, cannot be read */
		return x->command_runs ? CRCR_RUNNING : 0;
	case 0x30:
		return (u32)x->dcbaap;
	case 0x34:
		return (u32)(x->dcbaap >> 32);
	case 0x38:
		return x->config;
	default:
		return 0;
	}
}

static void operational_write(struct xhci *x, unsigned off, u32 val)
{
	switch (off) {
	case 0x00:
		write_command(x, val);
		break;
	case 0x04:
		x->status &= ~(val & STS_CLEARED);
		break;
	case 0x14:
		x->notify = val & 0xffff;
		break;
	case 0x18:
		write_crcr(x, val);
		break;
	case 0x1c:
		if (!x->command_runs)
			set_high(&x->commands.at, val);
		break;
	case 0x30:
		set_low(&x->dcbaap, val & ~63u);
		break;
	case 0x34:
		set_high(&x->dcbaap, val);
		break;
	case 0x38:
		x->config = val & 0x3ff;
		break;
	default:
		break;
	}
}

/* ---- the interrupter (5.5.2) ---- */

static u32 interrupter_read(const struct xhci *x, unsigned off)
{
	switch (off) {
	case 0x00:
		return x->iman;
	case 0x04:
		return x->imod;
	case 0x08:
		return x->erst_size;
	case 0x10:
		return (u32)x->erst;
	case 0x14:
		return (u32)(x->erst >> 32);
	case 0x18:
		return (u32)x->erdp;
	case 0x1c:
		return (u32)(x->erdp >> 32);
	default:
		return 0;
	}
}

static void interrupter_write(struct xhci *x, unsigned off, u32 val)
{
	u64 erdp = x->erdp;

	switch (off) {
	case 0x00:
		x->iman = (x->iman & 1 & ~val) | (val & 2);
		break;
	case 0x04:
		x->imod = val;
		break;
	case 0x08:
		x->erst_size = val & 0xffff;
		xhci_event_ring_moved(x);
		break;
	case 0x10:
		set_low(&x->erst, val & ~63u);
		xhci_event_ring_moved(x);
		break;
	case 0x14:
		set_high(&x->erst, val);
		xhci_event_ring_moved(x);
		break;
	case 0x18:
		set_low(&erdp, val);
		xhci_events_taken(x, erdp);
		break;
	case 0x1c:
		set_high(&x->erdp, val);
		break;
	default:
		break;
	}
}

/* Of 125 us each, while it runs (5.5.1). */
static u32 microframe(const struct xhci *x)
{
	return xhci_running(x) ? (u32)(clock_mono_ns() / 125000) & 0x3fff : 0;
}

/* ---- doorbells (5.6) ---- */

static void doorbell(struct xhci *x, unsigned slot, u32 val)
{
	unsigned dci = val & 0xff;

	if (!slot) {
		if (dci || !xhci_running(x))
			return;
		x->command_runs = x->command_rung = true;
		x->commands.leave = XHCI_LEAVE;
		return;
	}
	struct xhci_slot *s = slot <= XHCI_SLOTS ? &x->slot[slot] : NULL;
	if (!s || !s->enabled || !dci || dci >= XHCI_ENDPOINTS)
		return;
	struct xhci_ep *ep = &s->ep[dci];
	if (ep->state == EP_STOPPED) {
		ep->state = EP_RUNNING;
		xhci_ep_tell(x, s, dci);
	}
	if (ep->state != EP_RUNNING)
		return;
	ep->ring.leave = XHCI_LEAVE;
	s->rung |= 1u << dci;
}

/* ---- all of them ---- */

static u32 reg_read(const struct xhci *x, unsigned off)
{
	if (off < CAP_BYTES)
		return capabilities[off / 4];
	if (off >= PORTS && off < PORTS + 16 * XHCI_PORTS)
		return xhci_port_read(x, (off - PORTS) / 16, off % 16);
	if (off == RUNTIME)
		return microframe(x);
	if (off >= INTERRUPTER && off < INTERRUPTER + 32)
		return interrupter_read(x, off - INTERRUPTER);
	return off < PORTS ? operational_read(x, off - OPERATIONAL) : 0;
}

static void reg_write(struct xhci *x, unsigned off, u32 val)
{
	if (off >= DOORBELLS)
		doorbell(x, (off - DOORBELLS) / 4, val);
	else if (off >= INTERRUPTER && off < INTERRUPTER + 32)
		interrupter_write(x, off - INTERRUPTER, val);
	else if (off >= PORTS && off < PORTS + 16 * XHCI_PORTS)
		xhci_port_write(x, (off - PORTS) / 16, off % 16, val);
	else if (off >= OPERATIONAL && off < PORTS)
		operational_write(x, off - OPERATIONAL, val);
}

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	struct xhci *x = dev;
	u64 v = 0;

	fair_lock(&x->lock);
	for (unsigned i = 0; i < bytes; i++)
		v |= (u64)(reg_read(x, (unsigned)(off + i) & ~3u) >> (8 * ((off + i) & 3)) & 0xff) << 8 * i;
	fair_unlock(&x->lock);
	return v;
}

static void bar_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct xhci *x = dev;

	if ((bytes != 4 && bytes != 8) || off % 4)
		return;
	fair_lock(&x->lock);
	for (unsigned i = 0; i < bytes; i += 4)
		reg_write(x, (unsigned)off + i, (u32)(val >> 8 * i));
	xhci_run(x);
	fair_unlock(&x->lock);
}

const struct io_ops xhci_ops = { .read = bar_read, .write = bar_write };
