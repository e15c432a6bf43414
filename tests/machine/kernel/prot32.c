/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prot32.c - 32-bit protected mode: segments and their limits, gates, task switches, virtual-8086 mode,
 * SYSENTER, both kinds of 32-bit paging, and back to real mode.
 */
#include "lib.h"

static void fault(const char *name, const char *code, const char *at, word vec, word err)
{
	t(name);
	try_call(code, 0);
	eq(exc.vec, vec);
	eq(exc.err, err);
	eq(exc.ip, at);
	eq(exc.cs, SEL_CODE);
	eq(exc.flags & F_RF, F_RF);
}
static void none(const char *name, const char *code)
{
	t(name);
	try_call(code, 0);
	eq(exc.vec, NONE);
}
#define FAULT(n, c, vec, err) fault(n, c, c##_at, vec, err)
#define NOFAULT(n, c) none(n, c)

/* ---- segments: FS is loaded with the segment under test, ECX is the offset ---- */
#define SEG 0x48
#define SEG2 0x50
CODE(f_ld1, "mov exc_arg,%ecx", "movb %fs:(%ecx),%al");
CODE(f_ld4, "mov exc_arg,%ecx", "movl %fs:(%ecx),%eax");
CODE(f_ld8, "mov exc_arg,%ecx", "movq %fs:(%ecx),%mm0; emms");
CODE(f_st4, "mov exc_arg,%ecx", "movl %eax,%fs:(%ecx)");
CODE(f_rmw, "mov exc_arg,%ecx", "addl $0,%fs:(%ecx)");
CODE(f_load, "mov exc_arg,%ecx", "mov %ecx,%fs");
CODE(f_loadss, "mov exc_arg,%ecx", "mov %ecx,%ss");
CODE(f_pop, "mov exc_arg,%ecx; push %ecx", "pop %fs; push %ecx");
CODE(f_lfs, "", "lfs far_ptr,%eax");
word exc_arg;
struct {
	u32 off;
	u16 sel;
} __attribute__((packed)) far_ptr;
static void seg_load(unsigned sel)
{
	__asm__ volatile("mov %0,%%fs" ::"r"(sel));
}
static void limit(const char *name, u32 base, u32 lim, u32 ar, const char *code, const char *at, u32 off, bool ok)
{
	gdt_set(SEG, base, lim, ar);
	seg_load(SEG);
	exc_arg = off;
	t(name);
	try_call(code, 0);
	eq(exc.vec, ok ? NONE : 13);
	if (!ok) {
		eq(exc.err, 0);
		eq(exc.ip, at);
	}
	seg_load(0);
}
#define LIMIT(n, lim, ar, c, off, ok) limit(n, TEST_RAM, lim, ar, c, c##_at, off, ok)
static void segments(void)
{
	LIMIT("limit: the last byte", 0xfff, 0x4093, f_ld1, 0xfff, true);
	LIMIT("limit: the byte behind it", 0xfff, 0x4093, f_ld1, 0x1000, false);
	LIMIT("limit: the last dword", 0xfff, 0x4093, f_ld4, 0xffc, true);
	LIMIT("limit: a dword that reaches over", 0xfff, 0x4093, f_ld4, 0xffd, false);
	LIMIT("limit: a qword that reaches over", 0xfff, 0x4093, f_ld8, 0xff9, false);
	LIMIT("limit: the last qword", 0xfff, 0x4093, f_ld8, 0xff8, true);
	LIMIT("limit: a store that reaches over", 0xfff, 0x4093, f_st4, 0xffd, false);
	LIMIT("limit: read-modify-write that reaches over", 0xfff, 0x4093, f_rmw, 0xffd, false);
	LIMIT("limit: in pages", 1, 0xc093, f_ld4, 0x1ffc, true);
	LIMIT("limit: in pages, over", 1, 0xc093, f_ld4, 0x1ffd, false);
	LIMIT("limit: a dword that wraps at 4 GiB", 0xfffff, 0xc093, f_ld4, 0xfffffffe, false);
	LIMIT("expand-down: the first byte above", 0xfff, 0x4097, f_ld1, 0x1000, true);
	LIMIT("expand-down: the limit itself", 0xfff, 0x4097, f_ld1, 0xfff, false);
	LIMIT("expand-down: 0", 0xfff, 0x4097, f_ld1, 0, false);
	LIMIT("expand-down, 16 bits: the last byte", 0xfff, 0x0097, f_ld1, 0xffff, true);
	LIMIT("expand-down, 16 bits: past it", 0xfff, 0x0097, f_ld1, 0x10000, false);
	LIMIT("expand-down, 16 bits: a dword that reaches over", 0xfff, 0x0097, f_ld4, 0xfffd, false);
	LIMIT("read-only: a read", 0xfff, 0x4091, f_ld4, 0, true);
	LIMIT("read-only: a write", 0xfff, 0x4091, f_st4, 0, false);
	LIMIT("read-only: read-modify-write", 0xfff, 0x4091, f_rmw, 0, false);
	LIMIT("readable code: a read", 0xfff, 0x409b, f_ld4, 0, true);
	LIMIT("readable code: a write", 0xfff, 0x409b, f_st4, 0, false);
	t("base and offset wrap at 4 GiB");
	*(volatile u32 *)TEST_RAM = 0x600dcafe;
	gdt_set(SEG, TEST_RAM + 0x1000, 0xfffff, 0xc093);
	seg_load(SEG);
	exc_arg = (word)-0x1000;
	u32 v;
	__asm__ volatile("mov %%fs:(%1),%0" : "=r"(v) : "r"(exc_arg));
	eq(v, 0x600dcafe);

	seg_load(0);
	exc_arg = 0;
	FAULT("GP: access by a null selector", f_ld1, 13, 0);
	exc_arg = 3;
	NOFAULT("loading a null selector with RPL 3", f_load);
	gdt_set(SEG, 0, 0xfff, 0x4099);
	exc_arg = SEG;
	FAULT("GP: execute-only code as data", f_load, 13, SEG);
	FAULT("GP: ... by POP", f_pop, 13, SEG);
	gdt_set(SEG, 0, 0xfff, 0x4013);
	FAULT("NP: absent data", f_load, 11, SEG);
	FAULT("SS: absent stack", f_loadss, 12, SEG);
	far_ptr.sel = SEG;
	FAULT("NP: LFS of absent data", f_lfs, 11, SEG);
	exc_arg = 0;
	FAULT("GP: null SS", f_loadss, 13, 0);
	exc_arg = 0x400 + SEG;
	FAULT("GP: past the table", f_load, 13, 0x400 + SEG);
	exc_arg = SEG | 4;
	FAULT("GP: no LDT", f_load, 13, SEG | 4);
	exc_arg = SEL_TSS;
	FAULT("GP: a TSS as data", f_load, 13, SEL_TSS);
	gdt_set(SEG, 0, 0xfff, 0x4091);
	exc_arg = SEG;
	FAULT("GP: read-only SS", f_loadss, 13, SEG);
	exc_arg = SEL_UDATA;
	FAULT("GP: SS of ring 3", f_loadss, 13, SEL_UDATA & ~3ul);
	t("the accessed bit is set");
	gdt_set(SEG, 0, 0xfff, 0x4092);
	seg_load(SEG);
	eq(gdt[SEG / 8] >> 40 & 0xff, 0x93);
	seg_load(0);
	/* an LDT */
	t("segments of an LDT");
	static u64 ldt[4];
	gdt_set(SEG2, (u32)(word)ldt, sizeof(ldt) - 1, 0x82);
	ldt[1] = gdt[SEL_DATA / 8];
	__asm__ volatile("lldt %w0" ::"r"(SEG2));
	exc_arg = 0x0c;
	try_call(f_load, 0);
	eq(exc.vec, NONE);
	exc_arg = 0x24;
	try_call(f_load, 0);
	eq(exc.vec, 13);
	eq(exc.err, 0x24);
	seg_load(0);
	__asm__ volatile("lldt %w0" ::"r"(0));
}

/* ---- exceptions only legacy code has ---- */
CODE(of, "mov $0x7fffffff,%eax; add $1,%eax", "into");
CODE(no_of, "xor %eax,%eax", "into");
CODE(br, "mov $5,%eax", "bound %eax,bounds");
CODE(no_br, "mov $-1,%eax", "bound %eax,bounds");
CODE(br_low, "mov $-2,%eax", "bound %eax,bounds");
CODE(aam, "mov $5,%al", "aam $0");
CODE(salc, "stc", ".byte 0xd6");
CODE(ud_bound, "", ".byte 0x62,0xc0; nop; nop; nop; nop");
CODE(gp_int, "", "int $0x90");
CODE(jmp_far_limit, "", "ljmp $0x48,$0x1000");
u32 bounds[2] = { (u32)-1, 4 };
static void legacy(void)
{
	t("OF: INTO");
	try_call(of, 0);
	eq(exc.vec, 4);
	eq(exc.ip, of_after);
	NOFAULT("INTO without overflow", no_of);
	FAULT("BR: above", br, 5, 0);
	FAULT("BR: below", br_low, 5, 0);
	NOFAULT("BOUND at the lower bound", no_br);
	FAULT("DE: AAM 0", aam, 0, 0);
	gdt_set(SEG, 0, 0xfff, 0x409b);
	FAULT("GP: far JMP past the limit", jmp_far_limit, 13, 0);
	gate_set(0x90, stubs, SEL_UCODE32, 0x8e, 0);
	FAULT("GP: INT to an outer ring", gp_int, 13, SEL_UCODE32 & ~3ul);
	gate_reset(0x90);
}

/* Often enough to be translated: accesses that share a check, and whose address or register wraps at 4 GiB. */
static void wraps(void)
{
	volatile u32 *low = (u32 *)0x580;
	u32 sum = 0, moved = 0, stack = 0;

	low[0] = 0x11;
	low[1] = 0x2200;
	for (unsigned i = 0; i < 1000; i++) {
		u32 base = 0xfffff800, down = 0x10;
		__asm__ volatile("mov 0xd80(%1),%%eax; add 0xd84(%1),%%eax; add %%eax,%0"
				 : "+r"(sum)
				 : "r"(base)
				 : "eax");
		__asm__ volatile("mov 0x570(%1),%%eax; sub $0x20,%1; add 0x594(%1),%%eax; add %%eax,%0"
				 : "+r"(moved), "+r"(down)
				 :
				 : "eax");
		__asm__ volatile(
		    "mov %%esp,%%edx; mov $0xfffff800,%%esp; mov 0xd80(%%esp),%%eax; add 0xd84(%%esp),%%eax;"
		    "mov %%edx,%%esp; add %%eax,%0"
		    : "+r"(stack)
		    :
		    : "eax", "edx");
	}
	t("addresses wrap at 4 GiB");
	eq(sum, 1000 * 0x2211u);
	t("a base register wraps at 4 GiB");
	eq(moved, 1000 * 0x2211u);
	t("addresses by ESP wrap at 4 GiB");
	eq(stack, 1000 * 0x2211u);
}

struct tss32 {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, fs,
	    gs, ldt;
	u16 trap, io;
};

/* ---- call gates with parameters, stacks of a TSS ---- */
#define GATE 0x58
u32 gate_seen[8];
extern char gate_fn[], gate16_fn[];
__asm__(".pushsection .text\n"
	"gate_fn: mov %esp,gate_seen+16\n mov 8(%esp),%eax\n mov %eax,%ss:gate_seen\n mov 12(%esp),%eax\n"
	" mov %eax,%ss:gate_seen+4\n mov %cs,%eax\n mov %eax,%ss:gate_seen+8\n mov 4(%esp),%eax\n mov "
	"%eax,%ss:gate_seen+12\n"
	" lret $8\n"
	"gate16_fn: movzwl 4(%esp),%eax\n mov %eax,%ss:gate_seen\n movzwl 2(%esp),%eax\n mov %eax,%ss:gate_seen+4\n "
	"mov $0x16,%ebx\n int $0x80\n"
	".popsection");
USER_CODE(u_gate, "push $0x22; push $0x11", "lcall $0x5b,$0; mov %esp,%ebx");
CODE(k_gate, "push $0x22; push $0x11", "lcall $0x58,$0");
USER_CODE(u_gate_jmp, "", "ljmp $0x5b,$0");
USER_CODE(u_iopl, "", "cli");
USER_CODE(u_bitmap, "", "in $0x60,%al");
USER_CODE(u_lret_in, "push $8; push $0", "lret");
USER_CODE(u_ds, "mov $0x10,%eax", "mov %eax,%ds");
CODE(k_lret, "push $0x2b; push $user_stack_top-64; push $0x23; push $1f", "lret; 1: mov %ds,%ebx; int $0x80");
static void gate(unsigned sel, const void *to, unsigned cs, unsigned ar, unsigned params)
{
	word h = (word)to;

	gdt[sel / 8] = (h & 0xffff) | (u64)cs << 16 | (u64)params << 32 | (u64)ar << 40 | (u64)(h >> 16 & 0xffff) << 48;
}
static void gates(void)
{
	t("call gate to ring 0 copies its parameters");
	gate(GATE, gate_fn, SEL_CODE, 0xec, 2);
	try_user(u_gate, 0, 2);
	eq(exc.vec, 0x80);
	eq(gate_seen[0], 0x11);
	eq(gate_seen[1], 0x22);
	eq(gate_seen[2], 8);
	eq(gate_seen[3], 0x23);
	eq(gate_seen[4], *(u32 *)(tss + 4) - 24);
	t("... and RETF drops them from both stacks");
	eq(exc.bx, user_stack_top);
	eq(exc.cs, SEL_UCODE32);
	t("call gate in the same ring copies none");
	try_call(k_gate, 0);
	eq(exc.vec, NONE);
	eq(gate_seen[0], 0x11);
	t("16-bit call gate");
	const char *low = (const char *)0x6000; /* its offset has 16 bits */
	memcpy((void *)low, gate16_fn, 48);
	gate(GATE, low, SEL_CODE, 0xe4, 2);
	try_user(u_gate, 0, 2);
	eq(exc.vec, 0x80);
	eq(exc.bx, 0x16);
	eq(exc.cs, 8);
	eq(gate_seen[0], 0x11);
	eq(gate_seen[1], 0x23);
	gate(GATE, gate_fn, SEL_CODE, 0xec, 2);
	t("GP: JMP through a gate to an inner ring");
	try_user(u_gate_jmp, 0, 2);
	eq(exc.vec, 13);
	eq(exc.err, 8);
	t("TS on TS: stack segment of the TSS is null: DF by a task gate");
	*(u16 *)(tss + 8) = 0;
	static struct tss32 df;
	df.eip = (word)stubs + 8 * 16;
	df.flags = 2;
	df.sp = (word)user_stack_top - 2048;
	df.cs = SEL_CODE;
	df.ss = df.ds = df.es = df.ss0 = SEL_DATA;
	gdt_set(0x60, (u32)(word)&df, 103, 0x89);
	idt[8] = 0x60ull << 16 | 0x85ull << 40;
	try_user(u_gate, 0, 2); /* #TS needs that stack too: #DF, in a task of its own */
	*(u16 *)(tss + 8) = 0x10;
	eq(exc.vec, 8);
	eq(exc.err, 0);
	eq(*(u32 *)(tss + 32), u_gate_at); /* EIP saved in the task that was left */
	gate_reset(8);
	gdt_set(SEL_TSS, (u32)(word)tss, sizeof(tss) - 1, 0x89);
	__asm__ volatile("pushf; andl $~0x4000,(%%esp); popf; clts; ltr %w0" ::"r"(SEL_TSS) : "cc");
}

/* ---- tasks ---- */
static struct tss32 ta __attribute__((aligned(128))), tb __attribute__((aligned(128)));
static u16 t16[64] __attribute__((aligned(128)));
#define TSS_A 0x60
#define TSS_B 0x68
#define TSS_16 0x70
#define TGATE 0x78
u32 task_seen[8];
extern char task_ret[], task_jmp[], task_fix[];
static char task_stack[4096] __attribute__((aligned(16)));
__asm__(".pushsection .text\n"
	"task_ret: mov %eax,task_seen\n pushf\n popl task_seen+4\n str task_seen+8\n mov %ecx,task_seen+12\n"
	" mov %cr0,%eax\n mov %eax,task_seen+16\n incl %ebx\n iret\n jmp task_ret\n"
	"task_jmp: incl task_seen+20\n ljmp $0x60,$0\n jmp task_jmp\n"
	".popsection");
CODE(t_call, "", "lcall $0x68,$0");
CODE(t_call_gate, "", "lcall $0x78,$0");
CODE(t_jmp, "", "ljmp $0x68,$0");
CODE(t_call_ldt, "", "lcall $0x04,$0");
CODE(t_jmp_ldt, "", "ljmp $0x04,$0");
CODE(t_iret_busy, "pushfl; orl $0x4000,(%esp); popfl", "iret");
CODE(t_int, "", "int $0x90");
CODE(t_call16, "", "lcall $0x70,$0");
CODE(t_ud, "", "ud2");
static void task_b(const void *code)
{
	memset(&tb, 0, sizeof(tb));
	tb.eip = (word)code;
	tb.flags = 2;
	tb.ax = 0xaaaa;
	tb.cx = 0xcccc;
	tb.sp = (word)task_stack + sizeof(task_stack);
	tb.cs = SEL_CODE;
	tb.ss = tb.ds = tb.es = SEL_DATA;
	tb.fs = tb.gs = 0;
	tb.io = 0xffff;
	gdt_set(TSS_B, (u32)(word)&tb, 103, 0x89);
	memset(task_seen, 0, sizeof(task_seen));
}
static unsigned type(unsigned sel)
{
	return (unsigned)(gdt[sel / 8] >> 40) & 0xff;
}
static void tasks(void)
{
	gdt_set(TSS_A, (u32)(word)&ta, 103, 0x89);
	ta.esp0 = *(u32 *)(tss + 4);
	ta.ss0 = SEL_DATA;
	ta.io = 0xffff;
	__asm__ volatile("ltr %w0" ::"r"(TSS_A));
	t("LTR makes the TSS busy");
	eq(type(TSS_A), 0x8b);

	t("CALL to a TSS and IRET back");
	task_b(task_ret);
	try_call(t_call, 0);
	eq(exc.vec, NONE);
	eq(task_seen[0], 0xaaaa);
	eq(task_seen[1] & F_NT, F_NT);
	eq(task_seen[2] & 0xffff, TSS_B);
	eq(task_seen[3], 0xcccc);
	eq(task_seen[4] & 8, 8); /* CR0.TS */
	eq(tb.link & 0xffff, TSS_A);
	eq(type(TSS_A), 0x8b);
	eq(type(TSS_B), 0x89);
	eq(tb.bx, 1);
	eq(tb.flags & F_NT, 0);
	u32 tr;
	__asm__ volatile("str %0" : "=r"(tr));
	eq(tr & 0xffff, TSS_A);
	__asm__ volatile("clts");
	t("... goes on behind its IRET the next time");
	u32 eip = tb.eip;
	try_call(t_call, 0);
	eq(exc.vec, NONE);
	eq(tb.eip, eip);
	eq(tb.bx, 2);

	t("CALL through a task gate");
	task_b(task_ret);
	gdt[TGATE / 8] = (u64)TSS_B << 16 | 0x85ull << 40;
	try_call(t_call_gate, 0);
	eq(exc.vec, NONE);
	eq(task_seen[2] & 0xffff, TSS_B);

	static u64 tasks_ldt[1];
	task_b(task_ret);
	tasks_ldt[0] = gdt[TSS_B / 8];
	gdt_set(SEG2, (u32)(word)tasks_ldt, 7, 0x82);
	__asm__ volatile("lldt %w0" ::"r"(SEG2));
	FAULT("GP: CALL to a TSS in the LDT", t_call_ldt, 13, 4);
	FAULT("GP: JMP to a TSS in the LDT", t_jmp_ldt, 13, 4);
	eq(task_seen[0], 0);
	__asm__ volatile("lldt %w0" ::"r"(0));

	t("JMP to a TSS, JMP back: no nesting, busy moves along");
	task_b(task_jmp);
	try_call(t_jmp, 0);
	eq(exc.vec, NONE);
	eq(task_seen[5], 1);
	eq(type(TSS_A), 0x8b);
	eq(type(TSS_B), 0x89);
	eq(tb.link, 0);
	eq(ta.eip, t_jmp_after);

	t("GP: CALL to a busy TSS");
	task_b(task_ret);
	gdt_set(TSS_B, (u32)(word)&tb, 103, 0x8b);
	try_call(t_call, 0);
	eq(exc.vec, 13);
	eq(exc.err, TSS_B);
	t("NP: CALL to an absent TSS");
	gdt_set(TSS_B, (u32)(word)&tb, 103, 0x09);
	try_call(t_call, 0);
	eq(exc.vec, 11);
	eq(exc.err, TSS_B);
	t("TS: CALL to a TSS that is too short");
	gdt_set(TSS_B, (u32)(word)&tb, 102, 0x89);
	try_call(t_call, 0);
	eq(exc.vec, 10);
	eq(exc.err, TSS_B);
	t("TS: IRET to a task that is not busy");
	ta.link = TSS_B;
	gdt_set(TSS_B, (u32)(word)&tb, 103, 0x89);
	try_call(t_iret_busy, 0);
	eq(exc.vec, 10);
	eq(exc.err, TSS_B);

	t("an interrupt through a task gate, error code none");
	task_b(task_ret);
	idt[0x90] = (u64)TSS_B << 16 | 0x85ull << 40;
	try_call(t_int, 0);
	eq(exc.vec, NONE);
	eq(task_seen[2] & 0xffff, TSS_B);
	eq(ta.eip, t_int_after);
	gate_reset(0x90);
	t("an exception with an error code through a task gate pushes it there");
	task_b(task_fix); /* moves the interrupted task on behind the two bytes of MOV to FS */
	idt[13] = (u64)TSS_B << 16 | 0x85ull << 40;
	exc_arg = SEL_TSS;
	try_call(f_load, 0);
	eq(exc.vec, NONE);
	eq(task_seen[6], SEL_TSS);
	gate_reset(13);

	t("a 16-bit task");
	memset(t16, 0, sizeof(t16));
	memcpy((void *)0x6000, "\xb8\x34\x12\xa3\x00\x70\xcf", 7); /* mov ax,1234; mov [7000],ax; iret */
	t16[7] = 0x6000;
	t16[8] = 2;
	t16[13] = 0x7f00; /* SP */
	gdt_set(SEG, 0, 0xffff, 0x9b);
	gdt_set(SEG2, 0, 0xffff, 0x93);
	t16[17] = SEG2;
	t16[18] = SEG;
	t16[19] = SEG2;
	t16[20] = SEG2;
	gdt_set(TSS_16, (u32)(word)t16, 43, 0x81);
	*(volatile u16 *)0x7000 = 0;
	try_call(t_call16, 0);
	eq(exc.vec, NONE);
	eq(*(volatile u16 *)0x7000, 0x1234);
	eq(t16[0], TSS_A);
	__asm__ volatile("clts");
	t("the T bit of a TSS: DB in the new task");
	task_b(task_ret);
	tb.trap = 1;
	set_dr6(0xffff0ff0);
	try_call(t_call, 0);
	eq(exc.vec, 1);
	eq(exc.dr6 & 0x8000, 0x8000);
	eq(exc.ip, task_ret);
	gdt_set(TSS_A, (u32)(word)&ta, 103, 0x89);
	__asm__ volatile("clts; ltr %w0" ::"r"(TSS_A));
	set_dr6(0xffff0ff0);
}
__asm__(".pushsection .text\n.globl task_fix\ntask_fix: pop task_seen+24\n mov ta_eip,%eax\n addl $2,(%eax)\n "
	"iret\n.popsection");
u32 *ta_eip = &ta.eip;

/* ---- virtual-8086 mode ---- */
#define VM_CODE 0x6000u
static u32 vm(const char *code, unsigned n, word flags)
{
	memcpy((void *)VM_CODE, code, n);
	memset((void *)(VM_CODE + n), 0xf4, 16);
	extern u32 vm_enter(word flags);
	return vm_enter(flags);
}
__asm__(".pushsection .text\n.globl vm_enter\nvm_enter: push %ebx\n push %ebp\n push %esi\n push %edi\n pushf\n mov "
	"%esp,try_sp\n"
	" movl $0xffff,exc\n mov 24(%esp),%eax\n or $0x20002,%eax\n"
	" push $0x4444\n push $0x3333\n push $0x700\n push $0x2222\n push $0x700\n push $0x800\n push %eax\n push "
	"$0x600\n push $0\n"
	" mov $0x1234,%eax\n iret\n.popsection");
static void vm86(void)
{
	u16 *low = (u16 *)0x7000;

	t("virtual-8086 mode: segments are paragraphs");
	low[0] = 0;
	vm("\xa3\x00\x00\xcc", 4, F_IOPL3); /* mov [0],ax; int3 */
	eq(exc.vec, 3);
	eq(low[0], 0x1234);
	eq(exc.cs, 0x600);
	eq(exc.ip, 4);
	eq(exc.flags & F_VM, F_VM);
	struct frame *f = (struct frame *)exc.at_sp;
	eq(f->sp, 0x800);
	eq(f->ss & 0xffff, 0x700);
	eq(((u32 *)(f + 1))[0] & 0xffff, 0x2222); /* ES, DS, FS, GS above */
	eq(((u32 *)(f + 1))[1] & 0xffff, 0x700);
	eq(((u32 *)(f + 1))[2] & 0xffff, 0x3333);
	eq(((u32 *)(f + 1))[3] & 0xffff, 0x4444);
	t("... the handler's data segments are null");
	eq(f->ds & 0xffff, 0);
	eq(f->fs & 0xffff, 0);
	static const struct {
		const char *name, *code;
		unsigned n;
		bool fault3; /* also with IOPL 3 */
	} s[] = {
		{ "CLI", "\xfa", 1, false },         { "STI", "\xfb", 1, false },
		{ "PUSHF", "\x9c", 1, false },       { "POPF", "\x9c\x9d", 2, false },
		{ "HLT", "\xf4", 1, true },          { "MOV CR0", "\x0f\x20\xc0", 3, true },
		{ "LMSW", "\x0f\x01\xf0", 3, true },
	};
	for (unsigned i = 0; i < sizeof(s) / sizeof(*s); i++) {
		static char title[40];
		memset(title, 0, sizeof(title));
		memcpy(title, "VM86: ", 6);
		for (unsigned k = 0; s[i].name[k]; k++)
			title[6 + k] = s[i].name[k];
		t(title);
		vm(s[i].code, s[i].n, 0);
		eq(exc.vec, 13);
		eq(exc.err, 0);
		eq(exc.ip, 0);
		vm(s[i].code, s[i].n, F_IOPL3);
		eq(exc.vec, 13); /* the HLT behind it */
		eq(exc.ip, s[i].fault3 ? 0 : s[i].n);
	}
	t("VM86: INT n needs IOPL 3");
	vm("\xcd\x80", 2, 0);
	eq(exc.vec, 13);
	eq(exc.err, 0);
	vm("\xcd\x80", 2, F_IOPL3);
	eq(exc.vec, 0x80);
	eq(exc.ip, 2);
	t("VM86: INT3 does not");
	vm("\xcc", 1, 0);
	eq(exc.vec, 3);
	t("VM86: I/O goes by the bitmap, whatever IOPL is");
	vm("\xe4\x60", 2, F_IOPL3);
	eq(exc.vec, 13);
	eq(exc.ip, 0);
	static u8 map[256] __attribute__((aligned(128)));
	memcpy(map, &ta, sizeof(ta));
	((struct tss32 *)map)->io = 104;
	memset(map + 104, 0xff, sizeof(map) - 104);
	map[104 + 12] = 0xfe;
	gdt_set(TSS_A, (u32)(word)map, sizeof(map) - 1, 0x89);
	__asm__ volatile("ltr %w0" ::"r"(TSS_A));
	vm("\xe4\x60\xcc", 3, 0);
	eq(exc.vec, 3);
	vm("\xe4\x61\xcc", 3, 0);
	eq(exc.vec, 13);
	vm("\xe5\x60\xcc", 3, 0); /* a word: the second port is denied */
	eq(exc.vec, 13);
	gdt_set(TSS_A, (u32)(word)&ta, 103, 0x89);
	__asm__ volatile("ltr %w0" ::"r"(TSS_A));
	t("VM86: offsets past 64 KiB");
	vm("\x67\x66\xa1\x00\x00\x01\x00", 7, F_IOPL3);
	eq(exc.vec, 13);
	eq(exc.ip, 0);
	t("VM86: a word at FFFF");
	vm("\xa1\xff\xff", 3, F_IOPL3);
	eq(exc.vec, 13);
	t("VM86: far JMP and far CALL");
	vm("\x9a\x06\x00\x00\x06\xcc\x8c\xc8\xcb", 9, F_IOPL3); /* call 600:6; int3; mov ax,cs; retf */
	eq(exc.vec, 3);
	eq(exc.ip, 6);
	eq(exc.ax & 0xffff, 0x600);
	t("VM86: no LAR, no SYSENTER frame: UD");
	vm("\x0f\x02\xc0", 3, F_IOPL3);
	eq(exc.vec, 6);
}

/* ---- the stack, often enough to be translated ---- */
static void pushes(void)
{
	static const u32 flags[] = { 2, 0x8d7, 0x203002, 0x44003, 0x4c96, 0x200447 };
	u32 bad = 0;

	t("PUSH of segment registers among others");
	for (u32 i = 0; i < 500; i++) {
		u32 cs, mine, ds, mine2;
		__asm__ volatile("push %4; push %%ds; push %4; push %%cs; pop %0; pop %1; pop %2; pop %3"
				 : "=&r"(cs), "=&r"(mine), "=&r"(ds), "=&r"(mine2)
				 : "r"(i * 0x1010101));
		bad += cs != SEL_CODE || ds != SEL_DATA || mine != i * 0x1010101 || mine2 != mine;
	}
	eq(bad, 0);
	t("POPF in ring 0");
	for (u32 i = 0; i < 3000; i++) {
		u32 to = flags[i % (sizeof(flags) / sizeof(*flags))], got;
		__asm__ volatile("push %1; popf; pushf; pop %0; push $2; popf" : "=r"(got) : "r"(to) : "cc");
		bad += got != to;
	}
	eq(bad, 0);
}

/* ---- SYSENTER ---- */
u32 se_seen[4];
extern char se_entry[];
__asm__(".pushsection .text\nse_entry: mov %cs,%eax\n mov %eax,se_seen\n mov %ss,%eax\n mov %eax,se_seen+4\n mov "
	"%esp,se_seen+8\n"
	" pushf\n pop se_seen+12\n sti\n sysexit\n.popsection");
USER_CODE(u_se, "mov $1f,%edx; mov %esp,%ecx", "sysenter; ud2; 1: mov %cs,%ebx");
static void sysenter_(void)
{
	t("GP: SYSENTER with a null CS");
	wrmsr(0x174, 0);
	try_user(u_se, 0, 2);
	eq(exc.vec, 13);
	eq(exc.ip, u_se_at);
	t("SYSENTER and SYSEXIT");
	wrmsr(0x174, SEL_CODE);
	wrmsr(0x175, (word)task_stack + 4096);
	wrmsr(0x176, (word)se_entry);
	for (unsigned i = 0; i < 300; i++)
		try_user(u_se, 0, 2 | F_IF);
	eq(exc.vec, 0x80);
	eq(se_seen[0], SEL_CODE);
	eq(se_seen[1], SEL_DATA);
	eq(se_seen[2], (word)task_stack + 4096);
	eq(se_seen[3] & F_IF, 0);
	eq(exc.cs, 0x1b);
	eq(exc.ss, 0x23);
	eq(exc.sp, user_stack_top);
}

/* ---- paging ---- */
static u32 *const pd = (u32 *)TEST_RAM, *const pt = (u32 *)(TEST_RAM + 0x1000);
static u64 *const pdpt = (u64 *)(TEST_RAM + 0x2000), *const pd64 = (u64 *)(TEST_RAM + 0x3000),
		  *const pt64 = (u64 *)(TEST_RAM + 0x7000);
#define FRAME (TEST_RAM + 0x400000)
#define LIN 0x40000000u
CODE(p_rd, "", "mov 64(%edi),%eax");
CODE(p_wr, "", "movb $1,64(%edi)");
CODE(p_ex, "", "call *%edi");
USER_CODE(pu_rd, "", "mov 64(%edi),%eax");
USER_CODE(pu_wr, "", "movb $1,64(%edi)");
USER_CODE(pu_ex, "", "add $16,%edi; jmp *%edi");
static void check_all(const char *kind, bool nxe,
		      void (*map)(unsigned u, unsigned w, bool nx, unsigned uu, unsigned uw), u64 (*leaf)(void))
{
	static const struct {
		const char *name, *code;
		unsigned acc; /* 0 read 1 write 2 fetch */
		bool user;
	} a[] = {
		{ "supervisor read", p_rd, 0, 0 },  { "supervisor write", p_wr, 1, 0 },
		{ "supervisor fetch", p_ex, 2, 0 }, { "user read", pu_rd, 0, 1 },
		{ "user write", pu_wr, 1, 1 },      { "user fetch", pu_ex, 2, 1 },
	};
	static char title[64];
	for (unsigned k = 0; k < 6; k++) {
		memset(title, 0, sizeof(title));
		unsigned n = 0;
		for (const char *s = kind; *s; s++)
			title[n++] = *s;
		for (const char *s = a[k].name; *s; s++)
			title[n++] = *s;
		t(title);
		for (unsigned m = 0; m < 64; m++) {
			bool wp = m & 1, nx = m & 2, u = m & 4, w = m & 8, uu = m & 16, uw = m & 32, ok;
			if (nx && !nxe)
				continue;
			set_cr0(wp ? get_cr0() | CR0_WP : get_cr0() & ~CR0_WP);
			map(u, w, nx, uu, uw);
			invlpg(LIN);
			bool us = u && uu, wr = w && uw;
			if (a[k].user)
				ok = us && (a[k].acc != 1 || wr) && (a[k].acc != 2 || !nx);
			else
				ok = a[k].acc == 2 ? !nx : a[k].acc == 0 || wr || !wp;
			word got = a[k].user ? try_user(a[k].code, LIN, 2) : try_call(a[k].code, LIN);
			if (got == 0x80)
				got = NONE;
			if (got != (ok ? NONE : 14))
				eq(m, ~0ull);
			eq(got, ok ? NONE : 14);
			if (!ok) {
				eq(exc.err,
				   1 | (a[k].acc == 1 ? 2 : 0) | (a[k].user ? 4 : 0) | (a[k].acc == 2 && nxe ? 16 : 0));
				eq(exc.cr2, LIN + (a[k].acc != 2 ? 64 : a[k].user ? 16 : 0));
			} else {
				eq(leaf() & 0x60, a[k].acc == 1 ? 0x60 : 0x20);
			}
		}
	}
	set_cr0(get_cr0() & ~CR0_WP);
}
static void map_4k(unsigned u, unsigned w, bool nx, unsigned uu, unsigned uw)
{
	(void)nx;
	pt[0] = FRAME | 1 | (u ? 4 : 0) | (w ? 2 : 0);
	pd[LIN >> 22] = (word)pt | 1 | (uu ? 4 : 0) | (uw ? 2 : 0);
}
static void map_4m(unsigned u, unsigned w, bool nx, unsigned uu, unsigned uw)
{
	(void)nx;
	pd[LIN >> 22] = FRAME | 0x81 | (u && uu ? 4 : 0) | (w && uw ? 2 : 0);
}
static u64 leaf_4k(void)
{
	return pt[0];
}
static u64 leaf_4m(void)
{
	return pd[LIN >> 22];
}
static void map_pae(unsigned u, unsigned w, bool nx, unsigned uu, unsigned uw)
{
	pt64[0] = FRAME | 1 | (u ? 4 : 0) | (w ? 2 : 0) | (nx ? PTE_NX : 0);
	pd64[512] = (word)pt64 | 1 | (uu ? 4 : 0) | (uw ? 2 : 0);
}
static void map_2m(unsigned u, unsigned w, bool nx, unsigned uu, unsigned uw)
{
	pd64[512] = FRAME | 0x81 | (u && uu ? 4 : 0) | (w && uw ? 2 : 0) | (nx ? PTE_NX : 0);
}
static u64 leaf_pae(void)
{
	return pt64[0];
}
static u64 leaf_2m(void)
{
	return pd64[512];
}
CODE(cr3_bad, "mov $0x2002020,%eax", "mov %eax,%cr3"); /* pdpt + 4 */
CODE(pae_on, "mov %cr0,%eax; or $0x80000000,%eax", "mov %eax,%cr0");
static void paging(void)
{
	*(u8 *)FRAME = 0xc3;
	*(u16 *)(FRAME + 16) = 0x80cd;
	memset(pd, 0, 0x8000);
	for (unsigned i = 0; i < 16; i++)
		pd[i] = i << 22 | 0x87;
	set_cr4(get_cr4() | CR4_PSE);
	set_cr3((word)pd);
	set_cr0(get_cr0() | CR0_PG);
	check_all("32-bit, 4K: ", false, map_4k, leaf_4k);
	check_all("32-bit, 4M: ", false, map_4m, leaf_4m);
	t("32-bit: a reserved bit of a 4 MiB page");
	pd[LIN >> 22] = FRAME | 0x83 | 1u << 21;
	invlpg(LIN);
	try_call(p_rd, LIN);
	eq(exc.vec, 14);
	eq(exc.err, 9);
	t("32-bit: INVLPG drops a 4 MiB page");
	pd[LIN >> 22] = FRAME | 0x83;
	invlpg(LIN);
	*(volatile u32 *)(FRAME + 0x5000) = 1;
	*(volatile u32 *)(FRAME + 0x405000) = 2;
	eq(*(volatile u32 *)(LIN + 0x5000), 1);
	pd[LIN >> 22] = (FRAME + 0x400000) | 0x83;
	invlpg(LIN);
	eq(*(volatile u32 *)(LIN + 0x5000), 2);
	t("without PSE the PS bit means nothing");
	pd[LIN >> 22] = (word)pt | 0x83;
	pt[0] = FRAME | 3;
	for (unsigned i = 0; i < 16; i++) { /* the kernel by 4 KiB pages, for now */
		u32 *table = (u32 *)(FRAME + 0x10000 + i * PAGE);
		for (unsigned k = 0; k < 1024; k++)
			table[k] = i << 22 | k << 12 | 7;
		pd[i] = (word)table | 7;
	}
	set_cr3((word)pd);
	set_cr4(get_cr4() & ~CR4_PSE);
	*(volatile u32 *)FRAME = 0xc3;
	eq(*(volatile u32 *)LIN, 0xc3);
	set_cr0(get_cr0() & ~CR0_PG);

	t("PAE: a PDPTE with reserved bits does not load");
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = ((word)pd64 + i * PAGE) | 1;
	for (unsigned i = 0; i < 32; i++)
		pd64[i] = i << 21 | 0x87;
	set_cr4(get_cr4() | CR4_PAE);
	pdpt[0] |= 0x1e6;
	set_cr3((word)pdpt);
	try_call(pae_on, 0);
	eq(exc.vec, 13);
	eq(exc.err, 0);
	pdpt[0] &= ~0x1e6ull;
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
	set_cr0(get_cr0() | CR0_PG);
	check_all("PAE, 4K: ", true, map_pae, leaf_pae);
	check_all("PAE, 2M: ", true, map_2m, leaf_2m);
	t("PAE: a PDPTE taken away is gone after a CR3 load");
	map_2m(1, 1, 0, 1, 1);
	invlpg(LIN);
	*(volatile u32 *)FRAME = 0x1111;
	eq(*(volatile u32 *)LIN, 0x1111);
	pdpt[1] = 0;
	set_cr3((word)pdpt);
	eq(try_call(p_rd, LIN), 14);
	eq(exc.err, 0);
	t("PAE: CR3 load with reserved bits in a PDPTE");
	pdpt[4] = pdpt[0] | 0x1e6;
	try_call(cr3_bad, 0);
	eq(exc.vec, 13);
	eq(exc.ip, cr3_bad_at);
	eq(get_cr3(), pdpt);
	set_cr0(get_cr0() & ~CR0_PG);
	set_cr4(get_cr4() & ~CR4_PAE);
}

/* ---- back to real mode, and unreal mode ---- */
u32 real_seen[8];
extern char real_start[], real_end[];
void go_real(void);
__asm__(".pushsection .text\n"
	/* runs at 0x6000; the caller's ESP and IDT are kept in memory */
	"go_real: pusha\n sidt real_idt\n mov %esp,real_esp\n ljmp $0x48,$0x6000\n"
	"real_back: mov $0x10,%eax\n mov %eax,%ds\n mov %eax,%es\n mov %eax,%ss\n mov %ds,%eax\n mov real_esp,%esp\n "
	"lidt real_idt\n"
	" xor %eax,%eax\n mov %eax,%fs\n mov %eax,%gs\n popa\n ret\n"
	".code16\nreal_start: mov $0x50,%ax\n mov %ax,%ds\n mov %ax,%es\n mov %ax,%ss\n mov %ax,%gs\n"
	" mov $0x10,%ax\n mov %ax,%fs\n" /* a limit of 4 GiB stays: unreal mode */
	" mov %cr0,%eax\n and $~1,%al\n mov %eax,%cr0\n ljmp $0x600,$(1f-real_start)\n"
	"1: xor %ax,%ax\n mov %ax,%ds\n mov %ax,%es\n mov %ax,%ss\n mov $0x5f00,%sp\n"
	" lidt 0x6000+real_ivt-real_start\n"
	" mov %cs,0x7000\n"                                              /* [0] CS */
	" mov $0x2000000,%ebx\n mov %fs:(%ebx),%eax\n mov %eax,0x7004\n" /* [1] a read past 1 MiB */
	" movw $0,0x700c\n int $0x40\n"                                  /* [2]: INT through the IVT, [3] its flags */
	" mov $0xffff,%bx\n movw $0,0x7010\n mov 1(%bx),%al\n"           /* wraps to 0: fine */
	" movw $1f-real_start,0x7018\n mov (%bx),%ax\n"                  /* a word at FFFF: #GP, vector 13 */
	"1: movw $0x600,%ax\n mov %ax,%ds\n mov 0,%ax\n mov %ax,%cs:0x1014\n xor %ax,%ax\n mov %ax,%ds\n" /* [5] */
	" mov %cr0,%eax\n or $1,%al\n mov %eax,%cr0\n ljmpl $8,$real_back\n"
	"real_int: pushf\n pop 0x700c\n mov $0x77,%ax\n mov %ax,0x7008\n iret\n"
	"real_gp: push %bp\n mov %sp,%bp\n mov 0x7018,%ax\n mov %ax,2(%bp)\n incw 0x7010\n pop %bp\n iret\n"
	"real_ivt: .word 0x3ff\n .long 0\n"
	"real_end: .code32\n"
	".globl real_start,real_end,real_int,real_gp\n"
	".popsection\n.pushsection .bss\nreal_esp: .skip 4\nreal_idt: .skip 8\n.popsection");
static void real(void)
{
	extern char real_int[], real_gp[];
	volatile u32 *r = (u32 *)0x7000;

	memcpy((void *)0x6000, real_start, (word)(real_end - real_start));
	memset((void *)0x7000, 0, 32);
	gdt_set(0x48, 0, 0xffff, 0x9b);
	gdt_set(0x50, 0, 0xffff, 0x93);
	*(volatile u32 *)TEST_RAM = 0xfeedf00d;
	u32 *ivt = (u32 *)0;
	__asm__("" : "+r"(ivt));
	ivt[0x40] = 0x600u << 16 | (u16)(real_int - real_start);
	ivt[13] = 0x600u << 16 | (u16)(real_gp - real_start);
	go_real();
	t("back in real mode: CS is a paragraph");
	eq(r[0], 0x600);
	t("unreal mode: FS keeps its limit");
	eq(r[1], 0xfeedf00d);
	t("real mode: INT by the IVT, IF and TF off");
	eq(r[2], 0x77);
	eq(r[3] & 0x300, 0);
	t("real mode: GP for a word at FFFF");
	eq(r[4], 1);
	t("real mode: DS base is sixteen times the selector");
	eq(r[5], *(volatile u16 *)0x6000);
	t("and in protected mode again");
	eq(try_call(t_ud, 0), 6);
}

/* ---- RET n ---- */
u32 below(u32 a, u32 b);
/* Flags are a result as well; what lies where an operand of RET would lead, were it a jump, overwrites them all. */
__asm__(".pushsection .text\n"
	"below: mov 4(%esp),%edx\n mov 8(%esp),%ecx\n push %ecx\n call 1f\n setb %al\n movzbl %al,%eax\n ret\n"
	"1: cmp %ecx,%edx\n mov (%esp),%ecx\n ret $4\n .rept 16\n xor %ecx,%ecx\n .endr\n"
	".popsection");
static void ret_keeps_flags(void)
{
	unsigned wrong = 0;

	t("flags over RET n");
	for (u32 i = 0; i < 20000; i++) /* until it is translated, and on */
		wrong += below(i & 7, 4) != ((i & 7) < 4);
	eq(wrong, 0);
}

int main(void)
{
	ret_keeps_flags();
	segments();
	legacy();
	wraps();
	gates();
	pushes();
	sysenter_();
	tasks();
	vm86();
	paging();
	real();
	return 0;
}
