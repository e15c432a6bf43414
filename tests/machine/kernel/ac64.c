/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ac64.c - what #AC wants of each kind of memory operand (SDM 3A 6.15, table 6-7).
 *
 * Where the manual leaves it open (vectors that may be unaligned, masks, SGDT) the values are those of an AMD processor
 * of family 19H, by a program that sets EFLAGS.AC and tries all addresses of a cache line.
 */
#include "lib.h"

#define ON_STACK(insn) "mov %rdi,%rcx; xchg %rsp,%rcx; " insn "; xchg %rsp,%rcx"
/* name, instructions with the address in rdi, alignment that they need */
#define TABLE(X) \
	X(ld8, "mov (%rdi),%al", 1) \
	X(ld16, "mov (%rdi),%ax", 2) \
	X(ld32, "mov (%rdi),%eax", 4) \
	X(ld64, "mov (%rdi),%rax", 8) \
	X(st64, "mov %rax,(%rdi)", 8) \
	X(rmw, "incl (%rdi)", 4) \
	X(lock, "lock incq (%rdi)", 8) \
	X(cx8, "lock cmpxchg8b (%rdi)", 8) \
	X(push, ON_STACK("push %rax"), 8) \
	X(push16, ON_STACK("pushw %ax"), 2) \
	X(pop, ON_STACK("pop %rax"), 8) \
	X(pushf, ON_STACK("pushf"), 8) \
	X(call, ON_STACK("call 1f; 1:"), 8) \
	X(pushfs, ON_STACK("push %fs"), 8) \
	X(enter, "mov %rbp,%rdx; mov %rsp,%rcx; mov %rdi,%rsp; enter $16,$0; mov %rcx,%rsp; mov %rdx,%rbp", 8) \
	X(leave_, "mov %rbp,%rdx; mov %rdi,%rbp; mov %rsp,%rcx; leave; mov %rcx,%rsp; mov %rdx,%rbp", 8) \
	X(stosb, "mov $9,%ecx; rep stosb", 1) \
	X(stosw, "mov $9,%ecx; rep stosw", 2) \
	X(stosq, "mov $9,%ecx; rep stosq", 8) \
	X(movs_to, "mov $0x2000400,%esi; mov $9,%ecx; rep movsl", 4) \
	X(movs_from, "mov %rdi,%rsi; mov $0x2000400,%edi; mov $9,%ecx; rep movsq", 8) \
	X(lods, "mov %rdi,%rsi; lodsl", 4) \
	X(scas, "scasq", 8) \
	X(cmps, "mov %rdi,%rsi; cmpsw", 2) \
	X(bt16, "xor %ecx,%ecx; bt %cx,(%rdi)", 2) \
	X(bts64, "xor %ecx,%ecx; bts %rcx,(%rdi)", 8) \
	X(crc, "crc32l (%rdi),%eax", 4) \
	X(lar, "lar (%rdi),%eax", 2) \
	X(verr, "verr (%rdi)", 2) \
	X(movss, "mov %ss,(%rdi)", 2) \
	X(smsw, "smsw (%rdi)", 2) \
	X(str, "str (%rdi)", 2) \
	X(lfs, "movl $0,(%rdi); movw $0,4(%rdi); lfs (%rdi),%eax", 4) \
	X(movups, "movups (%rdi),%xmm0", 16) \
	X(movups_st, "movups %xmm0,(%rdi)", 16) \
	X(movdqu, "movdqu (%rdi),%xmm0", 16) \
	X(movdqu_st, "movdqu %xmm0,(%rdi)", 16) \
	X(lddqu, "lddqu (%rdi),%xmm0", 16) \
	X(movsd_, "movsd (%rdi),%xmm0", 8) \
	X(movss_, "movss (%rdi),%xmm0", 4) \
	X(movsd_st, "movsd %xmm0,(%rdi)", 8) \
	X(movhps, "movhps (%rdi),%xmm0", 8) \
	X(movq, "movq (%rdi),%xmm0", 8) \
	X(movd, "movd %xmm0,(%rdi)", 4) \
	X(cvt, "cvtsi2sdl (%rdi),%xmm0", 4) \
	X(cvtps, "cvtps2pd (%rdi),%xmm0", 8) \
	X(pmovzx, "pmovzxbd (%rdi),%xmm0", 4) \
	X(pmovzq, "pmovzxbq (%rdi),%xmm0", 2) \
	X(pinsrw, "pinsrw $1,(%rdi),%xmm0", 2) \
	X(pextrd, "pextrd $1,%xmm0,(%rdi)", 4) \
	X(addss, "addss (%rdi),%xmm0", 4) \
	X(pcmpistri, "pcmpistri $0,(%rdi),%xmm0", 16) \
	X(movnti, "movntil %eax,(%rdi)", 4) \
	X(maskmov, "pxor %xmm0,%xmm0; maskmovdqu %xmm0,%xmm0", 8) \
	X(stmxcsr, "stmxcsr (%rdi)", 4) \
	X(mmx, "movq (%rdi),%mm0; emms", 8) \
	X(mmx32, "movd (%rdi),%mm0; emms", 4) \
	X(mmx_st, "movq %mm0,(%rdi); emms", 8) \
	X(flds, "fninit; flds (%rdi)", 4) \
	X(fldl, "fninit; fldl (%rdi)", 8) \
	X(fldt, "fninit; fldt (%rdi)", 8) \
	X(fstps, "fninit; fld1; fstps (%rdi)", 4) \
	X(fstpl, "fninit; fld1; fstpl (%rdi)", 8) \
	X(fstpt, "fninit; fld1; fstpt (%rdi)", 8) \
	X(filds, "fninit; filds (%rdi)", 2) \
	X(fildll, "fninit; fildll (%rdi)", 8) \
	X(fistpl, "fninit; fld1; fistpl (%rdi)", 4) \
	X(fbld, "fninit; fbld (%rdi)", 8) \
	X(fbstp, "fninit; fld1; fbstp (%rdi)", 8) \
	X(faddl, "fninit; fld1; faddl (%rdi)", 8) \
	X(fnstcw, "fnstcw (%rdi)", 2) \
	X(fnstsw, "fnstsw (%rdi)", 2) \
	X(fnstenv, "fnstenv (%rdi)", 4) \
	X(fnstenv16, "data16 fnstenv (%rdi)", 2) \
	X(fldenv, "fldenv (%rdi); fninit", 4) \
	X(fnsave, "fnsave (%rdi)", 4) \
	X(frstor, "frstor (%rdi); fninit", 4) \
	X(clflush, "clflush (%rdi)", 1) \
	X(prefetch, "prefetchw (%rdi)", 1)
#define AVX_TABLE(X) \
	X(vmovups, "vmovups (%rdi),%ymm0", 16) \
	X(vmovups_st, "vmovups %ymm0,(%rdi)", 16) \
	X(vaddps, "vaddps (%rdi),%xmm0,%xmm0", 16) \
	X(vaddps_y, "vaddps (%rdi),%ymm0,%ymm0", 16) \
	X(vbroadcast, "vbroadcastss (%rdi),%ymm0", 4) \
	X(vbroadcastf128, "vbroadcastf128 (%rdi),%ymm0", 16) \
	X(vextract, "vextractf128 $1,%ymm0,(%rdi)", 16) \
	X(vroundsd, "vroundsd $1,(%rdi),%xmm0,%xmm0", 8) \
	X(vmaskmov, "vpcmpeqd %xmm0,%xmm0,%xmm0; vmaskmovps (%rdi),%xmm0,%xmm1", 1) \
	X(vmaskmov_st, "vpcmpeqd %xmm0,%xmm0,%xmm0; vmaskmovps %xmm1,%xmm0,(%rdi)", 1)

#define DEFINE(n, insn, align) USER_CODE(ac_##n, "", insn);
TABLE(DEFINE)
AVX_TABLE(DEFINE)
USER_CODE(ac_sgdt, "", "sgdt (%rdi)");
USER_CODE(ac_fxsave, "", "fxsave (%rdi)");
USER_CODE(ac_movaps, "", "movaps (%rdi),%xmm0");
USER_CODE(ac_cx16, "xor %eax,%eax; xor %ecx,%ecx", "lock cmpxchg16b (%rdi)");

#define ROW(n, insn, align) { insn, ac_##n, align },
static const struct row {
	const char *name;
	const char *code;
	u32 align;
} rows[] = { TABLE(ROW) }, avx_rows[] = { AVX_TABLE(ROW) };

static u8 *const buf = (u8 *)TEST_RAM;

static void all(const struct row *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		u32 got = 0, want = 0;

		t(r[i].name);
		for (unsigned off = 0; off < 32; off++) {
			memset(buf, 0, 256);
			word vec = try_user(r[i].code, (word)buf + off, 2 | F_AC);
			if (vec == 17) {
				got |= 1u << off;
				eq(exc.err, 0);
			} else {
				eq(vec, 0x80);
			}
			if (off & (r[i].align - 1))
				want |= 1u << off;
		}
		eq(got, want);
	}
}

static bool avx_on(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	if (!(r[2] >> 26 & 1) || !(r[2] >> 28 & 1))
		return false;
	set_cr4(get_cr4() | 0x40000);
	__asm__ volatile("xsetbv" ::"c"(0), "a"(7), "d"(0));
	return true;
}

int main(void)
{
	set_cr0(get_cr0() | 0x40000);
	all(rows, sizeof(rows) / sizeof(rows[0]));
	if (avx_on())
		all(avx_rows, sizeof(avx_rows) / sizeof(avx_rows[0]));
	t("SGDT: the base counts");
	eq(try_user(ac_sgdt, (word)buf + 6, 2 | F_AC), 0x80);
	eq(try_user(ac_sgdt, (word)buf, 2 | F_AC), 17);
	eq(try_user(ac_sgdt, (word)buf + 2, 2 | F_AC), 17);
	t("FXSAVE: AC below a dword's alignment, GP below its own");
	eq(try_user(ac_fxsave, (word)buf + 2, 2 | F_AC), 17);
	eq(try_user(ac_fxsave, (word)buf + 8, 2 | F_AC), 13);
	eq(try_user(ac_fxsave, (word)buf + 16, 2 | F_AC), 0x80);
	t("operands that must be aligned: GP, not AC");
	eq(try_user(ac_movaps, (word)buf + 1, 2 | F_AC), 13);
	eq(try_user(ac_cx16, (word)buf + 1, 2 | F_AC), 13);
	t("a page fault comes first");
	eq(try_user(ac_movups, 0x700000000001, 2 | F_AC), 14);
	eq(try_user(ac_fldt, 0x700000000001, 2 | F_AC), 14);
	t("not in ring 0");
	eq(try_call(ac_movups, (word)buf + 1), 0x80);
	t("not without AM");
	set_cr0(get_cr0() & ~0x40000ul);
	eq(try_user(ac_movups, (word)buf + 1, 2 | F_AC), 0x80);
	return 0;
}
