/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nic_wire.h - a network card's end of its network (net/net.h): frames over a socket, the link as the back end tells
 * it.
 *
 * The card keeps its registers and rings; the wire keeps the socket, and what the card wants to hear of it. All calls
 * but nic_wire_free() have the card's lock held. A thread other than the loop's may not touch the loop's descriptors,
 * so nic_wire_want() only notes, and a timer sets it right on the loop.
 */
#ifndef MICA_NIC_WIRE_H
#define MICA_NIC_WIRE_H

#include "base/loop.h"
#include "device/class.h"
#include "net/net.h"

struct nic_wire;

/* Of the card; opaque is its own. */
struct nic_wire_card {
	void (*lock)(void *opaque);
	void (*unlock)(void *opaque);
	/* On the loop's thread, with the lock held: frames wait, or the socket takes frames again; the card looks at
	 * all it wanted. */
	void (*ready)(void *opaque);
	/* The link went down, or up again. Any thread, with the lock held. */
	void (*link)(void *opaque);
	void *opaque;
	const char *name; /* of its class, for messages */
};

struct nic_wire {
	struct nic_wire_card card;
	struct loop *loop;
	struct loop_timer kick;
	struct device_listener listener;
	/* the loop's thread only */
	struct loop_fd lfd;
	u32 watched;
	/* the card's lock */
	int fd;
	u32 want;
	unsigned mtu;
	bool up, ended;
	bool inside;  /* ready() is called; what is wanted then is looked at afterwards */
	bool checked; /* frames have right checksums */
};

/* a: fd, mtu, checked, listener; the fd is owned, also when it fails. */
int nic_wire_init(struct nic_wire *w, struct loop *loop, const struct nic_wire_card *card, const struct device_args *a,
		  struct err *e);
/* On the loop's thread, or while it does not run. */
void nic_wire_fini(struct nic_wire *w);

/* One frame. False: the socket takes no more now; ask again when ready() comes (nic_wire_want()). */
bool nic_wire_send(struct nic_wire *w, const void *frame, size_t bytes);
/* The next frame, into NET_FRAME_MAX + 1 bytes; 0: none waits. Words of the back end's are heard on the way. */
size_t nic_wire_recv(struct nic_wire *w, u8 *frame);
/* What ready() is to come for. */
void nic_wire_want(struct nic_wire *w, bool receive, bool send);
/* ready() once more, soon. */
void nic_wire_again(struct nic_wire *w);

#endif
