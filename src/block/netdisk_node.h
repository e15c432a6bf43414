/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netdisk_node.h - the layer over a disk on the network, for those who have a process already (tests). */
#ifndef MICA_BLOCK_NETDISK_NODE_H
#define MICA_BLOCK_NETDISK_NODE_H

#include "block/format.h"
#include "netdisk/netdisk.h"

/* The other side has filled in the ring's bytes and flags. Takes the link over, also when it fails. */
int netdisk_node_new(struct blk_node **out, struct blk_queue *q, struct netdisk_link *l, const char *name,
		     bool readonly, struct err *e);

#endif
