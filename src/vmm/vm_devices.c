/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_devices.c - what a VM has besides CPUs and memory, as its configuration says. */
#include "block/block.h"
#include "device/chr.h"
#include "device/uart.h"
#include "device/virtio/virtio_devices.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "net/net.h"
#include "base/i18n.h"
#include "vmm/listen.h"
#include "vmm/vm_int.h"

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

static int add_virtio(struct vm *v, int r, struct virtio_dev *d, struct err *e)
{
	return r < 0 ? r : virtio_pci_add(machine_pci(v->machine), d, -1, NULL, e);
}

static int add_disk(struct vm *v, const struct vmm_disk *d, struct err *e)
{
	struct blk_params p = {
		.path = d->path,
		.format = d->format ? d->format : "raw",
		.readonly = d->readonly,
		.snapshot = d->snapshot,
		.direct = d->direct,
	};
	struct virtio_dev *dev = NULL;
	struct blk *blk;
	int r = blk_open(&blk, v->loop, &p, e);

	if (r < 0)
		return r;
	v->disks[v->ndisks++] = blk;
	r = virtio_blk_new(&dev, v->ram, v->loop, blk, MIN(v->cfg->cpus, 4), d->serial ? d->serial : "", e);
	return add_virtio(v, r, dev, e);
}

static int add_net(struct vm *v, const struct vmm_net *n, unsigned index, struct err *e)
{
	/* Locally administered; "mica" and the card's number. */
	u8 mac[6] = { 0x02, 'm', 'i', 'c', 'a', (u8)index };
	struct net_hostfwd *fwd = xcalloc(n->nhostfwd + 1, sizeof(*fwd));
	struct virtio_dev *dev = NULL;
	pid_t pid;
	int fd, r = n->mac ? vmm_mac_parse(mac, n->mac, e) : 0;

	for (unsigned i = 0; r == 0 && i < n->nhostfwd; i++)
		r = net_hostfwd_parse(&fwd[i], n->hostfwd[i], e);
	if (r == 0)
		r = net_user_start(&fd, &pid, fwd, n->nhostfwd, e);
	free(fwd);
	if (r < 0)
		return r;
	r = virtio_net_new(&dev, v->ram, v->loop, fd, mac, e);
	if (r == 0)
		virtio_net_set_mtu(dev, NET_USER_MTU);
	return add_virtio(v, r, dev, e);
}

/* In slot order: a disk's name in the guest (vda, vdb, ...) follows it. */
int vm_add_devices(struct vm *v, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	struct virtio_dev *dev = NULL;
	int r = open_chardev(&v->console, v->loop, c->console, c->console_fd, c->console_path, e);

	if (r == 0) {
		r = uart_new(&v->uart, machine_bus(v->machine), LAYOUT_UART1, machine_irq(v->machine, LAYOUT_GSI_UART1),
			     v->console);
		if (r < 0)
			return err_sys(e, -r, "cannot add the serial port");
		machine_add_device(v->machine, uart_device(v->uart, 0));
	}
	for (unsigned i = 0; r == 0 && i < c->ndisks; i++)
		r = add_disk(v, &c->disks[i], e);
	for (unsigned i = 0; r == 0 && i < c->nnets; i++)
		r = add_net(v, &c->nets[i], i, e);
	if (r == 0 && strcmp(c->virtio_console, "none")) {
		r = open_chardev(&v->virtio_console, v->loop, c->virtio_console, c->virtio_console_fd,
				 c->virtio_console_path, e);
		if (r == 0)
			r = virtio_console_new(&dev, v->ram, v->loop, v->virtio_console, e);
		r = add_virtio(v, r, dev, e);
	}
	if (r == 0) {
		r = virtio_rng_new(&dev, v->ram, v->loop, e);
		r = add_virtio(v, r, dev, e);
	}
	if (r == 0) {
		r = virtio_balloon_new(&dev, v->ram, v->loop, e);
		r = add_virtio(v, r, dev, e);
		v->balloon = r == 0 ? dev : NULL;
	}
	return r;
}
