/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_dirty.c - the dirty log: the kernel's own for what vCPUs write, a bitmap of ours for what devices write.
 */
#include "cpu/kvm/kvm.h"

#include <sys/ioctl.h>

/* Both slots begin at a word of the bitmap: the lower one, where there are two, has 3 GiB. */
static u64 slot_first_page(const struct kvm_vm *vm, unsigned slot)
{
	return slot == 0 ? 0 : vm->ram->low_bytes >> PAGE_SHIFT;
}

static void on_write(void *opaque, gpa_t gpa, u64 bytes)
{
	struct kvm_vm *vm = opaque;

	if (atomic_load(&vm->dirty.on))
		dirty_mark_range(&vm->dirty, vm->ram, gpa, bytes);
}

void kvm_dirty_init(struct kvm_vm *vm)
{
	vm->ram->on_write_opaque = vm;
	vm->ram->on_write = on_write;
}

void kvm_dirty_fini(struct kvm_vm *vm)
{
	vm->ram->on_write = NULL;
	free((void *)vm->dirty.bits);
}

static int set_logging(struct kvm_vm *vm, bool on)
{
	int r = 0;

	for (unsigned slot = 0; r == 0 && slot < 2; slot++)
		r = kvm_set_slot(vm, slot, on ? KVM_MEM_LOG_DIRTY_PAGES : 0);
	return r;
}

int kvm_dirty_start(struct cpu_vm *v, struct err *e)
{
	struct kvm_vm *vm = kvm_vm(v);

	dirty_clear(&vm->dirty, vm->ram);
	atomic_store(&vm->dirty.on, true);
	int r = set_logging(vm, true);
	if (r < 0) {
		atomic_store(&vm->dirty.on, false);
		return err_sys(e, -r, "KVM does not log which pages are written");
	}
	return 0;
}

int kvm_dirty_collect(struct cpu_vm *v, u64 *bitmap, struct err *e)
{
	struct kvm_vm *vm = kvm_vm(v);
	u64 *mine = xcalloc(vm->dirty.words, sizeof(*mine));
	int r = 0;

	must(atomic_load(&vm->dirty.on));
	for (unsigned slot = 0; r == 0 && slot < 2; slot++) {
		u64 first = slot_first_page(vm, slot);
		struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = mine + first / 64 };

		if (slot == 1 && vm->ram->bytes == vm->ram->low_bytes)
			break;
		if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
			r = err_sys(e, errno, "KVM does not tell which pages were written");
	}
	for (u64 i = 0; i < vm->dirty.words; i++)
		bitmap[i] |= mine[i];
	free(mine);
	if (r == 0)
		dirty_take(&vm->dirty, bitmap);
	return r;
}

void kvm_dirty_stop(struct cpu_vm *v)
{
	struct kvm_vm *vm = kvm_vm(v);

	set_logging(vm, false);
	atomic_store(&vm->dirty.on, false);
}
