/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * share_state.c - what a guest knows of a shared folder, saved and loaded; see share_fs.h.
 *
 * Nodes are saved by the paths they have now, those with open files first, until a message is full. The rest, and what
 * is not there any more when it is loaded, is unknown then: ESTALE, after which a guest's kernel looks the name up
 * anew.
 */
#include "share/share_fs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#define PATH_BYTES 4096
#define KEPT_FLAGS (u32)(O_ACCMODE | O_APPEND | O_DIRECTORY)

enum { ITEM_NODE = 1, ITEM_HANDLE };

struct item {
	u8 kind, dir;
	u16 path_bytes; /* NODE: which follow */
	u32 fh, flags;  /* HANDLE */
	u64 node, lookups;
} __attribute__((packed));

/* From the root on, "" for itself; -1: it has none any more. */
static ssize_t path_of(struct share_fs *f, int fd, char path[PATH_BYTES])
{
	char root[PATH_BYTES], self[16];
	struct stat st;
	ssize_t n = readlinkat(f->self, share_self(self, fd), path, PATH_BYTES);
	ssize_t top = readlinkat(f->self, share_self(self, f->node[FUSE_ROOT_ID].fd), root, PATH_BYTES);

	if (n <= 0 || n >= PATH_BYTES || top <= 0 || top >= PATH_BYTES || fstat(fd, &st) < 0 || !st.st_nlink)
		return -1;
	if (top == 1) /* "/" */
		top = 0;
	if (n < top || memcmp(path, root, (size_t)top) || (n > top && path[top] != '/'))
		return -1;
	n = MAX(n - top - 1, 0);
	memmove(path, path + top + 1, (size_t)n);
	return n;
}

static bool put(u8 *out, size_t room, size_t *at, const void *p, size_t n)
{
	if (n > room - *at)
		return false;
	memcpy(out + *at, p, n);
	*at += n;
	return true;
}

static bool save_node(struct share_fs *f, const struct share_node *n, u8 *out, size_t room, size_t *at)
{
	char path[PATH_BYTES];
	ssize_t bytes = path_of(f, n->fd, path);
	struct item i = { .kind = ITEM_NODE, .path_bytes = (u16)MAX(bytes, 0), .node = n->id, .lookups = n->lookups };

	if (bytes <= 0)
		return true;
	if (sizeof(i) + (size_t)bytes > room - *at)
		return false;
	return put(out, room, at, &i, sizeof(i)) && put(out, room, at, path, (size_t)bytes);
}

static bool has_handle(const bool *open, const struct share_fs *f, u32 slot)
{
	return open[slot] && f->node[slot].id;
}

size_t share_fs_save(struct share_fs *f, u8 *out, size_t room)
{
	auto_free bool *open = xcalloc(f->nnodes, sizeof(*open));
	size_t at = 0;
	bool more = put(out, room, &at, &f->serial, sizeof(f->serial));

	for (u32 i = 0; i < SHARE_HANDLES_MAX; i++) {
		struct share_node *n = f->handle[i].used ? share_node(f, f->handle[i].node) : NULL;
		if (n)
			open[n - f->node] = true;
	}
	/* A handle's node is before it. */
	for (u32 i = 2; more && i < f->nnodes; i++)
		if (has_handle(open, f, i))
			more = save_node(f, &f->node[i], out, room, &at);
	for (u32 i = 0; more && i < SHARE_HANDLES_MAX; i++) {
		const struct share_handle *h = &f->handle[i];
		struct item item = { .kind = ITEM_HANDLE, .dir = h->dir, .fh = i, .flags = h->flags, .node = h->node };
		if (h->used)
			more = put(out, room, &at, &item, sizeof(item));
	}
	for (u32 i = 2; more && i < f->nnodes; i++)
		if (f->node[i].id && !open[i])
			more = save_node(f, &f->node[i], out, room, &at);
	return at;
}

/* ---- loading ---- */

static void load_node(struct share_fs *f, const struct item *i, const u8 *text)
{
	char path[PATH_BYTES] = "";
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };

	memcpy(path, text, i->path_bytes);
	int fd = (int)syscall(SYS_openat2, f->node[FUSE_ROOT_ID].fd, path, &how, sizeof(how));
	if (fd >= 0 && share_node_put(f, i->node, fd, i->lookups) < 0)
		close(fd);
}

static void load_handle(struct share_fs *f, const struct item *i)
{
	struct share_node *n = share_node(f, i->node);
	u32 flags = (i->flags & KEPT_FLAGS) | (i->dir ? O_DIRECTORY : 0);
	struct stat st;

	if (!n || i->fh >= SHARE_HANDLES_MAX || f->handle[i->fh].used || fstat(n->fd, &st) < 0 ||
	    !(i->dir ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode)) || (f->readonly && (flags & O_ACCMODE) != O_RDONLY))
		return;
	int fd = share_reopen(f, n->fd, (int)flags);
	if (fd >= 0)
		f->handle[i->fh] = (struct share_handle){ true, i->dir, fd, flags, i->node };
}

static bool load_items(struct share_fs *f, const u8 *in, size_t n)
{
	size_t at = 0;

	while (at < n) {
		struct item i;
		if (sizeof(i) > n - at)
			return false;
		memcpy(&i, in + at, sizeof(i));
		at += sizeof(i);
		if (i.kind == ITEM_NODE && i.path_bytes < PATH_BYTES && i.path_bytes <= n - at) {
			load_node(f, &i, in + at);
			at += i.path_bytes;
		} else if (i.kind == ITEM_HANDLE) {
			load_handle(f, &i);
		} else {
			return false;
		}
	}
	return true;
}

bool share_fs_load(struct share_fs *f, const u8 *in, size_t n)
{
	share_fs_reset(f);
	if (n < sizeof(f->serial))
		return false;
	memcpy(&f->serial, in, sizeof(f->serial));
	f->serial = MAX(f->serial & 0xffffffffffull, 1); /* 24 bits of place are behind it */
	bool good = load_items(f, in + sizeof(f->serial), n - sizeof(f->serial));
	share_nodes_put_end(f);
	return good;
}
