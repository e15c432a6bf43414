/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost_again.c - the end of a vhost-user back end, and the next one; see vhost_dev.h. */
#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"
#include "device/virtio/vhost_dev_int.h"
#include "vsock/vsock.h"

#include <sys/socket.h>

#define RETRY_NS 500000000ull

/* Lock held; on any thread, so the loop's own is left to the timer. */
void vhost_dev_gone(struct vhost_dev *v)
{
	v->link.state = VHOST_DOWN;
	v->running = v->stopping = false;
	/* One that comes and goes costs a connection each RETRY_NS. */
	loop_timer_arm(&v->retry, v->told ? clock_mono_ns() + RETRY_NS : 0);
}

static void say_gone(struct vhost_dev *v)
{
	if (v->told)
		return;
	v->told = true;
	if (v->helper_fd >= 0)
		log_warn("%s: its back end is gone (%s); the guest's I/O waits until there is one again", v->ops->name,
			 err_local(&v->link.why));
	else
		log_warn("%s: its back end is gone (%s), and no other can be reached; the guest's I/O waits for ever",
			 v->ops->name, err_local(&v->link.why));
	if (v->ops->there)
		v->ops->there(v, false);
}

static void drop_link(struct vhost_dev *v)
{
	if (v->watched)
		loop_del(v->loop, &v->link_lf);
	v->watched = false;
	vhost_link_close(&v->link);
}

void vhost_dev_on_retry(void *opaque)
{
	struct vhost_dev *v = opaque;
	const struct vsock_ask ask = { 0 };

	virtio_lock(v->d);
	if (v->link.state == VHOST_DOWN) {
		if (v->link.fd >= 0) {
			say_gone(v);
			drop_link(v);
		}
		if (v->helper_fd >= 0 && !v->asked)
			v->asked = send(v->helper_fd, &ask, sizeof(ask), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(ask);
		if (v->helper_fd >= 0 && !v->asked)
			loop_timer_arm(&v->retry, clock_mono_ns() + RETRY_NS);
	}
	virtio_unlock(v->d);
}

/* May the guest go on with this one? */
static const char *differs(struct vhost_dev *v)
{
	u64 ring = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_INDIRECT_DESC | 1ull << VIRTIO_F_RING_EVENT_IDX;
	u64 must_have = v->features & (v->ops->features | ring);

	if (must_have & ~v->link.features)
		return N_("it offers less than the one before");
	if (v->link.queues * v->ops->per_queue < v->nrings)
		return N_("it has fewer queues than the one before");
	if (v->ops->same && !v->ops->same(v))
		return N_("its disk is another one");
	return NULL;
}

static void on_link(void *opaque, u32 events)
{
	struct vhost_dev *v = opaque;
	bool greeting = v->link.state == VHOST_GREETING;

	(void)events;
	virtio_lock(v->d);
	if (v->link.state == VHOST_DOWN || vhost_link_read(&v->link) < 0) {
		vhost_dev_gone(v);
	} else if (greeting && v->link.state == VHOST_UP) {
		const char *why = differs(v);
		if (why) {
			log_warn("%s: a back end is there again, but of no use: %s", v->ops->name, _(why));
			drop_link(v);
			loop_timer_arm(&v->retry, clock_mono_ns() + 4 * RETRY_NS);
		} else {
			log_warn("%s: its back end is there again", v->ops->name);
			v->told = false;
			if (v->ops->there)
				v->ops->there(v, true);
			vhost_dev_start(v);
		}
	}
	if (v->link.state == VHOST_DOWN && v->watched) { /* its end is told once */
		loop_del(v->loop, &v->link_lf);
		v->watched = false;
	}
	virtio_unlock(v->d);
}

int vhost_dev_watch_link(struct vhost_dev *v)
{
	int r = loop_add(v->loop, &v->link_lf, v->link.fd, EPOLLIN, on_link, v);

	v->watched = r == 0;
	return r;
}

static void connected(struct vhost_dev *v, const struct vsock_answer *a, int fd)
{
	v->asked = false;
	if (fd < 0 || a->error || v->link.state != VHOST_DOWN || v->link.fd >= 0) {
		if (fd >= 0)
			close(fd);
		loop_timer_arm(&v->retry, clock_mono_ns() + RETRY_NS);
		return;
	}
	vhost_link_begin(&v->link, fd, v->ops->config_bytes);
	if (vhost_dev_watch_link(v) < 0 || v->link.state == VHOST_DOWN) {
		drop_link(v);
		loop_timer_arm(&v->retry, clock_mono_ns() + RETRY_NS);
	}
}

void vhost_dev_on_helper(void *opaque, u32 events)
{
	struct vhost_dev *v = opaque;
	struct vsock_answer a;
	int fd;

	(void)events;
	virtio_lock(v->d);
	int r = vsock_answer_read(v->helper_fd, &a, &fd);
	if (r > 0) {
		connected(v, &a, fd);
	} else if (r < 0) {
		log_warn("%s: mica-vsock has ended: a back end that dies cannot be found again", v->ops->name);
		loop_del(v->loop, &v->helper_lf);
		v->helper_watched = false;
		close(steal_fd(&v->helper_fd));
	}
	virtio_unlock(v->d);
}
