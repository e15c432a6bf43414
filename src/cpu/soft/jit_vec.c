/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_vec.c - vector instructions, with the guest's registers in the host's. */
#include "cpu/soft/jit_emit.h"

bool jv_classify(struct jit *j, struct jinsn *i)
{
	(void)j, (void)i;
	return false;
}
