/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot.c - machine_boot(): what firmware does on a PC, and then the kernel. */
#include "machine/machine.h"

#include "machine/boot.h"

int machine_boot(struct machine *m, const struct boot_params *p, struct cpu_state *state, struct err *e)
{
	int rc = machine_firmware(m, e);

	return rc < 0 ? rc : boot_load(machine_ram(m), p, state, e);
}

void machine_boot_other(struct cpu_state *state)
{
	state->mtrr_def_type = BOOT_MTRR_DEF_TYPE;
}
