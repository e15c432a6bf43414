/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_code.c - the translator's code memory, and the life of translations: made, dropped with their block, all dropped
 * with the arena.
 *
 * Code memory (code_memory.h, INV-JIT-4) is filled from the front; when it is full the arena of blocks is reset with
 * it.
 */
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/code_memory.h"
#include "cpu/soft/give_back.h"
#include "cpu/soft/vector/vec.h"

#define JIT_INDEX_MAX (256u << 10)

int jit_init(struct soft_vm *vm, struct err *e)
{
#ifdef SOFT_TRAMPOLINE
	const bool translates = false; /* handlers return after each uop */
#else
	const bool translates = true;
#endif
	struct jit_code *k;
	const struct soft_options *o = &vm->options;

	jit_row_index();
	if (o->check && !translates)
		return err_set(e, ENOTSUP, "check=: this build only interprets");
	if (o->check && vm->ncpus > 1)
		return err_set(e, ENOTSUP, "check=: compares one CPU only");
	if (o->translate == SOFT_TRANSLATE_OFF || !translates)
		return 0;
	k = xcalloc(1, sizeof(*k));
	vm->jit = k;
	k->bytes = o->cache_bytes
		       ? (size_t)(o->cache_bytes & PAGE_MASK)
		       : (size_t)(vm->ram->bytes <= 512 * MIB ? 20 * MIB : MIN(vm->ram->bytes / 16, 128 * MIB));
	k->perf_fd = -1;
	int r = o->perf_map ? jit_perf_open(k, e) : 0;
	if (r == 0)
		r = o->perf_map ? code_memory_map_anonymous(k->bytes, &k->rw, &k->rx, e)
				: code_memory_map("mica-jit", k->bytes, &k->rw, &k->rx, e);
	if (r < 0) {
		jit_fini(vm);
		return r;
	}
	pthread_mutex_init(&k->lock, NULL);
	k->rorx = __builtin_cpu_supports("bmi2");
	k->avx = vm->stubs->feat & VF_AVX;
	k->exact = o->translate == SOFT_TRANSLATE_EXACT;
	k->heat = o->heat ? o->heat : JIT_HEAT;
	k->scratch = xcalloc(1, sizeof(*k->scratch));
	k->scratch->buf = xcalloc(1, JIT_BUF + 64);
	k->index_max = JIT_INDEX_MAX;
	k->index = xcalloc(k->index_max, sizeof(*k->index));
	struct jit *j = k->scratch;
	j->n = 0;
	j->fail = false;
	j->pc0 = (u64)(uintptr_t)k->rx;
	jit_routines(j, k);
	must(!j->fail);
	memcpy(k->rw, j->buf, j->n);
	k->used0 = k->used = ROUND_UP(j->n, 64);
	jit_perf_name(k, k->rx, j->n, "translator: routines");
	for (unsigned i = 0; i < vm->ncpus; i++) {
		jit_cpu_init(vm->cpu[i]);
		if (o->check)
			vm->cpu[i]->jit.check = jit_check_new();
	}
	return 0;
}

void jit_fini(struct soft_vm *vm)
{
	struct jit_code *k = vm->jit;

	if (!k)
		return;
	code_memory_unmap(k->bytes, k->rw, k->rx);
	if (k->scratch) {
		free(k->scratch->buf);
		pthread_mutex_destroy(&k->lock);
	}
	free(k->scratch);
	free(k->index);
	if (k->perf_fd >= 0)
		close(k->perf_fd);
	for (unsigned i = 0; i < vm->ncpus; i++)
		if (vm->cpu[i]) {
			free(vm->cpu[i]->jit.run);
			free(vm->cpu[i]->jit.n.handlers);
			free(vm->cpu[i]->jit.n.ends);
			jit_check_free(vm->cpu[i]->jit.check);
		}
	free(k);
	vm->jit = NULL;
}

void jit_reset(struct soft_vm *vm)
{
	struct jit_code *k = vm->jit;

	if (!k)
		return;
	k->used = k->used0;
	k->nindex = 0;
	for (unsigned i = 0; i < vm->ncpus; i++)
		jit_forget_jumps(vm->cpu[i]);
}

size_t jit_bytes(const struct soft_vm *vm)
{
	return vm->jit ? vm->jit->used - vm->jit->used0 : 0;
}

void jit_give_back(struct soft_vm *vm)
{
	struct jit_code *k = vm->jit;

	if (!k)
		return;
	/* Of a file: the pages, not only our view of them. */
	size_t from = ROUND_UP((size_t)k->used0, PAGE_BYTES);
	if (from < k->bytes)
		madvise(k->rw + from, k->bytes - from, MADV_REMOVE);
	give_back(k->index, k->index_max * sizeof(*k->index));
	for (unsigned i = 0; i < vm->ncpus; i++)
		jit_give_back_jumps(vm->cpu[i]);
}

const struct uop *jit_enter(struct soft_cpu *c, struct block *b)
{
	const struct uop *(*enter)(struct soft_cpu *, u8 *) =
	    (const struct uop *(*)(struct soft_cpu *, u8 *))(uintptr_t)c->vm->jit->r_enter;

	c->jit.vpage = c->gpr[GPR_BLK] - (b->phys & ~PAGE_MASK);
	c->jit.entries++;
	return enter(c, b->jit.far);
}

void jit_vec_save(struct soft_cpu *c)
{
	void (*save)(struct soft_cpu *) = (void (*)(struct soft_cpu *))(uintptr_t)c->vm->jit->r_vec_save;

	save(c);
	c->jit.vec_live = 0;
}

struct block *jit_block_of(const struct soft_vm *vm, u64 pc)
{
	const struct jit_code *k = vm->jit;
	u32 at = (u32)(pc - (u64)(uintptr_t)k->rx), lo = 0, hi = __atomic_load_n(&k->nindex, __ATOMIC_ACQUIRE);

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;
		if (k->index[mid].at <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? (struct block *)(void *)(vm->cache->arena + (size_t)k->index[lo - 1].block * 16) : NULL;
}

bool jit_fault_landing(struct soft_cpu *c, u64 *rip, u64 rflags, unsigned vec)
{
	const struct jit_code *k = c->vm->jit;

	if (!k || *rip - (u64)(uintptr_t)k->rx >= k->bytes)
		return false;
	struct block *b = jit_block_of(c->vm, *rip);
	if (!b)
		return false;
	const u8 *code = k->rx + b->jit.start;
	const struct jfault *f = (const struct jfault *)(const void *)(code + b->jit.bytes) - b->jit.nfaults;
	u64 at = *rip - (u64)(uintptr_t)code;
	for (unsigned i = 0; i < b->jit.nfaults; i++, f++) {
		if (f->at != at)
			continue;
		if (f->how & JFAULT_RFLAGS)
			soft_set_status(c, (u32)rflags);
		c->jit.fault.block = (u32)(((u8 *)b - c->vm->cache->arena) / 16);
		c->jit.fault.uop = f->uop;
		c->jit.fault.how = f->how;
		c->jit.fault.vec = (u8)vec;
		*rip = (u64)(uintptr_t)k->r_fault;
		return true;
	}
	return false;
}

/* Overwrite the five bytes at code offset `at`, of an instruction that is as long, by a call. */
static void overwrite(struct jit_code *k, u32 at, const u8 *to)
{
	u64 *p = (u64 *)(void *)(k->rw + at), v;

	must(!(at & 7));
	v = *p;
	v = (v & ~0xffffffffffull) | X_CALL | (u64)(u32)((u32)(to - k->rx) - (at + 5)) << 8;
	__atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}

void jit_kill(struct soft_vm *vm, struct block *b)
{
	struct jit_code *k = vm->jit;

	if (!k || !b->jit.far)
		return;
	u32 far = (u32)(b->jit.far - k->rx), near = (u32)(b->jit.near - k->rx);
	overwrite(k, far, k->r_dead_far);
	if (near != far)
		overwrite(k, near, k->r_dead_near);
	/* Jumps that come here go to their own stubs again, and look for another block. */
	for (u32 at = b->jit.in; at && at != JIT_LIST_END;) {
		struct jlink *l = (struct jlink *)(void *)(k->rw + at);
		__atomic_store_n((u32 *)(void *)(k->rw + l->imm), at - l->head - (l->imm + 4), __ATOMIC_SEQ_CST);
		at = l->next;
		l->next = 0;
		k->unlinked++;
	}
	b->jit.in = 0;
}
