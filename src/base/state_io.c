/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state_io.c - the bytes of a saved state: to and from a file, a pipe or a socket.
 *
 * Whoever is at the other end may be slow, or have stopped. A writer therefore never waits in the kernel for room, but
 * polls, and asks in between whether to give up. The descriptor's description may be shared with another process, so it
 * is not made non-blocking: a pipe that polls writable takes PIPE_BUF bytes, and a socket is asked not to wait. A file
 * waits for a disk at most.
 */
#include "base/state_int.h"

#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define LOOK_MS 100
#define FILE_PIECE (1 * MIB)

static bool stopped(const struct state_file *s)
{
	return s->to.stop && s->to.stop(s->to.opaque);
}

/* As write(), of a part; 0: not now. */
static ssize_t put_some(const struct state_file *s, mode_t kind, const u8 *p, size_t bytes)
{
	struct pollfd pfd = { s->to.fd, POLLOUT, 0 };
	ssize_t n;

	if (S_ISREG(kind))
		return write(s->to.fd, p, MIN(bytes, FILE_PIECE));
	if (poll(&pfd, 1, LOOK_MS) <= 0)
		return 0;
	if (S_ISSOCK(kind))
		n = send(s->to.fd, p, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		n = write(s->to.fd, p, MIN(bytes, (size_t)PIPE_BUF));
	return n < 0 && errno == EAGAIN ? 0 : n;
}

static int put_all(struct state_file *s, const u8 *p, size_t bytes, struct err *e)
{
	struct stat st;

	if (fstat(s->to.fd, &st) < 0)
		return err_sys(e, errno, "cannot write the saved state");
	while (bytes) {
		if (stopped(s))
			return err_set(e, ECANCELED, "saving was given up");
		ssize_t n = put_some(s, st.st_mode, p, bytes);
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot write the saved state");
		if (n <= 0)
			continue;
		p += n;
		bytes -= (size_t)n;
	}
	return 0;
}

void state_gather(struct state_file *s, const u8 *p, size_t bytes)
{
	if (s->ngathered + bytes > s->gathered_room) {
		s->gathered_room = ROUND_UP(MAX(s->ngathered + bytes, 2 * s->gathered_room), 4096);
		s->gathered = xrealloc(s->gathered, s->gathered_room);
	}
	memcpy(s->gathered + s->ngathered, p, bytes);
	s->ngathered += bytes;
	s->offset += bytes;
}

int state_put(struct state_file *s, const u8 *p, size_t bytes, struct err *e)
{
	if (s->deferred) {
		state_gather(s, p, bytes);
		return 0;
	}
	int r = state_defer(s, false, e); /* the file's header, at first */
	if (r < 0)
		return r;
	s->offset += bytes;
	return put_all(s, p, bytes, e);
}

int state_defer(struct state_file *s, bool on, struct err *e)
{
	s->deferred = on;
	if (on || !s->ngathered)
		return 0;
	int r = put_all(s, s->gathered, s->ngathered, e);
	s->ngathered = 0;
	return r;
}

int state_sync(struct state_file *s, struct err *e)
{
	if (stopped(s))
		return err_set(e, ECANCELED, "saving was given up");
	return fsync(s->to.fd) < 0 && errno != EINVAL && errno != EROFS
		   ? err_sys(e, errno, "cannot write the saved state to stable storage")
		   : 0;
}

ssize_t state_get_some(struct state_file *s, u8 *p, size_t bytes, struct err *e)
{
	size_t got = MIN(bytes, s->nhead);

	if (got) {
		memcpy(p, s->head, got);
		s->head += got;
		s->nhead -= got;
		s->offset += got;
	}
	while (got < bytes) {
		ssize_t n = read(s->from, p + got, bytes - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "cannot read the saved state");
		if (n == 0)
			break;
		got += (size_t)n;
		s->offset += (u64)n;
	}
	return (ssize_t)got;
}

int state_get(struct state_file *s, u8 *p, size_t bytes, struct err *e)
{
	ssize_t n = state_get_some(s, p, bytes, e);

	if (n < 0)
		return (int)n;
	if ((size_t)n < bytes)
		return err_set(e, EBADMSG, "the saved state is cut off after %llu bytes: the file is not whole",
			       (unsigned long long)s->offset);
	return 0;
}

bool state_at_end(struct state_file *s)
{
	struct stat st;
	u8 more;

	return fstat(s->from, &st) < 0 || !S_ISREG(st.st_mode) || read(s->from, &more, 1) == 0;
}

ssize_t state_read_head(int fd, u8 *out, struct err *e)
{
	struct state_file s = { .from = fd };
	const size_t heads = STATE_FILE_HEADER_BYTES + STATE_HEADER_BYTES;
	ssize_t n = state_get_some(&s, out, heads, e), more;

	if (n < (ssize_t)heads)
		return n;
	/* Whoever makes a state_file of it finds out whether that is true. */
	size_t bytes = ld_le32(out + STATE_FILE_HEADER_BYTES + 24);
	more = state_get_some(&s, out + heads, MIN(bytes, (size_t)STATE_SECTION_MAX), e);
	return more < 0 ? more : n + more;
}
