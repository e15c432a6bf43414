/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_options.h - what follows the engine's name in --engine and in the configuration, as "key=value" items. */
#ifndef MICA_VMM_ENGINE_OPTIONS_H
#define MICA_VMM_ENGINE_OPTIONS_H

#include "cpu/soft_options.h"

/* All items into *o. Messages begin with the item. */
int engine_options_parse(struct soft_options *o, char *const *items, unsigned n, struct err *e);
/* May there be items for this engine? */
int engine_options_allowed(const char *engine, unsigned n, struct err *e);

#endif
