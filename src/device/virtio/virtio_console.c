/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_console.c - console device (VIRTIO 1.1, 5.3): one port, one receive and one transmit queue.
 *
 * What the guest sends goes to the chr on the notifying vCPU's thread; chr never blocks. Bytes for the
 * guest are taken from the chr only as receive buffers are there; the rest waits with the host.
 *
 * Lock order: the device's lock, then the chr's.
 */
#include "base/i18n.h"
#include "device/class.h"
#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"
#include "device/chr.h"

enum { RXQ, TXQ };

#define F_EMERG_WRITE 2
#define WRITE_MAX (1u << 20) /* bytes in one chain: bounds the time the lock is held */
#define WRITE_WORK(bytes) ((bytes) / 16)
#define CFG_EMERG 8 /* cols, rows (2 each), max_nr_ports, emerg_wr */

struct vcon {
	struct virtio_dev *d;
	struct chr *chr;
	/* the device's lock */
	bool starved; /* the host has bytes for which there was no buffer; a reset does not lose them */
	struct virtio_chain ch;
};

static size_t on_recv(void *opaque, const u8 *buf, size_t bytes)
{
	struct vcon *c = opaque;
	size_t done = 0;

	virtio_lock(c->d);
	while (done < bytes && virtio_pop(c->d, RXQ, &c->ch)) {
		size_t k = virtio_chain_write(&c->ch, 0, buf + done, bytes - done);
		done += k;
		virtio_push(c->d, RXQ, &c->ch, (u32)k);
	}
	c->starved = done < bytes;
	virtio_signal(c->d, RXQ);
	virtio_unlock(c->d);
	return done;
}

static void feed(struct vcon *c)
{
	if (c->starved) {
		c->starved = false;
		chr_ready(c->chr);
	}
}

static void console_notify(struct virtio_dev *d, unsigned q)
{
	struct vcon *c = d->impl;

	if (q == RXQ) {
		feed(c);
		return;
	}
	while (virtio_pop(d, TXQ, &c->ch)) {
		if (c->ch.out_bytes > WRITE_MAX) {
			virtio_broken(d, N_("one write of more than 1 MiB"));
			return;
		}
		for (unsigned i = 0; i < c->ch.nout; i++)
			chr_write(c->chr, c->ch.iov[i].iov_base, c->ch.iov[i].iov_len);
		virtio_push(d, TXQ, &c->ch, 0);
		virtio_charge(d, WRITE_WORK(c->ch.out_bytes));
	}
	virtio_signal(d, TXQ);
}

static void console_driver_ok(struct virtio_dev *d)
{
	feed(d->impl);
}

static void console_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	static const u8 cfg[12] = { [4] = 1 }; /* sizes are not offered (F_SIZE), nor more ports */

	(void)d;
	memcpy(buf, cfg + off, bytes);
}

/* Emergency write (5.3.4): a byte, from any driver at any time, even before it has set up. */
static void console_cfg_write(struct virtio_dev *d, unsigned off, const void *buf, unsigned bytes)
{
	struct vcon *c = d->impl;

	if (off == CFG_EMERG && bytes)
		chr_write(c->chr, buf, 1);
}

static void console_free(struct virtio_dev *d)
{
	struct vcon *c = d->impl;

	chr_set_recv(c->chr, NULL, NULL);
	free(c);
}

static const struct virtio_class console_class = {
	.name = "virtio-console",
	.id = VIRTIO_ID_CONSOLE,
	.features = 1ull << F_EMERG_WRITE,
	.cfg_bytes = 12,
	.cfg_read = console_cfg_read,
	.cfg_write = console_cfg_write,
	.driver_ok = console_driver_ok,
	.notify = console_notify,
	.free = console_free,
};

int virtio_console_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct chr *chr, struct err *e)
{
	struct vcon *c = xcalloc(1, sizeof(*c));

	(void)e;
	c->chr = chr;
	c->d = virtio_new(&console_class, ram, loop, 2, c);
	chr_set_recv(chr, on_recv, c);
	*out = c->d;
	return 0;
}

/* ---- the class ---- */

static int new_console(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct virtio_dev *d;
	int r = virtio_console_new(&d, machine_ram(m), machine_loop(m), a->chr, e);

	return r < 0 ? r : virtio_add(m, d, a, out, e);
}

const struct device_class virtio_console_device_class = {
	.name = "virtio-console",
	.help = N_("paravirtual console: /dev/hvc0"),
	.role = DEVICE_CONSOLE,
	.new = new_console,
};
