/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options_host.c - options about what a guest has of its host besides disks and networks: --share, --vsock, --tpm. */
#include "cli/optarg.h"
#include "cli/options_int.h"
#include "base/i18n.h"
#include "share/share.h"
#include "tpm/tpm.h"
#include "vsock/vsock.h"

#include <sys/stat.h>

int options_set_vsock(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);
	const char *path = NULL, *val;
	unsigned cid = VMM_CID_MIN;
	int r = 0;

	for (unsigned i = 0; r == 0 && v[i]; i++) {
		if ((val = optarg_key(v[i], "path")))
			r = vsock_check(path = val, e);
		else if ((val = optarg_key(v[i], "cid")))
			r = optarg_uint(&cid, val, VMM_CID_MIN, VMM_CID_MAX, e);
		else
			r = err_set(e, EINVAL, "'%s' is not known; write path=SOCKET, cid=N", v[i]);
	}
	if (r == 0 && !path)
		r = err_set(e, EINVAL, "no socket given; write path=SOCKET");
	if (r == 0) {
		options_put(&o->cfg.vsock, path);
		o->cfg.vsock_cid = cid;
	}
	optarg_split_free(v);
	return r;
}

static int read_share(struct vmm_share *s, char *const *items, struct err *e)
{
	const char *val;
	int r = 0;

	for (unsigned i = 0; r == 0 && items[i]; i++) {
		if ((val = optarg_key(items[i], "tag"))) {
			options_put(&s->tag, val);
		} else if (!strcmp(items[i], "ro")) {
			s->readonly = true;
		} else if ((val = optarg_key(items[i], "ro"))) {
			r = optarg_switch(&s->readonly, "ro", val, e);
		} else {
			r = err_set(
			    e, EINVAL,
			    "'%s' is not known; write tag=NAME, ro=on (a comma in a file name is written twice)",
			    items[i]);
		}
	}
	if (r == 0 && !s->tag)
		return err_set(e, EINVAL, "no tag given; write tag=NAME: the guest mounts the folder by it");
	return r < 0 ? r : share_tag_check(s->tag, e);
}

int options_set_share(struct run_opts *o, const char *arg, struct err *e)
{
	char **v = optarg_split(arg);
	struct stat st;
	int r = 0;

	if (o->cfg.nshares == VMM_SHARES_MAX) {
		r = err_set(e, EINVAL, "too many folders; at most %d", VMM_SHARES_MAX);
	} else if (stat(v[0], &st) < 0) {
		r = err_sys(e, errno, "%s", v[0]);
	} else if (!S_ISDIR(st.st_mode)) {
		r = err_set(e, ENOTDIR, "%s: not a folder", v[0]);
	} else {
		o->cfg.shares = xrealloc(o->cfg.shares, (o->cfg.nshares + 1) * sizeof(*o->cfg.shares));
		struct vmm_share *s = &o->cfg.shares[o->cfg.nshares++];
		*s = (struct vmm_share){ .path = xstrdup(v[0]) };
		r = read_share(s, v + 1, e);
	}
	optarg_split_free(v);
	return r;
}

int options_set_tpm(struct run_opts *o, const char *arg, struct err *e)
{
	int r = tpm_check(arg, e);

	if (r == 0)
		options_put(&o->cfg.tpm, arg);
	return r;
}
