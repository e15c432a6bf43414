/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_load.c - sees from a kernel's bytes how it wants to be booted. */
#include "machine/boot.h"

#include "machine/layout.h"
#include "machine/memory.h"

#define RAM_MIN (2 * MIB)

/* What people pass by mistake, by its first bytes. */
static const struct {
	u16 off;
	u8 n;
	const char *magic, *what, *hint;
} mistakes[] = {
	{ 0, 2, "\x1f\x8b", MSG("gzip-compressed"), MSG("decompress it first (gunzip), or pass the bzImage") },
	{ 0, 6,
	  "\xfd"
	  "7zXZ",
	  MSG("xz-compressed"), MSG("decompress it first (unxz)") },
	{ 0, 4, "\x28\xb5\x2f\xfd", MSG("zstd-compressed"), MSG("decompress it first (unzstd)") },
	{ 0, 3, "BZh", MSG("bzip2-compressed"), MSG("decompress it first (bunzip2)") },
	{ 0, 4, "\x02\x21\x4c\x18", MSG("lz4-compressed"), MSG("decompress it first (lz4 -d)") },
	{ 0, 4, "\x04\x22\x4d\x18", MSG("lz4-compressed"), MSG("decompress it first (lz4 -d)") },
	{ 0, 4, "QFI\xfb", MSG("a qcow2 disk image"), MSG("pass it as a disk") },
	{ 0, 5, "070701", MSG("a cpio archive"), MSG("pass it as the initrd") },
	{ 56, 4, "ARM\x64", MSG("an arm64 kernel"), MSG("this is an x86-64 machine") },
	{ 36, 4, "\x18\x28\x6f\x01", MSG("a 32-bit ARM kernel"), MSG("this is an x86-64 machine") },
	{ 56, 4, "RSC\x05", MSG("a RISC-V kernel"), MSG("this is an x86-64 machine") },
	{ 0, 8, "!<arch>\n", MSG("an archive (a Debian package?)"),
	  MSG("unpack it and pass the kernel that is in it") },
	{ 0, 2, "#!", MSG("a script"), MSG("pass the kernel itself") },
	{ 0, 2, "MZ", MSG("an EFI program without a Linux setup header"), MSG("pass the kernel itself") },
	{ 510, 2, "\x55\xaa", MSG("a boot sector or a disk image"), MSG("pass it as a disk") },
};

static bool is_text(const u8 *head, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (head[i] < 0x20 ? head[i] != '\n' && head[i] != '\r' && head[i] != '\t' : head[i] == 0x7f)
			return false;
	return true;
}

static int not_a_kernel(const struct boot_file *f, const u8 *head, size_t n, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_LEN(mistakes); i++)
		if ((size_t)mistakes[i].off + mistakes[i].n <= n &&
		    memcmp(head + mistakes[i].off, mistakes[i].magic, mistakes[i].n) == 0)
			return err_set(e, ENOEXEC, "kernel %s is %s: %s", f->path, mistakes[i].what, mistakes[i].hint);
	if (is_text(head, n))
		return err_set(e, ENOEXEC, "kernel %s is a text file: pass the kernel itself", f->path);
	return err_set(e, ENOEXEC,
		       "kernel %s is of no known kind: a Linux bzImage, an ELF kernel with a PVH note or a "
		       "Multiboot kernel is needed",
		       f->path);
}

static int load_elf(struct ram *ram, const struct boot_file *f, const u8 *head, size_t n, const struct boot_params *p,
		    struct cpu_state *state, struct err *e)
{
	auto_free struct boot_elf *elf = xcalloc(1, sizeof(*elf));
	struct multiboot_header mb;
	bool found;
	u32 entry;
	int rc = boot_elf_read(f, elf, e);

	if (rc == 0)
		rc = boot_pvh_find(f, elf, &found, &entry, e);
	if (rc < 0)
		return rc;
	if (found)
		return boot_pvh(ram, f, elf, entry, p, state, e);
	if (boot_multiboot_find(head, n, &mb))
		return boot_multiboot(ram, f, &mb, elf, p, state, e);
	return err_set(e, ENOEXEC,
		       "kernel %s is an ELF file with neither a PVH note nor a Multiboot header: a Linux vmlinux "
		       "needs CONFIG_PVH=y, or pass its bzImage",
		       f->path);
}

static bool is_linux(const u8 *head, size_t n)
{
	return n >= 0x206 && memcmp(head + 0x202, "HdrS", 4) == 0;
}

static int load_open(struct ram *ram, const struct boot_file *f, const struct boot_params *p, struct cpu_state *state,
		     struct err *e)
{
	u8 head[MULTIBOOT_SEARCH];
	size_t n = MIN(f->bytes, sizeof(head));
	struct multiboot_header mb;
	int rc = boot_file_read(f, 0, head, n, e);

	if (rc < 0)
		return rc;
	if (boot_is_elf(head, n))
		return load_elf(ram, f, head, n, p, state, e);
	if (is_linux(head, n))
		return boot_linux(ram, f, p, state, e);
	if (boot_multiboot_find(head, n, &mb))
		return boot_multiboot(ram, f, &mb, NULL, p, state, e);
	return not_a_kernel(f, head, n, e);
}

/* The words of the BIOS data area that kernels look at: where the EBDA is, how much memory is below. */
static void write_bios_data(struct ram *ram)
{
	u8 v[2];

	st_le16(v, (u16)(LAYOUT_EBDA >> 4));
	must(ram_put(ram, 0x40e, v, 2) == 0);
	st_le16(v, (u16)(LAYOUT_EBDA >> 10));
	must(ram_put(ram, 0x413, v, 2) == 0);
}

/* ... and what it says of a screen of text: mode, columns, bytes of a page; the CRT controller's port; rows - 1 and the
 * lines of a character. */
static int write_bios_screen(struct ram *ram, const struct boot_screen *s)
{
	u8 low[0x65 - 0x49] = { BOOT_SCREEN_TEXT }, high[3] = { (u8)(s->rows - 1) };

	st_le16(low + 1, (u16)s->columns);
	st_le16(low + 3, 4096);
	st_le16(low + (0x63 - 0x49), 0x3d4);
	st_le16(high + 1, (u16)s->glyph_lines);
	int r = ram_put(ram, 0x449, low, sizeof(low));
	return r < 0 ? r : ram_put(ram, 0x484, high, sizeof(high));
}

int boot_load(struct ram *ram, const struct boot_params *p, struct cpu_state *state, struct err *e)
{
	struct boot_file f;

	if (!p->kernel)
		return err_set(e, EINVAL, "no kernel given: there is no firmware yet that would boot from a disk");
	if (memory_low_end(ram) < RAM_MIN)
		return err_set(e, EINVAL, "guest memory of %llu bytes is too small: at least 2M",
			       (unsigned long long)ram->bytes);
	int rc = boot_file_open(&f, p, MSG("kernel"), p->kernel, e);
	if (rc < 0)
		return rc;
	write_bios_data(ram);
	struct boot_screen text;
	if (p->screen && p->screen(p->screen_opaque, BOOT_SCREEN_TEXT, &text) == 0)
		must(write_bios_screen(ram, &text) == 0);
	rc = load_open(ram, &f, p, state, e);
	boot_file_close(&f);
	return rc;
}
