/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nvme_identify.c - what the controller and its namespace say of themselves (NVMe 1.4, 5.15), and logs (5.14). */
#include "device/nvme/nvme_int.h"

#define VENDOR 0x1b36
#define KELVIN_NOW 313
#define KELVIN_WARN 343
#define KELVIN_CRITICAL 358

static void text(u8 *p, unsigned bytes, const char *s)
{
	size_t n = strlen(s);

	for (unsigned i = 0; i < bytes; i++)
		p[i] = i < n ? (u8)s[i] : ' ';
}

static void controller(const struct nvme *n, u8 *p)
{
	st_le16(p, VENDOR);
	st_le16(p + 2, VENDOR);
	text(p + 4, 20, n->serial);
	text(p + 24, 40, "Mica NVMe disk");
	text(p + 64, 8, "1.0");
	p[72] = 3; /* arbitration burst */
	p[77] = NVME_MDTS;
	st_le32(p + 80, 0x00010400);
	p[111] = 1; /* an I/O controller */
	p[258] = 3; /* aborts at a time, less one */
	p[259] = NVME_AERS - 1;
	p[260] = 0x03; /* one firmware slot, read only */
	st_le16(p + 266, KELVIN_WARN);
	st_le16(p + 268, KELVIN_CRITICAL);
	p[512] = 0x66; /* entries of 64 and of 16 bytes */
	p[513] = 0x44;
	st_le32(p + 516, 1);                      /* namespaces */
	st_le16(p + 520, (u16)(1 << 2 | 1 << 3)); /* dataset management, write zeroes */
	p[525] = 1;                               /* a volatile write cache */
	snprintf((char *)p + 768, 256, "nqn.2026-11.org.mica:%s", n->serial);
	st_le16(p + 2048, 2500); /* power state 0: 25 W */
}

/* A number of its own for each serial number: FNV-1a. */
u64 nvme_eui64(const struct nvme *n)
{
	u64 h = 0xcbf29ce484222325;

	for (const char *s = n->serial; *s; s++)
		h = (h ^ (u8)*s) * 0x100000001b3;
	return h | 2; /* locally administered */
}

static void namespace(const struct nvme *n, u8 *p)
{
	u64 blocks = blk_bytes(n->blk) / NVME_BLOCK;

	st_le64(p, blocks);
	st_le64(p + 8, blocks);
	st_le64(p + 16, blocks);
	p[24] = 1 << 4;                                   /* the granularities below mean something */
	p[33] = blk_can_discard(n->blk) ? 1 | 1 << 3 : 0; /* deallocated blocks read as zeros; also by write zeroes */
	for (unsigned at = 64; at <= 70; at += 2)         /* 4 KiB to write and to deallocate, aligned */
		st_le16(p + at, 7);
	p[99] = blk_readonly(n->blk);
	st_le64(p + 120, nvme_eui64(n));
	st_le32(p + 128, 9u << 16); /* the one format: blocks of 512 bytes, no metadata */
}

int nvme_identify(struct nvme_cmd *c)
{
	static const u8 none[PAGE_BYTES];
	u8 page[PAGE_BYTES] = { 0 };
	u32 ns = nvme_dw(c, 1);

	switch (nvme_dw(c, 10) & 0xff) {
	case 0x00:
		if (!ns || (ns > 1 && ns != UINT32_MAX))
			return NVME_BAD_NAMESPACE;
		namespace(c->n, page);
		return nvme_answer(c, page, sizeof(page));
	case 0x01:
		controller(c->n, page);
		return nvme_answer(c, page, sizeof(page));
	case 0x02: /* active namespaces above ns */
		if (ns >= 0xfffffffe)
			return NVME_BAD_NAMESPACE;
		page[0] = ns < 1;
		return nvme_answer(c, page, sizeof(page));
	case 0x03: /* the namespace's names */
		if (ns != 1)
			return NVME_BAD_NAMESPACE;
		page[0] = 1; /* EUI-64 */
		page[1] = 8;
		st_le64(page + 4, nvme_eui64(c->n));
		return nvme_answer(c, page, sizeof(page));
	case 0x10: /* allocated namespaces; namespaces cannot be managed here */
	case 0x11:
		return nvme_answer(c, none, sizeof(none));
	default:
		return NVME_BAD_FIELD;
	}
}

/* ---- logs ---- */

static void health(u8 *p)
{
	st_le16(p + 1, KELVIN_NOW);
	p[3] = 100; /* all of its spare is left */
	p[4] = 10;
}

static void effects(u8 *p)
{
	static const u8 admin[] = { 0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c };
	static const u8 io[] = { 0x00, 0x01, 0x02, 0x08, 0x09 };

	for (size_t i = 0; i < ARRAY_LEN(admin); i++)
		st_le32(p + 4 * admin[i], 1);
	for (size_t i = 0; i < ARRAY_LEN(io); i++) /* 1: supported, 2: changes what blocks hold */
		st_le32(p + 1024 + 4 * io[i], io[i] == 1 || io[i] >= 8 ? 3 : 1);
}

int nvme_log(struct nvme_cmd *c)
{
	u8 page[PAGE_BYTES] = { 0 };
	u64 bytes = 4 * ((u64)(nvme_dw(c, 10) >> 16) + ((u64)(nvme_dw(c, 11) & 0xffff) << 16) + 1);
	u64 off = nvme_dw(c, 12) | (u64)nvme_dw(c, 13) << 32;

	switch (nvme_dw(c, 10) & 0xff) {
	case 0x01: /* errors: none are kept */
		break;
	case 0x02:
		health(page);
		break;
	case 0x03:
		page[0] = 1; /* slot 1 runs */
		text(page + 8, 8, "1.0");
		break;
	case 0x05:
		effects(page);
		break;
	default:
		return NVME_BAD_LOG;
	}
	if (off % 4 || off >= sizeof(page))
		return NVME_BAD_FIELD;
	return nvme_answer(c, page + off, MIN(bytes, sizeof(page) - off));
}
