/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost_user_net.c - a network card (VIRTIO 1.1, 5.1) that a vhost-user back end serves: a switch, or passt.
 *
 * Frames are between the guest and the back end. Ours are the address, the link's state (down while there is no back
 * end), and the control queue, by which a driver says how many pairs of queues it uses. It begins with one.
 */
#include "base/i18n.h"
#include "base/log.h"
#include "base/state.h"
#include "device/class.h"
#include "device/virtio/vhost_dev.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"
#include "machine/pci.h"

#define F_CSUM 0
#define F_GUEST_CSUM 1
#define F_MAC 5
#define F_GUEST_TSO4 7
#define F_GUEST_TSO6 8
#define F_GUEST_ECN 9
#define F_GUEST_UFO 10
#define F_HOST_TSO4 11
#define F_HOST_TSO6 12
#define F_HOST_ECN 13
#define F_HOST_UFO 14
#define F_MRG_RXBUF 15
#define F_STATUS 16
#define F_CTRL_VQ 17
#define F_MQ 22

#define CONFIG_BYTES 10 /* mac, status, max_virtqueue_pairs */
#define STATUS_LINK_UP 1
#define PAIRS_MAX (VHOST_RINGS_MAX / 2)

/* 5.1.6.5 */
#define CTRL_MQ 4
#define CTRL_MQ_PAIRS_SET 0
#define CTRL_OK 0
#define CTRL_ERR 1
#define CTRL_WORK 50

struct vunet {
	struct vhost_dev v;
	u8 cfg[CONFIG_BYTES];
	u16 pairs; /* that the driver uses */
	struct device_listener listener;
	struct virtio_chain ch; /* of the control queue */
};

static struct vunet *of(struct virtio_dev *d)
{
	return d->impl;
}

static unsigned max_pairs(const struct vunet *n)
{
	return n->v.nrings / 2;
}

/* 5.1.2: it comes behind the queues that were negotiated. */
static unsigned control_queue(const struct vunet *n)
{
	return virtio_has(n->v.d, F_MQ) ? 2 * max_pairs(n) : 2;
}

/* ---- what the back end is asked ---- */

static bool pair_enabled(struct vhost_dev *v, unsigned ring)
{
	return ring / 2 < container_of(v, struct vunet, v)->pairs;
}

static void there(struct vhost_dev *v, bool up)
{
	struct vunet *n = container_of(v, struct vunet, v);

	st_le16(n->cfg + 6, up ? STATUS_LINK_UP : 0);
	virtio_config_changed(v->d);
	device_tell(&n->listener, DEVICE_LINK);
}

static const struct vhost_ops net_ops = {
	.name = "vhost-user-net",
	.features = 1ull << F_CSUM | 1ull << F_GUEST_CSUM | 1ull << F_GUEST_TSO4 | 1ull << F_GUEST_TSO6 |
		    1ull << F_GUEST_ECN | 1ull << F_GUEST_UFO | 1ull << F_HOST_TSO4 | 1ull << F_HOST_TSO6 |
		    1ull << F_HOST_ECN | 1ull << F_HOST_UFO | 1ull << F_MRG_RXBUF,
	.per_queue = 2,
	.there = there,
	.enabled = pair_enabled,
};

/* ---- the control queue ---- */

static u8 command(struct vunet *n)
{
	u8 head[4]; /* class, command, pairs */

	if (virtio_chain_read(&n->ch, 0, head, sizeof(head)) != sizeof(head) || head[0] != CTRL_MQ ||
	    head[1] != CTRL_MQ_PAIRS_SET || !virtio_has(n->v.d, F_MQ))
		return CTRL_ERR;
	unsigned pairs = ld_le16(head + 2), before = n->pairs;
	if (!pairs || pairs > max_pairs(n))
		return CTRL_ERR;
	n->pairs = (u16)pairs;
	unsigned low = MIN(pairs, before), high = MAX(pairs, before);
	vhost_dev_enable(&n->v, 2 * low, 2 * (high - low));
	for (unsigned i = 2 * low; i < 2 * pairs; i++)
		vhost_dev_notify(&n->v, i);
	return CTRL_OK;
}

static void control(struct vunet *n, unsigned q)
{
	struct virtio_dev *d = n->v.d;

	while (virtio_pop(d, q, &n->ch)) {
		if (!n->ch.in_bytes) {
			virtio_broken(d, N_("a control command has no place for its status"));
			return;
		}
		u8 status = command(n);
		virtio_chain_write(&n->ch, n->ch.in_bytes - 1, &status, 1);
		virtio_push(d, q, &n->ch, (u32)n->ch.in_bytes);
		virtio_charge(d, CTRL_WORK);
	}
	virtio_signal(d, q);
}

/* ---- the device ---- */

static void net_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	memcpy(buf, of(d)->cfg + off, bytes);
}

static void net_driver_ok(struct virtio_dev *d)
{
	vhost_dev_start(&of(d)->v);
}

static void net_notify(struct virtio_dev *d, unsigned q)
{
	struct vunet *n = of(d);

	if (virtio_has(d, F_CTRL_VQ) && q == control_queue(n))
		control(n, q);
	else if (q < n->v.nrings)
		vhost_dev_notify(&n->v, q);
}

static void net_reset(struct virtio_dev *d)
{
	vhost_dev_reset(&of(d)->v);
	of(d)->pairs = 1;
}

static bool net_quiesce(struct virtio_dev *d)
{
	return vhost_dev_quiesce(&of(d)->v);
}

static void net_state(struct virtio_dev *d, struct state_file *s)
{
	struct vunet *n = of(d);

	state_bytes(s, n->cfg, 6);
	state_u16(s, &n->pairs);
	if (state_loading(s) && (!n->pairs || n->pairs > max_pairs(n))) {
		state_bad(s, "another number of queues");
		n->pairs = 1;
	}
}

static void net_free(struct virtio_dev *d)
{
	vhost_dev_fini(&of(d)->v);
	free(of(d));
}

static const struct virtio_class net_class = {
	.name = "vhost-user-net",
	.id = VIRTIO_ID_NET,
	.features = 1ull << F_MAC | 1ull << F_STATUS,
	.cfg_bytes = CONFIG_BYTES,
	.cfg_read = net_cfg_read,
	.driver_ok = net_driver_ok,
	.notify = net_notify,
	.reset = net_reset,
	.free = net_free,
	.quiesce = net_quiesce,
	.state = net_state,
};

int vhost_user_net_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, int fd, int helper_fd,
		       unsigned pairs, const u8 mac[6], const struct device_listener *l, struct err *e)
{
	struct vunet *n = xcalloc(1, sizeof(*n));
	int r = vhost_dev_init(&n->v, &net_ops, ram, loop, fd, helper_fd, 2 * pairs, e);

	if (r == 0 && n->v.nrings < 2 * pairs)
		r = err_set(e, EINVAL, "queues=%u: the back end has %u", pairs, n->v.nrings / 2);
	if (r < 0) {
		vhost_dev_fini(&n->v);
		free(n);
		return r;
	}
	memcpy(n->cfg, mac, 6);
	st_le16(n->cfg + 6, STATUS_LINK_UP);
	st_le16(n->cfg + 8, (u16)pairs);
	n->pairs = 1;
	n->listener = *l;
	struct virtio_dev *d = virtio_new(&net_class, ram, loop, 2 * pairs + (pairs > 1), n);
	d->features_offered |= n->v.features & net_ops.features;
	if (pairs > 1)
		d->features_offered |= 1ull << F_MQ | 1ull << F_CTRL_VQ;
	d->modern = true;
	n->v.d = d;
	r = vhost_dev_watch(&n->v, e);
	if (r < 0)
		virtio_free(d);
	else
		*out = d;
	return r;
}

/* ---- the class ---- */

static int new_card(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct virtio_dev *d;
	int r = vhost_user_net_new(&d, machine_ram(m), machine_loop(m), a->fd, a->control_fd,
				   (unsigned)device_number(a, "queues", 1), a->mac, &a->listener, e);

	if (r < 0)
		return r;
	d->rom = (struct virtio_rom){ a->rom, a->rom_bytes, a->rom_room };
	return virtio_add(m, d, a, out, e);
}

static void boot_path(struct device *d, char *path, size_t bytes)
{
	snprintf(path, bytes, "/pci@i0cf8/ethernet@%x/ethernet-phy@0", pci_dev_of(d)->devfn >> 3);
}

static const struct device_param params[] = {
	{ "queues", "N", N_("pairs of queues; default 1"), DEVICE_NUMBER, 1, PAIRS_MAX },
	{ NULL },
};

const struct device_class vhost_user_net_device_class = {
	.boot_path = boot_path,
	.rom = "/usr/lib/ipxe/qemu/pxe-virtio.rom",
	.name = "vhost-user-net",
	.help = N_("network card that another process serves"),
	.role = DEVICE_VHOST_NIC,
	.params = params,
	.new = new_card,
};
