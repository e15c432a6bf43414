/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_kinds.c - the words of --boot; see boot_order.h. */
#include "base/i18n.h"
#include "vmm/boot_order.h"

static const struct {
	const char *name;
	enum device_role role;
} kinds[] = {
	{ "disk", DEVICE_DISK },
	{ "cdrom", DEVICE_CDROM },
	{ "net", DEVICE_NIC },
};

bool boot_kind(enum device_role *role, const char *word)
{
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!strcmp(word, kinds[i].name)) {
			*role = kinds[i].role;
			return true;
		}
	}
	return false;
}

bool boot_from_net(const struct vmm_config *c)
{
	for (unsigned i = 0; i < c->nboot; i++)
		if (!strcmp(c->boot[i], "net"))
			return c->nnets > 0;
	return false;
}

int boot_order_check(char *const *words, unsigned n, struct err *e)
{
	enum device_role role;

	for (unsigned i = 0; i < n; i++) {
		if (!boot_kind(&role, words[i]) && strcmp(words[i], "menu=on") && strcmp(words[i], "menu=off"))
			return err_set(e, EINVAL, "boot: '%s' is not known; write disk, cdrom, net or menu=on",
				       words[i]);
		for (unsigned k = 0; k < i; k++)
			if (!strcmp(words[k], words[i]))
				return err_set(e, EINVAL, "boot: '%s' twice; once is enough", words[i]);
	}
	return 0;
}
