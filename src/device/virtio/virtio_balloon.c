/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_balloon.c - memory balloon (VIRTIO 1.1, 5.5) with free page reporting (1.2, 5.5.6.7).
 *
 * Pages that the guest puts into the balloon or reports as free go back to the host at once
 * (ram_discard()): they read as zeros and cost nothing until the guest touches them again. So taking
 * pages out needs no work here, and the guest need not tell before it does (no MUST_TELL_HOST).
 *
 * Queue numbers: the specification gives the reporting queue number 4; Linux numbers only the queues
 * whose features it has, which makes it 2. Neither statistics nor hinting are offered, so every queue
 * from 2 on can only be the reporting queue.
 */
#include "device/virtio/virtio.h"
#include "base/state.h"

enum { INFLATEQ, DEFLATEQ, REPORTQ_LINUX, REPORTQ = 4, QUEUES };

#define F_DEFLATE_ON_OOM 2
#define F_REPORTING 5

#define CFG_ACTUAL 4
#define PFN_BATCH 1024
#define PFN_BYTES_MAX (1u << 20) /* of page numbers in one chain: a 1 GiB balloon at once */

struct balloon {
	/* the device's lock */
	u8 cfg[8]; /* num_pages, actual; in units of 4 KiB */
	struct virtio_chain ch;
};

/* Only whole pages can go. Addresses outside RAM are refused by ram_discard(), and nothing is lost. */
static void discard(struct ram *ram, gpa_t gpa, u64 bytes)
{
	gpa_t from = ROUND_UP(gpa, (u64)PAGE_BYTES), to = (gpa + bytes) & PAGE_MASK;

	if (to > from)
		ram_discard(ram, from, to - from);
}

/* Page numbers come in no order, but mostly in runs, up or down. */
static void inflate(struct virtio_dev *d, const struct virtio_chain *ch)
{
	u32 pfn[PFN_BATCH];
	u64 off = 0, n, first = 0, pages = 0;

	while ((n = virtio_chain_read(ch, off, pfn, sizeof(pfn))) >= 4) {
		off += n;
		for (u64 i = 0; i < n / 4; i++) {
			u64 p = pfn[i];
			if (pages && p == first + pages) {
				pages++;
			} else if (pages && p + 1 == first) {
				first--;
				pages++;
			} else {
				discard(d->ram, first << PAGE_SHIFT, pages << PAGE_SHIFT);
				first = p;
				pages = 1;
			}
		}
	}
	discard(d->ram, first << PAGE_SHIFT, pages << PAGE_SHIFT);
}

static void balloon_notify(struct virtio_dev *d, unsigned q)
{
	struct balloon *b = d->impl;

	while (virtio_pop(d, q, &b->ch)) {
		if (q <= DEFLATEQ && b->ch.out_bytes > PFN_BYTES_MAX) {
			virtio_broken(d, "too many page numbers in one buffer");
			return;
		}
		if (q == INFLATEQ)
			inflate(d, &b->ch);
		else if (q >= REPORTQ_LINUX && virtio_has(d, F_REPORTING))
			for (unsigned i = b->ch.nout; i < b->ch.nout + b->ch.nin; i++)
				discard(d->ram, b->ch.gpa[i], b->ch.iov[i].iov_len);
		virtio_push(d, q, &b->ch, 0);
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
	/* A new driver starts with an empty balloon; the target stays. */
	st_le32(((struct balloon *)d->impl)->cfg + CFG_ACTUAL, 0);
}

static void balloon_free(struct virtio_dev *d)
{
	free(d->impl);
}

static void balloon_state(struct virtio_dev *d, struct state *s)
{
	state_bytes(s, ((struct balloon *)d->impl)->cfg, sizeof(((struct balloon *)d->impl)->cfg));
}

static const struct virtio_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.id = VIRTIO_ID_BALLOON,
	.features = 1ull << F_DEFLATE_ON_OOM | 1ull << F_REPORTING,
	.cfg_bytes = 8,
	.cfg_read = balloon_cfg_read,
	.cfg_write = balloon_cfg_write,
	.notify = balloon_notify,
	.reset = balloon_reset,
	.free = balloon_free,
	.state = balloon_state,
};

void virtio_balloon_target(struct virtio_dev *d, u64 bytes)
{
	struct balloon *b = d->impl;

	must(d->cls == &virtio_balloon_class);
	virtio_lock(d);
	st_le32(b->cfg, (u32)(MIN(bytes, d->ram->bytes) >> PAGE_SHIFT));
	virtio_config_changed(d);
	virtio_unlock(d);
}

u64 virtio_balloon_actual(struct virtio_dev *d)
{
	must(d->cls == &virtio_balloon_class);
	virtio_lock(d);
	u64 pages = ld_le32(((struct balloon *)d->impl)->cfg + CFG_ACTUAL);
	virtio_unlock(d);
	return pages << PAGE_SHIFT;
}

int virtio_balloon_new(struct virtio_dev **out, struct ram *ram, struct loop *loop, struct err *e)
{
	(void)loop;
	(void)e;
	*out = virtio_new(&virtio_balloon_class, ram, QUEUES, xcalloc(1, sizeof(struct balloon)));
	return 0;
}
