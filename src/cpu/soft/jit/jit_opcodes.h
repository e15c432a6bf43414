/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MICA_SOFT_JIT_OPCODES_H
#define MICA_SOFT_JIT_OPCODES_H
#endif
