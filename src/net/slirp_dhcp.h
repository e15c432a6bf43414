/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slirp_dhcp.h - what libslirp's DHCP does not say: the words by which UEFI boots by HTTP (UEFI 2.10, 24.7.2). A client
 * that asks as "HTTPClient" (option 60) takes answers only of a server that says so, too, with a URL to boot.
 *
 * libslirp says so where it was told a URL. Where it was told a file, which it gives by TFTP, its answer to such a
 * question gets two options more here: the word, and that file by HTTP (slirp_http.h).
 */
#ifndef MICA_SLIRP_DHCP_H
#define MICA_SLIRP_DHCP_H

#include "base/base.h"

#define SLIRP_DHCP_MORE 300 /* bytes that an answer may grow by */

struct slirp_dhcp {
	char url[256]; /* "": none, and nothing is done */
	bool asked;    /* the guest's last question was such a client's, with this number: */
	u32 xid;
};

/* bootfile: a file of the folder; a URL, and NULL: nothing is to be done. */
void slirp_dhcp_init(struct slirp_dhcp *d, const char *bootfile);
/* A frame from the guest, whatever it is. */
void slirp_dhcp_asked(struct slirp_dhcp *d, const u8 *frame, size_t n);
/* A frame to the guest. If it is such an answer: true, and *n bytes in `out` (room for *n + SLIRP_DHCP_MORE) to send in
 * its place. */
bool slirp_dhcp_answer(const struct slirp_dhcp *d, const u8 *frame, size_t *n, u8 *out);

#endif
