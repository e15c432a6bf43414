/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_net_backend.c - the first message of what is behind a network card, from a back end of any kind. */
#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/socket.h>

static struct net_backend b;
static struct err e;

/* What comes of a back end that says these bytes. */
static int first(const void *bytes, size_t n)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	if (n)
		assert_int_equal(send(sv[1], bytes, n, 0), n);
	close(sv[1]);
	int r = net_backend_open(&b, sv[0], 1000, &e);
	if (r < 0)
		close(sv[0]);
	else
		net_backend_close(&b);
	return r;
}

static void hello(void **state)
{
	struct net_hello h = { .msg = NET_MSG_HELLO, .version = NET_VERSION, .mtu = 9000, .flags = NET_HELLO_CHECKED };
	u8 longer[NET_FRAME_MIN] = { 0 };

	assert_int_equal(first(&h, sizeof(h)), 0);
	assert_int_equal(b.mtu, 9000);
	assert_true(b.checked);
	assert_int_equal(b.pid, 0);
	memcpy(longer, &h, sizeof(h)); /* a later version may say more */
	assert_int_equal(first(longer, NET_FRAME_MIN - 1), 0);
	assert_int_equal(first(longer, NET_FRAME_MIN), -EPROTO);
	for (size_t n = 1; n < sizeof(h); n++)
		assert_int_equal(first(&h, n), -EPROTO);
	h.version = 2;
	assert_int_equal(first(&h, sizeof(h)), -EPROTONOSUPPORT);
	assert_non_null(strstr(e.msg, "speaks version 2 of its protocol, not 1"));
	h.version = NET_VERSION;
	static const u32 bad[] = { 0, NET_MTU_MIN - 1, NET_MTU_MAX + 1, UINT32_MAX };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		h.mtu = bad[i];
		assert_int_equal(first(&h, sizeof(h)), -EPROTO);
	}
	/* What is not known is not passed over: each bit alone, and beside one that is. */
	h.mtu = 9000;
	h.flags = 0;
	assert_int_equal(first(&h, sizeof(h)), 0);
	assert_false(b.checked);
	for (unsigned i = 1; i < 32; i++) {
		h.flags = 1u << i;
		assert_int_equal(first(&h, sizeof(h)), -EPROTONOSUPPORT);
		h.flags |= NET_HELLO_CHECKED;
		assert_int_equal(first(&h, sizeof(h)), -EPROTONOSUPPORT);
	}
	assert_string_equal(e.msg,
			    "the network's process says of its frames what this version of Mica does not know (flags "
			    "0x80000000)");
	h = (struct net_hello){ .msg = NET_MSG_DOWN, .version = NET_VERSION, .mtu = 9000 };
	assert_int_equal(first(&h, sizeof(h)), -EPROTO);
}

static void failures(void **state)
{
	struct err why;
	int sv[2];

	assert_int_equal(first(NULL, 0), -EPIPE);
	assert_string_equal(e.msg, "the network's process ended before it was ready");
	assert_int_equal(first("\2", 1), -EPROTO); /* failed, and nothing more */
	assert_int_equal(first("\2junkjunkjunkjunk", 17), -EPROTO);

	err_sys(&why, EADDRINUSE, "port %u", 22u);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	net_say_failed(sv[1], &why);
	assert_int_equal(net_backend_open(&b, sv[0], 1000, &e), -EADDRINUSE);
	assert_string_equal(e.msg, "port 22: Address already in use");
	assert_int_equal(net_backend_open(&b, sv[0], 20, &e), -ETIMEDOUT);
	net_say_hello(sv[1], 1500, 0);
	assert_int_equal(net_backend_open(&b, sv[0], 1000, &e), 0);
	assert_int_equal(b.mtu, 1500);
	net_backend_close(&b);
	close(sv[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(net_backend_open(&b, sv[0], 20, &e), -EINVAL);
	assert_int_equal(net_backend_open(&b, 999, 20, &e), -EINVAL);
	close(sv[0]);
	close(sv[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(hello), cmocka_unit_test(failures) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
