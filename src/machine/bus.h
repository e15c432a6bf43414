/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bus.h - who answers at which physical address and I/O port, and interrupt wires.
 *
 * Threads: regions are added, removed and moved from any thread; look-ups come from every vCPU's
 * thread and take no lock. A device's ops run on the accessing vCPU's thread with NO lock held: each
 * device locks itself. Reads of nothing give all ones; writes to nothing are lost. ops->read or
 * ops->write may be NULL: the same.
 */
#ifndef MICA_BUS_H
#define MICA_BUS_H

#include "base/base.h"

struct bus;
struct loop;
struct doorbells;

/* off: from the region's start; off + bytes lies within it. bytes: 1 2 4 8, naturally aligned or not:
 * ops must cope. */
struct io_ops {
	u64 (*read)(void *dev, u64 off, unsigned bytes);
	void (*write)(void *dev, u64 off, unsigned bytes, u64 val);
	unsigned max_bytes; /* wider accesses come split, lowest address first; 0: any width */
};

struct io_region {
	const struct io_ops *ops;
	void *dev;
	u64 base, bytes; /* as mapped now */
	const char *name;
	bool mapped;
	struct doorbells *bells;  /* bus_add_doorbells() */
	struct io_latch *latches; /* bus_add_latch() */
};

struct bus *bus_new(void);
void bus_free(struct bus *b);

/* r stays the caller's. bus_unmap of an unmapped region does nothing; after it returns an
 * access may only arrive if its look-up had begun before. -EBUSY when the range overlaps another
 * region; a port range may lie wholly inside another, and then answers accesses that fit into it. */
int bus_map_mmio(struct bus *b, struct io_region *r, gpa_t base, u64 bytes);
int bus_map_pio(struct bus *b, struct io_region *r, u16 base, u16 bytes);
void bus_unmap_mmio(struct bus *b, struct io_region *r);
void bus_unmap_pio(struct bus *b, struct io_region *r);

/*
 * ---- doorbells: registers of which a write only says "look", with any value ----
 * Where the CPU engine can turn such a write into a signal (cpu_vm_doorbell()), the vCPU does not stop for it: the
 * region's ops->write comes later on the loop's thread, with value 0 and once for several writes. Else
 * the write comes as ever. Devices cannot tell and need not.
 */
struct doorbell_maker {
	/* bytes 0: of any width. 0, or -errno: not possible. Any thread. */
	int (*set)(void *opaque, gpa_t gpa, unsigned bytes, int fd, bool on);
	/* Of latches; NULL: never. */
	int (*latch)(void *opaque, bool pio, u64 at, unsigned bytes, bool on);
	void *opaque;
	struct loop *loop;
};
/* Before regions with doorbells are added and mapped; *m is copied. */
void bus_offer_doorbells(struct bus *b, const struct doorbell_maker *m);
/* r, not mapped yet: n doorbells of step bytes from offset off on. Does nothing where nobody offers any; before the
 * loop runs. The end is bus_del_doorbells() on an unmapped r, on the loop's thread. */
void bus_add_doorbells(struct bus *b, struct io_region *r, u64 off, unsigned step, unsigned n);
void bus_del_doorbells(struct io_region *r);

/*
 * ---- latches: registers that only remember what is written, until another register is accessed ----
 * Index registers and the like. Where the engine can gather such writes, they do not stop the vCPU and come, in order,
 * before the next access of any vCPU that does. l stays the caller's; r is not mapped yet.
 */
struct io_latch {
	u16 off;
	u8 bytes;
	struct io_latch *next;
};
void bus_add_latch(struct io_region *r, struct io_latch *l);

u64 bus_mmio_read(struct bus *b, gpa_t gpa, unsigned bytes);
void bus_mmio_write(struct bus *b, gpa_t gpa, unsigned bytes, u64 val);
u32 bus_pio_read(struct bus *b, u16 port, unsigned bytes);
void bus_pio_write(struct bus *b, u16 port, unsigned bytes, u32 val);

/* A wire into the interrupt controllers (a GSI: I/O APIC pin, and the 8259 pin when < 16). */
struct irq_line {
	void (*set)(void *opaque, unsigned gsi, bool level);
	u64 (*taken)(void *opaque); /* optional: a number that is another after any vCPU took any interrupt */
	void *opaque;
	unsigned gsi;
};
static inline void irq_set(const struct irq_line *l, bool level)
{
	if (l->set)
		l->set(l->opaque, l->gsi, level);
}

/* Where message-signalled interrupts go. Any thread. */
struct msi_target {
	void (*send)(void *opaque, u64 addr, u32 data);
	void *opaque;
};
/*
 * Messages by way of descriptors: writing to fd (an eventfd) sends the message, until the route is set anew or off.
 * Whoever sends one message over and over asks for it; id < max. One thread at a time for an id.
 */
struct msi_router {
	int (*set)(void *opaque, unsigned id, int fd, bool on, u64 addr, u32 data);
	void *opaque;
	unsigned max;
};
static inline void msi_send(const struct msi_target *t, u64 addr, u32 data)
{
	t->send(t->opaque, addr, data);
}

#endif
