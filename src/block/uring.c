/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uring.c - host I/O by an io_uring.
 *
 * Theory: one ring a disk, used from several threads under one lock. At most URING_DEPTH requests are
 * in the kernel, so neither queue can overflow; the rest wait in a list, and so do the later pieces of large ones.
 *
 * The completion queue's event fd, which the ring knows, wakes the loop's thread. Many reads complete inside
 * io_uring_enter() itself (page cache); the submitter reaps these at once, and so that they don't wake the loop's
 * thread for nothing, the event fd is switched off from submission to reaping. INV-UR-1: after it is switched on again,
 * the completion queue is looked at once more, with a full barrier between: a completion is either seen there or the
 * kernel saw the switch.
 *
 * A request belongs to the thread that submitted it: if that ends, the kernel cancels it (-ECANCELED)
 * and it is submitted again by whoever reaps.
 */
#include "block/hostio.h"
#include "base/clock.h"
#include "base/log.h"

#include <liburing.h>
#include <pthread.h>
#include <sys/syscall.h>

#define URING_DEPTH 256u
#define BATCH_BYTES (1 * MIB) /* given to the kernel between two looks at the clock */

struct uring {
	struct hostio h;

	pthread_mutex_t lock; /* guards what follows */
	struct io_uring ring;
	unsigned plugged, inflight;
	bool cancel;
	struct blk_done *wait, **wait_tail; /* io->done of those that are not started */
};

/* Returns the bytes it may transfer. */
static u64 prep(struct uring *u, struct blk_io *io)
{
	struct io_uring_sqe *s = io_uring_get_sqe(&u->ring);
	const struct iovec *iov = io->iov;
	u64 bytes = 0;
	unsigned n = io->op == IO_READ || io->op == IO_WRITE ? blk_io_piece(io, &iov, &bytes) : 0;

	must(s); /* inflight <= URING_DEPTH, each has at most one entry */
	switch (io->op) {
	case IO_READ:
		if (n == 1)
			io_uring_prep_read(s, io->fd, iov->iov_base, (unsigned)bytes, io->off);
		else
			io_uring_prep_readv(s, io->fd, iov, n, io->off);
		break;
	case IO_WRITE:
		if (n == 1)
			io_uring_prep_write(s, io->fd, iov->iov_base, (unsigned)bytes, io->off);
		else
			io_uring_prep_writev(s, io->fd, iov, n, io->off);
		break;
	case IO_DATASYNC:
		io_uring_prep_fsync(s, io->fd, IORING_FSYNC_DATASYNC);
		break;
	case IO_FALLOCATE:
		io_uring_prep_fallocate(s, io->fd, io->mode, (off_t)io->off, (off_t)io->bytes);
		break;
	default:
		must(!"an operation of host I/O");
	}
	io_uring_sqe_set_data(s, io);
	return bytes;
}

static void wait_locked(struct uring *u, struct blk_io *io)
{
	io->done.next = NULL;
	*u->wait_tail = &io->done;
	u->wait_tail = &io->done.next;
}

static struct blk_io *next_locked(struct uring *u)
{
	struct blk_done *d = u->wait;

	u->wait = d->next;
	if (!u->wait)
		u->wait_tail = &u->wait;
	return container_of(d, struct blk_io, done);
}

static void cancel_locked(struct uring *u)
{
	while (u->wait)
		blk_queue_push(u->h.src.q, &next_locked(u)->done, -ECANCELED);
}

static void start_locked(struct uring *u)
{
	u64 until = 0;

	if (u->cancel)
		cancel_locked(u);
	for (;;) {
		u64 bytes = 0;
		while (u->wait && u->inflight < URING_DEPTH && bytes < BATCH_BYTES) {
			u->inflight++;
			bytes += prep(u, next_locked(u));
		}
		while (io_uring_sq_ready(&u->ring)) {
			int rc = io_uring_submit(&u->ring);
			if (rc == -EINTR)
				continue;
			if (rc <= 0) {
				/* The kernel is short of memory: the loop's thread tries again. */
				log_debug("io_uring_enter: %s", strerror(-rc));
				blk_queue_wake(u->h.src.q);
				return;
			}
		}
		if (!u->wait || u->inflight == URING_DEPTH)
			return;
		if (!until) {
			until = loop_until();
		} else if (clock_mono_ns() >= until) {
			blk_queue_wake(u->h.src.q);
			return;
		}
	}
}

static void uring_submit(struct hostio *h, struct blk_io *io)
{
	struct uring *u = container_of(h, struct uring, h);

	pthread_mutex_lock(&u->lock);
	wait_locked(u, io);
	if (!u->plugged)
		start_locked(u);
	pthread_mutex_unlock(&u->lock);
}

static void uring_plug(struct blk_source *s)
{
	struct uring *u = container_of(s, struct uring, h.src);

	pthread_mutex_lock(&u->lock);
	u->plugged++;
	pthread_mutex_unlock(&u->lock);
}

static void uring_unplug(struct blk_source *s, bool quiet)
{
	struct uring *u = container_of(s, struct uring, h.src);

	pthread_mutex_lock(&u->lock);
	must(u->plugged);
	u->plugged--;
	if (quiet)
		io_uring_cq_eventfd_toggle(&u->ring, false);
	if (!u->plugged)
		start_locked(u);
	pthread_mutex_unlock(&u->lock);
}

static void uring_loud(struct blk_source *s)
{
	struct uring *u = container_of(s, struct uring, h.src);

	pthread_mutex_lock(&u->lock);
	io_uring_cq_eventfd_toggle(&u->ring, true);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* INV-UR-1 */
	if (io_uring_cq_ready(&u->ring))
		blk_queue_wake(s->q);
	pthread_mutex_unlock(&u->lock);
}

/* True when io is finished, its result in io->done.res; false when it goes on. */
static bool finished(struct blk_io *io, int res)
{
	if (res == -EINTR || res == -EAGAIN || res == -ECANCELED)
		return false;
	if (res >= 0 && (io->op == IO_READ || io->op == IO_WRITE) && (u64)res < io->bytes) {
		if (res > 0) {
			blk_io_advance(io, (u64)res);
			return false;
		}
		res = blk_io_end_of_file(io);
	}
	io->done.res = res < 0 ? res : 0;
	return true;
}

static struct blk_done *uring_collect(struct blk_source *s)
{
	struct uring *u = container_of(s, struct uring, h.src);
	struct blk_done *list = NULL, **tail = &list;
	struct io_uring_cqe *cqe;

	pthread_mutex_lock(&u->lock);
	while (io_uring_peek_cqe(&u->ring, &cqe) == 0 && cqe) {
		struct blk_io *io = io_uring_cqe_get_data(cqe);
		int res = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		if (!io)
			continue;
		u->inflight--;
		if (!finished(io, res)) {
			wait_locked(u, io);
			continue;
		}
		io->done.next = NULL;
		*tail = &io->done;
		tail = &io->done.next;
	}
	if (!u->plugged)
		start_locked(u);
	pthread_mutex_unlock(&u->lock);
	return list;
}

static void uring_cancel(struct blk_source *s, bool on)
{
	struct uring *u = container_of(s, struct uring, h.src);

	pthread_mutex_lock(&u->lock);
	u->cancel = on;
	if (on)
		cancel_locked(u);
	pthread_mutex_unlock(&u->lock);
}

static void uring_free(struct hostio *h)
{
	struct uring *u = container_of(h, struct uring, h);

	must(!u->inflight && !u->wait);
	io_uring_queue_exit(&u->ring);
	pthread_mutex_destroy(&u->lock);
	free(u);
}

static const struct blk_source_ops uring_source = {
	.plug = uring_plug,
	.unplug = uring_unplug,
	.loud = uring_loud,
	.collect = uring_collect,
	.cancel = uring_cancel,
};

static const struct hostio_ops uring_ops = {
	.name = "io_uring",
	.submit = uring_submit,
	.free = uring_free,
};

/* The ring is for exactly these. Without restrictions it would be a way around the process's system-call
 * filter: io_uring opens files and sockets, too. */
static const u8 allowed[] = { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_READ,
			      IORING_OP_WRITE, IORING_OP_FSYNC,  IORING_OP_FALLOCATE };

/* liburing 2.3's shared library leaves out the functions for the two uses here. */
static int ring_register(struct io_uring *ring, unsigned op, void *arg, unsigned n)
{
	return syscall(SYS_io_uring_register, ring->ring_fd, op, arg, n) < 0 ? -errno : 0;
}

static int restrict_ops(struct io_uring *ring)
{
	struct io_uring_restriction r[ARRAY_LEN(allowed)] = { 0 };

	for (unsigned i = 0; i < ARRAY_LEN(allowed); i++) {
		r[i].opcode = IORING_RESTRICTION_SQE_OP;
		r[i].sqe_op = allowed[i];
	}
	return ring_register(ring, IORING_REGISTER_RESTRICTIONS, r, ARRAY_LEN(r));
}

int hostio_uring_new(struct hostio **out, struct blk_queue *q, struct err *e)
{
	struct uring *u = xcalloc(1, sizeof(*u));
	/* Disabled until the restrictions stand (Linux 5.10). */
	int rc = io_uring_queue_init(URING_DEPTH, &u->ring, IORING_SETUP_R_DISABLED);

	if (rc < 0) {
		free(u);
		if (rc == -EINVAL)
			return err_set(e, ENOSYS, "this host's io_uring is too old (Linux 5.10 is needed)");
		return err_sys(e, -rc, "io_uring is refused by this host (see sysctl kernel.io_uring_disabled)");
	}
	io_uring_ring_dontfork(&u->ring);
	u->h.ops = &uring_ops;
	u->h.src.ops = &uring_source;
	rc = io_uring_register_eventfd(&u->ring, q->evfd);
	if (rc == 0)
		rc = restrict_ops(&u->ring);
	if (rc == 0)
		rc = ring_register(&u->ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (rc < 0) {
		io_uring_queue_exit(&u->ring);
		free(u);
		return err_sys(e, -rc, "cannot set up io_uring");
	}
	pthread_mutex_init(&u->lock, NULL);
	u->wait_tail = &u->wait;
	*out = &u->h;
	return 0;
}
