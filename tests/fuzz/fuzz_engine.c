/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_engine.c - whole small machines out of a few bytes, run by the software engine.
 *
 * The input decides the CPU model, one to three vCPUs, each one's mode, privilege and registers, and
 * guest RAM: page tables, descriptor tables and task state that mostly make sense, and code that mostly
 * does not. Devices answer with noise, raise interrupts, NMIs, INIT and SIPI, and write to RAM.
 * Nothing of that may crash the process, leave RAM (there is nothing on both sides of it), trip a
 * must(), or keep cpu_stop() from ending cpu_run(). With --check all, what is translated does what the interpreter
 * does.
 *
 * When the input is used up, a generator seeded with it goes on, so that short inputs make full
 * machines. Runs are bounded by uops (soft_cpu.fuel, sanitizer builds), by bus events, and by a
 * watchdog for what does neither. All but the last, and the threaded kind, repeat exactly.
 */
#include "base/clock.h"
#include "cpu/cpu.h"
#include "cpu/soft/vm.h"
#include "patience.h"
#include "cpu/soft/handler.h"
#include "cpu/soft/jit/jit_check.h"
#include "cpu/soft/run/core.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
extern u64 fuzz_engine_fuel;
extern struct soft_options fuzz_engine_soft;
struct soft_options fuzz_engine_soft;
/* What the last run left behind, and whether the watchdog ended it: for comparing builds. */
u64 fuzz_engine_hash(bool *timed_out);
/* uops in a slice of a vCPU's time, in sanitizer builds; 0: until an event or the watchdog ends it, as elsewhere */
u64 fuzz_engine_fuel = 3000;

#define RAM_PAGES 80u
#define RAM_BYTES (RAM_PAGES * PAGE_BYTES)
/* As ram_init() lays the file out. */
#define RAM_FILE_BYTES (ROUND_UP(RAM_BYTES, RAM_PIECE_ALIGN) + RAM_PIECE_ALIGN)
#define RAM_ONES (ROUND_UP(RAM_BYTES, RAM_PIECE_ALIGN) + RAM_PIECE_ALIGN / 2)
#define GUARD_BYTES (16 * MIB)

/* What lies where in guest RAM */
#define AT_GDT 0x1000u
#define AT_IDT 0x2000u
#define AT_TSS 0x3000u
#define AT_LDT 0x3800u
#define AT_PML4 0x4000u
#define AT_PDPT 0x5000u
#define AT_PD 0x6000u
#define AT_PT 0x7000u
#define AT_PD32 0x8000u
#define AT_PT32 0x9000u
#define AT_PDPTE 0xa000u
#define AT_STACK 0xb000u
#define AT_CODE 0x10000u
#define CODE_PAGES 16u
#define AT_DATA 0x20000u

#define CPUS 3
#define SLICES 8
#define EVENTS 400

enum fuzz_mode { M_REAL, M_PROT16, M_PROT32, M_PAGED32, M_PAE, M_LONG, M_COMPAT, M_VM86, M_COUNT };

struct fuzz {
	const u8 *data;
	size_t left;
	u64 seed;
	struct ram ram;
	struct cpu_vm *vm;
	unsigned ncpus;
	bool threads;
	u64 cpu_seed[CPUS];
	unsigned events[CPUS];
	u8 tpr[CPUS];
	enum fuzz_mode mode;
};

static u64 last_hash;
static _Atomic bool last_timed_out;

u64 fuzz_engine_hash(bool *timed_out)
{
	*timed_out = last_timed_out;
	return last_hash;
}

/* ---- numbers ---- */
static u64 xorshift(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1dull;
}

static u8 r8(struct fuzz *f)
{
	if (f->left) {
		f->left--;
		return *f->data++;
	}
	return (u8)(xorshift(&f->seed) >> 32);
}
static u32 below(struct fuzz *f, u32 n)
{
	return n <= 256 ? r8(f) % n : (r8(f) | (u32)r8(f) << 8 | (u32)r8(f) << 16) % n;
}
static bool one_in(struct fuzz *f, u32 n)
{
	return below(f, n) == 0;
}
static u64 r64(struct fuzz *f)
{
	u64 v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | r8(f);
	return v;
}

/* An address that means something, often near a page's border. */
static u64 address(struct fuzz *f)
{
	u64 a = below(f, RAM_PAGES) * PAGE_BYTES;

	switch (below(f, 4)) {
	case 0:
		a += below(f, PAGE_BYTES);
		break;
	case 1:
		a += PAGE_BYTES - below(f, 40);
		break;
	case 2:
		a += below(f, 64) * 8;
		break;
	default:
		a = (one_in(f, 2) ? AT_CODE : AT_DATA) + below(f, CODE_PAGES * PAGE_BYTES);
		break;
	}
	switch (below(f, 16)) {
	case 0:
		return a + 0xffff800000000000ull;
	case 1:
		return a + 0xffffffff80000000ull;
	case 2:
		return a + RAM_BYTES;
	case 3:
		return a + 0xffffffffffe00000ull;
	default:
		return a;
	}
}

static u64 value(struct fuzz *f)
{
	static const u64 edge[] = { 0,
				    1,
				    2,
				    0x7f,
				    0x80,
				    0xff,
				    0xffff,
				    0x7fffffff,
				    0x80000000,
				    0xffffffff,
				    0x100000000,
				    0x7fffffffffffull,
				    0x800000000000ull,
				    0xffff7fffffffffffull,
				    0xffff800000000000ull,
				    0x7fffffffffffffffull,
				    0x8000000000000000ull,
				    UINT64_MAX,
				    0xfee00000,
				    0xfffffff0,
				    0xfffff000 };

	switch (below(f, 4)) {
	case 0:
		return edge[below(f, ARRAY_LEN(edge))];
	case 1:
		return one_in(f, 2) ? r64(f) : r8(f);
	default:
		return address(f);
	}
}

/* ---- code ---- */

/* Instructions that change modes, tables and control flow, which random bytes seldom make. */
static const struct {
	u8 n;
	u8 b[8];
} stock[] = {
	{ 1, { 0xcf } },
	{ 2, { 0x48, 0xcf } },
	{ 1, { 0x9d } },
	{ 1, { 0x9c } },
	{ 1, { 0xfa } },
	{ 1, { 0xfb } },
	{ 1, { 0xf4 } },
	{ 1, { 0xcc } },
	{ 2, { 0xcd, 0x80 } },
	{ 1, { 0xf1 } },
	{ 1, { 0xce } },
	{ 2, { 0x0f, 0x05 } },
	{ 2, { 0x0f, 0x07 } },
	{ 3, { 0x48, 0x0f, 0x07 } },
	{ 2, { 0x0f, 0x34 } },
	{ 2, { 0x0f, 0x35 } },
	{ 3, { 0x48, 0x0f, 0x35 } },
	{ 3, { 0x0f, 0x20, 0xc0 } },
	{ 3, { 0x0f, 0x22, 0xc0 } },
	{ 3, { 0x0f, 0x22, 0xc3 } },
	{ 3, { 0x0f, 0x22, 0xd8 } },
	{ 3, { 0x0f, 0x22, 0xdb } },
	{ 3, { 0x0f, 0x22, 0xe0 } },
	{ 3, { 0x0f, 0x22, 0xe1 } },
	{ 3, { 0x0f, 0x20, 0xd8 } },
	{ 6, { 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8 } },
	{ 3, { 0x0f, 0x23, 0xc0 } },
	{ 3, { 0x0f, 0x23, 0xf8 } },
	{ 3, { 0x0f, 0x21, 0xf0 } },
	{ 3, { 0x0f, 0x01, 0x10 } },
	{ 3, { 0x0f, 0x01, 0x18 } },
	{ 3, { 0x0f, 0x01, 0x38 } },
	{ 3, { 0x0f, 0x01, 0x3b } },
	{ 3, { 0x0f, 0x01, 0xd0 } },
	{ 3, { 0x0f, 0x01, 0xd1 } },
	{ 3, { 0x0f, 0x01, 0xf8 } },
	{ 3, { 0x0f, 0x01, 0xd9 } },
	{ 3, { 0x0f, 0x01, 0xc1 } },
	{ 3, { 0x0f, 0x01, 0xcb } },
	{ 3, { 0x0f, 0x01, 0xca } },
	{ 3, { 0x0f, 0x00, 0xd8 } },
	{ 3, { 0x0f, 0x00, 0xd0 } },
	{ 2, { 0x0f, 0x30 } },
	{ 2, { 0x0f, 0x32 } },
	{ 2, { 0x0f, 0x06 } },
	{ 2, { 0x0f, 0xa2 } },
	{ 3, { 0x0f, 0x01, 0xf0 } },
	{ 2, { 0xe6, 0x80 } },
	{ 1, { 0xee } },
	{ 1, { 0xed } },
	{ 2, { 0xf3, 0x6c } },
	{ 2, { 0xf3, 0x6d } },
	{ 2, { 0xf3, 0x6e } },
	{ 2, { 0xf3, 0xa4 } },
	{ 2, { 0xf3, 0xa5 } },
	{ 3, { 0xf3, 0x48, 0xa5 } },
	{ 2, { 0xf3, 0xab } },
	{ 2, { 0xf3, 0xaa } },
	{ 2, { 0xf2, 0xae } },
	{ 2, { 0xf3, 0xa6 } },
	{ 2, { 0x8e, 0xd0 } },
	{ 2, { 0x8e, 0xd8 } },
	{ 2, { 0x8e, 0xe0 } },
	{ 2, { 0x8e, 0xe8 } },
	{ 1, { 0x07 } },
	{ 1, { 0x17 } },
	{ 1, { 0x1f } },
	{ 2, { 0xff, 0x28 } },
	{ 2, { 0xff, 0x18 } },
	{ 3, { 0x48, 0xff, 0x2b } },
	{ 1, { 0xcb } },
	{ 3, { 0xca, 0x08, 0x00 } },
	{ 1, { 0xc3 } },
	{ 2, { 0xff, 0xe0 } },
	{ 2, { 0xff, 0xd3 } },
	{ 2, { 0xeb, 0xfe } },
	{ 2, { 0xeb, 0xf0 } },
	{ 2, { 0x75, 0xee } },
	{ 2, { 0xe2, 0xf4 } },
	{ 4, { 0xc8, 0x10, 0x00, 0x03 } },
	{ 1, { 0x60 } },
	{ 1, { 0x61 } },
	{ 3, { 0x0f, 0xae, 0x00 } },
	{ 3, { 0x0f, 0xae, 0x08 } },
	{ 3, { 0x0f, 0xae, 0x20 } },
	{ 3, { 0x0f, 0xae, 0x28 } },
	{ 3, { 0x0f, 0xae, 0x10 } },
	{ 3, { 0x0f, 0xae, 0x18 } },
	{ 2, { 0xdd, 0x20 } },
	{ 2, { 0xdd, 0x30 } },
	{ 2, { 0xd9, 0x28 } },
	{ 2, { 0xd9, 0x20 } },
	{ 2, { 0xdb, 0xe3 } },
	{ 2, { 0xdf, 0xe0 } },
	{ 2, { 0x0f, 0x77 } },
	{ 3, { 0xc5, 0xf8, 0x77 } },
	{ 4, { 0x66, 0x0f, 0xf7, 0xc1 } },
	{ 3, { 0x0f, 0xc7, 0x08 } },
	{ 4, { 0x48, 0x0f, 0xc7, 0x08 } },
	{ 5, { 0xf0, 0x48, 0x0f, 0xc7, 0x0f } },
	{ 4, { 0xf0, 0x0f, 0xb1, 0x08 } },
	{ 3, { 0xf0, 0xff, 0x00 } },
	{ 2, { 0xd7, 0x90 } },
	{ 3, { 0x65, 0x8b, 0x00 } },
};

static unsigned insn(struct fuzz *f, u8 *p)
{
	static const u8 prefix[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36, 0x26, 0x64, 0x65, 0x48, 0x4f, 0x41 };
	bool code16 = f->mode == M_REAL || f->mode == M_PROT16 || f->mode == M_VM86;
	unsigned n = 0, kind = below(f, 20);

	if (kind < 5) {
		unsigned i = below(f, ARRAY_LEN(stock));
		memcpy(p, stock[i].b, stock[i].n);
		return stock[i].n;
	}
	if (kind < 7) { /* a register gets something to point with */
		bool wide = f->mode == M_LONG && one_in(f, 2);
		u64 v = value(f);
		if (wide)
			p[n++] = 0x48 | (one_in(f, 4) ? 1 : 0);
		p[n++] = (u8)(0xb8 + below(f, 8));
		memcpy(p + n, &v, 8);
		return n + (wide ? 8 : code16 ? 2 : 4);
	}
	if (kind == 7) { /* an MSR that is there */
		static const u32 msrs[] = { 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
					    0xc0000101, 0xc0000102, 0xc0000103, 0xc0010000, 0xc0010015, 0xc0011029,
					    0x10,       0x1b,       0x3b,       0x48,       0x49,       0x8b,
					    0xfe,       0x10a,      0x174,      0x175,      0x176,      0x179,
					    0x1a0,      0x1d9,      0x200,      0x250,      0x268,      0x277,
					    0x2ff,      0x6e0,      0x808,      0x4b564d00, 0x40000000 };
		u32 msr = msrs[below(f, ARRAY_LEN(msrs))] + (one_in(f, 4) ? below(f, 16) : 0);

		if (code16)
			p[n++] = 0x66;
		p[n++] = 0xb9;
		memcpy(p + n, &msr, 4);
		n += 4;
		p[n++] = 0x0f;
		p[n++] = one_in(f, 2) ? 0x30 : 0x32;
		return n;
	}
	if (kind == 8) { /* far, to any selector */
		u32 off = AT_CODE + below(f, CODE_PAGES * PAGE_BYTES), sel = below(f, 20) * 8 + below(f, 4);

		p[n++] = one_in(f, 2) ? 0x9a : 0xea;
		memcpy(p + n, &off, 4);
		n += code16 ? 2 : 4;
		memcpy(p + n, &sel, 2);
		return n + 2;
	}
	if (kind == 9) { /* gathers and masked moves */
		static const u8 op[] = { 0x90, 0x91, 0x92, 0x93, 0x2c, 0x2d, 0x2e, 0x2f, 0x8c, 0x8e };

		p[n++] = 0xc4;
		p[n++] = 0xe2;
		p[n++] = (u8)(r8(f) & 0xfd) | 1; /* pp: 66 */
		p[n++] = op[below(f, ARRAY_LEN(op))];
		p[n++] = 0x44 | (u8)(below(f, 8) << 3);
		p[n++] = r8(f);
		p[n++] = r8(f);
		return n;
	}
	while (n < 4 && one_in(f, 3))
		p[n++] = prefix[below(f, ARRAY_LEN(prefix))];
	switch (below(f, 8)) {
	case 0:
	case 1:
		p[n++] = 0x0f;
		break;
	case 2:
		p[n++] = 0x0f;
		p[n++] = one_in(f, 2) ? 0x38 : 0x3a;
		break;
	case 3:
		p[n++] = 0xc5;
		p[n++] = r8(f);
		break;
	case 4:
		p[n++] = 0xc4;
		p[n++] = (u8)((r8(f) & 0xe0) | (1 + below(f, 3)));
		p[n++] = r8(f);
		break;
	default:
		break;
	}
	p[n++] = r8(f);                                     /* opcode */
	p[n++] = one_in(f, 2) ? r8(f) : (u8)(r8(f) & 0x7f); /* ModRM */
	for (unsigned k = below(f, 6); k && n < 14; k--)    /* SIB, displacement, immediate */
		p[n++] = one_in(f, 2) ? r8(f) : (u8)below(f, 4);
	return n;
}

static void code(struct fuzz *f)
{
	u8 *p = f->ram.host + AT_CODE;
	unsigned at = 0, bytes = CODE_PAGES * PAGE_BYTES;

	/* A few pages of instructions, over and over: some handlers come to lie on each page. */
	unsigned fresh = (1 + below(f, 3)) * PAGE_BYTES;
	while (at + 16 < fresh)
		at += insn(f, p + at);
	for (unsigned to = fresh; to < bytes; to += fresh)
		memcpy(p + to, p, MIN(fresh, bytes - to));
	if (one_in(f, 2))
		memcpy(f->ram.host + AT_DATA, p + 7, 4 * PAGE_BYTES);
}

/* ---- tables ---- */
static void put(struct fuzz *f, u32 at, u64 v)
{
	memcpy(f->ram.host + at, &v, 8);
}

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
	return descriptor(f, 0x80u | r8(f) | below(f, 16) << 12, one_in(f, 2) ? 0 : (u32)address(f),
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
		u32 off = (one_in(f, 8) ? (u32)address(f) : AT_CODE + below(f, CODE_PAGES * PAGE_BYTES));
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
			put(f, at + i, one_in(f, 4) ? r64(f) : address(f));
		for (unsigned i = 4; i < 0x60; i += 8) /* stacks: RSP0-2, IST1-7; also ESP0, SS0... */
			put(f, at + i, one_in(f, 8) ? value(f) : AT_STACK + below(f, 0x5000));
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
		gpa = address(f) & 0xffffffff & PAGE_MASK;
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
		put(f, AT_PML4 + 8 * below(f, 512), one_in(f, 2) ? r64(f) : address(f) | r8(f));
		put(f, AT_PDPT + 8 * below(f, 512), one_in(f, 2) ? r64(f) : address(f) | r8(f));
		put(f, AT_PD + 8 * below(f, 512), one_in(f, 2) ? r64(f) : address(f) | r8(f));
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

/* ---- a vCPU ---- */
static struct cpu_seg seg(u16 sel, u32 ar, u64 base, u32 limit)
{
	return (struct cpu_seg){ .sel = sel, .ar = ar, .base = base, .limit = limit };
}

static void fpu_area(struct fuzz *f, struct cpu_state *s)
{
	u16 fcw = one_in(f, 2) ? 0x37f : (u16)(r64(f) & 0x1f7f);
	u32 mxcsr = one_in(f, 2) ? 0x1f80 : (u32)(r64(f) & 0xffbf);
	u64 bv = s->xcr0;

	for (unsigned i = 32; i < 1024; i++)
		s->xsave[i] = i >= 512 && i < 576 ? 0 : i & 1 ? r8(f) : (u8)i;
	memcpy(s->xsave, &fcw, 2);
	s->xsave[4] = r8(f); /* tags */
	memcpy(s->xsave + 24, &mxcsr, 4);
	memcpy(s->xsave + 512, &bv, 8);
}

static void vcpu(struct fuzz *f, struct cpu_state *s)
{
	enum fuzz_mode m = f->mode;
	unsigned cpl = m == M_REAL ? 0 : m == M_VM86 ? 3 : one_in(f, 3) ? 3 : one_in(f, 8) ? below(f, 4) : 0;
	u32 dpl = cpl << 5, rpl = cpl;
	bool paged = m >= M_PAGED32 && (m != M_VM86 || one_in(f, 2)), lma = m == M_LONG || m == M_COMPAT;

	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = m == M_LONG ? value(f) : (u32)value(f);
	s->gpr[GPR_RSP] = one_in(f, 8) ? s->gpr[GPR_RSP] : AT_STACK + below(f, 0x5000);
	s->rip = AT_CODE + below(f, 0x3000);
	s->rflags = 2 | (one_in(f, 2) ? FL_IF : 0) | (u64)(r8(f) & 0xd5) | (one_in(f, 8) ? FL_TF : 0) |
		    (one_in(f, 4) ? FL_DF : 0) | (one_in(f, 4) ? FL_IOPL : 0) | (one_in(f, 8) ? FL_AC : 0) |
		    (one_in(f, 8) ? FL_NT : 0) | (one_in(f, 8) ? FL_RF : 0);
	s->cr0 = CR0_ET | (one_in(f, 8) ? 0 : CR0_NE) | (one_in(f, 2) ? CR0_WP : 0) | (one_in(f, 2) ? CR0_AM : 0) |
		 (one_in(f, 8) ? CR0_TS : 0) | (one_in(f, 2) ? CR0_MP : 0) | (one_in(f, 8) ? CR0_EM : 0) |
		 (m != M_REAL ? CR0_PE : 0) | (paged ? CR0_PG : 0);
	s->cr4 = r64(f) & (CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_UMIP);
	if (!one_in(f, 8))
		s->cr4 |= CR4_OSFXSR | CR4_OSXSAVE | CR4_OSXMMEXCPT | CR4_FSGSBASE;
	if (one_in(f, 3))
		s->cr4 |= r64(f) & (CR4_SMEP | CR4_SMAP);
	s->cr3 = AT_PD32;
	if (m == M_PAE || lma) {
		s->cr4 |= CR4_PAE;
		s->cr3 = lma ? AT_PML4 : AT_PDPTE;
	}
	s->efer = (one_in(f, 4) ? 0 : EFER_SCE | EFER_NXE) | (lma ? EFER_LME | EFER_LMA : 0);
	s->cr2 = value(f);
	static const u8 xcr0s[] = { 7, 7, 3, 1 };
	s->xcr0 = xcr0s[below(f, 4)];

	if (m == M_REAL || m == M_VM86) {
		for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
			u16 sel = (u16)(below(f, RAM_BYTES / 16));
			s->seg[i] = seg(sel, m == M_REAL ? 0x93 : 0xf3, sel * 16u, 0xffff);
		}
		s->seg[SEG_CS].sel = AT_CODE / 16;
		s->seg[SEG_CS].base = AT_CODE;
		s->seg[SEG_SS].sel = 0;
		s->seg[SEG_SS].base = 0;
		s->rip = below(f, 0x3000);
		if (m == M_VM86)
			s->rflags |= FL_VM;
		else if (one_in(f, 4)) /* unreal */
			s->seg[SEG_DS].limit = s->seg[SEG_ES].limit = 0xffffffff;
	} else {
		u32 wide = m == M_PROT16 ? 0 : SEG_AR_DB | SEG_AR_G;
		u16 cs = m == M_LONG ? 8 : m == M_PROT16 ? 32 : 24, ring = cpl ? 40 : 0;
		u32 limit = m == M_PROT16 ? 0x1ffff : 0xffffffff;
		s->seg[SEG_CS] = seg((u16)(cs + ring + rpl), (m == M_LONG ? 0xa09b : 0x9b | wide) | dpl, 0, limit);
		s->seg[SEG_SS] = seg((u16)(16 + ring + rpl), 0x93 | wide | dpl, 0, 0xffffffff);
		for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
			if (i == SEG_CS || i == SEG_SS)
				continue;
			s->seg[i] = seg((u16)(16 + ring + rpl), 0xc093 | dpl, 0, 0xffffffff);
			switch (below(f, 8)) {
			case 0:
				s->seg[i] = seg(0, SEG_AR_UNUSABLE, 0, 0);
				break;
			case 1: /* expand-down, read-only, with a base and a limit */
				s->seg[i].ar = (0x91 | (r8(f) & 0xf)) | dpl | SEG_AR_DB;
				s->seg[i].limit = below(f, 0x40000);
				s->seg[i].base = (u32)address(f);
				break;
			default:
				break;
			}
		}
		if (lma) {
			s->seg[SEG_FS].base = address(f);
			s->seg[SEG_GS].base = address(f);
		}
	}
	s->seg[SEG_TR] = seg(12 * 8, one_in(f, 6) ? 0x83 : 0x8b, AT_TSS, 0x67 + below(f, 0x100));
	s->seg[SEG_LDTR] = one_in(f, 4) ? seg(0, SEG_AR_UNUSABLE, 0, 0) : seg(14 * 8, 0x82, AT_LDT, 0x7f);
	s->gdt_base = AT_GDT + (lma && one_in(f, 4) ? 0xffff800000000000ull : 0);
	s->gdt_limit = one_in(f, 8) ? (u16)below(f, 512) : 511;
	s->idt_base = m == M_REAL ? 0 : AT_IDT;
	s->idt_limit = one_in(f, 16) ? (u16)below(f, 4096) : 4095;

	for (unsigned i = 0; i < 4; i++)
		s->dr[i] = lma ? address(f) : (u32)address(f);
	s->dr6 = 0xffff0ff0;
	s->dr7 = one_in(f, 4) ? (r64(f) & 0xffff2bff) | 0x400 : 0x400;
	s->star = (u64)(one_in(f, 2) ? 8 : r8(f)) << 32 | (u64)(one_in(f, 2) ? 0x33 : r8(f)) << 48;
	s->lstar = address(f);
	s->cstar = address(f);
	s->fmask = r64(f) & 0x3f7fd5;
	s->kernel_gs_base = address(f);
	s->sysenter_cs = one_in(f, 2) ? 8 : r8(f);
	s->sysenter_esp = address(f);
	s->sysenter_eip = address(f);
	s->pat = 0x0007040600070406ull;
	s->tsc = 1;
	s->misc_enable = 1;
	s->mtrr_def_type = 0xc06;
	s->run_state = one_in(f, 16) ? CPU_HALTED : one_in(f, 32) ? CPU_WAIT_SIPI : CPU_RUNNING;
	s->intr_shadow = one_in(f, 16);
	s->nmi_masked = one_in(f, 16);
	s->nmi_pending = one_in(f, 16);
	fpu_area(f, s);
}

/* ---- devices ---- */
static u64 event(struct fuzz *f, unsigned cpu)
{
	u64 v = xorshift(&f->cpu_seed[cpu]);
	struct cpu *c = cpu_vm_cpu(f->vm, cpu), *o = cpu_vm_cpu(f->vm, (unsigned)(v >> 60) % f->ncpus);

	if (++f->events[cpu] % EVENTS == 0)
		cpu_stop(c);
	switch (v >> 32 & 127) {
	case 0:
	case 1:
	case 2:
	case 3:
		cpu_set_intr(o, true);
		break;
	case 4:
		cpu_set_intr(o, false);
		break;
	case 5:
		cpu_raise_nmi(o);
		break;
	case 6:
		cpu_kick_halted(o);
		break;
	case 7:
		if (!(v >> 40 & 15))
			cpu_raise_init(o);
		break;
	case 8:
		cpu_raise_sipi(o, (u8)(AT_CODE >> 12));
		break;
	case 9:
	case 10: { /* DMA, often to code */
		u8 b[64];
		memset(b, (int)v, sizeof(b));
		gpa_t at = ((v >> 45 & 1 ? AT_CODE : 0) + (v >> 8 & 0x3ffff)) % RAM_BYTES;
		if (!f->threads) /* else it would race with guest code, as DMA does */
			ram_put(&f->ram, at, b, MIN(sizeof(b), RAM_BYTES - at));
		break;
	}
	default:
		break;
	}
	return xorshift(&f->cpu_seed[cpu]);
}

static u64 mmio_read(void *o, unsigned cpu, gpa_t gpa, unsigned bytes)
{
	return event(o, cpu);
}
static void mmio_write(void *o, unsigned cpu, gpa_t gpa, unsigned bytes, u64 v)
{
	event(o, cpu);
}
static u32 pio_read(void *o, unsigned cpu, u16 port, unsigned bytes)
{
	return (u32)event(o, cpu);
}
static void pio_write(void *o, unsigned cpu, u16 port, unsigned bytes, u32 v)
{
	event(o, cpu);
}
static int intr_ack(void *o, unsigned cpu)
{
	struct fuzz *f = o;
	u64 v = event(f, cpu);

	cpu_set_intr(cpu_vm_cpu(f->vm, cpu), !(v & 7));
	return v & 0x300 ? (int)(v & 0xff) : -1;
}
static bool msr_read(void *o, unsigned cpu, u32 msr, u64 *v)
{
	*v = event(o, cpu);
	return *v & 1;
}
static bool msr_write(void *o, unsigned cpu, u32 msr, u64 v)
{
	return event(o, cpu) & 1;
}
static u8 tpr_get(void *o, unsigned cpu)
{
	return ((struct fuzz *)o)->tpr[cpu];
}
static void tpr_set(void *o, unsigned cpu, u8 tpr)
{
	((struct fuzz *)o)->tpr[cpu] = tpr & 15;
}
static s64 hypercall(void *o, unsigned cpu, u64 nr, const u64 arg[4])
{
	return (s64)event(o, cpu);
}
static u64 park(void *o, unsigned cpu)
{
	u64 v = event(o, cpu);

	if (v & 0x8000) /* its timer */
		cpu_set_intr(cpu_vm_cpu(((struct fuzz *)o)->vm, cpu), true);
	return 0;
}
static void unpark(void *o, unsigned cpu)
{
	event(o, cpu);
}

/* ---- the watchdog: cpu_stop() for what uses up neither fuel nor events; a hang after that is a bug ---- */
static pthread_mutex_t dog_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fuzz *dog_of;
static u64 dog_since_ns;

#ifdef SOFT_TRAMPOLINE
#define DOG_STOP_NS (500 * 1000000ull)
#else
#define DOG_STOP_NS (2 * 1000000ull)
#endif
#define DOG_BITE_NS patient(20 * NSEC_PER_SEC)

static void *watchdog(void *arg)
{
	(void)arg;
	for (;;) {
		usleep(500);
		pthread_mutex_lock(&dog_lock);
		if (dog_of) {
			u64 ns = clock_mono_ns() - dog_since_ns;
			if (ns > (fuzz_engine_fuel ? DOG_STOP_NS : 500 * 1000000ull)) {
				last_timed_out = true;
				for (unsigned i = 0; i < dog_of->ncpus; i++)
					cpu_stop(cpu_vm_cpu(dog_of->vm, i));
			}
			must(ns < DOG_BITE_NS); /* cpu_stop() does not stop it */
		}
		pthread_mutex_unlock(&dog_lock);
	}
	return NULL;
}

static void dog(struct fuzz *f)
{
	pthread_mutex_lock(&dog_lock);
	dog_of = f;
	dog_since_ns = clock_mono_ns();
	pthread_mutex_unlock(&dog_lock);
}

/* ---- running ---- */
static void check(struct fuzz *f, unsigned i)
{
	struct soft_cpu *c = soft_cpu_of(cpu_vm_cpu(f->vm, i));

	must(c->gpr[GPR_ZERO] == 0);
	must(c->cpl <= 3 && (c->sysflags & 2));
	must(!(c->efer & EFER_LMA) || ((c->cr0 & CR0_PG) && (c->efer & EFER_LME)));
	must(!(c->cr0 & CR0_PG) || (c->cr0 & CR0_PE));
	must(!atomic_load(&c->in_guest));
}

static void *run_thread(void *arg)
{
	struct cpu *c = arg;
	struct err e = { 0 };
	enum cpu_exit x = cpu_run(c, &e);

	must(x == CPU_EXIT_STOP || x == CPU_EXIT_SHUTDOWN);
	return NULL;
}

static void run_threads(struct fuzz *f)
{
	pthread_t t[CPUS];

	for (unsigned i = 0; i < f->ncpus; i++)
		must(!pthread_create(&t[i], NULL, run_thread, cpu_vm_cpu(f->vm, i)));
	usleep(2000);
	for (unsigned i = 0; i < f->ncpus; i++)
		cpu_stop(cpu_vm_cpu(f->vm, i));
	for (unsigned i = 0; i < f->ncpus; i++)
		pthread_join(t[i], NULL);
}

static void run_slices(struct fuzz *f)
{
	bool gone[CPUS] = { false };
	struct err e = { 0 };

	for (unsigned k = 0; k < SLICES && !last_timed_out; k++) {
		unsigned i = k % f->ncpus;
		struct cpu *c = cpu_vm_cpu(f->vm, i);

		if (gone[i])
			continue;
#ifdef SOFT_TRAMPOLINE
		soft_cpu_of(c)->fuel = fuzz_engine_fuel;
#endif
		enum cpu_exit x = cpu_run(c, &e);
		must(x == CPU_EXIT_STOP || x == CPU_EXIT_SHUTDOWN);
		gone[i] = x == CPU_EXIT_SHUTDOWN;
		check(f, i);
		if (k % 3 == 2) { /* what it is now can be moved elsewhere */
			struct cpu_state s;
			cpu_get_state(c, &s);
			s.tsc = 1;
			cpu_set_state(c, &s, &e);
		}
	}
}

static void fnv(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		last_hash = (last_hash ^ ((const u8 *)p)[i]) * 0x100000001b3ull;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct cpu_model *models[2];
	static u8 *window;
	static int memfd = -1;
	struct fuzz f = { .data = data, .left = size, .seed = 0x9e3779b97f4a7c15ull };
	struct err e = { 0 };

	if (!window) {
		pthread_t t;
		must(!cpu_model_new(&models[0], "mica-v2", CPUS, &e) && !cpu_model_new(&models[1], "host", CPUS, &e));
		memfd = memfd_create("fuzz-ram", 0);
		must(memfd >= 0 && !ftruncate(memfd, RAM_FILE_BYTES));
		/* RAM alone in the middle of nothing: who leaves it faults */
		window = mmap(NULL, 2 * GUARD_BYTES + RAM_FILE_BYTES, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		must(window != MAP_FAILED);
		must(mmap(window + GUARD_BYTES, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memfd, 0) !=
		     MAP_FAILED);
		/* ... but for the page that a fetch finds there */
		must(mmap(window + GUARD_BYTES + RAM_ONES, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			  memfd, RAM_ONES) != MAP_FAILED);
		must(!pthread_create(&t, NULL, watchdog, NULL));
		pthread_detach(t);
	}
	for (size_t i = 0; i < size; i++)
		f.seed = (f.seed ^ data[i]) * 0x100000001b3ull;
	f.seed |= 1;
	f.ram = (struct ram){ .memfd = memfd,
			      .tmpfs = -1,
			      .bytes = RAM_BYTES,
			      .capacity = RAM_FILE_BYTES,
			      .host = window + GUARD_BYTES };
	ram_init(&f.ram);
	must(f.ram.ones_off == RAM_ONES);
	memset(f.ram.host, 0, RAM_BYTES);

	f.mode = (enum fuzz_mode)below(&f, M_COUNT);
	f.ncpus = one_in(&f, 2) ? 1 : 1 + below(&f, CPUS);
	/* Which is for one vCPU; and where stores go to page tables, the TLB need not agree with them. */
	if (fuzz_engine_soft.check) {
		f.ncpus = 1;
		f.mode %= M_PAGED32;
	}
	f.threads = f.ncpus > 1 && one_in(&f, 3);
	const struct cpu_model *model = models[one_in(&f, 2)];
	descriptors(&f);
	idt(&f);
	tss(&f);
	page_tables(&f);
	code(&f);
	for (u32 at = AT_STACK; at < AT_CODE; at += 8)
		put(&f, at, one_in(&f, 3) ? below(&f, 16) * 8 : address(&f));
	for (u32 at = AT_DATA + 4 * PAGE_BYTES; at < RAM_BYTES; at += 8)
		put(&f, at, at & 8 ? value(&f) : address(&f));
	for (u32 at = RAM_BYTES - PAGE_BYTES; at < RAM_BYTES; at += 8) /* far pointers */
		put(&f, at, (AT_CODE + below(&f, 0x10000)) | (u64)(below(&f, 20) * 8 + below(&f, 4)) << 32);

	struct cpu_bus bus = { .opaque = &f,
			       .mmio_read = mmio_read,
			       .mmio_write = mmio_write,
			       .pio_read = pio_read,
			       .pio_write = pio_write,
			       .intr_ack = intr_ack,
			       .msr_read = msr_read,
			       .msr_write = msr_write,
			       .tpr_get = tpr_get,
			       .tpr_set = tpr_set,
			       .hypercall = hypercall,
			       .park = park,
			       .unpark = unpark };
	must(cpu_vm_new_soft(&f.vm, &bus, &f.ram, model, f.ncpus, &fuzz_engine_soft, &e) == 0);
	for (unsigned i = 0; i < f.ncpus; i++) {
		struct cpu_state s = { 0 };
		f.cpu_seed[i] = f.seed * (i + 3) | 1;
		vcpu(&f, &s);
		if (i && one_in(&f, 3)) /* another address space or mode beside the first */
			s.cr4 ^= CR4_PGE;
		if (cpu_set_state(cpu_vm_cpu(f.vm, i), &s, &e) < 0) {
			memset(s.xsave, 0, sizeof(s.xsave));
			must(cpu_set_state(cpu_vm_cpu(f.vm, i), &s, &e) == 0);
		}
	}
	if (getenv("FUZZ_TRACE")) /* a mask of enum cpu_trace */
		cpu_vm_trace(f.vm, (unsigned)strtoul(getenv("FUZZ_TRACE"), NULL, 0));
	last_timed_out = false;
	dog(&f);
	if (f.threads)
		run_threads(&f);
	else
		run_slices(&f);
	dog(NULL);

	for (unsigned i = 0; i < f.ncpus; i++)
		must(!jit_check_failed(soft_cpu_of(cpu_vm_cpu(f.vm, i)), &e));
	last_hash = 0xcbf29ce484222325ull;
	fnv(f.ram.host, RAM_BYTES);
	for (unsigned i = 0; i < f.ncpus; i++) {
		struct cpu_state s;
		cpu_get_state(cpu_vm_cpu(f.vm, i), &s);
		s.tsc = 0;
		fnv(&s.gpr, sizeof(s.gpr));
		fnv(&s.rip, 16);
		fnv(s.xsave, sizeof(s.xsave));
		fnv(s.seg, sizeof(s.seg[0].sel));
		fnv(&s.cr0, 32);
	}
	if (f.threads)
		last_timed_out = true; /* not comparable */
	cpu_vm_free(f.vm);
	return 0;
}
