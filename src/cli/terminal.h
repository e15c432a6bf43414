/* SPDX-License-Identifier: GPL-2.0-or-later */
/* terminal.h - the terminal on standard input: taken over for a guest's console, and given back whatever happens. */
#ifndef MICA_TERMINAL_H
#define MICA_TERMINAL_H

#include "base/base.h"

/* Take it over, when standard input is one; before signals may come, at most once. */
bool terminal_take(void);
/* Give it back; any time, also in a signal handler. */
void terminal_restore(void);
/* After SIGCONT: take it over again, where we are in the foreground. */
void terminal_again(void);

bool terminal_ours(void); /* terminal_take() took it */
bool terminal_is_raw(void);
/* Text of our own to standard error, whatever mode the terminal is in. */
void terminal_say(const char *text);

#endif
