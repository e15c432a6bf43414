/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_state.c - a vCPU's architectural state between struct cpu_state and KVM's own structures.
 *
 * Order of setting matters: CR4 and EFER (KVM_SET_SREGS) before what they allow; XCR0 before the XSAVE area that it
 * covers; the TSC last, as it runs on.
 */
#include "base/clock.h"
#include "cpu/kvm/kvm.h"

#include <assert.h>
#include <sys/ioctl.h>

#define EFER_AIBRSE (1ull << 21)

#define MSR_TSC 0x10
#define MSR_SPEC_CTRL 0x48
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_MISC_ENABLE 0x1a0

#define BATCH_MAX 64

/*
 * All of a list in as few calls as it takes: one, and one more for each register that does not exist or refuses its
 * value, as KVM stops there. ok tells of each.
 */
static void move_msrs(struct kvm_cpu *c, unsigned long request, struct kvm_msr_entry *e, unsigned n, bool *ok)
{
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e[BATCH_MAX];
	} m = { 0 };

	must(n <= BATCH_MAX);
	for (unsigned at = 0; at < n; at++) {
		m.h.nmsrs = n - at;
		memcpy(m.e, e + at, (n - at) * sizeof(*e));
		int done = MAX(ioctl(c->fd, request, &m), 0);
		memcpy(e + at, m.e, (size_t)done * sizeof(*e));
		for (int i = 0; i < done; i++)
			ok[at++] = true;
		if (at < n)
			ok[at] = false;
	}
}

int kvm_get_msr(struct kvm_cpu *c, u32 msr, u64 *val)
{
	struct kvm_msr_entry e = { .index = msr };
	bool ok;

	move_msrs(c, KVM_GET_MSRS, &e, 1, &ok);
	*val = ok ? e.data : 0;
	return ok ? 0 : -ENXIO;
}

int kvm_set_msr(struct kvm_cpu *c, u32 msr, u64 val)
{
	struct kvm_msr_entry e = { .index = msr, .data = val };
	bool ok;

	move_msrs(c, KVM_SET_MSRS, &e, 1, &ok);
	return ok ? 0 : -ENXIO;
}

static const struct {
	u32 msr;
	size_t off;
} msrs[] = {
	{ 0xc0000081, offsetof(struct cpu_state, star) },
	{ 0xc0000082, offsetof(struct cpu_state, lstar) },
	{ 0xc0000083, offsetof(struct cpu_state, cstar) },
	{ 0xc0000084, offsetof(struct cpu_state, fmask) },
	{ 0xc0000102, offsetof(struct cpu_state, kernel_gs_base) },
	{ 0x174, offsetof(struct cpu_state, sysenter_cs) },
	{ 0x175, offsetof(struct cpu_state, sysenter_esp) },
	{ 0x176, offsetof(struct cpu_state, sysenter_eip) },
	{ 0x277, offsetof(struct cpu_state, pat) },
	{ 0xc0000103, offsetof(struct cpu_state, tsc_aux) },
	{ MSR_MISC_ENABLE, offsetof(struct cpu_state, misc_enable) },
	{ MSR_SPEC_CTRL, offsetof(struct cpu_state, spec_ctrl) },
	{ 0x3b, offsetof(struct cpu_state, tsc_adjust) },
	{ 0x2ff, offsetof(struct cpu_state, mtrr_def_type) },
#define VAR(n) \
	{ \
		0x200 + (n), offsetof(struct cpu_state, mtrr_var[n]) \
	}
	VAR(0),
	VAR(1),
	VAR(2),
	VAR(3),
	VAR(4),
	VAR(5),
	VAR(6),
	VAR(7),
	VAR(8),
	VAR(9),
	VAR(10),
	VAR(11),
	VAR(12),
	VAR(13),
	VAR(14),
	VAR(15),
#undef VAR
#define FIX(msr, n) \
	{ \
		msr, offsetof(struct cpu_state, mtrr_fix[n]) \
	}
	FIX(0x250, 0),
	FIX(0x258, 1),
	FIX(0x259, 2),
	FIX(0x268, 3),
	FIX(0x269, 4),
	FIX(0x26a, 5),
	FIX(0x26b, 6),
	FIX(0x26c, 7),
	FIX(0x26d, 8),
	FIX(0x26e, 9),
	FIX(0x26f, 10),
#undef FIX
};
static_assert(ARRAY_LEN(msrs) <= BATCH_MAX, "");

/* ---- segments ---- */

static struct cpu_seg seg_from(const struct kvm_segment *k)
{
	return (struct cpu_seg){
		.sel = k->selector,
		.base = k->base,
		.limit = k->limit,
		.ar = (u32)k->type | (u32)k->s << 4 | (u32)k->dpl << 5 | (u32)k->present << 7 | (u32)k->avl << 12 |
		      (u32)k->l << 13 | (u32)k->db << 14 | (u32)k->g << 15 | (k->unusable ? SEG_AR_UNUSABLE : 0),
	};
}

static struct kvm_segment seg_to(const struct cpu_seg *s)
{
	return (struct kvm_segment){
		.selector = s->sel,
		.base = s->base,
		.limit = s->limit,
		.type = s->ar & SEG_AR_TYPE,
		.s = !!(s->ar & SEG_AR_S),
		.dpl = (s->ar >> 5) & 3,
		.present = !!(s->ar & SEG_AR_P),
		.avl = !!(s->ar & SEG_AR_AVL),
		.l = !!(s->ar & SEG_AR_L),
		.db = !!(s->ar & SEG_AR_DB),
		.g = !!(s->ar & SEG_AR_G),
		.unusable = !!(s->ar & SEG_AR_UNUSABLE) || !(s->ar & SEG_AR_P),
	};
}

static struct kvm_segment *seg_of(struct kvm_sregs *s, enum cpu_seg_name n)
{
	struct kvm_segment *const all[SEG_COUNT] = {
		[SEG_ES] = &s->es, [SEG_CS] = &s->cs, [SEG_SS] = &s->ss,    [SEG_DS] = &s->ds,
		[SEG_FS] = &s->fs, [SEG_GS] = &s->gs, [SEG_LDTR] = &s->ldt, [SEG_TR] = &s->tr,
	};

	return all[n];
}

/* ---- getting ---- */

/* These cannot fail on a vCPU that exists and is not running (INV-KVM-1). */
#define GET(c, req, p) must(ioctl((c)->fd, req, p) >= 0)

/* enum cpu_gpr is the order of the instruction encoding, KVM's another. */
#define GPRS(X) \
	X(GPR_RAX, rax) \
	X(GPR_RCX, rcx) \
	X(GPR_RDX, rdx) \
	X(GPR_RBX, rbx) \
	X(GPR_RSP, rsp) \
	X(GPR_RBP, rbp) \
	X(GPR_RSI, rsi) \
	X(GPR_RDI, rdi) X(GPR_R8, r8) X(9, r9) X(10, r10) X(11, r11) X(12, r12) X(13, r13) X(14, r14) X(15, r15)

static void get_regs(struct kvm_cpu *c, struct cpu_state *s)
{
	struct kvm_regs r;
	struct kvm_sregs sr;
	struct kvm_debugregs d;

	GET(c, KVM_GET_REGS, &r);
#define FROM(i, name) s->gpr[i] = r.name;
	GPRS(FROM)
#undef FROM
	s->rip = r.rip;
	s->rflags = r.rflags;
	GET(c, KVM_GET_SREGS, &sr);
	for (enum cpu_seg_name i = 0; i < SEG_COUNT; i++)
		s->seg[i] = seg_from(seg_of(&sr, i));
	s->gdt_base = sr.gdt.base;
	s->gdt_limit = sr.gdt.limit;
	s->idt_base = sr.idt.base;
	s->idt_limit = sr.idt.limit;
	s->cr0 = sr.cr0;
	s->cr2 = sr.cr2;
	s->cr3 = sr.cr3;
	s->cr4 = sr.cr4;
	s->cr8 = sr.cr8;
	s->efer = sr.efer;
	GET(c, KVM_GET_DEBUGREGS, &d);
	memcpy(s->dr, d.db, sizeof(s->dr));
	s->dr6 = d.dr6;
	s->dr7 = d.dr7;
}

static void get_msrs(struct kvm_cpu *c, struct cpu_state *s)
{
	struct kvm_msr_entry e[ARRAY_LEN(msrs)];
	bool ok[ARRAY_LEN(msrs)];

	for (size_t i = 0; i < ARRAY_LEN(msrs); i++)
		e[i] = (struct kvm_msr_entry){ .index = msrs[i].msr };
	move_msrs(c, KVM_GET_MSRS, e, ARRAY_LEN(msrs), ok);
	for (size_t i = 0; i < ARRAY_LEN(msrs); i++)
		*(u64 *)(void *)((u8 *)s + msrs[i].off) = ok[i] ? e[i].data : 0;
}

static void get_fpu(struct kvm_cpu *c, struct cpu_state *s)
{
	struct kvm_xsave x;
	struct kvm_xcrs xc;

	GET(c, KVM_GET_XSAVE, &x);
	memcpy(s->xsave, x.region, sizeof(s->xsave));
	s->xcr0 = 1;
	if (ioctl(c->fd, KVM_GET_XCRS, &xc) == 0)
		for (u32 i = 0; i < xc.nr_xcrs && i < KVM_MAX_XCRS; i++)
			if (xc.xcrs[i].xcr == 0)
				s->xcr0 = xc.xcrs[i].value;
}

static void get_events(struct kvm_cpu *c, struct cpu_state *s)
{
	struct kvm_vcpu_events ev;
	struct kvm_mp_state mp;

	/* First: it acts upon an INIT, a SIPI or a kick that has arrived. */
	GET(c, KVM_GET_MP_STATE, &mp);
	s->run_state = mp.mp_state == KVM_MP_STATE_HALTED     ? CPU_HALTED
		       : mp.mp_state == KVM_MP_STATE_RUNNABLE ? CPU_RUNNING
							      : CPU_WAIT_SIPI;
	GET(c, KVM_GET_VCPU_EVENTS, &ev);
	s->intr_shadow = ev.interrupt.shadow;
	s->shadow_ss = ev.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS;
	/* An NMI on its way in has masked others already; it goes back to where it was. */
	s->nmi_masked = ev.nmi.masked && !ev.nmi.injected;
	s->nmi_pending = ev.nmi.pending || ev.nmi.injected;
	if (ev.exception.injected) {
		s->exc.valid = true;
		s->exc.vector = ev.exception.nr;
		s->exc.has_error = ev.exception.has_error_code;
		s->exc.error = ev.exception.error_code;
	}
	s->intr.valid = ev.interrupt.injected;
	s->intr.vector = ev.interrupt.nr;
	s->intr.soft = ev.interrupt.soft;
}

void kvm_get_state(struct cpu *cpu, struct cpu_state *s)
{
	struct kvm_cpu *c = kvm_cpu(cpu);

	*s = (struct cpu_state){ 0 };
	get_regs(c, s);
	get_msrs(c, s);
	get_fpu(c, s);
	get_events(c, s);
	s->spec_msrs = true; /* kvm_cpuid.c */
	kvm_get_msr(c, MSR_TSC, &s->tsc);
}

u64 kvm_tsc(struct cpu *cpu)
{
	u64 v;

	kvm_get_msr(kvm_cpu(cpu), MSR_TSC, &v);
	return v;
}

/* ---- setting ---- */

static int failed(struct kvm_cpu *c, const char *what, struct err *e)
{
	return err_sys(e, errno, "vCPU %u: KVM refuses the %s", c->index, what);
}

static int set_regs(struct kvm_cpu *c, const struct cpu_state *s, struct err *e)
{
	struct kvm_regs r = { .rip = s->rip, .rflags = s->rflags | 2 };
	struct kvm_debugregs d = { .dr6 = s->dr6, .dr7 = s->dr7 };
	struct kvm_sregs sr;

	GET(c, KVM_GET_SREGS, &sr); /* the local APIC's base stays */
	for (enum cpu_seg_name i = 0; i < SEG_COUNT; i++)
		*seg_of(&sr, i) = seg_to(&s->seg[i]);
	sr.gdt.base = s->gdt_base;
	sr.gdt.limit = s->gdt_limit;
	sr.idt.base = s->idt_base;
	sr.idt.limit = s->idt_limit;
	sr.cr0 = s->cr0;
	sr.cr2 = s->exc.valid && s->exc.has_payload && s->exc.vector == 14 ? s->exc.payload : s->cr2;
	sr.cr3 = s->cr3;
	sr.cr4 = s->cr4;
	sr.cr8 = s->cr8;
	sr.efer = s->efer;
	memset(sr.interrupt_bitmap, 0, sizeof(sr.interrupt_bitmap));
	if (ioctl(c->fd, KVM_SET_SREGS, &sr) < 0)
		return failed(c, MSG("segment and control registers"), e);
#define TO(i, name) r.name = s->gpr[i];
	GPRS(TO)
#undef TO
	if (ioctl(c->fd, KVM_SET_REGS, &r) < 0)
		return failed(c, MSG("general registers"), e);
	memcpy(d.db, s->dr, sizeof(d.db));
	if (s->exc.valid && s->exc.has_payload && s->exc.vector == 1)
		d.dr6 |= s->exc.payload;
	if (ioctl(c->fd, KVM_SET_DEBUGREGS, &d) < 0)
		return failed(c, MSG("debug registers"), e);
	return 0;
}

static int set_msrs(struct kvm_cpu *c, const struct cpu_state *s, struct err *e)
{
	struct kvm_msr_entry m[ARRAY_LEN(msrs)];
	bool ok[ARRAY_LEN(msrs)];

	for (size_t i = 0; i < ARRAY_LEN(msrs); i++)
		m[i] = (struct kvm_msr_entry){ .index = msrs[i].msr,
					       .data = *(const u64 *)(const void *)((const u8 *)s + msrs[i].off) };
	move_msrs(c, KVM_SET_MSRS, m, ARRAY_LEN(msrs), ok);
	for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
		u64 val = m[i].data, now;

		/* Some exist on one vendor only; zero there is nothing lost. */
		if (!ok[i] && val && (kvm_get_msr(c, msrs[i].msr, &now) < 0 || now != val) &&
		    msrs[i].msr != MSR_MISC_ENABLE)
			return err_set(e, EINVAL, "vCPU %u: KVM refuses %#llx for MSR %#x", c->index,
				       (unsigned long long)val, msrs[i].msr);
	}
	return 0;
}

static int set_fpu(struct kvm_cpu *c, const struct cpu_state *s, struct err *e)
{
	struct kvm_xcrs xc = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = s->xcr0 } };
	struct kvm_xsave x;

	if (cpu_model_xcr0(c->vm->model) && s->xcr0 && ioctl(c->fd, KVM_SET_XCRS, &xc) < 0)
		return failed(c, MSG("XCR0"), e);
	memset(&x, 0, sizeof(x));
	memcpy(x.region, s->xsave, sizeof(s->xsave));
	if (ioctl(c->fd, KVM_SET_XSAVE, &x) < 0)
		return failed(c, MSG("XSAVE area"), e);
	return 0;
}

static int set_events(struct kvm_cpu *c, const struct cpu_state *s, struct err *e)
{
	struct kvm_vcpu_events ev = {
		.interrupt = { .injected = s->intr.valid,
			       .nr = s->intr.vector,
			       .soft = s->intr.soft,
			       .shadow = !s->intr_shadow ? 0
					 : s->shadow_ss  ? KVM_X86_SHADOW_INT_MOV_SS
							 : KVM_X86_SHADOW_INT_STI },
		.exception = { .injected = s->exc.valid,
			       .nr = s->exc.vector,
			       .has_error_code = s->exc.has_error,
			       .error_code = s->exc.error },
		.nmi = { .masked = s->nmi_masked, .pending = s->nmi_pending },
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
	};
	struct kvm_mp_state mp = {
		.mp_state = s->run_state == CPU_WAIT_SIPI              ? KVM_MP_STATE_UNINITIALIZED
			    : s->run_state == CPU_HALTED && !s->kicked ? KVM_MP_STATE_HALTED
								       : KVM_MP_STATE_RUNNABLE,
	};

	if (ioctl(c->fd, KVM_SET_VCPU_EVENTS, &ev) < 0)
		return failed(c, MSG("pending events"), e);
	if (ioctl(c->fd, KVM_SET_MP_STATE, &mp) < 0)
		return failed(c, MSG("run state"), e);
	/* As messages: the kernel has no other way to take them. */
	if (s->init_pending)
		cpu_vm_msi(&c->vm->head, 0xfee00000 | c->index << 12, 5 << 8);
	if (s->sipi_pending)
		cpu_vm_msi(&c->vm->head, 0xfee00000 | c->index << 12, 6 << 8 | s->sipi_vector);
	return 0;
}

int kvm_set_state(struct cpu *cpu, const struct cpu_state *s, struct err *e)
{
	struct kvm_cpu *c = kvm_cpu(cpu);

	/* KVM would take it, and the processor refuse to enter the guest. */
	if ((s->efer & EFER_AIBRSE) && !kvm_has_auto_ibrs(c->vm))
		return err_set(
		    e, ENOTSUP,
		    "vCPU %u: the guest uses automatic IBRS against speculation (EFER.AIBRSE), which this host's "
		    "processor lacks; a guest booted with spectre_v2=retpoline does without",
		    c->index);
	int r = set_regs(c, s, e);

	if (r == 0)
		r = set_msrs(c, s, e);
	if (r == 0)
		r = set_fpu(c, s, e);
	if (r == 0)
		r = set_events(c, s, e);
	if (r == 0 && s->tsc && kvm_set_msr(c, MSR_TSC, s->tsc) < 0)
		r = failed(c, MSG("TSC"), e);
	c->io_pending = false;
	return r;
}

/* ---- power-on (SDM 3A table 9-1) ---- */

void kvm_reset(struct cpu *cpu)
{
	struct kvm_cpu *c = kvm_cpu(cpu);
	struct cpu_state *s = aligned_alloc(64, ROUND_UP(sizeof(*s), 64));
	struct err e;

	must(s);
	memset(s, 0, sizeof(*s));
	s->gpr[GPR_RDX] = cpu_model_cpuid(c->vm->model, c->index, 1, 0).eax;
	s->rip = 0xfff0;
	s->rflags = 2;
	for (enum cpu_seg_name i = 0; i < SEG_COUNT; i++)
		s->seg[i] = (struct cpu_seg){ .ar = SEG_AR_P | SEG_AR_S | 3, .limit = 0xffff };
	s->seg[SEG_CS] =
	    (struct cpu_seg){ .sel = 0xf000, .base = 0xffff0000, .ar = SEG_AR_P | SEG_AR_S | 0xb, .limit = 0xffff };
	s->seg[SEG_LDTR].ar = SEG_AR_P | 2;
	s->seg[SEG_TR].ar = SEG_AR_P | 0xb;
	s->gdt_limit = s->idt_limit = 0xffff;
	s->cr0 = 0x60000010;
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->xcr0 = 1;
	s->pat = 0x0007040600070406ull;
	s->misc_enable = 1;
	st_le16(s->xsave, 0x37f);
	st_le32(s->xsave + 24, 0x1f80);
	st_le64(s->xsave + 512, 3);
	s->run_state = c->index ? CPU_WAIT_SIPI : CPU_RUNNING;
	if (c->index == 0)
		kvm_chips_reset(c->vm);
	kvm_reset_lapic(c);
	if (kvm_set_state(cpu, s, &e) < 0)
		must_fail(__FILE__, __LINE__, e.msg);
	kvm_set_msr(c, MSR_KVM_SYSTEM_TIME, 0);
	kvm_set_msr(c, MSR_KVM_WALL_CLOCK, 0);
	kvm_set_msr(c, MSR_KVM_STEAL_TIME, 0);
	if (!cpu_model_is_amd(c->vm->model))
		kvm_set_msr(c, MSR_ARCH_CAPABILITIES, c->vm->arch_capabilities);
	atomic_store(&c->requests, 0);
	atomic_store(&c->intr, false);
	free(s);
}
