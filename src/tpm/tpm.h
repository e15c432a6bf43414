/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tpm.h - a TPM 2.0 for one VM: swtpm, a program of Debian's (package swtpm), which keeps its state in a folder.
 *
 * mica-vmm starts it before it locks itself in, with two connected sockets (swtpm_ioctls(3)):
 *   data     a command of the guest's goes there, its response comes back; one at a time, each with its length in it
 *   control  32 bits of a command and its arguments go there, 32 bits of a result and more come back, all big-endian;
 *            nothing is answered while a command of the guest's is under way
 * swtpm ends when the data socket closes. It reads what a guest sends, in a system-call filter of its own; mica-vmm
 * believes nothing of what it answers.
 */
#ifndef MICA_TPM_H
#define MICA_TPM_H

#include "base/err.h"

#define TPM_BUFFER_BYTES 4096u /* the longest command and response */
#define TPM_HEADER_BYTES 10u   /* tag 2, length 4, code 4 */

/* Is it a folder, or could one be made there? */
int tpm_check(const char *folder, struct err *e);
/* Start swtpm. The folder is made where there is none. */
int tpm_start(const char *folder, int *data, int *control, struct err *e);

#endif
