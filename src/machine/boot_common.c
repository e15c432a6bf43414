/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_common.c - what all boot protocols share: memory map, CPU states, hand-over room, modules. */
#include "machine/boot.h"

#include "machine/layout.h"
#include "machine/memory.h"

unsigned boot_mem_map(const struct ram *ram, struct boot_mem map[BOOT_MEM_MAX])
{
	unsigned n = 0;

	map[n++] = (struct boot_mem){ 0, LAYOUT_EBDA, BOOT_MEM_RAM };
	map[n++] = (struct boot_mem){ LAYOUT_EBDA, MIB - LAYOUT_EBDA, BOOT_MEM_RESERVED };
	map[n++] = (struct boot_mem){ MIB, memory_low_end(ram) - MIB, BOOT_MEM_RAM };
	map[n++] = (struct boot_mem){ LAYOUT_ECAM, LAYOUT_ECAM_BYTES, BOOT_MEM_RESERVED };
	if (memory_high_bytes(ram))
		map[n++] = (struct boot_mem){ LAYOUT_RAM_HIGH, memory_high_bytes(ram), BOOT_MEM_RAM };
	must(n <= BOOT_MEM_MAX);
	return n;
}

int boot_check_range(const struct ram *ram, const struct boot_file *f, gpa_t gpa, u64 bytes, struct err *e)
{
	bool low = gpa >= 0x1000 && gpa <= BOOT_INFO && bytes <= BOOT_INFO - gpa;
	bool main = gpa >= MIB && gpa <= memory_low_end(ram) && bytes <= memory_low_end(ram) - gpa;

	if (low || main)
		return 0;
	if (gpa < MIB)
		return err_set(
		    e, ENOEXEC,
		    "kernel %s wants %llu bytes at %#llx: below 1 MiB only 0x1000 to 0x8ffff can be loaded to", f->path,
		    (unsigned long long)bytes, (unsigned long long)gpa);
	return err_set(e, ENOMEM,
		       "kernel %s wants %llu bytes at %#llx, where this guest has no memory: its memory below 4 GiB "
		       "ends at %#llx",
		       f->path, (unsigned long long)bytes, (unsigned long long)gpa,
		       (unsigned long long)memory_low_end(ram));
}

/* ---- CPU states ---- */

#define AR_CODE 0x9b /* present, execute/read, accessed */
#define AR_DATA 0x93 /* present, read/write, accessed */
#define AR_TSS_BUSY 0x8b
#define AR_LDT 0x82

#define CR0_PE_ET 0x11ull
#define CR0_NE_BIT 0x20ull
#define CR0_WP_BIT 0x10000ull
#define CR0_PG_BIT 0x80000000ull
#define CR4_PAE_BIT 0x20ull
#define EFER_LME_LMA 0x500ull

void boot_state_init(struct cpu_state *s)
{
	memset(s, 0, sizeof(*s));
	s->rflags = 2;
	s->xcr0 = 1;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->pat = 0x0007040600070406ull;
	s->mtrr_def_type = BOOT_MTRR_DEF_TYPE;
	s->misc_enable = 1; /* fast strings */
	/* x87 and SSE as FNINIT and reset leave them (SDM 1 13.6) */
	st_le16(s->xsave, 0x37f);
	st_le32(s->xsave + 24, 0x1f80);
	st_le64(s->xsave + 512, 3);
	s->run_state = CPU_RUNNING;
}

/* Descriptor of a flat or small segment (SDM 3A 3.4.5). */
static u64 descriptor(const struct cpu_seg *g)
{
	u64 limit = g->ar & SEG_AR_G ? g->limit >> 12 : g->limit;

	return (limit & 0xffff) | (g->base & 0xffffff) << 16 | (u64)(g->ar & 0xf0ff) << 40 | (limit & 0xf0000) << 32 |
	       (g->base >> 24 & 0xff) << 56;
}

static int set_segments(struct ram *ram, struct cpu_state *s, gpa_t gdt, u32 code_bits, struct err *e)
{
	const struct cpu_seg data = { BOOT_SEL_DATA, AR_DATA | SEG_AR_DB | SEG_AR_G, 0xffffffff, 0 };
	u64 table[6] = { 0 };

	for (unsigned i = 0; i <= SEG_GS; i++)
		s->seg[i] = data;
	s->seg[SEG_CS] = (struct cpu_seg){ BOOT_SEL_CODE, AR_CODE | SEG_AR_G | code_bits, 0xffffffff, 0 };
	s->seg[SEG_LDTR] = (struct cpu_seg){ 0, AR_LDT | SEG_AR_UNUSABLE, 0, 0 };
	s->seg[SEG_TR] = (struct cpu_seg){ BOOT_SEL_TSS, AR_TSS_BUSY, 0x67, 0 };
	table[BOOT_SEL_CODE / 8] = descriptor(&s->seg[SEG_CS]);
	table[BOOT_SEL_DATA / 8] = descriptor(&data);
	table[BOOT_SEL_TSS / 8] = descriptor(&s->seg[SEG_TR]); /* in long mode it has two entries */
	s->gdt_base = gdt;
	s->gdt_limit = sizeof(table) - 1;
	if (ram_put(ram, gdt, table, sizeof(table)) < 0)
		return err_set(e, ENOMEM, "guest memory is too small for the boot GDT");
	return 0;
}

int boot_state_protected32(struct ram *ram, struct cpu_state *s, gpa_t gdt, gpa_t stack, u32 entry, struct err *e)
{
	boot_state_init(s);
	s->cr0 = CR0_PE_ET;
	s->rip = entry;
	s->gpr[GPR_RSP] = stack;
	return set_segments(ram, s, gdt, SEG_AR_DB, e);
}

#define PTE_PRESENT_WRITE 3ull
#define PTE_LARGE 0x80ull

/* One PML4, one PDPT, four PDs of 2 MiB pages. */
static int write_identity_map(struct ram *ram, gpa_t tables, struct err *e)
{
	u64 *page = (u64 *)(void *)ram_ptr(ram, tables, 6 * PAGE_BYTES);

	if (!page)
		return err_set(e, ENOMEM, "guest memory is too small for the boot page tables");
	memset(page, 0, 2 * PAGE_BYTES);
	page[0] = (tables + PAGE_BYTES) | PTE_PRESENT_WRITE;
	for (unsigned i = 0; i < 4; i++)
		page[512 + i] = (tables + (2 + i) * PAGE_BYTES) | PTE_PRESENT_WRITE;
	for (unsigned i = 0; i < 4 * 512; i++)
		page[1024 + i] = (u64)i << 21 | PTE_LARGE | PTE_PRESENT_WRITE;
	ram_wrote(ram, tables, 6 * PAGE_BYTES);
	return 0;
}

int boot_state_long(struct ram *ram, struct cpu_state *s, gpa_t gdt, gpa_t stack, gpa_t tables, u64 entry,
		    struct err *e)
{
	boot_state_init(s);
	s->cr0 = CR0_PE_ET | CR0_NE_BIT | CR0_WP_BIT | CR0_PG_BIT;
	s->cr3 = tables;
	s->cr4 = CR4_PAE_BIT;
	s->efer = EFER_LME_LMA;
	s->rip = entry;
	s->gpr[GPR_RSP] = stack;
	int rc = write_identity_map(ram, tables, e);
	return rc < 0 ? rc : set_segments(ram, s, gdt, SEG_AR_L, e);
}

/* ---- hand-over room ---- */

int boot_room_put(struct boot_room *r, const void *p, u64 bytes, unsigned align, gpa_t *at, struct err *e)
{
	gpa_t g = ROUND_UP(r->next, align);

	if (g > r->end || bytes > r->end - g || ram_put(r->ram, g, p, bytes) < 0)
		return err_set(e, E2BIG, "command lines and module names are too long: there is room for %llu bytes",
			       (unsigned long long)(BOOT_INFO_END - BOOT_INFO_DATA));
	r->next = g + bytes;
	*at = g;
	return 0;
}

int boot_room_string(struct boot_room *r, const char *s, gpa_t *at, struct err *e)
{
	return boot_room_put(r, s, strlen(s) + 1, 1, at, e);
}

/* ---- modules ---- */

static int load_module(struct ram *ram, const struct boot_params *p, const char *what, const char *path,
		       const char *string, gpa_t *next, struct boot_module *m, struct err *e)
{
	struct boot_file f;
	int rc = boot_file_open(&f, p, what, path, e);

	if (rc < 0)
		return rc;
	*m = (struct boot_module){ .base = ROUND_UP(*next, PAGE_BYTES), .bytes = f.bytes, .string = string };
	if (m->base >= memory_low_end(ram) || f.bytes > memory_low_end(ram) - m->base)
		rc = err_set(e, ENOMEM,
			     "%s %s (%llu bytes) does not fit into guest memory below 3 GiB: give the guest "
			     "more memory",
			     what, path, (unsigned long long)f.bytes);
	else
		rc = boot_file_to_ram(&f, 0, ram, m->base, f.bytes, e);
	boot_file_close(&f);
	*next = m->base + m->bytes;
	return rc;
}

int boot_modules(struct ram *ram, const struct boot_params *p, gpa_t from, struct boot_module m[BOOT_MODULES_MAX],
		 struct err *e)
{
	gpa_t next = from;
	int n = 0, rc;

	if (p->nmodules > BOOT_MODULES_MAX - 1)
		return err_set(e, E2BIG, "%u modules are too many: at most %d", p->nmodules, BOOT_MODULES_MAX - 1);
	if (p->initrd) {
		rc = load_module(ram, p, "initrd", p->initrd, "", &next, &m[n++], e);
		if (rc < 0)
			return rc;
	}
	for (unsigned i = 0; i < p->nmodules; i++) {
		auto_free char *path = xstrdup(p->modules[i]);

		path[strcspn(path, " ")] = 0;
		rc = load_module(ram, p, "module", path, p->modules[i], &next, &m[n++], e);
		if (rc < 0)
			return rc;
	}
	return n;
}

int boot_initrd(struct ram *ram, const struct boot_params *p, gpa_t lowest, gpa_t limit, gpa_t *base, u64 *bytes,
		struct err *e)
{
	struct boot_file f;

	*base = *bytes = 0;
	if (!p->initrd)
		return 0;
	int rc = boot_file_open(&f, p, "initrd", p->initrd, e);
	if (rc < 0)
		return rc;
	limit = MIN(limit, memory_low_end(ram)) & PAGE_MASK;
	if (lowest > limit || ROUND_UP(f.bytes, PAGE_BYTES) > limit - lowest) {
		rc = err_set(e, ENOMEM,
			     "initrd %s (%llu bytes) does not fit into guest memory beside the kernel: give "
			     "the guest more memory",
			     p->initrd, (unsigned long long)f.bytes);
	} else {
		*base = limit - ROUND_UP(f.bytes, PAGE_BYTES);
		*bytes = f.bytes;
		rc = boot_file_to_ram(&f, 0, ram, *base, f.bytes, e);
	}
	boot_file_close(&f);
	return rc;
}
