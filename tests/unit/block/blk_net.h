/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blk_net.h - a disk that is not a file, for tests: memory behind a thread, as a server behind a connection. It answers
 * late and in another order than it was asked.
 */
#ifndef TEST_BLK_NET_H
#define TEST_BLK_NET_H

#include "block/format.h"

#include <pthread.h>

struct net_disk {
	struct blk_node n;
	u8 *data;
	unsigned delay_us;
	int fail; /* negative: every answer is this */
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t more;
	struct blk_done *asked;
	bool stop, cancelled;
	unsigned answers;
};

extern struct net_disk *net_disk; /* the one that was opened last */
extern u64 net_disk_bytes;        /* of the next one */
extern const struct blk_format net_format;

#endif
