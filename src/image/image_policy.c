/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_policy.c - see image_policy.h. */
#include "image/image_policy.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

bool image_name_fits(const char *path, const char *extensions)
{
	const char *dot = strrchr(path, '.');

	if (!dot || strchr(dot, '/'))
		return false;
	for (size_t n; *extensions; extensions += n + (extensions[n] == ',')) {
		n = strcspn(extensions, ",");
		if (strlen(dot + 1) == n && !strncasecmp(dot + 1, extensions, n))
			return true;
	}
	return false;
}

static const char *what(enum image_want want)
{
	return want == IMAGE_WANT_BACKING ? MSG("its backing image") : MSG("a part of it");
}

/* "nbd://...", "json:{...}", "fat:rw:...": as QEMU tells protocols, a ':' that comes before any '/'. */
static bool names_protocol(const char *name)
{
	size_t n = strcspn(name, ":/");

	return name[n] == ':';
}

/* Relative names are relative to the image that has them. */
static char *beside(const char *of, const char *name)
{
	const char *slash = strrchr(of, '/');

	if (*name == '/' || !slash)
		return xstrdup(name);
	return xasprintf("%.*s/%s", (int)(slash - of), of, name);
}

/* Where it really is. */
static bool place_of(int fd, char path[IMAGE_PATH_MAX])
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(self, path, IMAGE_PATH_MAX - 1);
	path[MAX(n, 0)] = '\0';
	return n > 0 && n < IMAGE_PATH_MAX - 1;
}

static bool is_below_folder_of(int fd, const char *of)
{
	char place[IMAGE_PATH_MAX];
	auto_free char *dir = beside(of, ".");
	auto_free char *real = realpath(dir, NULL);
	size_t n = real ? strlen(real) : 0;

	if (n == 1) /* "/" */
		n = 0;
	return real && place_of(fd, place) && !strncmp(place, real, n) && place[n] == '/';
}

int image_reopen(int fd, bool readonly)
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	int r = open(self, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

int image_policy_open(const struct image_policy *p, enum image_want want, const char *of, const char *name,
		      bool readonly, char **path, struct err *e)
{
	struct stat st;

	if (p->unsure)
		return err_set(e, EPERM,
			       "%s: it looks like an image that is made of other files too ('%s'), and a guest could "
			       "have written that; if it is one, say so with format=, or let its name end as such "
			       "images' do",
			       of, name);
	if (!strncmp(name, "file:", 5))
		name += 5;
	if (names_protocol(name))
		return err_set(e, ENOTSUP,
			       "%s: %s is '%s', which is no file; a disk on a network or a description of one is not "
			       "opened because an image says so",
			       of, what(want), name);
	auto_free char *at = beside(of, name);
	/* To look first opens no FIFO and no device; what was looked at is what is opened. */
	auto_close int seen = open(at, O_PATH | O_CLOEXEC);
	if (seen < 0 || fstat(seen, &st) < 0)
		return err_sys(e, errno, "%s: cannot open %s, '%s'", of, what(want), at);
	if (!p->any && !is_below_folder_of(seen, of))
		return err_set(
		    e, EPERM,
		    "%s: %s, '%s', is outside of its folder, and whoever made the image chose that; if it is "
		    "to be opened, add backing=any (for \"mica image\": --backing any)",
		    of, what(want), at);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, EINVAL, "%s: %s, '%s', is no file and no block device", of, what(want), at);
	int fd = image_reopen(seen, p->readonly || readonly);
	if (fd < 0)
		return err_sys(e, -fd, "%s: cannot open %s, '%s'", of, what(want), at);
	*path = steal(&at);
	return fd;
}

/* ---- answers ---- */

static bool was_given(const struct image_link_files *files, const char *of)
{
	for (unsigned i = 0; i < files->n; i++)
		if (!strcmp(files->file[i].path, of))
			return true;
	return false;
}

static int give(const struct image_policy *p, int link, const struct image_ask *a, const char *of, const char *name,
		struct image_link_files *files, int (*locked)(int fd, bool write, const char *path, struct err *e),
		struct err *e)
{
	bool commits = p->write_backing && !strcmp(of, files->file[0].path);
	bool ro = p->readonly || a->readonly || (a->want == IMAGE_WANT_BACKING && !commits);
	struct image_given g;
	auto_free char *path = NULL;

	if (!was_given(files, of))
		return err_set(e, EPROTO, "mica-image speaks of an image that it was never given");
	auto_close int fd = image_policy_open(p, a->want, of, name, ro, &path, e);
	if (fd < 0)
		return fd;
	must(path);
	int rc = locked ? locked(fd, !ro, path, e) : 0;
	if (rc < 0)
		return rc;
	auto_close int theirs = image_reopen(fd, ro);
	if (theirs < 0)
		return err_sys(e, -theirs, "%s", path);
	int id = image_link_files_add(files, path, steal_fd(&fd), ro, e);
	if (id < 0)
		return id;
	memcpy(g.format, a->format, sizeof(g.format));
	const struct iovec iov[] = { { &g, sizeof(g) }, { path, strlen(path) + 1 } };
	rc = image_link_sendv(link, IMAGE_MSG_GIVEN, (u32)id, iov, ARRAY_LEN(iov), &theirs, 1);
	return rc < 0 ? err_sys(e, -rc, "cannot speak with mica-image") : 0;
}

int image_policy_answer(const struct image_policy *p, int link, struct image_msg *m, struct image_link_files *files,
			int (*locked)(int fd, bool write, const char *path, struct err *e))
{
	struct image_ask a;
	const char *of = image_msg_string(m, sizeof(a));
	const char *name = of ? image_msg_string(m, sizeof(a) + strlen(of) + 1) : NULL;
	struct err e;

	if (!name || strlen(name) >= IMAGE_PATH_MAX)
		return -EPROTO;
	memcpy(&a, m->body, sizeof(a));
	a.format[sizeof(a.format) - 1] = '\0';
	if (a.want > IMAGE_WANT_EXTENT)
		return -EPROTO;
	if (give(p, link, &a, of, name, files, locked, &e) < 0)
		return image_link_send_err(link, &e);
	return 0;
}
