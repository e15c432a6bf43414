/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory.c - see memory.h. */
#include "machine/memory.h"

_Static_assert(LAYOUT_RAM_LOW_MAX <= LAYOUT_PCI_MMIO, "RAM ends where the 32-bit BARs begin");

/* An extent of main RAM from `off` on, up to `end`, or to where RAM ends. */
static int add(struct ram *r, const char *name, gpa_t gpa, u64 off, u64 end, bool readonly, struct err *e)
{
	struct ram_extent x = { .name = name, .gpa = gpa, .off = off, .readonly = readonly };

	x.bytes = MIN(end, r->bytes) - MIN(off, r->bytes);
	int id = x.bytes ? ram_add(r, &x, e) : 0;

	return id < 0 ? id : 0;
}

static void clear(struct ram *r)
{
	for (int id = 0; id < RAM_EXTENTS_MAX; id++)
		if (r->now[id].bytes)
			ram_remove(r, id);
}

int memory_lay_out_pc(struct ram *r, struct err *e)
{
	gpa_t low = memory_pc_low_end(r);
	int rc;

	clear(r);
	if ((rc = add(r, "RAM below 640 KiB", 0, 0, LAYOUT_FW_VGA, false, e)) < 0 ||
	    (rc = add(r, "RAM", MIB, MIB, low, false, e)) < 0 ||
	    (rc = add(r, "RAM above 4 GiB", LAYOUT_RAM_HIGH, low, UINT64_MAX, false, e)) < 0)
		return rc;
	return ram_commit(r, e);
}

int memory_lay_out(struct ram *r, struct err *e)
{
	gpa_t low = memory_low_end(r);
	int rc;

	clear(r);
	if ((rc = add(r, "RAM below 640 KiB", 0, 0, LAYOUT_VGA, false, e)) < 0 ||
	    (rc = add(r, "RAM in the screen's hole", LAYOUT_VGA, LAYOUT_VGA, LAYOUT_VGA_END, false, e)) < 0 ||
	    (rc = add(r, "RAM below the BIOS", LAYOUT_VGA_END, LAYOUT_VGA_END, LAYOUT_ROM, false, e)) < 0 ||
	    (rc = add(r, "BIOS ROM", LAYOUT_ROM, LAYOUT_ROM, LAYOUT_ROM_END, true, e)) < 0 ||
	    (rc = add(r, "RAM", LAYOUT_ROM_END, LAYOUT_ROM_END, low, false, e)) < 0 ||
	    (rc = add(r, "RAM above 4 GiB", LAYOUT_RAM_HIGH, low, UINT64_MAX, false, e)) < 0)
		return rc;
	return ram_commit(r, e);
}

void memory_open_screen_hole(struct ram *r)
{
	for (int id = 0; id < RAM_EXTENTS_MAX; id++)
		if (r->now[id].bytes && r->now[id].gpa == LAYOUT_VGA)
			ram_remove(r, id);
}
