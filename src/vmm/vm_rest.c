/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_rest.c - what is done while all vCPUs are at rest: reset, the end, what follows.
 *
 * The loop waits for nothing that a guest decides the length of. A reset waits for the disks, gives all memory back and
 * reads a kernel: that is an errand of vCPU 0's thread (gate.h), and vm_go_on() follows it. A save wants quiet disks:
 * vm_go_on() quiesces the devices and looks again each SETTLE_NS. A wish to end the VM overtakes both.
 */
#include "base/clock.h"
#include "base/log.h"
#include "machine/machine.h"
#include "vmm/exit_status.h"
#include "base/i18n.h"
#include "vmm/vm_int.h"

#define DISCARD_BYTES (64 * MIB) /* of memory given back, between two looks at the wishes */

static bool carry_out(struct vm *v, const struct gate_wishes *w);

/* ---- booting ---- */

/* The vCPUs are in reset state. */
int vm_boot(struct vm *v, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	struct boot_params p = {
		.kernel = c->kernel,
		.initrd = c->initrd,
		.append = c->append,
		.modules = (const char *const *)c->modules,
		.nmodules = c->nmodules,
		.open = boot_files_hand_out,
		.open_opaque = &v->files,
	};
	struct cpu_state *s = aligned_alloc(64, ROUND_UP(sizeof(*s), 64));
	must(s);
	cpu_get_state(v->vcpu[0].cpu, s);
	s->tsc = 0; /* all TSCs run on, in step */
	/* With firmware they begin as a reset leaves them. */
	int r = v->has_firmware ? 0 : machine_boot(v->machine, &p, s, e);
	if (r == 0)
		r = cpu_set_state(v->vcpu[0].cpu, s, e);
	for (unsigned i = 1; r == 0 && i < c->cpus; i++) {
		cpu_get_state(v->vcpu[i].cpu, s);
		s->tsc = 0;
		if (!v->has_firmware)
			machine_boot_other(s);
		r = cpu_set_state(v->vcpu[i].cpu, s, e);
	}
	free(s);
	return r;
}

/* Memory is empty after power-on, and the host has it back. */
static void discard_ram(struct vm *v)
{
	for (u64 at = 0; at < v->ram->bytes && !gate_must_end(&v->gate); at += DISCARD_BYTES)
		ram_discard_at(v->ram, at, MIN(v->ram->bytes - at, DISCARD_BYTES));
}

static int reset(struct vm *v, struct err *e)
{
	machine_reset(v->machine);
	for (unsigned i = 0; i < v->cfg->cpus; i++)
		cpu_reset(v->vcpu[i].cpu);
	discard_ram(v);
	return gate_must_end(&v->gate) ? 0 : vm_boot(v, e);
}

static void finish(struct vm *v, int status, const char *why, const struct err *e)
{
	vm_tell(v,
		&(struct vm_event){ .kind = VM_EVENT_STATE, .state = "ended", .why = why, .status = status, .err = e });
	v->status = status;
	v->ended = true;
	gate_leave(&v->gate);
	loop_stop(v->loop);
}

static void go_on_after_reset(void *opaque);

/* An errand. */
static void reset_here(void *opaque)
{
	struct vm *v = opaque;

	v->reset_result = reset(v, &v->reset_err);
	loop_post(v->loop, go_on_after_reset, v);
}

/* True: the reset is under way, and go_on_after_reset() follows. */
static bool reset_or_finish(struct vm *v, int status, const char *why, const char *text)
{
	if (v->cfg->no_reboot) {
		log_info("%s", text);
		finish(v, status, why, NULL);
		return false;
	}
	v->resets++;
	v->was_reset = true;
	v->reset_why = why;
	gate_errand(&v->gate, reset_here);
	return true;
}

/* ---- what was wished ---- */

/* Nothing moves any more, until vm_release(). False: something is in flight, vm_go_on() follows. */
static bool pause_here(struct vm *v)
{
	if (!machine_quiesce(v->machine)) {
		loop_timer_arm(&v->settle, clock_mono_ns() + SETTLE_NS);
		return false;
	}
	gate_hold(&v->gate);
	log_info(_("the VM is paused; the control command resume has it go on"));
	vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_STATE, .state = gate_name(&v->gate) });
	return true;
}

/* What act_at_rest() has begun is done, or was overtaken: the rest. On the loop, all vCPUs parked. */
void vm_go_on(void *opaque)
{
	struct vm *v = opaque;
	struct gate_wishes end = gate_take_end(&v->gate);

	if (end.ask != VM_NOTHING && !v->ended)
		carry_out(v, &end);
	if (v->doing.button && !v->ended)
		machine_power_button(v->machine);
	v->doing.button = false;
	if (v->doing.save && !vm_save_at_rest(v))
		return;
	v->doing.save = false;
	if (v->doing.pause && !v->ended && !v->was_reset && !gate_held(&v->gate) && !pause_here(v))
		return;
	v->doing.pause = false;
	gate_acted(&v->gate, v->was_reset);
}

static void go_on_after_reset(void *opaque)
{
	struct vm *v = opaque;

	if (v->reset_result < 0) {
		log_error("the VM cannot boot again: %s", err_local(&v->reset_err));
		finish(v, STATUS_HOST, "boot-failed", &v->reset_err);
	} else {
		vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_RESET, .why = v->reset_why });
	}
	vm_go_on(v);
}

/* True: it is not done yet; go_on_after_reset() follows. */
static bool carry_out(struct vm *v, const struct gate_wishes *w)
{
	switch (w->ask) {
	case VM_NOTHING:
		break;
	case VM_POWEROFF:
		finish(v, STATUS_OK, "poweroff", NULL);
		break;
	case VM_RESET:
		return reset_or_finish(v, STATUS_RESET, "reset", _("the guest reset the machine"));
	case VM_TRIPLE_FAULT:
		return reset_or_finish(v, STATUS_TRIPLE_FAULT, "triple-fault",
				       _("the guest's CPU shut down (triple fault)"));
	case VM_DEBUG_EXIT:
		finish(v, STATUS_DEBUG((int)w->value), "debug-exit", NULL);
		break;
	case VM_ENGINE_FAILED:
		log_error("the CPU engine failed: %s", err_local(&v->engine_err));
		finish(v, STATUS_ENGINE, "engine-failed", &v->engine_err);
		break;
	case VM_QUIT:
		finish(v, (int)w->value, "quit", NULL);
		break;
	}
	return false;
}

/* On the loop, all vCPUs parked. */
void vm_act_at_rest(void *opaque)
{
	struct vm *v = opaque;

	v->doing = gate_take(&v->gate);
	v->was_reset = false;
	if (!carry_out(v, &v->doing))
		vm_go_on(v);
}
