/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnc_front.h - TLS in front of VNC: a process of its own that has the certificate's key and the password.
 *
 * Clients come to it. With each it speaks RFB up to its authentication (VeNCrypt: RFB protocol, community version,
 * 7.2.11), so that nobody comes to the one that serves who does not know the password; or, where TLS comes first, it is
 * a browser with WebSockets. Then it hands one end of a socket pair through the door, and copies: decrypted from the
 * client, to be encrypted from there. One poll(), nothing waits: a client that stalls keeps nobody else waiting.
 */
#ifndef MICA_VNC_FRONT_H
#define MICA_VNC_FRONT_H

#include "base/base.h"
#include "base/err.h"

#include <gnutls/gnutls.h>

/* What comes through the door, one message with one socket. */
enum vnc_door {
	VNC_DOOR_ANY = 0,      /* it begins as if it had been accepted: WebSockets */
	VNC_DOOR_ADMITTED = 1, /* the authentication is behind it; 12 bytes that would greet it are swallowed */
};

struct vnc_front {
	int listen_fd, door; /* the door: SOCK_SEQPACKET */
	gnutls_certificate_credentials_t cred;
	const char *password; /* "": none is asked for */
};

/* Certificate (with those between it and the root) and key, PEM; key NULL: in the same file. */
int vnc_front_load(struct vnc_front *f, const char *cert, const char *key, struct err *e);
/* Also after a load that failed, or none. */
void vnc_front_unload(struct vnc_front *f);
/* Until the door closes. Locked in already. */
int vnc_front_serve(const struct vnc_front *f);

/* ---- between vnc_front.c (sockets, TLS) and vnc_greet.c (what is said) ---- */

#define VNC_BUF 32768u
struct vnc_buf {
	size_t n;
	u8 b[VNC_BUF];
};

enum vnc_step {
	VNC_AT_FIRST, /* does it begin, as browsers do? */
	VNC_AT_VERSION,
	VNC_AT_TYPE,
	VNC_AT_VENCRYPT,
	VNC_AT_SUBTYPE,
	VNC_AT_HANDSHAKE,
	VNC_AT_RESPONSE, /* to the challenge */
	VNC_AT_PLAIN,    /* name and password */
	VNC_AT_COPY,
	VNC_AT_FAIL, /* what is in `down` goes out, and then it is closed */
};

struct vnc_guest {
	const struct vnc_front *front;
	int fd, inner;
	enum vnc_step step;
	gnutls_session_t tls; /* NULL: not yet */
	bool web, stuck;      /* stuck: the last record is not out yet */
	bool busy;            /* its turn ended before its work */
	u64 until_ns;         /* 0: as long as it likes */
	unsigned swallow;     /* bytes from inner that are for nobody */
	u32 subtype;
	u8 challenge[16];
	struct vnc_buf up, down; /* from it, and to it */
};

/* What is in `up` as far as it is whole: answers, steps on. False: nothing to be done now. */
bool vnc_greet(struct vnc_guest *g);
/* It may begin: the server's version is in `down`. */
void vnc_greet_begin(struct vnc_guest *g);
/* The handshake of TLS is done. */
void vnc_greet_secured(struct vnc_guest *g);
void vnc_take(struct vnc_buf *b, size_t n);

#endif
