/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvm_irq.c - how interrupts get to the kernel: messages, routes (irqfds), wires.
 *
 * Theory of operation: KVM numbers what may be raised by GSIs, and one table says what each does:
 *   0 .. 23            pins of the I/O APIC. Split: what message the pin would send, which KVM only looks at to know
 * the vectors whose end it must tell; kernel's chips: the chips' own pins 24 .. 24+CPU_ROUTES  messages that have an
 * irqfd: whoever writes to the eventfd sends them The table is given to the kernel as a whole, which waits for all
 * vCPUs to be done with the old one: so it is made anew only when something in it has changed.
 */
#include "base/log.h"
#include "cpu/kvm/kvm.h"

#include <sys/ioctl.h>

#define PIC_PINS 16

void kvm_msi(struct cpu_vm *v, u64 addr, u32 data)
{
	struct kvm_msi m = { .address_lo = (u32)addr, .address_hi = (u32)(addr >> 32), .data = data };

	ioctl(kvm_vm(v)->fd, KVM_SIGNAL_MSI, &m); /* 0: nobody took it, as may be */
}

/* ---- the table; under vm->lock ---- */

static struct kvm_irq_routing_entry message(u32 gsi, const struct kvm_route *r)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = (u32)r->addr, .address_hi = (u32)(r->addr >> 32), .data = r->data },
	};
}

static struct kvm_irq_routing_entry chip_pin(u32 gsi, u32 chip, u32 pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/*
 * As the machine wires them: the PIT's arrives at the I/O APIC's pin 2, and the slave 8259 has the master's line 2. A
 * pin must have one GSI only: the kernel's PIT ticks on when its interrupt is acknowledged, and learns that by GSI.
 */
static u32 chip_pins(struct kvm_irq_routing_entry *e)
{
	u32 n = 0;

	for (u32 gsi = 0; gsi < CPU_PINS; gsi++) {
		if (gsi == 2)
			continue;
		if (gsi < PIC_PINS)
			e[n++] = chip_pin(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
		e[n++] = chip_pin(gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
	}
	return n;
}

static int give_table_locked(struct kvm_vm *vm)
{
	u32 max = CPU_PINS + PIC_PINS + vm->nroutes;
	struct kvm_irq_routing *t = xcalloc(1, sizeof(*t) + max * sizeof(t->entries[0]));

	if (vm->chips)
		t->nr = chip_pins(t->entries);
	for (unsigned i = 0; i < CPU_PINS; i++)
		if (vm->pin[i].used)
			t->entries[t->nr++] = message(i, &vm->pin[i]);
	for (unsigned i = 0; i < vm->nroutes; i++)
		if (vm->route[i].used)
			t->entries[t->nr++] = message(CPU_PINS + i, &vm->route[i]);
	int r = ioctl(vm->fd, KVM_SET_GSI_ROUTING, t) < 0 ? -errno : 0;
	free(t);
	return r;
}

/* ---- pins ---- */

void kvm_set_pin(struct cpu_vm *v, unsigned pin, u64 addr, u32 data, bool used)
{
	struct kvm_vm *vm = kvm_vm(v);
	struct kvm_route *p = &vm->pin[pin];

	if (vm->chips) /* the machine's I/O APIC rests */
		return;
	pthread_mutex_lock(&vm->lock);
	if (used != p->used || (used && (addr != p->addr || data != p->data))) {
		*p = (struct kvm_route){ .addr = addr, .data = data, .used = used, .fd = -1 };
		int r = give_table_locked(vm);
		if (r < 0)
			log_guest("KVM refuses the route of interrupt pin %u: %s", pin, strerror(-r));
	}
	pthread_mutex_unlock(&vm->lock);
}

void kvm_wire(struct cpu_vm *v, unsigned gsi, bool level)
{
	struct kvm_vm *vm = kvm_vm(v);
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	/* One order of levels, in the kernel and in our notes. */
	pthread_mutex_lock(&vm->lock);
	vm->wires = level ? vm->wires | 1u << gsi : vm->wires & ~(1u << gsi);
	ioctl(vm->fd, KVM_IRQ_LINE, &l);
	pthread_mutex_unlock(&vm->lock);
}

/* ---- routes ---- */

static int bind_locked(struct kvm_vm *vm, unsigned id, int fd, bool on)
{
	struct kvm_irqfd i = { .fd = (u32)fd, .gsi = CPU_PINS + id, .flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN };

	return ioctl(vm->fd, KVM_IRQFD, &i) < 0 ? -errno : 0;
}

static void end_locked(struct kvm_vm *vm, unsigned id)
{
	struct kvm_route *r = &vm->route[id];

	if (r->fd >= 0)
		bind_locked(vm, id, r->fd, false);
	r->fd = -1;
	r->used = false; /* the entry goes when the table is made next: nothing can raise it */
}

int kvm_set_route(struct cpu_vm *v, unsigned id, int fd, bool on, u64 addr, u32 data)
{
	struct kvm_vm *vm = kvm_vm(v);
	struct kvm_route *r = &vm->route[id];
	int rc = 0;

	pthread_mutex_lock(&vm->lock);
	if (!on || (r->used && r->fd != fd))
		end_locked(vm, id);
	if (on) {
		vm->nroutes = MAX(vm->nroutes, id + 1);
		r->addr = addr;
		r->data = data;
		r->used = true;
		rc = give_table_locked(vm);
		if (rc == 0 && r->fd < 0 && (rc = bind_locked(vm, id, fd, true)) == 0)
			r->fd = fd;
		if (rc < 0) {
			log_guest("KVM refuses route %u of an interrupt message: %s", id, strerror(-rc));
			end_locked(vm, id);
		}
	}
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

/* A message that could not be sent at once is with a worker of the kernel's, who is waited for when an irqfd ends. */
void kvm_irq_settle(struct kvm_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; i < vm->nroutes; i++) {
		int fd = vm->route[i].fd;

		if (fd >= 0 && bind_locked(vm, i, fd, false) == 0 && bind_locked(vm, i, fd, true) < 0)
			vm->route[i].fd = -1, vm->route[i].used = false;
	}
	pthread_mutex_unlock(&vm->lock);
}

/* ---- init ---- */

int kvm_irq_init(struct kvm_vm *vm, struct err *e)
{
	vm->route = xcalloc(CPU_ROUTES, sizeof(*vm->route));
	for (unsigned i = 0; i < CPU_ROUTES; i++)
		vm->route[i].fd = -1;
	if (!vm->chips)
		return 0; /* the first pin brings the table */
	int r = give_table_locked(vm);
	return r < 0 ? err_sys(e, -r, "KVM refuses the interrupt wiring") : 0;
}

void kvm_irq_fini(struct kvm_vm *vm)
{
	free(vm->route);
	free(vm->chips_reset);
}
