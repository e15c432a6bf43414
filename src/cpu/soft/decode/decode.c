/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decode.c - guest bytes to uops, a block at a time.
 *
 * A block ends after control flow, after anything that can change how the next bytes decode or execute (outside of
 * 64-bit code, loads of segment registers), at the page's end, and after BLOCK_INSNS_MAX instructions. A conditional
 * branch that is not taken goes on inside its block.
 */
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/decode/form.h"
#include "cpu/soft/decode/memo.h"
#include "cpu/soft/interp/exec.h"
#include "cpu/soft/system/sys_ops.h"

static void index_rows(void)
{
	decode_table_index(&decode_rows);
	decode_vec_init();
}

void decode_init(struct soft_vm *vm, const struct decode_ends *ends)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth stack;
	} m[3] = {
		{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
		{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
	};

	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, index_rows);
	vm->ends = ends;
	for (unsigned i = 0; i < 3; i++) {
		ZydisDecoder *d = &vm->decoder[i];
		must(ZYAN_SUCCESS(ZydisDecoderInit(d, m[i].mode, m[i].stack)));
		/* What the model does not have decodes as on a processor that does not have it. */
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_AMD_BRANCHES, vm->isa & ISA_AMD ? ZYAN_TRUE : ZYAN_FALSE);
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_LZCNT, vm->isa & ISA_LZCNT ? ZYAN_TRUE : ZYAN_FALSE);
		ZydisDecoderEnableMode(d, ZYDIS_DECODER_MODE_TZCNT, vm->isa & ISA_BMI1 ? ZYAN_TRUE : ZYAN_FALSE);
	}
}

/*
 * 0F 18 to 0F 1F, in every form: hints, and opcodes reserved for more. They execute as NOP. What is defined there
 * belongs to features that no model has (RDSSP, ENDBR, MPX, CLDEMOTE), but programs use it without asking CPUID (SDM
 * 2B, NOP; APM 3, NOP).
 */
static bool is_hint(const ZydisDecodedInstruction *in)
{
	return in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->opcode_map == ZYDIS_OPCODE_MAP_0F &&
	       (in->opcode & 0xf8) == 0x18;
}

/*
 * Encodings and instruction sets that no model has: AMD's XOP with TBM, 3DNow!, AVX-512, Xeon Phi's. They must be
 * refused before the rows are asked, because Zydis gives some of them the mnemonics of other instructions.
 */
static bool of_no_model(const ZydisDecodedInstruction *in)
{
	return (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY && in->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) ||
	       (in->meta.isa_set >= ZYDIS_ISA_SET_KNCE && in->meta.isa_set <= ZYDIS_ISA_SET_KNC_PF_HINT);
}

static bool undefined(struct decode *d)
{
	decode_ud(d);
	return true;
}

bool decode_insn(struct decode *d)
{
	const ZydisDecodedInstruction *in = d->insn;

	if (of_no_model(in))
		return undefined(d);
	if (is_hint(in))
		return take(d, op_nop);
	const struct decode_row *r = decode_row_of(&decode_rows, in->mnemonic);
	if (!r)
		return false;
	if ((r->needs & ~d->c->vm->isa) || ((r->flags & ROW_CODE64) && !code64(d)))
		return undefined(d);
	d->end = r->flags & ROW_END;
	if (r->form(d, r))
		return true;
	d->end = false;
	return false;
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

/* What follows may belong to a block with another key, see soft_code_key(). */
static bool loads_segment(const struct uop *u, u32 mode)
{
	return !(mode & MODE_CODE64) && (u->fn == sys_mov_to_sreg || u->fn == sys_pop_sreg || u->fn == sys_lxs) &&
	       u->r1 <= SEG_DS;
}

bool decode_block(const struct soft_cpu *c, struct block *b, const u8 *p, unsigned n, unsigned max, bool whole)
{
	const struct soft_vm *vm = c->vm;
	const struct decode_ends *ends = vm->ends;
	u32 mode = b->mode;
	unsigned code = soft_decoder(mode);
	unsigned off = 0, nu = 0, ni = 0;
	bool end = false;

	/* Blocks that go on behind branches overlap. For code that is hardly ever executed they cost too much memory.
	 */
	bool cut = !whole && vm->jit && !(mode & MODE_NARROW), was_cut = false;

	/* A single step (n is at most 15) decodes one instruction and does not keep it: nothing to count. */
	if (vm->jit && (max > 1 || n > 15) && !(mode & MODE_NARROW))
		b->op[nu++] = (struct uop){
			.fn = ends->first, .base = GPR_ZERO, .index = GPR_ZERO, .imm = ends->heat(vm, b->phys)
		};
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
			if (loads_segment(&b->op[nu - 1], mode))
				break;
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
			if (!decode_insn(&d) && !decode_vec(&d))
				decode_ud(&d);
			off += in->length;
		} else {
			/* A processor asks in this order: is it too long (#GP), is all of it there (#PF), is it defined
			 * (#UD)? */
			bool bare, cut_off = st == ZYDIS_STATUS_NO_MORE_DATA;
			unsigned len = decode_undefined_length(bytes, room, code, vm->isa & ISA_AMD, &bare);
			if (cut_off && !bare)
				len = MAX(len, room + 1);
			if (len > room && room < 15)
				break; /* it goes on in the next page */
			d.u[0].rip_off = (u16)off;
			decode_ud(&d);
			if (len > 15 || (st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG && !bare))
				d.u->fn = op_gp_len;
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
		if (loads_segment(d.u, mode))
			break;
	}
	if (!ni)
		return false;
	if (!end) {
		bool link = max > 1 && (mode & MODE_CODE64) && (b->phys & ~PAGE_MASK) + off < PAGE_BYTES;
		b->op[nu] = (struct uop){ .fn = link ? ends->last_link : ends->last,
					  .rip_off = (u16)off,
					  .base = GPR_ZERO,
					  .index = GPR_ZERO };
		nu++;
	}
	b->nops = (u16)nu;
	b->bytes = (u16)off;
	b->whole = !was_cut;
	return true;
}
