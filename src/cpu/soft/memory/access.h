/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * access.h - guest memory as an instruction accesses it, where the fast paths of handlers do not serve.
 */
#ifndef MICA_SOFT_ACCESS_H
#define MICA_SOFT_ACCESS_H

#include "cpu/soft/vcpu.h"

/* With the current privilege unless said; may raise. */
u8 soft_ld8(struct soft_cpu *c, gva_t lin);
u16 soft_ld16(struct soft_cpu *c, gva_t lin);
u32 soft_ld32(struct soft_cpu *c, gva_t lin);
u64 soft_ld64(struct soft_cpu *c, gva_t lin);
void soft_st8(struct soft_cpu *c, gva_t lin, u8 v);
void soft_st16(struct soft_cpu *c, gva_t lin, u16 v);
void soft_st32(struct soft_cpu *c, gva_t lin, u32 v);
void soft_st64(struct soft_cpu *c, gva_t lin, u64 v);
/* By size (1 2 4 8), zero-extended. */
u64 soft_ld(struct soft_cpu *c, gva_t lin, unsigned bytes);
void soft_st(struct soft_cpu *c, gva_t lin, unsigned bytes, u64 v);
/* Any length up to a page; all pages are checked before the first byte is written. */
void soft_ld_bytes(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes);
void soft_st_bytes(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes);
/* ... at any alignment: elements under a mask. */
void soft_ld_bytes_any(struct soft_cpu *c, gva_t lin, void *buf, unsigned bytes);
void soft_st_bytes_any(struct soft_cpu *c, gva_t lin, const void *buf, unsigned bytes);
/* #AC, where it is on and lin is not a multiple of align (a power of two). */
void soft_check_align(struct soft_cpu *c, gva_t lin, unsigned bytes, unsigned align, bool write);
/* Raise now whatever an access would raise. */
void soft_probe(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write);
/* Implicit supervisor accesses: descriptor tables, TSS, and stacks of an inner ring being pushed
 * to (SDM 3A 4.6.1). user: check as CPL 3 instead. */
u64 soft_ld_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, bool user);
void soft_st_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, u64 v, bool user);
void soft_probe_priv(struct soft_cpu *c, gva_t lin, unsigned bytes, bool write, bool user);
/* Host pointer for a locked or plain read-modify-write of an aligned or unaligned `bytes` at lin
 * (write permission checked, dirty set, code on the page invalidated), or NULL where it is MMIO or
 * crosses pages: then load, compute, and soft_st(). */
void *soft_rmw_ptr(struct soft_cpu *c, gva_t lin, unsigned bytes);

#endif
