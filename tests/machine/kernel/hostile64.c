/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hostile64.c - drivers that ask for as much as they can: to show that no device lets a guest keep the VM's event loop,
 * its control socket and its signals waiting.
 *
 * The runner (hostile.py) names one attack on the command line, gives the devices, and measures the loop from outside.
 * There are two processors. One does the asking; the other helps where that makes it worse: it keeps a queue's
 * available index ahead of the used one (a driver that adds without end), or rings and reads registers, to hold the
 * device's lock. An attack never ends by itself. What the devices do with it is not checked here: virtio64 does that
 * for sound requests.
 */
#include "apic.h"

bool x2apic;
extern u8 ap_start[], ap_end[];
extern volatile u32 ap_started;

#define NET 1
#define BLK 2
#define CONSOLE 3
#define RNG 4
#define BALLOON 5
#define VSOCK 19
#define FS 26

#define QUEUE 256
#define DESC_NEXT 1
#define DESC_WRITE 2
#define DESC_INDIRECT 4
#define SEGMENTS 126        /* of data in one chain */
#define HUGE_BYTES 0x70000u /* of each */

struct desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};
struct queue {
	struct desc desc[QUEUE];
	volatile struct {
		u16 flags, idx, ring[QUEUE], event;
	} avail __attribute__((aligned(4096)));
	volatile struct {
		u16 flags, idx;
		struct {
			u32 id, len;
		} ring[QUEUE];
		u16 event;
	} used __attribute__((aligned(4096)));
} __attribute__((aligned(4096)));

static struct queue queues[3];
static struct desc table[1024] __attribute__((aligned(4096)));
static volatile u8 *bar;
static volatile u8 header[16], status_byte;
static struct {
	u64 sector;
	u32 sectors, flags;
} ranges[16];

/* What the second processor does; see ap_main(). */
static volatile u32 help_queue; /* 1 + number */
static volatile bool help_bells;
static volatile u32 help_read; /* 1 + register */

static u32 cfg32(unsigned slot, unsigned reg)
{
	outl(0xcf8, 0x80000000u | slot << 11 | (reg & ~3u));
	u32 v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"((u16)0xcfc));
	return v;
}
static void cfg_put32(unsigned slot, unsigned reg, u32 v)
{
	outl(0xcf8, 0x80000000u | slot << 11 | (reg & ~3u));
	outl(0xcfc, v);
}

#define C8(off) (*(volatile u8 *)(bar + (off)))
#define C16(off) (*(volatile u16 *)(bar + (off)))
#define C32(off) (*(volatile u32 *)(bar + (off)))

static void bell(unsigned q)
{
	*(volatile u16 *)(bar + 0x3000 + 4 * q) = (u16)q;
}

/* Mica's layout of the registers (virtio_pci.c); virtio64 finds it by the capabilities. */
static void start_device(unsigned id, u32 features)
{
	bar = NULL;
	for (unsigned slot = 1; slot < 32; slot++)
		if (cfg32(slot, 0) == ((0x1040 + id) << 16 | 0x1af4)) {
			bar = (volatile u8 *)(word)(cfg32(slot, 0x10) & ~15u);
			cfg_put32(slot, 4, 6);
		}
	if (!bar) {
		say("FAIL: no such device\n");
		end(1);
	}
	C8(20) = 0;
	C8(20) = 3;
	C32(8) = 0;
	C32(12) = features | 1u << 28; /* indirect descriptors */
	C32(8) = 1;
	C32(12) = 1;
	C8(20) = 11;
	for (unsigned q = 0; q < 3; q++) {
		struct queue *v = &queues[q];

		memset(v, 0, sizeof(*v));
		C16(22) = (u16)q;
		if (!C16(24))
			continue;
		C16(24) = QUEUE;
		C32(32) = (u32)(word)v->desc;
		C32(36) = 0;
		C32(40) = (u32)(word)&v->avail;
		C32(44) = 0;
		C32(48) = (u32)(word)&v->used;
		C32(52) = 0;
		v->avail.flags = 1; /* no interrupts */
		C16(28) = 1;
	}
	C8(20) = 15;
}

/* All heads of the queue are the one chain in descriptor 0. */
static void set0(unsigned q, u64 addr, u32 len, u16 flags)
{
	queues[q].desc[0] = (struct desc){ addr, len, flags, 0 };
}

static unsigned n_table;
static void add(u64 addr, u32 len, u16 flags)
{
	table[n_table] = (struct desc){ addr, len, (u16)(flags | DESC_NEXT), (u16)(n_table + 1) };
	n_table++;
}
static void end_table(unsigned q)
{
	table[n_table - 1].flags &= (u16)~DESC_NEXT;
	set0(q, (u64)(word)table, n_table * 16, DESC_INDIRECT);
}

static __attribute__((noreturn)) void for_ever(unsigned q)
{
	queues[q].avail.idx = 250;
	say("attack\n");
	for (;;)
		bell(q);
}

/* One notification for a full ring, and then sleep: all that follows is the device's. */
static __attribute__((noreturn)) void once(unsigned q)
{
	say("attack\n");
	queues[q].avail.idx = QUEUE;
	bell(q);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void ap_main(unsigned n);
void ap_main(unsigned n)
{
	for (;;) {
		if (help_queue) {
			struct queue *v = &queues[help_queue - 1];
			u16 more = (u16)(v->used.idx + 250 - v->avail.idx);
			if (more < 0x8000)
				v->avail.idx = (u16)(v->avail.idx + more);
		}
		if (help_bells) {
			bell(0);
			(void)C8(20);
			(void)C8(0x1000);
			(void)C32(0x2000);
		}
		if (help_read)
			(void)C32(help_read - 1);
		if (!help_queue && !help_bells && !help_read)
			pause_();
	}
	(void)n;
}

static void start_helper(void)
{
	memcpy((void *)0x8000, ap_start, (unsigned long)(ap_end - ap_start));
	apic_write(APIC_SVR, 0x1ff);
	apic_write(APIC_ICR, 0xc4500);
	for (u64 e = rdtsc() + 30000000; rdtsc() < e;)
		pause_();
	apic_write(APIC_ICR, 0xc4608);
	for (u64 e = rdtsc() + 3000000000u; !ap_started && rdtsc() < e;)
		pause_();
}

/* ---- the attacks ---- */

static void fill_pages(void)
{
	for (u64 at = TEST_RAM; at < TEST_RAM + 0x1800000; at += PAGE)
		*(volatile u64 *)at = at;
}

/* A mebibyte of page numbers of which no two are neighbours: a system call for each of 262,144, and 256 such chains. */
static void pages_apart(void)
{
	volatile u32 *pfn = (volatile u32 *)TEST_RAM;

	for (unsigned i = 0; i < 0x100000 / 4; i++)
		pfn[i] = 0x3000 + (i & 1) * 0x10;
}

static void balloon(void)
{
	start_device(BALLOON, 1u << 5);
	pages_apart();
	set0(0, TEST_RAM, 0x100000, 0);
}
static void balloon_once(void)
{
	balloon();
	once(0);
}
static void balloon_endless(void)
{
	balloon();
	help_queue = 1;
	for_ever(0);
}
/* All of memory, reported as free 126 times a chain. */
static void balloon_report(void)
{
	start_device(BALLOON, 1u << 5);
	fill_pages();
	for (unsigned i = 0; i < SEGMENTS; i++)
		add(TEST_RAM + 0x800000, 0x1000000, DESC_WRITE);
	end_table(2);
	help_queue = 3;
	for_ever(2);
}

static void console_out(void)
{
	start_device(CONSOLE, 0);
	set0(1, TEST_RAM, 0x100000, 0);
	help_queue = 2;
	for_ever(1);
}
/* Room for one byte a chain, at the end of as many empty descriptors as a chain may have. */
static void console_in(void)
{
	start_device(CONSOLE, 0);
	for (unsigned i = 0; i < 1000; i++)
		add(TEST_RAM, 0, DESC_WRITE);
	add(TEST_RAM, 1, DESC_WRITE);
	end_table(0);
	help_queue = 1;
	for_ever(0);
}

static void rng(void)
{
	start_device(RNG, 0);
	set0(0, TEST_RAM, 0x100000, DESC_WRITE);
	help_queue = 1;
	for_ever(0);
}

/* The largest frames, each with a checksum to finish. */
static void net_out(void)
{
	volatile u8 *frame = (volatile u8 *)TEST_RAM;

	start_device(NET, 1u << 0 | 1u << 3);
	frame[0] = 1; /* NEEDS_CSUM, from the 14th byte on */
	frame[6] = 14;
	frame[8] = 16;
	set0(1, TEST_RAM, 12 + 65000, 0);
	help_queue = 2;
	for_ever(1);
}

static void disk(u32 type, u32 features, bool write)
{
	start_device(BLK, features);
	header[0] = (u8)type;
	n_table = 0;
	add((u64)(word)header, 16, 0);
	if (type <= 1)
		for (unsigned i = 0; i < SEGMENTS; i++)
			add(TEST_RAM, HUGE_BYTES, write ? 0 : DESC_WRITE);
	if (type == 11 || type == 13) {
		for (unsigned i = 0; i < 16; i++)
			ranges[i].sectors = 0x10000;
		add((u64)(word)ranges, sizeof(ranges), 0);
	}
	if (type == 8)
		add(TEST_RAM, 20, DESC_WRITE);
	add((u64)(word)&status_byte, 1, DESC_WRITE);
	end_table(0);
}
/* 55 MiB a request, 256 requests. */
static void disk_read(void)
{
	disk(0, 1u << 9, false);
	help_bells = true;
	once(0);
}
static void disk_write(void)
{
	disk(1, 1u << 9, true);
	help_bells = true;
	once(0);
}
static void disk_endless(void)
{
	disk(0, 1u << 9, false);
	help_queue = 1;
	for_ever(0);
}
static void disk_flush(void)
{
	disk(4, 1u << 9, false);
	help_queue = 1;
	for_ever(0);
}
static void disk_id(void)
{
	disk(8, 1u << 9, false);
	help_queue = 1;
	for_ever(0);
}
static void disk_discard(void)
{
	disk(11, 1u << 9 | 1u << 13, false);
	help_queue = 1;
	for_ever(0);
}
static void disk_zeroes(void)
{
	disk(13, 1u << 9 | 1u << 14, false);
	help_queue = 1;
	for_ever(0);
}
/* Requests are in flight each time. */
static void disk_reset(void)
{
	say("attack\n");
	for (;;) {
		disk(1, 1u << 9, true);
		queues[0].avail.idx = QUEUE;
		bell(0);
	}
}

/* ---- disks without virtio ---- */

static void find_disk(u32 id, unsigned bar_reg)
{
	bar = NULL;
	for (unsigned slot = 1; slot < 32; slot++)
		if (cfg32(slot, 0) == id) {
			bar = (volatile u8 *)(word)(cfg32(slot, bar_reg) & ~15u);
			cfg_put32(slot, 4, 6);
		}
	if (!bar) {
		say("FAIL: no such device\n");
		end(1);
	}
}

#define AHCI_TABLE TEST_RAM /* with its PRDs up to 1 MiB and 128 bytes */
#define AHCI_DATA (TEST_RAM + 0x200000)
#define AHCI_PRDS 65535u

/* All 32 slots of port 0 are the same command, with as many PRDs of so many bytes as there can be. */
static void ahci(u8 command, u16 feature, u16 count, u32 prd_bytes)
{
	static u32 lists[32 * 8] __attribute__((aligned(1024))), received[64] __attribute__((aligned(256)));
	volatile u8 *t = (volatile u8 *)AHCI_TABLE;

	find_disk(0x29228086, 0x24);
	for (unsigned i = 0; i < 32; i++) {
		lists[8 * i] = 5 | AHCI_PRDS << 16;
		lists[8 * i + 2] = AHCI_TABLE;
	}
	memset((void *)AHCI_TABLE, 0, 0x80);
	t[0] = 0x27;
	t[1] = 0x80;
	t[2] = command;
	t[3] = (u8)feature;
	t[11] = (u8)(feature >> 8);
	t[7] = 0x40;
	t[12] = (u8)count;
	t[13] = (u8)(count >> 8);
	for (unsigned i = 0; i < AHCI_PRDS; i++) {
		volatile u32 *prd = (volatile u32 *)(AHCI_TABLE + 0x80 + 16ul * i);
		prd[0] = AHCI_DATA;
		prd[1] = prd[2] = 0;
		prd[3] = prd_bytes - 1;
	}
	C32(4) = 1u << 31 | 2;
	C32(0x118) = 0;
	while (C32(0x118) & 1 << 15)
		pause_();
	C32(0x100) = (u32)(word)lists;
	C32(0x104) = 0;
	C32(0x108) = (u32)(word)received;
	C32(0x10c) = 0;
	C32(0x130) = ~0u;
	C32(0x110) = ~0u;
	C32(0x118) = 1 << 4;
	C32(0x118) = 1 << 4 | 1;
}
static __attribute__((noreturn)) void ahci_for_ever(bool queued)
{
	say("attack\n");
	help_read = 1 + 0x138;
	for (;;) {
		if (queued)
			C32(0x134) = ~0u;
		C32(0x138) = ~0u;
	}
}
/* 32 MiB a command. */
static void ahci_read(void)
{
	ahci(0x60, 0, 0, 0x400000);
	ahci_for_ever(true);
}
/* Two bytes a PRD. */
static void ahci_small(void)
{
	ahci(0x60, 256, 0, 2);
	ahci_for_ever(true);
}
static void ahci_flush(void)
{
	ahci(0xe7, 0, 0, 2);
	ahci_for_ever(false);
}
/* They end inside of the write that issues them. */
static void ahci_identify(void)
{
	ahci(0xec, 0, 0, 512);
	ahci_for_ever(false);
}
/* 512 ranges that do not touch each other. */
static void ahci_trim(void)
{
	ahci(0x06, 1, 8, 4096);
	for (u64 i = 0; i < 512; i++)
		*(volatile u64 *)(AHCI_DATA + 8 * i) = 16 * i | 8ull << 48;
	ahci_for_ever(false);
}
/* With commands under way. */
static void ahci_reset(void)
{
	ahci(0x60, 0, 0, 0x400000);
	say("attack\n");
	for (;;) {
		C32(0x134) = ~0u;
		C32(0x138) = ~0u;
		C32(4) = 1u << 31 | 1;
		C32(0x118) = 1 << 4;
		C32(0x118) = 1 << 4 | 1;
	}
}

/* A queue of 4096 commands that end at once, whose completions nobody reads. */
static void nvme_identify(void)
{
	volatile u32 *e = (volatile u32 *)TEST_RAM;

	find_disk(0x00fe1b36, 0x10);
	for (unsigned i = 0; i < 4096; i++) {
		e[16 * i] = 6;
		e[16 * i + 6] = (u32)AHCI_DATA;
		e[16 * i + 10] = 1;
	}
	C32(0x24) = 0x0fff0fff;
	C32(0x28) = (u32)TEST_RAM;
	C32(0x2c) = 0;
	C32(0x30) = (u32)TEST_RAM + 0x100000;
	C32(0x34) = 0;
	C32(0x14) = 0x00460001;
	say("attack\n");
	help_read = 1 + 0x1c;
	for (u32 i = 0;; i = (i + 4000) & 4095) {
		C32(0x1000) = i;
		C32(0x1004) = (i + 1) & 4095;
	}
}

/* Descriptors of the longest buffers, of which none is a frame's last, and a tail that comes by again and again. */
static void e1000_out(void)
{
	volatile u32 *d = (volatile u32 *)TEST_RAM;

	find_disk(0x100e8086, 0x10);
	for (unsigned i = 0; i < 4096; i++) {
		d[4 * i] = (u32)TEST_RAM + 0x100000;
		d[4 * i + 1] = 0;
		d[4 * i + 2] = 16288 | (i % 3 ? 0u : 9u << 24);
		d[4 * i + 3] = 0;
	}
	C32(0x3800) = (u32)TEST_RAM;
	C32(0x3804) = 0;
	C32(0x3808) = 4096 * 16;
	C32(0x400) = 2;
	say("attack\n");
	help_read = 1 + 8;
	for (u32 i = 0;; i = (i + 4000) & 4095)
		C32(0x3818) = i;
}

/* Packets of no connection, each with more data than it says, and answers that are taken at once. */
static void vsock_out(void)
{
	volatile u32 *h = (volatile u32 *)TEST_RAM;

	start_device(VSOCK, 0);
	h[0] = 3;
	h[2] = 2;
	h[4] = 1000;
	h[5] = 52;
	h[6] = 0x10000;
	h[7] = 5u << 16 | 1;
	set0(1, TEST_RAM, 44 + 0x10000, 0);
	set0(0, TEST_RAM + 0x100000, 4096, DESC_WRITE);
	queues[0].avail.idx = 250;
	help_queue = 2;
	for_ever(1);
}

/* Requests that nobody began with, each with an answer of a page. */
static void fs_requests(void)
{
	volatile u32 *h = (volatile u32 *)TEST_RAM;

	start_device(FS, 0);
	h[0] = 56;
	h[1] = 3;
	h[4] = 1;
	add(TEST_RAM, 56, 0);
	add(TEST_RAM + 0x100000, 4096, DESC_WRITE);
	end_table(1);
	help_queue = 2;
	for_ever(1);
}

/* ---- xHCI: where it has its rings ---- */
#define XHCI_COMMANDS (TEST_RAM + 0x1000)
#define XHCI_EVENTS (TEST_RAM + 0x10000) /* 4096 of them */
#define XHCI_INPUT (TEST_RAM + 0x3000)
#define XHCI_RING (TEST_RAM + 0x5000)

static void trb(u64 at, u64 parameter, u32 status, u32 control)
{
	volatile u32 *t = (volatile u32 *)at;

	t[0] = (u32)parameter;
	t[1] = (u32)(parameter >> 32);
	t[2] = status;
	t[3] = control;
}

/* A command is done when the doorbell's write is over. */
static void xhci(void)
{
	find_disk(0x00fd1b36, 0x10);
	memset((void *)TEST_RAM, 0, 0x30000);
	*(volatile u64 *)(TEST_RAM + 8) = TEST_RAM + 0x4000;
	*(volatile u64 *)(TEST_RAM + 0x2000) = XHCI_EVENTS;
	*(volatile u32 *)(TEST_RAM + 0x2008) = 4096;
	*(volatile u32 *)(XHCI_INPUT + 4) = 3;
	*(volatile u32 *)(XHCI_INPUT + 32) = 1u << 27 | 1u << 20;
	*(volatile u32 *)(XHCI_INPUT + 36) = 1u << 16;
	*(volatile u32 *)(XHCI_INPUT + 68) = 64u << 16 | 4u << 3;
	*(volatile u64 *)(XHCI_INPUT + 72) = XHCI_RING | 1;
	C32(0x78) = 8;
	C32(0x70) = (u32)TEST_RAM;
	C32(0x58) = (u32)XHCI_COMMANDS | 1;
	C32(0x1028) = 1;
	C32(0x1038) = (u32)XHCI_EVENTS;
	C32(0x1030) = (u32)TEST_RAM + 0x2000;
	C32(0x40) = 1;
	C32(0x440) = 1u << 9 | 1u << 4;
	trb(XHCI_COMMANDS, 0, 0, 9 << 10 | 1);
	trb(XHCI_COMMANDS + 16, XHCI_INPUT, 0, 1u << 24 | 11 << 10 | 1);
	C32(0x2000) = 0;
}

/* Commands without an end, whose events are taken at once. */
static void xhci_commands(void)
{
	xhci();
	for (unsigned i = 2; i < 128; i++)
		trb(XHCI_COMMANDS + 16 * i, XHCI_INPUT, 0, 1u << 24 | 13 << 10 | 1);
	trb(XHCI_COMMANDS + 16 * 128, XHCI_COMMANDS + 32, 0, 6 << 10 | 1);
	say("attack\n");
	help_read = 1 + 0x44;
	for (u32 i = 0;; i = (i + 4000) & 4095) {
		C32(0x1038) = (u32)XHCI_EVENTS + 16 * i;
		C32(0x2000) = 0;
	}
}

/* Rings that lead back to themselves. */
static void xhci_links(void)
{
	xhci();
	for (unsigned i = 0; i < 128; i++)
		trb(XHCI_RING + 16 * i, 0, 0, 8 << 10 | 1);
	trb(XHCI_RING + 16 * 128, XHCI_RING, 0, 6 << 10 | 1);
	say("attack\n");
	help_read = 1 + 0x44;
	for (;;)
		C32(0x2004) = 1;
}

/* A command after the other, most of them given up. */
static void tpm(void)
{
	static const u8 get_random[] = { 0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 32 };

	bar = (volatile u8 *)0xfed40000ul;
	say("attack\n");
	help_read = 1 + 0x18;
	for (unsigned n = 0;; n++) {
		C8(0) = n & 1 ? 2 : 0x22;
		C32(0x18) = 0x40;
		for (unsigned i = 0; i < sizeof(get_random); i++)
			C8(0x24) = get_random[i];
		C32(0x18) = 0x20;
		for (unsigned i = 0; i < (n & 7 ? 2u : 2000u); i++)
			(void)C8(0x24);
	}
}

/* Both processors at the registers of one device. */
static void registers(void)
{
	start_device(BLK, 0);
	say("attack\n");
	help_bells = true;
	for (;;) {
		bell(0);
		C16(22) = 0;
		(void)C8(20);
	}
}

static void uart(void)
{
	say("attack\n");
	for (;;) {
		outb(0x3f8, 'x');
		outb(0x3f9, 2);
		outb(0x3f9, 0);
		outb(0x3fa, 7);
		inb(0x3fd);
	}
}

/* Chips behind ports: timers set anew, an alarm that never comes (a long search), the keyboard's and the power ports.
 */
static void ports(void)
{
	say("attack\n");
	outb(0x70, 5);
	outb(0x71, 0x99);
	outb(0x70, 0xb);
	outb(0x71, 0x72);
	outb(0x70, 0xa);
	outb(0x71, 0x21);
	for (;;) {
		outb(0x43, 0x34);
		outb(0x40, 1);
		outb(0x40, 0);
		outb(0x70, 1);
		outb(0x71, 0x99);
		outb(0x70, 0xc);
		inb(0x71);
		outb(0x64, 0xaa);
		inb(0x60);
		outb(0x92, 2);
		outb(0x61, 3);
		outb(0x21, 0);
		outb(0x20, 0x20);
	}
}

/* Memory is full, and the machine is reset; the next boot does it again. */
static void reboot(void)
{
	fill_pages();
	say("attack\n");
	outb(0xcf9, 6);
	for (;;)
		pause_();
}

int main(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} attacks[] = {
		{ "balloon-once", balloon_once },
		{ "balloon-endless", balloon_endless },
		{ "balloon-report", balloon_report },
		{ "console-out", console_out },
		{ "console-in", console_in },
		{ "rng", rng },
		{ "net-out", net_out },
		{ "disk-read", disk_read },
		{ "disk-write", disk_write },
		{ "disk-endless", disk_endless },
		{ "disk-flush", disk_flush },
		{ "disk-id", disk_id },
		{ "disk-discard", disk_discard },
		{ "disk-zeroes", disk_zeroes },
		{ "disk-reset", disk_reset },
		{ "ahci-read", ahci_read },
		{ "ahci-small", ahci_small },
		{ "ahci-flush", ahci_flush },
		{ "ahci-identify", ahci_identify },
		{ "ahci-trim", ahci_trim },
		{ "ahci-reset", ahci_reset },
		{ "nvme-identify", nvme_identify },
		{ "e1000-out", e1000_out },
		{ "vsock-out", vsock_out },
		{ "fs-requests", fs_requests },
		{ "xhci-commands", xhci_commands },
		{ "xhci-links", xhci_links },
		{ "tpm", tpm },
		{ "registers", registers },
		{ "uart", uart },
		{ "ports", ports },
		{ "reboot", reboot },
	};

	start_helper();
	for (unsigned i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (asked(attacks[i].name))
			attacks[i].fn();
	say("FAIL: no such attack\n");
	return 1;
}
