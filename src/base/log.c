/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.c - see log.h. */
#include "base/log.h"
#include "base/clock.h"
#include "base/plain.h"

#include <stdarg.h>
#include <stdatomic.h>

enum log_level log_level = LOG_LVL_WARN;

static void emit(const char *tag, const char *fmt, va_list ap)
{
	char buf[1024];
	int n = snprintf(buf, sizeof(buf), "mica: %s", tag);
	int m = vsnprintf(buf + n, sizeof(buf) - (size_t)n - 1, fmt, ap);

	n += m < 0 ? 0 : MIN(m, (int)sizeof(buf) - n - 2);
	/* A guest's bytes may be in the text: nothing but one plain line leaves. */
	buf[n] = '\0';
	plain_text(buf);
	buf[n++] = '\n';
	ssize_t r = write(STDERR_FILENO, buf, (size_t)n);
	(void)r;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	static const char *const tags[] = { "error: ", "warning: ", "", "debug: " };
	va_list ap;

	if (level > log_level)
		return;
	va_start(ap, fmt);
	emit(tags[level], fmt, ap);
	va_end(ap);
}

void log_guest(const char *fmt, ...)
{
	static _Atomic u64 window; /* second << 8 | lines in it */
	u64 now = clock_mono_ns() / 1000000000ull;
	u64 w = atomic_load(&window), n;
	va_list ap;

	do {
		n = (w >> 8) == now ? w + 1 : (now << 8) + 1;
		if ((n & 0xff) > 10)
			return;
	} while (!atomic_compare_exchange_weak(&window, &w, n));
	va_start(ap, fmt);
	emit((n & 0xff) == 10 ? "guest (more lines this second are dropped): " : "guest: ", fmt, ap);
	va_end(ap);
}
