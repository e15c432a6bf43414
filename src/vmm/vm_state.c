/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_state.c - see vm_state.h.
 *
 * The order of sections serves two ends. What may refuse comes first: configuration, CPU model, disks. And all
 * that holds a time (vCPUs, timers, clocks) comes last and together, after the long part, memory: so the
 * clocks agree to a millisecond, whatever the memory took. Devices come before the chips, whose inputs they
 * may still move while they are loaded.
 */
#include "vmm/vm_state.h"
#include "base/ram_state.h"
#include "block/block.h"
#include "cpu/cpu.h"
#include "cpu/state.h"
#include "machine/machine.h"
#include "base/i18n.h"
#include "vmm/saved_config.h"

int snapshot_possible(const struct snapshot_vm *v, struct err *e)
{
	for (unsigned i = 0; i < v->cfg->ndisks; i++)
		if (blk_is_snapshot(v->disks[i]))
			return err_set(e, ENOTSUP,
				       "disk %s has snapshot=on: its writes are in a temporary file that ends with "
				       "the VM, and the "
				       "saved state would need them; start the VM with a copy of the image instead",
				       v->cfg->disks[i].path);
	return 0;
}

/* ---- disks: they stay where they are; the state remembers how they were ---- */

static int disk_section(const struct snapshot_vm *v, unsigned i, struct state_file *s, struct err *e)
{
	const struct vmm_disk *d = &v->cfg->disks[i];
	u64 now_bytes = blk_bytes(v->disks[i]), now_mtime = blk_mtime_ns(v->disks[i]);
	u64 bytes = now_bytes, mtime = now_mtime;
	int r = state_section(s, "disk", i, 1, e);

	if (r < 0)
		return r;
	state_u64(s, &bytes);
	state_u64(s, &mtime);
	if ((r = state_end(s, e)) < 0)
		return r;
	if (bytes != now_bytes)
		return err_set(e, ESTALE, "disk %s has %llu bytes; when the VM was saved it had %llu", d->path,
			       (unsigned long long)now_bytes, (unsigned long long)bytes);
	if (mtime != now_mtime && !d->readonly && !v->cfg->restore_disks)
		return err_set(
		    e, ESTALE,
		    "disk %s was written after the VM was saved: the guest would destroy its file systems. Only "
		    "if it is a copy of that time, give it anew with --disk",
		    d->path);
	return 0;
}

/* ---- vCPUs ---- */

static int vcpu_sections(const struct snapshot_vm *v, struct state_file *s, struct err *e)
{
	struct cpu_state *c = aligned_alloc(64, ROUND_UP(sizeof(*c), 64));
	int r = 0;

	must(c);
	for (unsigned i = 0; i < v->cfg->cpus && r == 0; i++) {
		struct cpu *cpu = cpu_vm_cpu(v->cpus, i);

		if (!state_loading(s))
			cpu_get_state(cpu, c);
		r = cpu_state_section(s, i, c, e);
		if (r == 0 && state_loading(s)) {
			u64 lacks = c->xcr0 & ~cpu_model_xcr0(v->model);
			r = lacks ? err_set(e, EBADMSG, "CPU %u: XCR0 bits %#llx are not its model's", i,
					    (unsigned long long)lacks)
				  : cpu_set_state(cpu, c, e);
		}
	}
	free(c);
	return r;
}

/* ---- all of it ---- */

/* What has the time of this moment in it. */
static int moment(const struct snapshot_vm *v, struct state_file *s, struct err *e)
{
	int r = vcpu_sections(v, s, e);

	return r < 0 ? r : machine_state(v->machine, s, e);
}

/* What may refuse, saving or loading. */
static int disks(const struct snapshot_vm *v, struct state_file *s, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < v->cfg->ndisks && r == 0; i++)
		r = disk_section(v, i, s, e);
	return r;
}

int snapshot_begin(struct state_file **out, const struct snapshot_vm *v, const struct state_out *to, struct err *e)
{
	struct state_file *s = state_save_new_to(to);
	struct cpu_model_promise p;
	int r = state_defer(s, true, e);

	if (r == 0)
		r = saved_config_save(s, v->cfg, v->cwd, e);
	cpu_model_promise(v->model, &p);
	if (r == 0)
		r = cpu_promise_section(s, &p, e);
	if (r == 0)
		r = machine_board_section(s, machine_kind(v->machine), e);
	if (r == 0)
		r = disks(v, s, e);
	if (r < 0) {
		state_free(s);
		return r;
	}
	*out = s;
	return 0;
}

int snapshot_memory(const struct snapshot_vm *v, struct state_file *s, u64 *bytes, struct err *e)
{
	int r = state_defer(s, false, e);

	return r < 0 ? r : ram_save(v->ram, s, bytes, e);
}

int snapshot_moment(const struct snapshot_vm *v, struct state_file *s, struct err *e)
{
	int r = state_defer(s, true, e);

	return r < 0 ? r : moment(v, s, e);
}

int snapshot_end(struct state_file *s, struct err *e)
{
	int r = state_defer(s, false, e);

	return r < 0 ? r : state_finish(s, e);
}

int snapshot_open(struct state_file **out, int fd, const u8 *head, size_t bytes, const struct vmm_config *cfg,
		  struct cpu_model_promise *p, struct err *e)
{
	struct saved_config was;
	struct state_file *s;
	int r = state_load_new_after(&s, head, bytes, fd, e);

	if (r < 0)
		return r;
	r = saved_config_load(s, &was, e);
	if (r == 0) {
		r = saved_config_fits(&was, cfg, e);
		saved_config_fini(&was);
	}
	if (r == 0)
		r = cpu_promise_section(s, p, e);
	unsigned kind = MACHINE_Q35;
	if (r == 0)
		r = vmm_machine_parse(&kind, cfg->machine, e);
	if (r == 0)
		r = machine_board_section(s, (enum machine_kind)kind, e);
	if (r < 0) {
		state_free(s);
		return r;
	}
	*out = s;
	return 0;
}

int snapshot_load(const struct snapshot_vm *v, struct state_file *s, struct err *e)
{
	int r = disks(v, s, e);

	if (r == 0)
		r = ram_load(v->ram, s, e);
	if (r == 0)
		r = moment(v, s, e);
	if (r == 0)
		r = state_finish(s, e);
	if (r == 0)
		machine_resume(v->machine);
	return r;
}
