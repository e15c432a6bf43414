/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmdk_int.h - VMDK ("Virtual Disk Format" 5.0): a descriptor, a text, lists the extents that the disk is put together
 * from; sparse ones have a header and tables. vmdk.c: the image; vmdk_descriptor.c: the text; vmdk_sparse.c: sparse
 * extents; vmdk_stream.c: those with compressed grains; vmdk_create.c.
 */
#ifndef MICA_IMAGE_VMDK_INT_H
#define MICA_IMAGE_VMDK_INT_H

#include "image/bat.h"

#define SECTOR 512u
#define VMDK_EXTENTS_MAX (IMAGE_FILES_MAX - 1)
#define VMDK_TEXT_MAX (64u * KIB)
#define VMDK_GRAINS_MAX (IMAGE_MEMORY_MAX / 8) /* of all extents: 2 TiB with grains of 64 KiB */
#define VMDK_GTE 512u                          /* entries of a new grain table */

/* Fields of a sparse extent's header, little-endian; offsets and sizes in sectors. */
#define S_MAGIC 0 /* "KDMV" */
#define S_VERSION 4
#define S_FLAGS 8
#define S_CAPACITY 12
#define S_GRAIN 20
#define S_TEXT 28
#define S_TEXT_SIZE 36
#define S_GTES 44
#define S_RGD 48
#define S_GD 56
#define S_OVERHEAD 64
#define S_NEWLINES 73 /* "\n \r\n" */
#define S_COMPRESS 77
#define FLAG_NEWLINES 1u
#define FLAG_REDUNDANT 2u
#define FLAG_ZEROED 4u /* entry 1: a grain of zeros */
#define FLAG_COMPRESSED 0x10000u
#define FLAG_MARKERS 0x20000u
#define GD_AT_END UINT64_MAX

/* Markers of streamOptimized extents: value (8 bytes), size (4), type (4). A size that is not 0: a grain, data at 12.
 */
enum { MARKER_EOS, MARKER_GT, MARKER_GD, MARKER_FOOTER };

struct vmdk_sparse {
	struct bat bat; /* first */
	u8 header[SECTOR];
	bool redundant, zeroed, compressed;
	u32 gtes, tables; /* entries of a table; how many tables there are */
	u8 *gd, *rgd;     /* the directories, as in the file */
	u8 **gt;          /* tables that were read */
	u8 *dirty;        /* of each table */
	u64 end;          /* compressed: where the next grain goes */
	bool done;        /* compressed: the tables and the footer are written */
	u8 *grain;        /* compressed: of grain_block, and room for one compressed */
	u8 *packed;
	u64 grain_block;
};

enum vmdk_kind { VMDK_FLAT, VMDK_ZERO, VMDK_SPARSE };
struct vmdk_extent {
	enum vmdk_kind kind;
	u64 start, bytes; /* on the disk */
	struct image_file *file;
	u64 off; /* FLAT */
	struct vmdk_sparse *sparse;
};

struct vmdk {
	struct image image; /* first */
	struct vmdk_extent extents[VMDK_EXTENTS_MAX];
	unsigned nextents;
	u64 grains; /* of all */
	char type[32];
	u32 cid, parent_cid;
	u64 cid_at;   /* where its 8 digits are in the file; 0: not found */
	bool touched; /* the CID was changed, which comes before the first write */
};

/* ---- vmdk_descriptor.c ---- */

/* text: ended by 0, changed. base: where it is in the file. Extents are opened if `extents`. */
int vmdk_parse(struct vmdk *v, char *text, u64 base, bool extents, const struct image_open *o, struct err *e);

/* ---- vmdk_sparse.c ---- */

int vmdk_sparse_header(const u8 *h, struct err *e);
int vmdk_sparse_open(struct vmdk *v, struct vmdk_extent *x, bool readonly, struct err *e);
void vmdk_sparse_free(struct vmdk_sparse *s);
/* The entry of a grain; 0: none. */
int vmdk_sparse_entry(struct vmdk_sparse *s, u64 block, u32 *entry);
int vmdk_sparse_set(struct vmdk_sparse *s, u64 block, u32 entry);

/* ---- vmdk_stream.c ---- */

int vmdk_stream_open(struct vmdk_sparse *s, bool readonly, struct err *e);
int vmdk_stream_map(struct vmdk_sparse *s, u64 off, u64 bytes, struct image_run *run);
int vmdk_stream_read(struct vmdk_sparse *s, u64 off, void *buf, size_t n);
int vmdk_stream_write(struct vmdk_sparse *s, u64 off, const void *buf, size_t n);
int vmdk_stream_flush(struct vmdk_sparse *s);
int vmdk_stream_check(struct vmdk_sparse *s, struct image_check *c);

/* ---- vmdk_create.c ---- */

extern const struct image_format_option vmdk_create_options[];
int vmdk_create(const struct image_create *c, struct err *e);
int vmdk_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e);

#endif
