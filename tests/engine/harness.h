/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * harness.h - run a few bytes of 64-bit user code both on the host CPU and in the engine, from the same
 * state, and hand both outcomes over for comparison.
 *
 * Both sides see the same linear addresses:
 *   HX_CODE   code, two pages, then nothing
 *   HX_DATA   four pages: two read-write, one read-only, then nothing (a hole)
 * Code ends in INT3, or in whatever fault it runs into. Not thread-safe: signals and fixed addresses.
 */
#ifndef MICA_TEST_HARNESS_H
#define MICA_TEST_HARNESS_H

#include "base/base.h"
#include "cpu/soft_options.h"

#include <Zydis/Zydis.h>

#define HX_CODE 0x10000000ull
#define HX_CODE_BYTES 8192
#define HX_DATA 0x20000000ull
#define HX_DATA_RW 8192
#define HX_DATA_BYTES (3 * 4096)

#define HX_ENDLESS 1000 /* vec: the host CPU did not come to an end; the engine need not be asked */

struct hx_state {
	u64 gpr[16], rip, rflags;
	u8 ymm[16][32];
	u8 fx[512]; /* FXSAVE image: x87 and MXCSR */
	u8 data[HX_DATA_BYTES];
	/* out */
	unsigned vec; /* exception that ended it */
	u64 error, cr2;
};

void hx_init(const struct soft_options *o);
/* Run `n` bytes of code at HX_CODE + off (an INT3 is put behind them). */
void hx_native(const u8 *code, unsigned n, unsigned off, const struct hx_state *in, struct hx_state *out);
void hx_engine(const u8 *code, unsigned n, unsigned off, const struct hx_state *in, struct hx_state *out);
/* The code of the last hx_engine() again. */
void hx_engine_again(unsigned off, const struct hx_state *in, struct hx_state *out);
/* The engine's vCPU. */
struct cpu *hx_cpu(void);
bool hx_have_avx(void);
/* A decoder for what the host executes in 64-bit mode. */
void hx_decoder(ZydisDecoder *d);
/* Can both sides agree on it? Not CPUID, time, selectors, system calls, what CPU models leave out. */
bool hx_wanted(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops);
/* Disassembly of the code, a line each, to f. */
void hx_disasm(FILE *f, const u8 *code, unsigned n, u64 rip);

/* The engine's counters. */
void hx_stats(FILE *f);

#endif
