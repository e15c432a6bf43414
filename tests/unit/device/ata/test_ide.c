/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_ide.c - IDE disks and CD-ROMs as old drivers find them: presence, PIO, packets, bus-master DMA, resets, saved in
 * the middle of a PIO transfer and loaded into another.
 */
#include "ahci_driver.h" /* its memory, loop and drives */
#include "base/state.h"
#include "device/ata/ide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define DISK (1 * MIB)
#define CMD LAYOUT_IDE1

static struct ahci_driver A;
static bool level[2];

static void wire(void *opaque, unsigned gsi, bool on)
{
	level[gsi - LAYOUT_GSI_IDE1] = on;
}

static void up(struct ahci_driver *a)
{
	ad_up(a);
	const struct ide_board b = { .pci = a->rig.pci,
				     .bus = a->rig.bus,
				     .ram = a->ram,
				     .irq = { { wire, NULL, NULL, LAYOUT_GSI_IDE1 },
					      { wire, NULL, NULL, LAYOUT_GSI_IDE2 } } };
	struct ata_drive *d[2] = { ad_drive(a, DISK, false, "disk0"), ad_drive(a, DISK, true, "cdrom0") };
	for (unsigned i = 0; i < 2; i++) {
		d[i]->pata = true;
		assert_int_equal(ide_add(&b, d[i], -1, NULL), 0);
	}
	assert_int_equal(pci_bus_assign(a->rig.pci), 0);
}

static int setup(void **state)
{
	up(&A);
	return 0;
}

static int teardown(void **state)
{
	ad_down(&A);
	return 0;
}

static u8 in(unsigned reg)
{
	return (u8)bus_pio_read(A.rig.bus, (u16)(CMD + reg), 1);
}

static void out(unsigned reg, u8 v)
{
	bus_pio_write(A.rig.bus, (u16)(CMD + reg), 1, v);
}

/* Until the drive is no longer busy: its status. */
static u8 settled(void)
{
	u64 end = clock_mono_ns() + 5 * NSEC_PER_SEC;

	while (bus_pio_read(A.rig.bus, LAYOUT_IDE1_CONTROL, 1) & ATA_S_BSY && clock_mono_ns() < end)
		ad_spin(&A, 1);
	return in(7);
}

static void command(u8 device, u8 code, u32 lba, u8 count)
{
	out(6, (u8)(device | 0x40 | (lba >> 24 & 15)));
	out(2, count);
	out(3, (u8)lba);
	out(4, (u8)(lba >> 8));
	out(5, (u8)(lba >> 16));
	out(7, code);
}

static void take(u8 *buf, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2)
		st_le16(buf + i, (u16)bus_pio_read(A.rig.bus, CMD, 2));
}

static void presence(void **state)
{
	u8 id[512];

	assert_int_equal(cfg_get(A.rig.bus, 1, 0, 4), 0x70108086);
	assert_int_equal(cfg_get(A.rig.bus, 1, 8, 4) >> 8, 0x010180);
	assert_int_equal(bus_pio_read(A.rig.bus, LAYOUT_IDE2 + 7, 1), 0x7f); /* nothing there, and not busy */
	out(6, 0x10);
	assert_int_equal(in(4), 0x14); /* a packet device */
	assert_int_equal(in(5), 0xeb);
	command(0, 0xec, 0, 0);
	assert_int_equal(settled(), 0x58);
	take(id, 512);
	assert_int_equal(ld_le32(id + 120), DISK / 512);
	assert_int_equal(in(7), 0x50);
	command(0x10, 0xec, 0, 0);
	assert_true(settled() & ATA_S_ERR);
	command(0x10, 0xa1, 0, 0);
	assert_int_equal(settled(), 0x58);
	take(id, 512);
	assert_int_equal(ld_le16(id), 0x85c0);
	/* Ports that the guest does not want decoded. */
	cfg_put(A.rig.bus, 1, 0x40, 2, 0);
	assert_int_equal(in(7), 0xff);
	cfg_put(A.rig.bus, 1, 0x40, 2, 0x8000);
	assert_int_equal(in(7), 0x50);
}

static void pio(void **state)
{
	static u8 buf[256 * 512];

	command(0, 0x20, 10, 0); /* 256 sectors: more than the buffer holds */
	for (unsigned i = 0; i < 256; i++) {
		assert_int_equal(settled(), 0x58);
		take(buf + 512 * i, 512);
	}
	assert_int_equal(settled(), 0x50);
	for (unsigned i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], (u8)(10 + i / 512));
	command(0, 0x30, 20, 2);
	assert_false(level[0]); /* the first block is asked for without */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(settled(), 0x58);
		for (unsigned k = 0; k < 256; k++)
			bus_pio_write(A.rig.bus, CMD, 2, 0x5a5a);
	}
	assert_int_equal(settled(), 0x50);
	command(0, 0x20, 21, 2);
	assert_int_equal(settled(), 0x58);
	take(buf, 512);
	settled();
	take(buf + 512, 512);
	assert_int_equal(buf[511], 0x5a);
	assert_int_equal(buf[512], 22);
	/* By cylinder, head and sector: 0, 1, 1 is sector 63. */
	out(6, 0x01);
	out(2, 1);
	out(3, 1);
	out(4, 0);
	out(5, 0);
	out(7, 0x20);
	assert_int_equal(settled(), 0x58);
	take(buf, 512);
	assert_int_equal(buf[0], 63);
	command(0, 0x20, DISK / 512, 1);
	assert_int_equal(settled(), 0x51);
	assert_int_equal(in(1), ATA_E_IDNF);
}

static void dma(void **state)
{
	u16 bm = (u16)cfg_bar(A.rig.bus, 1, 4);
	u8 *prd = A.ram->host + 0x1000;

	st_le64(prd, 0x40000 | 512ull << 32);
	st_le64(prd + 8, 0x50000 | 512ull << 32 | 1ull << 63);
	bus_pio_write(A.rig.bus, bm + 4, 4, 0x1000);
	command(0, 0xc8, 30, 2);
	assert_int_equal(settled() & 0x08, 0);
	bus_pio_write(A.rig.bus, bm + 2, 1, 6);
	bus_pio_write(A.rig.bus, bm, 1, 9);
	for (unsigned i = 0; i < 5000 && !(bus_pio_read(A.rig.bus, bm + 2, 1) & 4); i++)
		ad_spin(&A, 1);
	assert_true(level[0]);
	assert_int_equal(bus_pio_read(A.rig.bus, bm + 2, 1) & 7, 4);
	assert_int_equal(in(7), 0x50);
	assert_false(level[0]);
	assert_int_equal(A.ram->host[0x401ff], 30);
	assert_int_equal(A.ram->host[0x50000], 31);
	/* Too few descriptors. */
	bus_pio_write(A.rig.bus, bm, 1, 0);
	command(0, 0xc8, 30, 3);
	bus_pio_write(A.rig.bus, bm, 1, 9);
	assert_true(settled() & ATA_S_ERR);
	assert_true(bus_pio_read(A.rig.bus, bm + 2, 1) & 2);
}

static void packet(const u8 *cdb, u16 limit)
{
	command(0x10, 0xa0, (u32)limit << 8, 0);
	assert_int_equal(in(2), 1);
	for (unsigned i = 0; i < 12; i += 2)
		bus_pio_write(A.rig.bus, CMD, 2, ld_le16(cdb + i));
}

static void packets(void **state)
{
	static const u8 ready[12] = { 0 }, sense[12] = { 3, 0, 0, 0, 18 }, read[12] = { 0x28, 0, 0, 0, 0, 3, 0, 0, 1 };
	u8 buf[2048];

	packet(ready, 0);
	assert_true(settled() & ATA_S_ERR);
	packet(sense, 0xfffe);
	assert_int_equal(settled() & 0x09, 8);
	assert_int_equal(in(2), 2);
	assert_int_equal(in(4), 18);
	take(buf, 18);
	assert_int_equal(buf[2], 6);
	assert_int_equal(settled(), 0x40);
	assert_int_equal(in(2), 3);
	packet(read, 512); /* four blocks */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(settled() & 0x09, 8);
		assert_int_equal(in(4) | in(5) << 8, 512);
		take(buf + 512 * i, 512);
	}
	assert_int_equal(settled(), 0x40);
	assert_int_equal(buf[0], 12);
	assert_int_equal(buf[2047], 15);
}

static void resets(void **state)
{
	command(0, 0x20, 0, 8);
	bus_pio_write(A.rig.bus, LAYOUT_IDE1_CONTROL, 1, 4);
	assert_int_equal(bus_pio_read(A.rig.bus, LAYOUT_IDE1_CONTROL, 1), 0x80);
	bus_pio_write(A.rig.bus, LAYOUT_IDE1_CONTROL, 1, 0);
	assert_int_equal(settled(), 0x50);
	assert_int_equal(in(1), 1);
	assert_int_equal(in(2), 1);
	out(6, 0x10);
	out(7, 0x08);
	assert_int_equal(in(5), 0xeb);
	pci_bus_reset(A.rig.pci);
	command(0, 0x20, 5, 1);
	assert_int_equal(settled(), 0x58);
}

/* In the middle of a block at the data port. */
static void saved(void **state)
{
	struct ahci_driver first;
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	u8 buf[1024];

	command(0, 0x20, 40, 2);
	assert_int_equal(settled(), 0x58);
	take(buf, 100);
	assert_true(pci_bus_quiesce(A.rig.pci));
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(A.rig.pci, s, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	first = A;
	up(&A);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(A.rig.pci, s, NULL), 0);
	state_free(s);
	close(fd);
	pci_bus_resume(A.rig.pci);
	take(buf + 100, 412);
	assert_int_equal(settled(), 0x58);
	take(buf + 512, 512);
	assert_int_equal(settled(), 0x50);
	for (unsigned i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 40 + i / 512);
	struct ahci_driver second = A;
	A = first;
	ad_down(&A);
	A = second;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(presence, setup, teardown),
		cmocka_unit_test_setup_teardown(pio, setup, teardown),
		cmocka_unit_test_setup_teardown(dma, setup, teardown),
		cmocka_unit_test_setup_teardown(packets, setup, teardown),
		cmocka_unit_test_setup_teardown(resets, setup, teardown),
		cmocka_unit_test_setup_teardown(saved, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
