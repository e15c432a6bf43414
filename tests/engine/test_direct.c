/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct.c - direct execution: user code on the host's CPU does what it does in the interpreter, sees what the
 * guest's kernel wants it to see, and can do nothing to the VMM.
 *
 * What happens in the machine of direct_rig.h is noted, and most scenarios are gone through twice, once
 * interpreted, and must come out alike: both().
 */
#include "direct_rig.h"
#include "direct_watch.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/direct/direct_code.h"
#include "cpu/soft/direct/direct_runner.h"
#include "cpu/soft/system/system.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/wait.h>

/* Through the scenario directly and interpreted; both must come out alike. */
static void both(const char *model, void (*scenario)(struct rig *))
{
	struct rig *r[2];

	need();
	for (unsigned i = 0; i < 2; i++) {
		r[i] = open_rig(model, 1, !i);
		assert_true(i || r[i]->soft->direct.n);
		scenario(r[i]);
		if (!i)
			assert_true(stats(r[i])->starts > 0);
		else
			assert_int_equal(stats(r[i])->starts, 0);
	}
	for (unsigned i = 0; i < MAX(r[0]->nlog, r[1]->nlog); i++)
		if (i >= r[0]->nlog || i >= r[1]->nlog || r[0]->log[i] != r[1]->log[i])
			fail_msg("note %u: %llx directly, %llx interpreted", i,
				 (unsigned long long)(i < r[0]->nlog ? r[0]->log[i] : 0),
				 (unsigned long long)(i < r[1]->nlog ? r[1]->log[i] : 0));
	close_rig(r[0]);
	close_rig(r[1]);
}

static u64 rng_state = 1;
static u64 rnd(void)
{
	u64 z = (rng_state += 0x9e3779b97f4a7c15ull);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
static void random_registers(struct frame *f)
{
	u64 *v = &f->r15;

	for (unsigned i = 0; i < 15; i++)
		v[i] = rnd();
}

/* ---- registers ---- */

#define USER_FLAGS_ALL 0x244cd5ull /* status, DF, NT, AC, ID */

static void do_registers(struct rig *r)
{
	struct frame *f = enter(r, 0, 0, user(u_mix));

	rng_state = 1;
	random_registers(f);
	f->rbp = 20000;
	for (unsigned i = 0; i < 200; i++) {
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		note_frame(r, 0, f);
		random_registers(f);
		f->rbp = 1 + rnd() % 100;
		f->rflags = 0x202 | (rnd() & (i % 2 ? USER_FLAGS_ALL : 0xcd5) & ~0x40000ull);
		if (i % 3 == 1 && i < 199)
			kernel_does(r, 0, DO_SYSRET, 0, 0);
	}
	f->rip = user(u_keep);
	for (unsigned i = 0; i < 200; i++) {
		u64 flags = 0x202 | (rnd() & (i % 2 ? USER_FLAGS_ALL : 0x40cd5));
		f->rflags = flags;
		f->rcx = f->rbx = 1 + rnd() % 3000;
		u64 rax = f->rax, n = f->rcx;
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		assert_int_equal(f->r11, flags);
		assert_int_equal(f->rflags, flags);
		assert_int_equal(f->rax, rax + n);
		note_frame(r, 0, f);
		f->rip = user(u_keep);
	}
	if (r->direct)
		assert_true(stops(r, DX_SYSCALL) >= 150); /* not with NT or ID set */
}
static void registers(void **state)
{
	both("mica-v2", do_registers);
}

static void do_bases(struct rig *r)
{
	for (unsigned i = 0; i < 4; i++)
		map(r, 0, DATA + 0x1000 * i, FRAME(i), P | W | U | NX);
	set64(r, FRAME(1) + 8, 0x1111);
	set64(r, FRAME(2) + 8, 0x2222);
	struct frame *f = enter(r, 0, 0, user(u_bases));
	for (unsigned i = 0; i < 50; i++) {
		f->rsi = DATA + 0x1000 + (i & 1) * 0x1000;
		f->rdi = DATA + 0x2000 - (i & 1) * 0x1000;
		while ((f = go(r, 0))->vec == EXC_PF)
			fail_msg("a page fault at %llx", (unsigned long long)cpu_of(r, 0)->cr2);
		note_frame(r, 0, f);
		assert_int_equal(f->r8, i & 1 ? 0x2222 : 0x1111);
		assert_int_equal(f->r9, i & 1 ? 0x1111 : 0x2222);
		/* The kernel's view, and what it may change. */
		struct soft_cpu *c = cpu_of(r, 0);
		assert_int_equal(c->seg[SEG_FS].base, f->rsi);
		assert_int_equal(c->kernel_gs_base, f->rdi);
		c->seg[SEG_FS].base = c->eff_base[SEG_FS] = 0x7e0000001000 + i;
		c->kernel_gs_base = 0xffffffff80000000ull + i;
		f = go(r, 0);
		note_frame(r, 0, f);
		assert_int_equal(f->r14, 0x7e0000001000 + i);
		assert_int_equal(f->r15, 0xffffffff80000000ull + i);
	}
}
static void bases(void **state)
{
	both("mica-v2", do_bases);
	/* A kernel that has not FSGSBASE on takes a GS base in the upper half for its own: the user's stays. */
	struct rig *r = open_rig("mica-v2", 1, true);
	for (unsigned i = 0; i < 2; i++)
		map(r, 0, DATA + 0x1000 * i, FRAME(i), P | W | U | NX);
	struct frame *f = enter(r, 0, 0, user(u_bases));
	f->rsi = DATA;
	f->rdi = DATA + 0x1000;
	cpu_of(r, 0)->cr4 &= ~CR4_FSGSBASE;
	f = go(r, 0);
	assert_true(f->vec == EXC_UD || f->vec == V_SYSCALL);
	assert_int_equal(cpu_of(r, 0)->seg[SEG_FS].base, 0);
	assert_int_equal(cpu_of(r, 0)->kernel_gs_base, 0);
	close_rig(r);
}

static void do_floating(struct rig *r)
{
	static struct cpu_state s;
	struct err e = { 0 };

	map(r, 0, DATA, FRAME(0), P | W | U | NX);
	struct frame *f = enter(r, 0, 0, user(u_fp));
	f->rcx = f->rbx = 80;
	f->rdi = DATA;
	f->rsi = have_avx ? DATA + 0x400 : 0;
	rng_state = 7;
	cpu_get_state(cpu_vm_cpu(r->vm, 0), &s);
	for (unsigned round = 0; round < 40; round++) {
		if (round % 4 == 0) { /* a new state, from outside */
			memset(s.xsave, 0, sizeof(s.xsave));
			st_le16(s.xsave, (u16)(0x33f | (rnd() & 0xc00)));
			st_le16(s.xsave + 2, (u16)((5 << 11) | (rnd() & 0x4700)));
			s.xsave[4] = 0xe0;
			st_le32(s.xsave + 24, 0x1f80 | (u32)(rnd() & 0xe040));
			st_le32(s.xsave + 28, 0xffff);
			for (unsigned i = 0; i < 8; i++) {
				st_le64(s.xsave + 32 + 16 * i, rnd() | 1ull << 63);
				st_le16(s.xsave + 40 + 16 * i, (u16)(0x3ff0 + (rnd() & 31)));
			}
			for (unsigned i = 0; i < 64; i++) {
				double d = (double)(s64)rnd() / (1ull << 50);
				memcpy(s.xsave + 160 + 8 * (i % 32), &d, 8);
				if (have_avx && i < 32)
					memcpy(s.xsave + 576 + 8 * i, &d, 8);
			}
			st_le64(s.xsave + 512, have_avx ? 7 : 3);
			static struct cpu_state now;
			cpu_get_state(cpu_vm_cpu(r->vm, 0), &now);
			memcpy(now.xsave, s.xsave, sizeof(now.xsave));
			now.tsc = 0;
			assert_int_equal(cpu_set_state(cpu_vm_cpu(r->vm, 0), &now, &e), 0);
		}
		for (unsigned k = 0; k < 2; k++) {
			f = go(r, 0);
			note(r, f->vec);
			if (f->vec == EXC_BP) {
				/* Not where the last x87 instruction was: processors differ in what they keep of it. */
				memset(ram_ptr(r->ram, FRAME(0) + 6, 18), 0, 18);
				memset(ram_ptr(r->ram, FRAME(0) + 28, 4), 0, 4); /* the host's mask of MXCSR */
				note_bytes(r, FRAME(0), 416);
				note_bytes(r, FRAME(0) + 0x400, 0xe0);
			}
		}
		/* And seen from outside. */
		static struct cpu_state now;
		cpu_get_state(cpu_vm_cpu(r->vm, 0), &now);
		for (unsigned i = 0; i < 832; i += 8)
			if (i >= 24 && (i < 416 || i >= 576))
				note(r, ld_le64(now.xsave + i));
		if (round > 30)
			f->rbx = 1 + rnd() % 2000;
	}
}
static void floating(void **state)
{
	both(have_avx ? "mica-v3" : "mica-v2", do_floating);
}

/* ---- page faults ---- */

/* A fault of that kind, at `where`, on lin. */
static void fault(struct rig *r, struct frame *f, u64 error, u64 lin, u64 rip)
{
	note_frame(r, 0, f);
	assert_int_equal(f->vec, EXC_PF);
	assert_int_equal(f->err, error);
	assert_int_equal(cpu_of(r, 0)->cr2, lin);
	assert_int_equal(f->rip, rip);
	assert_int_equal(f->cs, 0x33);
}
static void call_done(struct rig *r, struct frame *f)
{
	note_frame(r, 0, f);
	assert_int_equal(f->vec, V_SYSCALL);
}
static u64 bits(struct rig *r, u64 lin)
{
	return *word(r, pte(r, 0, lin, 0)) & (A | D);
}

#define RET 0xc3

static void do_faults(struct rig *r)
{
	struct frame *f = enter(r, 0, 0, user(u_read));
	u64 lin = DATA + 0x5008, page = DATA + 0x5000;

	set64(r, FRAME(0) + 8, 0xabcd);
	/* Reading. */
	f->rdi = lin;
	f = go(r, 0);
	fault(r, f, 4, lin, user(u_read));
	map(r, 0, page, FRAME(0), P | U | NX);
	f = go(r, 0);
	call_done(r, f);
	assert_int_equal(f->rax, 0xabcd);
	assert_int_equal(bits(r, lin), A);
	/* Writing: not allowed, then allowed. */
	f->rip = user(u_write);
	f->rax = 0x1234;
	f = go(r, 0);
	fault(r, f, 7, lin, user(u_write));
	assert_int_equal(bits(r, lin), A);
	map(r, 0, page, FRAME(0), P | W | U | NX | A);
	f = go(r, 0);
	call_done(r, f);
	assert_int_equal(bits(r, lin), A | D);
	assert_int_equal(*word(r, FRAME(0) + 8), 0x1234);
	/* Read again without D, then a store sets it. */
	map(r, 0, page, FRAME(0), P | W | U | NX);
	kernel_does(r, 0, DO_INVLPG, lin, 0);
	f->rip = user(u_read);
	f = go(r, 0);
	call_done(r, f);
	assert_int_equal(f->rax, 0x1234);
	assert_int_equal(bits(r, lin), A);
	f->rip = user(u_rmw);
	f = go(r, 0);
	call_done(r, f);
	assert_int_equal(*word(r, FRAME(0) + 8), 0x1235);
	assert_int_equal(bits(r, lin), A | D);
	/* Executing. */
	*ram_ptr(r->ram, FRAME(0) + 8, 1) = RET;
	f->rip = user(u_call);
	f = go(r, 0);
	note_frame(r, 0, f);
	assert_int_equal(f->vec, EXC_PF);
	assert_int_equal(f->err, 0x15);
	assert_int_equal(f->rip, lin);
	f->rip = user(u_call);
	f->rsp = USTACK - 0x100;
	map(r, 0, page, FRAME(0), P | W | U | A | D);
	kernel_does(r, 0, DO_INVLPG, lin, 0);
	f = go(r, 0);
	call_done(r, f);
	/* The supervisor's page. */
	map(r, 0, page, FRAME(0), P | W);
	kernel_does(r, 0, DO_INVLPG, lin, 0);
	f->rip = user(u_read);
	f = go(r, 0);
	fault(r, f, 5, lin, user(u_read));
	f->rip = user(u_write);
	f = go(r, 0);
	fault(r, f, 7, lin, user(u_write));
	f->rdi = KERNEL + BLOB;
	f->rip = user(u_read);
	f = go(r, 0);
	fault(r, f, 5, KERNEL + BLOB, user(u_read));
	f->rdi = 0xffffc00000000000ull;
	f = go(r, 0);
	fault(r, f, 4, 0xffffc00000000000ull, user(u_read));
	/* A reserved bit. */
	map(r, 0, page, FRAME(0), P | W | U | 1ull << 51);
	f->rdi = lin;
	kernel_does(r, 0, DO_INVLPG, lin, 0);
	f = go(r, 0);
	fault(r, f, 0xd, lin, user(u_read));
	/* Across two pages, of which one is there. */
	map(r, 0, page, FRAME(0), P | W | U);
	kernel_does(r, 0, DO_INVLPG, lin, 0);
	f->rdi = page + 0xffc;
	f->rip = user(u_rmw);
	f = go(r, 0);
	fault(r, f, 6, page + 0x1000, user(u_rmw));
	map(r, 0, page + 0x1000, FRAME(1), P | W | U | NX);
	set64(r, FRAME(0) + 0xff8, 0xffffffff00000000ull);
	set64(r, FRAME(1), 1);
	f = go(r, 0);
	call_done(r, f);
	assert_int_equal(*word(r, FRAME(1)), 2);
	/* A page that is no RAM: the bus answers. */
	map(r, 0, DATA + 0x8000, 0xfe000000, P | W | U | NX);
	f->rdi = DATA + 0x8000;
	f->rip = user(u_read);
	f = go(r, 0);
	call_done(r, f);
	assert_int_equal(f->rax, ~0ull);
	f->rip = user(u_write);
	f = go(r, 0);
	call_done(r, f);
	/* Many faults in a row, in both directions and with holes. */
	for (unsigned i = 0; i < 300; i++) {
		u64 at_ = DATA + 0x40000 + 0x1000 * (i & 1 ? 599 - i : i);
		f->rdi = at_;
		f->rip = user(i % 3 ? u_read : u_write);
		f = go(r, 0);
		if (f->vec == EXC_PF) {
			note_frame(r, 0, f);
			map(r, 0, at_, FRAME(10 + i), P | W | U | NX);
			f = go(r, 0);
		}
		call_done(r, f);
		if (i % 7 == 0) {
			map(r, 0, at_, 0, 0);
			kernel_does(r, 0, i % 2 ? DO_INVLPG : DO_CR3, at_, root(0));
		}
	}
	if (r->direct)
		assert_true(stops(r, DX_FAULT) > 0 && stops(r, DX_MAP) > 0);
}
static void faults(void **state)
{
	both("mica-v2", do_faults);
}

static void do_large(struct rig *r)
{
	u64 lin = 0x40000000, e = pte(r, 0, lin, 1);
	struct frame *f = enter(r, 0, 0, user(u_read));

	for (unsigned i = 0; i < 512; i += 64) {
		set64(r, LARGE(0) + 0x1000 * i, 0x100 + i);
		set64(r, LARGE(1) + 0x1000 * i, 0x900 + i);
	}
	set64(r, e, LARGE(0) | P | U | NX | PS);
	for (unsigned i = 0; i < 512; i += 64) {
		f->rdi = lin + 0x1000 * i;
		f = go(r, 0);
		call_done(r, f);
		assert_int_equal(f->rax, 0x100 + i);
	}
	assert_int_equal(*word(r, e) & (A | D), A);
	f->rip = user(u_write);
	f->rax = 5;
	f = go(r, 0);
	fault(r, f, 7, lin + 0x1000 * 448, user(u_write));
	set64(r, e, LARGE(0) | P | W | U | NX | PS);
	f = go(r, 0);
	call_done(r, f);
	assert_int_equal(*word(r, e) & (A | D), A | D);
	/* Another frame: one INVLPG is for all of it. */
	set64(r, e, LARGE(1) | P | W | U | NX | PS);
	kernel_does(r, 0, DO_INVLPG, lin + 0x123000, 0);
	f->rip = user(u_read);
	for (unsigned i = 0; i < 512; i += 64) {
		f->rdi = lin + 0x1000 * i;
		f = go(r, 0);
		call_done(r, f);
		assert_int_equal(f->rax, 0x900 + i);
	}
	/* In small pieces from now on, of which two are somewhere else. */
	u64 table = r->next_table;
	r->next_table += 0x1000;
	for (unsigned i = 0; i < 512; i++)
		set64(r, table + 8 * i, (LARGE(1) + 0x1000 * i) | P | W | U | NX);
	set64(r, table + 8 * 64, FRAME(3) | P | W | U | NX);
	set64(r, table + 8 * 128, 0);
	set64(r, FRAME(3), 0x77);
	set64(r, e, table | P | W | U);
	kernel_does(r, 0, DO_INVLPG, lin, 0);
	for (unsigned i = 0; i < 512; i += 64) {
		f->rip = user(u_read);
		f->rdi = lin + 0x1000 * i;
		f = go(r, 0);
		if (i == 128) {
			fault(r, f, 4, f->rdi, user(u_read));
			continue;
		}
		call_done(r, f);
		assert_int_equal(f->rax, i == 64 ? 0x77 : 0x900 + i);
	}
}
static void large(void **state)
{
	both("mica-v2", do_large);
}

/* ---- invalidation ---- */

static void do_invalidation(struct rig *r)
{
	enter(r, 0, 0, 0);
	for (unsigned i = 0; i < 16; i++)
		set64(r, FRAME(i), 100 + i);
	for (unsigned s = 0; s < SPACES; s++) {
		for (unsigned i = 0; i < 4; i++)
			map(r, s, DATA + 0x1000 * i, FRAME(4 * s + i), P | W | U | NX);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(reads(r, DATA + 0x1000 * i), 100 + i);
	/* Another frame. */
	map(r, 0, DATA, FRAME(12), P | W | U | NX);
	kernel_does(r, 0, DO_INVLPG, DATA, 0);
	assert_int_equal(reads(r, DATA), 112);
	assert_int_equal(reads(r, DATA + 0x1000), 101);
	map(r, 0, DATA, FRAME(13), P | W | U | NX);
	map(r, 0, DATA + 0x1000, FRAME(14), P | W | U | NX);
	kernel_does(r, 0, DO_CR3, 0, root(0));
	assert_int_equal(reads(r, DATA), 113);
	assert_int_equal(reads(r, DATA + 0x1000), 114);
	map(r, 0, DATA, FRAME(0), P | W | U | NX);
	/* The state has PCIDs on whether the model has them or not, but then they cannot be written. */
	kernel_does(r, 0, cpu_model_cpuid(r->model, 0, 1, 0).ecx >> 17 & 1 ? DO_GLOBAL : DO_CR3, 0, root(0));
	assert_int_equal(reads(r, DATA), 100);
	/* A page above is another. */
	u64 *e = word(r, pte(r, 0, DATA, 1)), was = *e, table = r->next_table;
	r->next_table += 0x1000;
	set64(r, table, FRAME(15) | P | W | U | NX);
	*e = table | P | W | U;
	kernel_does(r, 0, DO_CR3, 0, root(0));
	assert_int_equal(reads(r, DATA), 115);
	assert_int_equal(reads(r, DATA + 0x1000), 0xf004);
	*e = was & ~W;
	kernel_does(r, 0, DO_CR3, 0, root(0));
	assert_int_equal(reads(r, DATA), 100);
	assert_int_equal(writes(r, DATA), 0xf007);
	*e = was;
	kernel_does(r, 0, DO_CR3, 0, root(0));
	assert_int_equal(writes(r, DATA), 0);
	set64(r, FRAME(0), 100);
	/* Other address spaces with the same addresses, and back; with their own PCIDs, keeping what is known. */
	for (unsigned i = 0; i < 30; i++) {
		unsigned s = i % SPACES;
		kernel_does(r, 0, DO_CR3, 0, root(s) | s | (i % 2 ? CR3_NO_FLUSH : 0));
		assert_int_equal(reads(r, DATA), 100 + 4 * s);
		assert_int_equal(reads(r, DATA + 0x3000), 103 + 4 * s);
	}
	/* ... and all with the same one. */
	for (unsigned i = 0; i < 30; i++) {
		unsigned s = i % SPACES;
		kernel_does(r, 0, DO_CR3, 0, root(s));
		assert_int_equal(reads(r, DATA), 100 + 4 * s);
	}
	/* Changed while another one is in use, and flushed by the load. */
	kernel_does(r, 0, DO_CR3, 0, root(1) | 1);
	assert_int_equal(reads(r, DATA), 104);
	kernel_does(r, 0, DO_CR3, 0, root(0));
	assert_int_equal(reads(r, DATA), 100);
	map(r, 1, DATA, FRAME(15), P | W | U | NX);
	kernel_does(r, 0, DO_CR3, 0, root(1) | 1);
	assert_int_equal(reads(r, DATA), 115);
	kernel_does(r, 0, DO_CR3, 0, root(0));
	/* Rights taken away. */
	assert_int_equal(writes(r, DATA + 0x1000), 0);
	map(r, 0, DATA + 0x1000, FRAME(1), P | U | NX | A | D);
	kernel_does(r, 0, DO_INVLPG, DATA + 0x1000, 0);
	assert_int_equal(writes(r, DATA + 0x1000), 0xf007);
	assert_int_equal(reads(r, DATA + 0x1000), 101);
	map(r, 0, DATA + 0x1000, 0, 0);
	kernel_does(r, 0, DO_INVLPG, DATA + 0x1000, 0);
	assert_int_equal(reads(r, DATA + 0x1000), 0xf004);
	assert_int_equal(writes(r, DATA + 0x1000), 0xf006);
	/* From nothing to something needs no flush. */
	map(r, 0, DATA + 0x1000, FRAME(2), P | U | NX);
	assert_int_equal(reads(r, DATA + 0x1000), 102);
	map(r, 0, DATA + 0x1000, FRAME(2), P | W | U | NX);
	assert_int_equal(writes(r, DATA + 0x1000), 0);
	/* A and D cleared and flushed: they come back. */
	for (unsigned i = 0; i < 8; i++) {
		u64 p = pte(r, 0, DATA + 0x2000, 0);
		set64(r, p, FRAME(2) | P | W | U | NX);
		kernel_does(r, 0, i & 1 ? DO_INVLPG : DO_CR3, DATA + 0x2000, root(0));
		assert_int_equal(i & 2 ? writes(r, DATA + 0x2000) : reads(r, DATA + 0x2000) == 0, 0);
		assert_int_equal(*word(r, p) & (A | D), i & 2 ? A | D : A);
	}
	/* No longer executable. */
	*ram_ptr(r->ram, FRAME(20), 1) = RET;
	map(r, 0, DATA + 0x9000, FRAME(20), P | U);
	struct frame *f = r->frame[0];
	for (unsigned i = 0; i < 4; i++) {
		f->rip = user(u_call);
		f->rsp = USTACK - 0x100;
		f->rdi = DATA + 0x9000;
		map(r, 0, DATA + 0x9000, FRAME(20), P | U | (i & 1 ? NX : 0));
		kernel_does(r, 0, DO_INVLPG, DATA + 0x9000, 0);
		f = go(r, 0);
		note_frame(r, 0, f);
		assert_int_equal(f->vec, i & 1 ? EXC_PF : V_SYSCALL);
	}
	/* At random: pages with several addresses, written and executed. */
	rng_state = 3;
	for (unsigned i = 30; i < 70; i++)
		*ram_ptr(r->ram, FRAME(i) + 16, 1) = RET;
	for (unsigned i = 0; i < 4000; i++) {
		u64 lin = DATA + 0x20000 + 0x1000 * (rnd() % 40);
		gpa_t p = pte(r, 0, lin, 0);
		switch (rnd() % 8) {
		case 0:
		case 1:
			set64(r, p,
			      FRAME(30 + rnd() % 40) | (rnd() % 8 ? P : 0) | (rnd() % 3 ? W : 0) | U |
				  (rnd() % 2 ? NX : 0));
			kernel_does(r, 0, rnd() % 4 ? DO_INVLPG : DO_CR3, lin, root(0));
			reads(r, DATA + 0x20000 + 0x1000 * (rnd() % 40));
			break;
		case 2:
		case 3:
			writes(r, lin);
			break;
		case 4:
		case 5:
			f->rip = user(u_call);
			f->rsp = USTACK - 0x100;
			f->rdi = lin + 16;
			f = go(r, 0);
			note_frame(r, 0, f);
			break;
		default:
			reads(r, lin);
		}
	}
	/* All of it is another's from one moment to the next, as when page tables are used again. */
	for (unsigned k = 0; k < 4; k++) {
		for (unsigned i = 0; i < 64; i++)
			map(r, 0, DATA + 0x80000 + 0x1000 * i, FRAME(100 + i + k), P | W | U | NX | A | D);
		kernel_does(r, 0, DO_CR3, 0, root(0));
		for (unsigned i = 0; i < 64; i += 8)
			note(r, reads(r, DATA + 0x80000 + 0x1000 * i));
		writes(r, DATA + 0x80000);
		for (unsigned i = 0; i < 64; i++)
			map(r, 0, DATA + 0x80000 + 0x1000 * i, 0, 0);
		for (unsigned i = 0; i < 40; i++)
			map(r, 0, DATA + 0x20000 + 0x1000 * i, 0, 0);
		kernel_does(r, 0, DO_CR3, 0, root(0));
		assert_int_equal(reads(r, DATA + 0x80000), 0xf004);
	}
}
static void invalidation(void **state)
{
	both("mica-v2", do_invalidation);
}

/* ---- traps ---- */

static void do_traps(struct rig *r)
{
	static const struct {
		const u8 *code;
		unsigned vec, len; /* len: RIP is behind it */
		u64 error;
	} traps[] = {
		{ u_int80, 0x80, 2, 0 },
		{ u_int3, EXC_BP, 1, 0 },
		{ u_int3_long, EXC_BP, 2, 0 },
		{ u_int3_prefix, EXC_BP, 2, 0 },
		{ u_int4, EXC_OF, 2, 0 },
		{ u_int_other, EXC_GP, 0, 0x41 * 8 + 2 },
		{ u_ud2, EXC_UD, 0, 0 },
		{ u_div, EXC_DE, 2, 0 },
		{ u_hlt, EXC_GP, 0, 0 },
		{ u_cli, EXC_GP, 0, 0 },
		{ u_in, EXC_GP, 0, 0 },
		{ u_mov_cr, EXC_GP, 0, 0 },
		{ u_rdmsr, EXC_GP, 0, 0 },
		{ u_icebp, EXC_DB, 1, 0 },
		{ u_sysenter, ~0u, 0, 0 },
		{ u_noncanonical, EXC_GP, 10, 0 },
		{ u_noncanonical_stack, EXC_SS, 13, 0 },
		{ u_noncanonical_jump, EXC_GP, ~0u, 0 },
		{ u_vsyscall_odd, EXC_PF, ~0u, 0x14 },
		{ u_popf_if, V_SYSCALL, ~0u, 0 },
		{ u_syscalls, V_SYSCALL, 2, 0 },
	};
	struct soft_cpu *c = cpu_of(r, 0);
	struct frame *f = enter(r, 0, 0, 0);

	rng_state = 9;
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < ARRAY_LEN(traps); i++) {
			random_registers(f);
			f->rdx &= 0xff;
			f->rsp = USTACK - 0x200;
			f->rflags = 0x202 | (rnd() & (round ? 0xcd5 : USER_FLAGS_ALL & ~0x40000ull));
			f->rip = user(traps[i].code);
			c->dr6 = 0xffff0ff0;
			f = go(r, 0);
			note_frame(r, 0, f);
			note(r, c->dr6);
			if (traps[i].vec != ~0u && (f->vec != traps[i].vec || f->err != traps[i].error))
				fail_msg("trap %u: vector %llu, error %llx", i, (unsigned long long)f->vec,
					 (unsigned long long)f->err);
			if (traps[i].vec != ~0u && traps[i].len != ~0u && f->rip != user(traps[i].code) + traps[i].len)
				fail_msg("trap %u: at %llx", i, (unsigned long long)f->rip);
		}
	/* With I/O privilege POPF changes IF. */
	f->rsp = USTACK - 0x200;
	f->rip = user(u_popf_if);
	f->rflags = 0x3202;
	f = go(r, 0);
	note_frame(r, 0, f);
	assert_int_equal(f->rax & 0x3200, 0x3000);
	/* Stepping that user code begins and ends. */
	f->rsp = USTACK - 0x200;
	f->rflags = 0x202;
	for (unsigned k = 0; k < 2; k++) {
		f->rip = user(k ? u_popf_tf_syscall : u_popf_tf);
		for (unsigned n = 0;; n++) {
			c->dr6 = 0xffff0ff0;
			f = go(r, 0);
			note_frame(r, 0, f);
			note(r, c->dr6);
			if (f->vec == V_SYSCALL) {
				assert_int_equal(n, k ? 0 : 4);
				break;
			}
			assert_int_equal(f->vec, EXC_DB);
			assert_int_equal(c->dr6 & 0x400f, 0x4000);
			must(n < 20);
		}
	}
	/* Steps that the guest's kernel wants. */
	f->rip = user(u_mix);
	f->rflags = 0x302;
	f->rbp = 1000;
	for (unsigned i = 0; i < 20; i++) {
		f = go(r, 0);
		note_frame(r, 0, f);
		assert_int_equal(f->vec, EXC_DB);
	}
	f->rflags = 0x202;
	f = go(r, 0);
	note_frame(r, 0, f);
	/* The old way to ask for the time: here there is no such page. RAX may be anything. */
	f->rip = user(u_vsyscall);
	f = go(r, 0);
	assert_int_equal(f->vec, EXC_PF);
	assert_int_equal(f->err, 0x14);
	assert_int_equal(f->rip, 0xffffffffff600000ull);
	assert_int_equal(c->cr2, 0xffffffffff600000ull);
	f->rax = f->rcx = f->r11 = 0;
	note_frame(r, 0, f);
	/* Alignment checks: not those of the host, whose CR0.AM is on. */
	map(r, 0, DATA, FRAME(0), P | W | U | NX);
	for (unsigned k = 0; k < 2; k++) {
		f->rip = user(u_unaligned);
		f->rdi = DATA;
		f->rflags = 0x40202;
		f->rax = f->rcx = f->r11 = 0;
		if (k) {
			c->cr0 &= ~CR0_AM;
			soft_mode_changed(c);
		}
		f = go(r, 0);
		note_frame(r, 0, f);
		assert_int_equal(f->vec, k ? V_SYSCALL : EXC_AC);
	}
	/* Arithmetic. */
	for (unsigned k = 0; k < 2; k++) {
		set64(r, FRAME(0), k ? 0x360 : 0x1c00);
		f->rip = user(k ? u_x87_error : u_sse_error);
		f->rflags = 0x202;
		f = go(r, 0);
		note(r, f->vec);
		note(r, f->rip);
		assert_int_equal(f->vec, k ? EXC_MF : EXC_XM);
	}
	if (r->direct)
		assert_true(stops(r, DX_GP) > 30 && stops(r, DX_SYSCALL) > 3);
}
static void traps(void **state)
{
	both("mica-v2", do_traps);
}

/* Into 32-bit code and what becomes of it. */
static void do_compat(struct rig *r)
{
	struct frame *f = enter(r, 0, 0, user(u_compat));

	map(r, 0, DATA, FRAME(0), P | W | U | NX);
	f->rsp = DATA + 0x800;
	f = go(r, 0);
	note_frame(r, 0, f);
	assert_int_equal(f->vec, EXC_UD);
	assert_int_equal(f->cs, 0x23);
	enter(r, 0, 0, user(u_mix))->rbp = 1000;
	f = go(r, 0);
	assert_int_equal(f->vec, V_SYSCALL);
	note_frame(r, 0, f);
}
static void compat(void **state)
{
	both("mica-v2", do_compat);
}

/* ---- what shows the host ---- */

static void do_host_values(struct rig *r)
{
	static const u8 *const shows[] = { u_cpuid, u_cpuid_across, u_xgetbv, u_xgetbv_across, u_rdpid, u_rdpid_rex };
	struct soft_cpu *c = cpu_of(r, 0);
	struct frame *f = enter(r, 0, 0, 0);

	for (unsigned i = 0; i < ARRAY_LEN(shows); i++)
		for (unsigned k = 0; k < 3; k++) { /* more often, and it is thought to have learned enough */
			f->rip = user(shows[i]);
			f->rax = i < 2 ? (u64[]){ 0, 1, 7, 0xd, 0x80000001, 0x80000008 }[3 * i + k] : 0x5555;
			f->rcx = 0;
			f->rdx = f->rbx = f->r8 = 0x6666;
			f = go(r, 0);
			note_frame(r, 0, f);
		}
	/* From a page in which it computes for long, once it has asked. */
	f->rip = user(u_cpuid_loop);
	f->rbx = 20;
	f = go(r, 0);
	note(r, f->r9);
	assert_int_equal(f->vec, V_SYSCALL);
	/* The time. */
	if (r->direct) {
		u64 last = 0;
		for (unsigned i = 0; i < 50; i++) {
			u64 before = cpu_tsc(cpu_vm_cpu(r->vm, 0));
			f->rip = user(u_tsc);
			f->rbx = 20;
			f = go(r, 0);
			assert_int_equal(f->vec, V_SYSCALL);
			assert_int_equal(f->rax, 0);
			assert_true(f->r8 >= before && f->r9 <= cpu_tsc(cpu_vm_cpu(r->vm, 0)) && f->r8 > last);
			last = f->r9;
		}
		if (r->soft->direct.host.tsc_faults)
			assert_true(stops(r, DX_TSC) > 500);
		/* Not for user code. */
		c->cr4 |= CR4_TSD;
		f->rip = user(u_tsc);
		f = go(r, 0);
		assert_int_equal(f->vec, EXC_GP);
		c->cr4 &= ~CR4_TSD;
	}
	/* No more than XCR0 has is stored. */
	map(r, 0, DATA, FRAME(0), P | W | U | NX);
	memset(ram_ptr(r->ram, FRAME(0), 4096), 0xa5, 4096);
	memset(ram_ptr(r->ram, FRAME(0) + 512, 64), 0, 64);
	f->rip = user(u_xsave);
	f->rdi = DATA;
	f = go(r, 0);
	assert_int_equal(f->vec, V_SYSCALL);
	note(r, *word(r, FRAME(0) + 512));
	assert_int_equal(*word(r, FRAME(0) + 512) & ~c->xcr0, 0);
	for (unsigned i = have_avx && (c->xcr0 & 4) ? 832 : 576; i < 4096; i += 8)
		assert_int_equal(*word(r, FRAME(0) + i), 0xa5a5a5a5a5a5a5a5ull);
}
static void host_values(void **state)
{
	both("mica-v2", do_host_values);
}

/* ---- code that changes ---- */

static const u8 mov_ret[] = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* mov eax, 0; ret */

static void do_smc(struct rig *r)
{
	struct frame *f = enter(r, 0, 0, 0);
	u64 lin = DATA + 0x10;

	map(r, 0, DATA, FRAME(0), P | W | U);
	map(r, 0, DATA + 0x1000, FRAME(0), P | W | U | NX); /* the same page */
	assert_int_equal(ram_put(r->ram, FRAME(0) + 0x10, mov_ret, sizeof(mov_ret)), 0);
	f->r12 = 1000;
	for (unsigned i = 0; i < 300; i++) {
		/* Now and then the kernel steps, so that this is decoded; and a device writes. */
		f->rip = user(u_smc);
		f->rdi = lin;
		f->rsp = USTACK - 0x100;
		f->rflags = 0x202;
		u64 n = f->r12;
		if (i % 5 == 2) {
			f->rflags = 0x302;
			for (unsigned k = 0; k < 1 + i % 11; k++) {
				f = go(r, 0);
				assert_int_equal(f->vec, EXC_DB);
				note_frame(r, 0, f);
			}
			f->rflags &= ~0x100ull;
		}
		f = go(r, 0);
		note_frame(r, 0, f);
		assert_int_equal(f->vec, V_SYSCALL);
		assert_int_equal(f->r8, (u32)n);
		assert_int_equal(f->r9, (u32)(n + 1));
		if (i % 3 == 0) { /* a device writes code */
			u32 v = 77 + i;
			assert_int_equal(ram_put(r->ram, FRAME(0) + 0x11, &v, 4), 0);
			f->rip = user(u_call);
			f->rdi = lin;
			f->rsp = USTACK - 0x100;
			f = go(r, 0);
			note_frame(r, 0, f);
			assert_int_equal(f->vec, V_SYSCALL);
		}
		if (i % 4 == 0) { /* through the other mapping */
			f->rip = user(u_write);
			f->rdi = DATA + 0x1010;
			f->rax = 0xc300000000b8ull | (u64)i << 8;
			f = go(r, 0);
			f->rip = user(u_call);
			f->rdi = lin;
			f->rsp = USTACK - 0x100;
			f = go(r, 0);
			note_frame(r, 0, f);
			assert_int_equal(f->vec, V_SYSCALL);
		}
		f->r12 = n + 2;
	}
	f->rip = user(u_smc_loop);
	for (unsigned i = 0; i < 20; i++) {
		f->rdi = lin;
		f->rsp = USTACK - 0x100;
		f->rbx = 500;
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		assert_int_equal(f->r8, 0);
		note_frame(r, 0, f);
	}
	/* Code that writes to its own page. */
	static const u8 own[] = { 0x48, 0xff, 0x05, 0xf9, 0x07, 0, 0, 0x48, 0xff, 0xcb, 0x75, 0xf4, 0x0f, 0x05 };
	map(r, 0, DATA + 0x30000, FRAME(8), P | W | U);
	memcpy(ram_ptr(r->ram, FRAME(8), sizeof(own)), own, sizeof(own)); /* inc 0x800; dec rbx; jnz; syscall */
	for (unsigned i = 1; i < 10; i++) {
		f->rip = DATA + 0x30000;
		f->rbx = 200;
		f = go(r, 0);
		note_frame(r, 0, f);
		assert_int_equal(f->vec, V_SYSCALL);
		assert_int_equal(*word(r, FRAME(8) + 0x800), 200 * i);
	}
	/* Instructions that may not be executed directly, written after the page was found to be free of them. */
	for (unsigned i = 0; i < 4; i++) {
		u64 page = DATA + 0x10000,
		    alias = DATA + 0x20000; /* it is writable itself; or only by the other mapping */
		map(r, 0, page, FRAME(20 + i), P | U | (i & 1 ? W : 0));
		map(r, 0, alias, FRAME(20 + i), P | W | U | NX);
		kernel_does(r, 0, DO_CR3, 0, root(0));
		*word(r, FRAME(20 + i) + 0x40) = 0xc3909090;
		for (unsigned k = 0; k < 2; k++) {
			f->rip = user(u_call);
			f->rdi = page + 0x40;
			f->rax = 1;
			f->rcx = f->rbx = f->rdx = 0;
			f->rsp = USTACK - 0x100;
			f = go(r, 0);
			assert_int_equal(f->vec, V_SYSCALL);
			note(r, f->rbx);
			note(r, f->rdx);
			f->rip = user(u_write);
			f->rdi = (i & 1 ? page : alias) + 0x40;
			f->rax = 0xc3a20f; /* CPUID; RET */
			f = go(r, 0);
			assert_int_equal(f->vec, V_SYSCALL);
		}
	}
}
static void smc(void **state)
{
	both("mica-v2", do_smc);
}

/* ---- guests that mean no good ---- */

/* After whatever it was: does an ordinary process still compute, and is it still executed directly? */
static void good_process(struct rig *r, unsigned space, bool direct)
{
	struct frame *f = enter(r, 0, space, user(u_mix));
	u64 starts = stats(r)->starts, want[15];
	bool pass = r->pass_intr;

	r->pass_intr = true;
	for (unsigned k = 0; k < 2; k++) {
		memset(f, 0, 15 * 8);
		f->rax = 1, f->r8 = 2, f->r10 = 3, f->r14 = 4;
		f->rbp = 50;
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		if (k)
			assert_memory_equal(want, f, sizeof(want));
		memcpy(want, f, sizeof(want));
		f->rip = user(u_mix);
		f->rflags = 0x202;
	}
	assert_int_equal(want[10], 0); /* RBP */
	if (direct)
		assert_true(stats(r)->starts > starts);
	r->pass_intr = pass;
}

static unsigned alive(struct rig *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->soft->direct.n; i++)
		n += r->soft->direct.r[i]->alive;
	return n;
}

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

/* ---- with other threads ---- */

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

/* State taken out and put in between any two stops, also into another VM. */
static void do_state(struct rig *r)
{
	static struct cpu_state s;
	struct frame *f = enter(r, 0, 0, user(u_keep));
	struct err e = { 0 };

	rng_state = 17;
	random_registers(f);
	for (unsigned i = 0; i < 100; i++) {
		f->rip = user(i & 1 ? u_keep : u_mix);
		f->rcx = f->rbx = 1 + rnd() % 500;
		f->rbp = 1 + rnd() % 500;
		f->rflags = 0x202;
		cpu_get_state(cpu_vm_cpu(r->vm, 0), &s);
		if (i % 10 == 3)
			cpu_reset(cpu_vm_cpu(r->vm, 0));
		s.tsc = 0;
		assert_int_equal(cpu_set_state(cpu_vm_cpu(r->vm, 0), &s, &e), 0);
		f = go(r, 0);
		note_frame(r, 0, f);
		assert_int_equal(f->vec, V_SYSCALL);
	}
}
static void state_in_and_out(void **state)
{
	both("mica-v2", do_state);
}

/* More pieces than a process of the host can have: rights that cannot be taken away must not stay. */
static void many_pieces(void **state)
{
	enum { PAGES = 6144, FIRST = 2048, REGIONS = 13 };
	need();
	struct rig *r = open_rig("mica-v2", 1, true);
	u64 base = 0x100000000ull, n = 0;

	for (unsigned k = 0; k < REGIONS; k++)
		for (u64 i = 0; i < PAGES; i++)
			map(r, 1, base + (k * PAGES + i) * 4096, (FIRST + i) * 4096, P | W | U | NX | A | D);
	struct frame *f = enter(r, 0, 1, user(u_read));
	for (unsigned k = 0; k < REGIONS; k++) {
		for (u64 i = 0; i < PAGES; i += 512) { /* by large pieces */
			f->rip = user(u_write);
			f->rdi = base + (k * PAGES + i) * 4096;
			f = go(r, 0);
			assert_int_equal(f->vec, V_SYSCALL);
		}
		for (u64 i = 1; i < PAGES; i += 2) {
			u64 lin = base + (k * PAGES + i) * 4096;
			map(r, 1, lin, (FIRST + i) * 4096, P | U | NX | A | D);
			if (k >= 11 ? i % 64 == 63 : i % 1024 == 1023) {
				kernel_does(r, 0, DO_CR3, 0, root(1) | 1);
				f->rip = user(u_write);
				f->rdi = lin;
				f = go(r, 0);
				if (f->vec != EXC_PF)
					fail_msg("page %llu of area %u was written without the right to",
						 (unsigned long long)i, k);
				n++;
			}
		}
	}
	print_message("%llu times rights taken away, %llu drops\n", (unsigned long long)n,
		      (unsigned long long)stats(r)->drops);
	close_rig(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers),
		cmocka_unit_test(bases),
		cmocka_unit_test(floating),
		cmocka_unit_test(faults),
		cmocka_unit_test(large),
		cmocka_unit_test(invalidation),
		cmocka_unit_test(traps),
		cmocka_unit_test(compat),
		cmocka_unit_test(host_values),
		cmocka_unit_test(smc),
		cmocka_unit_test(state_in_and_out),
		cmocka_unit_test(jumps_into_our_code),
		cmocka_unit_test(syscalls_into_the_host),
		cmocka_unit_test(touches_our_pages),
		cmocka_unit_test(forged_frames),
		cmocka_unit_test(stops_by_itself),
		cmocka_unit_test(nothing_is_inherited),
		cmocka_unit_test(interrupts),
		cmocka_unit_test(by_time),
		cmocka_unit_test(sent_back),
		cmocka_unit_test(patches),
		cmocka_unit_test(dirty_log),
		cmocka_unit_test(two_vcpus),
		cmocka_unit_test(runner_dies),
		cmocka_unit_test(runner_dies_waiting),
		cmocka_unit_test(many_pieces),
		cmocka_unit_test(nothing_is_left),
	};

	rig_begin();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
