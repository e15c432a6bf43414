/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_jit.c - the translator from inside: instructions are encoded again as they were, with other registers; links
 * between blocks are made, and undone when a block dies; its first-level TLB forgets what it has to; code of 32 bits is
 * translated by what its segments are; breakpoints cost where they are.
 */
#include "harness.h"
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/decode/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define OFF 64u
#define NO_ERROR 3u
#define CODE_PHYS 0x100000u /* harness.c puts the code there */

static struct hx_state in, out;

static struct soft_cpu *cpu(void)
{
	return soft_cpu_of(hx_cpu());
}

/* The translated block that begins at byte `off` of the code. */
static struct block *block_at(unsigned off)
{
	const struct soft_vm *vm = cpu()->vm;
	const struct jit_code *k = vm->jit;

	for (u32 i = k->nindex; i-- > 0;) {
		struct block *b = (struct block *)(void *)(vm->cache->arena + (size_t)k->index[i].block * 16);
		if (b->phys == CODE_PHYS + off && !b->dead && b->jit.far)
			return b;
	}
	return NULL;
}

/* ---- the encoder ---- */

static int reg_id(ZydisRegister r)
{
	ZydisRegisterClass k = ZydisRegisterGetClass(r);

	if (k != ZYDIS_REGCLASS_GPR8 && k != ZYDIS_REGCLASS_GPR16 && k != ZYDIS_REGCLASS_GPR32 &&
	    k != ZYDIS_REGCLASS_GPR64)
		return -1;
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return -2;
	return decode_gpr(r);
}

/* Is h what g should become? */
static bool corresponds(const ZydisDecodedInstruction *g, const ZydisDecodedOperand *go,
			const ZydisDecodedInstruction *h, const ZydisDecodedOperand *ho)
{
	if (g->mnemonic != h->mnemonic || g->operand_width != h->operand_width ||
	    g->operand_count_visible != h->operand_count_visible)
		return false;
	for (unsigned i = 0; i < g->operand_count_visible; i++) {
		if (go[i].size != ho[i].size)
			return false;
		if (go[i].type == ZYDIS_OPERAND_TYPE_REGISTER && ho[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			int a = reg_id(go[i].reg.value); /* one that lies in c->gpr[] */
			if (a < 0 || jit_hreg[a] != H_NONE || ho[i].mem.base != ZYDIS_REGISTER_RSP ||
			    ho[i].mem.index != ZYDIS_REGISTER_NONE || ho[i].mem.disp.value != C_OFF(gpr[0]) + 8 * a)
				return false;
			continue;
		}
		if (go[i].type != ho[i].type)
			return false;
		if (go[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && go[i].imm.value.u != ho[i].imm.value.u)
			return false;
		if (go[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		int a = reg_id(go[i].reg.value), b = reg_id(ho[i].reg.value);
		if (a < 0 || go[i].encoding == ZYDIS_OPERAND_ENCODING_NONE) {
			if (go[i].reg.value != ho[i].reg.value && a < 0)
				return false;
			continue; /* a register that the instruction implies */
		}
		if (jit_hreg[a] != H_NONE ? b != jit_hreg[a] : b != H_RAX && b != H_RCX)
			return false;
	}
	return true;
}

static bool in_code(const struct block *b, const ZydisDecodedInstruction *g, const ZydisDecodedOperand *go)
{
	const u8 *end = cpu()->vm->jit->rx + b->jit.start + b->jit.bytes;
	ZydisDecodedInstruction h;
	ZydisDecodedOperand ho[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoder dec;

	hx_decoder(&dec);
	for (const u8 *p = b->jit.near; p < end; p += h.length) {
		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&dec, p, (u64)(end - p), &h, ho)))
			return false;
		if (corresponds(g, go, &h, ho))
			return true;
	}
	return false;
}

static u64 rng = 1;
static unsigned pick(unsigned n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(rng >> 33) % n;
}

/* Those that are made of others, or of nothing, on purpose. */
static bool by_itself(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *o)
{
	switch (i->meta.category) {
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_BITBYTE:
		break;
	default:
		return false;
	}
	if (i->mnemonic == ZYDIS_MNEMONIC_IMUL && i->operand_count_visible == 1)
		return false;
	for (unsigned k = 0; k < i->operand_count_visible; k++)
		if (o[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (reg_id(o[k].reg.value) < 0 || o[k].encoding == ZYDIS_OPERAND_ENCODING_NONE))
			return false;
	if (i->mnemonic == ZYDIS_MNEMONIC_BSF ||
	    i->mnemonic == ZYDIS_MNEMONIC_BSR) /* of 0 they leave R10, R11, R15 alone */
		return jit_hreg[reg_id(o[0].reg.value)] != H_NONE;
	return i->mnemonic != ZYDIS_MNEMONIC_MUL && i->mnemonic != ZYDIS_MNEMONIC_DIV &&
	       i->mnemonic != ZYDIS_MNEMONIC_IDIV;
}

static void test_encoder(void **state)
{
	unsigned seen = 0, wrong = 0;
	ZydisDecoder dec;

	hx_decoder(&dec);
	for (unsigned tries = 0; tries < 60000; tries++) {
		ZydisDecodedInstruction i;
		ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
		u8 code[16];
		unsigned n = 0;

		if (!pick(4))
			code[n++] = 0x66;
		if (pick(2))
			code[n++] = (u8)(0x40 | pick(16));
		if (pick(3) == 0)
			code[n++] = 0x0f;
		code[n++] = (u8)pick(256);
		code[n++] = (u8)(0xc0 | pick(64));
		while (n < sizeof(code))
			code[n++] = (u8)pick(256);
		if (ZYAN_FAILED(ZydisDecoderDecodeFull(&dec, code, 15, &i, o)) || !hx_wanted(&i, o) ||
		    !by_itself(&i, o))
			continue;
		hx_engine(code, i.length, OFF, &in, &out);
		const struct block *b = block_at(OFF);
		if (out.vec != NO_ERROR || !b)
			continue;
		seen++;
		if (in_code(b, &i, o))
			continue;
		if (wrong++ < 5) {
			printf("not found in its translation:\n");
			hx_disasm(stdout, code, i.length, HX_CODE + OFF);
			hx_disasm(stdout, b->jit.near,
				  (unsigned)(cpu()->vm->jit->rx + b->jit.start + b->jit.bytes - b->jit.near), 0);
		}
	}
	printf("%u instructions\n", seen);
	assert_true(seen > 2000);
	assert_int_equal(wrong, 0);
}

/* ---- links ---- */

/* mov ecx, 1000; L: add rsi, 3; jmp M; nop; M: dec ecx; jnz L */
static const u8 loop[] = { 0xb9, 0xe8, 3, 0, 0, 0x48, 0x83, 0xc6, 3, 0xeb, 1, 0x90, 0xff, 0xc9, 0x75, 0xf5 };

static void test_links(void **state)
{
	struct soft_vm *vm = cpu()->vm;
	const struct jit_cpu *s = &cpu()->jit;

	u64 entries = s->entries, links = s->links;
	hx_engine(loop, sizeof(loop), OFF, &in, &out);
	assert_int_equal(out.vec, NO_ERROR);
	assert_int_equal(out.gpr[GPR_RSI], in.gpr[GPR_RSI] + 3000);
	assert_in_range(s->entries - entries, 1, 20); /* not 1000 */
	assert_in_range(s->links - links, 1, 20);
	struct block *b = block_at(OFF + 12);
	assert_non_null(b);
	assert_true(b->jit.in != 0);

	/* The block dies: who came here must ask again, and its entries lead out. */
	u64 unlinked = vm->jit->unlinked;
	u8 far = *b->jit.far;
	assert_true(cache_invalidate_ram(vm, CODE_PHYS + OFF + 12, 1) >= 1);
	assert_true(b->dead);
	assert_int_equal(b->jit.in, 0);
	assert_true(vm->jit->unlinked > unlinked);
	assert_true(*b->jit.far != far && (*b->jit.far == 0xe8 || *b->jit.far == 0xe9));
	assert_null(block_at(OFF + 12));

	/* And that is what happens; other code is there now. */
	u8 other[sizeof(loop)];
	memcpy(other, loop, sizeof(loop));
	other[8] = 5;
	hx_engine_again(OFF, &in, &out);
	assert_int_equal(out.gpr[GPR_RSI], in.gpr[GPR_RSI] + 3000);
	hx_engine(other, sizeof(other), OFF, &in, &out);
	assert_int_equal(out.gpr[GPR_RSI], in.gpr[GPR_RSI] + 5000);
}

/* ---- the first-level TLB ---- */

static bool has(const struct jtlb *t, u64 lin)
{
	return t->tag[jtlb_slot(lin)] == (lin & PAGE_MASK);
}

/* mov rax, [rdi]; mov [rdi + 0x1000], rax; push rax; pop rcx */
static const u8 touch[] = { 0x48, 0x8b, 0x07, 0x48, 0x89, 0x87, 0, 0x10, 0, 0, 0x50, 0x59 };

static void fill(void)
{
	struct jit_cpu *s = &cpu()->jit;

	hx_engine(touch, sizeof(touch), OFF, &in, &out);
	assert_int_equal(out.vec, NO_ERROR);
	/* Delivering INT3 keeps the user's entries. */
	assert_true(has(&s->rd[TLB_USER], HX_DATA + 64));
	assert_true(has(&s->wr[TLB_USER], HX_DATA + 0x1040));
	assert_false(has(&s->wr[TLB_USER], HX_DATA + 64));
}

static void test_tlb(void **state)
{
	struct jit_cpu *s = &cpu()->jit;

	for (unsigned i = 0; i < JTLB_SIZE; i++)
		assert_int_not_equal(jtlb_slot(jtlb_none(i)), i); /* no address finds an empty slot */
	for (unsigned i = 0; i < JJ_SIZE; i++)
		assert_int_not_equal(jj_slot(jj_none(i)), i);
	in.gpr[GPR_RDI] = HX_DATA + 64;
	fill();
	soft_tlb_flush_page(cpu(), HX_DATA + 0x1fff);
	assert_false(has(&s->wr[TLB_USER], HX_DATA + 0x1040));
	assert_true(has(&s->rd[TLB_USER], HX_DATA + 64));
	fill();
	soft_tlb_flush(cpu(), false);
	assert_false(has(&s->rd[TLB_USER], HX_DATA + 64));
	assert_false(has(&s->wr[TLB_USER], HX_DATA + 0x1040));
	/* A page becomes code, or is watched: it may be read on, not written. */
	fill();
	u64 host = s->wr[TLB_USER].host[jtlb_slot(HX_DATA + 0x1040)];
	assert_ptr_equal((void *)(uintptr_t)(host & PAGE_MASK), cpu()->ram->host + 0x201000);
	jit_protect(cpu(), host);
	assert_false(has(&s->wr[TLB_USER], HX_DATA + 0x1040));
	assert_true(has(&s->rd[TLB_USER], HX_DATA + 64));
	fill();
	jit_protect(cpu(), 0);
	assert_false(has(&s->wr[TLB_USER], HX_DATA + 0x1040));
	assert_true(has(&s->rd[TLB_USER], HX_DATA + 64));
	in.gpr[GPR_RDI] = HX_DATA + 2048;
}

/* ---- other code than 64-bit ---- */

static void test_keys(void **state)
{
	/* inc ecx; mov eax, [edi]; push eax; pop edx; jmp on; on: */
	static const u8 code[] = { 0x41, 0x8b, 0x07, 0x50, 0x5a, 0xeb, 0x00 };
	u8 flat = MODE_CODE32 | MODE_SS32 | MODE_FLAT;

	(void)state;
	st_le32(in.data + 2048, 0x12345678);
	in.bits = 32;
	hx_engine(code, sizeof(code), OFF, &in, &out);
	in.bits = 0;
	assert_int_equal(out.vec, NO_ERROR);
	assert_int_equal(out.gpr[GPR_RCX], HX_DATA + 2049);
	assert_int_equal(out.gpr[GPR_RDX], 0x12345678);
	const struct block *b = block_at(OFF);
	assert_non_null(b);
	assert_int_equal(b->mode, flat);
	/* The same bytes in 16-bit code, whose segments are elsewhere: inc cx; mov ax, [bx]... */
	in.bits = 16;
	in.gpr[GPR_RBX] = 2048;
	hx_engine(code, sizeof(code), OFF, &in, &out);
	in.bits = 0;
	in.gpr[GPR_RBX] = HX_DATA + 2048;
	assert_int_equal(out.vec, NO_ERROR);
	assert_int_equal(out.gpr[GPR_RDX], (HX_DATA & ~0xffffull) | 0x5678);
	b = block_at(OFF);
	assert_non_null(b);
	assert_int_equal(b->mode, 0);
	/* A limit that an access crosses: its handler raises. */
	in.bits = 16;
	in.gpr[GPR_RBX] = 0xffff;
	hx_engine(code, sizeof(code), OFF, &in, &out);
	in.bits = 0;
	in.gpr[GPR_RBX] = HX_DATA + 2048;
	assert_int_equal(out.vec, 13);
	assert_int_equal(out.rip, OFF + 1);
}

/*
 * Accesses that share a check, from a register whose upper half 64-bit code has left something in: addresses have 32
 * bits all the same.
 */
static void test_upper_half(void **state)
{
	/* mov eax, [ebx]; mov edx, [ebx + 4]; add ebx, 16; mov [ebx - 8], edx; pop esi; push eax */
	static const u8 code[] = { 0x8b, 0x03, 0x8b, 0x53, 4, 0x83, 0xc3, 16, 0x89, 0x53, 0xf8, 0x5e, 0x50 };
	u64 old = in.gpr[GPR_RBX];

	(void)state;
	st_le32(in.data + 2048, 0x11112222);
	st_le32(in.data + 2052, 0x33334444);
	in.bits = 32;
	for (unsigned k = 0; k < 2; k++) {
		in.gpr[GPR_RBX] = old | (u64)k << 44;
		in.gpr[GPR_RSP] |= (u64)k << 40;
		hx_engine(code, sizeof(code), OFF, &in, &out);
		assert_int_equal(out.vec, NO_ERROR);
		assert_int_equal(out.gpr[GPR_RAX], 0x11112222);
		assert_int_equal(out.gpr[GPR_RDX], 0x33334444);
		assert_int_equal(out.gpr[GPR_RBX], old + 16);
		assert_int_equal(ld_le32(out.data + 2056), 0x33334444);
		assert_int_equal(ld_le32(out.data + 1024), 0x11112222);
	}
	in.bits = 0;
	in.gpr[GPR_RBX] = old;
	in.gpr[GPR_RSP] = HX_DATA + 1024;
}

/* ---- strings ---- */

/* REP of an instruction on elements of n bytes, as SDM 2 has it; all lies in the data. */
static void reference(struct hx_state *s, u8 opcode, unsigned n, bool while_equal)
{
	s64 step = s->rflags & 0x400 ? -(s64)n : (s64)n;
	bool compares = (opcode | 1) == 0xa7 || (opcode | 1) == 0xaf,
	     from = (opcode | 1) == 0xa5 || (opcode | 1) == 0xa7;

	while (s->gpr[GPR_RCX]) {
		u8 *to = s->data + (s->gpr[GPR_RDI] - HX_DATA), a[8];
		memcpy(a, from ? s->data + (s->gpr[GPR_RSI] - HX_DATA) : (const u8 *)&s->gpr[GPR_RAX], n);
		bool equal = !memcmp(a, to, n);
		if (!compares)
			memcpy(to, a, n);
		s->gpr[GPR_RDI] += (u64)step;
		s->gpr[GPR_RSI] += from ? (u64)step : 0;
		s->gpr[GPR_RCX]--;
		if (compares) {
			s->rflags = (s->rflags & ~0x40ull) | (equal ? 0x40 : 0);
			if (equal != while_equal)
				return;
		}
	}
}

/* Upwards and downwards, over a page's end and not, overlapping and not. */
static void test_rep(void **state)
{
	static const u8 codes[][4] = {
		{ 0xf3, 0xa4, 0, 1 }, { 0xf3, 0x66, 0xa5, 2 }, { 0xf3, 0xa5, 0, 4 }, { 0xf3, 0x48, 0xa5, 8 },
		{ 0xf3, 0xaa, 0, 1 }, { 0xf3, 0x48, 0xab, 8 }, { 0xf2, 0xae, 0, 1 }, { 0xf3, 0x66, 0xaf, 2 },
		{ 0xf3, 0xa6, 0, 1 }, { 0xf2, 0x48, 0xa7, 8 },
	};
	static const unsigned counts[] = { 0, 1, 2, 7, 64, 120 };
	static const unsigned places[][2] = { { 4000, 1024 }, { 5000, 4992 }, { 4992, 5000 }, { 7000, 4088 } };
	static struct hx_state s, want;

	(void)state;
	s = in;
	for (unsigned i = 0; i < HX_DATA_BYTES; i++)
		s.data[i] = (u8)(i % 300 ? 'x' : i / 300);
	for (unsigned t = 0; t < ARRAY_LEN(codes) * ARRAY_LEN(counts) * ARRAY_LEN(places) * 2; t++) {
		const u8 *code = codes[t / 2 % ARRAY_LEN(codes)];
		unsigned count = counts[t / 2 / ARRAY_LEN(codes) % ARRAY_LEN(counts)], len = code[2] ? 3 : 2;
		const unsigned *at = places[t / 2 / ARRAY_LEN(codes) / ARRAY_LEN(counts)];
		u8 opcode = code[len - 1];
		s.rflags = t & 1 ? 0x602 : 0x202;
		s.gpr[GPR_RCX] = count;
		s.gpr[GPR_RSI] = HX_DATA + at[0];
		s.gpr[GPR_RDI] = HX_DATA + at[1];
		s.gpr[GPR_RAX] = 'x' * 0x0101010101010101ull;
		want = s;
		reference(&want, opcode, code[3], code[0] == 0xf3);
		u64 handlers = cpu()->jit.uops + cpu()->jit.slow_uop;
		hx_engine(code, len, OFF, &s, &out);
		assert_int_equal(out.vec, NO_ERROR);
		assert_memory_equal(out.gpr, want.gpr, sizeof(out.gpr));
		assert_memory_equal(out.data, want.data, sizeof(out.data));
		if (count)
			assert_int_equal(out.rflags & 0x440, want.rflags & 0x440);
		if ((opcode | 1) == 0xa5 && at[0] == 5000 &&
		    count <= 7) /* by translated code alone, in both directions */
			assert_int_equal(cpu()->jit.uops + cpu()->jit.slow_uop, handlers);
	}
}

/* ---- breakpoints ---- */

#define DR7_0(kind, bytes) (1u | (kind) << 16 | (bytes) << 18)
#define DB 1u

static void test_breakpoints(void **state)
{
	/* mov ecx, 1000; again: mov [rdi], ecx; dec ecx; jnz again; mov [rsi], ecx */
	static const u8 code[] = { 0xb9, 0xe8, 3, 0, 0, 0x89, 0x0f, 0xff, 0xc9, 0x75, 0xfa, 0x89, 0x0e };

	(void)state;
	in.gpr[GPR_RSI] = HX_DATA + 5000;
	for (unsigned k = 0; k < 2; k++) { /* on the page that is written all the time, too */
		in.dr0 = k ? HX_DATA + 2052 : HX_DATA + 5000;
		in.dr7 = DR7_0(DR7_WRITE, 3u);
		u64 steps = cpu()->st.single_steps;
		hx_engine(code, sizeof(code), OFF, &in, &out);
		assert_int_equal(out.vec, k ? NO_ERROR : DB);
		assert_int_equal(out.rip, HX_CODE + OFF + sizeof(code) + k);
		assert_in_range(cpu()->st.single_steps - steps, 0, 10);
	}
	/* The one that is written: after the first time. */
	in.dr0 = HX_DATA + 2048;
	hx_engine(code, sizeof(code), OFF, &in, &out);
	assert_int_equal(out.vec, DB);
	assert_int_equal(out.rip, HX_CODE + OFF + 7);
	assert_int_equal(out.gpr[GPR_RCX], 1000);
	/* Code: before it, and not where it is not. */
	in.dr7 = DR7_0(DR7_EXEC, 0u);
	in.dr0 = HX_CODE + OFF + 11;
	hx_engine(code, sizeof(code), OFF, &in, &out);
	assert_int_equal(out.vec, DB);
	assert_int_equal(out.rip, HX_CODE + OFF + 11);
	in.dr0 = HX_CODE + 4096 + OFF;
	u64 steps = cpu()->st.single_steps;
	hx_engine(code, sizeof(code), OFF, &in, &out);
	assert_int_equal(out.vec, NO_ERROR);
	assert_in_range(cpu()->st.single_steps - steps, 0, 10);
	in.dr0 = in.dr7 = 0;
	in.gpr[GPR_RSI] = HX_DATA + 2048;
}

/* As a debugger in the guest sets them, on variables that live elsewhere or beside what the program uses: what runs by
 * the handlers then, and nothing is executed step by step. */
static void test_watchpoints(void **state)
{
	/* mov ecx, 1000; again: mov [rdi], ecx; mov eax, [rsi]; dec ecx; jnz again */
	static const u8 code[] = { 0xb9, 0xe8, 3, 0, 0, 0x89, 0x0f, 0x8b, 0x06, 0xff, 0xc9, 0x75, 0xf8 };
	/* how many of the 2000 accesses are to pages with a watchpoint */
	static const struct {
		u64 at[4];
		unsigned handlers;
	} t[] = {
		{ { 0, 0, 0, 0 }, 0 },
		{ { HX_CODE + 8192, HX_CODE + 8200, HX_CODE + 12288, HX_CODE + 16384 }, 0 },
		{ { HX_DATA + 2064, HX_DATA + 2072, HX_CODE + 8192, HX_CODE + 8200 }, 1000 },
		{ { HX_DATA + 2064, HX_DATA + 2072, HX_DATA + 5064, HX_DATA + 5072 }, 1000 },
	};

	(void)state;
	in.gpr[GPR_RSI] = HX_DATA + 5000;
	for (unsigned k = 0; k < ARRAY_LEN(t); k++) {
		in.dr0 = t[k].at[0];
		in.dr1 = t[k].at[1];
		in.dr2 = t[k].at[2];
		in.dr3 = t[k].at[3];
		in.dr7 = k ? 0xdddd0055 : 0; /* local ones, writes of 4 bytes */
		hx_engine(code, sizeof(code), OFF, &in, &out);
		u64 steps = cpu()->st.single_steps, by_handler = cpu()->jit.uops + cpu()->jit.slow_uop;
		hx_engine(code, sizeof(code), OFF, &in, &out);
		assert_int_equal(out.vec, NO_ERROR);
		assert_int_equal(out.gpr[GPR_RCX], 0);
		assert_in_range(cpu()->st.single_steps - steps, 0, 10);
		assert_in_range(cpu()->jit.uops + cpu()->jit.slow_uop - by_handler, 0, t[k].handlers + 10);
	}
	in.dr0 = in.dr1 = in.dr2 = in.dr3 = in.dr7 = 0;
	in.gpr[GPR_RSI] = HX_DATA + 2048;
}

int main(void)
{
	const struct soft_options o = { .heat = 1 };
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_encoder),     cmocka_unit_test(test_links),
					    cmocka_unit_test(test_tlb),         cmocka_unit_test(test_keys),
					    cmocka_unit_test(test_upper_half),  cmocka_unit_test(test_rep),
					    cmocka_unit_test(test_breakpoints), cmocka_unit_test(test_watchpoints) };

	hx_init(&o);
	in.gpr[GPR_RSP] = HX_DATA + 1024;
	for (unsigned i = 0; i < 16; i++)
		if (i != GPR_RSP)
			in.gpr[i] = HX_DATA + 2048;
	in.rflags = 0x202;
	st_le16(in.fx, 0x37f);
	st_le32(in.fx + 24, 0x1f80);
	st_le32(in.fx + 28, 0xffff);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
