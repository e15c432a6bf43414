/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_control.c - the control socket's protocol, its bounds, and what a client's end means. */
#include "vmm/control.h"
#include "vmm/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* ---- a VM that notes what it is asked ---- */

struct vm {
	enum vm_ask asked;
	unsigned value, buttons, breaks;
	u64 balloon;
};

void vm_ask(struct vm *v, enum vm_ask what, unsigned value)
{
	v->asked = what;
	v->value = value;
}
void vm_power_button(struct vm *v)
{
	v->buttons++;
}
void vm_break(struct vm *v)
{
	v->breaks++;
}
bool vm_balloon(struct vm *v, u64 bytes)
{
	if (bytes > 1000)
		return false;
	v->balloon = bytes;
	return true;
}
json_t *vm_status_json(struct vm *v)
{
	return json_pack("{s:s}", "state", "running");
}
json_t *vm_promise_json(struct vm *v)
{
	return json_pack("{s:s}", "vendor", "x");
}
json_t *vm_stats_json(struct vm *v)
{
	return json_pack("{s:i}", "blocks", 7);
}

static bool held;
static unsigned released, given_up;
static int save_fd = -1;
static vm_saved_fn *save_done;
static void *save_opaque;

int vm_save(struct vm *v, int fd, vm_saved_fn *done, void *opaque, struct err *e)
{
	save_fd = fd;
	save_done = done;
	save_opaque = opaque;
	return 0;
}
void vm_save_give_up(struct vm *v)
{
	given_up++;
}
bool vm_held(struct vm *v)
{
	return held;
}
void vm_release(struct vm *v)
{
	released++;
	held = false;
}

/* ---- helpers ---- */

static struct loop *loop;
static struct control *control;
static struct vm vm;
static int client;

static int setup(void **state)
{
	int sv[2];

	vm = (struct vm){ 0 };
	if (loop_new(&loop, NULL) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	client = sv[0];
	return control_new(&control, loop, &vm, NULL) < 0 || control_client(control, sv[1], *state != NULL, NULL) < 0;
}

static int setup_parent(void **state)
{
	*state = &vm;
	return setup(state);
}

static int teardown(void **state)
{
	control_free(control);
	loop_free(loop);
	if (client >= 0)
		close(client);
	return 0;
}

static void stop(void *l)
{
	loop_stop(l);
}

/* Let the loop handle what is there. */
static void turn(void)
{
	for (int i = 0; i < 3; i++) {
		loop_post(loop, stop, loop);
		loop_run(loop);
	}
}

static json_t *ask(const char *line)
{
	static char buf[70000];
	assert_int_equal(send(client, line, strlen(line), MSG_NOSIGNAL), strlen(line));
	turn();
	ssize_t n = recv(client, buf, sizeof(buf), MSG_DONTWAIT);
	assert_true(n > 0 && buf[n - 1] == '\n');
	json_t *j = json_loadb(buf, (size_t)n, 0, NULL);
	assert_non_null(j);
	return j;
}

static void ok(const char *line)
{
	json_t *j = ask(line);
	assert_true(json_is_true(json_object_get(j, "ok")));
	assert_true(json_is_object(json_object_get(j, "result")));
	json_decref(j);
}

static void fails(const char *line, const char *words)
{
	json_t *j = ask(line);
	const char *text = json_string_value(json_object_get(j, "error"));
	assert_true(json_is_false(json_object_get(j, "ok")));
	if (!text || !strstr(text, words))
		fail_msg("%s: %s", line, text);
	json_decref(j);
}

/* ---- tests ---- */

static void test_commands(void **state)
{
	json_t *j = ask("{\"command\":\"status\",\"id\":[1,\"a\"]}\n");
	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "result"), "state")), "running");
	assert_int_equal(json_array_size(json_object_get(j, "id")), 2);
	json_decref(j);
	ok("{\"command\":\"stats\"}\n");
	ok("{\"command\":\"stop\"}\n");
	assert_int_equal(vm.buttons, 1);
	ok("{\"command\":\"break\"}\n");
	assert_int_equal(vm.breaks, 1);
	ok("{\"command\":\"balloon\",\"bytes\":512}\n");
	assert_int_equal(vm.balloon, 512);
	ok("{\"command\":\"reset\"}\n");
	assert_int_equal(vm.asked, VM_RESET);
	ok("{\"command\":\"quit\"}\n");
	assert_int_equal(vm.asked, VM_QUIT);
	assert_int_equal(vm.value, 130);
}

static void test_errors(void **state)
{
	fails("hello\n", "not a JSON object");
	fails("[1]\n", "not a JSON object");
	fails("{\"command\":\n", "not a JSON object");
	fails("{}\n", "no command");
	fails("{\"command\":1}\n", "no command");
	fails("{\"command\":\"frob\"}\n", "frob: no such command");
	fails("{\"command\":\"balloon\"}\n", "bytes: not a whole number");
	fails("{\"command\":\"balloon\",\"bytes\":-1}\n", "bytes: not a whole number");
	fails("{\"command\":\"balloon\",\"bytes\":2000}\n", "more than the guest has");
	assert_int_equal(vm.asked, VM_NOTHING);
}

static void test_pieces(void **state)
{
	static const char line[] = "{\"command\":\"stop\"}\n";

	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		assert_int_equal(send(client, line + i, 1, 0), 1);
		turn();
	}
	assert_int_equal(vm.buttons, 1);
	/* Several at once, and an empty line between. */
	static const char three[] = "{\"command\":\"stop\"}\n\n{\"command\":\"stop\"}\n{\"command\":\"stop\"}\n";
	assert_int_equal(send(client, three, strlen(three), 0), strlen(three));
	turn();
	assert_int_equal(vm.buttons, 4);
}

static void test_long_line_drops(void **state)
{
	char junk[CONTROL_LINE_MAX];
	char c;

	memset(junk, 'x', sizeof(junk));
	assert_int_equal(send(client, junk, sizeof(junk), 0), sizeof(junk));
	turn();
	assert_int_equal(recv(client, &c, 1, MSG_DONTWAIT), 0);
	assert_int_equal(vm.asked, VM_NOTHING);
}

static void test_deaf_client_drops(void **state)
{
	static const char line[] = "{\"command\":\"status\"}\n";
	ssize_t n = 0;

	for (int i = 0; i < 100000 && n >= 0; i++) {
		n = send(client, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		turn();
	}
	assert_true(n < 0 && errno == EPIPE);
	assert_int_equal(vm.asked, VM_NOTHING);
}

static void test_clients_come_and_go(void **state)
{
	for (int i = 0; i < 100; i++) {
		int sv[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		assert_int_equal(control_client(control, sv[1], false, NULL), 0);
		close(sv[0]);
		turn();
	}
	/* One is there; seven more fit. */
	int fds[CONTROL_CLIENTS_MAX];
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		int sv[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		fds[i] = sv[0];
		assert_int_equal(control_client(control, sv[1], false, NULL), i < CONTROL_CLIENTS_MAX - 1 ? 0 : -EBUSY);
	}
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	assert_int_equal(vm.asked, VM_NOTHING);
}

/* Send a line with a descriptor; nothing is received. */
static void send_with(const char *line, int fd)
{
	struct iovec iov = { (char *)(uintptr_t)line, strlen(line) };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} c = { .bytes = { 0 } };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&mh);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	assert_int_equal(sendmsg(client, &mh, MSG_NOSIGNAL), iov.iov_len);
	turn();
}

static bool answered(const char *words)
{
	char buf[1000];
	ssize_t n = recv(client, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	if (n <= 0)
		return false;
	buf[n] = '\0';
	if (!strstr(buf, words))
		fail_msg("%s", buf);
	return true;
}

static void begin_save(void)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	save_fd = -1;
	save_done = NULL;
	released = given_up = 0;
	held = false;
	send_with("{\"command\":\"save\",\"id\":5}\n", fd);
	close(fd);
	assert_non_null(save_done);
	assert_true(save_fd >= 0 && fcntl(save_fd, F_GETFD) == FD_CLOEXEC);
}

/* What vm_save() promises to do with its descriptor. */
static void end_save(const struct err *e)
{
	close(save_fd);
	held = !e;
	save_done(save_opaque, e, 1000, 2000);
}

static void test_save(void **state)
{
	static const char more[] = "{\"command\":\"stop\"}\n";
	struct err e;
	int p[2];

	fails("{\"command\":\"save\"}\n", "no file came along");
	assert_int_equal(pipe(p), 0);
	send_with("{\"command\":\"save\"}\n", p[0]);
	assert_true(answered("that can be written"));
	close(p[0]);
	close(p[1]);
	int ro = open("/dev/null", O_RDONLY);
	send_with("{\"command\":\"save\"}\n", ro);
	assert_true(answered("not a regular file"));
	close(ro);
	fails("{\"command\":\"resume\"}\n", "not paused");

	/* Until it is saved there is no answer, and what comes meanwhile waits. */
	begin_save();
	assert_int_equal(send(client, more, strlen(more), 0), strlen(more));
	turn();
	assert_false(answered(""));
	assert_int_equal(vm.buttons, 0);
	end_save(NULL);
	assert_true(answered("\"id\":5"));
	turn();
	assert_int_equal(vm.buttons, 1);
	assert_true(answered("\"ok\":true"));
	assert_int_equal(released, 0);
	ok("{\"command\":\"resume\"}\n");
	assert_int_equal(released, 1);

	/* A failure is told, and nothing is held. */
	begin_save();
	err_set(&e, ENOSPC, "no room");
	end_save(&e);
	assert_true(answered("no room"));
	assert_int_equal(released, 0);

	/* Saved and ended: that is no quitting. */
	begin_save();
	end_save(NULL);
	assert_true(answered("2000"));
	ok("{\"command\":\"quit\"}\n");
	assert_int_equal(vm.asked, VM_QUIT);
	assert_int_equal(vm.value, 0);
}

/* Whoever had it saved, or wants it saved, goes away: the VM goes on. */
static void test_saver_gone(void **state)
{
	begin_save();
	close(client);
	client = -1;
	turn();
	assert_int_equal(released, 0);
	assert_int_equal(given_up, 1);
	end_save(NULL);
	assert_int_equal(released, 1);

	int sv[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	client = sv[0];
	assert_int_equal(control_client(control, sv[1], false, NULL), 0);
	begin_save();
	end_save(NULL);
	assert_int_equal(released, 0);
	close(client);
	client = -1;
	turn();
	assert_int_equal(released, 1);
	assert_int_equal(vm.asked, VM_NOTHING);
}

static void test_parent_gone(void **state)
{
	close(client);
	client = -1;
	turn();
	assert_int_equal(vm.asked, VM_QUIT);
	assert_int_equal(vm.value, 129);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf_client_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_save, setup, teardown),
		cmocka_unit_test_setup_teardown(test_saver_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parent_gone, setup_parent, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
