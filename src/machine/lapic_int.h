/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lapic_int.h - what lapic.c, lapic_regs.c, lapic_timer.c and lapic_msg.c share. */
#ifndef MICA_LAPIC_INT_H
#define MICA_LAPIC_INT_H

#include "machine/lapic.h"

#include <pthread.h>

#define APIC_BASE_BSP (1u << 8)
#define APIC_BASE_EXTD (1u << 10)
#define APIC_BASE_EN (1u << 11)
#define APIC_BASE_PAGE 0x3ffffffff000ull /* as wide as CPUID 80000008H tells physical addresses are */

#define SVR_ENABLE (1u << 8)
#define LVT_MASKED (1u << 16)
#define LVT_MODE(lvt) ((enum lapic_mode)(((lvt) >> 8) & 7))

#define ESR_SEND_ILLEGAL (1u << 5)
#define ESR_RECV_ILLEGAL (1u << 6)
#define ESR_BAD_REGISTER (1u << 7)

enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
enum timer_mode { TIMER_ONESHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE, TIMER_RESERVED };

struct lapic {
	pthread_mutex_t lock;
	struct lapics *bank;
	unsigned index; /* and APIC id */
	struct cpu *cpu;

	/* Under lock; base, ldr, dfr and ppr are also read without it to choose destinations. */
	u64 base;
	u32 tpr, ppr, ldr, dfr, svr, icr_hi, icr_lo;
	u32 esr, esr_new; /* what the guest reads; what has gathered since it last wrote */
	u32 lvt[LVT_COUNT];
	u64 irr[4], isr[4], tmr[4];
	bool up; /* what cpu_set_intr() was last told */

	/* Timer, under lock */
	struct loop_timer timer;
	u32 init_count, divide;
	u64 deadline_ns;  /* UINT64_MAX: not counting */
	u64 period_ns;    /* init_count * divisor */
	u64 tsc_deadline; /* 0: none */
	bool parked;      /* the vCPU's own sleep ends at deadline_ns; the loop's timer is off */
};

struct lapics {
	struct lapic_hooks hooks;
	struct loop *loop;
	struct cpu_vm *engine; /* whose local APICs there are in place of these; NULL: none */
	unsigned n;
	unsigned next; /* where the search for a lowest-priority destination begins */
	bool lint0;
	struct lapic l[CPU_MAX];
};

#define SHARED_SET(lv, v) __atomic_store_n(&(lv), (v), __ATOMIC_RELAXED)
#define SHARED_GET(lv) __atomic_load_n(&(lv), __ATOMIC_RELAXED)

static inline bool lapic_hw_enabled(const struct lapic *l)
{
	return SHARED_GET(l->base) & APIC_BASE_EN;
}
static inline bool lapic_x2apic(const struct lapic *l)
{
	return SHARED_GET(l->base) & APIC_BASE_EXTD;
}
static inline enum timer_mode lapic_timer_mode(const struct lapic *l)
{
	return (enum timer_mode)((l->lvt[LVT_TIMER] >> 17) & 3);
}

/* SDM 3A 11.12.10.2: clusters of 16 by id */
static inline u32 lapic_x2apic_ldr(const struct lapic *l)
{
	return (l->index >> 4) << 16 | 1u << (l->index & 15);
}

/* lapic.c; all with l->lock held */
void lapic_update_locked(struct lapic *l);                        /* PPR and the INTR line from the rest */
void lapic_accept_locked(struct lapic *l, u8 vector, bool level); /* a fixed interrupt; calls update */
void lapic_error_locked(struct lapic *l, u32 esr_bit);
int lapic_eoi_locked(struct lapic *l); /* the vector the I/O APIC must hear of, or -1 */
void lapic_power_on_locked(struct lapic *l, bool init);

/* lapic_timer.c; all with l->lock held */
void lapic_timer_fired(void *lapic);              /* the loop's callback: takes the lock itself */
void lapic_timer_poll_locked(struct lapic *l);    /* raise what is due */
void lapic_timer_program_locked(struct lapic *l); /* after a change: (dis)arm the loop's timer */
void lapic_timer_stop_locked(struct lapic *l);
void lapic_timer_set_init_locked(struct lapic *l, u32 count);
void lapic_timer_set_divide_locked(struct lapic *l, u32 divide);
void lapic_timer_set_lvt_locked(struct lapic *l, u32 lvt);
void lapic_timer_set_tsc_locked(struct lapic *l, u64 tsc);
u32 lapic_timer_count_locked(struct lapic *l);
struct lapic_state;
void lapic_timer_resume_locked(struct lapic *l, const struct lapic_state *st); /* LVTs are set */
u32 lapic_lvt_sane(enum lvt i, u32 val); /* lapic_regs.c: bits that an LVT register can hold */

/* lapic_msg.c; no lock held */
void lapic_send_ipi(struct lapic *from, u32 icr_lo, u32 dest);

#endif
