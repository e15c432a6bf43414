/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nd_journal.h - what was written to a server, acknowledged, and not flushed yet: kept to be written again when the
 * connection comes back to a server that may have lost it.
 *
 * A ring of entries in the order in which they were sent, and one of their data. An entry is pending until the write is
 * acknowledged, then kept until a flush that began after that has ended. Of two writes to the same place either both
 * were under way at a time, and either may win, or the earlier one was acknowledged before the later one was sent: so
 * the order of sending is right for writing them again.
 */
#ifndef MICA_ND_JOURNAL_H
#define MICA_ND_JOURNAL_H

#include "base/base.h"

#define ND_JOURNAL_ENTRIES 4096u

struct nd_entry {
	u8 op; /* enum netdisk_op: WRITE, ZERO, DISCARD */
	bool unmap, gone;
	u64 off, data;   /* data: where in the ring of data, counted from the beginning of time */
	u32 bytes, room; /* room: of the data's ring, with what was skipped at its end */
	u64 acked;       /* 0: pending; else the how manieth acknowledgement it was */
};

struct nd_journal {
	u8 *data; /* NULL: nothing is kept */
	size_t data_bytes;
	struct nd_entry *e;
	u32 first, last; /* entries [first, last) are in use; they count on and on */
	u64 head, tail;  /* data [tail, head), likewise */
	u64 acks;
};

void nd_journal_init(struct nd_journal *j, size_t data_bytes);
void nd_journal_fini(struct nd_journal *j);
/* -1: it is full. bytes: of data, 0 for those without. */
int nd_journal_begin(struct nd_journal *j, u8 op, bool unmap, u64 off, u32 bytes);
/* The write that begin() was called for is acknowledged; or (data NULL) failed. */
void nd_journal_end(struct nd_journal *j, int entry, bool ok, const u8 *data);
/* For a flush that begins now; and that it has ended well. */
static inline u64 nd_journal_mark(const struct nd_journal *j)
{
	return j->acks;
}
void nd_journal_flushed(struct nd_journal *j, u64 mark);
/* The next acknowledged entry after `entry` (-1: the first); -1: there is none. */
int nd_journal_next(const struct nd_journal *j, int entry);
static inline struct nd_entry *nd_journal_entry(const struct nd_journal *j, int entry)
{
	return &j->e[(u32)entry % ND_JOURNAL_ENTRIES];
}
static inline u8 *nd_journal_data(const struct nd_journal *j, const struct nd_entry *e)
{
	return j->data + e->data % j->data_bytes;
}
static inline bool nd_journal_empty(const struct nd_journal *j)
{
	return j->first == j->last;
}

#endif
