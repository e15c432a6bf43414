/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_input.c - input devices (VIRTIO 1.2, 5.8): a keyboard, and a tablet, whose pointer is where it is put.
 *
 * Keys and places wait in queues (input_queue.h). One of them at a time becomes events of Linux's kind, of which each
 * takes a buffer of the driver's; the last is a SYN, by which the driver knows that they belong together. Where the
 * buffers end in between, the rest waits for more.
 *
 * What the driver sends back (lights, whose state nobody sees) is taken and forgotten.
 */
#include "base/state.h"
#include "device/class.h"
#include "device/input/input_queue.h"
#include "device/input/key.h"
#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"

enum { EVENTQ, STATUSQ, QUEUES };

/* Configuration space: select, subsel, size, five bytes of nothing, what was selected (5.8.4). */
#define CFG_SELECT 0
#define CFG_SUBSEL 1
#define CFG_SIZE 2
#define CFG_DATA 8
#define CFG_DATA_BYTES 128
#define CFG_BYTES (CFG_DATA + CFG_DATA_BYTES)
enum { SEL_NAME = 1, SEL_SERIAL = 2, SEL_IDS = 3, SEL_PROPERTIES = 0x10, SEL_EVENTS = 0x11, SEL_AXIS = 0x12 };

#define BUS_VIRTUAL 6

/* Linux's input event codes */
#define EV_SYN 0x00
#define EV_KEY 0x01
#define EV_REL 0x02
#define EV_ABS 0x03
#define EV_LED 0x11
#define EV_REP 0x14
#define REL_WHEEL 8
#define ABS_X 0
#define ABS_Y 1
#define BTN_LEFT 0x110
#define BTN_MIDDLE 0x112

#define EVENT_BYTES 8
#define EVENTS_MAX 7 /* two axes, three buttons, a wheel, SYN */

struct event {
	u16 type, code;
	u32 value;
};

struct input {
	bool tablet;
	/* the device's lock */
	u8 select, subsel;
	struct key_queue keys;
	struct point_queue points;
	u8 buttons; /* as last told */
	struct event out[EVENTS_MAX];
	unsigned nout, sent; /* sent: of out */
	struct virtio_chain ch;
};

/* ---- what it is ---- */

static void set_bit(u8 *bits, unsigned i)
{
	bits[i / 8] |= (u8)(1u << (i % 8));
}

static void events(const struct input *in, u8 *bits)
{
	if (in->tablet && in->subsel == EV_KEY) {
		for (unsigned b = 0; b < 3; b++)
			set_bit(bits, BTN_LEFT + b);
	} else if (in->tablet && in->subsel == EV_REL) {
		set_bit(bits, REL_WHEEL);
	} else if (in->tablet && in->subsel == EV_ABS) {
		set_bit(bits, ABS_X);
		set_bit(bits, ABS_Y);
	} else if (!in->tablet && in->subsel == EV_KEY) {
		for (unsigned key = 1; key <= KEY_HANGUL; key++)
			if (key_known(key) && key_event_code(key))
				set_bit(bits, key_event_code(key));
	} else if (!in->tablet && in->subsel == EV_LED) {
		bits[0] = 7; /* Num, Caps, Scroll Lock */
	} else if (!in->tablet && in->subsel == EV_REP) {
		bits[0] = 3; /* the driver repeats keys */
	}
}

/* All of the configuration space; what was selected is as long as its last byte that is not 0. */
static void describe(const struct input *in, u8 cfg[CFG_BYTES])
{
	u8 *data = cfg + CFG_DATA;
	unsigned n = CFG_DATA_BYTES;

	memset(cfg, 0, CFG_BYTES);
	cfg[CFG_SELECT] = in->select;
	cfg[CFG_SUBSEL] = in->subsel;
	if (in->select == SEL_EVENTS) {
		events(in, data);
	} else if (in->select == SEL_AXIS && in->tablet && in->subsel <= ABS_Y) {
		st_le32(data + 4, DEVICE_POINT_MAX); /* min, max, fuzz, flat, resolution */
		cfg[CFG_SIZE] = 20;
		return;
	} else if (in->subsel) {
		return;
	} else if (in->select == SEL_NAME) {
		snprintf((char *)data, CFG_DATA_BYTES, "Mica virtio %s", in->tablet ? "tablet" : "keyboard");
	} else if (in->select == SEL_IDS) {
		st_le16(data, BUS_VIRTUAL);
		st_le16(data + 2, 0x1af4);
		st_le16(data + 4, in->tablet ? 2 : 1);
		st_le16(data + 6, 1);
	}
	while (n && !data[n - 1])
		n--;
	cfg[CFG_SIZE] = (u8)n;
}

static void input_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	u8 cfg[CFG_BYTES];

	describe(d->impl, cfg);
	memcpy(buf, cfg + off, bytes);
}

static void input_cfg_write(struct virtio_dev *d, unsigned off, const void *buf, unsigned bytes)
{
	struct input *in = d->impl;

	for (unsigned i = 0; i < bytes; i++) {
		if (off + i == CFG_SELECT)
			in->select = ((const u8 *)buf)[i];
		else if (off + i == CFG_SUBSEL)
			in->subsel = ((const u8 *)buf)[i];
	}
}

/* ---- what is told ---- */

static void put(struct input *in, u16 type, u16 code, u32 value)
{
	must(in->nout < EVENTS_MAX);
	in->out[in->nout++] = (struct event){ type, code, value };
}

static void put_point(struct input *in, const struct point *p)
{
	put(in, EV_ABS, ABS_X, p->x);
	put(in, EV_ABS, ABS_Y, p->y);
	for (u16 b = 0; b < 3; b++)
		if ((p->buttons ^ in->buttons) >> b & 1)
			put(in, EV_KEY, BTN_LEFT + b, p->buttons >> b & 1);
	if (p->wheel)
		put(in, EV_REL, REL_WHEEL, (u32)-p->wheel);
	in->buttons = p->buttons;
}

/* The next that waits becomes events; false: none does. */
static bool refill(struct input *in)
{
	struct point p;
	u16 key;

	in->nout = in->sent = 0;
	if (key_queue_get(&in->keys, &key))
		put(in, EV_KEY, key_event_code(key & ~KEY_DOWN), !!(key & KEY_DOWN));
	else if (point_queue_get(&in->points, &p))
		put_point(in, &p);
	else
		return false;
	put(in, EV_SYN, 0, 0);
	return true;
}

static void tell(struct virtio_dev *d)
{
	struct input *in = d->impl;

	while ((in->sent < in->nout || refill(in)) && virtio_pop(d, EVENTQ, &in->ch)) {
		const struct event *e = &in->out[in->sent];
		u8 bytes[EVENT_BYTES];

		if (in->ch.in_bytes < EVENT_BYTES) {
			virtio_broken(d, N_("a buffer for events that is too small for one"));
			return;
		}
		st_le16(bytes, e->type);
		st_le16(bytes + 2, e->code);
		st_le32(bytes + 4, e->value);
		virtio_chain_write(&in->ch, 0, bytes, sizeof(bytes));
		virtio_push(d, EVENTQ, &in->ch, sizeof(bytes));
		in->sent++;
	}
	virtio_signal(d, EVENTQ);
}

static void input_notify(struct virtio_dev *d, unsigned q)
{
	struct input *in = d->impl;

	if (q == EVENTQ) {
		tell(d);
		return;
	}
	while (virtio_pop(d, STATUSQ, &in->ch))
		virtio_push(d, STATUSQ, &in->ch, 0);
	virtio_signal(d, STATUSQ);
}

/* ---- life ---- */

static void input_reset(struct virtio_dev *d)
{
	struct input *in = d->impl;

	in->select = in->subsel = in->buttons = 0;
	in->keys.waiting = in->points.waiting = 0;
	in->nout = in->sent = 0;
}

static void input_state(struct virtio_dev *d, struct state_file *s)
{
	struct input *in = d->impl;

	state_same(s, in->tablet, "another input device");
	state_u8(s, &in->select);
	state_u8(s, &in->subsel);
	state_u8(s, &in->buttons);
	key_queue_state(&in->keys, s);
	point_queue_state(&in->points, s);
	state_uint(s, &in->nout, EVENTS_MAX);
	state_uint(s, &in->sent, EVENTS_MAX);
	for (unsigned i = 0; i < in->nout; i++) {
		state_u16(s, &in->out[i].type);
		state_u16(s, &in->out[i].code);
		state_u32(s, &in->out[i].value);
	}
}

static void input_free(struct virtio_dev *d)
{
	free(d->impl);
}

static const struct virtio_class keyboard_class = {
	.name = "virtio-keyboard",
	.id = VIRTIO_ID_INPUT,
	.cfg_bytes = CFG_BYTES,
	.cfg_read = input_cfg_read,
	.cfg_write = input_cfg_write,
	.notify = input_notify,
	.reset = input_reset,
	.state = input_state,
	.free = input_free,
};

static const struct virtio_class tablet_class = {
	.name = "virtio-tablet",
	.id = VIRTIO_ID_INPUT,
	.cfg_bytes = CFG_BYTES,
	.cfg_read = input_cfg_read,
	.cfg_write = input_cfg_write,
	.notify = input_notify,
	.reset = input_reset,
	.state = input_state,
	.free = input_free,
};

struct virtio_dev *virtio_input_new(struct ram *ram, struct loop *loop, bool tablet)
{
	struct input *in = xcalloc(1, sizeof(*in));

	in->tablet = tablet;
	return virtio_new(tablet ? &tablet_class : &keyboard_class, ram, loop, QUEUES, in);
}

/* ---- what is typed, where it points ---- */

/* The lock is held. */
static bool listens(const struct virtio_dev *d)
{
	return d->status & VIRTIO_S_DRIVER_OK && !(d->status & VIRTIO_S_NEEDS_RESET);
}

int virtio_input_keys(struct virtio_dev *d, const u16 *keys, unsigned n)
{
	struct input *in = d->impl;

	virtio_lock(d);
	int r = listens(d) ? key_queue_put(&in->keys, keys, n) : -EAGAIN;
	if (r == 0)
		tell(d);
	virtio_unlock(d);
	return r;
}

int virtio_input_point(struct virtio_dev *d, unsigned x, unsigned y, int wheel, unsigned buttons)
{
	struct input *in = d->impl;

	virtio_lock(d);
	int r = listens(d) ? 0 : -EAGAIN;
	if (r == 0) {
		point_queue_put(&in->points, x, y, wheel, buttons);
		tell(d);
	}
	virtio_unlock(d);
	return r;
}

/* ---- the classes ---- */

static int new_keyboard(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return virtio_add(m, virtio_input_new(machine_ram(m), machine_loop(m), false), a, out, e);
}

static int new_tablet(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return virtio_add(m, virtio_input_new(machine_ram(m), machine_loop(m), true), a, out, e);
}

static int class_keys(struct device *d, const u16 *keys, unsigned n)
{
	return virtio_input_keys(virtio_pci_dev(d), keys, n);
}

static int class_point(struct device *d, unsigned x, unsigned y, int wheel, unsigned buttons)
{
	return virtio_input_point(virtio_pci_dev(d), x, y, wheel, buttons);
}

const struct device_class virtio_keyboard_device_class = {
	.name = "virtio-keyboard",
	.help = N_("keyboard (Linux: virtio_input)"),
	.new = new_keyboard,
	.keys = class_keys,
};

const struct device_class virtio_tablet_device_class = {
	.name = "virtio-tablet",
	.help = N_("pointer that is where the VNC client's is (Linux: virtio_input)"),
	.new = new_tablet,
	.point = class_point,
};
