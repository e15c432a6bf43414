/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000_phy.c - the PHY behind MDIC (IEEE 802.3 clause 22; SDM 13.4.11, DS 10.2.8), the NVM with the MAC address (SDM
 * chapter 5, DS chapter 6), the link; see e1000_int.h.
 *
 * Auto-negotiation takes a moment, as on a wire: the link goes down and comes up with an interrupt, which drivers wait
 * for. The NVM is write-protected.
 */
#include "device/e1000/e1000_int.h"

#define NEGOTIATION_NS (20 * 1000000ull)

enum { PHY_CONTROL, PHY_STATUS, PHY_ID1, PHY_ID2, PHY_ADVERTISED, PHY_PARTNER, PHY_EXPANSION, PHY_1000_STATUS = 10 };
enum { PHY_EXT_STATUS = 15, PHY_SPECIFIC_STATUS = 17, PHY_PAGE = 22 };
#define CONTROL_RESET 0x8000
#define CONTROL_LOOPBACK 0x4000
#define CONTROL_AUTO 0x1000
#define CONTROL_DOWN 0x0800
#define CONTROL_RESTART 0x0200

#define MDIC_READY (1u << 28)
#define MDIC_INTERRUPT (1u << 29)
#define MDIC_ERROR (1u << 30)

#define EECD_SK 1u
#define EECD_CS 2u
#define EECD_DI 4u
#define EECD_DO 8u
#define EECD_REQ 0x40u
#define EECD_GNT 0x80u
#define EECD_PRES 0x100u
#define EECD_AUTO_RD 0x200u

/* ---- the link ---- */

bool e1000_link_up(const struct e1000 *n)
{
	return n->wire.up && !n->negotiating && !(n->phy[PHY_CONTROL] & CONTROL_DOWN);
}

bool e1000_loopback(const struct e1000 *n)
{
	return n->rctl & RCTL_LBM_MAC || n->phy[PHY_CONTROL] & CONTROL_LOOPBACK;
}

void e1000_link_changed(struct e1000 *n)
{
	e1000_cause(n, CAUSE_LSC);
	e1000_rx_more(n);
}

static void negotiate(struct e1000 *n)
{
	n->negotiating = true;
	loop_timer_arm(&n->link, clock_mono_ns() + NEGOTIATION_NS);
	e1000_link_changed(n);
}

void e1000_link_timer(void *opaque)
{
	struct e1000 *n = opaque;

	fair_lock(&n->lock);
	if (n->negotiating && !n->quiesced) {
		n->negotiating = false;
		e1000_link_changed(n);
		e1000_run(n);
	}
	fair_unlock(&n->lock);
}

/* ---- the PHY ---- */

void e1000_phy_reset(struct e1000 *n)
{
	memset(n->phy, 0, sizeof(n->phy));
	n->phy[PHY_CONTROL] = 0x1140; /* auto-negotiation, full duplex, 1000 Mb/s */
	n->phy[PHY_ID1] = 0x0141;
	n->phy[PHY_ID2] = n->kind == E1000_82574 ? 0x0cb1 : 0x0c20;
	n->phy[PHY_ADVERTISED] = 0x01e1;
	n->phy[9] = 0x0300; /* 1000BASE-T, both duplexes */
	n->phy[PHY_EXT_STATUS] = 0x3000;
	n->phy[16] = 0x0360;
	n->phy[20] = 0x0d60;
	negotiate(n);
}

static u16 phy_read(const struct e1000 *n, unsigned reg)
{
	bool up = e1000_link_up(n);

	/* Other pages have tuning, which a wire that is none does not need. */
	if (n->kind == E1000_82574 && n->phy[PHY_PAGE] && reg != PHY_PAGE && reg >= 16)
		return 0;
	switch (reg) {
	case PHY_STATUS:
		return (u16)(0x7949 | (up ? 4 : 0) | (n->negotiating ? 0 : 0x20));
	case PHY_PARTNER:
		return up ? 0x41e1 : 0;
	case PHY_EXPANSION:
		return up ? 1 : 0;
	case PHY_1000_STATUS:
		return up ? 0x3c00 : 0;
	case PHY_SPECIFIC_STATUS:
		return (u16)(0x8000 | 0x2000 | (n->negotiating ? 0 : 0x0800) | (up ? 0x0400 : 0));
	case 19: /* interrupts, errors: none */
	case 21:
		return 0;
	default:
		return n->phy[reg];
	}
}

static void phy_write(struct e1000 *n, unsigned reg, u16 val)
{
	u16 was = n->phy[PHY_CONTROL];

	if (n->kind == E1000_82574 && n->phy[PHY_PAGE] && reg != PHY_PAGE && reg >= 16)
		return;
	switch (reg) {
	case PHY_STATUS:
	case PHY_ID1:
	case PHY_ID2:
	case PHY_PARTNER:
	case PHY_EXPANSION:
	case PHY_1000_STATUS:
	case PHY_EXT_STATUS:
	case PHY_SPECIFIC_STATUS:
		return;
	case PHY_CONTROL:
		if (val & CONTROL_RESET) {
			/* What was advertised and tuned stays (802.3 22.2.4.1.1 leaves it open, drivers rely on it). */
			n->phy[PHY_CONTROL] = 0x1140;
			negotiate(n);
			return;
		}
		n->phy[PHY_CONTROL] = val & (u16)~CONTROL_RESTART;
		if (val & CONTROL_RESTART && val & CONTROL_AUTO)
			negotiate(n);
		else if ((was ^ val) & (CONTROL_DOWN | CONTROL_LOOPBACK))
			e1000_link_changed(n);
		return;
	default:
		n->phy[reg] = val;
	}
}

void e1000_mdic_write(struct e1000 *n, u32 val)
{
	unsigned reg = val >> 16 & 31, phy = val >> 21 & 31, op = val >> 26 & 3;

	n->mdic = (val & ~MDIC_ERROR) | MDIC_READY;
	if (phy != 1)
		n->mdic |= MDIC_ERROR;
	else if (op == 1)
		phy_write(n, reg, (u16)val);
	else if (op == 2)
		n->mdic = (n->mdic & ~0xffffu) | phy_read(n, reg);
	if (val & MDIC_INTERRUPT)
		e1000_cause(n, CAUSE_MDAC);
}

/* ---- the NVM ---- */

void e1000_nvm_init(struct e1000 *n, const u8 mac[DEVICE_MAC_BYTES])
{
	bool new = n->kind == E1000_82574;
	u16 sum = 0;

	for (unsigned i = 0; i < E1000_NVM_WORDS; i++)
		n->nvm[i] = 0xffff;
	for (unsigned i = 0; i < 3; i++)
		n->nvm[i] = ld_le16(mac + 2 * i);
	n->nvm[0x03] = 0;
	n->nvm[0x08] = n->nvm[0x09] = 0;      /* the board's number: none */
	n->nvm[0x0a] = new ? 0x0000 : 0x4408; /* signature in bits 15:14; full duplex */
	n->nvm[0x0b] = n->nvm[0x0d] = new ? 0x10d3 : 0x100e;
	n->nvm[0x0c] = n->nvm[0x0e] = 0x8086;
	n->nvm[0x0f] = 0; /* no pause frames */
	n->nvm[0x10] = 0;
	n->nvm[0x12] = 0x4000;           /* signature */
	n->nvm[0x14] = n->nvm[0x24] = 0; /* nothing wakes by it */
	for (unsigned i = 0; i < E1000_NVM_WORDS - 1; i++)
		sum = (u16)(sum + n->nvm[i]);
	n->nvm[E1000_NVM_WORDS - 1] = (u16)(0xbaba - sum); /* SDM 5.6.35 */
}

/* START, DONE, address, data; where they are differs (SDM 13.4.4, DS 10.2.2.3). */
void e1000_eerd_write(struct e1000 *n, u32 val)
{
	bool new = n->kind == E1000_82574;
	u32 done = new ? 2 : 0x10, word = new ? val >> 2 & 0x3fff : val >> 8 & 0xff;

	n->eerd = val & (new ? 0xfffcu : 0xff00u);
	if (val & 1)
		n->eerd |= done | (u32)(word < E1000_NVM_WORDS ? n->nvm[word] : 0xffff) << 16;
}

u32 e1000_eecd_read(const struct e1000 *n)
{
	u32 v = n->eecd | EECD_PRES;

	if (n->kind == E1000_82574)
		return v | EECD_AUTO_RD;
	return v | (n->eecd & EECD_REQ ? EECD_GNT : 0) | (n->wire3.out ? EECD_DO : 0);
}

/*
 * The serial NVM of the 82540 by hand (a 93C46: Microwire): a start bit, two bits of command, six of address, then, for
 * a read (10), a 0 and sixteen bits of data. Bits go in and out at the clock's rising edge.
 */
static void microwire_edge(struct e1000 *n, bool in)
{
	if (!n->wire3.bits && !in)
		return; /* waits for the start bit */
	n->wire3.bits++;
	if (n->wire3.bits <= 9) {
		n->wire3.in = n->wire3.in << 1 | in;
		if (n->wire3.bits < 9)
			return;
		n->wire3.data = n->wire3.in >> 6 == 6 ? n->nvm[n->wire3.in & 63] : 0xffff;
		n->wire3.out = false;
		return;
	}
	unsigned bit = n->wire3.bits - 10;
	n->wire3.out = bit < 16 ? n->wire3.data >> (15 - bit) & 1 : true;
	if (bit >= 16)
		n->wire3.bits = 26;
}

void e1000_eecd_write(struct e1000 *n, u32 val)
{
	bool clock = val & EECD_SK;

	n->eecd = val & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ);
	if (n->kind == E1000_82574)
		return; /* SPI there: no driver reads by it, and nothing can be written */
	if (!(val & EECD_CS)) {
		memset(&n->wire3, 0, sizeof(n->wire3));
		n->wire3.out = true; /* ready */
	} else if (clock && !n->wire3.clock) {
		microwire_edge(n, val & EECD_DI);
	}
	n->wire3.clock = clock;
}
