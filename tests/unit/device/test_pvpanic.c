/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_pvpanic.c - a guest's panic, as a driver tells it, and what of it a listener hears. */
#include "device/class.h"
#include "machine/machine.h"
#include "unit/machine/pci_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern const struct device_class pvpanic_device_class;

static struct ram *ram;
static struct loop *loop;
static struct machine *m;
static struct device *dev;
static unsigned heard[8];

static void hear(void *opaque, enum device_news what)
{
	assert_ptr_equal(opaque, heard);
	heard[what]++;
}

static int make(bool listened)
{
	struct device_args a = { .id = "pvpanic0", .slot = 4 };
	struct err e;

	if (listened)
		a.listener = (struct device_listener){ .fn = hear, .opaque = heard };
	int r = pvpanic_device_class.new(&dev, m, &a, &e);
	if (r == 0)
		assert_int_equal(pci_bus_assign(machine_pci(m)), 0);
	return r;
}

static int up(void **state)
{
	memset(heard, 0, sizeof(heard));
	assert_int_equal(ram_new(&ram, 1 * MIB, NULL), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	struct machine_config mc = { .ram = ram, .loop = loop, .ncpus = 1 };
	return machine_new(&m, &mc, NULL);
}

static int down(void **state)
{
	machine_free(m);
	loop_free(loop);
	ram_free(ram);
	return 0;
}

/* Linux: drivers/misc/pvpanic: it reads the byte, and writes what both sides know. */
static void as_a_driver(void **state)
{
	struct bus *b = machine_bus(m);

	assert_int_equal(make(true), 0);
	assert_int_equal(cfg_get(b, 4, 0, 4), 0x00111b36);
	assert_int_equal(cfg_get(b, 4, 8, 4) >> 16, 0x0880);
	u64 bar = cfg_bar(b, 4, 0);
	assert_int_equal(bus_mmio_read(b, bar, 1), 3);
	bus_mmio_write(b, bar, 1, 1);
	assert_int_equal(heard[DEVICE_PANICKED], 1);
	assert_int_equal(heard[DEVICE_CRASH_LOADED], 0);
	bus_mmio_write(b, bar, 1, 2);
	assert_int_equal(heard[DEVICE_PANICKED], 1);
	assert_int_equal(heard[DEVICE_CRASH_LOADED], 1);
	assert_int_equal(bus_mmio_read(b, bar, 1), 3);
}

/* What is no event is none: other bits, the bytes behind, wider writes but for their first byte. */
static void nonsense(void **state)
{
	struct bus *b = machine_bus(m);

	assert_int_equal(make(true), 0);
	u64 bar = cfg_bar(b, 4, 0);
	bus_mmio_write(b, bar, 1, 0xfc);
	bus_mmio_write(b, bar + 1, 1, 3);
	bus_mmio_write(b, bar + 8, 8, ~0ull);
	bus_mmio_write(b, bar, 4, 0x03030300);
	assert_int_equal(heard[DEVICE_PANICKED] + heard[DEVICE_CRASH_LOADED], 0);
	assert_int_equal(bus_mmio_read(b, bar, 4), 3);
	bus_mmio_write(b, bar, 8, 1);
	assert_int_equal(heard[DEVICE_PANICKED], 1);
}

static void without_a_listener(void **state)
{
	assert_int_equal(make(false), 0);
	bus_mmio_write(machine_bus(m), cfg_bar(machine_bus(m), 4, 0), 1, 3);
	assert_int_equal(heard[DEVICE_PANICKED], 0);
	assert_int_equal(make(false), -EBUSY); /* the slot is */
	pci_unplug(pci_dev_of(dev));
	assert_int_equal(make(false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(as_a_driver, up, down),
		cmocka_unit_test_setup_teardown(nonsense, up, down),
		cmocka_unit_test_setup_teardown(without_a_listener, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
