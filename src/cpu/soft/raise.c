/* SPDX-License-Identifier: GPL-2.0-or-later */
/* raise.c - see raise.h. */
#include "cpu/soft/raise.h"

void soft_raise(struct soft_cpu *c, enum soft_exc vec, s64 error)
{
	c->exc.vec = (u8)vec;
	c->exc.has_error = error != EXC_NO_ERROR;
	c->exc.error = (u32)error;
	c->exc.is_trap = false;
	_longjmp(c->jb, 1);
}

void soft_raise_pf(struct soft_cpu *c, gva_t cr2, u32 error)
{
	c->exc.cr2 = cr2;
	soft_raise(c, EXC_PF, error);
}

void soft_raise_db(struct soft_cpu *c, u64 dr6, bool trap)
{
	c->exc.vec = EXC_DB;
	c->exc.has_error = false;
	c->exc.dr6 = dr6;
	c->exc.is_trap = trap;
	_longjmp(c->jb, 1);
}

void core_redo_stepped(struct soft_cpu *c)
{
	_longjmp(c->jb, 2);
}
