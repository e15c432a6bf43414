/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_check.c - bounds of a configuration, and what excludes what; see config.h. */
#include "cpu/cpu.h"
#include "vmm/config.h"
#include "vmm/device_plan.h"
#include "vmm/engine_options.h"
#include "base/i18n.h"
#include "vnc/vnc.h"

int vmm_mac_parse(u8 mac[6], const char *s, struct err *e)
{
	unsigned b[6];
	char junk;

	if (sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &junk) != 6 ||
	    strlen(s) != 17)
		return err_set(e, EINVAL, "net: mac=%s is not an address; write mac=02:00:00:12:34:56", s);
	if (b[0] & 1)
		return err_set(e, EINVAL, "net: mac=%s is a multicast address; its first byte must be even", s);
	for (int i = 0; i < 6; i++)
		mac[i] = (u8)b[i];
	return 0;
}

static int check_chardev(const char *key, const char *type, const char *path, int fd, struct err *e)
{
	if (!strcmp(type, "none"))
		return 0;
	if (!strcmp(type, "fd"))
		return fd >= 0 ? 0 : err_set(e, EINVAL, "configuration: %s: no descriptor given", key);
	if (!strcmp(type, "unix"))
		return path && *path ? 0 : err_set(e, EINVAL, "configuration: %s: no socket path given", key);
	return err_set(e, EINVAL, "configuration: %s: '%s' is not none, fd or unix", key, type);
}

int vmm_config_check(const struct vmm_config *c, struct err *e)
{
	int r;

	if (c->cpus < 1 || c->cpus > CPU_MAX)
		return err_set(e, EINVAL, "cpus: %u is out of range; write 1 to %d", c->cpus, CPU_MAX);
	if (c->memory_bytes < VMM_MEMORY_MIN || c->memory_bytes > VMM_MEMORY_MAX || c->memory_bytes % PAGE_BYTES)
		return err_set(e, EINVAL,
			       "memory: %llu bytes will not do; write a multiple of 4K between %llu MiB and %llu GiB",
			       (unsigned long long)c->memory_bytes, VMM_MEMORY_MIN / MIB, VMM_MEMORY_MAX / GIB);
	if (strcmp(c->engine, "auto") && strcmp(c->engine, "kvm") && strcmp(c->engine, "soft"))
		return err_set(e, EINVAL, "engine: '%s' is not known; write auto, kvm or soft", c->engine);
	struct soft_options so;
	if ((r = engine_options_allowed(c->engine, c->nengine_options, e)) < 0 ||
	    (r = engine_options_parse(&so, c->engine_options, c->nengine_options, e)) < 0)
		return err_prefix(e, "engine");
	if (so.check && c->cpus > 1)
		return err_set(e, EINVAL, "engine: check= compares one CPU only; %u will not do", c->cpus);
	if (strcmp(c->irqchip, "split") && strcmp(c->irqchip, "kernel"))
		return err_set(e, EINVAL, "irqchip: '%s' is not known; write split or kernel", c->irqchip);
	if (!c->kernel)
		return err_set(e, EINVAL,
			       "no kernel: booting from a disk's own boot loader is not there yet; give the kernel "
			       "with --kernel FILE (and --initrd FILE, --append 'root=/dev/vda1 console=ttyS0')");
	if (c->ndisks > VMM_DISKS_MAX)
		return err_set(e, EINVAL, "disks: %u are too many; at most %d", c->ndisks, VMM_DISKS_MAX);
	for (unsigned i = 0; i < c->ndisks; i++) {
		const struct vmm_disk *d = &c->disks[i];
		if (!d->path || (!*d->path && !d->cdrom))
			return err_set(e, EINVAL, "disk: no file given");
		if (d->format && strcmp(d->format, "raw"))
			return err_set(e, EINVAL, "disk: %s: format '%s' is not known; write format=raw", d->path,
				       d->format);
		if (d->cdrom && (!d->readonly || d->snapshot || d->direct))
			return err_set(e, EINVAL, "disk: %s: a CD-ROM is readonly, without snapshot and direct",
				       d->path);
		if (d->serial && strlen(d->serial) > VMM_SERIAL_MAX)
			return err_set(e, EINVAL, "disk: %s: serial '%s' is too long; at most %d bytes", d->path,
				       d->serial, VMM_SERIAL_MAX);
	}
	if (c->nnets > VMM_NETS_MAX)
		return err_set(e, EINVAL, "nets: %u are too many; at most %d", c->nnets, VMM_NETS_MAX);
	for (unsigned i = 0; i < c->nnets; i++) {
		u8 mac[6];
		if (c->nets[i].type && !strcmp(c->nets[i].type, "fd") &&
		    (c->nets[i].fd <= STDERR_FILENO || c->nets[i].nhostfwd))
			return err_set(
			    e, EINVAL,
			    "net: type fd has the descriptor of a connected network, above 2, and no hostfwd");
		if (!c->nets[i].type || (strcmp(c->nets[i].type, "user") && strcmp(c->nets[i].type, "fd")))
			return err_set(e, EINVAL, "net: '%s' is not known; write user or none",
				       c->nets[i].type ? c->nets[i].type : "");
		if (c->nets[i].mac && (r = vmm_mac_parse(mac, c->nets[i].mac, e)) < 0)
			return r;
	}
	if (c->ndevices > VMM_DEVICES_MAX)
		return err_set(e, EINVAL, "devices: %u are too many; at most %d", c->ndevices, VMM_DEVICES_MAX);
	if (c->vnc && !strcmp(c->screen, "none"))
		return err_set(e, EINVAL, "vnc: there is no screen to show; write screen vga");
	if (c->vnc && (r = vnc_check(c->vnc, c->vnc_password_file != NULL, e)) < 0)
		return r;
	struct vmm_planned *plan;
	unsigned n;
	if ((r = vmm_device_plan(&plan, &n, c, e)) < 0)
		return r;
	free(plan);
	r = check_chardev("console", c->console, c->console_path, c->console_fd, e);
	if (r == 0)
		r = check_chardev("virtio_console", c->virtio_console, c->virtio_console_path, c->virtio_console_fd, e);
	return r;
}
