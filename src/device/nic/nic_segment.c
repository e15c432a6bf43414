/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nic_segment.c - frames in pieces (RFC 791, 793, 768, 8200); see nic_segment.h. */
#include "device/nic/nic_segment.h"

#define ETHERNET 14u
#define TCP 6
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define IP_MORE 0x2000
#define IP_DONT_FRAGMENT 0x4000

static void st_be16(u8 *p, u16 v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

static u16 be16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

u16 nic_sum(const u8 *p, size_t bytes)
{
	u64 s = 0;

	for (; bytes >= 4; p += 4, bytes -= 4)
		s += ld_le32(p);
	if (bytes & 2) {
		s += ld_le16(p);
		p += 2;
	}
	if (bytes & 1)
		s += *p;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (u16)~s;
}

void nic_checksum(u8 *f, size_t bytes, u32 from, u32 last, u32 at)
{
	size_t end = last && last < bytes ? last + 1u : bytes;

	if (from >= end || at + 2u > bytes)
		return;
	u16 sum = nic_sum(f + from, end - from);
	st_le16(f + at, sum ? sum : 0xffff); /* 0 is "none" to UDP, and the same number */
}

void nic_checksum_ip(const struct nic_headers *h, u8 *f, size_t bytes)
{
	if (h->ip_at + 2u > bytes)
		return;
	st_le16(f + h->ip_at, 0);
	nic_checksum(f, bytes, h->ip_start, h->ip_end, h->ip_at);
}

bool nic_headers_fit(const struct nic_headers *h, size_t bytes)
{
	return h->header <= bytes && h->ip_start + 20u <= h->tcp_start && h->tcp_at >= h->tcp_start &&
	       h->tcp_start + (h->tcp ? 20u : 8u) <= h->header && h->tcp_at + 2u <= h->header &&
	       h->ip_at + 2u <= h->header;
}

void nic_segment(const struct nic_headers *h, u8 *f, size_t bytes, u32 off, u32 k, bool last)
{
	u32 ip = h->ip_start, tcp = h->tcp_start;

	if (h->ipv4) {
		st_be16(f + ip + 2, (u16)(bytes - ip));
		st_be16(f + ip + 4, (u16)(be16(f + ip + 4) + k));
	} else {
		st_be16(f + ip + 4, (u16)(bytes - ip - 40));
	}
	if (h->tcp) {
		u32 seq = ((u32)be16(f + tcp + 4) << 16 | be16(f + tcp + 6)) + off;
		st_be16(f + tcp + 4, (u16)(seq >> 16));
		st_be16(f + tcp + 6, (u16)seq);
		if (!last)
			f[tcp + 13] &= (u8) ~(TCP_FIN | TCP_PSH);
	} else {
		st_be16(f + tcp + 4, (u16)(bytes - tcp));
	}
	u32 sum = be16(f + h->tcp_at) + (u32)(bytes - tcp);
	st_be16(f + h->tcp_at, (u16)((sum & 0xffff) + (sum >> 16)));
}

/* ---- too long ---- */

/* The sum of a pseudo header without a length (RFC 793 3.1, RFC 8200 8.1), as its field has it. */
static u16 pseudo_sum(const u8 *ip, bool ipv4, u8 proto)
{
	u8 p[34] = { 0 };
	size_t addresses = ipv4 ? 8 : 32;

	memcpy(p, ip + (ipv4 ? 12 : 8), addresses);
	p[addresses + 1] = proto;
	return (u16)~nic_sum(p, addresses + 2);
}

bool nic_cut_begin(struct nic_cut *c, const u8 *frame, size_t bytes)
{
	struct nic_headers *h = &c->h;
	const u8 *ip = frame + ETHERNET;
	unsigned type = bytes >= ETHERNET + 40 ? be16(frame + 12) : 0;

	*c = (struct nic_cut){ .bytes = bytes };
	h->ip_start = ETHERNET;
	h->ipv4 = type == 0x0800 && ip[0] >> 4 == 4 && (ip[0] & 15) >= 5;
	if (!h->ipv4 && !(type == 0x86dd && ip[0] >> 4 == 6))
		return false;
	unsigned ip_bytes = h->ipv4 ? 4u * (ip[0] & 15) : 40;
	h->ip_at = ETHERNET + 10;
	h->ip_end = (u16)(ETHERNET + ip_bytes - 1);
	h->tcp_start = (u8)(ETHERNET + ip_bytes);
	h->tcp_at = (u8)(h->tcp_start + 16);
	h->tcp = (h->ipv4 ? ip[9] : ip[6]) == TCP && !(h->ipv4 && be16(ip + 6) & 0x3fff);
	if (h->tcp && bytes >= h->tcp_start + 20u) {
		h->header = (u8)(h->tcp_start + 4 * (frame[h->tcp_start + 12] >> 4));
		h->mss = (u16)(NIC_PIECE - h->header);
		return nic_headers_fit(h, bytes);
	}
	/* Datagrams; none that may not be cut would come where this was a router. The MTU is ours, so it is. */
	c->fragment = true;
	h->header = h->tcp_start;
	h->mss = (u16)((NIC_PIECE - h->header) & ~7u);
	return h->ipv4 && h->header < bytes;
}

static void fragment(const struct nic_cut *c, u8 *f, size_t bytes, bool last)
{
	u8 *ip = f + c->h.ip_start;
	unsigned was = be16(ip + 6), at = (was & 0x1fff) + (unsigned)(c->done / 8);

	st_be16(ip + 2, (u16)(bytes - c->h.ip_start));
	st_be16(ip + 6, (u16)((at & 0x1fff) | (last ? was & IP_MORE : IP_MORE)));
}

size_t nic_cut_next(struct nic_cut *c, const u8 *frame, u8 piece[NIC_PIECE])
{
	const struct nic_headers *h = &c->h;
	size_t left = c->bytes - h->header - c->done, payload = MIN(h->mss, left), bytes = h->header + payload;

	if (!left)
		return 0;
	memcpy(piece, frame, h->header);
	memcpy(piece + h->header, frame + h->header + c->done, payload);
	if (c->fragment) {
		fragment(c, piece, bytes, payload == left);
	} else {
		st_le16(piece + h->tcp_at, pseudo_sum(piece + h->ip_start, h->ipv4, TCP));
		nic_segment(h, piece, bytes, (u32)c->done, (u32)(c->done / h->mss), payload == left);
		nic_checksum(piece, bytes, h->tcp_start, 0, h->tcp_at);
	}
	if (h->ipv4)
		nic_checksum_ip(h, piece, bytes);
	c->done += payload;
	return bytes;
}
