/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_look_disk.c - boot_look() of a disk as the configuration has it: a file as it is, or an image that is parsed. */
#include "block/block.h"
#include "vmm/boot_look.h"
#include "vmm/config.h"

#include <fcntl.h>
#include <sys/stat.h>

static ssize_t from_fd(void *opaque, void *buf, size_t bytes, u64 off)
{
	return off > INT64_MAX ? -1 : pread(*(const int *)opaque, buf, bytes, (off_t)off);
}

/* ---- images that have to be parsed ---- */

static void on_read(struct blk_req *r, int res)
{
	*(int *)r->opaque = res;
}

/* Whole sectors around it. */
static ssize_t from_blk(void *opaque, void *buf, size_t bytes, u64 off)
{
	struct blk *b = opaque;
	u64 first = off / BLK_SECTOR * BLK_SECTOR;
	auto_free u8 *p = xcalloc(1, ROUND_UP(off - first + bytes, BLK_SECTOR));
	struct iovec iov = { p, ROUND_UP(off - first + bytes, BLK_SECTOR) };
	struct blk_req r;
	int res = -EIO;

	blk_req_init(&r, on_read);
	r.off = first;
	r.bytes = iov.iov_len;
	r.iov = &iov;
	r.niov = 1;
	r.opaque = &res;
	blk_submit(b, &r);
	blk_drain(b);
	if (res == 0)
		memcpy(buf, p + (off - first), bytes);
	return res == 0 ? (ssize_t)bytes : -1;
}

static int look_parsed(enum boot_found *found, const struct blk_params *p, struct err *e)
{
	struct loop *loop;
	struct blk *b;
	int r = loop_new(&loop, e);

	if (r < 0)
		return r;
	if ((r = blk_open(&b, loop, p, e)) == 0) {
		*found = boot_look_with(from_blk, b);
		blk_close(b);
	}
	loop_free(loop);
	return r;
}

int boot_look(enum boot_found *found, const struct vmm_disk *d, struct err *e)
{
	const struct blk_option backing = { "backing", d->backing };
	const struct blk_params p = { .path = d->path,
				      .format = d->format,
				      .readonly = true,
				      .options = &backing,
				      .noptions = d->backing != NULL };
	struct stat st;

	*found = BOOT_NOTHING;
	if (blk_is_parsed(&p))
		return look_parsed(found, &p, e);
	auto_close int fd = open(d->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "disk %s: cannot open it", d->path);
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		*found = boot_look_with(from_fd, &fd);
	return 0;
}
