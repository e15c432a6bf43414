/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_dirty.c - the dirty log: what vCPUs write, as the kernel tells it, and a bitmap of ours for what devices write.
 *
 * Theory of operation: the kernel tells in one of two ways, fixed when the VM is made.
 *
 * Rings, where the host offers them: each vCPU has one, into which the kernel puts every page that the vCPU writes
 * first. To collect costs as much as there was written, not as much as there is memory. A full ring stops its vCPU
 * until it has been emptied. Emptying moves entries into our bitmap and gives them back, whereupon the kernel watches
 * their pages again; only after that may their contents be read, so all of it is done before a collector has its
 * answer.
 *
 * Bitmaps: the kernel keeps one for each slot and hands it out as a whole.
 *
 * The processor may have pages in a buffer of its own (Intel's PML) that reach the ring when it leaves the guest, so a
 * collector has every vCPU do that first.
 */
#include "base/log.h"
#include "cpu/kvm/kvm.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define RING_ENTRIES 4096u /* 64 KiB a vCPU; some 600 are the kernel's reserve */

#ifndef KVM_CAP_DIRTY_LOG_RING_ACQ_REL
#define KVM_CAP_DIRTY_LOG_RING_ACQ_REL 223 /* Linux 6.1 */
#endif

bool kvm_want_rings = true;

void kvm_dirty_init(struct kvm_vm *vm)
{
	pthread_mutex_init(&vm->ring_lock, NULL);
}

void kvm_dirty_fini(struct kvm_vm *vm)
{
	dirty_fini(&vm->dirty);
	pthread_mutex_destroy(&vm->ring_lock);
}

/* ---- rings ---- */

void kvm_ring_enable(struct kvm_vm *vm)
{
	static const u32 caps[] = { KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING };
	size_t bytes = RING_ENTRIES * sizeof(struct kvm_dirty_gfn);

	for (size_t i = 0; kvm_want_rings && !vm->ring_entries && i < ARRAY_LEN(caps); i++) {
		struct kvm_enable_cap cap = { .cap = caps[i], .args = { bytes } };
		int max = ioctl(vm->fd, KVM_CHECK_EXTENSION, caps[i]);

		if (max >= (int)bytes && ioctl(vm->fd, KVM_ENABLE_CAP, &cap) == 0)
			vm->ring_entries = RING_ENTRIES;
	}
}

int kvm_ring_map(struct kvm_cpu *c, struct err *e)
{
	size_t bytes = c->vm->ring_entries * sizeof(*c->ring);

	if (!bytes)
		return 0;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_BYTES);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "cannot map the dirty ring of vCPU %u", c->index);
	c->ring = p;
	return 0;
}

void kvm_ring_unmap(struct kvm_cpu *c)
{
	if (c->ring)
		munmap(c->ring, c->vm->ring_entries * sizeof(*c->ring));
}

static u32 empty_locked(struct kvm_vm *vm, struct kvm_cpu *c)
{
	bool on = atomic_load(&vm->dirty.on);
	u32 n = 0;

	for (;; n++) {
		struct kvm_dirty_gfn *g = &c->ring[c->ring_next & (vm->ring_entries - 1)];

		if (__atomic_load_n(&g->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			return n;
		u16 slot = (u16)g->slot;
		if (on && slot < RAM_EXTENTS_MAX && g->offset < vm->slot[slot].bytes >> PAGE_SHIFT)
			dirty_mark(&vm->dirty, (vm->slot[slot].off >> PAGE_SHIFT) + g->offset);
		__atomic_store_n(&g->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		c->ring_next++;
	}
}

static void empty_rings(struct kvm_vm *vm)
{
	u32 n = 0;

	pthread_mutex_lock(&vm->ring_lock);
	for (unsigned i = 0; i < vm->ncpus; i++)
		n += empty_locked(vm, vm->cpu[i]);
	if (n && ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0) < 0)
		log_warn("KVM does not take its dirty rings back: %s", strerror(errno));
	pthread_mutex_unlock(&vm->ring_lock);
}

void kvm_ring_full(struct kvm_vm *vm)
{
	empty_rings(vm);
}

/* Every vCPU has been out of the guest since this was called. */
static void all_out(struct kvm_vm *vm)
{
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct kvm_cpu *c = vm->cpu[i];
		u32 laps = atomic_load(&c->laps);

		if (!(laps & 1))
			continue;
		kvm_request(c, 0);
		while (atomic_load(&c->laps) == laps)
			sched_yield();
	}
}

/* ---- bitmaps ---- */

static int gather_slot(struct kvm_vm *vm, unsigned slot)
{
	u64 first = vm->slot[slot].off >> PAGE_SHIFT, words = ROUND_UP(vm->slot[slot].bytes >> PAGE_SHIFT, 64) / 64;
	u64 *bits = xcalloc(words, sizeof(*bits));
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };
	int r = ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0 ? -errno : 0;

	for (u64 w = 0; w < words; w++)
		for (; bits[w]; bits[w] &= bits[w] - 1)
			dirty_mark(&vm->dirty, first + w * 64 + (u64)__builtin_ctzll(bits[w]));
	free(bits);
	return r;
}

static int gather_bitmaps(struct kvm_vm *vm)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < RAM_EXTENTS_MAX; i++)
		if (vm->slot[i].bytes && !vm->slot[i].readonly &&
		    dirty_watches(&vm->dirty, vm->slot[i].off, vm->slot[i].bytes))
			r = gather_slot(vm, i);
	return r;
}

int kvm_dirty_gather(struct kvm_vm *vm)
{
	if (!atomic_load(&vm->dirty.on))
		return 0;
	if (!vm->ring_entries)
		return gather_bitmaps(vm);
	all_out(vm);
	empty_rings(vm);
	return 0;
}

/* ---- cpu.h ---- */

int kvm_dirty_start(struct cpu_vm *v, enum cpu_log who, u64 off, u64 bytes, struct err *e)
{
	struct kvm_vm *vm = kvm_vm(v);

	if (vm->ring_entries)
		empty_rings(vm);      /* what was written before the last stop */
	int r = kvm_dirty_gather(vm); /* ... and what the other log is to know */
	dirty_start(&vm->dirty, vm->ram, who, off, bytes);
	if (r == 0)
		r = kvm_memory_log(vm);
	if (r < 0) {
		dirty_stop(&vm->dirty, who);
		return err_sys(e, -r, "KVM does not log which pages are written");
	}
	return 0;
}

int kvm_dirty_collect(struct cpu_vm *v, enum cpu_log who, u64 *bitmap, struct err *e)
{
	struct kvm_vm *vm = kvm_vm(v);

	must(vm->dirty.log[who].words);
	int r = kvm_dirty_gather(vm);
	if (r < 0)
		return err_sys(e, -r, "KVM does not tell which pages were written");
	dirty_take(&vm->dirty, who, bitmap);
	return 0;
}

void kvm_dirty_stop(struct cpu_vm *v, enum cpu_log who)
{
	struct kvm_vm *vm = kvm_vm(v);

	kvm_dirty_gather(vm); /* for the other log */
	dirty_stop(&vm->dirty, who);
	kvm_memory_log(vm);
}
