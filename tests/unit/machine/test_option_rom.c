/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_option_rom.c - a PCI function's option ROM: its numbers, its sum, and images that are none. */
#include "base/ram.h"
#include "machine/layout.h"
#include "machine/memory.h"
#include "machine/option_rom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ROOM 4096u

static const struct pci_dev_ops ops;

static u8 sum(const u8 *p, size_t n)
{
	u8 s = 0;

	while (n--)
		s = (u8)(s + *p++);
	return s;
}

/* An image of 1 KiB for 1af4:1000, data structure at 40h. */
static void image(u8 *rom)
{
	memset(rom, 0x11, 1024);
	rom[0] = 0x55;
	rom[1] = 0xaa;
	rom[2] = 2;
	rom[0x18] = 0x40;
	rom[0x19] = 0;
	memcpy(rom + 0x40, "PCIR\xf4\x1a\x00\x10", 8);
	rom[0x54] = 0; /* for a PC */
	rom[6] = 0;
	rom[6] = (u8)-sum(rom, 1024);
}

/* What of it is in the ROM. */
static void made(u8 *out, const u8 *rom, size_t bytes)
{
	struct err e;
	struct ram *ram;
	struct pci_dev d;

	assert_int_equal(ram_new_with_room(&ram, 16 * MIB, MEMORY_ROOM, &e), 0);
	memset(&d, 0, sizeof(d));
	pci_dev_init(&d, &ops, "card", 0x8086, 0x100e, 0x020000 << 8);
	assert_int_equal(option_rom_add(&d, ram, rom, bytes, ROOM, &e), 0);
	memcpy(out, ram->host + ram->pieces, ROOM);
	ram_free(ram);
}

static void test_ours(void **state)
{
	(void)state;
	u8 rom[ROOM], got[ROOM];

	image(rom);
	made(got, rom, 1024);
	assert_memory_equal(got + 0x44, "\x86\x80\x0e\x10", 4);
	assert_int_equal(sum(got, 1024), 0);
	memcpy(got + 0x44, rom + 0x44, 4);
	got[6] = rom[6];
	assert_memory_equal(got, rom, 1024);
	assert_int_equal(got[1024], 0);
}

/* Left as it is, or left out; never read beyond its end. */
static void test_others(void **state)
{
	(void)state;
	u8 rom[2 * ROOM] = { 0 }, got[ROOM], none[ROOM] = { 0 };
	static const struct {
		unsigned at;
		u8 v;
	} wrong[] = { { 0, 0 }, { 2, 0 }, { 2, 9 }, { 0x19, 0xff }, { 0x19, 3 }, { 0x40, 'Q' }, { 0x54, 3 } };

	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		image(rom);
		rom[wrong[i].at] = wrong[i].v;
		if (wrong[i].at == 0x19)
			rom[0x18] = 0xf0;
		made(got, rom, 1024);
		assert_memory_equal(got, rom, 1024);
	}
	image(rom);
	made(got, rom, sizeof(rom)); /* more than there is room for */
	assert_memory_equal(got, none, ROOM);
	made(got, NULL, 0);
	assert_memory_equal(got, none, ROOM);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ours), cmocka_unit_test(test_others) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
