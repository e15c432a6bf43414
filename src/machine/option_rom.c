/* SPDX-License-Identifier: GPL-2.0-or-later */
/* option_rom.c - see option_rom.h. */
#include "machine/option_rom.h"

#include "base/ram.h"

/* PCI Firmware 3.3, 5.1.1 and 5.1.2 */
#define HEADER_BYTES 0x1a
#define HEADER_SIZE 2 /* in units of 512 bytes; the sum of that many bytes is 0 */
#define HEADER_FREE 6 /* nothing reads it: it makes up for what is changed */
#define HEADER_DATA 0x18
#define DATA_BYTES 0x18
#define DATA_VENDOR 4
#define DATA_DEVICE 6
#define DATA_TYPE 0x14
#define TYPE_PC 0

static void make_ours(u8 *rom, u64 room, const struct pci_dev *d)
{
	u16 data = ld_le16(rom + HEADER_DATA);
	u64 bytes = rom[HEADER_SIZE] * 512ull;

	if (rom[0] != 0x55 || rom[1] != 0xaa || !bytes || bytes > room || (u64)data + DATA_BYTES > bytes ||
	    memcmp(rom + data, "PCIR", 4) || rom[data + DATA_TYPE] != TYPE_PC)
		return;
	memcpy(rom + data + DATA_VENDOR, d->cfg, 4); /* vendor and device stand in the same order there */
	u8 sum = 0;
	for (u64 i = 0; i < bytes; i++)
		sum = (u8)(sum + rom[i]);
	rom[HEADER_FREE] = (u8)(rom[HEADER_FREE] - sum);
}

int option_rom_add(struct pci_dev *d, struct ram *ram, const u8 *image, size_t bytes, u64 room, struct err *e)
{
	u64 off;
	int r = ram_take(ram, room, &off, e);

	if (r < 0)
		return r;
	if (image && bytes >= HEADER_BYTES && bytes <= room) {
		memcpy(ram->host + off, image, bytes);
		make_ours(ram->host + off, room, d);
		ram_wrote_at(ram, off, room);
	}
	pci_add_memory_bar(d, PCI_ROM_BAR, ram, off, room);
	return 0;
}
