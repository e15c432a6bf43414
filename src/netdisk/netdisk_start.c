/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netdisk_start.c - how the process of a disk on the network starts; see netdisk.h. */
#include "netdisk/netdisk.h"
#include "base/helper.h"
#include "netdisk/netdisk_url.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/* The ring and its windows; neither side can make it shorter under the other. */
static int make_memory(struct netdisk_ring **ring, struct err *e)
{
	auto_close int fd = memfd_create("mica-netdisk", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)NETDISK_MEMORY_BYTES) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "cannot make the memory for a network disk");
	*ring = mmap(NULL, NETDISK_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (*ring == MAP_FAILED) {
		*ring = NULL;
		return err_sys(e, errno, "cannot make the memory for a network disk");
	}
	return steal_fd(&fd);
}

int netdisk_start(struct netdisk_link *l, const struct netdisk_params *p, int wake, struct err *e)
{
	enum { OPTIONS_MAX = 16 };
	struct netdisk_url u;
	char *argv[4 + OPTIONS_MAX] = { "mica-netdisk", p->readonly ? "ro" : "rw", (char *)(uintptr_t)p->url };
	unsigned n = 3;
	int r = netdisk_url_parse(&u, p->url, e);

	*l = (struct netdisk_link){ .fd = -1, .kick = -1 };
	for (const char *const *o = p->options; r == 0 && o && *o; o++) {
		if (n == 3 + OPTIONS_MAX)
			return err_set(e, E2BIG, "disk '%s': too many options", p->url);
		argv[n++] = (char *)(uintptr_t)*o;
	}
	if (r < 0)
		return r;
	auto_close int memory = make_memory(&l->ring, e);
	if (memory < 0)
		return memory;
	l->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = l->kick < 0 ? err_sys(e, errno, "cannot make an event fd for a network disk")
			: helper_start(argv, (const int[]){ memory, l->kick, wake }, 3, e);
	if (r < 0) {
		netdisk_stop(l);
		return err_prefix(e, "disk '%s'", p->url);
	}
	l->fd = r;
	return 0;
}

void netdisk_stop(struct netdisk_link *l)
{
	if (l->ring)
		munmap(l->ring, NETDISK_MEMORY_BYTES);
	if (l->kick >= 0)
		close(l->kick);
	if (l->fd >= 0)
		close(l->fd);
	*l = (struct netdisk_link){ .fd = -1, .kick = -1 };
}
