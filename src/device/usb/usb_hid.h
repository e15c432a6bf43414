/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usb_hid.h - what is plugged into the host controller's ports: a keyboard and a tablet of full speed (USB 2.0, chapter
 * 9; Device Class Definition for Human Interface Devices 1.11), as their controller sees them: control requests at
 * endpoint 0, reports at endpoint 1 IN.
 *
 * A report is one message: a key that went down or up, or where the pointer is. What waits is bounded (input_queue.h).
 * Nothing is told before the device is configured, and a reset forgets all.
 *
 * Threads: the controller's lock is held.
 */
#ifndef MICA_USB_HID_H
#define MICA_USB_HID_H

#include "base/base.h"
#include "base/state.h"
#include "device/input/input_queue.h"

#define USB_SETUP_BYTES 8
#define USB_CONTROL_MAX 256 /* bytes of a request's data, whatever is asked for */
#define USB_REPORT_MAX 8
#define USB_IN 0x80u /* of a request's first byte: the device sends */

struct usb_hid {
	bool tablet;
	u8 configuration; /* 0: it is not configured */
	u8 idle, protocol, lights;
	bool halted; /* endpoint 1 */
	/* keyboard */
	struct key_queue keys;
	u8 down[32]; /* a bit for each usage */
	/* tablet */
	struct point_queue points;
	struct point last;
};

/* A bus reset. */
void usb_hid_reset(struct usb_hid *h);
/*
 * A request. in: what it sends goes to data, room for USB_CONTROL_MAX; else `bytes` of data came with it. Returns how
 * many bytes it sends; negative: it stalls.
 */
int usb_hid_control(struct usb_hid *h, const u8 setup[USB_SETUP_BYTES], u8 *data, unsigned bytes);
/* Endpoint 1: the next report; 0: it has none (NAK); negative: it stalls. */
int usb_hid_report(struct usb_hid *h, u8 out[USB_REPORT_MAX]);
/* As device/class.h's keys() and point(), but for whether the controller runs. */
int usb_hid_keys(struct usb_hid *h, const u16 *events, unsigned n);
int usb_hid_point(struct usb_hid *h, unsigned x, unsigned y, int wheel, unsigned buttons);
void usb_hid_state(struct usb_hid *h, struct state_file *s);

/* ---- usb_hid_descriptors.c ---- */
/* By what GET_DESCRIPTOR asks for (wValue, wIndex); NULL: there is none. buf: room for one that is made. */
const u8 *usb_hid_descriptor(const struct usb_hid *h, unsigned value, u8 buf[USB_CONTROL_MAX], unsigned *bytes);

#endif
