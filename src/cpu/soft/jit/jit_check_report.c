/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_check_report.c - the self-check: what differs, and telling it. */
#include "cpu/soft/jit/jit_check_parts.h"

#include "cpu/soft/jit/jit_emit.h"

#include <inttypes.h>

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

static unsigned compare_exceptions(FILE *f, const struct check_state *ref, const struct check_state *got)
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

static unsigned compare_registers(FILE *f, const struct check_state *ref, const struct check_state *got, u32 flags)
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
		const struct check_page *pg = &k->page[p];
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

unsigned check_compare(FILE *f, const struct soft_cpu *c, const struct jit_check *k, const struct block *b)
{
	u32 flags = FL_STATUS;
	unsigned n = compare_exceptions(f, &k->ref, &k->got);

	if (((k->ref.c->fl ^ k->got.c->fl) & 0xd501u) != 0)
		flags = check_flags(c, b);
	return n + compare_registers(f, &k->ref, &k->got, flags) + compare_memory(f, c, k);
}

static void disassemble(FILE *f, const struct soft_vm *vm, const u8 *p, u64 bytes, u64 rip, unsigned decoder)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisFormatter fmt;
	char text[160];

	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	for (u64 at = 0; at < bytes;) {
		unsigned len = 1;
		snprintf(text, sizeof(text), "(data)");
		if (ZYAN_SUCCESS(
			ZydisDecoderDecodeFull(&vm->decoder[decoder], p + at, MIN(15u, bytes - at), &in, ops))) {
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

void check_report(struct soft_cpu *c, struct jit_check *k, const struct block *b)
{
	u64 rip = k->start.c->gpr[GPR_BLK];
	u8 room[CHECK_CODE_ROOM];

	fprintf(stderr,
		"translator check: the block at %016" PRIx64
		" (%s) does not do what the interpreter does, after %" PRIu64 " comparisons\n",
		rip, b->jit.mode == TLB_USER ? "user" : "kernel", k->compared);
	check_compare(stderr, c, k, b);
	fprintf(stderr, "guest code\n");
	disassemble(stderr, c->vm, check_code(c, b, room), b->bytes, rip, soft_decoder(b->mode));
	k->start.c->rip = rip;
	print_state(stderr, "state before", k->start.c);
	print_state(stderr, "after the interpreter", k->ref.c);
	print_state(stderr, "after translated code", k->got.c);
	fprintf(stderr, "host code from its far entry (data of calls in between)\n");
	disassemble(stderr, c->vm, b->jit.far, b->jit.bytes, (u64)(uintptr_t)b->jit.far, 0);
}
