/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_blk_stack.c - disks as stacks: a disk that completes from a thread of its own, layers put on top of a disk in
 * use, pauses, formats and their options, and a data path on which nothing is allocated.
 */
#include "base/clock.h"
#include "block/format.h"
#include "blk_net.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DISK (4 * MIB)

static struct loop *L;
static char dir[64], img[96];

/* Linked with --wrap for each: what the libraries under test allocate while `counting`. */
static bool counting;
static unsigned allocations;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
static void count(void)
{
	if (__atomic_load_n(&counting, __ATOMIC_RELAXED))
		__atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
}
void *__wrap_malloc(size_t n)
{
	count();
	return __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t m)
{
	count();
	return __real_calloc(n, m);
}
void *__wrap_realloc(void *p, size_t n)
{
	count();
	return __real_realloc(p, n);
}

static void make_image(u64 bytes, u8 fill)
{
	int fd = open(img, O_RDWR | O_CREAT | O_TRUNC, 0600);
	auto_free u8 *b = malloc(bytes);

	memset(b, fill, bytes);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, b, bytes, 0), bytes);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/var/tmp/mica-blk-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(img, sizeof(img), "%s/disk.img", dir);
	net_disk_bytes = DISK;
	assert_int_equal(loop_new(&L, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(img);
	rmdir(dir);
	loop_free(L);
	return 0;
}

static struct blk *open_net(void)
{
	struct blk_params p = { .path = "net:" };
	struct blk *b;

	assert_int_equal(blk_open_format(&b, L, &net_format, &p, NULL), 0);
	return b;
}

static struct blk *open_raw(enum blk_engine kind)
{
	struct blk_params p = { .path = img, .format = "raw", .engine = kind };
	struct blk *b;

	assert_int_equal(blk_open(&b, L, &p, NULL), 0);
	return b;
}

static void on_done(struct blk_req *r, int res)
{
	*(int *)r->opaque = res;
}

/* Nobody runs the loop: blk_drain() completes. */
static int io(struct blk *b, enum blk_op op, u64 off, u64 bytes, struct iovec *iov, unsigned niov)
{
	int res = 1;
	struct blk_req r = { .op = op, .off = off, .bytes = bytes, .iov = iov, .niov = niov };

	r.done = on_done;
	r.opaque = &res;
	blk_submit(b, &r);
	blk_drain(b);
	assert_int_not_equal(res, 1);
	assert_true(r.op == op && r.off == off && r.bytes == bytes && r.iov == iov && r.niov == niov);
	return res;
}

static u32 seed = 1;
static u32 rnd(u32 n)
{
	seed = seed * 1664525u + 1013904223u;
	return (u32)((u64)(seed >> 4) * n >> 28);
}

/* Random requests of odd pieces against a model. */
static void against_model(struct blk *b, u8 *model, unsigned rounds)
{
	auto_free u8 *buf = malloc(DISK);

	for (unsigned i = 0; i < rounds; i++) {
		u64 off = rnd(DISK / 512 - 1), n = 1 + rnd((u32)MIN(DISK / 512 - off, 200u)), pos = 0;
		struct iovec iov[16];
		unsigned niov = 0, what = rnd(4);
		off *= 512;
		n *= 512;
		while (pos < n) {
			u64 k = 1 + rnd((u32)n);
			k = niov == 15 ? n - pos : MIN(n - pos, k);
			iov[niov++] = (struct iovec){ buf + pos, k };
			pos += k;
		}
		if (what < 2) {
			memset(buf, 0xa5, n);
			assert_int_equal(io(b, BLK_READ, off, n, iov, niov), 0);
			assert_memory_equal(buf, model + off, n);
		} else if (what == 2) {
			for (u64 j = 0; j < n; j++)
				buf[j] = (u8)rnd(256);
			memcpy(model + off, buf, n);
			assert_int_equal(io(b, BLK_WRITE, off, n, iov, niov), 0);
		} else {
			memset(model + off, 0, n);
			assert_int_equal(io(b, BLK_WRITE_ZEROES, off, n, NULL, 0), 0);
		}
	}
	struct iovec all = { buf, DISK };
	assert_int_equal(io(b, BLK_READ, 0, DISK, &all, 1), 0);
	assert_memory_equal(buf, model, DISK);
}

static void on_drained(void *opaque)
{
	++*(unsigned *)opaque;
	loop_stop(L);
}

/* Put a layer on top while nobody else uses the disk. */
static int push(struct blk *b, const struct blk_params *p, struct err *e)
{
	unsigned told = 0;
	struct blk_pause pause = { on_drained, &told };

	blk_pause(b, &pause);
	loop_run(L);
	assert_int_equal(told, 1);
	int rc = blk_push_layer(b, p, e);
	blk_resume(b, &pause);
	return rc;
}

/* ---- a disk behind a thread ---- */

static void test_net(void **state)
{
	auto_free u8 *model = calloc(1, DISK);
	const struct blk_params over = { 0 };
	struct blk *b = open_net();
	struct err e;

	(void)state;
	against_model(b, model, 300);
	for (unsigned i = 0; i < 3; i++) {
		auto_free u8 *was = malloc(DISK);
		memcpy(was, net_disk->data, DISK);
		assert_int_equal(push(b, &over, &e), 0);
		assert_true(blk_is_snapshot(b));
		against_model(b, model, 300);
		assert_memory_equal(net_disk->data, was, DISK); /* what is below does not change */
	}
	blk_close(b);
}

static void test_net_errors(void **state)
{
	u8 buf[4096];
	struct iovec iov = { buf, sizeof(buf) };
	const struct blk_params over = { 0 };
	struct blk *b = open_net();

	(void)state;
	__atomic_store_n(&net_disk->fail, -EIO, __ATOMIC_SEQ_CST);
	assert_int_equal(io(b, BLK_READ, 0, 4096, &iov, 1), -EIO);
	assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	assert_int_equal(blk_errors(b), 2);
	assert_int_equal(push(b, &over, NULL), 0);
	assert_int_equal(io(b, BLK_WRITE, 512, 1024, &(struct iovec){ buf, 1024 }, 1), 0);
	/* Half of it lies below, where all fails. A flush goes there, too. */
	assert_int_equal(io(b, BLK_READ, 0, 4096, &iov, 1), -EIO);
	assert_int_equal(io(b, BLK_READ, 512, 1024, &(struct iovec){ buf, 1024 }, 1), 0);
	assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	__atomic_store_n(&net_disk->fail, 0, __ATOMIC_SEQ_CST);
	assert_int_equal(io(b, BLK_READ, 0, 4096, &iov, 1), 0);
	assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL, 0), 0);
	blk_close(b);
}

static unsigned ok, cancelled;
static void count_done(struct blk_req *r, int res)
{
	(void)r;
	must(res == 0 || res == -ECANCELED);
	ok += res == 0;
	cancelled += res == -ECANCELED;
}

static void test_net_cancel(void **state)
{
	enum { N = 100 };
	auto_free struct blk_req *r = calloc(N, sizeof(*r));
	u8 buf[512];
	struct iovec iov = { buf, 512 };
	struct blk *b = open_net();

	(void)state;
	net_disk->delay_us = 50000;
	ok = cancelled = 0;
	u64 began = clock_mono_ns();
	for (unsigned i = 0; i < N; i++) {
		r[i] = (struct blk_req){ .op = BLK_READ, .bytes = 512, .iov = &iov, .niov = 1, .done = count_done };
		blk_submit(b, &r[i]);
	}
	blk_cancel(b);
	assert_int_equal(ok + cancelled, N);
	assert_true(cancelled >= N - 2 && clock_mono_ns() - began < 2 * NSEC_PER_SEC);
	assert_int_equal(blk_errors(b), 0);
	net_disk->delay_us = 0;
	assert_int_equal(io(b, BLK_READ, 0, 512, &iov, 1), 0);
	blk_close(b);
}

/* ---- under load ---- */

struct load {
	struct blk *b;
	pthread_mutex_t lock; /* the client's */
	pthread_cond_t ended;
	unsigned inflight;
	bool stop;
	u64 n; /* done */
	unsigned wrong;
};

#define LOAD_DEPTH 16
#define LOAD_BLOCK 8192u
struct load_req {
	struct blk_req r;
	struct load *l;
	struct iovec iov[2];
	u8 buf[LOAD_BLOCK], version;
	bool busy;
};

static void load_begin(void *opaque)
{
	pthread_mutex_lock(&((struct load *)opaque)->lock);
}

static void load_end(void *opaque)
{
	pthread_mutex_unlock(&((struct load *)opaque)->lock);
}

static void load_done(struct blk_req *r, int res)
{
	struct load_req *q = container_of(r, struct load_req, r);
	struct load *l = q->l;

	l->wrong += res != 0;
	if (r->op == BLK_READ)
		for (unsigned i = 0; i < LOAD_BLOCK; i++)
			l->wrong += q->buf[i] != q->version;
	q->busy = false;
	l->n++;
	pthread_cond_signal(&l->ended);
}

/* Each slot writes its own block and reads it back at once, version after version. */
static void *load_thread(void *arg)
{
	static struct load_req slot[LOAD_DEPTH];
	struct load *l = arg;

	memset(slot, 0, sizeof(slot));
	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; !l->stop; i = (i + 1) % LOAD_DEPTH) {
		struct load_req *q = &slot[i];
		while (q->busy)
			pthread_cond_wait(&l->ended, &l->lock);
		enum blk_op op = q->r.op == BLK_WRITE ? BLK_READ : BLK_WRITE;
		blk_req_init(&q->r, load_done);
		if (op == BLK_WRITE)
			memset(q->buf, ++q->version, LOAD_BLOCK);
		else
			memset(q->buf, 0xee, LOAD_BLOCK);
		q->iov[0] = (struct iovec){ q->buf, 700 };
		q->iov[1] = (struct iovec){ q->buf + 700, LOAD_BLOCK - 700 };
		q->r.op = op;
		q->r.off = i * 3ull * LOAD_BLOCK + 512;
		q->r.bytes = LOAD_BLOCK;
		q->r.iov = q->iov;
		q->r.niov = 2;
		q->l = l;
		q->busy = true;
		blk_plug(l->b);
		blk_submit(l->b, &q->r);
		blk_unplug(l->b);
	}
	for (unsigned i = 0; i < LOAD_DEPTH; i++)
		while (slot[i].busy)
			pthread_cond_wait(&l->ended, &l->lock);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* On the loop: a layer after the other, with requests in flight. */
struct builder {
	struct load *l;
	struct blk_pause pause;
	struct loop_timer next;
	unsigned layers;
	u64 asked_ns, longest_ns;
};

static void builder_drained(void *opaque)
{
	struct builder *u = opaque;
	const struct blk_params over = { 0 };

	u->longest_ns = MAX(u->longest_ns, clock_mono_ns() - u->asked_ns);
	must(blk_push_layer(u->l->b, &over, NULL) == 0);
	blk_resume(u->l->b, &u->pause);
	loop_timer_arm(&u->next, clock_mono_ns() + 30000000);
	if (++u->layers == 8)
		loop_stop(L);
}

static void builder_next(void *opaque)
{
	struct builder *u = opaque;

	u->asked_ns = clock_mono_ns();
	blk_pause(u->l->b, &u->pause);
}

static void layers_under_load(struct blk *b)
{
	struct load l = { .b = b };
	struct builder u = { .l = &l, .pause = { builder_drained, &u } };
	const struct blk_client c = { load_begin, load_end, &l };
	pthread_t t;

	pthread_mutex_init(&l.lock, NULL);
	pthread_cond_init(&l.ended, NULL);
	blk_set_client(b, &c);
	loop_timer_init(L, &u.next, builder_next, &u);
	loop_timer_arm(&u.next, 0);
	pthread_create(&t, NULL, load_thread, &l);
	loop_run(L);
	pthread_mutex_lock(&l.lock);
	l.stop = true;
	pthread_mutex_unlock(&l.lock);
	for (bool over = false; !over;) {
		over = pthread_tryjoin_np(t, NULL) == 0;
		blk_drain(b);
	}
	loop_timer_fini(&u.next);
	assert_int_equal(u.layers, 8);
	assert_int_equal(l.wrong, 0);
	assert_true(l.n > 100);
	blk_set_client(b, &(struct blk_client){ 0 });
	/* What was written through all these layers is there. */
	u8 last[LOAD_BLOCK], was = 0;
	for (unsigned i = 0; i < LOAD_DEPTH; i++) {
		struct iovec iov = { last, LOAD_BLOCK };
		assert_int_equal(io(b, BLK_READ, i * 3ull * LOAD_BLOCK + 512, LOAD_BLOCK, &iov, 1), 0);
		was = last[0];
		for (unsigned k = 1; k < LOAD_BLOCK; k++)
			assert_int_equal(last[k], was);
	}
}

static void test_layers_under_load(void **state)
{
	(void)state;
	for (int k = BLK_ENGINE_AUTO; k <= BLK_ENGINE_POOL; k += BLK_ENGINE_POOL) {
		make_image(DISK, 0);
		struct blk *b = open_raw((enum blk_engine)k);
		layers_under_load(b);
		blk_close(b);
	}
	struct blk *b = open_net();
	net_disk->delay_us = 100;
	layers_under_load(b);
	blk_close(b);
}

/* ---- pauses ---- */

static u64 told_ns;
static void note_drained(void *opaque)
{
	told_ns = clock_mono_ns();
	*(bool *)opaque = true;
}

static void stop_loop(void *opaque)
{
	(void)opaque;
	loop_stop(L);
}

static void run_for(u64 ns)
{
	struct loop_timer t;

	loop_timer_init(L, &t, stop_loop, NULL);
	loop_timer_arm(&t, clock_mono_ns() + ns);
	loop_run(L);
	loop_timer_fini(&t);
}

static void test_pause(void **state)
{
	u8 buf[512];
	struct iovec iov = { buf, 512 };
	bool a_told = false, b_told = false;
	struct blk_pause a = { note_drained, &a_told }, c = { note_drained, &b_told };
	struct blk_req r[3];
	int res[3] = { 1, 1, 1 };
	struct loop_stats stats;
	struct blk *b = open_net();

	(void)state;
	net_disk->delay_us = 200000;
	for (unsigned i = 0; i < 3; i++)
		r[i] = (struct blk_req){
			.op = BLK_READ, .bytes = 512, .iov = &iov, .niov = 1, .done = on_done, .opaque = &res[i]
		};
	blk_submit(b, &r[0]);
	u64 began = clock_mono_ns();
	blk_pause(b, &a);
	blk_pause(b, &c);
	assert_true(clock_mono_ns() - began < 100000000); /* asks and goes on */
	blk_submit(b, &r[1]);
	run_for(50000000);
	assert_false(a_told || b_told);
	assert_int_equal(res[0], 1);
	run_for(300000000);
	assert_true(a_told && b_told && told_ns - began > 150000000);
	loop_get_stats(L, &stats);
	assert_true(stats.longest_cpu_ns < 50000000);
	assert_int_equal(res[0], 0);
	/* Held until both have let go; what a pause holds back is not drained. */
	blk_drain(b);
	blk_resume(b, &a);
	run_for(20000000);
	assert_true(res[1] == 1 && net_disk->answers == 1);
	blk_submit(b, &r[2]);
	net_disk->delay_us = 0;
	blk_resume(b, &c);
	blk_drain(b);
	assert_true(res[1] == 0 && res[2] == 0);
	/* Of one that is over nobody is told; cancelling ends what is held. */
	a_told = false;
	blk_pause(b, &a);
	blk_resume(b, &a);
	run_for(10000000);
	assert_false(a_told);
	blk_pause(b, &a);
	res[0] = 1;
	blk_submit(b, &r[0]);
	blk_cancel(b);
	assert_int_equal(res[0], -ECANCELED);
	run_for(10000000);
	assert_true(a_told);
	blk_resume(b, &a);
	assert_int_equal(io(b, BLK_READ, 0, 512, &iov, 1), 0);
	blk_close(b);
}

/* ---- stacks ---- */

static void test_too_many_layers(void **state)
{
	const struct blk_params over = { 0 };
	struct err e;
	unsigned n = 1;

	(void)state;
	make_image(DISK, 7);
	struct blk *b = open_raw(BLK_ENGINE_AUTO);
	while (push(b, &over, &e) == 0)
		n++;
	assert_int_equal(n, BLK_LAYERS_MAX);
	assert_int_equal(e.code, ENOSPC);
	assert_non_null(strstr(e.msg, "16 layers"));
	/* As deep as can be: it works, and the refused layer changed nothing. */
	u8 buf[2048];
	struct iovec iov = { buf, sizeof(buf) };
	memset(buf, 9, sizeof(buf));
	assert_int_equal(io(b, BLK_WRITE, 512, 512, &(struct iovec){ buf, 512 }, 1), 0);
	assert_int_equal(io(b, BLK_READ, 0, sizeof(buf), &iov, 1), 0);
	assert_true(buf[0] == 7 && buf[512] == 9 && buf[1023] == 9 && buf[1024] == 7);
	assert_int_equal(push(b, &(struct blk_params){ .format = "raw" }, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "overlay"));
	blk_close(b);
}

/* Another top, and back again: as a mirror ends, or a snapshot is given up. */
static void test_swap_top(void **state)
{
	bool told = false;
	struct blk_pause pause = { note_drained, &told };
	const struct blk_params over = { 0 };
	u8 buf[512] = { 5 };
	struct iovec iov = { buf, 512 };

	(void)state;
	make_image(DISK, 7);
	struct blk *b = open_raw(BLK_ENGINE_AUTO);
	struct blk_node *base = blk_top(b);
	assert_int_equal(push(b, &over, NULL), 0);
	assert_int_equal(io(b, BLK_WRITE, 0, 512, &iov, 1), 0);
	blk_pause(b, &pause);
	run_for(10000000);
	assert_true(told);
	struct blk_node *layer = blk_swap_top(b, base);
	layer->child[0] = NULL;
	node_close(layer);
	blk_resume(b, &pause);
	assert_false(blk_is_snapshot(b));
	assert_int_equal(io(b, BLK_READ, 0, 512, &iov, 1), 0);
	assert_int_equal(buf[0], 7);
	blk_close(b);
}

/* ---- nothing is allocated ---- */

static void requests(struct blk *b, u8 *buf)
{
	struct iovec iov[3] = { { buf, 512 }, { buf + 512, 3 * MIB }, { buf + 512 + 3 * MIB, MIB - 512 } };

	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(io(b, BLK_WRITE, 512 * i * 5, 1024, &(struct iovec){ buf, 1024 }, 1), 0);
		assert_int_equal(io(b, BLK_READ, 0, 4 * MIB, iov, 3), 0); /* in many runs, and in pieces */
		assert_int_equal(io(b, BLK_WRITE_ZEROES, 512 * 900 + 1024 * i, 512, NULL, 0), 0);
		assert_int_equal(io(b, BLK_DISCARD, 512 * 2000 + 1024 * i, 512, NULL, 0), 0);
		assert_int_equal(io(b, BLK_FLUSH, 0, 0, NULL, 0), 0);
		assert_int_equal(io(b, BLK_READ, DISK, 512, iov, 1), -EINVAL);
		blk_plug(b);
		blk_unplug(b);
	}
	blk_cancel(b);
}

static void test_nothing_is_allocated(void **state)
{
	const struct blk_params over = { 0 };
	auto_free u8 *buf = calloc(1, 5 * MIB);
	unsigned told;
	struct blk_pause pause = { on_drained, &told };

	(void)state;
	for (int k = BLK_ENGINE_AUTO; k <= BLK_ENGINE_POOL; k += BLK_ENGINE_POOL) {
		make_image(DISK, 0);
		struct blk *b = open_raw((enum blk_engine)k);
		assert_int_equal(blk_start_threads(NULL), 0);
		allocations = 0;
		counting = true;
		free(xcalloc(1, 1));
		counting = false;
		assert_int_equal(allocations, 1); /* it would be seen */
		for (unsigned layers = 0; layers < 3; layers++) {
			allocations = 0;
			counting = true;
			requests(b, buf);
			blk_pause(b, &pause);
			blk_resume(b, &pause);
			counting = false;
			assert_int_equal(allocations, 0);
			assert_int_equal(push(b, &over, NULL), 0);
		}
		blk_close(b);
	}
}

/* ---- formats ---- */

static void refused(const struct blk_params *p, int code, const char *word)
{
	struct blk *b;
	struct err e = { 0 };

	assert_int_equal(blk_open(&b, L, p, &e), -code);
	if (e.code != code || !strstr(e.msg, word) || !strstr(e.msg, img))
		fail_msg("'%s' not in: %s", word, e.msg);
}

static void test_formats(void **state)
{
	static const struct {
		unsigned at, n;
		const char *magic, *name;
	} signs[] = {
		{ 0, 4, "QFI\xfb", "QEMU" },
		{ 0, 16, "WithoutFreeSpace", "Parallels" },
		{ 0, 4, "KDMV", "VMware" },
		{ 0, 8, "vhdxfile", "Hyper-V" },
		{ 0, 8, "conectix", "VHD" },
		{ 0, 21, "# Disk DescriptorFile", "VMDK" },
		{ 0x40, 4, "\x7f\x10\xda\xbe", "VirtualBox" },
	};
	struct blk_params p = { .path = img };
	struct blk_option o[2] = { { "direct", "maybe" }, { "frob", "on" } };
	struct blk *b;

	(void)state;
	setenv("MICA_HELPER_DIR", "/nonexistent", 1);
	for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
		make_image(4096, 0);
		int fd = open(img, O_WRONLY);
		assert_int_equal(pwrite(fd, signs[i].magic, signs[i].n, signs[i].at), signs[i].n);
		close(fd);
		/* A process is to open it, of which there is none here. */
		struct err e = { 0 };
		p.format = NULL;
		assert_int_equal(blk_open(&b, L, &p, &e), -ENOENT);
		assert_non_null(strstr(e.msg, "mica-image"));
		/* And in a VM that runs there can be none. */
		p.alone = true;
		refused(&p, ENOTSUP, signs[i].name);
		fd = p.fd = open(img, O_RDWR);
		refused(&p, ENOTSUP, signs[i].name);
		close(fd);
		p.fd = 0;
		p.format = "raw"; /* meant as it is */
		assert_int_equal(blk_open(&b, L, &p, NULL), 0);
		assert_string_equal(blk_format_of(b), "raw");
		blk_close(b);
		p.alone = false;
	}
	/* A sign at the end counts only with the name: the end of a raw disk is the guest's. */
	u8 head[BLK_PROBE_BYTES] = { 0 }, tail[BLK_PROBE_BYTES] = "conectix";
	assert_null(blk_format_probe("disk.img", head, sizeof(head), tail));
	assert_null(blk_format_probe("disk.vhd", head, sizeof(head), NULL));
	assert_ptr_equal(blk_format_probe("disk.VHD", head, sizeof(head), tail), blk_format_find("vpc"));
	p.format = "qcow3";
	refused(&p, EINVAL, "known: raw, qcow2, vmdk");
	p.format = "overlay";
	refused(&p, EINVAL, "known: raw");
	p.format = "raw";
	p.options = o;
	p.noptions = 1;
	refused(&p, EINVAL, "direct=maybe");
	p.noptions = 2;
	refused(&p, EINVAL, "has no option 'frob'; it has: direct=on|off");
	o[0].value = "off";
	p.noptions = 1;
	assert_int_equal(blk_open(&b, L, &p, NULL), 0);
	blk_close(b);
	/* Each row says what a person needs to know. */
	for (unsigned i = 0; blk_format_at(i); i++) {
		const struct blk_format *f = blk_format_at(i);
		assert_true(f->name && f->title && (f->open || f->probe));
		assert_ptr_equal(blk_format_find(f->name), f);
		for (const struct blk_format_option *x = f->options; x && x->name; x++)
			assert_true(x->values && x->help);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_net),     T(test_net_errors),      T(test_net_cancel), T(test_layers_under_load),
		T(test_pause),   T(test_too_many_layers), T(test_swap_top),   T(test_nothing_is_allocated),
		T(test_formats),
	};
	return cmocka_run_group_tests_name("blk_stack", tests, NULL, NULL);
}
