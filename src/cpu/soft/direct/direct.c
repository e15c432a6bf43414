/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct.c - direct execution: a stay in the runner, what its stops mean, beginning and end. See direct.h. */
#include "cpu/soft/direct/direct.h"

#include "base/clock.h"
#include "cpu/soft/direct/direct_code.h"
#include "cpu/soft/direct/direct_flat.h"
#include "cpu/soft/direct/direct_map.h"
#include "cpu/soft/direct/direct_regs.h"
#include "cpu/soft/direct/direct_who.h"
#include "cpu/soft/direct/direct_zygote.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/raise.h"

#include <sys/mman.h>

enum verdict {
	GO_ON,    /* continue in the runner */
	LEAVE,    /* continue in translated code */
	TRAPPED,  /* the same, after a #DB */
	DEAR,     /* the same: its stops take more than it gains */
	STRANGER, /* the same: the page tables belong to another process than the runner's */
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

/* RDTSC, RDTSCP: frequent, so they are done here and not in translated code. */
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
			/* INTO, INT 4 */
			g[REG_RIP] -= r->code32 && byte_at(c, (u64)g[REG_RIP] - 1) == 0xce ? 1 : 2;
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

/* r has stopped, for something that is no kick, and could go on. Should it not? It had so many pages before. */
static bool dear(struct soft_cpu *c, struct runner *r, u32 pages)
{
	enum pace_why why = PACE_PLAIN;

	if (c->vm->direct.always || r->si->si_signo == SIGUSR1)
		return false;
	if (r->uc->uc_mcontext.gregs[REG_TRAPNO] == TRAP_PF)
		why = direct_map_pages(r) > pages ? PACE_GREW : PACE_CHANGED;
	return pace_stop(&r->pace, why) &&
	       pace_look(&r->pace, &c->vm->direct.price, runner_cpu_ns(r), clock_thread_ns());
}

/* Start the runner, and handle its stops until one needs translated code. */
static enum verdict go(struct soft_cpu *c, struct runner *r)
{
	enum verdict v = GO_ON;
	bool dead = false;

	r->ran = false;
	pace_enter(&r->pace);
	direct_regs_put(c, r);
	if (unlikely(r->code32 != r->map_code32)) {
		direct_map_forget(r);
		r->map_code32 = r->code32;
	}
	if (r->fault.waits) {
		/* The access that faulted will be made again, and the guest has provided the page meanwhile: map it
		 * now. */
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
			direct_map_forget(r); /* no guest code was executed */
			v = LEAVE;
			break;
		}
		if (unlikely(r->code32 && !r->strayed && !direct_flat_kept(c, r))) {
			memset(r->uc->uc_mcontext.gregs, 0, sizeof(gregset_t));
			r->strayed = true;
		}
		if (unlikely(r->strayed)) {
			/* Guest code jumped into our page, or to where it has no segments, and its registers are lost.
			 * The process gets #GP. */
			c->direct.st.exit[DX_GP]++;
			soft_raise(c, EXC_GP, 0);
		}
		u32 pages = direct_map_pages(r);
		v = stopped(c, r);
		if (unlikely(r->strayed))
			v = LEAVE;
		if (v == GO_ON && ((r->uc->uc_mcontext.gregs[REG_EFL] & LOST_FLAGS) ||
				   (u16)r->uc->uc_mcontext.gregs[REG_CSGSFS] != (r->code32 ? USER_CS32 : USER_CS) ||
				   !soft_canonical((u64)r->uc->uc_mcontext.gregs[REG_RIP])))
			v = LEAVE;
		if (v == GO_ON && unlikely(dear(c, r, pages)))
			v = DEAR;
	} while (v == GO_ON && !(atomic_load(&c->pending) & ~PEND_DIRECT));
	if (r->pace.staying)
		pace_leave(&r->pace, clock_thread_ns());
	if (unlikely(dead)) {
		c->direct.st.exit[DX_LOST]++;
		direct_map_lost(c, r);
		direct_give_back(c, r);
		direct_spare(c, c->vm->direct.always ? 0 : DIRECT_NEVER);
		/* Guest code may have been executed, so the vCPU's registers are out of date, and the right ones are
		 * lost. The process gets #GP. */
		if (r->ran)
			soft_raise(c, EXC_GP, 0);
	}
	direct_regs_get(c, r);
	return v;
}

bool direct_run(struct soft_cpu *c)
{
	struct runner *r = c->direct.now;
	bool always = c->vm->direct.always;

	if (!r && always && c->vm->direct.n) {
		direct_let_in(c);
		r = c->direct.now;
	}
	if (!r || !direct_possible(c)) {
		direct_spare(c, r || always ? 0 : DIRECT_NEVER);
		return false;
	}
	if (!r->resumes) {
		u32 n = r->way.direct ? 1 : (u32)(c->direct.spare_from - c->direct.spare);
		enum direct_choice how = direct_choose(c, r, n, direct_awake_ns(c));
		if (how == CHOICE_BAR) {
			direct_bar(c, r);
			return false;
		}
		if (how != CHOICE_DIRECT && !always) {
			direct_spare(c, r->way.leg);
			return false;
		}
	}
	direct_spare(c, 0);
	u64 from = clock_mono_ns();
	enum verdict v = go(c, r);
	r->used_ns = clock_mono_ns();
	c->direct.st.ns += r->used_ns - from;
	/* It stopped for something pending. If nothing comes of that, it is started again. */
	r->resumes = v == GO_ON;
	if (v == GO_ON)
		atomic_fetch_or_explicit(&c->pending, PEND_DIRECT, memory_order_relaxed);
	if (v == DEAR)
		direct_bar(c, r);
	if (v == STRANGER) {
		direct_give_back(c, r);
		direct_spare(c, always ? 0 : DIRECT_NEVER);
	}
	if (v == TRAPPED)
		soft_raise_db(c, 0x4000, true);
	return true;
}

void direct_saw_host(struct soft_cpu *c)
{
	struct mmu_user u;

	u64 at = soft_lin_rip(c);

	if (c->cpl != 3 || !c->vm->direct.n || at >> 47)
		return;
	mmu_user_look(c, at & PAGE_MASK, 1, &u);
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

/* Whole pages in it are not the zygote's: it has no use for them, and each would cost us a page fault. */
static void not_inherited(void *p, size_t bytes)
{
	uintptr_t from = ROUND_UP((uintptr_t)p, PAGE_BYTES), to = ((uintptr_t)p + bytes) & PAGE_MASK;

	if (to > from)
		madvise((void *)from, to - from, MADV_DONTFORK);
}

void direct_init(struct soft_vm *vm)
{
	struct direct *d = &vm->direct;
	unsigned want = MIN(vm->ncpus * 2, (unsigned)DIRECT_MAX);

	d->always = vm->options.direct == SOFT_DIRECT_ALWAYS;
	if (vm->options.direct == SOFT_DIRECT_OFF || vm->options.check || !vm->jit) {
		d->why = "off";
		return;
	}
	d->price = direct_price_guess;
	d->vec_ok = VEC_OK_X87 | VEC_OK_SSE;
	if (cpu_model_cpuid(vm->model, 0, 1, 0).ecx >> 28 & 1)
		d->vec_ok |= VEC_OK_AVX;
	pthread_mutex_init(&d->lock, NULL);
	if (!direct_code_init(vm)) {
		d->why = "no memory";
		return;
	}
	/* Without FSGSBASE the host's kernel sets the bases, and refuses addresses in its own half. */
	d->base_end = runner_host_fsgsbase() ? 0 : USER_TOP;
	for (unsigned i = 0; i < vm->ncpus; i++) {
		not_inherited(vm->cpu[i], sizeof(*vm->cpu[i]));
		not_inherited(vm->cpu[i]->tables, sizeof(*vm->cpu[i]->tables));
	}
	if (!direct_zygote_new(&d->zygote, vm->ram->memfd)) {
		d->why = runner_birth_text(BIRTH_NO_MEMORY);
		return;
	}
	for (; d->n < want; d->n++) {
		struct runner *r = runner_new(vm->ram->memfd);
		r->map = direct_map_new();
		/* Else its process is made when somebody is let in: most guests that are started for a short time never
		 * need it. */
		if (!r->map || (d->always && !direct_born(d, r, runner_make(r)))) {
			d->why = d->why ? d->why : runner_birth_text(BIRTH_NO_MEMORY);
			direct_map_free(r->map);
			runner_free(r);
			break;
		}
		d->r[d->n] = r;
	}
	for (unsigned i = 0; d->n && i < vm->ncpus; i++) {
		vm->cpu[i]->direct.now = NULL;
		direct_spare(vm->cpu[i], d->always ? 0 : DIRECT_NEVER);
	}
}

void direct_fini(struct soft_vm *vm)
{
	struct direct *d = &vm->direct;

	for (unsigned i = 0; i < d->n; i++) {
		direct_map_free(d->r[i]->map);
		runner_free(d->r[i]);
	}
	direct_zygote_free(&d->zygote);
	d->n = 0;
	direct_code_fini(vm);
}
