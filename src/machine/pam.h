/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pam.h - the registers of the host bridge that firmware programs (Intel 3 Series Express Chipset Family data sheet,
 * "DRAM controller registers"). A machine without firmware has none of them.
 *
 * (and 440FX data sheet, 82441FX, 3.2.18, which has no PCIEXBAR, and PAM0-PAM6 at 59H-5FH).
 *
 *   PAM0-PAM6 (90H-96H)   what is at c0000-fffff: the ROM or RAM, to read and to write apart, in twelve pieces of
 *                         16 KiB and one of 64
 *   PCIEXBAR (60H)        where ECAM is, and whether
 *
 * Behind e0000-fffff is the ROM's last 128 KiB, behind the rest of it nothing. So code starts in the ROM, copies itself
 * to RAM and write-protects that.
 */
#ifndef MICA_PAM_H
#define MICA_PAM_H

#include "base/err.h"
#include "base/ram.h"

struct pam;
struct pci_bus;

#define PAM_ROM_BYTES 0x20000u
#define PAM_ECAM_BYTES (256 * MIB) /* of 256 buses */

/* rom_off: of those 128 KiB in the RAM's file. */
int pam_new(struct pam **out, struct pci_bus *pci, struct ram *ram, u64 rom_off, struct err *e);
void pam_free(struct pam *p); /* before pci_bus_free() */
/* Power-on: all ROM, no ECAM. ram_commit() is the caller's. */
void pam_reset(struct pam *p);
/* Config space was loaded from a saved state; the same. */
void pam_loaded(struct pam *p);
/* Where ECAM is; 0: nowhere. Any thread. */
u64 pam_ecam(struct pam *p);

#endif
