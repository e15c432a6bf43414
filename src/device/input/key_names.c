/* SPDX-License-Identifier: GPL-2.0-or-later */
/* key_names.c - names of keys, which key makes a character on an American keyboard, and X11's keysyms. */
#include "device/input/key.h"

#include <ctype.h>

static const struct {
	const char *name;
	u16 key;
	u16 sym; /* 0: the character of that name, or none */
} names[] = {
	{ "esc", 0x01, 0xff1b },
	{ "backspace", 0x0e, 0xff08 },
	{ "tab", 0x0f, 0xff09 },
	{ "enter", 0x1c, 0xff0d },
	{ "ctrl", 0x1d, 0xffe3 },
	{ "shift", 0x2a, 0xffe1 },
	{ "right-shift", 0x36, 0xffe2 },
	{ "keypad-multiply", 0x37, 0xffaa },
	{ "alt", 0x38, 0xffe9 },
	{ "space", 0x39, 0x0020 },
	{ "caps-lock", 0x3a, 0xffe5 },
	{ "f1", 0x3b, 0xffbe },
	{ "f2", 0x3c, 0xffbf },
	{ "f3", 0x3d, 0xffc0 },
	{ "f4", 0x3e, 0xffc1 },
	{ "f5", 0x3f, 0xffc2 },
	{ "f6", 0x40, 0xffc3 },
	{ "f7", 0x41, 0xffc4 },
	{ "f8", 0x42, 0xffc5 },
	{ "f9", 0x43, 0xffc6 },
	{ "f10", 0x44, 0xffc7 },
	{ "num-lock", 0x45, 0xff7f },
	{ "scroll-lock", 0x46, 0xff14 },
	{ "keypad-7", 0x47, 0xffb7 },
	{ "keypad-8", 0x48, 0xffb8 },
	{ "keypad-9", 0x49, 0xffb9 },
	{ "keypad-minus", 0x4a, 0xffad },
	{ "keypad-4", 0x4b, 0xffb4 },
	{ "keypad-5", 0x4c, 0xffb5 },
	{ "keypad-6", 0x4d, 0xffb6 },
	{ "keypad-plus", 0x4e, 0xffab },
	{ "keypad-1", 0x4f, 0xffb1 },
	{ "keypad-2", 0x50, 0xffb2 },
	{ "keypad-3", 0x51, 0xffb3 },
	{ "keypad-0", 0x52, 0xffb0 },
	{ "keypad-dot", 0x53, 0xffae },
	{ "less", 0x56, 0 }, /* between Shift and Z, where there is one */
	{ "f11", 0x57, 0xffc8 },
	{ "f12", 0x58, 0xffc9 },
	{ "keypad-enter", KEY_E0 | 0x1c, 0xff8d },
	{ "right-ctrl", KEY_E0 | 0x1d, 0xffe4 },
	{ "keypad-divide", KEY_E0 | 0x35, 0xffaf },
	{ "print", KEY_PRINT, 0xff61 },
	{ "right-alt", KEY_E0 | 0x38, 0xffea },
	{ "home", KEY_E0 | 0x47, 0xff50 },
	{ "up", KEY_E0 | 0x48, 0xff52 },
	{ "page-up", KEY_E0 | 0x49, 0xff55 },
	{ "left", KEY_E0 | 0x4b, 0xff51 },
	{ "right", KEY_E0 | 0x4d, 0xff53 },
	{ "end", KEY_E0 | 0x4f, 0xff57 },
	{ "down", KEY_E0 | 0x50, 0xff54 },
	{ "page-down", KEY_E0 | 0x51, 0xff56 },
	{ "insert", KEY_E0 | 0x52, 0xff63 },
	{ "delete", KEY_E0 | 0x53, 0xffff },
	{ "super", KEY_E0 | 0x5b, 0xffeb },
	{ "right-super", KEY_E0 | 0x5c, 0xffec },
	{ "menu", KEY_E0 | 0x5d, 0xff67 },
	{ "pause", KEY_PAUSE, 0xff13 },
	{ "hangul", KEY_HANGUL, 0xff31 },
	{ "hanja", KEY_HANJA, 0xff34 },
	/* other names of the same */
	{ "del", KEY_E0 | 0x53, 0 },
	{ "ret", 0x1c, 0 },
	{ "return", 0x1c, 0 },
	{ "escape", 0x01, 0 },
	{ "win", KEY_E0 | 0x5b, 0 },
	{ "pgup", KEY_E0 | 0x49, 0 },
	{ "pgdn", KEY_E0 | 0x51, 0 },
	{ "minus", 0x0c, 0 }, /* which else parts the names of keys pressed together */
	/* keysyms of keys that have one already: ISO level 3 shift, Meta, and the keypad without Num Lock */
	{ "", KEY_E0 | 0x38, 0xfe03 },
	{ "", 0x38, 0xffe7 },
	{ "", KEY_E0 | 0x38, 0xffe8 },
	{ "", 0x0f, 0xfe20 },
	{ "", 0x47, 0xff95 },
	{ "", 0x4b, 0xff96 },
	{ "", 0x48, 0xff97 },
	{ "", 0x4d, 0xff98 },
	{ "", 0x50, 0xff99 },
	{ "", 0x49, 0xff9a },
	{ "", 0x51, 0xff9b },
	{ "", 0x4f, 0xff9c },
	{ "", 0x4c, 0xff9d },
	{ "", 0x52, 0xff9e },
	{ "", 0x53, 0xff9f },
};

/* The four rows, from their first key on: without Shift, and with it. */
static const struct {
	u8 first;
	const char *plain, *shifted;
} rows[] = {
	{ 0x02, "1234567890-=", "!@#$%^&*()_+" },
	{ 0x10, "qwertyuiop[]", "QWERTYUIOP{}" },
	{ 0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~" },
	{ 0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?" },
};

unsigned key_of_char(u32 c, bool *shift)
{
	*shift = false;
	switch (c) {
	case ' ':
		return 0x39;
	case '\n':
	case '\r':
		return 0x1c;
	case '\t':
		return 0x0f;
	case '\b':
		return 0x0e;
	case 0x1b:
		return 0x01;
	default:
		break;
	}
	for (size_t i = 0; c > ' ' && c < 0x7f && i < ARRAY_LEN(rows); i++) {
		const char *p = strchr(rows[i].plain, (int)c), *s = strchr(rows[i].shifted, (int)c);
		*shift = s != NULL;
		if (p || s)
			return rows[i].first + (unsigned)(p ? p - rows[i].plain : s - rows[i].shifted);
	}
	return 0;
}

unsigned key_by_name(const char *name, size_t bytes)
{
	bool shift;

	if (bytes == 1 && *name > ' ' && *name < 0x7f) {
		unsigned key = key_of_char((u32)tolower((unsigned char)*name), &shift);
		return shift ? 0 : key;
	}
	for (size_t i = 0; bytes && i < ARRAY_LEN(names); i++)
		if (strlen(names[i].name) == bytes && !strncasecmp(names[i].name, name, bytes))
			return names[i].key;
	return 0;
}

/* From U+3131 on; those with '-' are of two letters, and typed as such. */
static const char korean[] = "rR-s--eEf-------aqQ-tTdwWczxvgkoiOjpuPh---yn---bm-l";

unsigned key_of_keysym(u32 sym)
{
	bool shift;
	u32 letter = sym >= 0x01003131 ? sym - 0x01003131 : sym - 0x0ea1; /* as Unicode, and as in KS X 1001 */

	if (letter < sizeof(korean) - 1)
		return korean[letter] == '-' ? 0 : key_of_char((u32)korean[letter], &shift);

	/* Which of a key's characters it is says nothing: the client sends Shift by itself. */
	if (sym > ' ' && sym < 0x7f)
		return key_of_char(sym, &shift);
	for (size_t i = 0; sym && i < ARRAY_LEN(names); i++)
		if (names[i].sym == sym)
			return names[i].key;
	return 0;
}
