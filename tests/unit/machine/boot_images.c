/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_images.c - see boot_images.h. */
#include "boot_images.h"

#include <elf.h>
#include <sys/mman.h>

#define CODE 0xf4 /* HLT */

size_t image_linux(u8 *buf, u64 pref_address, u32 init_bytes)
{
	enum { SECTS = 2, CODE_OFF = (SECTS + 1) * 512, CODE_BYTES = 4096 };

	memset(buf, 0, IMAGE_MAX);
	buf[0] = 'M';
	buf[1] = 'Z';
	buf[0x1f1] = SECTS;
	st_le32(buf + 0x1f4, CODE_BYTES / 16);
	buf[0x1fe] = 0x55;
	buf[0x1ff] = 0xaa;
	buf[0x200] = 0xeb;
	buf[0x201] = 0x6a; /* the header ends at 0x26c */
	memcpy(buf + 0x202, "HdrS", 4);
	st_le16(buf + 0x206, 0x020f);
	buf[0x211] = 0x81;                     /* loaded high; a bit that we must clear */
	st_le32(buf + 0x22c, 0x7fffffff);      /* initrd_addr_max */
	st_le32(buf + 0x230, 0x200000);        /* kernel_alignment */
	buf[0x234] = 1;                        /* relocatable */
	st_le16(buf + 0x236, 0x0001);          /* 64-bit entry */
	st_le32(buf + 0x238, 2047);            /* cmdline_size */
	st_le64(buf + 0x250, 0xdeadbeef00ull); /* setup_data: must not get through */
	st_le64(buf + 0x258, pref_address);
	st_le32(buf + 0x260, init_bytes);
	memset(buf + CODE_OFF, CODE, CODE_BYTES);
	return CODE_OFF + CODE_BYTES;
}

static void put_note(u8 *at, const char *name, u32 type, const void *desc, u32 bytes)
{
	u32 n = (u32)strlen(name) + 1;

	st_le32(at, n);
	st_le32(at + 4, bytes);
	st_le32(at + 8, type);
	memcpy(at + 12, name, n);
	memcpy(at + 12 + ROUND_UP(n, 4), desc, bytes);
}

size_t image_pvh(u8 *buf, bool is64)
{
	u32 entry = IMAGE_PVH_ENTRY;
	u64 entry64 = entry;

	memset(buf, 0, IMAGE_MAX);
	/* another vendor's note, another Xen note, then the one that counts */
	put_note(buf + 0x200, "GNU", 18, "\1\2\3\4", 4);
	put_note(buf + 0x214, "Xen", 6, "linux\0\0", 8);
	if (is64)
		put_note(buf + 0x22c, "Xen", 18, &entry64, 8);
	else
		put_note(buf + 0x22c, "Xen", 18, &entry, 4);
	if (is64) {
		Elf64_Ehdr h = { .e_type = ET_EXEC,
				 .e_machine = EM_X86_64,
				 .e_version = 1,
				 .e_entry = 0xffffffff81000000ull,
				 .e_phoff = 64,
				 .e_ehsize = 64,
				 .e_phentsize = sizeof(Elf64_Phdr),
				 .e_phnum = 2 };
		Elf64_Phdr load = { .p_type = PT_LOAD,
				    .p_offset = 0x1000,
				    .p_vaddr = 0xffffffff81000000ull,
				    .p_paddr = 0x200000,
				    .p_filesz = 0x1000,
				    .p_memsz = 0x3000 };
		Elf64_Phdr note = {
			.p_type = PT_NOTE, .p_offset = 0x200, .p_filesz = 0x44, .p_memsz = 0x44, .p_align = 4
		};

		memcpy(h.e_ident, ELFMAG "\2\1\1", 7);
		memcpy(buf, &h, sizeof(h));
		memcpy(buf + 64, &load, sizeof(load));
		memcpy(buf + 64 + sizeof(load), &note, sizeof(note));
	} else {
		Elf32_Ehdr h = { .e_type = ET_EXEC,
				 .e_machine = EM_386,
				 .e_version = 1,
				 .e_entry = 0x200000,
				 .e_phoff = 52,
				 .e_ehsize = 52,
				 .e_phentsize = sizeof(Elf32_Phdr),
				 .e_phnum = 2 };
		Elf32_Phdr load = { .p_type = PT_LOAD,
				    .p_offset = 0x1000,
				    .p_vaddr = 0x200000,
				    .p_paddr = 0x200000,
				    .p_filesz = 0x1000,
				    .p_memsz = 0x3000 };
		Elf32_Phdr note = {
			.p_type = PT_NOTE, .p_offset = 0x200, .p_filesz = 0x40, .p_memsz = 0x40, .p_align = 4
		};

		memcpy(h.e_ident, ELFMAG "\1\1\1", 7);
		memcpy(buf, &h, sizeof(h));
		memcpy(buf + 52, &load, sizeof(load));
		memcpy(buf + 52 + sizeof(load), &note, sizeof(note));
	}
	memset(buf + 0x1000, CODE, 0x1000);
	return 0x2000;
}

static void put_multiboot(u8 *at, u32 flags)
{
	st_le32(at, 0x1badb002);
	st_le32(at + 4, flags);
	st_le32(at + 8, -(0x1badb002 + flags));
}

size_t image_multiboot_elf(u8 *buf)
{
	Elf32_Ehdr h = { .e_type = ET_EXEC,
			 .e_machine = EM_386,
			 .e_version = 1,
			 .e_entry = 0xc0000000 + IMAGE_MB_ENTRY,
			 .e_phoff = 52,
			 .e_ehsize = 52,
			 .e_phentsize = sizeof(Elf32_Phdr),
			 .e_phnum = 1 };
	Elf32_Phdr load = { .p_type = PT_LOAD,
			    .p_offset = 0x1000,
			    .p_vaddr = 0xc0100000,
			    .p_paddr = 0x100000,
			    .p_filesz = 0x800,
			    .p_memsz = 0x2000 };

	memset(buf, 0, IMAGE_MAX);
	memcpy(h.e_ident, ELFMAG "\1\1\1", 7);
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + 52, &load, sizeof(load));
	memset(buf + 0x1000, CODE, 0x800);
	put_multiboot(buf + 0x1000, 3);
	return 0x1800;
}

size_t image_multiboot_addresses(u8 *buf)
{
	enum { HEADER = 0x40, START = 0x20 }; /* what is loaded starts at 0x20 of the file */
	u8 *h = buf + HEADER;

	memset(buf, 0, IMAGE_MAX);
	memset(buf, CODE, 0x820);
	put_multiboot(h, 0x10003);
	st_le32(h + 12, 0x100000 + HEADER - START);
	st_le32(h + 16, 0x100000);
	st_le32(h + 20, 0x100800);
	st_le32(h + 24, 0x101800);
	st_le32(h + 28, IMAGE_MB_ENTRY);
	return 0x820;
}

int image_file(const void *bytes, size_t n, char path[64])
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}
