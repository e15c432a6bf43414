/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_image.c - images of every format but qcow2, that somebody has changed.
 *
 * The input: which format and whether it may be written, then patches of 6 bytes each: where in the image (4 bytes, of
 * which the lowest two bits say how the rest is meant), and two bytes to put there. The image they change was made by
 * create() and written to; sums are made good again, so that what is behind them is reached. Opened, it is read,
 * written, zeroed, checked, and closed. It may refuse all of it; nothing else may happen.
 */
#include "image/image.h"
#include "image/vhdx_int.h"

#include <sys/mman.h>

#define DISK_BYTES (3 * MIB)
#define HEAD_BYTES (64u * KIB)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static const struct kind {
	const char *format;
	const char *options[3];
	u32 tables; /* where else there is something to change */
} kinds[] = {
	{ "vdi", { NULL }, 512 },
	{ "vpc", { "force_size=on", NULL }, 1536 },
	{ "vhdx", { "block_size=1M", NULL }, 3 * MIB },
	{ "vmdk", { NULL }, 21 * 512 },
	{ "vmdk", { "subformat=streamOptimized", NULL }, 64 * KIB },
	{ "parallels", { "cluster_size=64k", NULL }, 64 },
};

static struct image_file *file_on(int fd, bool readonly)
{
	struct image_file *f;
	struct err e;

	must(image_file_open(&f, fd, 0, "fuzz", readonly, &e) == 0);
	return f;
}

/* An image with something in it, of the heap. */
static u8 *make_base(const struct kind *k, size_t *bytes)
{
	static const u8 text[] = "something";
	u8 sector[512] = { 0 };
	struct err e;
	struct image *m;
	struct image_file *f = file_on(memfd_create("base", MFD_CLOEXEC), false);
	struct image_create c = { .file = f, .bytes = DISK_BYTES, .options = k->options };
	struct image_open o = { .file = f };

	memcpy(sector, text, sizeof(text));
	must(image_format_find(k->format)->create(&c, &e) == 0);
	must(image_open(&m, image_format_find(k->format), false, &o, &e) == 0);
	for (u64 off = 0; off < DISK_BYTES; off += MIB + 4096)
		must(image_write(m, off, sector, sizeof(sector)) == 0);
	must(image_flush(m) == 0);
	*bytes = (size_t)f->bytes; /* before it is closed: VHDX has something in its log */
	u8 *p = xrealloc(NULL, *bytes);
	must(image_pread(f, p, *bytes, 0) == 0);
	must(image_close(m) == 0);
	return p;
}

static void sum_vpc(u8 *p, size_t n, size_t at)
{
	u32 sum = 0;

	st_be32(p + at, 0);
	for (size_t i = 0; i < n; i++)
		sum += p[i];
	st_be32(p + at, ~sum);
}

static void make_good(const struct kind *k, u8 *p, size_t n)
{
	if (!strcmp(k->format, "vpc")) {
		sum_vpc(p, 512, 64);
		sum_vpc(p + 512, 1024, 36);
		memcpy(p + n - 512, p, 512);
	}
	if (strcmp(k->format, "vhdx"))
		return;
	for (unsigned i = 0; i < 2; i++) {
		st_le32(p + VHDX_HEADER_OFF(i) + H_CRC, vhdx_crc(p + VHDX_HEADER_OFF(i), VHDX_PAGE, H_CRC));
		st_le32(p + VHDX_REGIONS_OFF(i) + 4, vhdx_crc(p + VHDX_REGIONS_OFF(i), VHDX_REGIONS_BYTES, 4));
	}
	u32 entry = ld_le32(p + MIB + L_BYTES);
	if (entry >= VHDX_PAGE && entry <= MIB)
		st_le32(p + MIB + L_CRC, vhdx_crc(p + MIB, entry, L_CRC));
}

static size_t place_of(const struct kind *k, u32 at, size_t n)
{
	switch (at & 3) {
	case 0:
		return (at >> 2) % MIN(n, 512);
	case 1:
		return MIN(k->tables + (at >> 2) % 64, n - 2);
	case 2:
		return (at >> 2) % MIN(n, HEAD_BYTES);
	default:
		return n - 2 - (at >> 2) % MIN(n - 2, 2048);
	}
}

static void use(struct image *m)
{
	struct image_check c = { 0 };
	u8 buf[4096];
	struct err e;
	int rc = 0;

	for (u64 i = 0; i < 8 && m->bytes >= sizeof(buf) && rc == 0; i++) {
		u64 off = (m->bytes - sizeof(buf)) / 7 * i / 512 * 512;
		rc = image_read(m, off, buf, sizeof(buf));
		if (rc == 0 && !m->readonly)
			rc = i % 2 ? image_write(m, off, buf, sizeof(buf)) : image_write_zeroes(m, off, 512, true);
	}
	if (m->ops->check && m->ops->check(m, &c, IMAGE_FIX_ALL, &e) < 0)
		must(e.code && *e.msg);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 *bases[ARRAY_LEN(kinds)];
	static size_t sizes[ARRAY_LEN(kinds)];
	struct err e = { 0 };
	struct image *m;

	if (size < 2)
		return 0;
	unsigned i = data[0] % ARRAY_LEN(kinds);
	bool readonly = data[1] & 1;
	if (!bases[i])
		bases[i] = make_base(&kinds[i], &sizes[i]);
	u8 *p = memcpy(xrealloc(NULL, sizes[i]), bases[i], sizes[i]);
	for (data += 2, size -= 2; size >= 6; data += 6, size -= 6)
		memcpy(p + place_of(&kinds[i], ld_le32(data), sizes[i] - 1), data + 4, 2);
	make_good(&kinds[i], p, sizes[i]);
	struct image_file *f = file_on(memfd_create("fuzz", MFD_CLOEXEC), false);
	must(image_pwrite(f, p, sizes[i], 0) == 0);
	free(p);
	f->readonly = readonly;
	struct image_open o = { .file = f, .readonly = readonly };
	if (image_open(&m, image_format_find(kinds[i].format), false, &o, &e) < 0) {
		must(e.code && *e.msg);
		image_file_close(f);
		return 0;
	}
	use(m);
	return image_close(m) * 0;
}
