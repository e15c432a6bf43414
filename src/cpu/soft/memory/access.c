/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * access.c - guest memory as instructions access it, where the TLB does not serve: page crossings, devices, alignment
 * checks, data breakpoints, and pages with code on them.
 *
 * A store that misses may be to a page with decoded code on it. If it hits the very block that is
 * running, the instruction is abandoned before the store and run again alone (core_redo_stepped), so
 * that the next instruction is decoded from the new bytes; else it stores and drops the blocks it
 * overlaps (INV-CACHE-2).
 *
 * Debug registers cost where they are. A page with watched data on it is never in the TLB for what is watched, stores
 * or all, so that these accesses come here; an instruction that meets a breakpoint is abandoned as well, and run again
 * alone. A page with a breakpoint on its code is never in the jump caches, and run instruction by instruction
 * (run_leave()). So a change of DR0 to DR3 or DR7 flushes all of that. While any is set, what reaches a device runs
 * alone from the start: it could not be done again (soft_no_repeat()).
 *
 * The guest's vector registers may be live in the host's: no vector instruction here (meson.build).
 */
#include "cpu/soft/memory/slow.h"

void mmu_code_check(struct soft_cpu *c, const u8 *host, u64 bytes)
{
	if (!c->redo_step && cache_running_overlaps(c, (u64)(host - c->ram->host), bytes))
		core_redo_stepped(c);
}

void mmu_data_breakpoint(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned kind = dr7_kind(c->dr7, i);
		u64 len = dr7_bytes(c->dr7, i), at = c->dr[i] & ~(len - 1);

		if (!dr7_enabled(c->dr7, i) || (kind != DR7_ACCESS && !(kind == DR7_WRITE && write)))
			continue;
		if (lin >= at + len || at >= lin + bytes)
			continue;
		/* The trap comes after the instruction: it is run alone, see step(). */
		if (!c->stepping && !c->redo_step)
			core_redo_stepped(c);
		c->dr6_pending |= 1u << i;
	}
}

bool mmu_breakpoint_on_page(const struct soft_cpu *c, gva_t lin, enum mmu_access acc)
{
	for (unsigned i = 0; i < 4; i++)
		if (dr7_enabled(c->dr7, i) && !((c->dr[i] ^ lin) & PAGE_MASK) &&
		    (acc == ACC_X   ? dr7_kind(c->dr7, i) == DR7_EXEC
		     : acc == ACC_W ? dr7_kind(c->dr7, i) & 1
				    : dr7_kind(c->dr7, i) == DR7_ACCESS))
			return true;
	return false;
}

static u64 host_ld(const u8 *p, unsigned bytes)
{
	switch (bytes) {
	case 1:
		return *(const volatile u8 *)p;
	case 2:
		return *(const volatile guest_u16 *)(const void *)p;
	case 4:
		return *(const volatile guest_u32 *)(const void *)p;
	default:
		return *(const volatile guest_u64 *)(const void *)p;
	}
}

static void host_st(u8 *p, unsigned bytes, u64 v)
{
	switch (bytes) {
	case 1:
		*(volatile u8 *)p = (u8)v;
		break;
	case 2:
		*(volatile guest_u16 *)(void *)p = (u16)v;
		break;
	case 4:
		*(volatile guest_u32 *)(void *)p = (u32)v;
		break;
	default:
		*(volatile guest_u64 *)(void *)p = v;
		break;
	}
}

/* An access to a device may take long, and what is known of other pages does not outlive it: memory moves, a dirty log
 * is collected (remap.c). So of an access that begins at a device and ends in memory, the memory is looked up again
 * between the two. Both were looked up before the first byte, for their faults. */
static u64 ld_piece(struct soft_cpu *c, const u8 *p, gpa_t gpa, unsigned n)
{
	u64 v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (p ? p[i] : mmio_read(c, gpa + i, 1) & 0xff) << (8 * i);
	return v;
}

static u64 ld_slow(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes)
{
	gpa_t gpa;

	data_bp(c, lin, bytes, false);
	if (likely(!crosses(lin, bytes))) {
		u8 *p = mmu_translate(c, idx, lin, ACC_R, &gpa);
		check_align(c, idx, lin, bytes);
		return p ? host_ld(p, bytes) : mmio_read(c, gpa, bytes);
	}
	unsigned n1 = (unsigned)(PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
	gpa_t gpa2;
	u8 *p1 = mmu_translate(c, idx, lin, ACC_R, &gpa);
	u8 *p2 = mmu_translate(c, idx, wrap(c, lin + n1), ACC_R, &gpa2);
	check_align(c, idx, lin, bytes);
	u64 v = ld_piece(c, p1, gpa, n1);
	if (!p1)
		p2 = mmu_translate(c, idx, wrap(c, lin + n1), ACC_R, &gpa2);
	return v | ld_piece(c, p2, gpa2, bytes - n1) << (8 * n1);
}

static void st_ram(struct soft_cpu *c, u8 *p, unsigned bytes, u64 v)
{
	if (likely(!is_code(c, p))) {
		host_st(p, bytes, v);
		return;
	}
	mmu_code_check(c, p, bytes);
	host_st(p, bytes, v);
	code_written(c, p, bytes);
}

static void st_piece(struct soft_cpu *c, u8 *p, gpa_t gpa, unsigned n, u64 v)
{
	for (unsigned i = 0; i < n; i++, v >>= 8) {
		if (p)
			st_ram(c, p + i, 1, v & 0xff);
		else
			mmio_write(c, gpa + i, 1, v & 0xff);
	}
}

static void st_slow(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes, u64 v)
{
	gpa_t gpa;

	data_bp(c, lin, bytes, true);
	if (likely(!crosses(lin, bytes))) {
		u8 *p = translate_w(c, idx, lin, &gpa);
		check_align(c, idx, lin, bytes);
		if (p)
			st_ram(c, p, bytes, v);
		else
			mmio_write(c, gpa, bytes, v);
		return;
	}
	unsigned n1 = (unsigned)(PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
	gpa_t gpa2;
	u8 *p1 = mmu_translate(c, idx, lin, ACC_W, &gpa);
	u8 *p2 = mmu_translate(c, idx, wrap(c, lin + n1), ACC_W, &gpa2);
	check_align(c, idx, lin, bytes);
	if (p1 && is_code(c, p1))
		mmu_code_check(c, p1, n1);
	if (p2 && is_code(c, p2))
		mmu_code_check(c, p2, bytes - n1);
	st_piece(c, p1, gpa, n1, v);
	if (!p1)
		p2 = mmu_translate(c, idx, wrap(c, lin + n1), ACC_W, &gpa2);
	st_piece(c, p2, gpa2, bytes - n1, v >> (8 * n1));
}

static inline u64 ld(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes)
{
	const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];

	if (likely(((lin + bytes - 1) & PAGE_MASK) == e->rtag))
		return host_ld((const u8 *)(uintptr_t)(lin + e->addend), bytes);
	return ld_slow(c, idx, lin, bytes);
}

static inline void st(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes, u64 v)
{
	const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];

	if (likely(((lin + bytes - 1) & PAGE_MASK) == e->wtag))
		host_st((u8 *)(uintptr_t)(lin + e->addend), bytes, v);
	else
		st_slow(c, idx, lin, bytes, v);
}

u8 soft_ld8(struct soft_cpu *c, gva_t lin)
{
	return (u8)ld(c, table_in_use(c), lin, 1);
}
u16 soft_ld16(struct soft_cpu *c, gva_t lin)
{
	return (u16)ld(c, table_in_use(c), lin, 2);
}
u32 soft_ld32(struct soft_cpu *c, gva_t lin)
{
	return (u32)ld(c, table_in_use(c), lin, 4);
}
u64 soft_ld64(struct soft_cpu *c, gva_t lin)
{
	return ld(c, table_in_use(c), lin, 8);
}
void soft_st8(struct soft_cpu *c, gva_t lin, u8 v)
{
	st(c, table_in_use(c), lin, 1, v);
}
void soft_st16(struct soft_cpu *c, gva_t lin, u16 v)
{
	st(c, table_in_use(c), lin, 2, v);
}
void soft_st32(struct soft_cpu *c, gva_t lin, u32 v)
{
	st(c, table_in_use(c), lin, 4, v);
}
void soft_st64(struct soft_cpu *c, gva_t lin, u64 v)
{
	st(c, table_in_use(c), lin, 8, v);
}
u64 soft_ld(struct soft_cpu *c, gva_t lin, unsigned bytes)
{
	return ld(c, table_in_use(c), lin, bytes);
}
void soft_st(struct soft_cpu *c, gva_t lin, unsigned bytes, u64 v)
{
	st(c, table_in_use(c), lin, bytes, v);
}

u64 soft_ld_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, bool user)
{
	return ld(c, user ? TLB_USER : TLB_SUPER, lin, bytes);
}
void soft_st_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, u64 v, bool user)
{
	st(c, user ? TLB_USER : TLB_SUPER, lin, bytes, v);
}

void mmu_probe(struct soft_cpu *c, enum tlb_index idx, gva_t lin, unsigned bytes, bool write)
{
	gpa_t gpa;

	do {
		unsigned n = (unsigned)MIN((u64)bytes, PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
		const struct tlb_entry *e = &c->tlbs[idx][tlb_hash(lin)];
		if ((write ? e->wtag : e->rtag) != (lin & PAGE_MASK))
			mmu_translate(c, idx, lin, write ? ACC_W : ACC_R, &gpa);
		bytes -= n;
		lin = wrap(c, lin + n);
	} while (bytes);
}
void soft_probe(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write)
{
	mmu_probe(c, table_in_use(c), lin, bytes, write);
}
void soft_probe_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write, bool user)
{
	mmu_probe(c, user ? TLB_USER : TLB_SUPER, lin, bytes, write);
}

void soft_check_align(struct soft_cpu *c, gva_t lin, unsigned bytes, unsigned align, bool write)
{
	enum tlb_index idx = table_in_use(c);

	if (unlikely(idx == TLB_USER_ALIGN) && (lin & (align - 1))) {
		mmu_probe(c, idx, lin, bytes, write);
		check_align(c, idx, lin, align);
	}
}
