/* SPDX-License-Identifier: GPL-2.0-or-later */
/* convert_int.h - between convert.c (the ring, the writer) and convert_read.c (the reader, the workers). */
#ifndef MICA_IMAGE_CONVERT_INT_H
#define MICA_IMAGE_CONVERT_INT_H

#include "image/convert.h"

#include <pthread.h>

#define SLOT_BYTES \
	(1u << 20) /* of the disk in a piece that is read; a cluster that is compressed is as large at most */
#define SLOTS 16u
#define SLOT_PARTS (SLOT_BYTES / 512)

/* A piece goes round: free, the reader's; read, a worker's if something is to be compressed, else the writer's; ready,
 * the writer's. */
enum slot_state { SLOT_FREE, SLOT_READ, SLOT_PACKING, SLOT_READY };
enum slot_kind {
	SLOT_DATA,  /* buf; `data` says which parts of it are not zeros, or are to be written */
	SLOT_ZERO,  /* zeros, or (source and target alike) nothing to do: any length */
	SLOT_SHARE, /* in a host file: any length */
	SLOT_END,
};
struct slot {
	enum slot_state state;
	enum slot_kind kind;
	u64 off, bytes;
	bool same;             /* ZERO: leave it */
	int fd;                /* SHARE */
	u64 fd_off;            /* SHARE */
	u8 *buf, *packed;      /* SLOT_BYTES each; packed only with workers */
	u8 write[SLOT_PARTS];  /* for each part of `part` bytes: PART_ */
	ssize_t *packed_bytes; /* of each cluster; packed at the cluster's place */
};
enum { PART_ZERO, PART_DATA, PART_SAME };

struct ring {
	struct convert *c;
	u32 part;    /* bytes; pieces begin at multiples of it */
	u32 cluster; /* of what is compressed, which parts are then; 0: nothing is */
	bool workers;
	pthread_mutex_t lock;
	pthread_cond_t change; /* for workers and the writer */
	pthread_cond_t room; /* for the reader, once half of the ring is free: to wake it for each slot would cost more
			      * than what it does */
	/* Under the lock: */
	struct slot slot[SLOTS];
	unsigned busy;                 /* slots that are not free */
	unsigned reads, packs, writes; /* the slot that is next for each of them, modulo SLOTS */
	bool stop, no_sharing;
	struct err error; /* of whoever failed first; stop is set with it */
};

/* Stop everything: `e` is why. */
void ring_fail(struct ring *r, const struct err *e);
void *convert_reader(void *ring);
void *convert_worker(void *ring);

#endif
