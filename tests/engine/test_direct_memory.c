/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct_memory.c - direct execution: a runner's memory is what the guest's page tables say, also where they
 * change, and where code does.
 */
#include "direct_both.h"

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

/* ---- code that changes ---- */

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
		cmocka_unit_test(faults), cmocka_unit_test(large),       cmocka_unit_test(invalidation),
		cmocka_unit_test(smc),    cmocka_unit_test(many_pieces),
	};

	rig_begin();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
