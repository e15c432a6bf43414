/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_memory.h - an image_file that is bytes in memory, for tests of formats; what is done to it can be watched. */
#ifndef MICA_TEST_IMAGE_MEMORY_H
#define MICA_TEST_IMAGE_MEMORY_H

#include "image/image.h"

enum image_memory_op { MEMORY_WRITE, MEMORY_ZERO, MEMORY_RESIZE, MEMORY_SYNC };

struct image_memory {
	struct image_file file; /* the first: image_file_close() frees it */
	u8 *bytes;
	u64 room, most; /* most: longer it does not get, -ENOSPC */
	void (*watch)(void *opaque, enum image_memory_op op, u64 off, const void *buf, u64 n);
	void *opaque;
};

static inline struct image_memory *image_memory_of(struct image_file *f)
{
	return container_of(f, struct image_memory, file);
}

static inline int image_memory_room(struct image_memory *m, u64 end)
{
	if (end > m->most)
		return -ENOSPC;
	if (end > m->room) {
		u64 room = MAX(end, m->room * 2);
		m->bytes = xrealloc(m->bytes, room);
		memset(m->bytes + m->room, 0, room - m->room);
		m->room = room;
	}
	return 0;
}

static inline void image_memory_watch(struct image_memory *m, enum image_memory_op op, u64 off, const void *buf, u64 n)
{
	if (m->watch)
		m->watch(m->opaque, op, off, buf, n);
}

static inline int image_memory_pread(struct image_file *f, void *buf, size_t n, u64 off)
{
	memcpy(buf, image_memory_of(f)->bytes + off, n);
	return 0;
}

static inline int image_memory_pwrite(struct image_file *f, const void *buf, size_t n, u64 off)
{
	struct image_memory *m = image_memory_of(f);
	int rc = image_memory_room(m, off + n);

	if (rc == 0)
		memcpy(m->bytes + off, buf, n);
	if (rc == 0)
		image_memory_watch(m, MEMORY_WRITE, off, buf, n);
	return rc;
}

static inline int image_memory_zero(struct image_file *f, u64 off, u64 n, bool unmap)
{
	struct image_memory *m = image_memory_of(f);

	(void)unmap;
	memset(m->bytes + off, 0, n);
	image_memory_watch(m, MEMORY_ZERO, off, NULL, n);
	return 0;
}

static inline int image_memory_resize(struct image_file *f, u64 bytes)
{
	struct image_memory *m = image_memory_of(f);
	int rc = image_memory_room(m, bytes);

	if (rc < 0)
		return rc;
	if (bytes < f->bytes)
		memset(m->bytes + bytes, 0, f->bytes - bytes);
	image_memory_watch(m, MEMORY_RESIZE, bytes, NULL, 0);
	return 0;
}

static inline int image_memory_sync(struct image_file *f)
{
	image_memory_watch(image_memory_of(f), MEMORY_SYNC, 0, NULL, 0);
	return 0;
}

static inline int image_memory_data(struct image_file *f, u64 off, u64 *data, u64 *end)
{
	*data = off;
	*end = f->bytes;
	return 0;
}

static inline void image_memory_close(struct image_file *f)
{
	free(image_memory_of(f)->bytes);
}

static inline struct image_memory *image_memory_new(const void *bytes, u64 n, unsigned id, bool readonly, u64 most)
{
	static const struct image_file_ops ops = { image_memory_pread,  image_memory_pwrite, image_memory_zero,
						   image_memory_resize, image_memory_sync,   image_memory_data,
						   image_memory_close };
	struct image_memory *m = xcalloc(1, sizeof(*m));

	*m = (struct image_memory){ .file = { .ops = &ops,
					      .fd = -1,
					      .id = id,
					      .bytes = n,
					      .readonly = readonly,
					      .name = xstrdup("memory") },
				    .bytes = xcalloc(1, n + 1),
				    .room = n,
				    .most = most };
	if (n)
		memcpy(m->bytes, bytes, n);
	return m;
}

#endif
