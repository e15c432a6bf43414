/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_data.c - how reads, writes, zeros and discards of an image go on from place to place. See image_node.c. */
#include "block/image_node_int.h"

#define ZERO_PIECE (1 * MIB) /* of a guest's memory that is cleared in one go */

static u64 here(struct blk_req *r)
{
	return node_frame(r)->off + r->pos;
}

static u64 left(struct blk_req *r)
{
	return node_frame(r)->bytes - r->pos;
}

/* r->ask.bytes of the request are done, or failed. */
static void passed(struct image_node *w, struct blk_req *r, u64 bytes, int res)
{
	r->pos += bytes;
	if (res < 0 || r->pos == node_frame(r)->bytes)
		image_node_finish(w, r, res);
	else
		image_node_step(w, r);
}

/* ---- what is known of the map ---- */

/* What is known of the clusters that r holds is void. */
static void void_locked(struct image_node *w, struct blk_req *r)
{
	w->epoch++;
	image_cache_placed(w->cache, r->hold.first, r->hold.end - r->hold.first);
}

static void void_all(struct image_node *w)
{
	pthread_mutex_lock(&w->lock);
	w->epoch++;
	image_cache_forget(w->cache);
	pthread_mutex_unlock(&w->lock);
}

/* The answer's run, into what is known. */
static void learn_locked(struct image_node *w, struct blk_req *r, bool placed)
{
	struct image_cache_run run = { .start = r->ask.off,
				       .end = r->ask.off + r->ask.run_bytes,
				       .off = r->ask.run_off,
				       .file = r->ask.file,
				       .kind = r->ask.kind,
				       .in_place = r->ask.in_place };

	if (placed)
		void_locked(w, r);
	else if (node_frame(r)->own[OWN_EPOCH] != w->epoch)
		run.end = MIN(run.end, r->hold.end); /* INV-IN-2 */
	image_cache_put(w->cache, &run, MAX(here(r), run.start));
}

static void mapped(struct blk_done *d, int res)
{
	struct blk_req *r = image_node_asked(d);
	struct image_node *w = image_node_of(r);

	if (res < 0) {
		image_node_finish(w, r, res);
		return;
	}
	/* It may end before what is wanted: nothing was known of the rest of the cluster. */
	pthread_mutex_lock(&w->lock);
	bool enough = r->ask.off + r->ask.run_bytes > here(r);
	if (enough)
		learn_locked(w, r, false);
	else
		node_frame(r)->own[OWN_EPOCH] = w->epoch;
	pthread_mutex_unlock(&w->lock);
	if (enough)
		image_node_step(w, r);
	else
		image_node_ask(w, r, SERVE_MAP, here(r), MIN(w->n.bytes - here(r), SERVE_MAP_BYTES), mapped);
}

/* False: it is asked for. */
static bool known(struct image_node *w, struct blk_req *r, struct image_cache_run *run)
{
	u64 from = here(r) / w->unit * w->unit;

	pthread_mutex_lock(&w->lock);
	bool is = image_cache_find(w->cache, here(r), run);
	node_frame(r)->own[OWN_EPOCH] = w->epoch;
	pthread_mutex_unlock(&w->lock);
	if (is)
		run->end = MIN(run->end, here(r) + left(r));
	else
		image_node_ask(w, r, SERVE_MAP, from, MIN(w->n.bytes - from, SERVE_MAP_BYTES), mapped);
	return is;
}

/* ---- data in files ---- */

static void transfer(struct image_node *w, struct blk_req *r, enum blk_io_op op, unsigned file, u64 off, u64 bytes,
		     void (*fn)(struct blk_done *d, int res))
{
	struct blk_io *io = &r->io;

	node_frame(r)->own[OWN_BYTES] = bytes; /* io counts its down */
	io->done.fn = fn;
	io->op = (u8)op;
	io->fd = w->files.file[file].fd;
	io->off = off;
	io->bytes = bytes;
	io->iov = r->iov;
	io->niov = r->niov;
	io->skip = node_frame(r)->skip + r->pos;
	io->zero_from = 0; /* behind the end of the file are zeros */
	hostio_submit(w->io, io);
}

static void transferred(struct blk_done *d, int res)
{
	struct blk_req *r = container_of(d, struct blk_req, io.done);

	passed(image_node_of(r), r, node_frame(r)->own[OWN_BYTES], res);
}

static void cooked(struct blk_done *d, int res)
{
	struct blk_req *r = image_node_asked(d);

	passed(image_node_of(r), r, r->ask.bytes, res);
}

/* ---- reads ---- */

static void clear(struct blk_req *r, u64 bytes)
{
	u64 skip = node_frame(r)->skip + r->pos;

	for (unsigned i = 0; i < r->niov && bytes; i++) {
		u64 cut = MIN(skip, r->iov[i].iov_len), n = MIN(r->iov[i].iov_len - cut, bytes);
		if (n)
			memset((u8 *)r->iov[i].iov_base + cut, 0, n);
		skip -= cut;
		bytes -= n;
	}
}

void image_node_read(struct image_node *w, struct blk_req *r)
{
	struct image_cache_run run;
	u64 cleared = 0, n;

	while (known(w, r, &run)) {
		n = run.end - run.start;
		if (run.kind == IMAGE_DATA) {
			transfer(w, r, IO_READ, run.file, run.off, n, transferred);
			return;
		}
		if (run.kind == IMAGE_COOKED) {
			image_node_ask(w, r, SERVE_READ, run.start, MIN(n, SERVE_DATA_BYTES), cooked);
			return;
		}
		n = MIN(n, ZERO_PIECE - cleared);
		clear(r, n);
		cleared += n;
		r->pos += n;
		if (!left(r)) {
			image_node_finish_later(w, r, 0);
			return;
		}
		if (cleared == ZERO_PIECE) { /* others come first */
			image_node_go_on(w, r);
			return;
		}
	}
}

/* ---- writes ---- */

static void committed(struct blk_done *d, int res)
{
	struct blk_req *r = image_node_asked(d);
	struct image_node *w = image_node_of(r);
	u64 n = r->ask.bytes;

	image_node_touch(&w->changed); /* INV-IN-1 */
	if (res == 0) {
		pthread_mutex_lock(&w->lock);
		learn_locked(w, r, true);
		pthread_mutex_unlock(&w->lock);
	} else {
		void_all(w);
	}
	image_node_let_go(w, r);
	passed(w, r, n, res);
}

/* What could not be written is given up; the error is kept meanwhile. */
static void abandoned(struct blk_done *d, int res)
{
	struct blk_req *r = image_node_asked(d);

	(void)res;
	image_node_finish(image_node_of(r), r, -(int)node_frame(r)->own[OWN_ERROR]);
}

static void placed(struct blk_done *d, int res)
{
	struct blk_req *r = container_of(d, struct blk_req, io.done);
	struct blk_frame *f = node_frame(r);
	struct image_node *w = image_node_of(r);

	image_node_touch(&w->written[r->ask.file]); /* INV-IN-1 */
	if (res == 0) {
		image_node_ask(w, r, SERVE_COMMIT, here(r), f->own[OWN_BYTES], committed);
	} else {
		f->own[OWN_ERROR] = (u64)-res;
		image_node_ask(w, r, SERVE_ABANDON, here(r), f->own[OWN_BYTES], abandoned);
	}
}

static void written_in_place(struct blk_done *d, int res)
{
	struct blk_req *r = container_of(d, struct blk_req, io.done);
	struct image_node *w = image_node_of(r);

	image_node_touch(&w->written[r->ask.file]); /* INV-IN-1 */
	if (r->hold.kind == HOLD_ALONE) {           /* what read as zeros may be data now */
		pthread_mutex_lock(&w->lock);
		void_locked(w, r);
		pthread_mutex_unlock(&w->lock);
		image_node_let_go(w, r);
	}
	passed(w, r, node_frame(r)->own[OWN_BYTES], res);
}

static void cooked_written(struct blk_done *d, int res)
{
	struct blk_req *r = image_node_asked(d);
	struct image_node *w = image_node_of(r);

	image_node_touch(&w->changed); /* INV-IN-1 */
	pthread_mutex_lock(&w->lock);
	void_locked(w, r);
	pthread_mutex_unlock(&w->lock);
	image_node_let_go(w, r);
	passed(w, r, r->ask.bytes, res);
}

static void prepared(struct blk_done *d, int res)
{
	struct blk_req *r = image_node_asked(d);
	struct image_node *w = image_node_of(r);

	if (res < 0)
		image_node_finish(w, r, res);
	else if (r->ask.kind == IMAGE_COOKED)
		image_node_ask(w, r, SERVE_WRITE, here(r), MIN(r->ask.run_bytes, SERVE_DATA_BYTES), cooked_written);
	else
		transfer(w, r, IO_WRITE, r->ask.file, r->ask.run_off, r->ask.run_bytes,
			 r->ask.in_place ? written_in_place : placed);
}

void image_node_write(struct image_node *w, struct blk_req *r)
{
	struct image_cache_run run;
	u64 piece = MIN(left(r), SERVE_PREPARE_BYTES);

	if (r->hold.kind == HOLD_ALONE) {
		image_node_ask(w, r, SERVE_PREPARE, here(r), piece, prepared);
		return;
	}
	if (r->hold.kind == HOLD_NONE && !image_node_hold(w, r, HOLD_SHARED, left(r)))
		return;
	if (!known(w, r, &run))
		return;
	if (run.kind == IMAGE_DATA && run.in_place) {
		r->ask.file = run.file;
		transfer(w, r, IO_WRITE, run.file, run.off, run.end - run.start, written_in_place);
		return;
	}
	image_node_let_go(w, r);
	if (image_node_hold(w, r, HOLD_ALONE, piece))
		image_node_write(w, r);
}

/* ---- zeros and discards ---- */

static void zeroed(struct blk_done *d, int res)
{
	struct blk_req *r = image_node_asked(d);
	struct image_node *w = image_node_of(r);

	image_node_touch(&w->changed); /* INV-IN-1 */
	void_all(w);
	if (res < 0 && res != -EIO && r->ask.op == SERVE_DISCARD) /* a hint */
		res = 0;
	passed(w, r, r->ask.bytes, res);
}

void image_node_zero(struct image_node *w, struct blk_req *r)
{
	unsigned op = r->op == BLK_DISCARD ? SERVE_DISCARD : SERVE_ZERO;

	image_node_ask(w, r, op, here(r), MIN(left(r), SERVE_ZERO_BYTES), zeroed);
}
