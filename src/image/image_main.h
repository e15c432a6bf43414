/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_main.h - what runs within mica-image. Whoever has another use for it adds a row to the table of image_main.c:
 * the kind of the first message, and a function that gets it, behind the walls, and returns the exit status.
 *
 * Such a function speaks over `link` (link.h) and nothing else: it has the descriptors of its first message, asks for
 * more (image_link_opener), says how far it is, and sends RESULT or ERROR last. It looks for STOP with poll() and
 * image_link_recv(). The link's closing means that nobody waits any more: end.
 */
#ifndef MICA_IMAGE_MAIN_H
#define MICA_IMAGE_MAIN_H

#include "image/link.h"

struct image_main_use {
	u32 kind;
	int (*run)(int link, struct image_msg *m);
};

/* From here on no descriptor can be got any more. */
int image_main_tighten(struct err *e);

#endif
