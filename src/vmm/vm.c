/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm.c - see vm.h.
 *
 * gate.h says how the vCPUs are stopped, and what becomes of several wishes at a time.
 *
 * The loop waits for nothing that a guest decides the length of. A reset waits for the disks, gives all memory back and
 * reads a kernel: that is an errand of vCPU 0's thread (gate.h), and go_on() follows it. A save wants quiet disks:
 * go_on() freezes the devices and looks again each SETTLE_NS. A wish to end the VM overtakes both.
 *
 * INV-VM-1: act_at_rest(), go_on() and everything below them run only while all vCPUs are parked (INV-GATE-1).
 */
#include "vmm/vm.h"
#include "base/clock.h"
#include "base/log.h"
#include "block/block.h"
#include "cpu/cpu.h"
#include "cpu/probe.h"
#include "device/chr.h"
#include "device/uart.h"
#include "device/virtio/virtio.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "net/net.h"
#include "vmm/boot_files.h"
#include "vmm/engine_options.h"
#include "vmm/gate.h"
#include "base/i18n.h"
#include "vmm/listen.h"
#include "vmm/cpu_promise_json.h"
#include "vmm/vm_state.h"
#include "vmm/exit_status.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define FLUSH_MS 1000
#define SETTLE_NS 1000000ull
#define DISCARD_BYTES (64 * MIB) /* of memory given back, between two looks at the wishes */

struct vcpu {
	struct vm *vm;
	struct cpu *cpu;
	unsigned index;
	pthread_t thread;
};

struct vm {
	const struct vmm_config *cfg;
	struct loop *loop;
	struct ram *ram;
	struct cpu_model *model;
	struct machine *machine;
	struct cpu_vm *cpus;
	struct chr *console, *virtio_console;
	struct uart *uart;
	struct virtio_dev *balloon;
	struct blk *disks[VMM_DISKS_MAX]; /* virtio-blk owns them */
	unsigned ndisks;
	char *cwd;                        /* where we were started, for relative paths in a saved state */
	struct state_file *restore;       /* what to go on from, while building */
	struct cpu_model_promise promise; /* ... and what its CPUs were promised */
	struct boot_files files;
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

	struct gate gate;
	struct gate_wishes doing; /* act_at_rest()'s, what is left of them */
	struct loop_timer settle; /* go_on() looks again */
	int reset_result;         /* of the errand, for go_on_after_reset() */
	bool was_reset;           /* since act_at_rest() began */
	struct err reset_err;
	struct {
		int fd; /* what gate_save() is for */
		vm_saved_fn *done;
		void *opaque;
	} save;
	pthread_mutex_t lock;  /* guards what follows */
	struct err engine_err; /* why the first vCPU could not go on; empty: all can */
};

/* ---- the gate ---- */

static void act_at_rest(void *opaque);

static void post_act(void *opaque)
{
	struct vm *v = opaque;

	loop_post(v->loop, act_at_rest, v);
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
	vm_ask(opaque, asks[ev], value);
}

/* ---- booting ---- */

/* The vCPUs are in reset state. */
static int boot(struct vm *v, struct err *e)
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
	int r = machine_boot(v->machine, &p, s, e);
	if (r == 0)
		r = cpu_set_state(v->vcpu[0].cpu, s, e);
	for (unsigned i = 1; r == 0 && i < c->cpus; i++) {
		cpu_get_state(v->vcpu[i].cpu, s);
		s->tsc = 0;
		machine_boot_other(s);
		r = cpu_set_state(v->vcpu[i].cpu, s, e);
	}
	free(s);
	return r;
}

/* Memory is empty after power-on, and the host has it back. */
static void discard(struct vm *v, gpa_t gpa, u64 bytes)
{
	for (u64 at = 0; at < bytes && !gate_must_end(&v->gate); at += DISCARD_BYTES)
		ram_discard(v->ram, gpa + at, MIN(bytes - at, DISCARD_BYTES));
}

static int reset(struct vm *v, struct err *e)
{
	machine_reset(v->machine);
	for (unsigned i = 0; i < v->cfg->cpus; i++)
		cpu_reset(v->vcpu[i].cpu);
	discard(v, 0, v->ram->low_bytes);
	discard(v, RAM_HIGH_BASE, v->ram->bytes - v->ram->low_bytes);
	return gate_must_end(&v->gate) ? 0 : boot(v, e);
}

static void finish(struct vm *v, int status)
{
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
static bool reset_or_finish(struct vm *v, int status, const char *why)
{
	if (v->cfg->no_reboot) {
		log_info("%s", why);
		finish(v, status);
		return false;
	}
	v->resets++;
	v->was_reset = true;
	gate_errand(&v->gate, reset_here);
	return true;
}

/* ---- saving ---- */

static struct snapshot_vm parts(struct vm *v)
{
	return (struct snapshot_vm){
		.cfg = v->cfg,
		.cwd = v->cwd,
		.ram = v->ram,
		.model = v->model,
		.machine = v->machine,
		.cpus = v->cpus,
		.uart = v->uart,
		.disks = v->disks,
	};
}

int vm_save(struct vm *v, int fd, vm_saved_fn *done, void *opaque, struct err *e)
{
	struct snapshot_vm p = parts(v);
	int r = snapshot_possible(&p, e);

	if (r < 0)
		return r;
	if (!gate_save(&v->gate))
		return err_set(e, EBUSY, "the VM is being saved already, or ends");
	v->save.fd = fd;
	v->save.done = done;
	v->save.opaque = opaque;
	return 0;
}

bool vm_held(struct vm *v)
{
	return gate_held(&v->gate);
}

void vm_release(struct vm *v)
{
	if (vm_held(v))
		virtio_pci_freeze_all(machine_pci(v->machine), false);
	gate_release(&v->gate);
}

static bool carry_out(struct vm *v, const struct gate_wishes *w);

/* What was wished besides has been done. False: not yet, requests are in flight. */
static bool save(struct vm *v)
{
	struct snapshot_vm p = parts(v);
	struct pci_bus *pci = machine_pci(v->machine);
	struct snapshot_size size = { 0 };
	struct err e;
	int r;

	if (v->ended) {
		r = err_set(&e, ESHUTDOWN, "the VM ended before it could be saved");
	} else {
		virtio_pci_freeze_all(pci, true);
		if (virtio_pci_busy(pci))
			return false;
		r = snapshot_save(&p, v->save.fd, &size, &e);
		/* While it is held nothing moves: what waits in the rings is in the saved state, and is done by who
		 * goes on. */
		if (r < 0)
			virtio_pci_freeze_all(pci, false);
	}
	close(v->save.fd);
	if (r == 0)
		gate_hold(&v->gate);
	v->save.done(v->save.opaque, r < 0 ? &e : NULL, size.file_bytes, size.memory_bytes);
	return true;
}

/* What act_at_rest() has begun is done, or was overtaken: the rest. On the loop, all vCPUs parked. */
static void go_on(void *opaque)
{
	struct vm *v = opaque;
	struct gate_wishes end = gate_take_end(&v->gate);

	if (end.ask != VM_NOTHING && !v->ended)
		carry_out(v, &end);
	if (v->doing.button && !v->ended)
		machine_power_button(v->machine);
	v->doing.button = false;
	if (v->doing.save && !save(v)) {
		loop_timer_arm(&v->settle, clock_mono_ns() + SETTLE_NS);
		return;
	}
	gate_acted(&v->gate, v->was_reset);
}

static void go_on_after_reset(void *opaque)
{
	struct vm *v = opaque;

	if (v->reset_result < 0) {
		log_error(_("the VM cannot boot again: %s"), err_local(&v->reset_err));
		finish(v, STATUS_HOST);
	}
	go_on(v);
}

/* True: it is not done yet; go_on_after_reset() follows. */
static bool carry_out(struct vm *v, const struct gate_wishes *w)
{
	switch (w->ask) {
	case VM_NOTHING:
		break;
	case VM_POWEROFF:
		finish(v, STATUS_OK);
		break;
	case VM_RESET:
		return reset_or_finish(v, STATUS_RESET, _("the guest reset the machine"));
	case VM_TRIPLE_FAULT:
		return reset_or_finish(v, STATUS_TRIPLE_FAULT, _("the guest's CPU shut down (triple fault)"));
	case VM_DEBUG_EXIT:
		finish(v, STATUS_DEBUG((int)w->value));
		break;
	case VM_ENGINE_FAILED:
		log_error(_("the CPU engine failed: %s"), err_local(&v->engine_err));
		finish(v, STATUS_ENGINE);
		break;
	case VM_QUIT:
		finish(v, (int)w->value);
		break;
	}
	return false;
}

/* On the loop, all vCPUs parked. */
static void act_at_rest(void *opaque)
{
	struct vm *v = opaque;

	v->doing = gate_take(&v->gate);
	v->was_reset = false;
	if (!carry_out(v, &v->doing))
		go_on(v);
}

/* ---- putting it together ---- */

static int open_chardev(struct chr **out, struct loop *loop, const char *kind, int fd, const char *path, struct err *e)
{
	*out = NULL;
	if (!strcmp(kind, "fd"))
		return chr_new(out, loop, fd, fd, e);
	if (!strcmp(kind, "unix")) {
		int l = unix_listen(path, e);
		return l < 0 ? l : chr_new_listen(out, loop, l, e);
	}
	return 0;
}

static int add_virtio(struct vm *v, int r, struct virtio_dev *d, struct err *e)
{
	return r < 0 ? r : virtio_pci_add(machine_pci(v->machine), d, -1, e);
}

static int add_disk(struct vm *v, const struct vmm_disk *d, struct err *e)
{
	struct blk_params p = {
		.path = d->path,
		.format = d->format ? d->format : "raw",
		.readonly = d->readonly,
		.snapshot = d->snapshot,
		.direct = d->direct,
	};
	struct virtio_dev *dev = NULL;
	struct blk *blk;
	int r = blk_open(&blk, v->loop, &p, e);

	if (r < 0)
		return r;
	v->disks[v->ndisks++] = blk;
	r = virtio_blk_new(&dev, v->ram, v->loop, blk, MIN(v->cfg->cpus, 4), d->serial ? d->serial : "", e);
	return add_virtio(v, r, dev, e);
}

static int add_net(struct vm *v, const struct vmm_net *n, unsigned index, struct err *e)
{
	/* Locally administered; "mica" and the card's number. */
	u8 mac[6] = { 0x02, 'm', 'i', 'c', 'a', (u8)index };
	struct net_hostfwd *fwd = xcalloc(n->nhostfwd + 1, sizeof(*fwd));
	struct virtio_dev *dev = NULL;
	pid_t pid;
	int fd, r = n->mac ? vmm_mac_parse(mac, n->mac, e) : 0;

	for (unsigned i = 0; r == 0 && i < n->nhostfwd; i++)
		r = net_hostfwd_parse(&fwd[i], n->hostfwd[i], e);
	if (r == 0)
		r = net_user_start(&fd, &pid, fwd, n->nhostfwd, e);
	free(fwd);
	if (r < 0)
		return r;
	r = virtio_net_new(&dev, v->ram, v->loop, fd, mac, e);
	if (r == 0)
		virtio_net_set_mtu(dev, NET_USER_MTU);
	return add_virtio(v, r, dev, e);
}

static void on_uart_reset(void *opaque)
{
	uart_reset(opaque);
}

static void on_virtio_reset(void *opaque)
{
	virtio_pci_reset_all(opaque);
}

/* In slot order: a disk's name in the guest (vda, vdb, ...) follows it. */
static int add_devices(struct vm *v, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	struct virtio_dev *dev = NULL;
	int r = open_chardev(&v->console, v->loop, c->console, c->console_fd, c->console_path, e);

	if (r == 0) {
		r = uart_new(&v->uart, machine_bus(v->machine), LAYOUT_UART1, machine_irq(v->machine, LAYOUT_GSI_UART1),
			     v->console);
		if (r < 0)
			return err_sys(e, -r, "cannot add the serial port");
		machine_on_reset(v->machine, on_uart_reset, v->uart);
	}
	machine_on_reset(v->machine, on_virtio_reset, machine_pci(v->machine));
	for (unsigned i = 0; r == 0 && i < c->ndisks; i++)
		r = add_disk(v, &c->disks[i], e);
	for (unsigned i = 0; r == 0 && i < c->nnets; i++)
		r = add_net(v, &c->nets[i], i, e);
	if (r == 0 && strcmp(c->virtio_console, "none")) {
		r = open_chardev(&v->virtio_console, v->loop, c->virtio_console, c->virtio_console_fd,
				 c->virtio_console_path, e);
		if (r == 0)
			r = virtio_console_new(&dev, v->ram, v->loop, v->virtio_console, e);
		r = add_virtio(v, r, dev, e);
	}
	if (r == 0) {
		r = virtio_rng_new(&dev, v->ram, v->loop, e);
		r = add_virtio(v, r, dev, e);
	}
	if (r == 0) {
		r = virtio_balloon_new(&dev, v->ram, v->loop, e);
		r = add_virtio(v, r, dev, e);
		v->balloon = r == 0 ? dev : NULL;
	}
	return r;
}

static unsigned trace_mask(const struct vmm_config *c)
{
	static const struct {
		const char *name;
		enum cpu_trace bit;
	} names[] = { { "exec", TRACE_EXEC }, { "exc", TRACE_EXC }, { "intr", TRACE_INTR }, { "block", TRACE_BLOCK } };
	unsigned mask = 0;

	for (unsigned i = 0; i < c->ntrace; i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (!strcmp(c->trace[i], names[k].name))
				mask |= names[k].bit;
	return mask;
}

/* ---- the engine: as asked for, or the best that works; which and why is told ---- */

/* The CPU model as that engine keeps it, and as a saved VM was promised it. */
static int new_model(struct vm *v, enum cpu_engine_kind kind, struct err *e)
{
	cpu_model_free(steal(&v->model));
	int r = cpu_model_new(&v->model, v->cfg->cpu, v->cfg->cpus, e);

	if (r < 0)
		return err_prefix(e, "cpu");
	r = cpu_engine_limit(kind, v->model, e);
	if (r == 0 && v->restore && (r = cpu_model_keep(v->model, &v->promise, e)) < 0)
		r = err_prefix(e, "restore");
	return r;
}

static int choose_engine(struct vm *v, int *status, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	enum cpu_engine_kind kvm = strcmp(c->irqchip, "kernel") ? CPU_ENGINE_KVM : CPU_ENGINE_KVM_CHIPS;
	struct kvm_probe p;
	int r;

	v->automatic = !strcmp(c->engine, "auto");
	v->kind = strcmp(c->engine, "kvm") ? CPU_ENGINE_SOFT : kvm;
	snprintf(v->engine_why, sizeof(v->engine_why), "%s", _("as asked for"));
	if (v->automatic) {
		kvm_probe(&p);
		v->kind = p.verdict == KVM_USABLE ? kvm : CPU_ENGINE_SOFT;
		snprintf(v->engine_why, sizeof(v->engine_why), "KVM: %s", p.why);
	}
	r = new_model(v, v->kind, e);
	/* What KVM cannot keep on this host, the software engine may. */
	if (r < 0 && v->automatic && v->kind != CPU_ENGINE_SOFT) {
		snprintf(v->engine_why, sizeof(v->engine_why), "KVM: %.300s", e->msg);
		v->kind = CPU_ENGINE_SOFT;
		r = new_model(v, v->kind, e);
	}
	if (r < 0 && v->kind != CPU_ENGINE_SOFT && !v->restore)
		*status = STATUS_ENGINE;
	if (r == -EINVAL && !v->restore)
		*status = STATUS_USAGE;
	return r;
}

static int make_cpus(struct vm *v, struct err *e)
{
	const struct vmm_config *c = v->cfg;
	const struct cpu_bus *bus = machine_cpu_bus(v->machine);
	struct soft_options so;

	must(engine_options_parse(&so, c->engine_options, c->nengine_options, e) == 0);
	return v->kind == CPU_ENGINE_SOFT ? cpu_vm_new_soft(&v->cpus, bus, v->ram, v->model, c->cpus, &so, e)
					  : cpu_vm_new(&v->cpus, v->kind, bus, v->ram, v->model, c->cpus, e);
}

static int new_engine(struct vm *v, struct err *e)
{
	int r = make_cpus(v, e);

	if (r < 0 && v->automatic && v->kind != CPU_ENGINE_SOFT) {
		snprintf(v->engine_why, sizeof(v->engine_why), "KVM: %.300s", e->msg);
		v->kind = CPU_ENGINE_SOFT;
		r = new_model(v, v->kind, e);
		if (r == 0)
			r = make_cpus(v, e);
	}
	if (r == 0)
		log_info(_("engine: %s (%s)"), cpu_vm_engine(v->cpus), v->engine_why);
	return r;
}

static int add_cpus(struct vm *v, int *status, struct err *e)
{
	const struct vmm_config *c = v->cfg;

	int r = new_engine(v, e);
	if (r < 0) {
		*status = STATUS_ENGINE;
		return r;
	}
	for (unsigned i = 0; i < c->cpus; i++)
		v->vcpu[i] = (struct vcpu){ .vm = v, .cpu = cpu_vm_cpu(v->cpus, i), .index = i };
	if (c->ntrace) {
		cpu_vm_trace(v->cpus, trace_mask(c));
		if (strcmp(cpu_vm_engine(v->cpus), "soft"))
			log_warn("%s", _("--trace: only the software engine can trace; use --engine soft"));
	}
	machine_attach_cpus(v->machine, v->cpus);
	return 0;
}

static int restore(struct vm *v, struct err *e)
{
	struct snapshot_vm p = parts(v);
	int r = snapshot_load(&p, v->restore, e);

	state_free(steal(&v->restore));
	return r < 0 ? err_prefix(e, "restore") : 0;
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

	r = boot_files_open(&v->files, c, e);
	if (r < 0 && c->restore_fd >= 0) {
		log_warn(_("%s; the restored VM goes on, but cannot boot again after a reset"), err_local(e));
		r = 0;
	}
	if (r < 0)
		return r;
	if (c->restore_fd >= 0 && (r = snapshot_open(&v->restore, c->restore_fd, c, &v->promise, e)) < 0)
		return err_prefix(e, "restore");
	if ((r = choose_engine(v, status, e)) < 0)
		return r;
	if ((r = ram_new(&v->ram, c->memory_bytes, e)) < 0)
		return r;
	mc.ram = v->ram;
	if ((r = machine_new(&v->machine, &mc, e)) < 0 || (r = add_cpus(v, status, e)) < 0 ||
	    (r = add_devices(v, e)) < 0)
		return r;
	r = v->restore ? restore(v, e) : boot(v, e);
	ram_settle(v->ram);
	return r;
}

/* Everything vm_new() and vm_start() made; the threads are gone. */
static void destroy(struct vm *v)
{
	if (v->machine)
		virtio_pci_free_all(machine_pci(v->machine)); /* also closes the disks */
	if (v->uart)
		uart_free(v->uart);
	if (v->console)
		chr_flush(v->console, FLUSH_MS);
	if (v->virtio_console)
		chr_flush(v->virtio_console, FLUSH_MS);
	chr_free(v->console);
	chr_free(v->virtio_console);
	if (v->machine)
		machine_free(v->machine); /* may still move an interrupt line of a vCPU */
	if (v->cpus)
		cpu_vm_free(v->cpus);
	cpu_model_free(v->model);
	ram_free(v->ram);
	state_free(v->restore);
	free(v->cwd);
	boot_files_close(&v->files);
	if (v->proc_status >= 0)
		close(v->proc_status);
	loop_timer_fini(&v->settle);
	gate_fini(&v->gate);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

int vm_new(struct vm **out, struct loop *loop, const struct vmm_config *cfg, int *status, struct err *e)
{
	struct vm *v = xcalloc(1, sizeof(*v));

	v->cfg = cfg;
	v->loop = loop;
	gate_init(&v->gate, &(struct gate_ops){ .post = post_act, .stop = stop_cpus, .opaque = v }, cfg->cpus);
	loop_timer_init(loop, &v->settle, go_on, v);
	v->cwd = getcwd(NULL, 0);
	if (!v->cwd)
		v->cwd = xstrdup("/");
	pthread_mutex_init(&v->lock, NULL);
	v->proc_status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	*status = STATUS_HOST;
	int r = build(v, status, e);
	if (r < 0) {
		destroy(v);
		return r;
	}
	*out = v;
	return 0;
}

int vm_start(struct vm *v, struct err *e)
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
}

/* ---- numbers ---- */

/* Our memory, in bytes. "own" is what the VM costs beyond the guest RAM it uses. */
static void add_memory(struct vm *v, json_t *o)
{
	static const char *const keys[] = { "VmRSS", "RssAnon", "RssFile", "RssShmem" };
	static const char *const names[] = { "rss_bytes", "rss_anon_bytes", "rss_file_bytes", "rss_shmem_bytes" };
	char buf[4096];
	struct stat st;
	ssize_t n = pread(v->proc_status, buf, sizeof(buf) - 1, 0);
	u64 val[ARRAY_LEN(keys)] = { 0 };

	if (n < 0)
		return;
	buf[n] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		char *p = strstr(buf, keys[i]);
		if (p)
			val[i] = strtoull(p + strlen(keys[i]) + 1, NULL, 10) * KIB;
		json_object_set_new(o, names[i], json_integer((json_int_t)val[i]));
	}
	u64 ram = fstat(v->ram->memfd, &st) == 0 ? (u64)st.st_blocks * 512 : 0;
	json_object_set_new(o, "guest_ram_bytes", json_integer((json_int_t)ram));
	json_object_set_new(o, "own_bytes", json_integer((json_int_t)(val[0] - MIN(val[0], MIN(ram, val[3])))));
}

/* What an operator looks at when a VM, or its host, is in trouble. */
static void add_health(struct vm *v, json_t *o)
{
	u64 caused, dropped, errors = 0;

	log_guest_count(&caused, &dropped);
	for (unsigned i = 0; i < v->ndisks; i++)
		errors += blk_errors(v->disks[i]);
	json_object_set_new(o, "guest_messages", json_integer((json_int_t)caused));
	json_object_set_new(o, "guest_messages_dropped", json_integer((json_int_t)dropped));
	json_object_set_new(o, "disk_errors", json_integer((json_int_t)errors));
}

static void add_loop(struct vm *v, json_t *o)
{
	struct loop_stats s;

	loop_get_stats(v->loop, &s);
	json_object_set_new(o, "loop_turns", json_integer((json_int_t)s.turns));
	json_object_set_new(o, "loop_turn_max_us", json_integer((json_int_t)(s.longest_ns / 1000)));
	json_object_set_new(o, "loop_turn_max_cpu_us", json_integer((json_int_t)(s.longest_cpu_ns / 1000)));
	json_object_set_new(o, "loop_wait_max_us", json_integer((json_int_t)(s.longest_wait_ns / 1000)));
}

json_t *vm_stats_json(struct vm *v)
{
	json_t *o = json_object();
	char *text = NULL, *line, *save = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	add_memory(v, o);
	json_object_set_new(o, "uptime_ms", json_integer((json_int_t)((clock_mono_ns() - v->started_ns) / 1000000)));
	json_object_set_new(o, "start_cpu_us", json_integer((json_int_t)v->start_cpu_us));
	json_object_set_new(o, "resets", json_integer(v->resets));
	add_loop(v, o);
	add_health(v, o);
	if (f) {
		cpu_vm_stats(v->cpus, f);
		fclose(f);
	}
	for (line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		char *sp = strrchr(line, ' ');
		if (!sp)
			continue;
		*sp = '\0';
		json_object_set_new(o, line, json_integer((json_int_t)strtoull(sp + 1, NULL, 10)));
	}
	free(text);
	return o;
}

json_t *vm_status_json(struct vm *v)
{
	json_t *o = json_pack("{s:s s:s s:s s:s s:s s:i s:I s:I s:i s:s}", "name", v->cfg->name, "state",
			      gate_name(&v->gate), "engine", cpu_vm_engine(v->cpus), "engine_why", v->engine_why, "cpu",
			      v->cfg->cpu, "cpus", (int)v->cfg->cpus, "memory_bytes", (json_int_t)v->cfg->memory_bytes,
			      "uptime_ms", (json_int_t)((clock_mono_ns() - v->started_ns) / 1000000), "pid",
			      (int)getpid(), "version", MICA_VERSION);
	add_health(v, o);
	return o;
}

json_t *vm_promise_json(struct vm *v)
{
	struct cpu_model_promise p;

	cpu_model_promise(v->model, &p);
	return promise_to_json(&p);
}

void vm_power_button(struct vm *v)
{
	if (gate_button(&v->gate))
		machine_power_button(v->machine);
}

void vm_break(struct vm *v)
{
	uart_break(v->uart);
}

bool vm_balloon(struct vm *v, u64 bytes)
{
	if (bytes > v->cfg->memory_bytes)
		return false;
	virtio_balloon_target(v->balloon, bytes);
	return true;
}

static void print_stats(struct vm *v)
{
	json_t *o = vm_stats_json(v), *val;
	const char *key;

	json_object_foreach(o, key, val) fprintf(stderr, "%s %lld\n", key, (long long)json_integer_value(val));
	json_decref(o);
	cpu_vm_report(v->cpus, stderr);
}

int vm_free(struct vm *v)
{
	int status = v->status;

	gate_leave(&v->gate);
	for (unsigned i = 0; i < v->nthreads; i++) {
		cpu_stop(v->vcpu[i].cpu);
		pthread_join(v->vcpu[i].thread, NULL);
	}
	if (v->cfg->stats)
		print_stats(v);
	destroy(v);
	return status;
}
