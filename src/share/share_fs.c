/* SPDX-License-Identifier: GPL-2.0-or-later */
/* share_fs.c - a FUSE request: which operation it is, and what is said in return; see share_fs.h. */
#include "share/share_fs.h"

#define PAGES_MAX (SHARE_DATA_MAX / 4096)
#define MINOR_MIN 31 /* with max_pages and writes of more than a page; Linux 5.4, which was the first with virtio-fs \
		      */

void *share_put(struct share_reply *r, size_t bytes)
{
	if (bytes > r->room - r->bytes)
		return NULL;
	void *p = memset(r->at + r->bytes, 0, bytes);
	r->bytes += bytes;
	return p;
}

const char *share_name(const struct share_request *q, size_t off, size_t *end)
{
	if (off >= q->n)
		return NULL;
	const char *s = (const char *)q->arg + off;
	size_t n = strnlen(s, q->n - off);

	if (n == q->n - off || !n || n > 255 || memchr(s, '/', n) || !strcmp(s, ".") || !strcmp(s, ".."))
		return NULL;
	if (end)
		*end = off + n + 1;
	return s;
}

static int init(struct share_request *q)
{
	const struct fuse_init_in *in = (const void *)q->arg;
	const u32 wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | FUSE_PARALLEL_DIROPS |
			   FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC | FUSE_HANDLE_KILLPRIV;
	struct fuse_init_out *out;

	if (q->n < offsetof(struct fuse_init_in, flags2) || in->major != FUSE_KERNEL_VERSION || in->minor < MINOR_MIN)
		return -EPROTO;
	share_fs_reset(q->f);
	if (!(out = share_put(q->r, sizeof(*out))))
		return -EIO;
	*out = (struct fuse_init_out){
		.major = FUSE_KERNEL_VERSION,
		.minor = MINOR_MIN,
		.max_readahead = in->max_readahead,
		.flags = in->flags & wanted,
		.max_background = 16,
		.congestion_threshold = 12,
		.max_write = SHARE_DATA_MAX,
		.time_gran = 1,
		.max_pages = PAGES_MAX,
	};
	return 0;
}

static int destroy(struct share_request *q)
{
	share_fs_reset(q->f);
	return 0;
}

static int nothing(struct share_request *q)
{
	(void)q;
	return 0;
}

/* arg: bytes that there must be. */
static const struct {
	share_op *fn;
	u16 arg;
	bool changes; /* something: not of a folder that is read only */
} ops[] = {
	[FUSE_LOOKUP] = { share_lookup, 1, false },
	[FUSE_GETATTR] = { share_getattr, sizeof(struct fuse_getattr_in), false },
	[FUSE_SETATTR] = { share_setattr, sizeof(struct fuse_setattr_in), true },
	[FUSE_READLINK] = { share_readlink, 0, false },
	[FUSE_SYMLINK] = { share_symlink, 2, true },
	[FUSE_MKNOD] = { share_mknod, sizeof(struct fuse_mknod_in), true },
	[FUSE_MKDIR] = { share_mkdir, sizeof(struct fuse_mkdir_in), true },
	[FUSE_UNLINK] = { share_unlink, 1, true },
	[FUSE_RMDIR] = { share_rmdir, 1, true },
	[FUSE_RENAME] = { share_rename, sizeof(struct fuse_rename_in), true },
	[FUSE_LINK] = { share_link, sizeof(struct fuse_link_in), true },
	[FUSE_OPEN] = { share_open, sizeof(struct fuse_open_in), false },
	[FUSE_READ] = { share_read, sizeof(struct fuse_read_in), false },
	[FUSE_WRITE] = { share_write, sizeof(struct fuse_write_in), true },
	[FUSE_STATFS] = { share_statfs, 0, false },
	[FUSE_RELEASE] = { share_release, sizeof(struct fuse_release_in), false },
	[FUSE_FSYNC] = { share_fsync, sizeof(struct fuse_fsync_in), false },
	[FUSE_FLUSH] = { nothing, 0, false },
	[FUSE_INIT] = { init, 0, false },
	[FUSE_OPENDIR] = { share_opendir, sizeof(struct fuse_open_in), false },
	[FUSE_READDIR] = { share_readdir, sizeof(struct fuse_read_in), false },
	[FUSE_RELEASEDIR] = { share_release, sizeof(struct fuse_release_in), false },
	[FUSE_FSYNCDIR] = { share_fsync, sizeof(struct fuse_fsync_in), false },
	[FUSE_CREATE] = { share_create, sizeof(struct fuse_create_in), true },
	[FUSE_DESTROY] = { destroy, 0, false },
	[FUSE_FALLOCATE] = { share_fallocate, sizeof(struct fuse_fallocate_in), true },
	[FUSE_RENAME2] = { share_rename2, sizeof(struct fuse_rename2_in), true },
	[FUSE_LSEEK] = { share_lseek, sizeof(struct fuse_lseek_in), false },
};

/* They have no reply. */
static bool forget(struct share_fs *f, const struct fuse_in_header *h, const u8 *arg, size_t n)
{
	const struct fuse_forget_in *one = (const void *)arg;
	const struct fuse_batch_forget_in *batch = (const void *)arg;
	const struct fuse_forget_one *item = (const void *)(batch + 1);

	if (h->opcode == FUSE_FORGET && n >= sizeof(*one))
		share_node_forget(f, h->nodeid, one->nlookup);
	if (h->opcode == FUSE_BATCH_FORGET && n >= sizeof(*batch))
		for (size_t i = 0; i < batch->count && (i + 1) * sizeof(*item) <= n - sizeof(*batch); i++)
			share_node_forget(f, item[i].nodeid, item[i].nlookup);
	return h->opcode == FUSE_FORGET || h->opcode == FUSE_BATCH_FORGET || h->opcode == FUSE_INTERRUPT;
}

static int run(struct share_request *q)
{
	u32 op = q->h->opcode;
	bool whole = op == FUSE_INIT || op == FUSE_DESTROY;

	if (op >= ARRAY_LEN(ops) || !ops[op].fn)
		return -ENOSYS;
	if (q->n < ops[op].arg)
		return -EINVAL;
	if (q->f->readonly && ops[op].changes)
		return -EROFS;
	q->node = share_node(q->f, q->h->nodeid);
	if (!q->node && !whole)
		return -ESTALE;
	return ops[op].fn(q);
}

size_t share_fs_request(struct share_fs *f, const u8 *in, size_t n, u8 *out, size_t room)
{
	const struct fuse_in_header *h = (const void *)in;
	struct fuse_out_header *o = (void *)out;

	if (n < sizeof(*h) || forget(f, h, in + sizeof(*h), n - sizeof(*h)) || room < sizeof(*o))
		return 0;
	struct share_reply r = { .at = out, .room = room, .bytes = sizeof(*o) };
	struct share_request q = { .f = f, .h = h, .arg = in + sizeof(*h), .n = n - sizeof(*h), .r = &r };
	int error = run(&q);
	if (error < 0)
		r.bytes = sizeof(*o);
	*o = (struct fuse_out_header){ .len = (u32)r.bytes, .error = error, .unique = h->unique };
	return r.bytes;
}
