/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_scsi.c - fuzz_scsi.c without a fuzzer (mutate.h): random drivers of the SCSI adapter. */
#include "mutate.h"

/* Requests, more than anything else. */
static void shape(u8 *buf, size_t n, unsigned long round)
{
	for (size_t k = 0; round % 2 == 0 && k < n; k += 20)
		buf[k] = (u8)(0x10 | (buf[k] & 7));
}

int main(int argc, char **argv)
{
	const struct mutate m = { .rounds = 1500, .least = 16, .most = 516, .shape = shape, .what = "drivers" };

	return mutate_main(&m, argc, argv);
}
