/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image_main.c - mica-image, the process that parses images, for one VM's disk or one verb of `mica image`. It is
 * behind its walls (base/walls.h) before it is given the first descriptor; link.h and serve.h say what it is given.
 */
#include "image/image_main.h"
#include "base/helper.h"
#include "base/walls.h"
#include "image/serve.h"
#include "image/verb_serve.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <seccomp.h>
#include <sys/prctl.h>

#define MEMORY_BYTES (2048 * MIB) /* of address space: images of a long chain, each with its tables */

static const struct image_main_use uses[] = {
	{ IMAGE_MSG_SERVE, serve_disk },
	{ IMAGE_MSG_VERB, verb_serve },
};

/* Looks at what is open; no file has a name here in any case. And fewer calls may be asked for later. */
static int some_calls(void *f)
{
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
				 SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));

	/* Blocks that two files share (convert.h). */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FICLONERANGE));
	return r ? r
		 : seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)PR_SET_NO_NEW_PRIVS));
}

static int lock_in(struct err *e)
{
	static const int calls[] = { SCMP_SYS(pread64),   SCMP_SYS(pwrite64),  SCMP_SYS(fallocate),
				     SCMP_SYS(ftruncate), SCMP_SYS(fdatasync), SCMP_SYS(lseek),
				     SCMP_SYS(fstat),     SCMP_SYS(setitimer), SCMP_SYS(seccomp) };
	const struct walls w = {
		.name = "mica-image",
		.threads = true, /* of a verb that copies */
		.memory_bytes = MEMORY_BYTES,
		.calls = calls,
		.ncalls = ARRAY_LEN(calls),
		.rules = some_calls,
	};

	return walls_put(&w, e);
}

int image_main_tighten(struct err *e)
{
	static const int gone[] = { SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(accept4),
				    SCMP_SYS(fcntl),   SCMP_SYS(prctl),    SCMP_SYS(seccomp),
				    SCMP_SYS(clone),   SCMP_SYS(clone3),   SCMP_SYS(ioctl) };
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW); /* the first one stays, and refuses the rest */
	int r = f ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < ARRAY_LEN(gone); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), gone[i], 0);
	if (!r)
		r = seccomp_load(f);
	if (f)
		seccomp_release(f);
	return r < 0 ? err_sys(e, -r, "%s cannot lock itself in: system-call filter", "mica-image") : 0;
}

int main(void)
{
	static struct image_msg first;
	struct err e;

	helper_begin("mica-image", 0);
	helper_hello(lock_in(&e) < 0 ? &e : NULL);
	image_msg_init(&first);
	if (image_link_recv(HELPER_FD, &first) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(uses); i++)
		if (uses[i].kind == first.kind)
			return uses[i].run(HELPER_FD, &first);
	return 2;
}
