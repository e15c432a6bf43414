/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netdisk_url.h - addresses of disks on the network.
 *
 *   nbd://HOST[:PORT]/[EXPORT]            NBD; nbds:// with TLS. The NBD URI specification of the NBD project
 *   nbd+unix:///[EXPORT]?socket=PATH
 *   http://HOST[:PORT]/PATH, https://     an image of raw bytes
 *   iscsi://HOST[:PORT]/TARGET/LUN        as libiscsi writes it
 */
#ifndef MICA_NETDISK_URL_H
#define MICA_NETDISK_URL_H

#include "base/base.h"
#include "base/err.h"

enum netdisk_kind { NETDISK_NBD, NETDISK_HTTP, NETDISK_ISCSI };

struct netdisk_url {
	enum netdisk_kind kind;
	bool tls;
	char host[256]; /* without the brackets of an IPv6 address; "": a Unix socket */
	char port[8];
	char name[1024];  /* the export, decoded; the target's name; of HTTP unused */
	char socket[108]; /* nbd+unix */
	unsigned lun;
};

/* -EINVAL: e says what is wrong with it. */
int netdisk_url_parse(struct netdisk_url *u, const char *text, struct err *e);

#endif
