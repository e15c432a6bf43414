/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_virtio_scsi.c - the SCSI adapter as a driver uses it: a disk and a CD-ROM at targets of their own, what commands
 * answer and how they fail, data with and without room, task management, hostile requests, saved state.
 */
#include "base/state.h"
#include "block/block.h"
#include "device/virtio/virtio_scsi.h"
#include "machine/pci.h"
#include "virtio_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define DISK 0
#define CD 1
#define NONE 2
#define DISK_BYTES (1 * MIB)
#define CD_BYTES (64 * KIB)
#define HEAD 0x40000u
#define RESP 0x41000u
#define OUT 0x42000u
#define IN 0x60000u
#define REQUESTQ 2

static struct virtio_rig G;
static struct ata_drive *drive[2];
static int image[2];
static struct device board; /* where the adapter is */

static struct ata_drive *new_drive(bool cd)
{
	struct blk_params p = {
		.path = cd ? "cd" : "disk", .readonly = cd, .format = "raw", .engine = BLK_ENGINE_POOL
	};
	struct device_args a = { .id = cd ? "cdrom0" : "disk0", .serial = cd ? "" : "S42" };
	struct ata_drive *d;
	struct err e;

	image[cd] = memfd_create("image", MFD_CLOEXEC);
	assert_int_equal(ftruncate(image[cd], cd ? CD_BYTES : DISK_BYTES), 0);
	p.fd = image[cd];
	assert_int_equal(blk_open(&a.blk, G.loop, &p, &e), 0);
	assert_int_equal(ata_drive_new(&d, "drive", cd, false, &a, &e), 0);
	d->scsi_disk = !cd;
	return d;
}

static void up(void)
{
	struct err e;

	virtio_rig_up(&G, 1 * MIB);
	virtio_rig_take(&G, virtio_scsi_new(G.ram, G.loop));
	for (unsigned i = 0; i < 2; i++) {
		drive[i] = new_drive(i);
		assert_int_equal(virtio_scsi_connect(G.dev, &board, drive[i], &e), 0);
	}
}

static int setup(void **state)
{
	up();
	virtio_rig_start(&G, 32, 0);
	return 0;
}

static int teardown(void **state)
{
	virtio_rig_down(&G);
	close(image[0]);
	close(image[1]);
	return 0;
}

struct answer {
	u8 status, response, key, asc, ascq;
	u32 resid, len;
};

static struct answer ask_lun(const u8 lun[8], const void *cdb, unsigned cdb_bytes, u32 out, u32 in)
{
	struct vdriver *v = &G.q[REQUESTQ];
	struct vdesc seg[4] = { { .addr = HEAD, .len = 19 + 32 } };
	u8 *p = G.ram->host + HEAD, *r = G.ram->host + RESP;
	unsigned nout = 1, nin = 1;
	struct answer a;
	u32 id;

	memset(p, 0, 19 + 32);
	memset(r, 0xee, 108);
	memcpy(p, lun, 8);
	memcpy(p + 19, cdb, cdb_bytes);
	if (out)
		seg[nout++] = (struct vdesc){ .addr = OUT, .len = out };
	seg[nout] = (struct vdesc){ .addr = RESP, .len = 108 };
	if (in)
		seg[nout + nin++] = (struct vdesc){ .addr = IN, .len = in };
	vd_add(v, seg, nout, nin);
	vd_kick(v);
	for (unsigned i = 0; i < 2; i++)
		blk_drain(drive[i]->blk);
	for (int i = 0; i < 100 && vd_used_idx(v) == v->seen_used; i++)
		virtio_rig_spin(&G);
	assert_true(vd_used(v, &id, &a.len));
	a.resid = ld_le32(r + 4);
	a.status = r[10];
	a.response = r[11];
	a.key = ld_le32(r) ? r[12 + 2] : 0;
	a.asc = ld_le32(r) ? r[12 + 12] : 0;
	a.ascq = ld_le32(r) ? r[12 + 13] : 0;
	return a;
}

static struct answer ask(unsigned target, const void *cdb, unsigned cdb_bytes, u32 out, u32 in)
{
	const u8 lun[8] = { 1, (u8)target, 0x40 };

	return ask_lun(lun, cdb, cdb_bytes, out, in);
}

#define ASK(target, out, in, ...) ask(target, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }), out, in)

static const u8 *in_data(void)
{
	return G.ram->host + IN;
}

static void attention_over(void)
{
	for (unsigned t = 0; t < 2; t++) {
		struct answer a = ASK(t, 0, 0, 0x00, 0, 0, 0, 0, 0);
		assert_int_equal(a.status, 2);
		assert_int_equal(a.key, 6); /* after power-on, once */
		assert_int_equal(a.asc, 0x29);
		a = ASK(t, 0, 0, 0x00, 0, 0, 0, 0, 0);
		assert_int_equal(a.status, 0);
		assert_int_equal(a.response, 0);
	}
}

static void test_what_they_are(void **state)
{
	struct answer a = ASK(DISK, 0, 96, 0x12, 0, 0, 0, 96, 0);

	assert_int_equal(a.status, 0);
	assert_int_equal(a.resid, 60);
	assert_int_equal(a.len, 108 + 36);
	assert_int_equal(in_data()[0], 0);
	assert_memory_equal(in_data() + 8, "Mica    disk", 12);
	ASK(CD, 0, 36, 0x12, 0, 0, 0, 36, 0);
	assert_int_equal(in_data()[0], 5);
	assert_int_equal(in_data()[1], 0x80);
	a = ASK(DISK, 0, 64, 0x12, 1, 0x80, 0, 64, 0);
	assert_int_equal(in_data()[3], 3);
	assert_memory_equal(in_data() + 4, "S42", 3);
	a = ASK(DISK, 0, 64, 0x12, 1, 0x83, 0, 64, 0);
	assert_memory_equal(in_data() + 8, "Mica    S42", 11);
	assert_int_equal(a.resid, 64 - 19);
	ASK(DISK, 0, 64, 0x12, 1, 0, 0, 64, 0);
	assert_memory_equal(in_data(), "\0\0\0\5\0\x80\x83\xb0\xb1", 9);
	a = ASK(DISK, 0, 64, 0x12, 1, 0xc0, 0, 64, 0); /* no such page */
	assert_int_equal(a.status, 2);
	assert_int_equal(a.key, 5);
	assert_int_equal(a.asc, 0x24);
	attention_over();
	for (unsigned t = 0; t < 2; t++) {
		a = ASK(t, 0, 16, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0);
		assert_int_equal(a.status, 0);
		assert_memory_equal(in_data(), "\0\0\0\10\0\0\0\0\0\0\0\0\0\0\0", 16);
	}
	ASK(DISK, 0, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_memory_equal(in_data(), "\0\0\7\xff\0\0\2\0", 8);
	ASK(CD, 0, 8, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_memory_equal(in_data(), "\0\0\0\x1f\0\0\x8\0", 8);
	ASK(DISK, 0, 32, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0);
	assert_memory_equal(in_data(), "\0\0\0\0\0\0\7\xff\0\0\2\0\0\3", 14);
	ASK(DISK, 0, 64, 0x1a, 0, 8, 0, 64, 0);
	assert_memory_equal(in_data(), "\x17\0\x10\0\x8\x12\4", 7); /* FUA, a write cache */
	ASK(CD, 0, 64, 0x1a, 0, 0x2a, 0, 64, 0);
	assert_int_equal(in_data()[0], 4 + 22 - 1);
	assert_int_equal(in_data()[4], 0x2a);
	a = ASK(DISK, 0, 64, 0x43, 0, 0, 0, 0, 0, 0, 0, 64, 0); /* a CD-ROM's */
	assert_int_equal(a.key, 5);
	assert_int_equal(a.asc, 0x20);
}

static void test_data(void **state)
{
	u8 *out = G.ram->host + OUT, got[1024];
	struct answer a;

	attention_over();
	for (unsigned i = 0; i < 2048; i++)
		out[i] = (u8)(i * 7 + 1);
	a = ASK(DISK, 1024, 0, 0x2a, 8, 0, 0, 0, 5, 0, 0, 2, 0); /* FUA */
	assert_int_equal(a.status, 0);
	assert_int_equal(a.resid, 0);
	assert_int_equal(pread(image[DISK], got, 1024, 5 * 512), 1024);
	assert_memory_equal(got, out, 1024);
	a = ASK(DISK, 0, 1024, 0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0);
	assert_int_equal(a.status, 0);
	assert_int_equal(a.len, 108 + 1024);
	assert_memory_equal(in_data(), out, 1024);
	memset(G.ram->host + IN, 0, 2048);
	ASK(DISK, 0, 512, 0x08, 0, 0, 6, 1, 0);
	assert_memory_equal(in_data(), out + 512, 512);
	ASK(DISK, 0, 512, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0);
	assert_memory_equal(in_data(), out, 512);
	ASK(DISK, 512, 0, 0xaa, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0);
	ASK(DISK, 0, 512, 0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0);
	assert_memory_equal(in_data(), out, 512);
	/* Less room than the command has data: whole sectors of it. */
	memset(G.ram->host + IN, 0xcc, 2048);
	a = ASK(DISK, 0, 612, 0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0);
	assert_int_equal(a.status, 0);
	assert_int_equal(a.resid, 100);
	assert_memory_equal(in_data(), out, 512);
	assert_int_equal(in_data()[512], 0xcc);
	/* More. */
	a = ASK(DISK, 0, 2048, 0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0);
	assert_int_equal(a.resid, 1024);
	/* None at all. */
	a = ASK(DISK, 0, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 2, 0);
	assert_int_equal(a.status, 0);
	/* Behind the end; the last sector. */
	a = ASK(DISK, 0, 512, 0x28, 0, 0, 0, 8, 0, 0, 0, 1, 0);
	assert_int_equal(a.key, 5);
	assert_int_equal(a.asc, 0x21);
	a = ASK(DISK, 0, 512, 0x28, 0, 0, 0, 7, 0xff, 0, 0, 1, 0);
	assert_int_equal(a.status, 0);
	a = ASK(DISK, 0, 0, 0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0);
	assert_int_equal(a.asc, 0x21);
	a = ASK(DISK, 0, 0, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_int_equal(a.status, 0);
	a = ASK(DISK, 0, 0, 0x2f, 0, 0, 0, 7, 0xff, 0, 0, 2, 0);
	assert_int_equal(a.asc, 0x21);
	/* A CD-ROM is not written. */
	a = ASK(CD, 512, 0, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0);
	assert_int_equal(a.asc, 0x20);
}

static void test_cdrom(void **state)
{
	u8 text[] = "a medium";
	struct answer a;
	struct err e;

	attention_over();
	assert_int_equal(pwrite(image[CD], text, sizeof(text), 2048), sizeof(text));
	a = ASK(CD, 0, 2048, 0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0);
	assert_int_equal(a.status, 0);
	assert_memory_equal(in_data(), text, sizeof(text));
	ASK(CD, 0, 0, 0x1e, 0, 0, 0, 1, 0); /* locked */
	assert_int_equal(ata_eject(&drive[CD]->dev, false, &e), -EBUSY);
	ASK(CD, 0, 0, 0x1e, 0, 0, 0, 0, 0);
	assert_int_equal(ata_eject(&drive[CD]->dev, false, &e), 0);
	a = ASK(CD, 0, 2048, 0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0);
	assert_int_equal(a.key, 2);
	assert_int_equal(a.asc, 0x3a);
	ata_insert(&drive[CD]->dev);
	a = ASK(CD, 0, 0, 0x00, 0, 0, 0, 0, 0);
	assert_int_equal(a.key, 6);
	assert_int_equal(a.asc, 0x28);
	a = ASK(CD, 0, 0, 0x00, 0, 0, 0, 0, 0);
	assert_int_equal(a.status, 0);
}

static void test_nobody_there(void **state)
{
	static const u8 luns[][8] = { { 1, NONE, 0x40 }, { 1, 200, 0x40 },  { 1, DISK, 0x40, 1 }, { 0xc1, 1 },
				      { 0, 0, 0 },       { 1, DISK, 0x80 }, { 1, DISK, 0, 0, 1 } };

	for (size_t i = 0; i < ARRAY_LEN(luns); i++) {
		struct answer a = ask_lun(luns[i], (const u8[]){ 0x12, 0, 0, 0, 36, 0 }, 6, 0, 36);
		assert_int_equal(a.response, 3);
		assert_int_equal(a.resid, 36);
	}
}

static u8 control(const void *head, u32 bytes, u32 answer)
{
	struct vdesc seg[] = { { .addr = HEAD, .len = bytes }, { .addr = RESP, .len = answer } };
	u32 id, len;

	memcpy(G.ram->host + HEAD, head, bytes);
	memset(G.ram->host + RESP, 0xee, 8);
	vd_add(&G.q[0], seg, 1, 1);
	vd_kick(&G.q[0]);
	assert_true(vd_used(&G.q[0], &id, &len));
	assert_int_equal(len, answer);
	return G.ram->host[RESP + answer - 1];
}

static void test_control(void **state)
{
	assert_int_equal(control("\0\0\0\0\5\0\0\0\1\0\x40\0\0\0\0\0\0\0\0\0\0\0\0", 24, 1), 0); /* LUN reset */
	assert_int_equal(control("\0\0\0\0\0\0\0\0\1\0\x40\0\0\0\0\0\0\0\0\0\0\0\0", 24, 1), 0); /* abort a task */
	assert_int_equal(control("\0\0\0\0\6\0\0\0\1\0\x40\0\0\0\0\0\0\0\0\0\0\0\0", 24, 1), 5); /* query a task */
	assert_int_equal(control("\1\0\0\0\1\0\x40\0\0\0\0\0\xff\xff\xff", 16, 5), 0);
	assert_int_equal(ld_le32(G.ram->host + RESP), 0);
	assert_int_equal(control("\x9\0\0\0\0\0\0", 8, 5), 5);
	attention_over(); /* it goes on */
}

static void test_hostile(void **state)
{
	struct vdesc small = { .addr = HEAD, .len = 20 };
	u32 size;

	vd_add(&G.q[REQUESTQ], &small, 1, 0);
	vd_kick(&G.q[REQUESTQ]);
	assert_true(G.dev->status & VIRTIO_S_NEEDS_RESET);
	virtio_rig_start(&G, 32, 0);
	attention_over();
	/* Sizes: those that cannot be are not taken, and a reset has the usual ones. */
	virtio_lock(G.dev);
	size = 300;
	G.dev->cls->cfg_write(G.dev, 20, &size, 4);
	G.dev->cls->cfg_write(G.dev, 24, &size, 4);
	G.dev->cls->cfg_read(G.dev, 20, &size, 4);
	assert_int_equal(size, 96);
	size = 16;
	G.dev->cls->cfg_write(G.dev, 24, &size, 4);
	size = 0;
	G.dev->cls->cfg_write(G.dev, 24, &size, 4);
	G.dev->cls->cfg_read(G.dev, 24, &size, 4);
	assert_int_equal(size, 16);
	size = 0;
	G.dev->cls->cfg_write(G.dev, 0, &size, 4);
	G.dev->cls->cfg_read(G.dev, 0, &size, 4);
	assert_int_equal(size, 1);
	virtio_unlock(G.dev);
	virtio_rig_start(&G, 32, 0);
	attention_over();
}

static void test_state(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	struct err e;

	attention_over();
	ASK(CD, 0, 0, 0x1e, 0, 0, 0, 1, 0);
	assert_true(virtio_quiesce(G.dev));
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	assert_int_equal(state_section(s, "virtio", 0, 1, &e), 0);
	virtio_lock(G.dev);
	virtio_state(G.dev, s);
	virtio_unlock(G.dev);
	assert_int_equal(state_end(s, &e), 0);
	state_free(s);
	struct vdriver q[RIG_QUEUES];
	memcpy(q, G.q, sizeof(q));
	u8 *ram = malloc(1 * MIB);
	memcpy(ram, G.ram->host, 1 * MIB);
	teardown(NULL);
	up();
	memcpy(G.ram->host, ram, 1 * MIB);
	free(ram);
	memcpy(G.q, q, sizeof(q));
	for (unsigned i = 0; i < RIG_QUEUES; i++)
		G.q[i].dev = G.dev;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, &e), 0);
	assert_int_equal(state_section(s, "virtio", 0, 1, &e), 0);
	assert_true(virtio_quiesce(G.dev));
	virtio_lock(G.dev);
	virtio_state(G.dev, s);
	virtio_unlock(G.dev);
	assert_int_equal(state_end(s, &e), 0);
	state_free(s);
	close(fd);
	virtio_resume(G.dev);
	virtio_rig_spin(&G);
	struct answer a = ASK(DISK, 0, 0, 0x00, 0, 0, 0, 0, 0); /* it was told of its start */
	assert_int_equal(a.status, 0);
	assert_int_equal(ata_eject(&drive[CD]->dev, false, &e), -EBUSY); /* still locked */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_what_they_are), T(test_data),    T(test_cdrom), T(test_nobody_there),
					    T(test_control),       T(test_hostile), T(test_state) };
	return cmocka_run_group_tests_name("virtio-scsi", tests, NULL, NULL);
}
