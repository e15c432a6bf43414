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
 * code that follows: flags_live(), which knows nothing of jit_flags.c.
 *
 * Devices write to memory meanwhile. A difference counts only if no device has written anything shortly after: a
 * translation that is wrong is so the next time as well.
 */
#include "cpu/soft/jit/jit_check.h"
#include "base/clock.h"
#include "base/err.h"
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/decode/decode.h"

#include <inttypes.h>

/* check=on: a block's first executions, and from then on one in so many. */
#define FIRST 32u
#define EVERY 64u
#define PAGES 32u
#define REPORTS 8u
#define FOREIGN_WAIT_NS 20000000 /* longer than a device's write and the word of it are apart */

/* What is rolled back: of struct soft_cpu all up to the run loop's, but pending. */
#define IMAGE_BYTES offsetof(struct soft_cpu, jb)
#define IMAGE_HOLE offsetof(struct soft_cpu, pending)

enum outcome { RAN, RAISED, REDO, GAVE_UP, AGAIN }; /* the values of longjmp() */

struct page {
	u8 *host;
	u8 before[PAGE_BYTES] __attribute__((aligned(64)));
	u8 copy[PAGE_BYTES] __attribute__((aligned(64)));
};

struct state_file {
	struct soft_cpu *c; /* IMAGE_BYTES of one */
	u8 fx[512] __attribute__((aligned(64)));
	enum outcome how;
};

struct jit_check {
	struct state_file start, ref, got;
	jmp_buf jb; /* the run loop's */
	struct tlb_table table[TLB_COUNT];
	struct jc_table jc; /* empty: a branch leaves */
	struct uop op[BLOCK_UOPS_MAX + 1];
	bool stopped; /* at end_uop; else a branch was taken before */
	unsigned npages;
	struct page page[PAGES];
	_Atomic u32 foreign;
	bool failed;
	u64 rip; /* of the block that failed */
	u64 compared, given_up, raced, skipped, differed;
};

struct jit_check *jit_check_new(void)
{
	struct jit_check *k = aligned_alloc(64, ROUND_UP(sizeof(*k), 64));
	struct state_file *s[] = { &k->start, &k->ref, &k->got };

	must(k);
	memset(k, 0, sizeof(*k));
	for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
		s[i]->c = aligned_alloc(64, ROUND_UP(IMAGE_BYTES, 64));
		must(s[i]->c);
	}
	for (unsigned t = 0; t < TLB_COUNT; t++)
		for (unsigned i = 0; i < TLB_SIZE; i++)
			k->table[t].e[i] = (struct tlb_entry){ TLB_NONE, TLB_NONE, TLB_NONE, 0 };
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

/* x87 and MXCSR are in the host's registers, xmm registers nobody's (c->vec has them). */
static void save(struct state_file *s, const struct soft_cpu *c)
{
	copy_image(s->c, c);
	__asm__ volatile("fxsave64 %0" : "=m"(s->fx));
}

static void restore(const struct state_file *s, struct soft_cpu *c)
{
	copy_image(c, s->c);
	__asm__ volatile("fxrstor64 %0"
			 :
			 : "m"(s->fx)
			 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
			   "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/* ---- the reference ---- */

static void table_empty(struct tlb_table *t)
{
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;

	for (u32 i = 0; i < n; i++) {
		struct tlb_entry *e = &t->e[listed ? t->filled[i] : i];
		e->rtag = e->wtag = e->xtag = TLB_NONE;
	}
	t->nfilled = 0;
}

/* Is there an entry for reading the page? */
static bool was_read(const struct tlb_table *t, u64 host)
{
	bool listed = t->nfilled <= TLB_LIST;
	u32 n = listed ? t->nfilled : TLB_SIZE;

	for (u32 i = 0; i < n; i++) {
		const struct tlb_entry *e = &t->e[listed ? t->filled[i] : i];
		if (e->rtag != TLB_NONE && e->rtag + e->addend == host)
			return true;
	}
	return false;
}

void jit_check_no_effects(struct soft_cpu *c)
{
	if (c->jit.ref)
		_longjmp(c->jb, GAVE_UP);
}

static struct page *page_of(struct jit_check *k, const u8 *host)
{
	for (unsigned i = 0; i < k->npages; i++)
		if (k->page[i].host == host)
			return &k->page[i];
	return NULL;
}

u8 *jit_check_view(struct soft_cpu *c, u8 *host)
{
	u64 off = (u64)(host - c->ram->host) & (PAGE_BYTES - 1);
	const struct page *p = page_of(c->jit.ref, host - off);

	return p ? (u8 *)(uintptr_t)p->copy + off : host;
}

u8 *jit_check_page(struct soft_cpu *c, u8 *host, bool write)
{
	struct jit_check *k = c->jit.ref;
	struct page *p = page_of(k, host);

	if (p)
		return p->copy;
	if (!write)
		return host;
	if ((cache_page_flags(c->vm, (u64)(host - c->ram->host) >> PAGE_SHIFT) & PAGE_CODE) || k->npages == PAGES)
		_longjmp(c->jb, GAVE_UP);
	p = &k->page[k->npages++];
	p->host = host;
	memcpy(p->before, host, PAGE_BYTES);
	memcpy(p->copy, p->before, PAGE_BYTES);
	for (unsigned t = 0; t < TLB_COUNT; t++)
		if (was_read(&k->table[t], (u64)(uintptr_t)host))
			_longjmp(c->jb, AGAIN);
	return p->copy;
}

/* Behind the uops to execute. */
static void stop_here(struct soft_cpu *c, const struct uop *op)
{
	c->rip = c->gpr[GPR_BLK] + op->rip_off;
	c->jit.check->stopped = true;
}

/* Does it go on by a remembered block (GOTO_LINK64)? All that do must be here. */
static bool is_link(const struct soft_cpu *c, uop_fn *fn)
{
	if (fn == op_jmp64_link || fn == op_call64_link || fn == c->vm->ends->last_link)
		return true;
	for (unsigned cc = 0; cc < 16; cc++)
		if (fn == exec_jcc64[cc][1])
			return true;
	return false;
}

/* Have the interpreter execute b's uops from `from` on, up to `end` (0: to its end, which sets c->rip). */
static void interpret(struct soft_cpu *c, struct jit_check *k, const struct block *b, unsigned from, unsigned end)
{
	for (unsigned i = from; i < b->nops; i++) {
		k->op[i] = b->op[i];
		if (is_link(c, k->op[i].fn))
			k->op[i].ptr = NULL;
	}
	if (end)
		k->op[end].fn = stop_here;
	c->jc = c->jcs[0] = c->jcs[1] = k->jc.e;
	k->stopped = false;
	c->jit.in_uop = true;
	k->op[from].fn(c, &k->op[from]);
	c->jit.in_uop = false;
}

static noinline_ enum outcome reference(struct soft_cpu *c, struct jit_check *k, const struct block *b)
{
	enum outcome how = (enum outcome)_setjmp(c->jb);

	if (how == AGAIN) {
		restore(&k->start, c);
		for (unsigned i = 0; i < k->npages; i++)
			memcpy(k->page[i].copy, k->page[i].before, PAGE_BYTES);
	}
	if (how == RAN || how == AGAIN) {
		unsigned way = mmu_index(c);
		for (unsigned t = 0; t < TLB_COUNT; t++) {
			table_empty(&k->table[t]);
			c->tlbs[t] = k->table[t].e;
		}
		c->tlb = c->tlbs[way];
		c->jit.ref = k;
		interpret(c, k, b, 1, b->jit.end_uop);
		how = RAN;
	}
	c->jit.ref = NULL;
	c->jit.in_uop = false;
	return how;
}

/* ---- the translation ---- */

/* ... and *next is the uop to go on with, NULL: at c->rip. */
static noinline_ enum outcome translation(struct soft_cpu *c, struct jit_check *k, struct block *b,
					  const struct uop **next)
{
	struct jc_entry *jc = c->jc, *jcs[2] = { c->jcs[0], c->jcs[1] };
	enum outcome how = (enum outcome)_setjmp(c->jb);

	if (how == RAN) {
		const struct uop *op = jit_enter(c, b);
		*next = op;
		if (op && op == &b->op[b->jit.end_uop]) {
			c->rip = c->gpr[GPR_BLK] + op->rip_off;
		} else if (op) {
			interpret(c, k, b, (unsigned)(op - b->op), b->jit.end_uop);
			*next = k->stopped ? &b->op[b->jit.end_uop] : NULL;
			c->jc = jc;
			memcpy(c->jcs, jcs, sizeof(jcs));
		}
	} else {
		c->jc = k->start.c->jc;
		memcpy(c->jcs, k->start.c->jcs, sizeof(c->jcs));
	}
	c->jit.in_uop = false;
	return how;
}

/* ---- which flags matter ---- */

/* Does it keep flags when it counts to zero? */
static bool may_keep_flags(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	if (in->meta.category == ZYDIS_CATEGORY_SHIFT || in->meta.category == ZYDIS_CATEGORY_ROTATE) {
		const ZydisDecodedOperand *n = &ops[in->operand_count_visible - 1];
		return n->type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
		       !(n->imm.value.u & (in->operand_width == 64 ? 63 : 31));
	}
	return in->meta.category == ZYDIS_CATEGORY_STRINGOP &&
	       (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
}

#define PATHS 32u
/*
 * Status flags that may be read by the code at page offset `at` before they are overwritten: what some path carries
 * to a reader, or out of sight. Each instruction is looked at again only for flags that it has not been looked at for.
 */
static u32 flags_live(const struct soft_vm *vm, const u8 *page, s64 at)
{
	struct {
		s64 at;
		u32 flags;
	} todo[PATHS];
	u16 seen[PAGE_BYTES] = { 0 };
	unsigned n = 0, budget = 4000;
	u32 live = 0, carried = FL_STATUS;

	for (;;) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		u8 bytes[15] = { 0 };
		bool out = at < 0 || at >= (s64)PAGE_BYTES || !budget--;

		carried &= ~live;
		if (!out) {
			carried &= ~(u32)seen[at];
			seen[at] |= (u16)carried;
			memcpy(bytes, page + at, MIN(sizeof(bytes), PAGE_BYTES - (u64)at));
			out =
			    carried &&
			    (ZYAN_FAILED(ZydisDecoderDecodeFull(&vm->decoder[0], bytes, sizeof(bytes), &in, ops)) ||
			     in.meta.category == ZYDIS_CATEGORY_SYSCALL || in.meta.category == ZYDIS_CATEGORY_SYSTEM ||
			     in.meta.category == ZYDIS_CATEGORY_INTERRUPT ||
			     in.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR);
		}
		if (!out && carried) {
			if (in.cpu_flags) {
				live |= in.cpu_flags->tested & carried;
				if (!may_keep_flags(&in, ops))
					carried &= ~(in.cpu_flags->modified | in.cpu_flags->set_0 |
						     in.cpu_flags->set_1 | in.cpu_flags->undefined);
			}
			carried &= ~live;
			at += in.length;
			if (in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE) {
				bool jump = in.meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
					    in.meta.category == ZYDIS_CATEGORY_CALL ||
					    in.meta.category == ZYDIS_CATEGORY_RET;
				out = ops[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
				      in.meta.category == ZYDIS_CATEGORY_RET || (!jump && n == PATHS);
				if (!out && !jump) {
					todo[n].at = at;
					todo[n++].flags = carried;
				}
				if (!out)
					at += ops[0].imm.value.s;
			}
		}
		if (out)
			live |= carried;
		if (!out && carried)
			continue;
		if (!n)
			return live;
		at = todo[--n].at;
		carried = todo[n].flags;
	}
}

/*
 * What the block's instructions up to c->rip leave undefined is this processor's choice in translated code, and another
 * one's, perhaps, in the interpreter. (A guest that reads it differs then; that shows up as a difference.)
 */
static u32 flags_undefined(const struct soft_cpu *c, const struct block *b)
{
	const u8 *p = c->ram->host + b->phys;
	u64 end = c->rip - c->gpr[GPR_BLK];
	u32 undefined = 0, left = 0; /* left: at branches, any of which may have led to c->rip */

	for (unsigned at = 0; at < MIN(end, b->bytes);) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&c->vm->decoder[0], p + at, b->bytes - at, &in, ops)))
			break;
		if (in.cpu_flags) {
			if (!may_keep_flags(&in, ops))
				undefined &= ~(in.cpu_flags->modified | in.cpu_flags->set_0 | in.cpu_flags->set_1);
			undefined |= in.cpu_flags->undefined;
			/* The manuals' "undefined for other counts" */
			if (in.meta.category == ZYDIS_CATEGORY_SHIFT || in.meta.category == ZYDIS_CATEGORY_ROTATE)
				undefined |= FL_OF | FL_AF;
			if ((in.mnemonic == ZYDIS_MNEMONIC_SHLD || in.mnemonic == ZYDIS_MNEMONIC_SHRD) &&
			    in.operand_width == 16)
				undefined |= FL_STATUS;
		}
		at += in.length;
		if (in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE)
			left |= undefined;
	}
	return (undefined | left) & FL_STATUS;
}

static u32 flags_compared(const struct soft_cpu *c, const struct block *b)
{
	const u8 *page = c->ram->host + (b->phys & PAGE_MASK);
	u32 flags = FL_STATUS & ~flags_undefined(c, b);

	if (c->vm->options.translate == SOFT_TRANSLATE_EXACT || ((c->rip ^ c->gpr[GPR_BLK]) & PAGE_MASK))
		return flags;
	return flags & flags_live(c->vm, page, (s64)(c->rip & ~PAGE_MASK));
}

/* ---- comparing; a line for each difference goes to f, if there is one ---- */

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					   "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

static unsigned differ(FILE *f, const char *what, u64 ref, u64 got)
{
	if (ref == got)
		return 0;
	if (f)
		fprintf(f, "  %-14s interpreter %016" PRIx64 "  translated %016" PRIx64 "\n", what, ref, got);
	return 1;
}

static unsigned compare_bytes(FILE *f, const char *what, unsigned nr, const u8 *ref, const u8 *got, unsigned bytes)
{
	char name[32];
	unsigned n = 0;

	for (unsigned i = 0; i < bytes; i += 8)
		if (memcmp(ref + i, got + i, MIN(8u, bytes - i))) {
			u64 a = 0, b = 0;
			memcpy(&a, ref + i, MIN(8u, bytes - i));
			memcpy(&b, got + i, MIN(8u, bytes - i));
			snprintf(name, sizeof(name), "%s%u[%u]", what, nr, i / 8);
			n += differ(f, name, a, b);
		}
	return n;
}

static unsigned compare_exceptions(FILE *f, const struct state_file *ref, const struct state_file *got)
{
	const struct soft_cpu *r = ref->c, *g = got->c;
	unsigned n = 0;

	if (ref->how != got->how || ref->how != RAISED) {
		if (ref->how == got->how)
			return 0;
		return differ(f, "exception", ref->how == RAISED ? r->exc.vec : 0x100u + ref->how,
			      got->how == RAISED ? g->exc.vec : 0x100u + got->how);
	}
	n += differ(f, "exception", r->exc.vec, g->exc.vec);
	if (r->exc.has_error || g->exc.has_error)
		n += differ(f, "error code", r->exc.error, g->exc.error);
	if (r->exc.vec == EXC_PF)
		n += differ(f, "cr2", r->exc.cr2, g->exc.cr2);
	return n;
}

static unsigned compare_registers(FILE *f, const struct state_file *ref, const struct state_file *got, u32 flags)
{
	const struct soft_cpu *r = ref->c, *g = got->c;
	unsigned n = 0;

	for (unsigned i = 0; i < 16; i++)
		n += differ(f, gpr_names[i], r->gpr[i], g->gpr[i]);
	n += differ(f, "rip", r->rip, g->rip);
	n += differ(f, "status flags", soft_get_status(r) & flags, soft_get_status(g) & flags);
	n += differ(f, "other flags", r->sysflags, g->sysflags);
	n += differ(f, "mode", r->mode, g->mode);
	n += differ(f, "cpl", r->cpl, g->cpl);
	n += differ(f, "int. shadow", r->shadow, g->shadow);
	n += differ(f, "cr0", r->cr0, g->cr0);
	n += differ(f, "cr4", r->cr4, g->cr4);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		n += compare_bytes(f, "segment ", i, (const u8 *)&r->seg[i].sel, (const u8 *)&g->seg[i].sel, 2);
		n += differ(f, "segment base", r->seg[i].base, g->seg[i].base);
	}
	for (unsigned i = 0; i < 16; i++)
		n += compare_bytes(f, "ymm", i, r->vec[i], g->vec[i], 32);
	n += differ(f, "x87 control", ld_le16(ref->fx), ld_le16(got->fx));
	n += differ(f, "x87 status", ld_le16(ref->fx + 2), ld_le16(got->fx + 2));
	n += differ(f, "x87 tags", ref->fx[4], got->fx[4]);
	n += differ(f, "mxcsr", ld_le32(ref->fx + 24), ld_le32(got->fx + 24));
	for (unsigned i = 0; i < 8; i++)
		n += compare_bytes(f, "st", i, ref->fx + 32 + 16 * i, got->fx + 32 + 16 * i, 10);
	n += differ(f, "x87 rip", r->fip, g->fip);
	n += differ(f, "x87 opcode", r->fop, g->fop);
	return n;
}

static unsigned compare_memory(FILE *f, const struct soft_cpu *c, const struct jit_check *k)
{
	unsigned n = 0;

	for (unsigned p = 0; p < k->npages; p++) {
		const struct page *pg = &k->page[p];
		if (likely(!memcmp(pg->copy, pg->host, PAGE_BYTES)))
			continue;
		for (unsigned i = 0; i < PAGE_BYTES; i += 8) {
			if (!memcmp(pg->copy + i, pg->host + i, 8))
				continue;
			n++;
			if (f)
				fprintf(f,
					"  ram %010" PRIx64 " was %016" PRIx64 "  interpreter %016" PRIx64
					"  translated %016" PRIx64 "\n",
					(u64)(pg->host - c->ram->host) + i, ld_le64(pg->before + i),
					ld_le64(pg->copy + i), ld_le64(pg->host + i));
		}
	}
	return n;
}

static unsigned compare(FILE *f, const struct soft_cpu *c, const struct jit_check *k, const struct block *b)
{
	u32 flags = FL_STATUS;
	unsigned n = compare_exceptions(f, &k->ref, &k->got);

	if (((k->ref.c->fl ^ k->got.c->fl) & 0xd501u) != 0)
		flags = flags_compared(c, b);
	return n + compare_registers(f, &k->ref, &k->got, flags) + compare_memory(f, c, k);
}

/* ---- the report ---- */

static void disassemble(FILE *f, const struct soft_vm *vm, const u8 *p, u64 bytes, u64 rip)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisFormatter fmt;
	char text[160];

	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	for (u64 at = 0; at < bytes;) {
		unsigned len = 1;
		snprintf(text, sizeof(text), "(data)");
		if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&vm->decoder[0], p + at, MIN(15u, bytes - at), &in, ops))) {
			len = in.length;
			ZydisFormatterFormatInstruction(&fmt, &in, ops, in.operand_count_visible, text, sizeof(text),
							rip + at, NULL);
		}
		fprintf(f, "  %016" PRIx64 "  %-52s", rip + at, text);
		for (unsigned i = 0; i < len; i++)
			fprintf(f, " %02x", p[at + i]);
		fputc('\n', f);
		at += len;
	}
}

static void print_state(FILE *f, const char *what, const struct soft_cpu *s)
{
	fprintf(f, "%s\n", what);
	for (unsigned i = 0; i < 16; i++)
		fprintf(f, "  %-3s %016" PRIx64 "%s", gpr_names[i], s->gpr[i], i % 4 == 3 ? "\n" : "");
	fprintf(f, "  rip %016" PRIx64 "  rflags %08x  cpl %u\n", s->rip, s->sysflags | soft_get_status(s), s->cpl);
}

static void report(struct soft_cpu *c, struct jit_check *k, const struct block *b)
{
	u64 rip = k->start.c->gpr[GPR_BLK];

	fprintf(stderr,
		"translator check: the block at %016" PRIx64
		" (%s) does not do what the interpreter does, after %" PRIu64 " comparisons\n",
		rip, b->jit.mode == TLB_USER ? "user" : "kernel", k->compared);
	compare(stderr, c, k, b);
	fprintf(stderr, "guest code\n");
	disassemble(stderr, c->vm, c->ram->host + b->phys, b->bytes, rip);
	k->start.c->rip = rip;
	print_state(stderr, "state before", k->start.c);
	print_state(stderr, "after the interpreter", k->ref.c);
	print_state(stderr, "after translated code", k->got.c);
	fprintf(stderr, "host code from its far entry (data of calls in between)\n");
	disassemble(stderr, c->vm, b->jit.far, b->jit.bytes, (u64)(uintptr_t)b->jit.far);
}

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

/* Before end_uop, is there what differs from one time to the next, or cannot be done twice? */
static bool repeatable(const struct soft_cpu *c, const struct block *b)
{
	const u8 *p = c->ram->host + b->phys;
	unsigned end = b->jit.end_uop ? b->op[b->jit.end_uop].rip_off : b->bytes;

	if (b->jit.end_uop == 1)
		return false; /* nothing to compare */
	for (unsigned at = 0; at < end;) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&c->vm->decoder[0], p + at, end - at, &in, ops)))
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
	if (likely(!compare(NULL, c, k, b)))
		return;
	if (foreign_writes(k, foreign)) {
		k->raced++;
		return;
	}
	if (k->differed++ < REPORTS)
		report(c, k, b);
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
	save(&k->start, c);
	k->ref.how = reference(c, k, b);
	save(&k->ref, c);
	restore(&k->start, c);

	u64 not_run = x[JX_PENDING] + x[JX_DEAD] + x[JX_VECTOR];
	k->got.how = translation(c, k, b, &next);
	save(&k->got, c);
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
