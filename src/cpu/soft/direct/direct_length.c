/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_length.c - lengths of instructions in code of 64 and 32 bits (SDM 2 2.1, appendix A). See direct_length.h. */
#include "cpu/soft/direct/direct_length.h"

/* What comes behind an opcode. */
enum {
	N,  /* nothing */
	B,  /* 8 bits */
	H,  /* 16 */
	Z,  /* 16 or 32 */
	V,  /* 16, 32 or 64 */
	D,  /* 32; in code of 32 bits 16 or 32 */
	A,  /* an address */
	E,  /* 16 and 8 */
	F,  /* a far address */
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

/* In code of 32 bits, where it is not as above. */
static unsigned map0_of32(u8 op)
{
	switch (op) {
	case 0x06: /* PUSH and POP of segments; DAA and the like */
	case 0x07:
	case 0x0e:
	case 0x16:
	case 0x17:
	case 0x1e:
	case 0x1f:
	case 0x27:
	case 0x2f:
	case 0x37:
	case 0x3f:
	case 0x60: /* PUSHA, POPA */
	case 0x61:
	case 0xce: /* INTO */
	case 0xd6: /* SALC */
		return N;
	case 0x62: /* BOUND, LES, LDS */
	case 0xc4:
	case 0xc5:
		return M;
	case 0x82:
		return MB;
	case 0x9a: /* CALL and JMP of a far address */
	case 0xea:
		return F;
	case 0xd4: /* AAM, AAD */
	case 0xd5:
		return B;
	}
	return (op & 0xf0) == 0x40 ? (unsigned)N : map0[op]; /* INC, DEC */
}

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

/* With 16-bit addresses (SDM 2 2.1.5). */
static unsigned address_bytes16(const u8 *p)
{
	unsigned mod = p[0] >> 6;

	return mod == 3 ? 1 : mod == 1 ? 2 : mod == 2 || (p[0] & 7) == 6 ? 3 : 1;
}

static bool is_prefix(u8 b)
{
	return (b & 0xf0) == 0x40 || b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || (b >= 0x64 && b <= 0x67) ||
	       b == 0xf0 || b == 0xf2 || b == 0xf3;
}

struct length direct_length(const u8 *p, bool code32)
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
		if (code32 || (p[i] & 0xf0) != 0x40)
			break;
		/* REX counts where the opcode follows. */
		if (!is_prefix(p[i + 1])) {
			l.prefixes |= p[i] & 8 ? P_W : 0;
			i++;
			break;
		}
	}
	op = p[i];
	if (((op == 0xc5 || op == 0xc4 || op == 0x62) && (!code32 || p[i + 1] >= 0xc0)) ||
	    (op == 0x8f && (p[i + 1] & 0x1f) >= 8)) {
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
		how = code32 ? map0_of32(op) : map0[op];
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
	bool short_address = code32 && (l.prefixes & P_67);
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
	case F:
		i += z + 2;
		break;
	case D:
		i += code32 ? z : 4;
		break;
	case Z:
		i += z;
		break;
	case V:
		i += l.prefixes & P_W ? 8 : z;
		break;
	case A:
		i += short_address ? 2 : code32 || (l.prefixes & P_67) ? 4 : 8;
		break;
	case X:
		return l;
	default: {
		u8 modrm = p[i];
		bool test = (how == G || how == GZ) && !(modrm & 0x30);
		i += short_address ? address_bytes16(p + i) : address_bytes(p + i);
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
