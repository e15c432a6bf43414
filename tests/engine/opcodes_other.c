/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * opcodes_other.c - the 64-bit code that does what an instruction of 32- or 16-bit code does: what the host CPU is
 * asked where its kernel lets no such code run (native.c).
 *
 * Most of the opcode maps mean the same in all modes, but for the default sizes: 66 and 67 make up for them. What is
 * otherwise - stacks, far branches, segment registers' loads, 40 to 4F, BCD, addresses of 16 bits - has no such twin.
 */
#include "opcodes.h"

static bool one_byte_is_other(const struct opcode *o)
{
	switch (o->op) {
	case 0x06:
	case 0x07:
	case 0x0e:
	case 0x16:
	case 0x17:
	case 0x1e:
	case 0x1f:
	case 0x27:
	case 0x2f:
	case 0x37:
	case 0x3f:
	case 0x40 ... 0x62:
	case 0x63:
	case 0x68:
	case 0x6a:
	case 0x82:
	case 0x8e: /* what IRET does to selectors is the kernel's */
	case 0x8f:
	case 0x9a:
	case 0x9c:
	case 0x9d:
	case 0xa0 ... 0xa3:
	case 0xc2 ... 0xc5:
	case 0xc8 ... 0xcf:
	case 0xd4 ... 0xd6:
	case 0xe8:
	case 0xea:
		return true;
	case 0x90: /* with F3 and REX.B... never here; XCHG EAX, EAX clears nothing in legacy code */
		return false;
	case 0x8c:
		return true;
	case 0xe0 ... 0xe3:
		return o->bits == 16;
	case 0xff:
		return opcode_reg(o) >= 2;
	default:
		return false;
	}
}

static bool two_byte_is_other(const struct opcode *o)
{
	switch (o->op) {
	case 0x01: /* SWAPGS and others that are defined in 64-bit code alone */
	case 0x05:
	case 0x07:
	case 0x34:
	case 0x35:
	case 0x20 ... 0x23:
	case 0xa0:
	case 0xa1:
	case 0xa8:
	case 0xa9:
	case 0xae:
	case 0xb2:
	case 0xb4:
	case 0xb5:
		return true;
	default:
		return false;
	}
}

static bool is_branch(const struct opcode *o)
{
	return o->known && o->in.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
}

static bool is_string(const struct opcode *o)
{
	return o->map == MAP_1 && ((o->op >= 0xa4 && o->op <= 0xaf && (o->op & 0xfe) != 0xa8) || o->op == 0xd7 ||
				   (o->op >= 0x6c && o->op <= 0x6f));
}

/* 66 belongs to the opcode. */
static bool is_66_opcode(const struct opcode *o)
{
	if (o->map == MAP_0F)
		return (o->op >= 0x10 && o->op <= 0x17) || (o->op >= 0x28 && o->op <= 0x2f) ||
		       (o->op >= 0x50 && o->op <= 0x7f) || o->op == 0xc2 || (o->op >= 0xc4 && o->op <= 0xc7) ||
		       o->op >= 0xd0;
	return o->map != MAP_1;
}

bool opcode_twin(const struct opcode *o, struct opcode *t)
{
	bool modrm = o->known ? o->in.attributes & ZYDIS_ATTRIB_HAS_MODRM : true;
	bool mem = modrm && opcode_mod(o) != 3;
	bool drop66 = false;
	u8 extra = 0;

	if (o->off != 64 || o->seg_fs_gs || (o->map == MAP_1 && one_byte_is_other(o)) ||
	    (o->map == MAP_0F && two_byte_is_other(o)))
		return false;
	if (o->map == MAP_XOP || o->map == MAP_EVEX)
		return false;
	if (o->map == MAP_VEX && (!o->known || o->in.raw.vex.W || o->bits == 16))
		return false;
	for (unsigned i = 0; i < o->nprefix; i++)
		if (o->b[i] == 0x2e || (o->bits == 16 && o->b[i] == 0x67))
			return false;
	/* VEX.B and the upper bit of vvvv are ignored. */
	if (o->map == MAP_VEX &&
	    (!(o->b[o->at - 2] & 0x40) || (o->b[o->nprefix] == 0xc4 && !(o->b[o->nprefix + 1] & 0x20))))
		return false;
	/* Eight vector registers: the twin clears sixteen, or names one by a bit that is ignored here. */
	if (o->map == MAP_VEX &&
	    ((o->vmap == 1 && o->op == 0x77) || (o->vmap == 3 && (o->op & 0xf0) == 0x40 && o->last >= 0x80)))
		return false;
	if ((o->map == MAP_0F || o->map == MAP_VEX) && o->op == 0xf7 && !mem)
		return false; /* MASKMOVDQU: addresses of its own */
	if (o->bits == 16 && o->nprefix > 4)
		return false; /* the limit of 15 bytes comes elsewhere */
	if (is_branch(o) && o->o16)
		return false; /* another address of the same 16 bits */
	if (o->map == MAP_1 && o->op == 0x8d && o->a)
		return false; /* LEA with 16-bit addresses */
	if (o->bits == 32) {
		if ((mem || is_string(o)) && o->a)
			return false;
		if (mem && opcode_mod(o) == 0 && (o->modrm & 7) == 5)
			return false; /* absolute; relative to RIP in 64-bit code */
		if (mem || is_string(o) || (o->map == MAP_1 && o->op >= 0xe0 && o->op <= 0xe3 && !o->a))
			extra = 0x67;
		if (o->map == MAP_1 && o->op >= 0xe0 && o->op <= 0xe3 && o->a)
			return false;
	} else {
		if (mem || is_string(o) || is_branch(o))
			return false;
		if (o->map == MAP_0F38 && (o->op & 0xfe) == 0xf0)
			return false;
		if (!is_66_opcode(o)) {
			drop66 = o->o16;
			extra = o->o16 ? 0 : 0x66;
		}
	}
	*t = *o;
	t->bits = 64;
	t->n = 0;
	if (extra)
		t->b[t->n++] = extra;
	for (unsigned i = 0; i < o->n; i++)
		if (!(drop66 && i < o->nprefix && o->b[i] == 0x66))
			t->b[t->n++] = o->b[i];
	return t->n <= 15;
}

void opcode_from_twin(const struct opcode *o, const struct opcode *t, struct hx_state *s)
{
	u64 start = HX_CODE + t->off;

	if (s->rip != start && s->rip - HX_CODE < HX_CODE_BYTES)
		s->rip -= (u64)((s64)t->n - (s64)o->n);
	if (o->bits == 16)
		s->rip -= HX_CODE;
}
