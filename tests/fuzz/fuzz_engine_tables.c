/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_engine_tables.c - what processors read from a random machine's memory: descriptors, gates, task states, page
 * tables; and what its programs find there.
 */
#include "cpu/soft/vm.h"
#include "fuzz_engine.h"

static u64 descriptor(struct fuzz *f, unsigned ar, u32 base, u32 limit)
{
	return (u64)(limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(ar & 0xff) << 40 |
	       (u64)(limit >> 16 & 0xf) << 48 | (u64)(ar >> 12 & 0xf) << 52 | (u64)(base >> 24) << 56;
}

static u64 any_descriptor(struct fuzz *f)
{
	if (one_in(f, 4)) { /* a gate */
		u32 off = AT_CODE + below(f, CODE_PAGES * PAGE_BYTES);
		return (off & 0xffff) | (u64)(below(f, 32) * 8 + below(f, 4)) << 16 | (u64)(off >> 16) << 48 |
		       (u64)(r8(f) & 0xef) << 40 | (u64)below(f, 32) << 32;
	}
	return descriptor(f, 0x80u | r8(f) | below(f, 16) << 12, one_in(f, 2) ? 0 : (u32)any_address(f),
			  one_in(f, 2) ? 0xfffff : below(f, 0x100000));
}

/* GDT: 1 code64 ring 0, 2 data, 3 code32, 4 code16, 5 data16, 6.. the same for ring 3, 12 TSS, 14 LDT, 16 TSS B;
 * the rest at random. */
static void descriptors(struct fuzz *f)
{
	for (unsigned i = 0; i < 64; i++)
		put(f, AT_GDT + 8 * i, any_descriptor(f));
	for (unsigned i = 0; i < 16; i++)
		put(f, AT_LDT + 8 * i, any_descriptor(f));
	for (unsigned ring = 0; ring < 4; ring += 3) {
		u32 at = AT_GDT + (ring ? 6 * 8 : 8), dpl = ring << 5;
		put(f, at, descriptor(f, 0xa09b | dpl, 0, 0xfffff));
		put(f, at + 8, descriptor(f, 0xc093 | dpl, 0, 0xfffff));
		put(f, at + 16, descriptor(f, 0xc09b | dpl, 0, 0xfffff));
		put(f, at + 24, descriptor(f, 0x009b | dpl, 0, 0xffff));
		put(f, at + 32, descriptor(f, 0x0093 | dpl, 0, 0xffff));
	}
	put(f, AT_GDT + 12 * 8, descriptor(f, one_in(f, 4) ? 0x83 : 0x8b, AT_TSS, 0x67 + below(f, 64)));
	put(f, AT_GDT + 13 * 8, 0);
	put(f, AT_GDT + 14 * 8, descriptor(f, 0x82, AT_LDT, 0x7f));
	put(f, AT_GDT + 15 * 8, 0);
	put(f, AT_GDT + 16 * 8, descriptor(f, one_in(f, 4) ? 0x81 : 0x89, AT_TSS + 0x100, 0x67 + below(f, 64)));
	for (unsigned k = below(f, 8); k; k--)
		f->ram.host[AT_GDT + below(f, 17 * 8)] = r8(f);
}

static void idt(struct fuzz *f)
{
	bool wide = f->mode == M_LONG || f->mode == M_COMPAT;
	static const u8 types[] = { 0x8e, 0x8e, 0x8f, 0xee, 0xef, 0x86, 0x87, 0x85, 0x0e, 0xe5 };

	for (unsigned v = 0; v < 256; v++) {
		u32 off = (one_in(f, 8) ? (u32)any_address(f) : AT_CODE + below(f, CODE_PAGES * PAGE_BYTES));
		u64 sel = one_in(f, 8) ? below(f, 64) * 8 + below(f, 4) : wide ? 8 : f->mode == M_PROT16 ? 32 : 24;
		u64 type = wide && !one_in(f, 16) ? types[below(f, 5)] : types[below(f, ARRAY_LEN(types))];
		if (type == 0x85 || type == 0xe5)
			sel = 16 * 8;
		u64 lo = (off & 0xffff) | sel << 16 | (u64)(one_in(f, 3) ? below(f, 8) : 0) << 32 | type << 40 |
			 (u64)(off >> 16) << 48;
		if (!wide) {
			put(f, AT_IDT + 8 * v, lo);
			continue;
		}
		put(f, AT_IDT + 16 * v, lo);
		put(f, AT_IDT + 16 * v + 8, one_in(f, 64) ? r64(f) : 0);
	}
	for (unsigned v = 0; v < 256; v++) { /* real mode's */
		u32 off = below(f, 0x10000), seg = AT_CODE / 16;
		u32 far_ptr = off | seg << 16;
		memcpy(f->ram.host + 4 * v, &far_ptr, 4);
	}
}

static void tss(struct fuzz *f)
{
	for (unsigned k = 0; k < 2; k++) {
		u32 at = AT_TSS + 0x100 * k;
		for (unsigned i = 0; i < 0x100; i += 8)
			put(f, at + i, one_in(f, 4) ? r64(f) : any_address(f));
		for (unsigned i = 4; i < 0x60; i += 8) /* stacks: RSP0-2, IST1-7; also ESP0, SS0... */
			put(f, at + i, one_in(f, 8) ? any_value(f) : AT_STACK + below(f, 0x5000));
		if (one_in(f, 2) && f->mode != M_LONG) {
			u32 v[] = { AT_STACK + 0x1000,
				    16,
				    AT_STACK + 0x2000,
				    16,
				    AT_STACK + 0x3000,
				    16,
				    f->mode == M_PAE ? AT_PDPTE : AT_PD32,
				    AT_CODE + below(f, 0x8000),
				    2 | (u32)(r8(f) << 8) | (one_in(f, 4) ? FL_VM : 0) };
			memcpy(f->ram.host + at + 4, v, sizeof(v));
			u32 segs[] = { 16, 24, 16, 16, 16, 16, 14 * 8 };
			memcpy(f->ram.host + at + 0x48, segs, sizeof(segs));
		}
	}
}

static u64 leaf(struct fuzz *f, u64 gpa)
{
	u64 flags = 7;

	if (one_in(f, 6))
		flags = r8(f) | (one_in(f, 4) ? 0x100 : 0) | 1;
	if (one_in(f, 24))
		flags &= ~1ull;
	if (one_in(f, 16))
		gpa = any_address(f) & 0xffffffff & PAGE_MASK;
	return gpa | flags;
}

static void page_tables(struct fuzz *f)
{
	u64 odd = one_in(f, 2) ? 1ull << 63 : r64(f);

	/* 2 MiB by small pages at 0, 128 and 512 TiB; a large page after it; tables within each other's reach */
	put(f, AT_PML4, AT_PDPT | 7);
	put(f, AT_PML4 + 8 * 256, AT_PDPT | (one_in(f, 4) ? 7 : 3));
	put(f, AT_PML4 + 8 * 511, AT_PDPT | 3);
	for (unsigned k = 0; k < 4; k++) {
		put(f, AT_PML4 + 8 * below(f, 512), one_in(f, 2) ? r64(f) : any_address(f) | r8(f));
		put(f, AT_PDPT + 8 * below(f, 512), one_in(f, 2) ? r64(f) : any_address(f) | r8(f));
		put(f, AT_PD + 8 * below(f, 512), one_in(f, 2) ? r64(f) : any_address(f) | r8(f));
	}
	put(f, AT_PDPT, AT_PD | 7);
	put(f, AT_PDPT + 8 * 510, AT_PD | 7);
	put(f, AT_PDPT + 8 * 511, AT_PD | 7);
	put(f, AT_PD, AT_PT | 7);
	put(f, AT_PD + 8 * 1, 0x87);
	put(f, AT_PD + 8 * 511, AT_PT | 7);
	for (unsigned i = 0; i < 4; i++)
		put(f, AT_PDPTE + 8 * i, AT_PD | 1 | (one_in(f, 16) ? r8(f) : 0));
	for (u32 i = 0; i < 512; i++)
		put(f, AT_PT + 8 * i, leaf(f, i * PAGE_BYTES) | (one_in(f, 32) ? odd : 0));
	for (u32 i = 0; i < 1024; i++) {
		u32 v = (u32)leaf(f, i * PAGE_BYTES);
		memcpy(f->ram.host + AT_PT32 + 4 * i, &v, 4);
		v = i == 0 || i == 1023 ? AT_PT32 | 7 : i == 512 ? 0x87 : one_in(f, 16) ? (u32)r64(f) : 0;
		memcpy(f->ram.host + AT_PD32 + 4 * i, &v, 4);
	}
}

void make_tables(struct fuzz *f)
{
	descriptors(f);
	idt(f);
	tss(f);
	page_tables(f);
}

void make_data(struct fuzz *f)
{
	for (u32 at = AT_STACK; at < AT_CODE; at += 8)
		put(f, at, one_in(f, 3) ? below(f, 16) * 8 : any_address(f));
	for (u32 at = AT_DATA + 4 * PAGE_BYTES; at < RAM_BYTES; at += 8)
		put(f, at, at & 8 ? any_value(f) : any_address(f));
	for (u32 at = RAM_BYTES - PAGE_BYTES; at < RAM_BYTES; at += 8) /* far pointers */
		put(f, at, (AT_CODE + below(f, 0x10000)) | (u64)(below(f, 20) * 8 + below(f, 4)) << 32);
}
