/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bat_table.c - see bat.h. Here: tables in memory, what check() finds in them, UUIDs and UTF-16. */
#include "image/bat.h"

#include <stdarg.h>
#include <sys/random.h>

#define SECTOR 512u
#define TABLE_BYTES_MAX (IMAGE_MEMORY_MAX / 4)

int bat_table_load(struct bat_table *t, struct image_file *f, u64 off, u64 bytes, struct err *e)
{
	if (off > f->bytes || bytes > f->bytes - off)
		return err_set(e, EINVAL, "its table of blocks lies behind the end of the file; it was cut short");
	if (bytes > TABLE_BYTES_MAX)
		return err_set(e, EFBIG, "its table of blocks has %llu bytes, more than the %llu that are handled",
			       (unsigned long long)bytes, TABLE_BYTES_MAX);
	*t = (struct bat_table){ .off = off, .n = (size_t)bytes };
	t->bytes = xcalloc(1, t->n + 1);
	t->dirty = xcalloc(1, t->n / SECTOR / 8 + 1);
	int rc = image_pread(f, t->bytes, t->n, off);
	if (rc < 0) {
		bat_table_fini(t);
		return err_sys(e, -rc, "reading its table of blocks");
	}
	return 0;
}

void bat_table_changed(struct bat_table *t, size_t at)
{
	t->dirty[at / SECTOR / 8] |= (u8)(1u << at / SECTOR % 8);
}

void bat_table_clean(struct bat_table *t, size_t at)
{
	t->dirty[at / SECTOR / 8] &= (u8) ~(1u << at / SECTOR % 8);
}

bool bat_table_next(struct bat_table *t, size_t *at, size_t *n)
{
	size_t i = *at / SECTOR, end = (t->n + SECTOR - 1) / SECTOR;

	while (i < end && !(t->dirty[i / 8] & 1u << i % 8))
		i += t->dirty[i / 8] >> i % 8 ? 1 : 8 - i % 8;
	if (i >= end)
		return false;
	*at = i * SECTOR;
	for (; i < end && t->dirty[i / 8] & 1u << i % 8; i++)
		t->dirty[i / 8] &= (u8) ~(1u << i % 8);
	*n = MIN(i * SECTOR, t->n) - *at;
	return true;
}

int bat_table_write(struct bat_table *t, struct image_file *f)
{
	size_t n, i;

	for (size_t at = 0; bat_table_next(t, &at, &n); at += n) {
		int rc = image_pwrite(f, t->bytes + at, n, t->off + at);
		if (rc == 0)
			continue;
		for (i = at; i < at + n; i += SECTOR)
			bat_table_changed(t, i);
		return rc;
	}
	return 0;
}

void bat_table_fini(struct bat_table *t)
{
	free(t->bytes);
	free(t->dirty);
}

/* ---- check ---- */

void bat_report(struct image_check *c, const char *fmt, ...)
{
	char line[160];
	va_list ap;

	if (!c->report || !c->reports)
		return;
	c->reports--;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->report(c->opaque, line);
}

static int by_place(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* Of places in their order: which lie on each other, and how much room is between them. */
static void look_between(const u64 *places, size_t n, u64 first, u64 size, u64 end, struct image_check *c)
{
	u64 free_bytes = 0, at = first;

	for (size_t i = 0; i < n; i++) {
		if (i && places[i] < places[i - 1] + size) {
			c->corrupt++;
			bat_report(c, "two blocks lie on each other at %#llx", (unsigned long long)places[i]);
		} else {
			free_bytes += (places[i] - at) / size;
		}
		at = places[i] + size;
	}
	c->end = at;
	c->leaked += free_bytes + (end > at ? (end - at) / size : 0);
}

int bat_check(struct bat *b, u64 first, u32 extra, u32 tail, struct image_check *c, struct err *e)
{
	u64 end = b->file->bytes - MIN(b->file->bytes, tail), last = 0;
	auto_free u64 *places = NULL;
	size_t n = 0, room = 0;
	struct bat_block is;

	for (u64 i = 0; i < b->blocks; i++) {
		int rc = b->ops->get(b, i, &is);
		c->total++;
		if (rc < 0 || ((is.kind == BAT_DATA || is.kind == BAT_PART) &&
			       (is.off < first + extra || is.off > end || b->block_bytes > end - is.off))) {
			c->corrupt++;
			bat_report(c, "block %llu lies outside of the file", (unsigned long long)i);
			continue;
		}
		if (is.kind != BAT_DATA && is.kind != BAT_PART)
			continue;
		if (n == room)
			places = xrealloc(places, (room = room * 2 + 1024) * sizeof(*places));
		c->allocated++;
		c->fragmented += n && is.off != last + b->block_bytes;
		last = is.off;
		places[n++] = is.off - extra;
	}
	if (n)
		qsort(places, n, sizeof(*places), by_place);
	look_between(places, n, first, (u64)b->block_bytes + extra, end, c);
	return 0;
}

/* ---- small things ---- */

void image_uuid(u8 uuid[16])
{
	must(getrandom(uuid, 16, 0) == 16);
	uuid[6] = (u8)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (u8)((uuid[8] & 0x3f) | 0x80);
}

static u32 unit_at(const u8 *in, bool big_endian)
{
	return big_endian ? ld_be16(in) : ld_le16(in);
}

bool image_utf16(const u8 *in, size_t bytes, bool big_endian, char *out, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i + 1 < bytes; i += 2) {
		u32 c = unit_at(in + i, big_endian);
		if (!c)
			break;
		if (c >= 0xd800 && c < 0xdc00 && i + 3 < bytes) {
			u32 low = unit_at(in + i + 2, big_endian);
			c = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0xd800;
			i += 2;
		}
		if ((c >= 0xd800 && c < 0xe000) || n + 5 > room)
			return false;
		if (c < 0x80) {
			out[n++] = (char)c;
			continue;
		}
		unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
		out[n++] = (char)((0xf0u << (3 - more)) | c >> 6 * more);
		while (more--)
			out[n++] = (char)(0x80 | (c >> 6 * more & 0x3f));
	}
	out[n] = '\0';
	return true;
}
