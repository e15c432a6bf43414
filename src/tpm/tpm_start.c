/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tpm_start.c - see tpm.h. */
#include "tpm/tpm.h"
#include "base/helper.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const places[] = { "/usr/bin/swtpm", "/usr/local/bin/swtpm" };

int tpm_check(const char *folder, struct err *e)
{
	struct stat st;

	if (!*folder)
		return err_set(e, EINVAL, "write the folder that has the TPM's state");
	if (strchr(folder, ','))
		return err_set(e, EINVAL, "%s: swtpm takes no folder with a comma in its name", folder);
	if (stat(folder, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "%s", folder);
	return S_ISDIR(st.st_mode) ? 0 : err_set(e, ENOTDIR, "%s: not a folder", folder);
}

static const char *find(struct err *e)
{
	for (unsigned i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	err_set(e, ENOENT, "a TPM is emulated by swtpm, and there is none here; install Debian's package swtpm");
	return NULL;
}

int tpm_start(const char *folder, int *data, int *control, struct err *e)
{
	auto_free char *state = xasprintf("dir=%s,mode=0600", folder);
	/* Descriptor 3 is the control socket, 4 the data socket. */
	char *argv[] = {
		"swtpm", "socket", "--tpm2", "--tpmstate",     state,         "--ctrl", "type=unixio,clientfd=3",
		"--fd",  "4",      "--log",  "file=-,level=1", "--terminate", NULL
	};
	const char *path = find(e);
	int d[2], c[2];
	pid_t pid;
	int r = path ? tpm_check(folder, e) : -ENOENT;

	if (r < 0)
		return r;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make the folder %s", folder);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, d) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	auto_close int ours_d = d[0], theirs_d = d[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	auto_close int ours_c = c[0], theirs_c = c[1];
	if ((r = helper_spawn(&pid, path, argv, theirs_c, &theirs_d, 1, e)) < 0)
		return r;
	*data = steal_fd(&ours_d);
	*control = steal_fd(&ours_c);
	return 0;
}
