/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_int.h - one VM's inside, between the files vm*.c: vm.c (its life), vm_engine.c (who executes), vm_devices.c (what
 * it has), vm_news.c (what its devices say unasked), vm_rest.c (what is done while its vCPUs are at rest), vm_save.c,
 * vm_stats.c.
 *
 * INV-VM-1: what is marked "at rest" runs only while all vCPUs are parked (INV-GATE-1).
 */
#ifndef MICA_VM_INT_H
#define MICA_VM_INT_H

#include "base/ram.h"
#include "base/state.h"
#include "cpu/cpu.h"
#include "device/class.h"
#include "net/net.h"
#include "vmm/boot_files.h"
#include "vmm/firmware.h"
#include "vmm/gate.h"
#include "vmm/vm.h"
#include "vmm/vm_event.h"
#include "vmm/vm_state.h"

#include <pthread.h>

struct vcpu {
	struct vm *vm;
	struct cpu *cpu;
	unsigned index;
	pthread_t thread;
};

#define SETTLE_NS 1000000ull              /* between two looks at devices that are being quiesced */
#define VM_PROGRESS_NS (NSEC_PER_SEC / 5) /* between two words about a save or a restore */

enum vm_save_step { SAVE_SETTLE, SAVE_FLUSH, SAVE_MEMORY, SAVE_END };
struct vm_flush;

/* vm_save.c's */
struct vm_saving {
	int fd;
	vm_saved_fn *done;
	void *opaque;
	enum vm_save_step step;
	struct state_file *state;
	struct vm_flush *flush; /* a disk each */
	unsigned flushing;
	u64 memory_bytes;
	int rc;
	struct err err;
	_Atomic bool given_up; /* any thread */
	_Atomic u64 written;   /* bytes, as was last looked */
	u64 tell_ns;           /* when to look again; who writes */
};

struct vm {
	struct vmm_config *cfg; /* only vm_media.c changes it, and vm_devices.c what nobody had said */
	struct loop *loop;
	struct ram *ram;
	struct cpu_model *model;
	struct machine *machine;
	struct cpu_vm *cpus;
	struct chr *console, *serial2, *virtio_console;
	struct vm_device {
		struct vm *vm;
		const struct device_class *cls;
		unsigned disk;               /* DISK, CDROM: of cfg->disks */
		struct device *dev;          /* the board's */
		_Atomic unsigned link_turns; /* DEVICE_LINK so often */
		_Atomic unsigned panics;     /* bits by enum device_news: not told yet */
		unsigned link_told;          /* vm_news.c's */
	} * devices;
	unsigned ndevices;
	struct {
		struct loop_timer look; /* some device has news */
		u64 since_ns;
		unsigned told; /* since then */
	} news;
	struct blk *disks[VMM_DISKS_MAX]; /* their devices own them */
	unsigned ndisks;
	struct vm_medium *media[VMM_DISKS_MAX]; /* vm_media.c's: of CD-ROMs whose medium was changed */
	char *cwd;                              /* where we were started, for relative paths in a saved state */
	struct state_file *restore;             /* what to go on from, while building */
	u64 restore_tell_ns;                    /* when to say again how far it is */
	u8 *restore_head;                       /* what was read of it before */
	struct cpu_model_promise promise;       /* ... and what its CPUs were promised */
	struct boot_files files;
	struct firmware_files firmware;
	bool has_firmware;
	const struct net_backend *nets; /* by number of the card */
	struct {
		vm_listen_fn *fn;
		void *opaque;
	} listener;
	struct vcpu vcpu[CPU_MAX];
	unsigned nthreads;
	int proc_status; /* /proc/self/status, for our own memory */
	enum cpu_engine_kind kind;
	bool automatic;       /* the choice of it */
	char engine_why[320]; /* why this engine runs it */
	u64 started_ns;
	u64 start_cpu_us; /* CPU time from exec to the first guest instruction */
	unsigned resets;
	int status; /* to exit with */
	bool ended;

	struct vm_screen *looker; /* NULL: there is no screen */

	struct gate gate;
	struct gate_wishes doing; /* vm_act_at_rest()'s, what is left of them */
	struct loop_timer settle; /* vm_go_on() looks again */
	int reset_result;         /* of the errand, for go_on_after_reset() */
	bool was_reset;           /* since act_at_rest() began */
	const char *reset_why;
	struct err reset_err;
	struct vm_saving save; /* what gate_save() is for */
	pthread_mutex_t lock;  /* guards what follows */
	struct err engine_err; /* why the first vCPU could not go on; empty: all can */
};

/* ---- vm_engine.c: the engine as asked for, or the best that works; which and why is told ---- */
int vm_choose_engine(struct vm *v, int *status, struct err *e);
/* Make it, and the vCPUs. */
int vm_add_cpus(struct vm *v, int *status, struct err *e);

/* ---- vm_devices.c ---- */
int vm_add_devices(struct vm *v, struct err *e);
/* And the board they are on. */
void vm_free_devices(struct vm *v);
/* What is shown; NULL: the VM has no screen. */
const struct screen *vm_screen(struct vm *v);
/* For boot_params.screen; opaque: the VM. */
int vm_boot_mode(void *opaque, unsigned mode, struct boot_screen *out);
/* New reference: what there is, by id, with its class and PCI slot. */
json_t *vm_devices_json(struct vm *v);

/* ---- vm_news.c ---- */
void vm_news_init(struct vm *v);
/* The devices are gone, or going nowhere. */
void vm_news_fini(struct vm *v);
/* For device_args.listener; opaque: struct vm_device, before `dev` is there. */
void vm_on_device_news(void *opaque, enum device_news what);
/* Is the link of this network card up, as was last told? */
bool vm_link_up(const struct vm_device *d);

/* ---- vm_media.c ---- */
void vm_media_free(struct vm *v);
/* Adds what it knows to a device's description. */
void vm_media_json(struct vm *v, const struct vm_device *d, json_t *o);

/* ---- vm_rest.c; opaque: struct vm ---- */
/* On the loop, at rest: what the gate was asked for. */
void vm_act_at_rest(void *opaque);
/* What vm_act_at_rest() has begun is done, or was overtaken: the rest. On the loop, at rest. */
void vm_go_on(void *opaque);
/* Put the kernel into memory; the vCPUs are in reset state. At rest, any thread. */
int vm_boot(struct vm *v, struct err *e);

/* ---- vm_save.c ---- */
struct snapshot_vm vm_parts(struct vm *v);
/* What was wished besides has been done: take saving a step further. False: vm_go_on() follows. On the loop, at rest.
 */
bool vm_save_at_rest(struct vm *v);

/* ---- vm_stats.c ---- */
void vm_print_stats(struct vm *v);

#endif
