/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nvme_queue.c - commands come in submission queues, completions go out in completion queues (NVMe 1.4, chapter 4).
 *
 * A command is taken only when there is a free struct nvme_cmd, and room in its completion queue for all that are
 * under way to it, so that a completion never has to wait. Queues are served in turns. A visit takes VISIT commands at
 * most, each with at most NVME_IOV_MAX pieces of memory; a timer of the loop goes on with the rest.
 */
#include "device/nvme/nvme_int.h"

#define VISIT 64u
#define ENTRY_BYTES 64u
#define COMPLETION_BYTES 16u

/* ---- slots ---- */

static struct nvme_cmd *get(struct nvme *n)
{
	struct nvme_cmd *c = n->free;

	if (c)
		n->free = c->next_free;
	else if (n->fresh < NVME_SLOTS)
		c = &n->cmds[n->fresh++];
	return c;
}

static void put(struct nvme_cmd *c)
{
	struct nvme *n = c->n;

	c->next_free = n->free;
	n->free = c;
	n->under_way--;
}

/* ---- memory (PRPs: 4.3) ---- */

static int add_page(struct nvme_cmd *c, gpa_t at, u64 bytes)
{
	const struct ram *ram = c->n->ram;
	u8 *p = c->to_host ? ram_ptr(ram, at, bytes) : (u8 *)(uintptr_t)ram_ptr_ro(ram, at, bytes);
	struct iovec *last = c->niov ? &c->iov[c->niov - 1] : NULL;

	if (!p)
		return NVME_TRANSFER_ERROR;
	if (last && (u8 *)last->iov_base + last->iov_len == p)
		last->iov_len += bytes;
	else
		c->iov[c->niov++] = (struct iovec){ p, bytes };
	return NVME_OK;
}

/* Entries of a list; the last one of a page leads to the next list, when more follow than that one names. */
static int add_list(struct nvme_cmd *c, gpa_t list, u64 bytes)
{
	u8 entry[8];

	if (list % 8)
		return NVME_BAD_PRP_OFFSET;
	while (bytes) {
		if (ram_get(c->n->ram, list, entry, sizeof(entry)) < 0)
			return NVME_TRANSFER_ERROR;
		gpa_t at = ld_le64(entry);
		if (at % PAGE_BYTES)
			return NVME_BAD_PRP_OFFSET;
		if (list % PAGE_BYTES == PAGE_BYTES - 8 && bytes > PAGE_BYTES) {
			/* Such a list leads on only once in so little data: it begins a page of 512 entries. */
			list = at;
			continue;
		}
		u64 k = MIN(bytes, PAGE_BYTES);
		int r = add_page(c, at, k);
		if (r != NVME_OK)
			return r;
		bytes -= k;
		list += 8;
	}
	return NVME_OK;
}

int nvme_map(struct nvme_cmd *c, u64 bytes, bool to_host)
{
	gpa_t first = ld_le64(c->e + 24), second = ld_le64(c->e + 32);
	u64 k = MIN(bytes, PAGE_BYTES - first % PAGE_BYTES);

	c->niov = 0;
	c->to_host = to_host;
	if (first % 4 || bytes > NVME_DATA_MAX)
		return first % 4 ? NVME_BAD_PRP_OFFSET : NVME_BAD_FIELD;
	int r = bytes ? add_page(c, first, k) : NVME_OK;
	bytes -= k;
	if (r != NVME_OK || !bytes)
		return r;
	if (bytes > PAGE_BYTES)
		return add_list(c, second, bytes);
	return second % PAGE_BYTES ? NVME_BAD_PRP_OFFSET : add_page(c, second, bytes);
}

static void wrote(struct nvme_cmd *c)
{
	const struct ram *ram = c->n->ram;

	for (unsigned i = 0; c->to_host && i < c->niov; i++)
		ram_wrote_at(ram, (u64)((u8 *)c->iov[i].iov_base - ram->host), c->iov[i].iov_len);
	c->niov = 0;
}

int nvme_answer(struct nvme_cmd *c, const void *data, u64 bytes)
{
	int r = nvme_map(c, bytes, true);
	const u8 *p = data;

	for (unsigned i = 0; r == NVME_OK && i < c->niov; i++) {
		memcpy(c->iov[i].iov_base, p, c->iov[i].iov_len);
		p += c->iov[i].iov_len;
	}
	return r;
}

/* ---- completions (4.6) ---- */

static bool room(const struct nvme_cq *q)
{
	unsigned used = (q->tail + q->size - q->head) % q->size;

	return used + q->owed + 1 < q->size;
}

static void post(struct nvme_cmd *c, int status)
{
	struct nvme *n = c->n;
	struct nvme_sq *sq = &n->sq[c->sq];
	struct nvme_cq *cq = &n->cq[sq->cq];
	u8 *p = ram_ptr(n->ram, cq->base + (u64)cq->tail * COMPLETION_BYTES, COMPLETION_BYTES);

	sq->under_way--;
	cq->owed--;
	if (!p) {
		n->failed = true; /* the queue is no memory: a fatal error (9.5) */
		return;
	}
	/* Nothing gets better by doing it again, but for errors of the host's disk. */
	u16 field = (u16)(status << 1 | (status && status >> 8 != 2 ? 1 << 15 : 0) | cq->phase);
	st_le32(p, c->result);
	st_le32(p + 4, 0);
	st_le32(p + 8, sq->head | (u32)c->sq << 16);
	__atomic_store_n((u32 *)(void *)(p + 12), ld_le16(c->e + 2) | (u32)field << 16, __ATOMIC_RELEASE);
	ram_wrote_at(n->ram, (u64)(p - n->ram->host), COMPLETION_BYTES);
	if (++cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	cq->raised = true;
}

void nvme_complete(struct nvme_cmd *c, int status)
{
	wrote(c);
	if (c->epoch == c->n->epoch)
		post(c, status);
	put(c);
}

void nvme_settle(struct nvme *n)
{
	bool level = false;

	for (unsigned q = 0; q < NVME_QUEUES; q++) {
		struct nvme_cmd *c = n->sq[q].deletion;
		if (c && !n->sq[q].under_way) {
			nvme_sq_delete(n, q);
			nvme_complete(c, NVME_OK);
		}
	}
	for (unsigned q = 0; q < NVME_QUEUES; q++) {
		struct nvme_cq *cq = &n->cq[q];
		if (cq->raised && cq->on && cq->interrupts)
			pci_msix_send(&n->pci, cq->vector);
		cq->raised = false;
		level |= cq->on && cq->interrupts && cq->head != cq->tail && !(n->masked >> (cq->vector & 31) & 1);
	}
	pci_intx(&n->pci, level);
}

/* ---- commands ---- */

static bool take(struct nvme *n, unsigned q)
{
	struct nvme_sq *sq = &n->sq[q];
	struct nvme_cmd *c;

	if (!sq->on || sq->head == sq->tail || sq->deletion || !room(&n->cq[sq->cq]) || !(c = get(n)))
		return false;
	n->under_way++;
	c->n = n;
	c->epoch = n->epoch;
	c->sq = (u16)q;
	c->result = 0;
	c->niov = 0;
	c->to_host = c->flush_after = c->flushing = false;
	c->range = c->nranges = 0;
	bool there = ram_get(n->ram, sq->base + (u64)sq->head * ENTRY_BYTES, c->e, sizeof(c->e)) == 0;
	sq->head = (u16)((sq->head + 1) % sq->size);
	sq->under_way++;
	n->cq[sq->cq].owed++;
	int status = NVME_TRANSFER_ERROR;
	if (there)
		status = c->e[1] & 0xc3 ? NVME_BAD_FIELD /* fused, or SGLs */ : q ? nvme_io(c) : nvme_admin(c);
	if (status == NVME_NEVER) {
		sq->under_way--;
		n->cq[sq->cq].owed--;
		put(c);
	} else if (status != NVME_LATER) {
		nvme_complete(c, status);
	}
	return true;
}

void nvme_run(struct nvme *n)
{
	unsigned left = VISIT, idle = 0;

	while (n->ready && !n->failed && !n->quiesced && idle < NVME_QUEUES) {
		if (!left) {
			loop_timer_arm(&n->again, 0);
			return;
		}
		unsigned q = n->turn;
		n->turn = (n->turn + 1) % NVME_QUEUES;
		if (take(n, q)) {
			idle = 0;
			left--;
		} else {
			idle++;
		}
	}
}

void nvme_again(void *opaque)
{
	struct nvme *n = opaque;

	fair_lock(&n->lock);
	blk_plug(n->blk);
	nvme_run(n);
	blk_unplug(n->blk);
	nvme_settle(n);
	fair_unlock(&n->lock);
}

void nvme_queues_reset(struct nvme *n)
{
	n->epoch++;
	for (unsigned q = 0; q < NVME_QUEUES; q++)
		if (n->sq[q].deletion)
			put(n->sq[q].deletion);
	memset(n->sq, 0, sizeof(n->sq));
	memset(n->cq, 0, sizeof(n->cq));
	n->naers = n->turn = 0;
}
