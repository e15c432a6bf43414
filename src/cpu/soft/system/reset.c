/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reset.c - what a vCPU holds after power-on and after INIT (SDM 3A table 9-1). */
#include "cpu/soft/system/desc.h"
#include "cpu/soft/system/sys.h"

#define PAT_RESET 0x0007040600070406ull

void soft_reset_state(struct soft_cpu *c, bool init)
{
	u64 keep_cd = init ? c->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;

	memset(c->gpr, 0, sizeof(c->gpr));
	c->gpr[GPR_RDX] = cpu_model_cpuid(c->model, c->index, 1, 0).eax;
	c->rip = 0xfff0;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		c->seg[i] = (struct cpu_seg){ .ar = SEG_AR_P | SEG_AR_S | 3, .limit = 0xffff };
	c->seg[SEG_CS].sel = 0xf000;
	c->seg[SEG_CS].base = 0xffff0000;
	c->seg[SEG_CS].ar = SEG_AR_P | SEG_AR_S | 0xb;
	c->seg[SEG_LDTR].ar = SEG_AR_P | SYS_LDT;
	c->seg[SEG_TR].ar = SEG_AR_P | SYS_TSS32_BUSY;
	c->gdt_base = c->idt_base = 0;
	c->gdt_limit = c->idt_limit = 0xffff;
	c->cr0 = CR0_ET | keep_cd;
	c->cr2 = c->cr3 = c->cr4 = 0;
	c->efer = 0;
	c->cpl = 0;
	memset(c->dr, 0, sizeof(c->dr));
	c->dr6 = 0xffff0ff0;
	c->dr7 = 0x400;
	c->dr6_pending = c->dr6_held = 0;
	c->shadow = c->shadow_ss = false;
	c->halted = false;
	c->nmi_masked = false;
	c->exc_delivering = -1;
	if (!init) {
		/* INIT keeps the caches, the MSRs, and the FPU. */
		c->xcr0 = 1;
		c->star = c->lstar = c->cstar = c->fmask = c->kernel_gs_base = 0;
		c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
		c->pat = PAT_RESET;
		c->tsc_aux = 0;
		c->misc_enable = 1 | 3ull << 11;
		c->spec_ctrl = 0;
		c->mtrr_def_type = 0;
		memset(c->mtrr_var, 0, sizeof(c->mtrr_var));
		memset(c->mtrr_fix, 0, sizeof(c->mtrr_fix));
		c->tsc_adjust = 0;
	}
	soft_set_rflags(c, 2);
	soft_mode_changed(c);
	soft_tlb_flush(c, true);
	soft_vec_changed(c);
	soft_step_changed(c);
}
