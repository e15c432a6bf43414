/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text form of forwarded ports. */
#include "base/base.h"
#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void good(void **state)
{
	struct net_hostfwd f;

	(void)state;
	assert_int_equal(net_hostfwd_parse(&f, "tcp::2222-:22", NULL), 0);
	assert_false(f.udp);
	assert_string_equal(f.host_addr, "");
	assert_int_equal(f.host_port, 2222);
	assert_int_equal(f.guest_port, 22);
	assert_int_equal(net_hostfwd_parse(&f, "udp:0.0.0.0:65535-10.0.2.15:1", NULL), 0);
	assert_true(f.udp);
	assert_string_equal(f.host_addr, "0.0.0.0");
	assert_int_equal(f.host_port, 65535);
	assert_int_equal(f.guest_port, 1);
}

static void bad(void **state)
{
	static const char *const text[] = {
		"",
		"tcp",
		"tcp:",
		"sctp::1-:2",
		"TCP::1-:2",
		"tcp:1-:2",
		"tcp::-:2",
		"tcp::0-:2",
		"tcp::65536-:2",
		"tcp::99999999999999999999-:2",
		"tcp::+1-:2",
		"tcp:: 1-:2",
		"tcp::1-2",
		"tcp::1:2",
		"tcp::1-:",
		"tcp::1-:0",
		"tcp::1-:2 ",
		"tcp::1-:2,",
		"tcp::1-:70000",
		"tcp::1-10.0.2.16:2",
		"tcp:localhost:1-:2",
		"tcp:127.0.0.256:1-:2",
		"tcp:::1:1-:2",
		"tcp:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1-:2",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		struct net_hostfwd f = { .guest_port = 77 };
		struct err e = { 0 };
		if (net_hostfwd_parse(&f, text[i], &e) != -EINVAL)
			fail_msg("'%s' was taken", text[i]);
		assert_non_null(strstr(e.msg, text[i]));
		assert_int_equal(f.guest_port, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
