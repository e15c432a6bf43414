/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reset_ports.h - the ports by which a guest ends or restarts its machine: 0xcf9, the keyboard controller's
 * 0x64, port 0x92, and the debug exit 0xf4.
 *
 * Threads: any.
 */
#ifndef MICA_RESET_H
#define MICA_RESET_H

#include "machine/bus.h"

struct reset;

struct reset_config {
	bool debug_exit; /* is port 0xf4 there */
	/* Called with no lock held, on the vCPU's thread. */
	void (*reset)(void *opaque);
	void (*debug_exited)(void *opaque, u32 value);
	void *opaque;
};

int reset_new(struct reset **out, struct bus *bus, const struct reset_config *cfg);
void reset_free(struct reset *r);
void reset_reset(struct reset *r);
/* A keyboard controller of its own takes ports 60 and 64. */
void reset_without_keyboard(struct reset *r);

/* Save or load; no vCPU runs. */
struct state_file;
void reset_state(struct reset *r, struct state_file *s);

#endif
