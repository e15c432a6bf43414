/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verbs_compare.c - compare two images (verbs.h). Where both maps say zeros nothing is read; elsewhere the second image
 * is read by a thread of its own while the first one is read here.
 */
#include "image/verbs.h"

#include <pthread.h>
#include <semaphore.h>

#define CHUNK_BYTES (1u << 20)

struct compare {
	struct image **m;
	bool strict;
	struct verb_sink *sink;
	struct err *e;
	unsigned *which;
	u8 *buf[2];
	/* What the second thread reads: set before `go`, its result is there after `done`. */
	sem_t go, done;
	u64 off;
	size_t bytes; /* 0: end */
	int rc;
};

bool verb_all_zeros(const void *buf, size_t n)
{
	const u8 *p = buf;
	u64 any = 0;

	for (; n >= 256; n -= 256, p += 256) {
		u64 word[32];
		memcpy(word, p, sizeof(word));
		for (unsigned i = 0; i < 32; i++)
			any |= word[i];
		if (any)
			return false;
	}
	for (; n; n--, p++)
		any |= *p;
	return !any;
}

static void *second(void *arg)
{
	struct compare *c = arg;

	for (;;) {
		while (sem_wait(&c->go) < 0)
			;
		if (!c->bytes)
			return NULL;
		c->rc = image_read(c->m[1], c->off, c->buf[1], c->bytes);
		sem_post(&c->done);
	}
}

static int failed(struct compare *c, unsigned which, int rc, u64 off)
{
	*c->which = which;
	return err_sys(c->e, -rc, "%s: cannot be read at %llu", c->m[which]->file->name, (unsigned long long)off);
}

static int difference(struct compare *c, u64 off, u64 what)
{
	c->sink->record(c->sink, &(struct record){ .kind = RECORD_DIFFERENCE,
						   .n = { [DIFFERENCE_N_OFFSET] = off, [DIFFERENCE_N_WHAT] = what } });
	return 1;
}

static u64 first_difference(const u8 *a, const u8 *b, size_t n)
{
	size_t i = 0;

	while (i < n && a[i] == b[i])
		i++;
	return i;
}

static int both(struct compare *c, u64 off, size_t n)
{
	c->off = off;
	c->bytes = n;
	sem_post(&c->go);
	int rc = image_read(c->m[0], off, c->buf[0], n);
	while (sem_wait(&c->done) < 0)
		;
	if (rc < 0 || c->rc < 0)
		return failed(c, rc < 0 ? 0 : 1, rc < 0 ? rc : c->rc, off);
	if (!memcmp(c->buf[0], c->buf[1], n))
		return 0;
	return difference(c, off + first_difference(c->buf[0], c->buf[1], n), DIFFERENCE_CONTENT);
}

/* One of them is zeros there by its map. */
static int against_zeros(struct compare *c, unsigned i, u64 off, size_t n, u64 what)
{
	int rc = image_read(c->m[i], off, c->buf[0], n);

	if (rc < 0)
		return failed(c, i, rc, off);
	if (verb_all_zeros(c->buf[0], n))
		return 0;
	memset(c->buf[1], 0, n);
	return difference(c, off + first_difference(c->buf[0], c->buf[1], n), what);
}

static int step(struct compare *c, u64 off, u64 *bytes)
{
	struct image_run run[2];

	for (unsigned i = 0; i < 2; i++) {
		int rc = image_map(c->m[i], off, *bytes, &run[i]);
		if (rc < 0)
			return failed(c, i, rc, off);
		*bytes = run[i].bytes;
	}
	if (c->strict && (run[0].kind == IMAGE_ZERO) != (run[1].kind == IMAGE_ZERO))
		return difference(c, off, DIFFERENCE_ALLOCATION);
	if (run[0].kind == IMAGE_ZERO && run[1].kind == IMAGE_ZERO)
		return 0;
	*bytes = MIN(*bytes, CHUNK_BYTES);
	if (run[0].kind == IMAGE_ZERO || run[1].kind == IMAGE_ZERO)
		return against_zeros(c, run[0].kind == IMAGE_ZERO, off, (size_t)*bytes, DIFFERENCE_CONTENT);
	return both(c, off, (size_t)*bytes);
}

/* What one has more than the other, which is all zeros if they are alike. */
static int tail(struct compare *c, u64 from)
{
	unsigned i = c->m[1]->bytes > c->m[0]->bytes;
	struct image_run run;
	int rc = 0;

	for (u64 off = from; rc == 0 && off < c->m[i]->bytes; off += run.bytes) {
		rc = image_map(c->m[i], off, c->m[i]->bytes - off, &run);
		if (rc < 0)
			return failed(c, i, rc, off);
		if (run.kind == IMAGE_ZERO)
			continue;
		run.bytes = MIN(run.bytes, CHUNK_BYTES);
		rc = against_zeros(c, i, off, (size_t)run.bytes, DIFFERENCE_TAIL);
	}
	return rc;
}

static int compare(struct compare *c)
{
	u64 total = MIN(c->m[0]->bytes, c->m[1]->bytes), n;
	int rc = 0;

	if (c->m[0]->bytes != c->m[1]->bytes) {
		c->sink->record(
		    c->sink,
		    &(struct record){ .kind = RECORD_SIZES,
				      .n = { [SIZES_N_FIRST] = c->m[0]->bytes, [SIZES_N_SECOND] = c->m[1]->bytes } });
		if (c->strict)
			return 1;
	}
	for (u64 off = 0; rc == 0 && off < total; off += n) {
		n = total - off;
		rc = step(c, off, &n);
		if (rc == 0 && (rc = c->sink->progress(c->sink, off + n, total)) < 0)
			return err_sys(c->e, -rc, "%s", c->m[0]->file->name);
	}
	return rc ? rc : tail(c, total);
}

int verb_compare(struct image *m[2], bool strict, unsigned *which, struct verb_sink *sink, struct err *e)
{
	struct compare c = { .m = m, .strict = strict, .which = which, .sink = sink, .e = e };
	pthread_t thread;

	c.buf[0] = xcalloc(2, CHUNK_BYTES);
	c.buf[1] = c.buf[0] + CHUNK_BYTES;
	sem_init(&c.go, 0, 0);
	sem_init(&c.done, 0, 0);
	int rc = pthread_create(&thread, NULL, second, &c);
	if (rc) {
		rc = err_sys(e, rc, "cannot start a thread");
	} else {
		rc = compare(&c);
		c.bytes = 0;
		sem_post(&c.go);
		pthread_join(thread, NULL);
	}
	sem_destroy(&c.go);
	sem_destroy(&c.done);
	free(c.buf[0]);
	return rc;
}
