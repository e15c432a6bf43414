/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_nvme.c - an NVMe disk as a driver finds it: start, queues, reads and writes by PRPs and lists of them, trim,
 * errors, interrupts, full completion queues, reset, saved with commands that were not taken yet.
 */
#include "unit/device/ata/ahci_driver.h" /* its memory and loop */
#include "base/state.h"
#include "device/nvme/nvme.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define DISK (1 * MIB)
#define ASQ 0x1000
#define ACQ 0x2000
#define SQ 0x3000
#define CQ 0x4000
#define LIST 0x5000
#define ENTRIES 8

static struct ahci_driver A;
static u32 regs;
static struct {
	unsigned sq_tail, cq_head, phase;
} q[2];

static void up(void)
{
	char name[] = "/var/tmp/mica-nvme-XXXXXX";
	struct blk_params p = { .path = name, .engine = BLK_ENGINE_POOL };
	struct device *d;
	struct blk *b;
	u8 s[512];
	int fd = mkstemp(name);

	ad_up(&A);
	for (unsigned i = 0; i < DISK / 512; i++) {
		memset(s, (int)i, sizeof(s));
		assert_int_equal(write(fd, s, sizeof(s)), sizeof(s));
	}
	close(fd);
	assert_int_equal(blk_open(&b, A.loop, &p, NULL), 0);
	unlink(name);
	assert_int_equal(nvme_new(&d, A.rig.pci, A.ram, A.loop, b, "serial", -1, NULL), 0);
	assert_int_equal(pci_bus_assign(A.rig.pci), 0);
	regs = cfg_bar(A.rig.bus, 1, 0);
}

static u32 get(unsigned reg)
{
	return (u32)bus_mmio_read(A.rig.bus, regs + reg, 4);
}

static void put(unsigned reg, u32 v)
{
	bus_mmio_write(A.rig.bus, regs + reg, 4, v);
}

struct entry {
	u8 op;
	u32 ns;
	u64 prp1, prp2;
	u32 dw10, dw11, dw12;
};

static void submit(unsigned n, const struct entry *e)
{
	u8 *p = A.ram->host + (n ? SQ : ASQ) + 64 * q[n].sq_tail;

	memset(p, 0, 64);
	p[0] = e->op;
	st_le16(p + 2, (u16)(0x100 + q[n].sq_tail));
	st_le32(p + 4, e->ns);
	st_le64(p + 24, e->prp1);
	st_le64(p + 32, e->prp2);
	st_le32(p + 40, e->dw10);
	st_le32(p + 44, e->dw11);
	st_le32(p + 48, e->dw12);
	q[n].sq_tail = (q[n].sq_tail + 1) % ENTRIES;
}

static void ring(unsigned n)
{
	put(0x1000 + 8 * n, q[n].sq_tail);
}

/* The next completion: its status field without phase and DNR; -1: none comes. */
static int completion(unsigned n, u32 *result)
{
	const u8 *p = A.ram->host + (n ? CQ : ACQ) + 16 * q[n].cq_head;
	u64 end = clock_mono_ns() + 2 * NSEC_PER_SEC;

	while ((ld_le16(p + 14) & 1) != q[n].phase)
		if (clock_mono_ns() > end)
			return -1;
		else
			ad_spin(&A, 1);
	if (result)
		*result = ld_le32(p);
	int status = ld_le16(p + 14) >> 1 & 0x7ff;
	q[n].cq_head = (q[n].cq_head + 1) % ENTRIES;
	q[n].phase ^= !q[n].cq_head;
	put(0x1004 + 8 * n, q[n].cq_head);
	return status;
}

static int run(unsigned n, const struct entry *e)
{
	submit(n, e);
	ring(n);
	return completion(n, NULL);
}

static void start(void)
{
	put(0x24, (ENTRIES - 1) | (ENTRIES - 1) << 16);
	put(0x28, ASQ);
	put(0x30, ACQ);
	memset(A.ram->host + ACQ, 0, 4096);
	memset(A.ram->host + CQ, 0, 4096);
	memset(q, 0, sizeof(q));
	q[0].phase = q[1].phase = 1;
	put(0x14, 0x00460001);
	assert_int_equal(get(0x1c), 1);
	assert_int_equal(
	    run(0, &(struct entry){ .op = 5, .prp1 = CQ, .dw10 = 1 | (ENTRIES - 1) << 16, .dw11 = 3 | 1 << 16 }), 0);
	assert_int_equal(
	    run(0, &(struct entry){ .op = 1, .prp1 = SQ, .dw10 = 1 | (ENTRIES - 1) << 16, .dw11 = 1 | 1 << 16 }), 0);
}

static int setup(void **state)
{
	up();
	start();
	return 0;
}

static int teardown(void **state)
{
	ad_down(&A);
	return 0;
}

static void what_it_is(void **state)
{
	const u8 *d = A.ram->host + AD_DATA;
	u32 result;

	assert_int_equal(cfg_get(A.rig.bus, 1, 8, 4) >> 8, 0x010802);
	assert_int_equal(get(0x08), 0x00010400);
	assert_int_equal(run(0, &(struct entry){ .op = 6, .prp1 = AD_DATA, .dw10 = 1 }), 0);
	assert_memory_equal(d + 4, "serial ", 7);
	assert_int_equal(d[77], 7);
	assert_int_equal(run(0, &(struct entry){ .op = 6, .ns = 1, .prp1 = AD_DATA }), 0);
	assert_int_equal(ld_le64(d), DISK / 512);
	assert_int_equal(run(0, &(struct entry){ .op = 6, .prp1 = AD_DATA, .dw10 = 2 }), 0);
	assert_int_equal(ld_le32(d), 1);
	assert_int_equal(run(0, &(struct entry){ .op = 2, .prp1 = AD_DATA, .dw10 = 2 | 127 << 16 }), 0);
	assert_int_equal(d[3], 100);
	submit(0, &(struct entry){ .op = 9, .dw10 = 7, .dw11 = 0x00ff00ff });
	ring(0);
	assert_int_equal(completion(0, &result), 0);
	assert_int_equal(result, 0x000f000f);
	assert_int_equal(run(0, &(struct entry){ .op = 6, .prp1 = AD_DATA, .dw10 = 0x77 }), 2);
	assert_int_equal(run(0, &(struct entry){ .op = 0x7f }), 1);
}

static void moves_data(void **state)
{
	u8 *d = A.ram->host + 0x80000, *list = A.ram->host + LIST;

	/* One page, two pages from within the first, a list that goes on in another page. */
	assert_int_equal(run(1, &(struct entry){ .op = 2, .ns = 1, .prp1 = 0x80000, .dw10 = 8, .dw12 = 7 }), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(d[i], 8 + i / 512);
	assert_int_equal(
	    run(1, &(struct entry){ .op = 2, .ns = 1, .prp1 = 0x80e00, .prp2 = 0x90000, .dw10 = 3, .dw12 = 1 }), 0);
	assert_int_equal(d[0xe00], 3);
	assert_int_equal(A.ram->host[0x90000], 4);
	for (unsigned i = 0; i < 20; i++)
		st_le64(list + 4096 - 8 * 4 + 8 * i, 0x81000 + 0x1000ull * i);
	st_le64(list + 4096 - 8, 0x6000);
	for (unsigned i = 0; i < 17; i++)
		st_le64(A.ram->host + 0x6000 + 8 * i, 0x84000 + 0x1000ull * i);
	assert_int_equal(
	    run(1,
		&(struct entry){
		    .op = 2, .ns = 1, .prp1 = 0x80000, .prp2 = LIST + 4096 - 32, .dw10 = 100, .dw12 = 167 }),
	    0);
	for (unsigned i = 0; i < 168 * 512; i++)
		assert_int_equal(d[i], (u8)(100 + i / 512));
	memset(d, 0x77, 1024);
	assert_int_equal(
	    run(1, &(struct entry){ .op = 1, .ns = 1, .prp1 = 0x80000, .dw10 = 200, .dw12 = 1 | 1u << 30 }), 0);
	memset(d, 0, 2048);
	assert_int_equal(run(1, &(struct entry){ .op = 2, .ns = 1, .prp1 = 0x80000, .dw10 = 199, .dw12 = 3 }), 0);
	assert_int_equal(d[511], 199);
	assert_int_equal(d[512], 0x77);
	assert_int_equal(d[1535], 0x77);
	assert_int_equal(d[1536], 202);
	/* Zeros, and two ranges that are taken back. */
	assert_int_equal(run(1, &(struct entry){ .op = 8, .ns = 1, .dw10 = 200, .dw12 = 0 }), 0);
	memset(d, 0, 32);
	st_le32(d + 4, 8);
	st_le64(d + 8, 208);
	st_le32(d + 20, 8);
	st_le64(d + 24, 224);
	assert_int_equal(run(1, &(struct entry){ .op = 9, .ns = 1, .prp1 = 0x80000, .dw10 = 1, .dw11 = 4 }), 0);
	assert_int_equal(run(1, &(struct entry){ .op = 0, .ns = 1 }), 0);
	assert_int_equal(
	    run(1, &(struct entry){ .op = 2, .ns = 1, .prp1 = 0x80000, .prp2 = LIST, .dw10 = 200, .dw12 = 7 }), 0);
	assert_int_equal(d[0], 0);
	assert_int_equal(d[512], 0x77);
	assert_int_equal(run(1, &(struct entry){ .op = 2, .ns = 1, .prp1 = 0x80000, .dw10 = 224, .dw12 = 7 }), 0);
	assert_int_equal(d[0] | d[4095], 0);
}

static void refuses(void **state)
{
	static const struct {
		struct entry e;
		int status;
	} all[] = {
		{ { .op = 2, .ns = 2, .prp1 = AD_DATA }, 0x00b },
		{ { .op = 2, .ns = 1, .prp1 = AD_DATA, .dw10 = DISK / 512 }, 0x080 },
		{ { .op = 2, .ns = 1, .prp1 = AD_DATA, .dw10 = DISK / 512 - 1, .dw12 = 1 }, 0x080 },
		{ { .op = 2, .ns = 1, .prp1 = 1ull << 40 }, 0x004 },
		{ { .op = 2, .ns = 1, .prp1 = AD_DATA, .prp2 = 0x80200, .dw12 = 15 }, 0x013 },
		{ { .op = 2, .ns = 1, .prp1 = AD_DATA, .prp2 = 1ull << 40, .dw12 = 31 }, 0x004 },
		{ { .op = 2, .ns = 1, .prp1 = AD_DATA, .dw12 = 0xffff }, 0x080 },
		{ { .op = 0x55, .ns = 1 }, 0x001 },
	};
	static const struct {
		struct entry e;
		int status;
	} admin[] = {
		{ { .op = 1, .prp1 = SQ, .dw10 = 1 | 7 << 16, .dw11 = 1 | 1 << 16 }, 0x101 },
		{ { .op = 1, .prp1 = SQ, .dw10 = 2 | 7 << 16, .dw11 = 1 | 5 << 16 }, 0x100 },
		{ { .op = 5, .prp1 = CQ, .dw10 = 2 | 0xffffu << 16, .dw11 = 1 }, 0x102 },
		{ { .op = 5, .prp1 = CQ, .dw10 = 40 | 7 << 16, .dw11 = 1 }, 0x101 },
		{ { .op = 5, .prp1 = CQ, .dw10 = 2 | 7 << 16, .dw11 = 1 | 60 << 16 }, 0x108 },
		{ { .op = 4, .dw10 = 1 }, 0x10c },
		{ { .op = 0, .dw10 = 3 }, 0x101 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		if (run(1, &all[i].e) != all[i].status)
			fail_msg("I/O %u", i);
	for (unsigned i = 0; i < ARRAY_LEN(admin); i++)
		if (run(0, &admin[i].e) != admin[i].status)
			fail_msg("admin %u", i);
	assert_int_equal(run(0, &(struct entry){ .op = 0, .dw10 = 1 }), 0);
	assert_int_equal(run(0, &(struct entry){ .op = 4, .dw10 = 1 }), 0);
}

/* Nobody takes completions: no more commands are taken than there is room for, and the rest go on later. */
static void full_queue(void **state)
{
	for (unsigned i = 0; i < ENTRIES - 1; i++)
		submit(1, &(struct entry){ .op = 0, .ns = 1 });
	ring(1);
	ad_spin(&A, 20);
	for (unsigned i = 0; i < 4; i++)
		submit(1, &(struct entry){ .op = 0, .ns = 1 });
	ring(1);
	ad_spin(&A, 20);
	for (unsigned i = 0; i < ENTRIES + 3; i++)
		assert_int_equal(completion(1, NULL), 0);
	assert_int_equal(ld_le16(A.ram->host + CQ + 16 * q[1].cq_head + 14) & 1, !q[1].phase);
}

static void interrupts(void **state)
{
	u32 table = cfg_bar(A.rig.bus, 1, 4);

	assert_true(A.rig.nwire > 0); /* by the wire until MSI-X is on */
	bus_mmio_write(A.rig.bus, table + 16, 4, 0xfee02000);
	bus_mmio_write(A.rig.bus, table + 24, 4, 0x51);
	bus_mmio_write(A.rig.bus, table + 28, 4, 0);
	assert_int_equal(cfg_get(A.rig.bus, 1, 0x40, 1), 0x11);
	cfg_put(A.rig.bus, 1, 0x42, 2, 0x8000);
	A.rig.nmsi = 0;
	assert_int_equal(run(1, &(struct entry){ .op = 0, .ns = 1 }), 0);
	assert_int_equal(A.rig.nmsi, 1);
	assert_int_equal(A.rig.msi_data, 0x51);
}

static void reset_and_saved(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;

	for (unsigned i = 0; i < 5; i++)
		submit(1, &(struct entry){ .op = 2, .ns = 1, .prp1 = 0x80000, .dw10 = 8 * i, .dw12 = 7 });
	ring(1);
	put(0x14, 0x00460000);
	while (get(0x1c) & 1)
		ad_spin(&A, 1);
	start();
	assert_int_equal(run(1, &(struct entry){ .op = 2, .ns = 1, .prp1 = 0x80000, .dw10 = 5, .dw12 = 0 }), 0);

	/* Quiesced, a command comes; it is served after loading. */
	for (unsigned i = 0; i < 1000 && !pci_bus_quiesce(A.rig.pci); i++)
		ad_spin(&A, 1);
	submit(1, &(struct entry){ .op = 2, .ns = 1, .prp1 = 0x80000, .dw10 = 77, .dw12 = 0 });
	ring(1);
	assert_true(pci_bus_quiesce(A.rig.pci));
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(A.rig.pci, s, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	pci_bus_reset(A.rig.pci);
	assert_int_equal(pci_bus_assign(A.rig.pci), 0);
	assert_int_equal(get(0x1c), 0);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(A.rig.pci, s, NULL), 0);
	state_free(s);
	close(fd);
	pci_bus_resume(A.rig.pci);
	assert_int_equal(completion(1, NULL), 0);
	assert_int_equal(A.ram->host[0x80000], 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(moves_data, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(full_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_and_saved, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
