/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost_peer.h - a vhost-user back end for tests: a thread of its own answers messages, as the protocol has it or
 * worse; the test itself works on the rings.
 */
#ifndef MICA_TEST_VHOST_PEER_H
#define MICA_TEST_VHOST_PEER_H

#include "base/clock.h"
#include "device/virtio/vhost_link.h"
#include "device/virtio/vhost_ring.h"

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define PEER_RINGS 8

enum peer_fault { PEER_GOOD, PEER_SILENT, PEER_WRONG_REQUEST, PEER_LONG, PEER_NO_FLAG, PEER_SHORT, PEER_CLOSES };

struct vhost_peer {
	int fd;
	pthread_t thread;
	u64 features, protocol, queues;
	u8 config[60];
	enum peer_fault fault;
	/* what it was told */
	u64 accepted;
	u8 *region[2];
	struct vhost_mem_table table;
	struct peer_ring {
		u32 num;
		struct vhost_vring_addr addr;
		int kick, call;
		bool enabled;
		unsigned stopped; /* how often */
		u16 avail, used;
	} ring[PEER_RINGS];
	unsigned messages; /* atomic */
	unsigned starts;   /* atomic: enabled rings, since it was made */
};

static inline void peer_reply(struct vhost_peer *p, u32 request, const void *payload, u32 bytes)
{
	struct vhost_head h = { request, 1 | 4, bytes };
	u8 buf[sizeof(h) + 512] = { 0 };

	if (p->fault == PEER_WRONG_REQUEST)
		h.request++;
	if (p->fault == PEER_NO_FLAG)
		h.flags = 1;
	if (p->fault == PEER_LONG)
		h.bytes = 100000;
	if (p->fault == PEER_SHORT)
		h.bytes = bytes = 4;
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), payload, bytes);
	if (p->fault != PEER_SILENT)
		must(send(p->fd, buf, sizeof(h) + bytes, MSG_NOSIGNAL) >= 0 || errno == EPIPE);
}

static inline void peer_take(struct vhost_peer *p, const struct vhost_head *h, const u8 *payload, const int *fds)
{
	const struct vhost_vring_state *s = (const void *)payload;
	struct peer_ring *r = &p->ring[ld_le32(payload) % PEER_RINGS];
	u64 v = ld_le64(payload);

	switch (h->request) {
	case VHOST_GET_FEATURES:
		peer_reply(p, h->request, &p->features, 8);
		break;
	case VHOST_GET_PROTOCOL_FEATURES:
		peer_reply(p, h->request, &p->protocol, 8);
		break;
	case VHOST_GET_QUEUE_NUM:
		peer_reply(p, h->request, &p->queues, 8);
		break;
	case VHOST_GET_CONFIG: {
		struct vhost_config c;
		memcpy(&c, payload, offsetof(struct vhost_config, data));
		memcpy(c.data, p->config, sizeof(p->config));
		peer_reply(p, h->request, &c, h->bytes);
		break;
	}
	case VHOST_SET_FEATURES:
		p->accepted = v;
		break;
	case VHOST_SET_MEM_TABLE:
		memcpy(&p->table, payload, sizeof(p->table));
		for (unsigned i = 0; i < 2; i++) {
			if (p->region[i])
				munmap(p->region[i], p->table.region[i].bytes);
			p->region[i] =
			    mmap(NULL, p->table.region[i].bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
			must(p->region[i] != MAP_FAILED);
			/* Who could make it shorter could end the VM. */
			must(i == 0 || ftruncate(fds[i], 0) < 0);
			close(fds[i]);
		}
		if (h->flags & 8) {
			u64 ok = 0;
			peer_reply(p, h->request, &ok, 8);
		}
		break;
	case VHOST_SET_VRING_NUM:
		r->num = s->num;
		r->avail = r->used = 0;
		break;
	case VHOST_SET_VRING_ADDR:
		memcpy(&r->addr, payload, sizeof(r->addr));
		break;
	case VHOST_SET_VRING_KICK:
		r->kick = fds[0];
		break;
	case VHOST_SET_VRING_CALL:
		r->call = fds[0];
		break;
	case VHOST_SET_VRING_ENABLE:
		r->enabled = s->num;
		__atomic_fetch_add(&p->starts, s->num, __ATOMIC_SEQ_CST);
		break;
	case VHOST_GET_VRING_BASE: {
		struct vhost_vring_state base = { s->index, r->avail };
		r->stopped++;
		peer_reply(p, h->request, &base, 8);
		break;
	}
	default:
		break;
	}
	__atomic_fetch_add(&p->messages, 1, __ATOMIC_SEQ_CST);
}

static inline void *peer_main(void *arg)
{
	struct vhost_peer *p = arg;
	struct vhost_head h;
	u8 payload[512];

	for (;;) {
		struct iovec iov = { &h, sizeof(h) };
		union {
			struct cmsghdr h;
			char buf[CMSG_SPACE(8 * sizeof(int))];
		} c;
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
		int fds[8] = { 0 };
		if (recvmsg(p->fd, &m, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(h))
			return NULL;
		if (m.msg_controllen)
			memcpy(fds, CMSG_DATA(&c.h), c.h.cmsg_len - CMSG_LEN(0));
		must(h.bytes <= sizeof(payload));
		if (h.bytes && recv(p->fd, payload, h.bytes, MSG_WAITALL) != (ssize_t)h.bytes)
			return NULL;
		if (p->fault == PEER_CLOSES) {
			shutdown(p->fd, SHUT_RDWR);
			return NULL;
		}
		peer_take(p, &h, payload, fds);
	}
}

/* Returns the other end. */
static inline int peer_up(struct vhost_peer *p)
{
	int sv[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	p->fd = sv[0];
	must(pthread_create(&p->thread, NULL, peer_main, p) == 0);
	return sv[1];
}

static inline void peer_down(struct vhost_peer *p)
{
	shutdown(p->fd, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->fd);
	for (unsigned i = 0; i < 2; i++)
		if (p->region[i])
			munmap(p->region[i], p->table.region[i].bytes);
	for (unsigned i = 0; i < PEER_RINGS; i++) {
		if (p->ring[i].kick)
			close(p->ring[i].kick);
		if (p->ring[i].call)
			close(p->ring[i].call);
	}
}

/* What `n` starts of rings have told it is there. */
static inline bool peer_started(struct vhost_peer *p, unsigned n)
{
	u64 until = clock_mono_ns() + 10000000000ull;

	while (__atomic_load_n(&p->starts, __ATOMIC_SEQ_CST) < n && clock_mono_ns() < until)
		usleep(500);
	return __atomic_load_n(&p->starts, __ATOMIC_SEQ_CST) >= n;
}

/* By an address of the guest (a buffer's), or by a "user address" (a ring's). */
static inline u8 *peer_at(struct vhost_peer *p, u64 addr, bool user)
{
	for (unsigned i = 0; i < 2; i++) {
		u64 base = user ? p->table.region[i].user : p->table.region[i].gpa;
		if (addr - base < p->table.region[i].bytes)
			return p->region[i] + (addr - base);
	}
	must(!"an address of no region");
	return NULL;
}

/* The next available head, -1: there is none, and it wants to be woken for the next. */
static inline int peer_next(struct vhost_peer *p, unsigned i)
{
	struct peer_ring *r = &p->ring[i];
	u8 *avail = peer_at(p, r->addr.avail, true);

	st_le16(peer_at(p, r->addr.used, true) + 4 + 8 * r->num, r->avail);
	if (__atomic_load_n((u16 *)(void *)(avail + 2), __ATOMIC_ACQUIRE) == r->avail)
		return -1;
	return ld_le16(avail + 4 + 2 * (r->avail++ % r->num));
}

/* Descriptor k of the chain at head: address of its bytes here, length, flags. NULL: there is none. */
static inline u8 *peer_seg(struct vhost_peer *p, unsigned i, unsigned head, unsigned k, u32 *bytes, unsigned *flags)
{
	u8 *table = peer_at(p, p->ring[i].addr.desc, true), *d = table + 16 * head;

	if (ld_le16(d + 12) & 4) {
		table = peer_at(p, ld_le64(d), false);
		d = table;
	}
	for (; k; k--) {
		if (!(ld_le16(d + 12) & 1))
			return NULL;
		d = table + 16 * ld_le16(d + 14);
	}
	*bytes = ld_le32(d + 8);
	*flags = ld_le16(d + 12);
	return peer_at(p, ld_le64(d), false);
}

static inline void peer_set_used(struct vhost_peer *p, unsigned i, u16 idx)
{
	__atomic_store_n((u16 *)(void *)(peer_at(p, p->ring[i].addr.used, true) + 2), idx, __ATOMIC_RELEASE);
}

static inline void peer_call(struct vhost_peer *p, unsigned i)
{
	u64 one = 1;

	must(write(p->ring[i].call, &one, sizeof(one)) == sizeof(one));
}

/* Done with a chain; the driver is called. */
static inline void peer_use(struct vhost_peer *p, unsigned i, u32 id, u32 bytes)
{
	struct peer_ring *r = &p->ring[i];
	u8 *el = peer_at(p, r->addr.used, true) + 4 + 8 * (r->used % r->num);

	st_le32(el, id);
	st_le32(el + 4, bytes);
	peer_set_used(p, i, ++r->used);
	peer_call(p, i);
}

/* How often it was woken since it looked last. */
static inline u64 peer_kicks(struct vhost_peer *p, unsigned i)
{
	struct pollfd f = { .fd = p->ring[i].kick, .events = POLLIN };
	u64 n = 0;

	if (poll(&f, 1, 0) == 1 && read(f.fd, &n, sizeof(n)) < 0)
		return 0;
	return n;
}

#endif
