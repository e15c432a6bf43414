/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu.c - cpu.h over the engine that was chosen. None of this lies on an engine's own hot path. */
#include "cpu/engine.h"

const char *cpu_vm_engine(const struct cpu_vm *vm)
{
	return vm->engine->name;
}

void cpu_vm_ready(struct cpu_vm *vm)
{
	if (vm->engine->vm_ready)
		vm->engine->vm_ready(vm);
}

void cpu_vm_free(struct cpu_vm *vm)
{
	if (vm)
		vm->engine->vm_free(vm);
}

struct cpu *cpu_vm_cpu(struct cpu_vm *vm, unsigned index)
{
	return vm->engine->vm_cpu(vm, index);
}

void cpu_vm_stats(struct cpu_vm *vm, FILE *f)
{
	vm->engine->vm_stats(vm, f);
}

void cpu_vm_report(struct cpu_vm *vm, FILE *f)
{
	if (vm->engine->vm_report)
		vm->engine->vm_report(vm, f);
}

void cpu_vm_trace(struct cpu_vm *vm, unsigned mask)
{
	if (vm->engine->vm_trace)
		vm->engine->vm_trace(vm, mask);
}

enum cpu_exit cpu_run(struct cpu *c, struct err *e)
{
	return c->engine->run(c, e);
}

void cpu_stop(struct cpu *c)
{
	c->engine->stop(c);
}

void cpu_get_state(struct cpu *c, struct cpu_state *s)
{
	c->engine->get_state(c, s);
}

int cpu_set_state(struct cpu *c, const struct cpu_state *s, struct err *e)
{
	return c->engine->set_state(c, s, e);
}

void cpu_reset(struct cpu *c)
{
	c->engine->reset(c);
}

void cpu_set_intr(struct cpu *c, bool up)
{
	c->engine->set_intr(c, up);
}

void cpu_raise_nmi(struct cpu *c)
{
	c->engine->raise_nmi(c);
}

void cpu_raise_init(struct cpu *c)
{
	must(c->engine->raise_init);
	c->engine->raise_init(c);
}

void cpu_raise_sipi(struct cpu *c, u8 vector)
{
	must(c->engine->raise_sipi);
	c->engine->raise_sipi(c, vector);
}

void cpu_kick_halted(struct cpu *c)
{
	must(c->engine->kick_halted);
	c->engine->kick_halted(c);
}

u64 cpu_tsc(struct cpu *c)
{
	return c->engine->tsc(c);
}

/* ---- local APICs in the engine ---- */

bool cpu_vm_has_lapic(const struct cpu_vm *vm)
{
	return vm->engine->vm_msi;
}

void cpu_vm_msi(struct cpu_vm *vm, u64 addr, u32 data)
{
	must(vm->engine->vm_msi);
	vm->engine->vm_msi(vm, addr, data);
}

void cpu_vm_set_pin(struct cpu_vm *vm, unsigned pin, u64 addr, u32 data, bool used)
{
	must(vm->engine->vm_set_pin && pin < CPU_PINS);
	vm->engine->vm_set_pin(vm, pin, addr, data, used);
}

void cpu_lint1(struct cpu *c)
{
	must(c->engine->lint1);
	c->engine->lint1(c);
}

bool cpu_vm_has_routes(const struct cpu_vm *vm)
{
	return vm->engine->vm_route;
}

int cpu_vm_route(struct cpu_vm *vm, unsigned id, int fd, bool on, u64 addr, u32 data)
{
	must(id < CPU_ROUTES);
	return vm->engine->vm_route ? vm->engine->vm_route(vm, id, fd, on, addr, data) : -ENOTSUP;
}

bool cpu_vm_has_chips(const struct cpu_vm *vm)
{
	return vm->engine->vm_wire;
}

void cpu_vm_wire(struct cpu_vm *vm, unsigned gsi, bool level)
{
	must(vm->engine->vm_wire);
	vm->engine->vm_wire(vm, gsi, level);
}

void cpu_vm_get_board(struct cpu_vm *vm, struct board_state *b)
{
	vm->engine->vm_get_board(vm, b);
}

int cpu_vm_set_board(struct cpu_vm *vm, const struct board_state *b, struct err *e)
{
	return vm->engine->vm_set_board(vm, b, e);
}

int cpu_vm_commit_ram(struct cpu_vm *vm, struct err *e)
{
	return vm->engine->vm_commit_ram(vm, e);
}

int cpu_vm_dirty_start(struct cpu_vm *vm, enum cpu_log who, u64 off, u64 bytes, struct err *e)
{
	return vm->engine->vm_dirty_start(vm, who, off, bytes, e);
}

int cpu_vm_dirty_collect(struct cpu_vm *vm, enum cpu_log who, u64 *bitmap, struct err *e)
{
	return vm->engine->vm_dirty_collect(vm, who, bitmap, e);
}

void cpu_vm_dirty_stop(struct cpu_vm *vm, enum cpu_log who)
{
	vm->engine->vm_dirty_stop(vm, who);
}

bool cpu_vm_has_doorbells(const struct cpu_vm *vm)
{
	return vm->engine->vm_doorbell;
}

int cpu_vm_doorbell(struct cpu_vm *vm, gpa_t gpa, unsigned bytes, int fd, bool on)
{
	return vm->engine->vm_doorbell ? vm->engine->vm_doorbell(vm, gpa, bytes, fd, on) : -ENOTSUP;
}

int cpu_vm_latch(struct cpu_vm *vm, bool pio, u64 at, unsigned bytes, bool on)
{
	return vm->engine->vm_latch ? vm->engine->vm_latch(vm, pio, at, bytes, on) : -ENOTSUP;
}
