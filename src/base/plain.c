/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plain.c - see plain.h. */
#include "base/plain.h"

static int bad_sequence(const unsigned char *p)
{
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 1;
	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* C1 */
		return 2;
	if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae)))
		return 3; /* U+200E, U+200F, U+2028 to U+202E */
	if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)
		return 3; /* U+2066 to U+2069 */
	return 0;
}

void plain_text(char *s)
{
	/* The zero at the end is no part of a sequence: no look beyond it. */
	for (unsigned char *p = (unsigned char *)s; *p; p++)
		for (int n = bad_sequence(p); n > 0; n--) {
			*p = '?';
			p += n > 1;
		}
}
