/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_board_kind.c - the kinds of board as a guest finds them, and that a saved VM stays on its own. */
#include "base/state.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/slots.h"
#include "pci_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

static struct ram *ram;
static struct loop *loop;
static struct machine *m;

static void up(enum machine_kind kind)
{
	struct machine_config cfg = { .ncpus = 1, .kind = kind };

	assert_int_equal(ram_new(&ram, 4 * MIB, NULL), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	cfg.ram = ram;
	cfg.loop = loop;
	assert_int_equal(machine_new(&m, &cfg, NULL), 0);
	assert_int_equal(machine_firmware(m, NULL), 0);
}

static void down(void)
{
	machine_free(m);
	loop_free(loop);
	ram_free(ram);
}

static u32 function(unsigned slot, unsigned fn, unsigned reg, unsigned bytes)
{
	bus_pio_write(machine_bus(m), LAYOUT_PCI_CFG, 4, 0x80000000u | slot << 11 | fn << 8 | (reg & 0xfcu));
	return (u32)bus_pio_read(machine_bus(m), (u16)(LAYOUT_PCI_CFG + 4 + (reg & 3)), bytes);
}

static void test_q35(void **unused)
{
	up(MACHINE_Q35);
	assert_int_equal(function(0, 0, 0, 4), 0x29c08086);
	assert_int_equal(function(31, 0, 0, 4), 0x29188086);
	assert_int_equal(function(1, 0, 0, 2), 0xffff);
	assert_int_equal(bus_mmio_read(machine_bus(m), LAYOUT_ECAM, 4), 0x29c08086);
	down();
}

static void test_pc(void **unused)
{
	up(MACHINE_PC);
	assert_int_equal(function(0, 0, 0, 4), 0x12378086);
	assert_int_equal(function(0, 0, 8, 1), 2);
	assert_int_equal(function(1, 0, 0, 4), 0x70008086);
	assert_int_equal(function(1, 0, 0xe, 1) & 0x80, 0x80); /* several functions */
	assert_int_equal(function(1, 1, 0, 2), 0xffff);        /* IDE comes with its drives */
	assert_int_equal(function(1, 3, 0, 4), 0x71138086);
	assert_int_equal(function(1, 3, 0x40, 4), LAYOUT_ACPI_PM | 1);
	assert_int_equal(function(1, 3, 0x80, 1) & 1, 1);
	assert_int_equal(function(1, 3, 0x58, 4) >> 25 & 1, 1);
	assert_int_equal(function(1, 3, 0x3c, 1), LAYOUT_GSI_SCI);
	assert_int_equal(function(31, 0, 0, 2), 0xffff);
	assert_int_equal(bus_mmio_read(machine_bus(m), LAYOUT_ECAM, 4), 0xffffffff);
	/* Not to be moved; still there after a reset. */
	bus_pio_write(machine_bus(m), LAYOUT_PCI_CFG, 4, 0x80000000u | 1 << 11 | 3 << 8 | 0x40);
	bus_pio_write(machine_bus(m), LAYOUT_PCI_CFG + 4, 4, 0xb001);
	machine_reset(m);
	assert_int_equal(function(1, 3, 0x40, 4), LAYOUT_ACPI_PM | 1);
	assert_int_equal(function(1, 3, 0x3c, 1), LAYOUT_GSI_SCI);
	down();
}

static void test_micro(void **unused)
{
	struct slot slot;

	up(MACHINE_MICRO);
	assert_null(machine_pci(m));
	assert_int_equal(function(0, 0, 0, 4), 0xffffffff);
	assert_int_equal(slots_take(machine_slots(m), &slot), 0);
	assert_int_equal(slot.at, LAYOUT_SLOTS);
	irq_set(&slot.irq, true);
	assert_true(machine_quiesce(m));
	machine_resume(m);
	irq_set(&slot.irq, false);
	machine_reset(m);
	down();
}

static int board_of(int fd, enum machine_kind kind, struct err *e)
{
	struct state_file *s;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, e), 0);
	int r = machine_board_section(s, kind, e);
	state_free(s);
	return r;
}

static void test_saved(void **unused)
{
	static const enum machine_kind kinds[] = { MACHINE_Q35, MACHINE_PC, MACHINE_MICRO };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		int fd = memfd_create("state", MFD_CLOEXEC);
		struct state_file *s;
		struct err e = { 0 };

		assert_int_equal(state_save_new(&s, fd, &e), 0);
		assert_int_equal(machine_board_section(s, kinds[i], &e), 0);
		state_free(s);
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
			assert_int_equal(board_of(fd, kinds[k], &e), k == i ? 0 : -EPROTONOSUPPORT);
		assert_non_null(strstr(e.msg, "board"));
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_q35), cmocka_unit_test(test_pc),
					    cmocka_unit_test(test_micro), cmocka_unit_test(test_saved) };
	return cmocka_run_group_tests_name("board-kind", tests, NULL, NULL);
}
