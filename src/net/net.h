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
 * Frames come and go whole, both ways: checksums finished, no longer than the MTU. There are no offers to answer: what
 * else can be known of a back end's frames are the hello's flags (NET_HELLO_). They are facts that the VMM has to act
 * on, so it refuses a back end with flags that it does not know.
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

/* The checksums in its frames are right, from Ethernet's payload up: it made them itself, or looked. The guest need not
 * look again. */
#define NET_HELLO_CHECKED (1u << 0)

#define NET_MTU_MIN 1280 /* of IPv6 */
#define NET_MTU_MAX 65520

/* Little-endian; NET_HELLO_BYTES of it, and a later version may have more, up to NET_FRAME_MIN - 1. */
struct net_hello {
	u8 msg, version;
	u16 reserved; /* 0 */
	u32 mtu;
	u32 flags;
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
	bool checked; /* NET_HELLO_CHECKED */
};

/* Wait for the hello of whoever is at the other end of fd; fd is owned on success. */
int net_backend_open(struct net_backend *b, int fd, int timeout_ms, struct err *e);
void net_backend_close(struct net_backend *b);
/* What a hello of n bytes says, into b->mtu and the facts behind it; -EPROTO, -EPROTONOSUPPORT: nothing to rely on. */
int net_hello_read(struct net_backend *b, const u8 *msg, size_t n, struct err *e);

/* For a back end: say hello, or why not. */
void net_say_hello(int fd, unsigned mtu, u32 flags);
void net_say_failed(int fd, const struct err *why);

struct net_hostfwd {
	bool udp;
	char host_addr[64]; /* "" = 127.0.0.1 */
	u16 host_port, guest_port;
};

/* What a guest that boots from the network is told and given. */
struct net_user_boot {
	const char *tftp;     /* a folder, as it is now: its files are given by TFTP and HTTP at 10.0.2.2, for reading;
				 NULL: none */
	const char *bootfile; /* what DHCP says is to be booted: a file of that folder, or a URL; NULL: none */
};
#define NET_BOOTFILE_MAX 127 /* bytes: RFC 2131, 2 */

/*
 * User-mode network (libslirp): NAT, DHCP (10.0.2.15 for the guest, 10.0.2.2 the host, 10.0.2.3 DNS)
 * in a sandboxed process of its own, which ends when the socket closes, and a keeper (b->pid) that starts it
 * again when it dies before.
 * Returns when the process is ready and all forwarded ports are bound; a port that is taken is an
 * error here. boot may be NULL. Both processes also end with the thread that called this.
 */
int net_user_start(struct net_backend *b, const struct net_hostfwd *fwd, unsigned nfwd,
		   const struct net_user_boot *boot, struct err *e);
/* "tcp:ADDR:PORT-:PORT", "udp::PORT-:PORT"; ADDR is a host IPv4 address. */
int net_hostfwd_parse(struct net_hostfwd *out, const char *text, struct err *e);

#endif
