/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * e1000_irq.c - causes of interrupts, and how often the driver is told (SDM 13.4.17 to 13.4.22; DS 7.4); see
 * e1000_int.h.
 *
 * Two clocks hold interrupts back. Descriptors that ask for it wait for RDTR or TIDV, from the last of them on, and for
 * RADV or TADV, from the first on. Whatever is a cause then waits for its vector's throttle: ITR, or EITR of MSI-X.
 *
 * MSI-X (82574): causes 20 to 24 have a vector each in IVAR. Sending one clears it in ICR if EIAC says so, and masks it
 * besides if EIAME is set; drivers write IMS when they are done.
 */
#include "device/e1000/e1000_int.h"

#define THROTTLE_NS 256ull
#define DELAY_NS 1024ull
#define CAUSES_OF_QUEUES 0x00f000dbu /* TXDW, TXQE, RXDMT0, RXO, RXT0, and the queues' */

void e1000_cause(struct e1000 *n, u32 causes)
{
	n->icr |= causes;
	if (n->kind == E1000_82574 && causes & ~(CAUSES_OF_QUEUES | CAUSE_OTHER))
		n->icr |= CAUSE_OTHER;
}

void e1000_cause_later(struct e1000 *n, bool rx, u32 causes)
{
	u32 delay = e1000_get(n, rx ? R_RDTR : R_TIDV), most = e1000_get(n, rx ? R_RADV : R_TADV);

	if (!delay) {
		e1000_cause(n, causes);
		return;
	}
	u64 now = clock_mono_ns();
	n->delayed[rx] |= causes;
	n->delay_at[rx] = now + delay * DELAY_NS;
	if (most && !n->delay_to[rx])
		n->delay_to[rx] = now + most * DELAY_NS;
}

/* What was held back is a cause now. */
static void release(struct e1000 *n, unsigned way)
{
	e1000_cause(n, n->delayed[way]);
	n->delayed[way] = 0;
	n->delay_at[way] = n->delay_to[way] = 0;
}

static u64 due(const struct e1000 *n, unsigned way)
{
	return !n->delayed[way]   ? UINT64_MAX
	       : n->delay_to[way] ? MIN(n->delay_at[way], n->delay_to[way])
				  : n->delay_at[way];
}

/* May vector v speak? Then not again for its interval; else *wake is not later than when it may. */
static bool may_send(struct e1000 *n, unsigned v, u32 interval, u64 now, u64 *wake)
{
	if (now < n->next[v]) {
		*wake = MIN(*wake, n->next[v]);
		return false;
	}
	n->next[v] = interval ? now + interval * THROTTLE_NS : 0;
	return true;
}

static void settle_msix(struct e1000 *n, u64 now, u64 *wake)
{
	u32 ivar = e1000_get(n, R_IVAR), eiac = e1000_get(n, R_EIAC);

	n->told &= n->icr & n->ims;
	for (unsigned i = 0; i < E1000_VECTORS; i++) {
		u32 bit = CAUSE_RXQ(0) << i, entry = ivar >> 4 * i & 15, v = entry & 7;

		if (!(n->icr & n->ims & bit) || n->told & bit || !(entry & 8) || v >= E1000_VECTORS ||
		    !may_send(n, v, e1000_get(n, R_EITR + 4 * v), now, wake))
			continue;
		pci_msix_send(&n->pci, v);
		n->told |= bit;
		if (eiac & bit) {
			n->icr &= ~bit;
			n->told &= ~bit;
			if (e1000_get(n, R_CTRL_EXT) & CTRL_EXT_EIAME)
				n->ims &= ~bit;
		}
	}
}

static void settle_line(struct e1000 *n, u64 now, u64 *wake)
{
	bool want = n->icr & n->ims;

	if (want == n->line || (want && !may_send(n, 0, e1000_get(n, R_ITR), now, wake)))
		return;
	n->line = want;
	if (!want || !pci_msi_send(&n->pci))
		pci_intx(&n->pci, want);
}

void e1000_settle(struct e1000 *n)
{
	u64 now = 0, wake = UINT64_MAX;

	if (n->quiesced)
		return;
	if (n->delayed[0] | n->delayed[1] || n->icr & n->ims)
		now = clock_mono_ns();
	for (unsigned way = 0; way < 2; way++) {
		if (n->delayed[way] && due(n, way) <= now)
			release(n, way);
		wake = MIN(wake, due(n, way));
	}
	if (n->kind == E1000_82574 && pci_msix_enabled(&n->pci))
		settle_msix(n, now, &wake);
	else
		settle_line(n, now, &wake);
	loop_timer_arm(&n->irq, wake);
}

void e1000_irq_timer(void *opaque)
{
	struct e1000 *n = opaque;

	fair_lock(&n->lock);
	e1000_settle(n);
	fair_unlock(&n->lock);
}

/* A read takes all causes back; on the 82574 only if one of them is wanted, or none could be (DS 10.2.4.1). */
u32 e1000_icr_read(struct e1000 *n)
{
	u32 v = n->icr;

	if (n->kind == E1000_82540) {
		n->icr = 0;
		return v;
	}
	if (v & n->ims)
		v |= CAUSE_ASSERTED;
	if (v & CAUSE_ASSERTED || !n->ims)
		n->icr = 0;
	if (v & CAUSE_ASSERTED && e1000_get(n, R_CTRL_EXT) & CTRL_EXT_IAME)
		n->ims &= ~e1000_get(n, R_IAM);
	return v;
}

void e1000_icr_write(struct e1000 *n, u32 val)
{
	if (n->kind == E1000_82574 && n->icr & n->ims && e1000_get(n, R_CTRL_EXT) & CTRL_EXT_IAME)
		n->ims &= ~e1000_get(n, R_IAM);
	n->icr &= ~val;
}

void e1000_irq_reset(struct e1000 *n)
{
	n->icr = n->ims = n->told = 0;
	memset(n->delayed, 0, sizeof(n->delayed));
	memset(n->delay_at, 0, sizeof(n->delay_at));
	memset(n->delay_to, 0, sizeof(n->delay_to));
	memset(n->next, 0, sizeof(n->next));
}
