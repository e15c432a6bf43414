/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pool.c - host I/O by a pool of threads, for hosts that refuse io_uring.
 *
 * Theory: POOL_THREADS threads take requests from one queue. They are started by blk_start_threads(),
 * between the process giving up its privileges (which a thread inherits, and which want a process of one
 * thread) and its forbidding itself new threads; or else by the first request. Reads in a plugged batch are first tried
 * on the submitting thread without blocking (RWF_NOWAIT): what is in the page cache costs no thread switch.
 */
#include "block/hostio.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#define POOL_THREADS 4
#define POOL_INLINE_MAX (128 * KIB)
#define POOL_INLINE_BATCH (2 * MIB) /* of all reads of a batch together */

struct pool {
	struct hostio h;
	struct pool *next; /* in `pools` */

	pthread_mutex_t lock; /* guards what follows; taken after pools_lock */
	pthread_t thread[POOL_THREADS];
	unsigned nthreads;
	pthread_cond_t more;
	struct blk_done *queue, **queue_tail; /* io->done of those that no thread has taken */
	unsigned plugged;
	u64 inline_left; /* of POOL_INLINE_BATCH */
	bool stop;
	bool cancel; /* the threads look at it without the lock, too */
};

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *pools;

static int run(struct pool *p, struct blk_io *io)
{
	const struct iovec *iov = NULL;
	unsigned niov = 0;
	u64 bytes;

	for (;;) {
		ssize_t n = -1;
		if (__atomic_load_n(&p->cancel, __ATOMIC_RELAXED))
			return -ECANCELED;
		if (io->op == IO_READ || io->op == IO_WRITE)
			niov = blk_io_piece(io, &iov, &bytes);
		switch (io->op) {
		case IO_READ:
			n = preadv(io->fd, iov, (int)niov, (off_t)io->off);
			break;
		case IO_WRITE:
			n = pwritev(io->fd, iov, (int)niov, (off_t)io->off);
			break;
		case IO_DATASYNC:
			n = fdatasync(io->fd);
			break;
		case IO_FALLOCATE:
			n = fallocate(io->fd, io->mode, (off_t)io->off, (off_t)io->bytes);
			break;
		default:
			must(!"an operation of host I/O");
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (io->op != IO_READ && io->op != IO_WRITE)
			return 0;
		if ((u64)n == io->bytes)
			return 0;
		if (n == 0)
			return blk_io_end_of_file(io);
		blk_io_advance(io, (u64)n);
	}
}

static struct blk_io *next_locked(struct pool *p)
{
	struct blk_done *d = p->queue;

	p->queue = d->next;
	if (!p->queue)
		p->queue_tail = &p->queue;
	return container_of(d, struct blk_io, done);
}

static void *pool_thread(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->queue && !p->stop)
			pthread_cond_wait(&p->more, &p->lock);
		if (!p->queue)
			break;
		struct blk_io *io = next_locked(p);
		pthread_mutex_unlock(&p->lock);
		blk_queue_push(p->h.src.q, &io->done, run(p, io));
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int start_threads_locked(struct pool *p)
{
	sigset_t all, old;
	int rc = 0;

	/* The process's signals are for other threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->nthreads < POOL_THREADS && rc == 0) {
		rc = pthread_create(&p->thread[p->nthreads], NULL, pool_thread, p);
		p->nthreads += rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return p->nthreads ? 0 : -rc;
}

int blk_start_threads(struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&pools_lock);
	for (struct pool *p = pools; p && rc == 0; p = p->next) {
		pthread_mutex_lock(&p->lock);
		rc = start_threads_locked(p);
		pthread_mutex_unlock(&p->lock);
	}
	pthread_mutex_unlock(&pools_lock);
	return rc < 0 ? err_sys(e, -rc, "cannot start threads for disk I/O") : 0;
}

/* A read of a plugged batch that the page cache has. */
static bool read_now(struct pool *p, struct blk_io *io)
{
	const struct iovec *iov;
	u64 bytes;

	if (io->op != IO_READ || io->bytes > POOL_INLINE_MAX)
		return false;
	pthread_mutex_lock(&p->lock);
	bool now = p->plugged && !p->cancel && io->bytes <= p->inline_left;
	if (now)
		p->inline_left -= io->bytes;
	pthread_mutex_unlock(&p->lock);
	if (!now)
		return false;
	unsigned n = blk_io_piece(io, &iov, &bytes);
	return preadv2(io->fd, iov, (int)n, (off_t)io->off, RWF_NOWAIT) == (ssize_t)io->bytes;
}

static void pool_submit(struct hostio *h, struct blk_io *io)
{
	struct pool *p = container_of(h, struct pool, h);
	int res = 0;

	if (!read_now(p, io)) {
		pthread_mutex_lock(&p->lock);
		if (p->cancel)
			res = -ECANCELED;
		else if (!p->nthreads)
			res = start_threads_locked(p);
		if (res == 0) {
			*p->queue_tail = &io->done;
			p->queue_tail = &io->done.next;
			pthread_cond_signal(&p->more);
		}
		pthread_mutex_unlock(&p->lock);
		if (res == 0)
			return;
	}
	blk_queue_push(h->src.q, &io->done, res);
}

static void pool_plug(struct blk_source *s)
{
	struct pool *p = container_of(s, struct pool, h.src);

	pthread_mutex_lock(&p->lock);
	p->plugged++;
	p->inline_left = POOL_INLINE_BATCH;
	pthread_mutex_unlock(&p->lock);
}

static void pool_unplug(struct blk_source *s, bool quiet)
{
	struct pool *p = container_of(s, struct pool, h.src);

	(void)quiet; /* the queue's, too */
	pthread_mutex_lock(&p->lock);
	must(p->plugged);
	p->plugged--;
	pthread_mutex_unlock(&p->lock);
}

static void pool_cancel(struct blk_source *s, bool on)
{
	struct pool *p = container_of(s, struct pool, h.src);

	pthread_mutex_lock(&p->lock);
	__atomic_store_n(&p->cancel, on, __ATOMIC_RELAXED);
	while (on && p->queue)
		blk_queue_push(s->q, &next_locked(p)->done, -ECANCELED);
	pthread_mutex_unlock(&p->lock);
}

static void pool_free(struct hostio *h)
{
	struct pool *p = container_of(h, struct pool, h);

	pthread_mutex_lock(&pools_lock);
	struct pool **at = &pools;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	pthread_mutex_unlock(&pools_lock);

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static const struct blk_source_ops pool_source = {
	.plug = pool_plug,
	.unplug = pool_unplug,
	.cancel = pool_cancel,
};

static const struct hostio_ops pool_ops = {
	.name = "threads",
	.submit = pool_submit,
	.free = pool_free,
};

struct hostio *hostio_pool_new(void)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->h.ops = &pool_ops;
	p->h.src.ops = &pool_source;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	p->queue_tail = &p->queue;
	pthread_mutex_lock(&pools_lock);
	p->next = pools;
	pools = p;
	pthread_mutex_unlock(&pools_lock);
	return &p->h;
}
