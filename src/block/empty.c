/* SPDX-License-Identifier: GPL-2.0-or-later */
/* empty.c - a drive without a medium: a disk of no size, whose every request fails. See blk_change() in block.h. */
#include "block/format.h"

static void empty_submit(struct blk_node *n, struct blk_req *r)
{
	node_done_later(n, r, r->op == BLK_FLUSH ? 0 : -ENOMEDIUM);
}

static void empty_close(struct blk_node *n)
{
	free(n);
}

static const struct blk_driver empty_driver = { .name = "empty", .submit = empty_submit, .close = empty_close };

static int empty_open(struct blk_node **out, const struct blk_open *o, struct err *e)
{
	struct blk_node *n = xcalloc(1, sizeof(*n));

	(void)e;
	*n = (struct blk_node){ .drv = &empty_driver, .q = o->q, .readonly = true };
	*out = n;
	return 0;
}

const struct blk_format blk_format_empty = {
	.name = "empty",
	.title = "no medium",
	.open = empty_open,
};
