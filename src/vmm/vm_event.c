/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_event.c - see vm_event.h. */
#include "vmm/vm_event.h"
#include "vmm/vm_int.h"

void vm_listen(struct vm *v, vm_listen_fn *fn, void *opaque)
{
	v->listener.fn = fn;
	v->listener.opaque = opaque;
}

void vm_tell(struct vm *v, const struct vm_event *ev)
{
	if (v->listener.fn)
		v->listener.fn(v->listener.opaque, ev);
}
