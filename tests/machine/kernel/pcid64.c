/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcid64.c - process-context identifiers (SDM 3A 4.10.1) and INVPCID: what is refused, and what must be seen anew.
 * That translations are kept is no promise of the architecture: tests/engine/test_pcid.c looks at that.
 */
#include "lib.h"

extern u64 pml4[], pdpt[], pd[];
#define SLOT1 0x8000000000ul
#define LIN SLOT1 /* a page of SPACES address spaces, by a table of each */
#define CODE_LIN (SLOT1 + 0x1000)
#define SPACES 20
#define CR4_PCIDE 0x20000ul
#define NO_FLUSH (1ul << 63)
#define AT(lin) (*(volatile u32 *)(lin))

/* Of space i: PML4, PDPT, PD, PT, then four frames. */
static u64 *table(unsigned i, unsigned n)
{
	return (u64 *)(TEST_RAM + (i * 8 + n) * PAGE);
}
static u32 *frame(unsigned i, unsigned n)
{
	return (u32 *)table(i, 4 + n);
}
static void make(unsigned i)
{
	for (unsigned n = 0; n < 4; n++)
		memset(table(i, n), 0, PAGE);
	table(i, 0)[0] = pml4[0];
	table(i, 0)[1] = (word)table(i, 1) | PTE_P | PTE_W | PTE_U;
	table(i, 1)[0] = (word)table(i, 2) | PTE_P | PTE_W | PTE_U;
	table(i, 2)[0] = (word)table(i, 3) | PTE_P | PTE_W | PTE_U;
	for (unsigned n = 0; n < 4; n++)
		frame(i, n)[0] = i << 8 | n;
	for (unsigned n = 1; n < 4; n += 2) { /* mov $i << 8 | n, %eax; int $0x80 */
		u8 *code = (u8 *)frame(i, n);
		code[0] = 0xb8;
		*(u32 *)(code + 1) = i << 8 | n;
		code[5] = 0xcd;
		code[6] = 0x80;
	}
}
/* Frames 0 and 1 of space i at LIN and CODE_LIN, or 2 and 3. */
static void map(unsigned i, bool other, u64 bits)
{
	table(i, 3)[0] = (word)frame(i, other ? 2 : 0) | PTE_P | PTE_W | PTE_U | bits;
	table(i, 3)[1] = (word)frame(i, other ? 3 : 1) | PTE_P | PTE_W | PTE_U | bits;
}
static void load(unsigned i, word flag)
{
	set_cr3((word)table(i, 0) | i | flag);
}
/* What is seen at both pages by ring 0, and by ring 3's fetches: frame 0's or 2's number, and -1 if they do not agree.
 */
static u32 seen(void)
{
	u32 v = AT(LIN);

	if (try_user((void *)CODE_LIN, 0, 2) != 0x80 || exc.ax != v + 1)
		return (u32)-1;
	return v;
}

struct invpcid {
	u64 type, pcid, lin;
};
static void invpcid(u64 type, u64 pcid, u64 lin)
{
	struct invpcid d = { type, pcid, lin };

	__asm__ volatile("invpcid %1, %0" ::"r"(type), "m"(d.pcid), "m"(d.lin) : "memory");
}

CODE(k_cr4, "", "mov %rdi,%cr4");
CODE(k_cr3, "", "mov %rdi,%cr3");
CODE(k_invpcid, "mov (%rdi),%rax", "invpcid 8(%rdi),%rax");
CODE(k_invpcid_reg, "", ".byte 0x66,0x0f,0x38,0x82,0xc0");
USER_CODE(u_invpcid, "mov (%rdi),%rax", "invpcid 8(%rdi),%rax");

static void gp(const char *name, const char *code, word arg)
{
	t(name);
	eq(try_call(code, arg), 13);
	eq(exc.err, 0);
}
static void inv_gp(const char *name, u64 type, u64 pcid, u64 lin)
{
	struct invpcid d = { type, pcid, lin };

	gp(name, k_invpcid, (word)&d);
	eq(exc.ip, k_invpcid_at);
}
static void inv_ok(const char *name, u64 type, u64 pcid, u64 lin)
{
	struct invpcid d = { type, pcid, lin };

	t(name);
	eq(try_call(k_invpcid, (word)&d), NONE);
}

static void invpcid_faults(void)
{
	struct invpcid d = { 2, 0, 0 };

	t("UD: INVPCID of a register");
	eq(try_call(k_invpcid_reg, 0), 6);
	t("GP: INVPCID in ring 3");
	eq(try_user(u_invpcid, (word)&d, 2), 13);
	inv_gp("GP: INVPCID of type 4", 4, 0, 0);
	inv_gp("GP: INVPCID of type 2^32", 1ull << 32, 0, 0);
	inv_gp("GP: INVPCID, reserved bit 12", 2, 0x1000, 0);
	inv_gp("GP: INVPCID, reserved bit 63", 3, 1ull << 63, 0);
	inv_gp("GP: INVPCID of a page that is not canonical", 0, 0, 1ull << 63);
	inv_ok("INVPCID of all looks at no address", 2, 0, 1ull << 63);
	t("PF: the descriptor of INVPCID");
	eq(try_call(k_invpcid, SLOT1 * 4), 14);
}

static void without(void)
{
	word cr3 = get_cr3(), cr4 = get_cr4();

	gp("GP: bit 63 of CR3 without PCIDE", k_cr3, cr3 | NO_FLUSH);
	set_cr3(cr3 | 0x18);
	gp("GP: CR4.PCIDE while CR3 has low bits", k_cr4, cr4 | CR4_PCIDE);
	set_cr3(cr3);
}

static void registers(void)
{
	word cr3 = get_cr3();

	t("CR4.PCIDE stays set");
	eq(get_cr4() & CR4_PCIDE, CR4_PCIDE);
	t("bit 63 is not kept in CR3");
	set_cr3(cr3 | NO_FLUSH | 5);
	eq(get_cr3(), cr3 | 5);
	set_cr3(cr3);
	gp("GP: bit 62 of CR3", k_cr3, cr3 | 1ul << 62);
	gp("GP: bits 62 and 63 of CR3", k_cr3, cr3 | 3ul << 62);
}

static void apart(void)
{
	t("every PCID sees its own pages");
	for (unsigned i = 0; i < SPACES; i++) {
		map(i, false, 0);
		load(i, 0);
		eq(seen(), i << 8);
	}
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = round; i < SPACES; i += round + 1) {
			load(i, NO_FLUSH);
			eq(seen(), i << 8);
		}
	for (unsigned n = 0; n < 8; n++) {
		load(1 + n % 2, NO_FLUSH);
		eq(seen(), (1 + n % 2) << 8);
	}
}

/* Space 1 has frame 0 in the TLB, space 2 is in use; then space 1 is changed to frame 2. */
static void prepare(u64 bits)
{
	map(1, false, bits);
	load(1, 0);
	invlpg(LIN);
	invlpg(CODE_LIN);
	seen();
	load(2, NO_FLUSH);
	seen();
	map(1, true, bits);
}

static void anew(bool with_invpcid)
{
	t("a CR3 load without bit 63 sees the PCID anew");
	prepare(0);
	load(1, 0);
	eq(seen(), 0x102);
	t("INVLPG of the page in the PCID in use");
	map(1, false, 0);
	invlpg(LIN);
	invlpg(CODE_LIN);
	eq(seen(), 0x100);
	t("CR4.PGE sees all PCIDs anew");
	prepare(0);
	set_cr4(get_cr4() ^ CR4_PGE);
	load(1, NO_FLUSH);
	eq(seen(), 0x102);
	prepare(PTE_G);
	set_cr4(get_cr4() ^ CR4_PGE);
	load(1, NO_FLUSH);
	eq(seen(), 0x102);
	set_cr4(get_cr4() & ~CR4_PGE);
	t("CR4.PCIDE cleared sees all PCIDs anew");
	prepare(0);
	load(0, 0);
	set_cr4(get_cr4() & ~CR4_PCIDE);
	set_cr4(get_cr4() | CR4_PCIDE);
	load(1, NO_FLUSH);
	eq(seen(), 0x102);
	if (!with_invpcid)
		return;
	t("INVPCID of a page of another PCID");
	prepare(0);
	invpcid(0, 1, LIN);
	invpcid(0, 1, CODE_LIN);
	load(1, NO_FLUSH);
	eq(seen(), 0x102);
	t("INVPCID of a page of the PCID in use");
	map(1, false, 0);
	invpcid(0, 1, LIN);
	invpcid(0, 1, CODE_LIN);
	eq(seen(), 0x100);
	t("INVPCID of another PCID");
	prepare(0);
	invpcid(1, 1, 0);
	load(1, NO_FLUSH);
	eq(seen(), 0x102);
	t("INVPCID of the PCID in use");
	map(1, false, 0);
	invpcid(1, 1, 0);
	eq(seen(), 0x100);
	t("INVPCID of all");
	prepare(0);
	invpcid(2, 0, 0);
	load(1, NO_FLUSH);
	eq(seen(), 0x102);
	t("INVPCID of all but global pages");
	prepare(0);
	invpcid(3, 0, 0);
	load(1, NO_FLUSH);
	eq(seen(), 0x102);
	map(1, false, 0);
	invpcid(3, 0, 0);
	eq(seen(), 0x100);
	t("INVPCID of all drops global pages");
	set_cr4(get_cr4() | CR4_PGE);
	prepare(PTE_G);
	invpcid(2, 0, 0);
	load(1, NO_FLUSH);
	eq(seen(), 0x102);
	set_cr4(get_cr4() & ~CR4_PGE);
}

int main(void)
{
	u32 r[4];
	word cr4 = get_cr4();

	cpuid(1, 0, r);
	bool pcid = r[2] >> 17 & 1;
	cpuid(7, 0, r);
	bool inv = r[1] >> 10 & 1;

	for (unsigned i = 0; i < SPACES; i++)
		make(i);
	if (inv) {
		invpcid_faults();
		inv_gp("GP: INVPCID of a PCID without PCIDE", 1, 1, 0);
		inv_gp("GP: INVPCID of a PCID's page without PCIDE", 0, 1, 0);
		inv_ok("INVPCID of PCID 0 without PCIDE", 1, 0, 0);
		inv_ok("INVPCID of all without PCIDE needs no PCID", 2, 1, 0);
		inv_ok("INVPCID of all but global pages without PCIDE", 3, 1, 0);
	} else {
		t("UD: INVPCID where CPUID has it not");
		struct invpcid d = { 2, 0, 0 };
		eq(try_call(k_invpcid, (word)&d), 6);
	}
	if (!pcid) {
		gp("GP: CR4.PCIDE where CPUID has it not", k_cr4, cr4 | CR4_PCIDE);
		return 0;
	}
	without();
	load(0, 0);
	set_cr4(cr4 | CR4_PCIDE);
	registers();
	if (inv)
		invpcid_faults();
	apart();
	anew(inv);
	return 0;
}
