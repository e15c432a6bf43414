/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ahci.c - the registers of an AHCI controller (AHCI 1.3.1, chapter 3), interrupts, life; see ahci.h.
 *
 * Threads: registers are accessed on vCPU threads, requests end on the loop's; all under one lock. Interrupts are
 * brought in line once, when the lock is about to be given back.
 */
#include "device/ata/ahci.h"
#include "base/state.h"
#include "device/ata/ahci_int.h"

#define VENDOR_INTEL 0x8086
#define DEVICE_ICH9_AHCI 0x2922
#define CLASS_REV (0x010601u << 8 | 0x02)
#define ABAR 5
#define ABAR_BYTES 4096
#define PORTS_OFF 0x100u
#define PORT_BYTES 0x80u

/* 64-bit addresses, NCQ, command list override, 6 Gbit/s, AHCI only, 32 slots, 6 ports */
#define CAP (1u << 31 | 1u << 30 | 1u << 24 | 3u << 20 | 1u << 18 | (AHCI_SLOTS - 1) << 8 | (AHCI_PORTS - 1))
#define GHC_HR 1u
#define GHC_IE 2u
#define GHC_AE (1u << 31)
#define VERSION 0x00010301u
#define PORTS_ALL ((1u << AHCI_PORTS) - 1)
#define PIE_WRITABLE 0xfdc000ffu
#define SIG_NONE 0xffffffffu

static u64 under_way(const struct ahci *h)
{
	u64 n = 0;

	for (unsigned i = 0; i < AHCI_PORTS; i++)
		n += h->port[i].busy;
	return n;
}

/* ---- interrupts (chapter 10.7) ---- */

static u32 port_is(const struct ahci_port *p)
{
	return p->is | (p->serr & PSERR_X ? PIS_PCS : 0);
}

/* Something has changed: bring IS, and what goes out, in line. */
static void settle(struct ahci *h)
{
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ahci_port_tell_done(&h->port[i]);
	if (h->resetting && !under_way(h))
		h->resetting = false;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (port_is(&h->port[i]) & h->port[i].ie)
			h->is |= 1u << i;
	bool out = h->ie && h->is;
	pci_intx(&h->pci, out);
	if (out && h->raised)
		pci_msi_send(&h->pci);
	h->raised = false;
}

/* ---- ports ---- */

static u32 port_ssts(const struct ahci_port *p)
{
	if ((p->sctl & 15) == 4)
		return 4; /* offline */
	if (!p->drive)
		return 0;
	return (p->sctl & 15) == 1 ? 1 : 0x133; /* there, at 6 Gbit/s, active */
}

static u32 port_read(const struct ahci_port *p, unsigned reg)
{
	switch (reg) {
	case 0x00:
		return (u32)p->clb;
	case 0x04:
		return (u32)(p->clb >> 32);
	case 0x08:
		return (u32)p->fb;
	case 0x0c:
		return (u32)(p->fb >> 32);
	case 0x10:
		return port_is(p);
	case 0x14:
		return p->ie;
	case 0x18:
		return p->cmd | PCMD_SUD | PCMD_POD | (p->cmd & PCMD_FRE ? PCMD_FR : 0) |
		       (p->cmd & PCMD_ST || p->busy ? PCMD_CR : 0) | (p->cmd & PCMD_ST ? (u32)p->last << 8 : 0);
	case 0x20:
		return p->status | (u32)p->error << 8;
	case 0x24:
		return p->sig;
	case 0x28:
		return port_ssts(p);
	case 0x2c:
		return p->sctl;
	case 0x30:
		return p->serr;
	case 0x34:
		return p->sact;
	case 0x38:
		return p->ci;
	default:
		return 0;
	}
}

/* No device has spoken yet. */
static void silence(struct ahci_port *p)
{
	ahci_port_forget(p);
	p->halted = p->srst = p->greeting = false;
	p->sig = SIG_NONE;
	p->status = 0x7f;
	p->error = 0;
}

static void write_cmd(struct ahci_port *p, u32 val)
{
	u32 was = p->cmd;

	p->cmd = val & PCMD_WRITABLE;
	if (val & PCMD_CLO)
		p->status &= (u8) ~(ATA_S_BSY | ATA_S_DRQ);
	if (was & PCMD_ST && !(val & PCMD_ST)) {
		ahci_port_forget(p);
		p->halted = false;
		p->last = AHCI_SLOTS - 1;
	}
	ahci_port_greet_now(p);
}

static void write_sctl(struct ahci_port *p, u32 val)
{
	u32 was = p->sctl & 15, now = val & 15;

	p->sctl = val & 0xfff;
	if (now == was)
		return;
	if (now) { /* reset, or off */
		silence(p);
		return;
	}
	if (p->drive)
		ahci_port_greet(p);
}

static void port_write(struct ahci_port *p, unsigned reg, u32 val)
{
	switch (reg) {
	case 0x00:
		p->clb = (p->clb & ~0xffffffffull) | (val & ~0x3ffu);
		break;
	case 0x04:
		p->clb = (u32)p->clb | (u64)val << 32;
		break;
	case 0x08:
		p->fb = (p->fb & ~0xffffffffull) | (val & ~0xffu);
		break;
	case 0x0c:
		p->fb = (u32)p->fb | (u64)val << 32;
		break;
	case 0x10:
		p->is &= ~val;
		break;
	case 0x14:
		p->ie = val & PIE_WRITABLE;
		p->h->raised = true;
		break;
	case 0x18:
		write_cmd(p, val);
		break;
	case 0x2c:
		write_sctl(p, val);
		break;
	case 0x30:
		p->serr &= ~val;
		break;
	case 0x34:
		if (p->cmd & PCMD_ST)
			p->sact |= val;
		break;
	case 0x38:
		if (p->cmd & PCMD_ST)
			p->ci |= val;
		break;
	default:
		break;
	}
	if ((reg == 0x18 || reg == 0x38) && p->drive) {
		blk_plug(p->drive->blk);
		ahci_port_run(p);
		blk_unplug(p->drive->blk);
	}
}

/* ---- the controller ---- */

static void port_reset(struct ahci_port *p)
{
	silence(p);
	p->is = p->ie = p->cmd = p->sctl = p->serr = 0;
	p->last = AHCI_SLOTS - 1;
	if (p->drive)
		ahci_port_greet(p);
}

static void reset(struct ahci *h)
{
	h->ie = false;
	h->is = 0;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		port_reset(&h->port[i]);
	h->resetting = under_way(h);
}

static u32 reg_read(struct ahci *h, unsigned off)
{
	if (off >= PORTS_OFF) {
		unsigned i = (off - PORTS_OFF) / PORT_BYTES;
		return i < AHCI_PORTS ? port_read(&h->port[i], off % PORT_BYTES) : 0;
	}
	switch (off) {
	case 0x00:
		return CAP;
	case 0x04:
		return GHC_AE | (h->ie ? GHC_IE : 0) | (h->resetting ? GHC_HR : 0);
	case 0x08:
		return h->is;
	case 0x0c:
		return PORTS_ALL;
	case 0x10:
		return VERSION;
	default:
		return 0;
	}
}

static void reg_write(struct ahci *h, unsigned off, u32 val)
{
	if (off >= PORTS_OFF) {
		unsigned i = (off - PORTS_OFF) / PORT_BYTES;
		if (i < AHCI_PORTS)
			port_write(&h->port[i], off % PORT_BYTES, val);
		return;
	}
	switch (off) {
	case 0x04:
		if (val & GHC_HR) {
			reset(h);
			break;
		}
		h->raised |= !h->ie;
		h->ie = val & GHC_IE;
		break;
	case 0x08: /* what a port still has to say sets its bit anew, and says so again */
		h->is &= ~val;
		h->raised = true;
		break;
	default:
		break;
	}
}

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	struct ahci *h = dev;
	u32 v;

	fair_lock(&h->lock);
	v = reg_read(h, (unsigned)off & ~3u);
	fair_unlock(&h->lock);
	return bytes < 4 ? (v >> (8 * (off & 3))) & ((1u << (8 * bytes)) - 1) : v;
}

/* Dwords (3: "software shall access ... in DWORD"); anything else is lost. */
static void bar_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct ahci *h = dev;

	if (bytes != 4 || off % 4)
		return;
	fair_lock(&h->lock);
	reg_write(h, (unsigned)off, (u32)val);
	settle(h);
	fair_unlock(&h->lock);
}

static const struct io_ops bar_ops = { .read = bar_read, .write = bar_write, .max_bytes = 4 };

/* ---- the disks' side ---- */

static void client_begin(void *opaque)
{
	fair_lock(&((struct ahci_port *)opaque)->h->lock);
}

static void client_end(void *opaque)
{
	struct ahci_port *p = opaque;
	struct ahci *h = p->h;

	ahci_port_run(p);
	settle(h);
	fair_unlock(&h->lock);
}

/* ---- life ---- */

static struct ahci *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct ahci, pci);
}

/* Waits: what is under way has an end, as no requests are begun. */
static void cancel(struct ahci *h)
{
	fair_lock(&h->lock);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		h->port[i].cmd = 0;
		ahci_port_forget(&h->port[i]);
	}
	fair_unlock(&h->lock);
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (h->port[i].drive)
			blk_cancel(h->port[i].drive->blk);
	must(!under_way(h));
}

static void life_reset(struct device *d)
{
	struct ahci *h = of(d);

	cancel(h);
	fair_lock(&h->lock);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		h->port[i].clb = h->port[i].fb = 0;
		if (h->port[i].drive)
			ata_drive_reset(h->port[i].drive);
	}
	reset(h);
	settle(h);
	fair_unlock(&h->lock);
}

static bool life_quiesce(struct device *d)
{
	struct ahci *h = of(d);

	fair_lock(&h->lock);
	h->quiesced = true;
	bool quiet = !under_way(h);
	fair_unlock(&h->lock);
	return quiet;
}

static void life_resume(struct device *d)
{
	struct ahci *h = of(d);

	fair_lock(&h->lock);
	h->quiesced = false;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ahci_port_run(&h->port[i]);
	h->raised = true;
	settle(h);
	fair_unlock(&h->lock);
}

static void port_state(struct ahci_port *p, struct state_file *s)
{
	state_same(s, p->drive != NULL, "a drive is there where none was, or the other way round");
	state_u64(s, &p->clb);
	state_u64(s, &p->fb);
	state_u32(s, &p->is);
	state_u32(s, &p->ie);
	state_u32(s, &p->cmd);
	state_u32(s, &p->sig);
	state_u32(s, &p->sctl);
	state_u32(s, &p->serr);
	state_u32(s, &p->sact);
	state_u32(s, &p->ci);
	state_u8(s, &p->status);
	state_u8(s, &p->error);
	state_u8(s, &p->last);
	state_bool(s, &p->halted);
	state_bool(s, &p->greeting);
	state_bool(s, &p->srst);
	p->clb &= ~0x3ffull;
	p->fb &= ~0xffull;
	p->ie &= PIE_WRITABLE;
	p->cmd &= PCMD_WRITABLE;
	p->sctl &= 0xfff;
	p->last %= AHCI_SLOTS;
	p->greeting &= p->drive != NULL;
	if (p->drive)
		ata_drive_state(p->drive, s);
}

/* Commands that were issued and have not begun are in the host's memory; none is under way. */
static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct ahci *h = of(d);
	int r = state_section(s, "ahci", h->pci.devfn, 1, e);

	if (r < 0)
		return r;
	fair_lock(&h->lock);
	state_bool(s, &h->ie);
	state_u32(s, &h->is);
	h->is &= PORTS_ALL;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		port_state(&h->port[i], s);
	fair_unlock(&h->lock);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct ahci *h = of(d);

	cancel(h);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		ata_drive_free(h->port[i].drive);
		if (h->port[i].slot)
			unmap_sparse(h->port[i].slot, AHCI_SLOTS * sizeof(*h->port[i].slot));
	}
	pci_dev_fini(&h->pci);
	fair_lock_fini(&h->lock);
	free(h);
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

/* ---- putting it on the bus ---- */

static int ahci_new(struct ahci **out, struct pci_bus *bus, struct ram *ram, int slot, struct err *e)
{
	struct ahci *h = xcalloc(1, sizeof(*h));

	h->ram = ram;
	fair_lock_init(&h->lock);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		h->port[i].h = h;
		port_reset(&h->port[i]);
	}
	pci_dev_init(&h->pci, &ops, "ahci", VENDOR_INTEL, DEVICE_ICH9_AHCI, CLASS_REV);
	st_le16(h->pci.cfg + 0x2c, VENDOR_INTEL);
	st_le16(h->pci.cfg + 0x2e, DEVICE_ICH9_AHCI);
	pci_add_bar(&h->pci, ABAR, ABAR_BYTES, false, &bar_ops, h);
	pci_add_msi(&h->pci);
	int rc = pci_register(bus, &h->pci, slot);
	if (rc < 0) {
		life_free(&h->pci.dev);
		return err_sys(e, -rc, "cannot put an AHCI controller on the PCI bus");
	}
	*out = h;
	return 0;
}

static struct ahci_port *free_port(struct pci_bus *bus)
{
	for (unsigned i = 0; i < PCI_SLOTS; i++) {
		struct pci_dev *d = pci_bus_slot(bus, i);
		if (!d || d->ops != &ops)
			continue;
		struct ahci *h = container_of(d, struct ahci, pci);
		for (unsigned k = 0; k < AHCI_PORTS; k++)
			if (!h->port[k].drive)
				return &h->port[k];
	}
	return NULL;
}

int ahci_add(struct pci_bus *bus, struct ram *ram, struct ata_drive *drive, int slot, struct err *e)
{
	struct ahci_port *p = free_port(bus);
	struct ahci *h = NULL;

	if (!p) {
		int r = ahci_new(&h, bus, ram, slot, e);
		if (r < 0) {
			ata_drive_free(drive);
			return r;
		}
		p = &h->port[0];
	}
	h = p->h;
	p->slot = xmap_sparse(AHCI_SLOTS * sizeof(*p->slot));
	const struct blk_client client = { client_begin, client_end, p };
	ata_drive_connect(drive, &h->pci.dev, (unsigned)(p - h->port), &h->lock, &client);
	fair_lock(&h->lock);
	p->drive = drive;
	port_reset(p);
	fair_unlock(&h->lock);
	return 0;
}
