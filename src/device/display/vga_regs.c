/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vga_regs.c - the VGA's ports 3b0 - 3df: sequencer, CRT controller, graphics and attribute controller, palette.
 *
 * Which bits of a register exist is in the masks below: what is not there reads as zero.
 */
#include "device/display/vga.h"

#include "base/clock.h"

static const u8 sr_mask[8] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0 };
static const u8 gr_mask[16] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const u8 ar_mask[32] = { 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
				0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f };
#define CR_LAST 0x18
#define CR_PROTECT 0x11 /* bit 7: registers 0 to 7 cannot be written, but for one bit */

/* ---- input status 1 ---- */

/* 60 pictures a second, of 525 lines. */
#define PICTURE_NS (NSEC_PER_SEC / 60)
#define LINES 525

static u8 retrace(void)
{
	u64 at = clock_mono_ns() % PICTURE_NS, line = at * LINES / PICTURE_NS;
	u64 in_line = at * LINES % PICTURE_NS * 100 / PICTURE_NS;

	if (line >= 480)
		return 0x09; /* vertical retrace, nothing is displayed */
	return in_line >= 80 ? 0x01 : 0;
}

/* ---- the palette ---- */

static void dac_write(struct vga *v, u8 val)
{
	v->dac_in[v->dac_part++] = v->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? val : val & 0x3f;
	if (v->dac_part < 3)
		return;
	v->dac_part = 0;
	memcpy(v->dac[v->dac_write++], v->dac_in, 3);
	vga_touch(v);
}

static u8 dac_read(struct vga *v)
{
	u8 val = v->dac[v->dac_read][v->dac_part++];

	if (v->dac_part == 3) {
		v->dac_part = 0;
		v->dac_read++;
	}
	return val;
}

/* ---- the attribute controller's one port ---- */

static void ar_write(struct vga *v, u8 val)
{
	if (!v->ar_data) {
		v->ar_index = val & 0x3f;
	} else {
		unsigned i = v->ar_index & 0x1f;
		/* The palette proper is the screen's while the source bit is set. */
		if (i >= 16 || !(v->ar_index & AR_SOURCE))
			v->ar[i] = val & ar_mask[i];
	}
	v->ar_data = !v->ar_data;
}

static void cr_write(struct vga *v, u8 val)
{
	unsigned i = v->cr_index;

	if (i > CR_LAST)
		return;
	if (i <= 7 && v->cr[CR_PROTECT] & 0x80) {
		if (i == 7)
			v->cr[7] = (u8)((v->cr[7] & ~0x10) | (val & 0x10));
		return;
	}
	v->cr[i] = val;
}

/* 3b4 and 3b5, 3ba are there in monochrome, 3d4, 3d5 and 3da in colour. */
static bool other_half(const struct vga *v, unsigned port)
{
	return (port >= 0x3b0 && port <= 0x3bf && v->misc & 1) || (port >= 0x3d0 && port <= 0x3df && !(v->misc & 1));
}

u8 vga_port_read(struct vga *v, unsigned port)
{
	if (other_half(v, port))
		return 0xff;
	switch (port) {
	case 0x3c0:
		return v->ar_data ? 0 : v->ar_index;
	case 0x3c1:
		return v->ar[v->ar_index & 0x1f];
	case 0x3c2:
		return 0x10; /* input status 0: a colour monitor is there */
	case 0x3c4:
		return v->sr_index;
	case 0x3c5:
		return v->sr[v->sr_index];
	case 0x3c6:
		return v->dac_mask;
	case 0x3c7:
		return v->dac_reading ? 3 : 0;
	case 0x3c8:
		return v->dac_write;
	case 0x3c9:
		return dac_read(v);
	case 0x3ca:
		return v->feature;
	case 0x3cc:
		return v->misc;
	case 0x3ce:
		return v->gr_index;
	case 0x3cf:
		return v->gr[v->gr_index];
	case 0x3b4:
	case 0x3d4:
		return v->cr_index;
	case 0x3b5:
	case 0x3d5:
		return v->cr[v->cr_index];
	case 0x3ba:
	case 0x3da:
		v->ar_data = false;
		return retrace();
	default:
		return 0xff;
	}
}

void vga_port_write(struct vga *v, unsigned port, u8 val)
{
	if (other_half(v, port))
		return;
	switch (port) {
	case 0x3c0:
		ar_write(v, val);
		break;
	case 0x3c2:
		v->misc = val & 0xef;
		break;
	case 0x3c4:
		v->sr_index = val & 7;
		return;
	case 0x3c5:
		v->sr[v->sr_index] = val & sr_mask[v->sr_index];
		break;
	case 0x3c6:
		v->dac_mask = val;
		break;
	case 0x3c7:
		v->dac_read = val;
		v->dac_part = 0;
		v->dac_reading = true;
		return;
	case 0x3c8:
		v->dac_write = val;
		v->dac_part = 0;
		v->dac_reading = false;
		return;
	case 0x3c9:
		dac_write(v, val);
		return;
	case 0x3ce:
		v->gr_index = val & 15;
		return;
	case 0x3cf:
		v->gr[v->gr_index] = val & gr_mask[v->gr_index];
		break;
	case 0x3b4:
	case 0x3d4:
		v->cr_index = val & 31;
		return;
	case 0x3b5:
	case 0x3d5:
		cr_write(v, val);
		break;
	case 0x3ba:
	case 0x3da:
		v->feature = val & 0x08;
		return;
	default:
		return;
	}
	vga_touch(v);
}

static u64 port_read(void *dev, u64 off, unsigned bytes)
{
	struct vga *v = dev;

	pthread_mutex_lock(&v->lock);
	u8 val = vga_port_read(v, 0x3b0 + (unsigned)off);
	pthread_mutex_unlock(&v->lock);
	return val;
}

static void port_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct vga *v = dev;

	pthread_mutex_lock(&v->lock);
	vga_port_write(v, 0x3b0 + (unsigned)off, (u8)val);
	pthread_mutex_unlock(&v->lock);
}

const struct io_ops vga_port_ops = { .read = port_read, .write = port_write, .max_bytes = 1 };

void vga_regs_reset(struct vga *v)
{
	v->misc = v->feature = 0;
	v->sr_index = v->gr_index = v->cr_index = v->ar_index = 0;
	memset(v->sr, 0, sizeof(v->sr));
	memset(v->gr, 0, sizeof(v->gr));
	memset(v->cr, 0, sizeof(v->cr));
	memset(v->ar, 0, sizeof(v->ar));
	v->ar_data = v->dac_reading = false;
	memset(v->latch, 0, sizeof(v->latch));
	v->dac_mask = 0xff;
	v->dac_read = v->dac_write = v->dac_part = 0;
	memset(v->dac_in, 0, sizeof(v->dac_in));
	memset(v->dac, 0, sizeof(v->dac));
	memset(v->vbe, 0, sizeof(v->vbe));
	v->vbe_index = 0;
	v->vbe[VBE_ID] = 0xb0c5;
	v->vbe[VBE_BPP] = 8;
	v->vbe[VBE_MEMORY_64K] = VGA_MEMORY_BYTES / (64 * KIB);
	vga_touch(v);
}
