/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vga_class.c - the VGA as a device of the board: PCI function, life, saved state, class. */
#include "base/state.h"
#include "device/class.h"
#include "device/display/vga.h"
#include "machine/layout.h"
#include "machine/memory.h"

/* ---- life ---- */

static struct vga *of(struct device *d)
{
	return container_of(pci_dev_of(d), struct vga, pci);
}

static void life_reset(struct device *d)
{
	struct vga *v = of(d);

	pthread_mutex_lock(&v->lock);
	vga_regs_reset(v);
	pthread_mutex_unlock(&v->lock);
	ram_discard_at(v->ram, v->off, VGA_MEMORY_BYTES);
}

static void registers(struct vga *v, struct state_file *s)
{
	state_u8(s, &v->misc);
	state_u8(s, &v->feature);
	state_u8(s, &v->sr_index);
	state_u8(s, &v->gr_index);
	state_u8(s, &v->cr_index);
	state_u8(s, &v->ar_index);
	state_bool(s, &v->ar_data);
	state_bytes(s, v->sr, sizeof(v->sr));
	state_bytes(s, v->gr, sizeof(v->gr));
	state_bytes(s, v->cr, sizeof(v->cr));
	state_bytes(s, v->ar, sizeof(v->ar));
	state_bytes(s, v->latch, sizeof(v->latch));
	state_u8(s, &v->dac_mask);
	state_u8(s, &v->dac_read);
	state_u8(s, &v->dac_write);
	state_u8(s, &v->dac_part);
	state_bool(s, &v->dac_reading);
	state_bytes(s, v->dac_in, sizeof(v->dac_in));
	state_bytes(s, v->dac, sizeof(v->dac));
	state_u16(s, &v->vbe_index);
	for (unsigned i = 0; i < VBE_REGS; i++)
		state_u16(s, &v->vbe[i]);
}

static int life_state(struct device *d, struct state_file *s, struct err *e)
{
	struct vga *v = of(d);
	int r = state_section(s, "vga", v->pci.devfn, 1, e);

	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	registers(v, s);
	if (state_loading(s)) {
		v->sr_index &= 7;
		v->gr_index &= 15;
		v->cr_index &= 31;
		v->ar_index &= 0x3f;
		v->dac_part %= 3;
		vga_vbe_loaded(v);
		vga_touch(v);
	}
	pthread_mutex_unlock(&v->lock);
	return state_end(s, e);
}

static void life_free(struct device *d)
{
	struct vga *v = of(d);

	bus_unmap_pio(v->bus, &v->ports);
	bus_unmap_pio(v->bus, &v->dispi);
	bus_unmap_mmio(v->bus, &v->window);
	pci_dev_fini(&v->pci);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

static const struct pci_dev_ops ops = { .life = { .reset = life_reset, .state = life_state, .free = life_free } };

/* ---- the class ---- */

static bool changed(void *opaque)
{
	struct vga *v = opaque;

	return atomic_exchange_explicit(&v->touched, false, memory_order_acquire);
}

static int map(struct vga *v)
{
	int r;

	v->ports = (struct io_region){ .ops = &vga_port_ops, .dev = v, .name = "vga" };
	v->dispi = (struct io_region){ .ops = &vga_dispi_ops, .dev = v, .name = "vga-dispi" };
	v->window = (struct io_region){ .ops = &vga_window_ops, .dev = v, .name = "vga-window" };
	if ((r = bus_map_pio(v->bus, &v->ports, LAYOUT_VGA_PORTS, LAYOUT_VGA_PORTS_N)) < 0 ||
	    (r = bus_map_pio(v->bus, &v->dispi, LAYOUT_DISPI, 4)) < 0)
		return r;
	return bus_map_mmio(v->bus, &v->window, LAYOUT_VGA, LAYOUT_VGA_END - LAYOUT_VGA);
}

static int put_together(struct vga *v, struct machine *m, const struct device_args *a, struct err *e)
{
	int r;

	if ((r = ram_take(v->ram, VGA_MEMORY_BYTES, &v->off, e)) < 0 ||
	    (r = ram_take(v->ram, VGA_ROM_BYTES, &v->rom_off, e)) < 0)
		return r;
	v->memory = v->ram->host + v->off;
	if (a->rom && a->rom_bytes <= VGA_ROM_BYTES) {
		memcpy(v->ram->host + v->rom_off, a->rom, a->rom_bytes);
		ram_wrote_at(v->ram, v->rom_off, a->rom_bytes);
	}
	pci_add_memory_bar(&v->pci, 0, v->ram, v->off, VGA_MEMORY_BYTES);
	pci_add_bar(&v->pci, 2, VGA_MMIO_BYTES, false, &vga_mmio_ops, v);
	pci_add_memory_bar(&v->pci, PCI_ROM_BAR, v->ram, v->rom_off, VGA_ROM_BYTES);
	if ((r = map(v)) < 0 || (r = pci_register(machine_pci(m), &v->pci, a->slot)) < 0)
		return err_sys(e, -r, "cannot put a screen on the board");
	memory_open_screen_hole(v->ram);
	machine_use(m, MACHINE_SCREEN);
	return ram_commit(v->ram, e);
}

static int new_vga(struct device **out, struct machine *m, const struct device_args *a, struct err *e)
{
	struct vga *v = xcalloc(1, sizeof(*v));

	v->bus = machine_bus(m);
	v->ram = machine_ram(m);
	pthread_mutex_init(&v->lock, NULL);
	pci_dev_init(&v->pci, &ops, "vga", 0x1234, 0x1111, 0x030000 << 8 | 2);
	v->pci.cfg[0x3d] = 0; /* no interrupt */
	st_le16(v->pci.cfg + 0x2c, 0x1af4);
	st_le16(v->pci.cfg + 0x2e, 0x1100);
	vga_edid(v->edid);
	vga_regs_reset(v);
	int r = put_together(v, m, a, e);
	if (r < 0) {
		life_free(&v->pci.dev);
		return r;
	}
	v->screen = (struct screen){
		.changed = changed,
		.frame = vga_frame,
		.line = vga_line,
		.text = vga_text,
		.opaque = v,
		.off = v->off,
		.bytes = VGA_MEMORY_BYTES,
	};
	*out = &v->pci.dev;
	return 0;
}

static const struct screen *class_screen(struct device *d)
{
	return &of(d)->screen;
}

static int class_boot_mode(struct device *d, unsigned mode, struct boot_screen *out)
{
	return vga_boot_mode(of(d), mode, out);
}

const struct device_class vga_device_class = {
	.pci = true,
	.rom = "/usr/share/seabios/vgabios-stdvga.bin",
	.name = "vga",
	.field = "vga",
	.help = N_("screen: VGA with the Bochs display interface"),
	.role = DEVICE_DISPLAY,
	.new = new_vga,
	.screen = class_screen,
	.boot_mode = class_boot_mode,
};
