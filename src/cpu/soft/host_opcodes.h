/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * host_opcodes.h - the bytes that host instructions are made of (SDM 2 appendix A): for the translator, and for the
 * stubs of vector instructions.
 *
 * X_OP_R_M is the form that reads ModRM.rm and writes ModRM.reg, X_OP_M_R the other way round; _I8 and _I have an
 * immediate of one byte or of four; X8_ is of bytes, or a group whose /digit is an XG_.
 */
#ifndef MICA_SOFT_HOST_OPCODES_H
#define MICA_SOFT_HOST_OPCODES_H

/* Prefixes, and what goes before an opcode of another map. */
enum jx_prefix {
	X_OSIZE = 0x66,
	X_LOCK = 0xf0,
	X_REPNE = 0xf2,
	X_REP = 0xf3,
	X_REX = 0x40,
	X_REX_W = 0x48,
	X_VEX3 = 0xc4,
	X_VEX2 = 0xc5,
	X_0F = 0x0f,
	X_0F38 = 0x38, /* after X_0F */
	X_0F3A = 0x3a,
};

/* The one-byte map. */
enum jx_opcode {
	X_ADD_R_M = 0x03,
	X_ADD_AL_I8 = 0x04,
	X8_OR_R_M = 0x0a,
	X_OR_M_R = 0x09,
	X_OR_R_M = 0x0b,
	X_AND_EAX_I = 0x25,
	X_SUB_R_M = 0x2b,
	X8_XOR_M_R = 0x30,
	X_XOR_M_R = 0x31,
	X_XOR_R_M = 0x33,
	X8_CMP_M_R = 0x38,
	X_CMP_R_M = 0x3b,
	X_CMP_EAX_I = 0x3d,
	X_PUSH = 0x50, /* + register */
	X_POP = 0x58,
	X_MOVSXD = 0x63,
	X8_ALU_I8 = 0x80, /* XG_ADD... */
	X_ALU_I = 0x81,
	X8_ALU_I8_32 = 0x82, /* X8_ALU_I8 once more, outside of 64-bit code */
	X_ALU_I8 = 0x83,
	X8_TEST_M_R = 0x84,
	X_TEST_M_R = 0x85,
	X8_MOV_M_R = 0x88,
	X_MOV_M_R = 0x89,
	X8_MOV_R_M = 0x8a,
	X_MOV_R_M = 0x8b,
	X_LEA = 0x8d,
	X_POP_M = 0x8f,
	X_NOP = 0x90,
	X_CBW = 0x98,
	X_CWD = 0x99,
	X_FWAIT = 0x9b,
	X_SAHF = 0x9e,
	X_LAHF = 0x9f,
	X8_MOVS = 0xa4,
	X_TEST_AL_I8 = 0xa8,
	X_TEST_EAX_I = 0xa9,
	X8_STOS = 0xaa,
	X8_MOV_R_I8 = 0xb0, /* + register */
	X_MOV_R_I = 0xb8,   /* + register */
	X_SHIFT_I8 = 0xc1,  /* XG_SHL... */
	X_RET = 0xc3,
	X_MOV_M_I = 0xc7,
	X_INT3 = 0xcc,
	X_X87_D9 = 0xd9,
	X_X87_DD = 0xdd,
	X_X87_DF = 0xdf,
	X_CALL = 0xe8,
	X_JMP = 0xe9,
	X8_TEST_M_I8 = 0xf6,
	X_GROUP3 = 0xf7, /* XG_NEG */
	X_GROUP5 = 0xff, /* XG_CALL, XG_JMP */
};

/* After X_0F. */
enum jx_opcode_0f {
	X0F_MOVUPS = 0x10, /* | 1: store */
	X0F_NOP = 0x1f,
	X0F_RDTSC = 0x31,
	X0F_VZEROUPPER = 0x77,
	X0F_MOVQ_M_MM = 0x7f,
	X0F_JCC = 0x80, /* + condition */
	X0F_SETCC = 0x90,
	X0F_BT_M_R = 0xa3,
	X0F_GROUP15 = 0xae,
	X0F_MOVZX8 = 0xb6,
	X0F_MOVZX16 = 0xb7,
	X0F_MOVSX8 = 0xbe,
	X0F_MOVSX16 = 0xbf,
	X0F_GROUP9 = 0xc7,
};

/* After X_0F, X_0F3A, or with VEX. */
enum jx_opcode_0f3a {
	X0F3A_RORX = 0xf0,
};

/* ModRM.reg of groups. */
enum { XG_ADD, XG_OR, XG_ADC, XG_SBB, XG_AND, XG_SUB, XG_XOR, XG_CMP };
enum { XG_SHL = 4, XG_SHR = 5, XG_SAR = 7 };
enum { XG_TEST, XG_NEG = 3 };
enum { XG_CALL = 2, XG_JMP = 4 };
enum { XG_CMPXCHG16B = 1 };             /* group 9; without REX.W CMPXCHG8B */
enum { XG_STMXCSR = 3, XG_LFENCE = 5 }; /* group 15 */
enum { XG_FLDENV = 4, XG_FRSTOR = 4 };  /* D9, DD */
enum { XG_FNSTSW = 4 };                 /* DF, of a register: AX */

#define X_MODRM(mod, reg, rm) ((unsigned char)((mod) << 6 | ((reg)&7) << 3 | ((rm)&7)))
#define X_REGS(reg, rm) X_MODRM(3, reg, rm)
/* The operand in memory is one with an index, in X_SIB(). */
#define X_RM_SIB 4u
#define X_SIB(scale, index, base) ((unsigned char)((scale) << 6 | ((index)&7) << 3 | ((base)&7)))

/* Behind X_VEX3 two bytes, behind X_VEX2 one (SDM 2, 2.3.5). b, r, v: the upper bits of registers, and a register; all
 * are inverted there. pp: 0, and 1 to 3 for 66, F3, F2. */
#define X_VEX_MAP 0x1fu
#define X_VEX_W 0x80u
#define X_VEX_W_L_PP 0x87u
#define X_VEX_RB(map, r, b) ((unsigned char)((map) | !(r) << 7 | 0x40 | !(b) << 5))
#define X_VEX_V(v) ((~(v)&15u) << 3)
#define X_VEX_WVL(w, v, l, pp) ((unsigned char)((w) << 7 | X_VEX_V(v) | (l) << 2 | (pp)))
#define X_VEX_RVL(r, v, l, pp) ((unsigned char)(!(r) << 7 | X_VEX_V(v) | (l) << 2 | (pp)))
/* Added to the byte that SETO left: 1 overflows, and so OF is set again. SAHF loads the others. */
#define X_SETS_OF 0x7f

#endif
