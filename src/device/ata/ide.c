/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ide.c - an IDE channel: the task file's registers, PIO, the interrupt (ATA/ATAPI-7 volume 2, chapters 5 and 9).
 *
 * Theory: a channel runs one command at a time. Data by PIO goes through a buffer of the channel, in chunks: from the
 * disk to the buffer, then block by block to the data port, and the other way round. Data by DMA goes straight to
 * memory, once the host has started the bus master (ide_pci.c).
 *
 * Both drives hear each write of a register; the one that is selected answers (5.2). A reset while the block layer has
 * the command leaves the channel busy until that has ended: then the drives show their signatures.
 */
#include "device/ata/ide_int.h"
#include "base/state.h"

#define CONTROL_NIEN 2
#define CONTROL_SRST 4
#define CONTROL_HOB 0x80
#define COUNT_CD 1 /* interrupt reason of a packet command */
#define COUNT_IO 2
#define PACKET_BYTES 12

static struct ide_unit *selected(struct ide_channel *ch)
{
	return &ch->unit[ch->device >> 4 & 1];
}

/* ---- interrupts ---- */

static void set_irq(struct ide_channel *ch, bool on)
{
	if (on && !ch->irq_on)
		ch->bm_status |= BM_INTERRUPT;
	ch->irq_on = on;
	irq_set(&ch->irq, on && !(ch->control & CONTROL_NIEN));
}

/* ---- a command's way ---- */

static void show(struct ide_channel *ch, struct ide_unit *u, const struct ata_tf *tf)
{
	u->count[0] = (u8)tf->count;
	u->count[1] = (u8)(tf->count >> 8);
	u->low[0] = (u8)tf->lba;
	u->mid[0] = (u8)(tf->lba >> 8);
	u->high[0] = (u8)(tf->lba >> 16);
	u->low[1] = (u8)(tf->lba >> 24);
	u->mid[1] = (u8)(tf->lba >> 32);
	u->high[1] = (u8)(tf->lba >> 40);
	ch->device = (u8)((ch->device & 0xf0) | (tf->device & 0x0f));
	u->status = tf->status;
	u->error = tf->error;
}

/* The command has ended. */
static void ended(struct ide_channel *ch)
{
	struct ide_unit *u = selected(ch);
	struct ata_cmd *c = &ch->cmd;
	bool packet = c->tf.command == ATA_PACKET;
	/* The last block of PIO data to the host was all that there was to say (9.7). */
	bool quiet = !packet && c->dir == ATA_TO_HOST && !c->dma && !(c->tf.status & ATA_S_ERR) && c->bytes;

	ch->phase = IDE_IDLE;
	ch->held = 0;
	if (packet) {
		u->count[0] = COUNT_CD | COUNT_IO;
		u->status = c->tf.status;
		u->error = c->tf.error;
	} else {
		show(ch, u, &c->tf);
	}
	if (c->dma && ch->sg.at >= ch->sg.entries)
		ch->bm_status &= (u8)~BM_ACTIVE;
	if (!quiet)
		set_irq(ch, true);
}

/* A block is at the data port: the host reads or writes it. */
static void offer(struct ide_channel *ch, u32 from, bool interrupt)
{
	struct ide_unit *u = selected(ch);
	struct ata_cmd *c = &ch->cmd;
	u64 left = c->dir == ATA_TO_HOST ? ch->held - from : c->bytes - c->moved - from;

	ch->pos = from;
	ch->block_end = from + (u32)MIN(MIN(left, c->block), IDE_CHUNK - from);
	ch->phase = IDE_DATA;
	u->status = ATA_S_DRDY | ATA_S_SEEK | ATA_S_DRQ;
	if (c->tf.command == ATA_PACKET) {
		u->count[0] = c->dir == ATA_TO_HOST ? COUNT_IO : 0;
		u->mid[0] = (u8)(ch->block_end - from);
		u->high[0] = (u8)((ch->block_end - from) >> 8);
	}
	if (interrupt)
		set_irq(ch, true);
}

static void move_pio(struct ide_channel *ch, u32 bytes)
{
	ch->phase = IDE_BUSY;
	selected(ch)->status = ATA_S_BSY;
	ch->cmd.iov[0] = (struct iovec){ ch->buf, bytes };
	ch->flying = ch->cmd.medium;
	ata_move(&ch->cmd, 1, bytes);
}

static void move_dma(struct ide_channel *ch)
{
	struct ata_cmd *c = &ch->cmd;

	if (!(ch->bm_command & BM_START)) {
		ch->phase = IDE_WAIT_DMA;
		return;
	}
	ch->phase = IDE_BUSY;
	s64 n = ata_sg_next(&ch->sg, c);
	if (n > 0) {
		ch->flying = c->medium;
		ata_move(c, ch->sg.niov, (u64)n);
		return;
	}
	ch->bm_status |= BM_ERROR;
	ch->bm_status &= (u8)~BM_ACTIVE;
	ch->sg.niov = 0;
	ata_fail(c, ATA_E_ABRT);
	ended(ch);
}

void ide_channel_go_on(struct ide_channel *ch)
{
	struct ata_cmd *c = &ch->cmd;

	if (ch->h->quiesced) {
		ch->parked = true;
		return;
	}
	ch->parked = false;
	if (c->ended)
		ended(ch);
	else if (c->moved == c->bytes && !(c->dir == ATA_TO_HOST && ch->held)) {
		ch->phase = IDE_BUSY;
		ch->flying = true;
		ata_finish(c);
	} else if (c->dma)
		move_dma(ch);
	else if (c->dir == ATA_FROM_HOST)
		offer(ch, 0, c->moved || c->tf.command == ATA_PACKET);
	else if (ch->held)
		offer(ch, 0, true);
	else
		move_pio(ch, (u32)MIN(c->bytes - c->moved, IDE_CHUNK));
}

static void greet(struct ide_channel *ch)
{
	ch->phase = IDE_IDLE;
	ch->device = 0;
	for (unsigned i = 0; i < 2; i++) {
		struct ata_tf tf = { 0 };
		if (!ch->unit[i].drive)
			continue;
		ata_soft_reset(ch->unit[i].drive);
		ata_signature(ch->unit[i].drive, &tf);
		show(ch, &ch->unit[i], &tf);
	}
}

static void step(struct ata_cmd *c)
{
	struct ide_channel *ch = container_of(c, struct ide_channel, cmd);

	ch->flying = false;
	ata_sg_moved(&ch->sg, c);
	if (ch->stale) {
		ch->stale = false;
		if (!(ch->control & CONTROL_SRST))
			greet(ch);
		return;
	}
	if (!c->ended && !c->dma && c->dir == ATA_TO_HOST)
		ch->held = (u32)c->iov[0].iov_len;
	else
		ch->held = 0;
	ide_channel_go_on(ch);
}

/* ---- the data port ---- */

static void block_over(struct ide_channel *ch)
{
	struct ata_cmd *c = &ch->cmd;
	u32 all = (u32)(c->dir == ATA_TO_HOST ? ch->held : MIN(c->bytes - c->moved, IDE_CHUNK));

	if (ch->phase == IDE_PACKET) {
		memset(c->cdb, 0, sizeof(c->cdb));
		memcpy(c->cdb, ch->buf, PACKET_BYTES);
		ch->phase = IDE_BUSY;
		selected(ch)->status = ATA_S_BSY;
		ata_begin(c);
		unsigned limit = (unsigned)(c->tf.lba >> 8 & 0xffff) & ~1u;
		c->block = limit ? limit : 0xfffe;
		ata_sg_rewind(&ch->sg);
		ch->held = 0;
		ide_channel_go_on(ch);
	} else if (ch->pos < all) {
		offer(ch, ch->pos, true);
	} else if (c->dir == ATA_TO_HOST) {
		ch->held = 0;
		selected(ch)->status = ATA_S_BSY;
		ide_channel_go_on(ch);
	} else {
		move_pio(ch, all);
	}
}

static u32 data_read(struct ide_channel *ch, unsigned bytes)
{
	u8 b[4] = { 0 };

	if (ch->phase != IDE_DATA || ch->cmd.dir != ATA_TO_HOST)
		return 0;
	u32 n = MIN(bytes, ch->block_end - ch->pos);
	memcpy(b, ch->buf + ch->pos, n);
	ch->pos += n;
	if (ch->pos == ch->block_end)
		block_over(ch);
	return ld_le32(b);
}

static void data_write(struct ide_channel *ch, unsigned bytes, u32 val)
{
	u8 b[4];

	if (ch->phase != IDE_PACKET && (ch->phase != IDE_DATA || ch->cmd.dir != ATA_FROM_HOST))
		return;
	u32 n = MIN(bytes, ch->block_end - ch->pos);
	st_le32(b, val);
	memcpy(ch->buf + ch->pos, b, n);
	ch->pos += n;
	if (ch->pos == ch->block_end)
		block_over(ch);
}

/* ---- commands ---- */

static void command(struct ide_channel *ch, u8 code)
{
	struct ide_unit *u = selected(ch);
	struct ata_cmd *c = &ch->cmd;
	bool device_reset = code == ATA_DEVICE_RESET && u->drive && u->drive->atapi;

	if (!u->drive || ch->flying || ch->stale || ch->control & CONTROL_SRST)
		return;
	if (ch->phase != IDE_IDLE && !device_reset)
		return;
	set_irq(ch, false);
	c->drive = u->drive;
	c->step = step;
	c->tf = (struct ata_tf){
		.command = code,
		.device = ch->device,
		.feature = (u16)(u->feature[0] | u->feature[1] << 8),
		.count = (u16)(u->count[0] | u->count[1] << 8),
		.lba = u->low[0] | (u64)u->mid[0] << 8 | (u64)u->high[0] << 16 | (u64)u->low[1] << 24 |
		       (u64)u->mid[1] << 32 | (u64)u->high[1] << 40,
	};
	ch->held = 0;
	ata_sg_rewind(&ch->sg);
	if (code == ATA_PACKET && u->drive->atapi) {
		ch->pos = 0;
		ch->block_end = PACKET_BYTES;
		ch->phase = IDE_PACKET;
		u->count[0] = COUNT_CD;
		u->status = ATA_S_DRDY | ATA_S_DRQ;
		return;
	}
	ch->phase = IDE_BUSY;
	u->status = ATA_S_BSY;
	ata_begin(c);
	ide_channel_go_on(ch);
	if (ch->phase == IDE_IDLE && device_reset)
		set_irq(ch, false);
}

/* ---- registers ---- */

/* No drive on the cable: all lines are high but DD7, which a host pulls down, so that nobody waits for BSY
 *. */
#define FLOATING 0x7f

static bool nobody(const struct ide_channel *ch)
{
	return !ch->unit[0].drive && !ch->unit[1].drive;
}

static u8 status(struct ide_channel *ch)
{
	if (nobody(ch))
		return FLOATING;
	if (!selected(ch)->drive)
		return 0;
	return ch->stale || ch->control & CONTROL_SRST ? ATA_S_BSY : selected(ch)->status;
}

static u8 register_read(struct ide_channel *ch, unsigned reg)
{
	struct ide_unit *u = selected(ch);
	unsigned hob = ch->control & CONTROL_HOB ? 1 : 0;

	if (nobody(ch))
		return FLOATING;
	if (!u->drive)
		return reg == 6 ? ch->device | 0xa0 : 0;
	switch (reg) {
	case 1:
		return u->error;
	case 2:
		return u->count[hob];
	case 3:
		return u->low[hob];
	case 4:
		return u->mid[hob];
	case 5:
		return u->high[hob];
	case 6:
		return ch->device | 0xa0;
	default:
		set_irq(ch, false);
		return status(ch);
	}
}

static void push(u8 v[2], u8 val)
{
	v[1] = v[0];
	v[0] = val;
}

static void register_write(struct ide_channel *ch, unsigned reg, u8 val)
{
	if (reg == 7) {
		command(ch, val);
		return;
	}
	if (ch->phase != IDE_IDLE || ch->stale) /* 9.1: lost while BSY or DRQ is set */
		return;
	ch->control &= (u8)~CONTROL_HOB;
	if (reg == 6) {
		ch->device = val;
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct ide_unit *u = &ch->unit[i];
		u8 *const at[] = { NULL, u->feature, u->count, u->low, u->mid, u->high };
		push(at[reg], val);
	}
}

static void control_write(struct ide_channel *ch, u8 val)
{
	u8 was = ch->control;

	ch->control = val & (CONTROL_NIEN | CONTROL_SRST | CONTROL_HOB);
	set_irq(ch, ch->irq_on && !(val & CONTROL_SRST));
	if (val & CONTROL_SRST && !(was & CONTROL_SRST)) {
		ch->stale = ch->flying;
		ch->phase = IDE_IDLE;
		ch->held = 0;
		ch->parked = false;
	} else if (was & CONTROL_SRST && !(val & CONTROL_SRST) && !ch->stale) {
		greet(ch);
	}
}

/* Does the controller decode the channel's ports? (IDETIM bit 15) */
static bool decodes(const struct ide_channel *ch)
{
	return ch->h->pci.cfg[0x41 + 2 * ch->number] & 0x80;
}

static u64 task_file_read(void *dev, u64 off, unsigned bytes)
{
	struct ide_channel *ch = dev;
	u64 v = UINT32_MAX;

	fair_lock(&ch->h->lock);
	if (decodes(ch)) {
		ide_channel_plug(ch, true);
		v = off ? register_read(ch, (unsigned)off) : data_read(ch, bytes);
		ide_channel_plug(ch, false);
	}
	fair_unlock(&ch->h->lock);
	return v;
}

static void task_file_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct ide_channel *ch = dev;

	fair_lock(&ch->h->lock);
	if (decodes(ch)) {
		ide_channel_plug(ch, true);
		if (off)
			register_write(ch, (unsigned)off, (u8)val);
		else
			data_write(ch, bytes, (u32)val);
		ide_channel_plug(ch, false);
	}
	fair_unlock(&ch->h->lock);
}

const struct io_ops ide_task_file_ops = { .read = task_file_read, .write = task_file_write };

static u64 control_read_port(void *dev, u64 off, unsigned bytes)
{
	struct ide_channel *ch = dev;

	fair_lock(&ch->h->lock);
	u8 v = decodes(ch) ? status(ch) : 0xff;
	fair_unlock(&ch->h->lock);
	return v;
}

static void control_write_port(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct ide_channel *ch = dev;

	fair_lock(&ch->h->lock);
	if (decodes(ch))
		control_write(ch, (u8)val);
	fair_unlock(&ch->h->lock);
}

const struct io_ops ide_control_ops = { .read = control_read_port, .write = control_write_port, .max_bytes = 1 };

/* ---- life ---- */

void ide_channel_init(struct ide_channel *ch)
{
	ch->buf = xmap_sparse(IDE_CHUNK);
	ide_channel_reset(ch);
}

/* Nothing flies. */
void ide_channel_reset(struct ide_channel *ch)
{
	must(!ch->flying && !ch->stale);
	ch->control = ch->bm_command = 0;
	ch->bm_status = BM_CAPABLE;
	ch->bm_table = 0;
	ch->held = ch->pos = ch->block_end = 0;
	ch->parked = false;
	greet(ch);
	set_irq(ch, false);
}

static void unit_state(struct ide_unit *u, struct state_file *s)
{
	state_same(s, u->drive != NULL, "a drive is there where none was, or the other way round");
	state_bytes(s, u->feature, 2);
	state_bytes(s, u->count, 2);
	state_bytes(s, u->low, 2);
	state_bytes(s, u->mid, 2);
	state_bytes(s, u->high, 2);
	state_u8(s, &u->status);
	state_u8(s, &u->error);
	if (u->drive)
		ata_drive_state(u->drive, s);
}

void ide_channel_state(struct ide_channel *ch, struct state_file *s)
{
	unsigned phase = ch->phase;

	for (unsigned i = 0; i < 2; i++)
		unit_state(&ch->unit[i], s);
	state_u8(s, &ch->device);
	state_u8(s, &ch->control);
	state_bool(s, &ch->irq_on);
	state_uint(s, &phase, IDE_BUSY);
	state_bool(s, &ch->parked);
	state_u32(s, &ch->held);
	state_u32(s, &ch->pos);
	state_u32(s, &ch->block_end);
	state_bytes(s, ch->buf, IDE_CHUNK);
	state_u8(s, &ch->bm_command);
	state_u8(s, &ch->bm_status);
	state_u32(s, &ch->bm_table);
	state_uint(s, &ch->sg.at, ch->sg.entries);
	state_u32(s, &ch->sg.off);
	ata_cmd_state(&ch->cmd, selected(ch)->drive, s);
	if (!state_loading(s))
		return;
	ch->phase = phase;
	ch->cmd.step = step;
	ch->bm_table &= ~3u;
	bool waits = ch->phase == IDE_DATA || ch->phase == IDE_PACKET;
	bool bad = ch->held > IDE_CHUNK || ch->block_end > IDE_CHUNK || ch->pos > ch->block_end ||
		   (waits && ch->pos == ch->block_end) || (ch->phase == IDE_BUSY) != ch->parked;
	if (ch->phase != IDE_IDLE && ch->phase != IDE_PACKET) { /* a command that ata_begin() has seen */
		const struct ata_cmd *c = &ch->cmd;
		u64 left = c->bytes - c->moved;
		bad |= !c->what || (ch->phase == IDE_DATA && (c->dma || c->dir == ATA_NODATA)) ||
		       (ch->phase == IDE_DATA && c->dir == ATA_TO_HOST && ch->block_end > ch->held) ||
		       (ch->phase == IDE_DATA && c->dir == ATA_FROM_HOST && ch->block_end > left) ||
		       (ch->phase == IDE_WAIT_DMA && !c->dma);
	}
	if (ch->phase == IDE_PACKET)
		bad |= !ch->cmd.drive || !ch->cmd.drive->atapi || ch->block_end > PACKET_BYTES;
	if (bad) {
		state_bad(s, "an IDE channel is in a state that cannot be");
		ch->phase = IDE_IDLE;
		ch->held = ch->pos = ch->block_end = 0;
		ch->parked = false;
	}
}
