/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_hold.h - which requests of an image must wait for each other.
 *
 * Who reads, or writes to data that is in place, holds its clusters together with others who do. Who gives clusters a
 * place, or takes it away (discard, zeros), holds them alone: a place that is given up may become another cluster's
 * while somebody still writes there. Nobody waits while he holds anything, so nobody waits for ever; and nobody comes
 * before one who waits for the same clusters.
 *
 * Threads: the caller's lock.
 */
#ifndef MICA_IMAGE_HOLD_H
#define MICA_IMAGE_HOLD_H

#include "block/request.h"

enum image_hold_kind { HOLD_NONE, HOLD_SHARED, HOLD_ALONE };

struct image_holds {
	struct blk_hold *shared, *alone;
	struct blk_hold *waiting, **waiting_tail;
};

void image_holds_init(struct image_holds *s);
/* [first, end) of the disk, whole clusters. False: h waits, and image_hold_put() of somebody will return it. */
bool image_hold_get(struct image_holds *s, struct blk_hold *h, enum image_hold_kind kind, u64 first, u64 end);
/* Returns those who hold what they waited for from now on, a list by `granted`. */
struct blk_hold *image_hold_put(struct image_holds *s, struct blk_hold *h);
/* All who wait give up: a list by `granted`. */
struct blk_hold *image_holds_give_up(struct image_holds *s);

#endif
