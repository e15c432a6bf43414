/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_scsi.c - a hostile driver of the SCSI adapter: each request is from the input, target, command and how much room
 * there is; some chains are cut anywhere, some have sizes that the configuration says, and the device is reset in
 * between. Nothing may crash, hang or write outside of the chains.
 */
#include "base/log.h"
#include "block/block.h"
#include "device/virtio/virtio_scsi.h"
#include "unit/device/virtio/vdriver.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define RAM_BYTES (256 * KIB)
#define IMAGE_BYTES (64 * KIB + 512)
#define RINGS 0x20000ull
#define DATA 0x8000u
#define REQUESTQ 2

static struct ram *ram;
static struct loop *loop;
static struct virtio_dev *dev;
static struct ata_drive *drive[2];
static struct device board;
static struct vdriver q[3];

struct input {
	const u8 *p, *end;
};

static u8 byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static void no_irq(struct virtio_dev *d, unsigned n)
{
	must(n < d->nqueues);
}

static void no_config_irq(struct virtio_dev *d)
{
	must(d->status);
}

static void prepare(void)
{
	struct err e;

	log_level = LOG_LVL_ERROR;
	must(ram_new(&ram, RAM_BYTES, &e) == 0 && loop_new(&loop, &e) == 0);
	dev = virtio_scsi_new(ram, loop);
	dev->irq_queue = no_irq;
	dev->irq_config = no_config_irq;
	for (unsigned i = 0; i < 2; i++) {
		int fd = memfd_create("image", MFD_CLOEXEC);
		struct blk_params p = {
			.path = "image", .fd = fd, .format = "raw", .readonly = i, .engine = BLK_ENGINE_POOL
		};
		struct device_args a = { .id = "drive", .serial = "" };
		must(fd > 0 && ftruncate(fd, IMAGE_BYTES) == 0 && blk_open(&a.blk, loop, &p, &e) == 0);
		close(fd);
		must(ata_drive_new(&drive[i], "drive", i, false, &a, &e) == 0);
		drive[i]->scsi_disk = !i;
		must(virtio_scsi_connect(dev, &board, drive[i], &e) == 0);
	}
}

static void drain(void)
{
	for (unsigned i = 0; i < 2; i++)
		blk_drain(drive[i]->blk);
}

static void start(void)
{
	virtio_lock(dev);
	virtio_set_status(dev, 0);
	virtio_unlock(dev);
	for (unsigned i = 0; i < 3; i++)
		vd_init(&q[i], dev, i, 16, RINGS + i * 0x4000);
	vd_start(dev, 0);
}

/* Header, data out; response, data in. */
static void request(struct input *in, unsigned n)
{
	static const u8 codes[] = {
		0x00, 0x03, 0x08, 0x0a, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2a, 0x2f, 0x35, 0x43,
		0x46, 0x4a, 0x51, 0x52, 0x5a, 0x88, 0x8a, 0x8f, 0x91, 0x9e, 0xa0, 0xa8, 0xaa, 0xbe
	};
	u8 how = byte(in), *p = ram->host + DATA + 0x100 * (n % 8);
	u32 out = (u32)byte(in) * 64, room = (u32)byte(in) * 64;
	struct vdesc seg[6] = { { .addr = (u64)(p - ram->host), .len = how & 0x40 ? byte(in) : 19 + 32 } };
	unsigned nout = 1, nin = 1;

	memset(p, 0, 64);
	p[0] = 1;
	p[1] = how & 3;
	p[2] = how & 4 ? byte(in) : 0x40;
	p[19] = how & 8 ? byte(in) : codes[byte(in) % ARRAY_LEN(codes)];
	for (unsigned i = 1; i < 16; i++) {
		u8 b = byte(in);
		p[19 + i] = how & 0x80 || i == 1 ? b : b & (i >= 5 ? 0x3f : 0); /* addresses and lengths that can be */
	}
	if (out)
		seg[nout++] = (struct vdesc){ .addr = 0xc000 + how, .len = out };
	seg[nout] = (struct vdesc){ .addr = 0xa000, .len = how & 0x20 ? byte(in) : 108 };
	if (room)
		seg[nout + nin++] = (struct vdesc){ .addr = 0x10000 + how, .len = room };
	if (how & 0x10)
		seg[nout + nin++] = (struct vdesc){ .addr = RAM_BYTES - 512, .len = 512 };
	vd_add(&q[REQUESTQ], seg, nout, nin);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, data + MIN(size, 4096) };
	unsigned n = 0;

	if (!ram)
		prepare();
	memset(ram->host, 0, RAM_BYTES);
	start();
	while (in.p < in.end) {
		u8 op = byte(&in);
		switch (op & 15) {
		case 12: { /* task management */
			struct vdesc seg[] = { { .addr = DATA, .len = 24 }, { .addr = 0xa000, .len = op >> 4 } };
			st_le32(ram->host + DATA, byte(&in) & 3);
			st_le32(ram->host + DATA + 4, byte(&in) & 15);
			vd_add(&q[0], seg, 1, 1);
			vd_kick(&q[0]);
			break;
		}
		case 13: { /* its two sizes, or any field */
			u32 v = byte(&in) * 2u;
			unsigned off = op & 0x80 ? byte(&in) % 33 : op & 0x40 ? 20 : 24;
			virtio_lock(dev);
			dev->cls->cfg_write(dev, off, &v, 4);
			virtio_unlock(dev);
			break;
		}
		case 14: { /* the host's hand */
			struct err e;
			if (op & 0x40)
				ata_eject(&drive[1]->dev, op & 0x80, &e);
			else
				ata_insert(&drive[1]->dev);
			break;
		}
		case 15:
			if (op & 0x40)
				start(); /* requests may be under way */
			else
				drain();
			break;
		default:
			request(&in, n++);
			if (op & 0x30)
				vd_kick(&q[REQUESTQ]);
			break;
		}
	}
	drain();
	/* Whatever it did, a reset heals: the disk answers. */
	start();
	in = (struct input){ (const u8 *)"\0\0\1\4", (const u8 *)"\0\0\1\4" + 4 };
	ram->host[0xa00a] = 0xee;
	request(&in, 0);
	vd_kick(&q[REQUESTQ]);
	drain();
	must(vd_used_idx(&q[REQUESTQ]) == 1 && ram->host[0xa00b] == 0);
	return 0;
}
