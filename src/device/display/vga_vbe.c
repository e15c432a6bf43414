/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vga_vbe.c - the Bochs display interface: modes with a linear frame buffer, and BAR 2, where its registers and the
 * VGA's are seen as memory.
 *
 *   BAR 2   000   EDID, 128 bytes
 *           400   ports 3c0 - 3df
 *           500   the Bochs interface, 2 bytes a register
 *
 * A mode is written register by register and comes into force with VBE_ENABLE. What cannot be shown, since it is
 * larger than video memory or than SCREEN_*_MAX, is cut to what can.
 */
#include "device/display/vga.h"

#define MMIO_PORTS 0x400u
#define MMIO_DISPI 0x500u

unsigned vga_vbe_pitch(const struct vga *v)
{
	unsigned bpp = v->vbe[VBE_BPP], width = v->vbe[VBE_VIRT_WIDTH];

	return bpp <= 4 ? width / 8 : width * ((bpp + 7) / 8);
}

/* How many lines of that pitch video memory has. */
static unsigned lines(const struct vga *v)
{
	unsigned pitch = vga_vbe_pitch(v) * (v->vbe[VBE_BPP] <= 4 ? 4 : 1);

	return pitch ? (unsigned)(VGA_MEMORY_BYTES / pitch) : 0;
}

/* As wide, as high and at such an offset as memory allows. */
static void fit(struct vga *v)
{
	u16 *r = v->vbe;

	r[VBE_XRES] = (u16)MIN(MAX(r[VBE_XRES] & ~7u, 8u), SCREEN_WIDTH_MAX);
	r[VBE_YRES] = (u16)MIN(MAX(r[VBE_YRES], 1u), SCREEN_HEIGHT_MAX);
	r[VBE_VIRT_WIDTH] = (u16)MAX(r[VBE_VIRT_WIDTH] & ~7u, r[VBE_XRES]);
	if (lines(v) < r[VBE_YRES])
		r[VBE_VIRT_WIDTH] = r[VBE_XRES];
	r[VBE_YRES] = (u16)MIN(r[VBE_YRES], lines(v));
	r[VBE_VIRT_HEIGHT] = (u16)MIN(lines(v), 0xffffu);
	r[VBE_X_OFFSET] = (u16)MIN(r[VBE_X_OFFSET], r[VBE_VIRT_WIDTH] - r[VBE_XRES]);
	r[VBE_Y_OFFSET] = (u16)MIN(r[VBE_Y_OFFSET], lines(v) - r[VBE_YRES]);
}

static bool bpp_known(unsigned bpp)
{
	return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

static void clear(struct vga *v)
{
	u64 bytes = (u64)vga_vbe_pitch(v) * (v->vbe[VBE_BPP] <= 4 ? 4 : 1) * v->vbe[VBE_YRES];

	memset(v->memory, 0, bytes);
	ram_wrote_at(v->ram, v->off, bytes);
}

static void enable(struct vga *v, u16 val)
{
	bool was = vga_vbe_on(v);

	v->vbe[VBE_ENABLE] = val & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NOCLEAR);
	if (!(val & VBE_ENABLED) || was)
		return;
	v->vbe[VBE_VIRT_WIDTH] = v->vbe[VBE_XRES];
	v->vbe[VBE_X_OFFSET] = v->vbe[VBE_Y_OFFSET] = v->vbe[VBE_BANK] = 0;
	fit(v);
	if (!(val & VBE_NOCLEAR))
		clear(v);
}

void vga_vbe_write(struct vga *v, unsigned index, u16 val)
{
	switch (index) {
	case VBE_ID:
		if (val >= 0xb0c0 && val <= 0xb0c5)
			v->vbe[VBE_ID] = val;
		return;
	case VBE_XRES:
	case VBE_YRES:
		if (vga_vbe_on(v)) /* not in the midst of a mode */
			return;
		v->vbe[index] = val;
		break;
	case VBE_BPP:
		if (!vga_vbe_on(v) && (bpp_known(val) || !val))
			v->vbe[VBE_BPP] = val ? val : 8;
		break;
	case VBE_ENABLE:
		enable(v, val);
		break;
	case VBE_BANK:
		v->vbe[VBE_BANK] = (u16)(val % (VGA_MEMORY_BYTES / (64 * KIB)));
		return;
	case VBE_VIRT_WIDTH:
	case VBE_X_OFFSET:
	case VBE_Y_OFFSET:
		v->vbe[index] = val;
		if (vga_vbe_on(v))
			fit(v);
		break;
	default:
		return;
	}
	vga_touch(v);
}

u16 vga_vbe_read(const struct vga *v, unsigned index)
{
	if (index >= VBE_REGS)
		return 0;
	if (v->vbe[VBE_ENABLE] & VBE_GETCAPS)
		switch (index) {
		case VBE_XRES:
			return SCREEN_WIDTH_MAX;
		case VBE_YRES:
			return SCREEN_HEIGHT_MAX;
		case VBE_BPP:
			return 32;
		default:
			break;
		}
	return v->vbe[index];
}

void vga_vbe_loaded(struct vga *v)
{
	if (v->vbe[VBE_ID] < 0xb0c0 || v->vbe[VBE_ID] > 0xb0c5)
		v->vbe[VBE_ID] = 0xb0c5;
	if (!bpp_known(v->vbe[VBE_BPP]))
		v->vbe[VBE_BPP] = 8;
	v->vbe[VBE_BANK] %= (u16)(VGA_MEMORY_BYTES / (64 * KIB));
	v->vbe[VBE_MEMORY_64K] = VGA_MEMORY_BYTES / (64 * KIB);
	if (vga_vbe_on(v))
		fit(v);
}

/* ---- ports 1ce (index) and 1cf or 1d0 (data), words ---- */

static u64 dispi_read(void *dev, u64 off, unsigned bytes)
{
	struct vga *v = dev;

	pthread_mutex_lock(&v->lock);
	u16 val = off ? vga_vbe_read(v, v->vbe_index) : v->vbe_index;
	pthread_mutex_unlock(&v->lock);
	return val;
}

static void dispi_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct vga *v = dev;

	if (bytes != 2)
		return;
	pthread_mutex_lock(&v->lock);
	if (off)
		vga_vbe_write(v, v->vbe_index, (u16)val);
	else
		v->vbe_index = (u16)val;
	pthread_mutex_unlock(&v->lock);
}

const struct io_ops vga_dispi_ops = { .read = dispi_read, .write = dispi_write, .max_bytes = 2 };

/* ---- BAR 2 ---- */

static u8 mmio_read_one(struct vga *v, u64 off)
{
	if (off < sizeof(v->edid))
		return v->edid[off];
	if (off >= MMIO_PORTS && off < MMIO_PORTS + 0x20)
		return vga_port_read(v, 0x3c0 + (unsigned)(off - MMIO_PORTS));
	if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * VBE_REGS)
		return (u8)(vga_vbe_read(v, (unsigned)(off - MMIO_DISPI) / 2) >> (off & 1 ? 8 : 0));
	return 0;
}

static u64 mmio_read(void *dev, u64 off, unsigned bytes)
{
	struct vga *v = dev;
	u64 val = 0;

	pthread_mutex_lock(&v->lock);
	for (unsigned i = 0; i < bytes; i++)
		val |= (u64)mmio_read_one(v, off + i) << (8 * i);
	pthread_mutex_unlock(&v->lock);
	return val;
}

static void mmio_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct vga *v = dev;

	pthread_mutex_lock(&v->lock);
	if (off >= MMIO_PORTS && off + bytes <= MMIO_PORTS + 0x20)
		for (unsigned i = 0; i < bytes; i++)
			vga_port_write(v, 0x3c0 + (unsigned)(off - MMIO_PORTS) + i, (u8)(val >> (8 * i)));
	else if (off >= MMIO_DISPI && off + bytes <= MMIO_DISPI + 2 * VBE_REGS && bytes == 2 && !(off & 1))
		vga_vbe_write(v, (unsigned)(off - MMIO_DISPI) / 2, (u16)val);
	pthread_mutex_unlock(&v->lock);
}

const struct io_ops vga_mmio_ops = { .read = mmio_read, .write = mmio_write, .max_bytes = 4 };

/* ---- EDID (VESA E-EDID 1.4): one detailed timing, 1024x768 at 60 Hz ---- */

void vga_edid(u8 edid[128])
{
	static const u8 head[] = {
		0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, /* header */
		0x35, 0x83, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, /* "MLC", product 1, no serial number */
		0x00, 0x22, 0x01, 0x04,                         /* of 2024; version 1.4 */
		0xa5, 0x00, 0x00, 0x78, 0x06, /* digital, 8 bits a colour; gamma; sRGB, preferred timing */
		0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54, /* sRGB's chromaticities */
		0x21, 0x08, 0x00,                                           /* 640x480, 800x600, 1024x768 at 60 Hz */
	};
	static const u8 timing[18] = {
		0x64, 0x19,                   /* 65 MHz */
		0x00, 0x40, 0x41,             /* 1024, blank 320 */
		0x00, 0x26, 0x30,             /* 768, blank 38 */
		0x18, 0x88, 0x36, 0x00,       /* sync: 24 and 136 across, 3 and 6 down */
		0x00, 0x00, 0x00, 0x00, 0x00, /* no size, no border */
		0x18,                         /* separate sync */
	};
	static const u8 name[18] = {
		0, 0, 0, 0xfc, 0, 'M', 'i', 'c', 'a', '\n', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '
	};
	static const u8 unused[18] = { 0, 0, 0, 0x10 };
	u8 sum = 0;

	memset(edid, 0, 128);
	memcpy(edid, head, sizeof(head));
	memset(edid + 38, 0x01, 16); /* no standard timings */
	memcpy(edid + 54, timing, 18);
	memcpy(edid + 72, name, 18);
	memcpy(edid + 90, unused, 18);
	memcpy(edid + 108, unused, 18);
	for (unsigned i = 0; i < 127; i++)
		sum = (u8)(sum + edid[i]);
	edid[127] = (u8)-sum;
}
