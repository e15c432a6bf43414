/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_check.c - the counts of references beside the references there are, and the flags beside the counts.
 *
 * Memory is bounded: a long file is looked at in windows of clusters, with a walk through all tables for each. What was
 * mended is known by looking once more.
 */
#include "base/i18n.h"
#include "image/qcow2_int.h"

#include <stdarg.h>

#define WINDOW (32u * MIB) /* clusters */
#define WINDOWS_MAX 256u

void qcow2_report(struct qcow2_check *k, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (k->quiet || !k->found->report || !k->found->reports)
		return;
	k->found->reports--;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	k->found->report(k->found->opaque, line);
}

void qcow2_found_corrupt(struct qcow2_check *k, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (k->quiet)
		return;
	k->found->corrupt++;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	qcow2_report(k, "%s", line);
}

/* What is to be done about the counts of a window. */
struct finding {
	bool rebuild; /* they cannot be put right where they are */
};

static void compare(struct qcow2_check *k, struct finding *f)
{
	struct qcow2 *q = k->q;

	for (u64 i = 0; i < k->n; i++) {
		u64 cluster = k->first + i, count;
		u32 refs = k->counts[i];
		bool quiet = k->quiet;

		k->quiet = false;
		if (refs)
			k->found->end = (cluster + 1) << q->cluster_bits;
		if (qcow2_ref_get(q, cluster, &count) < 0) {
			f->rebuild |= refs;
			if (refs)
				qcow2_found_corrupt(k, _("cluster %llu: its reference count cannot be read"),
						    (unsigned long long)cluster);
		} else if (count < refs) {
			u64 block = cluster >> qcow2_ref_block_bits(q);
			f->rebuild |= block >= q->rt_size || !q->rt[block];
			qcow2_found_corrupt(k, _("cluster %llu: counted %llu times, used %u times"),
					    (unsigned long long)cluster, (unsigned long long)count, refs);
		} else if (count > refs) {
			k->found->leaked++;
			qcow2_report(k, _("cluster %llu is lost: counted %llu times, used %u times"),
				     (unsigned long long)cluster, (unsigned long long)count, refs);
		}
		k->quiet = quiet;
	}
}

/* Counts go up before others go down: a crash in between loses room, not data. */
static int put_right(struct qcow2_check *k, enum image_fix fix)
{
	struct qcow2 *q = k->q;

	for (int down = fix != IMAGE_FIX_ALL; down < 2; down++) {
		for (u64 i = 0; i < k->n; i++) {
			u64 count;
			if (qcow2_ref_get(q, k->first + i, &count) < 0)
				continue; /* a block that cannot be: only a rebuild helps */
			int rc = 0;
			if (down ? count > k->counts[i] : count < k->counts[i])
				rc = qcow2_ref_set(q, k->first + i, k->counts[i]);
			if (rc < 0)
				return rc;
		}
		int rc = qcow2_write_refcounts(q);
		if (rc == 0)
			rc = image_sync(q->file);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void compare_flags(struct qcow2_check *k)
{
	struct qcow2 *q = k->q;

	for (u32 i = 0; i < q->l1_size && !qcow2_external(q); i++) {
		u64 table = q->l1[i] & QCOW2_OFFSET_MASK, count = 0;
		if (!table || table & (q->cluster_bytes - 1) || table >> q->cluster_bits >= k->total)
			continue;
		if (qcow2_ref_get(q, table >> q->cluster_bits, &count) == 0 &&
		    (count == 1) != !!(q->l1[i] & QCOW2_COPIED))
			qcow2_found_corrupt(k, _("L2 table %u: counted %llu times, which its flag denies"), i,
					    (unsigned long long)count);
		for (u64 at = 0; at < q->cluster_bytes; at += qcow2_slice_bytes(q)) {
			u8 *slice;
			if (qcow2_cache_get(q->l2_cache, table + at, &slice) < 0)
				break;
			for (unsigned n = 0; n < qcow2_slice_entries(q); n++) {
				u64 v = qcow2_ld64(slice + (size_t)n * q->entry_bytes), host = v & QCOW2_OFFSET_MASK;
				if (v & QCOW2_COMPRESSED || !host || host & (q->cluster_bytes - 1) ||
				    qcow2_ref_get(q, host >> q->cluster_bits, &count) < 0)
					continue;
				if ((count == 1) != !!(v & QCOW2_COPIED))
					qcow2_found_corrupt(
					    k, _("the cluster at 0x%llx: counted %llu times, which its flag denies"),
					    (unsigned long long)host, (unsigned long long)count);
			}
		}
	}
}

static int look(struct qcow2_check *k, enum image_fix fix, bool *rebuilt)
{
	struct finding f = { 0 };
	u64 window = MIN(k->total, WINDOW);

	for (k->first = 0; k->first < k->total; k->first += window) {
		k->n = MIN(window, k->total - k->first);
		k->quiet = k->first;
		int rc = qcow2_walk(k, false);
		if (rc < 0)
			return rc;
		k->quiet = false;
		compare(k, &f);
		if (f.rebuild && fix == IMAGE_FIX_ALL) {
			k->quiet = true;
			*rebuilt = true;
			rc = qcow2_walk(k, true);
			rc = rc < 0 ? rc : qcow2_rebuild(k);
		} else if (fix != IMAGE_FIX_NONE) {
			rc = put_right(k, fix);
		}
		if (rc < 0)
			return rc;
	}
	k->quiet = false;
	compare_flags(k);
	return 0;
}

/* What could be mended was; how much is left? */
static int look_again(struct qcow2_check *k, struct image_check *c, enum image_fix fix)
{
	struct image_check left = { 0 };
	bool rebuilt = false;
	u64 changed = 0;
	int rc = fix == IMAGE_FIX_ALL ? qcow2_tree_flags(k->q, false, &changed) : 0;

	if (rc == 0)
		rc = qcow2_flush(&k->q->image);
	k->found = &left;
	k->total = qcow2_clusters(k->q, k->q->file->bytes);
	k->counts = xrealloc(k->counts, MIN(k->total, WINDOW) * sizeof(*k->counts));
	if (rc == 0)
		rc = look(k, IMAGE_FIX_NONE, &rebuilt);
	k->found = c;
	if (rc < 0)
		return rc;
	c->corrupt_fixed = c->corrupt - MIN(c->corrupt, left.corrupt);
	c->leaked_fixed = c->leaked - MIN(c->leaked, left.leaked);
	c->end = left.end;
	if (fix == IMAGE_FIX_ALL && !left.corrupt && !left.leaked)
		rc = qcow2_features(k->q, 0, QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT);
	return rc;
}

int qcow2_check(struct image *m, struct image_check *c, enum image_fix fix, struct err *e)
{
	struct qcow2 *q = qcow2_of(m);
	struct qcow2_check k = { .q = q, .found = c, .total = qcow2_clusters(q, q->file->bytes) };
	bool broken = q->broken, rebuilt = false;

	if (fix != IMAGE_FIX_NONE && (m->readonly || q->npending))
		return err_sys(e, m->readonly ? EROFS : EBUSY, "%s", q->file->name);
	if (k.total > WINDOW * WINDOWS_MAX)
		return err_set(e, EFBIG, "%s: it is too long to be checked", q->file->name);
	/* While it is looked at, it is not to be marked as corrupt, and what is found may be mended. */
	int rc = fix == IMAGE_FIX_NONE || broken ? 0 : qcow2_flush(m);
	q->broken = q->opened = false;
	k.counts = xcalloc(MAX(MIN(k.total, WINDOW), 1), sizeof(*k.counts));
	c->total = qcow2_clusters(q, m->bytes);
	if (rc == 0)
		rc = look(&k, fix, &rebuilt);
	if (rc == 0 && fix != IMAGE_FIX_NONE &&
	    (c->corrupt || c->leaked || q->incompat & (QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT)))
		rc = look_again(&k, c, fix);
	free(k.counts);
	q->opened = true;
	q->broken = q->incompat & QCOW2_INCOMPAT_CORRUPT ||
		    (broken && !(c->corrupt_fixed == c->corrupt && fix == IMAGE_FIX_ALL));
	return rc < 0 ? err_sys(e, -rc, "%s: it cannot be checked", q->file->name) : 0;
}
