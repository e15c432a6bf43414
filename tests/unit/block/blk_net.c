/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blk_net.c - see blk_net.h. */
#include "blk_net.h"

#include <unistd.h>

struct net_disk *net_disk;
u64 net_disk_bytes = 4 * MIB;

static void copy(struct net_disk *d, struct blk_req *r)
{
	u64 skip = r->skip, left = r->bytes, at = r->off;

	for (unsigned i = 0; i < r->niov && left; i++) {
		u64 cut = MIN(skip, r->iov[i].iov_len), n = MIN(r->iov[i].iov_len - cut, left);
		u8 *mine = (u8 *)r->iov[i].iov_base + cut;
		if (r->op == BLK_READ)
			memcpy(mine, d->data + at, n);
		else
			memcpy(d->data + at, mine, n);
		skip -= cut;
		left -= n;
		at += n;
	}
}

static int answer(struct net_disk *d, struct blk_req *r)
{
	int fail = __atomic_load_n(&d->fail, __ATOMIC_SEQ_CST);

	if (fail)
		return fail;
	if (r->op == BLK_READ || r->op == BLK_WRITE)
		copy(d, r);
	else if (r->op != BLK_FLUSH)
		memset(d->data + r->off, 0, r->bytes);
	return 0;
}

static void *serve(void *arg)
{
	struct net_disk *d = arg;

	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		struct blk_done *e = d->asked;
		if (!e) {
			pthread_cond_wait(&d->more, &d->lock);
			continue;
		}
		d->asked = e->next;
		pthread_mutex_unlock(&d->lock);
		struct blk_req *r = container_of(e, struct blk_req, end);
		if (d->delay_us)
			usleep(d->delay_us);
		int res = answer(d, r);
		pthread_mutex_lock(&d->lock);
		d->answers++;
		blk_queue_push(d->n.q, e, res);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void net_submit(struct blk_node *n, struct blk_req *r)
{
	struct net_disk *d = container_of(n, struct net_disk, n);

	r->node = n;
	r->end.fn = node_end_fn;
	pthread_mutex_lock(&d->lock);
	if (d->cancelled) {
		blk_queue_push(n->q, &r->end, -ECANCELED);
	} else {
		r->end.next = d->asked; /* the last one first */
		d->asked = &r->end;
		pthread_cond_signal(&d->more);
	}
	pthread_mutex_unlock(&d->lock);
}

static void net_cancel(struct blk_node *n, bool on)
{
	struct net_disk *d = container_of(n, struct net_disk, n);

	pthread_mutex_lock(&d->lock);
	d->cancelled = on;
	for (struct blk_done *e = on ? d->asked : NULL, *next; e; e = next) {
		next = e->next;
		blk_queue_push(n->q, e, -ECANCELED);
	}
	if (on)
		d->asked = NULL;
	pthread_mutex_unlock(&d->lock);
}

static void net_close(struct blk_node *n)
{
	struct net_disk *d = container_of(n, struct net_disk, n);

	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_signal(&d->more);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->more);
	free(d->data);
	free(d);
}

static const struct blk_driver net_driver = {
	.name = "net",
	.submit = net_submit,
	.cancel = net_cancel,
	.close = net_close,
};

static int net_open(struct blk_node **out, const struct blk_open *o, struct err *e)
{
	struct net_disk *d = xcalloc(1, sizeof(*d));

	(void)e;
	d->n = (struct blk_node){
		.drv = &net_driver, .q = o->q, .bytes = net_disk_bytes, .readonly = o->p->readonly, .can_discard = true
	};
	d->data = xcalloc(1, net_disk_bytes);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->more, NULL);
	must(pthread_create(&d->thread, NULL, serve, d) == 0);
	net_disk = d;
	*out = &d->n;
	return 0;
}

const struct blk_format net_format = { .name = "net", .title = "memory behind a thread", .open = net_open };
