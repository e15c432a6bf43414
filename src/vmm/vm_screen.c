/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm_screen.c - see vm_screen.h. */
#include "vmm/vm_screen.h"
#include "vmm/picture.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>

struct shot {
	int fd;
	vm_shot_fn *done;
	void *opaque;
	bool wanted, failed;
	unsigned width, height;
	struct err err;
};

struct vm_screen {
	struct loop *loop;
	const struct screen *screen;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t wake;
	bool ready, end;
	/* Between wanted and tell() the thread's, else the loop's. */
	struct shot shot;
	bool shooting; /* the loop's own */
};

/* ---- a picture, once ---- */

static int draw(struct vm_screen *v, struct shot *s)
{
	struct screen_frame *f = xcalloc(1, sizeof(*f));
	size_t bytes;
	int r;

	v->screen->frame(v->screen->opaque, f);
	s->width = f->width;
	s->height = f->height;
	bytes = (size_t)f->width * f->height * sizeof(u32);
	u32 *pixels = xmap_sparse(bytes);
	for (unsigned y = 0; y < f->height; y++)
		v->screen->line(f, y, pixels + (size_t)y * f->width);
	r = picture_write(s->fd, pixels, f->width, f->height, &s->err);
	unmap_sparse(pixels, bytes);
	free(f);
	return r;
}

/* On the loop. */
static void tell(void *opaque)
{
	struct vm_screen *v = opaque;
	struct shot *s = &v->shot;

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
	v->shot = (struct shot){ .fd = fd, .done = done, .opaque = opaque, .wanted = true };
	pthread_cond_signal(&v->wake);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

/* ---- the thread ---- */

static void *run(void *opaque)
{
	struct vm_screen *v = opaque;

	prctl(PR_SET_NAME, "screen", 0, 0, 0);
	pthread_mutex_lock(&v->lock);
	v->ready = true;
	pthread_cond_broadcast(&v->wake);
	while (!v->end) {
		if (!v->shot.wanted) {
			pthread_cond_wait(&v->wake, &v->lock);
			continue;
		}
		v->shot.wanted = false;
		pthread_mutex_unlock(&v->lock);
		v->shot.failed = draw(v, &v->shot) < 0;
		loop_post(v->loop, tell, v);
		pthread_mutex_lock(&v->lock);
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

int vm_screen_start(struct vm_screen **out, struct loop *loop, const struct screen *s, struct err *e)
{
	struct vm_screen *v = xcalloc(1, sizeof(*v));

	v->loop = loop;
	v->screen = s;
	v->shot.fd = -1;
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->wake, NULL);
	int r = pthread_create(&v->thread, NULL, run, v);
	if (r) {
		free(v);
		return err_sys(e, r, "cannot start the screen's thread");
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
	pthread_cond_signal(&v->wake);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->thread, NULL);
	if (v->shot.fd >= 0)
		close(v->shot.fd);
	pthread_cond_destroy(&v->wake);
	pthread_mutex_destroy(&v->lock);
	free(v);
}
