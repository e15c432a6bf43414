/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slow.h - pieces of the slow path of an access, shared by access.c and bytes.c: which table it goes by, where it ends,
 * alignment checks, breakpoints, devices, code.
 */
#ifndef MICA_SOFT_SLOW_H
#define MICA_SOFT_SLOW_H

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/hooks.h"
#include "cpu/soft/memory/access.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/raise.h"

/* What #AC wants of an operand (SDM 3A table 6-7; the same on AMD's processors): vectors of 32 bytes 16, the x87's ten
 * bytes 8, its environments and images words or dwords. Anything else is its handler's. */
static inline unsigned alignment(unsigned bytes)
{
	if (bytes == 10)
		return 8;
	return bytes <= 108 ? MIN(bytes & -bytes, 16u) : 1;
}

/* #AC comes after the page fault (SDM 3A 6.9): call this when the access is known to be allowed. */
static inline void check_align(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes)
{
	if (unlikely(idx == TLB_USER_ALIGN) && (lin & (alignment(bytes) - 1)))
		soft_raise(c, EXC_AC, 0);
}

/* Which table c->tlb is: not by CPL, which an instruction may have changed on its way. */
static inline enum tlb_index table_in_use(const struct soft_cpu *c)
{
	enum tlb_index idx = TLB_USER;

	while (c->tlbs[idx] != c->tlb)
		idx++;
	return idx;
}

/* The next page's first linear address; wraps at 4 GiB outside long mode. */
static inline gva_t wrap(const struct soft_cpu *c, gva_t lin)
{
	return c->mode & MODE_CODE64 ? lin : (u32)lin;
}

static inline bool crosses(gva_t lin, unsigned bytes)
{
	return (lin & (PAGE_BYTES - 1)) + bytes > PAGE_BYTES;
}

static inline bool is_code(struct soft_cpu *c, const u8 *host)
{
	return !c->jit.ref && cache_page_flags(c->vm, (u64)(host - c->ram->host) >> PAGE_SHIFT) & PAGE_CODE;
}

/* p was written, on a PAGE_CODE page. */
static inline void code_written(struct soft_cpu *c, const u8 *p, unsigned bytes)
{
	u64 off = (u64)(p - c->ram->host);

	if (c->vm->ncpus > 1)
		atomic_thread_fence(memory_order_seq_cst); /* INV-CACHE-4 */
	if (cache_matters(c->vm, off, bytes))
		cache_invalidate_ram(c->vm, off, bytes);
}

/* An access of `bytes` at lin, where DR7 watches some: is it one? */
void mmu_data_breakpoint(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write);
static inline void data_bp(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write)
{
	if (unlikely((c->dr7 & 0xff) && (c->dr7 & 0x33330000u)))
		mmu_data_breakpoint(c, lin, bytes, write);
}

static inline u64 mmio_read(struct soft_cpu *c, gpa_t gpa, unsigned bytes)
{
	soft_no_repeat(c);
	c->st.mmio++;
	u64 v = c->bus->mmio_read(c->bus->opaque, c->index, gpa, bytes);
	mmu_device_done(c);
	return v;
}

static inline void mmio_write(struct soft_cpu *c, gpa_t gpa, unsigned bytes, u64 v)
{
	soft_no_repeat(c);
	c->st.mmio++;
	c->bus->mmio_write(c->bus->opaque, c->index, gpa, bytes, v);
	mmu_device_done(c);
}

/* To write: the walk can be spared where it was done, and only code is in the way. */
static inline u8 *translate_w(struct soft_cpu *c, enum tlb_index idx, gva_t lin, gpa_t *gpa)
{
	const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];
	u8 *p = (u8 *)(uintptr_t)(lin + e->addend);

	if (e->wtag == ((lin & PAGE_MASK) | TLB_CODE) && is_code(c, p))
		return p;
	return mmu_translate(c, idx, lin, ACC_W, gpa);
}

/* soft_probe() by the table idx. */
void mmu_probe(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes, bool write);

#endif
