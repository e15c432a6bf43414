/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vpc_int.h - VHD: what vpc.c (reading and writing) and vpc_header.c (opening and creating) share. */
#ifndef MICA_IMAGE_VPC_INT_H
#define MICA_IMAGE_VPC_INT_H

#include "image/bat.h"

#define SECTOR 512u
#define UNUSED 0xffffffffu /* of the table */

/* Fields of the footer. */
#define F_COOKIE 0 /* "conectix" */
#define F_FEATURES 8
#define F_VERSION 12
#define F_HEADER 16 /* where the dynamic disk's header is */
#define F_TIME 24   /* seconds since 2000 */
#define F_CREATOR 28
#define F_CREATOR_VERSION 32
#define F_CREATOR_OS 36
#define F_FIRST_SIZE 40
#define F_SIZE 48
#define F_GEOMETRY 56 /* cylinders 16 bits, heads 8, sectors 8 */
#define F_TYPE 60
#define F_SUM 64
#define F_UUID 68

enum { TYPE_FIXED = 2, TYPE_DYNAMIC, TYPE_DIFF };

/* Fields of the dynamic disk's header. */
#define DH_BYTES 1024u
#define DH_COOKIE 0 /* "cxsparse" */
#define DH_NEXT 8
#define DH_TABLE 16
#define DH_VERSION 24
#define DH_ENTRIES 28
#define DH_BLOCK 32
#define DH_SUM 36
#define DH_PARENT_UUID 40
#define DH_PARENT_NAME 64 /* UTF-16, big-endian */
#define DH_PARENT_NAME_BYTES 512u
#define DH_LOCATORS 576 /* 8 of 24 bytes: code, room, length, 0, offset */

/* What is known of a block that has a place. */
enum { KIND_UNKNOWN, KIND_WHOLE, KIND_PART, KIND_WHOLE_SOON /* its bitmap is to be written */ };

struct vpc {
	struct bat_image bi; /* first */
	bool fixed;
	bool tail; /* the footer at the end was good */
	bool soon; /* some kinds are WHOLE_SOON */
	u8 footer[SECTOR], header[DH_BYTES];
	struct bat_table table;
	u64 first, end; /* where blocks may begin; the end of what is in use: the footer's place */
	u8 *kinds;
	u8 *bitmap; /* of bitmap_block */
	u64 bitmap_block;
	u32 bitmap_bytes;
};

extern const struct image_ops vpc_fixed_ops, vpc_dynamic_ops;
extern const struct bat_ops vpc_bat_ops;

#endif
