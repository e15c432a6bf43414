/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * display64.c - sets modes of the screen as firmware and drivers do, and shows something in each; display.py looks at
 * it. "shown NAME" on the serial port, then a byte there is waited for.
 */
#include "lib.h"

static inline void outw(u32 port, u32 v)
{
	__asm__ volatile("outw %w0, %w1" : : "a"(v), "Nd"(port));
}
static inline u32 inw(u32 port)
{
	unsigned short v;
	__asm__ volatile("inw %w1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline u32 inl(u32 port)
{
	u32 v;
	__asm__ volatile("inl %w1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void shown(const char *name)
{
	say("shown ");
	say(name);
	say("\n");
	while (!(inb(0x3fd) & 1))
		;
	inb(0x3f8);
}

struct mode {
	u8 misc, seq[5], crtc[25], gc[9], ac[21];
};

static const struct mode text = {
	0x67,
	{ 0x03, 0x00, 0x03, 0x00, 0x02 },
	{ 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
	  0x00, 0x00, 0x50, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
	{ 0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff },
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x0c, 0, 0x0f, 8, 0 },
};
static const struct mode planar = {
	0xe3,
	{ 0x03, 0x01, 0x0f, 0x00, 0x06 },
	{ 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
	  0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff },
	{ 0, 0, 0, 0, 0, 0, 5, 0x0f, 0xff },
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1, 0, 0x0f, 0, 0 },
};
static const struct mode bytes = {
	0x63,
	{ 0x03, 0x01, 0x0f, 0x00, 0x0e },
	{ 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
	  0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff },
	{ 0, 0, 0, 0, 0, 0x40, 5, 0x0f, 0xff },
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0, 0x0f, 0, 0 },
};

static void set_mode(const struct mode *m)
{
	outb(0x3c2, m->misc);
	for (u32 i = 0; i < 5; i++)
		outw(0x3c4, m->seq[i] << 8 | i);
	outw(0x3d4, 0x0011); /* registers 0 to 7 can be written */
	for (u32 i = 0; i < 25; i++)
		outw(0x3d4, m->crtc[i] << 8 | i);
	for (u32 i = 0; i < 9; i++)
		outw(0x3ce, m->gc[i] << 8 | i);
	inb(0x3da);
	for (u32 i = 0; i < 21; i++) {
		outb(0x3c0, i);
		outb(0x3c0, m->ac[i]);
	}
	outb(0x3c0, 0x20);
	/* Colour i is (i * 4, 63 - i, i * 7), each modulo 64. */
	outb(0x3c8, 0);
	for (u32 i = 0; i < 256; i++) {
		outb(0x3c9, i * 4 & 63);
		outb(0x3c9, (63 - i) & 63);
		outb(0x3c9, i * 7 & 63);
	}
}

/* Glyph c has in line y the dots c ^ y * 3, written to plane 2 as a font is. */
static void load_font(void)
{
	volatile u8 *a0000 = (u8 *)0xa0000;

	outw(0x3c4, 0x0402);
	outw(0x3c4, 0x0704);
	outw(0x3ce, 0x0204);
	outw(0x3ce, 0x0005);
	outw(0x3ce, 0x0406);
	for (u32 c = 0; c < 256; c++)
		for (u32 y = 0; y < 16; y++)
			a0000[c * 32 + y] = c ^ y * 3;
	outw(0x3c4, 0x0302);
	outw(0x3c4, 0x0304);
	outw(0x3ce, 0x0004);
	outw(0x3ce, 0x1005);
	outw(0x3ce, 0x0e06);
}

static void show_text(void)
{
	volatile u8 *b8000 = (u8 *)0xb8000;

	t("text mode");
	set_mode(&text);
	load_font();
	for (u32 i = 0; i < 80 * 25; i++) {
		b8000[2 * i] = i * 7;
		b8000[2 * i + 1] = i % 128;
	}
	/* The cursor: lines 13 and 14 of cell 162. */
	outw(0x3d4, 0x000e);
	outw(0x3d4, 0xa20f);
	eq(b8000[14], 49);
	eq(b8000[15], 7);
	shown("text");
}

static void show_planar(void)
{
	volatile u8 *a0000 = (u8 *)0xa0000;

	t("planar mode");
	set_mode(&planar);
	/* Write mode 2: lines of colour y % 16, 8 pixels a byte. */
	outw(0x3ce, 0x0205);
	for (u32 y = 0; y < 480; y++)
		for (u32 x = 0; x < 80; x++)
			a0000[y * 80 + x] = y;
	/* Write mode 0 with set/reset and a bit mask: every pixel x % 8 == 3 is XORed with 5. */
	outw(0x3ce, 0x0005);
	outw(0x3ce, 0x0500);
	outw(0x3ce, 0x0f01);
	outw(0x3ce, 0x1803);
	outw(0x3ce, 0x1008);
	for (u32 i = 0; i < 80 * 480; i++)
		a0000[i] = a0000[i];
	/* Write mode 1: line 100 is copied to line 7. */
	outw(0x3ce, 0x0105);
	for (u32 x = 0; x < 80; x++)
		a0000[7 * 80 + x] = a0000[100 * 80 + x];
	/* Read mode 1: where is colour 5 ^ 2, which is (line 2 ^ 5)? */
	outw(0x3ce, 0x0805);
	outw(0x3ce, 0x0702);
	eq(a0000[2 * 80], 0x10);
	outw(0x3ce, 0x0202);
	eq(a0000[2 * 80], 0xef);
	shown("planar");
}

static void show_bytes(void)
{
	volatile u8 *a0000 = (u8 *)0xa0000;

	t("mode 13h");
	set_mode(&bytes);
	for (u32 y = 0; y < 200; y++)
		for (u32 x = 0; x < 320; x++)
			a0000[y * 320 + x] = x + y;
	eq(a0000[320 * 100 + 17], 117);
	shown("bytes");
}

static void vbe(u32 index, u32 value)
{
	outw(0x1ce, index);
	outw(0x1cf, value);
}

static u32 cfg(u32 slot, u32 reg)
{
	outl(0xcf8, 0x80000000u | slot << 11 | reg);
	return inl(0xcfc);
}

static void show_linear(void)
{
	u32 slot = 0;

	t("linear mode");
	while (slot < 32 && cfg(slot, 0) != 0x11111234)
		slot++;
	eq(slot < 32, true);
	eq(cfg(slot, 8) >> 8, 0x030000);
	volatile u32 *video = (u32 *)(word)(cfg(slot, 0x10) & ~15u);
	volatile unsigned short *regs = (unsigned short *)(word)((cfg(slot, 0x18) & ~15u) + 0x500);

	vbe(4, 0);
	outw(0x1ce, 0);
	eq(inw(0x1cf) & 0xfff0, 0xb0c0);
	vbe(1, 800);
	vbe(2, 600);
	vbe(3, 32);
	vbe(4, 0x41);
	eq(regs[1], 800);
	eq(regs[4], 0x41);
	for (u32 y = 0; y < 600; y++)
		for (u32 x = 0; x < 800; x++)
			video[y * 800 + x] = x << 16 | y << 4 | (x ^ y) << 1;
	shown("linear");
	/* A line further down and 16 pixels to the right, by BAR 2. */
	regs[6] = 1024;
	regs[8] = 16;
	regs[9] = 1;
	eq(regs[6], 1024);
	shown("moved");
	/* 16 bits a pixel. */
	vbe(4, 0);
	vbe(3, 16);
	vbe(4, 0x41);
	for (u32 i = 0; i < 800 * 600; i++)
		((volatile unsigned short *)video)[i] = i * 11;
	shown("packed");
	vbe(4, 0);
}

/* Bytes of the keyboard and the mouse, as they come. */
static int next_byte(void)
{
	for (u32 i = 0; i < 2000000; i++)
		if (inb(0x64) & 1)
			return inb(0x60);
	return -1;
}

static void show_keys(void)
{
	static const u8 want[] = { 0x2a, 0x1e, 0x9e, 0xaa, 0xe0, 0x53, 0xe0, 0xd3 };

	t("keyboard");
	outb(0x64, 0xaa);
	eq(next_byte(), 0x55);
	outb(0x64, 0x60);
	outb(0x60, 0x44);
	outb(0x60, 0xf4);
	eq(next_byte(), 0xfa);
	outb(0x64, 0xd4);
	outb(0x60, 0xf4);
	eq(next_byte(), 0xfa);
	/* Shift and A, Delete. */
	shown("keys");
	for (u32 i = 0; i < sizeof(want); i++)
		eq(next_byte(), want[i]);
	/* 20 to the right, 10 up, with its left button. */
	if (!t("mouse"))
		return;
	shown("mouse");
	u32 buttons = 0;
	s32 dx = 0, dy = 0;
	for (u32 gaps = 0; gaps < 20 && (dx != 20 || dy != 10);) { /* a host that is busy brings them late */
		int first = next_byte();
		if (first < 0) {
			gaps++;
			continue;
		}
		int x = next_byte(), y = next_byte();

		buttons |= first & 7;
		dx += first & 0x10 ? x - 256 : x;
		dy += first & 0x20 ? y - 256 : y;
	}
	eq(next_byte(), -1);
	eq(buttons, 1);
	eq(dx, 20);
	eq(dy, 10);
}

int main(void)
{
	show_text();
	show_planar();
	show_bytes();
	show_linear();
	show_keys();
	return 0;
}
