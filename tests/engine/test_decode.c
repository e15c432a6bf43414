/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_decode.c - single instructions whose place in the opcode maps was once wrong: what they are is asserted here, on
 * any host. opcodes.c asks the host CPU about all. Options: soft_args.h.
 */
#include "harness.h"
#include "soft_args.h"
#include "cpu/soft/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define OFF 64u

static struct hx_state in, out;

static void run(const u8 *code, unsigned n)
{
	/* Three times: so that it is translated, where that is on. */
	hx_engine(code, n, OFF, &in, &out);
	for (unsigned i = 0; i < 2; i++)
		hx_engine_again(OFF, &in, &out);
}

static void start(void)
{
	memset(&in, 0, sizeof(in));
	for (unsigned i = 0; i < 16; i++)
		in.gpr[i] = HX_DATA + 0x400 + 64 * i;
	in.rflags = 0x202;
	st_le16(in.fx, 0x37f);
	st_le32(in.fx + 24, 0x1f80);
}

#define RUN(...) \
	do { \
		const u8 code_[] = { __VA_ARGS__ }; \
		start(); \
		run(code_, sizeof(code_)); \
	} while (0)
#define IS_NOP(...) \
	do { \
		RUN(__VA_ARGS__); \
		assert_int_equal(out.vec, EXC_BP); \
		assert_int_equal(out.rip, HX_CODE + OFF + sizeof((const u8[]){ __VA_ARGS__ }) + 1); \
		assert_memory_equal(out.gpr, in.gpr, sizeof(in.gpr)); \
	} while (0)
#define RAISES(vec_, ...) \
	do { \
		RUN(__VA_ARGS__); \
		assert_int_equal(out.vec, vec_); \
		assert_int_equal(out.rip, HX_CODE + OFF); \
	} while (0)

/* Programs use them without asking CPUID: libgcc's unwinder RDSSP. */
static void hints_do_nothing(void **state)
{
	(void)state;
	IS_NOP(0xf3, 0x48, 0x0f, 0x1e, 0xc8); /* RDSSPQ rax */
	IS_NOP(0xf3, 0x0f, 0x1e, 0xca);       /* RDSSPD edx */
	IS_NOP(0xf3, 0x41, 0x0f, 0x1e, 0xc8); /* RDSSPD r8d */
	IS_NOP(0xf3, 0x0f, 0x1e, 0xfa);       /* ENDBR64 */
	IS_NOP(0x66, 0xf3, 0x0f, 0x1e, 0xfb); /* ENDBR32 */
	IS_NOP(0xf2, 0x0f, 0x1b, 0xc0);       /* MPX's */
	IS_NOP(0x0f, 0x1c, 0x00);             /* CLDEMOTE [rax] */
	for (unsigned op = 0x18; op <= 0x1f; op++)
		for (unsigned modrm = 0xc0; modrm <= 0xff; modrm++) {
			IS_NOP(0x0f, (u8)op, (u8)modrm);
			IS_NOP(0xf3, 0x0f, (u8)op, (u8)modrm);
		}
	RAISES(EXC_UD, 0xf0, 0x0f, 0x1e, 0xc8); /* LOCK */
}

/* Not even these, whatever they are called elsewhere. */
static void others_instructions(void **state)
{
	(void)state;
	RAISES(EXC_UD, 0x8f, 0xea, 0x78, 0x10, 0xc1, 0x12, 0, 0, 0); /* TBM's BEXTR eax, ecx, imm32 */
	RAISES(EXC_UD, 0xc4, 0xe1, 0x7a, 0xb8, 0xc1);                /* Xeon Phi's POPCNT, VEX */
	RAISES(EXC_UD, 0xc4, 0xe1, 0x7a, 0xbc, 0xc1);
	RAISES(EXC_UD, 0xc4, 0xe1, 0x7a, 0xbd, 0xc1);
	if (hx_no_direct())                                         /* else the host may have it */
		RAISES(EXC_UD, 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1); /* AVX-512 */
}

static void sizes_by_rex(void **state)
{
	(void)state;
	/* F3 90 with REX.B exchanges. */
	RUN(0xf3, 0x49, 0x90);
	assert_int_equal(out.vec, EXC_BP);
	assert_int_equal(out.gpr[0], in.gpr[8]);
	assert_int_equal(out.gpr[8], in.gpr[0]);
	/* FNSTENV with 66 and REX.W: 28 bytes. */
	RUN(0x66, 0x48, 0xd9, 0x30);
	assert_int_equal(out.vec, EXC_BP);
	assert_int_equal(ld_le32(out.data + 0x400), 0xffff037f);
	assert_int_equal(ld_le32(out.data + 0x408), 0xffffffff);
	assert_int_equal(ld_le16(out.data + 0x400 + 26), 0xffff);
}

/* Whether it is too long is known before whether it is anything. */
static void undefined_and_long(void **state)
{
	(void)state;
	/* 0F 3A 01: ModRM and a byte. */
	RAISES(EXC_UD, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f, 0x3a, 0x01, 0xca, 0x12);
	RAISES(EXC_GP, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x0f, 0x3a, 0x01, 0xca, 0x12);
	/* 82: a ModRM and a byte, that are in a page which is not there. */
	const u8 code[] = { 0x82, 0xca };
	start();
	hx_engine(code, sizeof(code), HX_CODE_BYTES - 2, &in, &out);
	assert_int_equal(out.vec, EXC_PF);
	assert_int_equal(out.cr2, HX_CODE + HX_CODE_BYTES);
}

/* Code that was undefined when it was come by first is looked at again when any of its bytes changes. */
static void undefined_then_patched(void **state)
{
	const u8 code[] = {
		0x0f,
		0x04,
		0xc0,
		0xcc, /* undefined; INT3 */
		/* at 4: MOV byte [HX_CODE + OFF + 1], 1Fh; JMP to the first */
		0xc6,
		0x04,
		0x25,
		OFF + 1,
		0x00,
		0x00,
		HX_CODE >> 24,
		0x1f,
		0xeb,
		0xf2,
	};

	(void)state;
	start();
	hx_engine(code, sizeof(code), OFF, &in, &out);
	assert_int_equal(out.vec, EXC_UD);
	hx_engine_again(OFF + 4, &in, &out);
	assert_int_equal(out.vec, EXC_BP);
	assert_int_equal(out.rip, HX_CODE + OFF + 4);
}

int main(int argc, char **argv)
{
	struct soft_options soft = { 0 };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hints_do_nothing),       cmocka_unit_test(others_instructions),
		cmocka_unit_test(sizes_by_rex),           cmocka_unit_test(undefined_and_long),
		cmocka_unit_test(undefined_then_patched),
	};

	for (int i = 1; i + 1 < argc; i += 2)
		if (!soft_arg(&soft, argv[i], argv[i + 1]))
			return 2;
	hx_init(&soft);
	if (soft.direct == SOFT_DIRECT_ALWAYS && hx_no_direct()) {
		printf("skipped: no direct execution: %s\n", hx_no_direct());
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
