/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - commands to a running VM: JSON objects, one a line, over a unix socket; docs/control-socket.md.
 *
 * Everything on the loop's thread. A client's line is at most CONTROL_LINE_MAX bytes, and a client that
 * does not read its answers is dropped: no client makes the VMM grow or wait.
 */
#ifndef MICA_CONTROL_H
#define MICA_CONTROL_H

#include "base/err.h"
#include "base/loop.h"

#define CONTROL_LINE_MAX 4096
#define CONTROL_CLIENTS_MAX 8

struct control;
struct vm;

int control_new(struct control **out, struct loop *loop, struct vm *vm, struct err *e);
void control_free(struct control *c);
/* Serve clients of a listening socket; the fd is owned. */
int control_listen(struct control *c, int listen_fd, struct err *e);
/* A connected client, the fd is owned. parent: its end is the end of the VM. */
int control_client(struct control *c, int fd, bool parent, struct err *e);

#endif
