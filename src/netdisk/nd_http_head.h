/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nd_http_head.h - what counts of the head of an HTTP answer (RFC 9110): which bytes these are, and of which version of
 * the file. Lines are a server's; any bytes may come. */
#ifndef MICA_ND_HTTP_HEAD_H
#define MICA_ND_HTTP_HEAD_H

#include "base/base.h"

struct nd_http_head {
	bool ranged; /* there was a Content-Range that makes sense (section 14.4) */
	u64 first, last, bytes;
	char etag[128], modified[64]; /* "" when there is none, or it is longer */
};

/* A new answer begins. */
void nd_http_head_clear(struct nd_http_head *h);
/* One line of its head, not ended by a NUL. */
void nd_http_head_line(struct nd_http_head *h, const char *line, size_t n);
/* Can it be told apart from any other version? A weak ETag cannot (section 8.8.1). */
bool nd_http_head_strong(const struct nd_http_head *h);

#endif
