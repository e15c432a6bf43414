/* SPDX-License-Identifier: GPL-2.0-or-later */
/* share_nodes.c - what a guest knows of a shared folder: nodes and handles; see share_fs.h. */
#include "share/share_fs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#define SLOT_BITS 24 /* of a number: its place; above are serial numbers */
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
#define NODES_FIRST 1024u

_Static_assert(SHARE_NODES_MAX <= SLOT_MASK, "places fit");

int share_below(int dir, const char *name)
{
	/* With O_PATH and O_NOFOLLOW a link itself is opened (openat2(2), RESOLVE_NO_SYMLINKS). */
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

const char *share_self(char buf[16], int fd)
{
	snprintf(buf, 16, "%d", fd);
	return buf;
}

int share_reopen(struct share_fs *f, int fd, int flags)
{
	char name[16];
	int r = openat(f->self, share_self(name, fd), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return r < 0 ? -errno : r;
}

/* ---- nodes ---- */

static u32 *bucket_of(struct share_fs *f, u64 dev, u64 ino)
{
	u64 h = (ino ^ dev << 32 ^ dev) * 0x9e3779b97f4a7c15ull;

	return &f->bucket[h >> 48 & (SHARE_BUCKETS - 1)];
}

struct share_node *share_node(struct share_fs *f, u64 id)
{
	u32 slot = id & SLOT_MASK;

	return id && slot < f->nnodes && f->node[slot].id == id ? &f->node[slot] : NULL;
}

static bool grow(struct share_fs *f)
{
	u32 n = MIN(MAX(2 * f->nnodes, NODES_FIRST), f->nodes_max);

	if (n <= f->nnodes)
		return false;
	f->node = xrealloc(f->node, n * sizeof(*f->node));
	memset(f->node + f->nnodes, 0, (n - f->nnodes) * sizeof(*f->node));
	for (u32 i = n; i-- > MAX(f->nnodes, 2);) {
		f->node[i].next = f->free;
		f->free = i;
	}
	f->nnodes = n;
	return true;
}

static void enter(struct share_fs *f, u32 slot, u64 id, int fd, const struct stat *st, u64 lookups)
{
	u32 *b = bucket_of(f, st->st_dev, st->st_ino);

	f->node[slot] = (struct share_node){
		.id = id, .lookups = lookups, .dev = st->st_dev, .ino = st->st_ino, .fd = fd, .next = *b
	};
	*b = slot;
}

int share_node_of(struct share_fs *f, int fd, struct share_node **out)
{
	struct stat st;
	u32 i;

	if (fstat(fd, &st) < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	for (i = *bucket_of(f, st.st_dev, st.st_ino); i; i = f->node[i].next)
		if (f->node[i].dev == st.st_dev && f->node[i].ino == st.st_ino) {
			close(fd);
			f->node[i].lookups++;
			*out = &f->node[i];
			return 0;
		}
	if (!f->free && !grow(f)) {
		close(fd);
		return -ENFILE;
	}
	i = f->free;
	f->free = f->node[i].next;
	enter(f, i, f->serial++ << SLOT_BITS | i, fd, &st, 1);
	*out = &f->node[i];
	return 0;
}

int share_node_put(struct share_fs *f, u64 id, int fd, u64 lookups)
{
	u32 slot = id & SLOT_MASK;
	struct stat st;

	while (slot >= f->nnodes && grow(f))
		;
	if (slot < 2 || slot >= f->nnodes || f->node[slot].id || id >> SLOT_BITS >= f->serial || !(id >> SLOT_BITS) ||
	    fstat(fd, &st) < 0)
		return -EINVAL;
	enter(f, slot, id, fd, &st, lookups);
	return 0;
}

void share_nodes_put_end(struct share_fs *f)
{
	f->free = 0;
	for (u32 i = f->nnodes; i-- > 2;)
		if (!f->node[i].id) {
			f->node[i].next = f->free;
			f->free = i;
		}
}

static void remove_node(struct share_fs *f, struct share_node *n)
{
	u32 slot = (u32)(n - f->node), *p;

	for (p = bucket_of(f, n->dev, n->ino); *p != slot; p = &f->node[*p].next)
		;
	*p = n->next;
	close(n->fd);
	*n = (struct share_node){ .next = f->free };
	f->free = slot;
}

void share_node_forget(struct share_fs *f, u64 id, u64 lookups)
{
	struct share_node *n = share_node(f, id);

	if (!n || id == FUSE_ROOT_ID)
		return;
	n->lookups -= MIN(lookups, n->lookups);
	if (!n->lookups)
		remove_node(f, n);
}

/* ---- handles ---- */

int share_handle_add(struct share_fs *f, int fd, bool dir, u64 node, u32 flags)
{
	for (u32 i = 0; i < SHARE_HANDLES_MAX; i++)
		if (!f->handle[i].used) {
			f->handle[i] = (struct share_handle){ true, dir, fd, flags, node };
			return (int)i;
		}
	close(fd);
	return -EMFILE;
}

struct share_handle *share_handle(struct share_fs *f, u64 fh, bool dir)
{
	return fh < SHARE_HANDLES_MAX && f->handle[fh].used && f->handle[fh].dir == dir ? &f->handle[fh] : NULL;
}

void share_handle_close(struct share_fs *f, u64 fh)
{
	if (fh < SHARE_HANDLES_MAX && f->handle[fh].used) {
		close(f->handle[fh].fd);
		f->handle[fh].used = false;
	}
}

/* ---- all of them ---- */

void share_fs_reset(struct share_fs *f)
{
	for (u32 i = 0; i < SHARE_HANDLES_MAX; i++)
		share_handle_close(f, i);
	for (u32 i = 2; i < f->nnodes; i++)
		if (f->node[i].id)
			remove_node(f, &f->node[i]);
}

struct share_fs *share_fs_new(int root, int self, bool readonly, u32 nodes_max)
{
	struct share_fs *f = xcalloc(1, sizeof(*f));
	struct stat st;

	f->self = self;
	f->readonly = readonly;
	f->nodes_max = MIN(MAX(nodes_max, NODES_FIRST), SHARE_NODES_MAX);
	f->serial = 1;
	must(grow(f) && fstat(root, &st) == 0);
	enter(f, FUSE_ROOT_ID, FUSE_ROOT_ID, root, &st, 1);
	return f;
}

void share_fs_free(struct share_fs *f)
{
	share_fs_reset(f);
	close(f->node[FUSE_ROOT_ID].fd);
	free(f->node);
	free(f);
}
