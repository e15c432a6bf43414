/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm.c - see vm.h. gate.h says how the vCPUs are stopped, and what becomes of several wishes at a time. */
#include "vmm/identity.h"
#include "vmm/vm.h"
#include "base/clock.h"
#include "base/log.h"
#include "block/block.h"
#include "machine/machine.h"
#include "machine/memory.h"
#include "vmm/boot_order.h"
#include "vmm/exit_status.h"
#include "base/i18n.h"
#include "vmm/picture.h"
#include "vmm/vm_int.h"
#include "vmm/vm_screen.h"

#include <fcntl.h>
#include <sys/prctl.h>

/* ---- the gate ---- */

static void post_act(void *opaque)
{
	struct vm *v = opaque;

	loop_post(v->loop, vm_act_at_rest, v);
}

static void stop_cpus(void *opaque)
{
	struct vm *v = opaque;

	for (unsigned i = 0; v->cpus && i < v->cfg->cpus; i++)
		cpu_stop(v->vcpu[i].cpu);
}

void vm_ask(struct vm *v, enum vm_ask what, unsigned value)
{
	gate_ask(&v->gate, what, value);
}

static void *vcpu_main(void *opaque)
{
	struct vcpu *c = opaque;
	struct vm *v = c->vm;
	struct err e;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", c->index);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	while (gate_pass(&v->gate, c->index)) {
		switch (cpu_run(c->cpu, &e)) {
		case CPU_EXIT_STOP:
			break;
		case CPU_EXIT_SHUTDOWN:
			vm_ask(v, VM_TRIPLE_FAULT, 0);
			break;
		case CPU_EXIT_ERROR:
			pthread_mutex_lock(&v->lock);
			if (!v->engine_err.msg[0])
				v->engine_err = e;
			pthread_mutex_unlock(&v->lock);
			vm_ask(v, VM_ENGINE_FAILED, 0);
			break;
		}
	}
	return NULL;
}

static void on_machine(void *opaque, enum machine_event ev, u32 value)
{
	static const enum vm_ask asks[] = {
		[MACHINE_POWEROFF] = VM_POWEROFF,
		[MACHINE_RESET] = VM_RESET,
		[MACHINE_DEBUG_EXIT] = VM_DEBUG_EXIT,
	};
	if (ev == MACHINE_PAUSE)
		gate_pause(&((struct vm *)opaque)->gate);
	else
		vm_ask(opaque, asks[ev], value);
}

/* ---- putting it together ---- */

/* After each section of it. */
static void tell_restored(void *opaque)
{
	struct vm *v = opaque;
	u64 now = clock_mono_ns();

	if (now < v->restore_tell_ns)
		return;
	v->restore_tell_ns = now + VM_PROGRESS_NS;
	vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_PROGRESS,
				       .command = "restore",
				       .done = state_offset(v->restore),
				       .total = v->cfg->memory_bytes });
}

static int restore(struct vm *v, struct err *e)
{
	struct snapshot_vm p = vm_parts(v);

	state_on_section(v->restore, tell_restored, v);
	int r = snapshot_load(&p, v->restore, e);

	state_free(steal(&v->restore));
	free(steal(&v->restore_head));
	return r < 0 ? err_prefix(e, "restore") : 0;
}

static int open_restore(struct vm *v, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	size_t bytes = 0;

	if (c->restore_head_fd >= 0) {
		ssize_t n;
		v->restore_head = xcalloc(1, STATE_HEAD_MAX);
		while (bytes < STATE_HEAD_MAX &&
		       (n = read(c->restore_head_fd, v->restore_head + bytes, STATE_HEAD_MAX - bytes)) > 0)
			bytes += (size_t)n;
	}
	return snapshot_open(&v->restore, c->restore_fd, v->restore_head, bytes, c, &v->promise, e);
}

static int build(struct vm *v, int *status, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	struct machine_config mc = {
		.loop = v->loop,
		.ncpus = c->cpus,
		.debug_exit = c->debug_exit,
		.event = on_machine,
		.event_opaque = v,
	};
	int r;

	struct smbios_identity identity;
	unsigned kind;

	if ((r = vmm_machine_parse(&kind, c->machine, e)) < 0)
		return r;
	mc.kind = (enum machine_kind)kind;
	if ((r = identity_parse(&identity, c->smbios, c->nsmbios, e)) < 0)
		return r;
	mc.identity = &identity;
	if ((r = firmware_open(&v->firmware, c, &v->has_firmware, e)) < 0)
		return r;
	if (v->has_firmware)
		mc.firmware = &v->firmware.image;
	r = boot_files_open(&v->files, c, e);
	if (r < 0 && c->restore_fd >= 0) {
		log_warn("%s; the restored VM goes on, but cannot boot again after a reset", err_local(e));
		r = 0;
	}
	if (r < 0)
		return r;
	if (c->restore_fd >= 0 && (r = open_restore(v, e)) < 0)
		return err_prefix(e, "restore");
	if ((r = vm_choose_engine(v, status, e)) < 0)
		return r;
	r = vmm_config_shares_memory(c) ? ram_new_to_share(&v->ram, c->memory_bytes, MEMORY_ROOM, e)
					: ram_new_with_room(&v->ram, c->memory_bytes, MEMORY_ROOM, e);
	if (r < 0)
		return r;
	mc.ram = v->ram;
	if ((r = machine_new(&v->machine, &mc, e)) < 0 || (r = vm_add_cpus(v, status, e)) < 0 ||
	    (r = vm_add_devices(v, e)) < 0)
		return r;
	firmware_read_done(&v->firmware);
	if (v->has_firmware && ((r = boot_order_tell(v, e)) < 0 || (r = firmware_add_files(v->machine, c, e)) < 0))
		return r;
	r = v->restore ? restore(v, e) : vm_boot(v, e);
	ram_settle(v->ram);
	return r;
}

/* Everything vm_new() and vm_start() made; the threads are gone. */
static void destroy(struct vm *v)
{
	vm_free_devices(v);
	if (v->cpus)
		cpu_vm_free(v->cpus);
	cpu_model_free(v->model);
	ram_free(v->ram);
	state_free(v->restore);
	free(v->restore_head);
	free(v->cwd);
	boot_files_close(&v->files);
	firmware_close(&v->firmware);
	if (v->proc_status >= 0)
		close(v->proc_status);
	loop_timer_fini(&v->settle);
	vm_news_fini(v);
	gate_fini(&v->gate);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

int vm_new(struct vm **out, struct loop *loop, struct vmm_config *cfg, const struct net_backend *nets, vm_listen_fn *fn,
	   void *opaque, int *status, struct err *e)
{
	struct vm *v = xcalloc(1, sizeof(*v));

	vm_listen(v, fn, opaque);
	v->cfg = cfg;
	v->firmware.vars_fd = -1;
	v->nets = nets;
	v->loop = loop;
	gate_init(&v->gate, &(struct gate_ops){ .post = post_act, .stop = stop_cpus, .opaque = v }, cfg->cpus);
	loop_timer_init(loop, &v->settle, vm_go_on, v);
	vm_news_init(v);
	v->cwd = getcwd(NULL, 0);
	if (!v->cwd)
		v->cwd = xstrdup("/");
	pthread_mutex_init(&v->lock, NULL);
	v->proc_status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	*status = STATUS_HOST;
	int r = build(v, status, e);
	if (r == 0 && vm_screen(v))
		r = picture_begin(e);
	if (r < 0) {
		destroy(v);
		return r;
	}
	*out = v;
	return 0;
}

int vm_start(struct vm *v, const struct vnc_link *vnc, struct err *e)
{
	/* Processes that the engine makes have a copy of our memory for a moment: before there are threads. */
	cpu_vm_ready(v->cpus);
	int rc = blk_start_threads(e);
	if (rc < 0)
		return rc;
	for (; v->nthreads < v->cfg->cpus; v->nthreads++) {
		struct vcpu *c = &v->vcpu[v->nthreads];
		int r = pthread_create(&c->thread, NULL, vcpu_main, c);
		if (r)
			return err_sys(e, r, "cannot start the thread of CPU %u", c->index);
	}
	const struct vm_screen_config look = {
		.vm = v, .loop = v->loop, .screen = vm_screen(v), .cpus = v->cpus, .vnc = vnc
	};
	if (look.screen && (rc = vm_screen_start(&v->looker, &look, e)) < 0)
		return rc;
	/* They have made the system calls a thread begins with once they are parked. */
	gate_wait_parked(&v->gate);
	return 0;
}

void vm_go(struct vm *v)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	v->start_cpu_us = (u64)ts.tv_sec * 1000000 + (u64)ts.tv_nsec / 1000;
	v->started_ns = clock_mono_ns();
	gate_go(&v->gate);
	vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_STATE, .state = gate_name(&v->gate) });
}

/* ---- buttons ---- */

void vm_power_button(struct vm *v)
{
	if (gate_button(&v->gate))
		machine_power_button(v->machine);
}

int vm_screenshot(struct vm *v, int fd, vm_shot_fn *done, void *opaque, struct err *e)
{
	if (!v->looker)
		return err_set(e, ENODEV, "the VM has no screen: start it with --display vga");
	return vm_screen_shot(v->looker, fd, done, opaque, e);
}

int vm_screen_text(struct vm *v, struct vm_text *out, struct err *e)
{
	if (!v->looker)
		return err_set(e, ENODEV, "the VM has no screen: start it with --display vga");
	return vm_screen_read(vm_screen(v), out, e);
}

int vm_clipboard(struct vm *v, const char **text, struct err *e)
{
	if (!v->looker)
		return err_set(e, ENODEV, "the VM has no screen: start it with --display vga");
	return vm_screen_cut(v->looker, text, e);
}

/* ---- the end ---- */

int vm_free(struct vm *v)
{
	int status = v->status;

	gate_leave(&v->gate);
	for (unsigned i = 0; i < v->nthreads; i++) {
		cpu_stop(v->vcpu[i].cpu);
		pthread_join(v->vcpu[i].thread, NULL);
	}
	vm_screen_end(v->looker);
	if (v->cfg->stats)
		vm_print_stats(v);
	destroy(v);
	return status;
}
