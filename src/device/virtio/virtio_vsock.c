/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_vsock.c - socket device (VIRTIO 1.2, 5.10): streams between guest and host by port numbers. On the host they
 * are Unix sockets, as Firecracker and Cloud Hypervisor have made them known: who connects to PATH and writes
 * "CONNECT PORT\n" reaches that port of the guest, and reads "OK PORT\n"; a guest that connects to port P of its host
 * (CID 2) reaches who listens at PATH_P.
 *
 * Theory. A packet of the guest's is taken off the queue whenever it can be answered: its bytes go into its
 * connection's ring, which is as large as the credit that the guest was given, so there is room or the guest has broken
 * the rules. Answers of connections are bits in them (`pending`); those to packets of no connection have a list of
 * their own, and while that is full the guest's queue waits.
 *
 * Towards the guest nothing is buffered: a host's socket is read when there is a buffer of the guest's, and credit.
 * Connections take turns, a packet each.
 *
 * Saved state: sockets cannot be saved. A restored driver is told that all its connections are gone (transport reset).
 */
#include "base/i18n.h"
#include "base/state.h"
#include "device/class.h"
#include "device/virtio/virtio_devices.h"
#include "device/virtio/virtio_vsock_int.h"
#include "machine/machine.h"

#define HOST_CID 2u
#define TYPE_STREAM 1u
#define EVENT_TRANSPORT_RESET 0u
#define WORK(bytes) (50 + (bytes) / 16)

enum { RXQ, TXQ, EVENTQ };

static u64 give(struct vsock *v, struct vsock_hdr *h)
{
	h->src_cid = HOST_CID;
	h->dst_cid = v->cid;
	virtio_chain_write(&v->ch, 0, h, sizeof(*h));
	virtio_chain_write(&v->ch, sizeof(*h), v->buf, h->len);
	return sizeof(*h) + h->len;
}

static bool refused_full(const struct vsock *v)
{
	return v->refused_put - v->refused_got == VSOCK_REFUSED;
}

/* The next packet for the chain that was taken; 0: there is none. */
static u64 fill(struct vsock *v)
{
	struct vsock_hdr h = { .type = TYPE_STREAM };

	if (v->refused_put != v->refused_got) {
		u32 i = v->refused_got++ % VSOCK_REFUSED;
		h.src_port = v->refused[i].host_port;
		h.dst_port = v->refused[i].guest_port;
		h.type = v->refused[i].type;
		h.op = VSOCK_OP_RST;
		return give(v, &h);
	}
	for (unsigned i = 0; i < VSOCK_CONNS; i++) {
		unsigned k = (v->from + i) % VSOCK_CONNS;
		u64 room = MIN(v->ch.in_bytes - sizeof(h), VSOCK_PIECE);
		if (vsock_waits(&v->conn[k]) && vsock_next(&v->conn[k], &h, (u32)room)) {
			v->from = k + 1;
			return give(v, &h);
		}
	}
	return 0;
}

static bool waits(const struct vsock *v)
{
	bool any = v->refused_put != v->refused_got;

	for (unsigned i = 0; !any && i < VSOCK_CONNS; i++)
		any = vsock_waits(&v->conn[i]);
	return any;
}

static void tell_reset(struct vsock *v)
{
	u32 event = EVENT_TRANSPORT_RESET;

	if (!v->reset_due || !virtio_pop(v->d, EVENTQ, &v->ch))
		return;
	v->reset_due = false;
	virtio_push(v->d, EVENTQ, &v->ch, (u32)virtio_chain_write(&v->ch, 0, &event, sizeof(event)));
	virtio_signal(v->d, EVENTQ);
}

void vsock_pump(struct vsock *v)
{
	tell_reset(v);
	while (waits(v) && virtio_pop(v->d, RXQ, &v->ch)) {
		if (v->ch.in_bytes <= sizeof(struct vsock_hdr)) {
			virtio_broken(v->d, N_("a buffer without room for a packet"));
			return;
		}
		u64 n = fill(v);
		if (!n) {
			virtio_unpop(v->d, RXQ, &v->ch);
			break;
		}
		virtio_push(v->d, RXQ, &v->ch, (u32)n);
		virtio_charge(v->d, WORK(n));
	}
	virtio_signal(v->d, RXQ);
	if (v->tx_stalled && !refused_full(v)) {
		v->tx_stalled = false;
		virtio_again(v->d, TXQ);
	}
}

static void refuse(struct vsock *v, const struct vsock_hdr *h)
{
	u32 i = v->refused_put++ % VSOCK_REFUSED;

	v->refused[i].guest_port = h->src_port;
	v->refused[i].host_port = h->dst_port;
	v->refused[i].type = h->type;
}

/* What is not from this guest to this host is for nobody (5.10.6.1). */
static void take(struct vsock *v, const struct vsock_hdr *h)
{
	struct vsock_conn *c;

	if (h->src_cid != v->cid || h->dst_cid != HOST_CID)
		return;
	if (h->type == TYPE_STREAM && (c = vsock_find(v, h->src_port, h->dst_port)))
		vsock_packet(c, h);
	else if (h->op != VSOCK_OP_RST && !(h->type == TYPE_STREAM && h->op == VSOCK_OP_REQUEST && vsock_open(v, h)))
		refuse(v, h);
}

static void transmit(struct vsock *v)
{
	struct vsock_hdr h;

	while (!refused_full(v) && virtio_pop(v->d, TXQ, &v->ch)) {
		if (virtio_chain_read(&v->ch, 0, &h, sizeof(h)) != sizeof(h) || h.len > v->ch.out_bytes - sizeof(h)) {
			virtio_broken(v->d, N_("a packet that is shorter than it says"));
			return;
		}
		take(v, &h);
		virtio_push(v->d, TXQ, &v->ch, 0);
		virtio_charge(v->d, WORK(h.len));
	}
	v->tx_stalled = refused_full(v);
	virtio_signal(v->d, TXQ);
}

static void vsock_notify(struct virtio_dev *d, unsigned q)
{
	if (!loop_here()) { /* sockets are watched on the loop's thread */
		virtio_again(d, q);
		return;
	}
	if (q == TXQ)
		transmit(d->impl);
	vsock_pump(d->impl);
}

static void vsock_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	const struct vsock *v = d->impl;

	memcpy(buf, (const u8 *)&v->cid + off, bytes);
}

static void vsock_reset(struct virtio_dev *d)
{
	struct vsock *v = d->impl;

	v->refused_put = v->refused_got = 0;
	v->tx_stalled = v->reset_due = false;
	vsock_conns_forget(v);
}

static void vsock_state(struct virtio_dev *d, struct state_file *s)
{
	struct vsock *v = d->impl;
	bool due = v->reset_due;

	state_same(s, v->cid, "another CID");
	state_bool(s, &due);
	if (state_loading(s))
		v->reset_due = true;
}

static void vsock_free(struct virtio_dev *d)
{
	struct vsock *v = d->impl;

	vsock_conns_fini(v);
	free(v);
}

static const struct virtio_class vsock_class = {
	.name = "virtio-vsock",
	.id = VIRTIO_ID_VSOCK,
	.cfg_bytes = 8,
	.cfg_read = vsock_cfg_read,
	.notify = vsock_notify,
	.reset = vsock_reset,
	.free = vsock_free,
	.state = vsock_state,
};

struct virtio_dev *virtio_vsock_new(struct ram *ram, struct loop *loop, u64 cid, int listen_fd, int link_fd)
{
	struct vsock *v = xcalloc(1, sizeof(*v));

	v->loop = loop;
	v->cid = cid;
	v->listen_fd = listen_fd;
	v->link_fd = link_fd;
	v->d = virtio_new(&vsock_class, ram, loop, 3, v);
	vsock_conns_init(v);
	return v->d;
}

/* ---- the class ---- */

static int new_vsock(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct virtio_dev *d = virtio_vsock_new(machine_ram(m), machine_loop(m), a->cid, a->listen_fd, a->fd);

	return virtio_add(m, d, a, out, e);
}

const struct device_class virtio_vsock_device_class = {
	.name = "virtio-vsock",
	.help = N_("sockets between guest and host: AF_VSOCK there, Unix sockets here"),
	.role = DEVICE_VSOCK,
	.new = new_vsock,
};
