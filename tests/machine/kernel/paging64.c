/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * paging64.c - 4-level paging: who may do what, what is set in the entries, what a TLB may keep.
 *
 * The kernel's own mapping is made the supervisor's, so that it can run with SMEP and SMAP; ring 3
 * sees the same memory at USER_VIEW. The page under test is at LIN, by 4 KiB, 2 MiB or 1 GiB page.
 */
#include "lib.h"

extern u64 pml4[], pdpt[], pd[];
#define USER_VIEW 0x10000000000ul
#define FRAME (TEST_RAM + 0x400000ul)
#define SPARE (TEST_RAM + 0x800000ul)
#define SLOT1 0x8000000000ul
#define LIN (SLOT1 + FRAME)
static u64 *const pdpt1 = (u64 *)(TEST_RAM + 0x1000), *const pd1 = (u64 *)(TEST_RAM + 0x2000),
		  *const pt1 = (u64 *)(TEST_RAM + 0x3000), *const pt2 = (u64 *)(TEST_RAM + 0x4000);
#define PDI (FRAME >> 21 & 511)

CODE(k_read, "", "mov 64(%rdi),%eax");
CODE(k_write, "", "movb $1,64(%rdi)");
CODE(k_rmw, "", "lock incl 64(%rdi)");
CODE(k_exec, "", "call *%rdi");
CODE(k_read_ac, "pushfq; orl $0x40000,(%rsp); popfq", "mov 64(%rdi),%eax");
CODE(k_write_ac, "pushfq; orl $0x40000,(%rsp); popfq", "movb $1,64(%rdi)");
USER_CODE(u_read, "", "mov 64(%rdi),%eax");
USER_CODE(u_write, "", "movb $1,64(%rdi)");
USER_CODE(u_exec, "", "lea 16(%rdi),%rdi; jmp *%rdi");

enum acc { READ, WRITE, EXEC };
static const struct access {
	const char *name, *code, *at;
	enum acc acc;
	bool user, ac;
} accesses[] = {
	{ "supervisor read", k_read, k_read_at, READ, 0, 0 },
	{ "supervisor write", k_write, k_write_at, WRITE, 0, 0 },
	{ "supervisor read-modify-write", k_rmw, k_rmw_at, WRITE, 0, 0 },
	{ "supervisor fetch", k_exec, NULL, EXEC, 0, 0 },
	{ "supervisor read with AC", k_read_ac, k_read_ac_at, READ, 0, 1 },
	{ "supervisor write with AC", k_write_ac, k_write_ac_at, WRITE, 0, 1 },
	{ "user read", u_read, u_read_at, READ, 1, 0 },
	{ "user write", u_write, u_write_at, WRITE, 1, 0 },
	{ "user fetch", u_exec, NULL, EXEC, 1, 0 },
};
#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define U (PTE_U)
#define W (PTE_W)
#define NX (PTE_NX)

/* level: 0, 1, 2 for 4 KiB, 2 MiB, 1 GiB. upper: what is in the entries above the leaf. */
static u64 *map(unsigned level, u64 leaf, u64 upper)
{
	upper |= PTE_P;
	leaf |= PTE_P;
	pml4[1] = (word)pdpt1 | upper;
	if (level == 2) {
		pdpt1[0] = leaf | PTE_PS;
		return &pdpt1[0];
	}
	pdpt1[0] = (word)pd1 | PTE_P | W | U;
	if (level == 1) {
		pd1[PDI] = FRAME | leaf | PTE_PS;
		return &pd1[PDI];
	}
	pd1[PDI] = (word)pt1 | upper;
	pt1[0] = FRAME | leaf;
	return &pt1[0];
}

static word attempt(const struct access *a)
{
	if (a->user)
		return try_user(a->code + USER_VIEW, LIN, 2) == 0x80 ? NONE : exc.vec;
	return try_call(a->code, LIN);
}

static void matrix(void)
{
	static const char *const levels[] = { "4K: ", "2M: ", "1G: " };
	static char title[64];
	u32 r[4];
	cpuid(7, 0, r);
	bool has_smep = r[1] >> 7 & 1, has_smap = r[1] >> 20 & 1;
	word cr0 = get_cr0(), cr4 = get_cr4();

	cpuid(0x80000001, 0, r);
	unsigned top = r[3] >> 26 & 1 ? 3 : 2;
	for (unsigned level = 0; level < top; level++)
		for (unsigned k = 0; k < COUNT(accesses); k++) {
			const struct access *a = &accesses[k];
			unsigned n = 0;

			memcpy(title, levels[level], 4);
			for (n = 4; a->name[n - 4]; n++)
				title[n] = a->name[n - 4];
			title[n] = 0;
			t(title);
			unsigned bad = 0;
			for (unsigned m = 0; m < 8 * 64 && bad < 3; m++) {
				bool wp = m & 1, smep = m & 2, smap = m & 4;
				u64 leaf = (m & 8 ? U : 0) | (m & 16 ? W : 0) | (m & 32 ? NX : 0);
				u64 upper = (m & 64 ? U : 0) | (m & 128 ? W : 0) | (m & 256 ? NX : 0);
				bool u = leaf & upper & U, w = leaf & upper & W, nx = (leaf | upper) & NX, ok;

				if ((smep && !has_smep) || (smap && !has_smap))
					continue;
				set_cr0(wp ? cr0 | CR0_WP : cr0 & ~CR0_WP);
				set_cr4((cr4 & ~(CR4_SMEP | CR4_SMAP)) | (smep ? CR4_SMEP : 0) | (smap ? CR4_SMAP : 0));
				u64 *e = map(level, leaf, upper);
				invlpg(LIN);
				if (a->user)
					ok = u && (a->acc != WRITE || w) && (a->acc != EXEC || !nx);
				else if (a->acc == EXEC)
					ok = !nx && !(u && smep);
				else
					ok = !(u && smap && !a->ac) && (a->acc != WRITE || w || !wp);
				word got = attempt(a);
				word err =
				    1 | (a->acc == WRITE ? 2 : 0) | (a->user ? 4 : 0) | (a->acc == EXEC ? 16 : 0);
				bool good = got == (ok ? NONE : 14);
				if (!ok)
					good = good && exc.err == err &&
					       exc.cr2 == LIN + (a->acc != EXEC ? 64
								 : a->user      ? 16
										: 0);
				if (!ok && a->at)
					good = good && exc.ip == (word)a->at + (a->user ? USER_VIEW : 0);
				if (ok) {
					good = good && (*e & PTE_A) && (pml4[1] & PTE_A);
					good = good && !(*e & PTE_D) == (a->acc != WRITE);
				} else {
					good = good && !(*e & PTE_D);
				}
				if (!good) {
					bad++;
					eq(m, ~0ull); /* which combination */
					eq(got, ok ? NONE : 14);
					if (!ok) {
						eq(exc.err, err);
						eq(exc.cr2, LIN);
					}
					eq(*e & (PTE_A | PTE_D), ok ? (a->acc == WRITE ? PTE_A | PTE_D : PTE_A) : 0);
				}
			}
		}
	set_cr0(cr0);
	set_cr4(cr4);
}

static void reserved(const char *name, u64 *e, u64 bits, const struct access *a, word more)
{
	u64 old = *e;

	t(name);
	for (unsigned b = 0; b < 64; b++) {
		if (!(bits >> b & 1))
			continue;
		*e = old | 1ull << b;
		invlpg(LIN);
		word got = attempt(a);
		if (got != 14 || exc.err != (9 | more))
			eq(b, 64);
		eq(got, 14);
		eq(exc.err, 9 | more);
		eq(exc.cr2, LIN + 64);
	}
	*e = old;
	invlpg(LIN);
	eq(attempt(a), NONE);
}
static u64 range(unsigned from, unsigned to)
{
	return ((2ull << to) - 1) & ~((1ull << from) - 1);
}
static void reserved_bits(void)
{
	u32 r[4];
	cpuid(0x80000008, 0, r);
	u64 high = (r[0] & 0xff) < 52 ? range(r[0] & 0xff, 51) : 0;

	map(0, W | U, W | U);
	reserved("reserved: PML4E", &pml4[1], high | PTE_PS, &accesses[0], 0);
	reserved("reserved: PDPTE", &pdpt1[0], high, &accesses[0], 0);
	reserved("reserved: PDE", &pd1[PDI], high, &accesses[1], 2);
	reserved("reserved: PTE", &pt1[0], high, &accesses[6], 4);
	map(1, W | U, W | U);
	reserved("reserved: 2 MiB page", &pd1[PDI], high | range(13, 20), &accesses[7], 6);
	cpuid(0x80000001, 0, r);
	if (r[3] >> 26 & 1) {
		map(2, W | U, W | U);
		reserved("reserved: 1 GiB page", &pdpt1[0], high | range(13, 29), &accesses[0], 0);
	}
	map(0, W | U, W | U);
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
	reserved("reserved: NX without NXE", &pt1[0], NX, &accesses[0], 0);
	t("fetch faults have no I bit without NXE and SMEP");
	pt1[0] = FRAME | W;
	pt1[0] &= ~PTE_P;
	invlpg(LIN);
	try_call(k_exec, LIN);
	eq(exc.vec, 14);
	eq(exc.err, 0);
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
}

#define AT(lin) (*(volatile u32 *)(lin))
static void stale(void)
{
	volatile u32 *a = (u32 *)(FRAME + 0x5000), *b = (u32 *)(SPARE + 0x5000);
	word l = LIN + 0x5000;

	*a = 0xa;
	*b = 0xb;
	map(0, W | U, W | U);
	flush();
	t("not present to present needs no flush");
	pt1[5] = 0;
	invlpg(l);
	eq(try_call(k_read, l), 14);
	pt1[5] = (FRAME + 0x5000) | PTE_P | W;
	eq(AT(l), 0xa);

	t("another frame after INVLPG");
	pt1[5] = (SPARE + 0x5000) | PTE_P | W;
	invlpg(l);
	eq(AT(l), 0xb);
	t("another frame after a CR3 load");
	pt1[5] = (FRAME + 0x5000) | PTE_P | W;
	flush();
	eq(AT(l), 0xa);
	t("another table after INVLPG");
	memset(pt2, 0, 4096);
	pt2[5] = (SPARE + 0x5000) | PTE_P | W;
	pd1[PDI] = (word)pt2 | PTE_P | W | U;
	invlpg(l);
	eq(AT(l), 0xb);
	t("another directory after a CR3 load");
	u64 *pd_x = (u64 *)(TEST_RAM + 0x5000);
	memset(pd_x, 0, 4096);
	pd_x[PDI] = (word)pt1 | PTE_P | W | U;
	pdpt1[0] = (word)pd_x | PTE_P | W | U;
	flush();
	eq(AT(l), 0xa);

	t("global pages: INVLPG");
	set_cr4(get_cr4() | CR4_PGE);
	map(0, W | U, W | U);
	pt1[5] = (FRAME + 0x5000) | PTE_P | W | PTE_G;
	flush();
	eq(AT(l), 0xa);
	pt1[5] = (SPARE + 0x5000) | PTE_P | W | PTE_G;
	invlpg(l);
	eq(AT(l), 0xb);
	t("global pages: CR4.PGE off and on");
	pt1[5] = (FRAME + 0x5000) | PTE_P | W | PTE_G;
	set_cr4(get_cr4() & ~CR4_PGE);
	eq(AT(l), 0xa);
	set_cr4(get_cr4() | CR4_PGE);
	eq(AT(l), 0xa);
	t("a page made global and then not: CR3 load");
	pt1[5] = (FRAME + 0x5000) | PTE_P | W;
	flush();
	eq(AT(l), 0xa);
	pt1[5] = (SPARE + 0x5000) | PTE_P | W;
	flush();
	eq(AT(l), 0xb);
	set_cr4(get_cr4() & ~CR4_PGE);

	t("INVLPG drops all of a 2 MiB page");
	map(1, W | U, W | U);
	flush();
	eq(AT(l), 0xa);
	pd1[PDI] = SPARE | PTE_P | W | PTE_PS;
	invlpg(LIN + 0x100000);
	eq(AT(l), 0xb);
	t("INVLPG drops all of a 1 GiB page");
	map(2, W | U, W | U);
	flush();
	eq(AT(l), 0xa);
	pdpt1[0] = (word)pd_x | PTE_P | W | U;
	pd_x[PDI] = SPARE | PTE_P | W | PTE_PS;
	invlpg(SLOT1 + 0x1000);
	eq(AT(l), 0xb);
	t("INVLPG drops the fetches of a 2 MiB page");
	map(1, W | U, W | U);
	*(u64 *)(FRAME + 0x6000) = 0xc300000001b8; /* mov $1, %eax; ret */
	*(u64 *)(SPARE + 0x6000) = 0xc300000002b8;
	flush();
	eq(((u32(*)(void))(LIN + 0x6000))(), 1);
	pd1[PDI] = SPARE | PTE_P | W | PTE_PS;
	invlpg(LIN);
	eq(((u32(*)(void))(LIN + 0x6000))(), 2);
	t("code of another frame after a CR3 load");
	pd1[PDI] = FRAME | PTE_P | W | PTE_PS;
	flush();
	eq(((u32(*)(void))(LIN + 0x6000))(), 1);
	t("code of another frame after INVLPG");
	map(0, W | U, W | U);
	pt1[6] = (FRAME + 0x6000) | PTE_P;
	flush();
	eq(((u32(*)(void))(LIN + 0x6000))(), 1);
	pt1[6] = (SPARE + 0x6000) | PTE_P;
	invlpg(LIN + 0x6000);
	eq(((u32(*)(void))(LIN + 0x6000))(), 2);
	t("code taken away: PF on the fetch");
	pt1[6] = 0;
	invlpg(LIN + 0x6000);
	try_call(k_exec, LIN + 0x6000);
	eq(exc.vec, 14);
	eq(exc.err, 0x10);
	eq(exc.cr2, LIN + 0x6000);
	t("code made NX: PF on the fetch");
	pt1[6] = (SPARE + 0x6000) | PTE_P;
	eq(((u32(*)(void))(LIN + 0x6000))(), 2);
	pt1[6] |= NX;
	invlpg(LIN + 0x6000);
	eq(try_call(k_exec, LIN + 0x6000), 14);
	eq(exc.err, 0x11);
}

static void dirty(void)
{
	map(0, W | U, W | U);
	flush();
	t("a read leaves D clear, the write after it sets D");
	eq(try_call(k_read, LIN), NONE);
	eq(pt1[0] & 0x60, 0x20);
	eq(try_call(k_write, LIN), NONE);
	eq(pt1[0] & 0x60, 0x60);
	t("D is set again once cleared and flushed");
	pt1[0] &= ~(PTE_A | PTE_D);
	invlpg(LIN);
	eq(try_call(k_read, LIN), NONE);
	eq(pt1[0] & 0x60, 0x20);
	eq(try_call(k_write, LIN), NONE);
	eq(pt1[0] & 0x60, 0x60);
	t("a locked operation that stores nothing new still sets D");
	pt1[0] &= ~(PTE_A | PTE_D);
	invlpg(LIN);
	u32 old = 0x12345;
	__asm__ volatile("lock cmpxchgl %1, (%2)" : "+a"(old) : "r"(0), "r"(LIN + 128) : "memory");
	eq(pt1[0] & 0x60, 0x60);
	t("a supervisor's write to a read-only page without WP sets D");
	set_cr0(get_cr0() & ~CR0_WP);
	map(0, 0, W | U);
	invlpg(LIN);
	eq(try_call(k_write, LIN), NONE);
	eq(pt1[0] & 0x60, 0x60);
	set_cr0(get_cr0() | CR0_WP);
	t("WP on again: PF");
	eq(try_call(k_write, LIN), 14);
	eq(exc.err, 3);
	t("SMAP on: PF at once");
	u32 r[4];
	cpuid(7, 0, r);
	if (r[1] >> 20 & 1) {
		map(0, W | U, W | U);
		invlpg(LIN);
		eq(try_call(k_read, LIN), NONE);
		set_cr4(get_cr4() | CR4_SMAP);
		eq(try_call(k_read, LIN), 14);
		eq(exc.err, 1);
		__asm__ volatile("stac");
		eq(AT(LIN + 64) & 0, 0);
		__asm__ volatile("clac");
		eq(try_call(k_read, LIN), 14);
		set_cr4(get_cr4() & ~CR4_SMAP);
	}
}

CODE(x_read8, "", "mov (%rdi),%rax");
CODE(x_write8, "mov $-1,%rax", "mov %rax,(%rdi)");
CODE(x_rmw8, "", "lock addq $1,(%rdi)");
CODE(x_read_sse, "", "movups (%rdi),%xmm0");
CODE(x_write_sse, "pcmpeqd %xmm0,%xmm0", "movups %xmm0,(%rdi)");
static void crossing(void)
{
	static const struct {
		const char *name, *code, *at;
		word err;
	} x[] = {
		{ "crossing read", x_read8, x_read8_at, 0 },
		{ "crossing write", x_write8, x_write8_at, 2 },
		{ "crossing locked operation", x_rmw8, x_rmw8_at, 2 },
		{ "crossing SSE read", x_read_sse, x_read_sse_at, 0 },
		{ "crossing SSE write", x_write_sse, x_write_sse_at, 2 },
	};
	map(0, W | U, W | U);
	for (unsigned i = 0; i < COUNT(x); i++) {
		t(x[i].name);
		pt1[7] = (FRAME + 0x7000) | PTE_P | W;
		pt1[8] = 0;
		flush();
		volatile u32 *tail = (u32 *)(FRAME + 0x7ffc);
		*tail = 0x11223344;
		eq(try_call(x[i].code, LIN + 0x7ffc), 14);
		eq(exc.cr2, LIN + 0x8000);
		eq(exc.err, x[i].err);
		eq(exc.ip, x[i].at);
		eq(*tail, 0x11223344);
		/* the first page missing */
		pt1[8] = (FRAME + 0x8000) | PTE_P | W;
		pt1[7] = 0;
		flush();
		eq(try_call(x[i].code, LIN + 0x7ffc), 14);
		eq(exc.cr2, LIN + 0x7ffc);
		/* both there, not neighbours in memory */
		pt1[7] = (FRAME + 0x9000) | PTE_P | W;
		flush();
		*(u32 *)(FRAME + 0x9ffc) = 1;
		eq(try_call(x[i].code, LIN + 0x7ffc), NONE);
		eq(pt1[8] & 0x60, x[i].err ? 0x60 : 0x20);
	}
	t("an instruction across a border, its second page missing");
	pt1[7] = (FRAME + 0x7000) | PTE_P | W;
	pt1[8] = 0;
	flush();
	u8 *c = (u8 *)(FRAME + 0x7ffd);
	memcpy(c, "\xb8\x11\x22\x33\x44\xc3", 6);
	eq(try_call(k_exec, LIN + 0x7ffd), 14);
	eq(exc.cr2, LIN + 0x8000);
	eq(exc.err, 0x10);
	eq(exc.ip, LIN + 0x7ffd);
	t("... and then there");
	pt1[8] = (FRAME + 0x8000) | PTE_P | W;
	eq(((u32(*)(void))(LIN + 0x7ffd))(), 0x44332211);
	t("... and then remapped, by INVLPG of the second page");
	memcpy((void *)(SPARE + 0x8000), "\x77\x66\xc3", 3);
	pt1[8] = (SPARE + 0x8000) | PTE_P;
	invlpg(LIN + 0x8000);
	eq(((u32(*)(void))(LIN + 0x7ffd))(), 0x66772211);
	t("... and with its second page NX");
	pt1[8] |= NX;
	invlpg(LIN + 0x8000);
	eq(try_call(k_exec, LIN + 0x7ffd), 14);
	eq(exc.err, 0x11);
	eq(exc.cr2, LIN + 0x8000);
}

int main(void)
{
	pml4[2] = pml4[0];
	pml4[0] &= ~PTE_U;
	flush();
	*(u8 *)FRAME = 0xc3;
	*(u16 *)(FRAME + 16) = 0x80cd;
	matrix();
	reserved_bits();
	stale();
	dirty();
	crossing();
	return 0;
}
