/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvm_vm.c - a VM of the KVM engine: opening /dev/kvm, memory, interrupt messages, doorbells (kvm.h). */
#include "base/clock.h"
#include "base/log.h"
#include "cpu/kvm/kvm.h"
#include "cpu/probe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* Four pages that VT-x may need to run real mode; in the hole below the local APICs, where nothing else is. */
#define TSS_ADDR 0xfffbd000ul
#define IDENTITY_MAP_ADDR 0xfffbc000ull

static int check_caps(struct kvm_vm *vm, struct err *e)
{
	int r = kvm_check_caps(vm->sys_fd, e);

	if (r < 0)
		return r;
	int max = ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (max > 0 && vm->ncpus > (unsigned)max)
		return err_set(e, ENOTSUP, "the KVM of this host takes %d vCPUs, not %u", max, vm->ncpus);
	vm->any_length = ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
	vm->tsc_deadline = ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	vm->tsc_control = ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL) > 0;
	vm->arch_capabilities = kvm_arch_capabilities(vm->sys_fd);
	return 0;
}

static int add_cpu(struct kvm_vm *vm, unsigned index, struct err *e)
{
	struct kvm_cpu *c = xcalloc(1, sizeof(*c));

	vm->cpu[index] = c;
	c->head.engine = vm->head.engine;
	c->vm = vm;
	c->index = index;
	c->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (c->fd < 0)
		return err_sys(e, errno, "KVM cannot make vCPU %u", index);
	c->run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->run == MAP_FAILED) {
		c->run = NULL;
		return err_sys(e, errno, "cannot map the run area of vCPU %u", index);
	}
	int r = kvm_ring_map(c, e);
	if (r < 0)
		return r;
	if (index == 0) {
		int khz = ioctl(c->fd, KVM_GET_TSC_KHZ, 0);
		vm->tsc_khz = khz > 0 ? (u32)khz : (u32)clock_tsc_khz();
	}
	r = kvm_cpuid_set(c, e);
	if (r == 0)
		kvm_reset(&c->head);
	return r;
}

static int build(struct kvm_vm *vm, struct err *e)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { CPU_PINS } };
	u64 identity = IDENTITY_MAP_ADDR;
	int r;

	vm->sys_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->sys_fd < 0)
		return err_sys(e, errno, "cannot open /dev/kvm%s",
			       errno == EACCES ? " (is this user in the group kvm?)"
			       : errno == ENOENT
				   ? " (no KVM module is loaded, or the processor's virtualization is off)"
				   : "");
	if ((r = check_caps(vm, e)) < 0)
		return r;
	do
		vm->fd = ioctl(vm->sys_fd, KVM_CREATE_VM, 0ul);
	while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return err_sys(e, errno, "KVM cannot make a VM%s",
			       errno == EBUSY ? " (another hypervisor holds the processor)" : "");
	fcntl(vm->fd, F_SETFD, FD_CLOEXEC);
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 || ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR) < 0)
		return err_sys(e, errno, "KVM refuses the address of its own pages");
	if (vm->chips) {
		if ((r = kvm_chips_make(vm, e)) < 0)
			return r;
	} else if (ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0) {
		return err_sys(e, errno, "KVM refuses a split interrupt controller");
	}
	if ((r = kvm_irq_init(vm, e)) < 0)
		return r;
	kvm_ring_enable(vm);
	int bytes = ioctl(vm->sys_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (bytes < (int)sizeof(struct kvm_run))
		return err_set(e, EIO, "KVM's run area has %d bytes", bytes);
	vm->run_bytes = (size_t)bytes;
	if ((r = kvm_memory_map(vm, e)) < 0)
		return r;
	for (unsigned i = 0; i < vm->ncpus; i++)
		if ((r = add_cpu(vm, i, e)) < 0)
			return r;
	kvm_latch_init(vm);
	if (vm->chips && (r = kvm_chips_keep_reset(vm, e)) < 0)
		return r;
	/* Whoever breaks in shall not make VMs with it. */
	close(vm->sys_fd);
	vm->sys_fd = -1;
	return 0;
}

static void vm_free(struct cpu_vm *v)
{
	struct kvm_vm *vm = kvm_vm(v);

	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct kvm_cpu *c = vm->cpu[i];
		if (!c)
			continue;
		kvm_ring_unmap(c);
		if (c->run)
			munmap(c->run, vm->run_bytes);
		if (c->fd >= 0)
			close(c->fd);
		free(c);
	}
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->sys_fd >= 0)
		close(vm->sys_fd);
	kvm_irq_fini(vm);
	kvm_memory_fini(vm);
	kvm_dirty_fini(vm);
	pthread_mutex_destroy(&vm->lock);
	pthread_mutex_destroy(&vm->latch_lock);
	free(vm);
}

static int vm_new(struct cpu_vm **out, bool chips, const struct cpu_bus *bus, struct ram *ram,
		  const struct cpu_model *model, unsigned ncpus, struct err *e)
{
	struct kvm_vm *vm = xcalloc(1, sizeof(*vm));

	vm->head.engine = chips ? &cpu_engine_kvm_chips : &cpu_engine_kvm;
	vm->chips = chips;
	vm->bus = bus;
	vm->ram = ram;
	vm->model = model;
	vm->ncpus = ncpus;
	vm->fd = vm->sys_fd = -1;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->latch_lock, NULL);
	kvm_run_init();
	kvm_dirty_init(vm);
	kvm_memory_init(vm);
	int r = build(vm, e);
	if (r < 0) {
		vm_free(&vm->head);
		return r;
	}
	*out = &vm->head;
	return 0;
}

static int vm_new_split(struct cpu_vm **out, const struct cpu_bus *bus, struct ram *ram, const struct cpu_model *model,
			unsigned ncpus, struct err *e)
{
	return vm_new(out, false, bus, ram, model, ncpus, e);
}

static int vm_new_chips(struct cpu_vm **out, const struct cpu_bus *bus, struct ram *ram, const struct cpu_model *model,
			unsigned ncpus, struct err *e)
{
	return vm_new(out, true, bus, ram, model, ncpus, e);
}

static struct cpu *vm_cpu(struct cpu_vm *v, unsigned index)
{
	must(index < kvm_vm(v)->ncpus);
	return &kvm_vm(v)->cpu[index]->head;
}

/* ---- interrupts ---- */

static void set_intr(struct cpu *c, bool up)
{
	atomic_store(&kvm_cpu(c)->intr, up);
	if (up)
		kvm_request(kvm_cpu(c), 0);
}

static void stop(struct cpu *c)
{
	kvm_request(kvm_cpu(c), REQ_STOP);
}

static void raise_nmi(struct cpu *c)
{
	kvm_request(kvm_cpu(c), REQ_NMI);
}

static void lint1(struct cpu *c)
{
	kvm_request(kvm_cpu(c), REQ_LINT1);
}

static int vm_doorbell(struct cpu_vm *v, gpa_t gpa, unsigned bytes, int fd, bool on)
{
	struct kvm_ioeventfd io = {
		.addr = gpa,
		.len = kvm_vm(v)->any_length ? bytes
		       : bytes               ? bytes
					     : 2,
		.fd = fd,
		.flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN,
	};

	return ioctl(kvm_vm(v)->fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

static void vm_stats(struct cpu_vm *v, FILE *f)
{
	struct kvm_vm *vm = kvm_vm(v);
	u64 sum = 0;

	for (unsigned i = 0; i < vm->ncpus; i++)
		for (unsigned k = 0; k < KC_COUNT; k++) {
			u64 n = atomic_load(&vm->cpu[i]->count[k]);
			sum += n;
			fprintf(f, "cpu%u_exits_%s %" PRIu64 "\n", i, kvm_count_names[k], n);
		}
	fprintf(f, "exits %" PRIu64 "\n", sum);
}

/* clang-format off */
#define COMMON \
	.name = "kvm", \
	.vm_free = vm_free, \
	.vm_cpu = vm_cpu, \
	.vm_get_board = kvm_get_board, \
	.vm_set_board = kvm_set_board, \
	.vm_stats = vm_stats, \
	.run = kvm_run, \
	.stop = stop, \
	.get_state = kvm_get_state, \
	.set_state = kvm_set_state, \
	.reset = kvm_reset, \
	.set_intr = set_intr, \
	.raise_nmi = raise_nmi, \
	.tsc = kvm_tsc, \
	.lint1 = lint1, \
	.vm_commit_ram = kvm_commit, \
	.vm_dirty_start = kvm_dirty_start, \
	.vm_dirty_collect = kvm_dirty_collect, \
	.vm_dirty_stop = kvm_dirty_stop, \
	.vm_doorbell = vm_doorbell, \
	.vm_latch = kvm_latch, \
	.vm_msi = kvm_msi, \
	.vm_set_pin = kvm_set_pin, \
	.vm_route = kvm_set_route
/* clang-format on */

const struct cpu_engine cpu_engine_kvm = { .vm_new = vm_new_split, COMMON };
const struct cpu_engine cpu_engine_kvm_chips = { .vm_new = vm_new_chips, .vm_wire = kvm_wire, COMMON };
