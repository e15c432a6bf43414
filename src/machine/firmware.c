/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware.c - see firmware.h. */
#include "machine/firmware.h"

#include "base/state.h"
#include "machine/acpi_loader.h"
#include "machine/board_int.h"
#include "machine/flash.h"
#include "machine/fw_cfg.h"
#include "machine/lpc.h"
#include "machine/memory.h"
#include "machine/pam.h"
#include "machine/rtc.h"

struct firmware {
	struct machine *m;
	struct fw_cfg *cfg;
	struct pam *pam;
	struct flash *flash; /* NULL: none */
	u64 code_bytes;
};

struct fw_cfg *firmware_fw_cfg(struct firmware *f)
{
	return f->cfg;
}

/* ---- the ROM ---- */

static int add_rom(struct firmware *f, const struct firmware_image *image, struct err *e)
{
	struct ram *ram = f->m->cfg.ram;
	struct ram_extent x = { .name = "firmware ROM", .readonly = true, .bytes = image->code_bytes };

	if (image->code_bytes < PAM_ROM_BYTES || image->code_bytes % PAGE_BYTES ||
	    image->code_bytes > FIRMWARE_CODE_MAX)
		return err_set(e, EINVAL, "it has %llu bytes; a ROM has whole pages of 4 KiB, 128 KiB to %llu MiB",
			       (unsigned long long)image->code_bytes, FIRMWARE_CODE_MAX / MIB);
	if (ram->bytes < FIRMWARE_RAM_MIN)
		return err_set(e, EINVAL, "it needs at least %llu MiB of memory; see --memory", FIRMWARE_RAM_MIN / MIB);
	int r = ram_take(ram, x.bytes, &x.off, e);
	if (r < 0)
		return r;
	memcpy(ram->host + x.off, image->code, x.bytes);
	ram_wrote_at(ram, x.off, x.bytes);
	x.gpa = LAYOUT_FW_END - x.bytes;
	f->code_bytes = x.bytes;
	r = ram_add(ram, &x, e);
	return r < 0 ? r : pam_new(&f->pam, f->m->pci, ram, x.off + x.bytes - PAM_ROM_BYTES, e);
}

static int add_flash(struct firmware *f, const struct firmware_image *image, struct err *e)
{
	if (!image->vars)
		return 0;
	if (!image->vars_bytes || image->vars_bytes % FLASH_BLOCK_BYTES || image->vars_bytes > FIRMWARE_VARS_MAX)
		return err_set(e, EINVAL, "its variables have %llu bytes; whole blocks of 4 KiB, at most %llu KiB",
			       (unsigned long long)image->vars_bytes, FIRMWARE_VARS_MAX / KIB);
	return flash_new(&f->flash, f->m->bus, f->m->cfg.ram, LAYOUT_FW_END - image->code_bytes - image->vars_bytes,
			 image->vars, image->vars_bytes, image->vars_fd, e);
}

/* ---- what it is told ---- */

/* Addresses, lengths and types, 20 bytes each: 1 is RAM. */
static int add_memory_map(struct firmware *f, struct err *e)
{
	const struct ram *ram = f->m->cfg.ram;
	u64 low = memory_pc_low_end(ram);
	u8 map[2 * 20] = { 0 };

	st_le64(map + 8, low);
	st_le32(map + 16, 1);
	st_le64(map + 20, LAYOUT_RAM_HIGH);
	st_le64(map + 28, ram->bytes - low);
	st_le32(map + 36, 1);
	return fw_cfg_file(f->cfg, "etc/e820", map, ram->bytes > low ? 40 : 20, e);
}

static struct acpi_places places(struct firmware *f)
{
	u64 ecam = pam_ecam(f->pam);

	if (!f->m->kind->ecam)
		return (struct acpi_places){ .low_end = LAYOUT_FW_RAM_LOW_MAX };
	/* There is room for BARs on both sides. */
	if (ecam <= LAYOUT_FW_RAM_LOW_MAX || ecam >= LAYOUT_IOAPIC - PAM_ECAM_BYTES)
		ecam = LAYOUT_ECAM;
	return (struct acpi_places){ .low_end = LAYOUT_FW_RAM_LOW_MAX, .ecam = ecam };
}

static const char *const acpi_files[] = { ACPI_FILE_TABLES, ACPI_FILE_RSDP, ACPI_FILE_LOADER, NULL };

/* Firmware has placed ECAM by the time it asks for the tables. */
static void make_tables(void *opaque)
{
	struct firmware *f = opaque;
	struct acpi_places where = places(f);
	const struct acpi_board b = board_acpi(f->m);
	struct acpi_files files;

	acpi_files_build(&files, &b, &where);
	fw_cfg_make_file(f->cfg, ACPI_FILE_TABLES, files.tables, files.tables_bytes);
	fw_cfg_make_file(f->cfg, ACPI_FILE_RSDP, files.rsdp, sizeof(files.rsdp));
	fw_cfg_make_file(f->cfg, ACPI_FILE_LOADER, files.loader, files.loader_bytes);
	acpi_files_free(&files);
}

static int add_tables(struct firmware *f, struct err *e)
{
	struct acpi_places where = places(f);
	const struct acpi_board b = board_acpi(f->m);
	struct acpi_files files;

	acpi_files_build(&files, &b, &where);
	int r = fw_cfg_file(f->cfg, ACPI_FILE_TABLES, files.tables, files.tables_bytes, e);
	if (r == 0)
		r = fw_cfg_file(f->cfg, ACPI_FILE_RSDP, files.rsdp, sizeof(files.rsdp), e);
	if (r == 0)
		r = fw_cfg_file(f->cfg, ACPI_FILE_LOADER, files.loader, files.loader_bytes, e);
	acpi_files_free(&files);
	if (r == 0)
		fw_cfg_late(f->cfg, acpi_files, make_tables, f);
	return r;
}

void firmware_parts_changed(struct firmware *f)
{
	struct err e = { 0 };

	must(add_tables(f, &e) == 0); /* some hundred bytes more in files that are there */
}

static int tell(struct firmware *f, struct err *e)
{
	const struct machine_config *c = &f->m->cfg;

	fw_cfg_number(f->cfg, FW_CFG_RAM_SIZE, c->ram->bytes, 8);
	fw_cfg_number(f->cfg, FW_CFG_NB_CPUS, c->ncpus, 2);
	fw_cfg_number(f->cfg, FW_CFG_MAX_CPUS, c->ncpus, 2);
	fw_cfg_number(f->cfg, FW_CFG_BOOT_MENU, 0, 2);
	fw_cfg_number(f->cfg, FW_CFG_IRQ0_OVERRIDE, 1, 1);
	int r = add_memory_map(f, e);
	if (r == 0)
		r = add_tables(f, e);
	if (r == 0)
		r = fw_cfg_file(f->cfg, "etc/smbios/smbios-anchor", f->m->smbios.anchor, SMBIOS_ANCHOR_BYTES, e);
	return r == 0 ? fw_cfg_file(f->cfg, "etc/smbios/smbios-tables", f->m->smbios.tables, f->m->smbios.bytes, e) : r;
}

/* Memory in CMOS as PCs have it: KiB below 1 MiB and above, 64 KiB above 16 MiB, 64 KiB above 4 GiB. */
static void write_cmos(struct firmware *f)
{
	struct rtc *rtc = f->m->rtc;
	u64 low = memory_pc_low_end(f->m->cfg.ram), high = (f->m->cfg.ram->bytes - low) / (64 * KIB);
	u64 above1 = MIN((low - MIB) / KIB, 0xffff);
	u64 above16 = low > 16 * MIB ? MIN((low - 16 * MIB) / (64 * KIB), 0xffff) : 0;
	const struct {
		u8 reg, v;
	} cmos[] = {
		{ 0x0f, 0 }, /* after a reset: an ordinary start */
		{ 0x15, 640 & 0xff },
		{ 0x16, 640 >> 8 },
		{ 0x17, (u8)above1 },
		{ 0x18, (u8)(above1 >> 8) },
		{ 0x30, (u8)above1 },
		{ 0x31, (u8)(above1 >> 8) },
		{ 0x34, (u8)above16 },
		{ 0x35, (u8)(above16 >> 8) },
		{ 0x5b, (u8)high },
		{ 0x5c, (u8)(high >> 8) },
		{ 0x5d, (u8)(high >> 16) },
		{ 0x5f, (u8)(f->m->cfg.ncpus - 1) },
	};

	for (size_t i = 0; i < ARRAY_LEN(cmos); i++)
		rtc_set_cmos(rtc, cmos[i].reg, cmos[i].v);
}

/* ---- life ---- */

void firmware_reset(struct firmware *f)
{
	pam_reset(f->pam);
	if (f->flash)
		flash_reset(f->flash);
	fw_cfg_reset(f->cfg);
	/* A VM that another version saved has had that one's tables until now. */
	firmware_parts_changed(f);
	write_cmos(f);
}

int firmware_state(struct firmware *f, struct state_file *s, struct err *e)
{
	static const struct state_kind kind = { "firmware", 1, 0, "it has no firmware" };
	int r = state_section_of(s, &kind, 0, e);

	if (r < 0)
		return r;
	if (r)
		return err_set(e, EINVAL, "the saved VM has no firmware; this one has");
	/* Its bytes are in the memory's sections. */
	state_same(s, f->code_bytes, "another size of the firmware's ROM");
	if ((r = state_end(s, e)) < 0 || (r = fw_cfg_state(f->cfg, s, e)) < 0)
		return r;
	if (f->flash && (r = flash_state(f->flash, s, e)) < 0)
		return r;
	if (state_loading(s))
		pam_loaded(f->pam);
	return 0;
}

int firmware_new(struct firmware **out, struct machine *m, const struct firmware_image *image, struct err *e)
{
	struct firmware *f = xcalloc(1, sizeof(*f));
	int r;

	f->m = m;
	r = fw_cfg_new(&f->cfg, m->bus, m->cfg.ram);
	if (r < 0)
		err_sys(e, -r, "fw-cfg");
	if (r == 0)
		r = add_rom(f, image, e);
	if (r == 0)
		r = add_flash(f, image, e);
	if (r == 0)
		r = tell(f, e);
	if (r < 0) {
		firmware_free(f);
		return err_prefix(e, "firmware %s", image->name);
	}
	lpc_has_firmware(m->lpc);
	firmware_reset(f);
	*out = f;
	return ram_commit(m->cfg.ram, e);
}

void firmware_free(struct firmware *f)
{
	if (!f)
		return;
	pam_free(f->pam);
	flash_free(f->flash);
	fw_cfg_free(f->cfg);
	free(f);
}
