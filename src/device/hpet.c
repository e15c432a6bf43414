/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hpet.c - the High Precision Event Timers (IA-PC HPET Specification 1.0a): a counter of 100 MHz and three comparators.
 *
 * A timer that is on has an event `at`, a value of the counter in 64 bits whatever the guest sees of it, and fires once
 * the counter is there. Of a period that is shorter than the host can serve (LEAST_NS), beats are left out, and the
 * comparator is where it would be.
 *
 * In legacy replacement, timers 0 and 1 drive the wires of the 8254 and of the RTC, which end nowhere meanwhile
 * (2.3.5). Else a timer drives one of two interrupts that nothing else on the board has. Messages (FSB) are not
 * offered.
 */
#include "base/clock.h"
#include "base/loop.h"
#include "base/state.h"
#include "device/class.h"
#include "machine/layout.h"
#include "machine/machine.h"

#include <pthread.h>

#define TIMERS 3u
#define TICK_NS 10ull
#define LEAST_NS 50000ull
#define CAPABILITIES (10000000ull << 32 | 0x8086ull << 16 | 1ull << 15 | 1ull << 13 | (TIMERS - 1) << 8 | 1)
#define ROUTES ((1u << LAYOUT_GSI_HPET1) | (1u << LAYOUT_GSI_HPET2))
#define NEVER UINT64_MAX

#define GEN_ENABLE 1u
#define GEN_LEGACY 2u
#define T_LEVEL 0x0002u
#define T_INTERRUPT 0x0004u
#define T_PERIODIC 0x0008u
#define T_CAN_PERIODIC 0x0010u
#define T_CAN_64 0x0020u
#define T_SET 0x0040u
#define T_32 0x0100u
#define T_ROUTE 0x3e00u
#define T_WRITABLE (T_LEVEL | T_INTERRUPT | T_PERIODIC | T_SET | T_32 | T_ROUTE)

struct timer {
	u32 config;
	u64 comparator, period;
	u64 at; /* NEVER: nothing is to come */
	bool high;
	unsigned gsi; /* the wire that is high */
};

struct hpet {
	struct device dev;
	struct machine *m;
	struct io_region region;
	struct loop_timer wake;
	pthread_mutex_t lock;
	/* lock */
	u32 config, status;
	u64 counter, since_ns; /* its value then, and since then where it is on */
	u64 fired_ns;
	struct timer timer[TIMERS];
};

/* ---- the counter ---- */

static u64 count(const struct hpet *h, u64 now)
{
	return h->config & GEN_ENABLE ? h->counter + (now - h->since_ns) / TICK_NS : h->counter;
}

/* From now on it goes on from v. */
static void set_count(struct hpet *h, u64 v, u64 now)
{
	h->counter = v;
	h->since_ns = now;
}

/* ---- timers ---- */

static bool legacy(const struct hpet *h, unsigned i)
{
	return h->config & GEN_LEGACY && i < 2;
}

static unsigned gsi_of(const struct hpet *h, unsigned i)
{
	return legacy(h, i) ? i ? LAYOUT_GSI_RTC : LAYOUT_GSI_PIT : h->timer[i].config >> 9 & 31;
}

static void wire(struct hpet *h, unsigned i, bool high)
{
	struct timer *t = &h->timer[i];

	if (t->high == high)
		return;
	if (high)
		t->gsi = gsi_of(h, i);
	if (high && !legacy(h, i) && !(ROUTES >> t->gsi & 1))
		return;
	t->high = high;
	struct irq_line l = machine_irq(h->m, t->gsi);
	irq_set(&l, high);
}

/* Where it fires next, of what comparator and counter say now. */
static void plan(struct hpet *h, unsigned i, u64 now)
{
	struct timer *t = &h->timer[i];
	u64 c = count(h, now);

	if (t->config & T_32)
		t->at = c + (u32)(t->comparator - c);
	else
		t->at = t->comparator >= c ? t->comparator : NEVER; /* once around takes 5800 years */
}

static void plan_all(struct hpet *h, u64 now)
{
	for (unsigned i = 0; i < TIMERS; i++)
		plan(h, i, now);
}

static void fire(struct hpet *h, unsigned i, u64 c)
{
	struct timer *t = &h->timer[i];
	u64 period = t->config & T_32 ? (u32)t->period : t->period;

	if (t->config & T_PERIODIC && period) {
		u64 beats = (c - t->at) / period + 1;
		t->at += beats * period;
		t->comparator = t->config & T_32 ? (u32)t->at : t->at;
	} else {
		t->at = t->config & T_32 ? t->at + (1ull << 32) * (((c - t->at) >> 32) + 1) : NEVER;
	}
	if (t->config & T_LEVEL)
		h->status |= 1u << i;
	if (!(t->config & T_INTERRUPT))
		return;
	wire(h, i, true);
	if (!(t->config & T_LEVEL))
		wire(h, i, false);
}

/* Wires as the registers want them; the loop's timer for what comes first. */
static void settle(struct hpet *h, u64 now)
{
	u64 first = NEVER, c = count(h, now);

	for (unsigned i = 0; i < TIMERS; i++) {
		struct timer *t = &h->timer[i];
		bool level = t->config & T_LEVEL && t->config & T_INTERRUPT && h->status >> i & 1;

		if (t->high && (!level || t->gsi != gsi_of(h, i)))
			wire(h, i, false);
		if (level)
			wire(h, i, true);
		if (h->config & GEN_ENABLE && t->config & (T_INTERRUPT | T_LEVEL) && t->at != NEVER)
			first = MIN(first, t->at);
	}
	if (first == NEVER) {
		loop_timer_disarm(&h->wake);
		return;
	}
	u64 ticks = first > c ? MIN(first - c, 1ull << 40) : 0; /* three hours; then it is looked at again */
	loop_timer_arm(&h->wake, MAX(now + ticks * TICK_NS, h->fired_ns + LEAST_NS));
}

static void on_wake(void *opaque)
{
	struct hpet *h = opaque;

	pthread_mutex_lock(&h->lock);
	u64 now = clock_mono_ns(), c = count(h, now);
	for (unsigned i = 0; h->config & GEN_ENABLE && i < TIMERS; i++)
		if (h->timer[i].at <= c) {
			fire(h, i, c);
			h->fired_ns = now;
		}
	settle(h, now);
	pthread_mutex_unlock(&h->lock);
}

/* ---- registers (2.3) ---- */

static u64 timer_read(const struct timer *t, unsigned reg)
{
	switch (reg) {
	case 0x00:
		return (u64)ROUTES << 32 | t->config | T_CAN_PERIODIC | T_CAN_64;
	case 0x08:
		return t->comparator;
	default:
		return 0;
	}
}

static u64 reg_read(const struct hpet *h, unsigned reg)
{
	if (reg >= 0x100)
		return (reg - 0x100) / 0x20 < TIMERS ? timer_read(&h->timer[(reg - 0x100) / 0x20], reg & 0x1f) : 0;
	switch (reg) {
	case 0x00:
		return CAPABILITIES;
	case 0x10:
		return h->config;
	case 0x20:
		return h->status;
	case 0xf0:
		return count(h, clock_mono_ns());
	default:
		return 0;
	}
}

static void config_write(struct hpet *h, u32 val, u64 now)
{
	u32 was = h->config;

	set_count(h, count(h, now), now);
	for (unsigned i = 0; i < TIMERS && (was ^ val) & GEN_LEGACY; i++)
		wire(h, i, false);
	h->config = val & (GEN_ENABLE | GEN_LEGACY);
	if ((was ^ val) & GEN_LEGACY)
		machine_replace_legacy(h->m, val & GEN_LEGACY);
	plan_all(h, now);
}

/* The halves of val that mask has. */
static void timer_write(struct hpet *h, unsigned i, unsigned reg, u64 val, u64 mask, u64 now)
{
	struct timer *t = &h->timer[i];

	if (reg == 0x00) {
		t->config = (u32)((t->config & ~mask) | (val & mask)) & T_WRITABLE;
		if (t->config & T_32) {
			t->comparator = (u32)t->comparator;
			t->period = (u32)t->period;
		}
		if (!(t->config & T_LEVEL))
			h->status &= ~(1u << i);
	} else if (reg == 0x08) {
		/* Of a periodic timer the first value is the comparator if SET says so, and each is the period
		 * (2.3.9.2.2).
		 */
		if (t->config & T_32)
			val = (u32)val;
		if (!(t->config & T_PERIODIC) || t->config & T_SET)
			t->comparator = (t->comparator & ~mask) | (val & mask);
		if (t->config & T_PERIODIC)
			t->period = (t->period & ~mask) | (val & mask);
		if (mask >> 32 || t->config & T_32)
			t->config &= ~T_SET;
		else if (!(t->config & T_PERIODIC))
			t->config &= ~T_SET;
	} else {
		return;
	}
	plan(h, i, now);
}

static void reg_write(struct hpet *h, unsigned reg, u64 val, u64 mask, u64 now)
{
	if (reg >= 0x100) {
		if ((reg - 0x100) / 0x20 < TIMERS)
			timer_write(h, (reg - 0x100) / 0x20, reg & 0x1f, val, mask, now);
		return;
	}
	switch (reg) {
	case 0x10:
		config_write(h, (u32)((h->config & ~mask) | (val & mask)), now);
		break;
	case 0x20:
		h->status &= ~(u32)(val & mask);
		break;
	case 0xf0:
		if (!(h->config & GEN_ENABLE)) /* to be written while it stands */
			set_count(h, (h->counter & ~mask) | (val & mask), now);
		break;
	default:
		break;
	}
}

static u64 mmio_read(void *dev, u64 off, unsigned bytes)
{
	struct hpet *h = dev;

	pthread_mutex_lock(&h->lock);
	u64 v = reg_read(h, (unsigned)off & ~7u) >> 8 * (off & 7);
	pthread_mutex_unlock(&h->lock);
	return bytes >= 8 ? v : v & ((1ull << 8 * bytes) - 1);
}

/* Dwords and qwords (2.1: software must align them); what else comes is lost. */
static void mmio_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct hpet *h = dev;
	unsigned shift = 8 * (off & 4);

	if ((bytes != 4 && bytes != 8) || off % bytes)
		return;
	u64 mask = bytes == 8 ? ~0ull : 0xffffffffull << shift;
	pthread_mutex_lock(&h->lock);
	u64 now = clock_mono_ns();
	reg_write(h, (unsigned)off & ~7u, val << shift, mask, now);
	settle(h, now);
	pthread_mutex_unlock(&h->lock);
}

static const struct io_ops mmio_ops = { .read = mmio_read, .write = mmio_write };

/* ---- life ---- */

static struct hpet *of(struct device *d)
{
	return container_of(d, struct hpet, dev);
}

static void power_on(struct hpet *h)
{
	for (unsigned i = 0; i < TIMERS; i++) {
		wire(h, i, false);
		h->timer[i] = (struct timer){ .comparator = ~0ull, .at = NEVER };
	}
	if (h->config & GEN_LEGACY)
		machine_replace_legacy(h->m, false);
	h->config = h->status = 0;
	h->counter = h->since_ns = h->fired_ns = 0;
	loop_timer_disarm(&h->wake);
}

static void life_reset(struct device *d)
{
	struct hpet *h = of(d);

	pthread_mutex_lock(&h->lock);
	power_on(h);
	pthread_mutex_unlock(&h->lock);
}

static void life_resume(struct device *d)
{
	struct hpet *h = of(d);

	pthread_mutex_lock(&h->lock);
	settle(h, clock_mono_ns());
	pthread_mutex_unlock(&h->lock);
}

/* Of wires, the interrupt controllers have saved which are high. */
static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct hpet *h = of(d);
	int r = state_section(s, "hpet", 0, 1, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&h->lock);
	u64 now = clock_mono_ns(), c = count(h, now);
	u32 config = h->config;
	state_u32(s, &config);
	state_u32(s, &h->status);
	state_u64(s, &c);
	for (unsigned i = 0; i < TIMERS; i++) {
		struct timer *t = &h->timer[i];
		state_u32(s, &t->config);
		state_u64(s, &t->comparator);
		state_u64(s, &t->period);
		state_u64(s, &t->at);
		state_bool(s, &t->high);
		state_uint(s, &t->gsi, LAYOUT_GSI_COUNT - 1);
		t->config &= T_WRITABLE;
	}
	if (state_loading(s)) {
		h->config = config & (GEN_ENABLE | GEN_LEGACY);
		h->status &= (1u << TIMERS) - 1;
		set_count(h, c, now);
		machine_replace_legacy(h->m, h->config & GEN_LEGACY);
	}
	pthread_mutex_unlock(&h->lock);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct hpet *h = of(d);

	bus_unmap_mmio(machine_bus(h->m), &h->region);
	loop_timer_fini(&h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static const struct device_ops ops = {
	.reset = life_reset,
	.resume = life_resume,
	.state = life_state,
	.free = life_free,
};

/* ---- the class ---- */

static int new_hpet(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct hpet *h = xcalloc(1, sizeof(*h));

	h->m = m;
	h->dev = (struct device){ .ops = &ops, .name = "hpet" };
	h->region = (struct io_region){ .ops = &mmio_ops, .dev = h, .name = "hpet" };
	pthread_mutex_init(&h->lock, NULL);
	loop_timer_init(machine_loop(m), &h->wake, on_wake, h);
	power_on(h);
	int r = bus_map_mmio(machine_bus(m), &h->region, LAYOUT_HPET, LAYOUT_HPET_BYTES);
	if (r < 0) {
		life_free(&h->dev);
		return err_set(e, -r, "a machine has one hpet: leave the second one out");
	}
	machine_use(m, MACHINE_HPET);
	machine_add_device(m, &h->dev);
	*out = &h->dev;
	return 0;
}

const struct device_class hpet_device_class = {
	.name = "hpet",
	.help = N_("High Precision Event Timers, for systems that want them"),
	.new = new_hpet,
};
