/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lapic_regs.c - the local APIC's registers: by memory (xAPIC) and by MSR (x2APIC), and IA32_APIC_BASE.
 *
 * What a write asks of others (EOI to the I/O APIC, an IPI) is noted in struct after and done when the
 * APIC's lock is dropped.
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

static u32 word32(const u64 w[4], unsigned i)
{
	return (u32)(w[i / 2] >> (32 * (i % 2)));
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

u32 lapic_lvt_sane(enum lvt i, u32 val)
{
	return val & lvt_writable[i];
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
		a->eoi = lapic_eoi_locked(l);
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

gpa_t lapic_page(const struct lapics *b, unsigned cpu)
{
	return SHARED_GET(b->l[cpu].base) & APIC_BASE_PAGE;
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

/* Mode changes of table 11-5; the processor's own page goes wherever it is put (11.4.5). RAM hides it there. */
static bool base_write_locked(struct lapic *l, u64 val)
{
	u64 mode = val & (APIC_BASE_EN | APIC_BASE_EXTD), old = l->base & (APIC_BASE_EN | APIC_BASE_EXTD);

	if (val & ~(APIC_BASE_PAGE | APIC_BASE_EN | APIC_BASE_EXTD | APIC_BASE_BSP))
		return false;
	if (mode == APIC_BASE_EXTD)
		return false;
	if (old == 0 && (mode & APIC_BASE_EXTD))
		return false;
	if ((old & APIC_BASE_EXTD) && mode == APIC_BASE_EN)
		return false;
	SHARED_SET(l->base, (l->base & ~APIC_BASE_PAGE) | (val & APIC_BASE_PAGE));
	if (mode == old)
		return true;
	if (mode == 0) {
		lapic_power_on_locked(l, true);
		SHARED_SET(l->ldr, 0); /* it comes back as an xAPIC */
	} else if (mode & APIC_BASE_EXTD) {
		SHARED_SET(l->ldr, lapic_x2apic_ldr(l));
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
