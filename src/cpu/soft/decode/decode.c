/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.c - guest bytes to uops, a block at a time.
 *
 * A block ends after control flow, after anything that can change how the next bytes decode or execute,
 * at the page's end, and after BLOCK_INSNS_MAX instructions. A conditional branch that is not taken goes
 * on inside its block.
 */
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/run/ends.h"
#include "cpu/soft/decode/memo.h"
#include "cpu/soft/jit/jit_emit.h"
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/blocks/cache.h"

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
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_AMD_BRANCHES, vm->isa & ISA_AMD ? ZYAN_TRUE : ZYAN_FALSE);
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

void decode_begin(struct decode *d)
{
	const ZydisDecodedInstruction *in = d->insn;
	bool stack = false;

	/* Where the stack is the only memory operand, a bad address is #SS. */
	for (unsigned i = in->operand_count_visible; i < in->operand_count; i++)
		stack |= d->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && d->ops[i].mem.segment == ZYDIS_REGISTER_SS;
	for (unsigned i = 0; i < 3; i++) {
		d->u[i].rip_off = (u16)d->rip_off;
		d->u[i].len = in->length;
		d->u[i].base = d->u[i].index = GPR_ZERO;
		d->u[i].seg = stack ? SEG_SS : SEG_DS;
	}
}

bool decode_block(const struct soft_cpu *c, struct block *b, const u8 *p, unsigned n, unsigned max, bool whole)
{
	const struct soft_vm *vm = c->vm;
	u32 mode = b->mode;
	unsigned code = mode & MODE_CODE64 ? 0 : mode & MODE_CODE32 ? 1 : 2;
	unsigned off = 0, nu = 0, ni = 0;
	bool end = false;

	/* Blocks that go on behind branches overlap: too much memory for what is hardly ever executed. */
	bool cut = !whole && vm->jit && (mode & MODE_CODE64), was_cut = false;

	/* n: a single step has no more than one instruction at hand, and what it decodes is not kept. */
	if (vm->jit && (max > 1 || n > 15) && (mode & MODE_CODE64))
		b->op[nu++] = (struct uop){ .fn = op_jit_heat,
					    .base = GPR_ZERO,
					    .index = GPR_ZERO,
					    .imm = jit_was_hot(vm, b->phys) ? 2 : vm->jit->heat };
	while (!end && ni < max && off < n) {
		u8 bytes[MEMO_BYTES];
		unsigned room = MIN(15u, n - off);

		/* The guest may be writing them. */
		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, p + off, room);
		ZyanStatus st;
		struct memo *e = memo_find(c, code, bytes, room, &st);
		if (memo_uop(e, bytes, &b->op[nu])) {
			b->op[nu++].rip_off = (u16)off;
			ni++;
			off += e->len;
			end = e->end;
			continue;
		}
		const struct memo_insn *insn = memo_insn(c, e, bytes);
		const ZydisDecodedInstruction *in = &insn->in;
		const ZydisDecodedOperand *ops = insn->ops;
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
			decode_begin(&d);
			if (!decode_int(&d) && !decode_sys(&d) && !decode_vec(&d))
				decode_ud(&d);
			off += in->length;
		} else {
			/* Whether it is too long comes first, then whether all of it is there, then whether it is
			 * anything. */
			bool bare, cut_off = st == ZYDIS_STATUS_NO_MORE_DATA;
			unsigned len = decode_undefined_length(bytes, room, code, vm->isa & ISA_AMD, &bare);
			if (cut_off && !bare)
				len = MAX(len, room + 1);
			if (len > room && room < 15)
				break; /* it goes on in the next page */
			d.u[0].rip_off = (u16)off;
			emit(&d, len > 15 || (st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG && !bare) ? op_gp_len : op_ud,
			     true);
			off += MIN(len, room);
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
		b->op[nu] = (struct uop){
			.fn = link ? op_end_link : op_end, .rip_off = (u16)off, .base = GPR_ZERO, .index = GPR_ZERO
		};
		nu++;
	}
	b->nops = (u16)nu;
	b->bytes = (u16)off;
	b->whole = !was_cut;
	return true;
}
