/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic.c - the local APIC: registers by memory (xAPIC) and by MSR (x2APIC), priorities, EOI.
 *
 * Theory of operation: an interrupt travels IRR -> (intr_ack) ISR -> (EOI) gone. The INTR line to the
 * vCPU is up exactly while the highest IRR vector's class is above PPR's, or the 8259s ask through
 * LINT0 in ExtINT mode (or with the APIC off). lapic_update_locked() recomputes it after every change.
 * cpu_set_intr() is called under the APIC's lock, so that the vCPU sees ups and downs in their order.
 */
#include "machine/lapic_int.h"

#include "machine/layout.h"

#define LAPIC_VERSION (0x14 | (LVT_COUNT - 1) << 16)

/* Register numbers: offset >> 4 in the page, and the MSR less 0x800 */
enum reg {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TPR = 0x08,
	REG_APR = 0x09,
	REG_PPR = 0x0a,
	REG_EOI = 0x0b,
	REG_RRD = 0x0c,
	REG_LDR = 0x0d,
	REG_DFR = 0x0e,
	REG_SVR = 0x0f,
	REG_ISR = 0x10,
	REG_TMR = 0x18,
	REG_IRR = 0x20,
	REG_ESR = 0x28,
	REG_ICR = 0x30,
	REG_ICR_HI = 0x31,
	REG_LVT = 0x32, /* .. 0x37 in the order of enum lvt */
	REG_TIMER_INIT = 0x38,
	REG_TIMER_COUNT = 0x39,
	REG_TIMER_DIVIDE = 0x3e,
	REG_SELF_IPI = 0x3f,
};

static const u32 lvt_writable[LVT_COUNT] = {
	[LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};
#define LVT_READ_ONLY 0x5000u /* delivery status, remote IRR: writes are ignored */

/* ---- 256-bit registers ---- */

static int highest(const u64 w[4])
{
	for (int i = 3; i >= 0; i--) {
		if (w[i])
			return i * 64 + 63 - __builtin_clzll(w[i]);
	}
	return -1;
}

static void bit_set(u64 w[4], u8 v)
{
	w[v / 64] |= 1ull << (v % 64);
}

static void bit_clear(u64 w[4], u8 v)
{
	w[v / 64] &= ~(1ull << (v % 64));
}

static bool bit_get(const u64 w[4], u8 v)
{
	return (w[v / 64] >> (v % 64)) & 1;
}

static u32 word32(const u64 w[4], unsigned i)
{
	return (u32)(w[i / 2] >> (32 * (i % 2)));
}

/* ---- the interrupt line ---- */

static bool extint(const struct lapic *l)
{
	if (l->index != 0 || !SHARED_GET(l->bank->lint0))
		return false;
	if (!lapic_hw_enabled(l))
		return true;
	return !(l->lvt[LVT_LINT0] & LVT_MASKED) && LVT_MODE(l->lvt[LVT_LINT0]) == LAPIC_EXTINT;
}

/* The vector to take next, or -1. */
static int deliverable(const struct lapic *l)
{
	int v = lapic_hw_enabled(l) ? highest(l->irr) : -1;

	return v >= 0 && (v & 0xf0) > (int)(l->ppr & 0xf0) ? v : -1;
}

void lapic_update_locked(struct lapic *l)
{
	int isr = highest(l->isr);
	u32 in_service = isr < 0 ? 0 : (u32)isr & 0xf0;

	SHARED_SET(l->ppr, (l->tpr & 0xf0) >= in_service ? l->tpr : in_service); /* SDM 3A 11.8.3.1 */
	bool up = deliverable(l) >= 0 || extint(l);
	if (up != l->up && l->cpu) {
		l->up = up;
		cpu_set_intr(l->cpu, up);
	}
}

void lapic_accept_locked(struct lapic *l, u8 vector, bool level)
{
	if (vector < 16)
		return;
	if (level)
		bit_set(l->tmr, vector);
	else
		bit_clear(l->tmr, vector);
	bit_set(l->irr, vector);
	lapic_update_locked(l);
}

void lapic_error_locked(struct lapic *l, u32 esr_bit)
{
	bool was = l->esr_new & esr_bit;

	l->esr_new |= esr_bit;
	if (!was && !(l->lvt[LVT_ERROR] & LVT_MASKED))
		lapic_accept_locked(l, (u8)l->lvt[LVT_ERROR], false);
}

int lapic_intr_ack(struct lapics *b, unsigned cpu)
{
	struct lapic *l = &b->l[cpu];

	pthread_mutex_lock(&l->lock);
	if (extint(l)) {
		pthread_mutex_unlock(&l->lock);
		int v = b->hooks.pic_ack(b->hooks.opaque);
		if (v >= 0)
			return v;
		pthread_mutex_lock(&l->lock);
	}
	int v = deliverable(l);
	if (v >= 0) {
		bit_clear(l->irr, (u8)v);
		bit_set(l->isr, (u8)v);
	}
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
	return v;
}

/* The vector the I/O APIC must hear of, or -1. */
static int eoi_locked(struct lapic *l)
{
	int v = highest(l->isr);

	if (v < 0)
		return -1;
	bit_clear(l->isr, (u8)v);
	lapic_update_locked(l);
	return bit_get(l->tmr, (u8)v) ? v : -1;
}

u8 lapic_tpr_get(struct lapics *b, unsigned cpu)
{
	struct lapic *l = &b->l[cpu];

	pthread_mutex_lock(&l->lock);
	u8 v = (u8)(l->tpr >> 4);
	pthread_mutex_unlock(&l->lock);
	return v;
}

void lapic_tpr_set(struct lapics *b, unsigned cpu, u8 cr8)
{
	struct lapic *l = &b->l[cpu];

	pthread_mutex_lock(&l->lock);
	l->tpr = (u32)(cr8 & 0xf) << 4;
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
}

/* ---- registers ---- */

static u32 x2apic_ldr(const struct lapic *l)
{
	return (l->index >> 4) << 16 | 1u << (l->index & 15);
}

/* The part both faces share. False: no such register. */
static bool reg_read_locked(struct lapic *l, unsigned reg, u32 *val)
{
	switch (reg) {
	case REG_ID:
		*val = lapic_x2apic(l) ? l->index : l->index << 24;
		return true;
	case REG_VERSION:
		*val = LAPIC_VERSION;
		return true;
	case REG_TPR:
		*val = l->tpr;
		return true;
	case REG_PPR:
		*val = l->ppr;
		return true;
	case REG_LDR:
		*val = l->ldr;
		return true;
	case REG_SVR:
		*val = l->svr;
		return true;
	case REG_ISR ... REG_ISR + 7:
		*val = word32(l->isr, reg - REG_ISR);
		return true;
	case REG_TMR ... REG_TMR + 7:
		*val = word32(l->tmr, reg - REG_TMR);
		return true;
	case REG_IRR ... REG_IRR + 7:
		*val = word32(l->irr, reg - REG_IRR);
		return true;
	case REG_ESR:
		*val = l->esr;
		return true;
	case REG_ICR:
		*val = l->icr_lo;
		return true;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		*val = l->lvt[reg - REG_LVT];
		return true;
	case REG_TIMER_INIT:
		*val = l->init_count;
		return true;
	case REG_TIMER_COUNT:
		*val = lapic_timer_count_locked(l);
		return true;
	case REG_TIMER_DIVIDE:
		*val = l->divide;
		return true;
	}
	return false;
}

static void lvt_write_locked(struct lapic *l, enum lvt i, u32 val)
{
	val &= lvt_writable[i];
	if (!(l->svr & SVR_ENABLE))
		val |= LVT_MASKED; /* SDM 3A 11.4.7.2 */
	if (i == LVT_TIMER)
		lapic_timer_set_lvt_locked(l, val);
	else
		l->lvt[i] = val;
	lapic_update_locked(l); /* LINT0 may have opened for the 8259s */
}

static void svr_write_locked(struct lapic *l, u32 val)
{
	SHARED_SET(l->svr, val & 0x1ff);
	if (!(val & SVR_ENABLE)) {
		for (enum lvt i = 0; i < LVT_COUNT; i++)
			lvt_write_locked(l, i, l->lvt[i]);
	}
}

/* What a write leaves to be done without the lock. */
struct after {
	int eoi; /* vector or -1 */
	bool ipi;
	u32 icr_lo, dest;
};

/* False: no such register, or not writable. */
static bool reg_write_locked(struct lapic *l, unsigned reg, u32 val, struct after *a)
{
	switch (reg) {
	case REG_TPR:
		l->tpr = val & 0xff;
		lapic_update_locked(l);
		return true;
	case REG_EOI:
		a->eoi = eoi_locked(l);
		return true;
	case REG_SVR:
		svr_write_locked(l, val);
		return true;
	case REG_ESR:
		l->esr = l->esr_new;
		l->esr_new = 0;
		return true;
	case REG_ICR:
		l->icr_lo = val & 0xccfff;
		a->ipi = true;
		a->icr_lo = l->icr_lo;
		a->dest = lapic_x2apic(l) ? l->icr_hi : l->icr_hi >> 24;
		return true;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		lvt_write_locked(l, (enum lvt)(reg - REG_LVT), val);
		return true;
	case REG_TIMER_INIT:
		lapic_timer_set_init_locked(l, val);
		return true;
	case REG_TIMER_DIVIDE:
		lapic_timer_set_divide_locked(l, val);
		return true;
	}
	return false;
}

static void finish(struct lapic *l, const struct after *a)
{
	if (a->eoi >= 0)
		l->bank->hooks.eoi(l->bank->hooks.opaque, (u8)a->eoi);
	if (a->ipi)
		lapic_send_ipi(l, a->icr_lo, a->dest);
}

/* ---- xAPIC ---- */

bool lapic_mmio_read(struct lapics *b, unsigned cpu, unsigned off, unsigned bytes, u64 *val)
{
	struct lapic *l = &b->l[cpu];
	unsigned reg = off >> 4, in = off & 15;
	u32 v = 0;

	pthread_mutex_lock(&l->lock);
	if (!lapic_hw_enabled(l) || lapic_x2apic(l)) {
		pthread_mutex_unlock(&l->lock);
		return false;
	}
	if (reg == REG_DFR)
		v = l->dfr;
	else if (reg == REG_ICR_HI)
		v = l->icr_hi;
	else if (reg != REG_APR && reg != REG_RRD && reg != REG_EOI && !reg_read_locked(l, reg, &v))
		lapic_error_locked(l, ESR_BAD_REGISTER);
	pthread_mutex_unlock(&l->lock);
	/* Only aligned dwords are architectural; the rest of the 16 bytes reads as zeros. */
	*val = in < 4 ? v >> (8 * in) : 0;
	if (bytes < 4)
		*val &= (1u << (8 * bytes)) - 1;
	return true;
}

bool lapic_mmio_write(struct lapics *b, unsigned cpu, unsigned off, unsigned bytes, u64 val64)
{
	struct lapic *l = &b->l[cpu];
	struct after a = { .eoi = -1 };
	unsigned reg = off >> 4;
	u32 val = (u32)val64;

	pthread_mutex_lock(&l->lock);
	if (!lapic_hw_enabled(l) || lapic_x2apic(l)) {
		pthread_mutex_unlock(&l->lock);
		return false;
	}
	if ((off & 15) == 0 && bytes >= 4) {
		if (reg == REG_LDR)
			SHARED_SET(l->ldr, val & 0xff000000);
		else if (reg == REG_DFR)
			SHARED_SET(l->dfr, val | 0x0fffffff);
		else if (reg == REG_ICR_HI)
			l->icr_hi = val & 0xff000000;
		else if (reg != REG_ID && reg != REG_SELF_IPI && !reg_write_locked(l, reg, val, &a))
			lapic_error_locked(l, ESR_BAD_REGISTER);
	}
	pthread_mutex_unlock(&l->lock);
	finish(l, &a);
	return true;
}

/* ---- MSRs ---- */

/* Mode changes of table 11-5; everything else about the register is fixed. */
static bool base_write_locked(struct lapic *l, u64 val)
{
	u64 mode = val & (APIC_BASE_EN | APIC_BASE_EXTD), old = l->base & (APIC_BASE_EN | APIC_BASE_EXTD);

	if ((val & ~(u64)(APIC_BASE_EN | APIC_BASE_EXTD | APIC_BASE_BSP)) != LAYOUT_LAPIC)
		return false; /* reserved bits; and the page does not move on this board */
	if (mode == APIC_BASE_EXTD)
		return false;
	if (old == 0 && (mode & APIC_BASE_EXTD))
		return false;
	if ((old & APIC_BASE_EXTD) && mode == APIC_BASE_EN)
		return false;
	if (mode == old)
		return true;
	if (mode == 0) {
		lapic_power_on_locked(l, true);
		SHARED_SET(l->ldr, 0); /* it comes back as an xAPIC */
	} else if (mode & APIC_BASE_EXTD) {
		SHARED_SET(l->ldr, x2apic_ldr(l));
		l->icr_hi = 0;
	}
	SHARED_SET(l->base, (l->base & ~(u64)(APIC_BASE_EN | APIC_BASE_EXTD)) | mode);
	lapic_update_locked(l);
	return true;
}

static bool x2apic_read_locked(struct lapic *l, unsigned reg, u64 *val)
{
	u32 v;

	if (!lapic_x2apic(l) || reg == REG_EOI || reg == REG_SELF_IPI)
		return false;
	if (reg == REG_ICR) {
		*val = (u64)l->icr_hi << 32 | l->icr_lo;
		return true;
	}
	if (!reg_read_locked(l, reg, &v))
		return false;
	*val = v;
	return true;
}

/* Bits of an x2APIC register that may be ones in a write; all others are #GP. */
static u64 x2apic_mask(unsigned reg)
{
	switch (reg) {
	case REG_TPR:
		return 0xff;
	case REG_SVR:
		return 0x1ff;
	case REG_ICR:
		return 0xffffffff000cdfff;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		return lvt_writable[reg - REG_LVT] | LVT_READ_ONLY;
	case REG_TIMER_INIT:
		return 0xffffffff;
	case REG_TIMER_DIVIDE:
		return 0xb;
	case REG_SELF_IPI:
		return 0xff;
	}
	return 0; /* EOI, ESR */
}

static bool x2apic_write_locked(struct lapic *l, unsigned reg, u64 val, struct after *a)
{
	if (!lapic_x2apic(l) || (val & ~x2apic_mask(reg)))
		return false;
	if (reg == REG_SELF_IPI) {
		a->ipi = true;
		a->icr_lo = (u32)val | 1u << 18; /* as ICR: fixed, to self */
		return true;
	}
	if (reg == REG_ICR)
		l->icr_hi = (u32)(val >> 32);
	return reg_write_locked(l, reg, (u32)val, a);
}

bool lapic_msr_read(struct lapics *b, unsigned cpu, u32 msr, u64 *val)
{
	struct lapic *l = &b->l[cpu];
	bool ok = true;

	pthread_mutex_lock(&l->lock);
	switch (msr) {
	case MSR_IA32_APIC_BASE:
		*val = l->base;
		break;
	case MSR_IA32_TSC_DEADLINE:
		lapic_timer_poll_locked(l);
		*val = l->tsc_deadline;
		break;
	default:
		ok = msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST &&
		     x2apic_read_locked(l, msr - MSR_X2APIC_FIRST, val);
	}
	pthread_mutex_unlock(&l->lock);
	return ok;
}

bool lapic_msr_write(struct lapics *b, unsigned cpu, u32 msr, u64 val)
{
	struct lapic *l = &b->l[cpu];
	struct after a = { .eoi = -1 };
	bool ok = true;

	pthread_mutex_lock(&l->lock);
	switch (msr) {
	case MSR_IA32_APIC_BASE:
		ok = base_write_locked(l, val);
		break;
	case MSR_IA32_TSC_DEADLINE:
		lapic_timer_set_tsc_locked(l, val);
		break;
	default:
		ok = msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST &&
		     x2apic_write_locked(l, msr - MSR_X2APIC_FIRST, val, &a);
	}
	pthread_mutex_unlock(&l->lock);
	finish(l, &a);
	return ok;
}

/* ---- wires ---- */

/* A local pin went up: what its LVT entry makes of it. */
static void pin_edge_locked(struct lapic *l, enum lvt pin)
{
	u32 lvt = l->lvt[pin];

	if (!lapic_hw_enabled(l) || (lvt & LVT_MASKED))
		return;
	if (LVT_MODE(lvt) == LAPIC_FIXED)
		lapic_accept_locked(l, (u8)lvt, false);
	else if (LVT_MODE(lvt) == LAPIC_NMI && l->cpu)
		cpu_raise_nmi(l->cpu);
}

void lapic_lint0(struct lapics *b, bool level)
{
	struct lapic *l = &b->l[0];

	pthread_mutex_lock(&l->lock);
	bool rose = level && !b->lint0;
	SHARED_SET(b->lint0, level);
	if (rose)
		pin_edge_locked(l, LVT_LINT0);
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void lapic_lint1(struct lapics *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		pthread_mutex_lock(&b->l[i].lock);
		pin_edge_locked(&b->l[i], LVT_LINT1);
		pthread_mutex_unlock(&b->l[i].lock);
	}
}

/* ---- life ---- */

/* SDM 3A 11.4.7.1; INIT keeps IA32_APIC_BASE and the id (11.4.7.3). */
void lapic_power_on_locked(struct lapic *l, bool init)
{
	if (!init) {
		SHARED_SET(l->base, LAYOUT_LAPIC | APIC_BASE_EN | (l->index == 0 ? APIC_BASE_BSP : 0));
		l->parked = false;
	}
	memset(l->irr, 0, sizeof(l->irr));
	memset(l->isr, 0, sizeof(l->isr));
	memset(l->tmr, 0, sizeof(l->tmr));
	l->tpr = 0;
	SHARED_SET(l->ldr, lapic_x2apic(l) ? x2apic_ldr(l) : 0);
	SHARED_SET(l->dfr, UINT32_MAX);
	SHARED_SET(l->svr, 0xff);
	l->icr_lo = l->icr_hi = 0;
	l->esr = l->esr_new = 0;
	for (enum lvt i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	/* No firmware runs before the kernel: the boot processor starts in virtual-wire mode, as
	 * firmware would leave it (MultiProcessor Specification 3.6.2.2). */
	if (l->index == 0)
		l->lvt[LVT_LINT0] = LAPIC_EXTINT << 8;
	l->divide = 0;
	lapic_timer_stop_locked(l);
	lapic_timer_program_locked(l);
	lapic_update_locked(l);
}

void lapic_reset(struct lapics *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct lapic *l = &b->l[i];

		pthread_mutex_lock(&l->lock);
		lapic_power_on_locked(l, false);
		if (l->cpu)
			cpu_set_intr(l->cpu, l->up); /* whatever cpu_reset() made of it */
		pthread_mutex_unlock(&l->lock);
	}
}

struct lapics *lapic_new(struct loop *loop, unsigned ncpus, const struct lapic_hooks *hooks)
{
	struct lapics *b = xcalloc(1, sizeof(*b));

	must(ncpus >= 1 && ncpus <= CPU_MAX);
	b->hooks = *hooks;
	b->loop = loop;
	b->n = ncpus;
	for (unsigned i = 0; i < ncpus; i++) {
		struct lapic *l = &b->l[i];

		pthread_mutex_init(&l->lock, NULL);
		l->bank = b;
		l->index = i;
		loop_timer_init(loop, &l->timer, lapic_timer_fired, l);
	}
	lapic_reset(b);
	return b;
}

void lapic_attach(struct lapics *b, unsigned cpu, struct cpu *c)
{
	struct lapic *l = &b->l[cpu];

	must(cpu < b->n);
	pthread_mutex_lock(&l->lock);
	l->cpu = c;
	lapic_update_locked(l);
	pthread_mutex_unlock(&l->lock);
}

void lapic_free(struct lapics *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < b->n; i++) {
		loop_timer_fini(&b->l[i].timer);
		pthread_mutex_destroy(&b->l[i].lock);
	}
	free(b);
}
