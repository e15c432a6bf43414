/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_firmware.c - a board with firmware, as firmware sees it: ROM, PAM, ECAM, fw_cfg, CMOS; reset, and saved state.
 */
#include "base/state.h"
#include "machine/acpi_loader.h"
#include "machine/fw_cfg.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/pam.h"
#include "machine/pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "unit/cpu/fake_cpu.h" /* defines cpu_*: in one file per test */

#define RAM_BYTES (16 * MIB)
#define ROM_BYTES (256 * KIB)
#define VARS_BYTES (64 * KIB)
#define FLASH (LAYOUT_FW_END - ROM_BYTES - VARS_BYTES)
#define PCIEXBAR 0x60
#define PAM 0x90

static struct err err;

struct cpu_vm {
	struct cpu cpu[2];
};

struct cpu *cpu_vm_cpu(struct cpu_vm *vm, unsigned index)
{
	return &vm->cpu[index];
}

struct board {
	struct ram *ram;
	struct loop *loop;
	struct machine *m;
	struct bus *bus;
	struct cpu_vm vm;
};

/* Byte n of the ROM says where it is. */
static u8 rom_byte(u64 off)
{
	return (u8)(off >> 12 ^ off);
}

static int vars_fd = -1; /* of the next board; its flash is there when it is set */
static u8 vars[VARS_BYTES];

static void up(struct board *b)
{
	auto_free u8 *rom = xcalloc(1, ROM_BYTES);
	struct firmware_image image = { .name = "test", .code = rom, .code_bytes = ROM_BYTES, .vars_fd = vars_fd };
	struct machine_config cfg = { .ncpus = 2, .firmware = &image };

	if (vars_fd >= 0) {
		assert_int_equal(pread(vars_fd, vars, sizeof(vars), 0), sizeof(vars));
		image.vars = vars;
		image.vars_bytes = sizeof(vars);
	}
	memset(b, 0, sizeof(*b));
	for (u64 i = 0; i < ROM_BYTES; i++)
		rom[i] = rom_byte(i);
	assert_int_equal(ram_new_with_room(&b->ram, RAM_BYTES, 64 * MIB, &err), 0);
	assert_int_equal(loop_new(&b->loop, &err), 0);
	cfg.ram = b->ram;
	cfg.loop = b->loop;
	assert_int_equal(machine_new(&b->m, &cfg, &err), 0);
	machine_attach_cpus(b->m, &b->vm);
	b->bus = machine_bus(b->m);
}

static void down(struct board *b)
{
	machine_free(b->m);
	loop_free(b->loop);
	ram_free(b->ram);
}

static int setup(void **state)
{
	static struct board b;

	up(&b);
	*state = &b;
	return 0;
}

static int teardown(void **state)
{
	down(*state);
	return 0;
}

/* ---- what a vCPU does ---- */

static int peek(struct board *b, gpa_t gpa)
{
	const u8 *p = ram_ptr_ro(b->ram, gpa, 1);

	return p ? *p : -1;
}

/* As an engine: memory that may be written, else the bus; edits come into force behind the access. */
static void poke(struct board *b, gpa_t gpa, u8 v)
{
	u8 *p = ram_ptr(b->ram, gpa, 1);

	if (p)
		*p = v;
	else
		bus_mmio_write(b->bus, gpa, 1, v);
}

static void bridge(struct board *b, unsigned reg, unsigned bytes, u32 v)
{
	bus_pio_write(b->bus, 0xcf8, 4, 0x80000000u | (reg & ~3u));
	bus_pio_write(b->bus, (u16)(0xcfc + (reg & 3)), bytes, v);
	if (ram_edited(b->ram))
		assert_int_equal(ram_commit(b->ram, &err), 0);
}

static void read_port(struct board *b, u16 key, void *buf, size_t bytes)
{
	bus_pio_write(b->bus, 0x510, 2, key);
	for (size_t i = 0; i < bytes; i++)
		((u8 *)buf)[i] = (u8)bus_pio_read(b->bus, 0x511, 1);
}

static u32 be32(const u8 *p)
{
	return __builtin_bswap32(ld_le32(p));
}

/* Key of a file, 0: there is none; its length. */
static u16 find_file(struct board *b, const char *name, u32 *bytes)
{
	u8 dir[4 + 64 * FW_CFG_FILES_MAX];

	read_port(b, 0x19, dir, sizeof(dir));
	for (u32 i = 0; i < be32(dir); i++) {
		const u8 *d = dir + 4 + (size_t)64 * i;
		if (strcmp((const char *)d + 8, name))
			continue;
		*bytes = be32(d);
		return (u16)(be32(d + 4) >> 16);
	}
	return 0;
}

static u32 dma(struct board *b, gpa_t job, u32 control, u32 bytes, u64 at)
{
	u8 j[16];

	st_le32(j, __builtin_bswap32(control));
	st_le32(j + 4, __builtin_bswap32(bytes));
	st_le64(j + 8, __builtin_bswap64(at));
	assert_int_equal(ram_put(b->ram, job, j, sizeof(j)), 0);
	bus_pio_write(b->bus, 0x514, 4, __builtin_bswap32((u32)(job >> 32)));
	bus_pio_write(b->bus, 0x518, 4, __builtin_bswap32((u32)job));
	assert_int_equal(ram_get(b->ram, job, j, 4), 0);
	return be32(j);
}

/* ---- tests ---- */

static void test_rom(void **state)
{
	struct board *b = *state;

	for (u64 off = 0; off < ROM_BYTES; off += 4095)
		assert_int_equal(peek(b, LAYOUT_FW_END - ROM_BYTES + off), rom_byte(off));
	/* Its end below 1 MiB, nothing before that, no memory where a screen would be. */
	for (u64 off = 0; off < 0x20000; off += 4095)
		assert_int_equal(peek(b, 0xe0000 + off), rom_byte(ROM_BYTES - 0x20000 + off));
	assert_int_equal(peek(b, 0xdffff), -1);
	assert_int_equal(peek(b, 0xa0000), -1);
	assert_int_equal(peek(b, 0x9ffff), 0);
	assert_int_equal(peek(b, MIB), 0);
	poke(b, 0xfffff, 1);
	poke(b, LAYOUT_FW_END - 1, 1);
	assert_int_equal(peek(b, 0xfffff), rom_byte(ROM_BYTES - 1));
	assert_int_equal(peek(b, LAYOUT_FW_END - 1), rom_byte(ROM_BYTES - 1));
}

static void test_pam(void **state)
{
	struct board *b = *state;
	int rom = rom_byte(ROM_BYTES - 0x10000);

	bridge(b, PAM, 1, 0x20); /* f0000: read the ROM, write the RAM behind it */
	poke(b, 0xf0000, 0x77);
	assert_int_equal(peek(b, 0xf0000), rom);
	bridge(b, PAM, 1, 0x10); /* read the RAM, write nothing */
	assert_int_equal(peek(b, 0xf0000), 0x77);
	poke(b, 0xf0000, 0x11);
	assert_int_equal(peek(b, 0xf0000), 0x77);
	bridge(b, PAM, 1, 0x30); /* RAM */
	poke(b, 0xf0000, 0x11);
	assert_int_equal(peek(b, 0xf0000), 0x11);
	assert_int_equal(peek(b, 0xe0000), rom_byte(ROM_BYTES - 0x20000)); /* it alone */
	bridge(b, PAM + 3, 1, 0x30);                                       /* d4000-d7fff */
	assert_int_equal(peek(b, 0xd3fff), -1);
	assert_int_equal(peek(b, 0xd4000), 0);
	assert_int_equal(peek(b, 0xd7fff), 0);
	assert_int_equal(peek(b, 0xd8000), -1);
	bridge(b, PAM, 4, 0xffffffff); /* only the registers' own bits stay */
	bus_pio_write(b->bus, 0xcf8, 4, 0x80000000u | PAM);
	assert_int_equal(bus_pio_read(b->bus, 0xcfc, 4), 0x33333330);
	machine_reset(b->m);
	assert_int_equal(peek(b, 0xf0000), rom);
	assert_int_equal(peek(b, 0xd4000), -1);
	bridge(b, PAM, 1, 0x30);
	assert_int_equal(peek(b, 0xf0000), 0x11); /* memory is the VMM's to empty */
}

static void test_ecam(void **state)
{
	struct board *b = *state;

	assert_int_equal(bus_mmio_read(b->bus, LAYOUT_ECAM, 4), 0xffffffff);
	bridge(b, PCIEXBAR, 4, 0xb0000001);
	assert_int_equal(bus_mmio_read(b->bus, 0xb0000000, 4), 0x29c08086);
	assert_int_equal(bus_mmio_read(b->bus, 0xb0100000, 4), 0xffffffff); /* bus 1 */
	bridge(b, PCIEXBAR, 4, 0xfee00001);                                 /* in the I/O APIC's and the flash's way */
	assert_int_equal(bus_mmio_read(b->bus, 0xb0000000, 4), 0xffffffff);
	machine_reset(b->m);
	bridge(b, PCIEXBAR, 4, 0xc0000000);
	assert_int_equal(bus_mmio_read(b->bus, 0xc0000000, 4), 0xffffffff); /* not enabled */
	/* The ACPI registers are where firmware puts them; nothing else can be said. */
	bus_pio_write(b->bus, 0xcf8, 4, 0x8000f840);
	bus_pio_write(b->bus, 0xcfc, 4, 0x1001);
	assert_int_equal(bus_pio_read(b->bus, 0xcfc, 4), LAYOUT_ACPI_PM | 1);
}

static void test_fw_cfg(void **state)
{
	struct board *b = *state;
	u8 v[8], e820[40];
	u32 bytes;

	read_port(b, 0, v, 5);
	assert_memory_equal(v, "QEMU\0", 5);
	read_port(b, 1, v, 4);
	assert_int_equal(ld_le32(v), 3);
	read_port(b, FW_CFG_RAM_SIZE, v, 8);
	assert_int_equal(ld_le64(v), RAM_BYTES);
	read_port(b, FW_CFG_NB_CPUS, v, 2);
	assert_int_equal(ld_le16(v), 2);
	read_port(b, 0x1234, v, 1); /* no such item */
	assert_int_equal(v[0], 0);
	assert_int_equal(find_file(b, "nothing", &bytes), 0);
	u16 key = find_file(b, "etc/e820", &bytes);
	assert_true(key >= 0x20 && bytes == 20);
	read_port(b, key, e820, 20);
	assert_int_equal(ld_le64(e820), 0);
	assert_int_equal(ld_le64(e820 + 8), RAM_BYTES);
	assert_int_equal(ld_le32(e820 + 16), 1);
	/* CMOS: KiB above 1 MiB, 64 KiB above 16 MiB, CPUs besides the first */
	bus_pio_write(b->bus, 0x70, 1, 0x30);
	assert_int_equal(bus_pio_read(b->bus, 0x71, 1), (15 * 1024) & 0xff);
	bus_pio_write(b->bus, 0x70, 1, 0x31);
	assert_int_equal(bus_pio_read(b->bus, 0x71, 1), (15 * 1024) >> 8);
	bus_pio_write(b->bus, 0x70, 1, 0x5f);
	assert_int_equal(bus_pio_read(b->bus, 0x71, 1), 1);
}

static void test_dma(void **state)
{
	struct board *b = *state;
	u32 bytes;

	assert_int_equal(fw_cfg_file(machine_fw_cfg(b->m), "opt/test", "0123456789", 10, &err), 0);
	u16 key = find_file(b, "opt/test", &bytes);
	assert_int_equal(bytes, 10);
	assert_int_equal(bus_pio_read(b->bus, 0x514, 4), ld_le32("QEMU"));
	assert_int_equal(bus_pio_read(b->bus, 0x518, 4), ld_le32(" CFG"));
	/* Select, skip, read over a page's end and the item's. */
	assert_int_equal(dma(b, 0x1000, (u32)key << 16 | 8 | 4, 3, 0), 0);
	memset(b->ram->host + 0x2ff0, 0xee, 64);
	assert_int_equal(dma(b, 0x1000, 2, 12, 0x2ffc), 0);
	assert_memory_equal(b->ram->host + 0x2ffc, "3456789\0\0\0\0\0\xee", 13);
	/* Nothing may be written, no more than so much at a time, and only where memory is. */
	assert_int_equal(dma(b, 0x1000, (u32)key << 16 | 8 | 16, 4, 0x3000), 1);
	assert_int_equal(dma(b, 0x1000, 2, UINT32_MAX, 0x3000), 1);
	assert_int_equal(dma(b, 0x1000, (u32)key << 16 | 8 | 2, 4, RAM_BYTES - 2), 1);
	assert_int_equal(dma(b, 0x1000, (u32)key << 16 | 8 | 2, 4, UINT64_MAX - 1), 1);
	assert_int_equal(dma(b, 0x1000, (u32)key << 16 | 8 | 2, 4, 0xffff0), 1); /* the ROM */
	assert_int_equal(dma(b, 0x1000, (u32)key << 16 | 8 | 4, UINT32_MAX, 0), 0);
	assert_int_equal(dma(b, 0x1000, 2, 1, 0x3000), 0);
	assert_int_equal(b->ram->host[0x3000], 0);
	/* A job that is nowhere: nothing happens. */
	bus_pio_write(b->bus, 0x514, 4, 0xffffffff);
	bus_pio_write(b->bus, 0x518, 4, 0xffffffff);
}

static void test_files_are_bounded(void **state)
{
	struct board *b = *state;
	struct fw_cfg *f = machine_fw_cfg(b->m);
	auto_free u8 *big = xcalloc(1, FW_CFG_FILE_BYTES + 1);
	char name[64];

	assert_int_equal(fw_cfg_file(f, "", "", 0, &err), -EINVAL);
	assert_int_equal(fw_cfg_file(f, "a b", "", 0, &err), -EINVAL);
	memset(name, 'x', 56);
	name[56] = '\0';
	assert_int_equal(fw_cfg_file(f, name, "", 0, &err), -EINVAL);
	assert_int_equal(fw_cfg_file(f, "big", big, FW_CFG_FILE_BYTES + 1, &err), -E2BIG);
	assert_int_equal(fw_cfg_file(f, "1", big, FW_CFG_FILE_BYTES, &err), 0);
	assert_int_equal(fw_cfg_file(f, "2", big, FW_CFG_FILE_BYTES, &err), 0);
	assert_int_equal(fw_cfg_file(f, "3", big, FW_CFG_FILE_BYTES, &err), -E2BIG);
	assert_int_equal(fw_cfg_file(f, "1", big, 1, &err), 0); /* anew */
	int r = 0;
	for (unsigned i = 0; r == 0 && i < 100; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		r = fw_cfg_file(f, name, "", 0, &err);
	}
	assert_int_equal(r, -ENOSPC);
}

/* Carry out the loader's instructions as firmware does, and follow the pointers. */
static void test_tables(void **state)
{
	struct board *b = *state;
	u32 n, tables_bytes, rsdp_bytes;
	u8 loader[128 * 32], rsdp[64];

	bridge(b, PCIEXBAR, 4, 0xb0000001); /* before they are asked for: MCFG says so */
	u16 key = find_file(b, ACPI_FILE_TABLES, &tables_bytes);
	auto_free u8 *tables = xcalloc(1, tables_bytes);
	read_port(b, key, tables, tables_bytes);
	key = find_file(b, ACPI_FILE_RSDP, &rsdp_bytes);
	read_port(b, key, rsdp, rsdp_bytes);
	key = find_file(b, ACPI_FILE_LOADER, &n);
	assert_true(key && n <= sizeof(loader) && n % 128 == 0 && rsdp_bytes == 36);
	read_port(b, key, loader, n);
	const u32 where = 0x1000000;
	for (const u8 *p = loader; p < loader + n; p += 128) {
		bool is_rsdp = !strcmp((const char *)p + 4, ACPI_FILE_RSDP);
		u8 *file = is_rsdp ? rsdp : tables;
		u32 bytes = is_rsdp ? rsdp_bytes : tables_bytes;

		assert_true(is_rsdp || !strcmp((const char *)p + 4, ACPI_FILE_TABLES));
		switch (ld_le32(p)) {
		case 1:
			assert_int_equal(p[64], is_rsdp ? 2 : 1);
			break;
		case 2: {
			u32 at = ld_le32(p + 116);
			assert_string_equal((const char *)p + 60, ACPI_FILE_TABLES);
			assert_true(p[120] == 4 || p[120] == 8);
			assert_true(at + p[120] <= bytes && ld_le32(file + at) < tables_bytes);
			st_le32(file + at, ld_le32(file + at) + where);
			break;
		}
		case 3: {
			u32 at = ld_le32(p + 60), first = ld_le32(p + 64), len = ld_le32(p + 68);
			u8 sum = 0;
			assert_true(at < bytes && first + len <= bytes);
			assert_int_equal(file[at], 0); /* SeaBIOS subtracts the sum, UEFI writes its negative */
			for (u32 i = 0; i < len; i++)
				sum = (u8)(sum + file[first + i]);
			file[at] = (u8)(file[at] - sum);
			break;
		}
		default:
			fail();
		}
	}
	u32 xsdt = ld_le32(rsdp + 24) - where;
	bool mcfg = false;
	assert_memory_equal(tables + xsdt, "XSDT", 4);
	for (u32 i = 36; i < ld_le32(tables + xsdt + 4); i += 8) {
		const u8 *t = tables + ld_le32(tables + xsdt + i) - where;
		u8 sum = 0;
		for (u32 k = 0; k < ld_le32(t + 4); k++)
			sum = (u8)(sum + t[k]);
		assert_int_equal(sum, 0);
		if (!memcmp(t, "FACP", 4)) {
			assert_memory_equal(tables + ld_le32(t + 40) - where, "DSDT", 4);
			assert_memory_equal(tables + ld_le32(t + 140) - where, "DSDT", 4);
			assert_memory_equal(tables + ld_le32(t + 36) - where, "FACS", 4);
		}
		if (!memcmp(t, "MCFG", 4)) {
			assert_int_equal(ld_le64(t + 44), 0xb0000000);
			mcfg = true;
		}
	}
	assert_true(mcfg);
	assert_int_equal(ld_le32(tables + (ld_le32(rsdp + 16) - where)), ld_le32("RSDT"));
}

static void test_state(void **state)
{
	struct board *a = *state, b;
	struct state_file *s;
	u32 bytes;
	u8 v[4];
	auto_close int fd = memfd_create("state", MFD_CLOEXEC);

	assert_int_equal(fw_cfg_file(machine_fw_cfg(a->m), "opt/mine", "abcdef", 6, &err), 0);
	bridge(a, PAM, 1, 0x30);
	bridge(a, PCIEXBAR, 4, 0xb0000001);
	read_port(a, find_file(a, "opt/mine", &bytes), v, 2);
	assert_true(machine_quiesce(a->m));
	assert_int_equal(state_save_new(&s, fd, &err), 0);
	assert_int_equal(machine_state(a->m, s, &err), 0);
	assert_int_equal(state_finish(s, &err), 0);
	state_free(s);
	machine_resume(a->m);

	up(&b);
	/* What a later version has besides, in a place of its own. */
	assert_int_equal(fw_cfg_file(machine_fw_cfg(b.m), "etc/later", "new", 3, &err), 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, &err), 0);
	assert_int_equal(machine_state(b.m, s, &err), 0);
	assert_int_equal(state_finish(s, &err), 0);
	state_free(s);
	/* In the middle of a file that B was not given, whose number is A's; memory and ECAM as A had them. */
	for (unsigned i = 2; i < 6; i++)
		assert_int_equal(bus_pio_read(b.bus, 0x511, 1), "abcdef"[i]);
	assert_int_equal(peek(&b, 0xf0000), 0);
	assert_int_equal(bus_mmio_read(b.bus, 0xb0000000, 4), 0x29c08086);
	assert_int_equal(find_file(&b, "opt/mine", &bytes), find_file(a, "opt/mine", &bytes));
	read_port(&b, find_file(&b, "etc/later", &bytes), v, 3);
	assert_memory_equal(v, "new", 3);
	down(&b);
}

/* ---- flash ---- */

static void command(struct board *b, u64 off, u8 v)
{
	bus_mmio_write(b->bus, FLASH + off, 1, v);
	if (ram_edited(b->ram))
		assert_int_equal(ram_commit(b->ram, &err), 0);
}

/* As a vCPU reads: memory, or the chip. */
static u8 seen(struct board *b, u64 off)
{
	int v = peek(b, FLASH + off);

	return v >= 0 ? (u8)v : (u8)bus_mmio_read(b->bus, FLASH + off, 1);
}

static u8 kept(u64 off)
{
	u8 v;

	assert_int_equal(pread(vars_fd, &v, 1, (off_t)off), 1);
	return v;
}

static void make_vars(void)
{
	vars_fd = memfd_create("vars", MFD_CLOEXEC);
	memset(vars, 0xff, sizeof(vars));
	vars[0] = 0x5a;
	assert_int_equal(pwrite(vars_fd, vars, sizeof(vars), 0), sizeof(vars));
}

static void test_flash(void **state)
{
	struct board b;

	make_vars();
	up(&b);
	assert_int_equal(peek(&b, FLASH), 0x5a); /* memory, while it is not given a command */
	assert_null(ram_ptr(b.ram, FLASH, 1));
	/* How its driver finds it: what it clears reads as such, and not as what was written */
	command(&b, 0, 0x50);
	assert_int_equal(seen(&b, 0), 0x5a);
	command(&b, 0, 0x70);
	assert_int_equal(peek(&b, FLASH), -1);
	assert_int_equal(seen(&b, 0), 0);
	command(&b, 0, 0xff);
	assert_int_equal(peek(&b, FLASH), 0x5a);
	/* Programming clears bits; the file has it when the array is read again. */
	command(&b, 5, 0x10);
	command(&b, 5, 0x3c);
	assert_int_equal(seen(&b, 5) & 0x80, 0x80);
	assert_int_equal(kept(5), 0xff);
	command(&b, 5, 0x40);
	command(&b, 5, 0x0f);
	command(&b, 5, 0xff);
	assert_int_equal(peek(&b, FLASH + 5), 0x0c);
	assert_int_equal(kept(5), 0x0c);
	/* Erasing takes a block, and a second word. */
	command(&b, 0x1005, 0x10);
	command(&b, 0x1005, 0x11);
	command(&b, 5, 0x20);
	command(&b, 5, 0x77);
	assert_int_equal(seen(&b, 5), 0x80 | 0x30);
	command(&b, 5, 0x50);
	command(&b, 5, 0x20);
	command(&b, 5, 0xd0);
	command(&b, 5, 0xff);
	assert_int_equal(peek(&b, FLASH), 0xff);
	assert_int_equal(peek(&b, FLASH + 0x1005), 0x11);
	assert_int_equal(kept(0), 0xff);
	assert_int_equal(kept(0x1005), 0x11);
	/* What it says of itself */
	command(&b, 0, 0x98);
	assert_int_equal(seen(&b, 0x10), 'Q');
	assert_int_equal(1u << seen(&b, 0x27), VARS_BYTES);
	assert_int_equal((seen(&b, 0x2d) + 1) * seen(&b, 0x2f) * 256, VARS_BYTES);
	command(&b, 0, 0x90);
	assert_int_equal(seen(&b, 0), 0x89);
	/* A reset ends all of it, and keeps the bytes. */
	command(&b, VARS_BYTES - 1, 0x10);
	machine_reset(b.m);
	assert_int_equal(peek(&b, FLASH + 0x1005), 0x11);
	command(&b, VARS_BYTES - 1, 0x00);
	command(&b, 0, 0xff);
	assert_int_equal(peek(&b, FLASH + VARS_BYTES - 1), 0xff);
	bus_mmio_write(b.bus, LAYOUT_FW_END - ROM_BYTES, 1, 0x70); /* the code is no flash */
	assert_int_equal(peek(&b, LAYOUT_FW_END - ROM_BYTES), rom_byte(0));
	down(&b);
	close(vars_fd);
	vars_fd = -1;
}

static void test_flash_state(void **state)
{
	struct board a, b;
	struct state_file *s;
	auto_close int fd = memfd_create("state", MFD_CLOEXEC);

	make_vars();
	up(&a);
	command(&a, 7, 0x10); /* in the middle of a command, with a change that is in no file yet */
	command(&a, 7, 0x01);
	command(&a, 8, 0x40);
	assert_true(machine_quiesce(a.m));
	assert_int_equal(state_save_new(&s, fd, &err), 0);
	assert_int_equal(machine_state(a.m, s, &err), 0);
	assert_int_equal(state_finish(s, &err), 0);
	state_free(s);
	assert_int_equal(kept(7), 0x01);
	down(&a);
	close(vars_fd);

	make_vars(); /* another file, which is the guest's from now on */
	up(&b);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, &err), 0);
	assert_int_equal(machine_state(b.m, s, &err), 0);
	assert_int_equal(state_finish(s, &err), 0);
	state_free(s);
	assert_int_equal(peek(&b, FLASH + 8), -1);
	command(&b, 8, 0x02);
	command(&b, 8, 0xff);
	assert_int_equal(peek(&b, FLASH + 8), 0x02);
	assert_int_equal(kept(8), 0x02);
	down(&b);
	close(vars_fd);
	vars_fd = -1;
}

static void test_refused(void **state)
{
	static u8 rom[5000];
	struct firmware_image image = { .name = "odd.rom", .code = rom, .code_bytes = sizeof(rom) };
	struct machine_config cfg = { .ncpus = 1, .firmware = &image };
	struct machine *m;
	struct ram *ram;

	assert_int_equal(loop_new(&cfg.loop, &err), 0);
	assert_int_equal(ram_new_with_room(&ram, RAM_BYTES, 64 * MIB, &err), 0);
	cfg.ram = ram;
	assert_int_equal(machine_new(&m, &cfg, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "odd.rom"));
	image.code_bytes = PAGE_BYTES; /* less than what is below 1 MiB */
	assert_int_equal(machine_new(&m, &cfg, &err), -EINVAL);
	ram_free(ram);
	assert_int_equal(ram_new_with_room(&ram, 2 * MIB, 64 * MIB, &err), 0);
	cfg.ram = ram;
	image.code_bytes = PAM_ROM_BYTES;
	assert_int_equal(machine_new(&m, &cfg, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "8 MiB"));
	ram_free(ram);
	loop_free(cfg.loop);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_rom),
		T(test_pam),
		T(test_ecam),
		T(test_fw_cfg),
		T(test_dma),
		T(test_files_are_bounded),
		T(test_tables),
		T(test_state),
		cmocka_unit_test(test_flash),
		cmocka_unit_test(test_flash_state),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
