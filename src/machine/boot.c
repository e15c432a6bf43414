/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot.c - machine_boot(): what firmware does on a PC, and then the kernel. */
#include "machine/machine.h"

#include "machine/acpi.h"
#include "machine/boot.h"
#include "machine/pci.h"

int machine_boot(struct machine *m, const struct boot_params *p, struct cpu_state *state, struct err *e)
{
	struct ram *ram = machine_ram(m);
	int rc = pci_bus_assign(machine_pci(m));

	if (rc < 0)
		return err_set(e, -rc, "the PCI devices need more address space than the 32-bit window has");
	rc = acpi_write_tables(ram, machine_ncpus(m), e);
	return rc < 0 ? rc : boot_load(ram, p, state, e);
}

void machine_boot_other(struct cpu_state *state)
{
	state->mtrr_def_type = BOOT_MTRR_DEF_TYPE;
}
