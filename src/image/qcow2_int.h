/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2_int.h - what the files of the qcow2 format share. Specification: QEMU's docs/interop/qcow2.txt, versions 2 and
 * 3; comments cite its sections by name.
 *
 * Theory. Guest cluster -> L1 entry -> L2 entry -> host cluster; each host cluster has a count of the references to it.
 * What is in the file obeys, at any moment,
 *   INV-1  a cluster's count is at least the number of references to it that are in the file;
 *   INV-2  an L2 entry (L1 entry, pointer to a block of counts, header) leads only to what is in the file already.
 * So a crash costs room, never data. It is kept by three rules:
 *   - counts go up at once in the cache, and reach the file (and are synced) before an L2 slice is written;
 *   - what is not referenced any more waits in `frees` until the tables that referenced it are durable; only then do
 *     counts go down, and only then can a cluster be used again;
 *   - a new table is written as a whole before anything points to it.
 * qcow2_flush.c is the one place where the order is; slices of counts may be written at any other time, too, L2 slices
 * never. With lazy refcounts (dirty bit) INV-1 is given up for less writing: such an image is repaired when it is
 * opened.
 *
 * Pointers into a cache are good until the next call that may load from the same cache.
 */
#ifndef MICA_QCOW2_INT_H
#define MICA_QCOW2_INT_H

#include "image/image.h"

#include <sys/types.h>

#define QCOW2_MAGIC 0x514649fbu
#define QCOW2_V2_BYTES 72u
#define QCOW2_V3_BYTES 104u
#define QCOW2_HEADER_BYTES 112u /* with compression_type and padding */

#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_MAX 21u
#define QCOW2_EXT_CLUSTER_BITS_MIN 14u
#define QCOW2_L1_BYTES_MAX (32u * MIB)
#define QCOW2_RT_BYTES_MAX (8u * MIB)
#define QCOW2_SNAPSHOTS_MAX 4096u
#define QCOW2_SNAPSHOT_TABLE_MAX (16u * MIB)
#define QCOW2_L2_CACHE_BYTES (32u * MIB)
#define QCOW2_REF_CACHE_BYTES (4u * MIB)
#define QCOW2_SUBCLUSTERS 32u

/* "Header": incompatible_features, compatible_features, autoclear_features */
#define QCOW2_INCOMPAT_DIRTY (1ull << 0)
#define QCOW2_INCOMPAT_CORRUPT (1ull << 1)
#define QCOW2_INCOMPAT_DATA_FILE (1ull << 2)
#define QCOW2_INCOMPAT_COMPRESSION (1ull << 3)
#define QCOW2_INCOMPAT_EXT_L2 (1ull << 4)
#define QCOW2_INCOMPAT_KNOWN 0x1full
#define QCOW2_COMPAT_LAZY (1ull << 0)
#define QCOW2_AUTOCLEAR_BITMAPS (1ull << 0)
#define QCOW2_AUTOCLEAR_DATA_RAW (1ull << 1)
#define QCOW2_AUTOCLEAR_KNOWN 3ull

/* "Header extensions" */
#define QCOW2_EXT_END 0u
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_FEATURES 0x6803f857u
#define QCOW2_EXT_BITMAPS 0x23852875u
#define QCOW2_EXT_CRYPT 0x0537be77u
#define QCOW2_EXT_DATA_FILE 0x44415441u

/* "Cluster mapping" */
#define QCOW2_COPIED (1ull << 63)
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO 1ull
#define QCOW2_OFFSET_MASK 0x00fffffffffffe00ull
#define QCOW2_OFFSET_MAX (1ull << 56)

enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD };

/* A guest cluster as its L2 entry tells it. Without extended L2 entries there is one subcluster, the whole. */
struct qcow2_entry {
	bool compressed, copied, has_host;
	u64 host;        /* of a standard cluster that has one; of compressed data: in bytes */
	u32 packed;      /* bytes of compressed data, at most */
	u32 alloc, zero; /* a bit for each subcluster; no bit is in both */
};

struct qcow2_cache;

/* A write that was prepared: `bytes` of the disk from `off` on will be at `host` in the file of the data. */
struct qcow2_pending {
	u64 off, bytes;
	u64 host;   /* of the first cluster */
	bool fresh; /* its clusters were allocated for it */
};

struct qcow2_free {
	u64 cluster, n;
	bool punch; /* the host may have the room back */
};

struct qcow2_snapshot {
	u64 l1_off, state_bytes, disk_bytes, guest_ns;
	u32 l1_size, seconds, nanoseconds;
	u16 id_bytes, name_bytes;
	u32 extra_bytes;
	u8 *rest; /* extra data, id, name */
};

struct qcow2_extension {
	u32 type, bytes;
	u8 *data;
};

struct qcow2 {
	struct image image;
	struct image_file *file, *data; /* the same one, or an external data file */
	unsigned version, cluster_bits, refcount_order;
	u32 cluster_bytes, header_bytes;
	u64 disk_bytes; /* as in the header; image.bytes is that rounded up to sectors */
	u64 incompat, compat, autoclear;
	enum qcow2_compression compression;
	bool ext_l2, data_raw, lazy, broken;
	unsigned nsub, sub_bits;       /* subclusters of a cluster; bits of an offset in one */
	unsigned l2_bits, entry_bytes; /* entries of a table: 1 << l2_bits */
	u32 backing_off, backing_bytes;
	struct qcow2_extension *ext;
	unsigned next;

	u64 *l1; /* in the host's byte order */
	u32 l1_size;
	u64 l1_off;
	u32 l1_dirty_from, l1_dirty_to; /* entries; empty: from >= to */
	struct qcow2_cache *l2_cache;

	u64 *rt; /* the refcount table */
	u32 rt_size, rt_clusters;
	u64 rt_off;
	u32 rt_dirty_from, rt_dirty_to;
	struct qcow2_cache *ref_cache;
	u64 free_hint; /* no free cluster is below */
	struct qcow2_free *frees;
	size_t nfrees, frees_room;

	struct qcow2_pending *pending;
	size_t npending, pending_room;

	struct qcow2_snapshot *snapshots;
	u32 nsnapshots;
	u64 snapshots_off, snapshots_bytes; /* bytes: of the table */

	u64 packed_next; /* where compressed data may go on, in a cluster that has some; 0: nowhere */
	u8 *plain;       /* one cluster that was decompressed: that at plain_at */
	u64 plain_at;
	u8 *packed;
	u8 *bounce;  /* a cluster, for copies */
	bool opened; /* open() is through: a contradiction found later is written down */
};

static inline struct qcow2 *qcow2_of(struct image *m)
{
	return container_of(m, struct qcow2, image);
}

/* "All numbers in qcow2 are stored in Big Endian byte order." */
static inline u16 qcow2_ld16(const void *p)
{
	return __builtin_bswap16(ld_le16(p));
}
static inline u32 qcow2_ld32(const void *p)
{
	return __builtin_bswap32(ld_le32(p));
}
static inline u64 qcow2_ld64(const void *p)
{
	return __builtin_bswap64(ld_le64(p));
}
static inline void qcow2_st16(void *p, u16 v)
{
	st_le16(p, __builtin_bswap16(v));
}
static inline void qcow2_st32(void *p, u32 v)
{
	st_le32(p, __builtin_bswap32(v));
}
static inline void qcow2_st64(void *p, u64 v)
{
	st_le64(p, __builtin_bswap64(v));
}

static inline u64 qcow2_clusters(const struct qcow2 *q, u64 bytes)
{
	return (bytes >> q->cluster_bits) + !!(bytes & (q->cluster_bytes - 1));
}
/* L1 entries that a disk of so many bytes has. */
static inline u64 qcow2_l1_entries(const struct qcow2 *q, u64 bytes)
{
	unsigned shift = q->cluster_bits + q->l2_bits;

	return (bytes >> shift) + !!(bytes & ((1ull << shift) - 1));
}
static inline u32 qcow2_all_subs(const struct qcow2 *q)
{
	return q->nsub == 1 ? 1 : UINT32_MAX;
}
static inline bool qcow2_has_backing(const struct qcow2 *q)
{
	return *q->image.backing_name;
}
static inline bool qcow2_external(const struct qcow2 *q)
{
	return q->data != q->file;
}

/* ---- qcow2_open.c, qcow2_close.c ---- */
int qcow2_open(struct image **out, const struct image_open *o, struct err *e);
void qcow2_close(struct image *m);
void qcow2_free_all(struct qcow2 *q); /* memory only */

/* ---- qcow2_extension.c: what follows the header ---- */
int qcow2_extensions_load(struct qcow2 *q, struct err *e);
const struct qcow2_extension *qcow2_extension(const struct qcow2 *q, u32 type);
/* data NULL: it goes. */
void qcow2_extension_set(struct qcow2 *q, u32 type, const void *data, u32 bytes);
/* The name of a feature in the image's own table (or in ours), in buf. */
const char *qcow2_feature_name(const struct qcow2 *q, unsigned kind, unsigned bit, char buf[48]);
void qcow2_feature_table(struct qcow2 *q);

/* ---- qcow2_header.c: the header in the file ---- */
/* Its fixed fields as they are in memory, the bytes from `from` to `to` of them. No sync. */
int qcow2_header_store(struct qcow2 *q, unsigned from, unsigned to);
/* All of the first cluster: header, extensions, name of the backing image. -ENOSPC: they do not fit. */
int qcow2_header_rewrite(struct qcow2 *q);
/* Stores incompatible features with these set and cleared, durably. Version 2 has none: nothing happens. */
int qcow2_features(struct qcow2 *q, u64 set, u64 clear);
/* The image contradicts itself: set the corrupt bit, refuse writes from now on. Returns -EIO. */
int qcow2_corrupt(struct qcow2 *q);
int qcow2_set_backing(struct image *m, const char *name, const char *format, struct err *e);

/* ---- qcow2_cache.c: slices of tables ---- */
struct qcow2_cache *qcow2_cache_new(struct qcow2 *q, u64 bytes, int (*clean)(struct qcow2 *q, u64 off));
void qcow2_cache_free(struct qcow2_cache *c);
/* The slice at the file's place `off`, a multiple of qcow2_slice_bytes(). */
int qcow2_cache_get(struct qcow2_cache *c, u64 off, u8 **data);
void qcow2_cache_dirty(struct qcow2_cache *c, const u8 *data);
int qcow2_cache_write(struct qcow2_cache *c);                       /* all that is dirty */
int qcow2_cache_write_one(struct qcow2_cache *c, u64 off);          /* that one, when it is dirty */
void qcow2_cache_forget(struct qcow2_cache *c, u64 off, u64 bytes); /* without writing */
bool qcow2_cache_is_dirty(const struct qcow2_cache *c);
static inline u32 qcow2_slice_bytes(const struct qcow2 *q)
{
	return MIN(q->cluster_bytes, 4096u);
}

/* ---- qcow2_entry.c: L2 entries ---- */
/* The slice that has the entry of the guest's place `off`; *slice NULL: there is no table. */
int qcow2_l2_slice(struct qcow2 *q, u64 off, u8 **slice, unsigned *index);
/* The same of a table that may be written, made or copied when it has to be. */
int qcow2_l2_slice_for_write(struct qcow2 *q, u64 off, u8 **slice, unsigned *index);
static inline unsigned qcow2_slice_entries(const struct qcow2 *q)
{
	return qcow2_slice_bytes(q) / q->entry_bytes;
}
/* -EIO: no such entry can be. guest: the cluster's place on the disk. */
int qcow2_entry_load(const struct qcow2 *q, const u8 *slice, unsigned index, u64 guest, struct qcow2_entry *x);
void qcow2_entry_store(struct qcow2 *q, u8 *slice, unsigned index, const struct qcow2_entry *x);
int qcow2_entry_of(struct qcow2 *q, u64 off, struct qcow2_entry *x);
/* What the entry referenced is not referenced any more. */
int qcow2_entry_drop(struct qcow2 *q, const struct qcow2_entry *x, bool punch);

/* ---- qcow2_map.c ---- */
int qcow2_map(struct image *m, u64 off, u64 bytes, struct image_run *run);

/* ---- qcow2_refcount.c: counts of references ---- */
int qcow2_ref_get(struct qcow2 *q, u64 cluster, u64 *n);
/* Adds +1 or -1 to each of n clusters. -EIO: it would be below 0; -EOVERFLOW: the width is too small; then some are
 * done. */
int qcow2_ref_add(struct qcow2 *q, u64 cluster, u64 n, int add);
int qcow2_ref_set(struct qcow2 *q, u64 cluster, u64 v);
u64 qcow2_ref_max(const struct qcow2 *q);
static inline unsigned qcow2_ref_block_bits(const struct qcow2 *q)
{
	return q->cluster_bits + 3 - q->refcount_order;
}

/* ---- qcow2_alloc.c ---- */
/* 1 to n clusters in one piece, each counted once. *fresh: nothing was ever there, it reads as zeros. */
int qcow2_alloc(struct qcow2 *q, u64 n, u64 *host, u64 *got, bool *fresh);
/* All n of them in one piece. */
int qcow2_alloc_whole(struct qcow2 *q, u64 n, u64 *host);
/* Clusters are not referenced any more, when what is in the caches is durable. */
int qcow2_unref(struct qcow2 *q, u64 host, u64 bytes, bool punch);
/* They were never referenced. */
int qcow2_unalloc(struct qcow2 *q, u64 host, u64 bytes);
int qcow2_apply_frees(struct qcow2 *q);

/* ---- qcow2_grow.c ---- */
/* Makes block `index` of counts, and a larger table when it has to be. */
int qcow2_ref_grow(struct qcow2 *q, u64 index);

/* ---- qcow2_flush.c ---- */
int qcow2_flush(struct image *m);
int qcow2_write_refcounts(struct qcow2 *q); /* no sync */
int qcow2_l2_clean(struct qcow2 *q, u64 off);
int qcow2_ref_clean(struct qcow2 *q, u64 off);

/* ---- qcow2_write.c ---- */
int qcow2_prepare(struct image *m, u64 off, u64 bytes, struct image_run *run);
int qcow2_commit(struct image *m, u64 off, u64 bytes);
void qcow2_abandon(struct image *m, u64 off, u64 bytes);

/* ---- qcow2_drop.c ---- */
int qcow2_zero(struct image *m, u64 off, u64 bytes, bool unmap);
int qcow2_discard(struct image *m, u64 off, u64 bytes);
int qcow2_empty(struct image *m);
enum qcow2_drop {
	QCOW2_DROP_ZERO,       /* reads as zeros, keeps its room */
	QCOW2_DROP_ZERO_UNMAP, /* reads as zeros */
	QCOW2_DROP_HOLE,       /* as if it had never been written: what is below shows */
};
/* Whole clusters; off and bytes are multiples of them. `off` may be behind the end of the disk. */
int qcow2_drop(struct qcow2 *q, u64 off, u64 bytes, enum qcow2_drop how);

/* ---- qcow2_pack.c: compressed clusters ---- */
int qcow2_read(struct image *m, u64 off, void *buf, size_t n);
int qcow2_write_compressed(struct image *m, u64 off, const void *buf, size_t n);
ssize_t qcow2_compress(const struct image *m, const void *buf, size_t n, void *out);
int qcow2_write_packed(struct image *m, u64 off, const void *packed, size_t bytes);

/* ---- qcow2_create.c, qcow2_measure.c ---- */
extern const struct image_format_option qcow2_create_options[];
int qcow2_create(const struct image_create *c, struct err *e);
int qcow2_measure(u64 bytes, u64 allocated, const char *const *options, u64 out[2], struct err *e);

/* ---- qcow2_resize.c ---- */
int qcow2_resize(struct image *m, u64 bytes, struct err *e);
int qcow2_l1_grow(struct qcow2 *q, u64 entries);

/* ---- qcow2_snapshot_table.c, qcow2_snapshot.c ---- */
int qcow2_snapshots_load(struct qcow2 *q, u32 n, u64 off, struct err *e);
/* Writes the table anew, and the header that leads to it. */
int qcow2_snapshots_store(struct qcow2 *q, struct qcow2_snapshot *list, u32 n);
void qcow2_snapshot_free(struct qcow2_snapshot *s);
int qcow2_snapshots(struct image *m, struct image_snapshot *list, unsigned room);
int qcow2_snapshot(struct image *m, enum image_snapshot_verb verb, const char *id_or_name, struct err *e);

/* ---- qcow2_tree.c: all that an L1 table leads to ---- */
int qcow2_l1_load(struct qcow2 *q, u64 off, u32 size, u64 **l1);
/* Adds to the counts of all clusters that it leads to. */
int qcow2_tree_add(struct qcow2 *q, const u64 *l1, u32 size, int add);
/* The COPIED flags of the active tables, by the counts. clear: none. */
int qcow2_tree_flags(struct qcow2 *q, bool clear, u64 *changed);

/* ---- qcow2_check.c: findings; qcow2_walk.c: references; qcow2_rebuild.c: counts made anew ---- */
struct qcow2_check {
	struct qcow2 *q;
	struct image_check *found;
	bool quiet; /* this pass over the tables reports nothing: another one did */
	u32 *counts;
	u64 first, n, total; /* clusters that counts[] is of; all that the file has */
	u64 last_host;       /* where the last data cluster was, for fragments */
};
void qcow2_report(struct qcow2_check *k, const char *fmt, ...) printf_like(2, 3);
void qcow2_found_corrupt(struct qcow2_check *k, const char *fmt, ...) printf_like(2, 3);
/* All that the image's tables lead to, in counts[]. without_counts: but not the refcount table and its blocks. */
int qcow2_walk(struct qcow2_check *k, bool without_counts);
/* Counts at another place, made from k->counts, which are without the old ones. */
int qcow2_rebuild(struct qcow2_check *k);
int qcow2_check(struct image *m, struct image_check *c, enum image_fix fix, struct err *e);

/* ---- qcow2_bitmap.c ---- */
/* Bitmaps that should follow the disk's changes will not: says so in each of them. */
int qcow2_bitmaps_out_of_date(struct qcow2 *q, bool *any);
/* Calls ref() for all clusters that bitmaps use. */
int qcow2_bitmaps_refs(struct qcow2 *q, int (*ref)(void *opaque, u64 off, u64 bytes), void *opaque);

/* ---- qcow2_info.c ---- */
void qcow2_info(struct image *m, void (*say)(void *opaque, const char *name, const char *value), void *opaque);

#endif
