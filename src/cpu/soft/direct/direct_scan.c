/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_scan.c - does a page hold instructions that must not be executed directly? See direct.h for which, and why.
 *
 * Their bytes are looked for first. Most such bytes are parts of other instructions - 0F 00 is in every second page of
 * code, in displacements - so what is found is decoded: x86 code that is decoded from anywhere falls into step after a
 * few instructions. Several decoders set out some way before the bytes, each a byte behind the last, and if only one
 * of them comes upon such an instruction there, it is one. They need lengths only, and a real decoder takes 30
 * times as long. Who wants to hide an instruction from this can, and sees what the host's processor answers; nothing
 * more depends on it.
 */
#include "cpu/soft/direct/direct_code.h"
#include "cpu/soft/direct/direct_length.h"

#include <string.h>

#define WINDOW \
	((unsigned)DIRECT_SCAN_BEFORE) /* bytes before the place that decoders set out from; some 25 instructions */
#define STARTS 8u                      /* of them */

/* ---- what shall not be executed directly ---- */

enum page_kind direct_scan_kind(const u8 *p, u8 prefixes, const struct direct_host *h)
{
	u8 a = p[1], b = p[2], reg = b >> 3 & 7;
	bool memory = b < 0xc0, plain = prefixes == 0xff || !(prefixes & (P_66 | P_F2 | P_F3)), f3 = prefixes & P_F3;

	if (p[0] == 0xcd) /* the upper half of RAX is lost on the way through the host's kernel */
		return a == 0x80 ? PAGE_NEVER : PAGE_PLAIN;
	switch (a) {
	case 0x00: /* SLDT, STR, VERR, VERW */
		return reg == 0 || reg == 1 || reg == 4 || reg == 5 ? PAGE_NEVER : PAGE_PLAIN;
	case 0x01:
		if (b == 0xd0) /* XGETBV */
			return PAGE_ASKS;
		if (b == 0xf9) /* RDTSCP */
			return h->tsc_faults ? PAGE_PLAIN : PAGE_NEVER;
		/* SGDT, SIDT, SMSW; VMCALL, VMMCALL: a host that is a guest has its own to answer; RDPKRU, WRPKRU;
		 * RDPRU */
		return reg == 4 || (memory && reg <= 1) || b == 0xc1 || b == 0xd9 || b == 0xee || b == 0xef || b == 0xfd
			   ? PAGE_NEVER
			   : PAGE_PLAIN;
	case 0x02: /* LAR */
	case 0x03: /* LSL */
	case 0x33: /* RDPMC */
	case 0x34: /* SYSENTER: RIP and RSP are lost in the host's kernel */
		return PAGE_NEVER;
	case 0x31: /* RDTSC */
		return h->tsc_faults ? PAGE_PLAIN : PAGE_NEVER;
	case 0xa2: /* CPUID */
		return h->cpuid_faults ? PAGE_PLAIN : PAGE_ASKS;
	case 0xae: /* XSAVE, XRSTOR, XSAVEOPT; RDFSBASE and the like */
		return (memory && reg >= 4 && reg <= 6 && plain) || (!memory && reg <= 3 && f3 && !h->fsgsbase)
			   ? PAGE_NEVER
			   : PAGE_PLAIN;
	case 0xc7: /* XSAVEC, XSAVES, XRSTORS; RDPID */
		return (memory && reg >= 3 && reg <= 5) || (!memory && reg == 7 && f3) ? PAGE_NEVER : PAGE_PLAIN;
	}
	return PAGE_PLAIN;
}

#define TAIL DIRECT_SCAN_BEHIND /* of the page behind */
#define SLACK DIRECT_LENGTH_LOOKS

/* A page, and what stands around it. */
struct text {
	u8 b[WINDOW + PAGE_BYTES + TAIL + SLACK];
};

/* What a decoder comes upon that has its opcode at t->b[at], and a byte in the page. */
static enum page_kind decode_at(const struct direct_host *h, const struct text *t, size_t at)
{
	size_t lo = at > WINDOW ? at - WINDOW : 0;
	u64 seen[2] = { 0 }; /* positions from lo on that one has been at */

	for (size_t from = lo; from < lo + STARTS; from++) {
		size_t pos = from;
		while (pos <= at && pos < WINDOW + PAGE_BYTES && !(seen[(pos - lo) / 64] >> ((pos - lo) % 64) & 1)) {
			struct length l = direct_length(t->b + pos, false);
			seen[(pos - lo) / 64] |= 1ull << ((pos - lo) % 64);
			if (l.bytes && pos + l.opcode == at && pos + l.bytes > WINDOW) {
				enum page_kind kind = direct_scan_kind(t->b + at, l.prefixes, h);
				if (kind != PAGE_PLAIN)
					return kind;
			}
			pos += MAX(l.bytes, 1u); /* on behind what is no instruction */
		}
	}
	return PAGE_PLAIN;
}

enum page_kind direct_scan(const struct direct_host *h, const u8 *before, const u8 *page, const u8 *behind)
{
	static const u8 first[] = { 0x0f, 0xcd };
	enum page_kind kind = PAGE_PLAIN;
	struct text t;

	/* Where nothing is before the page, its first byte begins an instruction. */
	if (before)
		memcpy(t.b, before + PAGE_BYTES - WINDOW, WINDOW);
	else
		memset(t.b, 0x90, WINDOW);
	memcpy(t.b + WINDOW, page, PAGE_BYTES);
	memset(t.b + WINDOW + PAGE_BYTES, 0, TAIL + SLACK);
	if (behind)
		memcpy(t.b + WINDOW + PAGE_BYTES, behind, TAIL);
	for (unsigned i = 0; i < ARRAY_LEN(first); i++) {
		/* An opcode has three bytes, and 14 prefixes at most. */
		const u8 *at = t.b + WINDOW - 2, *end = t.b + WINDOW + PAGE_BYTES + (behind ? 14 : 0);
		while (kind != PAGE_NEVER && (at = memchr(at, first[i], (size_t)(end - at)))) {
			if (unlikely(direct_scan_kind(at, 0xff, h) > kind))
				kind = MAX(kind, decode_at(h, &t, (size_t)(at - t.b)));
			at++;
		}
	}
	return kind;
}
