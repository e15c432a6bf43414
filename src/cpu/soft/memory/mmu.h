/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mmu.h - linear to physical addresses: page walks, and what the TLB may hold.
 *
 * All of memory/ may be called while the guest's vector registers are live in the host's, and is compiled without any
 * (no_vector in meson.build; the test no-vector looks at the object code).
 */
#ifndef MICA_SOFT_MMU_H
#define MICA_SOFT_MMU_H

#include "cpu/soft/vm.h"

enum mmu_access { ACC_R, ACC_W, ACC_X };
/* Host pointer of the page byte lin for the access, or NULL with *gpa where there is no memory for it. There always is
 * for a fetch: ones, outside of memory. Raises. */
u8 *mmu_translate(struct soft_cpu *c, enum tlb_index idx, gva_t lin, enum mmu_access acc, gpa_t *gpa);
/* An access to a device edited the table of guest memory: bring that into force. May take a while. */
void mmu_remap(struct soft_cpu *c);
/* The table has changed: forget what was known by linear address. */
void mmu_forget_moved(struct soft_cpu *c);
/* After each access to a device. */
static inline void mmu_device_done(struct soft_cpu *c)
{
	if (unlikely(ram_edited(c->ram)))
		mmu_remap(c);
}
/* Take back every fast write entry of every vCPU; none of them is in the guest. */
void mmu_protect_all(struct soft_vm *vm);
/* Before a block is decoded from RAM page `page`: INV-CACHE-1. In guest code. */
void mmu_protect_code(struct soft_cpu *c, u64 page);
void mmu_protect_pages(struct soft_cpu *c, const u64 *page, unsigned n);
/* Is there a breakpoint on the page of lin that such an access may meet? */
bool mmu_breakpoint_on_page(const struct soft_cpu *c, gva_t lin, enum mmu_access acc);
/* Before a store to a PAGE_CODE page at host pointer: may not return (core_redo_stepped). */
void mmu_code_check(struct soft_cpu *c, const u8 *host, u64 bytes);

/* Direct execution. An access of user code as the processor makes it: is it allowed? Sets A, and D. */
bool mmu_user_access(struct soft_cpu *c, gva_t lin, enum mmu_access acc);
/* What user code may do with n pages from lin on, all under one paging entry of 2 MiB; nothing with those that were not
 * accessed yet, and no writing of those that are not dirty. In 4-level paging. Changes nothing. */
#define MMU_USER_R 1u
#define MMU_USER_W 2u
#define MMU_USER_X 4u
struct mmu_user {
	u64 page; /* of RAM */
	u8 rights;
	u8 shift; /* of the guest's page that it is a piece of: 12, 21, 30 */
	bool global;
};
void mmu_user_look(const struct soft_cpu *c, gva_t lin, unsigned n, struct mmu_user *out);
/* The address space in use holds a global translation of lin, outside of TLB_SUPER; of a page of 1 << shift bytes. */
void mmu_note_global(struct soft_cpu *c, gva_t lin, unsigned shift);
/* May a page that user code may write be mapped so that we do not see it? Then mmu_protect_code() will tell, and
 * mmu_protect_all(). written: it is about to be. c->tlb_lock held. */
bool mmu_user_writes(struct soft_cpu *c, u64 page, bool written);

/* Forget translations of linear addresses: those of the PCID in CR3; global: all of every PCID, also global pages.
 * Jump caches too. Then the address space in use is that of CR3. */
void soft_tlb_flush(struct soft_cpu *c, bool global);
/* All translations, of every PCID. The tables in use stay those in use: in the middle of anything. */
void soft_tlb_forget(struct soft_cpu *c);
void soft_tlb_flush_page(struct soft_cpu *c, gva_t lin); /* INVLPG */
/* CR3 names another address space, whose translations stay (CR3 bit 63). */
void soft_tlb_switch(struct soft_cpu *c);
/* INVPCID: one page or all of the pages of another PCID or the present one; all PCIDs, but not global pages. */
void soft_tlb_flush_pcid_page(struct soft_cpu *c, unsigned pcid, gva_t lin);
void soft_tlb_flush_pcid(struct soft_cpu *c, unsigned pcid);
void soft_tlb_flush_pcids(struct soft_cpu *c);
/* The vCPU's tables, empty. */
void soft_tlb_init(struct soft_cpu *c);
void soft_tlb_fini(struct soft_cpu *c);
/* PAE paging: are the four entries at cr3 free of reserved bits? What loads them raises #GP else (SDM 3A 4.4.1).
 * They are not kept: walks read them where they lie, as AMD's processors do. */
bool mmu_pdptes_ok(const struct soft_cpu *c, u64 cr3);

#endif
