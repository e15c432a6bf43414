/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ide_pci.c - the IDE controller (Intel 82371SB, PIIX3, chapter 2.3): its PCI function, the bus master's registers
 * (Programming Interface for Bus Master IDE Controllers 1.0), life.
 */
#include "base/state.h"
#include "device/ata/ide_int.h"
#include "machine/layout.h"

#define VENDOR_INTEL 0x8086
#define DEVICE_PIIX3_IDE 0x7010
#define CLASS_REV (0x010180u << 8) /* bus master; channels at the old ports */
#define IDETIM 0x40
#define BM_BAR 4
#define BM_BYTES 16

/* ---- the bus master ---- */

/* A table of descriptors does not cross 64 KiB; the last one says so. */
static bool prd(const struct ata_sg *g, unsigned i, gpa_t *at, u64 *bytes, bool *last)
{
	const u8 *e = ram_ptr_ro(g->ram, g->table + 8ull * i, 8);

	if (!e)
		return false;
	u64 v = ld_le64(e);
	*at = v & 0xfffffffe;
	*bytes = v >> 32 & 0xfffe;
	if (!*bytes)
		*bytes = 65536;
	*last = v >> 63;
	return true;
}

static void bm_command(struct ide_channel *ch, u8 val)
{
	bool start = val & BM_START && !(ch->bm_command & BM_START);

	ch->bm_command = val & (BM_START | BM_TO_HOST);
	if (!(val & BM_START))
		ch->bm_status &= (u8)~BM_ACTIVE;
	if (!start)
		return;
	ch->bm_status |= BM_ACTIVE;
	ch->sg.table = ch->bm_table;
	if (!ch->flying)
		ata_sg_rewind(&ch->sg);
	if (ch->phase == IDE_WAIT_DMA)
		ide_channel_go_on(ch);
}

static u64 bm_read(void *dev, u64 off, unsigned bytes)
{
	struct ide *h = dev;
	u64 v = 0;

	fair_lock(&h->lock);
	for (unsigned i = 0; i < bytes; i++) {
		const struct ide_channel *ch = &h->channel[(off + i) >> 3 & 1];
		unsigned reg = (unsigned)(off + i) & 7;
		u8 b = reg == 0 ? ch->bm_command : reg == 2 ? ch->bm_status : 0;
		if (reg >= 4)
			b = (u8)(ch->bm_table >> 8 * (reg - 4));
		v |= (u64)b << 8 * i;
	}
	fair_unlock(&h->lock);
	return v;
}

static void bm_write_byte(struct ide_channel *ch, unsigned reg, u8 val)
{
	switch (reg) {
	case 0:
		bm_command(ch, val);
		break;
	case 2:
		ch->bm_status &= (u8) ~(val & (BM_INTERRUPT | BM_ERROR));
		ch->bm_status = (u8)((ch->bm_status & ~BM_CAPABLE) | (val & BM_CAPABLE));
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		ch->bm_table &= ~(0xffu << 8 * (reg - 4));
		ch->bm_table |= (u32)val << 8 * (reg - 4);
		ch->bm_table &= ~3u;
		break;
	default:
		break;
	}
}

static void bm_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct ide *h = dev;
	struct ide_channel *ch = &h->channel[off >> 3 & 1];

	fair_lock(&h->lock);
	ide_channel_plug(ch, true);
	for (unsigned i = 0; i < bytes && (off + i) >> 3 == off >> 3; i++)
		bm_write_byte(ch, (unsigned)(off + i) & 7, (u8)(val >> 8 * i));
	ide_channel_plug(ch, false);
	fair_unlock(&h->lock);
}

static const struct io_ops bm_ops = { .read = bm_read, .write = bm_write };

/* ---- the disks' side ---- */

void ide_channel_plug(struct ide_channel *ch, bool on)
{
	for (unsigned i = 0; i < 2; i++) {
		if (!ch->unit[i].drive)
			continue;
		if (on)
			blk_plug(ch->unit[i].drive->blk);
		else
			blk_unplug(ch->unit[i].drive->blk);
	}
}

static void client_begin(void *opaque)
{
	fair_lock(&((struct ide *)opaque)->lock);
}

static void client_end(void *opaque)
{
	fair_unlock(&((struct ide *)opaque)->lock);
}

/* ---- life ---- */

static struct ide *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct ide, pci);
}

/* Waits: what flies has an end, as nothing else begins. */
static void cancel(struct ide *h)
{
	fair_lock(&h->lock);
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		h->channel[i].stale = h->channel[i].flying;
		h->channel[i].control = 0;
	}
	fair_unlock(&h->lock);
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		for (unsigned k = 0; k < 2; k++)
			if (h->channel[i].unit[k].drive)
				blk_cancel(h->channel[i].unit[k].drive->blk);
}

/* Firmware has the channels decoded, and so they are; the timing means nothing here. */
static void config_reset(struct ide *h)
{
	st_le16(h->pci.cfg + IDETIM, 0x8000);
	st_le16(h->pci.cfg + IDETIM + 2, 0x8000);
	h->pci.cfg[0x44] = 0;
}

static void life_reset(struct device *d)
{
	struct ide *h = of(d);

	cancel(h);
	fair_lock(&h->lock);
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		for (unsigned k = 0; k < 2; k++)
			if (h->channel[i].unit[k].drive)
				ata_drive_reset(h->channel[i].unit[k].drive);
		ide_channel_reset(&h->channel[i]);
	}
	config_reset(h);
	fair_unlock(&h->lock);
}

static bool life_quiesce(struct device *d)
{
	struct ide *h = of(d);
	bool quiet = true;

	fair_lock(&h->lock);
	h->quiesced = true;
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		quiet &= !h->channel[i].flying;
	fair_unlock(&h->lock);
	return quiet;
}

static void life_resume(struct device *d)
{
	struct ide *h = of(d);

	fair_lock(&h->lock);
	h->quiesced = false;
	for (unsigned i = 0; i < IDE_CHANNELS; i++)
		if (h->channel[i].parked)
			ide_channel_go_on(&h->channel[i]);
	fair_unlock(&h->lock);
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct ide *h = of(d);
	int r = state_section(s, "ide", h->pci.devfn, 1, e);

	if (r < 0)
		return r;
	fair_lock(&h->lock);
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		ide_channel_state(&h->channel[i], s);
		h->channel[i].sg.table = h->channel[i].bm_table;
	}
	fair_unlock(&h->lock);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct ide *h = of(d);

	cancel(h);
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &h->channel[i];
		bus_unmap_pio(h->board.bus, &ch->ports);
		bus_unmap_pio(h->board.bus, &ch->control_port);
		for (unsigned k = 0; k < 2; k++)
			ata_drive_free(ch->unit[k].drive);
		unmap_sparse(ch->buf, IDE_CHUNK);
	}
	pci_dev_fini(&h->pci);
	fair_lock_fini(&h->lock);
	free(h);
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

/* ---- putting it on the board ---- */

static int map_channel(struct ide_channel *ch)
{
	static const u16 ports[IDE_CHANNELS] = { LAYOUT_IDE1, LAYOUT_IDE2 };
	static const u16 control[IDE_CHANNELS] = { LAYOUT_IDE1_CONTROL, LAYOUT_IDE2_CONTROL };
	struct bus *bus = ch->h->board.bus;

	ch->ports = (struct io_region){ .ops = &ide_task_file_ops, .dev = ch, .name = "ide" };
	ch->control_port = (struct io_region){ .ops = &ide_control_ops, .dev = ch, .name = "ide-control" };
	int rc = bus_map_pio(bus, &ch->ports, ports[ch->number], 8);
	return rc < 0 ? rc : bus_map_pio(bus, &ch->control_port, control[ch->number], 1);
}

static int ide_new(struct ide **out, const struct ide_board *b, int slot, struct err *e)
{
	struct ide *h = xcalloc(1, sizeof(*h));
	int rc = 0;

	h->board = *b;
	fair_lock_init(&h->lock);
	pci_dev_init(&h->pci, &ops, "ide", VENDOR_INTEL, DEVICE_PIIX3_IDE, CLASS_REV);
	h->pci.cfg[0x3d] = 0; /* no INTA: IRQ 14 and 15 */
	memset(h->pci.wmask + IDETIM, 0xff, 5);
	config_reset(h);
	pci_add_io_bar(&h->pci, BM_BAR, BM_BYTES, &bm_ops, h);
	for (unsigned i = 0; i < IDE_CHANNELS; i++) {
		struct ide_channel *ch = &h->channel[i];
		ch->h = h;
		ch->number = i;
		ch->irq = b->irq[i];
		ch->sg = (struct ata_sg){ .ram = b->ram, .read = prd, .entries = 65536 / 8 };
		ide_channel_init(ch);
		if (rc == 0)
			rc = map_channel(ch);
	}
	if (rc == 0)
		rc = b->devfn ? pci_register_at(b->pci, &h->pci, b->devfn) : pci_register(b->pci, &h->pci, slot);
	if (rc < 0) {
		life_free(&h->pci.dev);
		return err_sys(e, -rc, "cannot put an IDE controller on the board");
	}
	*out = h;
	return 0;
}

static struct ide *find(struct pci_bus *bus)
{
	for (unsigned i = 0; i < 256; i++) {
		struct pci_dev *d = pci_bus_function(bus, (u8)i);
		if (d && d->ops == &ops)
			return container_of(d, struct ide, pci);
	}
	return NULL;
}

int ide_add(const struct ide_board *b, struct ata_drive *drive, int slot, struct err *e)
{
	struct ide *h = find(b->pci);
	unsigned unit = 0;
	int r = h ? 0 : ide_new(&h, b, slot, e);

	if (r < 0 || !h) {
		ata_drive_free(drive);
		return r;
	}
	while (unit < 2 * IDE_CHANNELS && h->channel[unit / 2].unit[unit % 2].drive)
		unit++;
	if (unit == 2 * IDE_CHANNELS) {
		ata_drive_free(drive);
		return err_set(e, ENOSPC,
			       "an IDE controller has room for %u drives, and a machine for one controller; "
			       "put the rest on another bus",
			       unit);
	}
	const struct blk_client client = { client_begin, client_end, h };
	ata_drive_connect(drive, &h->pci.dev, unit, &h->lock, &client);
	fair_lock(&h->lock);
	h->channel[unit / 2].unit[unit % 2].drive = drive;
	ide_channel_reset(&h->channel[unit / 2]);
	fair_unlock(&h->lock);
	return 0;
}
