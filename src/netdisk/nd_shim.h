/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nd_shim.h - what libraries want of the host's files whenever they connect, answered behind the walls.
 *
 * libnbd, libcurl and libiscsi look names up and read certificates at each connection, when this process can open
 * nothing any more. So it has functions of its own by these names (getaddrinfo() and those by which GnuTLS is given
 * certificates), which the dynamic linker finds before the libraries': names go to the broker, certificates come from
 * memory, where they were read to before the walls.
 */
#ifndef MICA_ND_SHIM_H
#define MICA_ND_SHIM_H

#include "base/err.h"

/* The folder that libnbd is told its certificates are in. */
#define ND_TLS_DIR "/tls"

/* NULL: the host's own; no certificate to show. */
int nd_shim_load(const char *ca, const char *cert, const char *key, struct err *e);

#endif
