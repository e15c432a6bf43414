/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_blk.c - block device (VIRTIO 1.1, 5.2) on a struct blk.
 *
 * Theory: a notification pops the chains of the queue, as many as a visit allows (virtio.h), and submits them plugged,
 * one system call for all. What completed inside that call is pushed and signalled before the vCPU goes on; the rest
 * completes on the loop's thread, a run at a time under the device's lock (blk_client). The cache is
 * write-back with FLUSH; a driver that did not take FLUSH gets each write flushed (5.2.6.2).
 *
 * What a request is and does is in virtio_blk_req.c.
 */
#include "base/state.h"
#include "device/class.h"
#include "device/virtio/virtio_blk_int.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_transport.h"
#include "machine/machine.h"
#include "machine/pci.h"

#define QUEUES_MAX 32
#define QUEUES_USUAL 4 /* at most */
#define REQ_WORK 30    /* virtio_charge(): of a request, besides its chain; its I/O is the engine's to bound */

/* ---- queues ---- */

static void pop_all(struct vblk *vb, unsigned q)
{
	do {
		virtio_notify_disable(vb->dev, q);
		for (;;) {
			struct req *req = vblk_req_get(vb);
			if (!req) {
				vb->starved = true;
				return;
			}
			if (!virtio_pop(vb->dev, q, &req->ch)) {
				vblk_req_put(vb, req);
				break;
			}
			req->vb = vb;
			req->q = q;
			vblk_req_start(req);
			virtio_charge(vb->dev, REQ_WORK);
		}
	} while (virtio_notify_enable(vb->dev, q));
}

static void signal_all(struct vblk *vb)
{
	while (vb->to_signal) {
		unsigned q = (unsigned)__builtin_ctzll(vb->to_signal);
		vb->to_signal &= vb->to_signal - 1;
		virtio_signal(vb->dev, q);
	}
}

static void vblk_notify(struct virtio_dev *d, unsigned q)
{
	struct vblk *vb = d->impl;

	blk_plug(vb->blk);
	pop_all(vb, q);
	blk_unplug(vb->blk);
	signal_all(vb);
}

static void client_begin(void *opaque)
{
	struct vblk *vb = opaque;
	virtio_lock(vb->dev);
}

static void client_end(void *opaque)
{
	struct vblk *vb = opaque;

	if (vb->starved) {
		vb->starved = false;
		for (unsigned q = 0; q < vb->dev->nqueues; q++)
			pop_all(vb, q);
	}
	signal_all(vb);
	virtio_unlock(vb->dev);
}

/* ---- the device ---- */

static void vblk_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	struct vblk *vb = d->impl;
	memcpy(buf, (const u8 *)&vb->cfg + off, bytes);
}

static void vblk_reset(struct virtio_dev *d)
{
	struct vblk *vb = d->impl;

	vb->epoch++;
	vb->starved = false;
	/* INV-VB-1. Queues are seen empty meanwhile, so nothing new is submitted. */
	virtio_unlock(d);
	blk_cancel(vb->blk);
	virtio_lock(d);
	must(!vb->inflight);
	vb->to_signal = 0;
}

static void vblk_free(struct virtio_dev *d)
{
	struct vblk *vb = d->impl;

	virtio_lock(d);
	virtio_reset(d);
	virtio_unlock(d);
	blk_close(vb->blk);
	unmap_sparse(vb->reqs, vb->nreqs * sizeof(*vb->reqs));
	free(vb);
}

/* What waits for a struct req stays in the ring. */
static bool vblk_quiesce(struct virtio_dev *d)
{
	return !((struct vblk *)d->impl)->inflight;
}

static void vblk_state(struct virtio_dev *d, struct state_file *s)
{
	struct vblk *vb = d->impl;

	state_same(s, vb->cfg.capacity, "a disk has another size now than when the VM was saved");
}

static const struct virtio_class blk_class = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.features = 1ull << F_SEG_MAX | 1ull << F_BLK_SIZE | 1ull << F_FLUSH | 1ull << F_TOPOLOGY | 1ull << F_MQ,
	.cfg_bytes = CONFIG_BYTES,
	.cfg_read = vblk_cfg_read,
	.notify = vblk_notify,
	.reset = vblk_reset,
	.free = vblk_free,
	.quiesce = vblk_quiesce,
	.state = vblk_state,
};

int virtio_blk_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct blk *blk, unsigned nqueues,
		   const char *serial, struct err *e)
{
	if (!nqueues || nqueues > QUEUES_MAX) {
		blk_close(blk);
		return err_set(e, EINVAL, "a virtio disk has 1 to %d queues, not %u", QUEUES_MAX, nqueues);
	}

	struct vblk *vb = xcalloc(1, sizeof(*vb));
	vb->blk = blk;
	vb->nreqs = nqueues * VIRTIO_QUEUE_MAX;
	vb->reqs = xmap_sparse(vb->nreqs * sizeof(*vb->reqs));
	if (serial)
		memcpy(vb->serial, serial, strnlen(serial, sizeof(vb->serial)));
	vb->cfg = (struct blk_config){
		.capacity = blk_bytes(blk) / BLK_SECTOR,
		.seg_max = VIRTIO_CHAIN_MAX - 2,
		.blk_size = BLK_SECTOR,
		.physical_block_exp = 3, /* 4 KiB: what host file systems like */
		.min_io_size = 8,
		.writeback = 1,
		.num_queues = (u16)nqueues,
	};
	vb->dev = virtio_new(&blk_class, ram, loop, nqueues, vb);
	if (blk_readonly(blk)) {
		vb->dev->features_offered |= 1ull << F_RO;
	} else {
		vb->dev->features_offered |= 1ull << F_WRITE_ZEROES;
		vb->cfg.max_write_zeroes_sectors = RANGE_SECTORS;
		vb->cfg.max_write_zeroes_seg = RANGE_MAX;
		vb->cfg.write_zeroes_may_unmap = blk_can_discard(blk);
	}
	if (blk_can_discard(blk)) {
		vb->dev->features_offered |= 1ull << F_DISCARD;
		vb->cfg.max_discard_sectors = RANGE_SECTORS;
		vb->cfg.max_discard_seg = RANGE_MAX;
		vb->cfg.discard_sector_alignment = 8;
	}
	const struct blk_client client = { client_begin, client_end, vb };
	blk_set_client(blk, &client);
	*out = vb->dev;
	return 0;
}

/* ---- the class ---- */

static int new_disk(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	unsigned queues = (unsigned)device_number(a, "queues", MIN(machine_ncpus(m), QUEUES_USUAL));
	struct virtio_dev *d;
	int r = virtio_blk_new(&d, machine_ram(m), machine_loop(m), a->blk, queues, a->serial, e);

	return r < 0 ? r : virtio_add(m, d, a, out, e);
}

static const struct device_param params[] = {
	{ "queues", "N", N_("request queues; default one for each CPU, at most 4"), DEVICE_NUMBER, 1, QUEUES_MAX },
	VIRTIO_PARAM_LEGACY(N_("systems and firmware from before VIRTIO 1.0 can use it, too")),
	{ NULL },
};

static void boot_path(struct device *d, char *path, size_t bytes)
{
	snprintf(path, bytes, "/pci@i0cf8/scsi@%x/disk@0,0", pci_dev_of(d)->devfn >> 3);
}

const struct device_class virtio_blk_device_class = {
	.boot_path = boot_path,
	.name = "virtio-blk",
	.field = "virtio",
	.help = N_("paravirtual disk: /dev/vda"),
	.role = DEVICE_DISK,
	.params = params,
	.new = new_disk,
};
