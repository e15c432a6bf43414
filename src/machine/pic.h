/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pic.h - the two 8259A interrupt controllers and their edge/level control registers.
 *
 * Threads: any. Its lock is held while the output is told to the local APIC.
 */
#ifndef MICA_PIC_H
#define MICA_PIC_H

#include "machine/bus.h"

struct pic;

/* Maps ports 0x20, 0xa0, 0x4d0. output: the INTR wire of the master. */
int pic_new(struct pic **out, struct bus *bus, void (*output)(void *opaque, bool level), void *opaque);
void pic_free(struct pic *p);
void pic_reset(struct pic *p);
void pic_set_irq(struct pic *p, unsigned irq, bool level); /* irq 0-15, not 2 */
/* Interrupt acknowledge: the vector, or -1 when no request is left. */
int pic_ack(struct pic *p);

/* No vCPU runs; st[0]: master, st[1]: slave. set also tells the output. */
struct pic_state;
void pic_get_state(struct pic *p, struct pic_state *st);
void pic_set_state(struct pic *p, const struct pic_state *st);

#endif
