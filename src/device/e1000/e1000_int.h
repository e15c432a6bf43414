/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000_int.h - between e1000.c (life, classes), e1000_regs.c (registers), e1000_irq.c (causes, moderation),
 * e1000_phy.c (PHY, NVM, link), e1000_rx.c and e1000_filter.c (frames to the guest), e1000_tx.c and e1000_offload.c
 * (from it).
 *
 * Theory of operation
 *
 * Transmit: a write of TDT runs on the vCPU's thread, as long as a visit may (loop.h); the loop goes on with the rest.
 * A frame is gathered in a queue's `buf`, descriptor by descriptor; at its last one checksums and segments are made and
 * given to the socket. If that takes no more, the last descriptor stays in the ring and `stalled` is set until it does.
 *
 * Receive: on the loop's thread. A frame for which the ring has too few descriptors stays in `frame`, and the socket is
 * not read until the driver writes RDT: the sender feels it, and nothing is lost.
 *
 * Interrupts: whoever does work notes causes (e1000_cause()); e1000_settle(), before the lock is given back, makes
 * messages or the wire of them, as often as the throttle allows.
 */
#ifndef MICA_E1000_INT_H
#define MICA_E1000_INT_H

#include "base/clock.h"
#include "device/e1000/e1000.h"
#include "device/fair_lock.h"
#include "device/nic/nic_segment.h"
#include "device/nic/nic_wire.h"

#define E1000_QUEUES 2u
#define E1000_VECTORS 5u
#define E1000_PLAIN_MAX 640u /* registers that only remember, in dwords */
#define E1000_STATS 75u      /* from 0x4000 on */
#define E1000_NVM_WORDS 64u
#define E1000_PHY_REGS 32u

/* Registers (SDM chapter 13, DS chapter 10) */
enum {
	R_CTRL = 0x0000,
	R_STATUS = 0x0008,
	R_EECD = 0x0010,
	R_EERD = 0x0014,
	R_CTRL_EXT = 0x0018,
	R_MDIC = 0x0020,
	R_VET = 0x0038,
	R_ICR = 0x00c0,
	R_ITR = 0x00c4,
	R_ICS = 0x00c8,
	R_IMS = 0x00d0,
	R_IMC = 0x00d8,
	R_EIAC = 0x00dc,
	R_IAM = 0x00e0,
	R_IVAR = 0x00e4,
	R_EITR = 0x00e8,
	R_RCTL = 0x0100,
	R_TCTL = 0x0400,
	R_EEMNGCTL = 0x1010,
	R_EEWR = 0x102c,
	R_PSRCTL = 0x2170,
	R_RDBAL = 0x2800, /* queue 1: 0x100 further */
	R_RDTR = 0x2820,
	R_RADV = 0x282c,
	R_RSRPD = 0x2c00,
	R_TDBAL = 0x3800,
	R_TIDV = 0x3820,
	R_TADV = 0x382c,
	R_STATS = 0x4000,
	R_RXCSUM = 0x5000,
	R_RFCTL = 0x5008,
	R_MTA = 0x5200,
	R_RA = 0x5400,
	R_VFTA = 0x5600,
	R_MRQC = 0x5818,
	R_RETA = 0x5c00,
	R_RSSRK = 0x5c80,
	R_SYSTIML = 0xb600,
	R_SYSTIMH = 0xb604,
	R_TIMINCA = 0xb608,
};

#define CTRL_GIO_MASTER_DISABLE (1u << 2)
#define CTRL_SLU (1u << 6)
#define CTRL_RST (1u << 26)
#define CTRL_VME (1u << 30)
#define CTRL_PHY_RST (1u << 31)
#define CTRL_EXT_EE_RST (1u << 13)
#define CTRL_EXT_EIAME (1u << 24)
#define CTRL_EXT_IAME (1u << 27)
#define RCTL_EN (1u << 1)
#define RCTL_UPE (1u << 3)
#define RCTL_MPE (1u << 4)
#define RCTL_LPE (1u << 5)
#define RCTL_LBM_MAC (1u << 6)
#define RCTL_BAM (1u << 15)
#define RCTL_VFE (1u << 18)
#define RCTL_SECRC (1u << 26)
#define TCTL_EN (1u << 1)

/* Causes (SDM 13.4.17, DS 10.2.4.1) */
#define CAUSE_TXDW (1u << 0)
#define CAUSE_TXQE (1u << 1)
#define CAUSE_LSC (1u << 2)
#define CAUSE_RXDMT0 (1u << 4)
#define CAUSE_RXT0 (1u << 7)
#define CAUSE_MDAC (1u << 9)
#define CAUSE_SRPD (1u << 16)
#define CAUSE_RXQ(q) (1u << (20 + (q)))
#define CAUSE_TXQ(q) (1u << (22 + (q)))
#define CAUSE_OTHER (1u << 24)
#define CAUSE_ASSERTED (1u << 31)

/* Statistics, as indices of dwords from R_STATS on (SDM 13.7) */
enum {
	STAT_RXERRC = 0x0c / 4,
	STAT_MPC = 0x10 / 4,
	STAT_PRC64 = 0x5c / 4, /* six, by size */
	STAT_GPRC = 0x74 / 4,
	STAT_BPRC = 0x78 / 4,
	STAT_MPRC = 0x7c / 4,
	STAT_GPTC = 0x80 / 4,
	STAT_GORC = 0x88 / 4, /* 64 bits, as all of octets */
	STAT_GOTC = 0x90 / 4,
	STAT_RNBC = 0xa0 / 4,
	STAT_RUC = 0xa4 / 4,
	STAT_ROC = 0xac / 4,
	STAT_TOR = 0xc0 / 4,
	STAT_TOT = 0xc8 / 4,
	STAT_TPR = 0xd0 / 4,
	STAT_TPT = 0xd4 / 4,
	STAT_PTC64 = 0xd8 / 4,
	STAT_MPTC = 0xf0 / 4,
	STAT_BPTC = 0xf4 / 4,
	STAT_TSCTC = 0xf8 / 4,
	STAT_TSCTFC = 0xfc / 4,
};

/* A ring's registers, as they are written. */
struct e1000_ring {
	u32 bal, bah, len, head, tail, ctl;
};

struct e1000_tx {
	struct e1000_ring ring;
	struct nic_headers context[2]; /* for checksums, for segmentation (SDM 3.3.6) */
	/* of the frame that is being gathered */
	u8 *buf; /* NET_FRAME_MAX */
	u32 bytes;
	bool begun, segment, skip; /* skip: it is too long, and is dropped whole */
	u8 options;                /* POPTS */
	bool tagged;               /* a VLAN tag is put in */
	u16 tag;
	bool sum; /* a checksum from a byte on, at another: a legacy descriptor's */
	u8 sum_from, sum_at;
	u32 sent; /* payload of a frame in segments that is on its way already */
};

/* A frame on its way to the guest, and what its descriptors will say of it. */
struct e1000_frame {
	const u8 *at;
	size_t bytes; /* 0: there is none */
	unsigned queue;
	u16 tag, sum;    /* the VLAN tag that was taken out; the checksum from PCSS on */
	u32 status;      /* and errors, as in an extended descriptor (DS 7.1.7.2.2) */
	u32 hash, types; /* of RSS */
};

struct e1000;

/* All under the lock. */
struct e1000 {
	struct pci_dev pci;
	struct fair_lock lock;
	enum e1000_kind kind;
	struct ram *ram;
	struct loop *loop;
	struct nic_wire wire;
	bool quiesced, stalled; /* stalled: the socket takes no more */
	struct loop_timer again;

	/* registers */
	u32 ctrl, eecd, eerd, mdic, ioaddr;
	u32 rctl, tctl;
	u32 plain[E1000_PLAIN_MAX];
	u32 stat[E1000_STATS];
	struct e1000_ring rx[E1000_QUEUES];
	struct e1000_tx tx[E1000_QUEUES];
	u8 out[NET_FRAME_MAX]; /* a frame as it goes */

	/* e1000_irq.c */
	u32 icr, ims;
	u32 delayed[2];               /* causes that RDTR and TIDV hold back, */
	u64 delay_at[2], delay_to[2]; /* ... until then, and at the latest; 0: not set */
	u32 told;                     /* MSI-X causes that were sent and not taken back */
	bool line;                    /* the wire is up, or the message of MSI was sent */
	u64 next[E1000_VECTORS];      /* when a vector may be sent again; [0] also the wire and MSI */
	struct loop_timer irq;

	/* e1000_phy.c */
	u16 phy[E1000_PHY_REGS];
	u16 nvm[E1000_NVM_WORDS];
	bool negotiating;
	struct loop_timer link;
	struct {
		bool clock, out;
		unsigned bits; /* since the start bit, with it; 0: none yet */
		u32 in;
		u16 data;
	} wire3;               /* the serial NVM's three wires */
	u64 systim_at, systim; /* its value at a time */

	/* e1000_rx.c */
	bool rx_stalled;         /* the ring has no room for it, or there is no ring */
	struct e1000_frame made; /* of the frame that waits */
	struct nic_cut cut;      /* of `frame`, where it is longer than the driver takes */
	bool cutting;
	u8 frame[NET_FRAME_MAX + 8], piece[NIC_PIECE + 8];
};

/* ---- e1000_regs.c ---- */
u32 *e1000_plain(struct e1000 *n, u32 reg);    /* must be one */
u32 e1000_get(const struct e1000 *n, u32 reg); /* 0: it is none */
void e1000_regs_reset(struct e1000 *n);
unsigned e1000_plains(void); /* how many of n->plain there are */
/* The clock for time stamps. */
u64 e1000_systim(const struct e1000 *n);
void e1000_systim_set(struct e1000 *n, u64 v);
extern const struct io_ops e1000_mmio_ops, e1000_io_ops;
/* All that waits, as much as a visit may; then interrupts. Before the lock is given back. */
void e1000_run(struct e1000 *n);

static inline void e1000_count(struct e1000 *n, unsigned stat, u32 by)
{
	u32 *s = &n->stat[stat];

	*s = by > ~*s ? ~0u : *s + by; /* they stick at the top (SDM 13.7) */
}

static inline void e1000_count64(struct e1000 *n, unsigned stat, u32 by)
{
	u64 v = (n->stat[stat] | (u64)n->stat[stat + 1] << 32) + by;

	n->stat[stat] = (u32)v;
	n->stat[stat + 1] = (u32)(v >> 32);
}

/* By size with the CRC: of 64, to 127, 255, 511, 1023, more. */
static inline unsigned e1000_size_class(size_t bytes)
{
	unsigned c = 0;

	for (size_t top = 64; c < 5 && bytes > top; top = top * 2 + (top == 64 ? -1 : 1))
		c++;
	return c;
}

/* How many descriptors of 16 bytes a ring has; 0: none. */
static inline u32 e1000_ring_entries(const struct e1000_ring *r)
{
	return (r->len & 0xfff80) / 16;
}

static inline gpa_t e1000_ring_base(const struct e1000_ring *r)
{
	return (u64)r->bah << 32 | (r->bal & ~15u);
}

/* ---- e1000_irq.c ---- */
void e1000_cause(struct e1000 *n, u32 causes);
/* Held back as RDTR (rx) or TIDV says. */
void e1000_cause_later(struct e1000 *n, bool rx, u32 causes);
void e1000_settle(struct e1000 *n);
u32 e1000_icr_read(struct e1000 *n);
void e1000_icr_write(struct e1000 *n, u32 val);
void e1000_irq_reset(struct e1000 *n);
void e1000_irq_timer(void *opaque);

/* ---- e1000_phy.c ---- */
void e1000_mdic_write(struct e1000 *n, u32 val);
u32 e1000_eecd_read(const struct e1000 *n);
void e1000_eecd_write(struct e1000 *n, u32 val);
void e1000_eerd_write(struct e1000 *n, u32 val);
void e1000_phy_reset(struct e1000 *n);
void e1000_nvm_init(struct e1000 *n, const u8 mac[DEVICE_MAC_BYTES]);
bool e1000_link_up(const struct e1000 *n);
bool e1000_loopback(const struct e1000 *n);
/* The wire's link changed, or CTRL.SLU. */
void e1000_link_changed(struct e1000 *n);
void e1000_link_timer(void *opaque);

/* ---- e1000_rx.c ---- */
/* Frames that wait, as many as a visit may. Loop's thread. */
void e1000_receive(struct e1000 *n, u64 until);
/* A frame of the card's own, in loopback; lost where there is no room. */
void e1000_receive_own(struct e1000 *n, const u8 *frame, size_t bytes);
/* Descriptors, or a change of what is received: look again. */
void e1000_rx_more(struct e1000 *n);
/* Is anything received at all? */
bool e1000_rx_on(const struct e1000 *n);

/* ---- e1000_filter.c ---- */
/* Does the driver want it? (SDM 3.2.1, DS 7.1.1) Counts what it is. */
bool e1000_wanted(struct e1000 *n, const u8 *frame, size_t bytes);
/* What its descriptors say of it; a VLAN tag is taken out where that is asked for. */
void e1000_look(struct e1000 *n, u8 *frame, size_t bytes, struct e1000_frame *out);

/* ---- transmit ---- */
/* Is anything in them? */
bool e1000_tx_waits(const struct e1000 *n);
/* What is in the rings. False: more is left than a visit may do. */
bool e1000_transmit(struct e1000 *n, u64 until);

/* ---- e1000_offload.c ---- */
enum e1000_sent { E1000_SENT, E1000_FULL /* the socket takes no more */, E1000_OVER /* the visit is over */ };
/* t's frame is whole: checksums, a tag, segments; and away with it. Else what is left goes when it is called again. */
enum e1000_sent e1000_send(struct e1000 *n, struct e1000_tx *t, u64 until);

#endif
