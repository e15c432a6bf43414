/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_engine.h - the parts of a random machine (fuzz_engine.c): where its bytes come from, what lies where in it, and
 * who makes which part.
 */
#ifndef MICA_FUZZ_ENGINE_H
#define MICA_FUZZ_ENGINE_H

#include "base/ram.h"
#include "cpu/cpu.h"

#define RAM_PAGES 80u
#define RAM_BYTES (RAM_PAGES * PAGE_BYTES)

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

/* ---- numbers: the input's bytes, and when these are used up, a generator's ---- */

static inline u64 xorshift(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1dull;
}

static inline u8 r8(struct fuzz *f)
{
	if (f->left) {
		f->left--;
		return *f->data++;
	}
	return (u8)(xorshift(&f->seed) >> 32);
}
static inline u32 below(struct fuzz *f, u32 n)
{
	return n <= 256 ? r8(f) % n : (r8(f) | (u32)r8(f) << 8 | (u32)r8(f) << 16) % n;
}
static inline bool one_in(struct fuzz *f, u32 n)
{
	return below(f, n) == 0;
}
static inline u64 r64(struct fuzz *f)
{
	u64 v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | r8(f);
	return v;
}

/* An address that means something, often near a page's border. */
u64 any_address(struct fuzz *f);
/* Any number, often one at an edge. */
u64 any_value(struct fuzz *f);

/* ---- parts ---- */

static inline void put(struct fuzz *f, u32 at, u64 v)
{
	memcpy(f->ram.host + at, &v, 8);
}

/* Code, from AT_CODE on and some at AT_DATA. */
void make_code(struct fuzz *f);
/* Descriptor tables, task states, page tables; stacks and data. */
void make_tables(struct fuzz *f);
void make_data(struct fuzz *f);
/* What a vCPU of this mode begins with. */
void make_vcpu(struct fuzz *f, struct cpu_state *s);
/* Devices that answer with noise, and do what devices do to vCPUs and memory. */
struct cpu_bus noisy_bus(struct fuzz *f);

#endif
