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

#include <string.h>

#define WINDOW \
	((unsigned)DIRECT_SCAN_BEFORE) /* bytes before the place that decoders set out from; some 25 instructions */
#define STARTS 8u                      /* of them */

/* ---- lengths of instructions in 64-bit code (SDM 2 2.1, appendix A) ---- */

enum { P_66 = 1, P_F2 = 2, P_F3 = 4, P_67 = 8, P_W = 16 };

struct length {
	unsigned bytes;  /* 0: no instruction */
	unsigned opcode; /* where the opcode is, without VEX and the like; else behind the end */
	u8 prefixes;
};

/* What comes behind an opcode. */
enum {
	N,  /* nothing */
	B,  /* 8 bits */
	H,  /* 16 */
	Z,  /* 16 or 32 */
	V,  /* 16, 32 or 64 */
	D,  /* 32 */
	A,  /* an address */
	E,  /* 16 and 8 */
	M,  /* ModRM, and its address */
	MB, /* ... and 8 bits */
	MZ, /* ... and 16 or 32 */
	G,  /* ... and for TEST 8 bits; group 3 */
	GZ, /* ... and for TEST 16 or 32 */
	X,  /* invalid, or a prefix that was looked at before */
};

static const u8 map0[256] = {
#define ALU M, M, M, M, B, Z, X, X
	ALU, ALU, ALU, ALU, ALU, ALU, ALU, ALU, X, X, X, X, X, X, X, X, X,  X,  X, X,  X, X, X,  X, /* 40: REX */
	N,   N,   N,   N,   N,   N,   N,   N,   N, N, N, N, N, N, N, N, X,  X,  X, M,  X, X, X,  X,
	Z,   MZ,  B,   MB,  N,   N,   N,   N, /* 60 */
	B,   B,   B,   B,   B,   B,   B,   B,   B, B, B, B, B, B, B, B, MB, MZ, X, MB, M, M, M,  M,
	M,   M,   M,   M,   M,   M,   M,   M, /* 80 */
	N,   N,   N,   N,   N,   N,   N,   N,   N, N, X, N, N, N, N, N, A,  A,  A, A,  N, N, N,  N,
	B,   Z,   N,   N,   N,   N,   N,   N, /* a0 */
	B,   B,   B,   B,   B,   B,   B,   B,   V, V, V, V, V, V, V, V, MB, MB, H, N,  X, X, MB, MZ,
	E,   N,   H,   N,   N,   B,   X,   N, /* c0 */
	M,   M,   M,   M,   X,   X,   X,   N,   M, M, M, M, M, M, M, M, B,  B,  B, B,  B, B, B,  B,
	D,   D,   X,   B,   N,   N,   N,   N, /* e0 */
	X,   N,   X,   X,   N,   N,   G,   GZ,  N, N, N, N, N, N, M, M,
};

static const u8 map1[256] = {
	M,  M,  M,  M,  X,  N,  N,  N, N, N, X,  N, X,  M, N, MB,
	M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M, /* 10 */
	B,  B,  B,  B,  X,  X,  X,  X, M, M, M,  M, M,  M, M, M, /* MOV CR and DR: no address, whatever ModRM says */
	N,  N,  N,  N,  N,  N,  X,  N, X, X, X,  X, X,  X, X, X, /* 30 */
	M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M, /* 50 */
	M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	MB, MB, MB, MB, M,  M,  M,  N, M, M, M,  M, M,  M, M, M, /* 70 */
	D,  D,  D,  D,  D,  D,  D,  D, D, D, D,  D, D,  D, D, D,
	M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M, /* 90 */
	N,  N,  N,  M,  MB, M,  M,  M, N, N, N,  M, MB, M, M, M,
	M,  M,  M,  M,  M,  M,  M,  M, M, M, MB, M, M,  M, M, M, /* b0 */
	M,  M,  MB, M,  MB, MB, MB, M, N, N, N,  N, N,  N, N, N,
	M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M, /* d0 */
	M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M, /* f0 */
};

/* ModRM and what its address has: 1 to 6 bytes. */
static unsigned address_bytes(const u8 *p)
{
	unsigned mod = p[0] >> 6, rm = p[0] & 7;

	if (mod == 3)
		return 1;
	unsigned n = rm == 4 ? 2 : 1;
	if (mod == 1)
		return n + 1;
	if (mod == 2 || rm == 5 || (rm == 4 && (p[1] & 7) == 5))
		return n + 4;
	return n;
}

static bool is_prefix(u8 b)
{
	return (b & 0xf0) == 0x40 || b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || (b >= 0x64 && b <= 0x67) ||
	       b == 0xf0 || b == 0xf2 || b == 0xf3;
}

/* p: 24 bytes. */
static struct length length_of(const u8 *p)
{
	struct length l = { .opcode = 16 };
	unsigned i = 0, how;
	u8 op;

	for (;; i++) {
		if (i == 14)
			return l;
		switch (p[i]) {
		case 0x66:
			l.prefixes |= P_66;
			continue;
		case 0x67:
			l.prefixes |= P_67;
			continue;
		case 0xf2:
			l.prefixes |= P_F2;
			continue;
		case 0xf3:
			l.prefixes |= P_F3;
			continue;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0xf0:
			continue;
		}
		if ((p[i] & 0xf0) != 0x40)
			break;
		/* REX counts where the opcode follows. */
		if (!is_prefix(p[i + 1])) {
			l.prefixes |= p[i] & 8 ? P_W : 0;
			i++;
			break;
		}
	}
	op = p[i];
	if (op == 0xc5 || op == 0xc4 || op == 0x62 || (op == 0x8f && (p[i + 1] & 0x1f) >= 8)) {
		/* VEX, EVEX and XOP: the number of the map, and then its opcode. */
		unsigned map = op == 0xc5 ? 1 : p[i + 1] & (op == 0x62 ? 7 : 0x1f);
		i += op == 0xc5 ? 2 : op == 0x62 ? 4 : 3;
		if (i > 13)
			return l;
		op = p[i++];
		how = map == 1 ? map1[op] : map == 3 || map == 8 ? MB : map == 10 ? MZ : M;
		if (map == 10)
			l.prefixes &= (u8)~P_66;
	} else {
		l.opcode = i++;
		how = map0[op];
		if (op == 0x0f) {
			op = p[i++];
			how = map1[op];
			if (op == 0x38 || op == 0x3a) {
				i++;
				how = op == 0x38 ? M : MB;
			}
		}
	}
	if (i > 15)
		return l;
	unsigned z = l.prefixes & P_66 && !(l.prefixes & P_W) ? 2 : 4;
	switch (how) {
	case N:
		break;
	case B:
		i += 1;
		break;
	case H:
		i += 2;
		break;
	case E:
		i += 3;
		break;
	case D:
		i += 4;
		break;
	case Z:
		i += z;
		break;
	case V:
		i += l.prefixes & P_W ? 8 : z;
		break;
	case A:
		i += l.prefixes & P_67 ? 4 : 8;
		break;
	case X:
		return l;
	default: {
		u8 modrm = p[i];
		bool test = (how == G || how == GZ) && !(modrm & 0x30);
		i += address_bytes(p + i);
		if (how == MB || (how == G && test))
			i += 1;
		else if (how == MZ || (how == GZ && test))
			i += z;
		break;
	}
	}
	l.bytes = i <= 15 ? i : 0;
	return l;
}

/* ---- what shall not be executed directly ---- */

/* What an instruction with its opcode at p is. prefixes: those that make it another one; ~0: any may be there. */
static enum page_kind kind_of(const u8 *p, u8 prefixes, const struct direct_host *h)
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
#define SLACK 24                /* that length_of() may look at behind the last opcode */

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
			struct length l = length_of(t->b + pos);
			seen[(pos - lo) / 64] |= 1ull << ((pos - lo) % 64);
			if (l.bytes && pos + l.opcode == at && pos + l.bytes > WINDOW) {
				enum page_kind kind = kind_of(t->b + at, l.prefixes, h);
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
			if (unlikely(kind_of(at, 0xff, h) > kind))
				kind = MAX(kind, decode_at(h, &t, (size_t)(at - t.b)));
			at++;
		}
	}
	return kind;
}
