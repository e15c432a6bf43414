/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filter.h - what filter.c, while Mica is built, and sandbox.c agree on. */
#ifndef MICA_FILTER_H
#define MICA_FILTER_H

/* Stands where our process id will. */
#define FILTER_OUR_PID 0x4d494341u
#define FILTER_IS_OUR_PID(f) ((f)->code == (BPF_JMP | BPF_JEQ | BPF_K) && (f)->k == FILTER_OUR_PID)

#endif
