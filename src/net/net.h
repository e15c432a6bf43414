/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * net.h - where a guest's Ethernet frames go. A back end is a process at the other end of a
 * SOCK_SEQPACKET unix socket, one frame a message; the VMM knows nothing else of it. The end of the socket is the end
 * of the network.
 *
 * A message shorter than NET_FRAME_MIN is no frame: its first byte says what it is (NET_MSG_). The first of all is the
 * back end's hello: what it can take and give. It says it again when it is back after NET_MSG_DOWN. Instead of the
 * first hello it may say NET_MSG_FAILED, with an error (err_wire.h) behind the byte, and end.
 *
 * Offloads are offers. The VMM answers none of them today, so frames come and go whole: checksums finished, no longer
 * than the MTU. One that takes an offer will answer with a hello of its own, that has the flags it takes; flags that
 * the other side does not know are ignored.
 */
#ifndef MICA_NET_H
#define MICA_NET_H

#include "base/base.h"
#include "base/err.h"

#include <sys/types.h>

#define NET_FRAME_MIN 14    /* Ethernet header */
#define NET_FRAME_MAX 65550 /* Ethernet header + 64 KiB */

#define NET_VERSION 1
#define NET_MSG_HELLO 0  /* struct net_hello: it serves */
#define NET_MSG_DOWN 1   /* it died, and is being started again: frames are lost meanwhile */
#define NET_MSG_FAILED 2 /* it cannot serve */

#define NET_OFFLOAD_CSUM (1u << 0) /* it finishes checksums, and takes frames whose are not verified */
#define NET_OFFLOAD_TSO4 (1u << 1) /* it takes TCP segments longer than the MTU over IPv4 */
#define NET_OFFLOAD_TSO6 (1u << 2) /* ... over IPv6 */
#define NET_OFFLOAD_USO (1u << 3)  /* ... UDP */

#define NET_MTU_MIN 1280 /* of IPv6 */
#define NET_MTU_MAX 65520

/* Little-endian; NET_HELLO_BYTES of it, and a later version may have more, up to NET_FRAME_MIN - 1. */
struct net_hello {
	u8 msg, version;
	u16 reserved; /* 0 */
	u32 mtu;
	u32 offloads;
};
#define NET_HELLO_BYTES 12
_Static_assert(sizeof(struct net_hello) == NET_HELLO_BYTES && NET_HELLO_BYTES < NET_FRAME_MIN, "no frame");

/* What mica-net and mica-slirp are started with, and how they end. */
#define NET_FRAMES_FD 3
#define NET_READY_FD 4     /* mica-slirp: an eventfd to add 1 to when it serves */
#define NET_EXIT_REFUSED 3 /* what it was asked for cannot be; the text went to the VMM */

/* Connections through one user network, TCP and UDP together. Each may hold 400 KiB, data that waits both ways. */
#define NET_USER_CONNECTIONS 5000

/* The user network ends connections itself, so its frames may be as long as IPv4 lets them: one frame
 * instead of forty. Guests that do not ask for the MTU use 1500 and are served as well. */
#define NET_USER_MTU 65520

/* ---- back ends, as a VM is given them ---- */

struct net_backend {
	int fd;    /* connected, its hello received */
	pid_t pid; /* of a process that was started for it; 0: none */
	unsigned mtu;
	u32 offloads; /* those it offers that we know */
};

/* Wait for the hello of whoever is at the other end of fd; fd is owned on success. */
int net_backend_open(struct net_backend *b, int fd, int timeout_ms, struct err *e);
void net_backend_close(struct net_backend *b);

/* For a back end: say hello, or why not. */
void net_say_hello(int fd, unsigned mtu, u32 offloads);
void net_say_failed(int fd, const struct err *why);

struct net_hostfwd {
	bool udp;
	char host_addr[64]; /* "" = 127.0.0.1 */
	u16 host_port, guest_port;
};

/*
 * User-mode network (libslirp): NAT, DHCP (10.0.2.15 for the guest, 10.0.2.2 the host, 10.0.2.3 DNS)
 * in a sandboxed process of its own, which ends when the socket closes, and a keeper (b->pid) that starts it
 * again when it dies before.
 * Returns when the process is ready and all forwarded ports are bound; a port that is taken is an
 * error here. Both processes also end with the thread that called this.
 */
int net_user_start(struct net_backend *b, const struct net_hostfwd *fwd, unsigned nfwd, struct err *e);
/* "tcp:ADDR:PORT-:PORT", "udp::PORT-:PORT"; ADDR is a host IPv4 address. */
int net_hostfwd_parse(struct net_hostfwd *out, const char *text, struct err *e);

#endif
