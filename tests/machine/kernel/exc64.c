/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exc64.c - each exception in long mode: vector, error code, CR2, what is saved (SDM 3A 6). */
#include "lib.h"

static void fault(const char *n, const char *code, const char *at, word vec, word err)
{
	if (!t(n))
		return;
	try_call(code, 0);
	eq(exc.vec, vec);
	eq(exc.err, err);
	eq(exc.ip, at);
	eq(exc.cs, SEL_CODE);
	eq(exc.ss, SEL_DATA);
	eq(exc.flags & F_RF, F_RF);
}
static void trap(const char *n, const char *code, const char *after, word vec)
{
	if (!t(n))
		return;
	try_call(code, 0);
	eq(exc.vec, vec);
	eq(exc.ip, after);
	eq(exc.flags & F_RF, 0);
}
static void user_fault(const char *n, const char *code, const char *at, word vec, word err)
{
	if (!t(n))
		return;
	try_user(code, 0, 2);
	eq(exc.vec, vec);
	eq(exc.err, err);
	eq(exc.ip, at);
	eq(exc.cs, SEL_UCODE);
	eq(exc.ss, SEL_UDATA);
	eq(exc.sp, user_stack_top);
}
static void none(const char *n, const char *code)
{
	if (!t(n))
		return;
	try_call(code, 0);
	eq(exc.vec, NONE);
}
#define FAULT(n, c, vec, err) fault(n, c, c##_at, vec, err)
#define TRAP(n, c, vec) trap(n, c, c##_after, vec)
#define UFAULT(n, c, vec, err) user_fault(n, c, c##_at, vec, err)

CODE(de_zero, "xor %edx,%edx; xor %ecx,%ecx; mov $1,%eax", "div %ecx");
CODE(de_over, "mov $1,%edx; mov $1,%ecx; xor %eax,%eax", "div %ecx");
CODE(de_idiv, "mov $0x80000000,%eax; cdq; mov $-1,%ecx", "idiv %ecx");
CODE(de_idiv64, "mov $1,%eax; ror $1,%rax; cqo; mov $-1,%rcx", "idiv %rcx");
CODE(de_byte, "mov $0x8000,%eax; mov $0x10,%cl", "div %cl");
CODE(de_ibyte, "mov $0xff80,%eax; mov $-1,%cl", "idiv %cl");
CODE(bp, "", "int3");
CODE(bp_long, "", ".byte 0xcd,3");
CODE(ud2, "", "ud2");
CODE(ud0, "", ".byte 0x0f,0xff,0xc0");
CODE(ud1, "", ".byte 0x0f,0xb9,0xc0");
CODE(ud_into, "", ".byte 0xce");
CODE(ud_pusha, "", ".byte 0x60");
CODE(ud_lock, "", ".byte 0xf0,0x90");
CODE(ud_lockreg, "", ".byte 0xf0,0x01,0xc0");
CODE(ud_cr1, "", ".byte 0x0f,0x20,0xc8");
CODE(ud_seg6, "", ".byte 0x8e,0xf0");
CODE(ud_movcs, "", ".byte 0x8e,0xc8");
CODE(ud_far_reg, "", ".byte 0xff,0xd8");
CODE(ud_hole, "", ".byte 0x0f,0x04");
CODE(ud_lea, "", ".byte 0x8d,0xc0");
CODE(gp_long, "", ".rept 15\n.byte 0x66\n.endr\n nop");
CODE(ok_long, "", ".rept 14\n.byte 0x66\n.endr\n nop");
CODE(gp_noncanon, "mov $1,%eax; shl $63,%rax", "mov (%rax),%ecx");
CODE(gp_edge, "mov $1,%eax; shl $47,%rax; sub $4,%rax", "mov (%rax),%rcx");
CODE(ss_noncanon_bp, "push %rbp; mov $1,%ebp; shl $63,%rbp", "mov (%rbp),%ecx");
CODE(gp_cr0, "mov $0x80000000,%eax", "mov %rax,%cr0");
CODE(gp_cr0_nw, "mov %cr0,%rax; or $0x20000000,%rax", "mov %rax,%cr0");
CODE(gp_cr0_high, "mov %cr0,%rax; bts $32,%rax", "mov %rax,%cr0");
CODE(gp_cr4, "mov %cr4,%rax; bts $31,%rax", "mov %rax,%cr4");
CODE(gp_cr4_pae, "mov %cr4,%rax; btr $5,%rax", "mov %rax,%cr4");
CODE(gp_cr8, "mov $16,%eax", "mov %rax,%cr8");
CODE(gp_rdmsr, "mov $0x12345678,%ecx", "rdmsr");
CODE(gp_wrmsr, "mov $0x12345678,%ecx", "wrmsr");
CODE(gp_efer, "mov $0xc0000080,%ecx; rdmsr; bts $1,%eax", "wrmsr");
CODE(gp_lme, "mov $0xc0000080,%ecx; rdmsr; btr $8,%eax", "wrmsr");
CODE(gp_lstar, "mov $0xc0000082,%ecx; xor %eax,%eax; mov $0x800000,%edx", "wrmsr");
CODE(gp_dr7, "mov $1,%eax; shl $32,%rax", "mov %rax,%dr7");
CODE(gp_ds, "mov $0x3f0,%eax", "mov %eax,%ds");
CODE(gp_ldt, "mov $0x0c,%eax", "mov %eax,%ds");
CODE(gp_ss_null3, "mov $3,%eax", "mov %eax,%ss");
CODE(gp_ss_code, "mov $8,%eax", "mov %eax,%ss");
CODE(gp_ss_rpl, "mov $0x13,%eax", "mov %eax,%ss");
CODE(np_ds, "mov $0x48,%eax", "mov %eax,%ds");
CODE(ss_ss, "mov $0x48,%eax", "mov %eax,%ss");
CODE(gp_int_gate, "", "int $0x90");
CODE(np_int_gate, "", "int $0x91");
CODE(gp_int_sel, "", "int $0x92");
CODE(gp_int_null, "", "int $0x93");
CODE(gp_int_data, "", "int $0x94");
CODE(np_int_sel, "", "int $0x95");
CODE(gp_int_code32, "", "int $0x96");
CODE(gp_sse_align, "mov $user_stack_top-8,%eax", "movaps (%rax),%xmm0");
CODE(gp_ltr_busy, "mov $0x38,%eax", "ltr %ax");
CODE(gp_lldt, "mov $0x10,%eax", "lldt %ax");
CODE(gp_cmpxchg16b, "mov $user_stack_top-24,%eax; or $8,%eax", "lock cmpxchg16b (%rax)");
CODE(gp_xsetbv, "xor %ecx,%ecx; xor %eax,%eax; xor %edx,%edx", "xsetbv");
CODE(ud_sysenter_off, "xor %ecx,%ecx", "sysexitl");
CODE(nm_x87, "mov %cr0,%rax; or $8,%rax; mov %rax,%cr0", "fldz");
CODE(nm_sse, "mov %cr0,%rax; or $8,%rax; mov %rax,%cr0", "xorps %xmm0,%xmm0");
CODE(nm_em, "mov %cr0,%rax; and $~8,%eax; or $4,%rax; mov %rax,%cr0", "fldz");
CODE(ud_sse_em, "mov %cr0,%rax; and $~8,%eax; or $4,%rax; mov %rax,%cr0", "xorps %xmm0,%xmm0");
CODE(ud_osfxsr, "mov %cr4,%rax; btr $9,%rax; mov %rax,%cr4", "xorps %xmm0,%xmm0");
CODE(nm_wait, "mov %cr0,%rax; or $10,%rax; mov %rax,%cr0", "wait");
CODE(ok_wait, "mov %cr0,%rax; or $8,%rax; and $~2,%eax; mov %rax,%cr0", "wait");
CODE(mf, "fninit; sub $8,%rsp; movl $0x37b,(%rsp); fldcw (%rsp); add $8,%rsp; fld1; fldz; fdivrp", "wait");
CODE(mf_next, "fninit; sub $8,%rsp; movl $0x37b,(%rsp); fldcw (%rsp); add $8,%rsp; fld1; fldz; fdivrp; nop", "fld1");
CODE(mf_not, "fninit; sub $8,%rsp; movl $0x37b,(%rsp); fldcw (%rsp); add $8,%rsp; fld1; fldz; fdivrp",
     "fnstsw %ax; fnclex");
CODE(xm,
     "sub $8,%rsp; movl $0x1d80,(%rsp); ldmxcsr (%rsp); add $8,%rsp; pcmpeqd %xmm1,%xmm1; psrld $25,%xmm1; pslld "
     "$23,%xmm1; xorps %xmm0,%xmm0",
     "divps %xmm0,%xmm1");
CODE_END(gp_mxcsr, "sub $8,%rsp; movl $0xffff0000,(%rsp)", "ldmxcsr (%rsp)", "add $8,%rsp; ret");
CODE(pf_read, "mov $0x700000000000,%rax", "mov (%rax),%ecx");
CODE(pf_write, "mov $0x700000000000,%rax", "movl $1,(%rax)");
CODE(pf_rmw, "mov $0x700000000000,%rax", "addl $1,(%rax)");
CODE(pf_push, "mov %rsp,%rdx; mov $0x700000000008,%rsp", "push %rax");
CODE(pf_fetch, "mov $0x700000000123,%rax", "jmp *%rax");
CODE(pf_call, "mov $0x700000000123,%rax", "call *%rax");
CODE(gp_jmp, "mov $1,%eax; shl $63,%rax", "jmp *%rax");
CODE(gp_ret, "mov $1,%eax; shl $63,%rax; push %rax", "ret");
CODE(gp_iret_nt, "pushfq; orl $0x4000,(%rsp); popfq", "iretq");
CODE(ss_push, "mov $1,%eax; shl $63,%rax; mov %rax,%rsp", "push %rax");
CODE(ss_push_user, "nop", "nop");

USER_CODE(u_hlt, "", "hlt");
USER_CODE(u_cli, "", "cli");
USER_CODE(u_sti, "", "sti");
USER_CODE(u_in, "", "in $0x60,%al");
USER_CODE(u_out, "mov $0x3f8,%edx", "out %al,%dx");
USER_CODE(u_cr0, "", "mov %cr0,%rax");
USER_CODE(u_dr0, "", "mov %dr0,%rax");
USER_CODE(u_lgdt, "", "lgdt (%rsp)");
USER_CODE(u_invlpg, "", "invlpg (%rsp)");
USER_CODE(u_wbinvd, "", "wbinvd");
USER_CODE(u_clts, "", "clts");
USER_CODE(u_rdmsr, "xor %ecx,%ecx", "rdmsr");
USER_CODE(u_swapgs, "", "swapgs");
USER_CODE(u_int, "", "int $0x81");
USER_CODE(u_int3, "", "int3");
USER_CODE(u_int13, "", "int $13");
USER_CODE(u_int14, "", "int $14");
USER_CODE(u_ltr, "", "ltr %ax");
USER_CODE(u_sysret, "", "sysretq");
USER_CODE(u_ss_null, "xor %eax,%eax", "mov %eax,%ss");
USER_CODE(u_ds_kernel, "mov $0x10,%eax", "mov %eax,%ds");
USER_CODE(u_far, "push $0x08; push $0", "lretq");
USER_CODE(u_popf, "push $0x3202", "popfq; pushfq; pop %rax");
USER_CODE(u_rdtsc, "", "rdtsc");
USER_CODE(u_sgdt, "sub $16,%rsp", "sgdt (%rsp)");
USER_CODE(u_smsw, "", "smsw %eax");
USER_CODE(u_str, "", "str %eax");
USER_CODE(u_ac, "", "mov 1(%rdi),%eax");
USER_CODE(u_ac8, "", "mov 4(%rdi),%rax");
USER_CODE(u_ac1, "", "mov 1(%rdi),%al");
USER_CODE(u_umask, "", "nop");

static void interrupts(void)
{
	gate_set(0x90, stubs, SEL_CODE, 0x85, 0); /* a task gate */
	FAULT("GP: INT through a gate of another type", gp_int_gate, 13, 0x90 * 8 + 2);
	gate_set(0x91, stubs, SEL_CODE, 0x0e, 0);
	FAULT("NP: INT through an absent gate", np_int_gate, 11, 0x91 * 8 + 2);
	gate_set(0x92, stubs, 0x3f0, 0x8e, 0);
	FAULT("GP: INT to a selector past nothing", gp_int_sel, 13, 0x3f0);
	gate_set(0x93, stubs, 0, 0x8e, 0);
	FAULT("GP: INT to a null selector", gp_int_null, 13, 0);
	gate_set(0x94, stubs, SEL_DATA, 0x8e, 0);
	FAULT("GP: INT to a data segment", gp_int_data, 13, SEL_DATA);
	gdt_set(0x50, 0, 0xfffff, 0xa01b);
	gate_set(0x95, stubs, 0x50, 0x8e, 0);
	FAULT("NP: INT to an absent code segment", np_int_sel, 11, 0x50);
	gate_set(0x96, stubs, SEL_CODE32, 0x8e, 0);
	FAULT("GP: INT to a 32-bit code segment", gp_int_code32, 13, SEL_CODE32);
	for (unsigned v = 0x90; v <= 0x96; v++)
		gate_reset(v);
}

static void fpu(void)
{
	word cr0 = get_cr0(), cr4 = get_cr4();

	FAULT("NM: x87 with TS", nm_x87, 7, 0);
	FAULT("NM: SSE with TS", nm_sse, 7, 0);
	FAULT("NM: x87 with EM", nm_em, 7, 0);
	FAULT("UD: SSE with EM", ud_sse_em, 6, 0);
	set_cr0(cr0);
	FAULT("UD: SSE without OSFXSR", ud_osfxsr, 6, 0);
	set_cr4(cr4);
	FAULT("NM: WAIT with TS and MP", nm_wait, 7, 0);
	set_cr0(cr0);
	none("WAIT with TS and no MP", ok_wait);
	set_cr0(cr0);
	FAULT("MF: at WAIT after an unmasked divide", mf, 16, 0);
	FAULT("MF: at the next x87 instruction", mf_next, 16, 0);
	none("no MF at FNSTSW", mf_not);
	__asm__ volatile("fninit");
	FAULT("XM: unmasked divide by zero", xm, 19, 0);
	set_cr4(cr4 & ~0x400ul);
	FAULT("UD: the same without OSXMMEXCPT", xm, 6, 0);
	set_cr4(cr4);
	FAULT("GP: reserved bits of MXCSR", gp_mxcsr, 13, 0);
	u32 mxcsr = 0x1f80;
	__asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
	FAULT("GP: unaligned MOVAPS", gp_sse_align, 13, 0);
}

static void user(void)
{
	*(u16 *)(tss + 102) = 0xffff;
	UFAULT("GP: HLT in ring 3", u_hlt, 13, 0);
	UFAULT("GP: CLI in ring 3", u_cli, 13, 0);
	UFAULT("GP: STI in ring 3", u_sti, 13, 0);
	UFAULT("GP: IN in ring 3", u_in, 13, 0);
	UFAULT("GP: OUT in ring 3", u_out, 13, 0);
	UFAULT("GP: MOV CR in ring 3", u_cr0, 13, 0);
	UFAULT("GP: MOV DR in ring 3", u_dr0, 13, 0);
	UFAULT("GP: LGDT in ring 3", u_lgdt, 13, 0);
	UFAULT("GP: INVLPG in ring 3", u_invlpg, 13, 0);
	UFAULT("GP: WBINVD in ring 3", u_wbinvd, 13, 0);
	UFAULT("GP: CLTS in ring 3", u_clts, 13, 0);
	UFAULT("GP: RDMSR in ring 3", u_rdmsr, 13, 0);
	UFAULT("GP: SWAPGS in ring 3", u_swapgs, 13, 0);
	UFAULT("GP: LTR in ring 3", u_ltr, 13, 0);
	UFAULT("GP: SYSRET in ring 3", u_sysret, 13, 0);
	UFAULT("GP: INT n on a ring 0 gate", u_int, 13, 0x81 * 8 + 2);
	UFAULT("GP: INT 13 from ring 3", u_int13, 13, 13 * 8 + 2);
	UFAULT("GP: INT 14 from ring 3", u_int14, 13, 14 * 8 + 2);
	UFAULT("GP: null SS in ring 3", u_ss_null, 13, 0);
	UFAULT("GP: ring 0 data in ring 3", u_ds_kernel, 13, 0x10);
	t("GP: far return to an inner ring");
	try_user(u_far, 0, 2);
	eq(exc.vec, 13);
	eq(exc.err, 8);
	eq(exc.ip, u_far_at);
	eq(exc.sp, user_stack_top - 16);
	t("BP: in ring 3");
	try_user(u_int3, 0, 2);
	eq(exc.vec, 3);
	eq(exc.ip, u_int3_after);
	eq(exc.cs, SEL_UCODE);
	t("POPF in ring 3 keeps IF and IOPL");
	try_user(u_popf, 0, 2);
	eq(exc.vec, 0x80);
	eq(exc.ax & 0x3200, 0);
	t("POPF in ring 3 with IOPL 3 changes IF");
	try_user(u_popf, 0, 2 | F_IOPL3);
	eq(exc.vec, 0x80);
	eq(exc.ax & 0x3200, 0x3200);
	t("RDTSC in ring 3");
	eq(try_user(u_rdtsc, 0, 2), 0x80);
	set_cr4(get_cr4() | 4);
	UFAULT("GP: RDTSC in ring 3 with TSD", u_rdtsc, 13, 0);
	set_cr4(get_cr4() & ~4ul);
	u32 r[4];
	cpuid(7, 0, r);
	if (r[2] & 4) {
		t("SMSW in ring 3");
		eq(try_user(u_smsw, 0, 2), 0x80);
		set_cr4(get_cr4() | 0x800);
		UFAULT("GP: SMSW in ring 3 with UMIP", u_smsw, 13, 0);
		UFAULT("GP: STR in ring 3 with UMIP", u_str, 13, 0);
		set_cr4(get_cr4() & ~0x800ul);
	}
	/* the I/O bitmap */
	t("IN in ring 3 with IOPL 3");
	eq(try_user(u_in, 0, 2 | F_IOPL3), 0x80);
	*(u16 *)(tss + 102) = 104;
	memset(tss + 104, 0xff, 256 - 104);
	tss[104 + 0x60 / 8] = 0xfe;
	t("IN of a port the bitmap allows");
	eq(try_user(u_in, 0, 2), 0x80);
	tss[104 + 0x60 / 8] = 0xff;
	UFAULT("GP: IN of a port the bitmap denies", u_in, 13, 0);
	UFAULT("GP: OUT of a port past the bitmap", u_out, 13, 0);
}

/* ---- data segments on the way to ring 3 (SDM 2, IRET, RET; APM 3) ---- */
USER_CODE(u_segs, "mov %fs,%ebx; mov %gs,%ecx; mov %ds,%eax; shl $16,%eax; mov %es,%ax; xor %edx,%edx",
	  "mov %gs:(%rdi),%edx");
CODE(k_retf, "push $0x2b; push $user_stack_top; push $0x33; push %rdi; xor %edi,%edi", "lretq");

/* fs, gs: what ring 0 leaves there; ds, es are ring 3's by then, but for lretq. */
static void to_user(bool retf, word fs, word gs, word base)
{
	__asm__ volatile("mov %k0, %%fs; mov %k1, %%gs" ::"r"(fs), "r"(gs));
	wrmsr(0xc0000100, base);
	wrmsr(0xc0000101, base);
	if (retf) {
		__asm__ volatile("mov %k0, %%ds; mov %k1, %%es" ::"r"(SEL_DATA), "r"(3));
		try_call(k_retf, (word)u_segs);
	} else {
		try_user(u_segs, 0, 2);
	}
}

static void outer_segments(void)
{
	static u32 marker = 0x5e6e7;
	static const word segs[][2] = { { SEL_DATA, 0 }, { 1, 0 }, { 2, 0 },
					{ 3, 0 },        { 0, 0 }, { SEL_UDATA, SEL_UDATA } };

	for (unsigned retf = 0; retf < 2; retf++) {
		t(retf ? "far RET to ring 3: selectors too privileged, and null ones"
		       : "IRET to ring 3: selectors too privileged, and null ones");
		for (unsigned i = 0; i < sizeof(segs) / sizeof(segs[0]); i++) {
			to_user(retf, segs[i][0], segs[i][0], (word)&marker);
			eq(exc.vec, 0x80);
			eq(exc.bx, segs[i][1]);
			eq(exc.cx, segs[i][1]);
			eq(exc.ax, retf ? 0 : SEL_UDATA << 16 | SEL_UDATA);
			/* 64-bit code goes on using the base */
			eq(exc.dx, marker);
		}
	}
	to_user(false, 0, 0, 0);
	/* Intel's processors, and AMD's that say so (CPUID 80000021H EAX bit 6) */
	u32 v[4], e[4];
	cpuid(0, 0, v);
	cpuid(0x80000021, 0, e);
	if (v[2] == 0x444d4163 && !(e[0] >> 6 & 1))
		return;
	t("a null selector clears the base of FS and GS");
	for (unsigned sel = 0; sel < 4; sel++) {
		wrmsr(0xc0000100, (word)&marker);
		wrmsr(0xc0000101, (word)&marker);
		__asm__ volatile("mov %k0, %%fs; mov %k0, %%gs" ::"r"(sel));
		eq(rdmsr(0xc0000100), 0);
		eq(rdmsr(0xc0000101), 0);
	}
}

static void alignment(void)
{
	word cr0 = get_cr0();
	u64 *buf = (u64 *)TEST_RAM;

	t("unaligned access in ring 3 without AM");
	eq(try_user(u_ac, (word)buf, 2 | F_AC), 0x80);
	set_cr0(cr0 | 0x40000);
	t("unaligned access in ring 3 without AC");
	eq(try_user(u_ac, (word)buf, 2), 0x80);
	t("AC: unaligned dword in ring 3");
	try_user(u_ac, (word)buf, 2 | F_AC);
	eq(exc.vec, 17);
	eq(exc.err, 0);
	eq(exc.ip, u_ac_at);
	t("AC: unaligned qword in ring 3");
	eq(try_user(u_ac8, (word)buf, 2 | F_AC), 17);
	t("a byte is always aligned");
	eq(try_user(u_ac1, (word)buf, 2 | F_AC), 0x80);
	set_cr0(cr0);
}

static void page_faults(void)
{
	FAULT("PF: read", pf_read, 14, 0);
	eq(exc.cr2, 0x700000000000);
	FAULT("PF: write", pf_write, 14, 2);
	eq(exc.cr2, 0x700000000000);
	FAULT("PF: read-modify-write is a write", pf_rmw, 14, 2);
	gate_set(14, stubs + 16 * 14, SEL_CODE, 0x8e, 1);
	FAULT("PF: push", pf_push, 14, 2);
	gate_reset(14);
	eq(exc.cr2, 0x700000000000);
}

static void fetch(void)
{
	t("PF: fetch by JMP");
	try_call(pf_fetch, 0);
	eq(exc.vec, 14);
	eq(exc.err, 0x10);
	eq(exc.cr2, 0x700000000123);
	eq(exc.ip, 0x700000000123);
	t("PF: fetch by CALL");
	try_call(pf_call, 0);
	eq(exc.vec, 14);
	eq(exc.err, 0x10);
	eq(exc.ip, 0x700000000123);
	FAULT("GP: JMP to a non-canonical address", gp_jmp, 13, 0);
	FAULT("GP: RET to a non-canonical address", gp_ret, 13, 0);
}

/* ---- double faults: each vector's gate is ruined so that its delivery makes a second exception ---- */
CODE(df_de, "xor %edx,%edx; xor %ecx,%ecx; mov $1,%eax", "div %ecx");
static void double_fault(const char *n, const char *code, unsigned first, unsigned gate, unsigned sel, word vec,
			 word err)
{
	gate_set(first, stubs + 16 * first, sel, gate, 0);
	t(n);
	try_call(code, 0);
	eq(exc.vec, vec);
	eq(exc.err, err);
	gate_reset(first);
}
static void doubles(void)
{
	double_fault("DF: DE then NP", de_zero, 0, 0x0e, 8, 8, 0);
	double_fault("DF: DE then GP", de_zero, 0, 0x8e, 0x10, 8, 0);
	double_fault("DF: PF then NP", pf_read, 14, 0x0e, 8, 8, 0);
	double_fault("DF: GP then GP", gp_noncanon, 13, 0x8e, 0x10, 8, 0);
	double_fault("DF: NP then NP", np_ds, 11, 0x0e, 8, 8, 0);
	double_fault("UD then NP is NP with EXT", ud2, 6, 0x0e, 8, 11, 6 * 8 + 3);
	double_fault("BP then GP: EXT is clear for INT3", bp, 3, 0x8e, 0x10, 13, 0x10);
	double_fault("NM then GP is GP with EXT", nm_x87, 7, 0x8e, 0x10, 13, 0x11);
	set_cr0(get_cr0() & ~8ul);

	/* a handler whose stack is not there: PF while delivering */
	u64 rsp0 = *(u64 *)(tss + 4);
	*(u64 *)(tss + 4) = 0x600000000000;
	t("UD in ring 3, PF on the stack: PF is not delivered on it either: DF");
	try_user(ud2, 0, 2);
	eq(exc.vec, 8);
	eq(exc.err, 0);
	t("DE in ring 3, then PF delivering: DF");
	try_user(de_zero, 0, 2);
	eq(exc.vec, 8);
	gate_set(14, stubs + 16 * 14, SEL_CODE, 0x8e, 1);
	t("UD in ring 3, PF on the stack, IST for PF: PF");
	try_user(ud2, 0, 2);
	eq(exc.vec, 14);
	eq(exc.err, 2);
	eq(exc.cr2, 0x600000000000 - 8);
	eq(exc.ip, ud2_at);
	eq(exc.cs, SEL_UCODE);
	t("DE in ring 3, PF on the stack, IST for PF: PF, serially");
	try_user(de_zero, 0, 2);
	eq(exc.vec, 14);
	*(u64 *)(tss + 4) = 1ull << 63;
	gate_set(12, stubs + 16 * 12, SEL_CODE, 0x8e, 1);
	t("SS: UD in ring 3, non-canonical RSP0");
	try_user(ud2, 0, 2);
	eq(exc.vec, 12);
	eq(exc.err, 1);
	*(u64 *)(tss + 4) = rsp0;
	gate_reset(14);
	FAULT("SS: PUSH to a non-canonical stack", ss_push, 12, 0);
	gate_reset(12);
	t("DF: UD on a non-canonical stack, no IST");
	try_call("\x48\xc7\xc4\x00\x00\x00\x80\x48\xc1\xe4\x10\x48\xd1\xe4\x48\xd1\xe4\x0f\x0b", 0);
	eq(exc.vec, 8);
}

static void stacks(void)
{
	extern char ist_top[];
	t("frame of an exception at CPL 0 is 16-byte aligned");
	try_call(ud2, 0);
	eq(exc.at_sp + sizeof(struct frame), (exc.sp & ~15ul));
	t("frame from ring 3 is at RSP0");
	try_user(ud2, 0, 2);
	eq(exc.at_sp + sizeof(struct frame), *(u64 *)(tss + 4));
	gate_set(6, stubs + 16 * 6, SEL_CODE, 0x8e, 1);
	t("IST at CPL 0");
	try_call(ud2, 0);
	eq(exc.vec, 6);
	eq(exc.at_sp + sizeof(struct frame), ist_top);
	t("IST from ring 3");
	try_user(ud2, 0, 2);
	eq(exc.at_sp + sizeof(struct frame), ist_top);
	gate_reset(6);
}

int main(void)
{
	FAULT("DE: division by zero", de_zero, 0, 0);
	FAULT("DE: quotient too large", de_over, 0, 0);
	FAULT("DE: IDIV of the least number", de_idiv, 0, 0);
	FAULT("DE: 64-bit IDIV of the least number", de_idiv64, 0, 0);
	FAULT("DE: byte DIV", de_byte, 0, 0);
	FAULT("DE: byte IDIV", de_ibyte, 0, 0);
	TRAP("BP: INT3", bp, 3);
	TRAP("BP: CD 03", bp_long, 3);
	FAULT("UD: UD2", ud2, 6, 0);
	FAULT("UD: UD0", ud0, 6, 0);
	FAULT("UD: UD1", ud1, 6, 0);
	FAULT("UD: INTO in 64-bit code", ud_into, 6, 0);
	FAULT("UD: PUSHA in 64-bit code", ud_pusha, 6, 0);
	FAULT("UD: LOCK NOP", ud_lock, 6, 0);
	FAULT("UD: LOCK on a register", ud_lockreg, 6, 0);
	FAULT("UD: CR1", ud_cr1, 6, 0);
	FAULT("UD: sixth segment register", ud_seg6, 6, 0);
	FAULT("UD: MOV to CS", ud_movcs, 6, 0);
	FAULT("UD: far CALL by a register", ud_far_reg, 6, 0);
	FAULT("UD: hole in the opcode map", ud_hole, 6, 0);
	FAULT("UD: LEA of a register", ud_lea, 6, 0);
	FAULT("GP: 16 bytes of instruction", gp_long, 13, 0);
	none("15 bytes of instruction", ok_long);
	FAULT("GP: non-canonical address", gp_noncanon, 13, 0);
	extern u64 pml4[], pdpt[];
	pml4[255] = pml4[0];
	pdpt[511] = pdpt[0];
	FAULT("GP: access across the canonical edge", gp_edge, 13, 0);
	FAULT("SS: non-canonical address by RBP", ss_noncanon_bp, 12, 0);
	FAULT("GP: PG without PE", gp_cr0, 13, 0);
	FAULT("GP: NW without CD", gp_cr0_nw, 13, 0);
	FAULT("GP: upper half of CR0", gp_cr0_high, 13, 0);
	FAULT("GP: reserved bit of CR4", gp_cr4, 13, 0);
	FAULT("GP: PAE cleared in long mode", gp_cr4_pae, 13, 0);
	FAULT("GP: reserved bits of CR8", gp_cr8, 13, 0);
	FAULT("GP: RDMSR of nothing", gp_rdmsr, 13, 0);
	FAULT("GP: WRMSR of nothing", gp_wrmsr, 13, 0);
	FAULT("GP: reserved bit of EFER", gp_efer, 13, 0);
	FAULT("GP: LME cleared while paging", gp_lme, 13, 0);
	FAULT("GP: non-canonical LSTAR", gp_lstar, 13, 0);
	FAULT("GP: upper half of DR7", gp_dr7, 13, 0);
	FAULT("GP: DS with an empty descriptor", gp_ds, 13, 0x3f0);
	FAULT("GP: DS from no LDT", gp_ldt, 13, 0x0c);
	FAULT("GP: SS null with RPL 3", gp_ss_null3, 13, 0);
	FAULT("GP: SS with a code segment", gp_ss_code, 13, 8);
	FAULT("GP: SS with another RPL", gp_ss_rpl, 13, 0x10);
	gdt_set(0x48, 0, 0xfffff, 0xc013);
	FAULT("NP: DS with an absent segment", np_ds, 11, 0x48);
	FAULT("SS: SS with an absent segment", ss_ss, 12, 0x48);
	FAULT("GP: LTR of a busy TSS", gp_ltr_busy, 13, 0x38);
	FAULT("GP: LLDT of a data segment", gp_lldt, 13, 0x10);
	FAULT("GP: unaligned CMPXCHG16B", gp_cmpxchg16b, 13, 0);
	interrupts();
	fpu();
	user();
	outer_segments();
	alignment();
	page_faults();
	fetch();
	stacks();
	doubles();
	return 0;
}
