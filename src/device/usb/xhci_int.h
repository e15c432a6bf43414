/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xhci_int.h - between xhci.c (life, class), xhci_regs.c (registers), xhci_port.c (the root hub), xhci_event.c (the
 * event ring, interrupts), xhci_command.c (the command ring), xhci_transfer.c (transfer rings). Chapters are
 * xHCI 1.1's.
 *
 * INV-XHCI-1: whoever looks at a TRB takes it from the visit's budget and from the leave of its ring (xhci_fetch()),
 * which only a doorbell renews.
 * INV-XHCI-2: nothing is taken from a ring without room for its events in the event ring.
 */
#ifndef MICA_XHCI_INT_H
#define MICA_XHCI_INT_H

#include "device/fair_lock.h"
#include "device/usb/usb_hid.h"
#include "device/usb/xhci.h"

#define XHCI_SLOTS 8u
#define XHCI_ENDPOINTS 32u /* by device context index: 1 is endpoint 0, 2n + 1 is n IN; 0 is not one (4.5.1) */
#define XHCI_USB2_PORTS 2u /* the first ones */
#define XHCI_DEVICES 2u    /* in the ports 1 and 2 */
#define XHCI_ERST_MAX 8u   /* segments of the event ring */

#define XHCI_VISIT 256u       /* TRBs */
#define XHCI_COMMAND_COST 8u  /* a command is as much work as so many */
#define XHCI_LEAVE (1u << 14) /* TRBs that a doorbell may cause to be looked at */

#define XHCI_TRB_BYTES 16u
#define XHCI_CONTEXT_BYTES 32u

/* TRB types (6.4.6) */
enum {
	TRB_NORMAL = 1,
	TRB_SETUP,
	TRB_DATA,
	TRB_STATUS,
	TRB_ISOCH,
	TRB_LINK,
	TRB_EVENT_DATA,
	TRB_NO_OP,
	TRB_ENABLE_SLOT,
	TRB_DISABLE_SLOT,
	TRB_ADDRESS_DEVICE,
	TRB_CONFIGURE_ENDPOINT,
	TRB_EVALUATE_CONTEXT,
	TRB_RESET_ENDPOINT,
	TRB_STOP_ENDPOINT,
	TRB_SET_DEQUEUE,
	TRB_RESET_DEVICE,
	TRB_NO_OP_COMMAND = 23,
	TRB_TRANSFER_EVENT = 32,
	TRB_COMMAND_EVENT,
	TRB_PORT_EVENT,
};

/* Completion codes (6.4.5) */
enum {
	CC_SUCCESS = 1,
	CC_DATA_BUFFER = 2,
	CC_TRANSACTION = 4,
	CC_TRB = 5,
	CC_STALL = 6,
	CC_NO_SLOTS = 9,
	CC_SLOT_NOT_ENABLED = 11,
	CC_ENDPOINT_NOT_ENABLED = 12,
	CC_SHORT_PACKET = 13,
	CC_PARAMETER = 17,
	CC_CONTEXT_STATE = 19,
	CC_RING_STOPPED = 24,
	CC_STOPPED = 26,
};

enum { EP_DISABLED, EP_RUNNING, EP_HALTED, EP_STOPPED, EP_ERROR };    /* 6.2.3 */
enum { SLOT_ENABLED, SLOT_DEFAULT, SLOT_ADDRESSED, SLOT_CONFIGURED }; /* 6.2.2 */
enum { EP_CONTROL = 4, EP_BULK_IN = 6, EP_INTERRUPT_IN = 7 };

#define TRB_CYCLE (1u << 0)
#define TRB_TOGGLE (1u << 1) /* of a link */
#define TRB_ISP (1u << 2)
#define TRB_CHAIN (1u << 4)
#define TRB_IOC (1u << 5)
#define TRB_IMMEDIATE (1u << 6)
#define TRB_BLOCK_INTERRUPT (1u << 9)
#define TRB_OF_TYPE(t) ((u32)(t) << 10)
#define TRB_SLOT_OF(control) ((control) >> 24)
#define TRB_ENDPOINT_OF(control) ((control) >> 16 & 31)

struct xhci_trb {
	u64 parameter;
	u32 status, control;
	gpa_t at; /* where it lay */
};

static inline unsigned xhci_type(const struct xhci_trb *t)
{
	return t->control >> 10 & 63;
}

struct xhci_ring {
	gpa_t at;
	bool cycle;
	u32 leave; /* INV-XHCI-1 */
};

struct xhci_ep {
	u8 state, type;
	struct xhci_ring ring;
	/* The TD under way */
	bool begun; /* a control request was read; a report is in data */
	bool ended; /* all of it that there is has come: the rest of the TD carries nothing */
	bool stalls;
	u8 setup[USB_SETUP_BYTES];
	u8 data[USB_CONTROL_MAX];
	unsigned bytes, at; /* of data: how many, how many of them are told */
	u32 moved;          /* since the TD's beginning or the last Event Data TRB (4.11.5.2) */
};

struct xhci_slot {
	bool enabled;
	u8 state, port; /* port: from 1 on; 0: it has no address yet */
	gpa_t context;  /* the device context */
	u32 rung;       /* endpoints whose rings are to be looked at */
	struct xhci_ep ep[XHCI_ENDPOINTS];
};

struct xhci_port {
	struct usb_hid *device; /* NULL: nothing is plugged in */
	u32 sc;                 /* PORTSC, but for what follows from `device` */
	bool tell;              /* a port status change event is owed */
};

/* All under the lock. */
struct xhci {
	struct pci_dev pci;
	struct fair_lock lock;
	struct ram *ram;
	struct loop_timer again;
	bool quiesced;
	unsigned budget; /* of this visit */
	/* operational registers */
	u32 command, status, notify, config;
	u64 dcbaap;
	/* command ring */
	struct xhci_ring commands;
	bool command_runs, command_rung;
	/* the interrupter, its event ring */
	u32 iman, imod, erst_size;
	u64 erst, erdp; /* erdp: with its low bits */
	bool event_ready, event_cycle, event_raised;
	u32 event_segment, event_index, event_entries; /* where the next one goes; entries of that segment */
	u64 event_base;
	struct xhci_port port[XHCI_PORTS];
	struct usb_hid device[XHCI_DEVICES];
	struct xhci_slot slot[XHCI_SLOTS + 1]; /* by number, from 1 on */
};

#define XHCI_CMD_RUN (1u << 0)
#define XHCI_CMD_RESET (1u << 1)
#define XHCI_CMD_INTERRUPTS (1u << 2)
#define XHCI_STS_HALTED (1u << 0)
#define XHCI_STS_HOST_ERROR (1u << 2)
#define XHCI_STS_EVENT (1u << 3)
#define XHCI_STS_PORT (1u << 4)
#define XHCI_STS_RESTORE_ERROR (1u << 10)
#define XHCI_STS_CONTROLLER_ERROR (1u << 12)

static inline bool xhci_running(const struct xhci *x)
{
	return x->command & XHCI_CMD_RUN && !(x->status & (XHCI_STS_HOST_ERROR | XHCI_STS_CONTROLLER_ERROR)) &&
	       !x->quiesced;
}

/* ---- xhci.c ---- */
/* Work off what there is, as far as this visit goes; before the lock is given back. */
void xhci_run(struct xhci *x);
/* As after power-on, or the controller's reset. */
void xhci_power_on(struct xhci *x);
/* Out of memory that is none: the controller stops (4.10.2.6: Host System Error). */
void xhci_fail(struct xhci *x);

/* ---- xhci_regs.c ---- */
extern const struct io_ops xhci_ops;
#define XHCI_BAR_BYTES 16384u

/* ---- xhci_port.c ---- */
void xhci_ports_reset(struct xhci *x);
u32 xhci_port_read(const struct xhci *x, unsigned port, unsigned reg);
void xhci_port_write(struct xhci *x, unsigned port, unsigned reg, u32 val);
/* Tell of changes; the event ring may have no room for it yet. */
void xhci_ports_run(struct xhci *x);
/* The device at a port (from 1 on) that takes part: it was reset, and is not suspended. NULL: none. */
struct usb_hid *xhci_device(const struct xhci *x, unsigned port);

/* ---- xhci_event.c ---- */
/* Is there room for so many (at most 2)? */
bool xhci_event_room(struct xhci *x, unsigned n);
/* There is room. control: without the cycle bit. quiet: without an interrupt. */
void xhci_event(struct xhci *x, u64 parameter, u32 status, u32 control, bool quiet);
/* The driver set where the ring is, or how far it has read. */
void xhci_event_ring_moved(struct xhci *x);
void xhci_events_taken(struct xhci *x, u64 erdp);
/* Interrupt for what was told; the wire. */
void xhci_interrupt(struct xhci *x);

/* ---- xhci_command.c ---- */
void xhci_commands_run(struct xhci *x);
void xhci_commands_stop(struct xhci *x);
/* Write an endpoint's context to memory as it is now. */
void xhci_ep_tell(struct xhci *x, const struct xhci_slot *s, unsigned dci);

/* ---- xhci_transfer.c ---- */
/* The next TRB of a ring, past links. 1; 0: there is none (yet), or the budget or the ring's leave is at its end;
 * negative: it lies outside of memory. */
int xhci_fetch(struct xhci *x, struct xhci_ring *r, struct xhci_trb *t);
void xhci_transfers_run(struct xhci *x);
/* A driver stops an endpoint: the TD under way is told to be. There is room for an event. */
void xhci_transfer_stop(struct xhci *x, unsigned slot, unsigned dci);
/* What is under way is forgotten. */
void xhci_transfer_forget(struct xhci_ep *ep);

#endif
