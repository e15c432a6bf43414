/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_ahci.c - AHCI disks and CD-ROMs as a driver finds them: start, PIO, DMA and queued commands, errors, resets,
 * interrupts, saved in the middle of its work and loaded into another.
 */
#include "ahci_driver.h"
#include "base/state.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DISK (1 * MIB)

static struct ahci_driver A;

static int setup(void **state)
{
	ad_up(&A);
	ad_add(&A, ad_drive(&A, DISK, false, "disk0"));
	ad_add(&A, ad_drive(&A, DISK, true, "cdrom0"));
	ad_start(&A, 0);
	ad_start(&A, 1);
	return 0;
}

static int teardown(void **state)
{
	ad_down(&A);
	return 0;
}

static u8 *data(void)
{
	return A.ram->host + AD_DATA;
}

/* ---- what it is ---- */

static void what_it_is(void **state)
{
	assert_int_equal(cfg_get(A.rig.bus, 1, 0, 4), 0x29228086);
	assert_int_equal(cfg_get(A.rig.bus, 1, 8, 4) >> 8, 0x010601);
	assert_int_equal(ad_get(&A, 0x0c), 0x3f);
	assert_int_equal(ad_get(&A, 0x10), 0x00010301);
	assert_int_equal(ad_pget(&A, 0, 0x24), 0x00000101);
	assert_int_equal(ad_pget(&A, 1, 0x24), 0xeb140101);
	assert_int_equal(ad_pget(&A, 0, 0x28), 0x133);
	assert_int_equal(ad_pget(&A, 2, 0x28), 0);
	assert_int_equal(ad_pget(&A, 0, 0x20) & 0xff, 0x50);
	assert_int_equal(ad_pget(&A, 2, 0x20) & 0xff, 0x7f);
	assert_int_equal(A.ram->host[0x1000 + 0x840], 0x34); /* the signature came as a FIS */
}

static void identify(void **state)
{
	const struct ad_cmd c = { .command = 0xec, .data = AD_DATA, .bytes = 512 };
	u8 sum = 0;

	assert_int_equal(ad_run(&A, 0, &c), 0x50);
	assert_int_equal(ld_le64(data() + 200), DISK / 512);
	assert_int_equal(ld_le32(data() + 120), DISK / 512);
	assert_memory_equal(data() + 20, "idks 0", 6); /* its id, bytes exchanged */
	for (unsigned i = 0; i < 512; i++)
		sum = (u8)(sum + data()[i]);
	assert_int_equal(sum, 0);
	assert_int_equal(ad_pget(&A, 0, 0x10) & 3, 2); /* PIO: its setup FIS interrupts */
	assert_int_equal(ld_le32(A.ram->host + 0x1004), 512);
	/* A CD-ROM says no, with its signature. */
	assert_true(ad_run(&A, 1, &c) & ATA_S_ERR);
	assert_int_equal(A.ram->host[0x2000 + 0x845], 0x14);
	assert_int_equal(A.ram->host[0x2000 + 0x846], 0xeb);
	ad_restart(&A, 1);
}

/* ---- moving data ---- */

static void reads_and_writes(void **state)
{
	static const u8 reads[] = { 0x20, 0x24, 0x25, 0xc8, 0x29, 0xc4 },
			writes[] = { 0x30, 0x34, 0x35, 0xca, 0x3d, 0x39 };
	const struct ad_cmd multiple = { .command = 0xc6, .count = 4 };

	assert_int_equal(ad_run(&A, 0, &multiple), 0x50);
	for (unsigned i = 0; i < ARRAY_LEN(reads); i++) {
		u64 lba = 100 + 10 * i;
		const struct ad_cmd w = { .command = writes[i],
					  .device = 0x40,
					  .count = 3,
					  .lba = lba,
					  .data = AD_DATA,
					  .bytes = 1536,
					  .out = true };
		const struct ad_cmd r = {
			.command = reads[i], .device = 0x40, .count = 5, .lba = lba - 1, .data = AD_DATA, .bytes = 2560
		};
		memset(data(), 0xa0 + (int)i, 1536);
		assert_int_equal(ad_run(&A, 0, &w), 0x50);
		memset(data(), 0, 2560);
		assert_int_equal(ad_run(&A, 0, &r), 0x50);
		assert_int_equal(data()[511], (u8)(lba - 1));
		assert_int_equal(data()[512], 0xa0 + i);
		assert_int_equal(data()[2047], 0xa0 + i);
		assert_int_equal(data()[2048], (u8)(lba + 3));
	}
}

/* PRDs of odd sizes, more of them than one piece takes; sectors lie across them. */
static void many_prds(void **state)
{
	const struct ad_cmd c = { .command = 0x25, .device = 0x40, .count = 64, .lba = 8, .data = AD_DATA, .bytes = 2 };
	u8 *t = A.ram->host + AD_TABLE(0);
	unsigned n = 0;

	ad_fill(&A, 0, 0, &c);
	for (u64 at = 0; at < 64 * 512; n++) {
		u32 bytes = MIN(n % 3 ? 2u : 130u, (u32)(64 * 512 - at));
		assert_true(0x80 + 16 * n < 0x10000);
		st_le64(t + 0x80 + 16 * n, 0x80000 + at);
		st_le32(t + 0x8c + 16 * n, bytes - 1);
		at += bytes;
	}
	assert_true(n > 2 * ATA_IOV_MAX);
	st_le16(A.ram->host + 0x1002, (u16)n);
	ad_pput(&A, 0, 0x38, 1);
	while (ad_pget(&A, 0, 0x38))
		ad_spin(&A, 1);
	assert_int_equal(ad_pget(&A, 0, 0x20), 0x50);
	for (unsigned i = 0; i < 64 * 512; i++)
		assert_int_equal(A.ram->host[0x80000 + i], (u8)(8 + i / 512));
	assert_int_equal(ld_le32(A.ram->host + 0x1004), 64 * 512);
}

static void queued(void **state)
{
	struct ad_cmd c = { .command = 0x60, .device = 0x40, .feature = 8, .bytes = 4096 };

	for (unsigned i = 0; i < 32; i++) {
		c.lba = 8 * i;
		c.count = (u16)(i << 3);
		c.data = 0x80000 + 4096 * i;
		ad_fill(&A, 0, i, &c);
	}
	ad_pput(&A, 0, 0x10, ~0u);
	ad_pput(&A, 0, 0x34, ~0u);
	ad_pput(&A, 0, 0x38, ~0u);
	assert_int_equal(ad_pget(&A, 0, 0x38), 0); /* accepted at once (AHCI 5.5.1) */
	while (ad_pget(&A, 0, 0x34))
		ad_spin(&A, 1);
	assert_int_equal(ad_pget(&A, 0, 0x10), 1 << 3);
	for (unsigned i = 0; i < 32 * 4096; i++)
		assert_int_equal(A.ram->host[0x80000 + i], (u8)(i / 512));
}

/* ---- errors ---- */

static void beyond_the_end(void **state)
{
	struct ad_cmd c = {
		.command = 0x25, .device = 0x40, .count = 2, .lba = DISK / 512 - 1, .data = AD_DATA, .bytes = 1024
	};
	const struct ad_cmd log = { .command = 0x2f, .count = 1, .lba = 0x10, .data = AD_DATA, .bytes = 512 };

	assert_int_equal(ad_run(&A, 0, &c), 0x51);
	assert_int_equal(ad_pget(&A, 0, 0x20) >> 8, ATA_E_IDNF);
	assert_true(ad_pget(&A, 0, 0x10) & 1u << 30);
	assert_int_equal(ad_pget(&A, 0, 0x38), 1); /* the slot that failed */
	c.lba = 0;
	ad_fill(&A, 0, 1, &c);
	ad_pput(&A, 0, 0x38, 2); /* stopped: nothing starts */
	ad_spin(&A, 2);
	assert_int_equal(ad_pget(&A, 0, 0x38), 3);
	ad_restart(&A, 0);
	assert_int_equal(ad_run(&A, 0, &c), 0x50);

	c = (struct ad_cmd){ .command = 0x61,
			     .device = 0x40,
			     .feature = 1,
			     .lba = 1ull << 40,
			     .data = AD_DATA,
			     .bytes = 512,
			     .out = true };
	assert_true(ad_run(&A, 0, &c) & ATA_S_ERR);
	assert_int_equal(ad_pget(&A, 0, 0x34), 1);
	ad_restart(&A, 0);
	assert_int_equal(ad_run(&A, 0, &log), 0x50);
	assert_int_equal(data()[0], 0); /* its tag */
	assert_int_equal(data()[3], ATA_E_IDNF);
	assert_int_equal(data()[10], 1); /* LBA 47:40 */
	assert_int_equal(ad_run(&A, 0, &log), 0x50);
	assert_int_equal(data()[0], 0x80);
}

static void memory_that_is_none(void **state)
{
	struct ad_cmd c = { .command = 0x25, .device = 0x40, .count = 1, .data = 1ull << 40, .bytes = 512 };

	ad_run(&A, 0, &c);
	assert_true(ad_pget(&A, 0, 0x10) & 1u << 29);
	ad_restart(&A, 0);
	c.data = AD_RAM - 256;
	ad_run(&A, 0, &c);
	assert_true(ad_pget(&A, 0, 0x10) & 1u << 29);
	ad_restart(&A, 0);
	/* Too little memory for the data. */
	c.data = AD_DATA;
	c.count = 2;
	assert_true(ad_run(&A, 0, &c) & ATA_S_ERR);
	assert_true(ad_pget(&A, 0, 0x10) & 1u << 24);
	ad_restart(&A, 0);
	/* No FIS; no list. */
	ad_fill(&A, 0, 0, &c);
	A.ram->host[AD_TABLE(0)] = 0x28;
	ad_pput(&A, 0, 0x38, 1);
	assert_true(ad_pget(&A, 0, 0x10) & 1u << 27);
	ad_restart(&A, 0);
	ad_pput(&A, 0, 0x04, 0x8000);
	ad_pput(&A, 0, 0x38, 1);
	assert_true(ad_pget(&A, 0, 0x10) & 1u << 29);
	ad_restart(&A, 0);
	assert_int_equal(ad_run(&A, 0, &(struct ad_cmd){ .command = 0xe7 }), 0x50);
}

/* ---- settings, trim ---- */

static void trim(void **state)
{
	const struct ad_cmd c = {
		.command = 0x06, .feature = 1, .count = 1, .data = AD_DATA, .bytes = 512, .out = true
	};
	const struct ad_cmd r = {
		.command = 0x25, .device = 0x40, .count = 32, .lba = 60, .data = AD_DATA, .bytes = 16384
	};

	memset(data(), 0, 512);
	st_le64(data(), 64 | 8ull << 48);
	st_le64(data() + 8, 72 | 8ull << 48);
	assert_int_equal(ad_run(&A, 0, &c), 0x50);
	assert_int_equal(ad_run(&A, 0, &r), 0x50);
	assert_int_equal(data()[3 * 512], 63);
	assert_int_equal(data()[4 * 512], 0);
	assert_int_equal(data()[19 * 512], 0);
	assert_int_equal(data()[20 * 512], 80);
	st_le64(data(), (DISK / 512 - 1) | 2ull << 48);
	assert_true(ad_run(&A, 0, &c) & ATA_S_ERR);
	ad_restart(&A, 0);
}

static void commands_of_no_data(void **state)
{
	static const struct {
		u8 command;
		u16 feature, count;
		u64 lba;
		u8 status;
	} all[] = {
		{ 0xe7, 0, 0, 0, 0x50 },       { 0xea, 0, 0, 0, 0x50 },    { 0xef, 0x03, 0x45, 0, 0x50 },
		{ 0xef, 0x03, 0x4f, 0, 0x51 }, { 0xef, 0x82, 0, 0, 0x50 }, { 0xef, 0x02, 0, 0, 0x50 },
		{ 0xe0, 0, 0, 0, 0x50 },       { 0xe5, 0, 0, 0, 0x50 },    { 0xb0, 0xda, 0, 0xc24f00, 0x50 },
		{ 0xb0, 0xda, 0, 0, 0x51 },    { 0x40, 0, 1, 0, 0x50 },    { 0xa0, 0, 0, 0, 0x51 },
		{ 0xff, 0, 0, 0, 0x51 },       { 0xc6, 0, 3, 0, 0x51 },    { 0x90, 0, 0, 0, 0x50 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		const struct ad_cmd c = { .command = all[i].command,
					  .device = 0x40,
					  .feature = all[i].feature,
					  .count = all[i].count,
					  .lba = all[i].lba };
		u8 status = ad_run(&A, 0, &c);
		if (status != all[i].status)
			fail_msg("command %02x, feature %02x: status %02x", c.command, c.feature, status);
		if (status & ATA_S_ERR)
			ad_restart(&A, 0);
	}
}

/* ---- interrupts and resets ---- */

static void interrupts(void **state)
{
	const struct ad_cmd c = { .command = 0xe7 };
	unsigned msi = 0x40; /* the only capability */

	ad_run(&A, 0, &c);
	assert_true(A.rig.wire_level);
	assert_int_equal(ad_get(&A, 0x08), 1);
	ad_put(&A, 0x08, 1); /* the port has not been heard: it says so again */
	assert_int_equal(ad_get(&A, 0x08), 1);
	ad_pput(&A, 0, 0x10, ~0u);
	ad_put(&A, 0x08, 1);
	assert_int_equal(ad_get(&A, 0x08), 0);
	assert_false(A.rig.wire_level);

	assert_int_equal(cfg_get(A.rig.bus, 1, msi, 1), 5);
	cfg_put(A.rig.bus, 1, msi + 4, 4, 0xfee01000);
	cfg_put(A.rig.bus, 1, msi + 12, 2, 0x4041);
	cfg_put(A.rig.bus, 1, msi + 2, 2, 1);
	A.rig.nmsi = 0;
	ad_run(&A, 0, &c);
	assert_int_equal(A.rig.nmsi, 1);
	assert_int_equal(A.rig.msi_addr, 0xfee01000);
	assert_int_equal(A.rig.msi_data, 0x4041);
	assert_false(A.rig.wire_level);
}

static void resets(void **state)
{
	struct ad_cmd c = { .command = 0x25, .device = 0x40, .count = 8, .data = AD_DATA, .bytes = 4096 };

	/* With a command under way, COMRESET, then the whole controller. */
	for (unsigned i = 0; i < 2; i++) {
		ad_fill(&A, 0, 0, &c);
		ad_pput(&A, 0, 0x38, 1);
		if (i == 0) {
			ad_pput(&A, 0, 0x18, 1 << 4);
			ad_pput(&A, 0, 0x2c, 1);
			assert_int_equal(ad_pget(&A, 0, 0x28), 1);
			ad_pput(&A, 0, 0x2c, 0);
			assert_true(ad_pget(&A, 0, 0x10) & 1 << 6);
			assert_int_equal(ad_pget(&A, 0, 0x20) & 0xff, 0x50);
			assert_int_equal(ad_pget(&A, 0, 0x24), 0x101);
		} else {
			ad_put(&A, 0x04, 1);
		}
		while (ad_get(&A, 0x04) & 1 || ad_pget(&A, 0, 0x18) & 1 << 15)
			ad_spin(&A, 1);
		ad_start(&A, 0);
		assert_int_equal(ad_run(&A, 0, &c), 0x50);
	}
	/* A software reset: two FISes of the control register. */
	for (unsigned i = 0; i < 2; i++) {
		ad_fill(&A, 0, 0, &(struct ad_cmd){ 0 });
		A.ram->host[AD_TABLE(0) + 1] = 0;
		A.ram->host[AD_TABLE(0) + 15] = i ? 0 : 4;
		ad_pput(&A, 0, 0x38, 1);
		assert_int_equal(ad_pget(&A, 0, 0x38), 0);
		assert_int_equal(ad_pget(&A, 0, 0x20) & 0x80, i ? 0 : 0x80);
	}
	pci_bus_reset(A.rig.pci);
	assert_int_equal(pci_bus_assign(A.rig.pci), 0);
	ad_start(&A, 0);
	assert_int_equal(ad_run(&A, 0, &c), 0x50);
}

/* ---- CD-ROM ---- */

static void sense_is(u8 key, u8 asc)
{
	static const u8 request_sense[] = { 0x03, 0, 0, 0, 18 };

	assert_int_equal(ad_packet(&A, 1, request_sense, 5, 18), 0x40);
	assert_int_equal(data()[2], key);
	assert_int_equal(data()[12], asc);
}

static void cdrom(void **state)
{
	static const u8 ready[] = { 0x00 }, inquiry[] = { 0x12, 0, 0, 0, 36 }, capacity[10] = { 0x25 };
	static const u8 read10[] = { 0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0 }, toc[] = { 0x43, 0, 0, 0, 0, 0, 0, 0, 255, 0 };
	static const u8 beyond[] = { 0x28, 0, 0, 0, 2, 0, 0, 0, 1, 0 }, bad[] = { 0xf5 };
	static const u8 events[] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0 }, lock[] = { 0x1e, 0, 0, 0, 1 };
	static const u8 config[] = { 0x46, 0, 0, 0, 0, 0, 0, 1, 0 }, eject[] = { 0x1b, 0, 0, 0, 2 },
			load[] = { 0x1b, 0, 0, 0, 3 };

	assert_int_equal(ad_packet(&A, 1, ready, 1, 0), 0x41);
	sense_is(6, 0x29); /* after power-on, once */
	assert_int_equal(ad_packet(&A, 1, ready, 1, 0), 0x40);
	assert_int_equal(ad_packet(&A, 1, inquiry, 5, 512), 0x40);
	assert_int_equal(data()[0], 5);
	assert_memory_equal(data() + 8, "Mica    CD-ROM", 14);
	assert_int_equal(ld_le32(A.ram->host + 0x2004), 36);
	assert_int_equal(ad_packet(&A, 1, capacity, 10, 8), 0x40);
	assert_memory_equal(data(), "\0\0\1\xff\0\0\10\0", 8);
	assert_int_equal(ad_packet(&A, 1, read10, 10, 4096), 0x40);
	assert_int_equal(data()[0], 12);
	assert_int_equal(data()[4095], 19);
	assert_int_equal(ad_packet(&A, 1, toc, 10, 255), 0x40);
	assert_memory_equal(data(), "\0\x12\1\1", 4);
	assert_int_equal(ad_packet(&A, 1, config, 9, 512), 0x40);
	assert_int_equal(data()[7], 8); /* a CD-ROM is in it */
	assert_int_equal(ad_packet(&A, 1, beyond, 10, 2048), 0x41);
	sense_is(5, 0x21);
	assert_int_equal(ad_packet(&A, 1, bad, 1, 0), 0x41);
	sense_is(5, 0x20);

	/* Locked: neither side gets it out, but the guest hears that the host wants it. */
	assert_int_equal(ad_packet(&A, 1, lock, 5, 0), 0x40);
	assert_int_equal(ad_packet(&A, 1, eject, 5, 0), 0x41);
	sense_is(5, 0x53);
	assert_int_equal(ad_packet(&A, 1, lock, 4, 0), 0x40);
	assert_int_equal(ad_packet(&A, 1, eject, 5, 0), 0x40);
	assert_int_equal(ad_packet(&A, 1, ready, 1, 0), 0x41);
	sense_is(2, 0x3a);
	assert_int_equal(ad_packet(&A, 1, events, 10, 8), 0x40);
	assert_int_equal(data()[5], 1);
	assert_int_equal(ad_packet(&A, 1, load, 5, 0), 0x40);
	assert_int_equal(ad_packet(&A, 1, ready, 1, 0), 0x41);
	sense_is(6, 0x28);
	assert_int_equal(ad_packet(&A, 1, ready, 1, 0), 0x40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(identify, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(many_prds, setup, teardown),
		cmocka_unit_test_setup_teardown(queued, setup, teardown),
		cmocka_unit_test_setup_teardown(beyond_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(memory_that_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(trim, setup, teardown),
		cmocka_unit_test_setup_teardown(commands_of_no_data, setup, teardown),
		cmocka_unit_test_setup_teardown(interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(resets, setup, teardown),
		cmocka_unit_test_setup_teardown(cdrom, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
