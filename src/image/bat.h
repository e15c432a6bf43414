/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bat.h - images that keep a disk in blocks of one size, and a block allocation table that says where in a file each
 * block is. What such formats have in common; a format says by bat_ops what its table looks like.
 *
 * Order: place() finds room that no table leads to; the data goes there; set() changes the table in memory only;
 * flush() makes the data durable, then writes the table. So what a table in a file leads to is always whole. A place is
 * never given to another block: what a discard takes from a block is the host's room below it (a hole), not its place.
 *
 * A block that was placed and not committed (the write failed, or the next one was not beside it) keeps its place in
 * `pending` for when it is written again.
 */
#ifndef MICA_IMAGE_BAT_H
#define MICA_IMAGE_BAT_H

#include "image/image.h"

enum bat_kind {
	BAT_HOLE, /* not in this image */
	BAT_ZERO, /* zeros, whatever is below */
	BAT_DATA,
	BAT_PART, /* some of its sectors: part() knows which */
};

struct bat_block {
	enum bat_kind kind;
	u64 off; /* DATA, PART: where its data is in the file */
};

struct bat;
struct bat_ops {
	int (*get)(struct bat *b, u64 block, struct bat_block *is);
	/* Room for a block, which reads as zeros. Keeps the file whole without it. */
	int (*place)(struct bat *b, u64 block, u64 *off);
	/* DATA, or ZERO if b->zeros, in memory. */
	int (*set)(struct bat *b, u64 block, const struct bat_block *is);
	/* Is that sector of a BAT_PART block there; *n: so many from it on are alike (>= 1). NULL: there are none. */
	int (*part)(struct bat *b, u64 block, u32 sector, bool *there, u32 *n);
	/* The data is durable: write what was set(), in the format's order, the last sync left out. */
	int (*write)(struct bat *b);
};

struct bat_pending {
	u64 block, off;
};

struct bat {
	const struct bat_ops *ops;
	struct image *image; /* whose `below` fills the rest of new blocks */
	struct image_file *file;
	u64 start; /* of these blocks on the disk */
	u64 bytes; /* of the disk that they are for */
	u64 blocks;
	u32 block_bytes; /* a power of 2, at least 512 */
	bool zeros;      /* the table can say ZERO */
	bool changed;    /* set() was called since the last flush */
	struct bat_pending *pending;
	unsigned npending, room;
};

/* Offsets are those of the disk, from `start` on; ranges lie within the blocks. */
int bat_map(struct bat *b, u64 off, u64 bytes, struct image_run *run);
int bat_prepare(struct bat *b, u64 off, u64 bytes, struct image_run *run);
int bat_commit(struct bat *b, u64 off, u64 bytes);
int bat_zero(struct bat *b, u64 off, u64 bytes, bool unmap);
int bat_discard(struct bat *b, u64 off, u64 bytes);
int bat_flush(struct bat *b);
void bat_fini(struct bat *b);

/* For place(): [off, off + bytes) of the file are there and read as zeros. */
int bat_room(struct image_file *f, u64 off, u64 bytes);

/* For check(): counts blocks; finds those that lie outside of [first, f->bytes - tail) or on each other, and counts
 * room of whole blocks that none uses. extra: bytes before each block's data that belong to it. */
int bat_check(struct bat *b, u64 first, u32 extra, u32 tail, struct image_check *c, struct err *e);
void bat_report(struct image_check *c, const char *fmt, ...) printf_like(2, 3);

/* ---- an image that is one of these ---- */

struct bat_image {
	struct image image; /* first */
	struct bat bat;
};

/* The rows of image_ops for it. */
int bat_image_map(struct image *m, u64 off, u64 bytes, struct image_run *run);
int bat_image_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run);
int bat_image_commit(struct image *m, u64 off, u64 bytes);
int bat_image_zero(struct image *m, u64 off, u64 bytes, bool unmap);
int bat_image_discard(struct image *m, u64 off, u64 bytes);
int bat_image_flush(struct image *m);
#define BAT_IMAGE_OPS \
	.map = bat_image_map, .prepare = bat_image_prepare, .commit = bat_image_commit, .zero = bat_image_zero, \
	.discard = bat_image_discard, .flush = bat_image_flush

/* ---- a table in memory of which the changed sectors are written ---- */

struct bat_table {
	u8 *bytes;
	u64 off; /* in the file */
	size_t n;
	u8 *dirty; /* a bit for each sector */
};

/* -EINVAL with a message: it does not lie in the file, or is larger than IMAGE_MEMORY_MAX allows. */
int bat_table_load(struct bat_table *t, struct image_file *f, u64 off, u64 bytes, struct err *e);
void bat_table_changed(struct bat_table *t, size_t at);
void bat_table_clean(struct bat_table *t, size_t at);
/* The next changed stretch from *at on, cleared; false: there is none. */
bool bat_table_next(struct bat_table *t, size_t *at, size_t *n);
int bat_table_write(struct bat_table *t, struct image_file *f);
void bat_table_fini(struct bat_table *t);

/* ---- small things of these formats ---- */

static inline u16 ld_be16(const void *p)
{
	return __builtin_bswap16(ld_le16(p));
}
static inline u32 ld_be32(const void *p)
{
	return __builtin_bswap32(ld_le32(p));
}
static inline u64 ld_be64(const void *p)
{
	return __builtin_bswap64(ld_le64(p));
}
static inline void st_be16(void *p, u16 v)
{
	st_le16(p, __builtin_bswap16(v));
}
static inline void st_be32(void *p, u32 v)
{
	st_le32(p, __builtin_bswap32(v));
}
static inline void st_be64(void *p, u64 v)
{
	st_le64(p, __builtin_bswap64(v));
}
static inline bool power_of_two(u64 v, u64 min, u64 max)
{
	return v >= min && v <= max && !(v & (v - 1));
}

/* 16 bytes of a random UUID (RFC 9562 version 4), in the order it is written. */
void image_uuid(u8 uuid[16]);
/* UTF-16 of `bytes` bytes to UTF-8, up to the first 0. False: it is none, or does not fit. */
bool image_utf16(const u8 *in, size_t bytes, bool big_endian, char *out, size_t room);

#endif
