/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_code.h - which pages may be executed directly (direct_scan.c), and that they stay what was looked at
 * (direct_code.c). Inside of direct/.
 */
#ifndef MICA_SOFT_DIRECT_CODE_H
#define MICA_SOFT_DIRECT_CODE_H

#include "cpu/soft/vm.h"

enum page_kind {
	PAGE_PLAIN,
	PAGE_ASKS, /* CPUID where the host cannot make it fault, XGETBV */
	PAGE_NEVER,
};
/* Has an instruction that must not be executed directly a byte in that page of 64-bit code? before, behind: what is
 * executable there, or NULL. */
enum page_kind direct_scan(const struct direct_host *h, const u8 *before, const u8 *page, const u8 *behind);
/* The same in code of 32 bits. */
enum page_kind direct_scan32(const struct direct_host *h, const u8 *before, const u8 *page, const u8 *behind);
/* What an instruction with its opcode at p is, 0F or CD. prefixes: those that make it another one (P_*); ~0: any may be
 * there. */
enum page_kind direct_scan_kind(const u8 *p, u8 prefixes, const struct direct_host *h);

#define DIRECT_SCAN_BEFORE 96 /* bytes of the page before that count */
#define DIRECT_SCAN_BEHIND 16

struct mmu_user;
#define DIRECT_GUARD_MAX 512
bool direct_code_init(struct soft_vm *vm);
void direct_code_fini(struct soft_vm *vm);
/* Before pages are executed directly, those of u that can be: who writes to them is seen. In guest code, no lock held;
 * n up to DIRECT_GUARD_MAX. */
void direct_code_guard(struct soft_cpu *c, const struct mmu_user *u, unsigned n);
/* May the page, in an array between its neighbours, be executed directly, as code of 32 bits or of 64? c->tlb_lock
 * held. */
enum page_kind direct_code_kind(struct soft_cpu *c, const struct mmu_user *u, bool code32);
/* A runner of c is about to write to the page: it need not be guarded, unless blocks were decoded from it. No lock
 * held. */
void direct_code_release(struct soft_cpu *c, u64 page);

#endif
