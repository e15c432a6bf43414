/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000_rx.c - frames to the guest: descriptors of three kinds (SDM 3.2.3; DS 7.1.5 to 7.1.8); see e1000_int.h.
 *
 *   legacy     16 bytes, one buffer
 *   extended   the same, and says more when it comes back (RFCTL.EXSTEN)
 *   split      32 bytes, up to four buffers, which are filled one after the other (RCTL.DTYP); headers are not split
 *              off, as the card may decide for each frame (HDRSP)
 */
#include "device/e1000/e1000_int.h"

#define RCTL_DTYP_SPLIT (1u << 10)
#define RFCTL_EXSTEN (1u << 15)
#define FRAMES_MAX 256 /* a turn */
#define FRAME_STD 1518
#define FRAME_LONG 16384
#define CRC_BYTES 4u

#define ST_DD 1u
#define ST_EOP 2u

enum outcome { DELIVERED, DROPPED, NO_ROOM };

bool e1000_rx_on(const struct e1000 *n)
{
	return n->rctl & RCTL_EN && !n->quiesced;
}

void e1000_rx_more(struct e1000 *n)
{
	if (!n->rx_stalled || !e1000_rx_on(n))
		return;
	n->rx_stalled = false;
	nic_wire_again(&n->wire);
}

/* ---- descriptors ---- */

static bool split(const struct e1000 *n)
{
	return n->kind == E1000_82574 && (n->rctl & 3 * RCTL_DTYP_SPLIT) == RCTL_DTYP_SPLIT;
}

/* Sizes of a descriptor's buffers; returns their sum. */
static u32 buffers(struct e1000 *n, u32 size[4])
{
	u32 bsize = n->rctl >> 16 & 3, flex = n->rctl >> 27 & 15, ps = e1000_get(n, R_PSRCTL);

	memset(size, 0, 4 * sizeof(*size));
	if (split(n)) {
		size[0] = (ps & 0x7f) * 128;
		for (unsigned i = 1; i < 4; i++)
			size[i] = (ps >> 8 * i & 0x3f) * 1024;
	} else if (n->kind == E1000_82574 && flex) {
		size[0] = flex * 1024;
	} else {
		size[0] = n->rctl >> 25 & 1 ? bsize ? 32768u >> bsize : 2048 : 2048u >> bsize;
	}
	return size[0] + size[1] + size[2] + size[3];
}

/* Which come back together, once the last word is there: the driver polls it (DD). */
static void write_back(struct e1000 *n, gpa_t at, const u32 *words, unsigned count, unsigned status)
{
	u8 *p = ram_ptr(n->ram, at, 4 * count);

	if (!p)
		return;
	for (unsigned i = 0; i < count; i++)
		if (i != status)
			__atomic_store_n((u32 *)(void *)(p + 4 * i), words[i], __ATOMIC_RELAXED);
	__atomic_store_n((u32 *)(void *)(p + 4 * status), words[status], __ATOMIC_RELEASE);
	ram_wrote_at(n->ram, (u64)(p - n->ram->host), 4 * count);
}

static void finish(struct e1000 *n, gpa_t at, const struct e1000_frame *f, const u32 used[4], bool last)
{
	u32 status = ST_DD | (last ? ST_EOP | f->status : 0), tag = last ? f->tag : 0, w[8] = { 0 };
	bool pcsd = e1000_get(n, R_RXCSUM) >> 13 & 1;

	if (!split(n) && !(n->kind == E1000_82574 && e1000_get(n, R_RFCTL) & RFCTL_EXSTEN)) {
		/* The address stays. Errors are the upper byte of the extended ones. */
		w[0] = used[0] | (u32)f->sum << 16;
		w[1] = (status & 0xff) | (status >> 24) << 8 | tag << 16;
		write_back(n, at + 8, w, 2, 1);
		return;
	}
	if (last) {
		w[0] = f->types | f->queue << 8;
		w[1] = pcsd ? f->hash : (u32)f->sum << 16;
	}
	w[2] = status;
	w[3] = used[0] | tag << 16;
	w[4] = used[1] << 16;
	w[5] = used[2] | used[3] << 16;
	write_back(n, at, w, split(n) ? 8 : 4, 2);
}

static enum outcome deliver(struct e1000 *n, const struct e1000_frame *f)
{
	struct e1000_ring *r = &n->rx[f->queue];
	u32 entries = e1000_ring_entries(r), step = split(n) ? 2 : 1, size[4], each = buffers(n, size);

	if (!entries || r->head >= entries || r->tail >= entries || !each)
		return NO_ROOM;
	u32 free = (r->tail + entries - r->head) % entries, need = ((u32)f->bytes + each - 1) / each * step;
	if (need >= entries) {
		e1000_count(n, STAT_ROC, 1);
		return DROPPED;
	}
	if (need > free)
		return NO_ROOM;
	for (size_t done = 0; done < f->bytes;) {
		gpa_t at = e1000_ring_base(r) + 16ull * r->head;
		u32 used[4] = { 0 };
		u8 d[32] = { 0 };

		ram_get(n->ram, at, d, 16 * step);
		for (unsigned i = 0; i < 4 && done < f->bytes; i++) {
			used[i] = (u32)MIN(size[i], f->bytes - done);
			if (used[i])
				ram_put(n->ram, ld_le64(d + 8 * i), f->at + done, used[i]); /* nobody's address: lost */
			done += used[i];
		}
		finish(n, at, f, used, done == f->bytes);
		r->head = (r->head + step) % entries;
	}
	/* Few are left now, and were not before (RCTL.RDMTS: a half, a quarter, an eighth). */
	u32 few = entries >> (1 + MIN(n->rctl >> 8 & 3, 2)), left = free - need;
	if (left <= few && free > few)
		e1000_cause(n, CAUSE_RXDMT0);
	u32 cause = CAUSE_RXT0 | (n->kind == E1000_82574 ? CAUSE_RXQ(f->queue) : 0);
	if (f->bytes <= e1000_get(n, R_RSRPD))
		e1000_cause(n, cause | CAUSE_SRPD);
	else
		e1000_cause_later(n, true, cause);
	return DELIVERED;
}

/* ---- frames ---- */

static u16 ld_be16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

/* IEEE 802.3 3.2.9, the least significant bit first. */
static u32 crc32(const u8 *p, size_t bytes)
{
	static const u32 of[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
				    0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
				    0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };
	u32 c = ~0u;

	for (size_t i = 0; i < bytes; i++) {
		c ^= p[i];
		c = of[c & 15] ^ c >> 4;
		c = of[c & 15] ^ c >> 4;
	}
	return ~c;
}

/* The longest that the driver takes, without the CRC. */
static size_t longest(const struct e1000 *n, const u8 *frame)
{
	return (n->rctl & RCTL_LPE ? FRAME_LONG : FRAME_STD) - CRC_BYTES + (ld_be16(frame + 12) == 0x8100 ? 4 : 0);
}

/* A frame, with room for a CRC and for what a short one lacks: is it for the guest, and what is said of it? */
static bool take(struct e1000 *n, u8 *frame, size_t bytes)
{
	if (bytes < 60) { /* a wire has no shorter ones */
		memset(frame + bytes, 0, 60 - bytes);
		bytes = 60;
	}
	e1000_count(n, STAT_TPR, 1);
	e1000_count64(n, STAT_TOR, (u32)bytes + CRC_BYTES);
	if (bytes > longest(n, frame)) {
		e1000_count(n, STAT_ROC, 1);
		return false;
	}
	if (!e1000_wanted(n, frame, bytes))
		return false;
	bool crc = !(n->rctl & RCTL_SECRC);
	if (crc)
		st_le32(frame + bytes, crc32(frame, bytes));
	e1000_look(n, frame, bytes, &n->made);
	n->made.bytes += crc ? CRC_BYTES : 0;
	return true;
}

/* The next frame for the guest, or a piece of one, into n->made; there may be none in it. False: none waits. */
static bool next(struct e1000 *n)
{
	if (!n->cutting) {
		size_t bytes = nic_wire_recv(&n->wire, n->frame);
		if (!bytes)
			return false;
		if (!e1000_link_up(n) || e1000_loopback(n))
			return true;
		if (bytes <= longest(n, n->frame) || !nic_cut_begin(&n->cut, n->frame, bytes)) {
			take(n, n->frame, bytes);
			return true;
		}
	}
	size_t bytes = nic_cut_next(&n->cut, n->frame, n->piece);
	n->cutting = bytes;
	if (bytes)
		take(n, n->piece, bytes);
	return true;
}

void e1000_receive(struct e1000 *n, u64 until)
{
	unsigned i = 0;

	while (!n->rx_stalled && e1000_rx_on(n)) {
		if (!n->made.bytes && (i++ >= FRAMES_MAX || clock_mono_ns() >= until || !next(n)))
			break;
		if (n->made.bytes && deliver(n, &n->made) == NO_ROOM)
			n->rx_stalled = true;
		else
			n->made.bytes = 0;
	}
	if (n->cutting && !n->rx_stalled && e1000_rx_on(n))
		nic_wire_again(&n->wire); /* nothing that waits in the socket may call us */
}

void e1000_receive_own(struct e1000 *n, const u8 *frame, size_t bytes)
{
	if (n->made.bytes || n->cutting || !e1000_rx_on(n))
		return;
	memcpy(n->frame, frame, bytes);
	if (take(n, n->frame, bytes))
		deliver(n, &n->made);
	n->made.bytes = 0;
}
