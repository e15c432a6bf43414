/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode_sys.c - from Zydis's mnemonics to the handlers of system instructions. */
#include "cpu/soft/system/sys.h"
#include "cpu/soft/decode/decode.h"

/* Operand bytes of the instruction. */
static u8 osize(const struct decode *d)
{
	return d->insn->operand_width / 8;
}

static bool take(struct decode *d, uop_fn *fn)
{
	d->u->fn = fn;
	d->u->osize = osize(d);
	d->nu = 1;
	return true;
}
static bool take_end(struct decode *d, uop_fn *fn)
{
	d->end = true;
	return take(d, fn);
}

static bool undefined(struct decode *d)
{
	decode_ud(d);
	return true;
}

static bool is_mem(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY;
}
static bool is_reg(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER;
}
static ZydisRegisterClass reg_class(const ZydisDecodedOperand *o)
{
	return is_reg(o) ? ZydisRegisterGetClass(o->reg.value) : ZYDIS_REGCLASS_INVALID;
}

static u8 sreg(const ZydisDecodedOperand *o)
{
	/* In Zydis's order and ours: ES CS SS DS FS GS. */
	return (u8)(o->reg.value - ZYDIS_REGISTER_ES);
}

/* Operand o: memory (aux = 1) or r0. */
static void reg_or_mem(struct decode *d, const ZydisDecodedOperand *o)
{
	if (is_mem(o)) {
		decode_mem(d, d->u, o);
		d->u->aux = 1;
	} else {
		d->u->r0 = decode_gpr(o->reg.value);
	}
}
static bool one_rm(struct decode *d, uop_fn *fn)
{
	take(d, fn);
	reg_or_mem(d, &d->ops[0]);
	return true;
}

/* ---- MOV with segment, control and debug registers ---- */
static bool mov(struct decode *d)
{
	const ZydisDecodedOperand *dst = &d->ops[0], *src = &d->ops[1];
	ZydisRegisterClass dc = reg_class(dst), sc = reg_class(src);

	if (sc == ZYDIS_REGCLASS_SEGMENT) {
		take(d, sys_mov_from_sreg);
		d->u->r1 = sreg(src);
		reg_or_mem(d, dst);
		return true;
	}
	if (dc == ZYDIS_REGCLASS_SEGMENT) {
		if (dst->reg.value == ZYDIS_REGISTER_CS)
			return undefined(d);
		take(d, sys_mov_to_sreg);
		d->end = dst->reg.value == ZYDIS_REGISTER_SS;
		d->u->r1 = sreg(dst);
		reg_or_mem(d, src);
		return true;
	}
	if (sc == ZYDIS_REGCLASS_CONTROL) {
		take(d, sys_mov_from_cr);
		d->u->r0 = decode_gpr(dst->reg.value);
		d->u->r1 = (u8)(src->reg.value - ZYDIS_REGISTER_CR0);
		return true;
	}
	if (dc == ZYDIS_REGCLASS_CONTROL) {
		take_end(d, sys_mov_to_cr);
		d->u->r0 = decode_gpr(src->reg.value);
		d->u->r1 = (u8)(dst->reg.value - ZYDIS_REGISTER_CR0);
		return true;
	}
	if (sc == ZYDIS_REGCLASS_DEBUG) {
		if (src->reg.value > ZYDIS_REGISTER_DR7)
			return undefined(d);
		take(d, sys_mov_from_dr);
		d->u->r0 = decode_gpr(dst->reg.value);
		d->u->r1 = (u8)(src->reg.value - ZYDIS_REGISTER_DR0);
		return true;
	}
	if (dc == ZYDIS_REGCLASS_DEBUG) {
		if (dst->reg.value > ZYDIS_REGISTER_DR7)
			return undefined(d);
		take_end(d, sys_mov_to_dr);
		d->u->r0 = decode_gpr(src->reg.value);
		d->u->r1 = (u8)(dst->reg.value - ZYDIS_REGISTER_DR0);
		return true;
	}
	return false;
}

static bool push_pop(struct decode *d, bool pop)
{
	if (reg_class(&d->ops[0]) != ZYDIS_REGCLASS_SEGMENT)
		return false;
	take(d, pop ? sys_pop_sreg : sys_push_sreg);
	d->u->r1 = sreg(&d->ops[0]);
	d->end = pop && d->u->r1 == SEG_SS;
	return true;
}

/* Bytes of a far pointer's offset. AMD has no m16:64 (APM 3, "CALL (Far)", "LDS..."); REX.W goes before 66 all the
 * same. */
static u8 far_offset(const struct decode *d)
{
	return osize(d) == 8 && (d->c->vm->isa & ISA_AMD) ? 4 : osize(d);
}

/* LDS LES LFS LGS LSS. The operand size is that of the offset. */
static bool load_far_pointer(struct decode *d, unsigned seg)
{
	take(d, sys_lxs);
	d->u->osize = far_offset(d);
	d->u->r0 = decode_gpr(d->ops[0].reg.value);
	d->u->r1 = (u8)seg;
	d->end = seg == SEG_SS;
	decode_mem(d, d->u, &d->ops[1]);
	return true;
}

static bool far_branch(struct decode *d, uop_fn *ptr, uop_fn *mem)
{
	const ZydisDecodedOperand *o = &d->ops[0];

	if (d->insn->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (o->type == ZYDIS_OPERAND_TYPE_POINTER) {
		take_end(d, ptr);
		d->u->imm = (u64)o->ptr.segment << 32 | o->ptr.offset;
		return true;
	}
	take_end(d, mem);
	d->u->aux = far_offset(d);
	decode_mem(d, d->u, o);
	return true;
}

static bool far_ret(struct decode *d)
{
	if (d->insn->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
		return false;
	take_end(d, sys_ret_far);
	if (d->insn->operand_count_visible)
		d->u->imm = d->ops[0].imm.value.u & 0xffff;
	return true;
}

/* LAR, LSL: selector in r1 or memory. */
static bool look(struct decode *d, uop_fn *fn)
{
	take(d, fn);
	reg_or_mem(d, &d->ops[1]);
	if (!d->u->aux)
		d->u->r1 = d->u->r0;
	d->u->r0 = decode_gpr(d->ops[0].reg.value);
	return true;
}

static bool arpl(struct decode *d)
{
	take(d, sys_arpl);
	reg_or_mem(d, &d->ops[0]);
	d->u->r1 = decode_gpr(d->ops[1].reg.value);
	return true;
}

static bool table(struct decode *d, uop_fn *fn)
{
	/* Operand size matters to legacy modes alone: Zydis says 64 in 64-bit mode. */
	take(d, fn);
	decode_mem(d, d->u, &d->ops[0]);
	return true;
}

static bool fs_gs_base(struct decode *d, uop_fn *fn, unsigned seg)
{
	take(d, fn);
	d->u->osize = (u8)(d->ops[0].size / 8);
	d->u->r0 = decode_gpr(d->ops[0].reg.value);
	d->u->r1 = (u8)seg;
	return true;
}

static bool port_io(struct decode *d, uop_fn *fn, unsigned port_op, unsigned data_op)
{
	const ZydisDecodedOperand *port = &d->ops[port_op];

	take(d, fn);
	d->end = fn == sys_out;
	d->u->osize = (u8)(d->ops[data_op].size / 8);
	if (port->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		d->u->aux = 1;
		d->u->imm = port->imm.value.u & 0xff;
	}
	return true;
}

static bool string_io(struct decode *d, uop_fn *fn, unsigned bytes)
{
	take_end(d, fn);
	d->u->osize = (u8)bytes;
	d->u->aux = d->insn->address_width / 8;
	/* REP and REPNE do the same here. */
	d->u->r0 = !!(d->insn->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE |
					     ZYDIS_ATTRIB_HAS_REPZ | ZYDIS_ATTRIB_HAS_REPNZ));
	d->u->seg = SEG_DS;
	for (unsigned i = 0; fn == sys_outs && i < d->insn->operand_count; i++)
		if (is_mem(&d->ops[i]))
			d->u->seg = (u8)(d->ops[i].mem.segment - ZYDIS_REGISTER_ES);
	return true;
}

static bool enter(struct decode *d)
{
	take(d, sys_enter);
	d->u->imm = d->ops[0].imm.value.u & 0xffff;
	d->u->aux = d->ops[1].imm.value.u & 31;
	return true;
}

static bool int_n(struct decode *d)
{
	take_end(d, sys_int);
	d->u->imm = d->ops[0].imm.value.u & 0xff;
	return true;
}

static bool bound(struct decode *d)
{
	take(d, sys_bound);
	d->u->r0 = decode_gpr(d->ops[0].reg.value);
	decode_mem(d, d->u, &d->ops[1]);
	return true;
}

/* Whether the model offers the feature: a constant of the VM, so the decoder may ask. */
static bool offers(const struct decode *d, u32 leaf, char reg, unsigned bit)
{
	struct cpuid_regs r = cpu_model_cpuid(d->c->model, 0, leaf, 0);
	u32 v = reg == 'b' ? r.ebx : reg == 'c' ? r.ecx : r.edx;

	return v >> bit & 1;
}

bool decode_sys(struct decode *d)
{
	bool c64 = d->mode & MODE_CODE64;

	switch (d->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return mov(d);
	case ZYDIS_MNEMONIC_PUSH:
		return push_pop(d, false);
	case ZYDIS_MNEMONIC_POP:
		return push_pop(d, true);
	case ZYDIS_MNEMONIC_LDS:
		return load_far_pointer(d, SEG_DS);
	case ZYDIS_MNEMONIC_LES:
		return load_far_pointer(d, SEG_ES);
	case ZYDIS_MNEMONIC_LFS:
		return load_far_pointer(d, SEG_FS);
	case ZYDIS_MNEMONIC_LGS:
		return load_far_pointer(d, SEG_GS);
	case ZYDIS_MNEMONIC_LSS:
		return load_far_pointer(d, SEG_SS);
	case ZYDIS_MNEMONIC_JMP:
		return far_branch(d, sys_jmp_far_ptr, sys_jmp_far_mem);
	case ZYDIS_MNEMONIC_CALL:
		return far_branch(d, sys_call_far_ptr, sys_call_far_mem);
	case ZYDIS_MNEMONIC_RET:
		return far_ret(d);
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
		return take_end(d, sys_iret);

	case ZYDIS_MNEMONIC_LLDT:
		return one_rm(d, sys_lldt);
	case ZYDIS_MNEMONIC_LTR:
		return one_rm(d, sys_ltr);
	case ZYDIS_MNEMONIC_SLDT:
		return one_rm(d, sys_sldt);
	case ZYDIS_MNEMONIC_STR:
		return one_rm(d, sys_str);
	case ZYDIS_MNEMONIC_VERR:
		return one_rm(d, sys_verr);
	case ZYDIS_MNEMONIC_VERW:
		return one_rm(d, sys_verw);
	case ZYDIS_MNEMONIC_SMSW:
		return one_rm(d, sys_smsw);
	case ZYDIS_MNEMONIC_LMSW:
		d->end = true;
		return one_rm(d, sys_lmsw);
	case ZYDIS_MNEMONIC_LGDT:
		return table(d, sys_lgdt);
	case ZYDIS_MNEMONIC_LIDT:
		return table(d, sys_lidt);
	case ZYDIS_MNEMONIC_SGDT:
		return table(d, sys_sgdt);
	case ZYDIS_MNEMONIC_SIDT:
		return table(d, sys_sidt);
	case ZYDIS_MNEMONIC_LAR:
		return look(d, sys_lar);
	case ZYDIS_MNEMONIC_LSL:
		return look(d, sys_lsl);
	case ZYDIS_MNEMONIC_ARPL:
		return arpl(d);

	case ZYDIS_MNEMONIC_CLTS:
		return take(d, sys_clts);
	case ZYDIS_MNEMONIC_INVLPG:
		take_end(d, sys_invlpg);
		decode_mem(d, d->u, &d->ops[0]);
		return true;
	case ZYDIS_MNEMONIC_INVPCID:
		if (!offers(d, 7, 'b', 10))
			return undefined(d);
		take_end(d, sys_invpcid);
		d->u->r0 = decode_gpr(d->ops[0].reg.value);
		decode_mem(d, d->u, &d->ops[1]);
		return true;
	case ZYDIS_MNEMONIC_WBINVD:
	case ZYDIS_MNEMONIC_INVD:
		return take(d, sys_wbinvd);
	case ZYDIS_MNEMONIC_SWAPGS:
		return c64 ? take(d, sys_swapgs) : undefined(d);
	case ZYDIS_MNEMONIC_RDFSBASE:
		return c64 ? fs_gs_base(d, sys_rdbase, SEG_FS) : undefined(d);
	case ZYDIS_MNEMONIC_RDGSBASE:
		return c64 ? fs_gs_base(d, sys_rdbase, SEG_GS) : undefined(d);
	case ZYDIS_MNEMONIC_WRFSBASE:
		return c64 ? fs_gs_base(d, sys_wrbase, SEG_FS) : undefined(d);
	case ZYDIS_MNEMONIC_WRGSBASE:
		return c64 ? fs_gs_base(d, sys_wrbase, SEG_GS) : undefined(d);
	case ZYDIS_MNEMONIC_RDPID:
		return offers(d, 7, 'c', 22) ? one_rm(d, sys_rdpid) : undefined(d);
	case ZYDIS_MNEMONIC_STAC:
		return offers(d, 7, 'b', 20) ? take(d, sys_stac) : undefined(d);
	case ZYDIS_MNEMONIC_CLAC:
		return offers(d, 7, 'b', 20) ? take(d, sys_clac) : undefined(d);
	case ZYDIS_MNEMONIC_XGETBV:
		return take(d, sys_xgetbv);
	case ZYDIS_MNEMONIC_XSETBV:
		return take_end(d, sys_xsetbv);

	case ZYDIS_MNEMONIC_HLT:
		return take_end(d, sys_hlt);
	case ZYDIS_MNEMONIC_CLI:
		return take(d, sys_cli);
	case ZYDIS_MNEMONIC_STI:
		return take(d, sys_sti);
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
		return take(d, sys_pushf);
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		return take_end(d, sys_popf);
	case ZYDIS_MNEMONIC_CPUID:
		return take(d, sys_cpuid);
	case ZYDIS_MNEMONIC_RDTSC:
		return take(d, sys_rdtsc);
	case ZYDIS_MNEMONIC_RDTSCP:
		return offers(d, 0x80000001, 'd', 27) ? take(d, sys_rdtscp) : undefined(d);
	case ZYDIS_MNEMONIC_RDPMC:
		return take(d, sys_rdpmc);
	case ZYDIS_MNEMONIC_RDMSR:
		return take(d, sys_rdmsr);
	case ZYDIS_MNEMONIC_WRMSR:
		return take_end(d, sys_wrmsr);
	case ZYDIS_MNEMONIC_VMCALL:
	case ZYDIS_MNEMONIC_VMMCALL:
		return take(d, sys_hypercall);

	case ZYDIS_MNEMONIC_SYSCALL:
		return take_end(d, sys_syscall);
	case ZYDIS_MNEMONIC_SYSRET:
		return take_end(d, sys_sysret);
	case ZYDIS_MNEMONIC_SYSENTER:
		return take_end(d, sys_sysenter);
	case ZYDIS_MNEMONIC_SYSEXIT:
		return take_end(d, sys_sysexit);
	case ZYDIS_MNEMONIC_INT:
		return int_n(d);
	case ZYDIS_MNEMONIC_INT3:
		return take_end(d, sys_int3);
	case ZYDIS_MNEMONIC_INTO:
		return take_end(d, sys_into);
	case ZYDIS_MNEMONIC_INT1:
		return take_end(d, sys_int1);
	case ZYDIS_MNEMONIC_BOUND:
		return bound(d);
	case ZYDIS_MNEMONIC_ENTER:
		return enter(d);

	case ZYDIS_MNEMONIC_IN:
		return port_io(d, sys_in, 1, 0);
	case ZYDIS_MNEMONIC_OUT:
		return port_io(d, sys_out, 0, 1);
	case ZYDIS_MNEMONIC_INSB:
		return string_io(d, sys_ins, 1);
	case ZYDIS_MNEMONIC_INSW:
		return string_io(d, sys_ins, 2);
	case ZYDIS_MNEMONIC_INSD:
		return string_io(d, sys_ins, 4);
	case ZYDIS_MNEMONIC_OUTSB:
		return string_io(d, sys_outs, 1);
	case ZYDIS_MNEMONIC_OUTSW:
		return string_io(d, sys_outs, 2);
	case ZYDIS_MNEMONIC_OUTSD:
		return string_io(d, sys_outs, 4);
	default:
		/* MONITOR, MWAIT, RSM, GETSEC, the virtualization and enclave instructions: not offered,
		 * and left to the caller's #UD. */
		return false;
	}
}
