/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_legacy.c - the legacy interface of a transitional PCI function (VIRTIO 1.2, 4.1.4.10 and the sections called
 * "Legacy Interface"): registers in an I/O BAR, for systems and firmware older than VIRTIO 1.0.
 *
 *   BAR 0, I/O   20 bytes of registers, 24 while MSI-X is enabled; the device's configuration behind them
 *
 * What it does not have: features above bit 31, FEATURES_OK, a queue size that the driver chooses, addresses of a
 * ring's parts. A driver writes the number of the page where the ring begins, and its parts follow from that (2.7.2).
 * It may use queues before DRIVER_OK (3.1.2), so virtio_dev.legacy lets them live without.
 *
 * Both interfaces lead to one device: a driver that uses one of them keeps to it until it resets the device.
 */
#include "device/virtio/virtio_pci_int.h"

#define PFN_SHIFT 12
#define F_ANY_LAYOUT 27 /* chains may be cut anywhere (2.7.4.3): ours always may */

enum field { L_FEATURES, L_DRIVER, L_PFN, L_SIZE, L_SELECT, L_NOTIFY, L_STATUS, L_ISR, L_CONFIG_VECTOR, L_VECTOR, L_N };
static const struct {
	u8 off, bytes;
} fields[] = {
	[L_FEATURES] = { 0, 4 },       [L_DRIVER] = { 4, 4 },  [L_PFN] = { 8, 4 },     [L_SIZE] = { 12, 2 },
	[L_SELECT] = { 14, 2 },        [L_NOTIFY] = { 16, 2 }, [L_STATUS] = { 18, 1 }, [L_ISR] = { 19, 1 },
	[L_CONFIG_VECTOR] = { 20, 2 }, [L_VECTOR] = { 22, 2 },
};
_Static_assert(ARRAY_LEN(fields) == L_N, "every field has its place");

u16 virtio_legacy_id(u16 id)
{
	switch (id) { /* 4.1.2 */
	case VIRTIO_ID_NET:
		return 0x1000;
	case VIRTIO_ID_BLOCK:
		return 0x1001;
	case VIRTIO_ID_BALLOON:
		return 0x1002;
	case VIRTIO_ID_CONSOLE:
		return 0x1003;
	case VIRTIO_ID_SCSI:
		return 0x1004;
	case VIRTIO_ID_RNG:
		return 0x1005;
	default:
		return 0;
	}
}

u64 virtio_legacy_features(const struct virtio_dev *d)
{
	return (u32)d->features_offered | 1u << F_ANY_LAYOUT;
}

static unsigned header_bytes(struct virtio_pci *v)
{
	return pci_msix_enabled(&v->pci) ? VIRTIO_LEGACY_BYTES : VIRTIO_LEGACY_BYTES - 4;
}

static u32 field_read(struct virtio_pci *v, enum field f)
{
	const struct virtio_dev *d = v->vdev;
	const struct virtio_queue *vq = v->q_sel < d->nqueues ? &d->queue[v->q_sel] : NULL;

	switch (f) {
	case L_FEATURES:
		return (u32)virtio_legacy_features(d);
	case L_DRIVER:
		return (u32)d->features;
	case L_PFN:
		return vq && vq->ready ? (u32)(vq->desc >> PFN_SHIFT) : 0;
	case L_SIZE: /* 0: there is no such queue */
		return vq ? vq->size : 0;
	case L_SELECT:
		return v->q_sel;
	case L_STATUS:
		return d->status;
	case L_ISR:
		return virtio_pci_isr_read(v);
	case L_CONFIG_VECTOR:
		return v->msix_config;
	case L_VECTOR:
		return vq ? vq->vector : VIRTIO_NO_VECTOR;
	default:
		return 0;
	}
}

/* 2.7.2: descriptors, the available ring right behind, the used ring at the next multiple of a page. 0 stops it. */
static void set_page(struct virtio_dev *d, unsigned q, u32 page)
{
	struct virtio_queue *vq = &d->queue[q];

	if (!page) {
		*vq = (struct virtio_queue){ .size = VIRTIO_QUEUE_MAX, .vector = vq->vector };
		return;
	}
	if (vq->ready)
		return;
	vq->size = VIRTIO_QUEUE_MAX;
	vq->desc = (u64)page << PFN_SHIFT;
	vq->avail = vq->desc + 16ull * vq->size;
	vq->used = ROUND_UP(vq->avail + 6 + 2ull * vq->size, 1ull << PFN_SHIFT);
	virtio_queue_enable(d, q);
}

static void field_write(struct virtio_pci *v, enum field f, u32 val)
{
	struct virtio_dev *d = v->vdev;
	struct virtio_queue *vq = v->q_sel < d->nqueues ? &d->queue[v->q_sel] : NULL;

	switch (f) {
	case L_DRIVER:
		d->legacy = true;
		d->features = val & virtio_legacy_features(d);
		return;
	case L_PFN:
		d->legacy = true;
		if (vq)
			set_page(d, v->q_sel, val);
		return;
	case L_SELECT:
		v->q_sel = (u16)val;
		return;
	case L_NOTIFY:
		virtio_notify(d, val);
		return;
	case L_STATUS:
		d->legacy = val != 0; /* a reset clears it, too */
		virtio_pci_status_write(v, (u8)val);
		return;
	case L_CONFIG_VECTOR:
		v->msix_config = virtio_pci_vector_for(v, val);
		return;
	case L_VECTOR:
		if (vq)
			vq->vector = virtio_pci_vector_for(v, val);
		return;
	default:
		return;
	}
}

/* ---- the BAR ---- */

static u64 legacy_read(void *dev, u64 off, unsigned bytes)
{
	struct virtio_pci *v = dev;
	struct virtio_dev *d = v->vdev;
	u64 head = header_bytes(v), val = 0;

	virtio_lock_vcpu(d);
	if (off >= head) {
		u8 buf[8] = { 0 };
		if (off - head < d->cls->cfg_bytes && d->cls->cfg_read)
			d->cls->cfg_read(d, (unsigned)(off - head), buf,
					 (unsigned)MIN(bytes, d->cls->cfg_bytes - (off - head)));
		val = ld_le64(buf);
	}
	for (unsigned f = 0; off < head && f < L_N; f++)
		if (fields[f].off == off && fields[f].bytes == bytes)
			val = field_read(v, f);
	virtio_unlock(d);
	return val;
}

static void legacy_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct virtio_pci *v = dev;
	struct virtio_dev *d = v->vdev;
	u64 head = header_bytes(v);

	virtio_lock_vcpu(d);
	if (off >= head && off - head + bytes <= d->cls->cfg_bytes && d->cls->cfg_write) {
		u8 buf[8];
		st_le64(buf, val);
		d->cls->cfg_write(d, (unsigned)(off - head), buf, bytes);
	}
	for (unsigned f = 0; off < head && f < L_N; f++)
		if (fields[f].off == off && fields[f].bytes == bytes)
			field_write(v, f, (u32)val);
	virtio_unlock(d);
}

const struct io_ops virtio_legacy_ops = { legacy_read, legacy_write };
