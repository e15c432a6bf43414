/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netdisk_node.c - a disk on the network: the VM's side of netdisk/netdisk.h.
 *
 * Theory: a request is cut into pieces, each as large as a slot's window; data is copied between the guest's memory and
 * the window, which is all of it that the process ever sees. Requests without a slot wait in order. A request's frame
 * has what is known of it: how much has begun, how many pieces are out, the first error.
 *
 * Answers are collected by whoever reaps the queue (queue.h): the process writes to the queue's own event fd.
 *
 * INV-ND-1: a slot is taken as answered only if it is asked; whatever else the process writes breaks the disk, and
 * nothing else.
 * INV-ND-2: a request that is cancelled ends at once, although its pieces may be under way still ("orphans"). While a
 * write is an orphan nothing new is asked: else it could land after, and over, what the guest writes next.
 */
#include "block/netdisk_node.h"
#include "base/clock.h"
#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#define COPY_MAX (2 * MIB) /* in one go of collect() */
#define LOOK_NS (NSEC_PER_SEC / 20)
#define CLOSE_MS 10000 /* for what is not flushed yet */
#define PROBE_MS 30000

enum { BEGUN, OUT, ERROR }; /* frame->own */

struct slot {
	struct blk_req *r; /* NULL: an orphan, or sync()'s */
	enum { FREE, ASKED, ORPHAN } state;
	u8 op;
	u64 pos, bytes; /* of the request; of a FLUSH pos is `writes` */
};

struct netdisk_node {
	struct blk_node n;
	struct blk_source src;
	struct netdisk_link link;
	struct loop_fd lfd;
	char *name;
	u32 flags;

	pthread_mutex_t lock; /* guards what follows */
	struct slot slots[NETDISK_SLOTS];
	u32 asked, answered;
	unsigned orphans;                         /* writes that are */
	struct blk_done *waiting, **waiting_tail; /* r->end; the first may have begun */
	struct blk_done *ended, **ended_tail;     /* by collect(); tail NULL: nobody collects */
	bool cancelled, dead;
	u64 writes, flushed; /* begins and ends of writes; as many as the last flush has covered */
	enum netdisk_state state;
	u64 looked_ns;
	int own_res; /* of a request without a blk_req; 1: none yet */
};

/* ---- requests ---- */

static void kick(struct netdisk_node *d)
{
	u64 one = 1;
	ssize_t n = write(d->link.kick, &one, sizeof(one));
	(void)n; /* full: it is awake */
}

static void copy(u8 *window, const struct blk_req *r, u64 skip, u64 left, bool to_guest)
{
	for (unsigned i = 0; i < r->niov && left; i++) {
		u64 cut = MIN(skip, r->iov[i].iov_len), n = MIN(r->iov[i].iov_len - cut, left);
		u8 *guest = (u8 *)r->iov[i].iov_base + cut;
		if (to_guest)
			memcpy(guest, window, n);
		else
			memcpy(window, guest, n);
		window += n;
		skip -= cut;
		left -= n;
	}
}

static bool changes(u32 op)
{
	return op != NETDISK_READ && op != NETDISK_FLUSH;
}

static void ask_locked(struct netdisk_node *d, unsigned slot, struct netdisk_ask a)
{
	struct netdisk_ring *ring = d->link.ring;

	ring->ask[slot] = a;
	ring->order[d->asked++ % NETDISK_SLOTS] = slot;
	atomic_store(&ring->asked, d->asked);
	if (atomic_exchange(&ring->sleeping, 0))
		kick(d);
}

static int free_slot(const struct netdisk_node *d)
{
	for (unsigned i = 0; i < NETDISK_SLOTS; i++)
		if (d->slots[i].state == FREE)
			return (int)i;
	return -1;
}

/* The next piece of r. */
static void begin_locked(struct netdisk_node *d, struct blk_req *r, unsigned i)
{
	struct blk_frame *f = node_frame(r);
	u64 pos = f->own[BEGUN], left = f->bytes - pos;
	u8 *window = netdisk_window(d->link.ring, i);
	struct netdisk_ask a = { .off = f->off + pos };

	switch (f->op) {
	case BLK_READ:
		a.op = NETDISK_READ;
		a.bytes = MIN(left, NETDISK_WINDOW);
		break;
	case BLK_WRITE:
		a.op = NETDISK_WRITE;
		a.bytes = MIN(left, NETDISK_WINDOW);
		copy(window, r, f->skip + pos, a.bytes, false);
		break;
	case BLK_FLUSH:
		a.op = NETDISK_FLUSH;
		a.off = 0;
		break;
	case BLK_DISCARD:
		a.op = NETDISK_DISCARD;
		a.bytes = MIN(left, NETDISK_ZERO_MAX);
		break;
	case BLK_WRITE_ZEROES:
		a.op = NETDISK_ZERO;
		a.unmap = f->may_unmap;
		a.bytes = MIN(left, NETDISK_ZERO_MAX);
		if (!(d->flags & NETDISK_CAN_ZERO)) {
			a.op = NETDISK_WRITE;
			a.bytes = MIN(left, NETDISK_WINDOW);
			memset(window, 0, a.bytes);
		}
		break;
	}
	d->slots[i] = (struct slot){ .r = r, .state = ASKED, .op = (u8)a.op, .pos = pos, .bytes = a.bytes };
	if (a.op == NETDISK_FLUSH)
		d->slots[i].pos = d->writes;
	f->own[BEGUN] += a.op == NETDISK_FLUSH ? left : a.bytes;
	f->own[OUT]++;
	d->writes += changes(a.op);
	ask_locked(d, i, a);
}

/* r has nothing out, and is in no list. */
static void end_locked(struct netdisk_node *d, struct blk_req *r, int res)
{
	r->end.fn = node_end_fn;
	if (!d->ended_tail) {
		blk_queue_push(d->n.q, &r->end, res);
		return;
	}
	r->end.res = res;
	r->end.next = NULL;
	*d->ended_tail = &r->end;
	d->ended_tail = &r->end.next;
}

static void pump_locked(struct netdisk_node *d)
{
	while (d->waiting && (!d->orphans || d->dead)) {
		struct blk_req *r = container_of(d->waiting, struct blk_req, end);
		struct blk_frame *f = node_frame(r);
		int err = d->dead ? -EIO : (int)(s64)f->own[ERROR], i = 0;
		if (!err && (i = free_slot(d)) < 0)
			return;
		if (!err)
			begin_locked(d, r, (unsigned)i);
		if (!err && f->own[BEGUN] < f->bytes)
			continue;
		d->waiting = r->end.next;
		if (!d->waiting)
			d->waiting_tail = &d->waiting;
		f->own[BEGUN] = f->bytes;
		f->own[ERROR] = (u64)(s64)err;
		if (!f->own[OUT])
			end_locked(d, r, err);
	}
}

static void netdisk_back(struct blk_node *n, struct blk_req *r, int res)
{
	(void)n;
	node_return(r, res);
}

static void netdisk_submit(struct blk_node *n, struct blk_req *r)
{
	struct netdisk_node *d = container_of(n, struct netdisk_node, n);

	if (r->op == BLK_DISCARD && !(d->flags & NETDISK_CAN_DISCARD)) { /* a hint */
		node_done_later(n, r, 0);
		return;
	}
	if (r->op == BLK_FLUSH && n->readonly) {
		node_done_later(n, r, 0);
		return;
	}
	struct blk_frame *f = node_enter(n, r, netdisk_back);
	f->own[BEGUN] = f->own[OUT] = f->own[ERROR] = 0;
	pthread_mutex_lock(&d->lock);
	if (d->cancelled || d->dead) {
		end_locked(d, r, d->dead ? -EIO : -ECANCELED);
	} else {
		r->end.next = NULL;
		*d->waiting_tail = &r->end;
		d->waiting_tail = &r->end.next;
		pump_locked(d);
	}
	pthread_mutex_unlock(&d->lock);
}

/* ---- answers ---- */

static void broken_locked(struct netdisk_node *d, bool nonsense)
{
	if (d->dead)
		return;
	d->dead = true;
	if (nonsense)
		log_error(
		    "disk '%s': its process (mica-netdisk) makes no sense; what is read and written there fails from "
		    "now on",
		    d->name);
	else
		log_error(
		    "disk '%s': its process (mica-netdisk) has ended; what is read and written there fails from now on",
		    d->name);
	d->state = NETDISK_FAILED;
	for (unsigned i = 0; i < NETDISK_SLOTS; i++) {
		struct slot *s = &d->slots[i];
		struct blk_req *r = s->r;
		s->r = NULL;
		if (s->state == ASKED && r) {
			struct blk_frame *f = node_frame(r);
			f->own[ERROR] = (u64)(s64)-EIO;
			if (!--f->own[OUT] && f->own[BEGUN] == f->bytes)
				end_locked(d, r, -EIO);
		}
		s->state = FREE;
	}
	d->orphans = 0;
	d->own_res = -EIO;
	pump_locked(d);
}

/* Returns how many bytes were copied. */
static u64 answer_locked(struct netdisk_node *d, struct slot *s, unsigned i, int res)
{
	struct blk_req *r = s->r;
	u64 copied = 0;

	if (s->state == ORPHAN && changes(s->op))
		d->orphans--;
	d->writes += changes(s->op);
	if (s->op == NETDISK_FLUSH && res == 0)
		d->flushed = MAX(d->flushed, s->pos);
	s->state = FREE;
	s->r = NULL;
	if (!r) {
		d->own_res = res;
		return 0;
	}
	struct blk_frame *f = node_frame(r);
	if (res == 0 && f->op == BLK_READ) {
		copy(netdisk_window(d->link.ring, i), r, f->skip + s->pos, s->bytes, true);
		copied = s->bytes;
	}
	if (res < 0 && !f->own[ERROR])
		f->own[ERROR] = (u64)(s64)res;
	if (!--f->own[OUT] && f->own[BEGUN] == f->bytes)
		end_locked(d, r, (int)(s64)f->own[ERROR]);
	return copied;
}

/* What the process says of the connection. */
static void words_locked(struct netdisk_node *d)
{
	struct netdisk_word w;
	ssize_t n;

	d->looked_ns = clock_mono_ns();
	while ((n = recv(d->link.fd, &w, sizeof(w), MSG_DONTWAIT)) > 0) {
		struct err e;
		if (n < (ssize_t)offsetof(struct netdisk_word, why) || w.state > NETDISK_FAILED) {
			broken_locked(d, true);
			return;
		}
		if (w.state == NETDISK_CONNECTED && d->state == NETDISK_RECONNECTING)
			log_warn("disk '%s': connected again", d->name);
		if (w.state != NETDISK_CONNECTED) {
			err_unpack(&e, w.why, (size_t)n - offsetof(struct netdisk_word, why));
			if (w.state == NETDISK_RECONNECTING)
				log_warn("disk '%s': the connection is lost, and tried again: %s", d->name,
					 err_local(&e));
			else
				log_error("disk '%s': what is read and written there fails from now on: %s", d->name,
					  err_local(&e));
		}
		d->state = w.state;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		broken_locked(d, false);
}

static struct blk_done *netdisk_collect(struct blk_source *src)
{
	struct netdisk_node *d = container_of(src, struct netdisk_node, src);
	struct netdisk_ring *ring = d->link.ring;
	u64 copied = 0;
	bool any = false;

	pthread_mutex_lock(&d->lock);
	d->ended = NULL;
	d->ended_tail = &d->ended;
	while (!d->dead && atomic_load(&ring->answered) != d->answered) {
		if (copied >= COPY_MAX) {
			blk_queue_wake(d->n.q);
			break;
		}
		struct netdisk_answer a = ring->answer[d->answered++ % NETDISK_SLOTS];
		any = true;
		if (a.slot >= NETDISK_SLOTS || d->slots[a.slot].state == FREE) { /* INV-ND-1 */
			broken_locked(d, true);
			break;
		}
		copied += answer_locked(d, &d->slots[a.slot], a.slot, a.res > 0 ? -EIO : MAX(a.res, -4095));
	}
	/* Where no loop runs that would hear of its end. */
	if (!any && !d->dead && clock_mono_ns() - d->looked_ns >= LOOK_NS)
		words_locked(d);
	pump_locked(d);
	struct blk_done *list = d->ended;
	d->ended_tail = NULL;
	pthread_mutex_unlock(&d->lock);
	return list;
}

static void on_words(void *opaque, u32 events)
{
	struct netdisk_node *d = opaque;

	(void)events;
	pthread_mutex_lock(&d->lock);
	words_locked(d);
	bool dead = d->dead;
	pthread_mutex_unlock(&d->lock);
	if (dead)
		loop_del(d->n.q->loop, &d->lfd);
}

/* ---- cancel ---- */

static void cancel_locked(struct netdisk_node *d)
{
	while (d->waiting) {
		struct blk_req *r = container_of(d->waiting, struct blk_req, end);
		struct blk_frame *f = node_frame(r);
		d->waiting = r->end.next;
		f->own[BEGUN] = f->bytes;
		if (!f->own[OUT])
			end_locked(d, r, -ECANCELED);
	}
	d->waiting_tail = &d->waiting;
	for (unsigned i = 0; i < NETDISK_SLOTS; i++) {
		struct slot *s = &d->slots[i];
		if (s->state != ASKED || !s->r)
			continue;
		struct blk_req *r = s->r;
		s->r = NULL;
		s->state = ORPHAN;
		d->orphans += changes(s->op);
		if (!--node_frame(r)->own[OUT])
			end_locked(d, r, -ECANCELED);
	}
	atomic_fetch_add(&d->link.ring->drop, 1);
	kick(d);
}

static void netdisk_cancel(struct blk_node *n, bool on)
{
	struct netdisk_node *d = container_of(n, struct netdisk_node, n);

	pthread_mutex_lock(&d->lock);
	d->cancelled = on;
	if (on && !d->dead)
		cancel_locked(d);
	pthread_mutex_unlock(&d->lock);
}

/* ---- one request of the layer's own, waited for: at open and close, when nobody else asks ---- */

static int ask_and_wait(struct netdisk_node *d, struct netdisk_ask a, unsigned *slot, int timeout_ms)
{
	u64 until = clock_mono_ns() + (u64)timeout_ms * 1000000;
	int res, i;

	pthread_mutex_lock(&d->lock);
	i = free_slot(d);
	res = d->own_res = d->dead ? -EIO : i < 0 ? -EBUSY : 1;
	if (res == 1) {
		*slot = (unsigned)i;
		d->slots[i] = (struct slot){ .state = ASKED, .op = (u8)a.op, .pos = d->writes, .bytes = a.bytes };
		ask_locked(d, *slot, a);
	}
	pthread_mutex_unlock(&d->lock);
	while (res == 1) {
		if (clock_mono_ns() >= until)
			return -ETIMEDOUT;
		blk_queue_wait(d->n.q, 5);
		must(!netdisk_collect(&d->src)); /* nobody else has asked for anything */
		pthread_mutex_lock(&d->lock);
		res = d->own_res;
		pthread_mutex_unlock(&d->lock);
	}
	return res;
}

static int netdisk_sync(struct blk_node *n)
{
	struct netdisk_node *d = container_of(n, struct netdisk_node, n);
	unsigned slot;

	return d->writes != d->flushed ? ask_and_wait(d, (struct netdisk_ask){ .op = NETDISK_FLUSH }, &slot, CLOSE_MS)
				       : 0;
}

static void netdisk_close(struct blk_node *n)
{
	struct netdisk_node *d = container_of(n, struct netdisk_node, n);

	if (d->lfd.added)
		loop_del(n->q->loop, &d->lfd);
	blk_queue_remove(n->q, &d->src);
	netdisk_stop(&d->link);
	pthread_mutex_destroy(&d->lock);
	free(d->name);
	free(d);
}

static const char *netdisk_trouble(struct blk_node *n)
{
	struct netdisk_node *d = container_of(n, struct netdisk_node, n);

	pthread_mutex_lock(&d->lock);
	enum netdisk_state s = d->state;
	pthread_mutex_unlock(&d->lock);
	return s == NETDISK_CONNECTED ? NULL : s == NETDISK_RECONNECTING ? "reconnecting" : "failed";
}

static const struct blk_driver netdisk_driver = {
	.name = "network",
	.submit = netdisk_submit,
	.sync = netdisk_sync,
	.cancel = netdisk_cancel,
	.close = netdisk_close,
	.trouble = netdisk_trouble,
};

/* ---- opening ---- */

int netdisk_node_new(struct blk_node **out, struct blk_queue *q, struct netdisk_link *l, const char *name,
		     bool readonly, struct err *e)
{
	static const struct blk_source_ops source = { .collect = netdisk_collect };
	u64 bytes = l->ring->bytes;
	u32 flags = l->ring->flags;
	bool server_ro = flags & NETDISK_READONLY;

	if (bytes < BLK_SECTOR || bytes > NETDISK_BYTES_MAX || bytes % BLK_SECTOR) {
		netdisk_stop(l);
		return err_set(e, EINVAL, "disk '%s': its size, %llu bytes, is none that a disk can have", name,
			       (unsigned long long)bytes);
	}
	if (server_ro && !readonly) {
		netdisk_stop(l);
		return err_set(e, EROFS, "disk '%s' can only be read there; add readonly=on or snapshot=on", name);
	}
	struct netdisk_node *d = xcalloc(1, sizeof(*d));
	d->n = (struct blk_node){ .drv = &netdisk_driver, .q = q, .bytes = bytes, .readonly = readonly };
	d->n.can_discard = !readonly && flags & NETDISK_CAN_DISCARD;
	d->flags = flags;
	d->name = xstrdup(name);
	d->link = *l;
	d->waiting_tail = &d->waiting;
	pthread_mutex_init(&d->lock, NULL);
	d->src.ops = &source;
	blk_queue_add(q, &d->src);
	int r = loop_add(q->loop, &d->lfd, l->fd, EPOLLIN, on_words, d);
	if (r < 0) {
		netdisk_close(&d->n);
		return err_sys(e, -r, "cannot watch network disk '%s'", name);
	}
	*out = &d->n;
	return 0;
}

/* A raw image that begins like another format is not taken for raw, as with a file (open.c). */
static int probe(struct blk_node *n, const char *name, struct err *e)
{
	struct netdisk_node *d = container_of(n, struct netdisk_node, n);
	const struct netdisk_ask a = { .op = NETDISK_READ, .bytes = BLK_PROBE_BYTES };
	u8 head[BLK_PROBE_BYTES];
	unsigned slot;
	int r = ask_and_wait(d, a, &slot, PROBE_MS);

	if (r < 0)
		return err_sys(e, -r, "disk '%s': cannot read it", name);
	memcpy(head, netdisk_window(d->link.ring, slot), sizeof(head));
	const struct blk_format *seen = blk_format_probe(name, head, sizeof(head), NULL);
	if (!seen)
		return 0;
	return err_set(
	    e, EINVAL,
	    "disk '%s' looks like %s, and over the network only raw ones are used; if the guest is meant to see "
	    "these very bytes, write format=raw",
	    name, seen->title);
}

static int netdisk_open(struct blk_node **out, const struct blk_open *o, struct err *e)
{
	const struct blk_params *p = o->p;
	char **items = xcalloc(p->noptions + 1u, sizeof(*items));
	bool ro = p->readonly || p->snapshot;
	struct netdisk_link l;

	for (unsigned i = 0; i < p->noptions; i++)
		items[i] = xasprintf("%s=%s", p->options[i].name, p->options[i].value);
	const struct netdisk_params np = { .url = p->path, .readonly = ro, .options = (const char *const *)items };
	int r = netdisk_start(&l, &np, o->q->evfd, e);
	for (unsigned i = 0; i < p->noptions; i++)
		free(items[i]);
	free(items);
	if (r == 0)
		r = netdisk_node_new(out, o->q, &l, p->path, ro, e);
	if (r == 0 && !p->format && (r = probe(*out, p->path, e)) < 0)
		netdisk_close(*out);
	return r;
}

static const struct blk_format_option netdisk_options[] = {
	{ "on-error", "pause|report", "when the connection breaks, the guest waits; or sees errors after timeout=" },
	{ "timeout", "SECONDS", "how long a server may say nothing; 30" },
	{ "tls-ca", "FILE", "certificates to trust instead of the host's" },
	{ "tls-cert", "FILE", "a certificate to show to an NBD server" },
	{ "tls-key", "FILE", "its key" },
	{ "initiator", "IQN", "what an iSCSI target is told this host is called" },
	{ "user", "NAME", "who you are, for https and iSCSI (CHAP)" },
	{ "password-file", "FILE", "a file with the password for that" },
	{ "cache", "DIR|off", "keep what was read by http in files there; off" },
	{ "cache-size", "SIZE", "of that, at most; 8G" },
	{ 0 },
};

const struct blk_format blk_format_netdisk = {
	.name = "network",
	.title = "a disk on a server",
	.options = netdisk_options,
	.open = netdisk_open,
};
