/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_write.c - a write to what has no place of its own yet.
 *
 * prepare() chooses the clusters: `fresh` ones that nothing leads to, or those that an entry keeps but does not read
 * from (preallocated zeros, unallocated subclusters, an external data file). It copies what the write leaves out of
 * them: of a fresh cluster all that the old one had, else only the rest of the subclusters at the write's ends.
 * commit() makes the entries; plan() says the same to both.
 */
#include "image/qcow2_int.h"

struct plan {
	u32 covered; /* subclusters that the write touches */
	u32 fill;    /* those to have all of their bytes at the new place */
	struct qcow2_entry to;
};

/* The write of [off, end) as seen by the guest cluster at `guest` with entry x. */
static struct plan plan(const struct qcow2 *q, const struct qcow2_entry *x, u64 guest, u64 off, u64 end, u64 host,
			bool fresh)
{
	u64 a = MAX(off, guest) - guest, b = MIN(end - guest, q->cluster_bytes);
	unsigned s0 = (unsigned)(a >> q->sub_bits), s1 = (unsigned)((b - 1) >> q->sub_bits);
	struct plan p = { .covered = UINT32_MAX << s0 & UINT32_MAX >> (31 - s1) };

	u32 keep = x->compressed ? qcow2_all_subs(q) : x->alloc;
	p.fill = fresh ? p.covered | keep : p.covered & ~x->alloc;
	u32 alloc = p.covered | keep;
	p.to = (struct qcow2_entry){
		.copied = true, .has_host = true, .host = host, .alloc = alloc, .zero = x->zero & ~alloc
	};
	return p;
}

/* The disk's bytes from `from` to `to` to their new place. zeros: the place reads as zeros already. */
static int copy(struct qcow2 *q, u64 from, u64 to, u64 place, bool zeros)
{
	struct image *m = &q->image;
	int rc = 0;

	if (!q->bounce)
		q->bounce = xcalloc(1, q->cluster_bytes);
	while (from < to && rc == 0) {
		struct image_run run = { .kind = IMAGE_ZERO, .bytes = to - from };
		if (from < m->bytes)
			rc = image_map(m, from, MIN(to, m->bytes) - from, &run);
		if (rc < 0)
			break;
		if (run.kind != IMAGE_ZERO)
			rc = image_read(m, from, q->bounce, (size_t)run.bytes);
		else if (!zeros)
			memset(q->bounce, 0, (size_t)run.bytes);
		if (rc == 0 && (run.kind != IMAGE_ZERO || !zeros))
			rc = image_pwrite(q->data, q->bounce, (size_t)run.bytes, place);
		from += run.bytes;
		place += run.bytes;
	}
	return rc;
}

/* What the write [off, end) leaves out of the subclusters to fill. */
static int fill(struct qcow2 *q, u64 guest, u64 off, u64 end, u64 host, bool zeros)
{
	struct qcow2_entry x;
	int rc = qcow2_entry_of(q, guest, &x);

	if (rc < 0)
		return rc;
	bool fresh = !(x.has_host && x.copied && x.host == host);
	struct plan p = plan(q, &x, guest, off, end, host, fresh && !qcow2_external(q));
	for (unsigned s = 0; s < q->nsub && rc == 0; s++) {
		if (!(p.fill >> s & 1))
			continue;
		u64 a = guest + ((u64)s << q->sub_bits), b = a + (1ull << q->sub_bits);
		if (a < off)
			rc = copy(q, a, MIN(b, off), host + (a - guest), zeros);
		if (rc == 0 && b > end)
			rc = copy(q, MAX(a, end), b, host + (MAX(a, end) - guest), zeros);
	}
	return rc;
}

static void remember(struct qcow2 *q, const struct qcow2_pending *p)
{
	if (q->npending == q->pending_room) {
		q->pending_room = MAX(q->pending_room * 2, 16);
		q->pending = xrealloc(q->pending, q->pending_room * sizeof(*q->pending));
	}
	q->pending[q->npending++] = *p;
}

/* How many clusters from `guest` on, up to n, are in the same case as the first one, with entry x: they need new ones;
 * or they lie behind each other and read from none of their parts. */
static int alike(struct qcow2 *q, u64 guest, u64 n, const struct qcow2_entry *x, bool fresh, u64 *out)
{
	unsigned index, slice_n = qcow2_slice_entries(q);
	struct qcow2_entry y;
	u8 *slice;
	int rc = qcow2_l2_slice(q, guest, &slice, &index);

	*out = 1;
	for (n = MIN(n, slice_n - index); rc == 0 && *out < n; ++*out) {
		y = (struct qcow2_entry){ 0 };
		if (slice)
			rc = qcow2_entry_load(q, slice, index + (unsigned)*out, guest + (*out << q->cluster_bits), &y);
		bool own = y.has_host && y.copied;
		bool same = fresh               ? !own
			    : qcow2_external(q) ? !y.alloc
						: own && !y.alloc && y.host == x->host + (*out << q->cluster_bits);
		if (rc < 0 || !same)
			return 0; /* what is wrong there is found when it is written to */
	}
	return rc;
}

static int find_place(struct qcow2 *q, u64 guest, u64 n, struct qcow2_pending *p, u64 *got, bool *zeros)
{
	struct qcow2_entry x;
	unsigned index;
	u8 *slice;
	int rc = qcow2_entry_of(q, guest, &x);

	if (rc < 0)
		return rc;
	p->fresh = !(x.has_host && x.copied) && !qcow2_external(q);
	/* With parts in use, what there is to do differs from cluster to cluster. */
	if (!p->fresh && x.alloc)
		n = 1;
	rc = alike(q, guest, n, &x, p->fresh, got);
	if (rc < 0 || !p->fresh) {
		p->host = qcow2_external(q) ? guest : x.host;
		return rc;
	}
	/* The table first: it would lie between this data and the next. */
	rc = qcow2_l2_slice_for_write(q, guest, &slice, &index);
	n = *got;
	return rc < 0 ? rc : qcow2_alloc(q, n, &p->host, got, zeros);
}

/* An external file has to be as long as what we lead others to. */
static int extend_data(struct qcow2 *q, u64 end)
{
	return qcow2_external(q) && !q->data->device && end > q->data->bytes ? image_resize_file(q->data, end) : 0;
}

int qcow2_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run)
{
	struct qcow2 *q = qcow2_of(m);
	u64 in = off & (q->cluster_bytes - 1), guest = off - in, got;
	struct qcow2_pending p = { .off = off };
	bool zeros = false;
	int rc = q->broken ? -EIO : qcow2_map(m, off, bytes, run);

	if (rc < 0 || (run->kind == IMAGE_DATA && run->in_place))
		return rc;
	u64 part = run->kind == IMAGE_COOKED ? bytes : run->bytes;
	rc = find_place(q, guest, qcow2_clusters(q, in + bytes), &p, &got, &zeros);
	if (rc < 0)
		return rc;
	p.bytes = MIN(bytes, (got << q->cluster_bits) - in);
	/* Up to the next subcluster that is in place. */
	if (!p.fresh && q->nsub > 1 && got == 1)
		p.bytes = MIN(p.bytes, part);
	u64 end = off + p.bytes, last = (end - 1) & ~(u64)(q->cluster_bytes - 1);
	rc = extend_data(q, end);
	if (rc == 0)
		rc = fill(q, guest, off, end, p.host, zeros);
	if (rc == 0 && last != guest)
		rc = fill(q, last, off, end, p.host + (last - guest), zeros);
	if (rc < 0) {
		if (p.fresh)
			qcow2_unalloc(q, p.host, got << q->cluster_bits);
		return rc;
	}
	remember(q, &p);
	*run = (struct image_run){ .kind = IMAGE_DATA, .bytes = p.bytes, .file = q->data->id, .off = p.host + in };
	return 0;
}

static bool take_pending(struct qcow2 *q, u64 off, struct qcow2_pending *p)
{
	for (size_t i = 0; i < q->npending; i++) {
		if (q->pending[i].off != off)
			continue;
		*p = q->pending[i];
		q->pending[i] = q->pending[--q->npending];
		return true;
	}
	return false;
}

static int commit_one(struct qcow2 *q, const struct qcow2_pending *p, u64 guest, u64 host)
{
	struct qcow2_entry x;
	unsigned index;
	u8 *slice;
	int rc = qcow2_l2_slice_for_write(q, guest, &slice, &index);

	if (rc == 0)
		rc = qcow2_entry_load(q, slice, index, guest, &x);
	if (rc < 0)
		return rc;
	struct plan to = plan(q, &x, guest, p->off, p->off + p->bytes, host, p->fresh);
	qcow2_entry_store(q, slice, index, &to.to);
	return p->fresh ? qcow2_entry_drop(q, &x, false) : 0;
}

int qcow2_commit(struct image *m, u64 off, u64 bytes)
{
	struct qcow2 *q = qcow2_of(m);
	struct qcow2_pending p;

	(void)bytes;
	if (!take_pending(q, off, &p))
		return -EINVAL;
	u64 first = off & ~(u64)(q->cluster_bytes - 1), end = off + p.bytes;
	for (u64 guest = first; guest < end; guest += q->cluster_bytes) {
		u64 host = p.host + (guest - first);
		int rc = commit_one(q, &p, guest, host);
		if (rc == 0)
			continue;
		if (p.fresh)
			qcow2_unalloc(q, host, end - guest);
		return rc;
	}
	return 0;
}

void qcow2_abandon(struct image *m, u64 off, u64 bytes)
{
	struct qcow2 *q = qcow2_of(m);
	struct qcow2_pending p;

	(void)bytes;
	if (take_pending(q, off, &p) && p.fresh)
		qcow2_unalloc(q, p.host, (off & (q->cluster_bytes - 1)) + p.bytes);
}
