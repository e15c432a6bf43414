/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_vsock_int.h - between virtio_vsock.c (queues and packets) and virtio_vsock_conn.c (connections and what they
 * are on the host).
 *
 * Everything is done on the loop's thread with the device's lock held, but for a reset, which may come on any: it only
 * marks connections CONN_GONE, and the loop ends them.
 */
#ifndef MICA_VIRTIO_VSOCK_INT_H
#define MICA_VIRTIO_VSOCK_INT_H

#include "device/virtio/virtio.h"

#define VSOCK_CONNS 256
#define VSOCK_BUF_BYTES 65536u /* what a guest may send before the host has taken it; a power of two */
#define VSOCK_REFUSED 64       /* packets of no connection, to be answered */
#define VSOCK_PIECE 16384u     /* bytes towards the guest in a packet */
#define VSOCK_HELLO_BYTES 32   /* "CONNECT 4294967295\n" and some blanks */

enum vsock_op {
	VSOCK_OP_REQUEST = 1,
	VSOCK_OP_RESPONSE,
	VSOCK_OP_RST,
	VSOCK_OP_SHUTDOWN,
	VSOCK_OP_RW,
	VSOCK_OP_CREDIT_UPDATE,
	VSOCK_OP_CREDIT_REQUEST,
};
#define VSOCK_SHUT_RCV 1u
#define VSOCK_SHUT_SEND 2u
#define VSOCK_SHUT_BOTH 3u

struct vsock_hdr { /* VIRTIO 1.2, 5.10.6 */
	u64 src_cid, dst_cid;
	u32 src_port, dst_port, len;
	u16 type, op;
	u32 flags, buf_alloc, fwd_cnt;
} __attribute__((packed));
_Static_assert(sizeof(struct vsock_hdr) == 44, "virtio_vsock_hdr");

enum conn_state {
	CONN_FREE,
	CONN_HELLO,     /* a client of the host is to say CONNECT; no packet knows it */
	CONN_REQUESTED, /* the guest is asked to take it */
	CONN_OPENING,   /* mica-vsock is asked to connect; no descriptor */
	CONN_OPEN,      /* there is a ring, and both sides may send */
	CONN_CLOSING,   /* the guest is to be told its end (VSOCK_OP_RST); no descriptor */
	CONN_GONE,      /* for the loop to end */
};

struct vsock_conn {
	struct vsock *v;
	enum conn_state state;
	u32 guest_port, host_port;
	u32 ticket; /* OPENING */
	int fd;
	struct loop_fd lf;
	bool watched;
	bool readable; /* there is something to be read, or its end; not watched for meanwhile */
	bool hup;      /* the host will read nothing more either */
	bool ended;    /* all that the host sends was read */
	bool wr_shut;  /* the host was told that the guest sends no more */
	u8 guest_shut; /* VSOCK_SHUT_* that the guest said */
	u32 pending;   /* bits by enum vsock_op: to be sent to the guest */
	char hello[VSOCK_HELLO_BYTES];
	unsigned hello_bytes;
	/* towards the host */
	u8 *ring;
	u32 put, got; /* free-running; got is the fwd_cnt that the guest is told */
	u32 told;     /* ... and was last told */
	/* towards the guest */
	u32 sent, peer_buf_alloc, peer_fwd_cnt;
};

struct vsock {
	struct virtio_dev *d;
	struct loop *loop;
	u64 cid;
	int link_fd, listen_fd; /* owned; -1: none */
	struct loop_fd link_lf, listen_lf;
	bool link_watched, listening; /* they are watched */
	struct loop_timer tidy;
	struct vsock_conn conn[VSOCK_CONNS];
	unsigned from; /* whose turn it is to send to the guest */
	u32 next_port, next_ticket;
	struct {
		u32 guest_port, host_port;
		u16 type;
	} refused[VSOCK_REFUSED];
	u32 refused_put, refused_got;
	bool tx_stalled; /* refused[] is full */
	bool reset_due;  /* the driver is to be told that its connections are gone */
	struct virtio_chain ch;
	u8 buf[VSOCK_PIECE];
};

/* ---- virtio_vsock_conn.c ---- */
void vsock_conns_init(struct vsock *v);
void vsock_conns_fini(struct vsock *v);
/* For the loop to end all of them. Any thread. */
void vsock_conns_forget(struct vsock *v);
struct vsock_conn *vsock_find(struct vsock *v, u32 guest_port, u32 host_port);
/* A packet of the guest's for it; `data`: of VSOCK_OP_RW, still in v->ch. */
void vsock_packet(struct vsock_conn *c, const struct vsock_hdr *h);
/* The guest asks for a port of the host. False: there is no room for another one. */
bool vsock_open(struct vsock *v, const struct vsock_hdr *h);
/* Would vsock_next() have one? */
bool vsock_waits(const struct vsock_conn *c);
/* What is to be sent to the guest next: header, and `len` bytes of v->buf, at most `room`. False: nothing. */
bool vsock_next(struct vsock_conn *c, struct vsock_hdr *h, u32 room);

/* ---- virtio_vsock.c ---- */
/* To the guest, as far as there are buffers. */
void vsock_pump(struct vsock *v);

#endif
