/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ahci_driver.h - an AHCI controller for tests, on the test's PCI bus, with a driver: command lists and tables in guest
 * memory, registers by the bus, as a guest has them.
 *
 *	0x1000 * port     command list          0x10000 + 0x1000 * slot  command table of a slot
 *	... + 0x800       received FISes        0x40000                  data
 */
#ifndef MICA_TEST_AHCI_DRIVER_H
#define MICA_TEST_AHCI_DRIVER_H

#include "base/clock.h"
#include "base/ram.h"
#include "device/ata/ahci.h"
#include "unit/machine/pci_rig.h"

#include <fcntl.h>

#define AD_RAM (4 * MIB)
#define AD_TABLE(slot) (0x10000ull + 0x1000 * (slot))
#define AD_DATA 0x40000ull
#define AD_PORT(p) (0x100u + 0x80 * (p))

struct ahci_driver {
	struct pci_rig rig;
	struct ram *ram;
	struct loop *loop;
	struct loop_timer stop;
	u32 abar;
	unsigned drives;
};

static inline void ad_stop(void *loop)
{
	loop_stop(loop);
}

static inline void ad_up(struct ahci_driver *a)
{
	memset(a, 0, sizeof(*a));
	must(ram_new(&a->ram, AD_RAM, NULL) == 0 && loop_new(&a->loop, NULL) == 0);
	loop_timer_init(a->loop, &a->stop, ad_stop, a->loop);
	pci_rig_up(&a->rig);
}

static inline void ad_down(struct ahci_driver *a)
{
	pci_rig_down(&a->rig);
	loop_timer_fini(&a->stop);
	loop_free(a->loop);
	ram_free(a->ram);
}

/* A file of `bytes` (0: a drive without a medium), each sector of 512 filled with its number; unlinked. */
static inline struct ata_drive *ad_drive(struct ahci_driver *a, u64 bytes, bool cdrom, const char *id)
{
	char name[] = "/var/tmp/mica-ahci-XXXXXX";
	struct blk_params p = { .readonly = cdrom, .removable = cdrom, .engine = BLK_ENGINE_POOL };
	struct device_args args = { .id = id, .serial = "" };
	struct ata_drive *d;
	struct err e;
	u8 s[512];
	int fd = bytes ? mkstemp(name) : -1;

	for (u64 i = 0; i < bytes / 512; i++) {
		memset(s, (int)i, sizeof(s));
		must(write(fd, s, sizeof(s)) == sizeof(s));
	}
	if (fd >= 0)
		p.path = name;
	if (blk_open(&args.blk, a->loop, &p, &e) < 0 || ata_drive_new(&d, "test", cdrom, false, &args, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	if (fd >= 0) {
		unlink(name);
		close(fd);
	}
	snprintf(d->dev.id, sizeof(d->dev.id), "%s", id);
	return d;
}

static inline void ad_add(struct ahci_driver *a, struct ata_drive *d)
{
	must(ahci_add(a->rig.pci, a->ram, d, -1, NULL) == 0);
	must(pci_bus_assign(a->rig.pci) == 0);
	a->abar = cfg_bar(a->rig.bus, 1, 5);
	a->drives++;
}

static inline u32 ad_get(struct ahci_driver *a, unsigned reg)
{
	return (u32)bus_mmio_read(a->rig.bus, a->abar + reg, 4);
}

static inline void ad_put(struct ahci_driver *a, unsigned reg, u32 v)
{
	bus_mmio_write(a->rig.bus, a->abar + reg, 4, v);
}

static inline u32 ad_pget(struct ahci_driver *a, unsigned port, unsigned reg)
{
	return ad_get(a, AD_PORT(port) + reg);
}

static inline void ad_pput(struct ahci_driver *a, unsigned port, unsigned reg, u32 v)
{
	ad_put(a, AD_PORT(port) + reg, v);
}

/* What the loop has to do, for a few milliseconds. */
static inline void ad_spin(struct ahci_driver *a, unsigned ms)
{
	loop_timer_arm(&a->stop, clock_mono_ns() + ms * 1000000ull);
	loop_run(a->loop);
}

/* Lists, FISes received, interrupts, commands on. */
static inline void ad_start(struct ahci_driver *a, unsigned port)
{
	ad_pput(a, port, 0x00, 0x1000 * (port + 1));
	ad_pput(a, port, 0x04, 0);
	ad_pput(a, port, 0x08, 0x1000 * (port + 1) + 0x800);
	ad_pput(a, port, 0x0c, 0);
	ad_pput(a, port, 0x30, ~0u);
	ad_pput(a, port, 0x10, ~0u);
	ad_pput(a, port, 0x14, 0xfdc000ff);
	ad_pput(a, port, 0x18, 1 << 4);
	ad_pput(a, port, 0x18, 1 << 4 | 1);
	ad_put(a, 0x04, 1u << 31 | 2);
}

struct ad_cmd {
	u8 command, device;
	u16 feature, count;
	u64 lba;
	u8 cdb[16];
	gpa_t data;
	u32 bytes; /* of the one PRD; 0: none */
	bool out;
};

/* Header, table and one PRD of a slot. */
static inline void ad_fill(struct ahci_driver *a, unsigned port, unsigned slot, const struct ad_cmd *c)
{
	u8 *h = a->ram->host + 0x1000 * (port + 1) + 32 * slot, *t = a->ram->host + AD_TABLE(slot);

	memset(h, 0, 32);
	memset(t, 0, 0x100);
	h[0] = (u8)(5 | (c->out ? 0x40 : 0) | (c->command == ATA_PACKET ? 0x20 : 0));
	st_le16(h + 2, c->bytes ? 1 : 0);
	st_le64(h + 8, AD_TABLE(slot));
	t[0] = 0x27;
	t[1] = 0x80;
	t[2] = c->command;
	t[3] = (u8)c->feature;
	t[11] = (u8)(c->feature >> 8);
	for (unsigned i = 0; i < 3; i++) {
		t[4 + i] = (u8)(c->lba >> 8 * i);
		t[8 + i] = (u8)(c->lba >> (24 + 8 * i));
	}
	t[7] = c->device;
	st_le16(t + 12, c->count);
	memcpy(t + 0x40, c->cdb, 16);
	st_le64(t + 0x80, c->data);
	st_le32(t + 0x8c, c->bytes - 1);
}

/* Run one command to its end: PxTFD's status; the interrupt's bits are left in PxIS. */
static inline u8 ad_run(struct ahci_driver *a, unsigned port, const struct ad_cmd *c)
{
	bool queued = c->command == 0x60 || c->command == 0x61;
	u64 end = clock_mono_ns() + 5 * NSEC_PER_SEC;

	ad_pput(a, port, 0x10, ~0u);
	ad_fill(a, port, 0, c);
	if (queued)
		ad_pput(a, port, 0x34, 1);
	ad_pput(a, port, 0x38, 1);
	while ((ad_pget(a, port, 0x38) | ad_pget(a, port, 0x34)) && !(ad_pget(a, port, 0x10) & 0x78000000) &&
	       clock_mono_ns() < end)
		ad_spin(a, 1);
	return (u8)ad_pget(a, port, 0x20);
}

/* After an error: as a driver begins anew. */
static inline void ad_restart(struct ahci_driver *a, unsigned port)
{
	ad_pput(a, port, 0x18, 1 << 4);
	while (ad_pget(a, port, 0x18) & 1 << 15)
		ad_spin(a, 1);
	ad_start(a, port);
}

/* A packet to a CD-ROM, data to AD_DATA. */
static inline u8 ad_packet(struct ahci_driver *a, unsigned port, const u8 *cdb, unsigned n, u32 bytes)
{
	struct ad_cmd c = { .command = ATA_PACKET, .feature = 1, .data = AD_DATA, .bytes = bytes };

	memcpy(c.cdb, cdb, n);
	u8 status = ad_run(a, port, &c);
	if (status & ATA_S_ERR)
		ad_restart(a, port);
	return status;
}

#endif
