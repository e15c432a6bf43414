/* SPDX-License-Identifier: GPL-2.0-or-later */
/* optarg.c - see optarg.h. */
#include "cli/optarg.h"
#include "base/i18n.h"

#include <ctype.h>

int optarg_size(u64 *out, const char *s, struct err *e)
{
	static const char units[] = "KMGT";
	char *end;
	u64 n, mul = 1;

	errno = 0;
	n = strtoull(s, &end, 10);
	if (!isdigit((unsigned char)s[0]))
		goto bad;
	if (errno)
		goto large;
	if (*end) {
		const char *u = strchr(units, toupper((unsigned char)*end));
		if (!u || end[1])
			goto bad;
		mul = 1ull << (10 * (u - units + 1));
	}
	if (__builtin_mul_overflow(n, mul, out))
		goto large;
	return 0;
bad:
	return err_set(e, EINVAL, "'%s' is not a size; write 512M or 2G", s);
large:
	return err_set(e, ERANGE, "'%s' is larger than any machine", s);
}

int optarg_uint(unsigned *out, const char *s, unsigned lo, unsigned hi, struct err *e)
{
	char *end;

	errno = 0;
	unsigned long n = strtoul(s, &end, 10);
	if (!isdigit((unsigned char)s[0]) || *end)
		return err_set(e, EINVAL, "'%s' is not a number; write %u to %u", s, lo, hi);
	if (errno || n < lo || n > hi)
		return err_set(e, ERANGE, "%s is out of range; write %u to %u", s, lo, hi);
	*out = (unsigned)n;
	return 0;
}

int optarg_switch(bool *out, const char *key, const char *s, struct err *e)
{
	if (!strcmp(s, "on") || !strcmp(s, "off")) {
		*out = s[1] == 'n';
		return 0;
	}
	return err_set(e, EINVAL, "%s=%s: write %s=on or %s=off", key, s, key, key);
}

char **optarg_split(const char *s)
{
	unsigned n = 0;
	char **v = xcalloc(strlen(s) + 2, sizeof(*v)); /* at most one item per comma, and one more */

	for (;;) {
		char *item = xcalloc(strlen(s) + 1, 1);
		size_t len = 0;
		while (*s && !(s[0] == ',' && s[1] != ',')) {
			s += s[0] == ',';
			item[len++] = *s++;
		}
		v[n++] = item;
		if (!*s++)
			return v;
	}
}

void optarg_split_free(char **v)
{
	for (unsigned i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

const char *optarg_key(const char *item, const char *key)
{
	size_t n = strlen(key);
	return !strncmp(item, key, n) && item[n] == '=' ? item + n + 1 : NULL;
}
