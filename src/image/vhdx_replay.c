/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhdx_replay.c - see vhdx_int.h. Here: a log that a crash left ([MS-VHDX] 2.3.3). The active sequence is the one whose
 * last entry has the highest number, and which goes without a gap from the entry that this one calls its tail.
 */
#include "image/vhdx_int.h"

#define GROWTH_MAX GIB /* of the file by a log */

struct entry {
	u32 bytes; /* 0: none that is whole begins here */
	u32 tail;  /* pages, as everything here */
	u64 sequence;
};

struct log {
	const u8 *bytes;
	u32 pages;
	struct entry *at; /* of each page */
};

/* The entry that begins at page i, put together where it goes round the ring's end. */
static u8 *copy_entry(const struct log *l, u32 i, u32 bytes)
{
	u8 *out = xrealloc(NULL, bytes);
	u32 first = MIN(bytes, (l->pages - i) * VHDX_PAGE);

	memcpy(out, l->bytes + (size_t)i * VHDX_PAGE, first);
	memcpy(out + first, l->bytes, bytes - first);
	return out;
}

/* *work: how many more bytes may be summed up: entries that claim to be long cost no more than that. */
static void look_at(struct log *l, u32 i, const u8 guid[16], u64 *work)
{
	const u8 *p = l->bytes + (size_t)i * VHDX_PAGE;
	u32 bytes = ld_le32(p + L_BYTES), tail = ld_le32(p + L_TAIL), n = ld_le32(p + L_DESCRIPTORS);

	if (memcmp(p, "loge", 4) || memcmp(p + L_GUID, guid, 16) || !bytes || bytes % VHDX_PAGE ||
	    bytes / VHDX_PAGE > l->pages || tail % VHDX_PAGE || tail / VHDX_PAGE >= l->pages ||
	    n > (bytes - L_HEAD_BYTES) / L_DESCRIPTOR_BYTES || !ld_le64(p + L_SEQUENCE) || bytes > *work)
		return;
	*work -= bytes;
	auto_free u8 *all = copy_entry(l, i, bytes);
	u32 crc = ld_le32(all + L_CRC);
	if (vhdx_crc(all, bytes, L_CRC) == crc)
		l->at[i] =
		    (struct entry){ .bytes = bytes, .tail = tail / VHDX_PAGE, .sequence = ld_le64(p + L_SEQUENCE) };
}

static u32 next_of(const struct log *l, u32 i)
{
	return (i + l->at[i].bytes / VHDX_PAGE) % l->pages;
}

/* Does the sequence that ends with entry `head` hold together? */
static bool whole(const struct log *l, u32 head)
{
	u32 i = l->at[head].tail;

	for (u32 steps = 0; steps < l->pages; steps++) {
		if (!l->at[i].bytes)
			return false;
		if (i == head)
			return true;
		u32 next = next_of(l, i);
		if (l->at[next].sequence != l->at[i].sequence + 1)
			return false;
		i = next;
	}
	return false;
}

static bool find_head(const struct log *l, u32 *head)
{
	bool found = false;

	for (u32 i = 0; i < l->pages; i++)
		if (l->at[i].bytes && (!found || l->at[i].sequence > l->at[*head].sequence) && whole(l, i)) {
			*head = i;
			found = true;
		}
	return found;
}

/* ---- what an entry says ---- */

static bool add_patch(struct vhdx *v, u64 off, u64 bytes, u8 *data, u64 end)
{
	if (off % VHDX_PAGE || bytes % VHDX_PAGE || off > end || bytes > end - off) {
		free(data);
		return false;
	}
	if (!(v->npatches & (v->npatches - 1)))
		v->patches = xrealloc(v->patches, MAX(v->npatches * 2, 1) * sizeof(*v->patches));
	v->patches[v->npatches++] = (struct vhdx_patch){ .off = off, .bytes = bytes, .data = data };
	return true;
}

static bool add_entry(struct vhdx *v, const u8 *entry, u32 bytes, u64 end)
{
	u32 n = ld_le32(entry + L_DESCRIPTORS);
	u32 sector = (u32)ROUND_UP(L_HEAD_BYTES + (u64)n * L_DESCRIPTOR_BYTES, VHDX_PAGE);
	u64 sequence = ld_le64(entry + L_SEQUENCE);

	for (u32 i = 0; i < n; i++) {
		const u8 *d = entry + L_HEAD_BYTES + (size_t)i * L_DESCRIPTOR_BYTES;
		if (ld_le64(d + 24) != sequence)
			return false;
		if (!memcmp(d, "zero", 4)) {
			if (!add_patch(v, ld_le64(d + 16), ld_le64(d + 8), NULL, end))
				return false;
			continue;
		}
		const u8 *s = entry + sector;
		if (memcmp(d, "desc", 4) || sector > bytes - VHDX_PAGE || memcmp(s, "data", 4) ||
		    ld_le32(s + 4) != sequence >> 32 || ld_le32(s + VHDX_PAGE - 4) != (u32)sequence)
			return false;
		u8 *page = memcpy(xrealloc(NULL, VHDX_PAGE), s, VHDX_PAGE);
		memcpy(page, d + 8, 8);
		memcpy(page + VHDX_PAGE - 4, d + 4, 4);
		sector += VHDX_PAGE;
		if (!add_patch(v, ld_le64(d + 16), VHDX_PAGE, page, end))
			return false;
	}
	return true;
}

/* All of the sequence. *end: what the file is to have. */
static int collect(struct vhdx *v, const struct log *l, u32 head, u64 *end, struct err *e)
{
	struct image_file *f = v->bi.bat.file;
	const u8 *h = l->bytes + (size_t)head * VHDX_PAGE;
	u32 i = l->at[head].tail;
	bool good = true;

	*end = MAX(f->bytes, ld_le64(h + L_LAST));
	if (ld_le64(h + L_FLUSHED) > f->bytes)
		return err_set(e, EINVAL, "the file is shorter than its log says; it was cut short");
	if (*end - f->bytes > GROWTH_MAX)
		return err_set(e, EINVAL, "its log is damaged");
	for (bool last = false; good && !last; i = next_of(l, i)) {
		auto_free u8 *entry = copy_entry(l, i, l->at[i].bytes);
		good = add_entry(v, entry, l->at[i].bytes, *end);
		last = i == head;
	}
	return good ? 0 : err_set(e, EINVAL, "its log is damaged");
}

static int apply(struct vhdx *v, u64 end)
{
	struct image_file *f = v->bi.bat.file;
	int rc = end > f->bytes ? image_resize_file(f, end) : 0;

	for (size_t i = 0; i < v->npatches && rc == 0; i++) {
		const struct vhdx_patch *p = &v->patches[i];
		rc = p->data ? image_pwrite(f, p->data, VHDX_PAGE, p->off) : image_zero(f, p->off, p->bytes, false);
	}
	if (rc == 0)
		rc = image_sync(f);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < v->npatches; i++)
		free(v->patches[i].data);
	v->npatches = 0;
	memset(v->header + H_LOG_GUID, 0, 16);
	return vhdx_write_header(v);
}

int vhdx_replay(struct vhdx *v, bool readonly, struct err *e)
{
	static const u8 none[16];
	u64 work = 4ull * v->log_bytes, end;
	u32 head = 0;

	if (!memcmp(v->header + H_LOG_GUID, none, 16))
		return 0;
	auto_free u8 *bytes = xrealloc(NULL, v->log_bytes);
	int rc = image_pread(v->bi.bat.file, bytes, v->log_bytes, v->log_off);
	if (rc < 0)
		return err_sys(e, -rc, "reading its log");
	auto_free struct entry *at = xcalloc(v->log_bytes / VHDX_PAGE, sizeof(*at));
	struct log l = { .bytes = bytes, .pages = v->log_bytes / VHDX_PAGE, .at = at };
	for (u32 i = 0; i < l.pages; i++)
		look_at(&l, i, v->header + H_LOG_GUID, &work);
	if (!find_head(&l, &head))
		return err_set(e, EINVAL,
			       "its log is damaged: it has to be replayed, and there is no whole entry in it");
	rc = collect(v, &l, head, &end, e);
	if (rc < 0 || readonly)
		return rc;
	rc = apply(v, end);
	return rc < 0 ? err_sys(e, -rc, "replaying its log") : 0;
}
