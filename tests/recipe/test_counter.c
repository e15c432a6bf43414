/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_counter.c - the device of docs/recipe-device.md, from its name to its registers, as a guest's driver sees it. */
#include "base/state.h"
#include "machine/machine.h"
#include "machine/pci.h"
#include "vmm/device_plan.h"

#include "unit/machine/pci_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

static struct ram *ram;
static struct loop *loop;
static struct machine *m;
static struct device *dev;

/* As mica-vmm does it: the configuration is text, the class is found by its name. */
static int make(const char *config, struct err *e)
{
	struct vmm_config c;
	struct vmm_planned *plan;
	unsigned n;
	json_t *j = json_loads(config, 0, NULL);
	int r = vmm_config_from_json(&c, j, e);

	json_decref(j);
	if (r == 0 && (r = vmm_device_plan(&plan, &n, &c, e)) == 0) {
		const struct vmm_planned *p = &plan[n - 1];
		struct device_args a = { .id = p->id, .slot = 5, .params = p->params, .nparams = p->nparams };
		assert_string_equal(p->cls->name, "counter");
		assert_string_equal(p->id, "counter0");
		r = p->cls->new (&dev, m, &a, e);
		free(plan);
	}
	vmm_config_fini(&c);
	return r;
}

/* The driver: find it, read it. */
static u32 driver_read(void)
{
	assert_int_equal(cfg_get(machine_bus(m), 5, 0, 4), 0x00ff1b36);
	return (u32)bus_mmio_read(machine_bus(m), cfg_bar(machine_bus(m), 5, 0), 4);
}

static int up(void **state)
{
	struct err e;

	assert_int_equal(ram_new(&ram, 1 * MIB, &e), 0);
	assert_int_equal(loop_new(&loop, &e), 0);
	struct machine_config mc = { .ram = ram, .loop = loop, .ncpus = 1 };
	assert_int_equal(machine_new(&m, &mc, &e), 0);
	if (make("{\"kernel\":\"/k\",\"devices\":[{\"class\":\"counter\",\"params\":[\"start=7\"]}]}", &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(pci_bus_assign(machine_pci(m)), 0);
	return 0;
}

static int down(void **state)
{
	machine_free(m); /* and the counter */
	loop_free(loop);
	ram_free(ram);
	return 0;
}

static void counts(void **state)
{
	for (u32 i = 7; i < 20; i++)
		assert_int_equal(driver_read(), i);
	/* Other widths and places do not count, and writes are lost. */
	u64 bar = cfg_bar(machine_bus(m), 5, 0);
	assert_int_equal(bus_mmio_read(machine_bus(m), bar, 1), 0);
	assert_int_equal(bus_mmio_read(machine_bus(m), bar + 4, 4), 0);
	bus_mmio_write(machine_bus(m), bar, 4, 1);
	assert_int_equal(driver_read(), 20);
}

static void lives(void **state)
{
	struct state_file *s;
	struct err e;
	int fd = memfd_create("state", MFD_CLOEXEC);

	driver_read();
	driver_read();
	assert_true(machine_quiesce(m));
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	assert_int_equal(machine_state(m, s, &e), 0);
	state_free(s);
	machine_resume(m);
	machine_reset(m);
	assert_int_equal(pci_bus_assign(machine_pci(m)), 0);
	assert_int_equal(driver_read(), 7);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, &e), 0);
	if (machine_state(m, s, &e) < 0)
		fail_msg("%s", e.msg);
	state_free(s);
	close(fd);
	assert_int_equal(driver_read(), 9);
	pci_unplug(pci_dev_of(dev));
	assert_int_equal(cfg_get(machine_bus(m), 5, 0, 4), 0xffffffff);
}

static void refuses(void **state)
{
	struct err e;

	assert_int_equal(make("{\"kernel\":\"/k\",\"devices\":[{\"class\":\"counter\",\"params\":[\"start=x\"]}]}", &e),
			 -EINVAL);
	assert_string_equal(e.msg, "device: start=x: write a number from 0 to 4294967295");
	assert_int_equal(make("{\"kernel\":\"/k\",\"devices\":[{\"class\":\"counter\"}]}", &e),
			 -EBUSY); /* the slot is */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counts, up, down),
		cmocka_unit_test_setup_teardown(lives, up, down),
		cmocka_unit_test_setup_teardown(refuses, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
