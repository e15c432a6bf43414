/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table.c - all formats; which one a file is of; options. */
#include "image/image.h"

static const struct image_format *const table[] = { &image_raw,  &image_qcow2, &image_vdi,      &image_vpc,
						    &image_vhdx, &image_vmdk,  &image_parallels };

const struct image_format *image_format_at(unsigned i)
{
	return i < ARRAY_LEN(table) ? table[i] : NULL;
}

const struct image_format *image_format_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (!strcmp(table[i]->name, name))
			return table[i];
	return NULL;
}

const struct image_format *image_format_probe(struct image_file *f)
{
	u8 head[4096], tail[512] = { 0 };
	u64 last = f->bytes >= sizeof(tail) ? f->bytes - sizeof(tail) : 0;

	if (image_pread(f, head, sizeof(head), 0) < 0 || image_pread(f, tail, sizeof(tail), last) < 0)
		return NULL;
	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		if (table[i]->probe && table[i]->probe(head, (size_t)MIN(sizeof(head), f->bytes), tail, f->bytes))
			return table[i];
	return NULL;
}

/* ---- options ---- */

const char *image_option(const char *const *options, const char *name)
{
	size_t n = strlen(name);

	for (; options && *options; options++)
		if (!strncmp(*options, name, n) && (*options)[n] == '=')
			return *options + n + 1;
	return NULL;
}

int image_options_check(const struct image_format_option *known, const char *const *options, const char *format,
			struct err *e)
{
	for (; options && *options; options++) {
		size_t n = strcspn(*options, "=");
		const struct image_format_option *o = known;

		while (o && o->name && (strlen(o->name) != n || strncmp(o->name, *options, n)))
			o++;
		if (!o || !o->name || (*options)[n] != '=')
			return err_set(
			    e, EINVAL,
			    "%s: format %s has no such option; \"mica image create --help\" shows its options",
			    *options, format);
	}
	return 0;
}

int image_option_size(const char *const *options, const char *name, u64 min, u64 max, u64 *v, struct err *e)
{
	const char *s = image_option(options, name);
	char *end;

	if (!s)
		return 0;
	errno = 0;
	u64 n = strtoull(s, &end, 10);
	unsigned shift = *end == 'k' || *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
	if (end == s || errno || end[shift != 0] || n > max >> shift || n << shift < min || (n & (n - 1)))
		return err_set(e, EINVAL, "%s=%s: it has to be a power of two from %llu to %llu", name, s,
			       (unsigned long long)min, (unsigned long long)max);
	*v = n << shift;
	return 0;
}

int image_option_switch(const char *const *options, const char *name, bool *v, struct err *e)
{
	const char *s = image_option(options, name);

	if (s && strcmp(s, "on") && strcmp(s, "off"))
		return err_set(e, EINVAL, "%s=%s: it is on or off", name, s);
	if (s)
		*v = !strcmp(s, "on");
	return 0;
}
