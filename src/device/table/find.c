/* SPDX-License-Identifier: GPL-2.0-or-later */
/* find.c - a class by its name, or by what it is for; see class.h. */
#include "device/class.h"

const struct device_class *device_class_next(enum device_role role, unsigned *at)
{
	while (device_table[*at]) {
		const struct device_class *c = device_table[(*at)++];
		if (c->role == role)
			return c;
	}
	return NULL;
}

const struct device_class *device_class_find(const char *name)
{
	for (unsigned i = 0; device_table[i]; i++)
		if (!strcmp(device_table[i]->name, name))
			return device_table[i];
	return NULL;
}

const struct device_class *device_class_of(enum device_role role, const char *field)
{
	const struct device_class *c;

	for (unsigned i = 0; (c = device_class_next(role, &i));)
		if (!field || (c->field && !strcmp(c->field, field)))
			return c;
	return NULL;
}
