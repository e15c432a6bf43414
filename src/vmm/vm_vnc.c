/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm_vnc.c - between a VM's screen and mica-vnc (vnc/vnc.h): what has changed goes there, keys and the mouse come back.
 *
 * What comes is believed to be hostile: it is keys and mouse moves, a turn of the loop takes MESSAGES_MAX of them.
 */
#include "base/clock.h"
#include "base/log.h"
#include "cpu/cpu.h"
#include "device/class.h"
#include "device/input/key.h"
#include "vmm/vm_screen_int.h"

#include <sys/socket.h>

#define FRAME_NS (NSEC_PER_SEC / 25)
#define IDLE_NS (NSEC_PER_SEC / 8)
#define MESSAGES_MAX 64
#define BAND 16u /* lines whose changes make one row of rectangles */

_Static_assert(VNC_WIDTH_MAX == SCREEN_WIDTH_MAX && VNC_HEIGHT_MAX == SCREEN_HEIGHT_MAX, "any picture goes");

/* ---- what has changed ---- */

/* Tiles of lines [y, y + h) that have changed, as rectangles; false: there is no room for all. */
static bool band(struct vnc_msg *m, const struct screen_view *v, unsigned y, unsigned h)
{
	u64 tiles[SCREEN_TILE_WORDS] = { 0 };
	unsigned n = (v->frame.width + SCREEN_TILE - 1) / SCREEN_TILE;

	for (unsigned i = y; i < y + h; i++)
		for (unsigned w = 0; w < SCREEN_TILE_WORDS; w++)
			tiles[w] |= v->tiles[i * SCREEN_TILE_WORDS + w];
	for (unsigned from = 0; from < n; from++) {
		unsigned to = from;

		while (to < n && tiles[to / 64] >> (to % 64) & 1)
			to++;
		if (to == from)
			continue;
		if (m->nrects == VNC_RECTS_MAX)
			return false;
		unsigned x = from * SCREEN_TILE, end = MIN(to * SCREEN_TILE, v->frame.width);
		m->rect[m->nrects++] = (struct vnc_rect){ (u16)x, (u16)y, (u16)(end - x), (u16)h };
		from = to;
	}
	return true;
}

static void describe(struct vnc_msg *m, const struct screen_view *v, bool all)
{
	unsigned height = v->frame.height;
	bool fits = !all;

	*m = (struct vnc_msg){ .type = VNC_PICTURE, .a = v->frame.width, .b = height };
	for (unsigned y = v->first / BAND * BAND; fits && y < v->last; y += BAND)
		fits = band(m, v, y, MIN(BAND, height - y));
	if (fits)
		return;
	m->nrects = 1;
	m->rect[0] = (struct vnc_rect){ 0, (u16)(all ? 0 : v->first), (u16)v->frame.width,
					(u16)(all ? height : v->last - v->first) };
}

/* ---- looking; the thread ---- */

static void start_log(struct vm_screen *v)
{
	const struct screen *s = v->cfg.screen;
	struct err e;

	if (!v->dirty) {
		v->dirty = xcalloc(ROUND_UP(s->bytes / PAGE_BYTES, 64) / 64, sizeof(*v->dirty));
		screen_view_init(&v->view, v->cfg.vnc->pixels);
	}
	if (cpu_vm_dirty_start(v->cfg.cpus, CPU_LOG_SCREEN, s->off, s->bytes, &e) < 0)
		log_warn("%s", err_local(&e));
	else
		v->logging = true;
}

void vm_vnc_rest(struct vm_screen *v)
{
	if (v->logging)
		cpu_vm_dirty_stop(v->cfg.cpus, CPU_LOG_SCREEN);
	v->logging = false;
}

u64 vm_vnc_look(struct vm_screen *v, bool anew)
{
	size_t bytes = ROUND_UP(v->cfg.screen->bytes / PAGE_BYTES, 64) / 8;
	bool all = anew || !v->logging;
	struct vnc_msg m;
	struct err e;

	if (!v->logging)
		start_log(v);
	memset(v->dirty, 0, bytes);
	if (v->logging && cpu_vm_dirty_collect(v->cfg.cpus, CPU_LOG_SCREEN, v->dirty, &e) < 0)
		all = true;
	bool any = screen_view_update(&v->view, v->cfg.screen, all || !v->logging ? NULL : v->dirty);
	if (!any && !anew)
		return clock_mono_ns() + IDLE_NS;
	describe(&m, &v->view, anew || v->view.resized);
	pthread_mutex_lock(&v->lock);
	v->unseen = true;
	v->width = v->view.frame.width;
	v->height = v->view.frame.height;
	pthread_mutex_unlock(&v->lock);
	if (send(v->cfg.vnc->fd, &m, VNC_MSG_BYTES(m.nrects), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		/* mica-vnc is being started again, or gone: it will say so. */
		pthread_mutex_lock(&v->lock);
		v->unseen = false;
		v->anew = true;
		pthread_mutex_unlock(&v->lock);
		return clock_mono_ns() + IDLE_NS;
	}
	screen_view_clean(&v->view);
	return clock_mono_ns() + FRAME_NS;
}

/* ---- what clients do; the loop ---- */

/* Which key it is counts before what is printed on it at the client's: the guest has its own idea of that. */
static void key(struct vm_screen *v, u32 sym, u32 code, bool press)
{
	unsigned k = code ? key_of_keycode(code) : key_of_keysym(sym), i = 0;
	u16 event = (u16)(k | (press ? KEY_DOWN : 0));

	if (!k)
		return;
	while (i < v->ndown && v->down[i] != k)
		i++;
	if (press && i == v->ndown && i < VM_KEYS_DOWN_MAX)
		v->down[v->ndown++] = k;
	else if (!press && i < v->ndown)
		v->down[i] = v->down[--v->ndown];
	vm_keys(v->cfg.vm, &event, 1);
}

/* At a place of the picture that clients were told of last, or by so much away from the last one. */
static void point(struct vm_screen *v, unsigned x, unsigned y, int wheel, unsigned buttons)
{
	pthread_mutex_lock(&v->lock);
	unsigned right = MAX(v->width, 2u) - 1, bottom = MAX(v->height, 2u) - 1;
	pthread_mutex_unlock(&v->lock);
	unsigned px = MIN(x, right) * DEVICE_POINT_MAX / right, py = MIN(y, bottom) * DEVICE_POINT_MAX / bottom;

	if (!vm_point(v->cfg.vm, px, py, wheel, buttons))
		vm_pointer(v->cfg.vm, (int)x - (int)v->x, (int)y - (int)v->y, wheel, buttons);
}

/* Who held keys is gone. */
static void let_go(struct vm_screen *v)
{
	while (v->ndown) {
		u16 event = (u16)v->down[--v->ndown];
		vm_keys(v->cfg.vm, &event, 1);
	}
	if (v->buttons)
		point(v, v->x, v->y, 0, 0);
	v->buttons = 0;
	v->placed = false;
}

/* Buttons 1 to 3 are left, middle, right, 4 and 5 the wheel (RFC 6143 7.5.5). */
static void pointer(struct vm_screen *v, const struct vnc_msg *m)
{
	unsigned x = MIN(m->a, VNC_WIDTH_MAX), y = MIN(m->b, VNC_HEIGHT_MAX), pressed = m->c & ~v->buttons;
	unsigned buttons = (m->c & 1) | (m->c >> 1 & 2) | (m->c << 1 & 4);
	int wheel = pressed & 8 ? -1 : pressed & 16 ? 1 : 0;

	/* Where it comes in is no movement. */
	if (!v->placed) {
		v->x = x;
		v->y = y;
	}
	v->placed = true;
	point(v, x, y, wheel, buttons);
	v->x = x;
	v->y = y;
	v->buttons = m->c;
}

static void looks(struct vm_screen *v, bool on)
{
	pthread_mutex_lock(&v->lock);
	v->looking = on;
	v->anew = true;
	v->unseen = false;
	pthread_cond_broadcast(&v->wake);
	pthread_mutex_unlock(&v->lock);
	if (!on)
		let_go(v);
}

static void seen(struct vm_screen *v)
{
	pthread_mutex_lock(&v->lock);
	v->unseen = false;
	pthread_cond_broadcast(&v->wake);
	pthread_mutex_unlock(&v->lock);
}

static void heard(struct vm_screen *v, const struct vnc_msg *m)
{
	switch (m->type) {
	case VNC_HELLO: /* it was started again, without clients */
		looks(v, false);
		break;
	case VNC_LOOK:
		looks(v, m->a);
		break;
	case VNC_SEEN:
		seen(v);
		break;
	case VNC_KEY:
		key(v, m->a, m->c, m->b);
		break;
	case VNC_POINTER:
		pointer(v, m);
		break;
	default:
		break;
	}
}

static void on_link(void *opaque, u32 events)
{
	struct vm_screen *v = opaque;
	struct vnc_msg m;

	(void)events;
	for (unsigned i = 0; i < MESSAGES_MAX; i++) {
		ssize_t n = recv(v->cfg.vnc->fd, &m, sizeof(m), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			log_warn("the VNC server's process (mica-vnc) is gone: nobody sees the screen any more");
			loop_del(v->cfg.loop, &v->lf);
			looks(v, false);
			return;
		}
		if (n >= (ssize_t)VNC_MSG_BYTES(0))
			heard(v, &m);
	}
}

int vm_vnc_listen(struct vm_screen *v, struct err *e)
{
	if (loop_add(v->cfg.loop, &v->lf, v->cfg.vnc->fd, EPOLLIN, on_link, v) < 0)
		return err_sys(e, errno, "cannot watch the VNC server's process");
	return 0;
}
