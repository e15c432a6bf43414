/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_close.c - the end: counts that are still to be written, the dirty bit, memory. */
#include "image/qcow2_int.h"

void qcow2_free_all(struct qcow2 *q)
{
	for (unsigned i = 0; i < q->next; i++)
		free(q->ext[i].data);
	for (u32 i = 0; i < q->nsnapshots; i++)
		qcow2_snapshot_free(&q->snapshots[i]);
	qcow2_cache_free(q->l2_cache);
	qcow2_cache_free(q->ref_cache);
	free(q->ext);
	free(q->snapshots);
	free(q->l1);
	free(q->rt);
	free(q->frees);
	free(q->pending);
	free(q->plain);
	free(q->packed);
	free(q->bounce);
	free(q);
}

/* With lazy refcounts they are written now; when all of it is there, the image is not dirty any more. */
static void settle(struct qcow2 *q)
{
	if (qcow2_cache_is_dirty(q->l2_cache) || q->l1_dirty_from < q->l1_dirty_to || q->nfrees)
		return; /* the flush failed */
	int rc = qcow2_write_refcounts(q);
	if (rc == 0 && q->lazy)
		rc = image_sync(q->file);
	if (rc == 0 && q->lazy && q->incompat & QCOW2_INCOMPAT_DIRTY)
		qcow2_features(q, 0, QCOW2_INCOMPAT_DIRTY);
}

void qcow2_close(struct image *m)
{
	struct qcow2 *q = qcow2_of(m);

	/* What was prepared and neither committed nor abandoned was never referenced. */
	while (q->npending)
		qcow2_abandon(m, q->pending[0].off, q->pending[0].bytes);
	if (!m->readonly && !q->broken)
		settle(q);
	qcow2_free_all(q);
}
