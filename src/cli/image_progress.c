/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_progress.c - how far a verb of mica image is (image.h): on a terminal one line that changes, begun when it
 * takes longer than a moment; elsewhere, when it is wanted, a line for each tenth.
 */
#include "base/i18n.h"
#include "cli/image.h"

#include <time.h>

#define SECOND 1000000000ull

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * SECOND + (u64)t.tv_nsec;
}

const char *image_size_text(u64 bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	static char text[4][32];
	static unsigned next;
	char *t = text[next++ % ARRAY_LEN(text)];
	unsigned u = 0;
	double v = (double)bytes;

	while (v >= 1024 && u + 1 < ARRAY_LEN(units)) {
		v /= 1024;
		u++;
	}
	snprintf(t, sizeof(text[0]), "%.*f %s",
		 v >= 100 || u == 0 || v == (double)(u64)v ? 0
		 : v >= 10                                 ? 1
							   : 2,
		 v, units[u]);
	return t;
}

void image_progress_begin(struct image_progress *p, const struct image_request *q)
{
	bool terminal = isatty(2) == 1;

	*p = (struct image_progress){ .verb = q->verb,
				      .terminal = terminal,
				      .on = !q->quiet && (terminal || q->progress),
				      .began_ns = now_ns() };
}

static void say(struct image_progress *p, u64 done, u64 total, u64 now, unsigned percent)
{
	u64 ns = MAX(now - p->began_ns, 1), rate = (u64)((double)done / (double)ns * (double)SECOND);
	u64 left = rate ? (total - done) / rate + 1 : 0;

	if (p->terminal)
		fputs("\r\033[K", stderr);
	fprintf(stderr, _("%s: %u %% of %s, %s/s, %llu:%02llu left"), p->verb, percent, image_size_text(total),
		image_size_text(rate), (unsigned long long)(left / 60), (unsigned long long)(left % 60));
	fputs(p->terminal ? "" : "\n", stderr);
	fflush(stderr);
	p->shown = p->terminal;
}

void image_progress_say(struct image_progress *p, u64 done, u64 total)
{
	u64 now = now_ns();

	if (!p->on || !total || done > total)
		return;
	unsigned percent = (unsigned)((double)done * 100 / (double)total);
	bool due = p->terminal ? now - p->said_ns >= SECOND / 5 && now - p->began_ns >= SECOND / 2
			       : percent / 10 > p->said_percent / 10;
	if (!due)
		return;
	p->said_ns = now;
	p->said_percent = percent;
	say(p, done, total, now, percent);
}

void image_progress_end(struct image_progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
