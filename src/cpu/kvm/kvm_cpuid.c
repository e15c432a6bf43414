/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_cpuid.c - CPUID under KVM: what the CPU model promises, less what this host's KVM cannot keep.
 *
 * Theory of operation: the model's words of feature bits are ANDed with KVM_GET_SUPPORTED_CPUID; everything
 * that is not a feature (topology, caches, names) is the model's as it is. One kind of bit goes the
 * other way: guest code runs on the processor itself here, so its speculation flaws are the guest's too. The means
 * against them (IBRS, IBPB, STIBP, SSBD, MD_CLEAR, ...) are handed through as the host has them, and no flaw is
 * declared absent that the host does not declare absent.
 */
#include "base/log.h"
#include "cpu/kvm/kvm.h"

#include <sys/ioctl.h>

#define ENTRIES_MAX 256
#define MSR_ARCH_CAPABILITIES 0x10a

struct table {
	u32 n, pad;
	struct kvm_cpuid_entry2 e[ENTRIES_MAX];
};

static const struct kvm_cpuid_entry2 *find(const struct table *t, u32 leaf, u32 sub)
{
	for (u32 i = 0; i < t->n; i++)
		if (t->e[i].function == leaf &&
		    (!(t->e[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || t->e[i].index == sub))
			return &t->e[i];
	return NULL;
}

/* Words of feature bits: a model's bit needs the host's; `host` bits come from the host whatever the model says; `own`
 * bits are KVM's to keep though it does not list them. */
static const struct {
	u32 leaf, sub;
	struct cpuid_regs host, own;
	bool eax, ebx, ecx, edx; /* which words */
} words[] = {
	/* own: x2APIC, TSC deadline, hypervisor; OSXSAVE is dynamic. HTT (edx 28) is topology */
	{ 1, 0, { 0 }, { .ecx = 1u << 21 | 1u << 31, .edx = 1u << 28 }, .ecx = true, .edx = true },
	{ 6, 0, { 0 }, { .eax = 1u << 2 /* ARAT: the timer is the kernel's */ }, .eax = true },
	/* MD_CLEAR, IBRS+IBPB, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD */
	{ 7,
	  0,
	  { .edx = 1u << 10 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29 | 1u << 31 },
	  { .edx = 1u << 4 /* FSRM: a promise of speed */ },
	  .ebx = true,
	  .ecx = true,
	  .edx = true },
	{ 0xd, 1, { 0 }, { 0 }, .eax = true },
	{ 0x40000001, 0, { 0 }, { 0 }, .eax = true },
	/* CMP_LEGACY is topology */
	{ 0x80000001, 0, { 0 }, { .ecx = 1u << 1 }, .ecx = true, .edx = true },
	/* invariant TSC: KVM leaves it to us, who do not move the guest by ourselves */
	{ 0x80000007, 0, { 0 }, { .edx = 1u << 8 }, .edx = true },
	/* IBPB, IBRS, STIBP, SSBD, VIRT_SSBD */
	{ 0x80000008, 0, { .ebx = 1u << 12 | 1u << 14 | 1u << 15 | 1u << 24 | 1u << 25 }, { 0 }, .ebx = true },
	/* AutoIBRS, SBPB, IBPB_BRTYPE, SRSO_NO */
	{ 0x80000021, 0, { .eax = 1u << 8 | 1u << 27 | 1u << 28 | 1u << 29 }, { 0 }, .eax = true, .ecx = true },
};

static u32 word(u32 model, const u32 *host, u32 from_host, u32 own)
{
	u32 h = host ? *host : 0;

	return (model & (h | own) & ~from_host) | (h & from_host);
}

static void filter(struct kvm_cpuid_entry2 *e, const struct table *host)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].leaf != e->function || words[i].sub != e->index)
			continue;
		const struct kvm_cpuid_entry2 *h = find(host, e->function, e->index);
		if (words[i].eax)
			e->eax = word(e->eax, h ? &h->eax : NULL, words[i].host.eax, words[i].own.eax);
		if (words[i].ebx)
			e->ebx = word(e->ebx, h ? &h->ebx : NULL, words[i].host.ebx, words[i].own.ebx);
		if (words[i].ecx)
			e->ecx = word(e->ecx, h ? &h->ecx : NULL, words[i].host.ecx, words[i].own.ecx);
		if (words[i].edx)
			e->edx = word(e->edx, h ? &h->edx : NULL, words[i].host.edx, words[i].own.edx);
	}
}

/* Numbers that depend on this host's clock. */
static void fill_clock(struct kvm_cpuid_entry2 *e, u32 tsc_khz)
{
	switch (e->function) {
	case 0x15:
		if (e->ecx) { /* TSC = crystal * ebx / eax; the "crystal" is the local APIC timer's 1 GHz */
			e->eax = 1000000;
			e->ebx = tsc_khz;
		}
		break;
	case 0x16:
		if (e->eax)
			e->eax = e->ebx = tsc_khz / 1000;
		break;
	case 0x40000010:
		e->eax = tsc_khz;
		break;
	}
}

static void add(struct table *t, const struct kvm_cpu *c, const struct table *host, u32 leaf, u32 sub, bool indexed)
{
	struct cpuid_regs r = cpu_model_cpuid(c->vm->model, c->index, leaf, sub);

	must(t->n < ENTRIES_MAX);
	struct kvm_cpuid_entry2 *e = &t->e[t->n];
	*e = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = sub,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = r.eax,
		.ebx = r.ebx,
		.ecx = r.ecx,
		.edx = r.edx,
	};
	if (leaf == 1 && !c->vm->tsc_deadline)
		e->ecx &= ~(1u << 24);
	u32 deadline = leaf == 1 ? e->ecx & 1u << 24 : 0;
	filter(e, host);
	e->ecx |= deadline;
	fill_clock(e, c->vm->tsc_khz);
	t->n++;
}

static void build(struct table *t, const struct kvm_cpu *c, const struct table *host)
{
	static const u32 bases[] = { 0, 0x40000000u, 0x80000000u };

	for (size_t b = 0; b < ARRAY_LEN(bases); b++) {
		u32 last = cpu_model_cpuid(c->vm->model, c->index, bases[b], 0).eax;
		for (u32 leaf = bases[b]; leaf <= last; leaf++) {
			bool indexed = leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;
			for (u32 sub = 0; sub < (indexed ? 5 : 1); sub++)
				add(t, c, host, leaf, sub, indexed);
		}
	}
}

static int supported(struct table *t, const struct kvm_vm *vm, struct err *e)
{
	t->n = ENTRIES_MAX;
	if (ioctl(vm->sys_fd, KVM_GET_SUPPORTED_CPUID, t) < 0)
		return err_sys(e, errno, "KVM does not say which CPUID it supports");
	return 0;
}

/* What the model promised and this KVM cannot do: said once, for vCPU 0. */
static void tell_missing(const struct kvm_cpu *c, const struct table *t)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct cpuid_regs m = cpu_model_cpuid(c->vm->model, c->index, words[i].leaf, words[i].sub);
		const struct kvm_cpuid_entry2 *k = find(t, words[i].leaf, words[i].sub);
		u32 lost[4] = { 0 };
		if (!k)
			continue;
		lost[0] = words[i].eax ? m.eax & ~k->eax : 0;
		lost[1] = words[i].ebx ? m.ebx & ~k->ebx : 0;
		lost[2] = words[i].ecx ? m.ecx & ~k->ecx : 0;
		lost[3] = words[i].edx ? m.edx & ~k->edx : 0;
		if (lost[0] | lost[1] | lost[2] | lost[3])
			log_info(
			    "engine: kvm: this host does not offer CPUID leaf %#x bits eax %#x ebx %#x ecx %#x edx %#x",
			    words[i].leaf, lost[0], lost[1], lost[2], lost[3]);
	}
}

bool kvm_has_auto_ibrs(const struct kvm_vm *vm)
{
	struct table *host = xcalloc(1, sizeof(*host));
	const struct kvm_cpuid_entry2 *h = supported(host, vm, NULL) == 0 ? find(host, 0x80000021, 0) : NULL;
	bool has = h && (h->eax & 1u << 8);

	free(host);
	return has;
}

int kvm_cpuid_set(struct kvm_cpu *c, struct err *e)
{
	struct table *host = xcalloc(1, sizeof(*host)), *t = xcalloc(1, sizeof(*t));
	int r = supported(host, c->vm, e);

	if (r == 0) {
		build(t, c, host);
		if (c->index == 0)
			tell_missing(c, t);
		if (ioctl(c->fd, KVM_SET_CPUID2, t) < 0)
			r = err_sys(e, errno, "KVM refuses the CPUID of this CPU model");
	}
	free(host);
	free(t);
	return r;
}

/* IA32_ARCH_CAPABILITIES as the host's KVM would give it, no more than that. */
u64 kvm_arch_capabilities(int sys_fd)
{
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} m = { .h.nmsrs = 1, .e.index = MSR_ARCH_CAPABILITIES };

	return ioctl(sys_fd, KVM_GET_MSRS, &m) == 1 ? m.e.data : 0;
}
