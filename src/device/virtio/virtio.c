/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio.c - virtio core: device status and features (VIRTIO 1.1, 2.1, 2.2), a device's life. Queues are in
 * virtio_queue.c, locks and visits in virtio_visit.c.
 *
 * A rule broken by the driver ends in virtio_broken(): DEVICE_NEEDS_RESET, after which all queues are
 * seen empty until the driver resets the device.
 */
#include "base/i18n.h"
#include "base/log.h"
#include "base/state.h"
#include "device/virtio/virtio_int.h"
#include "device/virtio/virtio_transport.h"

void virtio_broken(struct virtio_dev *d, const char *why)
{
	if (d->status & VIRTIO_S_NEEDS_RESET)
		return;
	log_guest("%s: the driver broke a rule: %s; the device waits for a reset", d->cls->name, _(why));
	d->status |= VIRTIO_S_NEEDS_RESET;
	/* 2.1.2: a configuration change notification once DRIVER_OK is set */
	if ((d->status & VIRTIO_S_DRIVER_OK) && d->irq_config)
		d->irq_config(d);
}

void virtio_config_changed(struct virtio_dev *d)
{
	d->cfg_generation++;
	if ((d->status & VIRTIO_S_DRIVER_OK) && d->irq_config)
		d->irq_config(d);
}

void virtio_set_status(struct virtio_dev *d, u8 status)
{
	u8 old = d->status;

	if (!status) {
		virtio_reset(d);
		return;
	}
	/* NEEDS_RESET is ours to set; a driver may only add bits. */
	status = (u8)(old | (status & ~VIRTIO_S_NEEDS_RESET));
	/* 3.1.2: the legacy interface has no FEATURES_OK. */
	if (d->legacy)
		status &= (u8)~VIRTIO_S_FEATURES_OK;
	if ((status & ~old) & VIRTIO_S_FEATURES_OK) {
		/* 2.2.2: refuse what was not offered; 6.1: modern drivers only */
		if ((d->features & ~d->features_offered) || !virtio_has(d, VIRTIO_F_VERSION_1))
			status &= (u8)~VIRTIO_S_FEATURES_OK;
	}
	if (((status & ~old) & VIRTIO_S_DRIVER_OK) && !d->legacy && !(status & VIRTIO_S_FEATURES_OK)) {
		virtio_broken(d, N_("DRIVER_OK before FEATURES_OK"));
		return;
	}
	d->status = status;
	if (((status & ~old) & VIRTIO_S_DRIVER_OK) && d->cls->driver_ok)
		d->cls->driver_ok(d);
}

void virtio_reset(struct virtio_dev *d)
{
	d->resetting++;
	if (d->cls->reset)
		d->cls->reset(d);
	d->resetting--;
	d->status = 0;
	d->legacy = false;
	d->features = 0;
	d->again = 0;
	for (unsigned q = 0; q < d->nqueues; q++)
		d->queue[q] = (struct virtio_queue){ .size = VIRTIO_QUEUE_MAX, .vector = VIRTIO_NO_VECTOR };
}

bool virtio_quiesce(struct virtio_dev *d)
{
	virtio_lock(d);
	d->frozen = true;
	bool quiet = !d->cls->quiesce || d->cls->quiesce(d);
	virtio_unlock(d);
	return quiet;
}

void virtio_resume(struct virtio_dev *d)
{
	virtio_lock(d);
	d->frozen = false;
	/* From the loop, as any other work of that size. */
	for (unsigned q = 0; q < d->nqueues; q++) {
		if (d->loop)
			virtio_again(d, q);
		else
			virtio_notify(d, q);
	}
	virtio_unlock(d);
}

/* ---- saved state ---- */

static void queue_fields(struct virtio_queue *vq, struct state_file *s)
{
	state_u16(s, &vq->size);
	state_bool(s, &vq->ready);
	state_u64(s, &vq->desc);
	state_u64(s, &vq->avail);
	state_u64(s, &vq->used);
	state_u16(s, &vq->vector);
	state_u16(s, &vq->last_avail);
	state_u16(s, &vq->used_idx);
	state_u16(s, &vq->signalled_used);
	state_bool(s, &vq->signalled_valid);
	state_bool(s, &vq->notify_off);
}

void virtio_state(struct virtio_dev *d, struct state_file *s)
{
	state_same(s, d->cls->id, "another virtio device");
	state_same(s, d->nqueues, "another number of queues");
	state_u8(s, &d->status);
	state_u64(s, &d->features);
	state_u32(s, &d->cfg_generation);
	/* The rings are checked at each use. */
	for (unsigned q = 0; q < d->nqueues; q++)
		queue_fields(&d->queue[q], s);
	if (d->cls->state)
		d->cls->state(d, s);
	if (state_loading(s) && (d->status & VIRTIO_S_FEATURES_OK) && (d->features & ~d->features_offered))
		state_bad(s, "the guest uses a feature that this device does not offer");
}

/* ---- beginning and end ---- */

struct virtio_dev *virtio_new(const struct virtio_class *cls, struct ram *ram, struct loop *loop, unsigned nqueues,
			      void *impl)
{
	struct virtio_dev *d = xcalloc(1, sizeof(*d));

	must(nqueues > 0 && nqueues <= 64);
	d->cls = cls;
	d->ram = ram;
	d->impl = impl;
	d->nqueues = nqueues;
	d->queue = xcalloc(nqueues, sizeof(*d->queue));
	for (unsigned q = 0; q < nqueues; q++)
		d->queue[q] = (struct virtio_queue){ .size = VIRTIO_QUEUE_MAX, .vector = VIRTIO_NO_VECTOR };
	d->features_offered = cls->features | 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_INDIRECT_DESC |
			      1ull << VIRTIO_F_RING_EVENT_IDX | 1ull << VIRTIO_F_RING_PACKED;
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->turnstile, NULL);
	d->loop = loop;
	if (loop)
		loop_timer_init(loop, &d->again_timer, virtio_on_again, d);
	virtio_begin_visit(d);
	return d;
}

void virtio_free(struct virtio_dev *d)
{
	if (!d)
		return;
	loop_timer_fini(&d->again_timer);
	d->loop = NULL;
	if (d->cls->free)
		d->cls->free(d);
	pthread_mutex_destroy(&d->turnstile);
	pthread_mutex_destroy(&d->lock);
	free(d->queue);
	free(d);
}
