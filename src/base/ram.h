/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ram.h - guest memory: one file, and a table of extents that says where the guest sees which piece of it.
 *
 * Theory of operation
 *
 * The file. All that a guest reads without asking a device lies in one file in memory. It is mapped once, whole, and
 * stays mapped until ram_free(): a host pointer into it stays good, whatever the guest's addresses become meanwhile.
 *
 *     0              bytes          ones_off       ones_off + 4 KiB ...               capacity
 *     |  main RAM      |   (hole)     |  all ones    |  taken: ROM, flash, video memory    |
 *
 * A page of the file has one number, offset / 4096, wherever the guest sees it, or whether it does at all. Engines keep
 * their books by it (decoded code, dirty pages), so that nothing of that moves when an address does.
 *
 * The table. An extent shows [off, off + bytes) of the file at guest physical address gpa. Extents never overlap in
 * guest addresses; two of them may show the same piece of the file (a ROM below 1 MiB and below 4 GiB). An address
 * in no extent is not memory: a device's, or nobody's. Which extents there are is the board's decision
 * (machine/memory.h).
 *
 * A read-only extent is read and executed like any memory. A write of a vCPU to it goes to the bus
 * (cpu_bus.mmio_write), as if no memory were there: nobody listens to it at a ROM; at a flash the chip does. A device
 * gets no pointer to write to it. Writing through another extent, or by the host pointer, changes what it shows.
 *
 * Changing the table takes two steps, since vCPUs use it without a lock:
 *   1. edit: ram_add(), ram_remove(), ram_set_readonly(), ram_move(). Any thread, any time, also a device that
 *      is being written to and holds its lock. Nobody sees it yet.
 *   2. ram_commit(), while no vCPU executes. All edits come into force together.
 * For edits made inside of an access of a vCPU (a register that maps or write-protects, a flash that is given a
 * command) the engine does the second step by itself: it looks at ram_edited() when the access has returned, and before
 * the vCPU's next instruction brings all vCPUs to rest, commits, and forgets what it knew of addresses. For others:
 * ram_commit() where the VM is at rest anyway, else cpu_vm_commit_ram().
 *
 * Bytes are shared with running vCPUs: read a value that the guest owns once into a local before checking it; the
 * guest may change it under you.
 *
 * INV-RAM-1: whoever but a vCPU's own store writes guest memory calls ram_wrote() afterwards (ram_wrote_at() for the
 * file's own offsets), so that code made from it is dropped and dirty pages are seen.
 * INV-RAM-2: what is in force (range[], now[]) changes only in ram_commit(), while no vCPU executes. vCPUs therefore
 * look it up as it is (ram_find()); other threads check that it has not changed meanwhile (ram_ptr() and the others).
 */
#ifndef MICA_RAM_H
#define MICA_RAM_H

#include "base/base.h"
#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>

#define RAM_EXTENTS_MAX 64
/* Pieces of the file begin at multiples of this: a bitmap by page number then has a word that is theirs alone. */
#define RAM_PIECE_ALIGN (256 * KIB)

struct ram_extent {
	const char *name; /* for people; lives as long as the extent */
	gpa_t gpa;        /* these three in whole pages */
	u64 bytes;        /* 0: a free entry */
	u64 off;
	bool readonly;
};

/* What is in force, for lookups: extents that go on into each other in both address and file are one. */
struct ram_range {
	gpa_t gpa;
	u64 bytes, off;
	bool readonly;
};

/* The CPU engine's, set while no vCPU runs. */
struct ram_watch {
	/* [off, off + bytes) of the file was written, not by a vCPU. */
	void (*wrote)(void *opaque, u64 off, u64 bytes);
	/* In ram_commit(), after the change: now[] and range[] are new. */
	int (*committed)(void *opaque, struct err *e);
	void *opaque;
};

struct ram {
	int memfd; /* or a file that is as one (ram.c) */
	int tmpfs; /* what ram_load_begin() needs; -1: settled, or there is none */
	const char *tmpfs_rest;
	u64 bytes;    /* of main RAM, from offset 0 on */
	u64 ones_off; /* of a page of ones, see ram_ones() */
	u64 pieces;   /* where what ram_take() gives begins */
	u64 capacity; /* of the file and its mapping */
	u8 *host;     /* the mapping */

	/* In force (INV-RAM-2). */
	u32 seq; /* odd while it changes */
	unsigned nranges;
	struct ram_range range[RAM_EXTENTS_MAX]; /* the largest first: nearly every lookup ends there */
	struct ram_extent now[RAM_EXTENTS_MAX];  /* by id */
	struct ram_watch watch;

	_Atomic bool edited; /* next[] is not in force yet */
	pthread_mutex_t lock;
	/* under lock */
	struct ram_extent next[RAM_EXTENTS_MAX]; /* by id */
	u64 used;                                /* of the file */
	bool ones_ready;
};

/* ---- the file ---- */

/* Main RAM of `bytes`, and room in the file to ram_take() `room` bytes more (address space, not memory). One extent
 * shows all of the RAM from address 0 on: as whoever has no board wants it, and for a board to lay out anew. */
int ram_new_with_room(struct ram **out, u64 bytes, u64 room, struct err *e);
int ram_new(struct ram **out, u64 bytes, struct err *e);
/* The same in a file that may be given to other processes: sealed, so that nobody can make it shorter under us. It has
 * no ram_load_begin(). */
int ram_new_to_share(struct ram **out, u64 bytes, u64 room, struct err *e);
void ram_free(struct ram *r);
/* For tests that bring a file and a mapping of their own (memfd, host, bytes, capacity: set). */
void ram_init(struct ram *r);

/* A piece of the file, zeros, whole pages; it is not given back. -ENOSPC: there is no room for it. Any thread. */
int ram_take(struct ram *r, u64 bytes, u64 *off, struct err *e);
/* Where what was taken ends; it begins at r->pieces. Who takes the same pieces in the same order has them at the same
 * offsets: a saved state tells what is in them. */
u64 ram_taken_end(struct ram *r);
/* Offset of a page whose bytes are all ones: what a fetch finds where there is no memory. Any thread. */
u64 ram_ones(struct ram *r);

/*
 * Around the writing of a large image through the descriptor, from offset `off` upwards: pages that are new meanwhile
 * come in large pieces where the host has them, at a third of the cost. False: unavailable; do not call ram_load_end().
 * It is unavailable where something lies above `off` already, and once the RAM is settled, which it is before a guest
 * runs. The mapping must not be touched above `off` meanwhile.
 */
bool ram_load_begin(const struct ram *r, u64 off);
void ram_load_end(const struct ram *r);
void ram_settle(struct ram *r);

/* Give the host back the pages of [off, off + bytes) of the file; they read as zeros afterwards. */
int ram_discard_at(const struct ram *r, u64 off, u64 bytes);

/* ---- the table ---- */

/* Edits. An id: >= 0, the caller's to keep. -EEXIST: it overlaps an extent, which the message names; -ENOSPC: the table
 * is full; -EINVAL: not whole pages, or outside of the file or of 52 bits of address. */
int ram_add(struct ram *r, const struct ram_extent *x, struct err *e);
void ram_remove(struct ram *r, int id);
void ram_set_readonly(struct ram *r, int id, bool readonly);
int ram_move(struct ram *r, int id, gpa_t gpa, struct err *e);

static inline bool ram_edited(const struct ram *r)
{
	return atomic_load_explicit(&r->edited, memory_order_acquire);
}
/* Bring all edits into force. No vCPU executes. Fails where the engine's kernel refuses; the table holds all the same.
 */
int ram_commit(struct ram *r, struct err *e);

/* ---- addresses ---- */

/*
 * Of a vCPU, or while none runs: the host address of [gpa, gpa + bytes), or NULL unless all of it is in one range.
 * bytes may be 0. *readonly says what range it is.
 */
static inline u8 *ram_find(const struct ram *r, gpa_t gpa, u64 bytes, bool *readonly)
{
	unsigned n = __atomic_load_n(&r->nranges, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < n; i++) {
		const struct ram_range *x = &r->range[i];
		u64 at = gpa - __atomic_load_n(&x->gpa, __ATOMIC_RELAXED);
		u64 all = __atomic_load_n(&x->bytes, __ATOMIC_RELAXED);

		if (at < all) {
			*readonly = __atomic_load_n(&x->readonly, __ATOMIC_RELAXED);
			return bytes <= all - at ? r->host + __atomic_load_n(&x->off, __ATOMIC_RELAXED) + at : NULL;
		}
	}
	*readonly = false;
	return NULL;
}

/* The same for any thread, any time. */
static inline u8 *ram_find_checked(const struct ram *r, gpa_t gpa, u64 bytes, bool *readonly)
{
	for (;;) {
		u32 seq = __atomic_load_n(&r->seq, __ATOMIC_ACQUIRE);
		u8 *p = ram_find(r, gpa, bytes, readonly);

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (likely(!(seq & 1) && __atomic_load_n(&r->seq, __ATOMIC_RELAXED) == seq))
			return p;
		__builtin_ia32_pause();
	}
}

/* Host address of [gpa, gpa + bytes) to read and write, or NULL unless all of it is writable memory. */
static inline u8 *ram_ptr(const struct ram *r, gpa_t gpa, u64 bytes)
{
	bool readonly;
	u8 *p = ram_find_checked(r, gpa, bytes, &readonly);

	return p && !readonly ? p : NULL;
}

/* ... to read: ROM as well. */
static inline const u8 *ram_ptr_ro(const struct ram *r, gpa_t gpa, u64 bytes)
{
	bool readonly;

	return ram_find_checked(r, gpa, bytes, &readonly);
}

/* Number of the page that is seen at gpa, or UINT64_MAX where there is no memory. */
static inline u64 ram_page(const struct ram *r, gpa_t gpa)
{
	const u8 *p = ram_ptr_ro(r, gpa, 1);
	return p ? (u64)(p - r->host) >> PAGE_SHIFT : UINT64_MAX;
}

/* How many page numbers there are. */
static inline u64 ram_pages(const struct ram *r)
{
	return r->capacity >> PAGE_SHIFT;
}

/* [off, off + bytes) of the file was written, not by a vCPU's own store. Any thread. */
static inline void ram_wrote_at(const struct ram *r, u64 off, u64 bytes)
{
	if (r->watch.wrote && bytes)
		r->watch.wrote(r->watch.opaque, off, bytes);
}
/* A device or loader has written [gpa, gpa + bytes). Any thread. */
void ram_wrote(const struct ram *r, gpa_t gpa, u64 bytes);

/* Copy in or out; -EFAULT when the range is not all memory (to write: writable memory). ram_put() calls ram_wrote(). */
int ram_get(const struct ram *r, gpa_t gpa, void *buf, u64 bytes);
int ram_put(const struct ram *r, gpa_t gpa, const void *buf, u64 bytes);
int ram_zero(const struct ram *r, gpa_t gpa, u64 bytes);
/* As ram_put(), but for read-only memory, too: for loaders. */
int ram_put_rom(const struct ram *r, gpa_t gpa, const void *buf, u64 bytes);

/* Give the host back the pages of [gpa, gpa + bytes), writable memory; they read as zeros afterwards. */
int ram_discard(const struct ram *r, gpa_t gpa, u64 bytes);

#endif
