/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_measure.c - how long a file becomes. */
#include "image/qcow2_int.h"

static u64 pieces(u64 n, u64 size)
{
	return n / size + !!(n % size);
}

int qcow2_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e)
{
	u64 cluster = 65536, refcount_bits = 16;
	bool ext_l2 = false;
	int rc = image_options_check(qcow2_create_options, options, "qcow2", e);

	if (rc == 0)
		rc = image_option_size(options, "cluster_size", 512, 2 * MIB, &cluster, e);
	if (rc == 0)
		rc = image_option_size(options, "refcount_bits", 1, 64, &refcount_bits, e);
	if (rc == 0)
		rc = image_option_switch(options, "extended_l2", &ext_l2, e);
	if (rc < 0)
		return rc;
	u64 disk = ROUND_UP(bytes, cluster), l2 = pieces(disk / cluster, cluster / (ext_l2 ? 16 : 8));
	u64 l1 = MAX(pieces(8 * l2, cluster), 1), used = 1 + l1 + l2 + disk / cluster;
	u64 per_block = cluster * 8 / refcount_bits, blocks = 0, table = 0;
	/* Blocks of counts and their table are counted, too. */
	for (u64 b = 1; b != blocks;) {
		blocks = b;
		table = pieces(8 * blocks, cluster);
		b = MAX(pieces(used + blocks + table, per_block), blocks);
	}
	u64 metadata = (1 + l1 + l2 + blocks + table) * cluster;
	out[0] = metadata + MIN(ROUND_UP(allocated, cluster), disk);
	out[1] = metadata + disk;
	return 0;
}
