/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhdx_int.h - VHDX, of Hyper-V ([MS-VHDX]). vhdx.c: reading and writing; vhdx_open.c: headers, regions, metadata;
 * vhdx_replay.c: a log that a crash left; vhdx_log.c: writing through the log; vhdx_create.c. Numbers are
 * little-endian.
 */
#ifndef MICA_IMAGE_VHDX_INT_H
#define MICA_IMAGE_VHDX_INT_H

#include "image/bat.h"

#define VHDX_PAGE 4096u
#define VHDX_LOG_MAX (64u * MIB)
#define VHDX_BYTES_MAX (64ull << 40)

/* 2.2.2 Headers: two of them, the one with the higher sequence number holds. */
#define VHDX_HEADER_OFF(i) ((u64)((i) + 1) * 64 * KIB)
#define H_CRC 4
#define H_SEQUENCE 8
#define H_FILE_GUID 16 /* changes with the file */
#define H_DATA_GUID 32 /* changes with the disk: what children keep */
#define H_LOG_GUID 48  /* of the entries that count; 0: none */
#define H_LOG_VERSION 64
#define H_VERSION 66
#define H_LOG_BYTES 68
#define H_LOG_OFF 72

/* 2.2.3 Region table. */
#define VHDX_REGIONS_OFF(i) ((u64)((i) + 3) * 64 * KIB)
#define VHDX_REGIONS_BYTES (64u * KIB)

/* 2.3.1 Log entries. */
#define L_CRC 4
#define L_BYTES 8
#define L_TAIL 12
#define L_SEQUENCE 16
#define L_DESCRIPTORS 24
#define L_GUID 32
#define L_FLUSHED 48 /* the file has had at least so many bytes */
#define L_LAST 56    /* and is to have so many */
#define L_HEAD_BYTES 64u
#define L_DESCRIPTOR_BYTES 32u

/* 2.5.1 Entries of the block allocation table: state, and offset in MiB from bit 20 on. */
enum { NOT_PRESENT, UNDEFINED, ZERO, UNMAPPED, FULLY = 6, PARTIALLY };

/* A part of the file as a log says it is. */
struct vhdx_patch {
	u64 off, bytes;
	u8 *data; /* VHDX_PAGE bytes; NULL: zeros */
};

struct vhdx {
	struct bat_image bi; /* first */
	struct bat_table table;
	u32 ratio; /* blocks of a chunk, which has one bitmap */
	u32 sector_bytes;
	bool parent;
	u8 linkage[16]; /* the parent's data GUID */
	u64 end;        /* of what is in use */

	u8 header[VHDX_PAGE];
	unsigned current; /* which of the two it is */
	bool touched;     /* the GUIDs are those of this session */

	u64 metadata_off; /* of the page with the disk's size in it: for resize() */
	u64 size_at;

	u64 log_off, log_at, log_sequence;
	u32 log_bytes;
	u8 log_guid[16]; /* of this session's entries */
	bool log_used;   /* the header names log_guid */

	struct vhdx_patch *patches; /* read only: what replaying would write */
	size_t npatches;
};

/* ---- vhdx_open.c ---- */
int vhdx_open(struct image **out, const struct image_open *o, struct err *e);
/* As image_pread(), with the patches. */
int vhdx_pread(struct vhdx *v, void *buf, size_t n, u64 off);
/* The header with the next sequence number, in both places one after the other. */
int vhdx_write_header(struct vhdx *v);
/* Before the first change of a session. */
int vhdx_touch(struct vhdx *v);

/* ---- vhdx_replay.c ---- */
/* If a log is left: its changes are made, or become patches when the file cannot be written. */
int vhdx_replay(struct vhdx *v, bool readonly, struct err *e);

/* ---- vhdx_log.c ---- */
struct vhdx_page {
	u64 off; /* of the file */
	const u8 *bytes;
};
#define VHDX_PAGES_MAX 60u
/* Durable in the log, then at their places. */
int vhdx_write_pages(struct vhdx *v, const struct vhdx_page *pages, unsigned n);
/* What the log has is at its place for good: it is empty. */
void vhdx_empty_log(struct vhdx *v);
u32 vhdx_crc(u8 *p, size_t n, size_t at); /* with the field at `at` taken as 0; leaves it 0 */

/* ---- vhdx.c ---- */
extern const struct image_ops vhdx_ops;
extern const struct bat_ops vhdx_bat_ops;
void vhdx_free(struct vhdx *v);

/* ---- vhdx_create.c ---- */
extern const struct image_format_option vhdx_create_options[];
int vhdx_create(const struct image_create *c, struct err *e);
int vhdx_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e);

/* GUIDs, as they are in files. */
#define VHDX_GUID(a, b, c, ...) \
	{ \
		(u8)(a), (u8)((a) >> 8), (u8)((a) >> 16), (u8)((a) >> 24), (u8)(b), (u8)((b) >> 8), (u8)(c), \
		    (u8)((c) >> 8), __VA_ARGS__ \
	}
extern const u8 vhdx_region_bat[16], vhdx_region_metadata[16];
extern const u8 vhdx_item_parameters[16], vhdx_item_size[16], vhdx_item_page83[16], vhdx_item_sector[16],
    vhdx_item_physical[16], vhdx_item_parent[16];

#endif
