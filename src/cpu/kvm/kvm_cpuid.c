/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_cpuid.c - CPUID under KVM: what the CPU model promises, less what this host's KVM cannot keep.
 *
 * Theory of operation: the model's words of feature bits are ANDed with KVM_GET_SUPPORTED_CPUID, before there is a VM,
 * so that the model knows what it promises here; everything that is not a feature (topology, caches, names) is the
 * model's as it is. One kind of bit goes the other way: guest code runs on the processor itself here, so its
 * speculation flaws are the guest's too. The means against them (IBRS, IBPB, STIBP, SSBD, MD_CLEAR, ...) are handed
 * through as the host has them, and no flaw is declared absent that the host does not declare absent.
 */
#include "base/log.h"
#include "cpu/kvm/kvm.h"

#include <fcntl.h>
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

/* Bits that come from the host whatever the model says: means against speculation flaws. */
static const u32 from_host[CPU_MODEL_WORDS] = {
	/* MD_CLEAR, IBRS+IBPB, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD */
	[CW_7_EDX] = 1u << 10 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29 | 1u << 31,
	/* IBPB, IBRS, STIBP, SSBD, VIRT_SSBD */
	[CW_E8_EBX] = 1u << 12 | 1u << 14 | 1u << 15 | 1u << 24 | 1u << 25,
	/* AutoIBRS, SBPB, IBPB_BRTYPE, SRSO_NO */
	[CW_E21_EAX] = 1u << 8 | 1u << 27 | 1u << 28 | 1u << 29,
};

/* Bits that are ours or KVM's to keep though it does not list them. */
static const u32 own[CPU_MODEL_WORDS] = {
	[CW_1_ECX] = 1u << 21 | 1u << 31, /* x2APIC, hypervisor; OSXSAVE is dynamic */
	[CW_1_EDX] = 1u << 28,            /* HTT is topology */
	[CW_6_EAX] = 1u << 2,             /* ARAT: the timer is the kernel's */
	[CW_7_EDX] = 1u << 4,             /* FSRM: a promise of speed */
	[CW_E1_ECX] = 1u << 1,            /* CMP_LEGACY is topology */
	[CW_E7_EDX] = 1u << 8, /* invariant TSC: KVM leaves it to us, who do not move the guest by ourselves */
};
#define TSC_DEADLINE (1u << 24) /* of CW_1_ECX; a capability of KVM's own */

static u32 *reg_of(struct kvm_cpuid_entry2 *e, unsigned reg)
{
	u32 *const r[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

	return r[reg];
}

/* What KVM can keep of each word. */
static void keeps(u32 has[CPU_MODEL_WORDS], const struct table *host, bool deadline)
{
	for (unsigned i = 0; i < CPU_MODEL_WORDS; i++) {
		const struct cpu_word_place *p = &cpu_word_places[i];
		const struct kvm_cpuid_entry2 *h = find(host, p->leaf, p->sub);
		struct kvm_cpuid_entry2 none = { 0 }, copy = h ? *h : none;

		has[i] = *reg_of(&copy, p->reg) | own[i];
	}
	has[CW_1_ECX] = deadline ? has[CW_1_ECX] | TSC_DEADLINE : has[CW_1_ECX] & ~TSC_DEADLINE;
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

static void add(struct table *t, const struct kvm_cpu *c, const u32 has[CPU_MODEL_WORDS], u32 leaf, u32 sub,
		bool indexed)
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
	for (unsigned i = 0; i < CPU_MODEL_WORDS; i++)
		if (cpu_word_places[i].leaf == leaf && cpu_word_places[i].sub == sub)
			*reg_of(e, cpu_word_places[i].reg) &= has[i];
	fill_clock(e, c->vm->tsc_khz);
	t->n++;
}

static void build(struct table *t, const struct kvm_cpu *c, const struct table *host)
{
	static const u32 bases[] = { 0, 0x40000000u, 0x80000000u };
	u32 has[CPU_MODEL_WORDS];

	keeps(has, host, c->vm->tsc_deadline);

	for (size_t b = 0; b < ARRAY_LEN(bases); b++) {
		u32 last = cpu_model_cpuid(c->vm->model, c->index, bases[b], 0).eax;
		for (u32 leaf = bases[b]; leaf <= last; leaf++) {
			bool indexed = leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;
			for (u32 sub = 0; sub < (indexed ? 5 : 1); sub++)
				add(t, c, has, leaf, sub, indexed);
		}
	}
}

/*
 * Asked once: it is the same for the model, each vCPU and each VM of the process, and the kernel executes every leaf
 * for an answer, which is a trap each where the host is a guest itself.
 */
static const struct table *supported(int sys_fd, struct err *e)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct table answer;
	const struct table *t = &answer;

	pthread_mutex_lock(&lock);
	if (!answer.n) {
		answer.n = ENTRIES_MAX;
		if (ioctl(sys_fd, KVM_GET_SUPPORTED_CPUID, &answer) < 0) {
			err_sys(e, errno, "KVM does not say which CPUID it supports");
			answer.n = 0;
			t = NULL;
		}
	}
	pthread_mutex_unlock(&lock);
	return t;
}

static void limit(struct cpu_model *m, const struct table *host, bool deadline)
{
	const struct kvm_cpuid_entry2 *xsave = find(host, 0xd, 0);
	u32 has[CPU_MODEL_WORDS], gives[CPU_MODEL_WORDS];
	struct cpu_model_promise was;

	keeps(has, host, deadline);
	cpu_model_promise(m, &was);
	for (unsigned i = 0; i < CPU_MODEL_WORDS; i++) {
		const struct cpu_word_place *p = &cpu_word_places[i];
		u32 lost = was.word[i] & ~has[i];

		if (lost)
			log_info("engine: kvm: this host does not offer bits %#x of CPUID leaf %#x register %u", lost,
				 p->leaf, p->reg);
		gives[i] = has[i] & from_host[i];
		has[i] &= ~from_host[i];
	}
	cpu_model_limit(m, has, gives, xsave ? xsave->eax : 3);
}

int kvm_limit(struct cpu_model *m, struct err *e)
{
	auto_close int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open /dev/kvm");
	const struct table *host = supported(fd, e);
	if (!host)
		return -EIO;
	limit(m, host, ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0);
	return 0;
}

bool kvm_has_auto_ibrs(const struct kvm_vm *vm)
{
	const struct table *host = supported(vm->sys_fd, NULL);
	const struct kvm_cpuid_entry2 *h = host ? find(host, 0x80000021, 0) : NULL;

	return h && (h->eax & 1u << 8);
}

int kvm_cpuid_set(struct kvm_cpu *c, struct err *e)
{
	const struct table *host = supported(c->vm->sys_fd, e);

	if (!host)
		return -EIO;
	auto_free struct table *t = xcalloc(1, sizeof(*t));
	build(t, c, host);
	return ioctl(c->fd, KVM_SET_CPUID2, t) < 0 ? err_sys(e, errno, "KVM refuses the CPUID of this CPU model") : 0;
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
