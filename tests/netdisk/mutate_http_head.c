/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_http_head.c - fuzz_http_head.c without a fuzzer: sound heads with bytes changed. */
#include "mutate.h"

static void shape(u8 *buf, size_t n, unsigned long round)
{
	static const char sound[] =
	    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-511/1048576\r\nETag: \"1\"\r\n"
	    "Last-Modified: Mon, 30 Nov 2026 10:00:00 GMT\r\n";
	u8 noise[4];

	memcpy(noise, buf, sizeof(noise));
	memcpy(buf, sound, MIN(n, sizeof(sound) - 1));
	for (unsigned i = 0; i < round % 4; i++)
		buf[(noise[i] * 7u + round) % n] = noise[(i + 1) % 4];
}

int main(int argc, char **argv)
{
	const struct mutate m = { .rounds = 300000, .least = 8, .most = 256, .shape = shape, .what = "heads" };

	return mutate_main(&m, argc, argv);
}
