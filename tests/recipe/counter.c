/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * counter.c - a PCI device that counts how often its register is read: what docs/recipe-device.md makes, and what its
 * test builds in, with one line more in table.c.
 *
 *   BAR 0   0x00  counter, 4 bytes, read only: a read gives it and adds 1
 */
#include "base/state.h"
#include "device/class.h"
#include "machine/machine.h"
#include "machine/pci.h"

#include <pthread.h>

#define VENDOR 0x1b36
#define DEVICE 0x00ff
#define CLASS_REV (0xff0000 << 8 | 1) /* of no class that a driver would look for */
#define BAR_BYTES 4096

struct counter {
	struct pci_dev pci;
	u32 start;
	pthread_mutex_t lock; /* vCPUs read at the same time */
	u32 count;
};

static u64 bar_read(void *dev, u64 off, unsigned bytes)
{
	struct counter *c = dev;

	if (off || bytes != 4)
		return 0;
	pthread_mutex_lock(&c->lock);
	u32 v = c->count++;
	pthread_mutex_unlock(&c->lock);
	return v;
}

static const struct io_ops bar_ops = { .read = bar_read };

/* ---- life ---- */

static struct counter *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct counter, pci);
}

static void life_reset(struct device *d)
{
	of(d)->count = of(d)->start;
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	int r = state_section(s, "counter", of(d)->pci.devfn, 1, e);

	if (r < 0)
		return r;
	state_u32(s, &of(d)->count);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct counter *c = of(d);

	pci_dev_fini(&c->pci);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct pci_dev_ops ops = { .life = { .reset = life_reset, .state = life_state, .free = life_free } };

/* ---- the class ---- */

static int new_counter(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct counter *c = xcalloc(1, sizeof(*c));

	c->start = c->count = (u32)device_number(a, "start", 0);
	pthread_mutex_init(&c->lock, NULL);
	pci_dev_init(&c->pci, &ops, "counter", VENDOR, DEVICE, CLASS_REV);
	pci_add_bar(&c->pci, 0, BAR_BYTES, false, &bar_ops, c);
	int r = pci_register(machine_pci(m), &c->pci, a->slot);
	if (r < 0) {
		life_free(&c->pci.dev);
		return err_sys(e, -r, "cannot put a counter on the PCI bus");
	}
	*out = &c->pci.dev;
	return 0;
}

static const struct device_param params[] = {
	{ "start", "N", N_("what it begins with; default 0"), DEVICE_NUMBER, 0, UINT32_MAX },
	{ NULL },
};

const struct device_class counter_device_class = {
	.name = "counter",
	.help = N_("counts how often it is read"),
	.params = params,
	.new = new_counter,
};
