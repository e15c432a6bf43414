/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vec_sig.h - unmasked floating-point exceptions of the guest; see vec_sig.c. */
#ifndef MICA_SOFT_VEC_SIG_H
#define MICA_SOFT_VEC_SIG_H

struct soft_cpu;

void soft_vec_signal_init(void);
extern __thread struct soft_cpu *vec_current; /* the vCPU whose FPU state is live here */

#endif
