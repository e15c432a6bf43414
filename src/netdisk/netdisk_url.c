/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netdisk_url.c - see netdisk_url.h. RFC 3986 section 3. */
#include "netdisk/netdisk_url.h"
#include "netdisk/netdisk.h"

static const struct scheme {
	const char *prefix;
	enum netdisk_kind kind;
	bool tls, local;
	const char *port, *like;
} schemes[] = {
	{ "nbd://", NETDISK_NBD, false, false, "10809", "nbd://HOST:PORT/EXPORT" },
	{ "nbds://", NETDISK_NBD, true, false, "10809", "nbds://HOST:PORT/EXPORT" },
	{ "nbd+unix://", NETDISK_NBD, false, true, "", "nbd+unix:///EXPORT?socket=PATH" },
	{ "nbds+unix://", NETDISK_NBD, true, true, "", "nbds+unix:///EXPORT?socket=PATH" },
	{ "http://", NETDISK_HTTP, false, false, "80", "http://HOST/PATH" },
	{ "https://", NETDISK_HTTP, true, false, "443", "https://HOST/PATH" },
	{ "iscsi://", NETDISK_ISCSI, false, false, "3260", "iscsi://HOST/TARGET/LUN" },
};

static const struct scheme *scheme_of(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (!strncmp(text, schemes[i].prefix, strlen(schemes[i].prefix)))
			return &schemes[i];
	return NULL;
}

bool netdisk_is_url(const char *path)
{
	return path && scheme_of(path);
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* %XX decoded. False: it is malformed, has a NUL, or does not fit. */
static bool decode(char *out, size_t room, const char *s, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		int c = (u8)s[i];
		if (c == '%') {
			int a = i + 2 < n ? hex(s[i + 1]) : -1;
			int b = a < 0 ? -1 : hex(s[i + 2]);
			if (b < 0)
				return false;
			c = a << 4 | b;
			i += 2;
		}
		if (!c || at + 1 >= room)
			return false;
		out[at++] = (char)c;
	}
	out[at] = '\0';
	return true;
}

static bool copy(char *out, size_t room, const char *s, size_t n)
{
	if (n >= room)
		return false;
	memcpy(out, s, n);
	out[n] = '\0';
	return true;
}

/* HOST, HOST:PORT, [ADDRESS]:PORT */
static bool authority(struct netdisk_url *u, const struct scheme *s, const char *a, size_t n)
{
	const char *end = a + n, *host = a, *colon;

	if (n && *a == '[') {
		const char *close = memchr(a, ']', n);
		if (!close || !copy(u->host, sizeof(u->host), a + 1, (size_t)(close - a - 1)))
			return false;
		colon = close + 1 < end ? close + 1 : NULL;
		if (colon && *colon != ':')
			return false;
	} else {
		colon = memchr(a, ':', n);
		if (!copy(u->host, sizeof(u->host), host, (size_t)((colon ? colon : end) - host)))
			return false;
	}
	if (!colon || colon + 1 == end)
		return copy(u->port, sizeof(u->port), s->port, strlen(s->port));
	for (const char *c = colon + 1; c < end; c++)
		if (*c < '0' || *c > '9')
			return false;
	return copy(u->port, sizeof(u->port), colon + 1, (size_t)(end - colon - 1)) &&
	       strtoul(u->port, NULL, 10) - 1 < 65535;
}

/* TARGET/LUN */
static bool target(struct netdisk_url *u, const char *p, size_t n)
{
	const char *slash = memrchr(p, '/', n), *end = p + n;

	if (!slash || slash == p || slash + 1 == end || end - slash > 5)
		return false;
	for (const char *c = slash + 1; c < end; c++) {
		if (*c < '0' || *c > '9')
			return false;
		u->lun = u->lun * 10 + (unsigned)(*c - '0');
	}
	return u->lun < 256 && decode(u->name, sizeof(u->name), p, (size_t)(slash - p));
}

static bool rest(struct netdisk_url *u, const struct scheme *s, const char *path)
{
	size_t n = strcspn(path, "?#");
	const char *query = path[n] == '?' ? path + n + 1 : "";

	if (u->kind == NETDISK_HTTP)
		return n > 0;
	if (n && *path == '/')
		path++, n--;
	if (u->kind == NETDISK_ISCSI)
		return !*query && target(u, path, n);
	if (!decode(u->name, sizeof(u->name), path, n))
		return false;
	if (!s->local)
		return !*query;
	return !strncmp(query, "socket=", 7) && query[7] &&
	       decode(u->socket, sizeof(u->socket), query + 7, strcspn(query + 7, "&#"));
}

int netdisk_url_parse(struct netdisk_url *u, const char *text, struct err *e)
{
	const struct scheme *s = scheme_of(text);

	*u = (struct netdisk_url){ 0 };
	if (!s)
		return err_set(e, EINVAL,
			       "disk '%s': no such kind of address; known: nbd, nbds, nbd+unix, http, https, iscsi",
			       text);
	u->kind = s->kind;
	u->tls = s->tls;
	const char *a = text + strlen(s->prefix);
	size_t n = strcspn(a, "/?#");
	if (memchr(a, '@', n))
		return err_set(
		    e, EINVAL,
		    "disk: a name and password do not belong into an address, which everybody on this host can "
		    "read: write user=NAME and password-file=FILE");
	for (const char *c = text; *c; c++)
		if ((u8)*c <= ' ' || *c == 0x7f)
			return err_set(e, EINVAL,
				       "disk '%s': blanks and control characters in an address are written as %%XX",
				       text);
	if (!(s->local ? n == 0 : authority(u, s, a, n) && *u->host) || !rest(u, s, a + n))
		return err_set(e, EINVAL, "disk '%s': this is not an address; write %s", text, s->like);
	return 0;
}
