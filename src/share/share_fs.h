/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * share_fs.h - the files of mica-share: what a guest knows of them, and its requests.
 *
 * A node is a file that the guest knows by a number, and of which we have an O_PATH descriptor: however it is renamed
 * or replaced, the number means the same file. A number is never used again, so an old one finds nothing (ESTALE), and
 * the guest's kernel looks the name up anew. Names are single components, taken from below a node by openat2() without
 * following links: there is no request that leaves the folder.
 *
 * INV-SHARE-1: no path of more than one component is opened but in share_state.c, and there beneath the root.
 */
#ifndef MICA_SHARE_FS_H
#define MICA_SHARE_FS_H

#include "share/share.h"

#include <linux/fuse.h>
#include <sys/stat.h>

#define SHARE_NODES_MAX (1u << 19) /* fewer where descriptors are fewer */
#define SHARE_HANDLES_MAX 4096u
#define SHARE_BUCKETS 65536u

struct share_node {
	u64 id; /* 0: free */
	u64 lookups;
	u64 dev, ino;
	int fd;
	u32 next; /* of its bucket, or of the free ones */
};

struct share_handle {
	bool used, dir;
	int fd;
	u32 flags; /* to open it again */
	u64 node;
};

struct share_fs {
	int self; /* /proc/self/fd */
	bool readonly;
	struct share_node *node; /* 0 is none, 1 the root */
	u32 nnodes, nodes_max;   /* of `node`, the highest it may become */
	u32 free;                /* first free one; 0: none */
	u64 serial;              /* the upper part of the next number */
	u32 bucket[SHARE_BUCKETS];
	struct share_handle handle[SHARE_HANDLES_MAX];
};

/* What a request wants to say: its body is put behind the header. */
struct share_reply {
	u8 *at;
	size_t room, bytes;
};

/* root: the folder, O_PATH, owned. */
struct share_fs *share_fs_new(int root, int self, bool readonly, u32 nodes_max);
void share_fs_free(struct share_fs *f);
/* Everything but the root is forgotten. */
void share_fs_reset(struct share_fs *f);
/* A FUSE request of n bytes; the reply goes to out; both are aligned to 8. Returns how many bytes; 0: it has none. */
size_t share_fs_request(struct share_fs *f, const u8 *in, size_t n, u8 *out, size_t room);
/* share_state.c: into out, as much as is there room for, what is open first. Returns how many bytes. */
size_t share_fs_save(struct share_fs *f, u8 *out, size_t room);
/* From anybody. What cannot be opened any more is left out. False: it makes no sense. */
bool share_fs_load(struct share_fs *f, const u8 *in, size_t n);

/* ---- share_nodes.c; errors are -errno ---- */
struct share_node *share_node(struct share_fs *f, u64 id); /* NULL: ESTALE */
/* The node of an O_PATH descriptor, which is taken; known once more. */
int share_node_of(struct share_fs *f, int fd, struct share_node **out);
/* A node with a number of its own, as it was saved: into a table that was just reset. After the last one, the end. */
int share_node_put(struct share_fs *f, u64 id, int fd, u64 lookups);
void share_nodes_put_end(struct share_fs *f);
void share_node_forget(struct share_fs *f, u64 id, u64 lookups);
/* A handle for an open descriptor, which is taken. */
int share_handle_add(struct share_fs *f, int fd, bool dir, u64 node, u32 flags);
struct share_handle *share_handle(struct share_fs *f, u64 fh, bool dir);
void share_handle_close(struct share_fs *f, u64 fh);
/* An O_PATH descriptor of a component below dir. */
int share_below(int dir, const char *name);
/* Open a node itself. */
int share_reopen(struct share_fs *f, int fd, int flags);
/* "N" for calls that take a path below f->self. */
const char *share_self(char buf[16], int fd);

/* ---- the operations: share_names.c, share_files.c ---- */
struct share_request {
	struct share_fs *f;
	const struct fuse_in_header *h;
	struct share_node *node;
	const u8 *arg; /* what follows the header; NUL-terminated by who made the request's buffer */
	size_t n;
	struct share_reply *r;
};
typedef int share_op(struct share_request *q);
/* Room for `bytes` in the reply, zeroed; NULL: there is none. */
void *share_put(struct share_reply *r, size_t bytes);
void share_attr(struct fuse_attr *a, const struct stat *st);
int share_put_attr(struct share_request *q, int fd);
/* The name at `off` of the arguments, a single component; *end (may be NULL): behind its NUL. NULL: it is none. */
const char *share_name(const struct share_request *q, size_t off, size_t *end);
int share_put_entry(struct share_request *q, int fd /* O_PATH, taken */);

share_op share_lookup, share_getattr, share_setattr, share_readlink, share_symlink, share_mknod, share_mkdir,
    share_unlink, share_rmdir, share_rename, share_rename2, share_link, share_open, share_read, share_write,
    share_statfs, share_release, share_fsync, share_opendir, share_readdir, share_create, share_fallocate, share_lseek;

#endif
