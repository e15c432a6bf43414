/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_ops.h - the handlers of system instructions, as the decoder names them. */
#ifndef MICA_SOFT_SYS_OPS_H
#define MICA_SOFT_SYS_OPS_H

#include "cpu/soft/uop.h"

uop_fn sys_iret;
uop_fn sys_jmp_far_ptr, sys_jmp_far_mem, sys_call_far_ptr, sys_call_far_mem, sys_ret_far;
uop_fn sys_mov_from_sreg, sys_mov_to_sreg, sys_push_sreg, sys_pop_sreg, sys_lxs, sys_lldt, sys_ltr, sys_sldt, sys_str,
    sys_lgdt, sys_lidt, sys_sgdt, sys_sidt, sys_lar, sys_lsl, sys_verr, sys_verw, sys_arpl;
uop_fn sys_mov_from_cr, sys_mov_to_cr, sys_clts, sys_lmsw, sys_smsw, sys_mov_from_dr, sys_mov_to_dr, sys_invlpg,
    sys_invpcid, sys_wbinvd, sys_swapgs, sys_rdbase, sys_wrbase, sys_rdpid, sys_stac, sys_clac, sys_xgetbv, sys_xsetbv;
uop_fn sys_hlt, sys_cli, sys_sti, sys_pushf, sys_popf, sys_cpuid, sys_rdtsc, sys_rdtscp, sys_rdpmc, sys_rdmsr,
    sys_wrmsr, sys_hypercall;
uop_fn sys_syscall, sys_sysret, sys_sysenter, sys_sysexit;
uop_fn sys_int, sys_int3, sys_into, sys_int1, sys_bound, sys_enter;
uop_fn sys_in, sys_out, sys_ins, sys_outs;

#endif
