/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_file.c - reads kernels, initrds and modules. */
#include "machine/boot.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define HUGE_BYTES (2 * MIB)

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
 * From file to file within the kernel: pages of guest memory are then not zeroed before they are filled, neither they
 * nor the kernel's are mapped here, and nothing faults. Copying is most of what starting a VM costs.
 */
static bool copy_fast(const struct boot_file *f, u64 off, const struct ram *ram, u64 at, u64 bytes)
{
	/* One writer: vCPUs do not run, and devices do not use the descriptor's position. */
	off_t from = (off_t)off;

	if (off > f->bytes || bytes > f->bytes - off || lseek(ram->memfd, (off_t)at, SEEK_SET) < 0)
		return false;
	while (bytes) {
		ssize_t n = sendfile(ram->memfd, f->fd, &from, MIN(bytes, 1ull << 30));

		if (n <= 0)
			return false; /* also where the file has become shorter, and from the sandbox */
		bytes -= (u64)n;
	}
	return true;
}

static bool copy(const struct boot_file *f, u64 off, const struct ram *ram, u64 at, u64 bytes)
{
	bool large = ram_load_begin(ram, at), done = copy_fast(f, off, ram, at, bytes);

	if (large)
		ram_load_end(ram);
	return done;
}

int boot_file_to_ram(const struct boot_file *f, u64 off, struct ram *ram, gpa_t gpa, u64 bytes, struct err *e)
{
	u8 *p = ram_ptr(ram, gpa, bytes);

	if (!p)
		return err_set(e, ENOMEM, "%s does not fit into guest memory: %llu bytes at %#llx", f->path,
			       (unsigned long long)bytes, (unsigned long long)gpa);
	int rc = copy(f, off, ram, (u64)(p - ram->host), bytes) ? 0 : boot_file_read(f, off, p, bytes, e);
	ram_wrote(ram, gpa, bytes);
	return rc;
}
