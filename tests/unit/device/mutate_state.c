/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate_state.c - fuzz_state.c without a fuzzer: some thousand damaged states, the same ones each time.
 *   mutate_state [ROUNDS]      the default runs in seconds
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
	static const u8 edges[] = { 0, 1, 2, 7, 0x7f, 0x80, 0xfe, 0xff };
	unsigned rounds = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 0) : 5000;
	u8 buf[1 + 5 * 64];

	for (unsigned i = 0; i < rounds; i++) {
		unsigned edits = next_random() % (i % 2 ? 64 : 4); /* few: so that it gets far */

		buf[0] = 1;
		for (unsigned k = 0; k < edits; k++) {
			u8 *p = buf + 1 + 5 * k;
			p[0] = (u8)next_random();
			st_le16(p + 1, (u16)next_random());
			p[3] = next_random() % 2 ? edges[next_random() % sizeof(edges)] : (u8)next_random();
			/* Most change a byte; the rest what a file is made of (fuzz_state.c). */
			p[4] = next_random() % 16 ? 0 : (u8)(0xf8 + next_random() % 8);
		}
		LLVMFuzzerTestOneInput(buf, 1 + 5 * edits);
	}
	printf("%u damaged states, none did harm\n", rounds);
	return 0;
}
