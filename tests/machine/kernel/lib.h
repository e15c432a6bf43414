/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib.h - what the test kernels share: reports on the UART, exceptions caught and looked at.
 *
 * A kernel is entry64.S or entry32.S, lib.c and one file with main(). A check is opened by t(), its
 * facts are said by eq(); the runner (run_kernel.py) shows the facts that failed. main() returning
 * ends the machine through the debug-exit port with 16 for success.
 *
 * A command line that ends in skip=NAME|NAME... leaves checks out that are functions' of their own (t() is false): some
 * ruin the kernel on a processor that gets them wrong.
 *
 * try_call() runs a piece of code until it returns or meets an exception, which is then in `exc`;
 * try_user() does so in ring 3, where INT 0x80 ends it. Where on_exc is set it sees each exception
 * first, and by returning true lets the code go on.
 */
#ifndef KERNEL_LIB_H
#define KERNEL_LIB_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef unsigned long word; /* a register */
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

struct frame {
#ifdef __x86_64__
	u64 r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
#else
	u32 di, si, bp, sp_unused, bx, dx, cx, ax;
	u32 gs, fs, es, ds;
#endif
	word vec, err, ip, cs, flags, sp, ss;
};
/* The last exception; vec is NONE when there was none. */
#define NONE 0xffff
struct exc {
	word vec, err, ip, cs, flags, sp, ss, cr2, dr6, ax, bx, cx, dx, at_sp;
	u32 count;
};
extern struct exc exc;
extern bool (*on_exc)(struct frame *f);

word try_call(const void *code, word arg);
word try_user(const void *code, word arg, word flags);
word try_user_cs(const void *code, word arg, word flags, word cs);
extern char user_stack_top[], stack_top[], ist_top[];

bool t(const char *name);
bool asked(const char *word);       /* is it on the command line? */
const char *find(const char *what); /* the command line from there on; "" where it is not */
void eq_(const char *what, u64 got, u64 want, unsigned line);
#define eq(got, want) eq_(#got, (word)(got), (word)(want), __LINE__)
void say(const char *s);
void say_hex(u64 v);
int main(void);
__attribute__((noreturn)) void end(unsigned status);

/* Code with a label before (NAME_at) and after (NAME_after) the instruction of interest. */
#define CODE_END(n, before, insn, last) \
	extern const char n[], n##_at[], n##_after[]; \
	__asm__(".pushsection .text\n.globl " #n "," #n "_at," #n "_after\n" #n ":\n\t" before "\n" #n "_at:\n\t" insn \
		"\n" #n "_after:\n\t" last "\n.popsection\n")
#define CODE(n, before, insn) CODE_END(n, before, insn, "ret")
#define USER_CODE(n, before, insn) CODE_END(n, before, insn, "int $0x80")

#define F_CF 1ul
#define F_TF 0x100ul
#define F_IF 0x200ul
#define F_DF 0x400ul
#define F_IOPL3 0x3000ul
#define F_NT 0x4000ul
#define F_RF 0x10000ul
#define F_VM 0x20000ul
#define F_AC 0x40000ul

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x18
#define SEL_UCODE32 0x23
#define SEL_UDATA 0x2b
#define SEL_UCODE 0x33 /* 64-bit; in a 32-bit kernel the same as SEL_UCODE32 */
#define SEL_TSS 0x38
#define SEL_FREE 0x48 /* and above: the tests' own */
extern u64 gdt[128];
extern u64 idt[512];
extern u8 tss[256];
void gdt_set(unsigned sel, u32 base, u32 limit, u32 ar); /* ar as in LAR >> 8 */
void gate_set(unsigned vec, const void *handler, unsigned sel, unsigned type_dpl_p, unsigned ist);
extern char stubs[]; /* the library's handlers, 16 bytes each */
void gate_reset(unsigned vec);

static inline void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline u8 inb(u16 port)
{
	u8 v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline void outl(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline u64 rdmsr(u32 n)
{
	u32 a, d;
	__asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(n));
	return (u64)d << 32 | a;
}
static inline void wrmsr(u32 n, u64 v)
{
	__asm__ volatile("wrmsr" ::"c"(n), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}
static inline u64 rdtsc(void)
{
	u32 a, d;
	__asm__ volatile("rdtsc" : "=a"(a), "=d"(d));
	return (u64)d << 32 | a;
}
#define REG(name) \
	static inline word get_##name(void) \
	{ \
		word v; \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(v)::"memory"); \
		return v; \
	} \
	static inline void set_##name(word v) \
	{ \
		__asm__ volatile("mov %0, %%" #name ::"r"(v) : "memory"); \
	}
REG(cr0)
REG(cr2)
REG(cr3)
REG(cr4)
REG(dr0)
REG(dr1)
REG(dr2)
REG(dr3)
REG(dr6)
REG(dr7)
#undef REG
static inline void invlpg(word a)
{
	__asm__ volatile("invlpg (%0)" ::"r"(a) : "memory");
}
static inline void flush(void)
{
	set_cr3(get_cr3());
}
static inline void pause_(void)
{
	__asm__ volatile("pause" ::: "memory");
}
#define CR0_WP 0x10000ul
#define CR0_PG 0x80000000ul
#define CR4_PSE 0x10ul
#define CR4_PAE 0x20ul
#define CR4_PGE 0x80ul
#define CR4_SMEP 0x100000ul
#define CR4_SMAP 0x200000ul
#define PTE_P 1ull
#define PTE_W 2ull
#define PTE_U 4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)

#define PAGE 4096ul
#define TEST_RAM 0x2000000ul /* physical memory from here on is the tests' own */

void *memset(void *d, int c, unsigned long n);
void *memcpy(void *d, const void *s, unsigned long n);

#endif
