/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci.c - the host bridge and bus 0: config space, BAR decoding, INTx. MSI-X is in pci_msix.c.
 *
 * Theory of operation: config space is cfg[] filtered by wmask[]. A write is merged byte by byte, then
 * its consequences are drawn from the merged bytes: decoding (command register, BARs) is brought in
 * line, and interrupt control is copied to where the senders look. Configuration is reached by ports
 * 0xcf8/0xcfc (mechanism #1, PCI 3.0 chapter 3.2.2.3) and by ECAM (PCI Express 7.2.2), which both lead to
 * cfg_read() and cfg_write().
 *
 * Lock order: pci_bus.lock (config space, the address latch, decoding), pci_dev.msix_lock,
 * pci_bus.intx_lock. Devices send interrupts with none of them held, or, from cfg_written and
 * cfg_reading, with the first.
 */
#include "machine/pci.h"

#include "base/log.h"
#include "base/state.h"
#include "machine/layout.h"
#include "machine/pci_internal.h"

#define SLOTS 32
#define CAPS_START 0x40
#define IO_WINDOW 0xc000 /* where I/O BARs are put, up to 0xfeff */
#define IO_WINDOW_END 0xff00

struct pci_bus {
	struct bus *bus;
	struct msi_target msi;
	void (*intx)(void *opaque, unsigned gsi, bool level);
	void *intx_opaque;
	struct msi_router router; /* set NULL: nobody offers routes */

	pthread_mutex_t lock;
	unsigned routes; /* given out */
	struct pci_dev *dev[256];
	u32 latch; /* port 0xcf8 */

	pthread_mutex_t intx_lock;
	unsigned wire[PCI_WIRES]; /* how many functions assert it */

	u64 memory_end; /* of RAM below 4 GiB */
	struct io_region ports, ecam;
	struct pci_dev bridge;
};

/* ---- building a function ---- */

void pci_dev_init(struct pci_dev *d, const struct pci_dev_ops *ops, const char *name, u16 vendor, u16 device,
		  u32 class_rev)
{
	memset(d, 0, sizeof(*d));
	d->ops = ops;
	d->name = name;
	pthread_mutex_init(&d->msix_lock, NULL);
	st_le16(d->cfg + PCI_VENDOR, vendor);
	st_le16(d->cfg + PCI_DEVICE, device);
	st_le32(d->cfg + PCI_CLASS_REV, class_rev);
	d->cfg[PCI_INT_PIN] = 1;
	st_le16(d->wmask + PCI_COMMAND, PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER | PCI_CMD_INTX_OFF);
	d->wmask[PCI_CACHE_LINE] = 0xff;
	d->wmask[PCI_INT_LINE] = 0xff;
	d->cap_next = CAPS_START;
}

static void add_bar(struct pci_dev *d, unsigned index, u64 bytes, bool io, bool is64, const struct io_ops *ops,
		    void *dev)
{
	unsigned off = PCI_BAR0 + 4 * index;
	u64 mask = ~(bytes - 1);

	must(index < 6 && !(is64 && index == 5));
	must(bytes && !(bytes & (bytes - 1)) && (is64 || bytes <= 2 * GIB));
	must(!d->bar[index].bytes && !d->bus);
	d->bar[index].bytes = bytes;
	d->bar[index].io = io;
	d->bar[index].is64 = is64;
	d->bar[index].region = (struct io_region){ .ops = ops, .dev = dev, .name = d->name };
	st_le32(d->cfg + off, io ? 1 : is64 ? 4 : 0);
	st_le32(d->wmask + off, (u32)mask);
	if (is64)
		st_le32(d->wmask + off + 4, (u32)(mask >> 32));
}

void pci_add_bar(struct pci_dev *d, unsigned index, u64 bytes, bool is64, const struct io_ops *ops, void *dev)
{
	must(bytes >= 16);
	add_bar(d, index, bytes, false, is64, ops, dev);
}

void pci_add_io_bar(struct pci_dev *d, unsigned index, u64 bytes, const struct io_ops *ops, void *dev)
{
	must(bytes >= 4 && bytes <= 256);
	add_bar(d, index, bytes, true, false, ops, dev);
}

void pci_add_latch(struct pci_dev *d, unsigned index, struct io_latch *l)
{
	bus_add_latch(&d->bar[index].region, l);
}

void pci_add_doorbells(struct pci_dev *d, unsigned index, u64 off, unsigned step, unsigned n)
{
	must(!d->bus && off + (u64)step * n <= d->bar[index].bytes);
	d->bar[index].bells.off = off;
	d->bar[index].bells.step = step;
	d->bar[index].bells.n = n;
}

unsigned pci_add_cap(struct pci_dev *d, u8 id, unsigned bytes)
{
	unsigned at = d->cap_next;

	must(bytes >= 2 && at + bytes <= 256);
	d->cfg[at] = id;
	d->cfg[at + 1] = 0;
	d->cfg[d->cap_last ? d->cap_last + 1 : PCI_CAP_PTR] = (u8)at;
	d->cfg[PCI_STATUS] |= PCI_STATUS_CAPS;
	d->cap_last = at;
	d->cap_next = ROUND_UP(at + bytes, 4);
	return at;
}

/* ---- decoding ---- */

static u64 bar_address(const struct pci_dev *d, unsigned i)
{
	u32 low = ld_le32(d->cfg + PCI_BAR0 + 4 * i);

	if (d->bar[i].io)
		return low & ~3u;
	return (low & ~0xfu) | (d->bar[i].is64 ? (u64)ld_le32(d->cfg + PCI_BAR0 + 4 * i + 4) << 32 : 0);
}

/*
 * The bridge forwards to the bus what is neither memory nor the chips' own; a BAR elsewhere decodes nothing. Guests
 * without ACPI do not know the window that it names, and place BARs right after memory.
 */
static bool decodable(const struct pci_bus *b, bool io, u64 addr, u64 bytes)
{
	if (io)
		return addr && addr + bytes <= 0x10000;
	if (addr >= 4 * GIB)
		return addr + bytes > addr;
	return addr >= b->memory_end && addr + bytes <= LAYOUT_IOAPIC;
}

static void update_bars_locked(struct pci_bus *b, struct pci_dev *d)
{
	u16 cmd = ld_le16(d->cfg + PCI_COMMAND);

	for (unsigned i = 0; i < 6; i++) {
		struct io_region *r = &d->bar[i].region;
		bool io = d->bar[i].io;
		u64 bytes = d->bar[i].bytes, addr;

		if (!bytes)
			continue;
		addr = bar_address(d, i);
		bool want = (cmd & (io ? PCI_CMD_IO : PCI_CMD_MEM)) && decodable(b, io, addr, bytes);
		if (r->mapped && want && r->base == addr)
			continue;
		int rc = 0;
		if (io) {
			bus_unmap_pio(b->bus, r);
			if (want)
				rc = bus_map_pio(b->bus, r, (u16)addr, (u16)bytes);
		} else {
			bus_unmap_mmio(b->bus, r);
			if (want)
				rc = bus_map_mmio(b->bus, r, addr, bytes);
		}
		if (rc < 0)
			log_guest("%s: BAR %u at %#llx is in the way of something else and does not answer", d->name, i,
				  (unsigned long long)addr);
	}
}

/* ---- INTx ---- */

/* Functions have pin A. */
static unsigned wire_of(const struct pci_dev *d)
{
	return LAYOUT_PCI_WIRE(d->devfn >> 3, 0);
}

/* Under msix_lock: bring the wire in line with what the function wants. */
static void intx_update_locked(struct pci_dev *d)
{
	struct pci_bus *b = d->bus;
	bool out = d->intx_level && !d->intx_off && !d->msix_on;

	if (out == d->intx_out || !b)
		return;
	d->intx_out = out;
	unsigned w = wire_of(d);
	pthread_mutex_lock(&b->intx_lock);
	unsigned was = b->wire[w];
	b->wire[w] = out ? was + 1 : was - 1;
	if (b->intx && !was != !b->wire[w])
		b->intx(b->intx_opaque, LAYOUT_GSI_PCI + w, out);
	pthread_mutex_unlock(&b->intx_lock);
}

void pci_intx(struct pci_dev *d, bool level)
{
	pthread_mutex_lock(&d->msix_lock);
	d->intx_level = level;
	intx_update_locked(d);
	pthread_mutex_unlock(&d->msix_lock);
}

/* What the command register and the MSI-X control word say goes to where senders look. */
static void update_interrupts(struct pci_dev *d)
{
	u16 cmd = ld_le16(d->cfg + PCI_COMMAND);

	pthread_mutex_lock(&d->msix_lock);
	d->intx_off = cmd & PCI_CMD_INTX_OFF;
	if (d->bus)
		pci_msix_update_locked(d, &d->bus->msi, cmd & PCI_CMD_MASTER);
	intx_update_locked(d);
	pthread_mutex_unlock(&d->msix_lock);
}

/* ---- config space ---- */

static bool overlaps(unsigned off, unsigned bytes, unsigned first, unsigned n)
{
	return off < first + n && first < off + bytes;
}

static u64 ones(unsigned bytes)
{
	return bytes >= 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1;
}

static u64 cfg_read(struct pci_bus *b, unsigned devfn, unsigned off, unsigned bytes)
{
	u64 v = ones(bytes);

	if (off + bytes > PCI_CFG_BYTES)
		return v;
	pthread_mutex_lock(&b->lock);
	struct pci_dev *d = b->dev[devfn];
	if (d) {
		if (d->ops && d->ops->cfg_reading)
			d->ops->cfg_reading(d, off, bytes);
		v = 0;
		memcpy(&v, d->cfg + off, bytes);
		if (overlaps(off, bytes, PCI_STATUS, 1)) {
			pthread_mutex_lock(&d->msix_lock);
			if (d->intx_level)
				v |= (u64)PCI_STATUS_INTX << (8 * (PCI_STATUS - off));
			pthread_mutex_unlock(&d->msix_lock);
		}
	}
	pthread_mutex_unlock(&b->lock);
	return v;
}

static void cfg_write(struct pci_bus *b, unsigned devfn, unsigned off, unsigned bytes, u64 val)
{
	if (off + bytes > PCI_CFG_BYTES)
		return;
	pthread_mutex_lock(&b->lock);
	struct pci_dev *d = b->dev[devfn];
	if (d) {
		for (unsigned i = 0; i < bytes; i++) {
			u8 m = d->wmask[off + i];
			d->cfg[off + i] = (u8)((d->cfg[off + i] & ~m) | ((val >> (8 * i)) & m));
		}
		bool cmd = overlaps(off, bytes, PCI_COMMAND, 2);
		bool msix = d->msix_n && overlaps(off, bytes, d->msix_cap + PCI_MSIX_CTL, 2);
		if (cmd || overlaps(off, bytes, PCI_BAR0, 24))
			update_bars_locked(b, d);
		if (cmd || msix)
			update_interrupts(d);
		if (d->ops && d->ops->cfg_written)
			d->ops->cfg_written(d, off, bytes);
	}
	pthread_mutex_unlock(&b->lock);
}

/* ---- mechanism #1 ---- */

#define LATCH_ENABLE 0x80000000u

static bool latched(u32 latch, u64 port_off, unsigned bytes, unsigned *devfn, unsigned *off)
{
	if (!(latch & LATCH_ENABLE) || (latch >> 16 & 0xff) || port_off + bytes > 8)
		return false;
	*devfn = latch >> 8 & 0xff;
	*off = (latch & 0xfc) | (port_off & 3);
	return true;
}

static u32 latch_get(struct pci_bus *b)
{
	pthread_mutex_lock(&b->lock);
	u32 v = b->latch;
	pthread_mutex_unlock(&b->lock);
	return v;
}

static u64 ports_read(void *dev, u64 off, unsigned bytes)
{
	struct pci_bus *b = dev;
	u32 latch = latch_get(b);
	unsigned devfn, reg;

	if (off < 4) /* the latch answers dwords only (3.2.2.3.2) */
		return off == 0 && bytes == 4 ? latch : ones(bytes);
	return latched(latch, off, bytes, &devfn, &reg) ? cfg_read(b, devfn, reg, bytes) : ones(bytes);
}

static void ports_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct pci_bus *b = dev;
	unsigned devfn, reg;

	if (off < 4) {
		if (off == 0 && bytes == 4) {
			pthread_mutex_lock(&b->lock);
			b->latch = (u32)val & 0x80fffffc;
			pthread_mutex_unlock(&b->lock);
		}
	} else if (latched(latch_get(b), off, bytes, &devfn, &reg)) {
		cfg_write(b, devfn, reg, bytes, val);
	}
}

static const struct io_ops ports_ops = { .read = ports_read, .write = ports_write };

/* ---- ECAM ---- */

static u64 ecam_read(void *dev, u64 off, unsigned bytes)
{
	return off >> 20 ? ones(bytes) : cfg_read(dev, off >> 12 & 0xff, off & 0xfff, bytes);
}

static void ecam_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	if (!(off >> 20))
		cfg_write(dev, off >> 12 & 0xff, off & 0xfff, bytes, val);
}

static const struct io_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* ---- the bus ---- */

int pci_register(struct pci_bus *b, struct pci_dev *d, int slot)
{
	int rc = slot < SLOTS ? 0 : -EINVAL;

	must(!d->bus);
	pthread_mutex_lock(&b->lock);
	if (slot < 0) {
		for (slot = 0; slot < SLOTS && b->dev[slot << 3]; slot++)
			;
		if (slot == SLOTS)
			rc = -ENOSPC;
	}
	if (rc == 0 && b->dev[slot << 3])
		rc = -EBUSY;
	if (rc == 0) {
		d->devfn = (u8)(slot << 3);
		d->bus = b;
		b->dev[d->devfn] = d;
		for (unsigned i = 0; i < 6; i++)
			if (d->bar[i].bells.n)
				bus_add_doorbells(b->bus, &d->bar[i].region, d->bar[i].bells.off, d->bar[i].bells.step,
						  d->bar[i].bells.n);
		if (b->router.set)
			pci_msix_use_routes(d, &b->router, &b->routes);
		if (d->cfg[PCI_INT_PIN])
			d->cfg[PCI_INT_LINE] = LAYOUT_PIRQ_IRQ(wire_of(d));
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

/* Leave the bus: nothing is decoded, no wire held. */
static void unregister(struct pci_dev *d)
{
	struct pci_bus *b = d->bus;

	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < 6; i++) {
		if (d->bar[i].io)
			bus_unmap_pio(b->bus, &d->bar[i].region);
		else
			bus_unmap_mmio(b->bus, &d->bar[i].region);
		if (d->bar[i].bells.n)
			bus_del_doorbells(&d->bar[i].region);
	}
	pthread_mutex_lock(&d->msix_lock);
	d->intx_level = false;
	intx_update_locked(d);
	pci_msix_end_routes(d, &b->router);
	d->bus = NULL;
	pthread_mutex_unlock(&d->msix_lock);
	b->dev[d->devfn] = NULL;
	pthread_mutex_unlock(&b->lock);
}

void pci_dev_fini(struct pci_dev *d)
{
	if (d->bus)
		unregister(d);
	pthread_mutex_destroy(&d->msix_lock);
}

static const struct msi_target *target_of(struct pci_dev *d)
{
	return d->bus ? &d->bus->msi : NULL;
}

const struct msi_router *pci_router(const struct pci_dev *d)
{
	return &d->bus->router;
}

void pci_bus_use_routes(struct pci_bus *b, const struct msi_router *r)
{
	b->router = *r;
}

bool pci_msix_send(struct pci_dev *d, unsigned v)
{
	pthread_mutex_lock(&d->msix_lock);
	bool sent = pci_msix_send_locked(d, target_of(d), v);
	pthread_mutex_unlock(&d->msix_lock);
	return sent;
}

void pci_msix_kick_locked(struct pci_dev *d)
{
	if (d->bus)
		pci_msix_flush_locked(d, &d->bus->msi);
}

struct pci_bus *pci_bus_new(struct bus *bus, const struct msi_target *msi,
			    void (*intx)(void *opaque, unsigned gsi, bool level), void *intx_opaque)
{
	struct pci_bus *b = xcalloc(1, sizeof(*b));

	b->bus = bus;
	b->msi = *msi;
	b->intx = intx;
	b->intx_opaque = intx_opaque;
	b->memory_end = LAYOUT_PCI_MMIO;
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->intx_lock, NULL);
	b->ports = (struct io_region){ .ops = &ports_ops, .dev = b, .name = "pci-ports" };
	b->ecam = (struct io_region){ .ops = &ecam_ops, .dev = b, .name = "pci-ecam" };
	must(bus_map_pio(bus, &b->ports, LAYOUT_PCI_CFG, 8) == 0);
	must(bus_map_mmio(bus, &b->ecam, LAYOUT_ECAM, LAYOUT_ECAM_BYTES) == 0);

	/* Intel's Q35 family, so that guests know what they see */
	pci_dev_init(&b->bridge, NULL, "host-bridge", 0x8086, 0x29c0, 0x060000 << 8);
	b->bridge.cfg[PCI_INT_PIN] = 0;
	must(pci_register(b, &b->bridge, 0) == 0);
	return b;
}

void pci_bus_set_memory_end(struct pci_bus *b, u64 end)
{
	b->memory_end = MIN(end, LAYOUT_PCI_MMIO);
}

void pci_bus_free(struct pci_bus *b)
{
	if (!b)
		return;
	for (unsigned i = 0; i < 256; i++)
		if (b->dev[i])
			unregister(b->dev[i]);
	pci_dev_fini(&b->bridge);
	bus_unmap_pio(b->bus, &b->ports);
	bus_unmap_mmio(b->bus, &b->ecam);
	pthread_mutex_destroy(&b->intx_lock);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static void reset_locked(struct pci_bus *b, struct pci_dev *d)
{
	st_le16(d->cfg + PCI_COMMAND, 0);
	d->cfg[PCI_CACHE_LINE] = 0;
	for (unsigned i = 0; i < 24; i++)
		d->cfg[PCI_BAR0 + i] &= (u8)~d->wmask[PCI_BAR0 + i];
	if (d->cfg[PCI_INT_PIN])
		d->cfg[PCI_INT_LINE] = LAYOUT_PIRQ_IRQ(wire_of(d));
	update_bars_locked(b, d);
	pthread_mutex_lock(&d->msix_lock);
	d->intx_level = false;
	pci_msix_reset_locked(d);
	pthread_mutex_unlock(&d->msix_lock);
	update_interrupts(d);
}

void pci_bus_reset(struct pci_bus *b)
{
	pthread_mutex_lock(&b->lock);
	b->latch = 0;
	for (unsigned i = 0; i < 256; i++)
		if (b->dev[i])
			reset_locked(b, b->dev[i]);
	pthread_mutex_unlock(&b->lock);
}

static int assign_locked(struct pci_dev *d, u64 *mem, u64 *io)
{
	for (unsigned i = 0; i < 6; i++) {
		u64 bytes = d->bar[i].bytes, *next = d->bar[i].io ? io : mem;
		u64 end = d->bar[i].io ? IO_WINDOW_END : LAYOUT_PCI_MMIO_END + 1;
		u8 *cfg = d->cfg + PCI_BAR0 + 4 * i;

		if (!bytes)
			continue;
		/* page borders, so that no two functions share a page */
		u64 at = ROUND_UP(*next, d->bar[i].io ? bytes : MAX(bytes, PAGE_BYTES));
		if (at + bytes > end)
			return -ENOSPC;
		*next = at + bytes;
		st_le32(cfg, (u32)at | (ld_le32(cfg) & (d->bar[i].io ? 3 : 0xf)));
		if (d->bar[i].is64)
			st_le32(cfg + 4, 0);
	}
	return 0;
}

int pci_bus_assign(struct pci_bus *b)
{
	u64 mem = LAYOUT_PCI_MMIO, io = IO_WINDOW;
	int rc = 0;

	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < 256 && rc == 0; i++) {
		struct pci_dev *d = b->dev[i];
		u16 cmd = PCI_CMD_MASTER;

		if (!d)
			continue;
		rc = assign_locked(d, &mem, &io);
		for (unsigned k = 0; k < 6; k++)
			if (d->bar[k].bytes)
				cmd |= d->bar[k].io ? PCI_CMD_IO : PCI_CMD_MEM;
		/* Decoding goes off first: a function may stand where another is to go. */
		st_le16(d->cfg + PCI_COMMAND, 0);
		update_bars_locked(b, d);
		st_le16(d->cfg + PCI_COMMAND, cmd);
	}
	for (unsigned i = 0; i < 256 && rc == 0; i++) {
		if (b->dev[i]) {
			update_bars_locked(b, b->dev[i]);
			update_interrupts(b->dev[i]);
		}
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

/* ---- saved state ---- */

#define CFG_SAVED 256 /* nothing here has extended capabilities */

/* What the guest cannot write says what the function is: it must be the same. */
static void cfg_fields_locked(struct pci_dev *d, struct state_file *s)
{
	u8 in[CFG_SAVED];

	memcpy(in, d->cfg, sizeof(in));
	state_bytes(s, in, sizeof(in));
	for (unsigned i = 0; i < CFG_SAVED; i++) {
		if ((in[i] ^ d->cfg[i]) & (u8)~d->wmask[i])
			state_bad(s, "it is another PCI device, or one with other capabilities");
		d->cfg[i] = (u8)((d->cfg[i] & ~d->wmask[i]) | (in[i] & d->wmask[i]));
	}
}

static int function_section(struct pci_bus *b, struct pci_dev *d, struct state_file *s, struct err *e)
{
	int r = state_section(s, "pci", d->devfn, 1, e);

	if (r < 0)
		return r;
	cfg_fields_locked(d, s);
	pthread_mutex_lock(&d->msix_lock);
	state_bool(s, &d->intx_level);
	pci_msix_state_locked(d, s);
	pthread_mutex_unlock(&d->msix_lock);
	r = state_end(s, e);
	if (r == 0 && state_loading(s)) {
		update_bars_locked(b, d);
		update_interrupts(d);
	}
	return r;
}

int pci_bus_state(struct pci_bus *b, struct state_file *s, struct err *e)
{
	u32 present[256 / 32] = { 0 };
	bool had_lpc = true;

	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < 256; i++)
		if (b->dev[i])
			present[i / 32] |= 1u << (i % 32);
	int r = state_section(s, "pci-bus", 0, 2, e);
	if (r == 0) {
		state_u32(s, &b->latch);
		b->latch &= 0x80fffffc;
		/* The board of version 1 had no LPC bridge. */
		had_lpc = state_version(s) >= 2;
		if (!had_lpc)
			present[LAYOUT_LPC_SLOT * 8 / 32] &= ~(1u << LAYOUT_LPC_SLOT * 8 % 32);
		for (unsigned i = 0; i < ARRAY_LEN(present); i++)
			state_same(s, present[i], "other PCI slots are in use");
		r = state_end(s, e);
	}
	/* Decoding off first: a function may stand where another is to go. */
	for (unsigned i = 0; r == 0 && state_loading(s) && i < 256; i++)
		if (b->dev[i]) {
			st_le16(b->dev[i]->cfg + PCI_COMMAND, 0);
			update_bars_locked(b, b->dev[i]);
		}
	for (unsigned i = 0; r == 0 && i < 256; i++)
		if (b->dev[i] && (had_lpc || i != LAYOUT_LPC_SLOT << 3))
			r = function_section(b, b->dev[i], s, e);
	pthread_mutex_unlock(&b->lock);
	return r;
}
