/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slirp_sandbox.h - take from mica-slirp what it does not need; one thread, before the first frame. */
#ifndef MICA_SLIRP_SANDBOX_H
#define MICA_SLIRP_SANDBOX_H

#include "base/err.h"

/* As walls_put() (base/walls.h). */
int slirp_sandbox(struct err *e);

#endif
