/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_elf.c - ELF kernels, 32 and 64 bits (System V ABI chapters 4 and 5). */
#include "machine/boot.h"

#include "machine/memory.h"

#include <elf.h>

bool boot_is_elf(const u8 *head, size_t bytes)
{
	return bytes >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static int damaged(const struct boot_file *f, const char *why, struct err *e)
{
	return err_set(e, ENOEXEC, "kernel %s is not a loadable x86 ELF program: %s", f->path, why);
}

static int read_phdrs(const struct boot_file *f, struct boot_elf *elf, u64 off, unsigned n, unsigned entry_bytes,
		      struct err *e)
{
	if (entry_bytes != (elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return damaged(f, "its program headers have an unknown size", e);
	if (n == 0)
		return damaged(f, "it has no program headers (an object file?)", e);
	if (n > BOOT_PHDRS_MAX)
		return damaged(f, "it has more than 128 program headers", e);
	for (unsigned i = 0; i < n; i++) {
		struct boot_segment *g = &elf->seg[i];
		int rc;

		if (elf->is64) {
			Elf64_Phdr h;

			if ((rc = boot_file_read(f, off + i * sizeof(h), &h, sizeof(h), e)) < 0)
				return rc;
			*g = (struct boot_segment){ h.p_type,   h.p_offset, h.p_vaddr, h.p_paddr,
						    h.p_filesz, h.p_memsz,  h.p_align };
		} else {
			Elf32_Phdr h;

			if ((rc = boot_file_read(f, off + i * sizeof(h), &h, sizeof(h), e)) < 0)
				return rc;
			*g = (struct boot_segment){ h.p_type,   h.p_offset, h.p_vaddr, h.p_paddr,
						    h.p_filesz, h.p_memsz,  h.p_align };
		}
	}
	elf->n = n;
	return 0;
}

int boot_elf_read(const struct boot_file *f, struct boot_elf *elf, struct err *e)
{
	union {
		u8 ident[EI_NIDENT];
		Elf32_Ehdr h32;
		Elf64_Ehdr h64;
	} u;
	int rc = boot_file_read(f, 0, &u.h32, sizeof(u.h32), e);

	if (rc < 0)
		return rc;
	if (u.ident[EI_DATA] != ELFDATA2LSB)
		return damaged(f, "it is not little-endian", e);
	if (u.ident[EI_CLASS] != ELFCLASS32 && u.ident[EI_CLASS] != ELFCLASS64)
		return damaged(f, "its class is neither 32 nor 64 bits", e);
	elf->is64 = u.ident[EI_CLASS] == ELFCLASS64;
	/* type and machine stand at the same place in both */
	if (u.h32.e_type != ET_EXEC && u.h32.e_type != ET_DYN)
		return damaged(f, "it is not an executable", e);
	if (u.h32.e_machine != EM_X86_64 && u.h32.e_machine != EM_386)
		return err_set(e, ENOEXEC,
			       "kernel %s is for another kind of CPU (ELF machine %u): this is an x86-64 machine",
			       f->path, u.h32.e_machine);
	if (!elf->is64) {
		elf->entry = u.h32.e_entry;
		return read_phdrs(f, elf, u.h32.e_phoff, u.h32.e_phnum, u.h32.e_phentsize, e);
	}
	rc = boot_file_read(f, 0, &u.h64, sizeof(u.h64), e);
	if (rc < 0)
		return rc;
	elf->entry = u.h64.e_entry;
	if (u.h64.e_phoff > f->bytes)
		return damaged(f, "its program headers lie after its end", e);
	return read_phdrs(f, elf, u.h64.e_phoff, u.h64.e_phnum, u.h64.e_phentsize, e);
}

int boot_elf_load(struct ram *ram, const struct boot_file *f, const struct boot_elf *elf, gpa_t *end, struct err *e)
{
	u64 total = 0;
	bool any = false;

	*end = 0;
	for (unsigned i = 0; i < elf->n; i++) {
		const struct boot_segment *g = &elf->seg[i];
		int rc;

		if (g->type != PT_LOAD || g->memsz == 0)
			continue;
		if (g->filesz > g->memsz)
			return damaged(f, "a segment has more bytes in the file than in memory", e);
		if ((rc = boot_check_range(ram, f, g->paddr, g->memsz, e)) < 0)
			return rc;
		/* Overlapping segments must not make us write all of memory once for each. */
		total += g->memsz;
		if (total > memory_low_end(ram))
			return damaged(f, "its segments overlap", e);
		if ((rc = boot_file_to_ram(f, g->off, ram, g->paddr, g->filesz, e)) < 0)
			return rc;
		must(ram_zero(ram, g->paddr + g->filesz, g->memsz - g->filesz) == 0);
		*end = MAX(*end, g->paddr + g->memsz);
		any = true;
	}
	return any ? 0 : damaged(f, "it has nothing to load", e);
}
