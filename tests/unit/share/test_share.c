/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_share.c - a shared folder as mica-share serves it: FUSE requests of a driver without manners, against a folder
 * of the test's own with something worth stealing beside it. */
#include "share/share_fs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct {
	char dir[64];
	struct share_fs *f;
	int self;
	_Alignas(8) u8 in[SHARE_BODY_MAX + 1];
	_Alignas(8) u8 out[SHARE_BODY_MAX];
	size_t n; /* of in */
} S;

static const struct fuse_out_header *head = (const void *)S.out;

static const void *body(void)
{
	return S.out + sizeof(struct fuse_out_header);
}

static void args(const void *p, size_t n)
{
	memcpy(S.in + S.n, p, n);
	S.n += n;
}

static void name(const char *s)
{
	args(s, strlen(s) + 1);
}

/* Its error, after args(). */
static int ask(u32 op, u64 node)
{
	struct fuse_in_header h = { .len = (u32)S.n, .opcode = op, .unique = 77, .nodeid = node };

	memcpy(S.in, &h, sizeof(h));
	memset(S.in + S.n, 0, 1);
	size_t n = share_fs_request(S.f, S.in, S.n, S.out, sizeof(S.out));
	S.n = sizeof(h);
	if (!n)
		return 1;
	assert_int_equal(head->len, n);
	assert_int_equal(head->unique, 77);
	return head->error;
}

static int lookup(u64 dir, const char *s, u64 *node)
{
	name(s);
	int r = ask(FUSE_LOOKUP, dir);
	if (r == 0)
		*node = ((const struct fuse_entry_out *)body())->nodeid;
	return r;
}

static void serve(bool readonly)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/shared", S.dir);
	S.f = share_fs_new(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), S.self, readonly, 2048);
	struct fuse_init_in in = { .major = 7, .minor = 36, .flags = ~0u };
	args(&in, sizeof(in));
	assert_int_equal(ask(FUSE_INIT, 0), 0);
	const struct fuse_init_out *out = body();
	assert_int_equal(out->max_write, SHARE_DATA_MAX);
	assert_true(out->flags & FUSE_MAX_PAGES);
	assert_false(out->flags & FUSE_EXPORT_SUPPORT); /* ".." is never asked for */
}

static void shell(const char *what)
{
	char *line = xasprintf("cd %s && %s", S.dir, what);

	assert_int_equal(system(line), 0);
	free(line);
}

static int up(void **state)
{
	strcpy(S.dir, "/tmp/mica-share-test-XXXXXX");
	assert_non_null(mkdtemp(S.dir));
	shell("mkdir -p shared/sub/deep && echo -n secret >beside && echo -n hello >shared/a && ln -s ../beside "
	      "shared/out && "
	      "ln -s /etc shared/etc && mkfifo shared/pipe && echo -n inner >shared/sub/b");
	S.self = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	S.n = sizeof(struct fuse_in_header);
	umask(0);
	serve(false);
	return 0;
}

static int down(void **state)
{
	share_fs_free(S.f);
	close(S.self);
	shell("rm -rf shared beside");
	return rmdir(S.dir);
}

static int open_it(u64 node, u32 op, u32 flags, u64 *fh)
{
	struct fuse_open_in in = { .flags = flags };

	args(&in, sizeof(in));
	int r = ask(op, node);
	if (r == 0)
		*fh = ((const struct fuse_open_out *)body())->fh;
	return r;
}

static void expect_read(u64 node, u64 fh, u64 off, const char *text)
{
	struct fuse_read_in in = { .fh = fh, .offset = off, .size = 4096 };

	args(&in, sizeof(in));
	assert_int_equal(ask(FUSE_READ, node), 0);
	assert_int_equal(head->len - sizeof(*head), strlen(text));
	assert_memory_equal(body(), text, strlen(text));
}

static int put(u64 node, u64 fh, u64 off, const char *text)
{
	struct fuse_write_in in = { .fh = fh, .offset = off, .size = (u32)strlen(text) };

	args(&in, sizeof(in));
	args(text, strlen(text));
	return ask(FUSE_WRITE, node);
}

static void files(void **state)
{
	u64 a, b, fh = 0;
	struct fuse_create_in create = { .flags = O_RDWR | O_EXCL, .mode = S_IFREG | 06755 };

	assert_int_equal(lookup(1, "a", &a), 0);
	assert_int_equal(lookup(1, "a", &b), 0);
	assert_int_equal(a, b);
	assert_int_equal(open_it(a, FUSE_OPEN, O_RDWR, &fh), 0);
	expect_read(a, fh, 1, "ello");
	assert_int_equal(put(a, fh, 5, " there"), 0);
	expect_read(a, fh, 0, "hello there");
	shell("test \"$(cat shared/a)\" = 'hello there'");
	/* it is the file that is meant, whatever it is called by now */
	shell("mv shared/a shared/sub/c && echo other >shared/a");
	expect_read(a, fh, 0, "hello there");
	assert_int_equal(ask(FUSE_GETATTR, a), -EINVAL);
	struct fuse_getattr_in get = { 0 };
	args(&get, sizeof(get));
	assert_int_equal(ask(FUSE_GETATTR, a), 0);
	assert_int_equal(((const struct fuse_attr_out *)body())->attr.size, 11);
	/* new ones; no set-user-ID bit gets out of the guest */
	args(&create, sizeof(create));
	name("new");
	assert_int_equal(ask(FUSE_CREATE, 1), 0);
	shell("test $(stat -c %a shared/new) = 755");
	args(&create, sizeof(create));
	name("new");
	assert_int_equal(ask(FUSE_CREATE, 1), -EEXIST);
	struct fuse_rename_in mv = { .newdir = 1 };
	args(&mv, sizeof(mv));
	name("new");
	name("newer");
	assert_int_equal(ask(FUSE_RENAME, 1), 0);
	name("newer");
	assert_int_equal(ask(FUSE_UNLINK, 1), 0);
	struct fuse_setattr_in set = {
		.valid = FATTR_SIZE | FATTR_MODE | FATTR_MTIME, .size = 4, .mode = 0604, .mtime = 99
	};
	args(&set, sizeof(set));
	assert_int_equal(ask(FUSE_SETATTR, a), 0);
	shell("test \"$(stat -c '%s %a %Y' shared/sub/c)\" = '4 604 99'");
	/* what the guest has forgotten is unknown */
	struct fuse_forget_in forget = { .nlookup = 1 };
	args(&forget, sizeof(forget));
	assert_int_equal(ask(FUSE_FORGET, a), 1);
	args(&get, sizeof(get));
	assert_int_equal(ask(FUSE_GETATTR, a), 0);
	args(&forget, sizeof(forget));
	assert_int_equal(ask(FUSE_FORGET, a), 1);
	args(&get, sizeof(get));
	assert_int_equal(ask(FUSE_GETATTR, a), -ESTALE);
	struct fuse_release_in rel = { .fh = fh };
	args(&rel, sizeof(rel));
	assert_int_equal(ask(FUSE_RELEASE, 1), 0);
	assert_int_equal(put(1, fh, 0, "x"), -EBADF);
}

static void folders(void **state)
{
	u64 fh = 0, off = 0;
	unsigned seen = 0;

	assert_int_equal(open_it(1, FUSE_OPENDIR, 0, &fh), 0);
	for (;;) { /* 80 bytes at a time */
		struct fuse_read_in in = { .fh = fh, .offset = off, .size = 80 };
		args(&in, sizeof(in));
		assert_int_equal(ask(FUSE_READDIR, 1), 0);
		size_t n = head->len - sizeof(*head), at = 0;
		if (!n)
			break;
		while (at < n) {
			const struct fuse_dirent *d = (const void *)((const u8 *)body() + at);
			off = d->off;
			at += FUSE_DIRENT_SIZE(d);
			seen++;
		}
	}
	assert_int_equal(seen, 7); /* ., .., a, out, etc, pipe, sub */
	struct fuse_mkdir_in mk = { .mode = 0700 };
	args(&mk, sizeof(mk));
	name("made");
	assert_int_equal(ask(FUSE_MKDIR, 1), 0);
	name("made");
	assert_int_equal(ask(FUSE_RMDIR, 1), 0);
	name("sub");
	assert_int_equal(ask(FUSE_RMDIR, 1), -ENOTEMPTY);
}

/* No name, link or number leads out. */
static void escapes(void **state)
{
	static const char *const names[] = { "..", ".", "", "../beside", "sub/b", "/etc/passwd", "sub/../../beside" };
	struct fuse_create_in create = { .flags = O_WRONLY | O_TRUNC, .mode = S_IFREG | 0644 };
	u64 node, fh, sub;

	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(lookup(1, names[i], &node), -EINVAL);
		args(&create, sizeof(create));
		name(names[i]);
		assert_int_equal(ask(FUSE_CREATE, 1), -EINVAL);
		name(names[i]);
		assert_int_equal(ask(FUSE_UNLINK, 1), -EINVAL);
	}
	/* links are things to be read, not to be followed */
	assert_int_equal(lookup(1, "out", &node), 0);
	assert_int_equal(open_it(node, FUSE_OPEN, O_RDONLY, &fh), -EINVAL);
	assert_int_equal(ask(FUSE_READLINK, node), 0);
	assert_memory_equal(body(), "../beside", 9);
	struct fuse_setattr_in set = { .valid = FATTR_SIZE, .size = 0 };
	args(&set, sizeof(set));
	assert_int_equal(ask(FUSE_SETATTR, node), -EINVAL);
	args(&create, sizeof(create));
	name("out");
	assert_int_equal(ask(FUSE_CREATE, 1), -ELOOP);
	assert_int_equal(lookup(1, "etc", &node), 0);
	assert_true(lookup(node, "passwd", &fh) < 0);
	assert_int_equal(open_it(node, FUSE_OPENDIR, 0, &fh), -ENOTDIR);
	/* a folder that was moved out, and its parent: what is known of it stays, what is above does not come */
	assert_int_equal(lookup(1, "sub", &sub), 0);
	shell("mv shared/sub moved");
	assert_int_equal(lookup(sub, "..", &node), -EINVAL);
	shell("mv moved shared/sub");
	/* a pipe would block, a device is somebody else's */
	assert_int_equal(lookup(1, "pipe", &node), 0);
	assert_int_equal(open_it(node, FUSE_OPEN, O_RDONLY, &fh), -EINVAL);
	struct fuse_mknod_in mk = { .mode = S_IFCHR | 0600, .rdev = 0x103 };
	args(&mk, sizeof(mk));
	name("null");
	assert_int_equal(ask(FUSE_MKNOD, 1), -EPERM);
	shell("test \"$(cat beside)\" = secret");
}

static void wrong(void **state)
{
	struct fuse_open_in in = { 0 };
	struct fuse_write_in w = { .size = 1 << 20 };
	u64 a, fh = 0;

	assert_int_equal(ask(9999, 1), -ENOSYS);
	assert_int_equal(ask(FUSE_LOOKUP, 12345), -EINVAL);
	assert_int_equal(lookup(1ull << 63 | 1, "a", &a), -ESTALE);
	memset(S.in + S.n, 'x', 300); /* a name without an end, and one that is too long */
	S.n += 300;
	assert_int_equal(ask(FUSE_LOOKUP, 1), -EINVAL);
	assert_int_equal(lookup(1, "a", &a), 0);
	assert_int_equal(open_it(a, FUSE_OPEN, O_RDWR, &fh), 0);
	w.fh = fh;
	args(&w, sizeof(w));
	assert_int_equal(ask(FUSE_WRITE, a), -EINVAL);
	/* so many open files, and no more */
	unsigned n = 1;
	int r;
	while ((r = open_it(a, FUSE_OPEN, O_RDONLY, &fh)) == 0 && n < 3 * SHARE_HANDLES_MAX)
		n++;
	assert_true(r == -EMFILE && n <= SHARE_HANDLES_MAX);
	args(&in, sizeof(in));
	assert_int_equal(ask(FUSE_DESTROY, 0), 0);
	args(&in, sizeof(in));
	assert_int_equal(ask(FUSE_OPEN, a), -ESTALE);
}

static void readonly(void **state)
{
	u64 a, fh = 0;

	share_fs_free(S.f);
	serve(true);
	assert_int_equal(lookup(1, "a", &a), 0);
	assert_int_equal(open_it(a, FUSE_OPEN, O_RDWR, &fh), -EROFS);
	assert_int_equal(open_it(a, FUSE_OPEN, O_TRUNC, &fh), -EROFS);
	assert_int_equal(open_it(a, FUSE_OPEN, O_RDONLY, &fh), 0);
	expect_read(a, fh, 0, "hello");
	name("a");
	assert_int_equal(ask(FUSE_UNLINK, 1), -EROFS);
	shell("test \"$(cat shared/a)\" = hello");
}

static void saved(void **state)
{
	static u8 kept[SHARE_DATA_MAX];
	u64 a, sub, b, gone, fh = 0, dir, node;
	struct fuse_getattr_in get = { 0 };

	assert_int_equal(lookup(1, "a", &a), 0);
	assert_int_equal(lookup(1, "sub", &sub), 0);
	assert_int_equal(lookup(sub, "b", &b), 0);
	assert_int_equal(lookup(sub, "deep", &gone), 0);
	assert_int_equal(open_it(b, FUSE_OPEN, O_RDWR, &fh), 0);
	assert_int_equal(open_it(1, FUSE_OPENDIR, 0, &dir), 0);
	size_t n = share_fs_save(S.f, kept, sizeof(kept));
	assert_true(n > 0);
	share_fs_free(S.f);
	shell("rmdir shared/sub/deep");
	serve(false);
	assert_true(share_fs_load(S.f, kept, n));
	expect_read(b, fh, 0, "inner");
	assert_int_equal(put(b, fh, 0, "INNER"), 0);
	args(&get, sizeof(get));
	assert_int_equal(ask(FUSE_GETATTR, a), 0);
	args(&get, sizeof(get));
	assert_int_equal(ask(FUSE_GETATTR, gone), -ESTALE);
	assert_int_equal(lookup(1, "pipe", &node), 0);
	assert_true(node != a && node != b && node != gone && node != sub);
	assert_int_equal(lookup(1, "a", &node), 0);
	assert_int_equal(node, a);
	/* what is cut or changed loads or not, and leads nowhere else */
	for (size_t cut = 0; cut < n; cut++) {
		share_fs_load(S.f, kept, cut);
		kept[cut] ^= (u8)(1 + cut);
		share_fs_load(S.f, kept, n);
		kept[cut] ^= (u8)(1 + cut);
	}
	char *evil = memmem(kept, n, "sub/b", 5);
	assert_non_null(evil);
	memcpy(evil, "../be", 5);
	assert_true(share_fs_load(S.f, kept, n));
	args(&get, sizeof(get));
	assert_int_equal(ask(FUSE_GETATTR, b), -ESTALE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files, up, down),    cmocka_unit_test_setup_teardown(folders, up, down),
		cmocka_unit_test_setup_teardown(escapes, up, down),  cmocka_unit_test_setup_teardown(wrong, up, down),
		cmocka_unit_test_setup_teardown(readonly, up, down), cmocka_unit_test_setup_teardown(saved, up, down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
