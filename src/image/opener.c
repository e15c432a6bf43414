/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opener.c - in mica-image: files that images name, asked for over the link (link.h). */
#include "base/err_wire.h"
#include "image/link.h"

#include <unistd.h>

static int given(struct image_msg *m, char *format, size_t format_bytes, bool readonly, struct image_file **f,
		 struct err *e)
{
	const struct image_given *g = (const struct image_given *)m->body;
	const char *path = image_msg_string(m, sizeof(*g));
	int fd = image_msg_take_fd(m, 0);

	if (m->kind != IMAGE_MSG_GIVEN || !path || fd < 0) {
		if (fd >= 0)
			close(fd);
		return err_set(e, EPROTO, "mica-image: its starter answers nonsense");
	}
	memcpy(format, g->format, MIN(format_bytes, sizeof(g->format)));
	format[MIN(format_bytes, sizeof(g->format)) - 1] = '\0';
	return image_file_open(f, fd, m->arg, path, readonly, e);
}

static int ask(struct image_opener *o, enum image_want want, const char *of, const char *name, char *format,
	       size_t format_bytes, bool readonly, struct image_file **f, struct err *e)
{
	struct image_link_opener *l = container_of(o, struct image_link_opener, o);
	struct image_ask a = { .want = want, .readonly = readonly };
	const struct iovec iov[] = {
		{ &a, sizeof(a) },
		{ (void *)(uintptr_t)of, strlen(of) + 1 },
		{ (void *)(uintptr_t)name, strlen(name) + 1 },
	};

	if (want == IMAGE_WANT_BACKING)
		memcpy(a.format, format, MIN(format_bytes, sizeof(a.format) - 1));
	int rc = image_link_sendv(l->fd, IMAGE_MSG_ASK, 0, iov, ARRAY_LEN(iov), NULL, 0);
	if (rc == 0)
		rc = image_link_recv(l->fd, l->m);
	if (rc < 0)
		return err_sys(e, -rc, "mica-image: its starter does not answer");
	if (l->m->kind == IMAGE_MSG_ERROR)
		return err_unpack(e, l->m->body, l->m->bytes);
	char none[16];
	rc = format ? given(l->m, format, format_bytes, readonly, f, e)
		    : given(l->m, none, sizeof(none), readonly, f, e);
	image_msg_fini(l->m);
	return rc;
}

void image_link_opener_init(struct image_link_opener *l, int fd, struct image_msg *m)
{
	*l = (struct image_link_opener){ .o.open = ask, .fd = fd, .m = m };
}
