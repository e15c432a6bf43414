/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_save.c - saving a VM, and holding it afterwards. */
#include "machine/machine.h"
#include "vmm/i18n.h"
#include "vmm/vm_int.h"

struct snapshot_vm vm_parts(struct vm *v)
{
	return (struct snapshot_vm){
		.cfg = v->cfg,
		.cwd = v->cwd,
		.ram = v->ram,
		.model = v->model,
		.machine = v->machine,
		.cpus = v->cpus,
		.disks = v->disks,
	};
}

int vm_save(struct vm *v, int fd, vm_saved_fn *done, void *opaque, struct err *e)
{
	struct snapshot_vm p = vm_parts(v);
	int r = snapshot_possible(&p, e);

	if (r < 0)
		return r;
	if (!gate_save(&v->gate))
		return err_set(e, EBUSY, _("the VM is being saved already, or ends"));
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
		machine_resume(v->machine);
	gate_release(&v->gate);
}

bool vm_save_at_rest(struct vm *v)
{
	struct snapshot_vm p = vm_parts(v);
	struct snapshot_size size = { 0 };
	struct err e;
	int r;

	if (v->ended) {
		r = err_set(&e, ESHUTDOWN, _("the VM ended before it could be saved"));
	} else {
		if (!machine_quiesce(v->machine))
			return false;
		r = snapshot_save(&p, v->save.fd, &size, &e);
		/* While it is held nothing moves: what waits in the rings is in the saved state, and is done by who
		 * goes on. */
		if (r < 0)
			machine_resume(v->machine);
	}
	close(v->save.fd);
	if (r == 0)
		gate_hold(&v->gate);
	v->save.done(v->save.opaque, r < 0 ? &e : NULL, size.file_bytes, size.memory_bytes);
	return true;
}
