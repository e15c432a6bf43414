/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_images.h - tiny kernels of every kind, made in memory, and files to pass them in. */
#ifndef MICA_TEST_BOOT_IMAGES_H
#define MICA_TEST_BOOT_IMAGES_H

#include "base/base.h"

#define IMAGE_MAX 16384

/* Each fills buf (IMAGE_MAX bytes) and returns how many bytes the file has. All code bytes are 0xf4. */
size_t image_linux(u8 *buf, u64 pref_address, u32 init_bytes);
#define IMAGE_PVH_ENTRY 0x200040u
size_t image_pvh(u8 *buf, bool is64);      /* loads 0x200000-0x203000, of which 0x1000 from the file */
#define IMAGE_MB_ENTRY 0x100020u           /* physical; the ELF one is linked at +0xc0000000 */
size_t image_multiboot_elf(u8 *buf);       /* loads 0x100000-0x102000 */
size_t image_multiboot_addresses(u8 *buf); /* loads 0x100000-0x101800 */

/* A file with these bytes: sets path to a name under which it can be opened; returns the fd. */
int image_file(const void *bytes, size_t n, char path[64]);

#endif
