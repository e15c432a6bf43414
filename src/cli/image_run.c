/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_run.c - a verb of mica image in its process: what it may open, what it finds, how far it is (image.h). */
#include "base/err_wire.h"
#include "base/helper.h"
#include "block/image_lock.h"
#include "cli/image.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/signalfd.h>

#define STOP_TIMEOUT_MS 30000 /* to write what is half done to its end */

void image_param(struct image_request *q, const char *fmt, ...)
{
	va_list ap;

	must(q->nwords < ARRAY_LEN(q->words));
	va_start(ap, fmt);
	if (vasprintf(&q->words[q->nwords++], fmt, ap) < 0)
		must_fail(__FILE__, __LINE__, "memory");
	va_end(ap);
}

void image_request_fini(struct image_request *q)
{
	while (q->nwords)
		free(q->words[--q->nwords]);
}

struct running {
	struct image_request *q;
	int link, signals;
	struct image_msg *m;
	struct image_link_files files;
	struct image_progress progress;
	bool stopped;
};

static int lock_shared(int fd, bool write, const char *path, struct err *e)
{
	return write ? image_lock(fd, write, path, e) : 0;
}

/* ---- what it asks for ---- */

static int answer(struct running *r)
{
	struct image_policy p = r->q->policy;
	const char *of = image_msg_string(r->m, sizeof(struct image_ask));
	const char *name = of ? image_msg_string(r->m, sizeof(struct image_ask) + strlen(of) + 1) : NULL;

	/* What is on the command line is the user's own word. */
	if (name && r->q->base && !strcmp(name, r->q->base) && !strcmp(of, r->q->files[r->q->nfiles - 1]->path)) {
		p.any = true;
		p.unsure = false;
	}
	return image_policy_answer(&p, r->link, r->m, &r->files, r->q->share ? lock_shared : image_lock);
}

/* ---- the conversation ---- */

static int send_request(struct running *r)
{
	struct image_request *q = r->q;
	int fds[2], rc;
	char *body = NULL;
	size_t bytes;

	FILE *f = open_memstream(&body, &bytes);
	must(f);
	fprintf(f, "%s%c", q->verb, 0);
	for (unsigned i = 0; i < q->nfiles; i++) {
		fprintf(f, "%s%c", q->files[i]->path, 0);
		fds[i] = q->files[i]->theirs;
	}
	for (unsigned i = 0; i < q->nwords; i++)
		fprintf(f, "%s%c", q->words[i], 0);
	fflush(f);
	rc =
	    bytes > IMAGE_MSG_BYTES ? -E2BIG : image_link_send(r->link, IMAGE_MSG_VERB, 0, body, bytes, fds, q->nfiles);
	free(body);
	return rc;
}

static int take(struct running *r, struct err *e, bool *end)
{
	struct image_msg *m = r->m;
	struct record rec;
	u64 both[2];

	switch (m->kind) {
	case IMAGE_MSG_ASK:
		return answer(r);
	case IMAGE_MSG_PROGRESS:
		if (m->bytes < sizeof(both))
			return -EPROTO;
		memcpy(both, m->body, sizeof(both));
		image_progress_say(&r->progress, both[0], both[1]);
		return 0;
	case IMAGE_MSG_RESULT:
		if (record_unpack(&rec, m->body, m->bytes) < 0)
			return -EPROTO;
		image_progress_end(&r->progress);
		return r->q->record ? r->q->record(r->q->opaque, &rec) : 0;
	case IMAGE_MSG_OPENED:
		*end = true;
		return m->arg != 0;
	case IMAGE_MSG_ERROR:
		*end = true;
		r->q->which = m->arg;
		return err_unpack(e, m->body, m->bytes);
	default:
		return -EPROTO;
	}
}

/* A message is there; false: it is not, and *rc says why. */
static bool await(struct running *r, int *rc)
{
	struct pollfd p[2] = { { .fd = r->link, .events = POLLIN }, { .fd = r->signals, .events = POLLIN } };
	struct signalfd_siginfo s;

	for (;;) {
		int n = poll(p, 2, r->stopped ? STOP_TIMEOUT_MS : -1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*rc = -EINTR; /* it does not come to an end: its socket's is its own */
			return false;
		}
		if (p[1].revents && read(r->signals, &s, sizeof(s)) == sizeof(s)) {
			if (r->stopped) {
				*rc = -EINTR;
				return false;
			}
			r->stopped = true;
			image_link_send(r->link, IMAGE_MSG_STOP, 0, NULL, 0, NULL, 0);
		}
		if (p[0].revents)
			return true;
	}
}

static int talk(struct running *r, struct err *e)
{
	bool end = false;
	int rc = send_request(r);

	while (rc == 0 && !end) {
		if (!await(r, &rc))
			break;
		rc = image_link_recv(r->link, r->m);
		if (rc == 0)
			rc = take(r, e, &end);
	}
	image_progress_end(&r->progress);
	if (r->stopped && rc < 0)
		return err_set(e, EINTR, "given up");
	if (rc < 0 && !end)
		err_sys(e, -rc, "mica-image, the process that reads images, ended");
	return rc;
}

int image_run(struct image_request *q, struct err *e)
{
	char *argv[] = { "mica-image", NULL };
	struct running r = { .q = q, .m = xcalloc(1, sizeof(*r.m)) };
	sigset_t mask, old;
	int rc = 0;

	image_msg_init(r.m);
	image_progress_begin(&r.progress, q);
	for (unsigned i = 0; rc >= 0 && i < q->nfiles; i++)
		rc = image_link_files_add(&r.files, q->files[i]->path, -1, false, e);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &old);
	r.signals = signalfd(-1, &mask, SFD_CLOEXEC);
	r.link = rc < 0 ? rc : helper_start(argv, NULL, 0, e);
	rc = r.link < 0 ? r.link : talk(&r, e);
	if (r.link >= 0)
		close(r.link);
	if (r.signals >= 0)
		close(r.signals);
	sigprocmask(SIG_SETMASK, &old, NULL);
	image_link_files_free(&r.files);
	image_msg_fini(r.m);
	free(r.m);
	return rc;
}
