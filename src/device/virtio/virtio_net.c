/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_net.c - network device (VIRTIO 1.1, 5.1): one receive and one transmit queue, frames to and
 * from a datagram socket.
 *
 * Theory, transmit: on the notifying vCPU's thread each chain goes to the socket with one sendmsg(2),
 * straight from guest memory, until the visit is over (virtio.h). When the socket takes no more, the chain goes back
 * (`tx_stalled`) and the loop continues on EPOLLOUT: the guest sees its queue fill up, nothing is lost.
 *
 * Receive: on the loop's thread a frame is read into `frame` and copied to as many chains as it needs
 * (mergeable buffers), which the driver gets to see all at once. One that is longer than what the driver was told
 * (5.1.4.1: 1500 bytes, unless it asked) goes in pieces, as a back end does not always keep to what a guest's TCP
 * announced. When the driver has too few buffers, the frame stays
 * in `frame` and the socket is not watched any more (`rx_stalled`) until the driver adds buffers: the
 * sender feels it.
 *
 * Link: the back end says when it is down and when it is back (net.h); frames meanwhile are lost, as on a cut wire. The
 * end of the socket is the end of the network.
 *
 * The other thread than the loop's never touches the loop's fd: it arms `kick`, which sets the watched
 * events right.
 *
 * Checksums: the driver may leave a transmitted checksum unfinished (NEEDS_CSUM); it is finished here,
 * in a copy, as the chain is not ours to write. Received ones are not looked at again by a driver that asked for that
 * (GUEST_CSUM), where the back end says that they are right (NET_HELLO_CHECKED). Segmentation is not offered: the MTU
 * does more.
 */
#include "device/class.h"
#include "device/nic/nic_segment.h"
#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"
#include "machine/pci.h"
#include "base/i18n.h"
#include "base/log.h"
#include "base/state.h"
#include "net/net.h"

#include <fcntl.h>
#include <sys/socket.h>

enum { RXQ, TXQ };

#define F_CSUM 0
#define F_GUEST_CSUM 1
#define F_MTU 3
#define F_MAC 5
#define F_MRG_RXBUF 15
#define F_STATUS 16

#define STATUS_LINK_UP 1

#define HDR_F_NEEDS_CSUM 1
#define HDR_F_DATA_VALID 2
#define HDR_GSO_NONE 0

/* 5.1.6; num_buffers is always there in a modern device, and in an old one with MRG_RXBUF. */
struct hdr {
	u8 flags, gso_type;
	u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
_Static_assert(sizeof(struct hdr) == 12, "virtio_net_hdr");

#define HDR_BYTES_LEGACY offsetof(struct hdr, num_buffers)
#define ETHERNET_MAX 18                        /* of a frame beside its payload: the header, with a tag */
#define RX_BATCH 64                            /* frames a turn of the loop */
#define FRAME_WORK(bytes) (100 + (bytes) / 16) /* a system call, a copy or two, perhaps a checksum */
#define MERGE_MAX 64                           /* chains a frame may take: 64 KiB in 1 KiB buffers */

struct vnet {
	struct virtio_dev *d;
	struct loop *loop;
	struct loop_timer kick;
	/* the loop's thread only */
	struct loop_fd lfd;
	u32 want;

	/* the device's lock */
	int fd;
	struct device_listener listener;
	u8 cfg[12]; /* mac, status, max_virtqueue_pairs, mtu */
	bool rx_stalled, tx_stalled, ended;
	bool checked;       /* the back end's frames have right checksums */
	size_t frame_bytes; /* a frame that waits for buffers; 0: none */
	u8 frame[NET_FRAME_MAX + 1];
	size_t piece_bytes; /* what waits is this much in `piece`, of the frame; 0: it is whole */
	struct nic_cut cut;
	u8 piece[NIC_PIECE];
	u8 tx_copy[NET_FRAME_MAX];
	struct virtio_chain tx;
	struct virtio_chain rx[MERGE_MAX];
	u32 written[MERGE_MAX];
};

static size_t hdr_bytes(const struct vnet *n)
{
	return virtio_has(n->d, VIRTIO_F_VERSION_1) || virtio_has(n->d, F_MRG_RXBUF) ? sizeof(struct hdr)
										     : HDR_BYTES_LEGACY;
}

static void forget_frame(struct vnet *n)
{
	n->frame_bytes = n->piece_bytes = 0;
}

static void set_link(struct vnet *n, bool up)
{
	if (!(n->cfg[6] & STATUS_LINK_UP) == !up)
		return;
	n->cfg[6] ^= STATUS_LINK_UP;
	forget_frame(n);
	n->tx_stalled = false; /* what waits is thrown away, as on a cut wire */
	virtio_again(n->d, TXQ);
	loop_timer_arm(&n->kick, 0);
	virtio_config_changed(n->d);
	device_tell(&n->listener, DEVICE_LINK);
}

/* The back end is gone, for good. */
static void wire_ended(struct vnet *n)
{
	if (n->ended)
		return;
	n->ended = true;
	log_warn("virtio-net: the network behind it has ended; the guest's link is down");
	set_link(n, false);
	loop_timer_arm(&n->kick, 0);
}

/* A word of the back end's, in n->frame: it died, or another one has taken its place, which must not take less. */
static void hear(struct vnet *n, size_t bytes)
{
	struct net_backend said;
	struct err e;

	if (n->frame[0] == NET_MSG_DOWN)
		set_link(n, false);
	if (n->frame[0] != NET_MSG_HELLO)
		return;
	int r = net_hello_read(&said, n->frame, bytes, &e);
	if (r == 0 && said.mtu < ld_le16(n->cfg + 10))
		r = err_set(&e, EPROTO, "the network takes %u bytes a frame now, and the guest was told %u", said.mtu,
			    ld_le16(n->cfg + 10));
	if (r < 0)
		log_guest("virtio-net: %s; the guest's link stays down", err_local(&e));
	else
		n->checked = said.checked;
	set_link(n, r == 0);
}

/* ---- transmit ---- */

/* One's complement sum of native 16-bit words (RFC 1071: the byte order does not matter). */
static u16 checksum(const u8 *p, size_t bytes)
{
	u64 s = 0;

	for (; bytes >= 4; p += 4, bytes -= 4) {
		u32 w;
		memcpy(&w, p, 4);
		s += w;
	}
	if (bytes & 2) {
		s += ld_le16(p);
		p += 2;
	}
	if (bytes & 1)
		s += *p;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (u16)~s;
}

/* Finish the checksum (5.1.6.2) in a copy of the frame. */
static bool finish_checksum(struct vnet *n, const struct hdr *h, size_t bytes)
{
	size_t start = h->csum_start, at = start + h->csum_offset;

	if (start >= bytes || at + 2 > bytes)
		return false;
	virtio_chain_read(&n->tx, hdr_bytes(n), n->tx_copy, bytes);
	u16 sum = checksum(n->tx_copy + start, bytes - start);
	/* 0 means "none" to UDP, and all ones are the same number. */
	st_le16(n->tx_copy + at, sum ? sum : 0xffff);
	return true;
}

/* Send n->tx. False when the socket takes no more now. */
static bool send_chain(struct vnet *n)
{
	struct iovec iov[VIRTIO_CHAIN_MAX];
	struct msghdr mh = { .msg_iov = iov };
	struct hdr h;
	size_t head = hdr_bytes(n), skip = head;

	if (!(n->cfg[6] & STATUS_LINK_UP) || virtio_chain_read(&n->tx, 0, &h, head) != head)
		return true;
	u64 bytes = n->tx.out_bytes - head;
	if (bytes < NET_FRAME_MIN || bytes > NET_FRAME_MAX || h.gso_type != HDR_GSO_NONE)
		return true;
	if (h.flags & HDR_F_NEEDS_CSUM && virtio_has(n->d, F_CSUM)) {
		if (!finish_checksum(n, &h, bytes))
			return true;
		iov[0] = (struct iovec){ n->tx_copy, bytes };
		mh.msg_iovlen = 1;
	} else {
		for (unsigned i = 0; i < n->tx.nout; i++) {
			const struct iovec *s = &n->tx.iov[i];
			size_t k = MIN(skip, s->iov_len);
			skip -= k;
			if (s->iov_len > k)
				iov[mh.msg_iovlen++] = (struct iovec){ (u8 *)s->iov_base + k, s->iov_len - k };
		}
	}
	for (;;) {
		if (sendmsg(n->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOBUFS)
			return false;
		if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
			wire_ended(n);
		return true;
	}
}

static void transmit(struct vnet *n)
{
	while (!n->tx_stalled && virtio_pop(n->d, TXQ, &n->tx)) {
		if (!send_chain(n)) {
			virtio_unpop(n->d, TXQ, &n->tx);
			n->tx_stalled = true;
			break;
		}
		virtio_push(n->d, TXQ, &n->tx, 0);
		virtio_charge(n->d, FRAME_WORK(MIN(n->tx.out_bytes, NET_FRAME_MAX)));
	}
	virtio_signal(n->d, TXQ);
	if (n->tx_stalled)
		loop_timer_arm(&n->kick, 0);
}

/* ---- receive ---- */

enum deliver { DELIVERED, DROPPED, NO_BUFFERS };

/* Give n->frame, or the piece of it, to the driver. */
static enum deliver deliver(struct vnet *n)
{
	bool valid = n->checked && virtio_has(n->d, F_GUEST_CSUM);
	struct hdr h = { .num_buffers = 1, .flags = valid ? HDR_F_DATA_VALID : 0 };
	unsigned most = virtio_has(n->d, F_MRG_RXBUF) ? MERGE_MAX : 1, nch = 0;
	const u8 *data = n->piece_bytes ? n->piece : n->frame;
	size_t done = 0, bytes = n->piece_bytes ? n->piece_bytes : n->frame_bytes;

	while (done < bytes) {
		struct virtio_chain *ch = &n->rx[nch];
		size_t head = nch ? 0 : hdr_bytes(n);

		if (nch == most || !virtio_pop(n->d, RXQ, ch)) {
			bool small = nch == most;
			while (nch--)
				virtio_unpop(n->d, RXQ, &n->rx[nch]);
			return small ? DROPPED : NO_BUFFERS;
		}
		if (ch->in_bytes < MAX(head, 1)) {
			virtio_broken(n->d, N_("a receive buffer is too small"));
			return DROPPED;
		}
		size_t k = MIN(ch->in_bytes - head, bytes - done);
		virtio_chain_write(ch, head, data + done, k);
		done += k;
		n->written[nch++] = (u32)(head + k);
	}
	h.num_buffers = (u16)nch;
	virtio_chain_write(&n->rx[0], 0, &h, hdr_bytes(n));
	virtio_push_batch(n->d, RXQ, n->rx, n->written, nch);
	return DELIVERED;
}

/* A frame has come. */
static void begin_frame(struct vnet *n, size_t bytes)
{
	size_t mtu = virtio_has(n->d, F_MTU) ? ld_le16(n->cfg + 10) : 1500;

	n->frame_bytes = bytes;
	n->piece_bytes = 0;
	virtio_charge(n->d, FRAME_WORK(bytes));
	if (bytes > mtu + ETHERNET_MAX && nic_cut_begin(&n->cut, n->frame, bytes))
		n->piece_bytes = nic_cut_next(&n->cut, n->frame, n->piece);
}

/* What was to be delivered is; the next piece of the same frame, if there is one. */
static void end_frame(struct vnet *n)
{
	if (n->piece_bytes)
		n->piece_bytes = nic_cut_next(&n->cut, n->frame, n->piece);
	if (!n->piece_bytes)
		n->frame_bytes = 0;
	else
		virtio_charge(n->d, FRAME_WORK(n->piece_bytes));
}

static void receive(struct vnet *n)
{
	for (int i = 0; i < RX_BATCH && !n->d->over; i++) {
		if (!n->frame_bytes) {
			ssize_t r = recv(n->fd, n->frame, sizeof(n->frame), MSG_DONTWAIT);
			if (r < 0 && errno == EINTR)
				continue;
			if (r < 0 && errno == EAGAIN)
				break;
			if (r <= 0) {
				wire_ended(n);
				break;
			}
			if (r < NET_FRAME_MIN)
				hear(n, (size_t)r);
			if (r < NET_FRAME_MIN || r > NET_FRAME_MAX)
				continue;
			begin_frame(n, (size_t)r);
		}
		if (deliver(n) == NO_BUFFERS) {
			n->rx_stalled = true;
			break;
		}
		end_frame(n);
	}
	virtio_signal(n->d, RXQ);
}

/* ---- the loop's side ---- */

static void watch(struct vnet *n);

static void on_fd(void *opaque, u32 events)
{
	struct vnet *n = opaque;

	virtio_lock(n->d);
	if (events & EPOLLOUT && n->tx_stalled) {
		n->tx_stalled = false;
		transmit(n);
	}
	if (events & EPOLLIN && !n->rx_stalled)
		receive(n);
	else if (events & (EPOLLHUP | EPOLLERR))
		wire_ended(n);
	watch(n);
	virtio_unlock(n->d);
}

static void watch(struct vnet *n)
{
	u32 want = n->ended ? 0 : (n->rx_stalled ? 0 : EPOLLIN) | (n->tx_stalled ? EPOLLOUT : 0);

	if (n->ended)
		loop_del(n->loop, &n->lfd);
	else if (want != n->want)
		loop_mod(n->loop, &n->lfd, want);
	n->want = want;
}

static void on_kick(void *opaque)
{
	struct vnet *n = opaque;

	virtio_lock(n->d);
	if (n->frame_bytes && !n->rx_stalled)
		receive(n);
	watch(n);
	virtio_unlock(n->d);
}

/* ---- the device ---- */

static void net_notify(struct virtio_dev *d, unsigned q)
{
	struct vnet *n = d->impl;

	if (q == TXQ) {
		transmit(n);
	} else if (n->rx_stalled) {
		n->rx_stalled = false;
		loop_timer_arm(&n->kick, 0);
	}
}

static void net_driver_ok(struct virtio_dev *d)
{
	net_notify(d, RXQ);
}

static void net_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	memcpy(buf, ((struct vnet *)d->impl)->cfg + off, bytes);
}

static void net_reset(struct virtio_dev *d)
{
	struct vnet *n = d->impl;

	forget_frame(n); /* it was for the driver before */
	n->tx_stalled = false;
}

static void net_free(struct virtio_dev *d)
{
	struct vnet *n = d->impl;

	loop_timer_fini(&n->kick);
	loop_del(n->loop, &n->lfd);
	close(n->fd);
	free(n);
}

/* Frames on their way are lost, as networks may. The guest keeps its address; the link is this network's. */
static void net_state(struct virtio_dev *d, struct state_file *s)
{
	struct vnet *n = d->impl;

	state_bytes(s, n->cfg, 6);
	if (state_loading(s)) {
		forget_frame(n);
		n->rx_stalled = true; /* until resumed */
		n->tx_stalled = false;
	}
}

static const struct virtio_class net_class = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET,
	.features = 1ull << F_CSUM | 1ull << F_GUEST_CSUM | 1ull << F_MAC | 1ull << F_MRG_RXBUF | 1ull << F_STATUS,
	.cfg_bytes = 12,
	.cfg_read = net_cfg_read,
	.driver_ok = net_driver_ok,
	.notify = net_notify,
	.reset = net_reset,
	.free = net_free,
	.state = net_state,
};

void virtio_net_set_mtu(struct virtio_dev *d, unsigned mtu)
{
	struct vnet *n = d->impl;

	must(d->cls == &net_class && mtu >= 1280 && mtu <= 65520);
	st_le16(n->cfg + 10, (u16)mtu);
	d->features_offered |= 1ull << F_MTU;
}

void virtio_net_set_checked(struct virtio_dev *d, bool checked)
{
	must(d->cls == &net_class);
	((struct vnet *)d->impl)->checked = checked;
}

void virtio_net_listen(struct virtio_dev *d, const struct device_listener *l)
{
	must(d->cls == &net_class);
	((struct vnet *)d->impl)->listener = *l;
}

int virtio_net_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, int fd, const u8 mac[6], struct err *e)
{
	struct vnet *n = xcalloc(1, sizeof(*n));

	n->loop = loop;
	n->fd = fd;
	n->rx_stalled = true; /* no buffers before the driver brings some */
	memcpy(n->cfg, mac, 6);
	st_le16(n->cfg + 6, STATUS_LINK_UP);
	st_le16(n->cfg + 8, 1);
	st_le16(n->cfg + 10, 1500);
	n->d = virtio_new(&net_class, ram, loop, 2, n);
	loop_timer_init(loop, &n->kick, on_kick, n);
	int r = loop_add(loop, &n->lfd, fd, 0, on_fd, n);
	if (r < 0) {
		virtio_free(n->d);
		return err_sys(e, -r, "cannot watch the network's socket");
	}
	*out = n->d;
	return 0;
}

/* ---- the class ---- */

static int new_card(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct virtio_dev *d;
	int r = virtio_net_new(&d, machine_ram(m), machine_loop(m), a->fd, a->mac, e);

	if (r < 0)
		return r;
	virtio_net_set_mtu(d, a->mtu);
	virtio_net_set_checked(d, a->checked);
	virtio_net_listen(d, &a->listener);
	d->rom = (struct virtio_rom){ a->rom, a->rom_bytes, a->rom_room };
	return virtio_add(m, d, a, out, e);
}

static void boot_path(struct device *d, char *path, size_t bytes)
{
	snprintf(path, bytes, "/pci@i0cf8/ethernet@%x/ethernet-phy@0", pci_dev_of(d)->devfn >> 3);
}

static const struct device_param params[] = {
	VIRTIO_PARAM_LEGACY(N_("systems and firmware from before VIRTIO 1.0 can use it, too")),
	{ NULL },
};

const struct device_class virtio_net_device_class = {
	.boot_path = boot_path,
	.rom = "/usr/lib/ipxe/qemu/pxe-virtio.rom",
	.name = "virtio-net",
	.field = "virtio",
	.help = N_("paravirtual network card"),
	.role = DEVICE_NIC,
	.params = params,
	.new = new_card,
};
