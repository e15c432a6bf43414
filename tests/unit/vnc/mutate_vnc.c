/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate_vnc.c - fuzz_vnc_greet.c without a fuzzer: sound beginnings with bytes changed, the same ones each time.
 *   mutate_vnc [ROUNDS]
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
	static const u8 sound[] = "\1\x0cRFB 003.008\n\1\x13\2\0\2\4\0\0\1\6\x08\0\0\0\4\0\0\0\4\x08useruser\x10";
	unsigned rounds = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 0) : 200000;
	u8 buf[sizeof(sound) + 64];

	for (unsigned i = 0; i < rounds; i++) {
		memset(buf, (int)next_random(), sizeof(buf));
		memcpy(buf, sound, sizeof(sound));
		buf[0] = (u8)i;
		buf[25] = (u8)(4 + i / 2 % 3); /* the way in */
		for (unsigned k = next_random() % 4; k--;)
			buf[next_random() % sizeof(buf)] = (u8)next_random();
		LLVMFuzzerTestOneInput(buf, sizeof(sound) - 1 + next_random() % 65);
	}
	printf("%u beginnings, none did harm\n", rounds);
	return 0;
}
