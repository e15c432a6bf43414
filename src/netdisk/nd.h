/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nd.h - inside of mica-netdisk: requests, the connection, and what speaks a protocol.
 *
 * One thread. nd_core.c has the requests and the states of the connection; a protocol (struct nd_proto) carries single
 * requests over one connection and says when it is lost. States:
 *
 *   ND_DOWN        no connection. At retry_ns the next one is begun. Requests wait; they fail with on-error=report
 *                  once it is `timeout` since lost_ns.
 *   ND_CONNECTING  proto->connect() was called; until nd_up(), or connect_until_ns.
 *   ND_REPLAY      connected; what the server may have lost is written again, one piece after another (nd_journal.h).
 *   ND_UP          requests go out, at most ND_FLIGHT at a time.
 *   ND_FAILED      for good: every request fails.
 */
#ifndef MICA_ND_H
#define MICA_ND_H

#include "netdisk/nd_journal.h"
#include "netdisk/netdisk.h"
#include "netdisk/netdisk_url.h"

#include <poll.h>

#define ND_POLL_MAX 16u
#define ND_CACHE_BYTES (8 * GIB)                  /* cache-size=, when nobody says another */
#define ND_INITIATOR "iqn.2026-11.localhost:mica" /* initiator=, when nobody says another */
#define ND_CONNECT_S 15u                          /* for a connection to be whole */
#define ND_RETRY_MIN_NS 250000000ull
#define ND_RETRY_MAX_NS 15000000000ull

struct nd;

/* A request, or a piece of the journal that is written again. */
struct nd_io {
	u8 op; /* enum netdisk_op */
	bool unmap;
	enum { ND_FREE, ND_READY, ND_SENT } state;
	u64 off;
	u32 bytes;
	u8 *data;
	u64 since_ns; /* ND_SENT: since when */
	u64 mark;     /* a flush: what it covers (nd_journal.h) */
	int entry;    /* of the journal; -1: none */
	struct nd_io *next;
	void *own; /* the protocol's */
};

struct nd_proto {
	const char *name;
	/* Optional: options, files, whatever is to be opened. Before the walls. */
	int (*open)(struct nd *d, struct err *e);
	/* Begin a connection; nd_up() follows from service(), or an error. */
	int (*connect)(struct nd *d, struct err *e);
	/* What to wait for; returns how many. *timeout_ms may be made less. */
	unsigned (*poll)(struct nd *d, struct pollfd p[ND_POLL_MAX], int *timeout_ms);
	/* Something happened, or time passed. Negative: the connection is lost (-ENOLINK), or it makes no sense to go
	 * on (-ESTALE). */
	int (*service)(struct nd *d, const struct pollfd *p, unsigned n, struct err *e);
	/* Send it. nd_done() follows, from service(). -EAGAIN: not now; other: its result. */
	int (*start)(struct nd *d, struct nd_io *io);
	/* The end of the connection, if there is one: no nd_done() comes any more. */
	void (*disconnect)(struct nd *d);
};

enum nd_state { ND_DOWN, ND_CONNECTING, ND_REPLAY, ND_UP, ND_FAILED };

struct nd {
	struct netdisk_url url;
	const char *text; /* the address as it was given */
	bool readonly;
	/* options */
	bool report;
	u64 timeout_ns;
	const char *user, *password_file, *cache, *initiator;
	u64 cache_bytes;

	const struct nd_proto *proto;
	void *own; /* the protocol's */
	int wake, kick;
	struct netdisk_ring *ring;

	enum nd_state state;
	bool told;        /* the hello is out: the disk's size is fixed */
	bool said_lost;   /* the VM knows that there is no connection */
	bool can_flush;   /* the server may keep writes to itself until it is told */
	bool flush_fails; /* something that was acknowledged could not be written again */
	u64 bytes;
	u32 flags;
	u64 lost_ns, retry_ns, connect_until_ns, up_ns, progress_ns, pause_ns;
	unsigned sent;
	struct nd_io io[NETDISK_SLOTS];
	struct nd_io *ready, **ready_tail;
	u32 asked, answered, drop;
	struct nd_io again, flush; /* the journal's */
	int replaying;             /* ND_REPLAY: the entry that is being written */
	struct nd_journal journal;
	struct err why; /* of the first failure since the connection was lost */
};

/* ---- for protocols ---- */
void nd_up(struct nd *d, u64 bytes, u32 flags, bool can_flush);
void nd_done(struct nd *d, struct nd_io *io, int res);

/* NULL: this build has none for that kind. */
const struct nd_proto *nd_proto_of(enum netdisk_kind kind);
extern const struct nd_proto nd_proto_nbd, nd_proto_http, nd_proto_iscsi;

/* The first line of password-file=, "" without; it goes with user=. Before the walls. */
int nd_read_password(const struct nd *d, char *out, size_t room, struct err *e);

/* ---- nd_core.c ---- */
void nd_init(struct nd *d);
/* Until the disk is there (told) or will not be (negative, e is set). */
int nd_first(struct nd *d, struct err *e);
void nd_run(struct nd *d); /* until the VM's process ends */

#endif
