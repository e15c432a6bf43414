/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usb_hid_descriptors.c - what keyboard and tablet say they are (USB 2.0, 9.6; HID 1.11, 6.2, appendix B and E).
 *
 * Packets have room for more than a report, so that each report ends a transfer; SeaBIOS takes keyboards of up to 16
 * bytes, and mice of up to 8.
 */
#include "device/usb/usb_hid.h"

enum { DEVICE = 1, CONFIGURATION = 2, STRING = 3, HID = 0x21, REPORT = 0x22 };

#define LE16(v) (v) & 0xff, (v) >> 8
#define VENDOR 0x1209 /* pid.codes, where these two numbers are for whoever needs some */
#define KEYBOARD 0x0001
#define TABLET 0x0002

#define DEVICE_DESCRIPTOR(product) \
	{ \
		18, DEVICE, LE16(0x0200), 0, 0, 0, 64, LE16(VENDOR), LE16(product), LE16(0x0100), 1, 2, 0, 1 \
	}

static const u8 keyboard_device[] = DEVICE_DESCRIPTOR(KEYBOARD);
static const u8 tablet_device[] = DEVICE_DESCRIPTOR(TABLET);

/* A report of 8 bytes in the boot protocol's layout, and lights (appendix B.1). */
static const u8 keyboard_report[] = {
	0x05, 0x01,       /* usage page: generic desktop */
	0x09, 0x06,       /* keyboard */
	0xa1, 0x01,       /* collection: application */
	0x05, 0x07,       /* page: keys */
	0x19, 0xe0,       /* from left Ctrl */
	0x29, 0xe7,       /* to right GUI, */
	0x15, 0x00,       /* each 0 */
	0x25, 0x01,       /* to 1, */
	0x75, 0x01,       /* a bit, */
	0x95, 0x08,       /* eight of them, */
	0x81, 0x02,       /* input: variables */
	0x75, 0x08,       /* a byte */
	0x95, 0x01,       /* ... */
	0x81, 0x01,       /* of nothing */
	0x05, 0x08,       /* page: LEDs */
	0x19, 0x01,       /* Num Lock */
	0x29, 0x05,       /* to Kana */
	0x75, 0x01,       /* a bit */
	0x95, 0x05,       /* each */
	0x91, 0x02,       /* output */
	0x75, 0x03,       /* and three */
	0x95, 0x01,       /* ... */
	0x91, 0x01,       /* of nothing */
	0x05, 0x07,       /* page: keys */
	0x19, 0x00,       /* all */
	0x2a, 0xff, 0x00, /* there are, */
	0x15, 0x00,       /* ... */
	0x26, 0xff, 0x00, /* ... */
	0x75, 0x08,       /* a byte */
	0x95, 0x06,       /* for each of six */
	0x81, 0x00,       /* that are down: an array */
	0xc0,
};

static const u8 tablet_report[] = {
	0x05, 0x01,       /* usage page: generic desktop */
	0x09, 0x02,       /* mouse */
	0xa1, 0x01,       /* collection: application */
	0x09, 0x01,       /* pointer */
	0xa1, 0x00,       /* collection: physical */
	0x05, 0x09,       /* page: buttons */
	0x19, 0x01,       /* left, */
	0x29, 0x03,       /* right, middle */
	0x15, 0x00,       /* ... */
	0x25, 0x01,       /* ... */
	0x75, 0x01,       /* a bit */
	0x95, 0x03,       /* each */
	0x81, 0x02,       /* input: variables */
	0x75, 0x05,       /* five bits */
	0x95, 0x01,       /* ... */
	0x81, 0x01,       /* of nothing */
	0x05, 0x01,       /* page: generic desktop */
	0x09, 0x30,       /* X */
	0x09, 0x31,       /* Y */
	0x15, 0x00,       /* from 0 */
	0x26, 0xff, 0x7f, /* to 32767, */
	0x75, 0x10,       /* 16 bits */
	0x95, 0x02,       /* each, */
	0x81, 0x02,       /* absolute */
	0x09, 0x38,       /* wheel */
	0x15, 0x81,       /* from -127 */
	0x25, 0x7f,       /* to 127 */
	0x75, 0x08,       /* a byte */
	0x95, 0x01,       /* ... */
	0x81, 0x06,       /* relative */
	0xc0, 0xc0,
};

/* Configuration 1 (self-powered), its only interface, that one's HID descriptor, endpoint 1 IN. */
#define CONFIGURATION_DESCRIPTOR(subclass, protocol, report, packet, interval) \
	{ \
		9, CONFIGURATION, LE16(34), 1, 1, 0, 0xc0, 0, 9, 4, 0, 0, 1, 3, subclass, protocol, 0, 9, HID, \
		    LE16(0x0111), 0, 1, REPORT, LE16((unsigned)sizeof(report)), 7, 5, USB_IN | 1, 3, LE16(packet), \
		    interval \
	}

static const u8 keyboard_configuration[] = CONFIGURATION_DESCRIPTOR(1, 1, keyboard_report, 16, 10);
static const u8 tablet_configuration[] = CONFIGURATION_DESCRIPTOR(0, 0, tablet_report, 8, 4);
#define CONFIGURATION_HID 18 /* where that one is in it */
#define HID_BYTES 9

static unsigned text(u8 *buf, const char *s)
{
	unsigned n = 2;

	for (; *s; s++) {
		buf[n++] = (u8)*s;
		buf[n++] = 0;
	}
	buf[0] = (u8)n;
	buf[1] = STRING;
	return n;
}

const u8 *usb_hid_descriptor(const struct usb_hid *h, unsigned value, u8 buf[USB_CONTROL_MAX], unsigned *bytes)
{
	const u8 *configuration = h->tablet ? tablet_configuration : keyboard_configuration;

	switch (value) {
	case DEVICE << 8:
		*bytes = sizeof(keyboard_device);
		return h->tablet ? tablet_device : keyboard_device;
	case CONFIGURATION << 8:
		*bytes = sizeof(keyboard_configuration);
		return configuration;
	case HID << 8:
		*bytes = HID_BYTES;
		return configuration + CONFIGURATION_HID;
	case REPORT << 8:
		*bytes = h->tablet ? sizeof(tablet_report) : sizeof(keyboard_report);
		return h->tablet ? tablet_report : keyboard_report;
	case STRING << 8: /* which languages: English */
		memcpy(buf, "\4\3\11\4", *bytes = 4);
		return buf;
	case STRING << 8 | 1:
		*bytes = text(buf, "Mica");
		return buf;
	case STRING << 8 | 2:
		*bytes = text(buf, h->tablet ? "USB tablet" : "USB keyboard");
		return buf;
	default:
		return NULL;
	}
}
