/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * code_memory.h - memory for generated code: the same pages twice, for writing and for execution, never both at one
 * address.
 *
 * Map it when the VM is made: a sandbox may forbid new executable mappings later. Code that is written by one address
 * and fetched by the other needs a serializing instruction in between where it replaces other code (SDM 3A 8.1.3).
 */
#ifndef MICA_SOFT_CODE_MEMORY_H
#define MICA_SOFT_CODE_MEMORY_H

#include "base/base.h"
#include "base/err.h"

/* Maps `bytes`, zeroed, taking host memory as it is touched; a failure maps nothing. name: in /proc/PID/maps. */
int code_memory_map(const char *name, size_t bytes, u8 **rw, u8 **rx, struct err *e);
/* The same as anonymous memory: perf looks into its map file for nothing else, and a memfd is none to it. SELinux asks
 * for execmem then, so this is not for always. */
int code_memory_map_anonymous(size_t bytes, u8 **rw, u8 **rx, struct err *e);
/* Of either. NULLs: nothing was mapped. */
void code_memory_unmap(size_t bytes, u8 *rw, u8 *rx);

#endif
