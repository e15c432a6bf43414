/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jit_flags_test.c - what the translator believes of instructions and flags (jit_flags_of()), against the host CPU:
 * every opcode with every /digit, prefix and a few immediates and operands is executed with different flags coming in.
 *
 *   - flags that are not said to be read change nothing but themselves
 *   - flags that are said to be overwritten come out the same, whatever they were
 *   - an instruction that is said to write none leaves all alone
 */
#include "harness.h"
#include "cpu/soft/jit/jit_emit.h"

static unsigned bad, executed, instructions;

static void complain(const u8 *code, unsigned n, const char *what, u32 flags)
{
	if (++bad > 20)
		return;
	printf("%s: flags %x\n", what, flags);
	hx_disasm(stdout, code, n, HX_CODE);
}

static void state(struct hx_state *s, unsigned variant)
{
	static const u64 values[4][4] = {
		{ 0, 1, 0x80, 0x7fffffffffffffff },
		{ 0x8000000000000001, 0, 0xff, 3 },
		{ 0x12345678, 0x1f, ~0ull, 0x100 },
		{ 5, 0x21, 0x8000000080008080, 0 },
	};

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = values[variant][(i * 7 + i / 4) & 3];
	s->gpr[1] = variant == 0 ? 0 : variant == 1 ? 1 : variant == 2 ? 0x1f : 0x41; /* counts */
	s->gpr[3] = HX_DATA + 512;
	s->gpr[4] = HX_DATA + 1024;
	s->gpr[5] = s->gpr[6] = s->gpr[7] = HX_DATA + 2048;
	st_le16(s->fx, 0x37f);
	st_le32(s->fx + 24, 0x1f80);
	st_le32(s->fx + 28, 0xffff);
	for (unsigned i = 0; i < HX_DATA_BYTES; i += 8)
		st_le64(s->data + i, values[variant][i / 8 & 3]);
}

/* The whole outcome but the status flags. */
static bool same(const struct hx_state *a, const struct hx_state *b)
{
	return !memcmp(a->gpr, b->gpr, sizeof(a->gpr)) && a->rip == b->rip && a->vec == b->vec &&
	       !memcmp(a->ymm, b->ymm, sizeof(a->ymm)) && !memcmp(a->data, b->data, sizeof(a->data));
}

/* What is wrong with that, on the host CPU itself, when the flags in `flip` come in the other way. NULL: nothing. */
static const char *wrong(const u8 *code, unsigned n, const struct jflags *f, struct hx_state *in, u32 fixed, u32 flip,
			 u32 *flags)
{
	static struct hx_state a, b;

	in->rflags = 0x202 | fixed;
	hx_native(code, n, 64, in, &a);
	in->rflags = 0x202 | fixed | flip;
	hx_native(code, n, 64, in, &b);
	executed++;
	u32 out = (u32)(a.rflags ^ b.rflags) & FL_STATUS;
	if (a.vec != 3)
		return NULL;
	if (!same(&a, &b))
		return *flags = flip, "reads more than it is said to";
	if (out & f->kill)
		return *flags = out & f->kill, "does not always overwrite";
	if (out & ~flip)
		return *flags = out & ~flip, "takes flags from others";
	if (!f->writes && ((b.rflags ^ in->rflags) & FL_STATUS))
		return *flags = (u32)(b.rflags ^ in->rflags) & FL_STATUS, "writes flags";
	return NULL;
}

/* What differs once and not again is not the instruction's doing: hosts that are virtual machines were seen to raise
 * #UD now and then, where an instruction leaves RSP with no stack behind it. */
#define TRIES 4

static void try(const u8 *code, unsigned n, const struct jflags *f)
{
	static const u16 patterns[] = { FL_STATUS, FL_ZF | FL_PF };
	static struct hx_state in;

	for (unsigned v = 0; v < 4; v++) {
		state(&in, v);
		for (unsigned read = 0; read < 2; read++) {
			u32 fixed = read ? f->read : 0; /* what is read is 0 or 1 on both sides */
			for (unsigned p = 0; p < ARRAY_LEN(patterns); p++) {
				const char *what = "";
				u32 flags = 0;
				for (unsigned t = 0; t < TRIES && what; t++)
					what = wrong(code, n, f, &in, fixed, patterns[p] & ~(u32)f->read, &flags);
				if (what)
					complain(code, n, what, flags);
			}
		}
	}
}

/* Its length; 0: not looked at. */
static unsigned one(const u8 *code)
{
	static ZydisDecoder dec;
	static bool ready;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!ready)
		hx_decoder(&dec);
	ready = true;
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(&dec, code, 15, &in, ops)) || !hx_wanted(&in, ops))
		return 0;
	switch (in.meta.category) {
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_X87_ALU:
		return 0;
	default:
		break;
	}
	if (!in.cpu_flags) /* not of vector registers: what has no flags there, is not translated as if it had */
		for (unsigned i = 0; i < in.operand_count_visible; i++)
			if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    ZydisRegisterGetClass(ops[i].reg.value) >= ZYDIS_REGCLASS_X87)
				return 0;
	struct jflags f = jit_flags_of(&in, ops);
	instructions++;
	try(code, in.length, &f);
	return in.length;
}

/* Operands: registers, [rbx], and a register beside rcx as count. */
static void opcode(const u8 *head, unsigned n)
{
	static const u8 modrm[] = { 0xc2, 0x03, 0xc1 };
	static const u8 imm[] = { 0x00, 0x01, 0x25, 0xc8 };

	for (unsigned m = 0; m < ARRAY_LEN(modrm); m++)
		for (unsigned digit = 0; digit < 8; digit++)
			for (unsigned k = 0; k < ARRAY_LEN(imm); k++) {
				u8 code[15];
				memset(code, imm[k] == 0xc8 ? 0x7f : 0, sizeof(code));
				memcpy(code, head, n);
				code[n] = modrm[m] | (u8)(digit << 3);
				code[n + 1] = imm[k];
				if (one(code) <= n + 1)
					break; /* no immediate */
			}
}

/* Without ModRM: each once. */
static void plain(const u8 *head, unsigned n)
{
	u8 code[15] = { 0 };

	memcpy(code, head, n);
	code[n] = 1;
	one(code);
}

int main(void)
{
	static const u8 prefixes[][3] = {
		{ 0 }, { 1, 0x66 }, { 1, 0xf3 }, { 1, 0xf2 }, { 1, 0x48 }, { 2, 0xf3, 0x48 }
	};
	static const u8 maps[][3] = { { 0 }, { 1, 0x0f }, { 2, 0x0f, 0x38 } };
	const struct soft_options off = { .translate = SOFT_TRANSLATE_OFF };

	hx_init(&off);
	for (unsigned m = 0; m < ARRAY_LEN(maps); m++)
		for (unsigned p = 0; p < ARRAY_LEN(prefixes); p++)
			for (unsigned o = 0; o < 256; o++) {
				u8 head[8];
				unsigned n = 0;
				if (m == 0 && o >= 0x26 && (o & 0xe7) == 0x26)
					continue; /* prefixes again */
				if (m == 2 && o < 0xf0)
					continue; /* vectors: no flags but PTEST's */
				memcpy(head, prefixes[p] + 1, prefixes[p][0]);
				n += prefixes[p][0];
				memcpy(head + n, maps[m] + 1, maps[m][0]);
				n += maps[m][0];
				head[n++] = (u8)o;
				plain(head, n);
				/* Those without ModRM would be executed many times over. */
				u8 code[15] = { 0 };
				ZydisDecoder dec;
				ZydisDecodedInstruction in;
				hx_decoder(&dec);
				memcpy(code, head, n);
				code[n] = 0xc2;
				bool has = false;
				for (unsigned d = 0; d < 8 && !has; d++) {
					code[n] = (u8)(0xc2 | d << 3);
					has = ZYAN_SUCCESS(
						  ZydisDecoderDecodeInstruction(&dec, NULL, code, sizeof(code), &in)) &&
					      (in.attributes & ZYDIS_ATTRIB_HAS_MODRM);
				}
				if (has)
					opcode(head, n);
			}
	/* BMI, in VEX: maps 2 and 3, W and pp, second source rdx. */
	for (unsigned map = 2; map < 4; map++)
		for (unsigned w = 0; w < 2; w++)
			for (unsigned pp = 0; pp < 4; pp++)
				for (unsigned o = 0xf0; o < 0x100; o++)
					opcode((u8[]){ 0xc4, (u8)(0xe0 | map), (u8)(w << 7 | 13 << 3 | pp), (u8)o }, 4);
	printf("jit_flags: %u instructions, %u comparisons, %u wrong\n", instructions, executed, bad);
	if (instructions < 5000)
		bad++;
	return bad ? 1 : 0;
}
