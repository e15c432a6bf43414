/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_news.c - what devices say unasked (device/class.h), told on the loop as events.
 *
 * A guest causes a panic as often as it likes, and the process behind a network card takes its link down and up. So a
 * device only leaves a mark, which costs no memory, and at most TELL_MAX events leave in TELL_NS; marks of the same
 * kind that wait meanwhile become one. Of a link it is counted how often it turned: two turns that nobody was told of
 * are still told as down and up, more of them as two.
 */
#include "base/clock.h"
#include "base/log.h"
#include "vmm/vm_int.h"

#define TELL_NS NSEC_PER_SEC
#define TELL_MAX 8

bool vm_link_up(const struct vm_device *d)
{
	return !(d->link_told & 1);
}

void vm_on_device_news(void *opaque, enum device_news what)
{
	struct vm_device *d = opaque;

	if (what == DEVICE_LINK)
		atomic_fetch_add(&d->link_turns, 1);
	else
		atomic_fetch_or(&d->panics, 1u << what);
	loop_timer_arm(&d->vm->news.look, 0);
}

static void tell_link(struct vm *v, struct vm_device *d)
{
	unsigned now = atomic_load(&d->link_turns), turns = now - d->link_told;

	if (!turns)
		return;
	d->link_told = turns & 1 ? now : now - 1;
	vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_NET, .device = d->dev->id, .up = vm_link_up(d) });
	v->news.told++;
}

static void tell_panic(struct vm *v, struct vm_device *d)
{
	unsigned what = atomic_exchange(&d->panics, 0);

	if (what & 1u << DEVICE_PANICKED)
		vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_PANIC, .device = d->dev->id, .why = "panicked" });
	if (what & 1u << DEVICE_CRASH_LOADED)
		vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_PANIC, .device = d->dev->id, .why = "crash-loaded" });
	if (what & 1u << DEVICE_EXPIRED)
		vm_tell(v, &(struct vm_event){ .kind = VM_EVENT_WATCHDOG, .device = d->dev->id });
	v->news.told += what != 0;
}

static void look(void *opaque)
{
	struct vm *v = opaque;
	u64 now = clock_mono_ns();
	bool more = false;

	if (now - v->news.since_ns >= TELL_NS) {
		v->news.since_ns = now;
		v->news.told = 0;
	}
	for (unsigned i = 0; i < v->ndevices; i++) {
		struct vm_device *d = &v->devices[i];
		if (v->news.told < TELL_MAX)
			tell_panic(v, d);
		if (v->news.told < TELL_MAX)
			tell_link(v, d);
		more |= atomic_load(&d->panics) || atomic_load(&d->link_turns) != d->link_told;
	}
	if (more)
		loop_timer_arm(&v->news.look, v->news.told < TELL_MAX ? 0 : v->news.since_ns + TELL_NS);
}

void vm_news_init(struct vm *v)
{
	loop_timer_init(v->loop, &v->news.look, look, v);
}

void vm_news_fini(struct vm *v)
{
	loop_timer_fini(&v->news.look);
}
