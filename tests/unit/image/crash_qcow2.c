/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crash_qcow2.c - a crash at any moment: an image is worked on in memory while each write and sync of its file is
 * noted; then the file is made anew from a prefix of that, with any of the writes that no sync followed left out. It
 * must have no contradiction (lost room is allowed), and all that was flushed. crash_qcow2 [ROUNDS [SEED]] Each sector
 * that is written is full of a number that no other write has; so each sector tells which write it is of.
 */
#include "image_memory.h"
#include "qcow2_rig.h"

#include <fcntl.h>

#define SECTOR 512u
#define FILE_MAX (64 * MIB)
#define OPERATIONS 150
#define CRASHES 60

static const struct shape {
	const char *options[6];
	u64 bytes;
	bool snapshots;
} shapes[] = {
	{ { "cluster_size=4k", NULL }, 2 * MIB, true },
	{ { "cluster_size=512", NULL }, 512 * KIB, true },
	{ { "cluster_size=512", "refcount_bits=64", NULL }, 512 * KIB, true },
	{ { "cluster_size=4k", "compat=0.10", NULL }, 2 * MIB, false },
	{ { "cluster_size=16k", "extended_l2=on", NULL }, 2 * MIB, true },
	{ { "cluster_size=1k", "lazy_refcounts=on", NULL }, 1 * MIB, true },
	{ { "cluster_size=64k", NULL }, 4 * MIB, true },
};

struct event {
	enum image_memory_op op;
	u64 off, n;
	u8 *data;
};

/* A write to the disk, or the end of a flush (n 0): all before is durable. */
struct change {
	size_t event; /* so many events were there when it began; of a flush: when it ended */
	u64 sector, n, id;
	bool any; /* id is that of the first sector; false: the same in each, 0 */
};

struct work {
	u64 seed, sectors, next_id;
	struct event *events;
	size_t nevents;
	struct change *changes;
	size_t nchanges;
	u8 *start;
	u64 start_bytes;
	bool has_snapshot;
};

static u64 pick(struct work *w, u64 n)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (w->seed * 0x2545f4914f6cdd1dull >> 16) % n;
}

static void note(void *opaque, enum image_memory_op op, u64 off, const void *buf, u64 n)
{
	struct work *w = opaque;

	w->events = xrealloc(w->events, (w->nevents + 1) * sizeof(*w->events));
	struct event *e = &w->events[w->nevents++];
	*e = (struct event){ op, off, n, NULL };
	if (buf) {
		e->data = xcalloc(1, n);
		memcpy(e->data, buf, n);
	}
}

static void changed(struct work *w, size_t event, u64 sector, u64 n, u64 id)
{
	w->changes = xrealloc(w->changes, (w->nchanges + 1) * sizeof(*w->changes));
	w->changes[w->nchanges++] = (struct change){ event, sector, n, id, id != 0 };
}

static struct image *open_memory(struct image_memory *f, bool readonly, bool checking)
{
	const struct image_open o = { .file = &f->file, .readonly = readonly, .checking = checking };
	struct image *m;
	struct err e;

	if (image_open(&m, &image_qcow2, false, &o, &e) == 0)
		return m;
	fprintf(stderr, "%s\n", e.msg);
	abort();
}

static void write_some(struct work *w, struct image *m, u64 sector, u64 n, bool packed)
{
	auto_free u8 *buf = xcalloc(n, SECTOR);

	for (u64 i = 0; i < n; i++)
		for (u64 at = 0; at < SECTOR; at += 8)
			st_le64(buf + i * SECTOR + at, w->next_id + i);
	changed(w, w->nevents, sector, n, w->next_id);
	w->next_id += n;
	int rc = packed ? m->ops->write_compressed(m, sector * SECTOR, buf, n * SECTOR) : -ENOTSUP;
	must(rc == 0 || rc == -ENOTSUP);
	if (rc < 0)
		must(image_write(m, sector * SECTOR, buf, n * SECTOR) == 0);
}

static void operate(struct work *w, struct image *m, bool snapshots)
{
	u64 sector = pick(w, w->sectors), most = pick(w, 5) ? 20 : w->sectors, n = 1 + pick(w, most),
	    what = pick(w, 100);
	u64 per_cluster = m->cluster_bytes / SECTOR;

	n = MIN(n, w->sectors - sector);
	if (what < 50) {
		write_some(w, m, sector, n, false);
	} else if (what < 58) {
		sector = sector / per_cluster * per_cluster;
		write_some(w, m, sector, MIN(per_cluster, w->sectors - sector), true);
	} else if (what < 68) {
		changed(w, w->nevents, sector, n, 0);
		must(image_write_zeroes(m, sector * SECTOR, n * SECTOR, what & 1) == 0);
	} else if (what < 75) {
		/* Whole clusters: of others nothing is given up. */
		n = ROUND_UP(n, per_cluster);
		sector = sector / per_cluster * per_cluster;
		n = MIN(n, w->sectors - sector);
		changed(w, w->nevents, sector, n, 0);
		must(image_discard(m, sector * SECTOR, n * SECTOR) == 0);
	} else if (what < 95 || !snapshots) {
		must(image_flush(m) == 0);
		changed(w, w->nevents, 0, 0, 0);
	} else {
		must(m->ops->snapshot(m, w->has_snapshot ? IMAGE_SNAPSHOT_DELETE : IMAGE_SNAPSHOT_CREATE, "s", NULL) ==
		     0);
		w->has_snapshot = !w->has_snapshot;
	}
}

/* The file after a crash behind `n` events. */
static struct image_memory *crash(struct work *w, size_t n)
{
	struct image_memory *f = image_memory_new(w->start, w->start_bytes, 0, false, FILE_MAX);
	size_t synced = 0;
	u64 odds = pick(w, 4);

	for (size_t i = 0; i < n; i++)
		if (w->events[i].op == MEMORY_SYNC)
			synced = i;
	for (size_t i = 0; i < n; i++) {
		const struct event *e = &w->events[i];
		u64 from = 0, to = e->n;
		if (i > synced && e->op == MEMORY_WRITE && odds) {
			if (!pick(w, odds + 1))
				continue;
			if (!pick(w, 3)) { /* torn, between sectors of the file */
				u64 cut = ROUND_UP(e->off + pick(w, e->n), SECTOR) - e->off;
				to = MIN(cut, e->n);
			}
		}
		if (i > synced && e->op != MEMORY_WRITE && odds && !pick(w, 2))
			continue;
		if (e->op == MEMORY_WRITE)
			must(image_pwrite(&f->file, e->data + from, to - from, e->off + from) == 0);
		else if (e->op == MEMORY_ZERO)
			must(image_zero(&f->file, e->off, e->n, true) == 0);
		else if (e->op == MEMORY_RESIZE && e->off > f->file.bytes)
			must(image_resize_file(&f->file, e->off) == 0);
	}
	return f;
}

/* What each sector may be: as flushed last, or of any write that had begun since. */
static void compare(struct work *w, struct image *m, size_t n)
{
	size_t flushed = 0, end = 0;
	auto_free u8 *disk = xcalloc(w->sectors, SECTOR);

	for (; end < w->nchanges && w->changes[end].event <= n; end++)
		if (!w->changes[end].n)
			flushed = end;
	must(image_read(m, 0, disk, w->sectors * SECTOR) == 0);
	for (u64 s = 0; s < w->sectors; s++) {
		u64 id = ld_le64(disk + s * SECTOR), was = 0;
		bool ok = false, whole = true;
		for (u64 at = 0; at < SECTOR; at += 8)
			whole &= ld_le64(disk + s * SECTOR + at) == id;
		for (size_t i = 0; i < end; i++) {
			const struct change *c = &w->changes[i];
			if (s < c->sector || s - c->sector >= c->n)
				continue;
			u64 now = c->any ? c->id + (s - c->sector) : 0;
			if (i > flushed)
				ok |= now == id;
			else
				was = now;
		}
		if (whole && (ok || id == was))
			continue;
		fprintf(stderr, "after %zu of %zu events: sector %llu has %llu, was %llu\n", n, w->nevents,
			(unsigned long long)s, (unsigned long long)id, (unsigned long long)was);
		abort();
	}
}

static void complain(void *opaque, const char *line)
{
	(void)opaque;
	fprintf(stderr, "  %s\n", line);
}

static void no_contradiction(struct image *m, const struct shape *shape, size_t n)
{
	struct image_check c = { .report = complain, .reports = 0 };

	must(m->ops->check(m, &c, IMAGE_FIX_NONE, NULL) == 0);
	if (!c.corrupt)
		return;
	c = (struct image_check){ .report = complain, .reports = 10 };
	m->ops->check(m, &c, IMAGE_FIX_NONE, NULL);
	fprintf(stderr, "%s: %llu contradictions after %zu events\n", shape->options[0], (unsigned long long)c.corrupt,
		n);
	abort();
}

static struct rig rig;
static bool ask_qemu;

/* 0: whole; 3: only room is lost. An image that says itself that it is dirty is repaired by whoever opens it. */
static void ask(const struct image_memory *f)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/crashed", rig.dir);
	must((out = fopen(path, "w")) && fwrite(f->bytes, 1, f->file.bytes, out) == f->file.bytes && fclose(out) == 0);
	rig_qemu(&rig, 1u << 0 | 1u << 3, "check -f qcow2 crashed");
}

static void judge(struct work *w, const struct shape *shape, size_t n)
{
	struct image_memory *f = crash(w, n);
	bool dirty = f->bytes[7] == 3 && f->bytes[79] & 1; /* "Header": incompatible_features, bit 0 */
	if (ask_qemu && !dirty)
		ask(f);
	struct image *m = open_memory(f, !dirty, false);

	no_contradiction(m, shape, n);
	compare(w, m, n);
	must(image_close(m) == 0);
}

static void round_of(const struct shape *shape, u64 seed, unsigned crashes)
{
	struct work w = { .seed = seed * 0x9e3779b97f4a7c15ull | 1, .sectors = shape->bytes / SECTOR, .next_id = 1 };
	struct image_memory *f = image_memory_new(NULL, 0, 0, false, FILE_MAX);
	const struct image_create c = { .file = &f->file, .bytes = shape->bytes, .options = shape->options };

	must(image_qcow2.create(&c, NULL) == 0);
	w.start_bytes = f->file.bytes;
	w.start = xcalloc(1, w.start_bytes);
	memcpy(w.start, f->bytes, w.start_bytes);
	changed(&w, 0, 0, 0, 0);
	f->watch = note;
	f->opaque = &w;
	struct image *m = open_memory(f, false, false);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		operate(&w, m, shape->snapshots);
		/* Version 2: clusters that are counted twice, without a snapshot's making among what may be cut short.
		 */
		if (i == OPERATIONS / 3 && !shape->snapshots) {
			must(m->ops->snapshot(m, IMAGE_SNAPSHOT_CREATE, "s", NULL) == 0);
			for (size_t k = 0; k < w.nevents; k++)
				free(w.events[k].data);
			w.nevents = 0;
			for (size_t k = 0; k < w.nchanges; k++)
				w.changes[k].event = 0;
			w.start_bytes = f->file.bytes;
			w.start = xrealloc(w.start, w.start_bytes);
			memcpy(w.start, f->bytes, w.start_bytes);
			must(image_flush(m) == 0);
			changed(&w, w.nevents, 0, 0, 0);
		}
	}
	must(image_close(m) == 0);
	for (unsigned i = 0; i < crashes; i++)
		judge(&w, shape, pick(&w, w.nevents + 1));
	for (size_t i = 0; i < w.nevents; i++)
		free(w.events[i].data);
	free(w.events);
	free(w.changes);
	free(w.start);
}

int main(int argc, char **argv)
{
	u64 rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	ask_qemu = argc > 3 && !strcmp(argv[3], "qemu");
	rig_init(&rig);
	for (u64 r = 0; r < rounds; r++)
		for (unsigned i = 0; i < ARRAY_LEN(shapes); i++)
			round_of(&shapes[i], seed + r * ARRAY_LEN(shapes) + i, CRASHES);
	rig_fini(&rig);
	printf("%llu crashes survived\n", (unsigned long long)(rounds * ARRAY_LEN(shapes) * CRASHES));
	return 0;
}
