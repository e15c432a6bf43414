/* SPDX-License-Identifier: GPL-2.0-or-later */
/* slirp_limit.h - how many connections a guest may have through mica-slirp. */
#ifndef MICA_SLIRP_LIMIT_H
#define MICA_SLIRP_LIMIT_H

#include <stdbool.h>

/* Once, when forwarded ports are bound and before the first frame: from here on NET_USER_CONNECTIONS more sockets may
 * be open, or fewer where the host gives fewer descriptors. */
void slirp_limit_init(void);
/* Whether a socket of that number is one too many; said in the log. */
bool slirp_limit_reached(int fd);

#endif
