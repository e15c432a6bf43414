/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_look.h - how a disk wants to be booted, by its first sectors. */
#ifndef MICA_BOOT_LOOK_H
#define MICA_BOOT_LOOK_H

#include "base/base.h"
#include "base/err.h"

enum boot_found { BOOT_NOTHING, BOOT_BIOS, BOOT_UEFI };

/*
 * An EFI system partition in a GPT (UEFI 2.10, 5.3) or an MBR (type EFh), or an El Torito entry for EFI: BOOT_UEFI.
 * Else boot code in the first sector (not only zeros, AA55h at its end), or any other El Torito entry: BOOT_BIOS.
 * The file is only read, and may be anything. An image that has to be parsed is opened as the disk will be.
 */
struct vmm_disk;
int boot_look(enum boot_found *found, const struct vmm_disk *d, struct err *e);
/* The same; read_at: as pread(2), for whatever is not a plain file. */
typedef ssize_t boot_read_fn(void *opaque, void *buf, size_t bytes, u64 off);
enum boot_found boot_look_with(boot_read_fn *read_at, void *opaque);

#endif
