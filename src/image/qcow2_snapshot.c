/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_snapshot.c - internal snapshots: another L1 table that leads to the same clusters, each counted once more.
 *
 * While counts and the flags that tell of them change in many places, the image is marked dirty: after a crash it is
 * repaired when it is opened. Even without that (version 2) no order of theirs loses data: flags go before counts go up
 * and come back after they went down, and tables are durable before the header leads to them.
 */
#include "image/qcow2_int.h"

#include <time.h>

static const char *id_of(const struct qcow2_snapshot *s)
{
	return (const char *)s->rest + s->extra_bytes;
}

static bool is(const char *text, unsigned bytes, const char *wanted)
{
	return strlen(wanted) == bytes && !memcmp(text, wanted, bytes);
}

/* By id, else by name; nsnapshots: there is none. */
static u32 find(const struct qcow2 *q, const char *wanted)
{
	for (u32 i = 0; i < q->nsnapshots; i++)
		if (is(id_of(&q->snapshots[i]), q->snapshots[i].id_bytes, wanted))
			return i;
	for (u32 i = 0; i < q->nsnapshots; i++)
		if (is(id_of(&q->snapshots[i]) + q->snapshots[i].id_bytes, q->snapshots[i].name_bytes, wanted))
			return i;
	return q->nsnapshots;
}

/* The list as it is, with room for one more. The texts stay with those who have them. */
static struct qcow2_snapshot *list_of(const struct qcow2 *q)
{
	struct qcow2_snapshot *list = xcalloc(q->nsnapshots + 1ull, sizeof(*list));

	if (q->nsnapshots)
		memcpy(list, q->snapshots, q->nsnapshots * sizeof(*list));
	return list;
}

static int store(struct qcow2 *q, struct qcow2_snapshot *list, u32 n)
{
	struct qcow2_snapshot *old = q->snapshots;
	int rc = qcow2_snapshots_store(q, list, n);

	free(q->snapshots == list ? old : list);
	return rc;
}

static struct qcow2_snapshot describe(const struct qcow2 *q, const char *name)
{
	unsigned long highest = 0;
	struct timespec now;
	char id[24];

	for (u32 i = 0; i < q->nsnapshots; i++) {
		snprintf(id, sizeof(id), "%.*s", (int)q->snapshots[i].id_bytes, id_of(&q->snapshots[i]));
		highest = MAX(highest, strtoul(id, NULL, 10));
	}
	snprintf(id, sizeof(id), "%lu", MIN(highest, (unsigned long)UINT32_MAX) + 1);
	clock_gettime(CLOCK_REALTIME, &now);
	struct qcow2_snapshot s = { .seconds = (u32)now.tv_sec,
				    .nanoseconds = (u32)now.tv_nsec,
				    .disk_bytes = q->disk_bytes,
				    .extra_bytes = 16,
				    .id_bytes = (u16)strlen(id),
				    .name_bytes = (u16)strlen(name) };
	s.rest = xcalloc(1, 16u + s.id_bytes + s.name_bytes + 1u);
	qcow2_st64(s.rest + 8, s.disk_bytes);
	memcpy(s.rest + 16, id, s.id_bytes);
	memcpy(s.rest + 16 + s.id_bytes, name, s.name_bytes);
	return s;
}

/* A copy of an L1 table, without flags. */
static int copy_l1(struct qcow2 *q, const u64 *l1, u32 size, u64 *host)
{
	u64 clusters = MAX(qcow2_clusters(q, 8ull * size), 1);
	int rc = qcow2_alloc_whole(q, clusters, host);

	if (rc < 0)
		return rc;
	u8 *raw = xcalloc(clusters, q->cluster_bytes);
	for (u32 i = 0; i < size; i++)
		qcow2_st64(raw + 8ull * i, l1[i] & ~QCOW2_COPIED);
	rc = image_pwrite(q->file, raw, clusters << q->cluster_bits, *host);
	free(raw);
	if (rc < 0)
		qcow2_unalloc(q, *host, clusters << q->cluster_bits);
	return rc;
}

static int create(struct qcow2 *q, const char *name)
{
	u64 changed = 0, host;
	int rc = qcow2_tree_flags(q, true, &changed);

	if (rc == 0)
		rc = qcow2_flush(&q->image);
	if (rc == 0)
		rc = copy_l1(q, q->l1, q->l1_size, &host);
	if (rc == 0)
		rc = qcow2_tree_add(q, q->l1, q->l1_size, 1);
	if (rc < 0)
		return rc;
	struct qcow2_snapshot *list = list_of(q);
	u32 n = q->nsnapshots;
	list[n] = describe(q, name);
	list[n].l1_off = host;
	list[n].l1_size = q->l1_size;
	u8 *rest = list[n].rest;
	rc = store(q, list, n + 1);
	if (q->nsnapshots == n)
		free(rest);
	return rc;
}

static int remove_one(struct qcow2 *q, u32 i)
{
	struct qcow2_snapshot s = q->snapshots[i], *list = list_of(q);
	u64 changed = 0, *l1 = NULL;
	u32 n = q->nsnapshots;
	int rc = qcow2_l1_load(q, s.l1_off, s.l1_size, &l1);

	memmove(&list[i], &list[i + 1], (n - i - 1) * sizeof(*list));
	if (rc == 0)
		rc = store(q, list, n - 1);
	else
		free(list);
	if (q->nsnapshots == n - 1)
		qcow2_snapshot_free(&s);
	if (rc == 0)
		rc = qcow2_tree_add(q, l1, s.l1_size, -1);
	if (rc == 0)
		rc = qcow2_unalloc(q, s.l1_off, MAX(8ull * s.l1_size, 1));
	if (rc == 0)
		rc = qcow2_tree_flags(q, false, &changed);
	free(l1);
	return rc < 0 ? rc : qcow2_flush(&q->image);
}

/* The active tables become a copy of the snapshot's. */
static int apply(struct qcow2 *q, u32 i)
{
	const struct qcow2_snapshot *s = &q->snapshots[i];
	u64 *l1 = NULL, *old = q->l1, old_off = q->l1_off, host, changed = 0;
	u32 old_size = q->l1_size;
	int rc = qcow2_l1_load(q, s->l1_off, s->l1_size, &l1);

	if (rc == 0 && s->l1_size < qcow2_l1_entries(q, s->disk_bytes))
		rc = -EINVAL;
	if (rc == 0)
		rc = qcow2_tree_add(q, l1, s->l1_size, 1);
	if (rc == 0)
		rc = copy_l1(q, l1, s->l1_size, &host);
	if (rc == 0)
		rc = qcow2_write_refcounts(q);
	if (rc == 0)
		rc = image_sync(q->file);
	if (rc < 0) {
		free(l1);
		return rc;
	}
	for (u32 k = 0; k < s->l1_size; k++)
		l1[k] &= ~QCOW2_COPIED;
	q->l1 = l1;
	q->l1_size = s->l1_size;
	q->l1_off = host;
	q->disk_bytes = s->disk_bytes;
	q->image.bytes = ROUND_UP(s->disk_bytes, 512);
	/* size, l1_size and l1_table_offset lie in one sector: one write. */
	rc = qcow2_header_store(q, 24, 48);
	if (rc == 0)
		rc = image_sync(q->file);
	if (rc == 0)
		rc = qcow2_tree_add(q, old, old_size, -1);
	if (rc == 0 && old_size)
		rc = qcow2_unalloc(q, old_off, 8ull * old_size);
	free(old);
	if (rc == 0)
		rc = qcow2_tree_flags(q, false, &changed);
	return rc < 0 ? rc : qcow2_flush(&q->image);
}

/* After an error in between, counts and flags are made to agree with the tables again. */
static void recover(struct qcow2 *q)
{
	struct image_check c = { 0 };

	qcow2_check(&q->image, &c, IMAGE_FIX_ALL, NULL);
}

static int narrow(const struct qcow2 *q, struct err *e)
{
	return err_set(e, EMLINK, "%s: its reference counts, of %u bits, allow no more snapshots", q->file->name,
		       1u << q->refcount_order);
}

static int may(struct qcow2 *q, enum image_snapshot_verb verb, const char *name, u32 i, struct err *e)
{
	const char *file = q->file->name;

	if (qcow2_external(q))
		return err_set(e, ENOTSUP, "%s: with an external data file there are no snapshots", file);
	if (q->npending || q->broken || q->image.readonly)
		return err_sys(e, q->npending ? EBUSY : q->broken ? EIO : EPERM, "%s", file);
	if (verb != IMAGE_SNAPSHOT_CREATE)
		return i < q->nsnapshots ? 0 : err_set(e, ENOENT, "%s: it has no snapshot \"%s\"", file, name);
	if (i < q->nsnapshots)
		return err_set(e, EEXIST, "%s: it has a snapshot \"%s\" already", file, name);
	if (!*name || strlen(name) >= sizeof(((struct image_snapshot *)0)->name))
		return err_set(e, EINVAL, "%s: a snapshot's name has 1 to 255 bytes", file);
	/* The disk, the new one, and one reference more while a snapshot is being applied. */
	if (q->nsnapshots >= QCOW2_SNAPSHOTS_MAX || qcow2_ref_max(q) < q->nsnapshots + 3ull)
		return narrow(q, e);
	return 0;
}

int qcow2_snapshot(struct image *m, enum image_snapshot_verb verb, const char *id_or_name, struct err *e)
{
	struct qcow2 *q = qcow2_of(m);
	u32 i = find(q, id_or_name);
	int rc = may(q, verb, id_or_name, i, e);

	if (rc < 0)
		return rc;
	bool dirty = q->incompat & QCOW2_INCOMPAT_DIRTY;
	rc = qcow2_flush(m);
	if (rc == 0)
		rc = qcow2_features(q, QCOW2_INCOMPAT_DIRTY, 0);
	if (rc == 0)
		rc = verb == IMAGE_SNAPSHOT_CREATE  ? create(q, id_or_name)
		     : verb == IMAGE_SNAPSHOT_APPLY ? apply(q, i)
						    : remove_one(q, i);
	if (rc < 0)
		recover(q);
	if (rc == -EOVERFLOW)
		return narrow(q, e);
	if (rc == 0 && !dirty && !q->lazy)
		rc = qcow2_write_refcounts(q);
	if (rc == 0 && !dirty && !q->lazy)
		rc = image_sync(q->file);
	if (rc == 0 && !dirty && !q->lazy)
		rc = qcow2_features(q, 0, QCOW2_INCOMPAT_DIRTY);
	return rc < 0 ? err_sys(e, -rc, "%s: snapshot \"%s\"", q->file->name, id_or_name) : 0;
}
