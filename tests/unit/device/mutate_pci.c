/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate_pci.c - fuzz_pci.c without a fuzzer: random drivers of PCI functions that are no disks, the same each time.
 *   mutate_pci [ROUNDS [FIRST]]      the default runs in seconds
 */
#include "base/base.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 600,
		      first = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	static u8 buf[65536];

	for (unsigned long i = first; i < first + rounds; i++) {
		u64 s = (i + 1) * 0x9e3779b97f4a7c15ull;
		size_t n = 0;
		for (size_t len = 8192 + s % (sizeof(buf) - 8192); n < len; n++) {
			s ^= s << 13;
			s ^= s >> 7;
			s ^= s << 17;
			buf[n] = (u8)(s >> 24);
		}
		buf[0] = (u8)i;
		buf[2] = 1; /* a script of half the length */
		if (i % 2)  /* addresses in memory, and lengths that are not all too long */
			for (size_t at = 4104; at + 16 <= n; at += 16) {
				memset(buf + at + 3, 0, 5);
				buf[at + 2] &= 3;
				if (buf[at] % 2)
					buf[at + 9] &= 7;
			}
		LLVMFuzzerTestOneInput(buf, n);
	}
	printf("%lu drivers survived\n", rounds);
	return 0;
}
