/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * patience.h - how long tests wait before they call something hung: a limit bounds a hang, it does not measure.
 * MICA_TEST_PATIENCE multiplies all of them (tools/patience.py): a busy machine is slow, and nothing is wrong.
 */
#ifndef MICA_PATIENCE_H
#define MICA_PATIENCE_H

#include <stdint.h>
#include <stdlib.h>

/* `limit` in whatever unit, times the factor. */
static inline uint64_t patient(uint64_t limit)
{
	const char *s = getenv("MICA_TEST_PATIENCE");
	double f = s ? atof(s) : 1;

	return f > 1 ? (uint64_t)((double)limit * f) : limit;
}

#endif
