/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct_extents.c - direct execution on memory that moves, becomes read-only, or is taken away (base/ram.h),
 * while the vCPU rests and while its runner runs. User code at one address all the time; what it meets there is what
 * the table of extents says.
 */
#include "direct_rig.h"

#include <pthread.h>

#define WINDOW 0x4000000ull /* guest physical, outside of RAM */
#define PAGES 4u
#define PIECE(n) FRAME(600 + 16 * (n)) /* of the file: RAM that the window shows as well */
#define BUS_VALUE 0x5151515151515151ull

static int window = -1;
static _Atomic u64 bus_writes;

static void (*device)(struct rig *); /* what the bus does at a write to the window */

static u64 window_read(void *o, unsigned cpu, gpa_t gpa, unsigned bytes)
{
	return BUS_VALUE;
}
static void window_write(void *o, unsigned cpu, gpa_t gpa, unsigned bytes, u64 v)
{
	if (gpa - WINDOW >= PAGES * PAGE_BYTES)
		return;
	bus_writes++;
	if (device)
		device(o);
}

/* piece < 0: nothing is there. */
static void show(struct rig *r, int piece, bool readonly)
{
	struct ram_extent x = { .name = "window", .gpa = WINDOW, .bytes = PAGES * PAGE_BYTES, .readonly = readonly };

	if (window >= 0)
		ram_remove(r->ram, window);
	window = -1;
	if (piece >= 0) {
		x.off = PIECE(piece);
		window = ram_add(r->ram, &x, NULL);
		assert_true(window >= 0);
	}
}

/* By whoever is no vCPU: at rest or not. */
static void commit(struct rig *r)
{
	assert_int_equal(cpu_vm_commit_ram(r->vm, NULL), 0);
}

static struct rig *open_window(bool direct)
{
	bus.mmio_read = window_read;
	bus.mmio_write = window_write;
	window = -1;
	bus_writes = 0;
	struct rig *r = open_rig("mica-v2", 1, direct);
	for (unsigned i = 0; i < PAGES; i++)
		map(r, 0, DATA + 0x1000 * i, WINDOW + 0x1000 * i, P | W | U | A | D);
	return r;
}

/* ---- at rest: directly and interpreted alike ---- */

static void do_at_rest(struct rig *r)
{
	struct frame *f;

	for (unsigned i = 0; i < PAGES; i++) {
		set64(r, PIECE(0) + 0x1000 * i, 0xa0 + i);
		set64(r, PIECE(1) + 0x1000 * i, 0xb0 + i);
	}
	show(r, 0, false);
	commit(r);
	f = enter(r, 0, 0, user(u_mix));
	f->rbp = 3;
	go(r, 0);
	for (unsigned round = 0; round < 20; round++) {
		unsigned i = round % PAGES, now = round & 1;
		u64 lin = DATA + 0x1000 * i;

		show(r, (int)now, false);
		commit(r);
		assert_int_equal(reads(r, lin), (now ? 0xb0 : 0xa0) + i);
		assert_int_equal(writes(r, lin + 8), 0);
		assert_int_equal(*word(r, PIECE(now) + 0x1000 * i + 8), lin + 8);
		assert_int_equal(*word(r, PIECE(!now) + 0x1000 * i + 8), 0);
		set64(r, PIECE(now) + 0x1000 * i + 8, 0);

		/* Read-only: it reads on, and its writes are the bus's. */
		u64 was = bus_writes;
		show(r, (int)now, true);
		commit(r);
		assert_int_equal(reads(r, lin), (now ? 0xb0 : 0xa0) + i);
		assert_int_equal(writes(r, lin + 8), 0);
		assert_true(bus_writes > was);
		assert_int_equal(*word(r, PIECE(now) + 0x1000 * i + 8), 0);

		/* And back, with the page that was read-only written first. */
		show(r, (int)now, false);
		commit(r);
		assert_int_equal(writes(r, lin + 16), 0);
		assert_int_equal(*word(r, PIECE(now) + 0x1000 * i + 16), lin + 16);

		show(r, -1, false);
		commit(r);
		assert_true(reads(r, lin) == BUS_VALUE);
		was = bus_writes;
		assert_int_equal(writes(r, lin), 0);
		assert_true(bus_writes > was);
	}
}

/* MOV EAX, n; RET: the code itself lies in the window. */
static void do_code(struct rig *r)
{
	static const u8 code[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	for (unsigned n = 0; n < 2; n++) {
		u8 mine[sizeof(code)];
		memcpy(mine, code, sizeof(code));
		mine[1] = (u8)(7 + n);
		assert_int_equal(ram_put(r->ram, PIECE(n), mine, sizeof(mine)), 0);
	}
	enter(r, 0, 0, user(u_call));
	for (unsigned round = 0; round < 40; round++) {
		unsigned now = round & 1;
		show(r, (int)now, round & 2);
		commit(r);
		for (unsigned again = 0; again < 2; again++) {
			struct frame *f = r->frame[0];
			f->rip = user(u_call);
			f->rdi = DATA;
			f->rax = 0;
			f = go(r, 0);
			assert_int_equal(f->vec, V_SYSCALL);
			assert_int_equal(f->rax, 7 + now);
		}
	}
}

static void twice(void (*scenario)(struct rig *))
{
	need();
	for (unsigned i = 0; i < 2; i++) {
		struct rig *r = open_window(!i);
		scenario(r);
		if (!i)
			assert_true(stats(r)->starts > 0);
		close_rig(r);
	}
}
static void at_rest(void **state)
{
	twice(do_at_rest);
}
static void code_moves(void **state)
{
	twice(do_code);
}

/* ---- while the runner runs ---- */

static void *run_vcpu(void *opaque)
{
	struct rig *r = opaque;
	struct err e = { 0 };

	assert_int_equal(cpu_run(cpu_vm_cpu(r->vm, 0), &e), CPU_EXIT_STOP);
	return NULL;
}

static u64 sum(struct rig *r, unsigned piece)
{
	u64 v = 0;

	for (unsigned i = 0; i < PAGES; i++)
		v += __atomic_load_n(word(r, PIECE(piece) + 0x1000 * i), __ATOMIC_SEQ_CST);
	return v;
}

/* Until the loop has written to that piece, or the bus (piece < 0), again. */
static void awaits_writes(struct rig *r, int piece)
{
	u64 t0 = clock_mono_ns(), was = piece < 0 ? bus_writes : sum(r, (unsigned)piece);

	while ((piece < 0 ? bus_writes : sum(r, (unsigned)piece)) == was) {
		if (clock_mono_ns() - t0 > patient(10 * NSEC_PER_SEC))
			fail_msg("nothing is written to %d any more", piece);
		usleep(100);
	}
}

/* What follows happens to a runner: an interrupt brings the vCPU to where one is started. */
static void awaits_start(struct rig *r)
{
	const volatile u64 *starts = &stats(r)->starts;
	u64 t0 = clock_mono_ns(), was = *starts;

	cpu_set_intr(cpu_vm_cpu(r->vm, 0), true);
	while (*starts == was) {
		if (clock_mono_ns() - t0 > patient(10 * NSEC_PER_SEC))
			fail_msg("no runner is started any more");
		usleep(100);
	}
}

/* u_fill writes rising numbers into a word of each page. After each commit, what the window shows no longer is not
 * written any more, by whatever the runner had mapped. */
static void under_a_runner(void **state)
{
	pthread_t t;
	need();
	struct rig *r = open_window(true);

	show(r, 0, false);
	commit(r);
	struct frame *f = enter(r, 0, 0, user(u_fill));
	f->rdi = DATA;
	f->rcx = PAGES;
	r->pass_intr = true;
	pthread_create(&t, NULL, run_vcpu, r);
	awaits_writes(r, 0);
	for (unsigned round = 0; round < 60; round++) {
		int now = round % 3 == 2 ? -1 : (int)(round & 1);
		/* Read-only instead of nothing, every second time. */
		show(r, now < 0 && round & 1 ? 0 : now, now < 0);
		commit(r);
		u64 was[2] = { sum(r, 0), sum(r, 1) };
		awaits_writes(r, now);
		if (now >= 0)
			awaits_start(r);
		usleep(500);
		for (unsigned n = 0; n < 2; n++)
			if ((int)n != now && sum(r, n) != was[n])
				fail_msg("round %u: piece %u is written, and the window shows %d", round, n, now);
	}
	u64 starts = stats(r)->starts;
	cpu_stop(cpu_vm_cpu(r->vm, 0));
	pthread_join(t, NULL);
	print_message("%llu starts of the runner, %llu writes to the bus\n", (unsigned long long)starts,
		      (unsigned long long)bus_writes);
	assert_true(starts >= 40);
	assert_int_equal(stops(r, DX_LOST), 0);
	close_rig(r);
}

static _Atomic int next_piece;

static void shows_the_next(struct rig *r)
{
	show(r, next_piece, false);
}

/* A store of the program itself has the device bring memory there, which its runner then has; another thread takes it
 * away. */
static void by_a_device(void **state)
{
	pthread_t t;
	need();
	struct rig *r = open_window(true);

	device = shows_the_next;
	struct frame *f = enter(r, 0, 0, user(u_fill));
	f->rdi = DATA;
	f->rcx = PAGES;
	r->pass_intr = true;
	pthread_create(&t, NULL, run_vcpu, r);
	for (unsigned round = 0; round < 40; round++) {
		if (round) {
			next_piece = (int)(round & 1);
			show(r, -1, false);
			commit(r);
		}
		awaits_writes(r, next_piece);
		awaits_start(r);
		u64 was = sum(r, !next_piece);
		usleep(500);
		assert_int_equal(sum(r, !next_piece), was);
	}
	assert_true(bus_writes >= 40);
	assert_true(stats(r)->starts >= 40);
	cpu_stop(cpu_vm_cpu(r->vm, 0));
	pthread_join(t, NULL);
	assert_int_equal(stops(r, DX_LOST), 0);
	device = NULL;
	close_rig(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_rest),
		cmocka_unit_test(code_moves),
		cmocka_unit_test(under_a_runner),
		cmocka_unit_test(by_a_device),
	};

	rig_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
