/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - see state.h; the layout is in docs/state-format.md. */
#include "base/state.h"
#include "base/clock.h"

#include <sys/stat.h>
#include <xxhash.h>

static const u8 magic[8] = { 'M', 'I', 'C', 'A', 'S', 'A', 'V', 'E' };

/* File header: magic, u32 format, u32 zero, u64 time of saving, u64 checksum of what is before it. */
#define FILE_HEADER_BYTES 32
/* Section header: name[16], u32 instance, u32 version, u64 bytes, u64 payload checksum, u64 header checksum. */
#define HEADER_BYTES 48
#define HEADER_SUMMED 40
#define END_NAME "end"

struct state_file {
	int fd;
	bool loading;
	bool open;   /* in a section */
	bool peeked; /* its header and payload are here, state_section() has not taken it */
	bool ended;
	u64 ordinal; /* sections begun */
	u64 offset;
	char name[STATE_NAME_MAX + 1];
	u32 instance, version;
	u8 *buf;
	size_t len, room, at;
	const char *bad;
};

static u64 sum(const void *p, size_t bytes, u64 seed)
{
	return XXH64(p, bytes, seed);
}

/* ---- bytes ---- */

static int put_all(struct state_file *s, const u8 *p, size_t bytes, struct err *e)
{
	while (bytes) {
		ssize_t n = write(s->fd, p, bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(e, n < 0 ? errno : EIO, "cannot write the saved state");
		p += n;
		bytes -= (size_t)n;
		s->offset += (u64)n;
	}
	return 0;
}

/* Returns how many bytes there were. */
static ssize_t get_some(struct state_file *s, u8 *p, size_t bytes, struct err *e)
{
	size_t got = 0;

	while (got < bytes) {
		ssize_t n = read(s->fd, p + got, bytes - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "cannot read the saved state");
		if (n == 0)
			break;
		got += (size_t)n;
		s->offset += (u64)n;
	}
	return (ssize_t)got;
}

static int get_all(struct state_file *s, u8 *p, size_t bytes, struct err *e)
{
	ssize_t n = get_some(s, p, bytes, e);

	if (n < 0)
		return (int)n;
	if ((size_t)n < bytes)
		return err_set(e, EBADMSG, "the saved state is cut off after %llu bytes: the file is not whole",
			       (unsigned long long)s->offset);
	return 0;
}

static void room_for(struct state_file *s, size_t bytes)
{
	if (s->len + bytes <= s->room)
		return;
	s->room = ROUND_UP(MAX(s->len + bytes, 2 * s->room), 4096);
	s->buf = xrealloc(s->buf, s->room);
}

/* ---- life ---- */

int state_save_new(struct state_file **out, int fd, struct err *e)
{
	struct state_file *s = xcalloc(1, sizeof(*s));
	u8 h[FILE_HEADER_BYTES] = { 0 };

	s->fd = fd;
	memcpy(h, magic, sizeof(magic));
	st_le32(h + 8, STATE_FORMAT);
	st_le64(h + 16, clock_real_ns());
	st_le64(h + 24, sum(h, 24, 0));
	int r = put_all(s, h, sizeof(h), e);
	if (r < 0) {
		state_free(s);
		return r;
	}
	*out = s;
	return 0;
}

static int check_file(struct state_file *s, struct err *e)
{
	u8 h[FILE_HEADER_BYTES];
	ssize_t n = get_some(s, h, sizeof(h), e);

	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(magic) || memcmp(h, magic, sizeof(magic)))
		return err_set(e, EBADMSG, "this is not the saved state of a VM");
	if ((size_t)n < sizeof(h))
		return err_set(e, EBADMSG, "the saved state is cut off after %zd bytes: the file is not whole", n);
	if (ld_le64(h + 24) != sum(h, 24, 0))
		return err_set(e, EBADMSG, "the saved state is damaged: its header does not fit its checksum");
	if (ld_le32(h + 8) != STATE_FORMAT || ld_le32(h + 12))
		return err_set(
		    e, EPROTONOSUPPORT,
		    "the saved state has format %u and this version of Mica reads format %d; use the version "
		    "that saved it",
		    ld_le32(h + 8), STATE_FORMAT);
	return 0;
}

int state_load_new(struct state_file **out, int fd, struct err *e)
{
	struct state_file *s = xcalloc(1, sizeof(*s));

	s->fd = fd;
	s->loading = true;
	int r = check_file(s, e);
	if (r < 0) {
		state_free(s);
		return r;
	}
	*out = s;
	return 0;
}

void state_free(struct state_file *s)
{
	if (!s)
		return;
	free(s->buf);
	free(s);
}

bool state_loading(const struct state_file *s)
{
	return s->loading;
}

u32 state_version(const struct state_file *s)
{
	return s->version;
}

u64 state_offset(const struct state_file *s)
{
	return s->offset;
}

/* ---- sections ---- */

static int read_section(struct state_file *s, struct err *e)
{
	u8 h[HEADER_BYTES];
	int r = get_all(s, h, sizeof(h), e);

	if (r < 0)
		return r;
	if (ld_le64(h + HEADER_SUMMED) != sum(h, HEADER_SUMMED, s->ordinal))
		return err_set(e, EBADMSG,
			       "the saved state is damaged: the header of its section %llu does not fit its checksum",
			       (unsigned long long)s->ordinal);
	u64 bytes = ld_le64(h + 24);
	memcpy(s->name, h, sizeof(s->name));
	if (h[STATE_NAME_MAX] || !h[0] || bytes > STATE_SECTION_MAX)
		return err_set(e, EBADMSG,
			       "the saved state makes no sense: its section %llu has no name or is too long",
			       (unsigned long long)s->ordinal);
	s->instance = ld_le32(h + 16);
	s->version = ld_le32(h + 20);
	s->len = 0;
	room_for(s, bytes);
	r = get_all(s, s->buf, bytes, e);
	if (r < 0)
		return r;
	if (sum(s->buf, bytes, s->ordinal) != ld_le64(h + 32))
		return err_set(e, EBADMSG, "the saved state is damaged: section %s %u does not fit its checksum",
			       s->name, s->instance);
	s->len = bytes;
	s->at = 0;
	s->bad = NULL;
	s->ordinal++;
	s->peeked = true;
	return 0;
}

int state_peek(struct state_file *s, const char **name, struct err *e)
{
	must(s->loading && !s->open && !s->ended);
	*name = "";
	int r = s->peeked ? 0 : read_section(s, e);
	if (r == 0)
		*name = s->name;
	return r;
}

int state_section(struct state_file *s, const char *name, u32 instance, u32 version, struct err *e)
{
	must(!s->open && !s->ended && strlen(name) <= STATE_NAME_MAX && version);
	if (s->loading) {
		int r = s->peeked ? 0 : read_section(s, e);
		if (r < 0)
			return r;
		if (strcmp(s->name, name) || s->instance != instance)
			return err_set(
			    e, EBADMSG,
			    "the saved state does not fit this machine: it has section %s %u where %s %u is expected",
			    s->name, s->instance, name, instance);
		if (!s->version || s->version > version)
			return err_set(
			    e, EPROTONOSUPPORT,
			    "the saved state has version %u of section %s, this version of Mica knows up to %u; use "
			    "the version that saved it",
			    s->version, name, version);
		s->peeked = false;
	} else {
		snprintf(s->name, sizeof(s->name), "%s", name);
		s->instance = instance;
		s->version = version;
		s->len = 0;
	}
	s->open = true;
	return 0;
}

static int write_section(struct state_file *s, struct err *e)
{
	u8 h[HEADER_BYTES] = { 0 };

	must(s->len <= STATE_SECTION_MAX);
	memcpy(h, s->name, strlen(s->name));
	st_le32(h + 16, s->instance);
	st_le32(h + 20, s->version);
	st_le64(h + 24, s->len);
	st_le64(h + 32, sum(s->buf, s->len, s->ordinal));
	st_le64(h + HEADER_SUMMED, sum(h, HEADER_SUMMED, s->ordinal));
	s->ordinal++;
	int r = put_all(s, h, sizeof(h), e);
	return r < 0 ? r : put_all(s, s->buf, s->len, e);
}

int state_end(struct state_file *s, struct err *e)
{
	must(s->open);
	s->open = false;
	if (!s->loading)
		return write_section(s, e);
	if (s->bad) {
		auto_free char *why = xasprintf(ERR_MARK "%s", s->bad); /* a phrase of ours */
		return err_set(e, EBADMSG, "the saved state makes no sense: section %s %u: %s", s->name, s->instance,
			       why);
	}
	if (s->at != s->len)
		return err_set(e, EBADMSG, "the saved state makes no sense: section %s %u is %zu bytes too long",
			       s->name, s->instance, s->len - s->at);
	return 0;
}

int state_finish(struct state_file *s, struct err *e)
{
	u64 before = s->ordinal;
	struct stat st;
	u8 more;
	int r = state_section(s, END_NAME, 0, 1, e);

	if (r == 0) {
		if (s->loading)
			before = s->ordinal - 1;
		state_same(s, before, "the number of sections");
		r = state_end(s, e);
	}
	if (r < 0)
		return r;
	s->ended = true;
	if (!s->loading)
		return fsync(s->fd) < 0 && errno != EINVAL && errno != EROFS
			   ? err_sys(e, errno, "cannot write the saved state to stable storage")
			   : 0;
	/* Behind a stream something else may follow. */
	if (fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode) && read(s->fd, &more, 1) != 0)
		return err_set(e, EBADMSG, "there are bytes behind the end of the saved state");
	return 0;
}

/* ---- fields ---- */

void state_bad(struct state_file *s, const char *what)
{
	if (!s->bad)
		s->bad = what;
}

void state_bytes(struct state_file *s, void *buf, size_t bytes)
{
	must(s->open);
	if (!s->loading) {
		room_for(s, bytes);
		if (bytes)
			memcpy(s->buf + s->len, buf, bytes);
		s->len += bytes;
	} else if (bytes > s->len - s->at) {
		memset(buf, 0, bytes);
		s->at = s->len;
		state_bad(s, "it is too short");
	} else {
		if (bytes)
			memcpy(buf, s->buf + s->at, bytes);
		s->at += bytes;
	}
}

/* Hosts are little-endian x86, as is the file. */
void state_u8(struct state_file *s, u8 *v)
{
	state_bytes(s, v, 1);
}

void state_u16(struct state_file *s, u16 *v)
{
	u8 b[2];

	st_le16(b, *v);
	state_bytes(s, b, sizeof(b));
	*v = ld_le16(b);
}

void state_u32(struct state_file *s, u32 *v)
{
	u8 b[4];

	st_le32(b, *v);
	state_bytes(s, b, sizeof(b));
	*v = ld_le32(b);
}

void state_u64(struct state_file *s, u64 *v)
{
	u8 b[8];

	st_le64(b, *v);
	state_bytes(s, b, sizeof(b));
	*v = ld_le64(b);
}

void state_bool(struct state_file *s, bool *v)
{
	u8 b = *v;

	state_u8(s, &b);
	if (b > 1)
		state_bad(s, "a byte that is 0 or 1 has another value");
	*v = b == 1;
}

void state_uint(struct state_file *s, unsigned *v, unsigned max)
{
	u32 x = *v;

	state_u32(s, &x);
	if (s->loading && x > max) {
		state_bad(s, "a number is out of range");
		x = 0;
	}
	*v = x;
}

void state_same(struct state_file *s, u64 v, const char *what)
{
	u64 x = v;

	state_u64(s, &x);
	if (x != v)
		state_bad(s, what);
}

void state_text(struct state_file *s, char *buf, size_t bytes)
{
	u32 n = s->loading ? 0 : (u32)strnlen(buf, bytes - 1);

	state_u32(s, &n);
	if (n > bytes - 1) {
		state_bad(s, "a text is too long");
		n = 0;
	}
	state_bytes(s, buf, n);
	if (s->loading) {
		buf[n] = '\0';
		if (strlen(buf) != n)
			state_bad(s, "a text holds a zero byte");
	}
}

const u8 *state_rest(struct state_file *s, size_t *bytes)
{
	must(s->open && s->loading);
	const u8 *p = s->buf + s->at;
	*bytes = s->len - s->at;
	s->at = s->len;
	return p;
}
