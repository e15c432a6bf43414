/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_memory.c - guest memory as KVM's slots: one for each extent of base/ram.h, under the extent's number.
 *
 * A slot is taken away and made anew when anything of its extent changes. Between the two the guest would find no
 * memory there, so no vCPU is in the guest meanwhile: kvm_commit() holds them back. It is called by the vCPU whose
 * access asked for the change, after the access and with no lock of a device; others may be in devices' code, but
 * cannot enter the guest.
 */
#include "cpu/kvm/kvm.h"

#include <sched.h>
#include <sys/ioctl.h>

static int set(struct kvm_vm *vm, unsigned slot, const struct ram_extent *x, bool logged)
{
	struct kvm_userspace_memory_region m = {
		.slot = slot,
		.flags = x->readonly ? KVM_MEM_READONLY
			 : logged    ? KVM_MEM_LOG_DIRTY_PAGES
				     : 0,
		.guest_phys_addr = x->gpa,
		.memory_size = x->bytes,
		.userspace_addr = (u64)(uintptr_t)(vm->ram->host + x->off),
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &m) < 0 ? -errno : 0;
}

static bool same(const struct ram_extent *a, const struct ram_extent *b)
{
	return a->gpa == b->gpa && a->bytes == b->bytes && a->off == b->off && a->readonly == b->readonly;
}

/* Make the slots what the table says. No vCPU is in the guest. */
static int update(struct kvm_vm *vm, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < RAM_EXTENTS_MAX; i++) {
		struct ram_extent none = vm->slot[i];

		none.bytes = 0;
		if (vm->slot[i].bytes && !same(&vm->slot[i], &vm->ram->now[i]) && (rc = set(vm, i, &none, false)) == 0)
			vm->slot[i].bytes = 0;
	}
	for (unsigned i = 0; i < RAM_EXTENTS_MAX; i++) {
		const struct ram_extent *x = &vm->ram->now[i];

		if (!x->bytes || same(&vm->slot[i], x))
			continue;
		int r = set(vm, i, x, dirty_watches(&vm->dirty, x->off, x->bytes));
		if (r < 0)
			rc = err_sys(e, -r, "KVM refuses %s: %#llx bytes at %#llx", x->name,
				     (unsigned long long)x->bytes, (unsigned long long)x->gpa);
		else
			vm->slot[i] = *x;
	}
	return rc;
}

static int committed(void *opaque, struct err *e)
{
	struct kvm_vm *vm = opaque;

	kvm_dirty_gather(vm); /* what a slot knows goes away with it */
	return update(vm, e);
}

static void wrote(void *opaque, u64 off, u64 bytes)
{
	struct kvm_vm *vm = opaque;

	if (atomic_load(&vm->dirty.on))
		dirty_mark_range(&vm->dirty, off, bytes);
}

void kvm_memory_init(struct kvm_vm *vm)
{
	pthread_mutex_init(&vm->hold_lock, NULL);
	vm->ram->watch = (struct ram_watch){ .wrote = wrote, .committed = committed, .opaque = vm };
}

void kvm_memory_fini(struct kvm_vm *vm)
{
	vm->ram->watch = (struct ram_watch){ 0 };
	pthread_mutex_destroy(&vm->hold_lock);
}

int kvm_memory_map(struct kvm_vm *vm, struct err *e)
{
	return update(vm, e);
}

int kvm_memory_log(struct kvm_vm *vm)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < RAM_EXTENTS_MAX; i++)
		if (vm->slot[i].bytes && !vm->slot[i].readonly)
			rc = set(vm, i, &vm->slot[i], dirty_watches(&vm->dirty, vm->slot[i].off, vm->slot[i].bytes));
	return rc;
}

/* ---- no vCPU in the guest ---- */

int kvm_commit(struct cpu_vm *v, struct err *e)
{
	struct kvm_vm *vm = kvm_vm(v);

	pthread_mutex_lock(&vm->hold_lock);
	atomic_store(&vm->hold, true);
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct kvm_cpu *c = vm->cpu[i];
		u32 laps = atomic_load(&c->laps);

		if (!(laps & 1))
			continue;
		kvm_request(c, 0);
		while (atomic_load(&c->laps) == laps)
			sched_yield();
	}
	int rc = ram_commit(vm->ram, e);
	atomic_store(&vm->hold, false);
	pthread_mutex_unlock(&vm->hold_lock);
	return rc;
}

void kvm_held(struct kvm_vm *vm)
{
	pthread_mutex_lock(&vm->hold_lock);
	pthread_mutex_unlock(&vm->hold_lock);
}
