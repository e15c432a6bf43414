/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot.h - kernel loaders: private to the room, except boot_load(), which works without a board.
 *
 * Files of kernels are untrusted bytes. INV-BOOT-1: nothing is allocated by a size read from a file;
 * file bytes go straight to guest RAM, and only after ram_ptr() or boot_check_range() agreed.
 */
#ifndef MICA_BOOT_H
#define MICA_BOOT_H

#include "base/err.h"
#include "base/ram.h"
#include "machine/machine.h"

/*
 * Low memory, while the kernel takes its first steps:
 *   0x00400  BIOS data area: EBDA pointer and size of base memory
 *   0x01000  Linux only: stack, GDT, boot_params, page tables, command line
 *   0x90000  the others: GDT, stack and what the protocol hands over, up to the EBDA
 *   0xe0000  ACPI
 */
#define BOOT_LINUX_GDT 0x1000ull
#define BOOT_LINUX_STACK 0x2000ull /* its top */
#define BOOT_LINUX_PARAMS 0x2000ull
#define BOOT_LINUX_TABLES 0x3000ull
#define BOOT_LINUX_CMDLINE 0x10000ull
#define BOOT_INFO 0x90000ull
#define BOOT_STACK 0x91000ull /* its top */
#define BOOT_INFO_DATA 0x91000ull
#define BOOT_INFO_END 0x9fc00ull

#define BOOT_SEL_CODE 0x10
#define BOOT_SEL_DATA 0x18
#define BOOT_SEL_TSS 0x20

#define BOOT_MODULES_MAX 64

/* Take in the files named in *p, write what the kernel expects to find, set *state for vCPU 0. */
int boot_load(struct ram *ram, const struct boot_params *p, struct cpu_state *state, struct err *e);

/* ---- files (boot_file.c) ---- */
struct boot_file {
	int fd;
	const char *path; /* borrowed */
	u64 bytes;
};
/* By p->open, where there is one. what: "kernel", "initrd", "module". */
int boot_file_open(struct boot_file *f, const struct boot_params *p, const char *what, const char *path, struct err *e);
void boot_file_close(struct boot_file *f);
/* Exactly `bytes` at off, or an error that says the file is cut short. */
int boot_file_read(const struct boot_file *f, u64 off, void *buf, u64 bytes, struct err *e);
/* The same straight into guest RAM. */
int boot_file_to_ram(const struct boot_file *f, u64 off, struct ram *ram, gpa_t gpa, u64 bytes, struct err *e);

/* ---- what all protocols share (boot_common.c) ---- */
enum boot_mem_type { BOOT_MEM_RAM = 1, BOOT_MEM_RESERVED = 2 }; /* as in E820, Multiboot and PVH */
struct boot_mem {
	u64 base, bytes;
	enum boot_mem_type type;
};
#define BOOT_MEM_MAX 8
unsigned boot_mem_map(const struct ram *ram, struct boot_mem map[BOOT_MEM_MAX]);

/* A kernel's image may go to [gpa, gpa + bytes): low RAM and clear of what we write ourselves. */
int boot_check_range(const struct ram *ram, const struct boot_file *f, gpa_t gpa, u64 bytes, struct err *e);

#define BOOT_MTRR_DEF_TYPE 0x806 /* enabled, everything write-back: the same on all CPUs */

/* State common to all: caches on, flags, FPU and MSRs as after reset. */
void boot_state_init(struct cpu_state *s);
/* Flat 32-bit protected mode without paging, GDT at gdt; entry in rip. */
int boot_state_protected32(struct ram *ram, struct cpu_state *s, gpa_t gdt, gpa_t stack, u32 entry, struct err *e);
/* Flat 64-bit mode, the first 4 GiB mapped one to one by tables at `tables` (6 pages). */
int boot_state_long(struct ram *ram, struct cpu_state *s, gpa_t gdt, gpa_t stack, gpa_t tables, u64 entry,
		    struct err *e);

/* Room for what a protocol hands over: grows from BOOT_INFO_DATA. */
struct boot_room {
	struct ram *ram;
	gpa_t next, end;
};
/* Copy bytes there, aligned; *at is where they went. -E2BIG when the room is full. */
int boot_room_put(struct boot_room *r, const void *p, u64 bytes, unsigned align, gpa_t *at, struct err *e);
int boot_room_string(struct boot_room *r, const char *s, gpa_t *at, struct err *e);

/* Modules: initrd first, then "FILE args" each. */
struct boot_module {
	gpa_t base;
	u64 bytes;
	const char *string; /* what the user gave, borrowed; "" for the initrd */
};
/* Load all, page-aligned, at `from` and up. Returns their number. */
int boot_modules(struct ram *ram, const struct boot_params *p, gpa_t from, struct boot_module m[BOOT_MODULES_MAX],
		 struct err *e);
/* Load p->initrd as high as it goes in [lowest, limit); *bytes is 0 when there is none. */
int boot_initrd(struct ram *ram, const struct boot_params *p, gpa_t lowest, gpa_t limit, gpa_t *base, u64 *bytes,
		struct err *e);

/* ---- ELF (boot_elf.c) ---- */
#define BOOT_PHDRS_MAX 128
struct boot_segment {
	u32 type;
	u64 off, vaddr, paddr, filesz, memsz, align;
};
struct boot_elf {
	bool is64;
	u64 entry;
	unsigned n;
	struct boot_segment seg[BOOT_PHDRS_MAX];
};
bool boot_is_elf(const u8 *head, size_t bytes);
int boot_elf_read(const struct boot_file *f, struct boot_elf *elf, struct err *e);
/* Load every PT_LOAD at its physical address; *end is the first byte after all of them. */
int boot_elf_load(struct ram *ram, const struct boot_file *f, const struct boot_elf *elf, gpa_t *end, struct err *e);

/* ---- the protocols ---- */
int boot_linux(struct ram *ram, const struct boot_file *f, const struct boot_params *p, struct cpu_state *s,
	       struct err *e);
/* Put the screen into the mode that p asks for and say so in boot_params; boot_linux_screen.c. */
void boot_linux_screen(u8 *zero_page, const struct boot_params *p);
/* *found tells whether the ELF file has the note; 0 is returned when it has not. */
int boot_pvh_find(const struct boot_file *f, const struct boot_elf *elf, bool *found, u32 *entry, struct err *e);
int boot_pvh(struct ram *ram, const struct boot_file *f, const struct boot_elf *elf, u32 entry,
	     const struct boot_params *p, struct cpu_state *s, struct err *e);

#define MULTIBOOT_SEARCH 8192 /* the header lies in the first bytes of the file */
struct multiboot_header {
	u32 at; /* offset in the file */
	u32 flags;
	u32 header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};
bool boot_multiboot_find(const u8 *head, size_t bytes, struct multiboot_header *h);
/* elf: NULL when the file is none. */
int boot_multiboot(struct ram *ram, const struct boot_file *f, const struct multiboot_header *h,
		   const struct boot_elf *elf, const struct boot_params *p, struct cpu_state *s, struct err *e);

#endif
