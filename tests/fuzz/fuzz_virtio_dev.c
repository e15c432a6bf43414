/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtio_dev.c - network, console, socket, file system, input and balloon devices with a hostile driver.
 *
 * The input: which device, its features, then the bytes of guest memory from 0 on, where the queues' rings
 * are, and so descriptors that point anywhere, at each other and outside. Twice each queue is notified and
 * the other side of the device speaks. The devices may break; nothing else may.
 */
#include "base/log.h"
#include "device/chr.h"
#include "device/input/key.h"
#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_transport.h"
#include "net/net.h"

#include <fcntl.h>
#include <sys/socket.h>

#define RAM_BYTES (256 * KIB)
#define QUEUE_ENTRIES 16
#define RING_BYTES 1024 /* desc 256, avail 38, used 134: all near each other */

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct ram *ram;
static struct loop *loop;

static void stop(void *opaque)
{
	loop_stop(loop);
}

/* What is due now, timers at 0 included, and no more. */
static void turn(void)
{
	for (int i = 0; i < 2; i++) {
		loop_post(loop, stop, NULL);
		loop_run(loop);
	}
}

static void irq_queue(struct virtio_dev *d, unsigned q)
{
	must(q < d->nqueues);
}

static void irq_config(struct virtio_dev *d)
{
	must(d->status);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const u8 mac[6] = { 2 };
	struct virtio_dev *d;
	struct chr *chr = NULL;
	u8 other[1500];
	int sv[2];

	if (!ram) {
		log_level = LOG_LVL_ERROR;
		must(ram_new(&ram, RAM_BYTES, NULL) == 0 && loop_new(&loop, NULL) == 0);
	}
	if (size < 16)
		return 0;
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == 0);
	memset(ram->host, 0, RAM_BYTES);
	memcpy(ram->host, data + 16, MIN(size - 16, RAM_BYTES));

	switch (data[0] % 7) {
	case 0:
		must(virtio_net_new(&d, ram, loop, sv[1], mac, NULL) == 0);
		break;
	case 1:
		must(chr_new(&chr, loop, sv[1], sv[1], NULL) == 0);
		must(virtio_console_new(&d, ram, loop, chr, NULL) == 0);
		break;
	case 2: /* the host's side is mica-vsock, of which every word is wrong */
		d = virtio_vsock_new(ram, loop, 0, -1, sv[1]);
		break;
	case 3: /* or mica-share */
		d = virtio_fs_new(ram, loop, sv[1], "tag");
		break;
	case 5:
	case 6:
		d = virtio_input_new(ram, loop, data[0] % 7 == 5);
		close(sv[1]);
		break;
	default:
		must(virtio_balloon_new(&d, ram, loop, NULL) == 0);
		close(sv[1]);
	}
	d->irq_queue = irq_queue;
	d->irq_config = irq_config;
	virtio_lock(d);
	virtio_set_status(d, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	d->features = (ld_le64(data + 1) & d->features_offered) | 1ull << VIRTIO_F_VERSION_1;
	virtio_set_status(d, VIRTIO_S_FEATURES_OK);
	for (unsigned q = 0; q < d->nqueues; q++) {
		gpa_t at = q * RING_BYTES;
		d->queue[q].size = QUEUE_ENTRIES;
		d->queue[q].desc = at;
		d->queue[q].avail = at + 256;
		d->queue[q].used = at + 512;
		virtio_queue_enable(d, q);
	}
	virtio_set_status(d, VIRTIO_S_DRIVER_OK);
	virtio_unlock(d);
	memset(other, 0x55, sizeof(other));
	for (int round = 0; round < 2; round++) {
		for (unsigned q = 0; q < d->nqueues; q++) {
			virtio_lock(d);
			virtio_notify(d, q);
			virtio_unlock(d);
			send(sv[0], other, 14 + data[9] * 5u, MSG_NOSIGNAL);
		}
		if (d->cls->id == VIRTIO_ID_INPUT) {
			const u16 keys[] = { KEY_DOWN | 0x1e, 0x1e };
			virtio_input_keys(d, keys, 2);
			virtio_input_point(d, data[9], data[10], data[11], data[12]);
		}
		turn();
		if (d->cls->cfg_write) {
			unsigned off = data[10] % d->cls->cfg_bytes;
			virtio_lock(d);
			d->cls->cfg_write(d, off, data + 11, MIN(4, d->cls->cfg_bytes - off));
			d->cls->cfg_read(d, 0, other, d->cls->cfg_bytes);
			virtio_unlock(d);
		}
		while (recv(sv[0], other, sizeof(other), 0) > 0)
			;
	}
	virtio_free(d);
	chr_free(chr);
	if (chr)
		close(sv[1]);
	close(sv[0]);
	return 0;
}
