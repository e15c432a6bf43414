/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_rebuild.c - counts of references made anew, behind the end of the file, when the old ones cannot be put right
 * where they are: the table leads nowhere, or blocks are missing.
 */
#include "image/qcow2_int.h"

static void put(const struct qcow2 *q, u8 *block, u64 i, u64 v)
{
	unsigned bits = 1u << q->refcount_order;

	v = MIN(v, qcow2_ref_max(q));
	if (bits < 8)
		block[i * bits / 8] |= (u8)(v << (i * bits % 8));
	else
		for (unsigned b = 0; b < bits / 8; b++)
			block[(i + 1) * (bits / 8) - 1 - b] = (u8)(v >> 8 * b);
}

static int write_blocks(struct qcow2_check *k, u64 base, u64 blocks, u64 end, u64 *table)
{
	struct qcow2 *q = k->q;
	u64 per_block = 1ull << qcow2_ref_block_bits(q);
	auto_free u8 *block = xcalloc(1, q->cluster_bytes);
	int rc = 0;

	for (u64 b = 0; b < blocks && rc == 0; b++) {
		memset(block, 0, q->cluster_bytes);
		for (u64 i = 0; i < per_block; i++) {
			u64 c = b * per_block + i;
			put(q, block, i, c < k->total ? k->counts[c] : c >= base && c < end);
		}
		table[b] = (base + b) << q->cluster_bits;
		rc = image_pwrite(q->file, block, q->cluster_bytes, table[b]);
	}
	return rc;
}

int qcow2_rebuild(struct qcow2_check *k)
{
	struct qcow2 *q = k->q;
	u64 per_block = 1ull << qcow2_ref_block_bits(q), per_table = q->cluster_bytes / 8, base = k->total;
	u64 blocks = 1, clusters = 1;

	if (k->first || k->n < k->total)
		return -EFBIG;
	for (;;) {
		u64 b = (base + blocks + clusters + per_block - 1) / per_block,
		    c = (blocks + per_table - 1) / per_table;
		if (b <= blocks && c <= clusters)
			break;
		blocks = MAX(blocks, b);
		clusters = MAX(clusters, c);
	}
	if (clusters << q->cluster_bits > MAX(QCOW2_RT_BYTES_MAX, q->cluster_bytes))
		return -EFBIG;
	u64 *table = xcalloc(clusters * per_table, 8), end = base + blocks + clusters;
	u64 off = (base + blocks) << q->cluster_bits;
	u8 *raw = xcalloc(clusters, q->cluster_bytes);
	int rc = write_blocks(k, base, blocks, end, table);
	for (u64 i = 0; i < blocks; i++)
		qcow2_st64(raw + 8 * i, table[i]);
	if (rc == 0)
		rc = image_pwrite(q->file, raw, clusters << q->cluster_bits, off);
	free(raw);
	if (rc == 0)
		rc = image_sync(q->file);
	if (rc < 0) {
		free(table);
		return rc;
	}
	qcow2_cache_free(q->ref_cache);
	q->ref_cache = qcow2_cache_new(q, QCOW2_REF_CACHE_BYTES, qcow2_ref_clean);
	free(q->rt);
	q->rt = table;
	q->rt_size = (u32)(clusters * per_table);
	q->rt_clusters = (u32)clusters;
	q->rt_off = off;
	q->rt_dirty_from = q->rt_dirty_to = 0;
	q->free_hint = 0;
	rc = qcow2_header_store(q, 48, 60);
	return rc < 0 ? rc : image_sync(q->file);
}
