/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plain.h - text that others wrote (a guest, a file, whoever named a file) on its way to a terminal: it must not move
 * the cursor, change the title, send answers, or show something else than it is.
 */
#ifndef MICA_PLAIN_H
#define MICA_PLAIN_H

/* Makes s one plain line, in place: '?' for control characters (ASCII's, and UTF-8's of U+0080 to U+009F), for line and
 * paragraph separators, and for those that turn the direction of writing (Unicode TR 36, 3.1). */
void plain_text(char *s);

#endif
