/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * key.h - keys of a PC keyboard: what each is called, what it sends, and which one makes a character.
 *
 * A key is known by what it sends in scancode set 1: its make code (01 to 7f), with KEY_E0 where e0 comes before it.
 * Three are other: Pause, and the two of Korean keyboards, which send one code when they are pressed and none after.
 */
#ifndef MICA_KEY_H
#define MICA_KEY_H

#include "base/base.h"

#define KEY_E0 0x80u
#define KEY_PAUSE 0x100u
#define KEY_HANJA 0x1f1u  /* the low byte is the code, in all sets */
#define KEY_HANGUL 0x1f2u /* the one that switches between Korean and Latin */
#define KEY_SHIFT 0x2au
#define KEY_PRINT (KEY_E0 | 0x37u)
#define KEY_DOWN 0x8000u /* with a key: it goes down, else up; who types hands over these */

bool key_known(unsigned key);
/* "ctrl", "alt", "delete", "f1", "a", "hangul", ...; 0: no such name. In any case. */
unsigned key_by_name(const char *name, size_t bytes);
/* As on an American keyboard. 0: none makes it. */
unsigned key_of_char(u32 c, bool *shift);
/* By the X11 keysym that RFB clients send (the X protocol, appendix A), Korean letters by where they are on a Korean
 * keyboard of two sets (KS X 5002). 0: none. */
unsigned key_of_keysym(u32 sym);
/* By the key code of RFB's QEMU extended key event: set 1 with 80 for e0, whatever is printed on the key. 0: none. */
unsigned key_of_keycode(u32 code);

/* What it sends when it goes down or up, in set 1, 2 or 3. Returns how many bytes. */
#define KEY_BYTES_MAX 8
unsigned key_bytes(u8 out[KEY_BYTES_MAX], unsigned key, bool down, unsigned set);
/* Of set 2 to set 1, as the keyboard controller does it. */
u8 key_translate(u8 code);

/* ---- key_usage.c ---- */
/* Its usage of USB's keyboard page (from KEY_USAGE_MODIFIERS on: eight keys that shift). 0: none. */
#define KEY_USAGE_MODIFIERS 0xe0u
u8 key_usage(unsigned key);
/* Its event code of Linux. 0: none. */
u8 key_event_code(unsigned key);

#endif
