/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_check.c - the lock-step self-check: what a translated block does, against what the interpreter makes of it.
 *
 * Theory of operation. With --engine soft,check=... translations are not linked, so each is left at its end. When one
 * is to be entered:
 *
 *   1. the vCPU's state is saved
 *   2. reference: the interpreter executes the block, with TLB tables of its own. A page that it writes is copied
 *      first and the copy is written, so nothing of it shows. If it meets what cannot be done twice (a device, a page
 *      with code), it is given up, and this time there is no comparison
 *   3. the state is put back, and the translation executed, for real
 *   4. registers, flags, vector and x87 state, exceptions and the written pages are compared
 *
 * The reference ends where the translation hands over to the interpreter (jit_block.end_uop): system instructions are
 * executed once, in the ordinary way. A translation that hands over earlier, because memory is slow, is completed by
 * the interpreter before the comparison.
 *
 * A page may be read before it is written: then the reference begins again, with the copy from the start, so that no
 * handler holds an address of the original.
 *
 * Status flags that the translation rightly drops (INV-JIT-3) are told apart by looking for what overwrites them in the
 * code that follows: jit_check_flags.c, which knows nothing of jit_flags.c.
 *
 * Devices write to memory meanwhile. A difference counts only if no device has written anything shortly after: a
 * translation that is wrong is so the next time as well.
 */
#include "cpu/soft/jit/jit_check_parts.h"

#include "base/clock.h"
#include "base/err.h"
#include "cpu/soft/jit/jit_emit.h"

#include <inttypes.h>

/* check=on: a block's first executions, and from then on one in so many. */
#define FIRST 32u
#define EVERY 64u
#define REPORTS 8u
#define FOREIGN_WAIT_NS 20000000 /* longer than a device's write and the word of it are apart */

struct jit_check *jit_check_new(void)
{
	struct jit_check *k = aligned_alloc(64, ROUND_UP(sizeof(*k), 64));
	struct check_state *s[] = { &k->start, &k->ref, &k->got };

	must(k);
	memset(k, 0, sizeof(*k));
	for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
		s[i]->c = aligned_alloc(64, ROUND_UP(IMAGE_BYTES, 64));
		must(s[i]->c);
	}
	for (unsigned t = 0; t < TLB_COUNT; t++)
		tlb_begin(k->table[t].e);
	jc_clear(&k->jc);
	return k;
}

void jit_check_free(struct jit_check *k)
{
	if (!k)
		return;
	free(k->start.c);
	free(k->ref.c);
	free(k->got.c);
	free(k);
}

/* ---- state ---- */

static void copy_image(void *to, const void *from)
{
	memcpy(to, from, IMAGE_HOLE);
	memcpy((u8 *)to + IMAGE_HOLE + 4, (const u8 *)from + IMAGE_HOLE + 4, IMAGE_BYTES - IMAGE_HOLE - 4);
}

void check_save(struct check_state *s, const struct soft_cpu *c)
{
	copy_image(s->c, c);
	__asm__ volatile("fxsave64 %0" : "=m"(s->fx));
}

void check_restore(const struct check_state *s, struct soft_cpu *c)
{
	copy_image(c, s->c);
	__asm__ volatile("fxrstor64 %0"
			 :
			 : "m"(s->fx)
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
			   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/* ---- devices ---- */

void jit_check_foreign(struct soft_vm *vm)
{
	for (unsigned i = 0; i < vm->ncpus; i++)
		if (vm->cpu[i]->jit.check)
			atomic_fetch_add_explicit(&vm->cpu[i]->jit.check->foreign, 1, memory_order_relaxed);
}

/* Has a device written anything, or does it say so soon? */
static bool foreign_writes(struct jit_check *k, u32 before)
{
	struct timespec ts = { .tv_nsec = 1000000 };

	for (u64 end = clock_mono_ns() + FOREIGN_WAIT_NS; clock_mono_ns() < end; nanosleep(&ts, NULL))
		if (atomic_load(&k->foreign) != before)
			return true;
	return false;
}

/* ---- a block's turn ---- */

const u8 *check_code(const struct soft_cpu *c, const struct block *b, u8 room[CHECK_CODE_ROOM])
{
	const u8 *p = c->ram->host + b->phys;
	unsigned first = (unsigned)(PAGE_BYTES - (b->phys & ~PAGE_MASK)), all = MIN(b->bytes, CHECK_CODE_ROOM);

	if (b->phys2 == UINT64_MAX || all <= first)
		return p;
	memcpy(room, p, first); /* one instruction: see jit_translate.c */
	memcpy(room + first, c->ram->host + b->phys2, all - first);
	return room;
}

/* Before end_uop, is there what differs from one time to the next, or cannot be done twice? */
static bool repeatable(const struct soft_cpu *c, const struct block *b)
{
	u8 room[CHECK_CODE_ROOM];
	const u8 *p = check_code(c, b, room);
	unsigned end = b->jit.end_uop ? b->op[b->jit.end_uop].rip_off : b->bytes;

	if (b->jit.end_uop == 1)
		return false; /* nothing to compare */
	for (unsigned at = 0; at < end;) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

		if (ZYAN_FAILED(
			ZydisDecoderDecodeFull(&c->vm->decoder[soft_decoder(b->mode)], p + at, end - at, &in, ops)))
			return false;
		switch (in.meta.category) {
		case ZYDIS_CATEGORY_SYSTEM:
		case ZYDIS_CATEGORY_IO:
		case ZYDIS_CATEGORY_IOSTRINGOP:
		case ZYDIS_CATEGORY_RDRAND:
		case ZYDIS_CATEGORY_RDSEED:
			return false;
		default:
			break;
		}
		/* CPUID says whether the APIC is on. */
		if (in.mnemonic == ZYDIS_MNEMONIC_VMCALL || in.mnemonic == ZYDIS_MNEMONIC_VMMCALL ||
		    in.mnemonic == ZYDIS_MNEMONIC_CPUID)
			return false;
		for (unsigned i = 0; i < in.operand_count_visible; i++)
			if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    (ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_CONTROL ||
			     ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_DEBUG))
				return false;
		at += in.length;
	}
	return true;
}

enum { UNKNOWN, CHECKED, NEVER }; /* jit_block.check */

static bool its_turn(const struct soft_cpu *c, struct block *b)
{
	if (b->jit.check == UNKNOWN)
		b->jit.check = repeatable(c, b) ? CHECKED : NEVER;
	if (b->jit.check == NEVER)
		return false;
	u32 n = b->jit.runs++;
	return c->vm->options.check == SOFT_CHECK_ALL || n < FIRST || n % EVERY == 0;
}

static void judge(struct soft_cpu *c, struct jit_check *k, const struct block *b, u32 foreign)
{
	k->compared++;
	if (likely(!check_compare(NULL, c, k, b)))
		return;
	if (foreign_writes(k, foreign)) {
		k->raced++;
		return;
	}
	if (k->differed++ < REPORTS)
		check_report(c, k, b);
	if (c->vm->options.check == SOFT_CHECK_REPORT)
		return;
	if (!k->failed) {
		k->failed = true;
		k->rip = k->start.c->gpr[GPR_BLK];
	}
	core_request(c, PEND_STOP);
}

const struct uop *jit_check_enter(struct soft_cpu *c, struct block *b)
{
	struct jit_check *k = c->jit.check;
	const struct uop *next = NULL;
	const u64 *x = c->jit.n.exit;

	if (!its_turn(c, b)) {
		k->skipped++;
		return jit_enter(c, b);
	}
	u32 foreign = atomic_load(&k->foreign);
	memcpy(&k->jb, &c->jb, sizeof(k->jb));
	k->npages = 0;
	check_save(&k->start, c);
	k->ref.how = check_reference(c, k, b);
	check_save(&k->ref, c);
	check_restore(&k->start, c);

	u64 not_run = x[JX_PENDING] + x[JX_DEAD] + x[JX_VECTOR];
	k->got.how = check_translation(c, k, b, &next);
	check_save(&k->got, c);
	memcpy(&c->jb, &k->jb, sizeof(k->jb));
	/* What came in between may have cut it, or a REP of either side, short. */
	if (k->ref.how == GAVE_UP || k->ref.how == REDO || k->got.how == REDO)
		k->given_up++;
	else if (not_run == x[JX_PENDING] + x[JX_DEAD] + x[JX_VECTOR] && !atomic_load(&c->pending))
		judge(c, k, b, foreign);
	if (k->got.how != RAN)
		_longjmp(c->jb, (int)k->got.how);
	return next;
}

/* ---- what came of it ---- */

bool jit_check_failed(const struct soft_cpu *c, struct err *e)
{
	const struct jit_check *k = c->jit.check;

	if (!k || !k->failed)
		return false;
	err_set(e, EIO,
		"check: translated code at %016" PRIx64 " does not do what the interpreter does; the report is above",
		k->rip);
	return true;
}

void jit_check_stats(const struct soft_cpu *c, FILE *f)
{
	const struct jit_check *k = c->jit.check;

	if (k)
		fprintf(f,
			"cpu%u_check_compared %" PRIu64 "\ncpu%u_check_not_repeatable %" PRIu64
			"\ncpu%u_check_raced %" PRIu64 "\ncpu%u_check_passed_over %" PRIu64
			"\ncpu%u_check_differed %" PRIu64 "\n",
			c->index, k->compared, c->index, k->given_up, c->index, k->raced, c->index, k->skipped,
			c->index, k->differed);
}

void jit_check_report(const struct soft_cpu *c, FILE *f)
{
	const struct jit_check *k = c->jit.check;

	if (k)
		fprintf(f,
			"# check of CPU %u: %" PRIu64 " blocks compared, %" PRIu64 " not repeatable, %" PRIu64
			" in doubt because of devices, %" PRIu64 " passed over, %" PRIu64 " different\n",
			c->index, k->compared, k->given_up, k->raced, k->skipped, k->differed);
}
