/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_node.c - the disk in an image of a format: a process of its own knows where what is (image_ask.h), and data
 * that lies in a file as it is is read and written here, as raw.c does it.
 *
 * Theory: a request goes on from place to place (r->pos): what is known of the map says what is there, or else MAP
 * asks. Reads and writes in place need nothing more. A write to what has no place yet holds its clusters alone
 * (image_hold.h), asks for a place (PREPARE), writes the data there and has it made part of the disk (COMMIT). All
 * steps of one request come one after the other; many requests are on their way at a time.
 *
 *   read   hold shared ── [MAP] ── file or READ ── ... ── end
 *   write  hold shared ── [MAP] ── file, in place ── ...
 *          hold alone ── PREPARE ── file ── COMMIT, or WRITE ── ...
 *   zero, discard   hold alone ── ZERO ... ── forget the map
 *   flush  fdatasync of each file that was written here ── FLUSH, if the process has anything to flush
 *
 * INV-IN-1: what is written is stamped before the request's done() is called, and a flush reads the stamp before it
 * begins: it covers all that ended before it.
 * INV-IN-2: the cache is right for clusters that somebody holds. An answer of MAP may be about more, and be old by the
 * time it comes: if anything became void since it was asked for, only the clusters that are held count.
 *
 * The end of a request that was passed on to nobody is pushed (node_done_later): submit() has not returned.
 */
#include "block/image_node_int.h"
#include "block/open_file.h"

static void resume(struct blk_done *d, int res);

/* ---- holding clusters ---- */

bool image_node_hold(struct image_node *w, struct blk_req *r, enum image_hold_kind kind, u64 bytes)
{
	u64 off = node_frame(r)->off + r->pos;

	r->end.fn = resume;
	pthread_mutex_lock(&w->lock);
	bool mine = image_hold_get(&w->holds, &r->hold, kind, off / w->unit * w->unit, ROUND_UP(off + bytes, w->unit));
	pthread_mutex_unlock(&w->lock);
	return mine;
}

static void push_all(struct image_node *w, struct blk_hold *h, int res)
{
	for (struct blk_hold *next; h; h = next) {
		next = h->granted;
		blk_queue_push(w->n.q, &container_of(h, struct blk_req, hold)->end, res);
	}
}

void image_node_let_go(struct image_node *w, struct blk_req *r)
{
	if (r->hold.kind == HOLD_NONE)
		return;
	pthread_mutex_lock(&w->lock);
	struct blk_hold *others = image_hold_put(&w->holds, &r->hold);
	pthread_mutex_unlock(&w->lock);
	push_all(w, others, 0);
}

/* ---- ends ---- */

void image_node_finish(struct image_node *w, struct blk_req *r, int res)
{
	image_node_let_go(w, r);
	node_return(r, res);
}

static void finish_fn(struct blk_done *d, int res)
{
	struct blk_req *r = container_of(d, struct blk_req, end);

	image_node_finish(image_node_of(r), r, res);
}

void image_node_finish_later(struct image_node *w, struct blk_req *r, int res)
{
	r->end.fn = finish_fn;
	blk_queue_push(w->n.q, &r->end, res);
}

/* The clusters that it waited for are held, or it is cancelled. */
static void resume(struct blk_done *d, int res)
{
	struct blk_req *r = container_of(d, struct blk_req, end);

	if (res < 0)
		image_node_finish(image_node_of(r), r, res);
	else
		image_node_step(image_node_of(r), r);
}

void image_node_go_on(struct image_node *w, struct blk_req *r)
{
	r->end.fn = resume;
	blk_queue_push(w->n.q, &r->end, 0);
}

void image_node_ask(struct image_node *w, struct blk_req *r, unsigned op, u64 off, u64 bytes,
		    void (*fn)(struct blk_done *d, int res))
{
	const struct blk_frame *f = node_frame(r);

	r->ask.op = (u8)op;
	r->ask.off = off;
	r->ask.bytes = bytes;
	r->ask.unmap = f->may_unmap;
	r->ask.iov = r->iov;
	r->ask.niov = r->niov;
	r->ask.skip = f->skip + r->pos;
	r->ask.done.fn = fn;
	image_ask(w->asker, &r->ask);
}

/* ---- the driver ---- */

void image_node_step(struct image_node *w, struct blk_req *r)
{
	if (atomic_load(&w->cancelled))
		image_node_finish_later(w, r, -ECANCELED);
	else if (r->op == BLK_READ)
		image_node_read(w, r);
	else if (r->op == BLK_WRITE)
		image_node_write(w, r);
	else
		image_node_zero(w, r);
}

static void image_submit(struct blk_node *n, struct blk_req *r)
{
	struct image_node *w = container_of(n, struct image_node, n);

	r->node = n;
	r->pos = 0;
	r->hold.kind = HOLD_NONE;
	node_enter(n, r, NULL); /* nobody is below: what this layer changes is put back by node_return() */
	if (r->op == BLK_FLUSH)
		image_node_flush(w, r);
	else if (image_node_hold(w, r, r->op == BLK_READ || r->op == BLK_WRITE ? HOLD_SHARED : HOLD_ALONE, r->bytes))
		image_node_step(w, r);
}

static void image_cancel(struct blk_node *n, bool on)
{
	struct image_node *w = container_of(n, struct image_node, n);

	atomic_store(&w->cancelled, on);
	image_ask_hurry(w->asker, on);
	if (!on)
		return;
	pthread_mutex_lock(&w->lock);
	struct blk_hold *all = image_holds_give_up(&w->holds);
	pthread_mutex_unlock(&w->lock);
	push_all(w, all, -ECANCELED);
}

static void image_poll(struct blk_node *n)
{
	image_ask_poll(container_of(n, struct image_node, n)->asker);
}

static int sync_all(struct blk_node *n)
{
	return image_node_sync(container_of(n, struct image_node, n));
}

/* What the process keeps would be written later. */
static u64 image_mtime_ns(struct blk_node *n)
{
	struct image_node *w = container_of(n, struct image_node, n);

	if (!n->readonly)
		image_node_sync(w);
	return file_mtime_ns(w->files.file[0].fd);
}

static void image_node_close(struct blk_node *n)
{
	struct image_node *w = container_of(n, struct image_node, n);

	image_asker_free(w->asker);
	image_link_files_free(&w->files);
	image_cache_free(w->cache);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static const struct blk_driver image_driver = {
	.name = "image",
	.submit = image_submit,
	.sync = sync_all,
	.cancel = image_cancel,
	.poll = image_poll,
	.close = image_node_close,
	.mtime_ns = image_mtime_ns,
};

/* ---- opening ---- */

static int begin(struct image_node *w, const struct blk_open *o, struct image_policy *policy, struct err *e)
{
	struct image_opened said;
	struct stat st;
	int fd;
	int rc = open_file(&fd, &st, o->p, policy->readonly, e);

	if (rc < 0)
		return rc;
	rc = image_asker_new(&w->asker, &said, o, fd, policy, &w->files, e);
	close(fd);
	if (rc < 0)
		return rc;
	if (said.readonly && !policy->readonly)
		return err_set(e, EROFS,
			       "disk image '%s': images like this one can only be read; add readonly=on or snapshot=on",
			       o->p->path);
	w->unit = MAX(said.cluster_bytes, BLK_SECTOR);
	w->cache = image_cache_new(said.cluster_bytes, policy->readonly);
	w->n.bytes = said.bytes;
	w->n.readonly = policy->readonly;
	w->n.can_discard = said.can_discard && !policy->readonly;
	return 0;
}

const struct blk_format_option image_node_options[] = {
	{ "backing", "folder|any", "where files may lie that the image names: in its folder, or anywhere" },
	{ 0 },
};

int image_node_open(struct blk_node **out, const struct blk_open *o, struct err *e)
{
	struct image_policy policy = { .readonly = o->p->readonly || o->p->snapshot, .unsure = !o->sure };
	struct image_node *w = xcalloc(1, sizeof(*w));
	int rc = 0;

	w->n = (struct blk_node){ .drv = &image_driver, .q = o->q };
	w->io = o->io;
	pthread_mutex_init(&w->lock, NULL);
	image_holds_init(&w->holds);
	const char *backing = blk_option(o->p, "backing");
	policy.any = backing && !strcmp(backing, "any");
	if (backing && !policy.any && strcmp(backing, "folder"))
		rc = err_set(e, EINVAL, "disk image '%s': backing=%s: write folder or any", o->p->path, backing);
	if (rc == 0)
		rc = begin(w, o, &policy, e);
	if (rc < 0) {
		image_node_close(&w->n);
		return rc;
	}
	*out = &w->n;
	return 0;
}
