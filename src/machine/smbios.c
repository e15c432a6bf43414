/* SPDX-License-Identifier: GPL-2.0-or-later */
/* smbios.c - see smbios.h. Chapters are of DSP0134 3.6; structures have the length that version 2.8 gives them. */
#include "machine/smbios.h"

#include "machine/layout.h"

#define VERSION_MAJOR 2
#define VERSION_MINOR 8
#define NONE 0xfffe /* 7.18: no error information */

struct writer {
	struct smbios *s;
	size_t at;        /* of the structure that is being written */
	unsigned strings; /* it has so far */
	unsigned count;
	size_t longest;
};

static u8 *grow(struct smbios *s, size_t bytes)
{
	s->tables = xrealloc(s->tables, s->bytes + bytes);
	memset(s->tables + s->bytes, 0, bytes);
	s->bytes += bytes;
	return s->tables + s->bytes - bytes;
}

/* The formatted part; its strings follow (text()). Pointers into it are good until something grows. */
static void begin(struct writer *w, u8 type, u8 bytes, u16 handle)
{
	w->at = w->s->bytes;
	w->strings = 0;
	u8 *p = grow(w->s, bytes);
	p[0] = type;
	p[1] = bytes;
	st_le16(p + 2, handle);
}

static u8 *field(struct writer *w, unsigned off)
{
	return w->s->tables + w->at + off;
}

/* 6.1.3: strings are numbered from 1, 0 is none. */
static void text(struct writer *w, unsigned off, const char *s)
{
	if (!s || !*s)
		return;
	size_t n = strnlen(s, SMBIOS_TEXT_MAX);
	memcpy(grow(w->s, n + 1), s, n);
	*field(w, off) = (u8)++w->strings;
}

static void end(struct writer *w)
{
	grow(w->s, w->strings ? 1 : 2);
	w->count++;
	w->longest = MAX(w->longest, w->s->bytes - w->at);
}

/* ---- structures ---- */

/* 7.1 */
static void bios(struct writer *w, bool uefi)
{
	begin(w, 0, 0x18, 0x000);
	st_le16(field(w, 0x06), 0xe000);                      /* where it starts */
	*field(w, 0x09) = 0;                                  /* 64 KiB */
	*field(w, 0x0a) = 1 << 3;                             /* characteristics are not told */
	*field(w, 0x13) = (u8)(1 << 4 | (uefi ? 1 << 3 : 0)); /* a virtual machine */
	memset(field(w, 0x14), 0xff, 4);                      /* no releases */
	text(w, 0x04, "Mica");
	text(w, 0x05, MICA_VERSION);
	text(w, 0x08, "01/01/2026"); /* guests take a board without a year for an old one */
	end(w);
}

/* 7.2 */
static void machine(struct writer *w, const struct smbios_identity *id)
{
	static const u8 order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 }; /* 7.2.1 */

	begin(w, 1, 0x1b, 0x100);
	for (unsigned i = 0; i < 16; i++)
		*field(w, 0x08 + i) = id->uuid[order[i]];
	*field(w, 0x18) = 6; /* woken by the power switch */
	text(w, 0x04, id->manufacturer);
	text(w, 0x05, id->product);
	text(w, 0x06, id->version);
	text(w, 0x07, id->serial);
	text(w, 0x19, id->sku);
	text(w, 0x1a, id->family);
	end(w);
}

/* 7.4 */
static void chassis(struct writer *w, const struct smbios_identity *id)
{
	begin(w, 3, 0x16, 0x300);
	*field(w, 0x05) = 1;          /* "other" */
	memset(field(w, 0x09), 3, 3); /* boot-up, power and thermal state: safe */
	*field(w, 0x0c) = 3;          /* security: none */
	text(w, 0x04, id->manufacturer);
	text(w, 0x06, id->version);
	text(w, 0x07, id->serial);
	end(w);
}

/* 7.5: one socket. */
static void processor(struct writer *w, unsigned ncpus)
{
	begin(w, 4, 0x2a, 0x400);
	*field(w, 0x05) = 3;             /* a central processor */
	*field(w, 0x06) = 1;             /* of another family, as CPUID tells */
	*field(w, 0x18) = 0x41;          /* there, and enabled */
	*field(w, 0x19) = 1;             /* another socket than any in the list */
	memset(field(w, 0x1a), 0xff, 6); /* caches are not told */
	*field(w, 0x23) = *field(w, 0x24) = *field(w, 0x25) = (u8)ncpus;
	st_le16(field(w, 0x26), 1 << 2 | 1 << 3); /* 64 bits, several cores */
	st_le16(field(w, 0x28), 1);
	text(w, 0x04, "CPU 0");
	text(w, 0x07, "Mica");
	end(w);
}

/* 7.17, 7.18 */
static void memory(struct writer *w, u64 bytes)
{
	const u64 kib = bytes / KIB, mib = bytes / MIB;

	begin(w, 16, 0x17, 0x1000);
	*field(w, 0x04) = 1; /* "other" place */
	*field(w, 0x05) = 3; /* system memory */
	*field(w, 0x06) = 3; /* no error correction */
	st_le32(field(w, 0x07), kib < 0x80000000 ? (u32)kib : 0x80000000);
	st_le16(field(w, 0x0b), NONE);
	st_le16(field(w, 0x0d), 1);
	st_le64(field(w, 0x0f), kib < 0x80000000 ? 0 : bytes);
	end(w);

	begin(w, 17, 0x28, 0x1100);
	st_le16(field(w, 0x04), 0x1000);
	st_le16(field(w, 0x06), NONE);
	memset(field(w, 0x08), 0xff, 4); /* width is not known */
	st_le16(field(w, 0x0c), mib < 0x7fff ? (u16)mib : 0x7fff);
	*field(w, 0x0e) = 9; /* DIMM */
	*field(w, 0x12) = 7; /* RAM */
	st_le16(field(w, 0x13), 1 << 1);
	st_le32(field(w, 0x1c), mib < 0x7fff ? 0 : (u32)mib);
	text(w, 0x10, "DIMM 0");
	text(w, 0x17, "Mica");
	end(w);
}

/* 7.20 */
static void mapped(struct writer *w, u16 handle, u64 from, u64 bytes)
{
	const u64 last = (from + bytes) / KIB - 1;

	if (!bytes)
		return;
	begin(w, 19, 0x1f, handle);
	if (last < 0xffffffff) {
		st_le32(field(w, 0x04), (u32)(from / KIB));
		st_le32(field(w, 0x08), (u32)last);
	} else {
		memset(field(w, 0x04), 0xff, 8);
		st_le64(field(w, 0x0f), from);
		st_le64(field(w, 0x17), from + bytes - 1);
	}
	st_le16(field(w, 0x0c), 0x1000);
	*field(w, 0x0e) = 1;
	end(w);
}

/* ---- the entry point, 5.2.1 ---- */

static u8 negative_sum(const u8 *p, size_t bytes)
{
	u8 sum = 0;

	while (bytes--)
		sum = (u8)(sum + *p++);
	return (u8)-sum;
}

static void anchor(u8 *a, size_t bytes, u32 at, unsigned count, size_t longest)
{
	memset(a, 0, SMBIOS_ANCHOR_BYTES);
	memcpy(a, "_SM_", 4);
	a[0x05] = SMBIOS_ANCHOR_BYTES;
	a[0x06] = VERSION_MAJOR;
	a[0x07] = VERSION_MINOR;
	st_le16(a + 0x08, (u16)longest);
	memcpy(a + 0x10, "_DMI_", 5);
	st_le16(a + 0x16, (u16)bytes);
	st_le32(a + 0x18, at);
	st_le16(a + 0x1c, (u16)count);
	a[0x1e] = VERSION_MAJOR << 4 | VERSION_MINOR;
	a[0x15] = negative_sum(a + 0x10, 0x0f);
	a[0x04] = negative_sum(a, SMBIOS_ANCHOR_BYTES);
}

/* ---- all ---- */

void smbios_build(struct smbios *s, const struct smbios_board *b, const struct smbios_identity *id)
{
	static const struct smbios_identity usual = { .manufacturer = "Mica", .product = "Mica Virtual Machine" };
	struct writer w = { .s = s };

	memset(s, 0, sizeof(*s));
	if (!id)
		id = &usual;
	bios(&w, b->uefi);
	machine(&w, id);
	chassis(&w, id);
	processor(&w, b->ncpus);
	memory(&w, b->low_bytes + b->high_bytes);
	mapped(&w, 0x1300, 0, b->low_bytes);
	mapped(&w, 0x1301, LAYOUT_RAM_HIGH, b->high_bytes);
	begin(&w, 32, 0x0b, 0x2000); /* 7.33: status 0, no errors */
	end(&w);
	begin(&w, 127, 4, 0x7f00);
	end(&w);
	must(s->bytes <= LAYOUT_SMBIOS_END - LAYOUT_SMBIOS - 32);
	anchor(s->anchor, s->bytes, 0, w.count, w.longest);
}

int smbios_write(const struct smbios *s, struct ram *ram, struct err *e)
{
	const u32 at = LAYOUT_SMBIOS + 32;
	u8 a[SMBIOS_ANCHOR_BYTES];

	anchor(a, s->bytes, at, ld_le16(s->anchor + 0x1c), ld_le16(s->anchor + 0x08));
	if (ram_put_rom(ram, LAYOUT_SMBIOS, a, sizeof(a)) < 0 || ram_put_rom(ram, at, s->tables, s->bytes) < 0)
		return err_set(e, EINVAL, "guest memory is too small for the SMBIOS tables: 1 MiB at least");
	return 0;
}
