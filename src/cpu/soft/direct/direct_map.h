/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_map.h - which guest pages a runner has mapped. Inside of direct/; see direct_map.c.
 */
#ifndef MICA_SOFT_DIRECT_MAP_H
#define MICA_SOFT_DIRECT_MAP_H

#include "cpu/soft/direct/direct_runner.h"

struct direct_map *direct_map_new(void);
/* Its runner has begun: nothing is mapped. */
void direct_map_begin(struct direct_map *m);
void direct_map_free(struct direct_map *m);
/* Make its mappings right for a start; < 0: it is dead, or -ESTALE: the page tables are another process's now. */
int direct_map_sync(struct soft_cpu *c, struct runner *r);
/* The runner's page fault: true, if it is to try again. error: #PF error code. ahead: it will be; where the guest's
 * tables have no such page, nothing is done. */
bool direct_map_fault(struct soft_cpu *c, struct runner *r, u64 lin, u64 error, bool ahead);
/* Another address space comes, or a command failed. */
void direct_map_forget(struct runner *r);
/* How many pages it has. */
u32 direct_map_pages(const struct runner *r);
/* It is dead, and nothing of it is left. */
void direct_map_lost(struct soft_cpu *c, struct runner *r);
/* Does a runner of c have the page, or ~0: any, for executing? It will be looked at before its next start. c->tlb_lock
 * held. */
bool direct_map_revoke(struct soft_cpu *c, u64 page);

#endif
