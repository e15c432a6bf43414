/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * debugcon.c - the debug port of firmware: bytes written to port 402h are lines of text for a person. Firmware looks
 * whether reading gives E9h before it writes there.
 *
 * Lines go to the log, printable characters only. Whoever adds the device asks for them, so they are not limited as
 * other lines of a guest's are, but in all: after TOTAL_MAX bytes the port takes what comes in silence.
 */
#include "base/log.h"
#include "device/class.h"
#include "machine/layout.h"
#include "machine/machine.h"

#include <pthread.h>

#define LINE_MAX_BYTES 160
#define TOTAL_MAX (1 * MIB)
#define READBACK 0xe9

struct debugcon {
	struct device dev;
	struct bus *bus;
	struct io_region region;
	pthread_mutex_t lock; /* guards what follows */
	char line[LINE_MAX_BYTES + 1];
	unsigned n;
	u64 total;
};

static void put_locked(struct debugcon *d, u8 c)
{
	if (d->total == TOTAL_MAX)
		return;
	if (c != '\n' && c != '\r')
		d->line[d->n++] = c >= ' ' && c < 0x7f ? (char)c : '.';
	if ((c == '\n' && d->n) || d->n == LINE_MAX_BYTES) {
		d->line[d->n] = '\0';
		log_warn("%s: %s", d->dev.id, d->line);
		d->n = 0;
	}
	if (++d->total == TOTAL_MAX)
		log_warn("%s: that was 1 MiB; what follows is not shown", d->dev.id);
}

static u64 port_read(void *dev, u64 off, unsigned bytes)
{
	(void)dev, (void)off, (void)bytes;
	return READBACK;
}

static void port_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct debugcon *d = dev;

	(void)off, (void)bytes;
	pthread_mutex_lock(&d->lock);
	put_locked(d, (u8)val);
	pthread_mutex_unlock(&d->lock);
}

static const struct io_ops ops = { .read = port_read, .write = port_write, .max_bytes = 1 };

static struct debugcon *of(struct device *d)
{
	return container_of(d, struct debugcon, dev);
}

static void life_reset(struct device *dev)
{
	struct debugcon *d = of(dev);

	pthread_mutex_lock(&d->lock);
	d->n = 0;
	pthread_mutex_unlock(&d->lock);
}

static void life_free(struct device *dev)
{
	struct debugcon *d = of(dev);

	bus_unmap_pio(d->bus, &d->region);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* Half a line is no state that a guest would miss. */
static const struct device_ops life = { .reset = life_reset, .free = life_free };

static int new_debugcon(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct debugcon *d = xcalloc(1, sizeof(*d));
	u16 port = (u16)device_number(a, "port", LAYOUT_DEBUGCON);

	pthread_mutex_init(&d->lock, NULL);
	d->dev.ops = &life;
	d->dev.name = "isa-debugcon";
	d->bus = machine_bus(m);
	d->region = (struct io_region){ .ops = &ops, .dev = d, .name = "debugcon" };
	int r = bus_map_pio(d->bus, &d->region, port, 1);
	if (r < 0) {
		pthread_mutex_destroy(&d->lock);
		free(d);
		return err_sys(e, -r, "isa-debugcon: port %#x", port);
	}
	machine_add_device(m, &d->dev);
	*out = &d->dev;
	return 0;
}

static const struct device_param params[] = {
	{ "port", "N", N_("I/O port; default 1026, 402h"), DEVICE_NUMBER, 1, 0xffff },
	{ NULL },
};

const struct device_class debugcon_device_class = {
	.name = "isa-debugcon",
	.help = N_("debug port: what firmware says is shown on standard error"),
	.params = params,
	.new = new_debugcon,
};
