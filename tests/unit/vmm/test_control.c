/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_control.c - the control socket's protocol, its bounds, and what a client's end means. */
#include "fake_vm.h"
#include "base/clock.h"
#include "device/input/key.h"
#include "vmm/err_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

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
	return control_new(&control, loop, &vm, NULL) < 0 ||
	       control_client(control, sv[1], *state ? CONTROL_PARENT : CONTROL_ANYBODY, NULL) < 0;
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

/* The next line that is there. */
static json_t *heard(void)
{
	static char buf[70000];
	size_t n = 0;

	while (recv(client, buf + n, 1, MSG_DONTWAIT) == 1 && buf[n] != '\n')
		n++;
	assert_true(n > 0 && buf[n] == '\n');
	json_t *j = json_loadb(buf, n, 0, NULL);
	assert_non_null(j);
	return j;
}

static bool silence(void)
{
	char c;

	return recv(client, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static json_t *ask(const char *line)
{
	assert_int_equal(send(client, line, strlen(line), MSG_NOSIGNAL), strlen(line));
	turn();
	return heard();
}

static void ok(const char *line)
{
	json_t *j = ask(line);
	assert_true(json_is_true(json_object_get(j, "ok")));
	assert_true(json_is_object(json_object_get(j, "result")));
	json_decref(j);
}

static void fails(const char *line, const char *code, const char *words)
{
	json_t *j = ask(line);
	const char *text = json_string_value(json_object_get(j, "error"));
	struct err e;
	assert_string_equal(json_string_value(json_object_get(j, "code")), code);
	/* What it is made of makes the same text. */
	err_from_json(&e, j);
	assert_string_equal(e.msg, text);
	assert_string_equal(err_name(&e), code);
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
	ok("{\"command\":\"eject\"}\n");
	assert_string_equal(vm.medium, "- - 0");
	ok("{\"command\":\"eject\",\"device\":\"cd\",\"force\":true}\n");
	assert_string_equal(vm.medium, "cd - 1");
	ok("{\"command\":\"reset\"}\n");
	assert_int_equal(vm.asked, VM_RESET);
	ok("{\"command\":\"quit\"}\n");
	assert_int_equal(vm.asked, VM_QUIT);
	assert_int_equal(vm.value, 130);
}

static void test_screen_text(void **state)
{
	json_t *j = ask("{\"command\":\"screen-text\"}\n");

	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "result"), "text")), "C:\\>\n");
	json_decref(j);
	vm.picture = true;
	fails("{\"command\":\"screen-text\"}\n", "no-text", "a picture");
	vm.no_screen = true;
	fails("{\"command\":\"screen-text\"}\n", "no-screen", "no screen");
}

static void test_clipboard(void **state)
{
	json_t *j = ask("{\"command\":\"clipboard\"}\n");

	assert_string_equal(json_string_value(json_object_get(json_object_get(j, "result"), "text")),
			    "a\n\xea\xb0\x80");
	json_decref(j);
	vm.picture = true; /* it is no UTF-8 then */
	fails("{\"command\":\"clipboard\"}\n", "no-text", "not valid UTF-8");
	vm.no_screen = true;
	fails("{\"command\":\"clipboard\"}\n", "no-screen", "no screen");
}

static void test_errors(void **state)
{
	fails("hello\n", "bad-json", "not a JSON object (at byte 5)");
	fails("[1]\n", "bad-json", "not a JSON object, but another value");
	fails("{\"command\":\n", "bad-json", "not a JSON object");
	fails("{\"command\":\"stop\",\"command\":\"stop\"}\n", "bad-json", "not a JSON object");
	fails("{}\n", "no-command", "no command: send {\"command\": NAME}");
	fails("{\"command\":1}\n", "no-command", "no command");
	fails("{\"command\":\"frob\"}\n", "unknown-command", "frob: no such command; hello lists");
	fails("{\"command\":\"eject\",\"force\":1}\n", "bad-argument", "eject: force: not true or false");
	fails("{\"command\":\"insert\"}\n", "bad-argument", "insert: path: not a string");
	fails("{\"command\":\"insert\",\"path\":\"/x\"}\n", "no-descriptor", "no file came along");
	fails("{\"command\":\"balloon\"}\n", "bad-argument", "balloon: bytes: not a whole number");
	fails("{\"command\":\"balloon\",\"bytes\":-1}\n", "bad-argument", "bytes: not a whole number");
	fails("{\"command\":\"balloon\",\"bytes\":\"1\"}\n", "bad-argument", "bytes: not a whole number");
	fails("{\"command\":\"balloon\",\"bytes\":2000}\n", "out-of-range", "more than the guest has");
	fails("{\"command\":\"subscribe\",\"events\":\"state\"}\n", "bad-argument", "events: not a list of at most 16");
	fails("{\"command\":\"subscribe\",\"events\":[1]}\n", "bad-argument", "events: not a list of at most 16");
	fails("{\"command\":\"subscribe\",\"events\":[\"frob\"]}\n", "unknown-event", "frob: no such event");
	fails("{\"command\":\"hello\",\"versions\":[2,3]}\n", "bad-version", "this VM speaks version 1");
	fails("{\"command\":\"hello\",\"versions\":1}\n", "bad-argument", "versions: not a list");
	assert_int_equal(vm.asked, VM_NOTHING);
}

static void typed(const char *line, unsigned n, const u16 *want)
{
	nkeys = 0;
	ok(line);
	assert_int_equal(nkeys, n);
	assert_memory_equal(keys, want, n * sizeof(*want));
}

#define D KEY_DOWN

static void test_typing(void **state)
{
	const u16 text[] = { 0x2a | D, 0x1e | D, 0x1e, 0x2a, 0x1c | D, 0x1c };
	const u16 together[] = { 0x1d | D, KEY_HANGUL | D, KEY_HANGUL, 0x1d };

	typed("{\"command\":\"type\",\"text\":\"A\\n\"}\n", 6, text);
	typed("{\"command\":\"sendkey\",\"keys\":[\"Ctrl\",\"hangul\"]}\n", 4, together);
	/* Looking types nothing, and says the same. */
	typed("{\"command\":\"type\",\"text\":\"A\\n\",\"look\":true}\n", 0, NULL);
	nkeys = 0;
	fails("{\"command\":\"type\",\"text\":\"a\\u00e9\",\"look\":true}\n", "unknown-key", "U+00E9");
	fails("{\"command\":\"type\",\"text\":\"a\\u00e9\"}\n", "unknown-key", "U+00E9");
	fails("{\"command\":\"sendkey\",\"keys\":[\"a\",\"frob\"]}\n", "unknown-key", "'frob' is no key");
	fails("{\"command\":\"type\",\"text\":\"a\",\"look\":1}\n", "bad-argument", "look: not true or false");
	assert_int_equal(nkeys, 0);
	vm.no_screen = true;
	fails("{\"command\":\"type\",\"text\":\"a\",\"look\":true}\n", "no-screen", "--display vga");
}

/* Bytes that are no UTF-8, as paths may have them, do not cost the answer. */
static void test_any_bytes(void **state)
{
	json_t *o = json_object();
	struct err e, got;

	err_set(&e, ENOENT, "cannot open %s", "a\xff\xfe");
	err_to_json(&e, o);
	assert_int_equal(err_from_json(&got, o), -ENOENT);
	assert_string_equal(got.msg, "cannot open a??");
	json_decref(o);
}

static bool has(const json_t *list, const char *word)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strcmp(json_string_value(json_array_get(list, i)), word))
			return true;
	return false;
}

static void test_hello(void **state)
{
	json_t *j = ask("{\"command\":\"hello\",\"versions\":[7,1],\"client\":\"test\",\"id\":1}\n");
	const json_t *r = json_object_get(j, "result");

	assert_int_equal(json_integer_value(json_object_get(r, "version")), 1);
	assert_string_equal(json_string_value(json_object_get(r, "mica")), MICA_VERSION);
	assert_true(has(json_object_get(r, "commands"), "save") && has(json_object_get(r, "commands"), "hello"));
	assert_true(has(json_object_get(r, "events"), "state") && has(json_object_get(r, "events"), "progress"));
	assert_int_equal(json_integer_value(json_object_get(r, "line_max")), CONTROL_LINE_MAX);
	json_decref(j);
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
	char junk[CONTROL_LINE_MAX], c;

	memset(junk, 'x', sizeof(junk));
	assert_int_equal(send(client, junk, sizeof(junk), 0), sizeof(junk));
	turn();
	json_t *j = heard();
	assert_string_equal(json_string_value(json_object_get(j, "code")), "too-long");
	json_decref(j);
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
		assert_int_equal(control_client(control, sv[1], CONTROL_ANYBODY, NULL), 0);
		close(sv[0]);
		turn();
	}
	/* One is there; seven more fit. */
	int fds[CONTROL_CLIENTS_MAX];
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		int sv[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		fds[i] = sv[0];
		assert_int_equal(control_client(control, sv[1], CONTROL_ANYBODY, NULL),
				 i < CONTROL_CLIENTS_MAX - 1 ? 0 : -EBUSY);
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

	fails("{\"command\":\"save\"}\n", "no-descriptor", "no file came along");
	assert_int_equal(pipe(p), 0);
	send_with("{\"command\":\"save\"}\n", p[0]);
	assert_true(answered("that can be written"));
	close(p[0]);
	close(p[1]);
	int ro = open("/dev/null", O_RDONLY);
	send_with("{\"command\":\"save\"}\n", ro);
	assert_true(answered("not a regular file"));
	close(ro);
	fails("{\"command\":\"resume\"}\n", "not-paused", "not paused");

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
	assert_int_equal(control_client(control, sv[1], CONTROL_ANYBODY, NULL), 0);
	begin_save();
	end_save(NULL);
	assert_int_equal(released, 0);
	close(client);
	client = -1;
	turn();
	assert_int_equal(released, 1);
	assert_int_equal(vm.asked, VM_NOTHING);
}

/* Who said hello is answered as it comes, and hears how far the save is. */
static void test_any_order(void **state)
{
	static const char more[] = "{\"command\":\"stop\",\"id\":6}\n{\"command\":\"save\",\"id\":7}\n";

	ok("{\"command\":\"hello\",\"versions\":[1]}\n");
	ok("{\"command\":\"subscribe\",\"events\":[\"progress\"]}\n");
	begin_save();
	assert_int_equal(send(client, more, strlen(more), 0), strlen(more));
	turn();
	assert_int_equal(vm.buttons, 1);
	json_t *j = heard();
	assert_int_equal(json_integer_value(json_object_get(j, "id")), 6);
	json_decref(j);
	j = heard();
	assert_string_equal(json_string_value(json_object_get(j, "code")), "no-descriptor");
	assert_int_equal(json_integer_value(json_object_get(j, "id")), 7);
	json_decref(j);
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_PROGRESS, .command = "save", .done = 10, .total = 30 });
	j = heard();
	const json_t *data = json_object_get(j, "data");
	assert_string_equal(json_string_value(json_object_get(j, "event")), "progress");
	assert_string_equal(json_string_value(json_object_get(data, "command")), "save");
	assert_int_equal(json_integer_value(json_object_get(data, "id")), 5);
	assert_int_equal(json_integer_value(json_object_get(data, "done")), 10);
	assert_int_equal(json_integer_value(json_object_get(data, "total")), 30);
	json_decref(j);
	end_save(NULL);
	j = heard();
	assert_int_equal(json_integer_value(json_object_get(j, "id")), 5);
	json_decref(j);
	ok("{\"command\":\"resume\"}\n");
}

static void expect(const char *event, const char *data)
{
	json_t *j = heard(), *want = json_loads(data, 0, NULL);

	assert_string_equal(json_string_value(json_object_get(j, "event")), event);
	assert_true(json_integer_value(json_object_get(j, "time_ms")) > 1600000000000);
	if (!json_equal(json_object_get(j, "data"), want))
		fail_msg("%s", json_dumps(j, 0));
	json_decref(j);
	json_decref(want);
}

static void test_events(void **state)
{
	struct err e;

	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_STATE, .state = "running" });
	assert_true(silence()); /* nobody asked for it */
	json_t *j = ask("{\"command\":\"subscribe\"}\n");
	const json_t *r = json_object_get(j, "result");
	assert_int_equal(json_array_size(json_object_get(r, "events")), VM_EVENT_KINDS);
	assert_string_equal(json_string_value(json_object_get(json_object_get(r, "status"), "state")), "running");
	json_decref(j);
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_STATE, .state = "paused" });
	expect("state", "{\"state\":\"paused\"}");
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_RESET, .why = "triple-fault" });
	expect("reset", "{\"why\":\"triple-fault\"}");
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_NET, .device = "net0" });
	expect("net", "{\"device\":\"net0\",\"link\":\"down\"}");
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_NET, .device = "net0", .up = true });
	expect("net", "{\"device\":\"net0\",\"link\":\"up\"}");
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_PANIC, .device = "pvpanic0", .why = "crash-loaded" });
	expect("panic", "{\"device\":\"pvpanic0\",\"why\":\"crash-loaded\"}");
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_STATE, .state = "ended", .why = "poweroff" });
	expect("state", "{\"state\":\"ended\",\"why\":\"poweroff\",\"status\":0}");
	err_sys(&e, ENOENT, "x %d", 1);
	happens(&vm, &(struct vm_event){
			 .kind = VM_EVENT_STATE, .state = "ended", .why = "boot-failed", .status = 1, .err = &e });
	expect("state", "{\"state\":\"ended\",\"why\":\"boot-failed\",\"status\":1,\"code\":\"not-found\",\"errno\":2,"
			"\"error\":\"x 1: No such file or directory\",\"message\":[{\"id\":\"x %d\",\"args\":[\"1\"]},"
			"{\"errno\":2}]}");
	ok("{\"command\":\"subscribe\",\"events\":[\"disk\"]}\n");
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_STATE, .state = "running" });
	assert_true(silence());
}

/* Failed requests are told once a second and a disk, however many there are. */
static void test_disk_errors(void **state)
{
	vm.disk_errors[0] = 5; /* before somebody listens */
	ok("{\"command\":\"subscribe\",\"events\":[\"disk\"]}\n");
	vm.disk_errors[1] = 3;
	for (u64 end = clock_mono_ns() + 5 * NSEC_PER_SEC; silence() && clock_mono_ns() < end;)
		turn();
	expect("disk", "{\"disk\":1,\"errors\":3}");
	turn();
	assert_true(silence());
	vm.disk_connection[0] = "reconnecting"; /* of a disk on a server */
	for (u64 end = clock_mono_ns() + 5 * NSEC_PER_SEC; silence() && clock_mono_ns() < end;)
		turn();
	expect("disk", "{\"disk\":0,\"connection\":\"reconnecting\"}");
}

/* One who subscribes and does not read is cut off, and the VM's memory stays as it is. */
static void test_slow_subscriber(void **state)
{
	ok("{\"command\":\"subscribe\"}\n");
	for (int i = 0; i < 100000; i++)
		happens(&vm,
			&(struct vm_event){ .kind = VM_EVENT_PROGRESS, .command = "save", .done = 10, .total = 30 });
	char buf[65536];
	ssize_t n;
	size_t got = 0;
	while ((n = recv(client, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_true(got < 100000 * 50);
	assert_int_equal(vm.asked, VM_NOTHING);
}

/* A burst that fits in its queue is all there, in order, when it reads late. */
static void test_late_reader(void **state)
{
	const unsigned events = 2000;

	ok("{\"command\":\"subscribe\"}\n");
	int small = 4096;
	for (unsigned i = 0; i < events; i++)
		happens(&vm,
			&(struct vm_event){ .kind = VM_EVENT_PROGRESS, .command = "save", .done = i, .total = events });
	setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (unsigned i = 0; i < events; i++) {
		if (silence())
			turn();
		json_t *j = heard();
		assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "data"), "done")), i);
		json_decref(j);
	}
}

static void test_starter(void **state)
{
	struct err e;
	char buf[1000];
	int sv[2];

	control_ready(control);
	json_t *j = heard();
	assert_string_equal(json_string_value(json_object_get(j, "event")), "ready");
	json_decref(j);
	/* It hears less, but is not cut off. */
	ok("{\"command\":\"subscribe\"}\n");
	for (int i = 0; i < 100000; i++)
		happens(&vm,
			&(struct vm_event){ .kind = VM_EVENT_PROGRESS, .command = "save", .done = 10, .total = 30 });
	assert_int_equal(send(client, "{\"command\":\"stop\"}\n", 19, 0), 19);
	turn();
	assert_int_equal(vm.buttons, 1);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	/* It hears of a restore as it reads: of what it does not take there is no second line. */
	struct vm_event ev = { .kind = VM_EVENT_PROGRESS, .command = "restore", .done = 10, .total = 30 };
	for (unsigned i = 0; i < 1000; i++)
		control_tell_starter(sv[0], &ev);
	buf[recv(sv[1], buf, sizeof(buf) - 1, 0)] = '\0';
	assert_non_null(strstr(buf, "\"event\":\"progress\""));
	assert_non_null(strstr(buf, "\"data\":{\"command\":\"restore\",\"done\":10,\"total\":30}"));
	assert_ptr_equal(strchr(buf, '\n'), buf + strlen(buf) - 1);
	control_tell_starter(sv[0], &ev);
	assert_true(recv(sv[1], buf, sizeof(buf) - 1, 0) > 0);
	err_set(&e, ENOENT, "no kernel %s", "x");
	assert_true(control_failed(sv[0], &e, 2));
	buf[recv(sv[1], buf, sizeof(buf) - 1, 0)] = '\0';
	assert_non_null(strstr(buf, "\"event\":\"failed\""));
	assert_non_null(strstr(buf, "\"status\":2"));
	assert_non_null(strstr(buf, "no kernel x"));
	close(sv[1]);
	assert_false(control_failed(sv[0], &e, 2));
	close(sv[0]);
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
		cmocka_unit_test_setup_teardown(test_typing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_screen_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clipboard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf_client_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clients_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_save, setup, teardown),
		cmocka_unit_test_setup_teardown(test_saver_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hello, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_subscriber, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_starter, setup_parent, teardown),
		cmocka_unit_test_setup_teardown(test_parent_gone, setup_parent, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
