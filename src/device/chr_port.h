/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chr_port.h - one end of a character stream on the host: a descriptor that is made non-blocking and given back as it
 * was. Threads: the owner's lock guards it; watching is the loop's thread's.
 */
#ifndef MICA_CHR_PORT_H
#define MICA_CHR_PORT_H

#include "base/base.h"
#include "base/loop.h"

struct chr_port {
	int fd;
	bool is_socket;
	bool owned;
	int restore_flags; /* of a borrowed fd; -1: nothing to restore */
	/* the loop's thread only */
	struct loop *loop;
	void (*ready)(void *opaque, u32 events);
	void *opaque;
	struct loop_fd lf;
	bool polled;
	u32 want;
};

/* private_ok: it may be opened anew, as a terminal or pipe that others have too. */
int chr_port_init(struct chr_port *p, int fd, bool private_ok);
void chr_port_fini(struct chr_port *p);
/* Can it be watched? ready is called when it is. */
int chr_port_poll(struct chr_port *p, struct loop *loop, void (*ready)(void *opaque, u32 events), void *opaque);
/* Watch for exactly `want`; nothing where it cannot be watched. p may be NULL. */
void chr_port_want(struct chr_port *p, u32 want);

#endif
