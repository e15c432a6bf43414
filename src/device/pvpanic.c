/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pvpanic.c - a guest's kernel says that it has failed (QEMU's docs/specs/pvpanic, the PCI form; Linux has a driver for
 * it, pvpanic-pci, and so have other systems).
 *
 *   BAR 0   0x00  1 byte. Read: which of the bits below are understood. Write: what has happened; other bits are
 *                 ignored
 *                   bit 0  the kernel panicked
 *                   bit 1  the kernel panicked, and one that was loaded for crashes takes over
 *
 * There is nothing to remember: no reset, no section in a saved state. What becomes of the guest is not decided here:
 * who listens at the control socket may end or reset it, or save it to look at.
 */
#include "base/log.h"
#include "device/class.h"
#include "machine/machine.h"
#include "machine/pci.h"

#define VENDOR 0x1b36
#define DEVICE 0x0011
#define CLASS_REV (0x088000 << 8 | 1) /* base system peripheral, other */
#define BAR_BYTES 4096                /* nothing else in its page */

#define PANICKED (1u << 0)
#define CRASH_LOADED (1u << 1)

struct pvpanic {
	struct pci_dev pci;
	struct device_listener listener;
};

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	return off == 0 ? PANICKED | CRASH_LOADED : 0;
}

static void bar_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct pvpanic *p = dev;

	if (off)
		return;
	if (val & PANICKED) {
		log_guest("pvpanic: the guest's kernel panicked");
		device_tell(&p->listener, DEVICE_PANICKED);
	}
	if (val & CRASH_LOADED) {
		log_guest("pvpanic: the guest's kernel panicked, and its kernel for crashes takes over");
		device_tell(&p->listener, DEVICE_CRASH_LOADED);
	}
}

static const struct io_ops bar_ops = { .read = bar_read, .write = bar_write, .max_bytes = 1 };

/* ---- life ---- */

static void life_free(struct device *d)
{
	struct pvpanic *p = container_of(pci_dev_of(d), struct pvpanic, pci);

	pci_dev_fini(&p->pci);
	free(p);
}

static const struct pci_dev_ops ops = { .life = { .free = life_free } };

/* ---- the class ---- */

static int new_pvpanic(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct pvpanic *p = xcalloc(1, sizeof(*p));

	p->listener = a->listener;
	pci_dev_init(&p->pci, &ops, "pvpanic", VENDOR, DEVICE, CLASS_REV);
	pci_add_bar(&p->pci, 0, BAR_BYTES, false, &bar_ops, p);
	int r = pci_register(machine_pci(m), &p->pci, a->slot);
	if (r < 0) {
		life_free(&p->pci.dev);
		return err_sys(e, -r, "cannot put %s on the PCI bus (slot %d)", "pvpanic", a->slot);
	}
	*out = &p->pci.dev;
	return 0;
}

const struct device_class pvpanic_device_class = {
	.pci = true,
	.name = "pvpanic",
	.help = N_("tells the control socket when the guest's kernel panics"),
	.new = new_pvpanic,
};
