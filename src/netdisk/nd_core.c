/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nd_core.c - requests and the connection that they go over; see nd.h and netdisk.h. */
#include "netdisk/nd.h"
#include "base/clock.h"
#include "base/helper.h"

#include <sys/socket.h>

/* ---- answers ---- */

static void answer(struct nd *d, struct nd_io *io, int res)
{
	struct netdisk_ring *ring = d->ring;
	u64 one = 1;

	io->state = ND_FREE;
	ring->answer[d->answered++ % NETDISK_SLOTS] = (struct netdisk_answer){ (u32)(io - d->io), res };
	atomic_store(&ring->answered, d->answered);
	ssize_t n = write(d->wake, &one, sizeof(one));
	(void)n; /* full: it is awake */
}

static void say(struct nd *d, enum netdisk_state state, const struct err *why)
{
	struct netdisk_word w = { .state = state };
	size_t n = why ? err_pack(why, w.why) : 0;

	send(HELPER_FD, &w, offsetof(struct netdisk_word, why) + n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void push_ready(struct nd *d, struct nd_io *io)
{
	io->state = ND_READY;
	io->next = NULL;
	*d->ready_tail = io;
	d->ready_tail = &io->next;
}

static struct nd_io *pop_ready(struct nd *d)
{
	struct nd_io *io = d->ready;

	d->ready = io->next;
	if (!d->ready)
		d->ready_tail = &d->ready;
	return io;
}

static void end_entry(struct nd *d, struct nd_io *io, bool ok)
{
	if (io->entry >= 0)
		nd_journal_end(&d->journal, io->entry, ok, io->data);
	io->entry = -1;
}

/* All that waits to be sent. */
static void answer_ready(struct nd *d, int res)
{
	while (d->ready) {
		struct nd_io *io = pop_ready(d);
		end_entry(d, io, false);
		answer(d, io, res);
	}
}

/* ---- the connection ---- */

static void lose(struct nd *d, int code, const struct err *why)
{
	u64 now = clock_mono_ns();

	/* In their order, and before what has come since. */
	struct nd_io *later = d->ready;
	d->ready = NULL;
	d->ready_tail = &d->ready;
	d->proto->disconnect(d);
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < NETDISK_SLOTS; i++)
			/* A flush is last: what it is to cover may be among the others. */
			if (d->io[i].state == ND_SENT && (d->io[i].op == NETDISK_FLUSH) == pass)
				push_ready(d, &d->io[i]);
	for (struct nd_io *next; later; later = next) {
		next = later->next;
		push_ready(d, later);
	}
	d->again.state = d->flush.state = ND_FREE;
	d->sent = 0;
	if (d->state == ND_UP || !d->lost_ns)
		d->lost_ns = now;
	/* One that breaks as soon as it is there is tried no more often than one that cannot be had. */
	if (d->state == ND_UP && now - d->up_ns > ND_RETRY_MAX_NS)
		d->pause_ns = 0;
	d->pause_ns = d->pause_ns ? MIN(2 * d->pause_ns, ND_RETRY_MAX_NS) : ND_RETRY_MIN_NS;
	d->retry_ns = now + d->pause_ns;
	d->state = code == -ESTALE ? ND_FAILED : ND_DOWN;
	d->why = *why;
	if (d->told && (d->state == ND_FAILED || !d->said_lost))
		say(d, d->state == ND_FAILED ? NETDISK_FAILED : NETDISK_RECONNECTING, why);
	d->said_lost = true;
	if (d->state == ND_FAILED)
		answer_ready(d, -EIO);
}

static void lose_silent(struct nd *d)
{
	struct err e;

	err_set(&e, ETIMEDOUT, "the server does not answer");
	lose(d, -ENOLINK, &e);
}

static void begin_connect(struct nd *d)
{
	struct err e;
	u64 now = clock_mono_ns();

	d->state = ND_CONNECTING;
	d->connect_until_ns = now + MIN(d->timeout_ns, ND_CONNECT_S * NSEC_PER_SEC);
	int r = d->proto->connect(d, &e);
	if (r < 0)
		lose(d, r, &e);
}

static void went_up(struct nd *d)
{
	d->state = ND_UP;
	d->up_ns = d->progress_ns = clock_mono_ns();
	d->lost_ns = 0;
	if (d->said_lost && d->told)
		say(d, NETDISK_CONNECTED, NULL);
	d->said_lost = false;
}

void nd_up(struct nd *d, u64 bytes, u32 flags, bool can_flush)
{
	struct err e;
	u64 whole = bytes % 512 && (d->readonly || flags & NETDISK_READONLY) ? ROUND_UP(bytes, 512) : bytes / 512 * 512;

	if (!d->told) {
		d->bytes = whole;
		d->flags = flags;
		d->can_flush = can_flush && !d->readonly;
		if (d->can_flush)
			nd_journal_init(&d->journal, NETDISK_KEEP_BYTES);
		d->ring->bytes = whole;
		d->ring->flags = flags;
		went_up(d);
		return;
	}
	if (whole != d->bytes || ((flags ^ d->flags) & NETDISK_READONLY && !d->readonly) || can_flush < d->can_flush) {
		err_set(&e, EIO, "the server has another disk there now: %llu bytes instead of %llu",
			(unsigned long long)whole, (unsigned long long)d->bytes);
		lose(d, -ENOLINK, &e);
		return;
	}
	d->replaying = -1;
	d->state = ND_REPLAY;
	d->progress_ns = clock_mono_ns();
}

/* ---- sending ---- */

static int start(struct nd *d, struct nd_io *io)
{
	u64 now = clock_mono_ns();

	if (!d->sent)
		d->progress_ns = now;
	int r = d->proto->start(d, io);
	if (r < 0)
		return r;
	io->state = ND_SENT;
	io->since_ns = now;
	d->sent++;
	return 0;
}

/* The next piece of what may be lost; when there is none, requests go on. */
static void replay(struct nd *d)
{
	if (d->again.state == ND_SENT)
		return;
	for (;;) {
		d->replaying = d->journal.data ? nd_journal_next(&d->journal, d->replaying) : -1;
		if (d->replaying < 0) {
			went_up(d);
			return;
		}
		const struct nd_entry *j = nd_journal_entry(&d->journal, d->replaying);
		d->again =
		    (struct nd_io){ .op = j->op, .unmap = j->unmap, .off = j->off, .bytes = j->bytes, .entry = -1 };
		d->again.data = nd_journal_data(&d->journal, j);
		int r = start(d, &d->again);
		if (r == 0)
			return;
		d->flush_fails = true;
	}
}

/* The journal is full: what it has is made durable. */
static void flush_self(struct nd *d)
{
	if (d->flush.state == ND_SENT)
		return;
	d->flush = (struct nd_io){ .op = NETDISK_FLUSH, .mark = nd_journal_mark(&d->journal), .entry = -1 };
	start(d, &d->flush);
}

static void send_ready(struct nd *d)
{
	while (d->ready) {
		struct nd_io *io = d->ready;
		bool changes = io->op != NETDISK_READ && io->op != NETDISK_FLUSH;
		int r;
		if (io->op == NETDISK_FLUSH && (!d->can_flush || d->flush_fails)) {
			pop_ready(d);
			answer(d, io, d->flush_fails ? -EIO : 0);
			d->flush_fails = false;
			continue;
		}
		if (changes && d->journal.data && io->entry < 0) {
			io->entry = nd_journal_begin(&d->journal, io->op, io->unmap, io->off, io->bytes);
			if (io->entry < 0) {
				flush_self(d);
				return;
			}
		}
		if (io->op == NETDISK_FLUSH)
			io->mark = nd_journal_mark(&d->journal);
		r = start(d, io);
		if (r == -EAGAIN)
			return;
		pop_ready(d);
		if (r < 0) {
			end_entry(d, io, false);
			answer(d, io, r);
		}
	}
}

void nd_done(struct nd *d, struct nd_io *io, int res)
{
	if (io->state != ND_SENT)
		return;
	io->state = ND_FREE;
	d->sent--;
	d->progress_ns = clock_mono_ns();
	if (io == &d->again) {
		d->flush_fails |= res < 0;
		return;
	}
	if (io->op == NETDISK_FLUSH && res == 0 && d->journal.data)
		nd_journal_flushed(&d->journal, io->mark);
	if (io == &d->flush) {
		if (res < 0) { /* nobody asked for it; the next one who does is told */
			d->flush_fails = true;
			nd_journal_flushed(&d->journal, io->mark);
		}
		return;
	}
	end_entry(d, io, res == 0);
	answer(d, io, res);
}

/* ---- the VM's side ---- */

/* What it asks; false: it makes no sense. */
static bool take_one(struct nd *d)
{
	struct netdisk_ring *ring = d->ring;
	u32 slot = ring->order[d->asked++ % NETDISK_SLOTS];

	if (slot >= NETDISK_SLOTS || d->io[slot].state != ND_FREE)
		return false;
	const struct netdisk_ask a = *(volatile struct netdisk_ask *)&ring->ask[slot];
	struct nd_io *io = &d->io[slot];
	u64 most = a.op == NETDISK_FLUSH                             ? 0
		   : a.op == NETDISK_DISCARD || a.op == NETDISK_ZERO ? NETDISK_ZERO_MAX
								     : NETDISK_WINDOW;
	if (a.op > NETDISK_ZERO || a.bytes > most || a.off > d->bytes || a.bytes > d->bytes - a.off)
		return false;
	*io = (struct nd_io){ .op = (u8)a.op, .unmap = a.unmap, .off = a.off, .bytes = (u32)a.bytes, .entry = -1 };
	io->data = netdisk_window(ring, slot);
	push_ready(d, io);
	return true;
}

static bool take(struct nd *d)
{
	u64 n;
	ssize_t got = read(d->kick, &n, sizeof(n));
	(void)got;
	while (atomic_load(&d->ring->asked) != d->asked)
		if (!take_one(d))
			return false;
	u32 drop = atomic_load(&d->ring->drop);
	if (drop != d->drop) {
		d->drop = drop;
		answer_ready(d, -ECANCELED);
	}
	return true;
}

/* ---- time ---- */

static void keep_time(struct nd *d, u64 now)
{
	if (d->state == ND_CONNECTING && now >= d->connect_until_ns)
		lose_silent(d);
	if ((d->state == ND_UP || d->state == ND_REPLAY) && d->sent && now - d->progress_ns >= d->timeout_ns)
		lose_silent(d);
	if (d->state == ND_DOWN && now >= d->retry_ns && d->told)
		begin_connect(d);
	if (d->report && d->lost_ns && d->state != ND_UP && now - d->lost_ns >= d->timeout_ns)
		answer_ready(d, -EIO);
	if (d->state == ND_FAILED)
		answer_ready(d, -EIO);
}

static int sleep_ms(const struct nd *d, u64 now)
{
	u64 until = now + 60 * NSEC_PER_SEC;

	if (d->state == ND_CONNECTING)
		until = MIN(until, d->connect_until_ns);
	if (d->state == ND_DOWN)
		until = MIN(until, d->retry_ns);
	if (d->sent)
		until = MIN(until, d->progress_ns + d->timeout_ns);
	if (d->report && d->lost_ns && d->ready)
		until = MIN(until, d->lost_ns + d->timeout_ns);
	return until <= now ? 0 : (int)((until - now) / 1000000) + 1;
}

static int turn(struct nd *d)
{
	struct pollfd p[2 + ND_POLL_MAX] = { { .fd = d->kick, .events = POLLIN },
					     { .fd = HELPER_FD, .events = POLLIN } };
	bool live = d->state == ND_CONNECTING || d->state == ND_REPLAY || d->state == ND_UP;
	int ms = sleep_ms(d, clock_mono_ns());
	unsigned n = live ? d->proto->poll(d, p + 2, &ms) : 0;
	struct err e;

	atomic_store(&d->ring->sleeping, 1);
	if (atomic_load(&d->ring->asked) != d->asked)
		ms = 0;
	int r = poll(p, 2 + n, ms);
	atomic_store(&d->ring->sleeping, 0);
	if (r < 0 && errno != EINTR)
		return -errno;
	if (p[1].revents || !take(d))
		return -EPIPE;
	if (live && (r = d->proto->service(d, p + 2, n, &e)) < 0)
		lose(d, r, &e);
	keep_time(d, clock_mono_ns());
	if (d->state == ND_REPLAY)
		replay(d);
	if (d->state == ND_UP)
		send_ready(d);
	return 0;
}

void nd_init(struct nd *d)
{
	d->ready_tail = &d->ready;
	d->replaying = -1;
	for (unsigned i = 0; i < NETDISK_SLOTS; i++)
		d->io[i].entry = -1;
}

int nd_first(struct nd *d, struct err *e)
{
	begin_connect(d);
	while (d->state == ND_CONNECTING) {
		int r = turn(d);
		if (r < 0)
			return err_sys(e, -r, "cannot connect");
	}
	if (d->state != ND_UP) {
		*e = d->why;
		return -e->code;
	}
	d->told = true;
	return 0;
}

void nd_run(struct nd *d)
{
	while (turn(d) == 0)
		;
	d->proto->disconnect(d);
}
