/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pit.h - the 8254 interval timer, and port 0x61 which gates its channel 2 and reads its output.
 *
 * Threads: any.
 */
#ifndef MICA_PIT_H
#define MICA_PIT_H

#include "base/loop.h"
#include "machine/bus.h"

#define PIT_HZ 1193182

struct pit;

/* Maps ports 0x40-0x43 and 0x61. now_ns: a monotonic clock that loop timers share (clock_mono_ns), or
 * a test's own with loop NULL: then nothing interrupts. */
int pit_new(struct pit **out, struct bus *bus, struct loop *loop, struct irq_line irq0, u64 (*now_ns)(void));
void pit_free(struct pit *p);
/* The vCPU whose sleep serves the timer, on its thread: park returns when it is due, unpark raises it then. */
u64 pit_park(struct pit *p);
void pit_unpark(struct pit *p);
void pit_reset(struct pit *p);

/* No vCPU runs. */
struct pit_state;
void pit_get_state(struct pit *p, struct pit_state *st);
void pit_set_state(struct pit *p, const struct pit_state *st);

#endif
