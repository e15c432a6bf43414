/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_vnc_greet.c - what VNC clients say up to their authentication, to the process that speaks TLS with them.
 *
 * The input: is there a password?, is a handshake over?, then what comes, in pieces whose length is the byte before.
 */
#include "vnc/vnc_front.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void hear(struct vnc_guest *g, const u8 *p, size_t n)
{
	memcpy(g->up.b + g->up.n, p, n);
	g->up.n += n;
	while (g->step != VNC_AT_FAIL && vnc_greet(g)) {
		g->down.n = 0;
		if (g->step == VNC_AT_HANDSHAKE)
			vnc_greet_secured(g);
	}
	/* Nobody is let in who has not said the password, and nothing is kept that nobody waits for. */
	must(g->up.n < 600 || g->step == VNC_AT_COPY || g->step == VNC_AT_FAIL);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct vnc_guest g;
	struct vnc_front f = { .password = size && data[0] & 1 ? "a password nobody guesses" : "" };

	memset(&g, 0, sizeof(g));
	g.front = &f;
	vnc_greet_begin(&g);
	for (size_t at = 1; at < size && g.step != VNC_AT_COPY && g.step != VNC_AT_FAIL;) {
		size_t n = MIN(data[at] & 63u, size - at - 1);

		hear(&g, data + at + 1, n);
		at += 1 + n;
	}
	must(g.step != VNC_AT_COPY || !*f.password);
	return 0;
}
