/* SPDX-License-Identifier: GPL-2.0-or-later */
/* aml.c - see aml.h. Chapters are of the ACPI specification 6.4. */
#include "machine/aml.h"

#include <ctype.h>

enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	PREFIX_DUAL = 0x2e,
	PREFIX_MULTI = 0x2f,
	OP_EXT = 0x5b,
	OP_ARG0 = 0x68,
	OP_STORE = 0x70,
	OP_AND = 0x7b,
	OP_DWORD_FIELD = 0x8a,
	OP_IF = 0xa0,
	OP_NOTIFY = 0x86,
	OP_RETURN = 0xa4,
	OP_EXT_REGION = 0x80,
	OP_EXT_FIELD = 0x81,
	OP_EXT_DEVICE = 0x82,
};

void aml_init(struct aml *a, void *buf, size_t cap)
{
	*a = (struct aml){ .buf = buf, .cap = cap };
}

static void put(struct aml *a, const void *p, size_t n)
{
	if (a->full || n > a->cap - a->len) {
		a->full = true;
		return;
	}
	memcpy(a->buf + a->len, p, n);
	a->len += n;
}

static void put8(struct aml *a, u8 v)
{
	put(a, &v, 1);
}

static void put16(struct aml *a, u16 v)
{
	put(a, &v, 2);
}

static void put32(struct aml *a, u32 v)
{
	put(a, &v, 4);
}

/* NameString, 20.2.2 */
static void put_path(struct aml *a, const char *path)
{
	unsigned segs = 1;

	if (*path == '\\') {
		put8(a, '\\');
		path++;
	}
	for (const char *p = path; *p; p++)
		segs += *p == '.';
	if (segs == 2) {
		put8(a, PREFIX_DUAL);
	} else if (segs > 2) {
		put8(a, PREFIX_MULTI);
		put8(a, (u8)segs);
	}
	for (unsigned i = 0; i < segs; i++) {
		char seg[4] = { '_', '_', '_', '_' };

		for (unsigned k = 0; *path && *path != '.'; k++, path++) {
			must(k < 4);
			seg[k] = *path;
		}
		if (*path == '.')
			path++;
		put(a, seg, 4);
	}
}

/*
 * PkgLength, 20.2.4: counts itself. 1 byte holds up to 63, n bytes up to 2^(4 + 8 (n - 1)) - 1.
 * The mark is where it will go.
 */
void aml_end(struct aml *a, size_t mark)
{
	u8 enc[4];
	unsigned n = 1;

	if (a->full)
		return;
	size_t body = a->len - mark;
	if (body + 1 > 0x3f) {
		n = 2;
		while (n < 4 && body + n >= (size_t)1 << (4 + 8 * (n - 1)))
			n++;
		must(body + n < (size_t)1 << (4 + 8 * (n - 1)));
	}
	size_t total = body + n;
	if (n == 1) {
		enc[0] = (u8)total;
	} else {
		enc[0] = (u8)((n - 1) << 6 | (total & 0xf));
		for (unsigned i = 1; i < n; i++)
			enc[i] = (u8)(total >> (4 + 8 * (i - 1)));
	}
	if (n > a->cap - a->len) {
		a->full = true;
		return;
	}
	memmove(a->buf + mark + n, a->buf + mark, body);
	memcpy(a->buf + mark, enc, n);
	a->len += n;
}

size_t aml_scope(struct aml *a, const char *path)
{
	put8(a, OP_SCOPE);
	size_t mark = a->len;
	put_path(a, path);
	return mark;
}

size_t aml_device(struct aml *a, const char *path)
{
	put8(a, OP_EXT);
	put8(a, OP_EXT_DEVICE);
	size_t mark = a->len;
	put_path(a, path);
	return mark;
}

/* 20.2.5.2; bit 3: serialized */
size_t aml_method(struct aml *a, const char *path, unsigned args)
{
	must(args <= 7);
	put8(a, OP_METHOD);
	size_t mark = a->len;
	put_path(a, path);
	put8(a, (u8)(args | 8));
	return mark;
}

size_t aml_if(struct aml *a)
{
	put8(a, OP_IF);
	return a->len;
}

void aml_return(struct aml *a)
{
	put8(a, OP_RETURN);
}

void aml_store(struct aml *a)
{
	put8(a, OP_STORE);
}

void aml_notify(struct aml *a)
{
	put8(a, OP_NOTIFY);
}

void aml_and(struct aml *a)
{
	put8(a, OP_AND);
}

void aml_dword_field(struct aml *a)
{
	put8(a, OP_DWORD_FIELD);
}

void aml_arg(struct aml *a, unsigned i)
{
	must(i <= 6);
	put8(a, (u8)(OP_ARG0 + i));
}

void aml_nowhere(struct aml *a)
{
	put8(a, OP_ZERO);
}

void aml_ref(struct aml *a, const char *path)
{
	put_path(a, path);
}

void aml_named(struct aml *a, const char *name)
{
	put_path(a, name);
}

void aml_region(struct aml *a, const char *name, u8 space, unsigned off, unsigned bytes)
{
	put8(a, OP_EXT);
	put8(a, OP_EXT_REGION);
	put_path(a, name);
	put8(a, space);
	aml_int(a, off);
	aml_int(a, bytes);
}

size_t aml_field(struct aml *a, const char *region, u8 access)
{
	put8(a, OP_EXT);
	put8(a, OP_EXT_FIELD);
	size_t mark = a->len;
	put_path(a, region);
	put8(a, access); /* no lock, the other bits are kept */
	return mark;
}

/* The length is encoded as PkgLength is, and does not count itself. */
void aml_field_unit(struct aml *a, const char *name, unsigned bits)
{
	must(bits < 64);
	put_path(a, name);
	put8(a, (u8)bits);
}

void aml_field_gap(struct aml *a, unsigned bits)
{
	must(bits < 64);
	put8(a, 0);
	put8(a, (u8)bits);
}

size_t aml_package(struct aml *a, unsigned elements)
{
	must(elements <= 255);
	put8(a, OP_PACKAGE);
	size_t mark = a->len;
	put8(a, (u8)elements);
	return mark;
}

/* The buffer's size precedes its bytes; one byte is enough, aml_end_resources() fills it in. */
size_t aml_resources(struct aml *a)
{
	put8(a, OP_BUFFER);
	size_t mark = a->len;
	put8(a, OP_BYTE);
	put8(a, 0);
	return mark;
}

void aml_end_resources(struct aml *a, size_t mark)
{
	put8(a, 0x79); /* end tag; checksum 0: not checked, 6.4.2.9 */
	put8(a, 0);
	if (a->full)
		return;
	must(a->len - mark - 2 <= 0xff);
	a->buf[mark + 1] = (u8)(a->len - mark - 2);
	aml_end(a, mark);
}

void aml_name(struct aml *a, const char *path)
{
	put8(a, OP_NAME);
	put_path(a, path);
}

void aml_int(struct aml *a, u64 v)
{
	if (v == 0) {
		put8(a, OP_ZERO);
	} else if (v == 1) {
		put8(a, OP_ONE);
	} else if (v <= 0xff) {
		put8(a, OP_BYTE);
		put8(a, (u8)v);
	} else if (v <= 0xffff) {
		put8(a, OP_WORD);
		put16(a, (u16)v);
	} else if (v <= 0xffffffff) {
		put8(a, OP_DWORD);
		put32(a, (u32)v);
	} else {
		put8(a, OP_QWORD);
		put(a, &v, 8);
	}
}

void aml_string(struct aml *a, const char *s)
{
	put8(a, OP_STRING);
	put(a, s, strlen(s) + 1);
}

static unsigned hex(char c)
{
	must(isxdigit((unsigned char)c));
	return isdigit((unsigned char)c) ? (unsigned)(c - '0') : (unsigned)(toupper((unsigned char)c) - 'A') + 10;
}

/* EISAID, 19.3.4: three letters of 5 bits, four hex digits, big-endian. */
void aml_eisaid(struct aml *a, const char *id)
{
	must(strlen(id) == 7);
	u32 v = (u32)(id[0] - 0x40) << 26 | (u32)(id[1] - 0x40) << 21 | (u32)(id[2] - 0x40) << 16 | hex(id[3]) << 12 |
		hex(id[4]) << 8 | hex(id[5]) << 4 | hex(id[6]);
	put8(a, OP_DWORD);
	put32(a, __builtin_bswap32(v));
}

/* ---- resource descriptors ---- */

/* 6.4.2.5 */
void aml_res_io(struct aml *a, u16 base, u8 bytes)
{
	put8(a, 0x47);
	put8(a, 1); /* decodes 16 bits */
	put16(a, base);
	put16(a, base);
	put8(a, 1); /* alignment */
	put8(a, bytes);
}

/* 6.4.2.1, the short form */
void aml_res_irq(struct aml *a, unsigned irq)
{
	must(irq < 16);
	put8(a, 0x22);
	put16(a, (u16)(1u << irq));
}

/* 6.4.3.6 */
void aml_res_shared_irqs(struct aml *a, u32 lines)
{
	unsigned n = (unsigned)__builtin_popcount(lines);

	put8(a, 0x89);
	put16(a, (u16)(2 + 4 * n));
	put8(a, 1 | 8); /* it consumes them; level, active high, shared */
	put8(a, (u8)n);
	for (unsigned i = 0; i < 32; i++)
		if (lines >> i & 1)
			put32(a, i);
}

/* 6.4.3.4 */
void aml_res_mem_fixed(struct aml *a, u32 base, u32 bytes)
{
	put8(a, 0x86);
	put16(a, 9);
	put8(a, 1); /* writable */
	put32(a, base);
	put32(a, bytes);
}

/* 6.4.3.5: address space descriptors; what the bridge produces for the bus behind it. */
#define WINDOW_FLAGS 0x0c /* min and max fixed, positive decode, producer */

static void word_window(struct aml *a, u8 type, u8 type_flags, u16 first, u16 last)
{
	put8(a, 0x88);
	put16(a, 0x0d);
	put8(a, type);
	put8(a, WINDOW_FLAGS);
	put8(a, type_flags);
	put16(a, 0); /* granularity */
	put16(a, first);
	put16(a, last);
	put16(a, 0); /* translation */
	put16(a, (u16)(last - first + 1));
}

void aml_res_bus_window(struct aml *a, u16 first, u16 last)
{
	word_window(a, 2, 0, first, last);
}

void aml_res_io_window(struct aml *a, u16 first, u16 last)
{
	word_window(a, 1, 3 /* entire range */, first, last);
}

void aml_res_mem_window(struct aml *a, u32 first, u32 last)
{
	put8(a, 0x87);
	put16(a, 0x17);
	put8(a, 0);
	put8(a, WINDOW_FLAGS);
	put8(a, 1); /* writable, not cacheable */
	put32(a, 0);
	put32(a, first);
	put32(a, last);
	put32(a, 0);
	put32(a, last - first + 1);
}
