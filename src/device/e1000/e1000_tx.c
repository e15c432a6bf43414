/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000_tx.c - frames from the guest: descriptors (SDM 3.3, 3.4; DS 7.2), gathered until one says that the frame ends;
 * see e1000_int.h.
 *
 *   legacy    one piece; a checksum from a byte on, by the descriptor itself
 *   context   says where checksums are and how to segment, for the data descriptors that follow
 *   data      one piece
 */
#include "device/e1000/e1000_int.h"

#define CMD_EOP 0x01u
#define CMD_IC 0x04u  /* legacy */
#define CMD_TSE 0x04u /* data */
#define CMD_RS 0x08u
#define CMD_DEXT 0x20u
#define CMD_VLE 0x40u
#define CMD_IDE 0x80u
#define TYPE_CONTEXT 0
#define TYPE_DATA 1
#define TUCMD_TCP 0x01u
#define TUCMD_IPV4 0x02u
#define TUCMD_TSE 0x04u
#define DD 1u

struct descriptor {
	u64 addr;
	u32 lower, upper;
};

static unsigned command(const struct descriptor *d)
{
	return d->lower >> 24;
}

static bool is_context(const struct descriptor *d)
{
	return command(d) & CMD_DEXT && (d->lower >> 20 & 15) == TYPE_CONTEXT;
}

static void set_context(struct e1000_tx *t, const struct descriptor *d)
{
	unsigned cmd = command(d);
	struct nic_headers *c = &t->context[!!(cmd & TUCMD_TSE)];

	c->ip_start = (u8)d->addr;
	c->ip_at = (u8)(d->addr >> 8);
	c->ip_end = (u16)(d->addr >> 16);
	c->tcp_start = (u8)(d->addr >> 32);
	c->tcp_at = (u8)(d->addr >> 40);
	c->tcp_end = (u16)(d->addr >> 48);
	c->header = (u8)(d->upper >> 8);
	c->mss = (u16)(d->upper >> 16);
	c->tcp = cmd & TUCMD_TCP;
	c->ipv4 = cmd & TUCMD_IPV4;
}

/* A piece more. What makes the frame longer than any network takes is not read, and it is dropped in the end. */
static void gather(struct e1000 *n, struct e1000_tx *t, u64 addr, u32 bytes)
{
	if (t->skip || !bytes)
		return;
	t->skip = bytes > NET_FRAME_MAX - t->bytes || ram_get(n->ram, addr, t->buf + t->bytes, bytes) < 0;
	if (!t->skip)
		t->bytes += bytes;
}

/* A data descriptor, of either format. If its frame cannot go now, it stays in the ring, and comes again. */
static enum e1000_sent data(struct e1000 *n, struct e1000_tx *t, const struct descriptor *d, u64 until)
{
	unsigned cmd = command(d);
	bool legacy = !(cmd & CMD_DEXT);
	u32 before = t->bytes, bytes = d->lower & (legacy ? 0xffff : 0xfffff);

	if (!t->begun) {
		t->begun = true;
		t->options = legacy ? 0 : (u8)(d->upper >> 8); /* the first one's count (SDM 3.3.7.2) */
		t->segment = !legacy && cmd & CMD_TSE;
		t->tagged = false;
		t->sent = 0;
	}
	gather(n, t, d->addr, bytes);
	if (cmd & CMD_VLE && n->ctrl & CTRL_VME) {
		t->tagged = true;
		t->tag = (u16)(d->upper >> 16);
	}
	if (!(cmd & CMD_EOP))
		return E1000_SENT;
	t->sum = legacy && cmd & CMD_IC; /* from CSS on, to CSO (SDM 3.3.3) */
	t->sum_from = (u8)(d->upper >> 8);
	t->sum_at = (u8)(d->lower >> 16);
	enum e1000_sent sent = t->skip ? E1000_SENT : e1000_send(n, t, until);
	if (sent != E1000_SENT) {
		t->bytes = before;
		return sent;
	}
	t->begun = t->skip = false;
	t->bytes = 0;
	return E1000_SENT;
}

/* The next descriptor of a queue. */
static enum e1000_sent step(struct e1000 *n, unsigned q, u64 until)
{
	struct e1000_tx *t = &n->tx[q];
	struct e1000_ring *r = &t->ring;
	gpa_t at = e1000_ring_base(r) + 16ull * r->head;
	struct descriptor d;

	if (ram_get(n->ram, at, &d, sizeof(d)) < 0) { /* nobody's memory: there is nothing in the ring */
		r->head = r->tail;
		return E1000_SENT;
	}
	enum e1000_sent sent = E1000_SENT;
	if (is_context(&d))
		set_context(t, &d);
	else
		sent = data(n, t, &d, until);
	if (sent != E1000_SENT)
		return sent;
	if (command(&d) & CMD_RS) {
		u32 done = d.upper | DD, cause = CAUSE_TXDW | (n->kind == E1000_82574 ? CAUSE_TXQ(q) : 0);

		ram_put(n->ram, at + 12, &done, sizeof(done));
		if (command(&d) & CMD_IDE)
			e1000_cause_later(n, false, cause);
		else
			e1000_cause(n, cause);
	}
	r->head = (r->head + 1) % e1000_ring_entries(r);
	return E1000_SENT;
}

static bool waits(const struct e1000_ring *r)
{
	u32 entries = e1000_ring_entries(r);

	return r->head != r->tail && r->head < entries && r->tail < entries;
}

bool e1000_tx_waits(const struct e1000 *n)
{
	return n->tctl & TCTL_EN && !n->quiesced && !n->stalled && (waits(&n->tx[0].ring) || waits(&n->tx[1].ring));
}

bool e1000_transmit(struct e1000 *n, u64 until)
{
	unsigned i = 0;

	if (!e1000_tx_waits(n))
		return true;
	for (unsigned q = 0; q < E1000_QUEUES; q++) {
		bool any = false;
		while (waits(&n->tx[q].ring)) {
			/* Most are cheap: the clock is looked at with every frame, and with every eighth piece. */
			if ((i++ % 8 == 0 || !n->tx[q].begun) && i > 1 && clock_mono_ns() >= until)
				return false;
			enum e1000_sent sent = step(n, q, until);
			n->stalled = sent == E1000_FULL;
			if (sent != E1000_SENT)
				return sent == E1000_FULL;
			any = true;
		}
		if (any)
			e1000_cause(n, CAUSE_TXQE);
	}
	return true;
}
