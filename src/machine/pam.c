/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pam.c - see pam.h.
 *
 * Each piece is an extent of memory or none (base/ram.h), edited inside of the guest's write to config space. Reading
 * the ROM while writing the RAM behind it is the one thing that an extent cannot say: it shows the ROM, and writes come
 * here.
 */
#include "machine/pam.h"

#include "base/log.h"
#include "machine/layout.h"
#include "machine/pci_internal.h"

#define PCIEXBAR 0x60
#define PAMS 7u
#define READ_RAM 1
#define WRITE_RAM 2

#define PIECES 13
#define PIECE_BYTES 0x4000u
#define PIECE_LAST 12 /* f0000-fffff */

struct pam {
	struct pci_bus *pci;
	struct ram *ram;
	struct io_region region; /* writes that find no writable memory */
	u64 rom_off;
	/* under the bus's config lock */
	struct {
		int id; /* of its extent; -1: none */
		u8 how;
	} piece[PIECES];
	_Atomic u64 ecam;
};

static gpa_t address(unsigned i)
{
	return LAYOUT_PAM + i * (gpa_t)PIECE_BYTES;
}

static u64 length(unsigned i)
{
	return i == PIECE_LAST ? 4 * PIECE_BYTES : PIECE_BYTES;
}

static u8 wanted(const struct pam *p, unsigned i)
{
	const u8 *pam = p->pci->bridge.cfg + p->pci->kind->pam;

	return i == PIECE_LAST ? pam[0] >> 4 & 3 : pam[1 + i / 2] >> 4 * (i & 1) & 3;
}

static void show(struct pam *p, unsigned i, u8 how)
{
	bool rom = !(how & READ_RAM);
	struct ram_extent x = { .gpa = address(i), .bytes = length(i), .off = address(i) };
	struct err e;

	x.name = rom ? "BIOS ROM below 1 MiB" : "RAM behind the BIOS";
	x.readonly = how != (READ_RAM | WRITE_RAM);
	if (rom)
		x.off = p->rom_off + (address(i) - (MIB - PAM_ROM_BYTES));
	if (p->piece[i].id >= 0)
		ram_remove(p->ram, p->piece[i].id);
	p->piece[i].id = -1;
	p->piece[i].how = how;
	if (rom && address(i) < MIB - PAM_ROM_BYTES)
		return;
	p->piece[i].id = ram_add(p->ram, &x, &e);
	if (p->piece[i].id < 0)
		log_guest("%s: %s", x.name, err_local(&e));
}

static void update_ecam(struct pam *p)
{
	struct pci_bus *b = p->pci;
	if (!b->kind->ecam)
		return;
	u32 low = ld_le32(b->bridge.cfg + PCIEXBAR), high = ld_le32(b->bridge.cfg + PCIEXBAR + 4);
	u64 at = (u64)high << 32 | (low & ~(u32)(PAM_ECAM_BYTES - 1));

	/* Bit 0 enables; bits 1-2 would make it shorter. */
	at = low & 1 ? at : 0;
	if (at == p->ecam)
		return;
	bus_unmap_mmio(b->bus, &b->ecam);
	if (at && bus_map_mmio(b->bus, &b->ecam, at, PAM_ECAM_BYTES) < 0) {
		log_guest("host bridge: PCI configuration space at %#llx is in the way of something else and does not "
			  "answer",
			  (unsigned long long)at);
		at = 0;
	}
	p->ecam = at;
}

static void update(struct pam *p)
{
	for (unsigned i = 0; i < PIECES; i++)
		if (p->piece[i].how != wanted(p, i))
			show(p, i, wanted(p, i));
	update_ecam(p);
}

static void cfg_written(struct pci_dev *d, unsigned off, unsigned bytes)
{
	const struct board_kind *k = d->bus->kind;

	if ((off < k->pam + PAMS && off + bytes > k->pam) || (k->ecam && off < PCIEXBAR + 8 && off + bytes > PCIEXBAR))
		update(d->bus->pam);
}

/* Of memory that is not writable; the RAM behind the ROM may be. */
static void hidden_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct pam *p = dev;
	unsigned i = MIN((unsigned)(off / PIECE_BYTES), PIECE_LAST);

	pthread_mutex_lock(&p->pci->lock);
	bool write = p->piece[i].how == WRITE_RAM;
	pthread_mutex_unlock(&p->pci->lock);
	if (!write)
		return;
	memcpy(p->ram->host + LAYOUT_PAM + off, &val, bytes);
	ram_wrote_at(p->ram, LAYOUT_PAM + off, bytes);
}

static const struct io_ops hidden_ops = { .write = hidden_write, .max_bytes = 8 };
static const struct pci_dev_ops bridge_ops = { .cfg_written = cfg_written };

u64 pam_ecam(struct pam *p)
{
	return p->ecam;
}

void pam_loaded(struct pam *p)
{
	pthread_mutex_lock(&p->pci->lock);
	update(p);
	pthread_mutex_unlock(&p->pci->lock);
}

void pam_reset(struct pam *p)
{
	u8 *cfg = p->pci->bridge.cfg;

	pthread_mutex_lock(&p->pci->lock);
	if (p->pci->kind->ecam)
		memset(cfg + PCIEXBAR, 0, 8);
	memset(cfg + p->pci->kind->pam, 0, PAMS);
	update(p);
	pthread_mutex_unlock(&p->pci->lock);
}

int pam_new(struct pam **out, struct pci_bus *pci, struct ram *ram, u64 rom_off, struct err *e)
{
	struct pam *p = xcalloc(1, sizeof(*p));
	struct pci_dev *d = &pci->bridge;

	p->pci = pci;
	p->ram = ram;
	p->rom_off = rom_off;
	for (unsigned i = 0; i < PIECES; i++)
		p->piece[i].id = -1;
	p->region = (struct io_region){ .ops = &hidden_ops, .dev = p, .name = "pam" };
	int rc = bus_map_mmio(pci->bus, &p->region, LAYOUT_PAM, MIB - LAYOUT_PAM);
	if (rc < 0) {
		free(p);
		return err_sys(e, -rc, "host bridge");
	}
	if (pci->kind->ecam)
		bus_unmap_mmio(pci->bus, &pci->ecam);
	/* Which machine this is: its virtual devices' subsystem numbers say so. */
	st_le16(d->cfg + 0x2c, 0x1af4);
	st_le16(d->cfg + 0x2e, 0x1100);
	if (pci->kind->ecam) {
		st_le32(d->wmask + PCIEXBAR, ~(u32)(PAM_ECAM_BYTES - 1) | 7);
		d->wmask[PCIEXBAR + 4] = 0xf;
	}
	d->wmask[pci->kind->pam] = 0x30;
	memset(d->wmask + pci->kind->pam + 1, 0x33, PAMS - 1);
	d->ops = &bridge_ops;
	pci->pam = p;
	for (unsigned i = 0; i < PIECES; i++)
		show(p, i, wanted(p, i));
	*out = p;
	return 0;
}

void pam_free(struct pam *p)
{
	if (!p)
		return;
	p->pci->bridge.ops = NULL;
	bus_unmap_mmio(p->pci->bus, &p->region);
	free(p);
}
