/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmgenid.c - the generation of a VM (Microsoft, "Virtual Machine Generation ID", 2012): 128 random bits in guest
 * memory that are others after the VM went on from a saved state, which may have been gone on from before. Whoever
 * draws random numbers or counts transactions looks there: Linux (vmgenid) stirs its random numbers, Windows' directory
 * service its invocation ids.
 *
 * The bits lie in a page that the guest cannot write, at LAYOUT_GENERATION, as its ACPI device's ADDR says (acpi.c); a
 * change is told by a general-purpose event. A reset changes nothing: nobody has been copied.
 */
#include "base/ram.h"
#include "base/state.h"
#include "device/class.h"
#include "machine/layout.h"
#include "machine/machine.h"

#include <sys/random.h>

#define ID_BYTES 16

struct generation {
	struct device dev;
	struct machine *m;
	struct ram *ram;
	u64 off; /* of its page */
	bool loaded;
};

static struct generation *of(struct device *d)
{
	return container_of(d, struct generation, dev);
}

static void draw(struct generation *g)
{
	/* So few bytes come whole, once the host has any; before, it waits (getrandom(2)). */
	while (getrandom(g->ram->host + g->off, ID_BYTES, 0) != ID_BYTES)
		must(errno == EINTR);
	ram_wrote_at(g->ram, g->off, ID_BYTES);
}

/* The page is in the file with all of guest memory (`ram`), and still the old one while it is read. */
static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct generation *g = of(d);
	int r = state_section(s, "vmgenid", 0, 1, e);

	if (r < 0)
		return r;
	g->loaded = state_loading(s);
	return state_end(s, e);
}

static void life_resume(struct device *d)
{
	struct generation *g = of(d);

	if (!g->loaded)
		return;
	g->loaded = false;
	draw(g);
	machine_gpe(g->m, LAYOUT_GPE_GENERATION);
}

static void life_free(struct device *d)
{
	free(of(d));
}

static const struct device_ops ops = { .resume = life_resume, .state = life_state, .free = life_free };

static int new_generation(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct generation *g = xcalloc(1, sizeof(*g));
	int r;

	g->m = m;
	g->ram = machine_ram(m);
	g->dev = (struct device){ .ops = &ops, .name = "vmgenid" };
	if ((r = ram_take(g->ram, PAGE_BYTES, &g->off, e)) < 0) {
		free(g);
		return r;
	}
	const struct ram_extent page = { "vmgenid", LAYOUT_GENERATION, PAGE_BYTES, g->off, true };
	if ((r = ram_add(g->ram, &page, e)) < 0 || (r = ram_commit(g->ram, e)) < 0) {
		free(g);
		return r;
	}
	draw(g);
	machine_use(m, MACHINE_GENERATION);
	machine_add_device(m, &g->dev);
	*out = &g->dev;
	return 0;
}

const struct device_class vmgenid_device_class = {
	.name = "vmgenid",
	.help = N_("tells the guest when it goes on from a saved state (Linux: vmgenid)"),
	.new = new_generation,
};
