/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_pvh.c - ELF kernels with a PVH entry point (Xen docs/misc/pvh.pandoc and
 * xen/include/public/arch-x86/hvm/start_info.h): 32-bit protected mode, EBX at hvm_start_info.
 */
#include "machine/boot.h"

#include "machine/layout.h"
#include "machine/memory.h"

#include <assert.h>
#include <elf.h>

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define START_MAGIC 0x336ec578u
#define NOTES_MAX 4096 /* notes looked at in one segment */

struct start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	u32 memmap_entries, reserved;
};
static_assert(sizeof(struct start_info) == 56, "hvm_start_info version 1");

struct modlist_entry {
	u64 paddr, size, cmdline_paddr, reserved;
};

struct memmap_entry {
	u64 addr, size;
	u32 type, reserved;
};

/* One note at off; *next is where the following begins. */
static int look_at_note(const struct boot_file *f, u64 off, u64 end, u64 align, u64 *next, bool *found, u32 *entry,
			struct err *e)
{
	Elf64_Nhdr h; /* the same in 32-bit files */
	char name[4];
	u64 desc = 0;
	int rc = boot_file_read(f, off, &h, sizeof(h), e);

	if (rc < 0)
		return rc;
	u64 name_off = off + sizeof(h), desc_off = name_off + ROUND_UP((u64)h.n_namesz, align);
	*next = desc_off + ROUND_UP((u64)h.n_descsz, align);
	if (*next > end)
		*next = end;
	if (h.n_type != NOTE_PHYS32_ENTRY || h.n_namesz != sizeof(name))
		return 0;
	if ((rc = boot_file_read(f, name_off, name, sizeof(name), e)) < 0)
		return rc;
	if (memcmp(name, "Xen", 4) != 0)
		return 0;
	if (h.n_descsz != 4 && h.n_descsz != 8)
		return err_set(e, ENOEXEC, "kernel %s is damaged: its PVH note has %u bytes, not 4 or 8", f->path,
			       h.n_descsz);
	if ((rc = boot_file_read(f, desc_off, &desc, h.n_descsz, e)) < 0)
		return rc;
	if (desc > UINT32_MAX)
		return err_set(e, ENOEXEC, "kernel %s is damaged: its PVH entry is above 4 GiB", f->path);
	*found = true;
	*entry = (u32)desc;
	return 0;
}

int boot_pvh_find(const struct boot_file *f, const struct boot_elf *elf, bool *found, u32 *entry, struct err *e)
{
	*found = false;
	*entry = 0;
	for (unsigned i = 0; i < elf->n && !*found; i++) {
		const struct boot_segment *g = &elf->seg[i];
		u64 off = g->off, end = g->off + g->filesz, align = g->align == 8 ? 8 : 4;

		if (g->type != PT_NOTE)
			continue;
		if (end < off || end > f->bytes)
			return err_set(e, ENOEXEC, "kernel %s is cut short or damaged: its notes lie after its end",
				       f->path);
		for (unsigned k = 0; k < NOTES_MAX && !*found && end - off >= sizeof(Elf64_Nhdr); k++) {
			int rc = look_at_note(f, off, end, align, &off, found, entry, e);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int put_modules(struct boot_room *room, const struct boot_module *m, int n, struct start_info *si, struct err *e)
{
	struct modlist_entry list[BOOT_MODULES_MAX] = { 0 };

	if (n == 0)
		return 0;
	for (int i = 0; i < n; i++) {
		list[i].paddr = m[i].base;
		list[i].size = m[i].bytes;
		if (*m[i].string) {
			int rc = boot_room_string(room, m[i].string, &list[i].cmdline_paddr, e);
			if (rc < 0)
				return rc;
		}
	}
	si->nr_modules = (u32)n;
	return boot_room_put(room, list, (u64)n * sizeof(list[0]), 8, &si->modlist_paddr, e);
}

static int put_memmap(struct boot_room *room, struct start_info *si, struct err *e)
{
	struct boot_mem map[BOOT_MEM_MAX];
	struct memmap_entry list[BOOT_MEM_MAX] = { 0 };
	unsigned n = boot_mem_map(room->ram, map);

	for (unsigned i = 0; i < n; i++)
		list[i] = (struct memmap_entry){ map[i].base, map[i].bytes, map[i].type, 0 };
	si->memmap_entries = n;
	return boot_room_put(room, list, n * sizeof(list[0]), 8, &si->memmap_paddr, e);
}

int boot_pvh(struct ram *ram, const struct boot_file *f, const struct boot_elf *elf, u32 entry,
	     const struct boot_params *p, struct cpu_state *s, struct err *e)
{
	struct boot_room room = { .ram = ram, .next = BOOT_INFO_DATA, .end = BOOT_INFO_END };
	struct start_info si = { .magic = START_MAGIC, .version = 1, .rsdp_paddr = LAYOUT_RSDP };
	struct boot_module mods[BOOT_MODULES_MAX];
	gpa_t end, at;
	int rc = boot_elf_load(ram, f, elf, &end, e);

	if (rc < 0)
		return rc;
	if (p->nmodules) {
		rc = boot_modules(ram, p, MAX(end, MIB), mods, e);
	} else {
		/* An initrd alone goes high: the kernel may unpack and grow behind its end. */
		mods[0].string = "";
		rc = boot_initrd(ram, p, MAX(end, MIB), LAYOUT_RAM_LOW_MAX, &mods[0].base, &mods[0].bytes, e);
		rc = rc < 0 ? rc : p->initrd != NULL;
	}
	if (rc < 0)
		return rc;
	if ((rc = put_modules(&room, mods, rc, &si, e)) < 0 || (rc = put_memmap(&room, &si, e)) < 0 ||
	    (rc = boot_room_string(&room, p->append ? p->append : "", &si.cmdline_paddr, e)) < 0 ||
	    (rc = boot_room_put(&room, &si, sizeof(si), 8, &at, e)) < 0)
		return rc;
	rc = boot_state_protected32(ram, s, BOOT_INFO, BOOT_STACK, entry, e);
	s->gpr[GPR_RBX] = at;
	return rc;
}
