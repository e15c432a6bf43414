/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_virtio_pci.c - the PCI transport as a driver finds it: capabilities, registers and their widths,
 * features, queues, MSI-X vectors, INTx, the configuration access capability.
 */
#include "unit/machine/pci_rig.h"
#include "vdriver.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define RINGS 0x10000
#define BUF 0x40000

static struct ram *R;
static struct pci_rig G;
static struct virtio_dev *D;
static gpa_t bar[6], common, isr, notify, device;
static unsigned mult, pcicfg, msixcap;
static u8 config[8];
static unsigned cfg_writes;

static void t_notify(struct virtio_dev *d, unsigned q)
{
	static struct virtio_chain ch;

	while (virtio_pop(d, q, &ch)) {
		virtio_chain_write(&ch, 0, "answer", 6);
		virtio_push(d, q, &ch, 6);
	}
	virtio_signal(d, q);
}
static void t_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	assert_true(off + bytes <= 6);
	memcpy(buf, config + off, bytes);
}
static void t_cfg_write(struct virtio_dev *d, unsigned off, const void *buf, unsigned bytes)
{
	assert_true(off + bytes <= 6);
	memcpy(config + off, buf, bytes);
	cfg_writes++;
}
static const struct virtio_class t_class = {
	.name = "virtio-test",
	.id = VIRTIO_ID_NET,
	.features = 1ull << 3 | 1ull << 40,
	.cfg_bytes = 6,
	.cfg_read = t_cfg_read,
	.cfg_write = t_cfg_write,
	.notify = t_notify,
};

static u64 rd(unsigned off, unsigned bytes)
{
	return bus_mmio_read(G.bus, common + off, bytes);
}
static void wr(unsigned off, unsigned bytes, u64 val)
{
	bus_mmio_write(G.bus, common + off, bytes, val);
}

static int setup(void **state)
{
	assert_int_equal(ram_new(&R, 1 * MIB, NULL), 0);
	pci_rig_up(&G);
	D = virtio_new(&t_class, R, NULL, 3, NULL);
	assert_int_equal(virtio_pci_add(G.pci, D, 3, NULL, NULL), 0);
	assert_int_equal(pci_bus_assign(G.pci), 0);
	common = isr = notify = device = 0;
	pcicfg = msixcap = G.nmsi = cfg_writes = 0;
	G.wire_level = false;
	for (unsigned i = 0; i < 6; i++)
		bar[i] = cfg_get(G.bus, 3, 0x10 + 4 * i, 4) & ~15u;
	assert_int_equal(cfg_get(G.bus, 3, 0, 4), 0x10411af4);
	assert_int_equal(cfg_get(G.bus, 3, 8, 4) >> 8, 0x020000);
	assert_true(cfg_get(G.bus, 3, 8, 1) >= 1); /* 4.1.2.1: revision 1 or higher */
	assert_true(cfg_get(G.bus, 3, 0x2e, 2) >= 0x40);
	for (unsigned c = cfg_get(G.bus, 3, 0x34, 1), n = 0; c; c = cfg_get(G.bus, 3, c + 1, 1)) {
		assert_true(++n < 20);
		if (cfg_get(G.bus, 3, c, 1) == 0x11)
			msixcap = c;
		if (cfg_get(G.bus, 3, c, 1) != 9)
			continue;
		gpa_t at = bar[cfg_get(G.bus, 3, c + 4, 1)] + cfg_get(G.bus, 3, c + 8, 4);
		assert_true(cfg_get(G.bus, 3, c + 2, 1) >= 16);
		switch (cfg_get(G.bus, 3, c + 3, 1)) {
		case 1:
			common = at;
			assert_true(cfg_get(G.bus, 3, c + 12, 4) >= 0x38);
			break;
		case 2:
			notify = at;
			mult = cfg_get(G.bus, 3, c + 16, 4);
			break;
		case 3:
			isr = at;
			break;
		case 4:
			device = at;
			assert_int_equal(cfg_get(G.bus, 3, c + 12, 4), 6);
			break;
		case 5:
			pcicfg = c;
			break;
		default:
			fail();
		}
	}
	assert_true(common && notify && isr && device && pcicfg && msixcap && mult);
	return 0;
}
static int teardown(void **state)
{
	pci_rig_down(&G);
	ram_free(R);
	return 0;
}

static void msix_on(void)
{
	gpa_t table = bar[cfg_get(G.bus, 3, msixcap + 4, 4) & 7] + (cfg_get(G.bus, 3, msixcap + 4, 4) & ~7u);

	assert_int_equal((cfg_get(G.bus, 3, msixcap + 2, 2) & 0x7ff) + 1, 4);
	for (unsigned v = 0; v < 4; v++) {
		bus_mmio_write(G.bus, table + 16 * v, 4, 0xfee00000);
		bus_mmio_write(G.bus, table + 16 * v + 4, 4, 0);
		bus_mmio_write(G.bus, table + 16 * v + 8, 4, 0x40 + v);
		bus_mmio_write(G.bus, table + 16 * v + 12, 4, 0);
	}
	cfg_put(G.bus, 3, msixcap + 2, 2, 0x8000);
}

/* As a driver starts (3.1.1). */
static void start_driver(struct vdriver *v, unsigned q)
{
	wr(0x14, 1, 0);
	assert_int_equal(rd(0x14, 1), 0);
	wr(0x14, 1, 1);
	wr(0x14, 1, 3);
	wr(8, 4, 1);
	wr(0xc, 4, 1); /* VERSION_1 */
	wr(8, 4, 0);
	wr(0xc, 4, 8);
	wr(0x14, 1, 11);
	assert_int_equal(rd(0x14, 1), 11);
	wr(0x16, 2, q);
	assert_int_equal(rd(0x18, 2), 256);
	wr(0x18, 2, 16);
	wr(0x20, 4, RINGS);
	wr(0x24, 4, 0);
	wr(0x28, 8, RINGS + 0x1000); /* both halves at once is taken too */
	wr(0x30, 4, RINGS + 0x2000);
	wr(0x34, 4, 0);
	wr(0x1a, 2, q + 1);
	wr(0x10, 2, 0);
	wr(0x1c, 2, 1);
	assert_int_equal(rd(0x1c, 2), 1);
	wr(0x14, 1, 15);
	assert_int_equal(rd(0x14, 1), 15);
	*v = (struct vdriver){ .dev = D, .q = q, .size = 16 };
	v->desc = RINGS;
	v->avail = RINGS + 0x1000;
	v->used = RINGS + 0x2000;
	memset(R->host + RINGS, 0, 0x4000);
}

static void test_features(void **state)
{
	wr(0, 4, 0);
	assert_int_equal(rd(4, 4), 1 << 3 | 1 << 28 | 1 << 29);
	wr(0, 4, 1);
	assert_int_equal(rd(4, 4), 1 | 1 << 2 | 1 << 8);
	wr(0, 4, 2);
	assert_int_equal(rd(4, 4), 0);
	wr(0x14, 1, 3);
	/* not offered */
	wr(8, 4, 0);
	wr(0xc, 4, 1 << 4);
	wr(8, 4, 1);
	wr(0xc, 4, 1);
	wr(0x14, 1, 11);
	assert_int_equal(rd(0x14, 1), 3);
	/* legacy */
	wr(8, 4, 0);
	wr(0xc, 4, 8);
	wr(8, 4, 1);
	wr(0xc, 4, 0);
	wr(0x14, 1, 11);
	assert_int_equal(rd(0x14, 1), 3);
	wr(0xc, 4, 1);
	wr(0x14, 1, 11);
	assert_int_equal(rd(0x14, 1), 11);
	wr(0xc, 4, 0); /* too late */
	assert_int_equal(rd(0xc, 4), 1);
}

static void test_widths(void **state)
{
	assert_int_equal(rd(0x12, 2), 3);
	wr(0x16, 2, 2);
	assert_int_equal(rd(0x1e, 2), 2);
	assert_int_equal(rd(0x14, 4), 2 << 16); /* status, generation, queue_select */
	assert_int_equal(rd(0x17, 1), 0);
	assert_int_equal(rd(0x18, 8), 256 | 0xffffull << 16 | 2ull << 48);
	wr(0x16, 1, 1); /* half a field */
	assert_int_equal(rd(0x16, 2), 2);
	wr(0x14, 4, 3);
	assert_int_equal(rd(0x14, 1), 0);
	wr(0x20, 2, 0x1234);
	assert_int_equal(rd(0x20, 4), 0);
	wr(0x12, 2, 9); /* read-only */
	assert_int_equal(rd(0x12, 2), 3);
	/* sizes: powers of two up to the maximum */
	wr(0x18, 2, 48);
	assert_int_equal(rd(0x18, 2), 256);
	wr(0x18, 2, 512);
	assert_int_equal(rd(0x18, 2), 256);
	wr(0x18, 2, 0);
	assert_int_equal(rd(0x18, 2), 256);
	wr(0x18, 2, 64);
	assert_int_equal(rd(0x18, 2), 64);
	/* vectors: 4 of them */
	wr(0x1a, 2, 3);
	assert_int_equal(rd(0x1a, 2), 3);
	wr(0x1a, 2, 4);
	assert_int_equal(rd(0x1a, 2), 0xffff);
	/* no such queue */
	wr(0x16, 2, 3);
	assert_int_equal(rd(0x18, 2), 0);
	wr(0x1c, 2, 1);
	assert_int_equal(rd(0x1c, 2), 0);
	assert_int_equal(bus_mmio_read(G.bus, common + 0x38, 4), 0);
	/* device configuration */
	memcpy(config, "abcdef", 6);
	assert_int_equal(bus_mmio_read(G.bus, device, 4), 'a' | 'b' << 8 | 'c' << 16 | 'd' << 24);
	assert_int_equal(bus_mmio_read(G.bus, device + 4, 4), 'e' | 'f' << 8);
	assert_int_equal(bus_mmio_read(G.bus, device + 6, 2), 0);
	bus_mmio_write(G.bus, device + 5, 1, 'z');
	assert_int_equal(config[5], 'z');
	bus_mmio_write(G.bus, device + 4, 4, 0);
	assert_int_equal(cfg_writes, 1);
	/* generation */
	virtio_lock(D);
	virtio_config_changed(D);
	virtio_unlock(D);
	assert_int_equal(rd(0x15, 1), 1);
}

static void test_msix(void **state)
{
	struct vdriver v;
	struct vdesc seg = { BUF, 16 };
	u32 id, len;

	msix_on();
	start_driver(&v, 1);
	vd_add(&v, &seg, 0, 1);
	bus_mmio_write(G.bus, notify + mult * 0, 2, 0); /* another queue */
	assert_int_equal(G.nmsi, 0);
	bus_mmio_write(G.bus, notify + mult * 1, 2, 1);
	assert_int_equal(G.nmsi, 1);
	assert_int_equal(G.msi_addr, 0xfee00000);
	assert_int_equal(G.msi_data, 0x42);
	assert_true(vd_used(&v, &id, &len));
	assert_memory_equal(R->host + BUF, "answer", 6);
	virtio_lock(D);
	virtio_config_changed(D);
	virtio_unlock(D);
	assert_int_equal(G.msi_data, 0x40);
	assert_false(G.wire_level);
	assert_int_equal(bus_mmio_read(G.bus, isr, 1), 0);
	/* a running queue cannot be changed */
	wr(0x16, 2, 1);
	wr(0x20, 4, 0);
	assert_int_equal(rd(0x20, 4), RINGS);
	wr(0x14, 1, 0);
	assert_int_equal(rd(0x14, 1), 0);
	wr(0x16, 2, 1);
	assert_int_equal(rd(0x1c, 2), 0);
	assert_int_equal(rd(0x1a, 2), 0xffff);
	bus_mmio_write(G.bus, notify + mult * 1, 2, 1);
	assert_int_equal(G.nmsi, 2);
	/* and again, through a system reset */
	start_driver(&v, 1);
	device_reset(&pci_bus_slot(G.pci, 3)->dev);
	assert_int_equal(D->status, 0);
	assert_false(D->queue[1].ready);
}

static void test_intx(void **state)
{
	struct vdriver v;
	struct vdesc seg = { BUF, 16 };

	start_driver(&v, 0);
	assert_false(G.wire_level);
	vd_add(&v, &seg, 0, 1);
	bus_mmio_write(G.bus, notify, 2, 0);
	assert_true(G.wire_level);
	assert_int_equal(bus_mmio_read(G.bus, isr, 1), 1);
	assert_false(G.wire_level);
	assert_int_equal(bus_mmio_read(G.bus, isr, 1), 0);
	/* a broken ring: configuration interrupt and NEEDS_RESET */
	vd_avail(&v, 99);
	bus_mmio_write(G.bus, notify, 2, 0);
	assert_true(G.wire_level);
	assert_int_equal(rd(0x14, 1), 15 | 64);
	assert_int_equal(bus_mmio_read(G.bus, isr, 1) & 2, 2);
	/* reset lowers the G.wire_level */
	start_driver(&v, 0);
	vd_add(&v, &seg, 0, 1);
	bus_mmio_write(G.bus, notify, 2, 0);
	assert_true(G.wire_level);
	wr(0x14, 1, 0);
	assert_false(G.wire_level);
	assert_int_equal(G.nmsi, 0);
}

static void test_pci_cfg(void **state)
{
	u32 base = (u32)(common - bar[0]);

	cfg_put(G.bus, 3, pcicfg + 4, 1, 0);
	cfg_put(G.bus, 3, pcicfg + 8, 4, base + 0x12);
	cfg_put(G.bus, 3, pcicfg + 12, 4, 2);
	assert_int_equal(cfg_get(G.bus, 3, pcicfg + 16, 4) & 0xffff, 3);
	cfg_put(G.bus, 3, pcicfg + 8, 4, base + 0x14);
	cfg_put(G.bus, 3, pcicfg + 12, 4, 1);
	cfg_put(G.bus, 3, pcicfg + 16, 4, 0x03);
	assert_int_equal(rd(0x14, 1), 3);
	/* unsound windows do nothing */
	cfg_put(G.bus, 3, pcicfg + 12, 4, 3);
	cfg_put(G.bus, 3, pcicfg + 16, 4, 0);
	cfg_put(G.bus, 3, pcicfg + 12, 4, 1);
	cfg_put(G.bus, 3, pcicfg + 4, 1, 1);
	cfg_put(G.bus, 3, pcicfg + 16, 4, 0);
	cfg_put(G.bus, 3, pcicfg + 4, 1, 0);
	cfg_put(G.bus, 3, pcicfg + 8, 4, 0xfffffff0);
	cfg_put(G.bus, 3, pcicfg + 16, 4, 0);
	assert_int_equal(rd(0x14, 1), 3);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_features), T(test_widths), T(test_msix), T(test_intx),
					    T(test_pci_cfg) };
	return cmocka_run_group_tests_name("virtio-pci", tests, NULL, NULL);
}
