/* SPDX-License-Identifier: GPL-2.0-or-later */
/* namespaces.h - a process leaves the host's view of things, without being root; one thread, before it serves. */
#ifndef MICA_NAMESPACES_H
#define MICA_NAMESPACES_H

#include "base/base.h"

/*
 * User, mount, IPC and UTS namespaces of its own, and a network that is empty unless host_network. It stays who it is,
 * with every capability in there and none outside; its mounts are its own from now on. -errno: not on this host.
 */
int namespaces_enter(bool host_network);

#endif
