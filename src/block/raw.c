/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * raw.c - a disk image that is just its bytes: a regular file or a block device.
 *
 * Discard punches holes; write-zeroes tries FALLOC_FL_PUNCH_HOLE (when the guest allows unmapping) or
 * FALLOC_FL_ZERO_RANGE, then writes zeros. What a host file system refuses once is not tried again.
 *
 * direct: requests aligned as the host wants go through an O_DIRECT descriptor, others through a
 * second one without it: the host's page cache is the bounce buffer, and the kernel keeps both views of
 * a file coherent. A flush by either reaches the disk.
 *
 * A file's last sector may be cut short: what it lacks is zeros (blk_io.zero_from). A write to it writes all of it and
 * so makes the file longer, as under QEMU. Reads of it never go through O_DIRECT, which could not go on in its middle.
 */
#include "base/log.h"
#include "block/format.h"
#include "block/hostio.h"
#include "block/open_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define ZEROS_BYTES (1 * MIB)
static u8 zeros[ZEROS_BYTES] __attribute__((aligned(4096))); /* never written */

struct raw {
	struct blk_node n;
	struct hostio *io;
	int fd;  /* through the page cache */
	int dfd; /* O_DIRECT, or -1 */
	u64 align_mem, align_off;
	u64 file_bytes; /* when it was opened */
	_Atomic bool no_punch, no_zero_range;
};

/* ---- requests ---- */

static bool aligned(const struct raw *w, const struct blk_req *r)
{
	if ((r->off | r->bytes) & (w->align_off - 1))
		return false;
	u64 skip = r->skip, left = r->bytes;
	for (unsigned i = 0; i < r->niov && left; i++) {
		u64 cut = MIN(skip, r->iov[i].iov_len), n = MIN(r->iov[i].iov_len - cut, left);
		if (n && ((((uintptr_t)r->iov[i].iov_base + cut) & (w->align_mem - 1)) || (n & (w->align_off - 1))))
			return false;
		skip -= cut;
		left -= n;
	}
	return true;
}

static void raw_done(struct blk_done *d, int res);

static void start(struct raw *w, struct blk_req *r, enum blk_io_op op, int fd)
{
	struct blk_io *io = &r->io;

	io->done.fn = raw_done;
	io->op = op;
	io->fd = fd;
	io->zero_from = w->file_bytes % BLK_SECTOR ? w->file_bytes : UINT64_MAX;
	hostio_submit(w->io, io);
}

static void start_fallocate(struct raw *w, struct blk_req *r, int mode)
{
	r->io.mode = mode | FALLOC_FL_KEEP_SIZE;
	r->io.off = r->off;
	r->io.bytes = r->bytes;
	start(w, r, IO_FALLOCATE, w->fd);
}

/* WRITE_ZEROES the long way: from r->pos, a piece at a time. */
static void start_zeros(struct raw *w, struct blk_req *r)
{
	u64 n = MIN(r->bytes - r->pos, ZEROS_BYTES);

	r->one = (struct iovec){ zeros, n };
	r->io.iov = &r->one;
	r->io.niov = 1;
	r->io.skip = 0;
	r->io.off = r->off + r->pos;
	r->io.bytes = n;
	r->pos += n;
	start(w, r, IO_WRITE, w->fd);
}

static void raw_done(struct blk_done *d, int res)
{
	struct blk_req *r = container_of(d, struct blk_req, io.done);
	struct blk_io *io = &r->io;
	struct raw *w = container_of(r->node, struct raw, n);

	if (io->op == IO_FALLOCATE && res < 0 && (res == -EOPNOTSUPP || res == -EINVAL || res == -ENODEV)) {
		bool punch = io->mode & FALLOC_FL_PUNCH_HOLE;
		/* EINVAL is about this range (a device with larger blocks), not about the host. */
		if (res != -EINVAL)
			atomic_store(punch ? &w->no_punch : &w->no_zero_range, true);
		if (r->op == BLK_DISCARD) /* a hint */
			node_done(r, 0);
		else if (punch && !atomic_load(&w->no_zero_range))
			start_fallocate(w, r, FALLOC_FL_ZERO_RANGE);
		else
			start_zeros(w, r);
		return;
	}
	if (res == 0 && r->op == BLK_WRITE_ZEROES && io->op == IO_WRITE && r->pos < r->bytes) {
		start_zeros(w, r);
		return;
	}
	node_done(r, res);
}

static void start_rw(struct raw *w, struct blk_req *r)
{
	bool direct = w->dfd >= 0 && aligned(w, r) && (r->op == BLK_WRITE || r->off + r->bytes <= w->file_bytes);

	r->io.off = r->off;
	r->io.bytes = r->bytes;
	r->io.iov = r->iov;
	r->io.niov = r->niov;
	r->io.skip = r->skip;
	start(w, r, r->op == BLK_READ ? IO_READ : IO_WRITE, direct ? w->dfd : w->fd);
}

static void raw_submit(struct blk_node *n, struct blk_req *r)
{
	struct raw *w = container_of(n, struct raw, n);

	r->node = n;
	r->pos = 0;
	switch (r->op) {
	case BLK_READ:
	case BLK_WRITE:
		start_rw(w, r);
		return;
	case BLK_FLUSH:
		if (n->readonly || n->temporary)
			node_done_later(n, r, 0);
		else
			start(w, r, IO_DATASYNC, w->fd);
		return;
	case BLK_DISCARD:
		if (atomic_load(&w->no_punch))
			node_done_later(n, r, 0);
		else
			start_fallocate(w, r, FALLOC_FL_PUNCH_HOLE);
		return;
	case BLK_WRITE_ZEROES:
		if (r->may_unmap && !atomic_load(&w->no_punch))
			start_fallocate(w, r, FALLOC_FL_PUNCH_HOLE);
		else if (!atomic_load(&w->no_zero_range))
			start_fallocate(w, r, FALLOC_FL_ZERO_RANGE);
		else
			start_zeros(w, r);
		return;
	}
}

static int raw_sync(struct blk_node *n)
{
	struct raw *w = container_of(n, struct raw, n);

	return fdatasync(w->fd) < 0 ? -errno : 0;
}

static u64 raw_mtime_ns(struct blk_node *n)
{
	struct raw *w = container_of(n, struct raw, n);

	return file_mtime_ns(w->fd);
}

static void raw_close(struct blk_node *n)
{
	struct raw *w = container_of(n, struct raw, n);

	if (w->fd >= 0)
		close(w->fd);
	if (w->dfd >= 0)
		close(w->dfd);
	free(w);
}

static const struct blk_driver raw_driver = {
	.name = "raw",
	.submit = raw_submit,
	.sync = raw_sync,
	.close = raw_close,
	.mtime_ns = raw_mtime_ns,
};

/* ---- opening ---- */

static int image_bytes(int fd, const struct stat *st, const char *path, u64 *bytes, struct err *e)
{
	u64 n = (u64)st->st_size;

	if (S_ISBLK(st->st_mode)) { /* lseek: a medium may be changed when ioctl() is forbidden */
		off_t end = lseek(fd, 0, SEEK_END);
		if (end < 0)
			return err_sys(e, errno, "cannot ask the size of block device '%s'", path);
		n = (u64)end;
	}
	if (!n)
		return err_set(e, EINVAL, "disk image '%s' is empty; give it a size: truncate -s 10G '%s'", path, path);
	*bytes = n;
	return 0;
}

/* Alignment that O_DIRECT wants; when the kernel doesn't say (before 6.1), a page is always right. */
static void direct_align(struct raw *w)
{
	w->align_mem = w->align_off = 4096;
#ifdef STATX_DIOALIGN
	struct statx sx;
	if (statx(w->dfd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN) &&
	    sx.stx_dio_mem_align && sx.stx_dio_offset_align) {
		w->align_mem = sx.stx_dio_mem_align;
		w->align_off = sx.stx_dio_offset_align;
	}
#endif
}

static struct raw *new_raw(struct blk_queue *q, struct hostio *io, u64 bytes)
{
	struct raw *w = xcalloc(1, sizeof(*w));

	w->n = (struct blk_node){ .drv = &raw_driver, .q = q, .bytes = ROUND_UP(bytes, BLK_SECTOR) };
	w->io = io;
	w->file_bytes = bytes;
	w->fd = w->dfd = -1;
	return w;
}

static int open_direct(int fd, bool ro, const char *path, struct err *e)
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	int dfd = open(self, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_DIRECT);
	if (dfd < 0)
		return err_sys(e, errno,
			       "cannot open disk image '%s' with direct I/O (its file system may not know it); "
			       "leave direct=on out",
			       path);
	return dfd;
}

static int raw_open(struct blk_node **out, const struct blk_open *o, struct err *e)
{
	const struct blk_params *p = o->p;
	const char *path = p->path ? p->path : "(given descriptor)";
	bool ro = p->readonly || p->snapshot;
	auto_close int fd = -1, dfd = -1;
	bool direct = false;
	struct stat st;
	u64 bytes = 0;

	if (blk_option_switch(p, "direct", &direct, e) < 0)
		return -EINVAL;
	int rc = open_file(&fd, &st, p, ro, e);
	if (rc < 0 || (rc = image_bytes(fd, &st, path, &bytes, e)) < 0)
		return rc;
	if (direct && (dfd = open_direct(fd, ro, path, e)) < 0)
		return dfd;
	struct raw *w = new_raw(o->q, o->io, bytes);
	w->n.readonly = ro;
	w->n.can_discard = !ro;
	w->fd = steal_fd(&fd);
	w->dfd = steal_fd(&dfd);
	if (w->dfd >= 0)
		direct_align(w);
	*out = &w->n;
	return 0;
}

static const struct blk_format_option raw_options[] = {
	{ "direct", "on|off", "bypass the host's page cache (O_DIRECT)" },
	{ 0 },
};

const struct blk_format blk_format_raw = {
	.name = "raw",
	.title = "the disk's bytes as they are",
	.options = raw_options,
	.open = raw_open,
};

static int temp_file(struct err *e)
{
	const char *env = getenv("TMPDIR"), *dir = env && *env ? env : "/var/tmp";
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	auto_free char *name = xasprintf("%s/mica-XXXXXX", dir);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno,
			       "cannot make a temporary file in '%s' for snapshot=on; set TMPDIR to a directory "
			       "with space",
			       dir);
	unlink(name);
	return fd;
}

int raw_open_temp(struct blk_node **out, struct blk_queue *q, struct hostio *io, u64 bytes, struct err *e)
{
	auto_close int fd = temp_file(e);

	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)bytes) < 0)
		return err_sys(e, errno,
			       "cannot size the temporary file for snapshot=on to %llu MiB; set TMPDIR to another "
			       "directory",
			       (unsigned long long)(bytes / MIB));
	struct raw *w = new_raw(q, io, bytes);
	w->n.can_discard = true;
	w->n.temporary = true;
	w->fd = steal_fd(&fd);
	*out = &w->n;
	return 0;
}
