/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * board_state.c - the board in a saved state: devices, PCI configuration space, chips, struct board_state.
 *
 * Devices come before the chips, whose inputs they may still move while they are loaded.
 */
#include "machine/board_state.h"

#include "machine/acpi_pm.h"
#include "machine/board_int.h"
#include "machine/firmware.h"
#include "machine/ioapic.h"
#include "machine/lapic.h"
#include "machine/lpc.h"
#include "machine/pci.h"
#include "machine/pic.h"
#include "machine/pit.h"
#include "machine/pv.h"
#include "machine/reset_ports.h"
#include "machine/rtc.h"

static void u32s(struct state_file *s, u32 *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		state_u32(s, &v[i]);
}

static int lapic_section(struct state_file *s, unsigned index, struct lapic_state *l, struct err *e)
{
	int r = state_section(s, "lapic", index, 1, e);

	if (r < 0)
		return r;
	state_u64(s, &l->base);
	state_u32(s, &l->tpr);
	state_u32(s, &l->ldr);
	state_u32(s, &l->dfr);
	state_u32(s, &l->svr);
	state_u32(s, &l->icr_lo);
	state_u32(s, &l->icr_hi);
	state_u32(s, &l->esr);
	state_u32(s, &l->esr_new);
	u32s(s, l->lvt, BOARD_LVTS);
	u32s(s, l->irr, 8);
	u32s(s, l->isr, 8);
	u32s(s, l->tmr, 8);
	state_u32(s, &l->timer_init);
	state_u32(s, &l->timer_divide);
	state_u64(s, &l->timer_left_ns);
	state_u64(s, &l->tsc_deadline);
	return state_end(s, e);
}

static int ioapic_section(struct state_file *s, struct ioapic_state *io, struct err *e)
{
	int r = state_section(s, "ioapic", 0, 1, e);

	if (r < 0)
		return r;
	state_u8(s, &io->select);
	state_u32(s, &io->id);
	for (unsigned i = 0; i < BOARD_IOAPIC_PINS; i++)
		state_u64(s, &io->rte[i]);
	state_u32(s, &io->pins);
	return state_end(s, e);
}

static int pic_section(struct state_file *s, struct pic_state pic[2], struct err *e)
{
	int r = state_section(s, "pic", 0, 1, e);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < 2; i++) {
		struct pic_state *p = &pic[i];

		state_u8(s, &p->lines);
		state_u8(s, &p->irr);
		state_u8(s, &p->imr);
		state_u8(s, &p->isr);
		state_u8(s, &p->elcr);
		state_u8(s, &p->base);
		state_u8(s, &p->lowest);
		state_u8(s, &p->init);
		state_bool(s, &p->icw4);
		state_bool(s, &p->single);
		state_bool(s, &p->auto_eoi);
		state_bool(s, &p->rotate_aeoi);
		state_bool(s, &p->nested);
		state_bool(s, &p->special_mask);
		state_bool(s, &p->read_isr);
		state_bool(s, &p->poll);
	}
	return state_end(s, e);
}

static int pit_section(struct state_file *s, struct pit_state *p, struct err *e)
{
	int r = state_section(s, "pit", 0, 1, e);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < 3; i++) {
		struct pit_channel_state *c = &p->ch[i];

		state_u8(s, &c->mode);
		state_u8(s, &c->access);
		state_bool(s, &c->bcd);
		state_bool(s, &c->gate);
		state_bool(s, &c->loaded);
		state_bool(s, &c->started);
		state_u32(s, &c->reload);
		state_u64(s, &c->ran_ns);
		state_u64(s, &c->held_ns);
		state_u64(s, &c->ticks_out);
		state_bool(s, &c->write_high);
		state_bool(s, &c->read_high);
		state_u8(s, &c->write_low);
		state_u8(s, &c->latched);
		state_u16(s, &c->latch);
		state_bool(s, &c->status_latched);
		state_u8(s, &c->status);
	}
	state_u8(s, &p->speaker);
	return state_end(s, e);
}

static int pvclock_section(struct state_file *s, unsigned ncpus, struct pvclock_state *p, struct err *e)
{
	int r = state_section(s, "pvclock", 0, 2, e);

	if (r < 0)
		return r;
	state_u64(s, &p->clock_ns);
	state_u64(s, &p->tsc);
	state_u32(s, &p->tsc_khz);
	state_u64(s, &p->wall_clock);
	for (unsigned i = 0; i < ncpus; i++)
		state_u64(s, &p->system_time[i]);
	for (unsigned i = 0; i < ncpus && state_version(s) >= 2; i++)
		state_u64(s, &p->steal_time[i]);
	return state_end(s, e);
}

int board_state_sections(struct state_file *s, struct board_state *b, struct err *e)
{
	int r;

	must(b->ncpus >= 1 && b->ncpus <= CPU_MAX);
	if ((r = pic_section(s, b->pic, e)) < 0 || (r = ioapic_section(s, &b->ioapic, e)) < 0 ||
	    (r = pit_section(s, &b->pit, e)) < 0 || (r = pvclock_section(s, b->ncpus, &b->pv, e)) < 0)
		return r;
	for (unsigned i = 0; i < b->ncpus; i++)
		if ((r = lapic_section(s, i, &b->lapic[i], e)) < 0)
			return r;
	return 0;
}

/* ---- the chips, wherever they are ---- */

static void get_board(struct machine *m, struct board_state *b)
{
	pic_get_state(m->pic, b->pic);
	ioapic_get_state(m->ioapic, &b->ioapic);
	pit_get_state(m->pit, &b->pit);
	if (!lapic_in_engine(m->lapics)) {
		pv_get_state(m->pv, &b->pv);
		for (unsigned i = 0; i < b->ncpus; i++)
			lapic_get_state(m->lapics, i, &b->lapic[i]);
	}
	if (m->vm)
		cpu_vm_get_board(m->vm, b);
}

/* The 8259s before the local APICs, which hear of their output; local APICs last: what moved on the way is gone. */
static int set_board(struct machine *m, const struct board_state *b, struct err *e)
{
	if (!m->vm || !cpu_vm_has_chips(m->vm)) {
		pit_set_state(m->pit, &b->pit);
		ioapic_set_state(m->ioapic, &b->ioapic);
		pic_set_state(m->pic, b->pic);
	}
	/* An engine with local APICs has the clock as well. */
	if (!lapic_in_engine(m->lapics)) {
		pv_set_state(m->pv, &b->pv);
		for (unsigned i = 0; i < b->ncpus; i++)
			lapic_set_state(m->lapics, i, &b->lapic[i]);
	}
	return m->vm ? cpu_vm_set_board(m->vm, b, e) : 0;
}

static int chip_sections(struct machine *m, struct state_file *s, struct err *e)
{
	int r = state_section(s, "rtc", 0, 1, e);

	if (r < 0)
		return r;
	rtc_state(m->rtc, s);
	if ((r = state_end(s, e)) < 0 || (r = state_section(s, "acpi-pm", 0, 1, e)) < 0)
		return r;
	acpi_pm_state(m->acpi, s);
	if ((r = state_end(s, e)) < 0 || (r = state_section(s, "reset", 0, 1, e)) < 0)
		return r;
	reset_state(m->reset, s);
	return state_end(s, e);
}

int machine_state(struct machine *m, struct state_file *s, struct err *e)
{
	auto_free struct board_state *b = xcalloc(1, sizeof(*b));
	int r = m->pci ? pci_bus_devices_state(m->pci, s, e) : 0;

	for (struct device *d = m->devices; r == 0 && d; d = d->next)
		r = device_state(d, s, e);
	if (r == 0 && m->pci)
		r = pci_bus_state(m->pci, s, e);
	if (r == 0 && m->firmware)
		r = firmware_state(m->firmware, s, e);
	if (r == 0 && state_loading(s))
		r = ram_commit(m->cfg.ram, e); /* what BARs show, and what else moved memory */
	if (r == 0) {
		if (m->lpc)
			lpc_loaded(m->lpc);
		r = chip_sections(m, s, e);
	}
	if (r < 0)
		return r;
	b->ncpus = m->cfg.ncpus;
	if (!state_loading(s))
		get_board(m, b);
	r = board_state_sections(s, b, e);
	return r == 0 && state_loading(s) ? set_board(m, b, e) : r;
}

int machine_board_section(struct state_file *s, enum machine_kind kind, struct err *e)
{
	static const struct state_kind section = { "board", 1, 0, "it is version 1" };
	const struct board_kind *k = board_kind(kind);
	char name[16];
	u32 version = k->version;
	int r = state_section_of(s, &section, 0, e);

	snprintf(name, sizeof(name), "%s", k->saved);

	if (r > 0 && kind != MACHINE_Q35)
		return err_set(e, EINVAL, "the VM was saved on another board: it is --machine q35");
	if (r)
		return MIN(r, 0);
	state_text(s, name, sizeof(name));
	state_u32(s, &version);
	if ((r = state_end(s, e)) < 0)
		return r;
	if (strcmp(name, k->saved) || !version || version > k->version)
		return err_set(
		    e, EPROTONOSUPPORT,
		    "the VM was saved on board '%s' version %u; this version of Mica has '%s' up to %u; use the "
		    "version that saved it",
		    name, version, k->saved, k->version);
	return 0;
}
