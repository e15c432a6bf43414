/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * harness.h - run a few bytes of user code (64-, 32- or 16-bit) both on the host CPU and in the engine, from the same
 * state, and hand both outcomes over for comparison.
 *
 * Both sides see the same linear addresses:
 *   HX_CODE   code, two pages, then nothing
 *   HX_DATA   four pages: two read-write, one read-only, then nothing (a hole)
 * 16-bit code has its segments there: CS at HX_CODE, DS, ES and SS at HX_DATA. Code ends in INT3, or in whatever fault
 * it runs into. Not thread-safe: signals and fixed addresses.
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
	unsigned bits; /* in: of the code: 64 (or 0), 32, 16 */
	u64 gpr[16], rip, rflags;
	u8 ymm[16][32];
	u8 fx[512]; /* FXSAVE image: x87 and MXCSR */
	u8 data[HX_DATA_BYTES];
	u64 dr0, dr7, dr1, dr2, dr3; /* in, of the engine */
	/* out */
	u16 sel[6];   /* by enum cpu_seg_name */
	unsigned vec; /* exception that ended it */
	u64 error, cr2;
};

/* The guest's CPU model ("host"), before hx_init(). */
void hx_model(const char *name);
void hx_init(const struct soft_options *o);
/* Run `n` bytes of code at HX_CODE + off (an INT3 is put behind them). */
void hx_native(const u8 *code, unsigned n, unsigned off, const struct hx_state *in, struct hx_state *out);
void hx_engine(const u8 *code, unsigned n, unsigned off, const struct hx_state *in, struct hx_state *out);
/* The code of the last hx_engine() again. */
void hx_engine_again(unsigned off, const struct hx_state *in, struct hx_state *out);
/* NULL: guest code is executed directly where it can be; else why not. */
const char *hx_no_direct(void);
/* The engine's vCPU. */
struct cpu *hx_cpu(void);
/* Does the guest's CPU model offer the feature? reg: 'a', 'b', 'c', 'd'. */
bool hx_offers(u32 leaf, char reg, unsigned bit);
bool hx_amd(void);
bool hx_have_avx(void);
/* Whether the host lets such code run. */
bool hx_have_bits(unsigned bits);
/* A decoder for what the host executes in 64-bit mode; in code of 64, 32 or 16 bits. */
void hx_decoder(ZydisDecoder *d);
void hx_decoder_bits(ZydisDecoder *d, unsigned bits);
/* Can both sides agree on it? Not CPUID, time, selectors, system calls, what CPU models leave out. */
bool hx_wanted(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops);
/* Disassembly of the code, a line each, to f. */
void hx_disasm(FILE *f, const u8 *code, unsigned n, u64 rip);
void hx_disasm_bits(FILE *f, const u8 *code, unsigned n, u64 rip, unsigned bits);
void hx_disasm_bits(FILE *f, const u8 *code, unsigned n, u64 rip, unsigned bits);

/* The engine's counters. */
void hx_stats(FILE *f);

#endif
