/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - see control.h. */
#include "vmm/control.h"
#include "base/log.h"
#include "vmm/i18n.h"
#include "vmm/status.h"
#include "vmm/vm.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

struct client {
	struct control *c;
	struct loop_fd lf;
	int fd; /* -1: free slot */
	bool parent;
	size_t len;
	char line[CONTROL_LINE_MAX];
};

struct control {
	struct loop *loop;
	struct vm *vm;
	struct loop_fd lf;
	int listen_fd;
	struct client clients[CONTROL_CLIENTS_MAX];
};

/* ---- commands: *result is a new reference, or NULL with *e set ---- */

static json_t *cmd_status(struct vm *vm, const json_t *req, struct err *e)
{
	return vm_status_json(vm);
}

static json_t *cmd_stats(struct vm *vm, const json_t *req, struct err *e)
{
	return vm_stats_json(vm);
}

static json_t *cmd_stop(struct vm *vm, const json_t *req, struct err *e)
{
	vm_power_button(vm);
	return json_object();
}

static json_t *cmd_reset(struct vm *vm, const json_t *req, struct err *e)
{
	vm_ask(vm, VM_RESET, 0);
	return json_object();
}

static json_t *cmd_quit(struct vm *vm, const json_t *req, struct err *e)
{
	vm_ask(vm, VM_QUIT, STATUS_QUIT);
	return json_object();
}

static json_t *cmd_balloon(struct vm *vm, const json_t *req, struct err *e)
{
	const json_t *bytes = json_object_get(req, "bytes");

	if (!json_is_integer(bytes) || json_integer_value(bytes) < 0) {
		err_set(e, EINVAL, "balloon: bytes: not a whole number");
		return NULL;
	}
	if (!vm_balloon(vm, (u64)json_integer_value(bytes))) {
		err_set(e, ERANGE, "balloon: bytes: more than the guest has");
		return NULL;
	}
	return json_object();
}

static const struct {
	const char *name;
	json_t *(*fn)(struct vm *vm, const json_t *req, struct err *e);
} commands[] = {
	{ "status", cmd_status }, { "stats", cmd_stats }, { "stop", cmd_stop },
	{ "reset", cmd_reset },   { "quit", cmd_quit },   { "balloon", cmd_balloon },
};

static json_t *run_command(struct vm *vm, const json_t *req, struct err *e)
{
	const char *name = json_string_value(json_object_get(req, "command"));

	if (!name) {
		err_set(e, EINVAL, "no command: send {\"command\": NAME}");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].fn(vm, req, e);
	err_set(e, ENOSYS, "%.64s: no such command", name);
	return NULL;
}

/* ---- clients ---- */

static void drop(struct client *cl)
{
	loop_del(cl->c->loop, &cl->lf);
	close(cl->fd);
	cl->fd = -1;
	if (cl->parent)
		vm_ask(cl->c->vm, VM_QUIT, STATUS_SIGNAL + SIGHUP);
}

static bool answer(struct client *cl, const char *line, size_t len)
{
	struct err e;
	json_error_t je;
	json_t *req = json_loadb(line, len, JSON_REJECT_DUPLICATES, &je), *res = NULL, *out = json_object();

	if (!json_is_object(req))
		err_set(&e, EINVAL, "not a JSON object: %s", req ? "another value" : je.text);
	else
		res = run_command(cl->c->vm, req, &e);
	if (json_object_get(req, "id"))
		json_object_set(out, "id", json_object_get(req, "id"));
	json_object_set_new(out, "ok", json_boolean(res != NULL));
	if (res)
		json_object_set_new(out, "result", res);
	else
		json_object_set_new(out, "error", json_string(e.msg));
	auto_free char *text = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	json_decref(req);
	struct iovec iov[2] = { { text, text ? strlen(text) : 0 }, { (char[]){ "\n" }, 1 } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	/* Answers are small: a socket without room for one has a client that does not read. */
	return text && sendmsg(cl->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(iov[0].iov_len + 1);
}

static void on_client(void *opaque, u32 events)
{
	struct client *cl = opaque;

	if (cl->fd < 0) /* dropped in this very round of the loop */
		return;
	ssize_t n = recv(cl->fd, cl->line + cl->len, sizeof(cl->line) - cl->len, MSG_DONTWAIT);
	char *nl, *start = cl->line;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(cl);
		return;
	}
	cl->len += (size_t)n;
	while ((nl = memchr(start, '\n', cl->len))) {
		if (nl != start && !answer(cl, start, (size_t)(nl - start))) {
			/* The parent's commands matter more than what it hears. */
			if (!cl->parent) {
				drop(cl);
				return;
			}
		}
		cl->len -= (size_t)(nl + 1 - start);
		start = nl + 1;
	}
	memmove(cl->line, start, cl->len);
	if (cl->len == sizeof(cl->line)) {
		log_warn("control: a line of more than %d bytes; the client is dropped", CONTROL_LINE_MAX);
		drop(cl);
	}
}

int control_client(struct control *c, int fd, bool parent, struct err *e)
{
	struct client *cl = c->clients;

	while (cl < c->clients + CONTROL_CLIENTS_MAX && cl->fd >= 0)
		cl++;
	if (cl == c->clients + CONTROL_CLIENTS_MAX) {
		close(fd);
		return err_set(e, EBUSY, "control: %d clients are connected already", CONTROL_CLIENTS_MAX);
	}
	cl->c = c;
	cl->fd = fd;
	cl->parent = parent;
	cl->len = 0;
	int r = loop_add(c->loop, &cl->lf, fd, EPOLLIN, on_client, cl);
	if (r < 0) {
		close(fd);
		cl->fd = -1;
		return err_sys(e, -r, "control: a client's descriptor %d", fd);
	}
	return 0;
}

static void on_listen(void *opaque, u32 events)
{
	struct control *c = opaque;
	struct err e;
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && control_client(c, fd, false, &e) < 0)
		log_warn("%s", e.msg);
}

int control_new(struct control **out, struct loop *loop, struct vm *vm, struct err *e)
{
	struct control *c = xcalloc(1, sizeof(*c));

	(void)e;
	c->loop = loop;
	c->vm = vm;
	c->listen_fd = -1;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->clients[i].fd = -1;
	*out = c;
	return 0;
}

int control_listen(struct control *c, int listen_fd, struct err *e)
{
	c->listen_fd = listen_fd;
	int r = loop_add(c->loop, &c->lf, listen_fd, EPOLLIN, on_listen, c);
	return r < 0 ? err_sys(e, -r, "control: descriptor %d", listen_fd) : 0;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	if (c->listen_fd >= 0) {
		loop_del(c->loop, &c->lf);
		close(c->listen_fd);
	}
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->clients[i].fd < 0)
			continue;
		c->clients[i].parent = false; /* it is over anyway */
		drop(&c->clients[i]);
	}
	free(c);
}
