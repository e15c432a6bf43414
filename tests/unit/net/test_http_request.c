/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_http_request.c - what requests of boot loaders, and of nobody good, are taken for. */
#include "net/http_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct http_request q;

static unsigned parse(const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(http_request_length(text, n), n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(http_request_length(text, i), 0);
	return http_request_parse(&q, text, n);
}

static void requests(void **state)
{
	(void)state;
	assert_int_equal(parse("GET /boot%2Fgrub.efi?a=b HTTP/1.1\r\nHost: 10.0.2.2\r\n\r\n"), 0);
	assert_string_equal(q.path, "/boot/grub.efi");
	assert_true(q.keep && !q.head && !q.ranged);
	assert_int_equal(parse("HEAD http://10.0.2.2/a HTTP/1.1\r\nrange: bytes=1-2\r\nCONNECTION: close \r\n\r\n"), 0);
	assert_string_equal(q.path, "/a");
	assert_true(q.head && !q.keep && !q.ranged);
	assert_int_equal(parse("GET /a HTTP/1.0\n\n"), 0);
	assert_false(q.keep);
	assert_int_equal(parse("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n"), 0);
	assert_true(q.keep);
}

static void refused(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
	} bad[] = {
		{ "\r\n\r\n", 400 },
		{ "GET /a\r\n\r\n", 400 },
		{ "GET a HTTP/1.1\r\n\r\n", 400 },
		{ "GET http://host HTTP/1.1\r\n\r\n", 400 },
		{ "GET /%0 HTTP/1.1\r\n\r\n", 400 },
		{ "GET /%zz HTTP/1.1\r\n\r\n", 400 },
		{ "GET /a%00b HTTP/1.1\r\n\r\n", 400 },
		{ "POST /a HTTP/1.1\r\n\r\n", 501 },
		{ "GET /a HTTP/2.0\r\n\r\n", 505 },
		{ "GET /a HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400 },
		{ "GET /a HTTP/1.1\r\nContent-Length: -\r\n\r\n", 400 },
		{ "GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	};
	char lengthy[HTTP_PATH_MAX + 40];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		/* The first ends at once. */
		unsigned got = http_request_parse(&q, bad[i].text, strlen(bad[i].text));
		if (got != bad[i].status || q.keep)
			fail_msg("%s: %u", bad[i].text, got);
	}
	for (int more = -1; more <= 0; more++) { /* the longest name there may be, and one more */
		snprintf(lengthy, sizeof(lengthy), "GET /%0*d HTTP/1.1\r\n\r\n", HTTP_PATH_MAX - 1 + more, 0);
		assert_int_equal(parse(lengthy), more < 0 ? 0 : 414);
	}
}

static void spans(void **state)
{
	static const struct {
		const char *range;
		unsigned status;
		u64 first, end;
	} all[] = {
		{ "bytes=0-0", 206, 0, 1 },
		{ "bytes=10-19", 206, 10, 20 },
		{ "bytes=90-", 206, 90, 100 },
		{ "bytes=90-1000", 206, 90, 100 },
		{ "bytes=-10", 206, 90, 100 },
		{ "bytes=-1000", 206, 0, 100 },
		{ "bytes=0-18446744073709551615", 200, 0, 100 }, /* no number that is taken */
		{ "bytes=5-4", 200, 0, 100 },
		{ "bytes=0-1,3-4", 200, 0, 100 },
		{ "bytes=-", 200, 0, 100 },
		{ "lines=1-2", 200, 0, 100 },
		{ "bytes=100-", 416, 0, 0 },
		{ "bytes=-0", 416, 0, 0 },
	};
	char text[200];
	u64 first, end;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		snprintf(text, sizeof(text), "GET /a HTTP/1.1\r\nRange: %s\r\n\r\n", all[i].range);
		assert_int_equal(parse(text), 0);
		unsigned status = http_request_span(&q, 100, &first, &end);
		if (status != all[i].status || (status != 416 && (first != all[i].first || end != all[i].end)))
			fail_msg("%s: %u %llu-%llu", all[i].range, status, (unsigned long long)first,
				 (unsigned long long)end);
	}
	assert_int_equal(parse("GET /a HTTP/1.1\r\nRange: bytes=0-1\r\nIf-Range: \"x\"\r\n\r\n"), 0);
	assert_int_equal(http_request_span(&q, 100, &first, &end), 200);
	assert_int_equal(parse("GET /a HTTP/1.1\r\nRange: bytes=-5\r\n\r\n"), 0);
	assert_int_equal(http_request_span(&q, 0, &first, &end), 416);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(requests), cmocka_unit_test(refused),
					    cmocka_unit_test(spans) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
