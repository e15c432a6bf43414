/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.c - the software engine as the rest sees it (cpu/engine.h): a VM and its vCPUs, requests from other
 * threads, architectural state in and out. What runs a vCPU is in core.c.
 */
#include "base/clock.h"
#include "cpu/engine.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/decode/memo.h"
#include "cpu/soft/jit/jit.h"
#include "cpu/soft/decode/decode.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/run/core.h"
#include "cpu/soft/run/ends.h"
#include "cpu/soft/run/hooks.h"
#include "cpu/soft/system/system.h"
#include "cpu/soft/vector/fpu.h"

/*
 * The arena of decoded blocks: with a guest of up to 512 MiB the VMM stays below 64 MiB beside its RAM. Larger guests
 * run larger programs: a compiler alone executes some 400,000 blocks.
 */
static size_t arena_bytes(const struct ram *ram)
{
	return (size_t)(ram->bytes <= 512 * MIB ? 22 * MIB : MIN(ram->bytes / 8, 256 * MIB));
}

struct soft_cpu_box {
	struct cpu head;
	/* Translated code runs with its stack pointer at s: room for calls, and for what signals push. */
	u8 below[32 * KIB];
	struct soft_cpu s __attribute__((aligned(64)));
	void *memory; /* that it is in */
};
struct soft_vm_box {
	struct cpu_vm head;
	struct soft_vm s;
};

static struct soft_cpu *soft(struct cpu *c)
{
	return &container_of(c, struct soft_cpu_box, head)->s;
}

struct soft_cpu *soft_cpu_of(struct cpu *c)
{
	return soft(c);
}

static struct soft_vm *soft_vm(struct cpu_vm *v)
{
	return &container_of(v, struct soft_vm_box, head)->s;
}

static enum cpu_exit engine_run(struct cpu *cpu, struct err *e)
{
	struct soft_cpu *c = soft(cpu);

	soft_fpu_enter(c);
	c->next_op = NULL;
	c->st.run_since_ns = clock_mono_ns();
	enum cpu_exit r = core_run(c);
	c->st.run_ns += clock_mono_ns() - c->st.run_since_ns;
	c->st.run_since_ns = 0;
	soft_fpu_leave(c);
	return jit_check_failed(c, e) ? CPU_EXIT_ERROR : r;
}

static void engine_stop(struct cpu *c)
{
	core_request(soft(c), PEND_STOP);
}
static void set_intr(struct cpu *cpu, bool up)
{
	struct soft_cpu *c = soft(cpu);

	atomic_store(&c->intr_line, up);
	if (up)
		core_request(c, PEND_INTR);
}
static void raise_nmi(struct cpu *c)
{
	core_request(soft(c), PEND_NMI);
}
static void raise_init(struct cpu *c)
{
	atomic_fetch_and(&soft(c)->pending, ~PEND_SIPI); /* one from before it is forgotten */
	core_request(soft(c), PEND_INIT);
}
static void raise_sipi(struct cpu *c, u8 vector)
{
	soft(c)->sipi_vector = vector;
	core_request(soft(c), PEND_SIPI);
}
static void kick_halted(struct cpu *c)
{
	core_request(soft(c), PEND_KICK);
}
static u64 engine_tsc(struct cpu *c)
{
	return clock_tsc() + soft(c)->tsc_offset;
}

/* ---- state ---- */

static void engine_reset(struct cpu *cpu)
{
	struct soft_cpu *c = soft(cpu);

	atomic_store(&c->pending, 0);
	atomic_store(&c->intr_line, false);
	soft_reset_state(c, false);
	soft_fpu_reset(c, false);
	c->wait_sipi = c->index != 0;
	c->halted = c->kicked = c->shadow = c->shadow_ss = c->nmi_masked = c->nmi_latched = false;
	c->one_step = c->redo_step = false;
	c->exc_delivering = -1;
	c->exc_waits = false;
	c->intr_waits = -1;
	c->spec_msrs = false;
	c->gpr[GPR_ZERO] = 0;
	soft_mode_changed(c);
	soft_tlb_flush(c, true);
	soft_vec_changed(c);
	soft_step_changed(c);
}

static void get_state(struct cpu *cpu, struct cpu_state *s)
{
	struct soft_cpu *c = soft(cpu);

	*s = (struct cpu_state){ 0 };
	memcpy(s->gpr, c->gpr, sizeof(s->gpr));
	s->rip = c->rip;
	s->rflags = soft_get_rflags(c);
	memcpy(s->seg, c->seg, sizeof(s->seg));
	s->gdt_base = c->gdt_base;
	s->gdt_limit = c->gdt_limit;
	s->idt_base = c->idt_base;
	s->idt_limit = c->idt_limit;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->cr8 = c->bus->tpr_get(c->bus->opaque, c->index);
	s->xcr0 = c->xcr0;
	memcpy(s->dr, c->dr, sizeof(s->dr));
	s->dr6 = c->dr6;
	s->dr7 = c->dr7;
	s->efer = c->efer;
	s->star = c->star;
	s->lstar = c->lstar;
	s->cstar = c->cstar;
	s->fmask = c->fmask;
	s->kernel_gs_base = c->kernel_gs_base;
	s->sysenter_cs = c->sysenter_cs;
	s->sysenter_esp = c->sysenter_esp;
	s->sysenter_eip = c->sysenter_eip;
	s->pat = c->pat;
	s->tsc_aux = c->tsc_aux;
	s->tsc = engine_tsc(cpu);
	s->misc_enable = c->misc_enable;
	s->spec_ctrl = c->spec_ctrl;
	s->tsc_adjust = c->tsc_adjust;
	s->mtrr_def_type = c->mtrr_def_type;
	memcpy(s->mtrr_var, c->mtrr_var, sizeof(s->mtrr_var));
	memcpy(s->mtrr_fix, c->mtrr_fix, sizeof(s->mtrr_fix));
	soft_fpu_get(c, s->xsave);
	/* XSTATE_BV: no component that the model has not. */
	st_le64(s->xsave + 512, ld_le64(s->xsave + 512) & (cpu_model_xcr0(c->model) | 3));
	s->run_state = c->wait_sipi ? CPU_WAIT_SIPI : c->halted ? CPU_HALTED : CPU_RUNNING;
	s->intr_shadow = c->shadow;
	s->shadow_ss = c->shadow_ss;
	s->nmi_masked = c->nmi_masked;
	u32 p = atomic_load(&c->pending);
	s->nmi_pending = c->nmi_latched || (p & PEND_NMI);
	s->kicked = c->kicked || (p & PEND_KICK);
	s->init_pending = p & PEND_INIT;
	s->sipi_pending = p & PEND_SIPI;
	s->sipi_vector = c->sipi_vector;
	s->exc.valid = c->exc_waits;
	if (c->exc_waits) {
		s->exc.vector = c->exc.vec;
		s->exc.has_error = c->exc.has_error;
		s->exc.error = c->exc.error;
		s->exc.payload = c->exc.vec == EXC_PF ? c->exc.cr2 : c->exc.vec == EXC_DB ? c->exc.dr6 : 0;
		s->exc.has_payload = true;
	}
	if (!c->exc_waits && c->dr6_pending) { /* by the delivery of an event */
		s->exc.valid = s->exc.has_payload = true;
		s->exc.vector = EXC_DB;
		s->exc.payload = c->dr6_pending;
	}
	s->spec_msrs = c->spec_msrs;
	s->intr.valid = c->intr_waits >= 0;
	s->intr.vector = c->intr_waits >= 0 ? (u8)c->intr_waits : 0;
}

/* What came with the state and is not part of any register. */
static void set_events(struct soft_cpu *c, const struct cpu_state *s)
{
	c->exc_delivering = -1;
	c->exc_waits = s->exc.valid;
	if (s->exc.valid) {
		c->exc.vec = s->exc.vector;
		c->exc.has_error = s->exc.has_error;
		c->exc.error = s->exc.error;
		c->exc.cr2 = s->exc.has_payload ? s->exc.payload : s->cr2;
		c->exc.dr6 = s->exc.has_payload ? s->exc.payload : 0;
		c->exc.is_trap = s->exc.vector == EXC_DB;
	}
	c->dr6_pending = c->dr6_held = 0;
	c->intr_waits = s->intr.valid && !s->intr.soft ? (s16)s->intr.vector : (s16)-1;
	c->spec_msrs = s->spec_msrs;
	c->kicked = s->kicked;
	c->sipi_vector = s->sipi_vector;
	atomic_fetch_and(&c->pending, ~(PEND_INIT | PEND_SIPI | PEND_NMI | PEND_KICK));
	atomic_fetch_or(&c->pending, (s->init_pending ? PEND_INIT : 0) | (s->sipi_pending ? PEND_SIPI : 0));
}

static int set_state(struct cpu *cpu, const struct cpu_state *s, struct err *e)
{
	struct soft_cpu *c = soft(cpu);

	if (soft_fpu_set(c, s->xsave) < 0)
		return err_set(e, EINVAL, "vCPU %u: the saved XSAVE area is not valid for this CPU model", c->index);
	memcpy(c->gpr, s->gpr, sizeof(s->gpr));
	c->rip = s->rip;
	memcpy(c->seg, s->seg, sizeof(s->seg));
	c->gdt_base = s->gdt_base;
	c->gdt_limit = s->gdt_limit;
	c->idt_base = s->idt_base;
	c->idt_limit = s->idt_limit;
	c->cr0 = s->cr0;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->xcr0 = s->xcr0;
	memcpy(c->dr, s->dr, sizeof(s->dr));
	c->dr6 = s->dr6;
	c->dr7 = s->dr7;
	c->efer = s->efer;
	c->star = s->star;
	c->lstar = s->lstar;
	c->cstar = s->cstar;
	c->fmask = s->fmask;
	c->kernel_gs_base = s->kernel_gs_base;
	c->sysenter_cs = s->sysenter_cs;
	c->sysenter_esp = s->sysenter_esp;
	c->sysenter_eip = s->sysenter_eip;
	c->pat = s->pat;
	c->tsc_aux = s->tsc_aux;
	if (s->tsc)
		c->tsc_offset = s->tsc - clock_tsc();
	c->misc_enable = s->misc_enable;
	c->spec_ctrl = s->spec_ctrl;
	c->tsc_adjust = s->tsc_adjust;
	c->mtrr_def_type = s->mtrr_def_type;
	memcpy(c->mtrr_var, s->mtrr_var, sizeof(c->mtrr_var));
	memcpy(c->mtrr_fix, s->mtrr_fix, sizeof(c->mtrr_fix));
	c->wait_sipi = s->run_state == CPU_WAIT_SIPI;
	c->halted = s->run_state == CPU_HALTED;
	c->shadow = s->intr_shadow;
	c->shadow_ss = s->intr_shadow && s->shadow_ss;
	c->nmi_masked = s->nmi_masked;
	c->nmi_latched = s->nmi_pending;
	set_events(c, s);
	c->sysflags = 2;
	soft_set_rflags(c, s->rflags);
	/* CPL is SS.DPL (SDM 3A 5.5); real mode and VM86 are soft_mode_changed()'s. */
	c->cpl = (s->seg[SEG_SS].ar >> 5) & 3;
	c->bus->tpr_set(c->bus->opaque, c->index, (u8)s->cr8);
	soft_mode_changed(c);
	soft_tlb_flush(c, true);
	soft_vec_changed(c);
	soft_step_changed(c);
	return 0;
}

/* ---- the VM ---- */

static void on_ram_write(void *opaque, u64 off, u64 bytes)
{
	struct soft_vm *vm = opaque;

	cache_wrote(vm, off, bytes);
	jit_check_foreign(vm);
	if (atomic_load(&vm->dirty.on))
		dirty_mark_range(&vm->dirty, off, bytes);
}

static int on_ram_moved(void *opaque, struct err *e)
{
	struct soft_vm *vm = opaque;

	(void)e;
	atomic_fetch_add(&vm->remaps, 1);
	return 0;
}

static int vm_commit_ram(struct cpu_vm *v, struct err *e)
{
	struct soft_vm *vm = soft_vm(v);

	cache_exclusive_begin(vm, NULL);
	int r = ram_commit(vm->ram, e);
	cache_exclusive_end(vm, NULL);
	return r;
}

/* ---- dirty log: every fast write entry is taken back, so that the next store to each page is seen ---- */

static int vm_dirty_start(struct cpu_vm *v, enum cpu_log who, u64 off, u64 bytes, struct err *e)
{
	struct soft_vm *vm = soft_vm(v);

	(void)e;
	cache_exclusive_begin(vm, NULL);
	dirty_start(&vm->dirty, vm->ram, who, off, bytes);
	mmu_protect_all(vm);
	cache_exclusive_end(vm, NULL);
	return 0;
}

static int vm_dirty_collect(struct cpu_vm *v, enum cpu_log who, u64 *bitmap, struct err *e)
{
	struct soft_vm *vm = soft_vm(v);

	(void)e;
	must(vm->dirty.log[who].words);
	/* Nothing was written, so no page is without protection: vCPUs need not stop. */
	if (!dirty_any(&vm->dirty, who))
		return 0;
	cache_exclusive_begin(vm, NULL);
	dirty_take(&vm->dirty, who, bitmap);
	mmu_protect_all(vm);
	cache_exclusive_end(vm, NULL);
	return 0;
}

static void vm_dirty_stop(struct cpu_vm *v, enum cpu_log who)
{
	dirty_stop(&soft_vm(v)->dirty, who);
}

static void find_isa(struct soft_vm *vm)
{
	struct cpuid_regs l1 = cpu_model_cpuid(vm->model, 0, 1, 0), l7 = cpu_model_cpuid(vm->model, 0, 7, 0),
			  x1 = cpu_model_cpuid(vm->model, 0, 0x80000001u, 0);

	vm->isa = (l7.ebx >> 3 & 1 ? ISA_BMI1 : 0) | (l7.ebx >> 8 & 1 ? ISA_BMI2 : 0) |
		  (x1.ecx >> 5 & 1 ? ISA_LZCNT : 0) | (l7.ebx >> 19 & 1 ? ISA_ADX : 0) |
		  (l1.ecx >> 22 & 1 ? ISA_MOVBE : 0) | (l1.ecx >> 30 & 1 ? ISA_RDRAND : 0) |
		  (l7.ebx >> 18 & 1 ? ISA_RDSEED : 0) | (l7.ebx >> 23 & 1 ? ISA_CLFLUSHOPT : 0) |
		  (l7.ebx >> 24 & 1 ? ISA_CLWB : 0) | (l7.ebx >> 10 & 1 ? ISA_INVPCID : 0) |
		  (l7.ebx >> 20 & 1 ? ISA_SMAP : 0) | (l7.ecx >> 22 & 1 ? ISA_RDPID : 0) |
		  (x1.edx >> 27 & 1 ? ISA_RDTSCP : 0) |
		  (cpu_model_cpuid(vm->model, 0, 0, 0).ebx != 0x756e6547u ? ISA_AMD : 0); /* not "Genu" */
}

static void vm_free(struct cpu_vm *v)
{
	struct soft_vm *vm = soft_vm(v);
	vm->ram->watch = (struct ram_watch){ 0 };
	direct_fini(vm);
	jit_fini(vm);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *c = vm->cpu[i];
		if (!c)
			continue;
		pthread_mutex_destroy(&c->tlb_lock);
		soft_tlb_fini(c);
		memo_free(c->memo);
		free(c->step_block);
		free(container_of(c, struct soft_cpu_box, s)->memory);
	}
	soft_vec_fini(vm);
	cache_free(vm);
	dirty_fini(&vm->dirty);
	free(vm->cpu);
	free(container_of(v, struct soft_vm_box, head));
}

static struct cpu *vm_cpu(struct cpu_vm *v, unsigned index)
{
	struct soft_vm *vm = soft_vm(v);

	must(index < vm->ncpus);
	return &container_of(vm->cpu[index], struct soft_cpu_box, s)->head;
}

int cpu_vm_new_soft(struct cpu_vm **out, const struct cpu_bus *bus, struct ram *ram, const struct cpu_model *model,
		    unsigned ncpus, const struct soft_options *o, struct err *e)
{
	must(ncpus >= 1 && ncpus <= CPU_MAX);
	struct soft_vm_box *v = xcalloc(1, sizeof(*v));
	struct soft_vm *vm = &v->s;
	int r;

	v->head.engine = &cpu_engine_soft;
	vm->hooks = &run_hooks;
	vm->ram = ram;
	vm->bus = bus;
	vm->model = model;
	vm->ncpus = ncpus;
	if (o)
		vm->options = *o;
	vm->phys_bits = cpu_model_cpuid(model, 0, 0x80000008, 0).eax & 0xff;
	vm->cpu = xcalloc(ncpus, sizeof(*vm->cpu));
	find_isa(vm);
	decode_init(vm, &run_ends);
	u64 tsc0 = clock_tsc();
	for (unsigned i = 0; i < ncpus; i++) {
		/* Zero already, and most of it (the statistics' and the tables' far ends) is never touched. */
		void *memory = xcalloc(1, sizeof(struct soft_cpu_box) + 64);
		struct soft_cpu_box *cpu = (struct soft_cpu_box *)ROUND_UP((uintptr_t)memory, 64);
		cpu->memory = memory;
		cpu->head.engine = &cpu_engine_soft;
		struct soft_cpu *c = &cpu->s;
		c->vm = vm;
		c->hooks = &run_hooks;
		c->bus = bus;
		c->model = model;
		c->ram = ram;
		c->index = i;
		c->direct.spare = c->direct.spare_from = DIRECT_NEVER;
		c->tsc_offset = 0 - tsc0; /* the guest's TSC starts at 0, the same on all */
		pthread_mutex_init(&c->tlb_lock, NULL);
		soft_tlb_init(c);
		c->memo = memo_new();
		c->step_block = xcalloc(1, sizeof(struct block) + BLOCK_UOPS_MAX * sizeof(struct uop));
		vm->cpu[i] = c;
	}
	if ((r = cache_new(vm, arena_bytes(ram), e)) < 0 || (r = soft_vec_init(vm, e)) < 0 ||
	    (r = jit_init(vm, e)) < 0) {
		vm_free(&v->head);
		return r;
	}
	for (unsigned i = 0; i < ncpus; i++)
		engine_reset(vm_cpu(&v->head, i));
	ram->watch = (struct ram_watch){ .wrote = on_ram_write, .committed = on_ram_moved, .opaque = vm };
	*out = &v->head;
	return 0;
}

static int vm_new(struct cpu_vm **out, const struct cpu_bus *bus, struct ram *ram, const struct cpu_model *model,
		  unsigned ncpus, struct err *e)
{
	return cpu_vm_new_soft(out, bus, ram, model, ncpus, NULL, e);
}

static void vm_get_board(struct cpu_vm *v, struct board_state *b)
{
	(void)v, (void)b; /* no chip is in here */
}

static int vm_set_board(struct cpu_vm *v, const struct board_state *b, struct err *e)
{
	(void)v, (void)b, (void)e;
	return 0;
}

static void vm_ready(struct cpu_vm *v)
{
	direct_init(soft_vm(v));
}

static void vm_stats(struct cpu_vm *v, FILE *f)
{
	soft_stats(soft_vm(v), f);
}

static void vm_report(struct cpu_vm *v, FILE *f)
{
	soft_report(soft_vm(v), f);
}

static void vm_trace(struct cpu_vm *v, unsigned mask)
{
	struct soft_vm *vm = soft_vm(v);

	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct soft_cpu *c = vm->cpu[i];
		c->trace = mask;
		if (mask & TRACE_EXEC)
			core_request(c, PEND_STEP);
	}
}

const struct cpu_engine cpu_engine_soft = {
	.name = "soft",
	.vm_new = vm_new,
	.vm_free = vm_free,
	.vm_ready = vm_ready,
	.vm_cpu = vm_cpu,
	.vm_get_board = vm_get_board,
	.vm_set_board = vm_set_board,
	.vm_stats = vm_stats,
	.vm_report = vm_report,
	.vm_trace = vm_trace,
	.run = engine_run,
	.stop = engine_stop,
	.get_state = get_state,
	.set_state = set_state,
	.reset = engine_reset,
	.set_intr = set_intr,
	.raise_nmi = raise_nmi,
	.raise_init = raise_init,
	.raise_sipi = raise_sipi,
	.kick_halted = kick_halted,
	.tsc = engine_tsc,
	.vm_commit_ram = vm_commit_ram,
	.vm_dirty_start = vm_dirty_start,
	.vm_dirty_collect = vm_dirty_collect,
	.vm_dirty_stop = vm_dirty_stop,
};
