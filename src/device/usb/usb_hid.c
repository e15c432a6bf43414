/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usb_hid.c - see usb_hid.h: requests (USB 2.0, 9.4; HID 1.11, 7) and reports. */
#include "device/usb/usb_hid.h"

#include "device/input/key.h"

/* Requests by type and number. */
#define REQ(type, n) ((type) << 8 | (n))
#define TO_DEVICE 0x00u
#define TO_INTERFACE 0x01u
#define TO_ENDPOINT 0x02u
#define CLASS 0x20u
enum { GET_STATUS = 0, CLEAR_FEATURE = 1, SET_FEATURE = 3, SET_ADDRESS = 5, GET_DESCRIPTOR = 6 };
enum { GET_CONFIGURATION = 8, SET_CONFIGURATION = 9, GET_INTERFACE = 10, SET_INTERFACE = 11 };
enum { GET_REPORT = 1, GET_IDLE = 2, GET_PROTOCOL = 3, SET_REPORT = 9, SET_IDLE = 10, SET_PROTOCOL = 11 };

#define STALL (-EPIPE)
#define ENDPOINT_HALT 0
#define SELF_POWERED 1
#define REPORT_PROTOCOL 1
#define KEYS_SHOWN 6
#define ROLL_OVER 1

static void forget(struct usb_hid *h)
{
	h->halted = false;
	h->keys.waiting = h->points.waiting = 0;
	memset(h->down, 0, sizeof(h->down));
	h->last = (struct point){ 0 };
}

void usb_hid_reset(struct usb_hid *h)
{
	forget(h);
	h->configuration = h->idle = h->lights = 0;
	h->protocol = REPORT_PROTOCOL;
}

/* ---- reports ---- */

static unsigned keyboard_report(const struct usb_hid *h, u8 out[USB_REPORT_MAX])
{
	unsigned n = 0;

	memset(out, 0, USB_REPORT_MAX);
	out[0] = h->down[KEY_USAGE_MODIFIERS / 8];
	for (unsigned usage = 1; usage < KEY_USAGE_MODIFIERS; usage++)
		if (h->down[usage / 8] >> (usage % 8) & 1 && n++ < KEYS_SHOWN)
			out[1 + n] = (u8)usage;
	if (n > KEYS_SHOWN)
		memset(out + 2, ROLL_OVER, KEYS_SHOWN);
	return 8;
}

static unsigned tablet_report(const struct point *p, u8 out[USB_REPORT_MAX])
{
	out[0] = p->buttons;
	st_le16(out + 1, p->x);
	st_le16(out + 3, p->y);
	out[5] = (u8)-p->wheel;
	return 6;
}

/* A key that is down and goes down again (a client that repeats it) is no news: the guest repeats keys itself. */
static bool take_key(struct usb_hid *h)
{
	u16 event;

	while (key_queue_get(&h->keys, &event)) {
		u8 usage = key_usage(event & ~KEY_DOWN), bit = (u8)(1u << (usage % 8));
		bool was = h->down[usage / 8] & bit;

		if (!usage || was == !!(event & KEY_DOWN))
			continue;
		h->down[usage / 8] ^= bit;
		return true;
	}
	return false;
}

int usb_hid_report(struct usb_hid *h, u8 out[USB_REPORT_MAX])
{
	if (h->halted || !h->configuration)
		return STALL;
	if (!h->tablet)
		return take_key(h) ? (int)keyboard_report(h, out) : 0;
	return point_queue_get(&h->points, &h->last) ? (int)tablet_report(&h->last, out) : 0;
}

int usb_hid_keys(struct usb_hid *h, const u16 *events, unsigned n)
{
	return h->configuration && !h->tablet ? key_queue_put(&h->keys, events, n) : -EAGAIN;
}

int usb_hid_point(struct usb_hid *h, unsigned x, unsigned y, int wheel, unsigned buttons)
{
	if (!h->configuration || !h->tablet)
		return -EAGAIN;
	point_queue_put(&h->points, x, y, wheel, buttons);
	return 0;
}

/* ---- requests ---- */

static int answer(u8 *data, u8 v)
{
	data[0] = v;
	return 1;
}

static int descriptor(const struct usb_hid *h, unsigned value, u8 *data)
{
	unsigned bytes = 0;
	const u8 *d = usb_hid_descriptor(h, value, data, &bytes);

	if (!d)
		return STALL;
	if (d != data)
		memcpy(data, d, bytes);
	return (int)bytes;
}

static int status(u8 *data, u16 v)
{
	st_le16(data, v);
	return 2;
}

static int set_halted(struct usb_hid *h, unsigned feature, bool on)
{
	if (feature != ENDPOINT_HALT)
		return STALL;
	h->halted = on;
	return 0;
}

static int configure(struct usb_hid *h, unsigned value)
{
	if (value > 1)
		return STALL;
	forget(h);
	h->configuration = (u8)value;
	return 0;
}

static int standard(struct usb_hid *h, unsigned what, unsigned value, u8 *data)
{
	switch (what) {
	case REQ(USB_IN | TO_DEVICE, GET_STATUS):
		return status(data, SELF_POWERED);
	case REQ(USB_IN | TO_INTERFACE, GET_STATUS):
		return status(data, 0);
	case REQ(USB_IN | TO_ENDPOINT, GET_STATUS):
		return status(data, h->halted);
	case REQ(TO_ENDPOINT, CLEAR_FEATURE):
		return set_halted(h, value, false);
	case REQ(TO_ENDPOINT, SET_FEATURE):
		return set_halted(h, value, true);
	case REQ(TO_DEVICE, SET_ADDRESS): /* the controller has given it one */
		return 0;
	case REQ(USB_IN | TO_DEVICE, GET_DESCRIPTOR):
	case REQ(USB_IN | TO_INTERFACE, GET_DESCRIPTOR):
		return descriptor(h, value, data);
	case REQ(USB_IN | TO_DEVICE, GET_CONFIGURATION):
		return answer(data, h->configuration);
	case REQ(TO_DEVICE, SET_CONFIGURATION):
		return configure(h, value);
	case REQ(USB_IN | TO_INTERFACE, GET_INTERFACE):
		return answer(data, 0);
	case REQ(TO_INTERFACE, SET_INTERFACE):
		return value ? STALL : 0;
	default:
		return STALL;
	}
}

/* Of all kinds of report (input, output, feature) a keyboard has the first two, a tablet the first. */
static int class_request(struct usb_hid *h, unsigned what, unsigned value, u8 *data, unsigned bytes)
{
	switch (what) {
	case REQ(USB_IN | CLASS | TO_INTERFACE, GET_REPORT):
		if (value >> 8 == 2 && !h->tablet)
			return answer(data, h->lights);
		if (value >> 8 != 1)
			return STALL;
		return (int)(h->tablet ? tablet_report(&h->last, data) : keyboard_report(h, data));
	case REQ(CLASS | TO_INTERFACE, SET_REPORT):
		if (h->tablet || value >> 8 != 2 || !bytes)
			return STALL;
		h->lights = data[0] & 0x1f;
		return 0;
	case REQ(USB_IN | CLASS | TO_INTERFACE, GET_IDLE):
		return answer(data, h->idle);
	case REQ(CLASS | TO_INTERFACE, SET_IDLE): /* remembered: a report comes when something happened */
		h->idle = (u8)(value >> 8);
		return 0;
	case REQ(USB_IN | CLASS | TO_INTERFACE, GET_PROTOCOL):
		return answer(data, h->protocol);
	case REQ(CLASS | TO_INTERFACE, SET_PROTOCOL): /* a keyboard's reports are the same in both */
		h->protocol = value & 1;
		return 0;
	default:
		return STALL;
	}
}

int usb_hid_control(struct usb_hid *h, const u8 setup[USB_SETUP_BYTES], u8 *data, unsigned bytes)
{
	unsigned what = REQ((unsigned)setup[0], (unsigned)setup[1]), value = ld_le16(setup + 2);

	return setup[0] & CLASS ? class_request(h, what, value, data, bytes) : standard(h, what, value, data);
}

void usb_hid_state(struct usb_hid *h, struct state_file *s)
{
	state_u8(s, &h->configuration);
	state_u8(s, &h->idle);
	state_u8(s, &h->protocol);
	state_u8(s, &h->lights);
	state_bool(s, &h->halted);
	key_queue_state(&h->keys, s);
	state_bytes(s, h->down, sizeof(h->down));
	point_queue_state(&h->points, s);
	point_state(&h->last, s);
	h->configuration &= 1;
}
