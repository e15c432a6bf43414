/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory.h - which guest physical addresses are memory on this board, and what kind.
 *
 *   00000000 - 000effff   RAM. a0000 - bffff, where VGA is, are plain RAM as long as the board has no screen;
 *                         with one they are its chip's (memory_open_screen_hole()). c0000 - dffff are plain RAM
 *                         as well. The memory map gives these to nobody (boot_mem_map()). The ACPI tables are from
 *                         e0000 on, with a lock in them that guests write.
 *   000f0000 - 000fffff   ROM, where a PC has its BIOS (rom.h)
 *   00100000 - bfffffff   RAM, as much as there is
 *   c0000000 - ffffffff   devices (layout.h), and nothing
 *  100000000 - ...        RAM that did not find room below
 *
 * The main RAM of the file (base/ram.h) lies in this order, without the hole: what is seen at f0000 is its page f0, and
 * where the ROM is written (rom_write()) is a piece of RAM that is shown read-only. So the place of a byte in a saved
 * state does not depend on what the board makes of its address.
 *
 * Others change this table by ram.h's edits: a firmware has its flash below 4 GiB, a screen its memory; a module of
 * memory is one extent more.
 */
#ifndef MICA_MACHINE_MEMORY_H
#define MICA_MACHINE_MEMORY_H

#include "base/ram.h"
#include "machine/layout.h"

/* What a VM's file has room for beside main RAM (ram_take()): firmware, option ROMs, video memory. */
#define MEMORY_ROOM (64 * MIB)

/* Lay out r's main RAM. No vCPU runs. */
int memory_lay_out(struct ram *r, struct err *e);
/*
 * The same for a machine with firmware (firmware.h), as a PC has it:
 *   00000000 - 0009ffff   RAM
 *   000a0000 - 000bffff   a screen's, if there is one
 *   000c0000 - 000fffff   as the host bridge's PAM registers say (pam.h)
 *   00100000 - 7fffffff   RAM, as much as there is
 *   80000000 - ffffffff   devices, and at the end the ROM
 *  100000000 - ...        the rest of RAM
 */
int memory_lay_out_pc(struct ram *r, struct err *e);
static inline gpa_t memory_pc_low_end(const struct ram *r)
{
	return MIN(r->bytes, LAYOUT_FW_RAM_LOW_MAX);
}

/* A screen is there: its chip answers at a0000 - bffff, not RAM. No vCPU runs; in force with ram_commit(). */
void memory_open_screen_hole(struct ram *r);

/* Where RAM below the hole ends, and how much lies above 4 GiB. */
static inline gpa_t memory_low_end(const struct ram *r)
{
	return MIN(r->bytes, LAYOUT_RAM_LOW_MAX);
}
static inline u64 memory_high_bytes(const struct ram *r)
{
	return r->bytes - memory_low_end(r);
}

#endif
