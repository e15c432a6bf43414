/* SPDX-License-Identifier: GPL-2.0-or-later */
/* code_memory.c - see code_memory.h. */
#include "cpu/soft/code_memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static int failed(size_t bytes, u8 **rw, u8 **rx, struct err *e)
{
	int r = err_sys(e, errno,
			"cannot map memory for generated code (does the host's policy forbid executable memfds?)");

	code_memory_unmap(bytes, *rw, *rx);
	*rw = *rx = NULL;
	return r;
}

static u8 *map(size_t bytes, int prot, int flags, int fd)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED | flags, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

int code_memory_map(const char *name, size_t bytes, u8 **rw, u8 **rx, struct err *e)
{
	auto_close int fd = -1;

	*rw = *rx = NULL;
#ifdef MFD_EXEC
	fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
#endif
	if (fd < 0)
		fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || !(*rw = map(bytes, PROT_READ | PROT_WRITE, 0, fd)) ||
	    !(*rx = map(bytes, PROT_READ | PROT_EXEC, 0, fd)))
		return failed(bytes, rw, rx, e);
	return 0;
}

int code_memory_map_anonymous(size_t bytes, u8 **rw, u8 **rx, struct err *e)
{
	*rx = NULL;
	if (!(*rw = map(bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1)))
		return failed(bytes, rw, rx, e);
	/* Of a shared mapping, from no bytes: another one of the same pages. */
	void *p = mremap(*rw, 0, bytes, MREMAP_MAYMOVE);
	if (p == MAP_FAILED)
		return failed(bytes, rw, rx, e);
	*rx = p;
	return mprotect(p, bytes, PROT_READ | PROT_EXEC) < 0 ? failed(bytes, rw, rx, e) : 0;
}

void code_memory_unmap(size_t bytes, u8 *rw, u8 *rx)
{
	if (rw)
		munmap(rw, bytes);
	if (rx)
		munmap(rx, bytes);
}
