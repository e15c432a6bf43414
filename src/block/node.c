/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node.c - see node.h: the way of a request through the layers, and what is done with a whole stack. */
#include "block/node.h"

void node_done(struct blk_req *r, int res)
{
	if (!r->depth) {
		r->complete(r, res);
		return;
	}
	const struct blk_frame *f = node_frame(r);
	r->op = f->op;
	r->may_unmap = f->may_unmap;
	r->off = f->off;
	r->bytes = f->bytes;
	r->skip = f->skip;
	f->back(f->node, r, res);
}

void node_end_fn(struct blk_done *d, int res)
{
	node_done(container_of(d, struct blk_req, end), res);
}

void node_done_later(struct blk_node *n, struct blk_req *r, int res)
{
	r->end.fn = node_end_fn;
	blk_queue_push(n->q, &r->end, res);
}

struct blk_frame *node_enter(struct blk_node *n, struct blk_req *r,
			     void (*back)(struct blk_node *n, struct blk_req *r, int res))
{
	must(r->depth < BLK_LAYERS_MAX); /* as deep as the stack, which is bounded when it is made */
	struct blk_frame *f = &r->frame[r->depth++];

	f->node = n;
	f->back = back;
	f->op = r->op;
	f->may_unmap = r->may_unmap;
	f->off = r->off;
	f->bytes = r->bytes;
	f->skip = r->skip;
	return f;
}

void node_ask(struct blk_node *n, struct blk_req *r, void (*complete)(struct blk_req *r, int res))
{
	r->complete = complete;
	r->depth = 0;
	r->skip = 0;
	node_submit(n, r);
}

unsigned node_depth(const struct blk_node *n)
{
	unsigned deepest = 0;

	for (unsigned i = 0; i < BLK_CHILDREN; i++)
		if (n->child[i])
			deepest = MAX(deepest, node_depth(n->child[i]));
	return deepest + 1;
}

int node_sync(struct blk_node *n)
{
	int rc = 0;

	/* What a layer keeps of others must not be on the disk before them. */
	for (unsigned i = 0; i < BLK_CHILDREN; i++) {
		int r = n->child[i] ? node_sync(n->child[i]) : 0;
		rc = rc ? rc : r;
	}
	int r = n->drv->sync && !n->readonly && !n->temporary ? n->drv->sync(n) : 0;
	return rc ? rc : r;
}

void node_cancel(struct blk_node *n, bool on)
{
	if (n->drv->cancel)
		n->drv->cancel(n, on);
	for (unsigned i = 0; i < BLK_CHILDREN; i++)
		if (n->child[i])
			node_cancel(n->child[i], on);
}

void node_poll(struct blk_node *n)
{
	if (n->drv->poll)
		n->drv->poll(n);
	for (unsigned i = 0; i < BLK_CHILDREN; i++)
		if (n->child[i])
			node_poll(n->child[i]);
}

void node_close(struct blk_node *n)
{
	struct blk_node *child[BLK_CHILDREN];

	if (!n)
		return;
	memcpy(child, n->child, sizeof(child));
	n->drv->close(n);
	for (unsigned i = 0; i < BLK_CHILDREN; i++)
		node_close(child[i]);
}

const char *node_trouble(struct blk_node *n)
{
	const char *t = n->drv->trouble ? n->drv->trouble(n) : NULL;

	for (unsigned i = 0; i < BLK_CHILDREN && !t; i++)
		t = n->child[i] ? node_trouble(n->child[i]) : NULL;
	return t;
}

bool node_is_temporary(const struct blk_node *n)
{
	bool any = n->temporary;

	for (unsigned i = 0; i < BLK_CHILDREN && !any; i++)
		any = n->child[i] && node_is_temporary(n->child[i]);
	return any;
}
