/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_jit_rows.c - the table of what is translated (cpu/soft/jit/jit_rows.c): no row twice, none of nothing, no
 * instruction forgotten, and each way of each row is gone by some instruction, which does what the interpreter does.
 *
 * Walks the opcode maps of 64-bit code, and for ways that only other code goes the one-byte map of 32-bit code. What
 * belongs to a way that no instruction has gone yet is executed in ring 3 with check=all, and translated for ring 0.
 * That each instruction is right, with all operands, is difftest's and test_sys' to find out; here nothing may be left
 * out.
 */
#include "harness.h"
#include "cpu/soft/decode/decode_vec.h"
#include "cpu/soft/decode/row.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/run/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define OFF 64u
#define CODE_PHYS 0x100000u /* harness.c puts the code there */

/* Executed by their handlers on purpose: rare, or more work than a call. */
static const char *const by_handler[] = {
	"clflush", "clflushopt", "clts",   "clwb",   "cpuid", "enter",   "in",     "invd", "lar",
	"lfs",     "lgdt",       "lgs",    "lidt",   "lldt",  "lsl",     "ltr",    "nop",  "rdmsr",
	"rdpid",   "rdpmc",      "rdrand", "rdseed", "sgdt",  "sidt",    "sldt",   "smsw", "str",
	"ud0",     "ud1",        "ud2",    "verr",   "verw",  "vmmcall", "wbinvd", "xlat",
};

static struct hx_state in, out;
static bool known[ZYDIS_MNEMONIC_MAX_VALUE + 1], asked[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static unsigned gone[256][JIT_WAYS]; /* by how many instructions */

static struct soft_cpu *cpu(void)
{
	return soft_cpu_of(hx_cpu());
}

/* The way that the last translation has gone, if it was of the instruction at OFF. */
static void note(const struct jit_row *r, const u8 *bytes, unsigned n)
{
	const struct jinsn *i = &cpu()->vm->jit->scratch->insn[0];

	if (i->row != r || memcmp(i->bytes, bytes, n))
		return;
	for (unsigned k = 0; k < JIT_WAYS; k++)
		if (r->way[k].emit && i->emit == r->way[k].emit)
			gone[r - jit_rows][k]++;
}

/* Translate `insns` of what is at OFF for ring 0, where the vCPU is. */
static void supervisor(const struct jit_row *r, const u8 *bytes, unsigned n, unsigned insns)
{
	static _Alignas(16) u8 mem[sizeof(struct block) + BLOCK_UOPS_MAX * sizeof(struct uop)];
	struct block *tmp = (struct block *)(void *)mem, *b;
	struct soft_cpu *c = cpu();
	u8 key = in.bits == 32 ? MODE_CODE32 | MODE_SS32 | MODE_FLAT : MODE_CODE64;

	cache_invalidate_ram(c->vm, CODE_PHYS + OFF, 1);
	memset(tmp, 0, sizeof(*tmp));
	tmp->phys = CODE_PHYS + OFF;
	tmp->phys2 = UINT64_MAX;
	tmp->mode = key;
	assert_true(mmu_index(c) == TLB_SUPER);
	pthread_mutex_lock(&c->vm->cache->lock);
	must(decode_block(c, tmp, c->ram->host + CODE_PHYS + OFF, 64, insns, true));
	b = cache_add(c->vm, tmp);
	pthread_mutex_unlock(&c->vm->cache->lock);
	must(b);
	c->vm->jit->scratch->insn[0].row = NULL;
	if (!jit_translate(c, b))
		fail_msg("%s is not translated in ring 0", ZydisMnemonicGetString(r->mnemonic));
	note(r, bytes, n);
	cache_invalidate_ram(c->vm, CODE_PHYS + OFF, 1);
}

static void sample(const struct jit_row *r, const u8 *bytes, unsigned n)
{
	bool wanted = false;

	for (unsigned k = 0; k < JIT_WAYS; k++)
		wanted |= r->way[k].emit && gone[r - jit_rows][k] < 2;
	if (!wanted)
		return;
	cpu()->vm->jit->scratch->insn[0].row = NULL;
	hx_engine(bytes, n, OFF, &in, &out);
	if (out.vec >= 32)
		fail_msg("%s in ring 3: the engine says %u", ZydisMnemonicGetString(r->mnemonic), out.vec);
	note(r, bytes, n);
	supervisor(r, bytes, n, 2);
	supervisor(r, bytes, n, 1);
}

static void one(const ZydisDecoder *dec, const u8 *bytes, unsigned n)
{
	u8 b[16] = { 0 };
	ZydisDecodedInstruction i;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];

	memcpy(b, bytes, n);
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(dec, b, 15, &i, o)))
		return;
	if (i.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && i.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return;
	known[i.mnemonic] |= in.bits != 32 || jit_row_of(i.mnemonic);
	const struct jit_row *r = jit_row_of(i.mnemonic);
	const struct decode_row *d = decode_row_of(&decode_rows, i.mnemonic);
	if (in.bits != 32 && !r && d && !(d->flags & ROW_END) && d->fn != op_nop && !vec_features(&i))
		asked[i.mnemonic] = true;
	/* Branches go to the next instruction, and nothing reads or writes the code itself. */
	if (r && !(i.raw.imm[0].is_relative && i.raw.imm[0].value.s) &&
	    !((i.attributes & ZYDIS_ATTRIB_HAS_MODRM) && i.raw.modrm.mod == 0 && i.raw.modrm.rm == 5))
		sample(r, b, i.length);
}

static void opcodes(const ZydisDecoder *dec, const u8 *head, unsigned n)
{
	u8 b[8];

	if (n)
		memcpy(b, head, n);
	for (unsigned op = 0; op < 256; op++)
		for (unsigned modrm = 0; modrm < 256; modrm += modrm < 0xc0 ? 7 : 1) {
			b[n] = (u8)op;
			b[n + 1] = (u8)modrm;
			one(dec, b, n + 2);
		}
}

static int setup(void **state)
{
	static const u8 prefixes[][2] = {
		{ 0 }, { 0x48 }, { 0x66 }, { 0xf2 }, { 0xf3 }, { 0xf3, 0x48 }, { 0xf3, 0x66 }
	};
	static const u8 maps[][2] = { { 0 }, { 0x0f }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };
	const struct soft_options o = { .heat = 1, .check = SOFT_CHECK_ALL };
	ZydisDecoder dec;

	(void)state;
	hx_init(&o);
	hx_decoder(&dec);
	for (unsigned i = 0; i < 16; i++)
		in.gpr[i] = HX_DATA + 2048;
	in.gpr[GPR_RSP] = HX_DATA + 1024;
	in.rflags = 0x202;
	st_le16(in.fx, 0x37f);
	st_le32(in.fx + 24, 0x1f80);
	st_le32(in.fx + 28, 0xffff);
	hx_engine((const u8[]){ 0x90 }, 1, OFF, &in, &out);
	for (unsigned p = 0; p < ARRAY_LEN(prefixes); p++)
		for (unsigned m = 0; m < ARRAY_LEN(maps); m++) {
			u8 head[5];
			unsigned n = 0;

			for (unsigned i = 0; i < 2 && prefixes[p][i]; i++)
				head[n++] = prefixes[p][i];
			for (unsigned i = 0; i < 2 && maps[m][i]; i++)
				head[n++] = maps[m][i];
			opcodes(&dec, head, n);
		}
	for (unsigned map = 1; map <= 3; map++)
		for (unsigned w_l_pp = 0; w_l_pp < 16; w_l_pp++) {
			u8 head[3] = { 0xc4, (u8)(0xe0 | map), (u8)(0x78 | (w_l_pp & 7) | (w_l_pp & 8) << 4) };

			opcodes(&dec, head, 3);
		}
	hx_decoder_bits(&dec, 32);
	in.bits = 32;
	opcodes(&dec, NULL, 0);
	opcodes(&dec, (const u8[]){ 0x66 }, 1);
	opcodes(&dec, (const u8[]){ 0x67 }, 1);
	return 0;
}

static void no_row_twice(void **state)
{
	static u8 rows[ZYDIS_MNEMONIC_MAX_VALUE + 1];

	(void)state;
	for (unsigned i = 0; i < jit_nrows; i++) {
		if (rows[jit_rows[i].mnemonic]++)
			fail_msg("%s has two rows", ZydisMnemonicGetString(jit_rows[i].mnemonic));
		assert_ptr_equal(jit_row_of(jit_rows[i].mnemonic), &jit_rows[i]);
	}
	assert_null(jit_row_of(ZYDIS_MNEMONIC_INVALID));
}

static void no_row_of_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < jit_nrows; i++) {
		const struct jit_row *r = &jit_rows[i];
		const char *name = ZydisMnemonicGetString(r->mnemonic);

		if (!known[r->mnemonic])
			fail_msg("no opcode is %s", name);
		for (unsigned k = 0; k < JIT_WAYS; k++) {
			if (!r->way[k].emit && (r->way[k].takes || (k + 1 < JIT_WAYS && r->way[k + 1].emit)))
				fail_msg("way %u of %s emits nothing", k, name);
			if (!r->way[k].takes && k + 1 < JIT_WAYS && r->way[k + 1].emit && r->way[k].emit)
				fail_msg("way %u of %s takes all, and there is another", k, name);
		}
	}
}

static void each_way_is_gone(void **state)
{
	unsigned ways = 0, missing = 0;

	(void)state;
	for (unsigned i = 0; i < jit_nrows; i++) {
		const struct decode_row *d = decode_row_of(&decode_rows, jit_rows[i].mnemonic);

		if (d && (d->needs & ~cpu()->vm->isa))
			continue; /* not offered: undefined */
		for (unsigned k = 0; k < JIT_WAYS; k++) {
			ways += jit_rows[i].way[k].emit != NULL;
			if (!jit_rows[i].way[k].emit || gone[i][k])
				continue;
			print_message("no instruction goes way %u of %s\n", k,
				      ZydisMnemonicGetString(jit_rows[i].mnemonic));
			missing++;
		}
	}
	print_message("%u ways of %u rows\n", ways, jit_nrows);
	assert_int_equal(missing, 0);
}

static void none_forgotten(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		bool listed = false;

		for (unsigned i = 0; i < ARRAY_LEN(by_handler); i++)
			listed |= !strcmp(by_handler[i], ZydisMnemonicGetString(m));
		if (asked[m] == listed)
			continue;
		print_message(listed ? "%s is named here as the handler's, and is not\n"
				     : "%s has no row in jit_rows.c, and is not named here as the handler's\n",
			      ZydisMnemonicGetString(m));
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_row_twice),
		cmocka_unit_test(no_row_of_nothing),
		cmocka_unit_test(each_way_is_gone),
		cmocka_unit_test(none_forgotten),
	};

	return cmocka_run_group_tests_name("jit rows", tests, setup, NULL);
}
