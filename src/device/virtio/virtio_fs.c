/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_fs.c - file system device (VIRTIO 1.2, 5.11): a folder of the host, which a guest mounts by its tag.
 *
 * Theory. A request, and its reply, is a message to and from mica-share (share/share.h), which understands it; here it
 * is a number of bytes. Everything is done on the loop's thread with the device's lock held, but for a reset. A chain
 * is in a slot until its reply comes; while all slots are in use, or mica-share takes no more, the queues wait.
 *
 * A reset does not wait for replies: it begins another epoch, whose tickets are others, and mica-share is told to
 * forget before the next request.
 *
 * Saved state: quiescing asks mica-share for what the guest knows of the folder (share_state.c), as that takes time,
 * and nothing may wait for it afterwards.
 */
#include "base/i18n.h"
#include "base/log.h"
#include "base/state.h"
#include "device/class.h"
#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"
#include "share/share.h"

#include <linux/fuse.h>
#include <sys/socket.h>

#define SLOTS 64u
#define QUEUES 2u /* forgotten files, whose messages pass others; requests */
#define WORK(bytes) (200 + (bytes) / 8)
#define REPLIES 64 /* that are taken in a turn, at most */

struct slot {
	bool used;
	unsigned q;
	u64 unique;
	struct virtio_chain ch;
};

struct vfs {
	struct virtio_dev *d;
	struct loop *loop;
	int fd; /* owned; -1: mica-share is gone */
	struct loop_fd lf;
	bool watched_out;
	u8 cfg[SHARE_TAG_MAX + 4];
	u32 epoch;
	bool reset_due;
	unsigned flying;
	struct slot slot[SLOTS];
	u8 buf[sizeof(struct share_msg) + SHARE_BODY_MAX];
	/* quiesced */
	bool asked, kept;
	u32 asks;
	u32 kept_bytes;
	u8 keep[SHARE_DATA_MAX];
};

static u32 ticket(const struct vfs *v, unsigned slot)
{
	return v->epoch * SLOTS + slot;
}

static void give_back(struct vfs *v, struct slot *s, u64 bytes)
{
	virtio_push(v->d, s->q, &s->ch, (u32)bytes);
	virtio_signal(v->d, s->q);
	s->used = false;
	v->flying--;
}

/* Without mica-share. */
static void refuse(struct vfs *v, struct slot *s)
{
	struct fuse_out_header o = { .len = sizeof(o), .error = -ENOTCONN, .unique = s->unique };

	give_back(v, s, virtio_chain_write(&s->ch, 0, &o, s->ch.in_bytes >= sizeof(o) ? sizeof(o) : 0));
}

static void gone(struct vfs *v)
{
	log_warn("mica-share has ended: the folder that the guest has by the name %.*s is gone", SHARE_TAG_MAX, v->cfg);
	loop_del(v->loop, &v->lf);
	close(steal_fd(&v->fd));
	for (unsigned i = 0; i < SLOTS; i++)
		if (v->slot[i].used)
			refuse(v, &v->slot[i]);
}

/* 0: sent; -EAGAIN: there is no room now. */
static int tell(struct vfs *v, enum share_kind kind, u32 what, u32 room, size_t body)
{
	struct share_msg m = { .kind = kind, .ticket = what, .room = room };

	memcpy(v->buf, &m, sizeof(m));
	ssize_t n = send(v->fd, v->buf, sizeof(m) + body, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
		if (!v->watched_out)
			loop_mod(v->loop, &v->lf, EPOLLIN | EPOLLOUT);
		v->watched_out = true;
		return -EAGAIN;
	}
	return 0; /* whatever else it is, the end of the socket tells */
}

static bool say_reset(struct vfs *v)
{
	if (v->fd >= 0 && v->reset_due && tell(v, SHARE_RESET, 0, 0, 0) < 0)
		return false;
	v->reset_due = false;
	return true;
}

static bool has_reply(u32 opcode)
{
	return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

/* The request in a slot. False: not now. */
static bool ask(struct vfs *v, struct slot *s)
{
	u8 *body = v->buf + sizeof(struct share_msg);
	struct fuse_in_header h;
	size_t n = virtio_chain_read(&s->ch, 0, body, SHARE_BODY_MAX);

	memcpy(&h, body, sizeof(h));
	s->unique = h.unique;
	if (v->fd < 0 || h.len != n) {
		refuse(v, s);
		return true;
	}
	if (tell(v, SHARE_FUSE, ticket(v, (unsigned)(s - v->slot)), (u32)MIN(s->ch.in_bytes, SHARE_BODY_MAX), n) < 0)
		return false;
	if (!has_reply(h.opcode) || s->ch.in_bytes < sizeof(struct fuse_out_header))
		give_back(v, s, 0);
	return true;
}

static struct slot *free_slot(struct vfs *v)
{
	for (unsigned i = 0; v->flying < SLOTS && i < SLOTS; i++)
		if (!v->slot[i].used)
			return &v->slot[i];
	return NULL;
}

static void serve(struct vfs *v, unsigned q)
{
	struct slot *s;

	if (!v->d->frozen) /* any more */
		v->asked = v->kept = false;
	while (say_reset(v) && (s = free_slot(v)) && virtio_pop(v->d, q, &s->ch)) {
		if (s->ch.out_bytes < sizeof(struct fuse_in_header) || s->ch.out_bytes > SHARE_BODY_MAX) {
			virtio_broken(v->d, N_("a request that is none, or too long"));
			return;
		}
		s->used = true;
		s->q = q;
		v->flying++;
		if (!ask(v, s)) {
			s->used = false;
			v->flying--;
			virtio_unpop(v->d, q, &s->ch);
			break;
		}
		virtio_charge(v->d, WORK(s->ch.out_bytes));
	}
}

static void fs_notify(struct virtio_dev *d, unsigned q)
{
	if (!loop_here()) /* its socket is watched there */
		virtio_again(d, q);
	else
		serve(d->impl, q);
}

/* A message of mica-share's; whoever has taken it over may write into buffers that the guest gave for it, and no more.
 */
static void answered(struct vfs *v, const struct share_msg *m, const u8 *body, size_t n)
{
	struct slot *s = &v->slot[m->ticket % SLOTS];

	if (m->kind == SHARE_SAVE && v->asked && m->ticket == v->asks && n <= sizeof(v->keep)) {
		memcpy(v->keep, body, n);
		v->kept_bytes = (u32)n;
		v->kept = true;
	}
	if (m->kind != SHARE_FUSE || !s->used || m->ticket != ticket(v, m->ticket % SLOTS))
		return;
	give_back(v, s, virtio_chain_write(&s->ch, 0, body, n));
	virtio_charge(v->d, WORK(n));
}

static void on_link(void *opaque, u32 events)
{
	struct vfs *v = opaque;
	struct share_msg m;
	ssize_t n = sizeof(m);

	virtio_lock(v->d);
	for (unsigned i = 0; i < REPLIES && virtio_charge(v->d, 0); i++) {
		n = recv(v->fd, v->buf, sizeof(v->buf), MSG_DONTWAIT);
		if (n < (ssize_t)sizeof(m))
			break;
		memcpy(&m, v->buf, sizeof(m));
		answered(v, &m, v->buf + sizeof(m), (size_t)n - sizeof(m));
	}
	if (n >= 0 ? n < (ssize_t)sizeof(m) : errno != EAGAIN && errno != EINTR)
		gone(v);
	else if (v->watched_out && events & EPOLLOUT)
		loop_mod(v->loop, &v->lf, EPOLLIN);
	v->watched_out &= !(events & EPOLLOUT);
	for (unsigned q = 0; q < QUEUES; q++)
		serve(v, q);
	virtio_unlock(v->d);
}

static void fs_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	memcpy(buf, ((struct vfs *)d->impl)->cfg + off, bytes);
}

static void fs_reset(struct virtio_dev *d)
{
	struct vfs *v = d->impl;

	for (unsigned i = 0; i < SLOTS; i++)
		v->slot[i].used = false;
	v->flying = 0;
	v->epoch++;
	v->reset_due = true;
	v->asked = v->kept = false;
}

static bool fs_quiesce(struct virtio_dev *d)
{
	struct vfs *v = d->impl;

	if (v->fd < 0) {
		v->kept = true;
		v->kept_bytes = 0;
	}
	if (v->flying || v->kept || !say_reset(v))
		return !v->flying && v->kept;
	if (!v->asked)
		v->asked = tell(v, SHARE_SAVE, ++v->asks, 0, 0) == 0;
	return false;
}

static void fs_state(struct virtio_dev *d, struct state_file *s)
{
	struct vfs *v = d->impl;

	state_same(s, ld_le32(v->cfg + SHARE_TAG_MAX), "another number of queues");
	state_u32(s, &v->kept_bytes);
	if (v->kept_bytes > sizeof(v->keep)) {
		state_bad(s, "what is known of a folder is too long");
		v->kept_bytes = 0;
	}
	state_bytes(s, v->keep, v->kept_bytes);
	if (!state_loading(s) || v->fd < 0)
		return;
	memcpy(v->buf + sizeof(struct share_msg), v->keep, v->kept_bytes);
	if (!say_reset(v) || tell(v, SHARE_LOAD, 0, 0, v->kept_bytes) < 0)
		state_bad(s, "mica-share takes no message");
}

static void fs_free(struct virtio_dev *d)
{
	struct vfs *v = d->impl;

	if (v->fd >= 0) {
		loop_del(v->loop, &v->lf);
		close(v->fd);
	}
	free(v);
}

static const struct virtio_class fs_class = {
	.name = "virtio-fs",
	.id = VIRTIO_ID_FS,
	.cfg_bytes = SHARE_TAG_MAX + 4,
	.cfg_read = fs_cfg_read,
	.notify = fs_notify,
	.reset = fs_reset,
	.quiesce = fs_quiesce,
	.free = fs_free,
	.state = fs_state,
};

struct virtio_dev *virtio_fs_new(struct ram *ram, struct loop *loop, int fd, const char *tag)
{
	struct vfs *v = xcalloc(1, sizeof(*v));

	v->loop = loop;
	v->fd = fd;
	memcpy(v->cfg, tag, strnlen(tag, SHARE_TAG_MAX));
	st_le32(v->cfg + SHARE_TAG_MAX, QUEUES - 1);
	v->d = virtio_new(&fs_class, ram, loop, QUEUES, v);
	loop_add(loop, &v->lf, fd, EPOLLIN, on_link, v);
	return v->d;
}

/* ---- the class ---- */

static int new_fs(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct virtio_dev *d = virtio_fs_new(machine_ram(m), machine_loop(m), a->fd, a->tag);

	return virtio_add(m, d, a, out, e);
}

const struct device_class virtio_fs_device_class = {
	.name = "virtio-fs",
	.help = N_("a folder of the host: mount -t virtiofs TAG /mnt"),
	.role = DEVICE_SHARE,
	.new = new_fs,
};
