/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec.h - what exec*.c's handlers are made of: register and memory operands on the fast path,
 * going on to other blocks. Only for handlers; see handler.h for the rules they keep.
 */
#ifndef MICA_SOFT_EXEC_H
#define MICA_SOFT_EXEC_H

#include "cpu/soft/ea.h"
#include "cpu/soft/handler.h"
#include "cpu/soft/memory/access.h"

/* uop.aux of integer handlers */
#define AUX_MEM 1u  /* the operand is in memory */
#define AUX_LOCK 2u /* LOCK prefix */
#define AUX_IMM 4u  /* count / second operand is op->imm */
#define AUX_REP 8u  /* REP/REPE */
#define AUX_REPNE 16u

/* Registers. For 8-bit ones r is a byte offset into gpr[]. */
#define RD8(r) (((const u8 *)c->gpr)[r])
#define RD16(r) (*(const u16 *)(const void *)&c->gpr[r])
#define RD32(r) (*(const u32 *)(const void *)&c->gpr[r])
#define RD64(r) (c->gpr[r])
#define WR8(r, v) (((u8 *)c->gpr)[r] = (u8)(v))
#define WR16(r, v) (*(u16 *)(void *)&c->gpr[r] = (u16)(v))
#define WR32(r, v) (c->gpr[r] = (u32)(v))
#define WR64(r, v) (c->gpr[r] = (u64)(v))

#define always_inline_ static inline __attribute__((always_inline))

always_inline_ u64 reg_rd(const struct soft_cpu *c, unsigned r, unsigned bytes)
{
	return bytes == 1 ? RD8(r) : bytes == 2 ? RD16(r) : bytes == 4 ? RD32(r) : RD64(r);
}

always_inline_ void reg_wr(struct soft_cpu *c, unsigned r, unsigned bytes, u64 v)
{
	if (bytes == 8)
		WR64(r, v);
	else if (bytes == 4)
		WR32(r, v);
	else if (bytes == 2)
		WR16(r, v);
	else
		WR8(r, v);
}

always_inline_ void set_fl(struct soft_cpu *c, u32 f)
{
	*(u16 *)(void *)&c->fl = (u16)f;
}

/* Linear address of the memory operand. */
always_inline_ gva_t ea(struct soft_cpu *c, const struct uop *op, unsigned bytes, bool write)
{
	if (unlikely(op->ea & EA_SLOW)) {
		SOFT_ENTER(c, op);
		return soft_ea(c, op, bytes, write);
	}
	return c->gpr[op->base] + (c->gpr[op->index] << op->scale) + (u64)(s64)op->disp + c->eff_base[op->seg];
}

#define DEF_MEM(bits) \
	always_inline_ u##bits mem_ld##bits(struct soft_cpu *c, const struct uop *op, gva_t lin) \
	{ \
		const struct tlb_entry *e = &c->tlb[tlb_hash(lin)]; \
		if (likely(((lin + bits / 8 - 1) & PAGE_MASK) == e->rtag)) \
			return *(const volatile guest_u##bits *)(uintptr_t)(lin + e->addend); \
		SOFT_ENTER(c, op); \
		return soft_ld##bits(c, lin); \
	} \
	always_inline_ void mem_st##bits(struct soft_cpu *c, const struct uop *op, gva_t lin, u##bits v) \
	{ \
		const struct tlb_entry *e = &c->tlb[tlb_hash(lin)]; \
		if (likely(((lin + bits / 8 - 1) & PAGE_MASK) == e->wtag)) { \
			*(volatile guest_u##bits *)(uintptr_t)(lin + e->addend) = v; \
			return; \
		} \
		SOFT_ENTER(c, op); \
		soft_st##bits(c, lin, v); \
	} \
	/* Host pointer for read-modify-write, or NULL: then soft_ld and soft_st. */ \
	always_inline_ guest_u##bits *mem_rmw##bits(struct soft_cpu *c, const struct uop *op, gva_t lin) \
	{ \
		const struct tlb_entry *e = &c->tlb[tlb_hash(lin)]; \
		if (likely(((lin + bits / 8 - 1) & PAGE_MASK) == e->wtag)) \
			return (guest_u##bits *)(uintptr_t)(lin + e->addend); \
		SOFT_ENTER(c, op); \
		return soft_rmw_ptr(c, lin, bits / 8); \
	}
DEF_MEM(8)
DEF_MEM(16)
DEF_MEM(32)
DEF_MEM(64)
#undef DEF_MEM

always_inline_ u64 mem_ld(struct soft_cpu *c, const struct uop *op, gva_t lin, unsigned bytes)
{
	return bytes == 8   ? mem_ld64(c, op, lin)
	       : bytes == 4 ? mem_ld32(c, op, lin)
	       : bytes == 2 ? mem_ld16(c, op, lin)
			    : mem_ld8(c, op, lin);
}

always_inline_ void mem_st(struct soft_cpu *c, const struct uop *op, gva_t lin, unsigned bytes, u64 v)
{
	if (bytes == 8)
		mem_st64(c, op, lin, v);
	else if (bytes == 4)
		mem_st32(c, op, lin, (u32)v);
	else if (bytes == 2)
		mem_st16(c, op, lin, (u16)v);
	else
		mem_st8(c, op, lin, (u8)v);
}

/* The r/m operand as a source: r1 or memory. */
always_inline_ u64 rm_rd(struct soft_cpu *c, const struct uop *op, unsigned bytes)
{
	return op->aux & AUX_MEM ? mem_ld(c, op, ea(c, op, bytes, false), bytes) : reg_rd(c, op->r1, bytes);
}

/* ---- going on ---- */

/* 64-bit code: continue at linear address t, which may be anything. */
#define GOTO_RIP64(c, op, t) \
	do { \
		u64 t_ = (t); \
		struct jc_entry *e_ = &(c)->jc[jc_hash(t_)]; \
		if (likely(e_->key == t_ && !e_->block->dead && \
			   !atomic_load_explicit(&(c)->pending, memory_order_relaxed))) { \
			(c)->gpr[GPR_BLK] = t_; \
			GOTO_UOP((c), e_->block->op); \
		} \
		(c)->rip = t_; \
		LEAVE(c, op); \
	} while (0)

#if defined(__clang__) && !defined(SOFT_TRAMPOLINE)
#define TAIL(fn, c, op) __attribute__((musttail)) return fn((c), (op))
#else
#define TAIL(fn, c, op) return fn((c), (op))
#endif
#define LEAVE(c, op) TAIL(soft_leave, c, op)

/* 64-bit code: continue at t, in the same page as this block; op->ptr remembers the block. */
#define GOTO_LINK64(c, op, t) \
	do { \
		struct block *b_ = __atomic_load_n((struct block *const *)&(op)->ptr, __ATOMIC_RELAXED); \
		u64 t_ = (t); \
		if (likely(b_ && !b_->dead && !atomic_load_explicit(&(c)->pending, memory_order_relaxed))) { \
			(c)->gpr[GPR_BLK] = t_; \
			GOTO_UOP((c), b_->op); \
		} \
		(c)->rip = t_; \
		TAIL(exec_link, c, op); \
	} while (0)

/* soft_leave(), and put the block found into op->ptr. */
void exec_link(struct soft_cpu *c, const struct uop *op);

/* Conditions 0..15 as in Jcc (SDM 2 appendix B.1.4), from the flags in LAHF/SETO form. */
always_inline_ bool cond(u32 fl, unsigned cc)
{
	bool r;
	switch (cc >> 1) {
	case 0:
		r = fl & 1;
		break;
	case 1:
		r = fl & 0x100;
		break;
	case 2:
		r = fl & 0x4000;
		break;
	case 3:
		r = fl & 0x4100;
		break;
	case 4:
		r = fl & 0x8000;
		break;
	case 5:
		r = fl & 0x400;
		break;
	case 6:
		r = ((fl >> 15) ^ fl) & 1;
		break;
	default:
		r = (fl & 0x4000) || (((fl >> 15) ^ fl) & 1);
		break;
	}
	return (cc & 1) ? !r : r;
}

/* Tables the decoder picks from. [size]: 0..3 for 8, 16, 32, 64 bits. */
enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST, ALU_COUNT };
enum form { F_RR, F_RI, F_RM, F_MR, F_MI, F_LMR, F_LMI, F_COUNT };
extern uop_fn *const exec_alu[ALU_COUNT][4][F_COUNT];
extern uop_fn *const exec_mov[4][5]; /* F_RR .. F_MI */
enum unary { UN_INC, UN_DEC, UN_NEG, UN_NOT, UN_COUNT };
extern uop_fn *const exec_unary[UN_COUNT][4][3]; /* r, m, lock m */
enum shift { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAR, SH_COUNT };
extern uop_fn *const exec_shift[SH_COUNT][4][4]; /* r imm, r cl, m imm, m cl */
extern uop_fn *const exec_movx[2][2][3][2];      /* [signed][source 8, 16][dest 16, 32, 64][r, m] */
extern uop_fn *const exec_movsxd[2][2];          /* [dest 32, 64][r, m] */
extern uop_fn *const exec_lea[3];                /* dest 16, 32, 64 */
extern uop_fn *const exec_jcc64[16][2];          /* [cc][linkable] */
extern uop_fn *const exec_setcc[16][2];          /* r, m */
extern uop_fn *const exec_cmov[16][3][2];        /* [cc][16, 32, 64][r, m] */
extern uop_fn *const exec_imul2[3][2];           /* [16, 32, 64][r, m] */
extern uop_fn *const exec_imul3[3][2];

/* Others, by name. exec_misc.c */
uop_fn op_nop, op_fence, op_jmp64_link, op_jmp64, op_call64_link, op_call64, op_ret64, op_jmpi64, op_jmpi64_m,
    op_calli64, op_calli64_m, op_push64_r, op_push64_i, op_pop64_r, op_push_any, op_pop_any, op_jmp_legacy,
    op_jcc_legacy, op_call_legacy, op_jmpi_legacy, op_calli_legacy, op_ret_legacy, op_loop, op_leave, op_mul1, op_div1,
    op_xchg, op_xadd, op_cmpxchg, op_cmpxchg8b, op_bt, op_bitscan, op_bswap, op_shxd, op_convert, op_flag, op_lahf,
    op_sahf, op_xlat, op_bcd, op_pusha, op_popa, op_movbe, op_crc32, op_bmi, op_mulx, op_adx, op_rdrand, op_pause,
    op_salc, op_movs, op_stos, op_lods, op_scas, op_cmps, op_prefetch_write, op_clflush;

/* Those the decoder needs by name: */
void op_jit_heat(struct soft_cpu *c, const struct uop *op);  /* before a block that is not translated */
void op_jit_enter(struct soft_cpu *c, const struct uop *op); /* ... that is */
void op_end(struct soft_cpu *c, const struct uop *op);       /* end of block: fall through */
void op_end_link(struct soft_cpu *c, const struct uop *op);  /* ... inside the page */
void op_ud(struct soft_cpu *c, const struct uop *op);
void op_gp_len(struct soft_cpu *c, const struct uop *op); /* longer than 15 bytes */

#endif
