/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pit.c - the 8254 (Intel 8254 data sheet).
 *
 * Theory of operation: a channel remembers when its count was loaded; counts and outputs are computed
 * from the clock when looked at. Only channel 0 interrupts: the event loop's timer stands at its next
 * rising edge of OUT, or later (tick.h); while the first vCPU sleeps, its thread waits for that instead. Channels 0 and
 * 1 have their gates wired high; channel 2's is port 0x61 bit 0.
 */
#include "machine/pit.h"

#include "base/clock.h"
#include "cpu/board_state.h"
#include "machine/layout.h"
#include "machine/tick.h"

#include <pthread.h>

#define ONE_SHOT_MIN_NS 20000ull
#define PORT_SPEAKER 0x61
#define REFRESH_NS 15085 /* half a period of the refresh toggle, bit 4 of port 0x61 */

struct channel {
	u8 mode;   /* 0-5 */
	u8 access; /* 1: low byte, 2: high byte, 3: low then high */
	bool bcd;
	bool gate;
	bool loaded;   /* a count has been written since the mode */
	bool started;  /* counting has begun (modes 1 and 5 wait for the gate) */
	u32 reload;    /* 1 .. 0x10000 */
	u64 start_ns;  /* when the count began */
	u64 held_ns;   /* gate low in modes 0 and 4: how far it had got */
	u64 ticks_out; /* channel 0: edges already given */
	/* Port access state */
	bool write_high, read_high;
	u8 write_low;
	u8 latched; /* bytes of `latch` still to be read */
	u16 latch;
	bool status_latched;
	u8 status;
};

struct pit {
	pthread_mutex_t lock;
	struct channel ch[3];
	u8 speaker; /* port 0x61 bits 0 and 1 */
	u64 (*now_ns)(void);
	struct irq_line irq0;
	struct bus *bus;
	struct io_region region[2];
	bool has_timer;
	struct loop_timer timer;
	u64 taken, pause_ns; /* irq0's number when it last ticked; how long a fast tick waits besides (tick.h) */
};

static u64 elapsed_ticks(const struct channel *c, u64 now)
{
	if (!c->started)
		return 0;
	u64 ns = !c->gate && (c->mode == 0 || c->mode == 4) ? c->held_ns : now - c->start_ns;
	return mul_div(ns, PIT_HZ, NSEC_PER_SEC);
}

static u16 to_bcd(u32 v)
{
	return (u16)(v % 10 | (v / 10 % 10) << 4 | (v / 100 % 10) << 8 | (v / 1000 % 10) << 12);
}

static u32 from_bcd(u16 v)
{
	return (v & 15) + (v >> 4 & 15) * 10u + (v >> 8 & 15) * 100u + (v >> 12) * 1000u;
}

static u16 count_now(const struct channel *c, u64 now)
{
	u32 wrap = c->bcd ? 10000 : 0x10000, v;
	u64 d = elapsed_ticks(c, now);

	switch (c->mode) {
	case 2:
		v = c->reload - (u32)(d % c->reload);
		break;
	case 3: /* counts by two, twice per period; an odd count is rounded (data sheet, mode 3) */
		v = (c->reload & ~1u) - (u32)(2 * d % MAX(c->reload & ~1u, 2u));
		break;
	default: /* 0, 1, 4, 5 run through zero and on */
		v = (u32)((c->reload + wrap - d % wrap) % wrap);
	}
	v %= wrap;
	return c->bcd ? to_bcd(v) : (u16)v;
}

static bool out_now(const struct channel *c, u64 now)
{
	u64 d = elapsed_ticks(c, now);

	switch (c->mode) {
	case 0:
		return c->started && d >= c->reload;
	case 1:
		return !c->started || d >= c->reload;
	case 2:
		return !c->started || !c->gate || d % c->reload != c->reload - 1;
	case 3:
		return !c->started || !c->gate || d % c->reload < (c->reload + 1) / 2;
	default:
		return !c->started || d != c->reload;
	}
}

static bool periodic(const struct channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* ---- channel 0's interrupt ---- */

static u64 edge_ns(const struct channel *c, u64 n)
{
	return c->start_ns + mul_div(n * c->reload, NSEC_PER_SEC, PIT_HZ) + 1;
}

static u64 period_ns(const struct channel *c)
{
	return mul_div(c->reload, NSEC_PER_SEC, PIT_HZ);
}

/* Before a tick: was the last one of any use? */
static void look_taken(struct pit *p)
{
	u64 taken = p->irq0.taken ? p->irq0.taken(p->irq0.opaque) : p->taken + 1;

	if (taken != p->taken || period_ns(&p->ch[0]) >= TICK_MIN_NS)
		p->pause_ns = 0;
	else
		p->pause_ns = MIN(MAX(2 * p->pause_ns, TICK_MERGED_NS), TICK_UNHEARD_NS);
	p->taken = taken;
}

static void schedule_locked(struct pit *p)
{
	struct channel *c = &p->ch[0];
	u64 at = UINT64_MAX;

	if (!p->has_timer)
		return;
	if (c->started && periodic(c))
		at = tick_at(MAX(edge_ns(c, c->ticks_out + 1), p->now_ns() + 1 + p->pause_ns), period_ns(c));
	else if (c->started && c->ticks_out == 0)
		at = MAX(edge_ns(c, 1), p->now_ns() + ONE_SHOT_MIN_NS);
	loop_timer_arm(&p->timer, at);
}

static void timer_fired(void *opaque)
{
	struct pit *p = opaque;
	struct channel *c = &p->ch[0];

	pthread_mutex_lock(&p->lock);
	if (c->started && (periodic(c) || c->ticks_out == 0)) {
		u64 n = elapsed_ticks(c, p->now_ns()) / c->reload;

		if (n > c->ticks_out) {
			c->ticks_out = n;
			look_taken(p);
			irq_set(&p->irq0, true);
			irq_set(&p->irq0, false);
		}
		schedule_locked(p);
	}
	pthread_mutex_unlock(&p->lock);
}

u64 pit_park(struct pit *p)
{
	return p->has_timer ? loop_timer_lend(&p->timer) : UINT64_MAX;
}

void pit_unpark(struct pit *p)
{
	if (p->has_timer)
		loop_timer_back(&p->timer);
}

/* ---- counts ---- */

static void start_locked(struct pit *p, struct channel *c)
{
	c->started = true;
	c->start_ns = p->now_ns();
	c->held_ns = 0;
	c->ticks_out = 0;
	if (c == &p->ch[0]) {
		p->pause_ns = 0;
		schedule_locked(p);
	}
}

static void load_locked(struct pit *p, struct channel *c, u16 raw)
{
	u32 v = c->bcd ? from_bcd(raw) : raw;

	c->reload = v ? v : (c->bcd ? 10000 : 0x10000);
	c->loaded = true;
	if (c->mode != 1 && c->mode != 5)
		start_locked(p, c);
}

static void set_gate_locked(struct pit *p, struct channel *c, bool gate)
{
	u64 now = p->now_ns();

	if (gate == c->gate)
		return;
	if (c->mode == 0 || c->mode == 4) {
		if (!gate)
			c->held_ns = c->started ? now - c->start_ns : 0;
		else
			c->start_ns = now - c->held_ns;
	}
	c->gate = gate;
	if (gate && c->loaded && c->mode != 0 && c->mode != 4)
		start_locked(p, c);
}

static void latch_count(struct pit *p, struct channel *c)
{
	if (c->latched)
		return;
	c->latch = count_now(c, p->now_ns());
	c->latched = c->access == 3 ? 2 : 1;
}

static void latch_status(struct pit *p, struct channel *c)
{
	if (c->status_latched)
		return;
	c->status = (u8)(out_now(c, p->now_ns()) << 7 | !c->loaded << 6 | c->access << 4 | c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static void control_locked(struct pit *p, u8 v)
{
	unsigned n = v >> 6;

	if (n == 3) { /* read-back */
		for (unsigned i = 0; i < 3; i++) {
			if (!(v & (2u << i)))
				continue;
			if (!(v & 0x20))
				latch_count(p, &p->ch[i]);
			if (!(v & 0x10))
				latch_status(p, &p->ch[i]);
		}
		return;
	}
	struct channel *c = &p->ch[n];
	if (!(v & 0x30)) {
		latch_count(p, c);
		return;
	}
	c->access = (v >> 4) & 3;
	c->mode = (v >> 1) & 7;
	if (c->mode > 5)
		c->mode &= 3; /* bit 2 is a don't-care in modes 2 and 3 */
	c->bcd = v & 1;
	c->loaded = c->started = false;
	c->write_high = c->read_high = false;
	c->latched = 0;
	c->status_latched = false;
	if (n == 0)
		schedule_locked(p);
}

static u8 data_read_locked(struct pit *p, struct channel *c)
{
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	if (c->latched) {
		bool high = c->access == 2 || (c->access == 3 && c->latched == 1);

		c->latched--;
		return (u8)(high ? c->latch >> 8 : c->latch);
	}
	u16 v = count_now(c, p->now_ns());
	bool high = c->access == 2 || (c->access == 3 && c->read_high);

	if (c->access == 3)
		c->read_high = !c->read_high;
	return (u8)(high ? v >> 8 : v);
}

static void data_write_locked(struct pit *p, struct channel *c, u8 v)
{
	switch (c->access) {
	case 1:
		load_locked(p, c, v);
		break;
	case 2:
		load_locked(p, c, (u16)(v << 8));
		break;
	case 3:
		if (c->write_high) {
			load_locked(p, c, (u16)(v << 8 | c->write_low));
		} else {
			c->write_low = v;
			if (c->mode == 0) { /* the first byte stops the count */
				c->started = false;
				if (c == &p->ch[0])
					schedule_locked(p);
			}
		}
		c->write_high = !c->write_high;
		break;
	}
}

static u64 pit_read(void *dev, u64 off, unsigned bytes)
{
	struct pit *p = dev;
	u8 v = 0xff;

	pthread_mutex_lock(&p->lock);
	if (off < 3)
		v = data_read_locked(p, &p->ch[off]);
	pthread_mutex_unlock(&p->lock);
	return v;
}

static void pit_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct pit *p = dev;

	pthread_mutex_lock(&p->lock);
	if (off < 3)
		data_write_locked(p, &p->ch[off], (u8)val);
	else
		control_locked(p, (u8)val);
	pthread_mutex_unlock(&p->lock);
}

static u64 speaker_read(void *dev, u64 off, unsigned bytes)
{
	struct pit *p = dev;

	pthread_mutex_lock(&p->lock);
	u64 now = p->now_ns();
	u8 v = (u8)(p->speaker | ((now / REFRESH_NS) & 1) << 4 | out_now(&p->ch[2], now) << 5);
	pthread_mutex_unlock(&p->lock);
	return v;
}

static void speaker_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct pit *p = dev;

	pthread_mutex_lock(&p->lock);
	p->speaker = val & 3;
	set_gate_locked(p, &p->ch[2], val & 1);
	pthread_mutex_unlock(&p->lock);
}

static const struct io_ops pit_ops = { .read = pit_read, .write = pit_write, .max_bytes = 1 };
static const struct io_ops speaker_ops = { .read = speaker_read, .write = speaker_write, .max_bytes = 1 };

void pit_reset(struct pit *p)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < 3; i++)
		p->ch[i] = (struct channel){ .mode = 3, .access = 3, .gate = i != 2, .reload = 0x10000 };
	p->speaker = 0;
	schedule_locked(p);
	pthread_mutex_unlock(&p->lock);
}

/* A count that has run for longer than this is as good as new at the same phase: products stay in range. */
#define RAN_MAX_NS (1ull << 60)

void pit_get_state(struct pit *p, struct pit_state *st)
{
	pthread_mutex_lock(&p->lock);
	u64 now = p->now_ns();
	*st = (struct pit_state){ .speaker = p->speaker };
	for (unsigned i = 0; i < 3; i++) {
		const struct channel *c = &p->ch[i];

		st->ch[i] = (struct pit_channel_state){
			.mode = c->mode,
			.access = c->access,
			.bcd = c->bcd,
			.gate = c->gate,
			.loaded = c->loaded,
			.started = c->started,
			.reload = c->reload,
			.ran_ns = c->started ? now - c->start_ns : 0,
			.held_ns = c->held_ns,
			.ticks_out = c->ticks_out,
			.write_high = c->write_high,
			.read_high = c->read_high,
			.write_low = c->write_low,
			.latched = c->latched,
			.latch = c->latch,
			.status_latched = c->status_latched,
			.status = c->status,
		};
	}
	pthread_mutex_unlock(&p->lock);
}

void pit_set_state(struct pit *p, const struct pit_state *st)
{
	pthread_mutex_lock(&p->lock);
	u64 now = p->now_ns();
	p->speaker = st->speaker & 3;
	for (unsigned i = 0; i < 3; i++) {
		const struct pit_channel_state *in = &st->ch[i];
		struct channel *c = &p->ch[i];

		*c = (struct channel){
			.mode = in->mode <= 5 ? in->mode : 3,
			.access = in->access >= 1 && in->access <= 3 ? in->access : 3,
			.bcd = in->bcd,
			.gate = i != 2 || in->gate,
			.loaded = in->loaded,
			.started = in->started,
			.reload = in->reload >= 1 && in->reload <= 0x10000 ? in->reload : 0x10000,
			.start_ns = now - MIN(in->ran_ns, RAN_MAX_NS),
			.held_ns = MIN(in->held_ns, RAN_MAX_NS),
			.write_high = in->write_high,
			.read_high = in->read_high,
			.write_low = in->write_low,
			.latched = MIN(in->latched, 2),
			.latch = in->latch,
			.status_latched = in->status_latched,
			.status = in->status,
		};
		c->ticks_out = MIN(in->ticks_out, elapsed_ticks(c, now) / c->reload);
	}
	schedule_locked(p);
	pthread_mutex_unlock(&p->lock);
}

int pit_new(struct pit **out, struct bus *bus, struct loop *loop, struct irq_line irq0, u64 (*now_ns)(void))
{
	struct pit *p = xcalloc(1, sizeof(*p));
	int rc;

	pthread_mutex_init(&p->lock, NULL);
	p->bus = bus;
	p->irq0 = irq0;
	p->now_ns = now_ns;
	if (loop) {
		loop_timer_init(loop, &p->timer, timer_fired, p);
		p->has_timer = true;
	}
	p->region[0] = (struct io_region){ .ops = &pit_ops, .dev = p, .name = "pit" };
	p->region[1] = (struct io_region){ .ops = &speaker_ops, .dev = p, .name = "speaker" };
	pit_reset(p);
	if ((rc = bus_map_pio(bus, &p->region[0], LAYOUT_PIT, 4)) < 0 ||
	    (rc = bus_map_pio(bus, &p->region[1], PORT_SPEAKER, 1)) < 0) {
		pit_free(p);
		return rc;
	}
	*out = p;
	return 0;
}

void pit_free(struct pit *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(p->region); i++)
		bus_unmap_pio(p->bus, &p->region[i]);
	if (p->has_timer)
		loop_timer_fini(&p->timer);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
