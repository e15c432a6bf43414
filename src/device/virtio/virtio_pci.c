/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_pci.c - virtio over PCI, modern only (VIRTIO 1.1, 4.1), MSI-X with a vector a queue.
 *
 * Theory: BAR 0 holds the four register blocks, a page each; BAR 1 the MSI-X table. Vendor
 * capabilities point at the blocks; one more, VIRTIO_PCI_CAP_PCI_CFG, lets firmware reach them
 * through configuration space alone.
 *
 *   BAR 0   0x0000 common configuration    0x1000 ISR
 *           0x2000 device configuration    0x3000 notifications, 4 bytes a queue
 *
 * Access widths (4.1.3.1): a driver uses each common field's own width, 64-bit fields as two halves.
 * Reads of any width are answered from the bytes of the fields they cover (reading has no side
 * effect); writes of any other width are dropped.
 *
 * Threads: registers are accessed from vCPU threads (and, where the kernel rings for them, the loop's) with no lock
 * held; each access takes the device's lock. Lock order: virtio_dev.lock, then pci_dev.msix_lock and what lies below.
 */
#include "base/log.h"
#include "base/state.h"
#include "device/virtio/virtio.h"
#include "machine/pci.h"

#include <assert.h>

#define PCI_VENDOR_VIRTIO 0x1af4
#define PCI_DEVICE_MODERN 0x1040 /* + virtio device id (4.1.2) */
#define PCI_CAP_VENDOR 0x09

#define VCAP_COMMON 1
#define VCAP_NOTIFY 2
#define VCAP_ISR 3
#define VCAP_DEVICE 4
#define VCAP_PCI_CFG 5

#define BLOCK_BYTES 0x1000u
#define OFF_COMMON 0x0000u
#define OFF_ISR 0x1000u
#define OFF_DEVICE 0x2000u
#define OFF_NOTIFY 0x3000u
#define BAR_BYTES 0x4000u
#define NOTIFY_MULT 4u

#define ISR_QUEUE 1
#define ISR_CONFIG 2

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
#define COMMON_BYTES 0x38u

struct virtio_pci {
	struct pci_dev pci;
	struct virtio_dev *vdev; /* owned */
	struct pci_bus *on;
	struct virtio_pci *next; /* in `all` */
	unsigned pci_cfg_cap;
	unsigned vectors;
	struct io_latch selects[3];

	/* under vdev->lock */
	u32 dev_feat_sel, drv_feat_sel;
	u16 msix_config, q_sel;
	u8 isr;
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct virtio_pci *all;

/* ---- interrupts ---- */

static void raise_irq(struct virtio_pci *v, u16 vector, u8 isr)
{
	if (pci_msix_enabled(&v->pci)) {
		if (vector != VIRTIO_NO_VECTOR)
			pci_msix_send(&v->pci, vector);
		return;
	}
	v->isr |= isr;
	pci_intx(&v->pci, true);
}

static void irq_queue(struct virtio_dev *d, unsigned q)
{
	raise_irq(d->transport, d->queue[q].vector, ISR_QUEUE);
}

static void irq_config(struct virtio_dev *d)
{
	struct virtio_pci *v = d->transport;
	raise_irq(v, v->msix_config, ISR_CONFIG);
}

/* ---- common configuration ---- */

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

/* 4.1.5.1.2.1: a vector that cannot be mapped reads back as NO_VECTOR */
static u16 vector_for(const struct virtio_pci *v, u32 val)
{
	return (u16)(val < v->vectors ? val : VIRTIO_NO_VECTOR);
}

static void set_half(u64 *reg, bool high, u32 val)
{
	*reg = high ? (*reg & 0xffffffffu) | (u64)val << 32 : (*reg & ~(u64)0xffffffffu) | val;
}

static void status_write(struct virtio_pci *v, u8 status)
{
	virtio_set_status(v->vdev, status);
	if (status)
		return;
	v->dev_feat_sel = v->drv_feat_sel = 0;
	v->msix_config = VIRTIO_NO_VECTOR;
	v->q_sel = 0;
	if (v->isr) {
		v->isr = 0;
		pci_intx(&v->pci, false);
	}
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
		v->msix_config = vector_for(v, val);
		return;
	case F_STATUS:
		status_write(v, (u8)val);
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
		vq->vector = vector_for(v, val);
		return;
	}
	if (vq->ready) /* the rest is fixed once the queue runs */
		return;
	switch (f) {
	case F_Q_SIZE:
		if (val && val <= VIRTIO_QUEUE_MAX && !(val & (val - 1)))
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

static u64 common_read(struct virtio_pci *v, u64 off, unsigned bytes)
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

static void common_write(struct virtio_pci *v, u64 off, unsigned bytes, u64 val)
{
	if (bytes == 8 && off >= 0x20) { /* both halves of a queue address */
		common_write(v, off, 4, (u32)val);
		common_write(v, off + 4, 4, val >> 32);
		return;
	}
	for (unsigned f = 0; f < F_COUNT; f++)
		if (fields[f].off == off && fields[f].bytes == bytes) {
			field_write(v, f, (u32)val);
			return;
		}
	log_guest("%s: %u-byte write at common configuration %#llx dropped", v->pci.name, bytes,
		  (unsigned long long)off);
}

/* ---- BAR 0 ---- */

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	struct virtio_pci *v = dev;
	struct virtio_dev *d = v->vdev;
	u64 in = off % BLOCK_BYTES, val = 0;

	virtio_lock_vcpu(d);
	switch (off - in) {
	case OFF_COMMON:
		val = common_read(v, in, bytes);
		break;
	case OFF_ISR:
		if (in == 0) { /* 4.1.4.5: reading clears and lowers the wire */
			val = v->isr;
			if (v->isr) {
				v->isr = 0;
				pci_intx(&v->pci, false);
			}
		}
		break;
	case OFF_DEVICE:
		if (in < d->cls->cfg_bytes && d->cls->cfg_read) {
			u8 buf[8] = { 0 };
			d->cls->cfg_read(d, (unsigned)in, buf, (unsigned)MIN(bytes, d->cls->cfg_bytes - in));
			val = ld_le64(buf);
		}
		break;
	default:
		break;
	}
	virtio_unlock(d);
	return bytes < 8 ? val & ((1ull << (8 * bytes)) - 1) : val;
}

static void bar_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct virtio_pci *v = dev;
	struct virtio_dev *d = v->vdev;
	u64 in = off % BLOCK_BYTES;

	virtio_lock_vcpu(d);
	switch (off - in) {
	case OFF_COMMON:
		common_write(v, in, bytes, val);
		break;
	case OFF_DEVICE:
		if (in + bytes <= d->cls->cfg_bytes && d->cls->cfg_write) {
			u8 buf[8];
			st_le64(buf, val);
			d->cls->cfg_write(d, (unsigned)in, buf, bytes);
		}
		break;
	case OFF_NOTIFY: /* the place says which queue; the value repeats it */
		if (in % NOTIFY_MULT == 0 && in / NOTIFY_MULT < d->nqueues)
			virtio_notify(d, (unsigned)(in / NOTIFY_MULT));
		break;
	default: /* the ISR is read-only */
		break;
	}
	virtio_unlock(d);
}

static const struct io_ops bar_ops = { bar_read, bar_write };

/* ---- configuration space ---- */

/* What the PCI_CFG capability asks for (4.1.4.7): false when it is not a sound access to BAR 0. */
static bool pci_cfg_window(const struct virtio_pci *v, u64 *off, unsigned *bytes)
{
	const u8 *c = v->pci.cfg + v->pci_cfg_cap;

	*off = ld_le32(c + 8);
	*bytes = ld_le32(c + 12);
	return c[4] == 0 && (*bytes == 1 || *bytes == 2 || *bytes == 4) && *off % *bytes == 0 && *off < BAR_BYTES;
}

static bool covers_data(const struct virtio_pci *v, unsigned off, unsigned bytes)
{
	unsigned data = v->pci_cfg_cap + 16;
	return off < data + 4 && off + bytes > data;
}

static void cfg_reading(struct pci_dev *p, unsigned off, unsigned bytes)
{
	struct virtio_pci *v = container_of(p, struct virtio_pci, pci);
	u64 at;
	unsigned n;

	if (covers_data(v, off, bytes) && pci_cfg_window(v, &at, &n))
		st_le32(p->cfg + v->pci_cfg_cap + 16, (u32)bar_read(v, at, n));
}

static void cfg_written(struct pci_dev *p, unsigned off, unsigned bytes)
{
	struct virtio_pci *v = container_of(p, struct virtio_pci, pci);
	u64 at;
	unsigned n;

	if (covers_data(v, off, bytes) && pci_cfg_window(v, &at, &n)) {
		u32 val = ld_le32(p->cfg + v->pci_cfg_cap + 16);
		bar_write(v, at, n, n < 4 ? val & ((1u << (8 * n)) - 1) : val);
	}
}

static const struct pci_dev_ops pci_ops = { .cfg_written = cfg_written, .cfg_reading = cfg_reading };

static unsigned add_vcap(struct virtio_pci *v, u8 type, u32 off, u32 len, unsigned extra)
{
	unsigned at = pci_add_cap(&v->pci, PCI_CAP_VENDOR, 16 + extra);
	u8 *c = v->pci.cfg + at;

	c[2] = (u8)(16 + extra);
	c[3] = type;
	c[4] = 0; /* BAR */
	st_le32(c + 8, off);
	st_le32(c + 12, len);
	return at;
}

static u32 class_of(u16 id)
{
	switch (id) {
	case VIRTIO_ID_NET:
		return 0x020000;
	case VIRTIO_ID_BLOCK:
		return 0x010000;
	case VIRTIO_ID_CONSOLE:
		return 0x078000;
	default:
		return 0x00ff00;
	}
}

int virtio_pci_add(struct pci_bus *bus, struct virtio_dev *d, int slot, struct err *e)
{
	struct virtio_pci *v = xcalloc(1, sizeof(*v));

	must(d->nqueues < BLOCK_BYTES / NOTIFY_MULT);
	v->vdev = d;
	v->on = bus;
	v->vectors = MIN(d->nqueues + 1, PCI_MSIX_MAX);
	v->msix_config = VIRTIO_NO_VECTOR;
	pci_dev_init(&v->pci, &pci_ops, d->cls->name, PCI_VENDOR_VIRTIO, (u16)(PCI_DEVICE_MODERN + d->cls->id),
		     class_of(d->cls->id) << 8 | 1);
	st_le16(v->pci.cfg + 0x2c, PCI_VENDOR_VIRTIO);
	st_le16(v->pci.cfg + 0x2e, (u16)(PCI_DEVICE_MODERN + d->cls->id));
	v->pci.cfg[0x3d] = 1; /* INTA */
	pci_add_bar(&v->pci, 0, BAR_BYTES, false, &bar_ops, v);
	pci_add_doorbells(&v->pci, 0, OFF_NOTIFY, NOTIFY_MULT, d->nqueues);
	/* The selectors; what they select is only seen through other fields. */
	static const struct io_latch selects[] = { { .off = 0, .bytes = 4 },
						   { .off = 8, .bytes = 4 },
						   { .off = 22, .bytes = 2 } };
	for (unsigned i = 0; i < ARRAY_LEN(selects); i++) {
		v->selects[i] = selects[i];
		pci_add_latch(&v->pci, 0, &v->selects[i]);
	}
	pci_add_msix(&v->pci, 1, v->vectors);
	add_vcap(v, VCAP_COMMON, OFF_COMMON, COMMON_BYTES, 0);
	add_vcap(v, VCAP_ISR, OFF_ISR, 1, 0);
	if (d->cls->cfg_bytes)
		add_vcap(v, VCAP_DEVICE, OFF_DEVICE, d->cls->cfg_bytes, 0);
	unsigned at = add_vcap(v, VCAP_NOTIFY, OFF_NOTIFY, d->nqueues * NOTIFY_MULT, 4);
	st_le32(v->pci.cfg + at + 16, NOTIFY_MULT);
	v->pci_cfg_cap = add_vcap(v, VCAP_PCI_CFG, 0, 0, 4);
	v->pci.wmask[v->pci_cfg_cap + 4] = 0xff;
	memset(v->pci.wmask + v->pci_cfg_cap + 8, 0xff, 12);

	virtio_lock(d);
	d->transport = v;
	d->irq_queue = irq_queue;
	d->irq_config = irq_config;
	virtio_unlock(d);

	int rc = pci_register(bus, &v->pci, slot);
	if (rc < 0) {
		const char *name = d->cls->name;
		pci_dev_fini(&v->pci);
		virtio_free(d);
		free(v);
		return err_sys(e, -rc, "cannot put %s on the PCI bus (slot %d)", name, slot);
	}
	pthread_mutex_lock(&all_lock);
	v->next = all;
	all = v;
	pthread_mutex_unlock(&all_lock);
	return 0;
}

void virtio_pci_free_all(struct pci_bus *bus)
{
	pthread_mutex_lock(&all_lock);
	for (struct virtio_pci **p = &all; *p;) {
		struct virtio_pci *v = *p;
		if (v->on != bus) {
			p = &v->next;
			continue;
		}
		*p = v->next;
		virtio_free(v->vdev); /* first: its interrupts end */
		pci_dev_fini(&v->pci);
		free(v);
	}
	pthread_mutex_unlock(&all_lock);
}

void virtio_pci_reset_all(struct pci_bus *bus)
{
	pthread_mutex_lock(&all_lock);
	for (struct virtio_pci *v = all; v; v = v->next)
		if (v->on == bus) {
			virtio_lock(v->vdev);
			status_write(v, 0);
			virtio_unlock(v->vdev);
		}
	pthread_mutex_unlock(&all_lock);
}

/* ---- saved state ---- */

/* The next function in slot order; all_lock held. */
static struct virtio_pci *next_on(struct pci_bus *bus, int after)
{
	struct virtio_pci *best = NULL;

	for (struct virtio_pci *v = all; v; v = v->next)
		if (v->on == bus && v->pci.devfn > after && (!best || v->pci.devfn < best->pci.devfn))
			best = v;
	return best;
}

bool virtio_pci_busy(struct pci_bus *bus)
{
	bool busy = false;

	pthread_mutex_lock(&all_lock);
	for (struct virtio_pci *v = all; v; v = v->next)
		if (v->on == bus && v->vdev->cls->busy) {
			virtio_lock(v->vdev);
			busy |= v->vdev->cls->busy(v->vdev);
			virtio_unlock(v->vdev);
		}
	pthread_mutex_unlock(&all_lock);
	return busy;
}

void virtio_pci_freeze_all(struct pci_bus *bus, bool on)
{
	pthread_mutex_lock(&all_lock);
	for (struct virtio_pci *v = all; v; v = v->next)
		if (v->on == bus) {
			virtio_lock(v->vdev);
			v->vdev->frozen = on;
			/* From the loop, as any other work of that size. */
			for (unsigned q = 0; q < v->vdev->nqueues && !on; q++)
				virtio_again(v->vdev, q);
			virtio_unlock(v->vdev);
		}
	pthread_mutex_unlock(&all_lock);
}

void virtio_pci_quiesce_all(struct pci_bus *bus)
{
	pthread_mutex_lock(&all_lock);
	for (struct virtio_pci *v = all; v; v = v->next)
		if (v->on == bus && v->vdev->cls->quiesce)
			v->vdev->cls->quiesce(v->vdev);
	pthread_mutex_unlock(&all_lock);
}

static int state_one(struct virtio_pci *v, struct state_file *s, struct err *e)
{
	int r = state_section(s, "virtio", v->pci.devfn, 1, e);

	if (r < 0)
		return r;
	virtio_lock(v->vdev);
	state_u32(s, &v->dev_feat_sel);
	state_u32(s, &v->drv_feat_sel);
	state_u16(s, &v->msix_config);
	state_u16(s, &v->q_sel);
	state_u8(s, &v->isr);
	virtio_state(v->vdev, s);
	virtio_unlock(v->vdev);
	return state_end(s, e);
}

int virtio_pci_state_all(struct pci_bus *bus, struct state_file *s, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&all_lock);
	for (struct virtio_pci *v = next_on(bus, -1); v && r == 0; v = next_on(bus, v->pci.devfn))
		r = state_one(v, s, e);
	pthread_mutex_unlock(&all_lock);
	return r;
}

void virtio_pci_resume_all(struct pci_bus *bus)
{
	pthread_mutex_lock(&all_lock);
	for (struct virtio_pci *v = all; v; v = v->next) {
		if (v->on != bus)
			continue;
		virtio_lock(v->vdev);
		for (unsigned q = 0; q < v->vdev->nqueues; q++)
			virtio_notify(v->vdev, q);
		virtio_unlock(v->vdev);
	}
	pthread_mutex_unlock(&all_lock);
}
