/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * saved_config.h - the first section of a saved VM: what it was put together from. mica run reads it to give
 * mica-vmm the same machine; mica-vmm checks that it did.
 */
#ifndef MICA_SAVED_CONFIG_H
#define MICA_SAVED_CONFIG_H

#include "base/state.h"
#include "vmm/config.h"

struct saved_config {
	struct vmm_config cfg; /* no consoles, sockets, descriptors; paths absolute */
	bool virtio_console;   /* is there one */
	bool serial2;          /* the same */
};

/* cwd: what relative paths are relative to. */
int saved_config_save(struct state_file *s, const struct vmm_config *cfg, const char *cwd, struct err *e);
/* c is initialised on success only. */
int saved_config_load(struct state_file *s, struct saved_config *c, struct err *e);
void saved_config_fini(struct saved_config *c);
/* Does cfg make the machine that was saved? */
int saved_config_fits(const struct saved_config *c, const struct vmm_config *cfg, struct err *e);

#endif
