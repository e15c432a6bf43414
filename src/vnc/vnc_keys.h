/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vnc_keys.h - clients that say which key was pressed; of mica-vnc. */
#ifndef MICA_VNC_KEYS_H
#define MICA_VNC_KEYS_H

#include "base/base.h"

#include <rfb/rfb.h>

typedef void vnc_key_fn(u32 keysym, u32 keycode, bool down);

/* Once, before there are clients. */
void vnc_keys_init(vnc_key_fn *fn);

#endif
