/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - see control.h. */
#include "vmm/control.h"
#include "base/log.h"
#include "vmm/i18n.h"
#include "vmm/exit_status.h"
#include "vmm/vm.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct client {
	struct control *c;
	struct loop_fd lf;
	int fd; /* -1: free slot */
	bool parent;
	bool waiting; /* for the answer to a save; `id` is its */
	json_t *id;
	int passed; /* a descriptor that came with a line; -1: none */
	size_t len;
	char line[CONTROL_LINE_MAX];
};

struct control {
	struct loop *loop;
	struct vm *vm;
	struct loop_fd lf;
	int listen_fd;
	struct client *saver; /* a save is under way for it, or the VM is held for it */
	struct client clients[CONTROL_CLIENTS_MAX];
};

/* ---- commands: a new reference, NULL with *e set, or &later: the answer comes when it is known ---- */

static json_t later;

static json_t *cmd_status(struct client *cl, const json_t *req, struct err *e)
{
	return vm_status_json(cl->c->vm);
}

static json_t *cmd_promise(struct client *cl, const json_t *req, struct err *e)
{
	return vm_promise_json(cl->c->vm);
}

static json_t *cmd_stats(struct client *cl, const json_t *req, struct err *e)
{
	return vm_stats_json(cl->c->vm);
}

static json_t *cmd_stop(struct client *cl, const json_t *req, struct err *e)
{
	vm_power_button(cl->c->vm);
	return json_object();
}

static json_t *cmd_break(struct client *cl, const json_t *req, struct err *e)
{
	vm_break(cl->c->vm);
	return json_object();
}

static json_t *cmd_reset(struct client *cl, const json_t *req, struct err *e)
{
	vm_ask(cl->c->vm, VM_RESET, 0);
	return json_object();
}

/* A VM whose state has just been saved does not end, it moves. */
static json_t *cmd_quit(struct client *cl, const json_t *req, struct err *e)
{
	vm_ask(cl->c->vm, VM_QUIT, vm_held(cl->c->vm) ? STATUS_OK : STATUS_QUIT);
	return json_object();
}

static json_t *cmd_balloon(struct client *cl, const json_t *req, struct err *e)
{
	const json_t *bytes = json_object_get(req, "bytes");

	if (!json_is_integer(bytes) || json_integer_value(bytes) < 0) {
		err_set(e, EINVAL, "balloon: bytes: not a whole number");
		return NULL;
	}
	if (!vm_balloon(cl->c->vm, (u64)json_integer_value(bytes))) {
		err_set(e, ERANGE, "balloon: bytes: more than the guest has");
		return NULL;
	}
	return json_object();
}

static void send_answer(struct client *cl, const json_t *id, json_t *res, const struct err *e);
static void go_on(struct client *cl);

static void on_saved(void *opaque, const struct err *e, u64 file_bytes, u64 memory_bytes)
{
	struct control *c = opaque;
	struct client *cl = c->saver;

	if (!cl) { /* it went away meanwhile: nobody will make the file safe */
		if (!e)
			vm_release(c->vm);
		return;
	}
	cl->waiting = false;
	if (e)
		c->saver = NULL;
	send_answer(
	    cl, cl->id,
	    e ? NULL
	      : json_pack("{s:I s:I}", "file_bytes", (json_int_t)file_bytes, "memory_bytes", (json_int_t)memory_bytes),
	    e);
	json_decref(steal(&cl->id));
	go_on(cl);
}

static json_t *cmd_save(struct client *cl, const json_t *req, struct err *e)
{
	struct stat st;
	int fd = steal_fd(&cl->passed);

	if (fd < 0) {
		err_set(e, EBADF, "save: no file came along: pass its descriptor with the command (SCM_RIGHTS)");
		return NULL;
	}
	if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) ||
	    (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
		close(fd);
		err_set(e, EINVAL, "save: the descriptor is not a regular file, pipe or socket that can be written");
		return NULL;
	}
	int r = cl->c->saver ? err_set(e, EBUSY, "save: the VM is being saved already")
			     : vm_save(cl->c->vm, fd, on_saved, cl->c, e);
	if (r < 0) {
		close(fd);
		return NULL;
	}
	cl->c->saver = cl;
	cl->waiting = true;
	cl->id = json_incref(json_object_get(req, "id"));
	loop_mod(cl->c->loop, &cl->lf, 0);
	return &later;
}

static json_t *cmd_resume(struct client *cl, const json_t *req, struct err *e)
{
	if (!vm_held(cl->c->vm)) {
		err_set(e, EINVAL, "resume: the VM is not paused");
		return NULL;
	}
	cl->c->saver = NULL;
	vm_release(cl->c->vm);
	return json_object();
}

static const struct {
	const char *name;
	json_t *(*fn)(struct client *cl, const json_t *req, struct err *e);
} commands[] = {
	{ "status", cmd_status },   { "stats", cmd_stats },     { "stop", cmd_stop }, { "reset", cmd_reset },
	{ "quit", cmd_quit },       { "balloon", cmd_balloon }, { "save", cmd_save }, { "resume", cmd_resume },
	{ "promise", cmd_promise }, { "break", cmd_break },
};

static json_t *run_command(struct client *cl, const json_t *req, struct err *e)
{
	const char *name = json_string_value(json_object_get(req, "command"));

	if (!name) {
		err_set(e, EINVAL, "no command: send {\"command\": NAME}");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].fn(cl, req, e);
	err_set(e, ENOSYS, "%.64s: no such command", name);
	return NULL;
}

/* ---- clients ---- */

static void drop(struct client *cl)
{
	struct control *c = cl->c;

	loop_del(c->loop, &cl->lf);
	close(cl->fd);
	cl->fd = -1;
	if (cl->passed >= 0)
		close(steal_fd(&cl->passed));
	json_decref(steal(&cl->id));
	if (c->saver == cl) {
		c->saver = NULL;
		if (cl->waiting)
			vm_save_give_up(c->vm);
		else
			vm_release(c->vm); /* who had it saved is gone without a word */
	}
	if (cl->parent)
		vm_ask(c->vm, VM_QUIT, STATUS_SIGNAL + SIGHUP);
}

/* res is taken over; NULL: *e says why. */
static void send_answer(struct client *cl, const json_t *id, json_t *res, const struct err *e)
{
	json_t *out = json_object();

	if (id)
		json_object_set(out, "id", (json_t *)(uintptr_t)id);
	json_object_set_new(out, "ok", json_boolean(res != NULL));
	if (res)
		json_object_set_new(out, "result", res);
	else
		json_object_set_new(out, "error", json_string(e->msg));
	auto_free char *text = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	struct iovec iov[2] = { { text, text ? strlen(text) : 0 }, { (char[]){ "\n" }, 1 } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	/* Answers are small: a socket without room for one has a client that does not read. The parent's
	 * commands matter more than what it hears. */
	if ((!text || sendmsg(cl->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)(iov[0].iov_len + 1)) &&
	    !cl->parent)
		drop(cl);
}

static void obey(struct client *cl, const char *line, size_t len)
{
	struct err e;
	json_error_t je;
	json_t *req = json_loadb(line, len, JSON_REJECT_DUPLICATES, &je), *res = NULL;

	if (!json_is_object(req))
		err_set(&e, EINVAL, "not a JSON object: %s", req ? "another value" : je.text);
	else
		res = run_command(cl, req, &e);
	if (res != &later)
		send_answer(cl, json_object_get(req, "id"), res, &e);
	json_decref(req);
}

/* Carry out the whole lines that are here, as far as none waits for its answer. */
static void obey_lines(struct client *cl)
{
	char *nl;

	while (cl->fd >= 0 && !cl->waiting && (nl = memchr(cl->line, '\n', cl->len))) {
		char line[CONTROL_LINE_MAX];
		size_t n = (size_t)(nl - cl->line);

		memcpy(line, cl->line, n);
		cl->len -= n + 1;
		memmove(cl->line, nl + 1, cl->len);
		if (n)
			obey(cl, line, n);
	}
	if (cl->fd >= 0 && !cl->waiting && cl->len == sizeof(cl->line)) {
		log_warn("control: a line of more than %d bytes; the client is dropped", CONTROL_LINE_MAX);
		drop(cl);
	}
}

static void go_on(struct client *cl)
{
	if (cl->fd < 0)
		return;
	loop_mod(cl->c->loop, &cl->lf, EPOLLIN);
	obey_lines(cl);
}

/* A descriptor may come with a line; the first is kept for the command that wants one. */
static void take_passed(struct client *cl, struct msghdr *mh)
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
	struct client *cl = opaque;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} cmsg;

	if (cl->fd < 0) /* dropped in this very round of the loop */
		return;
	if (cl->waiting) { /* only its end is heard of now */
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
	cl->waiting = false;
	cl->passed = -1;
	cl->id = NULL;
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
