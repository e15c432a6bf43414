/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib.c - the test kernels' library: see lib.h. */
#include "lib.h"

struct exc exc;
bool (*on_exc)(struct frame *f);
u64 gdt[128] __attribute__((aligned(16)));
u64 idt[512] __attribute__((aligned(16)));
u8 tss[256] __attribute__((aligned(128)));

static const char *name;
static bool bad;
static unsigned ran, failed;

void *memset(void *d, int c, unsigned long n)
{
	for (u8 *p = d; n--;)
		*p++ = (u8)c;
	return d;
}
void *memcpy(void *d, const void *s, unsigned long n)
{
	const u8 *q = s;

	for (u8 *p = d; n--;)
		*p++ = *q++;
	return d;
}

void say(const char *s)
{
	for (; *s; s++) {
		while (!(inb(0x3fd) & 0x20))
			;
		outb(0x3f8, (u8)*s);
	}
}
void say_hex(u64 v)
{
	char b[17];
	unsigned i = 16;

	b[i] = 0;
	do
		b[--i] = "0123456789abcdef"[v & 15];
	while ((v >>= 4) && i);
	say(b + i);
}

static void close_check(void)
{
	if (!name)
		return;
	if (!bad) {
		say("ok: ");
		say(name);
		say("\n");
	}
	ran++;
	failed += bad;
	name = NULL;
}
/* Multiboot information: flags, with bit 2 for a command line at offset 16. */
u32 boot_info;

static bool starts(const char *s, const char *with)
{
	while (*with)
		if (*s++ != *with++)
			return false;
	return true;
}

/* The command line from `what` on; "" where it is not. */
const char *find(const char *what)
{
	const u32 *info = (const u32 *)(word)boot_info;
	const char *c = info && info[0] & 4 ? (const char *)(word)info[4] : "";

	while (*c && !starts(c, what))
		c++;
	return c;
}

bool asked(const char *what)
{
	return *find(what);
}

static bool skipped(const char *n)
{
	const char *c = find("skip=");
	unsigned len = 0;

	while (n[len])
		len++;
	while (*c) {
		c += *c == '|' ? 1 : 5;
		if (starts(c, n) && (!c[len] || c[len] == '|'))
			return true;
		while (*c && *c != '|')
			c++;
	}
	return false;
}

bool t(const char *n)
{
	close_check();
	if (skipped(n))
		return false;
	name = n;
	bad = false;
	return true;
}
void eq_(const char *what, u64 got, u64 want, unsigned line)
{
	if (got == want)
		return;
	bad = true;
	say("FAIL: ");
	say(name);
	say(": ");
	say(what);
	say(" is ");
	say_hex(got);
	say(", wanted ");
	say_hex(want);
	say(" (line ");
	/* decimal without a division the 32-bit compiler would want a library for */
	char b[8];
	unsigned i = 7;
	b[i] = 0;
	do
		b[--i] = (char)('0' + line % 10);
	while ((line /= 10) && i);
	say(b + i);
	say(")\n");
}
void end(unsigned status)
{
	outb(0xf4, (u8)status);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void gdt_set(unsigned sel, u32 base, u32 limit, u32 ar)
{
	gdt[sel / 8] = (u64)(limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(ar & 0xff) << 40 |
		       (u64)(limit >> 16 & 0xf) << 48 | (u64)(ar >> 12 & 0xf) << 52 | (u64)(base >> 24) << 56;
}
void gate_set(unsigned vec, const void *handler, unsigned sel, unsigned ar, unsigned ist)
{
	word h = (word)handler;
	u64 lo = (h & 0xffff) | (u64)sel << 16 | (u64)ist << 32 | (u64)ar << 40 | (u64)(h >> 16 & 0xffff) << 48;

#ifdef __x86_64__
	idt[2 * vec] = lo;
	idt[2 * vec + 1] = h >> 32;
#else
	idt[vec] = lo;
#endif
}
void gate_reset(unsigned vec)
{
	/* The double fault has a stack of its own: whatever made it may have ruined the other. */
	bool ist = sizeof(word) == 8 && vec == 8;

	gate_set(vec, stubs + 16 * vec, SEL_CODE, vec == 0x80 || vec == 3 || vec == 4 ? 0xee : 0x8e, ist ? 1 : 0);
}

int exc_entry(struct frame *f);
int exc_entry(struct frame *f)
{
	exc.count++;
	if (on_exc && on_exc(f))
		return 1;
	exc.vec = f->vec;
	exc.err = f->err;
	exc.ip = f->ip;
	exc.cs = f->cs;
	exc.flags = f->flags;
	exc.sp = f->sp;
	exc.ss = f->ss;
	exc.cr2 = get_cr2();
	exc.dr6 = get_dr6();
	exc.ax = f->ax;
	exc.bx = f->bx;
	exc.cx = f->cx;
	exc.dx = f->dx;
	exc.at_sp = (word)f;
	return 0;
}

/* An exception outside of try_*(): nothing to go back to. */
void unexpected(void);
void unexpected(void)
{
	say("FAIL: ");
	say(name ? name : "(between checks)");
	say(": unexpected exception ");
	say_hex(exc.vec);
	say(" error ");
	say_hex(exc.err);
	say(" at ");
	say_hex(exc.ip);
	say(" cr2 ");
	say_hex(exc.cr2);
	say("\n");
	end(1);
}

void start_c(void);
void start_c(void)
{
	struct {
		u16 limit;
		word base;
	} __attribute__((packed)) r;

	for (unsigned v = 0; v < 256; v++)
		gate_reset(v);
	gdt_set(0x08, 0, 0xfffff, sizeof(word) == 8 ? 0xa09b : 0xc09b);
	gdt_set(0x10, 0, 0xfffff, 0xc093);
	gdt_set(0x18, 0, 0xfffff, 0xc09b);
	gdt_set(0x20, 0, 0xfffff, 0xc0fb);
	gdt_set(0x28, 0, 0xfffff, 0xc0f3);
	gdt_set(0x30, 0, 0xfffff, sizeof(word) == 8 ? 0xa0fb : 0xc0fb);
	gdt_set(SEL_TSS, (u32)(word)tss, sizeof(tss) - 1, 0x89);
	r.limit = sizeof(gdt) - 1;
	r.base = (word)gdt;
	__asm__ volatile("lgdt %0" ::"m"(r));
	r.limit = (u16)(256 * 2 * sizeof(word) - 1);
	r.base = (word)idt;
	__asm__ volatile("lidt %0" ::"m"(r));
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS));
	int bad_end = main();
	close_check();
	say(failed || bad_end ? "failed " : "passed ");
	say_hex(failed);
	say(" of ");
	say_hex(ran);
	say("\n");
	end(failed || bad_end || !ran ? 1 : 16);
}
