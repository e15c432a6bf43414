/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_screen.c - the VGA and the keyboard controller on a whole board, as firmware and drivers use them: sets of
 * scancodes and their translation, answers to commands, the mouse's packets; limits of the Bochs interface; both saved
 * and loaded, and reset. What a mode looks like is tests/machine/display.py's.
 */
#include "base/state.h"
#include "device/class.h"
#include "device/display/screen.h"
#include "device/display/vga.h"
#include "device/input/key.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "machine/pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <sys/mman.h>

#include "unit/cpu/fake_cpu.h" /* defines cpu_*: in one file per test */
#include "unit/machine/pci_rig.h"

struct cpu_vm {
	struct cpu cpu[1];
};

struct cpu *cpu_vm_cpu(struct cpu_vm *vm, unsigned index)
{
	return &vm->cpu[index];
}

static struct ram *ram;
static struct loop *loop;
static struct machine *m;
static struct bus *bus;
static struct cpu_vm vm;
static struct device *keyboard, *display;
static const struct device_class *keyboard_class, *display_class;
static unsigned resets;
static struct err e;

static void on_event(void *opaque, enum machine_event ev, u32 value)
{
	resets += ev == MACHINE_RESET;
}

static int up(void **state)
{
	struct machine_config cfg = { .ncpus = 1, .event = on_event };
	static const u8 rom[512] = { 0x55, 0xaa, 1 };
	struct device_args a = { .slot = -1, .fd = -1, .rom = rom, .rom_bytes = sizeof(rom) };

	resets = 0;
	memset(&vm, 0, sizeof(vm));
	assert_int_equal(ram_new_with_room(&ram, 2 * MIB, 32 * MIB, NULL), 0);
	assert_int_equal(loop_new(&loop, NULL), 0);
	cfg.ram = ram;
	cfg.loop = loop;
	assert_int_equal(machine_new(&m, &cfg, NULL), 0);
	machine_attach_cpus(m, &vm);
	bus = machine_bus(m);
	display_class = device_class_of(DEVICE_DISPLAY, "vga");
	keyboard_class = device_class_of(DEVICE_INPUT, NULL);
	assert_int_equal(display_class->new (&display, m, &a, &e), 0);
	assert_int_equal(keyboard_class->new (&keyboard, m, &a, &e), 0);
	assert_int_equal(machine_firmware(m, &e), 0);
	return 0;
}

static int down(void **state)
{
	machine_free(m);
	loop_free(loop);
	ram_free(ram);
	return 0;
}

/* ---- the keyboard ---- */

static void command(u8 v)
{
	bus_pio_write(bus, 0x64, 1, v);
}
static void data(u8 v)
{
	bus_pio_write(bus, 0x60, 1, v);
}
static int get(void)
{
	return bus_pio_read(bus, 0x64, 1) & 1 ? (int)bus_pio_read(bus, 0x60, 1) : -1;
}
static void key(unsigned k, bool press)
{
	u16 event = (u16)(k | (press ? KEY_DOWN : 0));

	assert_int_equal(keyboard_class->keys(keyboard, &event, 1), 0);
}
#define gives(...) gives_((const int[]){ __VA_ARGS__, -1 })
static void gives_(const int *want)
{
	do
		assert_int_equal(get(), *want);
	while (*want++ >= 0);
}

static void controller(void **state)
{
	assert_int_equal(bus_pio_read(bus, 0x64, 1), 0x14);
	command(0xaa);
	gives(0x55);
	command(0xab);
	gives(0);
	command(0xa9);
	gives(0);
	command(0x20);
	gives(0x34);
	command(0x60);
	data(0x47);
	command(0x20);
	gives(0x47);
	command(0xd0);
	gives(0xcf);
	/* A byte that is to look like the mouse's. */
	command(0xd3);
	data(0x12);
	assert_int_equal(bus_pio_read(bus, 0x64, 1) & 0x21, 0x21);
	gives(0x12);
	command(0xd1);
	data(0xcf & ~1);
	assert_int_equal(resets, 1);
	command(0xfe);
	assert_int_equal(resets, 2);
	command(0xff);
	assert_int_equal(resets, 2);
}

static void keyboard_commands(void **state)
{
	data(0xff); /* which switches its port on */
	gives(0xfa, 0xaa);
	data(0xf2);
	gives(0xfa, 0xab, 0x83);
	data(0xed);
	gives(0xfa);
	data(0x07);
	gives(0xfa);
	data(0xee);
	gives(0xee);
	data(0xf0);
	gives(0xfa);
	data(0x00);
	gives(0xfa, 0x02);
	data(0x77);
	gives(0xfe);
	/* A command in place of an argument. */
	data(0xed);
	data(0xf2);
	gives(0xfa, 0xfa, 0xab, 0x83);
	data(0xf5);
	gives(0xfa);
	key(0x1e, true);
	assert_int_equal(get(), -1);
}

static void scancodes(void **state)
{
	data(0xf4);
	gives(0xfa);
	key(0x1e, true); /* A */
	key(0x1e, false);
	gives(0x1c, 0xf0, 0x1c);
	key(KEY_E0 | 0x53, true); /* Delete */
	key(KEY_E0 | 0x53, false);
	gives(0xe0, 0x71, 0xe0, 0xf0, 0x71);
	key(0x41, true); /* F7 */
	gives(0x83);
	key(KEY_PAUSE, true);
	key(KEY_PAUSE, false);
	gives(0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
	key(KEY_HANGUL, true);
	key(KEY_HANGUL, false);
	gives(0xf2);
	/* Translated. */
	command(0x60);
	data(0x44);
	key(0x1e, true);
	key(0x1e, false);
	key(KEY_E0 | 0x53, true);
	key(KEY_E0 | 0x53, false);
	key(0x41, true);
	key(0x41, false);
	key(KEY_HANJA, true);
	gives(0x1e, 0x9e, 0xe0, 0x53, 0xe0, 0xd3, 0x41, 0xc1, 0xf1);
	key(KEY_PAUSE, true);
	gives(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	key(KEY_PRINT, true);
	key(KEY_PRINT, false);
	gives(0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
	command(0x60);
	data(0x04);
	/* Set 1 without translation, and set 3. */
	data(0xf0);
	data(0x01);
	gives(0xfa, 0xfa);
	key(0x1e, true);
	key(0x1e, false);
	gives(0x1e, 0x9e);
	data(0xf0);
	data(0x03);
	gives(0xfa, 0xfa);
	key(KEY_E0 | 0x48, true);
	key(KEY_E0 | 0x48, false); /* which it does not say */
	key(0x2a, true);
	key(0x2a, false);
	gives(0x63, 0x12, 0xf0, 0x12);
	data(0xf8);
	gives(0xfa);
	key(KEY_E0 | 0x48, false);
	gives(0xf0, 0x63);
}

/* Every key of set 1 comes out of the translation as it went in. */
static void translation(void **state)
{
	unsigned n = 0;

	command(0x60);
	data(0x44);
	for (unsigned k = 1; k < 0x100; k++) {
		if (!key_known(k) || k == KEY_PRINT)
			continue;
		n++;
		key(k, true);
		if (k & KEY_E0)
			assert_int_equal(get(), 0xe0);
		assert_int_equal(get(), k & 0x7f);
		key(k, false);
		if (k & KEY_E0)
			assert_int_equal(get(), 0xe0);
		gives((int)(k & 0x7f) | 0x80);
	}
	assert_true(n > 200);
}

static void names(void **state)
{
	bool shift;

	assert_int_equal(key_by_name("Ctrl", 4), 0x1d);
	assert_int_equal(key_by_name("a", 1), 0x1e);
	assert_int_equal(key_by_name("hangul", 6), KEY_HANGUL);
	assert_int_equal(key_by_name("nothing", 7), 0);
	assert_int_equal(key_of_char('?', &shift), 0x35);
	assert_true(shift);
	assert_int_equal(key_of_char('\\', &shift), 0x2b);
	assert_false(shift);
	assert_int_equal(key_of_char(0xc548, &shift), 0);
	for (u32 c = ' '; c < 0x7f; c++)
		assert_true(key_of_char(c, &shift));
	assert_int_equal(key_of_keysym(0xff31), KEY_HANGUL);
	assert_int_equal(key_of_keysym('A'), 0x1e);
	assert_int_equal(key_of_keysym(0xffbe), 0x3b);
	/* Korean letters: as Unicode and as in KS X 1001; of two letters, of none */
	assert_int_equal(key_of_keysym(0x01003131), 0x13);
	assert_int_equal(key_of_keysym(0x0ea1), 0x13);
	assert_int_equal(key_of_keysym(0x01003163), 0x26);
	assert_int_equal(key_of_keysym(0x0ed3), 0x26);
	assert_int_equal(key_of_keysym(0x01003133), 0);
	assert_int_equal(key_of_keysym(0x01003164), 0);
	assert_int_equal(key_of_keysym(0x0100ac00), 0);
}

static void codes(void **state)
{
	assert_int_equal(key_of_keycode(0), 0);
	assert_int_equal(key_of_keycode(0x1e), 0x1e);
	assert_int_equal(key_of_keycode(0xb8), KEY_E0 | 0x38);
	assert_int_equal(key_of_keycode(0x72), KEY_HANGUL);
	assert_int_equal(key_of_keycode(0x71), KEY_HANJA);
	assert_int_equal(key_of_keycode(0xc6), KEY_PAUSE);
	assert_int_equal(key_of_keycode(0x54), KEY_PRINT);
	assert_int_equal(key_of_keycode(0xb7), KEY_PRINT);
	for (u32 c = 0x100; c < 0x10000; c++)
		assert_int_equal(key_of_keycode(c), 0);
	assert_int_equal(key_of_keycode(UINT32_MAX), 0);
}

/* What is typed faster than it is taken waits, up to a bound, and comes in order. */
static void waiting(void **state)
{
	u16 many[1024];

	data(0xf4);
	gives(0xfa);
	for (unsigned i = 0; i < 1024; i++)
		many[i] = 0x1e | (i % 2 ? 0 : KEY_DOWN);
	assert_int_equal(keyboard_class->keys(keyboard, many, 1024), 0);
	assert_int_equal(keyboard_class->keys(keyboard, many, 1024), -EBUSY);
	for (unsigned i = 0; i < 512; i++) {
		assert_int_equal(get(), 0x1c);
		assert_int_equal(get(), 0xf0);
		assert_int_equal(get(), 0x1c);
	}
	assert_int_equal(get(), -1);
}

static void to_mouse(u8 v)
{
	command(0xd4);
	data(v);
}

static void mouse(void **state)
{
	to_mouse(0xff);
	assert_int_equal(bus_pio_read(bus, 0x64, 1) & 0x21, 0x21);
	gives(0xfa, 0xaa, 0x00);
	to_mouse(0xf2);
	gives(0xfa, 0x00);
	to_mouse(0xf4);
	gives(0xfa);
	keyboard_class->pointer(keyboard, 5, 3, 0, 1);
	gives(0x29, 5, 0xfd);
	keyboard_class->pointer(keyboard, 0, 0, 0, 0);
	gives(0x08, 0, 0);
	/* More than a packet holds. */
	keyboard_class->pointer(keyboard, 300, 0, 0, 0);
	gives(0x08, 255, 0, 0x08, 45, 0);
	/* It gets a wheel. */
	static const u8 knock[] = { 200, 100, 80 };
	for (unsigned i = 0; i < 3; i++) {
		to_mouse(0xf3);
		to_mouse(knock[i]);
		gives(0xfa, 0xfa);
	}
	to_mouse(0xf2);
	gives(0xfa, 0x03);
	keyboard_class->pointer(keyboard, 0, 0, -1, 2);
	gives(0x0a, 0, 0, 0xff);
	to_mouse(0xe9);
	gives(0xfa, 0x21, 2, 80);
}

/* ---- the screen ---- */

static void dispi(unsigned index, unsigned v)
{
	bus_pio_write(bus, 0x1ce, 2, index);
	bus_pio_write(bus, 0x1cf, 2, v);
}
static unsigned dispi_get(unsigned index)
{
	bus_pio_write(bus, 0x1ce, 2, index);
	return bus_pio_read(bus, 0x1d0, 2);
}

static void limits(void **state)
{
	const struct screen *s = display_class->screen(display);
	struct screen_frame f;
	static u32 line[SCREEN_WIDTH_MAX];

	dispi(0, 0x1234);
	assert_int_equal(dispi_get(0), 0xb0c5);
	dispi(4, 2);
	assert_int_equal(dispi_get(1), SCREEN_WIDTH_MAX);
	assert_int_equal(dispi_get(3), 32);
	dispi(4, 0);
	assert_int_equal(dispi_get(10), 256);
	bus_pio_write(bus, 0x3c0, 1, 0x20);
	/* Whatever is asked for, lines lie in video memory. */
	static const u16 wild[] = { 0, 1, 7, 640, 2560, 2561, 0x7fff, 0xffff };
	static const u16 bits[] = { 4, 8, 15, 16, 24, 32 };
	for (unsigned i = 0; i < 8 * 8 * 8 * 6; i++) {
		dispi(4, 0);
		dispi(1, wild[i % 8]);
		dispi(2, wild[i / 8 % 8]);
		dispi(3, bits[i / 512]);
		dispi(4, 0xc1);
		dispi(6, wild[i / 64 % 8]);
		dispi(8, wild[i / 8 % 8]);
		dispi(9, wild[i / 64 % 8]);
		s->frame(s->opaque, &f);
		assert_true(f.width >= 8 && f.width <= SCREEN_WIDTH_MAX && f.height && f.height <= SCREEN_HEIGHT_MAX);
		if (f.bytes)
			assert_true(f.off >= s->off && f.off + f.bytes <= s->off + s->bytes);
		s->line(&f, 0, line);
		s->line(&f, f.height - 1, line);
	}
}

static void bars(void **state)
{
	unsigned slot = pci_dev_get(display)->devfn >> 3;
	u32 video = cfg_bar(bus, slot, 0), regs = cfg_bar(bus, slot, 2);
	u8 sum = 0;

	assert_int_equal(cfg_get(bus, slot, 0, 4), 0x11111234);
	assert_ptr_equal(ram_ptr(ram, video, 16 * MIB), ram->host + display_class->screen(display)->off);
	for (unsigned i = 0; i < 128; i++)
		sum = (u8)(sum + bus_mmio_read(bus, regs + i, 1));
	assert_int_equal(sum, 0);
	assert_int_equal(bus_mmio_read(bus, regs + 0x500, 2) & 0xfff0, 0xb0c0);
	cfg_put(bus, slot, 0x30, 4, 0xd8000001);
	assert_int_equal(ram_commit(ram, &e), 0);
	assert_int_equal(ld_le16(ram_ptr_ro(ram, 0xd8000000, 2)), 0xaa55);
	/* RAM is no longer where the window is. */
	assert_null(ram_ptr_ro(ram, LAYOUT_VGA, 1));
}

/* What a kernel finds that no firmware was run for. */
static void boot_modes(void **state)
{
	const struct screen *s = display_class->screen(display);
	unsigned slot = pci_dev_get(display)->devfn >> 3;
	u8 *font = ram->host + s->off + VGA_MEMORY_BYTES + 100, codes[SCREEN_COLUMNS_MAX];
	static u32 line[SCREEN_WIDTH_MAX];
	struct screen_frame f;
	struct boot_screen b;

	/* The ROM has no characters. */
	assert_int_equal(display_class->boot_mode(display, BOOT_SCREEN_TEXT, &b), -ENOENT);
	assert_int_equal(display_class->boot_mode(display, 0x144, &b), 0);
	assert_true(b.width == 1024 && b.height == 768 && b.bits == 32 && b.line_bytes == 4096 && b.bytes == 16 * MIB);
	assert_int_equal(b.base, cfg_bar(bus, slot, 0));
	s->frame(s->opaque, &f);
	assert_true(f.width == 1024 && f.height == 768 && f.line_bytes == 4096);
	assert_int_equal(display_class->boot_mode(display, 0x14f, &b), -ENOENT);
	assert_int_equal(display_class->boot_mode(display, 0x112, &b), 0);
	assert_true(b.width == 640 && b.bits == 24 && b.line_bytes == 1920 && !b.columns);
	memcpy(font + 16, "\0\0\x7e\x81\xa5\x81\x81\xbd\x99\x81\x81\x7e", 12);
	font['A' * 16 + 5] = 0x42;
	assert_int_equal(display_class->boot_mode(display, BOOT_SCREEN_TEXT, &b), 0);
	assert_true(b.columns == 80 && b.rows == 25 && b.glyph_lines == 16 && !b.width);
	/* As a kernel writes it. */
	bus_mmio_write(bus, 0xb8000 + 2 * 81, 2, 0x4e41);
	s->frame(s->opaque, &f);
	assert_true(f.width == 720 && f.height == 400);
	assert_int_equal(s->text(&f, 1, codes), 80);
	assert_memory_equal(codes, " A ", 3);
	s->line(&f, 16 + 5, line);
	assert_int_equal(line[8], 0);
	assert_int_equal(line[9], 0xaa0000);
	assert_int_equal(line[10], 0xffff55);
}

/* ---- both ---- */

static void saved(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct state_file *s;

	data(0xf4);
	key(0x1e, true);
	command(0x60);
	data(0x43);
	key(0x30, true);
	bus_pio_write(bus, 0x3c4, 2, 0x0f02);
	bus_pio_write(bus, 0x3c8, 1, 7);
	bus_pio_write(bus, 0x3c9, 1, 0x21);
	dispi(1, 1024);
	dispi(2, 768);
	dispi(3, 32);
	dispi(4, 0x41);
	assert_int_equal(state_save_new(&s, fd, &e), 0);
	assert_int_equal(machine_state(m, s, &e), 0);
	assert_int_equal(state_finish(s, &e), 0);
	state_free(s);
	machine_reset(m);
	assert_int_equal(get(), -1);
	assert_int_equal(dispi_get(4), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_load_new(&s, fd, &e), 0);
	assert_int_equal(machine_state(m, s, &e), 0);
	state_free(s);
	close(fd);
	assert_int_equal(dispi_get(4), 0x41);
	assert_int_equal(dispi_get(1), 1024);
	assert_int_equal(bus_pio_read(bus, 0x3c5, 1), 0x0f);
	assert_int_equal(bus_pio_read(bus, 0x3c8, 1), 7);
	assert_non_null(ram_ptr(ram, cfg_bar(bus, pci_dev_get(display)->devfn >> 3, 0), 16 * MIB));
	/* The acknowledgement and A were there before the mode had translation. */
	gives(0xfa, 0x1e, 0x30);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(controller), T(keyboard_commands),
		T(scancodes),  T(translation),
		T(names),      T(codes),
		T(waiting),    T(mouse),
		T(limits),     T(bars),
		T(boot_modes), T(saved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
