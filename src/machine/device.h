/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * device.h - the life of whatever sits on the board, at a PCI slot (pci.h) or at a fixed address
 * (machine_add_device()).
 *
 * A device embeds struct device and fills in its ops. The board walks its devices for each of the steps below, so
 * nobody else needs to know which devices a machine has:
 *
 *   works       the guest uses it
 *   quiesced    it takes on nothing more, and nothing that it took on is in flight: all it has to say is in its own
 *               fields and in guest memory. It can be saved, loaded, or taken away
 *   gone        free() was called
 *
 *        works -- quiesce() until it says true --> quiesced -- resume() --> works
 *        works -- reset() --> works, as after power-on
 *        quiesced -- state() --> quiesced, as it was (saving) or as the file says (loading)
 *
 * Threads: no vCPU is in cpu_run() in any of these calls. reset() comes on any thread, while the loop runs; the rest on
 * the loop's, or while it does not run. No lock is held.
 */
#ifndef MICA_DEVICE_H
#define MICA_DEVICE_H

#include "base/base.h"
#include "base/err.h"

#define DEVICE_ID_MAX 31 /* bytes */

struct device;
struct state_file; /* base/state.h */

/* All optional; what it means when one is not there is said with each. */
struct device_ops {
	/* To power-on state; lets go of its wires. May wait for requests in flight. Not there: it has none. */
	void (*reset)(struct device *d);
	/* Take on nothing more. True: nothing is in flight. False: ask again later; what is in flight ends on the
	 * loop's thread, which must not wait for it. A device that is quiesced says true again. Not there: true. */
	bool (*quiesce)(struct device *d);
	/* Take on work again, and look for what came meanwhile: also after loading, as notifications may have come
	 * before the state was saved. Never called from inside another call of the device. */
	void (*resume)(struct device *d);
	/* Save or load its sections: the same ones in the same order, whatever state it is in. Quiesced. Not there: it
	 * has nothing to remember besides what the PCI bus saves of every function. */
	int (*state)(struct device *d, struct state_file *s, struct err *e);
	/* End what is in flight, give back what it owns, itself included. Not there: it is its maker's to end. */
	void (*free)(struct device *d);
};

struct device {
	const struct device_ops *ops; /* NULL: none of them */
	bool pci;                     /* in a struct pci_dev */
	const char *name;             /* of its class: "virtio-blk" */
	char id[DEVICE_ID_MAX + 1];   /* of this one, as in "disk0"; "" where nobody asks */
	struct device *next;          /* of those at fixed addresses: machine.h's */
	struct device *on;            /* the controller it is connected to, which ends it; NULL: it is on the board */
	unsigned unit;                /* there: AHCI's port; IDE's channel * 2 + drive */
};

static inline void device_reset(struct device *d)
{
	if (d->ops && d->ops->reset)
		d->ops->reset(d);
}

static inline bool device_quiesce(struct device *d)
{
	return !d->ops || !d->ops->quiesce || d->ops->quiesce(d);
}

static inline void device_resume(struct device *d)
{
	if (d->ops && d->ops->resume)
		d->ops->resume(d);
}

static inline int device_state(struct device *d, struct state_file *s, struct err *e)
{
	return d->ops && d->ops->state ? d->ops->state(d, s, e) : 0;
}

#endif
