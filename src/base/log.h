/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - lines for the operator, on stderr, one write(2) each. Any thread.
 *
 * Guest-caused lines use log_guest(): at most 10 a second in total, so that a guest cannot
 * flood its host's log.
 */
#ifndef MICA_LOG_H
#define MICA_LOG_H

#include "base/base.h"

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

extern enum log_level log_level; /* set once at start; default LOG_LVL_WARN */

void log_msg(enum log_level level, const char *fmt, ...) printf_like(2, 3);
void log_guest(const char *fmt, ...) printf_like(1, 2);

#define log_error(...) log_msg(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_LVL_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LVL_DEBUG, __VA_ARGS__)

#endif
