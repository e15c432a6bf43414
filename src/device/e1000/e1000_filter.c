/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000_filter.c - which frames a driver wants (SDM 3.2.1, 9.3; DS 7.1.1), and what is said of them: checksums (SDM
 * 3.2.9), VLAN tags, the queue by their hash (DS 7.1.11); see e1000_int.h.
 */
#include "device/e1000/e1000_int.h"

#define RAH_VALID (1u << 31)
#define RXCSUM_IP (1u << 8)
#define RXCSUM_TCP (1u << 9)

#define ST_IXSM 0x04u
#define ST_VP 0x08u
#define ST_UDPCS 0x10u
#define ST_TCPCS 0x20u
#define ST_IPCS 0x40u
#define ST_PIF 0x80u

#define MRQC_TCP4 (1u << 16)
#define MRQC_IP4 (1u << 17)
#define MRQC_IP6 (1u << 20)
#define MRQC_TCP6 (1u << 21)

static u16 be16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

/* ---- whom it is for ---- */

static bool is_address(struct e1000 *n, const u8 *mac)
{
	const u32 *ra = e1000_plain(n, R_RA);

	for (unsigned i = 0; i < 16; i++)
		if (ra[2 * i + 1] & RAH_VALID && ra[2 * i] == ld_le32(mac) && (u16)ra[2 * i + 1] == ld_le16(mac + 4))
			return true;
	return false;
}

/* Twelve bits of the address, which ones RCTL.MO says, choose a bit of the table. */
static bool in_hash(struct e1000 *n, const u8 *mac)
{
	static const u8 shift[] = { 4, 3, 2, 0 };
	unsigned s = shift[n->rctl >> 12 & 3], h = (ld_le16(mac + 4) >> s) & 0xfff;

	return e1000_plain(n, R_MTA)[h >> 5] >> (h & 31) & 1;
}

static bool is_tagged(struct e1000 *n, const u8 *frame, size_t bytes)
{
	return bytes >= 18 && be16(frame + 12) == e1000_get(n, R_VET);
}

bool e1000_wanted(struct e1000 *n, const u8 *frame, size_t bytes)
{
	static const u8 all[DEVICE_MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	bool broad = !memcmp(frame, all, sizeof(all)), multi = frame[0] & 1;
	bool own = (broad && n->rctl & RCTL_BAM) || is_address(n, frame);

	if (!own && !(multi ? n->rctl & RCTL_MPE || in_hash(n, frame) : n->rctl & RCTL_UPE))
		return false;
	if (n->rctl & RCTL_VFE && is_tagged(n, frame, bytes)) {
		unsigned id = be16(frame + 14) & 0xfff;
		if (!(e1000_plain(n, R_VFTA)[id >> 5] >> (id & 31) & 1))
			return false;
	}
	e1000_count(n, STAT_GPRC, 1);
	e1000_count64(n, STAT_GORC, (u32)bytes + 4);
	e1000_count(n, STAT_PRC64 + e1000_size_class(bytes + 4), 1);
	if (multi)
		e1000_count(n, broad ? STAT_BPRC : STAT_MPRC, 1);
	return true;
}

/* ---- what is in it ---- */

struct packet {
	unsigned ip;    /* 4, 6; 0: none */
	unsigned proto; /* 6, 17; else 0 */
	const u8 *from, *to, *ports;
};

static void parse(struct packet *p, const u8 *frame, size_t bytes)
{
	size_t at = be16(frame + 12) == 0x8100 ? 18 : 14;
	unsigned type = bytes >= at ? be16(frame + at - 2) : 0;
	const u8 *h = frame + at;

	memset(p, 0, sizeof(*p));
	if (type == 0x0800 && bytes >= at + 20 && h[0] >> 4 == 4) {
		size_t len = 4u * (h[0] & 15);
		p->ip = 4;
		p->from = h + 12;
		p->to = h + 16;
		/* of fragments, none has a checksum of its own */
		if (len >= 20 && !(be16(h + 6) & 0x3fff) && (h[9] == 6 || h[9] == 17) && bytes >= at + len + 8) {
			p->proto = h[9];
			p->ports = h + len;
		}
	} else if (type == 0x86dd && bytes >= at + 40 && h[0] >> 4 == 6) {
		p->ip = 6;
		p->from = h + 8;
		p->to = h + 24;
		if ((h[6] == 6 || h[6] == 17) && bytes >= at + 48) {
			p->proto = h[6];
			p->ports = h + 40;
		}
	}
}

/* A back end that made its checksums, or looked, need not be asked again; of others the driver looks itself. */
static u32 checks(struct e1000 *n, const struct packet *p)
{
	u32 csum = e1000_get(n, R_RXCSUM), st = 0;

	if (!n->wire.checked || !p->ip)
		return ST_IXSM;
	if (csum & RXCSUM_IP && p->ip == 4)
		st |= ST_IPCS;
	if (csum & RXCSUM_TCP && (p->proto == 6 || (p->proto == 17 && be16(p->ports + 6))))
		st |= ST_TCPCS | (p->proto == 17 && n->kind == E1000_82574 ? ST_UDPCS : 0);
	return st ? st : ST_IXSM;
}

/* ---- RSS ---- */

/* Toeplitz: for each bit of the input that is set, the 32 bits of the key that begin at its place. */
static u32 toeplitz(const u8 *key, const u8 *in, size_t bytes)
{
	u32 hash = 0, window = (u32)be16(key) << 16 | be16(key + 2);

	for (size_t i = 0; i < bytes; i++) {
		for (int bit = 7; bit >= 0; bit--) {
			hash ^= in[i] >> bit & 1 ? window : 0;
			window = window << 1 | (key[i + 4] >> bit & 1);
		}
	}
	return hash;
}

static void rss(struct e1000 *n, const struct packet *p, struct e1000_frame *f)
{
	u32 mrqc = e1000_get(n, R_MRQC);
	bool four = p->ip == 4, tcp = p->proto == 6 && mrqc & (four ? MRQC_TCP4 : MRQC_TCP6);
	size_t addr = four ? 4 : 16;
	u8 in[36], key[44] = { 0 };

	if ((mrqc & 3) != 1 || !p->ip || (!tcp && !(mrqc & (four ? MRQC_IP4 : MRQC_IP6))))
		return;
	memcpy(key, e1000_plain(n, R_RSSRK), 40);
	memcpy(in, p->from, addr);
	memcpy(in + addr, p->to, addr);
	if (tcp)
		memcpy(in + 2 * addr, p->ports, 4);
	f->hash = toeplitz(key, in, 2 * addr + (tcp ? 4 : 0));
	f->types = four ? tcp ? 1 : 2 : tcp ? 3 : 5;
	const u8 *reta = (const u8 *)e1000_plain(n, R_RETA);
	f->queue = reta[f->hash & 127] >> 7;
}

void e1000_look(struct e1000 *n, u8 *frame, size_t bytes, struct e1000_frame *f)
{
	size_t from = e1000_get(n, R_RXCSUM) & 0xff;
	struct packet p;

	parse(&p, frame, bytes);
	*f = (struct e1000_frame){ .at = frame, .bytes = bytes, .status = checks(n, &p) };
	if (n->kind == E1000_82574)
		rss(n, &p, f);
	f->sum = from < bytes ? (u16)~nic_sum(frame + from, bytes - from) : 0;
	if (frame[0] & 1 || !is_address(n, frame))
		f->status |= ST_PIF; /* it passed, but not by an exact address */
	if (is_tagged(n, frame, bytes) && n->ctrl & CTRL_VME) {
		f->tag = be16(frame + 14);
		f->status |= ST_VP;
		memmove(frame + 4, frame, 12);
		f->at += 4;
		f->bytes -= 4;
	}
}
