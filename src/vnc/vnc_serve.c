/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnc_serve.c - VNC clients by libvncserver, which speaks RFB with them: encodings (Tight, ZRLE and the older ones),
 * authentication, WebSockets.
 *
 * One thread, one poll(). libvncserver is given connected sockets, and asked to go on whenever something has come; it
 * sends each client what was marked as changed since that client last asked. A client that takes nothing, or stops in
 * the midst of a message, is waited for CLIENT_WAIT_MS at most, and dropped.
 */
#include "base/i18n.h"
#include "base/log.h"
#include "vnc/vnc.h"
#include "vnc/vnc_front.h"
#include "vnc/vnc_keys.h"

#include <poll.h>
#include <rfb/rfb.h>
#include <sys/socket.h>

#define CLIENT_WAIT_MS 2000

struct server {
	rfbScreenInfoPtr screen;
	unsigned clients;
	int door;   /* -1: clients are accepted here */
	bool sizes; /* the guest may follow a client's size */
	char *passwords[2];
};

/* ---- to the VM ---- */

/* Keys that the VM does not take at once are lost, as on a keyboard whose buffer is full. */
static void tell(u32 type, u32 a, u32 b, u32 c, int flags)
{
	struct vnc_msg m = { .type = type, .a = a, .b = b, .c = c };

	while (send(VNC_LINK_FD, &m, VNC_MSG_BYTES(0), flags | MSG_NOSIGNAL) < 0)
		if (errno != EINTR) {
			if (errno != EAGAIN && errno != ENOBUFS)
				_exit(0); /* the VM is gone, and so are we */
			return;
		}
}

static void on_key(rfbBool down, rfbKeySym sym, rfbClientPtr cl)
{
	(void)cl;
	tell(VNC_KEY, (u32)sym, down != 0, 0, MSG_DONTWAIT);
}

static void on_key_code(u32 sym, u32 code, bool down)
{
	tell(VNC_KEY, sym, down, code, MSG_DONTWAIT);
}

static void on_pointer(int buttons, int x, int y, rfbClientPtr cl)
{
	(void)cl;
	tell(VNC_POINTER, (u32)MAX(x, 0), (u32)MAX(y, 0), (u32)buttons, MSG_DONTWAIT);
}

/* A client's clipboard, for whoever types it: it is a person at the client who cut it there. */
static void tell_text(const char *s, size_t n)
{
	static struct vnc_msg m;

	m.type = VNC_TEXT;
	m.a = (u32)MIN(n, UINT32_MAX);
	memcpy(m.text, s, n <= VNC_TEXT_MAX ? n : 0);
	send(VNC_LINK_FD, &m, VNC_MSG_BYTES(0) + (n <= VNC_TEXT_MAX ? n : 0), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ClientCutText (RFC 6143 7.5.6) is Latin-1. */
static void on_cut(char *s, int n, rfbClientPtr cl)
{
	char out[2 * VNC_TEXT_MAX];
	size_t k = 0;

	(void)cl;
	for (int i = 0; i < n && k + 2 <= sizeof(out); i++) {
		u8 c = (u8)s[i];

		if (c >= 0x80)
			out[k++] = (char)(0xc0 | c >> 6);
		out[k++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
	}
	tell_text(out, k);
}

/* The extended clipboard's (RFB protocol, community version, 7.7.27). */
static void on_cut_utf8(char *s, int n, rfbClientPtr cl)
{
	(void)cl;
	tell_text(s, n > 0 ? strnlen(s, (size_t)n) : 0);
}

/* SetDesktopSize (RFB protocol, community version, 7.4.11). What comes of it is the guest's to say: it shows when the
 * screen's size is another. */
static int on_size(int width, int height, int n, struct rfbExtDesktopScreen *screens, rfbClientPtr cl)
{
	struct server *s = cl->screen->screenData;

	(void)screens;
	if (!s->sizes)
		return rfbExtDesktopSize_ResizeProhibited;
	if (n != 1 || width < 1 || height < 1 || width > (int)VNC_WIDTH_MAX || height > (int)VNC_HEIGHT_MAX)
		return rfbExtDesktopSize_InvalidScreenLayout;
	tell(VNC_SIZE, (u32)width, (u32)height, 0, MSG_DONTWAIT);
	return rfbExtDesktopSize_Success;
}

/* ---- clients ---- */

static void on_gone(rfbClientPtr cl)
{
	struct server *s = cl->screen->screenData;

	if (--s->clients == 0)
		tell(VNC_LOOK, 0, 0, 0, 0);
}

static enum rfbNewClientAction on_client(rfbClientPtr cl)
{
	struct server *s = cl->screen->screenData;

	cl->clientGoneHook = on_gone;
	if (++s->clients == 1)
		tell(VNC_LOOK, 1, 0, 0, 0);
	return RFB_CLIENT_ACCEPT;
}

/* Through the door (vnc_front.h). */
static int receive(int door, char *kind)
{
	union {
		struct cmsghdr h;
		char b[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct iovec v = { kind, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof(c.b) };
	ssize_t n = recvmsg(door, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = -1;

	if (n == 0) {
		log_warn(_("the process that speaks TLS with VNC clients is gone; it is started again"));
		_exit(1);
	}
	if (n == 1 && m.msg_controllen >= CMSG_LEN(sizeof(int)) && c.h.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&c.h), sizeof(fd));
	return fd;
}

static void come_in(struct server *s)
{
	char kind = VNC_DOOR_ANY;
	int fd =
	    s->door >= 0 ? receive(s->door, &kind) : accept4(VNC_LISTEN_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (s->clients >= VNC_CLIENTS_MAX || fd >= FD_SETSIZE) {
		close(fd);
		return;
	}
	rfbClientPtr cl = rfbNewClient(s->screen, fd);
	if (cl && kind == VNC_DOOR_ADMITTED) {
		cl->protocolMinorVersion = 8;
		cl->state = RFB_INITIALISATION;
	}
}

/* ---- from the VM ---- */

/* Pixels are 0x00RRGGBB; libvncserver's own idea is the other way round, and it goes back to it with each size. */
static void format(rfbScreenInfoPtr r)
{
	r->serverFormat.redShift = 16;
	r->serverFormat.greenShift = 8;
	r->serverFormat.blueShift = 0;
}

static void resize(struct server *s, const u32 *pixels, int w, int h)
{
	rfbNewFramebuffer(s->screen, (char *)(uintptr_t)pixels, w, h, 8, 3, 4);
	format(s->screen);
	rfbClientIteratorPtr it = rfbGetClientIterator(s->screen);
	for (rfbClientPtr cl; (cl = rfbClientIteratorNext(it));)
		rfbSetTranslateFunction(cl);
	rfbReleaseClientIterator(it);
}

static void picture(struct server *s, const struct vnc_msg *m, ssize_t n, const u32 *pixels)
{
	int w = (int)m->a, h = (int)m->b;

	if (n < (ssize_t)VNC_MSG_BYTES(0) || m->type != VNC_PICTURE || m->nrects > VNC_RECTS_MAX ||
	    n < (ssize_t)VNC_MSG_BYTES(m->nrects) || w < 1 || h < 1 || m->a > VNC_WIDTH_MAX || m->b > VNC_HEIGHT_MAX)
		return;
	s->sizes = m->c;
	if (w != s->screen->width || h != s->screen->height)
		resize(s, pixels, w, h);
	for (u32 i = 0; i < m->nrects; i++) {
		const struct vnc_rect *r = &m->rect[i];
		rfbMarkRectAsModified(s->screen, r->x, r->y, MIN(r->x + r->w, w), MIN(r->y + r->h, h));
	}
	rfbProcessEvents(s->screen, 0);
	tell(VNC_SEEN, 0, 0, 0, 0);
}

static void from_vm(struct server *s, const u32 *pixels)
{
	static struct vnc_msg m;
	ssize_t n = recv(VNC_LINK_FD, &m, sizeof(m), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		_exit(0);
	if (n > 0)
		picture(s, &m, n, pixels);
}

/* ---- the server ---- */

static void quiet(const char *format, ...)
{
	(void)format;
}

static int make(struct server *s, const char *name, const char *password, const u32 *pixels)
{
	int argc = 0;

	rfbLog = rfbErr = quiet; /* who comes and goes is not the operator's business, and what they send is theirs */
	s->screen = rfbGetScreen(&argc, NULL, 640, 400, 8, 3, 4);
	if (!s->screen)
		return -ENOMEM;
	rfbScreenInfoPtr r = s->screen;
	r->frameBuffer = (char *)(uintptr_t)pixels;
	format(r);
	r->screenData = s;
	r->desktopName = name;
	r->alwaysShared = TRUE;
	r->autoPort = FALSE;
	r->port = r->ipv6port = 0; /* they are accepted here */
	r->maxClientWait = CLIENT_WAIT_MS;
	r->deferUpdateTime = 0;
	r->deferPtrUpdateTime = 0; /* a move that waits for a later one would wait for ever: we sleep in poll() */
	r->kbdAddEvent = on_key;
	r->ptrAddEvent = on_pointer;
	r->newClientHook = on_client;
	r->setDesktopSizeHook = on_size;
	r->setXCutText = on_cut;
	r->setXCutTextUTF8 = on_cut_utf8;
	rfbSetCursor(r, NULL); /* the guest draws its own */
	s->passwords[0] = (char *)(uintptr_t)password;
	if (*password) {
		r->authPasswdData = s->passwords;
		r->passwordCheck = rfbCheckPasswordByList;
	}
	vnc_keys_init(on_key_code);
	rfbInitServer(r);
	return 0;
}

/*
 * A client that follows the screen's size (RFC 6143 7.8.2) says so after it was told the size that the screen had when
 * it came. If that has changed by then, it is told now: rfbNewFramebuffer() tells only those who had said so before.
 * clientData: the size that it knows, and whether it has said so.
 */
#define FOLLOWS 1u

static bool tell_sizes(struct server *s)
{
	rfbClientIteratorPtr it = rfbGetClientIterator(s->screen);
	uintptr_t now = (uintptr_t)s->screen->width << 32 | (uintptr_t)s->screen->height << 1;
	bool any = false;

	for (rfbClientPtr cl; (cl = rfbClientIteratorNext(it));) {
		uintptr_t knows = (uintptr_t)cl->clientData;

		if (cl->state != RFB_NORMAL || knows & FOLLOWS)
			continue;
		if (!knows)
			knows = now;
		if (cl->useNewFBSize && knows != now)
			cl->newFBSizePending = any = TRUE;
		cl->clientData = (void *)(knows | (cl->useNewFBSize ? FOLLOWS : 0));
	}
	rfbReleaseClientIterator(it);
	return any;
}

static void wait_for_any(struct server *s)
{
	struct pollfd p[2 + VNC_CLIENTS_MAX] = { { .fd = VNC_LINK_FD, .events = POLLIN },
						 { .fd = s->door >= 0 ? s->door : VNC_LISTEN_FD, .events = POLLIN } };
	rfbClientIteratorPtr it = rfbGetClientIterator(s->screen);
	rfbClientPtr cl;
	unsigned n = 2;

	while ((cl = rfbClientIteratorNext(it)) && n < ARRAY_LEN(p))
		p[n++] = (struct pollfd){ .fd = cl->sock, .events = POLLIN };
	rfbReleaseClientIterator(it);
	poll(p, n, -1);
	if (p[1].revents)
		come_in(s);
}

int vnc_serve(const char *name, const char *password, const u32 *pixels, int door)
{
	struct server s = { .door = door };

	if (make(&s, name, password, pixels) < 0)
		return 1;
	tell(VNC_HELLO, VNC_VERSION, 0, 0, 0);
	for (;;) {
		wait_for_any(&s);
		from_vm(&s, pixels);
		rfbProcessEvents(s.screen, 0);
		if (tell_sizes(&s)) {
			rfbProcessEvents(s.screen, 0); /* the size, and no more; */
			rfbProcessEvents(s.screen, 0); /* the picture, if it has asked */
		}
	}
}
