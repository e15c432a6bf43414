/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acpi_pm.h - ACPI fixed hardware: PM1a event and control, PM timer, GPE0 (ACPI 6.4, 4.8).
 *
 * Threads: any.
 */
#ifndef MICA_ACPI_PM_H
#define MICA_ACPI_PM_H

#include "base/loop.h"
#include "machine/bus.h"

#define ACPI_PM_HZ 3579545

struct acpi_pm;

struct acpi_pm_config {
	struct irq_line sci;
	struct loop *loop;   /* NULL in tests: the timer's carry does not interrupt by itself */
	u64 (*now_ns)(void); /* monotonic; clock_mono_ns */
	bool timer_32bit;    /* else 24 bits: FADT's TMR_VAL_EXT says the same */
	/* The guest wrote SLP_EN with S5's type. Called with no lock held. */
	void (*poweroff)(void *opaque);
	void *opaque;
};

/* Maps LAYOUT_ACPI_PM. */
int acpi_pm_new(struct acpi_pm **out, struct bus *bus, const struct acpi_pm_config *cfg);
void acpi_pm_free(struct acpi_pm *a);
void acpi_pm_reset(struct acpi_pm *a);
void acpi_pm_power_button(struct acpi_pm *a);
/* Raise general-purpose event n (0-31); the guest clears it. */
void acpi_pm_gpe(struct acpi_pm *a, unsigned n);

/* Save or load; no vCPU runs. */
struct state_file;
void acpi_pm_state(struct acpi_pm *a, struct state_file *s);

#endif
