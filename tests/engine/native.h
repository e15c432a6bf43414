/* SPDX-License-Identifier: GPL-2.0-or-later */
/* native.h - between harness.c and native.c. */
#ifndef MICA_TEST_NATIVE_H
#define MICA_TEST_NATIVE_H

#include "harness.h"
#include "cpu/cpu.h"

/* Linux's selectors for user code, and those of the local descriptor table that both sides have. */
#define HX_SEL32_CODE 0x23u
#define HX_SEL_DATA 0x2bu
#define HX_SEL64_CODE 0x33u
#define HX_SEL16_CODE 0x07u  /* base HX_CODE, 64 KiB */
#define HX_SEL16_DATA 0x0fu  /* base HX_DATA, 64 KiB */
#define HX_SEL16_STACK 0x17u /* ... the same */
/* In 64-bit code, so that an override with small registers meets the data. */
#define HX_FS_BASE 0x40ull
#define HX_GS_BASE 0x80ull

void hx_native_map(void);
/* After the engine, whose SIGFPE handler is asked for what is not test code's. */
void hx_native_signals(void);

#endif
