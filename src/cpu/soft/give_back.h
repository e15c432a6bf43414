/* SPDX-License-Identifier: GPL-2.0-or-later */
/* give_back.h - memory that reads as zeroes again, and is the host's until somebody writes it. */
#ifndef MICA_SOFT_GIVE_BACK_H
#define MICA_SOFT_GIVE_BACK_H

#include "base/base.h"

#include <sys/mman.h>

/* Of private anonymous memory: the whole pages in it. */
static inline void give_back(void *p, size_t bytes)
{
	uintptr_t from = ROUND_UP((uintptr_t)p, PAGE_BYTES), to = ((uintptr_t)p + bytes) & PAGE_MASK;

	if (to > from)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

#endif
