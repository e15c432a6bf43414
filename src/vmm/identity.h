/* SPDX-License-Identifier: GPL-2.0-or-later */
/* identity.h - what SMBIOS says of the VM (--smbios): names, serial number, UUID. */
#ifndef MICA_VMM_IDENTITY_H
#define MICA_VMM_IDENTITY_H

#include "machine/smbios.h"
#include "vmm/config.h"

/* Words "manufacturer=TEXT", product, version, serial, sku, family, "uuid=UUID", each once. out may be NULL. Its texts
 * are the words'. What no word tells is the usual one; the UUID zeros. */
int identity_parse(struct smbios_identity *out, char *const *words, unsigned n, struct err *e);
/* Add the UUID to c's words where there is none: the same for the same host, name and first disk or kernel. */
void identity_choose(struct vmm_config *c);

#endif
