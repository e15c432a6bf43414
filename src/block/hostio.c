/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hostio.c - what both ways of host I/O share: choosing one, requests in pieces. See hostio.h. */
#include "block/hostio.h"
#include "base/log.h"

int hostio_new(struct hostio **out, struct blk_queue *q, enum blk_engine kind, struct err *e)
{
	struct hostio *h = NULL;
	struct err why = { 0 };
	int rc = -ENOSYS;

	if (kind != BLK_ENGINE_POOL) {
		rc = hostio_uring_new(&h, q, &why);
		if (rc < 0 && kind == BLK_ENGINE_URING) {
			if (e)
				*e = why;
			return rc;
		}
		if (rc < 0)
			log_info("%s; disk I/O uses threads", why.msg);
	}
	if (rc < 0)
		h = hostio_pool_new();
	blk_queue_add(q, &h->src);
	*out = h;
	return 0;
}

void hostio_free(struct hostio *h)
{
	if (h)
		h->ops->free(h);
}

/* Pass by the vectors that are transferred already, and empty ones. */
static void pass(struct blk_io *io)
{
	while (io->niov && io->skip >= io->iov->iov_len) {
		io->skip -= io->iov->iov_len;
		io->iov++;
		io->niov--;
	}
}

unsigned blk_io_piece(struct blk_io *io, const struct iovec **iov, u64 *bytes)
{
	u64 most = MIN(io->bytes, IO_PIECE_BYTES), sum = 0;
	unsigned n = 0;

	pass(io);
	if (!io->skip)
		while (n < io->niov && sum + io->iov[n].iov_len <= most)
			sum += io->iov[n++].iov_len;
	*iov = io->iov;
	*bytes = sum;
	if (sum == most || n > BLK_IO_PART)
		return n;
	/* It begins or ends within a vector. */
	for (n = 0, sum = 0; n < BLK_IO_PART && n < io->niov && sum < most; n++) {
		u64 cut = n ? 0 : io->skip;
		io->part[n].iov_base = (u8 *)io->iov[n].iov_base + cut;
		io->part[n].iov_len = MIN(io->iov[n].iov_len - cut, most - sum);
		sum += io->part[n].iov_len;
	}
	*iov = io->part;
	*bytes = sum;
	return n;
}

void blk_io_advance(struct blk_io *io, u64 n)
{
	io->off += n;
	io->bytes -= n;
	io->skip += n;
}

int blk_io_end_of_file(const struct blk_io *io)
{
	u64 skip = io->skip, left = io->bytes;

	if (io->op != IO_READ)
		return -ENOSPC;
	if (io->off < io->zero_from)
		return -EIO; /* the file became shorter */
	for (unsigned i = 0; i < io->niov && left; i++) {
		u64 cut = MIN(skip, io->iov[i].iov_len), n = MIN(io->iov[i].iov_len - cut, left);
		if (n)
			memset((u8 *)io->iov[i].iov_base + cut, 0, n);
		skip -= cut;
		left -= n;
	}
	return 0;
}
