/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Console pipes: bounded, never blocking, reader coming and going. */
#include "base/base.h"
#include "base/clock.h"
#include "device/chr.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <cmocka.h>

static struct loop *loop;
static struct loop_timer stop;
static u8 got[1 << 20];
static size_t ngot, room;

static void on_stop(void *opaque)
{
	loop_stop(opaque);
}

static void spin(void)
{
	loop_timer_arm(&stop, clock_mono_ns() + 5000000);
	loop_run(loop);
}

static size_t on_recv(void *opaque, const u8 *buf, size_t bytes)
{
	size_t n = MIN(bytes, room);

	(void)opaque;
	memcpy(got + ngot, buf, n);
	ngot += n;
	room -= n;
	return n;
}

static int setup(void **state)
{
	(void)state;
	ngot = 0;
	room = sizeof(got);
	assert_int_equal(loop_new(&loop, NULL), 0);
	loop_timer_init(loop, &stop, on_stop, loop);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_timer_fini(&stop);
	loop_free(loop);
	return 0;
}

static size_t drain(int fd, u8 *buf, size_t cap)
{
	size_t n = 0;
	ssize_t r;

	while (n < cap && (r = read(fd, buf + n, cap - n)) > 0)
		n += (size_t)r;
	return n;
}

/* Single bytes leave together, soon. */
static void batches(void **state)
{
	int sv[2];
	struct chr *c;
	char buf[64];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv), 0);
	assert_int_equal(chr_new(&c, loop, sv[1], sv[1], NULL), 0);
	for (int i = 0; i < 10; i++)
		chr_write(c, "x", 1);
	assert_int_equal(read(sv[0], buf, sizeof(buf)), -1);
	spin();
	assert_int_equal(read(sv[0], buf, sizeof(buf)), 10); /* one message: one write */
	/* chr_flush does not need the loop */
	chr_write(c, "yz", 2);
	chr_flush(c, 0);
	assert_int_equal(read(sv[0], buf, sizeof(buf)), 2);
	chr_free(c);
	close(sv[0]);
	close(sv[1]);
}

/* Nobody reads: the writer goes on, memory stays, the newest bytes survive in order. */
static void bounded(void **state)
{
	int p[2];
	struct chr *c;
	static u8 buf[1 << 20];
	u32 i, total = 1 << 18;

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(chr_new(&c, loop, -1, p[1], NULL), 0);
	for (i = 0; i < total; i++)
		chr_write(c, &i, 4);
	spin();
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	size_t n = 0, r;
	/* all that the pipe held, then all that was queued */
	while (spin(), (r = drain(p[0], buf + n, sizeof(buf) - n)) > 0)
		n += r;
	assert_true(n >= 2 * 65536 - 4 && n < 4 * total);
	assert_int_equal(ld_le32(buf), 0);
	assert_int_equal(ld_le32(buf + n - 4), total - 1);
	chr_write(c, "end", 3);
	spin();
	assert_int_equal(drain(p[0], buf, sizeof(buf)), 3);
	chr_free(c);
	close(p[0]);
	close(p[1]);
}

static void reader_gone(void **state)
{
	int p[2];
	struct chr *c;

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(chr_new(&c, loop, -1, p[1], NULL), 0);
	close(p[0]);
	for (int i = 0; i < 100000; i++)
		chr_write(c, "abcdefgh", 8);
	spin();
	chr_write(c, "x", 1);
	spin();
	chr_flush(c, 1000); /* does not wait for what cannot be */
	chr_free(c);
	close(p[1]);
}

static void flow_control(void **state)
{
	int sv[2];
	struct chr *c;
	u8 big[20000];

	(void)state;
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (u8)(i * 7);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(chr_new(&c, loop, sv[1], sv[1], NULL), 0);
	assert_int_equal(write(sv[0], big, sizeof(big)), sizeof(big));
	spin(); /* before there is a receiver nothing is lost */
	room = 10;
	chr_set_recv(c, on_recv, NULL);
	spin();
	assert_int_equal(ngot, 10);
	spin();
	assert_int_equal(ngot, 10);
	room = 5000;
	chr_ready(c);
	spin();
	assert_int_equal(ngot, 5010);
	room = sizeof(got);
	chr_ready(c);
	spin();
	assert_int_equal(ngot, sizeof(big));
	assert_memory_equal(got, big, sizeof(big));
	/* the other end closes: quiet, no spinning */
	close(sv[0]);
	spin();
	struct timespec a, b;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (int i = 0; i < 20; i++)
		spin();
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	assert_true((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec < 50000000);
	chr_free(c);
	close(sv[1]);
}

/* A file as input is read to its end, though it cannot be polled. */
static void from_file(void **state)
{
	char path[] = "/tmp/mica-chr-XXXXXX";
	int fd = mkstemp(path), null = open("/dev/null", O_RDWR);
	struct chr *c;
	u8 big[100000];

	(void)state;
	memset(big, 'f', sizeof(big));
	assert_int_equal(write(fd, big, sizeof(big)), sizeof(big));
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(chr_new(&c, loop, fd, null, NULL), 0);
	chr_set_recv(c, on_recv, NULL);
	chr_write(c, "gone", 4);
	spin();
	spin();
	assert_int_equal(ngot, sizeof(big));
	chr_free(c);
	unlink(path);
	close(fd);
	close(null);
}

static int dial(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)sa, sizeof(*sa)), 0);
	return fd;
}

/* One client after the other; who comes sees what was said before; EPOLLHUP does not spin. */
static void listening(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int lfd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct chr *c;
	u8 buf[64];

	(void)state;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/mica-chr-%d.sock", getpid());
	unlink(sa.sun_path);
	assert_int_equal(bind(lfd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(lfd, 4), 0);
	assert_int_equal(chr_new_listen(&c, loop, lfd, NULL), 0);
	chr_set_recv(c, on_recv, NULL);
	chr_write(c, "early ", 6);
	spin();
	int a = dial(&sa);
	spin();
	assert_int_equal(read(a, buf, sizeof(buf)), 6);
	int b = dial(&sa); /* waits its turn */
	assert_int_equal(write(b, "B", 1), 1);
	assert_int_equal(write(a, "A", 1), 1);
	spin();
	assert_int_equal(ngot, 1);
	close(a);
	chr_write(c, "meanwhile", 9);
	spin();
	spin();
	assert_int_equal(ngot, 2);
	assert_memory_equal(got, "AB", 2);
	chr_write(c, "now", 3);
	spin();
	size_t n = drain(b, buf, sizeof(buf));
	assert_true(n >= 3);
	assert_memory_equal(buf + n - 3, "now", 3);
	close(b);
	spin();
	chr_free(c);
	unlink(sa.sun_path);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(batches), T(bounded), T(reader_gone), T(flow_control), T(from_file), T(listening),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
