/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_disks.c - fuzz_disks.c without a fuzzer (mutate.h): random drivers of AHCI, IDE and NVMe. */
#include "mutate.h"

/* Much of memory is zeros, and pages have a FIS or an entry at their beginning. */
static void shape(u8 *buf, size_t n, unsigned long round)
{
	buf[0] = (u8)round;
	for (size_t at = 1024; round % 2 && at + 64 <= n; at += 64) {
		if (buf[at] % 4)
			memset(buf + at, 0, 64);
		else if (buf[at] % 3)
			memcpy(buf + at, "\x27\x80\x25\0\0\0\0\x40", 8);
	}
}

int main(int argc, char **argv)
{
	const struct mutate m = { .rounds = 600, .least = 1024, .most = 65536, .shape = shape, .what = "drivers" };

	return mutate_main(&m, argc, argv);
}
