/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ps2_mouse.c - a PS/2 mouse with three buttons, which becomes one with a wheel (id 3) where a driver knocks: the
 * sampling rates 200, 100, 80 one after the other. What it moved while it could not tell adds up.
 */
#include "device/input/ps2.h"

#define ACK 0xfa
#define RESEND 0xfe
#define MOST 255 /* of a packet, in each direction */

static void defaults(struct ps2_mouse *m)
{
	m->rate = 100;
	m->resolution = 2;
	m->twice = m->remote = m->wrap = m->reporting = false;
	m->dx = m->dy = m->dz = 0;
	m->moved = false;
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
	memset(m, 0, sizeof(*m));
	defaults(m);
}

static s32 take(s32 *sum, s32 most)
{
	s32 v = MAX(-most - 1, MIN(*sum, most));

	*sum -= v;
	return v;
}

static void packet(struct ps2_mouse *m)
{
	/* Up is positive for a mouse. */
	s32 dx = take(&m->dx, MOST), dy = -take(&m->dy, MOST);

	dy = MIN(dy, MOST);
	ps2_put(&m->out, (u8)(0x08 | (m->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0)));
	ps2_put(&m->out, (u8)dx);
	ps2_put(&m->out, (u8)dy);
	if (m->id == 3)
		ps2_put(&m->out, (u8)take(&m->dz, 7));
	else
		m->dz = 0;
	m->moved = m->dx || m->dy || m->dz;
}

static void argument(struct ps2_mouse *m, u8 command, u8 v)
{
	ps2_put(&m->out, ACK);
	if (command == 0xe8) {
		m->resolution = v & 3;
		return;
	}
	m->rate = v;
	if (m->knock[0] == 200 && m->knock[1] == 100 && v == 80)
		m->id = 3;
	m->knock[0] = m->knock[1];
	m->knock[1] = v;
}

static void status(struct ps2_mouse *m)
{
	ps2_put(&m->out, (u8)((m->remote ? 0x40 : 0) | (m->reporting ? 0x20 : 0) | (m->twice ? 0x10 : 0) |
			      (m->buttons & PS2_LEFT ? 4 : 0) | (m->buttons & PS2_MIDDLE ? 2 : 0) |
			      (m->buttons & PS2_RIGHT ? 1 : 0)));
	ps2_put(&m->out, m->resolution);
	ps2_put(&m->out, m->rate);
}

/* What is acknowledged first. */
static void obey(struct ps2_mouse *m, u8 v)
{
	ps2_put(&m->out, ACK);
	switch (v) {
	case 0xe6:
	case 0xe7:
		m->twice = v == 0xe7;
		break;
	case 0xe9:
		status(m);
		break;
	case 0xea:
	case 0xf0:
		m->remote = v == 0xf0;
		break;
	case 0xeb:
		packet(m);
		break;
	case 0xec:
	case 0xee:
		m->wrap = v == 0xee;
		break;
	case 0xf2:
		ps2_put(&m->out, m->id);
		break;
	case 0xf4:
	case 0xf5:
		m->reporting = v == 0xf4;
		break;
	case 0xf6:
		defaults(m);
		break;
	default:
		m->command = v;
	}
}

void ps2_mouse_write(struct ps2_mouse *m, u8 v)
{
	u8 command = m->command;

	m->command = 0;
	if (m->wrap && v != 0xec && v != 0xff) {
		ps2_put(&m->out, v);
	} else if (command) {
		argument(m, command, v);
	} else if (v == 0xff) {
		ps2_mouse_reset(m);
		ps2_put(&m->out, ACK);
		ps2_put(&m->out, 0xaa);
		ps2_put(&m->out, 0x00);
	} else if (v == 0xfe) {
		ps2_put(&m->out, m->last);
	} else if (v >= 0xe6 && v <= 0xf6 && v != 0xed && v != 0xef && v != 0xf1) {
		m->out.count = 0; /* a command ends a packet that is under way */
		obey(m, v);
	} else {
		ps2_put(&m->out, RESEND);
	}
}

bool ps2_mouse_read(struct ps2_mouse *m, u8 *v)
{
	if (!m->out.count && m->moved && m->reporting && !m->remote && !m->wrap && !m->command)
		packet(m);
	if (!ps2_get(&m->out, v))
		return false;
	m->last = *v;
	return true;
}

static void add(s32 *sum, int v)
{
	*sum = MAX(-10000, MIN(*sum + MAX(-10000, MIN(v, 10000)), 10000));
}

void ps2_pointer(struct ps2_mouse *m, int dx, int dy, int wheel, unsigned buttons)
{
	if (!m->reporting && !m->remote)
		return;
	add(&m->dx, dx);
	add(&m->dy, dy);
	add(&m->dz, wheel);
	bool other = (buttons & 7) != m->buttons;
	m->buttons = buttons & 7;
	m->moved = true;
	/* Up and down again must both be seen. */
	if (other && m->reporting && !m->remote && !m->wrap && m->out.count + 4 <= PS2_QUEUE)
		packet(m);
}

void ps2_mouse_state(struct ps2_mouse *m, struct state_file *s)
{
	ps2_queue_state(&m->out, s);
	state_u8(s, &m->command);
	state_u8(s, &m->last);
	state_u8(s, &m->rate);
	state_u8(s, &m->resolution);
	state_u8(s, &m->id);
	state_u8(s, &m->buttons);
	state_bytes(s, m->knock, sizeof(m->knock));
	state_bool(s, &m->reporting);
	state_bool(s, &m->remote);
	state_bool(s, &m->wrap);
	state_bool(s, &m->twice);
	if (state_loading(s)) { /* what it moved and did not tell is not worth saving */
		m->dx = m->dy = m->dz = 0;
		m->moved = false;
		m->id = m->id == 3 ? 3 : 0;
	}
}
