/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verb_serve.c - see verb_serve.h. */
#include "image/verb_serve.h"
#include "base/err_wire.h"
#include "image/verb_job.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <time.h>

#define PROGRESS_NS 100000000ull
#define PARAMS_MAX 256u

struct served {
	struct verb_sink sink;
	int fd;
	u64 said_ns;
	int broken; /* the link: -errno */
};

static void send_record(struct verb_sink *s, const struct record *r)
{
	struct served *v = container_of(s, struct served, sink);
	u8 buf[RECORD_WIRE_BYTES];

	if (!v->broken)
		v->broken = image_link_send(v->fd, IMAGE_MSG_RESULT, 0, buf, record_pack(r, buf), NULL, 0);
}

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

/* Whatever the command says while a verb runs means STOP, and so does its end. */
static int say_progress(struct verb_sink *s, u64 done, u64 total)
{
	struct served *v = container_of(s, struct served, sink);
	struct pollfd p = { .fd = v->fd, .events = POLLIN };
	u64 now = now_ns(), both[2] = { done, total };

	if (v->broken)
		return -ECANCELED;
	if (now - v->said_ns < PROGRESS_NS)
		return 0;
	v->said_ns = now;
	v->broken = image_link_send(v->fd, IMAGE_MSG_PROGRESS, 0, both, sizeof(both), NULL, 0);
	return v->broken || poll(&p, 1, 0) > 0 ? -ECANCELED : 0;
}

/* The strings of the request, as pointers into `text`. NULL ends. Returns their number, or -EPROTO. */
static int split(char *text, size_t bytes, const char *out[PARAMS_MAX + 1])
{
	unsigned n = 0;

	for (size_t at = 0; at < bytes; at += strlen(text + at) + 1) {
		if (n == PARAMS_MAX)
			return -EPROTO;
		out[n++] = text + at;
	}
	out[n] = NULL;
	return (int)n;
}

static int open_files(struct verb_request *q, struct image_msg *m, const char *const *paths, struct err *e)
{
	int rc = 0;

	for (; rc == 0 && q->nfiles < m->nfds; q->nfiles++) {
		int fd = image_msg_take_fd(m, q->nfiles), flags = fcntl(fd, F_GETFL);
		rc = image_file_open(&q->files[q->nfiles], fd, q->nfiles, paths[q->nfiles],
				     flags < 0 || (flags & O_ACCMODE) == O_RDONLY, e);
	}
	return rc;
}

static int run(struct served *v, struct image_msg *m, unsigned *which, struct err *e)
{
	const char *words[PARAMS_MAX + 1];
	struct verb_request q = { 0 };
	struct image_link_opener opener;

	/* The message serves for others while the verb runs. */
	auto_free char *text = xcalloc(1, m->bytes + 1);
	memcpy(text, m->body, m->bytes);
	int n = split(text, m->bytes, words);
	if (n < 0 || m->nfds > VERB_FILES_MAX || (unsigned)n < 1 + m->nfds)
		return err_set(e, EPROTO, "mica-image: its starter sends nonsense");
	q.verb = words[0];
	q.params = words + 1 + m->nfds;
	int rc = open_files(&q, m, words + 1, e);
	if (rc < 0) {
		for (unsigned i = 0; i < q.nfiles; i++)
			image_file_close(q.files[i]);
		return rc;
	}
	image_link_opener_init(&opener, v->fd, m);
	return verb_job_run(&q, &opener.o, which, &v->sink, e);
}

int verb_serve(int fd, struct image_msg *m)
{
	struct served v = { .sink = { .record = send_record, .progress = say_progress }, .fd = fd };
	u8 buf[ERR_WIRE_BYTES];
	unsigned which = 0;
	struct err e;

	mallopt(M_ARENA_MAX, 1); /* threads hardly allocate, and each other arena takes address space */
	int rc = run(&v, m, &which, &e);

	if (v.broken)
		return 1;
	if (rc < 0)
		return image_link_send(fd, IMAGE_MSG_ERROR, which, buf, err_pack(&e, buf), NULL, 0) < 0;
	return image_link_send(fd, IMAGE_MSG_OPENED, (u32)rc, NULL, 0, NULL, 0) < 0;
}
