/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image.h - formats of disk images: where an image keeps which part of the disk. For who writes a format, and for who
 * uses images: the process that serves a VM's disk (serve.h) and the verbs of `mica image` (verbs.h).
 *
 * Theory: a format is a map from places of the disk to places in files. So it is asked for the map, and the data goes
 * past it wherever it lies in a host file as it is: a VM's process reads and writes that file by itself, at full speed,
 * and the process that parses an untrusted image sees none of the guest's memory. Only what has to be made first
 * (compressed, encrypted, from a connection) is read and written through the format.
 *
 * A write to what has no place yet takes three steps: prepare() finds a place, which nothing on the disk leads to yet,
 * and fills those parts of its clusters that the write leaves out; the data is written there by whoever has it;
 * commit() makes the map lead to it. A crash between them loses a write that nobody was told the end of, and no more
 * than room. Between prepare() and commit() or abandon() of a range no other write, discard or prepare() of the same
 * clusters (cluster_bytes) comes: the caller sees to that.
 *
 * flush() makes all that was committed durable: first the data (image_sync() of the file), then what the map is made
 * of, in an order in which a crash at any moment leaves an image that is right, or only has room that nothing uses.
 *
 * Hostile images: every number in a file is somebody's. An image that contradicts itself gives -EINVAL with a message
 * at open(), or -EIO later; it never makes us read behind a buffer, loop, or allocate more than IMAGE_MEMORY_MAX.
 *
 * Threads: an image and all of its chain belong to one thread.
 */
#ifndef MICA_IMAGE_H
#define MICA_IMAGE_H

#include "base/base.h"
#include "base/err.h"
#include "image/image_file.h"

#include <sys/types.h>

#define IMAGE_CHAIN_MAX 64u           /* images, each backed by the next */
#define IMAGE_FILES_MAX 128u          /* files of all of them: extents, data files */
#define IMAGE_BYTES_MAX (1ull << 60)  /* of a disk */
#define IMAGE_MEMORY_MAX (256u * MIB) /* tables and caches of one image */
#define IMAGE_NAME_MAX 1024u

struct image;

enum image_kind {
	IMAGE_DATA,   /* in a host file as it is */
	IMAGE_ZERO,   /* reads as zeros */
	IMAGE_COOKED, /* only through read() */
	IMAGE_HOLE,   /* a format's word: not in this image; image_map() never says it */
};

/* A part of the disk that is of one kind, from the place that was asked for on. */
struct image_run {
	enum image_kind kind;
	u64 bytes;       /* > 0, multiple of 512, up to what was asked for */
	unsigned file;   /* DATA: image_file.id */
	u64 off;         /* DATA: where in that file */
	bool in_place;   /* a write may go there at once, without prepare(); then it needs no commit() */
	unsigned depth;  /* which image of the chain it is from, 0: the top; set by image_map() */
	bool compressed; /* COOKED: for who shows it */
};

enum image_snapshot_verb { IMAGE_SNAPSHOT_CREATE, IMAGE_SNAPSHOT_APPLY, IMAGE_SNAPSHOT_DELETE };

struct image_snapshot {
	char id[32], name[256];
	u64 seconds;     /* since 1970 */
	u64 state_bytes; /* of a VM's state kept with it; 0: the disk only */
	u64 disk_bytes;
};

/* What check() found. Counts of clusters, or of what the format has in their place. */
struct image_check {
	u64 total, allocated, compressed, fragmented;
	u64 corrupt, leaked; /* as found */
	u64 corrupt_fixed, leaked_fixed;
	u64 end; /* of what is in use, in the file */
	/* One line for each finding, at most `reports` of them. */
	void (*report)(void *opaque, const char *line);
	void *opaque;
	unsigned reports;
};
enum image_fix { IMAGE_FIX_NONE, IMAGE_FIX_LEAKS, IMAGE_FIX_ALL };

struct image_format_option {
	const char *name, *values, *help;
};

/* What image_open() needs from outside: files that the image names. All names are as they stand in the image. */
enum image_want { IMAGE_WANT_BACKING, IMAGE_WANT_DATA, IMAGE_WANT_EXTENT };
struct image_opener {
	/*
	 * Open the file that the image `of` calls `name`. *format: the backing image's format as its child says, "" if
	 * it says none; the opener may settle it. Returns 0 and *f, or -errno with e set: what may be opened is the
	 * opener's decision (image_policy.h).
	 */
	int (*open)(struct image_opener *o, enum image_want what, const char *of, const char *name, char *format,
		    size_t format_bytes, bool readonly, struct image_file **f, struct err *e);
};

struct image_open {
	struct image_file *file; /* taken over when open() succeeds */
	bool readonly;
	bool no_backing;             /* verbs that only look at this one */
	bool checking;               /* by check(): be content with what is needed for it */
	struct image_opener *opener; /* NULL: it may name none */
	const char *const *options;  /* "name=value", ended by NULL; may be NULL */
};

struct image_create {
	struct image_file *file; /* empty, or a device; stays the caller's */
	u64 bytes;
	const char *backing, *backing_format; /* NULL: none */
	struct image_file *data_file;         /* raw external data; NULL: none */
	const char *data_file_name;
	const char *const *options;
};

struct image_format {
	const char *name; /* as qemu-img calls it, where that has it */
	const char *title;
	const char *extensions;                                          /* "vmdk", comma between; for people */
	const struct image_format_option *open_options, *create_options; /* ended by one without a name, or NULL */
	bool creates;                                                    /* create() is there */
	bool backing;                                                    /* it can have a backing image */
	/* head: the first `n` bytes (4096 or all there are), tail: the last 512. */
	bool (*probe)(const u8 *head, size_t n, const u8 tail[512], u64 file_bytes);
	int (*open)(struct image **out, const struct image_open *o, struct err *e);
	int (*create)(const struct image_create *c, struct err *e);
	/* How many bytes a file would have, for `allocated` bytes of data on a disk of `bytes`: {needed, full}. */
	int (*measure)(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e);
};

/* A format fills in what it can; NULL where nothing is said otherwise. Offsets are below bytes, all multiples of 512.
 */
struct image_ops {
	/* m->below was opened by the name that the image gave: is it the one it was made on? NULL: any is. */
	int (*backed)(struct image *m, struct err *e);
	int (*map)(struct image *m, u64 off, u64 bytes, struct image_run *run);
	/* DATA and where to write, or COOKED: write() does it all. */
	int (*prepare)(struct image *m, u64 off, u64 bytes, struct image_run *run);
	int (*commit)(struct image *m, u64 off, u64 bytes);
	void (*abandon)(struct image *m, u64 off, u64 bytes); /* the data could not be written */
	int (*read)(struct image *m, u64 off, void *buf, size_t n);
	int (*write)(struct image *m, u64 off, const void *buf, size_t n);
	/* A whole cluster at once, compressed; -ENOTSUP: it does not get smaller, write it as it is. NULL: never. */
	int (*write_compressed)(struct image *m, u64 off, const void *buf, size_t n);
	/*
	 * The same in two steps, for who compresses with several threads. compress() may run in any thread, many times
	 * at once, while the image's own one works: it looks at nothing of the image that ever changes. A whole cluster
	 * `buf` of n bytes into `out` of n bytes; returns how many it takes, 0: it does not get smaller, or -errno.
	 * write_packed() is the image's own thread's: such a result becomes the cluster at `off`. NULL, both: only as
	 * above.
	 */
	ssize_t (*compress)(const struct image *m, const void *buf, size_t n, void *out);
	int (*write_packed)(struct image *m, u64 off, const void *packed, size_t bytes);
	/* Reads as zeros afterwards. NULL: zeros are written. */
	int (*zero)(struct image *m, u64 off, u64 bytes, bool unmap);
	int (*discard)(struct image *m, u64 off, u64 bytes); /* NULL: nothing happens */
	int (*flush)(struct image *m);
	int (*resize)(struct image *m, u64 bytes, struct err *e);
	int (*check)(struct image *m, struct image_check *c, enum image_fix fix, struct err *e);
	int (*snapshots)(struct image *m, struct image_snapshot *list, unsigned room); /* returns how many there are */
	int (*snapshot)(struct image *m, enum image_snapshot_verb verb, const char *id_or_name, struct err *e);
	/* Another backing image in the header ("" none); the data is the caller's business. */
	int (*set_backing)(struct image *m, const char *name, const char *format, struct err *e);
	int (*empty)(struct image *m); /* give up everything in this image (after a commit into its backing) */
	/* What people want to know of it, besides: calls say() with name and value. */
	void (*info)(struct image *m, void (*say)(void *opaque, const char *name, const char *value), void *opaque);
	/* flush() was called, where that could be; frees m. Its file and `below` are closed by image_close(). */
	void (*close)(struct image *m);
};

struct image {
	const struct image_ops *ops;
	const struct image_format *format;
	struct image_file *file;
	struct image_file **more; /* extents, a data file: of the heap, closed by image_close(), or when open() of it
				   * fails by the format */
	unsigned nmore;
	struct image *below;                                   /* the backing image, opened; NULL: none */
	char backing_name[IMAGE_NAME_MAX], backing_format[16]; /* as they stand in the image; "" none */
	u64 bytes;
	u32 cluster_bytes; /* the unit of prepare(): a power of 2, at least 512; 0: the format has none */
	bool readonly;
	bool can_discard, encrypted;
};

/* ---- for those who use images ---- */

const struct image_format *image_format_find(const char *name);
const struct image_format *image_format_at(unsigned i);
/* The one whose sign the file bears; NULL: none, which may be raw. */
const struct image_format *image_format_probe(struct image_file *f);

/* Opens the whole chain. format NULL: by sight, raw only when raw_ok (a guest that may write a raw disk could make it
 * look like anything). o->file is closed with the image, and left alone when it fails. */
int image_open(struct image **out, const struct image_format *format, bool raw_ok, const struct image_open *o,
	       struct err *e);
int image_close(struct image *m); /* flushes; and all below. 0 or the first error */

/* Never IMAGE_HOLE; behind the end of a shorter backing image there are zeros. */
int image_map(struct image *m, u64 off, u64 bytes, struct image_run *run);
int image_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run);
int image_commit(struct image *m, u64 off, u64 bytes);
void image_abandon(struct image *m, u64 off, u64 bytes);
/* Through all of these: any kind, any chain. */
int image_read(struct image *m, u64 off, void *buf, size_t n);
int image_write(struct image *m, u64 off, const void *buf, size_t n);
int image_write_zeroes(struct image *m, u64 off, u64 bytes, bool unmap);
int image_discard(struct image *m, u64 off, u64 bytes);
int image_flush(struct image *m);
/* The file of that id among all of the chain's; NULL: none. */
struct image_file *image_file_of(struct image *m, unsigned id);

/* ---- for formats ---- */

/* The value of option `name` in "name=value" lists; NULL: it is not there. */
const char *image_option(const char *const *options, const char *name);
/* Fails for options that are not in the table. */
int image_options_check(const struct image_format_option *table, const char *const *options, const char *format,
			struct err *e);
/* "64k", "2M": a power of two between min and max. */
int image_option_size(const char *const *options, const char *name, u64 min, u64 max, u64 *v, struct err *e);
int image_option_switch(const char *const *options, const char *name, bool *v, struct err *e);

/* ---- rows: each is at the end of the file that opens it ---- */
extern const struct image_format image_raw;
extern const struct image_format image_qcow2;
extern const struct image_format image_parallels, image_vdi, image_vhdx, image_vmdk, image_vpc;

#endif
