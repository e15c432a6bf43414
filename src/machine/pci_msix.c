/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci_msix.c - MSI-X (PCI 3.0 chapter 6.8.2): table, pending bits, masking.
 *
 * Theory of operation: table and pending bits share a BAR of one page, table at 0, PBA at 0x800. A
 * vector that is sent while it or the whole function is masked (or the function may not master the bus)
 * sets its pending bit; the message goes out when the last mask falls. Messages are sent with msix_lock
 * held, so that none goes out after the guest's write that masks it has returned.
 *
 * Where the engine has routes (bus.h), a vector has an eventfd that stands for its message; the route is made when the
 * message goes out the first time, and anew when it goes out changed: guests write an entry many times before they use
 * it.
 */
#include "machine/pci.h"

#include "base/state.h"
#include "machine/pci_internal.h"

#include <assert.h>
#include <sys/eventfd.h>

#define CAP_MSIX 0x11
#define CTL_ENABLE 0x8000
#define CTL_MASK_ALL 0x4000
#define VEC_MASKED 1u
#define ENTRY_BYTES 16
#define BAR_BYTES 4096
#define PBA_OFF 0x800

static_assert(PCI_MSIX_MAX * ENTRY_BYTES <= PBA_OFF, "the table must end before the PBA");
static_assert(PCI_MSIX_MAX <= 64, "pending bits are one u64");

static bool held_back(const struct pci_dev *d, unsigned v)
{
	return d->msix_masked || (d->msix[v].ctrl & VEC_MASKED);
}

static bool route_is_right(struct pci_dev *d, unsigned v)
{
	const struct msi_router *r = pci_router(d);
	u64 addr = d->msix[v].addr;
	u32 data = d->msix[v].data;

	if (d->msix[v].routed && d->msix[v].routed_addr == addr && d->msix[v].routed_data == data)
		return true;
	if ((addr & ~0xfffffull) != 0xfee00000) /* not a message at all: the target knows what to do */
		return false;
	d->msix[v].routed = r->set(r->opaque, d->msix[v].route, d->msix[v].fd, true, addr, data) == 0;
	d->msix[v].routed_addr = addr;
	d->msix[v].routed_data = data;
	return d->msix[v].routed;
}

static void send_now(struct pci_dev *d, const struct msi_target *t, unsigned v)
{
	const u64 one = 1;

	if (d->msix[v].fd < 0 || !route_is_right(d, v) || write(d->msix[v].fd, &one, sizeof(one)) != sizeof(one))
		msi_send(t, d->msix[v].addr, d->msix[v].data);
}

bool pci_msix_send_locked(struct pci_dev *d, const struct msi_target *t, unsigned v)
{
	if (!d->msix_on || v >= d->msix_n || !t)
		return false;
	if (held_back(d, v))
		d->msix_pending |= 1ull << v;
	else
		send_now(d, t, v);
	return true;
}

void pci_msix_flush_locked(struct pci_dev *d, const struct msi_target *t)
{
	if (!d->msix_on || !d->msix_pending)
		return;
	for (unsigned v = 0; v < d->msix_n; v++) {
		if ((d->msix_pending >> v & 1) && !held_back(d, v)) {
			d->msix_pending &= ~(1ull << v);
			send_now(d, t, v);
		}
	}
}

void pci_msix_update_locked(struct pci_dev *d, const struct msi_target *t, bool master)
{
	if (!d->msix_n)
		return;
	u16 ctl = ld_le16(d->cfg + d->msix_cap + PCI_MSIX_CTL);
	d->msix_on = ctl & CTL_ENABLE;
	d->msix_masked = (ctl & CTL_MASK_ALL) || !master;
	pci_msix_flush_locked(d, t);
}

void pci_msix_reset_locked(struct pci_dev *d)
{
	if (!d->msix_n)
		return;
	u8 *ctl = d->cfg + d->msix_cap + PCI_MSIX_CTL;
	st_le16(ctl, ld_le16(ctl) & (u16) ~(CTL_ENABLE | CTL_MASK_ALL));
	for (unsigned v = 0; v < d->msix_n; v++) {
		d->msix[v].addr = 0;
		d->msix[v].data = 0;
		d->msix[v].ctrl = VEC_MASKED;
	}
	d->msix_pending = 0;
	d->msix_on = false;
}

void pci_msix_use_routes(struct pci_dev *d, const struct msi_router *r, u64 *used)
{
	unsigned id = 0, max = MIN(r->max, PCI_ROUTES_MAX);

	for (unsigned v = 0; v < d->msix_n; v++) {
		while (id < max && used[id / 64] >> id % 64 & 1)
			id++;
		d->msix[v].fd = id < max ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
		if (d->msix[v].fd < 0)
			return; /* messages go as ever */
		d->msix[v].route = id;
		used[id / 64] |= 1ull << id % 64;
	}
}

void pci_msix_end_routes(struct pci_dev *d, const struct msi_router *r, u64 *used)
{
	for (unsigned v = 0; v < d->msix_n; v++) {
		if (d->msix[v].fd >= 0)
			used[d->msix[v].route / 64] &= ~(1ull << d->msix[v].route % 64);
		if (d->msix[v].routed)
			r->set(r->opaque, d->msix[v].route, d->msix[v].fd, false, 0, 0);
		d->msix[v].routed = false;
		if (d->msix[v].fd >= 0)
			close(d->msix[v].fd);
		d->msix[v].fd = -1;
	}
}

bool pci_msix_enabled(struct pci_dev *d)
{
	pthread_mutex_lock(&d->msix_lock);
	bool on = d->msix_on;
	pthread_mutex_unlock(&d->msix_lock);
	return on;
}

void pci_msix_state_locked(struct pci_dev *d, struct state_file *s)
{
	state_same(s, d->msix_n, "another number of MSI-X vectors");
	state_u64(s, &d->msix_pending);
	for (unsigned v = 0; v < d->msix_n; v++) {
		state_u64(s, &d->msix[v].addr);
		state_u32(s, &d->msix[v].data);
		state_u32(s, &d->msix[v].ctrl);
		d->msix[v].addr &= ~3ull;
		d->msix[v].ctrl &= VEC_MASKED;
	}
	if (d->msix_n < 64)
		d->msix_pending &= (1ull << d->msix_n) - 1;
}

/* ---- the BAR ---- */

/* One aligned dword of the page. */
static u32 page_read_locked(const struct pci_dev *d, unsigned off)
{
	unsigned v = off / ENTRY_BYTES;

	if (v < d->msix_n) {
		switch (off % ENTRY_BYTES) {
		case 0:
			return (u32)d->msix[v].addr;
		case 4:
			return (u32)(d->msix[v].addr >> 32);
		case 8:
			return d->msix[v].data;
		default:
			return d->msix[v].ctrl;
		}
	}
	if (off == PBA_OFF)
		return (u32)d->msix_pending;
	if (off == PBA_OFF + 4)
		return (u32)(d->msix_pending >> 32);
	return 0;
}

static void page_write_locked(struct pci_dev *d, unsigned off, u32 val)
{
	unsigned v = off / ENTRY_BYTES;

	if (v >= d->msix_n)
		return;
	switch (off % ENTRY_BYTES) {
	case 0:
		d->msix[v].addr = (d->msix[v].addr & ~0xffffffffull) | (val & ~3u);
		break;
	case 4:
		d->msix[v].addr = (u32)d->msix[v].addr | (u64)val << 32;
		break;
	case 8:
		d->msix[v].data = val;
		break;
	default:
		d->msix[v].ctrl = val & VEC_MASKED;
		pci_msix_kick_locked(d);
	}
}

static u64 page_read(void *dev, u64 off, unsigned bytes)
{
	struct pci_dev *d = dev;
	u64 v = 0;

	pthread_mutex_lock(&d->msix_lock);
	for (unsigned i = 0; i < bytes; i++) {
		unsigned at = (unsigned)(off + i) & (BAR_BYTES - 1);
		v |= (u64)(page_read_locked(d, at & ~3u) >> (8 * (at & 3)) & 0xff) << (8 * i);
	}
	pthread_mutex_unlock(&d->msix_lock);
	return v;
}

/* Guests must use aligned dwords or qwords (6.8.2); anything else is undefined, here: lost. */
static void page_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct pci_dev *d = dev;

	if ((bytes != 4 && bytes != 8) || off % 4)
		return;
	pthread_mutex_lock(&d->msix_lock);
	for (unsigned i = 0; i < bytes; i += 4)
		if (off + i < BAR_BYTES)
			page_write_locked(d, (unsigned)off + i, (u32)(val >> (8 * i)));
	pthread_mutex_unlock(&d->msix_lock);
}

static const struct io_ops page_ops = { .read = page_read, .write = page_write };

void pci_add_msix(struct pci_dev *d, unsigned bar_index, unsigned n)
{
	must(n >= 1 && n <= PCI_MSIX_MAX && !d->msix_n);
	pci_add_bar(d, bar_index, BAR_BYTES, false, &page_ops, d);
	unsigned cap = pci_add_cap(d, CAP_MSIX, 12);
	st_le16(d->cfg + cap + PCI_MSIX_CTL, (u16)(n - 1));
	st_le16(d->wmask + cap + PCI_MSIX_CTL, CTL_ENABLE | CTL_MASK_ALL);
	st_le32(d->cfg + cap + 4, bar_index); /* table at 0 */
	st_le32(d->cfg + cap + 8, PBA_OFF | bar_index);
	d->msix_n = n;
	d->msix_cap = cap;
	d->msix_bar = bar_index;
	d->msix_masked = true; /* no bus master yet */
	for (unsigned v = 0; v < n; v++) {
		d->msix[v].ctrl = VEC_MASKED;
		d->msix[v].fd = -1;
		d->msix[v].latch = (struct io_latch){ .off = (u16)(v * ENTRY_BYTES), .bytes = 12 };
		pci_add_latch(d, bar_index, &d->msix[v].latch);
	}
}
