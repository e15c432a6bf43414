/* SPDX-License-Identifier: GPL-2.0-or-later */
/* http_request.c - see http_request.h. */
#include "net/http_request.h"

#include <strings.h>

struct text {
	const char *p, *end;
};

static bool text_is(struct text t, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(t.end - t.p) == n && !strncasecmp(t.p, word, n);
}

static bool starts(struct text t, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(t.end - t.p) >= n && !strncasecmp(t.p, word, n);
}

/* Up to `c`, or all; t goes on behind it. */
static struct text cut(struct text *t, char c)
{
	const char *at = memchr(t->p, c, (size_t)(t->end - t->p));
	struct text part = { t->p, at ? at : t->end };

	t->p = at ? at + 1 : t->end;
	return part;
}

static struct text trimmed(struct text t)
{
	while (t.p < t.end && (*t.p == ' ' || *t.p == '\t'))
		t.p++;
	while (t.p < t.end && strchr(" \t\r", t.end[-1]))
		t.end--;
	return t;
}

/* A line, without what ends it. */
static struct text line(struct text *t)
{
	struct text l = cut(t, '\n');

	if (l.p < l.end && l.end[-1] == '\r')
		l.end--;
	return l;
}

size_t http_request_length(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] != '\n')
			continue;
		size_t next = i + 1 < n && text[i + 1] == '\r' ? i + 2 : i + 1;
		if (next < n && text[next] == '\n')
			return next + 1;
	}
	return 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986, 2.1. A zero byte is no part of a name. */
static unsigned decode(char *to, struct text from)
{
	size_t n = 0;

	for (; from.p < from.end; from.p++) {
		int c = (u8)*from.p;
		if (c == '%') {
			if (from.end - from.p < 3 || hex(from.p[1]) < 0 || hex(from.p[2]) < 0)
				return 400;
			c = hex(from.p[1]) << 4 | hex(from.p[2]);
			from.p += 2;
		}
		if (!c)
			return 400;
		if (n == HTTP_PATH_MAX - 1)
			return 414;
		to[n++] = (char)c;
	}
	to[n] = '\0';
	return 0;
}

static unsigned target(struct http_request *q, struct text t)
{
	/* The form with the host in it is for proxies, and to be taken by every server (RFC 9112, 3.2.2). */
	if (starts(t, "http://")) {
		t.p += strlen("http://");
		while (t.p < t.end && *t.p != '/')
			t.p++;
	}
	if (t.p == t.end || *t.p != '/')
		return 400;
	return decode(q->path, cut(&t, '?'));
}

/* Digits only; false: none, or more than fit. */
static bool number(struct text t, u64 *value)
{
	*value = 0;
	if (t.p == t.end)
		return false;
	for (; t.p < t.end; t.p++) {
		if (*t.p < '0' || *t.p > '9' || *value > (UINT64_MAX - 9) / 10)
			return false;
		*value = *value * 10 + (u64)(*t.p - '0');
	}
	return true;
}

/* One range; what is not understood counts for nothing (RFC 9110, 14.2), nor do several. */
static void range(struct http_request *q, struct text t)
{
	q->ranged = false;
	if (!starts(t, "bytes="))
		return;
	t.p += strlen("bytes=");
	if (memchr(t.p, ',', (size_t)(t.end - t.p)) || !memchr(t.p, '-', (size_t)(t.end - t.p)))
		return;
	struct text from = trimmed(cut(&t, '-')), to = trimmed(t);
	q->suffix = from.p == from.end;
	if (!q->suffix && !number(from, &q->first))
		return;
	if (to.p == to.end && !q->suffix)
		q->last = UINT64_MAX;
	else if (!number(to, &q->last) || (!q->suffix && q->last < q->first))
		return;
	q->ranged = true;
}

static unsigned fields(struct http_request *q, struct text t)
{
	bool conditional = false;

	while (t.p < t.end) {
		struct text value = line(&t);
		if (value.p == value.end)
			break;
		struct text name = cut(&value, ':');
		u64 length;
		value = trimmed(value);
		if (text_is(name, "Connection")) {
			q->keep = text_is(value, "keep-alive") || (q->keep && !text_is(value, "close"));
		} else if (text_is(name, "Range")) {
			range(q, value);
		} else if (text_is(name, "If-Range")) {
			conditional = true; /* on what no answer of ours has: so it is not met */
		} else if (text_is(name, "Transfer-Encoding") ||
			   (text_is(name, "Content-Length") && (!number(value, &length) || length))) {
			return 400; /* where the next request begins nobody looks for behind a body */
		}
	}
	q->ranged &= !conditional && !q->head;
	return 0;
}

unsigned http_request_parse(struct http_request *q, const char *text, size_t n)
{
	struct text all = { text, text + n }, first = line(&all);
	struct text method = cut(&first, ' '), where = cut(&first, ' ');

	memset(q, 0, sizeof(*q));
	if (!starts(first, "HTTP/1."))
		return starts(first, "HTTP/") ? 505 : 400;
	q->head = text_is(method, "HEAD");
	if (!q->head && !text_is(method, "GET"))
		return 501;
	unsigned status = target(q, where);
	q->keep = !text_is(first, "HTTP/1.0");
	if (!status)
		status = fields(q, all);
	if (status)
		q->keep = false;
	return status;
}

unsigned http_request_span(const struct http_request *q, u64 size, u64 *first, u64 *end)
{
	*first = 0;
	*end = size;
	if (!q->ranged)
		return 200;
	if (q->suffix ? !q->last || !size : q->first >= size)
		return 416;
	if (q->suffix) {
		*first = size - MIN(q->last, size);
	} else {
		*first = q->first;
		*end = q->last < size ? q->last + 1 : size;
	}
	return 206;
}
