/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record.c - see record.h. On the wire: the kind, the numbers (little endian), the texts, each with its NUL. */
#include "image/record.h"
#include "base/plain.h"

size_t record_pack(const struct record *r, u8 buf[RECORD_WIRE_BYTES])
{
	u8 *p = buf;

	*p++ = (u8)r->kind;
	for (unsigned i = 0; i < RECORD_NUMBERS; i++, p += 8)
		st_le64(p, r->n[i]);
	for (unsigned i = 0; i < RECORD_TEXTS; i++) {
		size_t n = r->s[i] ? strnlen(r->s[i], RECORD_TEXT_BYTES - 1) : 0;
		if (n)
			memcpy(p, r->s[i], n);
		p[n] = 0;
		p += n + 1;
	}
	return (size_t)(p - buf);
}

int record_unpack(struct record *r, u8 *buf, size_t bytes)
{
	u8 *p = buf + 1, *end = buf + bytes;

	if (bytes < 1 + 8 * RECORD_NUMBERS || !buf[0] || buf[0] >= RECORD_KINDS)
		return -EPROTO;
	*r = (struct record){ .kind = (enum record_kind)buf[0] };
	for (unsigned i = 0; i < RECORD_NUMBERS; i++, p += 8)
		r->n[i] = ld_le64(p);
	for (unsigned i = 0; i < RECORD_TEXTS; i++) {
		u8 *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;
		if (!nul)
			return -EPROTO;
		plain_text((char *)p);
		r->s[i] = (char *)p;
		p = nul + 1;
	}
	return p == end ? 0 : -EPROTO;
}
