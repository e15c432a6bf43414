/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_screen.c - the VGA and the keyboard controller with a hostile guest, and whoever looks at the screen meanwhile.
 *
 * The input is a list of accesses of 4 bytes each: what, where (2 bytes), value. Every byte of what is drawn must lie
 * in video memory, and every line within its buffer.
 */
#include "device/class.h"
#include "device/display/screen.h"
#include "device/input/key.h"
#include "machine/layout.h"
#include "machine/machine.h"

#include "unit/cpu/fake_cpu.h"

struct cpu_vm {
	struct cpu cpu[1];
};

struct cpu *cpu_vm_cpu(struct cpu_vm *vm, unsigned index)
{
	return &vm->cpu[index];
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct machine *machine;
static struct device *display, *keyboard;
static const struct device_class *display_class, *keyboard_class;
static struct screen_view view;
static u32 *pixels;

static void set_up(void)
{
	struct machine_config cfg = { .ncpus = 1 };
	struct device_args a = { .slot = -1, .fd = -1 };
	static struct cpu_vm vm;

	must(ram_new_with_room(&cfg.ram, 2 * MIB, 32 * MIB, NULL) == 0 && loop_new(&cfg.loop, NULL) == 0 &&
	     machine_new(&machine, &cfg, NULL) == 0);
	machine_attach_cpus(machine, &vm);
	display_class = device_class_of(DEVICE_DISPLAY, NULL);
	keyboard_class = device_class_of(DEVICE_INPUT, NULL);
	must(display_class->new (&display, machine, &a, NULL) == 0 &&
	     keyboard_class->new (&keyboard, machine, &a, NULL) == 0);
	pixels = xcalloc(SCREEN_WIDTH_MAX * SCREEN_HEIGHT_MAX, sizeof(*pixels));
	screen_view_init(&view, pixels);
}

static void look(void)
{
	const struct screen *s = display_class->screen(display);
	u64 dirty[256];

	must(s->bytes <= 64 * PAGE_BYTES * ARRAY_LEN(dirty));
	memset(dirty, 0x11, sizeof(dirty));
	screen_view_update(&view, s, dirty);
	must(!view.frame.bytes || (view.frame.off >= s->off && view.frame.off + view.frame.bytes <= s->off + s->bytes));
	screen_view_clean(&view);
}

static void access_one(const u8 *p)
{
	struct bus *b = machine_bus(machine);
	u16 at = ld_le16(p + 1), event = (u16)(at & (KEY_DOWN | 0x1ff));
	u8 v = p[3];

	switch (p[0] & 15) {
	case 0 ... 3:
		bus_pio_write(b, (u16)(LAYOUT_VGA_PORTS + at % LAYOUT_VGA_PORTS_N), p[0] & 1 ? 2 : 1, v * 0x101u);
		break;
	case 4:
		bus_pio_read(b, (u16)(LAYOUT_VGA_PORTS + at % LAYOUT_VGA_PORTS_N), 1);
		break;
	case 5 ... 7:
		bus_pio_write(b, LAYOUT_DISPI, 2, v % 16);
		bus_pio_write(b, LAYOUT_DISPI + 1, 2, at);
		break;
	case 8:
		bus_mmio_write(b, LAYOUT_VGA + at * 2u, 4, v * 0x01010101u);
		break;
	case 9:
		bus_mmio_read(b, LAYOUT_VGA + at * 2u, 8);
		break;
	case 10:
		bus_pio_write(b, at & 1 ? LAYOUT_KEYBOARD : LAYOUT_KEYBOARD_DATA, 1, v);
		break;
	case 11:
		bus_pio_read(b, at & 1 ? LAYOUT_KEYBOARD : LAYOUT_KEYBOARD_DATA, 1);
		break;
	case 12:
		keyboard_class->keys(keyboard, &event, 1);
		break;
	case 13:
		keyboard_class->pointer(keyboard, (s8)at, (s8)(at >> 8), (s8)v, v);
		break;
	default:
		look();
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (!machine)
		set_up();
	machine_reset(machine);
	for (size_t i = 0; i + 4 <= MIN(size, 4096u); i += 4)
		access_one(data + i);
	look();
	return 0;
}
