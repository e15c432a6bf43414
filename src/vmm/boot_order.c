/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_order.c - which device firmware tries first: its file "bootorder", a path on each line, as Open Firmware writes
 * them. A class says what its devices' paths are (boot_path, class.h).
 */
#include "device/class.h"
#include "machine/fw_cfg.h"
#include "machine/machine.h"
#include "vmm/boot_order.h"
#include "vmm/vm_int.h"

#define PATH_BYTES 128

static void add_kind(const struct vm *v, enum device_role role, char *list, size_t bytes)
{
	for (unsigned i = 0; i < v->ndevices; i++) {
		const struct vm_device *d = &v->devices[i];
		size_t n = strlen(list);
		char path[PATH_BYTES] = "";

		/* One of vhost-user boots as any other of its kind. */
		bool other = (role == DEVICE_DISK && d->cls->role == DEVICE_VHOST_DISK) ||
			     (role == DEVICE_NIC && d->cls->role == DEVICE_VHOST_NIC);
		if ((d->cls->role != role && !other) || !d->cls->boot_path)
			continue;
		d->cls->boot_path(d->dev, path, sizeof(path));
		snprintf(list + n, bytes - n, "%s%s", n ? "\n" : "", path);
	}
}

int boot_order_tell(struct vm *v, struct err *e)
{
	static const enum device_role usual[] = { DEVICE_DISK, DEVICE_CDROM, DEVICE_NIC };
	const struct vmm_config *c = v->cfg;
	struct fw_cfg *f = machine_fw_cfg(v->machine);
	size_t bytes = (v->ndevices + 1) * (size_t)PATH_BYTES;
	auto_free char *list = xcalloc(1, bytes);
	unsigned n = c->nboot, asked = 0;
	bool menu = false;

	for (unsigned i = 0; i < n; i++) {
		enum device_role role;

		if (boot_kind(&role, c->boot[i])) {
			asked++;
			add_kind(v, role, list, bytes);
		} else {
			menu = !strcmp(c->boot[i], "menu=on");
		}
	}
	for (unsigned i = 0; !asked && i < ARRAY_LEN(usual); i++)
		add_kind(v, usual[i], list, bytes);
	fw_cfg_number(f, FW_CFG_BOOT_MENU, menu, 2);
	return list[0] ? fw_cfg_file(f, "bootorder", list, strlen(list) + 1, e) : 0;
}
