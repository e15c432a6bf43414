/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device_plan.h - which devices a configuration asks for: each with its class, its id and its parameters, checked, in
 * the order in which they get their places. A guest numbers by places (vda, vdb, ...), and a saved state names them, so
 * the order never changes: serial port, disks, network cards, virtio console, what every machine has, --device,
 * screen, keyboard, folders, sockets, TPM, second serial port.
 */
#ifndef MICA_DEVICE_PLAN_H
#define MICA_DEVICE_PLAN_H

#include "device/class.h"
#include "vmm/config.h"

struct vmm_planned {
	const struct device_class *cls;
	char id[DEVICE_ID_MAX + 1];
	unsigned index; /* of the disk, card or device in the configuration; 0 for what is not in a list there */
	const char *const *params;
	unsigned nparams;
};

/* *out is the caller's to free; strings in it are the configuration's. Messages name JSON keys, which are spelt as the
 * options are. */
int vmm_device_plan(struct vmm_planned **out, unsigned *n, const struct vmm_config *c, struct err *e);

/* ---- for who reads a command line ---- */
/* "key=value" for a class: known, and the value is one. */
int vmm_param_check(const struct device_class *c, const char *item, struct err *e);
/* bus= or model= (NULL: the default), or what --device names; a message says what there is. */
int vmm_class_of(const struct device_class **out, enum device_role role, const char *field, struct err *e);
int vmm_class_addable(const struct device_class **out, const char *name, struct err *e);
int vmm_id_check(const char *id, struct err *e);

#endif
