/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client_use.c - see client.h. Ways to use a client: on a loop, waiting; and hello. */
#include "base/clock.h"
#include "client/client_int.h"

#include <poll.h>

/* ---- on a loop ---- */

static void on_fd(void *opaque, u32 events)
{
	client_step(opaque);
}

static void on_timer(void *opaque)
{
	client_step(opaque);
}

void client_watch(struct client *c)
{
	if (!c->loop || c->freed)
		return;
	u32 events = EPOLLIN | (client_wants(c) & POLLOUT ? EPOLLOUT : 0);
	if (c->fd >= 0 && events != c->watched) {
		loop_mod(c->loop, &c->lf, events);
		c->watched = events;
	}
	loop_timer_arm(&c->timer, client_deadline(c));
}

int client_attach(struct client *c, struct loop *loop, struct err *e)
{
	int r = loop_add(loop, &c->lf, c->fd, EPOLLIN, on_fd, c);

	if (r < 0)
		return err_sys(e, -r, "cannot watch the connection to the VM");
	c->loop = loop;
	c->watched = EPOLLIN;
	loop_timer_init(loop, &c->timer, on_timer, c);
	client_watch(c);
	return 0;
}

/* ---- waiting ---- */

static void wait_and_step(struct client *c)
{
	struct pollfd p = { .fd = client_fd(c), .events = client_wants(c) };
	u64 deadline = client_deadline(c), now = clock_mono_ns();
	u64 ms = deadline == UINT64_MAX ? 0 : deadline <= now ? 1 : (deadline - now) / 1000000 + 1;

	poll(&p, 1, deadline == UINT64_MAX ? -1 : (int)MIN(ms, 1000000000ull));
	client_step(c);
}

struct call {
	bool done;
	json_t *result;
	struct err *e;
	int r;
};

static void on_reply(void *opaque, const json_t *result, const struct err *e)
{
	struct call *call = opaque;

	call->done = true;
	if (result)
		call->result = json_incref((json_t *)(uintptr_t)result);
	else if (call->e)
		*call->e = *e;
	call->r = result ? 0 : -e->code;
}

int client_call(struct client *c, json_t **result, const char *command, json_t *more, int pass_fd, u64 timeout_ms,
		struct err *e)
{
	struct call call = { .e = e };
	int r = client_request(c, command, more, pass_fd, timeout_ms, on_reply, &call, e);

	if (r < 0)
		return r;
	while (!call.done)
		wait_and_step(c);
	*result = call.result;
	return call.r;
}

void client_wait_end(struct client *c)
{
	while (client_fd(c) >= 0)
		wait_and_step(c);
}

/* ---- hello ---- */

int client_hello(struct client *c, struct client_peer *peer, u64 timeout_ms, struct err *e)
{
	struct err why;

	*peer = (struct client_peer){ .version = 0 };
	int r =
	    client_call(c, &peer->result, "hello",
			json_pack("{s:[i] s:s}", "versions", 1, "client", "mica " MICA_VERSION), -1, timeout_ms, &why);
	if (r == -ENOSYS || (r < 0 && client_fd(c) >= 0 && strstr(why.msg, "no such command")))
		return 0; /* one of before: it is asked without */
	if (r < 0) {
		if (e)
			*e = why;
		return r;
	}
	const char *mica = json_string_value(json_object_get(peer->result, "mica"));
	peer->version = (int)json_integer_value(json_object_get(peer->result, "version"));
	snprintf(peer->mica, sizeof(peer->mica), "%s", mica ? mica : "");
	if (peer->version != 1) {
		client_peer_fini(peer);
		return err_set(e, EPROTO, "the VM gave an answer that makes no sense");
	}
	return 0;
}

void client_peer_fini(struct client_peer *peer)
{
	json_decref(steal(&peer->result));
}

bool client_can(const struct client_peer *peer, const char *command)
{
	const json_t *commands = json_object_get(peer->result, "commands");

	for (size_t i = 0; i < json_array_size(commands); i++) {
		const char *name = json_string_value(json_array_get(commands, i));
		if (name && !strcmp(name, command))
			return true;
	}
	return false;
}
