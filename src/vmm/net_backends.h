/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net_backends.h - what is behind a VM's network cards: made before the VM, which is given it connected. */
#ifndef MICA_NET_BACKENDS_H
#define MICA_NET_BACKENDS_H

#include "net/net.h"
#include "vmm/config.h"

/* For each of cfg's cards b[i]: "user" is started, of "fd" the descriptor is taken. Failing leaves nothing. */
int net_backends_open(struct net_backend b[VMM_NETS_MAX], const struct vmm_config *cfg, struct err *e);

#endif
