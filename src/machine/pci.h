/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci.h - the PCI host bridge (config ports 0xcf8/0xcfc and ECAM), functions on bus 0, BARs, MSI-X.
 *
 * A device embeds struct pci_dev, fills config space with the helpers, and registers. The bus
 * handles BAR decoding, command register, MSI-X table and pending bits, INTx; and it walks its slots for each step of
 * a device's life (device.h).
 */
#ifndef MICA_PCI_H
#define MICA_PCI_H

#include "base/err.h"
#include "machine/bus.h"
#include "machine/device.h"

#include <pthread.h>

#define PCI_CFG_BYTES 4096
#define PCI_MSIX_MAX 64
#define PCI_ROM_BAR 6 /* index of the expansion ROM's base address (PCI 3.0 chapter 6.2.5.2) */
#define PCI_BARS 7
#define PCI_SLOTS 32

struct board_kind; /* machine/board_kind.h */
struct pci_bus;
struct pci_dev;
struct ram;

struct pci_dev_ops {
	/* Config space and MSI-X are the bus's to reset and to save, after this. free() has pci_dev_fini() called. */
	struct device_ops life;
	/* Both run with the bus's config lock held; they may send interrupts, but not call back into
	 * config space. */
	/* Config bytes outside what pci.c handles changed (optional). */
	void (*cfg_written)(struct pci_dev *d, unsigned off, unsigned bytes);
	/* Config read about to be answered, so that d->cfg may be refreshed (optional). */
	void (*cfg_reading)(struct pci_dev *d, unsigned off, unsigned bytes);
};

struct pci_dev {
	struct device dev; /* its ops: &ops->life */
	const struct pci_dev_ops *ops;
	struct pci_bus *bus;
	u8 devfn;
	u8 cfg[PCI_CFG_BYTES];
	u8 wmask[PCI_CFG_BYTES]; /* which bits the guest may write */
	struct {
		struct io_region region; /* ops, dev set by pci_add_bar */
		u64 bytes;               /* power of two, 0: no such BAR */
		bool io, is64;
		struct {
			u64 off;
			unsigned step, n;
		} bells; /* pci_add_doorbells() */
		struct {
			struct ram *ram; /* NULL: registers */
			u64 off;
			bool readonly;
			int extent; /* -1: not shown */
			gpa_t at;
		} memory; /* pci_add_memory_bar() */
	} bar[PCI_BARS];
	u8 line;           /* the 8259 line that its pin is on; 0: as the board's wires are steered */
	unsigned cap_next; /* where the next capability goes */
	unsigned cap_last;

	/* Interrupts; guarded by msix_lock */
	pthread_mutex_t msix_lock;
	unsigned msix_n, msix_cap, msix_bar;
	struct {
		u64 addr;
		u32 data, ctrl;
		/* Where the engine has routes (bus.h): writing to fd sends routed_addr, routed_data */
		int fd; /* -1: none */
		unsigned route;
		bool routed;
		u32 routed_data;
		u64 routed_addr;
		struct io_latch latch; /* address and data: nothing happens before the vector is unmasked (6.8.2) */
	} msix[PCI_MSIX_MAX];
	u64 msix_pending;
	bool msix_on, msix_masked; /* from the capability's control word */
	unsigned msi_cap;          /* 0: no MSI; what follows is from the capability */
	bool msi_on, msi_may_send;
	u64 msi_addr;
	u16 msi_data;
	bool intx_off;             /* command register bit 10 */
	bool intx_level, intx_out; /* what the device says, what reaches the wire */
};

static inline struct pci_dev *pci_dev_of(struct device *d)
{
	return container_of(d, struct pci_dev, dev);
}

/* The same for any device; NULL: it is not on the PCI bus. */
static inline struct pci_dev *pci_dev_get(struct device *d)
{
	return d->pci ? pci_dev_of(d) : NULL;
}

/* ---- for devices ---- */
void pci_dev_init(struct pci_dev *d, const struct pci_dev_ops *ops, const char *name, u16 vendor, u16 device,
		  u32 class_rev /* class << 8 | revision */);
void pci_dev_fini(struct pci_dev *d);
/* Memory BAR with its own ops; dev is handed to them. 64-bit BARs take index and index + 1. */
void pci_add_bar(struct pci_dev *d, unsigned index, u64 bytes, bool is64, const struct io_ops *ops, void *dev);
/* Of a memory BAR: n registers, step bytes apart, of which a write only says "look" (bus.h, doorbells). Before
 * pci_register(). */
void pci_add_doorbells(struct pci_dev *d, unsigned index, u64 off, unsigned step, unsigned n);
/* Of a memory BAR, before pci_register(): a register that only remembers (bus.h, latches). l stays the caller's. */
void pci_add_latch(struct pci_dev *d, unsigned index, struct io_latch *l);
/* The same in I/O port space; bytes up to 256. */
void pci_add_io_bar(struct pci_dev *d, unsigned index, u64 bytes, const struct io_ops *ops, void *dev);
/* A memory BAR that shows `bytes` of guest memory from offset `off` of its file on (base/ram.h): accesses do not come
 * to the device. It is prefetchable. index PCI_ROM_BAR: an expansion ROM, which is read-only and has an enable bit. */
void pci_add_memory_bar(struct pci_dev *d, unsigned index, struct ram *ram, u64 off, u64 bytes);
/* A capability of `bytes` (with id and next bytes filled); returns its config offset. */
unsigned pci_add_cap(struct pci_dev *d, u8 id, unsigned bytes);
/* MSI-X with n vectors, table and PBA in a BAR of its own. */
void pci_add_msix(struct pci_dev *d, unsigned bar_index, unsigned n);
/* Send vector v (masked ones become pending). Any thread. False when MSI-X is not enabled. */
bool pci_msix_send(struct pci_dev *d, unsigned v);
bool pci_msix_enabled(struct pci_dev *d);
/* MSI with one message. A function that has MSI-X as well adds it behind; its driver enables one of them. */
void pci_add_msi(struct pci_dev *d);
/* Send it. Any thread. False when MSI is not enabled. */
bool pci_msi_send(struct pci_dev *d);
/* INTx pin A, a level. Any thread. */
void pci_intx(struct pci_dev *d, bool level);

/* Put d on the bus: devfn = slot << 3 | fn, or slot -1 for the next free one. Maps nothing until
 * the BARs have addresses: pci_bus_assign() gives them some, as firmware would. A device whose ops have free() is the
 * bus's from then on: pci_unplug() and pci_bus_free() end it. */
int pci_register(struct pci_bus *b, struct pci_dev *d, int slot);
/* The same, as a function of a slot that has several. */
int pci_register_at(struct pci_bus *b, struct pci_dev *d, u8 devfn);

/* ---- for the board ---- */
struct pci_bus *pci_bus_new(const struct board_kind *kind, struct bus *bus, const struct msi_target *msi,
			    void (*intx)(void *opaque, unsigned gsi, bool level), void *intx_opaque);
void pci_bus_free(struct pci_bus *b); /* and the functions that have free() */
/* Where RAM below 4 GiB ends, and memory BARs may begin (at LAYOUT_PCI_MMIO, if nothing is said). Before vCPUs run. */
void pci_bus_set_memory_end(struct pci_bus *b, u64 end);
/* MSI-X messages of functions registered from now on go by routes; *r is copied. */
void pci_bus_use_routes(struct pci_bus *b, const struct msi_router *r);
/* The function in a slot; NULL: none. */
struct pci_dev *pci_bus_slot(struct pci_bus *b, unsigned slot);
struct pci_dev *pci_bus_function(struct pci_bus *b, u8 devfn);
/*
 * The steps of device.h for every function, in slot order; the same threads as there. Reset: BARs, command register
 * and MSI-X as after power-on as well. Quiesce: true when all functions said so.
 */
void pci_bus_reset(struct pci_bus *b);
bool pci_bus_quiesce(struct pci_bus *b);
void pci_bus_resume(struct pci_bus *b);
/* Take a function that has free() from its slot, and end it. Nothing answers there afterwards. Threads as free()'s. */
void pci_unplug(struct pci_dev *d);
/* Give every BAR an address in the window and switch memory decoding and bus mastering on. */
int pci_bus_assign(struct pci_bus *b);
/* Save or load what functions have of their own; then every function's configuration space and MSI-X. Loading: the same
 * functions must be there. */
struct state_file;
int pci_bus_devices_state(struct pci_bus *b, struct state_file *s, struct err *e);
int pci_bus_state(struct pci_bus *b, struct state_file *s, struct err *e);

#endif
