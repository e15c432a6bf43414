/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err_names.c - what errors are called: a stable name for programs, and the text of an errno for people.
 *
 * Names are a part of the control protocol (docs/control-socket.md has the same table): they are added, never changed.
 * The texts are those of the C library. They are here because its own translations are often not installed, and ours
 * are.
 */
#include "base/err.h"
#include "base/i18n.h"

static const struct {
	int code;
	const char *name, *text;
} by_errno[] = {
	{ EACCES, "denied", N_("Permission denied") },
	{ EPERM, "not-permitted", N_("Operation not permitted") },
	{ EROFS, "read-only", N_("Read-only file system") },
	{ ENOENT, "not-found", N_("No such file or directory") },
	{ ENOTDIR, "not-found", N_("Not a directory") },
	{ ENXIO, "not-found", N_("No such device or address") },
	{ ENODEV, "not-found", N_("No such device") },
	{ EISDIR, "wrong-kind", N_("Is a directory") },
	{ ENOTBLK, "wrong-kind", N_("Block device required") },
	{ ENOTTY, "wrong-kind", N_("Inappropriate ioctl for device") },
	{ ESPIPE, "wrong-kind", N_("Illegal seek") },
	{ EEXIST, "exists", N_("File exists") },
	{ EADDRINUSE, "in-use", N_("Address already in use") },
	{ EADDRNOTAVAIL, "not-found", N_("Cannot assign requested address") },
	{ EBUSY, "busy", N_("Device or resource busy") },
	{ ETXTBSY, "busy", N_("Text file busy") },
	{ EAGAIN, "busy", N_("Resource temporarily unavailable") },
	{ EINVAL, "invalid", N_("Invalid argument") },
	{ EBADF, "invalid", N_("Bad file descriptor") },
	{ EDOM, "invalid", N_("Numerical argument out of domain") },
	{ EILSEQ, "invalid", N_("Invalid or incomplete multibyte or wide character") },
	{ ERANGE, "out-of-range", N_("Numerical result out of range") },
	{ E2BIG, "too-long", N_("Argument list too long") },
	{ ENAMETOOLONG, "too-long", N_("File name too long") },
	{ EFBIG, "no-space", N_("File too large") },
	{ ENOSPC, "no-space", N_("No space left on device") },
	{ EDQUOT, "no-space", N_("Disk quota exceeded") },
	{ ENOMEM, "no-memory", N_("Cannot allocate memory") },
	{ EMFILE, "no-descriptors", N_("Too many open files") },
	{ ENFILE, "no-descriptors", N_("Too many open files in system") },
	{ EIO, "io-error", N_("Input/output error") },
	{ EBADMSG, "damaged", N_("Bad message") },
	{ ENOEXEC, "damaged", N_("Exec format error") },
	{ ENOSYS, "unsupported", N_("Function not implemented") },
	{ ENOTSUP, "unsupported", N_("Operation not supported") },
	{ EPROTONOSUPPORT, "unsupported", N_("Protocol not supported") },
	{ ETIMEDOUT, "timed-out", N_("Connection timed out") },
	{ ETIME, "timed-out", N_("Timer expired") },
	{ EPIPE, "gone", N_("Broken pipe") },
	{ ECONNRESET, "gone", N_("Connection reset by peer") },
	{ ECONNREFUSED, "gone", N_("Connection refused") },
	{ ENOTCONN, "gone", N_("Transport endpoint is not connected") },
	{ ESHUTDOWN, "ending", N_("Cannot send after transport endpoint shutdown") },
	{ ECANCELED, "canceled", N_("Operation canceled") },
	{ EINTR, "canceled", N_("Interrupted system call") },
	{ EPROTO, "bad-answer", N_("Protocol error") },
	{ ESRCH, "gone", N_("No such process") },
	{ EFAULT, "failed", N_("Bad address") },
};

const char *err_name(const struct err *e)
{
	if (e->name[0])
		return e->name;
	for (size_t i = 0; i < ARRAY_LEN(by_errno); i++)
		if (by_errno[i].code == e->code)
			return by_errno[i].name;
	return "failed";
}

const char *err_errno_text(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(by_errno); i++)
		if (by_errno[i].code == code)
			return by_errno[i].text;
	const char *text = strerrordesc_np(code);
	return text ? text : "Unknown error";
}
