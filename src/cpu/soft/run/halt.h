/* SPDX-License-Identifier: GPL-2.0-or-later */
/* halt.h - a halted vCPU waits. */
#ifndef MICA_SOFT_HALT_H
#define MICA_SOFT_HALT_H

#include "cpu/soft/vm.h"

/* Until something may end the halt, or a timer is due. Outside of guest code. */
void halt_wait(struct soft_cpu *c);

#endif
