/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000_regs.c - the registers of Intel's gigabit cards (SDM chapter 13, DS chapter 10); see e1000_int.h.
 *
 * Registers that do nothing by themselves are rows of a table; others are in the two switches. The 82542's addresses of
 * rings and filters (SDM 13.3) work as well: old drivers use them.
 */
#include "device/e1000/e1000_int.h"

#define BOTH 3
#define OLD 1 /* 82540EM */
#define NEW 2 /* 82574L */

static const struct plain {
	u16 reg, n; /* n dwords from it on */
	u8 kinds;
	u32 mask; /* what can be written */
	u32 reset[E1000_KINDS];
} plains[] = {
	{ R_CTRL_EXT, 1, BOTH, ~0u, { 0, 0x00100000 } },
	{ 0x001c, 1, BOTH, ~0u, { 0, 0 } },                   /* FLA */
	{ 0x0028, 3, BOTH, ~0u, { 0x00c28001, 0x00c28001 } }, /* FCAL; FCAH and FCT below */
	{ R_VET, 1, BOTH, 0xffff, { 0x8100, 0x8100 } },
	{ R_ITR, 1, BOTH, 0xffff, { 0, 0 } },
	{ R_EIAC, 1, NEW, 0x01f00000, { 0, 0 } },
	{ R_IAM, 1, BOTH, ~0u, { 0, 0 } },
	{ R_IVAR, 1, NEW, 0x800fffff, { 0, 0 } },
	{ R_EITR, E1000_VECTORS, NEW, 0xffff, { 0, 0 } },
	{ 0x0170, 1, BOTH, 0xffff, { 0, 0 } },                /* FCTTV */
	{ 0x0178, 1, BOTH, ~0u, { 0, 0 } },                   /* TXCW */
	{ 0x0404, 1, BOTH, ~0u, { 0, 0 } },                   /* TCTL_EXT */
	{ 0x0410, 1, BOTH, ~0u, { 0x00602006, 0x00602006 } }, /* TIPG */
	{ 0x0458, 1, BOTH, ~0u, { 0, 0 } },                   /* AIT */
	{ 0x0e00, 1, BOTH, ~0u, { 0x07068302, 0x07068302 } }, /* LEDCTL */
	{ 0x0f00, 1, NEW, ~0u, { 0, 0x00000008 } },           /* EXTCNF_CTRL */
	{ 0x0f08, 1, NEW, ~0u, { 0, 0 } },                    /* EXTCNF_SIZE */
	{ 0x0f10, 1, NEW, ~0u, { 0, 0 } },                    /* PHY_CTRL */
	{ 0x1000, 1, BOTH, ~0u, { 0x00100030, 0x00140014 } }, /* PBA */
	{ 0x1008, 1, BOTH, ~0u, { 0, 0x00000028 } },          /* PBS */
	{ R_EEWR, 1, NEW, 0, { 0, 2 } },                      /* always done: the NVM is write-protected */
	{ R_EEMNGCTL, 1, NEW, 0, { 0, 0x000c0000 } },         /* it was read */
	{ 0x2008, 1, BOTH, ~0u, { 0, 0 } },                   /* ERT */
	{ 0x2160, 1, BOTH, ~0u, { 0, 0 } },                   /* FCRTL */
	{ 0x2168, 1, BOTH, ~0u, { 0, 0 } },                   /* FCRTH */
	{ R_PSRCTL, 1, NEW, ~0u, { 0, 0x00040402 } },
	{ R_RDTR, 1, BOTH, 0xffff, { 0, 0 } },
	{ R_RADV, 1, BOTH, 0xffff, { 0, 0 } },
	{ 0x2920, 1, NEW, 0xffff, { 0, 0 } }, /* RDTR of queue 1 */
	{ R_RSRPD, 1, BOTH, 0xfff, { 0, 0 } },
	{ 0x2c08, 1, NEW, ~0u, { 0, 0 } }, /* RAID */
	{ 0x3000, 1, OLD, 3, { 0, 0 } },   /* TXDMAC */
	{ R_TIDV, 1, BOTH, 0xffff, { 0, 0 } },
	{ R_TADV, 1, BOTH, 0xffff, { 0, 0 } },
	{ 0x3830, 1, OLD, ~0u, { 0x01000400, 0 } }, /* TSPMT */
	{ 0x3840, 1, NEW, ~0u, { 0, 0x00000403 } }, /* TARC0 */
	{ 0x3920, 1, NEW, 0xffff, { 0, 0 } },       /* TIDV of queue 1 */
	{ 0x3940, 1, NEW, ~0u, { 0, 0x00000403 } }, /* TARC1 */
	{ R_RXCSUM, 1, BOTH, ~0u, { 0, 0 } },
	{ R_RFCTL, 1, BOTH, ~0u, { 0, 0 } },
	{ R_MTA, 128, BOTH, ~0u, { 0, 0 } },
	{ R_RA, 32, BOTH, ~0u, { 0, 0 } },
	{ R_VFTA, 128, BOTH, ~0u, { 0, 0 } },
	{ 0x5800, 1, BOTH, ~0u, { 0, 0 } }, /* WUC, WUFC: nothing sleeps so deep that a frame must wake it */
	{ 0x5808, 1, BOTH, ~0u, { 0, 0 } },
	{ R_MRQC, 1, NEW, ~0u, { 0, 0 } },
	{ 0x5820, 1, BOTH, ~0u, { 0, 0 } }, /* MANC */
	{ 0x5838, 1, BOTH, ~0u, { 0, 0 } }, /* IPAV */
	{ 0x5840, 8, BOTH, ~0u, { 0, 0 } }, /* IP4AT */
	{ 0x5860, 1, NEW, ~0u, { 0, 0 } },  /* MANC2H */
	{ 0x5880, 4, BOTH, ~0u, { 0, 0 } }, /* IP6AT */
	{ 0x5b00, 1, NEW, ~0u, { 0, 0 } },  /* GCR */
	{ 0x5b50, 1, NEW, ~0u, { 0, 0 } },  /* SWSM */
	{ 0x5b58, 1, NEW, ~0u, { 0, 0 } },  /* SWSM2 */
	{ 0x5b64, 1, NEW, ~0u, { 0, 0 } },  /* GCR2 */
	{ R_RETA, 32, NEW, ~0u, { 0, 0 } },
	{ R_RSSRK, 10, NEW, ~0u, { 0, 0 } },
	{ R_TIMINCA, 3, NEW, ~0u, { 0, 0 } }, /* and TIMADJ */
	{ 0xb614, 1, NEW, 0x1f, { 0, 0 } },   /* TSYNCTXCTL */
	{ 0xb620, 1, NEW, 0x1e, { 0, 0 } },   /* TSYNCRXCTL: no frame has a time stamp */
	{ 0xb634, 2, NEW, ~0u, { 0, 0 } },    /* RXMTRL, RXUDP */
};

static const struct plain *plain_row(const struct e1000 *n, u32 reg, unsigned *at)
{
	*at = 0;
	for (unsigned i = 0; i < ARRAY_LEN(plains); i++) {
		const struct plain *p = &plains[i];
		if (reg >= p->reg && reg < p->reg + 4u * p->n && p->kinds >> n->kind & 1) {
			*at += (reg - p->reg) / 4;
			return p;
		}
		*at += p->n;
	}
	return NULL;
}

u32 *e1000_plain(struct e1000 *n, u32 reg)
{
	unsigned at;

	must(plain_row(n, reg, &at) && at < E1000_PLAIN_MAX);
	return &n->plain[at];
}

u32 e1000_get(const struct e1000 *n, u32 reg)
{
	unsigned at;

	return plain_row(n, reg, &at) ? n->plain[at] : 0;
}

/* ---- rings ---- */

/* Which field of which ring: five of them, 0x100 apart from queue to queue. */
static u32 *ring_field(struct e1000 *n, u32 reg, u32 base, bool rx, unsigned *q)
{
	u32 off = reg - base;
	unsigned queues = n->kind == E1000_82574 ? 2 : 1;

	if (reg < base || off >= 0x100 * queues)
		return NULL;
	*q = off / 0x100;
	struct e1000_ring *r = rx ? &n->rx[*q] : &n->tx[*q].ring;
	switch (off % 0x100) {
	case 0x00:
		return &r->bal;
	case 0x04:
		return &r->bah;
	case 0x08:
		return &r->len;
	case 0x10:
		return &r->head;
	case 0x18:
		return &r->tail;
	case 0x28:
		return &r->ctl;
	default:
		return NULL;
	}
}

static u32 *ring_reg(struct e1000 *n, u32 reg, bool *rx, unsigned *q)
{
	u32 *p = ring_field(n, reg, R_RDBAL, true, q);

	*rx = p;
	return p ? p : ring_field(n, reg, R_TDBAL, false, q);
}

static bool ring_write(struct e1000 *n, u32 reg, u32 val)
{
	unsigned q;
	bool rx;
	u32 *p = ring_reg(n, reg, &rx, &q);

	if (!p)
		return false;
	switch (reg & 0xff) {
	case 0x00:
		*p = val & ~15u;
		break;
	case 0x08:
		*p = val & 0xfff80;
		break;
	case 0x10:
	case 0x18:
		*p = val & 0xffff;
		if (rx)
			e1000_rx_more(n);
		break;
	default:
		*p = val;
	}
	return true;
}

/* Where the 82542 had it (SDM 13.3, table 13-3). */
static u32 modern(u32 reg)
{
	if (reg >= 0x40 && reg < 0xc0)
		return R_RA + (reg - 0x40);
	if (reg >= 0x200 && reg < 0x400)
		return R_MTA + (reg - 0x200);
	if (reg >= 0x600 && reg < 0x800)
		return R_VFTA + (reg - 0x600);
	switch (reg) {
	case 0x108:
		return R_RDTR;
	case 0x110:
	case 0x114:
	case 0x118:
		return R_RDBAL + (reg - 0x110);
	case 0x120:
	case 0x128:
		return R_RDBAL + 0x10 + (reg - 0x120);
	case 0x420:
	case 0x424:
	case 0x428:
		return R_TDBAL + (reg - 0x420);
	case 0x430:
	case 0x438:
		return R_TDBAL + 0x10 + (reg - 0x430);
	case 0x440:
		return R_TIDV;
	default:
		return reg;
	}
}

/* ---- the clock for time stamps (DS 7.9.3): TIMINCA adds to it every so many periods of 40 ns ---- */

u64 e1000_systim(const struct e1000 *n)
{
	u32 inca = e1000_get(n, R_TIMINCA), period = inca >> 24;
	u64 now = clock_mono_ns();

	if (!period || !n->systim_at)
		return n->systim;
	u64 steps = (now - n->systim_at) / (40ull * period);
	return n->systim + steps * (inca & 0xffffff);
}

void e1000_systim_set(struct e1000 *n, u64 v)
{
	n->systim = v;
	n->systim_at = clock_mono_ns();
}

/* ---- reading ---- */

static u32 status(const struct e1000 *n)
{
	/* 1000 Mb/s, full duplex, a link if there is one; 82574: the bus's master, the PHY was not reset */
	u32 v = 1u << 0 | 2u << 6 | 2u << 8; /* and as auto-detection found */

	v |= e1000_link_up(n) ? 1u << 1 : 0;
	if (n->kind == E1000_82574 && !(n->ctrl & CTRL_GIO_MASTER_DISABLE))
		v |= 1u << 19;
	return v;
}

static u32 stat_read(struct e1000 *n, unsigned i)
{
	u32 v = n->stat[i];

	/* Reading clears; of 64-bit ones, the upper half clears both (SDM 13.7). */
	switch (i) {
	case STAT_GORC:
	case STAT_GOTC:
	case STAT_TOR:
	case STAT_TOT:
		return v;
	case STAT_GORC + 1:
	case STAT_GOTC + 1:
	case STAT_TOR + 1:
	case STAT_TOT + 1:
		n->stat[i - 1] = 0;
		break;
	default:
		break;
	}
	n->stat[i] = 0;
	return v;
}

static u32 reg_read(struct e1000 *n, u32 reg)
{
	unsigned q;
	bool rx;
	u32 *p;

	reg = modern(reg);
	switch (reg) {
	case R_CTRL:
	case R_CTRL + 4: /* its copy */
		return n->ctrl;
	case R_STATUS:
		return status(n);
	case R_EECD:
		return e1000_eecd_read(n);
	case R_EERD:
		return n->eerd;
	case R_MDIC:
		return n->mdic;
	case R_ICR:
		return e1000_icr_read(n);
	case R_ICS:
		return n->icr;
	case R_IMS:
		return n->ims;
	case R_RCTL:
		return n->rctl;
	case R_TCTL:
		return n->tctl;
	case R_SYSTIML:
		return n->kind == E1000_82574 ? (u32)e1000_systim(n) : 0;
	case R_SYSTIMH:
		return n->kind == E1000_82574 ? (u32)(e1000_systim(n) >> 32) : 0;
	default:
		break;
	}
	if (reg >= R_STATS && reg < R_STATS + 4 * E1000_STATS)
		return stat_read(n, (reg - R_STATS) / 4);
	if ((p = ring_reg(n, reg, &rx, &q)))
		return *p;
	return e1000_get(n, reg);
}

/* ---- writing ---- */

static void ctrl_write(struct e1000 *n, u32 val)
{
	u32 was = n->ctrl;

	if (val & CTRL_PHY_RST)
		e1000_phy_reset(n);
	if (val & CTRL_RST) {
		e1000_regs_reset(n);
		e1000_link_changed(n);
		return;
	}
	n->ctrl = val & ~CTRL_PHY_RST;
	if ((was ^ n->ctrl) & CTRL_SLU)
		e1000_link_changed(n);
}

static void plain_write(struct e1000 *n, u32 reg, u32 val)
{
	unsigned at;
	const struct plain *p = plain_row(n, reg, &at);

	if (p)
		n->plain[at] = (n->plain[at] & ~p->mask) | (val & p->mask);
}

static void reg_write(struct e1000 *n, u32 reg, u32 val)
{
	reg = modern(reg);
	switch (reg) {
	case R_CTRL:
	case R_CTRL + 4:
		ctrl_write(n, val);
		return;
	case R_EECD:
		e1000_eecd_write(n, val);
		return;
	case R_EERD:
		e1000_eerd_write(n, val);
		return;
	case R_CTRL_EXT:
		plain_write(n, reg, val & ~CTRL_EXT_EE_RST);
		return;
	case R_MDIC:
		e1000_mdic_write(n, val);
		return;
	case R_ICR:
		e1000_icr_write(n, val);
		return;
	case R_ICS:
		e1000_cause(n, val & ~CAUSE_ASSERTED);
		return;
	case R_IMS:
		n->ims |= val & ~CAUSE_ASSERTED;
		return;
	case R_IMC:
		n->ims &= ~val;
		return;
	case R_RCTL:
		n->rctl = val;
		e1000_rx_more(n);
		return;
	case R_TCTL:
		n->tctl = val;
		return;
	case R_SYSTIML:
		e1000_systim_set(n, (e1000_systim(n) & ~0xffffffffull) | val);
		return;
	case R_SYSTIMH:
		e1000_systim_set(n, (u32)e1000_systim(n) | (u64)val << 32);
		return;
	case R_TIMINCA:
		e1000_systim_set(n, e1000_systim(n)); /* the old rate until now */
		break;
	default:
		break;
	}
	if (!ring_write(n, reg, val))
		plain_write(n, reg, val);
}

unsigned e1000_plains(void)
{
	unsigned all = 0;

	for (unsigned i = 0; i < ARRAY_LEN(plains); i++)
		all += plains[i].n;
	return all;
}

void e1000_regs_reset(struct e1000 *n)
{
	unsigned at = 0;

	for (unsigned i = 0; i < ARRAY_LEN(plains); i++)
		for (unsigned k = 0; k < plains[i].n; k++)
			n->plain[at++] = k ? 0 : plains[i].reset[n->kind];
	must(at <= E1000_PLAIN_MAX);
	*e1000_plain(n, 0x2c) = 0x0100; /* FCAH: 01:80:c2:00:00:01 */
	*e1000_plain(n, 0x30) = 0x8808; /* FCT */
	*e1000_plain(n, R_RA) = n->nvm[0] | (u32)n->nvm[1] << 16;
	*e1000_plain(n, R_RA + 4) = n->nvm[2] | 1u << 31;
	n->ctrl = n->kind == E1000_82574 ? 0x00100201 : 0x00000201; /* full duplex, 1000 Mb/s */
	n->eecd = n->eerd = n->rctl = n->tctl = n->ioaddr = 0;
	n->mdic = 1u << 28;
	n->systim = n->systim_at = 0;
	memset(n->stat, 0, sizeof(n->stat));
	memset(n->rx, 0, sizeof(n->rx));
	for (unsigned q = 0; q < E1000_QUEUES; q++) {
		u8 *buf = n->tx[q].buf;
		n->tx[q] = (struct e1000_tx){ .buf = buf };
	}
	n->made.bytes = 0;
	n->cutting = false;
	n->rx_stalled = true;
	n->stalled = false;
	e1000_irq_reset(n);
}

/* ---- the two windows ---- */

static u64 mmio_read(void *dev, u64 off, unsigned bytes)
{
	struct e1000 *n = dev;
	u64 v = 0;

	/* Bytes of a dword come of one reading: some have effects. */
	fair_lock(&n->lock);
	for (u64 at = off & ~3ull; at < off + bytes; at += 4) {
		u64 r = reg_read(n, (u32)at);
		v |= at < off ? r >> 8 * (off - at) : r << 8 * (at - off);
	}
	e1000_run(n);
	fair_unlock(&n->lock);
	return bytes == 8 ? v : v & ((1ull << 8 * bytes) - 1);
}

/* Dwords, and qwords as two (SDM 13.2.1); anything else is lost. */
static void mmio_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct e1000 *n = dev;

	if ((bytes != 4 && bytes != 8) || off % 4)
		return;
	fair_lock(&n->lock);
	for (unsigned i = 0; i < bytes; i += 4)
		reg_write(n, (u32)off + i, (u32)(val >> 8 * i));
	e1000_run(n);
	fair_unlock(&n->lock);
}

/* IOADDR and IODATA (SDM 13.2.2): firmware without a flat view of memory gets at registers by them. */
static u64 io_read(void *dev, u64 off, unsigned bytes)
{
	struct e1000 *n = dev;

	if (bytes != 4 || off % 4)
		return ~0ull;
	if (off == 4)
		return mmio_read(n, n->ioaddr & 0x1fffc, 4);
	return off ? 0 : n->ioaddr;
}

static void io_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct e1000 *n = dev;

	if (bytes != 4)
		return;
	if (off == 0) {
		fair_lock(&n->lock);
		n->ioaddr = (u32)val & 0x1ffff;
		fair_unlock(&n->lock);
	} else if (off == 4) {
		mmio_write(n, n->ioaddr & 0x1fffc, 4, val);
	}
}

const struct io_ops e1000_mmio_ops = { .read = mmio_read, .write = mmio_write };
const struct io_ops e1000_io_ops = { .read = io_read, .write = io_write };
