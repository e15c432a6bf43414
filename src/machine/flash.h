/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flash.h - a NOR flash chip with Intel's command set (JEDEC JEP137, primary vendor command set 0001h; Intel 28F
 * StrataFlash data sheets): where UEFI firmware keeps its variables.
 *
 * Read as memory (array mode), it is an extent of guest memory that nobody may write; what is written to it are
 * commands, which come here. From the first command until READ ARRAY the chip answers reads itself. What has been
 * programmed or erased is written to the file at READ ARRAY, and before the VM is saved: variables survive the VM.
 *
 * Threads: any, but where another is named.
 */
#ifndef MICA_FLASH_H
#define MICA_FLASH_H

#include "base/err.h"
#include "base/ram.h"
#include "machine/bus.h"

struct flash;
struct state_file;

#define FLASH_BLOCK_BYTES 4096u /* what is erased at once */

/* Its bytes are copied. fd: the file they come from, and are written to; -1: they end with the VM; the caller's. */
int flash_new(struct flash **out, struct bus *bus, struct ram *ram, gpa_t gpa, const u8 *bytes, u64 n, int fd,
	      struct err *e);
void flash_free(struct flash *f);
/* Array mode; the bytes stay. ram_commit() is the caller's. */
void flash_reset(struct flash *f);
/* Save or load a section; no vCPU runs. The bytes are in the memory's sections; loaded ones go to the file. */
int flash_state(struct flash *f, struct state_file *s, struct err *e);

#endif
