/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_balloon.c - memory balloon (VIRTIO 1.1, 5.5) with free page reporting (1.2, 5.5.6.7).
 *
 * Pages that the guest puts into the balloon or reports as free go back to the host at once
 * (ram_discard()): they read as zeros and cost nothing until the guest touches them again. So taking
 * pages out needs no work here, and the guest need not tell before it does (no MUST_TELL_HOST).
 *
 * To give pages back is a system call for each run of them, and its cost grows with what was there: a chain may ask for
 * 262,144 runs, or for all of the guest's memory. So a chain is worked through in steps (struct balloon's `at`), and
 * what a visit did not finish stays in `ch` until the loop's next one. A chain that is under way when the VM is saved
 * goes back to the ring: to give the same pages back twice does no harm, as they are the balloon's until the chain is
 * used.
 *
 * Queue numbers: the specification gives the reporting queue number 4; Linux numbers only the queues
 * whose features it has, which makes it 2. Neither statistics nor hinting are offered, so every queue
 * from 2 on can only be the reporting queue.
 */
#include "base/i18n.h"
#include "base/state.h"
#include "device/class.h"
#include "device/virtio/virtio.h"
#include "device/virtio/virtio_devices.h"
#include "machine/machine.h"

enum { INFLATEQ, DEFLATEQ, REPORTQ_LINUX, REPORTQ = 4, QUEUES };

#define F_DEFLATE_ON_OOM 2
#define F_REPORTING 5

#define CFG_ACTUAL 4
#define PFN_BATCH 1024
#define PFN_BYTES_MAX (1u << 20) /* of page numbers in one chain: a 1 GiB balloon at once */
#define RUN_MAX_PAGES 1024u      /* given back in one system call */
#define RUN_WORK(pages) (100 + (pages)*16)

struct balloon {
	/* the device's lock */
	u8 cfg[8]; /* num_pages, actual; in units of 4 KiB */
	bool busy; /* a chain is under way: */
	unsigned q;
	u64 at; /* bytes of page numbers done; or of the memory reported, all segments together */
	struct virtio_chain ch;
};

/* Only whole pages can go. Addresses outside RAM are refused by ram_discard(), and nothing is lost. */
static bool discard(struct virtio_dev *d, gpa_t gpa, u64 bytes)
{
	gpa_t from = ROUND_UP(gpa, (u64)PAGE_BYTES), to = (gpa + bytes) & PAGE_MASK;

	if (to <= from)
		return virtio_charge(d, 1);
	ram_discard(d->ram, from, to - from);
	return virtio_charge(d, RUN_WORK((to - from) >> PAGE_SHIFT));
}

/* Page numbers come in no order, but mostly in runs, up or down. True: all of them are done. */
static bool inflate(struct virtio_dev *d, struct balloon *b)
{
	u32 pfn[PFN_BATCH];
	u64 n, first = 0, pages = 0;
	bool more = true;

	while (more && (n = virtio_chain_read(&b->ch, b->at, pfn, sizeof(pfn)) / 4)) {
		u64 i;
		for (i = 0; i < n && more; i++) {
			u64 p = pfn[i];
			if (pages && pages < RUN_MAX_PAGES && p == first + pages) {
				pages++;
			} else if (pages && pages < RUN_MAX_PAGES && p + 1 == first) {
				first--;
				pages++;
			} else {
				more = discard(d, first << PAGE_SHIFT, pages << PAGE_SHIFT);
				first = p;
				pages = 1;
			}
		}
		b->at += 4 * i;
	}
	discard(d, first << PAGE_SHIFT, pages << PAGE_SHIFT);
	return b->at + 4 > b->ch.out_bytes;
}

/* Free memory that the guest reports, a piece at a time. */
static bool give_back(struct virtio_dev *d, struct balloon *b)
{
	const struct virtio_chain *ch = &b->ch;
	u64 skip = b->at;

	for (unsigned i = ch->nout; i < ch->nout + ch->nin; i++) {
		u64 len = ch->iov[i].iov_len;
		if (skip >= len) {
			skip -= len;
			continue;
		}
		while (skip < len) {
			/* Pieces end at multiples of their size, so that each is of whole pages. */
			u64 at = ch->gpa[i] + skip, most = RUN_MAX_PAGES * (u64)PAGE_BYTES;
			u64 n = MIN(len - skip, most - at % most);
			bool more = discard(d, at, n);
			b->at += n;
			skip += n;
			if (!more)
				return b->at == ch->in_bytes;
		}
		skip = 0;
	}
	return true;
}

/* True: the chain is done with. */
static bool work(struct virtio_dev *d, struct balloon *b)
{
	if (b->q == INFLATEQ)
		return inflate(d, b);
	if (b->q >= REPORTQ_LINUX && virtio_has(d, F_REPORTING))
		return give_back(d, b);
	return true;
}

static void balloon_notify(struct virtio_dev *d, unsigned q)
{
	struct balloon *b = d->impl;

	for (;;) {
		if (!b->busy) {
			if (!virtio_pop(d, q, &b->ch))
				break;
			if (q <= DEFLATEQ && b->ch.out_bytes > PFN_BYTES_MAX) {
				virtio_broken(d, N_("too many page numbers in one buffer"));
				return;
			}
			b->busy = true;
			b->q = q;
			b->at = 0;
		}
		if (!work(d, b)) {
			virtio_again(d, b->q);
			virtio_again(d, q); /* it may have waited for another queue's chain */
			break;
		}
		b->busy = false;
		virtio_push(d, b->q, &b->ch, 0);
		if (b->q != q)
			virtio_signal(d, b->q);
	}
	virtio_signal(d, q);
}

static void balloon_cfg_read(struct virtio_dev *d, unsigned off, void *buf, unsigned bytes)
{
	memcpy(buf, ((struct balloon *)d->impl)->cfg + off, bytes);
}

static void balloon_cfg_write(struct virtio_dev *d, unsigned off, const void *buf, unsigned bytes)
{
	if (off >= CFG_ACTUAL) /* num_pages is ours */
		memcpy(((struct balloon *)d->impl)->cfg + off, buf, bytes);
}

static void balloon_reset(struct virtio_dev *d)
{
	struct balloon *b = d->impl;

	/* A new driver starts with an empty balloon; the target stays. */
	st_le32(b->cfg + CFG_ACTUAL, 0);
	b->busy = false;
}

static void balloon_free(struct virtio_dev *d)
{
	free(d->impl);
}

/* The chain under way goes back to the ring. */
static bool balloon_quiesce(struct virtio_dev *d)
{
	struct balloon *b = d->impl;

	if (b->busy)
		virtio_unpop(d, b->q, &b->ch);
	b->busy = false;
	return true;
}

static void balloon_state(struct virtio_dev *d, struct state_file *s)
{
	state_bytes(s, ((struct balloon *)d->impl)->cfg, sizeof(((struct balloon *)d->impl)->cfg));
}

static const struct virtio_class balloon_class = {
	.name = "virtio-balloon",
	.id = VIRTIO_ID_BALLOON,
	.features = 1ull << F_DEFLATE_ON_OOM | 1ull << F_REPORTING,
	.cfg_bytes = 8,
	.cfg_read = balloon_cfg_read,
	.cfg_write = balloon_cfg_write,
	.notify = balloon_notify,
	.reset = balloon_reset,
	.free = balloon_free,
	.quiesce = balloon_quiesce,
	.state = balloon_state,
};

void virtio_balloon_target(struct virtio_dev *d, u64 bytes)
{
	struct balloon *b = d->impl;

	must(d->cls == &balloon_class);
	virtio_lock(d);
	st_le32(b->cfg, (u32)(MIN(bytes, d->ram->bytes) >> PAGE_SHIFT));
	virtio_config_changed(d);
	virtio_unlock(d);
}

u64 virtio_balloon_actual(struct virtio_dev *d)
{
	must(d->cls == &balloon_class);
	virtio_lock(d);
	u64 pages = ld_le32(((struct balloon *)d->impl)->cfg + CFG_ACTUAL);
	virtio_unlock(d);
	return pages << PAGE_SHIFT;
}

int virtio_balloon_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct err *e)
{
	(void)e;
	*out = virtio_new(&balloon_class, ram, loop, QUEUES, xcalloc(1, sizeof(struct balloon)));
	return 0;
}

/* ---- the class ---- */

static int new_balloon(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct virtio_dev *d;
	int r = virtio_balloon_new(&d, machine_ram(m), machine_loop(m), e);

	return r < 0 ? r : virtio_add(m, d, a, out, e);
}

static void target(struct device *d, u64 bytes)
{
	virtio_balloon_target(virtio_of(d), bytes);
}

const struct device_class virtio_balloon_device_class = {
	.name = "virtio-balloon",
	.help = N_("memory that the guest gives back; every machine has one"),
	.standard = true,
	.single = true,
	.new = new_balloon,
	.balloon = target,
};
