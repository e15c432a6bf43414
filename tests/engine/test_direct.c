/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct.c - direct execution: user code on the host's CPU does what it does in the interpreter, and sees what
 * the guest's kernel wants it to see.
 *
 * What happens in the machine of direct_rig.h is noted, and most scenarios are gone through twice, once
 * interpreted, and must come out alike: both().
 */
#include "direct_both.h"
#include "cpu/soft/system/system.h"

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers),        cmocka_unit_test(bases), cmocka_unit_test(floating),
		cmocka_unit_test(state_in_and_out), cmocka_unit_test(traps), cmocka_unit_test(compat),
		cmocka_unit_test(host_values),
	};

	rig_begin();
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
