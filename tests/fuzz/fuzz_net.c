/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_net.c - what mica-slirp itself reads of a hostile guest: requests by HTTP, and its questions by DHCP.
 *
 * The input: the text of a request; the same bytes as a frame from the guest, and, with the ports the other way round,
 * as an answer to it.
 */
#include "net/http_request.h"
#include "net/slirp_dhcp.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void request(const u8 *data, size_t size)
{
	struct http_request q;
	u64 first, end;
	size_t n = http_request_length((const char *)data, size);

	must(n <= size);
	if (http_request_parse(&q, (const char *)data, n ? n : size))
		return;
	must(q.path[0] == '/' && strlen(q.path) < HTTP_PATH_MAX);
	for (u64 file = 0; file <= 100; file += 50)
		if (http_request_span(&q, file, &first, &end) != 416)
			must(first <= end && end <= file);
}

static void frames(const u8 *data, size_t size)
{
	struct slirp_dhcp d;
	u8 *frame = xcalloc(1, size + 1), *out = xcalloc(1, size + SLIRP_DHCP_MORE);
	size_t n = size;

	slirp_dhcp_init(&d, "a");
	slirp_dhcp_asked(&d, data, size);
	memcpy(frame, data, size);
	if (size > 38)
		frame[37] = 68;
	d.asked = true;
	if (slirp_dhcp_answer(&d, frame, &n, out))
		must(n >= size - 1500 && n <= size + SLIRP_DHCP_MORE);
	free(frame);
	free(out);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (size > 4096)
		return 0;
	request(data, size);
	frames(data, size);
	return 0;
}
