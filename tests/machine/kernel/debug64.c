/* SPDX-License-Identifier: GPL-2.0-or-later */
/* debug64.c - single steps over each kind of instruction, breakpoints, DR6, DR7, RF (SDM 3B 17). */
#include "lib.h"

#define LOG 64
static struct {
	word ip, dr6, flags, cx, cs, vec;
} log_[LOG];
static unsigned logged;
static word stop_at; /* clear TF when stepped to here */
static bool set_rf;

static bool note(struct frame *f)
{
	if (f->vec != 1 && f->vec != 3)
		return false;
	if (logged < LOG) {
		log_[logged].ip = f->ip;
		log_[logged].dr6 = get_dr6();
		log_[logged].flags = f->flags;
		log_[logged].cx = f->cx;
		log_[logged].cs = f->cs;
		log_[logged++].vec = f->vec;
	}
	set_dr6(0xffff0ff0);
	if (logged == LOG || f->ip == stop_at)
		f->flags &= ~F_TF;
	if (set_rf)
		f->flags |= F_RF;
	return true;
}
static void go(const void *code, word arg, const char *stop)
{
	logged = 0;
	stop_at = (word)stop;
	set_dr6(0xffff0ff0);
	on_exc = note;
	try_call(code, arg);
	on_exc = NULL;
}
static void go_user(const void *code, word arg, word flags, const char *stop)
{
	logged = 0;
	stop_at = (word)stop;
	set_dr6(0xffff0ff0);
	on_exc = note;
	try_user(code, arg, flags);
	on_exc = NULL;
}
#define BS 0xffff4ff0ul

/* TF on, the instruction, one more: steps should show NAME_after alone (or more, as said), then after it. */
#define TF_ON "pushfq; orl $0x100,(%rsp); popfq"
#define STEP(n, before, insn) \
	CODE_END(n, before "; " TF_ON, insn, "nop; .globl " #n "_end; " #n "_end: ret"); \
	extern const char n##_end[]
STEP(s_nop, "", "nop");
STEP(s_mem, "mov $0x2000000,%edx", "addl $1,(%rdx)");
STEP(s_movss, "mov %ss,%edx", "mov %edx,%ss; xor %eax,%eax");
STEP(s_rep, "mov $3,%ecx; mov $0x2000000,%edi; xor %eax,%eax", "rep stosb");
STEP(s_rep0, "xor %ecx,%ecx; mov $0x2000000,%edi", "rep stosb");
STEP(s_cli, "", "cli");
STEP(s_sti, "", "sti; nop; cli");
STEP(s_cpuid, "xor %eax,%eax; push %rbx; pop %rdx", "cpuid");
STEP(s_rdtsc, "", "rdtsc");
STEP(s_fpu, "", "fld1; fstp %st(0)");
STEP(s_sse, "", "xorps %xmm0,%xmm0");
STEP(s_out, "", "out %al,$0x80");
STEP(s_cr3, "mov %cr3,%rdx", "mov %rdx,%cr3");
STEP(s_pushf, "", "pushfq; pop %rdx");
STEP(s_jmp, "", "jmp 1f; ud2; 1:");
STEP(s_call, "", "call 1f; jmp 2f; 1: ret; 2:");
STEP(s_jcc, "", "xor %eax,%eax; jz 1f; ud2; 1:");
STEP(s_iret, "", "mov %rsp,%rdx; push $0x10; push %rdx; push $0x102; push $8; push $1f; iretq; 1:");
STEP(s_lret, "", "push $8; push $1f; lretq; 1:");
STEP(s_loop, "mov $2,%ecx", "1: loop 1b");
STEP(s_wrmsr, "mov $0xc0000103,%ecx; xor %eax,%eax; xor %edx,%edx", "wrmsr");
STEP(s_lock, "mov $0x2000000,%edx", "lock incl (%rdx)");
STEP(s_string, "mov $0x2000000,%esi", "lodsb");
STEP(s_dr, "mov $0xffff0ff0,%edx", "mov %rdx,%dr6");
CODE_END(s_popf_off, TF_ON, "pushfq; andl $~0x100,(%rsp); popfq", "nop; ret");

static void one(const char *name, const char *code, const char *after, const char *end_, unsigned inside)
{
	t(name);
	go(code, 0, end_);
	/* inside: steps that end before `after` */
	eq(logged, inside + 2);
	eq(log_[inside].ip, after);
	eq(log_[inside].dr6, BS);
	eq(log_[inside].flags & F_RF, 0);
	eq(log_[inside].flags & F_TF, F_TF);
	eq(log_[inside + 1].ip, end_);
}
#define ONE(name, n, inside) one("step: " name, n, n##_after, n##_end, inside)

static void steps(void)
{
	ONE("NOP", s_nop, 0);
	ONE("read-modify-write", s_mem, 0);
	ONE("MOV SS takes the next along", s_movss, 0);
	t("step: REP STOSB stops after each round");
	go(s_rep, 0, s_rep_end);
	eq(logged, 4);
	eq(log_[0].ip, s_rep_at);
	eq(log_[0].cx, 2);
	eq(log_[1].ip, s_rep_at);
	eq(log_[1].cx, 1);
	eq(log_[2].ip, s_rep_after);
	eq(log_[2].cx, 0);
	ONE("REP STOSB of nothing", s_rep0, 0);
	ONE("CLI", s_cli, 0);
	t("step: STI is stepped too");
	go(s_sti, 0, s_sti_end);
	eq(log_[0].ip, (word)s_sti_at + 1);
	eq(log_[1].ip, (word)s_sti_at + 2);
	ONE("CPUID", s_cpuid, 0);
	ONE("RDTSC", s_rdtsc, 0);
	ONE("x87", s_fpu, 1);
	ONE("SSE", s_sse, 0);
	ONE("OUT", s_out, 0);
	ONE("MOV CR3", s_cr3, 0);
	t("step: PUSHF shows TF");
	go(s_pushf, 0, s_pushf_end);
	eq(logged, 3);
	ONE("JMP", s_jmp, 0);
	ONE("CALL, RET, JMP", s_call, 2);
	ONE("Jcc", s_jcc, 1);
	t("step: IRET with TF in the image");
	go(s_iret, 0, s_iret_end);
	eq(log_[5].ip, (word)s_iret_after - 2);
	eq(logged, 8);
	ONE("far RET", s_lret, 2);
	ONE("LOOP", s_loop, 1);
	ONE("WRMSR", s_wrmsr, 0);
	ONE("LOCK INC", s_lock, 0);
	ONE("LODSB", s_string, 0);
	ONE("MOV DR6", s_dr, 0);
	t("step: POPF that clears TF is the last");
	go(s_popf_off, 0, NULL);
	eq(logged, 3);
	eq(log_[2].ip, s_popf_off_after);
	eq(log_[2].flags & F_TF, 0);
}

/* ---- steps over what leaves ring 3 ---- */
USER_CODE(u_nops, "nop", "nop");
USER_CODE(u_int_tf, "nop", "nop");
static void user_steps(void)
{
	t("step: IRET to ring 3 with TF, one instruction later");
	go_user(u_nops, 0, 2 | F_TF, u_nops_after);
	eq(logged, 2);
	eq(log_[0].ip, u_nops_at);
	eq(log_[0].cs, SEL_UCODE);
	eq(log_[1].ip, u_nops_after);
	eq(exc.vec, 0x80);
	t("step: INT n takes no trap and clears TF for the handler");
	go_user(u_nops, 0, 2 | F_TF, NULL);
	eq(logged, 2);
	eq(exc.vec, 0x80);
	eq(exc.flags & F_TF, F_TF);
}
USER_CODE(u_sysc, "nop", "syscall");
__asm__(".pushsection .text\nd_sysc: sysretq\n.popsection");
extern const char d_sysc[];
static void syscall_steps(void)
{
	wrmsr(0xc0000081, 0x20ull << 48 | 8ull << 32);
	wrmsr(0xc0000082, (word)d_sysc);
	wrmsr(0xc0000084, F_TF);
	t("step: SYSCALL with TF masked, SYSRET gives it back");
	go_user(u_sysc, 0, 2 | F_TF, u_sysc_after);
	eq(exc.vec, 0x80);
	/* after NOP; and right after SYSRET, before the next instruction */
	eq(log_[0].ip, u_sysc_at);
	eq(logged, 2);
	eq(log_[1].ip, u_sysc_after);
	eq(log_[1].cs, SEL_UCODE);
	eq(log_[1].dr6, BS);
	wrmsr(0xc0000084, 0);
	t("step: SYSCALL with TF not masked");
	go_user(u_sysc, 0, 2 | F_TF, d_sysc);
	eq(log_[1].ip, d_sysc);
	eq(log_[1].cs, SEL_CODE);
}

/* ---- breakpoints ---- */
static volatile u32 watched[4] __attribute__((aligned(16)));
CODE(b_exec, "nop", "nop; nop");
CODE(b_write, "", "movl $1,watched; nop");
USER_CODE(bu_write, "nop", "movl $1,watched; nop");
CODE(b_read, "", "mov watched,%eax; nop");
CODE(b_rmw, "", "incl watched; nop");
CODE(b_wide, "xorps %xmm0,%xmm0", "movups %xmm0,watched; nop");
CODE(b_push, "mov %rsp,%rdx; mov $watched+8,%esp", "push %rax; mov %rdx,%rsp");
CODE(b_rep, "mov $watched,%edi; mov $16,%ecx; xor %eax,%eax", "rep stosb; nop");
CODE(b_movs, "mov $watched,%esi; mov $watched+8,%edi; mov $1,%ecx", "rep movsl; nop");
CODE(b_lock, "mov $1,%eax", "lock xadd %eax,watched; nop");
CODE(b_movss, "", "mov watched,%ss; nop; nop");
CODE(b_icebp, "", ".byte 0xf1");
CODE(b_gd, "mov $0x2400,%eax; mov %rax,%dr7", "mov %dr0,%rax");
CODE(b_gd_w, "mov $0x2400,%eax; mov %rax,%dr7", "mov %rax,%dr3");
CODE(b_dr4, "", ".byte 0x0f,0x21,0xe0");

#define DR7(n, rw, len) (1ul << (2 * (n) + 1) | (word)((rw) | ((len)-1) << 2) << (16 + 4 * (n)))
static void data(const char *name, const char *code, const char *ip, word at, unsigned rw, unsigned len, bool hit)
{
	t(name);
	set_dr0(at);
	set_dr7(DR7(0, rw, len) | 0x400);
	go(code, 0, NULL);
	set_dr7(0x400);
	eq(logged, hit);
	if (hit) {
		eq(log_[0].ip, ip);
		eq(log_[0].dr6, 0xffff0ff1);
		eq(log_[0].flags & F_RF, 0);
	}
	eq(exc.vec, NONE);
}
static void breakpoints(void)
{
	word w = (word)watched;

	t("execution breakpoint: a fault, before the instruction");
	set_dr1((word)b_exec_at);
	set_dr7(DR7(1, 0, 1) | 0x400);
	set_rf = true; /* the processor saves it clear: it is the handler's to set */
	go(b_exec, 0, NULL);
	eq(logged >= 1, 1);
	eq(log_[0].ip, b_exec_at);
	eq(log_[0].dr6, 0xffff0ff2);
	eq(log_[0].flags & F_RF, 0);
	t("... and IRET with RF goes past it");
	eq(logged, 1);
	eq(exc.vec, NONE);
	t("... again the next time");
	go(b_exec, 0, NULL);
	eq(logged, 1);
	t("RF set by IRET holds for one instruction only");
	set_dr2((word)b_exec_at + 1);
	set_dr7(DR7(1, 0, 1) | DR7(2, 0, 1) | 0x400);
	go(b_exec, 0, NULL);
	eq(logged, 2);
	eq(log_[1].ip, (word)b_exec_at + 1);
	eq(log_[1].dr6, 0xffff0ff4);
	set_dr7(0x400);
	set_rf = false;
	t("a disabled breakpoint shows in no trap");
	go(b_exec, 0, NULL);
	eq(logged, 0);

	data("write breakpoint: a trap after the store", b_write, b_write_after - 1, w, 1, 4, 1);
	data("write breakpoint: a read does not meet it", b_read, NULL, w, 1, 4, 0);
	data("read-write breakpoint: a read", b_read, b_read_after - 1, w, 3, 4, 1);
	data("write breakpoint: read-modify-write", b_rmw, b_rmw_after - 1, w, 1, 4, 1);
	data("write breakpoint: one byte of the operand", b_write, b_write_after - 1, w + 3, 1, 1, 1);
	data("write breakpoint: the byte behind it", b_write, NULL, w + 4, 1, 1, 0);
	data("write breakpoint: two bytes of a MOVUPS", b_wide, b_wide_after - 1, w + 14, 1, 2, 1);
	gate_set(1, stubs + 16, SEL_CODE, 0x8e, 1); /* off the stack that is watched */
	data("write breakpoint: PUSH", b_push, b_push_at + 1, w, 1, 4, 1);
	gate_reset(1);
	data("write breakpoint: a locked operation", b_lock, b_lock_after - 1, w, 1, 4, 1);
	data("read-write breakpoint: the source of MOVS", b_movs, b_movs_after - 1, w, 3, 4, 1);
	watched[0] = 0x10;
	data("MOV SS holds the trap back for one instruction", b_movss, b_movss_after - 1, w, 3, 4, 1);
	t("write breakpoint in REP STOSB: after that round");
	set_dr0(w + 4);
	set_dr7(DR7(0, 1, 1) | 0x400);
	go(b_rep, 0, NULL);
	set_dr7(0x400);
	eq(logged, 1);
	eq(log_[0].dr6, 0xffff0ff1);
	eq(log_[0].cx <= 11, 1);
	t("two breakpoints at once");
	set_dr0(w);
	set_dr3(w + 2);
	set_dr7(DR7(0, 1, 4) | DR7(3, 3, 2) | 0x400);
	go(b_write, 0, NULL);
	set_dr7(0x400);
	eq(logged, 1);
	eq(log_[0].dr6, 0xffff0ff9);
	t("a breakpoint and a step at once");
	set_dr0(w);
	set_dr7(DR7(0, 1, 4) | 0x400);
	go_user(bu_write, 0, 2 | F_TF, bu_write_after - 1);
	set_dr7(0x400);
	eq(logged, 2);
	eq(log_[0].dr6, BS);
	eq(log_[1].dr6, 0xffff4ff1);
	eq(log_[1].ip, bu_write_after - 1);

	t("INT1 is a trap and sets nothing in DR6");
	go(b_icebp, 0, NULL);
	eq(logged, 1);
	eq(log_[0].vec, 1);
	eq(log_[0].ip, b_icebp_after);
	eq(log_[0].dr6, 0xffff0ff0);
	t("GD: MOV DR faults, and GD is off in the handler");
	go(b_gd, 0, NULL);
	eq(logged, 1);
	eq(log_[0].ip, b_gd_at);
	eq(log_[0].dr6, 0xffff2ff0);
	eq(get_dr7(), 0x400);
	go(b_gd_w, 0, NULL);
	eq(logged, 1);
	eq(log_[0].ip, b_gd_w_at);
	t("DR4 is DR6 without CR4.DE, UD with it");
	set_dr6(0xffff0ff0);
	eq(try_call(b_dr4, 0), NONE);
	set_cr4(get_cr4() | 8);
	eq(try_call(b_dr4, 0), 6);
	eq(exc.ip, b_dr4_at);
	set_cr4(get_cr4() & ~8ul);
	t("fixed bits of DR6 and DR7");
	set_dr6(0);
	eq(get_dr6() & 0xfffffff0, 0xffff0ff0);
	set_dr6(0xffffffff);
	eq(get_dr6() & 0x100f, 0xf);
	set_dr7(0);
	eq(get_dr7(), 0x400);
	set_dr6(0xffff0ff0);
	t("a data breakpoint in ring 3");
	set_dr0(w);
	set_dr7(DR7(0, 1, 4) | 0x400);
	go_user(bu_write, 0, 2, NULL);
	set_dr7(0x400);
	eq(logged, 1);
	eq(log_[0].cs, SEL_UCODE);
}

/* ---- MOV SS from watched memory: its trap waits for the end of the next instruction ---- */
#define SS_CODE(n, insn) CODE(n, "", "mov watched,%ss; " insn)
SS_CODE(ss_icebp, ".byte 0xf1");
SS_CODE(ss_int3, "int3");
SS_CODE(ss_int, "int $0x82");
SS_CODE(ss_ud, "ud2");
SS_CODE(ss_pf, "mov 0x700000000000,%al");
SS_CODE(ss_hlt, "hlt");
SS_CODE(ss_bp, "nop");
SS_CODE(ss_ss, "mov watched,%ss; nop");
SS_CODE(ss_jmp, "jmp 1f; 1: nop");
CODE(ss_tf, TF_ON, "mov watched,%ss; nop; pushfq; andl $~0x100,(%rsp); popfq");
CODE(tf_int3, TF_ON, "mov watched,%ss; int3");
USER_CODE(us_icebp, "", "mov (%rdi),%ss; .byte 0xf1");
USER_CODE(us_int, "", "mov (%rdi),%ss; int $0x82");
USER_CODE(us_sysc, "", "mov (%rdi),%ss; syscall");
USER_CODE(us_cli, "", "mov (%rdi),%ss; cli");
#define VECTOR(n) ((word)stubs + 16 * (n))

static void ss_watch(u16 sel)
{
	set_dr7(0x400);
	watched[0] = sel;
	set_dr0((word)watched);
	set_dr7(DR7(0, 3, 2) | 0x400);
}
static void ss(const char *name, const char *code, const char *ip)
{
	t(name);
	ss_watch(SEL_DATA);
	go(code, 0, NULL);
	set_dr7(0x400);
	eq(logged, 1);
	eq(log_[0].vec, 1);
	eq(log_[0].ip, ip);
	eq(log_[0].dr6, 0xffff0ff1);
	eq(exc.vec, NONE);
}
/* It comes in the handler of `vec`, before its first instruction. */
static void ss_in(const char *name, const char *code, word vec, word logs)
{
	t(name);
	ss_watch(SEL_DATA);
	go(code, 0, NULL);
	set_dr7(0x400);
	eq(logged, logs);
	eq(log_[0].vec, 1);
	eq(log_[0].ip, VECTOR(vec));
	eq(log_[0].cs, SEL_CODE);
	eq(log_[0].dr6, 0xffff0ff1);
}
static void ss_lost(const char *name, const char *code, word vec)
{
	t(name);
	ss_watch(SEL_DATA);
	go(code, 0, NULL);
	set_dr7(0x400);
	eq(exc.vec, vec);
	eq(logged, 0);
	eq(get_dr6(), 0xffff0ff0);
	t("... and does not come later");
	go(b_icebp, 0, NULL);
	eq(logged, 1);
	eq(log_[0].dr6, 0xffff0ff0);
}
static void mov_ss(void)
{
	if (!t("MOV-SS"))
		return;
	ss("MOV SS, INT1: one exception for both, with what MOV SS met", ss_icebp, ss_icebp_after);
	ss("MOV SS, JMP: after the jump", ss_jmp, ss_jmp_after - 1);
	ss("MOV SS, HLT: it does not sleep", ss_hlt, ss_hlt_after);
	ss("MOV SS, MOV SS: only the first one holds back", ss_ss, ss_ss_after - 1);
	ss_in("MOV SS, INT3: in the handler", ss_int3, 3, 2);
	eq(log_[1].vec, 3);
	eq(log_[1].ip, ss_int3_after);
	ss_in("MOV SS, INT n: in the handler", ss_int, 0x82, 1);
	eq(exc.vec, 0x82);
	ss_lost("MOV SS, UD2: lost with the fault", ss_ud, 6);
	ss_lost("MOV SS, a page fault: lost", ss_pf, 14);
	t("MOV SS, a breakpoint: only that of MOV SS");
	ss_watch(SEL_DATA);
	set_dr1((word)ss_bp_after - 1);
	set_dr7(DR7(0, 3, 2) | DR7(1, 0, 1) | 0x400);
	go(ss_bp, 0, NULL);
	set_dr7(0x400);
	eq(logged, 1);
	eq(log_[0].ip, ss_bp_after);
	eq(log_[0].dr6, 0xffff0ff1);
	t("MOV SS with TF: one trap after the next instruction, for both");
	ss_watch(SEL_DATA);
	go(ss_tf, 0, NULL);
	set_dr7(0x400);
	eq(logged, 4);
	eq(log_[0].ip, ss_tf_at + 8); /* MOV SS is 7 bytes */
	eq(log_[0].dr6, 0xffff4ff1);
	eq(log_[1].dr6, BS);
	t("MOV SS with TF, INT3: the step is lost");
	ss_watch(SEL_DATA);
	go(tf_int3, 0, NULL);
	set_dr7(0x400);
	eq(log_[0].ip, VECTOR(3));
	eq(log_[0].dr6, 0xffff0ff1);
	eq(log_[1].vec, 3);
	eq(log_[1].flags & F_TF, F_TF);

	/* From ring 3, on a stack of its own that a second exception would overwrite. */
	gate_set(1, stubs + 16, SEL_CODE, 0x8e, 1);
	t("MOV SS, INT1 in ring 3");
	ss_watch(SEL_UDATA);
	go_user(us_icebp, (word)watched, 2, NULL);
	eq(logged, 1);
	eq(log_[0].ip, us_icebp_after);
	eq(log_[0].cs, SEL_UCODE);
	eq(log_[0].dr6, 0xffff0ff1);
	eq(exc.vec, 0x80);
	t("MOV SS, INT n in ring 3, refused: lost");
	ss_watch(SEL_UDATA);
	go_user(us_int, (word)watched, 2, NULL);
	eq(logged, 0);
	eq(exc.vec, 13);
	t("MOV SS, CLI in ring 3: lost");
	ss_watch(SEL_UDATA);
	go_user(us_cli, (word)watched, 2, NULL);
	eq(logged, 0);
	eq(exc.vec, 13);
	set_dr7(0x400);
	wrmsr(0xc0000081, 0x20ull << 48 | 8ull << 32);
	wrmsr(0xc0000082, (word)d_sysc);
	t("MOV SS, SYSCALL: in the kernel");
	ss_watch(SEL_UDATA);
	go_user(us_sysc, (word)watched, 2, NULL);
	eq(logged, 1);
	eq(log_[0].ip, d_sysc);
	eq(log_[0].cs, SEL_CODE);
	eq(exc.vec, 0x80);

	t("what the delivery of an exception writes: before the handler's first instruction");
	gate_set(1, stubs + 16, SEL_CODE, 0x8e, 0);
	gate_set(6, stubs + 16 * 6, SEL_CODE, 0x8e, 1);
	set_dr0((word)ist_top - 8);
	set_dr7(DR7(0, 1, 8) | 0x400);
	go(ss_ud + 7, 0, NULL);
	set_dr7(0x400);
	gate_reset(6);
	gate_reset(1);
	eq(logged, 1);
	eq(log_[0].ip, VECTOR(6));
	eq(log_[0].dr6, 0xffff0ff1);
	eq(exc.vec, 6);
}

/* An instruction that reaches a device is executed once, whatever is watched elsewhere. */
static void devices(void)
{
	u8 back;

	set_dr0((word)&log_[0]);
	set_dr7(DR7(0, 1, 4) | 0x400);
	for (unsigned i = 0; i < 3; i++) {
		/* COM1's scratch register */
		__asm__ volatile("out %%al, %%dx; xor %%eax, %%eax; in %%dx, %%al"
				 : "=a"(back)
				 : "a"(0x50 + i), "d"(0x3ff));
		t("OUT while memory is watched");
		eq(back, 0x50 + i);
	}
	set_dr7(0x400);
}

int main(void)
{
	devices();
	steps();
	user_steps();
	syscall_steps();
	breakpoints();
	mov_ss();
	return 0;
}
