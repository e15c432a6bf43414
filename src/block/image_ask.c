/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_ask.c - see image_ask.h. Here: slots. image_start.c starts the process. */
#include "block/image_ask_int.h"
#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define WAIT_SECONDS 60

/* ---- data between the memory and the guest's ---- */

static void copy(const struct blk_ask *q, u8 *data, bool to_guest)
{
	u64 skip = q->skip, left = q->bytes;

	for (unsigned i = 0; i < q->niov && left; i++) {
		u64 cut = MIN(skip, q->iov[i].iov_len), n = MIN(q->iov[i].iov_len - cut, left);
		u8 *guest = (u8 *)q->iov[i].iov_base + cut;
		if (n)
			memcpy(to_guest ? guest : data, to_guest ? data : guest, n);
		data += n;
		skip -= cut;
		left -= n;
	}
}

/* ---- the end of it ---- */

static void end_locked(struct image_asker *a, struct blk_ask *q, int res)
{
	if (q->done.fn)
		blk_queue_push(a->q, &q->done, res);
	else { /* image_ask_wait() */
		q->done.res = res;
		a->waited = true;
	}
}

static void break_locked(struct image_asker *a, const char *why)
{
	struct blk_done *next;

	if (a->broken)
		return;
	a->broken = true;
	log_error(
	    "disk '%s': %s; each request to this disk fails from now on, and the VM goes on without it. Save what "
	    "the guest has, and have the image checked: mica image check",
	    a->name, why);
	shutdown(a->link, SHUT_RDWR); /* it ends, if it has not */
	for (u64 left = a->asked; left; left &= left - 1)
		end_locked(a, a->in[__builtin_ctzll(left)], -EIO);
	a->asked = 0;
	for (struct blk_done *d = a->waiting; d; d = next) {
		next = d->next;
		end_locked(a, container_of(d, struct blk_ask, done), -EIO);
	}
	a->waiting = NULL;
	a->waiting_tail = &a->waiting;
}

/* ---- asking ---- */

static void put_locked(struct image_asker *a, struct blk_ask *q)
{
	unsigned i = (unsigned)__builtin_ctzll(~a->asked);
	struct serve_slot *s = &a->mem->slot[i];

	if (q->op == SERVE_WRITE)
		copy(q, a->mem->data[i], false);
	s->ask = (struct serve_ask){ .op = q->op, .unmap = q->unmap, .off = q->off, .bytes = q->bytes };
	a->in[i] = q;
	a->asked |= 1ull << i;
	atomic_fetch_or(&a->mem->asked, 1ull << i);
	if (atomic_load(&a->mem->asleep) && atomic_exchange(&a->mem->asleep, 0))
		send(a->link, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: it has enough to wake up for */
}

void image_ask(struct image_asker *a, struct blk_ask *q)
{
	pthread_mutex_lock(&a->lock);
	if (a->broken) {
		end_locked(a, q, -EIO);
	} else if (a->waiting || a->asked == UINT64_MAX) {
		q->done.next = NULL;
		*a->waiting_tail = &q->done;
		a->waiting_tail = &q->done.next;
	} else {
		put_locked(a, q);
	}
	pthread_mutex_unlock(&a->lock);
}

static void more_locked(struct image_asker *a)
{
	while (a->waiting && a->asked != UINT64_MAX) {
		struct blk_done *d = a->waiting;
		a->waiting = d->next;
		if (!a->waiting)
			a->waiting_tail = &a->waiting;
		put_locked(a, container_of(d, struct blk_ask, done));
	}
}

/* ---- answers ---- */

/* Whatever it says is read once; false: it makes no sense. */
static bool take_answer(struct image_asker *a, struct blk_ask *q, unsigned i)
{
	const struct serve_answer s = *(const volatile struct serve_answer *)&a->mem->slot[i].answer;
	bool run = q->op == SERVE_MAP || q->op == SERVE_PREPARE || q->op == SERVE_COMMIT;

	q->done.res = s.res;
	if (s.res)
		return s.res < 0 && s.res >= -4095;
	if (q->op == SERVE_READ)
		copy(q, a->mem->data[i], true);
	if (!run)
		return true;
	if (!serve_run_ok(&s, q->bytes, a->files->n))
		return false;
	/* Nothing is written to what was opened to be read. */
	bool may = s.kind != IMAGE_DATA || !a->files->file[s.file].readonly;
	if (q->op == SERVE_PREPARE && (!may || (s.kind != IMAGE_DATA && s.kind != IMAGE_COOKED)))
		return false;
	q->kind = (u8)s.kind;
	q->in_place = s.in_place && may && s.kind == IMAGE_DATA;
	q->file = (u16)s.file;
	q->run_bytes = s.bytes;
	q->run_off = s.off;
	return true;
}

static void collect_locked(struct image_asker *a)
{
	u64 done = a->broken ? 0 : atomic_exchange(&a->mem->done, 0);

	if (done & ~a->asked) {
		break_locked(a, _("the process that reads its image (mica-image) answers what it was not asked"));
		return;
	}
	for (; done; done &= done - 1) {
		unsigned i = (unsigned)__builtin_ctzll(done);
		struct blk_ask *q = a->in[i];
		if (!take_answer(a, q, i)) {
			break_locked(a, _("the process that reads its image (mica-image) answers nonsense"));
			return;
		}
		a->asked &= ~(1ull << i);
		end_locked(a, q, q->done.res);
	}
	more_locked(a);
}

/* Takes the wake-ups away; what they are for is in the memory. */
static bool link_open(struct image_asker *a)
{
	u8 wakes[8];
	ssize_t n;

	for (unsigned i = 0; i < SERVE_SLOTS; i++) {
		n = recv(a->link, wakes, sizeof(wakes), MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
	}
	return true;
}

void image_ask_poll(struct image_asker *a)
{
	pthread_mutex_lock(&a->lock);
	bool open = a->broken || link_open(a);
	collect_locked(a);
	if (!open)
		break_locked(a, _("the process that reads its image (mica-image) has ended"));
	else if (a->asked && a->deadline_ns && clock_mono_ns() > a->deadline_ns)
		break_locked(a, _("the process that reads its image (mica-image) does not answer"));
	pthread_mutex_unlock(&a->lock);
}

void image_ask_hurry(struct image_asker *a, bool on)
{
	pthread_mutex_lock(&a->lock);
	a->deadline_ns = on ? clock_mono_ns() + (u64)IMAGE_ASK_PATIENCE_MS * (NSEC_PER_SEC / 1000) : 0;
	pthread_mutex_unlock(&a->lock);
}

int image_ask_wait(struct image_asker *a, struct blk_ask *q)
{
	u64 until = clock_mono_ns() + WAIT_SECONDS * NSEC_PER_SEC;
	struct pollfd p = { .fd = a->link, .events = POLLIN };

	q->done.fn = NULL;
	a->waited = false;
	image_ask(a, q);
	while (!a->waited) {
		poll(&p, 1, 100);
		a->deadline_ns = until;
		image_ask_poll(a);
		a->deadline_ns = 0;
	}
	return q->done.res;
}

/* The loop's thread: wakes are for everybody who has asked. */
void image_ask_on_wake(void *opaque, u32 events)
{
	struct image_asker *a = opaque;

	(void)events;
	atomic_fetch_add(&a->q->quiet, 1); /* this reaps, so nobody needs to be woken for what is pushed */
	image_ask_poll(a);
	if (a->broken && a->lfd.added)
		loop_del(a->q->loop, &a->lfd); /* its end would wake us for ever */
	blk_queue_reap(a->q, false);
	blk_queue_loud(a->q);
}
