/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chr_port.c - see chr_port.h. */
#include "device/chr_port.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* A tty or pipe is shared with whoever started us: open it anew, so that O_NONBLOCK stays ours. */
static int reopen(int fd)
{
	struct stat st;
	char path[32];
	unsigned pt;
	int fl = fcntl(fd, F_GETFL);

	if (fl < 0 || fstat(fd, &st) < 0)
		return -1;
	if (!S_ISFIFO(st.st_mode) && !(S_ISCHR(st.st_mode) && isatty(fd)))
		return -1;
	if (S_ISCHR(st.st_mode) && ioctl(fd, TIOCGPTN, &pt) == 0)
		return -1; /* a pty's master: opening it makes another pty */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, (fl & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

int chr_port_init(struct chr_port *p, int fd, bool private_ok)
{
	struct stat st;

	*p = (struct chr_port){ .fd = fd, .restore_flags = -1 };
	int mine = private_ok ? reopen(fd) : -1;
	if (mine >= 0) {
		p->fd = mine;
		p->owned = true;
	} else {
		int fl = fcntl(fd, F_GETFL);
		if (fl < 0)
			return -errno;
		if (!(fl & O_NONBLOCK)) {
			p->restore_flags = fl;
			if (fcntl(fd, F_SETFL, fl | O_NONBLOCK) < 0)
				return -errno;
		}
	}
	p->is_socket = fstat(p->fd, &st) == 0 && S_ISSOCK(st.st_mode);
	return 0;
}

void chr_port_fini(struct chr_port *p)
{
	if (p->fd < 0)
		return;
	loop_del(p->loop, &p->lf);
	if (p->restore_flags >= 0)
		fcntl(p->fd, F_SETFL, p->restore_flags);
	if (p->owned)
		close(p->fd);
	p->fd = -1;
	p->polled = false;
	p->want = 0;
}

/* Removed altogether when nothing is wanted: EPOLLHUP cannot be masked. */
void chr_port_want(struct chr_port *p, u32 want)
{
	if (!p || p->fd < 0 || !p->polled || want == p->want)
		return;
	if (!want)
		loop_del(p->loop, &p->lf);
	else if (!p->lf.added)
		must(loop_add(p->loop, &p->lf, p->fd, want, p->ready, p->opaque) == 0);
	else
		loop_mod(p->loop, &p->lf, want);
	p->want = want;
}

/* -EPERM: a file that is always ready (a regular file, /dev/null). */
int chr_port_poll(struct chr_port *p, struct loop *loop, void (*ready)(void *opaque, u32 events), void *opaque)
{
	int r = loop_add(loop, &p->lf, p->fd, EPOLLIN, ready, opaque);

	p->loop = loop;
	p->ready = ready;
	p->opaque = opaque;
	if (r == -EPERM)
		return 0;
	if (r < 0)
		return r;
	loop_del(loop, &p->lf);
	p->polled = true;
	return 0;
}
