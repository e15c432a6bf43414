/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - commands to a running VM, and what happens to it: JSON objects, one a line, over a unix socket;
 * docs/control-socket.md.
 *
 * Everything on the loop's thread. No client makes the VMM grow or wait: a line has at most CONTROL_LINE_MAX bytes;
 * what a client does not read at once waits in a queue of at most CONTROL_OUT_MAX bytes, and one that lets it fill up
 * is disconnected.
 */
#ifndef MICA_CONTROL_H
#define MICA_CONTROL_H

#include "base/err.h"
#include "base/loop.h"

#define CONTROL_VERSION 1 /* of the protocol */
#define CONTROL_LINE_MAX 4096
#define CONTROL_OUT_MAX (256 * KIB)
#define CONTROL_CLIENTS_MAX 8

struct control;
struct vm;

/* Who a client is. A starter is never disconnected, and hears "ready"; a parent is one whose end is the end of the VM.
 */
enum control_role { CONTROL_ANYBODY, CONTROL_STARTER, CONTROL_PARENT };

int control_new(struct control **out, struct loop *loop, struct vm *vm, struct err *e);
void control_free(struct control *c);
/* Serve clients of a listening socket; the fd is owned. */
int control_listen(struct control *c, int listen_fd, struct err *e);
/* A connected client, the fd is owned. */
int control_client(struct control *c, int fd, enum control_role role, struct err *e);
/* The guest is about to run: tell the starter. */
void control_ready(struct control *c);
/* Before there is a struct control, to the starter's socket: what happens meanwhile. It may be lost. */
struct vm_event;
void control_tell_starter(int fd, const struct vm_event *ev);
/* Instead of being ready, to the starter's socket: it does not, and with which exit status. False: it could not be
 * told. */
bool control_failed(int fd, const struct err *e, int status);

#endif
