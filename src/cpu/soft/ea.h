/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ea.h - effective addresses that need more than a sum: segment limits, wrapping, address sizes.
 */
#ifndef MICA_SOFT_EA_H
#define MICA_SOFT_EA_H

#include "cpu/soft/vcpu.h"

/* Linear address of op's memory operand for an access of `bytes`, with all segment checks. */
gva_t soft_ea(struct soft_cpu *c, const struct uop *op, unsigned bytes, bool write);
/* The offset part alone (LEA; string and bit-string forms add to it). */
u64 soft_ea_offset(struct soft_cpu *c, const struct uop *op);
/* Segment check and base for an explicit offset: seg is enum cpu_seg_name. */
gva_t soft_seg_lin(struct soft_cpu *c, unsigned seg, u64 off, unsigned bytes, bool write);

#endif
