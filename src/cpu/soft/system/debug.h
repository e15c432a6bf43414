/* SPDX-License-Identifier: GPL-2.0-or-later */
/* debug.h - bits of DR6, and breakpoints on I/O. */
#ifndef MICA_SOFT_SYS_DEBUG_H
#define MICA_SOFT_SYS_DEBUG_H

#include "cpu/soft/system/sys.h"

#define DR6_BD (1ull << 13)
#define DR6_BS (1ull << 14)
#define DR6_BT (1ull << 15)
/* Note an I/O access for DR7 breakpoints of that kind (CR4.DE). */
void sys_io_breakpoint(struct soft_cpu *c, u16 port, unsigned bytes);

#endif
