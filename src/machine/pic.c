/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pic.c - the two 8259As, slave on the master's IRQ 2 (Intel 8259A data sheet; ELCR: 82371SB 3.1.5).
 *
 * Theory of operation: lines set IRR (edges latch, levels follow); the highest-priority request that
 * is unmasked and above what is in service drives INT; acknowledge moves it to ISR (or, with automatic
 * EOI, nowhere). Priorities rotate: `lowest` is the line that comes last. refresh_locked() carries
 * the slave's INT to the master and the master's to the vCPU after every change.
 */
#include "machine/pic.h"

#include "cpu/board_state.h"
#include "machine/layout.h"

#include <pthread.h>

enum init_step { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

struct chip {
	struct pic *pic;
	bool master;
	u8 lines; /* as driven now */
	u8 irr, imr, isr, elcr;
	u8 base;   /* ICW2: vector of line 0 */
	u8 lowest; /* the line with lowest priority; 7 unless rotated */
	enum init_step init;
	bool icw4; /* ICW1 announced one */
	bool single;
	bool auto_eoi, rotate_aeoi;
	bool nested; /* special fully nested mode */
	bool special_mask;
	bool read_isr, poll;
};

struct pic {
	pthread_mutex_t lock;
	struct chip chip[2];
	void (*output)(void *opaque, bool level);
	void *output_opaque;
	bool out;
	struct bus *bus;
	struct io_region region[3];
};

/* Position in the priority order of the first line set in `lines`, 0 the highest; 8: none. */
static unsigned priority(const struct chip *c, u8 lines)
{
	unsigned p = 0;

	if (!lines)
		return 8;
	while (!(lines & (1u << ((c->lowest + 1 + p) & 7))))
		p++;
	return p;
}

static unsigned line_at(const struct chip *c, unsigned prio)
{
	return (c->lowest + 1 + prio) & 7;
}

/* The line that may interrupt now, or -1. */
static int request(const struct chip *c)
{
	unsigned want = priority(c, c->irr & (u8)~c->imr);
	u8 busy = c->isr;

	if (want == 8)
		return -1;
	if (c->special_mask)
		busy &= (u8)~c->imr;
	if (c->nested && c->master)
		busy &= (u8) ~(1u << 2); /* the slave may interrupt itself */
	return want < priority(c, busy) ? (int)line_at(c, want) : -1;
}

static void chip_set_line(struct chip *c, unsigned line, bool level)
{
	u8 bit = (u8)(1u << line);

	if (c->elcr & bit) {
		if (level)
			c->irr |= bit;
		else
			c->irr &= (u8)~bit;
	} else if (level && !(c->lines & bit)) {
		c->irr |= bit;
	}
	if (level)
		c->lines |= bit;
	else
		c->lines &= (u8)~bit;
}

static void refresh_locked(struct pic *p)
{
	int slave = request(&p->chip[1]);

	/* The cascade is a level: IRR bit 2 follows the slave's INT. */
	if (slave >= 0)
		p->chip[0].irr |= 1u << 2;
	else
		p->chip[0].irr &= (u8) ~(1u << 2);
	bool out = request(&p->chip[0]) >= 0;
	if (out != p->out) {
		p->out = out;
		p->output(p->output_opaque, out);
	}
}

void pic_set_irq(struct pic *p, unsigned irq, bool level)
{
	must(irq < 16 && irq != 2);
	pthread_mutex_lock(&p->lock);
	chip_set_line(&p->chip[irq >> 3], irq & 7, level);
	refresh_locked(p);
	pthread_mutex_unlock(&p->lock);
}

static void take(struct chip *c, unsigned line)
{
	u8 bit = (u8)(1u << line);

	if (!(c->elcr & bit))
		c->irr &= (u8)~bit;
	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_aeoi)
		c->lowest = (u8)line;
}

int pic_ack(struct pic *p)
{
	struct chip *m = &p->chip[0], *s = &p->chip[1];
	int v = -1;

	pthread_mutex_lock(&p->lock);
	int line = request(m);
	if (line == 2) {
		int sub = request(s);

		take(m, 2);
		if (sub >= 0)
			take(s, (unsigned)sub);
		v = s->base + (sub >= 0 ? sub : 7); /* 7: the chip's own answer to a request that went away */
	} else if (line >= 0) {
		take(m, (unsigned)line);
		v = m->base + line;
	}
	refresh_locked(p);
	pthread_mutex_unlock(&p->lock);
	return v;
}

static void chip_init(struct chip *c, u8 icw1)
{
	c->imr = c->isr = c->irr = 0;
	c->lowest = 7;
	c->special_mask = c->read_isr = c->poll = c->auto_eoi = c->rotate_aeoi = c->nested = false;
	c->icw4 = icw1 & 1;
	c->single = icw1 & 2;
	c->init = INIT_ICW2;
	c->irr = c->lines & c->elcr; /* edge requests are forgotten */
}

static void end_of_interrupt(struct chip *c, u8 cmd)
{
	unsigned line = cmd & 7;

	if (!(cmd & 0x40)) { /* non-specific: the one of highest priority */
		unsigned prio = priority(c, c->special_mask ? c->isr & (u8)~c->imr : c->isr);

		if (prio == 8)
			return;
		line = line_at(c, prio);
	}
	c->isr &= (u8) ~(1u << line);
	if (cmd & 0x80)
		c->lowest = (u8)line;
}

static void command(struct chip *c, u8 v)
{
	if (v & 0x10) {
		chip_init(c, v);
	} else if (v & 0x08) { /* OCW3 */
		if (v & 0x40)
			c->special_mask = v & 0x20;
		if (v & 0x02)
			c->read_isr = v & 1;
		if (v & 0x04)
			c->poll = true;
	} else { /* OCW2 */
		switch (v >> 5) {
		case 0: /* rotate in automatic EOI mode, clear / set */
		case 4:
			c->rotate_aeoi = v & 0x80;
			break;
		case 1:
		case 3:
		case 5:
		case 7:
			end_of_interrupt(c, v);
			break;
		case 6: /* set priority */
			c->lowest = v & 7;
			break;
		}
	}
}

static void data(struct chip *c, u8 v)
{
	switch (c->init) {
	case INIT_DONE:
		c->imr = v;
		break;
	case INIT_ICW2:
		c->base = v & 0xf8;
		c->init = c->single ? (c->icw4 ? INIT_ICW4 : INIT_DONE) : INIT_ICW3;
		break;
	case INIT_ICW3: /* the wiring is what it is */
		c->init = c->icw4 ? INIT_ICW4 : INIT_DONE;
		break;
	case INIT_ICW4:
		c->auto_eoi = v & 2;
		c->nested = v & 0x10;
		c->init = INIT_DONE;
		break;
	}
}

/* A poll command turns the next read into an acknowledge. */
static u8 poll_read(struct chip *c)
{
	int line = request(c);

	c->poll = false;
	if (line < 0)
		return 0;
	take(c, (unsigned)line);
	return (u8)(0x80 | line);
}

static u64 port_read(void *dev, u64 off, unsigned bytes)
{
	struct chip *c = dev;
	u8 v;

	pthread_mutex_lock(&c->pic->lock);
	if (c->poll)
		v = poll_read(c);
	else if (off == 1)
		v = c->imr;
	else
		v = c->read_isr ? c->isr : c->irr;
	refresh_locked(c->pic);
	pthread_mutex_unlock(&c->pic->lock);
	return v;
}

static void port_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct chip *c = dev;

	pthread_mutex_lock(&c->pic->lock);
	if (off == 0)
		command(c, (u8)val);
	else
		data(c, (u8)val);
	refresh_locked(c->pic);
	pthread_mutex_unlock(&c->pic->lock);
}

/* IRQs 0, 1, 2, 8 and 13 are edge-triggered for ever. */
static const u8 elcr_writable[2] = { 0xf8, 0xde };

static u64 elcr_read(void *dev, u64 off, unsigned bytes)
{
	struct pic *p = dev;

	pthread_mutex_lock(&p->lock);
	u8 v = p->chip[off].elcr;
	pthread_mutex_unlock(&p->lock);
	return v;
}

static void elcr_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct pic *p = dev;
	struct chip *c = &p->chip[off];

	pthread_mutex_lock(&p->lock);
	c->elcr = (u8)val & elcr_writable[off];
	c->irr = (c->irr & (u8)~c->elcr) | (c->lines & c->elcr);
	refresh_locked(p);
	pthread_mutex_unlock(&p->lock);
}

static const struct io_ops chip_ops = { .read = port_read, .write = port_write, .max_bytes = 1 };
static const struct io_ops elcr_ops = { .read = elcr_read, .write = elcr_write, .max_bytes = 1 };

void pic_reset(struct pic *p)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < 2; i++) {
		struct chip *c = &p->chip[i];

		c->elcr = (u8)(BOARD_ELCR >> 8 * i);
		chip_init(c, 0);
		c->init = INIT_DONE;
		c->base = 0;
		c->imr = 0xff; /* as firmware would leave it to a kernel that does not know 8259s */
	}
	refresh_locked(p);
	pthread_mutex_unlock(&p->lock);
}

static const u8 step_number[] = { [INIT_DONE] = 0, [INIT_ICW2] = 2, [INIT_ICW3] = 3, [INIT_ICW4] = 4 };

void pic_get_state(struct pic *p, struct pic_state *st)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < 2; i++) {
		const struct chip *c = &p->chip[i];

		st[i] = (struct pic_state){
			.lines = c->lines,
			.irr = c->irr,
			.imr = c->imr,
			.isr = c->isr,
			.elcr = c->elcr,
			.base = c->base,
			.lowest = c->lowest,
			.init = step_number[c->init],
			.icw4 = c->icw4,
			.single = c->single,
			.auto_eoi = c->auto_eoi,
			.rotate_aeoi = c->rotate_aeoi,
			.nested = c->nested,
			.special_mask = c->special_mask,
			.read_isr = c->read_isr,
			.poll = c->poll,
		};
	}
	pthread_mutex_unlock(&p->lock);
}

void pic_set_state(struct pic *p, const struct pic_state *st)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < 2; i++) {
		struct chip *c = &p->chip[i];

		c->lines = st[i].lines;
		c->irr = st[i].irr;
		c->imr = st[i].imr;
		c->isr = st[i].isr;
		c->elcr = st[i].elcr & elcr_writable[i];
		c->base = st[i].base & 0xf8;
		c->lowest = st[i].lowest & 7;
		c->init = st[i].init >= 2 && st[i].init <= 4 ? INIT_ICW2 + (st[i].init - 2u) : INIT_DONE;
		c->icw4 = st[i].icw4;
		c->single = st[i].single;
		c->auto_eoi = st[i].auto_eoi;
		c->rotate_aeoi = st[i].rotate_aeoi;
		c->nested = st[i].nested;
		c->special_mask = st[i].special_mask;
		c->read_isr = st[i].read_isr;
		c->poll = st[i].poll;
	}
	refresh_locked(p);
	pthread_mutex_unlock(&p->lock);
}

int pic_new(struct pic **out, struct bus *bus, void (*output)(void *opaque, bool level), void *opaque)
{
	struct pic *p = xcalloc(1, sizeof(*p));
	int rc;

	pthread_mutex_init(&p->lock, NULL);
	p->bus = bus;
	p->output = output;
	p->output_opaque = opaque;
	for (unsigned i = 0; i < 2; i++) {
		p->chip[i].pic = p;
		p->chip[i].master = i == 0;
	}
	p->region[0] = (struct io_region){ .ops = &chip_ops, .dev = &p->chip[0], .name = "pic1" };
	p->region[1] = (struct io_region){ .ops = &chip_ops, .dev = &p->chip[1], .name = "pic2" };
	p->region[2] = (struct io_region){ .ops = &elcr_ops, .dev = p, .name = "elcr" };
	pic_reset(p);
	if ((rc = bus_map_pio(bus, &p->region[0], LAYOUT_PIC1, 2)) < 0 ||
	    (rc = bus_map_pio(bus, &p->region[1], LAYOUT_PIC2, 2)) < 0 ||
	    (rc = bus_map_pio(bus, &p->region[2], LAYOUT_ELCR, 2)) < 0) {
		pic_free(p);
		return rc;
	}
	*out = p;
	return 0;
}

void pic_free(struct pic *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < ARRAY_LEN(p->region); i++)
		bus_unmap_pio(p->bus, &p->region[i]);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
