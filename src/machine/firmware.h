/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * firmware.h - a machine that starts at the processor's reset vector, as a PC does: the ROM, and what firmware expects
 * to find. Unmodified images are run, SeaBIOS and OVMF; they recognise the board by the host bridge's PCI numbers.
 *
 *   ROM         ends at 4 GiB; its last 128 KiB are also below 1 MiB, until PAM says otherwise (pam.h)
 *   flash       right below it, if there are variables to keep (flash.h)
 *   fw_cfg      number of CPUs, memory map, ACPI tables with instructions where to put them (fw_cfg.h)
 *   CMOS        the size of memory, as older firmware and guests ask for it
 *   LPC bridge  PMBASE: the ACPI registers are where firmware puts them on this board (lpc.h)
 */
#ifndef MICA_FIRMWARE_H
#define MICA_FIRMWARE_H

#include "machine/machine.h"

struct firmware;

/* m has its bus, PCI, LPC bridge and RTC. */
int firmware_new(struct firmware **out, struct machine *m, const struct firmware_image *image, struct err *e);
void firmware_free(struct firmware *f); /* before its chips */
/* machine_use(): the tables tell of something else, and their lengths too. Before the machine runs. */
void firmware_parts_changed(struct firmware *f);
/* Power-on; after the board's other chips. ram_commit() is the caller's. */
void firmware_reset(struct firmware *f);
/* Save or load its sections; loading comes after PCI configuration space. */
int firmware_state(struct firmware *f, struct state_file *s, struct err *e);
struct fw_cfg *firmware_fw_cfg(struct firmware *f);

#endif
