/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smp64.c - four processors: starting them, interrupts between them, atomics and memory order, TLB
 * shootdown, code changed under them.
 *
 * Processors 1 to 3 wait in ap_main() for work: all() has every processor run a function at once.
 */
#include "apic.h"

bool x2apic;
extern u64 pml4[];
extern u8 ap_start[], ap_end[];
extern volatile u32 ap_started;
#define CPUS 4
#define SLOT1 0x8000000000ul
#define FRAME (TEST_RAM + 0x400000ul)
static u64 *const pdpt1 = (u64 *)(TEST_RAM + 0x1000), *const pd1 = (u64 *)(TEST_RAM + 0x2000),
		  *const pt1 = (u64 *)(TEST_RAM + 0x3000);

static volatile u32 alive[CPUS], id_of[CPUS], round_, done_, ready;
static void (*volatile work)(unsigned cpu);
static volatile u32 hits[CPUS][256];
static volatile u32 depth[CPUS], deepest[CPUS];

static unsigned number(void)
{
	u32 id = apic_id();

	for (unsigned i = 0; i < CPUS; i++)
		if (id_of[i] == id)
			return i;
	return 0;
}
static void load_tables(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) r;

	r.limit = sizeof(gdt) - 1;
	r.base = (word)gdt;
	__asm__ volatile("lgdt %0" ::"m"(r));
	r.limit = 4095;
	r.base = (word)idt;
	__asm__ volatile("lidt %0" ::"m"(r));
}
void ap_main(unsigned n);
void ap_main(unsigned n)
{
	unsigned me = n % 8 + 1;
	u32 seen = round_;

	load_tables();
	apic_write(APIC_SVR, 0x1ff);
	if (me < CPUS) {
		id_of[me] = apic_id();
		__atomic_add_fetch(&alive[me], 1, __ATOMIC_SEQ_CST);
	}
	for (;;) {
		while (round_ == seen)
			pause_();
		seen = round_;
		work(me);
		__atomic_add_fetch(&done_, 1, __ATOMIC_SEQ_CST);
	}
}
static void launch(void (*fn)(unsigned))
{
	done_ = 0;
	ready = 0;
	work = fn;
	__atomic_add_fetch(&round_, 1, __ATOMIC_SEQ_CST);
}
static void join(void)
{
	while (done_ != CPUS - 1)
		pause_();
}
static void all(void (*fn)(unsigned))
{
	launch(fn);
	fn(0);
	join();
}
static void handle_ipi(unsigned me, unsigned vec);
static bool on_irq(struct frame *f)
{
	unsigned me = number();

	if (f->vec < 32 && f->vec != 2)
		return false;
	depth[me]++;
	if (depth[me] > deepest[me])
		deepest[me] = depth[me];
	__atomic_add_fetch(&hits[me][f->vec], 1, __ATOMIC_SEQ_CST);
	handle_ipi(me, (unsigned)f->vec);
	if (f->vec != 2)
		apic_write(APIC_EOI, 0);
	depth[me]--;
	return true;
}
static void delay(u64 tsc)
{
	for (u64 end_ = rdtsc() + tsc; rdtsc() < end_;)
		pause_();
}
static bool wait_for(volatile u32 *p, u32 v)
{
	for (u64 end_ = rdtsc() + 20000000000ull; *p != v;) {
		if (rdtsc() > end_)
			return false;
		pause_();
	}
	return true;
}
/* The same for what goes on counting. */
static bool wait_at_least(volatile u32 *p, u32 v)
{
	for (u64 end_ = rdtsc() + 20000000000ull; *p < v;) {
		if (rdtsc() > end_)
			return false;
		pause_();
	}
	return true;
}
static void irqs(bool on)
{
	if (on)
		__asm__ volatile("sti" ::: "memory");
	else
		__asm__ volatile("cli" ::: "memory");
}

/* ---- starting ---- */
static void start(void)
{
	t("INIT and SIPI start the other processors");
	memcpy((void *)0x8000, ap_start, (word)(ap_end - ap_start));
	id_of[0] = apic_id();
	apic_icr(0, 0xc4500);
	delay(20000000);
	apic_icr(0, 0xc4608);
	delay(1000000);
	apic_icr(0, 0xc4608);
	eq(wait_for(&ap_started, CPUS - 1), 1);
	for (unsigned i = 1; i < CPUS; i++)
		eq(wait_for(&alive[i], 1), 1);
	t("... each with its own APIC ID");
	for (unsigned i = 0; i < CPUS; i++)
		for (unsigned j = 0; j < i; j++)
			eq(id_of[i] != id_of[j], 1);
}
static void restart(void)
{
	t("INIT and SIPI restart a processor that runs");
	u32 n = ap_started;
	apic_icr(id_of[1], 0x4500);
	delay(20000000);
	eq(ap_started, n);
	ap_started = n = 8; /* the next is number 0 again, that is processor 1 */
	alive[1] = 0;
	apic_icr(id_of[1], 0x4608);
	eq(wait_for(&alive[1], 1), 1);
	eq(ap_started, n + 1);
	ap_started = CPUS - 1;
}

/* ---- interrupts ---- */
#define IPI_COUNT 0x50
#define IPI_FLUSH 0x51
#define IPI_WAKE 0x52
#define IPI_STOP 0x53
static volatile u32 stop_;
static void listen(unsigned me)
{
	(void)me;
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	irqs(true);
	while (!stop_)
		pause_();
	irqs(false);
}
static void clear_hits(void)
{
	memset((void *)hits, 0, sizeof(hits));
	memset((void *)deepest, 0, sizeof(deepest));
}
static void ipis(const char *const names[])
{
	clear_hits();
	stop_ = 0;
	launch(listen);
	irqs(true);
	wait_for(&ready, CPUS - 1);
	t(names[0]);
	for (unsigned i = 1; i < CPUS; i++)
		for (u32 k = 1; k <= 50; k++) {
			apic_icr(id_of[i], 0x4000 | IPI_COUNT);
			eq(wait_for(&hits[i][IPI_COUNT], k), 1);
		}
	t(names[1]);
	apic_icr(id_of[0], 0x4000 | IPI_COUNT);
	eq(wait_for(&hits[0][IPI_COUNT], 1), 1);
	apic_icr(0, 0x44000 | IPI_COUNT);
	eq(wait_for(&hits[0][IPI_COUNT], 2), 1);
	t(names[2]);
	apic_icr(0, 0xc4000 | IPI_WAKE);
	for (unsigned i = 1; i < CPUS; i++)
		eq(wait_for(&hits[i][IPI_WAKE], 1), 1);
	eq(hits[0][IPI_WAKE], 0);
	t(names[3]);
	apic_icr(0, 0x84000 | IPI_WAKE);
	for (unsigned i = 1; i < CPUS; i++)
		eq(wait_for(&hits[i][IPI_WAKE], 2), 1);
	eq(wait_for(&hits[0][IPI_WAKE], 1), 1);
	t(names[4]);
	for (unsigned i = 0; i < CPUS; i++) {
		apic_icr(id_of[i], 0x4400);
		eq(wait_for(&hits[i][2], 1), 1);
	}
	stop_ = 1;
	irqs(false);
	join();
}
static void listen_masked(unsigned me)
{
	(void)me;
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop_)
		pause_();
}
static void nmis(void)
{
	t("NMI arrives with interrupts off; a fixed one does not");
	clear_hits();
	stop_ = 0;
	launch(listen_masked);
	wait_for(&ready, CPUS - 1);
	apic_icr(id_of[1], 0x4000 | IPI_COUNT);
	apic_icr(id_of[1], 0x4400);
	eq(wait_for(&hits[1][2], 1), 1);
	eq(hits[1][IPI_COUNT], 0);
	t("NMIs do not nest before IRET");
	for (unsigned k = 0; k < 20; k++)
		apic_icr(id_of[2], 0x4400);
	eq(wait_at_least(&hits[2][2], 1), 1); /* the host may be busy with other than this vCPU */
	delay(10000000);
	eq(deepest[2], 1);
	stop_ = 1;
	join();
	/* the fixed one is still pending there */
	stop_ = 0;
	launch(listen);
	eq(wait_for(&hits[1][IPI_COUNT], 1), 1);
	stop_ = 1;
	join();
}

static volatile u32 woken[CPUS];
static void sleeper(unsigned me)
{
	if (!me)
		return;
	while (!stop_) {
		__asm__ volatile("sti; hlt; cli" ::: "memory");
		__atomic_add_fetch(&woken[me], 1, __ATOMIC_SEQ_CST);
	}
}
static void halting(void)
{
	t("HLT ends with each interrupt, none is lost");
	stop_ = 0;
	clear_hits();
	launch(sleeper);
	for (u32 k = 1; k <= 200; k++)
		for (unsigned i = 1; i < CPUS; i++) {
			apic_icr(id_of[i], 0x4000 | IPI_WAKE);
			if (!wait_for(&hits[i][IPI_WAKE], k)) {
				eq(hits[i][IPI_WAKE], k);
				return;
			}
		}
	stop_ = 1;
	for (unsigned i = 1; i < CPUS; i++)
		apic_icr(id_of[i], 0x4000 | IPI_WAKE);
	join();
	for (unsigned i = 1; i < CPUS; i++)
		eq(woken[i] >= 100, 1); /* one may come between the IRET and the CLI, and wakes nobody */
}

/* ---- atomics ---- */
#define ROUNDS 50000u
static volatile u32 counter, lock_;
static volatile u64 pair[2] __attribute__((aligned(16)));
static void do_inc(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS; i++)
		__asm__ volatile("lock incl %0" : "+m"(counter)::"memory");
}
static void do_xadd(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS; i++) {
		u32 v = 1;
		__asm__ volatile("lock xaddl %1, %0" : "+m"(counter), "+r"(v)::"memory");
	}
}
static void do_cmpxchg(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS; i++) {
		u32 v = counter;
		while (!__atomic_compare_exchange_n(&counter, &v, v + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
}
static void do_lock(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		u32 v = 1;
		for (;;) {
			__asm__ volatile("xchgl %1, %0" : "+m"(lock_), "+r"(v)::"memory");
			if (!v)
				break;
			v = 1;
			pause_();
		}
		counter = counter + 1;
		lock_ = 0;
	}
}
static void do_cx16(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		u64 lo = 0, hi = 0;
		bool ok;
		do
			__asm__ volatile(
			    "mov %%rax, %%rbx; mov %%rdx, %%rcx; add $1, %%rbx; adc $0, %%rcx; add $2, %%rcx\n"
			    "lock cmpxchg16b %2"
			    : "+a"(lo), "+d"(hi), "+m"(*(u64(*)[2])pair), "=@ccz"(ok)::"rbx", "rcx", "memory");
		while (!ok);
	}
}
static volatile u32 *odd;
static void do_odd(unsigned me)
{
	(void)me;
	for (unsigned i = 0; i < ROUNDS / 10; i++)
		__asm__ volatile("lock addl $0x10001, %0" : "+m"(*odd)::"memory");
}
static void do_bits(unsigned me)
{
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		__asm__ volatile("lock btsl %1, %0" : "+m"(counter) : "r"(me * 8) : "memory");
		__asm__ volatile("lock btcl %1, %0" : "+m"(counter) : "r"(me * 8 + 1) : "memory");
		__asm__ volatile("lock btrl %1, %0" : "+m"(counter) : "r"(me * 8) : "memory");
	}
}
static void atomics(void)
{
	static const struct {
		const char *name;
		void (*fn)(unsigned);
		u32 want;
	} a[] = {
		{ "LOCK INC on four processors", do_inc, CPUS * ROUNDS },
		{ "LOCK XADD", do_xadd, CPUS * ROUNDS },
		{ "LOCK CMPXCHG", do_cmpxchg, CPUS * ROUNDS },
		{ "a lock by XCHG", do_lock, CPUS * (ROUNDS / 10) },
		{ "LOCK BTS, BTC, BTR of one dword", do_bits, 0 },
	};
	for (unsigned i = 0; i < sizeof(a) / sizeof(*a); i++) {
		t(a[i].name);
		counter = 0;
		all(a[i].fn);
		eq(counter, a[i].want);
	}
	t("LOCK CMPXCHG16B");
	pair[0] = ~0ull - 100;
	pair[1] = 0;
	all(do_cx16);
	eq(pair[0], CPUS * (ROUNDS / 10) - 101);
	eq(pair[1], CPUS * (ROUNDS / 10) * 2 + 1);
	t("LOCK ADD across a cache line");
	odd = (u32 *)(FRAME + 62);
	*odd = 0;
	all(do_odd);
	eq(*odd, (u32)(CPUS * (ROUNDS / 10) * 0x10001u));
	t("LOCK ADD across a page");
	odd = (u32 *)(FRAME + 0xffe);
	*odd = 0;
	all(do_odd);
	eq(*odd, (u32)(CPUS * (ROUNDS / 10) * 0x10001u));
}

/* ---- memory order ---- */
static struct {
	volatile u32 x, pad1[31], y, pad2[31], r[2];
} m __attribute__((aligned(128)));
static volatile u32 seen_weak, phase[2], fences;
static void meet(unsigned me, u32 n)
{
	phase[me] = n;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	while ((s32)(phase[!me] - n) < 0)
		pause_();
}
/* Where one processor is shared, each meeting lasts as long as the host lets another run. */
#define LITMUS (asked("quick") ? 20u : 20000u)
static void sb(unsigned me)
{
	if (me > 1)
		return;
	volatile u32 *mine = me ? &m.y : &m.x, *other = me ? &m.x : &m.y;
	for (u32 i = 0, n = LITMUS; i < n; i++) {
		*mine = 0;
		meet(me, 3 * i + 1);
		u32 v;
		if (fences == 0)
			__asm__ volatile("movl $1,%1; movl %2,%0" : "=r"(v), "=m"(*mine) : "m"(*other) : "memory");
		else if (fences == 1)
			__asm__ volatile("movl $1,%1; mfence; movl %2,%0"
					 : "=r"(v), "=m"(*mine)
					 : "m"(*other)
					 : "memory");
		else
			__asm__ volatile("movl $1,%0; xchgl %0,%1; movl %2,%0"
					 : "=&r"(v), "=m"(*mine)
					 : "m"(*other)
					 : "memory");
		m.r[me] = v;
		meet(me, 3 * i + 2);
		if (!me && !m.r[0] && !m.r[1])
			seen_weak = seen_weak + 1;
		meet(me, 3 * i + 3);
	}
}
static void mp(unsigned me)
{
	if (me > 1)
		return;
	for (u32 i = 0, n = LITMUS; i < n; i++) {
		if (!me) {
			m.x = 0;
			m.y = 0;
		}
		meet(me, 2 * i + 1);
		if (me) {
			u32 a, b;
			__asm__ volatile("movl %2,%0; movl %3,%1" : "=&r"(a), "=r"(b) : "m"(m.y), "m"(m.x) : "memory");
			if (a && !b)
				seen_weak = seen_weak + 1;
		} else {
			__asm__ volatile("movl $1,%0; movl $1,%1" : "=m"(m.x), "=m"(m.y)::"memory");
		}
		meet(me, 2 * i + 2);
	}
}
static u32 litmus(void (*fn)(unsigned), u32 how)
{
	fences = how;
	seen_weak = 0;
	phase[0] = phase[1] = 0;
	all(fn);
	return seen_weak;
}
static void order(void)
{
	litmus(sb, 0); /* allowed, and often not seen: only run */
	t("store buffering with MFENCE: never both zero");
	eq(litmus(sb, 1), 0);
	t("store buffering with XCHG: never both zero");
	eq(litmus(sb, 2), 0);
	t("message passing: stores and loads in order");
	eq(litmus(mp, 0), 0);
}

/* ---- one time ---- */
static u64 latest;
static void read_time(unsigned me)
{
	(void)me;
	for (u32 i = 0, n = asked("quick") ? 2000u : 20000u; i < n; i++) {
		u64 seen = __atomic_load_n(&latest, __ATOMIC_SEQ_CST);
		u32 a, d, c;
		if (i & 1)
			__asm__ volatile("lfence; rdtsc" : "=a"(a), "=d"(d)::"memory");
		else
			__asm__ volatile("rdtscp" : "=a"(a), "=d"(d), "=c"(c)::"memory");
		u64 now = (u64)d << 32 | a;
		if (now < seen)
			__atomic_add_fetch(&seen_weak, 1, __ATOMIC_SEQ_CST);
		while (seen < now &&
		       !__atomic_compare_exchange_n(&latest, &seen, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
}
static void one_time(void)
{
	t("time-stamp counters: none is behind what another showed");
	latest = 0;
	eq(litmus(read_time, 0), 0);
}

/* ---- shootdown ---- */
#define LIN (SLOT1 + FRAME)
static volatile u32 flushed, wrong, reads[CPUS];
static volatile word flush_at;
static void handle_ipi(unsigned me, unsigned vec)
{
	(void)me;
	if (vec == IPI_FLUSH) {
		invlpg(flush_at);
		__atomic_add_fetch(&flushed, 1, __ATOMIC_SEQ_CST);
	}
}
static void reader(unsigned me)
{
	irqs(true);
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop_) {
		if (*(volatile u32 *)LIN == 0xdead)
			wrong = wrong + 1;
		reads[me]++;
	}
	irqs(false);
}
static void writer(unsigned me)
{
	irqs(true);
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop_) {
		((volatile u32 *)LIN)[me] = me;
		reads[me]++;
	}
	irqs(false);
}
static void shoot(word at)
{
	flush_at = at;
	flushed = 0;
	apic_icr(0, 0xc4000 | IPI_FLUSH);
	invlpg(at);
	wait_for(&flushed, CPUS - 1);
}
static void shootdown(void)
{
	u32 *frame[2] = { (u32 *)FRAME, (u32 *)(FRAME + 0x10000) };

	t("shootdown: nobody reads the old frame after the handshake");
	pt1[0] = FRAME | 7;
	flush();
	stop_ = wrong = 0;
	*frame[0] = 1;
	launch(reader);
	wait_for(&ready, CPUS - 1);
	for (unsigned k = 1; k <= 30; k++) {
		*frame[k & 1] = 1;
		pt1[0] = (word)frame[k & 1] | 7;
		shoot(LIN);
		*frame[!(k & 1)] = 0xdead;
		for (volatile unsigned i = 0; i < 200; i++)
			;
		*frame[!(k & 1)] = 1;
	}
	stop_ = 1;
	join();
	eq(wrong, 0);
	for (unsigned i = 1; i < CPUS; i++)
		eq(reads[i] != 0, 1);
	t("shootdown: nobody writes the old frame after the handshake");
	stop_ = 0;
	launch(writer);
	wait_for(&ready, CPUS - 1);
	for (unsigned k = 1; k <= 30; k++) {
		u32 *old = frame[!(k & 1)];
		pt1[0] = (word)frame[k & 1] | 7;
		shoot(LIN);
		memset(old, 0x55, 16);
		for (volatile unsigned i = 0; i < 200; i++)
			;
		for (unsigned i = 1; i < CPUS; i++)
			if (((volatile u32 *)old)[i] != 0x55555555)
				wrong = wrong + 1;
	}
	stop_ = 1;
	join();
	eq(wrong, 0);
}

/* ---- code changed by another ---- */
static volatile u32 floor_[CPUS], target, behind;
static void caller(unsigned me)
{
	irqs(true);
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	while (!stop_) {
		u32 least = target, v = ((u32(*)(void))(FRAME + 0x2000))();
		if (v < least)
			behind = behind + 1;
		floor_[me] = v;
	}
	irqs(false);
}
static void cross_modify(void)
{
	t("code written by another processor, then an IPI: all run the new");
	*(volatile u64 *)(FRAME + 0x2000) = 0xc300000000b8;
	stop_ = target = behind = 0;
	launch(caller);
	wait_for(&ready, CPUS - 1);
	for (u32 k = 1; k <= 30; k++) {
		*(volatile u64 *)(FRAME + 0x2000) = 0xc300000000b8 | (u64)k << 8;
		shoot(FRAME + 0x2000);
		target = k; /* whoever starts a round from here must see k or more */
	}
	stop_ = 1;
	join();
	eq(behind, 0);
	t("... through a breakpoint, as kernels patch themselves");
	/* a five-byte jump-like instruction, patched as int3, tail, head; INT3 is skipped by the handler */
	stop_ = target = behind = 0;
	launch(caller);
	wait_for(&ready, CPUS - 1);
	for (u32 k = 31; k <= 45; k++) {
		volatile u8 *p = (u8 *)(FRAME + 0x2000);
		p[0] = 0xcc;
		shoot(FRAME + 0x2000);
		p[1] = (u8)k;
		p[2] = (u8)(k >> 8);
		shoot(FRAME + 0x2000);
		p[0] = 0xb8;
		shoot(FRAME + 0x2000);
		target = k;
	}
	stop_ = 1;
	join();
	eq(behind, 0);
}
/*
 * Code behind a branch comes to read flags that it had overwritten, at some moment while the code that sets them is run
 * for the first times. Whoever runs what the other wrote has seen it say so, and has serialised.
 */
#define BEHIND 64
static const u8 sets_flags[] = {
	0x31, 0xc0,                    /* xor eax, eax */
	0x48, 0x85,        0xf6,       /* test rsi, rsi */
	0x74, 0x06,                    /* jz out */
	0x48, 0x83,        0xc7, 0x01, /* add rdi, 1 */
	0xeb, BEHIND - 13,             /* jmp behind */
	0xc3,                          /* out: ret */
};
static const u8 overwrites_flags[] = { 0x31, 0xc9, 0x89, 0xc8, 0xc3, 0x90, 0x90 }; /* xor ecx, ecx; mov eax, ecx; ret */
static const u8 reads_flags[] = { 0x0f, 0x92, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3 };      /* setc al; movzx eax, al; ret */
static void serialise(void)
{
	u32 r[4];

	cpuid(0, 0, r);
}
static void patch_behind(unsigned me)
{
	u8 *code = (u8 *)(FRAME + 0x3000);
	u32 (*run)(u64, u64) = (u32(*)(u64, u64))(word)code;
	u32 random = 1;

	if (me > 1)
		return;
	for (u32 i = 1, n = asked("quick") ? 20u : 3000u; i <= n; i++) {
		if (!me) {
			memset(code, 0xcc, 128);
			memcpy(code + BEHIND, overwrites_flags, sizeof(overwrites_flags));
			memcpy(code, sets_flags, sizeof(sets_flags));
			serialise();
		}
		meet(me, 2 * i - 1);
		if (me) {
			random = random * 1103515245 + 12345;
			for (volatile u32 wait = (random >> 8) % (8u << (random >> 24) % 12); wait; wait--)
				;
			memcpy(code + BEHIND, reads_flags, sizeof(reads_flags));
		} else {
			for (u32 k = 0; k < 40; k++)
				run(0, 0);
		}
		meet(me, 2 * i);
		if (!me) {
			serialise();
			for (u32 k = 0; k < 3; k++)
				if (run(~0ull, 1) != 1)
					wrong = wrong + 1;
		}
	}
}
static void code_behind(void)
{
	t("code behind a branch, changed while the branch is new");
	wrong = 0;
	phase[0] = phase[1] = 0;
	all(patch_behind);
	eq(wrong, 0);
}
static bool on_irq_or_bp(struct frame *f)
{
	if (f->vec == 3) {
		/* run the patched instruction again once the patch is done */
		f->ip--;
		return true;
	}
	return on_irq(f);
}

static void dirty_together(unsigned me)
{
	for (unsigned i = 0; i < 512; i++)
		*(volatile u8 *)(LIN + i * PAGE + me) = 1;
}

/* IDs stay what they were; x2apic may only be believed by all once all are there. */
static volatile u32 switched;
static void to_x2apic(unsigned me)
{
	(void)me;
	wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
	__atomic_add_fetch(&switched, 1, __ATOMIC_SEQ_CST);
	while (switched != CPUS)
		pause_();
	x2apic = true;
}

int main(void)
{
	static const char *const xapic[] = { "xAPIC: fixed IPI to each", "xAPIC: to oneself", "xAPIC: to all others",
					     "xAPIC: to all", "xAPIC: NMI to each" };
	static const char *const x2[] = { "x2APIC: fixed IPI to each", "x2APIC: to oneself", "x2APIC: to all others",
					  "x2APIC: to all", "x2APIC: NMI to each" };
	memset(pdpt1, 0, 0x3000);
	pml4[1] = (word)pdpt1 | 7;
	pdpt1[0] = (word)pd1 | 7;
	pd1[FRAME >> 21 & 511] = (word)pt1 | 7;
	for (unsigned i = 0; i < 512; i++)
		pt1[i] = (FRAME + i * PAGE) | 7;
	outb(0x21, 0xff); /* nothing of the firmware's from the 8259s */
	outb(0xa1, 0xff);
	apic_write(APIC_SVR, 0x1ff);
	on_exc = on_irq_or_bp;
	start();
	ipis(xapic);
	nmis();
	halting();
	atomics();
	order();
	one_time();
	shootdown();
	cross_modify();
	code_behind();
	t("A and D set by four processors at once");
	for (unsigned i = 0; i < 512; i++)
		pt1[i] &= ~0x60ull;
	flush();
	all(dirty_together);
	for (unsigned i = 0; i < 512; i++)
		eq(pt1[i] & 0x60, 0x60);
	restart();
	all(to_x2apic);
	ipis(x2);
	t("x2APIC: self IPI");
	clear_hits();
	irqs(true);
	wrmsr(0x83f, IPI_COUNT);
	eq(wait_for(&hits[0][IPI_COUNT], 1), 1);
	irqs(false);
	return 0;
}
