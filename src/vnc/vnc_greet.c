/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vnc_greet.c - RFB's beginning, up to the SecurityResult (RFC 6143, 7.1), with VeNCrypt 0.2 and no other way in: the
 * client chooses X509 with a password as VNC's authentication or as plain text, both within TLS.
 */
#include "vnc/vnc.h"
#include "vnc/vnc_front.h"

#include <gnutls/crypto.h>
#include <rfb/rfb.h>

#define TYPE_VENCRYPT 19u
#define X509_NONE 260u
#define X509_VNC 261u
#define X509_PLAIN 262u

#define PLAIN_MAX 256u

static const char version[] = "RFB 003.008\n";

static u32 be32(const u8 *p)
{
	return __builtin_bswap32(ld_le32(p));
}

static void say(struct vnc_guest *g, const void *p, size_t n)
{
	must(g->down.n + n <= sizeof(g->down.b));
	memcpy(g->down.b + g->down.n, p, n);
	g->down.n += n;
}

static void say32(struct vnc_guest *g, u32 v)
{
	u8 b[4];

	st_le32(b, __builtin_bswap32(v));
	say(g, b, sizeof(b));
}

void vnc_take(struct vnc_buf *b, size_t n)
{
	b->n -= n;
	memmove(b->b, b->b + n, b->n);
}

void vnc_greet_begin(struct vnc_guest *g)
{
	say(g, version, 12);
	g->step = VNC_AT_VERSION;
}

static void admit(struct vnc_guest *g, bool yes)
{
	static const char why[] = "password check failed!";

	say32(g, !yes);
	if (!yes) {
		say32(g, sizeof(why) - 1);
		say(g, why, sizeof(why) - 1);
	}
	g->step = yes ? VNC_AT_COPY : VNC_AT_FAIL;
}

void vnc_greet_secured(struct vnc_guest *g)
{
	if (g->web || g->subtype == X509_NONE) {
		g->step = VNC_AT_COPY;
		if (!g->web)
			admit(g, true);
		return;
	}
	g->step = g->subtype == X509_VNC ? VNC_AT_RESPONSE : VNC_AT_PLAIN;
	if (g->step == VNC_AT_RESPONSE) {
		if (gnutls_rnd(GNUTLS_RND_NONCE, g->challenge, sizeof(g->challenge)) < 0)
			g->step = VNC_AT_FAIL;
		say(g, g->challenge, sizeof(g->challenge));
	}
}

static bool offered(const struct vnc_guest *g, u32 subtype)
{
	size_t n = strlen(g->front->password);

	switch (subtype) {
	case X509_NONE:
		return !n;
	case X509_PLAIN:
		return n;
	case X509_VNC: /* looks at 8 bytes, which would make of a long password a short one */
		return n && n <= VNC_PASSWORD_MAX;
	default:
		return false;
	}
}

/* As VeNCrypt has them: how many, then each. */
static void offer(struct vnc_guest *g)
{
	static const u16 all[] = { X509_NONE, X509_VNC, X509_PLAIN };
	u8 n = 0;

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		n += offered(g, all[i]);
	say(g, &n, 1);
	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		if (offered(g, all[i]))
			say32(g, all[i]);
}

/* ---- what it says, as long as it has to be ---- */

static bool on_version(struct vnc_guest *g)
{
	static const u8 types[2] = { 1, TYPE_VENCRYPT };

	if (memcmp(g->up.b, version, 12))
		return false;
	say(g, types, 2);
	g->step = VNC_AT_TYPE;
	return true;
}

static bool on_type(struct vnc_guest *g)
{
	if (g->up.b[0] != TYPE_VENCRYPT)
		return false;
	say(g, "\0\2", 2);
	g->step = VNC_AT_VENCRYPT;
	return true;
}

static bool on_vencrypt(struct vnc_guest *g)
{
	bool ok = g->up.b[0] == 0 && g->up.b[1] == 2;

	say(g, ok ? "\0" : "\xff", 1);
	if (ok)
		offer(g);
	g->step = ok ? VNC_AT_SUBTYPE : VNC_AT_FAIL;
	return true;
}

static bool on_subtype(struct vnc_guest *g)
{
	g->subtype = be32(g->up.b);
	bool ok = offered(g, g->subtype);
	say(g, ok ? "\1" : "\0", 1);
	g->step = ok ? VNC_AT_HANDSHAKE : VNC_AT_FAIL;
	return true;
}

static bool equal(const u8 *a, const u8 *b, size_t n)
{
	u8 other = 0;

	for (size_t i = 0; i < n; i++)
		other |= a[i] ^ b[i];
	return !other;
}

static bool on_response(struct vnc_guest *g)
{
	char password[9] = "";

	snprintf(password, sizeof(password), "%s", g->front->password);
	rfbEncryptBytes(g->challenge, password);
	admit(g, equal(g->challenge, g->up.b, sizeof(g->challenge)));
	return true;
}

/* The name may be any: there is one password. */
static bool on_plain(struct vnc_guest *g)
{
	const char *password = g->front->password;
	u32 name = be32(g->up.b), n = be32(g->up.b + 4);
	u8 right[PLAIN_MAX] = { 0 }, given[PLAIN_MAX] = { 0 };

	memcpy(given, g->up.b + 8 + name, n);
	memcpy(right, password, MIN(strlen(password), PLAIN_MAX));
	admit(g, n == strlen(password) && equal(given, right, PLAIN_MAX));
	return true;
}

/* Bytes that this step has to have; 0: it takes none, SIZE_MAX: nobody says such a thing. */
static size_t wants(const struct vnc_guest *g)
{
	switch (g->step) {
	case VNC_AT_VERSION:
		return 12;
	case VNC_AT_TYPE:
		return 1;
	case VNC_AT_VENCRYPT:
		return 2;
	case VNC_AT_SUBTYPE:
		return 4;
	case VNC_AT_RESPONSE:
		return sizeof(g->challenge);
	case VNC_AT_PLAIN:
		if (g->up.n < 8)
			return 8;
		if (be32(g->up.b) > PLAIN_MAX || be32(g->up.b + 4) > PLAIN_MAX)
			return SIZE_MAX;
		return 8 + be32(g->up.b) + be32(g->up.b + 4);
	default:
		return 0;
	}
}

bool vnc_greet(struct vnc_guest *g)
{
	size_t n = wants(g);
	bool ok = false;

	if (n && n != SIZE_MAX && g->up.n < n)
		return false;
	if (!n)
		return false;
	switch (n == SIZE_MAX ? VNC_AT_FAIL : g->step) {
	case VNC_AT_VERSION:
		ok = on_version(g);
		break;
	case VNC_AT_TYPE:
		ok = on_type(g);
		break;
	case VNC_AT_VENCRYPT:
		ok = on_vencrypt(g);
		break;
	case VNC_AT_SUBTYPE:
		ok = on_subtype(g);
		break;
	case VNC_AT_RESPONSE:
		ok = on_response(g);
		break;
	case VNC_AT_PLAIN:
		ok = on_plain(g);
		break;
	default:
		break;
	}
	if (ok)
		vnc_take(&g->up, n);
	else
		g->step = VNC_AT_FAIL;
	return true;
}
