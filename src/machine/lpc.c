/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lpc.c - see lpc.h. */
#include "machine/lpc.h"

#include "cpu/board_state.h"
#include "machine/layout.h"
#include "machine/pci_internal.h"

#define ROUTE_OFF 0x80
#define PMBASE 0x40    /* bit 0: an I/O address */
#define ACPI_CNTL 0x44 /* bit 7: decoded; bits 0-2: the SCI's line, 0 is 9 */

_Static_assert((BOARD_ELCR >> 10 & BOARD_ELCR >> 11 & BOARD_ELCR >> LAYOUT_GSI_SCI & 1) == 1,
	       "what firmware steers to is level-triggered");

struct lpc {
	struct pci_dev dev;
	void (*line)(void *opaque, unsigned irq, bool level);
	void *opaque;
	pthread_mutex_t lock; /* guards what follows; after the bus's config lock */
	u8 wires;             /* as driven now, a bit each */
	u16 own, out;         /* lines: as their own devices drive them; as line() was told */
	u8 route[BOARD_WIRES_MAX];
	const struct board_kind *kind;
};

bool lpc_shares(unsigned irq)
{
	return irq < 16 && (0xdef8 >> irq & 1);
}

/* again: a line whose level is told even if it is the same, as after a saved state was loaded. */
static void refresh_locked(struct lpc *l, u16 again)
{
	u16 want = l->own;

	for (unsigned w = 0; w < l->kind->wires; w++)
		if (l->wires >> w & 1 && !(l->route[w] & ROUTE_OFF) && lpc_shares(l->route[w]))
			want |= (u16)(1u << l->route[w]);
	u16 changed = (want ^ l->out) | again;
	l->out = want;
	for (unsigned irq = 0; changed; irq++, changed >>= 1)
		if (changed & 1)
			l->line(l->opaque, irq, want >> irq & 1);
}

void lpc_wire(struct lpc *l, unsigned wire, bool level)
{
	pthread_mutex_lock(&l->lock);
	l->wires = (u8)(level ? l->wires | 1u << wire : l->wires & ~(1u << wire));
	refresh_locked(l, 0);
	pthread_mutex_unlock(&l->lock);
}

void lpc_line(struct lpc *l, unsigned irq, bool level)
{
	must(lpc_shares(irq));
	pthread_mutex_lock(&l->lock);
	l->own = (u16)(level ? l->own | 1u << irq : l->own & ~(1u << irq));
	refresh_locked(l, (u16)(1u << irq));
	pthread_mutex_unlock(&l->lock);
}

/* ---- config space ---- */

void lpc_loaded(struct lpc *l)
{
	pthread_mutex_lock(&l->lock);
	for (unsigned w = 0; w < l->kind->wires; w++)
		l->route[w] = l->dev.cfg[LPC_ROUTE(w)];
	refresh_locked(l, 0);
	pthread_mutex_unlock(&l->lock);
}

static void cfg_written(struct pci_dev *d, unsigned off, unsigned bytes)
{
	struct lpc *l = container_of(d, struct lpc, dev);

	if (off < LPC_ROUTE(l->kind->wires) && off + bytes > LPC_ROUTE(0))
		lpc_loaded(l);
}

static const struct pci_dev_ops ops = { .cfg_written = cfg_written };

void lpc_reset(struct lpc *l)
{
	for (unsigned w = 0; w < l->kind->wires; w++)
		l->dev.cfg[LPC_ROUTE(w)] = ROUTE_OFF;
	lpc_loaded(l);
}

void lpc_has_firmware(struct lpc *l)
{
	_Static_assert(LAYOUT_GSI_SCI == 9, "as ACPI_CNTL says");
	if (l->kind->isa_more) /* the PIIX has a function of its own for that */
		return;
	st_le32(l->dev.cfg + PMBASE, LAYOUT_ACPI_PM | 1);
	l->dev.cfg[ACPI_CNTL] = 0x80;
}

void lpc_set_routes(struct lpc *l)
{
	for (unsigned w = 0; w < l->kind->wires; w++)
		l->dev.cfg[LPC_ROUTE(w)] = l->kind->irq[w];
	lpc_loaded(l);
}

int lpc_new(struct lpc **out, struct pci_bus *pci, void (*line)(void *opaque, unsigned irq, bool level), void *opaque)
{
	struct lpc *l = xcalloc(1, sizeof(*l));

	l->kind = pci->kind;
	l->line = line;
	l->opaque = opaque;
	pthread_mutex_init(&l->lock, NULL);
	pci_dev_init(&l->dev, &ops, "lpc", 0x8086, l->kind->isa_id, 0x060100 << 8);
	if (l->kind->isa_more)
		l->dev.cfg[PCI_HEADER] = PCI_HEADER_MORE;
	l->dev.cfg[PCI_INT_PIN] = 0;
	for (unsigned w = 0; w < l->kind->wires; w++)
		l->dev.wmask[LPC_ROUTE(w)] = 0x8f;
	lpc_reset(l);
	int rc = pci_register(pci, &l->dev, l->kind->isa_slot);
	if (rc < 0) {
		lpc_free(l);
		return rc;
	}
	*out = l;
	return 0;
}

void lpc_free(struct lpc *l)
{
	if (!l)
		return;
	pci_dev_fini(&l->dev);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
