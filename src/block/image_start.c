/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image_start.c - a mica-image for one disk: started, told what to open, answered what images name. See image_ask.h. */
#include "base/err_wire.h"
#include "base/helper.h"
#include "block/image_ask_int.h"
#include "block/image_lock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

#define OPEN_SECONDS 120

/* It may write there, but not make it shorter under our hands. */
static int shared_memory(struct image_asker *a, struct err *e)
{
	int fd = memfd_create("mica-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, sizeof(*a->mem)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		goto fail;
	void *p = mmap(NULL, sizeof(*a->mem), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		goto fail;
	a->mem = p;
	return fd;
fail:;
	int code = errno;
	if (fd >= 0)
		close(fd);
	return err_sys(e, code, "disk '%s': no memory to share with mica-image", a->name);
}

static int tell(const struct image_asker *a, int memory, int image, const char *format, bool readonly, struct err *e)
{
	struct serve_open so = { .version = SERVE_VERSION, .readonly = readonly };
	const struct iovec iov[] = { { &so, sizeof(so) }, { a->name, strlen(a->name) + 1 } };
	auto_close int theirs = image_reopen(image, readonly);
	const int fds[] = { memory, theirs };

	if (theirs < 0)
		return err_sys(e, -theirs, "cannot open disk image '%s'", a->name);
	snprintf(so.format, sizeof(so.format), "%s", format);
	int rc = image_link_sendv(a->link, IMAGE_MSG_SERVE, 0, iov, ARRAY_LEN(iov), fds, 2);
	return rc < 0 ? err_sys(e, -rc, "disk '%s': cannot speak with mica-image", a->name) : 0;
}

static int opened(const struct image_asker *a, const struct image_msg *m, struct image_opened *out, struct err *e)
{
	struct serve_opened so;

	memcpy(&so, m->body, sizeof(so));
	if (m->bytes != sizeof(so) || so.version != SERVE_VERSION || so.bytes % BLK_SECTOR ||
	    so.bytes > IMAGE_BYTES_MAX ||
	    (so.cluster_bytes && (so.cluster_bytes < BLK_SECTOR || (so.cluster_bytes & (so.cluster_bytes - 1)))))
		return err_set(e, EPROTO, "disk '%s': mica-image answers nonsense", a->name);
	if (!so.bytes)
		return err_set(e, EINVAL, "disk image '%s' is of a disk of no size", a->name);
	*out = (struct image_opened){ so.bytes, so.cluster_bytes, so.readonly, so.can_discard };
	return 0;
}

/* Until it is open, or cannot be. */
static int converse(struct image_asker *a, struct image_opened *out, const struct image_policy *policy,
		    struct image_link_files *files, struct err *e)
{
	auto_free struct image_msg *m = xcalloc(1, sizeof(*m));
	int rc;

	image_msg_init(m);
	do {
		rc = image_link_recv(a->link, m);
		if (rc == 0 && m->kind == IMAGE_MSG_ASK)
			rc = image_policy_answer(policy, a->link, m, files, image_lock);
	} while (rc == 0 && m->kind == IMAGE_MSG_ASK);
	if (rc == -EAGAIN)
		err_set(e, ETIMEDOUT, "disk image '%s' could not be opened within %d seconds", a->name, OPEN_SECONDS);
	else if (rc < 0)
		err_set(e, EIO,
			"disk image '%s' cannot be opened: the process that reads it (mica-image) has ended; the image "
			"may be damaged: mica image check",
			a->name);
	else if (m->kind == IMAGE_MSG_ERROR)
		rc = err_unpack(e, m->body, m->bytes);
	else if (m->kind == IMAGE_MSG_OPENED)
		rc = opened(a, m, out, e);
	else
		rc = err_set(e, EPROTO, "disk '%s': mica-image answers nonsense", a->name);
	image_msg_fini(m);
	return rc;
}

static int start(struct image_asker *a, struct image_opened *out, const struct blk_open *o, int fd,
		 const struct image_policy *policy, struct image_link_files *files, struct err *e)
{
	char *argv[] = { "mica-image", NULL };
	struct timeval patience = { .tv_sec = OPEN_SECONDS };
	auto_close int memory = shared_memory(a, e);

	if (memory < 0)
		return memory;
	a->link = helper_start(argv, NULL, 0, e);
	if (a->link < 0)
		return a->link;
	setsockopt(a->link, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return err_sys(e, errno, "cannot open disk image '%s'", a->name);
	int rc = image_link_files_add(files, a->name, own, policy->readonly, e);
	if (rc == 0)
		rc = tell(a, memory, fd, o->format->name, policy->readonly, e);
	if (rc == 0)
		rc = converse(a, out, policy, files, e);
	if (rc == 0 && (rc = loop_add(a->q->loop, &a->lfd, a->link, EPOLLIN, image_ask_on_wake, a)) < 0)
		err_sys(e, -rc, "disk '%s': cannot watch mica-image", a->name);
	return rc;
}

int image_asker_new(struct image_asker **out, struct image_opened *said, const struct blk_open *o, int fd,
		    const struct image_policy *policy, struct image_link_files *files, struct err *e)
{
	struct image_asker *a = xcalloc(1, sizeof(*a));

	a->q = o->q;
	a->name = xstrdup(o->p->path ? o->p->path : "(given descriptor)");
	a->link = -1;
	a->files = files;
	a->waiting_tail = &a->waiting;
	pthread_mutex_init(&a->lock, NULL);
	int rc = start(a, said, o, fd, policy, files, e);
	if (rc < 0) {
		image_asker_free(a);
		return rc;
	}
	atomic_store(&a->q->link, a->link);
	*out = a;
	return 0;
}

void image_asker_free(struct image_asker *a)
{
	if (!a)
		return;
	if (a->lfd.added)
		loop_del(a->q->loop, &a->lfd);
	int mine = a->link;
	atomic_compare_exchange_strong(&a->q->link, &mine, 0);
	if (a->link >= 0)
		close(a->link);
	if (a->mem)
		munmap(a->mem, sizeof(*a->mem));
	pthread_mutex_destroy(&a->lock);
	free(a->name);
	free(a);
}
