/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_latch.c - writes to latches (cpu.h): the kernel gathers them in a ring, and every vCPU that comes out of the
 * guest empties it before it does anything else. So whoever looks at a device sees what was written to it before.
 *
 * The serial port's transmitter is no latch: a guest may rest after its last byte, and nothing would bring that out.
 */
#include "cpu/kvm/kvm.h"

#include <sys/ioctl.h>

#define RING_MAX ((PAGE_BYTES - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

/* Once vCPU 0 is there, and /dev/kvm still open. */
void kvm_latch_init(struct kvm_vm *vm)
{
	int page = ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
	bool pio = ioctl(vm->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0;

	if (page > 0 && pio && ((u64)page + 1) * PAGE_BYTES <= vm->run_bytes)
		vm->latched = (void *)((u8 *)vm->cpu[0]->run + (size_t)page * PAGE_BYTES);
}

int kvm_latch(struct cpu_vm *v, bool pio, u64 at, unsigned bytes, bool on)
{
	struct kvm_vm *vm = kvm_vm(v);
	struct kvm_coalesced_mmio_zone z = { .addr = at, .size = bytes, .pio = pio };

	if (!vm->latched || vm->chips) /* the kernel's chips have their own registers */
		return -ENOTSUP;
	return ioctl(vm->fd, on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &z) < 0 ? -errno : 0;
}

static void write_out(struct kvm_cpu *c, const struct kvm_coalesced_mmio *m)
{
	const struct cpu_bus *b = c->vm->bus;
	u64 val = 0;

	memcpy(&val, m->data, MIN(m->len, sizeof(val)));
	if (m->pio)
		b->pio_write(b->opaque, c->index, (u16)m->phys_addr, m->len, (u32)val);
	else
		b->mmio_write(b->opaque, c->index, m->phys_addr, m->len, val);
}

void kvm_latch_drain(struct kvm_cpu *c)
{
	struct kvm_coalesced_mmio_ring *r = c->vm->latched;

	if (!r || __atomic_load_n(&r->first, __ATOMIC_ACQUIRE) == __atomic_load_n(&r->last, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&c->vm->latch_lock);
	/* The page is the kernel's to write, not the guest's; an index out of range would be its bug. */
	for (u32 first = r->first; first != __atomic_load_n(&r->last, __ATOMIC_ACQUIRE);) {
		must(first < RING_MAX);
		write_out(c, &r->coalesced_mmio[first]);
		first = (first + 1) % RING_MAX;
		__atomic_store_n(&r->first, first, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&c->vm->latch_lock);
}
