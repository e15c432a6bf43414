/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000_offload.c - what is done to a frame before it goes: checksums, segments, a VLAN tag (SDM 3.4 to 3.6, 9.1; DS
 * 7.2.9 to 7.3); see e1000_int.h.
 *
 * Segments of TCP are made as large as the network takes frames, not as the driver's MSS is: that was chosen for a wire
 * of 1500 bytes, and whole ones of it are put together. Where the network takes no more than that wire, they are what
 * the driver asked for.
 */
#include "device/e1000/e1000_int.h"

#define POPTS_IXSM 1u
#define POPTS_TXSM 2u
#define ETHERNET 14u
#define TAG_BYTES 4u

static void st_be16(u8 *p, u16 v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

/* The IP header's own field is taken as 0; TCP's and UDP's has the pseudo header's sum. */
static void checksums(const struct nic_headers *h, u8 options, u8 *f, u32 bytes)
{
	if (options & POPTS_TXSM)
		nic_checksum(f, bytes, h->tcp_start, h->tcp_end, h->tcp_at);
	if (options & POPTS_IXSM)
		nic_checksum_ip(h, f, bytes);
}

/* Away with it; in loopback to the card itself. f has room for a tag. */
static bool emit(struct e1000 *n, const struct e1000_tx *t, u8 *f, u32 bytes)
{
	if (bytes < NET_FRAME_MIN)
		return true;
	if (t->tagged && bytes <= NET_FRAME_MAX - TAG_BYTES) {
		memmove(f + 12 + TAG_BYTES, f + 12, bytes - 12);
		st_be16(f + 12, (u16)e1000_get(n, R_VET));
		st_be16(f + 14, t->tag);
		bytes += TAG_BYTES;
	}
	if (e1000_loopback(n))
		e1000_receive_own(n, f, bytes);
	else if (bytes - ETHERNET <= n->wire.mtu + (t->tagged ? TAG_BYTES : 0) && e1000_link_up(n) &&
		 !nic_wire_send(&n->wire, f, bytes))
		return false;
	bool multi = f[0] & 1;
	u32 long_bytes = bytes + 4; /* with the CRC */
	e1000_count(n, STAT_GPTC, 1);
	e1000_count(n, STAT_TPT, 1);
	e1000_count64(n, STAT_GOTC, long_bytes);
	e1000_count64(n, STAT_TOT, long_bytes);
	e1000_count(n, STAT_PTC64 + e1000_size_class(long_bytes), 1);
	if (multi)
		e1000_count(n, ld_le32(f) == ~0u && ld_le16(f + 4) == 0xffff ? STAT_BPTC : STAT_MPTC, 1);
	return true;
}

/* SDM 3.5.2, 3.5.2.5 */
static enum e1000_sent send_segments(struct e1000 *n, struct e1000_tx *t, u64 until)
{
	const struct nic_headers *h = &t->context[1];
	u32 header = h->header, mss = h->mss, each = mss;

	if (!mss || !nic_headers_fit(h, t->bytes))
		return E1000_SENT;
	u32 room = n->wire.mtu + ETHERNET;
	if (h->tcp && !e1000_loopback(n) && room > header + mss)
		each = (room - header) / mss * mss;
	while (t->sent < t->bytes - header) {
		u32 off = t->sent, payload = MIN(each, t->bytes - header - off), bytes = header + payload;
		u8 *f = n->out;

		memcpy(f, t->buf, header);
		memcpy(f + header, t->buf + header + off, payload);
		nic_segment(h, f, bytes, off, off / mss, off + payload == t->bytes - header);
		checksums(h, t->options, f, bytes);
		if (!emit(n, t, f, bytes))
			return E1000_FULL;
		t->sent = off + payload;
		if (t->sent < t->bytes - header && clock_mono_ns() >= until) /* a guest may want them of one byte */
			return E1000_OVER;
	}
	e1000_count(n, STAT_TSCTC, 1);
	return E1000_SENT;
}

enum e1000_sent e1000_send(struct e1000 *n, struct e1000_tx *t, u64 until)
{
	if (t->segment)
		return send_segments(n, t, until);
	/* In a copy, as it may have to be sent once more. */
	memcpy(n->out, t->buf, t->bytes);
	checksums(&t->context[0], t->options, n->out, t->bytes);
	if (t->sum)
		nic_checksum(n->out, t->bytes, t->sum_from, 0, t->sum_at);
	return emit(n, t, n->out, t->bytes) ? E1000_SENT : E1000_FULL;
}
