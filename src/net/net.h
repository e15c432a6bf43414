/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * net.h - where a guest's Ethernet frames go. A back end is a process at the other end of a
 * SOCK_SEQPACKET unix socket, one frame a message; the VMM knows nothing else of it. A message of one
 * byte is no frame but says how the back end is (NET_MSG_). The end of the socket is the end of the network.
 */
#ifndef MICA_NET_H
#define MICA_NET_H

#include "base/base.h"
#include "base/err.h"

#include <sys/types.h>

#define NET_FRAME_MIN 14    /* Ethernet header */
#define NET_FRAME_MAX 65550 /* Ethernet header + 64 KiB */

#define NET_MSG_READY 0 /* it serves; the first message of all, and after NET_MSG_DOWN */
#define NET_MSG_DOWN 1  /* it died, and is being started again: frames are lost meanwhile */

/* What mica-net and mica-slirp are started with, and how they end. */
#define NET_FRAMES_FD 3
#define NET_READY_FD 4     /* mica-slirp: an eventfd to add 1 to when it serves */
#define NET_EXIT_REFUSED 3 /* what it was asked for cannot be; the text went to the VMM */

/* Connections through one user network, TCP and UDP together. Each may hold 400 KiB, data that waits both ways. */
#define NET_USER_CONNECTIONS 5000

/* The user network ends connections itself, so its frames may be as long as IPv4 lets them: one frame
 * instead of forty. Guests that do not ask for the MTU use 1500 and are served as well. */
#define NET_USER_MTU 65520

struct net_hostfwd {
	bool udp;
	char host_addr[64]; /* "" = 127.0.0.1 */
	u16 host_port, guest_port;
};

/*
 * User-mode network (libslirp): NAT, DHCP (10.0.2.15 for the guest, 10.0.2.2 the host, 10.0.2.3 DNS)
 * in a sandboxed process of its own, which ends when the socket closes, and a keeper (*pid) that starts it
 * again when it dies before. *fd is the VMM's end.
 * Returns when the process is ready and all forwarded ports are bound; a port that is taken is an
 * error here. Both processes also end with the thread that called this.
 */
int net_user_start(int *fd, pid_t *pid, const struct net_hostfwd *fwd, unsigned nfwd, struct err *e);
/* "tcp:ADDR:PORT-:PORT", "udp::PORT-:PORT"; ADDR is a host IPv4 address. */
int net_hostfwd_parse(struct net_hostfwd *out, const char *text, struct err *e);

#endif
