/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nd_http_head.c - see nd_http_head.h. */
#include "netdisk/nd_http_head.h"

#include <strings.h>

void nd_http_head_clear(struct nd_http_head *h)
{
	*h = (struct nd_http_head){ 0 };
}

bool nd_http_head_strong(const struct nd_http_head *h)
{
	return h->etag[0] == '"';
}

/* The value of that field; its length in *n. NULL: it is another one. */
static const char *field(const char *line, size_t *n, const char *name)
{
	size_t len = strlen(name);

	if (*n <= len || strncasecmp(line, name, len) || line[len] != ':')
		return NULL;
	line += len + 1;
	*n -= len + 1;
	while (*n && (*line == ' ' || *line == '\t'))
		line++, (*n)--;
	while (*n && (u8)line[*n - 1] <= ' ')
		(*n)--;
	return line;
}

static bool number(const char **p, const char *end, u64 *v)
{
	const char *begin = *p;

	*v = 0;
	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
		if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, (u64)(**p - '0'), v))
			return false;
	return *p > begin;
}

static bool skip(const char **p, const char *end, char c)
{
	return *p < end && *(*p)++ == c;
}

/* "bytes 0-511/1048576" */
static void content_range(struct nd_http_head *h, const char *v, size_t n)
{
	const char *end = v + n;

	h->ranged = false;
	if (n < 6 || strncasecmp(v, "bytes ", 6))
		return;
	v += 6;
	h->ranged = number(&v, end, &h->first) && skip(&v, end, '-') && number(&v, end, &h->last) &&
		    skip(&v, end, '/') && number(&v, end, &h->bytes) && v == end && h->first <= h->last &&
		    h->last < h->bytes;
}

static void keep(char *out, size_t room, const char *v, size_t n)
{
	bool plain = n < room;

	for (size_t i = 0; i < n && plain; i++)
		plain = (u8)v[i] >= ' ' && (u8)v[i] < 0x7f;
	memcpy(out, v, plain ? n : 0);
	out[plain ? n : 0] = '\0';
}

void nd_http_head_line(struct nd_http_head *h, const char *line, size_t n)
{
	const char *v;
	size_t m = n;

	if (n >= 5 && !strncasecmp(line, "HTTP/", 5)) /* of the last answer, after 100 Continue */
		nd_http_head_clear(h);
	else if ((v = field(line, &m, "Content-Range")))
		content_range(h, v, m);
	else if (m = n, (v = field(line, &m, "ETag")))
		keep(h->etag, sizeof(h->etag), v, m);
	else if (m = n, (v = field(line, &m, "Last-Modified")))
		keep(h->modified, sizeof(h->modified), v, m);
}
