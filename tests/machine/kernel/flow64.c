/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flow64.c - going between rings and modes in long mode: SYSCALL, SYSENTER, gates, far transfers, IRET,
 * compatibility mode; and debug exceptions over each kind of them.
 */
#include "lib.h"

#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_FMASK 0xc0000084
static bool amd;

/* ---- SYSCALL, SYSRET ---- */
struct landing {
	u64 rcx, r11, flags, cs, ss, rsp, rip;
};
struct landing landing;
/* Where SYSCALL, SYSENTER and gates land: note everything, end by an exception into the library. */
extern char land_syscall[], land_sysret[];
__asm__(".pushsection .text\n"
	"land_syscall: mov %rcx,landing\n mov %r11,landing+8\n mov %rsp,landing+40\n mov $stack_top-16384,%esp\n"
	" pushfq\n popq landing+16\n mov %cs,%eax\n mov %rax,landing+24\n mov %ss,%eax\n mov %rax,landing+32\n ud2\n"
	"land_sysret: mov %rcx,landing\n mov %r11,landing+8\n sysretq\n"
	".globl land_syscall,land_sysret\n.popsection");
USER_CODE(u_syscall, "mov $0x1234,%eax", "syscall");
USER_CODE(u_syscall_back, "", "syscall; mov $0x55,%ebx; pushfq; pop %rax");
static void syscall_(void)
{
	t("SYSCALL");
	wrmsr(MSR_STAR, 0x20ull << 48 | 0x08ull << 32);
	wrmsr(MSR_LSTAR, (word)land_syscall);
	wrmsr(MSR_FMASK, 0x40);
	landing.rcx = 0;
	try_user(u_syscall, 0, 2 | F_CF | 0x40 | F_DF);
	eq(exc.vec, 6);
	eq(landing.rcx, u_syscall_after);
	eq(landing.r11 & 0xfff, 2 | F_CF | 0x40 | F_DF);
	eq(landing.flags, 2 | F_CF | F_DF);
	eq(landing.cs, 8);
	eq(landing.ss, 0x10);
	eq(landing.rsp, user_stack_top);
	t("SYSRET");
	wrmsr(MSR_LSTAR, (word)land_sysret);
	try_user(u_syscall_back, 0, 2 | F_DF);
	eq(exc.vec, 0x80);
	eq(exc.bx, 0x55);
	eq(exc.cs, SEL_UCODE);
	eq(exc.ss, SEL_UDATA);
	eq(exc.ax & ~F_RF, 2 | F_DF);
	t("UD: SYSCALL with SCE off");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~1ull);
	try_user(u_syscall, 0, 2);
	eq(exc.vec, 6);
	eq(exc.ip, u_syscall_at);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
}
/* ---- RET n ---- */
u64 below(u64 a, u64 b);
/* Flags are a result as well; what lies where an operand of RET would lead, were it a jump, overwrites them all. */
__asm__(".pushsection .text\n"
	"below: push %rbx\n call 1f\n setb %al\n movzbl %al,%eax\n ret\n"
	"1: cmp %rsi,%rdi\n mov (%rsp),%rcx\n ret $8\n .rept 16\n xor %ecx,%ecx\n .endr\n"
	".popsection");
static void ret_keeps_flags(void)
{
	unsigned wrong = 0;

	t("flags over RET n");
	for (u64 i = 0; i < 20000; i++) /* until it is translated, and on */
		wrong += below(i & 7, 4) != ((i & 7) < 4);
	eq(wrong, 0);
}
CODE(k_sysret_bad, "mov $1,%ecx; shl $47,%rcx; mov $2,%r11d", "sysretq");
CODE(k_sysret_32, "mov $u32_int,%ecx; mov $0x202,%r11d", "sysretl");
__asm__(".pushsection .text\n.code32\nu32_int: mov $0x66,%ebx\n int $0x80\n.code64\n.popsection");
static void sysret_rules(void)
{
	t("SYSRET to a non-canonical address");
	try_call(k_sysret_bad, 0);
	if (amd) { /* the fault is the user's, at the target */
		eq(exc.vec, 13);
		eq(exc.cs, SEL_UCODE);
		eq(exc.ip, 1ull << 47);
	} else {
		eq(exc.vec, 13);
		eq(exc.err, 0);
		eq(exc.cs, SEL_CODE);
		eq(exc.ip, k_sysret_bad_at);
	}
	t("SYSRET to 32-bit code");
	try_call(k_sysret_32, 0);
	eq(exc.vec, 0x80);
	eq(exc.cs, 0x23);
	eq(exc.ss, SEL_UDATA);
	eq(exc.bx, 0x66);
	eq(exc.flags & F_IF, F_IF);
}

/* ---- SYSENTER, SYSEXIT ---- */
USER_CODE(u_sysenter, "", "sysenter");
CODE(k_sysexit64, "mov $u64_int,%edx; mov $0x7000,%ecx", ".byte 0x48,0x0f,0x35");
CODE(k_sysexit32, "mov $u32_int,%edx; mov $0x7000,%ecx", ".byte 0x0f,0x35");
__asm__(".pushsection .text\nu64_int: mov $0x77,%ebx\n int $0x80\n.popsection");
static void sysenter_(void)
{
	if (amd) { /* AMD has neither in long mode */
		wrmsr(0x174, 8);
		t("UD: SYSENTER in long mode");
		try_user(u_sysenter, 0, 2);
		eq(exc.vec, 6);
		eq(exc.ip, u_sysenter_at);
		t("UD: SYSEXIT in long mode");
		try_call(k_sysexit64, 0);
		eq(exc.vec, 6);
		return;
	}
	wrmsr(0x174, 0);
	wrmsr(0x175, (word)stack_top - 16384);
	wrmsr(0x176, (word)land_syscall);
	t("GP: SYSENTER with a null CS");
	try_user(u_sysenter, 0, 2);
	eq(exc.vec, 13);
	eq(exc.ip, u_sysenter_at);
	t("SYSENTER");
	wrmsr(0x174, 8);
	try_user(u_sysenter, 0, 2 | F_IF | F_CF);
	eq(exc.vec, 6);
	eq(landing.cs, 8);
	eq(landing.ss, 0x10);
	eq(landing.rsp, (word)stack_top - 16384);
	eq(landing.flags, 2 | F_CF);
	t("SYSEXIT to 64-bit code");
	try_call(k_sysexit64, 0);
	eq(exc.vec, 0x80);
	eq(exc.bx, 0x77);
	eq(exc.cs, 0x2b);
	eq(exc.ss, 0x33);
	eq(exc.sp, 0x7000);
	t("SYSEXIT to 32-bit code");
	try_call(k_sysexit32, 0);
	eq(exc.vec, 0x80);
	eq(exc.bx, 0x66);
	eq(exc.cs, 0x1b);
	eq(exc.ss, 0x23);
}

/* ---- far transfers ---- */
#define GATE 0x50
#define CONF 0x60 /* conforming 64-bit code of ring 0 */
extern char gate_target[], far_land[];
__asm__(
    ".pushsection .text\n.globl gate_target,far_land\n"
    "gate_target: mov %rsp,landing+40\n mov %cs,%eax\n mov %rax,landing+24\n mov %ss,%eax\n mov %rax,landing+32\n"
    " mov (%rsp),%rax\n mov %rax,landing\n mov 8(%rsp),%rax\n mov %rax,landing+8\n"
    " mov 16(%rsp),%rax\n mov %rax,landing+16\n mov 24(%rsp),%rax\n mov %rax,landing+48\n lretq\n"
    "far_land: mov $0x99,%ebx\n ud2\n"
    ".balign 8\n far_gate: .long 0\n .word 0x53\n far_gate0: .long 0\n .word 0x50\n"
    "far_code: .long far_land\n .word 8\n far_conf: .long far_conf_land\n .word 0x60\n far_data: .long 0\n .word 0x10\n"
    "far_null: .long 0\n .word 0\n far_user: .long 0\n .word 0x33\n far_tss: .long 0\n .word 0x38\n"
    "far_hole: .long 0\n .word 0x3f0\n far_absent: .long 0\n .word 0x70\n"
    "far_conf_land: mov %cs,%ebx\n int $0x80\n"
    ".popsection");
USER_CODE(u_gate, "", "lcall *far_gate; mov $0x42,%ebx");
CODE(k_gate, "", "lcall *far_gate0");
USER_CODE(u_gate_jmp, "", "ljmp *far_gate");
USER_CODE(u_conf, "", "ljmp *far_conf");
CODE(k_far_jmp, "", "ljmp *far_code");
CODE(k_far_data, "", "ljmp *far_data");
CODE(k_far_null, "", "ljmp *far_null");
CODE(k_far_user, "", "ljmp *far_user");
CODE(k_far_tss, "", "ljmp *far_tss");
CODE(k_far_hole, "", "lcall *far_hole");
CODE(k_far_absent, "", "lcall *far_absent");
CODE(k_lret, "push $8; push $far_land", "lretq");
CODE(k_lret_user, "push $0x2b; push $0x7000; push $0x33; push $u64_int", "lretq");
CODE(k_lret_user32, "push $0x2b; push $0x7000; push $0x23; push $u32_int", "lretq");
CODE(k_lret_noncanon, "push $8; mov $1,%eax; shl $47,%rax; push %rax", "lretq");
CODE(k_lret_null, "push $0; push $far_land", "lretq");
static void gate(unsigned sel, const void *to, unsigned cs, unsigned ar)
{
	word h = (word)to;

	gdt[sel / 8] = (h & 0xffff) | (u64)cs << 16 | (u64)ar << 40 | (u64)(h >> 16 & 0xffff) << 48;
	gdt[sel / 8 + 1] = h >> 32;
}
static void fault(const char *name, const char *code, const char *at, word vec, word err)
{
	t(name);
	try_call(code, 0);
	eq(exc.vec, vec);
	eq(exc.err, err);
	eq(exc.ip, at);
	eq(exc.cs, SEL_CODE);
}
#define FAULT(n, c, vec, err) fault(n, c, c##_at, vec, err)
static void far_(void)
{
	gate(GATE, gate_target, 8, 0xec);
	gdt_set(CONF, 0, 0xfffff, 0xa09f);
	gdt_set(0x70, 0, 0xfffff, 0xa01b);
	t("call gate to ring 0 and back by RETF");
	try_user(u_gate, 0, 2);
	eq(exc.vec, 0x80);
	eq(exc.bx, 0x42);
	eq(exc.sp, user_stack_top);
	eq(landing.cs, 8);
	eq(landing.ss, 0);
	eq(landing.rsp, *(u64 *)(tss + 4) - 32);
	eq(landing.rcx, (word)u_gate_at + 7);
	eq(landing.r11, SEL_UCODE);
	eq(landing.flags, user_stack_top);
	eq(landing.rip, SEL_UDATA);
	t("call gate in ring 0");
	try_call(k_gate, 0);
	eq(exc.vec, NONE);
	eq(landing.cs, 8);
	eq(landing.ss, 0x10);
	eq(landing.rcx, k_gate_after);
	t("GP: JMP through a gate to an inner ring");
	try_user(u_gate_jmp, 0, 2);
	eq(exc.vec, 13);
	eq(exc.err, 8);
	t("GP: gate of ring 0 called from ring 3");
	gate(GATE, gate_target, 8, 0x8c);
	try_user(u_gate, 0, 2);
	eq(exc.vec, 13);
	eq(exc.err, GATE);
	t("NP: absent gate");
	gate(GATE, gate_target, 8, 0x6c);
	try_user(u_gate, 0, 2);
	eq(exc.vec, 11);
	eq(exc.err, GATE);
	t("GP: gate to 32-bit code");
	gate(GATE, gate_target, SEL_CODE32, 0xec);
	try_user(u_gate, 0, 2);
	eq(exc.vec, 13);
	eq(exc.err, SEL_CODE32);
	t("GP: upper half of a gate with a type");
	gate(GATE, gate_target, 8, 0xec);
	gdt[GATE / 8 + 1] |= 0x9ull << 40;
	try_user(u_gate, 0, 2);
	eq(exc.vec, 13);
	eq(exc.err, GATE);
	t("GP: gate to a non-canonical address");
	gate(GATE, (void *)(1ull << 47), 8, 0xec);
	try_user(u_gate, 0, 2);
	eq(exc.vec, 13);
	eq(exc.err, 0);
	eq(exc.cs, SEL_UCODE);
	gate(GATE, gate_target, 8, 0xec);
	t("conforming code from ring 3 keeps CPL 3");
	try_user(u_conf, 0, 2);
	eq(exc.vec, 0x80);
	eq(exc.bx, CONF | 3);
	eq(exc.ss, SEL_UDATA);
	t("far JMP");
	try_call(k_far_jmp, 0);
	eq(exc.vec, 6);
	eq(exc.bx, 0x99);
	FAULT("GP: far JMP to data", k_far_data, 13, 0x10);
	FAULT("GP: far JMP to null", k_far_null, 13, 0);
	FAULT("GP: far JMP to an outer ring", k_far_user, 13, 0x30);
	FAULT("GP: far JMP to a TSS in long mode", k_far_tss, 13, 0x38);
	FAULT("GP: far CALL to nothing", k_far_hole, 13, 0x3f0);
	FAULT("NP: far CALL to an absent segment", k_far_absent, 11, 0x70);
	t("RETF");
	try_call(k_lret, 0);
	eq(exc.vec, 6);
	eq(exc.bx, 0x99);
	t("RETF to ring 3");
	try_call(k_lret_user, 0);
	eq(exc.vec, 0x80);
	eq(exc.bx, 0x77);
	eq(exc.sp, 0x7000);
	eq(exc.cs, SEL_UCODE);
	t("RETF to 32-bit ring 3");
	try_call(k_lret_user32, 0);
	eq(exc.vec, 0x80);
	eq(exc.bx, 0x66);
	eq(exc.cs, 0x23);
	FAULT("GP: RETF to a non-canonical address", k_lret_noncanon, 13, 0);
	FAULT("GP: RETF to null", k_lret_null, 13, 0);
}

/* ---- IRET ---- */
CODE(i_same, "mov %rsp,%rcx; push $0x10; push %rcx; push $0xd7; push $8; push $1f",
     "iretq; ud2; 1: pushfq; pop %rax; ud2");
CODE(i_null_ss, "mov %rsp,%rcx; push $0; push %rcx; push $2; push $8; push $1f", "iretq; 1: mov %ss,%ebx; ud2");
CODE(i_null_cs, "mov %rsp,%rcx; push $0x10; push %rcx; push $2; push $0; push $1f", "iretq; 1: ud2");
CODE(i_inner, "mov %rsp,%rcx; push $0x10; push %rcx; push $2; push $0x30; push $1f", "iretq; 1: ud2");
CODE(i_user_ss0, "push $0; push $0x7000; push $2; push $0x33; push $u64_int", "iretq");
CODE(i_user_ssk, "push $0x10; push $0x7000; push $2; push $0x33; push $u64_int", "iretq");
CODE(i_user32, "push $0x2b; push $0x7000; push $0x202; push $0x23; push $u32_int", "iretq");
CODE(i_noncanon, "mov %rsp,%rcx; push $0x10; push %rcx; push $2; push $8; mov $1,%eax; shl $47,%rax; push %rax",
     "iretq");
CODE(i_vm, "push $0x2b; push $0x7000; push $0x20202; push $0x33; push $u64_int", "iretq");
CODE(i_l,
     "mov %rsp,%rcx; sub $20,%rsp; movl $1f,(%rsp); movl $8,4(%rsp); movl $2,8(%rsp); mov %ecx,12(%rsp); movl "
     "$0x10,16(%rsp)",
     "iretl; 1: mov $0x31,%ebx; ud2");
USER_CODE(i_u_iopl, "push $0x2b; push $0x7000; push $0x3202; push $0x33; push $1f", "iretq; 1: pushfq; pop %rax");
static void iret_(void)
{
	t("IRET in ring 0 loads the flags");
	try_call(i_same, 0);
	eq(exc.vec, 6);
	eq(exc.ax & 0xff, 0xd7);
	t("IRET in ring 0 to a null SS");
	try_call(i_null_ss, 0);
	eq(exc.vec, 6);
	eq(exc.bx, 0);
	FAULT("GP: IRET to a null CS", i_null_cs, 13, 0);
	FAULT("GP: IRET to ring 3 code with RPL 0", i_inner, 13, 0x30);
	FAULT("GP: IRET to ring 3 with a null SS of RPL 0", i_user_ss0, 13, 0);
	FAULT("GP: IRET to ring 3 with SS of ring 0", i_user_ssk, 13, 0x10);
	t("IRET to a non-canonical address");
	try_call(i_noncanon, 0);
	eq(exc.vec, 13);
	eq(exc.err, 0);
	t("IRET to 32-bit code of ring 3");
	try_call(i_user32, 0);
	eq(exc.vec, 0x80);
	eq(exc.cs, 0x23);
	eq(exc.bx, 0x66);
	t("IRET in long mode ignores VM");
	try_call(i_vm, 0);
	eq(exc.vec, 0x80);
	eq(exc.flags & F_VM, 0);
	t("IRETD");
	try_call(i_l, 0);
	eq(exc.vec, 6);
	eq(exc.bx, 0x31);
	t("IRET in ring 3 keeps IF and IOPL");
	try_user(i_u_iopl, 0, 2);
	eq(exc.vec, 0x80);
	eq(exc.ax & 0x3200, 0);
}

/* ---- compatibility mode ---- */
extern char compat_code[], compat_gp[], compat_gp_at[], compat_ss[], compat_ss_at[], compat_wrap[], compat_int3[];
__asm__(".pushsection .text\n.code32\n"
	".globl compat_code,compat_gp,compat_gp_at,compat_ss,compat_ss_at,compat_wrap,compat_int3\n"
	"compat_code: .byte 0x40\n" /* inc eax, no REX here */
	" mov $0x12345678,%ebx\n push %ebx\n pop %ecx\n arpl %ax,%dx\n pusha\n popa\n mov %esp,%edx\n int $0x80\n"
	"compat_gp:\n mov $0x1000,%ecx\n compat_gp_at: mov %fs:(%ecx),%eax\n"
	"compat_ss:\n mov $0x100,%esp\n compat_ss_at: push %eax\n"
	"compat_wrap: mov $0xfffffffc,%ecx\n mov 0x1004(%ecx),%ebx\n int $0x80\n" /* wraps to 0x1000 */
	"compat_int3: int3\n"
	".code64\n.popsection");
CODE(compat_kernel, "mov %rsp,%r12; push $0x18; push $1f",
     "lretq; .code32; 1: mov $0x51,%ebx; ljmp $8,$2f; .code64; 2: mov %r12,%rsp; push %rbx; pop compat_rbx");
u64 compat_rbx;
static void compat(void)
{
	t("compatibility mode in ring 3");
	try_user_cs(compat_code, 0, 2, 0x23);
	eq(exc.vec, 0x80);
	eq(exc.cs, 0x23);
	eq(exc.bx, 0x12345678);
	eq(exc.cx, 0x12345678);
	eq(exc.dx, (u32)(word)user_stack_top);
	t("... leaves by INT3 with a 64-bit frame");
	try_user_cs(compat_int3, 0, 2, 0x23);
	eq(exc.vec, 3);
	eq(exc.ip, compat_int3 + 1);
	eq(exc.sp, user_stack_top);
	t("... and in ring 0, and back");
	compat_rbx = 0;
	try_call(compat_kernel, 0);
	eq(exc.vec, NONE);
	eq(compat_rbx, 0x51);
	t("... where addresses wrap at 4 GiB");
	*(volatile u32 *)0x1000 = 0xabcd;
	try_user_cs(compat_wrap, 0, 2, 0x23);
	eq(exc.bx, 0xabcd);
	t("... and segment limits hold");
	gdt_set(0x78, 0, 0xfff, 0x40f3);
	__asm__ volatile("mov %0,%%fs" ::"r"(0x7b));
	try_user_cs(compat_gp, 0, 2, 0x23);
	eq(exc.vec, 13);
	eq(exc.err, 0);
	eq(exc.ip, compat_gp_at);
	t("SYSCALL from compatibility mode");
	if (amd) {
		wrmsr(MSR_CSTAR, (word)land_syscall);
		try_user_cs("\x0f\x05", 0, 2, 0x23);
		eq(exc.vec, 6);
		eq(landing.cs, 8);
	} else {
		try_user_cs("\x0f\x05", 0, 2, 0x23);
		eq(exc.vec, 6);
		eq(exc.cs, 0x23);
	}
}

/* ---- FS, GS ---- */
USER_CODE(u_gs, "xor %eax,%eax; mov %eax,%fs", "mov %gs:0,%rbx");
static void bases(void)
{
	t("SWAPGS");
	wrmsr(0xc0000101, 0x1111);
	wrmsr(0xc0000102, 0x2222);
	__asm__ volatile("swapgs");
	eq(rdmsr(0xc0000101), 0x2222);
	eq(rdmsr(0xc0000102), 0x1111);
	t("GS base in ring 3");
	*(volatile u64 *)TEST_RAM = 0x4711;
	wrmsr(0xc0000101, TEST_RAM);
	try_user(u_gs, 0, 2);
	eq(exc.vec, 0x80);
	eq(exc.bx, 0x4711);
	t("loading a selector sets the base");
	gdt_set(0x80, 0x1234, 0xfffff, 0xc0f3);
	__asm__ volatile("mov %0,%%gs" ::"r"(0x83));
	eq(rdmsr(0xc0000101), 0x1234);
	__asm__ volatile("mov %0,%%gs" ::"r"(0));
	t("a base past 4 GiB");
	u64 far = 0x10000000000;
	wrmsr(0xc0000100, far);
	eq(rdmsr(0xc0000100), far);
	wrmsr(0xc0000100, 0);
}

int main(void)
{
	u32 r[4];

	cpuid(0, 0, r);
	amd = r[1] == 0x68747541;
	ret_keeps_flags();
	syscall_();
	sysret_rules();
	sysenter_();
	far_();
	iret_();
	compat();
	bases();
	return 0;
}
