/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_vnc.c - where VNC clients may come in, and mica-vnc between a client and a VM: who looks, pictures, keys, a
 * client that speaks nonsense, and the server's own death.
 */
#include "vnc/vnc.h"
#include "patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

/* ---- addresses ---- */

static void allowed(const char *where, bool password)
{
	struct err e = { 0 };

	if (vnc_check(where, password, &e) < 0)
		fail_msg("%s: %s", where, e.msg);
}

static void refused(const char *where, bool password, int code, const char *words)
{
	struct err e = { 0 };

	assert_int_equal(vnc_check(where, password, &e), -code);
	if (!strstr(e.msg, words))
		fail_msg("%s: %s", where, e.msg);
}

static void test_addresses(void **state)
{
	allowed("unix:/tmp/x", false);
	allowed("127.0.0.1:5900", false);
	allowed("127.9.9.9:5900", false);
	allowed("localhost:5900", false);
	allowed("[::1]:5900", false);
	allowed("0.0.0.0:5900", true);
	allowed("[::]:5900", true);
	refused("0.0.0.0:5900", false, EPERM, "password-file=FILE");
	refused("192.168.1.2:5900", false, EPERM, "password-file=FILE");
	refused("[::]:5900", false, EPERM, "password-file=FILE");
	refused("[fe80::1]:5900", false, EPERM, "password-file=FILE");
	refused("[::ffff:10.0.0.1]:5900", false, EPERM, "password-file=FILE");
	refused("unix:", false, EINVAL, "no path given");
	refused("5900", false, EINVAL, "ADDRESS:PORT");
	refused(":5900", true, EINVAL, "ADDRESS:PORT");
	refused("127.0.0.1:", false, EINVAL, "ADDRESS:PORT");
	refused("example.org:5900", true, EINVAL, "ADDRESS:PORT");
	refused("127.0.0.1:http", false, EINVAL, "ADDRESS:PORT");
}

/* ---- the process ---- */

static struct vnc_link l;
static int listener;
static struct sockaddr_in at;

static int start_with(const struct vnc_access *a)
{
	struct err e = { 0 };
	socklen_t n = sizeof(at);

	listener = vnc_listen("127.0.0.1:0", &e);
	if (listener < 0 || getsockname(listener, (struct sockaddr *)&at, &n) < 0)
		return -1;
	if (vnc_start(&l, listener, a, "a guest", &e) < 0)
		fail_msg("%s", e.msg);
	return 0;
}

static int start(const char *password_file)
{
	return start_with(&(struct vnc_access){ .password_file = password_file });
}

static int up(void **state)
{
	return start(NULL);
}

static int down(void **state)
{
	vnc_close(&l);
	close(listener);
	return 0;
}

/* What it says next to the VM. */
static struct vnc_msg hears(enum vnc_type type)
{
	struct pollfd p = { .fd = l.fd, .events = POLLIN };
	struct vnc_msg m = { 0 };

	assert_int_equal(poll(&p, 1, (int)(patient(20 * 1000))), 1);
	assert_true(recv(l.fd, &m, sizeof(m), 0) >= (ssize_t)VNC_MSG_BYTES(0));
	assert_int_equal(m.type, type);
	return m;
}

static int connects(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void reads(int fd, void *buf, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (size_t k = 0; k < n;) {
		assert_int_equal(poll(&p, 1, (int)(patient(20 * 1000))), 1);
		ssize_t r = recv(fd, (char *)buf + k, n - k, 0);
		assert_true(r > 0);
		k += (size_t)r;
	}
}

static bool closed(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c[256];
	ssize_t r = 1;

	while (r > 0 && poll(&p, 1, (int)(patient(20 * 1000))) == 1)
		r = recv(fd, c, sizeof(c), 0);
	return r <= 0;
}

/* RFC 6143 7.1; returns the kind of authentication that is asked for. */
static u8 greets(int fd)
{
	char version[12];
	u8 types[2];

	reads(fd, version, sizeof(version));
	assert_memory_equal(version, "RFB 003.008\n", 12);
	assert_int_equal(send(fd, version, 12, 0), 12);
	reads(fd, types, 2);
	assert_int_equal(types[0], 1);
	assert_int_equal(send(fd, types + 1, 1, 0), 1);
	return types[1];
}

static int looks_on(void)
{
	u8 result[4], init[24 + 7];
	int fd = connects();

	assert_int_equal(greets(fd), 1);
	reads(fd, result, sizeof(result));
	assert_int_equal(send(fd, "\1", 1, 0), 1);
	reads(fd, init, sizeof(init));
	assert_memory_equal(init + 24, "a guest", 7);
	return fd;
}

static void test_pictures_and_keys(void **state)
{
	struct vnc_msg m = { .type = VNC_PICTURE, .a = 16, .b = 8, .nrects = 1, .rect = { { 0, 0, 16, 8 } } };
	/* raw rectangles, of all of the screen */
	static const char encodings[] = "\2\0\0\1\0\0\0\0", ask[] = "\3\0\0\0\0\0\0\x10\0\x08";
	u8 update[4 + 12], pixel[4];
	int fd = looks_on();

	assert_int_equal(hears(VNC_LOOK).a, 1);
	l.pixels[0] = 0x123456;
	assert_true(send(l.fd, &m, VNC_MSG_BYTES(1), 0) > 0);
	hears(VNC_SEEN);
	assert_int_equal(send(fd, encodings, 8, 0), 8);
	assert_int_equal(send(fd, ask, 10, 0), 10);
	reads(fd, update, sizeof(update));
	assert_memory_equal(update, "\0\0\0\1\0\0\0\0\0\x10\0\x08\0\0\0\0", 16);
	reads(fd, pixel, sizeof(pixel));
	assert_int_equal(ld_le32(pixel), 0x123456);
	/* By keysym; then by key code, which is offered to who names it. */
	assert_int_equal(send(fd, "\4\1\0\0\0\0\0\x61", 8, 0), 8);
	struct vnc_msg k = hears(VNC_KEY);
	assert_true(k.a == 0x61 && k.b == 1 && k.c == 0);
	assert_int_equal(send(fd, "\xff\0\0\1\0\0\xff\x31\0\0\0\x72", 12, 0), 12);
	close(fd);
	assert_int_equal(hears(VNC_LOOK).a, 0); /* it was not offered: the message was nonsense */
	fd = looks_on();
	assert_int_equal(hears(VNC_LOOK).a, 1);
	assert_int_equal(send(fd, "\2\0\0\1\xff\xff\xfe\xfe", 8, 0), 8);
	reads(fd, update, sizeof(update));
	assert_memory_equal(update, "\0\0\0\1\0\0\0\0\0\0\0\0\xff\xff\xfe\xfe", 16);
	assert_int_equal(send(fd, "\xff\0\0\1\0\0\xff\x31\0\0\0\x72", 12, 0), 12);
	k = hears(VNC_KEY);
	assert_true(k.a == 0xff31 && k.b == 1 && k.c == 0x72);
	assert_int_equal(send(fd, "\xff\1\0\0\0\0\0\0\0\0\0\0", 12, 0), 12); /* audio */
	assert_true(closed(fd));
	close(fd);
	assert_int_equal(hears(VNC_LOOK).a, 0);
}

/* The size changes between a client's coming and its word that it follows sizes. */
static void test_size_changes_early(void **state)
{
	struct vnc_msg m = { .type = VNC_PICTURE, .a = 16, .b = 8, .nrects = 1, .rect = { { 0, 0, 16, 8 } } };
	u8 update[4 + 12];
	int fd = looks_on();

	assert_int_equal(hears(VNC_LOOK).a, 1);
	assert_true(send(l.fd, &m, VNC_MSG_BYTES(1), 0) > 0);
	hears(VNC_SEEN);
	assert_int_equal(send(fd, "\2\0\0\1\xff\xff\xff\x21", 8, 0), 8); /* DesktopSize (RFC 6143 7.8.2) */
	for (;;) {
		assert_int_equal(send(fd, "\3\1\0\0\0\0\2\x80\1\x90", 10, 0), 10); /* what changes, of 640x400 */
		reads(fd, update, sizeof(update));
		if (update[12])
			break;
		auto_free u8 *pixels = xcalloc(16 * 8, 4); /* it may be asked before that word is heard */
		reads(fd, pixels, 16ul * 8 * 4);
	}
	assert_memory_equal(update, "\0\0\0\1\0\0\0\0\0\x10\0\x08\xff\xff\xff\x21", 16);
	close(fd);
	assert_int_equal(hears(VNC_LOOK).a, 0);
}

static void cuts(int fd, const char *s, size_t n)
{
	u8 head[8] = { 6 };

	st_le32(head + 4, __builtin_bswap32((u32)n));
	assert_int_equal(send(fd, head, 8, 0), 8);
	assert_int_equal(send(fd, s, n, 0), (ssize_t)n);
}

static void test_clipboard(void **state)
{
	static char much[VNC_TEXT_MAX + 1];
	int fd = looks_on();

	assert_int_equal(hears(VNC_LOOK).a, 1);
	cuts(fd, "a\xe4\xff", 3); /* Latin-1 */
	struct vnc_msg m = hears(VNC_TEXT);
	assert_int_equal(m.a, 5);
	assert_memory_equal(m.text, "a\xc3\xa4\xc3\xbf", 5);
	memset(much, 'x', sizeof(much));
	cuts(fd, much, sizeof(much));
	assert_int_equal(hears(VNC_TEXT).a, VNC_TEXT_MAX + 1);
	cuts(fd, much, VNC_TEXT_MAX);
	m = hears(VNC_TEXT);
	assert_int_equal(m.a, VNC_TEXT_MAX);
	assert_memory_equal(m.text, much, VNC_TEXT_MAX);
	close(fd);
	assert_int_equal(hears(VNC_LOOK).a, 0);
}

static void test_nonsense_ends_a_client(void **state)
{
	int good = looks_on(), bad = looks_on();

	assert_int_equal(hears(VNC_LOOK).a, 1);
	assert_int_equal(send(bad, "\x99", 1, 0), 1);
	assert_true(closed(bad));
	assert_int_equal(send(good, "\4\1\0\0\0\0\0\x61", 8, 0), 8);
	assert_int_equal(hears(VNC_KEY).a, 0x61);
	close(good);
	close(bad);
}

static void test_password(void **state)
{
	char path[] = "/tmp/test_vnc.XXXXXX";
	int fd = mkstemp(path);
	u8 challenge[16], result[4];

	assert_int_equal(write(fd, "secret\n", 7), 7);
	close(fd);
	assert_int_equal(start(path), 0);
	unlink(path);
	fd = connects();
	assert_int_equal(greets(fd), 2);
	reads(fd, challenge, sizeof(challenge));
	assert_int_equal(send(fd, challenge, sizeof(challenge), 0), sizeof(challenge)); /* not encrypted */
	reads(fd, result, sizeof(result));
	assert_memory_equal(result, "\0\0\0\1", 4);
	assert_true(closed(fd));
	close(fd);
	down(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test_setup_teardown(test_pictures_and_keys, up, down),
		cmocka_unit_test_setup_teardown(test_size_changes_early, up, down),
		cmocka_unit_test_setup_teardown(test_clipboard, up, down),
		cmocka_unit_test_setup_teardown(test_nonsense_ends_a_client, up, down),
		cmocka_unit_test(test_password),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
