/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost_user_blk.c - a disk (VIRTIO 1.1, 5.2) that a vhost-user back end serves.
 *
 * The back end understands the requests; here is its configuration space, with what is ours to say: how many queues
 * there are, and how many segments virtio_pop() takes.
 */
#include "base/log.h"
#include "base/state.h"
#include "device/class.h"
#include "device/virtio/vhost_dev.h"
#include "device/virtio/virtio_blk_int.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"
#include "machine/pci.h"

#define F_SIZE_MAX 1
#define F_GEOMETRY 4

#define QUEUES_USUAL 4u

struct vublk {
	struct vhost_dev v;
	u8 cfg[CONFIG_BYTES];
};

static struct vublk *of(struct virtio_dev *d)
{
	return d->impl;
}

static u64 capacity(const u8 *cfg)
{
	return ld_le64(cfg + offsetof(struct blk_config, capacity));
}

static bool same_disk(struct vhost_dev *v)
{
	return capacity(v->link.config) == capacity(container_of(v, struct vublk, v)->cfg);
}

static const struct vhost_ops blk_ops = {
	.name = "vhost-user-blk",
	.config_bytes = CONFIG_BYTES,
	.features = 1ull << F_SIZE_MAX | 1ull << F_SEG_MAX | 1ull << F_GEOMETRY | 1ull << F_RO | 1ull << F_BLK_SIZE |
		    1ull << F_FLUSH | 1ull << F_TOPOLOGY | 1ull << F_MQ | 1ull << F_DISCARD | 1ull << F_WRITE_ZEROES,
	.per_queue = 1,
	.drain = true,
	.same = same_disk,
};

static void blk_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	memcpy(buf, of(d)->cfg + off, bytes);
}

static void blk_driver_ok(struct virtio_dev *d)
{
	vhost_dev_start(&of(d)->v);
}

static void blk_notify(struct virtio_dev *d, unsigned q)
{
	vhost_dev_notify(&of(d)->v, q);
}

static void blk_reset(struct virtio_dev *d)
{
	vhost_dev_reset(&of(d)->v);
}

static bool blk_quiesce(struct virtio_dev *d)
{
	return vhost_dev_quiesce(&of(d)->v);
}

static void blk_state(struct virtio_dev *d, struct state_file *s)
{
	state_same(s, capacity(of(d)->cfg), "a disk has another size now than when the VM was saved");
}

static void blk_free(struct virtio_dev *d)
{
	vhost_dev_fini(&of(d)->v);
	free(of(d));
}

static const struct virtio_class blk_class = {
	.name = "vhost-user-blk",
	.id = VIRTIO_ID_BLOCK,
	.cfg_bytes = CONFIG_BYTES,
	.cfg_read = blk_cfg_read,
	.driver_ok = blk_driver_ok,
	.notify = blk_notify,
	.reset = blk_reset,
	.free = blk_free,
	.quiesce = blk_quiesce,
	.state = blk_state,
};

int vhost_user_blk_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, int fd, int helper_fd,
		       unsigned nqueues, struct err *e)
{
	struct vublk *b = xcalloc(1, sizeof(*b));
	u8 *seg_max = b->cfg + offsetof(struct blk_config, seg_max);
	int r = vhost_dev_init(&b->v, &blk_ops, ram, loop, fd, helper_fd, nqueues, e);

	if (r < 0) {
		vhost_dev_fini(&b->v);
		free(b);
		return r;
	}
	memcpy(b->cfg, b->v.link.config, CONFIG_BYTES);
	st_le16(b->cfg + offsetof(struct blk_config, num_queues), (u16)b->v.nrings);
	/* Two more are the request's head and its status. */
	u32 segs = b->v.features >> F_SEG_MAX & 1 ? ld_le32(seg_max) : 1;
	st_le32(seg_max, MAX(1, MIN(segs, VIRTIO_CHAIN_MAX - 2)));

	struct virtio_dev *d = virtio_new(&blk_class, ram, loop, b->v.nrings, b);
	/* The number of segments is ours to tell in any case. */
	d->features_offered |= (b->v.features & blk_ops.features) | 1ull << F_SEG_MAX;
	if (b->v.nrings > 1)
		d->features_offered |= 1ull << F_MQ;
	d->modern = true;
	b->v.d = d;
	r = vhost_dev_watch(&b->v, e);
	if (r < 0)
		virtio_free(d);
	else
		*out = d;
	return r;
}

/* ---- the class ---- */

static int new_disk(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	unsigned queues = (unsigned)device_number(a, "queues", MIN(machine_ncpus(m), QUEUES_USUAL));
	struct virtio_dev *d;
	int r = vhost_user_blk_new(&d, machine_ram(m), machine_loop(m), a->fd, a->control_fd, queues, e);

	return r < 0 ? r : virtio_add(m, d, a, out, e);
}

static void boot_path(struct device *d, char *path, size_t bytes)
{
	snprintf(path, bytes, "/pci@i0cf8/scsi@%x/disk@0,0", pci_dev_of(d)->devfn >> 3);
}

static const struct device_param params[] = {
	{ "queues", "N", N_("request queues, if the back end has as many; default one for each CPU, at most 4"),
	  DEVICE_NUMBER, 1, VHOST_RINGS_MAX },
	{ NULL },
};

const struct device_class vhost_user_blk_device_class = {
	.boot_path = boot_path,
	.name = "vhost-user-blk",
	.help = N_("disk that another process serves"),
	.role = DEVICE_VHOST_DISK,
	.params = params,
	.new = new_disk,
};
