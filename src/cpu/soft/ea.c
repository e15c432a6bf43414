/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ea.c - what decode_mem() packed, as an address: see ea.h. */
#include "cpu/soft/ea.h"

#include "cpu/soft/raise.h"

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
