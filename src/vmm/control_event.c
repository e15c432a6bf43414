/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control_event.c - what the clients of the control socket are told without asking.
 *
 * Failed disk requests are counted by the block layer on any thread, and a guest may cause as many as it likes: so they
 * are looked at once a second, while somebody wants to hear of them, and told in one line a disk.
 */
#include "base/clock.h"
#include "vmm/control_int.h"
#include "vmm/err_json.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define WATCH_NS NSEC_PER_SEC

static const char *const names[] = {
	[VM_EVENT_STATE] = "state",       [VM_EVENT_RESET] = "reset", [VM_EVENT_DISK] = "disk",
	[VM_EVENT_NET] = "net",           [VM_EVENT_PANIC] = "panic", [VM_EVENT_PROGRESS] = "progress",
	[VM_EVENT_WATCHDOG] = "watchdog",
};
_Static_assert(ARRAY_LEN(names) == VM_EVENT_KINDS, "each has a name");

const char *control_event_name(unsigned kind)
{
	return kind < ARRAY_LEN(names) ? names[kind] : NULL;
}

static json_t *event(const char *name, json_t *data)
{
	return json_pack("{s:s s:I s:o}", "event", name, "time_ms", (json_int_t)(clock_real_ns() / 1000000), "data",
			 data);
}

/* cl NULL: for the starter, before it is a client. */
static json_t *data_of(const struct vm_event *ev, const struct control_client *cl)
{
	json_t *o = json_object();

	switch (ev->kind) {
	case VM_EVENT_STATE:
		json_object_set_new(o, "state", json_string(ev->state));
		if (ev->why) {
			json_object_set_new(o, "why", json_string(ev->why));
			json_object_set_new(o, "status", json_integer(ev->status));
		}
		if (ev->err)
			err_to_json(ev->err, o);
		break;
	case VM_EVENT_RESET:
		json_object_set_new(o, "why", json_string(ev->why));
		break;
	case VM_EVENT_DISK:
		json_object_set_new(o, "disk", json_integer(ev->index));
		if (ev->connection)
			json_object_set_new(o, "connection", json_string(ev->connection));
		else
			json_object_set_new(o, "errors", json_integer((json_int_t)ev->count));
		break;
	case VM_EVENT_NET:
		json_object_set_new(o, "device", json_string(ev->device));
		json_object_set_new(o, "link", json_string(ev->up ? "up" : "down"));
		break;
	case VM_EVENT_PANIC:
		json_object_set_new(o, "device", json_string(ev->device));
		json_object_set_new(o, "why", json_string(ev->why));
		break;
	case VM_EVENT_WATCHDOG:
		json_object_set_new(o, "device", json_string(ev->device));
		break;
	case VM_EVENT_PROGRESS:
		json_object_set_new(o, "command", json_string(ev->command));
		if (cl && cl->waiting && cl->id)
			json_object_set(o, "id", cl->id);
		json_object_set_new(o, "done", json_integer((json_int_t)ev->done));
		json_object_set_new(o, "total", json_integer((json_int_t)ev->total));
		break;
	case VM_EVENT_KINDS:
		break;
	}
	return o;
}

void control_on_event(void *opaque, const struct vm_event *ev)
{
	struct control *c = opaque;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *cl = &c->clients[i];
		if (cl->fd >= 0 && cl->events & 1u << ev->kind)
			control_send(cl, event(names[ev->kind], data_of(ev, cl)));
	}
}

void control_ready(struct control *c)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0 && c->clients[i].role != CONTROL_ANYBODY)
			control_send(&c->clients[i], event("ready", json_object()));
}

/* The socket is a stream, and half a line would be the end of it: only one that has been read to its end is told more.
 */
void control_tell_starter(int fd, const struct vm_event *ev)
{
	int unread = 0;

	if (ioctl(fd, SIOCOUTQ, &unread) < 0 || unread)
		return;
	json_t *o = event(names[ev->kind], data_of(ev, NULL));
	auto_free char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	auto_free char *line = xasprintf("%s\n", text ? text : "");
	ssize_t n = send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)n; /* who is gone will be seen later */
}

bool control_failed(int fd, const struct err *e, int status)
{
	json_t *data = json_pack("{s:i}", "status", status);

	err_to_json(e, data);
	json_t *o = event("failed", data);
	auto_free char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	auto_free char *line = xasprintf("%s\n", text ? text : "");
	ssize_t n = (ssize_t)strlen(line);
	return text && send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n;
}

/* ---- disks ---- */

static bool wanted(const struct control *c)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0 && c->clients[i].events & 1u << VM_EVENT_DISK)
			return true;
	return false;
}

static void look(struct control *c, bool tell)
{
	u64 n;

	for (unsigned i = 0; i < VMM_DISKS_MAX && vm_disk_errors(c->vm, i, &n); i++) {
		u64 more = n - c->disk_errors[i];
		c->disk_errors[i] = n;
		if (tell && more)
			control_on_event(c, &(struct vm_event){ .kind = VM_EVENT_DISK, .index = i, .count = more });
		const char *was = c->disk_connection[i], *now = vm_disk_connection(c->vm, i);
		c->disk_connection[i] = now;
		if (tell && was && strcmp(was, now))
			control_on_event(c, &(struct vm_event){ .kind = VM_EVENT_DISK, .index = i, .connection = now });
	}
}

void control_on_watch(void *opaque)
{
	struct control *c = opaque;

	c->watching = wanted(c);
	if (!c->watching)
		return;
	look(c, true);
	loop_timer_arm(&c->watch, clock_mono_ns() + WATCH_NS);
}

void control_watch(struct control *c)
{
	if (c->watching || !wanted(c))
		return;
	c->watching = true;
	look(c, false); /* from now on */
	loop_timer_arm(&c->watch, clock_mono_ns() + WATCH_NS);
}
