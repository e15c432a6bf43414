/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report.h - a disk's host errors, for the operator: the guest sees each of them; the log has the first and how many
 * there are, in lines that grow fewer.
 */
#ifndef MICA_BLOCK_REPORT_H
#define MICA_BLOCK_REPORT_H

#include "block/block.h"

struct blk_report {
	u64 errors, next, last_ns; /* since the last quiet hour; how many are reported next; the last one */
};

/* r ended with res. What the guest asked for and cannot be had is no error. */
void blk_report(struct blk_report *p, const struct blk *b, const struct blk_req *r, int res);

#endif
