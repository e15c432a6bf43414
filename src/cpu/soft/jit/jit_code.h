/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_code.h - the code memory: what is in it, and where the routines are. Inside of jit/. */
#ifndef MICA_SOFT_JIT_CODE_H
#define MICA_SOFT_JIT_CODE_H

#include "cpu/soft/block.h"
#include "cpu/soft/vm.h"

struct jit;

#define JIT_UNGROUPED 4096u
static inline unsigned jit_ungrouped_hash(u64 phys)
{
	return (unsigned)(phys * 0x9e3779b97f4a7c15ull >> 52);
}
struct jit_code {
	u8 *rw, *rx;
	size_t bytes;
	u32 used, used0;      /* after the routines */
	pthread_mutex_t lock; /* translating */
	bool rorx;
	bool avx;
	bool exact;
	u32 heat; /* executions before a block is translated */
	u8 *r_enter, *r_slow, *r_uop, *r_exit_uop, *r_end, *r_exit_group, *r_exit_rip, *r_dead_far, *r_dead_near,
	    *r_link, *r_lookup, *r_vec_save, *r_vec_load, *r_vec_load_low, *r_need_vec, *r_fault;
	struct jit *scratch;
	struct jindex {
		u32 at, block;        /* offset of the code; reference */
	} * index;                    /* in the order of their code */
	u32 ungrouped[JIT_UNGROUPED]; /* by hash: blocks (RAM offset) whose groups failed too often */
	u32 nindex, index_max;
	u64 translations, refused, unlinked;
	int perf_fd;
};

/* Was a block at RAM offset phys translated, and dropped because its groups failed? */
static inline bool jit_was_hot(const struct soft_vm *vm, u64 phys)
{
	return vm->jit->ungrouped[jit_ungrouped_hash(phys)] == (u32)(phys >> 2) + 1;
}
/* The block whose code contains pc; async-signal-safe. */
struct block *jit_block_of(const struct soft_vm *vm, u64 pc);

/* ---- jit_routines.c ---- */
/* At VM creation, into j's buffer: all of k's r_*. */
void jit_routines(struct jit *j, struct jit_code *k);

/* ---- jit_perf.c ---- */
int jit_perf_open(struct jit_code *k, struct err *e);
/* Name code for perf, where that is wished. */
void jit_perf_name(struct jit_code *k, const u8 *code, u32 bytes, const char *name, ...);

#endif
