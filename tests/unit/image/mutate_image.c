/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_image.c - fuzz_image.c without a fuzzer: patches by chance, with values that numbers in headers like. */
#include "base/base.h"

#define ROUNDS 1500u

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u32 chance(u64 *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(*seed >> 32);
}

int main(void)
{
	static const u16 liked[] = { 0, 1, 2, 7, 0x80, 0x7fff, 0x8000, 0xffff, 0xfffe };
	u64 seed = 61;
	u8 data[2 + 6 * 4];

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned patches = chance(&seed) % 4 + 1;
		st_le16(data, (u16)chance(&seed));
		for (unsigned j = 0; j < patches; j++) {
			st_le32(data + 2 + j * 6ul, chance(&seed));
			st_le16(data + 6 + j * 6ul,
				chance(&seed) % 2 ? liked[chance(&seed) % ARRAY_LEN(liked)] : (u16)chance(&seed));
		}
		LLVMFuzzerTestOneInput(data, 2 + patches * 6ul);
	}
	return 0;
}
