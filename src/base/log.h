/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - lines for the operator, on stderr, one write(2) each. Any thread.
 *
 * Errors, warnings and what a guest causes are read by whoever runs the VM: in English here, they are shown in his
 * language, as err.h's messages are (so their texts go into po/ko.po, and arguments that are words are _() already).
 * What --verbose shows besides, and what developers see, is English.
 *
 * Guest-caused lines use log_guest(). A guest can neither flood its host's log, nor fill it: at most
 * LOG_GUEST_SECOND of them leave in a second and LOG_GUEST_TOTAL in the life of the process; the last one says so, the
 * rest are counted. Nor can it stop the VM by them: where stderr takes no more (a pipe that nobody reads, a terminal
 * that is held) they are dropped, and our own wait LOG_WAIT_MS at most.
 */
#ifndef MICA_LOG_H
#define MICA_LOG_H

#include "base/base.h"

#define LOG_GUEST_SECOND 10
#define LOG_GUEST_TOTAL 1000
#define LOG_WAIT_MS 100

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

extern enum log_level log_level; /* set once at start; default LOG_LVL_WARN */

void log_msg(enum log_level level, const char *fmt, ...) printf_like(2, 3);
void log_guest(const char *fmt, ...) printf_like(1, 2);
/* How many lines the guest caused, and how many of them were not written. */
void log_guest_count(u64 *caused, u64 *dropped);

#define log_error(...) log_msg(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LVL_DEBUG, __VA_ARGS__)

#endif
