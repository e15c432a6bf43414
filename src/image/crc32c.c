/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crc32c.c - see crc32c.h. A byte at a time, by a table that the first use makes. */
#include "image/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static u32 table[256];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (u32 i = 0; i < 256; i++) {
		u32 c = i;
		for (unsigned bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? POLYNOMIAL : 0);
		table[i] = c;
	}
}

u32 crc32c(u32 crc, const void *p, size_t n)
{
	const u8 *s = p;

	pthread_once(&made, make_table);
	crc = ~crc;
	while (n--)
		crc = crc >> 8 ^ table[(u8)(crc ^ *s++)];
	return ~crc;
}
