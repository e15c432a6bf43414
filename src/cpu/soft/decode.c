/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.c - guest bytes to uops, a block at a time; and the two address functions that undo what
 * decode_mem() packed.
 *
 * A block ends after control flow, after anything that can change how the next bytes decode or execute,
 * at the page's end, and after BLOCK_INSNS_MAX instructions. A conditional branch that is not taken goes
 * on inside its block.
 */
#include "cpu/soft/exec.h"
#include "cpu/soft/jit_emit.h"

void decode_init(struct soft_vm *vm)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth stack;
	} m[3] = {
		{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
		{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	};

	for (unsigned i = 0; i < 3; i++) {
		ZydisDecoder *d = &vm->decoder[i];
		must(ZYAN_SUCCESS(ZydisDecoderInit(d, m[i].mode, m[i].stack)));
		/* What the model has not, decodes as on a processor that has not. */
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_AMD_BRANCHES,
				       vm->isa & ISA_AMD_BRANCHES ? ZYAN_TRUE : ZYAN_FALSE);
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_LZCNT, vm->isa & ISA_LZCNT ? ZYAN_TRUE : ZYAN_FALSE);
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_TZCNT, vm->isa & ISA_BMI1 ? ZYAN_TRUE : ZYAN_FALSE);
	}
}

u8 decode_gpr(ZydisRegister r)
{
	ZyanI8 id = ZydisRegisterGetId(r);

	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR8:
		return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH ? (u8)(r - ZYDIS_REGISTER_AH)
		       : r >= ZYDIS_REGISTER_SPL                        ? (u8)(r - ZYDIS_REGISTER_SPL + 4)
									: (u8)(r - ZYDIS_REGISTER_AL);
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return (u8)id;
	default:
		return GPR_ZERO;
	}
}

u8 decode_reg8(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return (u8)((r - ZYDIS_REGISTER_AH) * 8 + 1);
	return (u8)(decode_gpr(r) * 8);
}

static u8 seg_of(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES:
		return SEG_ES;
	case ZYDIS_REGISTER_CS:
		return SEG_CS;
	case ZYDIS_REGISTER_SS:
		return SEG_SS;
	case ZYDIS_REGISTER_FS:
		return SEG_FS;
	case ZYDIS_REGISTER_GS:
		return SEG_GS;
	default:
		return SEG_DS;
	}
}

void decode_mem(struct decode *d, struct uop *u, const ZydisDecodedOperand *o)
{
	s64 disp = o->mem.disp.has_displacement ? o->mem.disp.value : 0;
	unsigned aw = d->insn->address_width;

	must(o->type == ZYDIS_OPERAND_TYPE_MEMORY);
	u->seg = seg_of(o->mem.segment);
	u->ea = aw == 32 ? EA_A32 : aw == 16 ? EA_A16 : 0;
	if (!(d->mode & MODE_CODE64) || aw != 64)
		u->ea |= EA_SLOW;
	/* Zydis 4.0.0 takes SIB base 101 with mod 0 for R13D, where REX.B is set and addresses are 32-bit. */
	bool no_base = d->insn->raw.modrm.mod == 0 && d->insn->raw.modrm.rm == 4 && d->insn->raw.disp.size == 32 &&
		       o->mem.base == ZYDIS_REGISTER_R13D && !o->mem.disp.has_displacement;
	if (no_base)
		disp = d->insn->raw.disp.value;
	u->index = o->mem.index == ZYDIS_REGISTER_NONE ? GPR_ZERO : decode_gpr(o->mem.index);
	u->scale = o->mem.scale == 8 ? 3 : o->mem.scale == 4 ? 2 : o->mem.scale == 2 ? 1 : 0;
	if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) {
		s64 rel = disp + (s64)d->rip_off + d->insn->length;
		u->base = GPR_BLK;
		if (rel == (s32)rel) {
			disp = rel;
		} else {
			u->ea |= EA_SLOW | EA_RIP;
		}
	} else {
		u->base = o->mem.base == ZYDIS_REGISTER_NONE || no_base ? GPR_ZERO : decode_gpr(o->mem.base);
	}
	u->disp = (s32)disp;
	if (disp != (s32)disp) {
		/* MOV AL/eAX, moffs, or an unsigned 32-bit displacement outside 64-bit code */
		u->ea |= EA_SLOW;
		if (u->base == GPR_ZERO && u->index == GPR_ZERO && aw == 64) {
			u->ea |= EA_MOFFS;
			u->imm = (u64)disp;
		}
	}
}

u64 soft_ea_offset(struct soft_cpu *c, const struct uop *op)
{
	u64 off;

	if (op->ea & EA_MOFFS) {
		off = op->imm;
	} else {
		off = c->gpr[op->base] + (c->gpr[op->index] << op->scale) + (u64)(s64)op->disp;
		if (op->ea & EA_RIP)
			off += op->rip_off + op->len;
	}
	if (op->ea & EA_A32)
		return (u32)off;
	if (op->ea & EA_A16)
		return (u16)off;
	return off;
}

static noreturn_ void seg_fault(struct soft_cpu *c, unsigned seg)
{
	soft_raise(c, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

gva_t soft_seg_lin(struct soft_cpu *c, unsigned seg, u64 off, unsigned bytes, bool write)
{
	if (likely(c->mode & MODE_CODE64))
		return off + c->eff_base[seg];

	const struct cpu_seg *s = &c->seg[seg];
	u64 last = off + bytes - 1;
	if ((c->mode & (MODE_PE | MODE_VM86)) == MODE_PE) {
		if ((s->ar & SEG_AR_UNUSABLE) || !(s->ar & SEG_AR_P))
			seg_fault(c, seg);
		if (s->ar & 8) { /* code */
			if (write || !(s->ar & 2))
				seg_fault(c, seg);
		} else {
			if (write && !(s->ar & 2))
				seg_fault(c, seg);
			if (s->ar & 4) { /* expand-down: valid above the limit */
				if (off <= s->limit || last > (s->ar & SEG_AR_DB ? 0xffffffffu : 0xffffu))
					seg_fault(c, seg);
				return (u32)(s->base + off);
			}
		}
	}
	if (last > s->limit)
		seg_fault(c, seg);
	return (u32)(s->base + off);
}

gva_t soft_ea(struct soft_cpu *c, const struct uop *op, unsigned bytes, bool write)
{
	return soft_seg_lin(c, op->seg, soft_ea_offset(c, op), bytes, write);
}

static void emit(struct decode *d, uop_fn *fn, bool end)
{
	d->u[0].fn = fn;
	d->nu = 1;
	d->end = end;
}

void decode_ud(struct decode *d)
{
	emit(d, op_ud, true);
}

/*
 * What was decoded lately, by vCPU: guests that write code write the same instructions again and again, with other
 * constants at most, and taking an instruction apart is most of the work on a block that is executed once or twice.
 */
#define MEMO_BITS 9
struct decode_memo {
	struct memo {
		u8 bytes[15];
		u8 len;    /* 0: empty */
		u8 imm_at; /* what comes behind is a constant that may be replaced; len: none */
		u8 nu;     /* uops that the same bytes make anywhere; 0: not so */
		u8 imm_op; /* the constant's operand */
		bool end;
		const ZydisDecoder *dec;
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		struct uop u[3];
	} e[1u << MEMO_BITS];
};

struct decode_memo *decode_memo_new(void)
{
	return xcalloc(1, sizeof(struct decode_memo));
}

/* By what tells instructions apart, but for their constants. A poor guess costs a place, no more. */
static struct memo *memo_of(const struct soft_cpu *c, const u8 *p, const ZydisDecoder *dec)
{
	u32 h = (u32)(dec - c->vm->decoder), i = 0;
	bool modrm;

	while (i < 4 && (p[i] == 0x66 || p[i] == 0xf2 || p[i] == 0xf3 || (p[i] & 0xf0) == 0x40))
		h = h * 31 + p[i++];
	u8 op = p[i++];
	if (op == 0x0f) {
		op = p[i++];
		h += 0x1000;
		modrm = (op & 0xf0) != 0x80;
	} else {
		modrm = (op < 0x40 && (op & 7) < 4) || (op & 0xf0) == 0x80 || op == 0x63 || op == 0x69 || op == 0x6b ||
			(op & 0xfe) == 0xc0 || (op & 0xfc) == 0xc4 || (op & 0xf0) == 0xd0 || (op & 0xf6) == 0xf6;
	}
	h = h * 31 + op;
	if (modrm)
		h = h * 257 + p[i] + 1;
	return &c->memo->e[(h * 0x9e3779b1u) >> (32 - MEMO_BITS)];
}

static u64 memo_imm(const struct memo *e, const u8 *p)
{
	unsigned bytes = e->len - e->imm_at;
	u64 v = 0;

	memcpy(&v, p + e->imm_at, bytes);
	if (e->in.raw.imm[0].is_signed && bytes < 8 && v >> (bytes * 8 - 1))
		v |= ~0ull << (bytes * 8);
	return v;
}

/* Which operand is the constant, if another one could take its place. */
static void memo_find_imm(struct memo *e)
{
	const ZydisDecodedInstruction *in = &e->in;
	unsigned n = 0;

	e->imm_at = e->len;
	/* Elsewhere it may say what the instruction does. */
	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || in->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT ||
	    !in->raw.imm[0].size || in->raw.imm[1].size || in->raw.imm[0].is_relative ||
	    in->raw.imm[0].offset + in->raw.imm[0].size / 8 != e->len)
		return;
	for (unsigned i = 0; i < in->operand_count; i++)
		if (e->ops[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			e->imm_op = (u8)i;
			n++;
		}
	if (n != 1)
		return;
	e->imm_at = in->raw.imm[0].offset;
	u64 v = memo_imm(e, e->bytes);
	if (v != in->raw.imm[0].value.u || v != e->ops[e->imm_op].imm.value.u)
		e->imm_at = e->len;
}

/* The instruction at bytes, of which room count; *st as ZydisDecoderDecodeFull()'s. */
static struct memo *memo_decode(const struct soft_cpu *c, const ZydisDecoder *dec, const u8 *bytes, unsigned room,
				ZyanStatus *st)
{
	struct memo *e = memo_of(c, bytes, dec);

	*st = ZYAN_STATUS_SUCCESS;
	if (e->len && e->len <= room && e->dec == dec && !memcmp(e->bytes, bytes, e->imm_at)) {
		if (!memcmp(e->bytes + e->imm_at, bytes + e->imm_at, e->len - e->imm_at))
			return e;
		e->nu = 0;
		memcpy(e->bytes, bytes, e->len);
		e->in.raw.imm[0].value.u = e->ops[e->imm_op].imm.value.u = memo_imm(e, bytes);
		return e;
	}
	e->len = e->nu = 0;
	*st = ZydisDecoderDecodeFull(dec, bytes, room, &e->in, e->ops);
	if (ZYAN_SUCCESS(*st)) {
		e->len = e->in.length;
		e->dec = dec;
		memcpy(e->bytes, bytes, e->len);
		memo_find_imm(e);
	}
	return e;
}

/* Do its uops depend on nothing but its bytes? */
static bool memo_anywhere(const struct memo *e)
{
	if (e->in.raw.imm[0].is_relative || e->in.raw.imm[1].is_relative)
		return false;
	for (unsigned i = 0; i < e->in.operand_count; i++)
		if (e->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (e->ops[i].mem.base == ZYDIS_REGISTER_RIP || e->ops[i].mem.base == ZYDIS_REGISTER_EIP))
			return false;
	return true;
}

bool decode_block(const struct soft_cpu *c, struct block *b, const u8 *p, unsigned n, unsigned max, bool whole)
{
	const struct soft_vm *vm = c->vm;
	u32 mode = b->mode;
	const ZydisDecoder *dec = &vm->decoder[mode & MODE_CODE64 ? 0 : mode & MODE_CODE32 ? 1 : 2];
	unsigned off = 0, nu = 0, ni = 0;
	bool end = false;

	/* Blocks that go on behind branches overlap: too much memory for what is hardly ever executed. */
	bool cut = !whole && vm->jit && (mode & MODE_CODE64), was_cut = false;

	/* n: a single step has no more than one instruction at hand, and what it decodes is not kept. */
	if (vm->jit && (max > 1 || n > 15) && (mode & MODE_CODE64))
		b->op[nu++] = (struct uop){ .fn = op_jit_heat, .base = GPR_ZERO, .index = GPR_ZERO, .imm = jit_was_hot(vm, b->phys) ? 2 : vm->jit->heat };
	while (!end && ni < max && off < n) {
		u8 bytes[15];
		unsigned room = MIN(15u, n - off);

		/* The guest may be writing them. */
		if (likely(room == 15)) {
			memcpy(bytes, p + off, 15);
		} else {
			memset(bytes, 0, 15);
			memcpy(bytes, p + off, room);
		}
		ZyanStatus st;
		struct memo *e = memo_decode(c, dec, bytes, room, &st);
		if (e->nu) {
			memcpy(&b->op[nu], e->u, e->nu * sizeof(e->u[0]));
			for (unsigned i = 0; i < e->nu; i++)
				b->op[nu + i].rip_off = (u16)off;
			nu += e->nu;
			ni++;
			off += e->len;
			end = e->end;
			continue;
		}
		const ZydisDecodedInstruction *in = &e->in;
		const ZydisDecodedOperand *ops = e->ops;
		struct decode d = { .c = c,
				    .mode = mode,
				    .insn = in,
				    .ops = ops,
				    .bytes = bytes,
				    .rip_off = off,
				    .page_off = max == 1 ? DECODE_NO_PAGE : (unsigned)(b->phys & (PAGE_BYTES - 1)) };

		d.u = &b->op[nu];
		memset(d.u, 0, 3 * sizeof(*d.u));
		if (ZYAN_SUCCESS(st)) {
			/* Where the stack is the only memory operand, a bad address is #SS. */
			bool stack = false;
			for (unsigned i = in->operand_count_visible; i < in->operand_count; i++)
				stack |=
				    ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ops[i].mem.segment == ZYDIS_REGISTER_SS;
			for (unsigned i = 0; i < 3; i++) {
				d.u[i].rip_off = (u16)off;
				d.u[i].len = in->length;
				d.u[i].base = d.u[i].index = GPR_ZERO;
				d.u[i].seg = stack ? SEG_SS : SEG_DS;
			}
			if (decode_int(&d)) {
				if (memo_anywhere(e)) {
					memcpy(e->u, d.u, d.nu * sizeof(*d.u));
					e->nu = (u8)d.nu;
					e->end = d.end;
				}
			} else if (!decode_sys(&d) && !decode_vec(&d)) {
				decode_ud(&d);
			}
			off += in->length;
		} else if (st == ZYDIS_STATUS_NO_MORE_DATA) {
			if (room < 15)
				break; /* it goes on in the next page */
			d.u[0].rip_off = (u16)off;
			emit(&d, op_gp_len, true);
			off += 15;
		} else {
			d.u[0].rip_off = (u16)off;
			emit(&d, st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? op_gp_len : op_ud, true);
			off += 1;
		}
		must(d.nu >= 1 && d.nu <= 3);
		nu += d.nu;
		ni++;
		end = d.end;
		if (cut && !end && in->meta.category == ZYDIS_CATEGORY_COND_BR && ZYAN_SUCCESS(st)) {
			was_cut = true;
			break;
		}
	}
	if (!ni)
		return false;
	if (!end) {
		bool link = max > 1 && (mode & MODE_CODE64) && (b->phys & ~PAGE_MASK) + off < PAGE_BYTES;
		b->op[nu] = (struct uop){ .fn = link ? op_end_link : op_end, .rip_off = (u16)off, .base = GPR_ZERO, .index = GPR_ZERO };
		nu++;
	}
	b->nops = (u16)nu;
	b->bytes = (u16)off;
	b->whole = !was_cut;
	return true;
}
