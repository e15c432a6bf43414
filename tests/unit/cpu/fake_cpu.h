/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fake_cpu.h - vCPUs that only remember what the chips told them: the engine's side of cpu.h. */
#ifndef MICA_FAKE_CPU_H
#define MICA_FAKE_CPU_H

#include "base/clock.h"
#include "cpu/cpu.h"

struct cpu {
	_Atomic bool intr; /* the loop raises it, too */
	_Atomic unsigned nmis, inits, sipis, kicks;
	_Atomic u8 sipi_vector;
	s64 tsc_offset;
};

void cpu_set_intr(struct cpu *c, bool up)
{
	c->intr = up;
}
void cpu_raise_nmi(struct cpu *c)
{
	c->nmis++;
}
void cpu_raise_init(struct cpu *c)
{
	c->inits++;
}
void cpu_raise_sipi(struct cpu *c, u8 vector)
{
	c->sipis++;
	c->sipi_vector = vector;
}
void cpu_kick_halted(struct cpu *c)
{
	c->kicks++;
}
u64 cpu_tsc(struct cpu *c)
{
	return clock_tsc() + (u64)c->tsc_offset;
}

/* An engine that leaves the local APICs to the machine and has no doorbells. */
bool cpu_vm_has_lapic(const struct cpu_vm *vm)
{
	return false;
}
bool cpu_vm_has_doorbells(const struct cpu_vm *vm)
{
	return false;
}
bool cpu_vm_has_routes(const struct cpu_vm *vm)
{
	return false;
}
bool cpu_vm_has_chips(const struct cpu_vm *vm)
{
	return false;
}
void cpu_vm_wire(struct cpu_vm *vm, unsigned gsi, bool level)
{
	must(!"no engine's chips here");
}
int cpu_vm_latch(struct cpu_vm *vm, bool pio, u64 at, unsigned bytes, bool on)
{
	return -ENOTSUP;
}
int cpu_vm_route(struct cpu_vm *vm, unsigned id, int fd, bool on, u64 addr, u32 data)
{
	return -ENOTSUP;
}
void cpu_vm_msi(struct cpu_vm *vm, u64 addr, u32 data)
{
	must(!"no engine's APIC here");
}
void cpu_vm_set_pin(struct cpu_vm *vm, unsigned pin, u64 addr, u32 data, bool used)
{
	must(!"no engine's APIC here");
}
void cpu_lint1(struct cpu *c)
{
	must(!"no engine's APIC here");
}
int cpu_vm_doorbell(struct cpu_vm *vm, gpa_t gpa, unsigned bytes, int fd, bool on)
{
	return -ENOTSUP;
}

void cpu_vm_get_board(struct cpu_vm *vm, struct board_state *b)
{
}
int cpu_vm_set_board(struct cpu_vm *vm, const struct board_state *b, struct err *e)
{
	return 0;
}

#endif
