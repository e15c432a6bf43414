/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netdisk.h - a disk on a server of the network, as its process (mica-netdisk) and the VM's process speak of it.
 *
 * Theory: what a server sends is parsed in a process of its own that may use the network and nothing else. It and the
 * VM's process share memory: a ring of requests, and for each of NETDISK_SLOTS slots a window with the data. A slot is
 * the VM's until it is asked, and the process's from then until it is answered.
 *
 *   VM       fills ask[slot] and its window; order[asked % SLOTS] = slot; asked++; writes to `kick` if the process
 *            sleeps.
 *   process  takes order[] up to `asked`; when a request has ended, answer[answered % SLOTS] = {slot, result};
 *            answered++; writes to the VM's event fd.
 *
 * A slot is in flight at most once, so neither ring can overflow. Each side keeps its own counts and believes nothing
 * that it reads: the VM's takes an answer only for a slot that it has asked, once; else the disk is broken.
 *
 * Over the socket (base/helper.h) come a hello when the disk is there, and then struct netdisk_word whenever the
 * connection breaks or is there again.
 *
 * Requests are kept over a break of the connection. Writes, too, that were answered but that no flush has covered
 * since: the server may not have them any more when it comes back, and the guest would never learn it. The process
 * keeps a copy of these (NETDISK_KEEP_BYTES; when it is full, it flushes by itself) and writes them again, in order,
 * before anything else. The other way, to let the next flush fail, has each file system of the guest go read only after
 * each restart of a server.
 */
#ifndef MICA_NETDISK_H
#define MICA_NETDISK_H

#include "base/base.h"
#include "base/err.h"
#include "base/err_wire.h"

#include <stdatomic.h>

#define NETDISK_SLOTS 64u
#define NETDISK_WINDOW (256 * KIB)
#define NETDISK_RING_BYTES (16 * KIB)
#define NETDISK_MEMORY_BYTES (NETDISK_RING_BYTES + NETDISK_SLOTS * NETDISK_WINDOW)
#define NETDISK_ZERO_MAX (32 * MIB) /* of a ZERO or DISCARD */
#define NETDISK_KEEP_BYTES (32 * MIB)
#define NETDISK_BYTES_MAX (1ull << 60)

#define NETDISK_TIMEOUT_S 30u /* timeout=, when nobody says another */
#define NETDISK_TIMEOUT_MAX_S 3600u

enum netdisk_op { NETDISK_READ, NETDISK_WRITE, NETDISK_FLUSH, NETDISK_DISCARD, NETDISK_ZERO };

enum netdisk_flag {
	NETDISK_READONLY = 1,
	NETDISK_CAN_DISCARD = 2,
	NETDISK_CAN_ZERO = 4,
};

struct netdisk_ask {
	u32 op;    /* enum netdisk_op */
	u32 unmap; /* ZERO: may give room back */
	u64 off;   /* multiples of 512, within the disk */
	u64 bytes; /* READ, WRITE: up to NETDISK_WINDOW; ZERO, DISCARD: up to NETDISK_ZERO_MAX; FLUSH: 0 */
};

struct netdisk_answer {
	u32 slot;
	s32 res; /* 0 or -errno */
};

struct netdisk_ring {
	/* The process's, before its hello; the VM's reads them once. */
	u64 bytes;
	u32 flags; /* enum netdisk_flag */
	/* The VM's */
	_Atomic u32 asked;
	_Atomic u32 drop; /* changes: answer at once what the server has not got, with -ECANCELED */
	u32 order[NETDISK_SLOTS];
	struct netdisk_ask ask[NETDISK_SLOTS];
	/* The process's */
	_Atomic u32 answered;
	_Atomic u32 sleeping; /* it wants a kick */
	struct netdisk_answer answer[NETDISK_SLOTS];
};
_Static_assert(sizeof(struct netdisk_ring) <= NETDISK_RING_BYTES, "the windows follow it");

enum netdisk_state {
	NETDISK_CONNECTED,
	NETDISK_RECONNECTING, /* requests wait */
	NETDISK_FAILED,       /* for good: all requests fail */
};

/* A message over the socket. */
struct netdisk_word {
	u32 state;              /* enum netdisk_state */
	u8 why[ERR_WIRE_BYTES]; /* err_pack(); of CONNECTED nothing */
};

/* ---- in the VM's process ---- */

struct netdisk_params {
	const char *url;
	bool readonly;
	const char *const *options; /* "name=value", ended by NULL; the process knows which there are */
};

struct netdisk_link {
	int fd;   /* the socket */
	int kick; /* event fd */
	struct netdisk_ring *ring;
};

/* Does this name a disk of the network rather than a file? */
bool netdisk_is_url(const char *path);
/* Starts a process that connects; returns when the disk is there. wake: the event fd that it writes to. Before the
 * process gives up its rights. */
int netdisk_start(struct netdisk_link *l, const struct netdisk_params *p, int wake, struct err *e);
/* The process ends. */
void netdisk_stop(struct netdisk_link *l);

static inline u8 *netdisk_window(struct netdisk_ring *r, unsigned slot)
{
	return (u8 *)r + NETDISK_RING_BYTES + (size_t)slot * NETDISK_WINDOW;
}

#endif
