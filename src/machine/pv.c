/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pv.c - kvmclock and hypercalls.
 *
 * Theory of operation: kvmclock tells the guest one (TSC, nanoseconds) pair and a factor; the guest
 * computes time by itself. The pair is taken once per boot and given to every vCPU alike, so that the
 * vCPUs' clocks agree to the tick and the stable bit may be set. A vCPU whose TSC the guest has moved
 * gets a pair of its own, without the stable bit.
 *
 * Stolen time is what a vCPU wanted to run and did not: time that passed, less what it slept, less what its thread ran.
 * It is brought up to date when the vCPU wakes or takes an interrupt, at most each millisecond. The sum is in guest
 * memory only, as with KVM, so that it goes where the guest goes.
 */
#include "machine/pv.h"

#include "base/clock.h"
#include "base/log.h"
#include "cpu/board_state.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define MSR_WALL_CLOCK 0x11
#define MSR_SYSTEM_TIME 0x12
#define MSR_WALL_CLOCK_NEW 0x4b564d00
#define MSR_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_STEAL_TIME 0x4b564d03
#define STEAL_RESERVED 0x3eull

#define HC_VAPIC_POLL_IRQ 1
#define HC_KICK_CPU 5
#define HC_SEND_IPI 10
#define HC_SCHED_YIELD 11
#define HC_ENOSYS (-1000)

/* struct pvclock_vcpu_time_info, 32 bytes */
enum time_info {
	TI_VERSION = 0,
	TI_TSC = 8,
	TI_SYSTEM_TIME = 16,
	TI_MUL = 24,
	TI_SHIFT = 28,
	TI_FLAGS = 29,
	TI_BYTES = 32
};
#define FLAG_TSC_STABLE 1
/* struct pvclock_wall_clock, 12 bytes: version, seconds, nanoseconds */
#define WALL_BYTES 12

/* struct kvm_steal_time, 64 bytes: stolen ns, version */
#define STEAL_BYTES 64
#define STEAL_VERSION 8
#define STEAL_EACH_NS 1000000ull

/* Its vCPU's thread only. */
struct steal {
	u64 msr;
	u64 now_ns, cpu_ns; /* when last looked at; now_ns 0: not yet */
	u64 slept_ns, parked_ns;
};

struct pv {
	pthread_mutex_t lock;
	struct ram *ram;
	struct lapics *lapics;
	unsigned n;
	struct cpu *cpu[CPU_MAX];

	/* Under lock */
	bool have_ref;
	u64 ref_tsc; /* guest TSC of vCPU 0 ... */
	u64 ref_ns;  /* ... at this CLOCK_MONOTONIC */
	u64 boot_ns; /* CLOCK_MONOTONIC of the guest's time 0 */
	u64 system_time[CPU_MAX], wall_clock;
	u32 version;

	struct steal steal[CPU_MAX];
};

struct pv *pv_new(struct ram *ram, struct lapics *lapics, unsigned ncpus)
{
	struct pv *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	p->ram = ram;
	p->lapics = lapics;
	p->n = ncpus;
	p->boot_ns = clock_mono_ns();
	return p;
}

void pv_free(struct pv *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void pv_attach(struct pv *p, unsigned cpu, struct cpu *c)
{
	p->cpu[cpu] = c;
}

void pv_reset(struct pv *p)
{
	pthread_mutex_lock(&p->lock);
	p->have_ref = false;
	p->boot_ns = clock_mono_ns();
	memset(p->system_time, 0, sizeof(p->system_time));
	memset(p->steal, 0, sizeof(p->steal));
	p->wall_clock = 0;
	pthread_mutex_unlock(&p->lock);
}

/* A TSC reading and the monotonic time it belongs to: the tightest of a few tries. */
static void sample(struct cpu *c, u64 *tsc, u64 *ns)
{
	u64 best = UINT64_MAX;

	for (int i = 0; i < 5; i++) {
		u64 before = cpu_tsc(c), now = clock_mono_ns(), after = cpu_tsc(c);

		if (after - before < best) {
			best = after - before;
			*tsc = before + best / 2;
			*ns = now;
		}
	}
}

/* ns = ((ticks << shift) * mul) >> 32 */
static void scale(u64 khz, u32 *mul, s8 *shift)
{
	u64 hz = khz * 1000;

	*shift = 0;
	while (hz > 2 * NSEC_PER_SEC) {
		hz >>= 1;
		(*shift)--;
	}
	while (hz <= NSEC_PER_SEC) {
		hz <<= 1;
		(*shift)++;
	}
	*mul = (u32)mul_div(NSEC_PER_SEC, 1ull << 32, hz);
}

/* Is this vCPU's TSC the same as vCPU 0's? */
static bool same_tsc(struct pv *p, unsigned cpu)
{
	u64 before = cpu_tsc(p->cpu[0]), t = cpu_tsc(p->cpu[cpu]), after = cpu_tsc(p->cpu[0]);

	return before <= t && t <= after;
}

/* Write a versioned structure: odd while it changes. */
static bool put_versioned(struct pv *p, gpa_t gpa, u8 *s, unsigned bytes)
{
	if (!ram_ptr(p->ram, gpa, bytes))
		return false;
	st_le32(s, ++p->version | 1);
	ram_put(p->ram, gpa, s, 4);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ram_put(p->ram, gpa + 4, s + 4, bytes - 4);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	p->version = (p->version | 1) + 1;
	st_le32(s, p->version);
	ram_put(p->ram, gpa, s, 4);
	return true;
}

static void take_ref(struct pv *p)
{
	if (!p->have_ref) {
		sample(p->cpu[0], &p->ref_tsc, &p->ref_ns);
		p->have_ref = true;
	}
}

static bool put_system_time(struct pv *p, unsigned cpu, gpa_t gpa)
{
	u8 s[TI_BYTES] = { 0 };
	u64 tsc, ns;
	u32 mul;
	s8 shift;
	bool stable = same_tsc(p, cpu);

	take_ref(p);
	tsc = p->ref_tsc;
	ns = p->ref_ns;
	if (!stable)
		sample(p->cpu[cpu], &tsc, &ns);
	scale(clock_tsc_khz(), &mul, &shift);
	st_le64(s + TI_TSC, tsc);
	st_le64(s + TI_SYSTEM_TIME, ns - p->boot_ns);
	st_le32(s + TI_MUL, mul);
	s[TI_SHIFT] = (u8)shift;
	s[TI_FLAGS] = stable ? FLAG_TSC_STABLE : 0;
	return put_versioned(p, gpa, s, sizeof(s));
}

/* The time of day at the guest's time 0. */
static bool put_wall_clock(struct pv *p, gpa_t gpa)
{
	u8 s[WALL_BYTES] = { 0 };
	u64 t = clock_real_ns() - (clock_mono_ns() - p->boot_ns);

	st_le32(s + 4, (u32)(t / NSEC_PER_SEC));
	st_le32(s + 8, (u32)(t % NSEC_PER_SEC));
	return put_versioned(p, gpa, s, sizeof(s));
}

/* ---- stolen time ---- */

static u64 thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

static void add_steal(struct pv *p, gpa_t gpa, u64 ns)
{
	u8 *s = ram_ptr(p->ram, gpa, STEAL_BYTES);

	if (!s)
		return;
	u32 version = __atomic_load_n((u32 *)(void *)(s + STEAL_VERSION), __ATOMIC_RELAXED) | 1;
	__atomic_store_n((u32 *)(void *)(s + STEAL_VERSION), version, __ATOMIC_SEQ_CST);
	__atomic_store_n((u64 *)(void *)s, ld_le64(s) + ns, __ATOMIC_SEQ_CST);
	__atomic_store_n((u32 *)(void *)(s + STEAL_VERSION), version + 1, __ATOMIC_SEQ_CST);
	ram_wrote(p->ram, gpa, STEAL_BYTES);
}

void pv_look(struct pv *p, unsigned cpu)
{
	struct steal *s = &p->steal[cpu];

	if (likely(!(s->msr & 1)))
		return;
	u64 now = clock_mono_ns();
	if (s->now_ns && now - s->now_ns < STEAL_EACH_NS)
		return;
	u64 cpu_ns = thread_ns(), ran = cpu_ns - s->cpu_ns + s->slept_ns;
	if (s->now_ns && now - s->now_ns > ran)
		add_steal(p, s->msr & ~63ull, now - s->now_ns - ran);
	s->now_ns = now;
	s->cpu_ns = cpu_ns;
	s->slept_ns = 0;
}

void pv_park(struct pv *p, unsigned cpu)
{
	if (p->steal[cpu].msr & 1)
		p->steal[cpu].parked_ns = clock_mono_ns();
}

void pv_unpark(struct pv *p, unsigned cpu)
{
	struct steal *s = &p->steal[cpu];

	if (!(s->msr & 1))
		return;
	s->slept_ns += clock_mono_ns() - s->parked_ns;
	pv_look(p, cpu);
}

static bool set_steal(struct pv *p, unsigned cpu, u64 val)
{
	if (val & STEAL_RESERVED || ((val & 1) && !ram_ptr(p->ram, val & ~63ull, STEAL_BYTES)))
		return false;
	p->steal[cpu] = (struct steal){ .msr = val };
	pv_look(p, cpu);
	return true;
}

bool pv_msr(u32 msr)
{
	return msr == MSR_WALL_CLOCK || msr == MSR_SYSTEM_TIME || msr == MSR_WALL_CLOCK_NEW ||
	       msr == MSR_SYSTEM_TIME_NEW || msr == MSR_STEAL_TIME;
}

bool pv_msr_read(struct pv *p, unsigned cpu, u32 msr, u64 *val)
{
	if (msr == MSR_STEAL_TIME) {
		*val = p->steal[cpu].msr;
		return true;
	}
	pthread_mutex_lock(&p->lock);
	*val = msr == MSR_WALL_CLOCK || msr == MSR_WALL_CLOCK_NEW ? p->wall_clock : p->system_time[cpu];
	pthread_mutex_unlock(&p->lock);
	return true;
}

bool pv_msr_write(struct pv *p, unsigned cpu, u32 msr, u64 val)
{
	bool ok = true;

	if (!p->cpu[0] || !p->cpu[cpu])
		return false;
	if (msr == MSR_STEAL_TIME)
		return set_steal(p, cpu, val);
	pthread_mutex_lock(&p->lock);
	if (msr == MSR_WALL_CLOCK || msr == MSR_WALL_CLOCK_NEW) {
		if (val)
			ok = put_wall_clock(p, val);
		if (ok)
			p->wall_clock = val;
	} else {
		if (val & 1)
			ok = put_system_time(p, cpu, val & ~1ull);
		if (ok)
			p->system_time[cpu] = val;
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

static s64 send_ipi(struct pv *p, const u64 arg[4])
{
	u64 first = arg[2];
	struct lapic_msg m = {
		.mode = (enum lapic_mode)((arg[3] >> 8) & 7),
		.vector = (u8)arg[3],
	};
	s64 sent = 0;

	if (m.mode != LAPIC_FIXED && m.mode != LAPIC_NMI)
		return 0;
	for (unsigned w = 0; w < 2; w++) {
		for (u64 bits = arg[w]; bits; bits &= bits - 1) {
			u64 id = first + w * 64 + (unsigned)__builtin_ctzll(bits);

			if (id < first || id >= p->n)
				continue;
			m.dest = (u32)id;
			sent += lapic_deliver(p->lapics, &m);
		}
	}
	return sent;
}

s64 pv_hypercall(struct pv *p, unsigned cpu, u64 nr, const u64 arg[4])
{
	switch (nr) {
	case HC_VAPIC_POLL_IRQ:
		return 0;
	case HC_KICK_CPU:
		if (arg[1] < p->n && p->cpu[arg[1]])
			cpu_kick_halted(p->cpu[arg[1]]);
		return 0;
	case HC_SEND_IPI:
		return send_ipi(p, arg);
	case HC_SCHED_YIELD:
		sched_yield();
		return 0;
	}
	return HC_ENOSYS;
}

/* ---- saved state ---- */

/* As a guest computes it from mul and shift. */
static u64 ticks_to_ns(u64 ticks, u64 khz)
{
	u32 mul;
	s8 shift;

	scale(khz, &mul, &shift);
	unsigned __int128 t = ticks;
	t = shift >= 0 ? t << shift : t >> -shift;
	return (u64)((t * mul) >> 32);
}

void pv_get_state(struct pv *p, struct pvclock_state *st)
{
	pthread_mutex_lock(&p->lock);
	*st = (struct pvclock_state){ .wall_clock = p->wall_clock, .tsc_khz = (u32)clock_tsc_khz() };
	memcpy(st->system_time, p->system_time, sizeof(st->system_time));
	for (unsigned i = 0; i < p->n; i++)
		st->steal_time[i] = p->steal[i].msr;
	if (p->cpu[0]) {
		take_ref(p);
		st->tsc = cpu_tsc(p->cpu[0]);
		st->clock_ns = p->ref_ns - p->boot_ns + ticks_to_ns(st->tsc - p->ref_tsc, st->tsc_khz);
	}
	pthread_mutex_unlock(&p->lock);
}

void pv_set_state(struct pv *p, const struct pvclock_state *st)
{
	u64 khz = clock_tsc_khz();

	/* Clocks are measured to some ten parts per million. */
	if (st->tsc_khz && (st->tsc_khz > khz + khz / 1000 || st->tsc_khz < khz - khz / 1000))
		log_warn("the VM was saved where the TSC runs at %u kHz, here it runs at %llu kHz: a guest that keeps "
			 "time by "
			 "the TSC alone (not kvm-clock) will be off by the ratio",
			 st->tsc_khz, (unsigned long long)khz);
	/* Counting begins anew on the vCPUs' threads. */
	for (unsigned i = 0; i < p->n; i++)
		p->steal[i] = (struct steal){ .msr = st->steal_time[i] & ~STEAL_RESERVED };
	pthread_mutex_lock(&p->lock);
	p->wall_clock = st->wall_clock;
	memset(p->system_time, 0, sizeof(p->system_time));
	p->have_ref = false;
	if (p->cpu[0]) {
		take_ref(p);
		/* The vCPUs' TSCs went on from their saved values a moment ago. */
		u64 ran = p->ref_tsc - st->tsc;
		u64 clock_ns = st->clock_ns + ((s64)ran > 0 ? ticks_to_ns(ran, khz) : 0);
		p->boot_ns = p->ref_ns - clock_ns;
		for (unsigned i = 0; i < p->n; i++) {
			p->system_time[i] = st->system_time[i];
			if (st->system_time[i] & 1)
				put_system_time(p, i, st->system_time[i] & ~1ull);
		}
	}
	pthread_mutex_unlock(&p->lock);
}
