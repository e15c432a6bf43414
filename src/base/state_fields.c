/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state_fields.c - see state.h: the fields of a section. */
#include "base/state_int.h"

void state_bad(struct state_file *s, const char *what)
{
	if (!s->bad)
		s->bad = what;
}

void state_bytes(struct state_file *s, void *buf, size_t bytes)
{
	must(s->open);
	if (!s->loading) {
		state_room(s, bytes);
		if (bytes)
			memcpy(s->now.buf + s->now.len, buf, bytes);
		s->now.len += bytes;
	} else if (bytes > s->now.len - s->at) {
		memset(buf, 0, bytes);
		s->at = s->now.len;
		state_bad(s, "it is too short");
	} else {
		if (bytes)
			memcpy(buf, s->now.buf + s->at, bytes);
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
	const u8 *p = s->now.buf + s->at;
	*bytes = s->now.len - s->at;
	s->at = s->now.len;
	return p;
}
