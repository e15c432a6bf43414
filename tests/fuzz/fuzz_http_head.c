/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_http_head.c - the head of a web server's answer, as mica-netdisk reads it: lines of any bytes. */
#include "netdisk/nd_http_head.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct nd_http_head h;

	nd_http_head_clear(&h);
	for (size_t at = 0; at < size;) {
		const u8 *end = memchr(data + at, '\n', size - at);
		size_t n = end ? (size_t)(end - data) + 1 - at : size - at;
		char *line = xcalloc(1, n); /* so that a byte too many is noticed */

		memcpy(line, data + at, n);
		nd_http_head_line(&h, line, n);
		free(line);
		at += n;
		must(!h.ranged || (h.first <= h.last && h.last < h.bytes));
		must(strlen(h.etag) < sizeof(h.etag) && strlen(h.modified) < sizeof(h.modified));
	}
	return 0;
}
