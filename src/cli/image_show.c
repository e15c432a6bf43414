/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_show.c - what mica image found out, for people (image.h). */
#include "base/i18n.h"
#include "cli/image.h"

#include <time.h>

#define RECORDS_MAX 200000u

static const char *text(const struct record *r, unsigned i)
{
	return r->s[i] ? r->s[i] : "";
}

/* ---- collecting ---- */

int image_records_add(void *records, const struct record *r)
{
	struct image_records *l = records;

	if (l->n == RECORDS_MAX)
		return -E2BIG;
	if ((l->n & (l->n - 1)) == 0)
		l->r = xrealloc(l->r, MAX(l->n * 2, 1u) * sizeof(*l->r));
	struct record *mine = &l->r[l->n++];
	*mine = *r;
	for (unsigned i = 0; i < RECORD_TEXTS; i++)
		mine->s[i] = xstrdup(text(r, i));
	return 0;
}

void image_records_free(struct image_records *l)
{
	for (unsigned i = 0; i < l->n; i++)
		for (unsigned k = 0; k < RECORD_TEXTS; k++)
			free((void *)(uintptr_t)l->r[i].s[k]);
	free(l->r);
	*l = (struct image_records){ 0 };
}

/* ---- formats ---- */

void image_show_formats(const struct image_records *l, FILE *f)
{
	fputs(_("\nFormats, and their options for a new image (-o):\n"), f);
	for (unsigned i = 0; i < l->n; i++) {
		const struct record *r = &l->r[i];
		if (r->kind == RECORD_FORMAT)
			fprintf(f, "  %-12s %s%s\n", text(r, FORMAT_S_NAME), _(text(r, FORMAT_S_TITLE)),
				r->n[FORMAT_N_CREATES] ? "" : _(" (read only)"));
		if (r->kind != RECORD_FORMAT_OPTION || !r->n[FORMAT_OPTION_N_CREATE])
			continue;
		int n = fprintf(f, "      %s=%s", text(r, FORMAT_OPTION_S_NAME), text(r, FORMAT_OPTION_S_VALUES));
		fprintf(f, "%*s%s\n", MAX(34 - n, 1), "",
			*text(r, FORMAT_OPTION_S_HELP) ? _(text(r, FORMAT_OPTION_S_HELP)) : "");
	}
}

/* ---- info ---- */

static void size_line(const char *name, u64 bytes)
{
	printf(_("%s: %s (%llu bytes)\n"), name, image_size_text(bytes), (unsigned long long)bytes);
}

static void show_image(const struct record *r)
{
	printf(_("image: %s\n"), text(r, IMAGE_S_FILE));
	printf(_("format: %s\n"), text(r, IMAGE_S_FORMAT));
	if (r->n[IMAGE_N_FLAGS] & RECORD_GUESSED)
		printf(_("        (it bears the sign of no other format; say -f raw where it is used)\n"));
	size_line(_("virtual size"), r->n[IMAGE_N_BYTES]);
	if (!(r->n[IMAGE_N_FLAGS] & RECORD_DEVICE))
		printf(_("disk size: %s\n"), image_size_text(r->n[IMAGE_N_HOST_BYTES]));
	if (r->n[IMAGE_N_CLUSTER_BYTES])
		printf(_("cluster size: %s\n"), image_size_text(r->n[IMAGE_N_CLUSTER_BYTES]));
	if (r->n[IMAGE_N_FLAGS] & RECORD_ENCRYPTED)
		printf(_("encrypted: yes\n"));
	if (*text(r, IMAGE_S_BACKING))
		printf(_("backing image: %s\n"), text(r, IMAGE_S_BACKING));
	if (*text(r, IMAGE_S_BACKING_FORMAT))
		printf(_("backing format: %s\n"), text(r, IMAGE_S_BACKING_FORMAT));
}

static void show_snapshot(const struct record *r, bool first)
{
	time_t t = (time_t)r->n[SNAPSHOT_N_SECONDS];
	char when[32] = "-";
	struct tm tm;

	if (first)
		printf(_("snapshots:\n    %-6s %-24s %12s %12s  %s\n"), _("id"), _("name"), _("VM state"), _("disk"),
		       _("made"));
	if (localtime_r(&t, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("    %-6s %-24s %12s %12s  %s\n", text(r, SNAPSHOT_S_ID), text(r, SNAPSHOT_S_NAME),
	       image_size_text(r->n[SNAPSHOT_N_STATE_BYTES]), image_size_text(r->n[SNAPSHOT_N_DISK_BYTES]), when);
}

void image_show_info(const struct image_records *l)
{
	enum record_kind last = RECORD_KINDS;

	for (unsigned i = 0; i < l->n; i++) {
		const struct record *r = &l->r[i];
		if (r->kind == RECORD_IMAGE && i)
			putchar('\n');
		if (r->kind == RECORD_IMAGE)
			show_image(r);
		else if (r->kind == RECORD_SNAPSHOT)
			show_snapshot(r, last != RECORD_SNAPSHOT);
		else if (r->kind == RECORD_FACT)
			printf("%s%s: %s\n", last == RECORD_FACT ? "    " : _("of its format:\n    "),
			       text(r, FACT_S_NAME), text(r, FACT_S_VALUE));
		last = r->kind;
	}
}

void image_show_snapshots(const struct image_records *l)
{
	bool first = true;

	for (unsigned i = 0; i < l->n; i++)
		if (l->r[i].kind == RECORD_SNAPSHOT) {
			show_snapshot(&l->r[i], first);
			first = false;
		}
}

/* ---- map ---- */

int image_show_map(void *opaque, const struct record *r)
{
	unsigned *lines = opaque;

	if (r->kind != RECORD_RUN)
		return 0;
	if (!(*lines)++)
		printf("%-18s %-18s %-18s %s\n", _("start"), _("length"), _("in the file at"), _("file"));
	if (r->n[RUN_N_FLAGS] & RECORD_RUN_ZERO)
		return 0;
	printf("%#-18llx %#-18llx ", (unsigned long long)r->n[RUN_N_START], (unsigned long long)r->n[RUN_N_BYTES]);
	if (r->n[RUN_N_FLAGS] & RECORD_RUN_PLACE)
		printf("%#-18llx %s\n", (unsigned long long)r->n[RUN_N_OFFSET], text(r, RUN_S_FILE));
	else
		printf("%-18s\n", r->n[RUN_N_FLAGS] & RECORD_RUN_COMPRESSED ? _("compressed") : "-");
	return ferror(stdout) ? -EPIPE : 0;
}

/* ---- check, measure, compare ---- */

static void show_counts(const struct record *r)
{
	unsigned long long corrupt = r->n[CHECK_N_CORRUPT], leaked = r->n[CHECK_N_LEAKED];
	u64 total = r->n[CHECK_N_TOTAL], allocated = r->n[CHECK_N_ALLOCATED];

	if (r->n[CHECK_N_CORRUPT_FIXED] || r->n[CHECK_N_LEAKED_FIXED])
		printf(_("mended: %llu errors, %llu clusters that nothing uses\n"),
		       (unsigned long long)r->n[CHECK_N_CORRUPT_FIXED], (unsigned long long)r->n[CHECK_N_LEAKED_FIXED]);
	corrupt -= MIN(corrupt, r->n[CHECK_N_CORRUPT_FIXED]);
	leaked -= MIN(leaked, r->n[CHECK_N_LEAKED_FIXED]);
	if (!corrupt && !leaked)
		printf(_("no errors were found\n"));
	if (corrupt)
		printf(_("%llu errors: data may be lost; copy the image before it is mended\n"), corrupt);
	if (leaked)
		printf(_("%llu clusters that nothing uses: room is wasted, no data lost\n"), leaked);
	if (total)
		printf(_("%llu of %llu clusters are allocated (%.1f %%), %llu fragmented, %llu compressed\n"),
		       (unsigned long long)allocated, (unsigned long long)total,
		       100 * (double)allocated / (double)total, (unsigned long long)r->n[CHECK_N_FRAGMENTED],
		       (unsigned long long)r->n[CHECK_N_COMPRESSED]);
	if (r->n[CHECK_N_END])
		size_line(_("in use of the file"), r->n[CHECK_N_END]);
}

void image_show_check(const struct image_records *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->r[i].kind == RECORD_FINDING)
			printf("%s\n", text(&l->r[i], FINDING_S_LINE));
		else if (l->r[i].kind == RECORD_CHECK)
			show_counts(&l->r[i]);
}

void image_show_measure(const struct image_records *l)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->r[i].kind == RECORD_MEASURE) {
			size_line(_("required size"), l->r[i].n[MEASURE_N_REQUIRED]);
			size_line(_("fully allocated size"), l->r[i].n[MEASURE_N_FULL]);
		}
}

void image_show_compare(const struct image_records *l, bool same, bool quiet)
{
	for (unsigned i = 0; !quiet && i < l->n; i++) {
		const struct record *r = &l->r[i];
		unsigned long long at = r->n[DIFFERENCE_N_OFFSET];
		if (r->kind == RECORD_SIZES)
			printf(_("the disks are of different sizes, %llu and %llu bytes\n"),
			       (unsigned long long)r->n[SIZES_N_FIRST], (unsigned long long)r->n[SIZES_N_SECOND]);
		if (r->kind != RECORD_DIFFERENCE)
			continue;
		printf(r->n[DIFFERENCE_N_WHAT] == DIFFERENCE_ALLOCATION
			   ? _("they differ in what is allocated, first at %llu\n")
		       : r->n[DIFFERENCE_N_WHAT] == DIFFERENCE_TAIL
			   ? _("behind the end of the shorter one there is data, first at %llu\n")
			   : _("they differ, first at %llu\n"),
		       at);
	}
	if (!quiet && same)
		printf(_("what they hold is the same\n"));
}
