/* SPDX-License-Identifier: GPL-2.0-or-later */
/* serve.c - see serve.h. The process's side: it opens the image, then answers. */
#include "image/serve.h"
#include "base/log.h"
#include "image/image_main.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define OPTIONS_MAX 16u
#define BUSY_SECONDS 120 /* of computing for what was asked in one go */

struct serve {
	int link;
	struct serve_memory *mem;
	struct image *image;
};

/* ---- opening ---- */

static int map_memory(struct serve *s, int fd, struct err *e)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(*s->mem))
		return err_set(e, EPROTO, "mica-image: there is no memory to serve through");
	s->mem = mmap(NULL, sizeof(*s->mem), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return s->mem == MAP_FAILED ? err_sys(e, errno, "mica-image: memory to serve through") : 0;
}

static unsigned read_options(const struct image_msg *m, size_t at, const char *options[OPTIONS_MAX + 1])
{
	const char *o;
	unsigned n = 0;

	while (n < OPTIONS_MAX && (o = image_msg_string(m, at))) {
		options[n++] = o;
		at += strlen(o) + 1;
	}
	options[n] = NULL;
	return n;
}

/* m is lost with the first question; what is needed of it is copied first. */
static int open_image(struct serve *s, struct image_msg *m, struct err *e)
{
	static struct image_msg questions;
	const char *options[OPTIONS_MAX + 1];
	struct image_link_opener opener;
	struct serve_open so;
	const char *path = image_msg_string(m, sizeof(so));
	const struct image_format *f = NULL;

	if (!path)
		return err_set(e, EPROTO, "mica-image: it was not told what to serve");
	memcpy(&so, m->body, sizeof(so));
	so.format[sizeof(so.format) - 1] = '\0';
	if (so.version != SERVE_VERSION)
		return err_set(e, EPROTO, "mica-image is of another version than mica; install both of the same");
	if (*so.format && !(f = image_format_find(so.format)))
		return err_set(e, ENOTSUP,
			       "%s: format %s cannot be used yet; convert it: qemu-img convert -O raw '%s' NEW", path,
			       so.format, path);
	int memory = image_msg_take_fd(m, 0), rc = map_memory(s, memory, e);
	if (memory >= 0)
		close(memory);
	if (rc < 0)
		return rc;
	read_options(m, sizeof(so) + strlen(path) + 1, options);
	image_msg_init(&questions);
	image_link_opener_init(&opener, s->link, &questions);
	struct image_open o = { .readonly = so.readonly, .opener = &opener.o, .options = options };
	int fd = image_msg_take_fd(m, 1);
	if (fd < 0)
		return err_set(e, EPROTO, "mica-image: it was not given the image");
	rc = image_file_open(&o.file, fd, 0, path, so.readonly, e);
	if (rc == 0 && (rc = image_open(&s->image, f, false, &o, e)) < 0)
		image_file_close(o.file);
	return rc;
}

static int tell_opened(const struct serve *s)
{
	const struct image *m = s->image;
	struct serve_opened so = { .version = SERVE_VERSION,
				   .cluster_bytes = m->cluster_bytes,
				   .bytes = m->bytes,
				   .readonly = m->readonly,
				   .can_discard = m->can_discard };

	snprintf(so.format, sizeof(so.format), "%s", m->format->name);
	return image_link_send(s->link, IMAGE_MSG_OPENED, 0, &so, sizeof(so), NULL, 0);
}

/* ---- answering ---- */

/* The VM writes behind the end of files without our knowledge. */
static void learn_size(struct image_file *f)
{
	off_t end = f->fd >= 0 && !f->readonly && !f->device ? lseek(f->fd, 0, SEEK_END) : -1;

	if (end > 0)
		f->bytes = MAX(f->bytes, (u64)end);
}

static void learn_sizes(struct image *m)
{
	if (m->readonly)
		return;
	learn_size(m->file);
	for (unsigned i = 0; i < m->nmore; i++)
		learn_size(m->more[i]);
}

static void put_run(struct serve_answer *a, const struct image_run *r)
{
	a->kind = r->kind;
	a->file = r->file;
	a->in_place = r->in_place;
	a->depth = r->depth;
	a->bytes = r->bytes;
	a->off = r->off;
}

static int map(struct image *m, const struct serve_ask *q, struct serve_answer *a)
{
	struct image_run run = { 0 };
	int rc = image_map(m, q->off, q->bytes, &run);

	put_run(a, &run);
	return rc;
}

static int prepare(struct image *m, const struct serve_ask *q, struct serve_answer *a)
{
	struct image_run run = { 0 };
	int rc = image_prepare(m, q->off, q->bytes, &run);

	put_run(a, &run);
	return rc;
}

static int commit(struct image *m, const struct serve_ask *q, struct serve_answer *a)
{
	int rc = image_commit(m, q->off, q->bytes);

	return rc < 0 ? rc : map(m, q, a);
}

/* Without the file's format being able to tell, a COOKED write is what prepare() said. */
static int write_cooked(struct image *m, const struct serve_ask *q, const u8 *data)
{
	return m->readonly ? -EPERM : m->ops->write ? m->ops->write(m, q->off, data, (size_t)q->bytes) : -EIO;
}

static u64 most(u32 op)
{
	switch (op) {
	case SERVE_READ:
	case SERVE_WRITE:
		return SERVE_DATA_BYTES;
	case SERVE_MAP:
		return SERVE_MAP_BYTES;
	case SERVE_ZERO:
	case SERVE_DISCARD:
		return SERVE_ZERO_BYTES;
	default:
		return SERVE_PREPARE_BYTES;
	}
}

static int answer(struct image *m, const struct serve_ask *q, struct serve_answer *a, u8 *data)
{
	if (q->op == SERVE_FLUSH)
		return image_flush(m);
	if ((q->off | q->bytes) % 512 || !q->bytes || q->bytes > most(q->op) || q->off > m->bytes ||
	    q->bytes > m->bytes - q->off)
		return -EINVAL;
	switch (q->op) {
	case SERVE_MAP:
		return map(m, q, a);
	case SERVE_PREPARE:
		return prepare(m, q, a);
	case SERVE_COMMIT:
		return commit(m, q, a);
	case SERVE_ABANDON:
		image_abandon(m, q->off, q->bytes);
		return 0;
	case SERVE_READ:
		return image_read(m, q->off, data, (size_t)q->bytes);
	case SERVE_WRITE:
		return write_cooked(m, q, data);
	case SERVE_ZERO:
		return image_write_zeroes(m, q->off, q->bytes, q->unmap);
	case SERVE_DISCARD:
		return image_discard(m, q->off, q->bytes);
	default:
		return -EINVAL;
	}
}

static void serve_slot(struct serve *s, unsigned i)
{
	struct serve_slot *slot = &s->mem->slot[i];
	const struct serve_ask q = slot->ask;
	struct serve_answer a = { 0 };

	learn_sizes(s->image);
	a.res = answer(s->image, &q, &a, s->mem->data[i]);
	slot->answer = a;
	if (!atomic_fetch_or(&s->mem->done, 1ull << i))
		send(s->link, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: it has not read those before */
}

/* An image that has us compute for ever costs its disk, and no processor for longer than this. */
static void be_busy(bool on)
{
	const struct itimerval t = { .it_value.tv_sec = on ? BUSY_SECONDS : 0 };

	setitimer(ITIMER_PROF, &t, NULL);
}

/* Returns false when the socket has closed. */
static bool sleep_well(struct serve *s)
{
	u8 wakes[64];

	atomic_store(&s->mem->asleep, 1);
	if (atomic_load(&s->mem->asked)) {
		atomic_store(&s->mem->asleep, 0);
		return true;
	}
	ssize_t n = recv(s->link, wakes, sizeof(wakes), 0);
	return n > 0 || (n < 0 && errno == EINTR);
}

int serve_disk(int link, struct image_msg *m)
{
	struct serve s = { .link = link };
	struct err e;
	int rc = open_image(&s, m, &e);

	image_msg_fini(m);
	if (rc == 0)
		rc = image_main_tighten(&e);
	if (rc < 0) {
		image_link_send_err(link, &e);
		return 1;
	}
	if (tell_opened(&s) < 0)
		return 1;
	do {
		u64 asked = atomic_exchange(&s.mem->asked, 0);
		if (asked)
			be_busy(true);
		for (; asked; asked &= asked - 1)
			serve_slot(&s, (unsigned)__builtin_ctzll(asked));
		if (!atomic_load(&s.mem->asked))
			be_busy(false);
	} while (sleep_well(&s));
	return image_close(s.image) < 0;
}
