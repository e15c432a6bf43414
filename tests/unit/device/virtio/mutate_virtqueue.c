/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate_virtqueue.c - fuzz_virtqueue.c without a fuzzer: some thousand random drivers, the same ones each
 * time.
 *   mutate_virtqueue [ROUNDS [FIRST]]      the default runs in seconds
 */
#include "base/base.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000,
		      first = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	static u8 buf[1024];

	for (unsigned long i = first; i < first + rounds; i++) {
		u64 s = (i + 1) * 0x9e3779b97f4a7c15ull;
		size_t n = 0;
		for (size_t len = 16 + s % 1000; n < len; n++) {
			s ^= s << 13;
			s ^= s >> 7;
			s ^= s << 17;
			buf[n] = (u8)(s >> 24);
		}
		if (i % 4 == 0) /* many of the well-behaved actions */
			for (size_t k = 1; k < n; k += 1 + buf[k] % 4)
				buf[k] = buf[k] % 9;
		LLVMFuzzerTestOneInput(buf, n);
	}
	printf("%lu drivers survived\n", rounds);
	return 0;
}
