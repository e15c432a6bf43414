/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_virtio_fs.c - the file system device: a driver of our own at one side, the test as mica-share at the other. */
#include "base/log.h"
#include "base/state.h"
#include "share/share.h"
#include "virtio_rig.h"

#include <linux/fuse.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

#define AT 0x100000ull /* request i at AT + i * 4096, its reply 2048 behind it */

enum { HIPRIO, REQ };

static struct {
	struct virtio_rig v;
	int share;
	u8 buf[sizeof(struct share_msg) + SHARE_BODY_MAX];
} F;

static int up(void **state)
{
	int sv[2];

	virtio_rig_up(&F.v, 16 * MIB);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	F.share = sv[0];
	virtio_rig_take(&F.v, virtio_fs_new(F.v.ram, F.v.loop, sv[1], "work"));
	virtio_rig_start(&F.v, 256, 0);
	return 0;
}

static int down(void **state)
{
	virtio_rig_down(&F.v);
	close(F.share);
	return 0;
}

static void spin(void)
{
	loop_timer_arm(&F.v.stop, clock_mono_ns() + 1000000);
	loop_run(F.v.loop);
}

static void request(unsigned q, unsigned i, u32 opcode)
{
	struct fuse_in_header h = { .len = sizeof(h), .opcode = opcode, .unique = i, .nodeid = 1 };
	bool reply = opcode != FUSE_FORGET;
	struct vdesc d[2] = { { .addr = AT + i * 4096, .len = sizeof(h) },
			      { .addr = AT + i * 4096 + 2048, .len = 2048 } };

	memcpy(F.v.ram->host + AT + i * 4096, &h, sizeof(h));
	memset(F.v.ram->host + AT + i * 4096 + 2048, 0xee, 2048);
	vd_add(&F.v.q[q], d, 1, reply);
	vd_kick(&F.v.q[q]);
	spin();
}

/* What mica-share hears; its kind, 0: nothing. */
static u32 hear(struct share_msg *m, struct fuse_in_header *h)
{
	ssize_t n = recv(F.share, F.buf, sizeof(F.buf), MSG_DONTWAIT);

	if (n < (ssize_t)sizeof(*m))
		return 0;
	memcpy(m, F.buf, sizeof(*m));
	if (h)
		memcpy(h, F.buf + sizeof(*m), sizeof(*h));
	return m->kind;
}

static void say(const struct share_msg *m, const void *body, size_t n)
{
	memcpy(F.buf, m, sizeof(*m));
	memcpy(F.buf + sizeof(*m), body, n);
	assert_int_equal(send(F.share, F.buf, sizeof(*m) + n, 0), sizeof(*m) + n);
	spin();
}

static void tag(void **state)
{
	u8 cfg[40];

	F.v.dev->cls->cfg_read(F.v.dev, 0, cfg, sizeof(cfg));
	assert_string_equal((char *)cfg, "work");
	assert_int_equal(ld_le32(cfg + 36), 1);
}

static void first_reset(struct share_msg *m)
{
	assert_int_equal(hear(m, NULL), SHARE_RESET); /* the driver's own, at its beginning */
}

static void requests(void **state)
{
	struct share_msg m, m2;
	struct fuse_in_header h;
	u32 id, len;

	request(REQ, 1, FUSE_GETATTR);
	first_reset(&m);
	request(REQ, 2, FUSE_STATFS);
	assert_int_equal(hear(&m, &h), SHARE_FUSE);
	assert_true(h.unique == 1 && m.room == 2048);
	assert_int_equal(hear(&m2, &h), SHARE_FUSE);
	assert_int_equal(h.unique, 2);
	say(&m2, "second", 6);
	say(&m, "first", 5);
	assert_true(vd_used(&F.v.q[REQ], &id, &len) && len == 6);
	assert_memory_equal(F.v.ram->host + AT + 2 * 4096 + 2048, "second\xee", 7);
	assert_true(vd_used(&F.v.q[REQ], &id, &len) && len == 5);
	/* one without a reply is done at once; answers nobody waits for, and ones that are too long, do no harm */
	request(HIPRIO, 3, FUSE_FORGET);
	assert_true(vd_used(&F.v.q[HIPRIO], &id, &len) && len == 0);
	assert_int_equal(hear(&m2, &h), SHARE_FUSE);
	say(&m2, "nobody", 6);
	say(&m, "again", 5);
	m.ticket = ~0u;
	say(&m, "what", 4);
	request(REQ, 4, FUSE_READ);
	assert_int_equal(hear(&m, &h), SHARE_FUSE);
	static u8 much[8192];
	say(&m, much, sizeof(much));
	assert_true(vd_used(&F.v.q[REQ], &id, &len) && len == 2048);
	assert_int_equal(F.v.ram->host[AT + 5 * 4096], 0);
	assert_false(vd_used(&F.v.q[REQ], &id, &len));
}

static void resets(void **state)
{
	struct share_msg old, m;
	struct fuse_in_header h;
	u32 id, len;

	request(REQ, 1, FUSE_GETATTR);
	first_reset(&m);
	assert_int_equal(hear(&old, &h), SHARE_FUSE);
	virtio_rig_start(&F.v, 256, 0);
	say(&old, "late", 4);
	assert_false(vd_used(&F.v.q[REQ], &id, &len));
	request(REQ, 2, FUSE_GETATTR);
	assert_int_equal(hear(&m, &h), SHARE_RESET);
	assert_int_equal(hear(&m, &h), SHARE_FUSE);
	assert_true(m.ticket != old.ticket);
	say(&m, "now", 3);
	assert_true(vd_used(&F.v.q[REQ], &id, &len) && len == 3);
}

/* Nobody answers: so many are asked, the queue waits with the rest, and all get an error when mica-share ends. */
static void gone(void **state)
{
	struct share_msg m;
	struct fuse_in_header h;
	unsigned asked = 0, used = 0;
	u32 id, len;

	for (unsigned i = 0; i < 100; i++)
		request(REQ, i, FUSE_GETATTR);
	first_reset(&m);
	while (hear(&m, &h))
		asked++;
	assert_int_equal(asked, 64);
	close(F.share);
	log_level = LOG_LVL_ERROR;
	spin();
	while (vd_used(&F.v.q[REQ], &id, &len)) {
		assert_int_equal(len, sizeof(struct fuse_out_header));
		used++;
	}
	assert_int_equal(used, 100);
	const struct fuse_out_header *o = (void *)(F.v.ram->host + AT + 7 * 4096 + 2048);
	assert_true(o->error == -ENOTCONN && o->unique == 7);
	F.share = -1;
	assert_true(virtio_quiesce(F.v.dev));
}

static void saved(void **state)
{
	struct share_msg m, save;
	struct state_file *s;
	struct fuse_in_header h;
	struct err e;
	int file = memfd_create("state", 0);

	request(REQ, 1, FUSE_GETATTR);
	first_reset(&m);
	assert_int_equal(hear(&m, &h), SHARE_FUSE);
	assert_false(virtio_quiesce(F.v.dev)); /* one is in flight */
	assert_int_equal(hear(&save, NULL), 0);
	say(&m, "done", 4);
	assert_false(virtio_quiesce(F.v.dev));
	assert_int_equal(hear(&save, NULL), SHARE_SAVE);
	assert_false(virtio_quiesce(F.v.dev));
	say(&save, "what is known", 13);
	assert_true(virtio_quiesce(F.v.dev));
	assert_int_equal(state_save_new(&s, file, &e), 0);
	assert_int_equal(state_section(s, "virtio", 0, 1, &e), 0);
	virtio_state(F.v.dev, s);
	assert_int_equal(state_end(s, &e) | state_finish(s, &e), 0);
	state_free(s);
	lseek(file, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, file, &e), 0);
	assert_int_equal(state_section(s, "virtio", 0, 1, &e), 0);
	virtio_state(F.v.dev, s);
	assert_int_equal(state_end(s, &e), 0);
	state_free(s);
	assert_int_equal(hear(&m, NULL), SHARE_LOAD);
	assert_memory_equal(F.buf + sizeof(m), "what is known", 13);
	/* the next time it is asked anew, and an old answer is none */
	virtio_resume(F.v.dev);
	spin();
	assert_false(virtio_quiesce(F.v.dev));
	say(&save, "old", 3);
	assert_false(virtio_quiesce(F.v.dev));
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tag, up, down),    cmocka_unit_test_setup_teardown(requests, up, down),
		cmocka_unit_test_setup_teardown(resets, up, down), cmocka_unit_test_setup_teardown(gone, up, down),
		cmocka_unit_test_setup_teardown(saved, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
