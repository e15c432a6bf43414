/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listen.h - unix sockets a VM is reached at. */
#ifndef MICA_LISTEN_H
#define MICA_LISTEN_H

#include "base/err.h"

/* A listening stream socket at path, for this user only (mode 0600); what a dead VM left there is replaced.
 * Returns the fd or -errno. */
int unix_listen(const char *path, struct err *e);
/* A stream socket that is connected to who listens at path, or -errno. It does not block. */
int unix_connect(const char *path, struct err *e);

#endif
