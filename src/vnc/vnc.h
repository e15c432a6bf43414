/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnc.h - between a VM and mica-vnc, the process that shows its screen to VNC clients (RFC 6143).
 *
 * mica-vnc reads what peers on a network send, and is in a sandbox of its own because of that. The two share the
 * picture (a file in memory, `VNC_PIXELS_BYTES`, that mica-vnc maps for reading only), and a SOCK_SEQPACKET socket with
 * a struct vnc_msg a message. The VM draws only while it was told VNC_LOOK, and sends a VNC_PICTURE no sooner than the
 * last one was answered by VNC_SEEN: nothing piles up, however slow the clients are.
 *
 * The VM believes nothing of it: what comes is checked against these bounds, and the worst that can be sent is keys and
 * mouse moves, which is what it is for. The end of the socket is the end of mica-vnc; should mica-vnc die, it is
 * started again and says VNC_HELLO anew.
 */
#ifndef MICA_VNC_H
#define MICA_VNC_H

#include "base/err.h"

#include <sys/types.h>

#define VNC_VERSION 3
#define VNC_WIDTH_MAX 2560u
#define VNC_HEIGHT_MAX 1600u
#define VNC_PIXELS_BYTES (4ull * VNC_WIDTH_MAX * VNC_HEIGHT_MAX)
#define VNC_RECTS_MAX 240u
#define VNC_TEXT_MAX 1920u
#define VNC_CLIENTS_MAX 8u
#define VNC_PASSWORD_MAX 8u /* bytes that VNC's authentication looks at */

enum vnc_type {
	VNC_HELLO, /* of mica-vnc: it serves; a = VNC_VERSION */
	VNC_LOOK,  /* of mica-vnc: a = is any client there? */
	VNC_SEEN,  /* of mica-vnc: the last picture was taken note of */
	VNC_KEY,   /* of mica-vnc: a = X11 keysym, b = is it pressed?, c = which key (key_of_keycode()), 0: not said */
	VNC_POINTER, /* of mica-vnc: a, b = where; c = buttons, as RFC 6143 7.5.5 has them */
	VNC_SIZE,    /* of mica-vnc: a, b = the size that a client would like the screen to have */
	VNC_TEXT,    /* of mica-vnc: what a client cut, a bytes of UTF-8; more than VNC_TEXT_MAX: left out */
	VNC_PICTURE, /* to mica-vnc: a, b = width, height, c = can it be of another size?; nrects that have changed, a
			line is a pixels long */
};

struct vnc_rect {
	u16 x, y, w, h;
};

/* Of this host: its byte order. nrects of the rectangles are sent. */
struct vnc_msg {
	u32 type; /* enum vnc_type */
	u32 a, b, c;
	u32 nrects;
	union {
		struct vnc_rect rect[VNC_RECTS_MAX];
		char text[VNC_TEXT_MAX];
	};
};
#define VNC_MSG_BYTES(n) (offsetof(struct vnc_msg, rect) + (n) * sizeof(struct vnc_rect))

/* What mica-vnc is started with. */
#define VNC_LINK_FD 3
#define VNC_LISTEN_FD 4
#define VNC_PIXELS_FD 5

struct vnc_link {
	int fd;      /* connected */
	u32 *pixels; /* the picture, mapped to write; VNC_PIXELS_BYTES */
};

struct vnc_access {
	/* Its first line is asked for; NULL: nothing is, which only a socket in the file system and loopback addresses
	 * may do (vnc_check()). */
	const char *password_file;
	/* PEM. With a certificate nobody comes in but by TLS; key NULL: it is in the same file. */
	const char *tls_cert, *tls_key;
};

/*
 * Start mica-vnc with a listening socket, which stays the caller's. Returns when it serves. It also ends with the
 * thread that called this.
 */
int vnc_start(struct vnc_link *l, int listen_fd, const struct vnc_access *a, const char *name, struct err *e);
void vnc_close(struct vnc_link *l);
/* A listening socket at "ADDRESS:PORT". */
int vnc_listen(const char *where, struct err *e);
/* Is `where` that or "unix:PATH", and is a password there where one is needed? */
int vnc_check(const char *where, bool password, struct err *e);

/* ---- mica-vnc's ---- */
int vnc_sandbox(struct err *e);
int vnc_front_sandbox(struct err *e);
/* Serve until the VM closes the link; *password may be "". door: where clients come from (vnc_front.h); -1: they are
 * accepted. */
int vnc_serve(const char *name, const char *password, const u32 *pixels, int door);

#endif
