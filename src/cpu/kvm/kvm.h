/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm.h - inside the KVM engine: vCPUs that the host's processor runs itself, through /dev/kvm.
 *
 * Theory of operation
 *
 * The kernel holds the vCPUs and their local APICs ("split" irqchip, KVM_CAP_SPLIT_IRQCHIP); the I/O APIC, the 8259s
 * and the PIT stay the board's, so that there is one model of each for both engines and little of the
 * kernel's within a guest's reach. What then happens without this process:
 *   HLT, local APIC timer, IPIs, EOIs of edges     in the kernel
 *   MSIs and I/O APIC messages                     KVM_SIGNAL_MSI by the thread that has news, no vCPU stops
 *   virtio notifications                           KVM_IOEVENTFD (cpu_vm_doorbell())
 * and what does come here: other I/O ports and MMIO, EOIs of level-triggered pins (for which the kernel
 * must know the pins: KVM_SET_GSI_ROUTING), the 8259s' ExtINT.
 *
 * A vCPU stands in KVM_RUN on its own thread. Others reach it by a request bit, run->immediate_exit (makes the next
 * KVM_RUN return at once) and a signal (makes the present one return), in this order: no wish is ever lost
 * between the check and the call.
 *
 * INV-KVM-1: vCPU ioctls are made only by the thread in cpu_run(), or by anyone while no thread is there.
 */
#ifndef MICA_KVM_H
#define MICA_KVM_H

#include "cpu/dirty.h"
#include "cpu/engine.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

/* Exits counted for --stats; the names are in kvm_run.c. */
enum kvm_count {
	KC_PIO_IN,
	KC_PIO_OUT,
	KC_MMIO_READ,
	KC_MMIO_WRITE,
	KC_EOI,
	KC_WINDOW,
	KC_RING,
	KC_HLT,
	KC_SIGNAL,
	KC_OTHER,
	KC_COUNT
};

enum kvm_request { REQ_STOP = 1, REQ_NMI = 2, REQ_LINT1 = 4 };

struct kvm_cpu {
	struct cpu head;
	struct kvm_vm *vm;
	unsigned index;
	int fd;
	struct kvm_run *run;        /* shared with the kernel */
	struct kvm_dirty_gfn *ring; /* of the dirty ring, ring_next under the VM's ring_lock */
	u32 ring_next;
	bool io_pending; /* the instruction of the last exit is not finished before the next KVM_RUN */

	/* Any thread */
	_Atomic u32 requests; /* enum kvm_request */
	_Atomic int tid;      /* of the thread in cpu_run(); 0: none */
	_Atomic bool intr;    /* the 8259s' line */
	_Atomic u32 laps;     /* odd: in KVM_RUN */
	_Atomic u64 count[KC_COUNT];
};

struct kvm_vm {
	struct cpu_vm head;
	const struct cpu_bus *bus;
	struct ram *ram;
	const struct cpu_model *model;
	int sys_fd, fd; /* sys_fd: /dev/kvm, while the VM is being made */
	unsigned ncpus;
	struct kvm_cpu *cpu[CPU_MAX];
	size_t run_bytes; /* of each vCPU's run area */
	u32 tsc_khz;
	bool any_length, tsc_deadline, tsc_control;
	bool chips; /* I/O APIC, 8259s and PIT are in the kernel */
	u64 arch_capabilities;

	struct ram_extent slot[RAM_EXTENTS_MAX]; /* as the kernel has them */
	pthread_mutex_t hold_lock;
	_Atomic bool hold; /* no vCPU may enter the guest; under hold_lock */

	struct dirty dirty; /* what devices wrote, and what was gathered of vCPUs' writes */
	u32 ring_entries;   /* of each vCPU's dirty ring, a power of two; 0: the kernel keeps bitmaps */
	pthread_mutex_t ring_lock;

	pthread_mutex_t lock;
	/* under lock */
	struct kvm_route {
		u64 addr;
		u32 data;
		bool used;
		int fd;          /* of a route: bound to its GSI as an irqfd; -1: not */
	} pin[CPU_PINS], *route; /* CPU_ROUTES of these, nroutes ever used */
	unsigned nroutes;
	u32 wires; /* chips: levels as driven */

	/* Writes to latches that the kernel has gathered; emptied under latch_lock */
	pthread_mutex_t latch_lock;
	struct kvm_coalesced_mmio_ring *latched; /* in vCPU 0's run area; NULL: there are none */

	struct kvm_chips *chips_reset; /* chips: their power-on state */
};

/* kvm_cpuid.c: what the model promises and this host's KVM can keep. */
/* Does the host's processor take EFER.AIBRSE? */
bool kvm_has_auto_ibrs(const struct kvm_vm *vm);
int kvm_cpuid_set(struct kvm_cpu *c, struct err *e);
u64 kvm_arch_capabilities(int sys_fd);

/* kvm_state.c */
void kvm_get_state(struct cpu *c, struct cpu_state *s);
int kvm_set_state(struct cpu *c, const struct cpu_state *s, struct err *e);
void kvm_reset(struct cpu *c);
u64 kvm_tsc(struct cpu *c);
int kvm_get_msr(struct kvm_cpu *c, u32 msr, u64 *val);
int kvm_set_msr(struct kvm_cpu *c, u32 msr, u64 val);

/* kvm_board.c: the chips in the kernel */
void kvm_get_board(struct cpu_vm *v, struct board_state *b);
int kvm_set_board(struct cpu_vm *v, const struct board_state *b, struct err *e);
void kvm_reset_lapic(struct kvm_cpu *c);
/* LVT LINT1, as the guest set it. */
u32 kvm_lvt_lint1(struct kvm_cpu *c);

#define MSR_KVM_WALL_CLOCK 0x4b564d00
#define MSR_KVM_SYSTEM_TIME 0x4b564d01
#define MSR_KVM_STEAL_TIME 0x4b564d03

/* kvm_memory.c */
void kvm_memory_init(struct kvm_vm *vm);
void kvm_memory_fini(struct kvm_vm *vm);
/* Once the kernel's VM is there. */
int kvm_memory_map(struct kvm_vm *vm, struct err *e);
/* Which slots are logged has changed. */
int kvm_memory_log(struct kvm_vm *vm);
int kvm_commit(struct cpu_vm *v, struct err *e);
/* Wait until vCPUs may enter the guest. */
void kvm_held(struct kvm_vm *vm);

/* kvm_irq.c: messages, routes, wires */
int kvm_irq_init(struct kvm_vm *vm, struct err *e);
void kvm_irq_fini(struct kvm_vm *vm);
void kvm_msi(struct cpu_vm *v, u64 addr, u32 data);
void kvm_set_pin(struct cpu_vm *v, unsigned pin, u64 addr, u32 data, bool used);
int kvm_set_route(struct cpu_vm *v, unsigned id, int fd, bool on, u64 addr, u32 data);
void kvm_wire(struct cpu_vm *v, unsigned gsi, bool level);
/* What was written to irqfds has arrived when this returns. */
void kvm_irq_settle(struct kvm_vm *vm);

/* kvm_latch.c */
void kvm_latch_init(struct kvm_vm *vm);
int kvm_latch(struct cpu_vm *v, bool pio, u64 at, unsigned bytes, bool on);
void kvm_latch_drain(struct kvm_cpu *c);

/* kvm_chips.c: the chips besides local APICs, in the kernel */
int kvm_chips_make(struct kvm_vm *vm, struct err *e);
int kvm_chips_keep_reset(struct kvm_vm *vm, struct err *e);
void kvm_chips_reset(struct kvm_vm *vm);
void kvm_chips_get(struct kvm_vm *vm, struct board_state *b);
int kvm_chips_set(struct kvm_vm *vm, const struct board_state *b, struct err *e);

/* kvm_dirty.c */
void kvm_dirty_init(struct kvm_vm *vm);
/* Before there are vCPUs, and for each of them. */
void kvm_ring_enable(struct kvm_vm *vm);
int kvm_ring_map(struct kvm_cpu *c, struct err *e);
void kvm_ring_unmap(struct kvm_cpu *c);
/* KVM_EXIT_DIRTY_RING_FULL */
void kvm_ring_full(struct kvm_vm *vm);
/* For tests: false has the bitmaps, whatever the host offers. Before a VM is made. */
extern bool kvm_want_rings;
void kvm_dirty_fini(struct kvm_vm *vm);
/* What the kernel knows goes into our bitmap. */
int kvm_dirty_gather(struct kvm_vm *vm);
int kvm_dirty_start(struct cpu_vm *v, enum cpu_log who, u64 off, u64 bytes, struct err *e);
int kvm_dirty_collect(struct cpu_vm *v, enum cpu_log who, u64 *bitmap, struct err *e);
void kvm_dirty_stop(struct cpu_vm *v, enum cpu_log who);

/* kvm_run.c */
enum cpu_exit kvm_run(struct cpu *c, struct err *e);
void kvm_request(struct kvm_cpu *c, u32 what);
void kvm_run_init(void);
extern const char *const kvm_count_names[KC_COUNT];

static inline struct kvm_cpu *kvm_cpu(struct cpu *c)
{
	return container_of(c, struct kvm_cpu, head);
}
static inline struct kvm_vm *kvm_vm(struct cpu_vm *v)
{
	return container_of(v, struct kvm_vm, head);
}

#endif
