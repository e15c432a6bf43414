/* SPDX-License-Identifier: GPL-2.0-or-later */
/* link.c - see link.h. */
#include "image/link.h"
#include "base/err_wire.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define IOV_MAX_MSG 4u

struct head {
	u32 kind, arg;
};

union fd_control {
	char buf[CMSG_SPACE(sizeof(int) * IMAGE_MSG_FDS)];
	struct cmsghdr align;
};

int image_link_sendv(int fd, u32 kind, u32 arg, const struct iovec *iov, unsigned niov, const int *fds, unsigned nfds)
{
	struct head h = { kind, arg };
	struct iovec all[1 + IOV_MAX_MSG] = { { &h, sizeof(h) } };
	union fd_control c = { 0 };
	struct msghdr m = { .msg_iov = all, .msg_iovlen = 1 + niov };

	must(niov <= IOV_MAX_MSG && nfds <= IMAGE_MSG_FDS);
	memcpy(all + 1, iov, niov * sizeof(*iov));
	if (nfds) {
		m.msg_control = c.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *cm = CMSG_FIRSTHDR(&m);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * nfds);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int image_link_send(int fd, u32 kind, u32 arg, const void *body, size_t bytes, const int *fds, unsigned nfds)
{
	struct iovec iov = { (void *)(uintptr_t)body, bytes };

	return image_link_sendv(fd, kind, arg, &iov, 1, fds, nfds);
}

int image_link_send_err(int fd, const struct err *e)
{
	u8 buf[ERR_WIRE_BYTES];

	return image_link_send(fd, IMAGE_MSG_ERROR, 0, buf, err_pack(e, buf), NULL, 0);
}

void image_msg_init(struct image_msg *m)
{
	m->nfds = 0;
	m->bytes = 0;
}

void image_msg_fini(struct image_msg *m)
{
	for (unsigned i = 0; i < m->nfds; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->nfds = 0;
}

int image_msg_take_fd(struct image_msg *m, unsigned i)
{
	int fd = i < m->nfds ? m->fds[i] : -1;

	if (i < m->nfds)
		m->fds[i] = -1;
	return fd;
}

const char *image_msg_string(const struct image_msg *m, size_t at)
{
	return at < m->bytes ? (const char *)m->body + at : NULL;
}

static void take_descriptors(struct image_msg *m, struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->nfds < IMAGE_MSG_FDS)
				m->fds[m->nfds++] = fd;
			else
				close(fd);
		}
	}
}

int image_link_recv(int fd, struct image_msg *m)
{
	struct head head;
	struct iovec iov[2] = { { &head, sizeof(head) }, { m->body, IMAGE_MSG_BYTES } };
	union fd_control c;
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = c.buf, .msg_controllen = sizeof(c.buf) };
	ssize_t n;

	image_msg_fini(m);
	do
		n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	take_descriptors(m, &h);
	if ((size_t)n < sizeof(head) || h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EPROTO;
	m->kind = head.kind;
	m->arg = head.arg;
	m->bytes = (u32)((size_t)n - sizeof(head));
	m->body[m->bytes] = 0;
	return 0;
}

/* ---- in who started it ---- */

void image_link_files_free(struct image_link_files *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		if (f->file[i].fd >= 0)
			close(f->file[i].fd);
		free(f->file[i].path);
	}
	f->n = 0;
}

int image_link_files_add(struct image_link_files *f, const char *path, int fd, bool readonly, struct err *e)
{
	if (f->n == IMAGE_FILES_MAX) {
		if (fd >= 0)
			close(fd);
		return err_set(e, EMFILE, "%s: its images are of more than %u files", f->file[0].path, IMAGE_FILES_MAX);
	}
	f->file[f->n] = (struct image_link_file){ .path = xstrdup(path), .fd = fd, .readonly = readonly };
	return (int)f->n++;
}
