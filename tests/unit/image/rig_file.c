/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rig_file.c - see rig.h. Here: files in memory, their logs, crashes, openers. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECTOR 512u
#define FILE_BYTES_MAX (1ull << 31)

struct entry {
	u64 off;
	u32 n; /* 0: a sync, or the file's new size when resized */
	bool resized;
	u8 *bytes; /* NULL: zeros */
};

struct store {
	unsigned handles;
	u8 *bytes;
	u64 size, room;
	bool logging;
	struct entry *log;
	size_t entries, log_room;
	u8 *at_first; /* the bytes when logging began */
	u64 first_size;
};

struct handle {
	struct image_file file; /* first */
	struct store *s;
};

static struct store *store_of(const struct image_file *f)
{
	return ((const struct handle *)(const void *)f)->s;
}

static void grow(struct store *s, u64 size)
{
	if (size > s->room) {
		u64 room = MAX(size, s->room * 2);
		s->bytes = xrealloc(s->bytes, (size_t)room);
		memset(s->bytes + s->room, 0, (size_t)(room - s->room));
		s->room = room;
	}
	s->size = MAX(s->size, size);
}

static void note(struct store *s, struct entry en, const void *bytes)
{
	if (!s->logging)
		return;
	if (bytes)
		en.bytes = memcpy(xrealloc(NULL, en.n), bytes, en.n);
	if (s->entries == s->log_room)
		s->log = xrealloc(s->log, (s->log_room = s->log_room * 2 + 64) * sizeof(*s->log));
	s->log[s->entries++] = en;
}

static int mem_pread(struct image_file *f, void *buf, size_t n, u64 off)
{
	struct store *s = store_of(f);

	if (off > s->size || n > s->size - off)
		return -EIO;
	memcpy(buf, s->bytes + off, n);
	return 0;
}

static int mem_pwrite(struct image_file *f, const void *buf, size_t n, u64 off)
{
	struct store *s = store_of(f);

	if (off > FILE_BYTES_MAX || n > FILE_BYTES_MAX - off)
		return -EFBIG;
	note(s, (struct entry){ .off = off, .n = (u32)n }, buf);
	grow(s, off + n);
	memcpy(s->bytes + off, buf, n);
	return 0;
}

static int mem_zero(struct image_file *f, u64 off, u64 bytes, bool unmap)
{
	struct store *s = store_of(f);

	note(s, (struct entry){ .off = off, .n = (u32)bytes }, NULL);
	memset(s->bytes + off, 0, (size_t)bytes);
	return 0;
}

static int mem_resize(struct image_file *f, u64 bytes)
{
	struct store *s = store_of(f);

	if (bytes > FILE_BYTES_MAX)
		return -EFBIG;
	note(s, (struct entry){ .off = bytes, .resized = true }, NULL);
	if (bytes < s->size)
		memset(s->bytes + bytes, 0, (size_t)(s->size - bytes));
	grow(s, bytes);
	s->size = bytes;
	return 0;
}

static int mem_sync(struct image_file *f)
{
	note(store_of(f), (struct entry){ 0 }, NULL);
	return 0;
}

static int mem_data(struct image_file *f, u64 off, u64 *data, u64 *end)
{
	*data = off;
	*end = f->bytes;
	return 0;
}

static void mem_close(struct image_file *f)
{
	struct store *s = store_of(f);

	if (--s->handles)
		return;
	for (size_t i = 0; i < s->entries; i++)
		free(s->log[i].bytes);
	free(s->log);
	free(s->bytes);
	free(s->at_first);
	free(s);
}

static const struct image_file_ops mem_ops = {
	.pread = mem_pread,
	.pwrite = mem_pwrite,
	.zero = mem_zero,
	.resize = mem_resize,
	.sync = mem_sync,
	.data = mem_data,
	.close = mem_close,
};

static struct image_file *handle_on(struct store *s, unsigned id, const char *name)
{
	struct handle *h = xcalloc(1, sizeof(*h));

	h->file = (struct image_file){ .ops = &mem_ops, .fd = -1, .id = id, .bytes = s->size, .name = xstrdup(name) };
	h->s = s;
	s->handles++;
	return &h->file;
}

struct image_file *rig_file(unsigned id, const char *name)
{
	return handle_on(xcalloc(1, sizeof(struct store)), id, name);
}

struct image_file *rig_file_of(unsigned id, const char *name, const void *bytes, size_t n)
{
	struct image_file *f = rig_file(id, name);

	assert_int_equal(image_pwrite(f, bytes, n, 0), 0);
	return f;
}

struct image_file *rig_again(struct image_file *f)
{
	return handle_on(store_of(f), f->id, f->name);
}

u8 *rig_bytes(struct image_file *f)
{
	return store_of(f)->bytes;
}

/* ---- the log ---- */

void rig_log(struct image_file *f)
{
	struct store *s = store_of(f);

	s->logging = true;
	s->first_size = s->size;
	s->at_first = memcpy(xrealloc(NULL, (size_t)s->size + 1), s->bytes, (size_t)s->size);
}

size_t rig_log_entries(const struct image_file *f)
{
	return store_of(f)->entries;
}

u64 rig_random(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void apply(struct image_file *to, const struct entry *en, bool whole, u64 *seed)
{
	static const u8 zeros[SECTOR];
	u64 n;

	if (en->resized)
		assert_int_equal(image_resize_file(to, en->off), 0);
	for (u64 i = 0; i < en->n; i += n) {
		n = MIN(en->n - i, SECTOR - (en->off + i) % SECTOR);
		if (whole || rig_random(seed) % 2)
			assert_int_equal(image_pwrite(to, en->bytes ? en->bytes + i : zeros, (size_t)n, en->off + i),
					 0);
	}
}

struct image_file *rig_crash(struct image_file *f, size_t n, u64 *seed)
{
	struct store *s = store_of(f);
	struct image_file *to = rig_file_of(f->id, f->name, s->at_first, (size_t)s->first_size);
	size_t synced = 0;

	for (size_t i = 0; i < n; i++)
		if (!s->log[i].n && !s->log[i].resized)
			synced = i;
	for (size_t i = 0; i < n; i++)
		apply(to, &s->log[i], i < synced, seed);
	return to;
}

/* ---- openers ---- */

static const char *last_part(const char *name)
{
	const char *a = strrchr(name, '/'), *b = strrchr(name, '\\');

	a = a && b ? MAX(a, b) : a ? a : b;
	return a ? a + 1 : name;
}

static int open_named(struct image_opener *o, enum image_want what, const char *of, const char *name, char *format,
		      size_t format_bytes, bool readonly, struct image_file **f, struct err *e)
{
	struct rig_opener *r = (struct rig_opener *)(void *)o;

	for (unsigned i = 0; i < r->nfiles; i++) {
		if (strcmp(r->names[i], last_part(name)))
			continue;
		*f = rig_again(r->files[i]);
		(*f)->readonly = readonly;
		if (r->formats[i] && !*format)
			snprintf(format, format_bytes, "%s", r->formats[i]);
		return 0;
	}
	return err_set(e, ENOENT, "%s: no such file", name);
}

void rig_opener_add(struct rig_opener *o, const char *name, struct image_file *f, const char *format)
{
	assert_true(o->nfiles < RIG_NAMES_MAX);
	o->opener.open = open_named;
	o->files[o->nfiles] = f;
	o->names[o->nfiles] = name;
	o->formats[o->nfiles++] = format;
}
