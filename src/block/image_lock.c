/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_lock.c - see image_lock.h. */
#include "block/image_lock.h"
#include "base/log.h"

#include <fcntl.h>

/*
 * Two VMs writing one image destroy it. The locks are QEMU's (block/file-posix.c there), so that each sees the other:
 * bytes of the file stand for what is done with it. A read lock on PERM + n says "I do n", one on UNSHARED + n "nobody
 * else may do n". Whoever has placed his own looks for those of others that forbid or contradict them. Locks are the
 * open file description's: they end with the last descriptor, however the process ends.
 */
enum { LOCK_PERM = 100, LOCK_UNSHARED = 200 };
enum { DOES_READ = 1 << 0, DOES_WRITE = 1 << 1, DOES_RESIZE = 1 << 3, DOES_BITS = 5 };

static int lock_byte(int fd, int cmd, short type, off_t at)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };

	if (fcntl(fd, cmd, &l) < 0)
		return -errno;
	return cmd == F_OFD_GETLK && l.l_type != F_UNLCK ? -EAGAIN : 0;
}

static int lock_bytes(int fd, unsigned does, unsigned unshared)
{
	int r = 0;

	for (unsigned i = 0; i < DOES_BITS && r == 0; i++) {
		if (does >> i & 1)
			r = lock_byte(fd, F_OFD_SETLK, F_RDLCK, LOCK_PERM + i);
		if (r == 0 && unshared >> i & 1)
			r = lock_byte(fd, F_OFD_SETLK, F_RDLCK, LOCK_UNSHARED + i);
	}
	/* Ours of the same description do not count here. */
	for (unsigned i = 0; i < DOES_BITS && r == 0; i++) {
		if (does >> i & 1)
			r = lock_byte(fd, F_OFD_GETLK, F_WRLCK, LOCK_UNSHARED + i);
		if (r == 0 && unshared >> i & 1)
			r = lock_byte(fd, F_OFD_GETLK, F_WRLCK, LOCK_PERM + i);
	}
	return r;
}

int image_lock(int fd, bool write, const char *path, struct err *e)
{
	int r = lock_bytes(fd, DOES_READ | (write ? DOES_WRITE | DOES_RESIZE : 0), DOES_WRITE | DOES_RESIZE);

	if (r == 0)
		return 0;
	if (r == -EAGAIN || r == -EACCES) {
		if (write)
			return err_set(e, EBUSY,
				       "disk image '%s' is in use by another VM or program; stop that first, or give "
				       "this VM a copy",
				       path);
		return err_set(e, EBUSY,
			       "disk image '%s' is being written by another VM or program; stop that first, or give "
			       "this VM a copy",
			       path);
	}
	log_warn("disk image '%s' cannot be locked (%s): nothing keeps two VMs from writing it", path, strerror(-r));
	return 0;
}
