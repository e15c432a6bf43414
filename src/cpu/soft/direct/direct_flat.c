/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * direct_flat.c - code of 32 bits: which segments a runner can give it.
 *
 * A runner executes it in the host's own flat segments (USER_CS32, USER_SS), whatever the guest calls its. So segments
 * must reach over all of the 4 GiB; code, stack, DS and ES from 0 on. FS and GS, which programs have their thread's
 * data by, may begin anywhere: their bases are set as in 64-bit code, with FSGSBASE. A null selector is one there, too.
 *
 * The selectors in a runner are not the guest's, then, and what they name is not what the guest's tables say. So pages
 * with instructions that read or load segment registers are not executed directly (direct_scan32.c), and a stay changes
 * none. Should one have been changed all the same, by an instruction that was hidden, then nobody can say what the
 * guest would have got: the process gets #GP, as for a jump into our page.
 *
 * 64-bit code that reaches the host's 32-bit segment by a far jump has not been let in here: direct_regs.c.
 *
 * Hosts: some have no such segments (a host that is a guest without hardware virtualization). LAR tells which; then a
 * runner proves it, with nothing mapped, by the page fault that its first instruction is.
 */
#include "cpu/soft/direct/direct_flat.h"

#include "cpu/soft/direct/direct_map.h"
#include "cpu/soft/direct/direct_who.h"

static const u8 name[4] = { [RUNNER_ES] = SEG_ES, [RUNNER_DS] = SEG_DS, [RUNNER_FS] = SEG_FS, [RUNNER_GS] = SEG_GS };

/* Access rights as in a descriptor's upper half, and the limit, of a selector; false: there is no such segment. */
static bool host_segment(u32 sel, u32 *ar, u32 *limit)
{
	bool ok, has_limit;

	__asm__("lar %3, %0\n\tsetz %2" : "=&r"(*ar), "+&r"(sel), "=&q"(ok) : "r"(sel) : "cc");
	__asm__("lsl %3, %0\n\tsetz %2" : "=&r"(*limit), "+&r"(sel), "=&q"(has_limit) : "r"(sel) : "cc");
	return ok && has_limit;
}

/* Present, of ring 3, 4 GiB of 32 bits, not of 64; code that can be read, or data that can be written. */
static bool host_has_segments(void)
{
	u32 ar, limit;

	if (!host_segment(USER_CS32, &ar, &limit) || (ar & 0xe0fa00) != 0xc0fa00 || limit != UINT32_MAX)
		return false;
	return host_segment(USER_SS, &ar, &limit) && (ar & 0xc0fe00) == 0xc0f200 && limit == UINT32_MAX;
}

#define PROOF 0x12345000u

/* Nothing is mapped in r. */
static bool prove(struct soft_cpu *c, struct runner *r)
{
	greg_t *g = r->uc->uc_mcontext.gregs;
	bool ok = false;

	runner_wipe(r);
	direct_map_forget(r);
	r->code32 = true;
	for (unsigned i = 0; i < 4; i++)
		r->load[i] = USER_SS;
	r->gs_base = PROOF;
	g[REG_RIP] = g[REG_RSP] = PROOF;
	g[REG_EFL] = FL_IF | 2;
	st_le32(r->fp + RUNNER_FP_MXCSR, 0x1f80);
	if (direct_map_sync(c, r) == 0 && runner_go(r) == 0 && !r->error) {
		ok = r->si->si_signo == SIGSEGV && g[REG_TRAPNO] == EXC_PF && g[REG_CR2] == PROOF &&
		     g[REG_RIP] == PROOF && (u16)g[REG_CSGSFS] == USER_CS32 && r->gs_base == PROOF;
		for (unsigned i = 0; i < 4; i++)
			ok &= r->sel[i] == USER_SS;
	}
	if (r->alive)
		runner_wipe(r);
	else
		direct_map_lost(c, r);
	return ok;
}

void direct_flat_ask(struct soft_cpu *c)
{
	struct direct *d = &c->vm->direct;

	if (likely(atomic_load_explicit(&d->code32, memory_order_relaxed)) || (c->mode & MODE_CODE64))
		return;
	pthread_mutex_lock(&d->lock);
	if (d->code32 == CODE32_UNKNOWN) {
		bool fsgsbase = runner_host_fsgsbase(), may = fsgsbase && host_has_segments();
		struct runner *r = may ? direct_free_runner(d) : NULL;
		d->why32 = fsgsbase ? "the host has no segments for it" : "the host has no FSGSBASE";
		/* All are in use, or have no process yet: another time. */
		if (!may)
			d->code32 = CODE32_NO;
		else if (r)
			d->code32 = prove(c, r) ? CODE32_YES : CODE32_NO;
	}
	pthread_mutex_unlock(&d->lock);
}

static bool is_null(const struct cpu_seg *s)
{
	return !(s->sel & ~3u) || (s->ar & SEG_AR_UNUSABLE);
}

bool direct_flat_possible(const struct soft_cpu *c)
{
	const struct cpu_seg *cs = &c->seg[SEG_CS];
	const u64 all = 1ull << 32;

	if (atomic_load_explicit(&c->vm->direct.code32, memory_order_relaxed) != CODE32_YES)
		return false;
	/* ES, CS, SS and DS; code of 32 bits. */
	if ((c->mode & (MODE_PE | MODE_FLAT | MODE_SS32 | MODE_VM86)) != (MODE_PE | MODE_FLAT | MODE_SS32) ||
	    c->rip >> 32 || (cs->ar & SEG_AR_L))
		return false;
	for (unsigned i = SEG_FS; i <= SEG_GS; i++)
		if (!is_null(&c->seg[i]) && (c->seg_end[1][i] != all || c->seg[i].base >> 32))
			return false;
	return true;
}

void direct_flat_put(const struct soft_cpu *c, struct runner *r)
{
	r->uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(u32)c->gpr[GPR_RSP];
	for (unsigned i = 0; i < 4; i++)
		r->load[i] = is_null(&c->seg[name[i]]) ? 0 : USER_SS;
	if (!r->load[RUNNER_FS])
		r->fs_base = 0;
	if (!r->load[RUNNER_GS])
		r->gs_base = 0;
}

bool direct_flat_kept(const struct soft_cpu *c, const struct runner *r)
{
	const greg_t *g = r->uc->uc_mcontext.gregs;

	if ((u16)g[REG_CSGSFS] != USER_CS32 || (u64)g[REG_RIP] >> 32)
		return false;
	/* What has the guest's own value again was loaded with that: the guest's descriptor has not changed. */
	for (unsigned i = 0; i < 4; i++)
		if (r->sel[i] != r->load[i] && r->sel[i] != c->seg[name[i]].sel)
			return false;
	return true;
}
