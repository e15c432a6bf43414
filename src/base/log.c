/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.c - see log.h. */
#include "base/log.h"
#include "base/i18n.h"
#include "base/clock.h"
#include "base/plain.h"

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>

enum log_level log_level = LOG_LVL_WARN;

/* A pipe that is ready to be written has room for PIPE_BUF bytes, which no line exceeds. */
static bool emit(int wait_ms, const char *tag, const char *fmt, va_list ap)
{
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
	char buf[1024];
	int n = snprintf(buf, sizeof(buf), "mica: %s", tag);
	int m = vsnprintf(buf + n, sizeof(buf) - (size_t)n - 1, fmt, ap);

	n += m < 0 ? 0 : MIN(m, (int)sizeof(buf) - n - 2);
	/* A guest's bytes may be in the text: nothing but one plain line leaves. */
	buf[n] = '\0';
	plain_text(buf);
	buf[n++] = '\n';
	if (poll(&ready, 1, wait_ms) <= 0)
		return false;
	return write(STDERR_FILENO, buf, (size_t)n) == n;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	static const char *const tags[] = { N_("error: "), N_("warning: "), "", "debug: " };
	bool local = level <= LOG_LVL_WARN;
	va_list ap;

	if (level > log_level)
		return;
	va_start(ap, fmt);
	emit(LOG_WAIT_MS, local ? _(tags[level]) : tags[level], local ? _(fmt) : fmt, ap);
	va_end(ap);
}

static _Atomic u64 guest_caused, guest_written;

void log_guest(const char *fmt, ...)
{
	static _Atomic u64 window; /* second << 8 | lines in it */
	static _Atomic unsigned total;
	const char *tag = N_("guest: ");
	u64 now = clock_mono_ns() / NSEC_PER_SEC, w = atomic_load(&window), n;
	va_list ap;

	atomic_fetch_add(&guest_caused, 1);
	do {
		n = (w >> 8) == now ? w + 1 : (now << 8) + 1;
		if ((n & 0xff) > LOG_GUEST_SECOND)
			return;
	} while (!atomic_compare_exchange_weak(&window, &w, n));
	unsigned number = atomic_load(&total);
	do {
		if (number == LOG_GUEST_TOTAL)
			return;
	} while (!atomic_compare_exchange_weak(&total, &number, number + 1));
	if (number + 1 == LOG_GUEST_TOTAL)
		tag = N_("guest (further messages suppressed, this is line 1000): ");
	else if ((n & 0xff) == LOG_GUEST_SECOND)
		tag = N_("guest (more lines this second are dropped): ");
	va_start(ap, fmt);
	if (emit(0, _(tag), _(fmt), ap))
		atomic_fetch_add(&guest_written, 1);
	va_end(ap);
}

void log_guest_count(u64 *caused, u64 *dropped)
{
	u64 written = atomic_load(&guest_written);

	*caused = atomic_load(&guest_caused);
	*dropped = *caused - MIN(*caused, written);
}
