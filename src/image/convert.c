/* SPDX-License-Identifier: GPL-2.0-or-later */
/* convert.c - see convert.h. Here: the ring, and the writer of the target image. */
#include "image/convert_int.h"

#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>

#define PART_RAW_BYTES (4u * KIB)      /* of a target without clusters: a block of most file systems */
#define PART_CLUSTER_BYTES (64u * KIB) /* larger clusters are filled in parts of this */

void ring_fail(struct ring *r, const struct err *e)
{
	pthread_mutex_lock(&r->lock);
	if (!r->stop)
		r->error = *e;
	r->stop = true;
	pthread_cond_broadcast(&r->change);
	pthread_cond_broadcast(&r->room);
	pthread_mutex_unlock(&r->lock);
}

/* ---- the writer ---- */

static int failed(struct ring *r, int rc, u64 off, struct err *e)
{
	return err_sys(e, -rc, "%s: cannot be written at %llu", r->c->to->file->name, (unsigned long long)off);
}

static int write_zeros(struct ring *r, u64 off, u64 bytes, struct err *e)
{
	int rc = r->c->fresh ? 0 : image_write_zeroes(r->c->to, off, bytes, true);

	return rc < 0 ? failed(r, rc, off, e) : 0;
}

static int write_data(struct ring *r, u64 off, const u8 *buf, u64 bytes, struct err *e)
{
	int rc = image_write(r->c->to, off, buf, (size_t)bytes);

	r->c->data_bytes += bytes;
	return rc < 0 ? failed(r, rc, off, e) : 0;
}

/* Neighbours of one kind in one go. */
static int write_parts(struct ring *r, const struct slot *s, struct err *e)
{
	int rc = 0;

	for (u64 at = 0, n; rc == 0 && at < s->bytes; at += n) {
		u8 what = s->write[at / r->part];
		for (n = r->part; at + n < s->bytes && s->write[(at + n) / r->part] == what;)
			n += r->part;
		n = MIN(n, s->bytes - at);
		if (what == PART_DATA)
			rc = write_data(r, s->off + at, s->buf + at, n, e);
		else if (what == PART_ZERO)
			rc = write_zeros(r, s->off + at, n, e);
	}
	return rc;
}

/* The compressed cluster number i of s, whose data is in buf at `at`. */
static int write_packed(struct ring *r, const struct slot *s, u64 i, u64 at, struct err *e)
{
	struct image *to = r->c->to;
	u64 n = MIN(r->cluster, s->bytes - at);
	int rc;

	if (!r->workers) {
		if (n < r->cluster)
			memset(s->buf + s->bytes, 0, r->cluster - (size_t)n);
		rc = to->ops->write_compressed(to, s->off + at, s->buf + at, r->cluster);
	} else {
		rc = s->packed_bytes[i]
			 ? to->ops->write_packed(to, s->off + at, s->packed + at, (size_t)s->packed_bytes[i])
			 : -ENOTSUP;
	}
	if (rc == -ENOTSUP)
		return write_data(r, s->off + at, s->buf + at, n, e);
	r->c->data_bytes += n;
	return rc < 0 ? failed(r, rc, s->off + at, e) : 0;
}

static int write_clusters(struct ring *r, const struct slot *s, struct err *e)
{
	int rc = 0;

	for (u64 at = 0, i = 0; rc == 0 && at < s->bytes; at += r->cluster, i++) {
		u8 what = s->write[i];
		if (what == PART_DATA)
			rc = write_packed(r, s, i, at, e);
		else if (what == PART_ZERO)
			rc = write_zeros(r, s->off + at, MIN(r->cluster, s->bytes - at), e);
	}
	return rc;
}

/* The reader's thread uses the same file, but only by pread(). */
static int copy(struct ring *r, const struct slot *s, u64 at, struct err *e)
{
	u8 *buf = xcalloc(1, SLOT_BYTES);
	int rc = 0;

	for (; rc == 0 && at < s->bytes; at += SLOT_BYTES) {
		struct slot piece = { .off = s->off + at, .bytes = MIN(SLOT_BYTES, s->bytes - at), .buf = buf };
		for (size_t n = 0; n < piece.bytes;) {
			ssize_t got = pread(s->fd, buf + n, (size_t)piece.bytes - n, (off_t)(s->fd_off + at + n));
			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0) {
				rc = err_sys(e, got ? errno : EIO, "%s: cannot be read at %llu", r->c->from->file->name,
					     (unsigned long long)(s->off + at + n));
				goto out;
			}
			n += (size_t)got;
		}
		for (u64 p = 0; p < piece.bytes; p += r->part)
			piece.write[p / r->part] =
			    r->c->sparse_bytes && verb_all_zeros(buf + p, (size_t)MIN(r->part, piece.bytes - p))
				? PART_ZERO
				: PART_DATA;
		rc = write_parts(r, &piece, e);
	}
out:
	free(buf);
	return rc;
}

/* True: the target's place shares the source's blocks now. */
static bool share_at(struct ring *r, const struct slot *s, u64 at, const struct image_run *to)
{
	struct image_file *f = to->kind == IMAGE_DATA ? image_file_of(r->c->to, to->file) : NULL;
	struct file_clone_range range = {
		.src_fd = s->fd, .src_offset = s->fd_off + at, .src_length = to->bytes, .dest_offset = to->off
	};

	if (!f || f->fd < 0 || f->device || ioctl(f->fd, FICLONERANGE, &range) < 0)
		return false;
	f->bytes = MAX(f->bytes, to->off + to->bytes);
	return true;
}

static int share(struct ring *r, const struct slot *s, struct err *e)
{
	struct image *to = r->c->to;
	struct image_run run;

	for (u64 at = 0; at < s->bytes; at += run.bytes) {
		u64 off = s->off + at;
		int rc = image_prepare(to, off, s->bytes - at, &run);
		if (rc < 0)
			return failed(r, rc, off, e);
		if (!share_at(r, s, at, &run)) {
			if (!run.in_place)
				image_abandon(to, off, run.bytes);
			pthread_mutex_lock(&r->lock);
			r->no_sharing = true;
			pthread_mutex_unlock(&r->lock);
			return copy(r, s, at, e);
		}
		if (!run.in_place && (rc = image_commit(to, off, run.bytes)) < 0)
			return failed(r, rc, off, e);
		r->c->data_bytes += run.bytes;
		r->c->shared_bytes += run.bytes;
	}
	return 0;
}

static int write_piece(struct ring *r, const struct slot *s, struct err *e)
{
	switch (s->kind) {
	case SLOT_ZERO:
		return s->same ? 0 : write_zeros(r, s->off, s->bytes, e);
	case SLOT_SHARE:
		return share(r, s, e);
	default:
		return r->cluster ? write_clusters(r, s, e) : write_parts(r, s, e);
	}
}

/* The next piece; NULL: stop. */
static struct slot *take_ready(struct ring *r)
{
	struct slot *s = &r->slot[r->writes];

	pthread_mutex_lock(&r->lock);
	while (!r->stop && s->state != SLOT_READY)
		pthread_cond_wait(&r->change, &r->lock);
	bool stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	return stop ? NULL : s;
}

static void give_free(struct ring *r, struct slot *s)
{
	pthread_mutex_lock(&r->lock);
	s->state = SLOT_FREE;
	r->writes = (r->writes + 1) % SLOTS;
	if (--r->busy <= SLOTS / 2)
		pthread_cond_signal(&r->room);
	pthread_mutex_unlock(&r->lock);
}

static void write_all(struct ring *r, struct verb_sink *sink)
{
	struct slot *s;
	struct err e;

	while ((s = take_ready(r))) {
		if (s->kind == SLOT_END)
			return;
		u64 done = s->off + s->bytes;
		int rc = write_piece(r, s, &e);
		if (rc == 0) {
			give_free(r, s);
			rc = sink->progress(sink, done, r->c->from->bytes);
			if (rc < 0)
				err_sys(&e, -rc, "%s", r->c->to->file->name);
		}
		if (rc < 0)
			ring_fail(r, &e);
	}
}

/* ---- beginning and end ---- */

static int choose_parts(struct ring *r, struct err *e)
{
	struct convert *c = r->c;
	u32 cluster = c->to->cluster_bytes;

	if (c->compress) {
		if (!c->to->ops->write_compressed || !cluster || cluster > SLOT_BYTES)
			return err_set(e, ENOTSUP, "%s: %s", c->to->file->name,
				       cluster > SLOT_BYTES ? MSG("clusters of more than 1M are not compressed")
							    : MSG("images of its format are not compressed"));
		r->cluster = cluster;
		r->workers = c->to->ops->compress && c->to->ops->write_packed;
	}
	/* Whole clusters: what is written of one in parts would be filled up first. */
	r->part = c->compress ? cluster
		  : cluster   ? MIN(cluster, PART_CLUSTER_BYTES)
			      : MAX(PART_RAW_BYTES, MIN(c->sparse_bytes, SLOT_BYTES));
	return 0;
}

static unsigned threads_of(const struct convert *c)
{
	cpu_set_t set;
	unsigned n = c->threads;

	if (!n)
		n = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	return MIN(n, CONVERT_THREADS_MAX);
}

static void slots_init(struct ring *r)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		struct slot *s = &r->slot[i];
		s->buf = xcalloc(1, SLOT_BYTES);
		if (!r->workers)
			continue;
		s->packed = xcalloc(1, SLOT_BYTES);
		s->packed_bytes = xcalloc(SLOT_BYTES / r->cluster, sizeof(*s->packed_bytes));
	}
}

static void slots_fini(struct ring *r)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		free(r->slot[i].buf);
		free(r->slot[i].packed);
		free(r->slot[i].packed_bytes);
	}
}

static void run_threads(struct ring *r, struct verb_sink *sink)
{
	pthread_t thread[1 + CONVERT_THREADS_MAX];
	unsigned want = 1 + (r->workers ? threads_of(r->c) : 0), n = 0;
	struct err e;

	for (int rc = 0; rc == 0 && n < want;) {
		rc = pthread_create(&thread[n], NULL, n ? convert_worker : convert_reader, r);
		n += rc == 0;
		/* Fewer workers than wanted do as well. */
		if (rc && n < 2 && n < want) {
			err_sys(&e, rc, "cannot start a thread");
			ring_fail(r, &e);
		}
	}
	write_all(r, sink);
	/* Nobody waits for what does not come any more. */
	pthread_mutex_lock(&r->lock);
	bool failed_before = r->stop;
	r->stop = true;
	pthread_cond_broadcast(&r->change);
	pthread_cond_broadcast(&r->room);
	pthread_mutex_unlock(&r->lock);
	while (n)
		pthread_join(thread[--n], NULL);
	r->stop = failed_before;
}

/* Asked for a range that cannot be: EINVAL comes from a file system that shares, any other error from before that. So
 * no place has to be prepared only to find out. */
static bool can_share(const struct image *from, const struct image *to)
{
	struct file_clone_range range = {
		.src_fd = from->file->fd, .src_offset = 1, .src_length = 1, .dest_offset = 1
	};

	return from->file->fd >= 0 && to->file->fd >= 0 && ioctl(to->file->fd, FICLONERANGE, &range) < 0 &&
	       errno == EINVAL;
}

/* What the target has behind the source's end. */
static int clear_tail(struct ring *r, struct err *e)
{
	struct convert *c = r->c;

	return c->to->bytes > c->from->bytes ? write_zeros(r, c->from->bytes, c->to->bytes - c->from->bytes, e) : 0;
}

int convert_run(struct convert *c, struct verb_sink *sink, struct err *e)
{
	struct ring *r = xcalloc(1, sizeof(*r));
	int rc;

	r->c = c;
	c->data_bytes = c->shared_bytes = 0;
	if (c->to->bytes < c->from->bytes)
		rc = err_set(e, ENOSPC, "%s: a disk of %llu bytes does not hold the %llu of %s", c->to->file->name,
			     (unsigned long long)c->to->bytes, (unsigned long long)c->from->bytes, c->from->file->name);
	else
		rc = choose_parts(r, e);
	if (rc == 0) {
		pthread_mutex_init(&r->lock, NULL);
		pthread_cond_init(&r->change, NULL);
		pthread_cond_init(&r->room, NULL);
		r->no_sharing = !can_share(c->from, c->to);
		slots_init(r);
		run_threads(r, sink);
		slots_fini(r);
		pthread_cond_destroy(&r->change);
		pthread_cond_destroy(&r->room);
		pthread_mutex_destroy(&r->lock);
		if (r->stop) {
			rc = -r->error.code;
			if (e)
				*e = r->error;
		} else {
			rc = clear_tail(r, e);
		}
	}
	free(r);
	return rc;
}
