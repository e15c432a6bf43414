/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_screen.c - see vm_screen.h. Here: the thread, and pictures as files. */
#include "base/clock.h"
#include "vmm/picture.h"
#include "vmm/vm_screen_int.h"

#include <sys/prctl.h>

/* ---- a picture, once ---- */

static int draw(const struct screen *screen, struct vm_shot *s)
{
	struct screen_frame *f = xcalloc(1, sizeof(*f));
	size_t bytes;
	int r;

	screen->frame(screen->opaque, f);
	s->width = f->width;
	s->height = f->height;
	bytes = (size_t)f->width * f->height * sizeof(u32);
	u32 *pixels = xmap_sparse(bytes);
	for (unsigned y = 0; y < f->height; y++)
		screen->line(f, y, pixels + (size_t)y * f->width);
	r = picture_write(s->fd, pixels, f->width, f->height, &s->err);
	unmap_sparse(pixels, bytes);
	free(f);
	return r;
}

/* On the loop. */
static void tell(void *opaque)
{
	struct vm_screen *v = opaque;
	struct vm_shot *s = &v->shot;

	v->shooting = false;
	close(steal_fd(&s->fd));
	s->done(s->opaque, s->failed ? &s->err : NULL, s->width, s->height);
}

int vm_screen_shot(struct vm_screen *v, int fd, vm_shot_fn *done, void *opaque, struct err *e)
{
	if (v->shooting)
		return err_set(e, EBUSY, "another picture is being made; try again");
	v->shooting = true;
	pthread_mutex_lock(&v->lock);
	v->shot = (struct vm_shot){ .fd = fd, .done = done, .opaque = opaque, .wanted = true };
	pthread_cond_broadcast(&v->wake);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

/* ---- the thread ---- */

/* v->lock is held. Until somebody wants something, or it is time to look again. */
static void wait_locked(struct vm_screen *v)
{
	struct timespec ts = { (time_t)(v->next_ns / NSEC_PER_SEC), (long)(v->next_ns % NSEC_PER_SEC) };

	if (v->looking && !v->unseen)
		pthread_cond_timedwait(&v->wake, &v->lock, &ts);
	else
		pthread_cond_wait(&v->wake, &v->lock);
}

static void *run(void *opaque)
{
	struct vm_screen *v = opaque;

	prctl(PR_SET_NAME, "screen", 0, 0, 0);
	pthread_mutex_lock(&v->lock);
	v->ready = true;
	pthread_cond_broadcast(&v->wake);
	while (!v->end) {
		bool look = v->looking && !v->unseen && (v->anew || clock_mono_ns() >= v->next_ns);
		bool shoot = v->shot.wanted, rest = v->logging && !v->looking, anew = v->anew;

		if (!look && !shoot && !rest) {
			wait_locked(v);
			continue;
		}
		v->shot.wanted = false;
		v->anew &= !look;
		pthread_mutex_unlock(&v->lock);
		if (shoot) {
			v->shot.failed = draw(v->cfg.screen, &v->shot) < 0;
			loop_post(v->cfg.loop, tell, v);
		}
		if (rest)
			vm_vnc_rest(v);
		if (look)
			v->next_ns = vm_vnc_look(v, anew);
		pthread_mutex_lock(&v->lock);
	}
	pthread_mutex_unlock(&v->lock);
	vm_vnc_rest(v);
	return NULL;
}

static void init_locks(struct vm_screen *v)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&v->wake, &a);
	pthread_condattr_destroy(&a);
	pthread_mutex_init(&v->lock, NULL);
}

static void fini(struct vm_screen *v)
{
	screen_view_fini(&v->view);
	free(v->dirty);
	pthread_cond_destroy(&v->wake);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

int vm_screen_start(struct vm_screen **out, const struct vm_screen_config *cfg, struct err *e)
{
	struct vm_screen *v = xcalloc(1, sizeof(*v));
	int r = 0;

	v->cfg = *cfg;
	v->shot.fd = -1;
	init_locks(v);
	if (cfg->vnc->fd >= 0)
		r = vm_vnc_listen(v, e);
	if (r == 0 && (r = -pthread_create(&v->thread, NULL, run, v)) < 0)
		err_sys(e, -r, "cannot start the screen's thread");
	if (r < 0) {
		fini(v);
		return r;
	}
	/* It has made the system calls that a thread begins with: the filter is to come. */
	pthread_mutex_lock(&v->lock);
	while (!v->ready)
		pthread_cond_wait(&v->wake, &v->lock);
	pthread_mutex_unlock(&v->lock);
	*out = v;
	return 0;
}

void vm_screen_end(struct vm_screen *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&v->lock);
	v->end = true;
	pthread_cond_broadcast(&v->wake);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->thread, NULL);
	if (v->shot.fd >= 0)
		close(v->shot.fd);
	loop_del(v->cfg.loop, &v->lf);
	fini(v);
}
