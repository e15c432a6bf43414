/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_regs.h - registers between a vCPU and its runner's frame. Inside of direct/. */
#ifndef MICA_SOFT_DIRECT_REGS_H
#define MICA_SOFT_DIRECT_REGS_H

#include "cpu/soft/direct/direct_runner.h"

/* What guest code at CPL 3 has a say in. */
#define USER_FLAGS (FL_STATUS | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID)
/* Linux's rt_sigreturn leaves these alone: who has one set is not executed directly. */
#define LOST_FLAGS (FL_NT | FL_ID)

/* For a start. */
void direct_regs_put(struct soft_cpu *c, struct runner *r);
/* After a stop. */
void direct_regs_get(struct soft_cpu *c, struct runner *r);

#endif
