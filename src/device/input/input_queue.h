/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * input_queue.h - keys and places of a pointer that wait until the guest's driver takes them, for devices that say each
 * by a message of its own.
 *
 * Keys are never lost once they were taken: what has no room is refused. Of places the last one counts: those between
 * two changes of the buttons become one, and of more changes than there is room for the later ones are seen as one.
 */
#ifndef MICA_INPUT_QUEUE_H
#define MICA_INPUT_QUEUE_H

#include "base/base.h"
#include "base/state.h"

#define KEY_QUEUE_MAX 1024u
#define POINT_QUEUE_MAX 32u
#define POINT_WHEEL_MAX 127

struct key_queue {
	u16 event[KEY_QUEUE_MAX]; /* a key, KEY_DOWN (key.h) */
	unsigned first, waiting;
};

/* As device/class.h's point() has it. */
struct point {
	u16 x, y;
	u8 buttons; /* bits: left, right, middle */
	s8 wheel;   /* towards the user */
};

struct point_queue {
	struct point at[POINT_QUEUE_MAX];
	unsigned first, waiting;
};

/* All of them or none. -EBUSY: too many wait. */
int key_queue_put(struct key_queue *q, const u16 *events, unsigned n);
bool key_queue_get(struct key_queue *q, u16 *event);
void key_queue_state(struct key_queue *q, struct state_file *s);

void point_queue_put(struct point_queue *q, unsigned x, unsigned y, int wheel, unsigned buttons);
bool point_queue_get(struct point_queue *q, struct point *p);
void point_queue_state(struct point_queue *q, struct state_file *s);
void point_state(struct point *p, struct state_file *s);

#endif
