/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_zygote.h - runners made while the VM runs. Inside of direct/; see direct_zygote.c. */
#ifndef MICA_SOFT_DIRECT_ZYGOTE_H
#define MICA_SOFT_DIRECT_ZYGOTE_H

#include "cpu/soft/direct/direct_runner.h"

/* A process that makes runners, as we cannot behind the system-call filter. False: it could not be made. */
bool direct_zygote_new(struct direct_zygote *z, int ram_fd);
void direct_zygote_free(struct direct_zygote *z);
/* There is a dead runner, that nobody uses: in a while, and not too often, it is alive. Returns at once, what became of
 * it in *how, or false: nothing yet. */
bool direct_zygote_renew(struct direct_zygote *z, struct runner *dead, u64 now_ns, enum birth *how);
/* It is asked for no more. */
void direct_zygote_stop(struct direct_zygote *z);

#endif
