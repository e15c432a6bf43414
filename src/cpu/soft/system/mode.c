/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mode.c - what follows from the mode the vCPU is in: RFLAGS, the tables in use, which instructions may run. */
#include "cpu/soft/system/system.h"

u64 soft_get_rflags(struct soft_cpu *c)
{
	return c->sysflags | soft_get_status(c) | 2;
}

void soft_set_rflags(struct soft_cpu *c, u64 v)
{
	u32 old = c->sysflags;

	soft_set_status(c, (u32)v);
	c->sysflags =
	    ((u32)v & (FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)) | 2;
	if (!dr7_any(c->dr7))
		c->sysflags &= ~FL_RF; /* only instruction breakpoints would ever look at it */
	u32 diff = old ^ c->sysflags;
	if (diff & FL_VM)
		soft_mode_changed(c);
	else if (diff & FL_AC)
		c->tlb = c->tlbs[mmu_index(c)];
	if ((diff | c->sysflags) & (FL_TF | FL_RF))
		soft_step_changed(c);
}

static void reach_of(struct soft_cpu *c, unsigned seg)
{
	const struct cpu_seg *s = &c->seg[seg];
	bool rd = true, wr = true;

	if ((c->mode & (MODE_PE | MODE_VM86)) == MODE_PE) {
		bool code = s->ar & 8, down = !code && (s->ar & 4);
		bool ok = !(s->ar & SEG_AR_UNUSABLE) && (s->ar & SEG_AR_P) && !down;
		rd = ok && (!code || (s->ar & 2));
		wr = ok && !code && (s->ar & 2);
	}
	c->seg_end[0][seg] = rd ? (u64)s->limit + 1 : 0;
	c->seg_end[1][seg] = wr ? (u64)s->limit + 1 : 0;
}

static bool is_flat(const struct soft_cpu *c)
{
	const u64 all = 1ull << 32;

	return (c->mode & MODE_CODE32) &&
	       !(c->seg[SEG_ES].base | c->seg[SEG_CS].base | c->seg[SEG_SS].base | c->seg[SEG_DS].base) &&
	       c->seg[SEG_CS].limit == UINT32_MAX && c->seg_end[0][SEG_CS] == all && c->seg_end[1][SEG_ES] == all &&
	       c->seg_end[1][SEG_SS] == all && c->seg_end[1][SEG_DS] == all;
}

static void key_changed(struct soft_cpu *c)
{
	if (is_flat(c))
		c->mode |= MODE_FLAT;
	else
		c->mode &= ~MODE_FLAT;
	c->jc_salt = soft_key_salt(soft_code_key(c));
}

void soft_seg_changed(struct soft_cpu *c, unsigned seg)
{
	if (c->mode & MODE_CODE64)
		return;
	reach_of(c, seg);
	key_changed(c);
}

void soft_mode_changed(struct soft_cpu *c)
{
	const struct cpu_seg *cs = &c->seg[SEG_CS];
	u32 mode = 0;

	if (c->cr0 & CR0_PE) {
		mode |= MODE_PE;
		if (c->sysflags & FL_VM)
			mode |= MODE_VM86;
	}
	if (c->efer & EFER_LMA)
		mode |= MODE_LMA;
	if ((mode & MODE_LMA) && (cs->ar & SEG_AR_L))
		mode |= MODE_CODE64;
	else if (cs->ar & SEG_AR_DB)
		mode |= MODE_CODE32;
	if (c->seg[SEG_SS].ar & SEG_AR_DB)
		mode |= MODE_SS32;
	if ((c->mode ^ mode) & (MODE_PE | MODE_VM86))
		soft_vec_changed(c);
	c->mode = mode;

	if (!(mode & MODE_PE))
		c->cpl = 0;
	else if (mode & MODE_VM86)
		c->cpl = 3;

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		c->eff_base[i] = (mode & MODE_CODE64) && i < SEG_FS ? 0 : c->seg[i].base;
	c->tlb = c->tlbs[mmu_index(c)];
	c->jc = c->jcs[c->cpl == 3];
	if (mode & MODE_CODE64) {
		c->jc_salt = 0;
		return;
	}
	if (cs->limit < (mode & MODE_CODE32 ? UINT32_MAX : 0xffffu))
		c->mode |= MODE_NARROW;
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		reach_of(c, i);
	key_changed(c);
}

void soft_step_changed(struct soft_cpu *c)
{
	/* An instruction being run alone may change all of the reasons; it still must come back. */
	bool step =
	    c->stepping || (c->sysflags & (FL_TF | FL_RF)) || c->shadow || c->one_step || (c->trace & TRACE_EXEC);

	if (step)
		atomic_fetch_or_explicit(&c->pending, PEND_STEP, memory_order_relaxed);
	else
		atomic_fetch_and_explicit(&c->pending, ~PEND_STEP, memory_order_relaxed);
}

void soft_vec_changed(struct soft_cpu *c)
{
	bool em = c->cr0 & CR0_EM, ts = c->cr0 & CR0_TS;
	u8 ok = 0;

	if (!em && !ts)
		ok |= VEC_OK_X87;
	if (!(ts && (c->cr0 & CR0_MP)))
		ok |= VEC_OK_WAIT;
	if (!em && !ts && (c->cr4 & CR4_OSFXSR))
		ok |= VEC_OK_SSE;
	if (!ts && (c->cr4 & CR4_OSXSAVE) && (c->xcr0 & 6) == 6 && (c->cr0 & CR0_PE) && !(c->sysflags & FL_VM))
		ok |= VEC_OK_AVX;
	c->vec_ok = ok;
}
