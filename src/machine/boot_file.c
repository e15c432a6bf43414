/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_file.c - reads kernels, initrds and modules. */
#include "machine/boot.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int open_path(const char *path)
{
	/* O_NONBLOCK: opening a FIFO must not wait for a writer; it is refused below. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int boot_file_open(struct boot_file *f, const struct boot_params *p, const char *what, const char *path, struct err *e)
{
	auto_close int fd = p->open ? p->open(p->open_opaque, path) : open_path(path);
	struct stat st;

	if (fd < 0)
		return err_sys(e, -fd, "cannot open %s %s", what, path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot stat %s %s", what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s %s is not a regular file", what, path);
	if (st.st_size == 0)
		return err_set(e, ENOEXEC, "%s %s is empty", what, path);
	*f = (struct boot_file){ .fd = steal_fd(&fd), .path = path, .bytes = (u64)st.st_size };
	return 0;
}

void boot_file_close(struct boot_file *f)
{
	close(f->fd);
	f->fd = -1;
}

int boot_file_read(const struct boot_file *f, u64 off, void *buf, u64 bytes, struct err *e)
{
	u8 *p = buf;

	if (off > f->bytes || bytes > f->bytes - off)
		return err_set(
		    e, ENOEXEC, "%s is cut short or damaged: %llu bytes are expected at offset %llu, it has %llu",
		    f->path, (unsigned long long)bytes, (unsigned long long)off, (unsigned long long)f->bytes);
	while (bytes) {
		ssize_t n = pread(f->fd, p, MIN(bytes, 1ull << 30), (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "cannot read %s", f->path);
		if (n == 0)
			return err_set(e, EIO, "%s has become shorter while it was read", f->path);
		p += n;
		off += (u64)n;
		bytes -= (u64)n;
	}
	return 0;
}

/*
 * By write(2) into the memory's file, from a mapping of the kernel's: pages are then not zeroed before they are
 * filled and not faulted in one by one, which is most of what starting a VM costs.
 */
static bool copy_fast(const struct boot_file *f, u64 off, const struct ram *ram, u64 at, u64 bytes)
{
	u64 skip = off % PAGE_BYTES, done = 0;

	if (!bytes || off > f->bytes || bytes > f->bytes - off)
		return false;
	u8 *p = mmap(NULL, bytes + skip, PROT_READ, MAP_PRIVATE | MAP_POPULATE, f->fd, (off_t)(off - skip));
	if (p == MAP_FAILED)
		return false;
	while (done < bytes) {
		ssize_t n = pwrite(ram->memfd, p + skip + done, MIN(bytes - done, 1ull << 30), (off_t)(at + done));

		if (n <= 0)
			break; /* -EFAULT where the file has become shorter */
		done += (u64)n;
	}
	munmap(p, bytes + skip);
	return done == bytes;
}

int boot_file_to_ram(const struct boot_file *f, u64 off, struct ram *ram, gpa_t gpa, u64 bytes, struct err *e)
{
	u8 *p = ram_ptr(ram, gpa, bytes);

	if (!p)
		return err_set(e, ENOMEM, "%s does not fit into guest memory: %llu bytes at %#llx", f->path,
			       (unsigned long long)bytes, (unsigned long long)gpa);
	int rc = copy_fast(f, off, ram, (u64)(p - ram->host), bytes) ? 0 : boot_file_read(f, off, p, bytes, e);
	ram_wrote(ram, gpa, bytes);
	return rc;
}
