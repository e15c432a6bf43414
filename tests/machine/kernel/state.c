/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state.c - cases of system state at random: descriptors, gates, frames, flags, breakpoints; what came of each is one
 * line.
 *
 * There is no host to ask about rings, descriptor tables and control registers. So this kernel makes cases from a seed
 * and says what the processor did, and tests/machine/state_diff.py runs it on several processors and compares: the
 * software engine in each of its ways, QEMU's TCG, KVM. Command line: seed=N first=N count=N, decimal.
 * docs/system-state.md.
 *
 * A case fills eight descriptors of the GDT and of an LDT, eight gates of the IDT, and writes an instruction or a few
 * to the page CODE, whose rest is INT3: wherever a transfer leads, it leads there, and the breakpoint says from where.
 * A line:
 *
 *   CASE KIND.RING VECTOR eERROR iIP cCS fFLAGS sSP sSS dDS,ES,FS,GS [bBASES] rAX,CX,DX [2CR2] [6DR6] ...
 */
#include "apic.h"

bool x2apic;
#define LDT 0x5000u
#define FAR 0x5800u /* far pointers, and data */
#define CODE_PAGE 0x6000u
#define LANDING (CODE_PAGE + 0x800)
#define FRAME 0x7800u /* frames, in the middle of a page */
#define SEL_LDT 0x90
#define POOL 8
#define WIDE (sizeof(word) == 8)

/* ---- chance: xorshift64*, the same in 32 bits ---- */
static u64 chance;
static u32 rnd(void)
{
	chance ^= chance >> 12;
	chance ^= chance << 25;
	chance ^= chance >> 27;
	return (u32)((chance * 0x2545f4914f6cdd1dull) >> 32);
}
static bool one_in(unsigned n)
{
	return !(rnd() % n);
}
#define PICK(array) array[rnd() % (sizeof(array) / sizeof(*array))]

/* ---- what is written down ---- */
static char line[2000];
static unsigned len;
static void put(char c)
{
	if (len < sizeof(line) - 2)
		line[len++] = c;
}
static void num(char what, u64 v)
{
	bool any = false;

	put(' ');
	put(what);
	for (int i = 60; i >= 0; i -= 4) {
		unsigned d = v >> i & 15;
		if (d || any || !i)
			put("0123456789abcdef"[d]), any = true;
	}
}
#define SREG(name) \
	({ \
		u32 s_; \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(s_)); \
		s_ & 0xffff; \
	})

/* Addresses that the linker chose, as 0xN0000 and a distance. */
static word plain(word a)
{
	const struct {
		word low, high;
	} own[] = { { (word)stack_top - 0x4000, (word)stack_top },
		    { (word)stack_top, (word)stack_top + 4096 }, /* IST 1 */
		    { (word)user_stack_top - 4096, (word)user_stack_top },
		    { (word)stubs, (word)stubs + 4096 } };

	for (unsigned i = 0; i < 4; i++)
		if (a >= own[i].low && a <= own[i].high)
			return 0x100000 * (i + 1) + a - own[i].high;
	return a;
}

static unsigned events;
static bool in_ring3;
static bool note(struct frame *f)
{
	static const word keep = ~0x202ul; /* IF: who has interrupts shows it by them */

	num('v', f->vec);
	num('e', f->err);
	num('i', plain(f->ip));
	num('c', f->cs & 0xffff);
	num('f', f->flags & keep);
	if (WIDE || (f->cs & 3)) {
		num('s', plain(f->sp));
		num('s', f->ss & 0xffff);
	}
#ifdef __x86_64__
	num('d', SREG(ds));
	num(',', SREG(es));
	num(',', SREG(fs));
	num(',', SREG(gs));
	num('b', rdmsr(0xc0000100));
	num(',', rdmsr(0xc0000101));
#else
	num('d', f->ds & 0xffff);
	num(',', f->es & 0xffff);
	num(',', f->fs & 0xffff);
	num(',', f->gs & 0xffff);
#endif
	num('r', (u32)f->ax);
	num(',', f->cx);
	num(',', (u32)f->dx);
	if (f->vec == 14)
		num('2', get_cr2());
	if (f->vec == 1) {
		num('6', get_dr6() & 0xe00f);
		set_dr6(0xffff0ff0);
	}
	if (f->vec == 0x40)
		apic_write(APIC_EOI, 0);
	if ((f->vec != 1 && f->vec != 0x40) || ++events == 6)
		return false;
	f->flags |= F_RF;
	return true;
}

/* ---- descriptors ---- */
static u64 *const ldt = (u64 *)(word)LDT;
static u8 alt_tss[2][256] __attribute__((aligned(256)));

static u16 selector(void)
{
	static const u16 fixed[] = { 0,    1,    2,    3,    0x08, 0x0b, 0x10,  0x13,  0x18,  0x23,
				     0x20, 0x2b, 0x28, 0x33, 0x30, 0x38, 0x3f8, 0x400, 0xfffb };
	static const u16 good[] = { 0x2b, 0x33, 0x23, 0x10, 0x08 };

	u32 any = rnd(); /* one a statement: compilers choose the order within it */

	switch (rnd() % 8) {
	case 0:
		return PICK(fixed);
	case 1:
	case 2:
		return PICK(good);
	case 3:
	case 4:
		return (u16)(4 | any % POOL * 8 | (any >> 16 & 3));
	default:
		return (u16)(SEL_FREE + any % POOL * 8 + (any >> 16 & 3));
	}
}
static u64 descriptor(void)
{
	static const u32 bases[] = { 0, 0, 0, CODE_PAGE },
			 limits[] = { 0x8fffff, 0x8fffff, 0xffff, 0x6fff, 0xfff, 0x40 };
	static const u8 rings[] = { 0, 0, 3, 3, 1, 2 };
	static const u8 gates[] = { 4, 12, 12, 12, 5 }, others[] = { 0, 1, 2, 3, 6, 7, 8, 9, 9, 10, 11, 13, 14, 15 };
	u32 ring = PICK(rings), p = one_in(10) ? 0 : 0x80, base = PICK(bases), lim = PICK(limits), type;

	if (one_in(4)) { /* a gate */
		type = PICK(gates);
		u32 off = LANDING + rnd() % 64 * 4;
		u16 sel = type == 5 ? (u16)(SEL_FREE + rnd() % POOL * 8) : selector();
		return (off & 0xffff) | (u64)sel << 16 | (u64)(WIDE ? 0 : rnd() % 4) << 32 |
		       (u64)(type | ring << 5 | p) << 40 | (u64)(off >> 16) << 48;
	}
	if (one_in(4)) {
		type = PICK(others);
		if (type == 2)
			base = LDT, lim = 8 * POOL - 1;
		else if (type == 1 || type == 9)
			base = (u32)(word)alt_tss[type == 9], lim = one_in(8) ? 0x20 : 0x80;
	} else {
		type = 0x10 | rnd() % 16;
	}
	u32 high = lim >> 16 & 0xf;
	if (lim >> 23)
		high |= 8 << 4;
	high |= (rnd() % 4) << 5; /* L, D */
	return (lim & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(type | ring << 5 | p) << 40 |
	       (u64)(high & 0xff) << 48 | (u64)(base >> 24) << 56;
}

static void tables(void)
{
	static const u8 types[] = { 5, 6, 7, 12, 14, 14, 14, 15, 15 };

	for (unsigned i = 0; i < POOL; i++) {
		gdt[SEL_FREE / 8 + i] = one_in(6) ? 0 : descriptor();
		ldt[i] = one_in(6) ? 0 : descriptor();
	}
	gdt[SEL_LDT / 8] = (8 * POOL - 1) | (u64)LDT << 16 | 0x82ull << 40;
	gdt[SEL_LDT / 8 + 1] = 0;
	for (unsigned v = 0x90; v < 0x98; v++) {
		u32 to = LANDING + rnd() % 64 * 4, ar = PICK(types);
		u16 sel = one_in(2) ? SEL_CODE : selector();

		ar |= one_in(8) ? 0 : 0x80;
		ar |= one_in(2) ? 0x60 : 0;
		gate_set(v, (const void *)(word)to, sel, ar, WIDE && one_in(4));
	}
	__asm__ volatile("lldt %w0" ::"r"(SEL_LDT));
#ifndef __x86_64__
	for (unsigned k = 0; k < 2; k++) {
		u32 *t = (u32 *)alt_tss[k];

		memset(t, 0, 256);
		t[1] = FRAME;
		t[2] = 0x10;
		t[7] = get_cr3();
		t[8] = LANDING + 0x200;
		t[9] = 2 | (one_in(4) ? F_TF : 0) | (one_in(6) ? F_NT : 0);
		for (unsigned i = 10; i < 18; i++)
			t[i] = 0x100 * i + FRAME;
		for (unsigned i = 18; i < 24; i++)
			t[i] = one_in(3) ? selector() : i == 19 ? 0x08 : 0x10;
		t[24] = one_in(4) ? selector() & 0xfff8u : SEL_LDT;
		t[25] = 0x800000 | one_in(4);
	}
#endif
}

/* ---- code ---- */
static u8 *at;
static void e1(u32 b)
{
	*at++ = (u8)b;
}
static void e2(u32 a, u32 b)
{
	e1(a);
	e1(b);
}
static void e3(u32 a, u32 b, u32 c)
{
	e2(a, b);
	e1(c);
}
static void e4(u32 v)
{
	for (unsigned i = 0; i < 4; i++)
		e1(v >> (8 * i));
}
enum { AX, CX, DX, BX, SP };
static void mov(unsigned r, u32 v)
{
	e1(0xb8 + r);
	e4(v);
}
/* op /reg [disp32], in 32 and 64-bit code */
static void mem(u32 reg, u32 disp)
{
	e2(0x04 | reg << 3, 0x25);
	e4(disp);
}
static void size(void)
{
	switch (rnd() % (WIDE ? 3 : 2)) {
	case 0:
		break;
	case 1:
		if (one_in(2))
			e1(0x66);
		break;
	default:
		e1(0x48);
	}
}

/* Where a transfer leads: to INT3 by a base of 0 or CODE, or to where nothing can be. */
static word offset(void)
{
	word o = LANDING + rnd() % 64 * 4;

	switch (rnd() % 12) {
	case 0:
		return WIDE ? (word)((u64)1 << 47) : o;
	case 1:
		return o - CODE_PAGE;
	default:
		return o;
	}
}
static u32 flags(void)
{
	u32 f = 2 | (rnd() & (u32)(F_CF | F_DF | F_IOPL3 | F_AC | 0x4 | 0x40 | 0x80 | 0x200000));

	if (one_in(5))
		f |= F_TF;
	if (one_in(12))
		f |= F_NT;
	if (one_in(12))
		f |= F_RF;
	if (one_in(24) && WIDE)
		f |= F_VM;
	return f;
}
/* A frame of n-byte items at FRAME. */
static void frame(unsigned n, const word *v, unsigned items)
{
	for (unsigned i = 0; i < items; i++)
		memcpy((void *)(word)(FRAME + n * i), &v[i], n < sizeof(word) ? n : sizeof(word));
}
static void far_frame(bool iret)
{
	unsigned n = WIDE && one_in(2) ? 8 : one_in(3) ? 2 : 4;
	word v[5], *p = v;

	*p++ = offset();
	*p++ = selector();
	if (iret)
		*p++ = flags() & ~(WIDE ? 0 : F_NT);
	*p++ = FRAME + 0x100;
	*p++ = one_in(2) ? 0x2b : selector();
	frame(n, v, 5);
	mov(SP, FRAME);
	if (n == 2)
		e1(0x66);
	if (n == 8)
		e1(0x48);
	if (iret) {
		e1(0xcf);
	} else if (one_in(3)) {
		e3(0xca, 8, 0);
	} else {
		e1(0xcb);
	}
}

static void k_load(void)
{
	static const u8 regs[] = { 0, 2, 3, 4, 5, 4, 5 }, prefix[] = { 0x26, 0, 0x36, 0x3e, 0x64, 0x65 };
	static const u32 offs[] = { 0, 0x200, 0xffd, 0x5ff0, 0x6ffe };
	unsigned r = PICK(regs);

	mov(AX, selector());
	e2(0x8e, 0xc0 | r << 3);
	e1(prefix[r]);
	e1(0x8b);
	mem(6, PICK(offs));
}
static void k_look(void)
{
	mov(CX, 0x55555555);
	mov(DX, 0);
	mov(AX, selector());
	switch (rnd() % 4) {
	case 0:
	case 1:
		size();
		e3(0x0f, 2 + rnd() % 2, 0xc8); /* LAR LSL */
		break;
	default:
		e3(0x0f, 0, 0xe0 | (rnd() % 2) << 3); /* VERR VERW */
	}
	e3(0x0f, 0x94, 0xc2);
}
static void k_far(void)
{
	word off = offset();
	unsigned n = WIDE && one_in(3) ? 8 : one_in(4) ? 2 : 4;
	u16 sel = selector();

	memcpy((void *)(word)FAR, &off, n < sizeof(word) ? n : sizeof(word));
	memcpy((void *)(word)(FAR + n), &sel, 2);
	if (n != 4)
		e1(n == 8 ? 0x48 : 0x66);
	e1(0xff);
	mem(one_in(2) ? 5 : 3, FAR); /* JMP CALL */
}
static void k_ret(void)
{
	far_frame(false);
}
static void k_iret(void)
{
	far_frame(true);
}
static void k_int(void)
{
	static const u16 one[] = { 0xcc, 0xf1, 0xce };

	if (one_in(5))
		e1(PICK(one));
	else
		e2(0xcd, one_in(4) ? rnd() % 32 : 0x90 + rnd() % 8);
}
static void k_tables(void)
{
	mov(AX, selector());
	if (one_in(3)) {
		e3(0x0f, 0, 0xd0);
		e3(0x0f, 0, 0xc1); /* LLDT; SLDT */
	} else {
		e3(0x0f, 0, 0xd8);
		e3(0x0f, 0, 0xc9); /* LTR; STR */
	}
}
#ifdef __x86_64__
static void mov64(u32 rex, u32 op, u64 v)
{
	e2(rex, op);
	e4((u32)v);
	e4((u32)(v >> 32));
}
static void k_fast(void)
{
	static const u16 bases[] = { 0x20, 0x23, 0x08, 0x18, 0, 0x48 };
	bool out = one_in(2);
	u64 back = PICK(bases), to = one_in(4) ? PICK(bases) : 8;

	wrmsr(0xc0000081, back << 48 | to << 32 | LANDING);
	wrmsr(0xc0000082, LANDING + 4);
	wrmsr(0xc0000083, LANDING + 8);
	wrmsr(0xc0000084, one_in(2) ? 0x47700 : rnd() & 0x3f7fd5);
	if (out) {
		mov64(0x48, 0xb9, offset());
		mov64(0x49, 0xbb, flags());
		if (one_in(2))
			e1(0x48);
		e2(0x0f, 7);
	} else {
		e2(0x0f, 5);
	}
}
#else
static void k_fast(void)
{
	/* Virtual-8086 mode */
	static const u8 ops[][4] = {
		{ 0xcd, 0x91 }, { 0xcc }, { 0xfa },       { 0xfb },          { 0x9c, 0x58 },       { 0x9d },
		{ 0xf4 },       { 0xcf }, { 0xe4, 0xe5 }, { 0x0f, 0, 0xc8 }, { 0x0f, 0x20, 0xc0 }, { 0x66, 0x9c }
	};
	word v[9] = { 0, CODE_PAGE / 16, (flags() & ~(u32)(F_NT | F_TF)) | F_VM, 0x400, FRAME / 16, 1, 2, 3, 4 };
	u8 *p = (u8 *)(word)CODE_PAGE;

	set_cr4((get_cr4() & ~1ul) | one_in(2));
	v[0] = 0x80;
	memcpy(p + 0x80, PICK(ops), 4);
	memset((void *)(word)(FRAME + 0x400), 0, 16);
	frame(4, v, 9);
	mov(SP, FRAME);
	e1(0xcf);
}
#endif
static const u8 steps[][4] = {
	{ 1, 0x90 },       { 2, 0x89, 0xc1 }, { 1, 0x9c }, { 1, 0xf5 },       { 2, 0x8c, 0xd0 },
	{ 2, 0x8e, 0xd2 }, { 1, 0xf1 },       { 1, 0xcc }, { 2, 0xeb, 0 },    { 2, 0xf3, 0xaa },
	{ 1, 0xa4 },       { 2, 0x0f, 0x0b }, { 1, 0x50 }, { 2, 0xcd, 0x94 }, { 1, 0xf8 },
};
static void k_step(void)
{
	static const u32 spots[] = { FAR + 0x100,      FAR + 0x101,      FAR + 0x104,     FAR + 0x108,
				     CODE_PAGE + 0x40, CODE_PAGE + 0x42, CODE_PAGE + 0x47 };
	static const u32 kinds[] = { 0, 1, 3 }, lens[] = { 0, 1, 3 };
	u32 dr7 = 0x400;

	for (unsigned i = 0; i < 2; i++) {
		u32 kind = PICK(kinds), spot = PICK(spots), l = kind ? PICK(lens) : 0;

		if (one_in(3))
			continue;
		dr7 |= 2u << (2 * i) | (kind | l << 2) << (16 + 4 * i);
		if (i)
			set_dr1(spot & ~(word)l);
		else
			set_dr0(spot & ~(word)l);
	}
	*(u32 *)(word)(FAR + 0x104) = in_ring3 ? 0x2b : 0x10;
	mov(DX, in_ring3 ? 0x2b : 0x10);
	mov(CX, 3);
	mov(6, FAR + 0x100);
	mov(7, FAR + 0x106);
	if (!in_ring3 && one_in(2)) { /* PUSHF; OR; POPF */
		e1(0x9c);
		e3(0x80, 0x4c, 0x24);
		e2(1, 1);
		e1(0x9d);
	}
	while (at < (u8 *)(word)CODE_PAGE + 0x40)
		e1(0x90);
	for (unsigned n = 1 + rnd() % 4; n--;) {
		switch (rnd() % 4) {
		case 0: /* MOV SS from memory */
			e1(0x8e);
			mem(2, FAR + 0x104);
			break;
		case 1: /* MOV to memory */
			e1(0x89);
			mem(0, FAR + 0x100 + rnd() % 12);
			break;
		default: {
			const u8 *o = PICK(steps);
			for (unsigned i = 1; i <= o[0]; i++)
				e1(o[i]);
		}
		}
	}
	set_dr7(dr7);
}
static void k_cr(void)
{
	/* Those that every voter has, and some that nobody may set */
	static const u8 bits0[] = { 1, 2, 3, 5, 16, 18, 29, 30, 6, 19, 28 },
			bits4[] = { 2, 3, 6, 7, 8, 9, 10, 15, 26, 31 };
	word v;

	if (one_in(2)) {
		v = get_cr0() ^ 1ul << PICK(bits0);
		mov(AX, (u32)v);
		mov(BX, (u32)get_cr0());
		e3(0x0f, 0x22, 0xc0);
		e3(0x0f, 0x20, 0xc1);
		e3(0x0f, 0x22, 0xc3);
	} else {
		v = get_cr4() ^ 1ul << PICK(bits4);
		mov(AX, (u32)v);
		mov(BX, (u32)get_cr4());
		e3(0x0f, 0x22, 0xe0);
		e3(0x0f, 0x20, 0xe1);
		e3(0x0f, 0x22, 0xe3);
	}
}
static void k_priv(void)
{
	static const u8 ops[][4] = {
		{ 1, 0xfa },          { 1, 0xfb },
		{ 2, 0xe4, 0xe5 },    { 2, 0xe6, 0x80 },
		{ 1, 0x6c },          { 3, 0x0f, 0x20, 0xc0 },
		{ 2, 0x0f, 6 },       { 2, 0x0f, 9 },
		{ 3, 0x0f, 1, 0xe1 }, { 3, 0x0f, 0, 0xc9 },
		{ 3, 0x0f, 0, 0xc1 }, { 3, 0x0f, 0x21, 0xf9 },
		{ 3, 0x0f, 1, 0xf0 }, { 3, 0x0f, 0x20, 0xd9 },
	};
	const u8 *o = PICK(ops);

	mov(CX, 0);
	mov(DX, 0x80);
	mov(7, FAR);
	for (unsigned i = 1; i <= o[0]; i++)
		e1(o[i]);
	if (o[1] == 0x0f && o[2] == 0x20) /* what CR0 and CR3 are is nobody's business */
		mov(CX, 0), mov(AX, 0);
	if (o[1] == 0xe4 || (o[1] == 0x0f && o[2] == 1))
		mov(AX, 0), mov(CX, 0);
}
static void k_flags(void)
{
	word f = flags();

	frame(sizeof(word), &f, 1);
	mov(SP, FRAME);
	if (one_in(3))
		e1(0x66);
	e2(0x9d, 0x90);
	e2(0x9c, 0x58);
}
static void k_shadow(void)
{
	static const u8 ops[][4] = { { 1, 0x90 }, { 1, 0xfa },    { 2, 0x8e, 0xd2 }, { 1, 0xfb },
				     { 1, 0xf8 }, { 2, 0xeb, 0 }, { 2, 0x0f, 0x0b }, { 1, 0xcc } };

	apic_icr(apic_id(), 0x40);
	mov(DX, 0x10);
	e1(0xfb);
	for (unsigned i = 0; i < 3; i++) {
		const u8 *o = PICK(ops);
		for (unsigned k = 1; k <= o[0]; k++)
			e1(o[k]);
	}
	e1(0xfa);
}

static const struct kind {
	const char *name;
	void (*make)(void);
	unsigned rings; /* bit 0: ring 0, bit 1: ring 3 */
} kinds[] = {
	{ "load", k_load, 3 },     { "look", k_look, 3 },
	{ "far", k_far, 3 },       { "ret", k_ret, 3 },
	{ "iret", k_iret, 3 },     { "int", k_int, 3 },
	{ "tables", k_tables, 3 }, { WIDE ? "fast" : "vm86", k_fast, WIDE ? 3 : 1 },
	{ "step", k_step, 3 },     { "cr", k_cr, 3 },
	{ "priv", k_priv, 3 },     { "flags", k_flags, 3 },
	{ "shadow", k_shadow, 1 },
};

/* What a case consists of. */
static void show(void)
{
	len = 0;
	for (unsigned i = 0; i < 2 * POOL; i++) {
		num(i < POOL ? 'g' : 'l', i < POOL ? SEL_FREE + 8 * i : 8 * (i - POOL) + 4);
		num('=', i < POOL ? gdt[SEL_FREE / 8 + i] : ldt[i - POOL]);
		put('\n');
	}
	for (unsigned v = 0x90; v < 0x98; v++) {
		num('i', v);
		num('=', idt[WIDE ? 2 * v : v]);
		put('\n');
	}
	for (const u8 *p = (const u8 *)(word)CODE_PAGE; p < at + 1; p++)
		num(' ', *p);
	num('F', *(u64 *)(word)FRAME);
	num(' ', *(u64 *)(word)(FRAME + 8));
	num(' ', *(u64 *)(word)(FRAME + 16));
	num('P', *(u64 *)(word)FAR);
	num(' ', *(u64 *)(word)(FAR + 8));
	num('D', get_dr0());
	num(' ', get_dr1());
	num(' ', get_dr7());
	put('\n');
	line[len] = 0;
	say(line);
}

static void one(u32 n, u64 seed, u32 count)
{
	static word cr0, cr4;

	if (!cr0)
		cr0 = get_cr0(), cr4 = get_cr4();
	chance = (seed * 1000003 + n) * 0x9e3779b97f4a7c15ull + 1;
	for (unsigned i = 0; i < 4; i++)
		rnd();
	const struct kind *k = &PICK(kinds);
	in_ring3 = k->rings == 2 || (k->rings == 3 && one_in(2));
	bool compat = WIDE && in_ring3 && one_in(4);
	tables();
	*(u16 *)(tss + 102) = one_in(2) ? 104 : 0xffff;
	memset(tss + 104, one_in(2) ? 0xff : 0, 256 - 104);
	memset((void *)(word)CODE_PAGE, 0xcc, 0x1000);
	memset((void *)(word)FAR, 0, 0x200);
	memset((void *)(word)(FRAME - 0x100), 0, 0x200);
	at = (u8 *)(word)CODE_PAGE;
	u32 fl = in_ring3 ? flags() & ~(u32)(F_NT | F_VM | F_RF | F_AC | F_DF) : 0;
	set_dr6(0xffff0ff0);
	if (!in_ring3) { /* as ring 3 begins: nothing of the compiler's */
		mov(SP, FRAME + 0x700);
		e3(0x6a, 2, 0x9d); /* PUSH; POPF */
		mov(AX, 0);
		mov(CX, 0);
		mov(DX, 0);
	}
	k->make();
	if (compat) /* no REX there: it is DEC */
		compat = *(u8 *)(word)CODE_PAGE != 0x48;

	if (count == 1) /* for a person */
		show();
	len = events = 0;
	num(' ', n);
	put(' ');
	for (const char *s = k->name; *s; s++)
		put(*s);
	put('.');
	put(in_ring3 ? compat ? 'c' : '3' : '0');
	on_exc = note;
	if (in_ring3)
		try_user_cs((const void *)(word)CODE_PAGE, 0, fl, compat ? SEL_UCODE32 : SEL_UCODE);
	else
		try_call((const void *)(word)CODE_PAGE, 0);
	on_exc = NULL;
	set_dr7(0x400);
	set_cr0(cr0);
	set_cr4(cr4);
	if (SREG(ss) != 0x10)
		__asm__ volatile("mov %0, %%ss" ::"r"(0x10));
	__asm__ volatile("lldt %w0; mov %w0, %%fs; mov %w0, %%gs" ::"r"(0));
	gdt_set(SEL_TSS, (u32)(word)tss, sizeof(tss) - 1, 0x89);
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS));
#ifdef __x86_64__
	wrmsr(0xc0000100, 0);
	wrmsr(0xc0000101, 0);
#else /* POPF leaves VIF as virtual-8086 mode had it */
	__asm__ volatile("pushfl; andl $~0x180000,(%%esp); push %%cs; push $1f; iret; 1:" ::: "memory", "cc");
#endif
	line[len] = 0;
	say(line + 1);
	say("\n");
}

static u32 option(const char *name, u32 without)
{
	const char *c = find(name);
	u32 v = 0;

	if (!*c)
		return without;
	while (*c != '=')
		c++;
	while (*++c >= '0' && *c <= '9')
		v = v * 10 + (u32)(*c - '0');
	return v;
}

int main(void)
{
	u32 seed = option("seed=", 1), first = option("first=", 0), count = option("count=", 200);

	t("cases");
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	apic_write(APIC_SVR, 0x1ff);
	volatile u8 *low = (u8 *)0;
	for (u32 i = 0; i < 0xe000; i++) /* the command line has been read */
		low[i] = 0xcc;
	for (u32 n = first; n < first + count; n++)
		one(n, seed, count);
	return 0;
}
