/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pci_internal.h - between the files pci_*.c: the bus, and config space offsets (PCI 3.0 chapter 6). */
#ifndef MICA_PCI_INTERNAL_H
#define MICA_PCI_INTERNAL_H

#include "machine/board_kind.h"
#include "machine/pci.h"

#define PCI_VENDOR 0x00
#define PCI_DEVICE 0x02
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_CLASS_REV 0x08
#define PCI_CACHE_LINE 0x0c
#define PCI_HEADER 0x0e
#define PCI_HEADER_MORE 0x80 /* functions beside function 0 */
#define PCI_BAR0 0x10
#define PCI_ROM 0x30
#define PCI_ROM_ENABLE 1u
#define PCI_CAP_PTR 0x34
#define PCI_INT_LINE 0x3c
#define PCI_INT_PIN 0x3d

#define PCI_CMD_IO 0x0001
#define PCI_CMD_MEM 0x0002
#define PCI_CMD_MASTER 0x0004
#define PCI_CMD_INTX_OFF 0x0400
#define PCI_STATUS_INTX 0x08
#define PCI_STATUS_CAPS 0x10

#define PCI_MSI_CTL 2 /* in the capabilities */
#define PCI_MSIX_CTL 2

#define PCI_ROUTES_MAX 1024u

struct pci_bus {
	const struct board_kind *kind;
	struct bus *bus;
	struct msi_target msi;
	void (*intx)(void *opaque, unsigned gsi, bool level);
	void *intx_opaque;
	struct msi_router router; /* set NULL: nobody offers routes */

	pthread_mutex_t lock;
	u64 routes[PCI_ROUTES_MAX / 64]; /* a bit for each that a function has */
	struct pci_dev *dev[256];
	u32 latch; /* port 0xcf8 */

	pthread_mutex_t intx_lock;
	unsigned wire[BOARD_WIRES_MAX]; /* how many functions assert it */

	u64 memory_end; /* of RAM below 4 GiB */
	struct io_region ports, ecam;
	struct pci_dev bridge;
	struct pam *pam; /* what the bridge has where there is firmware (pam.h) */
};

extern const struct io_ops pci_ports_ops, pci_ecam_ops; /* pci_cfg.c */

/* The wire of pin A, which functions have. */
unsigned pci_wire_of(const struct pci_dev *d);
/* Where in config space a base address is. */
static inline unsigned pci_bar_offset(unsigned index)
{
	return index == PCI_ROM_BAR ? PCI_ROM : PCI_BAR0 + 4 * index;
}
/* Guest memory that BARs show is hidden; in force with ram_commit(). */
void pci_hide_bars(struct pci_dev *d);
/* b->lock held: map and unmap BARs as the command register and they say. */
void pci_update_bars_locked(struct pci_bus *b, struct pci_dev *d);
/* What the command register and the MSI-X control word say goes to where senders look. */
void pci_update_interrupts(struct pci_dev *d);

/* ---- MSI ---- */

/* msix_lock held: take what config space says to where senders look; master: the function may write to memory. */
void pci_msi_update_locked(struct pci_dev *d, bool master);
/* Bus's lock held: config space as after power-on. */
void pci_msi_reset(struct pci_dev *d);

/* ---- MSI-X; all with d->msix_lock held ---- */

/* Take enable and mask from the control word; master: the function may write to memory. */
void pci_msix_update_locked(struct pci_dev *d, const struct msi_target *t, bool master);
bool pci_msix_send_locked(struct pci_dev *d, const struct msi_target *t, unsigned v);
/* The bus's routes; NULL: none. */
const struct msi_router *pci_router(const struct pci_dev *d);
/* Send what is pending and no longer masked. */
void pci_msix_flush_locked(struct pci_dev *d, const struct msi_target *t);
void pci_msix_reset_locked(struct pci_dev *d);
/* Give every vector a descriptor and a number of its own, not yet in used[], as long as there are any; and back. Bus's
 * lock held. */
void pci_msix_use_routes(struct pci_dev *d, const struct msi_router *r, u64 *used);
void pci_msix_end_routes(struct pci_dev *d, const struct msi_router *r, u64 *used);
/* Save or load the table and pending bits. */
struct state_file;
void pci_msix_state_locked(struct pci_dev *d, struct state_file *s);
/* In pci.c: pci_msix_flush_locked() with the bus's target. */
void pci_msix_kick_locked(struct pci_dev *d);

#endif
