/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_devices.c - what a VM has besides CPUs and memory: back ends on the host, and the devices in front of them, as
 * device_plan.h has them. No device is named here.
 */
#include "base/log.h"
#include "block/block.h"
#include "device/chr.h"
#include "machine/machine.h"
#include "machine/pci.h"
#include "net/net.h"
#include "share/share.h"
#include "tpm/tpm.h"
#include "vmm/boot_order.h"
#include "vmm/device_plan.h"
#include "base/i18n.h"
#include "vmm/listen.h"
#include "vmm/vm_int.h"
#include "vsock/vsock.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FLUSH_MS 1000
#define VSOCK_BACKLOG 128
#define ROM_MAX (256 * KIB)
#define ROM_MTU 1500u
#define DISK_OPTIONS_MAX 16u

/* ---- back ends: what is opened becomes the device's with its constructor ---- */

static int open_chardev(struct chr **out, struct loop *loop, const char *kind, int fd, const char *path, struct err *e)
{
	*out = NULL;
	if (!strcmp(kind, "fd"))
		return chr_new(out, loop, fd, fd, e);
	if (!strcmp(kind, "unix")) {
		int l = unix_listen(path, e);
		return l < 0 ? l : chr_new_listen(out, loop, l, e);
	}
	return 0;
}

static int open_disk(struct vm *v, unsigned i, struct device_args *a, struct err *e)
{
	struct vmm_disk *d = &v->cfg->disks[i];
	struct blk_option options[DISK_OPTIONS_MAX + 2];
	char *names[DISK_OPTIONS_MAX];
	unsigned n = 0;
	struct blk_params p = {
		.path = *d->path ? d->path : NULL,
		.removable = d->cdrom,
		.format = d->format,
		.readonly = d->readonly,
		.snapshot = d->snapshot,
		.options = options,
	};
	for (; n < MIN(d->noptions, DISK_OPTIONS_MAX); n++) {
		const char *item = d->options[n];
		size_t key = strcspn(item, "=");
		names[n] = xasprintf("%.*s", (int)key, item);
		options[n] = (struct blk_option){ names[n], item[key] ? item + key + 1 : "" };
	}
	p.noptions = n;
	if (d->direct)
		options[p.noptions++] = (struct blk_option){ "direct", "on" };
	if (d->backing)
		options[p.noptions++] = (struct blk_option){ "backing", d->backing };
	int r = blk_open(&a->blk, v->loop, &p, e);

	while (n)
		free(names[--n]);
	if (r < 0)
		return r;
	/* A saved VM goes on with what was seen now, whatever the guest will have written at its beginning by then. */
	if (!d->format && *d->path)
		d->format = xstrdup(blk_format_of(a->blk));
	v->disks[v->ndisks++] = a->blk;
	a->serial = d->serial ? d->serial : "";
	return 0;
}

/* ---- option ROMs ---- */

/* None is no error: a kernel that is booted without firmware needs none. */
static void open_rom(struct device_args *a, const struct device_class *cls, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || (u64)st.st_size > ROM_MAX) {
		log_info(_("%s: there is no such option ROM: firmware will not use the %s"), path, cls->name);
		return;
	}
	u8 *rom = xcalloc(1, (size_t)st.st_size);
	if (read(fd, rom, (size_t)st.st_size) == st.st_size) {
		a->rom = rom;
		a->rom_bytes = (size_t)st.st_size;
	} else {
		free(rom);
	}
}

static int open_net(struct vm *v, unsigned i, const struct device_class *cls, struct device_args *a, struct err *e)
{
	const struct vmm_net *n = &v->cfg->nets[i];
	/* Locally administered; "mica" and the card's number. */
	const u8 mac[6] = { 0x02, 'm', 'i', 'c', 'a', (u8)i };

	memcpy(a->mac, mac, sizeof(mac));
	a->fd = v->nets[i].fd;
	a->mtu = v->nets[i].mtu;
	a->checked = v->nets[i].checked;
	/* Only where it is wanted: a BIOS's takes its time at each start. */
	const char *rom = strcmp(v->cfg->firmware, "uefi") ? cls->rom : cls->rom_uefi;
	if (v->has_firmware && rom && boot_from_net(v->cfg)) {
		a->rom_room = ROM_MAX;
		a->mtu = MIN(a->mtu, ROM_MTU); /* iPXE's whole memory is less than its ring's buffers of 64 KiB */
		open_rom(a, cls, rom);
	}
	return n->mac ? vmm_mac_parse(a->mac, n->mac, e) : 0;
}

/* ---- what helper processes do for it, which are started here: before there are threads, and the sandbox ---- */

static int open_vsock(struct vm *v, struct device_args *a, struct err *e)
{
	auto_close int fd = unix_listen(v->cfg->vsock, e);
	int r = fd < 0 ? fd : vsock_start(v->cfg->vsock, e);

	if (r < 0)
		return err_prefix(e, "vsock");
	listen(fd, VSOCK_BACKLOG); /* clients come in crowds, and some never wait */
	a->cid = v->cfg->vsock_cid;
	a->listen_fd = steal_fd(&fd);
	a->fd = r;
	return 0;
}

static int open_vhost(const char *path, struct device_args *a, struct err *e)
{
	auto_close int fd = unix_connect(path, e);
	int helper = fd < 0 ? fd : vsock_start_itself(path, e);

	if (helper < 0)
		return err_prefix(e, "vhost-user");
	a->fd = steal_fd(&fd);
	a->control_fd = helper;
	return 0;
}

static int open_back_end(struct vm *v, const struct vmm_planned *p, struct device_args *a, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	int r = 0;

	switch (p->cls->role) {
	case DEVICE_PLAIN:
	case DEVICE_INPUT:
		break;
	case DEVICE_DISK:
	case DEVICE_CDROM:
		return open_disk(v, p->index, a, e);
	case DEVICE_NIC:
		return open_net(v, p->index, p->cls, a, e);
	case DEVICE_VHOST_DISK:
		return open_vhost(c->vhost_disks[p->index].path, a, e);
	case DEVICE_VHOST_NIC:
		r = open_net(v, p->index, p->cls, a, e);
		return r < 0 ? r : open_vhost(c->nets[p->index].path, a, e);
	case DEVICE_SERIAL:
		a->port = p->index;
		if (a->port)
			r = open_chardev(&v->serial2, v->loop, c->serial2, c->serial2_fd, c->serial2_path, e);
		else
			r = open_chardev(&v->console, v->loop, c->console, c->console_fd, c->console_path, e);
		a->chr = a->port ? v->serial2 : v->console;
		break;
	case DEVICE_CONSOLE:
		r = open_chardev(&v->virtio_console, v->loop, c->virtio_console, c->virtio_console_fd,
				 c->virtio_console_path, e);
		a->chr = v->virtio_console;
		break;
	case DEVICE_SHARE:
		a->tag = c->shares[p->index].tag;
		a->fd = share_start(c->shares[p->index].path, c->shares[p->index].readonly, e);
		return a->fd < 0 ? err_prefix(e, "share: %s", c->shares[p->index].path) : 0;
	case DEVICE_VSOCK:
		return open_vsock(v, a, e);
	case DEVICE_TPM:
		r = tpm_start(c->tpm, &a->fd, &a->control_fd, e);
		return r < 0 ? err_prefix(e, "tpm") : 0;
	case DEVICE_DISPLAY:
		open_rom(a, p->cls, p->cls->rom);
		break;
	}
	return r;
}

/* ---- life ---- */

static int add(struct vm *v, const struct vmm_planned *p, struct err *e)
{
	struct vm_device *d = &v->devices[v->ndevices];
	struct device_args a = {
		.id = p->id,
		.slot = -1,
		.params = p->params,
		.nparams = p->nparams,
		.listener = { .fn = vm_on_device_news, .opaque = d },
		.fd = -1,
		.listen_fd = -1,
		.control_fd = -1,
	};
	int r = open_back_end(v, p, &a, e);

	d->vm = v;

	if (r == 0)
		r = p->cls->new (&d->dev, v->machine, &a, e);
	if (r < 0 && p->cls->role == DEVICE_VHOST_DISK)
		err_prefix(e, "disk: %s", v->cfg->vhost_disks[p->index].path);
	else if (r < 0 && p->cls->role == DEVICE_VHOST_NIC)
		err_prefix(e, "net: %s", v->cfg->nets[p->index].path);
	free((u8 *)(uintptr_t)a.rom);
	if (r < 0)
		return r;
	d->cls = p->cls;
	d->disk = p->index;
	snprintf(d->dev->id, sizeof(d->dev->id), "%s", p->id);
	v->ndevices++;
	return 0;
}

int vm_add_devices(struct vm *v, struct err *e)
{
	struct vmm_planned *plan;
	unsigned n;
	int r = vmm_device_plan(&plan, &n, v->cfg, e);

	if (r < 0)
		return r;
	v->devices = xcalloc(n, sizeof(*v->devices));
	for (unsigned i = 0; r == 0 && i < n; i++)
		r = add(v, &plan[i], e);
	free(plan);
	return r;
}

void vm_free_devices(struct vm *v)
{
	if (v->machine)
		machine_free(v->machine); /* ends its devices; may still move an interrupt line of a vCPU */
	struct chr *const chrs[] = { v->console, v->serial2, v->virtio_console };
	for (size_t i = 0; i < ARRAY_LEN(chrs); i++) {
		if (chrs[i])
			chr_flush(chrs[i], FLUSH_MS);
		chr_free(chrs[i]);
	}
	free(v->devices);
	vm_media_free(v);
}

/* ---- what is asked of them while they are there ---- */

void vm_break(struct vm *v)
{
	for (unsigned i = 0; i < v->ndevices; i++)
		if (v->devices[i].cls->line_break) { /* the first: the console */
			v->devices[i].cls->line_break(v->devices[i].dev);
			return;
		}
}

bool vm_balloon(struct vm *v, u64 bytes)
{
	if (bytes > v->cfg->memory_bytes)
		return false;
	for (unsigned i = 0; i < v->ndevices; i++)
		if (v->devices[i].cls->balloon)
			v->devices[i].cls->balloon(v->devices[i].dev, bytes);
	return true;
}

const struct screen *vm_screen(struct vm *v)
{
	for (unsigned i = 0; i < v->ndevices; i++)
		if (v->devices[i].cls->screen)
			return v->devices[i].cls->screen(v->devices[i].dev);
	return NULL;
}

void vm_resize(struct vm *v, unsigned width, unsigned height)
{
	for (unsigned i = 0; i < v->ndevices; i++)
		if (v->devices[i].cls->resize)
			v->devices[i].cls->resize(v->devices[i].dev, width, height);
}

int vm_boot_mode(void *opaque, unsigned mode, struct boot_screen *out)
{
	struct vm *v = opaque;

	for (unsigned i = 0; i < v->ndevices; i++)
		if (v->devices[i].cls->boot_mode)
			return v->devices[i].cls->boot_mode(v->devices[i].dev, mode, out);
	return -ENOENT;
}

/* The first that the guest listens to: what was asked for by --device comes before what every screen has. */
int vm_keys(struct vm *v, const u16 *events, unsigned n)
{
	int r = -ENODEV;

	for (unsigned i = 0; i < v->ndevices && (r == -ENODEV || r == -EAGAIN); i++)
		if (v->devices[i].cls->keys)
			r = v->devices[i].cls->keys(v->devices[i].dev, events, n);
	return r;
}

bool vm_point(struct vm *v, unsigned x, unsigned y, int wheel, unsigned buttons)
{
	for (unsigned i = 0; i < v->ndevices; i++)
		if (v->devices[i].cls->point && v->devices[i].cls->point(v->devices[i].dev, x, y, wheel, buttons) == 0)
			return true;
	return false;
}

void vm_pointer(struct vm *v, int dx, int dy, int wheel, unsigned buttons)
{
	for (unsigned i = 0; i < v->ndevices; i++)
		if (v->devices[i].cls->pointer)
			v->devices[i].cls->pointer(v->devices[i].dev, dx, dy, wheel, buttons);
}

json_t *vm_devices_json(struct vm *v)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < v->ndevices; i++) {
		struct device *d = v->devices[i].dev;
		struct pci_dev *pci = pci_dev_get(d->on ? d->on : d);
		json_t *o = json_pack("{s:s s:s}", "id", d->id, "class", v->devices[i].cls->name);

		if (d->on)
			json_object_set_new(o, "unit", json_integer(d->unit));
		if (pci)
			json_object_set_new(o, "slot", json_integer(pci->devfn >> 3));
		if (v->devices[i].cls->role == DEVICE_NIC || v->devices[i].cls->role == DEVICE_VHOST_NIC)
			json_object_set_new(o, "link", json_string(vm_link_up(&v->devices[i]) ? "up" : "down"));
		vm_media_json(v, &v->devices[i], o);
		json_array_append_new(a, o);
	}
	return a;
}
