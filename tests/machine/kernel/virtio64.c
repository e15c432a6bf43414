/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio64.c - every virtio device as a driver sees it: found on PCI, driven over BAR 0, heard by MSI-X messages and by
 * its INTx pin (VIRTIO 1.1). The same kernel runs on each engine; nothing in here knows which.
 *
 * The runner (virtio_kernel.py) gives it a disk of 1 MiB whose sector n holds bytes n * 7 + i, a network
 * behind address translation, and a console whose other end says back what it is told.
 */
#include "apic.h"

bool x2apic;

#define IDS 6 /* virtio device ids are 1 .. 5 here */
#define NET 1
#define BLK 2
#define CONSOLE 3
#define RNG 4
#define BALLOON 5

#define QUEUE 8 /* entries we use */
#define QUEUES 3
#define VECTOR 0x40 /* + 4 * virtio id + queue */
#define INTX_VECTOR 0x70
#define FEATURE_VERSION_1 1u /* bit 32 */
#define DESC_NEXT 1
#define DESC_WRITE 2
#define SECTOR 512u
#define SECONDS(n) ((n)*3000000000ull) /* of TSC; generous */

struct desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};
struct queue {
	struct desc desc[QUEUE];
	struct {
		u16 flags, idx, ring[QUEUE], event;
	} avail __attribute__((aligned(16)));
	volatile struct {
		u16 flags, idx;
		struct {
			u32 id, len;
		} ring[QUEUE];
		u16 event;
	} used __attribute__((aligned(16)));
	u16 seen;
	volatile u16 *bell;
} __attribute__((aligned(4096)));

struct dev {
	unsigned slot;
	u64 bar[6];
	volatile u8 *common, *isr, *config, *notify;
	u32 multiplier;
	volatile u32 *table; /* MSI-X */
	volatile u32 *pending;
	unsigned msix, nvectors; /* capability */
	struct queue *q;
};

static struct dev devs[IDS];
static struct queue queues[IDS][QUEUES];
static volatile u32 hits[256];
static u8 data[16384] __attribute__((aligned(4096)));

/* ---- PCI configuration space, mechanism 1 ---- */
static u32 cfg32(unsigned slot, unsigned reg)
{
	outl(0xcf8, 0x80000000u | slot << 11 | (reg & ~3u));
	u32 v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"((u16)0xcfc));
	return v;
}
static u32 cfg(unsigned slot, unsigned reg, unsigned bytes)
{
	u32 v = cfg32(slot, reg) >> 8 * (reg & 3);

	return bytes == 4 ? v : v & ((1u << 8 * bytes) - 1);
}
static void cfg_put32(unsigned slot, unsigned reg, u32 v)
{
	outl(0xcf8, 0x80000000u | slot << 11 | (reg & ~3u));
	outl(0xcfc, v);
}

static void read_bars(struct dev *d)
{
	for (unsigned i = 0; i < 6; i++) {
		u32 lo = cfg32(d->slot, 0x10 + 4 * i);

		d->bar[i] = lo & ~15u;
		if ((lo & 7) == 4 && i < 5) {
			d->bar[i] |= (u64)cfg32(d->slot, 0x14 + 4 * i) << 32;
			i++;
		}
	}
}

static void read_caps(struct dev *d)
{
	for (unsigned at = cfg(d->slot, 0x34, 1); at; at = cfg(d->slot, at + 1, 1)) {
		u32 id = cfg(d->slot, at, 1);

		if (id == 0x11) {
			u32 where = cfg(d->slot, at + 4, 4), pba = cfg(d->slot, at + 8, 4);
			d->msix = at;
			d->nvectors = (cfg(d->slot, at + 2, 2) & 0x7ff) + 1;
			d->table = (volatile u32 *)(d->bar[where & 7] + (where & ~7u));
			d->pending = (volatile u32 *)(d->bar[pba & 7] + (pba & ~7u));
		}
		if (id != 9)
			continue;
		volatile u8 *p = (volatile u8 *)(d->bar[cfg(d->slot, at + 4, 1) % 6] + cfg(d->slot, at + 8, 4));
		switch (cfg(d->slot, at + 3, 1)) {
		case 1:
			d->common = p;
			break;
		case 2:
			d->notify = p;
			d->multiplier = cfg(d->slot, at + 16, 4);
			break;
		case 3:
			d->isr = p;
			break;
		case 4:
			d->config = p;
			break;
		}
	}
}

static void find_all(void)
{
	for (unsigned slot = 0; slot < 32; slot++) {
		u32 id = cfg32(slot, 0);

		if ((id & 0xffff) != 0x1af4 || (id >> 16) - 0x1040 - 1 >= IDS - 1)
			continue;
		struct dev *d = &devs[(id >> 16) - 0x1040];
		if (d->common)
			continue;
		d->slot = slot;
		read_bars(d);
		read_caps(d);
		/* memory, bus master */
		cfg_put32(slot, 4, (cfg32(slot, 4) & 0xfbff) | 6);
	}
}

/* ---- common configuration (4.1.4.3), each field by its own width ---- */
#define C8(d, off) (*(volatile u8 *)((d)->common + (off)))
#define C16(d, off) (*(volatile u16 *)((d)->common + (off)))
#define C32(d, off) (*(volatile u32 *)((d)->common + (off)))
enum {
	DEV_SEL = 0,
	DEV_FEAT = 4,
	DRV_SEL = 8,
	DRV_FEAT = 12,
	MSIX_CONFIG = 16,
	NUM_QUEUES = 18,
	STATUS = 20,
	Q_SEL = 22,
	Q_SIZE = 24,
	Q_VECTOR = 26,
	Q_ENABLE = 28,
	Q_OFF = 30,
	Q_DESC = 32,
	Q_AVAIL = 40,
	Q_USED = 48
};

static void put64(struct dev *d, unsigned off, const volatile void *p)
{
	C32(d, off) = (u32)(word)p;
	C32(d, off + 4) = (u32)((word)p >> 32);
}

static void queue_up(struct dev *d, unsigned n, struct queue *q, bool msix)
{
	memset(q, 0, sizeof(*q));
	C16(d, Q_SEL) = (u16)n;
	C16(d, Q_SIZE) = QUEUE;
	if (msix)
		C16(d, Q_VECTOR) = (u16)n;
	put64(d, Q_DESC, q->desc);
	put64(d, Q_AVAIL, &q->avail);
	put64(d, Q_USED, &q->used);
	q->bell = (volatile u16 *)(d->notify + C16(d, Q_OFF) * d->multiplier);
	C16(d, Q_ENABLE) = 1;
}

static void msix_up(struct dev *d, unsigned id, unsigned n)
{
	for (unsigned v = 0; v < n; v++) {
		d->table[4 * v] = 0xfee00000 | apic_id() << 12;
		d->table[4 * v + 1] = 0;
		d->table[4 * v + 2] = VECTOR + 4 * id + v;
		d->table[4 * v + 3] = 0;
	}
	cfg_put32(d->slot, d->msix, (cfg32(d->slot, d->msix) & 0x3fffffff) | 0x80000000);
}

/* Reset, features, nq queues; with MSI-X or with the pin. */
static void bring_up(unsigned id, unsigned nq, bool msix)
{
	struct dev *d = &devs[id];

	d->q = queues[id];
	C8(d, STATUS) = 0;
	while (C8(d, STATUS))
		pause_();
	C8(d, STATUS) = 1;
	C8(d, STATUS) = 3;
	C32(d, DEV_SEL) = 1;
	eq(C32(d, DEV_FEAT) & FEATURE_VERSION_1, FEATURE_VERSION_1);
	C32(d, DRV_SEL) = 0;
	C32(d, DRV_FEAT) = 0;
	C32(d, DRV_SEL) = 1;
	C32(d, DRV_FEAT) = FEATURE_VERSION_1;
	C8(d, STATUS) = 11;
	eq(C8(d, STATUS), 11); /* FEATURES_OK stays */
	cfg_put32(d->slot, d->msix, cfg32(d->slot, d->msix) & 0x3fffffff);
	if (msix)
		msix_up(d, id, nq);
	for (unsigned n = 0; n < nq; n++)
		queue_up(d, n, &d->q[n], msix);
	C8(d, STATUS) = 15;
	eq(C8(d, STATUS), 15);
}

/* ---- requests ---- */
struct part {
	void *p;
	u32 len;
	bool in; /* the device writes it */
};

/* Each request takes the whole queue. */
static void give(struct queue *q, const struct part *part, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		q->desc[i] =
		    (struct desc){ (word)part[i].p, part[i].len,
				   (u16)((part[i].in ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0)), (u16)(i + 1) };
	q->avail.ring[q->avail.idx % QUEUE] = 0;
	__atomic_store_n(&q->avail.idx, (u16)(q->avail.idx + 1), __ATOMIC_SEQ_CST);
	*q->bell = 0;
}

static bool used(struct queue *q, u32 *len)
{
	if (__atomic_load_n(&q->used.idx, __ATOMIC_ACQUIRE) == q->seen)
		return false;
	*len = q->used.ring[q->seen++ % QUEUE].len;
	return true;
}

/* Sleep until vec comes; the PIT is off, so that only the device's interrupt ends a HLT. */
static bool wait_irq(unsigned vec, u32 n)
{
	for (u64 until = rdtsc() + SECONDS(10); rdtsc() < until;) {
		__asm__ volatile("cli" ::: "memory");
		if (hits[vec] >= n) {
			__asm__ volatile("sti" ::: "memory");
			return true;
		}
		__asm__ volatile("sti; hlt" ::: "memory");
	}
	return false;
}
static bool wait_used(struct queue *q, u32 *len)
{
	for (u64 until = rdtsc() + SECONDS(10); rdtsc() < until; pause_())
		if (used(q, len))
			return true;
	return false;
}
static void settle(void)
{
	for (u64 until = rdtsc() + SECONDS(1) / 20; rdtsc() < until;)
		pause_();
}

static u32 pin_level_eoi;
static bool on_irq(struct frame *f)
{
	if (f->vec < 32)
		return false;
	hits[f->vec]++;
	if (f->vec == INTX_VECTOR)
		pin_level_eoi |= *devs[BLK].isr; /* reading it lets the wire go */
	apic_write(APIC_EOI, 0);
	return true;
}

/* ---- the disk ---- */
struct blk_req {
	u32 type, reserved;
	u64 sector;
};
static struct blk_req req;
static volatile u8 status;

static void blk(u32 type, u64 sector, void *p, u32 len, bool in)
{
	struct part parts[3] = { { &req, sizeof(req), false }, { p, len, in }, { (void *)&status, 1, true } };

	req = (struct blk_req){ type, 0, sector };
	status = 0xff;
	if (!len)
		parts[1] = parts[2];
	give(&devs[BLK].q[0], parts, len ? 3 : 2);
}

static bool pattern(u64 sector, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++)
		if (data[i] != (u8)((sector + i / SECTOR) * 7 + i % SECTOR))
			return false;
	return true;
}

static void disk(void)
{
	struct dev *d = &devs[BLK];
	struct queue *q = &d->q[0];
	const unsigned vec = VECTOR + 4 * BLK;
	u32 len = 0;

	t("block: found, with its configuration");
	eq(d->common != NULL, 1);
	if (!d->common)
		return;
	eq(*(volatile u32 *)d->config, 2048); /* sectors */
	bring_up(BLK, 1, true);
	q = &d->q[0];

	t("block: reads come by DMA, with one message each");
	for (u32 i = 0; i < 20; i++) {
		memset(data, 0, sizeof(data));
		blk(0, i * 50, data, 8 * SECTOR, true);
		eq(wait_irq(vec, i + 1), 1);
		eq(used(q, &len), 1);
		eq(status, 0);
		eq(len, 8 * SECTOR + 1);
		eq(pattern(i * 50, 8 * SECTOR), 1);
	}
	settle();
	eq(hits[vec], 20);

	t("block: what is written is read back");
	for (u32 i = 0; i < 3 * SECTOR; i++)
		data[i] = (u8)(i * 13 + 5);
	blk(1, 1000, data, 3 * SECTOR, false);
	eq(wait_irq(vec, 21), 1);
	eq(used(q, &len), 1);
	eq(status, 0);
	blk(4, 0, NULL, 0, false); /* flush */
	eq(wait_irq(vec, 22), 1);
	eq(used(q, &len), 1);
	memset(data, 0, sizeof(data));
	blk(0, 1000, data, 3 * SECTOR, true);
	eq(wait_irq(vec, 23), 1);
	eq(used(q, &len), 1);
	u32 wrong = 0;
	for (u32 i = 0; i < 3 * SECTOR; i++)
		wrong += data[i] != (u8)(i * 13 + 5);
	eq(wrong, 0);

	t("block: past the end is an error, and no more");
	blk(0, 2047, data, 2 * SECTOR, true);
	eq(wait_irq(vec, 24), 1);
	eq(used(q, &len), 1);
	eq(status, 1);
	eq(C8(d, STATUS), 15);

	t("block: a masked vector is pending, and comes once it is unmasked");
	d->table[3] = 1;
	blk(0, 0, data, SECTOR, true);
	eq(wait_used(q, &len), 1);
	for (u64 until = rdtsc() + SECONDS(10); !(d->pending[0] & 1) && rdtsc() < until;)
		pause_();
	eq(d->pending[0] & 1, 1);
	eq(hits[vec], 24);
	d->table[3] = 0;
	eq(wait_irq(vec, 25), 1);
	eq(d->pending[0] & 1, 0);

	t("block: another message, from the next request on");
	d->table[3] = 1;
	d->table[2] = vec + 1;
	d->table[3] = 0;
	blk(0, 0, data, SECTOR, true);
	eq(wait_irq(vec + 1, 1), 1);
	eq(used(q, &len), 1);
	settle();
	eq(hits[vec], 25);

	t("block: no message where the driver asks for none");
	q->avail.flags = 1;
	blk(0, 7, data, SECTOR, true);
	eq(wait_used(q, &len), 1);
	settle();
	eq(hits[vec + 1], 1);
	eq(pattern(7, SECTOR), 1);

	t("block: the pin, level-triggered, through the I/O APIC");
	u32 gsi = cfg(d->slot, 0x3c, 1);
	volatile u32 *sel = (volatile u32 *)0xfec00000ul, *win = (volatile u32 *)0xfec00010ul;
	*sel = 0x11 + 2 * gsi;
	*win = apic_id() << 24;
	*sel = 0x10 + 2 * gsi;
	*win = INTX_VECTOR | 1 << 15;
	bring_up(BLK, 1, false);
	for (u32 i = 0; i < 10; i++) {
		pin_level_eoi = 0;
		blk(0, i, data, SECTOR, true);
		eq(wait_irq(INTX_VECTOR, i + 1), 1);
		eq(used(q, &len), 1);
		eq(pin_level_eoi, 1);
		eq(pattern(i, SECTOR), 1);
	}
	settle();
	eq(hits[INTX_VECTOR], 10);
	*win = 1 << 16;
}

/* ---- the others ---- */
static void rng(void)
{
	struct part p = { data, 64, true };
	u32 len = 0, zeros = 0, same = 0;

	t("entropy: found");
	eq(devs[RNG].common != NULL, 1);
	if (!devs[RNG].common)
		return;
	bring_up(RNG, 1, true);
	t("entropy: bytes come, and others the next time");
	for (u32 i = 0; i < 2; i++) {
		p.p = data + 64 * i;
		memset(p.p, 0, 64);
		give(&devs[RNG].q[0], &p, 1);
		eq(wait_irq(VECTOR + 4 * RNG, i + 1), 1);
		eq(used(&devs[RNG].q[0], &len), 1);
		eq(len, 64);
	}
	for (u32 i = 0; i < 64; i++) {
		zeros += !data[i];
		same += data[i] == data[64 + i];
	}
	eq(zeros < 16, 1);
	eq(same < 16, 1);
}

static void balloon(void)
{
	struct dev *d = &devs[BALLOON];
	static u32 pages[4];
	struct part p = { pages, sizeof(pages), false };
	u32 len;

	t("balloon: found");
	eq(d->common != NULL, 1);
	if (!d->common)
		return;
	bring_up(BALLOON, 2, true);
	eq(*(volatile u32 *)d->config, 0); /* wants nothing */
	t("balloon: pages go to the host, and come back empty");
	for (u32 i = 0; i < 4; i++) {
		pages[i] = (u32)((TEST_RAM >> 12) + i);
		memset((void *)((word)pages[i] << 12), 0x5a, PAGE);
	}
	give(&d->q[0], &p, 1);
	eq(wait_irq(VECTOR + 4 * BALLOON, 1), 1);
	eq(used(&d->q[0], &len), 1);
	*(volatile u32 *)(d->config + 4) = 4;
	eq(*(volatile u32 *)(d->config + 4), 4);
	give(&d->q[1], &p, 1);
	eq(wait_irq(VECTOR + 4 * BALLOON + 1, 1), 1);
	eq(used(&d->q[1], &len), 1);
	eq(*(volatile u64 *)TEST_RAM, 0);
	*(volatile u64 *)TEST_RAM = 0x1234;
	eq(*(volatile u64 *)TEST_RAM, 0x1234);
}

static void console(void)
{
	struct dev *d = &devs[CONSOLE];
	static char said[] = "what the other end says back";
	struct part tx = { said, sizeof(said) - 1, false }, rx = { data, 256, true };
	u32 len = 0, got = 0, wrong = 0;

	t("console: found");
	eq(d->common != NULL, 1);
	if (!d->common)
		return;
	bring_up(CONSOLE, 2, true);
	t("console: an echo");
	give(&d->q[0], &rx, 1);
	give(&d->q[1], &tx, 1);
	eq(wait_irq(VECTOR + 4 * CONSOLE + 1, 1), 1);
	for (u32 n = 1; got < sizeof(said) - 1; n++) {
		if (!wait_irq(VECTOR + 4 * CONSOLE, n) || !used(&d->q[0], &len) || !len)
			break;
		got += len;
		rx.p = data + got;
		if (got < sizeof(said) - 1)
			give(&d->q[0], &rx, 1);
	}
	eq(got, sizeof(said) - 1);
	for (u32 i = 0; i < got; i++)
		wrong += data[i] != (u8)said[i];
	eq(wrong, 0);
}

/* Who has 10.0.2.2? (RFC 826) */
static void net(void)
{
	struct dev *d = &devs[NET];
	static u8 frame[12 + 60] = {
		[12] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,             /* to all */
		[24] = 0x08, 0x06, 0,    1,    0x08, 0,    6, 4, 0, 1, /* ARP, Ethernet, IPv4, request */
		[40] = 10,   0,    2,    15,                           /* from: hardware address below */
		[50] = 10,   0,    2,    2,
	};
	struct part tx = { frame, sizeof(frame), false }, rx = { data, 2048, true };
	u32 len = 0;

	t("network: found, with an address");
	eq(d->common != NULL, 1);
	if (!d->common)
		return;
	eq(d->config[0] & 1, 0);
	for (u32 i = 0; i < 6; i++)
		frame[18 + i] = frame[34 + i] = d->config[i];
	bring_up(NET, 2, true);
	t("network: a question and its answer");
	memset(data, 0, 2048);
	give(&d->q[0], &rx, 1);
	give(&d->q[1], &tx, 1);
	eq(wait_irq(VECTOR + 4 * NET + 1, 1), 1);
	for (u32 n = 1; n < 20; n++) {
		if (!wait_irq(VECTOR + 4 * NET, n))
			break;
		eq(used(&d->q[0], &len), 1);
		if (data[24] == 8 && data[25] == 6 && data[33] == 2)
			break;
		give(&d->q[0], &rx, 1);
	}
	eq(data[33], 2);                                                          /* a reply ... */
	eq(data[40] == 10 && data[41] == 0 && data[42] == 2 && data[43] == 2, 1); /* ... from 10.0.2.2 */
	eq(len >= 12 + 42, 1);
}

int main(void)
{
	on_exc = on_irq;
	outb(0x21, 0xff); /* nothing from the 8259s */
	outb(0xa1, 0xff);
	apic_write(APIC_SVR, 0x1ff);
	find_all();
	disk();
	rng();
	balloon();
	console();
	net();
	return 0;
}
