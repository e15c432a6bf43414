/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nvme.c - an NVMe controller's registers (NVMe 1.4, chapter 3), life, class; see nvme.h.
 *
 * A reset (CC.EN cleared) forgets what is under way; CSTS.RDY stays set until the last of it has ended, so that a
 * driver that waits for it, as it must, gets its memory back. Nothing waits on a vCPU's thread.
 */
#include "device/nvme/nvme.h"
#include "base/state.h"
#include "device/nvme/nvme_int.h"
#include "machine/machine.h"

#define VENDOR 0x1b36
#define DEVICE 0x00fe
#define CLASS_REV (0x010802u << 8 | 1)
#define BAR_BYTES 8192
#define DOORBELLS 0x1000u
#define MSIX_BAR 4

/* 20 * 500 ms for a reset, queues in one piece, of at most so many entries; the NVM command set; pages of 4 KiB */
#define CAP (1ull << 37 | 20ull << 24 | 1u << 16 | (NVME_ENTRIES_MAX - 1))
#define VERSION 0x00010400u
#define CC_EN 1u
#define CC_SHN (3u << 14)
#define CC_WRITABLE 0x00fffff1u
#define CSTS_RDY 1u
#define CSTS_CFS 2u
#define CSTS_SHUT (2u << 2)
#define CSTS_SHUTTING (1u << 2)

/* ---- on and off ---- */

static void enable(struct nvme *n)
{
	unsigned sq = (n->aqa & 0xfff) + 1, cq = (n->aqa >> 16 & 0xfff) + 1;

	/* Command set 0, pages of 4 KiB, queues of two entries and more: else it is a fatal error (3.1.5, 3.1.8). */
	if (n->cc >> 4 & 7 || n->cc >> 7 & 15 || sq < 2 || cq < 2) {
		n->failed = true;
		return;
	}
	nvme_queues_reset(n);
	n->sq[0] = (struct nvme_sq){ .on = true, .size = (u16)sq, .base = n->asq };
	n->cq[0] = (struct nvme_cq){ .on = true, .interrupts = true, .phase = true, .size = (u16)cq, .base = n->acq };
	n->ready = true;
}

static void disable(struct nvme *n)
{
	nvme_queues_reset(n);
	n->ready = n->failed = n->shut = false;
	n->masked = 0;
	memset(n->feature, 0, sizeof(n->feature));
	n->feature[6] = 1; /* the write cache */
}

static void write_cc(struct nvme *n, u32 val)
{
	u32 was = n->cc;

	n->cc = val & CC_WRITABLE;
	if (was & CC_EN && !(val & CC_EN)) {
		u32 keep = n->cc;
		disable(n);
		n->cc = keep;
	}
	if (!(was & CC_EN) && val & CC_EN)
		enable(n);
	n->shut = val & CC_SHN;
}

static u32 csts(const struct nvme *n)
{
	bool leaving = !(n->cc & CC_EN) && n->under_way;

	return (n->ready || leaving ? CSTS_RDY : 0) | (n->failed ? CSTS_CFS : 0) |
	       (!n->shut       ? 0
		: n->under_way ? CSTS_SHUTTING
			       : CSTS_SHUT);
}

/* ---- registers ---- */

static u32 reg_read(const struct nvme *n, unsigned off)
{
	switch (off) {
	case 0x00:
		return (u32)CAP;
	case 0x04:
		return (u32)(CAP >> 32);
	case 0x08:
		return VERSION;
	case 0x0c:
	case 0x10:
		return n->masked;
	case 0x14:
		return n->cc;
	case 0x1c:
		return csts(n);
	case 0x24:
		return n->aqa;
	case 0x28:
		return (u32)n->asq;
	case 0x2c:
		return (u32)(n->asq >> 32);
	case 0x30:
		return (u32)n->acq;
	case 0x34:
		return (u32)(n->acq >> 32);
	default:
		return 0;
	}
}

static void set_low(u64 *v, u32 low)
{
	*v = (*v & ~0xffffffffull) | (low & ~0xfffu);
}

static void set_high(u64 *v, u32 high)
{
	*v = (u32)*v | (u64)high << 32;
}

/* A value beyond the queue's end is ignored (it would be an event, which nobody is sent). */
static void doorbell(struct nvme *n, unsigned i, u32 val)
{
	unsigned q = i / 2;

	if (q >= NVME_QUEUES || !n->ready)
		return;
	if (i % 2 == 0 && n->sq[q].on && val < n->sq[q].size)
		n->sq[q].tail = (u16)val;
	if (i % 2 == 1 && n->cq[q].on && val < n->cq[q].size)
		n->cq[q].head = (u16)val;
}

static void reg_write(struct nvme *n, unsigned off, u32 val)
{
	bool on = n->cc & CC_EN;

	if (off >= DOORBELLS) {
		doorbell(n, (off - DOORBELLS) / 4, val);
		return;
	}
	switch (off) {
	case 0x0c:
		n->masked |= val;
		break;
	case 0x10:
		n->masked &= ~val;
		break;
	case 0x14:
		write_cc(n, val);
		break;
	case 0x24:
		if (!on)
			n->aqa = val & 0x0fff0fff;
		break;
	case 0x28:
		if (!on)
			set_low(&n->asq, val);
		break;
	case 0x2c:
		if (!on)
			set_high(&n->asq, val);
		break;
	case 0x30:
		if (!on)
			set_low(&n->acq, val);
		break;
	case 0x34:
		if (!on)
			set_high(&n->acq, val);
		break;
	default:
		break;
	}
}

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	struct nvme *n = dev;
	u64 v = 0;

	fair_lock(&n->lock);
	for (unsigned i = 0; i < bytes; i++)
		v |= (u64)(reg_read(n, (unsigned)(off + i) & ~3u) >> (8 * ((off + i) & 3)) & 0xff) << 8 * i;
	fair_unlock(&n->lock);
	return v;
}

/* Dwords, and qwords as two (3.1); anything else is lost. */
static void bar_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct nvme *n = dev;

	if ((bytes != 4 && bytes != 8) || off % 4)
		return;
	fair_lock(&n->lock);
	for (unsigned i = 0; i < bytes; i += 4)
		reg_write(n, (unsigned)off + i, (u32)(val >> 8 * i));
	blk_plug(n->blk);
	nvme_run(n);
	blk_unplug(n->blk);
	nvme_settle(n);
	fair_unlock(&n->lock);
}

static const struct io_ops bar_ops = { .read = bar_read, .write = bar_write };

/* ---- the disk's side ---- */

static void client_begin(void *opaque)
{
	fair_lock(&((struct nvme *)opaque)->lock);
}

static void client_end(void *opaque)
{
	struct nvme *n = opaque;

	nvme_run(n);
	nvme_settle(n);
	fair_unlock(&n->lock);
}

/* ---- life ---- */

static struct nvme *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct nvme, pci);
}

/* Waits: what is under way has an end, as nothing else begins. */
static void stop(struct nvme *n)
{
	fair_lock(&n->lock);
	disable(n);
	fair_unlock(&n->lock);
	blk_cancel(n->blk);
	must(!n->under_way);
}

static void life_reset(struct device *d)
{
	struct nvme *n = of(d);

	stop(n);
	fair_lock(&n->lock);
	n->cc = n->aqa = 0;
	n->asq = n->acq = 0;
	nvme_settle(n);
	fair_unlock(&n->lock);
}

static bool life_quiesce(struct device *d)
{
	struct nvme *n = of(d);

	fair_lock(&n->lock);
	n->quiesced = true;
	nvme_settle(n);
	bool quiet = !n->under_way;
	fair_unlock(&n->lock);
	return quiet;
}

static void life_resume(struct device *d)
{
	struct nvme *n = of(d);

	fair_lock(&n->lock);
	n->quiesced = false;
	fair_unlock(&n->lock);
	nvme_again(n);
}

static void sq_state(struct nvme *n, struct nvme_sq *q, struct state_file *s)
{
	state_bool(s, &q->on);
	state_u16(s, &q->size);
	state_u16(s, &q->head);
	state_u16(s, &q->tail);
	state_u16(s, &q->cq);
	state_u64(s, &q->base);
	if (q->on && (q->size < 2 || q->size > 4096 || q->head >= q->size || q->tail >= q->size ||
		      q->cq >= NVME_QUEUES || !n->cq[q->cq].on)) {
		state_bad(s, "an NVMe queue is in a state that cannot be");
		q->on = false;
	}
	if (state_loading(s) && q->on)
		n->cq[q->cq].users++;
}

static void cq_state(struct nvme_cq *q, struct state_file *s)
{
	state_bool(s, &q->on);
	state_bool(s, &q->interrupts);
	state_bool(s, &q->phase);
	state_u16(s, &q->size);
	state_u16(s, &q->head);
	state_u16(s, &q->tail);
	state_u16(s, &q->vector);
	state_u64(s, &q->base);
	if (q->on &&
	    (q->size < 2 || q->size > 4096 || q->head >= q->size || q->tail >= q->size || q->vector >= NVME_QUEUES)) {
		state_bad(s, "an NVMe queue is in a state that cannot be");
		q->on = false;
	}
	if (state_loading(s))
		q->users = 0;
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct nvme *n = of(d);
	int r = state_section(s, "nvme", n->pci.devfn, 1, e);

	if (r < 0)
		return r;
	fair_lock(&n->lock);
	state_same(s, blk_bytes(n->blk), "a disk has another size now than when the VM was saved");
	state_u32(s, &n->cc);
	state_u32(s, &n->aqa);
	state_u32(s, &n->masked);
	state_u64(s, &n->asq);
	state_u64(s, &n->acq);
	state_bool(s, &n->ready);
	state_bool(s, &n->failed);
	state_bool(s, &n->shut);
	for (unsigned i = 0; i < NVME_QUEUES; i++)
		cq_state(&n->cq[i], s);
	for (unsigned i = 0; i < NVME_QUEUES; i++)
		sq_state(n, &n->sq[i], s);
	state_uint(s, &n->naers, NVME_AERS);
	for (unsigned i = 0; i < NVME_AERS; i++)
		state_u16(s, &n->aer[i]);
	for (unsigned i = 0; i < NVME_FEATURES; i++)
		state_u32(s, &n->feature[i]);
	fair_unlock(&n->lock);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct nvme *n = of(d);

	stop(n);
	blk_close(n->blk);
	loop_timer_fini(&n->again);
	pci_dev_fini(&n->pci);
	fair_lock_fini(&n->lock);
	unmap_sparse(n->cmds, NVME_SLOTS * sizeof(*n->cmds));
	free(n);
}

static const struct pci_dev_ops ops = {
	.life = {
		.reset = life_reset,
		.quiesce = life_quiesce,
		.resume = life_resume,
		.state = life_state,
		.free = life_free,
	},
};

/* ---- making one ---- */

int nvme_new(struct device **out, struct pci_bus *bus, struct ram *ram, struct loop *loop, struct blk *blk,
	     const char *serial, int slot, struct err *e)
{
	struct nvme *n = xcalloc(1, sizeof(*n));
	const struct blk_client client = { client_begin, client_end, n };

	n->ram = ram;
	n->loop = loop;
	n->blk = blk;
	n->cmds = xmap_sparse(NVME_SLOTS * sizeof(*n->cmds));
	snprintf(n->serial, sizeof(n->serial), "%s", serial);
	fair_lock_init(&n->lock);
	loop_timer_init(loop, &n->again, nvme_again, n);
	blk_set_client(blk, &client);
	pci_dev_init(&n->pci, &ops, "nvme", VENDOR, DEVICE, CLASS_REV);
	st_le16(n->pci.cfg + 0x2c, VENDOR);
	st_le16(n->pci.cfg + 0x2e, DEVICE);
	pci_add_bar(&n->pci, 0, BAR_BYTES, true, &bar_ops, n);
	pci_add_msix(&n->pci, MSIX_BAR, NVME_QUEUES);
	disable(n);
	int rc = pci_register(bus, &n->pci, slot);
	if (rc < 0) {
		life_free(&n->pci.dev);
		return err_sys(e, -rc, "cannot put an NVMe controller on the PCI bus");
	}
	*out = &n->pci.dev;
	return 0;
}

static int new_disk(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return nvme_new(out, machine_pci(m), machine_ram(m), machine_loop(m), a->blk, *a->serial ? a->serial : a->id,
			a->slot, e);
}

/* Firmware takes this for the words of its kind, whoever made the controller. */
static void boot_path(struct device *d, char *path, size_t bytes)
{
	snprintf(path, bytes, "/pci@i0cf8/pci8086,5845@%x/namespace@1,%llx", pci_dev_of(d)->devfn >> 3,
		 (unsigned long long)nvme_eui64(of(d)));
}

const struct device_class nvme_device_class = {
	.pci = true,
	.boot_path = boot_path,
	.name = "nvme",
	.field = "nvme",
	.help = N_("NVMe disk, for systems without virtio drivers: /dev/nvme0n1"),
	.role = DEVICE_DISK,
	.new = new_disk,
};
