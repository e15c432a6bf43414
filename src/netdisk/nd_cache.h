/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nd_cache.h - blocks of an image that were read from a server, kept in a file of this host.
 *
 * The file is sparse: a head that says of what it is (address, size, version), a bit for each block, and the blocks,
 * each at its own place. What is of another version is thrown away when it is opened.
 *
 * INV-NC-1: a bit in the file says that the block's bytes are on stable storage: bits are written after fdatasync() of
 * the blocks, and taken back, durably, before a block's room is given up. So a host that loses power has no cache that
 * lies.
 */
#ifndef MICA_ND_CACHE_H
#define MICA_ND_CACHE_H

#include "base/base.h"
#include "base/err.h"

#define ND_CACHE_BLOCK (64 * KIB)
#define ND_CACHE_IMAGE_MAX (16384 * GIB)
#define ND_CACHE_LEAST (16 * MIB)

struct nd_cache {
	int fd;                /* -1: there is none */
	u64 bytes, most, have; /* of the image; to be kept; kept: blocks' bytes */
	u8 *bits;
	size_t nbits;
	u64 hand;      /* where room is made next */
	u64 unsafe_ns; /* since when there are blocks whose bits are not in the file; 0: there are none */
};

/* Opens or makes a file in the folder, which no other VM uses meanwhile. Before the walls. */
int nd_cache_open(struct nd_cache *c, const char *dir, const char *address, u64 most, struct err *e);
/* What the image is: keeps what the file has of that version, or nothing. */
int nd_cache_begin(struct nd_cache *c, u64 bytes, const char *version, struct err *e);
bool nd_cache_read(struct nd_cache *c, u64 off, void *buf, size_t n);
/* Whole blocks, but for the image's last. */
void nd_cache_write(struct nd_cache *c, u64 off, const void *buf, size_t n);
/* Now and then. */
void nd_cache_settle(struct nd_cache *c, bool now);

#endif
