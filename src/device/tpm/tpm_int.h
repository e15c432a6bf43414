/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tpm_int.h - between tpm_tis.c (registers, life, class) and tpm_swtpm.c (what passes between us and swtpm).
 *
 * A command of the guest's is on its way as one of
 *   AWAY_LOCALITY  swtpm is told on whose behalf, over the control socket; the command follows the answer
 *   AWAY_RESPONSE  it has the command
 * and is over when its response is there, or swtpm is gone: then the response is a failure of our own, so that the
 * guest's driver goes on. Whoever is gone stays gone until the VM ends.
 */
#ifndef MICA_TPM_INT_H
#define MICA_TPM_INT_H

#include "base/loop.h"
#include "base/state.h"
#include "machine/bus.h"
#include "machine/device.h"
#include "tpm/tpm.h"

#include <pthread.h>

#define TPM_NOBODY 0xffu /* instead of a locality */

enum { AWAY_NOT, AWAY_LOCALITY, AWAY_RESPONSE };

struct swtpm {
	struct loop *loop;
	struct loop_fd on_data, on_control;
	struct loop_timer patience; /* for a response */
	int data, control;          /* -1: closed */
	bool gone;
	unsigned away;
	u8 locality; /* that it was told last */
	u8 asked;    /* AWAY_LOCALITY: the one that it is being told */
	/* The command, then its response */
	u8 buf[TPM_BUFFER_BYTES];
	unsigned bytes;
	unsigned got;
};

enum tis_state { TIS_IDLE, TIS_READY, TIS_RECEPTION, TIS_EXECUTION, TIS_COMPLETION };

struct tpm {
	struct device dev;
	struct machine *machine;
	struct io_region region;
	pthread_mutex_t lock; /* guards what follows */
	struct swtpm sw;
	enum tis_state state;
	u8 active;    /* the locality that has the TPM; TPM_NOBODY */
	u8 requested; /* bits of those that wait for it */
	u8 seized;    /* ... that it was taken from */
	bool dropped; /* EXECUTION: nobody wants the response; */
	bool ready;   /* ... what follows is READY, not IDLE */
	unsigned at;  /* COMPLETION: bytes of sw.buf that were read */
};

/* ---- tpm_swtpm.c; the lock is held ---- */

/* Takes both descriptors. Waits for swtpm (no longer than SWTPM_WAIT_S for each answer), as all up to swtpm_state() do:
 * no vCPU runs. */
int swtpm_begin(struct swtpm *s, struct loop *loop, int data, int control, struct err *e);
/* As after power-on. A command that is away is forgotten. */
int swtpm_reset(struct swtpm *s, struct err *e);
/* Save all that it remembers, or give it back what it did. */
int swtpm_state(struct swtpm *s, struct state_file *f, struct err *e);
void swtpm_end(struct swtpm *s);
/* Send the command in buf; tpm_answered() follows, perhaps at once. */
void swtpm_send(struct swtpm *s, u8 locality);
/* A save waits for the response: not as long as a guest would. */
void swtpm_hurry(struct swtpm *s);

/* ---- tpm_tis.c ---- */
/* The response is in buf. The lock is held. */
void tpm_answered(struct swtpm *s);
/* Callbacks of the loop take it. */
void tpm_lock(struct swtpm *s);
void tpm_unlock(struct swtpm *s);

#endif
