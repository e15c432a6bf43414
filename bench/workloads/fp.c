// SPDX-License-Identifier: GPL-2.0-or-later
// Floating point and vectors: scalar SSE2, packed SSE2, AVX2 with FMA, x87, AES-NI. No function of libm but the square
// root, which is exact everywhere: checksums must agree to the last bit.
#include <immintrin.h>
#include <string.h>
#include "work.h"

struct body {
	double x[3], v[3], mass;
};

// The Sun and the four outer planets, in units of the usual n-body benchmark, roughly.
static const struct body start[5] = {
	{ { 0, 0, 0 }, { 0, 0, 0 }, 39.478 },
	{ { 4.841, -1.160, -0.1036 }, { 0.6063, 2.812, -0.02522 }, 0.03769 },
	{ { 8.343, 4.125, -0.4035 }, { -1.0107, 1.8256, 0.00841 }, 0.01129 },
	{ { 12.894, -15.111, -0.2233 }, { 1.0827, 0.8687, -0.01083 }, 0.001724 },
	{ { 15.380, -25.919, 0.1792 }, { 0.9791, 0.5947, -0.03475 }, 0.002033 },
};

static double square_root(double x)
{
	__m128d v = _mm_set_sd(x);
	return _mm_cvtsd_f64(_mm_sqrt_sd(v, v));
}

static uint64_t nbody(uint64_t n)
{
	struct body b[5];

	memcpy(b, start, sizeof b);
	for (uint64_t step = 0; step < n; step++) {
		for (int i = 0; i < 5; i++)
			for (int j = i + 1; j < 5; j++) {
				double d[3], square = 0;
				for (int k = 0; k < 3; k++) {
					d[k] = b[i].x[k] - b[j].x[k];
					square += d[k] * d[k];
				}
				double force = 0.001 / (square * square_root(square));
				for (int k = 0; k < 3; k++) {
					b[i].v[k] -= d[k] * b[j].mass * force;
					b[j].v[k] += d[k] * b[i].mass * force;
				}
			}
		for (int i = 0; i < 5; i++)
			for (int k = 0; k < 3; k++)
				b[i].x[k] += 0.001 * b[i].v[k];
	}
	return mix_bytes(0, b, sizeof b);
}

#define FLOATS 2048
static float xs[FLOATS] __attribute__((aligned(64))), ys[FLOATS] __attribute__((aligned(64)));

static void fill_floats(void)
{
	uint64_t state = 21;

	for (int i = 0; i < FLOATS; i++) {
		xs[i] = (float)(next_random(&state) >> 40) / (float)(1 << 24);
		ys[i] = 1;
	}
}

// A polynomial and a running mean over an array, four lanes at a time.
static uint64_t packed_sse(uint64_t n)
{
	const __m128 a = _mm_set1_ps(0.25f), b = _mm_set1_ps(-0.5f), c = _mm_set1_ps(0.75f), half = _mm_set1_ps(0.5f);

	fill_floats();
	for (uint64_t i = 0; i < n; i++)
		for (int j = 0; j < FLOATS; j += 4) {
			__m128 x = _mm_load_ps(xs + j), y = _mm_load_ps(ys + j);
			__m128 p = _mm_add_ps(_mm_mul_ps(_mm_add_ps(_mm_mul_ps(a, x), b), x), c);
			y = _mm_mul_ps(_mm_add_ps(y, p), half);
			y = _mm_max_ps(_mm_sub_ps(y, _mm_and_ps(_mm_cmplt_ps(x, half), a)), _mm_setzero_ps());
			_mm_store_ps(ys + j, y);
		}
	return mix_bytes(0, ys, sizeof ys);
}

// What codecs do: widen, multiply, add, pack, average.
static uint64_t integer_sse(uint64_t n)
{
	static uint8_t pixels[2][4096] __attribute__((aligned(64)));
	const __m128i zero = _mm_setzero_si128(), weight = _mm_set1_epi16(77);
	uint64_t state = 8;

	for (size_t i = 0; i < sizeof pixels[0]; i++) {
		pixels[0][i] = (uint8_t)next_random(&state);
		pixels[1][i] = 0;
	}
	for (uint64_t i = 0; i < n; i++)
		for (int j = 0; j < 4096; j += 16) {
			__m128i p = _mm_load_si128((const __m128i *)(pixels[0] + j));
			__m128i q = _mm_load_si128((const __m128i *)(pixels[1] + j));
			__m128i lo = _mm_mullo_epi16(_mm_unpacklo_epi8(p, zero), weight);
			__m128i hi = _mm_mullo_epi16(_mm_unpackhi_epi8(p, zero), weight);
			p = _mm_packus_epi16(_mm_srli_epi16(lo, 7), _mm_srli_epi16(hi, 7));
			q = _mm_avg_epu8(_mm_shuffle_epi32(q, 0x39), _mm_adds_epu8(p, q));
			_mm_store_si128((__m128i *)(pixels[1] + j), q);
		}
	return mix_bytes(0, pixels[1], sizeof pixels[1]);
}

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

__attribute__((target("avx2,fma"))) static uint64_t packed_avx2(uint64_t n)
{
	const __m256 a = _mm256_set1_ps(0.25f), b = _mm256_set1_ps(-0.5f), c = _mm256_set1_ps(0.75f);
	const __m256 half = _mm256_set1_ps(0.5f);

	fill_floats();
	for (uint64_t i = 0; i < n; i++)
		for (int j = 0; j < FLOATS; j += 8) {
			__m256 x = _mm256_load_ps(xs + j), y = _mm256_load_ps(ys + j);
			__m256 p = _mm256_fmadd_ps(_mm256_fmadd_ps(a, x, b), x, c);
			y = _mm256_mul_ps(_mm256_add_ps(y, p), half);
			y = _mm256_max_ps(_mm256_sub_ps(y, _mm256_and_ps(_mm256_cmp_ps(x, half, _CMP_LT_OQ), a)),
					  _mm256_setzero_ps());
			_mm256_store_ps(ys + j, y);
		}
	return mix_bytes(0, ys, sizeof ys);
}

// Continued fractions in extended precision: fld, fmul, fdiv, fadd, fsqrt, fxch.
static uint64_t x87(uint64_t n)
{
	long double x = 1.5L, y = 0.25L, sum = 0;
	uint64_t bits[2] = { 0 };

	for (uint64_t i = 0; i < n; i++) {
		long double t = x * x + y * y + 1;
		__asm__("fsqrt" : "+t"(t));
		x = x / t + 0.7L;
		y = y * t - (long double)(int64_t)y * 0.9L;
		if (y > 100)
			y -= 100;
		sum += x - y * 0.001L;
	}
	memcpy(bits, &sum, 10);
	return mix(bits[0], bits[1]);
}

static bool has_aes(void)
{
	return __builtin_cpu_supports("aes");
}

__attribute__((target("aes,sse2"))) static uint64_t aes_ni(uint64_t n)
{
	__m128i key[11], block[4];
	uint64_t state = 77, sum[2];

	for (int i = 0; i < 11; i++)
		key[i] = _mm_set_epi64x((int64_t)next_random(&state), (int64_t)next_random(&state));
	for (int b = 0; b < 4; b++)
		block[b] = _mm_set1_epi32(b);
	for (uint64_t i = 0; i < n; i++) {
		for (int b = 0; b < 4; b++)
			block[b] = _mm_xor_si128(block[b], key[0]);
		for (int r = 1; r < 10; r++)
			for (int b = 0; b < 4; b++)
				block[b] = _mm_aesenc_si128(block[b], key[r]);
		for (int b = 0; b < 4; b++)
			block[b] = _mm_aesenclast_si128(block[b], key[10]);
	}
	for (int b = 1; b < 4; b++)
		block[0] = _mm_xor_si128(block[0], block[b]);
	_mm_storeu_si128((__m128i *)sum, block[0]);
	return mix(sum[0], sum[1]);
}

const struct workload fp_workloads[] = {
	{ "nbody", "fp", "scalar double precision", nbody, NULL, 0.5 },
	{ "sse-float", "fp", "packed single precision, SSE", packed_sse, NULL, 0.4 },
	{ "sse-int", "fp", "packed bytes and words, SSE2", integer_sse, NULL, 0.4 },
	{ "avx2-float", "fp", "packed single precision, AVX2 and FMA", packed_avx2, NULL, 0.4, has_avx2 },
	{ "x87", "fp", "long double", x87, NULL, 0.5 },
	{ "aes-ni", "fp", "AES-128 by AES-NI, four blocks at a time", aes_ni, NULL, 0.5, has_aes },
	{ 0 },
};
