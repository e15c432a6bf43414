/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_engine_devices.c - what is around the vCPUs of a random machine: whatever they ask for is answered with noise,
 * and brings an interrupt, an NMI, INIT, SIPI, or a device that writes to memory.
 */
#include "fake_bus.h"
#include "fuzz_engine.h"

#define EVENTS 400 /* of a vCPU, before it is stopped */

static u64 event(struct fuzz *f, unsigned cpu)
{
	u64 v = xorshift(&f->cpu_seed[cpu]);
	struct cpu *c = cpu_vm_cpu(f->vm, cpu), *o = cpu_vm_cpu(f->vm, (unsigned)(v >> 60) % f->ncpus);

	if (++f->events[cpu] % EVENTS == 0)
		cpu_stop(c);
	switch (v >> 32 & 127) {
	case 0:
	case 1:
	case 2:
	case 3:
		cpu_set_intr(o, true);
		break;
	case 4:
		cpu_set_intr(o, false);
		break;
	case 5:
		cpu_raise_nmi(o);
		break;
	case 6:
		cpu_kick_halted(o);
		break;
	case 7:
		if (!(v >> 40 & 15))
			cpu_raise_init(o);
		break;
	case 8:
		cpu_raise_sipi(o, (u8)(AT_CODE >> 12));
		break;
	case 9:
	case 10: { /* DMA, often to code */
		u8 b[64];
		memset(b, (int)v, sizeof(b));
		gpa_t at = ((v >> 45 & 1 ? AT_CODE : 0) + (v >> 8 & 0x3ffff)) % RAM_BYTES;
		if (!f->threads) /* else it would race with guest code, as DMA does */
			ram_put(&f->ram, at, b, MIN(sizeof(b), RAM_BYTES - at));
		break;
	}
	default:
		break;
	}
	return xorshift(&f->cpu_seed[cpu]);
}

static u64 mmio_read(void *o, unsigned cpu, gpa_t gpa, unsigned bytes)
{
	return event(o, cpu);
}
static void mmio_write(void *o, unsigned cpu, gpa_t gpa, unsigned bytes, u64 v)
{
	event(o, cpu);
}
static u32 pio_read(void *o, unsigned cpu, u16 port, unsigned bytes)
{
	return (u32)event(o, cpu);
}
static void pio_write(void *o, unsigned cpu, u16 port, unsigned bytes, u32 v)
{
	event(o, cpu);
}
static int intr_ack(void *o, unsigned cpu)
{
	struct fuzz *f = o;
	u64 v = event(f, cpu);

	cpu_set_intr(cpu_vm_cpu(f->vm, cpu), !(v & 7));
	return v & 0x300 ? (int)(v & 0xff) : -1;
}
static bool msr_read(void *o, unsigned cpu, u32 msr, u64 *v)
{
	*v = event(o, cpu);
	return *v & 1;
}
static bool msr_write(void *o, unsigned cpu, u32 msr, u64 v)
{
	return event(o, cpu) & 1;
}
static u8 tpr_get(void *o, unsigned cpu)
{
	return ((struct fuzz *)o)->tpr[cpu];
}
static void tpr_set(void *o, unsigned cpu, u8 tpr)
{
	((struct fuzz *)o)->tpr[cpu] = tpr & 15;
}
static s64 hypercall(void *o, unsigned cpu, u64 nr, const u64 arg[4])
{
	return (s64)event(o, cpu);
}
static u64 park(void *o, unsigned cpu)
{
	u64 v = event(o, cpu);

	if (v & 0x8000) /* its timer */
		cpu_set_intr(cpu_vm_cpu(((struct fuzz *)o)->vm, cpu), true);
	return 0;
}
static void unpark(void *o, unsigned cpu)
{
	event(o, cpu);
}

struct cpu_bus noisy_bus(struct fuzz *f)
{
	return (struct cpu_bus){ FAKE_BUS,
				 .opaque = f,
				 .mmio_read = mmio_read,
				 .mmio_write = mmio_write,
				 .pio_read = pio_read,
				 .pio_write = pio_write,
				 .intr_ack = intr_ack,
				 .msr_read = msr_read,
				 .msr_write = msr_write,
				 .tpr_get = tpr_get,
				 .tpr_set = tpr_set,
				 .hypercall = hypercall,
				 .park = park,
				 .unpark = unpark };
}
