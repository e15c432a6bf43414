/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doorbell.h - what bus.c asks of doorbell.c; the interface for devices is in bus.h. */
#ifndef MICA_DOORBELL_H
#define MICA_DOORBELL_H

#include "machine/bus.h"

struct doorbells *doorbells_new(const struct doorbell_maker *m, struct io_region *r, u64 off, unsigned step,
				unsigned n);
void doorbells_free(struct doorbells *d);
/* The region answers at base, or no longer does. */
void doorbells_map(struct doorbells *d, gpa_t base);
void doorbells_unmap(struct doorbells *d);

#endif
