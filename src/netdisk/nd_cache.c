/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nd_cache.c - see nd_cache.h. */
#include "netdisk/nd_cache.h"
#include "base/clock.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MAGIC "mica image cache 1\n"
#define BITS_AT 8192
#define COPIES 8u /* VMs that read the same image at a time */
#define SETTLE_NS (5 * NSEC_PER_SEC)

struct head {
	char magic[32], address[4096 - 32];
	u64 bytes;
	char version[256];
};
_Static_assert(sizeof(struct head) <= BITS_AT, "the bits follow it");

static u64 data_at(const struct nd_cache *c)
{
	return ROUND_UP(BITS_AT + c->nbits, ND_CACHE_BLOCK);
}

static bool bit(const struct nd_cache *c, u64 block)
{
	return c->bits[block / 8] >> (block % 8) & 1;
}

static u64 hash(const char *s)
{
	u64 h = 14695981039346656037ull; /* FNV-1a */

	for (; *s; s++)
		h = (h ^ (u8)*s) * 1099511628211ull;
	return h;
}

int nd_cache_open(struct nd_cache *c, const char *dir, const char *address, u64 most, struct err *e)
{
	*c = (struct nd_cache){ .fd = -1, .most = most };
	if (strlen(address) >= sizeof(((struct head *)0)->address))
		return err_set(e, ENAMETOOLONG, "the address is too long for cache=");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cache=%s", dir);
	for (unsigned i = 0; i < COPIES; i++) {
		struct head h;
		auto_free char *path = xasprintf("%s/%016llx-%u", dir, (unsigned long long)hash(address), i);
		auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return err_sys(e, errno, "%s", path);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			continue;
		ssize_t n = pread(fd, &h, sizeof(h), 0);
		bool ours = n == sizeof(h) && !memcmp(h.magic, MAGIC, sizeof(MAGIC));
		if (n > 0 && !ours) /* whatever it is */
			continue;
		h.address[sizeof(h.address) - 1] = '\0';
		if (!ours || strcmp(h.address, address)) {
			memset(&h, 0, sizeof(h));
			memcpy(h.magic, MAGIC, sizeof(MAGIC));
			memcpy(h.address, address, strlen(address));
			if (ftruncate(fd, 0) < 0 || pwrite(fd, &h, sizeof(h), 0) != sizeof(h))
				return err_sys(e, errno, "%s", path);
		}
		c->fd = steal_fd(&fd);
		return 0;
	}
	return err_set(
	    e, EBUSY,
	    "cache=%s: %u VMs use it for this image already, or these files are none of Mica's; name another folder",
	    dir, COPIES);
}

static bool put(struct nd_cache *c)
{
	return pwrite(c->fd, c->bits, c->nbits, BITS_AT) == (ssize_t)c->nbits && fdatasync(c->fd) == 0;
}

/* It cannot be used any more; the disk goes on without. */
static void give_up(struct nd_cache *c)
{
	close(c->fd);
	c->fd = -1;
}

int nd_cache_begin(struct nd_cache *c, u64 bytes, const char *version, struct err *e)
{
	struct head h;

	if (c->fd < 0 || c->bits)
		return 0;
	if (bytes > ND_CACHE_IMAGE_MAX)
		return err_set(e, EFBIG, "cache= is for images of at most 16 TiB");
	c->bytes = bytes;
	c->nbits = (size_t)ROUND_UP((bytes + ND_CACHE_BLOCK - 1) / ND_CACHE_BLOCK, 8) / 8;
	c->bits = xcalloc(1, c->nbits);
	if (pread(c->fd, &h, sizeof(h), 0) != sizeof(h))
		return err_set(e, EIO, "cannot read the file of cache=");
	h.version[sizeof(h.version) - 1] = '\0';
	if (h.bytes == bytes && !strcmp(h.version, version)) {
		ssize_t n = pread(c->fd, c->bits, c->nbits, BITS_AT);
		memset(c->bits + MAX(n, 0), 0, c->nbits - (size_t)MAX(n, 0));
		for (u64 i = 0; i < c->nbits * 8; i++)
			c->have += bit(c, i) ? ND_CACHE_BLOCK : 0;
		return 0;
	}
	/* Durably without bits before it is said to be of this version. */
	h.bytes = bytes;
	memset(h.version, 0, sizeof(h.version));
	snprintf(h.version, sizeof(h.version), "%s", version);
	if (ftruncate(c->fd, BITS_AT) < 0 || fdatasync(c->fd) < 0 || pwrite(c->fd, &h, sizeof(h), 0) != sizeof(h) ||
	    !put(c))
		return err_sys(e, errno, "cannot write the file of cache=");
	return 0;
}

bool nd_cache_read(struct nd_cache *c, u64 off, void *buf, size_t n)
{
	if (c->fd < 0 || !c->bits)
		return false;
	for (u64 b = off / ND_CACHE_BLOCK; b <= (off + n - 1) / ND_CACHE_BLOCK; b++)
		if (!bit(c, b))
			return false;
	return pread(c->fd, buf, n, (off_t)(data_at(c) + off)) == (ssize_t)n;
}

/* A sixteenth of it goes, in the order of places. */
static bool make_room(struct nd_cache *c)
{
	u64 blocks = (c->bytes + ND_CACHE_BLOCK - 1) / ND_CACHE_BLOCK, gone = 0, first = c->hand, n = 0;

	if (!blocks)
		return true;
	for (; n < blocks && gone < c->most / 16; n++) {
		u64 b = (first + n) % blocks;
		gone += bit(c, b) ? ND_CACHE_BLOCK : 0;
		c->bits[b / 8] &= (u8) ~(1u << (b % 8));
	}
	c->hand = (first + n) % blocks;
	c->have -= MIN(c->have, gone);
	if (fdatasync(c->fd) < 0 || !put(c)) /* INV-NC-1 */
		return false;
	c->unsafe_ns = 0;
	u64 end = first + n, before = MIN(end, blocks) - first;
	return fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)(data_at(c) + first * ND_CACHE_BLOCK), (off_t)(before * ND_CACHE_BLOCK)) == 0 &&
	       (end <= blocks || fallocate(c->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)data_at(c),
					   (off_t)((end - blocks) * ND_CACHE_BLOCK)) == 0);
}

void nd_cache_write(struct nd_cache *c, u64 off, const void *buf, size_t n)
{
	if (c->fd < 0 || !c->bits)
		return;
	must(off % ND_CACHE_BLOCK == 0 && off + n <= c->bytes && (n % ND_CACHE_BLOCK == 0 || off + n == c->bytes));
	if ((c->have + n > c->most && !make_room(c)) ||
	    pwrite(c->fd, buf, n, (off_t)(data_at(c) + off)) != (ssize_t)n) {
		give_up(c);
		return;
	}
	for (u64 b = off / ND_CACHE_BLOCK; b * ND_CACHE_BLOCK < off + n; b++) {
		c->have += bit(c, b) ? 0 : ND_CACHE_BLOCK;
		c->bits[b / 8] |= (u8)(1u << (b % 8));
	}
	if (!c->unsafe_ns)
		c->unsafe_ns = clock_mono_ns();
}

void nd_cache_settle(struct nd_cache *c, bool now)
{
	if (c->fd < 0 || !c->unsafe_ns || (!now && clock_mono_ns() - c->unsafe_ns < SETTLE_NS))
		return;
	c->unsafe_ns = 0;
	if (fdatasync(c->fd) < 0 || !put(c)) /* INV-NC-1 */
		give_up(c);
}
