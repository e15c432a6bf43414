/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtc.c - the real-time clock (Motorola MC146818A data sheet).
 *
 * Theory of operation: the guest's time is the host's plus an offset that moves when the guest sets
 * the clock. Registers are computed when read; what happened between two looks (update, alarm,
 * periodic tick) is found by comparing their times, so a clock nobody listens to costs nothing. Only
 * enabled interrupts put a timer into the event loop, and only while their flags are down; fast ones merge (tick.h).
 * While SET (B bit 7) is on, time stands still in
 * the register bytes; when it goes off, they become the time.
 */
#include "machine/rtc.h"

#include "base/clock.h"
#include "base/state.h"
#include "machine/layout.h"
#include "machine/tick.h"

#include <pthread.h>

enum reg {
	R_SEC,
	R_SEC_ALARM,
	R_MIN,
	R_MIN_ALARM,
	R_HOUR,
	R_HOUR_ALARM,
	R_WDAY,
	R_MDAY,
	R_MON,
	R_YEAR,
	R_A,
	R_B,
	R_C,
	R_D,
	R_CENTURY = 0x32 /* what FADT's CENTURY names */
};

#define A_UIP 0x80
#define B_SET 0x80
#define B_24H 0x02
#define B_BINARY 0x04
#define IRQ_PERIODIC 0x40
#define IRQ_ALARM 0x20
#define IRQ_UPDATE 0x10
#define C_IRQF 0x80
#define UIP_NS 244000u /* how long before an update UIP warns */

struct rtc {
	pthread_mutex_t lock;
	u8 index;
	u8 reg[128]; /* time bytes are valid while SET is on only */
	s64 offset_ns;
	u64 seen_ns;  /* guest time up to which flags are known */
	u64 alarm_ns; /* next alarm after seen_ns; UINT64_MAX: never */
	u64 (*real_ns)(void);
	struct irq_line irq;
	struct bus *bus;
	struct io_region region;
	struct io_latch latch; /* the index */
	bool has_timer;
	struct loop_timer timer;
};

static u64 guest_ns(const struct rtc *r)
{
	return r->real_ns() + (u64)r->offset_ns;
}

/* ---- formats ---- */

static u8 encode(const struct rtc *r, unsigned v)
{
	return (u8)(r->reg[R_B] & B_BINARY ? v : (v / 10 % 10) << 4 | v % 10);
}

static unsigned decode(const struct rtc *r, u8 v)
{
	return r->reg[R_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static u8 encode_hour(const struct rtc *r, unsigned h)
{
	if (r->reg[R_B] & B_24H)
		return encode(r, h);
	return (u8)(encode(r, h % 12 ? h % 12 : 12) | (h >= 12 ? 0x80 : 0));
}

static unsigned decode_hour(const struct rtc *r, u8 v)
{
	if (r->reg[R_B] & B_24H)
		return decode(r, v);
	return decode(r, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

static void time_to_regs(struct rtc *r, u64 ns)
{
	time_t t = (time_t)(ns / NSEC_PER_SEC);
	struct tm tm;

	gmtime_r(&t, &tm);
	r->reg[R_SEC] = encode(r, (unsigned)tm.tm_sec);
	r->reg[R_MIN] = encode(r, (unsigned)tm.tm_min);
	r->reg[R_HOUR] = encode_hour(r, (unsigned)tm.tm_hour);
	r->reg[R_WDAY] = encode(r, (unsigned)tm.tm_wday + 1);
	r->reg[R_MDAY] = encode(r, (unsigned)tm.tm_mday);
	r->reg[R_MON] = encode(r, (unsigned)tm.tm_mon + 1);
	r->reg[R_YEAR] = encode(r, (unsigned)tm.tm_year % 100);
	r->reg[R_CENTURY] = encode(r, (unsigned)(tm.tm_year + 1900) / 100);
}

static void regs_to_time(struct rtc *r)
{
	struct tm tm = {
		.tm_sec = (int)decode(r, r->reg[R_SEC]),
		.tm_min = (int)decode(r, r->reg[R_MIN]),
		.tm_hour = (int)decode_hour(r, r->reg[R_HOUR]),
		.tm_mday = (int)decode(r, r->reg[R_MDAY]),
		.tm_mon = (int)decode(r, r->reg[R_MON]) - 1,
		.tm_year = (int)(decode(r, r->reg[R_CENTURY]) * 100 + decode(r, r->reg[R_YEAR])) - 1900,
	};
	u64 real = r->real_ns();
	time_t t = timegm(&tm); /* makes something of nonsense, too */

	if (t < 0)
		t = 0;
	r->offset_ns = (s64)((u64)t * NSEC_PER_SEC - real);
	r->seen_ns = real + (u64)r->offset_ns;
}

/* ---- alarm and flags ---- */

static bool alarm_matches(const struct rtc *r, enum reg alarm, unsigned v)
{
	if (r->reg[alarm] >= 0xc0)
		return true; /* don't care */
	return (alarm == R_HOUR_ALARM ? decode_hour(r, r->reg[alarm]) : decode(r, r->reg[alarm])) == v;
}

/* The first matching second after `after` (seconds of guest time); UINT64_MAX: none. */
static u64 next_alarm(const struct rtc *r, u64 after)
{
	u64 day = (after + 1) / 86400 * 86400;

	for (unsigned i = 0; i < 48; i++) {
		if (!alarm_matches(r, R_HOUR_ALARM, i % 24))
			continue;
		for (unsigned m = 0; m < 60; m++) {
			u64 minute = day + i * 3600ull + m * 60;

			if (minute + 59 <= after || !alarm_matches(r, R_MIN_ALARM, m))
				continue;
			for (unsigned s = 0; s < 60; s++) {
				if (minute + s > after && alarm_matches(r, R_SEC_ALARM, s))
					return minute + s;
			}
		}
	}
	return UINT64_MAX;
}

static void alarm_changed(struct rtc *r)
{
	u64 s = next_alarm(r, r->seen_ns / NSEC_PER_SEC);

	r->alarm_ns = s == UINT64_MAX ? UINT64_MAX : s * NSEC_PER_SEC;
}

/* Periodic rate in ticks of 32,768 Hz (table 3 of the data sheet); 0: off. */
static unsigned period_ticks(const struct rtc *r)
{
	unsigned rs = r->reg[R_A] & 15;

	if (rs == 0)
		return 0;
	return rs <= 2 ? 64u << rs : 1u << (rs - 1);
}

static bool running(const struct rtc *r)
{
	return !(r->reg[R_B] & B_SET);
}

static void irq_update(struct rtc *r)
{
	bool on = r->reg[R_C] & r->reg[R_B] & (IRQ_PERIODIC | IRQ_ALARM | IRQ_UPDATE);

	r->reg[R_C] = (u8)((r->reg[R_C] & ~C_IRQF) | (on ? C_IRQF : 0));
	irq_set(&r->irq, on);
}

/* Set the flags of what happened since the last look. */
static void catch_up(struct rtc *r)
{
	u64 now = guest_ns(r), was = r->seen_ns;
	unsigned ticks = period_ticks(r);

	if (now <= was) { /* the host's clock was set back */
		if (was - now > NSEC_PER_SEC) {
			r->seen_ns = now;
			alarm_changed(r);
		}
		return;
	}
	r->seen_ns = now;
	if (ticks && mul_div(now, 32768, NSEC_PER_SEC) / ticks != mul_div(was, 32768, NSEC_PER_SEC) / ticks)
		r->reg[R_C] |= IRQ_PERIODIC;
	if (running(r)) {
		if (now / NSEC_PER_SEC != was / NSEC_PER_SEC)
			r->reg[R_C] |= IRQ_UPDATE;
		if (now >= r->alarm_ns) {
			r->reg[R_C] |= IRQ_ALARM;
			alarm_changed(r);
		}
	}
	irq_update(r);
}

static void schedule(struct rtc *r)
{
	u8 want = r->reg[R_B] & (u8)~r->reg[R_C]; /* a flag that is up already needs no timer */
	u64 at = UINT64_MAX, now = r->seen_ns, period_ns = UINT64_MAX;

	if (!r->has_timer)
		return;
	if ((want & IRQ_PERIODIC) && period_ticks(r)) {
		u64 n = mul_div(now, 32768, NSEC_PER_SEC) / period_ticks(r) + 1;

		period_ns = mul_div(period_ticks(r), NSEC_PER_SEC, 32768);
		at = mul_div(n * period_ticks(r), NSEC_PER_SEC, 32768) + 1;
	}
	if (running(r) && (want & IRQ_UPDATE))
		at = MIN(at, (now / NSEC_PER_SEC + 1) * NSEC_PER_SEC);
	if (running(r) && (want & IRQ_ALARM))
		at = MIN(at, r->alarm_ns);
	if (at != UINT64_MAX) {
		u64 g = guest_ns(r);

		at = tick_at(clock_mono_ns() + (at > g ? at - g : 0), period_ns);
	}
	loop_timer_arm(&r->timer, at);
}

static void timer_fired(void *opaque)
{
	struct rtc *r = opaque;

	pthread_mutex_lock(&r->lock);
	catch_up(r);
	schedule(r);
	pthread_mutex_unlock(&r->lock);
}

u64 rtc_park(struct rtc *r)
{
	return r->has_timer ? loop_timer_lend(&r->timer) : UINT64_MAX;
}

void rtc_unpark(struct rtc *r)
{
	if (r->has_timer)
		loop_timer_back(&r->timer);
}

/* ---- registers ---- */

static bool is_time(unsigned reg)
{
	switch (reg) {
	case R_SEC:
	case R_MIN:
	case R_HOUR:
	case R_WDAY:
	case R_MDAY:
	case R_MON:
	case R_YEAR:
	case R_CENTURY:
		return true;
	}
	return false;
}

static u8 reg_read(struct rtc *r, unsigned reg)
{
	u8 v;

	catch_up(r);
	switch (reg) {
	case R_A:
		v = r->reg[R_A];
		if (running(r) && r->seen_ns % NSEC_PER_SEC >= NSEC_PER_SEC - UIP_NS)
			v |= A_UIP;
		return v;
	case R_C:
		v = r->reg[R_C];
		r->reg[R_C] = 0;
		irq_update(r);
		schedule(r);
		return v;
	case R_D:
		return 0x80; /* valid RAM and time: the battery is good */
	}
	if (is_time(reg) && running(r))
		time_to_regs(r, r->seen_ns);
	return r->reg[reg];
}

static void reg_write(struct rtc *r, unsigned reg, u8 v)
{
	catch_up(r);
	switch (reg) {
	case R_A:
		r->reg[R_A] = v & 0x7f;
		break;
	case R_B:
		if ((v & B_SET) && running(r))
			time_to_regs(r, r->seen_ns); /* in the format of before */
		if (v & B_SET)
			v &= (u8)~IRQ_UPDATE; /* SET clears UIE */
		bool starts = !(v & B_SET) && !running(r);
		r->reg[R_B] = v;
		if (starts)
			regs_to_time(r);
		alarm_changed(r);
		irq_update(r);
		break;
	case R_C:
	case R_D:
		break;
	default:
		if (is_time(reg) && running(r)) {
			time_to_regs(r, r->seen_ns);
			r->reg[reg] = v;
			regs_to_time(r);
			alarm_changed(r);
		} else {
			r->reg[reg] = v;
			if (reg == R_SEC_ALARM || reg == R_MIN_ALARM || reg == R_HOUR_ALARM)
				alarm_changed(r);
		}
	}
	schedule(r);
}

static u64 port_read(void *dev, u64 off, unsigned bytes)
{
	struct rtc *r = dev;
	u8 v = 0xff; /* the index is write-only */

	if (off == 1) {
		pthread_mutex_lock(&r->lock);
		v = reg_read(r, r->index);
		pthread_mutex_unlock(&r->lock);
	}
	return v;
}

static void port_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct rtc *r = dev;

	pthread_mutex_lock(&r->lock);
	if (off == 0)
		r->index = val & 0x7f; /* bit 7 is the NMI mask of old boards */
	else
		reg_write(r, r->index, (u8)val);
	pthread_mutex_unlock(&r->lock);
}

static const struct io_ops ops = { .read = port_read, .write = port_write, .max_bytes = 1 };

void rtc_set_cmos(struct rtc *r, u8 reg, u8 v)
{
	must(reg > R_D && reg < sizeof(r->reg) && reg != R_CENTURY);
	pthread_mutex_lock(&r->lock);
	r->reg[reg] = v;
	pthread_mutex_unlock(&r->lock);
}

void rtc_reset(struct rtc *r)
{
	pthread_mutex_lock(&r->lock);
	if (!running(r)) {
		r->reg[R_B] &= (u8)~B_SET;
		regs_to_time(r);
	}
	r->index = 0;
	r->reg[R_A] = 0x26; /* 32,768 Hz time base, 1,024 Hz periodic rate */
	r->reg[R_B] = B_24H;
	r->reg[R_C] = 0;
	r->seen_ns = guest_ns(r);
	alarm_changed(r);
	irq_update(r);
	schedule(r);
	pthread_mutex_unlock(&r->lock);
}

void rtc_state(struct rtc *r, struct state_file *s)
{
	pthread_mutex_lock(&r->lock);
	catch_up(r);
	u64 offset = (u64)r->offset_ns;
	state_u8(s, &r->index);
	state_bytes(s, r->reg, sizeof(r->reg));
	state_u64(s, &offset);
	state_u64(s, &r->seen_ns);
	if (state_loading(s)) {
		r->index &= 0x7f;
		r->offset_ns = (s64)offset;
		/* As if the board had stood without power: what became due meanwhile is noticed now. */
		alarm_changed(r);
		catch_up(r);
		irq_update(r);
		schedule(r);
	}
	pthread_mutex_unlock(&r->lock);
}

int rtc_new(struct rtc **out, struct bus *bus, struct loop *loop, struct irq_line irq, u64 (*real_ns)(void))
{
	struct rtc *r = xcalloc(1, sizeof(*r));

	pthread_mutex_init(&r->lock, NULL);
	r->bus = bus;
	r->irq = irq;
	r->real_ns = real_ns;
	if (loop) {
		loop_timer_init(loop, &r->timer, timer_fired, r);
		r->has_timer = true;
	}
	r->region = (struct io_region){ .ops = &ops, .dev = r, .name = "rtc" };
	r->latch = (struct io_latch){ .off = 0, .bytes = 1 };
	bus_add_latch(&r->region, &r->latch);
	rtc_reset(r);
	int rc = bus_map_pio(bus, &r->region, LAYOUT_RTC, 2);
	if (rc < 0) {
		rtc_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void rtc_free(struct rtc *r)
{
	if (!r)
		return;
	bus_unmap_pio(r->bus, &r->region);
	if (r->has_timer)
		loop_timer_fini(&r->timer);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
