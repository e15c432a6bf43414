/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fpu.h - the guest's x87 and vector state on the host's units, as the rest of the engine sees it.
 */
#ifndef MICA_SOFT_FPU_H
#define MICA_SOFT_FPU_H

#include "cpu/soft/vm.h"

/* Take the host FPU for the guest on this thread, and give it back. Around soft_run(). */
void soft_fpu_enter(struct soft_cpu *c);
void soft_fpu_leave(struct soft_cpu *c);
void soft_fpu_reset(struct soft_cpu *c, bool init);
/* To and from the standard XSAVE form, only while not entered. */
void soft_fpu_get(struct soft_cpu *c, u8 area[1024]);
int soft_fpu_set(struct soft_cpu *c, const u8 area[1024]);
/* Per-VM tables (code stubs); also installs the process's SIGFPE handler. Before seccomp: all
 * executable memory the engine's vector part ever needs is mapped here. After vm->cpu[] is filled. */
int soft_vec_init(struct soft_vm *vm, struct err *e);
void soft_vec_fini(struct soft_vm *vm);

#endif
