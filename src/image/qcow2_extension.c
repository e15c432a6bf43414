/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2_extension.c - what follows the header ("Header extensions"); the names of features. */
#include "image/qcow2_int.h"

#define FEATURE_BYTES 48u

static const struct {
	u8 kind, bit; /* kind 0: incompatible, 1: compatible, 2: autoclear */
	const char *name;
} features[] = {
	{ 0, 0, "dirty bit" },        { 0, 1, "corrupt bit" },       { 0, 2, "external data file" },
	{ 0, 3, "compression type" }, { 0, 4, "extended L2" },       { 1, 0, "lazy refcounts" },
	{ 2, 0, "bitmaps" },          { 2, 1, "raw external data" },
};

const struct qcow2_extension *qcow2_extension(const struct qcow2 *q, u32 type)
{
	for (unsigned i = 0; i < q->next; i++)
		if (q->ext[i].type == type)
			return &q->ext[i];
	return NULL;
}

static void add(struct qcow2 *q, u32 type, const void *data, u32 bytes)
{
	u8 *copy = xcalloc(1, bytes + 1ull);

	if (bytes)
		memcpy(copy, data, bytes);
	q->ext = xrealloc(q->ext, (q->next + 1) * sizeof(*q->ext));
	q->ext[q->next++] = (struct qcow2_extension){ type, bytes, copy };
}

void qcow2_extension_set(struct qcow2 *q, u32 type, const void *data, u32 bytes)
{
	for (unsigned i = 0; i < q->next; i++) {
		if (q->ext[i].type != type)
			continue;
		free(q->ext[i].data);
		memmove(&q->ext[i], &q->ext[i + 1], (q->next - i - 1) * sizeof(*q->ext));
		q->next--;
		break;
	}
	if (data)
		add(q, type, data, bytes);
}

int qcow2_extensions_load(struct qcow2 *q, struct err *e)
{
	u32 end = q->backing_off ? q->backing_off : q->cluster_bytes, at = q->header_bytes;
	auto_free u8 *c = xcalloc(1, q->cluster_bytes);
	int rc = image_pread(q->file, c, q->cluster_bytes, 0);

	if (rc < 0)
		return err_sys(e, -rc, "its header cannot be read");
	/* Version 2 has them, too, behind its shorter header. */
	while (at <= end && end - at >= 8) {
		u32 type = qcow2_ld32(c + at), bytes = qcow2_ld32(c + at + 4);
		if (type == QCOW2_EXT_END)
			break;
		if (bytes > end - at - 8)
			return err_set(e, EINVAL, "header extension 0x%x is longer than its header", type);
		if (qcow2_extension(q, type) &&
		    (type == QCOW2_EXT_BACKING_FORMAT || type == QCOW2_EXT_BITMAPS || type == QCOW2_EXT_DATA_FILE))
			return err_set(e, EINVAL, "header extension 0x%x is there twice", type);
		add(q, type, c + at + 8, bytes);
		at += 8 + (u32)MIN(ROUND_UP((u64)bytes, 8), end - at - 8);
	}
	return 0;
}

const char *qcow2_feature_name(const struct qcow2 *q, unsigned kind, unsigned bit, char buf[FEATURE_BYTES])
{
	const struct qcow2_extension *x = qcow2_extension(q, QCOW2_EXT_FEATURES);

	for (u32 i = 0; x && i + FEATURE_BYTES <= x->bytes; i += FEATURE_BYTES)
		if (x->data[i] == kind && x->data[i + 1] == bit && x->data[i + 2]) {
			snprintf(buf, FEATURE_BYTES, "%.46s", (const char *)x->data + i + 2);
			return buf;
		}
	snprintf(buf, FEATURE_BYTES, "bit %u", bit);
	return buf;
}

void qcow2_feature_table(struct qcow2 *q)
{
	u8 table[ARRAY_LEN(features) * FEATURE_BYTES] = { 0 };

	for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
		u8 *at = table + (size_t)i * FEATURE_BYTES;
		at[0] = features[i].kind;
		at[1] = features[i].bit;
		memcpy(at + 2, features[i].name, strlen(features[i].name));
	}
	qcow2_extension_set(q, QCOW2_EXT_FEATURES, table, sizeof(table));
}
