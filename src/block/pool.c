/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pool.c - the thread-pool engine, for hosts that refuse io_uring.
 *
 * Theory: POOL_THREADS threads take requests from one queue. They are started by blk_start_threads(),
 * between the process giving up its privileges (which a thread inherits, and which want a process of one
 * thread) and its forbidding itself new threads; or else by the first request. Reads in a plugged batch are first tried
 * on the submitting thread without blocking (RWF_NOWAIT): what is in the page cache costs no thread switch.
 */
#include "block/engine.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#define POOL_THREADS 4
#define POOL_INLINE_MAX (128 * KIB)
#define POOL_INLINE_BATCH (2 * MIB) /* of all reads of a batch together */

struct pool {
	struct hostio en;
	struct pool *next; /* in `pools` */

	pthread_mutex_t lock; /* guards what follows; taken after pools_lock */
	pthread_t thread[POOL_THREADS];
	unsigned nthreads;
	pthread_cond_t more;
	struct blk_io *queue, **queue_tail;
	struct blk_io *finished, **finished_tail;
	unsigned plugged;
	unsigned quiet;
	u64 inline_left; /* of POOL_INLINE_BATCH */
	bool stop;
	bool cancel; /* the threads look at it without the lock, too */
};

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *pools;

static int run(struct pool *p, struct blk_io *io)
{
	struct iovec cut;
	const struct iovec *iov = NULL;
	unsigned niov = 0;
	u64 bytes;

	for (;;) {
		ssize_t n;
		if (__atomic_load_n(&p->cancel, __ATOMIC_RELAXED) && io->op != IO_NOP)
			return -ECANCELED;
		if (io->op == IO_READ || io->op == IO_WRITE)
			niov = blk_io_piece(io, &cut, &iov, &bytes);
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
			return io->res;
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

static void finish_locked(struct pool *p, struct blk_io *io)
{
	bool first = !p->finished;

	io->next = NULL;
	*p->finished_tail = io;
	p->finished_tail = &io->next;
	if (first && !p->quiet)
		engine_wake(&p->en);
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
		struct blk_io *io = p->queue;
		p->queue = io->next;
		if (!p->queue)
			p->queue_tail = &p->queue;
		pthread_mutex_unlock(&p->lock);
		io->res = run(p, io);
		free(io->tail);
		io->tail = NULL;
		pthread_mutex_lock(&p->lock);
		finish_locked(p, io);
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

static void pool_submit(struct hostio *en, struct blk_io *io)
{
	struct pool *p = container_of(en, struct pool, en);
	bool ready = io->op == IO_NOP;

	pthread_mutex_lock(&p->lock);
	bool now = p->plugged && !p->cancel && io->op == IO_READ && io->bytes <= MIN(POOL_INLINE_MAX, p->inline_left);
	if (now)
		p->inline_left -= io->bytes;
	pthread_mutex_unlock(&p->lock);
	if (now) {
		ssize_t n = preadv2(io->fd, io->iov, (int)io->niov, (off_t)io->off, RWF_NOWAIT);
		if (n == (ssize_t)io->bytes) {
			io->res = 0;
			ready = true;
		}
	}
	pthread_mutex_lock(&p->lock);
	if (p->cancel && !ready) {
		io->res = -ECANCELED;
		ready = true;
	}
	if (ready) {
		finish_locked(p, io);
	} else if (!p->nthreads && (io->res = start_threads_locked(p)) < 0) {
		finish_locked(p, io);
	} else {
		*p->queue_tail = io;
		p->queue_tail = &io->next;
		pthread_cond_signal(&p->more);
	}
	pthread_mutex_unlock(&p->lock);
}

static void pool_plug(struct hostio *en)
{
	struct pool *p = container_of(en, struct pool, en);

	pthread_mutex_lock(&p->lock);
	p->plugged++;
	p->inline_left = POOL_INLINE_BATCH;
	pthread_mutex_unlock(&p->lock);
}

static void pool_unplug(struct hostio *en, bool quiet)
{
	struct pool *p = container_of(en, struct pool, en);

	pthread_mutex_lock(&p->lock);
	must(p->plugged);
	p->plugged--;
	p->quiet += quiet;
	pthread_mutex_unlock(&p->lock);
}

static void pool_loud(struct hostio *en)
{
	struct pool *p = container_of(en, struct pool, en);

	pthread_mutex_lock(&p->lock);
	must(p->quiet);
	p->quiet--;
	if (p->finished)
		engine_wake(en);
	pthread_mutex_unlock(&p->lock);
}

static struct blk_io *pool_collect(struct hostio *en)
{
	struct pool *p = container_of(en, struct pool, en);

	pthread_mutex_lock(&p->lock);
	struct blk_io *list = p->finished;
	p->finished = NULL;
	p->finished_tail = &p->finished;
	pthread_mutex_unlock(&p->lock);
	return list;
}

static void pool_cancel(struct hostio *en, bool on)
{
	struct pool *p = container_of(en, struct pool, en);

	pthread_mutex_lock(&p->lock);
	__atomic_store_n(&p->cancel, on, __ATOMIC_RELAXED);
	for (struct blk_io *io = on ? p->queue : NULL, *next; io; io = next) {
		next = io->next;
		io->res = -ECANCELED;
		finish_locked(p, io);
	}
	if (on) {
		p->queue = NULL;
		p->queue_tail = &p->queue;
	}
	pthread_mutex_unlock(&p->lock);
}

static void pool_free(struct hostio *en)
{
	struct pool *p = container_of(en, struct pool, en);

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
	must(!p->finished);
	close(p->en.evfd);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static const struct engine_ops pool_ops = {
	.name = "threads",
	.submit = pool_submit,
	.plug = pool_plug,
	.unplug = pool_unplug,
	.loud = pool_loud,
	.collect = pool_collect,
	.cancel = pool_cancel,
	.free = pool_free,
};

int hostio_pool_new(struct hostio **out, struct err *e)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	p->en.ops = &pool_ops;
	p->en.evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->en.evfd < 0) {
		int rc = errno;
		free(p);
		return err_sys(e, rc, "cannot make an event fd for disk I/O");
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	p->queue_tail = &p->queue;
	p->finished_tail = &p->finished;
	pthread_mutex_lock(&pools_lock);
	p->next = pools;
	pools = p;
	pthread_mutex_unlock(&pools_lock);
	*out = &p->en;
	return 0;
}
