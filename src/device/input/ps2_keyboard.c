/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ps2_keyboard.c - a PS/2 keyboard: its commands, and keys as bytes. A key that is held does not repeat by itself: who
 * holds it sends it again.
 */
#include "device/input/key.h"
#include "device/input/ps2.h"

#define ACK 0xfa
#define RESEND 0xfe
#define PASSED 0xaa

static void defaults(struct ps2_keyboard *k)
{
	k->set = 2;
	k->rate = 0x2b; /* 500 ms, 10.9 a second */
	k->breaks = false;
	k->waiting = 0;
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
	memset(k, 0, sizeof(*k));
	defaults(k);
	k->scanning = true;
}

static void forget(struct ps2_keyboard *k)
{
	k->out.count = 0;
}

/* The byte that belongs to a command. */
static void argument(struct ps2_keyboard *k, u8 command, u8 v)
{
	ps2_put(&k->out, ACK);
	switch (command) {
	case 0xed:
		k->leds = v & 7;
		break;
	case 0xf0:
		if (v == 0)
			ps2_put(&k->out, k->set);
		else if (v <= 3)
			k->set = v;
		break;
	case 0xf3:
		k->rate = v & 0x7f;
		break;
	default: /* fb to fd: a key of set 3, and more may follow */
		k->command = command;
	}
}

static void identify(struct ps2_keyboard *k)
{
	ps2_put(&k->out, ACK);
	ps2_put(&k->out, 0xab);
	ps2_put(&k->out, 0x83);
}

void ps2_keyboard_write(struct ps2_keyboard *k, u8 v)
{
	u8 command = k->command;

	/* Arguments are below e0: what is not is a command in their place. */
	k->command = 0;
	if (command && v < 0xe0) {
		argument(k, command, v);
		return;
	}
	switch (v) {
	case 0xed:
	case 0xf0:
	case 0xf3:
	case 0xfb:
	case 0xfc:
	case 0xfd:
		k->command = v;
		ps2_put(&k->out, ACK);
		break;
	case 0xee:
		ps2_put(&k->out, 0xee);
		break;
	case 0xf2:
		identify(k);
		break;
	case 0xf4:
		forget(k);
		k->scanning = true;
		ps2_put(&k->out, ACK);
		break;
	case 0xf5:
	case 0xf6:
		forget(k);
		defaults(k);
		k->scanning = v == 0xf6;
		ps2_put(&k->out, ACK);
		break;
	case 0xf7:
	case 0xf9:
		k->breaks = false;
		ps2_put(&k->out, ACK);
		break;
	case 0xf8:
	case 0xfa:
		k->breaks = true;
		ps2_put(&k->out, ACK);
		break;
	case 0xfe:
		ps2_put(&k->out, k->last);
		break;
	case 0xff:
		ps2_keyboard_reset(k);
		ps2_put(&k->out, ACK);
		ps2_put(&k->out, PASSED);
		break;
	default:
		ps2_put(&k->out, RESEND);
	}
}

/* In set 3 only these say that they go up, unless all are told to. */
static bool shifting(unsigned key)
{
	return key == KEY_SHIFT || key == 0x36 || (key & 0x7f) == 0x1d || (key & 0x7f) == 0x38;
}

static void next_event(struct ps2_keyboard *k)
{
	u8 bytes[KEY_BYTES_MAX];
	u16 event = k->event[k->first];
	unsigned key = event & ~KEY_DOWN;
	bool down = event & KEY_DOWN;

	k->first = (k->first + 1) % PS2_EVENTS;
	k->waiting--;
	if (k->set == 3 && !down && !k->breaks && !shifting(key))
		return;
	unsigned n = key_bytes(bytes, key, down, k->set);
	for (unsigned i = 0; i < n; i++)
		ps2_put(&k->out, bytes[i]);
}

bool ps2_keyboard_read(struct ps2_keyboard *k, u8 *v)
{
	while (!k->out.count && k->waiting)
		next_event(k);
	if (!ps2_get(&k->out, v))
		return false;
	k->last = *v;
	return true;
}

int ps2_keys(struct ps2_keyboard *k, const u16 *events, unsigned n)
{
	if (!k->scanning)
		return 0;
	if (n > PS2_EVENTS - k->waiting)
		return -EBUSY;
	for (unsigned i = 0; i < n; i++)
		k->event[(k->first + k->waiting++) % PS2_EVENTS] = events[i];
	return 0;
}

void ps2_queue_state(struct ps2_queue *q, struct state_file *s)
{
	state_bytes(s, q->byte, sizeof(q->byte));
	state_uint(s, &q->head, PS2_QUEUE - 1);
	state_uint(s, &q->count, PS2_QUEUE);
}

void ps2_keyboard_state(struct ps2_keyboard *k, struct state_file *s)
{
	ps2_queue_state(&k->out, s);
	state_u8(s, &k->command);
	state_u8(s, &k->set);
	state_u8(s, &k->leds);
	state_u8(s, &k->rate);
	state_u8(s, &k->last);
	state_bool(s, &k->scanning);
	state_bool(s, &k->breaks);
	state_uint(s, &k->waiting, PS2_EVENTS);
	for (unsigned i = 0; i < k->waiting; i++)
		state_u16(s, &k->event[state_loading(s) ? i : (k->first + i) % PS2_EVENTS]);
	if (!state_loading(s))
		return;
	k->first = 0;
	if (k->set < 1 || k->set > 3)
		k->set = 2;
}
