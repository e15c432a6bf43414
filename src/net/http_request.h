/* SPDX-License-Identifier: GPL-2.0-or-later */
/* http_request.h - what a request for a file says (RFC 9112), as far as a server of files has to know. */
#ifndef MICA_HTTP_REQUEST_H
#define MICA_HTTP_REQUEST_H

#include "base/base.h"

#define HTTP_PATH_MAX 1024

struct http_request {
	char path[HTTP_PATH_MAX]; /* decoded, without the query */
	bool head;                /* HEAD; else GET */
	bool keep;                /* the connection is to go on */
	bool ranged, suffix;      /* RFC 9110, 14.1.2: first-last, or the last `last` bytes */
	u64 first, last;
};

/* The length of a request's head with its empty line; 0: it has not come whole. */
size_t http_request_length(const char *text, size_t n);
/* text: that many bytes. 0, or the status to answer with; then the connection cannot go on (keep is false). */
unsigned http_request_parse(struct http_request *q, const char *text, size_t n);
/* [*first, *end) of a file of `size` bytes. 200: all of it; 206: a part; 416: there is no such part. */
unsigned http_request_span(const struct http_request *q, u64 size, u64 *first, u64 *end);

#endif
