/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct_state.c - direct execution: a process finds in a runner what a processor would have for it, whatever the
 * one before left there, and never what the host's processor or kernel has.
 */
#include "direct_rig.h"

extern const u8 state_code[], state_code_end[];
extern const u8 s_magic[], s_mxcsr[], s_mask[], s_rip[], s_ds[], s_flags[], s_junk[], s_step[], s_victim[], s_look[],
    s_segments[], s_lar[], s_lsl[], s_verr[], s_verw[], s_sldt[], s_str[], s_smsw[], s_sgdt[], s_sidt[], s_vmmcall[],
    s_int80[], s_lar_across[], s_looks[];

#define AT 0x600000ull
#define SHARED (RUNNER_BASE + RUNNER_CODE_BYTES)

static u64 here(const u8 *label)
{
	return AT + (u64)(label - state_code);
}

static struct rig *open_state(const char *model, bool direct)
{
	struct rig *r = open_rig(model, 1, direct);
	u64 n = (u64)(state_code_end - state_code);

	assert_int_equal(ram_put(r->ram, FRAME(500), state_code, n), 0);
	for (unsigned s = 0; s < SPACES; s++) {
		for (u64 o = 0; o < n; o += 0x1000)
			map(r, s, AT + o, FRAME(500) + o, P | U);
		for (u64 o = 0; o < 0x11; o++)
			map(r, s, DATA + 0x1000 * o, FRAME(20 + 32 * s + o), P | W | U | NX);
	}
	return r;
}

static struct runner *runner_of(struct rig *r)
{
	struct runner *x = cpu_of(r, 0)->direct.now;

	assert_non_null(x);
	return x;
}

/* In address space 1, directly: that code, which knows where the runner's frame is. */
static struct frame *attack(struct rig *r, const u8 *code)
{
	struct frame *f = enter(r, 0, 1, user(u_mix));

	f->rbp = 3;
	go(r, 0);
	struct runner *x = runner_of(r);
	f->rip = here(code);
	f->rdi = DATA;
	f->r8 = SHARED + (u64)((u8 *)x->there.si - (u8 *)x->sh);
	f->r9 = x->frame;
	return go(r, 0);
}

/* ---- from one process to the next ---- */

static void nothing_is_left_behind(void **state)
{
	static const struct {
		const char *what;
		const u8 *code;
	} kinds[] = {
		{ "nothing", s_victim },  { "MAGIC2 of the XSAVE area", s_magic },
		{ "MXCSR", s_mxcsr },     { "the signal mask", s_mask },
		{ "RIP", s_rip },         { "data segments", s_ds },
		{ "NT and ID", s_flags }, { "the shared pages", s_junk },
	};
	need();
	if (!have_avx)
		skip();
	struct rig *r = open_state("mica-v3", true);

	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		static struct cpu_state now;
		struct err e = { 0 };
		struct frame *f = attack(r, kinds[k].code);
		struct runner *x = cpu_of(r, 0)->direct.now, *y = NULL;
		/* A forged RIP that no processor can have: #GP, as where such a place is jumped to. */
		if (kinds[k].code == s_rip) {
			assert_int_equal(f->vec, EXC_GP);
			assert_int_equal(f->rip, 0x8000000000000000ull - 2); /* of the SYSCALL that it said there was */
		} else if (f->vec != V_SYSCALL) {
			fail_msg("%s: vector %llx at %llx", kinds[k].what, (unsigned long long)f->vec,
				 (unsigned long long)f->rip);
		}
		/* ... and later others get it. */
		for (unsigned i = 0; y != x && i < 8; i++) {
			unsigned s = i % 2 ? 0 : 2;
			usleep(60000);
			f = enter(r, 0, s, here(s_victim));
			f->rdi = DATA;
			cpu_get_state(cpu_vm_cpu(r->vm, 0), &now);
			memset(now.xsave + 160, 0x5a, 256);
			memset(now.xsave + 576, 0xa5, 256);
			st_le64(now.xsave + 512, 7);
			now.tsc = 0;
			assert_int_equal(cpu_set_state(cpu_vm_cpu(r->vm, 0), &now, &e), 0);
			u64 starts = stats(r)->starts;
			f = go(r, 0);
			assert_int_equal(f->vec, V_SYSCALL);
			assert_true(stats(r)->starts > starts);
			y = cpu_of(r, 0)->direct.now;
			const u8 *d = ram_ptr(r->ram, FRAME(20 + 32 * s), 32);
			for (unsigned b = 0; b < 32; b++)
				if (d[b] != (b < 16 ? 0x5a : 0xa5))
					fail_msg("after %s: byte %u of YMM0 is %02x", kinds[k].what, b, d[b]);
			if ((f->rax | f->rflags) & 0x204000)
				fail_msg("after %s: flags %llx", kinds[k].what, (unsigned long long)f->rax);
			if (f->rbx)
				fail_msg("after %s: a data segment is %llx", kinds[k].what, (unsigned long long)f->rbx);
		}
		if (y != x)
			fail_msg("after %s: nobody got the runner", kinds[k].what);
		for (unsigned w = 0; w < RUNNER_STACK_OFF / 8; w++)
			if (((u64 *)(void *)x->sh)[w] == 0x6a756e6b6a756e6b)
				fail_msg("after %s: junk at %x of the shared pages", kinds[k].what, 8 * w);
	}
	assert_int_equal(stops(r, DX_LOST), 0);
	close_rig(r);
}

/* Where guest RAM is in the host, by page, is not for guest code: commands are gone when it runs. */
static void commands_are_hidden(void **state)
{
	need();
	struct rig *r = open_state("mica-v2", true);

	enter(r, 0, 1, 0);
	for (unsigned i = 0; i < 40; i++) {
		map(r, 1, DATA + 0x100000 + 0x200000 * i, FRAME(200 + i), P | W | U | NX);
		assert_int_equal(writes(r, DATA + 0x100000 + 0x200000 * i), 0);
	}
	for (unsigned k = 0; k < 2; k++) {
		struct frame *f = r->frame[0];
		u64 maps = stats(r)->maps;
		f->rip = here(s_look);
		f->rdi = DATA;
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		assert_int_equal(f->rdi, DATA + RUNNER_STACK_OFF);
		assert_true(k || stats(r)->maps > maps); /* it stopped in between, to have its pages mapped */
		for (unsigned o = offsetof(struct runner_shared, command); o < RUNNER_STACK_OFF; o += 8)
			if (*word(r, FRAME(20 + 32) + o))
				fail_msg("%llx is at %x of the shared pages",
					 (unsigned long long)*word(r, FRAME(20 + 32) + o), o);
	}
	close_rig(r);
}

/* A single step in the middle of more commands than fit at once: they are carried out all the same, and nothing is
 * lost. */
static void steps_between_commands(void **state)
{
	enum { PAGES = 2400 };
	need();
	struct rig *r = open_state("mica-v2", true);
	u64 base = 0x200000000ull;

	for (unsigned s = 0; s < 3; s++) {
		/* Every second page, so that they are not neighbours. */
		for (unsigned i = 0; i < PAGES; i++)
			map(r, 1, base + 0x2000 * i, FRAME(700 + i % 100), P | W | U | NX | A | D);
		enter(r, 0, 1, 0);
		for (unsigned i = 0; i < PAGES; i += 8)
			assert_int_equal(reads(r, base + 0x2000 * i) & 0xf000, 0);
		struct frame *f = attack(r, s_step);
		assert_int_equal(f->vec, V_SYSCALL);
		/* They are gone when it goes on. */
		for (unsigned i = 0; i < PAGES; i++)
			map(r, 1, base + 0x2000 * i, 0, 0);
		kernel_does(r, 0, DO_CR3, 0, root(1) | 1);
		f->rip = user(u_read);
		f->rflags = 0x202;
		f->rdi = base;
		f->r12 = 0x1212;
		u64 checks = stats(r)->checks;
		f = go(r, 0);
		assert_int_equal(f->vec, EXC_PF);
		assert_int_equal(f->rip, user(u_read));
		assert_int_equal(f->r12, 0x1212);
		assert_true(stats(r)->checks - checks > RUNNER_COMMANDS);
		for (unsigned i = 0; i < PAGES; i += 100)
			assert_int_equal(reads(r, base + 0x2000 * i), 0xf004);
	}
	assert_int_equal(stops(r, DX_LOST), 0);
	close_rig(r);
}

/* ---- what the host's processor and kernel would answer ---- */

/* Through all of it directly and interpreted, which must be alike. */
static void the_guests_tables(void **state)
{
	static const u8 *const ask[] = { s_lar,  s_lsl,  s_verr, s_verw,    s_sldt,  s_str,
					 s_smsw, s_sgdt, s_sidt, s_vmmcall, s_int80, s_lar_across };
	static const u16 sel[] = { 0x2b, 0x33, 0x23, 0x7b, 0x10, 0x40, 0x13, 0x3, 0x63, 0xffff };
	static u64 log[2][1000];
	unsigned n[2] = { 0 };

	need();
	for (unsigned k = 0; k < 2; k++) {
		struct rig *r = open_state("mica-v2", !k);
		for (unsigned i = 0; i < ARRAY_LEN(ask); i++)
			for (unsigned j = 0; j < ARRAY_LEN(sel); j++) {
				struct frame *f = enter(r, 0, 1, here(ask[i]));
				f->rsi = sel[j];
				f->rdi = DATA;
				f->rax = 0x123456789abcdef0;
				f->rbx = 0x0fedcba987654321;
				f = go(r, 0);
				log[k][n[k]++] = f->vec;
				log[k][n[k]++] = f->rip;
				log[k][n[k]++] = f->rax;
				log[k][n[k]++] = f->rbx;
				log[k][n[k]++] = f->rflags;
				if (ask[i] == s_int80) {
					assert_int_equal(f->vec, 0x80);
					assert_int_equal(f->rax, 0x123456789abcdef0);
				}
				if (ask[i] == s_lar &&
				    j < 2) /* of the guest's GDT, see open_rig_as(); with limit 19:16 */
					assert_int_equal(f->rax, j ? 0xaffb00 : 0xcff300);
			}
		close_rig(r);
	}
	assert_int_equal(n[0], n[1]);
	for (unsigned i = 0; i < n[0]; i++)
		if (log[0][i] != log[1][i])
			fail_msg("instruction %u, selector %x, value %u: %llx directly, %llx interpreted",
				 i / 5 / (unsigned)ARRAY_LEN(sel), sel[i / 5 % ARRAY_LEN(sel)], i % 5,
				 (unsigned long long)log[0][i], (unsigned long long)log[1][i]);
}

/* Data segments that user code loads, as the guest's kernel sees them and as they are afterwards. */
static void data_segments(void **state)
{
	need();
	for (unsigned k = 0; k < 2; k++) {
		struct rig *r = open_state("mica-v2", !k);
		struct frame *f = enter(r, 0, 1, here(s_segments));
		struct soft_cpu *c = cpu_of(r, 0);

		/* As Linux has it: the limit is the processor's number. */
		put64(r, GDT + 0x78, 0x0040f50000000003ull);
		c->gdt_limit = 0x7f;
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		assert_int_equal(c->seg[SEG_DS].sel, 0x2b);
		assert_int_equal(c->seg[SEG_DS].limit, ~0u);
		assert_int_equal(c->seg[SEG_ES].sel, 0x7b);
		assert_int_equal(c->seg[SEG_ES].limit, 3);
		f = go(r, 0);
		assert_int_equal(f->rbx, 0x2b);
		assert_int_equal(f->rax, 0x7b);
		close_rig(r);
	}
}

/* ---- looking for them ---- */

static void only_instructions_count(void **state)
{
	static const struct direct_host all = { .cpuid_faults = false };
	static const struct direct_host host = { .cpuid_faults = true, .tsc_faults = true, .fsgsbase = true };
	static const struct {
		u8 n, code[15];
		enum page_kind kind[2]; /* where the host can make nothing fault, and where it can */
	} is[] = {
		{ 3, { 0x0f, 0x02, 0xc6 }, { PAGE_NEVER, PAGE_NEVER } },             /* lar %si, %ax */
		{ 4, { 0x44, 0x0f, 0x03, 0xc6 }, { PAGE_NEVER, PAGE_NEVER } },       /* lsl */
		{ 3, { 0x0f, 0x00, 0xe0 }, { PAGE_NEVER, PAGE_NEVER } },             /* verr */
		{ 3, { 0x0f, 0x00, 0x2f }, { PAGE_NEVER, PAGE_NEVER } },             /* verw (%rdi) */
		{ 3, { 0x0f, 0x00, 0xd0 }, { PAGE_PLAIN, PAGE_PLAIN } },             /* lldt: #GP */
		{ 3, { 0x0f, 0x01, 0x07 }, { PAGE_NEVER, PAGE_NEVER } },             /* sgdt (%rdi) */
		{ 3, { 0x0f, 0x01, 0x17 }, { PAGE_PLAIN, PAGE_PLAIN } },             /* lgdt (%rdi): #GP */
		{ 3, { 0x0f, 0x01, 0xd0 }, { PAGE_ASKS, PAGE_ASKS } },               /* xgetbv */
		{ 3, { 0x0f, 0x01, 0xd9 }, { PAGE_NEVER, PAGE_NEVER } },             /* vmmcall */
		{ 3, { 0x0f, 0x01, 0xf9 }, { PAGE_NEVER, PAGE_PLAIN } },             /* rdtscp */
		{ 2, { 0x0f, 0x31 }, { PAGE_NEVER, PAGE_PLAIN } },                   /* rdtsc */
		{ 2, { 0x0f, 0xa2 }, { PAGE_ASKS, PAGE_PLAIN } },                    /* cpuid */
		{ 2, { 0xcd, 0x80 }, { PAGE_NEVER, PAGE_NEVER } },                   /* int $0x80 */
		{ 2, { 0xcd, 0x41 }, { PAGE_PLAIN, PAGE_PLAIN } },                   /* int $0x41: #GP */
		{ 2, { 0x0f, 0x34 }, { PAGE_NEVER, PAGE_NEVER } },                   /* sysenter */
		{ 3, { 0x0f, 0xae, 0x27 }, { PAGE_NEVER, PAGE_NEVER } },             /* xsave (%rdi) */
		{ 4, { 0x48, 0x0f, 0xae, 0x2f }, { PAGE_NEVER, PAGE_NEVER } },       /* xrstor64 (%rdi) */
		{ 3, { 0x0f, 0xae, 0x17 }, { PAGE_PLAIN, PAGE_PLAIN } },             /* ldmxcsr (%rdi) */
		{ 4, { 0x66, 0x0f, 0xae, 0x37 }, { PAGE_PLAIN, PAGE_PLAIN } },       /* clwb (%rdi) */
		{ 3, { 0x0f, 0xae, 0xf0 }, { PAGE_PLAIN, PAGE_PLAIN } },             /* mfence */
		{ 5, { 0xf3, 0x48, 0x0f, 0xae, 0xd7 }, { PAGE_NEVER, PAGE_PLAIN } }, /* wrfsbase %rdi */
		{ 5, { 0xf3, 0x41, 0x0f, 0xc7, 0xf8 }, { PAGE_NEVER, PAGE_NEVER } }, /* rdpid %r8 */
		{ 3, { 0x0f, 0xc7, 0xf8 }, { PAGE_PLAIN, PAGE_PLAIN } },             /* rdseed %eax */
		{ 3, { 0x0f, 0xc7, 0x27 }, { PAGE_NEVER, PAGE_NEVER } },             /* xsavec (%rdi) */
		{ 7,
		  { 0x48, 0x8d, 0x88, 0x00, 0x0f, 0x00, 0x00 },
		  { PAGE_PLAIN, PAGE_PLAIN } },                                      /* lea 0xf00(%rax), %rcx */
		{ 5, { 0xb8, 0x0f, 0x02, 0xc0, 0x01 }, { PAGE_PLAIN, PAGE_PLAIN } }, /* mov $0x1c0020f, %eax */
		{ 10, { 0x48, 0xb8, 0xcd, 0x80, 0x0f, 0xa2, 0x0f, 0x01, 0xd0, 0x00 }, { PAGE_PLAIN, PAGE_PLAIN } },
		{ 6, { 0x0f, 0x84, 0x00, 0x0f, 0x00, 0x00 }, { PAGE_PLAIN, PAGE_PLAIN } }, /* jz */
		{ 8,
		  { 0xc5, 0xf8, 0x28, 0x80, 0x00, 0x0f, 0x00, 0x00 },
		  { PAGE_PLAIN, PAGE_PLAIN } }, /* vmovaps 0xf00(%rax) */
		{ 10,
		  { 0x62, 0xf1, 0x7c, 0x48, 0x28, 0x80, 0x00, 0x0f, 0x00, 0x00 },
		  { PAGE_PLAIN, PAGE_PLAIN } }, /* EVEX */
	};
	/* What stands around them: code of all kinds of lengths. */
	static const u8 around[] = { 0x48, 0x89, 0xe5, 0x53, 0x48, 0x83, 0xec, 0x28, 0x8b, 0x44, 0x24, 0x08,
				     0x66, 0x0f, 0x6f, 0x05, 0x10, 0x20, 0x00, 0x00, 0x48, 0x8d, 0x7c, 0x24,
				     0x10, 0xe8, 0x44, 0x33, 0x02, 0x00, 0x85, 0xc0, 0x75, 0xe0, 0xc7, 0x44,
				     0x24, 0x0c, 0x01, 0x00, 0x00, 0x00, 0x0f, 0xb6, 0xc0, 0xc3 };
	static u8 page[2 * PAGE_BYTES];

	for (unsigned i = 0; i < ARRAY_LEN(is); i++)
		for (unsigned at_ = 0; at_ + 15 <= 2 * PAGE_BYTES; at_ += at_ > 4060 && at_ < 4100 ? 1 : 997) {
			/* In step up to there, as it is in step behind. */
			unsigned k = at_ % sizeof(around);
			for (unsigned o = 0; o < sizeof(page); o++)
				page[o] = o < k ? 0x90 : around[(o - k) % sizeof(around)];
			for (unsigned o = 0; o < sizeof(page); o++)
				if (o >= at_ && o < at_ + is[i].n)
					page[o] = is[i].code[o - at_];
			for (unsigned h = 0; h < 2; h++) {
				const struct direct_host *x = h ? &host : &all;
				const u8 *a = page, *b = page + PAGE_BYTES;
				enum page_kind want = is[i].kind[h], first = direct_scan(x, NULL, a, b),
					       second = direct_scan(x, a, b, NULL);
				if (first != (at_ < PAGE_BYTES ? want : PAGE_PLAIN))
					fail_msg("code %u at %x, host %u: the first page is %d", i, at_, h, first);
				if (second != (at_ + is[i].n > PAGE_BYTES ? want : PAGE_PLAIN))
					fail_msg("code %u at %x, host %u: the second page is %d", i, at_, h, second);
			}
		}
}

static void others_have_the_same_bytes(void **state)
{
	need();
	struct rig *r = open_state("mica-v2", true);
	struct frame *f = enter(r, 0, 1, here(s_looks));

	for (unsigned i = 0; i < 4; i++) {
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		f->rip = here(s_looks);
	}
	assert_int_equal(stops(r, DX_SYSCALL), 4);
	assert_int_equal(stops(r, DX_FAULT), 0);
	close_rig(r);
}

/* Code that was looked at, and then is written by whom the runner does not see: what must not be executed directly is
 * found. */
static void code_that_others_write(void **state)
{
	static const u8 plain[] = { 0x31, 0xc0, 0x90, 0x90, 0x90, 0x90, 0xc3 };      /* xor %eax, %eax; ret */
	static const u8 asks[] = { 0x0f, 0x02, 0xc6, 0x0f, 0x94, 0xc3, 0xc3, 0xcc }; /* lar %esi, %eax; setz %bl; ret */
	static const char *const who[] = { "a device", "translated code", "another vCPU's translated code",
					   "a runner" };
	u64 word_of, was;

	memcpy(&word_of, asks, 8);
	need();
	for (unsigned k = 0; k < ARRAY_LEN(who); k++) {
		struct rig *r = open_rig("mica-v2", 2, true);
		struct frame *f = enter(r, 0, 1, 0);
		u64 page = DATA + 0x10000, alias = DATA + 0x20000, base;

		map(r, 1, page, FRAME(20), P | U);
		map(r, 1, alias, FRAME(20), P | W | U | NX);
		assert_int_equal(ram_put(r->ram, FRAME(20) + 0x40, plain, sizeof(plain)), 0);
		for (unsigned i = 0; i < 4; i++) {
			f->rip = user(u_call);
			f->rdi = page + 0x40;
			f->rsi = 0x7b; /* there is one in the host */
			f->rsp = USTACK - 0x100;
			f->rflags = 0x202;
			f->rbx = 0x55;
			base = stops(r, DX_SYSCALL);
			f = go(r, 0);
			assert_int_equal(f->vec, V_SYSCALL);
			if (i & 1) {
				if (f->rbx)
					fail_msg("written by %s: the host's descriptor was found", who[k]);
				/* Back, and it is executed directly again. */
				assert_int_equal(ram_put(r->ram, FRAME(20) + 0x40, plain, sizeof(plain)), 0);
				continue;
			}
			assert_int_equal(f->rbx, 0x55);
			assert_int_equal(stops(r, DX_SYSCALL), base + 1);
			struct frame *g = f;
			switch (k) {
			case 0:
				assert_int_equal(ram_put(r->ram, FRAME(20) + 0x40, asks, sizeof(asks)), 0);
				break;
			case 1:
			case 2: /* with EFLAGS.ID it stays there */
				if (k == 2)
					g = enter(r, 1, 1, 0);
				was = cpu_of(r, k - 1)->direct.st.starts;
				g->rip = user(u_write);
				g->rdi = alias + 0x40;
				g->rax = word_of;
				g->rflags = 0x200202;
				g = go(r, k - 1);
				assert_int_equal(g->vec, V_SYSCALL);
				assert_int_equal(cpu_of(r, k - 1)->direct.st.starts, was);
				break;
			case 3:
				g = enter(r, 1, 1, user(u_write));
				was = cpu_of(r, 1)->direct.st.starts;
				for (unsigned n = 0; n < 2; n++) { /* the second one when it has the page */
					g->rip = user(u_write);
					g->rdi = alias + (n ? 0x40 : 0x800);
					g->rax = n ? word_of : 0;
					g = go(r, 1);
					assert_int_equal(g->vec, V_SYSCALL);
				}
				assert_true(cpu_of(r, 1)->direct.st.starts > was);
				break;
			}
			assert_int_equal(*word(r, FRAME(20) + 0x40), word_of);
			f = r->frame[0];
		}
		close_rig(r);
	}
}

/* ---- life after death ---- */

static unsigned alive(struct rig *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->soft->direct.n; i++)
		n += r->soft->direct.r[i]->alive;
	return n;
}

/* However many die, there are new ones; but not too many. */
static void dead_runners_are_made_anew(void **state)
{
	need();
	struct rig *r = open_state("mica-v2", true);
	unsigned n = r->soft->direct.n, made = 0;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(kill(r->soft->direct.r[i]->pid, SIGKILL), 0);
		usleep(20000);
		u64 t0 = clock_mono_ns();
		unsigned was = 0;
		for (unsigned s = 0; alive(r) < n || s < 20; s++) {
			struct frame *f = enter(r, 0, s % SPACES, user(u_mix));
			f->rbp = 3;
			f = go(r, 0);
			assert_int_equal(f->vec, V_SYSCALL);
			unsigned now = alive(r);
			if (now > was)
				made += now - was;
			was = now;
			if (clock_mono_ns() - t0 > 20000000000ull)
				fail_msg("%u of %u are alive after 20 s", now, n);
			usleep(10000);
		}
		/* One in a second. */
		assert_true(clock_mono_ns() - t0 >= (n - 1) * 900000000ull);
	}
	assert_true(made >= 2 * n);
	u64 starts = stats(r)->starts;
	struct frame *f = enter(r, 0, 1, user(u_mix));
	f->rbp = 3;
	usleep(60000);
	f = go(r, 0);
	assert_int_equal(f->vec, V_SYSCALL);
	assert_true(stats(r)->starts > starts);
	close_rig(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_behind),
		cmocka_unit_test(commands_are_hidden),
		cmocka_unit_test(steps_between_commands),
		cmocka_unit_test(the_guests_tables),
		cmocka_unit_test(data_segments),
		cmocka_unit_test(only_instructions_count),
		cmocka_unit_test(others_have_the_same_bytes),
		cmocka_unit_test(code_that_others_write),
		cmocka_unit_test(dead_runners_are_made_anew),
	};

	rig_begin();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
