/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slirp_host.h - what mica-slirp asks of its host before its sandbox: resolv.conf, IPv6, ports to forward. */
#ifndef MICA_SLIRP_HOST_H
#define MICA_SLIRP_HOST_H

#include "base/err.h"

#include <slirp/libslirp.h>

/* Read what libslirp will want to read later. */
void slirp_host_init(void);
/* From here on open() is for what slirp_tftp.h has, and nothing else. */
void slirp_host_lock(void);
bool slirp_host_has_ipv6(void);
/* A port of the host to the guest, as net_hostfwd_parse() has it. */
int slirp_forward(Slirp *slirp, const char *text, struct err *e);

#endif
