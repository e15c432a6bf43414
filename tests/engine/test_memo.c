/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_memo.c - what the memo of decoded instructions gives is what decoding gives: instructions at random, each with
 * one set of constants after the other, in all three code sizes.
 */
#include "harness.h"
#include "cpu/soft/decode/memo.h"
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/run/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define POOL 512u
#define CASES 300000u

static u64 seed = 1;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull >> 8;
}

static void random_insn(u8 *p, unsigned code)
{
	static const u8 prefix[] = { 0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x64, 0xf0 };
	unsigned n = 0;

	while (n < 3 && !(rnd() & 3))
		p[n++] = prefix[rnd() % ARRAY_LEN(prefix)];
	if (!code && (rnd() & 1))
		p[n++] = (u8)(0x40 | (rnd() & 15));
	if (!(rnd() & 3))
		p[n++] = 0x0f;
	while (n < 15)
		p[n++] = (u8)rnd();
}

/* Other constants, now and then such as might mean something. */
static void change(u8 *p, unsigned n)
{
	static const u8 notable[] = { 0, 0xff, 1, 0x80, 0x7f };
	bool all = rnd() & 1;
	u8 v = notable[rnd() % ARRAY_LEN(notable)];

	for (unsigned i = 0; i < n; i++)
		p[i] = all ? v : (u8)rnd();
}

static void compare(struct soft_cpu *c, unsigned code, u8 *bytes, u64 *kept, u64 *uops)
{
	struct {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	} want, got;
	struct uop u, three[3] = { 0 };
	ZyanStatus st;
	unsigned room = rnd() & 7 ? 15 : (unsigned)(rnd() % 16);
	u8 copy[MEMO_BYTES] = { 0 };

	memcpy(copy, bytes, room);
	ZyanStatus ref = ZydisDecoderDecodeFull(&c->vm->decoder[code], copy, room, &want.in, want.ops);
	struct memo *e = memo_find(c, code, copy, room, &st);
	assert_int_equal(st, ref);
	if (ZYAN_FAILED(st))
		return;
	memo_copy(&got.in, got.ops, memo_insn(c, e, copy));
	assert_memory_equal(&got.in, &want.in, sizeof(got.in));
	assert_memory_equal(got.ops, want.ops, sizeof(got.ops));
	*kept += e->mask != 0;
	if (memo_uop(e, copy, &u)) {
		struct decode d = { .c = c,
				    .mode = code == 0   ? MODE_CODE64
					    : code == 1 ? MODE_CODE32
							: 0,
				    .insn = &want.in,
				    .ops = want.ops,
				    .bytes = copy,
				    .page_off = 0x123,
				    .u = three };
		decode_begin(&d);
		assert_true(decode_insn(&d));
		assert_int_equal(d.nu, 1);
		assert_int_equal(d.end, e->end);
		assert_memory_equal(&u, &three[0], sizeof(u));
		++*uops;
	}
	change(bytes + want.in.raw.disp.offset, want.in.raw.disp.size / 8);
	for (unsigned k = 0; k < 2; k++)
		if (want.in.raw.imm[k].size)
			change(bytes + want.in.raw.imm[k].offset, want.in.raw.imm[k].size / 8);
}

static void test_memo(void **state)
{
	static u8 pool[POOL][MEMO_BYTES];
	struct soft_cpu *c = soft_cpu_of(hx_cpu());

	(void)state;
	for (unsigned code = 0; code < 3; code++) {
		u64 kept = 0, uops = 0;
		for (unsigned n = 0; n < CASES; n++) {
			u8 *p = pool[rnd() % POOL];
			if (!(rnd() & 15))
				random_insn(p, code);
			compare(c, code, p, &kept, &uops);
		}
		/* It is of no use if it keeps little. */
		assert_true(kept > CASES / 4 && uops > CASES / 16);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_memo) };

	hx_init(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
