/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_order.h - in which order firmware tries devices (--boot), and whether it asks. */
#ifndef MICA_BOOT_ORDER_H
#define MICA_BOOT_ORDER_H

#include "base/base.h"
#include "base/err.h"
#include "device/class.h"
#include "vmm/config.h"

struct vm;

/* Words of --boot: kinds of devices, each once, and "menu=on". */
int boot_order_check(char *const *words, unsigned n, struct err *e);
/* A kind of devices; false: no such kind. */
bool boot_kind(enum device_role *role, const char *word);
/* Is the network among what is asked for? */
bool boot_from_net(const struct vmm_config *c);
/* Tell firmware, in fw_cfg. All devices are there; none that is not asked for is tried first. */
int boot_order_tell(struct vm *v, struct err *e);

#endif
