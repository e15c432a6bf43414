/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_direct32.c - direct execution of 32-bit code: under a 64-bit kernel (direct_rig.h) and under a 32-bit one with
 * both kinds of its paging, it does what it does in the interpreter, and cannot get out.
 *
 * Hosts without 32-bit segments are to find that out and to translate; then the rest is skipped.
 */
#include "direct_rig.h"
#include "direct_watch.h"
#include "cpu/soft/direct/direct_flat.h"

#include <cpuid.h>

extern const u8 code32[], code32_end[], k32_vectors[], k32_return[];
extern const u8 u32_mix[], u32_tls[], u32_fs[], u32_read[], u32_write[], u32_call[], u32_sse[], u32_push[], u32_int3[],
    u32_int3_long[], u32_into[], u32_int4[], u32_bound[], u32_aam[], u32_bcd[], u32_ud2[], u32_hlt[], u32_cli[],
    u32_in[], u32_icebp[], u32_tf[], u32_tsc[], u32_short[], u32_selectors[], u32_load[], u32_sysenter[], u32_spin[],
    u32_syscall[], u32_far[], u32_cpuid[];
extern const u8 h_far[], h_syscall64[], h_int80[], h_sysenter[], h_syscall[], h_load[];

#define AT 0x600000u
#define V_INT80 0x80u
#define STACK32 0x70000000u
#define BLOB32 FRAME(500)
#define DATA32 0x10000000u
#define TLS (DATA32 + 0x1000)
#define CS32 0x23

static const char *no_segments; /* why 32-bit code is not executed directly here */

static u64 here(const u8 *label)
{
	return AT + (u64)(label - code32);
}

static void need32(void)
{
	need();
	if (no_segments) {
		print_message("skipped: %s\n", no_segments);
		skip();
	}
}

/* ---- under a 64-bit kernel ---- */

static struct rig *open32_as(const struct soft_options *options)
{
	struct rig *r = open_rig_as("mica-v2", 1, options);
	u64 n = (u64)(code32_end - code32);

	assert_int_equal(ram_put(r->ram, BLOB32, code32, n), 0);
	put64(r, GDT + 0x60, 0x00cff3000000ffffull); /* thread data */
	for (unsigned s = 0; s < SPACES; s++) {
		for (u64 o = 0; o < n; o += 0x1000)
			map(r, s, AT + o, BLOB32 + o, P | U);
		for (u64 o = 0; o < 4; o++)
			map(r, s, DATA32 + 0x1000 * o, FRAME(20 + 8 * s + o), P | W | U | NX);
		map(r, s, STACK32 - 0x1000, FRAME(60 + s), P | W | U | NX);
	}
	return r;
}

static struct rig *open32(bool direct)
{
	struct soft_options o = { .direct = direct ? SOFT_DIRECT_ALWAYS : SOFT_DIRECT_OFF,
				  .translate = direct ? SOFT_TRANSLATE_ON : SOFT_TRANSLATE_OFF };

	return open32_as(&o);
}

/* The user's registers of a test that begins. */
static void fresh(struct frame *f, u64 rip)
{
	*f = (struct frame){ .rip = rip,
			     .cs = CS32,
			     .ss = 0x2b,
			     .rflags = 0x202,
			     .rsp = STACK32 - 0x100,
			     .rax = 0x34567890, /* INT 80h loses its upper half in the host */
			     .rbx = 0xfedcba9876543210,
			     .rcx = 77,
			     .rdx = 0x8000000000000001,
			     .rsi = DATA32 + 0x40,
			     .rdi = 0x1111111122222222,
			     .rbp = 100,
			     .r8 = 0x8888888888888888,
			     .r15 = 15 };
}

static struct frame *enter32(struct rig *r, unsigned space, u64 rip)
{
	static struct cpu_state s;
	struct cpu *c = cpu_vm_cpu(r->vm, 0);
	struct err e = { 0 };
	struct frame *f = enter(r, 0, space, rip);

	fresh(f, rip);
	cpu_get_state(c, &s);
	s.tsc = 0;
	s.cstar = s.lstar;
	s.seg[SEG_DS] = s.seg[SEG_ES] = seg(0x2b, 0xc0f3, 0, ~0u);
	/* The kernel's until SWAPGS, then the user's. */
	s.seg[SEG_GS] = seg(0x63, 0xc0f3, KERNEL + PERCPU(0), ~0u);
	s.kernel_gs_base = TLS;
	s.gdt_limit = 0x6f;
	if (cpu_set_state(c, &s, &e) < 0)
		fail_msg("%s", e.msg);
	return f;
}

static void compare(struct rig *r[2])
{
	for (unsigned i = 0; i < MAX(r[0]->nlog, r[1]->nlog); i++)
		if (i >= r[0]->nlog || i >= r[1]->nlog || r[0]->log[i] != r[1]->log[i])
			fail_msg("note %u: %llx directly, %llx interpreted", i,
				 (unsigned long long)(i < r[0]->nlog ? r[0]->log[i] : 0),
				 (unsigned long long)(i < r[1]->nlog ? r[1]->log[i] : 0));
}

static void both(void (*scenario)(struct rig *))
{
	struct rig *r[2];

	need32();
	for (unsigned i = 0; i < 2; i++) {
		r[i] = open32(!i);
		scenario(r[i]);
		assert_true(i ? !stats(r[i])->starts : stats(r[i])->starts > 0);
	}
	compare(r);
	close_rig(r[0]);
	close_rig(r[1]);
}

static void do_registers(struct rig *r)
{
	struct frame *f = enter32(r, 0, here(u32_mix));

	for (unsigned i = 0; i < 60; i++) {
		f = go(r, 0);
		assert_int_equal(f->vec, V_INT80);
		note_frame(r, 0, f);
		f->rbp = 1 + i * 7;
		f->rflags = 0x202 | (i & 1 ? 0x400 : 0x8d5);
		f->r8 += 0x1234567890abcdef;
		f->rsi ^= 0xa5a5a5a500000000;
	}
	if (r->direct)
		assert_true(stops(r, DX_SYSCALL) >= 50);
}
static void registers(void **state)
{
	both(do_registers);
}

/* QEMU's emulation lets null segments be used. */
static bool host_knows_null(void)
{
	unsigned v[4] = { 0 };

	__get_cpuid(0x80000002, &v[0], &v[1], &v[2], &v[3]);
	return memcmp(v, "QEMU TCG", 8) != 0;
}

static void do_thread_data(struct rig *r)
{
	set64(r, FRAME(21), 0x2222);
	set64(r, FRAME(20) + 0xff8, 0x1111000000000000ull);
	struct frame *f = enter32(r, 0, here(u32_tls));
	for (unsigned i = 0; i < 20; i++) {
		f = go(r, 0);
		assert_int_equal(f->vec, V_INT80);
		assert_int_equal((u32)f->rax, 0x11110000);
		assert_int_equal((u32)f->rbx, 0x2222);
		assert_int_equal((u32)f->rcx, i + 1);
		assert_int_equal(cpu_of(r, 0)->kernel_gs_base, TLS);
		note_frame(r, 0, f);
	}
	/* FS has a null selector. */
	if (host_knows_null()) {
		fresh(f, here(u32_fs));
		f = go(r, 0);
		assert_int_equal(f->vec, EXC_GP);
		note_frame(r, 0, f);
	}
}
static void thread_data(void **state)
{
	both(do_thread_data);
}

static void do_traps(struct rig *r)
{
	static const u8 *const code[] = { u32_int3, u32_int3_long, u32_into, u32_int4,    u32_bound, u32_aam,
					  u32_bcd,  u32_ud2,       u32_hlt,  u32_cli,     u32_in,    u32_icebp,
					  u32_tf,   u32_push,      u32_tsc,  u32_short,   u32_sse,   u32_selectors,
					  u32_load, u32_sysenter,  u32_far,  u32_syscall, u32_cpuid, u32_mix };
	struct frame *f = enter32(r, 0, 0);

	set64(r, FRAME(21), 0x3333);
	for (unsigned i = 0; i < ARRAY_LEN(code); i++) {
		fresh(f, here(code[i]));
		for (unsigned k = 0; k < (code[i] == u32_tf ? 4u : 1u); k++) {
			f = go(r, 0);
			note_frame(r, 0, f);
		}
	}
	/* The ends of what 32 bits can say; a device's memory, or none. */
	static const u32 odd[] = { 0xfffffffe, 0xffffffff, 0, 0x1000, 0x5c000000, 0xe0000000 };
	for (unsigned i = 0; i < ARRAY_LEN(odd); i++)
		for (unsigned k = 0; k < 3; k++) {
			fresh(f, here(k == 0 ? u32_read : k == 1 ? u32_write : u32_call));
			f->rsi = odd[i];
			f = go(r, 0);
			assert_true(f->vec == EXC_PF || f->vec == EXC_GP);
			note_frame(r, 0, f);
		}
}
static void traps(void **state)
{
	both(do_traps);
}

/* 64-bit and 32-bit code in turn in one address space. */
static void do_mixed(struct rig *r)
{
	struct frame *f = enter32(r, 0, here(u32_mix));

	for (unsigned i = 0; i < 6; i++) {
		f = go(r, 0);
		assert_int_equal(f->vec, V_INT80);
		note_frame(r, 0, f);
		f->cs = 0x33;
		f->rip = user(u_mix);
		f->rsp = USTACK - 0x100;
		f->rbp = 50;
		f = go(r, 0);
		assert_int_equal(f->vec, V_SYSCALL);
		note_frame(r, 0, f);
		fresh(f, here(u32_mix));
	}
}
static void mixed(void **state)
{
	both(do_mixed);
}

/* Who computes is let in, and the first one proves what the host can. */
static void let_in_by_time(void **state)
{
	const struct soft_options o = { .direct = SOFT_DIRECT_ON, .translate = SOFT_TRANSLATE_ON };
	static struct ticker t;

	need32();
	struct rig *r = open32_as(&o);
	struct frame *f = enter32(r, 1, here(u32_spin));
	assert_int_equal(r->soft->direct.code32, CODE32_UNKNOWN);
	start_ticker(r, &t, 3000);
	until_let_in(r, 0);
	assert_int_equal(r->soft->direct.code32, CODE32_YES);
	while (!stats(r)->starts)
		f = go(r, 0);
	stop_ticker(&t);
	assert_true(f->vec == V_INTR && f->cs == CS32 && f->rip - here(u32_spin) < 16);
	close_rig(r);
}

/* ---- nobody gets out ---- */

static void nobody_gets_out(void **state)
{
	/* What would end the runner if the host did it, in its numbers of 64 and of 32 bits. */
	enum { EXIT64 = 231, EXIT32 = 1 };
	static const struct {
		const char *what;
		const u8 *from, *to;
		u64 rbx;
	} way[] = {
		{ "64-bit code, SYSCALL", h_far, h_syscall64, EXIT64 },
		{ "64-bit code, INT 80h", h_far, h_int80, EXIT32 },
		{ "SYSENTER", h_sysenter, NULL, EXIT32 },
		{ "SYSCALL", h_syscall, NULL, EXIT32 },
		{ "a selector in GS", h_load, NULL, 0x33 },
		{ "none in GS", h_load, NULL, 0 },
	};

	need32();
	struct rig *r = open32(true);
	struct frame *f = enter32(r, 0, here(u32_mix));
	for (unsigned i = 0; i < ARRAY_LEN(way); i++) {
		fresh(f, here(way[i].from));
		f->rbx = way[i].rbx;
		f->rdi = way[i].to ? here(way[i].to) : 0;
		f = go(r, 0);
		if (f->vec != EXC_GP && f->vec != EXC_UD) /* SYSENTER or SYSCALL, by the processor's vendor */
			fail_msg("%s: vector %llx at %llx", way[i].what, (unsigned long long)f->vec,
				 (unsigned long long)f->rip);
		assert_int_equal(f->cs, CS32);
		assert_int_equal(cpu_of(r, 0)->seg[SEG_GS].sel, 0x63);
		assert_int_equal(stops(r, DX_LOST), 0);
		u64 calls = stops(r, DX_SYSCALL);
		fresh(f, here(u32_mix));
		f = go(r, 0);
		assert_int_equal(f->vec, V_INT80);
		assert_int_equal(stops(r, DX_SYSCALL), calls + 1);
	}
	/* Into our pages, anywhere. */
	for (unsigned off = 0; off < 0x300; off++) {
		fresh(f, here(h_far));
		f->rbx = off % 3 ? EXIT64 : 9;
		f->rdi = RUNNER_BASE + off;
		f->r8 = RUNNER_BASE + RUNNER_CODE_BYTES;
		f = go(r, 0);
		assert_true(f->vec < 32);
		fresh(f, here(u32_mix));
		f = go(r, 0);
		assert_int_equal(f->vec, V_INT80);
	}
	assert_int_equal(stops(r, DX_LOST), 0);
	close_rig(r);
}

/* ---- under a 32-bit kernel ---- */

#define KERNEL32 0xc0000000u
#define LEGACY FRAME(700) /* its tables */
#define GDT32 (LEGACY + 0x8000)
#define IDT32 (LEGACY + 0x9000)
#define TSS32 (LEGACY + 0xa000)

struct frame32 {
	u32 edi, esi, ebp, esp0, ebx, edx, ecx, eax, vec, err, eip, cs, eflags, esp, ss;
};

static void put_entry(struct rig *r, bool pae, gpa_t table, u64 index, u64 v)
{
	u32 low = (u32)v;

	if (pae)
		put64(r, table + 8 * index, v);
	else
		assert_int_equal(ram_put(r->ram, table + 4 * index, &low, 4), 0);
}

static gpa_t legacy_table; /* the next free one */

static void map32(struct rig *r, bool pae, u32 lin, gpa_t gpa, u64 bits)
{
	unsigned shift = pae ? 21 : 22;
	gpa_t dir = pae ? LEGACY + 0x1000 + 0x1000 * (lin >> 30) : LEGACY;
	gpa_t e = dir + (lin >> shift & (pae ? 511 : 1023)) * (pae ? 8 : 4);
	u64 v = *word(r, e & ~7ull) >> (e & 4 ? 32 : 0) & (pae ? ~0ull : 0xffffffff);

	if (!(v & P)) {
		v = legacy_table | P | W | U | A;
		put_entry(r, pae, e, 0, v);
		legacy_table += 0x1000;
	}
	put_entry(r, pae, v & 0xfffff000, lin >> 12 & (pae ? 511 : 1023), gpa | (pae ? bits : bits & ~NX));
}

static struct frame32 *enter_legacy(struct rig *r, bool pae, u64 eip)
{
	static struct cpu_state s;
	struct cpu *c = cpu_vm_cpu(r->vm, 0);
	struct err e = { 0 };
	gpa_t sp = STACK(0) - sizeof(struct frame32);
	struct frame32 *f = (struct frame32 *)(void *)ram_ptr(r->ram, sp, sizeof(*f));
	u32 tss[3] = { 0, KERNEL32 + STACK(0), 0x68 };

	legacy_table = LEGACY + 0x10000;
	for (unsigned i = 0; pae && i < 4; i++)
		put64(r, LEGACY + 8 * i, (LEGACY + 0x1000 + 0x1000 * i) | P);
	for (u64 o = 0; o < RAM_BYTES; o += 1u << (pae ? 21 : 22))
		put_entry(r, pae, pae ? LEGACY + 0x4000 : LEGACY, (pae ? 0 : KERNEL32 >> 22) + (o >> (pae ? 21 : 22)),
			  o | P | W | A | D | PS);
	for (u32 o = 0; o < (u64)(code32_end - code32); o += 0x1000)
		map32(r, pae, AT + o, BLOB32 + o, P | U);
	for (u32 o = 0; o < 4; o++)
		map32(r, pae, DATA32 + 0x1000 * o, FRAME(20 + o), P | W | U | NX);
	map32(r, pae, STACK32 - 0x1000, FRAME(60), P | W | U | NX);
	/* Linux's selectors. */
	put64(r, GDT32 + 0x60, 0x00cf9b000000ffffull);
	put64(r, GDT32 + 0x68, 0x00cf93000000ffffull);
	put64(r, GDT32 + 0x70, 0x00cffb000000ffffull);
	put64(r, GDT32 + 0x78, 0x00cff3000000ffffull);
	put64(r, GDT32 + 0x30, 0x00cff3000000ffffull | (u64)(TLS & 0xffffff) << 16 | (u64)(TLS >> 24) << 56);
	for (unsigned v = 0; v < 256; v++) {
		u64 h = KERNEL32 + BLOB32 + (u64)(k32_vectors - code32) + 16 * v;
		u64 dpl = v == 3 || v == 4 || v == 5 || v == 0x80 ? 3 : 0;
		put64(r, IDT32 + 8 * v, (h & 0xffff) | 0x60u << 16 | (0x8eull | dpl << 5) << 40 | (h >> 16) << 48);
	}
	assert_int_equal(ram_put(r->ram, TSS32, tss, sizeof(tss)), 0);
	enter(r, 0, 0, 0);
	*f = (struct frame32){ .eip = (u32)eip, .cs = 0x73, .eflags = 0x202, .esp = STACK32 - 0x100, .ss = 0x7b };
	cpu_get_state(c, &s);
	s.tsc = 0;
	s.efer = pae ? EFER_NXE : 0;
	s.cr3 = LEGACY;
	s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PGE | (pae ? CR4_PAE : CR4_PSE);
	s.rip = KERNEL32 + BLOB32 + (u64)(k32_return - code32);
	for (unsigned i = 0; i < 16; i++)
		s.gpr[i] = 0;
	s.gpr[GPR_RSP] = KERNEL32 + sp;
	s.gdt_base = KERNEL32 + GDT32;
	s.gdt_limit = 0x7f;
	s.idt_base = KERNEL32 + IDT32;
	s.idt_limit = 0x7ff;
	s.seg[SEG_CS] = seg(0x60, 0xc09b, 0, ~0u);
	s.seg[SEG_SS] = seg(0x68, 0xc093, 0, ~0u);
	s.seg[SEG_DS] = s.seg[SEG_ES] = seg(0x7b, 0xc0f3, 0, ~0u);
	s.seg[SEG_FS] = seg(0, SEG_AR_UNUSABLE, 0, 0);
	s.seg[SEG_GS] = seg(0x33, 0xc0f3, TLS, ~0u);
	s.seg[SEG_TR] = seg(0x38, 0x8b, KERNEL32 + TSS32, 0x67);
	if (cpu_set_state(c, &s, &e) < 0)
		fail_msg("%s", e.msg);
	return f;
}

static struct frame32 *go32(struct rig *r)
{
	return (struct frame32 *)(void *)go(r, 0);
}

static void note32(struct rig *r, const struct frame32 *f)
{
	u32 v[sizeof(*f) / 4];

	memcpy(v, f, sizeof(v));
	for (unsigned i = 0; i < ARRAY_LEN(v); i++)
		note(r, v[i]);
	if (f->vec == EXC_PF)
		note(r, cpu_of(r, 0)->cr2);
}

static void do_legacy(struct rig *r, bool pae)
{
	static const u8 *const code[] = {
		u32_fs, u32_int3,      u32_into, u32_bound, u32_bcd,      u32_push, u32_sse,
		u32_tf, u32_selectors, u32_load, u32_far,   u32_sysenter, u32_hlt,  u32_cpuid
	};

	set64(r, FRAME(21), 0x2222);
	set64(r, FRAME(20) + 0xff8, 0x1111000000000000ull);
	struct frame32 *f = enter_legacy(r, pae, here(u32_mix));
	for (unsigned i = 0; i < 20; i++) {
		f->ebp = 1 + i * 5;
		f = go32(r);
		assert_int_equal(f->vec, V_INT80);
		note32(r, f);
	}
	f->eip = (u32)here(u32_tls);
	f = go32(r);
	assert_int_equal(f->vec, V_INT80);
	assert_int_equal(f->eax, 0x11110000);
	assert_int_equal(f->ebx, 0x2222);
	note32(r, f);
	for (unsigned i = host_knows_null() ? 0 : 1; i < ARRAY_LEN(code); i++) {
		*f = (struct frame32){ .eip = (u32)here(code[i]),
				       .cs = 0x73,
				       .eflags = 0x202,
				       .esp = STACK32 - 0x100,
				       .ss = 0x7b,
				       .esi = DATA32 + 0x40,
				       .ebx = 5 };
		for (unsigned k = 0; k < (code[i] == u32_tf ? 4u : 1u); k++) {
			f = go32(r);
			note32(r, f);
		}
	}
	/* A page that comes, a page that may not be written, pages of 2 and 4 MiB. */
	u32 large = 0x20000000;
	set64(r, FRAME(30), 0x4444);
	set64(r, LARGE(4) + 0x201000, 0x5555);
	for (unsigned k = 0; k < 5; k++) {
		*f = (struct frame32){ .eip = (u32)here(k == 2 ? u32_write : u32_read),
				       .cs = 0x73,
				       .eflags = 0x202,
				       .esp = STACK32 - 0x100,
				       .ss = 0x7b,
				       .esi = k < 3 ? DATA32 + 0x8000 : large + 0x1000 };
		if (k == 1)
			map32(r, pae, DATA32 + 0x8000, FRAME(30), P | U);
		if (k == 4)
			put_entry(r, pae, pae ? LEGACY + 0x1000 : LEGACY, large >> (pae ? 21 : 22),
				  (LARGE(4) + (pae ? 0x200000 : 0)) | P | W | U | PS);
		if (k == 4 && !pae)
			f->esi += 0x200000;
		f = go32(r);
		note32(r, f);
		assert_int_equal(f->vec, k == 1 || k == 4 ? V_INT80 : EXC_PF);
		if (k == 1 || k == 4)
			assert_int_equal(f->eax, k == 1 ? 0x4444 : 0x5555);
	}
}

static void legacy(bool pae)
{
	struct rig *r[2];

	need32();
	for (unsigned i = 0; i < 2; i++) {
		r[i] = open32(!i);
		do_legacy(r[i], pae);
		assert_true(i ? !stats(r[i])->starts : stats(r[i])->starts > 0 && stops(r[i], DX_SYSCALL) >= 20);
	}
	compare(r);
	close_rig(r[0]);
	close_rig(r[1]);
}
static void under_32_bit_paging(void **state)
{
	legacy(false);
}
static void under_pae_paging(void **state)
{
	legacy(true);
}

/* The host's system calls, from under a kernel that has no 64-bit code. */
static void nobody_gets_out_of_32_bits(void **state)
{
	need32();
	struct rig *r = open32(true);
	struct frame32 *f = enter_legacy(r, true, here(h_far));

	f->ebx = 231;
	f->edi = (u32)here(h_syscall64);
	f = go32(r);
	assert_int_equal(f->vec, EXC_GP);
	assert_int_equal(f->cs, 0x73);
	assert_int_equal(stops(r, DX_LOST), 0);
	close_rig(r);
}

/* ---- everywhere ---- */

static void instructions_that_are_found(void **state)
{
	static const struct {
		u8 n, code[10];
		enum page_kind kind;
	} is[] = {
		{ 1, { 0x06 }, PAGE_NEVER },
		{ 1, { 0x1f }, PAGE_NEVER },
		{ 2, { 0x0f, 0xa9 }, PAGE_NEVER }, /* pop %gs */
		{ 2, { 0x8c, 0xe8 }, PAGE_NEVER }, /* mov %gs, %eax */
		{ 2, { 0x8e, 0xe8 }, PAGE_NEVER },
		{ 6, { 0x8e, 0x05, 0, 0, 0, 0x10 }, PAGE_NEVER }, /* mov 0x10000000, %es */
		{ 7, { 0xea, 1, 2, 3, 4, 0x33, 0 }, PAGE_NEVER },
		{ 5, { 0x66, 0x9a, 1, 2, 0x33 }, PAGE_NEVER },
		{ 2, { 0xff, 0x28 }, PAGE_NEVER }, /* ljmp *(%eax) */
		{ 1, { 0xcf }, PAGE_NEVER },
		{ 3, { 0xca, 4, 0 }, PAGE_NEVER },
		{ 2, { 0xc5, 0x00 }, PAGE_NEVER }, /* lds */
		{ 3, { 0x0f, 0xb2, 0x00 }, PAGE_NEVER },
		{ 2, { 0x0f, 0x05 }, PAGE_NEVER },
		{ 2, { 0x0f, 0x34 }, PAGE_NEVER },
		{ 3, { 0x0f, 0x02, 0xc0 }, PAGE_NEVER }, /* lar */
		{ 3, { 0x0f, 0x01, 0xd0 }, PAGE_ASKS },  /* xgetbv */
		{ 2, { 0xcd, 0x80 }, PAGE_PLAIN },
		{ 5, { 0xb8, 0x8e, 0xe8, 0x1f, 0x06 }, PAGE_PLAIN }, /* mov $..., %eax */
		{ 6, { 0x0f, 0x8c, 0x1e, 0x07, 0, 0 }, PAGE_PLAIN }, /* jl */
		{ 4, { 0xc5, 0xf8, 0x28, 0xc1 }, PAGE_PLAIN },       /* vmovaps %xmm1, %xmm0 */
		{ 4, { 0x67, 0x8b, 0x46, 0x1f }, PAGE_PLAIN },       /* mov 0x1f(%bp), %eax */
		{ 5, { 0x66, 0x81, 0xc3, 0x8e, 0xe8 }, PAGE_PLAIN }, /* add $0xe88e, %bx */
		{ 2, { 0x62, 0x06 }, PAGE_PLAIN },                   /* bound */
		{ 5, { 0xa1, 0x06, 0x07, 0x8e, 0xcf }, PAGE_PLAIN }, /* mov 0xcf8e0706, %eax */
		{ 2, { 0x41, 0x42 }, PAGE_PLAIN },                   /* inc */
	};
	/* What stands around them. */
	static const u8 around[] = {
		0x55, 0x89, 0xe5, 0x53, 0x83, 0xec, 0x28, 0x8b, 0x44, 0x24, 0x08, 0xa1, 0x10, 0x20,
		0x00, 0x08, 0x8d, 0x7c, 0x24, 0x10, 0xe8, 0x44, 0x33, 0x02, 0x00, 0x85, 0xc0, 0x75,
		0xe0, 0xc7, 0x44, 0x24, 0x0c, 0x01, 0x00, 0x00, 0x00, 0x0f, 0xb6, 0xc0, 0x47, 0xc3
	};
	static const struct direct_host host = { .cpuid_faults = true, .tsc_faults = true, .fsgsbase = true };
	static u8 page[2 * PAGE_BYTES];

	for (unsigned i = 0; i < ARRAY_LEN(is); i++)
		for (unsigned at_ = 0; at_ + 15 <= 2 * PAGE_BYTES; at_ += at_ > 4060 && at_ < 4100 ? 1 : 997) {
			unsigned k = at_ % sizeof(around);
			const u8 *a = page, *b = page + PAGE_BYTES;
			for (unsigned o = 0; o < sizeof(page); o++)
				page[o] = o < k ? 0x90 : around[(o - k) % sizeof(around)];
			/* In step behind it, too. */
			for (unsigned o = at_; o < sizeof(page); o++)
				page[o] = o < at_ + is[i].n ? is[i].code[o - at_]
							    : around[(o - at_ - is[i].n) % sizeof(around)];
			enum page_kind first = direct_scan32(&host, NULL, a, b),
				       second = direct_scan32(&host, a, b, NULL);
			if (first != (at_ < PAGE_BYTES ? is[i].kind : PAGE_PLAIN))
				fail_msg("code %u at %x: the first page is %d", i, at_, first);
			if (second != (at_ + is[i].n > PAGE_BYTES ? is[i].kind : PAGE_PLAIN))
				fail_msg("code %u at %x: the second page is %d", i, at_, second);
		}
}

/* A host without segments of 32 bits: it is known when such code comes, not before, and the code is translated. */
static void a_host_without(void **state)
{
	need();
	if (!no_segments)
		skip();
	struct rig *r = open32(true);
	assert_int_equal(r->soft->direct.code32, CODE32_UNKNOWN);
	struct frame *f = enter32(r, 0, here(u32_mix));
	f = go(r, 0);
	assert_int_equal(f->vec, V_INT80);
	assert_int_equal(r->soft->direct.code32, CODE32_NO);
	assert_string_equal(r->soft->direct.why32, no_segments);
	assert_int_equal(stats(r)->starts, 0);
	/* 64-bit code is as ever. */
	f = enter(r, 0, 0, user(u_mix));
	f->rbp = 50;
	f = go(r, 0);
	assert_int_equal(f->vec, V_SYSCALL);
	assert_true(stats(r)->starts > 0);
	close_rig(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions_that_are_found),
		cmocka_unit_test(a_host_without),
		cmocka_unit_test(registers),
		cmocka_unit_test(thread_data),
		cmocka_unit_test(traps),
		cmocka_unit_test(mixed),
		cmocka_unit_test(let_in_by_time),
		cmocka_unit_test(nobody_gets_out),
		cmocka_unit_test(under_32_bit_paging),
		cmocka_unit_test(under_pae_paging),
		cmocka_unit_test(nobody_gets_out_of_32_bits),
	};

	rig_begin();
	if (!why_not) {
		struct rig *r = open32(true);
		enter32(r, 0, here(u32_mix));
		go(r, 0);
		if (r->soft->direct.code32 != CODE32_YES)
			no_segments = r->soft->direct.why32 ? r->soft->direct.why32 : "nobody asked";
		close_rig(r);
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
