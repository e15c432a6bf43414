/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate_disks.c - fuzz_disks.c without a fuzzer: random drivers of AHCI, IDE and NVMe, the same ones each time.
 *   mutate_disks [ROUNDS [FIRST]]      the default runs in seconds
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
		for (size_t len = 1024 + s % (sizeof(buf) - 1024); n < len; n++) {
			s ^= s << 13;
			s ^= s >> 7;
			s ^= s << 17;
			buf[n] = (u8)(s >> 24);
		}
		buf[0] = (u8)i;
		if (i % 2) /* much of memory is zeros, and pages have a FIS or an entry at their beginning */
			for (size_t at = 1024; at + 64 <= n; at += 64) {
				if (buf[at] % 4)
					memset(buf + at, 0, 64);
				else if (buf[at] % 3)
					memcpy(buf + at, "\x27\x80\x25\0\0\0\0\x40", 8);
			}
		LLVMFuzzerTestOneInput(buf, n);
	}
	printf("%lu drivers survived\n", rounds);
	return 0;
}
