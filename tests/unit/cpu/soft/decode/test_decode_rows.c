/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_decode_rows.c - the tables of instructions: no instruction twice, none forgotten, no row of nothing.
 *
 * Walks the opcode maps with Zydis in all modes. What it finds has a row, or is a vector instruction, or is named here
 * as one that no CPU model offers.
 */
#include "cpu/soft/decode/decode_vec.h"
#include "cpu/soft/decode/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Undefined, whatever the model: */
static const char *const not_offered[] = {
	/* AVX-512 mask registers */
	"kaddb",
	"kaddd",
	"kaddq",
	"kaddw",
	"kandb",
	"kandd",
	"kandnb",
	"kandnd",
	"kandnq",
	"kandnw",
	"kandq",
	"kandw",
	"kmovb",
	"kmovd",
	"kmovq",
	"kmovw",
	"knotb",
	"knotd",
	"knotq",
	"knotw",
	"korb",
	"kord",
	"korq",
	"kortestb",
	"kortestd",
	"kortestq",
	"kortestw",
	"korw",
	"kshiftlb",
	"kshiftld",
	"kshiftlq",
	"kshiftlw",
	"kshiftrb",
	"kshiftrd",
	"kshiftrq",
	"kshiftrw",
	"ktestb",
	"ktestd",
	"ktestq",
	"ktestw",
	"kunpckbw",
	"kunpckdq",
	"kunpckwd",
	"kxnorb",
	"kxnord",
	"kxnorq",
	"kxnorw",
	"kxorb",
	"kxord",
	"kxorq",
	"kxorw",
	/* virtualization: VMX, SVM, TDX, SEV */
	"clgi",
	"invept",
	"invlpga",
	"invlpgb",
	"invvpid",
	"psmash",
	"pvalidate",
	"rmpadjust",
	"rmpupdate",
	"seamcall",
	"seamops",
	"seamret",
	"skinit",
	"stgi",
	"tdcall",
	"tlbsync",
	"vmclear",
	"vmfunc",
	"vmlaunch",
	"vmload",
	"vmptrld",
	"vmptrst",
	"vmread",
	"vmresume",
	"vmrun",
	"vmsave",
	"vmwrite",
	"vmxoff",
	"vmxon",
	/* AMX */
	"ldtilecfg",
	"sttilecfg",
	"tdpbf16ps",
	"tdpbssd",
	"tdpbsud",
	"tdpbusd",
	"tdpbuud",
	"tileloadd",
	"tileloaddt1",
	"tilerelease",
	"tilestored",
	"tilezero",
	/* transactions */
	"xabort",
	"xbegin",
	"xend",
	"xresldtrk",
	"xsusldtrk",
	"xtest",
	/* enclaves, SMM, safer mode */
	"encls",
	"enclu",
	"enclv",
	"getsec",
	"pconfig",
	"rsm",
	/* shadow stacks, user interrupts */
	"clrssbsy",
	"clui",
	"incsspd",
	"rstorssp",
	"saveprevssp",
	"senduipi",
	"setssbsy",
	"stui",
	"testui",
	"uiret",
	"wrssd",
	"wrssq",
	"wrussd",
	/* key locker, VIA's padlock */
	"aesdec128kl",
	"aesdec256kl",
	"aesdecwide128kl",
	"aesdecwide256kl",
	"aesenc128kl",
	"aesenc256kl",
	"aesencwide128kl",
	"aesencwide256kl",
	"encodekey128",
	"encodekey256",
	"loadiwkey",
	"montmul",
	"xcrypt_cbc",
	"xcrypt_cfb",
	"xcrypt_ctr",
	"xcrypt_ecb",
	"xcrypt_ofb",
	"xsha1",
	"xsha256",
	"xstore",
	/* waiting */
	"monitor",
	"monitorx",
	"mwait",
	"mwaitx",
	"tpause",
	"umonitor",
	"umwait",
	/* protection keys, stores around caches, and what else is new */
	"clzero",
	"enqcmd",
	"enqcmds",
	"hreset",
	"mcommit",
	"movdir64b",
	"movdiri",
	"ptwrite",
	"rdpkru",
	"rdpru",
	"serialize",
	"wrpkru",
};

static bool seen[ZYDIS_MNEMONIC_MAX_VALUE + 1], missing[ZYDIS_MNEMONIC_MAX_VALUE + 1];

/* Said to be undefined, or a NOP, before its row is looked for: as decode_insn(). */
static bool no_row_wanted(const ZydisDecodedInstruction *in)
{
	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return true;
	if (in->meta.isa_set >= ZYDIS_ISA_SET_KNCE && in->meta.isa_set <= ZYDIS_ISA_SET_KNC_PF_HINT)
		return true;
	return in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->opcode_map == ZYDIS_OPCODE_MAP_0F &&
	       (in->opcode & 0xf8) == 0x18;
}

static void one(const ZydisDecoder *dec, const u8 *bytes, unsigned n)
{
	u8 b[16] = { 0 };
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	memcpy(b, bytes, n);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(dec, b, 15, &in, ops)) || no_row_wanted(&in))
		return;
	seen[in.mnemonic] = true;
	if (!decode_row_of(&decode_rows, in.mnemonic) && !vec_features(&in) && in.mnemonic != ZYDIS_MNEMONIC_FWAIT)
		missing[in.mnemonic] = true;
}

/* All opcodes behind `head`, with every ModRM that can tell instructions apart, and with a SIB. */
static void opcodes(const ZydisDecoder *dec, const u8 *head, unsigned n)
{
	u8 b[8];

	memcpy(b, head, n);
	for (unsigned op = 0; op < 256; op++)
		for (unsigned modrm = 0; modrm < 256; modrm += modrm < 0xc0 ? 4 : 1) {
			b[n] = (u8)op;
			b[n + 1] = (u8)modrm;
			one(dec, b, n + 2);
		}
}

static void walk(const ZydisDecoder *dec, bool code64)
{
	static const u8 prefixes[][2] = { { 0 }, { 0x66 }, { 0xf2 }, { 0xf3 }, { 0x67 }, { 0x48 } };
	static const u8 maps[][2] = { { 0 }, { 0x0f }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };

	for (unsigned p = 0; p < ARRAY_LEN(prefixes); p++)
		for (unsigned m = 0; m < ARRAY_LEN(maps); m++) {
			u8 head[4];
			unsigned n = 0;

			if (prefixes[p][0] == 0x48 && !code64)
				continue;
			if (prefixes[p][0])
				head[n++] = prefixes[p][0];
			for (unsigned i = 0; i < 2 && maps[m][i]; i++)
				head[n++] = maps[m][i];
			opcodes(dec, head, n);
		}
	/* VEX: map, then W, L and pp. */
	for (unsigned map = 1; map <= 3; map++)
		for (unsigned w_l_pp = 0; w_l_pp < 16; w_l_pp++) {
			u8 head[3] = { 0xc4, (u8)(0xe0 | map),
				       (u8)(0x78 | (w_l_pp & 7) | (w_l_pp & 8) << 4) }; /* vvvv: none */

			opcodes(dec, head, 3);
			head[2] ^= 0x08; /* ... and one that is none of the others */
			opcodes(dec, head, 3);
		}
}

static int setup(void **state)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth stack;
	} modes[3] = {
		{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
		{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	};

	decode_table_index(&decode_rows);
	decode_table_index(&decode_vec_rows);
	for (unsigned i = 0; i < 3; i++) {
		ZydisDecoder dec;

		assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&dec, modes[i].mode, modes[i].stack)));
		walk(&dec, i == 0);
	}
	return 0;
}

static void no_row_twice(void **state)
{
	const struct decode_table *tables[] = { &decode_rows, &decode_vec_rows };

	for (unsigned t = 0; t < 2; t++) {
		u8 rows[ZYDIS_MNEMONIC_MAX_VALUE + 1] = { 0 };

		for (unsigned i = 0; i < tables[t]->rows; i++) {
			unsigned m = tables[t]->row[i].mnemonic;

			if (rows[m]++)
				fail_msg("%s has two rows", ZydisMnemonicGetString(m));
			assert_ptr_equal(decode_row_of(tables[t], m), &tables[t]->row[i]);
		}
	}
	assert_null(decode_row_of(&decode_rows, ZYDIS_MNEMONIC_INVALID));
}

static void no_row_of_nothing(void **state)
{
	const struct decode_table *tables[] = { &decode_rows, &decode_vec_rows };

	for (unsigned t = 0; t < 2; t++)
		for (unsigned i = 0; i < tables[t]->rows; i++) {
			const struct decode_row *r = &tables[t]->row[i];

			if (!seen[r->mnemonic])
				fail_msg("no opcode is %s", ZydisMnemonicGetString(r->mnemonic));
			if (t == 0 && !r->form)
				fail_msg("the row of %s has no form", ZydisMnemonicGetString(r->mnemonic));
			if (t == 1 && !r->form && !r->flags)
				fail_msg("the row of %s says nothing", ZydisMnemonicGetString(r->mnemonic));
			if (r->needs & ISA_AMD)
				fail_msg("%s asks for a vendor", ZydisMnemonicGetString(r->mnemonic));
		}
}

static void none_forgotten(void **state)
{
	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		const char *name = ZydisMnemonicGetString(m);
		bool listed = false;

		for (unsigned i = 0; i < ARRAY_LEN(not_offered); i++)
			listed |= !strcmp(not_offered[i], name);
		if (missing[m] && !listed)
			fail_msg("%s has no row in rows.c, and is not named here as not offered", name);
		if (listed && !missing[m])
			fail_msg("%s is named here as not offered, and is not without a row", name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_row_twice),
		cmocka_unit_test(no_row_of_nothing),
		cmocka_unit_test(none_forgotten),
	};

	return cmocka_run_group_tests_name("decode rows", tests, setup, NULL);
}
