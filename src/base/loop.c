/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.c - see loop.h. */
#include "base/loop.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define SHORT_TURNS_NS 50000 /* together; how exact longest_cpu_ns is */

struct post {
	struct post *next;
	void (*fn)(void *opaque);
	void *opaque;
};

struct loop {
	int epfd, evfd, tfd;
	_Atomic bool stop;
	struct loop_fd ev, tm;
	/* The loop's thread only */
	u64 turn_ns;   /* when this turn began */
	u64 waited_ns; /* for locks, since the CPU's clock was read */
	struct loop_stats stats;
	/* What epoll_wait() gave this round; loop_del() takes its fd's events out. */
	struct epoll_event evs[32];
	int nevs;

	pthread_mutex_t lock;      /* guards what follows */
	struct loop_timer *timers; /* few: a plain list */
	u64 programmed_ns;         /* what tfd will fire at; UINT64_MAX: not armed; 0: due timers are being called */
	struct post *posts, **posts_tail;
};

/* The loop that this thread runs. */
static _Thread_local struct loop *here;

/* Also clears what has fired: the descriptor need not be read. */
static void set_tfd(struct loop *l, u64 ns)
{
	struct itimerspec its = { { 0, 0 }, { 0, 0 } };

	if (ns != UINT64_MAX) {
		ns = MAX(ns, 1);
		its.it_value.tv_sec = (time_t)(ns / NSEC_PER_SEC);
		its.it_value.tv_nsec = (long)(ns % NSEC_PER_SEC);
	}
	l->programmed_ns = ns;
	must(timerfd_settime(l->tfd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
}

static void on_event(void *opaque, u32 events)
{
	struct loop *l = opaque;
	u64 n;
	ssize_t r = read(l->evfd, &n, sizeof(n));
	(void)r;
	(void)events;

	/* What these post is for a later turn. */
	pthread_mutex_lock(&l->lock);
	struct post *p = l->posts;
	l->posts = NULL;
	l->posts_tail = &l->posts;
	pthread_mutex_unlock(&l->lock);
	while (p) {
		struct post *next = p->next;
		p->fn(p->opaque);
		free(p);
		p = next;
	}
}

static void on_timer(void *opaque, u32 events)
{
	struct loop *l = opaque;
	(void)events;

	pthread_mutex_lock(&l->lock);
	l->programmed_ns = 0; /* whatever is armed meanwhile is seen below */
	for (;;) {
		u64 now = clock_mono_ns(), first = UINT64_MAX;
		struct loop_timer *due = NULL;
		for (struct loop_timer *t = l->timers; t; t = t->next) {
			if (t->deadline_ns <= now && t->fired != l->stats.turns &&
			    (!due || t->deadline_ns < due->deadline_ns))
				due = t;
			first = MIN(first, t->deadline_ns);
		}
		if (!due) {
			set_tfd(l, first);
			break;
		}
		due->deadline_ns = UINT64_MAX;
		due->fired = l->stats.turns;
		void (*fn)(void *) = due->fn;
		void *arg = due->opaque;
		pthread_mutex_unlock(&l->lock);
		fn(arg);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
}

int loop_new(struct loop **out, struct err *e)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	pthread_mutex_init(&l->lock, NULL);
	l->posts_tail = &l->posts;
	l->programmed_ns = UINT64_MAX;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->epfd < 0 || l->evfd < 0 || l->tfd < 0 || loop_add(l, &l->ev, l->evfd, EPOLLIN, on_event, l) < 0 ||
	    loop_add(l, &l->tm, l->tfd, EPOLLIN, on_timer, l) < 0) {
		int code = errno;
		loop_free(l);
		return err_sys(e, code, "cannot set up the event loop");
	}
	*out = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->posts) {
		struct post *p = l->posts;
		l->posts = p->next;
		free(p);
	}
	if (l->tfd >= 0)
		close(l->tfd);
	if (l->evfd >= 0)
		close(l->evfd);
	if (l->epfd >= 0)
		close(l->epfd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void wake(struct loop *l)
{
	u64 one = 1;
	ssize_t r = write(l->evfd, &one, sizeof(one));
	(void)r; /* full means it is awake already */
}

static u64 cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

void loop_run(struct loop *l)
{
	struct loop *outer = here;
	u64 cpu = cpu_ns(), spent = 0;

	here = l;
	while (!atomic_load(&l->stop)) {
		l->nevs = epoll_wait(l->epfd, l->evs, ARRAY_LEN(l->evs), -1);
		l->turn_ns = clock_mono_ns();
		l->stats.turns++;
		for (int i = 0; i < l->nevs; i++) {
			struct loop_fd *f = l->evs[i].data.ptr;
			if (f)
				f->fn(f->opaque, l->evs[i].events);
		}
		l->nevs = 0;
		u64 wall = clock_mono_ns() - l->turn_ns;
		l->stats.longest_ns = MAX(l->stats.longest_ns, wall);
		/*
		 * The CPU's clock costs a system call: several short turns are counted as one. It also counts what the
		 * host's kernel does on the CPU meanwhile, for others and while the thread sleeps, as interrupts of its
		 * disk: more than the turns took in all was none of theirs.
		 */
		spent += wall;
		if (spent < SHORT_TURNS_NS)
			continue;
		u64 cpu_now = cpu_ns();
		u64 here_ns = spent > l->waited_ns ? spent - l->waited_ns : 0;
		l->stats.longest_cpu_ns = MAX(l->stats.longest_cpu_ns, MIN(cpu_now - cpu, here_ns));
		cpu = cpu_now;
		spent = 0;
		l->waited_ns = 0;
	}
	here = outer;
	atomic_store(&l->stop, false);
}

u64 loop_until(void)
{
	u64 now = clock_mono_ns();

	if (!here)
		return now + LOOP_VISIT_NS;
	return MIN(now + LOOP_VISIT_NS, MAX(here->turn_ns + LOOP_TURN_NS, now + LOOP_LEAST_NS));
}

bool loop_here(void)
{
	return here;
}

void loop_get_stats(const struct loop *l, struct loop_stats *out)
{
	*out = l->stats;
}

void loop_waited(u64 ns)
{
	if (!here)
		return;
	here->waited_ns += ns;
	here->stats.longest_wait_ns = MAX(here->stats.longest_wait_ns, ns);
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake(l);
}

int loop_add(struct loop *l, struct loop_fd *f, int fd, u32 events, void (*fn)(void *, u32), void *opaque)
{
	struct epoll_event ev = { .events = events, .data.ptr = f };

	must(!f->added);
	*f = (struct loop_fd){ .fd = fd, .fn = fn, .opaque = opaque };
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	f->added = true;
	return 0;
}

int loop_mod(struct loop *l, struct loop_fd *f, u32 events)
{
	struct epoll_event ev = { .events = events, .data.ptr = f };
	return epoll_ctl(l->epfd, EPOLL_CTL_MOD, f->fd, &ev) < 0 ? -errno : 0;
}

void loop_del(struct loop *l, struct loop_fd *f)
{
	if (!f->added)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, f->fd, NULL);
	f->added = false;
	/* *f may be freed from here on. */
	for (int i = 0; i < l->nevs; i++)
		if (l->evs[i].data.ptr == f)
			l->evs[i].data.ptr = NULL;
}

void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fn)(void *), void *opaque)
{
	*t = (struct loop_timer){
		.fn = fn, .opaque = opaque, .loop = l, .deadline_ns = UINT64_MAX, .lent_ns = UINT64_MAX, .slept = true
	};
	pthread_mutex_lock(&l->lock);
	t->next = l->timers;
	l->timers = t;
	pthread_mutex_unlock(&l->lock);
}

void loop_timer_fini(struct loop_timer *t)
{
	if (!t->loop)
		return;
	pthread_mutex_lock(&t->loop->lock);
	for (struct loop_timer **p = &t->loop->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	pthread_mutex_unlock(&t->loop->lock);
	t->loop = NULL;
}

static void arm_locked(struct loop_timer *t, u64 deadline_ns)
{
	struct loop *l = t->loop;

	t->deadline_ns = deadline_ns;
	t->lent_ns = UINT64_MAX;
	if (deadline_ns < l->programmed_ns)
		set_tfd(l, deadline_ns);
}

void loop_timer_arm(struct loop_timer *t, u64 deadline_ns)
{
	struct loop *l = t->loop;

	pthread_mutex_lock(&l->lock);
	arm_locked(t, deadline_ns);
	pthread_mutex_unlock(&l->lock);
}

u64 loop_timer_lend(struct loop_timer *t)
{
	struct loop *l = t->loop;
	u64 first = UINT64_MAX;

	pthread_mutex_lock(&l->lock);
	u64 deadline_ns = t->deadline_ns;
	t->lent_ns = deadline_ns;
	t->deadline_ns = UINT64_MAX;
	if (deadline_ns != UINT64_MAX && deadline_ns == l->programmed_ns && t->slept) {
		for (struct loop_timer *o = l->timers; o; o = o->next)
			first = MIN(first, o->deadline_ns);
		if (first != deadline_ns)
			set_tfd(l, first);
	}
	pthread_mutex_unlock(&l->lock);
	return deadline_ns;
}

void loop_timer_back(struct loop_timer *t)
{
	struct loop *l = t->loop;
	bool due = false;

	pthread_mutex_lock(&l->lock);
	u64 deadline_ns = t->lent_ns;
	if (deadline_ns != UINT64_MAX) {
		due = deadline_ns <= clock_mono_ns();
		loop_timer_slept(t, due);
		t->lent_ns = UINT64_MAX;
		if (!due)
			arm_locked(t, deadline_ns);
	}
	pthread_mutex_unlock(&l->lock);
	if (due)
		t->fn(t->opaque);
}

void loop_post(struct loop *l, void (*fn)(void *), void *opaque)
{
	struct post *p = xcalloc(1, sizeof(*p));

	p->fn = fn;
	p->opaque = opaque;
	pthread_mutex_lock(&l->lock);
	*l->posts_tail = p;
	l->posts_tail = &p->next;
	pthread_mutex_unlock(&l->lock);
	wake(l);
}
