/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_vhdx.c - VHDX images. */
#include "image/crc32c.h"
#include "image/vhdx_int.h"
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DISK_BYTES (9 * MIB + 512)
#define METADATA_OFF (2 * MIB)
#define BAT_OFF (3 * MIB)

static const char *const small[] = { "block_size=1M", NULL };
static const char *const fixed_options[] = { "subformat=fixed", "block_size=1M", NULL };
static const struct rig_try dynamic = { .format = "vhdx",
					.bytes = DISK_BYTES,
					.options = small,
					.qemu_options = "-o block_size=1M",
					.qemu_checks = true,
					.metadata = 4 * MIB,
					.seed = 41 };
static const struct rig_try fixed = { .format = "vhdx",
				      .bytes = 3 * MIB,
				      .options = fixed_options,
				      .qemu_options = "-o subformat=fixed,block_size=1M",
				      .qemu_checks = true,
				      .metadata = 4 * MIB,
				      .seed = 42 };
static const struct rig_try plain = { .format = "vhdx", .bytes = 20 * MIB, .qemu_checks = true, .seed = 43 };

static void crc(void **state)
{
	/* RFC 3720 B.4 */
	u8 zeros[32] = { 0 };

	assert_int_equal(crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void chance(void **state)
{
	rig_try_chance(&dynamic);
	rig_try_chance(&fixed);
}

static void crashes(void **state)
{
	rig_try_crashes(&dynamic);
}

static void qemu_reads(void **state)
{
	rig_try_qemu_reads(&dynamic);
	rig_try_qemu_reads(&fixed);
	rig_try_qemu_reads(&plain);
}

static void qemu_writes(void **state)
{
	rig_try_qemu_writes(&dynamic);
	rig_try_qemu_writes(&fixed);
	rig_try_qemu_writes(&plain);
}

/* ---- hostile ones: what has a sum is summed up again, so that it gets further ---- */

static void sum(u8 *p, size_t n, size_t at)
{
	st_le32(p + at, vhdx_crc(p, n, at));
}

static void mutations(void **state)
{
	static const struct {
		u64 off;
		u32 bytes;
	} places[] = {
		{ VHDX_HEADER_OFF(0), 80 },
		{ VHDX_REGIONS_OFF(0), 80 },
		{ METADATA_OFF, 200 },
		{ METADATA_OFF + 64 * KIB, 48 },
		{ BAT_OFF, 80 },
		{ MIB, 4096 },
	};
	struct image_file *f = rig_file(0, "seed");
	u64 seed = 44;

	rig_create(f, "vhdx", 4 * MIB, small);
	struct image *m = rig_open(f, "vhdx", false, NULL);
	u8 sector[512] = "here it is";
	assert_int_equal(image_write(m, MIB, sector, sizeof(sector)), 0);
	assert_int_equal(image_flush(m), 0);
	struct image_file *left = rig_again(f); /* as a crash would leave it: with a log */
	auto_free u8 *bytes = memcpy(xrealloc(NULL, (size_t)left->bytes), rig_bytes(f), (size_t)left->bytes);
	for (unsigned i = 0; i < 300; i++) {
		struct image_file *bad = rig_file_of(0, "bad", bytes, (size_t)left->bytes);
		u8 *p = rig_bytes(bad);
		unsigned where = (unsigned)(rig_random(&seed) % ARRAY_LEN(places));
		for (unsigned j = 1 + rig_random(&seed) % 3; j--;)
			p[places[where].off + rig_random(&seed) % places[where].bytes] = rig_random(&seed) % 2
											     ? (u8)rig_random(&seed)
											 : rig_random(&seed) % 2 ? 0
														 : 0xff;
		for (unsigned j = 0; j < 2; j++) {
			sum(p + VHDX_HEADER_OFF(j), VHDX_PAGE, H_CRC);
			sum(p + VHDX_REGIONS_OFF(j), VHDX_REGIONS_BYTES, 4);
		}
		if (ld_le32(p + MIB + L_BYTES) == 2 * VHDX_PAGE)
			sum(p + MIB, 2 * VHDX_PAGE, L_CRC);
		rig_poke(bad, "vhdx", NULL);
		image_file_close(bad);
	}
	assert_int_equal(image_close(m), 0);
	image_file_close(left);
	image_file_close(f);
}

/* ---- the log ---- */

/* An image whose last flush is in its log only: its table is as it was before. */
static struct image_file *with_log(u8 *disk)
{
	struct image_file *f = rig_file(0, "log");

	rig_create(f, "vhdx", DISK_BYTES, small);
	struct image *m = rig_open(f, "vhdx", false, NULL);
	memset(disk + 3 * MIB, 0x77, 5000 / 512 * 512);
	assert_int_equal(image_write(m, 3 * MIB, disk + 3 * MIB, 5000 / 512 * 512), 0);
	assert_int_equal(image_flush(m), 0);
	struct image_file *now = rig_again(f);
	struct image_file *left = rig_file_of(0, "left", rig_bytes(f), (size_t)now->bytes);
	memset(rig_bytes(left) + BAT_OFF, 0, 4096);
	image_file_close(now);
	assert_int_equal(image_close(m), 0);
	image_file_close(f);
	return left;
}

static void replay(void **state)
{
	auto_free u8 *disk = xcalloc(1, DISK_BYTES);
	struct image_file *f = with_log(disk);

	rig_save(f, "log.vhdx");
	struct image *m = rig_open(f, "vhdx", true, NULL);
	rig_compare(m, disk, DISK_BYTES);
	assert_int_equal(image_close(m), 0);
	assert_int_equal(ld_le64(rig_bytes(f) + BAT_OFF + 24), 0); /* read only: nothing was written */
	m = rig_open(f, "vhdx", false, NULL);
	rig_compare(m, disk, DISK_BYTES);
	assert_int_equal(image_close(m), 0);
	assert_int_not_equal(ld_le64(rig_bytes(f) + BAT_OFF + 24), 0);
	rig_play(f, "vhdx", NULL, disk, DISK_BYTES, 30, 45);
	image_file_close(f);
}

/* What we leave in a log is what QEMU replays. */
static void qemu_replays(void **state)
{
	auto_free u8 *disk = xcalloc(1, DISK_BYTES);

	if (!rig_have_qemu())
		skip();
	struct image_file *f = with_log(disk);
	rig_save(f, "log.vhdx");
	rig_save_bytes(disk, DISK_BYTES, "raw");
	image_file_close(f);
	assert_int_equal(rig_run("qemu-img check -r all -f vhdx log.vhdx"), 0);
	assert_int_equal(rig_run("qemu-img compare -f vhdx -F raw log.vhdx raw"), 0);
}

static void bad_logs(void **state)
{
	auto_free u8 *disk = xcalloc(1, DISK_BYTES);
	struct image_file *f = with_log(disk);

	rig_bytes(f)[MIB + 4096 + 100] ^= 1;
	rig_refused(f, "vhdx", NULL, "no whole entry");
	rig_bytes(f)[MIB + 4096 + 100] ^= 1;
	st_le64(rig_bytes(f) + MIB + L_HEAD_BYTES + 16, 1ull << 40); /* where the page goes */
	sum(rig_bytes(f) + MIB, 2 * VHDX_PAGE, L_CRC);
	rig_refused(f, "vhdx", NULL, "its log is damaged");
	image_file_close(f);
}

/* ---- parents ---- */

static u32 utf16(u8 *out, const char *s)
{
	u32 n = 0;

	for (; *s; s++, n += 2)
		st_le16(out + n, (u16)*s);
	return n;
}

static void make_child(struct image_file *f, struct image_file *parent)
{
	u8 *p = rig_bytes(f), *g = rig_bytes(parent), *items = p + METADATA_OFF, *l = items + 128 * KIB;
	char linkage[48];
	u32 at = 44, n;

	/* The newer of the parent's headers. */
	g += ld_le64(g + VHDX_HEADER_OFF(0) + H_SEQUENCE) > ld_le64(g + VHDX_HEADER_OFF(1) + H_SEQUENCE)
		 ? VHDX_HEADER_OFF(0)
		 : VHDX_HEADER_OFF(1);
	g += H_DATA_GUID;
	snprintf(linkage, sizeof(linkage), "{%08X-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X}", ld_le32(g),
		 ld_le16(g + 4), ld_le16(g + 6), g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
	const char *const pairs[] = { "parent_linkage", linkage, "relative_path", ".\\parent.vhdx" };
	items[64 * KIB + 4] |= 2; /* it has a parent */
	u8 *entry = items + 32 * (1 + ld_le16(items + 10));
	st_le16(items + 10, (u16)(ld_le16(items + 10) + 1));
	memcpy(entry, vhdx_item_parent, 16);
	st_le32(entry + 16, 128 * KIB);
	st_le32(entry + 20, 1024);
	st_le32(entry + 24, 4);
	st_le16(l + 18, 2);
	for (unsigned i = 0; i < 4; i++, at += n) {
		n = utf16(l + at, pairs[i]);
		st_le32(l + 20 + i / 2 * 12 + i % 2 * 4, at);
		st_le16(l + 28 + i / 2 * 12 + i % 2 * 2, (u16)n);
	}
}

static void parents(void **state)
{
	struct image_file *parent = rig_file(1, "parent.vhdx"), *child = rig_file(0, "child.vhdx");
	auto_free u8 *disk = xcalloc(1, DISK_BYTES);
	struct rig_opener o = { 0 };

	rig_create(parent, "vhdx", DISK_BYTES, small);
	rig_play(parent, "vhdx", NULL, disk, DISK_BYTES, 60, 46);
	rig_create(child, "vhdx", DISK_BYTES, small);
	struct image *m = rig_open(child, "vhdx", false, NULL);
	u8 data[4096];
	memset(data, 0x5a, sizeof(data));
	assert_int_equal(image_write(m, MIB + 8192, data, sizeof(data)), 0);
	assert_int_equal(image_close(m), 0);
	/* Of block 1 only sectors 16 to 23, and 2000, are the child's; block 2 is zeros. */
	struct image_file *now = rig_again(child);
	u64 bitmap = ROUND_UP(now->bytes, MIB);
	assert_int_equal(image_resize_file(now, bitmap + MIB), 0);
	image_file_close(now);
	u8 *p = rig_bytes(child);
	p[bitmap + 2048 / 8 + 2] = 0xff;
	p[bitmap + (2048 + 2000) / 8] = 1;
	st_le64(p + BAT_OFF + 8, ld_le64(p + BAT_OFF + 8) | PARTIALLY);
	st_le64(p + BAT_OFF + 16, ZERO);
	st_le64(p + BAT_OFF + 4096 * 8, bitmap / MIB << 20 | FULLY);
	make_child(child, parent);
	memcpy(disk + MIB + 8192, data, sizeof(data));
	memset(disk + MIB + 2000 * 512, 0, 512);
	memset(disk + 2 * MIB, 0, MIB);
	rig_opener_add(&o, "parent.vhdx", parent, NULL);
	m = rig_open(child, "vhdx", true, &o);
	rig_compare(m, disk, DISK_BYTES);
	assert_int_equal(image_close(m), 0);
	rig_play(child, "vhdx", &o, disk, DISK_BYTES, 80, 47);
	rig_refused(child, "vhdx", NULL, "based on another image");
	m = rig_open(parent, "vhdx", false, NULL);
	assert_int_equal(image_write(m, 0, data, 512), 0);
	assert_int_equal(image_close(m), 0);
	rig_refused(child, "vhdx", &o, "was changed since");
	image_file_close(parent);
	image_file_close(child);
}

/* ---- sizes ---- */

static void resize(void **state)
{
	struct image_file *f = rig_file(0, "grown");
	auto_free u8 *disk = xcalloc(1, 30 * MIB);
	struct err e = { 0 };

	rig_create(f, "vhdx", 5 * MIB, small);
	rig_play(f, "vhdx", NULL, disk, 5 * MIB, 30, 48);
	struct image *m = rig_open(f, "vhdx", false, NULL);
	assert_int_equal(m->ops->resize(m, 30 * MIB, &e), 0);
	assert_int_equal(m->ops->resize(m, 512, &e), -ENOTSUP);
	assert_int_equal(m->ops->resize(m, 1024 * GIB, &e), -EFBIG);
	assert_int_equal(image_close(m), 0);
	rig_play(f, "vhdx", NULL, disk, 30 * MIB, 60, 49);
	image_file_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc),        cmocka_unit_test(chance),       cmocka_unit_test(crashes),
		cmocka_unit_test(qemu_reads), cmocka_unit_test(qemu_writes),  cmocka_unit_test(mutations),
		cmocka_unit_test(replay),     cmocka_unit_test(qemu_replays), cmocka_unit_test(bad_logs),
		cmocka_unit_test(parents),    cmocka_unit_test(resize),
	};

	return cmocka_run_group_tests_name("vhdx", tests, NULL, NULL);
}
