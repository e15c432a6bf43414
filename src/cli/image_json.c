/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_json.c - what mica image found out, for programs: names as qemu-img's where it has them (image.h). */
#include "cli/image.h"

#include <jansson.h>

static const char *text(const struct record *r, unsigned i)
{
	return r->s[i] ? r->s[i] : "";
}

/* What an image says may be no UTF-8. */
static json_t *string(const char *s)
{
	json_t *j = json_string(s);

	if (j)
		return j;
	char *t = xstrdup(s);
	for (char *p = t; *p; p++)
		*p = *p & 0x80 ? '?' : *p;
	j = json_string(t);
	free(t);
	return j;
}

static json_t *number(u64 n)
{
	return json_integer((json_int_t)n);
}

static void print(json_t *j)
{
	json_dumpf(j, stdout, JSON_INDENT(4));
	putchar('\n');
	json_decref(j);
}

/* ---- info ---- */

static json_t *image(const struct record *r)
{
	json_t *j = json_object();

	json_object_set_new(j, "filename", string(text(r, IMAGE_S_FILE)));
	json_object_set_new(j, "format", string(text(r, IMAGE_S_FORMAT)));
	json_object_set_new(j, "virtual-size", number(r->n[IMAGE_N_BYTES]));
	json_object_set_new(j, "actual-size", number(r->n[IMAGE_N_HOST_BYTES]));
	json_object_set_new(j, "file-size", number(r->n[IMAGE_N_FILE_BYTES]));
	if (r->n[IMAGE_N_CLUSTER_BYTES])
		json_object_set_new(j, "cluster-size", number(r->n[IMAGE_N_CLUSTER_BYTES]));
	if (*text(r, IMAGE_S_BACKING))
		json_object_set_new(j, "backing-filename", string(text(r, IMAGE_S_BACKING)));
	if (*text(r, IMAGE_S_BACKING_FORMAT))
		json_object_set_new(j, "backing-filename-format", string(text(r, IMAGE_S_BACKING_FORMAT)));
	json_object_set_new(j, "encrypted", json_boolean(r->n[IMAGE_N_FLAGS] & RECORD_ENCRYPTED));
	json_object_set_new(j, "guessed", json_boolean(r->n[IMAGE_N_FLAGS] & RECORD_GUESSED));
	json_object_set_new(j, "snapshots", json_array());
	json_object_set_new(j, "format-specific", json_object());
	return j;
}

static json_t *snapshot(const struct record *r)
{
	json_t *j = json_object();

	json_object_set_new(j, "id", string(text(r, SNAPSHOT_S_ID)));
	json_object_set_new(j, "name", string(text(r, SNAPSHOT_S_NAME)));
	json_object_set_new(j, "vm-state-size", number(r->n[SNAPSHOT_N_STATE_BYTES]));
	json_object_set_new(j, "disk-size", number(r->n[SNAPSHOT_N_DISK_BYTES]));
	json_object_set_new(j, "date-sec", number(r->n[SNAPSHOT_N_SECONDS]));
	return j;
}

void image_json_info(const struct image_records *l, bool chain)
{
	json_t *all = json_array(), *now = NULL;

	for (unsigned i = 0; i < l->n; i++) {
		const struct record *r = &l->r[i];
		if (r->kind == RECORD_IMAGE)
			json_array_append_new(all, now = image(r));
		else if (r->kind == RECORD_SNAPSHOT && now)
			json_array_append_new(json_object_get(now, "snapshots"), snapshot(r));
		else if (r->kind == RECORD_FACT && now && json_object_get(now, "format-specific"))
			json_object_set_new(json_object_get(now, "format-specific"), text(r, FACT_S_NAME),
					    string(text(r, FACT_S_VALUE)));
	}
	if (chain) {
		print(all);
		return;
	}
	print(json_incref(json_array_get(all, 0)));
	json_decref(all);
}

/* ---- map: a list that is as long as it is ---- */

int image_json_map(void *opaque, const struct record *r)
{
	u64 flags = r->n[RUN_N_FLAGS];
	unsigned *lines = opaque;

	if (r->kind != RECORD_RUN)
		return 0;
	printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %llu, \"present\": %s, \"zero\": %s, \"data\": %s, "
	       "\"compressed\": %s",
	       (*lines)++ ? ",\n" : "[", (unsigned long long)r->n[RUN_N_START], (unsigned long long)r->n[RUN_N_BYTES],
	       (unsigned long long)r->n[RUN_N_DEPTH], flags & RECORD_RUN_PRESENT ? "true" : "false",
	       flags & RECORD_RUN_ZERO ? "true" : "false", flags & RECORD_RUN_DATA ? "true" : "false",
	       flags & RECORD_RUN_COMPRESSED ? "true" : "false");
	if (flags & RECORD_RUN_PLACE)
		printf(", \"offset\": %llu", (unsigned long long)r->n[RUN_N_OFFSET]);
	putchar('}');
	return ferror(stdout) ? -EPIPE : 0;
}

void image_json_map_end(unsigned lines)
{
	puts(lines ? "]" : "[]");
}

/* ---- check, measure, compare ---- */

void image_json_check(const struct image_records *l)
{
	static const struct {
		const char *name;
		unsigned n;
	} counts[] = { { "total-clusters", CHECK_N_TOTAL },
		       { "allocated-clusters", CHECK_N_ALLOCATED },
		       { "compressed-clusters", CHECK_N_COMPRESSED },
		       { "fragmented-clusters", CHECK_N_FRAGMENTED },
		       { "corruptions", CHECK_N_CORRUPT },
		       { "leaks", CHECK_N_LEAKED },
		       { "corruptions-fixed", CHECK_N_CORRUPT_FIXED },
		       { "leaks-fixed", CHECK_N_LEAKED_FIXED },
		       { "image-end-offset", CHECK_N_END } };
	json_t *j = json_object(), *lines = json_array();

	for (unsigned i = 0; i < l->n; i++) {
		const struct record *r = &l->r[i];
		if (r->kind == RECORD_FINDING)
			json_array_append_new(lines, string(text(r, FINDING_S_LINE)));
		if (r->kind != RECORD_CHECK)
			continue;
		json_object_set_new(j, "filename", string(text(r, CHECK_S_FILE)));
		json_object_set_new(j, "format", string(text(r, CHECK_S_FORMAT)));
		for (unsigned k = 0; k < ARRAY_LEN(counts); k++)
			json_object_set_new(j, counts[k].name, number(r->n[counts[k].n]));
	}
	json_object_set_new(j, "findings", lines);
	print(j);
}

void image_json_measure(const struct image_records *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->r[i].kind == RECORD_MEASURE) {
			json_t *j = json_object();
			json_object_set_new(j, "required", number(l->r[i].n[MEASURE_N_REQUIRED]));
			json_object_set_new(j, "fully-allocated", number(l->r[i].n[MEASURE_N_FULL]));
			print(j);
		}
}

void image_json_compare(const struct image_records *l, bool same)
{
	static const char *const what[] = { "content", "tail", "allocation" };
	json_t *j = json_object();

	json_object_set_new(j, "same", json_boolean(same));
	for (unsigned i = 0; i < l->n; i++) {
		const struct record *r = &l->r[i];
		if (r->kind == RECORD_SIZES)
			json_object_set_new(
			    j, "sizes",
			    json_pack("[I,I]", (json_int_t)r->n[SIZES_N_FIRST], (json_int_t)r->n[SIZES_N_SECOND]));
		if (r->kind != RECORD_DIFFERENCE)
			continue;
		json_object_set_new(j, "offset", number(r->n[DIFFERENCE_N_OFFSET]));
		json_object_set_new(j, "difference",
				    json_string(what[MIN(r->n[DIFFERENCE_N_WHAT], ARRAY_LEN(what) - 1)]));
	}
	print(j);
}
