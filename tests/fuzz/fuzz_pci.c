/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_pci.c - functions on the PCI bus that are no disks, with a hostile driver: a row of `kinds` for each.
 *
 * The input: which function, a script of accesses to its registers, then the bytes of guest memory from 0 on, in which
 * the registers let it look for rings and descriptors. An access of the script is 8 bytes: what (read, write, the other
 * end of a network sends or somebody types, the host's turn), BAR, register, value. Registers that the row names come
 * most often, with addresses where it says so. At the end the function is quiesced, saved, loaded again, reset and
 * freed. It may refuse all of it; nothing else may happen.
 */
#include "base/log.h"
#include "base/loop.h"
#include "base/ram.h"
#include "base/state.h"
#include "device/e1000/e1000.h"
#include "device/i6300esb.h"
#include "machine/board_kind.h"
#include "device/input/key.h"
#include "device/usb/xhci.h"
#include "machine/layout.h"
#include "machine/pci.h"
#include "net/net.h"

#include <sys/mman.h>
#include <sys/socket.h>

#define RAM_BYTES (256 * KIB)
#define STEPS_MAX 512
#define STEP_BYTES 8

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct ram *ram;
static struct loop *loop;
static int wire = -1; /* the other end of the function's network */

static void stop(void *opaque)
{
	loop_stop(loop);
}

static void turn(void)
{
	loop_post(loop, stop, NULL);
	loop_run(loop);
}

static void no_message(void *opaque, u64 addr, u32 data)
{
}

static void no_wire(void *opaque, unsigned gsi, bool level)
{
	must(gsi < LAYOUT_GSI_COUNT);
}

/* ---- what there is ---- */

struct known {
	u16 reg;
	char what; /* a: an address in memory; l: a length; i: an index; v: any value; o: or-ed with `add`; s: below 8;
		      0: 0 */
	u32 add;
};

struct kind {
	void (*make)(struct pci_bus *pci);
	unsigned bar;
	const struct known *known;
	unsigned nknown;
	u32 registers;                                  /* how much of the BAR has any */
	void (*happens)(struct device *d, const u8 *s); /* optional */
};

static void make_card(struct pci_bus *pci, enum e1000_kind kind)
{
	struct device_args a = { .id = "n", .slot = -1, .mtu = 1500, .checked = true, .mac = { 2, 1, 1, 1, 1, 1 } };
	struct device *d;
	int sv[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv) == 0);
	wire = sv[0];
	a.fd = sv[1];
	must(e1000_new(&d, kind, pci, ram, loop, &a, NULL) == 0);
}

static void make_e1000(struct pci_bus *pci)
{
	make_card(pci, E1000_82540);
}

static void make_e1000e(struct pci_bus *pci)
{
	make_card(pci, E1000_82574);
}

static const struct known e1000_known[] = {
	{ 0x3800, 'a', 0 }, { 0x3808, 'l', 0 }, { 0x3818, 'i', 0 },          { 0x3818, 'i', 0 },
	{ 0x3818, 'i', 0 }, { 0x0400, 'o', 2 }, { 0x0100, 'o', 0x0000801a }, { 0x2800, 'a', 0 },
	{ 0x2808, 'l', 0 }, { 0x2818, 'i', 0 }, { 0x2818, 'i', 0 },          { 0x2900, 'a', 0 },
	{ 0x2908, 'l', 0 }, { 0x2918, 'i', 0 }, { 0x3900, 'a', 0 },          { 0x3908, 'l', 0 },
	{ 0x3918, 'i', 0 }, { 0x2810, 'i', 0 }, { 0x3810, 'i', 0 },          { 0x5008, 'o', 0x8000 },
	{ 0x5818, 'v', 0 }, { 0x5000, 'v', 0 }, { 0x2170, 'v', 0 },          { 0x0020, 'o', 0x04200000 },
	{ 0x0000, 'v', 0 }, { 0x00d0, 'v', 0 }, { 0x00c8, 'v', 0 },          { 0x00e4, 'v', 0 },
	{ 0x0018, 'v', 0 }, { 0x00dc, 'v', 0 }, { 0x2820, 'v', 0 },          { 0x3820, 'v', 0 },
};

static void expired(void *opaque)
{
}

static void make_watchdog(struct pci_bus *pci)
{
	struct device *d;

	must(i6300esb_new(&d, pci, loop, expired, NULL, -1, NULL) == 0);
}

static const struct known watchdog_known[] = {
	{ 0x0c, 'o', 0x80 }, { 0x0c, 'o', 0x86 }, { 0x0c, 'o', 0x100 },
	{ 0x00, 'v', 0 },    { 0x04, 'v', 0 },    { 0x08, 'v', 0 },
};

static void make_xhci(struct pci_bus *pci)
{
	struct device *d;

	must(xhci_new(&d, pci, ram, loop, XHCI_KEYBOARD | XHCI_TABLET, -1, NULL) == 0);
}

static void type(struct device *d, const u8 *s)
{
	const u16 keys[] = { (u16)(KEY_DOWN | (s[2] & 0x7f)), s[3] & 0x7f };

	xhci_keys(d, keys, 1 + (s[4] & 1));
	xhci_point(d, ld_le16(s + 2), ld_le16(s + 4), (s8)s[6], s[7]);
}

static const struct known xhci_known[] = {
	{ 0x40, 'o', 5 },   { 0x40, 'v', 0 },   { 0x58, 'a', 0 },      { 0x58, 'a', 0 },      { 0x70, 'a', 0 },
	{ 0x78, 'o', 8 },   { 0x1028, 's', 0 }, { 0x1030, 'a', 0 },    { 0x1038, 'a', 0 },    { 0x1038, 'a', 0 },
	{ 0x1020, 'o', 2 }, { 0x44, 'v', 0 },   { 0x440, 'o', 0x210 }, { 0x450, 'o', 0x210 }, { 0x440, 'v', 0 },
	{ 0x2000, '0', 0 }, { 0x2000, '0', 0 }, { 0x2000, '0', 0 },    { 0x2004, 's', 0 },    { 0x2004, 's', 0 },
	{ 0x2008, 's', 0 }, { 0x2004, 'i', 0 },
};

static const struct kind kinds[] = {
	{ make_e1000, 0, e1000_known, ARRAY_LEN(e1000_known), 0x6000 },
	{ make_e1000e, 0, e1000_known, ARRAY_LEN(e1000_known), 0xc000 },
	{ make_watchdog, 0, watchdog_known, ARRAY_LEN(watchdog_known), 16 },
	{ make_xhci, 0, xhci_known, ARRAY_LEN(xhci_known), 0x2040, type },
};

/* ---- a driver ---- */

static u64 bar(struct bus *b, unsigned i)
{
	bus_pio_write(b, LAYOUT_PCI_CFG, 4, 0x80000000u | 1u << 11 | (0x10 + 4 * i));
	return bus_pio_read(b, LAYOUT_PCI_CFG + 4, 4) & ~15u;
}

static u32 value(const struct known *k, u32 v)
{
	switch (k->what) {
	case 'a':
		return v & (RAM_BYTES - 1);
	case 'l':
		return (v & 7) * 128;
	case 'i':
		return v & 63;
	case 's':
		return v & 7;
	case '0':
		return 0;
	case 'o':
		return v | k->add;
	default:
		return v;
	}
}

/* A frame from the network, of which there are some that have headers. */
static void send_frame(const u8 *s)
{
	static u8 frame[4096] = { 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0, 0x45 };
	size_t bytes = (s[2] | (size_t)s[3] << 8) % sizeof(frame);

	frame[0] = s[4] & 0x80 ? 0xff : 2;
	frame[12] = s[4] & 0x40 ? 0x81 : s[4] & 0x20 ? 0x86 : 0x08;
	frame[13] = s[4] & 0x20 ? 0xdd : 0;
	frame[14] = s[5];
	frame[23] = s[6] & 1 ? 6 : 17;
	frame[20] = s[6] & 2 ? s[7] : 0;
	frame[14 + 4 * (s[5] & 15) + 12] = s[7];
	if (wire >= 0)
		(void)!send(wire, frame, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void receive_frames(void)
{
	static u8 sink[NET_FRAME_MAX];

	while (wire >= 0 && recv(wire, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

static void step(struct bus *b, const struct kind *k, struct device *d, const u8 *s)
{
	u32 v = ld_le32(s + 4);

	switch (s[0] & 7) {
	case 0:
		turn();
		if (s[0] & 8)
			receive_frames();
		break;
	case 1:
		send_frame(s);
		if (k->happens)
			k->happens(d, s);
		break;
	case 2:
		bus_mmio_read(b, bar(b, k->bar) + ld_le16(s + 2) % k->registers, 1u << (s[0] >> 3 & 3));
		break;
	case 3:
		bus_mmio_write(b, bar(b, k->bar) + ld_le16(s + 2) % k->registers, 1u << (s[0] >> 3 & 3), v);
		break;
	default: {
		const struct known *r = &k->known[s[1] % k->nknown];
		bus_mmio_write(b, bar(b, k->bar) + r->reg, 4, value(r, v));
		break;
	}
	}
}

/* To a file in memory and back, into the same function: what it says it takes. */
static void save_and_load(struct device *d)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	struct err e;

	must(fd >= 0 && state_save_new(&s, fd, NULL) == 0);
	must(device_state(d, s, NULL) == 0 && state_finish(s, NULL) == 0);
	state_free(s);
	must(lseek(fd, 0, SEEK_SET) == 0 && state_load_new(&s, fd, NULL) == 0);
	if (device_state(d, s, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	state_free(s);
	close(fd);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	const struct msi_target msi = { .send = no_message };

	if (!ram) {
		log_level = LOG_LVL_ERROR;
		must(ram_new(&ram, RAM_BYTES, NULL) == 0 && loop_new(&loop, NULL) == 0);
	}
	if (size < 4)
		return 0;
	const struct kind *k = &kinds[data[0] % ARRAY_LEN(kinds)];
	size_t script = MIN((size - 4) / STEP_BYTES, MIN(ld_le16(data + 1), STEPS_MAX)), rest = 4 + STEP_BYTES * script;
	memset(ram->host, 0, RAM_BYTES);
	memcpy(ram->host, data + rest, MIN(size - rest, RAM_BYTES));

	struct bus *bus = bus_new();
	struct pci_bus *pci = pci_bus_new(board_kind(MACHINE_Q35), bus, &msi, no_wire, NULL);
	k->make(pci);
	must(pci_bus_assign(pci) == 0);
	struct device *d = &pci_bus_slot(pci, 1)->dev;
	for (size_t i = 0; i < script; i++)
		step(bus, k, d, data + 4 + STEP_BYTES * i);
	for (unsigned i = 0; i < 2000 && !pci_bus_quiesce(pci); i++)
		turn();
	must(pci_bus_quiesce(pci));
	save_and_load(d);
	pci_bus_resume(pci);
	turn();
	pci_bus_reset(pci);
	pci_bus_free(pci);
	bus_free(bus);
	if (wire >= 0)
		close(wire);
	wire = -1;
	return 0;
}
