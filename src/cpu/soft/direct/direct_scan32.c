/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_scan32.c - the same as direct_scan.c for code of 32 bits, where more must not be executed directly: whatever
 * reads or loads a segment register (direct_flat.c), and SYSCALL, which loses EIP in the host's kernel.
 *
 * Those have opcodes of one byte, which are everywhere. So here the whole page is decoded. Decoders set out every few
 * bytes, the first one some way before the page, and each goes on until it comes to where an earlier one has been: then
 * they are in step. What a decoder comes upon soon after it set out does not count.
 */
#include "cpu/soft/direct/direct_code.h"
#include "cpu/soft/direct/direct_length.h"

#include <string.h>

#define BEFORE ((unsigned)DIRECT_SCAN_BEFORE)
#define END (BEFORE + PAGE_BYTES)
#define APART 8u   /* from where one decoder sets out to where the next one does */
#define RUN_IN 48u /* bytes until it is taken to be in step */

/* What the instruction is that has its opcode at p. */
static enum page_kind kind_of(const u8 *p, u8 prefixes, const struct direct_host *h)
{
	bool memory = p[1] < 0xc0;
	u8 reg = p[1] >> 3 & 7;

	switch (p[0]) {
	case 0x06: /* PUSH and POP of ES, CS, SS, DS */
	case 0x07:
	case 0x0e:
	case 0x16:
	case 0x17:
	case 0x1e:
	case 0x1f:
	case 0x8c: /* MOV of a segment register */
	case 0x8e:
	case 0x9a: /* CALL, JMP, RET, IRET to another code segment */
	case 0xca:
	case 0xcb:
	case 0xcf:
	case 0xea:
		return PAGE_NEVER;
	case 0xc4: /* LES, LDS */
	case 0xc5:
		return memory ? PAGE_NEVER : PAGE_PLAIN;
	case 0xff: /* CALL and JMP, far, by memory */
		return reg == 3 || reg == 5 ? PAGE_NEVER : PAGE_PLAIN;
	case 0x0f:
		break;
	default:
		return PAGE_PLAIN;
	}
	switch (p[1]) {
	case 0x05: /* SYSCALL */
	case 0xa0: /* PUSH and POP of FS, GS */
	case 0xa1:
	case 0xa8:
	case 0xa9:
	case 0xb2: /* LSS, LFS, LGS */
	case 0xb4:
	case 0xb5:
		return PAGE_NEVER;
	}
	return direct_scan_kind(p, prefixes, h);
}

enum page_kind direct_scan32(const struct direct_host *h, const u8 *before, const u8 *page, const u8 *behind)
{
	u8 text[END + DIRECT_SCAN_BEHIND + DIRECT_LENGTH_LOOKS];
	u64 seen[END / 64 + 1] = { 0 };
	enum page_kind kind = PAGE_PLAIN;

	/* Where nothing is before the page, its first byte begins an instruction. */
	if (before)
		memcpy(text, before + PAGE_BYTES - BEFORE, BEFORE);
	else
		memset(text, 0x90, BEFORE);
	memcpy(text + BEFORE, page, PAGE_BYTES);
	memset(text + END, 0, DIRECT_SCAN_BEHIND + DIRECT_LENGTH_LOOKS);
	if (behind)
		memcpy(text + END, behind, DIRECT_SCAN_BEHIND);
	for (unsigned from = 0; from < END; from += APART) {
		for (unsigned pos = from; pos < END && !(seen[pos / 64] >> (pos % 64) & 1);) {
			struct length l = direct_length(text + pos, true);
			seen[pos / 64] |= 1ull << (pos % 64);
			/* What goes on behind the page is executed only if that may be. */
			bool whole = behind || pos + l.bytes <= END;
			if (l.bytes && l.opcode < l.bytes && pos + l.bytes > BEFORE && pos - from >= RUN_IN && whole) {
				kind = MAX(kind, kind_of(text + pos + l.opcode, l.prefixes, h));
				if (kind == PAGE_NEVER)
					return kind;
			}
			pos += MAX(l.bytes, 1u); /* on behind what is no instruction */
		}
	}
	return kind;
}
