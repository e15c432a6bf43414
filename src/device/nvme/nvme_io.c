/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nvme_io.c - the NVM command set: reads, writes, flush, write zeroes, dataset management (NVMe 1.4, chapter 6). */
#include "device/nvme/nvme_int.h"

#define FLUSH 0x00
#define WRITE 0x01
#define READ 0x02
#define WRITE_ZEROES 0x08
#define DATASET 0x09

#define FUA (1u << 30)
#define DEALLOCATE (1u << 25)
#define RANGE_BLOCKS (GIB / NVME_BLOCK) /* of a range, in one request */

static void trim_next(struct nvme_cmd *c);

static void done(struct blk_req *r, int res)
{
	struct nvme_cmd *c = r->opaque;
	struct nvme *n = c->n;

	blk_report(&n->report, n->blk, r, res);
	if (res < 0)
		nvme_complete(c, res == -EINVAL  ? NVME_LBA_RANGE
				 : res == -EROFS ? NVME_WRITE_PROTECTED
				 : c->to_host    ? NVME_UNRECOVERED_READ
						 : NVME_WRITE_FAULT);
	else if (c->epoch != n->epoch)
		nvme_complete(c, NVME_OK);
	else if (c->nranges)
		trim_next(c);
	else if (c->flush_after && !c->flushing) {
		c->flushing = true;
		r->op = BLK_FLUSH;
		blk_submit(n->blk, r);
	} else
		nvme_complete(c, NVME_OK);
}

static int ask(struct nvme_cmd *c, enum blk_op op, u64 block, u64 blocks)
{
	struct blk_req *r = &c->r;

	blk_req_init(r, done);
	r->opaque = c;
	r->op = op;
	r->off = block * NVME_BLOCK;
	r->bytes = blocks * NVME_BLOCK;
	r->iov = c->iov;
	r->niov = c->niov;
	r->may_unmap = op == BLK_WRITE_ZEROES && nvme_dw(c, 12) & DEALLOCATE;
	blk_submit(c->n->blk, r);
	return NVME_LATER;
}

static int read_or_write(struct nvme_cmd *c, u64 block, u64 blocks)
{
	bool read = c->e[0] == READ;

	if (blocks * NVME_BLOCK > NVME_DATA_MAX)
		return NVME_BAD_FIELD;
	int r = nvme_map(c, blocks * NVME_BLOCK, read);
	return r != NVME_OK ? r : ask(c, read ? BLK_READ : BLK_WRITE, block, blocks);
}

/* ---- dataset management (6.7): deallocate ---- */

static void trim_next(struct nvme_cmd *c)
{
	for (; c->range < c->nranges; c->range++, c->range_done = 0) {
		const u8 *g = c->ranges + 16 * c->range;
		u64 blocks = ld_le32(g + 4), first = ld_le64(g + 8);
		u64 k = MIN(blocks - c->range_done, RANGE_BLOCKS);

		if (!k)
			continue;
		first += c->range_done;
		c->range_done += k;
		ask(c, BLK_DISCARD, first, k);
		return;
	}
	nvme_complete(c, NVME_OK);
}

static int dataset(struct nvme_cmd *c, u64 all)
{
	unsigned n = (nvme_dw(c, 10) & 0xff) + 1, at = 0;
	int r = nvme_map(c, 16 * n, false);

	if (r != NVME_OK)
		return r;
	for (unsigned i = 0; i < c->niov; i++) {
		memcpy(c->ranges + at, c->iov[i].iov_base, c->iov[i].iov_len);
		at += (unsigned)c->iov[i].iov_len;
	}
	c->niov = 0;
	for (unsigned i = 0; i < n; i++) {
		u64 blocks = ld_le32(c->ranges + 16 * i + 4), first = ld_le64(c->ranges + 16 * i + 8);
		if (first > all || blocks > all - first)
			return NVME_LBA_RANGE;
	}
	if (!(nvme_dw(c, 11) & 4) || !blk_can_discard(c->n->blk)) /* hints, no more */
		return NVME_OK;
	c->nranges = n;
	c->range_done = 0;
	trim_next(c);
	return NVME_LATER;
}

int nvme_io(struct nvme_cmd *c)
{
	struct nvme *n = c->n;
	u64 all = blk_bytes(n->blk) / NVME_BLOCK;
	u64 block = nvme_dw(c, 10) | (u64)nvme_dw(c, 11) << 32, blocks = (nvme_dw(c, 12) & 0xffff) + 1;
	u8 op = c->e[0];
	u32 ns = nvme_dw(c, 1);

	if (ns != 1 && !(op == FLUSH && ns == UINT32_MAX))
		return NVME_BAD_NAMESPACE;
	if (op == FLUSH)
		return ask(c, BLK_FLUSH, 0, 0);
	if (op != READ && op != WRITE && op != WRITE_ZEROES && op != DATASET)
		return NVME_BAD_OPCODE;
	if (op != READ && blk_readonly(n->blk))
		return NVME_WRITE_PROTECTED;
	if (op == DATASET)
		return dataset(c, all);
	if (block > all || blocks > all - block)
		return NVME_LBA_RANGE;
	c->flush_after = op != READ && (nvme_dw(c, 12) & FUA || !(n->feature[6] & 1));
	return op == WRITE_ZEROES ? ask(c, BLK_WRITE_ZEROES, block, blocks) : read_or_write(c, block, blocks);
}
