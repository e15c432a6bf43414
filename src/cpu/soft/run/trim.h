/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trim.h - a guest that idles gives back what its code took: decoded blocks, translations, jump caches.
 *
 * They are a cache of what is in the guest's memory, tens of MiB after a boot, and a guest that waits for work uses a
 * few hundred KiB of them. A host full of such guests has better uses for the rest. When work comes, code is decoded
 * and translated again as it is come to; so it is done only after half a minute in which the VM took nearly no CPU
 * time, and a guest that is called once in a while pays a few hundredths of that while at most.
 */
#ifndef MICA_SOFT_TRIM_H
#define MICA_SOFT_TRIM_H

#include "cpu/soft/vm.h"

/* c halts, at now_ns (CLOCK_MONOTONIC). Its thread, outside of guest code. */
void trim_halted(struct soft_cpu *c, u64 now_ns);
/* Give it all back now; the same. False: a vCPU is on its way back to a block. */
bool trim_now(struct soft_cpu *c);

#endif
