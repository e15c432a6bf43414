/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.c - see report.h. */
#include "block/report.h"
#include "base/clock.h"
#include "base/i18n.h"
#include "base/log.h"

/* Errors are reported as their number reaches 1, 10, 100, ...; after so long without one it begins anew. */
#define FORGET_NS (3600 * NSEC_PER_SEC)

static const char *op_name(enum blk_op op)
{
	static const char *const names[] = {
		[BLK_READ] = N_("read"),
		[BLK_WRITE] = N_("write"),
		[BLK_FLUSH] = N_("flush"),
		[BLK_DISCARD] = N_("discard"),
		[BLK_WRITE_ZEROES] = N_("write-zeroes"),
	};
	return names[op];
}

static const char *advice(int code)
{
	switch (code) {
	case ENOSPC:
	case EDQUOT:
		return N_("make room on the host's file system, or the guest's file systems may go read-only");
	case EIO:
		return N_(
		    "the host's storage fails, or the image became shorter: look at the host's kernel log, and save "
		    "what can be read");
	default:
		return N_("look at the host's kernel log and at the storage that holds the image");
	}
}

void blk_report(struct blk_report *p, const struct blk *b, const struct blk_req *r, int res)
{
	u64 now = clock_mono_ns();

	if (res >= 0 || res == -EINVAL || res == -EROFS || res == -ECANCELED || res == -ENOMEDIUM)
		return;
	if (!p->errors || now - p->last_ns > FORGET_NS) {
		p->errors = 0;
		p->next = 1;
	}
	p->last_ns = now;
	if (++p->errors != p->next)
		return;
	p->next *= 10;
	auto_free char *count = p->errors == 1 ? xasprintf(_("1 such error so far, the next line comes at %llu"),
							   (unsigned long long)p->next)
					       : xasprintf(_("%llu such errors so far, the next line comes at %llu"),
							   (unsigned long long)p->errors, (unsigned long long)p->next);
	log_warn("disk '%s': the host failed a %s of %llu bytes at %llu: %s (errno %d); %s. %s", blk_name(b),
		 _(op_name(r->op)), (unsigned long long)r->bytes, (unsigned long long)r->off, strerror(-res), -res,
		 _(advice(-res)), count);
}
