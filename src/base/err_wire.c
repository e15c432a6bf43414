/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err_wire.c - see err_wire.h. The code as 32 bits, the name with its zero, the items as they lie in struct err. */
#include "base/err_wire.h"

_Static_assert(sizeof(struct err) < ERR_WIRE_BYTES, "any error fits");

size_t err_pack(const struct err *e, u8 buf[ERR_WIRE_BYTES])
{
	size_t n = strlen(e->name) + 1;

	st_le32(buf, (u32)e->code);
	memcpy(buf + 4, e->name, n);
	memcpy(buf + 4 + n, e->items, e->used);
	return 4 + n + e->used;
}

int err_unpack(struct err *e, const void *buf, size_t bytes)
{
	const char *p = (const char *)buf + 4, *end = (const char *)buf + bytes;
	u32 code = bytes > 4 ? ld_le32(buf) : 0;
	const char *zero = code && code < 4096 ? memchr(p, '\0', (size_t)(end - p)) : NULL;

	if (!zero || zero - p >= ERR_NAME_BYTES)
		return err_set(e, EPROTO, "a process of Mica failed, and what it says about it makes no sense");
	err_begin(e, (int)code);
	memcpy(e->name, p, (size_t)(zero - p) + 1);
	for (p = zero + 1; p < end; p = zero + 1) {
		zero = memchr(p, '\0', (size_t)(end - p));
		if (!zero || *p < ERR_FORMAT || *p > ERR_ERRNO)
			return err_set(e, EPROTO, "a process of Mica failed, and what it says about it makes no sense");
		err_add(e, (enum err_kind) * p, p + 1);
	}
	err_end(e);
	return -e->code;
}
