/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slirp_http.h - the files that mica-slirp gives by TFTP (slirp_tftp.h) by HTTP, too: at 10.0.2.2, port 80. It is what
 * boot loaders read large files by.
 *
 * Theory: libslirp makes each TCP connection of the guest one of the host's, by socket() and connect(); 10.0.2.2 is the
 * host's loopback. The program's own connect() stands before libc's: one to port 80 of loopback gets, under its number,
 * one end of a pair of Unix sockets. The other end is served here, in turns of the same loop. So nobody else on the
 * host can ask for the files, no port of the host is used, and what the host has at its port 80 is not reached.
 */
#ifndef MICA_SLIRP_HTTP_H
#define MICA_SLIRP_HTTP_H

#include <slirp/libslirp.h>

#define SLIRP_HTTP_PORT 80
/* What a guest may have open; further ones are reset. */
#define SLIRP_HTTP_CONNECTIONS 32

/* Once, when there are files to give. Without it connections to port 80 are the host's, as all others. */
void slirp_http_init(void);
/* Before poll() and after it, each connection once: a piece of a file at most. */
void slirp_http_fill(SlirpAddPollCb add, void *opaque);
void slirp_http_serve(SlirpGetREventsCb revents, void *opaque);

#endif
