/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct_hostile.c - direct execution: guests that mean no good can do nothing to the VMM, nor to each other.
 */
#include "direct_both.h"
#include "direct_good.h"
#include "direct_watch.h"

#include <sys/wait.h>

/* The runner's code, as its process has it. */
static void read_runner(struct runner *x, u64 from, void *buf, size_t n)
{
	auto_free char *path = xasprintf("/proc/%d/mem", x->pid);
	FILE *f = fopen(path, "r");

	if (!f || fseeko(f, (off_t)from, SEEK_SET) < 0 || fread(buf, 1, n, f) != n)
		fail_msg("%s cannot be read", path);
	fclose(f);
}
static u64 stop_label(struct rig *r)
{
	static const u8 stop[] = { 0xb8, 110, 0, 0, 0, 0x0f, 0x05 };
	u8 code[RUNNER_CODE_BYTES];

	read_runner(r->soft->direct.r[0], RUNNER_BASE, code, sizeof(code));
	u8 *p = memmem(code, sizeof(code), stop, sizeof(stop));
	assert_non_null(p);
	return RUNNER_BASE + (u64)(p - code);
}

/* Has a process of the VM anything mapped but its own, and what that address space may have? */
static void check_mappings(struct rig *r, unsigned space)
{
	for (unsigned i = 0; i < r->soft->direct.n; i++) {
		struct runner *x = r->soft->direct.r[i];
		char line[512];
		if (!x->alive || x->cpu != cpu_of(r, 0) || x->cr3 != root(space))
			continue;
		auto_free char *path = xasprintf("/proc/%d/maps", x->pid);
		FILE *f = fopen(path, "r");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f)) {
			unsigned long long from, to, off;
			char prot[8], dev[16], name[256] = "";
			unsigned long long inode;
			if (sscanf(line, "%llx-%llx %7s %llx %15s %llu %255[^\n]", &from, &to, prot, &off, dev, &inode,
				   name) < 6)
				fail_msg("%s", line);
			if (strstr(name, "[vsyscall]"))
				continue;
			if (from >= RUNNER_BASE && to <= RUNNER_BASE + RUNNER_BYTES) {
				assert_true(strstr(name, "mica-runner"));
				assert_true(from == RUNNER_BASE ? !strchr(prot, 'w') : !strchr(prot, 'x'));
				continue;
			}
			for (u64 lin = from; lin < to; lin += 4096) {
				u64 v = *word(r, pte(r, space, lin, 0));
				u64 page = ram_page(r->ram, v & 0xffffffffff000ull);
				if (!(v & P) || !(v & U) || page != (off + lin - from) >> 12 ||
				    (strchr(prot, 'w') && (!(v & W) || !(v & D))) || (strchr(prot, 'x') && (v & NX)))
					fail_msg("the guest's entry for %llx is %llx: %s", (unsigned long long)lin,
						 (unsigned long long)v, line);
			}
		}
		fclose(f);
	}
}

static void no_secrets(struct rig *r, struct frame *f)
{
	const u64 *v = &f->r15;

	for (unsigned i = 0; i < r->soft->direct.n; i++) {
		struct runner *x = r->soft->direct.r[i];
		for (unsigned k = 0; k < 15; k++)
			if (v[k] == x->secret)
				fail_msg("a user's register has the secret");
		if (!x->alive || !x->stopped || !x->cpu)
			continue; /* one that was never used still has it where registers are put */
		for (unsigned k = 0; k < RUNNER_SHARED_BYTES / 8; k++)
			if (((u64 *)(void *)x->sh)[k] == x->secret && &((u64 *)(void *)x->sh)[k] != &x->sh->secret)
				fail_msg("the secret is at %x of the shared pages (frame at %llx)", 8 * k,
					 (unsigned long long)(x->frame - RUNNER_BASE - RUNNER_CODE_BYTES));
	}
}

static void jumps_into_our_code(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	static struct ticker t;
	unsigned rigs = 1, lost = 0;

	rng_state = 11;
	start_ticker(r, &t, 1000);
	for (unsigned off = 0; off < 4 * 512; off++) {
		if (!alive(r)) {
			stop_ticker(&t);
			good_process(r, 2, false);
			lost += (unsigned)stops(r, DX_LOST);
			close_rig(r);
			r = open_rig("mica-v2", 1, true);
			start_ticker(r, &t, 1000);
			rigs++;
		}
		for (unsigned k = 0; k < 16; k++)
			map(r, 1, DATA + 0x1000 * k, FRAME(k), P | W | U | A | D);
		struct frame *f = enter(r, 0, 1, user(u_jump));
		for (unsigned k = 0; k < 15; k++)
			(&f->r15)[k] = rnd() % 3 == 0 ? rnd()
				       : rnd() % 2    ? DATA + rnd() % 0x10000
						      : RUNNER_BASE + rnd() % RUNNER_BYTES;
		if (off % 3 == 1) { /* the system calls that there are */
			static const u16 nr[] = { 9, 10, 11, 15, 110, 436, 60, 231, 62, 39, 57 };
			f->rax = nr[rnd() % ARRAY_LEN(nr)];
		}
		f->rsp = rnd() % 2 ? USTACK - 0x100 : RUNNER_BASE + RUNNER_BYTES - rnd() % 0x2000;
		f->r15 = RUNNER_BASE + off % 512;
		f = go(r, 0);
		no_secrets(r, f);
		if (off % 16 == 0) {
			check_mappings(r, 1);
			good_process(r, 2, false);
		}
	}
	stop_ticker(&t);
	lost += (unsigned)stops(r, DX_LOST);
	print_message("%u VMs, %u processes lost\n", rigs, lost);
	close_rig(r);
}

static void syscalls_into_the_host(void **state)
{
	static const u16 nr[] = { 0,   1,   2,   3,   9,   10,  11,  13,  14,  15,  39,  56,  57,  59,  60,  61,  62,
				  101, 110, 157, 158, 200, 202, 219, 231, 234, 257, 317, 321, 424, 425, 435, 436, 438 };
	need();
	struct rig *r = open_rig("mica-v2", 1, true);

	rng_state = 12;
	for (unsigned i = 0; i < ARRAY_LEN(nr); i++)
		for (unsigned k = 0; k < 3; k++) {
			struct frame *f = enter(r, 0, 1, user(k == 2 ? u_int80 : u_syscalls));
			random_registers(f);
			f->rax = nr[i];
			f->rdi = k ? 0 : (u64)getpid();
			f->rsi = k ? RUNNER_BASE : 9;
			struct frame was = *f;
			f = go(r, 0);
			assert_int_equal(f->vec, k == 2 ? 0x80 : V_SYSCALL);
			assert_int_equal(f->rax, nr[i]);
			assert_int_equal(f->rdi, was.rdi);
			assert_int_equal(f->rsi, was.rsi);
			assert_int_equal(f->r9, was.r9);
			check_mappings(r, 1);
		}
	assert_int_equal(stops(r, DX_LOST), 0);
	good_process(r, 1, true);
	close_rig(r);
}

/* Reads, writes and executes around what is ours in its process, with the stack there, too. */
static void touches_our_pages(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);

	rng_state = 13;
	for (unsigned i = 0; i < 600; i++) {
		static const u8 *const what[] = { u_read, u_write, u_rmw, u_call };
		struct frame *f = enter(r, 0, 1, user(what[i % 4]));
		random_registers(f);
		f->rdi = RUNNER_BASE - 0x1000 + (rnd() % (RUNNER_BYTES + 0x2000) & ~7ull);
		f->rsp = i % 8 < 4 ? USTACK - 0x100
				   : RUNNER_BASE + RUNNER_CODE_BYTES + (rnd() % RUNNER_SHARED_BYTES & ~7ull);
		f = go(r, 0);
		no_secrets(r, f);
		/* Then a fault, with the stack where our signals' is. */
		f->rip = user(i & 1 ? u_ud2 : u_read);
		f->rdi = i & 2 ? 0x1000 : KERNEL + BLOB;
		f->rsp = RUNNER_BASE + RUNNER_BYTES - rnd() % 0x3000;
		f = go(r, 0);
		if (alive(r) == r->soft->direct.n)
			assert_int_equal(f->vec, i & 1 ? EXC_UD : EXC_PF);
		good_process(r, 2, false);
		if (!alive(r)) {
			close_rig(r);
			r = open_rig("mica-v2", 1, true);
		}
	}
	close_rig(r);
}

/* Frames that user code made: whatever they say, it can be stopped, and no other process sees anything of it. */
static void forged_frames(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	u64 stop = stop_label(r);
	static struct ticker t;

	rng_state = 14;
	start_ticker(r, &t, 2000);
	for (unsigned i = 0; i < 250; i++) {
		/* In turn all words of the ucontext up to the signal mask, with values of all kinds. */
		for (unsigned k = 0; k < 2; k++) {
			struct frame *f = enter(r, 0, 1, user(u_mix));
			f->rbp = 3;
			map(r, 1, DATA, FRAME(0), P | W | U | A | D);
			f = go(r, 0); /* so that there is a frame */
			f->rip = user(u_forge);
			f->r15 = stop;
			f->r12 = 8 * (i % 40);
			f->r13 = (u64[]){
				~0ull, 0, DATA + 0x800, 1, 0x2b, RUNNER_BASE, 0x8000000000000000ull
			}[(i / 40 + k) % 7];
			if (f->r12 == 168)
				f->r12 = 296;
			f = go(r, 0);
			no_secrets(r, f);
		}
		good_process(r, 2, false);
		if (!alive(r)) {
			stop_ticker(&t);
			close_rig(r);
			r = open_rig("mica-v2", 1, true);
			start_ticker(r, &t, 2000);
		}
	}
	/* Segment bases that no processor could have. */
	for (unsigned i = 0; i < 4; i++) {
		struct frame *f = enter(r, 0, 1, user(u_mix));
		f->rbp = 3;
		f = go(r, 0);
		f->rip = user(u_forge_base);
		f->r15 = stop;
		f->r13 = 0x8000000000000000ull >> (i & 1);
		f = go(r, 0);
		assert_true(soft_canonical(cpu_of(r, 0)->seg[SEG_FS].base));
		good_process(r, 2, false);
	}
	stop_ticker(&t);
	close_rig(r);
}

/* It stops as our code does, again and again, while the kicks come that could catch our code with the secret. */
static void stops_by_itself(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	u64 stop = stop_label(r), until = clock_mono_ns() + 1500000000ull;
	static struct ticker t;

	start_ticker(r, &t, 30);
	while (clock_mono_ns() < until) {
		struct frame *f = enter(r, 0, 1, user(u_mix));
		f->rbp = 3;
		f = go(r, 0);
		f->rip = user(u_stop_again);
		f->r15 = stop;
		for (unsigned i = 0; i < 5; i++) {
			f = go(r, 0);
			no_secrets(r, f);
			if (f->vec != V_INTR)
				break;
		}
		if (!alive(r)) {
			stop_ticker(&t);
			close_rig(r);
			r = open_rig("mica-v2", 1, true);
			start_ticker(r, &t, 30);
		}
	}
	stop_ticker(&t);
	close_rig(r);
}

/* Who gets another's runner finds nothing of it in the pages that it can read. */
static void nothing_is_inherited(void **state)
{
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	u64 lin = 0x5a5a5a5a5000, other = 0x2b2b2b2b2000;
	struct runner *before;

	map(r, 1, lin, FRAME(0), P | W | U | NX);
	struct frame *f = enter(r, 0, 1, user(u_read));
	for (unsigned i = 0; i < 2; i++) {
		f->rip = user(u_read);
		f->rdi = i ? other : lin; /* the last one is a fault */
		f->r14 = 0x1234567890abcdef;
		f = go(r, 0);
	}
	before = cpu_of(r, 0)->direct.now;
	assert_non_null(before);
	for (unsigned s = 0; before->cr3 == root(1) && s < 20; s++) { /* by all that there are */
		usleep(60000);
		good_process(r, s % 2 * 2, false);
	}
	assert_int_not_equal(before->cr3, root(1));
	for (unsigned k = 0; k < RUNNER_SHARED_BYTES / 8; k++) {
		u64 v = ((u64 *)(void *)before->sh)[k];
		if ((v & ~0xfffull) == lin || v == other || v == 0x1234567890abcdef)
			fail_msg("%llx is at %x", (unsigned long long)v, 8 * k);
	}
	close_rig(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jumps_into_our_code), cmocka_unit_test(syscalls_into_the_host),
		cmocka_unit_test(touches_our_pages),   cmocka_unit_test(forged_frames),
		cmocka_unit_test(stops_by_itself),     cmocka_unit_test(nothing_is_inherited),
	};

	rig_begin();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
