/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i18n.c - see i18n.h. */
#include "base/i18n.h"
#include "base/program_path.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef MICA_LOCALEDIR
#define MICA_LOCALEDIR "/usr/local/share/locale"
#endif

void i18n_init(void)
{
	const char *env = getenv("MICA_LOCALEDIR");
	char dir[4096], path[4200];

	/* What messages need: each of the other categories is one more file, and numbers shall not change. */
	setlocale(LC_CTYPE, "");
	setlocale(LC_MESSAGES, "");
	snprintf(path, sizeof(path), "%s", MICA_LOCALEDIR);
	if (env && *env) {
		snprintf(path, sizeof(path), "%s", env);
	} else if (program_dir(dir, sizeof(dir)) == 0) {
		static const char *const near[] = { "po", "../share/locale" };
		for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
			char probe[4200];
			snprintf(probe, sizeof(probe), "%s/%s", dir, near[i]);
			if (access(probe, X_OK) == 0) {
				snprintf(path, sizeof(path), "%s", probe);
				break;
			}
		}
	}
	bindtextdomain("mica", path);
	textdomain("mica");

	/* Each of these reads a file the first time: our catalogue, libc's, the time zone. */
	const char *volatile keep = gettext("");
	keep = strerror(EINVAL);
	(void)keep;
	tzset();
}
