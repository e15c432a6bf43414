/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode_vec.c - vector and x87 instructions: which are offered, and what their stubs look like.
 *
 * Order of trying: moves and a few hot integer operations have handlers in C (vec_move.c), so have
 * those with memory forms a stub cannot carry (vec_mem.c: gathers, masked moves) and those about the
 * FPU's own state (fpu.c, fpu_env.c). All else is described from what Zydis says of its operands, and runs in
 * a stub (vec_stub.c).
 *
 * #AC is not raised for vector operands.
 */
#include "cpu/soft/vector/vec.h"

/* ---- running ---- */

/* What an x87 instruction leaves for FNSTENV and FXSAVE; op->r0, r1: its opcode bits. */
static inline void note_x87(struct soft_cpu *c, const struct uop *op, bool mem, u64 offset)
{
	c->fip = c->rip;
	c->fcs = c->seg[SEG_CS].sel;
	c->fop = vec_x87_opcode(op);
	if (mem) {
		c->fdp = offset;
		c->fds = c->seg[op->seg].sel;
	}
}

/*
 * An unmasked x87 exception in a store to the bounce buffer: was the operand written? Only
 * precision is reported after the fact (SDM 1 8.4, 8.5).
 */
static bool x87_not_stored(u32 fsw)
{
	u16 fcw;

	if (likely(!(fsw & 0x80)))
		return false;
	__asm__ volatile("fnstcw %0" : "=m"(fcw));
	return fsw & ~fcw & 0x1f;
}

/* The TLB does not serve: through a buffer, or a pointer that soft_rmw_ptr() makes. */
static __attribute__((noinline)) u32 run_slow(struct soft_cpu *c, const struct vec_desc *d, vec_fn *fn, gva_t lin,
					      void *rm, void *reg, void *vvvv, void *is4)
{
	u8 bounce[32] __attribute__((aligned(16)));
	unsigned n = d->mem_bytes;
	void *p;
	u32 ret;

	/* The access may fault, and #MF comes before that. */
	if (d->cls & VC_WAITS)
		c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c);
	if (d->mem == VM_LOAD) {
		soft_ld_bytes(c, lin, bounce, n);
		return fn(bounce, rm, reg, vvvv, is4, c);
	}
	/* An x87 store pops: all that may abandon the instruction must happen before the stub. */
	if (d->cls & VC_X87_STORE) {
		p = soft_rmw_ptr(c, lin, n);
		if (p)
			return fn(p, rm, reg, vvvv, is4, c);
	}
	soft_probe(c, lin, n, true);
	ret = fn(bounce, rm, reg, vvvv, is4, c);
	if (!((d->cls & VC_X87_STORE) && x87_not_stored(ret)))
		soft_st_bytes(c, lin, bounce, n);
	return ret;
}

static inline __attribute__((always_inline)) gva_t run_mem(struct soft_cpu *c, const struct uop *op,
							   const struct vec_desc *d, vec_fn *fn, void *rm, void *reg,
							   void *vvvv, void *is4)
{
	unsigned n = d->mem_bytes;
	gva_t lin;
	void *p;

	if (unlikely(op->ea) && (d->cls & VC_WAITS))
		c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c);
	lin = vec_ea(c, op, n, d->mem & VM_STORE);
	if (unlikely(lin & d->align)) {
		if (d->cls & VC_WAITS)
			c->vm->stubs->fwait(NULL, NULL, NULL, NULL, NULL, c);
		soft_gp(c, 0);
	}
	p = (d->mem & VM_STORE) ? vec_wptr(c, lin, n) : vec_rptr(c, lin, n);
	if (likely(p != NULL))
		fn(p, rm, reg, vvvv, is4, c);
	else
		run_slow(c, d, fn, lin, rm, reg, vvvv, is4);
	return lin;
}

static inline __attribute__((always_inline)) void run(struct soft_cpu *c, const struct uop *op,
						      const struct vec_desc *d, vec_fn *fn)
{
	void *rm = (d->kind & VK_GPR_RM) ? (void *)&c->gpr[op->r1 & 15] : c->vec[op->r1 & 15];
	void *reg = (d->kind & VK_GPR_REG) ? (void *)&c->gpr[op->r0 & 15] : c->vec[op->r0 & 15];
	void *vvvv = c->vec[op->aux & 15], *is4 = c->vec[op->aux >> 4];

	VEC_CHECK(c, op, d->cls);
	SOFT_ENTER(c, op);
	if (d->mem)
		run_mem(c, op, d, fn, rm, reg, vvvv, is4);
	else
		fn(NULL, rm, reg, vvvv, is4, c);
}

static void vec_any(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;

	run(c, op, &s->d, s->fn);
	NEXT(c, op);
}

static void x87_mem(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;
	gva_t lin;

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	lin = run_mem(c, op, &s->d, s->fn, NULL, NULL, NULL, NULL);
	note_x87(c, op, true, op->ea ? soft_ea_offset(c, op) : lin - c->eff_base[op->seg]);
	NEXT(c, op);
}

static void x87_reg(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;

	VEC_CHECK(c, op, VEC_OK_X87);
	SOFT_ENTER(c, op);
	s->fn(NULL, NULL, NULL, NULL, NULL, c);
	note_x87(c, op, false, 0);
	NEXT(c, op);
}

/* A load, vector registers else. */
static void vec_rm(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;

	VEC_CHECK(c, op, s->d.cls);
	SOFT_ENTER(c, op);
	run_mem(c, op, &s->d, s->fn, NULL, c->vec[op->r0 & 15], c->vec[op->aux & 15], c->vec[op->aux >> 4]);
	NEXT(c, op);
}

/* Vector registers only. */
static void vec_rr(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_stub *s = op->ptr;

	VEC_CHECK(c, op, s->d.cls);
	SOFT_ENTER(c, op);
	s->fn(NULL, c->vec[op->r1], c->vec[op->r0], c->vec[op->aux & 15], c->vec[op->aux >> 4], c);
	NEXT(c, op);
}

/* No room for a stub: the description is in the next uop. */
struct overflow {
	uop_fn *fn;
	struct vec_desc d;
	u64 unused;
};
static_assert(sizeof(struct overflow) == sizeof(struct uop), "a description rides in a uop's place");

static void vec_overflow(struct soft_cpu *c, const struct uop *op)
{
	const struct vec_desc *d = &((const struct overflow *)(const void *)(op + 1))->d;

	run(c, op, d, vec_scratch_fn(c, d));
	if (d->cls & VC_X87_PTR)
		note_x87(c, op, d->mem, soft_ea_offset(c, op));
	NEXT(c, op + 1);
}

static void never(struct soft_cpu *c, const struct uop *op)
{
	must(!"a description was run");
}

/* ---- describing ---- */

u8 vec_reg(ZydisRegister r)
{
	s8 id = ZydisRegisterGetId(r);

	must(id >= 0 && id < 16);
	return (u8)id;
}

/* 16-byte legacy operands that need no alignment; any other does. */
static bool unaligned_ok(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return true;
	default:
		return false;
	}
}

/* VEX operands that do. */
static bool vex_aligned(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return true;
	default:
		return false;
	}
}

/* Outside of 64-bit code VEX.W does not select 64-bit general registers (or memory as if). */
static bool vex_w_is_gpr_size(const ZydisDecodedInstruction *insn)
{
	switch (insn->opcode_map) {
	case ZYDIS_OPCODE_MAP_0F:
		return insn->opcode == 0x6e || insn->opcode == 0x7e || insn->opcode == 0x2a || insn->opcode == 0x2c ||
		       insn->opcode == 0x2d;
	case ZYDIS_OPCODE_MAP_0F3A:
		return insn->opcode == 0x16 || insn->opcode == 0x22 || insn->opcode == 0x60 || insn->opcode == 0x61;
	default:
		return false;
	}
}

bool vec_describe(struct vec_desc *out, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops,
		  const u8 *bytes, bool code64)
{
	struct vec_desc d = { 0 };
	bool vex = insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX, has_xmm = false, has_mmx = false;
	bool has_imm = false;
	bool memform = (insn->attributes & ZYDIS_ATTRIB_HAS_MODRM) && insn->raw.modrm.mod != 3;
	u8 reg = insn->raw.modrm.reg & 7, rm = insn->raw.modrm.rm & 7, vvvv = 15, imm = 0;

	if (vex)
		d.kind |= VK_VEX | (insn->raw.vex.L ? VK_YMM : 0);
	for (unsigned i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperand *o = &ops[i];
		bool rd = o->actions & (ZYDIS_OPERAND_ACTION_MASK_READ),
		     wr = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
		ZydisRegisterClass rc;
		u8 place = 0;

		if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			continue;
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			if (o->mem.type != ZYDIS_MEMOP_TYPE_MEM || o->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM ||
			    !o->size || o->size > 256)
				return false;
			if (d.mem || (rd && wr))
				return false;
			d.mem = wr ? VM_STORE : VM_LOAD;
			d.mem_bytes = (u8)(o->size / 8);
			continue;
		}
		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
			return false;
		rc = ZydisRegisterGetClass(o->reg.value);
		switch (o->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			place = VO_REG;
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			place = VO_RM;
			break;
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			place = VO_VVVV;
			break;
		case ZYDIS_OPERAND_ENCODING_IS4:
			place = VO_IS4;
			imm = 4 << 4;
			break;
		default:
			break;
		}
		switch (rc) {
		case ZYDIS_REGCLASS_XMM:
		case ZYDIS_REGCLASS_YMM:
			has_xmm = true;
			if (!place) {
				if (o->reg.value != ZYDIS_REGISTER_XMM0 && o->reg.value != ZYDIS_REGISTER_YMM0)
					return false;
				place = VO_XMM0;
			}
			if (place == VO_REG)
				reg = 1;
			else if (place == VO_RM)
				rm = 2;
			else if (place == VO_VVVV)
				vvvv = (u8)~3 & 15;
			/* Legacy destinations may be written in part. */
			if (rd || !vex)
				d.ld |= place;
			if (wr)
				d.st |= place;
			break;
		case ZYDIS_REGCLASS_GPR8: /* none: PEXTRB names a 32-bit register */
			return false;
		case ZYDIS_REGCLASS_GPR16:
		case ZYDIS_REGCLASS_GPR32:
		case ZYDIS_REGCLASS_GPR64:
			if (place == VO_REG) {
				reg = 0;
				d.kind |= VK_GPR_REG;
			} else if (place == VO_RM) {
				rm = 0;
				d.kind |= VK_GPR_RM;
			} else {
				u8 id = vec_reg(o->reg.value);

				if (place)
					return false;
				if (id == GPR_RCX && wr)
					d.kind |= VK_ECX;
				else if ((id == GPR_RAX || id == GPR_RDX) && !wr)
					d.kind |= VK_ESTR;
				else
					return false;
				break;
			}
			if (rd)
				d.ld |= place;
			if (wr)
				d.st |= place;
			break;
		case ZYDIS_REGCLASS_MMX: /* live in the host, under their own numbers */
			has_mmx = true;
			break;
		case ZYDIS_REGCLASS_FLAGS:
		case ZYDIS_REGCLASS_IP:
			break;
		case ZYDIS_REGCLASS_CONTROL: /* MXCSR */
			break;
		default:
			if (o->reg.value != ZYDIS_REGISTER_MXCSR)
				return false;
		}
	}
	/* CVT(T)SD2SI and the like from memory name no vector register. */
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F && (insn->opcode == 0x2c || insn->opcode == 0x2d) &&
	    (d.kind & VK_GPR_REG))
		has_xmm = true;
	/* Fences, prefetches and the like are not ours, though their feature bits are. */
	if (!has_xmm && !has_mmx && insn->mnemonic != ZYDIS_MNEMONIC_EMMS)
		return false;
	if (insn->cpu_flags && (insn->cpu_flags->modified | insn->cpu_flags->set_0 | insn->cpu_flags->set_1))
		d.kind |= VK_FLAGS_W;

	for (unsigned i = 0; i < 2; i++)
		if (insn->raw.imm[i].size) {
			has_imm = true;
			if (imm)
				continue; /* is4 */
			imm = bytes[insn->raw.imm[i].offset];
		}
	if (memform) {
		if (!d.mem)
			return false;
		rm = 7; /* [rdi] */
	}
	if (vex) {
		bool w = insn->raw.vex.W && (code64 || !vex_w_is_gpr_size(insn));

		if (insn->raw.vex.m_mmmm < 1 || insn->raw.vex.m_mmmm > 3)
			return false;
		d.enc[d.len++] = 0xc4;
		d.enc[d.len++] = 0xe0 | insn->raw.vex.m_mmmm;
		d.enc[d.len++] = (u8)(w << 7 | vvvv << 3 | (insn->raw.vex.L & 1) << 2 | (insn->raw.vex.pp & 3));
		d.enc[d.len++] = insn->opcode;
		d.cls = VEC_OK_AVX;
	} else {
		for (unsigned i = 0; i < insn->raw.prefix_count; i++)
			if (insn->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY) {
				if (d.len)
					return false;
				d.enc[d.len++] = insn->raw.prefixes[i].value;
			}
		if (code64 && insn->raw.rex.W)
			d.enc[d.len++] = 0x48;
		d.enc[d.len++] = 0x0f;
		if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F38)
			d.enc[d.len++] = 0x38;
		else if (insn->opcode_map == ZYDIS_OPCODE_MAP_0F3A)
			d.enc[d.len++] = 0x3a;
		else if (insn->opcode_map != ZYDIS_OPCODE_MAP_0F)
			return false;
		d.enc[d.len++] = insn->opcode;
		d.cls = has_xmm ? VEC_OK_SSE : VEC_OK_X87 | VC_MMX;
		if (has_mmx)
			d.cls |= VC_WAITS;
	}
	if (insn->attributes & ZYDIS_ATTRIB_HAS_MODRM)
		d.enc[d.len++] = (u8)((memform ? 0 : 0xc0) | reg << 3 | rm);
	if (has_imm)
		d.enc[d.len++] = imm;

	if (d.mem && (vex ? vex_aligned(insn->mnemonic) : d.mem_bytes == 16 && !unaligned_ok(insn->mnemonic)))
		d.align = d.mem_bytes - 1;
	*out = d;
	return true;
}

/* ---- what CPUID must offer ---- */

u32 vec_features(const ZydisDecodedInstruction *insn)
{
	bool vex = insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;

	if (insn->mnemonic == ZYDIS_MNEMONIC_CRC32)
		return 0;
	switch (insn->meta.isa_set) {
	case ZYDIS_ISA_SET_PENTIUMMMX:
		return VF_MMX;
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSEMXCSR:
		return VF_SSE;
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE2MMX:
		return VF_SSE2;
	case ZYDIS_ISA_SET_SSE3:
		return VF_SSE3;
	case ZYDIS_ISA_SET_SSE3X87:
		return VF_SSE3 | VF_FPU;
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSSE3MMX:
		return VF_SSSE3;
	case ZYDIS_ISA_SET_SSE4:
		return VF_SSE41;
	case ZYDIS_ISA_SET_SSE42:
		return VF_SSE42;
	case ZYDIS_ISA_SET_AES:
		return VF_AES;
	case ZYDIS_ISA_SET_AVXAES:
		return VF_AES | VF_AVX;
	case ZYDIS_ISA_SET_PCLMULQDQ:
		return VF_PCLMUL | (vex ? VF_AVX : 0);
	case ZYDIS_ISA_SET_SHA:
		return VF_SHA;
	case ZYDIS_ISA_SET_AVX:
		return VF_AVX;
	case ZYDIS_ISA_SET_AVX2:
	case ZYDIS_ISA_SET_AVX2GATHER:
		return VF_AVX2;
	case ZYDIS_ISA_SET_FMA:
		return VF_FMA | VF_AVX;
	case ZYDIS_ISA_SET_F16C:
		return VF_F16C | VF_AVX;
	case ZYDIS_ISA_SET_FXSAVE:
	case ZYDIS_ISA_SET_FXSAVE64:
		return VF_FXSR;
	case ZYDIS_ISA_SET_XSAVE:
		return VF_XSAVE;
	case ZYDIS_ISA_SET_XSAVEOPT:
		return VF_XSAVE | VF_XSAVEOPT;
	case ZYDIS_ISA_SET_FCMOV:
		return VF_FPU | VF_CMOV;
	case ZYDIS_ISA_SET_AMD3DNOW:
	case ZYDIS_ISA_SET_SSE4A:
	case ZYDIS_ISA_SET_GFNI:
	case ZYDIS_ISA_SET_AVX_GFNI:
	case ZYDIS_ISA_SET_AVX_VNNI:
	case ZYDIS_ISA_SET_VAES:
	case ZYDIS_ISA_SET_VPCLMULQDQ:
	case ZYDIS_ISA_SET_XSAVEC:
	case ZYDIS_ISA_SET_XSAVES:
	case ZYDIS_ISA_SET_FMA4:
	case ZYDIS_ISA_SET_XOP:
		return UINT32_MAX;
	default:
		break;
	}
	switch (insn->encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_EVEX:
	case ZYDIS_INSTRUCTION_ENCODING_MVEX:
	case ZYDIS_INSTRUCTION_ENCODING_XOP:
	case ZYDIS_INSTRUCTION_ENCODING_3DNOW:
		return UINT32_MAX;
	default:
		break;
	}
	if (insn->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	    insn->opcode >= 0xd8 && insn->opcode <= 0xdf) {
		switch (insn->mnemonic) {
		case ZYDIS_MNEMONIC_FCOMI:
		case ZYDIS_MNEMONIC_FCOMIP:
		case ZYDIS_MNEMONIC_FUCOMI:
		case ZYDIS_MNEMONIC_FUCOMIP:
			return VF_FPU | VF_CMOV;
		default:
			return VF_FPU;
		}
	}
	return 0;
}

/* ---- decoding ---- */

static uop_fn *handler(const struct vec_desc *d)
{
	if (d->cls & VC_X87_PTR)
		return d->mem ? x87_mem : x87_reg;
	if (d->kind & (VK_GPR_REG | VK_GPR_RM))
		return vec_any;
	if (d->mem)
		return d->mem == VM_LOAD ? vec_rm : vec_any;
	return vec_rr;
}

bool vec_is_description(const struct uop *u)
{
	return u->fn == never;
}

const struct vec_desc *vec_desc_of(const struct uop *u)
{
	if (u->fn == vec_overflow)
		return &((const struct overflow *)(const void *)(u + 1))->d;
	if (u->fn == vec_any || u->fn == vec_rm || u->fn == vec_rr || u->fn == x87_mem || u->fn == x87_reg)
		return &((const struct vec_stub *)u->ptr)->d;
	return NULL;
}

static void emit(struct decode *d, const struct vec_desc *desc)
{
	const struct vec_stub *s = vec_stub_get(d->c->vm->stubs, desc);
	struct uop *u = &d->u[0];

	u->osize = desc->mem_bytes;
	d->nu = 1;
	if (s) {
		u->fn = handler(desc);
		u->ptr = (void *)(uintptr_t)s;
	} else {
		struct overflow *o = (struct overflow *)(void *)&d->u[1];

		u->fn = vec_overflow;
		o->fn = never;
		o->d = *desc;
		o->unused = 0;
		d->nu = 2;
	}
}

/* x87 that only computes, loads, stores or compares; the rest is fpu.c's. */
static bool decode_x87(struct decode *d)
{
	const ZydisDecodedInstruction *insn = d->insn;
	struct vec_desc desc = { .cls = VEC_OK_X87 | VC_X87_PTR | VC_WAITS };
	u8 modrm = d->bytes[insn->raw.modrm.offset];
	bool memform = insn->raw.modrm.mod != 3;
	struct uop *u = &d->u[0];

	if (memform) {
		const ZydisDecodedOperand *mem = NULL;

		for (unsigned i = 0; i < insn->operand_count; i++)
			if (d->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
				mem = &d->ops[i];
		if (!mem || mem->size < 16 || mem->size > 80)
			return false;
		desc.mem_bytes = (u8)(mem->size / 8);
		desc.mem = (mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ? VM_STORE : VM_LOAD;
		if (desc.mem == VM_STORE)
			desc.cls |= VC_X87_STORE;
		decode_mem(d, u, mem);
	}
	u->r0 = modrm;
	u->r1 = insn->opcode & 7;
	if (insn->opcode == 0xd9 && memform && (insn->raw.modrm.reg == 5 || insn->raw.modrm.reg == 7))
		desc.cls = VEC_OK_X87 | (insn->raw.modrm.reg == 5 ? VC_WAITS : 0); /* FLDCW, FNSTCW: control */
	if (insn->opcode == 0xdd && memform && insn->raw.modrm.reg == 7)
		desc.cls = VEC_OK_X87; /* FNSTSW */
	if ((insn->opcode == 0xda || insn->opcode == 0xdb) && !memform && insn->raw.modrm.reg < 4)
		desc.kind = VK_FLAGS_R; /* FCMOVcc */
	if ((insn->opcode == 0xdb || insn->opcode == 0xdf) && !memform &&
	    (insn->raw.modrm.reg == 5 || insn->raw.modrm.reg == 6))
		desc.kind = VK_FLAGS_R | VK_FLAGS_W; /* F(U)COMI(P) */
	if (!(desc.cls & VC_X87_PTR))
		u->r0 = u->r1 = 0; /* else vec_rm() takes them for vector registers */
	desc.enc[0] = insn->opcode;
	desc.enc[1] = memform ? (u8)((modrm & 0x38) | 7) : modrm;
	desc.len = 2;
	emit(d, &desc);
	return true;
}

bool decode_vec(struct decode *d)
{
	const ZydisDecodedInstruction *insn = d->insn;
	u32 need = vec_features(insn);
	struct vec_desc desc;
	struct uop *u = &d->u[0];

	if (insn->mnemonic == ZYDIS_MNEMONIC_FWAIT)
		need = VF_FPU;
	if (!need)
		return false;
	if (need == UINT32_MAX || (need & ~d->c->vm->stubs->feat)) {
		decode_ud(d);
		return true;
	}
	if (vec_decode_fpu(d) || fpu_decode_env(d) || vec_decode_move(d) || vec_decode_mem(d))
		return true;
	if (insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && insn->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return insn->opcode >= 0xd8 && insn->opcode <= 0xdf && decode_x87(d);
	if (!vec_describe(&desc, insn, d->ops, d->bytes, d->mode & MODE_CODE64))
		return false;
	for (unsigned i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperand *o = &d->ops[i];
		ZydisRegisterClass rc;

		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
			decode_mem(d, u, o);
		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		rc = ZydisRegisterGetClass(o->reg.value);
		if (rc == ZYDIS_REGCLASS_MMX || rc == ZYDIS_REGCLASS_FLAGS || rc == ZYDIS_REGCLASS_INVALID)
			continue;
		switch (o->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			u->r0 = vec_reg(o->reg.value);
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			u->r1 = vec_reg(o->reg.value);
			break;
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			u->aux |= vec_reg(o->reg.value);
			break;
		case ZYDIS_OPERAND_ENCODING_IS4:
			u->aux |= (u8)(vec_reg(o->reg.value) << 4);
			break;
		default:
			break;
		}
	}
	emit(d, &desc);
	return true;
}
