/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct.c - direct execution: who gets a runner, registers in and out, and what its stops mean. See direct.h. */
#include "base/clock.h"
#include "cpu/soft/blocks/cache.h"
#include "cpu/soft/direct/direct.h"
#include "cpu/soft/system/desc.h"
#include "cpu/soft/vector/fpu.h"

#include <signal.h>
#include <ucontext.h>

/* An address space is let in when an interrupt finds it at CPL 3, as did the last one so long ago, and kernels were
 * entered no more often since than once in ... */
#define WINDOW_NS 2000000ull
#define PER_ENTRY_NS 60000ull
#define IDLE_NS 50000000ull /* a runner not used for so long may be given to somebody else */

#define USER_CS 0x33
#define USER_SS 0x2b
/* What guest code at CPL 3 has a say in. */
#define USER_FLAGS (FL_STATUS | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID)
/* Linux's rt_sigreturn leaves these alone: who has one set is not executed directly. */
#define LOST_FLAGS (FL_NT | FL_ID)

/* ---- who has which ---- */

/* Time that c did not sleep. */
static u64 awake_ns(const struct soft_cpu *c)
{
	return clock_mono_ns() - c->st.idle_ns;
}

static u64 root_of(const struct soft_cpu *c)
{
	return c->cr3 & 0x000ffffffffff000ull;
}

/* The PCID that its address space had is another one's. */
static void detach(struct soft_cpu *c, struct runner *r)
{
	if (r->space != DIRECT_NOWHERE)
		c->direct.of[r->space] = NULL;
	r->space = DIRECT_NOWHERE;
}

/* One of c's own that has the address space in use, known by its page tables. NULL: none. */
static struct runner *attach(struct soft_cpu *c)
{
	struct direct *d = &c->vm->direct;

	for (unsigned i = 0; i < d->n; i++) {
		struct runner *r = d->r[i];
		if (__atomic_load_n(&r->cpu, __ATOMIC_RELAXED) != c || r->cr3 != root_of(c))
			continue;
		detach(c, r);
		r->space = c->space;
		c->direct.of[c->space] = r;
		/* What was invalidated in between nobody told it. */
		direct_flush(c, c->space);
		return r;
	}
	return NULL;
}

/* For an address space of c that has none: a free one, or who has not used his for the longest time. */
static struct runner *take(struct soft_cpu *c)
{
	struct direct *d = &c->vm->direct;
	struct runner *best = NULL;
	unsigned own = 0;
	u64 now = clock_mono_ns();

	pthread_mutex_lock(&d->lock);
	for (unsigned i = 0; i < d->n; i++)
		own += d->r[i]->cpu == c;
	bool more = own < MAX(d->n / c->vm->ncpus, 1u);
	for (unsigned i = 0; i < d->n; i++)
		if (unlikely(!d->r[i]->alive && !d->r[i]->cpu)) {
			direct_zygote_renew(&d->zygote, d->r[i], now);
			break;
		}
	for (unsigned i = 0; i < d->n; i++) {
		struct runner *r = d->r[i];
		/* Another vCPU's own is only its to take away. */
		if (r->alive && ((!r->cpu && more) || (r->cpu == c && now - r->used_ns > IDLE_NS)) &&
		    (!best || !r->cpu || (best->cpu && r->used_ns < best->used_ns)))
			best = r;
	}
	if (best) {
		detach(c, best);
		/* Or the next process could read the last one's addresses, registers, and what it left for it to find.
		 */
		runner_wipe(best);
		c->direct.own += !best->cpu;
		pthread_mutex_lock(&c->tlb_lock);
		__atomic_store_n(&best->cpu, c, __ATOMIC_RELAXED);
		direct_map_forget(best);
		pthread_mutex_unlock(&c->tlb_lock);
		best->space = c->space;
		best->cr3 = root_of(c);
		direct_way_begin(best, awake_ns(c));
		best->fault.waits = false;
		best->used_ns = now;
		c->direct.of[c->space] = best;
	}
	pthread_mutex_unlock(&d->lock);
	return best;
}

static void give_back(struct soft_cpu *c, struct runner *r)
{
	struct direct *d = &c->vm->direct;

	pthread_mutex_lock(&d->lock);
	detach(c, r);
	c->direct.own--;
	if (c->direct.now == r)
		c->direct.now = NULL;
	pthread_mutex_lock(&c->tlb_lock);
	__atomic_store_n(&r->cpu, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&c->tlb_lock);
	pthread_mutex_unlock(&d->lock);
}

static void spare(struct soft_cpu *c, s64 n)
{
	c->direct.spare = c->direct.spare_from = c->direct.seen_spare = n;
}

void direct_switched(struct soft_cpu *c)
{
	struct runner *r = c->direct.of[c->space], *old = c->direct.now;

	if (c->direct.own && (!r || r->cr3 != root_of(c))) {
		if (r)
			detach(c, r);
		r = attach(c);
	}
	if (r == old)
		return;
	u64 now = awake_ns(c);
	if (old) {
		if (!old->way.direct)
			old->way.n += (u32)(c->direct.spare_from - c->direct.spare);
		old->way.ns += now - old->way.since;
		old->way.left = c->direct.spare;
	}
	if (r)
		r->way.since = now;
	c->direct.now = r;
	c->direct.seen_ns = now;
	spare(c, r ? r->way.left : c->vm->direct.always ? 0 : DIRECT_NEVER);
}

/* 64-bit code of a kernel that keeps its segments as all do, and nothing that wants to see each instruction. */
static bool possible(const struct soft_cpu *c)
{
	const struct cpu_seg *s = c->seg;
	u64 end = c->vm->direct.base_end;

	if (unlikely(end && (s[SEG_FS].base >= end || s[SEG_GS].base >= end)))
		return false;
	return c->cpl == 3 && (c->mode & (MODE_CODE64 | MODE_LMA | MODE_PE)) == (MODE_CODE64 | MODE_LMA | MODE_PE) &&
	       s[SEG_CS].sel == USER_CS && s[SEG_SS].sel == USER_SS && !s[SEG_DS].sel && !s[SEG_ES].sel &&
	       !s[SEG_FS].sel && !s[SEG_GS].sel && !(c->sysflags & (FL_TF | FL_IOPL | FL_RF | FL_VM | LOST_FLAGS)) &&
	       (c->sysflags & FL_IF) && !(c->dr7 & 0xff) && !c->shadow && mmu_index(c) == TLB_USER && !c->trace &&
	       !c->jit.check && (c->vec_ok & c->vm->direct.vec_ok) == c->vm->direct.vec_ok && soft_canonical(c->rip) &&
	       soft_canonical(s[SEG_FS].base) && soft_canonical(s[SEG_GS].base);
}

static void let_in(struct soft_cpu *c)
{
	if (c->direct.of[c->space] || !possible(c) || direct_way_barred(c, root_of(c)) || !take(c))
		return;
	c->direct.st.let_in++;
	c->direct.now = c->direct.of[c->space];
	spare(c, 0);
}

void direct_interrupt(struct soft_cpu *c)
{
	if (!c->vm->direct.n || c->vm->direct.always)
		return;
	u64 now = awake_ns(c), took = now - c->direct.seen_ns;
	s64 entries = c->direct.seen_spare - c->direct.spare;

	if (took < WINDOW_NS)
		return;
	/* By everybody together; and two such interrupts in a row, as in a kernel that works for long there are few,
	 * too. */
	bool user = c->cpl == 3, computes = user && c->direct.seen_user && (u64)entries * PER_ENTRY_NS <= took;
	c->direct.seen_ns = now;
	c->direct.seen_user = user;
	if (!c->direct.now) {
		spare(c, DIRECT_NEVER);
		if (computes)
			let_in(c);
		return;
	}
	/* It computes for longer than it did when translated code was found to be right: the rest of the leg is not
	 * waited for. */
	if (computes && direct_way_outdated(&c->direct.now->way, took, (u64)entries)) {
		c->direct.spare_from -= c->direct.spare;
		c->direct.spare = 0;
		c->direct.now->way.leg = 1;
	}
	c->direct.seen_spare = c->direct.spare;
}

/* ---- registers ---- */

static const u8 greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static void put(struct soft_cpu *c, struct runner *r)
{
	greg_t *g = r->uc->uc_mcontext.gregs;
	u8 area[1024];

	for (unsigned i = 0; i < 16; i++)
		g[greg_of[i]] = (greg_t)c->gpr[i];
	g[REG_RIP] = (greg_t)c->rip;
	g[REG_EFL] = (greg_t)((soft_get_rflags(c) & USER_FLAGS) | FL_IF | 2);
	r->fs_base = c->seg[SEG_FS].base;
	r->gs_base = c->seg[SEG_GS].base;
	soft_fpu_get(c, area);
	memcpy(r->fp, area, RUNNER_FP_BYTES);
	st_le64(r->fp + RUNNER_FP_HEADER, RUNNER_FP_GUEST);
}

/* Segment registers that user code may load on its own: the segment of flat data, that whose limit is the number of the
 * processor (Linux's vdso), and the code segments of 64 and 32 bits; in the host they are what they are in every Linux.
 */
#define USER_CS32 0x23
#define USER_CPU 0x7b

static void get_segments(struct soft_cpu *c, const struct runner *r, u16 cs)
{
	static const u8 name[4] = {
		[RUNNER_ES] = SEG_ES, [RUNNER_DS] = SEG_DS, [RUNNER_FS] = SEG_FS, [RUNNER_GS] = SEG_GS
	};

	if (cs == USER_CS32)
		c->seg[SEG_CS] = (struct cpu_seg){ .sel = USER_CS32, .ar = 0xc0fb, .limit = ~0u };
	soft_mode_changed(c);
	for (unsigned i = 0; i < 4; i++) {
		u16 sel = r->sel[i];
		struct cpu_seg *s = &c->seg[name[i]];
		struct sys_desc d;
		if (!sel)
			continue;
		/* The base is known: of FS and GS it may have been set since; else it is 0 or of no use. */
		if ((sel | 3) == USER_SS) {
			s->sel = sel;
			s->ar = 0xc0f3;
			s->limit = ~0u;
		} else if (((sel | 3) == USER_CPU || (sel | 3) == USER_CS || (sel | 3) == USER_CS32) &&
			   sys_desc_get(c, sel, &d) && desc_is_readable(&d) && desc_dpl(&d) == 3 && desc_present(&d)) {
			s->sel = sel;
			s->ar = d.ar | 1; /* accessed */
			s->limit = d.limit;
		}
	}
}

static void get(struct soft_cpu *c, struct runner *r)
{
	const greg_t *g = r->uc->uc_mcontext.gregs;
	u8 area[1024];

	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = (u64)g[greg_of[i]];
	c->rip = (u64)g[REG_RIP];
	soft_set_rflags(c, (soft_get_rflags(c) & ~(u64)USER_FLAGS) | ((u64)g[REG_EFL] & USER_FLAGS));
	/* Kernels that leave FSGSBASE off rely on users not setting these. */
	if (c->cr4 & CR4_FSGSBASE) {
		c->seg[SEG_FS].base = c->eff_base[SEG_FS] = r->fs_base;
		c->seg[SEG_GS].base = c->eff_base[SEG_GS] = r->gs_base;
	}
	u16 cs = (u16)g[REG_CSGSFS];
	if (unlikely(cs != USER_CS || (r->sel[0] | r->sel[1] | r->sel[2] | r->sel[3])))
		get_segments(c, r, cs);
	memcpy(area, r->fp, RUNNER_FP_BYTES);
	memset(area + RUNNER_FP_BYTES, 0, sizeof(area) - RUNNER_FP_BYTES);
	memset(area + RUNNER_FP_HEADER, 0, RUNNER_FP_AVX - RUNNER_FP_HEADER);
	st_le64(area + RUNNER_FP_HEADER, ld_le64(r->fp + RUNNER_FP_HEADER) & RUNNER_FP_GUEST);
	st_le32(area + RUNNER_FP_MXCSR, ld_le32(area + RUNNER_FP_MXCSR) & 0xffffu);
	if (soft_fpu_set(c, area) < 0) { /* a forged frame */
		st_le32(area + RUNNER_FP_MXCSR, 0x1f80);
		soft_fpu_set(c, area);
	}
}

/* ---- stops ---- */

enum verdict {
	GO_ON,    /* in the runner */
	LEAVE,    /* in translated code */
	TRAPPED,  /* ... after a #DB */
	STRANGER, /* ... and it is not whom we let in */
};

enum { TRAP_BP = 3, TRAP_OF = 4, TRAP_GP = 13, TRAP_PF = 14 };
#define VSYSCALL 0xffffffffff600000ull

/* Bytes of the instruction at RIP, as far as they can be had without a fault. */
static unsigned peek(struct soft_cpu *c, u64 rip, u8 *buf, unsigned n)
{
	unsigned room = (unsigned)MIN((u64)n, PAGE_BYTES - (rip & (PAGE_BYTES - 1)));
	struct mmu_user u;

	if (rip >> 47)
		return 0;
	mmu_user_look(c, rip & PAGE_MASK, 1, &u);
	if (!(u.rights & MMU_USER_X))
		return 0;
	memcpy(buf, c->ram->host + (u.page << PAGE_SHIFT) + (rip & (PAGE_BYTES - 1)), room);
	return room;
}

/* RDTSC, RDTSCP: much asked for, so not left to translated code. */
static bool tsc(struct soft_cpu *c, greg_t *g)
{
	u8 b[3] = { 0 };

	if ((c->cr4 & CR4_TSD) || peek(c, (u64)g[REG_RIP], b, 3) < 3 || b[0] != 0x0f ||
	    !(b[1] == 0x31 || (b[1] == 0x01 && b[2] == 0xf9)))
		return false;
	u64 v = clock_tsc() + c->tsc_offset;
	g[REG_RAX] = (greg_t)(u32)v;
	g[REG_RDX] = (greg_t)(v >> 32);
	if (b[1] == 0x01)
		g[REG_RCX] = (greg_t)(u32)c->tsc_aux;
	g[REG_RIP] += b[1] == 0x01 ? 3 : 2;
	return true;
}

static u8 byte_at(struct soft_cpu *c, u64 rip)
{
	u8 b = 0;

	peek(c, rip, &b, 1);
	return b;
}

static enum verdict stopped(struct soft_cpu *c, struct runner *r)
{
	greg_t *g = r->uc->uc_mcontext.gregs;
	u64 *n = c->direct.st.exit;

	switch (r->si->si_signo) {
	case SIGUSR1:
		n[DX_KICK]++;
		return GO_ON; /* unless something is pending */
	case SIGSYS:
		n[DX_SYSCALL]++;
		if ((u64)(uintptr_t)r->si->si_call_addr >= VSYSCALL) {
			/* The host's vsyscall page; the host has returned from the call. */
			g[REG_RIP] = (greg_t)(uintptr_t)r->si->si_call_addr;
			g[REG_RSP] -= 8;
		} else {
			g[REG_RIP] -= 2; /* SYSCALL, or INT 80 */
		}
		return LEAVE;
	case SIGSEGV:
		if (g[REG_TRAPNO] == TRAP_PF) {
			if (direct_map_fault(c, r, (u64)g[REG_CR2], (u64)g[REG_ERR], false)) {
				n[DX_MAP]++;
				return GO_ON;
			}
			n[DX_FAULT]++;
			r->fault.waits = true;
			r->fault.lin = (u64)g[REG_CR2];
			r->fault.error = (u64)g[REG_ERR];
			return LEAVE;
		}
		if (g[REG_TRAPNO] == TRAP_OF)
			g[REG_RIP] -= 2; /* INT 4 */
		else if (g[REG_TRAPNO] == TRAP_GP && !(g[REG_EFL] & FL_TF) && tsc(c, g)) {
			n[DX_TSC]++;
			return GO_ON;
		}
		break;
	case SIGTRAP:
		n[DX_GP]++;
		if (g[REG_TRAPNO] == TRAP_BP)
			g[REG_RIP] -= byte_at(c, (u64)g[REG_RIP] - 1) == 3 ? 2 : 1; /* CD 03; CC */
		else if (r->si->si_code == TRAP_TRACE)
			return TRAPPED;
		else if (byte_at(c, (u64)g[REG_RIP]) != 0xf1)
			g[REG_RIP] -= 1; /* ICEBP; some hypervisors report it as a fault */
		return LEAVE;
	}
	n[DX_GP]++;
	return LEAVE;
}

/* From here to the runner and back. */
static enum verdict go(struct soft_cpu *c, struct runner *r)
{
	enum verdict v = GO_ON;
	bool dead = false;

	r->ran = false;
	put(c, r);
	if (r->fault.waits) {
		/* The guest has seen to it meanwhile, and it would be made again. */
		r->fault.waits = false;
		direct_map_fault(c, r, r->fault.lin, r->fault.error, true);
	}
	do {
		int code = direct_map_sync(c, r);
		if (code < 0) {
			dead = !r->alive;
			r->ran = false;
			direct_map_forget(r);
			if (code == -ESTALE)
				v = STRANGER;
			else
				v = LEAVE;
			break;
		}
		atomic_store(&c->direct.running, r);
		if (atomic_load(&c->pending) & ~PEND_DIRECT) {
			atomic_store(&c->direct.running, NULL);
			break;
		}
		c->direct.st.starts++;
		r->way.stops++;
		code = runner_go(r);
		atomic_store(&c->direct.running, NULL);
		if (code < 0) {
			dead = true;
			v = LEAVE;
			break;
		}
		if (r->error < 0) {
			direct_map_forget(r); /* and it did not go on */
			v = LEAVE;
			break;
		}
		if (unlikely(r->strayed)) {
			/* Its registers are lost: as a process that was seen to overrun something, it ends. */
			c->direct.st.exit[DX_GP]++;
			soft_raise(c, EXC_GP, 0);
		}
		v = stopped(c, r);
		if (v == GO_ON && ((r->uc->uc_mcontext.gregs[REG_EFL] & LOST_FLAGS) ||
				   (u16)r->uc->uc_mcontext.gregs[REG_CSGSFS] != USER_CS ||
				   !soft_canonical((u64)r->uc->uc_mcontext.gregs[REG_RIP])))
			v = LEAVE;
	} while (v == GO_ON && !(atomic_load(&c->pending) & ~PEND_DIRECT));
	if (unlikely(dead)) {
		c->direct.st.exit[DX_LOST]++;
		direct_map_lost(c, r);
		give_back(c, r);
		spare(c, c->vm->direct.always ? 0 : DIRECT_NEVER);
		/* What its registers were nobody knows: the process inside has to go, as it would after a machine
		 * check. */
		if (r->ran)
			soft_raise(c, EXC_GP, 0);
	}
	get(c, r);
	return v;
}

bool direct_run(struct soft_cpu *c)
{
	struct runner *r = c->direct.now;
	bool always = c->vm->direct.always;

	if (!r && always && c->vm->direct.n) {
		let_in(c);
		r = c->direct.now;
	}
	if (!r || !possible(c)) {
		spare(c, r || always ? 0 : DIRECT_NEVER);
		return false;
	}
	if (!r->resumes) {
		u32 n = r->way.direct ? 1 : (u32)(c->direct.spare_from - c->direct.spare);
		enum direct_choice how = direct_choose(c, r, n, awake_ns(c));
		if (how == CHOICE_BAR) {
			c->direct.st.barred++;
			give_back(c, r);
			spare(c, DIRECT_NEVER);
			return false;
		}
		if (how != CHOICE_DIRECT && !always) {
			spare(c, r->way.leg);
			return false;
		}
	}
	spare(c, 0);
	u64 from = clock_mono_ns();
	enum verdict v = go(c, r);
	r->used_ns = clock_mono_ns();
	c->direct.st.ns += r->used_ns - from;
	/* Where nothing comes of what is pending, on with it. */
	r->resumes = v == GO_ON;
	if (v == GO_ON)
		atomic_fetch_or_explicit(&c->pending, PEND_DIRECT, memory_order_relaxed);
	if (v == STRANGER) {
		give_back(c, r);
		spare(c, always ? 0 : DIRECT_NEVER);
	}
	if (v == TRAPPED)
		soft_raise_db(c, 0x4000, true);
	return true;
}

void direct_saw_host(struct soft_cpu *c)
{
	struct mmu_user u;

	if (c->cpl != 3 || !c->vm->direct.n || !(c->efer & EFER_LMA) || c->rip >> 47)
		return;
	mmu_user_look(c, c->rip & PAGE_MASK, 1, &u);
	if (u.rights)
		__atomic_store_n(&c->vm->direct.shown[u.page % ARRAY_LEN(c->vm->direct.shown)], u.page + 1,
				 __ATOMIC_RELAXED);
}

void direct_kick(struct soft_cpu *c)
{
	struct runner *r = atomic_load(&c->direct.running);

	if (unlikely(r))
		runner_signal(r, SIGUSR1);
}

/* ---- beginning and end ---- */

void direct_init(struct soft_vm *vm)
{
	struct direct *d = &vm->direct;
	unsigned want = MIN(vm->ncpus * 2, (unsigned)DIRECT_MAX);

	d->always = vm->options.direct == SOFT_DIRECT_ALWAYS;
	if (vm->options.direct == SOFT_DIRECT_OFF || vm->options.check || !vm->jit) {
		d->why = "off";
		return;
	}
	d->vec_ok = VEC_OK_X87 | VEC_OK_SSE;
	if (cpu_model_cpuid(vm->model, 0, 1, 0).ecx >> 28 & 1)
		d->vec_ok |= VEC_OK_AVX;
	pthread_mutex_init(&d->lock, NULL);
	if (!direct_code_init(vm)) {
		d->why = "no memory";
		return;
	}
	for (; d->n < want; d->n++) {
		struct runner *r = runner_new(vm->ram->memfd, &d->why);
		if (!r)
			break;
		r->map = direct_map_new();
		if (!r->map) {
			d->why = "no memory";
			runner_free(r);
			break;
		}
		d->r[d->n] = r;
	}
	if (d->n) {
		direct_zygote_new(&d->zygote, vm->ram->memfd);
		d->host = d->r[0]->host;
		/* Else the host's kernel sets them, and none of its own half. */
		d->base_end = d->host.fsgsbase ? 0 : USER_TOP;
	}
	for (unsigned i = 0; d->n && i < vm->ncpus; i++) {
		vm->cpu[i]->direct.now = NULL;
		spare(vm->cpu[i], d->always ? 0 : DIRECT_NEVER);
	}
}

void direct_fini(struct soft_vm *vm)
{
	struct direct *d = &vm->direct;

	for (unsigned i = 0; i < d->n; i++) {
		direct_map_free(d->r[i]->map);
		runner_free(d->r[i]);
	}
	if (d->n)
		direct_zygote_free(&d->zygote);
	d->n = 0;
	direct_code_fini(vm);
}
