/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_virtio_state.c - virtio devices on PCI, saved in the middle of their work and loaded into new ones: the
 * driver, which lives in guest memory, sees no difference. And the serial port.
 */
#include "base/state.h"
#include "block/block.h"
#include "device/chr.h"
#include "device/uart.h"
#include "unit/machine/pci_rig.h"
#include "vdriver.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/mman.h>
#include <sys/socket.h>

#define DISK (1 * MIB)
#define RINGS 0x10000
#define BUF 0x80000
#define BLK_FEATURES (1ull << 9 | 1ull << 13 | 1ull << 14 | 1ull << VIRTIO_F_RING_EVENT_IDX)

enum { BLK, NET, CON, RNG, BALLOON, DEVICES };

struct vm {
	struct ram *ram;
	struct loop *loop;
	struct pci_rig r;
	struct virtio_dev *dev[DEVICES];
	struct chr *chr;
	int net_fd, con_fd;
};

static char img[64];

static void vm_up(struct vm *v, u64 disk_bytes, const char *path)
{
	static const u8 mac[6] = { 2, 0, 0, 0, 0, 7 };
	struct blk_params p = { .path = path };
	struct blk *blk;
	struct err e;
	int sv[2];

	memset(v, 0, sizeof(*v));
	assert_int_equal(ram_new(&v->ram, 4 * MIB, &e), 0);
	assert_int_equal(loop_new(&v->loop, &e), 0);
	pci_rig_up(&v->r);
	if (blk_open(&blk, v->loop, &p, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(virtio_blk_new(&v->dev[BLK], v->ram, v->loop, blk, 2, "s", &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	v->net_fd = sv[0];
	assert_int_equal(virtio_net_new(&v->dev[NET], v->ram, v->loop, sv[1], mac, &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	v->con_fd = sv[0];
	assert_int_equal(chr_new(&v->chr, v->loop, sv[1], sv[1], &e), 0);
	assert_int_equal(virtio_console_new(&v->dev[CON], v->ram, v->loop, v->chr, &e), 0);
	assert_int_equal(virtio_rng_new(&v->dev[RNG], v->ram, v->loop, &e), 0);
	assert_int_equal(virtio_balloon_new(&v->dev[BALLOON], v->ram, v->loop, &e), 0);
	for (unsigned i = 0; i < DEVICES; i++)
		assert_int_equal(virtio_pci_add(v->r.pci, v->dev[i], -1, NULL, &e), 0);
	assert_int_equal(pci_bus_assign(v->r.pci), 0);
}

static void vm_down(struct vm *v)
{
	pci_rig_down(&v->r);
	chr_free(v->chr);
	loop_free(v->loop);
	ram_free(v->ram);
	close(v->net_fd);
	close(v->con_fd);
}

static void stop(void *l)
{
	loop_stop(l);
}

static void turn(struct vm *v)
{
	for (int i = 0; i < 5; i++) {
		loop_post(v->loop, stop, v->loop);
		loop_run(v->loop);
	}
}

static void quiesce(struct vm *v)
{
	while (!pci_bus_quiesce(v->r.pci))
		turn(v);
}

/* What was begun is done. */
static void finish(struct vm *v)
{
	turn(v);
	quiesce(v);
	pci_bus_resume(v->r.pci);
	turn(v);
}

static int load(struct vm *to, int fd, struct err *e)
{
	struct state_file *s;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, e), 0);
	int r = pci_bus_quiesce(to->r.pci) ? pci_bus_devices_state(to->r.pci, s, e) : -EBUSY;
	if (r == 0)
		r = pci_bus_state(to->r.pci, s, e);
	state_free(s);
	return r;
}

static int save(struct vm *v)
{
	struct state_file *s;
	struct err e;
	int fd = memfd_create("state", MFD_CLOEXEC);

	quiesce(v);
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	assert_int_equal(pci_bus_devices_state(v->r.pci, s, &e), 0);
	assert_int_equal(pci_bus_state(v->r.pci, s, &e), 0);
	state_free(s);
	return fd;
}

/* State and memory of one into the other. */
static void move(struct vm *from, struct vm *to)
{
	struct err e;
	int fd = save(from);

	memcpy(to->ram->host, from->ram->host, from->ram->bytes);
	if (load(to, fd, &e) < 0)
		fail_msg("%s", e.msg);
	close(fd);
	pci_bus_resume(to->r.pci);
	turn(to);
}

static int up(void **state)
{
	strcpy(img, "/var/tmp/mica-vstate-XXXXXX");
	int fd = mkstemp(img);
	if (fd < 0 || ftruncate(fd, DISK) < 0)
		return -1;
	return close(fd);
}

static int down(void **state)
{
	return unlink(img);
}

/* Write `bytes` of `fill` at a sector; the header and status byte lie beside the data. */
static void add_write(struct vdriver *d, unsigned slot, u64 sector, u8 fill, u32 bytes)
{
	gpa_t at = BUF + slot * 0x4000ull;
	u8 *h = vd_ptr(d, at);

	st_le32(h, 1);
	st_le32(h + 4, 0);
	st_le64(h + 8, sector);
	h[16] = 0xee;
	memset(h + 0x1000, fill, bytes);
	struct vdesc seg[3] = { { at, 16 }, { at + 0x1000, bytes }, { at + 16, 1 } };
	vd_add(d, seg, 2, 1);
}

static unsigned reap(struct vdriver *d)
{
	u32 id, len;
	unsigned n = 0;

	while (vd_used(d, &id, &len))
		n++;
	return n;
}

/*
 * Requests are in flight when the state is saved: each is ended in the old device, exactly once, and what comes after
 * is the new device's, over the same ring, past its wrap.
 */
static void block(void **state)
{
	struct vm a, b;
	struct vdriver d;
	u8 got[2048];

	vm_up(&a, DISK, img);
	vd_init(&d, a.dev[BLK], 1, 16, RINGS);
	vd_start(a.dev[BLK], BLK_FEATURES);
	for (unsigned i = 0; i < 5; i++)
		add_write(&d, i, i * 4, (u8)(i + 1), 2048);
	vd_kick(&d);
	finish(&a);
	assert_int_equal(reap(&d), 5);
	/* Made available, and the driver had no time to notify. */
	for (unsigned i = 5; i < 8; i++)
		add_write(&d, i, i * 4, (u8)(i + 1), 2048);
	int fd = save(&a);
	/* The image is locked: the old VM ends before the new one begins. */
	u8 *memory = malloc(a.ram->bytes);
	memcpy(memory, a.ram->host, a.ram->bytes);
	assert_int_equal(a.dev[BLK]->queue[1].last_avail, 5);
	vm_down(&a);

	vm_up(&b, DISK, img);
	memcpy(b.ram->host, memory, b.ram->bytes);
	struct err e;
	if (load(&b, fd, &e) < 0)
		fail_msg("%s", e.msg);
	close(fd);
	pci_bus_resume(b.r.pci);
	d.dev = b.dev[BLK];
	finish(&b);
	assert_int_equal(reap(&d), 3);
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < 4; i++)
			add_write(&d, i, 100 + (round * 4 + i) * 4, (u8)(50 + round * 4 + i), 2048);
		vd_kick(&d);
		finish(&b);
		assert_int_equal(reap(&d), 4);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(vd_ptr(&d, BUF + i * 0x4000ull)[16], 0);
	}
	assert_int_equal(b.dev[BLK]->status & VIRTIO_S_NEEDS_RESET, 0);
	vm_down(&b);
	free(memory);

	int disk = open(img, O_RDONLY);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(pread(disk, got, 2048, i * 2048), 2048);
		for (unsigned k = 0; k < 2048; k++)
			assert_int_equal(got[k], i + 1);
	}
	assert_int_equal(pread(disk, got, 1, (100 + 23 * 4) * 512), 1);
	assert_int_equal(got[0], 50 + 23);
	close(disk);
}

/* A disk of another size is not the saved one. */
static void block_of_another_size(void **state)
{
	struct vm a, b;
	struct err e;
	char other[] = "/var/tmp/mica-vstate-XXXXXX";
	int o = mkstemp(other);

	assert_int_equal(ftruncate(o, 2 * DISK), 0);
	close(o);
	vm_up(&a, DISK, img);
	vm_up(&b, 2 * DISK, other);
	int fd = save(&a);
	assert_true(load(&b, fd, &e) < 0);
	assert_non_null(strstr(e.msg, "another size"));
	close(fd);
	vm_down(&a);
	vm_down(&b);
	unlink(other);
}

static void two(struct vm *a, struct vm *b, char *other)
{
	int o = mkstemp(other);

	assert_int_equal(ftruncate(o, DISK), 0);
	close(o);
	vm_up(a, DISK, img);
	vm_up(b, DISK, other);
}

static void net(void **state)
{
	char other[] = "/var/tmp/mica-vstate-XXXXXX";
	struct vm a, b;
	struct vdriver rx, tx;
	u8 frame[64], got[128];
	u32 id, len;

	two(&a, &b, other);
	vd_init(&rx, a.dev[NET], 0, 8, RINGS);
	vd_init(&tx, a.dev[NET], 1, 8, RINGS + 0x4000);
	vd_start(a.dev[NET], 1ull << 5 | 1ull << 15);
	for (unsigned i = 0; i < 4; i++) {
		struct vdesc seg = { BUF + i * 0x1000, 0x800 };
		vd_add(&rx, &seg, 0, 1);
	}
	vd_kick(&rx);
	turn(&a);
	memset(frame, 7, sizeof(frame));
	assert_int_equal(send(a.net_fd, frame, sizeof(frame), 0), sizeof(frame));
	turn(&a);
	assert_true(vd_used(&rx, &id, &len));
	assert_int_equal(len, 12 + 64);
	move(&a, &b);
	rx.dev = tx.dev = b.dev[NET];
	turn(&b);
	/* The buffers that the driver gave to the old device serve the new network. */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(send(b.net_fd, frame, sizeof(frame), 0), sizeof(frame));
		turn(&b);
		assert_true(vd_used(&rx, &id, &len));
		assert_int_equal(len, 12 + 64);
	}
	/* And it sends there. */
	memset(vd_ptr(&tx, BUF + 0x8000), 0, 12);
	memset(vd_ptr(&tx, BUF + 0x8000) + 12, 9, 60);
	struct vdesc seg = { BUF + 0x8000, 72 };
	vd_add(&tx, &seg, 1, 0);
	vd_kick(&tx);
	assert_int_equal(recv(b.net_fd, got, sizeof(got), MSG_DONTWAIT), 60);
	assert_int_equal(got[59], 9);
	assert_int_equal(recv(a.net_fd, got, sizeof(got), MSG_DONTWAIT), -1);
	vm_down(&a);
	vm_down(&b);
	unlink(other);
}

static void console_rng_balloon(void **state)
{
	char other[] = "/var/tmp/mica-vstate-XXXXXX";
	struct vm a, b;
	struct vdriver rx, tx, rng, inflate;
	char text[32];
	u32 id, len;

	two(&a, &b, other);
	vd_init(&rx, a.dev[CON], 0, 8, RINGS);
	vd_init(&tx, a.dev[CON], 1, 8, RINGS + 0x4000);
	vd_start(a.dev[CON], 0);
	vd_init(&rng, a.dev[RNG], 0, 8, RINGS + 0x8000);
	vd_start(a.dev[RNG], 0);
	vd_init(&inflate, a.dev[BALLOON], 0, 8, RINGS + 0xc000);
	vd_start(a.dev[BALLOON], 0);
	virtio_balloon_target(a.dev[BALLOON], 1 * MIB);
	struct vdesc seg = { BUF, 64 };
	vd_add(&rx, &seg, 0, 1);
	vd_kick(&rx);
	/* Added, not notified: the new device looks. */
	seg = (struct vdesc){ BUF + 0x1000, 100 };
	vd_add(&rng, &seg, 0, 1);
	memcpy(vd_ptr(&tx, BUF + 0x2000), "hello", 5);
	seg = (struct vdesc){ BUF + 0x2000, 5 };
	vd_add(&tx, &seg, 1, 0);

	move(&a, &b);
	rx.dev = tx.dev = b.dev[CON];
	rng.dev = b.dev[RNG];
	inflate.dev = b.dev[BALLOON];
	assert_true(vd_used(&rng, &id, &len));
	assert_int_equal(len, 100);
	chr_flush(b.chr, 1000);
	assert_int_equal(recv(b.con_fd, text, sizeof(text), 0), 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(send(b.con_fd, "typed", 5, 0), 5);
	turn(&b);
	assert_true(vd_used(&rx, &id, &len));
	assert_int_equal(len, 5);
	assert_memory_equal(vd_ptr(&rx, BUF), "typed", 5);
	/* The balloon's target is part of its configuration. */
	u8 cfg[8];
	virtio_lock(b.dev[BALLOON]);
	b.dev[BALLOON]->cls->cfg_read(b.dev[BALLOON], 0, cfg, 8);
	virtio_unlock(b.dev[BALLOON]);
	assert_int_equal(ld_le32(cfg), MIB / PAGE_BYTES);
	vm_down(&a);
	vm_down(&b);
	unlink(other);
}

static void features_that_are_not_offered(void **state)
{
	char other[] = "/var/tmp/mica-vstate-XXXXXX";
	struct vm a, b;
	struct err e;

	two(&a, &b, other);
	virtio_net_set_mtu(a.dev[NET], 9000);
	vd_start(a.dev[NET], 1ull << 3);
	assert_true(a.dev[NET]->status & VIRTIO_S_FEATURES_OK);
	int fd = save(&a);
	assert_true(load(&b, fd, &e) < 0);
	assert_non_null(strstr(e.msg, "does not offer"));
	close(fd);
	vm_down(&a);
	vm_down(&b);
	unlink(other);
}

/* Bytes in the receive FIFO, an interrupt that waits, the divisor latch. */
static bool wire;
static void set_wire(void *opaque, unsigned gsi, bool level)
{
	wire = level;
}

static void serial_port(void **state)
{
	struct irq_line irq = { .set = set_wire };
	struct bus *bus[2] = { bus_new(), bus_new() };
	struct uart *u[2];
	struct state_file *s;
	struct err e;
	int fd = memfd_create("state", MFD_CLOEXEC);

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(uart_new(&u[i], bus[i], 0x3f8, irq, NULL), 0);
	bus_pio_write(bus[0], 0x3fa, 1, 0x41); /* FIFO, trigger at 4 */
	bus_pio_write(bus[0], 0x3f9, 1, 1);
	bus_pio_write(bus[0], 0x3fc, 1, 0x1b); /* loop-back feeds it */
	for (unsigned i = 0; i < 3; i++)
		bus_pio_write(bus[0], 0x3f8, 1, 'a' + i);
	bus_pio_write(bus[0], 0x3ff, 1, 0x5a);
	bus_pio_write(bus[0], 0x3fc, 1, 0x0b);
	uart_break(u[0]);
	assert_true(wire);
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	assert_int_equal(uart_state(u[0], 0, s, &e), 0);
	state_free(s);
	wire = false;
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, &e), 0);
	assert_int_equal(uart_state(u[1], 0, s, &e), 0);
	state_free(s);
	close(fd);
	assert_true(wire);
	assert_int_equal(bus_pio_read(bus[1], 0x3fa, 1), 0xc4); /* three bytes and a break */
	assert_int_equal(bus_pio_read(bus[1], 0x3ff, 1), 0x5a);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(bus_pio_read(bus[1], 0x3f8, 1), 'a' + i);
	assert_int_equal(bus_pio_read(bus[1], 0x3fd, 1), 0xf1);
	assert_int_equal(bus_pio_read(bus[1], 0x3f8, 1), 0);
	assert_false(wire);
	assert_int_equal(bus_pio_read(bus[1], 0x3fd, 1), 0x60);
	for (unsigned i = 0; i < 2; i++) {
		uart_free(u[i]);
		bus_free(bus[i]);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		T(block),
		T(block_of_another_size),
		T(net),
		T(console_rng_balloon),
		T(features_that_are_not_offered),
		cmocka_unit_test(serial_port),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
