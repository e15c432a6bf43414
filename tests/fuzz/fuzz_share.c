/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_share.c - FUSE requests to a shared folder, as mica-share gets them from a hostile guest.
 *
 * The input: pieces of 2 bytes of length and a request without its header's length. What it does, it does in a folder
 * of its own below /tmp; a file beside that must stay as it is.
 */
#include "base/log.h"
#include "share/share_fs.h"

#include <fcntl.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static char dir[] = "/tmp/mica-fuzz-share-XXXXXX";
static int top = -1, self;

static void begin(void)
{
	log_level = LOG_LVL_ERROR;
	must(mkdtemp(dir));
	top = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	self = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(top >= 0 && self >= 0 && mkdirat(top, "shared", 0700) == 0);
	close(openat(top, "beside", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	must(symlinkat("../beside", openat(top, "shared", O_PATH | O_CLOEXEC), "out") == 0);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static _Alignas(8) u8 in[SHARE_BODY_MAX + 1], out[SHARE_BODY_MAX];
	struct stat st;

	if (top < 0)
		begin();
	struct share_fs *f =
	    share_fs_new(openat(top, "shared", O_PATH | O_DIRECTORY | O_CLOEXEC), self, size & 1, 1024);
	while (size > 2) {
		size_t n = MIN(ld_le16(data), size - 2);
		memcpy(in, data + 2, n);
		in[n] = 0;
		if (n >= sizeof(struct fuse_in_header)) {
			struct fuse_in_header *h = (void *)in;
			h->opcode %= 64;
		}
		must(share_fs_request(f, in, n, out, sizeof(out)) <= sizeof(out));
		data += 2 + n;
		size -= 2 + n;
	}
	size_t kept = share_fs_save(f, out, SHARE_DATA_MAX);
	must(share_fs_load(f, out, kept));
	share_fs_free(f);
	must(fstatat(top, "beside", &st, 0) == 0 && st.st_size == 0 && st.st_nlink == 1);
	return 0;
}
