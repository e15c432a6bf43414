/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_regs.c - registers between a vCPU and its runner's frame. */
#include "cpu/soft/direct/direct_regs.h"

#include "cpu/soft/direct/direct_flat.h"
#include "cpu/soft/system/desc.h"
#include "cpu/soft/vector/fpu.h"

static const u8 greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

void direct_regs_put(struct soft_cpu *c, struct runner *r)
{
	greg_t *g = r->uc->uc_mcontext.gregs;
	u8 area[1024];

	for (unsigned i = 0; i < 16; i++)
		g[greg_of[i]] = (greg_t)c->gpr[i];
	g[REG_RIP] = (greg_t)c->rip;
	g[REG_EFL] = (greg_t)((soft_get_rflags(c) & USER_FLAGS) | FL_IF | 2);
	r->fs_base = c->seg[SEG_FS].base;
	r->gs_base = c->seg[SEG_GS].base;
	memset(r->load, 0, sizeof(r->load));
	r->code32 = !(c->mode & MODE_CODE64);
	if (r->code32)
		direct_flat_put(c, r);
	soft_fpu_get(c, area);
	memcpy(r->fp, area, RUNNER_FP_BYTES);
	st_le64(r->fp + RUNNER_FP_HEADER, RUNNER_FP_GUEST);
}

/* Segment registers that user code may load on its own: the segment of flat data, that whose limit is the number of the
 * processor (Linux's vdso), and the code segments of 64 and 32 bits; in the host they are what they are in every Linux.
 */
#define USER_CPU 0x7b

static void get_segments(struct soft_cpu *c, const struct runner *r, u16 cs)
{
	static const u8 name[4] = {
		[RUNNER_ES] = SEG_ES, [RUNNER_DS] = SEG_DS, [RUNNER_FS] = SEG_FS, [RUNNER_GS] = SEG_GS
	};

	if (cs == USER_CS32)
		c->seg[SEG_CS] = (struct cpu_seg){ .sel = USER_CS32, .ar = 0xc0fb, .limit = ~0u };
	for (unsigned i = 0; i < 4; i++) {
		u16 sel = r->sel[i];
		struct cpu_seg *s = &c->seg[name[i]];
		struct sys_desc d;
		if (!sel)
			continue;
		/* The base is known: of FS and GS it may have been set since; else it is 0 or of no use. */
		if ((sel | 3) == USER_SS) {
			s->sel = sel;
			s->ar = 0xc0f3;
			s->limit = ~0u;
		} else if (((sel | 3) == USER_CPU || (sel | 3) == USER_CS || (sel | 3) == USER_CS32) &&
			   sys_desc_get(c, sel, &d) && desc_is_readable(&d) && desc_dpl(&d) == 3 && desc_present(&d)) {
			s->sel = sel;
			s->ar = d.ar | 1; /* accessed */
			s->limit = d.limit;
		}
	}
	soft_mode_changed(c);
}

/* What 64-bit code may have changed of its segments. */
static void get_segments64(struct soft_cpu *c, const struct runner *r)
{
	u16 cs = (u16)r->uc->uc_mcontext.gregs[REG_CSGSFS];

	/* Kernels that leave FSGSBASE off rely on users not setting these. */
	if (c->cr4 & CR4_FSGSBASE) {
		c->seg[SEG_FS].base = c->eff_base[SEG_FS] = r->fs_base;
		c->seg[SEG_GS].base = c->eff_base[SEG_GS] = r->gs_base;
	}
	if (unlikely(cs != USER_CS || (r->sel[0] | r->sel[1] | r->sel[2] | r->sel[3])))
		get_segments(c, r, cs);
}

void direct_regs_get(struct soft_cpu *c, struct runner *r)
{
	const greg_t *g = r->uc->uc_mcontext.gregs;
	u8 area[1024];

	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = (u64)g[greg_of[i]];
	/* There are no upper halves, whatever a forged frame says. */
	for (unsigned i = 0; !(c->mode & MODE_LMA) && i < 8; i++)
		c->gpr[i] = (u32)c->gpr[i];
	c->rip = r->code32 ? (u32)g[REG_RIP] : (u64)g[REG_RIP];
	soft_set_rflags(c, (soft_get_rflags(c) & ~(u64)USER_FLAGS) | ((u64)g[REG_EFL] & USER_FLAGS));
	if (!r->code32)
		get_segments64(c, r);
	memcpy(area, r->fp, RUNNER_FP_BYTES);
	memset(area + RUNNER_FP_BYTES, 0, sizeof(area) - RUNNER_FP_BYTES);
	memset(area + RUNNER_FP_HEADER, 0, RUNNER_FP_AVX - RUNNER_FP_HEADER);
	st_le64(area + RUNNER_FP_HEADER, ld_le64(r->fp + RUNNER_FP_HEADER) & RUNNER_FP_GUEST);
	st_le32(area + RUNNER_FP_MXCSR, ld_le32(area + RUNNER_FP_MXCSR) & 0xffffu);
	if (soft_fpu_set(c, area) < 0) { /* a forged frame */
		st_le32(area + RUNNER_FP_MXCSR, 0x1f80);
		soft_fpu_set(c, area);
	}
}
