/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nvme_admin.c - the admin command set (NVMe 1.4, chapter 5): queues, features; what the controller says of itself is
 * in nvme_identify.c. */
#include "device/nvme/nvme_int.h"

#define FEATURE_CACHE 6
#define FEATURE_QUEUES 7
#define CC_IOSQES(cc) ((cc) >> 16 & 15)
#define CC_IOCQES(cc) ((cc) >> 20 & 15)

/* ---- queues (5.3 to 5.6) ---- */

static int create_cq(struct nvme_cmd *c)
{
	struct nvme *n = c->n;
	unsigned q = nvme_dw(c, 10) & 0xffff, size = (nvme_dw(c, 10) >> 16) + 1, vector = nvme_dw(c, 11) >> 16;
	gpa_t base = ld_le64(c->e + 24);

	if (!q || q >= NVME_QUEUES || n->cq[q].on)
		return NVME_BAD_QUEUE_ID;
	if (size < 2 || size > NVME_ENTRIES_MAX || CC_IOCQES(n->cc) != 4)
		return NVME_BAD_QUEUE_SIZE;
	if (vector >= NVME_QUEUES)
		return NVME_BAD_VECTOR;
	if (!(nvme_dw(c, 11) & 1)) /* in pieces: we say that we cannot (CAP.CQR) */
		return NVME_BAD_FIELD;
	if (base % PAGE_BYTES)
		return NVME_BAD_PRP_OFFSET;
	n->cq[q] = (struct nvme_cq){
		.on = true,
		.interrupts = nvme_dw(c, 11) & 2,
		.phase = true,
		.size = (u16)size,
		.vector = (u16)vector,
		.base = base,
	};
	return NVME_OK;
}

static int create_sq(struct nvme_cmd *c)
{
	struct nvme *n = c->n;
	unsigned q = nvme_dw(c, 10) & 0xffff, size = (nvme_dw(c, 10) >> 16) + 1, cq = nvme_dw(c, 11) >> 16;
	gpa_t base = ld_le64(c->e + 24);

	if (!q || q >= NVME_QUEUES || n->sq[q].on)
		return NVME_BAD_QUEUE_ID;
	if (!cq || cq >= NVME_QUEUES || !n->cq[cq].on)
		return NVME_BAD_CQ;
	if (size < 2 || size > NVME_ENTRIES_MAX || CC_IOSQES(n->cc) != 6)
		return NVME_BAD_QUEUE_SIZE;
	if (!(nvme_dw(c, 11) & 1))
		return NVME_BAD_FIELD;
	if (base % PAGE_BYTES)
		return NVME_BAD_PRP_OFFSET;
	n->sq[q] = (struct nvme_sq){ .on = true, .size = (u16)size, .cq = (u16)cq, .base = base };
	n->cq[cq].users++;
	return NVME_OK;
}

void nvme_sq_delete(struct nvme *n, unsigned q)
{
	n->cq[n->sq[q].cq].users--;
	memset(&n->sq[q], 0, sizeof(n->sq[q]));
}

static int delete_sq(struct nvme_cmd *c)
{
	struct nvme *n = c->n;
	unsigned q = nvme_dw(c, 10) & 0xffff;

	if (!q || q >= NVME_QUEUES || !n->sq[q].on || n->sq[q].deletion)
		return NVME_BAD_QUEUE_ID;
	n->sq[q].deletion = c; /* nvme_settle() completes it */
	return NVME_LATER;
}

static int delete_cq(struct nvme_cmd *c)
{
	struct nvme *n = c->n;
	unsigned q = nvme_dw(c, 10) & 0xffff;

	if (!q || q >= NVME_QUEUES || !n->cq[q].on)
		return NVME_BAD_QUEUE_ID;
	if (n->cq[q].users)
		return NVME_BAD_DELETION;
	memset(&n->cq[q], 0, sizeof(n->cq[q]));
	return NVME_OK;
}

/* ---- features (5.14, 5.21) ---- */

static bool known(unsigned f)
{
	return f && f < NVME_FEATURES && f != 3; /* no LBA range types */
}

static u32 queues(void)
{
	return (NVME_IO_QUEUES - 1) | (NVME_IO_QUEUES - 1) << 16;
}

static int get_feature(struct nvme_cmd *c)
{
	unsigned f = nvme_dw(c, 10) & 0xff, select = nvme_dw(c, 10) >> 8 & 7;

	if (!known(f) || select == 2) /* saved: nothing is */
		return NVME_BAD_FIELD;
	if (select == 3)
		c->result = 4; /* can be changed */
	else if (f == FEATURE_QUEUES)
		c->result = queues();
	else
		c->result = select ? f == FEATURE_CACHE : c->n->feature[f];
	return NVME_OK;
}

static int set_feature(struct nvme_cmd *c)
{
	unsigned f = nvme_dw(c, 10) & 0xff;
	u32 v = nvme_dw(c, 11);

	if (nvme_dw(c, 10) >> 31)
		return NVME_NOT_SAVEABLE;
	if (!known(f))
		return NVME_BAD_FIELD;
	if (f == FEATURE_QUEUES) {
		if ((v & 0xffff) == 0xffff || v >> 16 == 0xffff)
			return NVME_BAD_FIELD;
		c->result = queues();
		return NVME_OK;
	}
	c->n->feature[f] = f == FEATURE_CACHE ? v & 1 : v;
	return NVME_OK;
}

/* Events are never sent: there is nothing to tell. The request stays until a reset (5.2). */
static int wait_for_event(struct nvme_cmd *c)
{
	struct nvme *n = c->n;

	if (n->naers == NVME_AERS)
		return NVME_TOO_MANY_AERS;
	n->aer[n->naers++] = ld_le16(c->e + 2);
	return NVME_NEVER;
}

int nvme_admin(struct nvme_cmd *c)
{
	switch (c->e[0]) {
	case 0x00:
		return delete_sq(c);
	case 0x01:
		return create_sq(c);
	case 0x02:
		return nvme_log(c);
	case 0x04:
		return delete_cq(c);
	case 0x05:
		return create_cq(c);
	case 0x06:
		return nvme_identify(c);
	case 0x08: /* ABORT: it was too late */
		c->result = 1;
		return NVME_OK;
	case 0x09:
		return set_feature(c);
	case 0x0a:
		return get_feature(c);
	case 0x0c:
		return wait_for_event(c);
	default:
		return NVME_BAD_OPCODE;
	}
}
