/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xhci_driver.h - a small driver of an xHCI controller for tests: rings of one page each, one device at a time, and no
 * manners at all where a test wants none.
 */
#ifndef MICA_TEST_XHCI_DRIVER_H
#define MICA_TEST_XHCI_DRIVER_H

#include "base/clock.h"
#include "base/loop.h"
#include "base/ram.h"
#include "device/usb/xhci.h"
#include "unit/machine/pci_rig.h"

#define XD_RAM (16 * MIB)
/* Where it has what, a page each. */
#define XD_DCBAA 0x1000u
#define XD_COMMANDS 0x2000u
#define XD_EVENTS 0x3000u
#define XD_ERST 0x4000u
#define XD_INPUT 0x5000u
#define XD_DEVICE 0x6000u   /* and 0x1000 for each slot more */
#define XD_CONTROL 0x10000u /* transfer rings, likewise */
#define XD_REPORTS 0x20000u
#define XD_BUF 0x30000u
#define XD_EVENT_TRBS 32u

struct xd_event {
	u64 parameter;
	u32 status, control;
};

struct xd {
	struct pci_rig rig;
	struct ram *ram;
	struct loop *loop;
	struct loop_timer stop;
	struct device *dev;
	u64 regs;
	unsigned commands, events; /* how many so far */
	unsigned control, reports; /* TRBs of the slot that is used */
};

static inline u32 xd_get(struct xd *d, unsigned reg)
{
	return (u32)bus_mmio_read(d->rig.bus, d->regs + reg, 4);
}

static inline void xd_put(struct xd *d, unsigned reg, u32 v)
{
	bus_mmio_write(d->rig.bus, d->regs + reg, 4, v);
}

static inline u8 *xd_mem(struct xd *d, u64 at)
{
	return d->ram->host + at;
}

static inline void xd_stop(void *loop)
{
	loop_stop(loop);
}

static inline void xd_spin(struct xd *d)
{
	loop_timer_arm(&d->stop, clock_mono_ns() + 2000000);
	loop_run(d->loop);
}

static inline void xd_trb(struct xd *d, u64 at, u64 parameter, u32 status, u32 control)
{
	st_le64(xd_mem(d, at), parameter);
	st_le32(xd_mem(d, at + 8), status);
	st_le32(xd_mem(d, at + 12), control);
}

/* Of a ring without links: tests use less than a page of each. */
static inline u64 xd_add(struct xd *d, u64 ring, unsigned *n, u64 parameter, u32 status, u32 type, u32 flags)
{
	u64 at = ring + 16ull * (*n)++;

	xd_trb(d, at, parameter, status, type << 10 | flags | 1);
	return at;
}

static inline void xd_up(struct xd *d, unsigned which)
{
	memset(d, 0, sizeof(*d));
	pci_rig_up(&d->rig);
	must(ram_new(&d->ram, XD_RAM, NULL) == 0 && loop_new(&d->loop, NULL) == 0);
	loop_timer_init(d->loop, &d->stop, xd_stop, d->loop);
	must(xhci_new(&d->dev, d->rig.pci, d->ram, d->loop, which, -1, NULL) == 0);
	must(pci_bus_assign(d->rig.pci) == 0);
	d->regs = cfg_bar(d->rig.bus, 1, 0);
}

static inline void xd_down(struct xd *d)
{
	pci_rig_down(&d->rig);
	loop_timer_fini(&d->stop);
	loop_free(d->loop);
	ram_free(d->ram);
}

/* All that a driver does before the first command. */
static inline void xd_start(struct xd *d)
{
	xd_put(d, 0x40, 2);
	must(!(xd_get(d, 0x40) & 2) && xd_get(d, 0x44) & 1);
	memset(xd_mem(d, 0x1000), 0, 0x3f000);
	d->commands = d->events = d->control = d->reports = 0;
	xd_put(d, 0x78, 8);
	xd_put(d, 0x70, XD_DCBAA);
	xd_put(d, 0x74, 0);
	xd_put(d, 0x58, XD_COMMANDS | 1);
	xd_put(d, 0x5c, 0);
	st_le64(xd_mem(d, XD_ERST), XD_EVENTS);
	st_le32(xd_mem(d, XD_ERST + 8), XD_EVENT_TRBS);
	xd_put(d, 0x1028, 1);
	xd_put(d, 0x1038, XD_EVENTS);
	xd_put(d, 0x103c, 0);
	xd_put(d, 0x1030, XD_ERST);
	xd_put(d, 0x1034, 0);
	xd_put(d, 0x1020, 2);
	xd_put(d, 0x40, 1 | 4);
}

/* The next event; false: there is none. It is taken. */
static inline bool xd_event(struct xd *d, struct xd_event *e)
{
	unsigned i = d->events % XD_EVENT_TRBS;
	const u8 *p = xd_mem(d, XD_EVENTS + 16 * i);

	*e = (struct xd_event){ ld_le64(p), ld_le32(p + 8), ld_le32(p + 12) };
	if ((e->control & 1) != !(d->events / XD_EVENT_TRBS & 1))
		return false;
	d->events++;
	xd_put(d, 0x1038, (XD_EVENTS + 16 * (d->events % XD_EVENT_TRBS)) | 8);
	return true;
}

/* Past events of other types. */
static inline bool xd_event_of(struct xd *d, unsigned type, struct xd_event *e)
{
	while (xd_event(d, e))
		if ((e->control >> 10 & 63) == type)
			return true;
	return false;
}

/* The completion code; 0: no event came. */
static inline unsigned xd_command(struct xd *d, u32 type, u64 parameter, u32 flags, unsigned *slot)
{
	struct xd_event e;
	u64 at = xd_add(d, XD_COMMANDS, &d->commands, parameter, 0, type, flags);

	xd_put(d, 0x2000, 0);
	if (!xd_event_of(d, 33, &e))
		return 0;
	must(e.parameter == at);
	if (slot)
		*slot = e.control >> 24;
	return e.status >> 24;
}

static inline void xd_port_reset(struct xd *d, unsigned port)
{
	struct xd_event e;

	xd_put(d, 0x440 + 16 * (port - 1), 1u << 9 | 1u << 4 | 1u << 17);
	while (xd_event(d, &e))
		;
	xd_put(d, 0x440 + 16 * (port - 1), 1u << 9 | 1u << 21);
}

/* Slot and endpoint 0 of the input context. */
static inline void xd_input(struct xd *d, unsigned slot, unsigned port)
{
	memset(xd_mem(d, XD_INPUT), 0, 0x800);
	st_le32(xd_mem(d, XD_INPUT + 4), 3);
	st_le32(xd_mem(d, XD_INPUT + 32), 1u << 27 | 1u << 20);
	st_le32(xd_mem(d, XD_INPUT + 36), port << 16);
	st_le32(xd_mem(d, XD_INPUT + 64 + 4), 64u << 16 | 4u << 3 | 3u << 1);
	st_le64(xd_mem(d, XD_INPUT + 64 + 8), (XD_CONTROL + 0x1000 * slot) | 1);
	st_le64(xd_mem(d, XD_DCBAA + 8 * slot), XD_DEVICE + 0x1000 * slot);
}

static inline u8 *xd_context(struct xd *d, unsigned slot, unsigned dci)
{
	return xd_mem(d, XD_DEVICE + 0x1000 * slot + 32 * dci);
}

/* Reset the port, address what is there; its slot, 0: it did not work. */
static inline unsigned xd_address(struct xd *d, unsigned port)
{
	unsigned slot = 0;

	xd_port_reset(d, port);
	if (xd_command(d, 9, 0, 0, &slot) != 1)
		return 0;
	xd_input(d, slot, port);
	d->control = d->reports = 0;
	return xd_command(d, 11, XD_INPUT, slot << 24, NULL) == 1 ? slot : 0;
}

/* A request with data to or from XD_BUF; the completion code of the last event, *moved: bytes. */
static inline unsigned xd_request(struct xd *d, unsigned slot, const u8 setup[8], unsigned *moved)
{
	u64 ring = XD_CONTROL + 0x1000 * slot;
	unsigned length = ld_le16(setup + 6), cc = 0;
	bool in = setup[0] & 0x80;
	struct xd_event e;

	xd_add(d, ring, &d->control, ld_le64(setup), 8, 2, 1u << 6);
	if (length)
		xd_add(d, ring, &d->control, XD_BUF, length, 3, (in ? 1u << 16 : 0) | 1u << 2);
	xd_add(d, ring, &d->control, 0, 0, 4, (in && length ? 0 : 1u << 16) | 1u << 5);
	if (moved)
		*moved = length;
	xd_put(d, 0x2000 + 4 * slot, 1);
	while (xd_event_of(d, 32, &e)) {
		cc = e.status >> 24;
		if (moved && cc == 13)
			*moved = length - (e.status & 0xffffff);
	}
	return cc;
}

/* Configure the device and its endpoint 1 IN, which is given n buffers of 8 bytes at XD_BUF + 0x1000. */
static inline unsigned xd_configure(struct xd *d, unsigned slot)
{
	static const u8 set[8] = { 0, 9, 1 };

	st_le32(xd_mem(d, XD_INPUT), 0);
	st_le32(xd_mem(d, XD_INPUT + 4), 1 | 8);
	st_le32(xd_mem(d, XD_INPUT + 32), 3u << 27 | 1u << 20);
	memset(xd_mem(d, XD_INPUT + 128), 0, 32);
	st_le32(xd_mem(d, XD_INPUT + 128 + 4), 8u << 16 | 7u << 3 | 3u << 1);
	st_le64(xd_mem(d, XD_INPUT + 128 + 8), (XD_REPORTS + 0x1000 * slot) | 1);
	unsigned cc = xd_command(d, 12, XD_INPUT, slot << 24, NULL);
	return cc == 1 ? xd_request(d, slot, set, NULL) : cc;
}

static inline u64 xd_want_report(struct xd *d, unsigned slot, unsigned bytes)
{
	u64 at = xd_add(d, XD_REPORTS + 0x1000 * slot, &d->reports, XD_BUF + 0x1000, bytes, 1, 1u << 5 | 1u << 2);

	xd_put(d, 0x2000 + 4 * slot, 3);
	return at;
}

#endif
