/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vga.h - between the files vga*.c: a VGA with the Bochs display interface, PCI function 1234:1111.
 *
 * What the guest finds (IBM PS/2 Hardware Interface Technical Reference, Video Subsystem; the registers are numbered as
 * there):
 *   3b0 - 3df          the VGA's ports                            vga_regs.c
 *   a0000 - bffff      its window into video memory               vga_window.c
 *   1ce - 1d0          the Bochs interface: index, data           vga_vbe.c
 *   BAR 0              video memory, linear, as guest memory
 *   BAR 2              both sets of registers again, and an EDID  vga_vbe.c
 *   the ROM's BAR      a video BIOS, where there is one
 *
 * Video memory holds four planes, a byte of each side by side: plane p's byte `at` lies at 4 * at + p. The linear modes
 * of the Bochs interface use it as it is.
 *
 * Theory of operation. Every access of a register or of the window takes `lock`, and sets `touched` when what is shown
 * may be another afterwards; that is all it does for who looks (screen.h, vga_draw.c). Linear video memory is guest
 * memory, which no access of a guest's leaves.
 */
#ifndef MICA_VGA_H
#define MICA_VGA_H

#include "base/ram.h"
#include "device/display/screen.h"
#include "machine/machine.h"
#include "machine/pci.h"

#include <pthread.h>

#define VGA_MEMORY_BYTES (16 * MIB)
#define VGA_ROM_BYTES (64 * KIB)
#define VGA_MMIO_BYTES 4096u

/* Sequencer */
#define SR_CLOCKING 1
#define SR_MAP_MASK 2
#define SR_FONT 3
#define SR_MODE 4
#define SR_MODE_SEQUENTIAL 0x04 /* else odd and even addresses are of different planes */
#define SR_MODE_CHAIN4 0x08
/* Graphics controller */
#define GR_SET_RESET 0
#define GR_ENABLE_SET_RESET 1
#define GR_COMPARE 2
#define GR_ROTATE 3
#define GR_READ_PLANE 4
#define GR_MODE 5
#define GR_MISC 6
#define GR_DONT_CARE 7
#define GR_BIT_MASK 8
/* Attribute controller */
#define AR_MODE 0x10
#define AR_OVERSCAN 0x11
#define AR_PLANES 0x12
#define AR_PAN 0x13
#define AR_COLOR 0x14
#define AR_SOURCE 0x20 /* in the index: the palette is the screen's */

/* The Bochs interface; the names are those of its documentation. */
enum {
	VBE_ID,
	VBE_XRES,
	VBE_YRES,
	VBE_BPP,
	VBE_ENABLE,
	VBE_BANK,
	VBE_VIRT_WIDTH,
	VBE_VIRT_HEIGHT,
	VBE_X_OFFSET,
	VBE_Y_OFFSET,
	VBE_MEMORY_64K,
	VBE_REGS
};
#define VBE_ENABLED 0x01
#define VBE_GETCAPS 0x02
#define VBE_8BIT_DAC 0x20
#define VBE_LFB 0x40
#define VBE_NOCLEAR 0x80

struct vga {
	struct pci_dev pci;
	struct bus *bus;
	struct ram *ram;
	struct io_region ports, dispi, window;
	struct screen screen;
	u8 *memory;
	u64 off; /* of it in the file */
	u64 rom_off;
	u8 edid[128];
	_Atomic bool touched;

	pthread_mutex_t lock; /* guards what follows */
	u8 misc, feature;
	u8 sr_index, gr_index, cr_index, ar_index;
	u8 sr[8], gr[16], cr[32], ar[32];
	bool ar_data; /* port 3c0 takes data next */
	u8 latch[4];
	u8 dac_mask, dac_read, dac_write, dac_part;
	bool dac_reading;
	u8 dac_in[3], dac[256][3];
	u16 vbe_index, vbe[VBE_REGS];
};

static inline void vga_touch(struct vga *v)
{
	atomic_store_explicit(&v->touched, true, memory_order_release);
}

/* ---- with v->lock held ---- */
u8 vga_port_read(struct vga *v, unsigned port);
void vga_port_write(struct vga *v, unsigned port, u8 val);
u16 vga_vbe_read(const struct vga *v, unsigned index);
void vga_vbe_write(struct vga *v, unsigned index, u16 val);
void vga_regs_reset(struct vga *v);
/* What was loaded comes from anywhere: within what could have been written. */
void vga_vbe_loaded(struct vga *v);
static inline bool vga_vbe_on(const struct vga *v)
{
	return v->vbe[VBE_ENABLE] & VBE_ENABLED;
}
/* Bytes (4 bits a pixel: of a plane) from one line to the next. */
unsigned vga_vbe_pitch(const struct vga *v);

extern const struct io_ops vga_port_ops, vga_dispi_ops, vga_window_ops, vga_mmio_ops;
void vga_edid(u8 edid[128]);

/* ---- vga_boot.c; v->lock is not held ---- */
int vga_boot_mode(struct vga *v, unsigned number, struct boot_screen *out);

/* ---- vga_draw.c ---- */
void vga_frame(void *opaque, struct screen_frame *f);
void vga_line(const struct screen_frame *f, unsigned y, u32 *out);
unsigned vga_text(const struct screen_frame *f, unsigned row, u8 *out);

#endif
