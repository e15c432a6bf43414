/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nic_segment.h - frames in pieces: what a card does that segments for its driver, and what has to be done with a
 * network's frames that are longer than a driver takes.
 *
 * A network takes and gives frames up to its MTU, which may be much more than Ethernet's 1500 bytes (net/net.h), as it
 * ends connections itself. A driver that cannot be told of that gets TCP in segments as long as it expects, and other
 * IPv4 in fragments.
 */
#ifndef MICA_NIC_SEGMENT_H
#define MICA_NIC_SEGMENT_H

#include "base/base.h"

/* Where in a frame the headers and their checksums are; segments have `header` bytes of it, and mss of the rest. */
struct nic_headers {
	u8 ip_start, ip_at, tcp_start, tcp_at;
	u16 ip_end, tcp_end; /* the last byte; 0: to the end of the frame */
	u16 mss;
	u8 header;
	bool tcp, ipv4; /* else UDP, IPv6 */
};

/* One's complement of the one's complement sum of native 16-bit words (RFC 1071: the byte order does not matter). */
u16 nic_sum(const u8 *p, size_t bytes);
/* Over [from, last] of a frame (last 0, or behind its end: to its end), written to `at`; nothing where it does not fit.
 */
void nic_checksum(u8 *frame, size_t bytes, u32 from, u32 last, u32 at);
/* The IPv4 header's, whose field counts as 0. */
void nic_checksum_ip(const struct nic_headers *h, u8 *frame, size_t bytes);

/* Are the headers where they are said to be, one behind the other, in `bytes`? */
bool nic_headers_fit(const struct nic_headers *h, size_t bytes);
/* Headers, copied from a longer frame, become those of a segment with `off` bytes of payload before it, the k-th. The
 * field of TCP's checksum, with the pseudo header's sum without a length, gets the length. Checksums are not made. */
void nic_segment(const struct nic_headers *h, u8 *frame, size_t bytes, u32 off, u32 k, bool last);

/* ---- a frame of the network's that is too long ---- */
struct nic_cut {
	struct nic_headers h;
	size_t bytes; /* of the frame */
	size_t done;  /* of its payload */
	bool fragment;
};
#define NIC_PIECE 1514u /* no piece is longer */

/* False: it can not be cut. The frame stays as it is until the last piece. */
bool nic_cut_begin(struct nic_cut *c, const u8 *frame, size_t bytes);
/* The next piece; 0: there is no more. */
size_t nic_cut_next(struct nic_cut *c, const u8 *frame, u8 piece[NIC_PIECE]);

#endif
