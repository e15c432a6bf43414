/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_pci.c - fuzz_pci.c without a fuzzer (mutate.h): random drivers of PCI functions that are no disks. */
#include "mutate.h"

/* A script of half the length; addresses in memory, and lengths that are not all too long. */
static void shape(u8 *buf, size_t n, unsigned long round)
{
	buf[0] = (u8)round;
	buf[2] = 1;
	for (size_t at = 4104; round % 2 && at + 16 <= n; at += 16) {
		memset(buf + at + 3, 0, 5);
		buf[at + 2] &= 3;
		if (buf[at] % 2)
			buf[at + 9] &= 7;
	}
}

int main(int argc, char **argv)
{
	const struct mutate m = { .rounds = 600, .least = 8192, .most = 65536, .shape = shape, .what = "drivers" };

	return mutate_main(&m, argc, argv);
}
