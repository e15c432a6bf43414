/* SPDX-License-Identifier: GPL-2.0-or-later */
/* program_path.c - see program_path.h. */
#include "base/program_path.h"

int program_dir(char *buf, size_t bytes)
{
	ssize_t n = readlink("/proc/self/exe", buf, bytes - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	char *slash = strrchr(buf, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

static bool is_there(char *buf, size_t bytes, const char *dir, const char *where, const char *name)
{
	return (size_t)snprintf(buf, bytes, "%s%s/%s", dir, where, name) < bytes && access(buf, X_OK) == 0;
}

int program_find(char *buf, size_t bytes, const char *name, struct err *e)
{
	const char *given = secure_getenv("MICA_HELPER_DIR");
	char dir[4096];

	if (given) {
		if (is_there(buf, bytes, given, "", name))
			return 0;
		return err_set(e, ENOENT, "there is no program %s in %s, which MICA_HELPER_DIR names", name, given);
	}
	int r = program_dir(dir, sizeof(dir));
	if (r < 0)
		return err_sys(e, -r, "cannot find the program %s: /proc/self/exe", name);
	if (is_there(buf, bytes, dir, "", name) || is_there(buf, bytes, dir, "/../libexec/mica", name))
		return 0;
	return err_set(e, ENOENT, "cannot find the program %s in %s or in its ../libexec/mica: install Mica again",
		       name, dir);
}
