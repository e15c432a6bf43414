/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i18n.h - base/i18n.h, for who names it by its old place. */
#ifndef MICA_VMM_I18N_H
#define MICA_VMM_I18N_H

#include "base/i18n.h"

#endif
