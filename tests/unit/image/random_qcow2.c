/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random_qcow2.c - random operations on qcow2 images and on plain arrays, compared; qemu-img looks at the results.
 *   random_qcow2 [OPERATIONS [SEED]]
 * Each shape of image (version, clusters, widths, what is below ...) gets that many.
 */
#include "qcow2_rig.h"

#define DISK_MAX (6 * MIB)
#define SNAPSHOTS 3

struct shape {
	const char *options;
	bool below, data, snapshots, compress;
	u64 bytes;
};

static const struct shape shapes[] = {
	{ "compat=1.1", false, false, true, true, 4 * MIB + 512 },
	{ "compat=1.1,cluster_size=512", true, false, true, true, 1 * MIB },
	{ "compat=0.10,cluster_size=4k", false, false, true, true, 3 * MIB + 4608 },
	{ "compat=0.10,cluster_size=512", true, false, true, true, 700 * KIB },
	{ "compat=1.1,cluster_size=4k,refcount_bits=1", true, false, false, true, 2 * MIB },
	{ "compat=1.1,cluster_size=1k,refcount_bits=64,lazy_refcounts=on", true, false, true, true, 1 * MIB + 512 },
	{ "compat=1.1,cluster_size=16k,extended_l2=on", true, false, true, true, 3 * MIB + 512 },
	{ "compat=1.1,cluster_size=64k,extended_l2=on,compression_type=zstd", false, false, true, true, 4 * MIB },
	{ "compat=1.1,cluster_size=8k,refcount_bits=2,compression_type=zstd", true, false, true, true, 2 * MIB },
	{ "compat=1.1,cluster_size=4k", true, true, false, false, 2 * MIB },
	{ "compat=1.1,cluster_size=16k,extended_l2=on", true, true, false, false, 2 * MIB },
	{ "compat=1.1,cluster_size=4k,data_file_raw=on", false, true, false, false, 2 * MIB },
	{ "compat=1.1,cluster_size=2M,refcount_bits=8", true, false, true, true, 5 * MIB },
	{ "compat=1.1,cluster_size=16k,preallocation=metadata", false, false, true, true, 2 * MIB },
};

struct test {
	struct rig rig;
	const struct shape *shape;
	struct image *m;
	u8 *disk, *below, *saved[SNAPSHOTS];
	u64 bytes, below_bytes, saved_bytes[SNAPSHOTS];
	u8 *buf;
	u64 seed;
	bool has[SNAPSHOTS];
};

static u64 pick(struct test *t, u64 n)
{
	return rig_random(&t->seed) % n;
}

/* A range of whole sectors: mostly short, at times long, at times whole clusters. */
static u64 range(struct test *t, u64 *off)
{
	u64 unit = pick(t, 3) ? 512 : t->m->cluster_bytes, sectors = (t->bytes + unit - 1) / unit;
	u64 most = pick(t, 8) ? 40 : sectors;

	*off = pick(t, sectors) * unit;
	u64 n = (1 + pick(t, most)) * unit;
	return MIN(n, t->bytes - *off);
}

static void fill(struct test *t, u64 n)
{
	u64 kind = pick(t, 3);

	for (u64 i = 0; i < n; i += 8) {
		u64 v = kind == 0 ? rig_random(&t->seed) : kind == 1 ? t->seed : t->seed + i / 64;
		memcpy(t->buf + i, &v, 8);
	}
}

static void compare(struct test *t, u64 off, u64 n)
{
	must(image_read(t->m, off, t->buf, n) == 0);
	if (!memcmp(t->buf, t->disk + off, n))
		return;
	for (u64 i = 0; i < n; i++)
		if (t->buf[i] != t->disk[off + i]) {
			fprintf(stderr, "%s: differs at 0x%llx (read 0x%llx, 0x%llx bytes): %02x, not %02x\n",
				t->shape->options, (unsigned long long)(off + i), (unsigned long long)off,
				(unsigned long long)n, t->buf[i], t->disk[off + i]);
			abort();
		}
}

static void reopen(struct test *t)
{
	rig_close(t->m);
	if (rig_has_qemu() && !pick(t, 10))
		rig_qemu(&t->rig, 1, "check image");
	t->m = rig_open(&t->rig, "image", false);
	must(t->m->bytes == t->bytes);
	compare(t, 0, t->bytes);
}

static void check(struct test *t)
{
	struct image_check c = { 0 };

	must(t->m->ops->check(t->m, &c, IMAGE_FIX_NONE, NULL) == 0);
	if (c.corrupt) {
		fprintf(stderr, "%s: %llu corrupt\n", t->shape->options, (unsigned long long)c.corrupt);
		abort();
	}
}

static void resize(struct test *t)
{
	u64 bytes = 512 + pick(t, DISK_MAX / 512) / (1 + pick(t, 4)) * 512;
	struct err e;

	if (t->m->ops->resize(t->m, bytes, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	if (bytes > t->bytes)
		memset(t->disk + t->bytes, 0, bytes - t->bytes);
	t->bytes = bytes;
	compare(t, 0, bytes);
}

static void snapshot(struct test *t)
{
	unsigned i = (unsigned)pick(t, SNAPSHOTS);
	char name[8];
	struct err e = { 0 };
	enum image_snapshot_verb verb = !t->has[i]   ? IMAGE_SNAPSHOT_CREATE
					: pick(t, 2) ? IMAGE_SNAPSHOT_APPLY
						     : IMAGE_SNAPSHOT_DELETE;

	snprintf(name, sizeof(name), "s%u", i);
	if (t->m->ops->snapshot(t->m, verb, name, &e) < 0) {
		if (e.code == EMLINK) { /* counts are too narrow; several compressed clusters share one */
			check(t);
			return;
		}
		fprintf(stderr, "%s: %d\n", e.msg, (int)verb);
		abort();
	}
	if (verb == IMAGE_SNAPSHOT_CREATE) {
		memcpy(t->saved[i], t->disk, t->bytes);
		t->saved_bytes[i] = t->bytes;
	} else if (verb == IMAGE_SNAPSHOT_APPLY) {
		memcpy(t->disk, t->saved[i], t->saved_bytes[i]);
		t->bytes = t->saved_bytes[i];
		must(t->m->bytes == t->bytes);
		compare(t, 0, t->bytes);
	}
	t->has[i] = verb != IMAGE_SNAPSHOT_DELETE;
	check(t);
}

static void discard(struct test *t, u64 off, u64 n)
{
	must(image_discard(t->m, off, n) == 0);
	/* What it becomes is the image's choice; all of it is zeros or as it was. */
	must(image_read(t->m, off, t->buf, n) == 0);
	for (u64 at = 0; at < n; at += 512) {
		static const u8 zeros[512];
		if (memcmp(t->buf + at, t->disk + off + at, 512))
			must(!memcmp(t->buf + at, zeros, 512));
		memcpy(t->disk + off + at, t->buf + at, 512);
	}
}

static void write_compressed(struct test *t)
{
	u64 cluster = t->m->cluster_bytes, off = pick(t, (t->bytes + cluster - 1) / cluster) * cluster;
	u64 n = MIN(cluster, t->bytes - off);

	fill(t, n);
	int rc = t->m->ops->write_compressed(t->m, off, t->buf, n);
	must(rc == 0 || rc == -ENOTSUP);
	if (rc == 0)
		memcpy(t->disk + off, t->buf, n);
}

/* A write that fails at its host: nothing has changed. */
static void abandon(struct test *t, u64 off, u64 n)
{
	struct image_run run;

	must(image_prepare(t->m, off, n, &run) == 0);
	if (!run.in_place)
		image_abandon(t->m, off, run.bytes);
	compare(t, off, n);
}

static void empty(struct test *t)
{
	must(t->m->ops->empty(t->m) == 0);
	memset(t->disk, 0, t->bytes);
	if (t->m->below)
		memcpy(t->disk, t->below, MIN(t->bytes, t->below_bytes));
	compare(t, 0, t->bytes);
}

static void step(struct test *t)
{
	u64 off, n = range(t, &off), what = pick(t, 1000);

	if (what < 450) {
		fill(t, n);
		int rc = image_write(t->m, off, t->buf, n);
		if (rc < 0)
			fprintf(stderr, "%s: write: %s\n", t->shape->options, strerror(-rc));
		must(rc == 0);
		memcpy(t->disk + off, t->buf, n);
	} else if (what < 600) {
		compare(t, off, n);
	} else if (what < 720) {
		must(image_write_zeroes(t->m, off, n, what & 1) == 0);
		memset(t->disk + off, 0, n);
	} else if (what < 800) {
		discard(t, off, n);
	} else if (what < 900) {
		if (t->shape->compress)
			write_compressed(t);
	} else if (what < 950) {
		must(image_flush(t->m) == 0);
	} else if (what < 970) {
		abandon(t, off, n);
	} else if (what < 982) {
		if (t->shape->snapshots)
			snapshot(t);
	} else if (what < 988) {
		resize(t);
	} else if (what < 990) {
		if (!pick(t, 4))
			empty(t);
	} else if (what < 995) {
		check(t);
	} else {
		reopen(t);
	}
}

static void make_below(struct test *t)
{
	rig_create(&t->rig, "below", t->below_bytes, "cluster_size=4k", NULL, NULL);
	struct image *b = rig_open(&t->rig, "below", false);
	for (u64 off = 0; off < t->below_bytes; off += 16 * KIB) {
		u64 n = MIN(16 * KIB, t->below_bytes - off);
		if (!pick(t, 3))
			continue;
		fill(t, n);
		must(image_write(b, off, t->buf, n) == 0);
		memcpy(t->below + off, t->buf, n);
	}
	rig_close(b);
}

static void last_look(struct test *t)
{
	rig_close(t->m);
	FILE *f;
	char path[128];
	snprintf(path, sizeof(path), "%s/plain", t->rig.dir);
	must((f = fopen(path, "w")) && fwrite(t->disk, 1, t->bytes, f) == t->bytes && fclose(f) == 0);
	if (!rig_has_qemu())
		return;
	rig_qemu(&t->rig, 1, "check image");
	rig_qemu(&t->rig, 1, "compare -f qcow2 -F raw image plain");
	if (strstr(t->shape->options, "data_file_raw"))
		rig_qemu(&t->rig, 1, "compare -f raw -F raw data plain");
	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		/* qemu-img does not change the size of a disk of version 2 that has snapshots. */
		if (!t->has[i] || (strstr(t->shape->options, "0.10") && t->saved_bytes[i] != t->bytes))
			continue;
		must((f = fopen(path, "w")) && fwrite(t->saved[i], 1, t->saved_bytes[i], f) == t->saved_bytes[i] &&
		     fclose(f) == 0);
		/* Counts of 2 bits may be too narrow for compressed clusters that share a cluster. */
		bool narrow = strstr(t->shape->options, "refcount_bits=2");
		if (rig_qemu(&t->rig, narrow ? 3 : 1, "snapshot -a s%u image", i) != 0)
			continue;
		rig_qemu(&t->rig, 1, "compare -f qcow2 -F raw image plain");
		rig_qemu(&t->rig, 1, "check image");
	}
}

static void run(const struct shape *shape, u64 operations, u64 seed)
{
	struct test t = { .shape = shape, .bytes = shape->bytes, .seed = seed * 0x9e3779b97f4a7c15ull | 1 };

	rig_init(&t.rig);
	t.disk = xcalloc(1, DISK_MAX);
	t.below = xcalloc(1, DISK_MAX);
	t.buf = xcalloc(1, DISK_MAX);
	for (unsigned i = 0; i < SNAPSHOTS; i++)
		t.saved[i] = xcalloc(1, DISK_MAX);
	t.below_bytes = shape->bytes / 2 / 512 * 512 + 512;
	if (shape->below) {
		make_below(&t);
		memcpy(t.disk, t.below, MIN(t.bytes, t.below_bytes));
	}
	rig_create(&t.rig, "image", t.bytes, shape->options, shape->below ? "below" : NULL,
		   shape->data ? "data" : NULL);
	t.m = rig_open(&t.rig, "image", false);
	compare(&t, 0, t.bytes);
	for (u64 i = 0; i < operations; i++)
		step(&t);
	compare(&t, 0, t.bytes);
	check(&t);
	last_look(&t);
	for (unsigned i = 0; i < SNAPSHOTS; i++)
		free(t.saved[i]);
	free(t.disk);
	free(t.below);
	free(t.buf);
	rig_fini(&t.rig);
}

int main(int argc, char **argv)
{
	u64 operations = argc > 1 ? strtoull(argv[1], NULL, 10) : 250,
	    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	for (unsigned i = 0; i < ARRAY_LEN(shapes); i++) {
		run(&shapes[i], operations, seed + i);
		if (argc > 1)
			printf("%s%s%s\n", shapes[i].options, shapes[i].below ? ", on another" : "",
			       shapes[i].data ? ", data in a file" : "");
	}
	printf("%u shapes of images, %llu operations each\n", (unsigned)ARRAY_LEN(shapes),
	       (unsigned long long)operations);
	return 0;
}
