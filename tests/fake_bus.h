/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake_bus.h - the machine's side of cpu.h for tests of engines: a board with nothing on it. Reads give all ones,
 *writes are lost, no interrupt waits, no MSR is known, nothing ends a sleep but cpu_stop(). A test writes
 *
 *	static struct cpu_bus bus = { FAKE_BUS, .pio_write = pio_write };
 *
 * with what it wants otherwise.
 */
#ifndef MICA_FAKE_BUS_H
#define MICA_FAKE_BUS_H

#include "cpu/cpu.h"

#pragma GCC diagnostic ignored "-Woverride-init"

static inline u64 fake_mmio_read(void *o, unsigned cpu, gpa_t gpa, unsigned bytes)
{
	return ~0ull;
}
static inline void fake_mmio_write(void *o, unsigned cpu, gpa_t gpa, unsigned bytes, u64 v)
{
}
static inline u32 fake_pio_read(void *o, unsigned cpu, u16 port, unsigned bytes)
{
	return ~0u;
}
static inline void fake_pio_write(void *o, unsigned cpu, u16 port, unsigned bytes, u32 v)
{
}
static inline int fake_intr_ack(void *o, unsigned cpu)
{
	return -1;
}
static inline bool fake_msr_read(void *o, unsigned cpu, u32 msr, u64 *v)
{
	return false;
}
static inline bool fake_msr_write(void *o, unsigned cpu, u32 msr, u64 v)
{
	return false;
}
static inline u8 fake_tpr_get(void *o, unsigned cpu)
{
	return 0;
}
static inline void fake_tpr_set(void *o, unsigned cpu, u8 tpr)
{
}
static inline s64 fake_hypercall(void *o, unsigned cpu, u64 nr, const u64 arg[4])
{
	return -1000; /* -KVM_ENOSYS */
}
static inline u64 fake_park(void *o, unsigned cpu)
{
	return UINT64_MAX;
}
static inline void fake_unpark(void *o, unsigned cpu)
{
}

#define FAKE_BUS \
	.mmio_read = fake_mmio_read, .mmio_write = fake_mmio_write, .pio_read = fake_pio_read, \
	.pio_write = fake_pio_write, .intr_ack = fake_intr_ack, .msr_read = fake_msr_read, \
	.msr_write = fake_msr_write, .tpr_get = fake_tpr_get, .tpr_set = fake_tpr_set, .hypercall = fake_hypercall, \
	.park = fake_park, .unpark = fake_unpark

#endif
