/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_virtio_legacy.c - the legacy interface of a transitional function, as a driver from before VIRTIO 1.0 uses it:
 * what the function is, registers, a ring by its page, MSI-X moving the configuration, network headers of 10 bytes; and
 * the modern interface beside it.
 */
#include "base/state.h"
#include "unit/machine/pci_rig.h"
#include "vdriver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

#define SLOT 3
#define RING 0x10000u
#define BUF 0x40000u
#define L_FEATURES 0
#define L_DRIVER 4
#define L_PFN 8
#define L_SIZE 12
#define L_SELECT 14
#define L_NOTIFY 16
#define L_STATUS 18
#define L_ISR 19
#define L_CONFIG 20

static struct ram *R;
static struct loop *L;
static struct pci_rig G;
static struct virtio_dev *D;
static u16 io;
static int wire[2];

static u32 in(unsigned off, unsigned bytes)
{
	return (u32)bus_pio_read(G.bus, (u16)(io + off), bytes);
}

static void out(unsigned off, unsigned bytes, u32 val)
{
	bus_pio_write(G.bus, (u16)(io + off), bytes, val);
}

static void up(bool transitional)
{
	const u8 mac[6] = { 2, 0, 0, 0, 0, 9 };
	struct err e;

	assert_int_equal(ram_new(&R, 1 * MIB, &e), 0);
	assert_int_equal(loop_new(&L, &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire), 0);
	pci_rig_up(&G);
	assert_int_equal(virtio_net_new(&D, R, L, wire[0], mac, &e), 0);
	D->transitional = transitional;
	assert_int_equal(virtio_pci_add(G.pci, D, SLOT, NULL, &e), 0);
	assert_int_equal(pci_bus_assign(G.pci), 0);
	io = (u16)cfg_bar(G.bus, SLOT, 0);
}

static int setup(void **state)
{
	up(true);
	return 0;
}

static int teardown(void **state)
{
	pci_rig_down(&G);
	close(wire[1]);
	loop_free(L);
	ram_free(R);
	return 0;
}

static void stop(void *l)
{
	loop_stop(l);
}

static void turn(void)
{
	loop_post(L, stop, L);
	loop_run(L);
}

/* Rings where the registers say they are. */
static struct vdriver start_queue(unsigned q, gpa_t at)
{
	struct vdriver v = { .dev = D, .q = q, .size = 256, .desc = at, .avail = at + 4096, .used = at + 8192 };

	memset(R->host + at, 0, 12288);
	out(L_SELECT, 2, q);
	assert_int_equal(in(L_SIZE, 2), 256);
	assert_int_equal(in(L_PFN, 4), 0);
	out(L_PFN, 4, (u32)at / 4096);
	assert_int_equal(in(L_PFN, 4), at / 4096);
	return v;
}

static void test_identity(void **state)
{
	assert_int_equal(cfg_get(G.bus, SLOT, 0, 4), 0x10001af4);
	assert_int_equal(cfg_get(G.bus, SLOT, 8, 4), 0x02000000); /* revision 0 */
	assert_int_equal(cfg_get(G.bus, SLOT, 0x2c, 4), 0x00011af4);
	assert_int_equal(cfg_get(G.bus, SLOT, 0x10, 4) & 3, 1);
	/* The modern blocks are still found: common configuration in BAR 2. */
	unsigned c = cfg_get(G.bus, SLOT, 0x34, 1);
	while (c && !(cfg_get(G.bus, SLOT, c, 1) == 9 && cfg_get(G.bus, SLOT, c + 3, 1) == 1))
		c = cfg_get(G.bus, SLOT, c + 1, 1);
	assert_true(c != 0);
	assert_int_equal(cfg_get(G.bus, SLOT, c + 4, 1), 2);
	gpa_t common = cfg_bar(G.bus, SLOT, 2) + cfg_get(G.bus, SLOT, c + 8, 4);
	bus_mmio_write(G.bus, common, 4, 1);
	assert_int_equal(bus_mmio_read(G.bus, common + 4, 4) & 1, 1); /* VERSION_1 */
	bus_mmio_write(G.bus, common + 0x14, 1, 3);
	assert_int_equal(in(L_STATUS, 1), 3); /* one device */
	bus_mmio_write(G.bus, common + 0x14, 1, 7);
	assert_int_equal(in(L_STATUS, 1) & 4, 0); /* no FEATURES_OK */
}

static void test_registers(void **state)
{
	u32 offered = in(L_FEATURES, 4);

	assert_true(offered & 1u << 27 && offered & 1u << VIRTIO_F_RING_INDIRECT_DESC && offered & 1u << 15);
	out(L_DRIVER, 4, ~0u);
	assert_int_equal(in(L_DRIVER, 4), offered); /* what is not offered stays off */
	assert_false(virtio_has(D, VIRTIO_F_VERSION_1));
	/* FEATURES_OK does not exist. */
	out(L_STATUS, 1, 1 | 2 | 8);
	assert_int_equal(in(L_STATUS, 1), 3);
	out(L_STATUS, 1, 7);
	assert_int_equal(in(L_STATUS, 1), 7);
	/* Its configuration: the MAC address. */
	assert_int_equal(in(L_CONFIG, 1), 2);
	assert_int_equal(in(L_CONFIG + 5, 1), 9);
	assert_int_equal(in(L_CONFIG + 30, 1), 0);
	/* Widths that no register has. */
	assert_int_equal(in(L_PFN, 2), 0);
	out(L_SELECT, 1, 1);
	assert_int_equal(in(L_SELECT, 2), 0);
	out(L_SELECT, 2, 2);
	assert_int_equal(in(L_SIZE, 2), 0);
	out(L_PFN, 4, 16); /* of no queue */
	out(L_NOTIFY, 2, 9);
	out(L_STATUS, 1, 0);
	assert_int_equal(in(L_STATUS, 1), 0);
	assert_int_equal(in(L_DRIVER, 4), 0);
	assert_false(D->legacy);
}

static void test_msix_moves(void **state)
{
	unsigned c = cfg_get(G.bus, SLOT, 0x34, 1);

	assert_int_equal(in(L_CONFIG, 1), 2);
	while (cfg_get(G.bus, SLOT, c, 1) != 0x11)
		c = cfg_get(G.bus, SLOT, c + 1, 1);
	cfg_put(G.bus, SLOT, c + 2, 2, 0x8000);
	assert_int_equal(in(20, 2), 0xffff);
	out(20, 2, 2);
	assert_int_equal(in(20, 2), 2);
	out(20, 2, 3); /* there are three */
	assert_int_equal(in(20, 2), 0xffff);
	out(22, 2, 1);
	assert_int_equal(in(22, 2), 1);
	assert_int_equal(in(24, 1), 2); /* the MAC address */
	assert_int_equal(in(29, 1), 9);
}

/* A frame out, before DRIVER_OK and without mergeable buffers: its header has 10 bytes. Then one in. */
static void test_frames(void **state)
{
	struct vdesc seg[] = { { BUF, 10 }, { BUF + 0x100, 60 } };
	u8 got[128];
	u32 id, len;

	out(L_STATUS, 1, 3);
	out(L_DRIVER, 4, 1u << 5);
	struct vdriver rx = start_queue(0, RING), tx = start_queue(1, RING + 0x4000);
	memset(R->host + BUF, 0, 4096);
	memset(R->host + BUF + 0x100, 0x5a, 60);
	vd_add(&tx, seg, 2, 0);
	out(L_NOTIFY, 2, 1);
	assert_int_equal(recv(wire[1], got, sizeof(got), MSG_DONTWAIT), 60);
	assert_int_equal(got[0], 0x5a);
	assert_int_equal(got[59], 0x5a);
	assert_true(vd_used(&tx, &id, &len));
	assert_true(G.wire_level);
	assert_int_equal(in(L_ISR, 1), 1);
	assert_false(G.wire_level);
	out(L_STATUS, 1, 7);

	struct vdesc in_seg = { BUF + 0x1000, 1526 };
	memset(R->host + in_seg.addr, 0xee, 1526);
	vd_add(&rx, &in_seg, 0, 1);
	out(L_NOTIFY, 2, 0);
	memset(got, 0x33, 60);
	assert_int_equal(send(wire[1], got, 60, 0), 60);
	for (int i = 0; i < 100 && vd_used_idx(&rx) == 0; i++)
		turn();
	assert_true(vd_used(&rx, &id, &len));
	assert_int_equal(len, 70);
	assert_int_equal(R->host[in_seg.addr + 9], 0);
	assert_int_equal(R->host[in_seg.addr + 10], 0x33);
	assert_int_equal(R->host[in_seg.addr + 69], 0x33);
	assert_int_equal(R->host[in_seg.addr + 70], 0xee);

	/* 0 stops a queue. */
	out(L_SELECT, 2, 1);
	out(L_PFN, 4, 0);
	assert_int_equal(in(L_PFN, 4), 0);
	vd_add(&tx, seg, 2, 0);
	out(L_NOTIFY, 2, 1);
	assert_int_equal(recv(wire[1], got, sizeof(got), MSG_DONTWAIT), -1);
	/* Rings that are not in memory: it waits for a reset. */
	out(L_PFN, 4, 0xfffffff);
	assert_true(in(L_STATUS, 1) & VIRTIO_S_NEEDS_RESET);
	device_reset(&pci_bus_slot(G.pci, SLOT)->dev);
	assert_int_equal(in(L_STATUS, 1), 0);
	assert_false(D->legacy);
}

/* Saved while a legacy driver has it, and restored into another machine. */
static void test_state(void **state)
{
	struct vdesc seg[] = { { BUF, 10 }, { BUF + 0x100, 60 } };
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	struct err e;
	u8 got[128];

	out(L_STATUS, 1, 3);
	out(L_DRIVER, 4, 1u << 5);
	start_queue(1, RING);
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	assert_true(pci_bus_quiesce(G.pci));
	assert_int_equal(pci_bus_devices_state(G.pci, s, &e), 0);
	assert_int_equal(pci_bus_state(G.pci, s, &e), 0);
	state_free(s);
	teardown(NULL);

	for (int pass = 0; pass < 2; pass++) {
		up(pass); /* first into one without the interface: refused */
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(state_load_new(&s, fd, &e), 0);
		assert_true(pci_bus_quiesce(G.pci));
		int r = pci_bus_devices_state(G.pci, s, &e);
		if (r == 0)
			r = pci_bus_state(G.pci, s, &e);
		assert_int_equal(r == 0, pass);
		state_free(s);
		if (!pass)
			teardown(NULL);
	}
	close(fd);
	pci_bus_resume(G.pci);
	assert_true(D->legacy);
	assert_int_equal(in(L_PFN, 4), RING / 4096);
	struct vdriver tx = { .dev = D, .q = 1, .size = 256, .desc = RING, .avail = RING + 4096, .used = RING + 8192 };
	vd_add(&tx, seg, 2, 0);
	for (int i = 0; i < 100 && vd_used_idx(&tx) == 0; i++)
		turn();
	assert_int_equal(recv(wire[1], got, sizeof(got), MSG_DONTWAIT), 60);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_identity), T(test_registers), T(test_msix_moves), T(test_frames),
					    T(test_state) };
	return cmocka_run_group_tests_name("virtio-legacy", tests, NULL, NULL);
}
