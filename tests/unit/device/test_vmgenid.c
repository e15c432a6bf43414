/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_vmgenid.c - a VM's generation: where it lies, that nobody changes it, that loading a state does, with an event.
 */
#include "base/loop.h"
#include "base/state.h"
#include "device/class.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

extern const struct device_class vmgenid_device_class;

static struct ram *ram;
static struct loop *loop;
static struct machine *m;
static struct device *dev;

static int up(void **state)
{
	const struct device_args a = { .id = "vmgenid0", .slot = -1 };

	assert_int_equal(ram_new_with_room(&ram, 2 * MIB, MEMORY_ROOM, NULL), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	struct machine_config mc = { .ram = ram, .loop = loop, .ncpus = 1 };
	assert_int_equal(machine_new(&m, &mc, NULL), 0);
	return vmgenid_device_class.new(&dev, m, &a, NULL);
}

static int down(void **state)
{
	machine_free(m);
	loop_free(loop);
	ram_free(ram);
	return 0;
}

static void read_id(u8 id[16])
{
	assert_int_equal(ram_get(ram, LAYOUT_GENERATION, id, 16), 0);
}

static u32 events(void)
{
	return bus_pio_read(machine_bus(m), LAYOUT_ACPI_PM + 0x20, 4);
}

static void stays(void **state)
{
	u8 was[16], now[16], none[16] = { 0 };

	read_id(was);
	assert_memory_not_equal(was, none, 16);
	assert_null(ram_ptr(ram, LAYOUT_GENERATION, 16)); /* not to be written */
	machine_quiesce(m);
	machine_resume(m); /* saved, and goes on */
	machine_reset(m);
	read_id(now);
	assert_memory_equal(was, now, 16);
	assert_int_equal(events(), 0);
}

static void changes(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	u8 was[16], now[16];

	read_id(was);
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(device_state(dev, s, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(device_state(dev, s, NULL), 0);
	state_free(s);
	close(fd);
	read_id(now);
	assert_memory_equal(was, now, 16); /* not before it goes on */
	machine_resume(m);
	read_id(now);
	assert_memory_not_equal(was, now, 16);
	assert_int_equal(events(), 1u << LAYOUT_GPE_GENERATION);
	machine_resume(m); /* once */
	read_id(was);
	assert_memory_equal(was, now, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stays, up, down),
		cmocka_unit_test_setup_teardown(changes, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
