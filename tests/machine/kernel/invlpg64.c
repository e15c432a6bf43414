/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * invlpg64.c - what one INVLPG is for (SDM 3A 4.10.4.1): all of a large page, whatever address in it is named, and a
 * global page in every PCID. Ring 0, ring 0 between STAC and CLAC, and ring 3, which engines may keep apart; data and
 * code.
 */
#include "lib.h"

extern u64 pml4[];
#define LIN 0x8000000000ul
#define CR4_PCIDE 0x20000ul
#define NO_FLUSH (1ul << 63)
#define AT(lin) (*(volatile u32 *)(lin))
#define BIG(n) (TEST_RAM + 0x400000ul + 0x200000ul * (n)) /* 2 MiB */

static bool smap;

/* Of space i: PML4, PDPT, PD, PT. */
static u64 *table(unsigned i, unsigned n)
{
	return (u64 *)(TEST_RAM + (i * 4 + n) * PAGE);
}
/* Says that it is n: when it is read, or executed in ring 0, ring 3, or ring 0 with AC. */
static void fill(word at, u32 n)
{
	static const u8 ring0[] = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* mov $n, %eax; ret */
	static const u8 ring3[] = { 0xb8, 0, 0, 0, 0, 0xcd, 0x80 };

	AT(at) = n;
	memcpy((void *)(at + 0x40), ring0, sizeof(ring0));
	memcpy((void *)(at + 0x80), ring3, sizeof(ring3));
	memcpy((void *)(at + 0xc0), ring0, sizeof(ring0));
	AT(at + 0x41) = AT(at + 0x81) = AT(at + 0xc1) = n;
}
static word frame(unsigned n)
{
	return TEST_RAM + 0x100000 + n * PAGE;
}
static void make(unsigned i)
{
	for (unsigned n = 0; n < 4; n++)
		memset(table(i, n), 0, PAGE);
	table(i, 0)[0] = pml4[0];
	for (unsigned n = 0; n < 3; n++)
		table(i, n)[n == 0] = (word)table(i, n + 1) | PTE_P | PTE_W | PTE_U;
}
static void load(unsigned i, word flag)
{
	set_cr3((word)table(i, 0) | i | flag);
}

static void set_ac(bool on)
{
	if (on)
		__asm__ volatile("pushfq; orl $0x40000,(%%rsp); popfq" ::: "memory", "cc");
	else
		__asm__ volatile("pushfq; andl $~0x40000,(%%rsp); popfq" ::: "memory", "cc");
}
/* The kernel's own memory is the user's, too: with SMAP it runs with AC set. */
static void set_smap(bool on)
{
	if (on)
		set_ac(true);
	set_cr4((get_cr4() & ~CR4_SMAP) | (on ? CR4_SMAP : 0));
	if (!on)
		set_ac(false);
}

USER_CODE(u_read, "", "mov (%rdi),%eax");
USER_CODE(u_write, "", "movl $0x777,8(%rdi)");

/* Executed with AC only: a translator may have made it for that. */
CODE_END(k_call_ac, "", "call *%rdi", "dec %esi; jnz k_call_ac; ret");

enum way { READ, WRITE, EXEC, USER_READ, USER_WRITE, USER_EXEC, EXEC_AC, WAYS };
static const char *const names[WAYS] = { "ring 0 reads",  "ring 0 writes",   "ring 0 executes",        "ring 3 reads",
					 "ring 3 writes", "ring 3 executes", "ring 0 executes with AC" };

/* Which page that way of looking finds at lin; frames: by number. */
static u32 look(enum way way, word lin, word (*page)(unsigned n), unsigned first, unsigned last)
{
	u32 v = 0;

	for (unsigned n = first; n <= last; n++)
		AT(page(n) + 8) = 0;
	for (unsigned k = 0; k < 40; k++) /* until it is translated and linked */
		switch (way) {
		case READ:
			v = AT(lin);
			break;
		case WRITE:
			AT(lin + 8) = 0x777;
			break;
		case EXEC:
			v = ((u32(*)(void))(lin + 0x40))();
			break;
		case USER_READ:
			v = try_user(u_read, lin, 2) == 0x80 ? (u32)exc.ax : ~0u;
			break;
		case USER_WRITE:
			v = try_user(u_write, lin, 2) == 0x80 ? 0 : ~0u;
			break;
		case EXEC_AC:
			v = ((u32(*)(word, u32))(word)k_call_ac)(lin + 0xc0, 40);
			break;
		default:
			v = try_user((void *)(lin + 0x80), 0, 2) == 0x80 ? (u32)exc.ax : ~0u;
		}
	if (way == WRITE || way == USER_WRITE)
		for (unsigned n = first; n <= last; n++)
			if (AT(page(n) + 8) == 0x777)
				v = AT(page(n));
	return v;
}

/* ---- large pages ---- */

static word big(unsigned n)
{
	return BIG(n) + 0x5000;
}

static void large(unsigned level, enum way way, bool user)
{
	/* Of a page of 1 GiB at 0 nothing but what it is changed from shows. */
	u64 *e = &table(1, 3 - level)[level == 2 ? 0 : 1], bits = PTE_P | PTE_W | (user ? PTE_U : 0), was = *e;
	word lin = level == 2 ? LIN + big(0) : LIN + 0x205000, size = level == 2 ? 0x40000000ul : 0x200000ul;
	word other = level == 2 ? LIN + 0x3ff00000ul : LIN + 0x3f0000ul;

	t(names[way]);
	*e = level == 2 ? bits | PTE_PS : BIG(0) | bits | PTE_PS;
	load(1, 0);
	eq(look(way, lin, big, 0, 1), 0x200);
	/* The same addresses in another way, and one INVLPG at the other end. */
	if (level == 2) {
		*e = was;
		table(1, 2)[BIG(0) >> 21] = BIG(1) | bits | PTE_PS;
	} else {
		*e = BIG(1) | bits | PTE_PS;
	}
	invlpg(other);
	eq((lin ^ other) / size, 0);
	eq(look(way, lin, big, 0, 1), 0x201);
	table(1, 2)[BIG(0) >> 21] = 0;
	*e = was;
	load(1, 0);
}

/* ---- global pages ---- */

static void map(unsigned n, u64 bits)
{
	for (unsigned i = 1; i <= 2; i++)
		table(i, 3)[0] = frame(n) | PTE_P | PTE_W | PTE_G | bits;
}
static void global(enum way way, bool user)
{
	u64 bits = user ? PTE_U : 0;

	t(names[way]);
	for (unsigned back = 0; back < 2; back++) {
		unsigned here = back ? 1 : 2, there = 3 - here;
		map(0, bits);
		load(there, 0);
		invlpg(LIN);
		eq(look(way, LIN, frame, 0, 1), 0x100);
		load(here, NO_FLUSH);
		eq(look(way, LIN, frame, 0, 1), 0x100);
		map(1, bits);
		invlpg(LIN); /* as Linux's flush_tlb_one_kernel() does */
		eq(look(way, LIN, frame, 0, 1), 0x101);
		load(there, NO_FLUSH);
		eq(look(way, LIN, frame, 0, 1), 0x101);
	}
}

static void all(void (*scenario)(enum way way, bool user))
{
	for (enum way way = READ; way <= USER_EXEC; way++)
		scenario(way, way >= USER_READ);
	if (!smap)
		return;
	say("between STAC and CLAC:\n");
	set_smap(true);
	scenario(EXEC_AC, false);
	for (enum way way = READ; way <= WRITE; way++) {
		scenario(way, false);
		scenario(way, true);
	}
	set_smap(false);
}
static void large_2m(enum way way, bool user)
{
	large(1, way, user);
}
static void large_1g(enum way way, bool user)
{
	large(2, way, user);
}

int main(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	bool pcid = r[2] >> 17 & 1;
	cpuid(7, 0, r);
	smap = r[1] >> 20 & 1;
	for (unsigned i = 1; i <= 2; i++)
		make(i);
	for (unsigned n = 0; n < 2; n++) {
		fill(frame(n), 0x100 + n);
		fill(big(n), 0x200 + n);
	}
	set_cr3((word)table(1, 0));
	set_cr4(get_cr4() | CR4_PGE | (pcid ? CR4_PCIDE : 0));
	say("2 MiB:\n");
	all(large_2m);
	say("1 GiB:\n");
	all(large_1g);
	if (pcid) {
		say("global:\n");
		all(global);
	}
	return 0;
}
