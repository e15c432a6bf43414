/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost_dev.c - see vhost_dev.h; how a back end is found again is in vhost_again.c. */
#include "device/virtio/vhost_dev.h"
#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"
#include "device/virtio/vhost_dev_int.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#define GREET_NS 10000000000ull /* when a VM starts */
#define WAIT_NS 2000000000ull
#define REGION_ALIGN (2 * MIB)
#define USER_BASE (1ull << 40) /* "user addresses" of rings: any will do that no guest address has */

static u64 rings_at(const struct vhost_dev *v)
{
	return ROUND_UP(v->ram->capacity, REGION_ALIGN);
}

static u64 rings_bytes(const struct vhost_dev *v)
{
	return (u64)v->nrings * VHOST_RING_BYTES;
}

static bool has(const struct vhost_dev *v, unsigned bit)
{
	return v->features >> bit & 1;
}

/* Driver and device agree, and nobody is stopping it. */
static bool wanted(const struct vhost_dev *v)
{
	return v->d->status & VIRTIO_S_DRIVER_OK && !(v->d->status & VIRTIO_S_NEEDS_RESET) && !v->d->resetting &&
	       !v->d->frozen;
}

static bool enabled(struct vhost_dev *v, unsigned ring)
{
	return !v->ops->enabled || v->ops->enabled(v, ring);
}

/* ---- starting ---- */

static int send_memory(struct vhost_dev *v)
{
	const int fds[2] = { v->ram->memfd, v->rings_fd };
	struct vhost_mem_table t = { .n = 2 };
	bool ack = v->link.protocol >> VHOST_PROTOCOL_F_REPLY_ACK & 1;

	t.region[0].bytes = v->ram->capacity;
	t.region[0].user = USER_BASE;
	t.region[1].gpa = rings_at(v);
	t.region[1].bytes = rings_bytes(v);
	t.region[1].user = USER_BASE + rings_at(v);
	return vhost_link_send(&v->link, VHOST_SET_MEM_TABLE, &t, sizeof(t), fds, 2, ack);
}

static int send_ring(struct vhost_dev *v, unsigned i)
{
	struct vhost_ring *r = &v->rings[i];
	const struct vhost_vring_addr a = { .index = i,
					    .desc = USER_BASE + r->at,
					    .avail = USER_BASE + r->at + VHOST_RING_AVAIL,
					    .used = USER_BASE + r->at + VHOST_RING_USED };
	int rc;

	if ((rc = vhost_link_send_vring(&v->link, VHOST_SET_VRING_NUM, i, VHOST_RING_SIZE, false)) < 0 ||
	    (rc = vhost_link_send_vring(&v->link, VHOST_SET_VRING_BASE, i, 0, false)) < 0 ||
	    (rc = vhost_link_send(&v->link, VHOST_SET_VRING_ADDR, &a, sizeof(a), NULL, 0, false)) < 0 ||
	    (rc = vhost_link_send_fd(&v->link, VHOST_SET_VRING_KICK, i, r->kick_fd)) < 0 ||
	    (rc = vhost_link_send_fd(&v->link, VHOST_SET_VRING_CALL, i, r->call_fd)) < 0)
		return rc;
	return vhost_link_send_vring(&v->link, VHOST_SET_VRING_ENABLE, i, enabled(v, i), false);
}

void vhost_dev_start(struct vhost_dev *v)
{
	/* Ring features are between it and us, whatever the guest's queues have. */
	u64 ours = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_EVENT_IDX | 1ull << VIRTIO_F_RING_INDIRECT_DESC |
		   1ull << VHOST_F_PROTOCOL_FEATURES;

	if (v->running || v->stopping || v->link.state != VHOST_UP || !wanted(v))
		return;
	v->running = true;
	u64 features = (v->d->features & v->ops->features & v->features) | (ours & v->features);
	int rc = vhost_link_send_u64(&v->link, VHOST_SET_FEATURES, features);
	if (rc == 0)
		rc = send_memory(v);
	for (unsigned i = 0; rc == 0 && i < v->nrings; i++) {
		vhost_ring_begin(&v->rings[i]);
		rc = send_ring(v, i);
	}
	if (rc < 0) {
		vhost_dev_gone(v);
		return;
	}
	for (unsigned i = 0; i < v->nrings; i++)
		vhost_dev_notify(v, i);
}

void vhost_dev_notify(struct vhost_dev *v, unsigned i)
{
	struct vhost_ring *r = &v->rings[i];
	struct virtio_dev *d = v->d;

	if (!v->running) {
		vhost_dev_start(v); /* after it was loaded, or saved */
		return;
	}
	do {
		virtio_notify_disable(d, r->q);
		/* A full one is filled when something of it is done. */
		if (!vhost_ring_fill(r, d))
			break;
	} while (virtio_notify_enable(d, r->q));
	vhost_ring_kick(r);
}

void vhost_dev_enable(struct vhost_dev *v, unsigned first, unsigned n)
{
	int rc = 0;

	for (unsigned i = first; rc == 0 && v->running && i < first + n && i < v->nrings; i++)
		rc = vhost_link_send_vring(&v->link, VHOST_SET_VRING_ENABLE, i, enabled(v, i), false);
	if (rc < 0)
		vhost_dev_gone(v);
}

/* ---- what comes back ---- */

static int collect(struct vhost_dev *v, unsigned i)
{
	int rc = vhost_ring_collect(&v->rings[i], v->d);

	if (rc < 0)
		err_set(&v->link.why, EPROTO, "it wrote a ring that makes no sense");
	return rc;
}

static void on_call(void *opaque, u32 events)
{
	struct vhost_watch *w = opaque;
	struct vhost_dev *v = w->v;
	unsigned i = (unsigned)(w - v->call);
	u64 n;

	(void)events;
	virtio_lock(v->d);
	if (read(v->rings[i].call_fd, &n, sizeof(n)) == sizeof(n) && v->running) {
		v->rings[i].calls++;
		if (collect(v, i) < 0)
			vhost_dev_gone(v);
		else
			vhost_dev_notify(v, i);
		virtio_signal(v->d, v->rings[i].q);
	}
	virtio_unlock(v->d);
}

/* ---- stopping ---- */

static unsigned inflight(const struct vhost_dev *v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < v->nrings; i++)
		n += v->rings[i].inflight;
	return n;
}

static int drain(struct vhost_dev *v, u64 until_ns)
{
	struct pollfd p[VHOST_RINGS_MAX + 1];
	int rc = 0;

	for (;;) {
		for (unsigned i = 0; rc == 0 && i < v->nrings; i++)
			rc = collect(v, i);
		if (rc < 0 || !inflight(v))
			return rc;
		u64 now = clock_mono_ns(), n;
		if (now >= until_ns)
			return err_set(&v->link.why, ETIMEDOUT, "it does not finish what it began");
		for (unsigned i = 0; i < v->nrings; i++)
			p[i] = (struct pollfd){ .fd = v->rings[i].call_fd, .events = POLLIN };
		p[v->nrings] = (struct pollfd){ .fd = v->link.fd, .events = POLLIN };
		poll(p, v->nrings + 1, (int)MIN((until_ns - now) / 1000000 + 1, 1000));
		for (unsigned i = 0; i < v->nrings; i++)
			if (p[i].revents && read(v->rings[i].call_fd, &n, sizeof(n)) < 0)
				continue;
		if (p[v->nrings].revents && (rc = vhost_link_read(&v->link)) < 0)
			return rc;
	}
}

/* GET_VRING_BASE stops a ring, and the reply says that it has stopped. */
static int ask_to_stop(struct vhost_dev *v)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < v->nrings; i++) {
		rc = vhost_link_send_vring(&v->link, VHOST_SET_VRING_ENABLE, i, 0, false);
		if (rc == 0)
			rc = vhost_link_send_vring(&v->link, VHOST_GET_VRING_BASE, i, 0, true);
	}
	return rc;
}

void vhost_dev_reset(struct vhost_dev *v)
{
	u64 until = clock_mono_ns() + WAIT_NS;

	if (v->running || v->stopping) {
		int rc = v->ops->drain ? drain(v, until) : 0;
		if (rc == 0 && !v->stopping)
			rc = ask_to_stop(v);
		if (rc == 0)
			rc = vhost_link_wait(&v->link, until);
		for (unsigned i = 0; rc == 0 && i < v->nrings; i++)
			rc = collect(v, i); /* what it wrote to is told, though no driver waits for it */
		if (rc < 0)
			vhost_dev_gone(v);
	}
	v->running = v->stopping = false;
	for (unsigned i = 0; i < v->nrings; i++)
		vhost_ring_forget(&v->rings[i]);
}

/* The loop's thread, which must not wait: called again until it is so. */
bool vhost_dev_quiesce(struct vhost_dev *v)
{
	if (v->ops->drain)
		return !inflight(v);
	if (v->running) {
		v->running = false;
		v->stopping = true;
		if (ask_to_stop(v) < 0)
			vhost_dev_gone(v);
	}
	if (v->stopping && v->link.state != VHOST_DOWN) {
		if (v->link.n)
			return false;
		v->stopping = false;
		for (unsigned i = 0; i < v->nrings; i++)
			if (collect(v, i) < 0) {
				vhost_dev_gone(v);
				break;
			}
	}
	v->stopping = false;
	for (unsigned i = 0; i < v->nrings; i++) {
		vhost_ring_take_back(&v->rings[i], v->d);
		virtio_signal(v->d, v->rings[i].q);
	}
	return true;
}

/* ---- life ---- */

static int make_rings(struct vhost_dev *v, struct err *e)
{
	v->rings = xcalloc(v->nrings, sizeof(*v->rings));
	v->call = xcalloc(v->nrings, sizeof(*v->call));
	v->rings_fd = memfd_create("mica-vhost-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Who has the file must not be able to make it shorter under our feet. */
	if (v->rings_fd < 0 || ftruncate(v->rings_fd, (off_t)rings_bytes(v)) < 0 ||
	    fcntl(v->rings_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "cannot make memory for rings");
	void *p = mmap(NULL, rings_bytes(v), PROT_READ | PROT_WRITE, MAP_SHARED, v->rings_fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "cannot map memory for rings");
	v->rings_mem = p;
	for (unsigned i = 0; i < v->nrings; i++) {
		u64 off = (u64)i * VHOST_RING_BYTES;
		v->call[i].v = v;
		v->rings[i] = (struct vhost_ring){ .kick_fd = -1, .call_fd = -1 };
		if (vhost_ring_init(&v->rings[i], i, v->rings_mem + off, rings_at(v) + off, v->ram) < 0)
			return err_sys(e, errno, "cannot make an eventfd");
		v->rings[i].indirect = has(v, VIRTIO_F_RING_INDIRECT_DESC);
		v->rings[i].event_idx = has(v, VIRTIO_F_RING_EVENT_IDX);
	}
	return 0;
}

int vhost_dev_init(struct vhost_dev *v, const struct vhost_ops *ops, struct ram *ram, struct loop *loop, int fd,
		   int helper_fd, unsigned max, struct err *e)
{
	*v = (struct vhost_dev){ .ops = ops, .ram = ram, .loop = loop, .helper_fd = helper_fd, .rings_fd = -1 };
	loop_timer_init(loop, &v->retry, vhost_dev_on_retry, v);
	vhost_link_begin(&v->link, fd, ops->config_bytes);
	int r = vhost_link_wait(&v->link, clock_mono_ns() + GREET_NS);
	if (r < 0) {
		if (!e)
			return r;
		*e = v->link.why;
		return err_prefix(e, "the back end is of no use");
	}
	v->features = v->link.features;
	if (!has(v, VIRTIO_F_VERSION_1))
		return err_set(e, EPROTONOSUPPORT, "the back end is of no use: %s",
			       MSG("it is from before VIRTIO 1.0"));
	v->nrings = MIN(MIN(max, v->link.queues * ops->per_queue), VHOST_RINGS_MAX);
	if (!v->nrings)
		return err_set(e, EPROTO, "the back end is of no use: %s", MSG("it has no queues"));
	return make_rings(v, e);
}

int vhost_dev_watch(struct vhost_dev *v, struct err *e)
{
	int r = vhost_dev_watch_link(v);

	if (r == 0 && v->helper_fd >= 0) {
		r = loop_add(v->loop, &v->helper_lf, v->helper_fd, EPOLLIN, vhost_dev_on_helper, v);
		v->helper_watched = r == 0;
	}
	for (unsigned i = 0; r == 0 && i < v->nrings; i++)
		r = loop_add(v->loop, &v->call[i].lf, v->rings[i].call_fd, EPOLLIN, on_call, &v->call[i]);
	return r < 0 ? err_sys(e, -r, "cannot watch the back end's socket") : 0;
}

void vhost_dev_fini(struct vhost_dev *v)
{
	u64 requests = 0, kicks = 0, calls = 0;

	loop_timer_fini(&v->retry);
	if (v->watched)
		loop_del(v->loop, &v->link_lf);
	if (v->helper_watched)
		loop_del(v->loop, &v->helper_lf);
	vhost_link_close(&v->link);
	if (v->helper_fd >= 0)
		close(v->helper_fd);
	for (unsigned i = 0; v->rings && i < v->nrings; i++) {
		if (v->call[i].lf.added)
			loop_del(v->loop, &v->call[i].lf);
		requests += v->rings[i].requests;
		kicks += v->rings[i].kicks;
		calls += v->rings[i].calls;
		vhost_ring_fini(&v->rings[i]);
	}
	log_debug("%s: %llu requests, %llu kicks, %llu calls", v->ops->name, (unsigned long long)requests,
		  (unsigned long long)kicks, (unsigned long long)calls);
	if (v->rings_mem)
		munmap(v->rings_mem, rings_bytes(v));
	if (v->rings_fd >= 0)
		close(v->rings_fd);
	free(v->rings);
	free(v->call);
}
