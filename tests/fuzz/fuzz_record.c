/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_record.c - a record from a mica-image that a hostile image has taken over: it is refused, or all of its texts
 * end and are plain. */
#include "image/record.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u8 *buf = memcpy(xcalloc(1, size + 1), data, size);
	u8 again[RECORD_WIRE_BYTES];
	struct record r;

	if (record_unpack(&r, buf, size) == 0) {
		for (unsigned i = 0; i < RECORD_TEXTS; i++)
			must(!strpbrk(r.s[i], "\n\r\x1b\x7f"));
		must(record_pack(&r, again) <= MIN(size, sizeof(again)));
	}
	free(buf);
	return 0;
}
