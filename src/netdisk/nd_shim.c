/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nd_shim.c - see nd_shim.h. */
#include "netdisk/nd_shim.h"
#include "netdisk/nd_broker.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>

#define HOST_CA "/etc/ssl/certs/ca-certificates.crt"
#define FILE_MAX (8 * MIB)

enum { CA, CERT, KEY, FILES };
static gnutls_datum_t file[FILES];

/* ---- certificates ---- */

static int load(gnutls_datum_t *out, const char *path, struct err *e)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s: cannot read it", path);
	if (!S_ISREG(st.st_mode) || (u64)st.st_size > FILE_MAX)
		return err_set(e, EINVAL, "%s: this is not a file with certificates", path);
	out->data = xcalloc(1, (size_t)st.st_size + 1);
	ssize_t n = read(fd, out->data, (size_t)st.st_size);
	if (n < 0)
		return err_sys(e, errno, "%s: cannot read it", path);
	out->size = (unsigned)n;
	return 0;
}

/* What is no certificate is better known now than at the first connection. */
static int check(const char *ca, const char *cert, struct err *e)
{
	gnutls_certificate_credentials_t c;
	int r = 0;

	if (gnutls_certificate_allocate_credentials(&c) < 0)
		return err_set(e, ENOMEM, "cannot prepare TLS");
	if (ca && gnutls_certificate_set_x509_trust_mem(c, &file[CA], GNUTLS_X509_FMT_PEM) <= 0)
		r = err_set(e, EINVAL, "%s: there is no certificate in it (PEM)", ca);
	if (r == 0 && cert && gnutls_certificate_set_x509_key_mem(c, &file[CERT], &file[KEY], GNUTLS_X509_FMT_PEM) < 0)
		r = err_set(e, EINVAL, "%s: this is not a certificate (PEM) with its key", cert);
	gnutls_certificate_free_credentials(c);
	return r;
}

int nd_shim_load(const char *ca, const char *cert, const char *key, struct err *e)
{
	struct err ignored;
	int r = ca ? load(&file[CA], ca, e) : 0;

	if (!ca)
		load(&file[CA], HOST_CA, &ignored); /* a host without trusts nobody */
	if (r == 0 && cert)
		r = load(&file[CERT], cert, e);
	if (r == 0 && cert)
		r = load(&file[KEY], key ? key : cert, e);
	return r < 0 ? r : check(ca, cert, e);
}

int gnutls_certificate_set_x509_trust_file(gnutls_certificate_credentials_t c, const char *name,
					   gnutls_x509_crt_fmt_t type)
{
	(void)name;
	return file[CA].size ? gnutls_certificate_set_x509_trust_mem(c, &file[CA], type) : 0;
}

int gnutls_certificate_set_x509_system_trust(gnutls_certificate_credentials_t c)
{
	return gnutls_certificate_set_x509_trust_file(c, HOST_CA, GNUTLS_X509_FMT_PEM);
}

int gnutls_certificate_set_x509_key_file(gnutls_certificate_credentials_t c, const char *cert, const char *key,
					 gnutls_x509_crt_fmt_t type)
{
	(void)cert;
	(void)key;
	return file[CERT].size ? gnutls_certificate_set_x509_key_mem(c, &file[CERT], &file[KEY], type)
			       : GNUTLS_E_FILE_ERROR;
}

/* libnbd asks which of its files are there. */
int access(const char *path, int how)
{
	static const char *const names[FILES] = { ND_TLS_DIR "/ca-cert.pem", ND_TLS_DIR "/client-cert.pem",
						  ND_TLS_DIR "/client-key.pem" };

	(void)how;
	for (unsigned i = 0; i < FILES; i++)
		if (!strcmp(path, names[i]) && (file[i].size || i == CA))
			return 0;
	errno = ENOENT;
	return -1;
}

/* ---- names ---- */

struct answer {
	struct addrinfo ai;
	struct sockaddr_storage sa;
};

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
	struct nd_addresses a = { 0 };

	*out = NULL;
	if (!host || nd_broker_resolve(&a, host, port ? port : "0") < 0)
		return EAI_NONAME;
	/* From the last one on, each is put before the others. */
	for (unsigned i = a.n; i-- > 0;) {
		struct answer *n = xcalloc(1, sizeof(*n));
		n->sa = a.at[i];
		n->ai = (struct addrinfo){ .ai_family = n->sa.ss_family,
					   .ai_socktype = SOCK_STREAM,
					   .ai_protocol = IPPROTO_TCP,
					   .ai_addrlen = n->sa.ss_family == AF_INET ? sizeof(struct sockaddr_in)
										    : sizeof(struct sockaddr_in6),
					   .ai_addr = (struct sockaddr *)&n->sa,
					   .ai_next = *out };
		if (hints && hints->ai_family != AF_UNSPEC && hints->ai_family != n->ai.ai_family)
			free(n);
		else
			*out = &n->ai;
	}
	return *out ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *a)
{
	while (a) {
		struct addrinfo *next = a->ai_next;
		free(container_of(a, struct answer, ai));
		a = next;
	}
}
