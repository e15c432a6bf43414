/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_rig.h - a PCI bus for tests: what functions send is remembered, and config space is reached as a guest reaches
 * it, through ports.
 */
#ifndef MICA_TEST_PCI_RIG_H
#define MICA_TEST_PCI_RIG_H

#include "machine/board_kind.h"
#include "machine/bus.h"
#include "machine/layout.h"
#include "machine/pci.h"

struct pci_rig {
	struct bus *bus;
	struct pci_bus *pci;
	unsigned nmsi, nwire; /* messages; changes of wires */
	u64 msi_addr;         /* the last one's */
	u32 msi_data;
	unsigned wire_gsi;
	bool wire_level;
	/* optional: told of each change of a wire as well */
	void (*on_wire)(void *opaque, unsigned gsi, bool level);
	void *opaque;
};

static inline void pci_rig_msi(void *opaque, u64 addr, u32 data)
{
	struct pci_rig *r = opaque;

	r->nmsi++;
	r->msi_addr = addr;
	r->msi_data = data;
}

static inline void pci_rig_wire(void *opaque, unsigned gsi, bool level)
{
	struct pci_rig *r = opaque;

	r->nwire++;
	r->wire_gsi = gsi;
	r->wire_level = level;
	if (r->on_wire)
		r->on_wire(r->opaque, gsi, level);
}

static inline void pci_rig_up_on(struct pci_rig *r, enum machine_kind kind)
{
	struct msi_target msi = { .send = pci_rig_msi, .opaque = r };

	memset(r, 0, sizeof(*r));
	r->bus = bus_new();
	r->pci = pci_bus_new(board_kind(kind), r->bus, &msi, pci_rig_wire, r);
}

static inline void pci_rig_up(struct pci_rig *r)
{
	pci_rig_up_on(r, MACHINE_Q35);
}

static inline void pci_rig_down(struct pci_rig *r)
{
	pci_bus_free(r->pci);
	bus_free(r->bus);
}

/* ---- as a guest; of any bus ---- */

static inline void cfg_select(struct bus *b, unsigned slot, unsigned reg)
{
	bus_pio_write(b, LAYOUT_PCI_CFG, 4, 0x80000000u | slot << 11 | (reg & 0xfcu));
}

static inline u32 cfg_get(struct bus *b, unsigned slot, unsigned reg, unsigned bytes)
{
	cfg_select(b, slot, reg);
	return bus_pio_read(b, (u16)(LAYOUT_PCI_CFG + 4 + (reg & 3)), bytes);
}

static inline void cfg_put(struct bus *b, unsigned slot, unsigned reg, unsigned bytes, u32 v)
{
	cfg_select(b, slot, reg);
	bus_pio_write(b, (u16)(LAYOUT_PCI_CFG + 4 + (reg & 3)), bytes, v);
}

/* Where a 32-bit BAR, or the lower half of another, lies. */
static inline u32 cfg_bar(struct bus *b, unsigned slot, unsigned index)
{
	u32 v = cfg_get(b, slot, 0x10 + 4 * index, 4);

	return v & (v & 1 ? ~3u : ~15u);
}

#endif
