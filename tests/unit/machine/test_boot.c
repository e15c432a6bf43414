/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_boot.c - the kernel loaders, on good files, on damaged ones and on what is no kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#include "boot_images.h"
#include "unit/cpu/fake_cpu.h"
#include "machine/boot.h"
#include "machine/layout.h"
#include "machine/pci.h"

#include <elf.h>

#define RAM_BYTES (64 * MIB)

static struct ram *ram;
static struct cpu_state state;
static struct err err;

static int setup(void **unused)
{
	return ram_new(&ram, RAM_BYTES, &err);
}

static int teardown(void **unused)
{
	ram_free(ram);
	return 0;
}

static int load(const u8 *bytes, size_t n, struct boot_params *p)
{
	char path[64];
	unused_ auto_close int fd = image_file(bytes, n, path);

	p->kernel = path;
	memset(&state, 0xa5, sizeof(state));
	memset(&err, 0, sizeof(err));
	int rc = boot_load(ram, p, &state, &err);
	p->kernel = NULL;
	if (rc < 0) {
		assert_int_equal(err.code, -rc);
		assert_true(err.msg[0]);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(err.code, 0);
	}
	return rc;
}

static u8 r8(gpa_t a)
{
	return *ram_ptr(ram, a, 1);
}

static u32 r32(gpa_t a)
{
	return ld_le32(ram_ptr(ram, a, 4));
}

static u64 r64(gpa_t a)
{
	return ld_le64(ram_ptr(ram, a, 8));
}

static void check_state_common(void)
{
	assert_int_equal(state.rflags, 2);
	assert_int_equal(state.xcr0, 1);
	assert_int_equal(state.pat, 0x0007040600070406ull);
	assert_int_equal(state.mtrr_def_type, 0x806);
	assert_int_equal(state.run_state, CPU_RUNNING);
	assert_int_equal(ld_le16(state.xsave), 0x37f);
	assert_int_equal(ld_le32(state.xsave + 24), 0x1f80);
	assert_int_equal(state.seg[SEG_TR].ar, 0x8b);
	assert_true(state.seg[SEG_LDTR].ar & SEG_AR_UNUSABLE);
	/* what the GDT says is what the segments are */
	for (unsigned i = 0; i <= SEG_GS; i++) {
		const struct cpu_seg *s = &state.seg[i];
		u64 d = r64(state.gdt_base + s->sel);

		assert_int_equal(s->base, 0);
		assert_int_equal(s->limit, 0xffffffff);
		assert_int_equal(d >> 40 & 0xf0ff, s->ar);
		assert_int_equal((d & 0xffff) | (d >> 32 & 0xf0000), 0xfffff);
		assert_true(s->sel + 7 <= state.gdt_limit);
	}
}

static void check_protected32(u32 entry)
{
	check_state_common();
	assert_int_equal(state.cr0, 0x11);
	assert_int_equal(state.cr4, 0);
	assert_int_equal(state.efer, 0);
	assert_int_equal(state.rip, entry);
	assert_int_equal(state.seg[SEG_CS].ar, 0xc09b);
	assert_int_equal(state.seg[SEG_SS].ar, 0xc093);
}

/* Walk the boot page tables: linear must map to itself. */
static void check_identity(u64 lin)
{
	u64 e = r64(state.cr3 + 8 * (lin >> 39 & 511));
	assert_int_equal(e & 3, 3);
	e = r64((e & PAGE_MASK) + 8 * (lin >> 30 & 511));
	assert_int_equal(e & 0x83, 3);
	e = r64((e & PAGE_MASK) + 8 * (lin >> 21 & 511));
	assert_int_equal(e, (lin & ~0x1fffffull) | 0x83);
}

static void test_linux(void **unused)
{
	u8 buf[IMAGE_MAX];
	char initrd[64];
	const char data[] = "this is the initrd";
	unused_ auto_close int fd = image_file(data, sizeof(data), initrd);
	struct boot_params p = { .initrd = initrd, .append = "console=ttyS0 quiet" };
	size_t n = image_linux(buf, 16 * MIB, 0x100000);

	assert_int_equal(load(buf, n, &p), 0);
	check_state_common();
	assert_int_equal(state.rip, 16 * MIB + 0x200);
	assert_int_equal(state.cr0 & 0x80000011, 0x80000011);
	assert_int_equal(state.cr4, 0x20);
	assert_int_equal(state.efer, 0x500);
	assert_int_equal(state.seg[SEG_CS].sel, 0x10);
	assert_int_equal(state.seg[SEG_CS].ar, 0xa09b);
	assert_int_equal(state.seg[SEG_SS].sel, 0x18);
	check_identity(0);
	check_identity(0x12345678);
	check_identity(0xffffffff);

	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(r8(16 * MIB + i), 0xf4);
	gpa_t zp = state.gpr[GPR_RSI];
	assert_memory_equal(ram_ptr(ram, zp + 0x202, 4), "HdrS", 4);
	assert_int_equal(r8(zp), 0); /* nothing but the header of the file */
	assert_int_equal(r8(zp + 0x210), 0xff);
	assert_int_equal(r8(zp + 0x211), 1);
	assert_int_equal(r64(zp + 0x250), 0);
	assert_int_equal(r64(zp + 0x70), LAYOUT_RSDP);
	assert_string_equal((char *)ram_ptr(ram, r32(zp + 0x228), 64), "console=ttyS0 quiet");
	gpa_t at = r32(zp + 0x218);
	assert_int_equal(at, RAM_BYTES - 4096);
	assert_int_equal(r32(zp + 0x21c), sizeof(data));
	assert_memory_equal(ram_ptr(ram, at, sizeof(data)), data, sizeof(data));

	assert_int_equal(r8(zp + 0x1e8), 4);
	const u64 map[4][3] = { { 0, 0x9fc00, 1 },
				{ 0x9fc00, 0x60400, 2 },
				{ MIB, RAM_BYTES - MIB, 1 },
				{ LAYOUT_ECAM, LAYOUT_ECAM_BYTES, 2 } };
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(r64(zp + 0x2d0 + 20 * i), map[i][0]);
		assert_int_equal(r64(zp + 0x2d8 + 20 * i), map[i][1]);
		assert_int_equal(r32(zp + 0x2e0 + 20 * i), map[i][2]);
	}
}

/* boot.rst, "32-bit boot protocol": for a kernel that has no 64-bit entry point, or cannot say that it has one. */
static void test_linux_32bit(void **unused)
{
	u8 buf[IMAGE_MAX];
	char initrd[64];
	unused_ auto_close int fd = image_file("initrd", 6, initrd);
	struct boot_params p = { .initrd = initrd, .append = "quiet" };

	for (unsigned old = 0; old < 2; old++) {
		size_t n = image_linux(buf, 16 * MIB, 0x100000);

		if (old)
			st_le16(buf + 0x206, 0x20a);
		else
			buf[0x236] = 0;
		assert_int_equal(load(buf, n, &p), 0);
		check_state_common();
		assert_int_equal(state.rip, 16 * MIB);
		assert_int_equal(state.cr0 & 0x80000001, 1); /* protected mode, no paging */
		assert_int_equal(state.cr4, 0);
		assert_int_equal(state.efer, 0);
		assert_int_equal(state.rflags & 0x200, 0);
		assert_int_equal(state.gpr[GPR_RBP] | state.gpr[GPR_RDI] | state.gpr[GPR_RBX], 0);
		assert_int_equal(state.seg[SEG_CS].sel, 0x10);
		assert_int_equal(state.seg[SEG_CS].ar, 0xc09b);
		assert_int_equal(state.seg[SEG_CS].limit, 0xffffffff);
		for (unsigned i = 0; i < 3; i++) {
			unsigned seg = (unsigned[]){ SEG_DS, SEG_ES, SEG_SS }[i];

			assert_int_equal(state.seg[seg].sel, 0x18);
			assert_int_equal(state.seg[seg].ar, 0xc093);
		}
		gpa_t zp = state.gpr[GPR_RSI];
		assert_memory_equal(ram_ptr(ram, zp + 0x202, 4), "HdrS", 4);
		assert_int_equal(r32(zp + 0x214), 16 * MIB); /* code32_start */
		assert_memory_equal(ram_ptr(ram, r32(zp + 0x218), 6), "initrd", 6);
		assert_int_equal(r32(zp + 0x21c), 6);
		assert_string_equal((char *)ram_ptr(ram, r32(zp + 0x228), 6), "quiet");
	}
}

/* ---- the screen ---- */

static unsigned modes_asked[4], nasked;
static bool has_text;

static int on_screen(void *opaque, unsigned mode, struct boot_screen *s)
{
	*s = (struct boot_screen){ 0 };
	modes_asked[nasked++ % 4] = mode;
	if (mode == BOOT_SCREEN_TEXT) {
		*s = (struct boot_screen){ .columns = 80, .rows = 25, .glyph_lines = 16 };
		return has_text ? 0 : -ENOENT;
	}
	if (mode == 0x117)
		*s = (struct boot_screen){ 0, 0, 0, 0xc1000000, 16 * MIB, 1024, 768, 16, 2048 };
	if (mode == 0x143)
		*s = (struct boot_screen){ 0, 0, 0, 0xc1000000, 16 * MIB, 800, 600, 32, 3200 };
	return s->width ? 0 : -ENOENT;
}

/* Returns where boot_params are. */
static gpa_t boots_with(const char *append)
{
	u8 buf[IMAGE_MAX];
	size_t n = image_linux(buf, 16 * MIB, 0x100000);
	struct boot_params p = { .append = append, .screen = on_screen };

	nasked = 0;
	memset(ram_ptr(ram, 0x400, 256), 0, 256);
	assert_int_equal(load(buf, n, &p), 0);
	return state.gpr[GPR_RSI];
}

static void says_text(gpa_t zp)
{
	assert_memory_equal(ram_ptr(ram, zp + 6, 2), "\3\x50", 2);
	assert_memory_equal(ram_ptr(ram, zp + 0x0a, 8), "\3\0\0\0\x19\1\x10\0", 8);
	assert_int_equal(r64(zp + 0x18), 0);
}

static void test_linux_screen(void **unused)
{
	has_text = true;
	says_text(boots_with("console=tty0"));
	assert_memory_equal(ram_ptr(ram, 0x449, 5), "\3\x50\0\0\x10", 5);
	assert_memory_equal(ram_ptr(ram, 0x463, 2), "\xd4\3", 2);
	assert_memory_equal(ram_ptr(ram, 0x484, 3), "\x18\x10\0", 3);
	/* Modes there are not, and words that only look like it. */
	says_text(boots_with("vga=0x399 video=vga=0x317"));
	says_text(boots_with("vga=0x317 vga=normal"));
	/* 5, 6 and 5 bits, by its VBE number plus 200h, in hex or not. */
	for (unsigned i = 0; i < 2; i++) {
		gpa_t zp = boots_with(i ? "vga=791 x" : "quiet vga=0x317");
		assert_int_equal(modes_asked[nasked - 1], 0x117);
		assert_int_equal(r8(zp + 0x0f), 0x23);
		assert_memory_equal(ram_ptr(ram, zp + 0x12, 6), "\0\4\0\3\x10\0", 6);
		assert_int_equal(r32(zp + 0x18), 0xc1000000);
		assert_int_equal(r32(zp + 0x1c), 256);
		assert_memory_equal(ram_ptr(ram, zp + 0x24, 10), "\0\x08\5\x0b\6\5\5\0\0\0", 10);
	}
	/* A screen without a character set shows a picture. */
	has_text = false;
	gpa_t zp = boots_with("quiet");
	assert_int_equal(r8(zp + 0x0f), 0x23);
	assert_memory_equal(ram_ptr(ram, zp + 0x24, 10), "\x80\x0c\x08\x10\x08\x08\x08\0\x08\x18", 10);
	assert_int_equal(r8(0x449), 0);
}

static void test_linux_moves_or_refuses(void **unused)
{
	u8 buf[IMAGE_MAX];
	struct boot_params p = { 0 };
	size_t n = image_linux(buf, 1 * GIB, 0x100000);

	assert_int_equal(load(buf, n, &p), 0);
	assert_int_equal(state.rip, 2 * MIB + 0x200);
	buf[0x234] = 0; /* not relocatable */
	assert_int_equal(load(buf, n, &p), -ENOMEM);
	n = image_linux(buf, 16 * MIB, 0xfffffff0);
	assert_int_equal(load(buf, n, &p), -ENOMEM);
	n = image_linux(buf, 0xffffffffffffff00ull, 0x1000);
	assert_int_equal(load(buf, n, &p), 0);
	assert_int_equal(state.rip, 2 * MIB + 0x200);
}

static void test_linux_refuses(void **unused)
{
	u8 buf[IMAGE_MAX];
	char line[4000];
	struct boot_params p = { 0 };
	size_t n = image_linux(buf, 16 * MIB, 0x100000);

	st_le16(buf + 0x206, 0x209);
	assert_int_equal(load(buf, n, &p), -ENOEXEC);
	assert_non_null(strstr(err.msg, "2.09: 2.10 is needed"));
	n = image_linux(buf, 16 * MIB, 0x100000);
	buf[0x211] = 0;
	assert_int_equal(load(buf, n, &p), -ENOEXEC);

	n = image_linux(buf, 16 * MIB, 0x100000);
	memset(line, 'x', sizeof(line));
	p.append = line;
	line[2048] = 0;
	assert_int_equal(load(buf, n, &p), -E2BIG);
	line[2047] = 0;
	assert_int_equal(load(buf, n, &p), 0);
	const char *mods[] = { "x" };
	p = (struct boot_params){ .modules = mods, .nmodules = 1 };
	assert_int_equal(load(buf, n, &p), -EINVAL);
}

/* An initrd that does not fit beside the kernel. */
static void test_initrd_too_large(void **unused)
{
	u8 buf[IMAGE_MAX];
	char initrd[64];
	unused_ auto_close int fd = image_file("x", 1, initrd);
	struct boot_params p = { .initrd = initrd };
	size_t n = image_linux(buf, 16 * MIB, 0x100000);

	must(ftruncate(fd, 47 * MIB) == 0);
	assert_int_equal(load(buf, n, &p), 0);
	must(ftruncate(fd, 47 * MIB + 1) == 0);
	assert_int_equal(load(buf, n, &p), -ENOMEM);
	st_le32(buf + 0x22c, 40 * MIB - 1); /* initrd_addr_max */
	must(ftruncate(fd, 4 * MIB + 1) == 0);
	assert_int_equal(load(buf, n, &p), 0);
	assert_int_equal(r32(state.gpr[GPR_RSI] + 0x218), 36 * MIB - 4096);
	st_le32(buf + 0x22c, 0xffffffff);
	assert_int_equal(load(buf, n, &p), 0);
	must(ftruncate(fd, 1ll << 40) == 0);
	assert_int_equal(load(buf, n, &p), -ENOMEM);
}

static void check_pvh(u8 *buf, size_t n)
{
	const char data[] = "initrd";
	char initrd[64];
	unused_ auto_close int fd = image_file(data, sizeof(data), initrd);
	struct boot_params p = { .initrd = initrd, .append = "root=/dev/vda" };

	memset(ram_ptr(ram, 0x200000, 0x3000), 0xcc, 0x3000);
	assert_int_equal(load(buf, n, &p), 0);
	check_protected32(IMAGE_PVH_ENTRY);
	for (unsigned i = 0; i < 0x3000; i++)
		assert_int_equal(r8(0x200000 + i), i < 0x1000 ? 0xf4 : 0);
	gpa_t si = state.gpr[GPR_RBX];
	assert_int_equal(r32(si), 0x336ec578);
	assert_int_equal(r32(si + 4), 1);
	assert_int_equal(r32(si + 12), 1);
	assert_string_equal((char *)ram_ptr(ram, r64(si + 24), 64), "root=/dev/vda");
	assert_int_equal(r64(si + 32), LAYOUT_RSDP);
	assert_int_equal(r32(si + 48), 4);
	gpa_t map = r64(si + 40), mod = r64(si + 16);
	assert_int_equal(r64(map + 2 * 24), MIB);
	assert_int_equal(r64(map + 2 * 24 + 8), RAM_BYTES - MIB);
	assert_int_equal(r32(map + 2 * 24 + 16), 1);
	assert_int_equal(r64(mod), RAM_BYTES - 4096);
	assert_int_equal(r64(mod + 8), sizeof(data));
	assert_memory_equal(ram_ptr(ram, r64(mod), sizeof(data)), data, sizeof(data));
}

static void test_pvh(void **unused)
{
	u8 buf[IMAGE_MAX];

	check_pvh(buf, image_pvh(buf, true));
	check_pvh(buf, image_pvh(buf, false));
}

static void check_multiboot(u8 *buf, size_t n, u32 end)
{
	const char one[5000] = "first", two[] = "second";
	char p1[64], p2[64];
	unused_ auto_close int fd1 = image_file(one, sizeof(one), p1), fd2 = image_file(two, sizeof(two), p2);
	auto_free char *with_args = xasprintf("%s a b", p2);
	const char *mods[] = { p1, with_args };
	struct boot_params p = { .append = "hello", .modules = mods, .nmodules = 2 };

	memset(ram_ptr(ram, 0x100000, 0x3000), 0xcc, 0x3000);
	assert_int_equal(load(buf, n, &p), 0);
	check_protected32(IMAGE_MB_ENTRY);
	for (u32 a = IMAGE_MB_ENTRY + 0x20; a < 0x103000; a++)
		assert_int_equal(r8(a), a < 0x100800 ? 0xf4 : a < end ? 0 : a < ROUND_UP(end, 4096) ? 0xcc : r8(a));
	assert_int_equal(state.gpr[GPR_RAX], 0x2badb002);
	gpa_t mb = state.gpr[GPR_RBX];
	assert_int_equal(r32(mb), 0x24d);
	assert_int_equal(r32(mb + 4), 639);
	assert_int_equal(r32(mb + 8), RAM_BYTES / 1024 - 1024);
	assert_string_equal((char *)ram_ptr(ram, r32(mb + 16), 16), "hello");
	assert_int_equal(r32(mb + 20), 2);
	gpa_t m = r32(mb + 24);
	assert_int_equal(r32(m), ROUND_UP(end, 4096));
	assert_int_equal(r32(m + 4) - r32(m), sizeof(one));
	assert_string_equal((char *)ram_ptr(ram, r32(m + 8), 64), p1);
	assert_memory_equal(ram_ptr(ram, r32(m), sizeof(one)), one, sizeof(one));
	assert_int_equal(r32(m + 16), ROUND_UP(r32(m + 4), 4096));
	assert_memory_equal(ram_ptr(ram, r32(m + 16), sizeof(two)), two, sizeof(two));
	assert_string_equal((char *)ram_ptr(ram, r32(m + 24), 64), with_args);
	assert_int_equal(r32(mb + 44), 4 * 24);
	gpa_t map = r32(mb + 48);
	assert_int_equal(r32(map), 20);
	assert_int_equal(r64(map + 2 * 24 + 4), MIB);
	assert_int_equal(r32(map + 2 * 24 + 20), 1);
	assert_string_equal((char *)ram_ptr(ram, r32(mb + 64), 16), "mica");
}

static void test_multiboot(void **unused)
{
	u8 buf[IMAGE_MAX];
	struct boot_params p = { 0 };

	check_multiboot(buf, image_multiboot_elf(buf), 0x102000);
	check_multiboot(buf, image_multiboot_addresses(buf), 0x101800);
	size_t n = image_multiboot_elf(buf);
	st_le32(buf + 0x1004, 0x8003); /* a requirement that nobody knows */
	st_le32(buf + 0x1008, -(0x1badb002 + 0x8003));
	assert_int_equal(load(buf, n, &p), -ENOEXEC);
}

/* A file that ends anywhere within what it promises is an error. */
static void check_truncated(const u8 *buf, size_t n, size_t slack)
{
	struct boot_params p = { 0 };

	for (size_t k = 0; k < n - slack; k++)
		if (load(buf, k, &p) >= 0)
			fail_msg("cut to %zu of %zu bytes, it was loaded", k, n);
	assert_int_equal(load(buf, n - slack, &p), 0);
}

static void test_truncated(void **unused)
{
	u8 buf[IMAGE_MAX];

	check_truncated(buf, image_linux(buf, 16 * MIB, 0x100000), 15);
	check_truncated(buf, image_pvh(buf, true), 0);
	check_truncated(buf, image_pvh(buf, false), 0);
	check_truncated(buf, image_multiboot_elf(buf), 0);
	check_truncated(buf, image_multiboot_addresses(buf), 0);
}

static void test_hostile_elf(void **unused)
{
	u8 buf[IMAGE_MAX];
	struct boot_params p = { 0 };
	size_t n;

	enum { LOAD = 64, NOTE = 120, PVH_ENTRY = 0x23c }; /* where they are in the file */
	const struct {
		size_t at;
		u64 v;
		int rc;
	} cases[] = {
		{ LOAD + offsetof(Elf64_Phdr, p_paddr), 0, -ENOEXEC },
		{ LOAD + offsetof(Elf64_Phdr, p_paddr), LAYOUT_RSDP, -ENOEXEC },
		{ LOAD + offsetof(Elf64_Phdr, p_paddr), BOOT_INFO - 0x1000, -ENOEXEC },
		{ LOAD + offsetof(Elf64_Phdr, p_paddr), RAM_BYTES - 0x2fff, -ENOMEM },
		{ LOAD + offsetof(Elf64_Phdr, p_paddr), UINT64_MAX - 0x100, -ENOMEM },
		{ LOAD + offsetof(Elf64_Phdr, p_memsz), 0xfff, -ENOEXEC },
		{ LOAD + offsetof(Elf64_Phdr, p_memsz), UINT64_MAX, -ENOMEM },
		{ LOAD + offsetof(Elf64_Phdr, p_offset), UINT64_MAX, -ENOEXEC },
		{ LOAD + offsetof(Elf64_Phdr, p_filesz), 0x1001, -ENOEXEC },
		{ NOTE + offsetof(Elf64_Phdr, p_offset), UINT64_MAX - 8, -ENOEXEC },
		{ NOTE + offsetof(Elf64_Phdr, p_filesz), UINT64_MAX, -ENOEXEC },
		{ 32 /* e_phoff */, UINT64_MAX - 16, -ENOEXEC },
		{ PVH_ENTRY, 1ull << 32, -ENOEXEC },
	};
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		n = image_pvh(buf, true);
		st_le64(buf + cases[i].at, cases[i].v);
		if (load(buf, n, &p) != cases[i].rc)
			fail_msg("case %u: %d, wanted %d: %s", i, -err.code, cases[i].rc, err.msg);
	}
	n = image_pvh(buf, true);
	st_le16(buf + offsetof(Elf64_Ehdr, e_phnum), 0xffff);
	assert_int_equal(load(buf, n, &p), -ENOEXEC);
	/* the same 60 MiB thirty times over */
	n = image_pvh(buf, true);
	memcpy(buf + 0x2000, buf + NOTE, sizeof(Elf64_Phdr));
	for (unsigned i = 1; i <= 30; i++) {
		Elf64_Phdr seg = {
			.p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = 2 * MIB, .p_filesz = 1, .p_memsz = 60 * MIB
		};
		memcpy(buf + 0x2000 + sizeof(seg) * i, &seg, sizeof(seg));
	}
	st_le64(buf + offsetof(Elf64_Ehdr, e_phoff), 0x2000);
	st_le16(buf + offsetof(Elf64_Ehdr, e_phnum), 31);
	assert_int_equal(load(buf, 0x3000, &p), -ENOEXEC);
	assert_non_null(strstr(err.msg, "overlap"));
}

static void test_not_kernels(void **unused)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *says;
	} cases[] = {
		{ "\x1f\x8b\x08\0\0\0\0\0", 8, "gzip" },
		{ "\xfd"
		  "7zXZ\0",
		  6, "xz" },
		{ "\x28\xb5\x2f\xfd", 4, "zstd" },
		{ "BZh9", 4, "bzip2" },
		{ "QFI\xfb", 4, "qcow2" },
		{ "070701", 6, "initrd" },
		{ "MZ", 2, "EFI" },
		{ "#!/bin/sh\n", 10, "is a script: pass the kernel itself" },
		{ "hello, w\303\266rld\n", 14, "is a text file: pass the kernel itself" },
		{ "hello\1world", 11, "no known kind" },
		{ "!<arch>\ndebian", 14, "an archive (a Debian package?)" },
		{ "                                    \x18\x28\x6f\x01", 40,
		  "a 32-bit ARM kernel: this is an x86-64 machine" },
		{ "\x7f"
		  "ELF",
		  4, "cut short" },
		{ "x", 0, "empty" },
	};
	struct boot_params p = { 0 };

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(load((const u8 *)cases[i].bytes, cases[i].n, &p) < 0);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %u does not say %s: %s", i, cases[i].says, err.msg);
	}
	u8 buf[IMAGE_MAX];
	size_t n = image_pvh(buf, true);
	memset(buf + 0x22c, 0, 0x20);
	assert_int_equal(load(buf, n, &p), -ENOEXEC);
	assert_non_null(strstr(err.msg, "CONFIG_PVH"));
	st_le16(buf + 18, 183); /* EM_AARCH64 */
	assert_int_equal(load(buf, n, &p), -ENOEXEC);

	p.kernel = "/nonexistent/kernel";
	assert_int_equal(boot_load(ram, &p, &state, &err), -ENOENT);
	p.kernel = "/dev/zero";
	assert_int_equal(boot_load(ram, &p, &state, &err), -EINVAL);
	p.kernel = NULL;
	assert_int_equal(boot_load(ram, &p, &state, &err), -EINVAL);
}

static int open_cb(void *opaque, const char *path)
{
	if (strcmp(path, "kernel") != 0)
		return -EPERM;
	return dup(*(int *)opaque);
}

static void test_callers_open(void **unused)
{
	u8 buf[IMAGE_MAX];
	char path[64];
	size_t n = image_linux(buf, 16 * MIB, 0x100000);
	unused_ auto_close int fd = image_file(buf, n, path);
	struct boot_params p = { .kernel = "kernel", .open = open_cb, .open_opaque = &fd };

	assert_int_equal(boot_load(ram, &p, &state, &err), 0);
	p.initrd = "initrd";
	assert_int_equal(boot_load(ram, &p, &state, &err), -EPERM);
}

static struct cpu cpus[2];

struct cpu *cpu_vm_cpu(struct cpu_vm *vm, unsigned index)
{
	return &cpus[index];
}

/* The whole of it on a board, and again after a reset of the machine. */
static void test_machine_boot(void **unused)
{
	u8 buf[IMAGE_MAX];
	char path[64];
	size_t n = image_linux(buf, 16 * MIB, 0x100000);
	unused_ auto_close int fd = image_file(buf, n, path);
	struct boot_params p = { .kernel = path };
	struct loop *loop;
	struct machine *m;
	struct pci_dev d;

	assert_int_equal(loop_new(&loop, &err), 0);
	struct machine_config cfg = { .ram = ram, .loop = loop, .ncpus = 2 };
	assert_int_equal(machine_new(&m, &cfg, &err), 0);
	machine_attach_cpus(m, NULL);
	pci_dev_init(&d, NULL, "d", 1, 2, 0);
	pci_add_msix(&d, 1, 2);
	assert_int_equal(pci_register(machine_pci(m), &d, -1), 0);
	for (unsigned i = 0; i < 2; i++) {
		must(ram_discard_at(ram, 0, RAM_BYTES) == 0);
		assert_int_equal(machine_boot(m, &p, &state, &err), 0);
		assert_int_equal(state.rip, 16 * MIB + 0x200);
		assert_memory_equal(ram_ptr(ram, LAYOUT_RSDP, 8), "RSD PTR ", 8);
		assert_int_equal(bus_mmio_read(machine_bus(m), LAYOUT_PCI_MMIO + 12, 4), 1);
		machine_reset(m);
		assert_int_equal(bus_mmio_read(machine_bus(m), LAYOUT_PCI_MMIO + 12, 4), 0xffffffff);
	}
	pci_dev_fini(&d);
	machine_free(m);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_linux_screen),
		cmocka_unit_test(test_linux_moves_or_refuses),
		cmocka_unit_test(test_linux_32bit),
		cmocka_unit_test(test_linux_refuses),
		cmocka_unit_test(test_initrd_too_large),
		cmocka_unit_test(test_pvh),
		cmocka_unit_test(test_multiboot),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_hostile_elf),
		cmocka_unit_test(test_not_kernels),
		cmocka_unit_test(test_callers_open),
		cmocka_unit_test(test_machine_boot),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
