/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ioapic.c - the I/O APIC.
 *
 * Theory of operation: an edge on an unmasked pin sends its message once; an edge on a masked pin is
 * lost. A level pin sends while it is asserted, unmasked and has no remote IRR; remote IRR is set when
 * a local APIC took the message and cleared by that vector's EOI, which sends again if the pin is
 * still asserted. Wires say "asserted": the polarity bit is kept for the guest and means nothing here.
 */
#include "machine/ioapic.h"

#include "cpu/board_state.h"
#include "machine/layout.h"

#include <pthread.h>

#define RTE_VECTOR 0xffull
#define RTE_LOGICAL (1ull << 11)
#define RTE_PENDING (1ull << 12)
#define RTE_REMOTE_IRR (1ull << 14)
#define RTE_LEVEL (1ull << 15)
#define RTE_MASKED (1ull << 16)
#define RTE_WRITABLE 0xff0000000001afffull

struct ioapic {
	pthread_mutex_t lock;
	struct lapics *lapics;
	struct bus *bus;
	struct io_region region;
	struct io_latch latch; /* the register select */
	u8 select;
	u32 id;
	u64 rte[IOAPIC_PINS];
	u32 pins; /* asserted now */
};

static struct lapic_msg message(u64 rte)
{
	struct lapic_msg m = {
		.dest = (u32)(rte >> 56),
		.broadcast = (rte >> 56) == 0xff,
		.logical = rte & RTE_LOGICAL,
		.level = rte & RTE_LEVEL,
		.mode = (enum lapic_mode)((rte >> 8) & 7),
		.vector = (u8)rte,
	};

	/* Only fixed and lowest-priority interrupts are ever finished by an EOI. */
	if (m.mode != LAPIC_FIXED && m.mode != LAPIC_LOWEST)
		m.level = false;
	return m;
}

static void send_locked(struct ioapic *io, unsigned pin)
{
	struct lapic_msg m = message(io->rte[pin]);

	if (lapic_deliver(io->lapics, &m) && m.level)
		io->rte[pin] |= RTE_REMOTE_IRR;
}

static void tell_pin_locked(struct ioapic *io, unsigned pin)
{
	struct lapic_msg m = message(io->rte[pin]);

	lapic_set_pin(io->lapics, pin, &m, !(io->rte[pin] & RTE_MASKED));
}

static void service_level_locked(struct ioapic *io, unsigned pin)
{
	if ((io->pins & (1u << pin)) && (io->rte[pin] & (RTE_LEVEL | RTE_MASKED | RTE_REMOTE_IRR)) == RTE_LEVEL)
		send_locked(io, pin);
}

void ioapic_set_pin(struct ioapic *io, unsigned pin, bool level)
{
	u32 bit = 1u << pin;

	must(pin < IOAPIC_PINS);
	pthread_mutex_lock(&io->lock);
	bool was = io->pins & bit;
	if (level != was) {
		io->pins ^= bit;
		if (io->rte[pin] & RTE_LEVEL)
			service_level_locked(io, pin);
		else if (level && !(io->rte[pin] & RTE_MASKED))
			send_locked(io, pin);
	}
	pthread_mutex_unlock(&io->lock);
}

static void eoi_locked(struct ioapic *io, u8 vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((io->rte[pin] & RTE_VECTOR) != vector || !(io->rte[pin] & RTE_REMOTE_IRR))
			continue;
		io->rte[pin] &= ~RTE_REMOTE_IRR;
		service_level_locked(io, pin);
	}
}

void ioapic_eoi(struct ioapic *io, u8 vector)
{
	pthread_mutex_lock(&io->lock);
	eoi_locked(io, vector);
	pthread_mutex_unlock(&io->lock);
}

static void rte_write_locked(struct ioapic *io, unsigned pin, u64 val)
{
	u64 old = io->rte[pin];

	io->rte[pin] = (val & RTE_WRITABLE) | (old & RTE_REMOTE_IRR);
	if (!(val & RTE_LEVEL))
		io->rte[pin] &= ~RTE_REMOTE_IRR; /* old kernels clear a stuck one by a turn as edge */
	tell_pin_locked(io, pin);
	service_level_locked(io, pin);
}

static u32 reg_read_locked(const struct ioapic *io, unsigned reg)
{
	switch (reg) {
	case 0:
	case 2: /* arbitration id: follows the id */
		return io->id;
	case 1:
		return 0x20 | (IOAPIC_PINS - 1) << 16;
	case 0x10 ... 0x10 + 2 * IOAPIC_PINS - 1: {
		u64 rte = io->rte[(reg - 0x10) / 2];

		return (u32)((reg & 1) ? rte >> 32 : rte);
	}
	}
	return 0;
}

static void reg_write_locked(struct ioapic *io, unsigned reg, u32 val)
{
	switch (reg) {
	case 0:
		io->id = val & 0x0f000000;
		break;
	case 0x10 ... 0x10 + 2 * IOAPIC_PINS - 1: {
		unsigned pin = (reg - 0x10) / 2;
		u64 rte = io->rte[pin];

		if (reg & 1)
			rte = (rte & UINT32_MAX) | (u64)val << 32;
		else
			rte = (rte & ~(u64)UINT32_MAX) | val;
		rte_write_locked(io, pin, rte);
		break;
	}
	}
}

static u64 mmio_read(void *dev, u64 off, unsigned bytes)
{
	struct ioapic *io = dev;
	u32 v = 0;

	pthread_mutex_lock(&io->lock);
	switch (off & ~3ull) {
	case 0x00:
		v = io->select;
		break;
	case 0x10:
		v = reg_read_locked(io, io->select);
		break;
	}
	pthread_mutex_unlock(&io->lock);
	return v >> (8 * (off & 3));
}

static void mmio_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct ioapic *io = dev;

	pthread_mutex_lock(&io->lock);
	switch (off) {
	case 0x00:
		io->select = (u8)val;
		break;
	case 0x10:
		if (bytes >= 4)
			reg_write_locked(io, io->select, (u32)val);
		break;
	case 0x40:
		eoi_locked(io, (u8)val);
		break;
	}
	pthread_mutex_unlock(&io->lock);
}

static const struct io_ops ops = { .read = mmio_read, .write = mmio_write };

void ioapic_reset(struct ioapic *io)
{
	pthread_mutex_lock(&io->lock);
	io->select = 0;
	io->id = 0;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		io->rte[i] = RTE_MASKED;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		tell_pin_locked(io, i);
	pthread_mutex_unlock(&io->lock);
}

_Static_assert(IOAPIC_PINS == BOARD_IOAPIC_PINS, "board_state.h has every pin");

void ioapic_get_state(struct ioapic *io, struct ioapic_state *st)
{
	pthread_mutex_lock(&io->lock);
	*st = (struct ioapic_state){ .select = io->select, .id = io->id, .pins = io->pins };
	memcpy(st->rte, io->rte, sizeof(st->rte));
	pthread_mutex_unlock(&io->lock);
}

void ioapic_set_state(struct ioapic *io, const struct ioapic_state *st)
{
	pthread_mutex_lock(&io->lock);
	io->select = st->select;
	io->id = st->id & 0x0f000000;
	io->pins = st->pins & ((1u << IOAPIC_PINS) - 1);
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		io->rte[i] = st->rte[i] & (RTE_WRITABLE | RTE_REMOTE_IRR);
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		tell_pin_locked(io, i);
	pthread_mutex_unlock(&io->lock);
}

int ioapic_new(struct ioapic **out, struct bus *bus, struct lapics *lapics)
{
	struct ioapic *io = xcalloc(1, sizeof(*io));

	pthread_mutex_init(&io->lock, NULL);
	io->lapics = lapics;
	io->bus = bus;
	io->region = (struct io_region){ .ops = &ops, .dev = io, .name = "ioapic" };
	io->latch = (struct io_latch){ .off = 0, .bytes = 4 };
	bus_add_latch(&io->region, &io->latch);
	ioapic_reset(io);
	int rc = bus_map_mmio(bus, &io->region, LAYOUT_IOAPIC, 0x1000);
	if (rc < 0) {
		ioapic_free(io);
		return rc;
	}
	*out = io;
	return 0;
}

void ioapic_free(struct ioapic *io)
{
	if (!io)
		return;
	bus_unmap_mmio(io->bus, &io->region);
	pthread_mutex_destroy(&io->lock);
	free(io);
}
