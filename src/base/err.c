/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err.c - see err.h. */
#include "base/err.h"
#include "base/plain.h"

#include <stdarg.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
	must(code > 0);
	if (e) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
		va_end(ap);
		plain_text(e->msg);
		e->code = code;
	}
	return -code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	must(code > 0);
	if (e) {
		va_list ap;
		va_start(ap, fmt);
		int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
		va_end(ap);
		if (n >= 0 && (size_t)n < sizeof(e->msg))
			snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", strerror(code));
		plain_text(e->msg);
		e->code = code;
	}
	return -code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	if (!e)
		return -EIO;
	char old[sizeof(e->msg)];
	memcpy(old, e->msg, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->msg))
		snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", old);
	plain_text(e->msg);
	return -e->code;
}
