/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nd_journal.c - see nd_journal.h. */
#include "netdisk/nd_journal.h"
#include "netdisk/netdisk.h"

void nd_journal_init(struct nd_journal *j, size_t data_bytes)
{
	*j = (struct nd_journal){ .data = xmap_sparse(data_bytes), .data_bytes = data_bytes };
	j->e = xcalloc(ND_JOURNAL_ENTRIES, sizeof(*j->e));
}

void nd_journal_fini(struct nd_journal *j)
{
	if (j->data)
		unmap_sparse(j->data, j->data_bytes);
	free(j->e);
	*j = (struct nd_journal){ 0 };
}

/* What nobody needs any more at the beginning makes room. */
static void shrink(struct nd_journal *j)
{
	while (j->first != j->last && nd_journal_entry(j, (int)(j->first % ND_JOURNAL_ENTRIES))->gone) {
		j->tail += nd_journal_entry(j, (int)(j->first % ND_JOURNAL_ENTRIES))->room;
		j->first++;
	}
}

int nd_journal_begin(struct nd_journal *j, u8 op, bool unmap, u64 off, u32 bytes)
{
	u32 kept = op == NETDISK_WRITE ? bytes : 0;
	u64 to_end = j->data_bytes - j->head % j->data_bytes, skip = kept > to_end ? to_end : 0;

	if (j->last - j->first == ND_JOURNAL_ENTRIES || j->head + skip + kept - j->tail > j->data_bytes)
		return -1;
	int i = (int)(j->last++ % ND_JOURNAL_ENTRIES);
	j->e[i] = (struct nd_entry){
		.op = op, .unmap = unmap, .off = off, .bytes = bytes, .data = j->head + skip, .room = (u32)(skip + kept)
	};
	j->head += skip + kept;
	return i;
}

void nd_journal_end(struct nd_journal *j, int entry, bool ok, const u8 *data)
{
	struct nd_entry *e = nd_journal_entry(j, entry);

	e->gone = !ok;
	e->acked = ok ? ++j->acks : 0;
	if (ok && e->op == NETDISK_WRITE)
		memcpy(nd_journal_data(j, e), data, e->bytes);
	shrink(j);
}

void nd_journal_flushed(struct nd_journal *j, u64 mark)
{
	for (u32 i = j->first; i != j->last; i++) {
		struct nd_entry *e = nd_journal_entry(j, (int)(i % ND_JOURNAL_ENTRIES));
		if (e->acked && e->acked <= mark)
			e->gone = true;
	}
	shrink(j);
}

int nd_journal_next(const struct nd_journal *j, int entry)
{
	u32 i = entry < 0 ? j->first : j->first + ((u32)entry - j->first) % ND_JOURNAL_ENTRIES + 1;

	for (; i - j->first < j->last - j->first; i++) {
		const struct nd_entry *e = nd_journal_entry(j, (int)(i % ND_JOURNAL_ENTRIES));
		if (e->acked && !e->gone)
			return (int)(i % ND_JOURNAL_ENTRIES);
	}
	return -1;
}
