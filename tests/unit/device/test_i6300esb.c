/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_i6300esb.c - a watchdog, as a driver uses it: both stages, reloads, what is locked, saved while it counts. */
#include "base/clock.h"
#include "base/loop.h"
#include "base/state.h"
#include "device/i6300esb.h"
#include "unit/machine/pci_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

extern const struct device_class i6300esb_device_class;

static struct pci_rig rig;
static struct loop *loop;
static struct loop_timer timer;
static struct device *dev;
static unsigned expired;
static u32 regs;

static void stop(void *opaque)
{
	loop_stop(loop);
}

static void spin(unsigned ms)
{
	loop_timer_arm(&timer, clock_mono_ns() + ms * 1000000ull);
	loop_run(loop);
}

static void on_expired(void *opaque)
{
	assert_ptr_equal(opaque, &expired);
	expired++;
}

static int up(void **state)
{
	expired = 0;
	assert_int_equal(loop_new(&loop, NULL), 0);
	loop_timer_init(loop, &timer, stop, NULL);
	pci_rig_up(&rig);
	assert_int_equal(i6300esb_new(&dev, rig.pci, loop, on_expired, &expired, -1, NULL), 0);
	assert_int_equal(pci_bus_assign(rig.pci), 0);
	regs = cfg_bar(rig.bus, 1, 0);
	return 0;
}

static int down(void **state)
{
	pci_rig_down(&rig);
	loop_timer_fini(&timer);
	loop_free(loop);
	return 0;
}

static void put(unsigned reg, unsigned bytes, u32 v)
{
	bus_mmio_write(rig.bus, regs + 0xc, 2, 0x80);
	bus_mmio_write(rig.bus, regs + 0xc, 2, 0x86);
	bus_mmio_write(rig.bus, regs + reg, bytes, v);
}

static u32 get(unsigned reg)
{
	return (u32)bus_mmio_read(rig.bus, regs + reg, 4);
}

/* Each stage so many milliseconds. */
static void begin(u32 ms, u16 config, u8 lock)
{
	cfg_put(rig.bus, 1, 0x60, 2, config);
	put(0, 4, ms);
	put(4, 4, ms);
	put(0xc, 2, 0x100);
	cfg_put(rig.bus, 1, 0x68, 1, lock);
}

static void registers(void **state)
{
	assert_int_equal(cfg_get(rig.bus, 1, 0, 4), 0x25ab8086);
	assert_int_equal(get(0), 0xfffff);
	bus_mmio_write(rig.bus, regs, 4, 5); /* not unlocked */
	assert_int_equal(get(0), 0xfffff);
	put(0, 4, 0xff00005);
	assert_int_equal(get(0), 5);
	bus_mmio_write(rig.bus, regs, 4, 6); /* once for each */
	assert_int_equal(get(0), 5);
	bus_mmio_write(rig.bus, regs + 0xc, 2, 0x86); /* in the wrong order */
	bus_mmio_write(rig.bus, regs + 0xc, 2, 0x80);
	bus_mmio_write(rig.bus, regs, 4, 6);
	assert_int_equal(get(0), 5);
}

static void two_stages(void **state)
{
	begin(20, 0, 2);
	for (unsigned i = 0; i < 5; i++) {
		spin(10);
		put(0xc, 2, 0x100);
	}
	u64 since = clock_mono_ns();
	while (!rig.wire_level)
		spin(1);
	assert_int_equal(get(8), 1);
	assert_true(clock_mono_ns() - since < 3 * NSEC_PER_SEC);
	bus_mmio_write(rig.bus, regs + 8, 4, 1);
	assert_false(rig.wire_level);
	while (!expired)
		spin(1);
	assert_true(clock_mono_ns() - since >= 38000000);
	assert_int_equal(get(0xc), 0x200);
	pci_bus_reset(rig.pci); /* it tells the next boot what happened */
	assert_int_equal(pci_bus_assign(rig.pci), 0);
	assert_int_equal(get(0xc), 0x200);
	put(0xc, 2, 0x200);
	assert_int_equal(get(0xc), 0);
	spin(60);
	assert_int_equal(expired, 1);
}

static void stopped_or_silent(void **state)
{
	begin(10, 3, 2);
	cfg_put(rig.bus, 1, 0x68, 1, 0);
	spin(40);
	assert_int_equal(expired, 0);
	begin(10, 3 | 0x20, 2); /* no output */
	spin(60);
	assert_int_equal(expired, 0);
	assert_int_equal(rig.nwire, 0);
	assert_int_equal(get(0xc), 0x200);
	cfg_put(rig.bus, 1, 0x68, 1, 0);
	begin(10, 3, 4 | 2); /* it runs free */
	spin(60);
	assert_int_equal(expired, 0);
	begin(10, 3, 1 | 2);
	cfg_put(rig.bus, 1, 0x68, 1, 0); /* locked */
	cfg_put(rig.bus, 1, 0x60, 2, 0x23);
	assert_int_equal(cfg_get(rig.bus, 1, 0x68, 1), 3);
	assert_int_equal(cfg_get(rig.bus, 1, 0x60, 2), 3);
	while (!expired)
		spin(1);
}

static void saved(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;

	begin(25, 3, 2);
	assert_true(pci_bus_quiesce(rig.pci));
	spin(80); /* time stands still */
	assert_int_equal(expired, 0);
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(rig.pci, s, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	device_reset(dev);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(rig.pci, s, NULL), 0);
	state_free(s);
	close(fd);
	u64 since = clock_mono_ns();
	pci_bus_resume(rig.pci);
	while (!expired)
		spin(1);
	assert_true(clock_mono_ns() - since >= 25000000);
}

static void wrong_action(void **state)
{
	static const char *const p[] = { "action=explode" };
	const struct device_args a = { .id = "w", .slot = -1, .params = p, .nparams = 1 };
	struct device *d;
	struct err e;

	assert_int_equal(i6300esb_device_class.new(&d, NULL, &a, &e), -EINVAL);
	assert_string_equal(e.msg, "i6300esb: action=explode: it is reset, poweroff, nmi, pause or none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(registers, up, down),
		cmocka_unit_test_setup_teardown(two_stages, up, down),
		cmocka_unit_test_setup_teardown(stopped_or_silent, up, down),
		cmocka_unit_test_setup_teardown(saved, up, down),
		cmocka_unit_test_setup_teardown(wrong_action, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
