/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_mem.c - memory operands: addresses, the check against the first-level TLB, the way around it. */
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/jit/jit_row.h"
#include "cpu/soft/decode/decode.h"

const ZydisDecodedOperand *jm_operand(const struct jinsn *i)
{
	for (unsigned k = 0; k < i->in.operand_count_visible; k++)
		if (i->ops[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &i->ops[k];
	return NULL;
}

unsigned jm_seg(ZydisRegister r)
{
	static_assert(ZYDIS_REGISTER_GS - ZYDIS_REGISTER_ES == SEG_GS && SEG_ES == 0, "in the same order");
	return r >= ZYDIS_REGISTER_ES && r <= ZYDIS_REGISTER_GS ? (unsigned)(r - ZYDIS_REGISTER_ES) : SEG_DS;
}

/* lea dst, [base + index * 2^scale + disp]; registers may be H_NONE */
static void lea(struct jit *j, bool w, unsigned dst, unsigned base, unsigned index, unsigned scale, s32 disp)
{
	if (index == H_NONE && base != H_NONE) {
		if (w && !disp)
			e_mov(j, dst, base);
		else
			op_rm(j, w, X_LEA, dst, base, disp);
		return;
	}
	rex(j, w, dst, index == H_NONE ? 0 : index, base == H_NONE ? 0 : base);
	e8(j, X_LEA);
	if (base == H_NONE) {
		e8(j, (dst & 7) << 3 | 4);
		e8(j, scale << 6 | (index == H_NONE ? 4 : index & 7) << 3 | 5);
		e32(j, (u32)disp);
		return;
	}
	unsigned mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (s8)disp ? 1 : 2;
	e8(j, mod << 6 | (dst & 7) << 3 | 4);
	e8(j, scale << 6 | (index & 7) << 3 | (base & 7));
	if (mod == 1)
		e8(j, (u8)disp);
	else if (mod == 2)
		e32(j, (u32)disp);
}

/* The offset part of a memory operand, into dst. Spoils rax and rcx, leaves flags alone. */
static void offset(struct jit *j, struct jinsn *i, const ZydisDecodedOperand *o, unsigned dst)
{
	s64 disp = o->mem.disp.has_displacement ? o->mem.disp.value : 0;
	bool w = i->in.address_width == 64;
	unsigned scale = o->mem.scale == 8 ? 3 : o->mem.scale == 4 ? 2 : o->mem.scale == 2 ? 1 : 0;
	unsigned base = H_NONE, index = H_NONE;

	if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) {
		disp += (s64)j->page_off + i->off + i->in.length;
		e_ld(j, H_RAX, C_OFF(jit.vpage));
		if (disp == (s32)disp) {
			lea(j, w, dst, H_RAX, H_NONE, 0, (s32)disp);
		} else { /* only a displacement next to the limit */
			e_movi(j, H_RCX, (u64)disp);
			lea(j, w, dst, H_RAX, H_RCX, 0, 0);
		}
		return;
	}
	/* Zydis 4.0.0 takes SIB base 101 with mod 0 for R13D, see decode_mem(). */
	bool no_base = i->in.raw.modrm.mod == 0 && i->in.raw.modrm.rm == 4 && i->in.raw.disp.size == 32 &&
		       o->mem.base == ZYDIS_REGISTER_R13D && !o->mem.disp.has_displacement;
	if (no_base)
		disp = i->in.raw.disp.value;
	if (o->mem.base != ZYDIS_REGISTER_NONE && !no_base)
		base = j_reg(j, decode_gpr(o->mem.base), H_RAX);
	if (o->mem.index != ZYDIS_REGISTER_NONE)
		index = j_reg(j, decode_gpr(o->mem.index), H_RCX);
	if (!j_code64(j)) {
		lea(j, false, dst, base, index, scale, (s32)disp);
		if (i->in.address_width == 16) {
			rex(j, false, dst, 0, dst);
			EB(j, X_0F, X0F_MOVZX16, X_REGS(dst, dst));
		}
		return;
	}
	if (disp != (s32)disp) {
		e_movi(j, dst, (u64)disp); /* MOV moffs */
		if (!w)
			e_mov32(j, dst, dst);
		return;
	}
	lea(j, w, dst, base, index, scale, (s32)disp);
}

void jm_address(struct jit *j, struct jinsn *i, const ZydisDecodedOperand *o)
{
	unsigned seg = jm_seg(o->mem.segment);

	offset(j, i, o, H_RAX);
	if (!j_code64(j))
		jm_add_base(j, seg);
	else if (seg == SEG_FS || seg == SEG_GS)
		op_rm(j, true, X_ADD_R_M, H_RAX, H_RSP, C_OFF(eff_base[0]) + 8 * (s32)seg);
}

void jm_add_base(struct jit *j, unsigned seg)
{
	if (j_has_base(j, seg))
		op_rm(j, false, X_ADD_R_M, H_RAX, H_RSP, C_OFF(eff_base[0]) + 8 * (s32)seg);
}

bool jm_lea(struct jit *j, struct jinsn *i)
{
	const ZydisDecodedOperand *o = &i->ops[1];
	unsigned g = decode_gpr(i->ops[0].reg.value), h = jit_hreg[g];
	unsigned size = i->ops[0].size;

	if (h != H_NONE && size == 64) {
		offset(j, i, o, h);
		return true;
	}
	offset(j, i, o, H_RAX);
	if (size == 16) {
		e8(j, X_OSIZE);
		if (h == H_NONE)
			op_rm(j, false, X_MOV_M_R, H_RAX, H_RSP, C_OFF(gpr[0]) + 8 * (s32)g);
		else
			op_rr(j, false, X_MOV_M_R, H_RAX, h);
		return true;
	}
	if (size == 32)
		e_mov32(j, h == H_NONE ? H_RAX : h, H_RAX);
	if (h == H_NONE)
		j_set_reg(j, g, H_RAX);
	return true;
}

/* op r64, [rsp + rcx * 8 + off] */
static void op_slot(struct jit *j, unsigned op, unsigned reg, s32 off)
{
	rex(j, true, reg, 0, 0);
	e8(j, op);
	e8(j, X_MODRM(2, reg, X_RM_SIB));
	e8(j, 3 << 6 | H_RCX << 3 | H_RSP);
	e32(j, (u32)off);
}

static s32 stack_entry(const struct jit *j)
{
	return C_OFF(jit.stack[0]) + (s32)(j->mode * sizeof(struct jtlb_stack));
}

static s32 table_of(const struct jit *j, bool write)
{
	return (write ? C_OFF(jit.wr[0]) : C_OFF(jit.rd[0])) + (s32)(j->mode * sizeof(struct jtlb));
}

/* rcx = slot of the page of rax */
static void slot(struct jit *j)
{
	if (j->code->rorx)
		e_rorx_rcx_rax(j, 12);
	else
		EB(j, X_REX_W, X_MOV_M_R, X_REGS(H_RAX, H_RCX), X_REX_W, X_SHIFT_I8, X_REGS(XG_SHR, H_RCX), 12);
	EB(j, X8_XOR_M_R, X_REGS(5 /* ch */, H_RCX));   /* xor cl, ch */
	e_alui(j, false, XG_AND, H_RCX, JTLB_SIZE - 1); /* and ecx, imm32 */
}

void jm_addend(struct jit *j, const struct jinsn *i, unsigned h)
{
	e_ld(j, h, C_OFF(jit.group[0]) + 8 * i->group_slot);
}

void jm_addend_rcx(struct jit *j, const struct jinsn *i)
{
	if (i->group != JG_LEADER && j->addend != i->group_slot + 1)
		jm_addend(j, i, H_RCX);
	j->addend = j_keeps_rcx(j, i) ? (u8)(i->group_slot + 1) : 0;
}

static const unsigned class_bytes[] = { 8, 64, JTLB_GROUP_MAX };

/* cmp rax - START, SPAN: is a group of 32-bit code at rax where it may be? To be followed by JAE; spoils rcx. */
static void compare_group32(struct jit *j)
{
	op_rm(j, true, X_LEA, H_RCX, H_RAX, -(s32)JTLB_GROUP32_START);
	op_rm(j, true, X_CMP_R_M, H_RCX, H_RSP, C_OFF(jit.group32_span));
}

/* rax and rcx are spoilt; jm_addend() is valid afterwards. */
bool jm_lead(struct jit *j, struct jinsn *i)
{
	if (j->plain || i->group != JG_LEADER)
		return true;
	struct jstub *s = j_stub(j, JS_GROUP);
	if (!s)
		return false;
	s->i = i;
	s->resume = j->n;
	s->how = (j->x87 ? JSLOW_X87 : 0) | i->how;
	op_rm(j, true, X_LEA, H_RAX, j_reg(j, i->group_base, H_RAX), i->group_lo);
	if (i->group_align) {
		EB(j, X_TEST_AL_I8, i->group_align); /* test al, imm8 */
		s->from2 = e_jcc(j, CC_NZ);
	}
	if (!i->group_slot) {
		s32 at = stack_entry(j);
		op_rm(j, true, X_SUB_R_M, H_RAX, H_RSP, at + (s32)offsetof(struct jtlb_stack, tag));
		op_rm(j, true, X_CMP_R_M, H_RAX, H_RSP,
		      at + (s32)offsetof(struct jtlb_stack, limit) + 8 * (i->group_class + (j_code64(j) ? 0 : 3)));
		s->from = e_jcc(j, CC_AE);
		e_ld(j, H_RCX, at + (s32)offsetof(struct jtlb_stack, addend));
	} else {
		s32 table = table_of(j, i->group_write);
		if (!j_code64(j)) {
			compare_group32(j);
			s->more[0] = e_jcc(j, CC_AE);
		}
		slot(j);
		op_slot(j, X_SUB_R_M, H_RAX, table + (s32)offsetof(struct jtlb, tag));
		EB(j, X_REX_W, X_CMP_EAX_I); /* cmp rax, imm32 */
		e32(j, (u32)PAGE_BYTES - class_bytes[i->group_class]);
		s->from = e_jcc(j, CC_A);
		op_slot(j, X_MOV_R_M, H_RCX, table + (s32)offsetof(struct jtlb, addend));
	}
	e_st(j, H_RCX, C_OFF(jit.group[0]) + 8 * i->group_slot);
	j_spoil(j);
	return true;
}

/* Where the stack's word at [base + disp] is, into rax. */
static void stack_address(struct jit *j, unsigned base, s32 disp)
{
	unsigned h = j_reg(j, base, H_RAX);

	if (j_code64(j)) {
		e_lea(j, H_RAX, h, disp);
		return;
	}
	op_rm(j, false, X_LEA, H_RAX, h, disp);
	if (!(j->key & MODE_SS32))
		EB(j, X_0F, X0F_MOVZX16, X_REGS(H_RAX, H_RAX));
	jm_add_base(j, SEG_SS);
}

/* A leader's check failed. */
void jm_emit_group(struct jit *j, struct jstub *s)
{
	struct jinsn *i = s->i;

	patch_to(j, s->from, j->n);
	op_rm(j, true, X_LEA, H_RAX, j_reg(j, i->group_base, H_RAX), i->group_lo);
	if (!j_code64(j) && !i->group_slot) { /* the stack's entry would never serve it */
		compare_group32(j);
		s->more[0] = e_jcc(j, CC_AE);
	}
	e8(j, X_AND_EAX_I); /* and eax, 4095; cmp eax, imm32 */
	e32(j, PAGE_BYTES - 1);
	e8(j, X_CMP_EAX_I);
	e32(j, (u32)PAGE_BYTES - class_bytes[i->group_class]);
	u32 crosses = e_jcc(j, CC_A);
	/* The leader's own address: that one may fault. */
	if (i->stack)
		stack_address(j, GPR_RSP, i->group_lead_writes ? -(s32)jit_stack_bytes(j, i) : 0);
	else
		jm_address(j, i, jm_operand(i));
	e_call_to(j, j->code->r_slow);
	EB(j, X_0F, X0F_NOP, X_MODRM(0, 0, H_RAX));
	u32 at = e_jmp(j);
	patch_to(j, at, s->resume);
	struct jsite_slow site = { j->ref, i->uop, i->nuops, 1,
				   (u8)(JSLOW_GROUP | s->how | (i->group_write ? JSLOW_WRITE : 0) |
					(i->group_slot ? 0 : JSLOW_STACK) |
					(i->group_lead_writes ? JSLOW_LEADER_WRITES : 0)) };
	eb(j, &site, sizeof(site));
	/* It cannot serve the group. */
	patch_to(j, crosses, j->n);
	if (s->from2)
		patch_to(j, s->from2, j->n);
	if (s->more[0])
		patch_to(j, s->more[0], j->n);
	if (j->both) {
		at = e_jmp(j);
		patch_to(j, at, i->plain);
		return;
	}
	struct jsite_uop out = { j->ref, i->uop, i->nuops, .group = { s->how } };
	e_call_to(j, j->code->r_exit_group);
	eb(j, &out, sizeof(out));
}

/* rax: a linear address in a segment. To s->limit if that does not reach so far; spoils rcx. */
static void limit_check(struct jit *j, struct jstub *s, unsigned seg, unsigned bytes, bool write)
{
	if (j_code64(j) || (!j_has_base(j, seg) && !(seg == SEG_CS && write)))
		return;
	e_mov32(j, H_RCX, H_RAX);
	op_rm(j, false, X_SUB_R_M, H_RCX, H_RSP, C_OFF(eff_base[0]) + 8 * (s32)seg); /* the offset again */
	e_alui(j, true, XG_ADD, H_RCX, (s32)bytes);
	op_rm(j, true, X_CMP_R_M, H_RCX, H_RSP, C_OFF(seg_end[0][0]) + 8 * (s32)(seg + 8 * write));
	s->limit = e_jcc(j, CC_A);
}

static struct jstub *check(struct jit *j, struct jinsn *i, unsigned bytes, unsigned align, bool write, unsigned addr,
			   bool stack, unsigned seg)
{
	struct jstub *s = j_stub(j, JS_SLOW);

	if (!s)
		return NULL;
	limit_check(j, s, seg, bytes, write);
	if (stack) {
		s32 at = stack_entry(j);
		op_rm(j, true, X_SUB_R_M, H_RAX, H_RSP, at + (s32)offsetof(struct jtlb_stack, tag));
		op_rm(j, true, X_CMP_R_M, H_RAX, H_RSP,
		      at + (s32)offsetof(struct jtlb_stack, limit) +
			  8 * (bytes <= 2   ? 6
			       : bytes <= 4 ? 7
					    : 0));
		s->from = e_jcc(j, CC_AE);
		if (addr == JA_RAX) {
			op_rm(j, true, X_ADD_R_M, H_RAX, H_RSP, at + (s32)offsetof(struct jtlb_stack, host));
		} else {
			e_ld(j, H_RCX, at + (s32)offsetof(struct jtlb_stack, host));
			if (addr == JA_RCX)
				op_rr(j, true, X_ADD_R_M, H_RCX, H_RAX);
		}
	} else {
		s32 table = table_of(j, write);
		slot(j);
		op_slot(j, X_SUB_R_M, H_RAX, table + (s32)offsetof(struct jtlb, tag));
		if (align) {                          /* then it cannot cross */
			EB(j, X_REX_W, X_TEST_EAX_I); /* test rax, imm32 */
			e32(j, ~((u32)PAGE_BYTES - 1) | align);
			s->from = e_jcc(j, CC_NZ);
		} else {
			EB(j, X_REX_W, X_CMP_EAX_I); /* cmp rax, imm32 */
			e32(j, (u32)PAGE_BYTES - bytes);
			s->from = e_jcc(j, CC_A);
		}
		if (addr == JA_RAX) {
			op_slot(j, X_ADD_R_M, H_RAX, table + (s32)offsetof(struct jtlb, host));
		} else {
			op_slot(j, X_MOV_R_M, H_RCX, table + (s32)offsetof(struct jtlb, host));
			if (addr == JA_RCX)
				op_rr(j, true, X_ADD_R_M, H_RCX, H_RAX);
		}
	}
	j_spoil(j);
	s->resume = j->n;
	s->i = i;
	s->bytes = (u8)bytes;
	s->addr = (u8)addr;
	s->how = (write ? JSLOW_WRITE : 0) | (stack ? JSLOW_STACK : 0) | (align ? JSLOW_ALIGNED : 0) |
		 (j->x87 ? JSLOW_X87 : 0) | i->how;
	return s;
}

/* An operand on the stack, by its looks. */
static bool on_stack(const struct jit *j, const struct jinsn *i, unsigned bytes)
{
	const ZydisDecodedOperand *o = jm_operand(i);

	return o && (o->mem.base == ZYDIS_REGISTER_RSP || (o->mem.base == ZYDIS_REGISTER_ESP && !j_code64(j))) &&
	       bytes <= 8 && o->mem.segment != ZYDIS_REGISTER_FS && o->mem.segment != ZYDIS_REGISTER_GS;
}

static unsigned seg_of(const struct jinsn *i)
{
	const ZydisDecodedOperand *o = jm_operand(i);

	return o ? jm_seg(o->mem.segment) : SEG_DS;
}

struct jstub *jm_check(struct jit *j, struct jinsn *i, unsigned bytes, bool write, unsigned addr)
{
	return check(j, i, bytes, 0, write, addr, on_stack(j, i, bytes), seg_of(i));
}

struct jstub *jm_check_aligned(struct jit *j, struct jinsn *i, unsigned bytes, unsigned align, bool write,
			       unsigned addr)
{
	return check(j, i, bytes, align, write, addr, !align && on_stack(j, i, bytes), seg_of(i));
}

struct jstub *jm_check_seg(struct jit *j, struct jinsn *i, unsigned bytes, bool write, unsigned addr, unsigned seg)
{
	return check(j, i, bytes, 0, write, addr, false, seg);
}

struct jstub *jm_stack(struct jit *j, struct jinsn *i, u8 base, s32 disp, unsigned bytes, bool write, unsigned addr)
{
	if (i->stack && !j->plain && i->group != JG_NONE) {
		if (!jm_lead(j, i))
			return NULL;
		jm_addend_rcx(j, i);
		lea(j, true, H_RAX, jit_hreg[GPR_RSP], H_RCX, 0, disp);
		return &j->none;
	}
	jm_plain_entry(j, i);
	stack_address(j, base, disp);
	struct jstub *s = check(j, i, bytes, 0, write, addr, base == GPR_RSP, SEG_SS);
	if (s) {
		s->explicit_lin = true;
		s->lin_base = base;
		s->lin_disp = disp;
	}
	return s;
}

/* The address again (rax holds a difference), the routine, and where it comes back to. */
void jm_emit_slow(struct jit *j, struct jstub *s)
{
	struct jinsn *i = s->i;

	patch_to(j, s->from, j->n);
	if (s->explicit_lin)
		stack_address(j, s->lin_base, s->lin_disp);
	else if (s->address)
		s->address(j, i);
	else
		jm_address(j, i, jm_operand(i));
	e_call_to(j, j->code->r_slow);
	/* Eight bytes, then the data: jit_slow() and its routine know. */
	if (s->addr == JA_RCX)
		EB(j, X_REX_W, X_MOV_M_R, X_REGS(H_RAX, H_RCX)); /* mov rcx, rax */
	else if (s->addr == JA_RAX_RCX)
		EB(j, X_XOR_M_R, X_REGS(H_RCX, H_RCX), X_NOP); /* xor ecx, ecx; nop */
	else
		EB(j, X_0F, X0F_NOP, X_MODRM(0, 0, H_RAX));
	u32 at = e_jmp(j);
	patch_to(j, at, s->resume);
	struct jsite_slow site = { j->ref, i->uop, i->nuops, s->bytes, s->how };
	static_assert(sizeof(site) == 8, "the routine skips 16 bytes");
	eb(j, &site, sizeof(site));
	/* The handler has executed the instruction. */
	if (s->load_flags)
		e_flags_load(j);
	at = e_jmp(j);
	patch_to(j, at, s->next);
	if (!s->limit)
		return;
	/* The handler is to look at the segment: an address that it alone can serve. */
	patch_to(j, s->limit, j->n);
	e_movi(j, H_RAX, 1);
	e_call_to(j, j->code->r_slow);
	for (unsigned k = 0; k < 8; k++)
		e8(j, X_INT3);
	site.bytes = 2;
	site.how |= JSLOW_ALIGNED;
	eb(j, &site, sizeof(site));
	if (s->load_flags)
		e_flags_load(j);
	at = e_jmp(j);
	patch_to(j, at, s->next);
}
