/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci.c - the host bridge and bus 0: which functions there are, their INTx wires, their life.
 *
 * Building a function is in pci_dev.c, config space in pci_cfg.c, decoding in pci_decode.c, MSI in pci_msi.c, MSI-X in
 * pci_msix.c, saved state in pci_state.c.
 *
 * Lock order: pci_bus.lock (config space, the address latch, decoding), pci_dev.msix_lock,
 * pci_bus.intx_lock. Devices send interrupts with none of them held, or, from cfg_written and
 * cfg_reading, with the first.
 */
#include "machine/pci.h"

#include "machine/layout.h"
#include "machine/pci_internal.h"

/* ---- INTx ---- */

unsigned pci_wire_of(const struct pci_dev *d)
{
	return board_wire(d->bus->kind, d->devfn >> 3, 0);
}

/* Under msix_lock: bring the wire in line with what the function wants. */
static void intx_update_locked(struct pci_dev *d)
{
	struct pci_bus *b = d->bus;
	bool out = d->intx_level && !d->intx_off && !d->msix_on && !d->msi_on;

	if (out == d->intx_out || !b)
		return;
	d->intx_out = out;
	unsigned w = pci_wire_of(d);
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

/* What the command register and the capabilities' control words say goes to where senders look. */
void pci_update_interrupts(struct pci_dev *d)
{
	u16 cmd = ld_le16(d->cfg + PCI_COMMAND);

	pthread_mutex_lock(&d->msix_lock);
	d->intx_off = cmd & PCI_CMD_INTX_OFF;
	if (d->bus)
		pci_msix_update_locked(d, &d->bus->msi, cmd & PCI_CMD_MASTER);
	pci_msi_update_locked(d, cmd & PCI_CMD_MASTER);
	intx_update_locked(d);
	pthread_mutex_unlock(&d->msix_lock);
}

/* ---- the bus ---- */

static u8 usual_line(const struct pci_dev *d)
{
	return d->line ? d->line : d->bus->kind->irq[pci_wire_of(d)];
}

/* devfn -1: the next free slot. */
static int put(struct pci_bus *b, struct pci_dev *d, int devfn)
{
	int rc = devfn < 256 ? 0 : -EINVAL;

	must(!d->bus);
	pthread_mutex_lock(&b->lock);
	if (devfn < 0) {
		for (devfn = 0; devfn < 256 && b->dev[devfn]; devfn += 8)
			;
		if (devfn == 256)
			rc = -ENOSPC;
	}
	if (rc == 0 && b->dev[devfn])
		rc = -EBUSY;
	if (rc == 0) {
		d->devfn = (u8)devfn;
		d->bus = b;
		b->dev[d->devfn] = d;
		for (unsigned i = 0; i < 6; i++)
			if (d->bar[i].bells.n)
				bus_add_doorbells(b->bus, &d->bar[i].region, d->bar[i].bells.off, d->bar[i].bells.step,
						  d->bar[i].bells.n);
		if (b->router.set)
			pci_msix_use_routes(d, &b->router, b->routes);
		if (d->cfg[PCI_INT_PIN])
			d->cfg[PCI_INT_LINE] = usual_line(d);
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

int pci_register(struct pci_bus *b, struct pci_dev *d, int slot)
{
	return put(b, d, slot < 0 ? -1 : slot << 3);
}

int pci_register_at(struct pci_bus *b, struct pci_dev *d, u8 devfn)
{
	return put(b, d, devfn);
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
	pci_hide_bars(d);
	pthread_mutex_lock(&d->msix_lock);
	d->intx_level = false;
	intx_update_locked(d);
	pci_msix_end_routes(d, &b->router, b->routes);
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

struct pci_bus *pci_bus_new(const struct board_kind *kind, struct bus *bus, const struct msi_target *msi,
			    void (*intx)(void *opaque, unsigned gsi, bool level), void *intx_opaque)
{
	struct pci_bus *b = xcalloc(1, sizeof(*b));

	b->kind = kind;
	b->bus = bus;
	b->msi = *msi;
	b->intx = intx;
	b->intx_opaque = intx_opaque;
	b->memory_end = LAYOUT_PCI_MMIO;
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->intx_lock, NULL);
	b->ports = (struct io_region){ .ops = &pci_ports_ops, .dev = b, .name = "pci-ports" };
	b->ecam = (struct io_region){ .ops = &pci_ecam_ops, .dev = b, .name = "pci-ecam" };
	must(bus_map_pio(bus, &b->ports, LAYOUT_PCI_CFG, 8) == 0);
	if (kind->ecam)
		must(bus_map_mmio(bus, &b->ecam, LAYOUT_ECAM, LAYOUT_ECAM_BYTES) == 0);

	pci_dev_init(&b->bridge, NULL, "host-bridge", 0x8086, kind->bridge_id, 0x060000 << 8 | kind->bridge_revision);
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
	for (unsigned i = 0; i < 256; i++) {
		struct pci_dev *d = b->dev[i];
		if (d && d->ops && d->ops->life.free)
			d->ops->life.free(&d->dev);
		else if (d)
			unregister(d);
	}
	pci_dev_fini(&b->bridge);
	bus_unmap_pio(b->bus, &b->ports);
	bus_unmap_mmio(b->bus, &b->ecam);
	pthread_mutex_destroy(&b->intx_lock);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* ---- the life of functions ---- */

/*
 * The next function at or after *devfn, which moves behind it. Their ops are called without the bus's lock: it comes
 * after theirs. Functions come and go only while no vCPU runs, as in all of these calls.
 */
static struct pci_dev *next_function(struct pci_bus *b, unsigned *devfn)
{
	struct pci_dev *d = NULL;

	pthread_mutex_lock(&b->lock);
	while (*devfn < ARRAY_LEN(b->dev) && !d)
		d = b->dev[(*devfn)++];
	pthread_mutex_unlock(&b->lock);
	return d;
}

struct pci_dev *pci_bus_slot(struct pci_bus *b, unsigned slot)
{
	must(slot < PCI_SLOTS);
	return pci_bus_function(b, (u8)(slot << 3));
}

struct pci_dev *pci_bus_function(struct pci_bus *b, u8 devfn)
{
	pthread_mutex_lock(&b->lock);
	struct pci_dev *d = b->dev[devfn];
	pthread_mutex_unlock(&b->lock);
	return d;
}

static void reset_locked(struct pci_bus *b, struct pci_dev *d)
{
	st_le16(d->cfg + PCI_COMMAND, 0);
	d->cfg[PCI_CACHE_LINE] = 0;
	for (unsigned i = 0; i < 24; i++)
		d->cfg[PCI_BAR0 + i] &= (u8)~d->wmask[PCI_BAR0 + i];
	for (unsigned i = 0; i < 4; i++)
		d->cfg[PCI_ROM + i] &= (u8)~d->wmask[PCI_ROM + i];
	if (d->cfg[PCI_INT_PIN])
		d->cfg[PCI_INT_LINE] = usual_line(d);
	pci_msi_reset(d);
	pci_update_bars_locked(b, d);
	pthread_mutex_lock(&d->msix_lock);
	d->intx_level = false;
	pci_msix_reset_locked(d);
	pthread_mutex_unlock(&d->msix_lock);
	pci_update_interrupts(d);
}

void pci_bus_reset(struct pci_bus *b)
{
	struct pci_dev *d;

	for (unsigned i = 0; (d = next_function(b, &i));)
		device_reset(&d->dev);
	pthread_mutex_lock(&b->lock);
	b->latch = 0;
	for (unsigned i = 0; i < 256; i++)
		if (b->dev[i])
			reset_locked(b, b->dev[i]);
	pthread_mutex_unlock(&b->lock);
}

bool pci_bus_quiesce(struct pci_bus *b)
{
	struct pci_dev *d;
	bool all = true;

	for (unsigned i = 0; (d = next_function(b, &i));)
		all &= device_quiesce(&d->dev);
	return all;
}

void pci_bus_resume(struct pci_bus *b)
{
	struct pci_dev *d;

	for (unsigned i = 0; (d = next_function(b, &i));)
		device_resume(&d->dev);
}

int pci_bus_devices_state(struct pci_bus *b, struct state_file *s, struct err *e)
{
	struct pci_dev *d;
	int r = 0;

	for (unsigned i = 0; r == 0 && (d = next_function(b, &i));)
		r = device_state(&d->dev, s, e);
	return r;
}

void pci_unplug(struct pci_dev *d)
{
	must(d->bus && d->ops && d->ops->life.free);
	unregister(d);
	d->ops->life.free(&d->dev);
}
