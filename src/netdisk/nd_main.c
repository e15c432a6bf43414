/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mica-netdisk - a disk on a server of the network, for one VM; see netdisk.h. Started by mica-vmm, ends when it does.
 *
 * Its walls (base/walls.h): no file, no program, no process; Internet sockets, and what is open. A process that it
 * leaves outside looks names up (nd_broker.h). It has the address, what its user gave it to show who they are, and the
 * windows through which the guest's data passes; none of the guest's memory.
 */
#include "base/clock.h"
#include "base/helper.h"
#include "base/walls.h"
#include "netdisk/nd.h"
#include "netdisk/nd_broker.h"
#include "netdisk/nd_shim.h"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { MEMORY_FD = HELPER_FD + 1, KICK_FD, WAKE_FD };

static const struct nd_proto *const protos[] = {
#ifdef HAVE_LIBNBD
	[NETDISK_NBD] = &nd_proto_nbd,
#endif
#ifdef HAVE_LIBCURL
	[NETDISK_HTTP] = &nd_proto_http,
#endif
#ifdef HAVE_LIBISCSI
	[NETDISK_ISCSI] = &nd_proto_iscsi,
#endif
	[NETDISK_ISCSI + 1] = NULL,
};
static const char *const libraries[] = {
	[NETDISK_NBD] = "libnbd", [NETDISK_HTTP] = "libcurl", [NETDISK_ISCSI] = "libiscsi"
};

/* ---- the walls ---- */

static int internet(void *f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_LEN(families); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	return r;
}

static int put_walls(struct err *e)
{
	static const int calls[] = { SCMP_SYS(connect),   SCMP_SYS(pread64),   SCMP_SYS(pwrite64), SCMP_SYS(fdatasync),
				     SCMP_SYS(fallocate), SCMP_SYS(ftruncate), SCMP_SYS(uname) };
	const struct walls w = {
		.name = "mica-netdisk",
		.host_network = true,
		.memory_bytes = 1 * GIB,
		.calls = calls,
		.ncalls = ARRAY_LEN(calls),
		.rules = internet,
	};

	return walls_put(&w, e);
}

/* ---- what it is told ---- */

struct files {
	const char *ca, *cert, *key;
};

static const char *value_of(const char *item, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(item, name, n) && item[n] == '=' ? item + n + 1 : NULL;
}

static int read_size(u64 *out, const char *v, struct err *e)
{
	char *end;
	unsigned long long n = strtoull(v, &end, 10);
	u64 unit = *end == 'M' ? MIB : *end == 'G' ? GIB : *end == 'T' ? 1024 * GIB : 0;

	if (*v < '0' || *v > '9' || !unit || end[1] || n > (1ull << 60) / unit || n * unit < 16 * MIB)
		return err_set(e, EINVAL, "cache-size=%s: write a size as 500M or 8G, at least 16M", v);
	*out = n * unit;
	return 0;
}

static int read_option(struct nd *d, struct files *f, const char *item, struct err *e)
{
	const char *v;
	char *end;

	if ((v = value_of(item, "on-error"))) {
		d->report = !strcmp(v, "report");
		return d->report || !strcmp(v, "pause") ? 0
							: err_set(e, EINVAL, "on-error=%s: write pause or report", v);
	}
	if ((v = value_of(item, "timeout"))) {
		unsigned long s = strtoul(v, &end, 10);
		if (*v < '0' || *v > '9' || *end || s < 1 || s > NETDISK_TIMEOUT_MAX_S)
			return err_set(e, EINVAL, "timeout=%s: write 1 to %u seconds", v, NETDISK_TIMEOUT_MAX_S);
		d->timeout_ns = s * NSEC_PER_SEC;
		return 0;
	}
	if ((v = value_of(item, "cache-size")))
		return read_size(&d->cache_bytes, v, e);
	if ((v = value_of(item, "cache")))
		d->cache = strcmp(v, "off") ? v : NULL;
	else if ((v = value_of(item, "user")))
		d->user = v;
	else if ((v = value_of(item, "initiator")))
		d->initiator = v;
	else if ((v = value_of(item, "password-file")))
		d->password_file = v;
	else if ((v = value_of(item, "tls-ca")))
		f->ca = v;
	else if ((v = value_of(item, "tls-cert")))
		f->cert = v;
	else if ((v = value_of(item, "tls-key")))
		f->key = v;
	else
		return err_set(e, EINVAL, "'%s' is no option of a network disk", item);
	return 0;
}

int nd_read_password(const struct nd *d, char *out, size_t room, struct err *e)
{
	if (!d->user != !d->password_file)
		return err_set(e, EINVAL, "user= and password-file= go together");
	if (!d->user)
		return 0;
	auto_close int fd = open(d->password_file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, room - 1);
	if (n < 0)
		return err_sys(e, errno, "password-file=%s", d->password_file);
	out[n] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	return 0;
}

static int prepare(struct nd *d, int argc, char **argv, struct err *e)
{
	struct files f = { 0 };
	int r = netdisk_url_parse(&d->url, argv[2], e);

	d->readonly = !strcmp(argv[1], "ro");
	d->text = argv[2];
	d->timeout_ns = NETDISK_TIMEOUT_S * NSEC_PER_SEC;
	for (int i = 3; r == 0 && i < argc; i++)
		r = read_option(d, &f, argv[i], e);
	if (r < 0)
		return r;
	if (!(d->proto = protos[d->url.kind]))
		return err_set(e, ENOTSUP, "this Mica was built without %s, and cannot use it", libraries[d->url.kind]);
	if ((d->cache || d->cache_bytes) && d->url.kind != NETDISK_HTTP)
		return err_set(e, EINVAL, "cache= is for http:// and https://");
	if (d->initiator && d->url.kind != NETDISK_ISCSI)
		return err_set(e, EINVAL, "initiator= is for iscsi://");
	if ((d->user || d->password_file) && d->url.kind == NETDISK_NBD)
		return err_set(e, EINVAL, "NBD knows no password: write tls-cert= to show who you are");
	if (!d->cache_bytes)
		d->cache_bytes = ND_CACHE_BYTES;
	if ((f.ca || f.cert || f.key) && !d->url.tls)
		return err_set(
		    e, EINVAL,
		    "there is no TLS in such a connection: write nbds:// or https://, or leave tls-...= out");
	if (f.key && !f.cert)
		return err_set(e, EINVAL, "tls-key= goes with tls-cert=");
	if (d->url.tls && (r = nd_shim_load(f.ca, f.cert, f.key, e)) < 0)
		return r;
	if ((r = nd_broker_start(d->url.socket, e)) < 0)
		return r;
	d->ring = mmap(NULL, NETDISK_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, MEMORY_FD, 0);
	if (d->ring == MAP_FAILED)
		return err_sys(e, errno, "cannot map the memory for a network disk");
	d->kick = KICK_FD;
	d->wake = WAKE_FD;
	nd_init(d);
	if (d->proto->open && (r = d->proto->open(d, e)) < 0)
		return r;
	if ((r = put_walls(e)) < 0)
		return r;
	return nd_first(d, e);
}

int main(int argc, char **argv)
{
	static struct nd d;
	struct err e;

	helper_begin("mica-netdisk", 3);
	if (argc < 3)
		return 2;
	if (prepare(&d, argc, argv, &e) < 0)
		helper_hello(&e);
	helper_hello(NULL);
	nd_run(&d);
	return 0;
}
