/* SPDX-License-Identifier: GPL-2.0-or-later */
/* class.c - see class.h. */
#include "device/class.h"

bool device_class_addable(const struct device_class *c)
{
	return c->role == DEVICE_PLAIN && !c->single;
}

const struct device_param *device_class_param(const struct device_class *c, const char *name)
{
	for (const struct device_param *p = c->params; p && p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

const char *device_text(const struct device_args *a, const char *name, const char *otherwise)
{
	size_t n = strlen(name);

	for (unsigned i = 0; i < a->nparams; i++)
		if (!strncmp(a->params[i], name, n) && a->params[i][n] == '=')
			return a->params[i] + n + 1;
	return otherwise;
}

u64 device_number(const struct device_args *a, const char *name, u64 otherwise)
{
	const char *s = device_text(a, name, NULL);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

bool device_switch(const struct device_args *a, const char *name, bool otherwise)
{
	const char *s = device_text(a, name, NULL);

	return s ? !strcmp(s, "on") : otherwise;
}
