/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * chr.h - a byte pipe between a character device (UART, virtio-console) and where a person or a
 * program sits: the VMM's console fd. Bytes towards the host are queued (bounded) when the fd is
 * not ready; a console that nobody reads loses the oldest bytes, never stops the guest.
 *
 * Threads: chr_write any thread; the receive callback comes on the loop's thread.
 */
#ifndef MICA_CHR_H
#define MICA_CHR_H

#include "base/base.h"
#include "base/err.h"
#include "base/loop.h"

struct chr;

/* in_fd and out_fd (may be the same; -1: none) are borrowed and made non-blocking. */
int chr_new(struct chr **out, struct loop *loop, int in_fd, int out_fd, struct err *e);
/* A console on a listening unix socket: one client at a time, the fd is owned. */
int chr_new_listen(struct chr **out, struct loop *loop, int listen_fd, struct err *e);
void chr_free(struct chr *c);

void chr_write(struct chr *c, const void *buf, size_t bytes);
/* Bytes from the host. recv returns how many it took; the rest is offered again after
 * chr_ready(). NULL removes. */
void chr_set_recv(struct chr *c, size_t (*recv)(void *opaque, const u8 *buf, size_t bytes), void *opaque);
void chr_ready(struct chr *c); /* any thread */
/* Write out what is queued, waiting at most timeout_ms: before the process ends. */
void chr_flush(struct chr *c, int timeout_ms);

#endif
