/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nvme_int.h - between nvme.c (registers, life), nvme_queue.c (commands come, completions go), nvme_admin.c,
 * nvme_identify.c, nvme_io.c.
 */
#ifndef MICA_NVME_INT_H
#define MICA_NVME_INT_H

#include "base/ram.h"
#include "block/report.h"
#include "device/fair_lock.h"
#include "device/nvme/nvme.h"
#include "machine/pci.h"

#define NVME_IO_QUEUES 16u
#define NVME_QUEUES (NVME_IO_QUEUES + 1) /* and the admin queue, number 0 */
#define NVME_ENTRIES_MAX 1024u
#define NVME_SLOTS 256u /* commands under way */
#define NVME_MDTS 7u    /* data of a command: 2^7 pages */
#define NVME_DATA_MAX (PAGE_BYTES << NVME_MDTS)
#define NVME_IOV_MAX ((1u << NVME_MDTS) + 1)
#define NVME_AERS 4u
#define NVME_FEATURES 12u /* numbers below this are kept */
#define NVME_BLOCK BLK_SECTOR
#define NVME_SERIAL_BYTES 20

/* Status: code type << 8 | code (4.6.1) */
enum {
	NVME_OK = 0,
	NVME_BAD_OPCODE = 0x001,
	NVME_BAD_FIELD = 0x002,
	NVME_TRANSFER_ERROR = 0x004,
	NVME_INTERNAL = 0x006,
	NVME_BAD_NAMESPACE = 0x00b,
	NVME_BAD_PRP_OFFSET = 0x013,
	NVME_WRITE_PROTECTED = 0x020,
	NVME_LBA_RANGE = 0x080,
	NVME_BAD_CQ = 0x100,
	NVME_BAD_QUEUE_ID = 0x101,
	NVME_BAD_QUEUE_SIZE = 0x102,
	NVME_TOO_MANY_AERS = 0x105,
	NVME_BAD_VECTOR = 0x108,
	NVME_BAD_LOG = 0x109,
	NVME_BAD_DELETION = 0x10c,
	NVME_NOT_SAVEABLE = 0x10d,
	NVME_UNRECOVERED_READ = 0x281,
	NVME_WRITE_FAULT = 0x280,
	NVME_LATER = -1, /* it completes by itself */
	NVME_NEVER = -2, /* it is remembered, and not completed */
};

struct nvme;

struct nvme_cmd {
	struct nvme *n;
	struct nvme_cmd *next_free;
	unsigned epoch; /* an old one: the controller was reset since */
	u16 sq;
	u8 e[64]; /* the entry */
	u32 result;
	/* data */
	struct iovec iov[NVME_IOV_MAX];
	unsigned niov;
	bool to_host;
	bool flush_after, flushing;
	/* DATASET MANAGEMENT */
	unsigned range, nranges;
	u64 range_done; /* blocks */
	u8 ranges[PAGE_BYTES];
	struct blk_req r;
};

struct nvme_sq {
	bool on;
	u16 size, head, tail, cq;
	gpa_t base;
	unsigned under_way;
	struct nvme_cmd *deletion; /* waits until none is */
};

struct nvme_cq {
	bool on, interrupts, phase;
	bool raised; /* since the last interrupt */
	u16 size, head, tail, vector;
	gpa_t base;
	unsigned owed;  /* completions of commands that are under way */
	unsigned users; /* submission queues */
};

/* All under the lock. */
struct nvme {
	struct pci_dev pci;
	struct fair_lock lock;
	struct ram *ram;
	struct loop *loop;
	struct blk *blk;
	struct blk_report report;
	char serial[NVME_SERIAL_BYTES + 1];
	u32 cc, aqa, masked; /* masked: INTMS */
	u64 asq, acq;
	bool ready, failed, shut;
	bool quiesced;
	unsigned epoch, under_way;
	unsigned turn; /* the queue that is served next */
	struct nvme_sq sq[NVME_QUEUES];
	struct nvme_cq cq[NVME_QUEUES];
	u16 aer[NVME_AERS];
	unsigned naers;
	u32 feature[NVME_FEATURES];
	struct nvme_cmd *cmds, *free; /* NVME_SLOTS */
	unsigned fresh;               /* cmds[fresh..] were never used */
	struct loop_timer again;
};

static inline u32 nvme_dw(const struct nvme_cmd *c, unsigned i)
{
	return ld_le32(c->e + 4 * i);
}

/* ---- nvme_queue.c ---- */
/* Begin with what is in the queues, as much as a visit may; the loop goes on with the rest. */
void nvme_run(struct nvme *n);
/* The loop's turn to do so. */
void nvme_again(void *opaque);
/* It has ended. */
void nvme_complete(struct nvme_cmd *c, int status);
/* Interrupts for what was completed, deletions that waited. Before the lock is given back. */
void nvme_settle(struct nvme *n);
/* All queues are gone, what is under way is forgotten. */
void nvme_queues_reset(struct nvme *n);
/* The data's memory, of so many bytes, into c->iov; a status. */
int nvme_map(struct nvme_cmd *c, u64 bytes, bool to_host);
/* Answer with these bytes; a status. */
int nvme_answer(struct nvme_cmd *c, const void *data, u64 bytes);

/* ---- commands: a status, NVME_LATER, NVME_NEVER ---- */
int nvme_admin(struct nvme_cmd *c);
int nvme_io(struct nvme_cmd *c);
int nvme_identify(struct nvme_cmd *c);
u64 nvme_eui64(const struct nvme *n); /* of its namespace */
int nvme_log(struct nvme_cmd *c);
/* An SQ that nobody uses any more is gone. */
void nvme_sq_delete(struct nvme *n, unsigned q);

#endif
