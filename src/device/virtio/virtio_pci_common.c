/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_pci_common.c - the common configuration structure (VIRTIO 1.1, 4.1.4.3) as a table of fields.
 *
 * Access widths (4.1.3.1): a driver uses each common field's own width, 64-bit fields as two halves.
 * Reads of any width are answered from the bytes of the fields they cover (reading has no side
 * effect); writes of any other width are dropped.
 */
#include "base/log.h"
#include "device/virtio/virtio_pci_int.h"

#include <assert.h>

/* struct virtio_pci_common_cfg (4.1.4.3): offset, width. Ordered by offset. */
enum field {
	F_DEV_FEAT_SEL,
	F_DEV_FEAT,
	F_DRV_FEAT_SEL,
	F_DRV_FEAT,
	F_MSIX_CONFIG,
	F_NUM_QUEUES,
	F_STATUS,
	F_GENERATION,
	F_Q_SEL,
	F_Q_SIZE,
	F_Q_VECTOR,
	F_Q_ENABLE,
	F_Q_NOTIFY_OFF,
	F_Q_DESC_LO,
	F_Q_DESC_HI,
	F_Q_AVAIL_LO,
	F_Q_AVAIL_HI,
	F_Q_USED_LO,
	F_Q_USED_HI,
	F_COUNT,
};
static const struct {
	u8 off, bytes;
} fields[] = {
	[F_DEV_FEAT_SEL] = { 0x00, 4 }, [F_DEV_FEAT] = { 0x04, 4 },    [F_DRV_FEAT_SEL] = { 0x08, 4 },
	[F_DRV_FEAT] = { 0x0c, 4 },     [F_MSIX_CONFIG] = { 0x10, 2 }, [F_NUM_QUEUES] = { 0x12, 2 },
	[F_STATUS] = { 0x14, 1 },       [F_GENERATION] = { 0x15, 1 },  [F_Q_SEL] = { 0x16, 2 },
	[F_Q_SIZE] = { 0x18, 2 },       [F_Q_VECTOR] = { 0x1a, 2 },    [F_Q_ENABLE] = { 0x1c, 2 },
	[F_Q_NOTIFY_OFF] = { 0x1e, 2 }, [F_Q_DESC_LO] = { 0x20, 4 },   [F_Q_DESC_HI] = { 0x24, 4 },
	[F_Q_AVAIL_LO] = { 0x28, 4 },   [F_Q_AVAIL_HI] = { 0x2c, 4 },  [F_Q_USED_LO] = { 0x30, 4 },
	[F_Q_USED_HI] = { 0x34, 4 },
};
static_assert(ARRAY_LEN(fields) == F_COUNT, "every field has its place");

static u32 field_read(struct virtio_pci *v, enum field f)
{
	struct virtio_dev *d = v->vdev;
	const struct virtio_queue *vq = v->q_sel < d->nqueues ? &d->queue[v->q_sel] : NULL;

	switch (f) {
	case F_DEV_FEAT_SEL:
		return v->dev_feat_sel;
	case F_DEV_FEAT:
		return v->dev_feat_sel < 2 ? (u32)(d->features_offered >> (32 * v->dev_feat_sel)) : 0;
	case F_DRV_FEAT_SEL:
		return v->drv_feat_sel;
	case F_DRV_FEAT:
		return v->drv_feat_sel < 2 ? (u32)(d->features >> (32 * v->drv_feat_sel)) : 0;
	case F_MSIX_CONFIG:
		return v->msix_config;
	case F_NUM_QUEUES:
		return d->nqueues;
	case F_STATUS:
		return d->status;
	case F_GENERATION:
		return d->cfg_generation & 0xff;
	case F_Q_SEL:
		return v->q_sel;
	case F_Q_NOTIFY_OFF:
		return vq ? v->q_sel : 0;
	case F_COUNT:
		return 0;
	default:
		break;
	}
	if (!vq) /* 4.1.4.3.1: size 0 says that there is no such queue */
		return f == F_Q_VECTOR ? VIRTIO_NO_VECTOR : 0;
	switch (f) {
	case F_Q_SIZE:
		return vq->size;
	case F_Q_VECTOR:
		return vq->vector;
	case F_Q_ENABLE:
		return vq->ready;
	case F_Q_DESC_LO:
		return (u32)vq->desc;
	case F_Q_DESC_HI:
		return (u32)(vq->desc >> 32);
	case F_Q_AVAIL_LO:
		return (u32)vq->avail;
	case F_Q_AVAIL_HI:
		return (u32)(vq->avail >> 32);
	case F_Q_USED_LO:
		return (u32)vq->used;
	case F_Q_USED_HI:
		return (u32)(vq->used >> 32);
	default:
		return 0;
	}
}

u16 virtio_pci_vector_for(const struct virtio_pci *v, u32 val)
{
	return (u16)(val < v->vectors ? val : VIRTIO_NO_VECTOR);
}

static void set_half(u64 *reg, bool high, u32 val)
{
	*reg = high ? (*reg & 0xffffffffu) | (u64)val << 32 : (*reg & ~(u64)0xffffffffu) | val;
}

void virtio_pci_status_write(struct virtio_pci *v, u8 status)
{
	virtio_set_status(v->vdev, status);
	if (status)
		return;
	v->dev_feat_sel = v->drv_feat_sel = 0;
	v->msix_config = VIRTIO_NO_VECTOR;
	v->q_sel = 0;
	virtio_pci_isr_read(v);
}

static void field_write(struct virtio_pci *v, enum field f, u32 val)
{
	struct virtio_dev *d = v->vdev;
	struct virtio_queue *vq = v->q_sel < d->nqueues ? &d->queue[v->q_sel] : NULL;

	switch (f) {
	case F_DEV_FEAT_SEL:
		v->dev_feat_sel = val;
		return;
	case F_DRV_FEAT_SEL:
		v->drv_feat_sel = val;
		return;
	case F_DRV_FEAT:
		/* 3.1.1: features are fixed once FEATURES_OK is set */
		if (v->drv_feat_sel < 2 && !(d->status & VIRTIO_S_FEATURES_OK))
			set_half(&d->features, v->drv_feat_sel, val);
		return;
	case F_MSIX_CONFIG:
		v->msix_config = virtio_pci_vector_for(v, val);
		return;
	case F_STATUS:
		virtio_pci_status_write(v, (u8)val);
		return;
	case F_Q_SEL:
		v->q_sel = (u16)val;
		return;
	default:
		break;
	}
	if (!vq)
		return;
	if (f == F_Q_VECTOR) {
		vq->vector = virtio_pci_vector_for(v, val);
		return;
	}
	if (vq->ready) /* the rest is fixed once the queue runs */
		return;
	switch (f) {
	case F_Q_SIZE:
		if (virtio_queue_size_ok(d, val))
			vq->size = (u16)val;
		return;
	case F_Q_ENABLE:
		if (val == 1)
			virtio_queue_enable(d, v->q_sel);
		return;
	case F_Q_DESC_LO:
	case F_Q_DESC_HI:
		set_half(&vq->desc, f == F_Q_DESC_HI, val);
		return;
	case F_Q_AVAIL_LO:
	case F_Q_AVAIL_HI:
		set_half(&vq->avail, f == F_Q_AVAIL_HI, val);
		return;
	case F_Q_USED_LO:
	case F_Q_USED_HI:
		set_half(&vq->used, f == F_Q_USED_HI, val);
		return;
	default:
		return;
	}
}

u64 virtio_pci_common_read(struct virtio_pci *v, u64 off, unsigned bytes)
{
	u64 val = 0;

	for (unsigned f = 0; f < F_COUNT; f++) {
		u64 fo = fields[f].off, fn = fields[f].bytes;
		if (fo + fn <= off || fo >= off + bytes)
			continue;
		u64 x = field_read(v, f);
		val |= fo >= off ? x << (8 * (fo - off)) : x >> (8 * (off - fo));
	}
	return val;
}

void virtio_pci_common_write(struct virtio_pci *v, u64 off, unsigned bytes, u64 val)
{
	if (bytes == 8 && off >= 0x20) { /* both halves of a queue address */
		virtio_pci_common_write(v, off, 4, (u32)val);
		virtio_pci_common_write(v, off + 4, 4, val >> 32);
		return;
	}
	for (unsigned f = 0; f < F_COUNT; f++)
		if (fields[f].off == off && fields[f].bytes == bytes) {
			field_write(v, f, (u32)val);
			return;
		}
	log_guest("%s: %u-byte write at common configuration %#llx dropped", v->pci.dev.name, bytes,
		  (unsigned long long)off);
}
