/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smc64.c - code that is written while it runs: by itself, through other linear addresses, by every
 * kind of store, and by the processor's own writes.
 */
#include "lib.h"

extern u64 pml4[], pdpt[], pd[];
#define SLOT1 0x8000000000ul
#define FRAME (TEST_RAM + 0x400000ul)
static u64 *const pdpt1 = (u64 *)(TEST_RAM + 0x1000), *const pd1 = (u64 *)(TEST_RAM + 0x2000),
		  *const pt1 = (u64 *)(TEST_RAM + 0x3000);
#define PDI (FRAME >> 21 & 511)
#define ALIAS (SLOT1 + FRAME)              /* by 4 KiB pages */
#define ALIAS2M (SLOT1 + FRAME + 0x200000) /* by a 2 MiB page */

/* mov $v, %eax; ret */
static void put_return(word at, u32 v)
{
	*(volatile u8 *)at = 0xb8;
	*(volatile u32 *)(at + 1) = v;
	*(volatile u8 *)(at + 5) = 0xc3;
}
static u32 run(word at)
{
	return ((u32(*)(void))at)();
}
static void serialize(void)
{
	u32 r[4];
	cpuid(0, 0, r);
}

/* Each returns 2 when the store over the immediate that follows it is seen. */
extern u32 s_next(void), s_far(void), s_movs(void), s_stos(void), s_xadd(void), s_cmpxchg(void), s_xchg(void),
    s_push(void), s_sse(void), s_cx16(void), s_x87(void), s_loop(void), s_back(void), s_or(void), s_call(void),
    s_bts(void), s_before(void), s_after(void), s_fxsave(void), s_enter(void), s_stosq_over(void);
__asm__(
    ".pushsection .text\n"
    /* a tail of its own for each: the block that is overwritten */
    ".macro tail n\n \\n\\()_p: mov $1,%eax\n ret\n .endm\n"
    "s_next: movb $2,s_next_p+1(%rip)\n tail s_next\n"
    "s_far: movb $2,s_far_p+1(%rip)\n jmp s_far_p\n .skip 64,0x90\n tail s_far\n"
    "s_movs: lea s_two(%rip),%rsi\n lea s_movs_p+1(%rip),%rdi\n mov $4,%ecx\n rep movsb\n tail s_movs\n"
    "s_two: .long 2\n"
    "s_stos: lea s_stos_p+1(%rip),%rdi\n mov $2,%eax\n mov $1,%ecx\n rep stosl\n tail s_stos\n"
    "s_stosq_over: mov $0x90909090,%eax\n lea 1f(%rip),%rdi\n mov $4,%ecx\n rep stosl\n 1: .skip 16,0xcc\n mov "
    "$2,%eax\n ret\n"
    "s_xadd: mov $1,%eax\n lock xaddl %eax,s_xadd_p+1(%rip)\n tail s_xadd\n"
    "s_cmpxchg: mov $1,%eax\n mov $2,%ecx\n lock cmpxchgl %ecx,s_cmpxchg_p+1(%rip)\n tail s_cmpxchg\n"
    "s_xchg: mov $2,%al\n xchg %al,s_xchg_p+1(%rip)\n tail s_xchg\n"
    "s_or: xorb $3,s_or_p+1(%rip)\n tail s_or\n"
    "s_bts: btcl $0,s_bts_p+1(%rip)\n lock btsl $1,s_bts_p+1(%rip)\n tail s_bts\n"
    "s_push: mov %rsp,%rdx\n lea s_push_e(%rip),%rsp\n mov $0xc3,%eax; shl $40,%rax\n or $0x2b8,%rax\n push %rax\n"
    " mov %rdx,%rsp\n jmp s_push_p\n s_push_p: mov $1,%eax\n ret\n .skip 2,0x90\n s_push_e:\n"
    "s_sse: movups s_vec(%rip),%xmm0\n movups %xmm0,s_sse_p(%rip)\n tail s_sse\n .skip 16,0x90\n"
    "s_vec: mov $2,%eax\n ret\n .skip 10,0x90\n"
    "s_x87: fildq s_vec(%rip)\n fistpq s_x87_p(%rip)\n tail s_x87\n .skip 16,0x90\n"
    ".balign 16\n s_cx16: push %rbx\n mov s_cx16_p(%rip),%rax\n mov s_cx16_p+8(%rip),%rdx\n mov s_vec2(%rip),%rbx\n"
    " mov s_vec2+8(%rip),%rcx\n lock cmpxchg16b s_cx16_p(%rip)\n jmp s_cx16_p\n .balign 16\n"
    " s_cx16_p: mov $1,%eax\n pop %rbx\n ret\n .balign 16\n s_vec2: mov $2,%eax\n pop %rbx\n ret\n .balign 16\n"
    /* a loop that counts in its own immediate: ten rounds */
    "s_loop: movl $0,s_loop_p+1(%rip)\n 1: incl s_loop_p+1(%rip)\n s_loop_p: mov $0,%eax\n cmp $10,%eax\n jb 1b\n"
    " sub $8,%eax\n ret\n"
    /* a store to what ran before: seen on the second round */
    "s_back: xor %ecx,%ecx\n s_back_p: mov $1,%eax\n test %ecx,%ecx\n jnz 1f\n inc %ecx\n movb $2,s_back_p+1(%rip)\n"
    " jmp s_back_p\n 1: ret\n"
    /* CALL whose pushed return address becomes an immediate */
    "s_call: mov %rsp,%rdx\n lea s_call_e(%rip),%rsp\n call 1f\n 1: mov %rdx,%rsp\n movabs s_call_e-8,%rax\n"
    " push %rax\n call s_call_p\n pop %rcx\n cmp %rax,%rcx\n mov $2,%eax\n je 2f\n mov $1,%eax\n 2: ret\n"
    " s_call_p: .byte 0x48,0xb8\n .quad 0\n s_call_e: ret\n"
    /* stores right before and right behind the running block leave it alone */
    " .byte 0,0,0,0\n s_before: movl $0x90909090,s_before-4(%rip)\n mov $2,%eax\n ret\n"
    "s_after: movl $0x90909090,1f(%rip)\n mov $2,%eax\n ret\n 1: .byte 0,0,0,0\n"
    ".balign 64\n s_fxsave: fxsave s_fx\n mov s_fx+24,%eax\n movl $0xc3,s_fx+29\n lea s_fx+24,%rcx\n jmp 1f\n 1: cmp "
    "s_fx+24,%eax\n"
    " mov $2,%eax\n je 2f\n mov $1,%eax\n 2: ret\n"
    ".pushsection .bss\n .balign 64\n s_fx: .skip 512\n .popsection\n"
    "s_enter: push %rbp\n mov %rsp,%rdx\n mov $2,%ebp\n lea s_enter_e(%rip),%rsp\n enter $0,$0\n mov %rdx,%rsp\n pop "
    "%rbp\n"
    " jmp s_enter_p\n s_enter_p: .byte 0x48,0xb8\n .quad 1\n s_enter_e: ret\n"
    ".popsection");

static const struct {
	const char *name;
	u32 (*fn)(void);
} stores[] = {
	{ "a store over the next instruction", s_next },
	{ "a store over the next block", s_far },
	{ "REP MOVSB over the next instruction", s_movs },
	{ "REP STOSD over the next instruction", s_stos },
	{ "REP STOSD over all that follows", s_stosq_over },
	{ "LOCK XADD over the next instruction", s_xadd },
	{ "LOCK CMPXCHG over the next instruction", s_cmpxchg },
	{ "XCHG over the next instruction", s_xchg },
	{ "XOR over the next instruction", s_or },
	{ "BTC and LOCK BTS over the next instruction", s_bts },
	{ "PUSH over a later instruction", s_push },
	{ "MOVUPS over the next instruction", s_sse },
	{ "FISTP over the next instruction", s_x87 },
	{ "CMPXCHG16B over a later instruction", s_cx16 },
	{ "a loop that counts in its own code", s_loop },
	{ "a store to an earlier instruction of the loop", s_back },
	{ "CALL pushing over an instruction", s_call },
	{ "a store just before the running block", s_before },
	{ "a store just after the running block", s_after },
	{ "ENTER over a later instruction", s_enter },
	{ "FXSAVE to a page with code", s_fxsave },
};

static void aliases(void)
{
	static const struct {
		const char *name;
		word run, write;
	} a[] = {
		{ "run one to one, written through a 4 KiB alias", FRAME, ALIAS },
		{ "run by a 4 KiB alias, written one to one", ALIAS, FRAME },
		{ "run by a 2 MiB alias, written by a 4 KiB alias", ALIAS2M, ALIAS },
		{ "run by a 4 KiB alias, written by a 2 MiB alias", ALIAS, ALIAS2M },
		{ "run and written one to one", FRAME, FRAME },
	};
	for (unsigned i = 0; i < sizeof(a) / sizeof(*a); i++) {
		t(a[i].name);
		for (u32 v = 1; v < 20; v++) {
			put_return(a[i].write + 0x100, v * 3);
			serialize();
			eq(run(a[i].run + 0x100), v * 3);
		}
		t("... the immediate alone");
		for (u32 v = 1; v < 20; v++) {
			*(volatile u32 *)(a[i].write + 0x101) = v * 5;
			serialize();
			eq(run(a[i].run + 0x100), v * 5);
		}
	}
	t("all aliases see one store");
	put_return(ALIAS + 0x100, 77);
	serialize();
	eq(run(FRAME + 0x100), 77);
	eq(run(ALIAS + 0x100), 77);
	eq(run(ALIAS2M + 0x100), 77);
}

static void borders(void)
{
	word at = FRAME + 0x2ffd;

	t("an instruction across a page border, each byte written in turn");
	put_return(at, 0x11111111);
	serialize();
	eq(run(at), 0x11111111);
	u32 want = 0x11111111;
	for (unsigned i = 0; i < 4; i++) {
		*(volatile u8 *)(at + 1 + i) = (u8)(0x80 + i);
		want = (want & ~(0xffu << (8 * i))) | (0x80 + i) << (8 * i);
		serialize();
		eq(run(at), want);
	}
	t("... by one store across the border");
	*(volatile u32 *)(at + 1) = 0xcafef00d;
	serialize();
	eq(run(at), 0xcafef00d);
	t("... by REP MOVSB across the border");
	u8 c[6] = { 0xb8, 1, 2, 3, 4, 0xc3 };
	void *d = (void *)at, *s = c;
	word n = 6;
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
	serialize();
	eq(run(at), 0x04030201);
	t("... and its second page remapped");
	word lin = ALIAS + 0x2ffd;
	eq(run(lin), 0x04030201);
	memcpy((void *)(FRAME + 0x5000), "\x99\x88\xc3", 3);
	pt1[3] = (FRAME + 0x5000) | 7;
	invlpg(ALIAS + 0x3000);
	eq(run(lin), 0x88990201);
	t("... and written in its new place");
	*(volatile u8 *)(FRAME + 0x5000) = 0x55;
	serialize();
	eq(run(lin), 0x88550201);
	t("... and in its old place, which is another's now");
	*(volatile u8 *)(FRAME + 0x3000) = 0x44;
	serialize();
	eq(run(lin), 0x88550201);
	eq(run(at), 0x04440201);
	pt1[3] = (FRAME + 0x3000) | 7;
	invlpg(ALIAS + 0x3000);
	eq(run(lin), 0x04440201);
	t("a page full of code, all of it rewritten");
	for (u32 round = 1; round < 4; round++) {
		for (word a = FRAME + 0x4000; a + 8 <= FRAME + 0x5000; a += 8)
			put_return(a, round);
		serialize();
		u32 sum = 0;
		for (word a = FRAME + 0x4000; a + 8 <= FRAME + 0x5000; a += 8)
			sum += run(a);
		eq(sum, 512 * round);
	}
}

CODE(interrupted, "mov %rsp,%rdx; mov %rdi,%rsp", "int3; mov %rdx,%rsp");
static bool go_on(struct frame *f)
{
	(void)f;
	return true;
}
static void processor(void)
{
	t("an exception's frame pushed over code");
	word at = FRAME + 0x6fd0;
	for (word a = FRAME + 0x6000; a < FRAME + 0x7000; a++)
		*(volatile u8 *)a = 0x90;
	*(u8 *)(FRAME + 0x6fff) = 0xc3;
	serialize();
	run(at);
	on_exc = go_on;
	try_call(interrupted, FRAME + 0x7000);
	on_exc = NULL;
	eq(*(volatile u64 *)(FRAME + 0x6ff8), SEL_DATA);
	eq(*(volatile u64 *)(FRAME + 0x6fd8), (word)interrupted_at + 1);
	put_return(at, 9);
	serialize();
	eq(run(at), 9);
	t("... and executed as it is");
	/* the frame's SS word, 10 00 00 00 00 00 00 00, as an immediate of mov $imm64, %rax */
	*(volatile u16 *)(FRAME + 0x6ff6) = 0xb848;
	*(volatile u8 *)(FRAME + 0x7000) = 0xc3;
	*(volatile u64 *)(FRAME + 0x6ff8) = 0x77;
	serialize();
	eq(run(FRAME + 0x6ff6), 0x77);
	on_exc = go_on;
	try_call(interrupted, FRAME + 0x7000);
	on_exc = NULL;
	*(volatile u16 *)(FRAME + 0x6ff6) = 0xb848;
	serialize();
	eq(run(FRAME + 0x6ff6), SEL_DATA);

	/* A page table with code on it: mov $imm32,%eax; add %al,(%rax); nop; ret, where the immediate and
	 * what follows it are a PTE. */
	t("the processor setting A in a table that is code");
	pt1[7] = 0xc39000000240b001ull;
	*((u8 *)&pt1[7] - 1) = 0xb8;
	flush();
	serialize();
	eq(run((word)&pt1[7] - 1) & 0x60, 0);
	(void)*(volatile u8 *)(ALIAS + 0x7000);
	serialize();
	eq(run((word)&pt1[7] - 1) & 0x60, 0x20);
}

/* Stores from translated code to its own page: to data, to code that comes and goes there, and to itself. */
static void beside(void)
{
	/* mov %esi,(%rdi); add $4,%rdi; dec %edx; jnz back; ret */
	static const u8 fill_code[] = { 0x89, 0x37, 0x48, 0x83, 0xc7, 0x04, 0xff, 0xca, 0x75, 0xf6, 0xc3 };
	word page = FRAME + 0x8000, data = page + 0x400, early = page + 0x800, late = page + 0xc00;
	u32 (*fill)(word at, u32 v, u32 n) = (u32(*)(word, u32, u32))page;
	unsigned wrong = 0, wrong_data = 0, wrong_late = 0;

	memcpy((void *)page, fill_code, sizeof(fill_code));
	put_return(early, 0);
	put_return(late, 0);
	for (u32 i = 1; i <= 600; i++) {
		fill(data, i, 40);
		for (unsigned k = 0; k < 40; k++)
			wrong_data += ((volatile u32 *)data)[k] != i;
		fill(early + 1, i, 1);
		wrong += run(early) != i;
		/* No code yet for long. */
		fill(late + 1, i, 1);
		if (i > 400)
			wrong_late += run(late) != i;
	}
	t("stores to data beside code");
	eq(wrong_data, 0);
	t("... and to code there");
	eq(wrong, 0);
	t("... and to what becomes code later");
	eq(wrong_late, 0);
	t("... and to the end of the running loop");
	fill(data, 1, 40);
	eq(fill(page + 10, 0x90c307b0, 1) & 0xff, 7); /* mov $7,%al; ret */
}

/* REP MOVS and REP STOS over a whole page, as kernels copy and clear: it begins without code, and has some further on.
 */
#define STRING(name, op) \
	static void __attribute__((noinline)) name(word to, word from, u32 fill, word n) \
	{ \
		__asm__ volatile("rep " op : "+D"(to), "+S"(from), "+c"(n) : "a"(fill | (u64)fill << 32) : "memory"); \
	}
STRING(movsb, "movsb")
STRING(movsw, "movsw")
STRING(movsl, "movsl")
STRING(movsq, "movsq")
STRING(stosl, "stosl")
STRING(stosq, "stosq")

static void strings(void)
{
	static const struct {
		const char *name;
		void (*fn)(word to, word from, u32 fill, word n);
		word bytes;
	} ops[] = {
		{ "REP MOVSB over a page with code", movsb, 1 }, { "REP MOVSW over a page with code", movsw, 2 },
		{ "REP MOVSD over a page with code", movsl, 4 }, { "REP MOVSQ over a page with code", movsq, 8 },
		{ "REP STOSD over a page with code", stosl, 4 }, { "REP STOSQ over a page with code", stosq, 8 },
	};
	word page = FRAME + 0x9000, from = FRAME + 0xa000, plain = FRAME + 0xb000, at = 0xa00;

	for (unsigned k = 0; k < sizeof(ops) / sizeof(*ops); k++) {
		unsigned wrong = 0;

		t(ops[k].name);
		for (unsigned i = 0; i < 400; i++)
			ops[k].fn(plain, from, 0, PAGE / ops[k].bytes);
		for (u32 v = 1; v < 8; v++) {
			u32 code = 0x90c300b0 | v << 8; /* mov $v, %al; ret */

			for (word o = 0; o < PAGE; o += 4)
				*(volatile u32 *)(from + o) = code;
			ops[k].fn(page, from, code, PAGE / ops[k].bytes);
			serialize();
			for (unsigned i = 0; i < 300; i++)
				wrong += (run(page + at) & 0xff) != v;
		}
		eq(wrong, 0);
	}
}

/* ---- constants that are patched again and again, as inline caches are ---- */

static const struct form {
	u8 bytes[8];    /* up to the constant */
	u8 n, constant; /* bytes of each */
	u8 alu;         /* there are eight, by these bits of the last byte */
	u8 reg;         /* the register that it is about */
} forms[] = {
	{ { 0x48, 0x81, 0xc0 }, 3, 4, 1, 0 }, /* op $imm, %rax */
	{ { 0x81, 0xc0 }, 2, 4, 1, 0 },       /* op $imm, %eax */
	{ { 0x48, 0x83, 0xc0 }, 3, 1, 1, 0 }, /* op $imm8, %rax */
	{ { 0x83, 0xc0 }, 2, 1, 1, 0 },       /* op $imm8, %eax */
	{ { 0x48, 0x05 }, 2, 4, 1, 0 },       /* op $imm, %rax, the short form */
	{ { 0x05 }, 1, 4, 1, 0 },             /* op $imm, %eax, the short form */
	{ { 0x66, 0x05 }, 2, 2, 1, 0 },       /* op $imm, %ax */
	{ { 0x04 }, 1, 1, 1, 0 },             /* op $imm, %al */
	{ { 0x49, 0x81, 0xc0 }, 3, 4, 1, 8 }, /* op $imm, %r8 */
	{ { 0x49, 0x81, 0xc2 }, 3, 4, 1, 10 },
	{ { 0x48, 0xb8 }, 2, 8, 0, 0 }, /* mov $imm, %rax */
	{ { 0xb8 }, 1, 4, 0, 0 },       /* mov $imm, %eax */
	{ { 0x48, 0xc7, 0xc0 }, 3, 4, 0, 0 },
	{ { 0xc7, 0xc0 }, 2, 4, 0, 0 },
	{ { 0x49, 0xb8 }, 2, 8, 0, 8 },
	{ { 0x49, 0xba }, 2, 8, 0, 10 },
	{ { 0x48, 0x69, 0xc0 }, 3, 4, 0, 0 }, /* imul $imm, %rax, %rax */
	{ { 0x48, 0xc1, 0xc0 }, 3, 1, 0, 0 }, /* rol $imm8, %rax */
	{ { 0x48, 0x8d, 0x80 }, 3, 4, 0, 0 }, /* lea imm(%rax), %rax: a displacement */
	{ { 0xa9 }, 1, 4, 0, 0 },             /* test $imm, %eax */
};

static u8 *add(u8 *p, const void *from, u64 n)
{
	for (u64 i = 0; i < n; i++)
		*p++ = ((const u8 *)from)[i];
	return p;
}

/* A function of %rdi: the register and the flags after it. Returns where the constant lies. */
static word put_constant(word at, const struct form *f, unsigned alu, u64 value)
{
	static const u8 before0[] = { 0x31, 0xc0, 0xf9, 0x48, 0x89, 0xf8 },
			before8[] = { 0x31, 0xc0, 0xf9, 0x49, 0x89, 0xf8 },
			before10[] = { 0x31, 0xc0, 0xf9, 0x49, 0x89, 0xfa }; /* xor %eax, %eax; stc; mov %rdi, REG */
	static const u8 after8[] = { 0x4c, 0x89, 0xc0 }, after10[] = { 0x4c, 0x89, 0xd0 }; /* mov REG, %rax */
	/* pushf; pop %rdx; and $0x8c5, %edx; shl $52, %rdx; xor %rdx, %rax; ret */
	static const u8 end[] = { 0x9c, 0x5a, 0x81, 0xe2, 0xc5, 8, 0, 0, 0x48, 0xc1, 0xe2, 52, 0x48, 0x31, 0xd0, 0xc3 };
	u8 *p = add((u8 *)at, f->reg == 10 ? before10 : f->reg ? before8 : before0, 6);

	p = add(p, f->bytes, f->n);
	p[-1] |= (u8)(alu << 3);
	word constant = (word)p;
	p = add(p, &value, f->constant);
	if (f->reg)
		p = add(p, f->reg == 10 ? after10 : after8, 3);
	add(p, end, sizeof(end));
	return constant;
}

static u64 call(word at, u64 x)
{
	return ((u64(*)(u64))at)(x);
}

static void patch(word at, unsigned bytes, u64 value, unsigned how)
{
	u64 v = value;

	if (how % 11 == 10) {
		const void *from = &v;
		__asm__ volatile("rep movsb" : "+S"(from), "+D"(at), "=c"(v) : "c"((u64)bytes), "m"(v) : "memory");
		return;
	}
	if (how % 7 == 6) /* through another page of linear addresses */
		at += ALIAS - FRAME;
	if (bytes == 8)
		*(volatile u64 *)at = value;
	else if (bytes == 4)
		*(volatile u32 *)at = (u32)value;
	else if (bytes == 2)
		*(volatile u16 *)at = (u16)value;
	else
		*(volatile u8 *)at = (u8)value;
}

/* In ring 3: what was translated for ring 0 is not for there. */
static struct {
	word at, x, result;
} for_user;
extern char user_calls[];
__asm__(".pushsection .text\n user_calls: push %rdi\n mov (%rdi),%rax\n mov 8(%rdi),%rdi\n call *%rax\n pop %rdi\n"
	" mov %rax,16(%rdi)\n int $0x80\n .popsection");
static u64 call_user(word at, u64 x)
{
	for_user.at = at;
	for_user.x = x;
	try_user(user_calls, (word)&for_user, 0);
	return for_user.result;
}

/* What comes of it is compared with what the same code does in a place that was never patched. */
static void constants(void)
{
	word fresh = FRAME + 0x8000, patched = FRAME + 0x6040;
	u64 x = 0x123456789abcdef, wrong = 0;

	t("constants that are patched often");
	for (unsigned i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		for (unsigned alu = 0; alu < (forms[i].alu ? 8 : 1); alu++) {
			const struct form *f = &forms[i];
			word constant = put_constant(patched, f, alu, 0);
			u64 value = 0;
			for (unsigned k = 0; k < 40; k++) {
				x = x * 6364136223846793005 + 1442695040888963407;
				if (k % 13 == 12) { /* a part of it */
					((u8 *)&value)[f->constant - 1] = (u8)(x >> 40);
					*(volatile u8 *)(constant + f->constant - 1) = (u8)(x >> 40);
				} else {
					value = x >> (k % 3 ? 0 : 31);
					patch(constant, f->constant, value, k);
				}
				put_constant(fresh, f, alu, value);
				for (unsigned n = 0; n < 3; n++) {
					u64 with = x * (n + 1) ^ (k & 1 ? ~0ull : 0);
					u64 got = k % 4 == 3 ? call_user(patched, with) : call(patched, with);
					wrong += got != call(fresh, with);
				}
				fresh += 64;
				if (fresh == FRAME + 0x40000)
					fresh = FRAME + 0x8000;
			}
			/* And the rest of it: another function is there. */
			put_constant(patched, &forms[0], 6, x);
			put_constant(fresh, &forms[0], 6, x);
			wrong += call(patched, x) != call(fresh, x);
			eq(wrong, 0);
		}
}

int main(void)
{
	memset(pdpt1, 0, 0x3000);
	pml4[1] = (word)pdpt1 | 7;
	pdpt1[0] = (word)pd1 | 7;
	pd1[PDI] = (word)pt1 | 7;
	pd1[PDI + 1] = FRAME | 0x87;
	for (unsigned i = 0; i < 512; i++)
		pt1[i] = (FRAME + i * PAGE) | 7;
	flush();
	for (unsigned i = 0; i < sizeof(stores) / sizeof(*stores); i++) {
		t(stores[i].name);
		eq(stores[i].fn(), 2);
	}
	aliases();
	borders();
	beside();
	strings();
	processor();
	constants();
	return 0;
}
