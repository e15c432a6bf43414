/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost_link.h - the socket to a vhost-user back end: messages, and the greeting that says what it can (QEMU,
 * docs/interop/vhost-user.rst; numbers below are that document's).
 *
 * Theory. Messages go out without waiting: the other side handles them in order. What answers is expected in order,
 * too: `expect` has the requests whose replies are due. Anything else that comes, or comes in another form, ends the
 * link. A message that the socket does not take whole ends it as well: there is never so much under way that a back
 * end which reads could not take it.
 *
 * GREETING   begin() was called; replies decide what is asked next
 * UP         features, queues and config are known
 * DOWN       there is no socket, or it is of no use: the owner closes it
 *
 * The caller has a lock for it, and watches the descriptor.
 */
#ifndef MICA_VHOST_LINK_H
#define MICA_VHOST_LINK_H

#include "base/base.h"
#include "base/err.h"

#define VHOST_GET_FEATURES 1
#define VHOST_SET_FEATURES 2
#define VHOST_SET_OWNER 3
#define VHOST_SET_MEM_TABLE 5
#define VHOST_SET_VRING_NUM 8
#define VHOST_SET_VRING_ADDR 9
#define VHOST_SET_VRING_BASE 10
#define VHOST_GET_VRING_BASE 11
#define VHOST_SET_VRING_KICK 12
#define VHOST_SET_VRING_CALL 13
#define VHOST_GET_PROTOCOL_FEATURES 15
#define VHOST_SET_PROTOCOL_FEATURES 16
#define VHOST_GET_QUEUE_NUM 17
#define VHOST_SET_VRING_ENABLE 18
#define VHOST_GET_CONFIG 24

#define VHOST_F_PROTOCOL_FEATURES 30
#define VHOST_PROTOCOL_F_MQ 0
#define VHOST_PROTOCOL_F_REPLY_ACK 3
#define VHOST_PROTOCOL_F_CONFIG 9

#define VHOST_CONFIG_MAX 256
#define VHOST_FDS_MAX 8
#define VHOST_EXPECT_MAX 128

/* A message's head; its payload follows. All in the host's byte order. */
struct vhost_head {
	u32 request, flags, bytes;
};

struct vhost_vring_state {
	u32 index, num;
};

struct vhost_vring_addr {
	u32 index, flags;
	u64 desc, used, avail, log;
};

struct vhost_mem_table {
	u32 n, padding;
	struct {
		u64 gpa, bytes, user, offset;
	} region[2];
};

struct vhost_config {
	u32 off, bytes, flags;
	u8 data[VHOST_CONFIG_MAX];
};

enum vhost_link_state { VHOST_DOWN, VHOST_GREETING, VHOST_UP };

struct vhost_link {
	enum vhost_link_state state;
	int fd; /* owned; -1 */
	unsigned config_bytes;
	/* since UP */
	u64 features, protocol;
	unsigned queues; /* rings that it serves */
	u8 config[VHOST_CONFIG_MAX];
	/* replies that are due */
	unsigned first, n;
	u8 expect[VHOST_EXPECT_MAX];
	/* what has come of one */
	size_t got;
	union {
		struct vhost_head head;
		u8 bytes[sizeof(struct vhost_head) + sizeof(struct vhost_config)];
	} in;
	struct err why; /* what ended it */
};

/* fd: owned, a connected stream socket. config_bytes: of the device's configuration space; 0: it is not asked for. */
void vhost_link_begin(struct vhost_link *l, int fd, unsigned config_bytes);
void vhost_link_close(struct vhost_link *l);
/* Take what has come. A failure is the link's end, as with the others below: l->why tells. */
int vhost_link_read(struct vhost_link *l);
/* The same until it is UP and nothing is due. */
int vhost_link_wait(struct vhost_link *l, u64 until_ns);
/* fds: borrowed. reply: one is due. */
int vhost_link_send(struct vhost_link *l, u32 request, const void *payload, u32 bytes, const int *fds, unsigned nfds,
		    bool reply);
int vhost_link_send_u64(struct vhost_link *l, u32 request, u64 v);
int vhost_link_send_vring(struct vhost_link *l, u32 request, u32 index, u32 num, bool reply);
int vhost_link_send_fd(struct vhost_link *l, u32 request, u32 index, int fd);

#endif
