/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhdx_log.c - see vhdx_int.h. Here: pages of tables go through the log ([MS-VHDX] 2.3): an entry with them is made
 * durable, then they are written to their places, and that is made durable before the next entry. So each entry is a
 * sequence of its own, with itself as its tail; the one before stays whole while the next is written, and replaying the
 * newest whole one is always right. The header names the log only once it has an entry.
 */
#include "image/vhdx_int.h"

#include "image/crc32c.h"

u32 vhdx_crc(u8 *p, size_t n, size_t at)
{
	st_le32(p + at, 0);
	return crc32c(0, p, n);
}

/* The log is a ring. */
static int write_ring(struct vhdx *v, const u8 *bytes, u32 n)
{
	u32 first = (u32)MIN(n, v->log_bytes - v->log_at);
	int rc = image_pwrite(v->bi.bat.file, bytes, first, v->log_off + v->log_at);

	return rc < 0 || first == n ? rc : image_pwrite(v->bi.bat.file, bytes + first, n - first, v->log_off);
}

static void put_page(u8 *descriptor, u8 *sector, const struct vhdx_page *p, u64 sequence)
{
	memcpy(descriptor, "desc", 4);
	memcpy(descriptor + 4, p->bytes + VHDX_PAGE - 4, 4); /* what the sector's own words stand in the place of */
	memcpy(descriptor + 8, p->bytes, 8);
	st_le64(descriptor + 16, p->off);
	st_le64(descriptor + 24, sequence);
	memcpy(sector, "data", 4);
	st_le32(sector + 4, (u32)(sequence >> 32));
	memcpy(sector + 8, p->bytes + 8, VHDX_PAGE - 12);
	st_le32(sector + VHDX_PAGE - 4, (u32)sequence);
}

static int write_entry(struct vhdx *v, const struct vhdx_page *pages, unsigned n)
{
	u32 bytes = (n + 1) * VHDX_PAGE; /* the first has room for all descriptors */
	auto_free u8 *entry = xcalloc(1, bytes);
	u64 end = v->bi.bat.file->bytes / MIB * MIB;

	memcpy(entry, "loge", 4);
	st_le32(entry + L_BYTES, bytes);
	st_le32(entry + L_TAIL, (u32)v->log_at);
	st_le64(entry + L_SEQUENCE, ++v->log_sequence);
	st_le32(entry + L_DESCRIPTORS, n);
	memcpy(entry + L_GUID, v->log_guid, 16);
	st_le64(entry + L_FLUSHED, end);
	st_le64(entry + L_LAST, end);
	for (unsigned i = 0; i < n; i++)
		put_page(entry + L_HEAD_BYTES + (size_t)i * L_DESCRIPTOR_BYTES, entry + (i + 1ul) * VHDX_PAGE,
			 &pages[i], v->log_sequence);
	st_le32(entry + L_CRC, vhdx_crc(entry, bytes, L_CRC));
	int rc = write_ring(v, entry, bytes);
	v->log_at = (v->log_at + bytes) % v->log_bytes;
	return rc < 0 ? rc : image_sync(v->bi.bat.file);
}

static int name_log(struct vhdx *v)
{
	memcpy(v->header + H_LOG_GUID, v->log_guid, 16);
	int rc = vhdx_write_header(v);

	if (rc < 0)
		memset(v->header + H_LOG_GUID, 0, 16);
	v->log_used = rc == 0;
	return rc;
}

int vhdx_write_pages(struct vhdx *v, const struct vhdx_page *pages, unsigned n)
{
	must(n && n <= VHDX_PAGES_MAX);
	int rc = write_entry(v, pages, n);
	if (rc == 0 && !v->log_used)
		rc = name_log(v);
	for (unsigned i = 0; i < n && rc == 0; i++)
		rc = image_pwrite(v->bi.bat.file, pages[i].bytes, VHDX_PAGE, pages[i].off);
	return rc < 0 ? rc : image_sync(v->bi.bat.file);
}

void vhdx_empty_log(struct vhdx *v)
{
	if (!v->log_used)
		return;
	memset(v->header + H_LOG_GUID, 0, 16);
	v->log_used = vhdx_write_header(v) < 0; /* then it is replayed, which changes nothing */
}
