/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_linux.c - Linux bzImage, by the 64-bit and the 32-bit boot protocol (Linux Documentation/arch/x86/boot.rst and
 * zero-page.rst; field names and offsets are theirs).
 *
 * The setup sectors are not run. A kernel that says it has a 64-bit entry point starts at 0x200 into its protected-mode
 * part, in long mode, memory mapped one to one. Others (32-bit kernels, and those from before Linux 3.8, which cannot
 * say so) start at the beginning of that part, in protected mode without paging. RSI is at boot_params ("zero page").
 */
#include "machine/boot.h"

#include "machine/layout.h"
#include "machine/memory.h"

/* Setup header, offsets in the file and in boot_params */
#define HDR_SETUP_SECTS 0x1f1
#define HDR_SYSSIZE 0x1f4
#define HDR_JUMP_LEN 0x201
#define HDR_VERSION 0x206
#define HDR_TYPE_OF_LOADER 0x210
#define HDR_LOADFLAGS 0x211
#define HDR_RAMDISK_IMAGE 0x218
#define HDR_RAMDISK_SIZE 0x21c
#define HDR_CMD_LINE_PTR 0x228
#define HDR_INITRD_ADDR_MAX 0x22c
#define HDR_KERNEL_ALIGNMENT 0x230
#define HDR_RELOCATABLE 0x234
#define HDR_XLOADFLAGS 0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_SETUP_DATA 0x250
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE 0x260
#define HDR_END_MAX 0x290

/* The rest of boot_params */
#define ZP_ACPI_RSDP_ADDR 0x070
#define ZP_E820_ENTRIES 0x1e8
#define ZP_E820_TABLE 0x2d0

#define VERSION_MIN 0x020a        /* pref_address, init_size: Linux 2.6.31 */
#define VERSION_XLOADFLAGS 0x020c /* Linux 3.8 */
#define LOADED_HIGH 0x01
#define CAN_USE_HEAP 0x80
#define XLF_KERNEL_64 0x0001
#define LOADER_UNKNOWN 0xff

struct linux_image {
	u8 hdr[HDR_END_MAX]; /* the file's beginning; [HDR_SETUP_SECTS, hdr_end) is the setup header */
	unsigned hdr_end;
	u64 code_off, code_bytes; /* protected-mode part in the file */
	gpa_t load;
	bool entry64;
	u64 init_bytes; /* memory the kernel needs from load on, while it unpacks itself */
};

static int read_header(const struct boot_file *f, struct linux_image *im, struct err *e)
{
	u64 n = MIN(f->bytes, sizeof(im->hdr));
	int rc = boot_file_read(f, 0, im->hdr, n, e);

	if (rc < 0)
		return rc;
	im->hdr_end = MIN(HDR_VERSION - 4 + im->hdr[HDR_JUMP_LEN], HDR_END_MAX);
	if (im->hdr_end > n || im->hdr_end < HDR_VERSION + 2)
		return err_set(e, ENOEXEC, "kernel %s is cut short: its setup header ends after the file does",
			       f->path);
	unsigned version = ld_le16(im->hdr + HDR_VERSION);
	if (version < VERSION_MIN)
		return err_set(e, ENOEXEC,
			       "kernel %s uses boot protocol %u.%02u: 2.10 is needed (Linux 2.6.31 or newer)", f->path,
			       version >> 8, version & 0xff);
	if (im->hdr_end < HDR_INIT_SIZE + 4)
		return err_set(e, ENOEXEC, "kernel %s is damaged: its setup header is too short for its version",
			       f->path);
	if (!(im->hdr[HDR_LOADFLAGS] & LOADED_HIGH))
		return err_set(e, ENOEXEC, "kernel %s is a zImage (loaded below 1 MiB): a bzImage is needed", f->path);
	im->entry64 = version >= VERSION_XLOADFLAGS && ld_le16(im->hdr + HDR_XLOADFLAGS) & XLF_KERNEL_64;
	return 0;
}

static int find_code(const struct boot_file *f, struct linux_image *im, struct err *e)
{
	unsigned sects = im->hdr[HDR_SETUP_SECTS] ? im->hdr[HDR_SETUP_SECTS] : 4;
	u64 said = (u64)ld_le32(im->hdr + HDR_SYSSIZE) * 16;

	im->code_off = (sects + 1) * 512ull;
	/* syssize is rounded up to 16 bytes; the file may end without that padding. */
	if (im->code_off + 0x210 > f->bytes || (said > 15 && said - 15 > f->bytes - im->code_off))
		return err_set(e, ENOEXEC, "kernel %s is cut short: %llu bytes, where its header speaks of %llu",
			       f->path, (unsigned long long)f->bytes, (unsigned long long)(im->code_off + said));
	im->code_bytes = f->bytes - im->code_off;
	return 0;
}

/* Where the kernel asks to be; else the lowest place that has room, if it can be moved. */
static int place(const struct ram *ram, const struct boot_file *f, struct linux_image *im, struct err *e)
{
	u64 pref = ld_le64(im->hdr + HDR_PREF_ADDRESS);
	u32 align = ld_le32(im->hdr + HDR_KERNEL_ALIGNMENT);

	im->init_bytes = MAX(ld_le32(im->hdr + HDR_INIT_SIZE), im->code_bytes);
	im->load = pref;
	if (pref >= MIB && boot_check_range(ram, f, pref, im->init_bytes, NULL) == 0)
		return 0;
	if (im->hdr[HDR_RELOCATABLE] && align && !(align & (align - 1))) {
		im->load = ROUND_UP(MIB, (u64)align);
		if (boot_check_range(ram, f, im->load, im->init_bytes, NULL) == 0)
			return 0;
	}
	return err_set(e, ENOMEM,
		       "kernel %s needs %llu MiB at %#llx to unpack itself, the guest's memory below 4 GiB ends at "
		       "%#llx: give the guest more memory",
		       f->path, (unsigned long long)(im->init_bytes >> 20), (unsigned long long)im->load,
		       (unsigned long long)memory_low_end(ram));
}

static int put_command_line(struct ram *ram, const struct boot_file *f, const struct linux_image *im,
			    const char *append, struct err *e)
{
	u64 len = strlen(append), max = MIN(ld_le32(im->hdr + HDR_CMDLINE_SIZE), 0xffffu);

	if (len > max)
		return err_set(e, E2BIG, "the command line has %llu characters, kernel %s takes %llu",
			       (unsigned long long)len, f->path, (unsigned long long)max);
	return ram_put(ram, BOOT_LINUX_CMDLINE, append, len + 1);
}

static int put_boot_params(struct ram *ram, const struct linux_image *im, const struct boot_params *p, gpa_t initrd,
			   u64 initrd_bytes)
{
	u8 zp[PAGE_BYTES] = { 0 };
	struct boot_mem map[BOOT_MEM_MAX];
	unsigned n = boot_mem_map(ram, map);

	memcpy(zp + HDR_SETUP_SECTS, im->hdr + HDR_SETUP_SECTS, im->hdr_end - HDR_SETUP_SECTS);
	zp[HDR_TYPE_OF_LOADER] = LOADER_UNKNOWN;
	zp[HDR_LOADFLAGS] &= (u8)~CAN_USE_HEAP;
	st_le32(zp + HDR_RAMDISK_IMAGE, (u32)initrd);
	st_le32(zp + HDR_RAMDISK_SIZE, (u32)initrd_bytes);
	st_le32(zp + HDR_CMD_LINE_PTR, (u32)BOOT_LINUX_CMDLINE);
	st_le64(zp + HDR_SETUP_DATA, 0);
	st_le32(zp + 0x214, (u32)im->load); /* code32_start */
	st_le64(zp + ZP_ACPI_RSDP_ADDR, LAYOUT_RSDP);
	boot_linux_screen(zp, p);
	zp[ZP_E820_ENTRIES] = (u8)n;
	for (unsigned i = 0; i < n; i++) {
		st_le64(zp + ZP_E820_TABLE + 20 * i, map[i].base);
		st_le64(zp + ZP_E820_TABLE + 20 * i + 8, map[i].bytes);
		st_le32(zp + ZP_E820_TABLE + 20 * i + 16, map[i].type);
	}
	return ram_put(ram, BOOT_LINUX_PARAMS, zp, sizeof(zp));
}

int boot_linux(struct ram *ram, const struct boot_file *f, const struct boot_params *p, struct cpu_state *s,
	       struct err *e)
{
	struct linux_image im = { 0 };
	gpa_t initrd;
	u64 initrd_bytes;
	int rc;

	if (p->nmodules)
		return err_set(e, EINVAL, "kernel %s is Linux, which takes no modules: pass an initrd", f->path);
	if ((rc = read_header(f, &im, e)) < 0 || (rc = find_code(f, &im, e)) < 0 || (rc = place(ram, f, &im, e)) < 0 ||
	    (rc = put_command_line(ram, f, &im, p->append ? p->append : "", e)) < 0)
		return rc;
	rc = boot_file_to_ram(f, im.code_off, ram, im.load, im.code_bytes, e);
	if (rc < 0)
		return rc;
	rc = boot_initrd(ram, p, im.load + im.init_bytes, (u64)ld_le32(im.hdr + HDR_INITRD_ADDR_MAX) + 1, &initrd,
			 &initrd_bytes, e);
	if (rc < 0)
		return rc;
	rc = put_boot_params(ram, &im, p, initrd, initrd_bytes);
	must(rc == 0);
	if (im.entry64)
		rc = boot_state_long(ram, s, BOOT_LINUX_GDT, BOOT_LINUX_STACK, BOOT_LINUX_TABLES, im.load + 0x200, e);
	else
		rc = boot_state_protected32(ram, s, BOOT_LINUX_GDT, BOOT_LINUX_STACK, (u32)im.load, e);
	s->gpr[GPR_RSI] = BOOT_LINUX_PARAMS;
	return rc;
}
