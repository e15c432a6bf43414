/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate.h - where a VM's vCPU threads are brought to rest, and what is to be done then.
 *
 * Theory of stopping. A guest asks for power-off or reset in the middle of an instruction, on a vCPU's
 * thread, where nothing may be torn down. So every such wish is noted here, and all vCPUs are told to stop; each
 * leaves cpu_run() and parks in gate_pass(); the last one to park has ops.act_at_rest() posted to the loop, which finds
 * the machine at rest and takes the wishes with gate_take(). Nobody waits for another thread while holding anything,
 * and the loop goes on serving disks meanwhile, so a vCPU that waits for a request to complete on the loop does get
 * there.
 *
 * The states are at enum gate_state, each with what it allows. The words used there: a vCPU is *out* while it is in
 * cpu_run(), or on its way into or out of it; *parked* while it waits in gate_pass(), and counted in nparked.
 *
 *            gate_go, gate_acted, gate_release: nothing is wished, nor is it held
 *         .------------------------------------------.
 *         v                                           |
 *        RUN -- gate_ask, gate_save -------------->  PARK -- gate_leave --> LEAVE
 *         '---------------- gate_leave ------------------------------------->'
 *
 * Wishes do not come one at a time: a person quits while the guest resets itself, a save is wanted when a CPU has
 * just shut down. None may be lost, so each kind has a rank (gate.c), and a wish of a higher rank takes the place of
 * one that waits; among equals the first counts, since what it does to the machine does away with the others:
 *
 *   3  VM_ENGINE_FAILED   no guest can go on
 *   2  VM_QUIT            a person or the host: whatever the guest does, the VM ends
 *   1  VM_POWEROFF, VM_DEBUG_EXIT, VM_RESET, VM_TRIPLE_FAULT   the guest, or the reset button
 *
 * Where the guest ends the VM itself, a person who quits changes nothing: it ends, and with the guest's exit status.
 * Saving and the power button are wishes beside these: a save is done after what else is wished (or refused, when that
 * ended the VM), and a button that was pressed before a reset is pressed after it, since the reset clears what it did.
 *
 * A VM that was saved, or that a device of its own wished to pause, is held: its vCPUs stay parked until
 * gate_release(), or until a wish ends it.
 *
 * INV-GATE-1: ops.act_at_rest() runs on the loop, only while every vCPU is parked, and never twice for one wish.
 * INV-GATE-2: what is wished while act_at_rest() runs is acted upon after it, unless the machine that wished it is
 * gone.
 */
#ifndef MICA_GATE_H
#define MICA_GATE_H

#include "base/base.h"
#include "base/err.h"
#include "vmm/vm.h"

#include <pthread.h>

struct gate_ops {
	/* Have act_at_rest() called soon, on the loop's thread. Called with the gate locked. */
	void (*post)(void *opaque);
	void (*stop)(void *opaque); /* cpu_stop() every vCPU. Called with the gate not locked. */
	void *opaque;
};

/*
 * An errand is what the loop must not wait for but needs the machine at rest, as a reset does: vCPU 0's thread, which
 * is parked and counts as such, does it, and has its end posted to the loop itself. act_at_rest() is not over
 * meanwhile.
 */

enum gate_state {
	/*
	 * vCPUs are out. nparked is 0, or those are counted that have not woken since the gate opened.
	 * Allowed: gate_ask(), gate_button(), gate_save() on any thread.
	 * May be read: state, held (false), wished (nothing; but a button may wait for a reset that is asked for).
	 * Forbidden: gate_take() and all else that is marked "in act_at_rest()"; touching a vCPU's state, a chip's or a
	 * device's life (device.h), other than by their own functions for any thread.
	 */
	GATE_RUN,
	/*
	 * Each vCPU is on its way to the gate, or parked. What gate_name() says follows from the fields:
	 *
	 *   nparked < ncpus             stopping: the machine still moves, as in RUN
	 *   nparked == ncpus, posted    at rest: act_at_rest() is on its way, or runs, or an errand of its does
	 *   nparked == ncpus, held      paused: at rest, and nothing is done
	 *
	 * Allowed at rest: everything, on the loop; while an errand is there, on vCPU 0's thread and not on the loop.
	 *
	 * May be read: at rest, all of the machine; before, only what RUN allows. `errand`, `errands`, `posted`: under
	 * lock.
	 *
	 * Forbidden: gate_take() unless posted; a second errand before the first has ended; opening the gate other than
	 * by gate_acted(), gate_go() and gate_release(), which look whether something is wished.
	 */
	GATE_PARK,
	/*
	 * Threads return from gate_pass() with false and can be joined. There is no way back.
	 *
	 * Allowed: gate_ask() and gate_button(), which change nothing any more; gate_fini() once all threads are
	 * joined.
	 *
	 * May be read: state; the machine, once all threads are joined.
	 *
	 * Forbidden: starting a vCPU. gate_save() says no.
	 */
	GATE_LEAVE,
};

/* What act_at_rest() has to do. */
struct gate_wishes {
	enum vm_ask ask; /* VM_NOTHING: only what follows */
	unsigned value;  /* of VM_DEBUG_EXIT and VM_QUIT */
	bool save;       /* after ask */
	bool button;     /* the power button, after a reset */
	bool pause;      /* to be held, after all of these */
};

struct gate {
	struct gate_ops ops;
	unsigned ncpus;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* under lock */
	enum gate_state state;
	unsigned nparked;
	struct gate_wishes wished;
	bool posted;                  /* act_at_rest() is on its way, or runs */
	bool held;                    /* saved or paused, and waiting for who wants it to go on */
	void (*errand)(void *opaque); /* for vCPU 0's thread; NULL: none, or it is being done */
	bool errands;                 /* there was one since act_at_rest() began */
};

/* The gate is shut (GATE_PARK). */
void gate_init(struct gate *g, const struct gate_ops *ops, unsigned ncpus);
void gate_fini(struct gate *g);

/* ---- any thread ---- */
void gate_ask(struct gate *g, enum vm_ask what, unsigned value);
/* The power button is pressed. False: now is no time for it, it is among the wishes. */
bool gate_button(struct gate *g);
/* False: it is being saved, is held, or ends. */
bool gate_save(struct gate *g);
/* To be held. Nothing when it is, or ends. */
void gate_pause(struct gate *g);
bool gate_held(struct gate *g);
/* "running", "paused", "stopping", "ended" */
const char *gate_name(struct gate *g);

/* Has somebody wished what ends the VM whatever its guest does? */
bool gate_must_end(struct gate *g);

/* ---- a vCPU's thread ---- */
/* Waits while the gate is shut. True: go on and run. */
bool gate_pass(struct gate *g, unsigned index);

/* ---- the loop's thread ---- */
void gate_wait_parked(struct gate *g); /* until all vCPU threads have come here first */
void gate_go(struct gate *g);          /* open it, unless there is something to do first */
void gate_release(struct gate *g);     /* held no longer */
void gate_leave(struct gate *g);       /* the threads are to return */

/* In act_at_rest(): the wishes, which are then no longer noted. */
struct gate_wishes gate_take(struct gate *g);
/* In act_at_rest(), which took long: of what was wished since, that which ends the VM whatever its guest does. ask is
 * VM_NOTHING: none. */
struct gate_wishes gate_take_end(struct gate *g);
/* In act_at_rest(): have fn(ops.opaque) done by the parked thread of vCPU 0. One at a time. */
void gate_errand(struct gate *g, void (*fn)(void *opaque));
/* In act_at_rest(): the VM was saved or paused, and stays parked until gate_release(). */
void gate_hold(struct gate *g);
/* In act_at_rest(), when all is done. reset: wishes that the guest had until now came from a machine that is gone. */
void gate_acted(struct gate *g, bool reset);

#endif
