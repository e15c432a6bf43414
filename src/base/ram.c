/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ram.c - see ram.h. */
#include "base/ram.h"

#include <fcntl.h>
#include <sys/mman.h>

int ram_new(struct ram **out, u64 bytes, struct err *e)
{
	must(bytes && bytes % PAGE_BYTES == 0);
	auto_close int fd = memfd_create("mica-guest-ram", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot create guest memory (memfd)");
	if (ftruncate(fd, (off_t)bytes) < 0)
		return err_sys(e, errno, "cannot size guest memory to %llu MiB", (unsigned long long)(bytes / MIB));
	u8 *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "cannot map %llu MiB of guest memory", (unsigned long long)(bytes / MIB));
	struct ram *r = xcalloc(1, sizeof(*r));
	r->memfd = steal_fd(&fd);
	r->bytes = bytes;
	r->host = p;
	r->low_bytes = MIN(bytes, RAM_LOW_MAX);
	*out = r;
	return 0;
}

void ram_free(struct ram *r)
{
	if (!r)
		return;
	munmap(r->host, r->bytes);
	close(r->memfd);
	free(r);
}

int ram_get(const struct ram *r, gpa_t gpa, void *buf, u64 bytes)
{
	const u8 *p = ram_ptr(r, gpa, bytes);
	if (!p)
		return -EFAULT;
	memcpy(buf, p, bytes);
	return 0;
}

int ram_put(const struct ram *r, gpa_t gpa, const void *buf, u64 bytes)
{
	u8 *p = ram_ptr(r, gpa, bytes);
	if (!p)
		return -EFAULT;
	memcpy(p, buf, bytes);
	ram_wrote(r, gpa, bytes);
	return 0;
}

int ram_zero(const struct ram *r, gpa_t gpa, u64 bytes)
{
	u8 *p = ram_ptr(r, gpa, bytes);
	if (!p)
		return -EFAULT;
	memset(p, 0, bytes);
	ram_wrote(r, gpa, bytes);
	return 0;
}

int ram_discard(const struct ram *r, gpa_t gpa, u64 bytes)
{
	u8 *p = ram_ptr(r, gpa, bytes);
	if (!p)
		return -EFAULT;
	if (fallocate(r->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(p - r->host), (off_t)bytes) < 0)
		return -errno;
	ram_wrote(r, gpa, bytes);
	return 0;
}
