/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_virtqueue.c - fuzz_virtqueue.c without a fuzzer (mutate.h): random drivers. */
#include "mutate.h"

/* Many of the well-behaved actions. */
static void shape(u8 *buf, size_t n, unsigned long round)
{
	for (size_t k = 1; round % 4 == 0 && k < n; k += 1 + buf[k] % 4)
		buf[k] = buf[k] % 9;
}

int main(int argc, char **argv)
{
	const struct mutate m = { .rounds = 5000, .least = 16, .most = 1016, .shape = shape, .what = "drivers" };

	return mutate_main(&m, argc, argv);
}
