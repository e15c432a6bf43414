/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec_flags.h - the guest's status flags in handlers: taken from the host's own instruction, given to it, tested.
 *
 * c->fl holds them as LAHF and SETO leave them in AX: a handler runs the host's instruction, then these two, and
 * stores AX.
 */
#ifndef MICA_SOFT_EXEC_FLAGS_H
#define MICA_SOFT_EXEC_FLAGS_H

#include "cpu/soft/interp/exec.h"

/* In an asm statement whose first output beside the result is EAX: */
#define FLAGS_OUT "\n\tlahf\n\tseto %%al"
/* The guest's flags, operand [fl], into the host's. EAX is used up; ADD $127 makes OF from AL. */
#define FLAGS_IN "movl %k[fl], %%eax\n\taddb $127, %%al\n\tsahf\n\t"
#define FL_ARG (c->fl & 0xff01)
/* The guest's CF alone. */
#define CARRY_IN "btl $8, %k[fl]\n\t"

#define FOR_SIZES(M, ...) M(__VA_ARGS__, 8, "b") M(__VA_ARGS__, 16, "w") M(__VA_ARGS__, 32, "l") M(__VA_ARGS__, 64, "q")

/* Conditions 0..15 as in Jcc (SDM 2 appendix B.1.4), from the flags in LAHF/SETO form. */
always_inline_ bool cond(u32 fl, unsigned cc)
{
	bool r;
	switch (cc >> 1) {
	case 0:
		r = fl & 1;
		break;
	case 1:
		r = fl & 0x100;
		break;
	case 2:
		r = fl & 0x4000;
		break;
	case 3:
		r = fl & 0x4100;
		break;
	case 4:
		r = fl & 0x8000;
		break;
	case 5:
		r = fl & 0x400;
		break;
	case 6:
		r = ((fl >> 15) ^ fl) & 1;
		break;
	default:
		r = (fl & 0x4000) || (((fl >> 15) ^ fl) & 1);
		break;
	}
	return (cc & 1) ? !r : r;
}

#endif
