/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_state.c - saved state: what comes back is what was put in, and no damage goes unseen. */
#include "base/ram_state.h"
#include "base/state.h"
#include "cpu/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <xxhash.h>

static int file(void)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct state_file *reader(int fd, struct err *e)
{
	struct state_file *s;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return state_load_new(&s, fd, e) < 0 ? NULL : s;
}

struct things {
	u8 a;
	u16 b;
	u32 c;
	u64 d;
	bool yes, no;
	unsigned n;
	char text[16];
	u8 raw[5];
};

static const struct things sample = { 1,     0x203, 0x4050607, 0x8090a0b0c0d0e0full, true,
				      false, 3,     "words",   { 9, 8, 7, 6, 5 } };

static void fields(struct state_file *s, struct things *t)
{
	state_u8(s, &t->a);
	state_u16(s, &t->b);
	state_u32(s, &t->c);
	state_u64(s, &t->d);
	state_bool(s, &t->yes);
	state_bool(s, &t->no);
	state_uint(s, &t->n, 3);
	state_text(s, t->text, sizeof(t->text));
	state_bytes(s, t->raw, sizeof(t->raw));
}

/* The whole small file; loading, all of it. */
static int pass(struct state_file *s, struct things *t, struct err *e)
{
	int r;

	for (u32 i = 0; i < 2; i++) {
		if ((r = state_section(s, "things", i, 1, e)) < 0)
			return r;
		fields(s, t);
		if ((r = state_end(s, e)) < 0)
			return r;
	}
	if ((r = state_section(s, "empty", 7, 1, e)) < 0 || (r = state_end(s, e)) < 0)
		return r;
	return state_finish(s, e);
}

static int small_file(void)
{
	struct things t = sample;
	struct state_file *s;
	int fd = file();

	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(pass(s, &t, NULL), 0);
	assert_int_equal(state_offset(s), lseek(fd, 0, SEEK_CUR));
	state_free(s);
	return fd;
}

static int load_small(int fd, struct things *t, struct err *e)
{
	struct state_file *s = reader(fd, e);

	if (!s)
		return -e->code;
	int r = pass(s, t, e);
	state_free(s);
	return r;
}

static void round_trip(void **state)
{
	struct things t = { 0 };
	struct err e;
	int fd = small_file();

	assert_int_equal(load_small(fd, &t, &e), 0);
	assert_memory_equal(&t, &sample, offsetof(struct things, text));
	assert_string_equal(t.text, sample.text);
	assert_memory_equal(t.raw, sample.raw, sizeof(t.raw));
	close(fd);
}

/* The layout itself, so that it stays what docs/state-format.md says. */
static void layout(void **state)
{
	u8 b[4096];
	int fd = small_file();
	ssize_t n = pread(fd, b, sizeof(b), 0);

	assert_true(n > 200);
	assert_memory_equal(b, "MICASAVE\2\0\0\0\0\0\0\0", 16);
	assert_true(ld_le64(b + 24) == XXH64(b, 24, 0));
	u8 *h = b + 32;
	assert_memory_equal(h, "things\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(ld_le32(h + 16), 0);
	assert_int_equal(ld_le32(h + 20), 1);
	assert_int_equal(ld_le64(h + 24), 1 + 2 + 4 + 8 + 1 + 1 + 4 + 4 + 5 + 5);
	assert_true(ld_le64(h + 32) == XXH64(h + 48, 35, 0));
	assert_true(ld_le64(h + 40) == XXH64(h, 40, 0));
	assert_memory_equal(
	    h + 48, "\1\3\2\7\6\5\4\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08\1\0\3\0\0\0\5\0\0\0words\x9\x8\x7\x6\x5", 35);
	/* The second section's checksums are seeded with its place. */
	h += 48 + 35;
	assert_true(ld_le64(h + 40) == XXH64(h, 40, 1));
	close(fd);
}

static void cut_off_anywhere(void **state)
{
	int fd = small_file();
	off_t all = lseek(fd, 0, SEEK_END);

	for (off_t n = 0; n < all; n++) {
		struct things t;
		struct err e = { 0 };
		assert_int_equal(ftruncate(fd, n), 0);
		int r = load_small(fd, &t, &e);
		if (r >= 0 || e.code != -r || !e.msg[0])
			fail_msg("%lld of %lld bytes: %d %s", (long long)n, (long long)all, r, e.msg);
		if (n >= 8)
			assert_non_null(strstr(e.msg, "cut off"));
		close(fd);
		fd = small_file();
	}
	close(fd);
}

static void every_bit_flipped(void **state)
{
	int fd = small_file();
	off_t all = lseek(fd, 0, SEEK_END);

	for (off_t at = 0; at < all; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct things t;
			struct err e = { 0 };
			u8 b, flipped;
			assert_int_equal(pread(fd, &b, 1, at), 1);
			flipped = b ^ (u8)(1 << bit);
			assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
			int r = load_small(fd, &t, &e);
			if (r >= 0 || !e.msg[0])
				fail_msg("byte %lld bit %u went unseen", (long long)at, bit);
			assert_int_equal(pwrite(fd, &b, 1, at), 1);
		}
	close(fd);
}

/* Give byte `at` of the section header at `h` a value, and make its checksum fit: a hostile file. */
static void forge(u8 *h, u64 ordinal, unsigned at, u64 v, unsigned bytes)
{
	memcpy(h + at, &v, bytes);
	st_le64(h + 40, XXH64(h, 40, ordinal));
}

static void forged_headers(void **state)
{
	static const struct {
		unsigned at, bytes;
		u64 v;
		const char *words;
	} t[] = {
		{ 20, 4, 2, "version 2 of section things" },
		{ 20, 4, 0, "version 0" },
		{ 16, 4, 1, "section things 1 where things 0 is expected" },
		{ 0, 1, 'T', "section Things" },
		{ 0, 1, 0, "no name" },
		{ 15, 1, 'x', "no name" },
		{ 24, 8, 36, "checksum" },
		{ 24, 8, STATE_SECTION_MAX, "cut off" },
		{ 24, 8, STATE_SECTION_MAX + 1, "too long" },
		{ 24, 8, UINT64_MAX, "too long" },
	};
	u8 b[4096], c[4096];
	int fd = small_file();
	size_t n = (size_t)pread(fd, b, sizeof(b), 0);

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct things x;
		struct err e = { 0 };
		memcpy(c, b, n);
		forge(c + 32, 0, t[i].at, t[i].v, t[i].bytes);
		assert_int_equal(pwrite(fd, c, n, 0), n);
		assert_true(load_small(fd, &x, &e) < 0);
		if (!strstr(e.msg, t[i].words))
			fail_msg("%zu: %s", i, e.msg);
	}
	/* Another format, another kind of file. */
	struct things x;
	struct err e;
	memcpy(c, b, n);
	c[8] = 3;
	st_le64(c + 24, XXH64(c, 24, 0));
	assert_int_equal(pwrite(fd, c, n, 0), n);
	assert_int_equal(load_small(fd, &x, &e), -EPROTONOSUPPORT);
	assert_non_null(strstr(e.msg, "format 3"));
	memcpy(c, "\177ELF....", 8);
	assert_int_equal(pwrite(fd, c, n, 0), n);
	assert_true(load_small(fd, &x, &e) < 0);
	assert_non_null(strstr(e.msg, "not the saved state"));
	/* Something behind the end. */
	assert_int_equal(pwrite(fd, b, n, 0), n);
	assert_int_equal(pwrite(fd, "", 1, (off_t)n), 1);
	assert_true(load_small(fd, &x, &e) < 0);
	assert_non_null(strstr(e.msg, "behind the end"));
	close(fd);
}

/* Sections that are whole, but moved, left out or doubled. */
static void moved_sections(void **state)
{
	enum { HEAD = 32, THING = 48 + 35 };
	u8 b[4096], c[4096];
	struct things x;
	struct err e;
	int fd = small_file();
	size_t n = (size_t)pread(fd, b, sizeof(b), 0);

	memcpy(c, b, n);
	memcpy(c + HEAD, b + HEAD + THING, THING);
	memcpy(c + HEAD + THING, b + HEAD, THING);
	assert_int_equal(pwrite(fd, c, n, 0), n);
	assert_true(load_small(fd, &x, &e) < 0);
	memcpy(c + HEAD, b + HEAD + THING, n - HEAD - THING);
	assert_int_equal(pwrite(fd, c, n - THING, 0), n - THING);
	assert_int_equal(ftruncate(fd, (off_t)(n - THING)), 0);
	assert_true(load_small(fd, &x, &e) < 0);
	close(fd);
}

/* A mark in the half of the flags that a reader must understand; any mark, in format 1. */
static void unknown_marks(void **state)
{
	u8 b[4096], c[4096];
	struct things x;
	struct err e;
	int fd = small_file();
	size_t n = (size_t)pread(fd, b, sizeof(b), 0);

	(void)state;
	memcpy(c, b, n);
	forge(c + 32, 0, 28, 0x10000, 4);
	assert_int_equal(pwrite(fd, c, n, 0), n);
	assert_int_equal(load_small(fd, &x, &e), -EPROTONOSUPPORT);
	assert_non_null(strstr(e.msg, "0x10000"));
	memcpy(c, b, n);
	forge(c + 32, 0, 28, 2, 4); /* one that says nothing to us */
	assert_int_equal(pwrite(fd, c, n, 0), n);
	assert_int_equal(load_small(fd, &x, &e), 0);
	c[8] = 1;
	st_le64(c + 24, XXH64(c, 24, 0));
	assert_int_equal(pwrite(fd, c, n, 0), n);
	assert_int_equal(load_small(fd, &x, &e), -EBADMSG);
	b[8] = 1; /* format 1 as it was */
	st_le64(b + 24, XXH64(b, 24, 0));
	assert_int_equal(pwrite(fd, b, n, 0), n);
	assert_int_equal(load_small(fd, &x, &e), 0);
	close(fd);
}

struct loading {
	struct state_file *s;
	int fd;
};

/* A file with one section of these bytes, its fields about to be read. */
static struct loading one_section(const void *bytes, size_t n)
{
	struct loading l = { .fd = file() };
	struct state_file *s;

	assert_int_equal(state_save_new(&s, l.fd, NULL), 0);
	assert_int_equal(state_section(s, "x", 0, 1, NULL), 0);
	state_bytes(s, (void *)(uintptr_t)bytes, n);
	assert_int_equal(state_end(s, NULL), 0);
	state_free(s);
	l.s = reader(l.fd, NULL);
	assert_int_equal(state_section(l.s, "x", 0, 1, NULL), 0);
	return l;
}

static void refused(struct loading l, const char *words)
{
	struct err e;

	assert_true(state_end(l.s, &e) < 0);
	if (!strstr(e.msg, words))
		fail_msg("%s", e.msg);
	state_free(l.s);
	close(l.fd);
}

static void fields_that_lie(void **state)
{
	struct loading l = one_section("abc", 3);
	u64 v = 5;
	u32 w;
	bool b;
	unsigned n;
	char text[4];

	state_u64(l.s, &v);
	assert_true(v == 0);
	refused(l, "too short");
	l = one_section("abcd", 4);
	state_u16(l.s, (u16[1]){ 0 });
	refused(l, "2 bytes too long");
	l = one_section("\2", 1);
	state_bool(l.s, &b);
	assert_false(b);
	refused(l, "0 or 1");
	l = one_section("\7\0\0\0", 4);
	state_uint(l.s, &n, 6);
	assert_int_equal(n, 0);
	refused(l, "out of range");
	l = one_section("\4\0\0\0aaaa", 8);
	state_text(l.s, text, sizeof(text));
	refused(l, "too long");
	l = one_section("\377\377\377\377aaaa", 8);
	state_text(l.s, text, sizeof(text));
	refused(l, "too long");
	l = one_section("\3\0\0\0a\0a", 7);
	state_text(l.s, text, sizeof(text));
	refused(l, "zero byte");
	l = one_section("\1\0\0\0\0\0\0\0", 8);
	state_same(l.s, 2, "another number");
	refused(l, "another number");
	l = one_section("\1\0\0\0", 4);
	state_bad(l.s, "first");
	state_u32(l.s, &w);
	state_bad(l.s, "second");
	refused(l, "first");
}

/* ---- memory ---- */

static struct ram *new_ram(u64 bytes)
{
	struct ram *r;

	assert_int_equal(ram_new(&r, bytes, NULL), 0);
	return r;
}

static int save_ram(struct ram *r, u64 *nonzero)
{
	struct state_file *s;
	int fd = file();

	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(ram_save(r, s, nonzero, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	return fd;
}

static int load_ram(struct ram *r, int fd, struct err *e)
{
	struct state_file *s = reader(fd, e);
	int rc = ram_load(r, s, e);

	if (rc == 0)
		rc = state_finish(s, e);
	state_free(s);
	return rc;
}

static void memory(void **state)
{
	u64 bytes = 5 * MIB + 3 * PAGE_BYTES, nonzero;
	struct ram *a = new_ram(bytes), *b = new_ram(bytes);
	struct err e;
	u32 x = 1;

	/* Text that packs, noise that does not, a lone byte, a page that was written and is zero, the last byte. */
	for (unsigned i = 0; i < 100 * PAGE_BYTES; i++)
		a->host[i] = (u8)(i / 64);
	for (unsigned i = 0; i < 300 * PAGE_BYTES; i++)
		a->host[2 * MIB + i] = (u8)((x = x * 1664525 + 1013904223) >> 24);
	a->host[4 * MIB + 12345] = 1;
	a->host[3 * MIB + 600000] = 0;
	a->host[bytes - 1] = 0xff;
	int fd = save_ram(a, &nonzero);
	assert_int_equal(nonzero, (100 + 300 + 1 + 1) * PAGE_BYTES);
	assert_true(lseek(fd, 0, SEEK_END) < 310 * (off_t)PAGE_BYTES);
	assert_int_equal(load_ram(b, fd, &e), 0);
	assert_memory_equal(a->host, b->host, bytes);

	/* Into another size: no. */
	struct ram *small = new_ram(4 * MIB), *large = new_ram(8 * MIB);
	assert_true(load_ram(small, fd, &e) < 0);
	assert_true(load_ram(large, fd, &e) < 0);
	assert_non_null(strstr(e.msg, "another size"));
	close(fd);
	ram_free(small);
	ram_free(large);
	ram_free(a);
	ram_free(b);
}

/* What was taken beside main RAM is saved with it, also where the guest does not see it; the page of ones is not. */
static void taken_memory(void **state)
{
	u64 bytes = 5 * MIB + 3 * PAGE_BYTES, off[2][2], nonzero;
	struct ram *r[2];
	struct err e;

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ram_new_with_room(&r[i], bytes, 4 * MIB, &e), 0);
		assert_int_equal(ram_take(r[i], 2 * MIB, &off[i][0], &e), 0);
		assert_int_equal(ram_take(r[i], PAGE_BYTES, &off[i][1], &e), 0);
		assert_int_equal(off[i][0], off[0][0]);
	}
	r[0]->host[bytes - 1] = 1;
	r[0]->host[off[0][0]] = 2;
	r[0]->host[off[0][0] + 2 * MIB - 1] = 3;
	r[0]->host[off[0][1] + 77] = 4;
	ram_ones(r[0]);
	int fd = save_ram(r[0], &nonzero);
	assert_int_equal(nonzero, 4 * PAGE_BYTES);
	assert_int_equal(load_ram(r[1], fd, &e), 0);
	assert_memory_equal(r[0]->host, r[1]->host, bytes);
	assert_memory_equal(r[0]->host + off[0][0], r[1]->host + off[1][0], 2 * MIB);
	assert_memory_equal(r[0]->host + off[0][1], r[1]->host + off[1][1], PAGE_BYTES);
	assert_int_equal(r[1]->host[r[1]->ones_off], 0);
	close(fd);
	/* A machine that has none of it, or less. */
	struct ram *none = new_ram(bytes);
	fd = save_ram(r[0], &nonzero);
	assert_true(load_ram(none, fd, &e) < 0);
	close(fd);
	fd = save_ram(none, &nonzero);
	assert_true(load_ram(r[1], fd, &e) < 0);
	assert_non_null(strstr(e.msg, "beside RAM"));
	close(fd);
	ram_free(none);
	ram_free(r[0]);
	ram_free(r[1]);
}

static void empty_memory(void **state)
{
	struct ram *a = new_ram(64 * MIB), *b = new_ram(64 * MIB);
	u64 nonzero = 1;
	struct err e;
	int fd = save_ram(a, &nonzero);

	assert_int_equal(nonzero, 0);
	assert_true(lseek(fd, 0, SEEK_END) < 300);
	assert_int_equal(load_ram(b, fd, &e), 0);
	close(fd);
	ram_free(a);
	ram_free(b);
}

/* A chunk that says what it should not: index, bitmap, encoding, data. */
static void hostile_memory(void **state)
{
	struct ram *r = new_ram(1 * MIB + PAGE_BYTES);
	u8 page[PAGE_BYTES] = { 1 };

	for (unsigned kind = 0; kind < 16; kind++) {
		u32 version = kind < 7 ? 1 : 2, what = kind < 7 ? kind : kind - 7;
		u64 index = what == 0 ? 2 : what == 1 ? UINT64_MAX : what == 2 || what == 8 ? 1 : 0;
		/* 2: the second page of a chunk that has one; 5: two pages, and bytes for one; 6: no page, and bytes;
		 * 7: there and zero; 8: the second page of a chunk that has one is zero */
		u64 bits[4] = { what == 2 ? 2 : what == 5 ? 3 : what == 6 ? 0 : 1, 0, 0, 0 };
		u64 zeros[4] = { what == 7 ? 1 : what == 8 ? 2 : 0, 0, 0, 0 };
		u8 encoding = what == 3 ? 9 : what == 4 ? 1 : 0;
		struct state_file *s;
		struct err e;
		int fd = file();

		assert_int_equal(state_save_new(&s, fd, NULL), 0);
		assert_int_equal(state_section(s, "ram", 0, version, NULL), 0);
		state_u64(s, &index);
		for (unsigned i = 0; i < 4; i++)
			state_u64(s, &bits[i]);
		for (unsigned i = 0; i < 4 && version > 1; i++)
			state_u64(s, &zeros[i]);
		state_u8(s, &encoding);
		state_bytes(s, page, sizeof(page));
		assert_int_equal(state_end(s, NULL), 0);
		state_free(s);
		assert_true(load_ram(r, fd, &e) < 0);
		assert_non_null(strstr(e.msg, "section ram 0"));
		close(fd);
	}
	ram_free(r);
}

/* ---- vCPUs and models ---- */

static void cpu_round_trip(void **state)
{
	static struct cpu_state a __attribute__((aligned(64))), b __attribute__((aligned(64)));
	struct state_file *s;
	struct err e;
	int fd = file();
	u8 *p = (u8 *)&a;

	for (size_t i = 0; i < sizeof(a); i++)
		p[i] = (u8)(i * 7 + 1);
	memset(a.xsave + 832, 0, sizeof(a.xsave) - 832);
	a.cr0 = 0x80000001;
	a.cr4 = 0x20;
	a.efer = 0x500;
	a.rflags = 2;
	a.xcr0 = 7;
	a.cr8 = 3;
	a.run_state = CPU_HALTED;
	a.exc.vector = 14;
	a.intr_shadow = a.shadow_ss = a.nmi_masked = a.nmi_pending = a.kicked = a.init_pending = a.sipi_pending = true;
	a.spec_msrs = true;
	a.exc.valid = a.exc.has_error = a.exc.has_payload = a.intr.valid = a.intr.soft = true;
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(cpu_state_section(s, 5, &a, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);

	s = reader(fd, &e);
	assert_int_equal(cpu_state_section(s, 5, &b, &e), 0);
	assert_int_equal(state_finish(s, &e), 0);
	state_free(s);
	/* Saved again, it is the same file but for its time: padding apart, every field came back. */
	int again = file();
	assert_int_equal(state_save_new(&s, again, NULL), 0);
	assert_int_equal(cpu_state_section(s, 5, &b, NULL), 0);
	state_free(s);
	static u8 x[8192], y[8192];
	off_t n = lseek(again, 0, SEEK_END);
	assert_int_equal(pread(fd, x, (size_t)n, 0), n);
	assert_int_equal(pread(again, y, (size_t)n, 0), n);
	assert_memory_equal(x + 32, y + 32, (size_t)n - 32);
	assert_memory_equal(a.gpr, b.gpr, sizeof(a.gpr));
	assert_memory_equal(a.xsave, b.xsave, sizeof(a.xsave));
	assert_memory_equal(a.mtrr_fix, b.mtrr_fix, sizeof(a.mtrr_fix));
	for (unsigned i = 0; i < SEG_COUNT; i++)
		assert_true(a.seg[i].base == b.seg[i].base && a.seg[i].ar == b.seg[i].ar &&
			    a.seg[i].limit == b.seg[i].limit && a.seg[i].sel == b.seg[i].sel);
	assert_true(b.exc.vector == 14 && b.exc.error == a.exc.error && b.exc.payload == a.exc.payload);
	close(fd);
	close(again);
}

static void impossible_cpus(void **state)
{
	struct cpu_state good = { .cr0 = 0x80000001, .cr4 = 0x20, .efer = 0x500, .rflags = 2, .xcr0 = 1 };
	struct cpu_state c = good;

	assert_null(cpu_state_wrong(&c));
	c.cr0 = 0x80000000;
	assert_non_null(cpu_state_wrong(&c));
	c = good;
	c.efer = 0x100;
	assert_non_null(cpu_state_wrong(&c));
	c = good;
	c.cr4 = 0;
	assert_non_null(cpu_state_wrong(&c));
	c = good;
	c.xcr0 = 5;
	assert_non_null(cpu_state_wrong(&c));
	c = good;
	c.rflags |= 0x20000;
	assert_non_null(cpu_state_wrong(&c));
	c = good;
	c.exc.valid = true;
	c.exc.vector = 32;
	assert_non_null(cpu_state_wrong(&c));
	c = good;
	c.cr8 = 16;
	assert_non_null(cpu_state_wrong(&c));
}

static void promises(void **state)
{
	struct cpu_model_promise p, q;
	struct cpu_model *m;
	struct err e;

	assert_int_equal(cpu_model_new(&m, "mica-v2", 2, NULL), 0);
	cpu_model_promise(m, &p);
	assert_int_equal(cpu_model_keep(m, &p, &e), 0);
	cpu_model_promise(m, &q);
	assert_memory_equal(p.word, q.word, sizeof(p.word));

	/* Less was promised: the guest sees no more than that. 1.ECX bit 1: PCLMULQDQ. */
	q.word[0] &= ~2u;
	assert_int_equal(cpu_model_keep(m, &q, &e), 0);
	assert_int_equal(cpu_model_cpuid(m, 0, 1, 0).ecx & 2, 0);

	/* More than there is: named. */
	q = p;
	q.word[3] |= 1u << 5;
	assert_int_equal(cpu_model_keep(m, &q, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "avx2"));
	q = p;
	q.word[0] |= 1u << 5; /* VMX: no feature of any model */
	assert_int_equal(cpu_model_keep(m, &q, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "0x20"));
	q = p;
	q.xcr0 |= 0xe0;
	assert_int_equal(cpu_model_keep(m, &q, &e), -ENOTSUP);
	q = p;
	memcpy(q.vendor, "CentaurHauls", 12);
	assert_int_equal(cpu_model_keep(m, &q, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "CentaurHauls"));
	q = p;
	q.ncpus = 3;
	assert_true(cpu_model_keep(m, &q, &e) < 0);

	cpu_model_promise(m, &p); /* it is less now */
	/* Means against flaws, which KVM hands through: the software engine has them all, and says so to the guest. */
	q = p;
	q.word[CW_7_EDX] |= 1u << 27 | 1u << 31;
	q.word[CW_E8_EBX] = 1u << 12 | 1u << 15;
	assert_int_equal(cpu_model_keep(m, &q, &e), 0);
	assert_int_equal(cpu_model_cpuid(m, 0, 7, 0).edx, q.word[CW_7_EDX]);
	assert_int_equal(cpu_model_cpuid(m, 0, 0x80000008, 0).ebx, 1u << 12 | 1u << 15);
	assert_int_equal(cpu_model_keep(m, &p, &e), 0);

	/* An early state knows nothing of the last words. */
	q = p;
	q.words = CW_PV_EAX;
	q.word[CW_PV_EAX] = 0;
	assert_int_equal(cpu_model_keep(m, &q, &e), 0);
	assert_int_equal(cpu_model_cpuid(m, 0, 0x40000001, 0).eax, p.word[CW_PV_EAX] & ~(1u << 5));
	cpu_model_free(m);
}

/* What KVM leaves of a model is what it promises, and what it must find again. */
static void limits(void **state)
{
	u32 has[CPU_MODEL_WORDS], add[CPU_MODEL_WORDS] = { 0 };
	struct cpu_model_promise p, q;
	struct cpu_model *m, *n;
	struct err e;

	memset(has, 0xff, sizeof(has));
	has[CW_1_ECX] &= ~2u;         /* no PCLMULQDQ */
	has[CW_PV_EAX] &= ~(1u << 7); /* no PV_UNHALT */
	add[CW_7_EDX] = 1u << 31;     /* SSBD */
	assert_int_equal(cpu_model_new(&m, "mica-v2", 1, NULL), 0);
	cpu_model_promise(m, &q);
	cpu_model_limit(m, has, add, 3); /* and no AVX state */
	cpu_model_promise(m, &p);
	assert_int_equal(p.word[CW_1_ECX] & (2u | 1u << 28), 0);
	assert_int_equal(p.word[CW_PV_EAX], q.word[CW_PV_EAX] & ~(1u << 7));
	assert_int_equal(p.word[CW_7_EDX] & 1u << 31, 1u << 31);
	assert_int_equal(p.xcr0 & 4, 0);

	/* Back under the software engine: exactly this. */
	assert_int_equal(cpu_model_new(&n, "mica-v2", 1, NULL), 0);
	assert_int_equal(cpu_model_keep(n, &p, &e), 0);
	cpu_model_promise(n, &q);
	assert_memory_equal(p.word, q.word, sizeof(p.word));
	/* Another KVM has not this one's means: named. Claims are no matter. */
	add[CW_7_EDX] = 0;
	cpu_model_free(m);
	assert_int_equal(cpu_model_new(&m, "mica-v2", 1, NULL), 0);
	memset(has, 0xff, sizeof(has));
	has[CW_E21_ECX] = has[CW_E21_EAX] = 0;
	cpu_model_limit(m, has, add, 7);
	assert_int_equal(cpu_model_keep(m, &p, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "0x80000000"));
	q = p;
	q.word[CW_7_EDX] &= ~(1u << 31);
	q.word[CW_E21_ECX] = 6;
	assert_int_equal(cpu_model_keep(m, &q, &e), 0);
	assert_int_equal(cpu_model_cpuid(m, 0, 0x80000021, 0).ecx, 0);
	cpu_model_free(m);
	cpu_model_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),       cmocka_unit_test(layout),
		cmocka_unit_test(cut_off_anywhere), cmocka_unit_test(every_bit_flipped),
		cmocka_unit_test(unknown_marks),    cmocka_unit_test(forged_headers),
		cmocka_unit_test(moved_sections),   cmocka_unit_test(fields_that_lie),
		cmocka_unit_test(memory),           cmocka_unit_test(taken_memory),
		cmocka_unit_test(empty_memory),     cmocka_unit_test(hostile_memory),
		cmocka_unit_test(cpu_round_trip),   cmocka_unit_test(impossible_cpus),
		cmocka_unit_test(promises),         cmocka_unit_test(limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
