/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nic_wire.c - a network card's end of its network; see nic_wire.h. */
#include "device/nic/nic_wire.h"

#include "base/i18n.h"
#include "base/log.h"

#include <sys/socket.h>

static void set_link(struct nic_wire *w, bool up)
{
	if (w->up == up)
		return;
	w->up = up;
	w->card.link(w->card.opaque);
	nic_wire_again(w); /* what waited for the socket is thrown away, as on a cut wire */
	device_tell(&w->listener, DEVICE_LINK);
}

/* The back end is gone, for good. */
static void wire_ended(struct nic_wire *w)
{
	if (w->ended)
		return;
	w->ended = true;
	log_warn("%s: the network behind it has ended; the guest's link is down", w->card.name);
	set_link(w, false);
	nic_wire_again(w);
}

/* A word of the back end's: it died, or another one has taken its place, which must not take less. */
static void hear(struct nic_wire *w, const u8 *msg, size_t bytes)
{
	struct net_backend said;
	struct err e;

	if (msg[0] == NET_MSG_DOWN)
		set_link(w, false);
	if (msg[0] != NET_MSG_HELLO)
		return;
	int r = net_hello_read(&said, msg, bytes, &e);
	if (r == 0 && said.mtu < w->mtu)
		r = err_set(&e, EPROTO, "the network takes %u bytes a frame now, and the guest was told %u", said.mtu,
			    w->mtu);
	if (r < 0)
		log_guest("%s: %s; the guest's link stays down", w->card.name, err_local(&e));
	else
		w->checked = said.checked;
	set_link(w, r == 0);
}

bool nic_wire_send(struct nic_wire *w, const void *frame, size_t bytes)
{
	if (!w->up)
		return true;
	for (;;) {
		if (send(w->fd, frame, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS)
			return false;
		if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
			wire_ended(w);
		return true;
	}
}

size_t nic_wire_recv(struct nic_wire *w, u8 *frame)
{
	/* Words are few; whoever sends nothing else is heard in turns. */
	for (int i = 0; i < 16; i++) {
		ssize_t r = recv(w->fd, frame, NET_FRAME_MAX + 1, MSG_DONTWAIT);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN)
			return 0;
		if (r <= 0) {
			wire_ended(w);
			return 0;
		}
		if (r < NET_FRAME_MIN)
			hear(w, frame, (size_t)r);
		else if (r <= NET_FRAME_MAX)
			return (size_t)r;
	}
	return 0;
}

static void watch(struct nic_wire *w)
{
	u32 want = w->ended ? 0 : w->want;

	if (w->ended)
		loop_del(w->loop, &w->lfd);
	else if (want != w->watched)
		loop_mod(w->loop, &w->lfd, want);
	w->watched = want;
}

static void on_ready(struct nic_wire *w)
{
	w->card.lock(w->card.opaque);
	w->inside = true;
	w->card.ready(w->card.opaque);
	watch(w);
	w->inside = false;
	w->card.unlock(w->card.opaque);
}

static void on_kick(void *opaque)
{
	on_ready(opaque);
}

static void on_fd(void *opaque, u32 events)
{
	struct nic_wire *w = opaque;

	if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN)) {
		w->card.lock(w->card.opaque);
		wire_ended(w);
		w->card.unlock(w->card.opaque);
	}
	on_ready(w);
}

void nic_wire_want(struct nic_wire *w, bool receive, bool send)
{
	u32 want = (receive ? EPOLLIN : 0) | (send ? EPOLLOUT : 0);

	if (w->want == want)
		return;
	w->want = want;
	if (!w->inside)
		loop_timer_arm(&w->kick, 0);
}

void nic_wire_again(struct nic_wire *w)
{
	loop_timer_arm(&w->kick, 0);
}

int nic_wire_init(struct nic_wire *w, struct loop *loop, const struct nic_wire_card *card, const struct device_args *a,
		  struct err *e)
{
	*w = (struct nic_wire){ .card = *card,
				.loop = loop,
				.listener = a->listener,
				.fd = a->fd,
				.mtu = a->mtu,
				.checked = a->checked,
				.up = true };
	loop_timer_init(loop, &w->kick, on_kick, w);
	int r = loop_add(loop, &w->lfd, a->fd, 0, on_fd, w);
	if (r < 0) {
		loop_timer_fini(&w->kick);
		close(a->fd);
		return err_sys(e, -r, "cannot watch the network's socket");
	}
	return 0;
}

void nic_wire_fini(struct nic_wire *w)
{
	loop_timer_fini(&w->kick);
	loop_del(w->loop, &w->lfd);
	close(w->fd);
}
