/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct_threads.c - direct execution with other threads: interrupts, other vCPUs, the dirty log, who is let in
 * and sent back, runners that die.
 */
#include "direct_both.h"
#include "direct_good.h"
#include "direct_watch.h"

#include <dirent.h>
#include <sys/wait.h>

struct vcpu {
	pthread_t thread;
	struct cpu *cpu;
	enum cpu_exit how;
	_Atomic bool done;
};
static void *run_vcpu(void *arg)
{
	struct vcpu *v = arg;
	struct err e = { 0 };

	v->how = cpu_run(v->cpu, &e);
	v->done = true;
	return NULL;
}
static void start_vcpu(struct rig *r, struct vcpu *v, unsigned cpu)
{
	*v = (struct vcpu){ .cpu = cpu_vm_cpu(r->vm, cpu) };
	assert_int_equal(pthread_create(&v->thread, NULL, run_vcpu, v), 0);
}
static void join_vcpu(struct vcpu *v)
{
	pthread_join(v->thread, NULL);
	assert_int_equal(v->how, CPU_EXIT_STOP);
}

static void busy(unsigned loops)
{
	for (volatile unsigned i = 0; i < loops; i++)
		;
}
/* Until *what is another; how long it took. */
static u64 awaits(_Atomic u64 *what, u64 was)
{
	u64 t0 = clock_mono_ns();

	while (*what == was)
		if (clock_mono_ns() - t0 > patient(5000000000ull))
			fail_msg("it was not interrupted for long");
		else
			sched_yield();
	return clock_mono_ns() - t0;
}

static void interrupts(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	struct vcpu v;
	u64 sum = 0, most = 0;

	rng_state = 15;
	r->pass_intr = true;
	enter(r, 0, 1, user(u_spin));
	start_vcpu(r, &v, 0);
	u64 until = clock_mono_ns() + 3000000000ull;
	unsigned n = 0;
	for (; n < 40000 && clock_mono_ns() < until; n++) {
		_Atomic u64 *count = n % 3 ? &r->intr : &r->nmi;
		u64 was = *count;
		busy((unsigned)(rnd() % (n % 7 ? 3000 : 60000)));
		if (n % 3)
			cpu_set_intr(v.cpu, true);
		else
			cpu_raise_nmi(v.cpu);
		u64 took = awaits(count, was);
		sum += took;
		most = MAX(most, took);
	}
	cpu_stop(v.cpu);
	join_vcpu(&v);
	assert_true(stops(r, DX_KICK) > n / 2);
	assert_int_equal(stops(r, DX_LOST), 0);
	print_message("%u interrupts, after %llu us on average, %llu at most\n", n,
		      (unsigned long long)(sum / n / 1000), (unsigned long long)(most / 1000));
	/* Stopping, and going on. */
	struct cpu_state s, last = { 0 };
	until = clock_mono_ns() + 1500000000ull;
	for (n = 0; n < 3000 && clock_mono_ns() < until; n++) {
		start_vcpu(r, &v, 0);
		busy((unsigned)(rnd() % 20000));
		if (n % 4 == 0)
			usleep(100);
		if (n % 5 == 0)
			cpu_set_intr(v.cpu, true);
		cpu_stop(v.cpu);
		join_vcpu(&v);
		cpu_get_state(v.cpu, &s);
		assert_true(n == 0 || s.gpr[GPR_RAX] >= last.gpr[GPR_RAX] || (s.seg[SEG_CS].sel & 3) == 0 ||
			    (last.seg[SEG_CS].sel & 3) == 0);
		last = s;
		if (n % 16 == 0) {
			struct err e = { 0 };
			s.tsc = 0;
			assert_int_equal(cpu_set_state(v.cpu, &s, &e), 0);
		}
	}
	print_message("%u stops\n", n);
	close_rig(r);
}

/* As it is used: processes are let in by the time they compute, three of them for two runners, and taken in turn. */
static void by_time(void **state)
{
	enum { ROUNDS = 10000000 };
	need();
	static struct frame end[2][SPACES];
	static struct ticker t;

	for (unsigned k = 0; k < 2; k++) {
		struct soft_options o = { .direct = k ? SOFT_DIRECT_OFF : SOFT_DIRECT_ON };
		struct rig *r = open_rig_as("mica-v2", 1, &o);
		struct frame saved[SPACES], *f = NULL;
		unsigned at_ = 0, left = SPACES, ticks_here = 0;

		rng_state = 21;
		for (unsigned s = 0; s < SPACES; s++) {
			f = enter(r, 0, s, user(u_mix));
			random_registers(f);
			f->rbp = ROUNDS;
			saved[s] = *f;
		}
		at_ = SPACES - 1;
		start_ticker(r, &t, 700);
		for (unsigned n = 0; left; n++) {
			f = go(r, 0);
			if (f->vec == V_SYSCALL) {
				end[k][at_] = *f;
				saved[at_].rip = 0;
				left--;
				ticks_here = 100;
			} else {
				assert_int_equal(f->vec, V_INTR);
				saved[at_] = *f;
			}
			if (ticks_here++ > 8 + n % 40 && left) { /* the next one */
				ticks_here = 0;
				do
					at_ = (at_ + 1) % SPACES;
				while (!saved[at_].rip);
				*f = saved[at_];
				kernel_does(r, 0, DO_CR3, 0, root(at_) | (n & 1 ? at_ : 0));
			}
		}
		stop_ticker(&t);
		if (!k)
			print_message("%llu let in, %llu starts\n", (unsigned long long)stats(r)->let_in,
				      (unsigned long long)stats(r)->starts);
		close_rig(r);
	}
	for (unsigned s = 0; s < SPACES; s++)
		assert_memory_equal(&end[0][s], &end[1][s], sizeof(end[0][s]));
}

/*
 * A process that does nothing but fault on pages that come and go is sent back to translated code, and after a while
 * has another chance. One that computes is not sent back.
 */
static void sent_back(void **state)
{
	enum { PAGES = 256 };
	need();
	alarm((unsigned)patient(100)); /* for itself */
	static struct ticker t;
	struct soft_options o = { .direct = SOFT_DIRECT_ON };
	struct rig *r = open_rig_as("mica-v2", 1, &o);
	struct frame *f = enter(r, 0, 1, user(u_spin));

	start_ticker(r, &t, 700);
	until_let_in(r, 0);
	for (u64 until = clock_mono_ns() + 500000000u; clock_mono_ns() < until;)
		go(r, 0);
	assert_true(stats(r)->starts > 5);
	assert_int_equal(stats(r)->barred, 0);
	/* Nothing stays mapped for long. */
	u64 until = clock_mono_ns() + patient(60000000000ull), n = 0;
	f = r->frame[0];
	f->rip = user(u_rmw);
	f->rdi = DATA;
	while (!stats(r)->barred) {
		if (clock_mono_ns() > until)
			fail_msg("%llu page faults, and it is not sent back", (unsigned long long)n);
		if (!cpu_of(r, 0)->direct.now) {
			/* So few of its pages were left that it was taken for another process: once more. */
			f->rip = user(u_spin);
			until_let_in(r, stats(r)->let_in);
			f = r->frame[0];
			f->rip = user(u_rmw);
			f->rdi = DATA;
		}
		f = go(r, 0);
		if (f->vec == EXC_PF) {
			u64 page = n++ % PAGES;
			map(r, 1, DATA + 0x1000 * page, FRAME(10 + page), P | W | U | NX | A | D);
			map(r, 1, DATA + 0x1000 * ((page + PAGES / 2) % PAGES), 0, 0);
			if (n % 8 == 0)
				kernel_does(r, 0, DO_CR3, 0, root(1));
		} else if (f->vec == V_SYSCALL) {
			f->rip = user(u_rmw);
			f->rdi = DATA + 0x1000 * (n % PAGES);
		}
	}
	print_message("sent back after %llu page faults\n", (unsigned long long)n);
	u64 starts = stats(r)->starts, let_in = stats(r)->let_in;
	assert_int_equal(stats(r)->barred, 1);
	assert_null(cpu_of(r, 0)->direct.now);
	/* It computes again: not at once, but it is let in. */
	f->rip = user(u_spin);
	for (unsigned i = 0; i < 20; i++)
		go(r, 0);
	assert_int_equal(stats(r)->starts, starts);
	until_let_in(r, let_in);
	until = clock_mono_ns() + 500000000u;
	while (clock_mono_ns() < until)
		go(r, 0);
	assert_int_equal(stats(r)->barred, 1);
	assert_true(stats(r)->starts > starts);
	stop_ticker(&t);
	close_rig(r);
}

/*
 * A process that patches its own code stops its runner twice for each patch, and enters no kernel but at interrupts. It
 * is sent back soon, and goes on as if nothing had been.
 */
static void patches(void **state)
{
	enum { ROUNDS = 5000 };
	need();
	alarm((unsigned)patient(100)); /* for itself */
	static struct ticker t;
	struct soft_options o = { .direct = SOFT_DIRECT_ON };
	struct rig *r = open_rig_as("mica-v2", 1, &o);
	struct frame *f = enter(r, 0, 1, user(u_spin));
	static const u8 code[] = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* mov eax, 0; ret */

	map(r, 1, DATA, FRAME(10), P | W | U | A | D);
	assert_int_equal(ram_put(r->ram, FRAME(10) + 0x10, code, sizeof(code)), 0);
	start_ticker(r, &t, 5000); /* long stays: what is sent back is not left to comparing */
	until_let_in(r, 0);
	u64 starts = stats(r)->starts;
	f = r->frame[0];
	f->rip = user(u_smc_loop);
	f->rdi = DATA + 0x10;
	f->rbx = ROUNDS;
	u64 until = clock_mono_ns() + patient(60000000000ull);
	while (!stats(r)->barred || f->vec != V_SYSCALL) {
		if (clock_mono_ns() > until)
			fail_msg("%llu pages were mapped, and it is not sent back",
				 (unsigned long long)stops(r, DX_MAP));
		f = go(r, 0);
		if (f->vec != V_SYSCALL)
			continue;
		assert_int_equal(f->r8, 0);
		f->rbx = ROUNDS;
	}
	stop_ticker(&t);
	assert_int_equal(stats(r)->barred, 1);
	assert_null(cpu_of(r, 0)->direct.now);
	print_message("sent back after %llu starts\n", (unsigned long long)(stats(r)->starts - starts));
	/* Each costs ten microseconds at least. */
	assert_true(stats(r)->starts - starts < 2000);
	/* That holds for this process, and not for another one whose tables begin at the same page. */
	struct direct_bar *bar = cpu_of(r, 0)->direct.bar;
	while (bar->root != root(1))
		bar++;
	bar->until_ns = UINT64_MAX;
	assert_true(direct_way_barred(cpu_of(r, 0), root(1)));
	set64(r, root(1) + 8 * 255, *word(r, root(1) + 8 * 255) ^ A ^ D);
	assert_true(direct_way_barred(cpu_of(r, 0), root(1)));
	set64(r, root(1) + 8 * 100, r->next_table | P | W | U);
	assert_false(direct_way_barred(cpu_of(r, 0), root(1)));
	close_rig(r);
}

/* As a migration does: pages are copied as they are told, and in the end the copy is equal. */
static void dirty_log(void **state)
{
	enum { PAGES = 96 };
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	static u8 copy[RAM_BYTES];
	static u64 bits_of[RAM_BYTES / PAGE_BYTES / 64];
	struct err e = { 0 };
	struct vcpu v;
	u64 told = 0;

	r->pass_intr = true;
	for (unsigned i = 0; i < PAGES; i++)
		map(r, 1, DATA + 0x1000 * i, FRAME(i), P | W | U | NX);
	struct frame *f = enter(r, 0, 1, user(u_fill));
	f->rdi = DATA;
	f->rcx = PAGES;
	start_vcpu(r, &v, 0);
	for (unsigned k = 0; k < 1000 && !v.done; k++) {
		/* The test is the kernel: what is not there yet it lets in. */
		usleep(1000);
		if (*word(r, FRAME(PAGES - 1)))
			break;
	}
	assert_true(*word(r, FRAME(PAGES - 1)) > 0);
	assert_int_equal(cpu_vm_dirty_start(r->vm, CPU_LOG_STATE, 0, RAM_BYTES, &e), 0);
	memcpy(copy, r->ram->host, RAM_BYTES);
	for (unsigned n = 0; n < 400; n++) {
		if (n % 3)
			busy((unsigned)n * 100);
		else
			usleep(200);
		if (n % 8 == 0)
			cpu_set_intr(v.cpu, true);
		bool last = n == 399;
		if (last) {
			cpu_stop(v.cpu);
			join_vcpu(&v);
		}
		memset(bits_of, 0, sizeof(bits_of));
		assert_int_equal(cpu_vm_dirty_collect(r->vm, CPU_LOG_STATE, bits_of, &e), 0);
		for (u64 p = 0; p < RAM_BYTES / PAGE_BYTES; p++)
			if (bits_of[p / 64] >> (p % 64) & 1) {
				told++;
				memcpy(copy + p * PAGE_BYTES, r->ram->host + p * PAGE_BYTES, PAGE_BYTES);
			}
	}
	for (u64 p = 0; p < RAM_BYTES / PAGE_BYTES; p++)
		if (memcmp(copy + p * PAGE_BYTES, r->ram->host + p * PAGE_BYTES, PAGE_BYTES))
			fail_msg("page %llx was written, and not told", (unsigned long long)p);
	assert_true(told > 400);
	cpu_vm_dirty_stop(r->vm, CPU_LOG_STATE);
	good_process(r, 1, true);
	close_rig(r);
}

static void two_vcpus(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 2, true);
	static u64 bits_of[RAM_BYTES / PAGE_BYTES / 64];
	struct err e = { 0 };
	struct vcpu v[2];

	/* Both directly, or one of them in translated code (EFLAGS.ID keeps it there), which decodes what the other
	 * writes. */
	for (unsigned k = 0; k < 6; k++) {
		bool same = k & 1;
		unsigned only = k / 2; /* 1: the writer is translated, 2: the executer */
		/* Written through one mapping and executed by another; or one for both. */
		map(r, 1, DATA, FRAME(0), P | W | U | (same ? 0 : NX));
		map(r, 1, DATA + 0x1000, FRAME(0), P | U | (same ? W : 0));
		map(r, 1, DATA + 0x2000, FRAME(2), P | W | U | NX);
		assert_int_equal(ram_put(r->ram, FRAME(0) + 0x20, mov_ret, sizeof(mov_ret)), 0);
		memset(ram_ptr(r->ram, FRAME(2), 4096), 0, 4096);
		r->pass_intr = true;
		for (unsigned i = 0; i < 2; i++) {
			struct frame *f = enter(r, i, 1, user(i ? u_executer : u_writer));
			f->rdi = DATA + 0x20 + (i && !same ? 0x1000 : 0);
			f->rsi = DATA + 0x2000;
			f->r12 = 1;
			f->rbx = 80;
			if (only == i + 1)
				f->rflags |= 1u << 21;
		}
		u64 starts[2] = { cpu_of(r, 0)->direct.st.starts, cpu_of(r, 1)->direct.st.starts };
		for (unsigned i = 0; i < 2; i++)
			start_vcpu(r, &v[i], i);
		assert_int_equal(cpu_vm_dirty_start(r->vm, CPU_LOG_STATE, 0, RAM_BYTES, &e), 0);
		u64 t0 = clock_mono_ns();
		for (unsigned n = 0; !v[0].done || !v[1].done; n++) {
			if (clock_mono_ns() - t0 > patient(60000000000ull)) {
				fail_msg("the two are stuck at %llu, %llu", (unsigned long long)*word(r, FRAME(2)),
					 (unsigned long long)*word(r, FRAME(2) + 8));
			}
			usleep(300);
			cpu_set_intr(v[n & 1].cpu, true); /* two runners and two vCPUs on few processors */
			if (n % 4 == 0)
				assert_int_equal(cpu_vm_dirty_collect(r->vm, CPU_LOG_STATE, bits_of, &e), 0);
		}
		for (unsigned i = 0; i < 2; i++) {
			join_vcpu(&v[i]);
			assert_int_equal(r->frame[i]->vec, V_SYSCALL);
			assert_int_equal(cpu_of(r, i)->direct.st.starts > starts[i], only != i + 1);
		}
		assert_int_equal(r->frame[1]->r8, 0);
		cpu_vm_dirty_stop(r->vm, CPU_LOG_STATE);
	}
	close_rig(r);
}

/* ---- life and death ---- */

static void runner_dies(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	unsigned n = r->soft->direct.n;

	r->pass_intr = true;
	for (unsigned i = 0; i < n; i++) {
		struct vcpu v;
		enter(r, 0, 1 + i % 2, user(u_spin));
		start_vcpu(r, &v, 0);
		struct runner *x = NULL;
		for (unsigned k = 0; k < 3000 && !x; k++) {
			usleep(1000);
			cpu_set_intr(v.cpu, true); /* back to its kernel, so that it is looked at */
			x = atomic_load(&cpu_of(r, 0)->direct.running);
		}
		assert_non_null(x);
		assert_int_equal(kill(x->pid, SIGKILL), 0);
		u64 t0 = clock_mono_ns();
		while (!v.done && clock_mono_ns() - t0 < patient(5000000000ull))
			usleep(1000);
		assert_true(v.done);
		join_vcpu(&v);
		assert_int_equal(r->frame[0]->vec, EXC_GP);
		assert_int_equal(r->frame[0]->cs, 0x33);
		assert_int_equal(stops(r, DX_LOST), i + 1);
		assert_in_range(alive(r), n - i - 1, n - 1); /* dead ones are made anew after some time */
		good_process(r, 1 + i % 2, i + 1 < n);
		good_process(r, 2 - i % 2, false);
	}
	close_rig(r);
}

/* Killed while it waits for us. */
static void runner_dies_waiting(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	struct frame *f = enter(r, 0, 1, user(u_mix));

	f->rbp = 3;
	f = go(r, 0);
	for (unsigned i = 0; i < r->soft->direct.n; i++)
		assert_int_equal(kill(r->soft->direct.r[i]->pid, SIGKILL), 0);
	usleep(20000);
	for (unsigned i = 0; i < 3; i++) {
		f->rip = user(u_mix);
		f->rbp = 3;
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL); /* no guest code was in it */
	}
	good_process(r, 2, false);
	close_rig(r);
}

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void nothing_is_left(void **state)
{
	need();
	unsigned fds = descriptors();

	assert_int_equal(children(), 0);
	for (unsigned i = 0; i < 6; i++) {
		struct rig *r = open_rig("mica-v2", 1 + i % 2, true);
		assert_int_equal(children(), r->soft->direct.n + 1); /* who makes new ones */
		if (i & 1)
			good_process(r, 1, true);
		if (i == 3) { /* in the middle of it */
			struct vcpu v;
			enter(r, 0, 1, user(u_spin));
			start_vcpu(r, &v, 0);
			usleep(5000);
			cpu_stop(v.cpu);
			join_vcpu(&v);
		}
		close_rig(r);
		assert_int_equal(children(), 0);
		assert_int_equal(descriptors(), fds);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interrupts),      cmocka_unit_test(by_time),
		cmocka_unit_test(sent_back),       cmocka_unit_test(patches),
		cmocka_unit_test(dirty_log),       cmocka_unit_test(two_vcpus),
		cmocka_unit_test(runner_dies),     cmocka_unit_test(runner_dies_waiting),
		cmocka_unit_test(nothing_is_left),
	};

	rig_begin();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
