/* SPDX-License-Identifier: GPL-2.0-or-later */
/* direct_zygote.h - runners in the place of dead ones. Inside of direct/; see direct_zygote.c. */
#ifndef MICA_SOFT_DIRECT_ZYGOTE_H
#define MICA_SOFT_DIRECT_ZYGOTE_H

#include "cpu/soft/direct/direct_runner.h"

/* A process that makes runners, as we cannot behind the system-call filter. */
void direct_zygote_new(struct direct_zygote *z, int ram_fd);
void direct_zygote_free(struct direct_zygote *z);
/* There is a dead runner, that nobody uses: in a while, and not too often, it is alive again. Returns at once. */
void direct_zygote_renew(struct direct_zygote *z, struct runner *dead, u64 now_ns);

#endif
