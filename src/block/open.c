/* SPDX-License-Identifier: GPL-2.0-or-later */
/* open.c - making a disk: its queue, its host I/O and its stack; and closing it. See block.h, format.h. */
#include "base/log.h"
#include "block/blk.h"
#include "block/format.h"
#include "block/hostio.h"
#include "image/image_policy.h"
#include "netdisk/netdisk.h"

#include <fcntl.h>
#include <sys/stat.h>

bool blk_is_url(const char *path)
{
	return netdisk_is_url(path);
}

static const char *name_of(const struct blk_params *p)
{
	return p->path ? p->path : p->fd > 0 ? "(given descriptor)" : "(no medium)";
}

/* What the image says it is, where nobody said. What cannot be looked at is for the format to complain of. */
static const struct blk_format *look(const struct blk_params *p)
{
	u8 head[BLK_PROBE_BYTES], tail[BLK_PROBE_BYTES];
	struct stat st;
	auto_close int opened = -1;
	int fd = p->fd;

	if (fd <= 0) {
		/* Look before opening: to open a FIFO may wait for ever. */
		if (stat(p->path, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
			return NULL;
		fd = opened = open(p->path, O_RDONLY | O_CLOEXEC);
	}
	ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
	if (n <= 0)
		return NULL;
	off_t end = lseek(fd, 0, SEEK_END);
	bool ends = end >= (off_t)sizeof(tail) &&
		    pread(fd, tail, sizeof(tail), end - (off_t)sizeof(tail)) == (ssize_t)sizeof(tail);
	return blk_format_probe(name_of(p), head, (size_t)n, ends ? tail : NULL);
}

/*
 * The format. Nobody needs to say anything: an image that bears a format's sign is of that format, and one that bears
 * none is raw. But a guest may write any sign to the beginning of its raw disk, and has that opened as an image when it
 * starts anew. So *sure says whether a person or the file's name vouches for it, and an image of which nobody is sure
 * gets no other file (image_policy.h).
 */
static int choose(const struct blk_format **out, bool *sure, const struct blk_params *p, struct err *e)
{
	const struct blk_format *f;
	char known[128];

	*sure = true;
	if (netdisk_is_url(p->path) && p->fd <= 0) {
		if (p->format && strcmp(p->format, "raw") && strcmp(p->format, blk_format_netdisk.name))
			return err_set(e, ENOTSUP,
				       "disk '%s': over the network only raw images are used, not format=%s",
				       name_of(p), p->format);
		*out = &blk_format_netdisk;
		return 0;
	}
	if (p->format) {
		blk_format_names(known, sizeof(known), false);
		f = blk_format_find(p->format);
		if (!f || f->layer)
			return err_set(e, EINVAL, "disk image '%s': format '%s' is not known; known: %s", name_of(p),
				       p->format, known);
	} else {
		f = look(p);
		*sure = !f || image_name_fits(name_of(p), f->extensions);
		f = f ? f : &blk_format_raw;
	}
	if (p->alone && f->open == image_node_open)
		return err_set(
		    e, ENOTSUP,
		    "disk image '%s' is %s, which is not parsed while a VM runs; convert it (qemu-img convert -O "
		    "raw '%s' NEW), or start the VM with it",
		    name_of(p), f->title, name_of(p));
	*out = f;
	return 0;
}

bool blk_is_parsed(const struct blk_params *p)
{
	const struct blk_format *f;
	bool sure;

	return (p->path || p->fd > 0) && choose(&f, &sure, p, NULL) == 0 && f->open == image_node_open;
}

/* A layer over `below`, which it takes over on success. */
static int open_layer(struct blk_node **out, struct blk *b, struct blk_node *below, const struct blk_format *f,
		      bool sure, const struct blk_params *p, struct err *e)
{
	const struct blk_open o = { .format = f, .sure = sure, .p = p, .q = &b->q, .io = b->io, .below = below };

	if (below && node_depth(below) >= BLK_LAYERS_MAX)
		return err_set(e, ENOSPC, "disk '%s' has %u layers already; merge some of them", b->name,
			       BLK_LAYERS_MAX);
	int rc = blk_options_check(f, p, e);
	return rc < 0 ? rc : f->open(out, &o, e);
}

static int open_stack(struct blk *b, const struct blk_format *f, bool sure, const struct blk_params *p, struct err *e)
{
	const struct blk_params none = { .path = p->path };
	struct blk_node *base;
	int rc = hostio_new(&b->io, &b->q, p->engine, e);

	if (rc == 0)
		rc = open_layer(&base, b, NULL, f, sure, p, e);
	if (rc < 0)
		return rc;
	b->top = base;
	return p->snapshot && !p->readonly ? open_layer(&b->top, b, base, &blk_format_overlay, true, &none, e) : 0;
}

/* What there is of it. */
static void destroy(struct blk *b)
{
	node_close(b->top);
	hostio_free(b->io); /* its threads may still push when the disk is idle */
	blk_pause_fini(b);
	blk_queue_fini(&b->q);
	free(b->name);
	free(b);
}

static int open_blk(struct blk **out, struct loop *loop, const struct blk_format *f, bool sure,
		    const struct blk_params *p, struct err *e)
{
	struct blk *b = xcalloc(1, sizeof(*b));
	int rc = blk_queue_init(&b->q, loop, e);

	if (rc < 0) {
		free(b);
		return rc;
	}
	b->name = xstrdup(name_of(p));
	blk_pause_init(b);
	rc = open_stack(b, f, sure, p, e);
	if (rc < 0) {
		destroy(b);
		return rc;
	}
	b->format = f->name;
	b->bytes = b->top->bytes;
	b->readonly = p->readonly;
	b->can_discard = b->top->can_discard && !b->readonly;
	b->snapshot = node_is_temporary(b->top);
	log_info("disk '%s': %s, %llu MiB, %s%s%s", b->name, b->format, (unsigned long long)(b->bytes / MIB),
		 blk_engine_name(b), b->readonly ? ", read-only" : "", b->snapshot ? ", snapshot" : "");
	*out = b;
	return 0;
}

int blk_open_format(struct blk **out, struct loop *loop, const struct blk_format *f, const struct blk_params *p,
		    struct err *e)
{
	return open_blk(out, loop, f, true, p, e);
}

int blk_open(struct blk **out, struct loop *loop, const struct blk_params *p, struct err *e)
{
	const struct blk_format *f;

	if (!p->path && p->fd <= 0 && p->removable)
		return blk_open_format(out, loop, &blk_format_empty, p, e);
	if (!p->path && p->fd <= 0)
		return err_set(e, EINVAL, "a disk needs an image: name a file or a block device");
	bool sure;
	int rc = choose(&f, &sure, p, e);
	return rc < 0 ? rc : open_blk(out, loop, f, sure, p, e);
}

int blk_push_layer(struct blk *b, const struct blk_params *p, struct err *e)
{
	const struct blk_format *f = p->format ? blk_format_find(p->format) : &blk_format_overlay;
	struct blk_node *top;
	char known[128];

	must(blk_is_drained(b));
	if (!f || !f->layer) {
		blk_format_names(known, sizeof(known), true);
		return err_set(e, EINVAL, "disk '%s': '%s' is no layer; known: %s", b->name, p->format, known);
	}
	int rc = open_layer(&top, b, b->top, f, true, p, e);
	if (rc == 0)
		blk_swap_top(b, top);
	return rc;
}

/* ---- another medium ---- */

/* Nothing is in flight. */
static void swap(void *opaque)
{
	struct blk *b = opaque;
	struct blk_node *old = b->top;

	int rc = node_sync(old);
	if (rc < 0)
		log_error("disk '%s': the last flush failed (%s): recent writes may be lost", b->name, strerror(-rc));
	node_close(old);
	free(b->name);
	b->name = steal(&b->next_name);
	b->top = steal(&b->next);
	b->format = b->next_format;
	b->bytes = b->top->bytes;
	b->can_discard = b->top->can_discard && !b->readonly;
	b->snapshot = false;
	blk_resume(b, &b->changing);
	b->changed(b->changed_opaque);
}

int blk_change(struct blk *b, const struct blk_params *p, void (*done)(void *opaque), void *opaque, struct err *e)
{
	const struct blk_format *f = &blk_format_empty;
	struct blk_params mine = *p;
	bool sure = true;
	int rc = 0;

	if (b->next)
		return err_set(e, EBUSY, "disk '%s': its medium is being changed already", b->name);
	mine.readonly = b->readonly;
	mine.snapshot = false;
	if (p->path || p->fd > 0)
		rc = choose(&f, &sure, &mine, e);
	if (rc == 0)
		rc = open_layer(&b->next, b, NULL, f, sure, &mine, e);
	if (rc < 0)
		return rc;
	b->next_name = xstrdup(name_of(p));
	b->next_format = f->name;
	b->changed = done;
	b->changed_opaque = opaque;
	b->changing = (struct blk_pause){ .drained = swap, .opaque = b };
	blk_pause(b, &b->changing);
	return 0;
}

static void change_never(struct blk *b)
{
	if (!b->next)
		return;
	blk_resume(b, &b->changing);
	node_close(b->next);
	free(b->next_name);
}

void blk_close(struct blk *b)
{
	if (!b)
		return;
	change_never(b);
	blk_drain(b);
	int rc = node_sync(b->top);
	if (rc < 0)
		log_error("disk '%s': the last flush failed (%s): recent writes may be lost", b->name, strerror(-rc));
	destroy(b);
}
