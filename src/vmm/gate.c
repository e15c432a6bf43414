/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gate.c - see gate.h. */
#include "vmm/gate.h"

static const struct {
	u8 rank;
	bool ends; /* the VM, always: VM_RESET does so only with --no-reboot */
	bool own;  /* the machine's own wish, gone with it */
} kinds[] = {
	[VM_NOTHING] = { 0, false, false },      [VM_POWEROFF] = { 1, true, true },   [VM_RESET] = { 1, false, true },
	[VM_TRIPLE_FAULT] = { 1, false, true },  [VM_DEBUG_EXIT] = { 1, true, true }, [VM_QUIT] = { 2, true, false },
	[VM_ENGINE_FAILED] = { 3, true, false },
};

static bool any(const struct gate_wishes *w)
{
	return w->ask != VM_NOTHING || w->save || w->button || w->pause;
}

static void post_if_still_locked(struct gate *g)
{
	if (!any(&g->wished) || g->posted || g->nparked != g->ncpus || g->state != GATE_PARK)
		return;
	g->posted = true;
	g->ops.post(g->ops.opaque);
}

static void park_locked(struct gate *g)
{
	if (g->state == GATE_RUN)
		g->state = GATE_PARK;
	post_if_still_locked(g);
}

static void open_locked(struct gate *g)
{
	if (g->state == GATE_PARK && !g->held && !g->posted && !any(&g->wished)) {
		g->state = GATE_RUN;
		pthread_cond_broadcast(&g->cond);
	}
}

void gate_init(struct gate *g, const struct gate_ops *ops, unsigned ncpus)
{
	*g = (struct gate){ .ops = *ops, .ncpus = ncpus, .state = GATE_PARK };
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->cond, NULL);
}

void gate_fini(struct gate *g)
{
	pthread_cond_destroy(&g->cond);
	pthread_mutex_destroy(&g->lock);
}

/* ---- wishes ---- */

static bool wins(enum vm_ask what, enum vm_ask over)
{
	if (what == VM_QUIT && kinds[over].ends)
		return false;
	return kinds[what].rank > kinds[over].rank;
}

void gate_ask(struct gate *g, enum vm_ask what, unsigned value)
{
	pthread_mutex_lock(&g->lock);
	if (wins(what, g->wished.ask)) {
		g->wished.ask = what;
		g->wished.value = value;
	}
	park_locked(g);
	pthread_mutex_unlock(&g->lock);
	g->ops.stop(g->ops.opaque);
}

bool gate_button(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	/* A reset would take back what the button did: one that is wished, or under way. */
	bool later = g->wished.ask == VM_RESET || g->wished.ask == VM_TRIPLE_FAULT || g->errands;
	g->wished.button |= later;
	pthread_mutex_unlock(&g->lock);
	return !later;
}

bool gate_save(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	bool can = !g->wished.save && !g->held && g->state != GATE_LEAVE;
	if (can) {
		g->wished.save = true;
		park_locked(g);
	}
	pthread_mutex_unlock(&g->lock);
	if (can)
		g->ops.stop(g->ops.opaque);
	return can;
}

void gate_pause(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	bool can = !g->held && g->state != GATE_LEAVE;
	if (can) {
		g->wished.pause = true;
		park_locked(g);
	}
	pthread_mutex_unlock(&g->lock);
	if (can)
		g->ops.stop(g->ops.opaque);
}

bool gate_held(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	bool held = g->held;
	pthread_mutex_unlock(&g->lock);
	return held;
}

const char *gate_name(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	const char *name = g->state == GATE_RUN    ? "running"
			   : g->held               ? "paused"
			   : g->state == GATE_PARK ? "stopping"
						   : "ended";
	pthread_mutex_unlock(&g->lock);
	return name;
}

static bool must_end(const struct gate *g)
{
	return kinds[g->wished.ask].ends && !kinds[g->wished.ask].own;
}

bool gate_must_end(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	bool r = must_end(g);
	pthread_mutex_unlock(&g->lock);
	return r;
}

/* ---- vCPUs ---- */

bool gate_pass(struct gate *g, unsigned index)
{
	pthread_mutex_lock(&g->lock);
	if (g->state == GATE_PARK) {
		g->nparked++;
		pthread_cond_broadcast(&g->cond);
		post_if_still_locked(g);
		while (g->state == GATE_PARK) {
			void (*errand)(void *) = g->errand;

			if (index || !errand) {
				pthread_cond_wait(&g->cond, &g->lock);
				continue;
			}
			g->errand = NULL;
			pthread_mutex_unlock(&g->lock);
			errand(g->ops.opaque);
			pthread_mutex_lock(&g->lock);
		}
		g->nparked--;
	}
	bool run = g->state == GATE_RUN;
	pthread_mutex_unlock(&g->lock);
	return run;
}

/* ---- the loop ---- */

void gate_wait_parked(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	while (g->nparked < g->ncpus)
		pthread_cond_wait(&g->cond, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

void gate_go(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	open_locked(g);
	pthread_mutex_unlock(&g->lock);
}

void gate_release(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	if (g->held) {
		g->held = false;
		open_locked(g);
	}
	pthread_mutex_unlock(&g->lock);
}

void gate_leave(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->state = GATE_LEAVE;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

struct gate_wishes gate_take(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	must(g->posted && g->nparked == g->ncpus);
	struct gate_wishes w = g->wished;
	g->wished = (struct gate_wishes){ .ask = VM_NOTHING };
	pthread_mutex_unlock(&g->lock);
	return w;
}

struct gate_wishes gate_take_end(struct gate *g)
{
	struct gate_wishes w = { .ask = VM_NOTHING };

	pthread_mutex_lock(&g->lock);
	if (must_end(g)) {
		w.ask = g->wished.ask;
		w.value = g->wished.value;
		g->wished.ask = VM_NOTHING;
	}
	pthread_mutex_unlock(&g->lock);
	return w;
}

void gate_errand(struct gate *g, void (*fn)(void *opaque))
{
	pthread_mutex_lock(&g->lock);
	must(!g->errand && g->posted);
	g->errand = fn;
	g->errands = true;
	pthread_cond_broadcast(&g->cond);
	pthread_mutex_unlock(&g->lock);
}

void gate_hold(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->held = true;
	pthread_mutex_unlock(&g->lock);
}

void gate_acted(struct gate *g, bool reset)
{
	pthread_mutex_lock(&g->lock);
	g->posted = g->errands = false;
	if (reset && kinds[g->wished.ask].own)
		g->wished.ask = VM_NOTHING;
	g->wished.pause &= !reset;
	post_if_still_locked(g);
	open_locked(g);
	pthread_mutex_unlock(&g->lock);
}
