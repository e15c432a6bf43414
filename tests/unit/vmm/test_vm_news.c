/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_vm_news.c - what devices say unasked becomes events: each kind, in order, and not more than some a second. */
#include "base/clock.h"
#include "vmm/vm_int.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct vm vm;
static struct device dev[2] = { { .id = "net0" }, { .id = "pvpanic0" } };
static struct vm_device devices[2];
static struct loop_timer stop;
static char said[4096];

void vm_tell(struct vm *v, const struct vm_event *ev)
{
	size_t n = strlen(said);

	if (ev->kind == VM_EVENT_NET)
		snprintf(said + n, sizeof(said) - n, "%s %s,", ev->device, ev->up ? "up" : "down");
	else
		snprintf(said + n, sizeof(said) - n, "%s %s,", ev->device, ev->why);
}

static void on_stop(void *loop)
{
	loop_stop(loop);
}

static int up(void **state)
{
	vm = (struct vm){ .devices = devices, .ndevices = 2 };
	said[0] = '\0';
	assert_int_equal(loop_new(&vm.loop, NULL), 0);
	loop_timer_init(vm.loop, &stop, on_stop, vm.loop);
	for (unsigned i = 0; i < 2; i++) {
		memset(&devices[i], 0, sizeof(devices[i]));
		devices[i].vm = &vm;
		devices[i].dev = &dev[i];
	}
	vm_news_init(&vm);
	return 0;
}

static int down(void **state)
{
	vm_news_fini(&vm);
	loop_timer_fini(&stop);
	loop_free(vm.loop);
	return 0;
}

static void spin(unsigned ms)
{
	loop_timer_arm(&stop, clock_mono_ns() + ms * 1000000ull);
	loop_run(vm.loop);
}

static unsigned count(char c)
{
	unsigned n = 0;

	for (const char *p = said; *p; p++)
		n += *p == c;
	return n;
}

static void each_kind(void **state)
{
	assert_true(vm_link_up(&devices[0]));
	vm_on_device_news(&devices[0], DEVICE_LINK);
	spin(5);
	assert_string_equal(said, "net0 down,");
	assert_false(vm_link_up(&devices[0]));
	vm_on_device_news(&devices[0], DEVICE_LINK);
	vm_on_device_news(&devices[1], DEVICE_PANICKED);
	spin(5);
	assert_string_equal(said, "net0 down,net0 up,pvpanic0 panicked,");
	vm_on_device_news(&devices[1], DEVICE_CRASH_LOADED);
	spin(5);
	assert_string_equal(said, "net0 down,net0 up,pvpanic0 panicked,pvpanic0 crash-loaded,");
	spin(5);
	assert_int_equal(count(','), 4);
}

/* Down and up before the loop looks: both are told, and that it is up at last. */
static void turns_at_once(void **state)
{
	vm_on_device_news(&devices[0], DEVICE_LINK);
	vm_on_device_news(&devices[0], DEVICE_LINK);
	spin(5);
	assert_string_equal(said, "net0 down,net0 up,");
	for (unsigned i = 0; i < 101; i++)
		vm_on_device_news(&devices[0], DEVICE_LINK);
	spin(5);
	assert_string_equal(said, "net0 down,net0 up,net0 down,");
	assert_false(vm_link_up(&devices[0]));
}

static void guests_that_never_stop(void **state)
{
	for (unsigned i = 0; i < 100; i++) {
		vm_on_device_news(&devices[1], DEVICE_PANICKED);
		vm_on_device_news(&devices[0], DEVICE_LINK);
		spin(1);
	}
	/* Eight in a second; the test may have been slow. */
	unsigned told = count(',');
	assert_true(told >= 8 && told <= 8 + 8 * 20);
	if (told <= 16)
		assert_true(told == 8 || told == 16);
	/* What waits is told once, and the link is what it is. */
	said[0] = '\0';
	spin(1100);
	assert_true(count(',') <= 3);
	assert_true(vm_link_up(&devices[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_kind, up, down),
		cmocka_unit_test_setup_teardown(turns_at_once, up, down),
		cmocka_unit_test_setup_teardown(guests_that_never_stop, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
