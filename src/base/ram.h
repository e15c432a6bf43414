/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ram.h - guest RAM: one file in memory, mapped once, laid out in guest physical space as
 *   [0, min(bytes, RAM_LOW_MAX))  and, when there is more,  [4 GiB, ...).
 *
 * Threads: the layout is fixed after ram_new(). Bytes are shared with running vCPUs: read a
 * guest-owned value once into a local before checking it (the guest may change it under you).
 *
 * INV-RAM-1: whoever but a vCPU's own store writes guest RAM calls ram_wrote() afterwards, so
 * that translated code is dropped and dirty pages are seen.
 */
#ifndef MICA_RAM_H
#define MICA_RAM_H

#include "base/base.h"
#include "base/err.h"

#define RAM_LOW_MAX (3 * GIB) /* the PCI hole begins here */
#define RAM_HIGH_BASE (4 * GIB)

struct ram {
	int memfd; /* or a file that is as one (ram.c) */
	int tmpfs; /* what ram_load_begin() needs; -1: settled, or there is none */
	const char *tmpfs_rest;
	u64 bytes;
	u8 *host;      /* whole memory, contiguous in the host */
	u64 low_bytes; /* how much of it lies below the PCI hole */
	/* Set by the engine before vCPUs run; called by ram_wrote(). */
	void (*on_write)(void *opaque, gpa_t gpa, u64 bytes);
	void *on_write_opaque;
};

int ram_new(struct ram **out, u64 bytes, struct err *e);
void ram_free(struct ram *r);

/*
 * Around the writing of a large image through the descriptor, from offset `off` upwards: pages that are new meanwhile
 * come in large pieces where the host has them, at a third of the cost. False: not this time, and nothing is to be
 * ended; so it is where something lies above already, and once the RAM is settled, which it is before a guest runs. The
 * mapping must not be touched above `off` meanwhile.
 */
bool ram_load_begin(const struct ram *r, u64 off);
void ram_load_end(const struct ram *r);
void ram_settle(struct ram *r);

/* Host address of [gpa, gpa+bytes), or NULL unless all of it is RAM. bytes may be 0. */
static inline u8 *ram_ptr(const struct ram *r, gpa_t gpa, u64 bytes)
{
	if (gpa < r->low_bytes)
		return bytes <= r->low_bytes - gpa ? r->host + gpa : NULL;
	if (gpa >= RAM_HIGH_BASE) {
		u64 off = gpa - RAM_HIGH_BASE, high = r->bytes - r->low_bytes;
		if (off < high && bytes <= high - off)
			return r->host + r->low_bytes + off;
	}
	return NULL;
}

/* Index of the RAM page at gpa: 0 .. bytes/4096-1, or UINT64_MAX where there is no RAM. */
static inline u64 ram_page(const struct ram *r, gpa_t gpa)
{
	u8 *p = ram_ptr(r, gpa, 1);
	return p ? (u64)(p - r->host) >> PAGE_SHIFT : UINT64_MAX;
}

/* A device or loader has written [gpa, gpa+bytes). Any thread. */
static inline void ram_wrote(const struct ram *r, gpa_t gpa, u64 bytes)
{
	if (r->on_write && bytes)
		r->on_write(r->on_write_opaque, gpa, bytes);
}

/* Copy in or out; -EFAULT when the range is not all RAM. ram_put() calls ram_wrote(). */
int ram_get(const struct ram *r, gpa_t gpa, void *buf, u64 bytes);
int ram_put(const struct ram *r, gpa_t gpa, const void *buf, u64 bytes);
int ram_zero(const struct ram *r, gpa_t gpa, u64 bytes);

/* Give the host back the pages of [gpa, gpa+bytes); they read as zeros afterwards. */
int ram_discard(const struct ram *r, gpa_t gpa, u64 bytes);

#endif
