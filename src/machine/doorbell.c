/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doorbell.c - notification registers as eventfds (bus.h).
 *
 * Theory of operation: the descriptors are made with the device, before the process is locked in; the engine learns of
 * them whenever the region is mapped. What is rung becomes the region's own write, on the loop's thread. A ring that
 * was under way when the region went away still arrives: it says "look", and there is nothing to see.
 */
#include "machine/doorbell.h"

#include "base/log.h"
#include "base/loop.h"

#include <sys/eventfd.h>

struct bell {
	struct doorbells *all;
	struct loop_fd lf;
	int fd;
	u64 off;
	bool set;
};

struct doorbells {
	struct doorbell_maker maker;
	struct io_region *region;
	gpa_t base;
	unsigned step, n;
	struct bell bell[];
};

static void rung(void *opaque, u32 events)
{
	struct bell *b = opaque;
	struct io_region *r = b->all->region;
	u64 n;

	if (read(b->fd, &n, sizeof(n)) == sizeof(n) && r->ops->write)
		r->ops->write(r->dev, b->off, 2, 0);
}

struct doorbells *doorbells_new(const struct doorbell_maker *m, struct io_region *r, u64 off, unsigned step, unsigned n)
{
	struct doorbells *d = xcalloc(1, sizeof(*d) + n * sizeof(d->bell[0]));

	d->maker = *m;
	d->region = r;
	d->step = step;
	for (; d->n < n; d->n++) {
		struct bell *b = &d->bell[d->n];

		b->all = d;
		b->off = off + (u64)d->n * step;
		b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (b->fd < 0 || loop_add(m->loop, &b->lf, b->fd, EPOLLIN, rung, b) < 0) {
			log_info("%s: no eventfd for doorbell %u (%s); its writes stop the vCPU", r->name, d->n,
				 strerror(errno));
			if (b->fd >= 0)
				close(b->fd);
			break;
		}
	}
	return d;
}

void doorbells_free(struct doorbells *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < d->n; i++) {
		loop_del(d->maker.loop, &d->bell[i].lf);
		close(d->bell[i].fd);
	}
	free(d);
}

void doorbells_map(struct doorbells *d, gpa_t base)
{
	d->base = base;
	for (unsigned i = 0; i < d->n; i++) {
		struct bell *b = &d->bell[i];

		b->set = d->maker.set(d->maker.opaque, base + b->off, 0, b->fd, true) == 0;
	}
}

void doorbells_unmap(struct doorbells *d)
{
	for (unsigned i = 0; i < d->n; i++) {
		struct bell *b = &d->bell[i];

		if (b->set)
			d->maker.set(d->maker.opaque, d->base + b->off, 0, b->fd, false);
		b->set = false;
	}
}
