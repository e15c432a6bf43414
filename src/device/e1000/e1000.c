/* SPDX-License-Identifier: GPL-2.0-or-later */
/* e1000.c - Intel's gigabit network cards: life, saved state, classes; see e1000_int.h. */
#include "device/e1000/e1000.h"

#include "base/state.h"
#include "device/e1000/e1000_int.h"
#include "machine/machine.h"
#include "machine/option_rom.h"

#define INTEL 0x8086
#define NETWORK (0x020000u << 8)
#define BAR_BYTES (128 * KIB)
#define IO_BYTES 64
#define CAP_PCIE 0x10
#define PCIE_BYTES 0x14
#define PCIE_INTEGRATED 0x0091 /* a root complex's integrated endpoint, of version 1 (PCIe 1.1, 7.8.2) */

static const struct model {
	const char *name;
	u16 device;
	u8 revision, io_bar;
} models[E1000_KINDS] = {
	[E1000_82540] = { "e1000", 0x100e, 3, 1 },
	[E1000_82574] = { "e1000e", 0x10d3, 0, 2 },
};

static struct e1000 *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct e1000, pci);
}

/* ---- work ---- */

static void work(struct e1000 *n, bool receive)
{
	bool done = true;

	if (receive || e1000_tx_waits(n)) {
		u64 until = loop_until();
		done = e1000_transmit(n, until);
		if (receive)
			e1000_receive(n, until);
	}
	nic_wire_want(&n->wire, !n->rx_stalled && e1000_rx_on(n), n->stalled && !n->quiesced);
	if (!done)
		loop_timer_arm(&n->again, 0);
	e1000_settle(n);
}

void e1000_run(struct e1000 *n)
{
	work(n, false);
}

static void on_again(void *opaque)
{
	struct e1000 *n = opaque;

	fair_lock(&n->lock);
	work(n, false);
	fair_unlock(&n->lock);
}

static void wire_lock(void *opaque)
{
	fair_lock(&((struct e1000 *)opaque)->lock);
}

static void wire_unlock(void *opaque)
{
	fair_unlock(&((struct e1000 *)opaque)->lock);
}

static void wire_ready(void *opaque)
{
	struct e1000 *n = opaque;

	n->stalled = false;
	work(n, true);
}

static void wire_link(void *opaque)
{
	struct e1000 *n = opaque;

	n->made.bytes = 0;
	n->cutting = false;
	e1000_link_changed(n);
}

/* ---- life ---- */

static void life_reset(struct device *d)
{
	struct e1000 *n = of(d);

	fair_lock(&n->lock);
	e1000_regs_reset(n);
	memset(&n->wire3, 0, sizeof(n->wire3));
	e1000_phy_reset(n);
	n->icr = 0;
	e1000_settle(n);
	n->line = false;
	pci_intx(&n->pci, false);
	fair_unlock(&n->lock);
}

static bool life_quiesce(struct device *d)
{
	struct e1000 *n = of(d);

	fair_lock(&n->lock);
	n->quiesced = true; /* frames are copied when they come and go: nothing is ever in flight */
	nic_wire_want(&n->wire, false, false);
	fair_unlock(&n->lock);
	return true;
}

static void life_resume(struct device *d)
{
	struct e1000 *n = of(d);

	fair_lock(&n->lock);
	n->quiesced = n->stalled = false;
	n->rx_stalled = true;
	e1000_rx_more(n);
	if (n->negotiating)
		loop_timer_arm(&n->link, 0);
	loop_timer_arm(&n->again, 0);
	fair_unlock(&n->lock);
}

static void ring_state(struct e1000_ring *r, struct state_file *s)
{
	state_u32(s, &r->bal);
	state_u32(s, &r->bah);
	state_u32(s, &r->len);
	state_u32(s, &r->head);
	state_u32(s, &r->tail);
	state_u32(s, &r->ctl);
	r->head &= 0xffff;
	r->tail &= 0xffff;
	r->len &= 0xfff80;
}

static void tx_state(struct e1000_tx *t, struct state_file *s)
{
	ring_state(&t->ring, s);
	for (unsigned i = 0; i < 2; i++) {
		struct nic_headers *c = &t->context[i];
		state_u8(s, &c->ip_start);
		state_u8(s, &c->ip_at);
		state_u8(s, &c->tcp_start);
		state_u8(s, &c->tcp_at);
		state_u16(s, &c->ip_end);
		state_u16(s, &c->tcp_end);
		state_u16(s, &c->mss);
		state_u8(s, &c->header);
		state_bool(s, &c->tcp);
		state_bool(s, &c->ipv4);
	}
	state_bool(s, &t->begun);
	state_bool(s, &t->segment);
	state_bool(s, &t->skip);
	state_bool(s, &t->tagged);
	state_u8(s, &t->options);
	state_u16(s, &t->tag);
	state_u32(s, &t->sent);
	state_uint(s, &t->bytes, NET_FRAME_MAX);
	state_bytes(s, t->buf, t->bytes);
}

/* Causes that were held back are causes now: a saved clock is nobody's. */
static void irq_state(struct e1000 *n, struct state_file *s)
{
	u32 icr = n->icr | n->delayed[0] | n->delayed[1];

	if (state_loading(s))
		e1000_irq_reset(n);
	state_u32(s, &icr);
	state_u32(s, &n->ims);
	state_u32(s, &n->told);
	state_bool(s, &n->line);
	if (state_loading(s))
		n->icr = icr;
}

/* A frame that waited for descriptors is lost, as networks may. The guest keeps its address. */
static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct e1000 *n = of(d);
	int r = state_section(s, "e1000", n->pci.devfn, 1, e);

	if (r < 0)
		return r;
	fair_lock(&n->lock);
	state_same(s, n->kind, "a network card is of another model");
	state_u32(s, &n->ctrl);
	state_u32(s, &n->eecd);
	state_u32(s, &n->eerd);
	state_u32(s, &n->mdic);
	state_u32(s, &n->ioaddr);
	n->ioaddr &= 0x1ffff;
	state_u32(s, &n->rctl);
	state_u32(s, &n->tctl);
	for (unsigned i = 0; i < e1000_plains(); i++)
		state_u32(s, &n->plain[i]);
	for (unsigned i = 0; i < E1000_STATS; i++)
		state_u32(s, &n->stat[i]);
	for (unsigned q = 0; q < E1000_QUEUES; q++) {
		ring_state(&n->rx[q], s);
		tx_state(&n->tx[q], s);
	}
	irq_state(n, s);
	for (unsigned i = 0; i < E1000_PHY_REGS; i++)
		state_u16(s, &n->phy[i]);
	for (unsigned i = 0; i < E1000_NVM_WORDS; i++)
		state_u16(s, &n->nvm[i]);
	state_bool(s, &n->negotiating);
	state_bool(s, &n->wire3.clock);
	state_bool(s, &n->wire3.out);
	state_uint(s, &n->wire3.bits, 26);
	state_u32(s, &n->wire3.in);
	state_u16(s, &n->wire3.data);
	u64 systim = e1000_systim(n);
	state_u64(s, &systim);
	if (state_loading(s)) {
		e1000_systim_set(n, systim);
		n->made.bytes = 0;
		n->cutting = false;
	}
	fair_unlock(&n->lock);
	return state_end(s, e);
}

static void free_card(struct e1000 *n)
{
	loop_timer_fini(&n->again);
	loop_timer_fini(&n->irq);
	loop_timer_fini(&n->link);
	pci_dev_fini(&n->pci);
	fair_lock_fini(&n->lock);
	for (unsigned q = 0; q < E1000_QUEUES; q++)
		free(n->tx[q].buf);
	free(n);
}

static void life_free(struct device *d)
{
	struct e1000 *n = of(d);

	nic_wire_fini(&n->wire);
	free_card(n);
}

static const struct pci_dev_ops ops = {
	.life = {
		.reset = life_reset,
		.quiesce = life_quiesce,
		.resume = life_resume,
		.state = life_state,
		.free = life_free,
	},
};

/* ---- making one ---- */

static void function(struct e1000 *n, enum e1000_kind kind)
{
	const struct model *m = &models[kind];

	pci_dev_init(&n->pci, &ops, m->name, INTEL, m->device, NETWORK | m->revision);
	st_le16(n->pci.cfg + 0x2c, INTEL);
	st_le16(n->pci.cfg + 0x2e, m->device);
	pci_add_bar(&n->pci, 0, BAR_BYTES, false, &e1000_mmio_ops, n);
	pci_add_io_bar(&n->pci, m->io_bar, IO_BYTES, &e1000_io_ops, n);
	if (kind == E1000_82574) {
		unsigned cap = pci_add_cap(&n->pci, CAP_PCIE, PCIE_BYTES);
		st_le16(n->pci.cfg + cap + 2, PCIE_INTEGRATED);
		pci_add_msi(&n->pci);
		pci_add_msix(&n->pci, 3, E1000_VECTORS);
	}
}

int e1000_new(struct device **out, enum e1000_kind kind, struct pci_bus *bus, struct ram *ram, struct loop *loop,
	      const struct device_args *a, struct err *e)
{
	struct e1000 *n = xcalloc(1, sizeof(*n));
	const struct nic_wire_card card = { wire_lock, wire_unlock, wire_ready, wire_link, n, models[kind].name };

	n->kind = kind;
	n->ram = ram;
	n->loop = loop;
	fair_lock_init(&n->lock);
	for (unsigned q = 0; q < E1000_QUEUES; q++)
		n->tx[q].buf = xcalloc(1, NET_FRAME_MAX);
	loop_timer_init(loop, &n->again, on_again, n);
	loop_timer_init(loop, &n->irq, e1000_irq_timer, n);
	loop_timer_init(loop, &n->link, e1000_link_timer, n);
	function(n, kind);
	int rc = nic_wire_init(&n->wire, loop, &card, a, e);
	if (rc < 0) {
		free_card(n);
		return rc;
	}
	e1000_nvm_init(n, a->mac);
	e1000_regs_reset(n);
	e1000_phy_reset(n);
	n->icr = 0;
	if (a->rom_room && (rc = option_rom_add(&n->pci, ram, a->rom, a->rom_bytes, a->rom_room, e)) < 0) {
		life_free(&n->pci.dev);
		return rc;
	}
	rc = pci_register(bus, &n->pci, a->slot);
	if (rc < 0) {
		life_free(&n->pci.dev);
		return err_sys(e, -rc, "cannot put a network card on the PCI bus");
	}
	*out = &n->pci.dev;
	return 0;
}

static int new_old(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return e1000_new(out, E1000_82540, machine_pci(m), machine_ram(m), machine_loop(m), a, e);
}

static int new_new(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	return e1000_new(out, E1000_82574, machine_pci(m), machine_ram(m), machine_loop(m), a, e);
}

static void boot_path(struct device *d, char *path, size_t bytes)
{
	snprintf(path, bytes, "/pci@i0cf8/ethernet@%x/ethernet-phy@0", pci_dev_of(d)->devfn >> 3);
}

const struct device_class e1000e_device_class = {
	.pci = true,
	.boot_path = boot_path,
	.rom = "/usr/lib/ipxe/qemu/pxe-e1000e.rom",
	.rom_uefi = "/usr/lib/ipxe/qemu/efi-e1000e.rom",
	.name = "e1000e",
	.field = "e1000e",
	.help =
	    N_("Intel 82574L network card, for systems without virtio drivers: Windows since 7, BSDs, VMware's guests"),
	.role = DEVICE_NIC,
	.new = new_new,
};

const struct device_class e1000_device_class = {
	.pci = true,
	.boot_path = boot_path,
	.rom = "/usr/lib/ipxe/qemu/pxe-e1000.rom",
	.rom_uefi = "/usr/lib/ipxe/qemu/efi-e1000.rom",
	.name = "e1000",
	.field = "e1000",
	.help = N_("Intel 82540EM network card, for old systems: Windows XP, Linux since 2.4"),
	.role = DEVICE_NIC,
	.new = new_old,
};
