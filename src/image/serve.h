/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * serve.h - how mica-image serves one disk of a VM.
 *
 * Theory: the VM's process (block/image_ask.c) starts mica-image and gives it the image, and some shared memory; files
 * that images name are asked for (link.h). Then the disk is open, the process gives up the means to get descriptors,
 * and from then on only the shared memory counts. The VM's process reads and writes data itself, in its own open files,
 * as the answers to MAP and PREPARE say; it keeps what MAP said for as long as nothing changes that.
 *
 * The memory has SERVE_SLOTS slots: a question, its answer, and room for data. Two words say how they stand, a bit for
 * each slot:
 *
 *   asked  set by the VM when the slot's question is there; taken (exchanged for 0) by the process
 *   done   set by the process when the answer is there; taken by the VM
 *
 * A slot is the VM's until it is asked, and again when it is done. There is no index that could be wrong: a bit that
 * the VM had not asked for is an answer that makes no sense, and ends the connection. Answers may come in any order,
 * and the VM keeps apart what must not overlap (image.h: prepare() to commit()).
 *
 * Who has nothing to do sleeps on the socket. A byte on it is a wake-up and nothing else; it is sent by the VM when it
 * finds `asleep` set (and clears it), by the process when `done` was 0 before. A socket and no eventfd: flags of an
 * open file are shared with whom it was sent to, and a process that makes a descriptor of ours a blocking one would
 * hold up the VM's loop. The socket's closing ends the process; its death is seen by the VM in the same way, and all
 * that was asked then ends with -EIO.
 *
 * What the VM believes of an answer (serve_answer_check()): the kind is known, the length is positive, a multiple of
 * 512 and no longer than asked, the file is one that was given, and the place in it is no negative one. So the worst
 * that a hostile image does is to show and to overwrite its own files.
 */
#ifndef MICA_IMAGE_SERVE_H
#define MICA_IMAGE_SERVE_H

#include "image/link.h"

#include <stdatomic.h>

#define SERVE_VERSION 1u
#define SERVE_SLOTS 64u
#define SERVE_DATA_BYTES (128u * KIB)  /* READ and WRITE: at most */
#define SERVE_MAP_BYTES (256ull * MIB) /* MAP: at most; PREPARE: what is to be written, at most SERVE_PREPARE_BYTES */
#define SERVE_PREPARE_BYTES (2ull * MIB)
#define SERVE_ZERO_BYTES (64ull * MIB) /* ZERO, DISCARD: at most, so that others need not wait for long */

enum serve_op {
	SERVE_MAP = 1,
	SERVE_PREPARE, /* kind DATA (write there, then COMMIT or ABANDON unless in_place) or COOKED (then WRITE) */
	SERVE_COMMIT,  /* answers as MAP does, of the same range: what is to be kept of it */
	SERVE_ABANDON,
	SERVE_READ,  /* into the slot's data */
	SERVE_WRITE, /* of the slot's data */
	SERVE_ZERO,
	SERVE_DISCARD,
	SERVE_FLUSH, /* what was written by the VM was made durable before */
};

struct serve_ask {
	u32 op, unmap; /* ZERO */
	u64 off, bytes;
};

struct serve_answer {
	s32 res; /* 0 or -errno */
	u32 kind, file, in_place, depth, reserved;
	u64 bytes, off;
};

struct serve_slot {
	struct serve_ask ask;
	struct serve_answer answer;
};

struct serve_memory {
	_Atomic u64 asked;
	u8 pad1[56];
	_Atomic u64 done;
	_Atomic u32 asleep;
	u8 pad2[52];
	struct serve_slot slot[SERVE_SLOTS];
	u8 data[SERVE_SLOTS][SERVE_DATA_BYTES] __attribute__((aligned(4096)));
};

/* IMAGE_MSG_SERVE; the image's path follows, then options, "name=value" each ended by a 0. */
struct serve_open {
	u32 version;
	u32 readonly;
	char format[16]; /* "": by sight, and never raw */
};

/* IMAGE_MSG_OPENED */
struct serve_opened {
	u32 version;
	u32 cluster_bytes; /* of struct image */
	u64 bytes;
	u32 readonly, can_discard;
	char format[16];
};

/* Copied out of the memory first. writable: is a write to that file allowed? max: bytes asked for. */
static inline bool serve_run_ok(const struct serve_answer *a, u64 max, unsigned nfiles)
{
	if (a->kind > IMAGE_COOKED || !a->bytes || a->bytes > max || a->bytes % 512)
		return false;
	return a->kind != IMAGE_DATA || (a->file < nfiles && a->off <= INT64_MAX && a->bytes <= INT64_MAX - a->off);
}

/* serve.c, in mica-image: open what m says, answer, serve until the socket closes. The process's exit status. */
int serve_disk(int link, struct image_msg *m);

#endif
