/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ram_state.c - see ram_state.h.
 *
 * RAM is cut into chunks of 1 MiB by its place in the file (base/ram.h), which does not depend on what the board makes
 * of addresses. A piece is a section: which chunk, which of its pages follow (a bit each), which are zero now, how the
 * pages are encoded, and the pages. Memory the guest never touched is a hole of the memfd and not even looked at.
 */
#include "base/ram_state.h"

#include <zstd.h>

#define CHUNK_BYTES (1 * MIB)
#define CHUNK_PAGES (CHUNK_BYTES / PAGE_BYTES)
#define CHUNK_WORDS (CHUNK_PAGES / 64)
#define ZSTD_LEVEL 1
#define PIECE_VERSION 2 /* 1, in format 1: without `zeros`, in ascending order, none twice */
#define END_VERSION 2   /* 1: there is nothing beside main RAM */

enum encoding { RAW, ZSTD };

struct chunk {
	u64 index; /* offset in the file / CHUNK_BYTES */
	u64 pages[CHUNK_WORDS];
	u64 zeros[CHUNK_WORDS];
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

static bool bit(const u64 *words, unsigned n)
{
	return words[n / 64] >> (n % 64) & 1;
}

static void chunk_fields(struct state_file *s, struct chunk *c)
{
	state_u64(s, &c->index);
	for (unsigned i = 0; i < CHUNK_WORDS; i++)
		state_u64(s, &c->pages[i]);
	for (unsigned i = 0; i < CHUNK_WORDS && state_version(s) >= 2; i++)
		state_u64(s, &c->zeros[i]);
	state_u8(s, &c->encoding);
}

/* Is page p of the chunk memory: of main RAM, or of what was taken beside it, which ends at `end`? */
static bool is_memory(const struct ram *r, u64 end, u64 index, unsigned p)
{
	u64 off = index * CHUNK_BYTES + p * (u64)PAGE_BYTES;

	return off < r->bytes || (off >= r->pieces && off < end);
}

/* ---- saving ---- */

struct ram_saver {
	const struct ram *r;
	u64 end; /* of all memory in the file */
	struct state_file *s;
	ZSTD_CCtx *z;
	u8 *plain, *packed;
	size_t packed_room;
	u64 written, pieces;
};

struct ram_saver *ram_saver_new(struct ram *r, struct state_file *s)
{
	struct ram_saver *v = xcalloc(1, sizeof(*v));

	v->r = r;
	v->end = ram_taken_end(r);
	v->s = s;
	v->z = ZSTD_createCCtx();
	must(v->z);
	v->plain = xcalloc(1, CHUNK_BYTES);
	v->packed_room = ZSTD_compressBound(CHUNK_BYTES);
	v->packed = xcalloc(1, v->packed_room);
	return v;
}

void ram_saver_free(struct ram_saver *v)
{
	if (!v)
		return;
	ZSTD_freeCCtx(v->z);
	free(v->plain);
	free(v->packed);
	free(v);
}

u64 ram_saver_bytes(const struct ram_saver *v)
{
	return v->written;
}

/* Of these pages of it; those that are zero are told of when `zeros`. */
static int save_piece(struct ram_saver *v, u64 index, const u64 *wanted, bool zeros, struct err *e)
{
	struct chunk c = { .index = index };
	size_t n = 0;
	bool any = false;

	for (unsigned p = 0; p < CHUNK_PAGES; p++) {
		const u8 *page = v->r->host + index * CHUNK_BYTES + p * (u64)PAGE_BYTES;
		if (!bit(wanted, p) || !is_memory(v->r, v->end, index, p))
			continue;
		/* The guest may run, and write to it: what is told of is the copy. */
		memcpy(v->plain + n, page, PAGE_BYTES);
		bool zero = zero_page(v->plain + n);
		any |= !zero || zeros;
		if (zero && zeros)
			c.zeros[p / 64] |= 1ull << (p % 64);
		if (zero)
			continue;
		n += PAGE_BYTES;
		c.pages[p / 64] |= 1ull << (p % 64);
	}
	if (!any)
		return 0;
	size_t packed = n ? ZSTD_compressCCtx(v->z, v->packed, v->packed_room, v->plain, n, ZSTD_LEVEL) : n;
	bool smaller = !ZSTD_isError(packed) && packed < n;
	c.encoding = smaller ? ZSTD : RAW;
	int rc = state_section(v->s, "ram", 0, PIECE_VERSION, e);
	if (rc < 0)
		return rc;
	chunk_fields(v->s, &c);
	state_bytes(v->s, smaller ? v->packed : v->plain, smaller ? packed : n);
	v->written += n;
	v->pieces++;
	return state_end(v->s, e);
}

int ram_saver_all(struct ram_saver *v, struct err *e)
{
	static const u64 every[CHUNK_WORDS] = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
	const struct ram *r = v->r;
	u64 at = 0;
	int rc = 0;

	while (rc == 0 && at < v->end) {
		off_t data = lseek(r->memfd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break; /* nothing but holes */
		/* A host without SEEK_DATA: look at everything. */
		u64 index = (data < 0 ? at : (u64)data) / CHUNK_BYTES;
		rc = save_piece(v, index, every, false, e);
		at = (index + 1) * CHUNK_BYTES;
	}
	return rc;
}

int ram_saver_pages(struct ram_saver *v, const u64 *bits, struct err *e)
{
	u64 words = v->end / PAGE_BYTES / 64;
	int rc = 0;

	for (u64 w = 0; w < words && rc == 0; w += CHUNK_WORDS) {
		u64 wanted[CHUNK_WORDS] = { 0 }, any = 0;
		for (u64 i = 0; i < CHUNK_WORDS && w + i < words; i++)
			any |= wanted[i] = bits[w + i];
		if (any)
			rc = save_piece(v, w / CHUNK_WORDS, wanted, true, e);
	}
	return rc;
}

static int end_section(const struct ram *r, u64 end, struct state_file *s, u64 pieces, struct err *e)
{
	int rc = state_section(s, "ram-end", 0, END_VERSION, e);

	if (rc < 0)
		return rc;
	state_same(s, r->bytes, "memory of another size");
	state_same(s, pieces, "the number of memory chunks is another");
	if (state_version(s) >= 2)
		state_same(s, end - r->pieces, "memory beside RAM (ROMs, a screen's) of another size");
	else if (end != r->pieces)
		state_bad(s, "it has no memory beside RAM (ROMs, a screen's), and this machine has");
	return state_end(s, e);
}

int ram_saver_end(struct ram_saver *v, struct err *e)
{
	return end_section(v->r, v->end, v->s, v->pieces, e);
}

int ram_save(struct ram *r, struct state_file *s, u64 *nonzero_bytes, struct err *e)
{
	struct ram_saver *v = ram_saver_new(r, s);
	int rc = ram_saver_all(v, e);

	if (rc == 0)
		rc = ram_saver_end(v, e);
	*nonzero_bytes = v->written;
	ram_saver_free(v);
	return rc;
}

/* ---- loading ---- */

struct loader {
	ZSTD_DCtx *z;
	u8 *plain;
	u64 end; /* of all memory in the file */
	u64 pieces;
};

/* NULL, or what is wrong with it. *n: bytes of its pages. */
static const char *check_chunk(const struct ram *r, u64 end, const struct chunk *c, size_t *n)
{
	if (c->index > end / CHUNK_BYTES)
		return "a memory chunk is outside the memory";
	for (unsigned p = 0; p < CHUNK_PAGES; p++) {
		bool has = bit(c->pages, p), zero = bit(c->zeros, p);
		if ((has || zero) && !is_memory(r, end, c->index, p))
			return "a page is outside the memory";
		if (has && zero)
			return "a page is there and zero at a time";
		*n += has ? PAGE_BYTES : 0;
	}
	return NULL;
}

static void load_chunk(const struct ram *r, struct state_file *s, struct loader *l)
{
	struct chunk c = { 0 };
	size_t bytes, n = 0;

	chunk_fields(s, &c);
	const u8 *data = state_rest(s, &bytes);
	const char *wrong = check_chunk(r, l->end, &c, &n);
	if (wrong) {
		state_bad(s, wrong);
		return;
	}
	if (c.encoding == ZSTD) {
		/* Never more than a chunk, whatever the data claims. */
		size_t got = ZSTD_decompressDCtx(l->z, l->plain, CHUNK_BYTES, data, bytes);
		bytes = ZSTD_isError(got) ? SIZE_MAX : got;
		data = l->plain;
	} else if (c.encoding != RAW) {
		bytes = SIZE_MAX;
	}
	if (bytes != n || (!n && state_version(s) < 2)) {
		state_bad(s, "a memory chunk cannot be unpacked");
		return;
	}
	u64 off = c.index * CHUNK_BYTES;
	for (unsigned p = 0; p < CHUNK_PAGES; p++) {
		u8 *page = r->host + off + p * (u64)PAGE_BYTES;
		if (bit(c.pages, p)) {
			memcpy(page, data, PAGE_BYTES);
			data += PAGE_BYTES;
		} else if (bit(c.zeros, p) && !zero_page(page)) {
			memset(page, 0, PAGE_BYTES);
		}
	}
	ram_wrote_at(r, off, MIN(CHUNK_BYTES, l->end - off)); /* INV-RAM-1 */
	l->pieces++;
}

int ram_load(struct ram *r, struct state_file *s, struct err *e)
{
	struct loader l = { .z = ZSTD_createDCtx(), .plain = xcalloc(1, CHUNK_BYTES), .end = ram_taken_end(r) };
	const char *name;
	int rc;

	must(l.z);
	while ((rc = state_peek(s, &name, e)) == 0 && !strcmp(name, "ram")) {
		rc = state_section(s, "ram", 0, PIECE_VERSION, e);
		if (rc < 0)
			break;
		load_chunk(r, s, &l);
		rc = state_end(s, e);
		if (rc < 0)
			break;
	}
	ZSTD_freeDCtx(l.z);
	free(l.plain);
	return rc < 0 ? rc : end_section(r, l.end, s, l.pieces, e);
}
