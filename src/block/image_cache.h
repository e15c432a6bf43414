/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_cache.h - what is known of an image's map: a bounded number of runs, found by the place on the disk.
 *
 * Theory: one entry for each granule of the disk that its number is hashed to, direct-mapped: what was there before is
 * forgotten. Runs in which a write changes nothing (data in place, or all of a disk that is read only) are kept whole,
 * and, when they are long, by a second table of larger granules as well. All others are cut to granules, so that a
 * write which gives a cluster a place makes only that cluster's granules forgotten. What takes places away (discard,
 * zeros) makes all forgotten: it is rare, and comes in crowds.
 *
 * Threads: the caller's lock.
 */
#ifndef MICA_IMAGE_CACHE_H
#define MICA_IMAGE_CACHE_H

#include "base/base.h"

struct image_cache;

struct image_cache_run {
	u64 start, end; /* on the disk */
	u64 off;        /* of start, in the file */
	u16 file;
	u8 kind; /* enum image_kind */
	bool in_place;
};

/* unit: bytes of a cluster, 0: none. */
struct image_cache *image_cache_new(u64 unit, bool readonly);
void image_cache_free(struct image_cache *c); /* NULL is none */
/* The run that off is in, from off on. */
bool image_cache_find(const struct image_cache *c, u64 off, struct image_cache_run *out);
/* at: the place in it that was asked for. */
void image_cache_put(struct image_cache *c, const struct image_cache_run *r, u64 at);
/* What was not in place there may be now. */
void image_cache_placed(struct image_cache *c, u64 off, u64 bytes);
void image_cache_forget(struct image_cache *c);

#endif
