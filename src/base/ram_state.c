/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ram_state.c - see ram_state.h.
 *
 * RAM is cut into chunks of 1 MiB; a chunk that has a page which is not zero is a section: which of its pages
 * follow (a bit each), how they are encoded, and the pages. Memory the guest never touched is a hole of the
 * memfd and not even looked at.
 */
#include "base/ram_state.h"

#include <zstd.h>

#define CHUNK_BYTES (1 * MIB)
#define CHUNK_PAGES (CHUNK_BYTES / PAGE_BYTES)
#define ZSTD_LEVEL 1

enum encoding { RAW, ZSTD };

struct chunk {
	u64 index; /* offset in the file / CHUNK_BYTES */
	u64 pages[CHUNK_PAGES / 64];
	u8 encoding;
};

static bool zero_page(const u8 *p)
{
	const u64 *w = (const u64 *)(const void *)p;
	u64 any = 0;

	for (unsigned i = 0; i < PAGE_BYTES / 8; i += 8) {
		any = w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] | w[i + 7];
		if (any)
			return false;
	}
	return true;
}

static void chunk_fields(struct state_file *s, struct chunk *c)
{
	state_u64(s, &c->index);
	for (unsigned i = 0; i < ARRAY_LEN(c->pages); i++)
		state_u64(s, &c->pages[i]);
	state_u8(s, &c->encoding);
}

struct saver {
	ZSTD_CCtx *z;
	u8 *plain, *packed;
	size_t packed_room;
	u64 nonzero, chunks;
};

static int save_chunk(const struct ram *r, struct state_file *s, struct saver *v, u64 index, struct err *e)
{
	struct chunk c = { .index = index };
	u64 off = index * CHUNK_BYTES, bytes = MIN(r->bytes - off, CHUNK_BYTES);
	size_t n = 0;

	for (unsigned p = 0; p < bytes / PAGE_BYTES; p++) {
		const u8 *page = r->host + off + p * (u64)PAGE_BYTES;
		if (zero_page(page))
			continue;
		memcpy(v->plain + n, page, PAGE_BYTES);
		n += PAGE_BYTES;
		c.pages[p / 64] |= 1ull << (p % 64);
	}
	if (!n)
		return 0;
	size_t packed = ZSTD_compressCCtx(v->z, v->packed, v->packed_room, v->plain, n, ZSTD_LEVEL);
	bool smaller = !ZSTD_isError(packed) && packed < n;
	c.encoding = smaller ? ZSTD : RAW;
	int rc = state_section(s, "ram", 0, 1, e);
	if (rc < 0)
		return rc;
	chunk_fields(s, &c);
	state_bytes(s, smaller ? v->packed : v->plain, smaller ? packed : n);
	v->nonzero += n;
	v->chunks++;
	return state_end(s, e);
}

static int end_section(struct state_file *s, u64 bytes, u64 chunks, struct err *e)
{
	int rc = state_section(s, "ram-end", 0, 1, e);

	if (rc < 0)
		return rc;
	state_same(s, bytes, "memory of another size");
	state_same(s, chunks, "the number of memory chunks is another");
	return state_end(s, e);
}

int ram_save(const struct ram *r, struct state_file *s, u64 *nonzero_bytes, struct err *e)
{
	struct saver v = { .z = ZSTD_createCCtx(),
			   .plain = xcalloc(1, CHUNK_BYTES),
			   .packed_room = ZSTD_compressBound(CHUNK_BYTES) };
	u64 at = 0;
	int rc = 0;

	must(v.z);
	v.packed = xcalloc(1, v.packed_room);
	while (rc == 0 && at < r->bytes) {
		off_t data = lseek(r->memfd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break; /* nothing but holes */
		/* A host without SEEK_DATA: look at everything. */
		u64 index = (data < 0 ? at : (u64)data) / CHUNK_BYTES;
		rc = save_chunk(r, s, &v, index, e);
		at = (index + 1) * CHUNK_BYTES;
	}
	*nonzero_bytes = v.nonzero;
	ZSTD_freeCCtx(v.z);
	free(v.plain);
	free(v.packed);
	return rc < 0 ? rc : end_section(s, r->bytes, v.chunks, e);
}

/* ---- loading ---- */

struct loader {
	ZSTD_DCtx *z;
	u8 *plain;
	u64 next, chunks; /* chunks come in order */
};

static void load_chunk(const struct ram *r, struct state_file *s, struct loader *l)
{
	struct chunk c;
	size_t bytes, n = 0;

	chunk_fields(s, &c);
	const u8 *data = state_rest(s, &bytes);
	u64 total = r->bytes / CHUNK_BYTES + (r->bytes % CHUNK_BYTES != 0);
	if (c.index < l->next || c.index >= total) {
		state_bad(s, "a memory chunk is out of order or outside the memory");
		return;
	}
	u64 off = c.index * CHUNK_BYTES, here = MIN(r->bytes - off, CHUNK_BYTES) / PAGE_BYTES;
	for (unsigned p = 0; p < CHUNK_PAGES; p++) {
		bool has = c.pages[p / 64] >> (p % 64) & 1;
		if (has && p >= here) {
			state_bad(s, "a page is outside the memory");
			return;
		}
		n += has ? PAGE_BYTES : 0;
	}
	if (c.encoding == ZSTD) {
		/* Never more than a chunk, whatever the data claims. */
		size_t got = ZSTD_decompressDCtx(l->z, l->plain, CHUNK_BYTES, data, bytes);
		bytes = ZSTD_isError(got) ? SIZE_MAX : got;
		data = l->plain;
	} else if (c.encoding != RAW) {
		bytes = SIZE_MAX;
	}
	if (bytes != n || !n) {
		state_bad(s, "a memory chunk cannot be unpacked");
		return;
	}
	for (unsigned p = 0; p < here; p++)
		if (c.pages[p / 64] >> (p % 64) & 1) {
			memcpy(r->host + off + p * (u64)PAGE_BYTES, data, PAGE_BYTES);
			data += PAGE_BYTES;
		}
	ram_wrote_at(r, off, here * PAGE_BYTES); /* INV-RAM-1 */
	l->next = c.index + 1;
	l->chunks++;
}

int ram_load(const struct ram *r, struct state_file *s, struct err *e)
{
	struct loader l = { .z = ZSTD_createDCtx(), .plain = xcalloc(1, CHUNK_BYTES) };
	const char *name;
	int rc;

	must(l.z);
	while ((rc = state_peek(s, &name, e)) == 0 && !strcmp(name, "ram")) {
		rc = state_section(s, "ram", 0, 1, e);
		if (rc < 0)
			break;
		load_chunk(r, s, &l);
		rc = state_end(s, e);
		if (rc < 0)
			break;
	}
	ZSTD_freeDCtx(l.z);
	free(l.plain);
	return rc < 0 ? rc : end_section(s, r->bytes, l.chunks, e);
}
