/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_options.c - see engine_options.h. */
#include "vmm/engine_options.h"
#include "base/i18n.h"

static const char *value(const char *item, const char *key)
{
	size_t n = strlen(key);

	return !strncmp(item, key, n) && item[n] == '=' ? item + n + 1 : NULL;
}

static int choose(const char *const *names, unsigned n, const char *v)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(names[i], v))
			return (int)i;
	return -1;
}

/* "300K", "64M", "1G" */
static bool size(u64 *out, const char *s)
{
	char *end;
	unsigned shift = 0;

	if (*s < '0' || *s > '9')
		return false;
	u64 v = strtoull(s, &end, 10);
	if (*end == 'K' || *end == 'k')
		shift = 10;
	else if (*end == 'M' || *end == 'm')
		shift = 20;
	else if (*end == 'G' || *end == 'g')
		shift = 30;
	*out = v << shift;
	return v <= UINT64_MAX >> shift && !end[shift ? 1 : 0];
}

static int parse_one(struct soft_options *o, const char *item, struct err *e)
{
	static const char *const translate[] = {
		[SOFT_TRANSLATE_ON] = "on",
		[SOFT_TRANSLATE_OFF] = "off",
		[SOFT_TRANSLATE_EXACT] = "exact",
	};
	static const char *const check[] = {
		[SOFT_CHECK_OFF] = "off",
		[SOFT_CHECK_ON] = "on",
		[SOFT_CHECK_ALL] = "all",
		[SOFT_CHECK_REPORT] = "report",
	};
	static const char *const direct[] = {
		[SOFT_DIRECT_ON] = "on",
		[SOFT_DIRECT_OFF] = "off",
		[SOFT_DIRECT_ALWAYS] = "always",
	};
	static const char *const onoff[] = { "off", "on" };
	const char *v;
	int k;

	if ((v = value(item, "translate"))) {
		if ((k = choose(translate, ARRAY_LEN(translate), v)) < 0)
			return err_set(e, EINVAL, "%s: write translate=on, off or exact", item);
		o->translate = (enum soft_translate)k;
		return 0;
	}
	if ((v = value(item, "heat"))) {
		u64 n;
		if (!size(&n, v) || n < 1 || n > SOFT_HEAT_MAX)
			return err_set(e, EINVAL, "%s: write heat=1 to heat=%u", item, SOFT_HEAT_MAX);
		o->heat = (u32)n;
		return 0;
	}
	if ((v = value(item, "cache"))) {
		if (!size(&o->cache_bytes, v) || o->cache_bytes < SOFT_CACHE_MIN || o->cache_bytes > SOFT_CACHE_MAX)
			return err_set(e, EINVAL, "%s: write a size from %lluK to %lluM", item, SOFT_CACHE_MIN / KIB,
				       SOFT_CACHE_MAX / MIB);
		return 0;
	}
	if ((v = value(item, "check"))) {
		if ((k = choose(check, ARRAY_LEN(check), v)) < 0)
			return err_set(e, EINVAL, "%s: write check=off, on, all or report", item);
		o->check = (enum soft_check)k;
		return 0;
	}
	if ((v = value(item, "direct"))) {
		if ((k = choose(direct, ARRAY_LEN(direct), v)) < 0)
			return err_set(e, EINVAL, "%s: write direct=on, off or always", item);
		o->direct = (enum soft_direct)k;
		return 0;
	}
	if ((v = value(item, "perfmap"))) {
		if ((k = choose(onoff, ARRAY_LEN(onoff), v)) < 0)
			return err_set(e, EINVAL, "%s: write perfmap=on or perfmap=off", item);
		o->perf_map = k;
		return 0;
	}
	return err_set(e, EINVAL,
		       "'%s' is not known; write translate=, direct=, heat=, cache=, check= or perfmap=", item);
}

int engine_options_parse(struct soft_options *o, char *const *items, unsigned n, struct err *e)
{
	*o = (struct soft_options){ 0 };
	for (unsigned i = 0; i < n; i++) {
		int r = parse_one(o, items[i], e);
		if (r < 0)
			return r;
	}
	if (o->translate == SOFT_TRANSLATE_OFF && (o->check || o->heat || o->cache_bytes || o->perf_map))
		return err_set(e, EINVAL, "translate=off leaves heat=, cache=, check= and perfmap= without a meaning");
	return 0;
}

int engine_options_allowed(const char *engine, unsigned n, struct err *e)
{
	if (n && strcmp(engine, "soft"))
		return err_set(e, EINVAL, "%s takes nothing after it; only the software engine has options: soft,...",
			       engine);
	return 0;
}
