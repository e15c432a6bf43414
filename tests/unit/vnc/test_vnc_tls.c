/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_vnc_tls.c - VNC within TLS, as a client of VeNCrypt and a browser come: the ways in, wrong passwords, who comes
 * without TLS, who stalls, and a picture larger than what sockets hold.
 */
#include "vnc/vnc.h"
#include "patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <rfb/rfb.h>
#include <rfb/rfbclient.h>
#include <sys/socket.h>

#define X509_NONE 260
#define X509_VNC 261
#define X509_PLAIN 262
#define SIDE 1024 /* pixels of the picture, each way */

static struct vnc_link l;
static int listener;
static struct sockaddr_in at;
static char pem[] = "/tmp/test_vnc_pem.XXXXXX", password[] = "/tmp/test_vnc_long.XXXXXX",
	    brief[] = "/tmp/test_vnc_brief.XXXXXX";

/* ---- a certificate and a password ---- */

static void put(char *path, const void *p, size_t n)
{
	int fd = mkstemp(path);

	assert_int_equal(write(fd, p, n), (ssize_t)n);
	close(fd);
}

/* Signed by itself; certificate and key in one file. */
static int make_files(void **state)
{
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t a, b;

	gnutls_x509_privkey_init(&key);
	gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_init(&crt);
	gnutls_x509_crt_set_version(crt, 3);
	gnutls_x509_crt_set_serial(crt, "\1", 1);
	gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, "a host", 6);
	gnutls_x509_crt_set_activation_time(crt, time(NULL) - 86400);
	gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 86400);
	gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9, GNUTLS_FSAN_SET);
	gnutls_x509_crt_set_basic_constraints(crt, 1, -1);
	gnutls_x509_crt_set_key(crt, key);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
	gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &a);
	gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &b);
	auto_free char *both = xasprintf("%.*s%.*s", (int)a.size, (char *)a.data, (int)b.size, (char *)b.data);
	put(pem, both, strlen(both));
	put(password, "correct horse\n", 14);
	put(brief, "battery\n", 8);
	gnutls_free(a.data);
	gnutls_free(b.data);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	return 0;
}

static int remove_files(void **state)
{
	unlink(pem);
	unlink(password);
	unlink(brief);
	return 0;
}

static void start(const char *password_file)
{
	struct err e = { 0 };
	socklen_t n = sizeof(at);

	listener = vnc_listen("127.0.0.1:0", &e);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
	const struct vnc_access a = { .password_file = password_file, .tls_cert = pem };
	if (vnc_start(&l, listener, &a, "a guest", &e) < 0)
		fail_msg("%s", e.msg);
}

static void end(void)
{
	vnc_close(&l);
	close(listener);
}

/* ---- a client ---- */

static gnutls_session_t tls;
static gnutls_certificate_credentials_t cred;

static int connects(void)
{
	const struct timeval t = { .tv_sec = patient(20 * 1000) / 1000 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void shakes(int fd)
{
	int r;

	gnutls_certificate_allocate_credentials(&cred);
	gnutls_init(&tls, GNUTLS_CLIENT);
	gnutls_set_default_priority(tls);
	gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, cred);
	gnutls_transport_set_int(tls, fd);
	do
		r = gnutls_handshake(tls);
	while (r < 0 && !gnutls_error_is_fatal(r));
	if (r < 0)
		fail_msg("TLS: %s", gnutls_strerror(r));
}

static void leaves(int fd)
{
	if (tls) {
		gnutls_deinit(tls);
		gnutls_certificate_free_credentials(cred);
		tls = NULL;
	}
	close(fd);
}

static void reads(int fd, void *buf, size_t n)
{
	for (size_t k = 0; k < n;) {
		ssize_t r = tls ? gnutls_record_recv(tls, (char *)buf + k, n - k) : recv(fd, (char *)buf + k, n - k, 0);
		if (tls && r < 0 && !gnutls_error_is_fatal((int)r))
			continue;
		if (r <= 0)
			fail_msg("%zu of %zu bytes came", k, n);
		k += (size_t)r;
	}
}

static void writes(int fd, const void *p, size_t n)
{
	assert_int_equal(tls ? gnutls_record_send(tls, p, n) : send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static bool closed(int fd)
{
	char c;
	ssize_t r;

	do
		r = tls ? gnutls_record_recv(tls, &c, 1) : recv(fd, &c, 1, 0);
	while (r > 0);
	return r == 0 || (tls ? gnutls_error_is_fatal((int)r) : errno == ECONNRESET);
}

/* As far as the first byte of TLS; wanted: what it says of the ways in. */
static int asks_for(unsigned subtype, const char *wanted, size_t n)
{
	u8 b[32], sub[4] = { 0, 0, 1, (u8)subtype };
	int fd = connects();

	reads(fd, b, 12);
	assert_memory_equal(b, "RFB 003.008\n", 12);
	writes(fd, b, 12);
	reads(fd, b, 2);
	assert_memory_equal(b, "\1\x13", 2);
	writes(fd, "\x13", 1);
	reads(fd, b, 2);
	assert_memory_equal(b, "\0\2", 2);
	writes(fd, "\0\2", 2);
	reads(fd, b, 1 + n);
	assert_int_equal(b[0], 0);
	assert_memory_equal(b + 1, wanted, n);
	writes(fd, sub, 4);
	return fd;
}

static int secures(unsigned subtype, const char *wanted, size_t n)
{
	u8 ok;
	int fd = asks_for(subtype, wanted, n);

	reads(fd, &ok, 1);
	assert_int_equal(ok, 1);
	shakes(fd);
	return fd;
}

#define NONE_OFFERED "\1\0\0\1\4", 5
#define PLAIN_OFFERED "\1\0\0\1\6", 5
#define BOTH_OFFERED "\2\0\0\1\5\0\0\1\6", 9

static u32 result(int fd)
{
	u8 b[4];

	reads(fd, b, 4);
	return __builtin_bswap32(ld_le32(b));
}

/* The VM hears that somebody looks, and gives a picture; the client asks for it as it is. */
static void sees(int fd)
{
	struct vnc_msg m = { .type = VNC_PICTURE, .a = SIDE, .b = SIDE, .nrects = 1, .rect = { { 0, 0, SIDE, SIDE } } };
	u8 init[24 + 7], update[16];
	auto_free u32 *pixels = xcalloc(SIDE, SIDE * 4);

	for (unsigned i = 0; i < SIDE * SIDE; i++)
		l.pixels[i] = i * 2654435761u >> 8;
	assert_true(send(l.fd, &m, VNC_MSG_BYTES(1), 0) > 0);
	writes(fd, "\1", 1);
	reads(fd, init, sizeof(init));
	assert_memory_equal(init + 24, "a guest", 7);
	writes(fd, "\2\0\0\1\0\0\0\0", 8);
	do { /* the first one may still be of the size before */
		writes(fd, "\3\0\0\0\0\0\4\0\4\0", 10);
		reads(fd, update, sizeof(update));
		reads(fd, pixels, 4ul * (update[8] << 8 | update[9]) * (unsigned)(update[10] << 8 | update[11]));
	} while (update[8] != 4);
	assert_memory_equal(pixels, l.pixels, 4 * SIDE * SIDE);
}

/* ---- tests ---- */

static void test_no_password(void **state)
{
	start(NULL);
	int fd = secures(X509_NONE, NONE_OFFERED);
	assert_int_equal(result(fd), 0);
	sees(fd);
	leaves(fd);
	/* What was not offered. */
	u8 no;
	fd = asks_for(X509_VNC, NONE_OFFERED);
	reads(fd, &no, 1);
	assert_int_equal(no, 0);
	assert_true(closed(fd));
	leaves(fd);
	end();
}

static void test_passwords(void **state)
{
	static const char right[] = "\0\0\0\2\0\0\0\x0d"
				    "mecorrect horse";
	static const char wrong[] = "\0\0\0\2\0\0\0\x0d"
				    "mecorrect house";
	u8 reason[4 + 22];

	start(password);
	for (unsigned i = 0; i < 2; i++) {
		int fd = secures(X509_PLAIN, PLAIN_OFFERED);
		writes(fd, i ? right : wrong, sizeof(right) - 1);
		assert_int_equal(result(fd), !i);
		if (i) {
			sees(fd);
		} else {
			reads(fd, reason, sizeof(reason));
			assert_true(closed(fd));
		}
		leaves(fd);
	}
	/* A password of 4 GiB. */
	int fd = secures(X509_PLAIN, PLAIN_OFFERED);
	writes(fd, "\0\0\0\0\xff\xff\xff\xff", 8);
	assert_true(closed(fd));
	leaves(fd);
	end();
}

static void test_password_of_vnc(void **state)
{
	u8 challenge[16];

	start(brief);
	for (unsigned i = 0; i < 2; i++) {
		int fd = secures(X509_VNC, BOTH_OFFERED);
		reads(fd, challenge, 16);
		rfbEncryptBytes(challenge, i ? "battery" : "batterie");
		writes(fd, challenge, 16);
		assert_int_equal(result(fd), !i);
		leaves(fd);
	}
	end();
}

/* ---- libvncclient, which others wrote ---- */

static const char *given;

/* It leaves behind what a connection had; LeakSanitizer asks for this. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libvncclient\nleak:gnutls_certificate_allocate_credentials\nleak:libtasn1\nleak:libgnutls\n";
}

static rfbCredential *credential(rfbClient *c, int type)
{
	rfbCredential *r = xcalloc(1, sizeof(*r));

	if (type == rfbCredentialTypeX509) {
		r->x509Credential.x509CACertFile = strdup(pem);
	} else {
		r->userCredential.username = strdup("somebody");
		r->userCredential.password = strdup(given);
	}
	return r;
}

static char *its_password(rfbClient *c)
{
	return strdup(given);
}

static bool libvncclient_comes_in(u32 subtype, const char *as)
{
	const uint32_t types[] = { 19, subtype, 0 };
	rfbClient *c = rfbGetClient(8, 3, 4);

	given = as;
	c->GetCredential = credential;
	c->GetPassword = its_password;
	SetClientAuthSchemes(c, types, 2);
	c->serverHost = strdup("localhost");
	c->serverPort = ntohs(at.sin_port);
	bool in = rfbInitClient(c, NULL, NULL);
	if (in) {
		assert_string_equal(c->desktopName, "a guest");
		rfbClientCleanup(c);
	}
	return in;
}

static void test_libvncclient(void **state)
{
	rfbEnableClientLogging = FALSE;
	signal(SIGPIPE, SIG_IGN); /* it writes into what was closed */
	start(password);
	assert_true(libvncclient_comes_in(X509_PLAIN, "correct horse"));
	assert_false(libvncclient_comes_in(X509_PLAIN, "correct hors"));
	end();
	start(brief);
	assert_true(libvncclient_comes_in(X509_VNC, "battery"));
	assert_false(libvncclient_comes_in(X509_VNC, "wrong"));
	end();
}

static void test_without_tls(void **state)
{
	u8 b[12];

	start(NULL);
	int fd = connects();
	reads(fd, b, 12);
	writes(fd, b, 12);
	reads(fd, b, 2);
	writes(fd, "\1", 1); /* none */
	assert_true(closed(fd));
	leaves(fd);
	fd = connects();
	writes(fd, "GET / HTTP/1.1\r\n", 16);
	assert_true(closed(fd));
	leaves(fd);
	end();
}

static void test_a_browser(void **state)
{
	static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				  "Origin: https://a\r\nSec-WebSocket-Protocol: binary\r\n"
				  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
	char answer[12];

	start(NULL);
	int fd = connects();
	shakes(fd);
	writes(fd, ask, sizeof(ask) - 1);
	reads(fd, answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 101", 12);
	leaves(fd);
	end();
}

/* More than there are places for, in the midst of everything; each stops there. */
static void test_those_who_stall(void **state)
{
	int stalled[20];

	start(NULL);
	for (unsigned i = 0; i < ARRAY_LEN(stalled); i++)
		stalled[i] = i % 2 ? asks_for(X509_NONE, NONE_OFFERED) : connects();
	send(stalled[3], "\x16\3\1\2", 4, 0);
	int fd = secures(X509_NONE, NONE_OFFERED);
	assert_int_equal(result(fd), 0);
	sees(fd);
	leaves(fd);
	assert_true(closed(stalled[1])); /* it made room, or its time is over */
	for (unsigned i = 0; i < ARRAY_LEN(stalled); i++)
		close(stalled[i]);
	end();
}

static void test_no_certificate(void **state)
{
	struct err e = { 0 };
	const struct vnc_access a = { .tls_cert = "/none" }, b = { .tls_cert = password };

	assert_int_equal(vnc_start(&l, 0, &a, "a guest", &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/none: cannot read it"));
	assert_int_equal(vnc_start(&l, 0, &b, "a guest", &e), -EPIPE); /* mica-vnc itself says why */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_password),     cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_password_of_vnc), cmocka_unit_test(test_libvncclient),
		cmocka_unit_test(test_without_tls),     cmocka_unit_test(test_a_browser),
		cmocka_unit_test(test_those_who_stall), cmocka_unit_test(test_no_certificate),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
