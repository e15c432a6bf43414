/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * restore.c - see restore.h.
 *
 * A saved state names files of this host, to read and to write, and ports to open. Whoever wrote the file chose them: a
 * guest that had taken its mica-vmm over, or a stranger. So they are used when the command line says trust=on, or names
 * them itself; else they are shown, and that is all.
 */
#include "cli/restore.h"
#include "base/plain.h"
#include "base/i18n.h"
#include "vmm/saved_config.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What a saved machine is made of cannot be chosen anew. */
static int check_given(const struct run_opts *o, struct err *e)
{
	static const char *const fixed[] = { "append", "cpus",     "memory", "cpu",    "debug-exit", "device",
					     "fw-cfg", "firmware", "boot",   "smbios", "machine" };

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (run_opts_given(o, fixed[i]))
			return err_set(e, EINVAL, "--%s: a restored VM has this from its saved state", fixed[i]);
	return 0;
}

/* ---- what it wants ---- */

/* One of them, each a line. The first shows the heading. */
static void show(unsigned *n, const char *how, const char *what, const char *detail)
{
	auto_free char *line = xasprintf("%s: %s%s%s", how, what, *detail ? "  " : "", detail);

	if (!(*n)++)
		fprintf(stderr, "%s\n", _("mica run: the saved VM wants of this host:"));
	plain_text(line);
	fprintf(stderr, "  %s\n", line);
}

static void show_file(unsigned *n, const char *how, const char *path)
{
	char real[PATH_MAX];
	auto_free char *detail = NULL;
	struct stat st;

	if (stat(path, &st) < 0) {
		detail = xasprintf("(%s)", strerror(errno));
	} else {
		bool elsewhere = realpath(path, real) && strcmp(real, path);
		detail = xasprintf("%s%s%s%s", elsewhere ? "-> " : "", elsewhere ? real : "",
				   elsewhere && S_ISBLK(st.st_mode) ? " " : "",
				   S_ISBLK(st.st_mode) ? _("(a block device)") : "");
	}
	show(n, how, path, detail);
}

static unsigned show_wanted(const struct run_opts *o, const struct vmm_config *was)
{
	unsigned n = 0;

	if (!run_opts_given(o, "kernel") && was->kernel)
		show_file(&n, _("read, a kernel"), was->kernel);
	if (!run_opts_given(o, "initrd") && was->initrd)
		show_file(&n, _("read, an initrd"), was->initrd);
	if (!vmm_firmware_is_word(was->firmware))
		show_file(&n, _("read, firmware"), was->firmware);
	if (!run_opts_given(o, "nvram") && was->nvram && *was->nvram)
		show_file(&n, _("read and write, firmware's variables"), was->nvram);
	for (unsigned i = 0; !run_opts_given(o, "module") && i < was->nmodules; i++) {
		auto_free char *path = xstrdup(was->modules[i]);
		path[strcspn(path, " ")] = '\0';
		show_file(&n, _("read, a module"), path);
	}
	for (unsigned i = 0; !o->cfg.nshares && i < was->nshares; i++)
		show_file(&n, was->shares[i].readonly ? _("read, a folder") : _("read and write, a folder"),
			  was->shares[i].path);
	if (!run_opts_given(o, "vsock") && was->vsock)
		show_file(&n, _("listen, and connect to sockets beside it"), was->vsock);
	if (!run_opts_given(o, "tpm") && was->tpm)
		show_file(&n, _("read and write, a TPM's state"), was->tpm);
	for (unsigned i = 0; !o->cfg.ndisks && i < was->ndisks; i++)
		if (*was->disks[i].path)
			show_file(&n,
				  was->disks[i].cdrom      ? _("read, a CD-ROM")
				  : was->disks[i].readonly ? _("read, a disk")
							   : _("read and write, a disk"),
				  was->disks[i].path);
	for (unsigned i = 0; !o->cfg.nvhost_disks && i < was->nvhost_disks; i++)
		show_file(&n, _("give the guest's memory to who serves a disk"), was->vhost_disks[i].path);
	for (unsigned i = 0; !o->cfg.nnets && i < was->nnets; i++) {
		if (was->nets[i].path) {
			show_file(&n, _("give the guest's memory to who serves a network"), was->nets[i].path);
			continue;
		}
		show(&n, _("network"), was->nets[i].type, _("(all that this host reaches, and its own services)"));
		for (unsigned k = 0; k < was->nets[i].nhostfwd; k++)
			show(&n, _("open a port"), was->nets[i].hostfwd[k], "");
		if (was->nets[i].tftp)
			show_file(&n, _("give the guest all files of"), was->nets[i].tftp);
	}
	return n;
}

/* The words that would allow it, ready to be copied. */
static int check_trust(const struct run_opts *o, const struct vmm_config *was, struct err *e)
{
	if (o->restore_trust || !show_wanted(o, was))
		return 0;
	char *doubled = xcalloc(2 * strlen(o->restore) + 1, 1), *p = doubled;
	for (const char *s = o->restore; *s; s++) {
		if (*s == ',')
			*p++ = ',';
		*p++ = *s;
	}
	err_set(e, EPERM,
		"whoever wrote the file chose these; if all of them are meant, write --restore %s,trust=on; else name "
		"yours with --kernel, --initrd, --module, --nvram, --disk, --net, "
		"--share, --vsock and --tpm",
		doubled);
	free(doubled);
	return -EPERM;
}

/* ---- one machine of both ---- */

#define TAKE(field) \
	do { \
		__typeof__(cfg->field) mine_ = cfg->field; \
		cfg->field = was->field; \
		was->field = mine_; \
	} while (0)

/* By exchange: what is left in *was is freed with it. */
static void take_machine(struct run_opts *o, struct vmm_config *was)
{
	struct vmm_config *cfg = &o->cfg;

	if (!run_opts_given(o, "kernel"))
		TAKE(kernel);
	if (!run_opts_given(o, "initrd"))
		TAKE(initrd);
	TAKE(append);
	TAKE(firmware);
	TAKE(boot);
	TAKE(nboot);
	TAKE(smbios);
	TAKE(nsmbios);
	if (!run_opts_given(o, "nvram"))
		TAKE(nvram);
	if (!run_opts_given(o, "module")) {
		TAKE(modules);
		TAKE(nmodules);
	}
	if (!cfg->nshares) {
		TAKE(shares);
		TAKE(nshares);
	}
	if (!run_opts_given(o, "vsock")) {
		TAKE(vsock);
		TAKE(vsock_cid);
	}
	if (!run_opts_given(o, "tpm"))
		TAKE(tpm);
	TAKE(cpu);
	TAKE(machine);
	TAKE(cpus);
	TAKE(memory_bytes);
	TAKE(debug_exit);
	if (!run_opts_given(o, "name"))
		TAKE(name);
	if (!run_opts_given(o, "no-reboot"))
		TAKE(no_reboot);
	cfg->restore_disks = cfg->ndisks > 0;
	if (!cfg->ndisks) {
		TAKE(disks);
		TAKE(ndisks);
	}
	if (!cfg->nvhost_disks) {
		TAKE(vhost_disks);
		TAKE(nvhost_disks);
	}
	if (!cfg->nnets && !o->net_none) {
		TAKE(nets);
		TAKE(nnets);
	}
	/* They have nothing of this host (class.h). */
	TAKE(devices);
	TAKE(ndevices);
}

/* Is the console of that kind there when mica-vmm is started? Consoles are opened later. */
static int fits(const struct run_opts *o, const struct saved_config *was, struct err *e)
{
	if (was->virtio_console && o->virtio_console == CONSOLE_NONE)
		return err_set(e, EINVAL, "the saved VM has a virtio console; say where it goes with --virtio-console");
	if (!was->virtio_console && o->virtio_console != CONSOLE_NONE)
		return err_set(e, EINVAL, "--virtio-console: the saved VM has none");
	if (was->serial2 && o->serial2 == CONSOLE_NONE)
		return err_set(e, EINVAL, "the saved VM has a second serial port; say where it goes with --serial2");
	if (!was->serial2 && o->serial2 != CONSOLE_NONE)
		return err_set(e, EINVAL, "--serial2: the saved VM has none");
	if (o->cfg.initrd && !was->cfg.initrd)
		return err_set(e, EINVAL, "--initrd: the saved VM has none");
	if (o->cfg.nmodules && o->cfg.nmodules != was->cfg.nmodules)
		return err_set(e, EINVAL,
			       "--module: the saved VM has %u modules; give as many, in the same order, or none",
			       was->cfg.nmodules);
	if (o->cfg.nshares && o->cfg.nshares != was->cfg.nshares)
		return err_set(e, EINVAL,
			       "--share: the saved VM has %u folders; give as many, in the same order, or none",
			       was->cfg.nshares);
	if (o->cfg.vsock && !was->cfg.vsock)
		return err_set(e, EINVAL, "--vsock: the saved VM has none");
	if (o->cfg.tpm && !was->cfg.tpm)
		return err_set(e, EINVAL, "--tpm: the saved VM has none");
	if (o->cfg.ndisks && o->cfg.ndisks != was->cfg.ndisks)
		return err_set(e, EINVAL, "--disk: the saved VM has %u disks; give as many, in the same order, or none",
			       was->cfg.ndisks);
	if (o->cfg.nvhost_disks && o->cfg.nvhost_disks != was->cfg.nvhost_disks)
		return err_set(
		    e, EINVAL,
		    "--disk: the saved VM has %u disks of vhost-user; give as many, in the same order, or none",
		    was->cfg.nvhost_disks);
	if ((o->cfg.nnets || o->net_none) && o->cfg.nnets != was->cfg.nnets)
		return err_set(e, EINVAL, "--net: the saved VM has %u network cards; give as many, or say nothing",
			       was->cfg.nnets);
	return 0;
}

/* ---- where it comes from ---- */

/* fd:N, a descriptor that was inherited; -1: it is a file's name. */
static int inherited(const char *text)
{
	char *end;

	if (strncmp(text, "fd:", 3) || !text[3])
		return -1;
	long n = strtol(text + 3, &end, 10);
	return *end || n < 0 || n > INT32_MAX ? -1 : (int)n;
}

static int open_state(const char *name, struct err *e)
{
	struct stat st;
	int given = inherited(name);
	auto_close int fd =
	    given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 3) : open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "--restore: %s", name);
	/* A pipe by its name may be anybody's; to wait for it is only right where it was handed over. */
	if (!S_ISREG(st.st_mode) && (given < 0 || !(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))))
		return err_set(e, EINVAL,
			       given < 0 ? "--restore: %s: not a regular file"
					 : "--restore: %s: neither a regular file nor a pipe or socket",
			       name);
	return steal_fd(&fd);
}

/* Of a stream: what is read here cannot be read again, so mica-vmm gets it by another descriptor. */
static int pass_head(struct run_opts *o, const u8 *head, size_t bytes, struct err *e)
{
	auto_close int fd = memfd_create("state-head", MFD_CLOEXEC);

	if (fd < 0 || pwrite(fd, head, bytes, 0) != (ssize_t)bytes)
		return err_sys(e, errno, "--restore: %s", o->restore);
	o->cfg.restore_head_fd = steal_fd(&fd);
	return 0;
}

int restore_prepare(struct run_opts *o, struct err *e)
{
	struct saved_config was;
	struct state_file *s;
	int r = check_given(o, e);

	if (r < 0)
		return r;
	auto_close int fd = open_state(o->restore, e);
	if (fd < 0)
		return fd;
	auto_free u8 *head = xcalloc(1, STATE_HEAD_MAX);
	ssize_t bytes = state_read_head(fd, head, e);
	if (bytes < 0 || (r = state_load_new_after(&s, head, (size_t)bytes, fd, e)) < 0)
		return err_prefix(e, "--restore: %s", o->restore);
	r = saved_config_load(s, &was, e);
	state_free(s);
	if (r < 0)
		return err_prefix(e, "--restore: %s", o->restore);
	r = fits(o, &was, e);
	if (r == 0 && (r = check_trust(o, &was.cfg, e)) < 0)
		err_prefix(e, "--restore: %s", o->restore);
	if (r == 0)
		take_machine(o, &was.cfg);
	saved_config_fini(&was);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = pass_head(o, head, (size_t)bytes, e);
	if (r < 0)
		return r;
	o->cfg.restore_fd = steal_fd(&fd);
	return 0;
}
