/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options_host.c - options about what a guest has of its host besides disks and networks: --vsock. */
#include "cli/optarg.h"
#include "cli/options_int.h"
#include "base/i18n.h"
#include "vsock/vsock.h"

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
