/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net_backends.c - see net_backends.h. */
#include "vmm/net_backends.h"

#define HELLO_MS 20000

static int open_one(struct net_backend *b, const struct vmm_net *n, struct err *e)
{
	if (!strcmp(n->type, "vhost-user")) { /* opened with the device, which greets it */
		*b = (struct net_backend){ .fd = -1 };
		return 0;
	}
	if (!strcmp(n->type, "fd"))
		return net_backend_open(b, n->fd, HELLO_MS, e);
	struct net_hostfwd *fwd = xcalloc(n->nhostfwd + 1, sizeof(*fwd));
	int r = 0;

	for (unsigned i = 0; r == 0 && i < n->nhostfwd; i++)
		r = net_hostfwd_parse(&fwd[i], n->hostfwd[i], e);
	const struct net_user_boot boot = { .tftp = n->tftp, .bootfile = n->bootfile };
	if (r == 0)
		r = net_user_start(b, fwd, n->nhostfwd, &boot, e);
	free(fwd);
	return r;
}

int net_backends_open(struct net_backend b[VMM_NETS_MAX], const struct vmm_config *cfg, struct err *e)
{
	for (unsigned i = 0; i < cfg->nnets; i++) {
		int r = open_one(&b[i], &cfg->nets[i], e);
		if (r == 0)
			continue;
		while (i--)
			net_backend_close(&b[i]);
		return r;
	}
	return 0;
}
