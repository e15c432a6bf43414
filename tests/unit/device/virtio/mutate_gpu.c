/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate_gpu.c - fuzz_virtio_dev.c's display device without a fuzzer: drivers whose commands are nearly sound, the same
 * ones each time.
 *   mutate_gpu [ROUNDS]
 */
#include "base/base.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define HEAD 16 /* of the input; guest memory follows */
#define COMMANDS 8u
#define COMMAND_AT 0x2000u
#define COMMAND_BYTES 0x100u
#define ANSWER_AT 0x8000u

static u64 random_state = 0x9e3779b97f4a7c15ull;

static u32 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (u32)(random_state >> 16);
}

static u32 number(void)
{
	static const u32 wild[] = { 0x7fffffff, 0x80000000, 0xffffffff, 0xfffff000, 4096, 8192, 1024, 64 };

	return next_random() % 8 ? next_random() % 6 : wild[next_random() % ARRAY_LEN(wild)];
}

/* Create, give it pages, show it, fill it, show it again, then anything. */
static void command(u8 *c, unsigned i, bool cursor)
{
	static const u32 order[] = { 0x101, 0x106, 0x103, 0x105, 0x104 };
	u32 type = i < ARRAY_LEN(order) ? order[i] : 0x100 + next_random() % 12;

	memset(c, 0, COMMAND_BYTES);
	st_le32(c, cursor ? 0x300 + next_random() % 3 : type);
	for (unsigned k = 24; k < COMMAND_BYTES; k += 4)
		st_le32(c + k, number());
	if (!cursor && next_random() % 4) {
		static const u8 where[] = { 0, 24, 24, 44, 40, 48, 24, 24 };
		unsigned id = where[type % 8];

		if (type == 0x101) {
			st_le32(c + 28, 1 + next_random() % 4);
			st_le32(c + 32, 1 + next_random() % 200);
			st_le32(c + 36, 1 + next_random() % 200);
		}
		if (type == 0x106)
			st_le32(c + 36, 0);
		st_le32(c + id, 1);
	}
}

int main(int argc, char **argv)
{
	static u8 in[HEAD + 0x9000];
	unsigned rounds = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 0) : 3000;
	u8 *ram = in + HEAD;

	for (unsigned i = 0; i < rounds; i++) {
		memset(in, 0, sizeof(in));
		in[0] = 4;
		in[1] = 2; /* EDID */
		in[10] = (u8)next_random();
		for (unsigned k = 0; k < 2 * COMMANDS; k++) {
			unsigned q = k / COMMANDS, n = k % COMMANDS;
			u8 *desc = ram + q * 1024 + 32 * n, *avail = ram + q * 1024 + 256;

			command(ram + COMMAND_AT + k * COMMAND_BYTES, n, q);
			st_le64(desc, COMMAND_AT + k * COMMAND_BYTES);
			st_le32(desc + 8, COMMAND_BYTES - (next_random() % 16 ? 0 : next_random() % COMMAND_BYTES));
			st_le16(desc + 12, 1); /* next */
			st_le16(desc + 14, (u16)(2 * n + 1));
			st_le64(desc + 16, ANSWER_AT);
			st_le32(desc + 24, 2048);
			st_le16(desc + 28, 2); /* written */
			st_le16(avail + 2, COMMANDS);
			st_le16(avail + 4 + 2 * n, (u16)(2 * n));
		}
		LLVMFuzzerTestOneInput(in, sizeof(in));
	}
	printf("%u drivers, none did harm\n", rounds);
	return 0;
}
