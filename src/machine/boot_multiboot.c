/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_multiboot.c - Multiboot 1 kernels (Multiboot specification 0.6.96): ELF ones and those that say
 * themselves where they go ("a.out kludge"). 32-bit protected mode, EAX the magic, EBX at the
 * information structure.
 */
#include "machine/boot.h"

#include "machine/memory.h"

#include "base/log.h"

#include <assert.h>
#include <elf.h>

#define HEADER_MAGIC 0x1badb002u
#define LOADED_MAGIC 0x2badb002u

/* header flags (3.1.2) */
#define WANT_VIDEO 0x00000004u
#define WANT_KNOWN 0x00000007u /* page-aligned modules, memory information, video mode */
#define WANT_MASK 0x0000ffffu  /* a loader that does not know one of these must refuse */
#define HAS_ADDRESSES 0x00010000u

/* information flags (3.3) */
#define INFO_MEMORY 0x001u
#define INFO_CMDLINE 0x004u
#define INFO_MODS 0x008u
#define INFO_MMAP 0x040u
#define INFO_LOADER_NAME 0x200u

struct mb_info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr,
	    drives_length, drives_addr, config_table, boot_loader_name, apm_table, vbe[4];
};
static_assert(offsetof(struct mb_info, mmap_length) == 44, "multiboot information layout");
static_assert(offsetof(struct mb_info, boot_loader_name) == 64, "multiboot information layout");

struct mb_module {
	u32 start, end, string, reserved;
};

struct mb_mmap {
	u32 size; /* of the rest */
	u64 base, bytes;
	u32 type;
} __attribute__((packed));

bool boot_multiboot_find(const u8 *head, size_t bytes, struct multiboot_header *h)
{
	bytes = MIN(bytes, MULTIBOOT_SEARCH);
	for (size_t at = 0; at + 12 <= bytes; at += 4) {
		u32 flags = ld_le32(head + at + 4);

		if (ld_le32(head + at) != HEADER_MAGIC || HEADER_MAGIC + flags + ld_le32(head + at + 8) != 0)
			continue;
		*h = (struct multiboot_header){ .at = (u32)at, .flags = flags };
		if (flags & HAS_ADDRESSES) {
			if (at + 32 > bytes)
				return false;
			h->header_addr = ld_le32(head + at + 12);
			h->load_addr = ld_le32(head + at + 16);
			h->load_end_addr = ld_le32(head + at + 20);
			h->bss_end_addr = ld_le32(head + at + 24);
			h->entry_addr = ld_le32(head + at + 28);
		}
		return true;
	}
	return false;
}

/* The header gives the addresses (3.1.3). */
static int load_by_addresses(struct ram *ram, const struct boot_file *f, const struct multiboot_header *h, gpa_t *end,
			     u32 *entry, struct err *e)
{
	u32 before = h->header_addr - h->load_addr; /* of the header, in what is loaded */

	if (h->load_addr > h->header_addr || before > h->at || (h->load_end_addr && h->load_end_addr < h->load_addr) ||
	    (h->bss_end_addr && h->bss_end_addr < h->load_end_addr))
		return err_set(e, ENOEXEC, "kernel %s is damaged: the addresses in its Multiboot header contradict",
			       f->path);
	u64 off = h->at - before;
	u64 bytes = h->load_end_addr ? h->load_end_addr - h->load_addr : f->bytes - off;
	u64 all = h->bss_end_addr ? h->bss_end_addr - h->load_addr : bytes;
	if (all < bytes)
		all = bytes;
	int rc = boot_check_range(ram, f, h->load_addr, all, e);
	if (rc == 0)
		rc = boot_file_to_ram(f, off, ram, h->load_addr, bytes, e);
	if (rc < 0)
		return rc;
	must(ram_zero(ram, h->load_addr + bytes, all - bytes) == 0);
	*end = h->load_addr + all;
	*entry = h->entry_addr;
	return 0;
}

/* Entry points of kernels linked high are virtual: find the segment and take its physical place. */
static int physical_entry(const struct boot_file *f, const struct boot_elf *elf, u32 *entry, struct err *e)
{
	u64 at = elf->entry;

	for (unsigned i = 0; i < elf->n; i++) {
		const struct boot_segment *g = &elf->seg[i];

		if (g->type == PT_LOAD && at >= g->vaddr && at - g->vaddr < g->memsz) {
			at = at - g->vaddr + g->paddr;
			break;
		}
	}
	if (at > UINT32_MAX)
		return err_set(e, ENOEXEC, "kernel %s is damaged: its entry point is above 4 GiB", f->path);
	*entry = (u32)at;
	return 0;
}

static int put_modules(struct boot_room *room, const struct boot_module *m, int n, struct mb_info *info, struct err *e)
{
	struct mb_module list[BOOT_MODULES_MAX] = { 0 };
	gpa_t at = 0;
	int rc;

	for (int i = 0; i < n; i++) {
		if ((rc = boot_room_string(room, m[i].string, &at, e)) < 0)
			return rc;
		list[i] = (struct mb_module){ (u32)m[i].base, (u32)(m[i].base + m[i].bytes), (u32)at, 0 };
	}
	if ((rc = boot_room_put(room, list, (u64)n * sizeof(list[0]), 8, &at, e)) < 0)
		return rc;
	info->flags |= INFO_MODS;
	info->mods_count = (u32)n;
	info->mods_addr = (u32)at;
	return 0;
}

static int put_mmap(struct boot_room *room, struct mb_info *info, struct err *e)
{
	struct boot_mem map[BOOT_MEM_MAX];
	struct mb_mmap list[BOOT_MEM_MAX];
	unsigned n = boot_mem_map(room->ram, map);
	gpa_t at;

	for (unsigned i = 0; i < n; i++)
		list[i] = (struct mb_mmap){ sizeof(list[i]) - 4, map[i].base, map[i].bytes, map[i].type };
	int rc = boot_room_put(room, list, n * sizeof(list[0]), 8, &at, e);
	if (rc < 0)
		return rc;
	info->flags |= INFO_MMAP | INFO_MEMORY;
	info->mmap_addr = (u32)at;
	info->mmap_length = (u32)(n * sizeof(list[0]));
	info->mem_lower = (u32)(map[0].bytes / KIB);
	info->mem_upper = (u32)((memory_low_end(room->ram) - MIB) / KIB);
	return 0;
}

static int put_strings(struct boot_room *room, const char *append, struct mb_info *info, struct err *e)
{
	gpa_t at;
	int rc = boot_room_string(room, append, &at, e);

	if (rc < 0)
		return rc;
	info->cmdline = (u32)at;
	if ((rc = boot_room_string(room, "mica", &at, e)) < 0)
		return rc;
	info->boot_loader_name = (u32)at;
	info->flags |= INFO_CMDLINE | INFO_LOADER_NAME;
	return 0;
}

int boot_multiboot(struct ram *ram, const struct boot_file *f, const struct multiboot_header *h,
		   const struct boot_elf *elf, const struct boot_params *p, struct cpu_state *s, struct err *e)
{
	struct boot_room room = { .ram = ram, .next = BOOT_INFO_DATA, .end = BOOT_INFO_END };
	struct boot_module mods[BOOT_MODULES_MAX];
	struct mb_info info = { 0 };
	gpa_t end, at;
	u32 entry = 0;
	int rc;

	if (h->flags & WANT_MASK & ~WANT_KNOWN)
		return err_set(e, ENOEXEC, "kernel %s needs Multiboot features that nobody knows (flags %#x)", f->path,
			       h->flags);
	if (h->flags & WANT_VIDEO)
		log_info("kernel %s asks for a video mode; there is no display", f->path);
	if (h->flags & HAS_ADDRESSES) {
		rc = load_by_addresses(ram, f, h, &end, &entry, e);
	} else if (elf) {
		rc = boot_elf_load(ram, f, elf, &end, e);
		if (rc == 0)
			rc = physical_entry(f, elf, &entry, e);
	} else {
		rc = err_set(e, ENOEXEC, "kernel %s has a Multiboot header without addresses and is not ELF", f->path);
	}
	if (rc < 0)
		return rc;
	/* Behind the kernel, as other loaders do; never in the first MiB. */
	int n = boot_modules(ram, p, MAX(end, MIB), mods, e);
	if (n < 0)
		return n;
	if ((rc = put_modules(&room, mods, n, &info, e)) < 0 || (rc = put_mmap(&room, &info, e)) < 0 ||
	    (rc = put_strings(&room, p->append ? p->append : "", &info, e)) < 0 ||
	    (rc = boot_room_put(&room, &info, sizeof(info), 8, &at, e)) < 0)
		return rc;
	rc = boot_state_protected32(ram, s, BOOT_INFO, BOOT_STACK, entry, e);
	s->gpr[GPR_RAX] = LOADED_MAGIC;
	s->gpr[GPR_RBX] = at;
	return rc;
}
