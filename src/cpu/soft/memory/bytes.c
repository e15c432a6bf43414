/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bytes.c - guest memory by any number of bytes: images, vectors, strings; and where an operand lies that is read,
 * changed and written.
 *
 * The guest's vector registers may be live in the host's: no vector instruction here (meson.build).
 */
#include "cpu/soft/memory/slow.h"

static void ld_bytes(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes, unsigned align)
{
	enum tlb_index idx = table_in_use(c);
	u8 *out = buf;

	const struct tlb_entry *te = &c->tlbs[idx][tlb_hash(lin)];
	if (likely(((lin + bytes - 1) & PAGE_MASK) == te->rtag && bytes <= PAGE_BYTES)) {
		memcpy(buf, (const void *)(uintptr_t)(lin + te->addend), bytes);
		return;
	}
	data_bp(c, lin, bytes, false);
	soft_check_align(c, lin, bytes, align, false);
	if (crosses(lin, bytes))
		mmu_probe(c, idx, lin, bytes, false);
	while (bytes) {
		unsigned n = (unsigned)MIN((u64)bytes, PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
		gpa_t gpa;
		u8 *p = mmu_translate(c, idx, lin, ACC_R, &gpa);
		if (p) {
			memcpy(out, p, n);
		} else {
			for (unsigned i = 0; i < n;) {
				unsigned k = n - i >= 8 && !((gpa + i) & 7)   ? 8
					     : n - i >= 4 && !((gpa + i) & 3) ? 4
									      : 1;
				u64 v = mmio_read(c, gpa + i, k);
				memcpy(out + i, &v, k);
				i += k;
			}
		}
		out += n;
		bytes -= n;
		lin = wrap(c, lin + n);
	}
}

void soft_ld_bytes(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes)
{
	ld_bytes(c, lin, buf, bytes, alignment(bytes));
}
void soft_ld_bytes_any(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes)
{
	ld_bytes(c, lin, buf, bytes, 1);
}

static void st_bytes(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes, unsigned align)
{
	enum tlb_index idx = table_in_use(c);
	const u8 *in = buf;

	const struct tlb_entry *te = &c->tlbs[idx][tlb_hash(lin)];
	if (likely(((lin + bytes - 1) & PAGE_MASK) == te->wtag && bytes <= PAGE_BYTES)) {
		memcpy((void *)(uintptr_t)(lin + te->addend), buf, bytes);
		return;
	}
	data_bp(c, lin, bytes, true);
	soft_check_align(c, lin, bytes, align, true);
	if (crosses(lin, bytes))
		mmu_probe(c, idx, lin, bytes, true);
	while (bytes) {
		unsigned n = (unsigned)MIN((u64)bytes, PAGE_BYTES - (lin & (PAGE_BYTES - 1)));
		gpa_t gpa;
		u8 *p = mmu_translate(c, idx, lin, ACC_W, &gpa);
		if (p) {
			bool code = is_code(c, p);
			if (code)
				mmu_code_check(c, p, n);
			memcpy(p, in, n);
			if (code)
				code_written(c, p, n);
		} else {
			for (unsigned i = 0; i < n;) {
				unsigned k = n - i >= 8 && !((gpa + i) & 7)   ? 8
					     : n - i >= 4 && !((gpa + i) & 3) ? 4
									      : 1;
				u64 v = 0;
				memcpy(&v, in + i, k);
				mmio_write(c, gpa + i, k, v);
				i += k;
			}
		}
		in += n;
		bytes -= n;
		lin = wrap(c, lin + n);
	}
}

void soft_st_bytes(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes)
{
	st_bytes(c, lin, buf, bytes, alignment(bytes));
}
void soft_st_bytes_any(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes)
{
	st_bytes(c, lin, buf, bytes, 1);
}

void *soft_rmw_ptr(struct soft_cpu *c, gva_t lin, unsigned bytes)
{
	const struct tlb_entry *e = &c->tlb[tlb_hash(lin)];
	gpa_t gpa;

	if (likely(((lin + bytes - 1) & PAGE_MASK) == e->wtag))
		return (void *)(uintptr_t)(lin + e->addend);
	data_bp(c, lin, bytes, true);
	if (crosses(lin, bytes)) {
		mmu_probe(c, table_in_use(c), lin, bytes, true);
		check_align(c, table_in_use(c), lin, bytes);
		/* It may be a locked one: nobody else runs between its load and its store. Alone, for no block
		 * survives the waiting for sure. */
		if (c->vm->ncpus > 1 && bytes <= 8) {
			if (!c->redo_step)
				core_redo_stepped(c);
			if (!c->exclusive) {
				cache_exclusive_begin(c->vm, c);
				c->exclusive = true;
				if (unlikely(c->remaps != atomic_load(&c->vm->remaps)))
					mmu_forget_moved(c); /* while it waited */
			}
		}
		return NULL;
	}
	u8 *p = translate_w(c, table_in_use(c), lin, &gpa);
	check_align(c, table_in_use(c), lin, bytes);
	if (!p)
		return NULL;
	if (is_code(c, p)) {
		u64 off = (u64)(p - c->ram->host);
		mmu_code_check(c, p, bytes);
		if (c->vm->ncpus == 1) {
			/* Nothing is decoded between here and the caller's write. */
			if (cache_matters(c->vm, off, bytes))
				cache_invalidate_ram(c->vm, off, bytes);
			return p;
		}
		/* The caller writes after we return, so what INV-CACHE-2 wants is done by running the
		 * instruction alone and dropping the blocks when it is done. */
		if (!c->redo_step)
			core_redo_stepped(c);
		c->redo_off = off;
		c->redo_bytes = bytes;
	}
	return p;
}
