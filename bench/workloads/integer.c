// SPDX-License-Identifier: GPL-2.0-or-later
// Integer work as compilers emit it: arithmetic whose flags matter, table look-ups, sorting.
#include <stdlib.h>
#include <string.h>
#include "work.h"

// a * b + add: the low half, and the high one in *high.
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t add, uint64_t *high)
{
#ifdef __SIZEOF_INT128__
	unsigned __int128 wide = (unsigned __int128)a * b + add;

	*high = (uint64_t)(wide >> 64);
	return (uint64_t)wide;
#else // of 32 bits, by parts
	uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
	uint64_t low = al * bl, mid = ah * bl + (low >> 32), mid2 = al * bh + (uint32_t)mid;
	uint64_t sum = (mid2 << 32 | (uint32_t)low) + add;

	*high = ah * bh + (mid >> 32) + (mid2 >> 32) + (sum < add);
	return sum;
#endif
}

// Shifts, rotates, widening multiplication with carry, compare and select, now and then a division: every kind of flag
// producer, in four chains that do not wait for each other.
static uint64_t int_mix(uint64_t n)
{
	uint64_t a = 88172645463325252u, b = 1, c = 0, d = 3, carry = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t wide = multiply(b ^ i, 0xd1342543de82ef95u, carry, &carry);
		next_random(&a);
		b += wide | 1;
		c = (c << 5 | c >> 59) ^ (a > d ? a - d : d - a);
		d = (int64_t)d < (int64_t)i ? d + (i << 3) : d - (c & 0xff);
		if ((i & 15) == 0)
			d += a / (i | 1);
	}
	return mix(mix(a, b), mix(c, d));
}

// FIPS 180-4.
static const uint32_t sha256_k[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror32(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static void sha256_block(uint32_t h[8], const uint8_t *data)
{
	uint32_t w[64], s[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)data[i * 4] << 24 | (uint32_t)data[i * 4 + 1] << 16 | (uint32_t)data[i * 4 + 2] << 8 |
		       data[i * 4 + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + (ror32(w[i - 15], 7) ^ ror32(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
		       (ror32(w[i - 2], 17) ^ ror32(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(s, h, sizeof s);
	for (int i = 0; i < 64; i++) {
		uint32_t t1 = s[7] + (ror32(s[4], 6) ^ ror32(s[4], 11) ^ ror32(s[4], 25)) +
			      ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha256_k[i] + w[i];
		uint32_t t2 = (ror32(s[0], 2) ^ ror32(s[0], 13) ^ ror32(s[0], 22)) +
			      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		memmove(s + 1, s, 7 * sizeof *s);
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

static const uint32_t sha256_start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

static uint8_t text[4096];

static void fill_text(void)
{
	uint64_t state = 42;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)next_random(&state);
}

static void sha256_setup(void)
{
	uint8_t block[64] = { 'a', 'b', 'c', 0x80, [63] = 24 };
	uint32_t h[8];

	memcpy(h, sha256_start, sizeof h);
	sha256_block(h, block);
	must(h[0] == 0xba7816bf && h[7] == 0xf20015ad, "SHA-256 of \"abc\" is wrong"); // FIPS 180-4's example
	fill_text();
}

static uint64_t sha256(uint64_t n)
{
	uint32_t h[8];

	memcpy(h, sha256_start, sizeof h);
	for (uint64_t i = 0; i < n; i++)
		sha256_block(h, text + i % (sizeof text / 64) * 64);
	return mix_bytes(0, h, sizeof h);
}

// AES-128 by look-up tables, the way portable C does it (FIPS 197).
static uint8_t sbox[256];
static uint32_t te[4][256];
static uint32_t round_keys[44];

static uint8_t xtime(uint8_t x)
{
	return (uint8_t)(x << 1 ^ (x & 0x80 ? 0x1b : 0));
}

static void aes_tables(void)
{
	uint8_t p = 1, q = 1;

	do { // p runs through all of the field's elements, q through their inverses
		p ^= xtime(p);
		q ^= (uint8_t)(q << 1);
		q ^= (uint8_t)(q << 2);
		q ^= (uint8_t)(q << 4);
		if (q & 0x80)
			q ^= 0x09;
		sbox[p] =
		    (uint8_t)(0x63 ^ q ^ (q << 1 | q >> 7) ^ (q << 2 | q >> 6) ^ (q << 3 | q >> 5) ^ (q << 4 | q >> 4));
	} while (p != 1);
	sbox[0] = 0x63;
	for (int i = 0; i < 256; i++) {
		uint8_t s = sbox[i], d = xtime(s);
		te[0][i] = (uint32_t)d << 24 | (uint32_t)s << 16 | (uint32_t)s << 8 | (uint8_t)(d ^ s);
		for (int t = 1; t < 4; t++)
			te[t][i] = ror32(te[t - 1][i], 8);
	}
}

static void aes_expand(const uint32_t key[4])
{
	uint8_t rcon = 1;

	memcpy(round_keys, key, 16);
	for (int i = 4; i < 44; i++) {
		uint32_t t = round_keys[i - 1];
		if (i % 4 == 0) {
			t = (uint32_t)sbox[t >> 16 & 255] << 24 | (uint32_t)sbox[t >> 8 & 255] << 16 |
			    (uint32_t)sbox[t & 255] << 8 | sbox[t >> 24];
			t ^= (uint32_t)rcon << 24;
			rcon = xtime(rcon);
		}
		round_keys[i] = round_keys[i - 4] ^ t;
	}
}

static void aes_block(uint32_t b[4])
{
	uint32_t s[4], t[4];
	const uint32_t *k = round_keys;

	for (int c = 0; c < 4; c++)
		s[c] = b[c] ^ k[c];
	for (int r = 1; r < 10; r++) {
		k += 4;
		for (int c = 0; c < 4; c++)
			t[c] = te[0][s[c] >> 24] ^ te[1][s[(c + 1) & 3] >> 16 & 255] ^
			       te[2][s[(c + 2) & 3] >> 8 & 255] ^ te[3][s[(c + 3) & 3] & 255] ^ k[c];
		memcpy(s, t, sizeof s);
	}
	k += 4;
	for (int c = 0; c < 4; c++)
		b[c] = ((uint32_t)sbox[s[c] >> 24] << 24 | (uint32_t)sbox[s[(c + 1) & 3] >> 16 & 255] << 16 |
			(uint32_t)sbox[s[(c + 2) & 3] >> 8 & 255] << 8 | sbox[s[(c + 3) & 3] & 255]) ^
		       k[c];
}

static void aes_setup(void)
{
	static const uint32_t key[4] = { 0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f };
	uint32_t b[4] = { 0x00112233, 0x44556677, 0x8899aabb, 0xccddeeff };

	aes_tables();
	aes_expand(key);
	aes_block(b);
	must(b[0] == 0x69c4e0d8 && b[3] == 0x70b4c55a, "AES-128 of FIPS 197's example is wrong");
	fill_text();
}

static uint64_t aes_c(uint64_t n)
{
	uint32_t b[4] = { 0 }, data[4];

	for (uint64_t i = 0; i < n; i++) {
		memcpy(data, text + i % (sizeof text / 16) * 16, 16);
		for (int c = 0; c < 4; c++)
			b[c] ^= data[c];
		aes_block(b);
	}
	return mix_bytes(0, b, sizeof b);
}

#define SORTED 20000

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

// The C library's, so with a call through a pointer for each comparison.
static uint64_t sort(uint64_t n)
{
	static uint64_t items[SORTED];
	uint64_t state = 7, sum = 0;

	for (uint64_t i = 0; i < n; i++) {
		for (size_t j = 0; j < SORTED; j++)
			items[j] = next_random(&state);
		qsort(items, SORTED, sizeof *items, compare);
		sum = mix(sum, items[i * 97 % SORTED]);
	}
	return sum;
}

const struct workload integer_workloads[] = {
	{ "int-mix", "integer", "shifts, multiplication, division, selects", int_mix },
	{ "sha256", "integer", "SHA-256 in plain C", sha256, sha256_setup },
	{ "aes-c", "integer", "AES-128 by tables in plain C", aes_c, aes_setup },
	{ "qsort", "integer", "the C library's qsort of 20,000 numbers", sort },
	{ 0 },
};
