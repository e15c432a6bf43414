/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - see state.h. */
#include "cpu/state.h"

#define XSAVE_BYTES 832 /* legacy region, header, AVX: what struct cpu_state's area holds */

#define CR0_PE 0x1ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull
#define CR4_PAE 0x20ull
#define CR4_PCIDE 0x20000ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define FL_VM 0x20000ull

static void u64s(struct state_file *s, u64 *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		state_u64(s, &v[i]);
}

static void seg_fields(struct state_file *s, struct cpu_seg *g)
{
	state_u16(s, &g->sel);
	state_u32(s, &g->ar);
	state_u32(s, &g->limit);
	state_u64(s, &g->base);
}

static void register_fields(struct state_file *s, struct cpu_state *c)
{
	u64s(s, c->gpr, ARRAY_LEN(c->gpr));
	state_u64(s, &c->rip);
	state_u64(s, &c->rflags);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		seg_fields(s, &c->seg[i]);
	state_u64(s, &c->gdt_base);
	state_u16(s, &c->gdt_limit);
	state_u64(s, &c->idt_base);
	state_u16(s, &c->idt_limit);
	state_u64(s, &c->cr0);
	state_u64(s, &c->cr2);
	state_u64(s, &c->cr3);
	state_u64(s, &c->cr4);
	state_u64(s, &c->cr8);
	state_u64(s, &c->xcr0);
	u64s(s, c->dr, ARRAY_LEN(c->dr));
	state_u64(s, &c->dr6);
	state_u64(s, &c->dr7);
}

static void msr_fields(struct state_file *s, struct cpu_state *c)
{
	state_u64(s, &c->efer);
	state_u64(s, &c->star);
	state_u64(s, &c->lstar);
	state_u64(s, &c->cstar);
	state_u64(s, &c->fmask);
	state_u64(s, &c->kernel_gs_base);
	state_u64(s, &c->sysenter_cs);
	state_u64(s, &c->sysenter_esp);
	state_u64(s, &c->sysenter_eip);
	state_u64(s, &c->pat);
	state_u64(s, &c->tsc_aux);
	state_u64(s, &c->tsc);
	state_u64(s, &c->tsc_adjust);
	state_u64(s, &c->misc_enable);
	state_u64(s, &c->spec_ctrl);
	state_u64(s, &c->mtrr_def_type);
	u64s(s, c->mtrr_var, ARRAY_LEN(c->mtrr_var));
	u64s(s, c->mtrr_fix, ARRAY_LEN(c->mtrr_fix));
}

static void event_fields(struct state_file *s, struct cpu_state *c)
{
	unsigned run = c->run_state;

	state_uint(s, &run, CPU_WAIT_SIPI);
	c->run_state = (enum cpu_run_state)run;
	state_bool(s, &c->intr_shadow);
	state_bool(s, &c->shadow_ss);
	state_bool(s, &c->nmi_masked);
	state_bool(s, &c->nmi_pending);
	state_bool(s, &c->kicked);
	state_bool(s, &c->init_pending);
	state_bool(s, &c->sipi_pending);
	state_u8(s, &c->sipi_vector);
	state_bool(s, &c->exc.valid);
	state_bool(s, &c->exc.has_error);
	state_bool(s, &c->exc.has_payload);
	state_u8(s, &c->exc.vector);
	state_u32(s, &c->exc.error);
	state_u64(s, &c->exc.payload);
	state_bool(s, &c->intr.valid);
	state_bool(s, &c->intr.soft);
	state_u8(s, &c->intr.vector);
	state_bool(s, &c->spec_msrs);
}

/* SDM 3A 2.5, 9.8.5: combinations no sequence of instructions leads to. */
const char *cpu_state_wrong(const struct cpu_state *c)
{
	bool pg = c->cr0 & CR0_PG, lma = c->efer & EFER_LMA;

	if (pg && !(c->cr0 & CR0_PE))
		return "CR0.PG without CR0.PE";
	if (((c->cr0 & CR0_NW) && !(c->cr0 & CR0_CD)) || c->cr0 >> 32)
		return "CR0";
	if (lma != (pg && (c->efer & EFER_LME)))
		return "EFER.LMA is not what CR0.PG and EFER.LME make it";
	if (lma && !(c->cr4 & CR4_PAE))
		return "long mode without CR4.PAE";
	if (!lma && (c->cr4 & CR4_PCIDE))
		return "CR4.PCIDE outside of long mode";
	if (lma && (c->rflags & FL_VM))
		return "RFLAGS.VM in long mode";
	if (!(c->xcr0 & 1) || (c->xcr0 & 6) == 4)
		return "XCR0";
	if (c->cr8 > 15)
		return "CR8";
	if (c->exc.valid && (c->exc.vector > 31 || c->exc.vector == 2))
		return "an exception that is none";
	return NULL;
}

int cpu_state_section(struct state_file *s, unsigned index, struct cpu_state *c, struct err *e)
{
	int r = state_section(s, "vcpu", index, 1, e);

	if (r < 0)
		return r;
	if (state_loading(s))
		*c = (struct cpu_state){ 0 };
	register_fields(s, c);
	msr_fields(s, c);
	event_fields(s, c);
	state_bytes(s, c->xsave, XSAVE_BYTES);
	if (state_loading(s)) {
		const char *wrong = cpu_state_wrong(c);
		if (wrong)
			state_bad(s, wrong);
	}
	return state_end(s, e);
}

int cpu_promise_section(struct state_file *s, struct cpu_model_promise *p, struct err *e)
{
	int r = state_section(s, "cpu-model", 0, 2, e);

	if (r < 0)
		return r;
	state_text(s, p->name, sizeof(p->name));
	state_bytes(s, p->vendor, sizeof(p->vendor));
	p->words = state_version(s) >= 2 ? CPU_MODEL_WORDS : CW_PV_EAX;
	for (unsigned i = 0; i < p->words; i++)
		state_u32(s, &p->word[i]);
	state_u64(s, &p->xcr0);
	state_u64(s, &p->arch_capabilities);
	state_u32(s, &p->ncpus);
	return state_end(s, e);
}
