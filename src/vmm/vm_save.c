/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_save.c - saving a VM, and holding it afterwards.
 *
 * The loop waits neither for disks nor for whoever reads what is written: a slow file, a pipe, a network. All vCPUs are
 * parked (gate.h) from the first step to the last, and the machine stands still; control clients are served. save.step:
 *   SETTLE   devices are being quiesced; looked at each SETTLE_NS
 *   FLUSH    each disk has a flush under way; save.flushing are left. Then what may refuse is gathered
 *   MEMORY   an errand (vCPU 0's thread) writes that and the memory. The loop touches neither save.state nor memory
 *   MOMENT   (within a turn of the loop) vCPUs and devices are gathered
 *   END      an errand writes those
 * Each step's end has vm_go_on() called. A wish to end the VM, and vm_save_give_up(), are seen before each step, and by
 * the errands between two pieces of what they write.
 */
#include "base/clock.h"
#include "block/block.h"
#include "machine/machine.h"
#include "base/i18n.h"
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
		return err_set(e, EBUSY, "the VM is being saved already, or ends");
	v->save = (struct vm_saving){ .fd = fd, .done = done, .opaque = opaque, .step = SAVE_SETTLE };
	return 0;
}

bool vm_held(struct vm *v)
{
	return gate_held(&v->gate);
}

void vm_release(struct vm *v)
{
	bool held = vm_held(v);

	if (held)
		machine_resume(v->machine);
	gate_release(&v->gate);
	if (held)
		vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_STATE, .state = gate_name(&v->gate) });
}

void vm_save_give_up(struct vm *v)
{
	atomic_store(&v->save.given_up, true);
}

/* ---- flushing ---- */

struct vm_flush {
	struct blk_req r;
	struct vm *v;
	unsigned disk;
};

/* With the disk's lock held. */
static void flushed(struct blk_req *r, int res)
{
	struct vm_flush *f = container_of(r, struct vm_flush, r);
	struct vm_saving *s = &f->v->save;

	if (res < 0 && s->rc == 0)
		s->rc = err_sys(&s->err, -res, "disk %s: cannot flush it", f->v->cfg->disks[f->disk].path);
	if (!--s->flushing)
		loop_timer_arm(&f->v->settle, 0);
}

static void start_flush(struct vm *v)
{
	struct vm_saving *s = &v->save;

	s->step = SAVE_FLUSH;
	s->flushing = v->ndisks;
	s->flush = xcalloc(v->ndisks + 1, sizeof(*s->flush));
	for (unsigned i = 0; i < v->ndisks; i++) {
		s->flush[i] = (struct vm_flush){ .v = v, .disk = i };
		blk_req_init(&s->flush[i].r, flushed);
		s->flush[i].r.op = BLK_FLUSH;
		blk_submit(v->disks[i], &s->flush[i].r);
	}
}

/* ---- writing ---- */

static void tell_progress(void *opaque)
{
	struct vm *v = opaque;

	vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_PROGRESS,
				       .command = "save",
				       .done = atomic_load(&v->save.written),
				       .total = v->cfg->memory_bytes });
}

/* Between two pieces of what an errand writes. */
static bool give_up(void *opaque)
{
	struct vm *v = opaque;
	u64 now = clock_mono_ns();

	if (v->save.state && now >= v->save.tell_ns) {
		v->save.tell_ns = now + VM_PROGRESS_NS;
		atomic_store(&v->save.written, state_offset(v->save.state));
		loop_post(v->loop, tell_progress, v);
	}
	return atomic_load(&v->save.given_up) || gate_must_end(&v->gate);
}

/* An errand. */
static void write_here(void *opaque)
{
	struct vm *v = opaque;
	struct vm_saving *s = &v->save;
	struct snapshot_vm p = vm_parts(v);

	s->rc = s->step == SAVE_MEMORY ? snapshot_memory(&p, s->state, &s->memory_bytes, &s->err)
				       : snapshot_end(s->state, &s->err);
	loop_post(v->loop, vm_go_on, v);
}

static void start_writing(struct vm *v, enum vm_save_step step)
{
	v->save.step = step;
	gate_errand(&v->gate, write_here);
}

static void start_memory(struct vm *v)
{
	struct vm_saving *s = &v->save;
	const struct state_out to = { .fd = s->fd, .stop = give_up, .opaque = v };
	struct snapshot_vm p = vm_parts(v);

	s->rc = snapshot_begin(&s->state, &p, &to, &s->err);
	if (s->rc == 0)
		start_writing(v, SAVE_MEMORY);
}

static void start_end(struct vm *v)
{
	struct vm_saving *s = &v->save;
	struct snapshot_vm p = vm_parts(v);

	s->rc = snapshot_moment(&p, s->state, &s->err);
	if (s->rc == 0)
		start_writing(v, SAVE_END);
}

/* ---- the steps ---- */

static bool finish(struct vm *v)
{
	struct vm_saving *s = &v->save;
	u64 bytes = s->state ? state_offset(s->state) : 0;

	state_free(steal(&s->state));
	free(steal(&s->flush));
	close(s->fd);
	/* While it is held nothing moves: what waits in the rings is in the saved state, and is done by who goes on. */
	if (s->rc == 0) {
		gate_hold(&v->gate);
		vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_STATE, .state = gate_name(&v->gate) });
	} else if (!v->ended) {
		machine_resume(v->machine);
	}
	s->done(s->opaque, s->rc < 0 ? &s->err : NULL, bytes, s->memory_bytes);
	return true;
}

bool vm_save_at_rest(struct vm *v)
{
	struct vm_saving *s = &v->save;

	if (s->step == SAVE_FLUSH && s->flushing)
		return false; /* whatever else: the requests are ours until they have ended */
	if (v->ended)
		s->rc = err_set(&s->err, ESHUTDOWN, "the VM ended before it could be saved");
	else if (s->rc == 0 && atomic_load(&s->given_up))
		s->rc = err_set(&s->err, ECANCELED, "saving was given up");
	if (s->rc < 0)
		return finish(v);
	switch (s->step) {
	case SAVE_SETTLE:
		if (!machine_quiesce(v->machine)) {
			loop_timer_arm(&v->settle, clock_mono_ns() + SETTLE_NS);
			return false;
		}
		start_flush(v);
		if (s->flushing)
			return false;
		start_memory(v);
		break;
	case SAVE_FLUSH:
		start_memory(v);
		break;
	case SAVE_MEMORY:
		start_end(v);
		break;
	case SAVE_END:
		return finish(v);
	}
	return s->rc < 0 ? finish(v) : false;
}
