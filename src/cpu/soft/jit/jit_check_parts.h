/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_check_parts.h - the lock-step self-check: what its parts share. Inside of jit/; jit_check.c tells how it goes.
 */
#ifndef MICA_SOFT_JIT_CHECK_PARTS_H
#define MICA_SOFT_JIT_CHECK_PARTS_H

#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/jit/jit_check.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>

/* What is rolled back: of struct soft_cpu all up to the run loop's, but pending. */
#define IMAGE_BYTES offsetof(struct soft_cpu, jb)
#define IMAGE_HOLE offsetof(struct soft_cpu, pending)

#define CHECK_PAGES 32u

enum check_outcome { RAN, RAISED, REDO, GAVE_UP, AGAIN }; /* the values of longjmp() */

struct check_page {
	u8 *host;
	u8 before[PAGE_BYTES] __attribute__((aligned(64)));
	u8 copy[PAGE_BYTES] __attribute__((aligned(64)));
};

struct check_state {
	struct soft_cpu *c; /* IMAGE_BYTES of one */
	u8 fx[512] __attribute__((aligned(64)));
	enum check_outcome how;
};

struct jit_check {
	struct check_state start, ref, got;
	jmp_buf jb; /* the run loop's */
	struct tlb_table table[TLB_COUNT];
	struct jc_table jc; /* empty: a branch leaves */
	struct uop op[BLOCK_UOPS_MAX + 1];
	bool stopped; /* at end_uop; else a branch was taken before */
	unsigned npages;
	struct check_page page[CHECK_PAGES];
	_Atomic u32 foreign;
	bool failed;
	u64 rip; /* of the block that failed */
	u64 compared, given_up, raced, skipped, differed;
};

/* x87 and MXCSR are in the host's registers, xmm registers nobody's (c->vec has them). */
void check_save(struct check_state *s, const struct soft_cpu *c);
void check_restore(const struct check_state *s, struct soft_cpu *c);

/* ---- jit_check.c ---- */
#define CHECK_CODE_ROOM 15u
/* A block's code, b->bytes of them: in RAM, or, where it reaches into another page, in room. */
const u8 *check_code(const struct soft_cpu *c, const struct block *b, u8 room[CHECK_CODE_ROOM]);

/* ---- jit_check_run.c ---- */
/* The interpreter executes the block, without effect: its pages are in k. */
enum check_outcome check_reference(struct soft_cpu *c, struct jit_check *k, const struct block *b);
/* The translation executes it, for real; *next is the uop to go on with, NULL: at c->rip. */
enum check_outcome check_translation(struct soft_cpu *c, struct jit_check *k, struct block *b, const struct uop **next);

/* ---- jit_check_flags.c ---- */
/* Status flags at c->rip, after the block, that have to be right. */
u32 check_flags(const struct soft_cpu *c, const struct block *b);

/* ---- jit_check_report.c ---- */
/* How many differences there are; a line for each goes to f, if there is one. */
unsigned check_compare(FILE *f, const struct soft_cpu *c, const struct jit_check *k, const struct block *b);
/* All about them, to stderr. */
void check_report(struct soft_cpu *c, struct jit_check *k, const struct block *b);

#endif
