/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_pci.c - virtio over PCI (VIRTIO 1.1, 4.1), MSI-X with a vector a queue.
 *
 * Theory: BAR 0 holds the four register blocks, a page each; BAR 1 the MSI-X table. Vendor
 * capabilities point at the blocks; one more, VIRTIO_PCI_CAP_PCI_CFG, lets firmware reach them
 * through configuration space alone.
 *
 *   BAR 0   0x0000 common configuration    0x1000 ISR
 *           0x2000 device configuration    0x3000 notifications, 4 bytes a queue
 *
 * A transitional function has the legacy interface in BAR 0 (virtio_legacy.c), and those blocks in BAR 2.
 *
 * What the fields of the common configuration do is in virtio_pci_common.c.
 *
 * Threads: registers are accessed from vCPU threads (and, where the kernel rings for them, the loop's) with no lock
 * held; each access takes the device's lock. Lock order: virtio_dev.lock, then pci_dev.msix_lock and what lies below.
 */
#include "base/state.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_pci_int.h"
#include "machine/option_rom.h"

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

u8 virtio_pci_isr_read(struct virtio_pci *v)
{
	u8 isr = v->isr;

	v->isr = 0;
	if (isr)
		pci_intx(&v->pci, false);
	return isr;
}

/* ---- the register blocks ---- */

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	struct virtio_pci *v = dev;
	struct virtio_dev *d = v->vdev;
	u64 in = off % BLOCK_BYTES, val = 0;

	virtio_lock_vcpu(d);
	switch (off - in) {
	case OFF_COMMON:
		val = virtio_pci_common_read(v, in, bytes);
		break;
	case OFF_ISR:
		if (in == 0)
			val = virtio_pci_isr_read(v);
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
		virtio_pci_common_write(v, in, bytes, val);
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

/* What the PCI_CFG capability asks for (4.1.4.7): false when it is not a sound access to those blocks. */
static bool pci_cfg_window(const struct virtio_pci *v, u64 *off, unsigned *bytes)
{
	const u8 *c = v->pci.cfg + v->pci_cfg_cap;

	*off = ld_le32(c + 8);
	*bytes = ld_le32(c + 12);
	return c[4] == v->bar && (*bytes == 1 || *bytes == 2 || *bytes == 4) && *off % *bytes == 0 && *off < BAR_BYTES;
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

/* ---- life ---- */

static struct virtio_pci *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct virtio_pci, pci);
}

static void life_reset(struct device *dev)
{
	struct virtio_pci *v = of(dev);

	virtio_lock(v->vdev);
	virtio_pci_status_write(v, 0);
	virtio_unlock(v->vdev);
}

static bool life_quiesce(struct device *dev)
{
	return virtio_quiesce(of(dev)->vdev);
}

static void life_resume(struct device *dev)
{
	virtio_resume(of(dev)->vdev);
}

static int life_state(struct device *dev, struct state_file *s, struct err *e)
{
	struct virtio_pci *v = of(dev);
	int r = 0;

	if (v->vdev->transitional) {
		r = state_section(s, "virtio-legacy", v->pci.devfn, 1, e);
		if (r < 0)
			return r;
		state_bool(s, &v->vdev->legacy);
		r = state_end(s, e);
	}
	if (r == 0)
		r = state_section(s, "virtio", v->pci.devfn, 1, e);

	if (r < 0)
		return r;
	virtio_lock(v->vdev);
	state_u32(s, &v->dev_feat_sel);
	state_u32(s, &v->drv_feat_sel);
	state_u16(s, &v->msix_config);
	state_u16(s, &v->q_sel);
	state_u8(s, &v->isr);
	virtio_state(v->vdev, s);
	if (v->vdev->legacy)
		v->vdev->features &= virtio_legacy_features(v->vdev);
	virtio_unlock(v->vdev);
	return state_end(s, e);
}

static void life_free(struct device *dev)
{
	struct virtio_pci *v = of(dev);

	virtio_free(v->vdev); /* first: its interrupts end */
	pci_dev_fini(&v->pci);
	free(v);
}

static const struct pci_dev_ops pci_ops = {
	.life = {
		.reset = life_reset,
		.quiesce = life_quiesce,
		.resume = life_resume,
		.state = life_state,
		.free = life_free,
	},
	.cfg_written = cfg_written,
	.cfg_reading = cfg_reading,
};

/* ---- putting it on the bus ---- */

static unsigned add_vcap(struct virtio_pci *v, u8 type, u32 off, u32 len, unsigned extra)
{
	unsigned at = pci_add_cap(&v->pci, PCI_CAP_VENDOR, 16 + extra);
	u8 *c = v->pci.cfg + at;

	c[2] = (u8)(16 + extra);
	c[3] = type;
	c[4] = (u8)v->bar;
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
	case VIRTIO_ID_SCSI:
		return 0x010000;
	case VIRTIO_ID_CONSOLE:
		return 0x078000;
	case VIRTIO_ID_GPU:
		return 0x038000;
	case VIRTIO_ID_INPUT:
		return 0x098000;
	default:
		return 0x00ff00;
	}
}

/* A power of two; PCI allows 256 (3.0, 6.2.5.1). */
static u64 legacy_bytes(const struct virtio_dev *d)
{
	u64 n = 32;

	while (n < VIRTIO_LEGACY_BYTES + d->cls->cfg_bytes)
		n *= 2;
	return n;
}

int virtio_pci_add(struct pci_bus *bus, struct virtio_dev *d, int slot, struct device **out, struct err *e)
{
	struct virtio_pci *v = xcalloc(1, sizeof(*v));

	must(d->nqueues < BLOCK_BYTES / NOTIFY_MULT && (!d->transitional || virtio_legacy_id(d->cls->id)));
	v->vdev = d;
	v->vectors = MIN(d->nqueues + 1, PCI_MSIX_MAX);
	v->msix_config = VIRTIO_NO_VECTOR;
	/* 4.1.2.1: a transitional function's revision is 0, and its subsystem says what it is. */
	u16 modern = (u16)(PCI_DEVICE_MODERN + d->cls->id);
	pci_dev_init(&v->pci, &pci_ops, d->cls->name, PCI_VENDOR_VIRTIO,
		     d->transitional ? virtio_legacy_id(d->cls->id) : modern,
		     class_of(d->cls->id) << 8 | !d->transitional);
	st_le16(v->pci.cfg + 0x2c, PCI_VENDOR_VIRTIO);
	st_le16(v->pci.cfg + 0x2e, d->transitional ? d->cls->id : modern);
	v->pci.cfg[0x3d] = 1; /* INTA */
	if (d->transitional) {
		v->bar = 2;
		pci_add_io_bar(&v->pci, 0, legacy_bytes(d), &virtio_legacy_ops, v);
	}
	pci_add_bar(&v->pci, v->bar, BAR_BYTES, false, &bar_ops, v);
	pci_add_doorbells(&v->pci, v->bar, OFF_NOTIFY, NOTIFY_MULT, d->nqueues);
	/* The selectors; what they select is only seen through other fields. */
	static const struct io_latch selects[] = { { .off = 0, .bytes = 4 },
						   { .off = 8, .bytes = 4 },
						   { .off = 22, .bytes = 2 } };
	for (unsigned i = 0; i < ARRAY_LEN(selects); i++) {
		v->selects[i] = selects[i];
		pci_add_latch(&v->pci, v->bar, &v->selects[i]);
	}
	pci_add_msix(&v->pci, 1, v->vectors);
	add_vcap(v, VCAP_COMMON, OFF_COMMON, VIRTIO_PCI_COMMON_BYTES, 0);
	add_vcap(v, VCAP_ISR, OFF_ISR, 1, 0);
	if (d->cls->cfg_bytes)
		add_vcap(v, VCAP_DEVICE, OFF_DEVICE, d->cls->cfg_bytes, 0);
	unsigned at = add_vcap(v, VCAP_NOTIFY, OFF_NOTIFY, d->nqueues * NOTIFY_MULT, 4);
	st_le32(v->pci.cfg + at + 16, NOTIFY_MULT);
	v->pci_cfg_cap = add_vcap(v, VCAP_PCI_CFG, 0, 0, 4);
	v->pci.wmask[v->pci_cfg_cap + 4] = 0xff;
	memset(v->pci.wmask + v->pci_cfg_cap + 8, 0xff, 12);

	int rc = d->rom.room ? option_rom_add(&v->pci, d->ram, d->rom.image, d->rom.bytes, d->rom.room, e) : 0;
	if (rc < 0) {
		life_free(&v->pci.dev);
		return rc;
	}

	virtio_lock(d);
	d->transport = v;
	d->irq_queue = irq_queue;
	d->irq_config = irq_config;
	virtio_unlock(d);

	rc = pci_register(bus, &v->pci, slot);
	if (rc < 0) {
		const char *name = d->cls->name;
		life_free(&v->pci.dev);
		return err_sys(e, -rc, "cannot put %s on the PCI bus (slot %d)", name, slot);
	}
	if (out)
		*out = &v->pci.dev;
	return 0;
}

struct virtio_dev *virtio_pci_dev(struct device *d)
{
	must(d->ops == &pci_ops.life);
	return of(d)->vdev;
}
