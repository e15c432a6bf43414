/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio_blk_int.h - between virtio_blk.c, the device, and virtio_blk_req.c, its requests. */
#ifndef MICA_VIRTIO_BLK_INT_H
#define MICA_VIRTIO_BLK_INT_H

#include "block/report.h"
#include "device/virtio/virtio.h"

#include <assert.h>

#define F_SEG_MAX 2
#define F_RO 5
#define F_BLK_SIZE 6
#define F_FLUSH 9
#define F_TOPOLOGY 10
#define F_MQ 12
#define F_DISCARD 13
#define F_WRITE_ZEROES 14

#define ID_BYTES 20
#define RANGE_MAX 16             /* segments of a discard or write-zeroes */
#define RANGE_SECTORS (1u << 21) /* 1 GiB each */

struct blk_config {
	u64 capacity;
	u32 size_max, seg_max;
	u16 cylinders;
	u8 heads, sectors;
	u32 blk_size;
	u8 physical_block_exp, alignment_offset;
	u16 min_io_size;
	u32 opt_io_size;
	u8 writeback, unused0;
	u16 num_queues;
	u32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
	u32 max_write_zeroes_sectors, max_write_zeroes_seg;
	u8 write_zeroes_may_unmap, unused1[3];
};
static_assert(sizeof(struct blk_config) == 64, "60 bytes and padding");
#define CONFIG_BYTES 60

struct range {
	u64 sector;
	u32 sectors, flags;
};

struct vblk;

struct req {
	struct virtio_chain ch;
	struct blk_req r;
	struct vblk *vb;
	struct req *next_free;
	unsigned q, epoch;
	u32 type;
	bool trimmed;           /* the last in-segment lost its status byte for the I/O's sake */
	unsigned nrange, range; /* how many, which is next */
	struct range ranges[RANGE_MAX];
};

/* All under dev->lock. */
struct vblk {
	struct virtio_dev *dev;
	struct blk *blk;
	struct blk_config cfg;
	char serial[ID_BYTES];
	struct req *reqs, *free;
	unsigned nreqs, fresh; /* reqs[fresh..] were never used: their memory is not there yet */
	unsigned inflight, epoch;
	u64 to_signal; /* queues with pushes since their last signal */
	bool starved;  /* chains wait for a struct req */
	struct blk_report report;
};

/* ---- requests; dev->lock held ---- */
/* One that is free; NULL: all are in flight. */
struct req *vblk_req_get(struct vblk *vb);
void vblk_req_put(struct vblk *vb, struct req *req);
/* Begin with what is in req->ch, q and vb; it comes back by itself. */
void vblk_req_start(struct req *req);

#endif
