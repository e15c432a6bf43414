/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_info.c - what people want to know of an image. The names are those of the options of create, and of the manual.
 */
#include "image/qcow2_int.h"

void qcow2_info(struct image *m, void (*say)(void *opaque, const char *name, const char *value), void *opaque)
{
	struct qcow2 *q = qcow2_of(m);
	char text[32];

	say(opaque, "compat", q->version == 2 ? "0.10" : "1.1");
	say(opaque, "compression_type", q->compression == QCOW2_ZSTD ? "zstd" : "zlib");
	snprintf(text, sizeof(text), "%u", 1u << q->refcount_order);
	say(opaque, "refcount_bits", text);
	say(opaque, "lazy_refcounts", q->lazy ? "on" : "off");
	say(opaque, "extended_l2", q->ext_l2 ? "on" : "off");
	say(opaque, "dirty", q->incompat & QCOW2_INCOMPAT_DIRTY ? "on" : "off");
	say(opaque, "corrupt", q->incompat & QCOW2_INCOMPAT_CORRUPT ? "on" : "off");
	const struct qcow2_extension *x = qcow2_extension(q, QCOW2_EXT_DATA_FILE);
	if (qcow2_external(q) && x) {
		say(opaque, "data_file", (const char *)x->data);
		say(opaque, "data_file_raw", q->data_raw ? "on" : "off");
	}
	x = qcow2_extension(q, QCOW2_EXT_BITMAPS);
	if (x && x->bytes >= 4) {
		snprintf(text, sizeof(text), "%u", qcow2_ld32(x->data));
		say(opaque, "bitmaps", text);
	}
}
