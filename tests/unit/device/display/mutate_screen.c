/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate_screen.c - fuzz_screen.c without a fuzzer: some hundred hostile guests, the same ones each time.
 *   mutate_screen [ROUNDS]      the default runs in seconds
 */
#include "base/base.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u64 random_state = 0x9e3779b97f4a7c15ull;

static u32 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (u32)(random_state >> 16);
}

int main(int argc, char **argv)
{
	/* Registers of the Bochs interface and values that are about as large as they can be. */
	static const u16 sizes[] = { 0, 1, 8, 639, 640, 1024, 2560, 2561, 4096, 0x7fff, 0xffff, 32, 4, 0x41 };
	unsigned rounds = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 0) : 300;
	u8 buf[4 * 256];

	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = next_random() % 256;

		for (unsigned k = 0; k < n; k++) {
			u8 *p = buf + 4 * k;
			p[0] = (u8)next_random();
			st_le16(p + 1, (u16)next_random());
			p[3] = (u8)next_random();
			if ((p[0] & 15) >= 5 && (p[0] & 15) <= 7)
				st_le16(p + 1, sizes[next_random() % ARRAY_LEN(sizes)]);
			/* Looking at all of a large screen takes long. */
			if ((p[0] & 15) >= 14 && next_random() % 8)
				p[0] = 8;
		}
		if (n >= 2 && i % 4) { /* or nothing is ever shown */
			memcpy(buf, (const u8[]){ 4, 0x2a, 0, 0, 0, 0x10, 0, 0x20 }, 8);
		}
		LLVMFuzzerTestOneInput(buf, 4 * n);
	}
	printf("%u hostile guests, none did harm\n", rounds);
	return 0;
}
