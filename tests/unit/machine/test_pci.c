/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_pci.c - config space by ports and ECAM, BAR sizing and moving, MSI-X, INTx. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>

#include <sys/mman.h>
/* clang-format on */

#include "base/ram.h"
#include "base/state.h"
#include "machine/layout.h"
#include "machine/pci.h"
#include "pci_rig.h"

struct fixture {
	struct pci_rig r;
	struct pci_dev a, b;
	u64 last_off, last_val; /* of the BAR */
};

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	return 0x1122334400000000ull | off;
}

static void bar_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct fixture *f = dev;

	f->last_off = off;
	f->last_val = val;
}

static const struct io_ops bar_ops = { .read = bar_read, .write = bar_write };

/* Function a in slot 1: 64-bit BAR 0/1 of 16 KiB, I/O BAR 2, MSI-X with 3 vectors in BAR 4. b in slot 9: BAR 0. */
static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	pci_rig_up(&f->r);
	pci_dev_init(&f->a, NULL, "a", 0x1af4, 0x1042, 0x018000 << 8 | 1);
	pci_add_bar(&f->a, 0, 0x4000, true, &bar_ops, f);
	pci_add_io_bar(&f->a, 2, 32, &bar_ops, f);
	pci_add_msix(&f->a, 4, 3);
	unsigned cap = pci_add_cap(&f->a, 9, 15);
	f->a.cfg[cap + 2] = 15;
	pci_dev_init(&f->b, NULL, "b", 0x1af4, 0x1041, 0x020000 << 8);
	pci_add_bar(&f->b, 0, 0x1000, false, &bar_ops, f);
	must(pci_register(f->r.pci, &f->a, -1) == 0);
	must(pci_register(f->r.pci, &f->b, 9) == 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pci_dev_fini(&f->a);
	pci_rig_down(&f->r);
	pci_dev_fini(&f->b); /* after the bus: also allowed */
	free(f);
	return 0;
}

static u64 ecam(unsigned bus, unsigned slot, unsigned reg)
{
	return LAYOUT_ECAM + ((u64)bus << 20) + (slot << 15) + reg;
}

static void test_config_access(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(cfg_get(f->r.bus, 0, 0, 4), 0x29c08086);
	assert_int_equal(cfg_get(f->r.bus, 1, 0, 4), 0x10421af4);
	assert_int_equal(cfg_get(f->r.bus, 1, 2, 2), 0x1042);
	assert_int_equal(cfg_get(f->r.bus, 1, 3, 1), 0x10);
	assert_int_equal(cfg_get(f->r.bus, 1, 0xa, 2), 0x0180);
	assert_int_equal(cfg_get(f->r.bus, 2, 0, 4), 0xffffffff);
	assert_int_equal(bus_mmio_read(f->r.bus, ecam(0, 1, 0), 4), 0x10421af4);
	assert_int_equal(bus_mmio_read(f->r.bus, ecam(0, 1, 3), 1), 0x10);
	assert_int_equal(bus_mmio_read(f->r.bus, ecam(1, 1, 0), 4), 0xffffffff);
	assert_int_equal(bus_mmio_read(f->r.bus, ecam(255, 31, 0xffc), 4), 0xffffffff);
	assert_true(bus_mmio_read(f->r.bus, ecam(0, 1, 0xffc), 8) == UINT64_MAX);
	/* the latch: dwords only, reserved bits read 0; off: no answer; other buses: none */
	bus_pio_write(f->r.bus, 0xcf8, 4, 0xffffffff);
	assert_int_equal(bus_pio_read(f->r.bus, 0xcf8, 4), 0x80fffffc);
	cfg_select(f->r.bus, 1, 0);
	bus_pio_write(f->r.bus, 0xcf8, 1, 0);
	assert_int_equal(bus_pio_read(f->r.bus, 0xcfc, 4), 0x10421af4);
	bus_pio_write(f->r.bus, 0xcf8, 4, 1 << 11);
	assert_int_equal(bus_pio_read(f->r.bus, 0xcfc, 4), 0xffffffff);
	bus_pio_write(f->r.bus, 0xcf8, 4, 0x80010000 | 1 << 11);
	assert_int_equal(bus_pio_read(f->r.bus, 0xcfc, 4), 0xffffffff);
	/* ids are not writable, interrupt line is */
	cfg_put(f->r.bus, 1, 0, 4, 0);
	assert_int_equal(cfg_get(f->r.bus, 1, 0, 4), 0x10421af4);
	cfg_put(f->r.bus, 1, 0x3c, 2, 0x5507);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x3c, 2), 0x0107);
}

static void test_capabilities(void **state)
{
	struct fixture *f = *state;

	assert_true(cfg_get(f->r.bus, 1, 6, 2) & 0x10);
	assert_false(cfg_get(f->r.bus, 9, 6, 2) & 0x10);
	unsigned c = cfg_get(f->r.bus, 1, 0x34, 1);
	assert_int_equal(cfg_get(f->r.bus, 1, c, 1), 0x11);
	assert_int_equal(cfg_get(f->r.bus, 1, c + 2, 2), 2); /* three vectors */
	assert_int_equal(cfg_get(f->r.bus, 1, c + 4, 4), 4);
	assert_int_equal(cfg_get(f->r.bus, 1, c + 8, 4), 0x804);
	c = cfg_get(f->r.bus, 1, c + 1, 1);
	assert_int_equal(c % 4, 0);
	assert_int_equal(cfg_get(f->r.bus, 1, c, 1), 9);
	assert_int_equal(cfg_get(f->r.bus, 1, c + 1, 1), 0);
}

static void test_bar_sizing(void **state)
{
	struct fixture *f = *state;

	for (unsigned reg = 0x10; reg <= 0x30; reg += 4)
		cfg_put(f->r.bus, 1, reg, 4, 0xffffffff);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x10, 4), 0xffffc004);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x14, 4), 0xffffffff);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x18, 4), 0xffffffe1);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x1c, 4), 0);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x20, 4), 0xfffff000);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x24, 4), 0);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x30, 4), 0);
}

static void test_bar_decoding(void **state)
{
	struct fixture *f = *state;
	const u64 at = 0xd0004000;

	cfg_put(f->r.bus, 1, 0x10, 4, (u32)at);
	cfg_put(f->r.bus, 1, 0x18, 4, 0xd000);
	assert_int_equal(bus_mmio_read(f->r.bus, at + 8, 4), 0xffffffff);
	cfg_put(f->r.bus, 1, 4, 2, 2);
	assert_int_equal(bus_mmio_read(f->r.bus, at + 8, 4), 8);
	assert_int_equal(bus_pio_read(f->r.bus, 0xd004, 4), 0xffffffff);
	bus_mmio_write(f->r.bus, at + 0x3ffc, 4, 77);
	assert_int_equal(f->last_off, 0x3ffc);
	assert_int_equal(f->last_val, 77);
	cfg_put(f->r.bus, 1, 4, 2, 3);
	assert_int_equal(bus_pio_read(f->r.bus, 0xd004, 4), 4);
	/* moved above 4 GiB, byte by byte */
	cfg_put(f->r.bus, 1, 0x14, 1, 2);
	assert_int_equal(bus_mmio_read(f->r.bus, at + 8, 4), 0xffffffff);
	assert_int_equal(bus_mmio_read(f->r.bus, at + 8 + 0x200000000ull, 4), 8);
	cfg_put(f->r.bus, 1, 0x14, 4, 0);
	/* outside the bridge's windows: nobody answers, nothing is hidden */
	cfg_put(f->r.bus, 1, 0x10, 4, (u32)LAYOUT_LAPIC);
	assert_int_equal(bus_mmio_read(f->r.bus, LAYOUT_LAPIC + 8, 4), 0xffffffff);
	cfg_put(f->r.bus, 1, 0x10, 4, 0);
	assert_int_equal(bus_mmio_read(f->r.bus, 8, 4), 0xffffffff);
	/* a guest that does not know the window: right after memory, not in it, up to the chips' own addresses */
	pci_bus_set_memory_end(f->r.pci, 512 * MIB);
	cfg_put(f->r.bus, 1, 0x10, 4, 0x20000000);
	assert_int_equal(bus_mmio_read(f->r.bus, 0x20000008, 4), 8);
	cfg_put(f->r.bus, 1, 0x10, 4, 0x1fffc000);
	assert_int_equal(bus_mmio_read(f->r.bus, 0x1fffc008, 4), 0xffffffff);
	cfg_put(f->r.bus, 1, 0x10, 4, 0xfebfc000);
	assert_int_equal(bus_mmio_read(f->r.bus, 0xfebfc008, 4), 8);
	cfg_put(f->r.bus, 1, 0x10, 4, (u32)LAYOUT_IOAPIC);
	assert_int_equal(bus_mmio_read(f->r.bus, LAYOUT_IOAPIC + 8, 4), 0xffffffff);
	cfg_put(f->r.bus, 1, 0x10, 4, (u32)LAYOUT_ECAM);                              /* taken */
	assert_int_equal(bus_mmio_read(f->r.bus, LAYOUT_ECAM + 8, 4), 0x060000 << 8); /* the host bridge's class */
	pci_bus_set_memory_end(f->r.pci, 4 * GIB);
	/* two at one place: the first keeps it; the other answers after a move */
	cfg_put(f->r.bus, 1, 0x10, 4, (u32)at);
	cfg_put(f->r.bus, 9, 0x10, 4, (u32)at + 0x1000);
	cfg_put(f->r.bus, 9, 4, 2, 2);
	assert_int_equal(bus_mmio_read(f->r.bus, at + 0x1008, 4), 0x1008);
	cfg_put(f->r.bus, 9, 0x10, 4, (u32)at + 0x8000);
	assert_int_equal(bus_mmio_read(f->r.bus, at + 0x8008, 4), 8);
	cfg_put(f->r.bus, 9, 4, 2, 0);
	assert_int_equal(bus_mmio_read(f->r.bus, at + 0x8008, 4), 0xffffffff);
}

static void test_assign_and_reset(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_bus_assign(f->r.pci), 0);
	u32 a0 = cfg_get(f->r.bus, 1, 0x10, 4) & ~0xfu, a4 = cfg_get(f->r.bus, 1, 0x20, 4) & ~0xfu,
	    b0 = cfg_get(f->r.bus, 9, 0x10, 4) & ~0xfu;
	assert_true(a0 >= LAYOUT_PCI_MMIO && a0 % 0x4000 == 0);
	assert_true(a4 >= a0 + 0x4000 && b0 >= a4 + 0x1000 && b0 <= LAYOUT_PCI_MMIO_END);
	assert_int_equal(cfg_get(f->r.bus, 1, 4, 2), 7);
	assert_int_equal(cfg_get(f->r.bus, 9, 4, 2), 6);
	assert_int_equal(bus_mmio_read(f->r.bus, a0 + 4, 4), 4);
	assert_int_equal(bus_mmio_read(f->r.bus, b0 + 4, 4), 4);
	/* the guest turns them around, then firmware runs again */
	cfg_put(f->r.bus, 1, 0x10, 4, b0 & ~0x3fffu);
	cfg_put(f->r.bus, 9, 0x10, 4, a0);
	assert_int_equal(pci_bus_assign(f->r.pci), 0);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x10, 4) & ~0xfu, a0);
	assert_int_equal(bus_mmio_read(f->r.bus, a0 + 4, 4), 4);
	assert_int_equal(bus_mmio_read(f->r.bus, b0 + 4, 4), 4);
	pci_bus_reset(f->r.pci);
	assert_int_equal(cfg_get(f->r.bus, 1, 4, 2), 0);
	assert_int_equal(cfg_get(f->r.bus, 1, 0x10, 4), 4);
	assert_int_equal(bus_mmio_read(f->r.bus, a0 + 4, 4), 0xffffffff);
}

static u32 msix_bar(struct fixture *f)
{
	return cfg_get(f->r.bus, 1, 0x20, 4) & ~0xfu;
}

static void set_vector(struct fixture *f, unsigned v, u64 addr, u32 data, u32 ctrl)
{
	u32 at = msix_bar(f) + 16 * v;

	bus_mmio_write(f->r.bus, at, 8, addr);
	bus_mmio_write(f->r.bus, at + 8, 4, data);
	bus_mmio_write(f->r.bus, at + 12, 4, ctrl);
}

static void test_msix(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_bus_assign(f->r.pci), 0);
	u32 bar = msix_bar(f), ctl = cfg_get(f->r.bus, 1, 0x34, 1) + 2;
	/* table after reset: all masked */
	for (unsigned v = 0; v < 3; v++)
		assert_int_equal(bus_mmio_read(f->r.bus, bar + 16 * v + 12, 4), 1);
	assert_int_equal(bus_mmio_read(f->r.bus, bar + 16 * 3 + 12, 4), 0);
	assert_false(pci_msix_send(&f->a, 0));
	assert_false(pci_msix_enabled(&f->a));

	set_vector(f, 1, 0xfee01004, 0x4041, 0);
	assert_true(bus_mmio_read(f->r.bus, bar + 16, 8) == 0xfee01004);
	assert_int_equal(bus_mmio_read(f->r.bus, bar + 24, 4), 0x4041);
	assert_int_equal(bus_mmio_read(f->r.bus, bar + 25, 1), 0x40);
	cfg_put(f->r.bus, 1, ctl, 2, 0x8000);
	assert_int_equal(cfg_get(f->r.bus, 1, ctl, 2), 0x8002);
	assert_true(pci_msix_enabled(&f->a));
	assert_true(pci_msix_send(&f->a, 1));
	assert_int_equal(f->r.nmsi, 1);
	assert_int_equal(f->r.msi_addr, 0xfee01004);
	assert_int_equal(f->r.msi_data, 0x4041);
	assert_false(pci_msix_send(&f->a, 3));

	/* masked: pending, once, sent with what the table says when unmasked */
	assert_true(pci_msix_send(&f->a, 2));
	assert_true(pci_msix_send(&f->a, 2));
	assert_int_equal(f->r.nmsi, 1);
	assert_int_equal(bus_mmio_read(f->r.bus, bar + 0x800, 4), 4);
	bus_mmio_write(f->r.bus, bar + 0x800, 4, 0); /* read-only */
	assert_true(bus_mmio_read(f->r.bus, bar + 0x800, 8) == 4);
	set_vector(f, 2, 0xfee02000, 0x55, 0);
	assert_int_equal(f->r.nmsi, 2);
	assert_int_equal(f->r.msi_addr, 0xfee02000);
	assert_int_equal(f->r.msi_data, 0x55);
	assert_int_equal(bus_mmio_read(f->r.bus, bar + 0x800, 4), 0);

	/* the function mask, and the bus master bit, hold all back */
	cfg_put(f->r.bus, 1, ctl, 2, 0xc000);
	pci_msix_send(&f->a, 1);
	assert_int_equal(f->r.nmsi, 2);
	cfg_put(f->r.bus, 1, 4, 2, 2);
	cfg_put(f->r.bus, 1, ctl, 2, 0x8000);
	assert_int_equal(f->r.nmsi, 2);
	cfg_put(f->r.bus, 1, 4, 2, 6);
	assert_int_equal(f->r.nmsi, 3);
	assert_int_equal(f->r.msi_data, 0x4041);

	/* bytes and misaligned dwords change nothing */
	bus_mmio_write(f->r.bus, bar + 24, 1, 0x99);
	bus_mmio_write(f->r.bus, bar + 26, 4, 0x99);
	assert_int_equal(bus_mmio_read(f->r.bus, bar + 24, 4), 0x4041);
	/* the last dwords of the page, and past it */
	assert_int_equal(bus_mmio_read(f->r.bus, bar + 0xffc, 4), 0);
	bus_mmio_write(f->r.bus, bar + 0xffc, 8, UINT64_MAX);

	pci_bus_reset(f->r.pci);
	assert_false(pci_msix_enabled(&f->a));
	assert_false(pci_msix_send(&f->a, 1));
	assert_int_equal(pci_bus_assign(f->r.pci), 0);
	assert_int_equal(bus_mmio_read(f->r.bus, bar + 16 + 12, 4), 1);
	assert_int_equal(f->r.nmsi, 3);
}

static struct {
	unsigned sets, ends, id;
	int fd;
	u64 addr;
	u32 data;
	bool refuse;
} router;

static int route(void *opaque, unsigned id, int fd, bool on, u64 addr, u32 data)
{
	if (on && router.refuse)
		return -EINVAL;
	router.sets += on;
	router.ends += !on;
	router.id = id;
	router.fd = fd;
	router.addr = addr;
	router.data = data;
	return 0;
}

/* How many messages have been written to the descriptor. */
static u64 sent_by_route(void)
{
	u64 n = 0;

	return read(router.fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* With routes: the message is a write to a descriptor, and the route follows the table. */
static void test_routes(void **state)
{
	struct fixture *f = *state;
	struct msi_router r = { .set = route, .opaque = f, .max = 2 };
	struct pci_dev d;

	memset(&router, 0, sizeof(router));
	pci_bus_use_routes(f->r.pci, &r);
	pci_dev_init(&d, NULL, "d", 0x1af4, 0x1042, 0x018000 << 8);
	pci_add_msix(&d, 0, 3);
	must(pci_register(f->r.pci, &d, 5) == 0);
	must(pci_bus_assign(f->r.pci) == 0);
	u32 bar = cfg_get(f->r.bus, 5, 0x10, 4) & ~15u, ctl = cfg_get(f->r.bus, 5, 0x34, 1) + 2;
	for (unsigned v = 0; v < 3; v++) {
		bus_mmio_write(f->r.bus, bar + 16 * v, 8, 0xfee01000);
		bus_mmio_write(f->r.bus, bar + 16 * v + 8, 4, 0x40 + v);
		bus_mmio_write(f->r.bus, bar + 16 * v + 12, 4, 0);
	}
	cfg_put(f->r.bus, 5, ctl, 2, 0x8000);
	assert_int_equal(router.sets, 0); /* nothing was sent yet */
	assert_true(pci_msix_send(&d, 1));
	assert_int_equal(router.sets, 1);
	assert_int_equal(router.addr, 0xfee01000);
	assert_int_equal(router.data, 0x41);
	assert_int_equal(sent_by_route(), 1);
	assert_true(pci_msix_send(&d, 1));
	assert_int_equal(sent_by_route(), 1);
	assert_int_equal(router.sets, 1);
	/* Masked: held back, then once. */
	bus_mmio_write(f->r.bus, bar + 16 + 12, 4, 1);
	pci_msix_send(&d, 1);
	pci_msix_send(&d, 1);
	assert_int_equal(sent_by_route(), 0);
	bus_mmio_write(f->r.bus, bar + 16 + 8, 4, 0x51);
	bus_mmio_write(f->r.bus, bar + 16 + 12, 4, 0);
	assert_int_equal(router.data, 0x51);
	assert_int_equal(sent_by_route(), 1);
	assert_int_equal(router.sets, 2);
	assert_int_equal(f->r.nmsi, 0);
	/* No route is left for vector 2, and one is refused for 0: both go as ever. */
	pci_msix_send(&d, 2);
	assert_int_equal(f->r.nmsi, 1);
	assert_int_equal(f->r.msi_data, 0x42);
	router.refuse = true;
	pci_msix_send(&d, 0);
	assert_int_equal(f->r.nmsi, 2);
	/* A message that is none is nobody's route. */
	router.refuse = false;
	bus_mmio_write(f->r.bus, bar, 8, 0x1000);
	pci_msix_send(&d, 0);
	assert_int_equal(f->r.nmsi, 3);
	assert_int_equal(router.sets, 2);
	pci_dev_fini(&d);
	assert_int_equal(router.ends, 1);
}

static void test_intx(void **state)
{
	struct fixture *f = *state;

	/* slots 1 and 9 share a wire */
	assert_int_equal(cfg_get(f->r.bus, 1, 0x3d, 1), 1);
	assert_int_equal(cfg_get(f->r.bus, 0, 0x3d, 1), 0);
	pci_intx(&f->a, true);
	assert_int_equal(f->r.nwire, 1);
	assert_int_equal(f->r.wire_gsi, LAYOUT_GSI_PCI + 1);
	assert_true(f->r.wire_level);
	assert_true(cfg_get(f->r.bus, 1, 6, 2) & 8);
	assert_true(cfg_get(f->r.bus, 1, 4, 4) >> 16 & 8);
	assert_false(cfg_get(f->r.bus, 9, 6, 2) & 8);
	pci_intx(&f->b, true);
	pci_intx(&f->a, false);
	assert_int_equal(f->r.nwire, 1);
	pci_intx(&f->b, false);
	assert_int_equal(f->r.nwire, 2);
	assert_false(f->r.wire_level);
	/* switched off by the command register, still seen in the status; MSI-X silences it too */
	pci_intx(&f->a, true);
	cfg_put(f->r.bus, 1, 4, 2, 0x400);
	assert_int_equal(f->r.nwire, 4);
	assert_false(f->r.wire_level);
	assert_true(cfg_get(f->r.bus, 1, 6, 2) & 8);
	cfg_put(f->r.bus, 1, 4, 2, 0);
	assert_true(f->r.wire_level);
	cfg_put(f->r.bus, 1, cfg_get(f->r.bus, 1, 0x34, 1) + 2, 2, 0x8000);
	assert_false(f->r.wire_level);
	cfg_put(f->r.bus, 1, cfg_get(f->r.bus, 1, 0x34, 1) + 2, 2, 0);
	assert_true(f->r.wire_level);
	pci_bus_reset(f->r.pci);
	assert_false(f->r.wire_level);
	assert_int_equal(f->r.nwire, 8);
}

static void test_slots(void **state)
{
	struct fixture *f = *state;
	static struct pci_dev d[32];
	unsigned n = 0;

	for (; n < 32; n++) {
		pci_dev_init(&d[n], NULL, "d", 1, 2, 0);
		if (n == 0)
			assert_int_equal(pci_register(f->r.pci, &d[n], 9), -EBUSY);
		assert_int_equal(pci_register(f->r.pci, &d[n], 32), -EINVAL);
		int rc = pci_register(f->r.pci, &d[n], -1);
		if (rc < 0) {
			assert_int_equal(rc, -ENOSPC);
			break;
		}
	}
	assert_int_equal(n, 29); /* 32, without the bridge, a and b */
	assert_int_equal(d[0].devfn, 2 << 3);
	assert_int_equal(d[n - 1].devfn, 31 << 3);
	for (unsigned i = 0; i <= n; i++)
		pci_dev_fini(&d[i]);
	assert_int_equal(cfg_get(f->r.bus, 2, 0, 4), 0xffffffff);
}

/* ---- the life of functions ---- */

/* What was called, in order: a letter for the step, a digit for the slot. */
static char calls[64];

static void note(struct device *d, char step)
{
	size_t n = strlen(calls);

	must(n + 3 < sizeof(calls));
	calls[n] = step;
	calls[n + 1] = (char)('0' + (pci_dev_of(d)->devfn >> 3));
	calls[n + 2] = 0;
}

struct lived {
	struct pci_dev pci;
	bool busy;
	u32 value;
};

static struct lived *lived(struct device *d)
{
	return container_of(pci_dev_of(d), struct lived, pci);
}

static void l_reset(struct device *d)
{
	note(d, 'r');
	lived(d)->value = 0;
	pci_intx(&lived(d)->pci, false);
}
static bool l_quiesce(struct device *d)
{
	note(d, 'q');
	return !lived(d)->busy;
}
static void l_resume(struct device *d)
{
	note(d, 'g');
}
static int l_state(struct device *d, struct state_file *s, struct err *e)
{
	note(d, 's');
	int r = state_section(s, "lived", lived(d)->pci.devfn, 1, e);
	if (r < 0)
		return r;
	state_u32(s, &lived(d)->value);
	return state_end(s, e);
}
static void l_free(struct device *d)
{
	note(d, 'f');
	pci_dev_fini(&lived(d)->pci);
	free(lived(d));
}

static const struct pci_dev_ops lived_ops = {
	.life = { .reset = l_reset, .quiesce = l_quiesce, .resume = l_resume, .state = l_state, .free = l_free },
};

static struct lived *lived_new(struct pci_bus *pci, int slot)
{
	struct lived *l = xcalloc(1, sizeof(*l));

	pci_dev_init(&l->pci, &lived_ops, "lived", 0x1af4, 0x1042, 0x018000 << 8);
	pci_add_bar(&l->pci, 0, 0x1000, false, &bar_ops, NULL);
	pci_add_msix(&l->pci, 1, 2);
	must(pci_register(pci, &l->pci, slot) == 0);
	return l;
}

static void test_life(void **state)
{
	struct fixture *f = *state;
	struct lived *l = lived_new(f->r.pci, 7), *k = lived_new(f->r.pci, 4);
	struct state_file *s;
	struct err e;
	int fd = memfd_create("state", MFD_CLOEXEC);

	must(pci_bus_slot(f->r.pci, 7) == &l->pci && pci_bus_slot(f->r.pci, 4) == &k->pci &&
	     !pci_bus_slot(f->r.pci, 5));
	/* Functions without ops, as the fixture's, take part as if there was nothing to do. */
	calls[0] = 0;
	l->busy = true;
	assert_false(pci_bus_quiesce(f->r.pci));
	l->busy = false;
	assert_true(pci_bus_quiesce(f->r.pci));
	pci_bus_resume(f->r.pci);
	assert_string_equal(calls, "q4q7q4q7g4g7");

	k->value = 44;
	l->value = 77;
	calls[0] = 0;
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	assert_int_equal(pci_bus_devices_state(f->r.pci, s, &e), 0);
	state_free(s);
	pci_bus_reset(f->r.pci);
	assert_int_equal(k->value + l->value, 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, &e), 0);
	assert_int_equal(pci_bus_devices_state(f->r.pci, s, &e), 0);
	state_free(s);
	close(fd);
	assert_int_equal(k->value, 44);
	assert_int_equal(l->value, 77);
	assert_string_equal(calls, "s4s7r4r7s4s7");

	/* Reset reaches what the bus has of a function after what it has itself. */
	cfg_put(f->r.bus, 4, 4, 2, 7);
	pci_intx(&k->pci, true);
	pci_bus_reset(f->r.pci);
	assert_int_equal(cfg_get(f->r.bus, 4, 4, 2), 0);
	assert_false(k->pci.intx_out);
}

/* A function goes while the machine is there: nothing answers, its wire falls, its place and its routes are free. */
static void test_unplug(void **state)
{
	struct fixture *f = *state;
	struct msi_router r = { .set = route, .opaque = f, .max = 2 };

	memset(&router, 0, sizeof(router));
	pci_bus_use_routes(f->r.pci, &r);
	for (unsigned round = 0; round < 100; round++) {
		struct lived *l = lived_new(f->r.pci, 5);
		assert_true(l->pci.msix[0].fd >= 0 && l->pci.msix[1].fd >= 0);
		cfg_put(f->r.bus, 5, 0x10, 4, 0xc0800000);
		cfg_put(f->r.bus, 5, 4, 2, 6);
		assert_int_equal(bus_mmio_read(f->r.bus, 0xc0800000, 4) != 0xffffffff, 1);
		pci_intx(&l->pci, true);
		assert_true(l->pci.intx_out);
		calls[0] = 0;
		pci_unplug(&l->pci);
		assert_string_equal(calls, "f5");
		assert_int_equal(cfg_get(f->r.bus, 5, 0, 4), 0xffffffff);
		assert_int_equal(bus_mmio_read(f->r.bus, 0xc0800000, 4), 0xffffffff);
		assert_null(pci_bus_slot(f->r.pci, 5));
	}
}

/* BARs that show guest memory, an expansion ROM among them: by edits of its table, read-only where it is a ROM. */
static void test_memory_bars(void **state)
{
	struct fixture *f = *state;
	struct bus *b = f->r.bus;
	struct pci_dev d;
	struct ram *ram;
	struct err e;
	u64 video, rom;

	assert_int_equal(ram_new_with_room(&ram, MIB, 4 * MIB, &e), 0);
	assert_int_equal(ram_take(ram, 2 * MIB, &video, &e), 0);
	assert_int_equal(ram_take(ram, 64 * KIB, &rom, &e), 0);
	pci_dev_init(&d, NULL, "d", 0x1234, 0x1111, 0x030000 << 8);
	pci_add_memory_bar(&d, 0, ram, video, 2 * MIB);
	pci_add_memory_bar(&d, PCI_ROM_BAR, ram, rom, 64 * KIB);
	assert_int_equal(pci_register(f->r.pci, &d, 12), 0);

	cfg_put(b, 12, 0x10, 4, 0xffffffff);
	assert_int_equal(cfg_get(b, 12, 0x10, 4), 0xffe00008);
	cfg_put(b, 12, 0x30, 4, 0xfffff800);
	assert_int_equal(cfg_get(b, 12, 0x30, 4), 0xffff0000);
	cfg_put(b, 12, 0x10, 4, 0xd0000000);
	cfg_put(b, 12, 0x30, 4, 0xd0200001);
	assert_false(ram_edited(ram)); /* nothing is decoded yet */
	cfg_put(b, 12, 4, 2, 2);
	assert_int_equal(ram_commit(ram, &e), 0);
	assert_ptr_equal(ram_ptr(ram, 0xd0000000, 2 * MIB), ram->host + video);
	assert_ptr_equal(ram_ptr_ro(ram, 0xd0200000, 64 * KIB), ram->host + rom);
	assert_null(ram_ptr(ram, 0xd0200000, 1));

	/* The ROM's enable bit is its own; the other moves. */
	cfg_put(b, 12, 0x30, 4, 0xd0200000);
	cfg_put(b, 12, 0x10, 4, 0xd0400000);
	assert_int_equal(ram_commit(ram, &e), 0);
	assert_null(ram_ptr_ro(ram, 0xd0200000, 1));
	assert_null(ram_ptr_ro(ram, 0xd0000000, 1));
	assert_ptr_equal(ram_ptr(ram, 0xd0400000, 1), ram->host + video);
	/* In the way of RAM it shows nothing, and RAM stays. */
	cfg_put(b, 12, 0x10, 4, 0);
	assert_int_equal(ram_commit(ram, &e), 0);
	assert_ptr_equal(ram_ptr(ram, 0, MIB), ram->host);
	cfg_put(b, 12, 0x10, 4, 0xd0400000);
	assert_int_equal(ram_commit(ram, &e), 0);
	pci_bus_reset(f->r.pci);
	assert_int_equal(ram_commit(ram, &e), 0);
	assert_null(ram_ptr_ro(ram, 0xd0400000, 1));
	assert_int_equal(cfg_get(b, 12, 0x30, 4), 0);
	/* Gone with the function. */
	cfg_put(b, 12, 0x10, 4, 0xd0000000);
	cfg_put(b, 12, 4, 2, 2);
	pci_dev_fini(&d);
	assert_int_equal(ram_commit(ram, &e), 0);
	assert_null(ram_ptr_ro(ram, 0xd0000000, 1));
	ram_free(ram);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_config_access),
		T(test_capabilities),
		T(test_bar_sizing),
		T(test_bar_decoding),
		T(test_assign_and_reset),
		T(test_msix),
		T(test_routes),
		T(test_intx),
		T(test_slots),
		T(test_life),
		T(test_unplug),
		T(test_memory_bars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
