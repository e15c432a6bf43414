/* SPDX-License-Identifier: GPL-2.0-or-later */
/* launch.h - start a mica-vmm process. */
#ifndef MICA_LAUNCH_H
#define MICA_LAUNCH_H

#include "vmm/config.h"

#include <sys/types.h>

/*
 * Start mica-vmm in a process group of its own (a Ctrl-C at the terminal is for the command, which ends
 * the VM in order) and hand it cfg. The descriptors cfg names are inherited and stay the caller's;
 * stderr_fd, when >= 0, becomes its standard error.
 */
int launch_vmm(pid_t *pid, const struct vmm_config *cfg, int stderr_fd, struct err *e);

#endif
