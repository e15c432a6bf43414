/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_client.c - the control client: against a VM's control socket, and against one that is late, broken or hostile.
 */
#include "base/clock.h"
#include "client/client.h"
#include "unit/vmm/fake_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <fcntl.h>

static struct loop *loop;
static struct client *c;
static int far; /* the other end, where it is ours */

static unsigned replies, ends, events;
static struct err last;
static char last_event[32];
static json_t *last_result;

static void on_reply(void *opaque, const json_t *result, const struct err *e)
{
	replies++;
	json_decref(last_result);
	last_result = result ? json_incref((json_t *)(uintptr_t)result) : NULL;
	if (e)
		last = *e;
	else
		last.code = 0;
}

static void on_event(void *opaque, const char *name, const json_t *data)
{
	events++;
	snprintf(last_event, sizeof(last_event), "%s", name);
}

static void on_end(void *opaque, const struct err *why)
{
	ends++;
	last = *why;
}

static int setup(void **state)
{
	int sv[2];

	replies = ends = events = 0;
	last.code = 0;
	if (loop_new(&loop, NULL) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	c = client_new(sv[0]);
	far = sv[1];
	client_set_ops(c, &(struct client_ops){ .event = on_event, .end = on_end });
	return client_attach(c, loop, NULL);
}

static int teardown(void **state)
{
	client_free(steal(&c));
	loop_free(loop);
	json_decref(steal(&last_result));
	if (far >= 0)
		close(far);
	return 0;
}

static void stop(void *l)
{
	loop_stop(l);
}

static void turn(void)
{
	for (int i = 0; i < 4; i++) {
		loop_post(loop, stop, loop);
		loop_run(loop);
	}
}

static void request(const char *command, u64 timeout_ms)
{
	struct err e;

	if (client_request(c, command, NULL, -1, timeout_ms, on_reply, NULL, &e) < 0)
		fail_msg("%s", e.msg);
}

static void says(const char *text)
{
	assert_int_equal(send(far, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	turn();
}

/* ---- against one of ours ---- */

static void test_answers(void **state)
{
	char line[200];

	request("status", 0);
	request("stop", 0);
	turn();
	line[recv(far, line, sizeof(line) - 1, 0)] = '\0';
	assert_string_equal(line, "{\"command\":\"status\",\"id\":1}\n{\"command\":\"stop\",\"id\":2}\n");
	assert_int_equal(replies, 0);
	says("{\"id\":2,\"ok\":true,\"result\":{\"n\":2}}\n{\"id\":1,\"ok\":tr"); /* in any order, in pieces */
	assert_int_equal(replies, 1);
	assert_int_equal(json_integer_value(json_object_get(last_result, "n")), 2);
	says("ue,\"result\":{\"n\":1}}\n\n{\"event\":\"state\",\"data\":{}}\n");
	assert_int_equal(replies, 2);
	assert_int_equal(json_integer_value(json_object_get(last_result, "n")), 1);
	assert_int_equal(events, 1);
	assert_string_equal(last_event, "state");

	request("balloon", 0);
	says("{\"id\":3,\"ok\":false,\"error\":\"x: y\",\"code\":\"out-of-range\",\"errno\":34,"
	     "\"message\":[{\"id\":\"%s: y\",\"args\":[\"x\"]}]}\n");
	assert_int_equal(last.code, ERANGE);
	assert_string_equal(err_name(&last), "out-of-range");
	assert_string_equal(last.msg, "x: y");
	request("balloon", 0); /* one from before there were codes */
	says("{\"id\":4,\"ok\":false,\"error\":\"a %s text\"}\n");
	assert_int_equal(last.code, EIO);
	assert_string_equal(last.msg, "a %s text");
	assert_int_equal(ends, 0);
}

static void test_late(void **state)
{
	request("status", 20);
	request("stats", 0);
	u64 end = clock_mono_ns() + 5 * NSEC_PER_SEC;
	while (!replies && clock_mono_ns() < end)
		turn();
	assert_int_equal(replies, 1);
	assert_int_equal(last.code, ETIMEDOUT);
	says("{\"id\":1,\"ok\":true,\"result\":{}}\n"); /* nobody waits for it any more */
	assert_int_equal(replies, 1);
	says("{\"id\":2,\"ok\":true,\"result\":{}}\n{\"id\":2,\"ok\":true,\"result\":{}}\n");
	assert_int_equal(replies, 2);
	assert_int_equal(ends, 0);
}

static void test_gone(void **state)
{
	struct err e;

	request("status", 0);
	request("stats", 0);
	close(far);
	far = -1;
	turn();
	assert_int_equal(replies, 2);
	assert_int_equal(ends, 1);
	assert_string_equal(last.msg, "the VM ended without an answer");
	assert_int_equal(client_fd(c), -1);
	assert_int_equal(client_request(c, "stop", NULL, -1, 0, on_reply, NULL, &e), -ENOTCONN);
	turn();
	assert_int_equal(replies, 2);
}

/* What was said before the end is heard, although nothing can be sent any more. */
static void test_last_words(void **state)
{
	assert_int_equal(send(far, "{\"event\":\"failed\",\"data\":{}}\n", 29, 0), 29);
	close(far);
	far = -1;
	request("status", 0);
	turn();
	assert_string_equal(last_event, "failed");
	assert_int_equal(replies, 1);
	assert_int_equal(ends, 1);
}

static void test_nonsense(void **state)
{
	static const char *const lines[] = {
		"junk\n",
		"[1]\n",
		"{}\n",
		"{\"id\":1}\n",
		"{\"id\":\"1\",\"ok\":true,\"result\":{}}\n",
		"{\"id\":1,\"ok\":1,\"result\":{}}\n",
		"{\"ok\":false}\n",
		"{\"event\":1}\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		ends = replies = 0;
		request("status", 0);
		says(lines[i]);
		assert_int_equal(ends, 1);
		assert_int_equal(replies, 1);
		assert_string_equal(last.msg, "the VM gave an answer that makes no sense");
		teardown(state);
		assert_int_equal(setup(state), 0);
	}
	/* An error whose parts make no sense has its text, or says so. */
	request("status", 0);
	says("{\"id\":1,\"ok\":false,\"error\":\"text\",\"message\":[{\"id\":5}],\"code\":[],\"errno\":-7}\n");
	assert_string_equal(last.msg, "text");
	request("status", 0);
	says("{\"id\":2,\"ok\":false,\"message\":{}}\n");
	assert_string_equal(last.msg, "the VM gave an answer that makes no sense");
	request("status", 0);
	says("{\"id\":3,\"ok\":true}\n"); /* no result */
	assert_string_equal(last.msg, "the VM gave an answer that makes no sense");
	assert_int_equal(ends, 0);
	/* It refuses us before we asked. */
	says("{\"ok\":false,\"error\":\"8 clients\",\"code\":\"too-many-clients\"}\n");
	assert_int_equal(ends, 1);
	assert_string_equal(err_name(&last), "too-many-clients");
}

static void test_endless_line(void **state)
{
	static char junk[65536];

	memset(junk, 'x', sizeof(junk));
	fcntl(far, F_SETFL, O_NONBLOCK);
	for (unsigned i = 0; !ends && i < 1000; i++) {
		ssize_t n = send(far, junk, sizeof(junk), MSG_NOSIGNAL);
		(void)n;
		turn();
	}
	assert_int_equal(ends, 1);
	assert_string_equal(last.msg, "the VM gave an answer that is longer than any");
}

/* One that does not read: requests are bounded, and time out. */
static void test_deaf(void **state)
{
	struct err e;
	int r = 0, n = 0;

	while (n < 1000 && (r = client_request(c, "status", NULL, -1, 10, on_reply, NULL, &e)) == 0)
		n++;
	assert_int_equal(r, -EBUSY);
	assert_int_equal(n, CLIENT_REQUESTS_MAX);
	usleep(20000);
	turn();
	assert_int_equal(replies, n);
	assert_int_equal(last.code, ETIMEDOUT);
}

static void free_it(void *opaque, const json_t *result, const struct err *e)
{
	replies++;
	client_free(steal(&c));
}

/* A callback may free the client, whatever the reason it is called for. */
static void test_freed_inside(void **state)
{
	client_request(c, "status", NULL, -1, 0, free_it, NULL, NULL);
	request("stats", 0);
	says("{\"id\":1,\"ok\":true,\"result\":{}}\n{\"id\":2,\"ok\":true,\"result\":{}}\n");
	assert_null(c);
	assert_int_equal(replies, 2);
	assert_int_equal(last.code, ECANCELED);
	teardown(state);
	setup(state);
	client_request(c, "status", NULL, -1, 0, free_it, NULL, NULL);
	close(far);
	far = -1;
	turn();
	assert_null(c);
	assert_int_equal(ends, 0);
	teardown(state);
	setup(state);
	client_request(c, "status", NULL, -1, 1, free_it, NULL, NULL);
	usleep(3000);
	turn();
	assert_null(c);
}

/* ---- against the control socket itself ---- */

static struct vm vm;
static struct control *control;

static int setup_real(void **state)
{
	int r = setup(state);

	vm = (struct vm){ 0 };
	return r < 0 || control_new(&control, loop, &vm, NULL) < 0 ||
	       control_client(control, steal_fd(&far), CONTROL_PARENT, NULL) < 0;
}

static int teardown_real(void **state)
{
	control_free(control);
	return teardown(state);
}

static void test_real(void **state)
{
	struct err e;

	assert_int_equal(client_request(c, "hello", json_pack("{s:[i]}", "versions", 1), -1, 0, on_reply, NULL, &e), 0);
	turn();
	assert_string_equal(json_string_value(json_object_get(last_result, "mica")), MICA_VERSION);
	request("frob", 0);
	turn();
	assert_string_equal(err_name(&last), "unknown-command");
	assert_string_equal(last.msg, "frob: no such command; hello lists those there are");
	request("subscribe", 0);
	turn();
	happens(&vm, &(struct vm_event){ .kind = VM_EVENT_RESET, .why = "reset" });
	turn();
	assert_string_equal(last_event, "reset");

	/* A save with its descriptor; others are answered meanwhile. */
	int fd = memfd_create("state", MFD_CLOEXEC);
	replies = 0;
	assert_int_equal(client_request(c, "save", NULL, fd, 0, on_reply, NULL, &e), 0);
	request("stop", 0);
	turn();
	assert_int_equal(replies, 1);
	assert_int_equal(vm.buttons, 1);
	assert_true(save_fd >= 0);
	close(save_fd);
	held = true;
	save_done(save_opaque, NULL, 1000, 2000);
	turn();
	assert_int_equal(replies, 2);
	assert_int_equal(json_integer_value(json_object_get(last_result, "memory_bytes")), 2000);
	close(fd);
	client_free(steal(&c));
	turn();
	assert_int_equal(released, 1);
	assert_int_equal(vm.asked, VM_QUIT);
}

/* ---- waiting, without a loop ---- */

static void *serve(void *opaque)
{
	loop_run(opaque);
	return NULL;
}

static void test_waiting(void **state)
{
	struct client_peer peer;
	json_t *result = NULL;
	pthread_t thread;
	struct err e;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(control_client(control, sv[1], CONTROL_ANYBODY, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve, loop), 0);
	struct client *w = client_new(sv[0]);
	assert_int_equal(client_hello(w, &peer, 10000, &e), 0);
	assert_int_equal(peer.version, 1);
	assert_string_equal(peer.mica, MICA_VERSION);
	assert_true(client_can(&peer, "save") && !client_can(&peer, "frob"));
	client_peer_fini(&peer);
	assert_int_equal(client_call(w, &result, "status", NULL, -1, 10000, &e), 0);
	assert_string_equal(json_string_value(json_object_get(result, "state")), "running");
	json_decref(result);
	assert_int_equal(client_call(w, &result, "balloon", json_pack("{s:i}", "bytes", 5000), -1, 10000, &e), -ERANGE);
	assert_null(result);
	client_free(w);
	loop_stop(loop);
	pthread_join(thread, NULL);
}

static void test_connect(void **state)
{
	char longer[200];
	struct client *none;
	struct err e;

	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(client_connect(&none, "/nowhere/sock", &e), -ENOENT);
	assert_string_equal(e.msg, "/nowhere/sock: cannot reach a VM there: No such file or directory");
	assert_int_equal(client_connect(&none, longer, &e), -ENAMETOOLONG);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define REAL(fn) cmocka_unit_test_setup_teardown(fn, setup_real, teardown_real)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answers),
		TEST(test_late),
		TEST(test_gone),
		TEST(test_last_words),
		TEST(test_nonsense),
		TEST(test_endless_line),
		TEST(test_deaf),
		TEST(test_freed_inside),
		REAL(test_real),
		REAL(test_waiting),
		cmocka_unit_test(test_connect),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
