/* SPDX-License-Identifier: GPL-2.0-or-later */
/* zlib.c - every level, strategy and window: deflate in odd pieces, inflate in others, compare; checksums of what came out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static unsigned char in[120000], packed[160000], out[sizeof in];
static size_t size;

static size_t pack(int level, int strategy, int bits, int memory, unsigned piece)
{
	z_stream z = { 0 };
	if (deflateInit2(&z, level, Z_DEFLATED, bits, memory, strategy) != Z_OK)
		return 0;
	z.next_out = packed;
	z.next_in = in;
	int r = Z_OK;
	for (unsigned k = 0; r == Z_OK; k++) {
		size_t left = size - z.total_in;
		z.avail_in = left < piece ? left : piece;
		z.avail_out = 700 + k % 9;
		r = deflate(&z, left <= piece ? Z_FINISH : k % 13 == 5 ? Z_SYNC_FLUSH : Z_NO_FLUSH);
		if (r == Z_BUF_ERROR)
			r = Z_OK;
	}
	deflateEnd(&z);
	return r == Z_STREAM_END ? z.total_out : 0;
}

static int unpack(size_t n, int bits, unsigned piece)
{
	z_stream z = { 0 };
	inflateInit2(&z, bits);
	z.next_in = packed;
	z.next_out = out;
	int r = Z_OK;
	while (r == Z_OK && z.total_in < n) {
		size_t left = n - z.total_in;
		z.avail_in = left < piece ? left : piece;
		z.avail_out = sizeof out - z.total_out;
		r = inflate(&z, Z_NO_FLUSH);
	}
	inflateEnd(&z);
	return r == Z_STREAM_END && z.total_out == size && !memcmp(in, out, size);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		size = fread(in, 1, sizeof in, stdin);
	} else {
		unsigned seed = 1;
		for (size = 0; size < 60000; size++) {
			seed = seed * 1103515245 + 12345;
			in[size] = size % 7 && size > 100 ? in[size - 1 - seed % 97] : seed >> 24;
		}
	}
	printf("version %s, crc %08lx, adler %08lx\n", zlibVersion(), crc32(0, in, size), adler32(1, in, size));
	int first = argc > 1 ? atoi(argv[1]) : 0;
	for (int level = first; level <= 9; level++)
		for (int strategy = 0; strategy <= Z_FIXED; strategy++)
			for (int bits = 9; bits <= 15; bits += 3) {
				size_t n = pack(level, strategy, bits == 9 ? -15 : bits == 12 ? 12 : 31, 1 + (level + strategy) % 9, 4099 + level);
				printf("level %d strategy %d bits %d: %zu crc %08lx %s\n", level, strategy, bits, n, crc32(0, packed, n),
				       unpack(n, bits == 9 ? -15 : bits == 12 ? 12 : 47, 1021 + strategy) ? "same" : "DIFFERENT");
			}
	unsigned long a = crc32(0, in, size / 3), b = crc32(0, in + size / 3, size - size / 3);
	printf("combined %s\n", crc32_combine(a, b, size - size / 3) == crc32(0, in, size) ? "same" : "DIFFERENT");
	packed[40] ^= 0x10;
	printf("damaged: %s\n", unpack(30000, 47, 100) ? "same" : "seen");
	return 0;
}
