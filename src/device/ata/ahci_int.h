/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ahci_int.h - between ahci.c, the registers and life of the controller, and ahci_port.c, the commands of a port. */
#ifndef MICA_AHCI_INT_H
#define MICA_AHCI_INT_H

#include "device/ata/ata_sg.h"
#include "machine/machine.h"
#include "machine/pci.h"

#define AHCI_PORTS 6u
#define AHCI_SLOTS 32u

/* PxIS (3.3.5) */
#define PIS_DHRS (1u << 0)
#define PIS_PSS (1u << 1)
#define PIS_SDBS (1u << 3)
#define PIS_PCS (1u << 6) /* follows SERR.DIAG.X */
#define PIS_OFS (1u << 24)
#define PIS_IFS (1u << 27)
#define PIS_HBFS (1u << 29)
#define PIS_TFES (1u << 30)

/* PxCMD (3.3.7) */
#define PCMD_ST (1u << 0)
#define PCMD_SUD (1u << 1)
#define PCMD_POD (1u << 2)
#define PCMD_CLO (1u << 3)
#define PCMD_FRE (1u << 4)
#define PCMD_FR (1u << 14)
#define PCMD_CR (1u << 15)
#define PCMD_ATAPI (1u << 24)
#define PCMD_WRITABLE (PCMD_ST | PCMD_FRE | PCMD_ATAPI)

#define PSERR_X (1u << 26) /* a device came */

struct ahci;
struct ahci_port;

/* A command slot, while its command is under way. */
struct ahci_slot {
	struct ata_cmd cmd;
	struct ahci_port *port;
	unsigned number;
	bool busy;
	unsigned epoch; /* an old one: the port has forgotten it */
	gpa_t header;
	struct ata_sg sg;
};

/* All under the controller's lock. */
struct ahci_port {
	struct ahci *h;
	struct ata_drive *drive; /* NULL: nothing is connected */
	struct ahci_slot *slot;  /* AHCI_SLOTS, where something is connected */
	u64 clb, fb;
	u32 is, ie, cmd, sig, sctl, serr, sact, ci;
	u8 status, error; /* PxTFD */
	u8 last;          /* PxCMD.CCS */
	bool halted;      /* an error: nothing starts until ST is cleared */
	bool greeting;    /* the signature waits for PxCMD.FRE */
	bool srst;
	u32 exclusive;        /* the slot of a command that is not queued, under way */
	u32 done;             /* queued commands that have ended since the host was told */
	unsigned epoch, busy; /* busy: slots */
};

struct ahci {
	struct pci_dev pci;
	struct fair_lock lock;
	struct ram *ram;
	bool ie;        /* GHC.IE */
	bool resetting; /* GHC.HR, until nothing is under way */
	bool quiesced;
	bool raised; /* PxIS has new bits since the interrupt was brought in line */
	u32 is;
	struct ahci_port port[AHCI_PORTS];
};

/* ---- ahci_port.c ---- */
/* Start what may start. */
void ahci_port_run(struct ahci_port *p);
/* Commands under way are forgotten: they end by themselves. */
void ahci_port_forget(struct ahci_port *p);
/* A COMRESET has ended: the device greets. */
void ahci_port_greet(struct ahci_port *p);
/* ... as soon as FISes are received. */
void ahci_port_greet_now(struct ahci_port *p);
/* Tell of queued commands that have ended. */
void ahci_port_tell_done(struct ahci_port *p);

#endif
