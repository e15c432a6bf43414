/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_firmware.c - a board with firmware under a guest that does anything to what firmware uses: fw_cfg by ports and
 * by transfers, PAM and PCIEXBAR, flash. Nothing crashes; the ROM is never changed, and an access to memory comes back.
 *
 * Input: records of 8 bytes: what, and three numbers.
 */
#include "machine/fw_cfg.h"
#include "machine/layout.h"
#include "machine/machine.h"

#define RAM_BYTES (8 * MIB)
#define ROM_BYTES (128 * KIB)
#define VARS_BYTES (64 * KIB)
#define FLASH (LAYOUT_FW_END - ROM_BYTES - VARS_BYTES)
#define RECORD 8u
#define RECORDS_MAX 512u

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct machine *m;
static struct ram *ram;
static struct bus *bus;
static u8 rom[ROM_BYTES];

static void prepare(void)
{
	static u8 vars[VARS_BYTES];
	struct firmware_image image = { .name = "fuzz",
					.code = rom,
					.code_bytes = ROM_BYTES,
					.vars = vars,
					.vars_bytes = VARS_BYTES,
					.vars_fd = -1 };
	struct machine_config cfg = { .ncpus = 1, .firmware = &image };
	struct err e;

	for (unsigned i = 0; i < ROM_BYTES; i++)
		rom[i] = (u8)(i ^ i >> 8);
	must(ram_new_with_room(&ram, RAM_BYTES, 8 * MIB, &e) == 0);
	must(loop_new(&cfg.loop, &e) == 0);
	cfg.ram = ram;
	must(machine_new(&m, &cfg, &e) == 0);
	bus = machine_bus(m);
}

/* As an engine: memory, else the bus; what was edited comes into force behind the access. */
static void store(gpa_t gpa, unsigned bytes, u64 v)
{
	struct err e;
	u8 *p = ram_ptr(ram, gpa, bytes);

	if (p)
		memcpy(p, &v, bytes);
	else
		bus_mmio_write(bus, gpa, bytes, v);
	if (ram_edited(ram))
		(void)ram_commit(ram, &e);
}

static void load(gpa_t gpa, unsigned bytes)
{
	if (!ram_ptr_ro(ram, gpa, bytes))
		(void)bus_mmio_read(bus, gpa, bytes);
}

static void out(u16 port, unsigned bytes, u32 v)
{
	struct err e;

	bus_pio_write(bus, port, bytes, v);
	if (ram_edited(ram))
		(void)ram_commit(ram, &e);
}

static void record(const u8 *r)
{
	unsigned bytes = 1u << (r[0] >> 4 & 3);
	u16 a = ld_le16(r + 2);
	u32 v = ld_le32(r + 4);

	switch (r[0] & 15) {
	case 0:
		out(0x510, 2, v & 0xffff);
		break;
	case 1:
		(void)bus_pio_read(bus, (u16)(0x510 + a % 12), MIN(bytes, 4));
		break;
	case 2: { /* a transfer that is well formed as far as it goes */
		u8 job[16] = { 0 };
		st_le32(job, __builtin_bswap32(v & 0xffff001f));
		st_le32(job + 4, __builtin_bswap32((u32)a << r[1] % 16));
		st_le32(job + 12, __builtin_bswap32(r[1] & 1 ? (u32)LAYOUT_PAM + a : v));
		(void)ram_put(ram, 0x1000, job, sizeof(job));
		out(0x518, 4, __builtin_bswap32(0x1000));
		break;
	}
	case 3:
		out((u16)(0x510 + a % 12), MIN(bytes, 4), v);
		break;
	case 4: /* the host bridge */
		out(0xcf8, 4, 0x80000000u | (a & 0xfc));
		out(0xcfc, 4, v);
		break;
	case 5:
		store(LAYOUT_PAM + a * 4ull, bytes, v);
		break;
	case 6:
		load(LAYOUT_PAM + a * 4ull, bytes);
		break;
	case 7:
	case 8:
		store(FLASH + a, bytes, v);
		break;
	case 9:
		load(FLASH + a, bytes);
		break;
	case 10:
		machine_reset(m);
		break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (!m)
		prepare();
	for (size_t i = 0; i + RECORD <= size && i < RECORD * RECORDS_MAX; i += RECORD)
		record(data + i);
	must(!memcmp(ram_ptr_ro(ram, LAYOUT_FW_END - ROM_BYTES, ROM_BYTES), rom, ROM_BYTES));
	machine_reset(m);
	must(!memcmp(ram_ptr_ro(ram, MIB - ROM_BYTES, ROM_BYTES), rom, ROM_BYTES));
	return 0;
}
