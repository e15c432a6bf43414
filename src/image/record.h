/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.h - what the verbs of `mica image` find out: records of numbers and texts. The process that parses the image
 * makes them; the command, which has the reader's language, or JSON, shows them.
 *
 * Texts are what an image says: anybody's. Who shows them makes them plain (base/plain.h).
 */
#ifndef MICA_IMAGE_RECORD_H
#define MICA_IMAGE_RECORD_H

#include "base/base.h"

#define RECORD_NUMBERS 12u
#define RECORD_TEXTS 4u
#define RECORD_TEXT_BYTES 1024u
#define RECORD_WIRE_BYTES (1u + 8u * RECORD_NUMBERS + RECORD_TEXTS * RECORD_TEXT_BYTES) /* the most that one takes */

/* Behind each kind: its numbers, then its texts, by the names below. */
enum record_kind {
	RECORD_IMAGE = 1,     /* one image of a chain, from the top down; its snapshots and facts follow it */
	RECORD_SNAPSHOT,      /* of the image before */
	RECORD_FACT,          /* of the image before: what only its format knows */
	RECORD_RUN,           /* map */
	RECORD_FINDING,       /* check: one line */
	RECORD_CHECK,         /* check: counts, at the end */
	RECORD_MEASURE,       /* measure */
	RECORD_SIZES,         /* compare: the disks are of different sizes */
	RECORD_DIFFERENCE,    /* compare: where the first one is */
	RECORD_FORMAT,        /* formats */
	RECORD_FORMAT_OPTION, /* of the format before */
	RECORD_KINDS
};

enum { IMAGE_N_BYTES, IMAGE_N_FILE_BYTES, IMAGE_N_HOST_BYTES, IMAGE_N_CLUSTER_BYTES, IMAGE_N_FLAGS };
enum { IMAGE_S_FILE, IMAGE_S_FORMAT, IMAGE_S_BACKING, IMAGE_S_BACKING_FORMAT };
#define RECORD_ENCRYPTED 1u
#define RECORD_GUESSED 2u /* the file bears no sign of a format: taken for raw */
#define RECORD_DEVICE 4u
enum { SNAPSHOT_N_SECONDS, SNAPSHOT_N_STATE_BYTES, SNAPSHOT_N_DISK_BYTES };
enum { SNAPSHOT_S_ID, SNAPSHOT_S_NAME };
enum { FACT_S_NAME, FACT_S_VALUE };
enum { RUN_N_START, RUN_N_BYTES, RUN_N_DEPTH, RUN_N_FLAGS, RUN_N_OFFSET };
enum { RUN_S_FILE };
#define RECORD_RUN_DATA 1u
#define RECORD_RUN_ZERO 2u
#define RECORD_RUN_PRESENT 4u /* some image of the chain says what is there */
#define RECORD_RUN_COMPRESSED 8u
#define RECORD_RUN_PLACE 16u /* the offset is one */
enum { FINDING_S_LINE };
enum {
	CHECK_N_TOTAL,
	CHECK_N_ALLOCATED,
	CHECK_N_COMPRESSED,
	CHECK_N_FRAGMENTED,
	CHECK_N_CORRUPT,
	CHECK_N_LEAKED,
	CHECK_N_CORRUPT_FIXED,
	CHECK_N_LEAKED_FIXED,
	CHECK_N_END
};
enum { CHECK_S_FILE, CHECK_S_FORMAT };
enum { MEASURE_N_REQUIRED, MEASURE_N_FULL };
enum { SIZES_N_FIRST, SIZES_N_SECOND };
enum { DIFFERENCE_N_OFFSET, DIFFERENCE_N_WHAT };
enum { DIFFERENCE_CONTENT, DIFFERENCE_TAIL, DIFFERENCE_ALLOCATION };

enum { FORMAT_N_CREATES };
enum { FORMAT_S_NAME, FORMAT_S_TITLE, FORMAT_S_EXTENSIONS };
enum { FORMAT_OPTION_N_CREATE }; /* 0: for reading an image */
enum { FORMAT_OPTION_S_NAME, FORMAT_OPTION_S_VALUES, FORMAT_OPTION_S_HELP };

struct record {
	enum record_kind kind;
	u64 n[RECORD_NUMBERS];
	const char *s[RECORD_TEXTS]; /* NULL is "" */
};

/* Returns the length. What is too long is cut. */
size_t record_pack(const struct record *r, u8 buf[RECORD_WIRE_BYTES]);
/* The texts point into buf, and are made plain there; none is NULL. -EPROTO: it is no record. */
int record_unpack(struct record *r, u8 *buf, size_t bytes);

#endif
