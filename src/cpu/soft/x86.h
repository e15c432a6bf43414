/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x86.h - numbers of the architecture: exceptions, RFLAGS, control registers, EFER.
 */
#ifndef MICA_SOFT_X86_H
#define MICA_SOFT_X86_H

#include "base/base.h"

/* ---- exceptions ---- */
enum soft_exc {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19,
};
#define EXC_NO_ERROR (-1)

/* ---- RFLAGS ---- */
#define FL_CF 0x0001u
#define FL_PF 0x0004u
#define FL_AF 0x0010u
#define FL_ZF 0x0040u
#define FL_SF 0x0080u
#define FL_TF 0x0100u
#define FL_IF 0x0200u
#define FL_DF 0x0400u
#define FL_OF 0x0800u
#define FL_IOPL 0x3000u
#define FL_NT 0x4000u
#define FL_RF 0x10000u
#define FL_VM 0x20000u
#define FL_AC 0x40000u
#define FL_VIF 0x80000u
#define FL_VIP 0x100000u
#define FL_ID 0x200000u
#define FL_STATUS (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* ---- control registers, EFER ---- */
#define CR0_PE 0x1ull
#define CR0_MP 0x2ull
#define CR0_EM 0x4ull
#define CR0_TS 0x8ull
#define CR0_ET 0x10ull
#define CR0_NE 0x20ull
#define CR0_WP 0x10000ull
#define CR0_AM 0x40000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull
#define CR3_NO_FLUSH 0x8000000000000000ull
#define CR4_VME 0x1ull
#define CR4_PVI 0x2ull
#define CR4_TSD 0x4ull
#define CR4_DE 0x8ull
#define CR4_PSE 0x10ull
#define CR4_PAE 0x20ull
#define CR4_MCE 0x40ull
#define CR4_PGE 0x80ull
#define CR4_PCE 0x100ull
#define CR4_OSFXSR 0x200ull
#define CR4_OSXMMEXCPT 0x400ull
#define CR4_UMIP 0x800ull
#define CR4_FSGSBASE 0x10000ull
#define CR4_PCIDE 0x20000ull
#define CR4_OSXSAVE 0x40000ull
#define CR4_SMEP 0x100000ull
#define CR4_SMAP 0x200000ull
#define EFER_SCE 0x1ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define EFER_NXE 0x800ull

/* ---- DR7: breakpoint i ---- */
static inline bool dr7_enabled(u64 dr7, unsigned i)
{
	return dr7 >> (2 * i) & 3;
}
static inline unsigned dr7_bytes(u64 dr7, unsigned i)
{
	static const u8 len[4] = { 1, 2, 8, 4 };

	return len[dr7 >> (18 + 4 * i) & 3];
}
#define DR7_EXEC 0u
#define DR7_WRITE 1u
#define DR7_IO 2u
#define DR7_ACCESS 3u
static inline unsigned dr7_kind(u64 dr7, unsigned i)
{
	return dr7 >> (16 + 4 * i) & 3;
}
static inline bool dr7_any(u64 dr7)
{
	return dr7 & 0xff;
}

#endif
