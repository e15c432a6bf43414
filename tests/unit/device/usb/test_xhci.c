/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_xhci.c - an xHCI controller and what is plugged in, as a driver uses them, well and badly. */
#include "xhci_driver.h"
#include "base/state.h"
#include "device/class.h"
#include "device/input/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define A 0x1eu
#define SHIFT 0x2au

static struct xd D;

static int up(void **state)
{
	xd_up(&D, XHCI_KEYBOARD | XHCI_TABLET);
	return 0;
}

static int down(void **state)
{
	xd_down(&D);
	return 0;
}

static unsigned keyboard(void)
{
	xd_start(&D);
	unsigned slot = xd_address(&D, 1);
	assert_int_equal(slot, 1);
	assert_int_equal(xd_configure(&D, slot), 1);
	return slot;
}

/* The next transfer event is of this TRB. */
static void moved(u64 at, unsigned cc, unsigned left)
{
	struct xd_event e;

	assert_true(xd_event_of(&D, 32, &e));
	assert_int_equal(e.parameter, at);
	assert_int_equal(e.status >> 24, cc);
	assert_int_equal(e.status & 0xffffff, left);
}

static void none(void)
{
	struct xd_event e;

	assert_false(xd_event_of(&D, 32, &e));
}

static void registers(void **state)
{
	assert_int_equal(cfg_get(D.rig.bus, 1, 8, 4) >> 8, 0x0c0330);
	assert_int_equal(xd_get(&D, 0), 0x01100040);
	assert_int_equal(xd_get(&D, 4) >> 24, XHCI_PORTS);
	assert_int_equal(xd_get(&D, 0x44) & 1, 1);
	assert_int_equal(xd_get(&D, 0x440) & 0x20003, 0x20001); /* connected, and it changed */
	assert_int_equal(xd_get(&D, 0x460) & 1, 0);
	assert_int_equal(bus_mmio_read(D.rig.bus, D.regs + 2, 2), 0x0110);
	assert_int_equal(bus_mmio_read(D.rig.bus, D.regs + 0x20, 8), 0x2042535502000402ull);
	xd_start(&D);
	assert_int_equal(xd_get(&D, 0x44) & 1, 0);
	assert_int_equal(xd_get(&D, 0x40), 5);
	/* The ports' changes are told at once. */
	struct xd_event e;
	assert_true(xd_event(&D, &e));
	assert_int_equal(e.control >> 10 & 63, 34);
	assert_int_equal(e.parameter, 1u << 24);
	assert_true(xd_event(&D, &e));
	assert_int_equal(e.parameter, 2u << 24);
	assert_false(xd_event(&D, &e));
	assert_int_equal(xd_command(&D, 23, 0, 0, NULL), 1);
	/* A command that there is not, a slot that there is not. */
	assert_int_equal(xd_command(&D, 60, 0, 1u << 24, NULL), 11);
	assert_int_equal(xd_command(&D, 10, 0, 200u << 24, NULL), 5);
	/* All slots, and no more. */
	unsigned slot;
	for (unsigned i = 1; i <= 8; i++) {
		assert_int_equal(xd_command(&D, 9, 0, 0, &slot), 1);
		assert_int_equal(slot, i);
	}
	assert_int_equal(xd_command(&D, 9, 0, 0, NULL), 9);
	assert_int_equal(xd_command(&D, 10, 0, 3u << 24, NULL), 1);
	assert_int_equal(xd_command(&D, 9, 0, 0, &slot), 1);
	assert_int_equal(slot, 3);
}

static void interrupts(void **state)
{
	struct xd_event e;

	xd_start(&D);
	assert_true(D.rig.wire_level); /* the ports */
	assert_true(xd_get(&D, 0x44) & 8 && xd_get(&D, 0x1020) & 1);
	xd_put(&D, 0x1020, 3);
	assert_false(D.rig.wire_level);
	assert_true(xd_get(&D, 0x1038) & 8); /* no other one before the driver has seen it */
	xd_add(&D, XD_COMMANDS, &D.commands, 0, 0, 23, 0);
	xd_put(&D, 0x2000, 0);
	assert_false(D.rig.wire_level);
	xd_put(&D, 0x1038, (XD_EVENTS + 32) | 8);
	assert_true(D.rig.wire_level);
	xd_put(&D, 0x1020, 3);
	D.events = 3;
	xd_put(&D, 0x1038, (XD_EVENTS + 48) | 8);
	assert_false(D.rig.wire_level);
	assert_false(xd_event(&D, &e));
}

static void addressed(void **state)
{
	static const u8 device[8] = { 0x80, 6, 0, 1, 0, 0, 18 }, whole[8] = { 0x80, 6, 0, 2, 0, 0, 0xff },
			report[8] = { 0x81, 6, 0, 0x22, 0, 0, 0xff }, text[8] = { 0x80, 6, 2, 3, 9, 4, 0xff },
			qualifier[8] = { 0x80, 6, 0, 6, 0, 0, 10 };
	unsigned n, slot = 0;

	xd_start(&D);
	/* An empty port, and one that was not reset. */
	assert_int_equal(xd_command(&D, 9, 0, 0, &slot), 1);
	xd_input(&D, slot, 4);
	assert_int_equal(xd_command(&D, 11, XD_INPUT, slot << 24, NULL), 4);
	xd_input(&D, slot, 1);
	assert_int_equal(xd_command(&D, 11, XD_INPUT, slot << 24, NULL), 4);
	assert_int_equal(xd_command(&D, 10, 0, slot << 24, NULL), 1);

	slot = xd_address(&D, 1);
	assert_int_equal(slot, 1);
	assert_int_equal(xd_get(&D, 0x440) & 0x3de3, 0x403); /* enabled, U0, full speed */
	assert_int_equal(ld_le32(xd_context(&D, slot, 0) + 12), 2u << 27 | slot);
	assert_int_equal(xd_context(&D, slot, 1)[0] & 7, 1);
	assert_int_equal(xd_request(&D, slot, device, &n), 1);
	assert_int_equal(n, 18);
	assert_memory_equal(xd_mem(&D, XD_BUF), "\x12\1\0\2", 4);
	assert_int_equal(xd_request(&D, slot, whole, &n), 1);
	assert_int_equal(n, 34);
	assert_int_equal(xd_mem(&D, XD_BUF)[9 + 7], 1); /* a keyboard of the boot protocol */
	unsigned report_bytes = ld_le16(xd_mem(&D, XD_BUF + 18 + 7));
	assert_int_equal(xd_request(&D, slot, report, &n), 1);
	assert_int_equal(n, report_bytes);
	assert_int_equal(xd_request(&D, slot, text, &n), 1);
	assert_memory_equal(xd_mem(&D, XD_BUF + 2), "U\0S\0B\0", 6);
	/* What it has not got: a stall, from which it recovers. */
	assert_int_equal(xd_request(&D, slot, qualifier, &n), 6);
	assert_int_equal(xd_context(&D, slot, 1)[0] & 7, 2);
	assert_int_equal(xd_request(&D, slot, device, &n), 0);
	assert_int_equal(xd_command(&D, 14, 0, slot << 24 | 1u << 16, NULL), 1);
	u64 next = XD_CONTROL + 0x1000 * slot + 16 * D.control;
	assert_int_equal(xd_command(&D, 16, next | 1, slot << 24 | 1u << 16, NULL), 1);
	assert_int_equal(ld_le64(xd_context(&D, slot, 1) + 8), next | 1);
	assert_int_equal(xd_request(&D, slot, device, &n), 1);
	assert_int_equal(xd_command(&D, 14, 0, slot << 24 | 1u << 16, NULL), 19);
	assert_int_equal(xd_command(&D, 14, 0, slot << 24 | 9u << 16, NULL), 12);
}

static void typed(void **state)
{
	static const u8 lights[8] = { 0x21, 9, 0, 2, 0, 0, 1 }, get_lights[8] = { 0xa1, 1, 0, 2, 0, 0, 1 };
	const u16 keys[] = { SHIFT | KEY_DOWN, A | KEY_DOWN, A | KEY_DOWN, A, SHIFT };
	unsigned slot;
	u64 at;

	assert_int_equal(xhci_keys(D.dev, keys, 5), -EAGAIN);
	slot = keyboard();
	assert_int_equal(ld_le32(xd_context(&D, slot, 0)) >> 27, 3);
	assert_int_equal(ld_le32(xd_context(&D, slot, 0) + 12) >> 27, 3);
	at = xd_want_report(&D, slot, 8);
	none();
	assert_int_equal(xhci_keys(D.dev, keys, 5), 0);
	moved(at, 1, 0);
	assert_memory_equal(xd_mem(&D, XD_BUF + 0x1000), "\2\0\0\0\0\0\0\0", 8);
	none();
	at = xd_want_report(&D, slot, 8);
	moved(at, 1, 0);
	assert_memory_equal(xd_mem(&D, XD_BUF + 0x1000), "\2\0\4\0\0\0\0\0", 8);
	at = xd_want_report(&D, slot, 16); /* the same key again is no news; a report ends the TD */
	moved(at, 13, 8);
	assert_memory_equal(xd_mem(&D, XD_BUF + 0x1000), "\2\0\0\0\0\0\0\0", 8);
	moved(xd_want_report(&D, slot, 8), 1, 0);
	at = xd_want_report(&D, slot, 8);
	none();
	/* Seven keys are too many. */
	const u16 seven[] = { 2 | KEY_DOWN, 3 | KEY_DOWN, 4 | KEY_DOWN, 5 | KEY_DOWN,
			      6 | KEY_DOWN, 7 | KEY_DOWN, 8 | KEY_DOWN };
	assert_int_equal(xhci_keys(D.dev, seven, 7), 0);
	moved(at, 1, 0);
	for (unsigned i = 0; i < 6; i++)
		moved(xd_want_report(&D, slot, 8), 1, 0);
	assert_memory_equal(xd_mem(&D, XD_BUF + 0x1000), "\0\0\1\1\1\1\1\1", 8);
	/* Lights go out and come back. */
	xd_mem(&D, XD_BUF)[0] = 0xe2;
	assert_int_equal(xd_request(&D, slot, lights, NULL), 1);
	xd_mem(&D, XD_BUF)[0] = 0;
	assert_int_equal(xd_request(&D, slot, get_lights, NULL), 1);
	assert_int_equal(xd_mem(&D, XD_BUF)[0], 2);
	/* Nothing is told while the port is suspended. */
	xd_put(&D, 0x440, 1u << 9 | 1u << 16 | 3u << 5);
	assert_int_equal(xhci_keys(D.dev, keys, 1), -EAGAIN);
	xd_put(&D, 0x440, 1u << 9 | 1u << 16 | 15u << 5);
	xd_put(&D, 0x440, 1u << 9 | 1u << 16);
	assert_int_equal(xd_get(&D, 0x440) >> 22 & 1, 1);
	assert_int_equal(xhci_keys(D.dev, keys, 1), 0);
}

static void pointed(void **state)
{
	xd_start(&D);
	unsigned slot = xd_address(&D, 2);
	assert_int_equal(xd_configure(&D, slot), 1);
	u64 at = xd_want_report(&D, slot, 8);
	assert_int_equal(xhci_point(D.dev, 0x1234, 0x7fff, -1, 5), 0);
	moved(at, 13, 2);
	assert_memory_equal(xd_mem(&D, XD_BUF + 0x1000), "\5\x34\x12\xff\x7f\1", 6);
	/* A report in two pieces, and an Event Data TRB behind it. */
	xd_add(&D, XD_REPORTS + 0x1000 * slot, &D.reports, XD_BUF + 0x1000, 4, 1, 1u << 4);
	xd_add(&D, XD_REPORTS + 0x1000 * slot, &D.reports, XD_BUF + 0x1004, 4, 1, 1u << 4);
	xd_add(&D, XD_REPORTS + 0x1000 * slot, &D.reports, 0xabcdef, 0, 7, 1u << 5);
	xd_put(&D, 0x2000 + 4 * slot, 3);
	none();
	assert_int_equal(xhci_point(D.dev, 1, 2, 0, 0), 0);
	struct xd_event e;
	assert_true(xd_event_of(&D, 32, &e));
	assert_int_equal(e.parameter, 0xabcdef);
	assert_int_equal(e.status, 13u << 24 | 6);
	assert_true(e.control & 4);
	assert_memory_equal(xd_mem(&D, XD_BUF + 0x1000), "\0\1\0\2\0\0", 6);
	none();
	/* Without its device it is the other one's turn. */
	const u16 key = A;
	assert_int_equal(xhci_keys(D.dev, &key, 1), -EAGAIN);
}

static void stopped(void **state)
{
	const u16 key = A | KEY_DOWN;
	unsigned slot = keyboard();
	u64 at = xd_want_report(&D, slot, 8);
	struct xd_event e;

	xd_add(&D, XD_COMMANDS, &D.commands, 0, 0, 15, slot << 24 | 3u << 16);
	xd_put(&D, 0x2000, 0);
	moved(at, 26, 8);
	assert_true(xd_event_of(&D, 33, &e));
	assert_int_equal(e.status >> 24, 1);
	assert_int_equal(xd_context(&D, slot, 3)[0] & 7, 3);
	assert_int_equal(ld_le64(xd_context(&D, slot, 3) + 8), at | 1);
	assert_int_equal(xhci_keys(D.dev, &key, 1), 0);
	none();
	xd_put(&D, 0x2000 + 4 * slot, 3);
	moved(at, 1, 0);
	/* The device is gone with its configuration, its slot with the command. */
	assert_int_equal(xd_command(&D, 17, 0, slot << 24, NULL), 1);
	assert_int_equal(xd_context(&D, slot, 3)[0] & 7, 0);
	assert_int_equal(xd_command(&D, 10, 0, slot << 24, NULL), 1);
	assert_int_equal(xd_command(&D, 15, 0, slot << 24 | 3u << 16, NULL), 11);
	/* The command ring stops and goes on elsewhere. */
	xd_put(&D, 0x58, 4);
	assert_true(xd_event_of(&D, 33, &e));
	assert_int_equal(e.status >> 24, 24);
	assert_int_equal(xd_get(&D, 0x58), 0);
}

/* Rings that go round, addresses outside of memory, an event ring that is full: all of it ends. */
static void badly(void **state)
{
	struct xd_event e;
	unsigned slot = keyboard();
	u64 ring = XD_REPORTS + 0x1000 * slot;

	/* Two links that lead to each other. */
	xd_trb(&D, ring, ring + 16, 0, 6 << 10 | 1);
	xd_trb(&D, ring + 16, ring, 0, 6 << 10 | 1);
	xd_put(&D, 0x2000 + 4 * slot, 3);
	u64 turns = 0;
	struct loop_stats s;
	for (unsigned i = 0; i < 20; i++)
		xd_spin(&D);
	loop_get_stats(D.loop, &s);
	turns = s.turns;
	for (unsigned i = 0; i < 3; i++)
		xd_spin(&D);
	loop_get_stats(D.loop, &s);
	assert_true(s.turns - turns < 20); /* it has come to rest */
	assert_int_equal(xd_command(&D, 23, 0, 0, NULL), 1);

	/* A No Op that a link leads back to. */
	xd_trb(&D, ring, 0, 0, 8 << 10 | 1);
	xd_put(&D, 0x2000 + 4 * slot, 3);
	for (unsigned i = 0; i < 20; i++)
		xd_spin(&D);
	assert_int_equal(xd_command(&D, 23, 0, 0, NULL), 1);

	/* The ring is outside of memory, then the buffer. */
	assert_int_equal(xd_command(&D, 15, 0, slot << 24 | 3u << 16, NULL), 1);
	assert_int_equal(xd_command(&D, 16, 0xfffffffff0000001ull, slot << 24 | 3u << 16, NULL), 1);
	xd_put(&D, 0x2000 + 4 * slot, 3);
	assert_true(xd_event_of(&D, 32, &e));
	assert_int_equal(e.status >> 24, 5);
	assert_int_equal(xd_command(&D, 16, (ring + 0x100) | 1, slot << 24 | 3u << 16, NULL), 1);
	xd_trb(&D, ring + 0x100, 0xffffffff00000000ull, 8, 1 << 10 | 1 << 5 | 1);
	xd_put(&D, 0x2000 + 4 * slot, 3);
	const u16 key = A | KEY_DOWN;
	assert_int_equal(xhci_keys(D.dev, &key, 1), 0);
	moved(ring + 0x100, 5, 8);

	/* Nobody takes events: commands wait. */
	for (unsigned i = 0; i < 2 * XD_EVENT_TRBS; i++)
		xd_add(&D, XD_COMMANDS, &D.commands, 0, 0, 23, 0);
	xd_put(&D, 0x2000, 0);
	unsigned n = 0;
	while (xd_event(&D, &e))
		n++;
	assert_int_equal(n, 2 * XD_EVENT_TRBS);

	/* Contexts, and the command ring, outside of memory. */
	st_le64(xd_mem(&D, XD_DCBAA + 8 * 2), 0xffffff000ull << 12);
	assert_int_equal(xd_command(&D, 9, 0, 0, &slot), 1);
	assert_int_equal(xd_command(&D, 11, 0xfffffff000ull, slot << 24, NULL), 5);
	xd_input(&D, slot, 1);
	st_le64(xd_mem(&D, XD_DCBAA + 8 * slot), 0xffffff000ull << 12);
	assert_true(xd_command(&D, 11, XD_INPUT, slot << 24, NULL) <= 1);
	assert_true(xd_get(&D, 0x44) & 4); /* host system error: halted */
	assert_true(xd_get(&D, 0x44) & 1);
	xd_start(&D);
	xd_put(&D, 0x40, 0);
	xd_put(&D, 0x58, 1);
	xd_put(&D, 0x5c, 0xffff);
	xd_put(&D, 0x40, 5);
	xd_put(&D, 0x2000, 0);
	assert_true(xd_get(&D, 0x44) & 0x1000);
	/* An event ring that is none: nothing is told, nothing is done. */
	xd_start(&D);
	st_le32(xd_mem(&D, XD_ERST + 8), 3);
	xd_put(&D, 0x1028, 1);
	assert_int_equal(xd_command(&D, 23, 0, 0, NULL), 0);
	assert_int_equal(keyboard(), 1);
}

/* A key waits, a buffer is there, and the controller is another one. */
static void saved(void **state)
{
	const u16 keys[] = { A | KEY_DOWN, A };
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;
	struct err e;

	unsigned slot = keyboard();
	assert_int_equal(xhci_keys(D.dev, keys, 2), 0);
	moved(xd_want_report(&D, slot, 8), 1, 0);
	assert_int_equal(state_save_new(&s, fd, NULL), 0);
	assert_true(pci_bus_quiesce(D.rig.pci));
	assert_int_equal(pci_bus_devices_state(D.rig.pci, s, NULL), 0);
	assert_int_equal(state_finish(s, NULL), 0);
	state_free(s);
	/* The memory is the other's, too. */
	struct xd was = D;
	xd_up(&D, XHCI_KEYBOARD | XHCI_TABLET);
	memcpy(D.ram->host, was.ram->host, XD_RAM);
	D.commands = was.commands;
	D.events = was.events;
	D.control = was.control;
	D.reports = was.reports;
	assert_true(pci_bus_quiesce(D.rig.pci));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_int_equal(pci_bus_devices_state(D.rig.pci, s, &e), 0);
	state_free(s);
	pci_bus_resume(D.rig.pci);
	moved(xd_want_report(&D, slot, 8), 1, 0);
	assert_memory_equal(xd_mem(&D, XD_BUF + 0x1000), "\0\0\0\0\0\0\0\0", 8);
	/* Other devices are another machine. */
	xd_down(&D);
	xd_up(&D, XHCI_KEYBOARD);
	assert_true(pci_bus_quiesce(D.rig.pci));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, NULL), 0);
	assert_true(pci_bus_devices_state(D.rig.pci, s, &e) < 0);
	assert_non_null(strstr(e.msg, "USB devices"));
	state_free(s);
	close(fd);
	xd_down(&was);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, up, down)
	const struct CMUnitTest tests[] = { T(registers), T(interrupts), T(addressed), T(typed),
					    T(pointed),   T(stopped),    T(badly),     T(saved) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
