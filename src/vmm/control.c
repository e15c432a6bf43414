/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - see control.h. Here: clients, their lines, their queues. */
#include "vmm/control.h"
#include "base/log.h"
#include "vmm/control_int.h"
#include "vmm/err_json.h"
#include "vmm/exit_status.h"

#include <signal.h>
#include <sys/socket.h>

static void drop(struct control_client *cl)
{
	struct control *c = cl->c;

	loop_del(c->loop, &cl->lf);
	close(cl->fd);
	cl->fd = -1;
	if (cl->passed >= 0)
		close(steal_fd(&cl->passed));
	json_decref(steal(&cl->id));
	free(steal(&cl->out));
	cl->shooting = false;
	if (c->shooter == cl)
		c->shooter = NULL;
	if (c->saver == cl) {
		c->saver = NULL;
		if (cl->waiting)
			vm_save_give_up(c->vm);
		else
			vm_release(c->vm); /* who had it saved is gone without a word */
	}
	if (cl->role == CONTROL_PARENT)
		vm_ask(c->vm, VM_QUIT, STATUS_SIGNAL + SIGHUP);
}

/* ---- to a client ---- */

/* One that did not say hello gets its answers in order: while it waits for one, only its end is heard of. */
static bool silent(const struct control_client *cl)
{
	return (cl->waiting || cl->shooting) && !cl->hello;
}

static void listen_to(struct control_client *cl)
{
	loop_mod(cl->c->loop, &cl->lf, (silent(cl) ? 0 : EPOLLIN) | (cl->out_len ? EPOLLOUT : 0));
}

/* Give it as much as it takes now. */
static void flush(struct control_client *cl)
{
	size_t done = 0;

	while (done < cl->out_len) {
		ssize_t n = send(cl->fd, cl->out + done, cl->out_len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* its end is heard of when it is read */
		done += (size_t)n;
	}
	cl->out_len -= done;
	memmove(cl->out, cl->out + done, cl->out_len);
	if (!cl->out_len) {
		free(steal(&cl->out));
		cl->out_room = 0;
	}
}

/* False: there is no room. */
static bool queue(struct control_client *cl, const char *text, size_t n)
{
	size_t need = cl->out_len + n + 1;

	if (need > CONTROL_OUT_MAX)
		return false;
	if (need > cl->out_room) {
		cl->out_room = MIN(ROUND_UP(2 * need, 4096), CONTROL_OUT_MAX);
		cl->out = xrealloc(cl->out, cl->out_room);
	}
	memcpy(cl->out + cl->out_len, text, n);
	cl->out[need - 1] = '\n';
	cl->out_len = need;
	return true;
}

void control_send(struct control_client *cl, json_t *o)
{
	auto_free char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	if (cl->fd < 0 || !text)
		return;
	if (!queue(cl, text, strlen(text))) {
		/* What its starter commands matters more than what it hears. */
		if (cl->role != CONTROL_ANYBODY)
			return;
		log_info("control: a client does not read what it is sent: it is disconnected");
		drop(cl);
		return;
	}
	flush(cl);
	listen_to(cl);
}

void control_answer(struct control_client *cl, const json_t *id, json_t *res, const struct err *e)
{
	json_t *out = json_object();

	if (id)
		json_object_set(out, "id", (json_t *)(uintptr_t)id);
	json_object_set_new(out, "ok", json_boolean(res != NULL));
	if (res)
		json_object_set_new(out, "result", res);
	else
		err_to_json(e, out);
	control_send(cl, out);
}

/* ---- from a client ---- */

static void too_long(struct control_client *cl)
{
	struct err e;

	log_warn("control: a line of more than %d bytes; the client is dropped", CONTROL_LINE_MAX);
	err_set(&e, E2BIG, "a line has more than %d bytes: send shorter requests", CONTROL_LINE_MAX);
	control_answer(cl, NULL, NULL, &e);
	if (cl->fd >= 0)
		drop(cl);
}

/* Carry out the whole lines that are here, as far as none has to wait for an answer before it. */
static void obey_lines(struct control_client *cl)
{
	char *nl;

	while (cl->fd >= 0 && !silent(cl) && (nl = memchr(cl->line, '\n', cl->len))) {
		char line[CONTROL_LINE_MAX];
		size_t n = (size_t)(nl - cl->line);

		memcpy(line, cl->line, n);
		cl->len -= n + 1;
		memmove(cl->line, nl + 1, cl->len);
		if (n)
			control_obey(cl, line, n);
	}
	if (cl->fd >= 0 && !silent(cl) && cl->len == sizeof(cl->line))
		too_long(cl);
}

void control_go_on(struct control_client *cl)
{
	if (cl->fd < 0)
		return;
	listen_to(cl);
	if (!cl->waiting)
		obey_lines(cl);
}

/* A descriptor may come with a line; the first is kept for the command that wants one. */
static void take_passed(struct control_client *cl, struct msghdr *mh)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(mh); h; h = CMSG_NXTHDR(mh, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= h->cmsg_len; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (cl->passed < 0)
				cl->passed = fd;
			else
				close(fd);
		}
	}
}

static void on_client(void *opaque, u32 events)
{
	struct control_client *cl = opaque;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} cmsg;

	if (cl->fd < 0) /* dropped in this very round of the loop */
		return;
	if (events & EPOLLOUT) {
		flush(cl);
		listen_to(cl);
	}
	if (!(events & ~(u32)EPOLLOUT))
		return;
	if (silent(cl)) { /* its end */
		drop(cl);
		return;
	}
	struct iovec iov = { cl->line + cl->len, sizeof(cl->line) - cl->len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &cmsg, .msg_controllen = sizeof(cmsg) };
	ssize_t n = recvmsg(cl->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(cl);
		return;
	}
	take_passed(cl, &mh);
	cl->len += (size_t)n;
	obey_lines(cl);
}

/* ---- who comes ---- */

int control_client(struct control *c, int fd, enum control_role role, struct err *e)
{
	struct control_client *cl = c->clients;

	while (cl < c->clients + CONTROL_CLIENTS_MAX && cl->fd >= 0)
		cl++;
	if (cl == c->clients + CONTROL_CLIENTS_MAX) {
		struct err full;
		err_set(&full, EBUSY, "%d clients are connected to this VM already: end one of them",
			CONTROL_CLIENTS_MAX);
		err_named(&full, "too-many-clients");
		json_t *o = json_pack("{s:b}", "ok", 0);
		err_to_json(&full, o);
		auto_free char *text = json_dumps(o, JSON_COMPACT);
		json_decref(o);
		auto_free char *line = xasprintf("%s\n", text ? text : "");
		send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
		close(fd);
		if (e)
			*e = full;
		return -EBUSY;
	}
	*cl = (struct control_client){ .c = c, .fd = fd, .role = role, .passed = -1 };
	int r = loop_add(c->loop, &cl->lf, fd, EPOLLIN, on_client, cl);
	if (r < 0) {
		close(fd);
		cl->fd = -1;
		return err_sys(e, -r, "cannot watch a control client's descriptor %d", fd);
	}
	return 0;
}

static void on_listen(void *opaque, u32 events)
{
	struct control *c = opaque;
	struct err e;
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && control_client(c, fd, CONTROL_ANYBODY, &e) < 0)
		log_warn("control: %s", err_local(&e));
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
	loop_timer_init(loop, &c->watch, control_on_watch, c);
	vm_listen(vm, control_on_event, c);
	*out = c;
	return 0;
}

int control_listen(struct control *c, int listen_fd, struct err *e)
{
	c->listen_fd = listen_fd;
	int r = loop_add(c->loop, &c->lf, listen_fd, EPOLLIN, on_listen, c);
	return r < 0 ? err_sys(e, -r, "cannot watch the control socket's descriptor %d", listen_fd) : 0;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	vm_listen(c->vm, NULL, NULL);
	if (c->listen_fd >= 0) {
		loop_del(c->loop, &c->lf);
		close(c->listen_fd);
	}
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (c->clients[i].fd < 0)
			continue;
		c->clients[i].role = CONTROL_ANYBODY; /* it is over anyway */
		drop(&c->clients[i]);
	}
	json_decref(c->shot_id);
	loop_timer_fini(&c->watch);
	free(c);
}
