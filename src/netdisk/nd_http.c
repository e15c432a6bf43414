/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nd_http.c - an image at a web server, read only, by ranges (RFC 9110 section 14), by libcurl.
 *
 * "Connecting" asks for the first byte: the answer has the size and the version (ETag, or Last-Modified) of the file.
 * Each later request is for that version only (If-Match, If-Unmodified-Since), and its answer is looked at again: a
 * file that has changed on the server ends the disk, as half of the one and half of the other is neither.
 *
 * Redirections are followed here, when connecting, and not by libcurl: the name has to be looked up by the broker, and
 * nothing may go from https to http, nor the password to another host.
 */
#include "base/clock.h"
#include "netdisk/nd.h"
#include "netdisk/nd_broker.h"
#include "netdisk/nd_cache.h"
#include "netdisk/nd_http_head.h"
#include "netdisk/nd_shim.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#define HTTP_FLIGHT 8u
#define REDIRECTIONS_MAX 5u
#define FETCH_MAX (NETDISK_WINDOW + 2 * ND_CACHE_BLOCK)
#define PASSWORD_MAX 1024u

struct fetch {
	CURL *easy;
	struct nd_io *io; /* NULL: it is free; or the probe's */
	bool busy;
	struct nd_http_head head;
	u64 first, bytes; /* asked for */
	u64 got;
	u8 *buf; /* FETCH_MAX */
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
};

struct http {
	struct nd *d;
	CURLM *multi;
	struct fetch f[HTTP_FLIGHT + 1]; /* the last one is the probe */
	struct curl_slist *resolve;
	char *url; /* after redirections */
	unsigned redirections;
	bool same_host, up;
	char password[PASSWORD_MAX];
	struct nd_http_head version; /* of the first connection; bytes 0: there was none yet */
	struct nd_cache cache;
	struct nd_io *cached[NETDISK_SLOTS]; /* read from the cache: done in the next service() */
	unsigned ncached;
};

/* ---- requests ---- */

static size_t on_head(char *line, size_t one, size_t n, void *opaque)
{
	struct fetch *f = opaque;

	nd_http_head_line(&f->head, line, one * n);
	return one * n;
}

/* Not more than was asked for, whatever the server sends. */
static size_t on_data(char *data, size_t one, size_t n, void *opaque)
{
	struct fetch *f = opaque;
	long status = 0;

	n *= one;
	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 206 || n > f->bytes - f->got)
		return 0; /* libcurl ends it with CURLE_WRITE_ERROR */
	memcpy(f->buf + f->got, data, n);
	f->got += n;
	return n;
}

static void release(struct http *h, struct fetch *f)
{
	if (f->busy)
		curl_multi_remove_handle(h->multi, f->easy);
	curl_slist_free_all(f->headers);
	f->headers = NULL;
	f->busy = false;
	f->io = NULL;
}

static void begin(struct http *h, struct fetch *f, u64 first, u64 bytes)
{
	struct nd *d = h->d;
	char range[64];

	curl_easy_reset(f->easy);
	nd_http_head_clear(&f->head);
	f->first = first;
	f->bytes = bytes;
	f->got = 0;
	f->error[0] = '\0';
	snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)first, (unsigned long long)(first + bytes - 1));
	if (h->version.bytes) {
		bool strong = nd_http_head_strong(&h->version);
		auto_free char *line = xasprintf("%s: %s", strong ? "If-Match" : "If-Unmodified-Since",
						 strong ? h->version.etag : h->version.modified);
		if (strong || h->version.modified[0])
			f->headers = curl_slist_append(NULL, line);
	}
	curl_easy_setopt(f->easy, CURLOPT_URL, h->url);
	curl_easy_setopt(f->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(f->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(f->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(f->easy, CURLOPT_RESOLVE, h->resolve);
	curl_easy_setopt(f->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
	curl_easy_setopt(f->easy, CURLOPT_RANGE, range);
	curl_easy_setopt(f->easy, CURLOPT_USERAGENT, "mica/" MICA_VERSION);
	curl_easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(f->easy, CURLOPT_HEADERDATA, f);
	curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f);
	curl_easy_setopt(f->easy, CURLOPT_ERRORBUFFER, f->error);
	curl_easy_setopt(f->easy, CURLOPT_CAINFO, ND_TLS_DIR "/ca-cert.pem");
	curl_easy_setopt(f->easy, CURLOPT_CAPATH, (char *)NULL);
	if (access(ND_TLS_DIR "/client-cert.pem", R_OK) == 0) {
		curl_easy_setopt(f->easy, CURLOPT_SSLCERT, ND_TLS_DIR "/client-cert.pem");
		curl_easy_setopt(f->easy, CURLOPT_SSLKEY, ND_TLS_DIR "/client-key.pem");
	}
	if (d->user && h->same_host) {
		curl_easy_setopt(f->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(f->easy, CURLOPT_USERNAME, d->user);
		curl_easy_setopt(f->easy, CURLOPT_PASSWORD, h->password);
	}
	f->busy = curl_multi_add_handle(h->multi, f->easy) == CURLM_OK;
}

/* ---- connecting ---- */

static char *part(CURLU *u, CURLUPart what)
{
	char *s = NULL;

	return curl_url_get(u, what, &s, what == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) == CURLUE_OK ? s : NULL;
}

/* h->resolve for h->url; whether that is the host that the user named. */
static int look_up(struct http *h, struct err *e)
{
	CURLU *u = curl_url();
	struct nd_addresses a = { 0 };
	char *host = NULL, *port = NULL, *scheme = NULL, text[128];
	int r = -EINVAL;

	if (curl_url_set(u, CURLUPART_URL, h->url, 0) == CURLUE_OK) {
		host = part(u, CURLUPART_HOST);
		port = part(u, CURLUPART_PORT);
		scheme = part(u, CURLUPART_SCHEME);
	}
	if (!host || !port || !scheme || (strcmp(scheme, "https") && (strcmp(scheme, "http") || h->d->url.tls))) {
		err_set(e, EINVAL, "the server sends us on to an address that is none for us: %.200s", h->url);
	} else {
		size_t n = strlen(host);
		bool v6 = *host == '[';
		auto_free char *bare = xasprintf("%.*s", (int)(v6 && n > 2 ? n - 2 : n), host + v6);
		r = nd_broker_resolve(&a, bare, port);
		if (r < 0)
			err_sys(e, -r, "cannot look up '%.200s'", bare);
		h->same_host = !strcasecmp(bare, h->d->url.host) && !strcmp(port, h->d->url.port) &&
			       !strcmp(scheme, h->d->url.tls ? "https" : "http");
	}
	if (r == 0) {
		auto_free char *line = xasprintf("%s:%s:", host, port);
		for (unsigned i = 0; i < a.n; i++) {
			bool four = a.at[i].ss_family == AF_INET;
			const void *raw = four ? (void *)&((struct sockaddr_in *)&a.at[i])->sin_addr
					       : (void *)&((struct sockaddr_in6 *)&a.at[i])->sin6_addr;
			if (!inet_ntop(four ? AF_INET : AF_INET6, raw, text, sizeof(text)))
				continue;
			char *more =
			    xasprintf("%s%s%s%s%s", line, i ? "," : "", four ? "" : "[", text, four ? "" : "]");
			free(line);
			line = more;
		}
		curl_slist_free_all(h->resolve);
		h->resolve = curl_slist_append(NULL, line);
	}
	curl_free(host);
	curl_free(port);
	curl_free(scheme);
	curl_url_cleanup(u);
	return r < 0 ? -ENOLINK : 0;
}

static int http_connect(struct nd *d, struct err *e)
{
	struct http *h = d->own;

	free(h->url);
	h->url = xstrdup(d->text);
	h->redirections = 0;
	if (look_up(h, e) < 0)
		return -ENOLINK;
	begin(h, &h->f[HTTP_FLIGHT], 0, 1);
	return 0;
}

static int changed(struct err *e)
{
	err_set(e, ESTALE, "the image on the server is another one now; start the VM anew to use it");
	return -ESTALE;
}

/* The answer is of the version that this disk is of. */
static bool same(const struct http *h, const struct nd_http_head *now)
{
	return now->bytes == h->version.bytes &&
	       (nd_http_head_strong(&h->version) ? !strcmp(now->etag, h->version.etag)
						 : !strcmp(now->modified, h->version.modified));
}

/* What a status or an error of libcurl says, when it is not what was wanted. */
static int refused(struct fetch *f, CURLcode code, long status, struct err *e)
{
	if (status == 412)
		return changed(e);
	if (status == 200)
		err_set(e, ENOTSUP, "the server does not serve parts of a file (ranges); copy the image here instead");
	else if (status == 401 || status == 403)
		err_set(e, EACCES, "the server refuses (HTTP %ld); user= and password-file= say who you are", status);
	else if (status == 404 || status == 410)
		err_set(e, ENOENT, "the server has no such file (HTTP %ld)", status);
	else if (status && status != 206)
		err_set(e, EIO, "the server answers HTTP %ld", status);
	else if (code != CURLE_OK && code != CURLE_WRITE_ERROR) /* on_data() wanted no more */
		err_set(e, EIO, "%s", f->error[0] ? f->error : curl_easy_strerror(code));
	else
		err_set(e, EPROTO, "the server sends other bytes than those asked for");
	return -ENOLINK;
}

static int redirected(struct http *h, struct fetch *f, struct err *e)
{
	char *to = NULL;

	curl_easy_getinfo(f->easy, CURLINFO_REDIRECT_URL, &to);
	if (!to || ++h->redirections > REDIRECTIONS_MAX) {
		err_set(e, ELOOP, "the server sends us on and on");
		return -ENOLINK;
	}
	free(h->url);
	h->url = xstrdup(to);
	release(h, f);
	if (look_up(h, e) < 0)
		return -ENOLINK;
	begin(h, f, 0, 1);
	return 0;
}

static int probed(struct http *h, struct fetch *f, CURLcode code, struct err *e)
{
	struct nd *d = h->d;
	struct nd_http_head v = f->head;
	long status = 0;
	int r = 0;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 301 && status <= 308 && status != 304)
		return redirected(h, f, e);
	if (code != CURLE_OK || status != 206 || !v.ranged || v.first != 0 || v.last != 0 || f->got != 1)
		return refused(f, code, status, e);
	release(h, f);
	if (h->version.bytes && !same(h, &v))
		return changed(e);
	if (!h->version.bytes) {
		auto_free char *name = xasprintf("%s", nd_http_head_strong(&v) ? v.etag : v.modified);
		if (h->cache.fd >= 0 && !*name)
			err_set(e, ENOTSUP,
				"the server does not say which version of the image it has (ETag or "
				"Last-Modified), so that cache= cannot be used"),
			    r = -ENOLINK;
		else if (nd_cache_begin(&h->cache, v.bytes, name, e) < 0)
			r = -ENOLINK;
		if (r < 0)
			return r;
		h->version = v;
	}
	h->up = true;
	nd_up(d, v.bytes, NETDISK_READONLY, false);
	return 0;
}

/* ---- reading ---- */

static int http_start(struct nd *d, struct nd_io *io)
{
	struct http *h = d->own;
	u64 size = h->version.bytes, end = MIN(io->off + io->bytes, size), first = io->off;

	if (io->op != NETDISK_READ)
		return -EROFS;
	if (end < io->off + io->bytes) /* the last sector may be cut short */
		memset(io->data + (end - MIN(end, io->off)), 0, (size_t)(io->off + io->bytes - end));
	if (nd_cache_read(&h->cache, io->off, io->data, (size_t)(end - io->off))) {
		h->cached[h->ncached++] = io;
		return 0;
	}
	for (unsigned i = 0; i < HTTP_FLIGHT; i++) {
		if (h->f[i].busy)
			continue;
		if (h->cache.fd >= 0) {
			first = first / ND_CACHE_BLOCK * ND_CACHE_BLOCK;
			end = MIN(ROUND_UP(end, ND_CACHE_BLOCK), size);
		}
		begin(h, &h->f[i], first, end - first);
		h->f[i].io = io;
		return h->f[i].busy ? 0 : -EIO;
	}
	return -EAGAIN;
}

static int fetched(struct http *h, struct fetch *f, CURLcode code, struct err *e)
{
	struct nd_io *io = f->io;
	u64 n = MIN((u64)io->bytes, h->version.bytes - io->off);
	long status = 0;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status == 206 && f->head.ranged && !same(h, &f->head))
		return changed(e);
	if (code != CURLE_OK || status != 206 || !f->head.ranged || f->head.first != f->first || f->got != f->bytes ||
	    f->head.last != f->first + f->bytes - 1)
		return refused(f, code, status, e);
	memcpy(io->data, f->buf + (io->off - f->first), (size_t)n);
	nd_cache_write(&h->cache, f->first, f->buf, (size_t)f->bytes);
	release(h, f);
	nd_done(h->d, io, 0);
	return 0;
}

static unsigned http_poll(struct nd *d, struct pollfd p[ND_POLL_MAX], int *timeout_ms)
{
	struct http *h = d->own;
	fd_set in, out, bad;
	unsigned n = 0;
	int most = -1;
	long ms = -1;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&bad);
	curl_multi_fdset(h->multi, &in, &out, &bad, &most);
	for (int fd = 0; fd <= most && n < ND_POLL_MAX; fd++) {
		short events = (short)((FD_ISSET(fd, &in) ? POLLIN : 0) | (FD_ISSET(fd, &out) ? POLLOUT : 0));
		if (events)
			p[n++] = (struct pollfd){ .fd = fd, .events = events };
	}
	curl_multi_timeout(h->multi, &ms);
	if (ms >= 0)
		*timeout_ms = (int)MIN((long)*timeout_ms, ms);
	if (h->cache.unsafe_ns)
		*timeout_ms = MIN(*timeout_ms, 1000);
	if (h->ncached)
		*timeout_ms = 0;
	return n;
}

static int http_service(struct nd *d, const struct pollfd *p, unsigned np, struct err *e)
{
	struct http *h = d->own;
	int running, left, r = 0;
	CURLMsg *m;

	(void)p;
	(void)np;
	for (unsigned i = 0; i < h->ncached; i++)
		nd_done(d, h->cached[i], 0);
	h->ncached = 0;
	curl_multi_perform(h->multi, &running);
	while (r == 0 && (m = curl_multi_info_read(h->multi, &left))) {
		char *f = NULL;
		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode code = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
		struct fetch *x = (struct fetch *)(void *)f;
		r = x == &h->f[HTTP_FLIGHT] ? probed(h, x, code, e) : fetched(h, x, code, e);
	}
	nd_cache_settle(&h->cache, false);
	return r;
}

static void http_disconnect(struct nd *d)
{
	struct http *h = d->own;

	for (unsigned i = 0; i <= HTTP_FLIGHT; i++)
		release(h, &h->f[i]);
	h->ncached = 0;
	h->up = false;
	nd_cache_settle(&h->cache, true);
}

/* ---- before the walls ---- */

static int http_open(struct nd *d, struct err *e)
{
	struct http *h = xcalloc(1, sizeof(*h));

	d->own = h;
	h->d = d;
	h->cache.fd = -1;
	if ((d->user || d->password_file) && !d->url.tls)
		return err_set(
		    e, EPERM,
		    "user= and password-file= would go over the network for everybody to read: write https://");
	if (nd_read_password(d, h->password, sizeof(h->password), e) < 0)
		return -e->code;
	if (d->cache && nd_cache_open(&h->cache, d->cache, d->text, d->cache_bytes, e) < 0)
		return -e->code;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(h->multi = curl_multi_init()))
		return err_set(e, ENOMEM, "cannot prepare HTTP");
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_FLIGHT);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTP_FLIGHT);
	for (unsigned i = 0; i <= HTTP_FLIGHT; i++) {
		h->f[i].easy = curl_easy_init();
		h->f[i].buf = xcalloc(1, FETCH_MAX);
		if (!h->f[i].easy)
			return err_set(e, ENOMEM, "cannot prepare HTTP");
	}
	return 0;
}

const struct nd_proto nd_proto_http = {
	.name = "HTTP",
	.open = http_open,
	.connect = http_connect,
	.poll = http_poll,
	.service = http_service,
	.start = http_start,
	.disconnect = http_disconnect,
};
