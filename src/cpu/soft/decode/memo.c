/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memo.c - see memo.h. */
#include "cpu/soft/decode/memo.h"
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/give_back.h"

#include <sys/mman.h>

#define MEMO_BITS 12
#define MEMO_SIZE (1u << MEMO_BITS)
#define KEPT_BYTES (sizeof(struct memo_insn) + MEMO_OPS * sizeof(ZydisDecodedOperand))
#define ANY_BYTES (sizeof(struct memo_insn) + ZYDIS_MAX_OPERAND_COUNT * sizeof(ZydisDecodedOperand))

struct decode_memo {
	struct memo e[MEMO_SIZE], none; /* none: stands for what is not kept */
	u8 insn[MEMO_SIZE][KEPT_BYTES];
	_Alignas(16) u8 fresh[2][ANY_BYTES]; /* decoded just now; and with other constants */
};
_Static_assert(KEPT_BYTES % 8 == 0, "aligned one by one");

struct decode_memo *memo_new(void)
{
	/* What is not used takes no memory. */
	void *m = mmap(NULL, sizeof(struct decode_memo), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(m != MAP_FAILED);
	return m;
}

void memo_free(struct decode_memo *m)
{
	if (m)
		munmap(m, sizeof(*m));
}

void memo_give_back(struct decode_memo *m)
{
	give_back(m, sizeof(*m));
}

static struct memo_insn *kept(const struct decode_memo *m, const struct memo *e)
{
	return (struct memo_insn *)(uintptr_t)m->insn[e - m->e];
}

static struct memo_insn *fresh(const struct decode_memo *m, unsigned k)
{
	return (struct memo_insn *)(uintptr_t)m->fresh[k];
}

/* A hash of prefixes, opcode, ModRM and SIB, without the constants. If it guesses these wrong, entries only collide. */
static unsigned hash(const u8 *p, unsigned code)
{
	u32 h = code, i = 0;
	bool modrm;

	while (i < 4 && (p[i] == 0x66 || p[i] == 0xf2 || p[i] == 0xf3 || (p[i] & 0xf0) == 0x40))
		h = h * 31 + p[i++];
	u8 op = p[i++];
	if (op == 0x0f) {
		op = p[i++];
		h += 0x1000;
		modrm = (op & 0xf0) != 0x80;
	} else {
		modrm = (op < 0x40 && (op & 7) < 4) || (op & 0xf0) == 0x80 || op == 0x63 || op == 0x69 || op == 0x6b ||
			(op & 0xfe) == 0xc0 || (op & 0xfc) == 0xc4 || (op & 0xf0) == 0xd0 || (op & 0xf6) == 0xf6;
	}
	h = h * 31 + op;
	if (modrm) {
		h = h * 257 + p[i] + 1;
		if ((p[i] & 7) == 4 && p[i] < 0xc0) /* SIB */
			h = h * 257 + p[i + 1];
	}
	return (h * 0x9e3779b1u) >> (32 - MEMO_BITS);
}

/* Replace i's constants by those in bytes. */
static void replace(const struct memo *e, struct memo_insn *i, const u8 *bytes)
{
	if (e->disp_bytes) {
		i->in.raw.disp.value = (s64)memo_constant(bytes + e->disp_at, e->disp_bytes, true);
		if (e->disp_op != MEMO_NONE)
			i->ops[e->disp_op].mem.disp.value = i->in.raw.disp.value;
	}
	if (e->imm_bytes)
		i->in.raw.imm[0].value.u = i->ops[e->imm_op].imm.value.u =
		    memo_constant(bytes + e->imm_at, e->imm_bytes, e->imm_signed);
}

/* Find i's constants that can be replaced, and the key of its other bytes. False: it cannot be kept. */
static bool take_apart(struct memo *e, const struct memo_insn *i, const u8 *bytes)
{
	const ZydisDecodedInstruction *in = &i->in;
	unsigned imms = 0, disps = 0;

	e->disp_op = e->imm_op = MEMO_NONE;
	for (unsigned k = 0; k < in->operand_count; k++) {
		if (i->ops[k].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			e->imm_op = (u8)k;
			imms++;
		}
		if (i->ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY && i->ops[k].mem.disp.has_displacement) {
			e->disp_op = (u8)k;
			disps++;
		}
	}
	if (in->operand_count > MEMO_OPS || disps > 1 ||
	    (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX))
		return false;
	e->len = in->length;
	if (in->raw.disp.size) {
		e->disp_at = in->raw.disp.offset;
		e->disp_bytes = in->raw.disp.size / 8;
	}
	/* In other maps an immediate may select what the instruction does. */
	if (imms == 1 && in->raw.imm[0].size && !in->raw.imm[1].size &&
	    in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    (in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT || in->raw.imm[0].is_relative)) {
		e->imm_at = in->raw.imm[0].offset;
		e->imm_bytes = in->raw.imm[0].size / 8;
		e->imm_signed = in->raw.imm[0].is_signed;
	}
	for (unsigned k = 0; k < e->len; k++) {
		if (k - e->disp_at < e->disp_bytes || k - e->imm_at < e->imm_bytes)
			continue;
		if (k >= 8)
			return false;
		e->mask |= 0xffull << (k * 8);
	}
	e->key = ld_le64(bytes) & e->mask;
	return true;
}

static bool same(const struct memo_insn *a, const struct memo_insn *b)
{
	return !memcmp(&a->in, &b->in, sizeof(a->in)) &&
	       !memcmp(a->ops, b->ops, a->in.operand_count * sizeof(a->ops[0]));
}

/* Is its uop the same wherever the instruction stands? */
static bool anywhere(const struct memo_insn *i)
{
	if (i->in.raw.imm[0].is_relative || i->in.raw.imm[1].is_relative)
		return false;
	for (unsigned k = 0; k < i->in.operand_count; k++)
		if (i->ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (i->ops[k].mem.base == ZYDIS_REGISTER_RIP || i->ops[k].mem.base == ZYDIS_REGISTER_EIP))
			return false;
	return true;
}

static bool one_uop(const struct soft_cpu *c, unsigned code, const struct memo_insn *i, const u8 *bytes, struct uop *u,
		    bool *end)
{
	struct uop three[3];
	struct decode d = { .c = c,
			    .mode = code == 0   ? MODE_CODE64
				    : code == 1 ? MODE_CODE32
						: 0,
			    .insn = &i->in,
			    .ops = i->ops,
			    .bytes = bytes,
			    .page_off = DECODE_NO_PAGE,
			    .u = three };

	memset(three, 0, sizeof(three));
	decode_begin(&d);
	if (!decode_insn(&d) || d.nu != 1)
		return false;
	*u = three[0];
	*end = d.end;
	return true;
}

/* Keep a's uop if INV-MEMO-1 holds for it. b is the same instruction with the other constants. */
static void learn_uop(const struct soft_cpu *c, struct memo *e, const struct memo_insn *a, const struct memo_insn *b,
		      const u8 *bytes, const u8 *other)
{
	struct uop ua, ub, u;
	bool enda, endb;

	/* An address of eight bytes goes to disp or to imm, depending on its value: not kept. */
	if (e->disp_bytes > 4 || !anywhere(a) || !one_uop(c, e->code, a, bytes, &ua, &enda) ||
	    !one_uop(c, e->code, b, other, &ub, &endb) || enda != endb)
		return;
	e->u = ua;
	e->end = enda;
	e->uop_disp = e->disp_bytes;
	e->uop_imm = e->imm_bytes;
	e->has_uop = true;
	e->has_uop = memo_uop(e, bytes, &u) && !memcmp(&u, &ua, sizeof(u)) && memo_uop(e, other, &u) &&
		     !memcmp(&u, &ub, sizeof(u));
}

/* Keep the instruction at bytes, if it can be kept. */
static bool learn(const struct soft_cpu *c, struct memo *e, unsigned code, const u8 *bytes)
{
	const ZydisDecoder *dec = &c->vm->decoder[code];
	struct memo_insn *a = fresh(c->memo, 0), *b = fresh(c->memo, 1), *k = kept(c->memo, e);
	u8 other[MEMO_BYTES];

	*e = (struct memo){ .code = (u8)code };
	if (!take_apart(e, a, bytes))
		goto not ;
	memcpy(other, bytes, sizeof(other));
	for (unsigned n = 0; n < e->disp_bytes; n++)
		other[e->disp_at + n] ^= 0xff;
	for (unsigned n = 0; n < e->imm_bytes; n++)
		other[e->imm_at + n] ^= 0xff;
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(dec, other, e->len, &b->in, b->ops)))
		goto not ;
	memcpy(k, a, sizeof(*a) + a->in.operand_count * sizeof(a->ops[0]));
	replace(e, k, bytes);
	if (!same(k, a))
		goto not ;
	replace(e, k, other);
	if (!same(k, b))
		goto not ;
	learn_uop(c, e, a, b, bytes, other);
	return true;
	not : *e = (struct memo){ 0 };
	return false;
}

struct memo *memo_find(const struct soft_cpu *c, unsigned code, const u8 *bytes, unsigned room, ZyanStatus *st)
{
	struct decode_memo *m = c->memo;
	struct memo *e = &m->e[hash(bytes, code)];

	*st = ZYAN_STATUS_SUCCESS;
	if (likely(e->mask && (ld_le64(bytes) & e->mask) == e->key && e->code == code && e->len <= room)) {
		e->used = true;
		return e;
	}
	struct memo_insn *i = fresh(m, 0);
	*st = ZydisDecoderDecodeFull(&c->vm->decoder[code], bytes, room, &i->in, i->ops);
	if (ZYAN_FAILED(*st))
		return &m->none;
	/* An entry that was used since the last collision stays this time. */
	if (e->used) {
		e->used = false;
		return &m->none;
	}
	return learn(c, e, code, bytes) ? e : &m->none;
}

const struct memo_insn *memo_insn(const struct soft_cpu *c, const struct memo *e, const u8 *bytes)
{
	if (!e->mask)
		return fresh(c->memo, 0);
	struct memo_insn *i = kept(c->memo, e);
	replace(e, i, bytes);
	return i;
}

void memo_copy(ZydisDecodedInstruction *in, ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT],
	       const struct memo_insn *from)
{
	unsigned n = from->in.operand_count;

	*in = from->in;
	memcpy(ops, from->ops, n * sizeof(*ops));
	memset(ops + n, 0, (ZYDIS_MAX_OPERAND_COUNT - n) * sizeof(*ops));
}
