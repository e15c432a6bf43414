/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_check.c - bounds of a configuration, and what excludes what; see config.h. */
#include "cpu/cpu.h"
#include "machine/machine.h"
#include "net/net.h"
#include "vmm/boot_order.h"
#include "vmm/config.h"
#include "vmm/device_plan.h"
#include "vmm/engine_options.h"
#include "vmm/identity.h"
#include "base/i18n.h"
#include "share/share.h"
#include "vnc/vnc.h"
#include "tpm/tpm.h"
#include "vsock/vsock.h"

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

int vmm_machine_parse(unsigned *kind, const char *name, struct err *e)
{
	static const char *const names[] = { [MACHINE_Q35] = "q35", [MACHINE_PC] = "pc", [MACHINE_MICRO] = "micro" };

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(name, names[i])) {
			if (kind)
				*kind = i;
			return 0;
		}
	return err_set(e, EINVAL, "'%s' is not known; write q35, pc or micro", name);
}

int vmm_fw_cfg_parse(struct vmm_fw_cfg *out, const char *text, struct err *e)
{
	const char *comma = strchr(text, ',');
	bool named = !strncmp(text, "name=", 5) && comma && comma > text + 5;
	bool file = named && !strncmp(comma + 1, "file=", 5) && comma[6];
	bool string = named && !strncmp(comma + 1, "string=", 7);

	*out = (struct vmm_fw_cfg){ 0 };
	if (!file && !string)
		return err_set(e, EINVAL,
			       "fw-cfg: '%s' will not do; write name=NAME,file=FILE or name=NAME,string=TEXT", text);
	out->name = xasprintf("%.*s", (int)(comma - text - 5), text + 5);
	if (file)
		out->file = xstrdup(comma + 6);
	else
		out->string = xstrdup(comma + 8);
	return 0;
}

void vmm_fw_cfg_fini(struct vmm_fw_cfg *f)
{
	free(f->name);
	free(f->file);
	free(f->string);
	*f = (struct vmm_fw_cfg){ 0 };
}

bool vmm_firmware_is_word(const char *s)
{
	return !strcmp(s, "auto") || !strcmp(s, "none") || !strcmp(s, "bios") || !strcmp(s, "uefi");
}

static int check_firmware(const struct vmm_config *c, struct err *e)
{
	bool none = !strcmp(c->firmware, "none"), automatic = !strcmp(c->firmware, "auto");
	int r = 0;

	if (c->kernel && !none && !automatic)
		return err_set(e, EINVAL,
			       "firmware: it boots what is on a disk, and the kernel %s would not be booted; give one "
			       "of them",
			       c->kernel);
	if (!c->kernel && (none || (automatic && !c->ndisks && !c->nvhost_disks && !boot_from_net(c))))
		return err_set(e, EINVAL,
			       "nothing to boot: give a disk that can be booted from with --disk FILE, or a kernel "
			       "with --kernel FILE (and --initrd FILE, --append 'root=/dev/vda1 console=ttyS0')");
	if (c->nvram && *c->nvram && !automatic && strcmp(c->firmware, "uefi"))
		return err_set(e, EINVAL, "nvram: only UEFI keeps variables; give it with --firmware uefi");
	if (c->nfw_cfg > VMM_FW_CFG_MAX)
		return err_set(e, EINVAL, "fw-cfg: %u are too many; at most %d", c->nfw_cfg, VMM_FW_CFG_MAX);
	if ((c->nfw_cfg || c->nboot || (c->nvram && *c->nvram)) && c->kernel)
		return err_set(e, EINVAL,
			       "fw-cfg, boot, nvram: that is for firmware, and there is none where a kernel is given");
	if ((r = boot_order_check(c->boot, c->nboot, e)) < 0 ||
	    (r = identity_parse(NULL, c->smbios, c->nsmbios, e)) < 0)
		return r;
	for (unsigned i = 0; r == 0 && i < c->nfw_cfg; i++) {
		struct vmm_fw_cfg item;
		r = vmm_fw_cfg_parse(&item, c->fw_cfg[i], e);
		if (r == 0)
			vmm_fw_cfg_fini(&item);
	}
	return r;
}

static int check_vhost_net(const struct vmm_net *n, struct err *e)
{
	if (strcmp(n->type, "vhost-user"))
		return n->path ? err_set(e, EINVAL, "net: only vhost-user has a path") : 0;
	if (!n->path || !*n->path)
		return err_set(e, EINVAL, "net: vhost-user has no socket; write --net vhost-user=SOCKET");
	if (n->nhostfwd || n->tftp || n->bootfile || n->model)
		return err_set(e, EINVAL,
			       "net: vhost-user=%s takes no hostfwd, tftp, bootfile or model: what serves it is its "
			       "network",
			       n->path);
	return 0;
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
	if ((r = vmm_machine_parse(NULL, c->machine, e)) < 0)
		return err_prefix(e, "machine");
	if (!strcmp(c->machine, "micro") && !c->kernel)
		return err_set(
		    e, EINVAL,
		    "machine: micro has no firmware, which would boot from a disk; give a kernel with --kernel "
		    "FILE, or take another machine");
	if (strcmp(c->irqchip, "split") && strcmp(c->irqchip, "kernel"))
		return err_set(e, EINVAL, "irqchip: '%s' is not known; write split or kernel", c->irqchip);
	if ((r = check_firmware(c, e)) < 0)
		return r;
	if (c->ndisks > VMM_DISKS_MAX)
		return err_set(e, EINVAL, "disks: %u are too many; at most %d", c->ndisks, VMM_DISKS_MAX);
	for (unsigned i = 0; i < c->ndisks; i++) {
		const struct vmm_disk *d = &c->disks[i];
		if (!d->path || (!*d->path && !d->cdrom))
			return err_set(e, EINVAL, "disk: no file given");
		if (d->cdrom && (!d->readonly || d->snapshot || d->direct))
			return err_set(e, EINVAL, "disk: %s: a CD-ROM is readonly, without snapshot and direct",
				       d->path);
		if (d->serial && strlen(d->serial) > VMM_SERIAL_MAX)
			return err_set(e, EINVAL, "disk: %s: serial '%s' is too long; at most %d bytes", d->path,
				       d->serial, VMM_SERIAL_MAX);
	}
	if (c->nvhost_disks > VMM_DISKS_MAX)
		return err_set(e, EINVAL, "disks: %u are too many; at most %d", c->nvhost_disks, VMM_DISKS_MAX);
	for (unsigned i = 0; i < c->nvhost_disks; i++)
		if (!c->vhost_disks[i].path || !*c->vhost_disks[i].path)
			return err_set(e, EINVAL, "disk: vhost-user has no socket; write --disk vhost-user=SOCKET");
	if (c->nnets > VMM_NETS_MAX)
		return err_set(e, EINVAL, "nets: %u are too many; at most %d", c->nnets, VMM_NETS_MAX);
	for (unsigned i = 0; i < c->nnets; i++) {
		u8 mac[6];
		if (c->nets[i].type && !strcmp(c->nets[i].type, "fd") &&
		    (c->nets[i].fd <= STDERR_FILENO || c->nets[i].nhostfwd || c->nets[i].tftp || c->nets[i].bootfile))
			return err_set(e, EINVAL,
				       "net: type fd has the descriptor of a connected network, above 2, and no "
				       "hostfwd, tftp or bootfile");
		if (c->nets[i].bootfile && strlen(c->nets[i].bootfile) > NET_BOOTFILE_MAX)
			return err_set(e, EINVAL, "net: bootfile=%s is too long; at most %d bytes", c->nets[i].bootfile,
				       NET_BOOTFILE_MAX);
		if (!c->nets[i].type || (strcmp(c->nets[i].type, "user") && strcmp(c->nets[i].type, "fd") &&
					 strcmp(c->nets[i].type, "vhost-user")))
			return err_set(e, EINVAL, "net: '%s' is not known; write user, vhost-user=SOCKET or none",
				       c->nets[i].type ? c->nets[i].type : "");
		if ((r = check_vhost_net(&c->nets[i], e)) < 0)
			return r;
		if (c->nets[i].mac && (r = vmm_mac_parse(mac, c->nets[i].mac, e)) < 0)
			return r;
	}
	if (c->ndevices > VMM_DEVICES_MAX)
		return err_set(e, EINVAL, "devices: %u are too many; at most %d", c->ndevices, VMM_DEVICES_MAX);
	if (c->nshares > VMM_SHARES_MAX)
		return err_set(e, EINVAL, "shares: %u are too many; at most %d", c->nshares, VMM_SHARES_MAX);
	for (unsigned i = 0; i < c->nshares; i++) {
		const struct vmm_share *s = &c->shares[i];
		if (!s->path || !*s->path)
			return err_set(e, EINVAL, "share: no folder given");
		const char *tag = s->tag ? s->tag : "";
		if ((r = share_tag_check(tag, e)) < 0)
			return err_prefix(e, "share: %s", s->path);
		for (unsigned k = 0; k < i; k++)
			if (c->shares[k].tag && !strcmp(c->shares[k].tag, tag))
				return err_set(e, EINVAL, "share: two folders have the tag '%s'", tag);
	}
	if (c->vsock && (c->vsock_cid < VMM_CID_MIN || c->vsock_cid > VMM_CID_MAX))
		return err_set(e, EINVAL, "vsock: cid=%llu is out of range; write %u to %u",
			       (unsigned long long)c->vsock_cid, VMM_CID_MIN, VMM_CID_MAX);
	if (c->vsock && (r = vsock_check(c->vsock, e)) < 0)
		return err_prefix(e, "vsock");
	if (c->tpm && (r = tpm_check(c->tpm, e)) < 0)
		return err_prefix(e, "tpm");
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
	if (r == 0)
		r = check_chardev("serial2", c->serial2, c->serial2_path, c->serial2_fd, e);
	return r;
}
