/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_qcow2.c - a hostile qcow2 image.
 *
 * The input: a byte that says what is done, then the file. It is opened, mapped and read as far as it goes, checked,
 * and, when the byte says so, written to, resized, given snapshots and repaired. It may refuse all of it; nothing else
 * may happen. The same bytes are its data file, and have no names that lead anywhere else.
 */
#include "image_memory.h"

#define FILE_MAX (8 * MIB)
#define RUNS_MAX 300
#define READ_MAX (256 * KIB)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static int give(struct image_opener *o, enum image_want what, const char *of, const char *name, char *format,
		size_t format_bytes, bool readonly, struct image_file **f, struct err *e)
{
	(void)o, (void)of, (void)name, (void)format, (void)format_bytes;
	if (what != IMAGE_WANT_DATA)
		return err_set(e, EPERM, "no");
	*f = &image_memory_new(NULL, 0, 1, readonly, FILE_MAX)->file;
	return 0;
}

static void look(struct image *m, u8 *buf)
{
	struct image_run run;
	struct image_snapshot list[8];
	u64 off = 0;

	for (unsigned i = 0; i < RUNS_MAX && off < m->bytes; i++, off += run.bytes) {
		if (image_map(m, off, m->bytes - off, &run) < 0)
			run.bytes = 512;
		must(run.bytes && run.bytes <= m->bytes - off && run.bytes % 512 == 0);
		must(run.kind == IMAGE_DATA || run.kind == IMAGE_ZERO || run.kind == IMAGE_COOKED);
		image_read(m, off, buf, (size_t)MIN(run.bytes, READ_MAX));
	}
	m->ops->snapshots(m, list, ARRAY_LEN(list));
}

static void say(void *opaque, const char *name, const char *value)
{
	*(size_t *)opaque += strlen(name) + strlen(value);
}

static void check(struct image *m, enum image_fix fix)
{
	struct image_check c = { 0 };

	m->ops->check(m, &c, fix, NULL);
}

static void work(struct image *m, u8 *buf, u8 what)
{
	u64 step = MAX(m->bytes / 7 / 512 * 512, 512);

	for (u64 off = 0; off < m->bytes; off += step) {
		u64 n = MIN(4096, m->bytes - off);
		image_write(m, off, buf, (size_t)n);
		image_write_zeroes(m, off, MIN(step / 2 / 512 * 512, m->bytes - off), off & 512);
		if (what & 4)
			image_discard(m, off, n);
	}
	if (m->bytes >= m->cluster_bytes)
		m->ops->write_compressed(m, 0, buf, m->cluster_bytes);
	image_flush(m);
	if (what & 8)
		m->ops->snapshot(m, IMAGE_SNAPSHOT_CREATE, "a", NULL);
	image_write(m, 0, buf, (size_t)MIN(m->bytes, 8192));
	if (what & 16)
		m->ops->snapshot(m, IMAGE_SNAPSHOT_APPLY, "1", NULL);
	if (what & 32)
		m->ops->resize(m, m->bytes / 2 / 512 * 512 + 64 * KIB, NULL);
	if (what & 64)
		m->ops->snapshot(m, IMAGE_SNAPSHOT_DELETE, "1", NULL);
	if (what & 128)
		m->ops->set_backing(m, "b", "raw", NULL);
	else
		m->ops->empty(m);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 *buf;
	struct image_opener opener = { give };
	size_t said = 0;
	struct image *m;

	buf = buf ? buf : xcalloc(1, 2 * MIB);
	if (!size)
		return 0;
	u8 what = data[0];
	for (unsigned pass = 0; pass < 3; pass++) {
		struct image_memory *f = image_memory_new(data + 1, size - 1, 0, pass == 0, FILE_MAX);
		struct image_open o = { .file = &f->file,
					.readonly = pass == 0,
					.no_backing = true,
					.checking = pass == 1,
					.opener = &opener };
		if (image_open(&m, &image_qcow2, false, &o, NULL) < 0) {
			image_file_close(&f->file);
			continue;
		}
		look(m, buf);
		m->ops->info(m, say, &said);
		if (pass == 0)
			check(m, IMAGE_FIX_NONE);
		else if (pass == 1)
			check(m, what & 2 ? IMAGE_FIX_ALL : IMAGE_FIX_LEAKS);
		else
			work(m, buf, what);
		image_close(m);
	}
	return 0;
}
