/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vga_window.c - a0000 - bffff: the window through which programs reach the planes, with the graphics controller's
 * latches, its two ways to read and four ways to write.
 *
 * Three things lie between an address and a byte (Graphics Controller registers 5 and 6, Sequencer register 4):
 *   chain 4     the two lowest bits of the address say which plane
 *   odd/even    the lowest bit says: planes 0 and 2, or 1 and 3
 *   neither     all planes at once
 * The Bochs modes of 8 bits a pixel and more do without any of it: a bank of 64 KiB is seen at a0000.
 */
#include "device/display/vga.h"

#define MEMORY_MASK ((u32)VGA_MEMORY_BYTES - 1)

/* A byte of each plane, in the order in which they lie in memory. */
static u32 expand(unsigned planes)
{
	return (planes & 1 ? 0xffu : 0) | (planes & 2 ? 0xff00u : 0) | (planes & 4 ? 0xff0000u : 0) |
	       (planes & 8 ? 0xff000000u : 0);
}

static u8 rotate(u8 v, unsigned n)
{
	return (u8)(v >> n | v << (8 - n));
}

/* Which part of the window answers; false: not this one. */
static bool in_window(const struct vga *v, u32 *at)
{
	static const struct {
		u32 first, bytes;
	} maps[] = { { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 } };
	unsigned i = v->gr[GR_MISC] >> 2 & 3;

	*at -= maps[i].first;
	return *at < maps[i].bytes;
}

/* A bank of the linear modes; false: the planes. */
static bool linear(const struct vga *v, u32 at, u32 *index)
{
	if (!vga_vbe_on(v) || v->vbe[VBE_BPP] <= 4)
		return false;
	*index = ((u32)v->vbe[VBE_BANK] << 16 | (at & 0xffff)) & MEMORY_MASK;
	return true;
}

/* Where in memory the four bytes of plane address `at` are. */
static u32 quad(const struct vga *v, u32 at)
{
	return ((vga_vbe_on(v) ? (u32)v->vbe[VBE_BANK] << 16 : 0) + at) * 4 & MEMORY_MASK;
}

static void put(struct vga *v, u32 index, const void *from, unsigned bytes)
{
	memcpy(v->memory + index, from, bytes);
	ram_wrote_at(v->ram, v->off + index, bytes);
}

static u8 read_one(struct vga *v, u32 at)
{
	u32 index, latch;

	if (linear(v, at, &index))
		return at < 0x10000 ? v->memory[index] : 0xff;
	if (!in_window(v, &at))
		return 0xff;
	if (v->sr[SR_MODE] & SR_MODE_CHAIN4)
		return v->memory[quad(v, at & ~3u) + (at & 3)];
	unsigned plane = v->gr[GR_READ_PLANE];
	if (v->gr[GR_MODE] & 0x10) {
		plane = (plane & 2) | (at & 1);
		at &= ~1u;
	}
	memcpy(v->latch, v->memory + quad(v, at), 4);
	if (!(v->gr[GR_MODE] & 0x08))
		return v->latch[plane];
	/* Read mode 1: a bit is set where all planes that count have the colour. */
	latch = (ld_le32(v->latch) ^ expand(v->gr[GR_COMPARE])) & expand(v->gr[GR_DONT_CARE]);
	return (u8) ~(latch | latch >> 8 | latch >> 16 | latch >> 24);
}

/* What the four write modes make of a byte and the latches. */
static u32 modified(const struct vga *v, u8 val)
{
	u32 latch = ld_le32(v->latch), bits = v->gr[GR_BIT_MASK] * 0x01010101u, new;
	u8 turned = rotate(val, v->gr[GR_ROTATE] & 7);

	switch (v->gr[GR_MODE] & 3) {
	case 0: {
		u32 set = expand(v->gr[GR_ENABLE_SET_RESET]);
		new = (turned * 0x01010101u & ~set) | (expand(v->gr[GR_SET_RESET]) & set);
		break;
	}
	case 1:
		return latch;
	case 2:
		new = expand(val & 15);
		break;
	default:
		bits &= turned * 0x01010101u;
		new = expand(v->gr[GR_SET_RESET]);
	}
	switch (v->gr[GR_ROTATE] >> 3 & 3) {
	case 1:
		new &= latch;
		break;
	case 2:
		new |= latch;
		break;
	case 3:
		new ^= latch;
		break;
	default:
		break;
	}
	return (new &bits) | (latch & ~bits);
}

static void write_one(struct vga *v, u32 at, u8 val)
{
	unsigned planes = v->sr[SR_MAP_MASK];
	u32 index;

	if (linear(v, at, &index)) {
		if (at < 0x10000)
			put(v, index, &val, 1);
		return;
	}
	if (!in_window(v, &at))
		return;
	if (v->sr[SR_MODE] & SR_MODE_CHAIN4) {
		if (planes >> (at & 3) & 1)
			put(v, quad(v, at & ~3u) + (at & 3), &val, 1);
		return;
	}
	if (!(v->sr[SR_MODE] & SR_MODE_SEQUENTIAL)) {
		planes &= at & 1 ? 0x0a : 0x05;
		at &= ~1u;
	}
	index = quad(v, at);
	u32 mask = expand(planes), is = ld_le32(v->memory + index), new = modified(v, val);
	new = (new &mask) | (is & ~mask);
	put(v, index, &new, 4);
}

static u64 window_read(void *dev, u64 off, unsigned bytes)
{
	struct vga *v = dev;

	pthread_mutex_lock(&v->lock);
	u8 val = read_one(v, (u32)off);
	pthread_mutex_unlock(&v->lock);
	return val;
}

static void window_write(void *dev, u64 off, unsigned bytes, u64 val)
{
	struct vga *v = dev;

	pthread_mutex_lock(&v->lock);
	write_one(v, (u32)off, (u8)val);
	vga_touch(v);
	pthread_mutex_unlock(&v->lock);
}

const struct io_ops vga_window_ops = { .read = window_read, .write = window_write, .max_bytes = 1 };
