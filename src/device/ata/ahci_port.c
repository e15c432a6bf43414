/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ahci_port.c - the commands of a port (AHCI 1.3.1, chapters 4, 5 and 6).
 *
 * Theory: PxCI has a bit for each slot whose header the host filled in. The port reads header, command FIS and packet
 * once, into the slot; the table of PRDs piece by piece, as the data moves. Commands that are not queued run alone; of
 * queued ones (NCQ) all that are issued run together, and their bits in PxCI go off at once (5.5.1), those in PxSACT
 * when they have ended.
 *
 * An error stops the port: nothing starts, and queued commands that are still under way end unheard, until the host
 * clears PxCMD.ST and begins anew (6.2.2). What is under way then is forgotten: its epoch is old. PxCMD.CR stays set
 * until the last of it has ended, so that a host that waits for it, as it must, gets its memory back.
 *
 * Work is bounded: 32 slots of at most ATA_IOV_MAX PRDs each before the host's disk has to answer.
 */
#include "device/ata/ahci_int.h"

#define HEADER_BYTES 32u
#define PRDT_OFF 0x80u
#define PACKET_OFF 0x40u

#define FIS_H2D 0x27
#define FIS_D2H 0x34
#define FIS_PIO_SETUP 0x5f
#define FIS_SDB 0xa1
#define FIS_INTERRUPT 0x40
#define RX_PIO_SETUP 0x20
#define RX_D2H 0x40
#define RX_SDB 0x58

/* ---- to the host ---- */

static void raise(struct ahci_port *p, u32 bits)
{
	p->is |= bits;
	p->h->raised = true;
}

static void receive(struct ahci_port *p, unsigned at, const u8 *fis, unsigned bytes)
{
	if (p->cmd & PCMD_FRE)
		ram_put(p->h->ram, p->fb + at, fis, bytes);
}

static void fis_registers(u8 *fis, const struct ata_tf *tf)
{
	fis[2] = tf->status;
	fis[3] = tf->error;
	for (unsigned i = 0; i < 3; i++) {
		fis[4 + i] = (u8)(tf->lba >> 8 * i);
		fis[8 + i] = (u8)(tf->lba >> (24 + 8 * i));
	}
	fis[7] = tf->device;
	st_le16(fis + 12, tf->count);
}

static void send_d2h(struct ahci_port *p, const struct ata_tf *tf, bool interrupt)
{
	u8 fis[20] = { FIS_D2H, interrupt ? FIS_INTERRUPT : 0 };

	fis_registers(fis, tf);
	p->status = tf->status;
	p->error = tf->error;
	receive(p, RX_D2H, fis, sizeof(fis));
	if (interrupt)
		raise(p, PIS_DHRS);
}

/* Of the last block of PIO data to the host; the status at its end comes along (SATA 3.0, 10.3.11). */
static void send_pio_setup(struct ahci_port *p, const struct ata_cmd *c, bool interrupt)
{
	u8 fis[20] = { FIS_PIO_SETUP, 0x20 | (interrupt ? FIS_INTERRUPT : 0) };

	fis_registers(fis, &c->tf);
	fis[2] = c->tf.status | ATA_S_DRQ;
	fis[15] = c->tf.status;
	st_le16(fis + 16, (u16)MIN(c->bytes, 0xfffe));
	p->status = c->tf.status;
	p->error = c->tf.error;
	receive(p, RX_PIO_SETUP, fis, sizeof(fis));
	if (interrupt)
		raise(p, PIS_PSS);
}

static void send_sdb(struct ahci_port *p, u32 tags, u8 status, u8 error)
{
	u8 fis[8] = { FIS_SDB, FIS_INTERRUPT, status & 0x77, error };

	st_le32(fis + 4, tags);
	p->sact &= ~tags;
	p->status = (u8)((p->status & 0x88) | (status & 0x77));
	p->error = error;
	receive(p, RX_SDB, fis, sizeof(fis));
	raise(p, PIS_SDBS);
}

void ahci_port_tell_done(struct ahci_port *p)
{
	u32 done = p->done;

	p->done = 0;
	if (done)
		send_sdb(p, done, ATA_S_DRDY, 0);
}

static void greet(struct ahci_port *p)
{
	struct ata_tf tf = { 0 };

	ata_signature(p->drive, &tf);
	p->sig = (u32)(tf.lba << 8) | tf.count;
	send_d2h(p, &tf, false);
}

void ahci_port_greet_now(struct ahci_port *p)
{
	if (!p->greeting || !(p->cmd & PCMD_FRE))
		return;
	p->greeting = false;
	greet(p);
}

void ahci_port_greet(struct ahci_port *p)
{
	if (!p->drive)
		return;
	ata_soft_reset(p->drive);
	p->srst = false;
	p->greeting = true;
	p->serr |= PSERR_X;
	p->h->raised = true;
	ahci_port_greet_now(p);
}

/* ---- memory of a command ---- */

/* 4.2.3.3 */
static bool prd(const struct ata_sg *g, unsigned i, gpa_t *at, u64 *bytes, bool *last)
{
	const u8 *e = ram_ptr_ro(g->ram, g->table + PRDT_OFF + 16ull * i, 16);

	if (!e)
		return false;
	*at = ld_le64(e) & ~1ull;
	*bytes = (u64)((ld_le32(e + 12) & 0x3fffff) | 1) + 1;
	*last = false;
	return true;
}

/* ---- ending a command ---- */

static void release(struct ahci_slot *s)
{
	s->busy = false;
	s->port->busy--;
}

/* The host must begin anew. */
static void halt(struct ahci_port *p, u32 why)
{
	p->halted = true;
	raise(p, why);
}

/* Memory or FIS of the command cannot be: a host bus or interface error (6.1.2, 6.1.3). */
static void fatal(struct ahci_slot *s, u32 why)
{
	struct ahci_port *p = s->port;

	halt(p, why);
	release(s);
}

static void end_queued(struct ahci_port *p, const struct ata_cmd *c)
{
	u32 tag = 1u << (c->tf.count >> 3 & 31);

	if (p->halted) /* the host will ask for it again */
		return;
	if (!(c->tf.status & ATA_S_ERR)) {
		p->done |= tag;
		return;
	}
	ahci_port_tell_done(p);
	send_sdb(p, 0, c->tf.status, c->tf.error);
	halt(p, PIS_TFES);
}

static void end_alone(struct ahci_slot *s)
{
	struct ahci_port *p = s->port;
	struct ata_cmd *c = &s->cmd;
	u32 bit = 1u << s->number;
	u8 count[4];

	p->exclusive = 0;
	st_le32(count, (u32)c->moved);
	ram_put(p->h->ram, s->header + 4, count, sizeof(count));
	if (c->tf.status & ATA_S_ERR) {
		send_d2h(p, &c->tf, true);
		halt(p, PIS_TFES);
		return;
	}
	bool pio_in = c->dir == ATA_TO_HOST && !c->dma, packet = c->tf.command == ATA_PACKET;
	p->ci &= ~bit;
	if (pio_in)
		send_pio_setup(p, c, !packet);
	if (!pio_in || packet)
		send_d2h(p, &c->tf, true);
}

static void slot_step(struct ata_cmd *c)
{
	struct ahci_slot *s = container_of(c, struct ahci_slot, cmd);
	struct ahci_port *p = s->port;

	ata_sg_moved(&s->sg, c);
	if (s->epoch != p->epoch) {
		release(s);
		return;
	}
	if (c->ended) {
		release(s);
		if (c->queued)
			end_queued(p, c);
		else
			end_alone(s);
		return;
	}
	if (c->moved == c->bytes) {
		ata_finish(c);
		return;
	}
	s64 n = ata_sg_next(&s->sg, c);
	if (n > 0) {
		ata_move(c, s->sg.niov, (u64)n);
		return;
	}
	s->sg.niov = 0;
	if (n < 0) {
		fatal(s, PIS_HBFS);
		return;
	}
	/* More data than the host has room for (6.1.5). */
	raise(p, PIS_OFS);
	ata_fail(c, ATA_E_ABRT);
	release(s);
	if (c->queued)
		end_queued(p, c);
	else
		end_alone(s);
}

/* ---- beginning one ---- */

/* The control register: software reset (SATA 3.0, 11.4). */
static void control(struct ahci_slot *s, u8 value)
{
	struct ahci_port *p = s->port;

	p->ci &= ~(1u << s->number);
	release(s);
	if (value & 4) {
		p->srst = true;
		ahci_port_forget(p);
		p->status |= ATA_S_BSY;
	} else if (p->srst) {
		p->srst = false;
		ata_soft_reset(p->drive);
		greet(p);
	}
}

static void start(struct ahci_port *p, unsigned number)
{
	struct ahci_slot *s = &p->slot[number];
	struct ata_cmd *c = &s->cmd;
	u8 h[HEADER_BYTES], f[PACKET_OFF];

	s->busy = true;
	p->busy++;
	p->last = (u8)number;
	s->port = p;
	s->number = number;
	s->epoch = p->epoch;
	ata_sg_rewind(&s->sg);
	s->header = p->clb + number * HEADER_BYTES;
	if (ram_get(p->h->ram, s->header, h, sizeof(h)) < 0) {
		fatal(s, PIS_HBFS);
		return;
	}
	s->sg.ram = p->h->ram;
	s->sg.read = prd;
	s->sg.table = ld_le64(h + 8) & ~0x7full;
	s->sg.entries = ld_le16(h + 2);
	if (ram_get(p->h->ram, s->sg.table, f, sizeof(f)) < 0 ||
	    ram_get(p->h->ram, s->sg.table + PACKET_OFF, c->cdb, sizeof(c->cdb)) < 0) {
		fatal(s, PIS_HBFS);
		return;
	}
	if (f[0] != FIS_H2D || (h[0] & 31) < 5) {
		fatal(s, PIS_IFS);
		return;
	}
	if (!(f[1] & 0x80)) {
		control(s, f[15]);
		return;
	}
	c->drive = p->drive;
	c->step = slot_step;
	c->tf = (struct ata_tf){
		.command = f[2],
		.feature = (u16)(f[3] | f[11] << 8),
		.lba = (ld_le32(f + 4) & 0xffffff) | (u64)(ld_le32(f + 8) & 0xffffff) << 24,
		.device = f[7],
		.count = ld_le16(f + 12),
	};
	ata_begin(c);
	if (c->queued)
		p->ci &= ~(1u << number);
	else
		p->exclusive = 1u << number;
	slot_step(c);
}

void ahci_port_run(struct ahci_port *p)
{
	unsigned first = p->last + 1u; /* whoever was served last comes last */

	for (unsigned i = 0; i < AHCI_SLOTS; i++) {
		unsigned n = (first + i) % AHCI_SLOTS;

		if (!(p->cmd & PCMD_ST) || p->halted || p->h->quiesced || p->h->resetting || !p->drive || p->exclusive)
			return;
		if (!(p->ci >> n & 1) || p->slot[n].busy)
			continue;
		if (p->busy && !(p->sact >> n & 1)) /* alone */
			continue;
		start(p, n);
	}
}

void ahci_port_forget(struct ahci_port *p)
{
	p->epoch++;
	p->exclusive = 0;
	p->done = 0;
	p->ci = p->sact = 0;
}
