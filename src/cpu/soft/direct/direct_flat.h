/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_flat.h - code of 32 bits in flat segments. Inside of direct/; see direct_flat.c. */
#ifndef MICA_SOFT_DIRECT_FLAT_H
#define MICA_SOFT_DIRECT_FLAT_H

#include "cpu/soft/direct/direct_runner.h"
#include "cpu/soft/vm.h"

/* 32-bit code is about to be let in: can the host execute it? Found out once, where nobody knows yet. */
void direct_flat_ask(struct soft_cpu *c);
/* Are c's segments such as a runner can have? 32-bit code; nothing else of c is looked at. */
bool direct_flat_possible(const struct soft_cpu *c);
/* The stack pointer and the segments for a start. */
void direct_flat_put(const struct soft_cpu *c, struct runner *r);
/* After a stop of 32-bit code: is it still that, with the segments it was started with? */
bool direct_flat_kept(const struct soft_cpu *c, const struct runner *r);

#endif
