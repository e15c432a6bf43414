/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hooks.c - who hears of what happens in the lower rooms. */
#include "cpu/soft/run/hooks.h"

#include "cpu/soft/direct/direct.h"
#include "cpu/soft/jit/jit.h"
#include "cpu/soft/memory/mmu.h"
#include "cpu/soft/run/fetch.h"

static void space_forgotten(struct soft_cpu *c, unsigned space)
{
	direct_flush(c, space);
	jit_forget_space(c, space);
	if (space == c->space) {
		jit_flush(c, TLB_USER);
		jit_flush(c, TLB_SUPER_AC);
	}
}

static void space_page_forgotten(struct soft_cpu *c, unsigned space, gva_t lin, unsigned user_shift, unsigned ac_shift)
{
	jit_flush_page(c, space, TLB_USER, lin, user_shift);
	if (unlikely(c->direct.of[space]))
		direct_flush_page(c, space, lin);
	jit_flush_page(c, space, TLB_SUPER_AC, lin, ac_shift);
}

static void super_forgotten(struct soft_cpu *c)
{
	jit_flush(c, TLB_SUPER);
}

static void super_page_forgotten(struct soft_cpu *c, gva_t lin, unsigned shift)
{
	jit_flush_page(c, c->space, TLB_SUPER, lin, shift);
	/* All the supervisor's code is fetched by way of TLB_SUPER. */
	if (unlikely(shift != PAGE_SHIFT))
		jit_flush_ac_jumps(c, lin, shift);
}

static void switched(struct soft_cpu *c, bool other)
{
	if (other)
		jit_switch(c);
	direct_switched(c);
}

static void protect(struct soft_cpu *c, u64 page)
{
	jit_protect(c, page == UINT64_MAX ? 0 : (u64)(uintptr_t)c->ram->host + (page << PAGE_SHIFT));
	direct_protect(c, page);
}

const struct soft_hooks run_hooks = {
	.leave = run_leave,
	.link = run_link,
	.saw_host = direct_saw_host,
	.vec_out = jit_vec_out,
	.space_forgotten = space_forgotten,
	.space_page_forgotten = space_page_forgotten,
	.super_forgotten = super_forgotten,
	.super_page_forgotten = super_page_forgotten,
	.switched = switched,
	.protect = protect,
	.ref_page = jit_check_page,
	.ref_view = jit_check_view,
	.ref_gives_up = jit_check_no_effects,
	.moved = mmu_forget_moved,
	.kick = direct_kick,
	.killed = jit_kill,
	.guarded_written = direct_code_written,
	.fault_landing = jit_fault_landing,
	.block_at = fetch_block,
};
