/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pci_state.c - functions' config space and MSI-X in a saved state. What else a function has is its own (device.h). */
#include "machine/pci.h"

#include "base/state.h"
#include "machine/layout.h"
#include "machine/pci_internal.h"

#define CFG_SAVED 256 /* nothing here has extended capabilities */

/* What the guest cannot write says what the function is: it must be the same. */
static void cfg_fields_locked(struct pci_dev *d, struct state_file *s)
{
	u8 in[CFG_SAVED];

	memcpy(in, d->cfg, sizeof(in));
	state_bytes(s, in, sizeof(in));
	for (unsigned i = 0; i < CFG_SAVED; i++) {
		if ((in[i] ^ d->cfg[i]) & (u8)~d->wmask[i])
			state_bad(s, "it is another PCI device, or one with other capabilities");
		d->cfg[i] = (u8)((d->cfg[i] & ~d->wmask[i]) | (in[i] & d->wmask[i]));
	}
}

static int function_section(struct pci_bus *b, struct pci_dev *d, struct state_file *s, struct err *e)
{
	int r = state_section(s, "pci", d->devfn, 1, e);

	if (r < 0)
		return r;
	cfg_fields_locked(d, s);
	pthread_mutex_lock(&d->msix_lock);
	state_bool(s, &d->intx_level);
	pci_msix_state_locked(d, s);
	pthread_mutex_unlock(&d->msix_lock);
	r = state_end(s, e);
	if (r == 0 && state_loading(s)) {
		pci_update_bars_locked(b, d);
		pci_update_interrupts(d);
	}
	return r;
}

int pci_bus_state(struct pci_bus *b, struct state_file *s, struct err *e)
{
	u32 present[256 / 32] = { 0 };
	bool had_lpc = true;

	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < 256; i++)
		if (b->dev[i])
			present[i / 32] |= 1u << (i % 32);
	int r = state_section(s, "pci-bus", 0, 2, e);
	if (r == 0) {
		state_u32(s, &b->latch);
		b->latch &= 0x80fffffc;
		/* The board of version 1 had no LPC bridge. */
		had_lpc = state_version(s) >= 2 || b->kind->isa_slot != LAYOUT_LPC_SLOT;
		if (!had_lpc)
			present[LAYOUT_LPC_SLOT * 8 / 32] &= ~(1u << LAYOUT_LPC_SLOT * 8 % 32);
		for (unsigned i = 0; i < ARRAY_LEN(present); i++)
			state_same(s, present[i], "other PCI slots are in use");
		r = state_end(s, e);
	}
	/* Decoding off first: a function may stand where another is to go. */
	for (unsigned i = 0; r == 0 && state_loading(s) && i < 256; i++)
		if (b->dev[i]) {
			st_le16(b->dev[i]->cfg + PCI_COMMAND, 0);
			pci_update_bars_locked(b, b->dev[i]);
		}
	for (unsigned i = 0; r == 0 && i < 256; i++)
		if (b->dev[i] && (had_lpc || i != LAYOUT_LPC_SLOT << 3))
			r = function_section(b, b->dev[i], s, e);
	pthread_mutex_unlock(&b->lock);
	return r;
}
