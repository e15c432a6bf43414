/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * describe.c - while Mica is built: prints the table of classes as a C file that has what a person is told of them and
 * no constructor. The command is linked with that: it needs no device, and starts without one.
 */
#include "device/class.h"

static void text(const char *s)
{
	if (!s) {
		fputs("NULL", stdout);
		return;
	}
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static void params(unsigned i, const struct device_param *p)
{
	printf("static const struct device_param params%u[] = {\n", i);
	for (; p && p->name; p++) {
		printf("\t{ ");
		text(p->name);
		printf(", ");
		text(p->shown);
		printf(", ");
		text(p->help);
		printf(", (enum device_value)%d, %lluu, %lluu },\n", (int)p->value, (unsigned long long)p->lo,
		       (unsigned long long)p->hi);
	}
	printf("\t{ NULL },\n};\n");
}

static void class(unsigned i, const struct device_class *c)
{
	params(i, c->params);
	printf("static const struct device_class class%u = {\n\t.name = ", i);
	text(c->name);
	printf(",\n\t.field = ");
	text(c->field);
	printf(",\n\t.help = ");
	text(c->help);
	printf(",\n\t.role = (enum device_role)%d,\n\t.standard = %d,\n\t.single = %d,\n\t.pci = %d,\n\t.params = "
	       "params%u,\n};\n",
	       (int)c->role, c->standard, c->single, c->pci, i);
}

int main(void)
{
	unsigned n = 0;

	printf("/* Made by describe.c from table.c. */\n#include \"device/class.h\"\n\n");
	for (; device_table[n]; n++)
		class(n, device_table[n]);
	printf("const struct device_class *const device_table[] = {\n");
	for (unsigned i = 0; i < n; i++)
		printf("\t&class%u,\n", i);
	printf("\tNULL,\n};\n");
	return 0;
}
