/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * client.h - the other end of a VM's control socket (docs/control-socket.md): requests with their answers, events.
 *
 * Theory. A client is a socket, a list of requests that wait for their answers, and bytes in both directions. It does
 * not wait: what is to be sent is queued, what comes is handed to callbacks. Who has an event loop attaches it there;
 * who has another one asks client_wants() and calls client_step(); a command that has nothing else to do uses
 * client_call().
 *
 * The VM is not trusted: its lines are bounded, what makes no sense ends the connection, answers to nothing are
 * ignored. The end of a connection, whatever the reason, answers all that waits, then calls on_end; the client stays
 * until client_free(), which any callback may call.
 *
 * Threads: one, which is the loop's when there is a loop.
 */
#ifndef MICA_CLIENT_H
#define MICA_CLIENT_H

#include "base/err.h"
#include "base/loop.h"

#include <jansson.h>

#define CLIENT_LINE_MAX (1u << 20) /* of what a VM may send in one line */
#define CLIENT_REQUESTS_MAX 64     /* that wait for their answers */
#define CLIENT_CONNECT_MS 5000     /* how long a VM may be too busy to be connected to */

struct client;

/* result (borrowed) or *e. */
typedef void client_reply_fn(void *opaque, const json_t *result, const struct err *e);

struct client_ops {
	void (*event)(void *opaque, const char *name, const json_t *data);
	void (*end)(void *opaque, const struct err *why);
	void *opaque;
};

/* A VM that listens at path. */
int client_connect(struct client **out, const char *path, struct err *e);
/* A connected socket; owned. */
struct client *client_new(int fd);
/* What waits is answered with ECANCELED; on_end is not called. */
void client_free(struct client *c);
/* Both callbacks may be NULL. */
void client_set_ops(struct client *c, const struct client_ops *ops);
int client_attach(struct client *c, struct loop *loop, struct err *e);

/*
 * Send {"command": command, ...more}, with a descriptor when pass_fd >= 0 (it stays the caller's). more is taken over,
 * and may be NULL. fn is called once, from client_step() or client_free(), never from in here; NULL: nobody waits.
 * timeout_ms 0: for ever. After a failure fn is not called.
 */
int client_request(struct client *c, const char *command, json_t *more, int pass_fd, u64 timeout_ms,
		   client_reply_fn *fn, void *opaque, struct err *e);

/* ---- without a loop ---- */
int client_fd(const struct client *c); /* -1: the connection has ended */
short client_wants(const struct client *c);
/* Until when client_step() must be called, whatever happens (CLOCK_MONOTONIC); UINT64_MAX: never. */
u64 client_deadline(const struct client *c);
void client_step(struct client *c);
/* A request, and wait for its answer: *result is a new reference. Other callbacks are called meanwhile. */
int client_call(struct client *c, json_t **result, const char *command, json_t *more, int pass_fd, u64 timeout_ms,
		struct err *e);
/* Wait until the VM has ended the connection. */
void client_wait_end(struct client *c);

/* ---- hello ---- */

/* What the other end is. */
struct client_peer {
	int version;    /* of the protocol; 0: one that knows no hello */
	char mica[32];  /* its version */
	json_t *result; /* all it said; a reference of the caller's */
};
int client_hello(struct client *c, struct client_peer *peer, u64 timeout_ms, struct err *e);
void client_peer_fini(struct client_peer *peer);
/* Does it know that command? */
bool client_can(const struct client_peer *peer, const char *command);

#endif
