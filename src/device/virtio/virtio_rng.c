/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_rng.c - entropy device (VIRTIO 1.1, 5.4): one queue, buffers filled from getrandom(2).
 *
 * The host's generator never blocks once seeded, so buffers are filled on the notifying vCPU's thread.
 * A buffer is filled up to RNG_MAX bytes at a time, and each counts for what it costs: neither huge buffers nor many of
 * them hold the lock for longer than a visit.
 */
#include "device/class.h"
#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"

#include <sys/random.h>

#define RNG_MAX 4096
#define RNG_WORK(bytes) (100 + (bytes) / 4) /* 400 MB/s and a system call */

static void rng_notify(struct virtio_dev *d, unsigned q)
{
	struct virtio_chain *ch = d->impl;
	u8 buf[RNG_MAX];

	while (virtio_pop(d, q, ch)) {
		u64 want = MIN(ch->in_bytes, sizeof(buf));
		u64 got = 0;
		while (got < want) {
			ssize_t k = getrandom(buf + got, want - got, 0);
			if (k < 0 && errno == EINTR)
				continue;
			must(k > 0);
			got += (u64)k;
		}
		virtio_chain_write(ch, 0, buf, got);
		virtio_push(d, q, ch, (u32)got);
		virtio_charge(d, RNG_WORK(got));
	}
	explicit_bzero(buf, sizeof(buf));
	virtio_signal(d, q);
}

static void rng_free(struct virtio_dev *d)
{
	free(d->impl);
}

static const struct virtio_class rng_class = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.notify = rng_notify,
	.free = rng_free,
};

int virtio_rng_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct err *e)
{
	(void)e;
	*out = virtio_new(&rng_class, ram, loop, 1, xcalloc(1, sizeof(struct virtio_chain)));
	return 0;
}

/* ---- the class ---- */

static int new_rng(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct virtio_dev *d;
	int r = virtio_rng_new(&d, machine_ram(m), machine_loop(m), e);

	return r < 0 ? r : virtio_add(m, d, a, out, e);
}

static const struct device_param params[] = {
	VIRTIO_PARAM_LEGACY(N_("systems and firmware from before VIRTIO 1.0 can use it, too")),
	{ NULL },
};

const struct device_class virtio_rng_device_class = {
	.name = "virtio-rng",
	.help = N_("random numbers from the host; every machine has one, more can be added"),
	.standard = true,
	.params = params,
	.new = new_rng,
};
