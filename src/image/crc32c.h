/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4), as headers of disk images bear it. */
#ifndef MICA_IMAGE_CRC32C_H
#define MICA_IMAGE_CRC32C_H

#include "base/base.h"

/* Goes on from `crc`; 0 begins. */
u32 crc32c(u32 crc, const void *p, size_t n);

#endif
