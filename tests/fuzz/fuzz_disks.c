/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_disks.c - AHCI, IDE and NVMe controllers with a hostile driver.
 *
 * The input: which controller, a script of accesses to its registers, then the bytes of guest memory from 0 on, in
 * which the registers let it look for lists, tables and entries. An access of the script is 4 bytes: register, width
 * or "let the host's disk go on", value. The value's upper half is often what a register likes, so that much of what
 * comes is nearly right. At the end the controller is quiesced, saved, loaded again, reset and freed. It may refuse
 * all of it; nothing else may happen.
 */
#include "base/log.h"
#include "base/ram.h"
#include "base/state.h"
#include "device/ata/ahci.h"
#include "device/ata/ide.h"
#include "device/nvme/nvme.h"
#include "machine/board_kind.h"
#include "machine/layout.h"
#include "machine/pci.h"

#include <sys/mman.h>

#define RAM_BYTES (256 * KIB)
#define DISK_BYTES (64 * KIB)
#define STEPS_MAX 256

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct ram *ram;
static struct loop *loop;
static int image = -1;

static void stop(void *opaque)
{
	loop_stop(loop);
}

static void turn(void)
{
	for (int i = 0; i < 2; i++) {
		loop_post(loop, stop, NULL);
		loop_run(loop);
	}
}

static void no_message(void *opaque, u64 addr, u32 data)
{
}

static void no_wire(void *opaque, unsigned gsi, bool level)
{
	must(gsi < LAYOUT_GSI_COUNT);
}

static struct blk *open_disk(bool cdrom)
{
	struct blk_params p = { .fd = image,
				.readonly = cdrom,
				.locked = true,
				.format = "raw",
				.removable = cdrom,
				.engine = BLK_ENGINE_POOL };
	struct blk *b;

	must(blk_open(&b, loop, &p, NULL) == 0);
	return b;
}

static struct ata_drive *drive(bool cdrom, bool pata)
{
	struct device_args a = { .id = "d", .serial = "s", .blk = open_disk(cdrom) };
	struct ata_drive *d;

	must(ata_drive_new(&d, "d", cdrom, pata, &a, NULL) == 0);
	return d;
}

static struct device *controller(unsigned kind, struct bus *bus, struct pci_bus *pci)
{
	struct device *d;

	if (kind == 0) {
		must(ahci_add(pci, ram, drive(false, false), -1, NULL) == 0);
		must(ahci_add(pci, ram, drive(true, false), -1, NULL) == 0);
	} else if (kind == 1) {
		const struct ide_board b = { .pci = pci,
					     .bus = bus,
					     .ram = ram,
					     .irq = { { no_wire, NULL, NULL, 14 }, { no_wire, NULL, NULL, 15 } } };
		must(ide_add(&b, drive(false, true), -1, NULL) == 0);
		must(ide_add(&b, drive(true, true), -1, NULL) == 0);
	} else {
		must(nvme_new(&d, pci, ram, loop, open_disk(false), "s", -1, NULL) == 0);
	}
	must(pci_bus_assign(pci) == 0);
	return &pci_bus_slot(pci, 1)->dev;
}

static u32 bar(struct bus *b, unsigned i)
{
	bus_pio_write(b, LAYOUT_PCI_CFG, 4, 0x80000000u | 1u << 11 | (0x10 + 4 * i));
	return bus_pio_read(b, LAYOUT_PCI_CFG + 4, 4) & ~15u;
}

static void mmio(struct bus *b, u64 at, unsigned bytes, bool write, u32 val)
{
	if (write)
		bus_mmio_write(b, at, bytes, val);
	else
		bus_mmio_read(b, at, bytes);
}

static void access_ahci(struct bus *b, u32 abar, const u8 *s)
{
	/* Registers of the two ports are worth most. */
	unsigned reg = s[0] & 0x80 ? s[0] & 0x2c : 0x100 + (s[0] & 0x40) * 2 + (s[0] & 0x3c);
	u32 val = s[2] | (u32)s[3] << 8;

	if (reg % 0x80 < 0x10 && reg >= 0x100) /* lists lie somewhere in memory */
		val = reg & 4 ? s[3] == 0xff : val << 8 & (RAM_BYTES - 1);
	else if (s[1] & 4)
		val = val << 16 | s[2];
	mmio(b, abar + reg, s[1] & 1 ? 4 : 1u << (s[1] >> 4 & 3), s[1] & 2, val);
}

static void access_ide(struct bus *b, u32 bm, const u8 *s)
{
	static const u16 ports[] = { LAYOUT_IDE1, LAYOUT_IDE2, LAYOUT_IDE1_CONTROL, LAYOUT_IDE2_CONTROL };
	unsigned reg = s[0] & 7, bytes = reg ? 1 : 1u << (s[1] >> 4) % 3, n = reg ? 1 : 1 + 16u * (s[0] >> 3);
	u16 at = (u16)((s[1] & 4 ? bm & 0xfffc : ports[s[1] >> 7]) + reg);
	u32 val = s[2] | (u32)s[3] << 8;

	if ((s[1] & 12) == 8 && reg == 6)
		at = ports[2 + (s[1] >> 7)];
	if (s[1] & 4) {
		at = (u16)(at + (s[1] >> 7) * 8);
		bytes = reg == 4 ? 4 : 1;
		n = 1;
		val = reg == 4 ? val << 4 & (RAM_BYTES - 1) : val;
	}
	for (unsigned i = 0; i < n; i++) {
		if (s[1] & 2)
			bus_pio_write(b, at, bytes, val + i);
		else
			bus_pio_read(b, at, bytes);
	}
}

static void access_nvme(struct bus *b, u32 regs, const u8 *s)
{
	static const u8 known[] = { 0x14, 0x14, 0x24, 0x28, 0x30, 0x1c, 0x0c, 0x10 };
	unsigned reg = s[0] & 0x80 ? 0x1000 + 4 * (s[0] & 0x3f) : known[s[0] & 7];
	u32 val = s[2] | (u32)s[3] << 8;

	if (reg == 0x28 || reg == 0x30)
		val = val << 12 & (RAM_BYTES - 1);
	else if (reg == 0x14)
		val = 0x00460000u | (val & 0x1) | (s[3] == 0xff ? val : 0);
	else if (reg == 0x24)
		val = (s[2] & 63) | (u32)(s[3] & 63) << 16;
	else if (reg >= 0x1000)
		val &= 63;
	mmio(b, regs + reg, s[1] & 1 ? 4 : 8, s[1] & 2, val);
}

/* To a file in memory and back, into the same controller: what it says it takes. */
static void save_and_load(struct device *d, const u8 *damage, size_t n)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;

	(void)damage, (void)n;
	must(fd >= 0 && state_save_new(&s, fd, NULL) == 0);
	must(device_state(d, s, NULL) == 0 && state_finish(s, NULL) == 0);
	state_free(s);
	must(lseek(fd, 0, SEEK_SET) == 0 && state_load_new(&s, fd, NULL) == 0);
	struct err e;
	if (device_state(d, s, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	state_free(s);
	close(fd);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const struct msi_target msi = { .send = no_message };

	if (!ram) {
		log_level = LOG_LVL_ERROR;
		must(ram_new(&ram, RAM_BYTES, NULL) == 0 && loop_new(&loop, NULL) == 0);
		image = memfd_create("disk", MFD_CLOEXEC);
		must(image > 0 && ftruncate(image, DISK_BYTES) == 0);
	}
	if (size < 4)
		return 0;
	unsigned kind = data[0] % 3, steps = data[1], at = 4;
	size_t script = MIN((size - 4) / 4, MIN(steps, STEPS_MAX));
	memset(ram->host, 0, RAM_BYTES);
	memcpy(ram->host, data + 4 + 4 * script, MIN(size - 4 - 4 * script, RAM_BYTES));

	struct bus *bus = bus_new();
	struct pci_bus *pci = pci_bus_new(board_kind(MACHINE_Q35), bus, &msi, no_wire, NULL);
	struct device *d = controller(kind, bus, pci);
	u32 regs = bar(bus, kind == 0 ? 5 : kind == 1 ? 4 : 0);
	for (size_t i = 0; i < script; i++, at += 4) {
		const u8 *s = data + at;
		if ((s[1] & 0x0f) == 0x0f)
			turn();
		else if (kind == 0)
			access_ahci(bus, regs, s);
		else if (kind == 1)
			access_ide(bus, regs, s);
		else
			access_nvme(bus, regs, s);
	}
	for (unsigned i = 0; i < 2000 && !device_quiesce(d); i++) {
		turn();
		usleep(i > 10 ? 1000 : 50);
	}
	must(device_quiesce(d));
	save_and_load(d, data, size);
	device_resume(d);
	turn();
	device_reset(d);
	pci_bus_free(pci);
	bus_free(bus);
	return 0;
}
