/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_length.h - how long an instruction is, and where its opcode stands. Inside of direct/: for looking through
 * pages, where a real decoder would take 30 times as long.
 */
#ifndef MICA_SOFT_DIRECT_LENGTH_H
#define MICA_SOFT_DIRECT_LENGTH_H

#include "base/base.h"

enum { P_66 = 1, P_F2 = 2, P_F3 = 4, P_67 = 8, P_W = 16 };

struct length {
	unsigned bytes;  /* 0: no instruction */
	unsigned opcode; /* where the opcode is, without VEX and the like; else behind the end */
	u8 prefixes;
};

#define DIRECT_LENGTH_LOOKS 24 /* bytes that it may look at */

/* At p, in code of 32 bits or of 64. */
struct length direct_length(const u8 *p, bool code32);

#endif
