/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i18n.h - translations of what people read (gettext), and where they lie. */
#ifndef MICA_I18N_H
#define MICA_I18N_H

#include <libintl.h>

#define _(s) gettext(s)
#define N_(s) s

/*
 * setlocale() and the catalogue, looked for in $MICA_LOCALEDIR, then beside the executable (po/ in a
 * build tree, ../share/locale once installed), then where the build was told to install. Also loads
 * now what the C library would load on first use: the VMM cannot open files later.
 */
void i18n_init(void);

#endif
