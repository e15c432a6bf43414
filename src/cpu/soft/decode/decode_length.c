/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode_length.c - the length of an undefined instruction.
 *
 * A processor finds an instruction's end by its opcode map alone, and only then asks whether it is defined. So an
 * undefined instruction raises #GP instead of #UD when it is longer than 15 bytes, and #PF when it reaches into a page
 * that is not present. Zydis gives no length for what it does not know. SDM 2A, appendix A; APM 3, appendix A.
 */
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/decode/decode.h"

/* Which immediate follows the opcode (and ModRM, where there is one). */
enum imm {
	I_NONE,
	I_B,
	I_W,
	I_Z,     /* operand size, no more than 4 */
	I_V,     /* MOV r, imm: operand size */
	I_MOFFS, /* address size */
	I_FAR,   /* ptr16:16, ptr16:32 */
	I_ENTER,
	I_GRP3B, /* F6: /0 and /1 have a byte */
	I_GRP3Z,
};

static enum imm imm_one_byte(u8 op)
{
	if (op < 0x40)
		return (op & 7) == 4 ? I_B : (op & 7) == 5 ? I_Z : I_NONE;
	switch (op) {
	case 0x6a:
	case 0x6b:
	case 0x70 ... 0x7f:
	case 0x80:
	case 0x82:
	case 0x83:
	case 0xa8:
	case 0xb0 ... 0xb7:
	case 0xc0:
	case 0xc1:
	case 0xc6:
	case 0xcd:
	case 0xd4:
	case 0xd5:
	case 0xe0 ... 0xe7:
	case 0xeb:
		return I_B;
	case 0x68:
	case 0x69:
	case 0x81:
	case 0xa9:
	case 0xc7:
	case 0xe8:
	case 0xe9:
		return I_Z;
	case 0xb8 ... 0xbf:
		return I_V;
	case 0xa0 ... 0xa3:
		return I_MOFFS;
	case 0xc2:
	case 0xca:
		return I_W;
	case 0xc8:
		return I_ENTER;
	case 0x9a:
	case 0xea:
		return I_FAR;
	case 0xf6:
		return I_GRP3B;
	case 0xf7:
		return I_GRP3Z;
	default:
		return I_NONE;
	}
}

static enum imm imm_0f(u8 op)
{
	switch (op) {
	case 0x0f: /* 3DNow!: the byte says which operation */
	case 0x70 ... 0x73:
	case 0xa4:
	case 0xac:
	case 0xba:
	case 0xc2:
	case 0xc4 ... 0xc6:
		return I_B;
	case 0x80 ... 0x8f:
		return I_Z;
	default:
		return I_NONE;
	}
}

static bool modrm_one_byte(u8 op)
{
	return (op < 0x40 && (op & 7) < 4) || op == 0x62 || op == 0x63 || op == 0x69 || op == 0x6b ||
	       (op & 0xf0) == 0x80 || (op & 0xfe) == 0xc0 || (op & 0xfc) == 0xc4 || (op & 0xfc) == 0xd0 ||
	       (op & 0xf8) == 0xd8 || (op & 0xfe) == 0xf6 || op >= 0xfe;
}

/* On AMD's processors these end with their opcode, among them UD0 and UD1. Intel's UD0 and UD1 have a ModRM byte. */
static bool bare_0f(u8 op, bool amd)
{
	return amd && ((op >= 0x24 && op <= 0x27) || op == 0x36 || (op >= 0x39 && op <= 0x3f && op != 0x3a) ||
		       op == 0x7a || op == 0x7b || op == 0xa6 || op == 0xa7 || op == 0xb9 || op == 0xff);
}

static bool modrm_0f(u8 op, bool amd)
{
	return !((op >= 0x04 && op <= 0x0c && op != 0x0d) || op == 0x0e || (op & 0xf8) == 0x30 || op == 0x77 ||
		 (op & 0xf0) == 0x80 || (op >= 0xa0 && op <= 0xa2) || (op >= 0xa8 && op <= 0xaa) ||
		 (op & 0xf8) == 0xc8 || bare_0f(op, amd));
}

/* Bytes of ModRM, SIB and displacement. Where p ends too early, missing bytes count as 0. */
static unsigned modrm_bytes(const u8 *p, unsigned n, unsigned asize)
{
	u8 modrm = n > 0 ? p[0] : 0, mod = modrm >> 6, rm = modrm & 7;

	if (mod == 3)
		return 1;
	if (asize == 2)
		return 1 + (mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
	unsigned sib = rm == 4, base = sib ? (n > 1 ? p[1] & 7 : 0) : rm;
	return 1 + sib + (mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0);
}

unsigned decode_undefined_length(const u8 *p, unsigned n, unsigned code, bool amd, bool *bare)
{
	unsigned osize = code == 2 ? 2 : 4, asize = code == 0 ? 8 : code == 1 ? 4 : 2, i = 0;
	enum imm imm = I_NONE;
	bool modrm, rex = false, rex_w = false, moves_cr = false;
	u8 op;

	*bare = false;
	for (;; i++) {
		if (i >= n)
			return n + 1;
		op = p[i];
		if (op == 0x66)
			osize = code == 2 ? 4 : 2;
		else if (op == 0x67)
			asize = code == 1 ? 2 : 4;
		else if (code == 0 && (op & 0xf0) == 0x40) {
			rex = true;
			rex_w = op & 8;
			continue;
		} else if (op != 0xf0 && op != 0xf2 && op != 0xf3 && (op & 0xe7) != 0x26 && (op & 0xfe) != 0x64)
			break;
		rex = rex_w = false;
	}
#define NEXT_BYTE() (++i < n ? p[i] : (u8)0)
	u8 second = i + 1 < n ? p[i + 1] : 0;
	bool vex = (op == 0xc4 || op == 0xc5 || op == 0x62) && (code == 0 || second >= 0xc0);
	bool xop = op == 0x8f && (second & 0x1f) >= 8;

	/* REX before them is not allowed; the processor knows that from their second byte. */
	*bare = (vex || xop) && rex && i + 1 < n;
	if (*bare)
		return i + 2;
	if (vex || xop) {
		unsigned map = op == 0xc5 ? 1 : second & (op == 0x62 ? 7 : 0x1f);
		if (i + 1 >= n)
			return n + 1;
		i += op == 0xc5 ? 1 : op == 0x62 ? 3 : 2;
		u8 lead = op;
		op = NEXT_BYTE();
		osize = 4;
		modrm = !(lead != 0x62 && !xop && map == 1 && op == 0x77);
		/* Maps 1, 3, 5 and 7 have immediates where maps 0F and 0F 3A have them. */
		if (xop)
			imm = map == 10 ? I_Z : I_NONE;
		else if (map == 3 || (lead == 0x62 && map == 7))
			imm = I_B;
		else if (map == 1 || (lead == 0x62 && map == 5))
			imm = op == 0x78 && lead != 0x62 ? I_W : imm_0f(op);
		rex_w = false;
	} else if (op == 0x0f) {
		op = NEXT_BYTE();
		if (op == 0x38 || op == 0x3a) {
			imm = op == 0x3a ? I_B : I_NONE;
			NEXT_BYTE();
			modrm = true;
		} else {
			*bare = i < n && bare_0f(op, amd);
			if (*bare)
				return i + 1;
			modrm = modrm_0f(op, amd);
			imm = op == 0x78 && amd ? I_W : imm_0f(op); /* EXTRQ and INSERTQ */
			moves_cr = (op & 0xfc) == 0x20;             /* ModRM.mod is ignored */
		}
	} else {
		modrm = modrm_one_byte(op);
		imm = imm_one_byte(op);
	}
#undef NEXT_BYTE
	i++;
	if (rex_w)
		osize = imm == I_V ? 8 : 4;
	u8 m = i < n ? p[i] : 0;
	if (modrm && moves_cr)
		i++;
	else if (modrm)
		i += modrm_bytes(p + MIN(i, n), i < n ? n - i : 0, asize);
	switch (imm) {
	case I_B:
		return i + 1;
	case I_W:
		return i + 2;
	case I_Z:
	case I_V:
		return i + osize;
	case I_MOFFS:
		return i + asize;
	case I_FAR:
		return i + osize + 2;
	case I_ENTER:
		return i + 3;
	case I_GRP3B:
		return i + ((m & 0x30) == 0);
	case I_GRP3Z:
		return i + ((m & 0x30) == 0 ? osize : 0);
	default:
		return i;
	}
}
