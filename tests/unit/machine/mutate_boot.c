/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mutate_boot.c - fuzz_boot.c without a fuzzer: some thousand damaged kernels, the same ones each time.
 *   mutate_boot [ROUNDS]      the default runs in seconds
 *   mutate_boot --seeds DIR   write the undamaged ones: tests/fuzz/corpus/fuzz_boot
 */
#include "boot_images.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u64 random_state = 0x9e3779b97f4a7c15ull;

static u32 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (u32)(random_state >> 16);
}

static size_t image(unsigned kind, u8 *buf)
{
	switch (kind % 5) {
	case 0:
		return image_linux(buf, 2 * MIB, 0x100000);
	case 1:
		return image_pvh(buf, true);
	case 2:
		return image_pvh(buf, false);
	case 3:
		return image_multiboot_elf(buf);
	default:
		return image_multiboot_addresses(buf);
	}
}

/* Values that parsers trip over. */
static u64 edge(void)
{
	static const u64 v[] = { 0,          1,          0x7f,       0x80,       0xff,        0x7fff,
				 0xffff,     0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, UINT64_MAX >> 1,
				 UINT64_MAX, 0x90000,    0x100000,   0x7fffff,   0x800000,    UINT64_MAX - 0x1000 };

	return v[next_random() % ARRAY_LEN(v)];
}

static size_t damage(u8 *buf, size_t n)
{
	/* mostly where the headers are */
	for (unsigned i = 1 + next_random() % 4; i; i--) {
		size_t area = next_random() % 4 ? 0x300 : n;
		size_t at = next_random() % area & ~(size_t)(next_random() % 2 ? 3 : 0);
		u64 v = next_random() % 3 ? edge() : next_random();
		size_t bytes = (size_t)1 << next_random() % 4;

		if (at + bytes <= IMAGE_MAX)
			memcpy(buf + at, &v, bytes);
	}
	return next_random() % 8 ? n : next_random() % (n + 1);
}

static int write_seeds(const char *dir)
{
	static u8 buf[IMAGE_MAX];

	static const char *const names[] = { "linux", "pvh64", "pvh32", "multiboot-elf", "multiboot-addresses" };

	for (unsigned k = 0; k < ARRAY_LEN(names); k++) {
		size_t n = image(k, buf);
		auto_free char *path = xasprintf("%s/%s", dir, names[k]);
		auto_fclose FILE *f = fopen(path, "w");

		if (!f || fwrite(buf, 1, n, f) != n) {
			fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static u8 buf[IMAGE_MAX];
	unsigned rounds = 10000;

	if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
		return write_seeds(argv[2]);
	if (argc == 2)
		rounds = (unsigned)strtoul(argv[1], NULL, 0);
	for (unsigned i = 0; i < rounds; i++) {
		size_t n = image(i, buf);

		LLVMFuzzerTestOneInput(buf, damage(buf, n));
	}
	printf("%u damaged kernels, none did harm\n", rounds);
	return 0;
}
