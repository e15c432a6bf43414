/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_board.c - what sits at fixed addresses of a PC, under a hostile guest: interrupt controllers, timers (8254, RTC,
 * HPET, ACPI's), ACPI's registers, keyboard controller, reset ports, pvpanic, watchdog, generation.
 *
 * The input is a script of steps of 8 bytes: an access to a port or to memory, the loop's turn, a reset, or a saved
 * state that the same machine is loaded from. Whatever a guest did, it can be saved, and what was saved can be loaded.
 */
#include "base/log.h"
#include "base/loop.h"
#include "base/ram.h"
#include "base/state.h"
#include "device/class.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/memory.h"

#include <sys/mman.h>

#define STEPS_MAX 4000
#define STEP_BYTES 8

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

extern const struct device_class hpet_device_class, vmgenid_device_class, i8042_device_class, pvpanic_device_class,
    i6300esb_device_class;

static struct loop *loop;
static struct ram *ram;

static void stop(void *opaque)
{
	loop_stop(loop);
}

static void turn(void)
{
	loop_post(loop, stop, NULL);
	loop_run(loop);
}

static void event(void *opaque, enum machine_event ev, u32 value)
{
}

/* Ports, and how many: of an index and data pair both. */
static const struct {
	u16 port, n;
} ports[] = {
	{ LAYOUT_PIC1, 2 },
	{ LAYOUT_PIC2, 2 },
	{ LAYOUT_ELCR, 2 },
	{ LAYOUT_PIT, 4 },
	{ 0x61, 1 },
	{ LAYOUT_RTC, 2 },
	{ LAYOUT_RTC, 2 },
	{ LAYOUT_KEYBOARD_DATA, 5 },
	{ LAYOUT_KEYBOARD, 1 },
	{ LAYOUT_KEYBOARD_DATA, 1 },
	{ LAYOUT_ACPI_PM, 48 },
	{ LAYOUT_ACPI_PM, 12 },
	{ LAYOUT_PCI_CFG, 8 },
	{ LAYOUT_RESET, 1 },
	{ 0x505, 1 },
	{ 0x92, 1 },
	{ 0x80, 16 },
	{ 0, 0xffff },
};

static u64 address(const u8 *s)
{
	switch (s[1] % 4) {
	case 0:
		return LAYOUT_IOAPIC + (s[2] & 1 ? 0x10 : 0);
	case 1:
		return LAYOUT_ECAM + ld_le16(s + 2) % 0x10000;
	case 2:
		return LAYOUT_PCI_MMIO + ld_le16(s + 2) % 0x2000; /* where this has put what asks for an address */
	default:
		return LAYOUT_HPET + (s[2] & 0x80 ? ld_le16(s + 2) & 0x3ff : (s[2] & 0x0f) << 4 | (s[3] & 8));
	}
}

static void save_and_load(struct machine *m)
{
	struct state_file *s;
	struct err e = { 0 };
	int fd = memfd_create("state", MFD_CLOEXEC);

	must(fd >= 0 && machine_quiesce(m));
	must(state_save_new(&s, fd, &e) == 0);
	if (machine_state(m, s, &e) < 0 || state_finish(s, &e) < 0) {
		log_error("saving: %s", e.msg);
		abort();
	}
	state_free(s);
	must(lseek(fd, 0, SEEK_SET) == 0 && state_load_new(&s, fd, &e) == 0);
	if (machine_state(m, s, &e) < 0 || state_finish(s, &e) < 0) {
		log_error("loading: %s", e.msg);
		abort();
	}
	state_free(s);
	close(fd);
	machine_resume(m);
}

static void step(struct machine *m, const u8 *s)
{
	struct bus *b = machine_bus(m);
	unsigned which = s[1] % ARRAY_LEN(ports), bytes = 1u << (s[0] >> 4) % 3;
	u16 port = (u16)(ports[which].port + ld_le16(s + 2) % ports[which].n);

	switch (s[0] & 15) {
	case 0:
		turn();
		break;
	case 1:
		if (s[1] % 8 == 0)
			save_and_load(m);
		break;
	case 2:
		if (s[1] % 32 == 0)
			machine_reset(m);
		break;
	case 3:
	case 4:
		bus_pio_read(b, port, bytes);
		break;
	case 5:
	case 6:
		bus_mmio_read(b, address(s), bytes << (s[0] >> 7));
		break;
	case 7:
	case 8:
	case 9:
	case 10:
		bus_mmio_write(b, address(s), bytes << (s[0] >> 7), ld_le32(s + 4));
		break;
	default:
		bus_pio_write(b, port, bytes, ld_le32(s + 4));
	}
}

static void make(struct machine *m, const struct device_class *c)
{
	struct device_args a = { .id = c->name, .slot = -1, .fd = -1, .control_fd = -1 };
	struct device *d;
	struct err e = { 0 };

	if (c->new (&d, m, &a, &e) < 0) {
		log_error("%s: %s", c->name, e.msg);
		abort();
	}
}

int LLVMFuzzerTestOneInput(const u8 *in, size_t size)
{
	struct machine *m;
	struct err e = { 0 };

	if (!loop) {
		log_level = LOG_LVL_ERROR + 1;
		must(loop_new(&loop, NULL) == 0);
	}
	must(ram_new_with_room(&ram, 2 * MIB, MEMORY_ROOM, NULL) == 0);
	struct machine_config mc = { .ram = ram, .loop = loop, .ncpus = 1, .event = event };
	must(machine_new(&m, &mc, &e) == 0);
	make(m, &hpet_device_class);
	make(m, &vmgenid_device_class);
	make(m, &i8042_device_class);
	make(m, &pvpanic_device_class);
	make(m, &i6300esb_device_class);
	must(machine_firmware(m, &e) == 0);
	for (size_t i = 0; i + STEP_BYTES <= size && i < STEPS_MAX * STEP_BYTES; i += STEP_BYTES)
		step(m, in + i);
	turn();
	must(machine_quiesce(m));
	machine_reset(m);
	machine_free(m);
	ram_free(ram);
	return 0;
}
