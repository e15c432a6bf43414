/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_virtqueue.c - a hostile driver: the input is a program for one, run against a disk and an entropy
 * device on a real PCI bus. Nothing it does may crash, hang, or write outside its RAM.
 *
 * The first byte chooses features and disk; each further byte an action, which takes its arguments from
 * the bytes that follow. Some actions are well-behaved, so that inputs get deep: an all-random driver would
 * never have a queue running.
 */
#include "base/log.h"
#include "block/block.h"
#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_mmio.h"

#include "unit/machine/pci_rig.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define RAM_BYTES (256 * KIB)
#define DISK_BYTES (128 * KIB + 512)
#define QUEUE 16u
#define RING_BYTES 0x3000u
#define NDEV 3
#define BAR_BYTES 0x4000u

static struct ram *ram;
static struct loop *loop;
static struct pci_rig rig;
static struct device *in_memory; /* virtio over MMIO, beside them */
static struct virtio_dev *dev[NDEV];
static struct blk *disk[2];

struct input {
	const u8 *p, *end;
};
static u8 byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}
static u32 word(struct input *in)
{
	u32 v = byte(in);
	return v | (u32)byte(in) << 8;
}

static void on_wrote(void *opaque, gpa_t gpa, u64 bytes)
{
	must(ram_ptr(ram, gpa, bytes));
}

static void prepare(void)
{
	struct err e;

	log_level = LOG_LVL_ERROR;
	must(ram_new(&ram, RAM_BYTES, &e) == 0);
	ram->watch.wrote = on_wrote;
	must(loop_new(&loop, &e) == 0);
	pci_rig_up(&rig);
	for (int i = 0; i < 2; i++) {
		int fd = memfd_create("disk", MFD_CLOEXEC);
		must(fd > 0 && ftruncate(fd, DISK_BYTES) == 0);
		struct blk_params p = {
			.path = "disk", .fd = fd, .snapshot = i, .engine = i ? BLK_ENGINE_POOL : BLK_ENGINE_AUTO
		};
		must(blk_open(&disk[i], loop, &p, &e) == 0);
		must(virtio_blk_new(&dev[i], ram, loop, disk[i], 2, "fuzz", &e) == 0);
		close(fd);
	}
	must(virtio_rng_new(&dev[2], ram, loop, &e) == 0);
	dev[1]->transitional = dev[2]->transitional = true;
	for (int i = 0; i < NDEV; i++)
		must(virtio_pci_add(rig.pci, dev[i], i + 1, NULL, &e) == 0);
	must(pci_bus_assign(rig.pci) == 0);
	struct slot slot = { .at = LAYOUT_SLOTS };
	struct virtio_dev *d;
	must(virtio_rng_new(&d, ram, loop, &e) == 0 && virtio_mmio_new(&in_memory, rig.bus, &slot, d, &e) == 0);
}

static gpa_t ring_base(unsigned q)
{
	return q * 0x4000;
}

static bool packed;
static u16 place[2]; /* of a packed ring: where the driver is, the wrap counter in bit 15 */

/* The flags with which a descriptor of a packed ring is available, and the next place. */
static u16 packed_flags(unsigned q, u16 flags)
{
	return (u16)(flags | (place[q] & 0x8000 ? 0x80 : 0x8000));
}

static u8 *packed_next(unsigned q)
{
	u8 *d = ram->host + ring_base(q) + 16 * (place[q] & 0x7fff);

	place[q] = (place[q] & 0x7fff) + 1u < QUEUE ? (u16)(place[q] + 1) : (place[q] & 0x8000) ^ 0x8000;
	return d;
}

/* What lies as split descriptors at `from`, as one chain of n of them. */
static void packed_add(unsigned q, const u8 *from, unsigned n, u16 id)
{
	u8 *first = NULL;
	u16 first_flags = 0;

	for (unsigned i = 0; i < n; i++) {
		u16 flags = packed_flags(q, ld_le16(from + 16 * i + 12));
		u8 *d = packed_next(q);
		memcpy(d, from + 16 * i, 12);
		st_le16(d + 12, id);
		if (i) {
			st_le16(d + 14, flags);
		} else {
			first = d;
			first_flags = flags;
		}
	}
	if (first)
		__atomic_store_n((u16 *)(void *)(first + 14), first_flags, __ATOMIC_RELEASE);
}

/* As a good driver would. */
static void start(unsigned d, gpa_t bar, u8 feat)
{
	u64 want = dev[d]->features_offered;

	bus_mmio_write(rig.bus, bar + 0x14, 1, 0);
	bus_mmio_write(rig.bus, bar + 0x14, 1, 3);
	if (feat & 1)
		want &= ~(1ull << VIRTIO_F_RING_EVENT_IDX);
	if (feat & 2)
		want &= ~(1ull << VIRTIO_F_RING_INDIRECT_DESC);
	if (feat & 4)
		want &= ~(1ull << 9); /* FLUSH */
	packed = feat & 8;
	if (!packed)
		want &= ~(1ull << VIRTIO_F_RING_PACKED);
	place[0] = place[1] = 0x8000;
	bus_mmio_write(rig.bus, bar + 8, 4, 0);
	bus_mmio_write(rig.bus, bar + 0xc, 4, (u32)want);
	bus_mmio_write(rig.bus, bar + 8, 4, 1);
	bus_mmio_write(rig.bus, bar + 0xc, 4, want >> 32);
	bus_mmio_write(rig.bus, bar + 0x14, 1, 11);
	for (unsigned q = 0; q < dev[d]->nqueues; q++) {
		memset(ram->host + ring_base(q), 0, RING_BYTES);
		bus_mmio_write(rig.bus, bar + 0x16, 2, q);
		bus_mmio_write(rig.bus, bar + 0x18, 2, QUEUE);
		bus_mmio_write(rig.bus, bar + 0x20, 4, ring_base(q));
		bus_mmio_write(rig.bus, bar + 0x28, 4, ring_base(q) + 0x1000);
		bus_mmio_write(rig.bus, bar + 0x30, 4, ring_base(q) + 0x2000);
		bus_mmio_write(rig.bus, bar + 0x1c, 2, 1);
	}
	bus_mmio_write(rig.bus, bar + 0x14, 1, 15);
}

/* A table of n descriptors, mostly sound, from the input's bytes. */
static void put_descs(struct input *in, gpa_t table, unsigned entries, unsigned first, unsigned n)
{
	bool writable = false;

	for (unsigned i = 0; i < n; i++) {
		u8 how = byte(in);
		u64 addr = 0x8000 + (word(in) & 0x7fff) * 4;
		u32 len = how & 1 ? 512u * (1 + byte(in) % 16) : byte(in) % 40;
		u16 flags = i + 1 < n ? 1 : 0, next = (u16)((first + i + 1) % entries);
		writable |= (how & 6) == 6;
		if (writable)
			flags |= 2;
		if ((how & 0xf8) == 0xf8) { /* now and then anything */
			addr = (u64)word(in) << (how & 7) * 7;
			len = word(in) << (byte(in) & 15);
			flags = byte(in) & 7;
			next = byte(in);
		}
		u8 *d = ram->host + table + 16 * ((first + i) % entries);
		st_le64(d, addr);
		st_le32(d + 8, len);
		st_le16(d + 12, flags);
		st_le16(d + 14, next);
	}
}

static void avail_add(unsigned q, u16 head)
{
	u8 *a = ram->host + ring_base(q) + 0x1000;
	u16 idx = ld_le16(a + 2);

	st_le16(a + 4 + 2 * (idx % QUEUE), head);
	__atomic_store_n((u16 *)(void *)(a + 2), (u16)(idx + 1), __ATOMIC_RELEASE);
}

/* A sound block request, its type and place from the input. */
static void put_request(struct input *in, unsigned q)
{
	static const u8 types[] = { 0, 1, 4, 8, 11, 13, 13, 99 };
	u8 table[3 * 16], *d = packed ? table : ram->host + ring_base(q), *h = ram->host + 0x8000 + 64 * q;
	u8 t = byte(in), type = types[t % 8];
	bool rd = type == 0 || type == 8;
	u32 bytes = type == 4 ? 0 : type >= 11 ? 16u * (1 + (t >> 3) % 17) : 512u * (1 + byte(in) % 64);

	st_le32(h, type);
	st_le64(h + 8, word(in) & 0x1ff);
	u8 *g = ram->host + 0xa000;
	if (type >= 11)
		for (unsigned i = 0; i < bytes / 16; i++) {
			st_le64(g + 16 * i, byte(in));
			st_le32(g + 16 * i + 8, byte(in));
			st_le32(g + 16 * i + 12, t >> 6);
		}
	const u64 addr[3] = { 0x8000 + 64 * q, 0xa000 + (t & 0x80 ? 3 : 0), 0x8000 + 64 * q + 32 };
	const u32 len[3] = { 16, bytes, 1 };
	for (unsigned i = 0; i < 3; i++) {
		st_le64(d + 16 * i, addr[i]);
		st_le32(d + 16 * i + 8, len[i]);
		st_le16(d + 16 * i + 12, (u16)((i < 2 ? 1 : 0) | (i == 2 || (i == 1 && rd) ? 2 : 0)));
		st_le16(d + 16 * i + 14, (u16)(i + 1));
	}
	if (packed)
		packed_add(q, table, 3, t);
	else
		avail_add(q, 0);
}

/* Over MMIO: a sound start of a queue, or anything. */
static void mmio(struct input *in, u8 op)
{
	static const u32 sound[][2] = { { 0x70, 0 }, { 0x70, 3 },     { 0x24, 1 }, { 0x20, 1 },      { 0x70, 11 },
					{ 0x30, 0 }, { 0x38, QUEUE }, { 0x80, 0 }, { 0x90, 0x1000 }, { 0xa0, 0x2000 },
					{ 0x44, 1 }, { 0x70, 15 },    { 0x50, 0 } };

	for (size_t i = 0; op & 0x80 && i < ARRAY_LEN(sound); i++)
		bus_mmio_write(rig.bus, LAYOUT_SLOTS + sound[i][0], 4, sound[i][1]);
	if (!(op & 0x80)) {
		u32 at = word(in) & 0x1ff, width = 1u << (byte(in) & 3);
		bus_mmio_write(rig.bus, LAYOUT_SLOTS + at, width, (u64)word(in) << (byte(in) & 15));
		bus_mmio_read(rig.bus, LAYOUT_SLOTS + at, width);
	}
}

/* The legacy interface: a sound start of a queue, or anything. */
static void legacy(struct input *in, u16 io, u8 op)
{
	if (op & 0x80) {
		bus_pio_write(rig.bus, io + 18, 1, 3);
		bus_pio_write(rig.bus, io + 4, 4, word(in) << 16 | word(in));
		bus_pio_write(rig.bus, io + 14, 2, 0);
		bus_pio_write(rig.bus, io + 8, 4, 0);
		bus_pio_write(rig.bus, io + 8, 4, byte(in) & 63); /* a page of memory, or behind it */
		bus_pio_write(rig.bus, io + 16, 2, 0);
	} else {
		u16 at = byte(in) & 63, width = (u16)(1u << byte(in) % 3);
		bus_pio_write(rig.bus, io + at, width, word(in));
		bus_pio_read(rig.bus, io + at, width);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, data + MIN(size, 4096) };

	if (!ram)
		prepare();
	memset(ram->host, 0, RAM_BYTES);
	u8 feat = byte(&in);
	unsigned d = (feat >> 4) % NDEV;
	gpa_t bar = cfg_bar(rig.bus, d + 1, dev[d]->transitional ? 2 : 0);
	u16 io = dev[d]->transitional ? (u16)cfg_bar(rig.bus, d + 1, 0) : 0;
	start(d, bar, feat);
	while (in.p < in.end) {
		u8 op = byte(&in);
		unsigned q = op >> 4 & 1, n;
		switch (op & 15) {
		case 0:
		case 1:
		case 2:
			put_request(&in, q);
			break;
		case 3:
		case 4:
			n = byte(&in) % QUEUE;
			if (packed) {
				unsigned descs = 1 + byte(&in) % 6;
				put_descs(&in, 0xc000, 256, 0, descs);
				packed_add(q, ram->host + 0xc000, descs, (u16)n);
				break;
			}
			put_descs(&in, ring_base(q), QUEUE, n, 1 + byte(&in) % 6);
			avail_add(q, (u16)n);
			break;
		case 5: /* indirect */
			n = byte(&in);
			put_descs(&in, 0xc000, 256, 0, 1 + n % 160);
			if (packed) {
				u8 one[16] = { 0 };
				/* A packed table has its flags where a split one has "next". */
				for (unsigned i = 0; i <= n % 160; i++)
					st_le16(ram->host + 0xc000 + 16 * i + 14,
						ld_le16(ram->host + 0xc000 + 16 * i + 12) & 2);
				st_le64(one, 0xc000);
				st_le32(one + 8, 16 * (1 + n));
				st_le16(one + 12, (u16)(4 | (n & 0x80 ? byte(&in) & 3 : 0)));
				packed_add(q, one, 1, (u16)n);
				break;
			}
			st_le64(ram->host + ring_base(q), 0xc000);
			st_le32(ram->host + ring_base(q) + 8, 16 * (1 + n));
			st_le16(ram->host + ring_base(q) + 12, 4);
			avail_add(q, 0);
			break;
		case 6:
		case 7:
		case 8:
			bus_mmio_write(rig.bus, bar + 0x3000 + 4 * q, 2, q);
			break;
		case 9: { /* poke memory */
			u32 at = word(&in) * 4;
			for (n = byte(&in) % 16; n; n--)
				ram->host[(at + n) % RAM_BYTES] = byte(&in);
			break;
		}
		case 10: { /* any register */
			u32 at = word(&in) % BAR_BYTES, width = 1u << (byte(&in) & 3);
			bus_mmio_write(rig.bus, bar + at, width, (u64)word(&in) << (byte(&in) & 31));
			break;
		}
		case 11: {
			u32 at = byte(&in) % 0x40, width = 1u << (byte(&in) & 3);
			if (at + width <= 0x40)
				bus_mmio_write(rig.bus, bar + at, width, word(&in));
			break;
		}
		case 12: {
			u32 at = word(&in) % BAR_BYTES, width = 1u << (byte(&in) & 3);
			bus_mmio_read(rig.bus, bar + at, width);
			break;
		}
		case 13: /* the rings' own words */
			st_le16(ram->host + ring_base(q) + (op & 0x20 ? 0x1000 : 0x2000) + byte(&in) % 8,
				(u16)word(&in));
			break;
		case 14:
			if (d < 2)
				blk_drain(disk[d]);
			break;
		case 15:
			if (op & 0x40)
				start(d, bar, op);
			else if (op & 0x20)
				io ? legacy(&in, io, op) : mmio(&in, op);
			else
				bus_mmio_write(rig.bus, bar + 0x14, 1, op & 0x80 ? byte(&in) : 0);
			break;
		}
	}
	bus_mmio_write(rig.bus, LAYOUT_SLOTS + 0x70, 4, 0);
	must(bus_mmio_read(rig.bus, LAYOUT_SLOTS + 0x70, 4) == 0);
	/* Whatever it did, a reset heals. */
	bus_mmio_write(rig.bus, bar + 0x14, 1, 0);
	must(bus_mmio_read(rig.bus, bar + 0x14, 1) == 0);
	if (d < 2) {
		memset(ram->host, 0, RAM_BYTES);
		start(d, bar, feat & 8);
		put_request(&(struct input){ (const u8 *)"\0\0\0", (const u8 *)"\0\0\0" + 3 }, 0);
		bus_mmio_write(rig.bus, bar + 0x3000, 2, 0);
		blk_drain(disk[d]);
		must(packed ? (ld_le16(ram->host + ring_base(0) + 14) & 0x8080) == 0x8080
			    : ld_le16(ram->host + ring_base(0) + 0x2002) == 1);
		must(ram->host[0x8000 + 32] == 0);
		bus_mmio_write(rig.bus, bar + 0x14, 1, 0);
	}
	return 0;
}
