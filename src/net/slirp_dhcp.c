/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slirp_dhcp.c - see slirp_dhcp.h. */
#include "net/slirp_dhcp.h"

#define ETHER 14
#define UDP 17
#define SERVER_PORT 67
#define CLIENT_PORT 68
/* RFC 2131, 2: the message before its options, and what they begin with. */
#define XID 4
#define FIXED 236
#define COOKIE 0x63825363u
/* RFC 2132, 3.1, 3.2, 9.4, 9.5, 9.13 */
#define OPT_PAD 0
#define OPT_BOOTFILE 67
#define OPT_CLASS 60
#define OPT_END 255

static const char class[] = "HTTPClient";
#define CLASS_BYTES (sizeof(class) - 1)

static unsigned get16(const u8 *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

static u32 get32(const u8 *p)
{
	return (u32)get16(p) << 16 | get16(p + 2);
}

static void put16(u8 *p, unsigned v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

/* A DHCP message within a frame. */
struct message {
	size_t ip, udp, at, end; /* offsets; at: of the message */
	size_t opt_end;          /* of the option that ends the others, or `end` */
	size_t class_at;         /* of option 60, 0: none */
};

/* A whole message to that port in one IPv4 packet. Options in the fields for file and server (option 52) are not looked
 * for: nobody puts this one there. */
static bool find(struct message *m, const u8 *f, size_t n, unsigned port)
{
	memset(m, 0, sizeof(*m));
	m->ip = ETHER;
	if (n < ETHER + 20 || get16(f + 12) != 0x0800 || f[ETHER] >> 4 != 4 || f[ETHER + 9] != UDP ||
	    get16(f + ETHER + 6) & 0x3fff)
		return false;
	size_t header = (f[ETHER] & 15u) * 4u, total = get16(f + ETHER + 2);
	if (header < 20 || total > n - ETHER || total < header + 8)
		return false;
	m->udp = ETHER + header;
	size_t length = get16(f + m->udp + 4);
	if (get16(f + m->udp + 2) != port || length > total - header || length < 8 + FIXED + 4)
		return false;
	m->at = m->udp + 8;
	m->end = m->udp + length;
	if (get32(f + m->at + FIXED) != COOKIE)
		return false;
	size_t o = m->at + FIXED + 4;
	while (o < m->end && f[o] != OPT_END) {
		if (f[o] == OPT_PAD) {
			o++;
			continue;
		}
		if (o + 2 > m->end || o + 2 + f[o + 1] > m->end)
			return false;
		if (f[o] == OPT_CLASS)
			m->class_at = o;
		o += 2u + f[o + 1];
	}
	m->opt_end = o;
	return true;
}

void slirp_dhcp_init(struct slirp_dhcp *d, const char *bootfile)
{
	memset(d, 0, sizeof(*d));
	if (!bootfile || strstr(bootfile, "://"))
		return;
	while (*bootfile == '/')
		bootfile++;
	snprintf(d->url, sizeof(d->url), "http://10.0.2.2/%s", bootfile);
	must(strlen(d->url) < sizeof(d->url) - 1); /* a bootfile is of NET_BOOTFILE_MAX bytes at most */
}

void slirp_dhcp_asked(struct slirp_dhcp *d, const u8 *frame, size_t n)
{
	struct message m;

	if (!d->url[0] || !find(&m, frame, n, SERVER_PORT))
		return;
	d->asked =
	    m.class_at && frame[m.class_at + 1] >= CLASS_BYTES && !memcmp(frame + m.class_at + 2, class, CLASS_BYTES);
	d->xid = get32(frame + m.at + XID);
}

/* RFC 1071 */
static u32 sum(u32 s, const u8 *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (u32)p[i] << 8;
	return s;
}

static unsigned fold(u32 s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s & 0xffff;
}

static size_t put_option(u8 *out, size_t at, u8 code, const char *text)
{
	size_t n = strlen(text);

	out[at] = code;
	out[at + 1] = (u8)n;
	memcpy(out + at + 2, text, n);
	return at + 2 + n;
}

bool slirp_dhcp_answer(const struct slirp_dhcp *d, const u8 *frame, size_t *n, u8 *out)
{
	struct message m;

	if (!d->asked || *n > 2048 || !find(&m, frame, *n, CLIENT_PORT) || get32(frame + m.at + XID) != d->xid ||
	    m.class_at)
		return false;
	memcpy(out, frame, m.opt_end);
	size_t end = put_option(out, m.opt_end, OPT_CLASS, class);
	end = put_option(out, end, OPT_BOOTFILE, d->url);
	out[end++] = OPT_END;
	if (end < m.end) {
		memset(out + end, OPT_PAD, m.end - end);
		end = m.end;
	}
	size_t length = end - m.udp;
	put16(out + m.udp + 4, (unsigned)length);
	put16(out + m.ip + 2, (unsigned)(end - m.ip));
	put16(out + m.ip + 10, 0);
	put16(out + m.ip + 10, fold(sum(0, out + m.ip, m.udp - m.ip)));
	put16(out + m.udp + 6, 0);
	/* With the addresses and the protocol (RFC 768); 0 would say that there is none. */
	unsigned checksum = fold(sum(sum(UDP + (u32)length, out + m.ip + 12, 8), out + m.udp, length));
	put16(out + m.udp + 6, checksum ? checksum : 0xffff);
	*n = end;
	return true;
}
