/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mutate_qcow2.c - fuzz_qcow2.c without a fuzzer (mutate.h): images of ours with some of their bytes changed. */
#include "mutate.h"
#include "image_memory.h"

#define FILE_MAX (2 * MIB)
#define KINDS 6

static const char *const options[KINDS][4] = {
	{ "cluster_size=512" },
	{ "cluster_size=4k", "compat=0.10" },
	{ "cluster_size=16k", "extended_l2=on" },
	{ "cluster_size=4k", "compression_type=zstd", "refcount_bits=64" },
	{ "cluster_size=1k", "lazy_refcounts=on" },
	{ "cluster_size=64k", "refcount_bits=1" },
};

/* One that has some of everything. */
static struct image_memory *make(unsigned kind)
{
	struct image_memory *f = image_memory_new(NULL, 0, 0, false, FILE_MAX), *copy;
	const struct image_create c = { .file = &f->file, .bytes = 512 * KIB + 512, .options = options[kind] };
	const struct image_open o = { .file = &f->file };
	static u8 data[64 * KIB];
	struct image *m;

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i / 7);
	must(image_qcow2.create(&c, NULL) == 0 && image_open(&m, &image_qcow2, false, &o, NULL) == 0);
	must(image_write(m, 4096, data, 40000 / 512 * 512) == 0);
	must(image_write(m, 300 * KIB, data, 5 * 512) == 0);
	must(m->ops->write_compressed(m, 128 * KIB, data, m->cluster_bytes) == 0);
	must(m->ops->write_compressed(m, 128 * KIB + m->cluster_bytes, data, m->cluster_bytes) == 0);
	if (kind != 5)
		must(m->ops->snapshot(m, IMAGE_SNAPSHOT_CREATE, "one", NULL) == 0);
	must(image_write(m, 8192, data, 4096) == 0 && image_write_zeroes(m, 20480, 32768, false) == 0);
	must(image_flush(m) == 0);
	copy = image_memory_new(f->bytes, f->file.bytes, 0, false, FILE_MAX);
	must(image_close(m) == 0);
	return copy;
}

/* The noise says which bytes change, and into what. Most of what matters is at the beginning. */
static void shape(u8 *buf, size_t n, unsigned long round)
{
	static struct image_memory *seeds[KINDS];
	static const u64 liked[] = { 0, 1, 0x7f, 0x80, 0xff, 0x40, 0x3f };
	unsigned kind = round % KINDS;
	u8 noise[64];

	seeds[kind] = seeds[kind] ? seeds[kind] : make(kind);
	struct image_memory *f = seeds[kind];
	size_t bytes = MIN(n - 1, f->file.bytes);
	memcpy(noise, buf, sizeof(noise));
	memset(buf + 1, 0, n - 1);
	memcpy(buf + 1, f->bytes, bytes);
	for (unsigned i = 0; i < 1u + noise[1] % 6; i++) {
		const u8 *x = noise + 4 + 8 * i;
		size_t at = ld_le32(x) % (x[4] % 4 == 0 ? 112 : x[4] % 4 < 3 ? MIN(bytes, 40 * KIB) : bytes);
		/* A table's entries are 8 bytes long: their low and high bytes are worth most. */
		if (x[4] & 64)
			at = at / 8 * 8 + (x[4] & 128 ? 6 : 0) + (x[5] & 1);
		if (at < bytes)
			buf[1 + at] = (u8)(x[5] & 2 ? liked[x[6] % ARRAY_LEN(liked)] : x[7]);
	}
}

int main(int argc, char **argv)
{
	const struct mutate m = {
		.rounds = 1000, .least = 300 * KIB, .most = 1 * MIB, .shape = shape, .what = "images"
	};

	return mutate_main(&m, argc, argv);
}
