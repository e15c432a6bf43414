/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtc.h - the MC146818 real-time clock and 128 bytes of CMOS, in UTC.
 *
 * Threads: any.
 */
#ifndef MICA_RTC_H
#define MICA_RTC_H

#include "base/loop.h"
#include "machine/bus.h"

struct rtc;

/* Maps ports 0x70-0x71. real_ns: the time of day, ns since 1970 (clock_real_ns, or a test's own with
 * loop NULL: then nothing interrupts by itself). */
int rtc_new(struct rtc **out, struct bus *bus, struct loop *loop, struct irq_line irq, u64 (*real_ns)(void));
void rtc_free(struct rtc *r);
/* The vCPU whose sleep serves the timer, on its thread: park returns when it is due, unpark raises it then. */
u64 rtc_park(struct rtc *r);
void rtc_unpark(struct rtc *r);
void rtc_reset(struct rtc *r); /* the time goes on */
/* A byte of CMOS that is not the clock's. No vCPU runs. */
void rtc_set_cmos(struct rtc *r, u8 reg, u8 v);

/* Save or load; no vCPU runs. The guest's time goes on with the host's, also while the VM does not run. */
struct state_file;
void rtc_state(struct rtc *r, struct state_file *s);

#endif
