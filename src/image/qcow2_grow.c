/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_grow.c - more counts of references: blocks of them, and a larger table of blocks.
 *
 * Block `index` is missing, so all clusters that it would count are free. It is put at the first of them; when the
 * table has no entry for it, a larger table follows, with as many blocks before it as both need: first cluster of the
 * block: [blocks ...][table ...] All of it is in the file before the table's entry, or the header, leads to it (INV-2).
 */
#include "image/qcow2_int.h"

static int write_block(struct qcow2 *q, u64 cluster, u64 used)
{
	u8 *block = xcalloc(1, q->cluster_bytes);
	unsigned bits = 1u << q->refcount_order;

	/* The first `used` counts are 1. */
	for (u64 i = 0; i < used; i++) {
		u64 bit = i * bits;
		if (bits < 8)
			block[bit / 8] |= (u8)(1u << (bit % 8));
		else
			block[bit / 8 + bits / 8 - 1] = 1;
	}
	u64 off = cluster << q->cluster_bits;
	int rc = image_pwrite(q->file, block, q->cluster_bytes, off);
	free(block);
	qcow2_cache_forget(q->ref_cache, off, q->cluster_bytes);
	qcow2_cache_forget(q->l2_cache, off, q->cluster_bytes);
	return rc;
}

static int write_table(struct qcow2 *q, const u64 *table, u32 entries, u64 off)
{
	u8 *raw = xcalloc(entries, 8);

	for (u32 i = 0; i < entries; i++)
		qcow2_st64(raw + 8ull * i, table[i]);
	int rc = image_pwrite(q->file, raw, 8ull * entries, off);
	free(raw);
	return rc;
}

/* The new table is durable, and the header leads to it; the old one is given up. */
static int switch_table(struct qcow2 *q, u64 *table, u32 clusters, u64 off)
{
	u64 old_off = q->rt_off, old_bytes = (u64)q->rt_clusters << q->cluster_bits;
	u32 entries = clusters << (q->cluster_bits - 3);
	int rc = write_table(q, table, entries, off);

	if (rc == 0)
		rc = qcow2_cache_write(q->ref_cache);
	if (rc == 0)
		rc = image_sync(q->file);
	if (rc < 0) {
		free(table);
		return rc;
	}
	free(q->rt);
	q->rt = table;
	q->rt_size = entries;
	q->rt_clusters = clusters;
	q->rt_off = off;
	q->rt_dirty_from = q->rt_dirty_to = 0;
	rc = qcow2_header_store(q, 48, 60);
	if (rc == 0)
		rc = image_sync(q->file);
	return rc < 0 ? rc : qcow2_unref(q, old_off, old_bytes, false);
}

int qcow2_ref_grow(struct qcow2 *q, u64 index)
{
	u64 per_block = 1ull << qcow2_ref_block_bits(q), base = index * per_block, table_clusters = 0, blocks = 1;

	if (!index || base >= QCOW2_OFFSET_MAX >> q->cluster_bits)
		return index ? -EFBIG : qcow2_corrupt(q); /* the header's own block is missing */
	if (index >= q->rt_size) {
		/* Half as many again, so that a growing image seldom comes here. */
		u64 want = index + index / 2 + 1;
		for (;; blocks++) {
			table_clusters = qcow2_clusters(q, 8 * MAX(want, index + blocks));
			if (blocks * per_block >= blocks + table_clusters)
				break;
		}
		if (table_clusters << q->cluster_bits > QCOW2_RT_BYTES_MAX)
			return -EFBIG;
	}
	u64 used = blocks + table_clusters, end = (base + used) << q->cluster_bits;
	if (q->file->device && end > q->file->bytes)
		return -ENOSPC;
	/* The counts say that it is free; do not believe it of what is in use, or of what others may have put there. */
	if (base << q->cluster_bits < q->file->bytes)
		for (u32 i = 0; i < q->l1_size; i++)
			if ((q->l1[i] & QCOW2_OFFSET_MASK) - (base << q->cluster_bits) < used << q->cluster_bits)
				return qcow2_corrupt(q);
	for (u64 i = 0; i < blocks; i++) {
		u64 first = i * per_block;
		int rc = write_block(q, base + i, first < used ? MIN(used - first, per_block) : 0);
		if (rc < 0)
			return rc;
	}
	if (!table_clusters) {
		q->rt[index] = base << q->cluster_bits;
		if (q->rt_dirty_from >= q->rt_dirty_to) {
			q->rt_dirty_from = (u32)index;
			q->rt_dirty_to = (u32)index + 1;
		}
		q->rt_dirty_from = MIN(q->rt_dirty_from, (u32)index);
		q->rt_dirty_to = MAX(q->rt_dirty_to, (u32)index + 1);
		return 0;
	}
	u64 *table = xcalloc(table_clusters << (q->cluster_bits - 3), 8);
	memcpy(table, q->rt, 8ull * q->rt_size);
	for (u64 i = 0; i < blocks; i++)
		table[index + i] = (base + i) << q->cluster_bits;
	return switch_table(q, table, (u32)table_clusters, (base + blocks) << q->cluster_bits);
}
