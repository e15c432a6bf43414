/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ps2.h - keyboard and mouse at their PS/2 ports, as the controller (i8042.c) sees them: bytes go there, bytes wait to
 * come (IBM PS/2 Hardware Interface Technical Reference, Keyboards; Logitech and Microsoft, mice).
 *
 * Keys that are typed faster than the guest takes them wait as events; each becomes bytes when the last one's are gone.
 * So nothing is lost, and no timer is needed. What is beyond PS2_EVENTS is refused.
 *
 * Threads: the controller's lock is held.
 */
#ifndef MICA_PS2_H
#define MICA_PS2_H

#include "base/base.h"
#include "base/state.h"

#define PS2_QUEUE 32u    /* bytes of an answer or a packet, or more of them */
#define PS2_EVENTS 1024u /* keys that wait */

struct ps2_queue {
	u8 byte[PS2_QUEUE];
	unsigned head, count;
};

static inline void ps2_put(struct ps2_queue *q, u8 v)
{
	if (q->count < PS2_QUEUE)
		q->byte[(q->head + q->count++) % PS2_QUEUE] = v;
}

static inline bool ps2_get(struct ps2_queue *q, u8 *v)
{
	if (!q->count)
		return false;
	*v = q->byte[q->head];
	q->head = (q->head + 1) % PS2_QUEUE;
	q->count--;
	return true;
}

struct ps2_keyboard {
	struct ps2_queue out;
	u8 command; /* whose byte comes next; 0: none */
	u8 set, leds, rate, last;
	bool scanning;
	bool breaks;           /* set 3: all keys say when they go up, and not only the shifting ones */
	u16 event[PS2_EVENTS]; /* a key, KEY_DOWN */
	unsigned first, waiting;
};

struct ps2_mouse {
	struct ps2_queue out;
	u8 command, last;
	u8 rate, resolution, id, buttons;
	u8 knock[2]; /* the last sampling rates: three of them change what it is */
	bool reporting, remote, wrap, twice;
	s32 dx, dy, dz;
	bool moved;
};

void ps2_keyboard_reset(struct ps2_keyboard *k);
void ps2_keyboard_write(struct ps2_keyboard *k, u8 v);
/* The next byte it has; false: none. */
bool ps2_keyboard_read(struct ps2_keyboard *k, u8 *v);
/* Keys with KEY_DOWN or not (key.h), all of them or none. -EBUSY: too many wait. */
int ps2_keys(struct ps2_keyboard *k, const u16 *events, unsigned n);
void ps2_keyboard_state(struct ps2_keyboard *k, struct state_file *s);

#define PS2_LEFT 1u
#define PS2_RIGHT 2u
#define PS2_MIDDLE 4u
void ps2_mouse_reset(struct ps2_mouse *m);
void ps2_mouse_write(struct ps2_mouse *m, u8 v);
bool ps2_mouse_read(struct ps2_mouse *m, u8 *v);
/* dx to the right, dy down, wheel towards the user. */
void ps2_pointer(struct ps2_mouse *m, int dx, int dy, int wheel, unsigned buttons);
void ps2_mouse_state(struct ps2_mouse *m, struct state_file *s);

void ps2_queue_state(struct ps2_queue *q, struct state_file *s);

#endif
