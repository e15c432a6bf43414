/* SPDX-License-Identifier: GPL-2.0-or-later */
/* input_queue.c - see input_queue.h. */
#include "device/input/input_queue.h"
#include "device/class.h"

int key_queue_put(struct key_queue *q, const u16 *events, unsigned n)
{
	if (n > KEY_QUEUE_MAX - q->waiting)
		return -EBUSY;
	for (unsigned i = 0; i < n; i++)
		q->event[(q->first + q->waiting++) % KEY_QUEUE_MAX] = events[i];
	return 0;
}

bool key_queue_get(struct key_queue *q, u16 *event)
{
	if (!q->waiting)
		return false;
	*event = q->event[q->first];
	q->first = (q->first + 1) % KEY_QUEUE_MAX;
	q->waiting--;
	return true;
}

void key_queue_state(struct key_queue *q, struct state_file *s)
{
	state_uint(s, &q->waiting, KEY_QUEUE_MAX);
	if (state_loading(s))
		q->first = 0;
	for (unsigned i = 0; i < q->waiting; i++)
		state_u16(s, &q->event[(q->first + i) % KEY_QUEUE_MAX]);
}

void point_queue_put(struct point_queue *q, unsigned x, unsigned y, int wheel, unsigned buttons)
{
	struct point *last = &q->at[(q->first + q->waiting - 1) % POINT_QUEUE_MAX];
	bool join = q->waiting && (last->buttons == buttons || q->waiting == POINT_QUEUE_MAX);

	if (join) {
		wheel += last->wheel;
	} else {
		last = &q->at[(q->first + q->waiting++) % POINT_QUEUE_MAX];
	}
	*last = (struct point){ .x = (u16)MIN(x, DEVICE_POINT_MAX),
				.y = (u16)MIN(y, DEVICE_POINT_MAX),
				.buttons = (u8)(buttons & 7),
				.wheel = (s8)MAX(-POINT_WHEEL_MAX, MIN(wheel, POINT_WHEEL_MAX)) };
}

bool point_queue_get(struct point_queue *q, struct point *p)
{
	if (!q->waiting)
		return false;
	*p = q->at[q->first];
	q->first = (q->first + 1) % POINT_QUEUE_MAX;
	q->waiting--;
	return true;
}

void point_state(struct point *p, struct state_file *s)
{
	u8 wheel = (u8)p->wheel;

	state_u16(s, &p->x);
	state_u16(s, &p->y);
	state_u8(s, &p->buttons);
	state_u8(s, &wheel);
	p->x &= DEVICE_POINT_MAX;
	p->y &= DEVICE_POINT_MAX;
	p->buttons &= 7;
	p->wheel = (s8)wheel;
}

void point_queue_state(struct point_queue *q, struct state_file *s)
{
	state_uint(s, &q->waiting, POINT_QUEUE_MAX);
	if (state_loading(s))
		q->first = 0;
	for (unsigned i = 0; i < q->waiting; i++)
		point_state(&q->at[(q->first + i) % POINT_QUEUE_MAX], s);
}
